//! What an endpoint tells: events, owned or lent, and how it can fail.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use bytes::Bytes;

use super::http::{Request, Response};
use crate::handshake::HandshakeError;
use crate::{CloseCode, Message, MessageKind, ProtocolError, SendError};

/// What an [`Endpoint`](crate::Endpoint) tells its driver to react to.
///
/// Messages and payloads are owned. When they are lent from where they lie, by
/// [`next_ref`](crate::Endpoint::next_ref), `M` is [`MessageRef`](crate::message::MessageRef) and `B` is a
/// slice. What is rare is boxed, so that an event is small.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<M = Message, B = Bytes> {
    /// A client asks for a WebSocket: answer with [`accept`](super::Outbound::accept) or
    /// [`respond`](super::Outbound::respond). Its frames wait until then.
    Request(Request),
    /// A client asks for something else: answer with [`respond`](super::Outbound::respond).
    Http(Request),
    /// The connection is open.
    #[non_exhaustive]
    Open {
        /// The subprotocol in use, if one is.
        subprotocol: Option<String>,
        /// The server's response, on a client.
        response: Option<Box<Response>>,
    },
    /// The server does not open a WebSocket; this is what it says instead. Nothing follows.
    Refused(Box<Response>),
    /// A whole message.
    Message(M),
    /// A piece of a message, after [`set_streaming`](super::Inbound::set_streaming). The text of a piece can
    /// end inside a character.
    #[non_exhaustive]
    Chunk {
        /// The kind of the message.
        kind: MessageKind,
        /// The payload of the piece.
        bytes: B,
        /// Whether the message starts here.
        start: bool,
        /// Whether the message ends here.
        end: bool,
    },
    /// A Ping with its payload; the Pong is in the output.
    Ping(B),
    /// A Pong with its payload.
    Pong(B),
    /// The peer's Close frame has come, or the stream has ended without one:
    /// [`close_info`](crate::Endpoint::close_info) tells which. Nothing follows.
    Closed,
}

/// How a connection ended (RFC 6455 §7.1.4–§7.1.7): what the peer said, in `code` and `reason`, and what this side said,
/// in `sent`.
///
/// A connection that this side has failed has the code 1006, because no Close frame of the peer's is looked at any more,
/// and in `sent` the code that says why, such as 1009 for a message over the limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CloseInfo {
    /// The code of the peer's Close frame; [`CloseCode::NO_STATUS`] when that had none,
    /// [`CloseCode::ABNORMAL`] when none came.
    pub code: CloseCode,
    /// The reason in the peer's Close frame. Not for end users (RFC 6455 §5.5.1).
    pub reason: String,
    /// The code of the Close frame that this side sent, [`CloseCode::NO_STATUS`] if that had none; `None` when this side
    /// sent no Close frame.
    pub sent: Option<CloseCode>,
    /// Whether the connection was closed cleanly (RFC 6455 §7.1.4): the peer's Close frame has been parsed, and
    /// ours was taken whole by the stream. A stream that fails before that is never closed cleanly.
    pub clean: bool,
    /// Whether this side sent its Close frame before the peer's had come.
    pub by_us: bool,
}

impl CloseInfo {
    /// A connection that ended without a Close frame: 1006 (RFC 6455 §7.1.5).
    pub const fn abnormal() -> Self {
        Self {
            code: CloseCode::ABNORMAL,
            reason: String::new(),
            sent: None,
            clean: false,
            by_us: false,
        }
    }
}

/// For a log: the peer's code and its reason, escaped; without a Close frame of the peer's, the code that this side sent.
impl fmt::Display for CloseInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.sent) {
            (CloseCode::ABNORMAL, None) => f.write_str("no Close frame"),
            (CloseCode::ABNORMAL, Some(sent)) => {
                write!(f, "no Close frame, {} was sent", sent.get())
            }
            (code, _) => write!(f, "{} {:?}", code.get(), self.reason),
        }
    }
}

/// Why an [`Endpoint`](crate::Endpoint) has failed.
///
/// What tells the peer, a Close frame or an HTTP response, is in the output, if there is anything to tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointError {
    /// The peer broke the protocol or a limit, or did not answer a Ping in time.
    Protocol(ProtocolError),
    /// The opening handshake was not right.
    Handshake(HandshakeError),
    /// The opening handshake took too long. A client may drop the stream at once.
    HandshakeTimeout,
    /// The stream ended during the opening handshake.
    HandshakeEof,
    /// The generator of random bytes has failed, so that this client cannot send anything any more.
    Random,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => error.fmt(f),
            Self::Handshake(error) => error.fmt(f),
            Self::HandshakeTimeout => f.write_str("the opening handshake took too long"),
            Self::HandshakeEof => f.write_str("the connection ended during the opening handshake"),
            Self::Random => f.write_str("the generator of random bytes has failed"),
        }
    }
}

impl core::error::Error for EndpointError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Protocol(error) => error.source(),
            Self::Handshake(error) => error.source(),
            Self::HandshakeTimeout | Self::HandshakeEof | Self::Random => None,
        }
    }
}

impl From<ProtocolError> for EndpointError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<HandshakeError> for EndpointError {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

/// A message that was not sent, given back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsent {
    /// The message.
    pub message: Message,
    /// Why it was not sent.
    pub error: SendError,
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl core::error::Error for Unsent {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.error.source()
    }
}
