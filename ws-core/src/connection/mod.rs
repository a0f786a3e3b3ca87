//! An open connection. This module enforces every rule after the opening handshake, without I/O, a clock or an
//! allocator.
//!
//! A driver calls [`Connection::next`] in a loop and does what the returned [`Step`] asks for. The bytes it has read
//! are in an [`Input`]. Payloads are unmasked in that buffer and returned as [`Chunk`]s. The connection's [`Sender`]
//! builds frames.

mod data_frame;
mod ending;
mod input;
mod receiver;
mod sender;
mod timers;

pub use data_frame::DataFrame;
#[cfg(feature = "endpoint")]
pub(crate) use ending::{CloseFrameState, ConnectionState, Rest, StreamState};
pub use input::{Chunk, Input};
pub use receiver::Receiver;
#[cfg(feature = "endpoint")]
pub(crate) use receiver::{Frame, TextCheck};
#[cfg(feature = "endpoint")]
pub(crate) use sender::Look;
pub use sender::Sender;
#[cfg(feature = "endpoint")]
pub(crate) use timers::Due;

use crate::{Config, Instant, ProtocolError, Role};

/// One WebSocket connection after its opening handshake.
///
/// ```
/// use ws_core::{Config, Connection, Input, Instant, Step};
///
/// let mut server = Connection::server(Config::new());
/// let now = || Instant::from_millis(0); // yours: the time of a clock
/// // RFC 6455 §5.7: a masked "Hello", then a Close frame.
/// let mut received = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x88\x80\0\0\0\0";
/// let mut input = Input::new(&mut received);
/// let (mut output, mut len) = ([0; 256], 0);
/// loop {
///     match server.next(&mut input, now) {
///         Step::Data(chunk) => {
///             let frame = chunk.frame();
///             len += server.sender.encode(frame, chunk.bytes, None, &mut output[len..])?;
///         }
///         Step::Transmit => len += server.sender.transmit(&mut output[len..], None)?,
///         // Yours: to write the output, then to end the stream, and to read more.
///         Step::Shutdown(_) => server.sender.shut_down(),
///         Step::Wait(_) => server.receiver.receive_eof(),
///         Step::Done => break,
///         Step::Ping | Step::Pong | Step::Close => {}
///         Step::Failed(error) => return Err(error.into()),
///     }
/// }
/// assert_eq!(&output[..len], b"\x81\x05Hello\x88\x00");
/// assert!(server.sender.is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The two halves are public fields, so that a driver can use one while the other is borrowed, or move them to
/// different owners. See [`Receiver`] and [`Sender`] for what each does.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connection {
    /// The receiving half, which parses frames.
    pub receiver: Receiver,
    /// The sending half, which builds frames.
    pub sender: Sender,
}

/// What a driver of a [`Connection`] has to do next.
///
/// This enum is exhaustive on purpose: a driver that ignored a new step would loop for ever.
#[derive(Debug)]
#[must_use = "the driver has to do what it says"]
pub enum Step<'i> {
    /// A piece of a message has arrived.
    Data(Chunk<'i>),
    /// A Ping has arrived, and its payload is [`Receiver::control_payload`]. The Pong that answers it is queued.
    Ping,
    /// A Pong has arrived, and its payload is [`Receiver::control_payload`].
    Pong,
    /// The peer's Close frame has arrived; see [`Receiver::close_frame`]. No more messages follow.
    Close,
    /// The connection has failed. The failure is reported once. Keep calling [`Connection::next`], because the next
    /// steps send a Close frame to the peer.
    Failed(ProtocolError),
    /// Call [`Sender::transmit`] and write the bytes that it encodes.
    Transmit,
    /// Write all encoded bytes, shut down the write side of the stream, and call [`Sender::shut_down`]. The deadline is
    /// the time by which the shutdown has to be complete; there is none if it is `None`. If a write fails, call
    /// [`Sender::receive_reset`].
    Shutdown(Option<Instant>),
    /// Write all encoded bytes, then wait for more input until this deadline, or without a deadline if it is `None`.
    /// All input has been consumed.
    ///
    /// Call [`Receiver::receive_eof`] when the peer has ended the stream, and [`Sender::receive_reset`] when the stream
    /// has failed.
    Wait(Option<Instant>),
    /// Drop the stream.
    Done,
}

impl Connection {
    /// Returns the server's side of a connection.
    pub const fn server(config: Config) -> Self {
        Self::new(Role::Server, config)
    }

    /// Returns the client's side of a connection.
    pub const fn client(config: Config) -> Self {
        Self::new(Role::Client, config)
    }

    /// Returns the side of a connection that has this role.
    pub const fn new(role: Role, config: Config) -> Self {
        Self::with_compression(role, config, false)
    }

    /// Returns the side of a connection that has this role. `negotiated` is whether the opening handshake negotiated a
    /// compression of messages that uses RSV1 (RFC 7692 §6).
    ///
    /// Compressed chunks are returned as they arrive, with [`Chunk::compressed`] set. The layer above inflates them,
    /// limits the inflated size and checks the UTF-8 of the result. It reports an error with [`Receiver::fail`].
    pub const fn with_compression(role: Role, config: Config, negotiated: bool) -> Self {
        Self {
            receiver: Receiver::new(role, config, negotiated),
            sender: Sender::new(role, config, negotiated),
        }
    }

    /// Returns what the driver has to do next. Call it again when that is done.
    ///
    /// It consumes bytes from `input` until there is something to report. A chunk borrows only the buffer of the input,
    /// so the connection can be used while the driver holds the chunk. Frames that are owed to the peer are sent before
    /// more input is parsed, because the connection has room for one Pong only.
    ///
    /// It calls `clock` at most once, and only when there is nothing left to report. The first time that `clock`
    /// returns starts all time-outs. An event between two calls of `clock` counts as having happened at the later one.
    #[inline(always)]
    pub fn next<'i>(&mut self, input: &mut Input<'i>, clock: impl FnOnce() -> Instant) -> Step<'i> {
        self.receiver.next(&mut self.sender, input, clock)
    }
}
