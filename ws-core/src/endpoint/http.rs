//! The requests and responses in an endpoint's events. They own their bytes and were checked.
//!
//! The bytes of the head are kept as they were received, and every part is a range in them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::ops::Range;

use bytes::Bytes;

use super::Options;
#[cfg(feature = "zlib-rs")]
use crate::deflate::DeflateParams;
use crate::handshake::{
    EMPTY_FIELD, HandshakeError, Names, QuotedStart, QuotedUri, RequestHead, ResponseHead,
    accept_key, challenge_schemes, path, split_target,
};

/// How many schemes of an authentication challenge are shown.
const MOST_SCHEMES: usize = 8;

/// A range of bytes in a head.
type Span = Range<usize>;

/// The head of a request or response, and where its fields are. `Debug` shows only their names.
#[derive(Clone)]
pub(super) struct Fields {
    head: Box<[u8]>,
    spans: Box<[(Span, Span)]>,
}

/// Returns where the fields are in a head.
fn spans<'h>(
    head: &[u8],
    fields: impl Iterator<Item = (&'h str, &'h [u8])>,
) -> Box<[(Span, Span)]> {
    fields.map(|(name, value)| (span(head, name.as_bytes()), span(head, value))).collect()
}

impl Fields {
    fn bytes(&self, span: &Span) -> &[u8] {
        self.head.get(span.clone()).unwrap_or_default()
    }

    /// Returns a part of the head that the parser has checked to be text.
    fn text(&self, span: &Span) -> &str {
        core::str::from_utf8(self.bytes(span)).unwrap_or_default()
    }

    /// Returns all fields in order, as names and values.
    fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> + Clone {
        self.spans.iter().map(|(name, value)| (self.text(name), self.bytes(value)))
    }

    /// Returns the first value of a field that is UTF-8. The case of the name does not matter.
    fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .find_map(|(_, value)| core::str::from_utf8(value).ok())
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Names(self.iter()).fmt(f)
    }
}

/// Returns where `part`, which is a slice of `whole`, is in it.
fn span(whole: &[u8], part: &[u8]) -> Span {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    start..start.wrapping_add(part.len())
}

/// A client's request. Clones share its bytes.
///
/// `Debug` shows neither the query nor the values of fields, because they may be secret.
#[derive(Clone)]
pub struct Request(Arc<Parsed>);

/// A head, and where its parts are.
struct Parsed {
    fields: Fields,
    method: Span,
    target: Span,
    minor_version: u8,
    is_http10_upgrade: bool,
    host: Option<Span>,
    resource_name: Span,
    upgrade: Option<Asked>,
}

/// The further parts of a request for a WebSocket.
struct Asked {
    /// The `Sec-WebSocket-Accept` that answers the key.
    accept: Option<[u8; 28]>,
    subprotocols: Vec<Span>,
    /// The parameters that this side agrees to, if it accepts one of the client's offers.
    #[cfg(feature = "zlib-rs")]
    deflate: Option<DeflateParams>,
}

impl Request {
    /// Returns the method, which is `GET` for an upgrade request.
    pub fn method(&self) -> &str {
        self.text(&self.0.method)
    }

    /// Returns the request target as it was sent, for example `/chat?room=1`.
    pub fn target(&self) -> &str {
        self.text(&self.0.target)
    }

    /// Returns the path and query of the target, even if the target was sent as a whole URI. If the path is missing, it
    /// is `/` (RFC 6455 §3).
    pub fn resource_name(&self) -> &str {
        self.text(&self.0.resource_name)
    }

    /// Returns the minor version of HTTP: 1 for HTTP/1.1.
    pub fn minor_version(&self) -> u8 {
        self.0.minor_version
    }

    /// Returns whether the request has version HTTP/1.0 and its `Upgrade` contains `websocket`. Because HTTP/1.0 has no
    /// upgrades, it is a plain request.
    ///
    /// The usual cause is a proxy that speaks HTTP/1.0 to the server. Configure it to use HTTP/1.1; in nginx, with
    /// `proxy_http_version 1.1`.
    pub fn is_http10_upgrade(&self) -> bool {
        self.0.is_http10_upgrade
    }

    /// Returns all fields in order, as names and values. Names are as they were sent; values have no white space around
    /// them.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> + Clone {
        self.0.fields.iter()
    }

    /// Returns the first value of a field that is UTF-8. The case of the name does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.fields.get(name)
    }

    /// Returns whether this is an upgrade request, which asks for a WebSocket.
    pub fn is_upgrade(&self) -> bool {
        self.0.upgrade.is_some()
    }

    /// Returns the host and optional port that the request is for: those of the target if it is a whole URI, otherwise
    /// those of `Host`.
    pub fn host(&self) -> Option<&str> {
        self.0.host.as_ref().map(|span| self.text(span))
    }

    /// Returns the `Origin`: the site of the page that sent the request. It is `None` only if the client is not a
    /// browser (RFC 6455 §4.2.1).
    pub fn origin(&self) -> Option<&str> {
        self.header("origin")
    }

    /// Returns the offered subprotocols in the client's order of preference.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> + Clone {
        let offers = self.0.upgrade.as_ref().map_or(&[][..], |asked| &asked.subprotocols);
        offers.iter().map(|span| self.text(span))
    }

    /// Returns the `Sec-WebSocket-Accept` that answers the key of an upgrade request.
    pub(super) fn accept(&self) -> Option<&[u8; 28]> {
        self.0.upgrade.as_ref()?.accept.as_ref()
    }

    /// Returns the parameters that this side agrees to, if a suitable permessage-deflate was offered.
    #[cfg(feature = "zlib-rs")]
    pub(super) fn deflate(&self) -> Option<DeflateParams> {
        self.0.upgrade.as_ref().and_then(|asked| asked.deflate)
    }

    fn text(&self, span: &Span) -> &str {
        self.0.fields.text(span)
    }

    /// Parses a head with at most `max_fields` fields, and checks it as an upgrade request, including its host and
    /// origin. If only the syntax is right, the result is the request together with the error.
    pub(super) fn parse(
        head: Box<[u8]>,
        max_fields: usize,
        options: &Options,
    ) -> Result<(Self, Result<(), HandshakeError>), HandshakeError> {
        let mut storage = alloc::vec![EMPTY_FIELD; max_fields];
        let parsed = RequestHead::parse_in(&head, &mut storage)?;
        let place = |text: &str| span(&head, text.as_bytes());
        let upgrade = parsed.upgrade();
        let (host, resource) = match &upgrade {
            Ok(Some(upgrade)) => (Some(upgrade.host), upgrade.resource),
            _ => {
                let target = parsed.target();
                let (authority, resource) = split_target(target).unwrap_or((None, target));
                let field = || core::str::from_utf8(parsed.field("host")?).ok();
                (authority.or_else(field), resource)
            }
        };
        let mut asked = None;
        let outcome = match &upgrade {
            Ok(Some(upgrade)) => options.check_host(host).and_then(|()| {
                options.origins.check_secure(upgrade.origin, upgrade.host, options.secure)?;
                asked = Some(Asked {
                    accept: accept_key(upgrade.key),
                    subprotocols: upgrade.subprotocols().map(place).collect(),
                    #[cfg(feature = "zlib-rs")]
                    deflate: options
                        .compression
                        .as_ref()
                        .and_then(|own| upgrade.deflate(&own.negotiation)),
                });
                Ok(())
            }),
            Ok(None) => options.check_host(host),
            Err(error) => Err(*error),
        };
        let (method, target) = (place(parsed.method()), place(parsed.target()));
        let (host, resource_name) = (host.map(place), place(resource));
        let has_path = resource.starts_with('/') || resource_name == target;
        // If the path is missing, the resource name with its `/` is not in the head.
        let longer = (!has_path).then(|| [&head, &b"/"[..], resource.as_bytes()].concat());
        let (minor_version, is_http10_upgrade) =
            (parsed.minor_version(), parsed.is_http10_upgrade());
        let count = parsed.fields().count();
        storage.truncate(count);
        // A pair of spans has the size of a field, so the vector's memory is used again.
        let spans = spans(&head, storage.into_iter().map(|field| (field.name, field.value)));
        let (head, resource_name) = match longer {
            Some(longer) => {
                let name = head.len()..longer.len();
                (longer.into(), name)
            }
            None => (head, resource_name),
        };
        let fields = Fields { head, spans };
        let parsed = Parsed {
            fields,
            method,
            target,
            minor_version,
            is_http10_upgrade,
            host,
            resource_name,
            upgrade: asked,
        };
        Ok((Self(Arc::new(parsed)), outcome))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("path", &path(self.resource_name()))
            .field("fields", &self.0.fields)
            .field("is_upgrade", &self.is_upgrade())
            .finish()
    }
}

/// A server's response.
///
/// `Debug` shows neither the values of fields nor the body, but only their names and its length.
#[derive(Clone)]
pub struct Response {
    status: u16,
    reason: String,
    fields: Fields,
    pub(super) body: Bytes,
}

impl Response {
    /// Returns the status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the reason phrase, which is meant for people.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns all fields in order, as names and values. Names are as they were sent; values have no white space around
    /// them.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> + Clone {
        self.fields.iter()
    }

    /// Returns the first value of a field that is UTF-8. The case of the name does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// Returns the part of the body that was received, up to [`Options::max_body`](super::Options::max_body). It is
    /// empty if the WebSocket was opened.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Writes the scheme of each challenge in a field, without its parameters (RFC 9110 §11.6.1).
    fn fmt_challenge(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = ", authentication by";
        let fields = self.fields().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        for scheme in fields.flat_map(|(_, value)| challenge_schemes(value)).take(MOST_SCHEMES) {
            write!(f, "{separator} {}", QuotedStart(scheme))?;
            separator = " or";
        }
        Ok(())
    }

    pub(super) fn new(head: &[u8], parsed: &ResponseHead<'_, '_>) -> Self {
        let spans = spans(head, parsed.fields());
        Self {
            status: parsed.status(),
            reason: String::from_utf8_lossy(parsed.reason()).into_owned(),
            fields: Fields { head: head.into(), spans },
            body: Bytes::new(),
        }
    }
}

/// Shows the response for a log: the status and reason, the `Location` of a redirect, the schemes of an authentication
/// challenge, and the start of the body if it is text.
///
/// Text from the server is escaped and cut to 100 bytes. A query in `Location` is not shown.
impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        if !self.reason.is_empty() {
            f.write_str(" ")?;
            let mut start = self.reason.chars().take(100).flat_map(char::escape_debug);
            start.try_for_each(|c| f.write_char(c))?;
        }
        match (self.status, self.header("location")) {
            (300..=399, Some(location)) => write!(f, ", Location {}", QuotedUri(location))?,
            (401, _) => self.fmt_challenge("www-authenticate", f)?,
            (407, _) => self.fmt_challenge("proxy-authenticate", f)?,
            _ => {}
        }
        let text = match core::str::from_utf8(&self.body) {
            Ok(text) => text,
            // The body may have been cut inside a character.
            Err(error) if error.error_len().is_none() => {
                let valid = self.body.get(..error.valid_up_to()).unwrap_or_default();
                core::str::from_utf8(valid).unwrap_or_default()
            }
            Err(_) => "",
        };
        let text = text.trim();
        let is_text = !text.chars().any(|c| c.is_control() && !c.is_whitespace());
        if is_text && !text.is_empty() { write!(f, ": {}", QuotedStart(text)) } else { Ok(()) }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("reason", &self.reason)
            .field("fields", &self.fields)
            .field("body", &self.body.len())
            .finish()
    }
}
