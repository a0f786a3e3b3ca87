//! A complete WebSocket endpoint without I/O: the opening handshake, messages and buffers.
//!
//! [`Endpoint`] is the base of a driver for any kind of stream. The driver calls [`Endpoint::next`] in a loop, and does
//! what the returned [`Next`] asks for. It may stop after any call and go on later: nothing is lost when a driver is
//! cancelled between two calls.

mod answer;
mod assembly;
#[cfg(feature = "zlib-rs")]
mod deflate;
mod event;
mod failure;
mod http;
mod inbound;
mod next;
mod opening;
mod options;
mod outbound;
mod output;
mod queue;
mod read_buffer;
mod shared_buffers;
mod target;
mod text_pieces;

use alloc::boxed::Box;
use alloc::string::ToString;

#[cfg(feature = "zlib-rs")]
pub use deflate::Compression;
pub use event::{CloseInfo, EndpointError, Event, Unsent};
pub use failure::HandshakeFailure;
pub use http::{Request, Response};
pub use inbound::Inbound;
pub use next::Next;
pub use options::{Options, Origins};
pub use outbound::Outbound;
pub use output::{Output, Pending};
pub use shared_buffers::Buffers;

use crate::connection::{ConnectionState, Look, Receiver, Sender};
#[cfg(feature = "zlib-rs")]
use crate::handshake::DeflateExtension;
use crate::handshake::{ClientKey, ClientRequest, OpenError};
use crate::message::MessageRef;
use crate::{Connection, Instant, Role};
use assembly::Whole;
use inbound::Found;
use outbound::Flushed;

/// While at least this much output is waiting, in bytes, no further event is reported.
const HOLD: usize = 64 * 1024;

/// One side of a WebSocket connection, from its opening handshake to its end, without I/O.
///
/// An endpoint owns its buffers. Their size follows the bytes that have arrived, never a length that a peer declares.
/// An endpoint can be moved to another thread, but not be shared between threads: it is [`Send`] and not [`Sync`],
/// because the random generator of a client need not be [`Sync`].
///
/// ```
/// use ws_core::endpoint::{Endpoint, Event, Next, Options};
/// use ws_core::handshake::AcceptResponse;
/// use ws_core::{Config, Instant};
///
/// let mut server = Endpoint::server(Config::default());
/// let received =
///     b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\
///       \x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
/// let (mut read, mut written) = (&received[..], Vec::new());
/// let now = || Instant::from_millis(0); // yours: the time of a clock
/// loop {
///     match server.next(now) {
///         Next::Event(Event::Request(_)) => server.outbound.accept(&AcceptResponse::new())?,
///         Next::Event(Event::Message(message)) => server.outbound.queue(message)?,
///         Next::Event(_) => {}
///         Next::Failed(error) => eprintln!("{error}"),
///         Next::Write { mut output, .. } => {
///             let count = output.chunk().len(); // yours: stream.write(output.chunk())?
///             written.extend_from_slice(output.chunk());
///             output.advance(count);
///         }
///         Next::Wait { read: Some(inbound), .. } if !read.is_empty() => {
///             let count = inbound.receive(read); // yours: stream.read(inbound.read_buf())?
///             read = &read[count..];
///         }
///         Next::Wait { .. } | Next::Done => break,
///         Next::Shutdown { side, .. } => side.shut_down(), // yours: stream.shutdown(Write)
///     }
/// }
/// assert!(written.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
/// assert!(written.ends_with(b"\x81\x05Hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The two sides are public fields, so that a driver can use one while the other is borrowed, or move them to different
/// threads. See [`Inbound`] and [`Outbound`] for what each does.
#[derive(Debug)]
#[non_exhaustive]
pub struct Endpoint {
    /// The receiving side, which parses received bytes and knows how the connection has ended.
    pub inbound: Inbound,
    /// The sending side, which takes messages and answers requests.
    pub outbound: Outbound,
}

impl Endpoint {
    /// Returns a server that waits for a request.
    pub fn server(options: impl Into<Options>) -> Self {
        let options = options.into();
        let (receiver, mut sender) = halves(Role::Server, &options);
        sender.ending.set_state(ConnectionState::Opening);
        let outbound = Outbound::new(sender, None, &options);
        Self { inbound: Inbound::opening(receiver, options, None), outbound }
    }

    /// Returns a client whose request is in the output.
    ///
    /// `random` fills its argument with bytes from a cryptographic random generator, and returns whether it succeeded.
    /// The bytes become the key of the handshake and the masking keys, which must be unpredictable (RFC 6455 §10.3). If
    /// `random` fails, the connection fails with [`EndpointError::Random`].
    ///
    /// ```
    /// use ws_core::endpoint::{Endpoint, EndpointError, Next};
    /// use ws_core::handshake::ClientRequest;
    /// use ws_core::{Config, Instant};
    ///
    /// let request = ClientRequest::new("example.com", "/chat");
    /// let random = |bytes: &mut [u8]| {
    ///     bytes.fill(7); // yours: a cryptographic generator
    ///     true // it has not failed
    /// };
    /// let mut client = Endpoint::client(&request, Config::default(), random)?;
    /// let start = Instant::from_millis(0);
    /// let Next::Write { mut output, until, .. } = client.next(|| start) else { panic!("a request") };
    /// assert!(output.chunk().starts_with(b"GET /chat HTTP/1.1\r\nHost: example.com\r\n"));
    /// let count = output.len();
    /// output.advance(count); // it was written to the stream
    /// // No answer arrives within 10 seconds.
    /// let deadline = until.expect("a handshake has a deadline");
    /// let next = client.next(|| deadline);
    /// assert!(matches!(next, Next::Failed(EndpointError::HandshakeTimeout)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// An [`OpenError`] says what in the request is invalid. It is [`OpenError::InvalidExtension`] if the request has
    /// `extensions`, which only the endpoint may offer, and [`OpenError::Random`] if `random` fails.
    pub fn client(
        request: &ClientRequest<'_>,
        options: impl Into<Options>,
        mut random: impl FnMut(&mut [u8]) -> bool + Send + 'static,
    ) -> Result<Self, OpenError> {
        if request.extensions.is_some() {
            return Err(OpenError::InvalidExtension);
        }
        let options = options.into();
        let mut nonce = [0; 16];
        if !random(&mut nonce) {
            return Err(OpenError::Random);
        }
        let key = ClientKey::from_nonce(nonce);
        let (receiver, mut sender) = halves(Role::Client, &options);
        sender.ending.set_state(ConnectionState::Opening);
        let mut outbound = Outbound::new(sender, Some(Box::new(random)), &options);
        #[cfg(feature = "zlib-rs")]
        let offer = options.compression.as_ref().map(Compression::offer);
        #[cfg(feature = "zlib-rs")]
        let request = &request.extensions(offer.as_ref().map(DeflateExtension::as_str));
        outbound.head(|out| request.write(&key, out))?;
        let offered = request.subprotocols.iter().map(ToString::to_string).collect();
        Ok(Self { inbound: Inbound::opening(receiver, options, Some((key, offered))), outbound })
    }

    /// Returns a server whose opening handshake was done elsewhere, for example by an HTTP server. `leftover` is what
    /// was read after the head of the request. The connection is open from the start, so no [`Event::Open`] is
    /// returned.
    pub fn server_after_handshake(options: impl Into<Options>, leftover: &[u8]) -> Self {
        Self::after_handshake(Role::Server, options.into(), None, leftover)
    }

    /// Returns a client whose opening handshake was done elsewhere. `leftover` is what was read after the head of the
    /// response. The connection is open from the start, so no [`Event::Open`] is returned.
    pub fn client_after_handshake(
        options: impl Into<Options>,
        random: impl FnMut(&mut [u8]) -> bool + Send + 'static,
        leftover: &[u8],
    ) -> Self {
        Self::after_handshake(Role::Client, options.into(), Some(Box::new(random)), leftover)
    }

    fn after_handshake(
        role: Role,
        options: Options,
        random: Option<outbound::Random>,
        leftover: &[u8],
    ) -> Self {
        let (receiver, sender) = halves(role, &options);
        #[cfg_attr(
            not(feature = "zlib-rs"),
            expect(unused_mut, reason = "set where it was agreed")
        )]
        let mut outbound = Outbound::new(sender, random, &options);
        let mut inbound = Inbound::new(receiver, opening::HandshakeState::Open);
        #[cfg(feature = "zlib-rs")]
        if let Some(params) = options.compression.and_then(|compression| compression.agreed) {
            outbound.set_deflate(&params);
            inbound.set_deflate(&params, &mut outbound);
        }
        inbound.preload(leftover);
        Self { inbound, outbound }
    }

    /// Returns what the driver has to do next. Do that, then call it again.
    ///
    /// The order is: events that have been parsed, deadlines that have passed, output, the end of the stream, and
    /// waiting. While 64 KiB or more of output is waiting, no further event is returned. One more event is parsed and
    /// held back, so that the endpoint still reads from a peer that writes before it reads.
    ///
    /// It calls `clock` at most once, and only when there is nothing left to report. The first time that `clock`
    /// returns starts all time-outs. What happens between two calls of `clock` counts as having happened at the later
    /// one. If `clock` returns a time up to a minute before the latest one, the latest one is used.
    pub fn next(&mut self, clock: impl FnOnce() -> Instant) -> Next<'_> {
        if let Some(whole) = self.whole_message() {
            return self.inbound.own_message(whole, &mut self.outbound);
        }
        match self.find_other(clock) {
            Some(found) => self.inbound.own(found, &mut self.outbound),
            None => self.outbound.rest(Some(&mut self.inbound)),
        }
    }

    /// Returns what the driver has to do next, as [`next`](Self::next) does, but lends messages from the buffer into
    /// which they were read or inflated, without an allocation or a copy. The event comes with the sending side, so
    /// that a lent message can be answered.
    ///
    /// ```
    /// # use ws_core::endpoint::{Endpoint, Event, Next};
    /// # use ws_core::{Instant, SendError};
    /// /// Echoes the messages that have arrived. Returns whether the connection goes on.
    /// fn echo(endpoint: &mut Endpoint, now: Instant) -> Result<bool, SendError> {
    ///     loop {
    ///         match endpoint.next_ref(|| now) {
    ///             Next::Event((Event::Message(message), out)) => out.queue_ref(message)?,
    ///             Next::Event(_) | Next::Failed(_) => {}
    ///             next => return Ok(!matches!(next, Next::Done)), // yours: write, read or wait
    ///         }
    ///     }
    /// }
    /// ```
    #[inline]
    pub fn next_ref(
        &mut self,
        clock: impl FnOnce() -> Instant,
    ) -> Next<'_, (Event<MessageRef<'_>, &[u8]>, &mut Outbound)> {
        let event = match self.whole_message() {
            Some(whole) => self.inbound.lend_message(whole, &mut self.outbound),
            None => {
                let Some(found) = self.find_other(clock) else {
                    return self.outbound.rest(Some(&mut self.inbound));
                };
                self.inbound.lend(found, &mut self.outbound)
            }
        };
        match event {
            Ok(event) => Next::Event((event, &mut self.outbound)),
            Err(error) => Next::Failed(error),
        }
    }

    /// Returns what the driver has to do next to flush the output. It is like [`next`](Self::next), but returns neither
    /// an event nor a failure. [`Next::Wait`] means that all output is written or taken, and [`Next::Done`] that the
    /// stream accepts no more. [`Outbound::has_dropped`] returns whether output was dropped instead of written.
    ///
    /// While the stream accepts no output, or holds some back, the driver has to read into the receiving side, which
    /// [`Next::Write`] and [`Next::Wait`] contain. What it reads is parsed up to the next event, which
    /// [`next`](Self::next) returns. While that event waits, nothing can be read, and a living peer may be taken for
    /// dead. So a program that mostly sends also has to call `next` from time to time.
    ///
    /// Before a driver that waits for such a stream calls again after `until` has passed, it has to try to read into
    /// [`read_buf`](Inbound::read_buf), even if nothing seems to have arrived. With a buffer of its own it calls
    /// [`receive`](Inbound::receive) instead, with no bytes if there are none. Otherwise a peer that is gone is not found:
    /// `Wait` contains the time that has passed once, and then the time of the next Ping, if there is one.
    pub fn next_write(&mut self, clock: impl FnOnce() -> Instant) -> Next<'_> {
        self.inbound.hold(&mut self.outbound);
        // If the driver calls again although everything is written, the stream holds some output back, or the application
        // only flushes again. If the driver has not tried to read in between, an awaited frame may have arrived.
        let was_read = self.inbound.was_read();
        let idle = self.outbound.waiting() == 0;
        let before = core::mem::replace(&mut self.outbound.flushed, Flushed::No);
        let again = idle && before != Flushed::No;
        let look = if again && was_read { Look::Unparsed } else { Look::Writer };
        self.outbound.look(clock(), look);
        self.outbound.sender.timers.apply();
        let timers = &self.outbound.sender.timers;
        let (now, ping) = (timers.now(), timers.next_ping());
        let passed = self.outbound.sender.until().is_some_and(|until| until.has_come(now));
        if idle {
            self.outbound.flushed = if passed { Flushed::Late } else { Flushed::Yes };
        }
        let told = again && !was_read && before == Flushed::Late;
        match self.outbound.rest(Some(&mut self.inbound)) {
            // Told again and again, the driver would spin.
            Next::Wait { read, .. } if passed && told => Next::Wait { read, until: ping },
            next => next,
        }
    }

    /// Returns the next message if it may be reported and the fast path finds it.
    #[inline]
    fn whole_message(&mut self) -> Option<Whole> {
        if self.outbound.waiting() < HOLD {
            self.inbound.whole_message(&mut self.outbound)
        } else {
            None
        }
    }

    /// Returns what to report next if no whole message was found. It reads the clock only if there is nothing parsed.
    #[inline]
    fn find_other(&mut self, clock: impl FnOnce() -> Instant) -> Option<Found> {
        match self.find_parsed() {
            Some(found) => Some(found),
            None => self.find_due(clock()),
        }
    }

    /// Returns what was parsed, unless too much output is waiting. What is parsed may drop that output.
    #[inline(never)]
    fn find_parsed(&mut self) -> Option<Found> {
        if self.outbound.waiting() >= HOLD {
            self.inbound.hold(&mut self.outbound);
            if self.outbound.waiting() >= HOLD {
                return None;
            }
        }
        self.inbound.find_other(&mut self.outbound)
    }

    #[inline(never)]
    fn find_due(&mut self, now: Instant) -> Option<Found> {
        if self.inbound.look(&mut self.outbound, now) { self.find_parsed() } else { None }
    }

    /// Returns how the connection was closed, or `None` if it is still open or was never open.
    ///
    /// [`CloseInfo::clean`] may change until all output is written.
    #[must_use]
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.inbound.close_info(&self.outbound)
    }

    /// Frees the buffers that hold nothing. It is meant for a driver with many idle connections that do not
    /// [share](Self::with_buffers) buffers.
    ///
    /// Otherwise a connection keeps about 64 KiB for each direction. It keeps as much again after long messages that it
    /// has handed over, or 1 MiB after a message that needed it. Anything beyond 64 KiB is freed when less than a
    /// quarter of it is needed, or when a keepalive Ping is due.
    pub fn release_buffers(&mut self) {
        self.inbound.release();
        self.outbound.output.release();
    }
}

fn halves(role: Role, options: &Options) -> (Receiver, Sender) {
    let Connection { receiver, sender } = Connection::new(role, options.config);
    (receiver, sender)
}
