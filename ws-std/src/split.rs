//! Reading and writing at the same time, from several threads.
//!
//! The receiving side belongs to the reader alone. The sending side is behind a mutex that is held for
//! as long as it takes to encode or to parse, never across a system call. A second lock is for
//! the stream: whoever holds it writes all output that there is, and looks again after it has let go.
//! So a reader that owes a Pong while a writer is blocked leaves it in the output and reads on.

use std::io;
use std::mem;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use ws_core::endpoint::{CloseInfo, Event, Inbound, Outbound, Output};
use ws_core::{CloseCode, Message, PreparedMessage, SendError};

use crate::error::{Deadline, Error, Result};
use crate::socket::{Driver, Filled, Link, MAX_DISCARD, WebSocket, earlier};
use crate::transport::Transport;

/// How many threads may wait to send on one connection; more get [`Error::Busy`].
pub const MAX_WAITING: usize = 64;

/// How long the last words may take when the reader is dropped.
const FAREWELL: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Shared<T> {
    outbound: Mutex<Outbound>,
    stream: Mutex<WriteSide<T>>,
    waiting: AtomicUsize,
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
/// it is dropped, the connection is closed with 1001.
#[derive(Debug)]
pub struct Reader<T: Transport = TcpStream> {
    inbound: Inbound,
    link: Link<T>,
    shared: Arc<Shared<T>>,
    finished: bool,
}

/// The sending half of a [`WebSocket`] after [`split`](WebSocket::split); clone it for each
/// thread that sends.
#[derive(Debug)]
pub struct Writer<T: Transport = TcpStream> {
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
    /// # Errors
    ///
    /// The stream has no second handle.
    pub fn split(self) -> Result<(Reader<T>, Writer<T>)> {
        let Driver { endpoint, link, finished } = self.driver;
        let write = link.try_clone()?;
        let (inbound, outbound) = endpoint.into_sides();
        let shared = Arc::new(Shared {
            outbound: Mutex::new(outbound),
            stream: Mutex::new(WriteSide { link: write, batch: Output::default() }),
            waiting: AtomicUsize::new(0),
        });
        let writer = Writer { shared: shared.clone() };
        Ok((Reader { inbound, link, shared, finished }, writer))
    }
}

impl<T: Transport> Shared<T> {
    fn outbound(&self) -> MutexGuard<'_, Outbound> {
        self.outbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all output. With the stream in another's hands, it waits for it or leaves the
    /// output to them.
    fn flush(&self, mut wait: bool) -> Result<()> {
        loop {
            let side = if wait {
                self.stream.lock().unwrap_or_else(PoisonError::into_inner)
            } else {
                match self.stream.try_lock() {
                    Ok(side) => side,
                    Err(TryLockError::Poisoned(side)) => side.into_inner(),
                    Err(TryLockError::WouldBlock) => return Ok(()),
                }
            };
            self.write_all(side)?;
            // Somebody may have found the stream taken between the last look and its release.
            if self.outbound().output().is_empty() {
                return Ok(());
            }
            wait = false;
        }
    }

    fn write_all(&self, mut side: MutexGuard<'_, WriteSide<T>>) -> Result<()> {
        let WriteSide { link, batch } = &mut *side;
        loop {
            if batch.is_empty() {
                mem::swap(batch, self.outbound().output());
            }
            if batch.is_empty() {
                return Ok(());
            }
            link.write(batch)?;
        }
    }

    /// A place among those who wait to send.
    fn enter(&self) -> Result<Place<'_>> {
        let place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            return Err(Error::Busy);
        }
        Ok(place)
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
        let deadline = self.link.deadline();
        loop {
            let (event, closed, timeout) = {
                let mut outbound = self.shared.outbound();
                let event = self.inbound.poll_event(&mut outbound);
                (event, outbound.is_closed(), self.inbound.poll_timeout(&outbound))
            };
            match event {
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
            // What a peer that is gone has said before is still read.
            if let Err(Error::Timeout(deadline)) = self.shared.flush(false) {
                return Err(Error::Timeout(deadline));
            }
            let until = earlier(timeout, deadline, self.link.now());
            let filled = self.link.fill(&mut self.inbound, until)?;
            let now = self.link.now();
            self.inbound.handle_timeout(now, &mut self.shared.outbound());
            match filled {
                Filled::Bytes => {}
                Filled::Eof => self.inbound.receive_eof(),
                Filled::TimedOut => {
                    if deadline.is_some_and(|deadline| deadline.saturating_since(now).is_zero()) {
                        return Err(Error::Timeout(Deadline::Read));
                    }
                }
            }
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
        let _ = self.shared.flush(true);
        let mut shut = false;
        let mut left = MAX_DISCARD;
        let mut scratch = [0; 16 * 1024];
        loop {
            let (wants_shutdown, finished, until) = {
                let outbound = self.shared.outbound();
                let until = self.inbound.poll_timeout(&outbound);
                (outbound.wants_shutdown(), outbound.is_finished(), until)
            };
            if !shut && wants_shutdown {
                shut = true;
                if self.link.stream.shutdown_write().is_err() {
                    break;
                }
            }
            let Some(until) = until.filter(|_| !finished && left > 0) else { break };
            match self.link.read(&mut scratch, Some(until)) {
                Ok((count, Filled::Bytes)) => left = left.saturating_sub(count),
                Ok((_, Filled::TimedOut)) => {}
                Ok((_, Filled::Eof)) | Err(_) => break,
            }
            let now = self.link.now();
            self.inbound.handle_timeout(now, &mut self.shared.outbound());
        }
        if !shut {
            let _ = self.link.stream.shutdown_write();
        }
    }
}

impl<T: Transport> Drop for Reader<T> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let _ = self.shared.outbound().close(CloseCode::GOING_AWAY, "");
        if let Ok(mut side) = self.shared.stream.try_lock() {
            side.link.write_timeout = Some(FAREWELL);
            let _ = self.shared.write_all(side);
        }
        let _ = self.link.stream.shutdown_write();
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
        let _place = self.shared.enter()?;
        for message in messages {
            let mut message = message.into();
            loop {
                let result = self.shared.outbound().send(message);
                match result {
                    Ok(()) => break,
                    Err(unsent) if unsent.error == SendError::OutputFull => {
                        message = unsent.message;
                        self.shared.flush(true)?;
                    }
                    Err(unsent) => return Err(unsent.into()),
                }
            }
        }
        self.shared.flush(true)
    }

    /// Sends a message that was encoded before, as for many receivers.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_prepared(&self, message: &PreparedMessage) -> Result<()> {
        let _place = self.shared.enter()?;
        loop {
            let result = self.shared.outbound().send_prepared(message);
            match result {
                Ok(()) => return self.shared.flush(true),
                Err(SendError::OutputFull) => self.shared.flush(true)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a Ping with up to 125 bytes.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn ping(&self, payload: &[u8]) -> Result<()> {
        let _place = self.shared.enter()?;
        self.shared.outbound().ping(payload)?;
        self.shared.flush(true)
    }

    /// Starts the closing handshake; the [`Reader`] sees its end.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Error::Send`] for a code or reason that is not allowed.
    pub fn close(&self, code: impl Into<Option<CloseCode>>, reason: &str) -> Result<()> {
        self.shared.outbound().close(code, reason)?;
        self.shared.flush(true)
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        self.shared.outbound().is_open()
    }
}

impl<T: Transport> Link<T> {
    /// A second handle to the stream, for writing.
    fn try_clone(&self) -> io::Result<Self> {
        let mut clone = Self::new(self.stream.try_clone()?, self.start);
        clone.write_timeout = self.write_timeout;
        Ok(clone)
    }
}
