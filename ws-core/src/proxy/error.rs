//! The errors of the handshake with a proxy.

use core::fmt;

use crate::frame::copy;
use crate::handshake::{HandshakeError, OpenError};

/// Why a proxy did not open a tunnel.
///
/// `Display` shows text from the proxy escaped. It does not show the credentials, unless the proxy repeats them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyError {
    /// The output is too small for the request, and nothing was written.
    Open(OpenError),
    /// The proxy ended the stream before its answer was complete.
    Eof,
    /// The answer to CONNECT is not valid HTTP, or is too large.
    Head(HandshakeError),
    /// The HTTP proxy asks for credentials, or refuses those that were sent: status 407 (RFC 9110 §15.5.8).
    AuthenticationRequired {
        /// The schemes in `Proxy-Authenticate`, separated by commas. Only `Basic` is supported.
        schemes: Excerpt,
    },
    /// The HTTP proxy answered with another status.
    Refused {
        /// The status code, from 100 to 999.
        status: u16,
        /// The start of the reason phrase.
        reason: Excerpt,
        /// The start of the body.
        body: Excerpt,
    },
    /// The answer to CONNECT does not begin with `HTTP/`, but with these bytes.
    NotHttp(Excerpt),
    /// The first byte of an answer is not the version of SOCKS5, but this byte.
    NotSocks5(u8),
    /// The SOCKS5 proxy accepts no authentication method that was offered. If no credentials were set, it may require
    /// them (RFC 1928 §3).
    NoAcceptableMethod,
    /// The SOCKS5 proxy chose a method that was not offered (RFC 1928 §3).
    UnofferedMethod(u8),
    /// The SOCKS5 proxy refused the user and password (RFC 1929 §2).
    CredentialsRefused,
    /// The SOCKS5 proxy refused the tunnel or failed to open it. This is the reply code (RFC 1928 §6).
    Socks5Refused(u8),
    /// An answer of the SOCKS5 proxy is malformed (RFC 1928 §6, RFC 1929 §2).
    MalformedReply,
}

/// The type of a TLS alert, which a TLS server sends to a client that does not speak TLS.
const ALERT: u8 = 21;
const TLS: &str = "; it speaks TLS, which is not supported to a proxy itself";

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open(error) => return error.fmt(f),
            Self::Eof => "the proxy ended the connection before it answered",
            Self::Head(error) => {
                return write!(f, "the answer of the HTTP proxy is not valid: {error}");
            }
            Self::AuthenticationRequired { schemes } => {
                f.write_str("the proxy asks for valid credentials: status 407")?;
                return match schemes.as_bytes() {
                    [] => f.write_str(", without a scheme"),
                    _ => write!(f, ", scheme {schemes}"),
                };
            }
            Self::Refused { status, reason, body } => {
                write!(f, "the proxy refused: status {status}")?;
                if !reason.as_bytes().is_empty() {
                    write!(f, " {reason}")?;
                }
                return match body.as_bytes() {
                    [] => Ok(()),
                    _ => write!(f, ", {body}"),
                };
            }
            Self::NotHttp(start) => {
                let hint = match start.as_bytes() {
                    [4 | 5, ..] => "; is it a SOCKS proxy?",
                    [ALERT, ..] => TLS,
                    _ => "",
                };
                return write!(
                    f,
                    "the proxy does not speak HTTP: its answer begins with {start}{hint}"
                );
            }
            Self::NotSocks5(byte) => {
                let hint = match *byte {
                    b'H' => "; is it an HTTP proxy?",
                    ALERT => TLS,
                    _ => "",
                };
                return write!(
                    f,
                    "the proxy does not speak SOCKS5: it answers with {byte:#04x}{hint}"
                );
            }
            Self::NoAcceptableMethod => {
                "the SOCKS5 proxy accepts none of the authentication methods offered (RFC 1928 §3)"
            }
            Self::UnofferedMethod(method) => {
                return write!(
                    f,
                    "the SOCKS5 proxy chose authentication method {method}, \
                     which was not offered (RFC 1928 §3)"
                );
            }
            Self::CredentialsRefused => "the SOCKS5 proxy refused user and password (RFC 1929 §2)",
            Self::Socks5Refused(code) => {
                let reason = match code {
                    1 => "general failure",
                    2 => "the connection is not allowed by its rules",
                    3 => "the network is unreachable",
                    4 => "the host is unreachable",
                    5 => "the connection was refused",
                    6 => "the TTL expired",
                    7 => "it does not support CONNECT",
                    8 => "it does not support this type of address",
                    _ => return write!(f, "the SOCKS5 proxy refused with the unknown code {code}"),
                };
                return write!(f, "the SOCKS5 proxy refused: {reason} (RFC 1928 §6, code {code})");
            }
            Self::MalformedReply => {
                "the answer of the SOCKS5 proxy is malformed (RFC 1928 §6, RFC 1929 §2)"
            }
        })
    }
}

impl core::error::Error for ProxyError {}

impl From<OpenError> for ProxyError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

/// The start of a text from a proxy: at most 56 bytes.
///
/// `Display` and `Debug` escape what is not printable ASCII.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Excerpt {
    bytes: [u8; Self::MAX],
    length: u8,
}

impl Excerpt {
    const MAX: usize = 56;
    pub(super) const EMPTY: Self = Self { bytes: [0; Self::MAX], length: 0 };

    /// Returns the bytes as the proxy sent them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// Appends as many bytes as there is room for.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(usize::from(self.length)..).unwrap_or_default();
        // The length is at most 56.
        self.length = self.length.saturating_add(copy(bytes, room) as u8);
    }

    pub(super) fn is_full(&self) -> bool {
        self.as_bytes().len() == Self::MAX
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
