//! Connecting through a proxy.

mod common;
#[path = "common/proxy.rs"]
mod proxy;

use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr, TcpListener};
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
            "the proxy does not speak SOCKS5: it answers with 0x48",
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
        (Protocol::Http, b"x\r\n\r\n", ErrorKind::InvalidData),
        (Protocol::Socks5, b"\x05", ErrorKind::UnexpectedEof),
        (Protocol::Socks5, b"\x05\x07", ErrorKind::InvalidData),
        (Protocol::Socks5, b"\x05\xff", ErrorKind::ConnectionRefused),
    ] {
        let error = std::io::Error::from(Error::from(answered(protocol, answer)));
        assert_eq!(error.kind(), kind, "{answer:?}");
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
