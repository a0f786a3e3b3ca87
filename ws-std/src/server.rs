//! The server: a listener, its connections, and their requests.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ws_core::Config;
use ws_core::endpoint::{self, Endpoint, Event, Options, Origins};
use ws_core::handshake::{AcceptResponse, HttpResponse, select_subprotocol};

use crate::WRITE_TIMEOUT;
use crate::driver::{Driver, SocketDriver};
use crate::error::{Deadline, Error, Result};
use crate::going_away::GoingAway;
use crate::link::Link;
use crate::registry::{ConnectionSlot, Registry};
use crate::socket::WebSocket;
use crate::tcp::Tcp;
use crate::trace::{Hook, Trace, Tracer};
use crate::transport::{Stream, Transport};

/// How many connections may wait to be accepted, if the system allows it. The standard library has 128. A client beyond them
/// tries again after a second, which many would do at once after a restart of the server.
#[cfg(unix)]
const BACKLOG: i32 = 4096;

/// Listens for WebSockets, with the defaults of [`ListenerBuilder`].
///
/// ```no_run
/// for incoming in ws_std::listen("127.0.0.1:9001")? {
///     std::thread::spawn(move || -> ws_std::Result<()> {
///         let mut ws = incoming?.accept()?;
///         while let Some(message) = ws.read()? {
///             ws.queue(message)?;
///         }
///         Ok(())
///     });
/// }
/// # Ok::<(), ws_std::Error>(())
/// ```
///
/// # Errors
///
/// Returns an [`Error::Io`] if it is not possible to listen on the address. The error names the address.
pub fn listen(address: impl ToSocketAddrs) -> Result<Listener> {
    Listener::builder().bind(address)
}

/// The settings with which a server listens for WebSockets.
///
/// ```no_run
/// use ws_std::{Config, Listener, Origins};
///
/// let listener = Listener::builder()
///     .config(Config::new().max_message(1 << 20))
///     .origins(Origins::List(vec!["https://example.com".into()]))
///     .protocols(["chat"])
///     .bind("127.0.0.1:0")?;
/// println!("listening on ws://{}", listener.local_addr()?);
/// # Ok::<(), ws_std::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ListenerBuilder {
    options: Options,
    protocols: Vec<String>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    #[cfg(feature = "rustls")]
    tls: Option<Arc<rustls::ServerConfig>>,
    max_connections: usize,
    trace: Option<Hook>,
}

impl ListenerBuilder {
    /// Sets the limits and time-outs of the open connections.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.options = self.options.config(config);
        self
    }

    /// Accepts permessage-deflate (RFC 7692) if a client offers it; see [`deflate`](crate::deflate). The default is
    /// `None`: messages are not compressed. All connections of the listener share the engines of its pool.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, compression: impl Into<Option<crate::deflate::Compression>>) -> Self {
        self.options = self.options.deflate(compression);
        self
    }

    /// Sets which pages may connect. The default is [`Origins::Same`].
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.options = self.options.origins(origins);
        self
    }

    /// Sets the hosts that the server answers to, such as `localhost`, `127.0.0.1:9001` or `[::1]`. An entry without a
    /// port allows every port.
    ///
    /// Any request for another host is answered with 421. By default the server answers to every host.
    ///
    /// Set this on a server that browsers reach at an address of their own machine or of a private network. It protects
    /// against DNS rebinding; see [`Options::hosts`].
    #[must_use]
    pub fn hosts<S: Into<String>>(mut self, hosts: impl IntoIterator<Item = S>) -> Self {
        self.options = self.options.hosts(hosts);
        self
    }

    /// Sets the subprotocols that the server supports, in order of preference. The server chooses the first one that
    /// the client offers. If there is none, the connection has no subprotocol.
    #[must_use]
    pub fn protocols<S: Into<String>>(mut self, protocols: impl IntoIterator<Item = S>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the maximum length of a request's head in bytes. A longer head is answered with 431 or 414. The default is
    /// 16 KiB.
    #[must_use]
    pub fn max_head(mut self, bytes: usize) -> Self {
        self.options = self.options.max_head(bytes);
        self
    }

    /// Sets the maximum number of header fields in a request. More are answered with 431. The default is 100.
    #[must_use]
    pub fn max_fields(mut self, fields: usize) -> Self {
        self.options = self.options.max_fields(fields);
        self
    }

    /// Sets how many bytes of output may wait before further messages are refused. The default is 16 MiB. A single
    /// message may be longer if no other output waits.
    #[must_use]
    pub fn max_output(mut self, bytes: usize) -> Self {
        self.options = self.options.max_output(bytes);
        self
    }

    /// Sets how long a client may take for TLS and for sending its whole request. The default is 10 seconds. `None`
    /// means no limit.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.options = self.options.handshake_timeout(timeout);
        self
    }

    /// Sets the [read time-out](WebSocket::set_read_timeout) of the connections.
    #[must_use]
    pub fn read_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// Sets the [write time-out](WebSocket::set_write_timeout) of the connections.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Uses TLS with this configuration for all connections.
    ///
    /// The TLS handshake happens in [`Incoming::request`], within its deadline. A page from the same host may only
    /// connect if it came over TLS, too.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ServerConfig>) -> Self {
        self.tls = Some(config);
        self.options = self.options.secure(true);
        self
    }

    /// Uses [`tls`](Self::tls) with a certificate and the default settings. `chain` contains the server's own
    /// certificate first, and `key` its private key (PKCS #8, PKCS #1 or SEC 1). Both are PEM.
    ///
    /// ```no_run
    /// let listener = ws_std::Listener::builder()
    ///     .certificate(&std::fs::read("chain.pem")?, &std::fs::read("key.pem")?)?
    ///     .bind("0.0.0.0:443")?;
    /// # Ok::<(), ws_std::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::Tls`] if the chain or the key is not valid, or if the key does not belong to the certificate.
    #[cfg(feature = "rustls")]
    pub fn certificate(self, chain: &[u8], key: &[u8]) -> Result<Self> {
        Ok(self.tls(crate::tls::server_from_pem(chain, key)?))
    }

    /// Declares that the streams are encrypted outside this crate, because they are TLS streams of the caller, or a
    /// proxy in front of this server does TLS.
    ///
    /// A page from the same host may then only connect if it came over TLS, too, as with the option `tls`. By default
    /// streams count as not encrypted.
    #[must_use]
    pub fn encrypted(mut self) -> Self {
        self.options = self.options.secure(true);
        self
    }

    /// Sets the maximum number of connections at the same time, including those that are being opened and plain HTTP
    /// requests. A client beyond the limit is answered with 503. By default only the system limits the number.
    #[must_use]
    pub fn max_connections(mut self, count: usize) -> Self {
        self.max_connections = count;
        self
    }

    /// Sets a function that is called with each head and frame that is sent or received. It runs on the thread that
    /// reads or writes. For example, `|trace| eprintln!("{trace}")` prints them.
    #[must_use]
    pub fn trace(mut self, hook: impl Fn(&Trace<'_>) + Send + Sync + 'static) -> Self {
        self.trace = Some(Hook::new(hook));
        self
    }

    /// Listens on an address. Port 0 chooses a free port.
    ///
    /// On Unix, up to 4,096 connections may wait to be accepted, or as many as the system allows.
    ///
    /// # Errors
    ///
    /// Returns an [`Error::Io`] if it is not possible to listen on the address. The error names the address.
    pub fn bind(self, address: impl ToSocketAddrs) -> Result<Listener> {
        let addresses: Vec<SocketAddr> = address
            .to_socket_addrs()
            .map_err(|error| {
                let text = format!("the address to listen on cannot be looked up: {error}");
                io::Error::new(error.kind(), text)
            })?
            .collect();
        let tcp = TcpListener::bind(&addresses[..]).map_err(|error| {
            let names: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
            io::Error::new(error.kind(), format!("{}: {error}", names.join(", ")))
        })?;
        // If this fails, the listener has the backlog of the standard library.
        #[cfg(unix)]
        let _ = socket2::SockRef::from(&tcp).listen(BACKLOG);
        Ok(self.listen_on(tcp))
    }

    /// Accepts connections from a socket that is listening already, and keeps its backlog.
    pub fn listen_on(self, tcp: TcpListener) -> Listener {
        let registry = Arc::new(Registry::new(self.max_connections, tcp));
        Listener { settings: Arc::new(self), registry }
    }

    /// Reads a request from a stream of the caller, as [`Incoming::request`] does for a connection of a listener.
    ///
    /// The stream can be an accepted [`TcpStream`](std::net::TcpStream), possibly after you have read a header of the
    /// PROXY protocol from it, a `UnixStream`, or a stream [in memory](crate::MemoryStream). This is the counterpart of
    /// [`Connector::connect_over`](crate::Connector::connect_over).
    ///
    /// All options of the builder apply except [`max_connections`](Self::max_connections). The connection does not
    /// belong to a listener, so it stays open when a listener is shut down. With the option `tls`, this does the TLS
    /// handshake over the stream. It does not set TCP_NODELAY.
    ///
    /// ```no_run
    /// # #[cfg(unix)]
    /// # fn main() -> ws_std::Result<()> {
    /// use std::os::unix::net::UnixListener;
    /// use ws_std::Listener;
    ///
    /// let options = Listener::builder().protocols(["chat"]);
    /// for stream in UnixListener::bind("/run/chat.socket")?.incoming() {
    ///     let (options, stream) = (options.clone(), stream?);
    ///     std::thread::spawn(move || -> ws_std::Result<()> {
    ///         let request = options.request_over(stream)?;
    ///         if request.path() != "/chat" {
    ///             return request.reject(404);
    ///         }
    ///         let mut ws = request.accept()?;
    ///         ws.send("hello")
    ///     });
    /// }
    /// # Ok(())
    /// # }
    /// # #[cfg(not(unix))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Incoming::request`], except for [`Error::TooManyConnections`].
    pub fn request_over<T: Transport>(&self, stream: T) -> Result<PendingRequest<Stream<T>>> {
        Arc::new(self.clone()).request(stream, None, GoingAway::none())
    }

    /// Reads a request from a stream.
    fn request<T: Transport>(
        self: Arc<Self>,
        stream: T,
        peer: Option<SocketAddr>,
        going_away: GoingAway,
    ) -> Result<PendingRequest<Stream<T>>> {
        let mut driver = self.driver(stream, peer, going_away)?;
        match driver.opening_event() {
            Ok(Some(Event::Request(head) | Event::Http(head))) => {
                Ok(PendingRequest { driver: SocketDriver::new(driver), head, settings: self })
            }
            Ok(_) => Err(Error::HandshakeEof),
            Err(error @ Error::Timeout(Deadline::Handshake)) => {
                driver.reset();
                Err(error)
            }
            Err(error) => {
                if driver.endpoint.inbound.failure().is_some() {
                    driver.finish();
                }
                Err(error)
            }
        }
    }

    /// Returns the driver of an incoming connection. This is not inlined, because a thread that waits keeps the stack
    /// that it has used.
    #[inline(never)]
    fn driver<T: Transport>(
        &self,
        stream: T,
        peer: Option<SocketAddr>,
        going_away: GoingAway,
    ) -> Result<Box<Driver<Stream<T>>>> {
        let start = Instant::now();
        let mut endpoint = Endpoint::server(self.options.clone());
        // The time-out begins here, with the TLS handshake.
        let zero = ws_core::Instant::from_elapsed(Duration::ZERO);
        let until = endpoint.next(|| zero).until();
        let stream = self.open(stream, until.map(|until| until.saturating_since(zero)))?;
        let mut link = Link::new(stream, start);
        link.read_timeout = self.read_timeout;
        link.write_timeout = self.write_timeout;
        link.io.tracer = Tracer::boxed(self.trace.as_ref(), peer);
        link.going_away = going_away;
        Ok(Driver::boxed(endpoint, link))
    }

    /// Returns the stream of a connection. A TLS handshake may take as long as `timeout`.
    #[cfg(feature = "rustls")]
    fn open<T: Transport>(&self, stream: T, timeout: Option<Duration>) -> Result<Stream<T>> {
        let Some(config) = &self.tls else { return Ok(Stream::Plain(stream)) };
        Ok(Stream::Tls(crate::TlsStream::server(stream, config.clone(), timeout)?))
    }

    #[cfg(not(feature = "rustls"))]
    fn open<T: Transport>(&self, stream: T, _: Option<Duration>) -> Result<Stream<T>> {
        Ok(Stream::Plain(stream))
    }
}

/// A listening socket. It is an iterator over the incoming connections, which ends when the listener is [shut
/// down](ListenerHandle::shutdown).
///
/// A listener is [`Send`] and [`Sync`], so several threads can accept connections.
#[derive(Debug)]
#[must_use = "no connection is accepted when this is dropped"]
pub struct Listener {
    settings: Arc<ListenerBuilder>,
    registry: Arc<Registry>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.registry.socket.close();
    }
}

/// A handle with which another thread can shut down a [`Listener`], for example one that waits for Ctrl-C. It is
/// [`Send`] and [`Sync`].
#[derive(Clone, Debug)]
pub struct ListenerHandle {
    registry: Arc<Registry>,
}

impl ListenerHandle {
    /// Starts to shut down the listener and its connections, and returns at once.
    ///
    /// The socket is closed, so no more connections are accepted. Each open connection is closed with
    /// [`CloseCode::GOING_AWAY`](crate::CloseCode::GOING_AWAY) (1001) once it has read the messages that were received
    /// before. If the peer continues to send, it is read for half of `time_limit`, but at most for five seconds. A
    /// connection's `read` returns `None` when the peer has answered the Close frame. After `time_limit` the remaining
    /// connections are aborted.
    ///
    /// The listener's iterator ends when all connections have ended. So a program can exit after its accepting loop.
    ///
    /// ```no_run
    /// let listener = ws_std::listen("127.0.0.1:9001")?;
    /// let handle = listener.handle();
    /// std::thread::spawn(move || {
    ///     let _ = std::io::stdin().read_line(&mut String::new()); // or Ctrl-C
    ///     handle.shutdown(std::time::Duration::from_secs(5));
    /// });
    /// for incoming in listener {
    ///     std::thread::spawn(move || incoming?.accept()?.read().map(drop));
    /// }
    /// # Ok::<(), ws_std::Error>(())
    /// ```
    pub fn shutdown(&self, time_limit: Duration) {
        self.registry.stop(time_limit);
    }

    /// Returns the number of connections.
    pub fn connections(&self) -> usize {
        self.registry.len()
    }
}

impl Listener {
    /// Returns the default settings: only same-origin pages may connect, no subprotocols, 10 seconds for the handshake,
    /// the limits of [`Config::new`], and 30 seconds for a peer to accept written data.
    pub fn builder() -> ListenerBuilder {
        ListenerBuilder {
            options: Options::new(),
            protocols: Vec::new(),
            read_timeout: None,
            write_timeout: Some(WRITE_TIMEOUT),
            #[cfg(feature = "rustls")]
            tls: None,
            max_connections: usize::MAX,
            trace: None,
        }
    }

    /// Returns the address that this listens on.
    ///
    /// # Errors
    ///
    /// Returns the error of the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match (self.registry.socket.get(), self.registry.address()) {
            (Some(tcp), _) => tcp.local_addr(),
            (None, address) => address.ok_or_else(|| io::ErrorKind::NotConnected.into()),
        }
    }

    /// Returns a handle with which another thread can shut down the listener.
    pub fn handle(&self) -> ListenerHandle {
        ListenerHandle { registry: self.registry.clone() }
    }

    /// Waits for the next connection. This reads nothing from the connection, so a slow client does not delay others.
    ///
    /// If the system runs out of file descriptors or memory, this waits and tries again.
    ///
    /// # Errors
    ///
    /// Returns an error if the listening socket itself fails, and [`Error::Shutdown`] after
    /// [`ListenerHandle::shutdown`], when all connections have ended.
    pub fn accept(&self) -> Result<Incoming> {
        let mut pause = Duration::from_millis(5);
        loop {
            match self.registry.accept().ok_or(Error::Shutdown)? {
                Ok((tcp, peer)) => {
                    let tcp = Arc::new(tcp);
                    let Some(slot) = self.registry.enter(&tcp) else { continue };
                    let slot = Arc::new(slot);
                    let tcp = Tcp::new(tcp, Some(slot.clone()));
                    return Ok(Incoming { tcp, slot, peer, settings: self.settings.clone() });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) if is_fatal(&error) => return Err(error.into()),
                Err(_) => {
                    thread::sleep(pause);
                    pause = pause.saturating_mul(2).min(Duration::from_secs(1));
                }
            }
        }
    }
}

/// Returns whether only one connection has failed, before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | ConnectionRefused)
}

/// Returns whether accepting can never succeed again.
fn is_fatal(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    // EPERM and EOPNOTSUPP concern only one connection (accept(2)). EBADF (9) has no `ErrorKind`.
    matches!(error.kind(), InvalidInput | NotConnected) || error.raw_os_error() == Some(9)
}

impl Iterator for Listener {
    type Item = Result<Incoming>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.accept() {
            Err(Error::Shutdown) => None,
            result => Some(result),
        }
    }
}

/// A TCP connection that was accepted, and from which nothing was read yet.
#[derive(Debug)]
#[must_use = "the client gets no answer when this is dropped"]
pub struct Incoming {
    tcp: Tcp,
    slot: Arc<ConnectionSlot>,
    peer: SocketAddr,
    settings: Arc<ListenerBuilder>,
}

impl Incoming {
    /// Returns the address of the client.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// Reads the request, which is an upgrade request or a plain HTTP request.
    ///
    /// # Errors
    ///
    /// Returns an error if the request is not valid (it was answered with the matching status), after a time-out, and
    /// if the stream fails. Returns [`Error::TooManyConnections`] if the listener already has its maximum number of
    /// connections. With the feature `rustls`, returns `Error::Tls` if the TLS handshake fails.
    pub fn request(self) -> Result<PendingRequest> {
        let Self { tcp, slot, peer, settings } = self;
        tcp.set_nodelay(true)?;
        let request = settings.request(tcp, Some(peer), GoingAway::of(slot.clone()))?;
        if slot.is_refused() {
            request.reject(503)?;
            return Err(Error::TooManyConnections);
        }
        Ok(request)
    }

    /// Reads the request and opens the WebSocket, with a subprotocol that both sides support.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`request`](Self::request). Returns [`Error::NotAnUpgrade`] for a plain HTTP request,
    /// which is answered with 426.
    pub fn accept(self) -> Result<WebSocket> {
        self.request()?.accept()
    }
}

/// A request that waits for an answer.
///
/// ```no_run
/// # fn serve(incoming: ws_std::Incoming) -> ws_std::Result<()> {
/// use ws_std::HttpResponse;
///
/// let request = incoming.request()?;
/// if !request.is_upgrade() {
///     let headers = &[("Content-Type", "text/plain")];
///     return request.http(&HttpResponse::new(200).headers(headers).body(b"ok\n"));
/// }
/// if request.path() != "/chat" {
///     return request.reject(404);
/// }
/// let mut ws = request.accept()?;
/// # Ok(())
/// # }
/// ```
///
/// If it is dropped because its thread panics, the client is answered with 500, without waiting.
///
/// It is [`Send`], but not [`Sync`].
#[must_use = "the client gets no answer when this is dropped"]
pub struct PendingRequest<T: Transport = Stream> {
    driver: SocketDriver<T>,
    head: endpoint::Request,
    settings: Arc<ListenerBuilder>,
}

impl<T: Transport + fmt::Debug> fmt::Debug for PendingRequest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingRequest")
            .field("stream", &self.driver.link.io.stream)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl<T: Transport> std::ops::Deref for PendingRequest<T> {
    type Target = endpoint::Request;

    /// Returns the method, the target and the header fields.
    fn deref(&self) -> &endpoint::Request {
        &self.head
    }
}

impl PendingRequest<Stream> {
    /// Returns the address of the client.
    ///
    /// # Errors
    ///
    /// Returns the error of the stream, for example if the client has disconnected. [`Incoming::peer_addr`] never
    /// fails.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream().get_ref().peer_addr()
    }
}

impl<T: Transport> PendingRequest<T> {
    /// Returns the stream. Reading from it or writing to it breaks the connection.
    pub fn stream(&self) -> &T {
        &self.driver.link.io.stream
    }

    /// Opens the WebSocket, with a subprotocol that both sides support.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NotAnUpgrade`] for a plain HTTP request, which is answered with 426, and an error if the stream
    /// fails.
    pub fn accept(self) -> Result<WebSocket<T>> {
        self.accept_with(&AcceptResponse::new())
    }

    /// Opens the WebSocket with an answer of the caller, for example one with headers.
    ///
    /// The subprotocol is the one that [`accept`](Self::accept) would choose, unless the answer sets one that was
    /// offered, or `None`.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`accept`](Self::accept). Returns [`Error::Open`] if the answer is not valid; the
    /// client is then answered with 500.
    pub fn accept_with(mut self, response: &AcceptResponse<'_>) -> Result<WebSocket<T>> {
        if !self.head.is_upgrade() {
            let text: &[u8] = match self.head.is_http10_upgrade() {
                true => b"This address speaks WebSocket, which needs HTTP/1.1 all the way.\n",
                false => b"This address speaks WebSocket.\n",
            };
            let headers = &[("Content-Type", "text/plain; charset=utf-8")];
            let head = self.head.clone();
            self.http(&HttpResponse::new(426).headers(headers).body(text))?;
            return Err(Error::NotAnUpgrade(head));
        }
        let settings = self.settings.clone();
        let chosen = select_subprotocol(self.head.subprotocols(), &settings.protocols);
        let response = &response.default_subprotocol(chosen);
        if let Err(error) = self.driver.endpoint.outbound.accept(response) {
            let _ = self.reject(500);
            return Err(error.into());
        }
        self.driver.flush()?;
        match self.driver.event(None)? {
            Some(Event::Open { subprotocol, .. }) => {
                let driver = self.driver.into_inner();
                Ok(WebSocket::new(driver, subprotocol, Some(self.head), None))
            }
            _ => Err(Error::HandshakeEof),
        }
    }

    /// Refuses the request with a status, such as 401, 403, 404 or 503, and closes the connection.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Open`] if the status is not from 200 to 599; the client is then answered with 500. Returns an
    /// error if the stream fails.
    pub fn reject(self, status: u16) -> Result<()> {
        self.http(&HttpResponse::new(status))
    }

    /// Answers with an HTTP response, such as a page or a refusal with headers, and closes the connection.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Open`] if the response is not valid; the client is then answered with 500. Returns an error if
    /// the stream fails.
    pub fn http(mut self, response: &HttpResponse<'_>) -> Result<()> {
        let fault = HttpResponse::new(500);
        let answered = match self.driver.endpoint.outbound.respond(response) {
            Ok(()) => Ok(()),
            Err(error) => self.driver.endpoint.outbound.respond(&fault).and(Err(error)),
        };
        self.driver.flush()?;
        self.driver.finish();
        Ok(answered?)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_write_takes_30_seconds_by_default() {
        assert_eq!(Listener::builder().write_timeout, Some(Duration::from_secs(30)));
    }

    // accept(2): "Linux accept() passes already-pending network errors on the new socket"
    #[test]
    fn what_is_wrong_with_one_connection_is_not_fatal() {
        const EPERM: i32 = 1;
        const EBADF: i32 = 9;
        const EINVAL: i32 = 22;
        const EMFILE: i32 = 24;
        const EPROTO: i32 = 71;
        const EOPNOTSUPP: i32 = 95;
        const ENETUNREACH: i32 = 101;
        for code in [EPERM, EOPNOTSUPP, EPROTO, ENETUNREACH, EMFILE] {
            assert!(!is_fatal(&io::Error::from_raw_os_error(code)), "{code}");
        }
        for code in [EBADF, EINVAL] {
            assert!(is_fatal(&io::Error::from_raw_os_error(code)), "{code}");
        }
    }
}
