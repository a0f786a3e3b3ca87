//! The opening handshake of a client's endpoint: RFC 6455 §4.1.
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use std::time::Duration;

use common::*;
use ends::{Seen, *};
use ws_core::endpoint::{EndpointError, Event, Next, Options};
use ws_core::handshake::HandshakeError::{self, *};
use ws_core::handshake::{ClientRequest, OpenError};
use ws_core::{CloseCode, Endpoint, Role, SendError};

const OFFER: ClientRequest<'_> = ClientRequest::new("example.com", "/chat?room=1");

/// What a client makes of this answer, in pieces of this size, and of the end of the stream.
fn answered(options: &Options, answer: &[u8], piece: usize, eof: bool) -> (Endpoint, Vec<Seen>) {
    let mut client = asking(&OFFER, options.clone());
    let mut all = Vec::new();
    for piece in answer.chunks(piece.max(1)) {
        all.extend(feed(&mut client, piece));
    }
    if eof {
        client.inbound.receive_eof();
        all.extend(seen(&mut client));
    }
    assert!(
        take(&mut client).is_empty() || client.outbound.is_open() || client.close_info().is_some()
    );
    (client, all)
}

/// After an end of the handshake, a client shuts down and waits for the end of the server.
#[track_caller]
fn ended(client: &mut Endpoint) {
    assert!(!client.outbound.is_open());
    assert_eq!(client.outbound.waiting(), 0, "a client answers nothing");
    let wait = Answer::Wait(true, Some(5_000));
    assert_eq!(run(client, 0), [Answer::Shutdown(Some(5_000)), wait]);
    assert_eq!(client.outbound.queue("x").unwrap_err().error, SendError::Closing);
    assert_eq!(client.outbound.start_close(CloseCode::NORMAL, ""), Err(SendError::Closing));
    client.inbound.receive_eof();
    assert_eq!(run(client, 0), [Answer::Done]);
}

/// The same for every way to cut the answer that is tried.
#[track_caller]
fn tells(answer: &[u8], expected: &[Seen]) -> Endpoint {
    for piece in [1, 2, 3, 17] {
        let (_, events) = answered(&Options::new(), answer, piece, false);
        assert_eq!(events, expected, "pieces of {piece}");
    }
    let (client, events) = answered(&Options::new(), answer, usize::MAX, false);
    assert_eq!(events, expected);
    client
}

fn change(from: &str, to: &str) -> Vec<u8> {
    assert!(RESPONSE.contains(from), "{from}");
    RESPONSE.replace(from, to).into_bytes()
}

// RFC 6455 §4.1
#[test]
fn client_request_is_exact() {
    let request = OFFER
        .origin("http://example.com")
        .subprotocols(&["chat", "superchat"])
        .headers(&[("Cookie", "a=b")]);
    let mut client = Endpoint::client(&request, Options::new(), random()).unwrap();
    assert_eq!(seen(&mut client), []);
    assert_eq!(
        take_str(&mut client),
        "GET /chat?room=1 HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\nOrigin: http://example.com\r\n\
         Sec-WebSocket-Protocol: chat, superchat\r\nCookie: a=b\r\n\r\n"
    );
    // The key is new for each connection (RFC 6455 §4.1, item 7).
    let mut other = Endpoint::client(&request, Options::new(), |key| {
        key.fill(1);
        true
    });
    assert!(
        take_str(other.as_mut().unwrap())
            .contains("Sec-WebSocket-Key: AQEBAQEBAQEBAQEBAQEBAQ==\r\n")
    );
}

#[test]
fn client_refuses_a_faulty_request() {
    for (request, error) in [
        (ClientRequest::new("example.com", "chat"), OpenError::InvalidTarget),
        (ClientRequest::new("example.com", "/a b"), OpenError::InvalidTarget),
        (ClientRequest::new("a\r\nb", "/chat?room=1"), OpenError::InvalidHost),
        (OFFER.headers(&[("A", "b\r\n")]), OpenError::InvalidHeaderValue),
        (OFFER.headers(&[("Host", "b")]), OpenError::ReservedHeader("Host")),
        (OFFER.subprotocols(&["a", "a"]), OpenError::InvalidSubprotocol),
        (OFFER.extensions("x"), OpenError::InvalidExtension),
    ] {
        let client = Endpoint::client(&request, Options::new(), random());
        assert_eq!(client.err(), Some(error), "{request:?}");
    }
}

// RFC 6455 §10.3: no key that could be foreseen
#[test]
fn client_without_random_bytes_is_not_made() {
    let client = Endpoint::client(&OFFER, Options::new(), |_| false);
    assert_eq!(client.err(), Some(OpenError::Random));
}

// RFC 6455 §4.1: no frame before the handshake is over
#[test]
fn client_sends_nothing_before_101() {
    let mut client = asking(&OFFER, Options::new());
    let half = RESPONSE.len() / 2;
    for part in ["", &RESPONSE[..half]] {
        assert_eq!(feed(&mut client, part.as_bytes()), []);
        let unsent = client.outbound.queue("early").unwrap_err();
        assert_eq!((unsent.message, unsent.error), ("early".into(), SendError::NotOpen));
        assert_eq!(client.outbound.ping(b""), Err(SendError::NotOpen));
        assert_eq!(client.outbound.start_close(CloseCode::NORMAL, ""), Err(SendError::NotOpen));
        assert_eq!(client.outbound.waiting(), 0);
        assert!(!client.outbound.is_open());
        assert_eq!(run(&mut client, 0), [Answer::Wait(true, Some(10_000))]);
    }
    assert_eq!(feed(&mut client, &RESPONSE.as_bytes()[half..]), [Seen::Open(None)]);
    assert!(client.outbound.is_open());
    client.outbound.queue("first").unwrap();
    let sent = take(&mut client);
    assert_eq!(sent, raw(FIN | TEXT, Some(sent[2..6].try_into().unwrap()), b"first"));
}

#[test]
fn client_pipelined_frames_after_response() {
    let frames = [
        to(Role::Client, FIN | TEXT, b"one"),
        to(Role::Client, FIN | PING, b"p"),
        to(Role::Client, FIN | BINARY, &[7; 300]),
    ]
    .concat();
    let stream = [RESPONSE.as_bytes(), &frames].concat();
    let expected = [Seen::Open(None), text("one"), ping(b"p"), binary(&[7; 300])];
    tells(&stream, &expected);
    for at in 1..stream.len() {
        let mut client = asking(&OFFER, Options::new());
        let mut events = feed(&mut client, &stream[..at]);
        events.extend(feed(&mut client, &stream[at..]));
        assert_eq!(events, expected, "cut at {at}");
        let pong = take(&mut client);
        assert_eq!(pong, raw(FIN | PONG, Some(pong[2..6].try_into().unwrap()), b"p"));
    }
}

#[test]
fn client_learns_what_was_agreed() {
    let request = OFFER.subprotocols(&["chat", "superchat"]);
    let mut client = asking(&request, Options::new());
    let answer =
        RESPONSE.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: superchat\r\nA: b\r\n\r\n");
    let _ = client.inbound.receive(answer.as_bytes());
    let Next::Event(Event::Open { subprotocol, response, .. }) = client.next(|| AT(0)) else {
        panic!("not open")
    };
    assert_eq!(subprotocol.as_deref(), Some("superchat"));
    let response = response.unwrap();
    assert_eq!((response.status(), response.reason()), (101, "Switching Protocols"));
    assert_eq!((response.header("a"), response.body()), (Some("b"), &b""[..]));
    assert_eq!(seen(&mut client), []);
}

// RFC 6455 §4.1, items 1–6
#[test]
fn client_fails_on_a_wrong_101() {
    let cases: &[(Vec<u8>, HandshakeError)] = &[
        (change("s3pP", "S3pP"), WrongAccept),
        (change("Sec-WebSocket-Accept", "X"), MissingAccept),
        (change("Upgrade: websocket\r\n", ""), ResponseUpgrade),
        (change("Connection: Upgrade\r\n", ""), ResponseConnection),
        (change("HTTP/1.1", "HTTP/1.0"), UnsupportedResponseVersion),
        (change("HTTP/1.1 101", "HTTP/1.1 1x1"), MalformedStatusLine),
        (change("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n\r\n"), UnofferedSubprotocol),
        (
            change("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            UnofferedExtension,
        ),
        (change("\r\nUpgrade", "\nUpgrade"), BareLf),
        (change("\r\n\r\n", &format!("\r\n{}\r\n", "X: y\r\n".repeat(98))), TooManyFields),
        (change("\r\n\r\n", &format!("\r\nX: {}", "y".repeat(17_000))), ResponseHeadTooLarge),
    ];
    for (answer, error) in cases {
        let answer = [&answer[..], b"\x81\x02hi"].concat();
        let mut client = tells(&answer, &[failed(*error)]);
        ended(&mut client);
    }
}

// RFC 9110 §15.2
#[test]
fn client_skips_interim_responses() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let answer = [interim, "HTTP/1.1 100 Continue\r\n\r\n", RESPONSE].concat();
    tells(answer.as_bytes(), &[Seen::Open(None)]);
    let refusal = [interim, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"].concat();
    tells(refusal.as_bytes(), &[Seen::Refused(404, vec![])]);
    // Together they keep the limit of a single head.
    let flood = interim.repeat(1000);
    tells(flood.as_bytes(), &[failed(ResponseHeadTooLarge)]);
}

// RFC 9112 §6.3: a 1xx ends at its empty line, whatever its fields say.
#[test]
fn client_ignores_the_framing_of_any_1xx() {
    let frame = to(Role::Client, FIN | TEXT, b"hi");
    for field in [
        "Content-Length: 0",
        "Content-Length: 5",
        "Content-Length: x",
        "Content-Length: 1\r\nContent-Length: 2",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 1",
    ] {
        let framed = change("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"));
        tells(&[&framed, &frame[..]].concat(), &[Seen::Open(None), text("hi")]);
        for status in [100, 102, 103, 199] {
            let interim = format!("HTTP/1.1 {status} x\r\n{field}\r\n\r\n");
            let answer = [interim.as_bytes(), RESPONSE.as_bytes(), &frame].concat();
            tells(&answer, &[Seen::Open(None), text("hi")]);
        }
    }
}

// RFC 9112 §6.3: the three ways in which a body ends
#[test]
fn client_refusal_comes_with_its_body() {
    let head = "HTTP/1.1 403 Forbidden\r\n";
    for answer in [
        format!("{head}Content-Length: 8\r\n\r\nno entryrest"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\nno \r\n5\r\nentry\r\n0\r\n\r\nrest"),
    ] {
        let expected = [Seen::Refused(403, b"no entry".to_vec())];
        let mut client = tells(answer.as_bytes(), &expected);
        ended(&mut client);
        // The end may come before the body is complete.
        let cut = answer.find("entry").unwrap() + 2;
        let (mut client, events) = answered(&Options::new(), &answer.as_bytes()[..cut], 7, true);
        assert_eq!(events, [Seen::Refused(403, b"no en".to_vec())]);
        assert_eq!(run(&mut client, 0), [Answer::Done]);
    }
    let until_close = format!("{head}\r\nno entry");
    for piece in [1, usize::MAX] {
        let (mut client, events) = answered(&Options::new(), until_close.as_bytes(), piece, false);
        assert_eq!(events, [], "the end of the stream ends the body");
        assert_eq!(run(&mut client, 0), [Answer::Wait(true, Some(10_000))]);
        client.inbound.receive_eof();
        let refused = Answer::Told(Seen::Refused(403, b"no entry".to_vec()));
        let expected = [refused, Answer::Shutdown(Some(0)), Answer::Done];
        assert_eq!(run(&mut client, 0), expected);
    }
    tells(b"HTTP/1.1 204 No Content\r\n\r\nrest", &[Seen::Refused(204, vec![])]);
    // A length in doubt, and a chunk that is none: what is certain is told.
    let doubt = format!("{head}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab");
    tells(doubt.as_bytes(), &[Seen::Refused(403, vec![])]);
    let broken = format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\nx");
    tells(broken.as_bytes(), &[Seen::Refused(403, b"a".to_vec())]);
}

#[test]
fn client_bounds_the_body_of_a_refusal() {
    let body = "x".repeat(1000);
    for (max, kept) in [(0, 0), (1, 1), (999, 999), (1000, 1000), (5000, 1000)] {
        let options = Options::new().max_body(max);
        for (field, body, eof) in [
            ("Content-Length: 1000", body.clone(), false),
            ("Transfer-Encoding: chunked", format!("3e8\r\n{body}\r\n0\r\n\r\n"), false),
            ("Server: a", body.clone(), true),
        ] {
            let answer = format!("HTTP/1.1 500 Oops\r\n{field}\r\n\r\n{body}");
            for piece in [1, 100, usize::MAX] {
                let (mut client, events) = answered(&options, answer.as_bytes(), piece, eof);
                assert_eq!(events, [Seen::Refused(500, vec![b'x'; kept])], "{field} {max} {piece}");
                if !eof {
                    ended(&mut client);
                }
                assert_eq!(run(&mut client, 0), [Answer::Done]);
            }
        }
    }
    // Without an end in sight the default limit ends it.
    let mut client = asking(&OFFER, Options::new());
    let mut events = feed(&mut client, b"HTTP/1.1 500 Oops\r\n\r\n");
    for _ in 0..200 {
        events.extend(feed(&mut client, &[b'x'; 1000]));
    }
    assert_eq!(events, [Seen::Refused(500, vec![b'x'; 64 * 1024])]);
}

#[test]
fn client_handshake_timeout() {
    let options = Options::new().handshake_timeout(Some(Duration::from_millis(100)));
    let wait = |until| Answer::Wait(true, Some(until));
    let mut client = asking(&OFFER, options.clone());
    assert_eq!(run(&mut client, 1_000), [wait(1_100)]);
    assert_eq!(feed_at(&mut client, 1_000, &RESPONSE.as_bytes()[..20]), []);
    assert_eq!(run(&mut client, 1_099), [wait(1_100)]);
    let expected = [
        Answer::Told(Seen::Failed(EndpointError::HandshakeTimeout)),
        Answer::Shutdown(Some(6_100)),
        wait(6_100),
    ];
    assert_eq!(run(&mut client, 1_100), expected);
    assert_eq!(feed_at(&mut client, 1_100, &RESPONSE.as_bytes()[20..]), []);
    assert_eq!(run(&mut client, 6_100), [Answer::Done]);

    // The same deadline ends a body that does not end: what has come of it is told.
    let mut client = asking(&OFFER, options);
    assert_eq!(run(&mut client, 1_000), [wait(1_100)]);
    assert_eq!(feed_at(&mut client, 1_000, b"HTTP/1.1 500 Oops\r\n\r\nno"), []);
    assert_eq!(run(&mut client, 1_099), [wait(1_100)]);
    let refused = Answer::Told(Seen::Refused(500, b"no".to_vec()));
    let expected = [refused, Answer::Shutdown(Some(1_100)), Answer::Done];
    assert_eq!(run(&mut client, 1_100), expected);
}

#[test]
fn client_eof_in_the_handshake_is_told_once() {
    let last = [Answer::Shutdown(Some(0)), Answer::Done];
    for len in 0..RESPONSE.len() {
        let mut client = asking(&OFFER, Options::new());
        assert_eq!(feed(&mut client, &RESPONSE.as_bytes()[..len]), []);
        client.inbound.receive_eof();
        let failed = Answer::Told(Seen::Failed(EndpointError::HandshakeEof));
        assert_eq!(run(&mut client, 0), [&[failed][..], &last].concat(), "{len}");
        client.inbound.receive_eof();
        assert_eq!(run(&mut client, 0), [Answer::Done]);
        assert_eq!(client.close_info(), None);
    }
    let mut client = asking(&OFFER, Options::new());
    assert_eq!(client.inbound.receive(RESPONSE.as_bytes()), RESPONSE.len());
    client.inbound.receive_eof();
    let told = [Answer::Told(Seen::Open(None)), Answer::Told(closed(1006, ""))];
    assert_eq!(run(&mut client, 0), [&told[..], &last].concat());
    assert_eq!(client.close_info(), info(CloseCode::ABNORMAL, "", false, false, None));
}
