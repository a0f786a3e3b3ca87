//! A TCP connection that several handles share, with time limits for reads and writes.
//!
//! Linux and other Unix systems keep the time limits themselves: a blocked call ends when its time has passed,
//! and a write tells how much it has taken. Windows leaves a socket in an unknown state when a call times out
//! (`SO_SNDTIMEO` and `SO_RCVTIMEO`), and does not tell how much of a write was sent. So each call
//! there first waits until the socket is ready, and then returns at once. That changes nothing that other handles of
//! the socket see.
//!
//! A read of a listener's connection ends soon after the listener has begun to shut down, as if its time limit had
//! passed. Linux and Android wake it by an end of the stream, Windows by a socket of the listener's. Where nothing
//! wakes it, or once it was woken, it waits for a short time only.

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

/// How long a read waits once the listener shuts down, at first; then longer each time, as there can be
/// thousands.
const RETRY_AFTER: Duration = Duration::from_millis(5);
/// The longest wait of a read that nothing wakes when the listener shuts down.
const MAX_RETRY_AFTER: Duration = Duration::from_millis(200);

/// A TCP connection, whose handles share one file descriptor.
///
/// It is a [`TcpStream`] to look at. To read from it or write to it breaks the WebSocket.
#[derive(Clone, Debug)]
pub struct Tcp {
    stream: Arc<TcpStream>,
    #[cfg(windows)]
    limits: Arc<ready::Limits>,
    /// What the time limit for reads is to be. The socket's may be shorter.
    #[cfg(not(windows))]
    read_timeout: Arc<Mutex<Option<Duration>>>,
    /// Of a listener's connection.
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

    /// Waits until a read returns at once.
    #[cfg(windows)]
    fn wait_to_read(&self) -> io::Result<()> {
        let slot = self.slot.as_deref().map(|slot| (slot, self.retry_after));
        let result = self.limits.wait_to_read(&self.stream, slot);
        result.map_err(|error| self.aborted(error))
    }

    /// Sees to it that a read does not wait for too long, where nothing wakes it.
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

    /// Waits until a write returns at once; returns how long it may be.
    fn wait_to_write(&self) -> io::Result<usize> {
        #[cfg(windows)]
        return self.limits.wait_to_write(&self.stream).map_err(|error| self.aborted(error));
        #[cfg(not(windows))]
        Ok(usize::MAX)
    }

    /// What a wait has come to, which a shutdown of the socket by the listener does not end.
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
            // The end is not the peer's, whose answer to the Close frame can still come.
            #[cfg(not(windows))]
            Ok(0) if slot.is_woken() => {
                // The caller may have other things to do.
                let wait = shorter(self.read_timeout(), Some(self.retry_after));
                thread::sleep(wait.unwrap_or_default());
            }
            // What was waited for may be longer than the wait: the caller looks at the time.
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

/// The shorter of two time limits, if there is one.
fn shorter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Time limits by waiting until the socket is ready.
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
    /// How long a socket is left alone whose peer has ended its side, because waiting ends at once then.
    const HALF_CLOSED: Duration = Duration::from_millis(5);
    /// The longest write, in bytes.
    const MAX_WRITE: usize = 64 * 1024;
    /// The longest write to a socket with the smallest buffer.
    const MIN_WRITE: usize = 512;

    /// The time limits of all handles of a connection, in microseconds.
    #[derive(Debug)]
    pub(super) struct Limits {
        read: AtomicU64,
        write: AtomicU64,
        /// A write as long as this fits into the send buffer of a socket that is ready: it does not block.
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

        /// `slot` is that of a listener's connection, and how long to wait once the listener shuts down.
        pub(super) fn wait_to_read(
            &self,
            stream: &TcpStream,
            slot: Option<(&ConnectionSlot, Duration)>,
        ) -> io::Result<()> {
            // An end or a failure shows in the read.
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

    /// Waits until the socket is as `ready` says, for a short time only once the listener of `slot` shuts down.
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
                // Should it begin from here on, the waker has something to read from.
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
            // A signal is as good as a wait.
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
                // Another has sent something to it, or it has failed: it wakes nobody any more.
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

    // Any program of the host can send to the waker before it is connected.
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
