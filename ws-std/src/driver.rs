//! The read loop, in which an application's read waits.
//!
//! It serves a whole [`WebSocket`](crate::WebSocket) and, after `split`, the [`Reader`](crate::Reader). Before it
//! waits, it writes as much of the output as the stream accepts at once. While the stream accepts nothing, it tries
//! again after a pause. Reading never depends on that. When the connection is over or has failed, the read loop writes
//! the last output and shuts down the write side. The next read, or the drop of the socket, waits for the peer to end
//! the stream.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use ws_core::endpoint::{Endpoint, Event, Inbound, Next, Outbound};
use ws_core::handshake::HttpResponse;
use ws_core::{CloseCode, Message, SendError};

use crate::close::{CLOSE_TIMEOUT, CloseLimits, CloseUntil, Closing, READS_AT_ONCE};
use crate::error::{Deadline, Error, Result};
use crate::link::Link;
use crate::sending::{MAX_IDLE_WAIT, Pause, Sending, Written};
use crate::sync::shared::thread;
use crate::timed::{Filled, MIN_WAIT};
use crate::transport::Transport;

/// An endpoint on a stream.
#[derive(Debug)]
pub(crate) struct Driver<T> {
    pub(crate) endpoint: Endpoint,
    pub(crate) link: Link<T>,
    pub(crate) state: ReadState,
}

impl<T: Transport> Driver<T> {
    /// Returns a boxed driver, because a driver is large and moves from call to call.
    #[inline(never)]
    pub(crate) fn boxed(endpoint: Endpoint, link: Link<T>) -> Box<Self> {
        Box::new(Self { endpoint, link, state: ReadState::default() })
    }

    /// Returns whether a message can be returned at once, which is usual when many arrive together.
    #[inline]
    pub(crate) fn has_message(&mut self) -> bool {
        let Self { endpoint, link, .. } = self;
        !link.going_away.is_pending() && endpoint.inbound.has_message(&mut endpoint.outbound)
    }

    /// Writes all output.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.link.flush(&mut self.endpoint)
    }

    /// Waits until `deadline` for the next event other than a Ping or Pong. Returns `None` when the connection is over.
    pub(crate) fn event(&mut self, deadline: Option<ws_core::Instant>) -> Result<Option<Event>> {
        match self.read(deadline, false)? {
            Got::Event(event) => Ok(Some(event)),
            Got::Message | Got::Over => Ok(None),
        }
    }

    /// As [`event`](Self::event). If `lend` is set, a message is not returned but left to be lent.
    pub(crate) fn read(&mut self, deadline: Option<ws_core::Instant>, lend: bool) -> Result<Got> {
        self.reading(|mut reading| reading.event(deadline, lend))
    }

    /// Returns the next event of the opening handshake. It does not end the stream.
    pub(crate) fn opening_event(&mut self) -> Result<Option<Event>> {
        match self.reading(|mut reading| reading.next(None, false))? {
            Got::Event(event) => Ok(Some(event)),
            Got::Message | Got::Over => Ok(None),
        }
    }

    fn reading<R>(&mut self, read: impl FnOnce(Reading<'_, T, Outbound>) -> R) -> R {
        let Self { endpoint, link, state } = self;
        let Endpoint { inbound, outbound, .. } = endpoint;
        read(Reading { inbound, sending: outbound, link, state, defer_close: &|| false })
    }

    /// Ends the stream: writes the output, shuts down the write side if that is our part, and waits for the peer to end
    /// its side, within the limits of the closing handshake.
    pub(crate) fn finish(&mut self) {
        self.state.finish(&mut self.link, &mut self.endpoint.outbound, CloseLimits::default());
    }

    /// As [`finish`](Self::finish), within the closing time-out as a whole, even if the peer still takes output.
    fn finish_in_time(&mut self) {
        let Self { endpoint: Endpoint { outbound, .. }, link, state } = self;
        let total = Some(outbound.close_timeout().unwrap_or(CLOSE_TIMEOUT));
        state.finish(link, outbound, CloseLimits { total, ..CloseLimits::default() });
    }

    /// Ends the stream at once, without notifying the peer.
    pub(crate) fn reset(&mut self) {
        if !self.state.is_finished() {
            self.state.end = StreamEnd::Ended;
            self.link.reset(&mut self.endpoint.outbound);
        }
    }

    /// Tells the peer that this side has failed: with status 500 if a request waits for its answer, or else with a
    /// Close frame with 1011. It writes what the stream accepts at once, and waits for nothing.
    fn end_in_panic(&mut self) {
        let Self { endpoint: Endpoint { outbound, .. }, link, state } = self;
        // A write to a stream without time-outs might block for ever.
        if state.is_finished() || !link.io.can_read_until(Some(link.io.clock.now())) {
            return;
        }
        if outbound.start_close(CloseCode::INTERNAL_ERROR, "").is_err() {
            let _ = outbound.respond(&HttpResponse::new(500));
        }
        link.io.at_once = true;
        state.finish(link, outbound, CloseLimits { shut_down: true, ..CloseLimits::default() });
    }
}

/// The driver of a socket, or of a request that waits for its answer. If it is dropped after the end of the connection, it
/// ends the stream, which may wait for the peer. If it is dropped before, because its thread panics, it tells the peer.
#[derive(Debug)]
pub(crate) struct SocketDriver<T: Transport>(Option<Box<Driver<T>>>);

impl<T: Transport> SocketDriver<T> {
    pub(crate) fn new(driver: Box<Driver<T>>) -> Self {
        Self(Some(driver))
    }

    /// Returns the driver without ending the stream.
    #[cfg_attr(not(test), expect(clippy::expect_used, reason = "what takes it consumes this"))]
    pub(crate) fn into_inner(mut self) -> Box<Driver<T>> {
        self.0.take().expect("it is taken once")
    }
}

impl<T: Transport> Deref for SocketDriver<T> {
    type Target = Driver<T>;

    #[inline]
    #[cfg_attr(not(test), expect(clippy::expect_used, reason = "what takes it consumes this"))]
    fn deref(&self) -> &Driver<T> {
        self.0.as_deref().expect("it is taken only by value")
    }
}

impl<T: Transport> DerefMut for SocketDriver<T> {
    #[inline]
    #[cfg_attr(not(test), expect(clippy::expect_used, reason = "what takes it consumes this"))]
    fn deref_mut(&mut self) -> &mut Driver<T> {
        self.0.as_deref_mut().expect("it is taken only by value")
    }
}

impl<T: Transport> Drop for SocketDriver<T> {
    fn drop(&mut self) {
        match &mut self.0 {
            Some(driver) if driver.state.is_over() => driver.finish_in_time(),
            Some(driver) if thread::panicking() => driver.end_in_panic(),
            _ => {}
        }
    }
}

/// The state that the read loop keeps from one call to the next.
#[derive(Debug, Default)]
pub(crate) struct ReadState {
    end: StreamEnd,
    /// Whether the rest of a streamed message is skipped, because the message began too late or the application has
    /// dropped its reader.
    pub(crate) skipping: bool,
    /// The function that is called with the payload of each Pong.
    pub(crate) on_pong: Option<PongHook>,
    /// When to write again to a stream that accepted nothing. Reading does not wait for it.
    write_at: Option<Instant>,
    write_pause: Pause,
}

/// Calls `read` in a mode in which nothing waits. Calls it again while it has read bytes but has not returned a
/// message.
pub(crate) fn try_read<O, T: Transport>(
    owner: &mut O,
    link: fn(&mut O) -> &mut Link<T>,
    mut read: impl FnMut(&mut O) -> Result<Option<Message>>,
) -> Result<Option<Message>> {
    let io = &mut link(owner).io;
    if !io.can_read_until(Some(io.clock.now())) {
        return Err(io::Error::from(io::ErrorKind::Unsupported).into());
    }
    let owner = AtOnce::begin(owner, link);
    let mut result = Ok(None);
    // A long message takes several reads. The limit keeps a peer that sends without end from blocking the call.
    for _ in 0..READS_AT_ONCE {
        link(owner.owner).has_read = false;
        result = match read(owner.owner) {
            Err(Error::Timeout(Deadline::Read)) => Ok(None),
            result => result,
        };
        if !matches!(result, Ok(None)) || !link(owner.owner).has_read {
            break;
        }
    }
    result
}

/// Keeps a link from waiting until this is dropped, even if a hook of the application panics.
struct AtOnce<'o, O, T> {
    owner: &'o mut O,
    link: fn(&mut O) -> &mut Link<T>,
    read_timeout: Option<Duration>,
}

impl<'o, O, T> AtOnce<'o, O, T> {
    fn begin(owner: &'o mut O, link: fn(&mut O) -> &mut Link<T>) -> Self {
        let Link { io, read_timeout, .. } = link(owner);
        io.at_once = true;
        let read_timeout = read_timeout.replace(Duration::ZERO);
        Self { owner, link, read_timeout }
    }
}

impl<O, T> Drop for AtOnce<'_, O, T> {
    fn drop(&mut self) {
        let link = (self.link)(self.owner);
        link.io.at_once = false;
        link.read_timeout = self.read_timeout;
    }
}

/// The progress of ending the stream.
#[derive(Debug, Default)]
enum StreamEnd {
    #[default]
    No,
    /// The connection is over, but the peer may not have ended the stream yet.
    Closing(Closing),
    Ended,
}

impl ReadState {
    /// Ends the connection: writes the remaining output, and shuts down the write side if it is this side's turn.
    /// [`finish`](Self::finish) waits for the peer.
    pub(crate) fn end<T: Transport>(&mut self, link: &mut Link<T>, sending: &mut impl Sending) {
        let goal = if link.io.at_once { CloseUntil::Blocked } else { CloseUntil::Written };
        self.close(link, sending, CloseLimits::default(), goal);
    }

    /// Ends the stream, once.
    pub(crate) fn finish<T: Transport>(
        &mut self,
        link: &mut Link<T>,
        sending: &mut impl Sending,
        limits: CloseLimits,
    ) {
        let goal = if link.io.at_once { CloseUntil::Blocked } else { CloseUntil::Ended };
        self.close(link, sending, limits, goal);
    }

    fn close<T: Transport>(
        &mut self,
        link: &mut Link<T>,
        sending: &mut impl Sending,
        limits: CloseLimits,
        goal: CloseUntil,
    ) {
        if matches!(self.end, StreamEnd::No) {
            self.end = StreamEnd::Closing(Closing::begin());
        }
        if let StreamEnd::Closing(closing) = &mut self.end {
            if link.close(sending, closing, limits, goal) {
                self.end = StreamEnd::Ended;
            }
        }
    }

    /// Returns whether the connection is over, but the stream may not have ended.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.end, StreamEnd::Closing(_))
    }

    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.end, StreamEnd::Ended)
    }
}

/// The application's function for the payload of each Pong.
pub(crate) struct PongHook(pub(crate) Box<OnPong>);

type OnPong = dyn FnMut(&[u8]) + Send + Sync;

impl fmt::Debug for PongHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PongHook(..)")
    }
}

/// The result of reading.
#[derive(Debug)]
pub(crate) enum Got {
    Event(Event),
    /// A message, which [`Inbound::next_ref`] returns.
    Message,
    /// The connection is over.
    Over,
}

/// The receiving side of an endpoint, and everything else that the read loop needs.
pub(crate) struct Reading<'r, T, S> {
    pub(crate) inbound: &'r mut Inbound,
    pub(crate) sending: &'r mut S,
    pub(crate) link: &'r mut Link<T>,
    pub(crate) state: &'r mut ReadState,
    /// See [`GoingAway::is_due`](crate::going_away::GoingAway::is_due).
    pub(crate) defer_close: &'r dyn Fn() -> bool,
}

impl<T: Transport, S: Sending> Reading<'_, T, S> {
    /// Waits until `deadline` for the next event other than a Ping or Pong. If `lend` is set, a message is not returned
    /// but left to be lent. When the connection is over or has failed, it writes the last output, and shuts down the
    /// write side if it is this side's turn. The next call waits for the peer to end the stream.
    pub(crate) fn event(&mut self, deadline: Option<ws_core::Instant>, lend: bool) -> Result<Got> {
        if self.state.is_over() {
            self.state.finish(self.link, self.sending, CloseLimits::default());
            return Ok(Got::Over);
        }
        let result = match self.next(deadline, lend) {
            Ok(Got::Event(Event::Closed)) => Ok(Got::Over),
            result => result,
        };
        let ends = match &result {
            Ok(got) => matches!(got, Got::Over),
            Err(_) => self.inbound.failure().is_some(),
        };
        if ends {
            self.state.end(self.link, self.sending);
        }
        result
    }

    /// As [`event`](Self::event), but it does not end the stream.
    fn next(&mut self, deadline: Option<ws_core::Instant>, lend: bool) -> Result<Got> {
        let clock = self.link.io.clock;
        let mut late = false;
        loop {
            self.start_going_away();
            let Self { inbound, sending, link, .. } = self;
            let is_too_late = link.going_away.is_started();
            if lend && !is_too_late && sending.with(|out| inbound.has_message(out)) {
                return Ok(Got::Message);
            }
            let (until, room) = match sending.with(|out| inbound.next(out, || clock.now())) {
                Next::Event(event) => {
                    if self.is_wanted(&event) {
                        return Ok(Got::Event(event));
                    }
                    continue;
                }
                Next::Failed(error) => {
                    return Err(match inbound.handshake_failure() {
                        Some(failure) => Error::Handshake(Box::new(failure.clone())),
                        None => error.into(),
                    });
                }
                Next::Done => return Ok(Got::Over),
                Next::Wait { read, until } => (until, read.is_some()),
                // The receiving side returns nothing else.
                next => (next.until(), false),
            };
            if late {
                return Err(Error::Timeout(Deadline::Read));
            }
            let pause = self.write_what_waits()?.or_else(|| self.sending.recheck_interval());
            self.wait(until, deadline, pause, room)?;
            late = clock.is_past(deadline);
        }
    }

    /// Starts the closing handshake if the listener is shutting down and it is time to.
    fn start_going_away(&mut self) {
        if self.link.going_away.is_due(self.defer_close) {
            match self.sending.with(|out| out.start_close(CloseCode::GOING_AWAY, "")) {
                Ok(()) => self.link.going_away.started(),
                // Before the connection is open, no Close frame can be sent.
                Err(SendError::NotOpen) => self.inbound.receive_eof(),
                Err(_) => {}
            }
        }
    }

    fn is_wanted(&mut self, event: &Event) -> bool {
        let is_too_late = self.link.going_away.is_started();
        match event {
            Event::Ping(_) => false,
            Event::Pong(payload) => {
                if let Some(PongHook(call)) = &mut self.state.on_pong {
                    call(payload);
                }
                false
            }
            Event::Message(_) => !is_too_late,
            Event::Chunk { start, end, .. } => {
                let skip = self.state.skipping || *start && is_too_late;
                self.state.skipping = skip && !*end;
                !skip
            }
            _ => true,
        }
    }

    /// Writes as much output as the stream accepts at once. Returns the pause after which to try again, if any. It does
    /// not try with each read, because even a short wait for a write slows down a peer that only sends.
    fn write_what_waits(&mut self) -> Result<Option<Duration>> {
        if let Some(at) = self.state.write_at {
            let left = at.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Ok(Some(left));
            }
        }
        let written = match self.sending.try_write(self.link) {
            Ok(written) => written,
            // A peer that has gone may have sent something before, so reading goes on.
            Err(Error::Io(_)) => Written::Over,
            Err(error) => return Err(error),
        };
        let state = &mut self.state;
        state.write_at = None;
        if written != Written::Nothing {
            state.write_pause = Pause::default();
        }
        match written {
            Written::All | Written::Over => Ok(None),
            // Other threads may leave output that they cannot write, and nothing would wake a read then.
            Written::Others => Ok(Some(MAX_IDLE_WAIT)),
            Written::Part | Written::Nothing => {
                let pause = state.write_pause.next();
                state.write_at = Instant::now().checked_add(pause);
                Ok(Some(pause))
            }
        }
    }

    /// Waits for something to read, until the earliest of these times.
    fn wait(
        &mut self,
        until: Option<ws_core::Instant>,
        deadline: Option<ws_core::Instant>,
        pause: Option<Duration>,
        room: bool,
    ) -> Result<()> {
        let Self { inbound, sending, link, .. } = self;
        let now = link.io.clock.now();
        let pause = pause.map(|pause| now.saturating_add(pause));
        let until = earlier(earlier(until, deadline, now), pause, now);
        if link.io.at_once && !room {
            return Ok(());
        }
        if !room {
            let left = until.map_or(MAX_IDLE_WAIT, |until| until.saturating_since(now));
            thread::sleep(left.clamp(MIN_WAIT, MAX_IDLE_WAIT));
            return Ok(());
        }
        match link.fill(inbound, until)? {
            Filled::Eof if link.has_write_failed() => sending.with(Outbound::receive_reset),
            Filled::Eof => inbound.receive_eof(),
            Filled::Reset => sending.with(Outbound::receive_reset),
            Filled::Bytes | Filled::TimedOut => {}
        }
        Ok(())
    }
}

/// The earlier of two points in time, as seen from `now`.
fn earlier(
    a: Option<ws_core::Instant>,
    b: Option<ws_core::Instant>,
    now: ws_core::Instant,
) -> Option<ws_core::Instant> {
    match (a, b) {
        (Some(a), Some(b)) if a.saturating_since(now) <= b.saturating_since(now) => Some(a),
        (Some(_), Some(b)) => Some(b),
        (a, b) => a.or(b),
    }
}
