//! A whole WebSocket endpoint without I/O: opening handshake, messages, buffers.
//!
//! [`Endpoint`] is what a driver for some kind of stream is built on. The driver asks one question in a loop,
//! [`Endpoint::next`], and does what the answer, [`Next`], says. Any call may be the last for a while: nothing
//! is lost when a driver is cancelled between two.

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

/// While so much output waits, in bytes, no further event is told.
const HOLD: usize = 64 * 1024;

/// One side of a WebSocket connection, from its opening handshake to its end, without I/O.
///
/// It owns its buffers. Memory follows what has arrived, never what a peer declares. It can be moved to
/// another thread, but not be shared between threads: it is [`Send`] and not [`Sync`], because a client's
/// random generator is so.
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
/// let now = || Instant::from_millis(0); // yours: what a clock says
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
/// The two sides are fields, so that one can be used while the other is borrowed, or be moved to another
/// thread. What each does is documented there.
#[derive(Debug)]
#[non_exhaustive]
pub struct Endpoint {
    /// Takes bytes, and knows how the connection has ended.
    pub inbound: Inbound,
    /// Takes messages, and answers requests.
    pub outbound: Outbound,
}

impl Endpoint {
    /// A server that waits for a request.
    pub fn server(options: impl Into<Options>) -> Self {
        let options = options.into();
        let (receiver, mut sender) = halves(Role::Server, &options);
        sender.ending.set_state(ConnectionState::Opening);
        let outbound = Outbound::new(sender, None, &options);
        Self { inbound: Inbound::opening(receiver, options, None), outbound }
    }

    /// A client whose request is in the output.
    ///
    /// `random` fills bytes from a cryptographic random generator: the key of the handshake and
    /// the masking keys, which must not be foreseeable (RFC 6455 §10.3). It returns whether it could. If not,
    /// the connection fails with [`EndpointError::Random`].
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
    /// // No answer comes in 10 seconds.
    /// let deadline = until.expect("a handshake has a deadline");
    /// let next = client.next(|| deadline);
    /// assert!(matches!(next, Next::Failed(EndpointError::HandshakeTimeout)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Something in the request is not valid, or it has `extensions`, which are not for the caller to offer;
    /// or `random` has failed.
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

    /// A server whose opening handshake was done elsewhere, as by an HTTP server; `leftover` is what
    /// was read after the request's head. It is open from the start: no [`Event::Open`] is told.
    pub fn server_after_handshake(options: impl Into<Options>, leftover: &[u8]) -> Self {
        Self::after_handshake(Role::Server, options.into(), None, leftover)
    }

    /// A client whose opening handshake was done elsewhere; `leftover` is what was read after the
    /// response's head.
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

    /// What to do next. Do what the answer says, then ask again.
    ///
    /// What is parsed comes first, then what is due, then output, the end of the stream, and waiting. From
    /// 64 KiB of waiting output on, no further event is told until less waits; one event is parsed ahead and
    /// held back, so that a peer that writes before it reads is read from.
    ///
    /// `clock` is called at most once, and only when nothing is left to tell. Its first answer starts all
    /// time-outs; what happens between two answers counts from the later one. A time up to a minute before
    /// the latest counts as the latest.
    pub fn next(&mut self, clock: impl FnOnce() -> Instant) -> Next<'_> {
        if let Some(whole) = self.whole_message() {
            return self.inbound.own_message(whole, &mut self.outbound);
        }
        match self.find_other(clock) {
            Some(found) => self.inbound.own(found, &mut self.outbound),
            None => self.outbound.rest(Some(&mut self.inbound)),
        }
    }

    /// As [`next`](Self::next), but messages are lent from where they were read, or inflated: no allocation, no copy. The
    /// sending side comes along, so that what is lent can be answered.
    ///
    /// ```
    /// # use ws_core::endpoint::{Endpoint, Event, Next};
    /// # use ws_core::{Instant, SendError};
    /// /// Echoes what has come; returns whether the connection goes on.
    /// fn echo(endpoint: &mut Endpoint, now: Instant) -> Result<bool, SendError> {
    ///     loop {
    ///         match endpoint.next_ref(|| now) {
    ///             Next::Event((Event::Message(message), out)) => out.queue_ref(message)?,
    ///             Next::Event(_) | Next::Failed(_) => {}
    ///             next => return Ok(!matches!(next, Next::Done)), // yours: to write, to read, to wait
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

    /// As [`next`](Self::next), but no event and no failure is told: for a flush. [`Next::Wait`] means that
    /// all is written or taken, [`Next::Done`] that nobody takes it any more. Whether something was dropped instead
    /// of written, [`Outbound::has_dropped`] tells.
    ///
    /// While the stream takes nothing, the answer says where to read to. What is read is parsed up to the
    /// next event, which [`next`](Self::next) tells.
    pub fn next_write(&mut self, clock: impl FnOnce() -> Instant) -> Next<'_> {
        self.inbound.hold(&mut self.outbound);
        // Asked again with all written: the stream holds some of it back, and was read from meanwhile.
        let idle = self.outbound.waiting() == 0;
        let again = core::mem::replace(&mut self.outbound.idle, idle) && idle;
        let look = if again { Look::Unparsed } else { Look::Writer };
        self.outbound.look(clock(), look);
        self.outbound.rest(Some(&mut self.inbound))
    }

    /// The next message, if it is to be told and one that the short way finds.
    #[inline]
    fn whole_message(&mut self) -> Option<Whole> {
        if self.outbound.waiting() < HOLD {
            self.inbound.whole_message(&mut self.outbound)
        } else {
            None
        }
    }

    /// What is to be told next when no whole message was found; the clock is asked if that is nothing.
    #[inline]
    fn find_other(&mut self, clock: impl FnOnce() -> Instant) -> Option<Found> {
        match self.find_parsed() {
            Some(found) => Some(found),
            None => self.find_due(clock()),
        }
    }

    /// What was parsed, unless the output is in its way. It may be what drops the output.
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

    /// How the connection was closed, once it was; `None` when it has never been open.
    ///
    /// [`CloseInfo::clean`] may change until all is written.
    #[must_use]
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.inbound.close_info(&self.outbound)
    }

    /// Lets go of buffers that hold nothing: for a driver with many idle connections, when they do not
    /// [share](Self::with_buffers) them. Without it a connection keeps about 64 KiB for each direction, as much
    /// again after long messages that it has given away, or 1 MiB after a message that needed that; one that needs less than a quarter of it, or a keepalive Ping, lets go of what is beyond 64 KiB.
    pub fn release_buffers(&mut self) {
        self.inbound.release();
        self.outbound.output.release();
    }
}

fn halves(role: Role, options: &Options) -> (Receiver, Sender) {
    let Connection { receiver, sender } = Connection::new(role, options.config);
    (receiver, sender)
}
