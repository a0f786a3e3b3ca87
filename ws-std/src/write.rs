//! The write loop.
//!
//! Output is taken from the endpoint in batches, so that the endpoint is not locked during a system call. Each wait is
//! short, so that deadlines are kept and progress is seen: a blocking write ends after some milliseconds and returns
//! how much the stream has accepted.
//!
//! A flush writes the output that is waiting when it begins, within the write time-out. It serves applications that
//! send. The read loop, before it waits, and the end of the connection write only as much as the stream accepts at
//! once.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use ws_core::SendError;
use ws_core::endpoint::{Next, Outbound};
use ws_core::message::MessageRef;

use crate::batch::{Batch, SLICES};
use crate::error::{Deadline, Error, Result};
use crate::link::Link;
use crate::sending::{Pause, Sending, Written, make_room};
use crate::sync::shared::thread;
use crate::timed::{Attempt, Filled, MIN_WAIT};
use crate::transport::Transport;

/// How long a write waits if it must not keep others from reading.
const MIN_WRITE_WAIT: Duration = MIN_WAIT;
/// How long to keep writing to a stream that accepts some output, but not all, before reading from it again.
const MAX_WRITE_TURN: Duration = Duration::from_millis(10);

/// How long to keep writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteUntil {
    /// Until the stream accepts nothing at the moment.
    Blocked,
    /// Until the write time-out has passed, counted from when the stream first accepts nothing.
    Timeout,
}

/// What is left for the sending side to do.
enum Task {
    /// Only a flush.
    Flush,
    /// Write the batch that was taken. If `all` is set, no output is waiting behind it.
    Write { all: bool },
    /// Nothing, because the connection is over for the sending side.
    Over,
}

/// The progress of a write or flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moved {
    /// How many bytes of output are now written and flushed.
    count: usize,
    /// Whether the stream has accepted everything that it was given.
    whole: bool,
}

impl<T: Transport> Link<T> {
    /// Writes the waiting output, within the write time-out. Output that others add behind it does not count: as much
    /// of it is written as the stream accepts at once.
    pub(crate) fn flush(&mut self, sending: &mut impl Sending) -> Result<()> {
        let mut flushed = false;
        let written = self.write_out(sending, WriteUntil::Timeout, &mut flushed);
        if flushed { Ok(()) } else { written?.outcome(sending) }
    }

    /// Writes as much output as the stream accepts at once.
    pub(crate) fn write_now(&mut self, sending: &mut impl Sending) -> Result<Written> {
        self.write_out(sending, WriteUntil::Blocked, &mut false)
    }

    /// Adds something to the output. While there is no room for it, writes the waiting output.
    #[inline]
    pub(crate) fn queue(
        &mut self,
        sending: &mut impl Sending,
        mut queue: impl FnMut(&mut Outbound) -> std::result::Result<(), SendError>,
    ) -> Result<()> {
        match sending.with(|out| queue(out)) {
            Ok(()) => Ok(()),
            Err(error) => self.make_room_and_queue(sending, error, queue),
        }
    }

    /// Like [`queue`](Self::queue), for a lent message. It is written once, together with the waiting output, and only
    /// what the stream does not accept is copied.
    pub(crate) fn queue_and_write(
        &mut self,
        sending: &mut Outbound,
        message: MessageRef<'_>,
    ) -> Result<()> {
        self.check_write_side()?;
        let mut result = Ok(Attempt::Nothing);
        let queued = sending.queue_and_write(message, |output, payload| {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let parts = output.slices().chain([payload]);
            let count =
                slices.iter_mut().zip(parts).map(|(to, part)| *to = IoSlice::new(part)).count();
            result = self.io.write(slices.get(..count).unwrap_or_default(), MIN_WRITE_WAIT);
            if let Ok(Attempt::Done(written)) = result { written } else { 0 }
        });
        if let Attempt::Done(written) = self.noted(result)? {
            self.batch.written(written);
            self.flush_stream(sending, MIN_WRITE_WAIT)?;
        }
        match queued {
            Ok(()) => Ok(()),
            Err(error) => self.make_room_and_queue(sending, error, |out| out.queue_ref(message)),
        }
    }

    /// Makes room and adds something to the output. Returns `error` if lack of room is not the reason.
    #[cold]
    pub(crate) fn make_room_and_queue(
        &mut self,
        sending: &mut impl Sending,
        mut error: SendError,
        mut queue: impl FnMut(&mut Outbound) -> std::result::Result<(), SendError>,
    ) -> Result<()> {
        loop {
            make_room(error, || self.flush(sending))?;
            match sending.with(&mut queue) {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
        }
    }

    /// Writes output, and shuts down the write side when it is time to. While the stream accepts nothing, a holder of
    /// both sides reads, because the peer may be waiting for that.
    ///
    /// Sets `flushed` once everything that was waiting at the beginning is written, or soon after. From then on, it
    /// writes only as much as the stream accepts at once.
    fn write_out(
        &mut self,
        sending: &mut impl Sending,
        mut until: WriteUntil,
        flushed: &mut bool,
    ) -> Result<Written> {
        // Whether everything that was waiting at the beginning is in the stream or in the batch.
        let mut is_taken = until == WriteUntil::Timeout && {
            let taken = self.batch.in_flight();
            sending.with(|out| out.waiting() == taken && !out.has_dropped())
        };
        // Set when the stream first accepts nothing: the time by which it has to accept the output that is waiting
        // then, and how much of that output is left. Output that others add in the meantime has its own time.
        let mut limit: Option<(Instant, usize)> = None;
        let mut begun = None;
        let mut pause = Pause::default();
        let mut wait = MIN_WRITE_WAIT;
        let mut some = false;
        loop {
            if is_taken && self.batch.is_done() {
                *flushed = true;
                until = WriteUntil::Blocked;
            }
            let moved = if !self.batch.is_empty() {
                self.write(sending, wait)?
            } else if is_taken && !self.batch.is_done() {
                self.flush_stream(sending, wait)?
            } else {
                match self.take(sending) {
                    Task::Flush if self.batch.is_done() => return Ok(Written::All),
                    Task::Flush => self.flush_stream(sending, wait)?,
                    Task::Write { all } => {
                        is_taken |= all && until == WriteUntil::Timeout;
                        self.write(sending, wait)?
                    }
                    Task::Over => return Ok(Written::Over),
                }
            };
            if let (Some((_, left)), Some(moved)) = (&mut limit, moved) {
                *left = left.saturating_sub(moved.count);
                if *left == 0 {
                    limit = None;
                }
            }
            if until == WriteUntil::Timeout && moved.is_none_or(|moved| !moved.whole) {
                let (by, _) = *limit.get_or_insert_with(|| {
                    (self.write_deadline(), sending.with(|out| out.waiting()))
                });
                if by <= Instant::now() {
                    return Err(Error::Timeout(Deadline::Write));
                }
            }
            if let Some(moved) = moved {
                some = true;
                pause = Pause::default();
                if moved.whole {
                    continue;
                }
                if until == WriteUntil::Timeout {
                    wait = MIN_WRITE_WAIT;
                    if self.act_on_deadlines(sending) {
                        return Ok(Written::Over);
                    }
                    continue;
                }
                // A peer that accepts a little at a time, on and on, must not keep the caller from reading.
                let begun = begun.get_or_insert_with(Instant::now);
                if !self.io.at_once && begun.elapsed() < MAX_WRITE_TURN {
                    continue;
                }
            }
            if until == WriteUntil::Blocked {
                return Ok(if some { Written::Part } else { Written::Nothing });
            }
            if self.act_on_deadlines(sending) {
                return Ok(Written::Over);
            }
            wait = pause.next();
            if self.read_instead(sending, wait, &mut pause)? {
                wait = MIN_WRITE_WAIT;
            }
        }
    }

    /// Reads once if the holder has both sides. Returns whether it has. If bytes arrived, resets `pause`.
    fn read_instead(
        &mut self,
        sending: &mut impl Sending,
        wait: Duration,
        pause: &mut Pause,
    ) -> Result<bool> {
        let now = self.io.clock.now();
        let Some(inbound) = sending.reader(now) else { return Ok(false) };
        let until = now.saturating_add(wait);
        match self.fill(inbound, Some(until)) {
            Ok(Filled::Bytes) => *pause = Pause::default(),
            Ok(Filled::Eof) => inbound.receive_eof(),
            Ok(Filled::Reset) => sending.with(Outbound::receive_reset),
            Ok(Filled::TimedOut) => {}
            // The stream is non-blocking. A read returns this error; a write has its time-out.
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(self.io.clock.left_until(until));
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Takes the next batch. If it is time to, shuts down the write side first.
    fn take(&mut self, sending: &mut impl Sending) -> Task {
        loop {
            let (clock, held) = (self.io.clock, self.batch.in_flight());
            let output = &mut self.batch.output;
            let until = sending.with(|out| match out.next(|| clock.now()) {
                Next::Write { .. } => {
                    out.take_output(output);
                    let taken = held.saturating_add(output.len());
                    Err(Task::Write { all: out.waiting() == taken && !out.has_dropped() })
                }
                Next::Shutdown { until, .. } => Ok(until),
                Next::Done => Err(Task::Over),
                _ => Err(Task::Flush),
            });
            match until {
                Ok(until) => {
                    self.shutdown_write(until);
                    sending.with(Outbound::shut_down);
                }
                Err(task) => return task,
            }
        }
    }

    /// Acts on passed deadlines while a batch is waiting. Returns whether the batch cannot be written any more.
    fn act_on_deadlines(&mut self, sending: &mut impl Sending) -> bool {
        let now = self.io.clock.now();
        let shutdown = sending.with(|out| match out.next(|| now) {
            Next::Shutdown { until, .. } => Some(until),
            // The bytes that the stream holds back are dropped too.
            Next::Done => Some(Some(now)),
            _ => None,
        });
        let Some(until) = shutdown else { return false };
        self.batch = Batch::default();
        self.shutdown_write(until);
        sending.with(Outbound::shut_down);
        true
    }

    fn write_deadline(&self) -> Instant {
        let now = Instant::now();
        let timeout = self.write_timeout.and_then(|timeout| now.checked_add(timeout));
        timeout.unwrap_or_else(|| far(now))
    }

    /// Writes some of the batch, for at most `wait`. Returns `None` if the stream accepts nothing in that time.
    fn write(&mut self, sending: &mut impl Sending, wait: Duration) -> Result<Option<Moved>> {
        self.check_write_side()?;
        let mut slices = [IoSlice::new(&[]); SLICES];
        let (count, len) = self.batch.slices(&mut slices);
        let result = self.io.write(slices.get(..count).unwrap_or_default(), wait);
        let written = match self.noted(result)? {
            Attempt::Done(written) => written,
            Attempt::Progress => return Ok(Some(self.tell_progress(sending))),
            Attempt::Nothing => return Ok(None),
        };
        let count = self.batch.written(written);
        if self.batch.is_empty() {
            let flushed = self.flush_stream(sending, wait)?;
            return Ok(Some(flushed.unwrap_or(Moved { count: 0, whole: false })));
        }
        sending.with(|out| out.written(count));
        Ok(Some(Moved { count, whole: written == len }))
    }

    /// Flushes a stream that holds written bytes back.
    fn flush_stream(
        &mut self,
        sending: &mut impl Sending,
        wait: Duration,
    ) -> Result<Option<Moved>> {
        self.check_write_side()?;
        let result = self.io.flush(wait);
        match self.noted(result)? {
            Attempt::Done(()) => {
                let count = self.batch.flushed();
                sending.with(|out| out.written(count));
                Ok(Some(Moved { count, whole: true }))
            }
            Attempt::Progress => Ok(Some(self.tell_progress(sending))),
            Attempt::Nothing => Ok(None),
        }
    }

    fn tell_progress(&mut self, sending: &mut impl Sending) -> Moved {
        let count = self.batch.progress();
        sending.with(|out| out.written(count));
        Moved { count, whole: false }
    }
}

/// Returns a time that is never reached.
fn far(now: Instant) -> Instant {
    now.checked_add(Duration::from_secs(365 * 24 * 60 * 60)).unwrap_or(now)
}
