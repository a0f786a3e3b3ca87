//! The read loop: where an application's read waits.
//!
//! It serves a whole [`WebSocket`](crate::WebSocket) and, after `split`, the [`Reader`](crate::Reader). What is
//! owed to the peer is written before a wait, as far as the stream takes it at once, and tried again after a pause
//! while it takes nothing. It is never a condition of reading. When the connection is over or has failed, the read
//! loop writes the last output and shuts down the write side. The next read, or the drop of the socket, waits for the peer
//! to end the stream.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::thread;
use std::time::{Duration, Instant};

use ws_core::endpoint::{Endpoint, Event, Inbound, Next, Outbound};
use ws_core::{CloseCode, Message, SendError};

use crate::close::{CloseLimits, CloseUntil, Closing, READS_AT_ONCE};
use crate::error::{Deadline, Error, Result};
use crate::link::Link;
use crate::sending::{MAX_IDLE_WAIT, Pause, Sending, Written};
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
    /// On the heap, since it is large, and handed on from call to call.
    #[inline(never)]
    pub(crate) fn boxed(endpoint: Endpoint, link: Link<T>) -> Box<Self> {
        Box::new(Self { endpoint, link, state: ReadState::default() })
    }

    /// Whether a message has come that can be told without further ado, as mostly when many come at once.
    #[inline]
    pub(crate) fn has_message(&mut self) -> bool {
        let Self { endpoint, link, .. } = self;
        !link.going_away.is_pending() && endpoint.inbound.has_message(&mut endpoint.outbound)
    }

    /// Writes all output.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.link.flush(&mut self.endpoint)
    }

    /// The next event other than a Ping or Pong, waiting for it until `deadline`; `None` when the
    /// connection is over.
    pub(crate) fn event(&mut self, deadline: Option<ws_core::Instant>) -> Result<Option<Event>> {
        match self.read(deadline, false)? {
            Got::Event(event) => Ok(Some(event)),
            Got::Message | Got::Over => Ok(None),
        }
    }

    /// As [`event`](Self::event). With `lend`, a message is left to be lent.
    pub(crate) fn read(&mut self, deadline: Option<ws_core::Instant>, lend: bool) -> Result<Got> {
        self.reading(|mut reading| reading.event(deadline, lend))
    }

    /// The next event of the opening handshake; the stream is left as it is.
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

    /// Ends the stream: the output is written, the write side shut down when that is our part, and the
    /// peer's end awaited within the limits of the closing handshake.
    pub(crate) fn finish(&mut self) {
        self.state.finish(&mut self.link, &mut self.endpoint.outbound, CloseLimits::default());
    }

    /// Ends the stream at once: nobody has to be told.
    pub(crate) fn reset(&mut self) {
        if !self.state.is_finished() {
            self.state.end = StreamEnd::Ended;
            self.link.reset(&mut self.endpoint.outbound);
        }
    }
}

/// The driver of a socket. When it is dropped after the end of the connection, it ends the stream, which waits for the
/// peer.
#[derive(Debug)]
pub(crate) struct SocketDriver<T: Transport>(Option<Box<Driver<T>>>);

impl<T: Transport> SocketDriver<T> {
    pub(crate) fn new(driver: Box<Driver<T>>) -> Self {
        Self(Some(driver))
    }

    /// The driver, without an end of the stream.
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
        if let Some(driver) = self.0.as_mut().filter(|driver| driver.state.is_over()) {
            driver.finish();
        }
    }
}

/// What the read loop keeps from one call to the next.
#[derive(Debug, Default)]
pub(crate) struct ReadState {
    end: StreamEnd,
    /// In the middle of a streamed message that came too late, or that the application wants no more of.
    pub(crate) skipping: bool,
    /// What is to be called with the payload of each Pong.
    pub(crate) on_pong: Option<PongHook>,
    /// When a stream that took nothing is written to again. Reading does not wait for it.
    write_at: Option<Instant>,
    write_pause: Pause,
}

/// Calls `read` in a mode in which nothing waits, again and again while it reads something and that is no message.
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
    // A long message takes several reads. A peer that sends without end does not keep us.
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

/// A link that does not wait until this is dropped, be it because a hook of the application's has panicked.
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

/// How far the end of the stream has got.
#[derive(Debug, Default)]
enum StreamEnd {
    #[default]
    No,
    /// The connection is over; the peer may not have ended the stream yet.
    Closing(Closing),
    Ended,
}

impl ReadState {
    /// The connection is over: writes what is left, and shuts down the write side if it is this side's turn. The wait for
    /// the peer is left to [`finish`](Self::finish).
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

    /// Whether the connection is over, and the stream may not have ended.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.end, StreamEnd::Closing(_))
    }

    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.end, StreamEnd::Ended)
    }
}

/// What an application wants to be called with the payload of each Pong.
pub(crate) struct PongHook(pub(crate) Box<OnPong>);

type OnPong = dyn FnMut(&[u8]) + Send + Sync;

impl fmt::Debug for PongHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PongHook(..)")
    }
}

/// What reading has come to.
#[derive(Debug)]
pub(crate) enum Got {
    Event(Event),
    /// A message that [`Inbound::next_ref`] tells.
    Message,
    /// The connection is over.
    Over,
}

/// The receiving side of an endpoint, and what the read loop needs beside it.
pub(crate) struct Reading<'r, T, S> {
    pub(crate) inbound: &'r mut Inbound,
    pub(crate) sending: &'r mut S,
    pub(crate) link: &'r mut Link<T>,
    pub(crate) state: &'r mut ReadState,
    /// See [`GoingAway::is_due`](crate::going_away::GoingAway::is_due).
    pub(crate) defer_close: &'r dyn Fn() -> bool,
}

impl<T: Transport, S: Sending> Reading<'_, T, S> {
    /// The next event other than a Ping or Pong, waiting for it until `deadline`. With `lend`, a message is
    /// left to be lent. When the connection is over or has failed, the last output is written, and the write side shut down
    /// if it is this side's turn. The next call waits for the peer's end of the stream.
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

    /// As [`event`](Self::event), but the stream is left as it is.
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
                // The receiving side tells nothing else.
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

    /// Starts the closing handshake when it is time to, because the listener shuts down.
    fn start_going_away(&mut self) {
        if self.link.going_away.is_due(self.defer_close) {
            match self.sending.with(|out| out.start_close(CloseCode::GOING_AWAY, "")) {
                Ok(()) => self.link.going_away.started(),
                // What is not open yet has nobody to tell.
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

    /// Writes as far as the stream takes it at once; returns after how long it is to be tried again. It is not
    /// tried with each read, because a write that waits, however briefly, holds up a peer that only sends.
    fn write_what_waits(&mut self) -> Result<Option<Duration>> {
        if let Some(at) = self.state.write_at {
            let left = at.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Ok(Some(left));
            }
        }
        let written = match self.sending.try_write(self.link) {
            Ok(written) => written,
            // A peer that is gone may have said something before.
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
            // They may leave what they cannot write, and nothing wakes a read then.
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
