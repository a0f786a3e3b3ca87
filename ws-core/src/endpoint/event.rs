//! The events of an endpoint, which are owned or lent, and its errors.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use bytes::Bytes;

use super::http::{Request, Response};
use crate::handshake::HandshakeError;
use crate::{CloseCode, Message, MessageKind, ProtocolError, SendError};

/// What has happened on an [`Endpoint`](crate::Endpoint), for its driver to react to.
///
/// Messages and payloads are owned, unless [`next_ref`](crate::Endpoint::next_ref) lends them from the buffer: then `M`
/// is [`MessageRef`](crate::message::MessageRef), and `B` is a slice. Rare contents are boxed to keep an event small.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<M = Message, B = Bytes> {
    /// A client asks for a WebSocket. Answer with [`accept`](super::Outbound::accept) or
    /// [`respond`](super::Outbound::respond). Frames from the client wait until then.
    Request(Request),
    /// A client asks for something else. Answer with [`respond`](super::Outbound::respond).
    Http(Request),
    /// The connection is open.
    #[non_exhaustive]
    Open {
        /// The subprotocol that was agreed on, if any.
        subprotocol: Option<String>,
        /// The response of the server, on a client.
        response: Option<Box<Response>>,
    },
    /// The server refuses to open a WebSocket, and answered with this response. It is the last event.
    Refused(Box<Response>),
    /// A whole message.
    Message(M),
    /// A piece of a message, after [`set_streaming`](super::Inbound::set_streaming). A piece of text can end inside a
    /// character.
    #[non_exhaustive]
    Chunk {
        /// The kind of the message.
        kind: MessageKind,
        /// The payload of the piece.
        bytes: B,
        /// Whether the message starts with this piece.
        start: bool,
        /// Whether the message ends with this piece.
        end: bool,
    },
    /// A Ping with its payload. The Pong is already in the output.
    Ping(B),
    /// A Pong with its payload.
    Pong(B),
    /// The peer's Close frame has arrived, or the stream has ended without one;
    /// [`close_info`](crate::Endpoint::close_info) returns which. It is the last event.
    Closed,
}

/// How a connection ended (RFC 6455 §7.1.4–§7.1.7). `code` and `reason` are what the peer sent, and `sent` is the code
/// that this side sent.
///
/// If this side has failed the connection, `code` is 1006, because no Close frame of the peer is read after that.
/// `sent` is then the code of the failure, such as 1009 for a message over the limit.
///
/// ```
/// use ws_core::CloseCode;
/// use ws_core::endpoint::CloseInfo;
///
/// /// Returns whether a client should connect again.
/// fn is_worth_a_retry(info: &CloseInfo) -> bool {
///     matches!(info.code, CloseCode::GOING_AWAY | CloseCode::SERVICE_RESTART)
///         || info.code == CloseCode::ABNORMAL && info.sent.is_none()
/// }
/// # assert!(is_worth_a_retry(&CloseInfo::abnormal()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CloseInfo {
    /// The code of the peer's Close frame. It is [`CloseCode::NO_STATUS`] if the frame has no code, and
    /// [`CloseCode::ABNORMAL`] if no Close frame has arrived.
    pub code: CloseCode,
    /// The reason in the peer's Close frame. Do not show it to end users (RFC 6455 §5.5.1).
    pub reason: String,
    /// The code of the Close frame that this side sent. It is [`CloseCode::NO_STATUS`] if that frame has no code, and
    /// `None` if this side has sent no Close frame.
    pub sent: Option<CloseCode>,
    /// Whether the connection was closed cleanly (RFC 6455 §7.1.4): the peer's Close frame has been parsed, and ours
    /// was written to the stream completely. If the stream fails before that, the connection was not closed cleanly.
    pub clean: bool,
    /// Whether this side sent its Close frame before the peer's arrived.
    pub by_us: bool,
}

impl CloseInfo {
    /// Returns the outcome of a connection that ended without a Close frame: 1006 (RFC 6455 §7.1.5).
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

/// Shows the peer's code and its reason, escaped, for a log. If the peer has sent no Close frame, it shows the code
/// that this side sent, if any.
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
/// If the peer can still be notified, the output contains a Close frame or an HTTP response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointError {
    /// The peer broke the protocol or a limit, or did not answer a Ping in time.
    Protocol(ProtocolError),
    /// The opening handshake was not valid.
    Handshake(HandshakeError),
    /// The opening handshake took too long. A client may drop the stream at once.
    HandshakeTimeout,
    /// The stream ended during the opening handshake.
    HandshakeEof,
    /// The generator of random bytes has failed, so this client can send nothing more.
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

/// A message that was not sent. It is returned with the reason.
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
