//! What a program is told when the opening handshake fails: the cause, what was seen, and what to change.

mod common;

use std::io::Write;
use std::time::Duration;

use common::*;
use ws_std::ws_core::handshake::HandshakeError::{self, *};
use ws_std::{
    AcceptResponse, Connector, Error, HandshakeFailure, Incoming, Listener, ListenerBuilder,
    Origins,
};

/// How long a client of these tests would wait for an answer.
const DEADLINE: Duration = Duration::from_secs(60);

/// The error of a client that meets a server which says this, in pieces of this size, and then only waits.
fn met(says: &[u8], piece: usize) -> Error {
    let says = says.to_vec();
    let (url, server) = play(move |mut raw| {
        for piece in says.chunks(piece) {
            // The client may be gone before all is said.
            if raw.stream.write_all(piece).is_err() {
                break;
            }
        }
        let _ = raw.read_to_the_end();
    });
    let client = Connector::builder().protocols(["chat"]).handshake_timeout(Some(DEADLINE));
    let error = within(move || client.connect(&url)).unwrap_err();
    finish(server);
    error
}

// At once, and not to be tried again.
#[test]
fn client_tells_a_server_of_another_protocol_by_its_first_bytes() {
    for (says, rule, text) in [
        (
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            NotHttp,
            "the peer does not speak HTTP (RFC 9112 §2.1): it begins with \"SSH-2.0-OpenSSH_9.2\"",
        ),
        (
            b"\x1b]0;x\x07",
            NotHttp,
            "the peer does not speak HTTP (RFC 9112 §2.1): it begins with \"\\u{1b}\"",
        ),
        (b"\x15\x03\x03\0\x02\x02\x46", TlsResponse, "the peer speaks TLS: wss://?"),
    ] {
        for piece in [1, usize::MAX] {
            let error = met(says, piece);
            assert!(!error.is_transient(), "it would happen again");
            assert_eq!(error.to_string(), format!("not a valid WebSocket handshake: {text}"));
            let Error::Handshake(failure) = error else { panic!("{error:?}") };
            assert_eq!(failure.error, rule);
            assert!(failure.request.is_none() && failure.response.is_none());
        }
    }
}

#[test]
fn client_shows_the_subprotocol_that_it_did_not_offer() {
    let (url, server) = play(|mut raw| {
        let fields = "\r\nSec-WebSocket-Protocol: soap\r\nSet-Cookie: a=hidden\r\n\r\n";
        let response = answer(&raw.head()).replace("\r\n\r\n", fields);
        raw.write(response.as_bytes());
        raw.read_to_the_end().unwrap()
    });
    let client = Connector::builder().protocols(["chat"]);
    let error = within(move || client.connect(&url)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "not a valid WebSocket handshake: subprotocol was not offered (RFC 6455 §4.1): \"soap\""
    );
    assert!(!format!("{error:?}").contains("hidden"));
    let Error::Handshake(failure) = error else { panic!("{error:?}") };
    let response = failure.response.expect("its syntax is right");
    assert_eq!((response.status(), response.header("set-cookie")), (101, Some("a=hidden")));
    assert_eq!(finish(server), b"");
}

// RFC 9112 §6.3
#[test]
fn client_opens_by_a_101_that_speaks_of_a_body() {
    for field in ["Transfer-Encoding: chunked", "Content-Length: 7"] {
        let (url, server) = play(move |mut raw| {
            let response = answer(&raw.head()).replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"));
            raw.write(format!("HTTP/1.1 103 Early Hints\r\n{field}\r\n\r\n{response}").as_bytes());
            raw.write(&frame(TEXT, b"hi", None));
            raw.write(&frame(CLOSE, b"", None));
            raw.frame()
        });
        let mut ws = within(move || ws_std::connect(&url)).unwrap();
        assert_eq!(ws.read().unwrap().unwrap(), "hi");
        assert_eq!(ws.read().unwrap(), None);
        finish(server);
    }
}

/// What a client gets for these bytes from a server that only accepts, and the server's error.
fn refused(builder: ListenerBuilder, bytes: &[u8]) -> (String, Error) {
    let (address, server) = serve(builder, |incoming| incoming.accept().map(drop));
    let mut client = Raw::connect(address);
    client.write(bytes);
    let response = String::from_utf8(client.read_to_the_end().unwrap()).unwrap();
    drop(client);
    (response, finish(server).unwrap_err())
}

#[track_caller]
fn failure(error: Error, rule: HandshakeError) -> HandshakeFailure {
    let Error::Handshake(failure) = error else { panic!("{error:?}") };
    assert_eq!(failure.error, rule);
    *failure
}

#[test]
fn server_tells_a_client_of_another_protocol_by_its_first_bytes() {
    let builder = || Listener::builder().handshake_timeout(Some(DEADLINE));
    let (response, error) = refused(builder(), b"SSH-2.0-OpenSSH_9.2\r\n");
    assert!(response.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{response}");
    assert!(!response.contains("SSH"), "{response}");
    assert!(!error.is_transient());
    let failure_of = failure(error, NotHttp);
    assert!(failure_of.to_string().ends_with("it begins with \"SSH-2.0-OpenSSH_9.2\""));
    let hello = b"\x16\x03\x01\0\xf4\x01\0\0\xf0\x03\x03";
    let (response, error) = refused(builder(), hello);
    assert_eq!(response, "", "nothing that a client of TLS would understand");
    assert_eq!(
        failure(error, TlsRequest).to_string(),
        "the client speaks TLS to a port without TLS (RFC 8446 §5.1)"
    );
}

#[test]
fn server_shows_origin_and_host_of_a_page_from_elsewhere() {
    let request =
        REQUEST.replace("Host:", "Origin: https://chat.example\r\nCookie: hidden\r\nHost:");
    let (response, error) = refused(Listener::builder(), request.as_bytes());
    assert!(response.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{response}");
    assert_eq!(
        error.to_string(),
        "not a valid WebSocket handshake: Origin is not allowed here (RFC 6455 §10.2): Origin is \
         \"https://chat.example\" and Host is \"example.com\"; to admit pages of other origins, set `origins`; a \
         proxy in front of the server must pass Host on unchanged"
    );
    assert!(!format!("{error:?}").contains("hidden"));
    let request = failure(error, OriginNotAllowed).request.expect("its syntax is right");
    assert_eq!((request.path(), request.header("cookie")), ("/chat", Some("hidden")));
}

// RFC 9110 §15.5.20
#[test]
fn server_answers_to_its_hosts_alone() {
    let builder = || Listener::builder().hosts(["localhost", "127.0.0.1"]);
    let rebound = REQUEST
        .replace("example.com", "evil.example:9001")
        .replace("Host:", "Origin: http://evil.example:9001\r\nHost:");
    for request in [&*rebound, "GET /page HTTP/1.1\r\nHost: evil.example:9001\r\n\r\n"] {
        let (response, error) = refused(builder(), request.as_bytes());
        assert!(response.starts_with("HTTP/1.1 421 Misdirected Request\r\n"), "{response}");
        let text = failure(error, HostNotAllowed).to_string();
        assert!(text.contains(": \"evil.example:9001\"; `hosts`"), "{text}");
    }
    let (address, server) = serve(builder(), |incoming| incoming.accept().map(drop));
    let mut client = Raw::connect(address);
    client.write(REQUEST.replace("example.com", &address.to_string()).as_bytes());
    assert_eq!(client.head(), RESPONSE);
    drop(client);
    finish(server).unwrap();
}

// RFC 9110 §7.8: what nginx sends without `proxy_http_version 1.1`.
#[test]
fn server_says_what_to_configure_for_an_upgrade_by_http10() {
    let request = REQUEST.replace("HTTP/1.1", "HTTP/1.0");
    let (response, error) = refused(Listener::builder(), request.as_bytes());
    assert!(response.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{response}");
    assert!(
        response.ends_with(
            "\r\n\r\nThis address speaks WebSocket, which needs HTTP/1.1 all the way.\n"
        ),
        "{response}"
    );
    assert_eq!(
        error.to_string(),
        "an upgrade request of HTTP/1.0, which has no upgrades: the proxy has to use HTTP/1.1 to this server \
         (nginx: proxy_http_version 1.1)"
    );
    let Error::NotAnUpgrade(request) = error else { panic!("{error:?}") };
    assert_eq!((request.minor_version(), request.path()), (0, "/chat"));
    let (response, error) = refused(Listener::builder(), b"GET / HTTP/1.0\r\n\r\n");
    assert!(response.ends_with("\r\n\r\nThis address speaks WebSocket.\n"), "{response}");
    assert_eq!(error.to_string(), "a plain HTTP request, not a WebSocket handshake");
}

#[test]
fn accept_with_keeps_the_negotiated_subprotocol_unless_told_otherwise() {
    type Answer = AcceptResponse<'static>;
    const COOKIE: &[(&str, &str)] = &[("Set-Cookie", "id=1")];
    let new = Answer::new;
    for (answer, offered, chosen) in [
        (new().headers(COOKIE), "a, b", Some("b")),
        (new().headers(COOKIE), "c", None),
        (new().headers(COOKIE).subprotocol("a"), "a, b", Some("a")),
        (new().headers(COOKIE).subprotocol("c"), "a, c", Some("c")),
        (new().headers(COOKIE).subprotocol(None), "a, b", None),
    ] {
        let builder = Listener::builder().protocols(["b", "a"]);
        let (address, server) = serve(builder, move |incoming: Incoming| {
            let ws = incoming.request().unwrap().accept_with(&answer).unwrap();
            ws.subprotocol().map(str::to_owned)
        });
        let mut client = Raw::connect(address);
        let offer = format!("Sec-WebSocket-Protocol: {offered}\r\nHost:");
        client.write(REQUEST.replace("Host:", &offer).as_bytes());
        let head = client.head();
        assert_eq!(field(&head, "Sec-WebSocket-Protocol"), chosen, "{answer:?} {offered}");
        assert_eq!(field(&head, "Set-Cookie"), Some("id=1"));
        assert_eq!(finish(server).as_deref(), chosen);
    }
}

// libsoup sends it: https://gitlab.gnome.org/GNOME/libsoup
#[test]
fn server_takes_an_empty_list_of_subprotocols_for_none() {
    let builder = Listener::builder().protocols(["a"]).origins(Origins::Any);
    let (address, server) =
        serve(builder, |incoming| incoming.accept().unwrap().subprotocol().map(str::to_owned));
    let mut client = Raw::connect(address);
    client.write(REQUEST.replace("Host:", "Sec-WebSocket-Protocol:\r\nHost:").as_bytes());
    assert_eq!(client.head(), RESPONSE);
    assert_eq!(finish(server), None);
}

#[test]
fn query_and_path_of_a_pending_request_are_decoded() {
    let (address, server) = serve(Listener::builder(), |incoming| {
        let request = incoming.request().unwrap();
        let segments: Vec<String> =
            request.path_segments().unwrap().into_iter().map(Into::into).collect();
        let pairs = request.query_pairs().unwrap();
        let room = pairs.into_iter().find(|(name, _)| name == "room").unwrap().1.into_owned();
        let query = request.query().map(str::to_owned);
        request.accept().unwrap();
        (segments, room, query)
    });
    let mut client = Raw::connect(address);
    client.write(REQUEST.replace("/chat?x=1", "/a%20b/c?x=1&room=%C3%A9+1").as_bytes());
    assert_eq!(client.head(), RESPONSE);
    drop(client);
    let (segments, room, query) = finish(server);
    assert_eq!(segments, ["a b", "c"]);
    assert_eq!((&*room, query.as_deref()), ("\u{e9} 1", Some("x=1&room=%C3%A9+1")));
}

// What the peer is told by is up to the application: it becomes an error of this crate by `?`.
#[test]
fn a_malformed_query_is_an_error_with_a_status() {
    fn room(incoming: Incoming) -> ws_std::Result<()> {
        let request = incoming.request()?;
        if let Err(error) = request.query_pairs() {
            request.reject(error.status().unwrap_or(400))?;
            return Err(error.into());
        }
        request.accept().map(drop)
    }
    let (address, server) = serve(Listener::builder(), room);
    let mut client = Raw::connect(address);
    client.write(REQUEST.replace("x=1", "x=%ff").as_bytes());
    assert!(client.head().starts_with("HTTP/1.1 400 "));
    drop(client);
    failure(finish(server).unwrap_err(), InvalidEncoding);
}
