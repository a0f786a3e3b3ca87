//! Reading and writing at the same time, from several threads.
//!
//! The receiving side belongs to the reader alone; [`SharedWriter`] is the sending side, which all share.

use std::sync::Arc;
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

/// How many threads may wait to send on one connection; more get [`Error::Busy`](crate::Error::Busy).
pub const MAX_WAITING: usize = 64;

/// How long the ending may take when the reader is dropped.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);
/// A peer that has sent nothing for so long is not waited for then.
const MAX_SILENCE: Duration = Duration::from_millis(100);

/// The receiving half of a [`WebSocket`] after [`split`](WebSocket::split).
///
/// It answers Pings and Close frames, and keeps the time-outs, while it reads; so keep it reading. When
/// it is dropped, the connection is closed with 1001, which takes two seconds at the most; a thread
/// that is still blocked in [`Writer::send`] then fails. When [`read`](Self::read) has returned `None` before, to drop it
/// may wait for the peer to end the stream, as with a whole [`WebSocket`].
///
/// It is [`Send`] and [`Sync`] where the stream is.
#[derive(Debug)]
#[must_use = "the connection is closed when this is dropped"]
pub struct Reader<T: Transport = Stream> {
    inbound: Inbound,
    link: Link<T>,
    shared: Arc<SharedWriter<T>>,
    state: ReadState,
}

/// The sending half of a [`WebSocket`] after [`split`](WebSocket::split); clone it for each
/// thread that sends. It is [`Send`] and [`Sync`] where the stream is [`Send`].
///
/// The stream is closed when the reader and all writers are dropped: a writer that is kept, even if it can
/// send no more, holds the file descriptor and a place of
/// [`ListenerBuilder::max_connections`](crate::ListenerBuilder::max_connections).
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
    /// taken before. So is the write time-out, which is that of all writers then. The reader has whole messages only:
    /// neither [`read_ref`](Self::read_ref) nor [`read_stream`](Self::read_stream). To drop the last [`Writer`] changes
    /// nothing for the reader.
    ///
    /// # Errors
    ///
    /// The stream has no second handle.
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
    /// As [`WebSocket::stream`].
    pub fn stream(&self) -> &T {
        &self.link.io.stream
    }

    /// As [`WebSocket::read`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::read`].
    pub fn read(&mut self) -> Result<Option<Message>> {
        self.read_deferring_close(&|| false)
    }

    /// As [`read`](Self::read). When the listener shuts down, `defer_close` may see to it that the closing
    /// handshake is started after what waits to be sent, and returns whether it does. It has a time for that.
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

    /// As [`WebSocket::try_read`]. If a [`Writer`] writes at the moment, what this half owes is left to it.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::try_read`].
    pub fn try_read(&mut self) -> Result<Option<Message>> {
        driver::try_read(self, |reader| &mut reader.link, Self::read)
    }

    /// As [`try_read`](Self::try_read), see [`read_deferring_close`](Self::read_deferring_close).
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

    /// As [`WebSocket::on_pong`].
    pub fn on_pong(&mut self, hook: impl FnMut(&[u8]) + Send + Sync + 'static) {
        self.state.on_pong = Some(PongHook(Box::new(hook)));
    }

    /// As [`WebSocket::close_info`].
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.inbound.close_info(&self.shared.outbound())
    }

    /// As [`WebSocket::set_max_message`].
    pub fn set_max_message(&mut self, bytes: u64) {
        self.inbound.set_max_message(bytes);
    }

    /// As [`WebSocket::set_read_timeout`].
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.link.read_timeout = timeout;
    }
}

impl<T: Transport> Drop for Reader<T> {
    fn drop(&mut self) {
        if self.state.is_over() {
            self.state.finish(&mut self.link, &mut &*self.shared, CloseLimits::default());
        } else if !self.state.is_finished() {
            let _ = self.shared.outbound().start_close(CloseCode::GOING_AWAY, "");
            // Nobody is left to see the peer agree.
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
    /// Sends a message; it is on the wire when this returns.
    ///
    /// While others send on the same connection it waits for its turn.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`], and [`Error::Busy`](crate::Error::Busy) when [`MAX_WAITING`] threads wait:
    /// nothing was sent.
    ///
    /// What is left after a time-out goes out with the next send, or when the reader comes back to it. That is
    /// soon if the reader has had something to do meanwhile, and otherwise within
    /// [`Config::close_timeout`](crate::Config::close_timeout) and five seconds at the most.
    ///
    /// Threads that send at the same time write each other's messages. When the peer closes in the middle of
    /// one, those that are still waiting for their turn get [`SendError::Closing`],
    /// even if another has written theirs before.
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
        self.shared.send(|| {
            messages.into_iter().try_for_each(|message| {
                let mut message = Some(message);
                self.queue(|out| queue_or_keep(out, &mut message))
            })
        })
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
            messages
                .into_iter()
                .try_for_each(|message| self.queue(|out| out.queue_prepared(message)))
        })
    }

    /// Puts a message of this writer into the output. The lock covers the setting and the message.
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

    /// As [`WebSocket::set_compression`], for the messages of this writer and of its later clones. Other writers
    /// are not affected. A writer begins with what was set before the split.
    #[cfg(feature = "deflate")]
    pub fn set_compression(&mut self, compress: bool) {
        self.compress = compress;
    }

    /// Sends a Ping with up to 125 bytes.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn ping(&self, payload: &[u8]) -> Result<()> {
        self.shared.send(|| Ok(self.shared.outbound().ping(payload)?))
    }

    /// As [`WebSocket::pong`].
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn pong(&self, payload: &[u8]) -> Result<()> {
        self.shared.send(|| Ok(self.shared.outbound().pong(payload)?))
    }

    /// Starts the closing handshake; the [`Reader`] sees its end, within
    /// [`Config::close_timeout`](crate::Config::close_timeout). The Close frame follows what others send at
    /// the moment, and does not wait for them.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Error::Send`](crate::Error::Send) for a code or reason that is not allowed.
    pub fn start_close(&self, code: impl Into<CloseCode>, reason: &str) -> Result<()> {
        self.shared.outbound().start_close(code, reason)?;
        self.shared.write_close()
    }

    /// Starts the closing handshake as [`start_close`](Self::start_close) does, but writes nothing and waits for
    /// nobody: the Close frame goes out behind what waits, with the next [`flush`](Self::flush) or send of any
    /// thread, or when the reader looks, within [`Config::close_timeout`](crate::Config::close_timeout) and five seconds at
    /// the most.
    ///
    /// # Errors
    ///
    /// [`Error::Send`](crate::Error::Send) when the connection is closing, and for a code or reason that is not
    /// allowed.
    pub fn queue_close(&self, code: impl Into<CloseCode>, reason: &str) -> Result<()> {
        Ok(self.shared.outbound().start_close(code, reason)?)
    }

    /// Writes what waits to be sent.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn flush(&self) -> Result<()> {
        self.shared.send(|| Ok(()))
    }

    /// Ends the connection when this time and [`Config::close_timeout`](crate::Config::close_timeout) (five
    /// seconds without one) have passed, even if the peer still takes what waits. It changes nothing else: start the
    /// closing handshake, too. The first call counts.
    ///
    /// Without it, a peer that takes a little now and then stays until it has taken everything.
    pub fn end_within(&self, time: Duration) {
        self.shared.end_within(time);
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        self.shared.outbound().is_open()
    }
}
