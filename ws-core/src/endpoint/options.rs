//! The limits, time-outs and policies of an endpoint, and the origins that a server admits.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

#[cfg(feature = "zlib-rs")]
use super::Compression;
use crate::handshake::{
    DEFAULT_MAX_FIELDS, DEFAULT_MAX_HEAD, HandshakeError, equal_origins, same_host, same_origin,
};
use crate::{Config, time};

/// The limits, time-outs and policies of an [`Endpoint`](crate::Endpoint). Those of the open connection are in its
/// [`Config`].
///
/// ```
/// use ws_core::{Config, endpoint::Options};
///
/// let options = Options::from(Config::new().max_message(1 << 20)).max_output(4 << 20);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) config: Config,
    pub(super) max_head: usize,
    pub(super) max_fields: usize,
    pub(super) max_body: usize,
    pub(super) max_output: usize,
    pub(super) handshake_timeout: u32,
    pub(super) origins: Origins,
    hosts: Option<Vec<String>>,
    pub(super) secure: bool,
    #[cfg(feature = "zlib-rs")]
    pub(super) compression: Option<Compression>,
}

impl Options {
    /// Returns the defaults: a head of at most 16 KiB with 100 fields, at most 64 KiB of the body of a refusal, 16 MiB
    /// of waiting output, 10 seconds for the opening handshake, pages of the same origin only, and every host.
    pub fn new() -> Self {
        Self {
            config: Config::new(),
            max_head: DEFAULT_MAX_HEAD,
            max_fields: DEFAULT_MAX_FIELDS,
            max_body: 64 * 1024,
            max_output: 16 << 20,
            handshake_timeout: time::millis(Some(Duration::from_secs(10))),
            origins: Origins::Same,
            hosts: None,
            secure: false,
            #[cfg(feature = "zlib-rs")]
            compression: None,
        }
    }

    /// Sets the limits and time-outs of the open connection.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets the longest head of a request or response, in bytes. A server answers a longer one with 431 or 414.
    /// Default: 16 KiB.
    #[must_use]
    pub fn max_head(mut self, bytes: usize) -> Self {
        self.max_head = bytes;
        self
    }

    /// Sets the largest number of header fields in a head. A server answers more with 431. Default: 100.
    #[must_use]
    pub fn max_fields(mut self, fields: usize) -> Self {
        self.max_fields = fields;
        self
    }

    /// Sets how much of the body of a server's refusal a client keeps, in bytes. The rest is dropped.
    /// Default: 64 KiB.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sets how much output may wait before further messages are refused, in bytes. Default: 16 MiB.
    ///
    /// A single message may exceed the limit if nothing else waits. Replies and Close frames are never refused. Beyond
    /// the limit only the latest Ping is answered (RFC 6455 §5.5.3).
    #[must_use]
    pub fn max_output(mut self, bytes: usize) -> Self {
        self.max_output = bytes;
        self
    }

    /// Sets how long the whole opening handshake may take. Default: 10 seconds. `None` means no limit.
    ///
    /// On a server, the time in which the driver decides about a request does not count.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.handshake_timeout = time::millis(timeout);
        self
    }

    /// Sets which pages a server admits. Default: [`Origins::Same`].
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Sets the hosts that a server answers to, such as `localhost`, `127.0.0.1:9001` or `[::1]`. The server answers
    /// any other request with 421, whether it asks for a WebSocket or not. By default it answers requests for every
    /// host. With an empty list it answers none.
    ///
    /// Hosts are compared as in [`same_host`]. An entry without a port matches every port.
    ///
    /// The list protects a server against DNS rebinding if browsers reach it at an address of a private network or of
    /// their own machine, such as 127.0.0.1. In that attack, a page of another site has a host name that its owner has
    /// resolved to that address. The browser then sends that name as Host, and an Origin that agrees with it.
    ///
    /// ```
    /// use ws_core::endpoint::Options;
    ///
    /// let options = Options::new().hosts(["localhost", "127.0.0.1", "[::1]"]);
    /// # let _ = options;
    /// ```
    #[must_use]
    pub fn hosts<S: Into<String>>(mut self, hosts: impl IntoIterator<Item = S>) -> Self {
        self.hosts = Some(hosts.into_iter().map(Into::into).collect());
        self
    }

    /// Checks whether the server answers requests for a host. If there is a list, a request without a host is refused.
    pub(super) fn check_host(&self, host: Option<&str>) -> Result<(), HandshakeError> {
        let Some(hosts) = &self.hosts else { return Ok(()) };
        match host {
            Some(host) if hosts.iter().any(|listed| same_host(listed, host)) => Ok(()),
            _ => Err(HandshakeError::HostNotAllowed),
        }
    }

    /// Sets how permessage-deflate (RFC 7692) is offered or accepted. Default: `None`, messages are not compressed.
    #[cfg(feature = "zlib-rs")]
    #[must_use]
    pub fn deflate(mut self, compression: impl Into<Option<Compression>>) -> Self {
        self.compression = compression.into();
        self
    }

    /// Sets whether the stream of a server is under TLS. Default: `false`.
    ///
    /// If it is, pages from the server's own host are admitted only if they were loaded over TLS too: `https://host` is
    /// admitted, and `http://host`, which anybody on the network path can change, is not.
    #[must_use]
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Config> for Options {
    fn from(config: Config) -> Self {
        Self::new().config(config)
    }
}

/// The pages whose scripts a server admits. The server learns the page from the request's Origin (RFC 6455 §10.2).
///
/// Browsers always send an Origin, so a request without one is admitted. Other programs can send any Origin:
/// the check protects the users of browsers, not the server.
///
/// ```
/// use ws_core::endpoint::Origins;
///
/// let origins = Origins::List(vec!["https://example.com".into()]);
/// assert!(origins.check(Some("https://example.com"), "ws.example.com").is_ok());
/// assert!(origins.check(Some("https://ws.example.com"), "ws.example.com").is_ok()); // its own page
/// assert!(origins.check(Some("https://example.org"), "ws.example.com").is_err());
/// assert!(origins.check(None, "ws.example.com").is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origins {
    /// Only pages from the host and port that the request is for.
    Same,
    /// Those, and pages from these origins. An origin is a scheme, a host, and a port unless it is the default port of
    /// the scheme, such as `https://example.com` or `http://localhost:8080`. An entry with a path, even a trailing
    /// slash, never matches a browser.
    ///
    /// Origins are compared as by [`same_origin`]: scheme and host are case-insensitive, and `https://host:443` equals
    /// `https://host`. For schemes other than http and https, and for `null`, the texts are compared
    /// case-insensitively.
    List(Vec<String>),
    /// All pages.
    Any,
}

impl Origins {
    /// Checks the Origin of a request against the host that the request is for.
    ///
    /// [`Endpoint`](super::Endpoint) does this by itself. If another HTTP server has parsed the request, its handler
    /// has to do it.
    ///
    /// # Errors
    ///
    /// [`OriginNotAllowed`](HandshakeError::OriginNotAllowed), whose status is 403.
    pub fn check(&self, origin: Option<&str>, host: &str) -> Result<(), HandshakeError> {
        self.check_secure(origin, host, false)
    }

    /// Like [`check`](Self::check). If `secure` is set, a page counts as one from the same host only if it came over
    /// TLS, as for [`Options::secure`].
    ///
    /// # Errors
    ///
    /// The same as for [`check`](Self::check).
    pub fn check_secure(
        &self,
        origin: Option<&str>,
        host: &str,
        secure: bool,
    ) -> Result<(), HandshakeError> {
        let Some(origin) = origin else { return Ok(()) };
        let https = || origin.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
        let same = || same_origin(origin, host) && (!secure || https());
        let admitted = match self {
            Self::Any => true,
            Self::Same => same(),
            Self::List(list) => same() || list.iter().any(|listed| equal_origins(listed, origin)),
        };
        // mutant: every origin is admitted
        if admitted { Ok(()) } else { Err(HandshakeError::OriginNotAllowed) }
    }
}
