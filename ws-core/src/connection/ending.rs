//! How the sending half comes to its end: time-outs, the closing handshake, advice for the driver.

use super::State;
use super::sender::Sender;
use super::timers::Due;
use crate::{CloseCode, Instant, Role};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    No,
    Due(CloseCode),
    Sent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    No,
    Eof,
    Lost,
    GivenUp,
}

impl Sender {
    /// Tells the timers that bytes have arrived, and whether data was among them: after each call of
    /// [`Receiver::receive`](super::Receiver::receive) that has taken some. See
    /// [`Connection::split`](crate::Connection::split).
    #[inline]
    pub fn received(&mut self, data: bool) {
        self.timers.received(data);
    }

    /// Tells the timers that the connection opens at `now`; without it, it has opened at the origin.
    pub fn opened(&mut self, now: Instant) {
        self.timers.start(now);
    }

    /// As [`Connection::set_now`](crate::Connection::set_now).
    pub fn set_now(&mut self, now: Instant) {
        self.timers.set_now(now);
    }

    /// As [`Connection::poll_timeout`](crate::Connection::poll_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.end == End::No { self.timers.next() } else { None }
    }

    /// As [`Connection::handle_timeout`](crate::Connection::handle_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.end != End::No {
            return;
        }
        match self.timers.handle(now) {
            Due::Nothing => {}
            Due::Ping => self.ping_due = true,
            Due::Idle => self.close_due(CloseCode::GOING_AWAY),
            Due::Lost => {
                self.failed = true;
                self.close_due(CloseCode::INTERNAL_ERROR);
                self.end = End::Lost;
            }
            Due::GiveUp => self.end = End::GivenUp,
        }
    }

    /// Tells that the stream has ended, or was given up. The receiving half is told by
    /// [`Receiver::end`](super::Receiver::end).
    pub fn end(&mut self) {
        if self.end == End::No {
            self.end = End::Eof;
        }
    }

    /// As [`Connection::state`](crate::Connection::state).
    #[must_use]
    pub fn state(&self) -> State {
        let sent = self.close == Close::Sent;
        if self.end != End::No || sent && (self.peer_closed || self.failed) {
            State::Closed
        } else if self.close != Close::No || self.peer_closed || self.failed {
            State::Closing
        } else {
            State::Open
        }
    }

    /// As [`Connection::wants_shutdown`](crate::Connection::wants_shutdown).
    #[must_use]
    pub fn wants_shutdown(&self) -> bool {
        if matches!(self.close, Close::Due(_)) && self.end != End::GivenUp {
            return false;
        }
        self.end != End::No
            || self.close == Close::Sent
                && (self.failed || self.peer_closed && self.role == Role::Server)
    }

    /// As [`Connection::is_finished`](crate::Connection::is_finished).
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.end != End::No
    }

    /// As [`Connection::is_lost`](crate::Connection::is_lost).
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.end == End::Lost
    }

    /// The peer has taken some of what waits before the last frame.
    #[cfg(feature = "endpoint")]
    pub(crate) fn taken(&mut self, now: Instant) {
        self.timers.set_now(now);
        self.timers.taken();
    }

    /// Whether the peer was not waited for any longer.
    #[cfg(feature = "endpoint")]
    pub(crate) fn is_given_up(&self) -> bool {
        self.end == End::GivenUp
    }

    /// As [`Connection::closed_first`](crate::Connection::closed_first).
    #[must_use]
    pub fn closed_first(&self) -> bool {
        self.closed_first
    }
}
