//! The state of an open connection: every rule after the opening handshake, without I/O, a clock
//! or an allocator.
//!
//! A driver asks one question in a loop, [`Connection::next`], and does what the answer, a [`Step`], says.
//! Bytes that were read lie in an [`Input`]; payloads are unmasked there and handed out as [`Chunk`]s. Frames
//! are built by the [`Sender`], which is a field of the connection.

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
/// let now = || Instant::from_millis(0); // yours: what a clock says
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
/// The two halves are fields, so that one can be used while the other is borrowed, or be moved elsewhere. What
/// each does is documented there.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connection {
    /// Takes bytes.
    pub receiver: Receiver,
    /// Builds frames.
    pub sender: Sender,
}

/// What a driver of a [`Connection`] has to do next.
///
/// It is exhaustive on purpose: a driver that leaves out an arm would loop for ever.
#[derive(Debug)]
#[must_use = "the driver has to do what it says"]
pub enum Step<'i> {
    /// A piece of a message has come.
    Data(Chunk<'i>),
    /// A Ping has come; its payload is [`Receiver::control_payload`]. The Pong that answers it is owed.
    Ping,
    /// A Pong has come; its payload is [`Receiver::control_payload`].
    Pong,
    /// The peer's Close frame has come: [`Receiver::close_frame`]. No message follows.
    Close,
    /// The connection has failed. This is told once; go on asking, because the peer is told next.
    Failed(ProtocolError),
    /// Call [`Sender::transmit`] and write what it has encoded.
    Transmit,
    /// Write all that was encoded, shut down the write side of the stream, and call [`Sender::shut_down`]. The
    /// shutdown may take until this time; a write that fails is told by [`Sender::receive_reset`].
    Shutdown(Option<Instant>),
    /// Write all that was encoded, then wait for bytes, at most until this time. All input is used up.
    ///
    /// [`Receiver::receive_eof`] tells that there will be no more, [`Sender::receive_reset`] that the
    /// stream has failed.
    Wait(Option<Instant>),
    /// Drop the stream.
    Done,
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
        Self::with_compression(role, config, false)
    }

    /// The side of `role`, where a compression of messages that uses RSV1 was negotiated if `negotiated`
    /// (RFC 7692 §6).
    ///
    /// Compressed chunks are handed out as they are, marked as such. To inflate them, to limit the result and
    /// to check its UTF-8 is up to the layer above, which reports a fault by [`Receiver::fail`].
    pub const fn with_compression(role: Role, config: Config, negotiated: bool) -> Self {
        Self {
            receiver: Receiver::new(role, config, negotiated),
            sender: Sender::new(role, config, negotiated),
        }
    }

    /// What to do next. Ask again when it is done.
    ///
    /// Bytes are taken from `input` until something is to be told. A chunk borrows the buffer of the input
    /// alone, so that the connection can be used while it is held. Frames that are owed to the peer come
    /// before what is parsed, because there is room for one Pong.
    ///
    /// `clock` is called at most once, and only when nothing is left to tell. Its first answer starts all
    /// time-outs; what happens between two answers counts from the later one.
    #[inline(always)]
    pub fn next<'i>(&mut self, input: &mut Input<'i>, clock: impl FnOnce() -> Instant) -> Step<'i> {
        self.receiver.next(&mut self.sender, input, clock)
    }
}
