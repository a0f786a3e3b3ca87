//! A message that is compressed and inflated in pieces needs no memory for the whole. Alone in its process, which is
//! measured.

use std::io::{Read, Write};
use std::thread;

use ws_std::deflate::Compression;
use ws_std::{Config, Connector, Listener, MessageKind};

/// The most memory that the process has had, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

#[cfg(not(target_os = "linux"))]
fn peak() -> usize {
    0
}

#[test]
fn a_long_message_is_compressed_and_inflated_in_pieces() {
    // The engines are slow when they are not optimised.
    const LEN: usize = if cfg!(debug_assertions) { 16 << 20 } else { 64 << 20 };
    const MOST: usize = 4 << 20;
    // The first one makes the buffers and the engines. In an emulator, it also has the code translated.
    send_in_pieces(1 << 20);
    let before = peak();
    send_in_pieces(LEN);
    let more = peak() - before;
    assert!(more < MOST, "{more} bytes");
}

/// Sends a message of this length, which neither side ever has as a whole.
fn send_in_pieces(len: usize) {
    let config = Config::new().max_message(len as u64);
    let builder = Listener::builder().config(config).deflate(Compression::default());
    let listener = builder.bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    // The lines of a log: about a sixth of their length when they are compressed.
    let block: Vec<u8> = (0..2000)
        .flat_map(|line| format!("{} GET /item/{} 200\n", line * 7919, line % 97).into_bytes())
        .collect();
    let block = &block[..32 * 1024];
    thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let connector = Connector::builder().config(config).deflate(Compression::default());
            let mut client = connector.connect(&url).unwrap();
            let mut message = client.write_stream(MessageKind::Text);
            for _ in 0..len / block.len() {
                message.write_all(block).unwrap();
            }
            message.finish().unwrap();
            client.close(None, "").unwrap()
        });
        let mut server = listener.accept().unwrap().accept().unwrap();
        let mut message = server.read_stream().unwrap().unwrap();
        let mut buffer = vec![0; block.len()];
        let mut received = 0;
        while received < len {
            message.read_exact(&mut buffer).unwrap();
            assert!(buffer == block);
            received += buffer.len();
        }
        assert_eq!(message.read(&mut buffer).unwrap(), 0);
        assert_eq!(server.read().unwrap(), None);
        assert!(writer.join().unwrap().clean);
    });
}
