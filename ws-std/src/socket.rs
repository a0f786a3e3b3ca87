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

/// Lent payloads of at least this many bytes are written without being copied when output has to be written anyway.
const WRITTEN_AT_ONCE: usize = 16 * 1024;

/// An open WebSocket on a blocking stream.
///
/// [`read`](Self::read) returns the next message, and [`send`](Self::send) sends one. Pings and Close frames are
/// answered while reading. [`read_ref`](Self::read_ref) lends messages without a copy, and [`split`](Self::split)
/// returns two halves that read and write at the same time.
///
/// Dropping an open connection ends the stream without a Close frame, and queued messages are lost. Call
/// [`close`](Self::close) first.
///
/// If an open connection is dropped because its thread panics, what is queued and a Close frame with
/// [`CloseCode::INTERNAL_ERROR`] (1011) are written as far as the stream accepts them at once. This waits for nothing. A
/// stream without time-outs, such as [`Plain`](crate::Plain), ends without them.
///
/// When [`read`](Self::read) has returned `None`, Close frames have gone both ways, but the peer may not have ended the
/// TCP connection yet. A server ends it first, and a client waits for that (RFC 6455 §7.1.1). The socket does its part
/// when it is dropped, or in the next `read` or `close`. **Dropping it may therefore wait** for the peer, for at most
/// [`Config::close_timeout`](crate::Config::close_timeout) (5 seconds by default). The same applies after a protocol
/// error. Drop the socket soon, because the peer may be waiting too.
///
/// It is [`Send`] if the stream is, and not [`Sync`]. Several threads can share it after a [`split`](Self::split).
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
    /// Whether `write_stream` has begun a message that is not finished.
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

    /// Returns a WebSocket whose opening handshake was done elsewhere, for example by an HTTP server. Pass what was
    /// read after the request to [`Endpoint::server_after_handshake`].
    pub fn from_endpoint(endpoint: Endpoint, stream: T) -> Self {
        let mut link = Link::new(stream, Instant::now());
        link.write_timeout = Some(WRITE_TIMEOUT);
        Self::new(Driver::boxed(endpoint, link), None, None, None)
    }

    /// Waits for the next message and returns it. Queued messages are written before it waits.
    ///
    /// It returns `None` when the connection is over; [`close_info`](Self::close_info) then returns how it ended. Close
    /// frames have gone both ways by then, unless the stream ended before. Another call of `read` waits until the peer
    /// has ended the stream, as dropping the socket does.
    ///
    /// # Errors
    ///
    /// It is no error if the stream ends or is reset without a Close frame: `read` returns `None`, and the code in
    /// [`close_info`](Self::close_info) is 1006.
    ///
    /// - [`Error::Protocol`] if the peer broke the protocol;
    /// - [`Error::Io`] if the stream failed in any other way, for example because it is in non-blocking mode;
    /// - `Error::Tls`, with the feature `rustls`, if the peer sent a TLS alert or a record that is not valid;
    /// - [`Error::Random`] if a client got no random bytes;
    /// - [`Error::Timeout`] with [`Deadline::Pong`] if the peer did not answer a keepalive Ping, or with
    ///   [`Deadline::Read`] if no message arrived in time. After the latter nothing has changed: call `read` again to
    ///   go on waiting.
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
            // The supposed message is not valid UTF-8, and our Close frame was sent before.
            _ => {
                state.end(link, &mut endpoint.outbound);
                Ok(None)
            }
        }
    }

    /// Waits until the next event is a message. Returns `false` if the connection is over.
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

    /// Waits for the next message and lends it from the read buffer, without a copy or an allocation. Otherwise it is
    /// like [`read`](Self::read). The [`Replier`] that comes with the message can send while the message is borrowed.
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
    /// The errors of [`read`](Self::read).
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

    /// Returns the next message if it has arrived, without waiting for it. It returns `None` if no whole message has
    /// arrived yet or if the connection is over; [`close_info`](Self::close_info) distinguishes the two.
    ///
    /// Call it repeatedly, for example in each round of a game loop. Like `read`, it also answers Pings, enforces the
    /// time-outs, and writes as much of the queue as the stream accepts.
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
    /// Once the connection is over, each call does what it can to end the stream, without waiting. If you drop the
    /// socket before the stream has ended, the drop may wait for the peer; see [`WebSocket`].
    ///
    /// Over TCP, Unix sockets and TLS over these, a call never waits, with one exception: over TCP on Windows, a read
    /// or a write may take a millisecond. It may also do so over a [`Transport`] without
    /// [`set_nonblocking`](Transport::set_nonblocking). Unlike `try_read`, [`queue`](Self::queue) can wait: when 64 KiB
    /// are queued, it writes them, within the write time-out.
    ///
    /// # Errors
    ///
    /// The errors of [`read`](Self::read) except the read time-out, and [`Error::Io`] of the kind
    /// [`Unsupported`](io::ErrorKind::Unsupported) over a stream without time-outs, such as [`Plain`](crate::Plain).
    pub fn try_read(&mut self) -> Result<Option<Message>> {
        driver::try_read(self, |ws| &mut ws.driver.link, Self::read)
    }

    /// Sends a message. When this returns, the message has been written to the stream.
    ///
    /// To answer messages while reading, prefer [`queue`](Self::queue), which needs one write for many messages.
    ///
    /// While the stream accepts nothing, `send` reads ahead, up to the first message that the peer has sent. So two peers
    /// may each send one long message at the same time. If both send more before they read, neither can go on until a
    /// time-out. In such a protocol, read and send in different threads ([`split`](Self::split)).
    ///
    /// # Errors
    ///
    /// - [`Error::Send`] if the connection is closing, or if the peer has closed before it received the whole message;
    /// - [`Error::Io`] if the stream has failed;
    /// - [`Error::Timeout`] with [`Deadline::Write`]: the message was accepted, and the next write sends the rest of
    ///   it.
    ///
    /// If 16 MiB are waiting by then (the option `max_output` of either builder), further messages are refused with
    /// [`SendError::OutputFull`].
    pub fn send(&mut self, message: impl Into<Message>) -> Result<()> {
        self.queue(message)?;
        self.driver.flush()
    }

    /// Queues a message. It is written by the next [`send`](Self::send), [`flush`](Self::flush) or
    /// [`close`](Self::close), by the next [`read`](Self::read) that has to wait, or when 64 KiB are queued.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send).
    pub fn queue(&mut self, message: impl Into<Message>) -> Result<()> {
        let Driver { endpoint, link, .. } = &mut *self.driver;
        if let Err(Unsent { error, message, .. }) = endpoint.outbound.queue(message) {
            let mut message = Some(message);
            make_room(error, || link.flush(endpoint))?;
            link.queue(endpoint, |out| queue_or_keep(out, &mut message))?;
        }
        flush_long(link, endpoint)
    }

    /// Queues a message that was encoded before, for example for many receivers.
    ///
    /// # Errors
    ///
    /// The errors of [`queue`](Self::queue).
    pub fn queue_prepared(&mut self, message: &PreparedMessage) -> Result<()> {
        let Driver { endpoint, link, .. } = &mut *self.driver;
        link.queue(endpoint, |out| out.queue_prepared(message))?;
        flush_long(link, endpoint)
    }

    /// Writes everything that is queued.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send).
    pub fn flush(&mut self) -> Result<()> {
        self.driver.flush()
    }

    /// Sends a Ping with a payload of up to 125 bytes, which the peer's Pong returns; see [`on_pong`](Self::on_pong)
    /// (RFC 6455 §5.5.2).
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send).
    pub fn ping(&mut self, payload: &[u8]) -> Result<()> {
        self.driver.endpoint.outbound.ping(payload)?;
        self.driver.flush()
    }

    /// Sends an unsolicited Pong with a payload of up to 125 bytes, as a sign of life (RFC 6455 §5.5.3). Pings are
    /// answered without it.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send).
    pub fn pong(&mut self, payload: &[u8]) -> Result<()> {
        self.driver.endpoint.outbound.pong(payload)?;
        self.driver.flush()
    }

    /// Sets a function that is called with the payload of each Pong. The thread that reads calls it, while it reads.
    /// After a [`split`](Self::split) it belongs to the [`Reader`](crate::Reader).
    ///
    /// A Pong has the payload of the Ping that it answers. If several Pings are waiting, the peer may answer only the
    /// latest (RFC 6455 §5.5.3). Keepalive Pings have no payload. A round trip can be measured like this:
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

    /// Starts the closing handshake and returns (RFC 6455 §7.1.2). Then [`read`](Self::read) the peer's last messages
    /// until `read` returns `None`.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send), and [`Error::Send`] for a code or reason that is not allowed.
    pub fn start_close(&mut self, code: impl Into<CloseCode>, reason: &str) -> Result<()> {
        self.driver.endpoint.outbound.start_close(code, reason)?;
        self.driver.flush()
    }

    /// Closes the connection and waits until the peer has answered and has ended the stream (RFC 6455 §7.1.1). It waits
    /// for at most [`Config::close_timeout`](ws_core::Config::close_timeout), which starts again whenever the peer takes
    /// more of the output that is still to be written. Messages that still arrive are dropped.
    /// If the connection is over already, it only waits for the end of the stream. To go on reading, use
    /// [`start_close`](Self::start_close).
    ///
    /// The code is a [`CloseCode`], a number, or `None` for a Close frame without a code.
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
    /// The errors of [`start_close`](Self::start_close) for a code or reason that is not allowed, in which case nothing
    /// was sent. Any other error ends the connection.
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

    /// Returns how the connection ended, or `None` if it has not ended: the codes, the reason, whether it was closed
    /// cleanly, and which side closed first.
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.driver.endpoint.close_info()
    }

    /// Returns whether messages can be sent.
    pub fn is_open(&self) -> bool {
        self.driver.endpoint.outbound.is_open()
    }

    /// Returns the subprotocol in use.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Returns the client's request, on a server.
    pub fn request(&self) -> Option<&Request> {
        self.request.as_ref()
    }

    /// Returns the server's response, on a client.
    pub fn response(&self) -> Option<&Response> {
        self.response.as_deref()
    }

    /// Returns what was agreed about permessage-deflate. `None` means that messages are not compressed, because this
    /// side or the peer does not support it or has not enabled it.
    #[cfg(feature = "deflate")]
    pub fn deflate(&self) -> Option<DeflateParams> {
        self.driver.endpoint.outbound.deflate()
    }

    /// Sets whether messages that begin from now on are compressed, if permessage-deflate was agreed on. Default:
    /// `true`.
    ///
    /// Turn it off for a message that contains a secret beside text that an attacker can choose, and for content that
    /// is compressed already, such as pictures.
    #[cfg(feature = "deflate")]
    pub fn set_compression(&mut self, compress: bool) {
        self.driver.endpoint.outbound.set_compression(compress);
    }

    /// Changes [`Config::max_message`](ws_core::Config::max_message), in bytes, for example after a peer has logged in.
    ///
    /// The new limit applies from the next frame that is parsed. Messages that were parsed before are within the
    /// earlier limit. [`Config::max_frame`](ws_core::Config::max_frame) does not change.
    pub fn set_max_message(&mut self, bytes: u64) {
        self.driver.endpoint.inbound.set_max_message(bytes);
    }

    /// Sets how long [`read`](Self::read) waits for a message. Default: `None`, which means for ever.
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.driver.link.read_timeout = timeout;
    }

    /// Sets how long a write waits for the peer to accept output. Default: 30 seconds. `None` means for ever.
    pub fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.driver.link.write_timeout = timeout;
    }

    /// Returns the stream. Reading from it or writing to it breaks the connection.
    pub fn stream(&self) -> &T {
        &self.driver.link.io.stream
    }

    /// Returns the stream, to change its options. Reading from it or writing to it breaks the connection.
    pub fn stream_mut(&mut self) -> &mut T {
        &mut self.driver.link.io.stream
    }

    /// Returns the stream and drops the WebSocket. It sends nothing and does not wait for the peer: call
    /// [`close`](Self::close) before, or at least [`flush`](Self::flush).
    ///
    /// Queued messages that are not written are lost. Bytes that were read ahead are lost too, which are up to 64 KiB
    /// or an incomplete message. The position in the stream is therefore known only if the peer has sent nothing after
    /// the last message that was read. The stream is blocking and has no time-outs.
    pub fn into_inner(self) -> T {
        let stream = self.driver.into_inner().link.io.stream;
        let _ = stream.set_read_timeout(None);
        let _ = stream.set_write_timeout(None);
        stream
    }
}

impl WebSocket<Stream> {
    /// Returns the address of the peer, or that of the proxy if one was used.
    ///
    /// # Errors
    ///
    /// The error of the stream.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream().get_ref().peer_addr()
    }

    /// Returns the address of this side.
    ///
    /// # Errors
    ///
    /// The error of the stream.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream().get_ref().local_addr()
    }
}

/// The sending side of a [`WebSocket`] while one of its messages is lent.
#[derive(Debug)]
pub struct Replier<'w, T> {
    outbound: &'w mut Outbound,
    link: &'w mut Link<T>,
}

impl<T: Transport> Replier<'_, T> {
    /// Sends a message, as [`WebSocket::send`] does, but the payload is copied once, into the output. If the payload is
    /// long, a server copies only what the stream does not accept at once.
    ///
    /// # Errors
    ///
    /// The errors of [`WebSocket::send`].
    pub fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<()> {
        self.put(message.into(), 0)?;
        self.link.flush(self.outbound)
    }

    /// Queues a message, as [`WebSocket::queue`] does, but the payload is copied once, into the output. If the payload
    /// is long and the output reaches 64 KiB with it, a server copies only what the stream does not accept at once.
    ///
    /// # Errors
    ///
    /// The errors of [`WebSocket::send`].
    pub fn queue<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<()> {
        self.put(message.into(), FLUSH_THRESHOLD)?;
        flush_long(self.link, self.outbound)
    }

    /// Queues a message. If the message is long and the output reaches `much` bytes with it, writes it at once.
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

    /// Starts the closing handshake, as [`WebSocket::start_close`] does.
    ///
    /// # Errors
    ///
    /// The errors of [`WebSocket::start_close`].
    pub fn start_close(&mut self, code: impl Into<CloseCode>, reason: &str) -> Result<()> {
        self.outbound.start_close(code, reason)?;
        self.link.flush(self.outbound)
    }

    /// Sets whether messages are compressed, as [`WebSocket::set_compression`] does.
    #[cfg(feature = "deflate")]
    pub fn set_compression(&mut self, compress: bool) {
        self.outbound.set_compression(compress);
    }
}

/// Takes the message out of an event, so that nothing is left to be dropped.
#[inline]
fn message_of<M, B>(event: Event<M, B>) -> Option<M> {
    match event {
        Event::Message(message) => Some(message),
        _ => None,
    }
}

/// Queues a message, which is put back into `message` if that fails.
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

/// Writes the queue if it is long.
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
