//! The errors of the opening handshake.
//!
//! A [`HandshakeError`] is the peer's fault, and an [`OpenError`] the caller's. Their texts name the rule that is
//! broken. They never contain a byte from the peer, so they can be logged and sent. New rules add new variants. An
//! endpoint's `HandshakeFailure` contains what the peer sent.

use core::fmt;

/// Why the peer's part of the opening handshake is not valid.
///
/// A server answers an error that has a [`status`](Self::status) with [`write_response`](Self::write_response). A
/// client sends no answer; it closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeError {
    // Peers that speak something else.
    /// The first bytes are not HTTP, but for example the greeting of another protocol.
    /// [`FirstBytes`](super::FirstBytes) detects this error and the next two.
    NotHttp,
    /// A TLS record came where a plain request was expected. There is no answer that such a client would understand.
    TlsRequest,
    /// A TLS record came where a plain response was expected, so the server probably expects `wss://`.
    TlsResponse,

    // Syntax of any head.
    /// A CR without an LF after it.
    BareCr,
    /// An LF without a CR before it.
    BareLf,
    /// A NUL byte.
    Nul,
    /// The bytes do not end with the empty line of the head.
    IncompleteHead,
    /// A field name is not a token, a line is folded, or there is white space before the colon.
    InvalidFieldName,
    /// A control character in a field value.
    InvalidFieldValue,
    /// There are more fields than the caller has room for.
    TooManyFields,
    /// A `Content-Length` that is not a decimal number.
    InvalidContentLength,
    /// More than one `Content-Length`.
    RepeatedContentLength,
    /// Both `Content-Length` and `Transfer-Encoding` in one message.
    ContentLengthAndTransferEncoding,
    /// A `Sec-WebSocket-Extensions` that does not follow the grammar.
    InvalidExtensions,

    // Requests.
    /// The request line does not end within the limit.
    RequestLineTooLong,
    /// The head of the request does not end within the limit.
    HeadTooLarge,
    /// The request line is not a method, a target and a version with one space between them.
    MalformedRequestLine,
    /// A major version of HTTP other than 1.
    UnsupportedHttpVersion,
    /// No `Host`.
    MissingHost,
    /// More than one `Host`.
    RepeatedHost,
    /// A `Host` that is not a host and an optional port.
    InvalidHost,
    /// A host that the server does not answer to, according to the application's policy.
    HostNotAllowed,
    /// More than one `Origin`.
    RepeatedOrigin,
    /// An `Origin` with characters outside printable ASCII.
    InvalidOrigin,
    /// An `Origin` that is not allowed, according to the application's policy.
    OriginNotAllowed,
    /// The request has fields of the WebSocket handshake, but its `Upgrade` does not contain `websocket`.
    MissingUpgrade,
    /// An upgrade request with another method than GET.
    MethodNotAllowed,
    /// A `Connection` without the token `upgrade`.
    MissingConnectionUpgrade,
    /// No `Sec-WebSocket-Version`.
    MissingVersion,
    /// More than one `Sec-WebSocket-Version`.
    RepeatedVersion,
    /// A `Sec-WebSocket-Version` that is not a number from 0 to 255 without leading zeros.
    MalformedVersion,
    /// A `Sec-WebSocket-Version` other than 13.
    UnsupportedVersion,
    /// No `Sec-WebSocket-Key`.
    MissingKey,
    /// More than one `Sec-WebSocket-Key`.
    RepeatedKey,
    /// A `Sec-WebSocket-Key` that is not 16 bytes in base64.
    InvalidKey,
    /// An upgrade request with a body.
    RequestBody,
    /// The target is neither a path nor an absolute http or ws URI, or it has a fragment.
    InvalidTarget,
    /// The percent-encoding of the target is malformed, or the decoded bytes are not UTF-8. This is returned when the
    /// application asks for the decoded target.
    InvalidEncoding,
    /// An element of `Sec-WebSocket-Protocol` is not a token.
    InvalidSubprotocol,
    /// A subprotocol that is offered twice.
    RepeatedSubprotocol,
    /// More subprotocols than [`MAX_SUBPROTOCOLS`](super::MAX_SUBPROTOCOLS).
    TooManySubprotocols,

    // Responses.
    /// The head of the response does not end within the limit.
    ResponseHeadTooLarge,
    /// The status line is not a version, three digits and an optional reason.
    MalformedStatusLine,
    /// The response is not of HTTP/1, or it is a 101 of HTTP/1.0.
    UnsupportedResponseVersion,
    /// A status other than 101.
    NotSwitchingProtocols,
    /// The `Upgrade` of the response is not exactly `websocket`.
    ResponseUpgrade,
    /// The `Connection` of the response does not contain the token `upgrade`.
    ResponseConnection,
    /// No `Sec-WebSocket-Accept`.
    MissingAccept,
    /// More than one `Sec-WebSocket-Accept`.
    RepeatedAccept,
    /// A `Sec-WebSocket-Accept` that does not answer the key.
    WrongAccept,
    /// A subprotocol that was not offered.
    UnofferedSubprotocol,
    /// More than one `Sec-WebSocket-Protocol` in the response.
    RepeatedResponseSubprotocol,
    /// An extension that was not offered.
    UnofferedExtension,
    /// More than one permessage-deflate in the response.
    #[cfg(feature = "deflate")]
    RepeatedDeflate,
    /// A parameter of permessage-deflate is unknown, is repeated or has an invalid value.
    #[cfg(feature = "deflate")]
    InvalidDeflateParameter,
    /// The parameters of permessage-deflate do not match the offer. Either a parameter that was asked for is missing or
    /// too large, or `client_max_window_bits` was not offered.
    #[cfg(feature = "deflate")]
    UnofferedDeflateParameter,
}

impl HandshakeError {
    /// Returns the status code that a server answers with.
    ///
    /// The result is `None` for errors that only a client can detect, and for [`TlsRequest`](Self::TlsRequest), which a
    /// server does not answer.
    ///
    /// Errors that both sides can detect, such as a bare LF, have the code that a server answers with.
    #[must_use]
    pub const fn status(self) -> Option<u16> {
        Some(match self {
            Self::OriginNotAllowed => 403,
            Self::MethodNotAllowed => 405,
            Self::RequestLineTooLong => 414,
            // RFC 9110 §15.5.20.
            Self::HostNotAllowed => 421,
            Self::UnsupportedVersion => 426,
            Self::HeadTooLarge | Self::TooManyFields | Self::TooManySubprotocols => 431,
            Self::UnsupportedHttpVersion => 505,
            Self::TlsRequest
            | Self::TlsResponse
            | Self::ResponseHeadTooLarge
            | Self::MalformedStatusLine
            | Self::UnsupportedResponseVersion
            | Self::NotSwitchingProtocols
            | Self::ResponseUpgrade
            | Self::ResponseConnection
            | Self::MissingAccept
            | Self::RepeatedAccept
            | Self::WrongAccept
            | Self::UnofferedSubprotocol
            | Self::RepeatedResponseSubprotocol
            | Self::UnofferedExtension => return None,
            #[cfg(feature = "deflate")]
            Self::RepeatedDeflate
            | Self::InvalidDeflateParameter
            | Self::UnofferedDeflateParameter => return None,
            _ => 400,
        })
    }

    /// Returns the fields that the answer needs in addition to its status, as names and values.
    ///
    /// [`write_response`](Self::write_response) writes them itself. Use this method if another HTTP server writes the
    /// answer. You can also set them on an [`HttpResponse`](super::HttpResponse) of the same status.
    ///
    /// ```
    /// use ws_core::handshake::HandshakeError;
    ///
    /// assert_eq!(HandshakeError::MethodNotAllowed.status(), Some(405));
    /// assert_eq!(HandshakeError::MethodNotAllowed.fields(), [("Allow", "GET")]);
    /// ```
    #[must_use]
    pub const fn fields(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::MethodNotAllowed => &[("Allow", "GET")],
            // RFC 6455 §4.4: the answer names the supported version.
            Self::MissingVersion | Self::RepeatedVersion | Self::MalformedVersion => {
                &[("Sec-WebSocket-Version", "13")]
            }
            // RFC 9110 §15.5.22.
            Self::UnsupportedVersion => &[
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Version", "13"),
            ],
            _ => &[],
        }
    }

    /// Returns what was found and which rule it breaks. The text never contains a byte from the peer.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::NotHttp => "the peer does not speak HTTP (RFC 9112 §2.1)",
            Self::TlsRequest => "the client speaks TLS to a port without TLS (RFC 8446 §5.1)",
            Self::TlsResponse => "the peer speaks TLS: wss://?",
            Self::BareCr => "CR without LF in the head (RFC 9112 §2.2)",
            Self::BareLf => "LF without CR in the head (RFC 9112 §2.2)",
            Self::Nul => "NUL in the head (RFC 9110 §5.5)",
            Self::IncompleteHead => "head does not end with its empty line (RFC 9112 §2.1)",
            Self::InvalidFieldName => {
                "field name is not a token, or a line is folded (RFC 9112 §5.1, §5.2)"
            }
            Self::InvalidFieldValue => "control character in a field value (RFC 9110 §5.5)",
            Self::TooManyFields => "too many fields in the head (RFC 6585 §5)",
            Self::InvalidContentLength => "Content-Length is not a decimal number (RFC 9110 §8.6)",
            Self::RepeatedContentLength => "more than one Content-Length (RFC 9112 §6.3)",
            Self::ContentLengthAndTransferEncoding => {
                "both Content-Length and Transfer-Encoding (RFC 9112 §6.1)"
            }
            Self::InvalidExtensions => {
                "Sec-WebSocket-Extensions does not follow its grammar (RFC 6455 §9.1)"
            }
            Self::RequestLineTooLong => "request line is too long (RFC 9112 §3)",
            Self::HeadTooLarge => "head is too large (RFC 6585 §5)",
            Self::MalformedRequestLine => {
                "request line is not method, target and HTTP version (RFC 9112 §3)"
            }
            Self::UnsupportedHttpVersion => "HTTP version is not 1.x (RFC 9110 §15.6.6)",
            Self::MissingHost => "no Host (RFC 9112 §3.2)",
            Self::RepeatedHost => "more than one Host (RFC 9112 §3.2)",
            Self::InvalidHost => "Host is not a host and an optional port (RFC 9110 §7.2)",
            Self::HostNotAllowed => "this server does not answer to the host (RFC 9110 §15.5.20)",
            Self::RepeatedOrigin => "more than one Origin (RFC 6454 §7.3)",
            Self::InvalidOrigin => "Origin is not printable ASCII (RFC 6454 §7.1)",
            Self::OriginNotAllowed => "Origin is not allowed here (RFC 6455 §10.2)",
            Self::MissingUpgrade => "Upgrade does not contain websocket (RFC 6455 §4.2.1)",
            Self::MethodNotAllowed => "method of an upgrade is not GET (RFC 6455 §4.2.1)",
            Self::MissingConnectionUpgrade => {
                "Connection does not contain upgrade (RFC 6455 §4.2.1)"
            }
            Self::MissingVersion => "no Sec-WebSocket-Version (RFC 6455 §4.2.1)",
            Self::RepeatedVersion => "more than one Sec-WebSocket-Version (RFC 6455 §11.3.5)",
            Self::MalformedVersion => {
                "Sec-WebSocket-Version is not a number from 0 to 255 (RFC 6455 §4.3)"
            }
            Self::UnsupportedVersion => "Sec-WebSocket-Version is not 13 (RFC 6455 §4.4)",
            Self::MissingKey => "no Sec-WebSocket-Key (RFC 6455 §4.2.1)",
            Self::RepeatedKey => "more than one Sec-WebSocket-Key (RFC 6455 §11.3.1)",
            Self::InvalidKey => "Sec-WebSocket-Key is not 16 bytes in base64 (RFC 6455 §4.2.1)",
            Self::RequestBody => "upgrade request with a body (RFC 9110 §7.8)",
            Self::InvalidTarget => {
                "target of an upgrade is neither a path nor an http URI (RFC 6455 §4.2.1)"
            }
            Self::InvalidEncoding => {
                "percent-encoding of the target is malformed or not UTF-8 (RFC 3986 §2.1)"
            }
            Self::InvalidSubprotocol => {
                "Sec-WebSocket-Protocol is not a list of tokens (RFC 6455 §4.3)"
            }
            Self::RepeatedSubprotocol => "subprotocol offered twice (RFC 6455 §4.1)",
            Self::TooManySubprotocols => "more than 64 subprotocols offered (RFC 6585 §5)",
            Self::ResponseHeadTooLarge => "response head is larger than the limit",
            Self::MalformedStatusLine => {
                "status line is not HTTP version and three-digit status (RFC 9112 §4)"
            }
            Self::UnsupportedResponseVersion => {
                "response is not HTTP/1.1 (RFC 6455 §4.2.2, RFC 9110 §15.2)"
            }
            Self::NotSwitchingProtocols => "status is not 101 (RFC 6455 §4.1)",
            Self::ResponseUpgrade => "Upgrade of the response is not websocket (RFC 6455 §4.1)",
            Self::ResponseConnection => {
                "Connection of the response does not contain upgrade (RFC 6455 §4.1)"
            }
            Self::MissingAccept => "no Sec-WebSocket-Accept (RFC 6455 §4.1)",
            Self::RepeatedAccept => "more than one Sec-WebSocket-Accept (RFC 6455 §11.3.3)",
            Self::WrongAccept => "Sec-WebSocket-Accept does not answer the key (RFC 6455 §4.1)",
            Self::UnofferedSubprotocol => "subprotocol was not offered (RFC 6455 §4.1)",
            Self::RepeatedResponseSubprotocol => {
                "more than one Sec-WebSocket-Protocol in the response (RFC 6455 §11.3.4)"
            }
            Self::UnofferedExtension => "extension was not offered (RFC 6455 §4.1)",
            #[cfg(feature = "deflate")]
            Self::RepeatedDeflate => {
                "more than one permessage-deflate in the response (RFC 7692 §5)"
            }
            #[cfg(feature = "deflate")]
            Self::InvalidDeflateParameter => {
                "parameter of permessage-deflate is unknown, repeated or out of range (RFC 7692 §7.1)"
            }
            #[cfg(feature = "deflate")]
            Self::UnofferedDeflateParameter => {
                "parameters of permessage-deflate do not match the offer (RFC 7692 §7.1)"
            }
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for HandshakeError {}

/// Why this side's part of an opening handshake, or another HTTP head, was not written.
///
/// Do not send what was written before the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenError {
    /// The output is shorter than the head, which has exactly `needed` bytes.
    BufferTooSmall {
        /// The length of the head in bytes.
        needed: usize,
    },
    /// The name of a header is not a token.
    InvalidHeaderName,
    /// The value of a header contains CR, LF, NUL or another control character.
    InvalidHeaderValue,
    /// A header that the library writes itself, or that would change the meaning of the message. This is its name, or
    /// `Sec-WebSocket-*` for the fields of the handshake.
    ReservedHeader(&'static str),
    /// The target does not begin with `/`, or has a character that is not allowed in a target.
    InvalidTarget,
    /// The host is not `host`, `host:port`, `[IPv6]` or `[IPv6]:port`.
    InvalidHost,
    /// A user or password that cannot be sent to the proxy.
    #[cfg(feature = "proxy")]
    InvalidCredentials,
    /// A subprotocol is not a token, or was set twice.
    InvalidSubprotocol,
    /// A subprotocol that the client did not offer.
    UnofferedSubprotocol,
    /// The extensions do not follow the grammar of RFC 6455 §9.1.
    InvalidExtension,
    /// An extension that the client did not offer.
    UnofferedExtension,
    /// The key is not 16 bytes in base64.
    InvalidKey,
    /// The status is not from 200 to 599, or the [`HandshakeError`] has no status.
    InvalidStatus,
    /// A body with a status that does not allow one: 204, 205 or 304.
    BodyNotAllowed,
    /// No request is waiting for an answer.
    NoRequest,
    /// The generator of random bytes failed.
    Random,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BufferTooSmall { needed } => {
                return write!(f, "output too small for the head of {needed} bytes");
            }
            Self::InvalidHeaderName => "header name is not a token (RFC 9110 §5.1)",
            Self::InvalidHeaderValue => "control character in a header value (RFC 9110 §5.5)",
            Self::ReservedHeader(name) => {
                return write!(f, "header {name} is written by the library itself (RFC 6455 §4)");
            }
            Self::InvalidTarget => {
                "target does not begin with / or has a character outside a URI (RFC 6455 §3)"
            }
            Self::InvalidHost => "host is not a host and an optional port (RFC 9110 §7.2)",
            #[cfg(feature = "proxy")]
            Self::InvalidCredentials => {
                "user or password cannot be sent to the proxy (RFC 7617 §2, RFC 1929 §2)"
            }
            Self::InvalidSubprotocol => {
                "subprotocol is not a token, or is given twice (RFC 6455 §4.1)"
            }
            Self::UnofferedSubprotocol => "subprotocol was not offered (RFC 6455 §4.2.2)",
            Self::InvalidExtension => "extensions do not follow their grammar (RFC 6455 §9.1)",
            Self::UnofferedExtension => "extension was not offered (RFC 6455 §4.2.2)",
            Self::InvalidKey => "key is not 16 bytes in base64 (RFC 6455 §4.2.1)",
            Self::InvalidStatus => "status is not from 200 to 599 (RFC 9110 §15)",
            Self::BodyNotAllowed => {
                "body with a status that does not allow one (RFC 9110 §15.3.5, §15.4.5)"
            }
            Self::NoRequest => "no request waits for this answer",
            Self::Random => "the generator of random bytes has failed",
        })
    }
}

impl core::error::Error for OpenError {}
