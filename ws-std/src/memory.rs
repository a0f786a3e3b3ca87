//! A stream in memory, and a client and a server over it, for testing the protocol of an application.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Connector;
use crate::error::Result;
use crate::server::Listener;
use crate::socket::WebSocket;
use crate::sync::lock;
use crate::transport::{Stream, Transport};

/// Returns a client and a server that are connected in memory, for testing the protocol of an application without a
/// socket. Both have the default options.
///
/// The opening handshake is already done, for the URL `ws://localhost/`. For another URL, or for headers, subprotocols
/// or limits, pass the two ends of [`MemoryStream::pair`] to [`Connector::connect_over`] and
/// [`ListenerBuilder::request_over`](crate::ListenerBuilder::request_over). Call these in two threads, because
/// `connect_over` waits for the answer.
///
/// A function of the application that takes a `WebSocket<T>` for any [`Transport`] can be tested like this:
///
/// ```
/// use ws_std::{CloseCode, Transport, WebSocket};
///
/// /// Adds up the numbers that the client sends, until the client says that it is done.
/// fn serve_sums<T: Transport>(mut ws: WebSocket<T>) -> ws_std::Result<()> {
///     let mut sum = 0;
///     while let Some(message) = ws.read()? {
///         match message.as_text().map(str::parse::<i64>) {
///             Some(Ok(number)) => sum += number,
///             Some(Err(_)) => ws.send(sum.to_string())?,
///             None => return ws.close(CloseCode::UNSUPPORTED_DATA, "text only").map(drop),
///         }
///     }
///     Ok(())
/// }
///
/// // #[test] fn numbers_are_added() -> ws_std::Result<()> {
/// let (mut client, server) = ws_std::pair()?;
/// let server = std::thread::spawn(|| serve_sums(server));
/// for message in ["20", "22", "done"] {
///     client.send(message)?;
/// }
/// assert_eq!(client.read()?.unwrap().as_text(), Some("42"));
/// client.send([1, 2, 3])?;
/// assert!(client.read()?.is_none());
/// assert_eq!(client.close_info().unwrap().code, CloseCode::UNSUPPORTED_DATA);
/// server.join().unwrap()?;
/// # Ok::<(), ws_std::Error>(())
/// ```
///
/// One thread can also play both sides in turn, because a write over this stream never waits. Only the end of a
/// connection needs both sides at the same time. [`WebSocket::close`] waits for the peer's answer, so use
/// [`start_close`](WebSocket::start_close) and read. Dropping a server that has read `None` waits until the client has
/// ended the stream, so drop the client first. Each waits for at most [`close_timeout`](crate::Config::close_timeout).
///
/// # Errors
///
/// [`Error::Random`](crate::Error::Random) or [`Error::Io`](crate::Error::Io) if the operating system has no random
/// bytes or cannot start a thread.
#[expect(clippy::type_complexity, reason = "a pair of sockets")]
pub fn pair() -> Result<(WebSocket<Stream<MemoryStream>>, WebSocket<Stream<MemoryStream>>)> {
    let (near, far) = MemoryStream::pair();
    thread::scope(|scope| {
        let accept = move || Listener::builder().request_over(far)?.accept();
        let server = thread::Builder::new().spawn_scoped(scope, accept)?;
        let client = Connector::builder().connect_over("ws://localhost/", near)?;
        match server.join() {
            Ok(server) => Ok((client, server?)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// One end of a stream in memory.
///
/// One end reads what the other writes. The stream accepts everything that is written, so a write never waits. To test
/// a peer that accepts nothing, use sockets.
///
/// When an end and all its clones are dropped, the other end reads what was written and then the end of the stream. Its
/// writes fail with [`BrokenPipe`](ErrorKind::BrokenPipe).
///
/// ```
/// use ws_std::{Connector, Listener, MemoryStream};
///
/// let (client, server) = MemoryStream::pair();
/// let builder = Listener::builder().protocols(["chat"]);
/// let server = std::thread::spawn(move || builder.request_over(server)?.accept());
/// let client = Connector::builder().protocols(["chat"]).connect_over("ws://localhost/", client)?;
/// assert_eq!(client.subprotocol(), Some("chat"));
/// # drop(client);
/// # server.join().unwrap()?;
/// # Ok::<(), ws_std::Error>(())
/// ```
#[derive(Debug)]
pub struct MemoryStream {
    end: Arc<End>,
    read_timeout: Mutex<Option<Duration>>,
    nonblocking: AtomicBool,
}

/// The state that the clones of one end share.
#[derive(Debug)]
struct End {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
}

/// One direction of the stream.
#[derive(Debug, Default)]
struct Pipe {
    state: Mutex<PipeState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct PipeState {
    bytes: VecDeque<u8>,
    /// Whether either end has stopped using this direction.
    closed: bool,
}

impl MemoryStream {
    /// Returns both ends of a new stream.
    pub fn pair() -> (Self, Self) {
        let (a, b) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
        let end = |incoming: &Arc<Pipe>, outgoing: &Arc<Pipe>| {
            Self::new(Arc::new(End { incoming: incoming.clone(), outgoing: outgoing.clone() }))
        };
        (end(&a, &b), end(&b, &a))
    }

    fn new(end: Arc<End>) -> Self {
        Self { end, read_timeout: Mutex::default(), nonblocking: AtomicBool::new(false) }
    }
}

impl Pipe {
    fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.incoming.close();
        self.outgoing.close();
    }
}

impl Read for MemoryStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let timeout = *lock(&self.read_timeout);
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let Pipe { state, changed } = &*self.end.incoming;
        let mut state = lock(state);
        while state.bytes.is_empty() && !state.closed {
            if self.nonblocking.load(Ordering::Relaxed) {
                return Err(ErrorKind::WouldBlock.into());
            }
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return Err(ErrorKind::TimedOut.into()),
                Some(left) => {
                    changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        state.bytes.read(buffer)
    }
}

impl Write for MemoryStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Pipe { state, changed } = &*self.end.outgoing;
        let mut state = lock(state);
        if state.closed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        state.bytes.extend(bytes);
        changed.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for MemoryStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        *lock(&self.read_timeout) = timeout;
        Ok(())
    }

    /// Has no effect, because a write never waits.
    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
        Ok(())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.end.outgoing.close();
        Ok(())
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::new(self.end.clone()))
    }
}
