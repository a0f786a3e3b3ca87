//! Limits, time-outs and policies of an endpoint, and which origins a server admits.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

#[cfg(feature = "zlib-rs")]
use super::Compression;
use crate::handshake::{
    DEFAULT_MAX_FIELDS, DEFAULT_MAX_HEAD, HandshakeError, equal_origins, same_host, same_origin,
};
use crate::{Config, time};

/// Limits, time-outs and policies of an [`Endpoint`](crate::Endpoint); those of the open connection are
/// its [`Config`].
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
    /// The defaults: a head of 16 KiB with 100 fields, 64 KiB of a refusal's body, 16 MiB of output that
    /// waits, 10 seconds for the opening handshake, same-origin pages only, every host.
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

    /// The limits and time-outs of the open connection.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The longest head of a request or response, in bytes; longer ones get 431 or 414. Default 16 KiB.
    #[must_use]
    pub fn max_head(mut self, bytes: usize) -> Self {
        self.max_head = bytes;
        self
    }

    /// The most header fields in a head; more get 431. Default 100.
    #[must_use]
    pub fn max_fields(mut self, fields: usize) -> Self {
        self.max_fields = fields;
        self
    }

    /// How much of the body of a server's refusal a client keeps, in bytes; the rest is dropped.
    /// Default 64 KiB.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// How much output may wait before messages are refused, in bytes. Default 16 MiB.
    ///
    /// A single message may exceed it when nothing waits. Replies and Close frames are not refused, but
    /// past it only the latest Ping is answered (RFC 6455 §5.5.3).
    #[must_use]
    pub fn max_output(mut self, bytes: usize) -> Self {
        self.max_output = bytes;
        self
    }

    /// How long the opening handshake may take, as a whole, but for the time in which a server's driver makes
    /// up its mind about a request. Default 10 seconds; `None` means for ever.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.handshake_timeout = time::millis(timeout);
        self
    }

    /// Which pages a server admits. Default [`Origins::Same`].
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Sets the hosts that a server answers to, such as `localhost`, `127.0.0.1:9001` or `[::1]`. A request for another
    /// host, whether it asks for a WebSocket or not, gets 421. By default every host is answered to; an empty list
    /// admits none.
    ///
    /// They are compared as [`same_host`] does: an entry without a port stands for every port.
    ///
    /// This protects a server that browsers reach by an address of a private network or of their own machine, such as
    /// 127.0.0.1, against DNS rebinding: a page of another site, whose name its owner has made to stand for that
    /// address, sends that name as the host, and an Origin that agrees with it.
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

    /// Whether requests for a host are answered; those for none are not, where there is a list.
    pub(super) fn check_host(&self, host: Option<&str>) -> Result<(), HandshakeError> {
        let Some(hosts) = &self.hosts else { return Ok(()) };
        match host {
            Some(host) if hosts.iter().any(|listed| same_host(listed, host)) => Ok(()),
            _ => Err(HandshakeError::HostNotAllowed),
        }
    }

    /// Offers permessage-deflate (RFC 7692), or agrees to it. Default `None`: messages are not compressed.
    #[cfg(feature = "zlib-rs")]
    #[must_use]
    pub fn deflate(mut self, compression: impl Into<Option<Compression>>) -> Self {
        self.compression = compression.into();
        self
    }

    /// Whether a server's stream is under TLS. Of the pages from its own host, only those that came over
    /// TLS, too, are then admitted: `https://host`, and not `http://host`, which anybody on the way can
    /// change. Default `false`.
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

/// The pages whose scripts a server admits, told by the request's Origin (RFC 6455 §10.2).
///
/// Browsers always send an Origin, so a request without one is admitted. Other programs can send any Origin:
/// this check protects the users of browsers, not the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origins {
    /// Pages from the host and port that the request goes to.
    Same,
    /// Those, and pages from these origins: scheme, host, and a port unless it is the scheme's default,
    /// such as `https://example.com` or `http://localhost:8080`. An entry with a path, be it a
    /// trailing slash, admits no browser.
    ///
    /// They are compared as [`same_origin`] does: scheme and host without regard to case, `https://host:443`
    /// being `https://host`. Of other schemes than http and https, and `null`, the text is compared,
    /// without regard to case.
    List(Vec<String>),
    /// All.
    Any,
}

impl Origins {
    /// Checks a request's Origin against the host that it goes to. [`Endpoint`](super::Endpoint) does
    /// so by itself; where another HTTP server has parsed the request, its handler has to.
    ///
    /// # Errors
    ///
    /// [`OriginNotAllowed`](HandshakeError::OriginNotAllowed), whose status is 403.
    pub fn check(&self, origin: Option<&str>, host: &str) -> Result<(), HandshakeError> {
        self.check_secure(origin, host, false)
    }

    /// As [`check`](Self::check); when `secure`, a page is from the same host only if it came over TLS, as
    /// for [`Options::secure`].
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
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
