use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::buffer::ReadBuffer;
use super::event::{Chunk, CloseInfo, Error, Event, EventRef, Opened};
use super::head::{Request, Response};
use super::options::Options;
use super::outbound::Outbound;
use crate::connection::TextCheck;
use crate::connection::{Event as Frame, Input, Receiver};
use crate::handshake::{
    AcceptResponse, BodyPart, BodyReader, ClientKey, EMPTY_FIELD, HeadKind, HeadReader,
    HttpResponse, ResponseHead,
};
use crate::message::{MessageRef, Text};
use crate::{CloseCode, Instant, Message, MessageKind, ProtocolError};

use super::OpenError;

/// The receiving side of an [`Endpoint`](crate::Endpoint): bytes in, events out.
#[derive(Debug)]
pub struct Inbound {
    pub(super) receiver: Receiver,
    buffer: ReadBuffer,
    phase: Phase,
    eof: bool,
    close: Option<CloseInfo>,
    streaming: bool,
    /// The message that is open is told in pieces.
    in_pieces: bool,
    /// A message that [`peek`](Self::peek) has found.
    ready: Option<(MessageKind, Range<usize>)>,
    pub(super) started: Option<Instant>,
}

#[derive(Debug)]
enum Phase {
    /// The head of a request or response is being received.
    Head(Box<Opening>),
    /// A request waits for the application's answer.
    Deciding(Request),
    /// The body of a server's refusal is being received.
    Body(Box<Refusal>),
    /// To be told with the next event.
    Opened(Opened),
    Open,
    Failed(Error),
    Over,
}

#[derive(Debug)]
struct Opening {
    options: Options,
    reader: HeadReader,
    /// How many of the unread bytes the reader has seen.
    seen: usize,
    /// On a client, what it has offered.
    offer: Option<(ClientKey, Vec<String>)>,
}

#[derive(Debug)]
struct Refusal {
    response: Response,
    reader: BodyReader,
    body: Vec<u8>,
    max: usize,
    timeout: u32,
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
enum Found {
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
    fn new(receiver: Receiver, phase: Phase) -> Self {
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
        }
    }

    pub(super) fn opening(
        receiver: Receiver,
        options: Options,
        offer: Option<(ClientKey, Vec<String>)>,
    ) -> Self {
        let kind = if offer.is_some() { HeadKind::Response } else { HeadKind::Request };
        let reader = HeadReader::new(kind, options.max_head);
        Self::new(receiver, Phase::Head(Box::new(Opening { options, reader, seen: 0, offer })))
    }

    pub(super) fn open(receiver: Receiver) -> Self {
        Self::new(receiver, Phase::Open)
    }

    /// As [`Endpoint::receive`](crate::Endpoint::receive).
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
        if !self.buffer.has_room() || self.ready.is_some() {
            return &mut [];
        }
        self.buffer.spare(self.receiver.payload_left())
    }

    /// As [`Endpoint::filled`](crate::Endpoint::filled).
    pub fn filled(&mut self, count: usize) {
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

    /// As [`Endpoint::receive_eof`](crate::Endpoint::receive_eof).
    pub fn receive_eof(&mut self) {
        self.eof = true;
    }

    pub(super) fn release(&mut self) {
        if self.ready.is_none() {
            self.buffer.release();
        }
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
        match self.poll(out)? {
            Some(found) => self.own(found, out),
            None => Ok(None),
        }
    }

    fn own(&mut self, found: Found, out: &mut Outbound) -> Result<Option<Event>, Error> {
        Ok(Some(match found {
            Found::Message(kind, range) => {
                let payload = self.buffer.take(range);
                Event::Message(match kind {
                    MessageKind::Binary => Message::Binary(payload),
                    MessageKind::Text => match Text::try_from(payload) {
                        Ok(text) => Message::Text(text),
                        Err(_) => return Err(self.fail(ProtocolError::InvalidUtf8, out)),
                    },
                })
            }
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
        let Some(found) = self.poll(out)? else { return Ok(None) };
        Ok(Some(match found {
            Found::Message(MessageKind::Binary, range) => {
                EventRef::Message(MessageRef::Binary(self.buffer.get(range)))
            }
            Found::Message(MessageKind::Text, range) => {
                if core::str::from_utf8(self.buffer.get(range.clone())).is_err() {
                    return Err(self.fail(ProtocolError::InvalidUtf8, out));
                }
                let text = core::str::from_utf8(self.buffer.get(range));
                EventRef::Message(MessageRef::Text(text.unwrap_or_default()))
            }
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
        let Some(found) = self.poll(out)? else { return Ok(Peeked::Nothing) };
        if let Found::Message(kind, range) = found {
            self.ready = Some((kind, range));
            return Ok(Peeked::Message);
        }
        Ok(self.own(found, out)?.map_or(Peeked::Nothing, Peeked::Event))
    }

    #[inline]
    fn poll(&mut self, out: &mut Outbound) -> Result<Option<Found>, Error> {
        if let Some((kind, range)) = self.ready.take() {
            return Ok(Some(Found::Message(kind, range)));
        }
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
        let by_us = out.sender.closed_first();
        let info = CloseInfo { code, reason: reason.into(), clean, by_us };
        self.close.get_or_insert(info).clone()
    }

    fn fail(&mut self, error: ProtocolError, out: &mut Outbound) -> Error {
        self.receiver.fail(error);
        if let Some(reply) = self.receiver.take_reply() {
            out.reply(reply);
        }
        self.phase = Phase::Over;
        self.ended(CloseCode::ABNORMAL, "", false, out);
        error.into()
    }

    #[cold]
    fn poll_opening(&mut self, out: &mut Outbound) -> Result<Option<Found>, Error> {
        let result = match core::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Head(opening) => self.poll_head(opening, out),
            Phase::Body(refusal) => Ok(self.poll_body(refusal, out)),
            Phase::Opened(opened) => {
                self.phase = Phase::Open;
                Ok(Some(Found::Open(opened)))
            }
            Phase::Failed(error) => Err(error),
            Phase::Deciding(request) => {
                if self.eof {
                    Err(Error::HandshakeEof)
                } else {
                    self.phase = Phase::Deciding(request);
                    Ok(None)
                }
            }
            Phase::Open => {
                self.phase = Phase::Open;
                Ok(None)
            }
            Phase::Over => {
                // What still arrives is of no interest (RFC 6455 §1.4).
                let rest = self.buffer.unread_len();
                self.buffer.consume(rest);
                Ok(None)
            }
        };
        if let Err(error) = result {
            self.phase = Phase::Over;
            match error {
                Error::Handshake(error) => out.refuse(error),
                _ => out.over(),
            }
        }
        if self.eof && matches!(self.phase, Phase::Over) {
            out.sender.end();
        }
        result
    }

    fn poll_head(
        &mut self,
        mut opening: Box<Opening>,
        out: &mut Outbound,
    ) -> Result<Option<Found>, Error> {
        loop {
            let unread = self.buffer.unread();
            let fresh = unread.get(opening.seen..).unwrap_or_default();
            let Some(fresh_len) = opening.reader.feed(fresh)? else {
                opening.seen = unread.len();
                self.phase = Phase::Head(opening);
                return if self.eof { Err(Error::HandshakeEof) } else { Ok(None) };
            };
            let len = opening.seen.saturating_add(fresh_len);
            let head = Bytes::copy_from_slice(unread.get(..len).unwrap_or_default());
            self.buffer.consume(len);
            let options = &opening.options;
            let Some((key, offered)) = &opening.offer else {
                let request = Request::parse(&head, options.max_fields)?;
                if let Some(asked) = request.asked() {
                    options.origins.check(asked.origin(), asked.host())?;
                }
                self.phase = Phase::Deciding(request.clone());
                return Ok(Some(Found::Request(request)));
            };
            let mut storage = alloc::vec![EMPTY_FIELD; options.max_fields];
            let parsed = ResponseHead::parse(&head, &mut storage)?;
            if parsed.is_interim() {
                // Interim responses count towards the limit together.
                opening.options.max_head = opening.options.max_head.saturating_sub(len);
                opening.reader = HeadReader::new(HeadKind::Response, opening.options.max_head);
                opening.seen = 0;
                continue;
            }
            let mut response = Response::new(&head, &parsed);
            if parsed.status() == 101 {
                let accepted = parsed.accept(key, offered.iter().map(String::as_str), None)?;
                let subprotocol = accepted.subprotocol.map(ToString::to_string);
                out.open();
                self.phase = Phase::Open;
                response.body = Bytes::new();
                let opened = Opened { subprotocol, response: Some(response) };
                return Ok(Some(Found::Open(opened)));
            }
            // A body whose length is in doubt is not worth a second fault.
            let Ok(length) = parsed.body_length() else {
                out.over();
                return Ok(Some(Found::Refused(response)));
            };
            let refusal = Refusal {
                response,
                reader: BodyReader::new(length),
                body: Vec::new(),
                max: options.max_body,
                timeout: options.handshake_timeout,
            };
            return Ok(self.poll_body(Box::new(refusal), out));
        }
    }

    fn poll_body(&mut self, mut refusal: Box<Refusal>, out: &mut Outbound) -> Option<Found> {
        while let Ok((consumed, part)) = refusal.reader.feed(self.buffer.unread()) {
            if let BodyPart::Data(data) = part {
                let room = refusal.max.saturating_sub(refusal.body.len());
                refusal.body.extend_from_slice(data.get(..room).unwrap_or(data));
            }
            let more = matches!(part, BodyPart::NeedMore);
            let end = matches!(part, BodyPart::End) || refusal.body.len() >= refusal.max;
            self.buffer.consume(consumed);
            if end {
                break;
            }
            if more {
                if self.eof {
                    break;
                }
                self.phase = Phase::Body(refusal);
                return None;
            }
        }
        Some(self.refused(*refusal, out))
    }

    fn refused(&mut self, mut refusal: Refusal, out: &mut Outbound) -> Found {
        refusal.response.body = refusal.body.into();
        out.over();
        Found::Refused(refusal.response)
    }

    pub(super) fn accept(
        &mut self,
        response: &AcceptResponse<'_>,
        out: &mut Outbound,
    ) -> Result<(), OpenError> {
        let Phase::Deciding(request) = &self.phase else { return Err(OpenError::NoRequest) };
        let Some(asked) = request.asked() else { return Err(OpenError::NoRequest) };
        let offered = asked.subprotocols.iter().map(String::as_str);
        response.check_offered(offered, core::iter::empty())?;
        out.head(|out| response.write(&asked.key, out))?;
        let subprotocol = response.subprotocol.map(ToString::to_string);
        out.open();
        self.phase = Phase::Opened(Opened { subprotocol, response: None });
        Ok(())
    }

    pub(super) fn respond(
        &mut self,
        response: &HttpResponse<'_>,
        out: &mut Outbound,
    ) -> Result<(), OpenError> {
        let Phase::Deciding(request) = &self.phase else { return Err(OpenError::NoRequest) };
        let with_body = request.method() != "HEAD";
        out.head(|out| response.write_head(out))?;
        if with_body && !matches!(response.status, 204 | 304) {
            out.body(response.body);
        }
        out.over();
        self.phase = Phase::Over;
        Ok(())
    }

    fn handshake_deadline(&self) -> Option<Instant> {
        let timeout = match &self.phase {
            Phase::Head(opening) => opening.options.handshake_timeout,
            Phase::Body(refusal) => refusal.timeout,
            _ => return None,
        };
        let started = self.started.unwrap_or(Instant::from_millis(0));
        (timeout != 0).then(|| started.plus_millis(timeout))
    }

    /// As [`Endpoint::poll_timeout`](crate::Endpoint::poll_timeout).
    #[must_use]
    pub fn poll_timeout(&self, out: &Outbound) -> Option<Instant> {
        self.handshake_deadline().or_else(|| out.poll_timeout())
    }

    /// As [`Endpoint::handle_timeout`](crate::Endpoint::handle_timeout).
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbound) {
        out.handle_timeout(now);
        self.started.get_or_insert(now);
        let late = self.handshake_deadline().is_some_and(|until| until.millis_since(now) == 0);
        if !late {
            return;
        }
        match &self.phase {
            Phase::Head(_) => {
                out.over();
                self.phase = Phase::Failed(Error::HandshakeTimeout);
            }
            // What has come of the body is what there is.
            _ => self.eof = true,
        }
    }
}
