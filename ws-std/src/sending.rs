//! What the read and write loops need of the sending side of an endpoint.
//!
//! The sending side belongs to one thread or, after `split`, lies behind a mutex. [`Sending`] hides the difference. The write loop
//! returns how far it got as [`Written`]. Whoever retries a stream that takes nothing waits for a [`Pause`] first.

use std::io;
use std::time::Duration;

use ws_core::SendError;
use ws_core::endpoint::{Endpoint, Inbound, Next, Outbound};

use crate::error::{Deadline, Error, Result};
use crate::link::Link;
use crate::timed::MIN_WAIT;
use crate::transport::Transport;

/// The longest wait while neither direction makes progress.
pub(crate) const MAX_IDLE_WAIT: Duration = Duration::from_millis(50);

/// The sending side of an endpoint, wherever it is.
pub(crate) trait Sending {
    fn with<R>(&mut self, f: impl FnOnce(&mut Outbound) -> R) -> R;

    /// Returns where to read to while a write waits, if the holder has both sides. Bytes that were read before are parsed up to
    /// the next event.
    fn reader(&mut self, _now: ws_core::Instant) -> Option<&mut Inbound> {
        None
    }

    /// Writes as much as the stream takes at once, unless another thread is writing.
    fn try_write<T: Transport>(&mut self, link: &mut Link<T>) -> Result<Written>
    where
        Self: Sized,
    {
        link.write_now(self)
    }

    /// Returns how long a reader may wait before it looks at the sending side again.
    fn recheck_interval(&self) -> Option<Duration> {
        None
    }
}

impl Sending for Outbound {
    #[inline]
    fn with<R>(&mut self, f: impl FnOnce(&mut Outbound) -> R) -> R {
        f(self)
    }
}

impl Sending for Endpoint {
    #[inline]
    fn with<R>(&mut self, f: impl FnOnce(&mut Outbound) -> R) -> R {
        f(&mut self.outbound)
    }

    fn reader(&mut self, now: ws_core::Instant) -> Option<&mut Inbound> {
        match self.next_write(|| now) {
            Next::Write { read, .. } | Next::Wait { read, .. } => read,
            _ => None,
        }
    }
}

/// The result of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    All,
    /// The stream has taken some output, and takes no more at the moment.
    Part,
    /// The stream takes nothing at the moment.
    Nothing,
    /// Another thread writes to the stream, or is about to.
    Others,
    /// The connection is over for the sending side, and nothing more will be written.
    Over,
}

impl Written {
    /// Returns whether output may be left that can be written later.
    pub(crate) fn is_blocked(self) -> bool {
        matches!(self, Self::Part | Self::Nothing | Self::Others)
    }

    /// Returns whether a flush was successful, which means that everything that was queued has been written.
    pub(crate) fn outcome(self, sending: &mut impl Sending) -> Result<()> {
        match (self, sending.with(|out| out.has_dropped())) {
            (Self::All | Self::Over, false) => Ok(()),
            (Self::All, true) => Err(SendError::Closing.into()),
            _ => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
        }
    }
}

/// The wait while neither direction makes progress. It grows, so that waiting does not keep a processor busy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = pause.saturating_mul(2).min(MAX_IDLE_WAIT);
        pause
    }
}

impl Default for Pause {
    fn default() -> Self {
        Self(MIN_WAIT)
    }
}

/// Flushes, if `error` says that a message was not queued for lack of room.
#[cold]
pub(crate) fn make_room(error: SendError, flush: impl FnOnce() -> Result<()>) -> Result<()> {
    if error != SendError::OutputFull {
        return Err(error.into());
    }
    match flush() {
        // A time-out would say that the message was taken.
        Err(Error::Timeout(Deadline::Write)) => Err(error.into()),
        result => result,
    }
}
