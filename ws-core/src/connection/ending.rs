//! The state of a connection from its opening to its end: who closed, what was sent, what is awaited, and when the
//! stream may be dropped (RFC 6455 §7.1).
//!
//! No other module keeps this state. [`Sender`](super::Sender) owns it, because most of it depends on what still has to
//! be sent. The receiving half reports to the sender.

use super::timers::Stage;
use crate::{CloseCode, Role, SHORT_CUTS};

#[derive(Debug)]
pub(crate) struct Ending {
    role: Role,
    /// The result of [`can_send`](Self::can_send), stored after each change because it is needed for each message.
    open: bool,
    state: ConnectionState,
    /// Our Close frame.
    close: CloseFrameState,
    /// Whether the peer's Close frame has been parsed.
    peer_closed: bool,
    /// Whether the connection has failed. Our Close frame then carries the reason, and the peer's is not awaited.
    failed: bool,
    /// Whether our Close frame was sent before the peer's arrived.
    closed_first: bool,
    /// Whether our Close frame has been written to the stream completely.
    close_written: bool,
    /// Whether the connection or its stream failed before Close frames had gone both ways.
    unclean: bool,
    /// Whether the driver was asked to write all encoded bytes, and our Close frame is among them.
    told_to_write: bool,
    /// Whether the peer has failed to answer a Ping in time.
    lost: bool,
    stream: StreamState,
    shutdown: ShutdownState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionState {
    /// The opening handshake is not complete.
    #[cfg(feature = "endpoint")]
    Opening,
    /// A request is waiting for the application's answer.
    #[cfg(feature = "endpoint")]
    Asked,
    /// As `Asked`, but the client has ended its side of the stream.
    #[cfg(feature = "endpoint")]
    HalfClosed,
    /// The opening handshake has succeeded. The WebSocket is open, or was.
    Open,
    /// There will be no WebSocket: an HTTP response was the last output, or nothing can be sent.
    #[cfg(feature = "endpoint")]
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseFrameState {
    No,
    /// It follows messages that are still to be sent.
    #[cfg(feature = "endpoint")]
    Queued,
    Due(CloseCode),
    Sent(CloseCode),
}

/// The state of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamState {
    Open,
    /// The peer has ended its side.
    Ended,
    /// The peer did not answer a Ping. The remaining output is still written, as long as the stream accepts it.
    Lost,
    /// The connection no longer waits for the peer, and nothing more is written.
    GivenUp,
    /// The stream has failed, so nothing can be written.
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShutdownState {
    No,
    /// The driver was asked for the last time.
    Tried,
    Confirmed,
}

/// What is left to do when there is no output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Shut down the write side of the stream.
    Shutdown,
    /// Shut it down without waiting. This is asked for once.
    LastShutdown,
    Wait,
    Done,
}

impl Ending {
    pub(crate) const fn new(role: Role) -> Self {
        Self {
            role,
            open: true,
            state: ConnectionState::Open,
            close: CloseFrameState::No,
            peer_closed: false,
            failed: false,
            closed_first: false,
            close_written: false,
            unclean: false,
            told_to_write: false,
            lost: false,
            stream: StreamState::Open,
            shutdown: ShutdownState::No,
        }
    }

    #[inline]
    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    #[cfg(feature = "endpoint")]
    pub(crate) const fn state(&self) -> ConnectionState {
        self.state
    }

    #[cfg(feature = "endpoint")]
    pub(crate) fn set_state(&mut self, state: ConnectionState) {
        self.state = state;
        self.note_open();
    }

    #[inline]
    pub(crate) const fn close(&self) -> CloseFrameState {
        self.close
    }

    /// The code of our Close frame, after it was encoded.
    pub(crate) const fn sent_close(&self) -> Option<CloseCode> {
        match self.close {
            CloseFrameState::Sent(code) => Some(code),
            _ => None,
        }
    }

    #[cfg(feature = "endpoint")]
    pub(crate) const fn stream(&self) -> StreamState {
        self.stream
    }

    pub(crate) const fn closed_first(&self) -> bool {
        self.closed_first
    }

    pub(crate) const fn is_clean(&self) -> bool {
        self.close_written && self.peer_closed && !self.unclean
    }

    /// Whether messages and Pings can be sent.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        debug_assert!(!SHORT_CUTS || self.open == self.can_send());
        if SHORT_CUTS { self.open } else { self.can_send() }
    }

    fn can_send(&self) -> bool {
        // mutant: frames before the handshake is over
        self.state == ConnectionState::Open
            && self.close == CloseFrameState::No
            && self.stream == StreamState::Open
            && !self.peer_closed
            && !self.failed
    }

    fn note_open(&mut self) {
        if SHORT_CUTS {
            self.open = self.can_send();
        }
    }

    /// Whether the stream has ended, or the connection no longer waits for the peer.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.stream != StreamState::Open
    }

    /// Whether the remaining output is to be dropped.
    #[inline]
    pub(crate) fn drops_output(&self) -> bool {
        matches!(self.stream, StreamState::GivenUp | StreamState::Reset)
    }

    /// Whether messages that have not been started must not be sent any more, because the peer's Close frame has
    /// arrived or the connection has failed.
    #[cfg(feature = "endpoint")]
    pub(crate) const fn cuts_messages(&self) -> bool {
        self.peer_closed || self.failed
    }

    /// Makes a Close frame with this code due, unless one is due or was sent already.
    pub(crate) fn close_due(&mut self, code: CloseCode) {
        let owed = match self.close {
            CloseFrameState::No => true,
            #[cfg(feature = "endpoint")]
            CloseFrameState::Queued => true,
            CloseFrameState::Due(_) | CloseFrameState::Sent(_) => false,
        };
        if owed && matches!(self.stream, StreamState::Open | StreamState::Ended) {
            // mutant: a Close frame is not answered
            self.close = CloseFrameState::Due(code);
            self.note_open();
        }
    }

    #[cfg(feature = "endpoint")]
    pub(crate) fn close_queued(&mut self) {
        self.close = CloseFrameState::Queued;
        self.note_open();
    }

    pub(crate) fn close_sent(&mut self, code: CloseCode) {
        self.close = CloseFrameState::Sent(code);
        self.closed_first = !self.peer_closed;
        self.note_open();
    }

    pub(crate) fn peer_closed(&mut self) {
        self.peer_closed = true;
        self.unclean |= self.drops_output();
        self.note_open();
    }

    pub(crate) fn failed(&mut self) {
        self.failed = true;
        self.unclean |= !(self.close_written && self.peer_closed);
        self.note_open();
    }

    /// Changes the state of the stream. The first end counts, except that `GivenUp` and `Reset` replace earlier ends.
    pub(crate) fn end(&mut self, stream: StreamState) {
        let more = match stream {
            StreamState::Reset => true,
            StreamState::GivenUp => self.stream != StreamState::Reset,
            _ => self.stream == StreamState::Open,
        };
        if more {
            self.stream = stream;
            self.lost |= stream == StreamState::Lost;
            self.note_open();
        }
    }

    /// Whether the peer has failed to answer a Ping in time, whatever the state of the stream is.
    pub(crate) const fn is_lost(&self) -> bool {
        self.lost
    }

    /// The stream has accepted all output.
    #[inline]
    pub(crate) fn all_written(&mut self) {
        if self.sent_close().is_some() && !self.drops_output() {
            self.close_written = true;
        }
    }

    /// The driver is asked to write all encoded bytes. It has done so when it calls again.
    pub(crate) fn tell_to_write(&mut self) {
        self.told_to_write = self.sent_close().is_some();
    }

    /// The driver has called again.
    pub(crate) fn asked(&mut self) {
        if self.told_to_write {
            self.all_written();
        }
    }

    pub(crate) const fn shut_down(&mut self) {
        self.shutdown = ShutdownState::Confirmed;
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.state {
            #[cfg(feature = "endpoint")]
            ConnectionState::Opening => Stage::Opening,
            #[cfg(feature = "endpoint")]
            ConnectionState::Asked => Stage::Answering,
            _ if self.has_ended() => Stage::Draining,
            ConnectionState::Open if self.is_open() => Stage::Open,
            _ => Stage::Closing,
        }
    }

    /// Returns what is left to do when there is no output.
    pub(crate) fn rest(&mut self) -> Rest {
        let ended = self.has_ended();
        if self.wants_shutdown() {
            if !ended {
                return Rest::Shutdown;
            }
            if self.shutdown == ShutdownState::No {
                self.shutdown = ShutdownState::Tried;
                return Rest::LastShutdown;
            }
        }
        if ended { Rest::Done } else { Rest::Wait }
    }

    /// Whether this side has to shut down its side of the stream. A server does so when Close frames have gone both
    /// ways, a client when the server has ended the stream, and either after a failure (RFC 6455 §7.1.1, §7.1.7).
    fn wants_shutdown(&self) -> bool {
        if self.shutdown == ShutdownState::Confirmed || self.stream == StreamState::Reset {
            return false;
        }
        #[cfg(feature = "endpoint")]
        if self.state == ConnectionState::Over {
            return true;
        }
        let said = self.sent_close().is_some();
        self.has_ended() || said && (self.failed || self.peer_closed && self.role == Role::Server)
    }
}
