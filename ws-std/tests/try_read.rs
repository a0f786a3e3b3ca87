//! Reading without waiting.

mod common;
#[path = "common/timed.rs"]
mod timed;

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use common::*;
use timed::Timed;
use ws_std::{
    CloseCode, Deadline, Error, MemoryStream, Message, Plain, ProtocolError, Stream, Tcp,
    Transport, pair,
};

/// A stream that fails when a read of it could wait, or one that has no such mode.
#[derive(Debug)]
struct Watched {
    stream: MemoryStream,
    nonblocking: Arc<AtomicBool>,
    /// What nothing else brings comes from here, again and again.
    flood: Vec<u8>,
}

impl Watched {
    fn new(stream: MemoryStream) -> Self {
        Self { stream, nonblocking: Arc::default(), flood: Vec::new() }
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
        self.stream.write(bytes)
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
