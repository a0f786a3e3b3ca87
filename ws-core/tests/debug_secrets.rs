//! What `Debug` shows of heads: they carry passwords and tokens, and `Debug` goes to logs.
#![cfg(feature = "endpoint")]

use std::fmt::Debug;

use ws_core::endpoint::{Endpoint, Event, Next, Output};
use ws_core::handshake::*;
use ws_core::{Config, Instant};

const REQUEST: &[u8] = b"GET /chat?token=hidden HTTP/1.1\r\nHost: example.com\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: hidden\r\nCookie: id=hidden\r\n\
    Authorization: Bearer hidden\r\n\r\n";
const REFUSAL: &[u8] =
    b"HTTP/1.1 403 No\r\nSet-Cookie: id=hidden\r\nContent-Length: 9\r\n\r\nhidden";

const START: Instant = Instant::from_millis(0);

/// Both forms show these, and nothing that is secret.
#[track_caller]
fn shows(value: &dyn Debug, texts: &[&str]) {
    for form in [format!("{value:?}"), format!("{value:#?}")] {
        for text in texts {
            assert!(form.contains(text), "no {text}: {form}");
        }
        for secret in ["hidden", "dGhlIHNhbXBsZSBub25jZQ==", "104, 105, 100, 100, 101, 110"] {
            assert!(!form.contains(secret), "{secret}: {form}");
        }
    }
}

#[test]
fn request_of_an_endpoint_shows_path_and_names() {
    let mut server = Endpoint::server(Config::new());
    assert_eq!(server.inbound.receive(REQUEST), REQUEST.len());
    let Next::Event(Event::Request(request)) = server.next(|| START) else { panic!("a request") };
    shows(&request, &["GET", "\"/chat\"", "\"Cookie\"", "\"Authorization\""]);
    assert_eq!(
        format!("{request:?}"),
        "Request { method: \"GET\", path: \"/chat\", fields: [\"Host\", \"Upgrade\", \"Connection\", \
         \"Sec-WebSocket-Key\", \"Sec-WebSocket-Version\", \"Sec-WebSocket-Protocol\", \"Cookie\", \
         \"Authorization\"], is_upgrade: true }"
    );
    shows(&<Event>::Request(request), &["Request"]);
    shows(&server, &["Asked"]);
}

// RFC 9112 §3.2: the other forms of a target
#[test]
fn request_for_a_page_shows_no_user_and_no_query() {
    for (target, path) in [
        ("/page?hidden", "\"/page\""),
        ("/page#hidden", "\"/page\""),
        ("http://user:hidden@example.com/page", "\"..\""),
        ("*", "\"..\""),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: example.com\r\n\r\n");
        let mut server = Endpoint::server(Config::new());
        assert_eq!(server.inbound.receive(head.as_bytes()), head.len());
        let Next::Event(Event::Http(request)) = server.next(|| START) else { panic!("{target}") };
        shows(&request, &[path]);
        let mut slots = FieldSlots::<8>::new();
        shows(&RequestHead::parse(head.as_bytes(), &mut slots).unwrap(), &[path, "\"Host\""]);
    }
}

#[test]
fn response_of_an_endpoint_shows_status_and_names() {
    let request = ClientRequest::new("localhost", "/chat?token=hidden")
        .subprotocols(&["hidden"])
        .headers(&[("Authorization", "Bearer hidden")]);
    let random = Box::new(|bytes: &mut [u8]| {
        bytes.copy_from_slice(b"the sample nonce");
        true
    });
    let mut client = Endpoint::client(&request, Config::new(), random).unwrap();
    shows(&client.next(|| START), &["Write", "Pending"]);
    let mut output = Output::default();
    client.outbound.take_output(&mut output);
    shows(&output, &["Output"]);
    client.outbound.written(output.len());
    shows(&client, &["Opening"]);
    assert_eq!(client.inbound.receive(REFUSAL), REFUSAL.len());
    shows(&client.next(|| START), &["Wait"]);
    shows(&client, &["Refusal", "403", "\"Set-Cookie\"", "body: 6"]);
    client.inbound.receive_eof();
    let Next::Event(Event::Refused(response)) = client.next(|| START) else { panic!("a refusal") };
    assert_eq!(
        format!("{response:?}"),
        "Response { status: 403, reason: \"No\", fields: [\"Set-Cookie\", \"Content-Length\"], \
         body: 6 }"
    );
}

#[test]
fn heads_on_slices_show_names() {
    let mut slots = FieldSlots::<16>::new();
    let request = RequestHead::parse(REQUEST, &mut slots).unwrap();
    shows(&request, &["GET", "\"/chat\"", "\"Cookie\""]);
    let upgrade = request.upgrade().unwrap();
    shows(&upgrade, &["example.com", "\"/chat\""]);
    shows(&ClientKey::from_nonce(*b"the sample nonce"), &["ClientKey(..)"]);

    shows(&slots, &["FieldSlots(16)"]);

    let head = &REFUSAL[..REFUSAL.len() - 6];
    let mut slots = FieldSlots::<16>::new();
    shows(&ResponseHead::parse(head, &mut slots).unwrap(), &["403", "\"Set-Cookie\""]);

    let headers = &[("Set-Cookie", "id=hidden")];
    shows(&AcceptResponse::new().headers(headers), &["\"Set-Cookie\""]);
    shows(&HttpResponse::new(200).headers(headers).body(b"hidden"), &["200", "\"Set-Cookie\""]);
    let request = ClientRequest::new("localhost", "/chat?token=hidden")
        .subprotocols(&["hidden"])
        .headers(&[("Authorization", "Bearer hidden")]);
    shows(&request, &["localhost", "\"/chat\"", "\"Authorization\"", "subprotocols: 1"]);
}

#[test]
fn first_bytes_show_how_far_they_are() {
    let mut first = FirstBytes::request();
    assert_eq!(first.push(b"PASS hidden"), Ok(()));
    shows(&first, &["FirstBytes", "stage: Line("]);
    assert_eq!(first.push(b"\x01"), Ok(()));
    shows(&first, &["FirstBytes", "stage: Http"]);
}
