use alloc::string::String;
use core::fmt;

use bytes::Bytes;

use super::http::{Request, Response};
use crate::handshake::HandshakeError;
use crate::message::MessageRef;
use crate::{CloseCode, Message, MessageKind, ProtocolError, SendError};

/// What an [`Endpoint`](crate::Endpoint) has to tell.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A client asks for a WebSocket: answer with [`accept`](crate::Endpoint::accept) or
    /// [`respond`](crate::Endpoint::respond). Its frames wait until then.
    Request(Request),
    /// A client asks for something else: answer with [`respond`](crate::Endpoint::respond).
    Http(Request),
    /// The connection is open.
    Open(Opened),
    /// The server does not open a WebSocket; this is what it says instead. Nothing follows.
    Refused(Response),
    /// A whole message.
    Message(Message),
    /// A piece of a message, after [`set_streaming`](crate::Endpoint::set_streaming).
    Chunk(Chunk<Bytes>),
    /// A Ping with its payload; the Pong is on its way.
    Ping(Bytes),
    /// A Pong with its payload.
    Pong(Bytes),
    /// The peer has closed, or the connection was lost. Nothing follows.
    Closed(CloseInfo),
}

/// As [`Event`], but messages and payloads lie in the endpoint's buffer.
#[derive(Debug)]
#[non_exhaustive]
pub enum EventRef<'a> {
    /// As [`Event::Request`].
    Request(Request),
    /// As [`Event::Http`].
    Http(Request),
    /// As [`Event::Open`].
    Open(Opened),
    /// As [`Event::Refused`].
    Refused(Response),
    /// As [`Event::Message`].
    Message(MessageRef<'a>),
    /// As [`Event::Chunk`].
    Chunk(Chunk<&'a [u8]>),
    /// As [`Event::Ping`].
    Ping(&'a [u8]),
    /// As [`Event::Pong`].
    Pong(&'a [u8]),
    /// As [`Event::Closed`].
    Closed(CloseInfo),
}

/// A piece of a message. The text of a piece can end inside a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chunk<B> {
    /// The kind of the message.
    pub kind: MessageKind,
    /// The payload.
    pub bytes: B,
    /// Whether the message starts here.
    pub start: bool,
    /// Whether the message ends here.
    pub end: bool,
}

/// What was agreed upon when the connection opened.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Opened {
    /// The subprotocol in use, if one is.
    pub subprotocol: Option<String>,
    /// The server's response, on a client.
    pub response: Option<Response>,
}

/// How a connection ended (RFC 6455 §7.1.4–§7.1.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CloseInfo {
    /// The code of the peer's Close frame; [`CloseCode::NO_STATUS`] when that had none,
    /// [`CloseCode::ABNORMAL`] when none came.
    pub code: CloseCode,
    /// The reason in the peer's Close frame. Not for end users (RFC 6455 §5.5.1).
    pub reason: String,
    /// Whether Close frames went both ways.
    pub clean: bool,
    /// Whether this side began.
    pub by_us: bool,
}

impl CloseInfo {
    /// A connection that ended without a Close frame: 1006 (RFC 6455 §7.1.5).
    pub const fn abnormal() -> Self {
        Self { code: CloseCode::ABNORMAL, reason: String::new(), clean: false, by_us: false }
    }
}

/// For a log: the code and the reason, escaped.
impl fmt::Display for CloseInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            CloseCode::ABNORMAL => f.write_str("no Close frame"),
            code => write!(f, "{} {:?}", code.get(), self.reason),
        }
    }
}

/// Why an [`Endpoint`](crate::Endpoint) has failed.
///
/// What tells the peer, a Close frame or an HTTP response, is in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// The peer broke the protocol or a limit.
    Protocol(ProtocolError),
    /// The opening handshake was not right.
    Handshake(HandshakeError),
    /// The opening handshake took too long. A client may drop the stream at once.
    HandshakeTimeout,
    /// The stream ended during the opening handshake.
    HandshakeEof,
    /// The peer did not answer a keepalive Ping in time.
    PongTimeout,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => error.fmt(f),
            Self::Handshake(error) => error.fmt(f),
            Self::HandshakeTimeout => f.write_str("the opening handshake took too long"),
            Self::HandshakeEof => f.write_str("the connection ended during the opening handshake"),
            Self::PongTimeout => f.write_str("the peer did not answer a ping in time"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Protocol(error) => error.source(),
            Self::Handshake(error) => error.source(),
            Self::HandshakeTimeout | Self::HandshakeEof | Self::PongTimeout => None,
        }
    }
}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<HandshakeError> for Error {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

/// A message that was not sent, given back.
#[derive(Clone, Debug, PartialEq, Eq)]
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
