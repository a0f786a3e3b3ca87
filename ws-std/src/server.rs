//! The server: a listener, its connections, and the requests that come over them.

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
use crate::driver::Driver;
use crate::error::{Deadline, Error, Result};
use crate::going_away::GoingAway;
use crate::link::Link;
use crate::registry::{ConnectionSlot, Registry};
use crate::socket::WebSocket;
use crate::tcp::Tcp;
use crate::trace::{Hook, Trace, Tracer};
use crate::transport::{Stream, Transport};

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
/// The address cannot be listened on.
pub fn listen(address: impl ToSocketAddrs) -> Result<Listener> {
    Listener::builder().bind(address)
}

/// How to listen for WebSockets.
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
    /// The limits and time-outs of the open connections.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.options = self.options.config(config);
        self
    }

    /// Agrees to permessage-deflate (RFC 7692) when a client offers it: see [`deflate`](crate::deflate). Default
    /// `None`: messages are not compressed. All connections of the listener share the engines of its pool.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, compression: impl Into<Option<crate::deflate::Compression>>) -> Self {
        self.options = self.options.deflate(compression);
        self
    }

    /// Which pages may connect. Default [`Origins::Same`].
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.options = self.options.origins(origins);
        self
    }

    /// Which hosts are answered to, such as `localhost`, `127.0.0.1:9001` or `[::1]`; an entry without a port stands for
    /// every port. A request for another host, for a WebSocket or not, is answered with 421. By default every host is
    /// answered to.
    ///
    /// Set it on a server that browsers reach by an address of their own machine or of a private network, as
    /// protection against DNS rebinding: [`Options::hosts`] says why.
    #[must_use]
    pub fn hosts<S: Into<String>>(mut self, hosts: impl IntoIterator<Item = S>) -> Self {
        self.options = self.options.hosts(hosts);
        self
    }

    /// The subprotocols that the server speaks, the preferred one first. Of those that a client offers
    /// the first of them is chosen; without one in common the connection has none.
    #[must_use]
    pub fn protocols<S: Into<String>>(mut self, protocols: impl IntoIterator<Item = S>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The longest head of a request, in bytes; a longer one is answered with 431 or 414. Default 16 KiB.
    #[must_use]
    pub fn max_head(mut self, bytes: usize) -> Self {
        self.options = self.options.max_head(bytes);
        self
    }

    /// The most header fields in a request; more are answered with 431. Default 100.
    #[must_use]
    pub fn max_fields(mut self, fields: usize) -> Self {
        self.options = self.options.max_fields(fields);
        self
    }

    /// How much output may wait before messages are not taken, in bytes. Default 16 MiB. A single message may be longer
    /// when nothing else waits.
    #[must_use]
    pub fn max_output(mut self, bytes: usize) -> Self {
        self.options = self.options.max_output(bytes);
        self
    }

    /// How long a request may take to arrive as a whole. Default 10 seconds; `None` means for ever.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.options = self.options.handshake_timeout(timeout);
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

    /// Speaks TLS, and only TLS, with this configuration. The handshake is part of
    /// [`Incoming::request`] and of its deadline. Pages from the same host have to have come over TLS, too.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ServerConfig>) -> Self {
        self.tls = Some(config);
        self.options = self.options.secure(true);
        self
    }

    /// As [`tls`](Self::tls), with the defaults for one certificate: its chain, the server's own
    /// first, and its private key (PKCS #8, PKCS #1 or SEC 1), as PEM.
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
    /// [`Error::Tls`] when one of them is not valid, or the key is not that of the certificate.
    #[cfg(feature = "rustls")]
    pub fn certificate(self, chain: &[u8], key: &[u8]) -> Result<Self> {
        Ok(self.tls(crate::tls::server_from_pem(chain, key)?))
    }

    /// Says that somebody else encrypts the streams: they are TLS streams of the caller's, or a proxy in front
    /// of this server does TLS. A page from the same host may then connect only if it came over TLS, too, as
    /// with the option `tls`. Default: they are not encrypted.
    #[must_use]
    pub fn encrypted(mut self) -> Self {
        self.options = self.options.secure(true);
        self
    }

    /// How many connections there may be at once, those that are being opened and plain HTTP requests
    /// included. A client past it is answered with 503. Default: no limit but the system's.
    #[must_use]
    pub fn max_connections(mut self, count: usize) -> Self {
        self.max_connections = count;
        self
    }

    /// What is to be called with each head and frame that goes over a connection, on the thread that
    /// reads or writes it, such as `|trace| eprintln!("{trace}")`.
    #[must_use]
    pub fn trace(mut self, hook: impl Fn(&Trace<'_>) + Send + Sync + 'static) -> Self {
        self.trace = Some(Hook::new(hook));
        self
    }

    /// Listens on an address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on, which the error names.
    pub fn bind(self, address: impl ToSocketAddrs) -> Result<Listener> {
        let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
        let tcp = TcpListener::bind(&addresses[..]).map_err(|error| {
            let names: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
            io::Error::new(error.kind(), format!("{}: {error}", names.join(", ")))
        })?;
        Ok(self.listen_on(tcp))
    }

    /// Takes connections from a socket that is listening.
    pub fn listen_on(self, tcp: TcpListener) -> Listener {
        let registry = Arc::new(Registry::new(self.max_connections, tcp));
        Listener { settings: Arc::new(self), registry }
    }

    /// Reads a request from a stream of the caller's, as [`Incoming::request`] does from a connection of a
    /// listener: an accepted [`TcpStream`](std::net::TcpStream), one whose PROXY protocol header was read,
    /// a `UnixStream`, or one [in memory](crate::MemoryStream). It is the counterpart of
    /// [`Connector::connect_over`](crate::Connector::connect_over).
    ///
    /// The options of the builder apply, but for [`max_connections`](Self::max_connections): the connection
    /// belongs to no listener, and is not closed when one is shut down. With the option `tls`, the stream
    /// carries TLS. Whether TCP_NODELAY is set is up to the caller.
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
    /// As [`Incoming::request`], but for [`Error::TooManyConnections`].
    pub fn request_over<T: Transport>(&self, stream: T) -> Result<PendingRequest<Stream<T>>> {
        Arc::new(self.clone()).request(stream, None, GoingAway::none())
    }

    /// Reads the request that comes over a stream.
    fn request<T: Transport>(
        self: Arc<Self>,
        stream: T,
        peer: Option<SocketAddr>,
        going_away: GoingAway,
    ) -> Result<PendingRequest<Stream<T>>> {
        let mut driver = self.driver(stream, peer, going_away)?;
        match driver.opening_event() {
            Ok(Some(Event::Request(head) | Event::Http(head))) => {
                Ok(PendingRequest { driver, head, settings: self })
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

    /// What drives a connection that has come in. Not inlined: a thread that waits keeps the stack that was needed.
    #[inline(never)]
    fn driver<T: Transport>(
        &self,
        stream: T,
        peer: Option<SocketAddr>,
        going_away: GoingAway,
    ) -> Result<Box<Driver<Stream<T>>>> {
        let start = Instant::now();
        let mut endpoint = Endpoint::server(self.options.clone());
        // Its time begins here, with the handshake of TLS.
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

    /// The stream of a connection; TLS has `timeout` for its handshake.
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

/// A listening socket: an iterator over the connections that come in, until it is
/// [shut down](ListenerHandle::shutdown). It is [`Send`] and [`Sync`]: several threads may accept.
#[derive(Debug)]
#[must_use = "nobody is accepted when this is dropped"]
pub struct Listener {
    settings: Arc<ListenerBuilder>,
    registry: Arc<Registry>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.registry.socket.close();
    }
}

/// What other threads can do with a [`Listener`], such as one that waits for Ctrl-C. It is [`Send`] and
/// [`Sync`].
#[derive(Clone, Debug)]
pub struct ListenerHandle {
    registry: Arc<Registry>,
}

impl ListenerHandle {
    /// Ends the listener and its connections, and returns at once.
    ///
    /// No more connections are accepted: the socket is closed. Each that is open is closed with
    /// [`CloseCode::GOING_AWAY`](crate::CloseCode::GOING_AWAY) (1001) as soon as it has read what had come,
    /// and its `read` returns `None` when the peer has answered. A peer that sends on and on is read for
    /// half of `time_limit`, and for five seconds at the most. After `time_limit` those that are left are
    /// aborted. When all have ended, the listener's iterator ends, too: so a program whose accepting
    /// loop is over can exit.
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

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.registry.len()
    }
}

impl Listener {
    /// The defaults: same-origin pages, no subprotocols, 10 seconds for the handshake, the limits
    /// of [`Config::new`], 30 seconds for a peer to take what is written.
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

    /// The address that is listened on.
    ///
    /// # Errors
    ///
    /// As of the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match (self.registry.socket.get(), self.registry.address()) {
            (Some(tcp), _) => tcp.local_addr(),
            (None, address) => address.ok_or_else(|| io::ErrorKind::NotConnected.into()),
        }
    }

    /// To shut it down, from another thread.
    pub fn handle(&self) -> ListenerHandle {
        ListenerHandle { registry: self.registry.clone() }
    }

    /// Waits for the next connection. Nothing is read from it yet, so a slow client delays nobody.
    ///
    /// While the system is short of file descriptors or memory it waits and tries again.
    ///
    /// # Errors
    ///
    /// The listening socket itself has failed; [`Error::Shutdown`] after
    /// [`ListenerHandle::shutdown`].
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

/// The connection was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | ConnectionRefused)
}

/// Trying again cannot help.
fn is_fatal(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    // EPERM and EOPNOTSUPP are of one connection (accept(2)). EBADF has no kind of its own.
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

/// A TCP connection that was accepted and of which nothing was read.
#[derive(Debug)]
#[must_use = "the client gets no answer when this is dropped"]
pub struct Incoming {
    tcp: Tcp,
    slot: Arc<ConnectionSlot>,
    peer: SocketAddr,
    settings: Arc<ListenerBuilder>,
}

impl Incoming {
    /// The address of the client.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// Reads the request, which may ask for a WebSocket or be one of plain HTTP.
    ///
    /// # Errors
    ///
    /// A faulty request, which was answered with the fitting status; a time-out; a failed stream;
    /// [`Error::TooManyConnections`];
    /// with the feature `rustls`, `Error::Tls` when the client's handshake fails.
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

    /// Reads the request and opens the WebSocket that it asks for, with a subprotocol that both sides speak.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request), and [`Error::NotAnUpgrade`] for a plain HTTP request, which is
    /// answered with 426.
    pub fn accept(self) -> Result<WebSocket> {
        self.request()?.accept()
    }
}

/// A request that waits for its answer.
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
/// It is [`Send`], and not [`Sync`].
#[must_use = "the client gets no answer when this is dropped"]
pub struct PendingRequest<T = Stream> {
    driver: Box<Driver<T>>,
    head: endpoint::Request,
    settings: Arc<ListenerBuilder>,
}

impl<T: fmt::Debug> fmt::Debug for PendingRequest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingRequest")
            .field("stream", &self.driver.link.io.stream)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl<T> std::ops::Deref for PendingRequest<T> {
    type Target = endpoint::Request;

    /// The method, target and header fields.
    fn deref(&self) -> &endpoint::Request {
        &self.head
    }
}

impl PendingRequest<Stream> {
    /// The address of the client.
    ///
    /// # Errors
    ///
    /// As of the stream, such as when the client is gone; [`Incoming::peer_addr`] always knows it.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream().get_ref().peer_addr()
    }
}

impl<T: Transport> PendingRequest<T> {
    /// The stream. To read from it or write to it breaks the connection.
    pub fn stream(&self) -> &T {
        &self.driver.link.io.stream
    }

    /// Opens the WebSocket, with a subprotocol that both sides speak.
    ///
    /// # Errors
    ///
    /// [`Error::NotAnUpgrade`] for a plain HTTP request, which is answered with 426, or a failed stream.
    pub fn accept(self) -> Result<WebSocket<T>> {
        self.accept_with(&AcceptResponse::new())
    }

    /// Opens the WebSocket with an answer of the caller's, such as one with headers. The subprotocol is the one that
    /// [`accept`](Self::accept) would choose, unless the answer sets another one that was offered, or `None`.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept), and [`Error::Open`] when the answer is not valid; the client
    /// is then answered with 500.
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
                Ok(WebSocket::new(self.driver, subprotocol, Some(self.head), None))
            }
            _ => Err(Error::HandshakeEof),
        }
    }

    /// Refuses with a status, such as 401, 403, 404 or 503, and closes the connection.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] for a status that is not 200–599, and the client is answered with 500; or a
    /// failed stream.
    pub fn reject(self, status: u16) -> Result<()> {
        self.http(&HttpResponse::new(status))
    }

    /// Answers with an HTTP response, a page or a refusal with headers, and closes the connection.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] for a response that is not valid, and the client is answered with 500; or a
    /// failed stream.
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
