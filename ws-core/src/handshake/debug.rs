//! `Debug` of heads, for logs: names of fields without values, targets without queries, the subprotocols
//! that are offered as a count. All of those carry passwords and tokens.
//!
//! What errors show of a peer goes through [`Quoted`] and [`QuotedUri`].
//!
//! The types of `handshake` and the endpoint's requests and responses go to logs by these functions. Whoever adds a
//! type that holds bytes of a head adds its `Debug` here.

use core::fmt;

use super::client::{ClientRequest, ResponseHead};
use super::request::{RequestHead, Upgrade};
use super::response::{AcceptResponse, HttpResponse};

/// The names of fields.
pub(crate) struct Names<I>(pub(crate) I);

impl<'n, I: Iterator<Item = (&'n str, V)> + Clone, V> fmt::Debug for Names<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.clone().map(|(name, _)| name)).finish()
    }
}

/// The path of a target. Of one that is a whole URI, which may have user information, nothing.
pub(crate) fn path(target: &str) -> &str {
    match target.split(['?', '#']).next() {
        Some(path) if path.starts_with('/') => path,
        _ => "..",
    }
}

/// The most bytes of a peer's that an error shows of one value.
#[cfg(feature = "endpoint")]
const SHOWN: usize = 100;

/// A peer's bytes in quotes, for a log or a terminal: what is not a printable character is escaped.
pub(crate) struct Quoted<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match core::str::from_utf8(self.0) {
            Ok(text) => fmt::Debug::fmt(text, f),
            Err(_) => write!(f, "\"{}\"", self.0.escape_ascii()),
        }
    }
}

/// The start of a peer's text in quotes, escaped; an ellipsis follows where there is more.
#[cfg(feature = "endpoint")]
pub(crate) struct QuotedStart<'a>(pub(crate) &'a str);

#[cfg(feature = "endpoint")]
impl fmt::Display for QuotedStart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = (0..=SHOWN).rev().find(|&end| self.0.is_char_boundary(end)).unwrap_or(0);
        let (start, rest) = self.0.split_at_checked(end).unwrap_or((self.0, ""));
        fmt::Debug::fmt(start, f)?;
        f.write_str(if rest.is_empty() { "" } else { "…" })
    }
}

/// As [`QuotedStart`], for a URI or an origin of a peer's, without what may be secret: an ellipsis stands for the user
/// information and what is before it, and for the query and the fragment.
#[cfg(feature = "endpoint")]
pub(crate) struct QuotedUri<'a>(pub(crate) &'a str);

#[cfg(feature = "endpoint")]
impl fmt::Display for QuotedUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = self.0.split(['?', '#']).next().unwrap_or_default();
        let shown = uri.rfind('@').and_then(|at| uri.get(at..)).unwrap_or(uri);
        f.write_str(if shown.len() < uri.len() { "…" } else { "" })?;
        QuotedStart(shown).fmt(f)?;
        f.write_str(if uri.len() < self.0.len() { "…" } else { "" })
    }
}

impl fmt::Debug for RequestHead<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method())
            .field("path", &path(self.target()))
            .field("minor_version", &self.minor_version)
            .field("fields", &Names(self.fields()))
            .finish()
    }
}

impl fmt::Debug for Upgrade<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade")
            .field("host", &self.host)
            .field("path", &self.path())
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ResponseHead<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("minor_version", &self.minor_version)
            .field("status", &self.status())
            .field("fields", &Names(self.fields()))
            .finish()
    }
}

impl fmt::Debug for ClientRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRequest")
            .field("host", &self.host)
            .field("path", &path(self.target))
            .field("origin", &self.origin)
            .field("subprotocols", &self.subprotocols.len())
            .field("extensions", &self.extensions)
            .field("headers", &Names(self.headers.iter().copied()))
            .finish()
    }
}

impl fmt::Debug for AcceptResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptResponse")
            .field("subprotocol", &self.chosen_subprotocol())
            .field("extensions", &self.extensions)
            .field("headers", &Names(self.headers.iter().copied()))
            .finish()
    }
}

impl fmt::Debug for HttpResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("headers", &Names(self.headers.iter().copied()))
            .field("body", &self.body.len())
            .finish()
    }
}
