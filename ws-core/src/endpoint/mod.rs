//! A whole WebSocket endpoint without I/O: opening handshake, messages, buffers.
//!
//! [`Endpoint`] is what a driver for some kind of stream is built on. The loop is always the same:
//!
//! 1. Poll events until there are none, and react to them.
//! 2. Write [`output`](Endpoint::output) to the stream.
//! 3. When [`wants_shutdown`](Endpoint::wants_shutdown), shut down the stream's write side; when
//!    [`is_finished`](Endpoint::is_finished), drop it.
//! 4. Read from the stream into [`read_buf`](Endpoint::read_buf) and tell by
//!    [`filled`](Endpoint::filled), or pass bytes to [`receive`](Endpoint::receive); at the end of the
//!    stream call [`receive_eof`](Endpoint::receive_eof).
//!
//! With time-outs, a driver tells the time by [`handle_timeout`](Endpoint::handle_timeout), once right
//! after creation and once after each wait, and waits at most until
//! [`poll_timeout`](Endpoint::poll_timeout): no time-out holds without that.
//!
//! Calls may come in any order and any of them may be the last for a while: nothing is lost when a
//! driver is cancelled between two.

mod event;
mod http;
mod inbound;
mod opening;
mod options;
mod outbound;
mod output;
mod read_buffer;
mod shared_buffers;

use alloc::string::ToString;
use core::fmt;

pub use event::{Chunk, CloseInfo, Error, Event, EventRef, Opened, Unsent};
pub use http::{Fields, Request, Response};
pub use inbound::{Inbound, Peeked};
pub use options::{Options, Origins};
pub use outbound::{Outbound, Random};
pub use output::Output;
pub use shared_buffers::{Buffers, WithBuffers};

use crate::connection::{Receiver, Sender};
use crate::handshake::{AcceptResponse, ClientKey, ClientRequest, HeadError, HttpResponse};
use crate::{CloseCode, Instant, Message, MessageKind, PreparedMessage, Role, SendError};

/// One side of a WebSocket connection, from its opening handshake to its end, without I/O.
///
/// Its events are [`endpoint::Event`](Event), not those of a [`Connection`](crate::Connection). It owns its
/// buffers. Memory follows what has arrived, never what a peer declares. It can be moved to another thread,
/// but not be shared between threads: it is [`Send`] and not [`Sync`], because [`Random`] is so.
///
/// ```
/// use ws_core::endpoint::{Endpoint, Event, Options};
/// use ws_core::handshake::AcceptResponse;
/// use ws_core::Config;
///
/// let mut server = Endpoint::server(Config::default());
/// let mut received: &[u8] =
///     b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\
///       \x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
/// while !received.is_empty() {
///     let taken = server.receive(received);
///     received = &received[taken..]; // what there was no room for
///     while let Some(event) = server.poll_event()? {
///         match event {
///             Event::Request(_) => server.accept(&AcceptResponse::new())?,
///             Event::Message(message) => server.send(message)?,
///             _ => {}
///         }
///     }
/// }
/// let output: Vec<u8> = server.output().slices().flatten().copied().collect();
/// assert!(output.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
/// assert!(output.ends_with(b"\x81\x05Hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Endpoint {
    inbound: Inbound,
    outbound: Outbound,
}

/// Why a request was not answered. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenError {
    /// No request waits for this answer.
    NoRequest,
    /// The answer is not valid.
    Head(HeadError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRequest => f.write_str("no request waits for this answer"),
            Self::Head(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::NoRequest => None,
            Self::Head(error) => error.source(),
        }
    }
}

impl From<HeadError> for OpenError {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

impl Endpoint {
    /// A server that waits for a request.
    pub fn server(options: impl Into<Options>) -> Self {
        let options = options.into();
        let (receiver, sender) = halves(Role::Server, &options);
        let outbound = Outbound::new(sender, None, &options);
        Self { inbound: Inbound::opening(receiver, options, None), outbound }
    }

    /// A client whose request is in the output.
    ///
    /// `random` fills bytes from a cryptographic random generator: the key of the handshake and
    /// the masking keys, which must not be foreseeable (RFC 6455 §10.3).
    ///
    /// ```
    /// use ws_core::endpoint::{Endpoint, Event};
    /// use ws_core::handshake::ClientRequest;
    /// use ws_core::{Config, Instant};
    ///
    /// let request = ClientRequest::new("example.com", "/chat");
    /// let random = Box::new(|bytes: &mut [u8]| bytes.fill(7)); // yours: a cryptographic generator
    /// let mut client = Endpoint::client(&request, Config::default(), random)?;
    /// client.handle_timeout(Instant::from_millis(0));
    /// // Write client.output() to the stream, read the answer, and so on:
    /// assert!(client.output().chunk().starts_with(b"GET /chat HTTP/1.1\r\nHost: example.com\r\n"));
    /// // No answer comes in 10 seconds.
    /// let deadline = client.poll_timeout().expect("a handshake has a deadline");
    /// client.handle_timeout(deadline);
    /// assert!(client.poll_event().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Something in the request is not valid, or it has `extensions`: those are not for the caller to offer.
    pub fn client(
        request: &ClientRequest<'_>,
        options: impl Into<Options>,
        mut random: Random,
    ) -> Result<Self, HeadError> {
        if request.extensions.is_some() {
            return Err(HeadError::InvalidExtension);
        }
        let options = options.into();
        let mut nonce = [0; 16];
        random(&mut nonce);
        let key = ClientKey::from_nonce(nonce);
        let (receiver, sender) = halves(Role::Client, &options);
        let mut outbound = Outbound::new(sender, Some(random), &options);
        outbound.head(|out| request.write(&key, out))?;
        let offered = request.subprotocols.iter().map(ToString::to_string).collect();
        Ok(Self { inbound: Inbound::opening(receiver, options, Some((key, offered))), outbound })
    }

    /// A server whose opening handshake was done elsewhere, as by an HTTP server; `leftover` is what
    /// was read after the request's head. It is open from the start: no [`Event::Open`] is told.
    pub fn server_after_handshake(options: impl Into<Options>, leftover: &[u8]) -> Self {
        Self::after_handshake(Role::Server, options.into(), None, leftover)
    }

    /// A client whose opening handshake was done elsewhere; `leftover` is what was read after the
    /// response's head.
    pub fn client_after_handshake(
        options: impl Into<Options>,
        random: Random,
        leftover: &[u8],
    ) -> Self {
        Self::after_handshake(Role::Client, options.into(), Some(random), leftover)
    }

    fn after_handshake(
        role: Role,
        options: Options,
        random: Option<Random>,
        leftover: &[u8],
    ) -> Self {
        let (receiver, sender) = halves(role, &options);
        let mut outbound = Outbound::new(sender, random, &options);
        outbound.open();
        let mut inbound = Inbound::open(receiver);
        inbound.preload(leftover);
        Self { inbound, outbound }
    }

    /// Takes bytes that were read from the stream, as many as there is room for, and says how many: poll
    /// events and pass the rest again. While a request waits for its answer there may be no room at all.
    #[must_use = "the bytes that were not taken have to be passed again"]
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        self.inbound.receive(bytes)
    }

    /// Room to read into, without the copy that [`receive`](Self::receive) makes.
    ///
    /// Poll events until there are none before: the room is empty when 64 KiB wait to be parsed, and a
    /// read into it looks like the end of the stream. See [`wants_read`](Self::wants_read).
    pub fn read_buf(&mut self) -> &mut [u8] {
        self.inbound.read_buf()
    }

    /// Whether more can be read. If not, what there is has to be polled first, a request has to be answered,
    /// or the stream has ended: then wait for nothing but [`poll_timeout`](Self::poll_timeout).
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.inbound.wants_read() && !self.outbound.is_finished()
    }

    /// Tells that the first `count` bytes of [`read_buf`](Self::read_buf) were filled.
    pub fn filled(&mut self, count: usize) {
        self.inbound.filled(count);
    }

    /// Whether messages are told in pieces as they arrive, [`Event::Chunk`], instead of whole: for
    /// messages that need not fit in memory. It takes effect with the next message that starts; their
    /// length is still bounded by [`Config::max_message`](crate::Config::max_message).
    pub fn set_streaming(&mut self, streaming: bool) {
        self.inbound.set_streaming(streaming);
    }

    /// Tells that the stream has ended, or was lost. Events that came before are still told.
    pub fn receive_eof(&mut self) {
        self.inbound.receive_eof();
        if self.outbound.is_closed() {
            self.outbound.sender.end();
        }
    }

    /// Tells that the stream has failed, by a reset or otherwise: nothing more can be read or written.
    ///
    /// What came before is still told, as after [`receive_eof`](Self::receive_eof); output is dropped, so
    /// that [`is_finished`](Self::is_finished) when that has been polled.
    pub fn receive_reset(&mut self) {
        self.outbound.receive_reset();
        self.receive_eof();
    }

    /// The next event; `None` means that more bytes are needed.
    ///
    /// # Errors
    ///
    /// The connection has failed. It is told once, after all that preceded it; the Close frame or
    /// HTTP response that tells the peer is in the output.
    pub fn poll_event(&mut self) -> Result<Option<Event>, Error> {
        self.inbound.poll_event(&mut self.outbound)
    }

    /// As [`poll_event`](Self::poll_event), but messages are lent from the read buffer: no allocation,
    /// no copy. The sending side comes along, so that what is lent can be answered.
    ///
    /// ```
    /// # use ws_core::endpoint::{Endpoint, EventRef, Error};
    /// fn echo(endpoint: &mut Endpoint) -> Result<(), Box<dyn std::error::Error>> {
    ///     while let Some((event, out)) = endpoint.poll_event_ref()? {
    ///         if let EventRef::Message(message) = event {
    ///             out.send_ref(message)?;
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`poll_event`](Self::poll_event).
    #[inline]
    pub fn poll_event_ref(&mut self) -> Result<Option<(EventRef<'_>, &mut Outbound)>, Error> {
        let event = self.inbound.poll_event_ref(&mut self.outbound)?;
        Ok(event.map(|event| (event, &mut self.outbound)))
    }

    /// The two sides, for a driver that holds on to both.
    pub fn sides(&mut self) -> (&mut Inbound, &mut Outbound) {
        (&mut self.inbound, &mut self.outbound)
    }

    /// Takes the endpoint apart, for a driver that reads and writes in two places. Events are polled with
    /// the sending side at hand, so that replies get there.
    pub fn into_sides(self) -> (Inbound, Outbound) {
        (self.inbound, self.outbound)
    }

    /// Answers a request for a WebSocket with 101.
    ///
    /// # Errors
    ///
    /// No such request waits, a subprotocol was not offered, or a header is not valid.
    pub fn accept(&mut self, response: &AcceptResponse<'_>) -> Result<(), OpenError> {
        self.inbound.accept(response, &mut self.outbound)
    }

    /// Answers a request, of either kind, with an HTTP response, body included, and ends.
    ///
    /// # Errors
    ///
    /// No request waits, or the response is not valid.
    pub fn respond(&mut self, response: &HttpResponse<'_>) -> Result<(), OpenError> {
        self.inbound.respond(response, &mut self.outbound)
    }

    /// As [`Outbound::send`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), Unsent> {
        self.outbound.send(message)
    }

    /// As [`Outbound::send_prepared`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send_prepared(&mut self, prepared: &PreparedMessage) -> Result<(), SendError> {
        self.outbound.send_prepared(prepared)
    }

    /// As [`Outbound::send_fragment`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send_fragment(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        last: bool,
    ) -> Result<(), SendError> {
        self.outbound.send_fragment(kind, payload, last)
    }

    /// As [`Outbound::ping`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.outbound.ping(payload)
    }

    /// As [`Outbound::close`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn close(
        &mut self,
        code: impl Into<Option<CloseCode>>,
        reason: &str,
    ) -> Result<(), SendError> {
        self.outbound.close(code, reason)
    }

    /// The bytes to write to the stream.
    pub fn output(&mut self) -> &mut Output {
        self.outbound.output()
    }

    /// Moves the output into `batch`, unless that still holds some: for a driver that goes on with the endpoint
    /// while it writes, as one that hands over what it writes, or that writes in another task.
    ///
    /// It still counts as output until [`written`](Self::written) tells that the stream has taken it:
    /// in [`wants_shutdown`](Self::wants_shutdown), in [`is_finished`](Self::is_finished), and towards
    /// [`Options::max_output`]. When the stream has failed, tell [`receive_reset`](Self::receive_reset); when it
    /// [`is_finished`](Self::is_finished) while some is left, nobody waits for that any more.
    ///
    /// ```
    /// use ws_core::endpoint::{Endpoint, Output};
    /// use ws_core::Config;
    ///
    /// let mut ws = Endpoint::server_after_handshake(Config::default(), &[]);
    /// let mut batch = Output::default();
    /// ws.send("Hello")?;
    /// ws.take_output(&mut batch);
    /// ws.send("goes with the next batch")?;
    /// while !batch.is_empty() {
    ///     let count = batch.chunk().len(); // of what stream.write(batch.chunk()) has taken
    ///     batch.advance(count);
    ///     ws.written(count);
    /// }
    /// # Ok::<(), ws_core::endpoint::Unsent>(())
    /// ```
    pub fn take_output(&mut self, batch: &mut Output) {
        self.outbound.take_output(batch);
    }

    /// Tells that the stream has taken `count` more bytes of what [`take_output`](Self::take_output) gave. Tell it
    /// after each write, as a peer that takes its output slowly is alive.
    pub fn written(&mut self, count: usize) {
        self.outbound.written(count);
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called at the latest; `None` when
    /// nothing is waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.inbound.poll_timeout(&self.outbound)
    }

    /// Tells the time: once right after creation, and then once after each wait, before or after the
    /// bytes that have come are given.
    ///
    /// While there are bytes that are not parsed yet, a Pong may be among them: what is due is then
    /// looked at when [`poll_event`](Self::poll_event) has come to their end.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.inbound.handle_timeout(now, &mut self.outbound);
    }

    /// Tells the time of what is about to be sent, and acts on nothing that is due: for a driver that
    /// sends long after it was woken last.
    pub fn set_now(&mut self, now: Instant) {
        self.outbound.set_now(now);
    }

    /// Whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outbound.is_open()
    }

    /// Whether nothing more will be received or sent: only output is left to be written.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.outbound.is_closed()
    }

    /// Whether the stream's write side should be shut down: all is written and it is this side's
    /// turn (RFC 6455 §7.1.1). It stays true: shut down once. The peer may be gone by then.
    #[must_use]
    pub fn wants_shutdown(&self) -> bool {
        self.outbound.wants_shutdown()
    }

    /// Whether the stream can be dropped: the output is written and the peer has ended the stream, or the
    /// time for that is over and what is left of the output was dropped.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.outbound.is_finished()
    }

    /// The error that [`poll_event`](Self::poll_event) has told, for a driver that reports it when the
    /// output is written.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        self.inbound.failure()
    }

    /// How the connection was closed, once it was; `None` when it has never been open.
    #[must_use]
    pub fn close_info(&self) -> Option<&CloseInfo> {
        self.inbound.close_info()
    }

    /// Lets go of buffers that hold nothing: for a driver with many idle connections, when they do not
    /// [share](Self::with_buffers) them.
    pub fn release_buffers(&mut self) {
        self.inbound.release();
        self.outbound.output.release();
    }
}

fn halves(role: Role, options: &Options) -> (Receiver, Sender) {
    // Nothing here inflates, so RSV1 has no meaning (RFC 6455 §5.2).
    crate::Connection::new(role, options.config.compression(false)).split()
}
