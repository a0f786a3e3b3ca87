//! A stream whose reads and writes wait for a bounded time.
//!
//! This module does not know the endpoint: [`Link`](crate::link::Link) moves bytes between the two. It sets the
//! stream's time-outs, and only when they change. It distinguishes errors that end the stream from those that only end
//! a wait, and passes the tracer what is read and written. It never retries without waiting, because that would keep a
//! processor busy over a non-blocking stream.

use std::io::{self, IoSlice};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::trace::Tracer;
use crate::transport::Transport;

/// The shortest time-out, because zero would mean no time-out.
pub(crate) const MIN_WAIT: Duration = Duration::from_millis(1);
/// A call that returns faster than this has not waited. A system call that waits takes longer, even if it wakes up
/// early.
const AT_ONCE: Duration = Duration::from_micros(250);

/// The clock of an endpoint: the time since its connection began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn since(start: Instant) -> Self {
        Self(start)
    }

    pub(crate) fn now(self) -> ws_core::Instant {
        ws_core::Instant::from_elapsed(self.0.elapsed())
    }

    pub(crate) fn left_until(self, deadline: ws_core::Instant) -> Duration {
        deadline.saturating_since(self.now())
    }

    pub(crate) fn is_past(self, deadline: Option<ws_core::Instant>) -> bool {
        deadline.is_some_and(|deadline| self.left_until(deadline).is_zero())
    }
}

/// A stream, and what is known about how its calls wait.
#[derive(Debug)]
pub(crate) struct Timed<T> {
    pub(crate) stream: T,
    pub(crate) clock: Clock,
    /// Traces what is read and written.
    pub(crate) tracer: Option<Box<Tracer>>,
    /// The time-outs that were last set, if any.
    set_read: Option<Option<Duration>>,
    set_write: Option<Duration>,
    /// Whether the stream has no time-outs.
    timeless: bool,
    /// Whether nothing may wait: neither a read whose deadline has passed, nor a write.
    pub(crate) at_once: bool,
    blocking: Blocking,
    /// Whether the stream or the hook for traces has panicked, or is being called. Nobody knows what has become of the
    /// bytes of that call, so the stream can no longer be used.
    panicked: bool,
}

/// Whether the calls of the stream wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blocking {
    Unknown,
    /// A write has returned without writing anything, and its duration was not measured.
    Suspect,
    /// The stream is blocking: a call that returned without a result has waited.
    Waits,
}

/// The result of a write or flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt<R> {
    Done(R),
    /// The peer has received some of the bytes that the stream holds back.
    Progress,
    /// The stream accepts nothing at the moment.
    Nothing,
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    Bytes,
    /// The peer has ended its side of the stream.
    Eof,
    /// The stream has failed.
    Reset,
    TimedOut,
}

impl<T: Transport> Timed<T> {
    pub(crate) fn new(stream: T, start: Instant) -> Self {
        Self {
            stream,
            clock: Clock::since(start),
            tracer: None,
            set_read: None,
            set_write: None,
            timeless: false,
            at_once: false,
            blocking: Blocking::Unknown,
            panicked: false,
        }
    }

    /// Returns a second handle to the stream.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            stream: self.stream.try_clone()?,
            clock: self.clock,
            tracer: self.tracer.clone(),
            set_read: None,
            set_write: None,
            timeless: self.timeless,
            at_once: false,
            blocking: self.blocking,
            panicked: self.panicked,
        })
    }

    /// Writes once, for at most `wait`.
    ///
    /// # Errors
    ///
    /// An error means that nothing more can be written.
    pub(crate) fn write(
        &mut self,
        slices: &[IoSlice<'_>],
        wait: Duration,
    ) -> Result<Attempt<usize>> {
        let attempt = self.attempt(wait, |stream| match stream.write_vectored(slices) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            result => result,
        })?;
        if let (Attempt::Done(written), Some(tracer)) = (attempt, &mut self.tracer) {
            // If the hook panics, the same bytes must not be written again.
            self.panicked = true;
            let mut left = written;
            for slice in slices {
                let (now, _) = slice.split_at(left.min(slice.len()));
                left = left.saturating_sub(now.len());
                tracer.sent(now);
            }
            self.panicked = false;
        }
        Ok(attempt)
    }

    /// Flushes a stream that holds written bytes back, for at most `wait`.
    ///
    /// # Errors
    ///
    /// The same as for [`write`](Self::write).
    pub(crate) fn flush(&mut self, wait: Duration) -> Result<Attempt<()>> {
        self.attempt(wait, |stream| stream.flush())
    }

    fn attempt<R>(
        &mut self,
        wait: Duration,
        write: impl FnOnce(&mut T) -> io::Result<R>,
    ) -> Result<Attempt<R>> {
        if self.panicked {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        self.set_write_timeout(wait)?;
        let begun = (self.blocking == Blocking::Suspect).then(Instant::now);
        self.panicked = true;
        let result = if self.at_once {
            self.without_waiting(write, |_| true)
        } else {
            write(&mut self.stream)
        };
        self.panicked = false;
        match result {
            Ok(done) => Ok(Attempt::Done(done)),
            // The system's error of this kind is due to a signal, and says nothing about the peer.
            Err(error)
                if error.kind() == io::ErrorKind::Interrupted && error.raw_os_error().is_none() =>
            {
                Ok(Attempt::Progress)
            }
            Err(error) if is_indeterminate(&error) => Err(error.into()),
            Err(error) if self.at_once && is_timeout(&error) => Ok(Attempt::Nothing),
            Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => {
                // The stream may be non-blocking. Trying again and again would keep a processor busy.
                if begun.is_some_and(|begun| begun.elapsed() >= AT_ONCE) {
                    self.blocking = Blocking::Waits;
                }
                if self.blocking != Blocking::Waits {
                    self.blocking = Blocking::Suspect;
                    thread::sleep(wait);
                }
                Ok(Attempt::Nothing)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads once, until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if the stream is non-blocking, or another error that does not end the
    /// stream.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        deadline: Option<ws_core::Instant>,
    ) -> Result<(usize, Filled)> {
        let mut begun = None;
        if self.panicked {
            return Ok((0, Filled::Reset));
        }
        loop {
            self.set_read_timeout(deadline)?;
            self.panicked = true;
            let result = self.read_stream(buffer, deadline);
            self.panicked = false;
            return match result {
                Ok(0) => Ok((0, Filled::Eof)),
                Ok(count) => {
                    if let Some(tracer) = &mut self.tracer {
                        // If the hook panics, the bytes are lost.
                        self.panicked = true;
                        tracer.received(buffer.get(..count).unwrap_or_default());
                        self.panicked = false;
                    }
                    Ok((count, Filled::Bytes))
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    // A peer that sends a record in small pieces must not postpone the deadline.
                    if self.clock.is_past(deadline) {
                        return Ok((0, Filled::TimedOut));
                    }
                    continue;
                }
                // Either the time-out was a little short, or the stream is non-blocking. The next read shows
                // which.
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock
                        && !self.clock.is_past(deadline) =>
                {
                    let now = Instant::now();
                    if begun.is_some_and(|begun| now.saturating_duration_since(begun) < AT_ONCE) {
                        return Err(error.into());
                    }
                    begun = Some(now);
                    continue;
                }
                Err(error) if is_timeout(&error) => {
                    if !self.at_once {
                        self.blocking = Blocking::Waits;
                    }
                    Ok((0, Filled::TimedOut))
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok((0, Filled::Eof)),
                Err(error) if is_loss(&error) => Ok((0, Filled::Reset)),
                Err(error) => Err(error.into()),
            };
        }
    }

    /// Reads from the stream. If `at_once` is set and the deadline has passed, it does not wait.
    fn read_stream(
        &mut self,
        buffer: &mut [u8],
        deadline: Option<ws_core::Instant>,
    ) -> io::Result<usize> {
        if !self.at_once || !self.clock.is_past(deadline) {
            return self.stream.read(buffer);
        }
        self.without_waiting(|stream| stream.read(buffer), |count| *count > 0)
    }

    /// Reads or writes without waiting. If `has_moved` returns `true`, the result is returned even if the mode of the
    /// stream cannot be restored, so that its bytes are not lost. The next call then fails.
    fn without_waiting<R>(
        &mut self,
        call: impl FnOnce(&mut T) -> io::Result<R>,
        has_moved: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        match self.stream.set_nonblocking(true) {
            Ok(()) => {
                let result = call(&mut self.stream);
                let restored = self.stream.set_nonblocking(false);
                if !result.as_ref().is_ok_and(has_moved) {
                    restored?;
                }
                result
            }
            // Such a stream waits for as long as its shortest time-out.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => call(&mut self.stream),
            Err(error) => Err(error),
        }
    }

    /// Returns whether a read returns by the deadline. A stream without time-outs may block for ever.
    pub(crate) fn can_read_until(&mut self, deadline: Option<ws_core::Instant>) -> bool {
        self.set_read_timeout(deadline).is_ok() && !self.timeless
    }

    /// Shuts down the write side, for at most `wait`.
    pub(crate) fn shutdown_write(&mut self, wait: Duration) {
        let wait = if self.at_once { MIN_WAIT } else { wait.max(MIN_WAIT) };
        let _ = self.set_write_timeout(wait);
        // The peer may have gone by now.
        let _ = if self.at_once {
            self.without_waiting(T::shutdown_write, |()| true)
        } else {
            self.stream.shutdown_write()
        };
    }

    fn set_write_timeout(&mut self, wait: Duration) -> io::Result<()> {
        if self.set_write != Some(wait) {
            match self.stream.set_write_timeout(Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
                _ => self.set_write = Some(wait),
            }
        }
        Ok(())
    }

    fn set_read_timeout(&mut self, deadline: Option<ws_core::Instant>) -> io::Result<()> {
        let wanted = deadline.map(|deadline| self.clock.left_until(deadline).max(MIN_WAIT));
        // A time-out that is a little short is good enough, because waking up early does no harm.
        let fits = match (self.set_read, wanted) {
            (Some(None), None) => true,
            (Some(Some(set)), Some(wanted)) => set <= wanted && set.saturating_mul(2) >= wanted,
            _ => false,
        };
        if fits {
            return Ok(());
        }
        match self.stream.set_read_timeout(wanted) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.timeless = true,
            result => result?,
        }
        self.set_read = Some(wanted);
        Ok(())
    }
}

/// Returns whether this error of a write comes from a time-out of Windows, after which nobody knows how much was sent.
fn is_indeterminate(error: &io::Error) -> bool {
    cfg!(windows) && error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_some()
}

pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

pub(crate) fn is_loss(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
}
