//! A split connection whose peer is slow, silent or busy sending.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ws_std::{AcceptResponse, CloseCode, Config, Connector, Deadline, Error, Listener, WebSocket};

/// Long enough for any machine, short enough to see that something hangs.
const LONG: Duration = Duration::from_secs(60);

/// Runs `test` on a thread of its own, for a bounded time.
fn bounded(test: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let runs = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = wait.recv_timeout(LONG) {
        panic!("it hangs");
    }
    runs.join().unwrap();
}

/// A client and the raw stream of its server, after the handshake.
fn raw_pair(connector: Connector) -> (WebSocket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let mut answer = [0; 256];
        let len = AcceptResponse::new().write(key, &mut answer).unwrap();
        stream.write_all(&answer[..len]).unwrap();
        stream
    });
    let client = connector.connect(&url).unwrap();
    (client, server.join().unwrap())
}

// A peer that echoes reads only when it has written: the reader must go on reading.
#[test]
fn large_messages_of_several_threads_come_back_from_an_echo() {
    const THREADS: usize = 3;
    const EACH: usize = 2;
    const LEN: usize = 12 << 20;
    bounded(|| {
        let listener = Listener::builder().bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let mut ws = listener.accept().unwrap().accept().unwrap();
            while let Some((message, mut replier)) = ws.read_ref().unwrap() {
                replier.queue(message).unwrap();
            }
        });
        let (mut reader, writer) = ws_std::connect(&url).unwrap().split().unwrap();
        let senders: Vec<_> = (0..THREADS)
            .map(|id| {
                let writer = writer.clone();
                thread::spawn(move || {
                    for _ in 0..EACH {
                        writer.send(vec![id as u8; LEN]).unwrap();
                    }
                })
            })
            .collect();
        let mut seen = [0; THREADS];
        for _ in 0..THREADS * EACH {
            let message = reader.read().unwrap().unwrap();
            let bytes = message.as_bytes();
            assert_eq!(bytes.len(), LEN);
            assert!(bytes.iter().all(|byte| *byte == bytes[0]));
            seen[usize::from(bytes[0])] += 1;
        }
        assert_eq!(seen, [EACH; THREADS]);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        writer.start_close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(reader.read().unwrap(), None);
        server.join().unwrap();
    });
}

// As above, and the messages take their time to be made.
#[test]
fn a_slow_batch_of_large_messages_comes_back_from_an_echo() {
    const LEN: usize = 15 << 20;
    const COUNT: u8 = 2;
    bounded(|| {
        let listener = Listener::builder().bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let mut ws = listener.accept().unwrap().accept().unwrap();
            while let Some((message, mut replier)) = ws.read_ref().unwrap() {
                replier.queue(message).unwrap();
            }
        });
        let mut client = ws_std::connect(&url).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(20)));
        let (mut reader, writer) = client.split().unwrap();
        let sender = thread::spawn(move || {
            let slow = (0..COUNT).map(|id| {
                thread::sleep(Duration::from_millis(200));
                vec![id; LEN]
            });
            writer.send_batch(slow).unwrap();
            writer
        });
        let mut expected = 0;
        while expected < COUNT {
            match reader.read() {
                Err(Error::Timeout(Deadline::Read)) => {}
                message => {
                    let message = message.unwrap().unwrap();
                    assert_eq!((message.len(), message.as_bytes()[0]), (LEN, expected));
                    expected += 1;
                }
            }
        }
        sender.join().unwrap().start_close(CloseCode::NORMAL, "").unwrap();
        while !matches!(reader.read(), Ok(None)) {}
        server.join().unwrap();
    });
}

#[test]
fn a_parked_reader_keeps_the_close_time_out_of_a_writers_close() {
    bounded(|| {
        let config = Config::new().close_timeout(Some(Duration::from_millis(200)));
        let (client, silent) = raw_pair(Connector::builder().config(config));
        let (mut reader, writer) = client.split().unwrap();
        let closes = thread::spawn(move || {
            // Longer than the time-out, which counts from the Close frame.
            thread::sleep(Duration::from_millis(300));
            writer.start_close(CloseCode::NORMAL, "").unwrap();
        });
        assert_eq!(reader.read().unwrap(), None);
        let info = reader.close_info().unwrap();
        assert_eq!((info.code, info.clean, info.by_us), (CloseCode::ABNORMAL, false, true));
        closes.join().unwrap();
        drop(silent);
    });
}

#[test]
fn what_a_writer_has_left_unwritten_goes_out_once_the_peer_reads() {
    const LEN: usize = 12 << 20;
    bounded(|| {
        let config = Config::new().close_timeout(Some(Duration::from_millis(200)));
        let connector =
            Connector::builder().config(config).write_timeout(Some(Duration::from_millis(500)));
        let (client, mut peer) = raw_pair(connector);
        let (mut reader, writer) = client.split().unwrap();
        let sender = thread::spawn(move || {
            let error = writer.send(vec![7; LEN]).unwrap_err();
            assert!(matches!(error, Error::Timeout(Deadline::Write)), "{error}");
            writer
        });
        // The reader goes on, whatever it is told of the writing.
        let reads = thread::spawn(move || {
            loop {
                match reader.read() {
                    Err(Error::Timeout(Deadline::Write)) => {}
                    result => return result,
                }
            }
        });
        peer.write_all(b"\x89\x04ping").unwrap();
        let writer = sender.join().unwrap();
        // A frame of 12 MiB with a header of 14 bytes, and the pong, 10 bytes, in either order.
        let mut received = vec![0; 14 + LEN + 10];
        peer.read_exact(&mut received).unwrap();
        assert!(received.starts_with(&[0x82]) || received.starts_with(&[0x8a]));
        drop(peer);
        assert_eq!(reads.join().unwrap().unwrap(), None);
        drop(writer);
    });
}
