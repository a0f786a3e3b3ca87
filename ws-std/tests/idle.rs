//! `idle_timeout` counts from what was sent and received last, whatever has taken its time before.

mod common;

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use ws_std::{CloseCode, Config, Listener, ListenerBuilder, Message, MessageKind};

const IDLE: Duration = slow_millis(800);

fn builder() -> ListenerBuilder {
    Listener::builder().config(Config::new().idle_timeout(Some(IDLE)))
}

/// Is silent for half of the time-out, then says hello.
fn hello(mut raw: Raw) -> Raw {
    thread::sleep(IDLE / 2);
    raw.write(&masked(TEXT, b"hello"));
    raw
}

/// The peer is heard; silent from then on, it is closed with 1001 when the time is over.
fn idles(mut ws: ws_std::WebSocket, mut raw: Raw) {
    let peer = thread::spawn(move || {
        raw.expect(CLOSE, &close(1001, ""));
        raw.write(&masked(CLOSE, &close(1001, "")));
    });
    let begun = Instant::now();
    within(move || {
        assert_eq!(ws.read().unwrap(), None);
        assert_eq!(ws.close_info().unwrap().code, CloseCode::GOING_AWAY);
    });
    assert!(begun.elapsed() >= IDLE / 2, "{:?}", begun.elapsed());
    finish(peer);
}

#[test]
fn fragments_that_were_sent_count_from_when_they_were_sent() {
    let (address, server) = serve(builder(), |incoming| incoming.accept().unwrap());
    let mut raw = Raw::open(address);
    let mut ws = finish(server);
    let mut message = ws.write_stream(MessageKind::Text);
    let begun = Instant::now();
    while begun.elapsed() < 2 * IDLE {
        message.write_all(b"x").unwrap();
        message.flush().unwrap();
        assert_eq!(&raw.frame().payload[..], b"x");
        thread::sleep(IDLE / 10);
    }
    message.finish().unwrap();
    assert_eq!(raw.frame().first, 0x80);
    let peer = thread::spawn(move || hello(raw));
    let (ws, message) = within(move || (ws.read().map(|message| (ws, message))).unwrap());
    assert_eq!(message, Some(Message::from("hello")));
    idles(ws, finish(peer));
}

#[test]
fn a_request_that_was_answered_late_is_not_idle() {
    let (address, server) = serve(builder(), |incoming| {
        let request = incoming.request().unwrap();
        thread::sleep(2 * IDLE);
        request.accept().unwrap()
    });
    let mut raw = Raw::connect(address);
    raw.write(REQUEST.as_bytes());
    assert_eq!(raw.head(), RESPONSE);
    let mut ws = finish(server);
    let peer = thread::spawn(move || hello(raw));
    let (ws, message) = within(move || (ws.read().map(|message| (ws, message))).unwrap());
    assert_eq!(message, Some(Message::from("hello")));
    idles(ws, finish(peer));
}
