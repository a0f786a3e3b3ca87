//! Ends a stream: writes the remaining output, shuts down the write side, and waits for the peer to end its side.
//!
//! Bytes that still arrive are read and dropped, because closing a stream with unread bytes would destroy what the peer
//! has not read yet. The deadlines of the endpoint and [`CloseLimits`] bound all of it. The write side is shut down
//! once, whichever handle of the stream does it.
//!
//! It happens in steps ([`CloseUntil`]). A read that has found the end of the connection only writes and shuts down.
//! The next call, or the drop of the socket, waits for the peer.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ws_core::endpoint::{Next, Outbound};

use crate::batch::Batch;
use crate::link::Link;
use crate::sending::{Pause, Sending, Written};
use crate::sync::shared::thread;
use crate::timed::Filled;
use crate::transport::Transport;

/// How many times a call that must not wait reads from the stream at most.
pub(crate) const READS_AT_ONCE: usize = 8;
/// How many bytes are read and dropped at most while waiting for the peer to end the stream.
const MAX_DISCARD: usize = 64 << 20;
/// How long the end of a stream may take when no other limit is set.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the end of a stream may take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CloseLimits {
    /// The limit for the whole, in addition to the deadlines of the endpoint.
    pub(crate) total: Option<Duration>,
    /// How long the peer may be silent.
    pub(crate) quiet: Option<Duration>,
    /// Whether to shut down the write side as soon as everything is written, whichever side's turn it is.
    pub(crate) shut_down: bool,
}

/// When one call of [`Link::close`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseUntil {
    /// As soon as it would have to wait.
    Blocked,
    /// When everything is written, and the write side is shut down if it is this side's turn.
    Written,
    /// When the stream has ended.
    Ended,
}

/// The state of an ending from one step to the next.
#[derive(Debug)]
pub(crate) struct Closing {
    began: Instant,
    /// How many more bytes are read and dropped.
    left: usize,
    eof: bool,
}

impl Closing {
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), left: MAX_DISCARD, eof: false }
    }
}

impl<T: Transport> Link<T> {
    /// Ends the stream within `limits`, or continues until `goal`. Returns whether the stream has ended. It does not
    /// wait for a stream without time-outs.
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
        // The limit keeps a peer that sends without end from blocking a call that must not wait.
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
            // The endpoint no longer waits for the rest.
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
                // The peer's end may go unnoticed, because the listener has ended the stream for reading.
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

    /// Ends the stream at once, without notifying the peer. The remaining output is dropped.
    pub(crate) fn reset(&mut self, sending: &mut impl Sending) {
        sending.with(Outbound::receive_reset);
        self.batch = Batch::default();
        self.shutdown_write(Some(self.io.clock.now()));
    }

    /// Shuts down the write side once. For TLS, which writes a last record, it waits until `until` at most.
    pub(crate) fn shutdown_write(&mut self, until: Option<ws_core::Instant>) {
        if self.write_side.shut_down.swap(true, Ordering::Relaxed) {
            return;
        }
        let left = until.map_or(CLOSE_TIMEOUT, |until| self.io.clock.left_until(until));
        self.io.shutdown_write(left.min(CLOSE_TIMEOUT));
    }
}
