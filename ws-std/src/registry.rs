//! What a listener knows of its connections: how many there are, and how to end them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// How many connections beyond the limit are told so at the same time; more are dropped.
const MAX_REFUSED: usize = 64;
/// How long it may take to wake a thread that accepts.
const WAKE: Duration = Duration::from_secs(1);
/// After how long that is tried again.
const WAKE_AGAIN: Duration = Duration::from_millis(20);
/// The longest that what came or waits before the Close frame may take.
const TIME_TO_FINISH: Duration = Duration::from_secs(5);

/// Whether a blocked read sees the end of the stream when the read side is shut down, and what has come can
/// still be read then. Elsewhere a shutdown of the read side drops it, or wakes nobody.
pub(crate) const SHUTDOWN_WAKES_READS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// A listening socket, until it is closed.
#[derive(Debug)]
pub(crate) struct Socket(Mutex<Option<Arc<TcpListener>>>);

impl Socket {
    pub(crate) fn get(&self) -> Option<Arc<TcpListener>> {
        lock(&self.0).clone()
    }

    /// It is closed when nobody waits in `accept` any more.
    pub(crate) fn close(&self) {
        *lock(&self.0) = None;
    }
}

/// What a listener knows of its connections: how many there are, and how to end them.
#[derive(Debug)]
pub(crate) struct Registry {
    max: usize,
    pub(crate) socket: Socket,
    /// Where the threads that accept can be reached.
    address: Option<SocketAddr>,
    /// How many these are.
    accepting: AtomicUsize,
    stopping: AtomicBool,
    is_aborted: AtomicBool,
    #[cfg(windows)]
    waker: Option<Waker>,
    connections: Mutex<Connections>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Connections {
    last: u64,
    live: HashMap<u64, Arc<TcpStream>>,
    refused: usize,
    /// When connections that are left are aborted.
    until: Option<Instant>,
}

/// The slot of a connection among those that the listener may have. It is given up when this is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    registry: Arc<Registry>,
    id: u64,
    refused: bool,
}

impl Registry {
    pub(crate) fn new(max: usize, tcp: TcpListener) -> Self {
        Self {
            max,
            address: tcp.local_addr().ok(),
            socket: Socket(Mutex::new(Some(Arc::new(tcp)))),
            accepting: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            is_aborted: AtomicBool::new(false),
            #[cfg(windows)]
            waker: Waker::new().ok(),
            connections: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        lock(&self.connections)
    }

    /// A slot for a connection; past the limit one that is to be [refused](ConnectionSlot::is_refused), and
    /// `None` when too many of these are being told or the listener shuts down.
    pub(crate) fn enter(self: &Arc<Self>, tcp: &Arc<TcpStream>) -> Option<ConnectionSlot> {
        let mut connections = self.connections();
        if self.is_stopping() {
            return None;
        }
        let refused = connections.live.len().saturating_sub(connections.refused) >= self.max;
        if refused {
            if connections.refused >= MAX_REFUSED {
                return None;
            }
            connections.refused = connections.refused.saturating_add(1);
        }
        connections.last = connections.last.wrapping_add(1);
        let id = connections.last;
        connections.live.insert(id, tcp.clone());
        Some(ConnectionSlot { registry: self.clone(), id, refused })
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Where the listener can be reached, or could be.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        let connections = self.connections();
        connections.live.len().saturating_sub(connections.refused)
    }

    /// Accepts a connection; `None` when the listener has been shut down, and all have ended.
    pub(crate) fn accept(&self) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        self.accepting.fetch_add(1, Ordering::SeqCst);
        // From here on we are woken.
        let tcp = if self.is_stopping() { None } else { self.socket.get() };
        let accepted = tcp.map(|tcp| tcp.accept());
        self.accepting.fetch_sub(1, Ordering::SeqCst);
        if self.is_stopping() {
            drop(accepted);
            self.drain();
            return None;
        }
        accepted
    }

    /// Begins to end all connections; those that are left after some time are aborted.
    pub(crate) fn stop(self: &Arc<Self>, time_limit: Duration) {
        let mut connections = self.connections();
        let until = Instant::now().checked_add(time_limit);
        // Who is in more of a hurry wins.
        connections.until = match (connections.until, until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.stopping.store(true, Ordering::SeqCst);
        // Who comes from now on is refused at once, or served by another process that has the socket.
        self.socket.close();
        #[cfg(windows)]
        if let Some(waker) = &self.waker {
            waker.wake();
        }
        if SHUTDOWN_WAKES_READS {
            // What waits in a read sees the end of the stream, and looks.
            for tcp in connections.live.values() {
                let _ = tcp.shutdown(Shutdown::Read);
            }
        }
        drop(connections);
        self.changed.notify_all();
        let registry = self.clone();
        let ending = thread::Builder::new().name("shutdown".to_owned()).spawn(move || {
            // To connect takes a file descriptor, which may be free only when connections have ended.
            while registry.is_accepting() && !registry.is_late() {
                registry.wake();
            }
            // Those that accept may be busy, or gone.
            registry.drain();
            while registry.is_accepting() {
                registry.wake();
            }
        });
        if ending.is_err() {
            // One that accepts does the rest.
            self.wake();
        }
    }

    fn is_accepting(&self) -> bool {
        self.accepting.load(Ordering::SeqCst) > 0
    }

    /// Whether it is time to abort the connections that are left.
    fn is_late(&self) -> bool {
        self.connections().until.is_some_and(|until| until <= Instant::now())
    }

    /// One that waits in `accept` gets a connection, and looks. There may be several.
    fn wake(&self) {
        if let Some(address) = self.address {
            let _ = TcpStream::connect_timeout(&reachable(address), WAKE);
        }
        thread::sleep(WAKE_AGAIN);
    }

    /// Waits until all connections have ended, then aborts those that are left.
    fn drain(&self) {
        let mut connections = self.connections();
        while !connections.live.is_empty() {
            let left =
                connections.until.map(|until| until.saturating_duration_since(Instant::now()));
            match left {
                Some(left) if left.is_zero() => break,
                Some(left) => {
                    let result = self.changed.wait_timeout(connections, left);
                    connections = result.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => {
                    connections =
                        self.changed.wait(connections).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        self.is_aborted.store(true, Ordering::Release);
        for tcp in connections.live.values() {
            let _ = tcp.shutdown(Shutdown::Both);
        }
    }
}

impl ConnectionSlot {
    /// The listener had all the connections that it may have.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    /// The connection is to be closed: the listener shuts down.
    pub(crate) fn is_stopping(&self) -> bool {
        self.registry.is_stopping()
    }

    /// How long what came or waits before the Close frame may take: half of the time that is left.
    pub(crate) fn time_to_finish(&self) -> Duration {
        let until = self.registry.connections().until;
        let half = until.and_then(|by| by.saturating_duration_since(Instant::now()).checked_div(2));
        half.map_or(TIME_TO_FINISH, |half| half.min(TIME_TO_FINISH))
    }

    /// What a read waits for, too, until the listener shuts down.
    #[cfg(windows)]
    pub(crate) fn waker(&self) -> Option<&Waker> {
        self.registry.waker.as_ref()
    }

    /// An end of the stream means that the listener shuts down, and nothing about the peer.
    #[cfg(not(windows))]
    pub(crate) fn is_woken(&self) -> bool {
        SHUTDOWN_WAKES_READS && self.is_stopping() && !self.is_aborted()
    }

    /// The listener has shut down the stream.
    pub(crate) fn is_aborted(&self) -> bool {
        self.registry.is_aborted.load(Ordering::Acquire)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut connections = self.registry.connections();
        connections.live.remove(&self.id);
        if self.refused {
            connections.refused = connections.refused.saturating_sub(1);
        }
        drop(connections);
        self.registry.changed.notify_all();
    }
}

/// A socket that has something to read from when the listener shuts down.
#[cfg(windows)]
#[derive(Debug)]
pub(crate) struct Waker(pub(crate) std::net::UdpSocket);

#[cfg(windows)]
impl Waker {
    fn new() -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(socket.local_addr()?)?;
        Ok(Self(socket))
    }

    /// Nobody reads what this sends, so that everybody sees it.
    fn wake(&self) {
        let _ = self.0.send(&[0]);
    }
}

/// An address of this host that leads to one that a listener is bound to.
fn reachable(mut bound: SocketAddr) -> SocketAddr {
    match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => bound.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => bound.set_ip(Ipv6Addr::LOCALHOST.into()),
        // With the scope that a link-local one needs.
        _ => {}
    }
    bound
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    #[test]
    fn where_a_listener_is_reached() {
        let link_local = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 2).into();
        for (bound, expected) in [
            ("0.0.0.0:80".parse().unwrap(), "127.0.0.1:80".parse().unwrap()),
            ("[::]:80".parse().unwrap(), "[::1]:80".parse().unwrap()),
            ("127.0.0.2:80".parse().unwrap(), "127.0.0.2:80".parse().unwrap()),
            (link_local, link_local),
        ] {
            assert_eq!(reachable(bound), expected);
        }
    }
}
