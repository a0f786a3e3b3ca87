//! An open WebSocket on a blocking stream.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

#[cfg(feature = "deflate")]
use ws_core::deflate::DeflateParams;
use ws_core::endpoint::{CloseInfo, Endpoint, Event, Next, Outbound, Request, Response, Unsent};
use ws_core::message::MessageRef;
use ws_core::{CloseCode, Message, PreparedMessage, SendError};

use crate::WRITE_TIMEOUT;
use crate::driver::{self, Driver, Got, PongHook, SocketDriver};
use crate::error::Result;
#[cfg(doc)]
use crate::error::{Deadline, Error};
use crate::link::Link;
use crate::sending::{Sending, make_room};
use crate::transport::{Stream, Transport};

/// Queued bytes beyond this are written without waiting for more.
pub(crate) const FLUSH_THRESHOLD: usize = 64 * 1024;

/// Lent payloads from this size on are written without being copied, if it is time to write.
const WRITTEN_AT_ONCE: usize = 16 * 1024;

/// An open WebSocket on a blocking stream.
///
/// [`read`](Self::read) and [`send`](Self::send) do what their names say; Pings are answered and Close
/// frames returned while reading. For messages without a copy see [`read_ref`](Self::read_ref),
/// for reading and writing at the same time [`split`](Self::split).
///
/// To drop an open connection ends the stream without a Close frame, and what is queued is lost: call
/// [`close`](Self::close) first.
///
/// When [`read`](Self::read) has returned `None`, the Close frames have gone both ways, but the peer may not have ended
/// the TCP connection yet. A server ends it first, and a client waits for that (RFC 6455 §7.1.1). The socket does so when it
/// is dropped, or in the next `read` or `close`. **To drop it may therefore wait** for the peer, for
/// [`Config::close_timeout`](crate::Config::close_timeout) at the most (5 seconds by default). The same holds after a
/// protocol error. Drop the socket soon: the peer may be waiting, too.
///
/// It is [`Send`] where the stream is, and not [`Sync`]: several threads share it by [`split`](Self::split).
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
pub struct WebSocket<T: Transport = Stream> {
    pub(crate) driver: SocketDriver<T>,
    pub(crate) subprotocol: Option<String>,
    pub(crate) request: Option<Request>,
    pub(crate) response: Option<Box<Response>>,
    /// A message was begun by `write_stream` and not finished.
    pub(crate) unfinished: bool,
}

impl<T: Transport + fmt::Debug> fmt::Debug for WebSocket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("stream", &self.driver.link.io.stream)
            .field("open", &self.driver.endpoint.outbound.is_open())
            .field("close_info", &self.driver.endpoint.close_info())
            .field("subprotocol", &self.subprotocol)
            .field("request", &self.request)
            .field("response", &self.response)
            .finish_non_exhaustive()
    }
}

impl<T: Transport> WebSocket<T> {
    pub(crate) fn new(
        driver: Box<Driver<T>>,
        subprotocol: Option<String>,
        request: Option<Request>,
        response: Option<Box<Response>>,
    ) -> Self {
        let driver = SocketDriver::new(driver);
        Self { driver, subprotocol, request, response, unfinished: false }
    }

    /// A WebSocket whose opening handshake was done elsewhere, as by an HTTP server:
    /// [`Endpoint::server_after_handshake`] takes what was read after the request.
    pub fn from_endpoint(endpoint: Endpoint, stream: T) -> Self {
        let mut link = Link::new(stream, Instant::now());
        link.write_timeout = Some(WRITE_TIMEOUT);
        Self::new(Driver::boxed(endpoint, link), None, None, None)
    }

    /// The next message; waits for it, and writes what is queued before it waits. `None` means that
    /// the connection is over: [`close_info`](Self::close_info) tells how. The Close frames have gone both ways then,
    /// unless the stream ended before. To call `read` once more waits until the peer has ended the stream, as dropping
    /// the socket does.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol, the stream failed, or a deadline has passed:
    /// [`Error::Timeout`] with [`Deadline::Read`] leaves all as
    /// it is, read again to wait on.
    pub fn read(&mut self) -> Result<Option<Message>> {
        if !self.driver.has_message() && !self.wait_for_message()? {
            return Ok(None);
        }
        let Driver { endpoint, link, state } = &mut *self.driver;
        let clock = link.io.clock;
        match endpoint.inbound.next(&mut endpoint.outbound, || clock.now()) {
            Next::Event(Event::Message(message)) => Ok(Some(message)),
            Next::Failed(error) => {
                state.end(link, &mut endpoint.outbound);
                Err(error.into())
            }
            // What was taken for a message is not text, after our own Close frame.
            _ => {
                state.end(link, &mut endpoint.outbound);
                Ok(None)
            }
        }
    }

    /// Waits until the next thing to tell is a message; `false` means that the connection is over.
    #[inline(never)]
    fn wait_for_message(&mut self) -> Result<bool> {
        let deadline = self.driver.link.deadline();
        loop {
            match self.driver.read(deadline, true)? {
                Got::Message => return Ok(true),
                Got::Event(_) => {}
                Got::Over => return Ok(false),
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
        if !self.driver.has_message() && !self.wait_for_message()? {
            return Ok(None);
        }
        let Driver { endpoint, link, state } = &mut *self.driver;
        let Endpoint { inbound, outbound, .. } = endpoint;
        let clock = link.io.clock;
        match inbound.next_ref(outbound, || clock.now()) {
            Next::Event(event) => match message_of(event) {
                Some(message) => Ok(Some((message, Replier { outbound, link }))),
                // As in `read`.
                None => {
                    state.end(link, outbound);
                    Ok(None)
                }
            },
            Next::Failed(error) => {
                state.end(link, outbound);
                Err(error.into())
            }
            _ => Ok(None),
        }
    }

    /// As [`read`](Self::read), but it never waits: it takes what has come. `None` means that there is no whole message
    /// yet or that the connection is over, which [`close_info`](Self::close_info) tells.
    ///
    /// Call it again and again, as in each round of a game's loop: like `read`, it also answers Pings, keeps
    /// the time-outs, and writes what is queued as far as the stream takes it.
    ///
    /// ```no_run
    /// # fn round(ws: &mut ws_std::WebSocket) -> ws_std::Result<bool> {
    /// while let Some(message) = ws.try_read()? {
    ///     println!("{:?}", message.as_text());
    /// }
    /// let goes_on = ws.close_info().is_none();
    /// # Ok(goes_on)
    /// # }
    /// ```
    ///
    /// Once the connection is over, each call goes on with its end without waiting. To drop the socket may wait for the
    /// peer then: see [`WebSocket`].
    ///
    /// Nothing waits over TCP, Unix sockets and TLS over these. Over TCP on Windows, and over a [`Transport`] without
    /// [`set_nonblocking`](Transport::set_nonblocking), a read or a write may take a millisecond.
    /// [`queue`](Self::queue) itself writes when 64 KiB are queued, within the write time-out.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), but for the time-out. [`Error::Io`] of the kind
    /// [`Unsupported`](io::ErrorKind::Unsupported) over a stream without time-outs, such as
    /// [`Plain`](crate::Plain).
    pub fn try_read(&mut self) -> Result<Option<Message>> {
        driver::try_read(self, |ws| &mut ws.driver.link, Self::read)
    }

    /// Sends a message; it is on the wire when this returns.
    ///
    /// To answer what is read, [`queue`](Self::queue) pays one write for many messages.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] when the connection is closing, or the peer has closed before it has
    /// got the message as a whole, [`Error::Io`], or
    /// [`Error::Timeout`] with [`Deadline::Write`]: the message
    /// was taken, and the rest goes out with the next write. When 16 MiB wait by then (the option `max_output` of
    /// either builder), messages are not taken: [`SendError::OutputFull`].
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
        let Driver { endpoint, link, .. } = &mut *self.driver;
        if let Err(Unsent { error, message, .. }) = endpoint.outbound.queue(message) {
            let mut message = Some(message);
            make_room(error, || link.flush(endpoint))?;
            link.queue(endpoint, |out| queue_or_keep(out, &mut message))?;
        }
        flush_long(link, endpoint)
    }

    /// Queues a message that was encoded before, as for many receivers.
    ///
    /// # Errors
    ///
    /// As [`queue`](Self::queue).
    pub fn queue_prepared(&mut self, message: &PreparedMessage) -> Result<()> {
        let Driver { endpoint, link, .. } = &mut *self.driver;
        link.queue(endpoint, |out| out.queue_prepared(message))?;
        flush_long(link, endpoint)
    }

    /// Writes all that is queued.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn flush(&mut self) -> Result<()> {
        self.driver.flush()
    }

    /// Sends a Ping with up to 125 bytes, which the peer's Pong brings back: see [`on_pong`](Self::on_pong).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn ping(&mut self, payload: &[u8]) -> Result<()> {
        self.driver.endpoint.outbound.ping(payload)?;
        self.driver.flush()
    }

    /// Sends a Pong with up to 125 bytes that the peer has not asked for, as a sign of life
    /// (RFC 6455 §5.5.3). Pings are answered without it.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn pong(&mut self, payload: &[u8]) -> Result<()> {
        self.driver.endpoint.outbound.pong(payload)?;
        self.driver.flush()
    }

    /// Sets what is to be called with the payload of each Pong, on the thread that reads, while it reads. It
    /// stays with the [`Reader`](crate::Reader) after a [`split`](Self::split).
    ///
    /// A Pong carries the payload of the Ping that it answers. If several Pings wait, the peer may answer only
    /// the latest (RFC 6455 §5.5.3). Keepalive Pings have no payload. So a round trip can be measured:
    ///
    /// ```no_run
    /// use std::time::{Duration, Instant};
    ///
    /// let start = Instant::now();
    /// let mut ws = ws_std::connect("ws://127.0.0.1:9001/")?;
    /// ws.on_pong(move |payload| {
    ///     if let Ok(sent) = payload.try_into().map(u64::from_be_bytes) {
    ///         let round_trip = start.elapsed().saturating_sub(Duration::from_micros(sent));
    ///         println!("{round_trip:?}");
    ///     }
    /// });
    /// ws.ping(&(start.elapsed().as_micros() as u64).to_be_bytes())?;
    /// while let Some(message) = ws.read()? {
    ///     println!("{:?}", message.as_text());
    /// }
    /// # Ok::<(), ws_std::Error>(())
    /// ```
    pub fn on_pong(&mut self, hook: impl FnMut(&[u8]) + Send + Sync + 'static) {
        self.driver.state.on_pong = Some(PongHook(Box::new(hook)));
    }

    /// Starts the closing handshake and goes on: [`read`](Self::read) the peer's last messages until
    /// it returns `None`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Error::Send`] for a code or reason that is not allowed.
    pub fn start_close(&mut self, code: impl Into<CloseCode>, reason: &str) -> Result<()> {
        self.driver.endpoint.outbound.start_close(code, reason)?;
        self.driver.flush()
    }

    /// Closes the connection and waits until the peer has answered and has ended the stream, for
    /// [`Config::close_timeout`](ws_core::Config::close_timeout) at the most; messages that still come
    /// are dropped. If the connection is over already, it only waits for the end of the stream. To go on reading,
    /// use [`start_close`](Self::start_close).
    ///
    /// The code is a [`CloseCode`], a number, or `None` for a Close frame without one.
    ///
    /// ```no_run
    /// # fn done(mut ws: ws_std::WebSocket) -> ws_std::Result<()> {
    /// let how = ws.close(4000, "the game is over")?;
    /// println!("{how}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`start_close`](Self::start_close) for a code or reason that is not allowed: nothing has happened then. After any
    /// other error the connection is given up.
    pub fn close(&mut self, code: impl Into<CloseCode>, reason: &str) -> Result<CloseInfo> {
        if self.driver.endpoint.close_info().is_none() {
            match self.driver.endpoint.outbound.start_close(code, reason) {
                Ok(()) | Err(SendError::Closing) => {}
                Err(error) => return Err(error.into()),
            }
            loop {
                match self.driver.event(None) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => {
                        self.driver.reset();
                        return Err(error);
                    }
                }
            }
        }
        self.driver.finish();
        Ok(self.close_info().unwrap_or_else(CloseInfo::abnormal))
    }

    /// How the connection ended, once it has: code, reason, whether cleanly and who began.
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.driver.endpoint.close_info()
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        self.driver.endpoint.outbound.is_open()
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
        self.response.as_deref()
    }

    /// What was agreed about permessage-deflate. `None` means that messages are not compressed: this side does not
    /// want it, or the peer does not.
    #[cfg(feature = "deflate")]
    pub fn deflate(&self) -> Option<DeflateParams> {
        self.driver.endpoint.outbound.deflate()
    }

    /// Whether messages that begin from now on are compressed, if that was agreed. Default `true`.
    ///
    /// Turn it off for a message that holds a secret beside text that an attacker can choose, and for what is
    /// compressed already, such as pictures.
    #[cfg(feature = "deflate")]
    pub fn set_compression(&mut self, compress: bool) {
        self.driver.endpoint.outbound.set_compression(compress);
    }

    /// Changes [`Config::max_message`](ws_core::Config::max_message), in bytes, such as when a peer has logged in. It
    /// counts from the next frame that is read; messages that were read ahead by then are within the earlier limit.
    /// [`Config::max_frame`](ws_core::Config::max_frame) stays as it is.
    pub fn set_max_message(&mut self, bytes: u64) {
        self.driver.endpoint.inbound.set_max_message(bytes);
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
        &self.driver.link.io.stream
    }

    /// The stream, to change its options. To read from it or write to it breaks the connection.
    pub fn stream_mut(&mut self) -> &mut T {
        &mut self.driver.link.io.stream
    }

    /// Takes the stream and drops the WebSocket. Nothing is sent and nobody is waited for: call
    /// [`close`](Self::close) before, or at least [`flush`](Self::flush).
    ///
    /// What was queued and is not written is lost. So are bytes that were read ahead, up to 64 KiB or a
    /// message that has not come as a whole: the stream goes on at a place that is known only when the peer has sent
    /// nothing behind the last message that was read. The stream is blocking and without time-outs.
    pub fn into_inner(self) -> T {
        let stream = self.driver.into_inner().link.io.stream;
        let _ = stream.set_read_timeout(None);
        let _ = stream.set_write_timeout(None);
        stream
    }
}

impl WebSocket<Stream> {
    /// The address of the peer; of the proxy, if one was used.
    ///
    /// # Errors
    ///
    /// As of the stream.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream().get_ref().peer_addr()
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// As of the stream.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream().get_ref().local_addr()
    }
}

/// The sending side of a [`WebSocket`] while a message of it is lent.
#[derive(Debug)]
pub struct Replier<'w, T> {
    outbound: &'w mut Outbound,
    link: &'w mut Link<T>,
}

impl<T: Transport> Replier<'_, T> {
    /// As [`WebSocket::send`]; the payload is copied once, into the output. Of a long one, a server copies only what the
    /// stream does not take at once.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    pub fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<()> {
        self.put(message.into(), 0)?;
        self.link.flush(self.outbound)
    }

    /// As [`WebSocket::queue`]; the payload is copied once, into the output. Of a long one that makes 64 KiB of output, a
    /// server copies only what the stream does not take at once.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    pub fn queue<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<()> {
        self.put(message.into(), FLUSH_THRESHOLD)?;
        flush_long(self.link, self.outbound)
    }

    /// Queues a message, or writes it at once if it is long and then makes it so much that waits.
    #[inline]
    fn put(&mut self, message: MessageRef<'_>, much: usize) -> Result<()> {
        let len = message.len();
        if len >= WRITTEN_AT_ONCE && self.outbound.waiting().saturating_add(len) >= much {
            return self.link.queue_and_write(self.outbound, message);
        }
        match self.outbound.queue_ref(message) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.link.make_room_and_queue(self.outbound, error, |out| out.queue_ref(message))
            }
        }
    }

    /// As [`WebSocket::start_close`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::start_close`].
    pub fn start_close(&mut self, code: impl Into<CloseCode>, reason: &str) -> Result<()> {
        self.outbound.start_close(code, reason)?;
        self.link.flush(self.outbound)
    }

    /// As [`WebSocket::set_compression`].
    #[cfg(feature = "deflate")]
    pub fn set_compression(&mut self, compress: bool) {
        self.outbound.set_compression(compress);
    }
}

/// The message of an event, taken out of it, so that nothing is left to be dropped.
#[inline]
fn message_of<M, B>(event: Event<M, B>) -> Option<M> {
    match event {
        Event::Message(message) => Some(message),
        _ => None,
    }
}

/// Queues a message, which is still there if that fails.
pub(crate) fn queue_or_keep(
    out: &mut Outbound,
    message: &mut Option<Message>,
) -> std::result::Result<(), SendError> {
    let Some(taken) = message.take() else { return Ok(()) };
    out.queue(taken).map_err(|unsent| {
        *message = Some(unsent.message);
        unsent.error
    })
}

/// Writes what is queued when it is much.
#[inline]
fn flush_long<T: Transport>(link: &mut Link<T>, sending: &mut impl Sending) -> Result<()> {
    if sending.with(|out| out.waiting()) >= FLUSH_THRESHOLD { link.flush(sending) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use ws_core::Config;

    use super::*;
    use crate::MemoryStream;

    #[test]
    fn a_write_has_a_time_out_whoever_has_done_the_handshake() {
        let endpoint = Endpoint::server_after_handshake(Config::new(), &[]);
        let ws = WebSocket::from_endpoint(endpoint, MemoryStream::pair().0);
        assert_eq!(ws.driver.link.write_timeout, Some(WRITE_TIMEOUT));
    }
}
