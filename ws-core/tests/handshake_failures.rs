//! What a failed opening handshake shows of the peer, and the hosts that a server answers to.
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use common::*;
use ends::{Seen, *};
use ws_core::Endpoint;
use ws_core::endpoint::{Event, Next, Options, Origins};
use ws_core::handshake::ClientRequest;
use ws_core::handshake::HandshakeError::{self, *};

/// A server that has got this request, and what it has told.
fn asked(options: Options, request: &str) -> (Endpoint, Vec<Seen>) {
    let mut server = Endpoint::server(options);
    let events = feed(&mut server, request.as_bytes());
    (server, events)
}

/// What a server says about this request, which it refuses for this reason, and the start of its answer.
#[track_caller]
fn refused(options: Options, request: &str, error: HandshakeError) -> (String, String) {
    let (mut server, events) = asked(options, request);
    assert_eq!(events, [failed(error)], "{request}");
    let failure = server.inbound.handshake_failure().expect("a failure").clone();
    assert_eq!(failure.error, error);
    assert!(failure.request.as_ref().is_some_and(|request| !request.is_upgrade()));
    let answer = take_str(&mut server);
    let (line, _) = answer.split_once("\r\n").unwrap();
    (shown(&failure), line.to_owned())
}

fn request(host: &str, more: &str) -> String {
    REQUEST.replace("example.com\r\n", &format!("{host}\r\n{more}"))
}

// RFC 6455 §10.2: behind a proxy that rewrites Host, the page of its own is from elsewhere.
#[test]
fn a_refused_origin_is_shown_with_the_host_and_what_to_change() {
    const RULE: &str = "Origin is not allowed here (RFC 6455 §10.2)";
    const ADVICE: &str = "to admit pages of other origins, set `origins`; a proxy in front of the server must \
        pass Host on unchanged";
    for (origin, shown) in [
        ("https://chat.example", "\"https://chat.example\""),
        ("null", "\"null\""),
        // Escaped, cut, and without what may be secret.
        ("https://user:hidden@chat.example", "…\"@chat.example\""),
        ("https://chat.example/?hidden", "\"https://chat.example/\"…"),
        ("\"quoted\" \\", "\"\\\"quoted\\\" \\\\\""),
        (&"x".repeat(101), &format!("\"{}\"…", "x".repeat(100))),
    ] {
        let request = request("127.0.0.1:8080", &format!("Origin: {origin}\r\nCookie: hidden\r\n"));
        for origins in [Origins::Same, Origins::List(vec!["https://other.example".into()])] {
            let (text, line) = refused(Options::new().origins(origins), &request, OriginNotAllowed);
            assert_eq!(
                text,
                format!("{RULE}: Origin is {shown} and Host is \"127.0.0.1:8080\"; {ADVICE}")
            );
            assert_eq!(line, "HTTP/1.1 403 Forbidden");
        }
    }
}

// RFC 6454 §4: the scheme is a part of the origin.
#[test]
fn a_page_without_tls_is_told_that_only_the_scheme_is_wrong() {
    let request = request("example.com", "Origin: http://example.com\r\n");
    let (text, _) = refused(Options::new().secure(true), &request, OriginNotAllowed);
    assert_eq!(
        text,
        "Origin is not allowed here (RFC 6455 §10.2): Origin is \"http://example.com\" and Host is \"example.com\"; \
         this server is reached over TLS, so its pages have to come over https"
    );
}

// RFC 9110 §15.5.20: Misdirected Request, for a WebSocket and for a page.
#[test]
fn a_server_answers_to_the_hosts_that_it_was_told() {
    let listed = ["localhost", "127.0.0.1:9001", "[::1]", "Example.com:443"];
    let options = || Options::new().hosts(listed).origins(Origins::Any);
    let page = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for host in [
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1:9001",
        "[::1]:5",
        "[0:0::1]",
        "example.com",
        "example.com:443",
    ] {
        let (_, events) = asked(options(), &request(host, ""));
        assert_eq!(events, [Seen::Request("GET".into(), "/chat?room=1".into())], "{host}");
        let (_, events) = asked(options(), &page(host));
        assert_eq!(events, [Seen::Http("GET".into(), "/".into())], "{host}");
    }
    const RULE: &str = "this server does not answer to the host (RFC 9110 §15.5.20)";
    for host in [
        "127.0.0.1",
        "127.0.0.1:9002",
        "[::2]",
        "example.com:80",
        "evil.example:9001",
        "localhost.evil.example",
    ] {
        // DNS rebinding: the Origin agrees with the Host.
        let rebound = request(host, &format!("Origin: http://{host}\r\n"));
        let origin = Options::new().hosts(listed);
        for (options, request) in
            [(options(), page(host)), (options(), rebound.clone()), (origin, rebound)]
        {
            let (text, line) = refused(options, &request, HostNotAllowed);
            assert_eq!(
                text,
                format!("{RULE}: \"{host}\"; `hosts` lists the hosts that it answers to")
            );
            assert_eq!(line, "HTTP/1.1 421 Misdirected Request");
        }
    }
    // RFC 9112 §3.2.2: a host in the target outranks the field.
    let absolute = |target: &str, host| page(host).replace(" / ", &format!(" http://{target}/ "));
    refused(options(), &absolute("evil.example", "localhost"), HostNotAllowed);
    let (_, events) = asked(options(), &absolute("localhost", "evil.example"));
    assert_eq!(events.len(), 1);
    assert!(matches!(events[0], Seen::Http(..)));
    // Without a host there is none that is listed. An empty list admits none; no list, every one.
    let (text, _) = refused(options(), "GET / HTTP/1.0\r\n\r\n", HostNotAllowed);
    assert_eq!(
        text,
        format!("{RULE}: the request has no host; `hosts` lists the hosts that it answers to")
    );
    refused(Options::new().hosts::<&str>([]), REQUEST, HostNotAllowed);
    assert_eq!(asked(Options::new(), "GET / HTTP/1.0\r\n\r\n").1.len(), 1);
    // What is faulty is refused as such.
    let (text, _) = refused(options(), &page("a b"), InvalidHost);
    assert_eq!(text, InvalidHost.to_string());
}

// RFC 9110 §7.8: the upgrade of a proxy that speaks HTTP/1.0 to its server.
#[test]
fn a_request_says_that_it_is_an_upgrade_by_http10() {
    for (text, minor, is_http10_upgrade) in [
        (REQUEST.replace("HTTP/1.1", "HTTP/1.0"), 0, true),
        ("GET / HTTP/1.0\r\n\r\n".into(), 0, false),
        (PAGE.into(), 1, false),
    ] {
        let mut server = Endpoint::server(Options::new());
        let _ = server.inbound.receive(text.as_bytes());
        let Next::Event(Event::Http(request)) = server.next(|| AT(0)) else { panic!("{text}") };
        let found = (request.minor_version(), request.is_http10_upgrade());
        assert_eq!(found, (minor, is_http10_upgrade), "{text}");
        assert!(!request.is_upgrade());
    }
}

/// What a client says about this answer, and the answer itself.
#[track_caller]
fn answered(answer: &str, error: HandshakeError) -> String {
    let offer = ClientRequest::new("example.com", "/").subprotocols(&["chat"]);
    let mut client = asking(&offer, Options::new());
    assert_eq!(feed(&mut client, answer.as_bytes()), [failed(error)]);
    let failure = client.inbound.handshake_failure().expect("a failure");
    let response = failure.response.as_ref().expect("its syntax is right");
    assert_eq!((response.status(), response.header("x")), (101, Some("y")));
    shown(failure)
}

#[test]
fn a_subprotocol_that_was_not_offered_is_shown_with_its_response() {
    let with = |field: &str| RESPONSE.replace("\r\n\r\n", &format!("\r\n{field}\r\nX: y\r\n\r\n"));
    for (value, shown) in [("Chat", "\"Chat\""), ("", "\"\""), ("a\tb", "\"a\\tb\"")] {
        let text =
            answered(&with(&format!("Sec-WebSocket-Protocol: {value}")), UnofferedSubprotocol);
        assert_eq!(text, format!("subprotocol was not offered (RFC 6455 §4.1): {shown}"));
    }
    // What was offered may be a token.
    let text = answered(&with("Sec-WebSocket-Protocol: chat, b,chat"), UnofferedSubprotocol);
    assert_eq!(text, "subprotocol was not offered (RFC 6455 §4.1): \"…, b, …\"");
    let text = answered(&with("Sec-WebSocket-Extensions: x"), UnofferedExtension);
    assert_eq!(text, "extension was not offered (RFC 6455 §4.1)");
    let text = answered(&with("Y: z").replace("s3pP", "S3pP"), WrongAccept);
    assert_eq!(text, WrongAccept.to_string());
}

// RFC 9110 §15.4, §11.6.1
#[test]
fn a_refusal_shows_what_helps_and_no_secret() {
    let long = "é".repeat(60);
    let cut = format!(": \"{}\"…", "é".repeat(50));
    for (status, fields, body, shown) in [
        ("403 Forbidden", "", "", ""),
        ("403 Forbidden", "Set-Cookie: a=hidden\r\n", "no entry\n", ": \"no entry\""),
        ("403", "", " \x1b[31m", ""),
        ("403 Forbidden", "", "<p>\r\nno\t1</p>", ": \"<p>\\r\\nno\\t1</p>\""),
        ("403 Forbidden", "", "\u{202e}gro", ": \"\\u{202e}gro\""),
        ("403 Forbidden", "", &long, &cut),
        (&format!("403 {}", "x".repeat(200)), "", "", ""),
        (
            "302 Found",
            "Location: https://a.example/b\r\n",
            "",
            ", Location \"https://a.example/b\"",
        ),
        ("307 x", "Location: /b?token=hidden\r\n", "moved", ", Location \"/b\"…: \"moved\""),
        ("308 x", "Location: https://u:hidden@a/#hidden\r\n", "", ", Location …\"@a/\"…"),
        ("302 Found", "", "", ""),
        ("403 x", "Location: /b\r\nWWW-Authenticate: Basic\r\n", "", ""),
        (
            "401 Unauthorized",
            "WWW-Authenticate: Basic realm=\"hidden\"\r\nwww-authenticate: Bearer\r\n",
            "",
            ", authentication by \"Basic\" or \"Bearer\"",
        ),
        (
            "401 x",
            "WWW-Authenticate: Basic realm=\"hidden, Not\", charset=\"UTF-8\", Bearer x = y, , DPoP\r\n",
            "",
            ", authentication by \"Basic\" or \"Bearer\" or \"DPoP\"",
        ),
        ("401 x", "WWW-Authenticate: \r\n", "", ""),
        ("407 x", "Proxy-Authenticate: NTLM\r\n", "", ", authentication by \"NTLM\""),
    ] {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
        let mut client = asking(&ClientRequest::new("example.com", "/"), Options::new());
        let _ = client.inbound.receive(answer.as_bytes());
        let Next::Event(Event::Refused(response)) = client.next(|| AT(0)) else {
            panic!("{answer}")
        };
        let status = &status[..status.len().min(104)];
        assert_eq!(common::shown(&response), format!("status {status}{shown}"));
    }
    // Of a body that is cut inside a character, what is whole; of one that is no text, nothing.
    for (body, max, shown) in
        [(&b"h\xc3\xa9h\xc3\xa9"[..], 5, ": \"héh\""), (b"\xff\xfe", 9, ""), (b"ab\xffc", 9, "")]
    {
        let head = format!("HTTP/1.1 500 x\r\nContent-Length: {}\r\n\r\n", body.len());
        let options = Options::new().max_body(max);
        let mut client = asking(&ClientRequest::new("example.com", "/"), options);
        let _ = client.inbound.receive(&[head.as_bytes(), body].concat());
        let Next::Event(Event::Refused(response)) = client.next(|| AT(0)) else { panic!("{head}") };
        assert_eq!(common::shown(&response), format!("status 500 x{shown}"));
    }
}

// RFC 7692 §7.1
#[cfg(feature = "zlib-rs")]
#[test]
fn a_client_refuses_parameters_of_compression_that_are_not_valid() {
    for (parameter, error) in [
        ("; server_max_window_bits=16", InvalidDeflateParameter),
        ("; x", InvalidDeflateParameter),
        (", permessage-deflate", RepeatedDeflate),
    ] {
        let compression = ws_core::endpoint::Compression::default();
        let options = Options::new().deflate(compression);
        let mut client = asking(&ClientRequest::new("example.com", "/"), options);
        let field = format!("\r\nSec-WebSocket-Extensions: permessage-deflate{parameter}\r\n\r\n");
        let answer = RESPONSE.replace("\r\n\r\n", &field);
        assert_eq!(feed(&mut client, answer.as_bytes()), [failed(error)], "{parameter}");
    }
}
