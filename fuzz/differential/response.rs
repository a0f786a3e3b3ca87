//! The response of a server. The input is what a client receives. It offers the subprotocols `chat` and `superchat`.

use std::io::{self, Read, Write};

use tungstenite::handshake::client::{ClientHandshake, Response};
use tungstenite::handshake::machine::TryParse;
use tungstenite::{Error, HandshakeError as Handshaking, http};
use ws_core::handshake::{
    ClientKey, DEFAULT_MAX_FIELDS, DEFAULT_MAX_HEAD, FieldSlots, HandshakeError, HeadReader,
    ResponseHead,
};

const NONCE: &[u8; 16] = b"the sample nonce";
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const SUBPROTOCOLS: [&str; 2] = ["chat", "superchat"];

/// What a client does with a response.
#[derive(Debug)]
enum Fate<E> {
    Incomplete,
    /// The chosen subprotocol.
    Accepted(Option<String>),
    Refused(E),
}

pub fn check(data: &[u8]) {
    let data = &data[..data.len().min(DEFAULT_MAX_HEAD)];
    match (ours(data), theirs(data)) {
        (Fate::Incomplete, Fate::Incomplete) | (Fate::Refused(_), Fate::Refused(_)) => {}
        (Fate::Accepted(subprotocol), Fate::Accepted(their)) => assert_eq!(subprotocol, their),
        // Both refuse, one of them before the head is complete.
        (Fate::Refused(_), Fate::Incomplete) | (Fate::Incomplete, Fate::Refused(_)) => {}
        (Fate::Accepted(subprotocol), Fate::Refused(error)) => {
            assert!(is_laxer(data, subprotocol.as_deref()), "{error}");
        }
        (Fate::Refused(error), Fate::Accepted(_)) => {
            assert!(is_stricter(error, data), "{error:?}");
        }
        (ours, theirs) => panic!("{ours:?} here, {theirs:?} there"),
    }
}

fn ours(data: &[u8]) -> Fate<HandshakeError> {
    let end = match HeadReader::response(DEFAULT_MAX_HEAD).push(data) {
        Ok(Some(end)) => end,
        Ok(None) => return Fate::Incomplete,
        Err(error) => return Fate::Refused(error),
    };
    let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
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

/// Whether we accept a response that they refuse for a reason in which we follow the RFC.
fn is_laxer(data: &[u8], subprotocol: Option<&str>) -> bool {
    let end = HeadReader::response(DEFAULT_MAX_HEAD).push(data).expect("accepted").expect("whole");
    let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
    let head = ResponseHead::parse(&data[..end], &mut slots).expect("accepted");
    let connection: Vec<_> =
        head.fields().filter(|field| field.0.eq_ignore_ascii_case("connection")).collect();
    // RFC 6455 §4.2.2 item 5: a server need not choose a subprotocol.
    subprotocol.is_none()
        // `Connection` is a list, and may be in several fields (RFC 9110 §7.6.1, §5.3).
        || connection.len() > 1 || !connection[0].1.eq_ignore_ascii_case(b"upgrade")
        // A minor version that is higher than ours is compatible (RFC 9110 §2.5).
        || !data.starts_with(b"HTTP/1.1")
}

/// Whether we refuse a response that they accept for a rule of the RFC that they do not check.
fn is_stricter(error: HandshakeError, data: &[u8]) -> bool {
    let (end, response) = Response::try_parse(data).expect("a head").expect("all of it");
    let values = |name: &str| response.headers().get_all(name).iter().count();
    match error {
        // RFC 9112 §2.2: lines end with CRLF.
        HandshakeError::BareLf => data[..end]
            .iter()
            .enumerate()
            .any(|(at, byte)| *byte == b'\n' && (at == 0 || data[at - 1] != b'\r')),
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
