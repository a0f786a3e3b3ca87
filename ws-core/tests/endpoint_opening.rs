//! The opening handshake of a server's endpoint: RFC 6455 §4.2.
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use std::time::Duration;

use common::*;
use ends::{Seen, *};
use ws_core::endpoint::{EndpointError, Event, Next, Options, Origins};
use ws_core::handshake::HandshakeError::{self, *};
use ws_core::handshake::{AcceptResponse, HttpResponse, OpenError};
use ws_core::{CloseCode, Config, Endpoint, Role, SendError};

/// A server and what it makes of a stream that comes in pieces of this size, accepting what it can.
fn serve(options: &Options, bytes: &[u8], piece: usize) -> (Endpoint, Vec<Seen>) {
    let mut server = Endpoint::server(options.clone());
    let mut all = Vec::new();
    for mut piece in bytes.chunks(piece.max(1)) {
        while !piece.is_empty() {
            let count = server.inbound.receive(piece);
            assert_ne!(count, 0, "no progress");
            piece = &piece[count..];
            loop {
                let events = seen(&mut server);
                let asked = matches!(events.last(), Some(Seen::Request(..)));
                all.extend(events);
                if !asked {
                    break;
                }
                server.outbound.accept(&AcceptResponse::new()).unwrap();
            }
        }
    }
    (server, all)
}

fn asked() -> Seen {
    Seen::Request("GET".into(), "/chat?room=1".into())
}

/// A server with a request that waits for its answer.
fn deciding(request: &str) -> Endpoint {
    let mut server = Endpoint::server(Options::new());
    assert_eq!(server.inbound.receive(request.as_bytes()), request.len());
    assert!(matches!(seen(&mut server)[..], [Seen::Request(..) | Seen::Http(..)]));
    server
}

/// When its answer is written, it ends the stream, and then waits for the end of the peer.
#[track_caller]
fn ended(server: &mut Endpoint) {
    assert!(!server.outbound.is_open());
    let expected = [Answer::Shutdown(Some(5_000)), Answer::Wait(true, Some(5_000))];
    assert_eq!(run(server, 0), expected);
}

/// What `run` gives of a server that answers this and ends.
fn answers_and_ends(answer: &str) -> [Answer; 3] {
    [
        Answer::Write(answer.as_bytes().to_vec(), true, Some(5_000)),
        Answer::Shutdown(Some(5_000)),
        Answer::Wait(true, Some(5_000)),
    ]
}

// RFC 6455 §4.2.2
#[test]
fn server_request_accept_open_messages() {
    let mut server = Endpoint::server(Options::new());
    assert_eq!(seen(&mut server), []);
    assert_eq!(server.outbound.waiting(), 0);
    let request = REQUEST.replace(
        "\r\n\r\n",
        "\r\nSec-WebSocket-Protocol: chat, superchat\r\nCookie: a=b\r\nOrigin: http://example.com\r\n\r\n",
    );
    assert_eq!(server.inbound.receive(request.as_bytes()), request.len());
    let Next::Event(Event::Request(asked)) = server.next(|| AT(0)) else { panic!("no request") };
    assert_eq!(asked.method(), "GET");
    assert_eq!(asked.target(), "/chat?room=1");
    assert_eq!(asked.resource_name(), "/chat?room=1");
    assert_eq!(asked.path(), "/chat");
    assert_eq!(asked.host(), Some("example.com"));
    assert_eq!(asked.origin(), Some("http://example.com"));
    assert_eq!(asked.header("COOKIE"), Some("a=b"));
    assert_eq!(asked.header("absent"), None);
    assert_eq!(asked.fields().count(), 8);
    let hosts = asked.fields().filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    assert_eq!(hosts.collect::<Vec<_>>(), [("Host", &b"example.com"[..])]);
    assert_eq!(asked.subprotocols().collect::<Vec<_>>(), ["chat", "superchat"]);
    assert!(!server.outbound.is_open());

    let answer = AcceptResponse::new().subprotocol("superchat").headers(&[("Set-Cookie", "c=d")]);
    server.outbound.accept(&answer).unwrap();
    assert_eq!(seen(&mut server), [Seen::Open(Some("superchat".into()))]);
    assert_eq!(
        take_str(&mut server),
        RESPONSE.replace(
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: superchat\r\nSet-Cookie: c=d\r\n\r\n"
        )
    );
    assert!(server.outbound.is_open());
    assert_eq!(feed(&mut server, &to(Role::Server, FIN | TEXT, b"hi")), [text("hi")]);
    server.outbound.queue("ho").unwrap();
    assert_eq!(take(&mut server), by(Role::Server, FIN | TEXT, b"ho"));
}

// frames pipelined behind the request are delivered exactly once, at every split
#[test]
fn server_pipelined_frames_after_request() {
    let frames = [
        to(Role::Server, FIN | TEXT, b"one"),
        to(Role::Server, FIN | PING, b"p"),
        to(Role::Server, FIN | BINARY, &[7; 300]),
        to(Role::Server, FIN | CLOSE, &close_body(1000, "bye")),
    ]
    .concat();
    let stream = [REQUEST.as_bytes(), &frames].concat();
    let expected = [
        asked(),
        Seen::Open(None),
        text("one"),
        ping(b"p"),
        binary(&[7; 300]),
        closed(1000, "bye"),
    ];
    let output = [
        RESPONSE.as_bytes(),
        &by(Role::Server, FIN | PONG, b"p"),
        &close_by(Role::Server, CloseCode::NORMAL),
    ]
    .concat();
    for at in 1..=stream.len() {
        let (mut server, mut events) = serve(&Options::new(), &stream[..at], at);
        events.extend({
            let mut more = Vec::new();
            let mut rest = &stream[at..];
            while !rest.is_empty() {
                let count = server.inbound.receive(rest);
                rest = &rest[count..];
                more.extend(seen(&mut server));
                if more.last() == Some(&asked()) {
                    server.outbound.accept(&AcceptResponse::new()).unwrap();
                    more.extend(seen(&mut server));
                }
            }
            more
        });
        assert_eq!(events, expected, "cut at {at}");
        assert_eq!(take(&mut server), output, "cut at {at}");
    }
    for piece in [1, 2, 3, 7] {
        let (mut server, events) = serve(&Options::new(), &stream, piece);
        assert_eq!(events, expected, "pieces of {piece}");
        assert_eq!(take(&mut server), output, "pieces of {piece}");
    }
}

// The frames that come before the answer wait in a bounded buffer.
#[test]
fn server_frames_before_accept_are_bounded() {
    let mut server = deciding(REQUEST);
    let flood = to(Role::Server, FIN | BINARY, &[1; 100]).repeat(5000);
    let mut taken = 0;
    loop {
        let count = server.inbound.receive(&flood[taken..]);
        if count == 0 {
            break;
        }
        taken += count;
        assert_eq!(seen(&mut server), []);
    }
    assert!((64 * 1024..=256 * 1024).contains(&taken), "{taken}");
    server.outbound.accept(&AcceptResponse::new()).unwrap();
    let mut events = seen(&mut server);
    events.extend(feed(&mut server, &flood[taken..]));
    assert_eq!(events.len(), 5001);
    assert!(events[1..].iter().all(|event| *event == binary(&[1; 100])));
}

#[test]
fn plain_http_is_an_ordinary_event() {
    let request = "GET /page HTTP/1.1\r\nHost: a\r\n\r\n";
    for piece in [1, 1000] {
        let (mut server, events) = serve(&Options::new(), request.as_bytes(), piece);
        assert_eq!(events, [Seen::Http("GET".into(), "/page".into())]);
        assert_eq!(server.outbound.accept(&AcceptResponse::new()), Err(OpenError::NoRequest));
        assert_eq!(server.outbound.waiting(), 0);
        assert_eq!(run(&mut server, 0), [Answer::Wait(true, None)]);
        let page = HttpResponse::new(200).headers(&[("Content-Type", "text/plain")]).body(b"hello");
        server.outbound.respond(&page).unwrap();
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\
                      Content-Type: text/plain\r\n\r\nhello";
        assert_eq!(run(&mut server, 0), answers_and_ends(answer));
        assert_eq!(feed(&mut server, b"GET / HTTP/1.1\r\n\r\n"), []);
        assert_eq!(server.outbound.respond(&page), Err(OpenError::NoRequest));
        assert_eq!(server.outbound.waiting(), 0);
    }
}

// RFC 9110 §9.3.2
#[test]
fn head_request_is_answered_without_body() {
    let mut server = deciding("HEAD /page HTTP/1.1\r\nHost: a\r\n\r\n");
    server.outbound.respond(&HttpResponse::new(200).body(b"hello")).unwrap();
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(run(&mut server, 0), answers_and_ends(answer));
}

// RFC 9110 §9.3.2: nor is one that is faulty, or too long
#[test]
fn head_request_is_refused_without_body() {
    let long = format!("HEAD / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    for (request, status) in [
        ("HEAD / HTTP/1.1\r\n\r\n", "400"),
        ("\r\nHEAD / HTTP/1.1\r\nHost: a\r\nbad line\r\n\r\n", "400"),
        (&REQUEST.replace("GET", "HEAD"), "405"),
        (&long, "431"),
    ] {
        let (mut server, events) = serve(&Options::new(), request.as_bytes(), 1000);
        assert!(matches!(events[..], [Seen::Failed(_)]), "{events:?}");
        let head = take_str(&mut server);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(head.ends_with("\r\n\r\n") && !head.contains("Content-Length: 0"), "{head}");
        let (mut server, _) =
            serve(&Options::new(), request.replace("HEAD", "POST").as_bytes(), 1000);
        assert!(!take_str(&mut server).ends_with("\r\n\r\n"));
    }
}

// What is no empty line before a request is no reason to leave the body out, or to put it in.
#[test]
fn a_refusal_does_not_depend_on_how_the_request_came() {
    for start in ["\r\r\n", " \n", "\n", "\r\n\r\n", "\t", "\r\n "] {
        let request = format!("{start}HEAD / HTTP/1.1\r\nX\r\n\r\n");
        let (mut whole, _) = serve(&Options::new(), request.as_bytes(), request.len());
        let (mut bytes, _) = serve(&Options::new(), request.as_bytes(), 1);
        assert_eq!(take_str(&mut whole), take_str(&mut bytes), "{start:?}");
    }
}

// RFC 9112 §3.2.2: a server accepts an absolute target for a page, too
#[test]
fn a_page_is_asked_for_by_its_whole_uri() {
    for (target, name) in [
        ("http://a/page?x=1", "/page?x=1"),
        ("http://a", "/"),
        ("http://a?x=1", "/?x=1"),
        ("http://a?", "/?"),
        ("/page", "/page"),
        ("/http://a/", "/http://a/"),
        ("*", "*"),
        ("x?y", "x?y"),
    ] {
        let method = if target == "*" { "OPTIONS" } else { "GET" };
        let mut server = Endpoint::server(Options::new());
        let request = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let _ = server.inbound.receive(request.as_bytes());
        let Next::Event(Event::Http(request)) = server.next(|| AT(0)) else { panic!("{target}") };
        assert_eq!((request.target(), request.resource_name()), (target, name));
        assert_eq!(request.path(), name.split('?').next().unwrap());
        assert_eq!(request.query(), name.split_once('?').map(|(_, query)| query));
    }
}

// RFC 9112 §3.2.2, RFC 6455 §3: the resource name begins with a slash.
#[test]
fn an_upgrade_by_a_whole_uri_needs_no_path() {
    for (target, host, name) in [
        ("http://a.example", "a.example", "/"),
        ("http://a.example?x=1", "a.example", "/?x=1"),
        ("WS://a.example:81?x=/", "a.example:81", "/?x=/"),
        ("http://a.example/b?x=1", "a.example", "/b?x=1"),
        ("/b?x=1", "example.com", "/b?x=1"),
    ] {
        let text = REQUEST.replace("/chat?room=1", target);
        let mut server = Endpoint::server(Options::new());
        assert_eq!(server.inbound.receive(text.as_bytes()), text.len());
        let Next::Event(Event::Request(request)) = server.next(|| AT(0)) else {
            panic!("{target}")
        };
        assert_eq!((request.target(), request.resource_name()), (target, name));
        assert_eq!(request.host(), Some(host));
        assert_eq!(request.fields().count(), 5);
        server.outbound.accept(&AcceptResponse::new()).unwrap();
        assert_eq!(take_str(&mut server), RESPONSE);
    }
}

/// A request for a page whose target is this.
fn page(target: &str) -> ws_core::endpoint::Request {
    let mut server = Endpoint::server(Options::new());
    let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(server.inbound.receive(text.as_bytes()), text.len());
    let Next::Event(Event::Http(request)) = server.next(|| AT(0)) else { panic!("{target}") };
    request
}

// RFC 3986 §2.1, §3.3
#[test]
fn segments_of_a_path_are_decoded() {
    for (target, segments) in [
        ("/", &[""][..]),
        ("/?a/b", &[""]),
        ("/a", &["a"]),
        ("/a/b/", &["a", "b", ""]),
        ("//a", &["", "a"]),
        ("/a%20b/%c3%A9+/%2F%2f", &["a b", "\u{e9}+", "//"]),
        ("/%25%32%35/..", &["%25", ".."]),
        ("http://a/b/c?d", &["b", "c"]),
        ("http://a", &[""]),
        ("*", &["*"]),
    ] {
        assert_eq!(page(target).path_segments().unwrap(), segments, "{target}");
    }
    for target in ["/%", "/a/%4", "/%4g", "/%g4", "/%+4", "/%ff", "/%c3/%a9", "/%ed%a0%80"] {
        assert_eq!(page(target).path_segments(), Err(InvalidEncoding), "{target}");
        assert!(page(target).query_pairs().unwrap().is_empty());
    }
    assert_eq!(InvalidEncoding.status(), Some(400));
}

// As HTML forms are sent (URL Standard, application/x-www-form-urlencoded).
#[test]
fn pairs_of_a_query_are_decoded() {
    for (target, pairs) in [
        ("/", &[][..]),
        ("/?", &[]),
        ("/?&&", &[]),
        ("/?a", &[("a", "")]),
        ("/?=b", &[("", "b")]),
        ("/?a=b=c&a=", &[("a", "b=c"), ("a", "")]),
        ("/?a+b=c%2B+d&%c3%a9=%26%3D", &[("a b", "c+ d"), ("\u{e9}", "&=")]),
        ("/?a?b=/", &[("a?b", "/")]),
        ("http://a?x=1", &[("x", "1")]),
    ] {
        let request = page(target);
        let found = request.query_pairs().unwrap();
        let found: Vec<(&str, &str)> =
            found.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(found, pairs, "{target}");
    }
    for target in ["/?a=%", "/?%4=", "/?a=b&c=%zz", "/?%ff", "/?%c3=%a9"] {
        assert_eq!(page(target).query_pairs(), Err(InvalidEncoding), "{target}");
        assert!(page(target).path_segments().is_ok());
    }
}

// The application may answer before the clock is asked for the first time.
#[test]
fn a_connection_without_a_time_begins_with_the_first_one() {
    let options = Config::new().idle_timeout(Some(Duration::from_secs(60)));
    let mut server = Endpoint::server(options);
    assert_eq!(server.inbound.receive(REQUEST.as_bytes()), REQUEST.len());
    assert_eq!(next(&mut server, 5), Answer::Told(asked()));
    server.outbound.accept(&AcceptResponse::new()).unwrap();
    let expected = [
        Answer::Told(Seen::Open(None)),
        Answer::Write(RESPONSE.into(), true, Some(1_060_000)),
        Answer::Wait(true, Some(1_060_000)),
    ];
    assert_eq!(run(&mut server, 1_000_000), expected);
    assert!(server.outbound.is_open());
}

#[test]
fn server_rejects_a_request_and_ends() {
    let mut server = deciding(REQUEST);
    server.outbound.respond(&HttpResponse::new(404)).unwrap();
    let answer = "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(run(&mut server, 0), answers_and_ends(answer));
    assert_eq!(server.outbound.accept(&AcceptResponse::new()), Err(OpenError::NoRequest));
    assert_eq!(server.outbound.queue("x").unwrap_err().error, SendError::Closing);
    assert_eq!(server.outbound.ping(b""), Err(SendError::Closing));
    assert_eq!(server.outbound.start_close(CloseCode::NORMAL, ""), Err(SendError::Closing));
    assert_eq!(server.outbound.waiting(), 0, "no frame follows an HTTP response");
    assert_eq!(feed(&mut server, &to(Role::Server, FIN | TEXT, b"late")), []);
    assert_eq!(run(&mut server, 0), [Answer::Wait(true, Some(5_000))]);
    server.inbound.receive_eof();
    assert_eq!(run(&mut server, 0), [Answer::Done]);
    assert_eq!(server.close_info(), None);
}

// RFC 6455 §4.2.1, §4.4: each fault has its status, and ends the connection
#[test]
fn server_answers_each_fault_with_its_status() {
    let change = |from: &str, to: &str| {
        assert!(REQUEST.contains(from), "{from}");
        REQUEST.replace(from, to)
    };
    let many = "X: y\r\n".repeat(96);
    let version = "Sec-WebSocket-Version: 13\r\n";
    let cases: &[(String, HandshakeError, u16)] = &[
        (change("\r\nHost", "\nHost"), BareLf, 400),
        (change("Host: example.com\r\n", ""), MissingHost, 400),
        (change("example.com", "a b"), InvalidHost, 400),
        (change("Upgrade: websocket\r\n", ""), MissingUpgrade, 400),
        (change("Connection: Upgrade\r\n", ""), MissingConnectionUpgrade, 400),
        (change("GET", "POST"), MethodNotAllowed, 405),
        (change("HTTP/1.1", "HTTP/2.0"), UnsupportedHttpVersion, 505),
        (change(version, ""), MissingVersion, 400),
        (change("13", "8"), UnsupportedVersion, 426),
        (change("13", "013"), MalformedVersion, 400),
        (change("dGhl", "dGh"), InvalidKey, 400),
        (change(version, &format!("{version}Content-Length: 1\r\n")), RequestBody, 400),
        (
            change(version, &format!("{version}Origin: http://evil.example\r\n")),
            OriginNotAllowed,
            403,
        ),
        (change(version, &format!("{version}{many}")), TooManyFields, 431),
    ];
    for (request, error, status) in cases {
        for piece in [1, usize::MAX] {
            let (mut server, events) = serve(&Options::new(), request.as_bytes(), piece);
            assert_eq!(events, [failed(*error)], "{request}");
            let answer = take_str(&mut server);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{error:?}: {head}");
            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
            assert_eq!(body, format!("{error}\n"));
            if *status == 426 {
                assert!(head.contains("\r\nSec-WebSocket-Version: 13"), "{head}");
            }
            ended(&mut server);
            assert_eq!(server.outbound.queue("x").unwrap_err().error, SendError::Closing);
            assert_eq!(server.outbound.waiting(), 0);
        }
    }
}

// RFC 6585 §5: 16 KiB and 100 fields, inclusive
#[test]
fn server_limits_the_head() {
    let padded = |len: usize| {
        let start = REQUEST.strip_suffix("\r\n").unwrap();
        let fill = len - start.len() - "A: \r\n\r\n".len();
        format!("{start}A: {}\r\n\r\n", "x".repeat(fill))
    };
    let fits = padded(16 * 1024);
    assert_eq!(fits.len(), 16 * 1024);
    for piece in [1, usize::MAX] {
        let (_, events) = serve(&Options::new(), fits.as_bytes(), piece);
        assert_eq!(events, [asked(), Seen::Open(None)]);
        let (mut server, events) = serve(&Options::new(), padded(16 * 1024 + 1).as_bytes(), piece);
        assert_eq!(events, [failed(HeadTooLarge)]);
        assert!(take_str(&mut server).starts_with("HTTP/1.1 431 "));
        ended(&mut server);
    }
    let line = format!("GET /{}", "x".repeat(17_000));
    let (mut server, events) = serve(&Options::new(), line.as_bytes(), 100);
    assert_eq!(events, [failed(RequestLineTooLong)]);
    assert!(take_str(&mut server).starts_with("HTTP/1.1 414 "));

    let fields = REQUEST.replace("\r\n\r\n", &format!("\r\n{}\r\n", "X: y\r\n".repeat(95)));
    assert_eq!(serve(&Options::new(), fields.as_bytes(), 99).1, [asked(), Seen::Open(None)]);
    let (_, events) = serve(&Options::new().max_fields(99), fields.as_bytes(), 99);
    assert_eq!(events, [failed(TooManyFields)]);
    let (_, events) = serve(&Options::new().max_head(100), REQUEST.as_bytes(), 99);
    assert_eq!(events, [failed(HeadTooLarge)]);
}

// RFC 6455 §10.2
#[test]
fn server_origin_403() {
    let listed = Origins::List(vec!["https://friend.example".into()]);
    for (origin, same, list) in [
        ("http://example.com", true, true),
        ("HTTPS://EXAMPLE.COM:443", true, true),
        ("http://example.com:8080", false, false),
        ("https://friend.example", false, true),
        ("https://Friend.Example", false, true),
        ("http://friend.example", false, false),
        ("https://evil.example", false, false),
        ("https://example.com.evil.example", false, false),
        ("null", false, false),
    ] {
        let request = REQUEST.replace("\r\n\r\n", &format!("\r\nOrigin: {origin}\r\n\r\n"));
        for (policy, admitted) in
            [(Origins::Same, same), (listed.clone(), list), (Origins::Any, true)]
        {
            let options = Options::new().origins(policy.clone());
            let (mut server, events) = serve(&options, request.as_bytes(), usize::MAX);
            let output = take_str(&mut server);
            if admitted {
                assert_eq!(events, [asked(), Seen::Open(None)], "{origin} {policy:?}");
                assert_eq!(output, RESPONSE);
            } else {
                let refused = [failed(OriginNotAllowed)];
                assert_eq!(events, refused, "{origin} {policy:?}");
                assert!(output.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{output}");
                ended(&mut server);
            }
        }
    }
    // Not a browser: always admitted. A plain request is the application's matter.
    for policy in [Origins::Same, listed, Origins::Any] {
        let options = Options::new().origins(policy);
        assert_eq!(serve(&options, REQUEST.as_bytes(), 1).1, [asked(), Seen::Open(None)]);
        let plain = "GET / HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n";
        let http = Seen::Http("GET".into(), "/".into());
        assert_eq!(serve(&options, plain.as_bytes(), 1).1, [http]);
    }
}

// RFC 6454 §5
#[test]
fn listed_origins_are_compared_by_scheme_host_and_port() {
    for (listed, origin, admitted) in [
        ("https://friend.example:443", "https://friend.example", true),
        ("https://friend.example", "https://friend.example:443", true),
        ("HTTPS://Friend.Example", "https://friend.example", true),
        ("http://friend.example:80", "http://friend.example", true),
        ("http://localhost:8080", "http://LOCALHOST:8080", true),
        ("null", "null", true),
        ("moz-extension://a", "moz-extension://a", true),
        ("https://friend.example:80", "https://friend.example", false),
        ("https://friend.example", "http://friend.example:443", false),
        ("https://friend.example:8443", "https://friend.example", false),
        ("https://friend.example/", "https://friend.example", false),
        ("https://friend.example/chat", "https://friend.example", false),
        ("friend.example", "https://friend.example", false),
        ("https://user@friend.example", "https://friend.example", false),
    ] {
        let policy = Origins::List(vec![listed.into()]);
        let expected = if admitted { Ok(()) } else { Err(OriginNotAllowed) };
        assert_eq!(policy.check(Some(origin), "example.com"), expected, "{listed} {origin}");
    }
}

// RFC 6454 §4: the scheme is part of an origin. Over plain TCP it is not known which one the browser used.
#[test]
fn under_tls_a_page_that_came_without_is_from_elsewhere() {
    let listed = Origins::List(vec!["http://friend.example".into()]);
    for (origin, policy, plain, secure) in [
        ("http://example.com", Origins::Same, true, false),
        ("https://example.com", Origins::Same, true, true),
        ("HTTPS://Example.Com:443", Origins::Same, true, true),
        ("http://example.com", listed.clone(), true, false),
        ("http://friend.example", listed, true, true),
        ("http://example.com", Origins::Any, true, true),
        ("httpsx", Origins::Same, false, false),
    ] {
        let request = REQUEST.replace("\r\n\r\n", &format!("\r\nOrigin: {origin}\r\n\r\n"));
        for (tls, admitted) in [(false, plain), (true, secure)] {
            let options = Options::new().origins(policy.clone()).secure(tls);
            let (_, events) = serve(&options, request.as_bytes(), usize::MAX);
            assert_eq!(events[0] == asked(), admitted, "{origin} {policy:?} {tls}");
        }
    }
}

// RFC 6455 §4.2.2
#[test]
fn server_answers_that_are_errors_write_nothing() {
    let mut server = Endpoint::server(Options::new());
    let page = HttpResponse::new(200);
    assert_eq!(server.outbound.accept(&AcceptResponse::new()), Err(OpenError::NoRequest));
    assert_eq!(server.outbound.respond(&page), Err(OpenError::NoRequest));
    assert_eq!(server.outbound.waiting(), 0);

    let mut server = deciding(REQUEST);
    let accept = AcceptResponse::new();
    for (response, error) in [
        (accept.subprotocol("chat"), OpenError::UnofferedSubprotocol),
        (accept.extensions("permessage-deflate"), OpenError::UnofferedExtension),
        (accept.headers(&[("A", "b\r\nC: d")]), OpenError::InvalidHeaderValue),
        (accept.headers(&[("A\r\n", "b")]), OpenError::InvalidHeaderName),
        (accept.headers(&[("Upgrade", "b")]), OpenError::ReservedHeader("Upgrade")),
    ] {
        assert_eq!(server.outbound.accept(&response), Err(error));
        assert_eq!(server.outbound.waiting(), 0, "{response:?}");
    }
    for (response, error) in [
        (HttpResponse::new(101), OpenError::InvalidStatus),
        (HttpResponse::new(204).body(b"x"), OpenError::BodyNotAllowed),
        (HttpResponse::new(200).headers(&[("A", "\n")]), OpenError::InvalidHeaderValue),
    ] {
        assert_eq!(server.outbound.respond(&response), Err(error));
        assert_eq!(server.outbound.waiting(), 0, "{response:?}");
    }
    // It waits still, and is answered once.
    server.outbound.accept(&accept).unwrap();
    assert_eq!(take_str(&mut server), RESPONSE);
    assert_eq!(server.outbound.accept(&accept), Err(OpenError::NoRequest));
    assert_eq!(server.outbound.respond(&page), Err(OpenError::NoRequest));
    assert_eq!(server.outbound.waiting(), 0);
    assert_eq!(seen(&mut server), [Seen::Open(None)]);
}

// RFC 6455 §4.2.2: nothing goes out before the 101
#[test]
fn server_open_only_after_101_written() {
    let mut server = Endpoint::server(Options::new());
    for request in [None, Some(REQUEST)] {
        if let Some(request) = request {
            assert_eq!(feed(&mut server, request.as_bytes()), [asked()]);
        }
        let unsent = server.outbound.queue("early").unwrap_err();
        assert_eq!((unsent.message, unsent.error), ("early".into(), SendError::NotOpen));
        assert_eq!(server.outbound.ping(b""), Err(SendError::NotOpen));
        assert_eq!(server.outbound.start_close(CloseCode::NORMAL, ""), Err(SendError::NotOpen));
        assert!(!server.outbound.is_open());
        assert_eq!(server.outbound.waiting(), 0);
    }
    server.outbound.accept(&AcceptResponse::new()).unwrap();
    server.outbound.queue("first").unwrap();
    assert_eq!(seen(&mut server), [Seen::Open(None)]);
    let expected = [RESPONSE.as_bytes(), &by(Role::Server, FIN | TEXT, b"first")].concat();
    assert_eq!(take(&mut server), expected);
}

// One deadline for the whole of it, however the bytes trickle in.
#[test]
fn server_handshake_timeout() {
    let wait = |until| [Answer::Wait(true, until)];
    let mut server = Endpoint::server(Options::new());
    assert_eq!(run(&mut server, 5), wait(Some(10_005)));
    for now in 6..100 {
        let byte = &REQUEST.as_bytes()[now as usize - 6..][..1];
        assert_eq!(feed_at(&mut server, now * 100, byte), []);
        assert_eq!(run(&mut server, now * 100), wait(Some(10_005)));
    }
    assert_eq!(run(&mut server, 10_004), wait(Some(10_005)));
    // The peer gets as long to end as in the closing handshake.
    let expected = [
        Answer::Told(Seen::Failed(EndpointError::HandshakeTimeout)),
        Answer::Shutdown(Some(15_005)),
        Answer::Wait(true, Some(15_005)),
    ];
    assert_eq!(run(&mut server, 10_005), expected);
    assert_eq!(run(&mut server, 15_004), wait(Some(15_005)));
    assert_eq!(run(&mut server, 15_005), [Answer::Done]);

    let options = Options::new().handshake_timeout(Some(Duration::from_millis(7)));
    let mut server = Endpoint::server(options);
    assert_eq!(run(&mut server, u32::MAX - 2), wait(Some(4)));
    assert_eq!(feed_at(&mut server, u32::MAX - 2, REQUEST.as_bytes()), [asked()]);
    assert_eq!(run(&mut server, u32::MAX - 2), wait(None), "the application takes its time");
    assert_eq!(run(&mut server, 100), wait(None));
    server.outbound.accept(&AcceptResponse::new()).unwrap();
    assert_eq!(seen_at(&mut server, 200), [Seen::Open(None)]);

    let mut server = Endpoint::server(Options::new().handshake_timeout(None));
    assert_eq!(run(&mut server, 0), wait(None));
}

#[test]
fn server_eof_in_the_handshake_is_told_once() {
    for len in 0..=REQUEST.len() {
        let mut server = Endpoint::server(Config::new());
        let events = feed(&mut server, &REQUEST.as_bytes()[..len]);
        assert_eq!(events, if len == REQUEST.len() { vec![asked()] } else { vec![] });
        server.inbound.receive_eof();
        server.inbound.receive_eof();
        let expected = [
            Answer::Told(Seen::Failed(EndpointError::HandshakeEof)),
            Answer::Shutdown(Some(0)),
            Answer::Done,
        ];
        assert_eq!(run(&mut server, 0), expected, "{len}");
        let accepted = server.outbound.accept(&AcceptResponse::new());
        assert_eq!(accepted, Err(OpenError::NoRequest));
        assert_eq!(run(&mut server, 0), [Answer::Done]);
    }
    // With the end already known, a whole request is told all the same, and can be answered.
    let mut server = Endpoint::server(Config::new());
    assert_eq!(server.inbound.receive(REQUEST.as_bytes()), REQUEST.len());
    server.inbound.receive_eof();
    assert_eq!(event(&mut server, false), Some(asked()));
    server.outbound.accept(&AcceptResponse::new()).unwrap();
    let expected = [
        Answer::Told(Seen::Open(None)),
        Answer::Told(closed(1006, "")),
        Answer::Write(RESPONSE.into(), false, Some(5_000)),
        Answer::Shutdown(Some(0)),
        Answer::Done,
    ];
    assert_eq!(run(&mut server, 0), expected);
    assert_eq!(server.close_info(), info(CloseCode::ABNORMAL, "", false, false, None));
}
