//! The client against servers that are played byte by byte.

mod common;

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use ws_std::ws_core::handshake::{HandshakeError, OpenError};
use ws_std::{
    CloseCode, Config, Connector, Deadline, Error, Message, UrlError, WebSocket, connect,
};

/// Connects with one subprotocol on offer.
fn offer(url: &str) -> ws_std::Result<WebSocket> {
    Connector::builder().protocols(["chat"]).connect(url)
}

#[test]
fn client_reports_a_refused_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = within(move || connect(&url)).unwrap_err();
    let Error::Io(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

// RFC 6455 §4.1, §7.1.7
#[test]
fn client_fails_on_every_bad_101_and_sends_nothing_more() {
    use HandshakeError::*;
    type Change = fn(String) -> String;
    let cases: [(Change, HandshakeError); 13] = [
        (|s| s.replace("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: A"), WrongAccept),
        (|s| s.replace("Sec-WebSocket-Accept", "X"), MissingAccept),
        (|s| s.replace("\r\n\r\n", "\r\nSec-WebSocket-Accept: x\r\n\r\n"), RepeatedAccept),
        (|s| s.replace("Upgrade: websocket\r\n", ""), ResponseUpgrade),
        (|s| s.replace("Upgrade: websocket\r\n", "Upgrade: h2c\r\n"), ResponseUpgrade),
        (|s| s.replace("Connection: Upgrade\r\n", ""), ResponseConnection),
        (|s| s.replace("Connection: Upgrade", "Connection: close"), ResponseConnection),
        (|s| s.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: x\r\n\r\n"), UnofferedSubprotocol),
        (
            |s| s.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: CHAT\r\n\r\n"),
            UnofferedSubprotocol,
        ),
        (
            |s| s.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            UnofferedExtension,
        ),
        (|s| s.replace("HTTP/1.1", "HTTP/1.0"), UnsupportedResponseVersion),
        (|s| s.replace("Upgrade: websocket\r\n", "Upgrade: websocket\n"), BareLf),
        (|s| s.replace("Connection:", "Connection :"), InvalidFieldName),
    ];
    for (change, expected) in cases {
        let (url, server) = play(move |mut raw| {
            let response = change(answer(&raw.head()));
            raw.write(response.as_bytes());
            // The connection is kept open: the client must not wait for its end.
            raw.read_to_the_end()
        });
        let begun = Instant::now();
        let error = within(move || offer(&url)).unwrap_err();
        assert!(matches!(&error, Error::Handshake(found) if found.error == expected), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(4), "the failure is told at once");
        assert_eq!(finish(server).unwrap(), b"", "{expected:?}");
    }
}

#[test]
fn client_gets_the_status_headers_and_body_of_a_refusal() {
    let (url, server) = play(|mut raw| {
        raw.head();
        raw.write(
            b"HTTP/1.1 401 Who are you\r\nWWW-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nsign",
        );
        raw.read_to_the_end()
    });
    let error = within(move || offer(&url)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server refused: status 401 Who are you, authentication by \"Basic\": \"sign\""
    );
    let Error::Refused(response) = error else { panic!("{error:?}") };
    assert_eq!(response.status(), 401);
    assert_eq!(response.header("www-authenticate"), Some("Basic"));
    assert_eq!(response.body(), b"sign");
    assert_eq!(finish(server).unwrap(), b"");
}

#[test]
fn client_keeps_a_bounded_part_of_an_endless_refusal() {
    let (url, server) = play(|mut raw| {
        raw.head();
        raw.write(b"HTTP/1.1 503 Busy\r\n\r\n");
        // Until the client has had enough.
        while raw.stream.write(&[b'x'; 4096]).is_ok() {}
    });
    let error = within(move || offer(&url)).unwrap_err();
    let Error::Refused(response) = error else { panic!("{error:?}") };
    assert_eq!(response.body(), [b'x'; 64 * 1024]);
    finish(server);
}

#[test]
fn client_does_not_follow_redirects() {
    let (url, server) = play(|mut raw| {
        raw.head();
        raw.write(
            b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        );
        raw.read_to_the_end()
    });
    let error = within(move || offer(&url)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server refused: status 302 Found, Location \"ws://127.0.0.1:1/\""
    );
    let Error::Refused(response) = error else { panic!("{error:?}") };
    assert_eq!((response.status(), response.header("location")), (302, Some("ws://127.0.0.1:1/")));
    assert_eq!(finish(server).unwrap(), b"");
}

#[test]
fn client_handshake_deadline_covers_the_whole_handshake() {
    // A server that never answers, and one that always gives one more byte.
    for slow in [false, true] {
        let (url, server) = play(move |mut raw| {
            raw.head();
            let head = format!("HTTP/1.1 101 Switching Protocols\r\nX: {}", "y".repeat(10_000));
            for byte in head.bytes() {
                if !slow || raw.stream.write_all(&[byte]).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
            let _ = raw.read_to_the_end();
        });
        let begun = Instant::now();
        let timeout = Duration::from_millis(500);
        let client = Connector::builder().handshake_timeout(Some(timeout));
        let error = within(move || client.connect(&url)).unwrap_err();
        assert!(matches!(error, Error::Timeout(Deadline::Handshake)), "{error:?}");
        assert!(begun.elapsed() >= timeout);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        finish(server);
    }
}

#[test]
fn client_opens_whatever_the_chunks_of_the_answer() {
    let (url, server) = play(|mut raw| {
        for byte in answer(&raw.head()).into_bytes() {
            raw.write(&[byte]);
        }
        raw.write(&frame(CLOSE, &close(1000, ""), None));
        raw.frame()
    });
    let mut ws = within(move || connect(&url)).unwrap();
    assert_eq!(ws.read().unwrap(), None);
    assert_eq!(finish(server).payload, close(1000, ""));
}

#[test]
fn client_reports_a_server_that_does_not_speak_http() {
    let (url, server) = play(|mut raw| {
        raw.write(b"220 mail.example.com ESMTP\r\n");
        raw.read_to_the_end().map(|request| request.starts_with(b"GET / HTTP/1.1\r\n"))
    });
    let error = within(move || offer(&url)).unwrap_err();
    assert!(!error.is_transient(), "it would happen again");
    let Error::Handshake(found) = error else { panic!("{error:?}") };
    assert_eq!(found.error, HandshakeError::NotHttp);
    assert_eq!(
        found.to_string(),
        "the peer does not speak HTTP (RFC 9112 §2.1): it begins with \"220 mail.example.com ESM\""
    );
    assert!(finish(server).unwrap());
}

#[test]
fn client_reports_an_end_in_the_middle_of_the_answer() {
    for part in ["", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso"] {
        let (url, server) = play(move |mut raw| {
            raw.head();
            raw.write(part.as_bytes());
        });
        let error = within(move || offer(&url)).unwrap_err();
        assert!(matches!(error, Error::HandshakeEof), "{error:?}");
        finish(server);
    }
}

#[test]
fn client_receives_frames_that_follow_the_101_at_once() {
    let (url, server) = play(|mut raw| {
        let mut bytes = answer(&raw.head()).into_bytes();
        bytes.extend(frame(TEXT, b"one", None));
        bytes.extend(frame(PING, b"two", None));
        bytes.extend(frame(BINARY, b"three", None));
        bytes.extend(frame(CLOSE, &close(1001, "bye"), None));
        raw.write(&bytes);
        (raw.frame(), raw.frame())
    });
    let mut ws = within(move || connect(&url)).unwrap();
    assert_eq!(ws.read().unwrap(), Some(Message::from("one")));
    assert_eq!(ws.read().unwrap(), Some(Message::from(b"three".to_vec())));
    assert_eq!(ws.read().unwrap(), None);
    let info = ws.close_info().unwrap();
    assert_eq!((info.code, &*info.reason), (CloseCode::GOING_AWAY, "bye"));
    assert!(info.clean && !info.by_us);
    let (pong, end) = finish(server);
    assert_eq!((pong.first, pong.payload), (PONG, b"two".to_vec()));
    assert_eq!((end.first, end.payload), (CLOSE, close(1001, "")));
}

// RFC 6455 §4.1
#[test]
fn client_request_on_the_wire_is_exact_and_its_key_fresh() {
    let mut keys = HashSet::new();
    for _ in 0..20 {
        let (url, server) = play(|mut raw| {
            let head = raw.head();
            let response = answer(&head)
                .replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: b.example\r\nX-Id: 7\r\n\r\n");
            raw.write(response.as_bytes());
            raw.write(&frame(CLOSE, &[], None));
            raw.frame();
            head
        });
        let client = Connector::builder()
            .protocols(["a", "b.example"])
            .origin("https://example.com")
            .header("Authorization", "Bearer x")
            .header("Cookie", "a=b; c=d");
        let to = format!("{url}/a%20b?c=d");
        let mut ws = within(move || client.connect(&to)).unwrap();
        assert_eq!(ws.subprotocol(), Some("b.example"));
        assert_eq!(ws.response().unwrap().header("x-id"), Some("7"));
        assert_eq!(ws.response().unwrap().status(), 101);
        assert!(ws.request().is_none());
        assert_eq!(ws.read().unwrap(), None);
        drop(ws);
        let head = finish(server);
        let key = field(&head, "Sec-WebSocket-Key").unwrap().to_owned();
        let host = url.strip_prefix("ws://").unwrap();
        assert_eq!(
            head,
            format!(
                "GET /a%20b?c=d HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
                 Origin: https://example.com\r\nSec-WebSocket-Protocol: a, b.example\r\n\
                 Authorization: Bearer x\r\nCookie: a=b; c=d\r\n\r\n"
            )
        );
        assert_eq!(key.len(), 24);
        assert!(keys.insert(key));
    }
}

#[test]
fn client_refuses_an_invalid_request_before_it_connects() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    for (builder, expected) in [
        (Connector::builder().header("X", "a\r\nY: b"), OpenError::InvalidHeaderValue),
        (Connector::builder().header("X", "a\nb"), OpenError::InvalidHeaderValue),
        (Connector::builder().header("X", "a\0b"), OpenError::InvalidHeaderValue),
        (Connector::builder().header("X\r\nY", "b"), OpenError::InvalidHeaderName),
        (Connector::builder().header("", "b"), OpenError::InvalidHeaderName),
        (
            Connector::builder().header("Sec-WebSocket-Key", "b"),
            OpenError::ReservedHeader("Sec-WebSocket-*"),
        ),
        (Connector::builder().origin("https://a\r\nX: y"), OpenError::InvalidHeaderValue),
        (Connector::builder().protocols(["a\r\nX: y"]), OpenError::InvalidSubprotocol),
        (Connector::builder().protocols(["a", "a"]), OpenError::InvalidSubprotocol),
    ] {
        let error = builder.connect(&url).unwrap_err();
        assert!(
            matches!(error, Error::Open(found) if found == expected),
            "{error:?}, not {expected:?}"
        );
    }
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn client_reports_what_is_wrong_with_a_url() {
    for (url, expected) in [
        ("http://127.0.0.1/", UrlError::Scheme),
        #[cfg(not(feature = "rustls"))]
        ("wss://127.0.0.1/", UrlError::Tls),
        ("ws://a@127.0.0.1/", UrlError::UserInfo),
        ("ws:///", UrlError::Host),
        ("ws://127.0.0.1:0/", UrlError::Port),
        ("ws://127.0.0.1/#x", UrlError::Fragment),
        ("ws://127.0.0.1/\r\nX: y", UrlError::Path),
    ] {
        let error = connect(url).unwrap_err();
        assert!(matches!(error, Error::Url(found) if found == expected), "{error:?}");
        assert_eq!(error.to_string(), expected.to_string());
    }
}

// RFC 6455 §5.3
#[test]
fn client_mask_key_fresh_per_frame() {
    const COUNT: usize = 1000;
    let (url, server) = play(|mut raw| {
        let response = answer(&raw.head());
        raw.write(response.as_bytes());
        (0..COUNT)
            .map(|_| {
                let frame = raw.frame();
                assert_eq!(frame.payload, b"same");
                frame.key.expect("a masked frame")
            })
            .collect::<Vec<_>>()
    });
    let mut ws = within(move || connect(&url)).unwrap();
    for _ in 0..COUNT {
        ws.queue("same").unwrap();
    }
    ws.flush().unwrap();
    let keys = finish(server);
    // Two of a thousand random keys are the same in one of 8,000 runs, three never.
    let distinct: HashSet<_> = keys.iter().collect();
    assert!(distinct.len() >= COUNT - 2, "{}", distinct.len());
    for place in 0..4 {
        let bytes: HashSet<_> = keys.iter().map(|key| key[place]).collect();
        assert!(bytes.len() > 200, "byte {place} takes {} values", bytes.len());
    }
}

#[test]
fn client_connects_to_an_ipv6_literal() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut raw = accept(&listener);
        let head = raw.head();
        raw.write(answer(&head).as_bytes());
        raw.write(&frame(CLOSE, &[], None));
        raw.frame();
        head
    });
    let mut ws = within(move || connect(&format!("ws://[::1]:{port}/"))).unwrap();
    assert_eq!(ws.peer_addr().unwrap().port(), port);
    assert!(ws.local_addr().unwrap().is_ipv6());
    assert_eq!(ws.read().unwrap(), None);
    drop(ws);
    assert_eq!(field(&finish(server), "Host"), Some(&*format!("[::1]:{port}")));
}

#[test]
fn client_tries_all_addresses_of_a_host_within_one_deadline() {
    // "localhost" may be ::1 first, where nobody listens.
    let (url, server) = play(|mut raw| {
        let response = answer(&raw.head());
        raw.write(response.as_bytes());
        raw.write(&frame(CLOSE, &[], None));
        raw.frame();
    });
    let url = url.replace("127.0.0.1", "localhost");
    let client = Connector::builder().handshake_timeout(Some(Duration::from_secs(20)));
    let mut ws = within(move || client.connect(&url)).unwrap();
    assert_eq!(ws.read().unwrap(), None);
    drop(ws);
    finish(server);
}

// RFC 6455 §7.1.1
#[test]
fn client_waits_for_the_server_to_close_tcp() {
    let (url, server) = play(|mut raw| {
        let response = answer(&raw.head());
        raw.write(response.as_bytes());
        let end = raw.frame();
        raw.write(&frame(CLOSE, &end.payload, None));
        raw.stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let early = raw.stream.read(&mut [0; 1]);
        raw.shutdown();
        raw.stream.set_read_timeout(Some(LONG)).unwrap();
        (end, early.map_err(|error| error.kind()), raw.read_to_the_end().unwrap())
    });
    let mut ws = within(move || connect(&url)).unwrap();
    let info = within(move || ws.close(CloseCode::NORMAL, "done")).unwrap();
    assert_eq!((info.code, &*info.reason), (CloseCode::NORMAL, "done"));
    assert!(info.clean && info.by_us);
    let (end, early, rest) = finish(server);
    assert_eq!((end.first, end.payload), (CLOSE, close(1000, "done")));
    assert!(end.key.is_some());
    let early = early.unwrap_err();
    let is_timeout = matches!(early, ErrorKind::WouldBlock | ErrorKind::TimedOut);
    assert!(is_timeout, "TCP is open: {early}");
    assert_eq!(rest, b"");
}

#[test]
fn client_close_waits_a_bounded_time_for_a_silent_server() {
    let (url, server) = play(|mut raw| {
        let response = answer(&raw.head());
        raw.write(response.as_bytes());
        (raw.frame().payload, raw.read_to_the_end().unwrap())
    });
    let timeout = Duration::from_millis(400);
    let client = Connector::builder().config(Config::new().close_timeout(Some(timeout)));
    let mut ws = within(move || client.connect(&url)).unwrap();
    // The time counts from the Close frame, not from when something was read last.
    thread::sleep(2 * timeout);
    let begun = Instant::now();
    let info = within(move || ws.close(CloseCode::NORMAL, "")).unwrap();
    assert!(begun.elapsed() + RESOLUTION >= timeout, "{:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!((info.code, info.clean, info.by_us), (CloseCode::ABNORMAL, false, true));
    assert_eq!(finish(server), (close(1000, ""), Vec::new()));
}

#[test]
fn client_fails_on_a_masked_frame_from_a_server() {
    let (url, server) = play(|mut raw| {
        let mut bytes = answer(&raw.head()).into_bytes();
        bytes.extend(frame(TEXT, b"kept", None));
        bytes.extend(masked(TEXT, b"bad"));
        raw.write(&bytes);
        (raw.frame().payload, raw.read_to_the_end().unwrap())
    });
    let mut ws = within(move || connect(&url)).unwrap();
    assert_eq!(ws.read().unwrap(), Some(Message::from("kept")));
    let error = within(move || {
        let error = ws.read().unwrap_err();
        assert_eq!(ws.read().unwrap(), None);
        assert!(matches!(ws.send("late"), Err(Error::Send(_))));
        error
    });
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    assert_eq!(finish(server), (close(1002, "masked frame from a server"), Vec::new()));
}

#[test]
fn client_names_a_host_that_does_not_resolve() {
    for timeout in [None, Some(LONG)] {
        let client = Connector::builder().handshake_timeout(timeout);
        let error = within(move || client.connect("ws://no..host/")).unwrap_err();
        assert!(error.to_string().starts_with(r#"the host name "no..host" cannot be "#), "{error}");
        let Error::Resolve { name, .. } = error else { panic!("{error:?}") };
        assert_eq!(name, "no..host");
        let client = Connector::builder().handshake_timeout(timeout).proxy("http://no..proxy");
        let error = within(move || client.connect("ws://no..host/")).unwrap_err();
        assert!(matches!(&error, Error::Resolve { name, .. } if name == "no..proxy"), "{error:?}");
    }
}

// RFC 6874 §3: the zone means something to this machine only.
#[test]
fn client_connects_to_an_address_with_a_zone_and_does_not_send_it() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        eprintln!("skipped: there is no IPv6");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut raw = accept(&listener);
        let head = raw.head();
        raw.write(answer(&head).as_bytes());
        let _ = raw.read_to_the_end();
        head
    });
    let ws = within(move || connect(&format!("ws://[::1%251]:{port}/"))).unwrap();
    drop(ws);
    let head = finish(server);
    assert_eq!(field(&head, "Host"), Some(&*format!("[::1]:{port}")));
    // A proxy does not know it.
    let client = Connector::builder().proxy("http://127.0.0.1:1");
    let error = within(move || client.connect("ws://[fe80::1%25eth0]/")).unwrap_err();
    assert!(matches!(error, Error::Url(UrlError::Zone)), "{error:?}");
}
