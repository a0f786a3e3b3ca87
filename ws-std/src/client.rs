//! The client: opening a WebSocket.

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

/// The configuration of a client's TLS.
#[cfg(feature = "rustls")]
type TlsConfig = std::sync::Arc<rustls::ClientConfig>;
#[cfg(not(feature = "rustls"))]
type TlsConfig = std::convert::Infallible;

/// Connects to a `ws://` URL or, with the feature `rustls`, a `wss://` URL, with the defaults of [`Connector`].
///
/// ```no_run
/// let mut ws = ws_std::connect("ws://127.0.0.1:9001/chat")?;
/// ws.send("hello")?;
/// while let Some(message) = ws.read()? {
///     println!("{message}");
/// }
/// # Ok::<(), ws_std::Error>(())
/// ```
///
/// # Errors
///
/// Returns the same errors as [`Connector::connect`].
pub fn connect(url: &str) -> Result<WebSocket> {
    Connector::builder().connect(url)
}

/// The settings with which a client opens WebSockets.
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

/// `Debug` shows only the names of headers, because their values may be secret.
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
    /// Returns the default settings: no subprotocols, headers, Origin or proxy, 10 seconds to connect and open the
    /// WebSocket, the limits of [`Config::new`], and 30 seconds for the peer to accept written data.
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

    /// Sets the subprotocols to offer, in order of preference.
    #[must_use]
    pub fn protocols<S: Into<String>>(mut self, protocols: impl IntoIterator<Item = S>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a header. The headers of the handshake itself cannot be set.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the `Origin` to send. Only browsers have to send one.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Sets the URL of a proxy to connect through. By default no proxy is used, and the environment is not read.
    ///
    /// - `http://[user:password@]host[:port]` is an HTTP proxy, which is asked with CONNECT and `Basic` credentials.
    ///   The default port is 80.
    /// - `socks5://[user:password@]host[:port]` or `socks5h://…` is a SOCKS5 proxy. Both schemes have the same meaning
    ///   here. The default port is 1080. Give both a user and a password, or neither.
    ///
    /// In the user and the password, percent-encode characters such as `@` and `/`. If the URL is not valid,
    /// [`connect`](Self::connect) returns an error.
    ///
    /// The proxy resolves the server's name. TLS to the server goes through the tunnel, so the proxy cannot read it.
    /// The connection to the proxy itself has no TLS, so anyone who can read it sees the server's name and the
    /// credentials for the proxy.
    ///
    /// If the proxy does not speak the protocol of its URL, the first bytes that it sends show that. However, an HTTP
    /// proxy usually sends nothing to a SOCKS5 client and waits for more, so the attempt ends only with the
    /// [time-out](Self::handshake_timeout). A [trace](Self::trace) shows the handshake with the proxy, but not the
    /// credentials.
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

    /// Uses the proxy that the environment variables name for a server, if there is one.
    ///
    /// For `wss://` URLs this reads `https_proxy` or `HTTPS_PROXY`, and for `ws://` URLs `http_proxy`. If these are not
    /// set, it reads `all_proxy` or `ALL_PROXY` for both. The variables contain URLs as for [`proxy`](Self::proxy), and
    /// a URL without a scheme means an HTTP proxy. This call reads them, so later changes have no effect.
    ///
    /// The upper-case `HTTP_PROXY` is not read, because in a CGI program it comes from the request. For the same reason
    /// `http_proxy` is not read if `REQUEST_METHOD` is set.
    ///
    /// `no_proxy` or `NO_PROXY` lists the servers to connect to directly, separated by commas or spaces. An entry is a
    /// name, which includes its subdomains, an IP address, a network such as `10.0.0.0/8`, or `*` for all servers. A
    /// name or an address can have a port.
    #[must_use]
    pub fn proxy_from_env(mut self) -> Self {
        // A value that is not UTF-8 is not a valid URL. It is an error when it is needed.
        let environment = Environment::read(|name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        });
        self.proxy = Some(ProxyChoice::Environment(environment));
        self
    }

    /// Sets the limits and time-outs of the open connection.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.options = self.options.config(config);
        self
    }

    /// Offers permessage-deflate (RFC 7692); see [`deflate`](crate::deflate). The default is `None`: messages are not
    /// compressed. All connections of this connector share the engines of its pool.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, compression: impl Into<Option<crate::deflate::Compression>>) -> Self {
        self.options = self.options.deflate(compression);
        self
    }

    /// Sets the maximum length of a response's head in bytes. The default is 16 KiB.
    #[must_use]
    pub fn max_head(mut self, bytes: usize) -> Self {
        self.options = self.options.max_head(bytes);
        self
    }

    /// Sets the maximum number of header fields in a response. The default is 100.
    #[must_use]
    pub fn max_fields(mut self, fields: usize) -> Self {
        self.options = self.options.max_fields(fields);
        self
    }

    /// Sets how many bytes of the body of a server's refusal are kept. The rest is dropped. The default is 64 KiB.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.options = self.options.max_body(bytes);
        self
    }

    /// Sets how many bytes of output may wait before further messages are refused. The default is 16 MiB. A single
    /// message may be longer if no other output waits.
    #[must_use]
    pub fn max_output(mut self, bytes: usize) -> Self {
        self.options = self.options.max_output(bytes);
        self
    }

    /// Sets how long connecting may take: resolving the host's name, connecting to one of its addresses, the handshake
    /// with the proxy, if there is one, TLS, and the opening handshake. The default is 10 seconds. `None` means no
    /// limit.
    ///
    /// Resolving a name cannot be interrupted, so a separate thread does it if there is a time-out. If the time-out
    /// passes first, that thread continues until the system has answered.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Sets the [read time-out](WebSocket::set_read_timeout) of the WebSocket.
    #[must_use]
    pub fn read_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// Sets the [write time-out](WebSocket::set_write_timeout) of the WebSocket.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets the TLS configuration for `wss://` URLs, for example to use other root certificates or a client
    /// certificate.
    ///
    /// By default a client trusts the certificates that the platform trusts: it uses the platform's verifier or its
    /// installed roots. It supports TLS 1.2 and 1.3, and offers `http/1.1` with ALPN.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(mut self, config: std::sync::Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Sets a function that is called with each head and frame that is sent or received. It runs on the thread that
    /// reads or writes. For example, `|trace| eprintln!("{trace}")` prints them.
    #[must_use]
    pub fn trace(mut self, hook: impl Fn(&Trace<'_>) + Send + Sync + 'static) -> Self {
        self.trace = Some(Hook::new(hook));
        self
    }

    /// Connects to a `ws://` URL or, with the feature `rustls`, a `wss://` URL, and opens a WebSocket.
    ///
    /// TCP_NODELAY is set. The request is sent to a `wss://` server only after its certificate was verified.
    ///
    /// If the host has several addresses, the client tries IPv6 and IPv4 addresses alternately, beginning with the
    /// first address that the system returns. The next attempt begins when one has failed, or 250 milliseconds after
    /// the previous one, which continues. The client uses the first attempt that succeeds (RFC 8305). Each of these
    /// attempts has its own thread, which ends with the attempt. If there is a single address, there is no such thread.
    /// An IPv6 address may have a zone, as in `ws://[fe80::1%25eth0]/` (RFC 6874).
    ///
    /// This method does not follow redirects and does not retry. The caller has to make sure that only one connection
    /// to a host is being opened at a time; this crate does not limit how many connections are being opened (RFC 6455
    /// §4.1). A program that connects again should do so after a random delay of up to 5 seconds, and double the delay
    /// for each further attempt, up to a maximum (RFC 6455 §7.2.3).
    ///
    /// # Errors
    ///
    /// - [`Error::Url`] if the URL is not valid.
    /// - [`Error::Open`] if a header, a subprotocol or the credentials are not valid.
    /// - [`Error::Resolve`] if the host's name has no address.
    /// - [`Error::Io`] if no address can be connected to. The error names each address and why it failed.
    /// - [`Error::Proxy`] if the proxy does not open a tunnel.
    /// - `Error::Tls` if the server's certificate is not trusted, or TLS fails for another reason.
    /// - [`Error::Refused`] if the server sends another response than 101.
    /// - [`Error::Handshake`] if the server's answer is not valid.
    /// - [`Error::HandshakeEof`] if the stream ends during the opening handshake.
    /// - [`Error::Timeout`] if the time-out has passed.
    pub fn connect(&self, url: &str) -> Result<WebSocket> {
        let start = Instant::now();
        let url = Url::parse(url)?;
        // An error in the request is found before a connection is made.
        let endpoint = self.endpoint(&url, start)?;
        let tls = self.tls_config(&url)?;
        let tcp = self.reach(&url, start)?;
        let peer = tcp.peer_addr().ok();
        let stream = self.secure(Tcp::from(tcp), tls, &url, start)?;
        self.open(endpoint, stream, start, peer)
    }

    /// Opens a WebSocket over a stream that the caller has connected to the URL's host.
    ///
    /// For a `wss://` URL this method does the TLS handshake over the stream, exactly as [`connect`](Self::connect)
    /// does. It does not use a proxy.
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
    /// Returns the same errors as [`connect`](Self::connect), except for those of connecting. Without the feature
    /// `rustls`, a `wss://` URL is the error [`UrlError::Tls`](crate::UrlError::Tls), and nothing is sent.
    pub fn connect_over<T: Transport>(&self, url: &str, stream: T) -> Result<WebSocket<Stream<T>>> {
        let start = Instant::now();
        let url = Url::parse(url)?;
        let endpoint = self.endpoint(&url, start)?;
        let tls = self.tls_config(&url)?;
        let stream = self.secure(stream, tls, &url, start)?;
        self.open(endpoint, stream, start, None)
    }

    /// Opens a WebSocket over a stream that is encrypted already, such as a TLS stream of another library.
    ///
    /// The stream is used as it is, whatever the scheme of the URL. Otherwise this is the same as
    /// [`connect_over`](Self::connect_over).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`connect`](Self::connect), except for those of connecting and of TLS.
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
        // The time-out begins here, before the connection is made.
        let _ = endpoint.next(|| ws_core::Instant::from_elapsed(start.elapsed()));
        Ok(endpoint)
    }

    /// Returns the TLS configuration for a URL, if its scheme is `wss`.
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

    /// Returns the stream, or TLS over it.
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

    /// Returns the time that is left to connect and to open the WebSocket.
    fn left(&self, start: Instant) -> Option<Duration> {
        self.handshake_timeout.map(|timeout| timeout.saturating_sub(start.elapsed()))
    }

    /// Connects to the URL's host, through the proxy if there is one.
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
        // There is nothing more to read from the server or to send to it.
        driver.reset();
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_opening_takes_10_seconds_by_default_and_a_write_30() {
        let connector = Connector::builder();
        assert_eq!(connector.handshake_timeout, Some(Duration::from_secs(10)));
        assert_eq!(connector.write_timeout, Some(Duration::from_secs(30)));
    }
}
