//! The program over TCP, and that it really works by io_uring.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, or `None` on a system without io_uring.
fn server() -> Option<Server> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_embed-io-uring"))
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    if let Some(address) = line.trim_end().strip_prefix("listening on ws://") {
        return Some(Server { address: address.to_owned(), child });
    }
    let output = child.wait_with_output().expect("it has ended");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("no io_uring"), "{line}{said}");
    eprintln!("not run: {said}");
    None
}

fn open(server: &Server) -> Result<TcpStream, Box<dyn Error>> {
    let mut stream = TcpStream::connect(&server.address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(REQUEST)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    Ok(stream)
}

fn expect(stream: &mut TcpStream, expected: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut received = vec![0; expected.len()];
    stream.read_exact(&mut received)?;
    assert!(received == expected, "not the {} bytes that were expected", expected.len());
    Ok(())
}

#[test]
fn the_program_holds_an_io_uring() -> Result<(), Box<dyn Error>> {
    let Some(server) = server() else { return Ok(()) };
    let mut held = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{}/fd", server.child.id()))? {
        held.extend(std::fs::read_link(entry?.path()));
    }
    assert!(held.iter().any(|link| link.as_os_str() == "anon_inode:[io_uring]"), "{held:?}");
    assert!(!held.iter().any(|link| link.as_os_str() == "anon_inode:[eventpoll]"), "{held:?}");
    Ok(())
}

#[test]
fn messages_pings_and_the_close_are_answered() -> Result<(), Box<dyn Error>> {
    let Some(server) = server() else { return Ok(()) };
    let mut stream = open(&server)?;
    stream.write_all(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x81\0\0\0\0x")?;
    expect(&mut stream, b"\x81\x05Hello\x8a\x01x")?;
    stream.write_all(b"\x88\x82\0\0\0\0\x03\xe8")?;
    expect(&mut stream, b"\x88\x02\x03\xe8")?;
    // The server ends its side first (RFC 6455 §7.1.1).
    assert_eq!(stream.read(&mut [0; 16])?, 0);
    Ok(())
}

#[test]
fn a_large_message_comes_back_though_the_client_reads_late() -> Result<(), Box<dyn Error>> {
    let Some(server) = server() else { return Ok(()) };
    let (mut stream, mut other) = (open(&server)?, open(&server)?);
    let len = 16_u64 << 20;
    let payload: Vec<u8> = (0..len).map(|at| (at >> 3) as u8).collect();
    stream.write_all(&[&[0x82, 0xff][..], &len.to_be_bytes(), &[0; 4]].concat())?;
    stream.write_all(&payload)?;
    // The echo does not fit into the socket; another connection is served meanwhile.
    other.write_all(b"\x81\x81\0\0\0\0x")?;
    expect(&mut other, b"\x81\x01x")?;
    expect(&mut stream, &[&[0x82, 0x7f][..], &len.to_be_bytes()].concat())?;
    expect(&mut stream, &payload)?;
    Ok(())
}
