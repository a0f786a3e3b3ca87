//! Reading and writing at the same time, from several threads.
//!
//! The receiving side belongs to the reader alone. All writers and the reader share the sending side, which is
//! [`SharedWriter`].

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ws_core::endpoint::{CloseInfo, Endpoint, Event, Inbound, Outbound};
use ws_core::{CloseCode, Message, PreparedMessage, SendError};

use crate::close::CloseLimits;
use crate::driver::{self, Driver, Got, PongHook, ReadState, Reading};
use crate::error::Result;
use crate::link::Link;
use crate::shared_writer::SharedWriter;
use crate::socket::{WebSocket, queue_or_keep};
use crate::transport::{Stream, Transport};

/// How many threads may wait to send on one connection. Any more get [`Error::Busy`](crate::Error::Busy).
pub const MAX_WAITING: usize = 64;

/// How long the closing handshake may take when the reader is dropped.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the dropped reader waits for a peer that sends nothing.
const MAX_SILENCE: Duration = Duration::from_millis(100);

/// The receiving half of a [`WebSocket`] after [`split`](WebSocket::split).
///
/// It answers Pings and Close frames, and keeps the time-outs, while it reads. So keep reading.
///
/// Dropping it closes the connection with 1001, or with 1011 if its thread panics, which takes at most two seconds. A
/// thread that is still blocked in
/// [`Writer::send`] then gets an error. If [`read`](Self::read) has returned `None` before, dropping the reader may
/// wait for the peer to end the stream, as with a whole [`WebSocket`].
///
/// It is [`Send`] and [`Sync`] if the stream is.
#[derive(Debug)]
#[must_use = "the connection is closed when this is dropped"]
pub struct Reader<T: Transport = Stream> {
    inbound: Inbound,
    link: Link<T>,
    shared: Arc<SharedWriter<T>>,
    state: ReadState,
}

/// The sending half of a [`WebSocket`] after [`split`](WebSocket::split). Clone it for each thread that sends. It is
/// [`Send`] and [`Sync`] if the stream is [`Send`].
///
/// The stream is closed when the reader and all writers have been dropped. A writer that is kept holds the file
/// descriptor and a place of [`ListenerBuilder::max_connections`](crate::ListenerBuilder::max_connections), even if it
/// can no longer send. A thread that panics and drops a writer does not end the connection, which belongs to the reader.
///
/// ```
/// let (client, mut server) = ws_std::pair()?;
/// let (_reader, writer) = client.split()?;
/// let threads = ["red", "blue"].map(|name| {
///     let writer = writer.clone();
///     std::thread::spawn(move || writer.send(name))
/// });
/// for thread in threads {
///     thread.join().unwrap()?;
///     assert!(server.read()?.is_some());
/// }
/// # Ok::<(), ws_std::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer<T: Transport = Stream> {
    shared: Arc<SharedWriter<T>>,
    /// Whether the messages of this writer are compressed.
    #[cfg(feature = "deflate")]
    compress: bool,
}

impl<T: Transport> Clone for Writer<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            #[cfg(feature = "deflate")]
            compress: self.compress,
        }
    }
}

impl<T: Transport> WebSocket<T> {
    /// Splits the connection into a half that reads and a half that writes, for different threads.
    ///
    /// Do not send from the thread that reads. If both peers stop reading while they write, each waits for the other
    /// until the write time-out.
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
    /// Before the split, read what the opening handshake has agreed on, such as the [`subprotocol`](Self::subprotocol),
    /// and set the write time-out, which then applies to all writers. The reader returns whole messages only: it has
    /// neither [`read_ref`](Self::read_ref) nor [`read_stream`](Self::read_stream). Dropping the last [`Writer`]
    /// changes nothing for the reader.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) if the stream cannot have a second handle.
    pub fn split(self) -> Result<(Reader<T>, Writer<T>)> {
        let Driver { endpoint, mut link, state } = *self.driver.into_inner();
        let write = link.split()?;
        let Endpoint { inbound, outbound, .. } = endpoint;
        #[cfg(feature = "deflate")]
        let compress = outbound.is_compressing();
        let shared = Arc::new(SharedWriter::new(outbound, write));
        let writer = Writer {
            shared: shared.clone(),
            #[cfg(feature = "deflate")]
            compress,
        };
        Ok((Reader { inbound, link, shared, state }, writer))
    }
}

impl<T: Transport> Reader<T> {
    /// Returns the stream, as [`WebSocket::stream`] does.
    pub fn stream(&self) -> &T {
        &self.link.io.stream
    }

    /// Waits for the next message and returns it, as [`WebSocket::read`] does.
    ///
    /// # Errors
    ///
    /// The errors of [`WebSocket::read`].
    pub fn read(&mut self) -> Result<Option<Message>> {
        self.read_deferring_close(&|| false)
    }

    /// As [`read`](Self::read), except when the listener shuts down. `defer_close` may then arrange for the closing
    /// handshake to start after the queue is written, within a time limit. It returns whether it does.
    pub(crate) fn read_deferring_close(
        &mut self,
        defer_close: &dyn Fn() -> bool,
    ) -> Result<Option<Message>> {
        let deadline = self.link.deadline();
        loop {
            let Self { inbound, link, shared, state } = self;
            let sending = &mut &**shared;
            let mut reading = Reading { inbound, sending, link, state, defer_close };
            match reading.event(deadline, false)? {
                Got::Event(Event::Message(message)) => return Ok(Some(message)),
                Got::Event(_) | Got::Message => {}
                Got::Over => return Ok(None),
            }
        }
    }

    /// Returns the next message if it has arrived, as [`WebSocket::try_read`] does. If a [`Writer`] is writing at the
    /// moment, it also writes what this half owes to the peer.
    ///
    /// # Errors
    ///
    /// The errors of [`WebSocket::try_read`].
    pub fn try_read(&mut self) -> Result<Option<Message>> {
        driver::try_read(self, |reader| &mut reader.link, Self::read)
    }

    /// As [`try_read`](Self::try_read); see [`read_deferring_close`](Self::read_deferring_close).
    pub(crate) fn try_read_deferring_close(
        &mut self,
        defer_close: &dyn Fn() -> bool,
    ) -> Result<Option<Message>> {
        driver::try_read(
            self,
            |reader| &mut reader.link,
            |reader| reader.read_deferring_close(defer_close),
        )
    }

    /// Sets a function that is called with the payload of each Pong, as [`WebSocket::on_pong`] does.
    pub fn on_pong(&mut self, hook: impl FnMut(&[u8]) + Send + Sync + 'static) {
        self.state.on_pong = Some(PongHook(Box::new(hook)));
    }

    /// Returns how the connection ended, as [`WebSocket::close_info`] does.
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.inbound.close_info(&self.shared.outbound())
    }

    /// Changes the limit of messages, as [`WebSocket::set_max_message`] does.
    pub fn set_max_message(&mut self, bytes: u64) {
        self.inbound.set_max_message(bytes);
    }

    /// Sets how long [`read`](Self::read) waits, as [`WebSocket::set_read_timeout`] does.
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.link.read_timeout = timeout;
    }
}

impl<T: Transport> Drop for Reader<T> {
    fn drop(&mut self) {
        if self.state.is_over() {
            let total = self.shared.outbound().close_timeout().unwrap_or(DROP_TIMEOUT);
            let limits = CloseLimits { total: Some(total), ..CloseLimits::default() };
            self.state.finish(&mut self.link, &mut &*self.shared, limits);
        } else if !self.state.is_finished() {
            let code =
                if thread::panicking() { CloseCode::INTERNAL_ERROR } else { CloseCode::GOING_AWAY };
            let _ = self.shared.outbound().start_close(code, "");
            // Nobody is left to read the peer's answer.
            let limits = CloseLimits {
                total: Some(DROP_TIMEOUT),
                quiet: Some(MAX_SILENCE),
                shut_down: true,
            };
            self.state.finish(&mut self.link, &mut &*self.shared, limits);
        }
    }
}

impl<T: Transport> Writer<T> {
    /// Sends a message. When this returns, the message has been written to the stream.
    ///
    /// While other threads send on the same connection, it waits for its turn.
    ///
    /// # Errors
    ///
    /// The errors of [`WebSocket::send`], and [`Error::Busy`](crate::Error::Busy) if [`MAX_WAITING`] threads are
    /// waiting, in which case nothing was sent.
    ///
    /// After a time-out, the next send writes the rest of the message, or else the reader does. The reader does so soon
    /// if it was active in the meantime. Otherwise it does so within the shorter of
    /// [`Config::close_timeout`](crate::Config::close_timeout) and five seconds.
    ///
    /// Threads that send at the same time write each other's messages. If the peer closes in the middle of one, the
    /// threads that are still waiting for their turn get [`SendError::Closing`], even if another thread has already
    /// written their messages.
    pub fn send(&self, message: impl Into<Message>) -> Result<()> {
        self.send_batch([message])
    }

    /// Sends several messages with as few writes as possible. When this returns, they have been written to the stream.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send). The messages before the one that failed may have been sent.
    pub fn send_batch<M: Into<Message>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<()> {
        let messages: Vec<Message> = messages.into_iter().map(Into::into).collect();
        self.shared.send(|| {
            messages.into_iter().try_for_each(|message| {
                let mut message = Some(message);
                self.queue(|out| queue_or_keep(out, &mut message))
            })
        })
    }

    /// Sends a message that was encoded before, for example for many receivers.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send).
    pub fn send_prepared(&self, message: &PreparedMessage) -> Result<()> {
        self.send_prepared_batch([message])
    }

    /// Sends several messages that were encoded before with as few writes as possible.
    ///
    /// # Errors
    ///
    /// The errors of [`send_batch`](Self::send_batch).
    pub fn send_prepared_batch<'m>(
        &self,
        messages: impl IntoIterator<Item = &'m PreparedMessage>,
    ) -> Result<()> {
        self.shared.send(|| {
            messages
                .into_iter()
                .try_for_each(|message| self.queue(|out| out.queue_prepared(message)))
        })
    }

    /// Puts a message of this writer into the output. The compression setting and the message are applied under one
    /// lock.
    fn queue(
        &self,
        mut queue: impl FnMut(&mut Outbound) -> std::result::Result<(), SendError>,
    ) -> Result<()> {
        self.shared.queue(|out| {
            #[cfg(feature = "deflate")]
            out.set_compression(self.compress);
            queue(out)
        })
    }

    /// Sets whether messages are compressed, as [`WebSocket::set_compression`] does, for the messages of this writer
    /// and of its later clones. Other writers are not affected. A writer starts with the setting from before the split.
    #[cfg(feature = "deflate")]
    pub fn set_compression(&mut self, compress: bool) {
        self.compress = compress;
    }

    /// Sends a Ping with a payload of up to 125 bytes (RFC 6455 §5.5.2).
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send).
    pub fn ping(&self, payload: &[u8]) -> Result<()> {
        self.shared.send(|| Ok(self.shared.outbound().ping(payload)?))
    }

    /// Sends an unsolicited Pong, as [`WebSocket::pong`] does.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send).
    pub fn pong(&self, payload: &[u8]) -> Result<()> {
        self.shared.send(|| Ok(self.shared.outbound().pong(payload)?))
    }

    /// Starts the closing handshake (RFC 6455 §7.1.2). The [`Reader`] completes it, within
    /// [`Config::close_timeout`](crate::Config::close_timeout). The Close frame follows what other threads are sending
    /// at the moment, and does not wait for them.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send), and [`Error::Send`](crate::Error::Send) for a code or reason that is not
    /// allowed.
    pub fn start_close(&self, code: impl Into<CloseCode>, reason: &str) -> Result<()> {
        self.shared.outbound().start_close(code, reason)?;
        self.shared.write_close()
    }

    /// Starts the closing handshake as [`start_close`](Self::start_close) does, but writes nothing and never blocks.
    /// The Close frame follows the waiting output. The next [`flush`](Self::flush) or send of any thread writes it, or
    /// else the reader does, within the shorter of [`Config::close_timeout`](crate::Config::close_timeout) and five
    /// seconds.
    ///
    /// # Errors
    ///
    /// [`Error::Send`](crate::Error::Send) if the connection is closing, or for a code or reason that is not allowed.
    pub fn queue_close(&self, code: impl Into<CloseCode>, reason: &str) -> Result<()> {
        Ok(self.shared.outbound().start_close(code, reason)?)
    }

    /// Writes everything that is queued.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send).
    pub fn flush(&self) -> Result<()> {
        self.shared.send(|| Ok(()))
    }

    /// Limits the time that the connection may still last, even if the peer still accepts output. The limit is `time`
    /// plus [`Config::close_timeout`](crate::Config::close_timeout), or plus five seconds if that is not set. The call
    /// changes nothing else, so start the closing handshake too. Only the first call has an effect.
    ///
    /// Without this limit, a peer that accepts a little output now and then keeps the connection until it has received
    /// everything.
    pub fn end_within(&self, time: Duration) {
        self.shared.end_within(time);
    }

    /// Returns whether messages can be sent.
    pub fn is_open(&self) -> bool {
        self.shared.outbound().is_open()
    }
}
