//! Reading without waiting.

mod common;
#[path = "common/timed.rs"]
mod timed;

use std::io::{self, ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use timed::Timed;
use ws_std::ws_core::Endpoint;
use ws_std::{
    CloseCode, Config, Deadline, Error, Hub, Listener, MemoryStream, Message, Plain, ProtocolError,
    Stream, Tcp, Transport, WebSocket, pair,
};

/// A server over a stream whose handshake is done.
fn server<T: Transport>(stream: T) -> WebSocket<T> {
    WebSocket::from_endpoint(Endpoint::server_after_handshake(Config::new(), b""), stream)
}

/// A stream that fails when a read or write of it could wait.
#[derive(Debug)]
struct Watched {
    stream: MemoryStream,
    nonblocking: Arc<AtomicBool>,
    /// What nothing else brings comes from here, again and again.
    flood: Vec<u8>,
    /// How many more bytes it takes.
    room: Arc<AtomicUsize>,
}

impl Watched {
    fn new(stream: MemoryStream) -> Self {
        let room = Arc::new(AtomicUsize::new(usize::MAX));
        Self { stream, nonblocking: Arc::default(), flood: Vec::new(), room }
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(self.nonblocking.load(SeqCst), "this read could wait");
        match self.stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && !self.flood.is_empty() => {
                (&self.flood[..]).read(buffer)
            }
            result => result,
        }
    }
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(self.nonblocking.load(SeqCst), "this write could wait");
        let count = bytes.len().min(self.room.load(SeqCst));
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room.fetch_sub(count, SeqCst);
        self.stream.write(&bytes[..count])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Watched {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_write_timeout(timeout)
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.nonblocking.store(nonblocking, SeqCst);
        self.stream.set_nonblocking(nonblocking)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown_write()
    }

    fn try_clone(&self) -> io::Result<Self> {
        Err(ErrorKind::Unsupported.into())
    }
}

#[test]
fn try_read_takes_what_has_come_and_never_waits() {
    let (mut peer, near) = MemoryStream::pair();
    let near = Watched::new(near);
    let nonblocking = near.nonblocking.clone();
    let mut ws = server(near);
    assert_eq!(ws.try_read().unwrap(), None);
    assert_eq!(ws.close_info(), None);
    assert!(!nonblocking.load(SeqCst));
    let two = [masked(TEXT, b"one"), masked(BINARY, b"two")].concat();
    peer.write_all(&two[..two.len() - 1]).unwrap();
    assert_eq!(ws.try_read().unwrap(), Some("one".into()));
    assert_eq!(ws.try_read().unwrap(), None);
    peer.write_all(&two[two.len() - 1..]).unwrap();
    assert_eq!(ws.try_read().unwrap(), Some(Message::from(b"two")));
    assert_eq!(ws.try_read().unwrap(), None);
}

#[test]
fn try_read_reads_a_long_message_that_has_come() {
    let (mut peer, near) = MemoryStream::pair();
    let mut ws = server(Watched::new(near));
    let long = vec![7; 1 << 20];
    peer.write_all(&masked(BINARY, &long)).unwrap();
    assert_eq!(ws.try_read().unwrap(), Some(long.into()));
}

#[test]
fn try_read_answers_pings_and_writes_what_is_queued() {
    let (mut peer, near) = MemoryStream::pair();
    let mut ws = server(Watched::new(near));
    peer.write_all(&masked(PING, b"p")).unwrap();
    ws.queue("queued").unwrap();
    assert_eq!(ws.try_read().unwrap(), None);
    let expected = [frame(TEXT, b"queued", None), frame(PONG, b"p", None)].concat();
    let mut came = vec![0; expected.len()];
    peer.read_exact(&mut came).unwrap();
    assert_eq!(came, expected);
}

#[test]
fn a_peer_that_sends_without_end_does_not_keep_try_read() {
    let (_peer, mut near) = {
        let (peer, near) = MemoryStream::pair();
        (peer, Watched::new(near))
    };
    near.flood = masked(PONG, b"");
    assert_eq!(within(move || server(near).try_read().unwrap()), None);
    // Nor at the end of the connection.
    let (mut peer, mut near) = {
        let (peer, near) = MemoryStream::pair();
        (peer, Watched::new(near))
    };
    near.flood = vec![0; 1];
    peer.write_all(&masked(CLOSE, b"")).unwrap();
    within(move || {
        let mut ws = server(near);
        for _ in 0..3 {
            assert_eq!(ws.try_read().unwrap(), None);
        }
        assert!(ws.close_info().unwrap().clean);
        // To drop it would wait, for which this stream is not made.
        drop(ws.into_inner());
    });
}

#[test]
fn try_read_says_how_the_connection_ends() {
    within(|| {
        let (mut client, mut server) = pair().unwrap();
        client.start_close(CloseCode::GOING_AWAY, "bye").unwrap();
        drop(client);
        assert_eq!(server.try_read().unwrap(), None);
        let how = server.close_info().unwrap();
        assert_eq!((how.code, &*how.reason), (CloseCode::GOING_AWAY, "bye"));
        assert_eq!(server.try_read().unwrap(), None);

        let (mut peer, near) = MemoryStream::pair();
        // Not masked (RFC 6455 §5.1).
        peer.write_all(&frame(TEXT, b"x", None)).unwrap();
        peer.shutdown_write().unwrap();
        let error = self::server(near).try_read().unwrap_err();
        assert!(matches!(error, Error::Protocol(ProtocolError::UnmaskedFrame)), "{error}");
    });
}

/// A peer that closes and takes nothing, and does not end the stream either.
#[test]
fn try_read_never_waits_for_the_end_of_a_connection() {
    let (mut peer, near) = MemoryStream::pair();
    let near = Watched::new(near);
    let room = near.room.clone();
    let mut ws = server(near);
    room.store(0, SeqCst);
    peer.write_all(&masked(CLOSE, &close(1000, "bye"))).unwrap();
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(ws.try_read().unwrap(), None);
    }
    let how = ws.close_info().unwrap();
    assert_eq!((how.code, how.clean), (CloseCode::NORMAL, false));
    // Our Close frame goes out in parts, as the stream takes them.
    for _ in 0..4 {
        room.store(1, SeqCst);
        assert_eq!(ws.try_read().unwrap(), None);
    }
    assert!(ws.close_info().unwrap().clean);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    // The write side is shut down, and the peer's end is all that is awaited.
    let mut came = Vec::new();
    peer.read_to_end(&mut came).unwrap();
    assert_eq!(came, frame(CLOSE, &close(1000, ""), None));
    drop(peer);
    assert_eq!(ws.try_read().unwrap(), None);
    drop(ws);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn try_read_never_waits_for_output_to_be_taken() {
    let (near, far) = tcp();
    within(move || {
        let mut ws = server(near);
        ws.set_write_timeout(Some(Duration::from_millis(50)));
        while ws.send(vec![7; 1 << 20]).is_ok() {}
        let begun = Instant::now();
        for _ in 0..50 {
            assert_eq!(ws.try_read().unwrap(), None);
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        drop(far);
    });
}

#[test]
fn a_failure_is_told_by_try_read_at_once() {
    let (mut peer, near) = MemoryStream::pair();
    let mut ws = server(Watched::new(near));
    peer.write_all(&frame(TEXT, b"x", None)).unwrap();
    let begun = Instant::now();
    let error = ws.try_read().unwrap_err();
    assert!(matches!(error, Error::Protocol(ProtocolError::UnmaskedFrame)), "{error}");
    assert_eq!(ws.try_read().unwrap(), None);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let mut came = Vec::new();
    peer.read_to_end(&mut came).unwrap();
    assert_eq!(came, frame(CLOSE, &close(1002, "unmasked frame from a client"), None));
    drop(peer);
    // It has ended: the drop reads no more.
    assert_eq!(ws.try_read().unwrap(), None);
}

#[test]
fn a_panic_in_on_pong_leaves_a_socket_that_waits() {
    let (mut peer, near) = MemoryStream::pair();
    within(move || {
        let mut ws = server(near);
        ws.set_read_timeout(Some(Duration::from_millis(20)));
        ws.on_pong(|_| panic!("in the hook, by intention"));
        peer.write_all(&masked(PONG, b"")).unwrap();
        catch_unwind(AssertUnwindSafe(|| ws.try_read())).unwrap_err();
        let begun = Instant::now();
        let error = ws.read().unwrap_err();
        assert!(matches!(error, Error::Timeout(Deadline::Read)), "{error}");
        assert!(begun.elapsed() >= Duration::from_millis(20), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_reader_and_a_member_read_without_waiting() {
    within(|| {
        let (mut client, server) = pair().unwrap();
        let (mut reader, writer) = server.split().unwrap();
        assert_eq!(reader.try_read().unwrap(), None);
        client.send("one").unwrap();
        client.ping(b"p").unwrap();
        assert_eq!(reader.try_read().unwrap(), Some("one".into()));
        assert_eq!(reader.try_read().unwrap(), None);
        let (told, pongs) = mpsc::channel();
        client.on_pong(move |payload| told.send(payload.to_vec()).unwrap());
        writer.send("two").unwrap();
        assert_eq!(client.read().unwrap(), Some("two".into()));
        assert_eq!(pongs.try_recv().unwrap(), b"p");
        client.start_close(1000, "bye").unwrap();
        drop(client);
        assert_eq!(reader.try_read().unwrap(), None);
        assert_eq!(reader.close_info().unwrap().code, CloseCode::NORMAL);

        let (mut client, server) = pair().unwrap();
        let mut member = Hub::new().join(server).unwrap();
        assert_eq!(member.try_read().unwrap(), None);
        client.send("one").unwrap();
        assert_eq!(member.try_read().unwrap(), Some("one".into()));
        client.start_close(None, "").unwrap();
        drop(client);
        assert_eq!(member.try_read().unwrap(), None);
        assert_eq!(member.close_info().unwrap().code, CloseCode::NO_STATUS);
    });
}

/// After `try_read`, a read waits as before.
fn waits_again<T: Transport + Send + 'static>(near: T, mut far: impl Write + Send + 'static) {
    within(move || {
        let mut ws = server(near);
        ws.set_read_timeout(Some(Duration::from_millis(20)));
        assert_eq!(ws.try_read().unwrap(), None);
        let error = ws.read().unwrap_err();
        assert!(matches!(error, Error::Timeout(Deadline::Read)), "{error}");
        far.write_all(&masked(TEXT, b"hello")).unwrap();
        ws.set_read_timeout(None);
        assert_eq!(ws.read().unwrap(), Some("hello".into()));
        assert_eq!(ws.try_read().unwrap(), None);
        drop(far);
        assert_eq!(ws.read().unwrap(), None);
    });
}

#[test]
fn after_try_read_a_read_waits_again() {
    let (near, far) = tcp();
    waits_again(near, far);
    let (near, far) = tcp();
    waits_again(Tcp::from(near), far);
    let (near, far) = tcp();
    waits_again(Stream::from(near), far);
    #[cfg(unix)]
    {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        waits_again(near, far);
    }
    let (near, far) = MemoryStream::pair();
    waits_again(near, far);
}

#[test]
fn without_such_a_mode_the_shortest_time_out_does() {
    let (near, far) = MemoryStream::pair();
    waits_again(Timed::new(near), far);
}

#[test]
fn over_a_stream_without_time_outs_try_read_is_refused() {
    let (_peer, near) = MemoryStream::pair();
    let error = within(move || server(Plain(near)).try_read().unwrap_err());
    let Error::Io(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

// Both halves use one socket, whose mode the reader changes.
#[test]
fn a_writer_is_not_disturbed_by_a_reader_that_tries() {
    const MESSAGES: usize = 100;
    let (ws, client) = open(Listener::builder());
    let (mut reader, writer) = ws.split().unwrap();
    let long = vec![7; 300_000];
    let echoing = thread::spawn(move || {
        let mut client = client;
        for _ in 0..MESSAGES {
            let Frame { first, payload, .. } = client.frame();
            client.write(&masked(first, &payload[..payload.len() / 1000]));
        }
        client
    });
    let message = long.clone();
    let writing =
        thread::spawn(move || (0..MESSAGES).try_for_each(|_| writer.send(message.clone())));
    let count = within(move || {
        let mut count = 0;
        while count < MESSAGES {
            match reader.try_read().unwrap() {
                Some(message) => {
                    assert_eq!(message.len(), 300);
                    count += 1;
                }
                None => thread::yield_now(),
            }
        }
        count
    });
    finish(writing).unwrap();
    drop(finish(echoing));
    assert_eq!(count, MESSAGES);
}

/// A stream that always has the same bytes once more.
#[derive(Clone, Debug)]
struct Flood {
    frame: Arc<[u8]>,
    at: usize,
    read: Arc<AtomicUsize>,
}

impl Flood {
    /// A server that such a stream leads to, and how much it has read.
    fn server(frame: Vec<u8>) -> (WebSocket<Self>, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        (server(Self { frame: frame.into(), at: 0, read: read.clone() }), read)
    }
}

impl Read for Flood {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in &mut *buffer {
            *byte = self.frame[self.at];
            self.at = (self.at + 1) % self.frame.len();
        }
        self.read.fetch_add(buffer.len(), SeqCst);
        Ok(buffer.len())
    }
}

impl Write for Flood {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Flood {
    fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn set_nonblocking(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }
}

#[test]
fn one_try_read_reads_a_bounded_amount() {
    let (mut ws, read) = Flood::server(masked(PING, b""));
    assert_eq!(ws.try_read().unwrap(), None);
    assert!(read.load(SeqCst) <= 8 * 64 * 1024, "{}", read.load(SeqCst));
}

#[test]
fn try_read_of_a_member_that_has_left_does_not_wait_for_a_peer_that_floods() {
    let (ws, read) = Flood::server(masked(TEXT, b"hello"));
    let hub = Hub::new();
    let mut member = hub.join(ws).unwrap();
    assert!(hub.start_close(member.id(), 1000, ""));
    for calls in 1..=10 {
        assert_eq!(member.try_read().unwrap(), None);
        assert!(read.load(SeqCst) <= calls * 8 * 64 * 1024, "{}", read.load(SeqCst));
    }
}
