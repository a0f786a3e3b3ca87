use crate::{Config, Instant};

/// Deadlines of an open connection. They are computed when asked for, from the points at which
/// something happened last: to note those costs a store, not a look at a clock.
#[derive(Debug)]
pub(super) struct Timers {
    ping_interval: u32,
    pong_timeout: u32,
    idle_timeout: u32,
    close_timeout: u32,
    now: Instant,
    last_received: Instant,
    last_data: Instant,
    /// When the keepalive Ping went out that nothing has followed yet.
    ping_sent: Option<Instant>,
    /// The deadline of the Pong, and that of the next data, were put off.
    spared: bool,
    idle_spared: bool,
    close_started: Option<Instant>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    Idle,
    Lost,
    GiveUp,
}

impl Timers {
    pub(super) const fn new(config: &Config) -> Self {
        let start = Instant::from_millis(0);
        Self {
            ping_interval: config.ping_interval,
            pong_timeout: config.pong_timeout,
            idle_timeout: config.idle_timeout,
            close_timeout: config.close_timeout,
            now: start,
            last_received: start,
            last_data: start,
            ping_sent: None,
            spared: false,
            idle_spared: false,
            close_started: None,
        }
    }

    /// The connection opens at `now`.
    pub(super) fn start(&mut self, now: Instant) {
        (self.now, self.last_received, self.last_data) = (now, now, now);
    }

    pub(super) fn set_now(&mut self, now: Instant) {
        self.now = now;
    }

    #[inline]
    pub(super) fn received(&mut self, data: bool) {
        self.last_received = self.now;
        self.ping_sent = None;
        self.spared = false;
        if data {
            self.sent_data();
        }
    }

    /// The peer takes what lies before a Ping or Close frame, which it cannot answer yet.
    #[cfg(feature = "endpoint")]
    pub(super) fn taken(&mut self) {
        self.received(false);
        if self.close_started.is_some() {
            self.close_started = Some(self.now);
        }
    }

    #[inline]
    pub(super) fn sent_data(&mut self) {
        self.last_data = self.now;
        self.idle_spared = false;
    }

    /// Some of a payload has been written. Until it ends, neither a Ping nor a Close frame can go out.
    #[inline]
    pub(super) fn sent_payload(&mut self, ping_waits: bool) {
        self.sent_data();
        if ping_waits {
            self.sent_ping();
        }
        if self.close_started.is_some() {
            self.close_started = Some(self.now);
        }
    }

    /// The keepalive Ping goes out.
    #[inline]
    pub(super) fn sent_ping(&mut self) {
        if self.ping_sent.is_some() {
            self.ping_sent = Some(self.now);
            self.spared = false;
        }
    }

    /// A Close frame was sent or received; the first one counts.
    pub(super) fn closing(&mut self) {
        if self.close_started.is_none() {
            self.close_started = Some(self.now);
        }
    }

    pub(super) fn handle(&mut self, now: Instant) -> Due {
        self.now = now;
        let due =
            |since: Instant, timeout: u32| timeout != 0 && since.plus_millis(timeout).has_come(now);
        if let Some(started) = self.close_started {
            return if due(started, self.close_timeout) { Due::GiveUp } else { Due::Nothing };
        }
        if let Some(sent) = self.ping_sent {
            if due(sent, self.pong_timeout) {
                match put_off(sent, self.pong_timeout, now, &mut self.spared) {
                    Some(later) => self.ping_sent = Some(later),
                    None => return Due::Lost,
                }
            }
        }
        if due(self.last_data, self.idle_timeout) {
            match put_off(self.last_data, self.idle_timeout, now, &mut self.idle_spared) {
                Some(later) => self.last_data = later,
                None => return Due::Idle,
            }
        }
        if self.ping_sent.is_none() && due(self.last_received, self.ping_interval) {
            self.ping_sent = Some(now);
            return Due::Ping;
        }
        Due::Nothing
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let at = |since: Instant, timeout: u32| (timeout != 0).then(|| since.plus_millis(timeout));
        if let Some(started) = self.close_started {
            return at(started, self.close_timeout);
        }
        let alive = match self.ping_sent {
            Some(sent) => at(sent, self.pong_timeout),
            None => at(self.last_received, self.ping_interval),
        };
        match (alive, at(self.last_data, self.idle_timeout)) {
            (Some(a), Some(b)) => Some(earlier(a, b, self.now)),
            (a, b) => a.or(b),
        }
    }
}

/// A driver that looks late was away, and what it waits for may lie in the stream: once, it gets an eighth
/// more to read that, at most a second. Gives the point from which the time-out counts then.
fn put_off(since: Instant, timeout: u32, now: Instant, spared: &mut bool) -> Option<Instant> {
    if core::mem::replace(spared, true) || now == since.plus_millis(timeout) {
        return None;
    }
    let more = (timeout / 8).min(1000);
    Some(now.plus_millis(more.wrapping_sub(timeout)))
}

/// The point that comes first, seen from `now`; one that has passed comes before all others.
pub(crate) fn earlier(a: Instant, b: Instant, now: Instant) -> Instant {
    if a.millis_since(now) <= b.millis_since(now) { a } else { b }
}
