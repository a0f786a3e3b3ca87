//! The one ending of a stream: what is left is written, the write side is shut down, and the peer's end awaited.
//!
//! What still comes is read and dropped, for to close a stream with unread bytes would destroy what the peer has not
//! read yet. All of it is bounded by the deadlines of the endpoint and by [`CloseLimits`]. The write side is shut down
//! once, whichever handle of the stream does it.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use ws_core::endpoint::{Next, Outbound};

use crate::batch::Batch;
use crate::link::Link;
use crate::sending::{Pause, Sending, Written};
use crate::timed::Filled;
use crate::transport::Transport;

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

impl<T: Transport> Link<T> {
    /// Ends the stream within `limits`. A stream without time-outs is not waited for.
    pub(crate) fn close(&mut self, sending: &mut impl Sending, limits: CloseLimits) {
        let clock = self.io.clock;
        let began = Instant::now();
        let by = limits.total.and_then(|total| began.checked_add(total));
        let mut left = MAX_DISCARD;
        let mut eof = false;
        let mut pause = Pause::default();
        let mut scratch = Vec::new();
        loop {
            // mutant: the last Close frame stays unwritten
            let written = match sending.try_write(self) {
                Ok(Written::Over) => return,
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
            if until.is_zero() || left == 0 || eof && !blocked {
                break;
            }
            if eof {
                thread::sleep(until.min(pause.next()));
                continue;
            }
            let wait = if blocked { until.min(pause.next()) } else { until };
            let wait = limits.quiet.map_or(wait, |quiet| wait.min(quiet));
            scratch.resize(16 * 1024, 0);
            let until = Some(clock.now().saturating_add(wait));
            if !self.io.can_read_until(until) {
                break;
            }
            match self.io.read(&mut scratch, until) {
                Ok((count, Filled::Bytes)) => {
                    left = left.saturating_sub(count);
                    pause = Pause::default();
                }
                // The peer's end may not show, because the listener has ended the stream for reading.
                Ok((_, Filled::TimedOut)) if self.going_away.is_stopping() && !blocked => break,
                Ok((_, Filled::TimedOut)) if limits.quiet.is_some() && !blocked => break,
                Ok((_, Filled::TimedOut)) => {}
                Ok((_, Filled::Eof)) => eof = true,
                Ok((_, Filled::Reset)) | Err(_) => break,
            }
        }
        self.reset(sending);
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
