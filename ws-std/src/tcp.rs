//! A TCP connection with several handles, and with time limits for reads and writes.
//!
//! On Linux and other Unix systems, the system enforces the time limits: a blocked call ends when its time has passed,
//! and a write returns how many bytes were written. On Windows, a socket is in an unknown state after a call has timed
//! out (`SO_SNDTIMEO` and `SO_RCVTIMEO`), and the system does not say how much of a write was sent. So there each call
//! first waits until the socket is ready, and then does not block. This does not change the socket for its other
//! handles.
//!
//! When a listener begins to shut down, reads of its connections end soon, as if their time limits had passed. On Linux
//! and Android, an end of the stream wakes a read, and on Windows a socket of the listener does. On other systems
//! nothing wakes it. There, and after it was woken, a read waits only for a short time.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Deref;
use std::sync::Arc;
#[cfg(not(windows))]
use std::sync::Mutex;
#[cfg(not(windows))]
use std::thread;
use std::time::Duration;

use crate::registry::ConnectionSlot;
#[cfg(not(windows))]
use crate::registry::SHUTDOWN_WAKES_READS;
#[cfg(not(windows))]
use crate::sync::lock;
use crate::timed::is_timeout;
use crate::transport::Transport;

/// How long a read waits at first while the listener shuts down. It waits longer each time, because there can be
/// thousands of connections.
const RETRY_AFTER: Duration = Duration::from_millis(5);
/// The longest wait of a read that is not woken when the listener shuts down.
const MAX_RETRY_AFTER: Duration = Duration::from_millis(200);

/// A TCP connection. All its handles share one file descriptor.
///
/// It dereferences to a [`TcpStream`]. Reading from it or writing to it breaks the WebSocket.
#[derive(Clone, Debug)]
pub struct Tcp {
    stream: Arc<TcpStream>,
    #[cfg(windows)]
    limits: Arc<ready::Limits>,
    /// The time limit for reads that was set. The socket's own limit may be shorter.
    #[cfg(not(windows))]
    read_timeout: Arc<Mutex<Option<Duration>>>,
    /// The place of this connection, if it belongs to a listener.
    slot: Option<Arc<ConnectionSlot>>,
    retry_after: Duration,
}

impl Tcp {
    pub(crate) fn new(stream: Arc<TcpStream>, slot: Option<Arc<ConnectionSlot>>) -> Self {
        #[cfg(windows)]
        let limits = Arc::new(ready::Limits::new(&stream));
        Self {
            stream,
            #[cfg(windows)]
            limits,
            #[cfg(not(windows))]
            read_timeout: Arc::default(),
            slot,
            retry_after: RETRY_AFTER,
        }
    }

    /// Waits until a read does not block.
    #[cfg(windows)]
    fn wait_to_read(&self) -> io::Result<()> {
        let slot = self.slot.as_deref().map(|slot| (slot, self.retry_after));
        let result = self.limits.wait_to_read(&self.stream, slot);
        result.map_err(|error| self.aborted(error))
    }

    /// Makes sure that a read does not wait for too long if nothing wakes it.
    #[cfg(not(windows))]
    fn wait_to_read(&self) -> io::Result<()> {
        let is_stopping = self.slot.as_ref().is_some_and(|slot| slot.is_stopping());
        if SHUTDOWN_WAKES_READS || !is_stopping {
            return Ok(());
        }
        self.stream.set_read_timeout(shorter(self.read_timeout(), Some(self.retry_after)))
    }

    #[cfg(not(windows))]
    fn read_timeout(&self) -> Option<Duration> {
        *lock(&self.read_timeout)
    }

    /// Waits until a write does not block, and returns how many bytes it may have.
    fn wait_to_write(&self) -> io::Result<usize> {
        #[cfg(windows)]
        return self.limits.wait_to_write(&self.stream).map_err(|error| self.aborted(error));
        #[cfg(not(windows))]
        Ok(usize::MAX)
    }

    /// Returns the error of a wait. A wait does not end when the listener aborts the connection, so this checks for
    /// that.
    #[cfg(windows)]
    fn aborted(&self, error: io::Error) -> io::Error {
        let is_aborted = self.slot.as_ref().is_some_and(|slot| slot.is_aborted());
        if is_aborted { ErrorKind::ConnectionAborted.into() } else { error }
    }
}

impl From<TcpStream> for Tcp {
    fn from(stream: TcpStream) -> Self {
        Self::new(Arc::new(stream), None)
    }
}

impl Deref for Tcp {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.stream
    }
}

impl Read for Tcp {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.wait_to_read().and_then(|()| (&*self.stream).read(buffer));
        let Some(slot) = &self.slot else { return result };
        match result {
            // The listener has ended this side of the stream, so the peer's answer to the Close frame can still arrive.
            #[cfg(not(windows))]
            Ok(0) if slot.is_woken() => {
                // Do not wait for longer than the caller has asked.
                let wait = shorter(self.read_timeout(), Some(self.retry_after));
                thread::sleep(wait.unwrap_or_default());
            }
            // The time limit of the caller may be longer than this wait, so the caller checks the time.
            #[cfg(not(windows))]
            Err(error) if is_timeout(&error) && !SHUTDOWN_WAKES_READS && !slot.is_stopping() => {
                return Err(ErrorKind::Interrupted.into());
            }
            Err(error) if is_timeout(&error) && slot.is_stopping() => {}
            result => {
                self.retry_after = RETRY_AFTER;
                return result;
            }
        }
        self.retry_after = self.retry_after.mul_f32(1.5).min(MAX_RETRY_AFTER);
        Err(ErrorKind::TimedOut.into())
    }
}

impl Write for Tcp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.wait_to_write()?;
        (&*self.stream).write(bytes.get(..most).unwrap_or(bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let most = self.wait_to_write()?;
        let mut room = most;
        let fits = |slice: &IoSlice<'_>| {
            room = room.checked_sub(slice.len())?;
            Some(())
        };
        match slices.iter().map_while(fits).count() {
            0 => {
                let bytes = slices.first().map_or(&[][..], |slice| slice);
                (&*self.stream).write(bytes.get(..most).unwrap_or(bytes))
            }
            count => (&*self.stream).write_vectored(slices.get(..count).unwrap_or(slices)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Tcp {
    #[cfg(not(windows))]
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        *lock(&self.read_timeout) = timeout;
        let is_woken = SHUTDOWN_WAKES_READS || self.slot.is_none();
        let longest = (!is_woken).then_some(MAX_RETRY_AFTER);
        self.stream.set_read_timeout(shorter(timeout, longest))
    }

    #[cfg(not(windows))]
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_write_timeout(timeout)
    }

    #[cfg(not(windows))]
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.stream.set_nonblocking(nonblocking)
    }

    #[cfg(windows)]
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.limits.set_read(timeout);
        Ok(())
    }

    #[cfg(windows)]
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.limits.set_write(timeout);
        Ok(())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }
}

/// Returns the shorter of two time limits, if there is one.
fn shorter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Time limits that wait until the socket is ready.
#[cfg(windows)]
mod ready {
    use std::io::{self, ErrorKind};
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::net::sockopt::socket_send_buffer_size;

    use super::{MAX_RETRY_AFTER, shorter};
    use crate::registry::{ConnectionSlot, Waker};

    /// No time limit.
    const NONE: u64 = u64::MAX;
    /// The pause before waiting again for a socket whose peer has ended its side, because waiting then returns at once.
    const HALF_CLOSED: Duration = Duration::from_millis(5);
    /// The longest write, in bytes.
    const MAX_WRITE: usize = 64 * 1024;
    /// The longest write to a socket with the smallest buffer, in bytes.
    const MIN_WRITE: usize = 512;

    /// The time limits of all handles of a connection, in microseconds.
    #[derive(Debug)]
    pub(super) struct Limits {
        read: AtomicU64,
        write: AtomicU64,
        /// A write of this many bytes fits into the send buffer of a socket that is ready, so it does not block.
        most: usize,
    }

    impl Limits {
        pub(super) fn new(stream: &TcpStream) -> Self {
            let buffer = socket_send_buffer_size(stream).unwrap_or_default();
            let most = (buffer / 2).clamp(MIN_WRITE, MAX_WRITE);
            Self { read: AtomicU64::new(NONE), write: AtomicU64::new(NONE), most }
        }

        pub(super) fn set_read(&self, timeout: Option<Duration>) {
            self.read.store(micros(timeout), Ordering::Relaxed);
        }

        pub(super) fn set_write(&self, timeout: Option<Duration>) {
            self.write.store(micros(timeout), Ordering::Relaxed);
        }

        /// Waits until a read does not block. `slot` is the place of a listener's connection, and how long to wait
        /// while the listener shuts down.
        pub(super) fn wait_to_read(
            &self,
            stream: &TcpStream,
            slot: Option<(&ConnectionSlot, Duration)>,
        ) -> io::Result<()> {
            // The read returns the end of the stream or the error.
            wait(stream, PollFlags::RDNORM, PollFlags::all(), &self.read, slot)
        }

        pub(super) fn wait_to_write(&self, stream: &TcpStream) -> io::Result<usize> {
            let ready = PollFlags::WRNORM | PollFlags::ERR | PollFlags::NVAL;
            wait(stream, PollFlags::WRNORM, ready, &self.write, None)?;
            Ok(self.most)
        }
    }

    fn micros(timeout: Option<Duration>) -> u64 {
        timeout.and_then(|timeout| u64::try_from(timeout.as_micros()).ok()).unwrap_or(NONE)
    }

    /// Waits until the socket has an event of `ready`. While the listener of `slot` shuts down, this waits only for a
    /// short time.
    fn wait(
        stream: &TcpStream,
        asked: PollFlags,
        ready: PollFlags,
        limit: &AtomicU64,
        slot: Option<(&ConnectionSlot, Duration)>,
    ) -> io::Result<()> {
        let limit = limit.load(Ordering::Relaxed);
        let mut left = (limit != NONE).then(|| Duration::from_micros(limit));
        let until = left.and_then(|left| Instant::now().checked_add(left));
        let is_stopping = || slot.is_some_and(|(slot, _)| slot.is_stopping());
        let mut waker = slot.and_then(|(slot, _)| slot.waker());
        loop {
            let longest = match slot {
                Some((_, pause)) if is_stopping() => {
                    waker = None;
                    Some(pause)
                }
                // If the shutdown begins after this point, the waker becomes readable.
                Some(_) if waker.is_none() => Some(MAX_RETRY_AFTER),
                _ => None,
            };
            let timeout = shorter(left, longest).and_then(|left| Timespec::try_from(left).ok());
            let stop = waker.map_or(PollFd::new(stream, asked), |Waker(socket)| {
                PollFd::new(socket, PollFlags::RDNORM)
            });
            let mut fds = [PollFd::new(stream, asked), stop];
            let count = if waker.is_some() { 2 } else { 1 };
            let asked_of = fds.get_mut(..count).unwrap_or_default();
            // An interruption by a signal counts as the end of the wait.
            let count = match poll(asked_of, timeout.as_ref()) {
                Err(rustix::io::Errno::INTR) => 0,
                result => result?,
            };
            let [fd, stop] = fds;
            if count > 0 && fd.revents().intersects(ready) {
                return Ok(());
            }
            left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if is_stopping() || left.is_some_and(|left| left.is_zero()) {
                return Err(ErrorKind::TimedOut.into());
            }
            if waker.is_some() && !stop.revents().is_empty() {
                // The waker has failed, or another program has sent something to it. It cannot be used any more.
                waker = None;
            } else if count > 0 {
                thread::sleep(left.map_or(HALF_CLOSED, |left| left.min(HALF_CLOSED)));
            }
        }
    }
}

#[cfg(all(test, windows))]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;
    use crate::registry::Registry;

    // Any program on the host can send to the waker before it is connected.
    #[test]
    fn a_waker_that_wakes_for_nothing_ends_no_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let tcp = Arc::new(listener.accept().unwrap().0);
        let registry = Arc::new(Registry::new(1, listener));
        let slot = Arc::new(registry.enter(&tcp).unwrap());
        slot.waker().unwrap().0.send(&[0]).unwrap();
        let mut tcp = Tcp::new(tcp, Some(slot));
        let timeout = Duration::from_millis(300);
        Transport::set_read_timeout(&tcp, Some(timeout)).unwrap();
        let begun = Instant::now();
        assert_eq!(tcp.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() >= timeout / 2, "{:?}", begun.elapsed());
    }
}
