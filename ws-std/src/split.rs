//! Reading and writing at the same time, from several threads.
//!
//! The receiving side belongs to the reader alone. The sending side is behind a mutex that is held for
//! as long as it takes to encode or to parse, never while the stream is read or written. A second lock is for
//! writing to the stream. Whoever holds it writes what waits, and tries to write what others have added meanwhile,
//! once more after it has let go. So a reader that owes a Pong while a writer is blocked leaves it in the output,
//! reads on, and comes back to it soon. A blocked writer looks at the time at least every 50 milliseconds, so
//! that it ends when the connection does.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use ws_core::endpoint::{CloseInfo, Endpoint, Event, Inbound, Outbound};
use ws_core::{CloseCode, Message, PreparedMessage, SendError};

use crate::driver::{Driver, Got, ReadState, Reading};
use crate::error::{Deadline, Error, Result};
use crate::link::{Bounds, ENDING_TIMEOUT, Link, MIN_WAIT, Sending, Written};
use crate::socket::WebSocket;
use crate::transport::{Stream, Transport};

/// How many threads may wait to send on one connection; more get [`Error::Busy`].
pub const MAX_WAITING: usize = 64;

/// How long the ending may take when the reader is dropped.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);
/// A peer that has sent nothing for so long is not waited for then.
const QUIET: Duration = Duration::from_millis(100);

/// How many milliseconds the reader has the stream at the most, to write what it owes.
const READERS_TURN: u32 = 50;

#[derive(Debug)]
struct Shared<T> {
    outbound: Mutex<Outbound>,
    stream: Mutex<Link<T>>,
    waiting: AtomicUsize,
    /// A Close frame is in the output of which only the holder of the stream may know.
    close_left: AtomicBool,
    /// How many writes have timed out.
    timeouts: AtomicUsize,
    /// When the connection ends at the latest, even if the peer still takes what waits.
    end_by: OnceLock<Instant>,
    /// The longest wait of the reader before it looks at the sending side again.
    look: Duration,
}

impl<T> Sending for &Shared<T> {
    fn with<R>(&mut self, look: impl FnOnce(&mut Outbound) -> R) -> R {
        let mut outbound = self.outbound();
        if self.end_by.get().is_some_and(|by| *by <= Instant::now()) {
            outbound.receive_reset();
        }
        look(&mut outbound)
    }
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
    state: ReadState,
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
        let Driver { endpoint, mut link, finished, state } = self.driver;
        let write = link.split()?;
        let Endpoint { inbound, outbound, .. } = endpoint;
        let look =
            outbound.close_timeout().map_or(ENDING_TIMEOUT, |timeout| timeout.min(ENDING_TIMEOUT));
        let shared = Arc::new(Shared {
            outbound: Mutex::new(outbound),
            stream: Mutex::new(write),
            waiting: AtomicUsize::new(0),
            close_left: AtomicBool::new(false),
            timeouts: AtomicUsize::new(0),
            end_by: OnceLock::new(),
            look,
        });
        let writer = Writer { shared: shared.clone() };
        Ok((Reader { inbound, link, shared, state, finished }, writer))
    }
}

impl<T> Shared<T> {
    fn outbound(&self) -> MutexGuard<'_, Outbound> {
        self.outbound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Transport> Shared<T> {
    fn look(&self) -> Duration {
        let left = self.end_by.get().map(|by| by.saturating_duration_since(Instant::now()));
        left.map_or(self.look, |left| left.min(self.look))
    }

    /// Writes the output that waits; waits for the stream while it is in another's hands.
    fn flush(&self) -> Result<()> {
        let timeouts = self.timeouts.load(Ordering::Relaxed);
        let side = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        // A peer that kept another waiting so long is not worth as long again.
        if self.timeouts.load(Ordering::Relaxed) != timeouts {
            return Err(Error::Timeout(Deadline::Write));
        }
        self.flush_with(side)
    }

    fn flush_with(&self, mut side: MutexGuard<'_, Link<T>>) -> Result<()> {
        side.flush(&mut &*self).inspect_err(|error| {
            if matches!(error, Error::Timeout(_)) {
                self.timeouts.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    /// Writes output as far as the stream takes it at once, if nobody else is about to: the reader must not
    /// wait behind the messages of others. They look at the output again when they are done.
    fn write_now(&self) -> Result<Written> {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return Ok(Written::Others);
        }
        loop {
            let Some(mut side) = self.try_stream() else { return Ok(Written::Others) };
            let written = side.write_now(&mut &*self)?;
            drop(side);
            // Somebody may have found the stream taken between the last look at the output and its release.
            if written != Written::All || self.outbound().waiting() == 0 {
                return Ok(written);
            }
        }
    }

    /// Writes what others have left to the holder of the stream, unless another has it by now.
    ///
    /// It is tried once, because the reader or the next one that sends goes on. Only a Close frame that was left is
    /// waited for: nobody else may come.
    fn write_rest(&self) {
        if self.close_left.swap(false, Ordering::Relaxed) {
            let Some(side) = self.try_stream() else { return };
            let _ = self.flush_with(side);
        }
        let _ = self.write_now();
    }

    /// The stream for writing, unless it is in another's hands: they look at the output again
    /// after they have let go.
    fn try_stream(&self) -> Option<MutexGuard<'_, Link<T>>> {
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

    /// Queues output and writes it. What the reader has left to us meanwhile is written, too: it has seen
    /// our place before we gave it up, so that what it owes is in the output when we look again.
    fn send(&self, queue: impl FnOnce() -> Result<()>) -> Result<()> {
        let place = self.enter()?;
        let result = queue().and_then(|()| self.flush());
        drop(place);
        if matches!(result, Err(Error::Timeout(_) | Error::Send(SendError::OutputFull))) {
            // The stream takes nothing at the moment.
            let _ = self.write_now();
        } else {
            self.write_rest();
        }
        result
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
        loop {
            let Self { inbound, link, shared, state, .. } = self;
            let shared = &**shared;
            let mut sending = shared;
            let look = || Some(shared.look());
            let got = Reading {
                inbound,
                sending: &mut sending,
                link,
                state,
                write: |_: &mut Link<T>, shared: &mut &Shared<T>| shared.write_now(),
                others: &leave,
                look,
            }
            .next(deadline, false);
            match got {
                Ok(Got::Event(Event::Message(message))) => return Ok(Some(message)),
                Ok(Got::Event(Event::Closed) | Got::Over) => {
                    self.finish(Bounds::default());
                    return Ok(None);
                }
                Ok(Got::Event(_) | Got::Message) => {}
                Err(error) => {
                    if self.inbound.failure().is_some() {
                        self.finish(Bounds::default());
                    }
                    return Err(error);
                }
            }
        }
    }

    /// As [`WebSocket::close_info`].
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.inbound.close_info(&self.shared.outbound())
    }

    /// As [`WebSocket::set_read_timeout`].
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.link.read_timeout = timeout;
    }

    /// Ends the stream, as the end of a connection that is not split.
    fn finish(&mut self, bounds: Bounds) {
        if !mem::replace(&mut self.finished, true) {
            self.link.end(&mut &*self.shared, bounds, |_, shared| shared.write_now());
        }
    }
}

impl<T: Transport> Drop for Reader<T> {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.shared.outbound().start_close(CloseCode::GOING_AWAY, "");
            // Nobody is left to see the peer agree.
            let bounds = Bounds { total: Some(DROP_TIMEOUT), quiet: Some(QUIET), shut_down: true };
            self.finish(bounds);
        }
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
    ///
    /// Threads that send at the same time write each other's messages. When the peer closes in the middle of
    /// one, those that are still waiting for their turn get [`SendError::Closing`], even if another has written
    /// theirs before.
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
            let result = self.shared.outbound().queue(message);
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
                    let result = self.shared.outbound().queue_prepared(message);
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
        self.shared.send(|| Ok(self.shared.outbound().ping(payload)?))
    }

    /// Starts the closing handshake; the [`Reader`] sees its end, within
    /// [`Config::close_timeout`](crate::Config::close_timeout). The Close frame follows what others send at
    /// the moment, and does not wait for them.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Error::Send`] for a code or reason that is not allowed.
    pub fn start_close(&self, code: impl Into<Option<CloseCode>>, reason: &str) -> Result<()> {
        self.shared.outbound().start_close(code, reason)?;
        for _ in 0..READERS_TURN {
            if let Some(side) = self.shared.try_stream() {
                self.shared.flush_with(side)?;
                self.shared.write_rest();
                return Ok(());
            }
            thread::sleep(MIN_WAIT);
        }
        // A writer that has the stream for longer looks at the output again.
        self.shared.close_left.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Puts a Close frame behind what waits to be written, and writes nothing.
    pub(crate) fn queue_close(&self, code: CloseCode, reason: &str) {
        // If it fails, the connection is closing already.
        let _ = self.shared.outbound().start_close(code, reason);
    }

    /// Ends the connection at the latest when this time and the closing time-out have passed, even if the peer
    /// still takes what waits. The first call counts.
    pub(crate) fn end_within(&self, time: Duration) {
        let closing = self.shared.outbound().close_timeout().unwrap_or(ENDING_TIMEOUT);
        if let Some(by) = Instant::now().checked_add(time.saturating_add(closing)) {
            let _ = self.shared.end_by.set(by);
        }
    }

    /// Writes what waits.
    pub(crate) fn flush(&self) -> Result<()> {
        self.shared.send(|| Ok(()))
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        self.shared.outbound().is_open()
    }
}
