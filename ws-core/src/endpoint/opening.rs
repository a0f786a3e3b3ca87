//! The opening handshake of an endpoint: the heads, the application's answer and the body of a refusal.
//!
//! [`Inbound`] calls this module until the connection is open. The application passes its answer to a request to the
//! sending side, and the next search for events finds it there.

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
    /// No further events follow. Later bytes are ignored (RFC 6455 §1.4).
    Over,
    /// The same as `Over`, after an error of the peer.
    Failed(Box<HandshakeFailure>),
}

pub(super) struct Opening {
    options: Options,
    first: FirstBytes,
    reader: HeadReader,
    /// How many of the unread bytes the reader has read.
    seen: usize,
    /// On a client, the key and the offered subprotocols.
    offer: Option<(ClientKey, Vec<String>)>,
}

pub(super) struct Refusal {
    response: Response,
    reader: BodyReader,
    body: Vec<u8>,
    max: usize,
}

/// `Debug` does not show the offered subprotocols, because some applications put tokens into them.
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
        // When the deadline has passed, the body of a refusal ends with the bytes that were received.
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

    /// From here on, received messages may be compressed. The sending side has agreed to that and no longer needs the
    /// settings, so this takes them.
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
            // A client that asks for a page can end its side and still wait for the answer.
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
            // The application answered with a page, or too late.
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
                let accepted = parsed.accept(key, offered.clone(), extensions);
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
                        let unoffered = unoffered(&response, offered);
                        let response = Some(Box::new(response));
                        let failure = HandshakeFailure { response, unoffered, ..error.into() };
                        return Err(Fault::new(failure, false));
                    }
                };
                out.open();
                self.session.state = HandshakeState::Open;
                response.body = Bytes::new();
                return Ok(Some(Found::Open(subprotocol, Some(Box::new(response)))));
            }
            // If the length of the body is not valid, the refusal is reported without a body instead of a second error.
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
    /// Passes received bytes to the check of the first bytes and to the reader that finds the end of the head.
    fn push(&mut self, fresh: &[u8]) -> Result<Option<usize>, HandshakeError> {
        let room = self.options.max_head.saturating_sub(self.seen);
        self.first.push(fresh.get(..room).unwrap_or(fresh))?;
        self.reader.push(fresh)
    }
}

/// Why the handshake failed. If it is the peer's fault, this includes what the peer sent.
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

    /// Returns the fault if no more bytes will come: `error`, unless the received bytes are not HTTP.
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

/// Returns the subprotocols of a response, with `…` for those that were offered.
fn unoffered<'o>(
    response: &Response,
    offered: impl Iterator<Item = &'o str> + Clone,
) -> Option<Box<str>> {
    let chosen = response.header("sec-websocket-protocol")?;
    let shown = chosen.split(',').map(str::trim);
    let shown = shown.map(|name| if offered.clone().any(|own| own == name) { "…" } else { name });
    Some(shown.collect::<Vec<_>>().join(", ").into())
}

/// Returns a failure. It contains the first bytes if they are the cause.
fn first_bytes(error: HandshakeError, first: FirstBytes) -> HandshakeFailure {
    let first_bytes = (error == HandshakeError::NotHttp).then_some(first);
    HandshakeFailure { first_bytes, ..error.into() }
}

/// Returns whether the method of a request is HEAD. There may be empty lines before the request.
fn is_for_head(head: &[u8]) -> bool {
    let mut head = head;
    while let Some(rest) = head.strip_prefix(b"\r\n") {
        head = rest;
    }
    head.starts_with(b"HEAD ")
}
