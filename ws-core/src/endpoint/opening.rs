//! The opening handshake of an endpoint: heads, the application's answer, a refusal's body.
//!
//! [`Inbound`] comes here while its phase is not `Open`. The answer to a request is given to the sending side,
//! and found there when events are looked for next.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::answer::Answer;
#[cfg(feature = "zlib-rs")]
use super::deflate::Compression;
use super::event::EndpointError;
use super::failure::HandshakeFailure;
use super::http::{Request, Response};
use super::inbound::{Found, Inbound};
use super::options::Options;
use super::outbound::Outbound;
use crate::connection::Receiver;
#[cfg(feature = "zlib-rs")]
use crate::deflate::DeflateParams;
#[cfg(feature = "zlib-rs")]
use crate::handshake::DeflateExtension;
use crate::handshake::{
    BodyPart, BodyReader, ClientKey, EMPTY_FIELD, FirstBytes, HandshakeError, HeadReader,
    ResponseHead,
};

#[derive(Debug)]
pub(super) enum HandshakeState {
    /// The head of a request or response is being received.
    Head(Box<Opening>),
    /// A request waits for the application's answer.
    Asked,
    /// The body of a server's refusal is being received.
    Body(Box<Refusal>),
    Open,
    /// Nothing more is told: what still arrives is of no interest (RFC 6455 §1.4).
    Over,
    /// As `Over`, after a fault of the peer's.
    Failed(Box<HandshakeFailure>),
}

pub(super) struct Opening {
    options: Options,
    first: FirstBytes,
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
    #[inline]
    pub(super) fn opening(
        receiver: Receiver,
        options: Options,
        offer: Option<(ClientKey, Vec<String>)>,
    ) -> Self {
        let (first, reader) = match offer {
            Some(_) => (FirstBytes::response(), HeadReader::response(options.max_head)),
            None => (FirstBytes::request(), HeadReader::request(options.max_head)),
        };
        let opening = Opening { options, first, reader, seen: 0, offer };
        Self::new(receiver, HandshakeState::Head(Box::new(opening)))
    }

    #[cold]
    pub(super) fn poll_opening(&mut self, out: &mut Outbound) -> Option<Found> {
        let late = out.is_opening_late();
        // What has come of a refusal's body is what there is.
        self.session.eof |= late && matches!(self.session.state, HandshakeState::Body(_));
        let state = core::mem::replace(&mut self.session.state, HandshakeState::Over);
        let result = match state {
            HandshakeState::Head(opening) if late => {
                Err(Fault::at_end(opening.first, EndpointError::HandshakeTimeout))
            }
            HandshakeState::Head(opening) => self.poll_head(opening, out),
            HandshakeState::Body(refusal) => Ok(self.poll_body(refusal, out)),
            HandshakeState::Asked => self.poll_answer(out).map_err(Fault::from),
            HandshakeState::Open | HandshakeState::Over | HandshakeState::Failed(_) => {
                self.session.state = state;
                self.assembly.discard();
                Ok(None)
            }
        };
        let found = result.unwrap_or_else(|Fault { error, failure, is_for_head }| {
            let told = self.session.failed(error);
            match failure {
                Some(failure) => {
                    out.refuse(failure.error, !is_for_head);
                    self.session.state = HandshakeState::Failed(failure);
                }
                None => out.over(),
            }
            Some(Found::Failed(told))
        });
        if self.session.eof
            && matches!(self.session.state, HandshakeState::Over | HandshakeState::Failed(_))
        {
            out.sender.end();
        }
        found
    }

    /// What comes from here on may be compressed, as the sending side has agreed: nobody needs the settings any more.
    #[cfg(feature = "zlib-rs")]
    pub(super) fn set_deflate(&mut self, params: &DeflateParams, out: &mut Outbound) {
        let Some(compression) = out.compression.take() else { return };
        let receiver = &mut self.session.receiver;
        let inflating = compression.inflating(out.role(), params, receiver.max_message());
        self.assembly.inflating = Some(Box::new(inflating));
        receiver.set_compression();
    }

    /// Looks for the application's answer to a request.
    fn poll_answer(&mut self, out: &mut Outbound) -> Result<Option<Found>, EndpointError> {
        match core::mem::replace(&mut out.answer, Answer::None) {
            Answer::Accepted(subprotocol) => {
                self.session.state = HandshakeState::Open;
                #[cfg(feature = "zlib-rs")]
                if let Some(params) = out.deflate() {
                    self.set_deflate(&params, out);
                }
                Ok(Some(Found::Open(subprotocol, None)))
            }
            // Who asks for a page may have closed its side and still wait for the answer.
            Answer::Asked(request) if self.session.eof && request.is_upgrade() => {
                Err(EndpointError::HandshakeEof)
            }
            Answer::Asked(request) if !out.is_given_up() => {
                out.answer = Answer::Asked(request);
                self.session.state = HandshakeState::Asked;
                if self.session.eof {
                    out.half_closed();
                }
                Ok(None)
            }
            // It was answered with a page, or not in time.
            Answer::Asked(_) | Answer::None => Ok(None),
        }
    }

    fn poll_head(
        &mut self,
        mut opening: Box<Opening>,
        out: &mut Outbound,
    ) -> Result<Option<Found>, Fault> {
        loop {
            let unread = self.assembly.buffer.unread();
            let fresh = unread.get(opening.seen..).unwrap_or_default();
            let fed = match opening.push(fresh) {
                Ok(fed) => fed,
                Err(error) => {
                    let max_head = opening.options.max_head;
                    let head = unread.get(..max_head).unwrap_or(unread);
                    return Err(Fault::new(first_bytes(error, opening.first), is_for_head(head)));
                }
            };
            let Some(len) = fed else {
                opening.seen = unread.len();
                if self.session.eof {
                    return Err(Fault::at_end(opening.first, EndpointError::HandshakeEof));
                }
                self.session.state = HandshakeState::Head(opening);
                return Ok(None);
            };
            let head: Box<[u8]> = unread.get(..len).unwrap_or_default().into();
            self.assembly.buffer.consume(len);
            let options = &opening.options;
            let max_fields = options.max_fields.min(opening.reader.max_fields());
            let Some((key, offered)) = &opening.offer else {
                let is_for_head = is_for_head(&head);
                let (request, outcome) = Request::parse(head, max_fields, options)
                    .map_err(|error| Fault::new(error, is_for_head))?;
                if let Err(error) = outcome {
                    let failure = HandshakeFailure { request: Some(request), ..error.into() };
                    return Err(Fault::new(failure, is_for_head));
                }
                self.session.state = HandshakeState::Asked;
                out.asked(request.clone());
                return Ok(Some(Found::Request(request)));
            };
            let mut storage = alloc::vec![EMPTY_FIELD; max_fields];
            let parsed = ResponseHead::parse_in(&head, &mut storage)
                .map_err(|error| Fault::new(error, false))?;
            if parsed.is_interim() {
                // Interim responses count towards the limit together.
                opening.options.max_head = opening.options.max_head.saturating_sub(len);
                opening.first = FirstBytes::response();
                opening.reader = HeadReader::response(opening.options.max_head);
                opening.seen = 0;
                continue;
            }
            let mut response = Response::new(&head, &parsed);
            if parsed.status() == 101 {
                let offered = offered.iter().map(String::as_str);
                #[cfg(feature = "zlib-rs")]
                let offer = options.compression.as_ref().map(Compression::offer);
                #[cfg(feature = "zlib-rs")]
                let extensions = offer.as_ref().map(DeflateExtension::as_str);
                #[cfg(not(feature = "zlib-rs"))]
                let extensions = None;
                let accepted = parsed.accept(key, offered, extensions);
                #[cfg(feature = "zlib-rs")]
                let accepted = accepted.and_then(|accepted| {
                    if let Some(params) = parsed.deflate(extensions)? {
                        out.set_deflate(&params);
                        self.set_deflate(&params, out);
                    }
                    Ok(accepted)
                });
                let subprotocol = match accepted {
                    Ok(accepted) => accepted.map(ToString::to_string),
                    Err(error) => {
                        let response = Some(Box::new(response));
                        let failure = HandshakeFailure { response, ..error.into() };
                        return Err(Fault::new(failure, false));
                    }
                };
                out.open();
                self.session.state = HandshakeState::Open;
                response.body = Bytes::new();
                return Ok(Some(Found::Open(subprotocol, Some(Box::new(response)))));
            }
            // A body whose length is in doubt is not worth a second fault.
            let Ok(length) = parsed.body_length() else {
                out.over();
                return Ok(Some(Found::Refused(Box::new(response))));
            };
            let refusal = Refusal {
                response,
                reader: BodyReader::new(length),
                body: Vec::new(),
                max: options.max_body,
            };
            return Ok(self.poll_body(Box::new(refusal), out));
        }
    }

    fn poll_body(&mut self, mut refusal: Box<Refusal>, out: &mut Outbound) -> Option<Found> {
        while let Ok((consumed, part)) = refusal.reader.feed(self.assembly.buffer.unread()) {
            if let BodyPart::Data(data) = part {
                let room = refusal.max.saturating_sub(refusal.body.len());
                refusal.body.extend_from_slice(data.get(..room).unwrap_or(data));
            }
            let more = matches!(part, BodyPart::NeedMore);
            let end = matches!(part, BodyPart::End) || refusal.body.len() >= refusal.max;
            self.assembly.buffer.consume(consumed);
            if end {
                break;
            }
            if more {
                if self.session.eof {
                    break;
                }
                self.session.state = HandshakeState::Body(refusal);
                return None;
            }
        }
        Some(self.refused(*refusal, out))
    }

    fn refused(&mut self, mut refusal: Refusal, out: &mut Outbound) -> Found {
        refusal.response.body = refusal.body.into();
        out.over();
        Found::Refused(Box::new(refusal.response))
    }
}

impl Opening {
    /// Passes bytes that have come to those who look for the end of the head.
    fn push(&mut self, fresh: &[u8]) -> Result<Option<usize>, HandshakeError> {
        let room = self.options.max_head.saturating_sub(self.seen);
        self.first.push(fresh.get(..room).unwrap_or(fresh))?;
        self.reader.push(fresh)
    }
}

/// Why the handshake has failed, and what was seen of the peer where that is its fault.
struct Fault {
    error: EndpointError,
    failure: Option<Box<HandshakeFailure>>,
    /// Whether the method of the request is HEAD.
    is_for_head: bool,
}

impl Fault {
    fn new(failure: impl Into<HandshakeFailure>, is_for_head: bool) -> Self {
        let failure = failure.into();
        Self { error: failure.error.into(), failure: Some(Box::new(failure)), is_for_head }
    }

    /// The fault when no more comes: `error`, unless what has come is no HTTP.
    fn at_end(first: FirstBytes, error: EndpointError) -> Self {
        match first.at_end() {
            Some(error) => Self::new(first_bytes(error, first), false),
            None => error.into(),
        }
    }
}

impl From<EndpointError> for Fault {
    fn from(error: EndpointError) -> Self {
        Self { error, failure: None, is_for_head: false }
    }
}

/// A failure with the first bytes, if they are what is wrong.
fn first_bytes(error: HandshakeError, first: FirstBytes) -> HandshakeFailure {
    let first_bytes = (error == HandshakeError::NotHttp).then_some(first);
    HandshakeFailure { first_bytes, ..error.into() }
}

/// Whether a request's head has the method HEAD; empty lines may precede it.
fn is_for_head(head: &[u8]) -> bool {
    let mut head = head;
    while let Some(rest) = head.strip_prefix(b"\r\n") {
        head = rest;
    }
    head.starts_with(b"HEAD ")
}
