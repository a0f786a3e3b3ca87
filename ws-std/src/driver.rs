//! The read loop: where an application's read waits.
//!
//! It serves a whole [`WebSocket`](crate::WebSocket) and, after `split`, the [`Reader`](crate::Reader). What is
//! owed to the peer is written before a wait, as far as the stream takes it at once, and tried again after a pause
//! while it takes nothing. It is never a condition of reading.

use std::time::{Duration, Instant};

use ws_core::endpoint::{Endpoint, Event, Inbound, Next, Outbound};
use ws_core::{CloseCode, SendError};

use crate::error::{Deadline, Error, Result};
use crate::link::{Bounds, Filled, Link, Pause, SLICE, Sending, Written, earlier};
use crate::transport::Transport;

/// An endpoint on a stream.
#[derive(Debug)]
pub(crate) struct Driver<T> {
    pub(crate) endpoint: Endpoint,
    pub(crate) link: Link<T>,
    /// The stream has been shut down or given up.
    pub(crate) finished: bool,
    pub(crate) state: ReadState,
}

/// What the read loop keeps from one call to the next.
#[derive(Debug, Default)]
pub(crate) struct ReadState {
    /// In the middle of a streamed message that came too late, or that the application wants no more of.
    pub(crate) skipping: bool,
    /// When a stream that took nothing is written to again. Reading does not wait for it.
    write_at: Option<Instant>,
    write_pause: Pause,
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

/// Who reads, and how what is owed meanwhile gets written.
pub(crate) struct Reading<'r, T, S, W, L, K> {
    pub(crate) inbound: &'r mut Inbound,
    pub(crate) sending: &'r mut S,
    pub(crate) link: &'r mut Link<T>,
    pub(crate) state: &'r mut ReadState,
    /// Writes as far as the stream takes it at once.
    pub(crate) write: W,
    /// See [`Goodbye::is_due`](crate::goodbye::Goodbye::is_due).
    pub(crate) others: L,
    /// The longest wait from now on.
    pub(crate) look: K,
}

impl<T, S, W, L, K> Reading<'_, T, S, W, L, K>
where
    T: Transport,
    S: Sending,
    W: FnMut(&mut Link<T>, &mut S) -> Result<Written>,
    L: FnMut() -> bool,
    K: Fn() -> Option<Duration>,
{
    /// The next event other than a Ping or Pong, waiting for it until `deadline`. With `lend`, a message is
    /// left to be lent.
    pub(crate) fn next(&mut self, deadline: Option<ws_core::Instant>, lend: bool) -> Result<Got> {
        let mut late = false;
        loop {
            self.say_goodbye();
            let Self { inbound, sending, .. } = self;
            if lend && sending.with(|out| inbound.has_message(out)) && !self.link.goodbye.is_over()
            {
                return Ok(Got::Message);
            }
            let Self { inbound, sending, link, .. } = self;
            let clock = link.clock();
            let (until, room) = match sending.with(|out| inbound.next(out, clock)) {
                Next::Event(event) => {
                    if self.is_wanted(&event) {
                        return Ok(Got::Event(event));
                    }
                    continue;
                }
                Next::Failed(error) => return Err(error.into()),
                Next::Done => return Ok(Got::Over),
                Next::Wait { read, until } => (until, read.is_some()),
                // The receiving side tells nothing else.
                next => (next.until(), false),
            };
            if late {
                return Err(Error::Timeout(Deadline::Read));
            }
            let pause = self.write_what_waits()?.or_else(&self.look);
            self.wait(until, deadline, pause, room)?;
            late = self.link.is_past(deadline);
        }
    }

    /// Writes as far as the stream takes it at once; returns after how long it is to be tried again. It is not
    /// tried with each read, because a write that waits, however briefly, holds up a peer that only sends.
    fn write_what_waits(&mut self) -> Result<Option<Duration>> {
        let Self { state, .. } = self;
        if let Some(at) = state.write_at {
            let left = at.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Ok(Some(left));
            }
        }
        let written = match (self.write)(self.link, self.sending) {
            Ok(written) => written,
            // A peer that is gone may have said something before.
            Err(Error::Io(_)) => Written::Over,
            Err(error) => return Err(error),
        };
        let state = &mut self.state;
        if written != Written::Nothing {
            state.write_pause = Pause::new();
        }
        if !matches!(written, Written::Part | Written::Nothing) {
            state.write_at = None;
            // They may leave what they cannot write, and nothing wakes a read then.
            return Ok((written == Written::Others).then_some(SLICE));
        }
        let pause = state.write_pause.next();
        state.write_at = Instant::now().checked_add(pause);
        Ok(Some(pause))
    }

    fn wait(
        &mut self,
        until: Option<ws_core::Instant>,
        deadline: Option<ws_core::Instant>,
        pause: Option<Duration>,
        room: bool,
    ) -> Result<()> {
        let Self { inbound, sending, link, .. } = self;
        let now = link.now();
        let pause = pause.map(|pause| now.saturating_add(pause));
        let until = earlier(earlier(until, deadline, now), pause, now);
        if !room {
            link.sleep(until);
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

    fn say_goodbye(&mut self) {
        if self.link.goodbye.is_due(&mut self.others) {
            let said = self.sending.with(|out| out.start_close(CloseCode::GOING_AWAY, ""));
            match said {
                Ok(()) => self.link.goodbye.was_said(),
                // What is not open yet has nobody to say goodbye to.
                Err(SendError::NotOpen) => self.inbound.receive_eof(),
                Err(_) => {}
            }
        }
    }

    fn is_wanted(&mut self, event: &Event) -> bool {
        match event {
            Event::Ping(_) | Event::Pong(_) => false,
            Event::Message(_) => !self.link.goodbye.is_over(),
            Event::Chunk { start, end, .. } => {
                let skip = self.state.skipping || *start && self.link.goodbye.is_over();
                self.state.skipping = skip && !*end;
                !skip
            }
            _ => true,
        }
    }
}

impl<T: Transport> Driver<T> {
    pub(crate) fn new(endpoint: Endpoint, link: Link<T>) -> Self {
        Self { endpoint, link, finished: false, state: ReadState::default() }
    }

    /// Writes all output.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.link.flush(&mut self.endpoint)
    }

    /// The next event other than a Ping or Pong, waiting for it until `deadline`; `None` when the
    /// connection is over. If it has failed, the peer is told.
    pub(crate) fn event(&mut self, deadline: Option<ws_core::Instant>) -> Result<Option<Event>> {
        self.next(deadline).map_err(|error| self.failed(error))
    }

    /// As [`event`](Self::event), but a failure is only told to the caller.
    pub(crate) fn next(&mut self, deadline: Option<ws_core::Instant>) -> Result<Option<Event>> {
        match self.read(deadline, false)? {
            Got::Event(event) => Ok(Some(event)),
            Got::Message | Got::Over => Ok(None),
        }
    }

    pub(crate) fn read(&mut self, deadline: Option<ws_core::Instant>, lend: bool) -> Result<Got> {
        let Self { endpoint, link, state, .. } = self;
        let Endpoint { inbound, outbound, .. } = endpoint;
        let write = |link: &mut Link<T>, out: &mut Outbound| link.write_now(out);
        let others = || false;
        Reading { inbound, sending: outbound, link, state, write, others, look: || None }
            .next(deadline, lend)
    }

    /// Ends the stream if the connection has failed, so that the peer is told; returns the error.
    pub(crate) fn failed(&mut self, error: Error) -> Error {
        if self.endpoint.inbound.failure().is_some() {
            self.finish();
        }
        error
    }

    /// Ends the stream: the output is written, the write side shut down when that is our part, and the
    /// peer's end awaited within the bounds of the closing handshake.
    pub(crate) fn finish(&mut self) {
        if !std::mem::replace(&mut self.finished, true) {
            finish(&mut self.link, &mut self.endpoint.outbound);
        }
    }

    /// Ends the stream at once: nobody has to be told.
    pub(crate) fn abandon(&mut self) {
        if !std::mem::replace(&mut self.finished, true) {
            self.endpoint.outbound.receive_reset();
            self.link.shutdown_write(Some(self.link.now()));
        }
    }

    /// Bounds everything that is written by a point in time, or no more.
    pub(crate) fn write_by(&mut self, by: Option<Instant>) {
        self.link.write_by = by;
    }
}

/// Ends the stream of a connection that is not split.
pub(crate) fn finish<T: Transport>(link: &mut Link<T>, outbound: &mut Outbound) {
    link.end(outbound, Bounds::default(), |link, out| link.write_now(out));
}
