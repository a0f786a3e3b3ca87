//! What was seen of a peer whose half of the opening handshake was not right: for logs, and for people.

use alloc::boxed::Box;
use core::fmt;

use super::http::{Request, Response};
use crate::handshake::{FirstBytes, HandshakeError, QuotedStart, QuotedUri};

/// Why an opening handshake has failed, with what was seen of the peer.
///
/// `Display` says which rule is broken, and shows what helps to find the cause: the Origin and the host that were
/// refused, the subprotocol that was not offered, the first bytes of a peer that does not speak HTTP. What comes from the peer
/// is escaped and cut to 100 bytes. Secrets (cookies, credentials, queries) are not shown, and neither does `Debug`
/// show them.
///
/// [`Inbound::handshake_failure`](super::Inbound::handshake_failure) returns it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HandshakeFailure {
    /// The rule that is broken.
    pub error: HandshakeError,
    /// On a server, the request, if its syntax is right. Its [`is_upgrade`](Request::is_upgrade) is `false`.
    pub request: Option<Request>,
    /// On a client, the response, if its syntax is right.
    pub response: Option<Box<Response>>,
    /// The first bytes of a peer that does not speak HTTP.
    pub first_bytes: Option<FirstBytes>,
}

impl From<HandshakeError> for HandshakeFailure {
    /// A failure of which only the rule is known.
    fn from(error: HandshakeError) -> Self {
        Self { error, request: None, response: None, first_bytes: None }
    }
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        let Self { error, request, response, first_bytes } = self;
        match (error, request, response, first_bytes) {
            (HandshakeError::NotHttp, _, _, Some(first)) => write!(f, ": it begins with {first}"),
            (HandshakeError::OriginNotAllowed, Some(request), ..) => {
                let origin = QuotedUri(request.origin().unwrap_or_default());
                let host = QuotedStart(request.host().unwrap_or_default());
                write!(
                    f,
                    ": Origin is {origin} and Host is {host}; `origins` admits pages of other origins, and a proxy \
                     in front has to pass Host on as it is"
                )
            }
            (HandshakeError::HostNotAllowed, Some(request), ..) => match request.host() {
                Some(host) => {
                    write!(f, ": {}; `hosts` names those that it answers to", QuotedStart(host))
                }
                None => f.write_str(": there is none; `hosts` names those that it answers to"),
            },
            (HandshakeError::UnofferedSubprotocol, _, Some(response), _) => {
                let chosen = response.header("sec-websocket-protocol").unwrap_or_default();
                write!(f, ": {}", QuotedStart(chosen))
            }
            _ => Ok(()),
        }
    }
}

impl core::error::Error for HandshakeFailure {}
