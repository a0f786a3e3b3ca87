//! Where a connection stands between its opening and its end: who closed, what was sent, what is awaited,
//! and when the stream may be dropped (RFC 6455 §7.1).
//!
//! This is the only place that knows. [`Sender`](super::Sender) owns it, because most of it is about what
//! is still to be sent; the receiving half reports to the sender.

use super::timers::Stage;
use crate::{CloseCode, Role, SHORT_CUTS};

#[derive(Debug)]
pub(crate) struct Ending {
    role: Role,
    /// What [`can_send`](Self::can_send) says, noted whenever it may change: it is asked for each message.
    open: bool,
    state: ConnectionState,
    /// Our Close frame.
    close: CloseFrameState,
    /// The peer's Close frame has been parsed.
    peer_closed: bool,
    /// The connection has failed: a Close frame says why, and the peer's is not awaited.
    failed: bool,
    /// Our Close frame was sent before the peer's had come.
    closed_first: bool,
    /// The stream has taken all of our Close frame.
    close_written: bool,
    /// The connection or its stream had failed before the Close frames had gone both ways.
    unclean: bool,
    /// The driver was told to write what was encoded, our Close frame included.
    told_to_write: bool,
    /// The peer was found not to answer a Ping.
    lost: bool,
    stream: StreamState,
    shutdown: ShutdownState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionState {
    /// The opening handshake is not complete.
    #[cfg(feature = "endpoint")]
    Opening,
    /// A request waits for its answer.
    #[cfg(feature = "endpoint")]
    Asked,
    /// So does one whose client has ended its side of the stream.
    #[cfg(feature = "endpoint")]
    HalfClosed,
    /// The WebSocket is open, or was.
    Open,
    /// There is none, and there will be none: an HTTP response was the last, or nothing can be sent.
    #[cfg(feature = "endpoint")]
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseFrameState {
    No,
    /// It follows messages that wait to be sent.
    #[cfg(feature = "endpoint")]
    Queued,
    Due(CloseCode),
    Sent(CloseCode),
}

/// What has become of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamState {
    Open,
    /// The peer has ended it.
    Ended,
    /// The peer did not answer a Ping; what is left is written as far as it takes that.
    Lost,
    /// The peer is not waited for any longer, and nothing more is written.
    GivenUp,
    /// It has failed: nothing can be written.
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShutdownState {
    No,
    /// It was told for the last time.
    Tried,
    Confirmed,
}

/// What is left to do when nothing waits to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Shut down the write side of the stream.
    Shutdown,
    /// The same, without waiting for it: it is tried once.
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

    /// The code of our Close frame, once it is encoded.
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

    /// Whether the stream has ended, or is not waited for any longer.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.stream != StreamState::Open
    }

    /// Whether what waits to be written is of no use any more.
    #[inline]
    pub(crate) fn drops_output(&self) -> bool {
        matches!(self.stream, StreamState::GivenUp | StreamState::Reset)
    }

    /// Whether the peer's Close frame has come, or the connection has failed: what of our messages was not
    /// begun is not sent any more.
    #[cfg(feature = "endpoint")]
    pub(crate) const fn cuts_messages(&self) -> bool {
        self.peer_closed || self.failed
    }

    /// A Close frame with this code is owed, unless one was sent.
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

    /// The stream is in this state from now on; the first end counts, but giving up and a reset come after it.
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

    /// Whether the peer was found not to answer a Ping, whatever has become of the stream since.
    pub(crate) const fn is_lost(&self) -> bool {
        self.lost
    }

    /// The stream has taken all that was to be written.
    #[inline]
    pub(crate) fn all_written(&mut self) {
        if self.sent_close().is_some() && !self.drops_output() {
            self.close_written = true;
        }
    }

    /// The driver is told to write all that was encoded. When it asks again it has done so.
    pub(crate) fn tell_to_write(&mut self) {
        self.told_to_write = self.sent_close().is_some();
    }

    /// The driver asks again.
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

    /// What is left to do when nothing waits to be written.
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

    /// Whether it is this side's turn to end the stream: a server's when Close frames went both ways, a
    /// client's when the server has ended it, and either's after a failure (RFC 6455 §7.1.1, §7.1.7).
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
