//! The server's opening handshake against clients that are played byte by byte.

mod common;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use ws_std::ws_core::handshake::HandshakeError;
use ws_std::{AcceptResponse, Deadline, Error, HttpResponse, Listener, Origins, listen};

// The backlog of the standard library is 128. A client beyond it tries again after a second.
#[cfg(target_os = "linux")]
#[test]
fn hundreds_of_clients_connect_before_the_first_is_accepted() {
    const COUNT: usize = 400;
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    if most.trim().parse::<usize>().unwrap() < COUNT {
        // The output of a test that passes is not shown, unless it is written like this.
        let _ = writeln!(std::io::stderr(), "not run: net.core.somaxconn is {most}");
        return;
    }
    let mut listener = Listener::builder().bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let at_once = Duration::from_millis(900);
    let clients: Vec<_> = (0..COUNT)
        .map(|n| {
            let tcp = TcpStream::connect_timeout(&address, at_once);
            Raw::new(tcp.unwrap_or_else(|error| panic!("client {n}: {error}")))
        })
        .collect();
    // Each is connected on this side, too, and not only its own.
    for client in clients {
        let incoming =
            within(move || (listener.accept().map(|incoming| incoming.peer_addr()), listener));
        listener = incoming.1;
        assert_eq!(incoming.0.unwrap(), client.stream.local_addr().unwrap());
    }
}

#[test]
fn server_tells_the_request_and_opens() {
    let (address, server) = serve(Listener::builder(), |incoming| {
        let peer = incoming.peer_addr();
        let request = incoming.request().unwrap();
        assert_eq!(request.peer_addr().unwrap(), peer);
        assert!(request.is_upgrade());
        assert_eq!((request.method(), request.target()), ("GET", "/chat?x=1"));
        assert_eq!((request.path(), request.host()), ("/chat", Some("example.com")));
        let mut ws = request.accept().unwrap();
        assert_eq!((ws.peer_addr().unwrap(), ws.subprotocol()), (peer, None));
        assert_eq!(ws.request().unwrap().header("host"), Some("example.com"));
        assert!(ws.response().is_none() && ws.is_open() && ws.close_info().is_none());
        (ws.local_addr().unwrap(), echo(&mut ws).unwrap().clean)
    });
    let mut client = Raw::open(address);
    client.write(&masked(TEXT, b"hello"));
    client.expect(TEXT, b"hello");
    client.write(&masked(CLOSE, &close(1000, "bye")));
    client.expect(CLOSE, &close(1000, ""));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    drop(client);
    assert_eq!(finish(server), (address, true));
}

#[test]
fn server_accepts_with_headers_and_a_subprotocol_of_the_callers() {
    let (address, server) = serve(Listener::builder(), |incoming| {
        let request = incoming.request().unwrap();
        assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["a", "b"]);
        let headers = &[("Set-Cookie", "id=1")];
        let answer = AcceptResponse::new().subprotocol("b").headers(headers);
        request.accept_with(&answer).unwrap().subprotocol().map(str::to_owned)
    });
    let mut client = Raw::connect(address);
    client.write(REQUEST.replace("Host:", "Sec-WebSocket-Protocol: a, b\r\nHost:").as_bytes());
    let head = client.head();
    assert_eq!(field(&head, "Sec-WebSocket-Protocol"), Some("b"));
    assert_eq!(field(&head, "Set-Cookie"), Some("id=1"));
    assert_eq!(finish(server).as_deref(), Some("b"));
}

#[test]
fn server_chooses_its_preferred_subprotocol_among_those_offered() {
    for (offered, chosen) in [("a, b", Some("b")), ("a", Some("a")), ("c", None)] {
        let builder = Listener::builder().protocols(["b", "a"]);
        let (address, server) =
            serve(builder, |incoming| incoming.accept().unwrap().subprotocol().map(str::to_owned));
        let mut client = Raw::connect(address);
        let offer = format!("Sec-WebSocket-Protocol: {offered}\r\nHost:");
        client.write(REQUEST.replace("Host:", &offer).as_bytes());
        assert_eq!(field(&client.head(), "Sec-WebSocket-Protocol"), chosen);
        assert_eq!(finish(server).as_deref(), chosen);
    }
}

/// What a client gets for `bytes` when `handler` answers, to the orderly end of the connection.
fn answered(
    bytes: &[u8],
    handler: impl FnOnce(ws_std::Incoming) -> ws_std::Result<()> + Send + 'static,
) -> (String, ws_std::Result<()>) {
    let (address, server) = serve(Listener::builder(), handler);
    let mut client = Raw::connect(address);
    client.write(bytes);
    let response = String::from_utf8(client.read_to_the_end().unwrap()).unwrap();
    drop(client);
    (response, finish(server))
}

#[test]
fn server_rejects_with_a_status() {
    let (response, result) =
        answered(REQUEST.as_bytes(), |incoming| incoming.request()?.reject(404));
    result.unwrap();
    assert!(response.starts_with("HTTP/1.1 404 Not Found\r\n"), "{response}");
    assert_eq!(field(&response, "Connection"), Some("close"));
    assert_eq!(field(&response, "Content-Length"), Some("0"));
    assert!(response.ends_with("\r\n\r\n"));
}

#[test]
fn server_serves_a_page_on_the_same_port() {
    let (response, result) = answered(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n", |incoming| {
        let request = incoming.request()?;
        assert!(!request.is_upgrade());
        assert_eq!(request.path(), "/page");
        let headers = &[("Content-Type", "text/plain")];
        request.http(&HttpResponse::new(200).headers(headers).body(b"hello"))
    });
    result.unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert_eq!(field(&response, "Content-Length"), Some("5"));
    assert!(response.ends_with("\r\n\r\nhello"));
}

#[test]
fn server_answers_500_for_an_invalid_answer_of_the_caller() {
    type Handler = fn(ws_std::Incoming) -> ws_std::Result<()>;
    let handlers: [Handler; 3] = [
        |incoming| {
            let answer = AcceptResponse::new().subprotocol("x");
            incoming.request()?.accept_with(&answer).map(drop)
        },
        |incoming| incoming.request()?.reject(101),
        |incoming| {
            let headers = &[("X", "a\r\nY: b")];
            incoming.request()?.http(&HttpResponse::new(200).headers(headers))
        },
    ];
    for handler in handlers {
        let (response, result) = answered(REQUEST.as_bytes(), handler);
        assert!(matches!(result, Err(Error::Open(_))), "{result:?}");
        assert!(response.starts_with("HTTP/1.1 500 "), "{response}");
    }
}

#[test]
fn server_answers_plain_http_with_426_when_it_only_accepts() {
    let (response, result) =
        answered(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", |incoming| incoming.accept().map(drop));
    assert!(matches!(result, Err(Error::NotAnUpgrade(_))), "{result:?}");
    assert!(response.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{response}");
    assert_eq!(field(&response, "Sec-WebSocket-Version"), Some("13"));
    assert_eq!(field(&response, "Upgrade"), Some("websocket"));
}

// RFC 6455 §4.2.1, §4.4
#[test]
fn server_answers_bad_requests_with_the_fitting_status_and_fin() {
    use HandshakeError::*;
    let with = |from: &str, to: &str| REQUEST.replace(from, to);
    let cases = [
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400, MissingKey),
        (with("Host:", "Host : x\r\nHost:"), 400, InvalidFieldName),
        (with("Host:", "Content-Length: 5\r\nHost:"), 400, RequestBody),
        (with("Host:", "Origin: https://evil.example\r\nHost:"), 403, OriginNotAllowed),
        (with("GET", "POST"), 405, MethodNotAllowed),
        (with("/chat", &format!("/{}", "x".repeat(20_000))), 414, RequestLineTooLong),
        (with("Version: 13", "Version: 8"), 426, UnsupportedVersion),
        (with("Host:", &format!("X: {}\r\nHost:", "x".repeat(20_000))), 431, HeadTooLarge),
        (with("Host:", &format!("{}Host:", "X: y\r\n".repeat(100))), 431, TooManyFields),
        (with("HTTP/1.1", "HTTP/2.0"), 505, UnsupportedHttpVersion),
    ];
    for (request, status, expected) in cases {
        // Also to a client that does not stop sending: by FIN, not by RST.
        for more in [0, 4 << 20] {
            let (address, server) =
                serve(Listener::builder(), |incoming| incoming.request().map(drop));
            let mut client = Raw::connect(address);
            client.write(request.as_bytes());
            client.write(&vec![b'x'; more]);
            let response = String::from_utf8(client.read_to_the_end().unwrap()).unwrap();
            drop(client);
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
            assert_eq!(
                field(&response, "Connection"),
                Some(if status == 426 { "Upgrade, close" } else { "close" }),
                "{response}"
            );
            let error = finish(server).unwrap_err();
            assert!(
                matches!(&error, Error::Handshake(found) if found.error == expected),
                "{error:?}"
            );
        }
    }
}

#[test]
fn server_admits_the_origins_that_it_was_told() {
    for (origins, origin, status) in [
        (Origins::Same, "http://example.com", 101),
        (Origins::Same, "http://other.example", 403),
        (Origins::List(vec!["https://other.example".into()]), "https://other.example", 101),
        (Origins::Any, "null", 101),
    ] {
        let builder = Listener::builder().origins(origins);
        let (address, server) = serve(builder, |incoming| incoming.accept().map(drop));
        let mut client = Raw::connect(address);
        client.write(REQUEST.replace("Host:", &format!("Origin: {origin}\r\nHost:")).as_bytes());
        assert!(client.head().starts_with(&format!("HTTP/1.1 {status} ")), "{origin}");
        drop(client);
        assert_eq!(finish(server).is_ok(), status == 101);
    }
}

#[test]
fn a_slow_client_does_not_block_the_accept_loop() {
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let handlers = listener.take(3).map(|incoming| {
            let incoming = incoming.unwrap();
            thread::spawn(move || echo(&mut incoming.accept()?).map(|info| info.clean))
        });
        handlers.collect::<Vec<_>>()
    });
    let silent = Raw::connect(address);
    let mut slow = Raw::connect(address);
    slow.write(b"GET / HT");
    let mut client = Raw::open(address);
    client.write(&masked(CLOSE, b""));
    client.expect(CLOSE, b"");
    drop((silent, slow, client));
    let results: Vec<_> = finish(server).into_iter().map(finish).collect();
    assert!(matches!(results[0], Err(Error::HandshakeEof)), "{results:?}");
    assert!(matches!(results[1], Err(Error::HandshakeEof)), "{results:?}");
    assert!(matches!(results[2], Ok(true)), "{results:?}");
}

#[test]
fn server_handshake_deadline_covers_the_whole_request() {
    for slow in [false, true] {
        let timeout = Duration::from_millis(400);
        let builder = Listener::builder().handshake_timeout(Some(timeout));
        let begun = Instant::now();
        let (address, server) = serve(builder, |incoming| incoming.request().map(drop));
        let mut client = Raw::connect(address);
        let head = format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(10_000));
        for byte in head.bytes() {
            if !slow || client.stream.write_all(&[byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let error = finish(server).unwrap_err();
        assert!(matches!(error, Error::Timeout(Deadline::Handshake)), "{error:?}");
        assert!(begun.elapsed() >= timeout);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[test]
fn server_takes_a_head_as_long_as_it_was_told() {
    let builder = Listener::builder().max_head(300_000);
    let (address, server) = serve(builder, |incoming| incoming.accept().map(drop));
    let mut client = Raw::connect(address);
    let long = format!("X: {}\r\nHost:", "x".repeat(250_000));
    client.write(REQUEST.replace("Host:", &long).as_bytes());
    assert_eq!(client.head(), RESPONSE);
    finish(server).unwrap();
}

#[test]
fn server_receives_frames_that_follow_the_request_at_once() {
    let (address, server) =
        serve(Listener::builder(), |incoming| echo(&mut incoming.accept().unwrap()).unwrap());
    let mut client = Raw::connect(address);
    let mut bytes = REQUEST.as_bytes().to_vec();
    bytes.extend(masked(TEXT, b"one"));
    bytes.extend(masked(PING, b"two"));
    bytes.extend(masked(BINARY, &[7; 100_000]));
    bytes.extend(masked(CLOSE, &close(1000, "")));
    client.write(&bytes);
    assert_eq!(client.head(), RESPONSE);
    client.expect(TEXT, b"one");
    client.expect(PONG, b"two");
    client.expect(BINARY, &[7; 100_000]);
    client.expect(CLOSE, &close(1000, ""));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    drop(client);
    assert!(finish(server).clean);
}

#[test]
fn listener_takes_a_socket_that_is_listening() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let listener = Listener::builder().listen_on(tcp);
    assert_eq!(listener.local_addr().unwrap(), address);
    let server = thread::spawn(move || listener.accept().unwrap().accept().map(drop));
    Raw::open(address);
    finish(server).unwrap();
}

#[test]
fn listener_reports_an_address_in_use() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let error = listen(address).unwrap_err();
    let Error::Io(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("{address}: ")), "{error}");
}
