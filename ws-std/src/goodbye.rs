//! When a connection sends its Close frame (1001) because its listener shuts down.
//!
//! The messages that came before the shutdown are read and answered first, within a time limit. A reader looks
//! here before each message, because a busy reader may never wait.

use std::sync::Arc;
use std::time::Instant;

use crate::registry::Place;

#[derive(Debug)]
pub(crate) struct Goodbye {
    place: Option<Arc<Place>>,
    /// All that had come before the listener shut down was read.
    caught_up: bool,
    /// Until when there is time for that.
    by: Option<Instant>,
    /// This side has started the closing handshake for it.
    said: bool,
    /// Until when others may say it, who have more to send first.
    left_to_others: Option<Instant>,
}

impl Goodbye {
    /// Of a connection that no listener has accepted.
    pub(crate) const fn none() -> Self {
        Self { place: None, caught_up: false, by: None, said: false, left_to_others: None }
    }

    pub(crate) fn of(place: Arc<Place>) -> Self {
        Self { place: Some(place), ..Self::none() }
    }

    /// Whether the listener shuts down, and this connection has to be closed.
    pub(crate) fn is_stopping(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.is_stopping())
    }

    /// A read has found nothing more.
    pub(crate) fn caught_up(&mut self) {
        self.caught_up = true;
    }

    /// The closing handshake was started because the listener shuts down.
    pub(crate) fn was_said(&mut self) {
        self.said = true;
    }

    /// Whether a message that begins now comes too late, because it cannot be answered any more. The last messages of
    /// a connection whose application has closed it before belong to that application.
    pub(crate) fn is_over(&self) -> bool {
        self.said
    }

    /// Whether it is time to say goodbye. `others` may see to it that the closing handshake is started,
    /// after what waits to be sent, and returns whether it does; it has a time for that.
    pub(crate) fn is_due(&mut self, others: impl FnOnce() -> bool) -> bool {
        if self.by.is_none() {
            if !self.is_stopping() {
                return false;
            }
            self.by = self.deadline();
        }
        let now = Instant::now();
        if !self.caught_up && self.by.is_some_and(|by| by > now) {
            return false;
        }
        if self.left_to_others.is_none() {
            let time = if others() { self.deadline() } else { None };
            self.left_to_others = Some(time.unwrap_or(now));
        }
        self.left_to_others.is_some_and(|by| by <= now)
    }

    /// When what comes before the goodbye has had its time.
    fn deadline(&self) -> Option<Instant> {
        let time = self.place.as_ref().map(|place| place.time_to_finish());
        time.and_then(|time| Instant::now().checked_add(time))
    }
}
