//! A thread that panics ends its own connection, and tells the peer why: with 1011, or with 500 before the connection is
//! open. It waits for nothing.

mod common;

use std::io::{self, Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use ws_std::{CloseCode, Hub, Listener, MemoryStream, Message, Plain, Transport, WebSocket, pair};

/// What ends a thread that panics. A second panic would end the whole process.
fn panic_with<T: Send + 'static>(held: T) -> Duration {
    let begun = Instant::now();
    let thread = thread::spawn(move || {
        let _held = held;
        panic!("the application");
    });
    assert!(within(move || thread.join()).is_err());
    begun.elapsed()
}

#[test]
fn a_socket_sends_what_is_queued_and_close_1011() {
    let (mut ws, mut client) = open(Listener::builder());
    ws.queue("queued").unwrap();
    let took = panic_with(ws);
    client.expect(TEXT, b"queued");
    client.expect(CLOSE, &close(1011, ""));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

// The messages that the service has not read must not turn the end into a reset.
#[test]
fn unread_messages_do_not_destroy_the_close_frame() {
    let (ws, mut client) = open(Listener::builder());
    client.write(&masked(BINARY, &[7; 60_000]).repeat(4));
    panic_with(ws);
    client.expect(CLOSE, &close(1011, ""));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
}

#[test]
fn a_client_sends_it_too() {
    let (client, mut server) = pair().unwrap();
    panic_with(client);
    assert_eq!(
        within(move || server.read().map(|_| server.close_info())).unwrap().unwrap().code,
        CloseCode::INTERNAL_ERROR
    );
}

#[test]
fn a_closing_handshake_that_has_begun_keeps_its_code() {
    let (mut ws, mut client) = open(Listener::builder());
    ws.start_close(4000, "done").unwrap();
    panic_with(ws);
    client.expect(CLOSE, &close(4000, "done"));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
}

#[test]
fn a_message_in_pieces_is_cut_by_the_close_frame() {
    let (mut ws, mut client) = open(Listener::builder());
    let thread = thread::spawn(move || {
        let mut message = ws.write_stream(ws_std::MessageKind::Binary);
        message.write_all(b"half").unwrap();
        panic!("the application");
    });
    assert!(within(move || thread.join()).is_err());
    client.expect(0x02, b"half");
    client.expect(CLOSE, &close(1011, ""));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
}

#[test]
fn a_peer_that_reads_nothing_does_not_delay_the_panic() {
    let (mut ws, client) = open(Listener::builder());
    ws.set_write_timeout(Some(Duration::from_millis(50)));
    ws.send(vec![0; 12 << 20]).unwrap_err();
    let took = panic_with(ws);
    assert!(took < Duration::from_secs(2), "{took:?}");
    drop(client);
}

#[test]
fn the_ordinary_drop_of_an_open_socket_sends_nothing() {
    let (ws, mut client) = open(Listener::builder());
    drop(ws);
    assert_eq!(client.read_to_the_end().unwrap(), b"");
}

#[test]
fn a_reader_closes_with_1011() {
    let (ws, mut client) = open(Listener::builder());
    let (reader, writer) = ws.split().unwrap();
    let panicking = thread::spawn(move || panic_with(reader));
    client.expect(CLOSE, &close(1011, ""));
    drop(client);
    let took = finish(panicking);
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(!writer.is_open());
}

// Its connection belongs to another thread, which may go on.
#[test]
fn a_writer_that_is_dropped_by_a_panic_changes_nothing() {
    let (ws, mut client) = open(Listener::builder());
    let (mut reader, writer) = ws.split().unwrap();
    panic_with(writer.clone());
    writer.send("still here").unwrap();
    client.expect(TEXT, b"still here");
    client.write(&masked(TEXT, b"me too"));
    assert_eq!(within(move || reader.read()).unwrap(), Some("me too".into()));
}

#[test]
fn a_member_closes_with_1011_and_the_others_go_on() {
    let hub = Hub::new();
    let (ws, mut unlucky) = open(Listener::builder());
    let (other, mut client) = open(Listener::builder());
    let (unlucky_member, _other) = (hub.join(ws).unwrap(), hub.join(other).unwrap());
    let panicking = thread::spawn(move || panic_with(unlucky_member));
    unlucky.expect(CLOSE, &close(1011, ""));
    drop(unlucky);
    finish(panicking);
    assert_eq!(hub.broadcast("hello"), 1);
    client.expect(TEXT, b"hello");
}

#[test]
fn a_request_that_waits_for_an_answer_gets_500() {
    let (address, server) =
        serve(Listener::builder(), |incoming| panic_with(incoming.request().unwrap()));
    let mut client = Raw::connect(address);
    client.write(REQUEST.as_bytes());
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{head}");
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    finish(server);

    // The ordinary drop answers nothing.
    let (address, server) =
        serve(Listener::builder(), |incoming| drop(incoming.request().unwrap()));
    let mut client = Raw::connect(address);
    client.write(REQUEST.as_bytes());
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    finish(server);
}

#[test]
fn one_connection_panics_and_those_beside_it_do_not_notice() {
    let listener = Listener::builder().bind("127.0.0.1:0").unwrap();
    let (address, handle) = (listener.local_addr().unwrap(), listener.handle());
    let server = thread::spawn(move || {
        for incoming in listener {
            thread::spawn(move || {
                let mut ws = incoming.unwrap().accept().unwrap();
                while let Some(message) = ws.read().unwrap() {
                    assert_ne!(message, Message::from("panic"), "the application");
                    ws.send(message).unwrap();
                }
            });
        }
    });
    let mut honest = Raw::open(address);
    for _ in 0..10 {
        let mut unlucky = Raw::open(address);
        unlucky.write(&masked(TEXT, b"panic"));
        unlucky.expect(CLOSE, &close(1011, ""));
        assert_eq!(unlucky.read_to_the_end().unwrap(), b"");
        honest.write(&masked(TEXT, b"hello"));
        honest.expect(TEXT, b"hello");
    }
    honest.write(&masked(CLOSE, &close(1000, "")));
    honest.expect(CLOSE, &close(1000, ""));
    drop(honest);
    handle.shutdown(LONG);
    finish(server);
}

/// A stream whose n-th write panics.
#[derive(Debug)]
struct PanicsAt {
    stream: MemoryStream,
    left: u32,
}

impl Read for PanicsAt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for PanicsAt {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.saturating_sub(1);
        assert_ne!(self.left, 0, "the stream");
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for PanicsAt {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_write_timeout(timeout)
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.stream.set_nonblocking(nonblocking)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown_write()
    }

    fn try_clone(&self) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

// Nobody knows how much of the write has arrived, and a second call might panic again.
#[test]
fn a_stream_that_panics_is_not_written_to_again() {
    let (near, mut far) = MemoryStream::pair();
    let mut ws = server(PanicsAt { stream: near, left: 2 });
    ws.send("one").unwrap();
    let thread = thread::spawn(move || ws.send("two"));
    assert!(within(move || thread.join()).is_err());
    let mut bytes = Vec::new();
    far.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, frame(TEXT, b"one", None));
}

/// A stream without time-outs that tells of each write.
struct Told {
    stream: MemoryStream,
    writes: mpsc::Sender<usize>,
}

impl Read for Told {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.writes.send(bytes.len());
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// A write to it might block for ever.
#[test]
fn a_stream_without_time_outs_is_not_written_to() {
    let (near, _far) = MemoryStream::pair();
    let (writes, told) = mpsc::channel();
    let ws: WebSocket<_> = server(Plain(Told { stream: near, writes }));
    panic_with(ws);
    assert_eq!(told.iter().count(), 0);
}
