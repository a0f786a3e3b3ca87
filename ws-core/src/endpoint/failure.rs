//! What is known about a peer whose half of the opening handshake is invalid, for logs and error messages.

use alloc::boxed::Box;
use core::fmt;

use super::http::{Request, Response};
use crate::handshake::{FirstBytes, HandshakeError, QuotedStart, QuotedUri, same_origin};

/// Why an opening handshake has failed, and what is known about the peer.
///
/// `Display` names the rule that is broken, and shows what helps to find the cause: the Origin and the host that were
/// refused, the subprotocol that was not offered, or the first bytes of a peer that does not speak HTTP. Bytes from the
/// peer are escaped and cut to 100 bytes. Neither `Display` nor `Debug` shows secrets, such as cookies, credentials and
/// queries.
///
/// [`Inbound::handshake_failure`](super::Inbound::handshake_failure) returns it.
///
/// ```
/// use ws_core::endpoint::{Endpoint, Next, Options};
/// use ws_core::{Instant, handshake::HandshakeError};
///
/// let mut server = Endpoint::server(Options::new());
/// let received = b"SSH-2.0-OpenSSH_9.2\r\n";
/// assert_eq!(server.inbound.receive(received), received.len());
/// assert!(matches!(server.next(|| Instant::from_millis(0)), Next::Failed(_)));
/// let failure = server.inbound.handshake_failure().ok_or("the peer does not speak HTTP")?;
/// assert_eq!(failure.error, HandshakeError::NotHttp);
/// eprintln!("{failure}");
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HandshakeFailure {
    /// The rule that is broken.
    pub error: HandshakeError,
    /// On a server, the request, if its syntax is valid. Its [`is_upgrade`](Request::is_upgrade) is `false`.
    pub request: Option<Request>,
    /// On a client, the response, if its syntax is valid.
    pub response: Option<Box<Response>>,
    /// The first bytes of a peer that does not speak HTTP.
    pub first_bytes: Option<FirstBytes>,
    /// On a client, the subprotocols of the response, with `…` for those that the request offered: people put tokens there.
    pub(super) unoffered: Option<Box<str>>,
}

impl From<HandshakeError> for HandshakeFailure {
    /// Returns a failure of which only the broken rule is known.
    fn from(error: HandshakeError) -> Self {
        Self { error, request: None, response: None, first_bytes: None, unoffered: None }
    }
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        let Self { error, request, unoffered, first_bytes, .. } = self;
        match (error, request, unoffered, first_bytes) {
            (HandshakeError::NotHttp, _, _, Some(first)) => write!(f, ": it begins with {first}"),
            (HandshakeError::OriginNotAllowed, Some(request), ..) => {
                let origin = QuotedUri(request.origin().unwrap_or_default());
                let host = request.host().unwrap_or_default();
                let is_same = same_origin(request.origin().unwrap_or_default(), host);
                write!(f, ": Origin is {origin} and Host is {}; ", QuotedStart(host))?;
                f.write_str(if is_same {
                    "this server is reached over TLS, so its pages have to come over https"
                } else {
                    "to admit pages of other origins, set `origins`; a proxy in front of the server must pass Host on \
                     unchanged"
                })
            }
            (HandshakeError::HostNotAllowed, Some(request), ..) => match request.host() {
                Some(host) => {
                    write!(f, ": {}; `hosts` lists the hosts that it answers to", QuotedStart(host))
                }
                None => f.write_str(
                    ": the request has no host; `hosts` lists the hosts that it answers to",
                ),
            },
            (HandshakeError::UnofferedSubprotocol, _, Some(unoffered), _) => {
                write!(f, ": {}", QuotedStart(unoffered))
            }
            _ => Ok(()),
        }
    }
}

impl core::error::Error for HandshakeFailure {}
