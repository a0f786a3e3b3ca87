//! The response of a server. The input is what a client receives. It offers the subprotocols `chat` and `superchat`.

use std::io::{self, Read, Write};

use tungstenite::handshake::client::{ClientHandshake, Response};
use tungstenite::handshake::machine::TryParse;
use tungstenite::{Error, HandshakeError as Handshaking, http};
use ws_core::handshake::{
    ClientKey, DEFAULT_MAX_FIELDS, DEFAULT_MAX_HEAD, FieldSlots, HandshakeError, HeadReader,
    ResponseHead,
};

use crate::head::{self, Head, has_bare_lf, is_empty};

const NONCE: &[u8; 16] = b"the sample nonce";
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const SUBPROTOCOLS: [&str; 2] = [ADDED, "superchat"];
/// The subprotocol that is added to a response without one, so that they do not refuse it for that.
const ADDED: &str = "chat";

/// What a client does with a response, and the subprotocol that was chosen.
type Fate<E> = head::Fate<Option<String>, E>;

pub fn check(data: &[u8]) {
    head::check(data, ours, theirs, compare);
}

fn compare(data: &[u8], here: Fate<HandshakeError>, there: Fate<String>) {
    match (here, there) {
        (Fate::Incomplete, Fate::Incomplete) | (Fate::Refused(_), Fate::Refused(_)) => {}
        (Fate::Accepted(here), Fate::Accepted(there)) => assert_eq!(here, there),
        (Fate::Accepted(subprotocol), Fate::Refused(error)) => {
            compare_plain(data, subprotocol, &error);
        }
        (Fate::Refused(error), Fate::Accepted(_)) => {
            assert!(is_stricter(error, data), "{error:?}");
        }
        (Fate::Refused(_), Fate::Incomplete) if is_empty(data) => {}
        (here, there) => panic!("{here:?} here, {there:?} there"),
    }
}

/// Compares again without the intended differences, because they refuse what we accept.
fn compare_plain(data: &[u8], subprotocol: Option<String>, error: &str) {
    let end = HeadReader::response(DEFAULT_MAX_HEAD).push(data).expect("accepted").expect("whole");
    let (head, rest) = data.split_at(end);
    let plain = [&without_differences(head)[..], rest].concat();
    match (ours_within::<{ DEFAULT_MAX_FIELDS + 1 }>(&plain), theirs(&plain)) {
        (Fate::Accepted(here), Fate::Accepted(there)) => {
            assert_eq!(here, there);
            assert_eq!(subprotocol.as_deref().or(Some(ADDED)), there.as_deref());
        }
        (here, there) => panic!("{error}. Without the differences {here:?} here, {there:?} there"),
    }
}

/// Returns the head of a response without what they refuse although the RFC allows it. All else stays as it is.
fn without_differences(head: &[u8]) -> Vec<u8> {
    let mut head = Head::new(head);
    // A minor version that is higher than ours is compatible (RFC 9110 §2.5).
    if let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9', ..] = head.start_line() {
        *minor = b'1';
    }
    // `Connection` is a list, and may be in several fields (RFC 9110 §7.6.1, §5.3).
    head.reduce("Connection", "Upgrade", |list| !list.eq_ignore_ascii_case(b"upgrade"));
    // RFC 6455 §4.2.2 item 5: a server need not choose a subprotocol.
    if head.values("Sec-WebSocket-Protocol").is_empty() {
        head.put("Sec-WebSocket-Protocol", ADDED.as_bytes());
    }
    head.into_bytes()
}

fn ours(data: &[u8]) -> Fate<HandshakeError> {
    ours_within::<DEFAULT_MAX_FIELDS>(data)
}

/// `MAX_FIELDS` is one more than the default if a field may have been added.
fn ours_within<const MAX_FIELDS: usize>(data: &[u8]) -> Fate<HandshakeError> {
    let end = match HeadReader::response(DEFAULT_MAX_HEAD).push(data) {
        Ok(Some(end)) => end,
        Ok(None) => return Fate::Incomplete,
        Err(error) => return Fate::Refused(error),
    };
    let mut slots = FieldSlots::<MAX_FIELDS>::new();
    let head = ResponseHead::parse(&data[..end], &mut slots);
    let key = ClientKey::from_nonce(*NONCE);
    match head.and_then(|head| head.accept(&key, SUBPROTOCOLS, None)) {
        Ok(subprotocol) => Fate::Accepted(subprotocol.map(str::to_string)),
        Err(error) => Fate::Refused(error),
    }
}

/// What is read is the response at once, and what is written is dropped.
struct Stream<'a>(&'a [u8]);

impl Read for Stream<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(room)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(data: &[u8]) -> Fate<String> {
    let request = http::Request::get("ws://localhost/")
        .header("Host", "localhost")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", KEY)
        .header("Sec-WebSocket-Protocol", SUBPROTOCOLS.join(", "))
        .body(())
        .expect("a valid request");
    let handshake = ClientHandshake::start(Stream(data), request, None).expect("a valid request");
    match handshake.handshake() {
        Ok((_, response)) => {
            let subprotocol = response.headers().get("Sec-WebSocket-Protocol");
            Fate::Accepted(subprotocol.map(|name| name.to_str().expect("ASCII").to_string()))
        }
        Err(Handshaking::Failure(Error::Protocol(
            tungstenite::error::ProtocolError::HandshakeIncomplete,
        ))) => Fate::Incomplete,
        Err(Handshaking::Failure(error)) => Fate::Refused(error.to_string()),
        Err(Handshaking::Interrupted(_)) => panic!("the stream never blocks"),
    }
}

/// Whether we refuse a response that they accept for a rule of the RFC that they do not check.
fn is_stricter(error: HandshakeError, data: &[u8]) -> bool {
    let (end, response) = Response::try_parse(data).expect("a head").expect("all of it");
    let values = |name: &str| response.headers().get_all(name).iter().count();
    match error {
        // RFC 9112 §2.2: lines end with CRLF.
        HandshakeError::BareLf => has_bare_lf(&data[..end]),
        HandshakeError::TooManyFields => response.headers().len() > DEFAULT_MAX_FIELDS,
        // RFC 9112 §2.2: only a server skips an empty line before a head.
        HandshakeError::MalformedStatusLine => data.starts_with(b"\r\n"),
        // RFC 6455 §4.1: "not exactly one value" is another value.
        HandshakeError::ResponseUpgrade => values("upgrade") > 1,
        // RFC 6455 §11.3.3, §11.3.4
        HandshakeError::RepeatedAccept => values("sec-websocket-accept") > 1,
        HandshakeError::RepeatedResponseSubprotocol => values("sec-websocket-protocol") > 1,
        // RFC 6455 §4.1 item 5 of the checks, which they have left for later
        HandshakeError::UnofferedExtension | HandshakeError::InvalidExtensions => {
            values("sec-websocket-extensions") > 0
        }
        _ => false,
    }
}
