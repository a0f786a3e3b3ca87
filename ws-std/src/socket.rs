use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ws_core::endpoint::{
    CloseInfo, Endpoint, Event, EventRef, Inbound, Opened, Outbound, Output, Peeked, Request,
    Response,
};
use ws_core::message::MessageRef;
use ws_core::{CloseCode, Message, PreparedMessage, SendError};

use crate::error::{Deadline, Error, Result};
use crate::transport::Transport;

/// Queued bytes beyond this are written without waiting for more.
pub(crate) const QUEUE: usize = 64 * 1024;
/// The most that is read and dropped while waiting for the peer to close the stream.
pub(crate) const MAX_DISCARD: usize = 64 << 20;
/// The most slices that one write takes.
const SLICES: usize = 16;

/// A stream and what is needed to wait on it with deadlines.
#[derive(Debug)]
pub(crate) struct Link<T> {
    pub(crate) stream: T,
    /// When time zero of the endpoint was.
    pub(crate) start: Instant,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    /// The time-outs that the stream was given last.
    set_read: Option<Duration>,
    set_write: Option<Duration>,
    /// Writing has failed: what can still be read is read, nothing more is written.
    broken: bool,
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    Bytes,
    Eof,
    TimedOut,
}

impl<T: Transport> Link<T> {
    pub(crate) fn new(stream: T, start: Instant) -> Self {
        Self {
            stream,
            start,
            read_timeout: None,
            write_timeout: None,
            set_read: None,
            set_write: None,
            broken: false,
        }
    }

    pub(crate) fn now(&self) -> ws_core::Instant {
        ws_core::Instant::from_elapsed(self.start.elapsed())
    }

    /// When a read that begins now has to end.
    pub(crate) fn deadline(&self) -> Option<ws_core::Instant> {
        self.read_timeout.map(|timeout| self.now().saturating_add(timeout))
    }

    /// The time left until a point on the endpoint's clock; at least a millisecond, as zero means
    /// for ever to a stream.
    fn left(&self, until: ws_core::Instant) -> Duration {
        until.saturating_since(self.now()).max(Duration::from_millis(1))
    }

    /// Writes all output.
    pub(crate) fn write(&mut self, output: &mut Output) -> Result<()> {
        if self.broken {
            output.advance(usize::MAX);
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        if self.set_write != self.write_timeout {
            self.stream.set_write_timeout(self.write_timeout)?;
            self.set_write = self.write_timeout;
        }
        while !output.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0_usize;
            for (slot, slice) in slices.iter_mut().zip(output.slices()) {
                *slot = IoSlice::new(slice);
                count = count.saturating_add(1);
            }
            match self.stream.write_vectored(slices.get(..count).unwrap_or_default()) {
                Ok(0) => {
                    self.broken = true;
                    return Err(io::Error::from(io::ErrorKind::WriteZero).into());
                }
                Ok(written) => output.advance(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(Error::Timeout(Deadline::Write)),
                Err(error) => {
                    self.broken = true;
                    return Err(error.into());
                }
            }
        }
        match self.stream.flush() {
            Ok(()) => Ok(()),
            Err(error) if is_timeout(&error) => Err(Error::Timeout(Deadline::Write)),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes all that `outbound` has to send. A pong that found the output full follows when there is
    /// room for it.
    pub(crate) fn flush(&mut self, outbound: &mut Outbound) -> Result<()> {
        loop {
            let output = outbound.output();
            if output.is_empty() {
                return Ok(());
            }
            self.write(output)?;
        }
    }

    /// Reads once, until `deadline` at the latest.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        deadline: Option<ws_core::Instant>,
    ) -> Result<(usize, Filled)> {
        let wanted = deadline.map(|deadline| self.left(deadline));
        // A time-out that is a little short is as good: waking up early does no harm.
        let fits = match (self.set_read, wanted) {
            (None, None) => true,
            (Some(set), Some(wanted)) => set <= wanted && set.saturating_mul(2) >= wanted,
            _ => false,
        };
        if !fits {
            self.stream.set_read_timeout(wanted)?;
            self.set_read = wanted;
        }
        loop {
            return match self.stream.read(buffer) {
                Ok(0) => Ok((0, Filled::Eof)),
                Ok(count) => Ok((count, Filled::Bytes)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(&error) => Ok((0, Filled::TimedOut)),
                Err(error) if is_loss(&error) => Ok((0, Filled::Eof)),
                Err(error) => Err(error.into()),
            };
        }
    }

    /// Reads into the endpoint once; tells it the time.
    pub(crate) fn fill(
        &mut self,
        inbound: &mut Inbound,
        deadline: Option<ws_core::Instant>,
    ) -> Result<Filled> {
        let (count, filled) = self.read(inbound.read_buf(), deadline)?;
        inbound.filled(count);
        Ok(filled)
    }
}

pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn is_loss(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
}

/// The earlier of two points in time, as seen from `now`.
pub(crate) fn earlier(
    a: Option<ws_core::Instant>,
    b: Option<ws_core::Instant>,
    now: ws_core::Instant,
) -> Option<ws_core::Instant> {
    match (a, b) {
        (Some(a), Some(b)) if a.saturating_since(now) <= b.saturating_since(now) => Some(a),
        (Some(_), Some(b)) => Some(b),
        (a, b) => a.or(b),
    }
}

/// An endpoint on a stream.
#[derive(Debug)]
pub(crate) struct Driver<T> {
    pub(crate) endpoint: Endpoint,
    pub(crate) link: Link<T>,
    /// The stream has been shut down or given up.
    pub(crate) finished: bool,
}

impl<T: Transport> Driver<T> {
    pub(crate) fn new(mut endpoint: Endpoint, link: Link<T>) -> Self {
        endpoint.handle_timeout(link.now());
        Self { endpoint, link, finished: false }
    }

    /// Writes all output.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.link.flush(self.endpoint.sides().1)
    }

    /// The next event, waiting for it until `deadline`; `None` when the connection is over.
    pub(crate) fn event(&mut self, deadline: Option<ws_core::Instant>) -> Result<Option<Event>> {
        loop {
            match self.endpoint.poll_event() {
                Ok(Some(event)) => return Ok(Some(event)),
                Ok(None) => {}
                Err(error) => return Err(self.failed(error.into())),
            }
            if self.endpoint.is_closed() {
                return Ok(None);
            }
            self.wait(deadline)?;
        }
    }

    /// Writes all output and reads once.
    pub(crate) fn wait(&mut self, deadline: Option<ws_core::Instant>) -> Result<()> {
        if let Err(error) = self.flush() {
            // A peer that is gone may have said something before.
            if !self.link.broken {
                return Err(error);
            }
        }
        let now = self.link.now();
        let until = earlier(self.endpoint.poll_timeout(), deadline, now);
        let filled = self.link.fill(self.endpoint.sides().0, until)?;
        let now = self.link.now();
        self.endpoint.handle_timeout(now);
        match filled {
            Filled::Bytes => {}
            Filled::Eof => self.endpoint.receive_eof(),
            Filled::TimedOut => {
                if deadline.is_some_and(|deadline| deadline.saturating_since(now).is_zero()) {
                    return Err(Error::Timeout(Deadline::Read));
                }
            }
        }
        Ok(())
    }

    /// Tells the peer of a failure that the endpoint has found, then gives it back.
    pub(crate) fn failed(&mut self, error: Error) -> Error {
        self.finish();
        error
    }

    /// Ends the stream: the output is written, the write side shut down when that is our part, and the
    /// peer's end awaited within the bounds of the closing handshake.
    pub(crate) fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        finish_write(&mut self.link, self.endpoint.sides().1);
        let mut shut = false;
        let mut left = MAX_DISCARD;
        let mut scratch = [0; 16 * 1024];
        while !self.endpoint.is_finished() && left > 0 {
            if !shut && self.endpoint.wants_shutdown() {
                shut = true;
                if self.link.stream.shutdown_write().is_err() {
                    break;
                }
            }
            let Some(until) = self.endpoint.poll_timeout() else { break };
            match self.link.read(&mut scratch, Some(until)) {
                Ok((count, Filled::Bytes)) => left = left.saturating_sub(count),
                Ok((_, Filled::TimedOut)) => {}
                Ok((_, Filled::Eof)) | Err(_) => break,
            }
            self.endpoint.handle_timeout(self.link.now());
        }
        if !shut {
            let _ = self.link.stream.shutdown_write();
        }
        self.endpoint.receive_eof();
    }
}

/// Writes what is left, for as long as a peer may take to close.
fn finish_write<T: Transport>(link: &mut Link<T>, outbound: &mut Outbound) {
    let patience = Duration::from_secs(5);
    link.write_timeout = Some(link.write_timeout.map_or(patience, |timeout| timeout.min(patience)));
    let _ = link.flush(outbound);
}

/// An open WebSocket on a blocking stream.
///
/// [`read`](Self::read) and [`send`](Self::send) do what their names say; Pings are answered and Close
/// frames returned while reading. For messages without a copy see [`read_ref`](Self::read_ref),
/// for reading and writing at the same time [`split`](Self::split).
///
/// ```no_run
/// let mut ws = ws_std::connect("ws://127.0.0.1:9001/")?;
/// ws.send("hello")?;
/// while let Some(message) = ws.read()? {
///     println!("{:?}", message.as_text());
///     ws.close(ws_std::CloseCode::NORMAL, "bye")?;
/// }
/// # Ok::<(), ws_std::Error>(())
/// ```
#[derive(Debug)]
pub struct WebSocket<T = TcpStream> {
    pub(crate) driver: Driver<T>,
    pub(crate) subprotocol: Option<String>,
    pub(crate) request: Option<Request>,
    pub(crate) response: Option<Response>,
}

impl<T: Transport> WebSocket<T> {
    pub(crate) fn new(driver: Driver<T>, opened: Opened, request: Option<Request>) -> Self {
        let Opened { subprotocol, response, .. } = opened;
        Self { driver, subprotocol, request, response }
    }

    /// A WebSocket whose opening handshake was done elsewhere, as by an HTTP server:
    /// [`Endpoint::server_after_handshake`] takes what was read after the request.
    pub fn from_endpoint(endpoint: Endpoint, stream: T) -> Self {
        let link = Link::new(stream, Instant::now());
        Self::new(Driver::new(endpoint, link), Opened::default(), None)
    }

    /// The next message; waits for it, and writes what is queued before it waits. `None` means that
    /// the connection is over: [`close_info`](Self::close_info) tells how.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol, the stream failed, or a deadline has passed:
    /// [`Error::Timeout`] with [`Deadline::Read`] leaves all as it is, read again to wait on.
    pub fn read(&mut self) -> Result<Option<Message>> {
        let deadline = self.read_deadline();
        loop {
            match self.driver.event(deadline)? {
                Some(Event::Message(message)) => return Ok(Some(message)),
                Some(Event::Closed(_)) | None => {
                    self.driver.finish();
                    return Ok(None);
                }
                Some(_) => {}
            }
        }
    }

    /// As [`read`](Self::read), but the message is lent from the read buffer: no copy, no allocation.
    /// The [`Replier`] that comes along sends while the message is held.
    ///
    /// ```no_run
    /// # fn echo(mut ws: ws_std::WebSocket) -> ws_std::Result<()> {
    /// while let Some((message, mut replier)) = ws.read_ref()? {
    ///     replier.queue(message)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_ref(&mut self) -> Result<Option<(MessageRef<'_>, Replier<'_, T>)>> {
        let deadline = self.read_deadline();
        loop {
            let (inbound, outbound) = self.driver.endpoint.sides();
            match inbound.peek(outbound) {
                Ok(Peeked::Message) => break,
                Ok(Peeked::Event(Event::Closed(_))) => {
                    self.driver.finish();
                    return Ok(None);
                }
                Ok(Peeked::Event(_)) => continue,
                Ok(Peeked::Nothing) => {}
                Err(error) => return Err(self.driver.failed(error.into())),
            }
            if self.driver.endpoint.is_closed() {
                self.driver.finish();
                return Ok(None);
            }
            self.driver.wait(deadline)?;
        }
        let Driver { endpoint, link, .. } = &mut self.driver;
        let (inbound, outbound) = endpoint.sides();
        match inbound.poll_event_ref(outbound) {
            Ok(Some(EventRef::Message(message))) => Ok(Some((message, Replier { outbound, link }))),
            Ok(_) => Ok(None),
            Err(error) => {
                finish_write(link, outbound);
                Err(error.into())
            }
        }
    }

    /// Sends a message; it is on the wire when this returns.
    ///
    /// To answer what is read, [`queue`](Self::queue) pays one write for many messages.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] when the connection is closing, [`Error::Io`], or [`Error::Timeout`] with
    /// [`Deadline::Write`]: then the rest goes out with the next write.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<()> {
        self.queue(message)?;
        self.driver.flush()
    }

    /// Queues a message: it leaves with the next [`send`](Self::send), [`flush`](Self::flush) or
    /// [`close`](Self::close), with the next [`read`](Self::read) that has to wait, or when
    /// 64 KiB are queued.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn queue(&mut self, message: impl Into<Message>) -> Result<()> {
        let mut message = message.into();
        if self.driver.endpoint.output().len() >= QUEUE {
            self.driver.flush()?;
        }
        while let Err(unsent) = self.driver.endpoint.send(message) {
            if unsent.error != SendError::OutputFull {
                return Err(unsent.into());
            }
            self.driver.flush()?;
            message = unsent.message;
        }
        Ok(())
    }

    /// Queues a message that was encoded before, as for many receivers.
    ///
    /// # Errors
    ///
    /// As [`queue`](Self::queue).
    pub fn queue_prepared(&mut self, message: &PreparedMessage) -> Result<()> {
        if self.driver.endpoint.output().len() >= QUEUE {
            self.driver.flush()?;
        }
        match self.driver.endpoint.send_prepared(message) {
            Err(SendError::OutputFull) => {
                self.driver.flush()?;
                Ok(self.driver.endpoint.send_prepared(message)?)
            }
            result => Ok(result?),
        }
    }

    /// Writes all that is queued.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn flush(&mut self) -> Result<()> {
        self.driver.flush()
    }

    /// Sends a Ping with up to 125 bytes.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn ping(&mut self, payload: &[u8]) -> Result<()> {
        self.driver.endpoint.ping(payload)?;
        self.driver.flush()
    }

    /// Starts the closing handshake and goes on: [`read`](Self::read) the peer's last messages until
    /// it gives `None`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Error::Send`] for a code or reason that is not allowed.
    pub fn start_close(&mut self, code: impl Into<Option<CloseCode>>, reason: &str) -> Result<()> {
        self.driver.endpoint.close(code, reason)?;
        self.driver.flush()
    }

    /// Closes the connection and waits until the peer agrees, for
    /// [`Config::close_timeout`](ws_core::Config::close_timeout) at the most; messages that still come
    /// are dropped. Closed before, it only tells how.
    ///
    /// # Errors
    ///
    /// As [`start_close`](Self::start_close).
    pub fn close(&mut self, code: impl Into<Option<CloseCode>>, reason: &str) -> Result<CloseInfo> {
        if !self.driver.endpoint.is_closed() && self.driver.endpoint.close_info().is_none() {
            match self.driver.endpoint.close(code, reason) {
                Ok(()) | Err(SendError::Closing) => {}
                Err(error) => return Err(error.into()),
            }
            loop {
                match self.driver.event(None) {
                    Ok(Some(Event::Closed(_)) | None) => break,
                    Ok(Some(_)) => {}
                    Err(error) => {
                        self.driver.finish();
                        return Err(error);
                    }
                }
            }
        }
        self.driver.finish();
        Ok(self.close_info().cloned().unwrap_or_else(CloseInfo::abnormal))
    }

    /// How the connection ended, once it has: code, reason, whether cleanly and who began.
    pub fn close_info(&self) -> Option<&CloseInfo> {
        self.driver.endpoint.close_info()
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        self.driver.endpoint.is_open()
    }

    /// The subprotocol in use.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The client's request, on a server.
    pub fn request(&self) -> Option<&Request> {
        self.request.as_ref()
    }

    /// The server's response, on a client.
    pub fn response(&self) -> Option<&Response> {
        self.response.as_ref()
    }

    /// How long [`read`](Self::read) waits for a message. Default `None`: for ever.
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.driver.link.read_timeout = timeout;
    }

    /// How long a write waits for the peer to take what is written. Default 30 seconds.
    pub fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.driver.link.write_timeout = timeout;
    }

    /// The stream. To read from it or write to it breaks the connection.
    pub fn stream(&self) -> &T {
        &self.driver.link.stream
    }

    fn read_deadline(&self) -> Option<ws_core::Instant> {
        let link = &self.driver.link;
        link.deadline()
    }
}

impl WebSocket<TcpStream> {
    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// As of the stream.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.driver.link.stream.peer_addr()
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// As of the stream.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.driver.link.stream.local_addr()
    }
}

/// The sending side of a [`WebSocket`] while a message of it is lent.
#[derive(Debug)]
pub struct Replier<'w, T> {
    outbound: &'w mut Outbound,
    link: &'w mut Link<T>,
}

impl<T: Transport> Replier<'_, T> {
    /// As [`WebSocket::send`]; the payload is copied once, into the output.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    pub fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<()> {
        self.queue(message)?;
        self.link.flush(self.outbound)
    }

    /// As [`WebSocket::queue`]; the payload is copied once, into the output.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    pub fn queue<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<()> {
        let message = message.into();
        if self.outbound.output().len() >= QUEUE {
            self.link.flush(self.outbound)?;
        }
        match self.outbound.send_ref(message) {
            Err(SendError::OutputFull) => {
                self.link.flush(self.outbound)?;
                Ok(self.outbound.send_ref(message)?)
            }
            result => Ok(result?),
        }
    }

    /// As [`WebSocket::start_close`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::start_close`].
    pub fn start_close(&mut self, code: impl Into<Option<CloseCode>>, reason: &str) -> Result<()> {
        self.outbound.close(code, reason)?;
        self.link.flush(self.outbound)
    }
}
