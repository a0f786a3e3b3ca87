//! A stream, and how it is waited on: one write, one read, the loop that writes, and the one that ends.
//!
//! Writing goes through a batch that is taken from the endpoint, so that the endpoint is not locked while a
//! system call runs ([`Link::write_out`]). Every wait is short enough that deadlines are kept and progress is
//! seen: a blocking write ends after some milliseconds and returns how much the stream has taken. The end
//! of a batch is reported as written when it is flushed, because a stream may hold it back, as TLS does.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ws_core::SendError;
use ws_core::endpoint::{Endpoint, Inbound, Next, Outbound, Output};

use crate::error::{Deadline, Error, Result};
use crate::goodbye::Goodbye;
use crate::trace::Tracer;
use crate::transport::Transport;

/// The most that is read and dropped while waiting for the peer to close the stream.
const MAX_DISCARD: usize = 64 << 20;
/// How long an ending may take when no other bound is set.
pub(crate) const ENDING_TIMEOUT: Duration = Duration::from_secs(5);
/// Zero means for ever to a stream.
pub(crate) const MIN_WAIT: Duration = Duration::from_millis(1);
/// How long a write waits that must not keep others from reading.
const BRIEF: Duration = MIN_WAIT;
/// How long a reader goes on writing to a stream that takes some, but not all.
const TURN: Duration = Duration::from_millis(10);
/// The longest wait while neither direction moves.
pub(crate) const SLICE: Duration = Duration::from_millis(50);
/// A system call that waits takes longer, even if it wakes up early.
const AT_ONCE: Duration = Duration::from_micros(250);
/// The most slices that one write takes.
const SLICES: usize = 16;

/// A stream and what is needed to wait on it with deadlines.
#[derive(Debug)]
pub(crate) struct Link<T> {
    pub(crate) stream: T,
    /// When time zero of the endpoint was.
    pub(crate) start: Instant,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    /// When all writing has to be done, whatever its progress.
    pub(crate) write_by: Option<Instant>,
    /// The time-outs that the stream was given last, if it was.
    set_read: Option<Option<Duration>>,
    set_write: Option<Duration>,
    /// The stream has no time-outs.
    timeless: bool,
    blocking: Blocking,
    /// How many bytes of output were written and not flushed: the stream may hold them back. They count as
    /// output until then.
    unflushed: usize,
    /// How many bytes the endpoint was told of as written before it was known which.
    told_early: usize,
    write_side: Arc<WriteSide>,
    /// The hook for traces has panicked: what it was called for is lost, so that the stream is of no use.
    panicked: bool,
    /// Output that was taken to be written.
    batch: Output,
    /// Follows what is read and written.
    pub(crate) tracer: Option<Box<Tracer>>,
    /// Of a listener's connection.
    pub(crate) goodbye: Goodbye,
}

/// What all handles of a stream know of its write side.
#[derive(Debug, Default)]
struct WriteSide {
    /// Writing has failed. What can still be read is read; nothing more is written.
    failed: AtomicBool,
    shut_down: AtomicBool,
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    Bytes,
    /// The peer has ended its side.
    Eof,
    /// The stream has failed.
    Reset,
    TimedOut,
}

/// How long to go on writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteUntil {
    /// Until the stream takes nothing at the moment.
    Blocked,
    /// Until the write time-out, counted from when the stream first takes nothing.
    Timeout,
}

/// What writing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    All,
    /// The stream has taken some, and takes nothing more at the moment.
    Part,
    /// The stream takes nothing at the moment.
    Nothing,
    /// Another thread writes to the stream, or is about to.
    Others,
    /// The connection is over for the sending side: nothing more will be written.
    Over,
}

/// What is known about how the stream waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blocking {
    Unknown,
    /// A write has returned without having written, after how long was not measured.
    Suspect,
    /// It waits: a call that comes back with nothing has waited.
    Waits,
}

/// What a write or flush came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moved {
    /// How many bytes of output are written and flushed now.
    count: usize,
    /// The stream has taken all that it was given.
    whole: bool,
}

impl Written {
    /// Whether a flush has done what it was for: all that was queued has been written.
    pub(crate) fn outcome(self, sending: &mut impl Sending) -> Result<()> {
        match (self, sending.with(|out| out.has_dropped())) {
            (Self::All | Self::Over, false) => Ok(()),
            (Self::All, true) => Err(SendError::Closing.into()),
            _ => Err(broken_pipe()),
        }
    }
}

/// What is left to do, for a side that writes.
enum Task {
    /// Nothing but a flush.
    Flush,
    /// A batch has been taken. With `all`, nothing waits behind it.
    Write { all: bool },
    /// The sending side is over.
    Over,
}

/// The sending side of an endpoint, wherever it lies.
pub(crate) trait Sending {
    fn with<R>(&mut self, look: impl FnOnce(&mut Outbound) -> R) -> R;

    /// Where to read to while a write waits, for a holder of both sides.
    fn reader(&mut self, _now: ws_core::Instant) -> Option<&mut Inbound> {
        None
    }
}

impl Sending for Outbound {
    fn with<R>(&mut self, look: impl FnOnce(&mut Outbound) -> R) -> R {
        look(self)
    }
}

impl Sending for Endpoint {
    fn with<R>(&mut self, look: impl FnOnce(&mut Outbound) -> R) -> R {
        look(&mut self.outbound)
    }

    fn reader(&mut self, now: ws_core::Instant) -> Option<&mut Inbound> {
        match self.next_write(|| now) {
            Next::Write { read, .. } | Next::Wait { read, .. } => read,
            _ => None,
        }
    }
}

/// The wait while neither direction moves: it grows, so that waiting does not keep a processor busy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self::new()
    }
}

impl Pause {
    pub(crate) const fn new() -> Self {
        Self(MIN_WAIT)
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = pause.saturating_mul(2).min(SLICE);
        pause
    }
}

impl<T: Transport> Link<T> {
    pub(crate) fn new(stream: T, start: Instant) -> Self {
        Self {
            stream,
            start,
            read_timeout: None,
            write_timeout: None,
            write_by: None,
            set_read: None,
            set_write: None,
            timeless: false,
            blocking: Blocking::Unknown,
            unflushed: 0,
            told_early: 0,
            write_side: Arc::default(),
            panicked: false,
            batch: Output::default(),
            tracer: None,
            goodbye: Goodbye::none(),
        }
    }

    /// A second handle to the stream, for writing. It goes on with what was taken to be written.
    pub(crate) fn split(&mut self) -> io::Result<Self> {
        let mut clone = Self::new(self.stream.try_clone()?, self.start);
        clone.write_timeout = self.write_timeout;
        clone.blocking = self.blocking;
        clone.unflushed = std::mem::take(&mut self.unflushed);
        clone.told_early = std::mem::take(&mut self.told_early);
        clone.write_side = self.write_side.clone();
        clone.panicked = self.panicked;
        clone.batch = std::mem::take(&mut self.batch);
        clone.tracer = self.tracer.clone();
        Ok(clone)
    }

    /// The clock that an endpoint asks.
    pub(crate) fn clock(&self) -> impl FnOnce() -> ws_core::Instant + use<T> {
        let start = self.start;
        move || ws_core::Instant::from_elapsed(start.elapsed())
    }

    pub(crate) fn now(&self) -> ws_core::Instant {
        ws_core::Instant::from_elapsed(self.start.elapsed())
    }

    pub(crate) fn is_past(&self, deadline: Option<ws_core::Instant>) -> bool {
        deadline.is_some_and(|deadline| deadline.saturating_since(self.now()).is_zero())
    }

    /// When a read that begins now has to end.
    pub(crate) fn deadline(&self) -> Option<ws_core::Instant> {
        self.read_timeout.map(|timeout| self.now().saturating_add(timeout))
    }

    /// Writes the output that waits, within the write time-out. What others add behind it is written as far
    /// as the stream takes it at once, and does not count.
    pub(crate) fn flush(&mut self, sending: &mut impl Sending) -> Result<()> {
        let mut flushed = false;
        let written = self.write_out(sending, WriteUntil::Timeout, &mut flushed);
        if flushed { Ok(()) } else { written?.outcome(sending) }
    }

    /// Writes output as far as the stream takes it at once.
    pub(crate) fn write_now(&mut self, sending: &mut impl Sending) -> Result<Written> {
        self.write_out(sending, WriteUntil::Blocked, &mut false)
    }

    /// Writes output, and shuts down the write side when it is time to. While the stream takes nothing, a
    /// holder of both sides reads, since the peer may be waiting for just that.
    ///
    /// `flushed` is set when all is written that waited at the beginning, or soon after. From then on it is only
    /// tried to write the rest.
    fn write_out(
        &mut self,
        sending: &mut impl Sending,
        mut until: WriteUntil,
        flushed: &mut bool,
    ) -> Result<Written> {
        // All that waited at the beginning is in the hands of the stream, or in the batch.
        let mut is_taken = until == WriteUntil::Timeout && {
            let taken = self.in_flight();
            sending.with(|out| out.waiting() == taken && !out.has_dropped())
        };
        // Set when the stream first takes nothing: until when it has to take what waits then, and how much
        // of that is left. What others add meanwhile has its own time.
        let mut limit: Option<(Instant, usize)> = None;
        let mut begun = None;
        let mut pause = Pause::new();
        let mut wait = BRIEF;
        let mut some = false;
        loop {
            if is_taken && self.batch.is_empty() && self.unflushed == 0 {
                *flushed = true;
                until = WriteUntil::Blocked;
            }
            let moved = if !self.batch.is_empty() {
                self.write(sending, wait)?
            } else if is_taken && self.unflushed > 0 {
                self.flush_stream(sending, wait)?
            } else {
                match self.take(sending) {
                    Task::Flush if self.unflushed == 0 => return Ok(Written::All),
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
                pause = Pause::new();
                if moved.whole {
                    continue;
                }
                if until == WriteUntil::Timeout {
                    wait = BRIEF;
                    if self.look(sending) {
                        return Ok(Written::Over);
                    }
                    continue;
                }
                // Whoever reads must not be kept by a peer that takes a little at a time, on and on.
                if begun.get_or_insert_with(Instant::now).elapsed() < TURN {
                    continue;
                }
            }
            if until == WriteUntil::Blocked {
                return Ok(if some { Written::Part } else { Written::Nothing });
            }
            if self.look(sending) {
                return Ok(Written::Over);
            }
            let now = self.now();
            wait = match sending.reader(now) {
                Some(inbound) => {
                    let until = now.saturating_add(pause.next());
                    match self.fill(inbound, Some(until)) {
                        Ok(Filled::Bytes) => pause = Pause::new(),
                        Ok(Filled::Eof) => inbound.receive_eof(),
                        Ok(Filled::Reset) => sending.with(Outbound::receive_reset),
                        Ok(Filled::TimedOut) => {}
                        // The stream does not block. A read says so; a write has its time-out.
                        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                            thread::sleep(until.saturating_since(self.now()));
                        }
                        Err(error) => return Err(error),
                    }
                    BRIEF
                }
                None => pause.next(),
            };
        }
    }

    /// Takes the next batch, after the write side was shut down if it is time to.
    fn take(&mut self, sending: &mut impl Sending) -> Task {
        loop {
            let (clock, held) = (self.clock(), self.in_flight());
            let batch = &mut self.batch;
            let until = sending.with(|out| match out.next(clock) {
                Next::Write { .. } => {
                    out.take_output(batch);
                    let taken = held.saturating_add(batch.len());
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

    /// Tells the time while a batch waits; returns whether nobody takes it any more.
    fn look(&mut self, sending: &mut impl Sending) -> bool {
        let now = self.now();
        let shutdown = sending.with(|out| match out.next(|| now) {
            Next::Shutdown { until, .. } => Some(until),
            // Nobody takes the output any more, what the stream holds back of it included.
            Next::Done => Some(Some(now)),
            _ => None,
        });
        let Some(until) = shutdown else { return false };
        self.drop_batch();
        self.shutdown_write(until);
        sending.with(Outbound::shut_down);
        true
    }

    fn write_deadline(&self) -> Instant {
        let now = Instant::now();
        let timeout = self.write_timeout.and_then(|timeout| now.checked_add(timeout));
        match (timeout, self.write_by) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b).unwrap_or_else(|| far(now)),
        }
    }

    fn drop_batch(&mut self) {
        self.batch.advance(usize::MAX);
        self.unflushed = 0;
        self.told_early = 0;
    }

    /// Writes some of the batch, for at most `wait`; `None` when the stream takes nothing in that time.
    fn write(&mut self, sending: &mut impl Sending, wait: Duration) -> Result<Option<Moved>> {
        self.begin_write(wait)?;
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0_usize;
        let mut len = 0_usize;
        for (slot, slice) in slices.iter_mut().zip(self.batch.slices()) {
            *slot = IoSlice::new(slice);
            count = count.saturating_add(1);
            len = len.saturating_add(slice.len());
        }
        let slices = slices.get(..count).unwrap_or_default();
        let begun = (self.blocking == Blocking::Suspect).then(Instant::now);
        let result = match self.stream.write_vectored(slices) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            result => result,
        };
        let Some(written) = self.moved(result, wait, begun)? else { return Ok(None) };
        if written == 0 {
            return Ok(Some(self.tell_progress(sending)));
        }
        if let Some(tracer) = &mut self.tracer {
            // Should the hook panic, nobody writes the same bytes again.
            self.panicked = true;
            let mut left = written;
            for slice in self.batch.slices() {
                let (now, _) = slice.split_at(left.min(slice.len()));
                left = left.saturating_sub(now.len());
                tracer.sent(now);
            }
            self.panicked = false;
        }
        self.batch.advance(written);
        if self.batch.is_empty() {
            // The stream may hold the end of it back.
            self.unflushed = self.unflushed.saturating_add(written);
            let flushed = self.flush_stream(sending, wait)?;
            return Ok(Some(flushed.unwrap_or(Moved { count: 0, whole: false })));
        }
        self.tell_written(sending, written);
        Ok(Some(Moved { count: written, whole: written == len }))
    }

    /// Flushes a stream that holds back what was written.
    fn flush_stream(
        &mut self,
        sending: &mut impl Sending,
        wait: Duration,
    ) -> Result<Option<Moved>> {
        self.begin_write(wait)?;
        let begun = (self.blocking == Blocking::Suspect).then(Instant::now);
        let result = self.stream.flush().map(|()| 0);
        let whole = result.is_ok();
        let Some(_) = self.moved(result, wait, begun)? else { return Ok(None) };
        if !whole {
            return Ok(Some(self.tell_progress(sending)));
        }
        let count = std::mem::take(&mut self.unflushed);
        self.tell_written(sending, count);
        Ok(Some(Moved { count, whole }))
    }

    /// How many bytes were taken from the endpoint that it was not told of as written.
    fn in_flight(&self) -> usize {
        self.batch.len().saturating_add(self.unflushed).saturating_sub(self.told_early)
    }

    fn tell_written(&mut self, sending: &mut impl Sending, count: usize) {
        let early = self.told_early.min(count);
        self.told_early = self.told_early.saturating_sub(early);
        sending.with(|out| out.written(count.saturating_sub(early)));
    }

    /// Tells that the peer has taken some of what the stream holds back: nobody knows how much, but one byte
    /// at least, which is a sign of life.
    fn tell_progress(&mut self, sending: &mut impl Sending) -> Moved {
        let in_flight = self.in_flight().saturating_add(self.told_early);
        // What is left says when all is written.
        if self.told_early.saturating_add(1) < in_flight {
            self.told_early = self.told_early.saturating_add(1);
            sending.with(|out| out.written(1));
        }
        Moved { count: 0, whole: false }
    }

    /// Whether a write has failed, by any handle of the stream.
    pub(crate) fn has_write_failed(&self) -> bool {
        self.write_side.failed.load(Ordering::Relaxed)
    }

    fn begin_write(&mut self, wait: Duration) -> Result<()> {
        if self.has_write_failed() || self.panicked {
            return Err(broken_pipe());
        }
        let result = self.set_write_timeout(wait);
        if result.is_err() {
            self.write_side.failed.store(true, Ordering::Relaxed);
        }
        result
    }

    /// What a write or flush came to: how much was taken, or `None` when it was nothing.
    fn moved(
        &mut self,
        result: io::Result<usize>,
        wait: Duration,
        begun: Option<Instant>,
    ) -> Result<Option<usize>> {
        match result {
            Ok(count) => Ok(Some(count)),
            // Of a stream that holds data back: some of that has moved. The system's error of this kind
            // comes from a signal, and says nothing about the peer.
            Err(error)
                if error.kind() == io::ErrorKind::Interrupted && error.raw_os_error().is_none() =>
            {
                Ok(Some(0))
            }
            Err(error) if is_indeterminate(&error) => {
                self.write_side.failed.store(true, Ordering::Relaxed);
                Err(error.into())
            }
            Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => {
                // It may be a stream that does not block: to ask it on and on would keep a processor busy.
                if begun.is_some_and(|begun| begun.elapsed() >= AT_ONCE) {
                    self.blocking = Blocking::Waits;
                }
                if self.blocking != Blocking::Waits {
                    self.blocking = Blocking::Suspect;
                    thread::sleep(wait);
                }
                Ok(None)
            }
            Err(error) => {
                self.write_side.failed.store(true, Ordering::Relaxed);
                Err(error.into())
            }
        }
    }

    fn set_write_timeout(&mut self, wait: Duration) -> Result<()> {
        if self.set_write != Some(wait) {
            match self.stream.set_write_timeout(Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Unsupported => {
                    return Err(error.into());
                }
                _ => self.set_write = Some(wait),
            }
        }
        Ok(())
    }

    fn set_read_timeout(&mut self, deadline: Option<ws_core::Instant>) -> io::Result<()> {
        let wanted = deadline.map(|deadline| deadline.saturating_since(self.now()).max(MIN_WAIT));
        // A time-out that is a little short is as good: waking up early does no harm.
        let fits = match (self.set_read, wanted) {
            (Some(None), None) => true,
            (Some(Some(set)), Some(wanted)) => set <= wanted && set.saturating_mul(2) >= wanted,
            _ => false,
        };
        if fits {
            return Ok(());
        }
        match self.stream.set_read_timeout(wanted) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.timeless = true,
            result => result?,
        }
        self.set_read = Some(wanted);
        Ok(())
    }

    /// Reads once, until `deadline` at the latest. A stream that does not block is an error of the kind
    /// `WouldBlock`: to try again and again would keep a processor busy.
    fn read(
        &mut self,
        buffer: &mut [u8],
        deadline: Option<ws_core::Instant>,
    ) -> Result<(usize, Filled)> {
        let mut begun = None;
        if self.panicked {
            return Ok((0, Filled::Reset));
        }
        loop {
            self.set_read_timeout(deadline)?;
            return match self.stream.read(buffer) {
                Ok(0) => Ok((0, Filled::Eof)),
                Ok(count) => {
                    if let Some(tracer) = &mut self.tracer {
                        // Should the hook panic, the bytes are lost.
                        self.panicked = true;
                        tracer.received(buffer.get(..count).unwrap_or_default());
                        self.panicked = false;
                    }
                    Ok((count, Filled::Bytes))
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    // A peer that sends a record in small pieces must not move the deadline.
                    if self.is_past(deadline) {
                        return Ok((0, Filled::TimedOut));
                    }
                    continue;
                }
                // A time-out that was a little short, or a stream that does not block: the next
                // read shows which.
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && !self.is_past(deadline) =>
                {
                    let now = Instant::now();
                    if begun.is_some_and(|begun| now.saturating_duration_since(begun) < AT_ONCE) {
                        return Err(error.into());
                    }
                    begun = Some(now);
                    continue;
                }
                Err(error) if is_timeout(&error) => {
                    self.blocking = Blocking::Waits;
                    Ok((0, Filled::TimedOut))
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok((0, Filled::Eof)),
                Err(error) if is_loss(&error) => Ok((0, Filled::Reset)),
                Err(error) => Err(error.into()),
            };
        }
    }

    /// Reads into the endpoint once.
    pub(crate) fn fill(
        &mut self,
        inbound: &mut Inbound,
        deadline: Option<ws_core::Instant>,
    ) -> Result<Filled> {
        // A read that began before may have left something.
        let stopping = self.goodbye.is_stopping();
        let (count, filled) = self.read(inbound.read_buf(), deadline)?;
        inbound.filled(count);
        if stopping && filled != Filled::Bytes {
            self.goodbye.caught_up();
        }
        Ok(filled)
    }

    /// Waits until a time, when there is nothing to read.
    pub(crate) fn sleep(&self, until: Option<ws_core::Instant>) {
        let left = until.map_or(SLICE, |until| until.saturating_since(self.now()));
        thread::sleep(left.clamp(MIN_WAIT, SLICE));
    }

    /// Shuts the write side down once, until a time at the latest. What TLS has to say then takes no longer.
    pub(crate) fn shutdown_write(&mut self, until: Option<ws_core::Instant>) {
        if self.write_side.shut_down.swap(true, Ordering::Relaxed) {
            return;
        }
        let left = until.map_or(ENDING_TIMEOUT, |until| until.saturating_since(self.now()));
        let _ = self.set_write_timeout(left.clamp(MIN_WAIT, ENDING_TIMEOUT));
        // The peer may be gone by now.
        let _ = self.stream.shutdown_write();
    }

    /// Ends the stream: what is left is written, the write side shut down when that is our part, and the
    /// peer's end awaited, all within the deadlines of the endpoint and `bounds`. What still comes is
    /// dropped, for to close a stream with unread bytes would destroy what the peer has not read yet.
    ///
    /// `write` writes as far as the stream takes it at once, for it may be in another's hands. A stream
    /// without time-outs is not waited for.
    pub(crate) fn end<S: Sending>(
        &mut self,
        sending: &mut S,
        bounds: Bounds,
        mut write: impl FnMut(&mut Self, &mut S) -> Result<Written>,
    ) {
        let began = Instant::now();
        let by = bounds.total.and_then(|total| began.checked_add(total));
        let mut left = MAX_DISCARD;
        let mut eof = false;
        let mut pause = Pause::new();
        let mut scratch = Vec::new();
        loop {
            // mutant: the last Close frame stays unwritten
            let written = match write(self, sending) {
                Ok(Written::Over) => return,
                Ok(written) => written,
                Err(_) => break,
            };
            let blocked = matches!(written, Written::Part | Written::Nothing | Written::Others);
            if written == Written::Part {
                pause = Pause::new();
            }
            if bounds.shut_down && !blocked {
                let left = by.map(|by| by.saturating_duration_since(Instant::now()));
                self.shutdown_write(left.map(|left| self.now().saturating_add(left)));
                sending.with(Outbound::shut_down);
            }
            let clock = self.clock();
            let until = sending.with(|out| out.next(clock).until());
            let now = self.now();
            let until = match (until, by) {
                (Some(until), None) => until.saturating_since(now),
                (until, by) => {
                    let by = by.or_else(|| began.checked_add(ENDING_TIMEOUT));
                    let left = by
                        .map_or(ENDING_TIMEOUT, |by| by.saturating_duration_since(Instant::now()));
                    until.map_or(left, |until| until.saturating_since(now).min(left))
                }
            };
            if until.is_zero() || left == 0 || eof && !blocked {
                break;
            }
            if eof {
                thread::sleep(until.min(pause.next()));
                continue;
            }
            let wait = if blocked { until.min(pause.next()) } else { until };
            let wait = bounds.quiet.map_or(wait, |quiet| wait.min(quiet));
            scratch.resize(16 * 1024, 0);
            let until = Some(now.saturating_add(wait));
            if self.set_read_timeout(until).is_err() || self.timeless {
                break;
            }
            match self.read(&mut scratch, until) {
                Ok((count, Filled::Bytes)) => {
                    left = left.saturating_sub(count);
                    pause = Pause::new();
                }
                // The peer's end may not show, because the listener has ended the stream for reading.
                Ok((_, Filled::TimedOut)) if self.goodbye.is_stopping() && !blocked => break,
                Ok((_, Filled::TimedOut)) if bounds.quiet.is_some() && !blocked => break,
                Ok((_, Filled::TimedOut)) => {}
                Ok((_, Filled::Eof)) => eof = true,
                Ok((_, Filled::Reset)) | Err(_) => break,
            }
        }
        sending.with(Outbound::receive_reset);
        self.drop_batch();
        self.shutdown_write(Some(self.now()));
    }
}

/// How long an ending may take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    /// As a whole, beside the deadlines of the endpoint.
    pub(crate) total: Option<Duration>,
    /// How long a peer may be silent.
    pub(crate) quiet: Option<Duration>,
    /// Whether the write side is shut down as soon as all is written, whoever's turn it is.
    pub(crate) shut_down: bool,
}

/// Whether nobody knows how much was sent before this error of a write: so it is of Windows' own time-out.
fn is_indeterminate(error: &io::Error) -> bool {
    cfg!(windows) && error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_some()
}

pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

pub(crate) fn is_loss(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
}

fn broken_pipe() -> Error {
    io::Error::from(io::ErrorKind::BrokenPipe).into()
}

/// The earlier of two points in time, as seen from `now`.
pub(crate) fn earlier(
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

/// A time that is never reached.
fn far(now: Instant) -> Instant {
    now.checked_add(Duration::from_secs(365 * 24 * 60 * 60)).unwrap_or(now)
}
