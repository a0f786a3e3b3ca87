//! The opening handshake: the input is a setup and what the peer sends from the first byte on.
//!
//! Flags: bit 0 makes it a client, bit 1 sets a low limit on the head, bit 2 on its fields, bit 3
//! lets pages of any origin in.

use ws_core::Role;
use ws_core::endpoint::{Endpoint, EndpointError, Event, Next, Options, Origins};
use ws_core::frame::{FrameHeader, OpCode};
use ws_core::handshake::{
    AcceptResponse, BodyLength, BodyPart, BodyReader, ClientKey, ClientRequest, DEFAULT_MAX_FIELDS,
    DEFAULT_MAX_HEAD, EMPTY_FIELD, Extensions, HandshakeError, HeadError, HeadKind, HeadReader,
    HttpResponse, RequestHead, RequestKind, ResponseHead, Upgrade, is_token, is_valid_key,
    same_origin,
};

use super::endpoint::{random, write};
use super::{START, Setup, same_for_all_cuts};

/// With it a server answers `s3pPLMBiTxaQ9kYGzzhZRbK+xOo=`.
const NONCE: &[u8; 16] = b"the sample nonce";
const SUBPROTOCOLS: [&str; 2] = ["chat", "superchat"];
const EXTENSIONS: &str = "permessage-deflate; client_max_window_bits";
const LOW_HEAD: usize = 200;
const LOW_FIELDS: usize = 4;
const PAGE: HttpResponse<'_> =
    HttpResponse { status: 404, headers: &[("X-Page", "none")], body: b"no such page\n" };

pub(crate) fn check(data: &[u8]) {
    let Some(setup) = Setup::of(data) else { return };
    let max_head = if setup.flag(1) { LOW_HEAD } else { DEFAULT_MAX_HEAD };
    let max_fields = if setup.flag(2) { LOW_FIELDS } else { DEFAULT_MAX_FIELDS };
    let kind = match setup.role() {
        Role::Server => HeadKind::Request,
        Role::Client => HeadKind::Response,
    };
    let end = same_for_all_cuts(&setup, |pieces| read_head(kind, max_head, pieces));
    assert_eq!(end, expect_head(kind, max_head, setup.stream), "against the model");
    if let Ok(Some(end)) = end {
        let (head, rest) = setup.stream.split_at(end);
        assert!(end <= max_head);
        assert!(head.ends_with(b"\r\n\r\n"));
        let mut storage = vec![EMPTY_FIELD; max_fields];
        match kind {
            HeadKind::Request => match RequestHead::parse(head, &mut storage) {
                Ok(request) => check_request(&request),
                Err(error) => check_refusal(error),
            },
            HeadKind::Response => {
                if let Ok(response) = ResponseHead::parse(head, &mut storage) {
                    check_response(&response, &setup, rest);
                }
            }
        }
    }
    check_chunks(&setup);
    check_endpoint(&setup, max_head, max_fields);
}

/// How many bytes the head has; they are looked at once, and what follows stays untouched.
fn read_head(
    kind: HeadKind,
    max: usize,
    pieces: &[&[u8]],
) -> Result<Option<usize>, HandshakeError> {
    let mut reader = HeadReader::new(kind, max);
    let mut before = 0;
    for piece in pieces {
        match reader.feed(piece) {
            Ok(None) => before += piece.len(),
            Ok(Some(len)) => {
                assert_eq!(reader.head_len(), before + len);
                assert_eq!(reader.feed(b"\0more"), Ok(Some(0)), "after the head");
                return Ok(Some(before + len));
            }
            Err(error) => {
                assert_eq!(reader.feed(b"\r\n\r\n"), Err(error), "after an error");
                return Err(error);
            }
        }
        assert_eq!(reader.head_len(), before);
    }
    Ok(None)
}

/// The same, in the plainest way: byte after byte of the whole.
fn expect_head(kind: HeadKind, max: usize, stream: &[u8]) -> Result<Option<usize>, HandshakeError> {
    let window = &stream[..stream.len().min(max)];
    let mut before = 0;
    let (mut in_line, mut line_ended) = (false, false);
    for (index, &byte) in window.iter().enumerate() {
        match (before, byte) {
            (b'\r', b'\n') => line_ended |= in_line,
            (b'\r', _) => return Err(HandshakeError::BareCr),
            (_, b'\n') => return Err(HandshakeError::BareLf),
            (_, 0) => return Err(HandshakeError::Nul),
            (_, b'\r') if kind == HeadKind::Response && !in_line => {
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
    match kind {
        _ if stream.len() < max => Ok(None),
        HeadKind::Response => Err(HandshakeError::ResponseHeadTooLarge),
        HeadKind::Request if line_ended => Err(HandshakeError::HeadTooLarge),
        HeadKind::Request => Err(HandshakeError::RequestLineTooLong),
    }
}

fn check_fields<'h>(fields: impl Iterator<Item = (&'h str, &'h [u8])>) {
    for (name, value) in fields {
        assert!(is_token(name.as_bytes()), "{name:?}");
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{value:?}");
        assert_eq!(value.trim_ascii(), value);
    }
}

fn check_request(request: &RequestHead<'_, '_>) {
    assert!(is_token(request.method().as_bytes()));
    assert!(request.minor_version() <= 9);
    check_fields(request.fields());
    let _ = request.body_length();
    match request.classify() {
        Ok(RequestKind::Upgrade(upgrade)) => {
            assert_eq!(request.method(), "GET");
            check_upgrade(&upgrade);
        }
        Ok(RequestKind::Plain) => {}
        Err(error) => check_refusal(error),
    }
}

/// What is accepted can be answered, and a client takes the answer.
fn check_upgrade(upgrade: &Upgrade<'_, '_>) {
    assert!(is_valid_key(upgrade.key()));
    assert!(upgrade.resource_name().starts_with('/'), "{:?}", upgrade.resource_name());
    if let Some(origin) = upgrade.origin() {
        let _ = same_origin(origin, upgrade.host());
    }
    let offered: Vec<&str> = upgrade.subprotocols().collect();
    for (index, name) in offered.iter().enumerate() {
        assert!(is_token(name.as_bytes()) && !offered[..index].contains(name), "{offered:?}");
    }
    for extension in upgrade.extensions() {
        assert!(is_token(extension.name().as_bytes()));
        assert!(extension.params().count() < DEFAULT_MAX_HEAD);
    }
    let first_extension = upgrade.extensions().next().map(|extension| extension.name());

    let response = AcceptResponse {
        subprotocol: offered.last().copied(),
        extensions: first_extension,
        headers: &[("X-Served-By", "fuzzer")],
    };
    response
        .check_offered(offered.iter().copied(), upgrade.extensions())
        .expect("all that is accepted was offered");
    let answer = written(|out| response.write(upgrade.key(), out));
    assert_eq!(
        read_head(HeadKind::Response, DEFAULT_MAX_HEAD * 2, &[&answer]),
        Ok(Some(answer.len()))
    );
    let mut storage = [EMPTY_FIELD; 8];
    let answer = ResponseHead::parse(&answer, &mut storage).expect("a head that was written");
    let key = ClientKey::from_received(upgrade.key()).expect("a valid key");
    let accepted = answer
        .accept(&key, offered.iter().copied(), first_extension)
        .expect("an answer to this request");
    assert_eq!(accepted.subprotocol, response.subprotocol);
    assert_eq!(accepted.extensions.validate(), Ok(usize::from(first_extension.is_some())));
}

/// An error that a server finds has an answer, whole and of the status that it names.
fn check_refusal(error: HandshakeError) {
    let status = error.status().unwrap_or_else(|| panic!("no answer to {error}"));
    let answer = written(|out| error.write_response(out));
    assert!(answer.len() <= 512);
    check_http(&answer, status, true);
}

/// What a writer writes: into the room that it asks for, and into no less.
fn written(write: impl Fn(&mut [u8]) -> Result<usize, HeadError>) -> Vec<u8> {
    let Err(HeadError::BufferTooSmall { needed }) = write(&mut []) else {
        panic!("it fits into nothing")
    };
    let mut out = vec![0; needed];
    assert_eq!(write(&mut out[..needed - 1]), Err(HeadError::BufferTooSmall { needed }));
    assert_eq!(write(&mut out), Ok(needed));
    out
}

/// One complete HTTP response with this status, which ends the connection, and nothing after it. A refusal of a
/// request with the method HEAD has the length of a body, and no body.
fn check_http(bytes: &[u8], status: u16, with_body: bool) {
    let end = read_head(HeadKind::Response, DEFAULT_MAX_HEAD, &[bytes]);
    let Ok(Some(end)) = end else { panic!("{end:?}: {}", bytes.escape_ascii()) };
    let (head, body) = bytes.split_at(end);
    let mut storage = [EMPTY_FIELD; DEFAULT_MAX_FIELDS];
    let head = ResponseHead::parse(head, &mut storage).expect("a head that was written");
    assert_eq!(head.status(), status);
    assert!(head.list("connection").any(|token| token.eq_ignore_ascii_case(b"close")));
    if with_body {
        assert_eq!(head.body_length(), Ok(BodyLength::Length(body.len() as u64)));
    } else {
        assert!(matches!(head.body_length(), Ok(BodyLength::Length(1..))) && body.is_empty());
    }
}

fn check_response(response: &ResponseHead<'_, '_>, setup: &Setup<'_>, rest: &[u8]) {
    assert!((100..1000).contains(&response.status()));
    check_fields(response.fields());
    assert!(response.server_versions().count() < DEFAULT_MAX_HEAD);
    let accepted = response.accept(&ClientKey::from_nonce(*NONCE), SUBPROTOCOLS, Some(EXTENSIONS));
    if let Ok(accepted) = accepted {
        assert_eq!(response.status(), 101);
        assert!(accepted.subprotocol.is_none_or(|name| SUBPROTOCOLS.contains(&name)));
        assert!(accepted.extensions.validate().is_ok());
        let mut offered = Extensions::from_value(EXTENSIONS).map(|offer| offer.name());
        let name = offered.next().expect("one is offered");
        assert!(accepted.extensions.clone().all(|extension| extension.name() == name));
    }
    if let Ok(length) = response.body_length() {
        let setup = Setup { stream: rest, flags: setup.flags, sizes: setup.sizes };
        let (body, end, _) = same_for_all_cuts(&setup, |pieces| read_body(length, pieces));
        assert!(body.len() <= rest.len() && end <= rest.len());
    }
}

/// A body, how many bytes it takes, and whether it is complete or wrong.
fn read_body(
    length: BodyLength,
    pieces: &[&[u8]],
) -> (Vec<u8>, usize, Result<bool, HandshakeError>) {
    let mut reader = BodyReader::new(length);
    let (mut body, mut at) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = *piece;
        loop {
            match reader.feed(rest) {
                Ok((consumed, part)) => {
                    rest = &rest[consumed..];
                    at += consumed;
                    match part {
                        BodyPart::Data(data) => {
                            assert!(!data.is_empty() && consumed >= data.len());
                            body.extend_from_slice(data);
                        }
                        BodyPart::NeedMore => {
                            assert!(rest.is_empty());
                            break;
                        }
                        BodyPart::End => {
                            assert!(reader.is_done());
                            return (body, at, Ok(true));
                        }
                    }
                }
                Err(error) => {
                    assert_eq!(reader.feed(b"0\r\n\r\n"), Err(error), "after an error");
                    // How far it had got within the piece is not told.
                    return (body, 0, Err(error));
                }
            }
        }
    }
    let complete = reader.is_done();
    assert!(complete || length == BodyLength::UntilClose || reader.receive_eof().is_err());
    (body, at, Ok(complete))
}

/// A body that is sent in chunks is received whole, and what follows it is left.
fn check_chunks(setup: &Setup<'_>) {
    let mut wire = Vec::new();
    for piece in setup.cut(&setup.sizes) {
        wire.extend(format!("{:x}\r\n", piece.len()).bytes());
        wire.extend(piece);
        wire.extend(b"\r\n");
    }
    wire.extend(b"0\r\n\r\n");
    let end = wire.len();
    wire.extend(b"next");
    let sent = Setup { stream: &wire, flags: setup.flags, sizes: setup.sizes };
    let outcome = same_for_all_cuts(&sent, |pieces| read_body(BodyLength::Chunked, pieces));
    assert_eq!(outcome, (setup.stream.to_vec(), end, Ok(true)));
}

/// What an endpoint has told, in words, and what it has sent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
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
            let request = ClientRequest { subprotocols: &SUBPROTOCOLS, ..Default::default() };
            let client = Endpoint::client(&request, options.clone(), random(NONCE));
            run_client(client.expect("a valid request"), pieces)
        }
    });
}

/// A server waits, or has sent one whole HTTP response, or a 101 and then whole frames.
fn run_server(mut endpoint: Endpoint, pieces: &[&[u8]]) -> Told {
    let mut told = Told::default();
    let mut status = None;
    told.feed(&mut endpoint, pieces, |endpoint, event| {
        match event {
            Ok(Event::Request(request)) => {
                assert!(request.is_upgrade() && status.is_none());
                let outbound = &mut endpoint.outbound;
                assert!(outbound.respond(&HttpResponse { status: 101, ..PAGE }).is_err());
                let response = AcceptResponse {
                    subprotocol: request.subprotocols().last(),
                    ..AcceptResponse::default()
                };
                outbound.accept(&response).expect("a request that waits");
                assert!(outbound.accept(&response).is_err(), "accepted twice");
                status = Some(101);
            }
            Ok(Event::Http(request)) => {
                assert!(!request.is_upgrade() && status.is_none());
                let outbound = &mut endpoint.outbound;
                assert!(outbound.accept(&AcceptResponse::default()).is_err());
                // The body of an answer to HEAD is not sent, which the check below does not know.
                let body = if request.method() == "HEAD" { &[][..] } else { PAGE.body };
                outbound.respond(&HttpResponse { body, ..PAGE }).expect("a request that waits");
                status = Some(PAGE.status);
            }
            Err(EndpointError::Handshake(error)) => {
                assert!(status.is_none());
                status = Some(error.status().unwrap_or_else(|| panic!("no answer to {error}")));
            }
            Err(EndpointError::Protocol(_)) | Ok(_) => assert_eq!(status, Some(101)),
            Err(error) => panic!("{error} without a clock"),
        }
    });
    match status {
        None => assert!(told.output.is_empty(), "sent before the head was complete"),
        Some(101) => {
            let end = read_head(HeadKind::Response, DEFAULT_MAX_HEAD, &[&told.output]);
            let Ok(Some(end)) = end else { panic!("{end:?}") };
            check_frames(&told.output[end..], Role::Server);
        }
        Some(status) => {
            let wire = pieces.concat();
            let empty = wire.chunks(2).take_while(|line| line == b"\r\n").count();
            let for_head = wire[2 * empty..].starts_with(b"HEAD ");
            check_http(&told.output, status, !for_head || status == PAGE.status);
            assert!(matches!(endpoint.next(|| START), Next::Shutdown { .. }));
        }
    }
    told.finish(&mut endpoint);
    told
}

/// A client has sent its request, and then frames if it was accepted.
fn run_client(mut endpoint: Endpoint, pieces: &[&[u8]]) -> Told {
    let mut request = Vec::new();
    let Next::Write { output, .. } = endpoint.next(|| START) else { panic!("a request is first") };
    write(output, &mut request);
    assert!(request.ends_with(b"\r\n\r\n"));
    let mut told = Told::default();
    let mut open = false;
    told.feed(&mut endpoint, pieces, |_, event| match event {
        Ok(Event::Open(opened)) => {
            assert!(!open);
            let chosen = opened.subprotocol.as_deref();
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

impl Told {
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
                assert_ne!(taken, 0, "no room although all events were told");
                rest = &rest[taken..];
                loop {
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

    /// The stream ends: at most one more thing is told, nothing is sent, and then it is over.
    fn finish(&mut self, endpoint: &mut Endpoint) {
        endpoint.inbound.receive_eof();
        let told = match endpoint.next(|| START) {
            Next::Event(event) => Some(Ok(event)),
            Next::Failed(error) => Some(Err(error)),
            _ => None,
        };
        if let Some(told) = told {
            self.note(endpoint, &told);
        }
        let next = endpoint.next(|| START);
        assert!(matches!(next, Next::Shutdown { until: Some(START), .. } | Next::Done), "{next:?}");
        for _ in 0..3 {
            assert!(matches!(endpoint.next(|| START), Next::Done));
        }
    }
}

/// Pongs and at most one Close frame, which is the last.
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
