//! The one ending of a stream: what is left is written, the write side is shut down, and the peer's end awaited.
//!
//! What still comes is read and dropped, for to close a stream with unread bytes would destroy what the peer has not
//! read yet. All of it is bounded by the deadlines of the endpoint and by [`CloseLimits`]. The write side is shut down
//! once, whichever handle of the stream does it.
//!
//! It is done in steps ([`CloseUntil`]): a read that has found the end of the connection only writes and shuts down. The
//! wait for the peer is left to the next call, or to the drop of the socket.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use ws_core::endpoint::{Next, Outbound};

use crate::batch::Batch;
use crate::link::Link;
use crate::sending::{Pause, Sending, Written};
use crate::timed::Filled;
use crate::transport::Transport;

/// How often a call that must not wait reads from the stream at the most.
pub(crate) const READS_AT_ONCE: usize = 64;
/// The most that is read and dropped while waiting for the peer to close the stream.
const MAX_DISCARD: usize = 64 << 20;
/// How long the end of a stream may take when no other limit is set.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the end of a stream may take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CloseLimits {
    /// As a whole, beside the deadlines of the endpoint.
    pub(crate) total: Option<Duration>,
    /// How long a peer may be silent.
    pub(crate) quiet: Option<Duration>,
    /// Whether the write side is shut down as soon as all is written, whoever's turn it is.
    pub(crate) shut_down: bool,
}

/// How far one call takes the ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseUntil {
    /// As far as it goes without waiting.
    Blocked,
    /// All is written, and the write side shut down if it is this side's turn.
    Written,
    /// The stream has ended.
    Ended,
}

/// What is known of an ending from one step to the next.
#[derive(Debug)]
pub(crate) struct Closing {
    began: Instant,
    /// How much more is read and dropped.
    left: usize,
    eof: bool,
}

impl Closing {
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), left: MAX_DISCARD, eof: false }
    }
}

impl<T: Transport> Link<T> {
    /// Ends the stream within `limits`, or as far as it is asked to; returns whether the stream has ended. A stream
    /// without time-outs is not waited for.
    pub(crate) fn close(
        &mut self,
        sending: &mut impl Sending,
        closing: &mut Closing,
        limits: CloseLimits,
        goal: CloseUntil,
    ) -> bool {
        let clock = self.io.clock;
        let Closing { began, left, eof } = closing;
        let by = limits.total.and_then(|total| began.checked_add(total));
        let mut pause = Pause::default();
        let mut scratch = Vec::new();
        // A peer that sends without end does not keep a call that must not wait.
        let mut reads = 0..READS_AT_ONCE;
        loop {
            // mutant: the last Close frame stays unwritten
            let written = match sending.try_write(self) {
                Ok(Written::Over) => return true,
                Ok(written) => written,
                Err(_) => break,
            };
            let blocked = written.is_blocked();
            if written == Written::Part {
                pause = Pause::default();
            }
            if limits.shut_down && !blocked {
                let left = by.map(|by| by.saturating_duration_since(Instant::now()));
                self.shutdown_write(left.map(|left| clock.now().saturating_add(left)));
                sending.with(Outbound::shut_down);
            }
            if goal == CloseUntil::Written && !blocked {
                return false;
            }
            let next = sending.with(|out| match out.next(|| clock.now()) {
                Next::Done => None,
                next => Some(next.until()),
            });
            // Nobody waits for what is left.
            let Some(until) = next else { break };
            let until = until.map(|until| clock.left_until(until));
            let until = match (until, by) {
                (Some(until), None) => until,
                (until, by) => {
                    let by = by.or_else(|| began.checked_add(CLOSE_TIMEOUT));
                    let left =
                        by.map_or(CLOSE_TIMEOUT, |by| by.saturating_duration_since(Instant::now()));
                    until.map_or(left, |until| until.min(left))
                }
            };
            if until.is_zero() || *left == 0 || *eof && !blocked {
                break;
            }
            if *eof {
                if goal == CloseUntil::Blocked {
                    return false;
                }
                thread::sleep(until.min(pause.next()));
                continue;
            }
            let wait = if blocked { until.min(pause.next()) } else { until };
            let wait = limits.quiet.map_or(wait, |quiet| wait.min(quiet));
            let wait = if goal == CloseUntil::Blocked { Duration::ZERO } else { wait };
            scratch.resize(16 * 1024, 0);
            let until = Some(clock.now().saturating_add(wait));
            if !self.io.can_read_until(until) {
                break;
            }
            if goal == CloseUntil::Blocked && reads.next().is_none() {
                return false;
            }
            match self.io.read(&mut scratch, until) {
                Ok((count, Filled::Bytes)) => {
                    *left = left.saturating_sub(count);
                    pause = Pause::default();
                }
                // The peer's end may not show, because the listener has ended the stream for reading.
                Ok((_, Filled::TimedOut)) if self.going_away.is_stopping() && !blocked => break,
                Ok((_, Filled::TimedOut)) if limits.quiet.is_some() && !blocked => break,
                Ok((_, Filled::TimedOut)) if goal == CloseUntil::Blocked => return false,
                Ok((_, Filled::TimedOut)) => {}
                Ok((_, Filled::Eof)) => *eof = true,
                Ok((_, Filled::Reset)) | Err(_) => break,
            }
        }
        self.reset(sending);
        true
    }

    /// Ends the stream at once: nobody has to be told, and what is left is dropped.
    pub(crate) fn reset(&mut self, sending: &mut impl Sending) {
        sending.with(Outbound::receive_reset);
        self.batch = Batch::default();
        self.shutdown_write(Some(self.io.clock.now()));
    }

    /// Shuts the write side down once, until a time at the latest. What TLS has to say then takes no longer.
    pub(crate) fn shutdown_write(&mut self, until: Option<ws_core::Instant>) {
        if self.write_side.shut_down.swap(true, Ordering::Relaxed) {
            return;
        }
        let left = until.map_or(CLOSE_TIMEOUT, |until| self.io.clock.left_until(until));
        self.io.shutdown_write(left.min(CLOSE_TIMEOUT));
    }
}
