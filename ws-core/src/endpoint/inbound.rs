use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::event::{Chunk, CloseInfo, Error, Event, EventRef, Opened};
use super::http::{Request, Response};
use super::opening::Phase;
use super::outbound::Outbound;
use super::read_buffer::ReadBuffer;
use crate::connection::{Event as Frame, Input, Receiver, TextCheck};
use crate::message::{MessageRef, Text};
use crate::{CloseCode, Instant, Message, MessageKind, ProtocolError};

/// The receiving side of an [`Endpoint`](crate::Endpoint): bytes in, events out.
#[derive(Debug)]
pub struct Inbound {
    pub(super) receiver: Receiver,
    pub(super) buffer: ReadBuffer,
    pub(super) phase: Phase,
    pub(super) eof: bool,
    close: Option<CloseInfo>,
    streaming: bool,
    /// The message that is open is told in pieces.
    in_pieces: bool,
    /// A message that [`peek`](Self::peek) has found.
    ready: Option<(MessageKind, Range<usize>)>,
    pub(super) started: Option<Instant>,
    /// Bytes have come that are yet to be parsed.
    fresh: bool,
    /// A time that was told while there were such bytes: what is due is looked at after them.
    due: Option<Instant>,
    failure: Option<Error>,
    /// When the peer was seen to have ended its side while its request waits for an answer.
    pub(super) forsaken: Option<Instant>,
}

/// What [`Inbound::peek`] has found.
#[derive(Debug)]
pub enum Peeked {
    /// More bytes are needed.
    Nothing,
    /// A message; [`Inbound::poll_event_ref`] gives it.
    Message,
    /// Anything else.
    Event(Event),
}

/// An event, with messages as places in the buffer.
pub(super) enum Found {
    Request(Request),
    Open(Opened),
    Refused(Response),
    Message(MessageKind, Range<usize>),
    Chunk(Chunk<Range<usize>>),
    Ping,
    Pong,
    Closed(CloseInfo),
}

/// What one frame's piece came to, without a borrow of the buffer.
enum Step {
    Data { len: usize, kind: MessageKind, start: bool, end: bool },
    Ping,
    Pong,
    Close,
    More,
}

impl Inbound {
    pub(super) fn new(receiver: Receiver, phase: Phase) -> Self {
        Self {
            receiver,
            buffer: ReadBuffer::new(),
            phase,
            eof: false,
            close: None,
            streaming: false,
            in_pieces: false,
            ready: None,
            started: None,
            fresh: false,
            due: None,
            failure: None,
            forsaken: None,
        }
    }

    pub(super) fn open(receiver: Receiver) -> Self {
        Self::new(receiver, Phase::Open)
    }

    /// As [`Endpoint::receive`](crate::Endpoint::receive).
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

    /// As [`Endpoint::read_buf`](crate::Endpoint::read_buf).
    pub fn read_buf(&mut self) -> &mut [u8] {
        if !self.has_room() {
            self.buffer.withdraw();
            return &mut [];
        }
        self.buffer.spare(self.receiver.payload_left())
    }

    /// As [`Endpoint::wants_read`](crate::Endpoint::wants_read).
    #[must_use]
    pub fn wants_read(&self) -> bool {
        !self.eof && self.has_room()
    }

    fn has_room(&self) -> bool {
        // A head is bounded by its own limit, which may be larger.
        let head = matches!(self.phase, Phase::Head(_));
        (head || self.buffer.has_room()) && self.ready.is_none()
    }

    /// As [`Endpoint::filled`](crate::Endpoint::filled).
    pub fn filled(&mut self, count: usize) {
        self.fresh |= count > 0;
        self.buffer.filled(count);
    }

    /// Takes all of `bytes`, whatever their number.
    pub(super) fn preload(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let free = self.buffer.spare(rest.len() as u64);
            let count = free.len().min(rest.len());
            let (now, later) = rest.split_at_checked(count).unwrap_or_default();
            if let Some(free) = free.get_mut(..count) {
                free.copy_from_slice(now);
            }
            self.buffer.filled(count);
            rest = later;
        }
    }

    /// As [`Endpoint::set_streaming`](crate::Endpoint::set_streaming).
    pub fn set_streaming(&mut self, streaming: bool) {
        self.streaming = streaming;
    }

    /// As [`Endpoint::receive_eof`](crate::Endpoint::receive_eof), but the sending side hears of it when
    /// events are polled next. Poll once more also after the peer's Close frame: an endpoint that
    /// is whole is finished at once, [`Outbound::is_finished`] only after that.
    pub fn receive_eof(&mut self) {
        self.eof = true;
    }

    pub(super) fn lend(&mut self, shared: &mut Vec<u8>) {
        if self.ready.is_none() {
            self.buffer.lend(shared);
        }
    }

    pub(super) fn give_back(&mut self, shared: &mut Vec<u8>) {
        // A message that was peeked at, and not taken, keeps the memory.
        if self.ready.is_none() {
            self.buffer.give_back(shared);
        }
    }

    pub(super) fn release(&mut self) {
        if self.ready.is_none() {
            self.buffer.release();
        }
    }

    /// As [`Endpoint::failure`](crate::Endpoint::failure).
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        self.failure
    }

    /// As [`Endpoint::close_info`](crate::Endpoint::close_info).
    #[must_use]
    pub fn close_info(&self) -> Option<&CloseInfo> {
        self.close.as_ref()
    }

    /// As [`Endpoint::poll_event`](crate::Endpoint::poll_event).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_event(&mut self, out: &mut Outbound) -> Result<Option<Event>, Error> {
        if let Some((kind, range)) = self.message(out) {
            return self.own_message(kind, range, out).map(Some);
        }
        match self.poll(out)? {
            Some(found) => self.own(found, out),
            None => Ok(None),
        }
    }

    #[inline]
    fn own_message(
        &mut self,
        kind: MessageKind,
        range: Range<usize>,
        out: &mut Outbound,
    ) -> Result<Event, Error> {
        let payload = self.buffer.take(range);
        Ok(Event::Message(match kind {
            MessageKind::Binary => Message::Binary(payload),
            MessageKind::Text => match Text::try_from(payload) {
                Ok(text) => Message::Text(text),
                Err(_) => {
                    let Self { receiver, phase, close, failure, .. } = self;
                    return Err(not_utf8(receiver, phase, close, failure, out));
                }
            },
        }))
    }

    #[inline]
    fn lend_message(
        &mut self,
        kind: MessageKind,
        range: Range<usize>,
        out: &mut Outbound,
    ) -> Result<EventRef<'_>, Error> {
        let Self { buffer, receiver, phase, close, failure, .. } = self;
        let bytes = buffer.get(range);
        Ok(EventRef::Message(match kind {
            MessageKind::Binary => MessageRef::Binary(bytes),
            MessageKind::Text => match core::str::from_utf8(bytes) {
                Ok(text) => MessageRef::Text(text),
                Err(_) => return Err(not_utf8(receiver, phase, close, failure, out)),
            },
        }))
    }

    fn own(&mut self, found: Found, out: &mut Outbound) -> Result<Option<Event>, Error> {
        Ok(Some(match found {
            Found::Message(kind, range) => self.own_message(kind, range, out)?,
            Found::Chunk(Chunk { kind, bytes, start, end }) => {
                Event::Chunk(Chunk { kind, bytes: self.buffer.take(bytes), start, end })
            }
            Found::Ping => Event::Ping(Bytes::copy_from_slice(self.receiver.control_payload())),
            Found::Pong => Event::Pong(Bytes::copy_from_slice(self.receiver.control_payload())),
            Found::Request(request) if request.is_upgrade() => Event::Request(request),
            Found::Request(request) => Event::Http(request),
            Found::Open(opened) => Event::Open(opened),
            Found::Refused(response) => Event::Refused(response),
            Found::Closed(info) => Event::Closed(info),
        }))
    }

    /// As [`Endpoint::poll_event_ref`](crate::Endpoint::poll_event_ref).
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn poll_event_ref(&mut self, out: &mut Outbound) -> Result<Option<EventRef<'_>>, Error> {
        if let Some((kind, range)) = self.message(out) {
            return self.lend_message(kind, range, out).map(Some);
        }
        let Some(found) = self.poll(out)? else { return Ok(None) };
        Ok(Some(match found {
            Found::Message(kind, range) => return self.lend_message(kind, range, out).map(Some),
            Found::Chunk(Chunk { kind, bytes, start, end }) => {
                EventRef::Chunk(Chunk { kind, bytes: self.buffer.get(bytes), start, end })
            }
            Found::Ping => EventRef::Ping(self.receiver.control_payload()),
            Found::Pong => EventRef::Pong(self.receiver.control_payload()),
            Found::Request(request) if request.is_upgrade() => EventRef::Request(request),
            Found::Request(request) => EventRef::Http(request),
            Found::Open(opened) => EventRef::Open(opened),
            Found::Refused(response) => EventRef::Refused(response),
            Found::Closed(info) => EventRef::Closed(info),
        }))
    }

    /// Looks for the next event, but leaves a message for
    /// [`poll_event_ref`](Self::poll_event_ref): for a driver whose loop reads more when there is
    /// none, and which returns the message with its borrow when there is.
    ///
    /// # Errors
    ///
    /// As [`poll_event`](Self::poll_event).
    #[inline]
    pub fn peek(&mut self, out: &mut Outbound) -> Result<Peeked, Error> {
        if self.ready.is_some() {
            return Ok(Peeked::Message);
        }
        if let Some(message) = self.message(out) {
            self.ready = Some(message);
            return Ok(Peeked::Message);
        }
        let Some(found) = self.poll(out)? else { return Ok(Peeked::Nothing) };
        if let Found::Message(kind, range) = found {
            self.ready = Some((kind, range));
            return Ok(Peeked::Message);
        }
        Ok(self.own(found, out)?.map_or(Peeked::Nothing, Peeked::Event))
    }

    /// As [`Endpoint::handle_timeout`](crate::Endpoint::handle_timeout).
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbound) {
        if self.started.is_none() {
            self.started = Some(now);
            // Opened before any time was told: its time begins here.
            if matches!(self.phase, Phase::Open | Phase::Opened(_)) {
                out.sender.opened(now);
            }
        }
        // A Pong may be among the bytes. A driver that does not come to parse them is not waited for.
        if self.fresh && self.due.is_none() {
            out.set_now(now);
            self.due = Some(now);
        } else {
            self.due = None;
            self.act(now, out);
        }
    }

    /// The next message, if it is one that [`Receiver::whole`] takes; the rest is left to
    /// [`poll`](Self::poll).
    #[inline]
    fn message(&mut self, out: &mut Outbound) -> Option<(MessageKind, Range<usize>)> {
        if let Some(ready) = self.ready.take() {
            return Some(ready);
        }
        if !matches!(self.phase, Phase::Open) || self.streaming {
            return None;
        }
        let mut input = Input::new(self.buffer.unread());
        let whole = self.receiver.whole(&mut input, TextCheck::CallerForWholeMessages);
        let Some(Ok(Frame::Data(chunk))) = whole else { return None };
        let (kind, len, consumed) = (chunk.kind, chunk.bytes.len(), input.consumed());
        self.buffer.consume(consumed);
        out.sender.received(true);
        Some((kind, self.buffer.last(len)))
    }

    fn poll(&mut self, out: &mut Outbound) -> Result<Option<Found>, Error> {
        let mut result = self.parse(out);
        if matches!(result, Ok(None)) {
            self.fresh = false;
            if let Some(now) = self.due.take() {
                self.act(now, out);
                result = self.parse(out);
            }
        }
        if let Err(error) = result {
            self.failure = Some(error);
        }
        result
    }

    fn parse(&mut self, out: &mut Outbound) -> Result<Option<Found>, Error> {
        if !matches!(self.phase, Phase::Open) {
            return self.poll_opening(out);
        }
        loop {
            let mut input = Input::new(self.buffer.unread());
            let check =
                if self.streaming { TextCheck::Here } else { TextCheck::CallerForWholeMessages };
            let result = self.receiver.receive_checking(&mut input, check);
            let step = match result {
                Ok(None) => Ok(Step::More),
                Ok(Some(Frame::Data(chunk))) => Ok(Step::Data {
                    len: chunk.bytes.len(),
                    kind: chunk.kind,
                    start: chunk.start,
                    end: chunk.end,
                }),
                Ok(Some(Frame::Ping)) => Ok(Step::Ping),
                Ok(Some(Frame::Pong)) => Ok(Step::Pong),
                Ok(Some(Frame::Close)) => Ok(Step::Close),
                Err(error) => Err(error),
            };
            let consumed = input.consumed();
            self.buffer.consume(consumed);
            if consumed != 0 {
                out.sender.received(matches!(step, Ok(Step::Data { .. })));
            }
            if let Some(reply) = self.receiver.take_reply() {
                out.reply(reply);
            }
            match step {
                Ok(Step::Data { len, kind, start, end }) => {
                    if start {
                        self.in_pieces = self.streaming;
                    }
                    if self.in_pieces {
                        let bytes = self.buffer.last(len);
                        return Ok(Some(Found::Chunk(Chunk { kind, bytes, start, end })));
                    }
                    if let Some(range) = self.buffer.chunk(len, start, end) {
                        return Ok(Some(Found::Message(kind, range)));
                    }
                }
                Ok(Step::Ping) => return Ok(Some(Found::Ping)),
                Ok(Step::Pong) => return Ok(Some(Found::Pong)),
                Ok(Step::Close) => return Ok(Some(self.closed(out))),
                Ok(Step::More) => return self.idle(out),
                Err(error) => {
                    self.phase = Phase::Over;
                    self.ended(CloseCode::ABNORMAL, "", false, out);
                    return Err(error.into());
                }
            }
        }
    }

    /// There is nothing more to parse: the end of the stream or of patience may have come.
    #[cold]
    fn idle(&mut self, out: &mut Outbound) -> Result<Option<Found>, Error> {
        if out.sender.is_lost() {
            self.phase = Phase::Over;
            self.ended(CloseCode::ABNORMAL, "", false, out);
            return Err(Error::PongTimeout);
        }
        if !self.eof && !out.sender.is_finished() {
            return Ok(None);
        }
        out.sender.end();
        self.receiver.end();
        self.phase = Phase::Over;
        let info = self.ended(CloseCode::ABNORMAL, "", false, out);
        Ok(Some(Found::Closed(info)))
    }

    /// The peer's Close frame has come.
    #[cold]
    fn closed(&mut self, out: &mut Outbound) -> Found {
        let (code, reason) = match self.receiver.close_frame() {
            Some(frame) => (frame.code, frame.reason.to_string()),
            None => (CloseCode::NO_STATUS, String::new()),
        };
        self.phase = Phase::Over;
        Found::Closed(self.ended(code, &reason, true, out))
    }

    fn ended(&mut self, code: CloseCode, reason: &str, clean: bool, out: &Outbound) -> CloseInfo {
        ended(&mut self.close, code, reason, clean, out)
    }
}

/// Notes how the connection has ended; the first answer stays.
fn ended(
    close: &mut Option<CloseInfo>,
    code: CloseCode,
    reason: &str,
    clean: bool,
    out: &Outbound,
) -> CloseInfo {
    let by_us = out.sender.closed_first();
    close.get_or_insert_with(|| CloseInfo { code, reason: reason.into(), clean, by_us }).clone()
}

/// Fails the connection for a text that was left to the endpoint to check and is none. Its parts, as the
/// buffer may be lent.
#[cold]
fn not_utf8(
    receiver: &mut Receiver,
    phase: &mut Phase,
    close: &mut Option<CloseInfo>,
    failure: &mut Option<Error>,
    out: &mut Outbound,
) -> Error {
    *phase = Phase::Over;
    receiver.fail(ProtocolError::InvalidUtf8);
    if let Some(reply) = receiver.take_reply() {
        out.reply(reply);
    }
    ended(close, CloseCode::ABNORMAL, "", false, out);
    *failure.insert(ProtocolError::InvalidUtf8.into())
}
