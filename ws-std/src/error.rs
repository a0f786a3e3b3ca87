//! What can go wrong, and what it becomes elsewhere.

use std::{fmt, io};

use ws_core::endpoint::{EndpointError, HandshakeFailure, Request, Response, Unsent};
use ws_core::handshake::{HandshakeError, OpenError};
use ws_core::proxy::ProxyError;
use ws_core::{ProtocolError, SendError};

use crate::UrlError;
use crate::dial::may_resolve_later;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong on a WebSocket.
///
/// An end that the peer has begun is no error: [`read`](crate::WebSocket::read) then returns `None`.
///
/// What is printed says all, the wrapped error included: its [`source`](std::error::Error::source) is that
/// of the wrapped error. It becomes an [`io::Error`] of a kind that fits. It is [`Send`] and [`Sync`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The stream failed.
    Io(io::Error),
    /// TLS failed, or a certificate or key of the caller's is not valid.
    #[cfg(feature = "rustls")]
    Tls(crate::TlsError),
    /// The URL is not valid.
    Url(UrlError),
    /// A client cannot find out the address of a host, which is that of the URL or of the proxy.
    Resolve {
        /// The name that was looked up.
        name: String,
        /// What the system says about it.
        error: io::Error,
    },
    /// A header, subprotocol or answer of the caller is not valid. A client has sent nothing then, a
    /// server has answered with 500.
    Open(OpenError),
    /// The peer's half of the opening handshake is not right. A server has answered with the
    /// fitting status. What was seen of the peer comes with it.
    Handshake(Box<HandshakeFailure>),
    /// The server does not open a WebSocket; it says this instead.
    Refused(Box<Response>),
    /// The proxy does not open a tunnel to the server: it refuses, asks for credentials, or its answer is not
    /// valid.
    Proxy(Box<ProxyError>),
    /// A plain HTTP request, where a WebSocket was expected; it was answered with 426. This is an upgrade by HTTP/1.0, too,
    /// which a proxy that is not set up for WebSockets sends: see [`Request::is_http10_upgrade`].
    NotAnUpgrade(Request),
    /// The stream ended during the opening handshake.
    HandshakeEof,
    /// The peer broke the protocol or a limit, and was told so by a Close frame.
    Protocol(ProtocolError),
    /// The message was not sent.
    Send(SendError),
    /// The operating system's generator of random bytes has failed, without which a client sends nothing
    /// (RFC 6455 §10.3).
    Random,
    /// More threads wait to send than [`MAX_WAITING`](crate::MAX_WAITING).
    Busy,
    /// A deadline has passed.
    Timeout(Deadline),
    /// The listener had all the connections that it may have; the client was answered with 503.
    TooManyConnections,
    /// The listener was shut down, and its connections have ended.
    Shutdown,
}

/// Which deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deadline {
    /// For the connection to be made and the opening handshake to be complete.
    Handshake,
    /// For the next message. Reading can go on.
    Read,
    /// For the peer to take what is written.
    Write,
    /// For the answer to a keepalive Ping.
    Pong,
}

impl Error {
    /// Whether a client that connects again may have more luck: the stream failed, a deadline has passed, or
    /// the server or the proxy refused with a status that says so (408, 429, 500 to 599; of SOCKS5, codes that
    /// say that the server cannot be reached). It does so after a random
    /// delay that grows (RFC 6455 §7.2.3). A name that cannot be [resolved](Self::Resolve) is transient, too, unless the
    /// system says that there is no such name; only on Linux can that be told from a network that is down.
    ///
    /// It is `false` for errors that would happen again, such as an [`Io`](Self::Io) of the kind
    /// [`InvalidData`](io::ErrorKind::InvalidData), [`Unsupported`](io::ErrorKind::Unsupported) or
    /// [`WouldBlock`](io::ErrorKind::WouldBlock). It is `false` for [`Busy`](Self::Busy) and
    /// [`SendError::OutputFull`], too: the connection is as it was, and the message may be sent on it later.
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
                "an upgrade by HTTP/1.0, which has none: the proxy in front has to speak HTTP/1.1 to this server \
                 (nginx: proxy_http_version 1.1)",
            ),
            Self::NotAnUpgrade(_) => f.write_str("a plain HTTP request, not a WebSocket handshake"),
            Self::HandshakeEof => f.write_str("the connection ended during the opening handshake"),
            Self::Protocol(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
            Self::Random => f.write_str("the operating system gives no random bytes"),
            Self::Busy => f.write_str("too many threads wait to send"),
            Self::TooManyConnections => f.write_str("too many connections"),
            Self::Shutdown => f.write_str("the listener was shut down"),
            Self::Timeout(deadline) => f.write_str(match deadline {
                Deadline::Handshake => "the opening handshake took too long",
                Deadline::Read => "no message came in time",
                Deadline::Write => "the peer did not take the data in time",
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

/// One that was wrapped on the way, as by a reader or a writer of a message, is what it was.
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

/// An [`Error::Io`] is what it was; any other error is wrapped.
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

/// A failure of which only the rule is known.
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
