//! Messages that an endpoint tells in pieces.
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use common::*;
use ends::*;
use ws_core::endpoint::{EndpointError, Event, Next};
use ws_core::{Config, Message, MessageKind, ProtocolError, Role, SendError};

/// The messages, and the number of Pings.
type Collected = (Vec<(MessageKind, Vec<u8>)>, usize);

/// Feeds `wire` in pieces of `step` bytes.
fn collect(wire: &[u8], step: usize) -> Result<Collected, EndpointError> {
    let mut endpoint = client();
    endpoint.inbound.set_streaming(true);
    let mut messages: Vec<(MessageKind, Vec<u8>)> = Vec::new();
    let (mut open, mut pings) = (false, 0);
    for piece in wire.chunks(step) {
        assert_eq!(endpoint.inbound.receive(piece), piece.len());
        loop {
            let event = match endpoint.next(|| AT(0)) {
                Next::Event(event) => event,
                Next::Failed(error) => return Err(error),
                _ => break,
            };
            match event {
                Event::Chunk { kind, bytes, start, end, .. } => {
                    assert_eq!(start, !open, "a message starts when none is open");
                    if start {
                        messages.push((kind, Vec::new()));
                    }
                    let message = messages.last_mut().unwrap();
                    assert_eq!(message.0, kind);
                    message.1.extend_from_slice(&bytes);
                    open = !end;
                }
                Event::Ping(_) => pings += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(!open);
    Ok((messages, pings))
}

// RFC 6455 §5.4: fragments, a Ping between them, an empty one, a character cut in two
const WIRE: &[u8] = b"\x01\x02\x63\xc3\x89\x01p\x00\x00\x80\x02\xa9!\x82\x00\x82\x03abc";

#[test]
fn pieces_join_to_the_same_messages_at_every_step() {
    let expected = vec![
        (MessageKind::Text, "cé!".as_bytes().to_vec()),
        (MessageKind::Binary, Vec::new()),
        (MessageKind::Binary, b"abc".to_vec()),
    ];
    for step in 1..=WIRE.len() {
        assert_eq!(collect(WIRE, step), Ok((expected.clone(), 1)), "step {step}");
    }
}

// RFC 6455 §8.1
#[test]
fn invalid_text_fails_in_pieces_too() {
    for step in 1..5 {
        assert_eq!(
            collect(b"\x81\x03a\xffb", step),
            Err(EndpointError::Protocol(ProtocolError::InvalidUtf8)),
            "step {step}"
        );
    }
}

#[test]
fn streaming_takes_effect_with_the_next_message() {
    let mut endpoint = client();
    let _ = endpoint.inbound.receive(b"\x02\x01a");
    assert_eq!(next(&mut endpoint, 0), Answer::Wait(true, None));
    endpoint.inbound.set_streaming(true);
    let _ = endpoint.inbound.receive(b"\x80\x01b\x02\x01c");
    let Next::Event(Event::Message(message)) = endpoint.next(|| AT(0)) else { panic!("whole") };
    assert_eq!(message.as_bytes(), b"ab");
    let Next::Event((Event::Chunk { bytes, start, end, .. }, _)) = endpoint.next_ref(|| AT(0))
    else {
        panic!("in pieces")
    };
    assert_eq!((bytes, start, end), (&b"c"[..], true, false));
    endpoint.inbound.set_streaming(false);
    let _ = endpoint.inbound.receive(b"\x80\x01d\x82\x01e");
    let Next::Event(Event::Chunk { bytes, start, end, .. }) = endpoint.next(|| AT(0)) else {
        panic!("in pieces")
    };
    assert_eq!((&bytes[..], start, end), (&b"d"[..], false, true));
    let Next::Event(Event::Message(message)) = endpoint.next(|| AT(0)) else { panic!("whole") };
    assert_eq!(message.as_bytes(), b"e");
}

// RFC 6455 §5.4: control frames go between fragments, whoever has cut them.
#[test]
fn pongs_go_between_the_pieces_of_a_message_and_between_the_fragments_of_a_whole_one() {
    let pinged = to(Role::Server, FIN | PING, b"");
    let mut server = open(Role::Server, Config::new().max_outgoing_frame(2));
    server.outbound.queue("aabb").unwrap();
    assert_eq!(write(&mut server, 0, 3), 3);
    assert_eq!(feed(&mut server, &pinged), [ping(b"")]);
    assert_eq!(take(&mut server), b"a\x8a\x00\x80\x02bb");

    server.outbound.queue_fragment(MessageKind::Text, b"aa", false).unwrap();
    assert_eq!(feed(&mut server, &pinged), [ping(b"")]);
    server.outbound.queue_fragment(MessageKind::Text, b"bb", true).unwrap();
    assert_eq!(take(&mut server), b"\x01\x02aa\x8a\x00\x80\x02bb");
}

// RFC 6455 §5.4
#[test]
fn an_open_message_holds_up_others_of_either_kind() {
    let mut server = server();
    server.outbound.queue_fragment(MessageKind::Text, b"a", false).unwrap();
    for message in [Message::from("b"), Message::from([1])] {
        assert_eq!(server.outbound.queue(message).unwrap_err().error, SendError::MessageOpen);
    }
    let fragment = server.outbound.queue_fragment(MessageKind::Binary, b"b", true);
    assert_eq!(fragment, Err(SendError::MessageOpen));
    assert_eq!(
        SendError::MessageOpen.to_string(),
        "a fragmented message is open and has to be completed first (RFC 6455 §5.4)"
    );
}
