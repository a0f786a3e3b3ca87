//! The sending side of a connection that was split: the output, and the stream to write it to.
//!
//! The output is behind a mutex, which is held only to encode or to parse, never while the stream is read or written. A
//! second lock protects writing to the stream. Its holder writes the waiting output. After it has released the lock, it
//! tries once more to write what others have added in the meantime.
//!
//! The reader never waits for that lock. While a writer holds it, the reader leaves what it owes to the peer in the
//! output, and tries again soon. A blocked writer checks the deadlines at least every 50 milliseconds, so it ends when
//! the connection does.

#[cfg(all(test, shuttle))]
mod schedules;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ws_core::SendError;
use ws_core::endpoint::Outbound;

use crate::close::CLOSE_TIMEOUT;
use crate::error::{Deadline, Error, Result};
use crate::link::Link;
use crate::sending::{Sending, Written, make_room};
use crate::split::MAX_WAITING;
use crate::sync::shared::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::shared::{Mutex, MutexGuard, lock, thread, try_lock};
use crate::timed::MIN_WAIT;
use crate::transport::Transport;

/// How many milliseconds a Close frame waits for the stream. The reader never holds it for so long.
const CLOSE_LOCK_WAIT: u32 = 50;

/// What the reader and all writers of a connection share.
#[derive(Debug)]
pub(crate) struct SharedWriter<T> {
    outbound: Mutex<Outbound>,
    /// The stream, locked while it is written to.
    stream: Mutex<Link<T>>,
    /// The number of threads that wait to send.
    waiting: AtomicUsize,
    /// Whether a Close frame in the output was left to the thread that holds the stream.
    close_left: AtomicBool,
    /// The number of writes that have timed out.
    timeouts: AtomicUsize,
    /// When the connection ends at the latest, even if the peer still accepts output.
    end_by: OnceLock<Instant>,
    /// How long the reader may wait before it checks the sending side again.
    recheck_interval: Duration,
}

impl<T: Transport> SharedWriter<T> {
    pub(crate) fn new(outbound: Outbound, link: Link<T>) -> Self {
        let recheck_interval =
            outbound.close_timeout().map_or(CLOSE_TIMEOUT, |timeout| timeout.min(CLOSE_TIMEOUT));
        Self {
            outbound: Mutex::new(outbound),
            stream: Mutex::new(link),
            waiting: AtomicUsize::new(0),
            close_left: AtomicBool::new(false),
            timeouts: AtomicUsize::new(0),
            end_by: OnceLock::new(),
            recheck_interval,
        }
    }

    pub(crate) fn outbound(&self) -> MutexGuard<'_, Outbound> {
        lock(&self.outbound)
    }

    /// Queues output and writes it. Then also writes what the reader has left to this thread. The reader saw the slot
    /// before it was freed, so what it owes is in the output by now.
    pub(crate) fn send(&self, queue: impl FnOnce() -> Result<()>) -> Result<()> {
        let slot = self.enter()?;
        let result = queue().and_then(|()| self.flush());
        drop(slot);
        if matches!(result, Err(Error::Timeout(_) | Error::Send(SendError::OutputFull))) {
            // The stream accepts nothing at the moment. What is left, also a Close frame, is written when the reader checks again.
            let _ = self.try_write(false);
        } else {
            self.write_rest();
        }
        result
    }

    /// Adds something to the output. While there is no room for it, writes the waiting output.
    pub(crate) fn queue(
        &self,
        mut queue: impl FnMut(&mut Outbound) -> std::result::Result<(), SendError>,
    ) -> Result<()> {
        loop {
            let result = queue(&mut self.outbound());
            match result {
                Ok(()) => return Ok(()),
                Err(error) => make_room(error, || self.flush())?,
            }
        }
    }

    /// Writes a Close frame that is in the output, after what others are sending at the moment.
    pub(crate) fn write_close(&self) -> Result<()> {
        for _ in 0..CLOSE_LOCK_WAIT {
            if let Some(side) = self.try_stream() {
                self.flush_with(side)?;
                self.write_rest();
                return Ok(());
            }
            thread::sleep(MIN_WAIT);
        }
        // A thread that holds the stream for longer sees this flag when it is done, unless it has just finished, or its write
        // has timed out.
        self.close_left.store(true, Ordering::SeqCst);
        self.write_rest();
        Ok(())
    }

    /// Sets when the connection ends at the latest. Only the first call counts.
    pub(crate) fn end_within(&self, time: Duration) {
        let closing = self.outbound().close_timeout().unwrap_or(CLOSE_TIMEOUT);
        if let Some(by) = Instant::now().checked_add(time.saturating_add(closing)) {
            let _ = self.end_by.set(by);
        }
    }

    /// Writes the waiting output. Waits for the stream while another thread holds it.
    fn flush(&self) -> Result<()> {
        let timeouts = self.timeouts.load(Ordering::Relaxed);
        let side = lock(&self.stream);
        // Another thread has already timed out on this peer, which does not get as much time again.
        if self.timeouts.load(Ordering::Relaxed) != timeouts {
            return Err(Error::Timeout(Deadline::Write));
        }
        self.flush_with(side)
    }

    fn flush_with(&self, mut side: MutexGuard<'_, Link<T>>) -> Result<()> {
        side.flush(&mut &*self).inspect_err(|error| {
            if matches!(error, Error::Timeout(_)) {
                self.timeouts.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    /// Writes as much output as the stream accepts at once, unless another thread is about to write: the reader must
    /// not wait behind the messages of others. Those threads check the output again when they are done. If `at_once` is
    /// set, nothing waits for the stream, not even for a millisecond.
    fn try_write(&self, at_once: bool) -> Result<Written> {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return Ok(Written::Others);
        }
        loop {
            let Some(mut side) = self.try_stream() else { return Ok(Written::Others) };
            side.io.at_once = at_once;
            let written = side.write_now(&mut &*self);
            side.io.at_once = false;
            drop(side);
            let written = written?;
            // Another thread may have found the stream locked between the last check of the output and the release of
            // the lock.
            if written != Written::All || self.outbound().waiting() == 0 {
                return Ok(written);
            }
        }
    }

    /// Writes what others have left to the holder of the stream, unless another thread holds it by now.
    ///
    /// It tries once for other output, because the reader or the next sender will continue. A Close frame that was left to this
    /// thread is written, because no other sender may come after it.
    fn write_rest(&self) {
        loop {
            if self.close_left.load(Ordering::SeqCst) {
                // If another thread holds the stream, it does this in turn.
                let Some(side) = self.try_stream() else { return };
                if self.close_left.swap(false, Ordering::SeqCst) {
                    let _ = self.flush_with(side);
                }
            }
            let _ = self.try_write(false);
            // It may have been left to this thread while it held the stream just now.
            if !self.close_left.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    /// Returns the stream for writing, unless another thread holds it. That thread checks the output again after it has
    /// released the stream.
    fn try_stream(&self) -> Option<MutexGuard<'_, Link<T>>> {
        try_lock(&self.stream)
    }

    /// Returns a slot among the threads that wait to send.
    fn enter(&self) -> Result<SendSlot<'_>> {
        let more = |count: usize| (count < MAX_WAITING).then(|| count.saturating_add(1));
        match self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(SendSlot(&self.waiting)),
            Err(_) => Err(Error::Busy),
        }
    }
}

impl<T: Transport> Sending for &SharedWriter<T> {
    fn with<R>(&mut self, f: impl FnOnce(&mut Outbound) -> R) -> R {
        let mut outbound = self.outbound();
        if self.end_by.get().is_some_and(|by| *by <= Instant::now()) {
            outbound.receive_reset();
        }
        f(&mut outbound)
    }

    fn try_write<U: Transport>(&mut self, reader: &mut Link<U>) -> Result<Written> {
        SharedWriter::try_write(self, reader.io.at_once)
    }

    fn recheck_interval(&self) -> Option<Duration> {
        let left = self.end_by.get().map(|by| by.saturating_duration_since(Instant::now()));
        Some(left.map_or(self.recheck_interval, |left| left.min(self.recheck_interval)))
    }
}

/// A slot among the threads that wait to send. Dropping it frees the slot.
struct SendSlot<'s>(&'s AtomicUsize);

impl Drop for SendSlot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
