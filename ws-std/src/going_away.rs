//! When a connection sends a Close frame with 1001, "going away" (RFC 6455 §7.4.1), because its listener shuts down.
//!
//! The messages that came before the shutdown are read and answered first, within a time limit. The reader checks
//! this before each message, because a busy reader may never wait.

use std::sync::Arc;
use std::time::Instant;

use crate::registry::ConnectionSlot;

#[derive(Debug)]
pub(crate) struct GoingAway {
    slot: Option<Arc<ConnectionSlot>>,
    /// Whether everything that came before the shutdown has been read.
    is_drained: bool,
    /// The time limit for that.
    drain_until: Option<Instant>,
    /// The time limit for another thread that has more to send before it starts the closing handshake.
    deferred_until: Option<Instant>,
    /// Whether this side has started the closing handshake because of the shutdown.
    is_started: bool,
}

impl GoingAway {
    /// Returns the value for a connection without a listener.
    pub(crate) const fn none() -> Self {
        Self {
            slot: None,
            is_drained: false,
            drain_until: None,
            deferred_until: None,
            is_started: false,
        }
    }

    pub(crate) fn of(slot: Arc<ConnectionSlot>) -> Self {
        Self { slot: Some(slot), ..Self::none() }
    }

    /// Notes that a read has found nothing more.
    pub(crate) fn drained(&mut self) {
        self.is_drained = true;
    }

    /// Notes that the closing handshake was started because of the shutdown.
    pub(crate) fn started(&mut self) {
        self.is_started = true;
    }

    /// Returns whether the listener is shutting down or has shut down.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.is_started || self.drain_until.is_some() || self.is_stopping()
    }

    /// Returns whether it is time to start the closing handshake. `defer_close` may arrange that another thread starts it behind
    /// the output that waits, and returns whether it does. That thread then has a time limit, too.
    pub(crate) fn is_due(&mut self, defer_close: impl FnOnce() -> bool) -> bool {
        if self.drain_until.is_none() {
            if !self.is_stopping() {
                return false;
            }
            self.drain_until = self.deadline();
        }
        let now = Instant::now();
        if !self.is_drained && self.drain_until.is_some_and(|by| by > now) {
            return false;
        }
        if self.deferred_until.is_none() {
            let until = if defer_close() { self.deadline() } else { None };
            self.deferred_until = Some(until.unwrap_or(now));
        }
        self.deferred_until.is_some_and(|by| by <= now)
    }

    /// Returns whether the listener is shutting down, so that this connection has to be closed.
    #[inline]
    pub(crate) fn is_stopping(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.is_stopping())
    }

    /// Returns whether a message that begins now comes too late to be answered. If the application itself has started the closing
    /// handshake before, this is `false`, so that it can read the peer's last messages.
    pub(crate) fn is_started(&self) -> bool {
        self.is_started
    }

    /// Returns the time limit of what comes before the Close frame.
    fn deadline(&self) -> Option<Instant> {
        let time = self.slot.as_ref().map(|slot| slot.time_to_finish());
        time.and_then(|time| Instant::now().checked_add(time))
    }
}
