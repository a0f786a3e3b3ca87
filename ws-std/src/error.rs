//! The errors of this crate, and their conversions from and to other errors.

use std::{fmt, io};

use ws_core::endpoint::{EndpointError, HandshakeFailure, Request, Response, Unsent};
use ws_core::handshake::{HandshakeError, OpenError};
use ws_core::proxy::ProxyError;
use ws_core::{ProtocolError, SendError};

use crate::UrlError;
use crate::dial::may_resolve_later;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation on a WebSocket failed.
///
/// It is not an error if the peer closes the connection: [`read`](crate::WebSocket::read) then returns `None`.
///
/// `Display` includes the text of a wrapped error, so [`source`](std::error::Error::source) returns the source of the
/// wrapped error. An `Error` can be converted to an [`io::Error`] of a suitable kind. It is [`Send`] and [`Sync`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The stream failed.
    Io(io::Error),
    /// TLS failed, or the caller's certificate or key is not valid.
    #[cfg(feature = "rustls")]
    Tls(crate::TlsError),
    /// The URL is not valid.
    Url(UrlError),
    /// A client cannot resolve the name of a host, which is the URL's host or the proxy.
    Resolve {
        /// The name that was looked up.
        name: String,
        /// The error of the system.
        error: io::Error,
    },
    /// A header, subprotocol or answer of the caller is not valid. A client has sent nothing in this case, and a server
    /// has answered with 500.
    Open(OpenError),
    /// The peer's part of the opening handshake is not valid. A server has answered with the matching status. The
    /// failure contains what the peer sent.
    Handshake(Box<HandshakeFailure>),
    /// The server did not open a WebSocket but sent this response.
    Refused(Box<Response>),
    /// The proxy did not open a tunnel to the server. It refused, asked for credentials, or sent an answer that is not
    /// valid.
    Proxy(Box<ProxyError>),
    /// The client sent a plain HTTP request where a WebSocket was expected, and was answered with 426.
    ///
    /// An upgrade request of HTTP/1.0 is a plain request, too. A proxy that is not configured for WebSockets sends such
    /// requests: see [`Request::is_http10_upgrade`].
    NotAnUpgrade(Request),
    /// The stream ended during the opening handshake.
    HandshakeEof,
    /// The peer violated the protocol or exceeded a limit. It was sent a Close frame with the matching code.
    Protocol(ProtocolError),
    /// The message was not sent.
    Send(SendError),
    /// The operating system's generator of random bytes failed. A client cannot send without it (RFC 6455 §10.3).
    Random,
    /// More than [`MAX_WAITING`](crate::MAX_WAITING) threads are waiting to send.
    Busy,
    /// A deadline has passed.
    Timeout(Deadline),
    /// The listener already had its maximum number of connections. The client was answered with 503.
    TooManyConnections,
    /// The listener was shut down, and its connections have ended.
    Shutdown,
}

/// The deadline that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deadline {
    /// For connecting and completing the opening handshake.
    Handshake,
    /// For the next message. You can call `read` again.
    Read,
    /// For the peer to accept written data.
    Write,
    /// For the answer to a keepalive Ping.
    Pong,
}

impl Error {
    /// Returns whether a client may succeed if it connects again.
    ///
    /// This is `true` if the stream failed, if it ended during the opening handshake
    /// ([`HandshakeEof`](Self::HandshakeEof)), if a deadline has passed, or if the server or the proxy refused with a
    /// temporary status: 408, 429, 500 to 599, or a code of SOCKS5 that means that the server cannot be reached. It is
    /// also `true` if a name could not be [resolved](Self::Resolve), unless the system reports that there is no such
    /// name. Only Linux distinguishes that from a network that is down. A client should wait before it connects again,
    /// for a random time that grows with each attempt (RFC 6455 §7.2.3).
    ///
    /// If a `ws://` URL leads to a port that expects TLS, the server may just end the connection. That is a
    /// `HandshakeEof` too, although it would happen again.
    ///
    /// It is `false` for errors that would happen again, such as an [`Io`](Self::Io) of the kind
    /// [`InvalidData`](io::ErrorKind::InvalidData), [`Unsupported`](io::ErrorKind::Unsupported) or
    /// [`WouldBlock`](io::ErrorKind::WouldBlock). It is also `false` for [`Busy`](Self::Busy) and
    /// [`SendError::OutputFull`], because the connection is still open and can send the message later.
    pub fn is_transient(&self) -> bool {
        use io::ErrorKind::{InvalidData, Unsupported, WouldBlock};
        match self {
            Self::Io(error) => !matches!(error.kind(), InvalidData | Unsupported | WouldBlock),
            Self::Timeout(_) | Self::HandshakeEof => true,
            Self::Resolve { error, .. } => may_resolve_later(error),
            Self::Refused(response) => matches!(response.status(), 408 | 429 | 500..=599),
            Self::Proxy(error) => matches!(
                **error,
                ProxyError::Eof
                    | ProxyError::Refused { status: 408 | 429 | 500..=599, .. }
                    | ProxyError::Socks5Refused(1 | 3..=6)
            ),
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            #[cfg(feature = "rustls")]
            Self::Tls(error) => error.fmt(f),
            Self::Url(error) => error.fmt(f),
            Self::Resolve { name, error } => {
                write!(f, "the host name {name:?} cannot be resolved: {error}")
            }
            Self::Open(error) => error.fmt(f),
            Self::Handshake(failure) => write!(f, "not a valid WebSocket handshake: {failure}"),
            Self::Refused(response) => write!(f, "the server refused: {response}"),
            Self::Proxy(error) => error.fmt(f),
            Self::NotAnUpgrade(request) if request.is_http10_upgrade() => f.write_str(
                "an upgrade request of HTTP/1.0, which has no upgrades: the proxy has to use HTTP/1.1 to this server \
                 (nginx: proxy_http_version 1.1)",
            ),
            Self::NotAnUpgrade(_) => f.write_str("a plain HTTP request, not a WebSocket handshake"),
            Self::HandshakeEof => f.write_str("the connection ended during the opening handshake"),
            Self::Protocol(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
            Self::Random => f.write_str("the operating system returned no random bytes"),
            Self::Busy => f.write_str("too many threads wait to send"),
            Self::TooManyConnections => f.write_str("too many connections"),
            Self::Shutdown => f.write_str("the listener was shut down"),
            Self::Timeout(deadline) => f.write_str(match deadline {
                Deadline::Handshake => "the opening handshake took too long",
                Deadline::Read => "no message arrived in time",
                Deadline::Write => "the peer did not accept the data in time",
                Deadline::Pong => "the peer did not answer a ping in time",
            }),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            #[cfg(feature = "rustls")]
            Self::Tls(error) => error.source(),
            Self::Url(error) => error.source(),
            Self::Resolve { error, .. } => error.source(),
            Self::Open(error) => error.source(),
            Self::Handshake(failure) => failure.source(),
            Self::Protocol(error) => error.source(),
            Self::Send(error) => error.source(),
            Self::Proxy(error) => error.source(),
            Self::Refused(_)
            | Self::NotAnUpgrade(_)
            | Self::HandshakeEof
            | Self::Random
            | Self::Busy
            | Self::Timeout(_)
            | Self::TooManyConnections
            | Self::Shutdown => None,
        }
    }
}

/// Converts an I/O error. If it wraps an [`Error`], for example one from a reader or writer of a message, this returns
/// the wrapped error.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            #[cfg(feature = "rustls")]
            Err(error) => crate::tls::from_io(error),
            #[cfg(not(feature = "rustls"))]
            Err(error) => Self::Io(error),
        }
    }
}

/// Returns the error inside an [`Error::Io`], and wraps any other error.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        use io::ErrorKind::*;
        let kind = match &error {
            Error::Io(_) => Other,
            #[cfg(feature = "rustls")]
            Error::Tls(_) => InvalidData,
            Error::Handshake(_) | Error::NotAnUpgrade(_) | Error::Protocol(_) => InvalidData,
            Error::Send(SendError::Closing | SendError::NotOpen) => NotConnected,
            Error::Send(SendError::OutputFull) | Error::Busy => WouldBlock,
            Error::Resolve { .. } => NotFound,
            Error::Url(_) | Error::Open(_) | Error::Send(_) => InvalidInput,
            Error::Refused(_) => ConnectionRefused,
            Error::Proxy(error) => match **error {
                ProxyError::Eof => UnexpectedEof,
                ProxyError::Head(_)
                | ProxyError::NotHttp(_)
                | ProxyError::NotSocks5(_)
                | ProxyError::UnofferedMethod(_)
                | ProxyError::MalformedReply => InvalidData,
                _ => ConnectionRefused,
            },
            Error::HandshakeEof => UnexpectedEof,
            Error::Timeout(_) => TimedOut,
            Error::TooManyConnections | Error::Shutdown | Error::Random => Other,
        };
        match error {
            Error::Io(error) => error,
            error => Self::new(kind, error),
        }
    }
}

impl From<UrlError> for Error {
    fn from(error: UrlError) -> Self {
        Self::Url(error)
    }
}

/// Returns a failure that only contains the broken rule.
impl From<HandshakeError> for Error {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(Box::new(error.into()))
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Random => Self::Random,
            error => Self::Open(error),
        }
    }
}

impl From<ProxyError> for Error {
    fn from(error: ProxyError) -> Self {
        match error {
            ProxyError::Open(error) => error.into(),
            error => Self::Proxy(Box::new(error)),
        }
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Random => Self::Random,
            error => Self::Send(error),
        }
    }
}

impl From<Unsent> for Error {
    fn from(unsent: Unsent) -> Self {
        unsent.error.into()
    }
}

impl From<EndpointError> for Error {
    fn from(error: EndpointError) -> Self {
        match error {
            EndpointError::Protocol(ProtocolError::PongTimeout) => Self::Timeout(Deadline::Pong),
            EndpointError::Protocol(error) => Self::Protocol(error),
            EndpointError::Handshake(error) => error.into(),
            EndpointError::HandshakeTimeout => Self::Timeout(Deadline::Handshake),
            EndpointError::HandshakeEof => Self::HandshakeEof,
            EndpointError::Random => Self::Random,
            error => Self::Io(io::Error::other(error)),
        }
    }
}
