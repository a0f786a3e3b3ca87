//! When a connection sends its Close frame with 1001, "going away" (RFC 6455 §7.4.1), because its listener shuts down.
//!
//! The messages that came before the shutdown are read and answered first, within a time limit. A reader looks
//! here before each message, because a busy reader may never wait.

use std::sync::Arc;
use std::time::Instant;

use crate::registry::ConnectionSlot;

#[derive(Debug)]
pub(crate) struct GoingAway {
    slot: Option<Arc<ConnectionSlot>>,
    /// All that had come before the listener shut down was read.
    is_drained: bool,
    /// Until when there is time for that.
    drain_until: Option<Instant>,
    /// Until when another may start the closing handshake, who has more to send first.
    deferred_until: Option<Instant>,
    /// This side has started the closing handshake because the listener shuts down.
    is_started: bool,
}

impl GoingAway {
    /// Of a connection that no listener has accepted.
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

    /// A read has found nothing more.
    pub(crate) fn drained(&mut self) {
        self.is_drained = true;
    }

    /// The closing handshake was started because the listener shuts down.
    pub(crate) fn started(&mut self) {
        self.is_started = true;
    }

    /// Whether the listener shuts down, or has.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.is_started || self.drain_until.is_some() || self.is_stopping()
    }

    /// Whether it is time to start the closing handshake. `defer_close` may see to it that it is started after
    /// what waits to be sent, and returns whether it does; it has a time for that.
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

    /// Whether the listener shuts down, and this connection has to be closed.
    #[inline]
    pub(crate) fn is_stopping(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.is_stopping())
    }

    /// Whether a message that begins now comes too late, because it cannot be answered any more. When the
    /// application has started the closing handshake before, the peer's last messages are for it to read.
    pub(crate) fn is_started(&self) -> bool {
        self.is_started
    }

    /// When what comes before the Close frame has had its time.
    fn deadline(&self) -> Option<Instant> {
        let time = self.slot.as_ref().map(|slot| slot.time_to_finish());
        time.and_then(|time| Instant::now().checked_add(time))
    }
}
