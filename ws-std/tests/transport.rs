//! When bytes are written, and streams other than TCP.

mod common;

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use common::*;
use ws_std::ws_core::Endpoint;
use ws_std::{CloseCode, Config, Connector, Message, Plain, Transport, WebSocket};

/// A TCP stream that counts system calls.
#[derive(Debug)]
struct Counted {
    stream: TcpStream,
    reads: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, SeqCst);
        self.stream.read(buffer)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes.fetch_add(1, SeqCst);
        self.stream.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writes.fetch_add(1, SeqCst);
        self.stream.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Counted {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_write_timeout(timeout)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown_write()
    }

    fn try_clone(&self) -> io::Result<Self> {
        let (reads, writes) = (self.reads.clone(), self.writes.clone());
        Ok(Self { stream: self.stream.try_clone()?, reads, writes })
    }
}

/// Two connected TCP streams.
fn tcp() -> (TcpStream, TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// A server on a stream that counts, its counters (reads, writes), and its client.
fn counted() -> (WebSocket<Counted>, [Arc<AtomicUsize>; 2], Raw) {
    let (near, far) = tcp();
    near.set_nodelay(true).unwrap();
    let counters = [Arc::default(), Arc::default()];
    let [reads, writes] = counters.clone();
    let stream = Counted { stream: near, reads, writes };
    let endpoint = Endpoint::server_after_handshake(Config::new(), b"");
    (WebSocket::from_endpoint(endpoint, stream), counters, Raw::new(far))
}

#[test]
fn answers_to_a_batch_leave_with_one_write() {
    for by_ref in [false, true] {
        let (mut ws, [_, writes], mut client) = counted();
        let server = thread::spawn(move || {
            if by_ref {
                while let Some((message, mut replier)) = ws.read_ref().unwrap() {
                    replier.queue(message).unwrap();
                }
            } else {
                while let Some(message) = ws.read().unwrap() {
                    ws.queue(message).unwrap();
                }
            }
        });
        // In one segment, smaller than the read buffer.
        client.write(&masked(TEXT, b"0123456789").repeat(100));
        for _ in 0..100 {
            client.expect(TEXT, b"0123456789");
        }
        assert_eq!(writes.load(SeqCst), 1);
        drop(client);
        finish(server);
    }
}

#[test]
fn one_message_in_flight_takes_one_read_and_one_write() {
    let (mut ws, [reads, writes], mut client) = counted();
    let server = thread::spawn(move || {
        while let Some((message, mut replier)) = ws.read_ref().unwrap() {
            replier.queue(message).unwrap();
        }
    });
    for _ in 0..100 {
        client.write(&masked(BINARY, &[5; 100]));
        client.expect(BINARY, &[5; 100]);
    }
    drop(client);
    finish(server);
    // The last read is that of the end.
    assert_eq!((reads.load(SeqCst), writes.load(SeqCst)), (101, 100));
}

#[test]
fn send_writes_at_once_and_queue_when_much_has_gathered() {
    let (mut ws, [_, writes], mut client) = counted();
    ws.send("now").unwrap();
    assert_eq!(writes.load(SeqCst), 1);
    client.expect(TEXT, b"now");
    ws.queue("later").unwrap();
    assert_eq!(writes.load(SeqCst), 1);
    ws.send("with this").unwrap();
    assert_eq!(writes.load(SeqCst), 2);
    for _ in 0..64 {
        ws.queue(vec![1; 1000]).unwrap();
    }
    assert_eq!(writes.load(SeqCst), 2);
    ws.queue(vec![1; 2000]).unwrap();
    assert_eq!(writes.load(SeqCst), 3);
    ws.flush().unwrap();
    assert_eq!(writes.load(SeqCst), 3);
    ws.queue("before the end").unwrap();
    ws.start_close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(writes.load(SeqCst), 4);
    client.expect(TEXT, b"later");
    client.expect(TEXT, b"with this");
    for _ in 0..64 {
        client.expect(BINARY, &[1; 1000]);
    }
    client.expect(BINARY, &[1; 2000]);
    client.expect(TEXT, b"before the end");
    client.expect(CLOSE, &close(1000, ""));
}

#[test]
fn a_long_message_and_its_head_leave_with_one_write() {
    let (mut ws, [_, writes], mut client) = counted();
    ws.send(vec![3; 50_000]).unwrap();
    assert_eq!(writes.load(SeqCst), 1);
    client.expect(BINARY, &[3; 50_000]);
}

/// Echoes a few messages from a client to a server over two streams, and closes.
fn talk<A, B>(client: A, server: B)
where
    A: Transport + Send + 'static,
    B: Transport + Send + 'static,
{
    let server = thread::spawn(move || {
        let mut server = server;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            server.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        server.write_all(answer(std::str::from_utf8(&head).unwrap()).as_bytes()).unwrap();
        let endpoint = Endpoint::server_after_handshake(Config::new(), b"");
        let mut ws = WebSocket::from_endpoint(endpoint, server);
        while let Some(message) = ws.read().unwrap() {
            ws.queue(message).unwrap();
        }
        ws.close_info().unwrap().clone()
    });
    let how = within(move || {
        let connector = Connector::builder().protocols(["unused"]);
        let mut ws = connector.connect_over("wss://example.com/", client).unwrap();
        assert_eq!(ws.subprotocol(), None);
        for message in [Message::from("hello"), Message::from(vec![1; 100_000])] {
            ws.send(message.clone()).unwrap();
            assert_eq!(ws.read().unwrap(), Some(message));
        }
        ws.ping(b"ping").unwrap();
        ws.close(CloseCode::NORMAL, "bye").unwrap()
    });
    assert_eq!((how.code, how.clean, how.by_us), (CloseCode::NORMAL, true, true));
    let how = finish(server);
    assert_eq!(
        (how.code, &*how.reason, how.clean, how.by_us),
        (CloseCode::NORMAL, "bye", true, false)
    );
}

#[test]
fn a_websocket_runs_over_any_transport() {
    let (near, far) = tcp();
    talk(near, far);
}

#[cfg(unix)]
#[test]
fn a_websocket_runs_over_a_unix_stream_and_splits_there() {
    use std::os::unix::net::UnixStream;
    let (near, far) = UnixStream::pair().unwrap();
    talk(near, far);
    let (near, far) = UnixStream::pair().unwrap();
    let endpoint = Endpoint::server_after_handshake(Config::new(), b"");
    let (mut reader, writer) = WebSocket::from_endpoint(endpoint, near).split().unwrap();
    let mut far = far;
    far.write_all(&masked(TEXT, b"over here")).unwrap();
    assert_eq!(reader.read().unwrap(), Some(Message::from("over here")));
    writer.send("and back").unwrap();
    drop(reader);
    let mut rest = Vec::new();
    far.read_to_end(&mut rest).unwrap();
    assert_eq!(
        rest,
        [frame(TEXT, b"and back", None), frame(CLOSE, &close(1001, ""), None)].concat()
    );
}

#[test]
fn a_stream_without_time_outs_does_not_hang_at_the_end() {
    // Neither side can shut down or wait for the other.
    let (near, far) = tcp();
    talk(Plain(near), Plain(far));
}

#[test]
fn a_failed_stream_without_time_outs_does_not_hang() {
    let (near, far) = tcp();
    let endpoint = Endpoint::server_after_handshake(Config::new(), &masked(TEXT, b"\xff"));
    let mut ws = WebSocket::from_endpoint(endpoint, Plain(near));
    within(move || {
        assert!(ws.read().is_err());
        assert_eq!(ws.read().unwrap(), None);
        let error = ws.split().unwrap_err();
        assert!(
            matches!(error, ws_std::Error::Io(error) if error.kind() == io::ErrorKind::Unsupported)
        );
    });
    Raw::new(far).expect(CLOSE, &close(1007, ""));
}

#[test]
fn what_was_read_after_a_foreign_handshake_is_not_lost() {
    let (near, far) = tcp();
    let leftover = [masked(TEXT, b"early"), masked(BINARY, &[4; 200_000])].concat();
    let endpoint = Endpoint::server_after_handshake(Config::new(), &leftover);
    let mut ws = WebSocket::from_endpoint(endpoint, near);
    assert_eq!(ws.read().unwrap(), Some(Message::from("early")));
    assert_eq!(ws.read().unwrap(), Some(Message::from(vec![4; 200_000])));
    drop(far);
    assert_eq!(ws.read().unwrap(), None);
}
