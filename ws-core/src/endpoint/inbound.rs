//! The receiving side of an endpoint: bytes in, events out.
//!
//! What was parsed comes to [`Found`], which says where a message lies, and is turned into an event that is
//! owned or lent. An event may be found before it is told: it is *held* then, and nothing behind it is parsed.
//! Everything else about the connection lies in [`Session`], so that it can change while a message is lent.

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
use super::outbound::Outbound;
use crate::connection::{Chunk, Due, Frame, Input, Look, Receiver, TextCheck};
use crate::message::MessageRef;
use crate::{CloseCode, Instant, ProtocolError};

/// The receiving side of an [`Endpoint`](crate::Endpoint): bytes in, events out.
#[derive(Debug)]
pub struct Inbound {
    pub(super) assembly: Assembly,
    pub(super) session: Session,
    /// What was found and is not told yet.
    held: Option<Found>,
}

/// What the receiving side knows about the connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) receiver: Receiver,
    pub(super) state: HandshakeState,
    /// The peer has ended its side of the stream.
    pub(super) eof: bool,
    /// How the connection was closed; whether cleanly, and by whom, the sending side knows.
    close: Option<Box<CloseInfo>>,
    failure: Option<EndpointError>,
}

/// Something to tell.
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

    /// What to do next, for a side that only reads: [`Next::Event`], [`Next::Failed`], [`Next::Wait`] and
    /// [`Next::Done`], which means that nothing more comes.
    ///
    /// Pongs and Close frames that are owed to the peer go to `out`; its own [`next`](Outbound::next) says when to
    /// write them. `out` is borrowed for this call only. `clock` is called at most once, and only when nothing is left to tell.
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

    /// As [`next`](Self::next), but messages and payloads are lent from where they were read, or inflated.
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

    /// Whether the next event is a message. It is found, but not told: [`next_ref`](Self::next_ref) does
    /// that.
    ///
    /// The borrow checker lets no function return a message that was lent inside a loop. Such a function asks
    /// this in its loop, and for the message after it.
    #[inline]
    pub fn has_message(&mut self, out: &mut Outbound) -> bool {
        if let Some(whole) = self.whole_message(out) {
            // Nothing was held, or it would not have been looked for.
            core::mem::forget(self.held.replace(Found::Place(Place::Message(whole))));
            return true;
        }
        if self.held.is_none() {
            self.held = self.find_other(out);
        }
        matches!(self.held, Some(Found::Place(Place::Message(_))))
    }

    /// Takes what [`has_message`](Self::has_message) has found.
    #[inline]
    fn held_message(&mut self) -> Option<Whole> {
        let Some(Found::Place(Place::Message(whole))) = &self.held else { return None };
        let whole = whole.clone();
        // It owns nothing.
        core::mem::forget(self.held.take());
        Some(whole)
    }

    /// Copies as many bytes from `bytes` as there is room for, and returns how many. The rest is passed
    /// again when all events are told; while a request waits for its answer there may be no room at all.
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

    /// Room to read into, without the copy that [`receive`](Self::receive) makes. It is not empty when
    /// [`Next`] has given `read`.
    pub fn read_buf(&mut self) -> &mut [u8] {
        if !self.has_room() {
            self.assembly.buffer.withdraw();
            return &mut [];
        }
        self.assembly.buffer.spare(self.session.receiver.payload_left())
    }

    /// Tells that the first `count` bytes of [`read_buf`](Self::read_buf) were filled.
    pub fn filled(&mut self, count: usize) {
        self.assembly.buffer.filled(count);
    }

    /// Tells that the peer has ended its side of the stream, or that the stream was lost while reading. Events
    /// that came before are still told.
    pub fn receive_eof(&mut self) {
        self.session.eof = true;
    }

    /// Whether messages are told in pieces as they arrive, [`Event::Chunk`], instead of whole: for
    /// messages that need not fit in memory. It takes effect with the next message that starts; their
    /// length is still bounded by [`Config::max_message`](crate::Config::max_message).
    pub fn set_streaming(&mut self, streaming: bool) {
        self.assembly.streaming = streaming;
    }

    /// Changes [`Config::max_message`](crate::Config::max_message), in bytes: so that a peer may send long
    /// messages only when it has logged in, for example. It counts from the next frame that begins, and for what of
    /// a compressed message is inflated from now on; what is parsed already is told. [`Config::max_frame`](crate::Config::max_frame)
    /// stays as it is.
    pub fn set_max_message(&mut self, bytes: u64) {
        self.session.receiver.set_max_message(bytes);
        #[cfg(feature = "zlib-rs")]
        if let Some(inflating) = &mut self.assembly.inflating {
            inflating.set_max_message(bytes);
        }
    }

    /// How the connection was closed, once it was; `None` when it has never been open. Whether it was closed
    /// cleanly, and by which side first, is known to `out`, and may change until all is written.
    #[must_use]
    pub fn close_info(&self, out: &Outbound) -> Option<CloseInfo> {
        let info = self.session.close.as_deref()?;
        let (clean, by_us) = (out.sender.is_clean(), out.sender.closed_first());
        let sent = out.sender.ending.sent_close();
        Some(CloseInfo { sent, clean, by_us, ..info.clone() })
    }

    /// The error that [`Next::Failed`] has told, for a driver that reports it when the peer was told.
    #[must_use]
    pub fn failure(&self) -> Option<EndpointError> {
        self.session.failure
    }

    /// What was seen of a peer whose half of the opening handshake is not right: for a log, once [`Next::Failed`] has told
    /// [`EndpointError::Handshake`].
    #[must_use]
    pub fn handshake_failure(&self) -> Option<&HandshakeFailure> {
        match &self.session.state {
            HandshakeState::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// Takes all of `bytes`, whatever their number.
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

    /// Whether the buffer may move: no message that is held lies there.
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
        // A head is bounded by its own limit, which may be larger.
        let head = matches!(self.session.state, HandshakeState::Head(_));
        (head || self.assembly.buffer.has_room())
            && self.held.is_none()
            && !self.assembly.is_pending()
    }

    /// This side, if it can take more bytes.
    pub(super) fn reader(&mut self) -> Option<&mut Self> {
        (!self.session.eof && self.has_room()).then_some(self)
    }

    /// The next message, if it is one that [`Receiver::whole`] takes; the rest is left to
    /// [`find`](Self::find).
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

    /// What is to be told next, if that is known already.
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

    /// As [`find`](Self::find), when no whole message was found.
    #[inline(never)]
    pub(super) fn find_other(&mut self, out: &mut Outbound) -> Option<Found> {
        if self.held.is_some() {
            return self.held.take();
        }
        if self.is_quiet(out) { None } else { self.parse(out) }
    }

    /// Whether nothing has come, neither bytes nor an end: the usual case between two messages.
    #[inline]
    fn is_quiet(&self, out: &Outbound) -> bool {
        let Self { assembly, session, .. } = self;
        assembly.buffer.unread_len() == 0
            && !assembly.is_pending()
            && matches!(session.state, HandshakeState::Open)
            && !session.eof
            && out.is_sound()
    }

    /// Finds what is to be told next, and holds it.
    #[inline]
    pub(super) fn hold(&mut self, out: &mut Outbound) {
        if self.held.is_none() {
            self.held = self.find(out);
        }
    }

    /// Tells the time when all is parsed; returns what that brings to tell.
    #[inline(never)]
    pub(super) fn find_due(&mut self, out: &mut Outbound, now: Instant) -> Option<Found> {
        if self.look(out, now) { self.find(out) } else { None }
    }

    /// Tells the time, and does what is due. Returns whether there may be something to tell.
    #[inline]
    pub(super) fn look(&mut self, out: &mut Outbound, now: Instant) -> bool {
        // Bytes may lie behind what is held.
        let look = if self.held.is_some() { Look::Unparsed } else { Look::Parsed };
        out.idle = false;
        let due = out.look(now, look);
        if self.held.is_none() {
            self.assembly.release_inflated();
        }
        // Nothing has come for a while.
        if due == Some(Due::Ping) && self.is_movable() {
            self.assembly.buffer.shrink();
        }
        due.is_some() || !out.is_sound()
    }

    fn parse(&mut self, out: &mut Outbound) -> Option<Found> {
        // Nothing more comes out of a stream that has failed.
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

    /// Turns what was found into an event of its own.
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

    /// Turns a message that was found into an event of its own.
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

    /// Turns a message that was found into an event that is lent.
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

    /// Turns what was found into an event that is lent.
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

/// An event without a message.
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

    /// The connection has ended without a Close frame of the peer's.
    fn over(&mut self) {
        self.ended(CloseCode::ABNORMAL, "");
        self.state = HandshakeState::Over;
    }

    /// The one way in which a connection fails here: what tells the peer is in the output already.
    pub(super) fn failed(&mut self, error: EndpointError) -> EndpointError {
        if matches!(self.state, HandshakeState::Open) {
            self.ended(CloseCode::ABNORMAL, "");
        }
        self.state = HandshakeState::Over;
        *self.failure.insert(error)
    }

    /// What was left to the endpoint to check is not valid: it is not text, or cannot be inflated.
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

    /// There is nothing more to parse: the connection may have come to an end.
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

    /// The peer's Close frame has come.
    #[cold]
    fn peer_closed(&mut self) {
        let (code, reason) = match self.receiver.close_frame() {
            Some(frame) => (frame.code, frame.reason.to_string()),
            None => (CloseCode::NO_STATUS, String::new()),
        };
        self.ended(code, &reason);
        self.state = HandshakeState::Over;
    }

    /// Notes how the connection has ended; the first answer stays.
    fn ended(&mut self, code: CloseCode, reason: &str) {
        self.close.get_or_insert_with(|| {
            Box::new(CloseInfo { code, reason: reason.into(), ..CloseInfo::abnormal() })
        });
    }
}
