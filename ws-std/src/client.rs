//! The client: how to open a WebSocket.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ws_core::Config;
use ws_core::endpoint::{Endpoint, Event, Options};
use ws_core::handshake::ClientRequest;

use crate::dial::dial;
use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::link::Link;
use crate::proxy::{Environment, Proxy, ProxyChoice, open_tunnel};
use crate::socket::WebSocket;
use crate::tcp::Tcp;
use crate::trace::{Hook, Trace, Tracer};
use crate::transport::{Stream, Transport};
use crate::url::Url;
use crate::{WRITE_TIMEOUT, random};

/// How a client does TLS.
#[cfg(feature = "rustls")]
type TlsConfig = std::sync::Arc<rustls::ClientConfig>;
#[cfg(not(feature = "rustls"))]
type TlsConfig = std::convert::Infallible;

/// Opens a WebSocket to a `ws://` URL or, with the feature `rustls`, a `wss://` URL, with the defaults
/// of [`Connector`].
///
/// # Errors
///
/// As [`Connector::connect`].
pub fn connect(url: &str) -> Result<WebSocket> {
    Connector::builder().connect(url)
}

/// How to open a WebSocket as a client.
///
/// ```no_run
/// use std::time::Duration;
/// use ws_std::Connector;
///
/// let ws = Connector::builder()
///     .protocols(["chat"])
///     .header("Authorization", "Bearer 2YotnFZFEjr1zCsicMWpAA")
///     .handshake_timeout(Some(Duration::from_secs(3)))
///     .connect("ws://127.0.0.1:9001/room")?;
/// assert_eq!(ws.subprotocol(), Some("chat"));
/// # Ok::<(), ws_std::Error>(())
/// ```
#[derive(Clone)]
pub struct Connector {
    protocols: Vec<String>,
    headers: Vec<(String, String)>,
    origin: Option<String>,
    proxy: Option<ProxyChoice>,
    options: Options,
    handshake_timeout: Option<Duration>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    #[cfg(feature = "rustls")]
    tls: Option<TlsConfig>,
    trace: Option<Hook>,
}

/// Headers by their names: their values can be secrets.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Connector")
            .field("protocols", &self.protocols)
            .field("headers", &headers)
            .field("origin", &self.origin)
            .field("proxy", &self.proxy)
            .field("options", &self.options)
            .field("handshake_timeout", &self.handshake_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("write_timeout", &self.write_timeout)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// The defaults: no subprotocols, headers, Origin or proxy, 10 seconds until the connection is open, the
    /// limits of [`Config::new`], 30 seconds for the peer to take what is written.
    pub fn builder() -> Self {
        Self {
            protocols: Vec::new(),
            headers: Vec::new(),
            origin: None,
            proxy: None,
            options: Options::new(),
            handshake_timeout: Some(Duration::from_secs(10)),
            read_timeout: None,
            write_timeout: Some(WRITE_TIMEOUT),
            #[cfg(feature = "rustls")]
            tls: None,
            trace: None,
        }
    }

    /// The subprotocols to offer, the preferred one first.
    #[must_use]
    pub fn protocols<S: Into<String>>(mut self, protocols: impl IntoIterator<Item = S>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// One more header. The handshake's own headers cannot be set.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The Origin to send; only browsers have to.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Connects through a proxy, which is named by its URL. By default there is none, and the environment is not
    /// looked at.
    ///
    /// - `http://[user:password@]host[:port]` asks an HTTP proxy by CONNECT, with credentials of the scheme
    ///   `Basic`. The port is 80 if it is left out.
    /// - `socks5://[user:password@]host[:port]` or `socks5h://…` is a SOCKS5 proxy. The port is 1080 if it is left
    ///   out. Both schemes mean the same here. A user and a password are needed together.
    ///
    /// The proxy resolves the server's name. TLS to the server goes through the tunnel, so that the proxy cannot read
    /// it, but the connection to the proxy itself has no TLS: whoever can read it sees the server's name, and the
    /// credentials for the proxy. In a user and a password, characters such as `@` and `/` are percent-encoded.
    /// A URL that is not valid is an error of [`connect`](Self::connect). A proxy that does not speak the protocol of its URL
    /// is told from the first bytes that it sends. But an HTTP proxy that is asked by SOCKS5 usually waits for more and sends nothing,
    /// so that only the [time-out](Self::handshake_timeout) ends it. A [trace](Self::trace) shows the handshake with
    /// the proxy, but not the credentials.
    ///
    /// ```no_run
    /// use ws_std::{Connector, Error, ProxyError};
    ///
    /// match Connector::builder().proxy("http://proxy.example:3128").connect("ws://example.com/") {
    ///     Err(Error::Proxy(error)) => match *error {
    ///         ProxyError::AuthenticationRequired { schemes } => eprintln!("log in, by {schemes}"),
    ///         error => eprintln!("{error}"),
    ///     },
    ///     _ => {}
    /// }
    /// ```
    #[must_use]
    pub fn proxy(mut self, url: &str) -> Self {
        self.proxy = Some(ProxyChoice::Fixed(Proxy::parse(url)));
        self
    }

    /// Connects through the proxy that the environment names for a server, if it does.
    ///
    /// For `wss://` URLs it is in `https_proxy` or `HTTPS_PROXY`, for `ws://` URLs in `http_proxy`, and for both, if
    /// these are not set, in `all_proxy` or `ALL_PROXY`. The upper-case `HTTP_PROXY` is not read, because in a CGI
    /// program it comes from the request; nor is `http_proxy` while `REQUEST_METHOD` is set. The variables hold URLs as for [`proxy`](Self::proxy); a URL without a scheme
    /// is one of an HTTP proxy. They are read now, by this call.
    ///
    /// `no_proxy` or `NO_PROXY` lists the servers to connect to directly, with commas or spaces between them: a name,
    /// which also stands for the names below it, an IP address, both with a port or without one, a network such as
    /// `10.0.0.0/8`, or `*` for all.
    #[must_use]
    pub fn proxy_from_env(mut self) -> Self {
        // What is not UTF-8 is no valid URL, and an error when it is needed.
        let environment = Environment::read(|name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        });
        self.proxy = Some(ProxyChoice::Environment(environment));
        self
    }

    /// The limits and time-outs of the open connection.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.options = self.options.config(config);
        self
    }

    /// Offers permessage-deflate (RFC 7692): see [`deflate`](crate::deflate). Default `None`: messages are not
    /// compressed. The connections that this connector opens share the engines of its pool.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, compression: impl Into<Option<crate::deflate::Compression>>) -> Self {
        self.options = self.options.deflate(compression);
        self
    }

    /// The longest head of a response, in bytes. Default 16 KiB.
    #[must_use]
    pub fn max_head(mut self, bytes: usize) -> Self {
        self.options = self.options.max_head(bytes);
        self
    }

    /// The most header fields in a response. Default 100.
    #[must_use]
    pub fn max_fields(mut self, fields: usize) -> Self {
        self.options = self.options.max_fields(fields);
        self
    }

    /// How much of the body of a server's refusal is kept, in bytes; the rest is dropped. Default 64 KiB.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.options = self.options.max_body(bytes);
        self
    }

    /// How much output may wait before messages are not taken, in bytes. Default 16 MiB. A single message may be longer
    /// when nothing else waits.
    #[must_use]
    pub fn max_output(mut self, bytes: usize) -> Self {
        self.options = self.options.max_output(bytes);
        self
    }

    /// How long it may take until the WebSocket is open: to look up the host's name, to connect to one of its
    /// addresses, to get through the proxy, if there is one, and to do the opening handshake. Default 10 seconds; `None`
    /// means for ever.
    ///
    /// A lookup cannot be interrupted, so a thread does it while there is a time-out. If the time is over before the
    /// system has answered, that thread goes on until it has.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// As [`WebSocket::set_read_timeout`].
    #[must_use]
    pub fn read_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// As [`WebSocket::set_write_timeout`].
    #[must_use]
    pub fn write_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// How TLS is done for `wss://` URLs: own roots, a client's certificate.
    ///
    /// Without it, certificates are trusted as the platform does, by its own verifier or
    /// with the roots that it has installed, TLS 1.2 and 1.3 are spoken, and ALPN offers `http/1.1`.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(mut self, config: std::sync::Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// What is to be called with each head and frame that goes over the connection, on the thread that
    /// reads or writes it, such as `|trace| eprintln!("{trace}")`.
    #[must_use]
    pub fn trace(mut self, hook: impl Fn(&Trace<'_>) + Send + Sync + 'static) -> Self {
        self.trace = Some(Hook::new(hook));
        self
    }

    /// Connects to a `ws://` URL or, with the feature `rustls`, a `wss://` URL and opens a WebSocket.
    /// TCP_NODELAY is set. Nothing is sent to a `wss://` server before its certificate is verified.
    ///
    /// If the host has several addresses, IPv6 and IPv4 are tried by turns, beginning with the first that the system
    /// names. The next attempt begins when one has failed, or 250 milliseconds after the one before, which goes on
    /// meanwhile; the first that succeeds is taken (RFC 8305). Each of these attempts has a thread, which ends with it. For a
    /// host with a single address there is none. An IPv6 address may have a zone, as in `ws://[fe80::1%25eth0]/`
    /// (RFC 6874).
    ///
    /// Redirects are not followed and nothing is retried. One connection at a time to a host is for
    /// the caller to keep, and how many are being opened at once is not limited here
    /// (RFC 6455 §4.1). Who connects again does so after a random delay of up to 5 seconds, then
    /// after twice as long each time, up to a bound (RFC 6455 §7.2.3).
    ///
    /// # Errors
    ///
    /// [`Error::Url`], [`Error::Resolve`] when the host's name has no address, [`Error::Io`], which names each address
    /// and what went wrong, when no address answers, [`Error::Refused`] with what the server
    /// says instead, [`Error::Handshake`] when its answer is not valid, [`Error::Timeout`],
    /// [`Error::Proxy`] when there is a proxy that does not let the connection through,
    /// [`Error::Open`] for a header, subprotocol or credentials that are not valid, `Error::Tls` when the server's
    /// certificate is not trusted or TLS fails otherwise.
    pub fn connect(&self, url: &str) -> Result<WebSocket> {
        let start = Instant::now();
        let url = Url::parse(url)?;
        // What is wrong with the request comes up before a connection is made.
        let endpoint = self.endpoint(&url, start)?;
        let tls = self.tls_config(&url)?;
        let tcp = self.reach(&url, start)?;
        let peer = tcp.peer_addr().ok();
        let stream = self.secure(Tcp::from(tcp), tls, &url, start)?;
        self.open(endpoint, stream, start, peer)
    }

    /// Opens a WebSocket over a stream of the caller's that leads to the URL's host. For a `wss://` URL, TLS is
    /// done over the stream, exactly as [`connect`](Self::connect) does it. A proxy is not asked.
    ///
    /// ```no_run
    /// # #[cfg(unix)]
    /// # fn main() -> ws_std::Result<()> {
    /// use std::os::unix::net::UnixStream;
    ///
    /// let stream = UnixStream::connect("/run/chat.socket")?;
    /// let mut ws = ws_std::Connector::builder().connect_over("ws://localhost/chat", stream)?;
    /// ws.send("hello")?;
    /// # Ok(())
    /// # }
    /// # #[cfg(not(unix))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect). Without the feature `rustls`, a `wss://` URL is the error
    /// [`UrlError::Tls`](crate::UrlError::Tls), and nothing is sent.
    pub fn connect_over<T: Transport>(&self, url: &str, stream: T) -> Result<WebSocket<Stream<T>>> {
        let start = Instant::now();
        let url = Url::parse(url)?;
        let endpoint = self.endpoint(&url, start)?;
        let tls = self.tls_config(&url)?;
        let stream = self.secure(stream, tls, &url, start)?;
        self.open(endpoint, stream, start, None)
    }

    /// As [`connect_over`](Self::connect_over), but the stream is encrypted already, such as a TLS stream of
    /// another library: it is used as it is, whichever scheme the URL has.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), but none of TLS.
    pub fn connect_over_encrypted<T: Transport>(
        &self,
        url: &str,
        stream: T,
    ) -> Result<WebSocket<T>> {
        let start = Instant::now();
        let endpoint = self.endpoint(&Url::parse(url)?, start)?;
        self.open(endpoint, stream, start, None)
    }

    fn endpoint(&self, url: &Url<'_>, start: Instant) -> Result<Endpoint> {
        let protocols: Vec<&str> = self.protocols.iter().map(String::as_str).collect();
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = ClientRequest::new(&url.authority, &url.resource_name)
            .origin(self.origin.as_deref())
            .subprotocols(&protocols)
            .headers(&headers);
        let options = self.options.clone().handshake_timeout(self.handshake_timeout);
        let mut endpoint = Endpoint::client(&request, options, random::fill)?;
        // Its time begins here, before the connection is made.
        let _ = endpoint.next(|| ws_core::Instant::from_elapsed(start.elapsed()));
        Ok(endpoint)
    }

    /// How TLS is done for a URL, if it asks for TLS.
    #[cfg(feature = "rustls")]
    fn tls_config(&self, url: &Url<'_>) -> Result<Option<TlsConfig>> {
        match &self.tls {
            _ if !url.secure => Ok(None),
            Some(config) => Ok(Some(config.clone())),
            None => crate::tls::default_client().map(Some),
        }
    }

    #[cfg(not(feature = "rustls"))]
    fn tls_config(&self, url: &Url<'_>) -> Result<Option<TlsConfig>> {
        if url.secure { Err(crate::UrlError::Tls.into()) } else { Ok(None) }
    }

    /// The stream, or TLS over it.
    #[cfg(feature = "rustls")]
    fn secure<T: Transport>(
        &self,
        stream: T,
        config: Option<TlsConfig>,
        url: &Url<'_>,
        start: Instant,
    ) -> Result<Stream<T>> {
        let Some(config) = config else { return Ok(Stream::Plain(stream)) };
        let left = self.left(start);
        Ok(Stream::Tls(crate::TlsStream::client(stream, url.host.name, config, left)?))
    }

    #[cfg(not(feature = "rustls"))]
    fn secure<T: Transport>(
        &self,
        stream: T,
        _: Option<TlsConfig>,
        _: &Url<'_>,
        _: Instant,
    ) -> Result<Stream<T>> {
        Ok(Stream::Plain(stream))
    }

    /// What is left of the time to connect and to open the WebSocket.
    fn left(&self, start: Instant) -> Option<Duration> {
        self.handshake_timeout.map(|timeout| timeout.saturating_sub(start.elapsed()))
    }

    /// A stream to the URL's host, through the proxy if there is one.
    fn reach(&self, url: &Url<'_>, start: Instant) -> Result<TcpStream> {
        let deadline = self.handshake_timeout.and_then(|timeout| start.checked_add(timeout));
        let proxy = self.proxy.as_ref().map(|choice| choice.find(url)).transpose()?.flatten();
        let Some(proxy) = proxy else { return dial(url.host, url.port, deadline) };
        let handshake = proxy.handshake(url)?;
        let stream = dial(proxy.host(), proxy.port, deadline).map_err(|error| match error {
            Error::Io(error) => io::Error::new(error.kind(), format!("proxy {error}")).into(),
            error => error,
        })?;
        let tracer = Tracer::boxed(self.trace.as_ref(), stream.peer_addr().ok());
        open_tunnel(&stream, handshake, tracer, || self.left(start))?;
        Ok(stream)
    }

    fn open<T: Transport>(
        &self,
        endpoint: Endpoint,
        stream: T,
        start: Instant,
        peer: Option<SocketAddr>,
    ) -> Result<WebSocket<T>> {
        let mut link = Link::new(stream, start);
        link.io.tracer = Tracer::boxed(self.trace.as_ref(), peer);
        link.read_timeout = self.read_timeout;
        link.write_timeout = self.write_timeout;
        let mut driver = Driver::boxed(endpoint, link);
        let error = match driver.opening_event() {
            Ok(Some(Event::Open { subprotocol, response, .. })) => {
                return Ok(WebSocket::new(driver, subprotocol, None, response));
            }
            Ok(Some(Event::Refused(response))) => Error::Refused(response),
            Ok(_) => Error::HandshakeEof,
            Err(error) => error,
        };
        // The server has said what it had to say, and there is nothing to tell it.
        driver.reset();
        Err(error)
    }
}
