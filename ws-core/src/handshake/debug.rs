//! `Debug` of heads, for logs: names of fields without values, targets without queries, the subprotocols
//! that are offered as a count. All of those carry passwords and tokens.
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
            .field("path", &path(self.resource_name))
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
            .field("subprotocol", &self.subprotocol)
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
