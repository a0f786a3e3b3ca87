use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ws_core::endpoint::{Inbound, Outbound, Output};
use ws_core::{CloseCode, SendError};

use crate::error::{Deadline, Error, Result};
use crate::registry::Place;
use crate::trace::Tracer;
use crate::transport::Transport;

/// The most that is read and dropped while waiting for the peer to close the stream.
const MAX_DISCARD: usize = 64 << 20;
/// How long the last words may take, and the peer's end when no other bound is set.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Zero means for ever to a stream.
pub(crate) const MIN_WAIT: Duration = Duration::from_millis(1);
/// A read that waits takes longer, even if it wakes up early.
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
    set_write: Option<Option<Duration>>,
    /// The stream has no time-outs.
    timeless: bool,
    /// Something was written that the stream may hold back until it is flushed.
    pub(crate) unflushed: bool,
    /// Writing has failed: what can still be read is read, nothing more is written.
    pub(crate) broken: bool,
    /// Follows what is read and written.
    pub(crate) tracer: Option<Box<Tracer>>,
    /// How much is written at once.
    pub(crate) max_write: usize,
    /// Of a listener's connection.
    pub(crate) place: Option<Arc<Place>>,
    /// What had come before the listener shut down was read.
    caught_up: bool,
    /// Until when there is time for that.
    leave_by: Option<Instant>,
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    Bytes,
    Eof,
    TimedOut,
}

/// How far a connection has come to its end, for [`Link::linger`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) wants_shutdown: bool,
    pub(crate) finished: bool,
    pub(crate) until: Option<ws_core::Instant>,
}

impl Look {
    /// Tells the time, and looks.
    pub(crate) fn at(now: ws_core::Instant, outbound: &mut Outbound) -> Self {
        outbound.handle_timeout(now);
        Self {
            wants_shutdown: outbound.wants_shutdown(),
            finished: outbound.is_finished(),
            until: outbound.poll_timeout(),
        }
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
            unflushed: false,
            broken: false,
            tracer: None,
            max_write: usize::MAX,
            place: None,
            caught_up: false,
            leave_by: None,
        }
    }

    /// A second handle to the stream, for writing.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let mut clone = Self::new(self.stream.try_clone()?, self.start);
        clone.write_timeout = self.write_timeout;
        clone.unflushed = self.unflushed;
        clone.broken = self.broken;
        clone.tracer = self.tracer.clone();
        clone.place = self.place.clone();
        Ok(clone)
    }

    /// Whether the listener shuts down, and this connection has to be closed.
    pub(crate) fn is_stopping(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.is_stopping())
    }

    pub(crate) fn now(&self) -> ws_core::Instant {
        ws_core::Instant::from_elapsed(self.start.elapsed())
    }

    fn is_past(&self, deadline: Option<ws_core::Instant>) -> bool {
        deadline.is_some_and(|deadline| deadline.saturating_since(self.now()).is_zero())
    }

    /// When a read that begins now has to end.
    pub(crate) fn deadline(&self) -> Option<ws_core::Instant> {
        self.read_timeout.map(|timeout| self.now().saturating_add(timeout))
    }

    /// Tells the time of what is about to be sent, if any time-out depends on it.
    pub(crate) fn tell_time(&self, outbound: &mut Outbound) {
        if outbound.poll_timeout().is_some() {
            outbound.set_now(self.now());
        }
    }

    /// Writes all output, and flushes the stream; `told` gets the length of each write.
    pub(crate) fn write(&mut self, output: &mut Output, mut told: impl FnMut(usize)) -> Result<()> {
        while self.unflushed || !output.is_empty() {
            if self.broken {
                output.advance(usize::MAX);
                self.unflushed = false;
                return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
            }
            self.set_write_timeout()?;
            let before = output.len();
            match self.write_once(output) {
                Ok(()) => told(before.saturating_sub(output.len())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(Error::Timeout(Deadline::Write)),
                Err(error) => {
                    self.broken = true;
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    fn write_once(&mut self, output: &mut Output) -> io::Result<()> {
        if output.is_empty() {
            self.stream.flush()?;
            self.unflushed = false;
            return Ok(());
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0_usize;
        let mut room = self.max_write;
        for (slot, slice) in slices.iter_mut().zip(output.slices()) {
            let slice = slice.get(..room).unwrap_or(slice);
            room = room.saturating_sub(slice.len());
            *slot = IoSlice::new(slice);
            count = count.saturating_add(1);
            if room == 0 {
                break;
            }
        }
        let written = self.stream.write_vectored(slices.get(..count).unwrap_or_default())?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        if let Some(tracer) = &mut self.tracer {
            // Should the hook panic, nobody writes the same bytes again.
            self.broken = true;
            let mut left = written;
            for slice in output.slices() {
                let (now, _) = slice.split_at(left.min(slice.len()));
                left = left.saturating_sub(now.len());
                tracer.sent(now);
            }
            self.broken = false;
        }
        output.advance(written);
        self.unflushed = true;
        Ok(())
    }

    fn set_write_timeout(&mut self) -> Result<()> {
        let mut wanted = self.write_timeout;
        if let Some(by) = self.write_by {
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Timeout(Deadline::Write));
            }
            wanted = Some(wanted.map_or(left, |timeout| timeout.min(left)));
        }
        let wanted = wanted.map(|timeout| timeout.max(MIN_WAIT));
        if self.set_write != Some(wanted) {
            match self.stream.set_write_timeout(wanted) {
                Err(error) if error.kind() != io::ErrorKind::Unsupported => {
                    return Err(error.into());
                }
                _ => self.set_write = Some(wanted),
            }
        }
        Ok(())
    }

    /// Writes all that `outbound` has to send. A pong that found the output full follows when there is
    /// room for it.
    pub(crate) fn flush(&mut self, outbound: &mut Outbound) -> Result<()> {
        loop {
            let output = outbound.output();
            if output.is_empty() && !self.unflushed {
                return Ok(());
            }
            self.write(output, |_| {})?;
        }
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
        loop {
            self.set_read_timeout(deadline)?;
            return match self.stream.read(buffer) {
                Ok(0) => Ok((0, Filled::Eof)),
                Ok(count) => {
                    if let Some(tracer) = &mut self.tracer {
                        tracer.received(buffer.get(..count).unwrap_or_default());
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
                Err(error) if is_timeout(&error) => Ok((0, Filled::TimedOut)),
                Err(error) if is_loss(&error) => Ok((0, Filled::Eof)),
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
        let stopping = self.is_stopping();
        let (count, filled) = self.read(inbound.read_buf(), deadline)?;
        inbound.filled(count);
        if stopping {
            self.caught_up |= filled != Filled::Bytes;
            self.leave_by = self.leave_by.or_else(|| self.last_words());
        }
        Ok(filled)
    }

    /// When what comes before the goodbye of a listener that shuts down has had its time.
    pub(crate) fn last_words(&self) -> Option<Instant> {
        let time = self.place.as_ref().map(|place| place.last_words());
        time.and_then(|time| Instant::now().checked_add(time))
    }

    /// Whether the listener shuts down, and what had come before is read and answered, or takes too
    /// long.
    pub(crate) fn is_leaving(&self) -> bool {
        self.caught_up || self.leave_by.is_some_and(|by| by <= Instant::now())
    }

    /// Whether the listener shuts down, and there has been time enough for what comes before the goodbye:
    /// asked before each message, as a busy reader does not come to read again.
    pub(crate) fn is_overdue(&mut self) -> bool {
        if self.leave_by.is_none() && self.is_stopping() {
            self.leave_by = self.last_words();
        }
        self.leave_by.is_some_and(|by| by <= Instant::now())
    }

    /// Says goodbye if it is time to.
    pub(crate) fn leave(&self, inbound: &mut Inbound, outbound: &mut Outbound) {
        if self.is_leaving() {
            outbound.set_now(self.now());
            // What is not open yet has nobody to say goodbye to.
            if outbound.close(CloseCode::GOING_AWAY, "") == Err(SendError::NotOpen) {
                inbound.receive_eof();
            }
        }
    }

    /// Whether a message is one that came after the goodbye of a listener that shuts down, when nothing
    /// can be answered any more.
    pub(crate) fn is_too_late(&self, outbound: &Outbound) -> bool {
        self.is_stopping() && !outbound.is_open()
    }

    /// Tells what a read has come to.
    pub(crate) fn react(
        &self,
        filled: Filled,
        now: ws_core::Instant,
        inbound: &mut Inbound,
        outbound: &mut Outbound,
    ) {
        inbound.handle_timeout(now, outbound);
        if filled == Filled::Eof {
            inbound.receive_eof();
        }
    }

    /// Writes what is left, for as long as a peer may take to close.
    pub(crate) fn write_last(&mut self, outbound: &mut Outbound) {
        let patience = outbound.close_timeout().map_or(PATIENCE, |time| time.min(PATIENCE));
        let by = Instant::now().checked_add(patience);
        // One who closes has waited before.
        self.write_by = self.write_by.map_or(by, |before| by.map(|by| by.min(before)));
        let _ = self.flush(outbound);
    }

    /// Shuts the write side down. What TLS has to say then is bounded as all that is written.
    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        if self.set_write_timeout().is_err() {
            self.set_write = None;
            let _ = self.stream.set_write_timeout(Some(MIN_WAIT));
        }
        self.stream.shutdown_write()
    }

    /// Ends the stream, all output being written: the write side is shut down when that is our part, and
    /// the peer's end awaited within the bounds that `look` gives. What still comes is dropped, for to
    /// close a stream with unread bytes would destroy what the peer has not read yet.
    ///
    /// A stream without time-outs is not waited for; with `quiet`, neither is a peer that has been
    /// silent for so long.
    pub(crate) fn linger(
        &mut self,
        quiet: Option<Duration>,
        mut look: impl FnMut(ws_core::Instant) -> Look,
    ) {
        let patience = self.now().saturating_add(PATIENCE);
        let mut shut = false;
        let mut left = MAX_DISCARD;
        let mut scratch = [0; 16 * 1024];
        loop {
            let now = self.now();
            let Look { wants_shutdown, finished, until } = look(now);
            if !shut && wants_shutdown {
                shut = true;
                if self.shutdown_write().is_err() {
                    return;
                }
            }
            let until = until.unwrap_or(patience);
            if finished || left == 0 || until.saturating_since(now).is_zero() {
                break;
            }
            let until = earlier(Some(until), quiet.map(|quiet| now.saturating_add(quiet)), now);
            if self.set_read_timeout(until).is_err() || self.timeless {
                break;
            }
            match self.read(&mut scratch, until) {
                Ok((count, Filled::Bytes)) => left = left.saturating_sub(count),
                // Here the peer's end does not show.
                Ok((_, Filled::TimedOut)) if shut && self.is_stopping() => break,
                Ok((_, Filled::TimedOut)) if quiet.is_none() => {}
                Ok((_, Filled::TimedOut)) => break,
                Ok((_, Filled::Eof)) | Err(_) => break,
            }
        }
        if !shut {
            let _ = self.shutdown_write();
        }
    }
}

pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

pub(crate) fn is_loss(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
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
