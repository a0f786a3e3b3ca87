//! Endpoints driven by hand, and what they tell as values that can be compared.
#![allow(dead_code, reason = "each test file uses a part of it")]

use ws_core::Endpoint;
use ws_core::endpoint::{CloseInfo, Error, Event, EventRef, Options, Random};
use ws_core::handshake::ClientRequest;
use ws_core::{CloseCode, Message, Role};

/// RFC 6455 §1.3: the sample key.
pub(crate) const KEY_FIELD: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const REQUEST: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: example.com\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";
/// The answer to it.
pub(crate) const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// What an endpoint has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Method and target.
    Request(String, String),
    Http(String, String),
    /// The subprotocol.
    Open(Option<String>),
    /// Status and body.
    Refused(u16, Vec<u8>),
    Message(Message),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed(CloseInfo),
    Failed(Error),
}

pub(crate) fn text(text: &str) -> Told {
    Told::Message(Message::from(text))
}

pub(crate) fn binary(bytes: &[u8]) -> Told {
    Told::Message(Message::from(bytes))
}

/// What `closed` gives is compared with this.
pub(crate) fn closed(code: CloseCode, reason: &str, clean: bool, by_us: bool) -> Told {
    let mut endpoint = server();
    endpoint.receive_eof();
    let Some(Told::Closed(mut info)) = told(&mut endpoint).pop() else { panic!("not closed") };
    (info.code, info.reason, info.clean, info.by_us) = (code, reason.to_owned(), clean, by_us);
    Told::Closed(info)
}

pub(crate) fn own(event: Event) -> Told {
    match event {
        Event::Request(request) => Told::Request(request.method().into(), request.target().into()),
        Event::Http(request) => Told::Http(request.method().into(), request.target().into()),
        Event::Open(opened) => Told::Open(opened.subprotocol),
        Event::Refused(response) => Told::Refused(response.status(), response.body().to_vec()),
        Event::Message(message) => Told::Message(message),
        Event::Ping(payload) => Told::Ping(payload.to_vec()),
        Event::Pong(payload) => Told::Pong(payload.to_vec()),
        Event::Closed(info) => Told::Closed(info),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn lent(event: EventRef<'_>) -> Told {
    match event {
        EventRef::Request(request) => own(Event::Request(request)),
        EventRef::Http(request) => own(Event::Http(request)),
        EventRef::Open(opened) => own(Event::Open(opened)),
        EventRef::Refused(response) => own(Event::Refused(response)),
        EventRef::Message(message) => Told::Message(message.into()),
        EventRef::Ping(payload) => Told::Ping(payload.to_vec()),
        EventRef::Pong(payload) => Told::Pong(payload.to_vec()),
        EventRef::Closed(info) => Told::Closed(info),
        other => panic!("{other:?}"),
    }
}

/// The next event, by either way to poll.
pub(crate) fn next(endpoint: &mut Endpoint, by_ref: bool) -> Option<Told> {
    let told = if by_ref {
        endpoint.poll_event_ref().map(|event| event.map(|(event, _)| lent(event)))
    } else {
        endpoint.poll_event().map(|event| event.map(own))
    };
    told.unwrap_or_else(|error| Some(Told::Failed(error)))
}

/// All that it has to tell; nothing follows an end.
pub(crate) fn told(endpoint: &mut Endpoint) -> Vec<Told> {
    let mut all = Vec::new();
    while let Some(event) = next(endpoint, false) {
        assert!(!all.last().is_some_and(ends), "{event:?} after {all:?}");
        all.push(event);
    }
    assert_eq!(next(endpoint, true), None);
    all
}

pub(crate) fn ends(told: &Told) -> bool {
    matches!(told, Told::Closed(_) | Told::Failed(_) | Told::Refused(..))
}

/// Passes all bytes; gives all that is told on the way.
pub(crate) fn feed(endpoint: &mut Endpoint, bytes: &[u8]) -> Vec<Told> {
    let mut all = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = endpoint.receive(rest);
        assert_ne!(count, 0, "no progress");
        rest = &rest[count..];
        all.extend(told(endpoint));
    }
    all
}

/// All that waits to be written, in the way that `slices` gives it.
pub(crate) fn take(endpoint: &mut Endpoint) -> Vec<u8> {
    let output = core::mem::take(endpoint.output());
    let bytes: Vec<u8> = output.slices().flatten().copied().collect();
    assert_eq!(bytes.len(), output.len());
    bytes
}

pub(crate) fn take_str(endpoint: &mut Endpoint) -> String {
    String::from_utf8(take(endpoint)).unwrap()
}

/// The RFC's sample nonce, then bytes without a pattern.
pub(crate) fn random() -> Random {
    let mut state = 0_u64;
    let mut first = true;
    Box::new(move |bytes| {
        if core::mem::take(&mut first) && bytes.len() == 16 {
            bytes.copy_from_slice(b"the sample nonce");
            return;
        }
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 40) as u8;
        }
    })
}

/// An open server.
pub(crate) fn server() -> Endpoint {
    open(Role::Server, Options::new())
}

/// An open client.
pub(crate) fn client() -> Endpoint {
    open(Role::Client, Options::new())
}

pub(crate) fn open(role: Role, options: impl Into<Options>) -> Endpoint {
    match role {
        Role::Server => Endpoint::server_after_handshake(options, b""),
        Role::Client => Endpoint::client_after_handshake(options, random(), b""),
    }
}

/// A client that has sent its request, which has the sample key.
pub(crate) fn asking(request: &ClientRequest<'_>, options: impl Into<Options>) -> Endpoint {
    let mut client = Endpoint::client(request, options, random()).unwrap();
    let sent = take_str(&mut client);
    assert!(sent.contains(KEY_FIELD), "{sent}");
    client
}

/// Both ends of an open connection: what one writes is passed to the other, until both are silent.
pub(crate) fn exchange(a: &mut Endpoint, b: &mut Endpoint) -> (Vec<Told>, Vec<Told>) {
    let (mut by_a, mut by_b) = (told(a), told(b));
    for _ in 0..10 {
        let (to_b, to_a) = (take(a), take(b));
        if to_a.is_empty() && to_b.is_empty() {
            return (by_a, by_b);
        }
        by_a.extend(feed(a, &to_a));
        by_b.extend(feed(b, &to_b));
    }
    panic!("they do not come to rest");
}
