//! Connecting through a proxy.

mod common;
#[path = "common/proxy.rs"]
mod proxy;

use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use common::*;
use proxy::*;
use ws_std::{
    CloseCode, CloseInfo, Connector, Deadline, Error, Listener, Message, OpenError, ProxyError,
    UrlError,
};

/// A name that no resolver knows: only the proxy can.
const NAME: &str = "server.invalid";

fn echo_server() -> (SocketAddr, JoinHandle<CloseInfo>) {
    serve(Listener::builder(), |incoming| echo(&mut incoming.accept().unwrap()).unwrap())
}

/// The error of connecting through a proxy.
fn error(proxy: &str, url: &str) -> Error {
    let connector = Connector::builder().proxy(proxy);
    let url = url.to_owned();
    within(move || connector.connect(&url).unwrap_err())
}

/// What comes of a proxy that says this; it has the client's bytes to their end.
fn answered(protocol: Protocol, answer: &'static [u8]) -> ProxyError {
    let (url, server) = play(move |mut raw| {
        raw.write(answer);
        // A client that needs no more than that may be gone by now.
        let _ = raw.stream.shutdown(Shutdown::Write);
        let _ = raw.read_to_the_end();
    });
    let error = error(&protocol.url(&url), "ws://server.invalid/");
    finish(server);
    match error {
        Error::Proxy(error) => *error,
        error => panic!("{error:?}"),
    }
}

#[test]
fn echo_through_a_proxy_that_resolves_the_name() {
    for protocol in BOTH {
        for login in [false, true] {
            for host in [NAME, "127.0.0.1"] {
                let (address, server) = echo_server();
                let (proxy, tunnel) = proxy(protocol, login, address);
                let proxy = if login { proxy.replace("//", "//user:%70ass@") } else { proxy };
                let url = format!("ws://{host}:7/chat");
                within(move || {
                    let mut ws = Connector::builder().proxy(&proxy).connect(&url).unwrap();
                    for text in ["hello".to_owned(), "a".repeat(100_000)] {
                        ws.send(text.clone()).unwrap();
                        assert_eq!(ws.read().unwrap(), Some(Message::from(text)));
                    }
                    ws.close(Some(CloseCode::NORMAL), "bye").unwrap();
                });
                assert_eq!(finish(tunnel), format!("{host}:7"), "{protocol:?}");
                assert_eq!(finish(server).reason, "bye");
            }
        }
    }
}

#[test]
fn credentials_that_are_missing_or_wrong_are_an_error_of_their_own() {
    for user in ["", "user:wrong@"] {
        for protocol in BOTH {
            let nowhere = "127.0.0.1:1".parse().unwrap();
            let (proxy, tunnel) = proxy(protocol, true, nowhere);
            let error = error(&proxy.replace("//", &format!("//{user}")), "ws://server.invalid/");
            finish(tunnel);
            let text = format!("{error} {error:?}");
            assert!(!text.contains("wrong"), "{text}");
            assert!(!error.is_transient());
            let Error::Proxy(error) = error else { panic!("{error:?}") };
            match (protocol, *error) {
                (Protocol::Http, ProxyError::AuthenticationRequired { schemes }) => {
                    assert_eq!(schemes.as_bytes(), b"Basic");
                }
                (Protocol::Socks5, ProxyError::NoAcceptableMethod) if user.is_empty() => {}
                (Protocol::Socks5, ProxyError::CredentialsRefused) if !user.is_empty() => {}
                (_, error) => panic!("{error:?}"),
            }
        }
    }
}

#[test]
fn a_refusal_is_told_with_what_the_proxy_says() {
    for (protocol, answer, text, transient) in [
        (
            Protocol::Http,
            &b"HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nno \x1b[31m"[..],
            "the proxy refused: status 403 Forbidden, no \\x1b[31m",
            false,
        ),
        (
            Protocol::Http,
            b"HTTP/1.0 502 Bad\r\n\r\nno such host",
            "the proxy refused: status 502 Bad, no such host",
            true,
        ),
        (
            Protocol::Socks5,
            b"\x05\x00\x05\x02\x00\x01\0\0\0\0\0\0",
            "the SOCKS5 proxy refused: the connection is not allowed by its rules (RFC 1928 §6, code 2)",
            false,
        ),
        (
            Protocol::Socks5,
            b"\x05\x00\x05\x04\x00\x01\0\0\0\0\0\0",
            "the SOCKS5 proxy refused: the host is unreachable (RFC 1928 §6, code 4)",
            true,
        ),
        (
            Protocol::Socks5,
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "the proxy does not speak SOCKS5: it answers with 0x48; is it an HTTP proxy?",
            false,
        ),
        (
            Protocol::Http,
            b"\x05\xff",
            "the proxy does not speak HTTP: its answer begins with \\x05; is it a SOCKS proxy?",
            false,
        ),
        (Protocol::Http, b"", "the proxy ended the connection before it answered", true),
    ] {
        let error = Error::from(answered(protocol, answer));
        assert_eq!(error.to_string(), text);
        assert_eq!(error.is_transient(), transient, "{text}");
    }
}

#[test]
fn errors_of_a_proxy_become_those_of_a_stream() {
    for (protocol, answer, kind) in [
        (Protocol::Http, &b"HTTP/1.1 403 x\r\n\r\n"[..], ErrorKind::ConnectionRefused),
        (Protocol::Http, b"HTTP/1.1 407 x\r\n\r\n", ErrorKind::ConnectionRefused),
        (Protocol::Http, b"x", ErrorKind::InvalidData),
        (Protocol::Http, b"HTTP/x\r\n\r\n", ErrorKind::InvalidData),
        (Protocol::Socks5, b"\x05", ErrorKind::UnexpectedEof),
        (Protocol::Socks5, b"\x05\x07", ErrorKind::InvalidData),
        (Protocol::Socks5, b"\x05\xff", ErrorKind::ConnectionRefused),
    ] {
        let error = std::io::Error::from(Error::from(answered(protocol, answer)));
        assert_eq!(error.kind(), kind, "{answer:?}");
    }
}

// Proxies wait for more when they are asked by the wrong protocol; the client does not wait for them.
#[test]
fn a_proxy_of_another_protocol_is_told_at_once() {
    for (protocol, answer) in [
        (Protocol::Http, &b"\x05\xff"[..]),
        (Protocol::Http, b"\x15\x03\x01\x00\x02\x02\x46"),
        (Protocol::Socks5, b"HTTP/1.1 400 Bad Request\r\n"),
        (Protocol::Socks5, b"\x15\x03\x01\x00\x02\x02\x46"),
    ] {
        let (url, server) = play(move |mut raw| {
            raw.write(answer);
            let _ = raw.read_to_the_end();
        });
        let connector = Connector::builder().proxy(&protocol.url(&url)).handshake_timeout(None);
        let error = within(move || connector.connect("ws://server.invalid/").unwrap_err());
        let Error::Proxy(found) = &error else { panic!("{error:?}") };
        assert!(matches!(**found, ProxyError::NotHttp(_) | ProxyError::NotSocks5(_)), "{found:?}");
        assert!(!error.is_transient());
        finish(server);
    }
}

#[test]
fn a_trace_shows_the_handshake_with_a_proxy_without_credentials() {
    for (protocol, expected) in [
        (
            Protocol::Http,
            &[
                "> CONNECT server.invalid:7 HTTP/1.1\n> Host: server.invalid:7\n\
                 > Proxy-Authorization: Basic ***",
                "< HTTP/1.1 200 OK\n< Content-Length: 7",
            ][..],
        ),
        (
            Protocol::Socks5,
            &[
                "> SOCKS5, 4 bytes: 05020002",
                "< SOCKS5, 2 bytes: 0502",
                "> SOCKS5, user and password",
                "< SOCKS5, 2 bytes: 0100",
                "> SOCKS5, 21 bytes: 050100030e7365727665722e696e76616c69640007",
                "< SOCKS5, 11 bytes: 05000003046865726500",
            ],
        ),
    ] {
        let (address, server) = echo_server();
        let (proxy, tunnel) = proxy(protocol, true, address);
        let proxy_address = proxy.split_once("//").unwrap().1.parse().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = lines.clone();
        let connector =
            Connector::builder().proxy(&proxy.replace("//", "//user:pass@")).trace(move |trace| {
                assert_eq!(trace.peer, Some(proxy_address));
                log.lock().unwrap().push(trace.to_string());
            });
        within(move || {
            let mut ws = connector.connect(&format!("ws://{NAME}:7/")).unwrap();
            ws.close(CloseCode::NORMAL, "").unwrap();
        });
        finish(tunnel);
        finish(server);
        let lines = lines.lock().unwrap().clone();
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "{line}");
        }
        assert!(lines[expected.len()].starts_with("> GET / HTTP/1.1\n"), "{lines:?}");
        assert!(!lines.concat().contains("dXNlcjpwYXNz") && !lines.concat().contains("75736572"));
    }
    // What is refused is shown, too.
    for (protocol, answer, expected) in [
        (Protocol::Http, &b"HTTP/1.1 403 No\r\nA: b\r\n\r\nbody"[..], "< HTTP/1.1 403 No\n< A: b"),
        (Protocol::Socks5, b"\x05\xff", "< SOCKS5, 2 bytes: 05ff"),
    ] {
        let (url, server) = play(move |mut raw| {
            raw.write(answer);
            raw.shutdown();
            let _ = raw.read_to_the_end();
        });
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = lines.clone();
        let connector = Connector::builder()
            .proxy(&protocol.url(&url))
            .trace(move |trace| log.lock().unwrap().push(trace.to_string()));
        within(move || connector.connect("ws://server.invalid/").unwrap_err());
        finish(server);
        assert_eq!(lines.lock().unwrap()[1..], [expected]);
    }
}

#[test]
fn a_proxy_that_cannot_be_reached_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for scheme in ["http", "socks5h"] {
        let error = error(&format!("{scheme}://{address}"), "ws://server.invalid/");
        let Error::Io(error) = error else { panic!("{error:?}") };
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().starts_with(&format!("proxy {address}")), "{error}");
    }
}

#[test]
fn the_deadline_covers_a_proxy_that_is_silent_or_does_not_end() {
    for (protocol, answer) in [
        (Protocol::Http, &b""[..]),
        (Protocol::Http, b"HTTP/1.1 200 OK\r\n"),
        (Protocol::Socks5, b""),
        (Protocol::Socks5, b"\x05"),
        (Protocol::Socks5, b"\x05\x00\x05\x00\x00\x03\xffa"),
    ] {
        let (url, server) = play(move |mut raw| {
            raw.write(answer);
            let _ = raw.read_to_the_end();
        });
        let connector = Connector::builder()
            .proxy(&protocol.url(&url))
            .handshake_timeout(Some(Duration::from_millis(300)));
        let error = within(move || connector.connect("ws://server.invalid/").unwrap_err());
        assert!(matches!(error, Error::Timeout(Deadline::Handshake)), "{error:?}");
        finish(server);
    }
}

// What is known when the time is over is told.
#[test]
fn a_refusal_whose_body_does_not_end_is_told_at_the_deadline() {
    let (url, server) = play(|mut raw| {
        raw.write(b"HTTP/1.1 503 x\r\nContent-Length: 90\r\n\r\nbusy");
        let _ = raw.read_to_the_end();
    });
    let connector = Connector::builder()
        .proxy(&Protocol::Http.url(&url))
        .handshake_timeout(Some(Duration::from_millis(300)));
    let error = within(move || connector.connect("ws://server.invalid/").unwrap_err());
    assert_eq!(error.to_string(), "the proxy refused: status 503 x, busy");
    finish(server);
}

// Bytes right behind the proxy's answer are the server's.
#[test]
fn no_byte_of_the_tunnel_is_lost() {
    for protocol in BOTH {
        let (url, server) = play(move |mut raw| {
            let reply: &[u8] = match protocol {
                Protocol::Http => b"HTTP/1.1 200 OK\r\n\r\n",
                Protocol::Socks5 => b"\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0",
            };
            // A server that refuses before it is asked.
            let refusal = b"HTTP/1.1 429 Slow\r\nContent-Length: 4\r\n\r\nwait";
            raw.write(&[reply, refusal].concat());
            let _ = raw.read_to_the_end();
        });
        let error = error(&protocol.url(&url), "ws://server.invalid/");
        let Error::Refused(response) = error else { panic!("{error:?}") };
        assert_eq!((response.status(), response.body()), (429, &b"wait"[..]));
        finish(server);
    }
}

#[test]
fn what_is_wrong_comes_up_before_the_proxy_is_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let long = "a".repeat(256);
    for (proxy, expected) in [
        (format!("https://{address}"), UrlError::ProxyScheme),
        (address.to_string(), UrlError::ProxyScheme),
        (format!("http://{address}/path"), UrlError::Proxy),
    ] {
        let error = error(&proxy, "ws://h/");
        assert!(matches!(error, Error::Url(found) if found == expected), "{error:?}");
    }
    for (proxy, url, expected) in [
        (format!("socks5://user@{address}"), "ws://h/", OpenError::InvalidCredentials),
        (format!("socks5://{long}:p@{address}"), "ws://h/", OpenError::InvalidCredentials),
        (format!("http://us%3Aer:p@{address}"), "ws://h/", OpenError::InvalidCredentials),
        (format!("http://user:p%0D%0A@{address}"), "ws://h/", OpenError::InvalidCredentials),
        (format!("http://{address}"), &*format!("ws://{long}/"), OpenError::InvalidHost),
    ] {
        let error = error(&proxy, url);
        assert!(matches!(error, Error::Open(found) if found == expected), "{error:?}");
    }
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn debug_shows_the_proxy_without_credentials() {
    let connector = Connector::builder().proxy("socks5://hidden:hidden@proxy.example:9050");
    for shown in [format!("{connector:?}"), format!("{connector:#?}")] {
        assert!(shown.contains("proxy.example") && shown.contains("9050"), "{shown}");
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
