//! The connections of a listener: how many there are, and how to end them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// How many connections beyond the limit are refused at the same time. More are dropped without an answer.
const MAX_REFUSED: usize = 64;
/// How long an attempt to wake a thread in `accept` may take.
const WAKE: Duration = Duration::from_secs(1);
/// How long to wait before the next attempt.
const WAKE_AGAIN: Duration = Duration::from_millis(20);
/// The most time for messages that have come and output that waits, before the Close frame.
const TIME_TO_FINISH: Duration = Duration::from_secs(5);

/// Whether shutting down the read side of a socket ends a blocked read, and the bytes that arrived before can still be
/// read. On other systems the bytes are lost, or the read goes on waiting.
pub(crate) const SHUTDOWN_WAKES_READS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// A listening socket, until it is closed.
#[derive(Debug)]
pub(crate) struct Socket(Mutex<Option<Arc<TcpListener>>>);

impl Socket {
    pub(crate) fn get(&self) -> Option<Arc<TcpListener>> {
        lock(&self.0).clone()
    }

    /// Closes the socket, as soon as nobody waits in `accept`.
    pub(crate) fn close(&self) {
        *lock(&self.0) = None;
    }
}

/// The connections of a listener.
#[derive(Debug)]
pub(crate) struct Registry {
    max: usize,
    pub(crate) socket: Socket,
    /// The address at which threads in `accept` can be reached.
    address: Option<SocketAddr>,
    /// The number of these threads.
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
    /// When the remaining connections are aborted.
    until: Option<Instant>,
}

/// A connection's place among those that the listener may have. Dropping it frees the place.
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

    /// Returns a place for a connection. Beyond the limit, it is one to be [refused](ConnectionSlot::is_refused). Returns `None`
    /// if too many connections are being refused, or if the listener is shutting down.
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

    /// Returns the address of the listener, even after it was closed.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Returns the number of connections.
    pub(crate) fn len(&self) -> usize {
        let connections = self.connections();
        connections.live.len().saturating_sub(connections.refused)
    }

    /// Accepts a connection. Returns `None` after the listener has been shut down and all connections have ended.
    pub(crate) fn accept(&self) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        self.accepting.fetch_add(1, Ordering::SeqCst);
        // From here on, a shutdown wakes this thread.
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

    /// Begins to end all connections. Those that remain after the time limit are aborted.
    pub(crate) fn stop(self: &Arc<Self>, time_limit: Duration) {
        let mut connections = self.connections();
        let until = Instant::now().checked_add(time_limit);
        // The shorter limit wins.
        connections.until = match (connections.until, until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.stopping.store(true, Ordering::SeqCst);
        // From now on, new connections are refused at once, or go to another process that has the socket.
        self.socket.close();
        #[cfg(windows)]
        if let Some(waker) = &self.waker {
            waker.wake();
        }
        if SHUTDOWN_WAKES_READS {
            // A connection that waits in a read sees the end of the stream, and checks whether the listener is shutting down.
            for tcp in connections.live.values() {
                let _ = tcp.shutdown(Shutdown::Read);
            }
        }
        drop(connections);
        self.changed.notify_all();
        let registry = self.clone();
        let ending = thread::Builder::new().name("shutdown".to_owned()).spawn(move || {
            // Waking a thread takes a file descriptor, which may be free only after connections have ended.
            while registry.is_accepting() && !registry.is_late() {
                registry.wake();
            }
            // The threads that accept may be busy, or gone, so this thread waits, too.
            registry.drain();
            while registry.is_accepting() {
                registry.wake();
            }
        });
        if ending.is_err() {
            // A thread that accepts does the rest.
            self.wake();
        }
    }

    fn is_accepting(&self) -> bool {
        self.accepting.load(Ordering::SeqCst) > 0
    }

    /// Returns whether it is time to abort the remaining connections.
    fn is_late(&self) -> bool {
        self.connections().until.is_some_and(|until| until <= Instant::now())
    }

    /// Connects to the listener, so that a thread that waits in `accept` returns. There may be several of them.
    fn wake(&self) {
        if let Some(address) = self.address {
            let _ = TcpStream::connect_timeout(&reachable(address), WAKE);
        }
        thread::sleep(WAKE_AGAIN);
    }

    /// Waits until all connections have ended, and aborts those that remain at the time limit.
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
    /// Returns whether the listener already had as many connections as it may have.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    /// Returns whether the listener is shutting down, so that the connection has to be closed.
    pub(crate) fn is_stopping(&self) -> bool {
        self.registry.is_stopping()
    }

    /// Returns how long messages that have come and output that waits may take before the Close frame: half of the time that is left.
    pub(crate) fn time_to_finish(&self) -> Duration {
        let until = self.registry.connections().until;
        let half = until.and_then(|by| by.saturating_duration_since(Instant::now()).checked_div(2));
        half.map_or(TIME_TO_FINISH, |half| half.min(TIME_TO_FINISH))
    }

    /// Returns the socket that a read also waits for, so that a shutdown wakes it.
    #[cfg(windows)]
    pub(crate) fn waker(&self) -> Option<&Waker> {
        self.registry.waker.as_ref()
    }

    /// Returns whether an end of the stream is due to the shutdown, and not to the peer.
    #[cfg(not(windows))]
    pub(crate) fn is_woken(&self) -> bool {
        SHUTDOWN_WAKES_READS && self.is_stopping() && !self.is_aborted()
    }

    /// Returns whether the listener has shut down the stream.
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

/// A socket that becomes readable when the listener shuts down.
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

    /// Makes the socket readable. Nobody reads the byte, so every waiting thread sees it.
    fn wake(&self) {
        let _ = self.0.send(&[0]);
    }
}

/// Returns an address of this host at which a listener bound to `bound` can be reached.
fn reachable(mut bound: SocketAddr) -> SocketAddr {
    match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => bound.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => bound.set_ip(Ipv6Addr::LOCALHOST.into()),
        // A link-local address keeps the scope that it needs.
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
