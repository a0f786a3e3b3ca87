//! What a head may bring about, and no more: which host it names, which 101 opens a connection, how much memory it takes.
#![cfg(feature = "endpoint")]

mod common;
mod ends;
mod meter;

use common::*;
use ends::{Seen, *};
use meter::Meter;
use ws_core::Endpoint;
use ws_core::endpoint::{Event, Next, Options, Origins};
use ws_core::handshake::ClientRequest;
use ws_core::handshake::HandshakeError::*;

/// The most that heads and what follows them may take, with the default limits.
const CONSTANT: usize = 256 * 1024;

// RFC 9112 §3.2.2: a host in the target is the host, whatever the field says. GHSA-c4j6-fc7j-m34r: the target leads nowhere.
#[test]
fn a_host_in_the_target_is_the_one_that_counts() {
    let asked = |target: &str, host: &str, origin: &str| {
        let request = REQUEST
            .replace("example.com", host)
            .replace("/chat?room=1", target)
            .replace("\r\n\r\n", &format!("\r\nOrigin: {origin}\r\n\r\n"));
        let mut server = Endpoint::server(Options::new().origins(Origins::Same));
        assert_eq!(server.inbound.receive(request.as_bytes()), request.len());
        match server.next(|| AT(0)) {
            Next::Event(Event::Request(request)) => {
                assert_eq!(request.target(), target);
                let field = request.header("host").map(str::to_owned);
                assert_eq!(field.as_deref(), Some(host));
                Ok((request.host().unwrap().to_owned(), request.resource_name().to_owned()))
            }
            Next::Failed(error) => Err(error),
            other => panic!("{other:?}"),
        }
    };
    let told = |host: &str, name: &str| Ok((host.to_owned(), name.to_owned()));
    let refused = |error: ws_core::handshake::HandshakeError| Err(error.into());
    for (target, host, origin, expected) in [
        ("/chat", "example.com", "http://example.com", told("example.com", "/chat")),
        ("/chat", "example.com", "http://inner:80", refused(OriginNotAllowed)),
        ("/http://inner/", "example.com", "http://inner", refused(OriginNotAllowed)),
        ("http://example.com/chat", "inner", "http://example.com", told("example.com", "/chat")),
        ("http://inner/chat", "example.com", "http://example.com", refused(OriginNotAllowed)),
        ("http://inner:80/x?y", "example.com", "http://inner", told("inner:80", "/x?y")),
        ("ws://169.254.169.254", "example.com", "http://example.com", refused(OriginNotAllowed)),
        ("http://u@inner/", "example.com", "http://example.com", refused(InvalidTarget)),
        (
            "http://inner\\@example.com/",
            "example.com",
            "http://example.com",
            refused(InvalidTarget),
        ),
        ("http:/inner", "example.com", "http://example.com", refused(InvalidTarget)),
        ("//inner/x", "example.com", "http://example.com", told("example.com", "//inner/x")),
        ("gopher://inner/", "example.com", "http://example.com", refused(InvalidTarget)),
        ("inner:80", "example.com", "http://example.com", refused(InvalidTarget)),
    ] {
        assert_eq!(asked(target, host, origin), expected, "{target} {host} {origin}");
    }
}

// CVE-2026-43974: what follows is neither told nor kept.
#[test]
fn a_101_that_was_not_asked_for_opens_nothing() {
    let flood = vec![b'x'; 1 << 20];
    let plus = |field: &str| RESPONSE.replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"));
    for (answer, error) in [
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n".into(), ResponseUpgrade),
        (RESPONSE.replace("Upgrade: websocket", "Upgrade: h2c"), ResponseUpgrade),
        (RESPONSE.replace("Upgrade: websocket", "Upgrade: websocket, h2c"), ResponseUpgrade),
        (RESPONSE.replace("Connection: Upgrade", "Connection: keep-alive"), ResponseConnection),
        (RESPONSE.replace("Sec-WebSocket-Accept", "X-Accept"), MissingAccept),
        // The answer to another key.
        (
            RESPONSE.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="),
            WrongAccept,
        ),
        (plus("Sec-WebSocket-Protocol: chat"), UnofferedSubprotocol),
        (plus("Sec-WebSocket-Extensions: permessage-deflate"), UnofferedExtension),
        (plus("Sec-WebSocket-Extensions: x"), UnofferedExtension),
    ] {
        let meter = Meter::new();
        let mut client = asking(&ClientRequest::new("example.com", "/chat?room=1"), Options::new());
        assert_eq!(feed(&mut client, answer.as_bytes()), [failed(error)], "{answer}");
        assert_eq!(feed(&mut client, &flood), []);
        assert_eq!(take(&mut client), b"");
        assert!(meter.peak() <= CONSTANT, "{}", meter.peak());
    }
    // Behind the one that was asked for there are frames, not heads.
    let mut client = asking(&ClientRequest::new("example.com", "/chat?room=1"), Options::new());
    let twice = [RESPONSE, RESPONSE].concat();
    let expected = [Seen::Open(None), failed(ws_core::ProtocolError::FragmentedControl)];
    assert_eq!(feed(&mut client, twice.as_bytes()), expected);
}

/// Feeds the same over and over, until it fails or as much has come as nobody would send; how much was fed.
fn flood(endpoint: &mut Endpoint, start: &str, more: &str) -> (usize, Vec<Seen>) {
    let mut told = feed(endpoint, start.as_bytes());
    let mut fed = start.len();
    while told.is_empty() && fed < 1 << 20 {
        told = feed(endpoint, more.as_bytes());
        fed += more.len();
    }
    (fed, told)
}

// CVE-2026-28980: the total is limited, not only a line or a field.
#[test]
fn heads_are_limited_in_total() {
    let limit = 16 * 1024..17 * 1024;
    let line = "GET / HTTP/1.1\r\nHost: a\r\n";
    let long = format!("X: {}\r\n", "y".repeat(500));
    for (start, more, error) in [
        (line, "X: y\r\n", HeadTooLarge),
        (line, &long, HeadTooLarge),
        (line, "y", HeadTooLarge),
        ("GET /", "y", RequestLineTooLong),
        ("", "\r\n", RequestLineTooLong),
    ] {
        let meter = Meter::new();
        let mut server = Endpoint::server(Options::new());
        let (fed, told) = flood(&mut server, start, more);
        assert_eq!(told, [failed(error)], "{start} {more}");
        assert!(limit.contains(&fed), "{fed}");
        assert!(meter.peak() <= CONSTANT, "{}", meter.peak());
    }
    let line = "HTTP/1.1 101 Switching Protocols\r\n";
    for (start, more) in [
        (line, "X: y\r\n"),
        (line, &*long),
        ("HTTP/1.1 101 ", "y"),
        // Together, too.
        ("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        ("", "HTTP/1.1 100 \r\n\r\n"),
    ] {
        let meter = Meter::new();
        let mut client = asking(&ClientRequest::new("example.com", "/chat?room=1"), Options::new());
        let (fed, told) = flood(&mut client, start, more);
        assert_eq!(told, [failed(ResponseHeadTooLarge)], "{start} {more}");
        assert!(limit.contains(&fed), "{fed}");
        assert!(meter.peak() <= CONSTANT, "{}", meter.peak());
    }
    // So is what surrounds the parts of a body, and the body that is kept.
    let chunked = "HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (end, more, most) in [
        ("1;", "y", 0),
        ("0\r\n", "X: y\r\n", 0),
        ("", "1;y\r\nx\r\n", 64 * 1024),
        ("", "1\r\nx\r\n", 64 * 1024),
    ] {
        let meter = Meter::new();
        let mut client = asking(&ClientRequest::new("example.com", "/chat?room=1"), Options::new());
        let (fed, told) = flood(&mut client, &[chunked, end].concat(), more);
        let [Seen::Refused(500, kept)] = &told[..] else { panic!("{end} {more}: {told:?}") };
        assert!(kept.len() <= most && fed < 1 << 20, "{end} {more}: {fed}");
        assert!(meter.peak() <= CONSTANT, "{}", meter.peak());
    }
}
