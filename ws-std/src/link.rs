//! A stream over which an endpoint is driven. This module has what all handles of the stream share, and reads bytes
//! into the endpoint.
//!
//! The module [`write`](crate::write) writes the output, and [`close`](crate::close) ends the stream. A whole socket
//! has one link. After `split`, the reader has a link that reads, and the writers share a link that writes.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ws_core::endpoint::Inbound;

use crate::batch::Batch;
use crate::error::Result;
use crate::going_away::GoingAway;
use crate::timed::{Filled, MIN_WAIT, Timed};
use crate::transport::Transport;

/// A stream with everything that is needed to drive an endpoint over it.
#[derive(Debug)]
pub(crate) struct Link<T> {
    pub(crate) io: Timed<T>,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    /// Output that was taken to be written.
    pub(crate) batch: Batch,
    pub(crate) write_side: Arc<WriteSide>,
    /// How the connection ends if its listener shuts down.
    pub(crate) going_away: GoingAway,
    /// Whether the latest read returned any bytes.
    pub(crate) has_read: bool,
}

/// The state of the write side, which all handles of a stream share.
#[derive(Debug, Default)]
pub(crate) struct WriteSide {
    /// Whether a write has failed. Then nothing more is written, but what can still be read is read.
    failed: AtomicBool,
    pub(crate) shut_down: AtomicBool,
}

impl<T: Transport> Link<T> {
    pub(crate) fn new(stream: T, start: Instant) -> Self {
        Self {
            io: Timed::new(stream, start),
            read_timeout: None,
            write_timeout: None,
            batch: Batch::default(),
            write_side: Arc::default(),
            going_away: GoingAway::none(),
            has_read: false,
        }
    }

    /// Returns a second handle to the stream, for writing. It continues with the output that was taken.
    pub(crate) fn split(&mut self) -> io::Result<Self> {
        Ok(Self {
            io: self.io.try_clone()?,
            read_timeout: None,
            write_timeout: self.write_timeout,
            batch: mem::take(&mut self.batch),
            write_side: self.write_side.clone(),
            going_away: GoingAway::none(),
            has_read: false,
        })
    }

    /// Returns when a read that begins now has to end.
    pub(crate) fn deadline(&self) -> Option<ws_core::Instant> {
        self.read_timeout.map(|timeout| {
            // The clock counts whole milliseconds. Without one more, the time might pass too early.
            let more = if timeout.is_zero() { timeout } else { MIN_WAIT };
            self.io.clock.now().saturating_add(timeout.saturating_add(more))
        })
    }

    /// Reads into the endpoint once, until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// The same as for [`Timed::read`].
    pub(crate) fn fill(
        &mut self,
        inbound: &mut Inbound,
        deadline: Option<ws_core::Instant>,
    ) -> Result<Filled> {
        // This is checked before the read, because a read that began before the shutdown may have left bytes unread.
        let stopping = self.going_away.is_stopping();
        let (count, filled) = self.io.read(inbound.read_buf(), deadline)?;
        inbound.filled(count);
        self.has_read = filled == Filled::Bytes;
        if stopping && filled != Filled::Bytes {
            self.going_away.drained();
        }
        Ok(filled)
    }

    /// Returns whether a write has failed, on any handle of the stream.
    pub(crate) fn has_write_failed(&self) -> bool {
        self.write_side.failed.load(Ordering::Relaxed)
    }

    /// Fails if a write has failed, because nobody knows how much of it was sent.
    pub(crate) fn check_write_side(&self) -> Result<()> {
        if self.has_write_failed() {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        Ok(())
    }

    /// Returns the result of a write. If it has failed, notes that for all handles, and shuts down the write side: nothing more
    /// is written, and a peer whose stream still works would wait for it for ever.
    pub(crate) fn noted<R>(&mut self, result: Result<R>) -> Result<R> {
        if result.is_err() {
            self.write_side.failed.store(true, Ordering::Relaxed);
            self.shutdown_write(Some(self.io.clock.now()));
        }
        result
    }
}
