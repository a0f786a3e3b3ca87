//! Reading and writing at the same time, from several threads.
//!
//! The receiving side belongs to the reader alone. The sending side is behind a mutex that is held for
//! as long as it takes to encode or to parse, never across a system call. A second lock is for
//! the stream: whoever holds it writes all output that there is, and looks again after it has let go.
//! So a reader that owes a Pong while a writer is blocked leaves it in the output and reads on.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use ws_core::endpoint::{CloseInfo, Event, Inbound, Outbound, Output};
use ws_core::{CloseCode, Message, PreparedMessage, SendError};

use crate::driver::Driver;
use crate::error::{Deadline, Error, Result};
use crate::link::{Link, Look, PATIENCE, earlier};
use crate::socket::WebSocket;
use crate::transport::{Stream, Transport};

/// How many threads may wait to send on one connection; more get [`Error::Busy`].
pub const MAX_WAITING: usize = 64;

/// How long the last words, and then the peer's end, may take when the reader is dropped.
const FAREWELL: Duration = Duration::from_secs(1);
/// A peer that has sent nothing for so long is not waited for then.
const QUIET: Duration = Duration::from_millis(100);

/// How much is written at once: a write that blocks does not show that the peer takes it.
const PIECE: usize = 256 * 1024;

#[derive(Debug)]
struct Shared<T> {
    outbound: Mutex<Outbound>,
    stream: Mutex<WriteSide<T>>,
    waiting: AtomicUsize,
    /// How many writes have timed out.
    timeouts: AtomicUsize,
    /// When time zero of the endpoint was.
    start: Instant,
}

#[derive(Debug)]
struct WriteSide<T> {
    link: Link<T>,
    /// Output that was taken to be written, without the other mutex.
    batch: Output,
}

/// The receiving half of a [`WebSocket`] after [`split`](WebSocket::split).
///
/// It answers Pings and Close frames, and keeps the time-outs, while it reads; so keep it reading. When
/// it is dropped, the connection is closed with 1001, which takes two seconds at the most; a thread
/// that is still blocked in [`Writer::send`] then fails.
///
/// It is [`Send`] and [`Sync`] where the stream is.
#[derive(Debug)]
#[must_use = "the connection is closed when this is dropped"]
pub struct Reader<T: Transport = Stream> {
    inbound: Inbound,
    link: Link<T>,
    shared: Arc<Shared<T>>,
    /// The longest wait before the sending side is looked at again, and for the last words.
    look: Duration,
    /// When a goodbye that was left to others is said nevertheless.
    leave_by: Option<Instant>,
    finished: bool,
}

/// The sending half of a [`WebSocket`] after [`split`](WebSocket::split); clone it for each
/// thread that sends. It is [`Send`] and [`Sync`] where the stream is [`Send`].
///
/// The stream is closed when the reader and all writers are dropped: a writer that is kept, even if it can
/// send no more, holds the file descriptor and a place of
/// [`ListenerBuilder::max_connections`](crate::ListenerBuilder::max_connections).
#[derive(Debug)]
pub struct Writer<T: Transport = Stream> {
    shared: Arc<Shared<T>>,
}

impl<T: Transport> Clone for Writer<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T: Transport> WebSocket<T> {
    /// Splits the connection into a half that reads and one that writes, for threads of their own.
    ///
    /// Send from other threads than the one that reads: when both peers stop reading until they
    /// have written, each waits for the other until the write time-out ends it.
    ///
    /// ```no_run
    /// let (mut reader, writer) = ws_std::connect("ws://127.0.0.1:9001/")?.split()?;
    /// let ticker = std::thread::spawn(move || {
    ///     while writer.send("tick").is_ok() {
    ///         std::thread::sleep(std::time::Duration::from_secs(1));
    ///     }
    /// });
    /// while let Some(message) = reader.read()? {
    ///     println!("{:?}", message.as_text());
    /// }
    /// # ticker.join().unwrap();
    /// # Ok::<(), ws_std::Error>(())
    /// ```
    ///
    /// What the opening handshake has agreed upon, as [`subprotocol`](Self::subprotocol), is to be
    /// taken before. To drop the last [`Writer`] changes nothing for the reader.
    ///
    /// # Errors
    ///
    /// The stream has no second handle.
    pub fn split(self) -> Result<(Reader<T>, Writer<T>)> {
        let Driver { endpoint, link, finished, .. } = self.driver;
        let mut write = link.try_clone()?;
        write.max_write = PIECE;
        let (inbound, outbound) = endpoint.into_sides();
        let look = outbound.close_timeout().map_or(PATIENCE, |timeout| timeout.min(PATIENCE));
        let shared = Arc::new(Shared {
            outbound: Mutex::new(outbound),
            stream: Mutex::new(WriteSide { link: write, batch: Output::default() }),
            waiting: AtomicUsize::new(0),
            timeouts: AtomicUsize::new(0),
            start: link.start,
        });
        let writer = Writer { shared: shared.clone() };
        Ok((Reader { inbound, link, shared, look, leave_by: None, finished }, writer))
    }
}

impl<T: Transport> Shared<T> {
    fn outbound(&self) -> MutexGuard<'_, Outbound> {
        self.outbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sending side, told the time of what is about to be sent.
    fn outbound_now(&self) -> MutexGuard<'_, Outbound> {
        let mut outbound = self.outbound();
        outbound.set_now(ws_core::Instant::from_elapsed(self.start.elapsed()));
        outbound
    }

    /// Writes all output; waits for the stream while it is in another's hands.
    fn flush(&self) -> Result<()> {
        let timeouts = self.timeouts.load(Ordering::Relaxed);
        let side = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        // A peer that kept another waiting so long is not worth as long again.
        if self.timeouts.load(Ordering::Relaxed) != timeouts {
            return Err(Error::Timeout(Deadline::Write));
        }
        self.write_all(side)?;
        self.look_again()
    }

    /// Writes all output if nobody else is about to: the reader must not wait behind the messages of
    /// others. They look at the output again when they are done.
    fn flush_or_leave(&self) -> Result<()> {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        match self.try_stream() {
            Some(side) => {
                self.write_all(side)?;
                self.look_again()
            }
            None => Ok(()),
        }
    }

    /// Somebody may have found the stream taken between the last look at the output and its release.
    fn look_again(&self) -> Result<()> {
        while !self.outbound().output().is_empty() {
            let Some(side) = self.try_stream() else { break };
            self.write_all(side)?;
        }
        Ok(())
    }

    /// The stream for writing, unless it is in another's hands: they look at the output again
    /// after they have let go.
    fn try_stream(&self) -> Option<MutexGuard<'_, WriteSide<T>>> {
        match self.stream.try_lock() {
            Ok(side) => Some(side),
            Err(TryLockError::Poisoned(side)) => Some(side.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Writes what waits, as a message was not taken because of it.
    fn make_room(&self) -> Result<()> {
        match self.flush() {
            // Not a time-out to the caller, as that means that the message was taken.
            Err(Error::Timeout(Deadline::Write)) => Err(SendError::OutputFull.into()),
            result => result,
        }
    }

    /// Writes the last output, within some time. Whoever has the stream is given as long to write it.
    fn write_last(&self, patience: Duration) {
        let begun = Instant::now();
        loop {
            if let Some(mut side) = self.try_stream() {
                side.link.write_by = begun.checked_add(patience);
                let _ = self.write_all(side);
                return;
            }
            if begun.elapsed() >= patience {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn write_all(&self, mut side: MutexGuard<'_, WriteSide<T>>) -> Result<()> {
        let WriteSide { link, batch } = &mut *side;
        loop {
            self.outbound().take_output(batch);
            if batch.is_empty() && !link.unflushed {
                return Ok(());
            }
            link.write(batch, |count| self.outbound().written(count)).inspect_err(|error| {
                if matches!(error, Error::Timeout(_)) {
                    self.timeouts.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.outbound().written(usize::MAX); // nobody will write it
                }
            })?;
        }
    }

    /// Queues output and writes it. What the reader has left to us meanwhile is written, too: it has seen
    /// our place before we gave it up, so that what it owes is in the output when we look again.
    fn send(&self, queue: impl FnOnce() -> Result<()>) -> Result<()> {
        let place = self.enter()?;
        let result = queue().and_then(|()| self.flush());
        drop(place);
        match result {
            Ok(()) => self.look_again(),
            // The stream takes nothing.
            Err(Error::Timeout(_) | Error::Send(SendError::OutputFull)) => result,
            Err(_) => {
                let _ = self.look_again();
                result
            }
        }
    }

    /// A place among those who wait to send.
    fn enter(&self) -> Result<Place<'_>> {
        let more = |count: usize| (count < MAX_WAITING).then(|| count.saturating_add(1));
        match self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Place(&self.waiting)),
            Err(_) => Err(Error::Busy),
        }
    }
}

struct Place<'s>(&'s AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T: Transport> Reader<T> {
    /// As [`WebSocket::read`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::read`].
    pub fn read(&mut self) -> Result<Option<Message>> {
        self.read_leaving(|| false)
    }

    /// As [`read`](Self::read). When the listener shuts down, `leave` may see to it that the closing
    /// handshake is started, after what waits to be sent; it gives whether it does. It has a time for that.
    pub(crate) fn read_leaving(&mut self, leave: impl Fn() -> bool) -> Result<Option<Message>> {
        let deadline = self.link.deadline();
        let mut late = false;
        loop {
            if self.link.is_overdue() {
                self.leave(&leave);
            }
            let (event, too_late, closed, until) = {
                let mut outbound = self.shared.outbound();
                let event = self.inbound.poll_event(&mut outbound);
                let too_late = self.link.is_too_late(&outbound);
                (event, too_late, outbound.is_closed(), self.inbound.poll_timeout(&outbound))
            };
            match event {
                Ok(Some(Event::Message(_))) if too_late => continue,
                Ok(Some(Event::Message(message))) => return Ok(Some(message)),
                Ok(Some(Event::Closed(_))) => {
                    self.finish();
                    return Ok(None);
                }
                Ok(Some(_)) => continue,
                Ok(None) if closed => {
                    self.finish();
                    return Ok(None);
                }
                Ok(None) => {}
                Err(error) => {
                    self.finish();
                    return Err(error.into());
                }
            }
            if late {
                return Err(Error::Timeout(Deadline::Read));
            }
            if self.link.is_leaving() {
                self.leave(&leave);
            }
            // What a peer that is gone has said before is still read.
            if let Err(Error::Timeout(deadline)) = self.shared.flush_or_leave() {
                return Err(Error::Timeout(deadline));
            }
            // A writer may start the closing handshake, or leave something unwritten, while this waits.
            let now = self.link.now();
            let look = Some(now.saturating_add(self.look));
            let until = earlier(earlier(until, deadline, now), look, now);
            let filled = self.link.fill(&mut self.inbound, until)?;
            let now = self.link.now();
            self.link.react(filled, now, &mut self.inbound, &mut self.shared.outbound());
            late = deadline.is_some_and(|deadline| deadline.saturating_since(now).is_zero());
        }
    }

    fn leave(&mut self, leave: impl Fn() -> bool) {
        let now = Instant::now();
        let by = *self.leave_by.get_or_insert_with(|| {
            if leave() { self.link.last_words().unwrap_or(now) } else { now }
        });
        if by <= now {
            self.link.leave(&mut self.inbound, &mut self.shared.outbound());
        }
    }

    /// As [`WebSocket::close_info`].
    pub fn close_info(&self) -> Option<&CloseInfo> {
        self.inbound.close_info()
    }

    /// As [`WebSocket::set_read_timeout`].
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.link.read_timeout = timeout;
    }

    /// Ends the stream, as the end of a connection that is not split.
    fn finish(&mut self) {
        if mem::replace(&mut self.finished, true) {
            return;
        }
        self.link.write_by = Instant::now().checked_add(self.look);
        self.shared.write_last(self.look);
        self.link.linger(None, |now| Look::at(now, &mut self.shared.outbound()));
    }
}

impl<T: Transport> Drop for Reader<T> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let _ = self.shared.outbound_now().close(CloseCode::GOING_AWAY, "");
        self.link.write_by = Instant::now().checked_add(FAREWELL);
        self.shared.write_last(FAREWELL);
        let patience = self.link.now().saturating_add(FAREWELL);
        self.link.linger(Some(QUIET), |now| {
            let look = Look::at(now, &mut self.shared.outbound());
            // Nobody is left to see the peer agree.
            Look { wants_shutdown: true, until: Some(patience), ..look }
        });
    }
}

impl<T: Transport> Writer<T> {
    /// Sends a message; it is on the wire when this returns.
    ///
    /// While others send on the same connection it waits for its turn.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`], and [`Error::Busy`] when [`MAX_WAITING`] threads wait: nothing was sent.
    pub fn send(&self, message: impl Into<Message>) -> Result<()> {
        self.send_batch([message])
    }

    /// Sends several messages with as few writes as possible; they are on the wire when this returns.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); the messages before the one that failed may be sent.
    pub fn send_batch<M: Into<Message>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<()> {
        let messages: Vec<Message> = messages.into_iter().map(Into::into).collect();
        self.shared.send(|| messages.into_iter().try_for_each(|message| self.queue(message)))
    }

    fn queue(&self, mut message: Message) -> Result<()> {
        loop {
            let result = self.shared.outbound_now().send(message);
            match result {
                Ok(()) => return Ok(()),
                Err(unsent) if unsent.error == SendError::OutputFull => {
                    message = unsent.message;
                    self.shared.make_room()?;
                }
                Err(unsent) => return Err(unsent.into()),
            }
        }
    }

    /// Sends a message that was encoded before, as for many receivers.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_prepared(&self, message: &PreparedMessage) -> Result<()> {
        self.send_prepared_batch([message])
    }

    /// Sends several messages that were encoded before with as few writes as possible.
    ///
    /// # Errors
    ///
    /// As [`send_batch`](Self::send_batch).
    pub fn send_prepared_batch<'m>(
        &self,
        messages: impl IntoIterator<Item = &'m PreparedMessage>,
    ) -> Result<()> {
        self.shared.send(|| {
            messages.into_iter().try_for_each(|message| {
                loop {
                    let result = self.shared.outbound_now().send_prepared(message);
                    match result {
                        Ok(()) => return Ok(()),
                        Err(SendError::OutputFull) => self.shared.make_room()?,
                        Err(error) => return Err(error.into()),
                    }
                }
            })
        })
    }

    /// Sends a Ping with up to 125 bytes.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn ping(&self, payload: &[u8]) -> Result<()> {
        self.shared.send(|| Ok(self.shared.outbound_now().ping(payload)?))
    }

    /// Starts the closing handshake; the [`Reader`] sees its end.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Error::Send`] for a code or reason that is not allowed.
    pub fn close(&self, code: impl Into<Option<CloseCode>>, reason: &str) -> Result<()> {
        self.shared.outbound_now().close(code, reason)?;
        self.shared.flush()
    }

    /// Puts a Close frame behind what waits to be written, and writes nothing.
    pub(crate) fn start_close(&self, code: CloseCode, reason: &str) {
        // If it fails, the connection is closing already.
        let _ = self.shared.outbound_now().close(code, reason);
    }

    /// Writes what waits.
    pub(crate) fn flush(&self) -> Result<()> {
        self.shared.flush()
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        self.shared.outbound().is_open()
    }
}
