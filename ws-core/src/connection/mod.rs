//! The state of an open connection: every rule after the opening handshake, without I/O, a clock
//! or an allocator.
//!
//! A driver repeats three steps:
//!
//! 1. It reads bytes into a buffer of its own, wraps them in an [`Input`] and calls
//!    [`Connection::receive`] until that returns `None`. Payloads are unmasked in that buffer and
//!    handed out as [`Chunk`]s.
//! 2. It builds frames with [`head`](Connection::head) or one of the `encode` methods and writes
//!    them.
//! 3. While [`wants_transmit`](Connection::wants_transmit), it writes what
//!    [`poll_transmit`](Connection::poll_transmit) gives: pongs, keepalive pings and the Close frame.
//!
//! With time-outs, each wake-up has an order: [`set_now`](Connection::set_now), then `receive` until it
//! returns `None`, then [`handle_timeout`](Connection::handle_timeout) once, then the output. A Pong that
//! lies among the bytes would otherwise come too late. The driver sleeps at most until
//! [`poll_timeout`](Connection::poll_timeout). At the end of the stream it calls
//! [`receive_eof`](Connection::receive_eof); it shuts its write side down
//! when [`wants_shutdown`](Connection::wants_shutdown) and lets go of the socket
//! when the peer has closed, too, or [`is_finished`](Connection::is_finished).

mod data_frame;
mod ending;
mod input;
mod receiver;
mod sender;
mod timers;

pub use data_frame::DataFrame;
pub use input::{Chunk, Event, Input};
#[cfg(feature = "endpoint")]
pub(crate) use receiver::TextCheck;
pub use receiver::{Receiver, Reply};
pub use sender::Sender;

use core::ops::Range;

use crate::frame::{CloseFrame, FrameHead};
use crate::{CloseCode, Config, Instant, MaskingKey, ProtocolError, Role, SendError};

/// How far a connection has come to its end (RFC 6455 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Messages go both ways.
    Open,
    /// A Close frame was sent or received, or is due, but not both (RFC 6455 §7.1.3).
    Closing,
    /// Close frames went both ways, or the connection failed or was lost.
    Closed,
}

/// How the stream ended (RFC 6455 §7.1.4, §7.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The closing handshake was complete.
    Clean,
    /// It was not: the code is 1006 unless a Close frame was received.
    Abnormal,
}

/// One WebSocket connection after its opening handshake.
///
/// ```
/// use ws_core::{Config, Connection, DataFrame, Event, Input};
///
/// let mut server = Connection::server(Config::new());
/// // RFC 6455 §5.7: a masked "Hello".
/// let mut received = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
/// let mut input = Input::new(&mut received);
/// let mut output = [0; 16];
/// while let Some(event) = server.receive(&mut input)? {
///     if let Event::Data(chunk) = event {
///         let len = server.encode(chunk.frame(), chunk.bytes, None, &mut output)?;
///         assert_eq!(&output[..len], b"\x81\x05Hello");
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    receiver: Receiver,
    sender: Sender,
    ending: Option<Ending>,
}

impl Connection {
    /// The server's side.
    pub const fn server(config: Config) -> Self {
        Self::new(Role::Server, config)
    }

    /// The client's side.
    pub const fn client(config: Config) -> Self {
        Self::new(Role::Client, config)
    }

    /// The side of `role`.
    pub const fn new(role: Role, config: Config) -> Self {
        Self {
            receiver: Receiver::new(role, config),
            sender: Sender::new(role, config),
            ending: None,
        }
    }

    /// Takes bytes from `input` until something is to be told: a chunk of a message or a control
    /// frame. `None` means that all bytes were taken and more are needed.
    ///
    /// Call it until it returns `None`. The event borrows the buffer of the input alone, so that the
    /// connection can be used while the event is held. The reply to a Ping or a Close is queued for
    /// [`poll_transmit`](Self::poll_transmit).
    ///
    /// After a Close frame or an error all bytes are taken and nothing is told (RFC 6455 §5.5.1,
    /// §7.1.7).
    ///
    /// # Errors
    ///
    /// The first violation of the protocol or of a limit, once. A Close frame with its
    /// code is queued.
    #[inline]
    pub fn receive<'i>(
        &mut self,
        input: &mut Input<'i>,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        let before = input.consumed();
        let result = self.receiver.receive(input);
        self.after_receive(input.consumed() != before, &result);
        result
    }

    #[inline]
    fn after_receive(&mut self, any: bool, result: &Result<Option<Event<'_>>, ProtocolError>) {
        match result {
            Ok(Some(Event::Data(_))) => self.sender.received(true),
            _ if any => self.sender.received(false),
            _ => {}
        }
        if let Some(reply) = self.receiver.take_reply() {
            self.sender.reply(reply);
        }
    }

    /// Tells that the peer has closed its side of the stream, or that the stream was lost.
    ///
    /// It may be called again and gives the same answer.
    pub fn receive_eof(&mut self) -> Ending {
        let clean = self.receiver.close_frame().is_some()
            && self.receiver.error().is_none()
            && self.sender.close_sent();
        self.receiver.end();
        self.sender.end();
        *self.ending.get_or_insert(if clean { Ending::Clean } else { Ending::Abnormal })
    }

    /// Fails the connection with `error`, found by a layer above: the same ending as for an error of
    /// [`receive`](Self::receive). Without effect when the connection has failed before.
    pub fn fail(&mut self, error: ProtocolError) {
        self.receiver.fail(error);
        if let Some(reply) = self.receiver.take_reply() {
            self.sender.reply(reply);
        }
    }

    /// The payload of the last Ping, Pong or Close event, until the next call of
    /// [`receive`](Self::receive).
    #[inline]
    pub fn control_payload(&self) -> &[u8] {
        self.receiver.control_payload()
    }

    /// The Close frame that the peer has sent, if it has.
    pub fn close_frame(&self) -> Option<CloseFrame<'_>> {
        self.receiver.close_frame()
    }

    /// The head of a data frame, for a driver that writes it and the payload from two places
    /// (`writev`). See [`Sender::head`].
    ///
    /// # Errors
    ///
    /// As [`Sender::head`].
    #[inline]
    pub fn head(
        &mut self,
        frame: DataFrame,
        len: u64,
        key: Option<MaskingKey>,
    ) -> Result<FrameHead, SendError> {
        self.sender.head(frame, len, key)
    }

    /// Masks the next bytes of the frame's payload in place. See [`Sender::mask_payload`].
    ///
    /// # Errors
    ///
    /// [`SendError::PayloadTooLong`].
    #[inline]
    pub fn mask_payload(&mut self, payload: &mut [u8]) -> Result<(), SendError> {
        self.sender.mask_payload(payload)
    }

    /// Tells that a server has written `len` more bytes of the frame's payload. See
    /// [`Sender::payload_written`].
    ///
    /// # Errors
    ///
    /// [`SendError::PayloadTooLong`], [`SendError::PayloadUnmasked`].
    #[inline]
    pub fn payload_written(&mut self, len: u64) -> Result<(), SendError> {
        self.sender.payload_written(len)
    }

    /// Encodes a whole data frame into `out`; returns its length. See [`Sender::encode`].
    ///
    /// # Errors
    ///
    /// As [`Sender::head`], and [`SendError::BufferTooSmall`].
    #[inline]
    pub fn encode(
        &mut self,
        frame: DataFrame,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        self.sender.encode(frame, payload, key, out)
    }

    /// Makes a frame of the payload where it lies: the header is put right before it. See
    /// [`Sender::encode_in_place`].
    ///
    /// # Errors
    ///
    /// As [`Sender::head`], [`SendError::NoHeadroom`] and [`SendError::BufferTooSmall`].
    #[inline]
    pub fn encode_in_place(
        &mut self,
        frame: DataFrame,
        buffer: &mut [u8],
        payload: Range<usize>,
        key: Option<MaskingKey>,
    ) -> Result<Range<usize>, SendError> {
        self.sender.encode_in_place(frame, buffer, payload, key)
    }

    /// Appends a whole data frame to `out`.
    ///
    /// # Errors
    ///
    /// As [`Sender::head`].
    #[cfg(feature = "alloc")]
    #[inline]
    pub fn encode_vec(
        &mut self,
        frame: DataFrame,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut alloc::vec::Vec<u8>,
    ) -> Result<(), SendError> {
        self.sender.encode_vec(frame, payload, key, out)
    }

    /// Encodes a Ping into `out`; returns its length.
    ///
    /// # Errors
    ///
    /// As [`Sender::ping`].
    pub fn ping(
        &mut self,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        self.sender.ping(payload, key, out)
    }

    /// Encodes an unsolicited Pong into `out`; returns its length. Pings are answered without it.
    ///
    /// # Errors
    ///
    /// As [`Sender::ping`].
    pub fn pong(
        &mut self,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        self.sender.pong(payload, key, out)
    }

    /// Encodes a Close frame into `out`, which starts the closing handshake; returns its length.
    /// See [`Sender::close`].
    ///
    /// # Errors
    ///
    /// As [`Sender::close`].
    pub fn close(
        &mut self,
        code: impl Into<Option<CloseCode>>,
        reason: &str,
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        self.sender.close(code, reason, key, out)
    }

    /// Whether a frame waits for [`poll_transmit`](Self::poll_transmit) and may go out.
    #[inline]
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        self.sender.wants_transmit()
    }

    /// Writes the next pending control frame into `out`: a pong, a keepalive ping or the Close frame.
    /// Returns its length, or 0 when none is pending or a data frame is not complete.
    ///
    /// Call it while [`wants_transmit`](Self::wants_transmit), between frames, with a fresh key
    /// each time on a client. 131 bytes of output always suffice.
    ///
    /// # Errors
    ///
    /// [`SendError::BufferTooSmall`], [`SendError::MaskingKeyMissing`],
    /// [`SendError::MaskingKeyUnexpected`]; the frame stays pending.
    #[must_use = "the bytes have to be written to the stream"]
    pub fn poll_transmit(
        &mut self,
        out: &mut [u8],
        key: Option<MaskingKey>,
    ) -> Result<usize, SendError> {
        self.sender.poll_transmit(out, key)
    }

    /// Tells that the connection opens at `now`, from which its time-outs count; without it, it has
    /// opened at the origin of the driver's clock.
    pub fn opened(&mut self, now: Instant) {
        self.sender.opened(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called at the latest; absolute.
    ///
    /// Ask again after each [`receive`](Self::receive) or send; a point that is later than the one
    /// before needs no hurry, since waking up too early is harmless.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.sender.poll_timeout()
    }

    /// Tells the time. Call it once per wake-up; with bytes to parse, after them, and
    /// [`set_now`](Self::set_now) before: a Pong may be among them.
    ///
    /// What is due happens: a keepalive Ping or a Close frame becomes pending, or the connection is
    /// given up, see [`is_finished`](Self::is_finished).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.sender.handle_timeout(now);
        if self.sender.is_finished() {
            self.receiver.end();
        }
    }

    /// Tells the time of what is about to be received or sent, and acts on nothing that is due.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ws_core::{Config, Connection, Input, Instant};
    ///
    /// let config = Config::new()
    ///     .ping_interval(Some(Duration::from_secs(20)))
    ///     .pong_timeout(Some(Duration::from_secs(5)));
    /// let mut connection = Connection::client(config);
    /// connection.handle_timeout(Instant::from_millis(20_000)); // a Ping is due
    /// // The driver is held up. When it comes back, the Pong has been there for long.
    /// let now = Instant::from_millis(26_000);
    /// connection.set_now(now);
    /// let mut pong = *b"\x8a\x00";
    /// connection.receive(&mut Input::new(&mut pong))?;
    /// connection.handle_timeout(now);
    /// assert!(!connection.is_lost());
    /// # Ok::<(), ws_core::ProtocolError>(())
    /// ```
    pub fn set_now(&mut self, now: Instant) {
        self.sender.set_now(now);
    }

    /// How far the connection has come to its end.
    #[must_use]
    pub fn state(&self) -> State {
        self.sender.state()
    }

    /// Whether nothing more will be received or sent: Close frames went both ways, or the
    /// connection failed and said so, or it was lost or given up.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.sender.state(), State::Closed)
    }

    /// Whether the driver should shut down the write side of the stream, all output being written.
    ///
    /// A server closes first, a client waits for that (RFC 6455 §7.1.1), unless it has
    /// failed the connection or lost its patience.
    #[must_use]
    pub fn wants_shutdown(&self) -> bool {
        self.sender.wants_shutdown()
    }

    /// Whether the stream can be dropped without more ado: the peer has closed it, or the
    /// time for that is over.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.sender.is_finished()
    }

    /// Whether the connection was given up because the peer was silent for too long after a
    /// keepalive Ping.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.sender.is_lost()
    }

    /// What has failed the connection, once it has: what [`receive`](Self::receive) has told.
    #[must_use]
    pub fn error(&self) -> Option<ProtocolError> {
        self.receiver.error()
    }

    /// How many bytes of payload the frame that is being received still lacks: for an echo or a relay that
    /// sends frames on as they come.
    #[must_use]
    pub fn payload_left(&self) -> u64 {
        self.receiver.payload_left()
    }

    /// Whether this side sent its Close frame before one of the peer had come.
    #[must_use]
    pub fn closed_first(&self) -> bool {
        self.sender.closed_first()
    }

    /// The longest payload of a data frame that is sent.
    #[must_use]
    pub fn max_outgoing_frame(&self) -> u64 {
        self.sender.max_outgoing_frame()
    }

    /// Takes the connection apart, for a reader and a writer that run side by side.
    ///
    /// What the connection did in one call is then the driver's to do:
    ///
    /// - After each call of [`Receiver::receive`] that has taken bytes, also when it returned `None` or an
    ///   error, [`Sender::received`], with `true` for [`Event::Data`]. Without it a peer that answers
    ///   every keepalive Ping counts as lost.
    /// - After each call of [`Receiver::receive`] and [`Receiver::fail`],
    ///   [`Receiver::take_reply`]; what it gives goes to [`Sender::reply`].
    /// - With time-outs, [`Sender::opened`] first; then for each wake-up [`Sender::set_now`] before bytes
    ///   are received, and [`Sender::handle_timeout`] once after them. When [`Sender::is_finished`] after
    ///   that, [`Receiver::end`].
    /// - While [`Sender::wants_transmit`], [`Sender::poll_transmit`], also after a reply and after
    ///   `handle_timeout`.
    /// - At the end of the stream [`Receiver::end`] and [`Sender::end`].
    ///
    /// What was received has to come to the sender in the order in which it came, and before the time
    /// that is told after it.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ws_core::connection::{Receiver, Sender};
    /// use ws_core::{Config, Connection, Event, Input, Instant, MaskingKey, ProtocolError};
    ///
    /// /// One wake-up: with the bytes that were read, or with none when a time-out is due.
    /// fn wake_up(
    ///     (receiver, sender): (&mut Receiver, &mut Sender),
    ///     now: Instant,
    ///     bytes: &mut [u8],
    ///     output: &mut Vec<u8>,
    /// ) -> Result<(), ProtocolError> {
    ///     sender.set_now(now);
    ///     let mut input = Input::new(bytes);
    ///     let mut result = Ok(());
    ///     loop {
    ///         let before = input.consumed();
    ///         let event = receiver.receive(&mut input);
    ///         if input.consumed() != before {
    ///             sender.received(matches!(event, Ok(Some(Event::Data(_)))));
    ///         }
    ///         if let Some(reply) = receiver.take_reply() {
    ///             sender.reply(reply);
    ///         }
    ///         match event {
    ///             Ok(Some(_)) => {} // yours: what to do with it
    ///             Ok(None) => break,
    ///             Err(error) => {
    ///                 result = Err(error); // the Close frame that tells the peer is pending
    ///                 break;
    ///             }
    ///         }
    ///     }
    ///     sender.handle_timeout(now);
    ///     if sender.is_finished() {
    ///         receiver.end();
    ///     }
    ///     while sender.wants_transmit() {
    ///         let key = MaskingKey::new([1, 2, 3, 4]); // yours: random, a fresh one each time
    ///         let mut frame = [0; 131];
    ///         let len = sender.poll_transmit(&mut frame, Some(key)).expect("room and a key");
    ///         output.extend_from_slice(&frame[..len]);
    ///     }
    ///     result
    /// }
    ///
    /// let config = Config::new()
    ///     .ping_interval(Some(Duration::from_secs(20)))
    ///     .pong_timeout(Some(Duration::from_secs(5)));
    /// let (mut receiver, mut sender) = Connection::client(config).split();
    /// sender.opened(Instant::from_millis(0));
    /// let mut output = Vec::new();
    /// let mut wake_up = |millis, bytes: &mut [u8]| {
    ///     wake_up((&mut receiver, &mut sender), Instant::from_millis(millis), bytes, &mut output)
    /// };
    /// wake_up(20_000, &mut [])?; // a Ping is due
    /// wake_up(25_000, &mut *b"\x8a\x00".to_vec())?; // its Pong, just in time
    /// wake_up(30_000, &mut [])?;
    /// assert_eq!(output, b"\x89\x80\x01\x02\x03\x04");
    /// assert!(!sender.is_lost());
    ///
    /// // The stream has ended.
    /// receiver.end();
    /// sender.end();
    /// assert!(sender.is_finished());
    /// # Ok::<(), ProtocolError>(())
    /// ```
    pub fn split(self) -> (Receiver, Sender) {
        (self.receiver, self.sender)
    }
}
