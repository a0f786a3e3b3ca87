//! The receiving side of an endpoint: bytes in, events out.
//!
//! The parser returns a [`Found`], which contains the place of a message in the buffer. It is then turned into an event
//! that is owned or lent. If an event is found before it may be reported, it is *held*, and nothing behind it is
//! parsed. The rest of the state is in [`Session`], so that it can change while a message is lent.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

use super::assembly::{Assembly, Piece, Place, Whole};
use super::event::{CloseInfo, EndpointError, Event};
use super::failure::HandshakeFailure;
use super::http::{Request, Response};
use super::next::Next;
use super::opening::HandshakeState;
use super::outbound::{Flushed, Outbound};
use crate::connection::{Chunk, Due, Frame, Input, Look, Receiver, TextCheck};
use crate::message::MessageRef;
use crate::{CloseCode, Instant, ProtocolError};

/// The receiving side of an [`Endpoint`](crate::Endpoint): bytes in, events out.
///
/// ```
/// use ws_core::endpoint::{Endpoint, Event, Next};
/// use ws_core::{Config, Instant};
///
/// let Endpoint { mut inbound, mut outbound, .. } = Endpoint::server_after_handshake(Config::new(), b"");
/// let received = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"; // RFC 6455 §5.7
/// assert_eq!(inbound.receive(received), received.len());
/// let next = inbound.next(&mut outbound, || Instant::from_millis(0));
/// assert!(matches!(next, Next::Event(Event::Message(message)) if message == "Hello"));
/// ```
#[derive(Debug)]
pub struct Inbound {
    pub(super) assembly: Assembly,
    pub(super) session: Session,
    /// What was found and has not been reported yet.
    held: Option<Found>,
}

/// What the receiving side knows about the connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) receiver: Receiver,
    pub(super) state: HandshakeState,
    /// Whether the peer has ended its side of the stream.
    pub(super) eof: bool,
    /// How the connection was closed. The sending side knows whether it was closed cleanly and which side closed first.
    close: Option<Box<CloseInfo>>,
    failure: Option<EndpointError>,
}

/// Something to report.
#[derive(Debug)]
pub(super) enum Found {
    Request(Request),
    Open(Option<String>, Option<Box<Response>>),
    Refused(Box<Response>),
    Place(Place),
    Ping,
    Pong,
    Closed,
    Failed(EndpointError),
}

/// An event whose messages are lent.
pub(super) type Lent<'a> = Event<MessageRef<'a>, &'a [u8]>;

impl Inbound {
    pub(super) fn new(receiver: Receiver, state: HandshakeState) -> Self {
        let session = Session { receiver, state, eof: false, close: None, failure: None };
        Self { assembly: Assembly::new(), session, held: None }
    }

    /// Returns what to do next, for a driver that only reads: [`Next::Event`], [`Next::Failed`], [`Next::Wait`] or
    /// [`Next::Done`], which means that nothing more will arrive.
    ///
    /// Pongs and Close frames that are owed to the peer go into `out`, whose own [`next`](Outbound::next) returns when
    /// to write them. It borrows `out` for this call only. It calls `clock` at most once, and only when there is
    /// nothing left to report.
    #[inline]
    pub fn next(&mut self, out: &mut Outbound, clock: impl FnOnce() -> Instant) -> Next<'_> {
        match self.held_message() {
            Some(whole) => self.own_message(whole, out),
            None => self.next_found(out, clock),
        }
    }

    #[inline(never)]
    fn next_found(&mut self, out: &mut Outbound, clock: impl FnOnce() -> Instant) -> Next<'_> {
        let found = match self.find(out) {
            Some(found) => Some(found),
            None => self.find_due(out, clock()),
        };
        match found {
            Some(found) => self.own(found, out),
            None => self.wait(out),
        }
    }

    /// Returns what to do next, as [`next`](Self::next) does, but lends messages and payloads from the buffer into
    /// which they were read or inflated.
    #[inline]
    pub fn next_ref(
        &mut self,
        out: &mut Outbound,
        clock: impl FnOnce() -> Instant,
    ) -> Next<'_, Event<MessageRef<'_>, &[u8]>> {
        match self.held_message() {
            Some(whole) => self.lend_message(whole, out).map_or_else(Next::Failed, Next::Event),
            None => self.next_ref_found(out, clock),
        }
    }

    #[inline(never)]
    fn next_ref_found(
        &mut self,
        out: &mut Outbound,
        clock: impl FnOnce() -> Instant,
    ) -> Next<'_, Lent<'_>> {
        let found = match self.find(out) {
            Some(found) => Some(found),
            None => self.find_due(out, clock()),
        };
        match found {
            Some(found) => self.lend(found, out).map_or_else(Next::Failed, Next::Event),
            None => self.wait(out),
        }
    }

    fn wait<E>(&mut self, out: &Outbound) -> Next<'_, E> {
        let until = out.sender.until();
        if out.sender.ending.has_ended() {
            return Next::Done;
        }
        Next::Wait { read: self.reader(), until }
    }

    /// Returns whether the next event is a message. The message is found but not returned: [`next_ref`](Self::next_ref)
    /// returns it.
    ///
    /// The borrow checker does not let a function return a message that was lent inside a loop. Such a function calls
    /// `has_message` in its loop, and `next_ref` after it.
    #[inline]
    pub fn has_message(&mut self, out: &mut Outbound) -> bool {
        if let Some(whole) = self.whole_message(out) {
            // Nothing was held, because otherwise no message would have been looked for.
            core::mem::forget(self.held.replace(Found::Place(Place::Message(whole))));
            return true;
        }
        if self.held.is_none() {
            self.held = self.find_other(out);
        }
        matches!(self.held, Some(Found::Place(Place::Message(_))))
    }

    /// Takes the message that [`has_message`](Self::has_message) has found.
    #[inline]
    fn held_message(&mut self) -> Option<Whole> {
        let Some(Found::Place(Place::Message(whole))) = &self.held else { return None };
        let whole = whole.clone();
        // The value that is forgotten owns nothing.
        core::mem::forget(self.held.take());
        Some(whole)
    }

    /// Copies as many bytes from `bytes` as there is room for, and returns how many. Pass the rest again after all
    /// events have been returned. While a request waits for its answer, there may be no room at all.
    #[must_use = "the bytes that were not taken have to be passed again"]
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let free = self.read_buf();
        let count = free.len().min(bytes.len());
        if let (Some(free), Some(bytes)) = (free.get_mut(..count), bytes.get(..count)) {
            free.copy_from_slice(bytes);
        }
        self.filled(count);
        count
    }

    /// Returns the room to read into, which saves the copy that [`receive`](Self::receive) makes. It is not empty if
    /// [`Next`] contained `read`.
    pub fn read_buf(&mut self) -> &mut [u8] {
        if !self.has_room() {
            self.assembly.buffer.withdraw();
            return &mut [];
        }
        self.assembly.buffer.spare(self.session.receiver.payload_left())
    }

    /// Reports that the first `count` bytes of [`read_buf`](Self::read_buf) were filled.
    pub fn filled(&mut self, count: usize) {
        self.assembly.buffer.filled(count);
    }

    /// Reports that the peer has ended its side of the stream, or that the stream was lost while reading. Events that
    /// arrived before are still returned.
    pub fn receive_eof(&mut self) {
        self.session.eof = true;
    }

    /// Sets whether messages are reported in pieces as they arrive, as [`Event::Chunk`], instead of whole. It is meant
    /// for messages that need not fit in memory. The setting takes effect with the next message that starts.
    /// [`Config::max_message`](crate::Config::max_message) still limits the length of messages.
    pub fn set_streaming(&mut self, streaming: bool) {
        self.assembly.streaming = streaming;
    }

    /// Changes [`Config::max_message`](crate::Config::max_message), in bytes, for example so that a peer may send long
    /// messages only after it has logged in.
    ///
    /// The new limit applies to frames that begin from now on, and to the part of a compressed message that is inflated
    /// from now on. What is parsed already is still reported. [`Config::max_frame`](crate::Config::max_frame) does not
    /// change.
    pub fn set_max_message(&mut self, bytes: u64) {
        self.session.receiver.set_max_message(bytes);
        #[cfg(feature = "zlib-rs")]
        if let Some(inflating) = &mut self.assembly.inflating {
            inflating.set_max_message(bytes);
        }
    }

    /// Returns how the connection was closed, or `None` if it is still open or was never open. `out` knows whether it
    /// was closed cleanly and which side closed first. This may change until all output is written.
    #[must_use]
    pub fn close_info(&self, out: &Outbound) -> Option<CloseInfo> {
        let info = self.session.close.as_deref()?;
        let (clean, by_us) = (out.sender.is_clean(), out.sender.closed_first());
        let sent = out.sender.ending.sent_close();
        Some(CloseInfo { sent, clean, by_us, ..info.clone() })
    }

    /// Returns the error that [`Next::Failed`] has returned, for a driver that reports it after the peer has been
    /// notified.
    #[must_use]
    pub fn failure(&self) -> Option<EndpointError> {
        self.session.failure
    }

    /// Returns what is known about a peer whose half of the opening handshake is invalid, for a log. It is present
    /// after [`Next::Failed`] has returned [`EndpointError::Handshake`].
    #[must_use]
    pub fn handshake_failure(&self) -> Option<&HandshakeFailure> {
        match &self.session.state {
            HandshakeState::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// Copies all of `bytes` into the buffer, whatever their number.
    pub(super) fn preload(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let free = self.assembly.buffer.spare(rest.len() as u64);
            let count = free.len().min(rest.len());
            let (now, later) = rest.split_at_checked(count).unwrap_or_default();
            if let Some(free) = free.get_mut(..count) {
                free.copy_from_slice(now);
            }
            self.assembly.buffer.filled(count);
            rest = later;
        }
    }

    /// Returns whether the content of the buffer may move, because no held event refers to it.
    fn is_movable(&self) -> bool {
        !matches!(self.held, Some(Found::Place(_))) && !self.assembly.is_pending()
    }

    pub(super) fn lend_buffer(&mut self, shared: &mut Vec<u8>) {
        if self.is_movable() {
            self.assembly.buffer.lend(shared);
        }
    }

    pub(super) fn give_back(&mut self, shared: &mut Vec<u8>) {
        if self.is_movable() {
            self.assembly.buffer.give_back(shared);
        }
    }

    pub(super) fn release(&mut self) {
        if self.is_movable() {
            self.assembly.buffer.release();
            self.assembly.release_inflated();
        }
    }

    fn has_room(&self) -> bool {
        // The head of a request or response has its own limit, which may be larger.
        let head = matches!(self.session.state, HandshakeState::Head(_));
        (head || self.assembly.buffer.has_room())
            && self.held.is_none()
            && !self.assembly.is_pending()
    }

    /// Returns this side if it has room for more bytes.
    pub(super) fn reader(&mut self) -> Option<&mut Self> {
        (!self.session.eof && self.has_room()).then_some(self)
    }

    /// Returns whether the driver has tried to read since this was last asked, or cannot read because there is no room.
    pub(super) fn was_read(&mut self) -> bool {
        self.assembly.buffer.was_offered() || self.reader().is_none()
    }

    /// Returns the next message if [`Receiver::whole`] finds one. Everything else is left to [`find`](Self::find).
    #[inline]
    pub(super) fn whole_message(&mut self, out: &mut Outbound) -> Option<Whole> {
        let Self { assembly, session, held } = self;
        let is_open = matches!(session.state, HandshakeState::Open);
        if held.is_some() || !is_open || assembly.streaming || assembly.is_pending() {
            return None;
        }
        let mut input = Input::new(assembly.buffer.unread());
        let whole = session.receiver.whole(&mut input, TextCheck::CallerForWholeMessages);
        let Some(Ok(chunk)) = whole else { return None };
        let (kind, len, consumed) = (chunk.kind, chunk.bytes.len(), input.consumed());
        assembly.buffer.consume(consumed);
        out.sender.timers.received(true);
        let range = assembly.buffer.last(len);
        Some(Whole { kind, range, checked: false, inflated: false })
    }

    /// Returns what to report next, if that is known without the clock.
    #[inline]
    pub(super) fn find(&mut self, out: &mut Outbound) -> Option<Found> {
        if self.held.is_some() {
            return self.held.take();
        }
        match self.whole_message(out) {
            Some(whole) => Some(Found::Place(Place::Message(whole))),
            None => self.find_other(out),
        }
    }

    /// As [`find`](Self::find), after no whole message was found.
    #[inline(never)]
    pub(super) fn find_other(&mut self, out: &mut Outbound) -> Option<Found> {
        if self.held.is_some() {
            return self.held.take();
        }
        if self.is_quiet(out) { None } else { self.parse(out) }
    }

    /// Returns whether neither bytes nor an end have arrived, which is the usual case between two messages.
    #[inline]
    fn is_quiet(&self, out: &Outbound) -> bool {
        let Self { assembly, session, .. } = self;
        assembly.buffer.unread_len() == 0
            && !assembly.is_pending()
            && matches!(session.state, HandshakeState::Open)
            && !session.eof
            && out.is_sound()
    }

    /// Finds what to report next, and holds it.
    #[inline]
    pub(super) fn hold(&mut self, out: &mut Outbound) {
        if self.held.is_none() {
            self.held = self.find(out);
        }
    }

    /// Takes the time of the driver's clock when everything is parsed. Returns what to report because of it.
    #[inline(never)]
    pub(super) fn find_due(&mut self, out: &mut Outbound, now: Instant) -> Option<Found> {
        if self.look(out, now) { self.find(out) } else { None }
    }

    /// Takes the time of the driver's clock and acts on the deadline that has passed. Returns whether there may be
    /// something to report.
    #[inline]
    pub(super) fn look(&mut self, out: &mut Outbound, now: Instant) -> bool {
        // Unparsed bytes may follow the held event.
        let look = if self.held.is_some() { Look::Unparsed } else { Look::Parsed };
        out.flushed = Flushed::No;
        let due = out.look(now, look);
        if self.held.is_none() {
            self.assembly.release_inflated();
        }
        // Nothing has arrived for a while.
        if due == Some(Due::Ping) && self.is_movable() {
            self.assembly.buffer.shrink();
        }
        due.is_some() || !out.is_sound()
    }

    fn parse(&mut self, out: &mut Outbound) -> Option<Found> {
        // A stream that has failed delivers nothing more.
        self.session.eof |= out.is_reset();
        if !matches!(self.session.state, HandshakeState::Open) {
            return self.poll_opening(out);
        }
        let Self { assembly, session, .. } = self;
        loop {
            #[cfg(feature = "zlib-rs")]
            if assembly.is_pending() {
                match assembly.next_piece() {
                    Ok(Some(place)) => return Some(Found::Place(place)),
                    Ok(None) => {}
                    Err(error) => return Some(session.not_valid(error, out).into()),
                }
            }
            let mut input = Input::new(assembly.buffer.unread());
            let check = if assembly.streaming {
                TextCheck::Here
            } else {
                TextCheck::CallerForWholeMessages
            };
            let frame = match session.receiver.receive(&mut out.sender, &mut input, check) {
                Ok(Some(Frame::Data(chunk))) => {
                    let Chunk { kind, start, end, compressed, .. } = chunk;
                    Ok(Some(Ok(Piece { len: chunk.bytes.len(), kind, start, end, compressed })))
                }
                Ok(Some(Frame::Ping)) => Ok(Some(Err(Found::Ping))),
                Ok(Some(Frame::Pong)) => Ok(Some(Err(Found::Pong))),
                Ok(Some(Frame::Close)) => Ok(Some(Err(Found::Closed))),
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            let consumed = input.consumed();
            assembly.buffer.consume(consumed);
            if frame.is_ok() {
                out.pump();
            }
            match frame {
                Ok(Some(Ok(piece))) => match assembly.push(piece) {
                    Ok(Some(place)) => return Some(Found::Place(place)),
                    Ok(None) => {}
                    Err(error) => return Some(session.not_valid(error, out).into()),
                },
                Ok(Some(Err(Found::Closed))) => {
                    session.peer_closed();
                    return Some(Found::Closed);
                }
                Ok(Some(Err(found))) => return Some(found),
                Ok(None) => return session.idle(out),
                Err(error) => return Some(session.broken(error, out).into()),
            }
        }
    }

    /// Turns what was found into an owned event.
    #[inline(never)]
    pub(super) fn own(&mut self, found: Found, out: &mut Outbound) -> Next<'_> {
        let Self { assembly, session, .. } = self;
        let event = match found {
            Found::Place(Place::Message(whole)) => return self.own_message(whole, out),
            Found::Place(Place::Chunk { kind, range, start, end, inflated }) => {
                Ok(Event::Chunk { kind, bytes: assembly.own_piece(range, inflated), start, end })
            }
            found => rare(found, || Bytes::copy_from_slice(session.receiver.control_payload())),
        };
        event.map_or_else(Next::Failed, Next::Event)
    }

    /// Turns a message that was found into an owned event.
    #[inline]
    pub(super) fn own_message(&mut self, whole: Whole, out: &mut Outbound) -> Next<'_> {
        match self.assembly.own(whole) {
            Ok(message) => Next::Event(Event::Message(message)),
            Err(error) => match self.session.not_valid(error, out) {
                Ok(()) => Next::Event(Event::Closed),
                Err(error) => Next::Failed(error),
            },
        }
    }

    /// Turns a message that was found into a lent event.
    #[inline]
    pub(super) fn lend_message(
        &mut self,
        whole: Whole,
        out: &mut Outbound,
    ) -> Result<Lent<'_>, EndpointError> {
        let Self { assembly, session, .. } = self;
        match assembly.lend(whole) {
            Ok(message) => Ok(Event::Message(message)),
            Err(error) => session.lent_not_valid(error, out),
        }
    }

    /// Turns what was found into a lent event.
    #[inline]
    pub(super) fn lend(
        &mut self,
        found: Found,
        out: &mut Outbound,
    ) -> Result<Lent<'_>, EndpointError> {
        let Self { assembly, session, .. } = match found {
            Found::Place(Place::Message(whole)) => return self.lend_message(whole, out),
            _ => self,
        };
        match found {
            Found::Place(Place::Chunk { kind, range, start, end, inflated }) => {
                Ok(Event::Chunk { kind, bytes: assembly.lend_piece(range, inflated), start, end })
            }
            found => rare(found, || session.receiver.control_payload()),
        }
    }
}

/// Returns an event without a message.
fn rare<M, B>(found: Found, control: impl FnOnce() -> B) -> Result<Event<M, B>, EndpointError> {
    Ok(match found {
        Found::Ping => Event::Ping(control()),
        Found::Pong => Event::Pong(control()),
        Found::Request(request) if request.is_upgrade() => Event::Request(request),
        Found::Request(request) => Event::Http(request),
        Found::Open(subprotocol, response) => Event::Open { subprotocol, response },
        Found::Refused(response) => Event::Refused(response),
        Found::Failed(error) => return Err(error),
        Found::Closed | Found::Place(_) => Event::Closed,
    })
}

/// The end of a connection, with or without a failure.
impl From<Result<(), EndpointError>> for Found {
    fn from(end: Result<(), EndpointError>) -> Self {
        end.map_or_else(Self::Failed, |()| Self::Closed)
    }
}

impl Session {
    /// Ends the connection, because the peer broke the protocol. This is a failure unless our Close frame was sent before.
    /// Then it is an unclean end: the application has done what it wanted to, and the peer cannot be told why.
    #[cold]
    fn broken(&mut self, error: ProtocolError, out: &mut Outbound) -> Result<(), EndpointError> {
        if out.sender.ending.sent_close().is_none() {
            out.pump_failure(error);
            return Err(self.failed(error.into()));
        }
        out.pump();
        self.over();
        Ok(())
    }

    /// The connection has ended without a Close frame from the peer.
    fn over(&mut self) {
        self.ended(CloseCode::ABNORMAL, "");
        self.state = HandshakeState::Over;
    }

    /// Every failure of the connection passes through here. What notifies the peer is in the output already.
    pub(super) fn failed(&mut self, error: EndpointError) -> EndpointError {
        if matches!(self.state, HandshakeState::Open) {
            self.ended(CloseCode::ABNORMAL, "");
        }
        self.state = HandshakeState::Over;
        *self.failure.insert(error)
    }

    /// A payload that the endpoint checks itself is invalid: it is not UTF-8, or cannot be inflated.
    #[cold]
    fn not_valid(&mut self, error: ProtocolError, out: &mut Outbound) -> Result<(), EndpointError> {
        self.receiver.fail(&mut out.sender, error);
        self.broken(error, out)
    }

    /// As [`not_valid`](Self::not_valid), as an event. It is apart to keep the path of valid messages short.
    #[cold]
    #[inline(never)]
    fn lent_not_valid<'a>(
        &mut self,
        error: ProtocolError,
        out: &mut Outbound,
    ) -> Result<Lent<'a>, EndpointError> {
        self.not_valid(error, out).map(|()| Event::Closed)
    }

    /// There is nothing more to parse, so the connection may have ended.
    #[cold]
    fn idle(&mut self, out: &mut Outbound) -> Option<Found> {
        if out.random_failed() {
            return Some(Found::Failed(self.failed(EndpointError::Random)));
        }
        if self.receiver.is_lost(&out.sender) {
            let error = ProtocolError::PongTimeout.into();
            return Some(Found::Failed(self.failed(error)));
        }
        if self.eof {
            out.sender.end();
        }
        if !self.eof && !out.is_given_up() {
            return None;
        }
        self.over();
        Some(Found::Closed)
    }

    /// The peer's Close frame has arrived.
    #[cold]
    fn peer_closed(&mut self) {
        let (code, reason) = match self.receiver.close_frame() {
            Some(frame) => (frame.code, frame.reason.to_string()),
            None => (CloseCode::NO_STATUS, String::new()),
        };
        self.ended(code, &reason);
        self.state = HandshakeState::Over;
    }

    /// Records how the connection has ended. Only the first call has an effect.
    fn ended(&mut self, code: CloseCode, reason: &str) {
        self.close.get_or_insert_with(|| {
            Box::new(CloseInfo { code, reason: reason.into(), ..CloseInfo::abnormal() })
        });
    }
}
