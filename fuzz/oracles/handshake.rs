//! The opening handshake. The input is a setup and what the peer sends from its first byte on.
//!
//! Bit 0 of the flags makes it a client, bit 1 sets a low limit for the head, bit 2 sets one for its fields, and bit 3
//! admits pages of any origin.

use ws_core::Role;
use ws_core::endpoint::{Endpoint, EndpointError, Event, Next, Options, Origins};
use ws_core::frame::{FrameHeader, OpCode};
use ws_core::handshake::{
    AcceptResponse, ClientKey, ClientRequest, DEFAULT_MAX_FIELDS, DEFAULT_MAX_HEAD, FieldSlots,
    HandshakeError, HeadReader, HttpResponse, OpenError, RequestHead, ResponseHead, Upgrade,
    same_origin,
};

use super::endpoint::{Turns, random, write};
use super::{START, Setup, same_for_all_cuts};

/// A server answers this nonce with `s3pPLMBiTxaQ9kYGzzhZRbK+xOo=`.
const NONCE: &[u8; 16] = b"the sample nonce";
const SUBPROTOCOLS: [&str; 2] = ["chat", "superchat"];
const EXTENSIONS: &str = "permessage-deflate; client_max_window_bits";
const LOW_HEAD: usize = 200;
const LOW_FIELDS: usize = 4;
const PAGE_STATUS: u16 = 404;
const PAGE_BODY: &[u8] = b"no such page\n";
const PAGE: HttpResponse<'_> =
    HttpResponse::new(PAGE_STATUS).headers(&[("X-Page", "none")]).body(PAGE_BODY);

pub(crate) fn check(data: &[u8]) {
    let Some(setup) = Setup::of(data) else { return };
    let max_head = if setup.flag(1) { LOW_HEAD } else { DEFAULT_MAX_HEAD };
    let max_fields = if setup.flag(2) { LOW_FIELDS } else { DEFAULT_MAX_FIELDS };
    let role = setup.role();
    let end = same_for_all_cuts(&setup, |pieces| read_head(role, max_head, pieces));
    assert_eq!(end, expect_head(role, max_head, setup.stream), "against the model");
    if let Ok(Some(end)) = end {
        let (head, _) = setup.stream.split_at(end);
        assert!(end <= max_head);
        assert!(head.ends_with(b"\r\n\r\n"));
        if setup.flag(2) {
            check_head(role, head, &mut FieldSlots::<LOW_FIELDS>::new());
        } else {
            check_head(role, head, &mut FieldSlots::<DEFAULT_MAX_FIELDS>::new());
        }
    }
    check_endpoint(&setup, max_head, max_fields);
}

fn check_head<'h, const N: usize>(role: Role, head: &'h [u8], slots: &mut FieldSlots<'h, N>) {
    match role {
        Role::Server => match RequestHead::parse(head, slots) {
            Ok(request) => check_request(&request),
            Err(error) => check_refusal(error),
        },
        Role::Client => {
            if let Ok(response) = ResponseHead::parse(head, slots) {
                check_response(&response);
            }
        }
    }
}

/// Returns the reader of the heads that an endpoint of this role receives.
fn reader(role: Role, max: usize) -> HeadReader {
    match role {
        Role::Server => HeadReader::request(max),
        Role::Client => HeadReader::response(max),
    }
}

/// Returns the length of the head. Each byte is examined once, and the bytes after the head stay untouched.
fn read_head(role: Role, max: usize, pieces: &[&[u8]]) -> Result<Option<usize>, HandshakeError> {
    let mut reader = reader(role, max);
    let mut before = 0;
    for piece in pieces {
        match reader.push(piece) {
            Ok(None) => before += piece.len(),
            Ok(Some(len)) => {
                assert!((before + 1..=before + piece.len()).contains(&len), "reported late");
                assert_eq!(reader.push(b"\0more"), Ok(Some(len)), "after the head");
                return Ok(Some(len));
            }
            Err(error) => {
                assert_eq!(reader.push(b"\r\n\r\n"), Err(error), "after an error");
                return Err(error);
            }
        }
    }
    Ok(None)
}

/// Does the same in the simplest way: byte by byte over the whole.
fn expect_head(role: Role, max: usize, stream: &[u8]) -> Result<Option<usize>, HandshakeError> {
    let window = &stream[..stream.len().min(max)];
    let mut before = 0;
    let (mut in_line, mut line_ended) = (false, false);
    for (index, &byte) in window.iter().enumerate() {
        match (before, byte) {
            (b'\r', b'\n') => line_ended |= in_line,
            (b'\r', _) => return Err(HandshakeError::BareCr),
            (_, b'\n') => return Err(HandshakeError::BareLf),
            (_, 0) => return Err(HandshakeError::Nul),
            (_, b'\r') if role == Role::Client && !in_line => {
                return Err(HandshakeError::MalformedStatusLine);
            }
            (_, b'\r') => {}
            _ => in_line = true,
        }
        // Empty lines before a request do not end it.
        if in_line && window[..=index].ends_with(b"\r\n\r\n") {
            return Ok(Some(index + 1));
        }
        before = byte;
    }
    match role {
        _ if stream.len() < max => Ok(None),
        Role::Client => Err(HandshakeError::ResponseHeadTooLarge),
        Role::Server if line_ended => Err(HandshakeError::HeadTooLarge),
        Role::Server => Err(HandshakeError::RequestLineTooLong),
    }
}

fn check_fields<'h>(fields: impl Iterator<Item = (&'h str, &'h [u8])>) {
    for (name, value) in fields {
        assert!(is_token(name.as_bytes()), "{name:?}");
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{value:?}");
        assert_eq!(value.trim_ascii(), value);
    }
}

/// Checks RFC 9110 §5.6.2 in the simplest way.
fn is_token(text: &[u8]) -> bool {
    let is = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is)
}

/// Returns the 16 bytes of a key (RFC 4648 §4), whatever its pad bits are.
fn nonce(key: &str) -> Option<[u8; 16]> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = key.strip_suffix("==").filter(|text| text.len() == 22)?;
    let mut number = 0_u128;
    for (index, byte) in text.bytes().enumerate() {
        let digit = digits.iter().position(|&digit| digit == byte)? as u128;
        // Only two bits of the last digit belong to the 16 bytes.
        number = if index < 21 { number << 6 | digit } else { number << 2 | digit >> 4 };
    }
    Some(number.to_be_bytes())
}

fn check_request(request: &RequestHead<'_, '_>) {
    assert!(is_token(request.method().as_bytes()));
    check_fields(request.fields());
    match request.upgrade() {
        Ok(Some(upgrade)) => {
            assert_eq!(request.method(), "GET");
            check_upgrade(&upgrade, request.field("sec-websocket-extensions"));
        }
        Ok(None) => {}
        Err(error) => check_refusal(error),
    }
}

/// Checks that an accepted request can be answered, and that a client accepts the answer.
fn check_upgrade(upgrade: &Upgrade<'_, '_>, extensions: Option<&[u8]>) {
    let nonce = nonce(upgrade.key).expect("a valid key");
    assert!(upgrade.path().starts_with('/'), "{:?}", upgrade.path());
    if let Some(origin) = upgrade.origin {
        let _ = same_origin(origin, upgrade.host);
    }
    let offered: Vec<&str> = upgrade.subprotocols().collect();
    for (index, name) in offered.iter().enumerate() {
        assert!(is_token(name.as_bytes()) && !offered[..index].contains(name), "{offered:?}");
    }
    // The offer was checked, and may be in the answer. If fields are repeated, one of them may be empty.
    let extensions = extensions.map(|value| std::str::from_utf8(value).expect("tokens and quotes"));
    let extensions = extensions.filter(|value| value.bytes().any(|byte| is_token(&[byte])));

    let subprotocol = offered.last().copied();
    let response = AcceptResponse::new()
        .subprotocol(subprotocol)
        .extensions(extensions)
        .headers(&[("X-Served-By", "fuzzer")]);
    let answer = written(|out| response.write(upgrade.key, out));
    assert_eq!(read_head(Role::Client, DEFAULT_MAX_HEAD * 2, &[&answer]), Ok(Some(answer.len())));
    let mut slots = FieldSlots::<8>::new();
    let answer = ResponseHead::parse(&answer, &mut slots).expect("a head that was written");
    let key = ClientKey::from_nonce(nonce);
    let accepted = answer.accept(&key, offered.iter().copied(), extensions);
    if key.as_str() == upgrade.key {
        let accepted = accepted.expect("an answer to this request");
        assert_eq!(accepted, subprotocol);
    } else {
        // The pad bits of the key differ from those of a client of ours.
        assert_eq!(accepted.unwrap_err(), HandshakeError::WrongAccept);
    }
}

/// Checks that an error found by a server has a complete answer with the status that it names.
fn check_refusal(error: HandshakeError) {
    let status = error.status().unwrap_or_else(|| panic!("no answer to {error}"));
    let answer = written(|out| error.write_response(out));
    assert!(answer.len() <= 512);
    check_http(&answer, status, true);
}

/// Returns what a function writes. The output has to fit into the room that the function asks for, and into no less.
fn written(write: impl Fn(&mut [u8]) -> Result<usize, OpenError>) -> Vec<u8> {
    let Err(OpenError::BufferTooSmall { needed }) = write(&mut []) else {
        panic!("it fits into nothing")
    };
    let mut out = vec![0; needed];
    assert_eq!(write(&mut out[..needed - 1]), Err(OpenError::BufferTooSmall { needed }));
    assert_eq!(write(&mut out), Ok(needed));
    out
}

/// Checks that these bytes are exactly one complete HTTP response with this status, which ends the connection. The
/// refusal of a request with the method HEAD has the length of a body, but no body.
fn check_http(bytes: &[u8], status: u16, with_body: bool) {
    let end = read_head(Role::Client, DEFAULT_MAX_HEAD, &[bytes]);
    let Ok(Some(end)) = end else { panic!("{end:?}: {}", bytes.escape_ascii()) };
    let (head, body) = bytes.split_at(end);
    let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
    let head = ResponseHead::parse(head, &mut slots).expect("a head that was written");
    assert_eq!(head.status(), status);
    assert!(head.field("connection").expect("a Connection").ends_with(b"close"));
    assert_eq!(head.field("transfer-encoding"), None);
    let length = head.field("content-length").expect("a length");
    let length: usize = std::str::from_utf8(length).unwrap().parse().unwrap();
    if with_body {
        assert_eq!(length, body.len());
    } else {
        assert!(length > 0 && body.is_empty());
    }
}

fn check_response(response: &ResponseHead<'_, '_>) {
    assert!((100..1000).contains(&response.status()));
    check_fields(response.fields());
    let accepted = response.accept(&ClientKey::from_nonce(*NONCE), SUBPROTOCOLS, Some(EXTENSIONS));
    if let Ok(accepted) = accepted {
        assert_eq!(response.status(), 101);
        assert!(accepted.is_none_or(|name| SUBPROTOCOLS.contains(&name)));
    }
}

/// What an endpoint has reported, as text, and what it has sent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Record {
    events: Vec<String>,
    output: Vec<u8>,
}

fn check_endpoint(setup: &Setup<'_>, max_head: usize, max_fields: usize) {
    let options = Options::new()
        .max_head(max_head)
        .max_fields(max_fields)
        .max_body(64)
        .origins(if setup.flag(3) { Origins::Any } else { Origins::Same });
    same_for_all_cuts(setup, |pieces| match setup.role() {
        Role::Server => run_server(Endpoint::server(options.clone()), pieces),
        Role::Client => {
            let request = ClientRequest::new("localhost", "/").subprotocols(&SUBPROTOCOLS);
            let client = Endpoint::client(&request, options.clone(), random(NONCE));
            run_client(client.expect("a valid request"), pieces)
        }
    });
}

/// Runs a server. It either waits, or has sent one complete HTTP response, or a 101 and then complete frames.
fn run_server(mut endpoint: Endpoint, pieces: &[&[u8]]) -> Record {
    let mut told = Record::default();
    let mut status = None;
    told.feed(&mut endpoint, pieces, |endpoint, event| {
        match event {
            Ok(Event::Request(request)) => {
                assert!(request.is_upgrade() && status.is_none());
                assert!(endpoint.outbound.respond(&HttpResponse::new(101)).is_err());
                let response = AcceptResponse::new().subprotocol(request.subprotocols().last());
                endpoint.outbound.accept(&response).expect("a request that waits");
                assert!(endpoint.outbound.accept(&response).is_err(), "accepted twice");
                status = Some(101);
            }
            Ok(Event::Http(request)) => {
                assert!(!request.is_upgrade() && status.is_none());
                assert!(endpoint.outbound.accept(&AcceptResponse::new()).is_err());
                // The body of an answer to HEAD is not sent, which the check below does not know.
                let body = if request.method() == "HEAD" { &[][..] } else { PAGE_BODY };
                endpoint.outbound.respond(&PAGE.body(body)).expect("a request that waits");
                status = Some(PAGE_STATUS);
            }
            Err(EndpointError::Handshake(error)) => {
                assert!(status.is_none());
                status = error.status();
                let has_none = error == HandshakeError::TlsRequest;
                assert_eq!(status.is_none(), has_none, "no answer to {error}");
            }
            Err(EndpointError::Protocol(_)) | Ok(_) => assert_eq!(status, Some(101)),
            Err(error) => panic!("{error} without a clock"),
        }
    });
    match status {
        None => assert!(told.output.is_empty(), "sent before the head was complete"),
        Some(101) => {
            let end = read_head(Role::Client, DEFAULT_MAX_HEAD, &[&told.output]);
            let Ok(Some(end)) = end else { panic!("{end:?}") };
            check_frames(&told.output[end..], Role::Server);
        }
        Some(status) => {
            let wire = pieces.concat();
            let empty = wire.chunks(2).take_while(|line| line == b"\r\n").count();
            let for_head = wire[2 * empty..].starts_with(b"HEAD ");
            check_http(&told.output, status, !for_head || status == PAGE_STATUS);
            assert!(matches!(endpoint.next(|| START), Next::Shutdown { .. }));
        }
    }
    told.finish(&mut endpoint);
    told
}

/// Runs a client. It has sent its request, and frames after that only if it was accepted.
fn run_client(mut endpoint: Endpoint, pieces: &[&[u8]]) -> Record {
    let mut request = Vec::new();
    let Next::Write { output, .. } = endpoint.next(|| START) else { panic!("a request is first") };
    write(output, &mut request);
    assert!(request.ends_with(b"\r\n\r\n"));
    let mut told = Record::default();
    let mut open = false;
    told.feed(&mut endpoint, pieces, |_, event| match event {
        Ok(Event::Open { subprotocol, .. }) => {
            assert!(!open);
            let chosen = subprotocol.as_deref();
            assert!(chosen.is_none_or(|name| SUBPROTOCOLS.contains(&name)));
            open = true;
        }
        Ok(Event::Refused(response)) => {
            assert!(!open && response.status() != 101);
            assert!(response.body().len() <= 64);
        }
        Err(EndpointError::Handshake(_)) => assert!(!open),
        Err(EndpointError::Protocol(_)) | Ok(_) => assert!(open),
        Err(error) => panic!("{error} without a clock"),
    });
    assert!(open || told.output.is_empty(), "sent without a connection");
    check_frames(&told.output, Role::Client);
    told.finish(&mut endpoint);
    told
}

impl Record {
    fn feed(
        &mut self,
        endpoint: &mut Endpoint,
        pieces: &[&[u8]],
        mut event: impl FnMut(&mut Endpoint, Result<Event, EndpointError>),
    ) {
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let taken = endpoint.inbound.receive(rest);
                assert_ne!(taken, 0, "no room although all events were reported");
                rest = &rest[taken..];
                let mut turns = Turns::after(taken);
                loop {
                    turns.take();
                    let told = match endpoint.next(|| START) {
                        Next::Event(event) => Ok(event),
                        Next::Failed(error) => Err(error),
                        Next::Write { output, .. } => {
                            write(output, &mut self.output);
                            continue;
                        }
                        Next::Shutdown { .. } | Next::Wait { .. } | Next::Done => break,
                    };
                    self.note(endpoint, &told);
                    event(endpoint, told);
                }
            }
        }
    }

    fn note(&mut self, endpoint: &Endpoint, told: &Result<Event, EndpointError>) {
        let close = endpoint.close_info().filter(|_| matches!(told, Ok(Event::Closed)));
        self.events.push(format!("{told:?} {close:?}"));
    }

    /// Ends the stream. At most one more event or failure is reported, nothing is sent, and then the connection is
    /// over. Only if the first bytes turn out not to be HTTP, a server still answers, because the peer may still read.
    fn finish(&mut self, endpoint: &mut Endpoint) {
        endpoint.inbound.receive_eof();
        let told = match endpoint.next(|| START) {
            Next::Event(event) => Some(Ok(event)),
            Next::Failed(error) => Some(Err(error)),
            _ => None,
        };
        if let Some(told) = &told {
            self.note(endpoint, told);
        }
        if let Next::Write { output, .. } = endpoint.next(|| START) {
            let Some(Err(EndpointError::Handshake(error))) = told else { panic!("{told:?}") };
            assert!(error == HandshakeError::NotHttp && self.output.is_empty(), "{error}");
            write(output, &mut self.output);
            check_http(&self.output, error.status().expect("a status"), true);
        }
        let next = endpoint.next(|| START);
        assert!(matches!(next, Next::Shutdown { until: Some(START), .. } | Next::Done), "{next:?}");
        for _ in 0..3 {
            assert!(matches!(endpoint.next(|| START), Next::Done));
        }
    }
}

/// Checks that these bytes are Pongs and at most one Close frame, which comes last.
fn check_frames(mut bytes: &[u8], role: Role) {
    while !bytes.is_empty() {
        let frame = FrameHeader::decode(bytes).expect("a frame that was written");
        let (header, len) = frame.expect("whole frames");
        assert_eq!(header.mask.is_some(), role == Role::Client);
        bytes = &bytes[len + header.len as usize..];
        match header.opcode {
            OpCode::Pong => {}
            OpCode::Close => assert!(bytes.is_empty(), "sent after Close"),
            other => panic!("{other:?} that nobody has sent"),
        }
    }
}
