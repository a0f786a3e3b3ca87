//! Bytes that are not ASCII in each part of a head, in both roles: none stops an endpoint (CVE-2026-42544, deno #32594).
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use common::*;
use ends::{Seen, *};
use ws_core::Endpoint;
use ws_core::endpoint::{Event, Next, Options};
use ws_core::handshake::HandshakeError::{self, *};
use ws_core::handshake::{AcceptResponse, ClientRequest};

/// This head with every byte that is not ASCII in front of the part in angle brackets, in its middle, and behind it.
fn heads(marked: &str) -> impl Iterator<Item = Vec<u8>> {
    let (before, rest) = marked.split_once('<').unwrap();
    let (part, after) = rest.split_once('>').unwrap();
    (0x80..=0xff).flat_map(move |byte| {
        [0, part.len() / 2, part.len()].map(|at| {
            let (left, right) = part.split_at(at);
            let head = [before.as_bytes(), left.as_bytes(), &[byte], right.as_bytes()].concat();
            [&head, after.as_bytes()].concat()
        })
    })
}

/// A head in which this was replaced.
fn change(head: &str, from: &str, to: &str) -> String {
    assert_eq!(head.matches(from).count(), 1, "{from:?} in {head:?}");
    head.replace(from, to)
}

/// A head with another field.
fn plus(head: &str, field: &str) -> String {
    change(head, "\r\n\r\n", &format!("\r\n{field}\r\n\r\n"))
}

/// What an endpoint tells of these bytes, the same at once and byte by byte.
fn told(new: impl Fn() -> Endpoint, bytes: &[u8]) -> (Endpoint, Vec<Seen>) {
    let (mut at_once, mut by_byte) = (new(), new());
    let all = feed(&mut at_once, bytes);
    let each: Vec<_> = bytes.chunks(1).flat_map(|byte| feed(&mut by_byte, byte)).collect();
    assert_eq!(all, each, "{}", bytes.escape_ascii());
    (at_once, all)
}

fn server() -> Endpoint {
    Endpoint::server(Options::new())
}

fn client() -> Endpoint {
    let request = ClientRequest::new("example.com", "/chat?room=1").subprotocols(&["chat"]);
    asking(&request, Options::new())
}

#[test]
fn a_server_refuses_them_in_what_it_reads() {
    let names = ["Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"];
    let others = ["Origin", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Cookie"];
    let of_names =
        names.map(|name| change(REQUEST, &format!("\n{name}:"), &format!("\n<{name}>:")));
    let of_others = others.map(|name| plus(REQUEST, &format!("<{name}>: x")));
    let names = of_names.into_iter().chain(of_others).map(|head| (head, InvalidFieldName));
    let known = [
        ("GET", "<GET>", NotHttp),
        ("/chat?room=1", "</chat?room=1>", MalformedRequestLine),
        ("HTTP/1.1", "<HTTP/1.1>", MalformedRequestLine),
        ("example.com", "<example.com>", InvalidHost),
        ("websocket", "<websocket>", MissingUpgrade),
        (": Upgrade", ": <Upgrade>", MissingConnectionUpgrade),
        (KEY_FIELD, &format!("<{KEY_FIELD}>"), InvalidKey),
        ("13", "<13>", MalformedVersion),
    ]
    .map(|(from, to, error)| (change(REQUEST, from, to), error));
    let more = [
        ("Origin: <http://example.com>", InvalidOrigin),
        ("Sec-WebSocket-Protocol: <chat>", InvalidSubprotocol),
        ("Sec-WebSocket-Extensions: <permessage-deflate>", InvalidExtensions),
        ("Content-Length: <0>", InvalidContentLength),
        ("Transfer-Encoding: <chunked>", RequestBody),
    ]
    .map(|(field, error)| (plus(REQUEST, field), error));
    for (marked, error) in names.chain(known).chain(more) {
        for head in heads(&marked) {
            let (mut server, events) = told(server, &head);
            assert_eq!(events, [failed(error)], "{}", head.escape_ascii());
            let answer = take_str(&mut server);
            let status = error.status().unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(answer.ends_with(&format!("\r\n\r\n{error}\n")), "{answer}");
            assert!(!server.outbound.is_open());
        }
    }
}

// RFC 9110 §5.5: such bytes are obs-text, which may be in any value.
#[test]
fn a_server_takes_them_in_what_it_does_not_read() {
    for field in ["Cookie", "User-Agent", "X-Forwarded-Proto"] {
        for head in heads(&plus(REQUEST, &format!("{field}: <value>"))) {
            let (mut by_events, events) = told(server, &head);
            assert_eq!(events, [Seen::Request("GET".into(), "/chat?room=1".into())]);
            by_events.outbound.accept(&AcceptResponse::new()).unwrap();
            assert_eq!(take_str(&mut by_events), RESPONSE);

            let mut server = server();
            assert_eq!(server.inbound.receive(&head), head.len());
            let Next::Event(Event::Request(request)) = server.next(|| AT(0)) else { panic!() };
            assert_eq!(request.header(field), None, "no text");
            let (name, value) = request.fields().last().unwrap();
            let found = [name.as_bytes(), b": ", value, b"\r\n\r\n"].concat();
            assert!(name == field && head.ends_with(&found), "{}", found.escape_ascii());
            assert!(format!("{request:?}").contains(field), "{request:?}");
        }
    }
    // A request for a page, too.
    for head in heads(&plus(PAGE, "Cookie: <value>")) {
        assert_eq!(told(server, &head).1, [Seen::Http("GET".into(), "/page".into())]);
    }
}

#[test]
fn a_client_fails_on_them_in_what_it_reads() {
    let names = ["Upgrade", "Connection", "Sec-WebSocket-Accept"];
    let others = ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Set-Cookie"];
    let of_names =
        names.map(|name| change(RESPONSE, &format!("\n{name}:"), &format!("\n<{name}>:")));
    let of_others = others.map(|name| plus(RESPONSE, &format!("<{name}>: x")));
    let names = of_names.into_iter().chain(of_others).map(|head| (head, InvalidFieldName));
    let known = [
        ("HTTP/1.1", "<HT>TP/1.1", NotHttp),
        ("HTTP/1.1", "HTTP/<1.1>", MalformedStatusLine),
        ("101", "<101>", MalformedStatusLine),
        ("websocket", "<websocket>", ResponseUpgrade),
        (": Upgrade", ": <Upgrade>", ResponseConnection),
        ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "<s3pPLMBiTxaQ9kYGzzhZRbK+xOo=>", WrongAccept),
    ]
    .map(|(from, to, error)| (change(RESPONSE, from, to), error));
    let more: [(&str, HandshakeError); 2] = [
        ("Sec-WebSocket-Protocol: <chat>", UnofferedSubprotocol),
        ("Sec-WebSocket-Extensions: <permessage-deflate>", InvalidExtensions),
    ];
    let more = more.map(|(field, error)| (plus(RESPONSE, field), error));
    for (marked, error) in names.chain(known).chain(more) {
        for head in heads(&marked) {
            let (mut client, events) = told(client, &[&head[..], b"\x81\x02hi"].concat());
            assert_eq!(events, [failed(error)], "{}", head.escape_ascii());
            assert_eq!(take(&mut client), b"");
            assert!(!client.outbound.is_open());
        }
    }
}

#[test]
fn a_client_takes_them_in_what_it_does_not_read() {
    let interim = "HTTP/1.1 103 <Early>\r\nLink: </a>\r\n\r\n";
    for marked in [
        change(RESPONSE, "Switching Protocols", "<Switching Protocols>"),
        plus(RESPONSE, "Set-Cookie: <a=b>"),
        plus(RESPONSE, "Server: <x>"),
        // A 1xx ends at its empty line, whatever these say (RFC 9112 §6.3).
        plus(RESPONSE, "Content-Length: <0>"),
        plus(RESPONSE, "Transfer-Encoding: <chunked>"),
        interim.replace("</a>", "/a") + RESPONSE,
        interim.replace("<Early>", "Early") + RESPONSE,
    ] {
        for head in heads(&marked) {
            let (mut client, events) = told(client, &head);
            assert_eq!(events, [Seen::Open(None)], "{}", head.escape_ascii());
            client.outbound.queue("hi").unwrap();
            assert_eq!(plain(&take(&mut client)), [(FIN | TEXT, b"hi".to_vec())]);
        }
    }
    for marked in [
        "HTTP/1.1 403 <No>\r\nContent-Length: 2\r\nServer: x\r\n\r\nno",
        "HTTP/1.1 403 No\r\nContent-Length: 2\r\nServer: <x>\r\n\r\nno",
        "HTTP/1.1 403 No\r\nContent-Length: 3\r\nServer: x\r\n\r\n<no>",
    ] {
        for answer in heads(marked) {
            let body = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
            let refused = Seen::Refused(403, answer[body..].to_vec());
            assert_eq!(told(client, &answer).1, [refused], "{}", answer.escape_ascii());
        }
    }
    // A length that is none: nothing of the body is certain.
    for head in heads("HTTP/1.1 403 No\r\nContent-Length: <2>\r\n\r\nno") {
        assert_eq!(told(client, &head).1, [Seen::Refused(403, Vec::new())]);
    }
}
