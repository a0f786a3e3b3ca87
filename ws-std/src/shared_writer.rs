//! The sending side of a connection that was split: the output, and the stream to write it to.
//!
//! The output is behind a mutex that is held for as long as it takes to encode or to parse, never while the stream is
//! read or written. A second lock is for writing to the stream. Whoever holds it writes what waits, and tries to write
//! what others have added meanwhile, once more after it has let go. The reader never waits for that lock: while a
//! writer has it, the reader leaves in the output what it owes, and comes back to it soon. A blocked writer looks at
//! the time at least every 50 milliseconds, so that it ends when the connection does.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use ws_core::SendError;
use ws_core::endpoint::Outbound;

use crate::close::CLOSE_TIMEOUT;
use crate::error::{Deadline, Error, Result};
use crate::link::Link;
use crate::sending::{Sending, Written, make_room};
use crate::split::MAX_WAITING;
use crate::sync::{lock, try_lock};
use crate::timed::MIN_WAIT;
use crate::transport::Transport;

/// For how many milliseconds a Close frame waits for the stream; the reader never has it for so long.
const CLOSE_LOCK_WAIT: u32 = 50;

/// What the reader and all writers of a connection share.
#[derive(Debug)]
pub(crate) struct SharedWriter<T> {
    outbound: Mutex<Outbound>,
    /// Held to write to the stream.
    stream: Mutex<Link<T>>,
    /// How many threads wait to send.
    waiting: AtomicUsize,
    /// A Close frame is in the output of which only the holder of the stream may know.
    close_left: AtomicBool,
    /// How many writes have timed out.
    timeouts: AtomicUsize,
    /// When the connection ends at the latest, even if the peer still takes what waits.
    end_by: OnceLock<Instant>,
    /// The longest wait of the reader before it looks at the sending side again.
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

    /// Queues output and writes it. What the reader has left to us meanwhile is written, too: it has seen
    /// our slot before we gave it up, so that what it owes is in the output when we look again.
    pub(crate) fn send(&self, queue: impl FnOnce() -> Result<()>) -> Result<()> {
        let slot = self.enter()?;
        let result = queue().and_then(|()| self.flush());
        drop(slot);
        if matches!(result, Err(Error::Timeout(_) | Error::Send(SendError::OutputFull))) {
            // The stream takes nothing at the moment.
            let _ = self.try_write(false);
        } else {
            self.write_rest();
        }
        result
    }

    /// Puts something into the output, and writes what waits as often as there is no room for it.
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

    /// Writes a Close frame that is in the output, behind what others send at the moment.
    pub(crate) fn write_close(&self) -> Result<()> {
        for _ in 0..CLOSE_LOCK_WAIT {
            if let Some(side) = self.try_stream() {
                self.flush_with(side)?;
                self.write_rest();
                return Ok(());
            }
            thread::sleep(MIN_WAIT);
        }
        // Whoever has the stream for longer sees it when that ends, unless it has just ended.
        self.close_left.store(true, Ordering::SeqCst);
        self.write_rest();
        Ok(())
    }

    /// Sets when the connection ends at the latest. The first call counts.
    pub(crate) fn end_within(&self, time: Duration) {
        let closing = self.outbound().close_timeout().unwrap_or(CLOSE_TIMEOUT);
        if let Some(by) = Instant::now().checked_add(time.saturating_add(closing)) {
            let _ = self.end_by.set(by);
        }
    }

    /// Writes the output that waits; waits for the stream while it is in another's hands.
    fn flush(&self) -> Result<()> {
        let timeouts = self.timeouts.load(Ordering::Relaxed);
        let side = lock(&self.stream);
        // A peer that kept another waiting so long is not worth as long again.
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

    /// Writes output as far as the stream takes it at once, if nobody else is about to: the reader must not
    /// wait behind the messages of others. They look at the output again when they are done. With `at_once`, nothing waits
    /// for the stream, not even for a millisecond.
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
            // Somebody may have found the stream taken between the last look at the output and its release.
            if written != Written::All || self.outbound().waiting() == 0 {
                return Ok(written);
            }
        }
    }

    /// Writes what others have left to the holder of the stream, unless another has it by now.
    ///
    /// It is tried once, because the reader or the next one that sends goes on. Only a Close frame that was left is
    /// waited for: nobody else may come.
    fn write_rest(&self) {
        if self.close_left.load(Ordering::SeqCst) {
            // If another has the stream, that one does this in turn.
            let Some(side) = self.try_stream() else { return };
            if self.close_left.swap(false, Ordering::SeqCst) {
                let _ = self.flush_with(side);
            }
        }
        let _ = self.try_write(false);
    }

    /// The stream for writing, unless it is in another's hands: they look at the output again
    /// after they have let go.
    fn try_stream(&self) -> Option<MutexGuard<'_, Link<T>>> {
        try_lock(&self.stream)
    }

    /// A slot among those who wait to send.
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

/// A slot among the threads that wait to send. It is given up when this is dropped.
struct SendSlot<'s>(&'s AtomicUsize);

impl Drop for SendSlot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
