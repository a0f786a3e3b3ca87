//! The opening handshake of an endpoint: heads, the application's answer, a refusal's body.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::OpenError;
use super::event::{Error, Opened};
use super::http::{Request, Response, field_slots};
use super::inbound::{Found, Inbound};
use super::options::Options;
use super::outbound::Outbound;
use crate::Instant;
use crate::connection::Receiver;
use crate::handshake::{
    AcceptResponse, BodyPart, BodyReader, ClientKey, EMPTY_FIELD, HeadReader, HttpResponse,
    ResponseHead, accept_key,
};

#[derive(Debug)]
pub(super) enum Phase {
    /// The head of a request or response is being received.
    Head(Box<Opening>),
    /// A request waits for the application's answer.
    Deciding(Box<Request>),
    /// The body of a server's refusal is being received.
    Body(Box<Refusal>),
    /// To be told with the next event.
    Opened(Box<Opened>),
    Open,
    Failed(Error),
    Over,
}

pub(super) struct Opening {
    options: Options,
    reader: HeadReader,
    /// How many of the unread bytes the reader has seen.
    seen: usize,
    /// On a client, what it has offered.
    offer: Option<(ClientKey, Vec<String>)>,
}

pub(super) struct Refusal {
    response: Response,
    reader: BodyReader,
    body: Vec<u8>,
    max: usize,
    timeout: u32,
}

/// Not what was offered: people put tokens into subprotocols.
impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("options", &self.options)
            .field("reader", &self.reader)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("response", &self.response)
            .field("reader", &self.reader)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Inbound {
    pub(super) fn opening(
        receiver: Receiver,
        options: Options,
        offer: Option<(ClientKey, Vec<String>)>,
    ) -> Self {
        let reader = match offer {
            Some(_) => HeadReader::response(options.max_head),
            None => HeadReader::request(options.max_head),
        };
        Self::new(receiver, Phase::Head(Box::new(Opening { options, reader, seen: 0, offer })))
    }

    #[cold]
    pub(super) fn poll_opening(&mut self, out: &mut Outbound) -> Result<Option<Found>, Error> {
        let mut for_head = false;
        let result = match core::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Head(opening) => self.poll_head(opening, out, &mut for_head),
            Phase::Body(refusal) => Ok(self.poll_body(refusal, out)),
            Phase::Opened(opened) => {
                self.phase = Phase::Open;
                Ok(Some(Found::Open(*opened)))
            }
            Phase::Failed(error) => Err(error),
            Phase::Deciding(request) => {
                // Who asks for a page may have closed its side and still wait for the answer.
                if self.eof && request.is_upgrade() {
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
                Error::Handshake(error) => out.refuse(error, !for_head),
                _ => out.over(),
            }
        }
        if self.eof && matches!(self.phase, Phase::Over) {
            out.sender.end();
        }
        result
    }

    /// `for_head` tells of a head that is read to its end, or refused, whether its method is HEAD.
    fn poll_head(
        &mut self,
        mut opening: Box<Opening>,
        out: &mut Outbound,
        for_head: &mut bool,
    ) -> Result<Option<Found>, Error> {
        loop {
            let unread = self.buffer.unread();
            let fresh = unread.get(opening.seen..).unwrap_or_default();
            let fed = opening.reader.push(fresh).inspect_err(|_| {
                *for_head = is_for_head(unread.get(..opening.options.max_head).unwrap_or(unread));
            });
            let Some(len) = fed? else {
                opening.seen = unread.len();
                self.phase = Phase::Head(opening);
                return if self.eof { Err(Error::HandshakeEof) } else { Ok(None) };
            };
            let head = Bytes::copy_from_slice(unread.get(..len).unwrap_or_default());
            *for_head = is_for_head(&head);
            self.buffer.consume(len);
            let options = &opening.options;
            let Some((key, offered)) = &opening.offer else {
                let request = Request::parse(&head, options.max_fields)?;
                if let Some(asked) = request.asked() {
                    let (origin, host) = (asked.origin(), asked.host());
                    options.origins.check_secure(origin, host, options.secure)?;
                }
                self.phase = Phase::Deciding(Box::new(request.clone()));
                return Ok(Some(Found::Request(request)));
            };
            let mut storage = alloc::vec![EMPTY_FIELD; field_slots(&head, options.max_fields)];
            let parsed = ResponseHead::parse_in(&head, &mut storage)?;
            if parsed.is_interim() {
                // Interim responses count towards the limit together.
                opening.options.max_head = opening.options.max_head.saturating_sub(len);
                opening.reader = HeadReader::response(opening.options.max_head);
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

    /// As [`Endpoint::accept`](crate::Endpoint::accept), for a driver of the two sides.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn accept(
        &mut self,
        response: &AcceptResponse<'_>,
        out: &mut Outbound,
    ) -> Result<(), OpenError> {
        let Phase::Deciding(request) = &self.phase else { return Err(OpenError::NoRequest) };
        let Some(asked) = request.asked() else { return Err(OpenError::NoRequest) };
        let offered = asked.subprotocols.iter().map(String::as_str);
        response.check_offered(offered, "")?;
        let accept = accept_key(&asked.key);
        out.head(|out| response.write_accept(&accept, out))?;
        let subprotocol = response.subprotocol.map(ToString::to_string);
        out.open();
        self.phase = Phase::Opened(Box::new(Opened { subprotocol, response: None }));
        Ok(())
    }

    /// As [`Endpoint::respond`](crate::Endpoint::respond), for a driver of the two sides.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn respond(
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
            Phase::Body(refusal) if !self.eof => refusal.timeout,
            _ => return None,
        };
        let started = self.started.unwrap_or(Instant::from_millis(0));
        (timeout != 0).then(|| started.plus_millis(timeout))
    }

    /// As [`Endpoint::poll_timeout`](crate::Endpoint::poll_timeout).
    #[must_use]
    pub fn poll_timeout(&self, out: &Outbound) -> Option<Instant> {
        if self.is_forsaken() && out.close_timeout != 0 {
            let until = |since: Instant| since.plus_millis(out.close_timeout);
            return Some(self.forsaken.map_or(out.now, until));
        }
        self.handshake_deadline().or_else(|| out.poll_timeout())
    }

    /// Whether the peer has ended its side while its request waits for an answer.
    fn is_forsaken(&self) -> bool {
        self.eof && matches!(self.phase, Phase::Deciding(_))
    }

    /// Does what is due.
    pub(super) fn act(&mut self, now: Instant, out: &mut Outbound) {
        if self.is_forsaken() && out.close_timeout != 0 {
            let since = *self.forsaken.get_or_insert(now);
            if since.plus_millis(out.close_timeout).has_come(now) {
                self.phase = Phase::Over;
                out.over();
                out.sender.end();
            }
        }
        out.handle_timeout(now);
        let late = self.handshake_deadline().is_some_and(|until| until.has_come(now));
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

/// Whether a request's head has the method HEAD; empty lines may precede it.
fn is_for_head(head: &[u8]) -> bool {
    let mut head = head;
    while let Some(rest) = head.strip_prefix(b"\r\n") {
        head = rest;
    }
    head.starts_with(b"HEAD ")
}
