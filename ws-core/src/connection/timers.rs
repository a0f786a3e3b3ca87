//! The time-outs of a connection, in one list of deadlines.
//!
//! An event only sets a *mark*, which is one bit. The marks become times the next time that the driver's clock is read.
//! Sending and receiving therefore never read a clock, and no time-out counts from a time that was read long before the
//! event. [`Sender`](super::Sender) owns the timers and is the only one that acts on a passed deadline.

#[cfg(feature = "endpoint")]
use core::time::Duration;

use crate::{Config, Instant};

/// Bytes have arrived.
const RECEIVED: u8 = 1;
/// A data frame was sent or received.
const DATA: u8 = 1 << 1;
/// The keepalive Ping was sent.
const PING: u8 = 1 << 2;
/// The closing handshake began, or the peer took some of the output that precedes its end.
const CLOSING: u8 = 1 << 3;
/// Output was written.
#[cfg(feature = "endpoint")]
const WRITTEN: u8 = 1 << 4;
/// All output was written.
#[cfg(feature = "endpoint")]
const EMPTIED: u8 = 1 << 5;
/// The clock has not been read yet.
const UNSTARTED: u8 = 1 << 6;

/// All of these bits are set in `graces` while the deadline for the Pong is postponed. Each of the marks allows it to
/// be postponed again.
const PONG_GRACE: u8 = RECEIVED | PING;
/// The same for the deadline for the next data frame.
const IDLE_GRACE: u8 = DATA;

/// The clock may seem to go back by this much when two threads read it, in milliseconds.
const SKEW: u32 = 60_000;
/// The longest time by which a deadline is postponed, in milliseconds. It is also the longest time after which written
/// output proves that the peer reads.
const MAX_SHARE: u32 = 1000;

#[derive(Debug)]
pub(crate) struct Timers {
    ping_interval: u32,
    pong_timeout: u32,
    idle_timeout: u32,
    close_timeout: u32,
    #[cfg(feature = "endpoint")]
    opening_timeout: u32,
    /// The time at which the clock was last read.
    now: Instant,
    received: Instant,
    data: Instant,
    closing: Instant,
    is_closing: bool,
    marks: u8,
    graces: u8,
    /// The stage whose deadlines were checked since the clock was last read, if none of them had passed. Later events
    /// can only have moved them further away.
    looked: Option<Stage>,
    /// When the keepalive Ping was sent, if nothing has arrived since.
    ping: Option<Instant>,
    /// Since when there has been unwritten output without a break.
    #[cfg(feature = "endpoint")]
    backlog: Option<Instant>,
}

/// The part of a connection's life, which decides what deadlines run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The opening handshake is being received.
    #[cfg(feature = "endpoint")]
    Opening,
    /// A request waits for the application's answer.
    #[cfg(feature = "endpoint")]
    Answering,
    /// Messages can go both ways.
    Open,
    /// The connection is waiting for the peer to do its part of the closing handshake.
    Closing,
    /// The stream has ended, and only output is left.
    Draining,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The opening handshake has taken too long.
    #[cfg(feature = "endpoint")]
    Opening,
    Ping,
    /// No data frame was sent or received for too long.
    Idle,
    /// No Pong has arrived in time.
    Lost,
    /// The peer has not done its part of the closing handshake in time, or has not taken the remaining output.
    GiveUp,
}

impl Timers {
    pub(crate) const fn new(config: &Config) -> Self {
        let start = Instant::from_millis(0);
        Self {
            ping_interval: config.ping_interval,
            pong_timeout: config.pong_timeout,
            idle_timeout: config.idle_timeout,
            close_timeout: config.close_timeout,
            #[cfg(feature = "endpoint")]
            opening_timeout: 0,
            now: start,
            received: start,
            data: start,
            closing: start,
            is_closing: false,
            marks: RECEIVED | DATA | UNSTARTED,
            graces: 0,
            looked: None,
            ping: None,
            #[cfg(feature = "endpoint")]
            backlog: None,
        }
    }

    #[cfg(feature = "endpoint")]
    pub(crate) const fn set_opening_timeout(&mut self, millis: u32) {
        self.opening_timeout = millis;
    }

    /// The connection opens, and its time-outs start.
    #[cfg(feature = "endpoint")]
    pub(crate) fn opened(&mut self) {
        self.marks |= RECEIVED | DATA;
    }

    #[inline]
    pub(crate) fn received(&mut self, data: bool) {
        self.marks |= if data { RECEIVED | DATA } else { RECEIVED };
    }

    #[inline]
    pub(crate) fn sent_data(&mut self) {
        self.marks |= DATA;
    }

    /// Part of a payload was written. Neither a Ping nor a Close frame can be sent before its end.
    #[inline]
    pub(crate) fn sent_payload(&mut self, ping_waits: bool) {
        // The mark `CLOSING` has no effect before closing begins.
        self.marks |= DATA | CLOSING;
        if ping_waits {
            self.marks |= PING;
        }
    }

    pub(crate) fn sent_ping(&mut self) {
        self.marks |= PING;
    }

    /// Closing begins. Only the first call has an effect.
    pub(crate) fn begin_closing(&mut self) {
        if !self.is_closing {
            self.restart_closing();
        }
    }

    /// Only output is left. The time for it is what remains of the close time-out, or a time-out that starts here.
    pub(crate) fn begin_draining(&mut self) {
        if !self.is_closing || self.close_timeout == 0 {
            self.restart_closing();
        }
    }

    /// Closing has reached another step, which has a time-out of its own.
    pub(crate) fn restart_closing(&mut self) {
        self.is_closing = true;
        self.marks |= CLOSING;
    }

    /// The stream has accepted output. `all` is whether no output is left.
    #[cfg(feature = "endpoint")]
    #[inline]
    pub(crate) fn written(&mut self, all: bool) {
        self.marks |= if all { WRITTEN | EMPTIED } else { WRITTEN };
    }

    /// The clock was read.
    pub(crate) fn answer(&mut self, now: Instant) {
        if now != self.now {
            self.looked = None;
        }
        let back = self.now.millis_since(now);
        let unstarted = self.marks & UNSTARTED != 0;
        if unstarted || back == 0 || back > SKEW {
            self.now = now;
        }
        if back > SKEW {
            // The clock has wrapped, so elapsed times are not known any more. All time-outs start again.
            self.marks |= RECEIVED | DATA | CLOSING;
            #[cfg(feature = "endpoint")]
            {
                self.backlog = None;
            }
        }
    }

    /// Notes what was written since the clock was last read. Returns whether output was already waiting at that time,
    /// and none of it has been written since. `waiting` says whether there is output now, and `is_open` whether the
    /// connection is open.
    #[cfg(feature = "endpoint")]
    pub(crate) fn look_at_output(&mut self, waiting: bool, is_open: impl FnOnce() -> bool) -> bool {
        let written = self.marks & WRITTEN != 0;
        let since = self.backlog;
        if written && since.is_some_and(|since| self.now.millis_since(since) >= self.share()) {
            // The peer reads. It cannot yet answer what is further back in the output, so its silence does not count
            // against it.
            self.marks |= if is_open() { RECEIVED | DATA } else { RECEIVED };
            if self.is_closing {
                self.marks |= CLOSING;
            }
        }
        self.backlog = match since {
            _ if !waiting => None,
            Some(since) if self.marks & EMPTIED == 0 => Some(since),
            _ => Some(self.now),
        };
        since.is_some() && !written
    }

    /// Turns the marks into times.
    #[inline]
    pub(crate) fn apply(&mut self) {
        let marks = core::mem::take(&mut self.marks);
        if marks != 0 {
            self.apply_marks(marks);
        }
    }

    fn apply_marks(&mut self, marks: u8) {
        self.graces &= !marks;
        if marks & PING != 0 && self.ping.is_some() {
            self.ping = Some(self.now);
        }
        if marks & RECEIVED != 0 {
            self.received = self.now;
            self.ping = None;
        }
        if marks & DATA != 0 {
            self.data = self.now;
        }
        if marks & CLOSING != 0 {
            self.closing = self.now;
        }
    }

    /// Returns what is due at the time of the clock. A Ping is returned only if nothing else is due, too. The deadlines
    /// for the Pong and for data are postponed once if the driver calls late or if received bytes are `unparsed`, because
    /// the awaited frame may have arrived.
    #[inline]
    pub(crate) fn due(&mut self, stage: Stage, unparsed: bool) -> Option<Due> {
        if self.looked == Some(stage) {
            return None;
        }
        let due = self.find_due(stage, unparsed);
        self.looked = if due.is_none() { Some(stage) } else { None };
        due
    }

    #[inline(never)]
    fn find_due(&mut self, stage: Stage, unparsed: bool) -> Option<Due> {
        let now = self.now;
        let mut found = None;
        while let Some((due, at)) =
            self.find(stage, |due, at| at.has_come(now).then_some((due, at)))
        {
            if self.put_off(due, at, unparsed) {
                continue;
            }
            found = Some(due);
            if due != Due::Ping {
                break;
            }
            self.ping = Some(now);
        }
        found
    }

    /// Returns the next deadline.
    pub(crate) fn next(&self, stage: Stage) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let _: Option<()> = self.find(stage, |_, at| {
            let is_first =
                next.is_none_or(|next| at.millis_since(self.now) < next.millis_since(self.now));
            if is_first {
                next = Some(at);
            }
            None
        });
        next
    }

    /// Returns when an open connection has to send a keepalive Ping. The next deadline of a driver that only writes is
    /// this one, because such a driver does not decide that the peer is lost.
    #[cfg(feature = "endpoint")]
    pub(crate) fn next_ping(&self) -> Option<Instant> {
        let at = self.received.plus_millis(self.ping_interval);
        (self.ping_interval != 0 && self.ping.is_none()).then_some(at)
    }

    /// Returns whether a keepalive Ping is due. If it is, the caller sends it.
    #[cfg(feature = "endpoint")]
    pub(crate) fn ping_is_due(&mut self) -> bool {
        let due = self.next_ping().is_some_and(|at| at.has_come(self.now));
        if due {
            self.ping = Some(self.now);
        }
        due
    }

    #[cfg(feature = "endpoint")]
    pub(crate) fn close_timeout(&self) -> Option<Duration> {
        let millis = u64::from(self.close_timeout);
        (millis != 0).then(|| Duration::from_millis(millis))
    }

    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// Passes each running deadline to `pick` until `pick` returns a value.
    #[inline]
    fn find<T>(&self, stage: Stage, mut pick: impl FnMut(Due, Instant) -> Option<T>) -> Option<T> {
        let mut look = |due: Due, since: Instant, timeout: u32| {
            if timeout != 0 { pick(due, since.plus_millis(timeout)) } else { None }
        };
        match stage {
            #[cfg(feature = "endpoint")]
            Stage::Opening => look(Due::Opening, self.data, self.opening_timeout),
            #[cfg(feature = "endpoint")]
            Stage::Answering => None,
            Stage::Open => {
                let alive = match self.ping {
                    Some(sent) => look(Due::Lost, sent, self.pong_timeout),
                    None => look(Due::Ping, self.received, self.ping_interval),
                };
                alive.or_else(|| look(Due::Idle, self.data, self.idle_timeout))
            }
            Stage::Closing => look(Due::GiveUp, self.closing, self.close_timeout),
            Stage::Draining => {
                let timeout =
                    if self.close_timeout != 0 { self.close_timeout } else { self.pong_timeout };
                look(Due::GiveUp, self.closing, timeout)
            }
        }
    }

    /// Postpones a deadline that has passed by an eighth of its time-out, at most a second, and returns whether it did.
    /// It does not postpone the same deadline again until something has arrived.
    fn put_off(&mut self, due: Due, at: Instant, unparsed: bool) -> bool {
        let (grace, timeout, since) = match due {
            Due::Lost => (PONG_GRACE, self.pong_timeout, &mut self.received),
            Due::Idle => (IDLE_GRACE, self.idle_timeout, &mut self.data),
            _ => return false,
        };
        if self.graces & grace == grace || at == self.now && !unparsed {
            return false;
        }
        self.graces |= grace;
        let later = self.now.plus_millis((timeout / 8).min(MAX_SHARE).wrapping_sub(timeout));
        if due == Due::Lost {
            self.ping = Some(later);
        } else {
            *since = later;
        }
        true
    }

    /// How long output has to have been waiting before a write counts as a sign of life, in milliseconds: an eighth of
    /// the shorter of the time-outs for the Pong and for closing.
    #[cfg(feature = "endpoint")]
    fn share(&self) -> u32 {
        let shorter = match (self.pong_timeout, self.close_timeout) {
            (0, other) | (other, 0) => other,
            (pong, close) => pong.min(close),
        };
        if shorter == 0 { MAX_SHARE } else { (shorter / 8).clamp(1, MAX_SHARE) }
    }
}
