//! `Debug` of heads, for logs. It shows the names of fields without their values, targets without their queries, and
//! only the number of offered subprotocols, because all of these can contain passwords and tokens.
//!
//! Errors show text of a peer with [`Quoted`] and [`QuotedUri`].
//!
//! The types of `handshake` and the endpoint's requests and responses use this module. If you add a type that holds
//! bytes of a head, implement its `Debug` here.

use core::fmt;

use super::client::{ClientRequest, ResponseHead};
use super::request::{RequestHead, Upgrade};
use super::response::{AcceptResponse, HttpResponse};

/// Shows the names of fields.
pub(crate) struct Names<I>(pub(crate) I);

impl<'n, I: Iterator<Item = (&'n str, V)> + Clone, V> fmt::Debug for Names<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.clone().map(|(name, _)| name)).finish()
    }
}

/// Returns the path of a target, or `..` if the target is a whole URI, because that may contain user information.
pub(crate) fn path(target: &str) -> &str {
    match target.split(['?', '#']).next() {
        Some(path) if path.starts_with('/') => path,
        _ => "..",
    }
}

/// The most bytes that an error shows of one value of a peer.
#[cfg(feature = "endpoint")]
const SHOWN: usize = 100;

/// Shows a peer's bytes in quotes, for a log or a terminal. Characters that are not printable are escaped.
pub(crate) struct Quoted<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match core::str::from_utf8(self.0) {
            Ok(text) => fmt::Debug::fmt(text, f),
            Err(_) => write!(f, "\"{}\"", self.0.escape_ascii()),
        }
    }
}

/// Shows the start of a peer's text in quotes, escaped. An ellipsis follows if the text is longer.
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

/// Shows the start of a peer's URI or origin like [`QuotedStart`], without the parts that may be secret. An ellipsis
/// replaces everything up to the user information, and another one the query and the fragment.
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
