//! Messages that an endpoint tells in pieces.
#![cfg(feature = "endpoint")]

use ws_core::endpoint::{Chunk, Endpoint, Error, Event, EventRef, Options};
use ws_core::{Config, Message, MessageKind, ProtocolError, SendError};

fn client(config: Config) -> Endpoint {
    Endpoint::client_after_handshake(Options::from(config), Box::new(|bytes| bytes.fill(7)), &[])
}

/// The messages, and the number of Pings.
type Told = (Vec<(MessageKind, Vec<u8>)>, usize);

/// Feeds `wire` in pieces of `step` bytes.
fn collect(wire: &[u8], step: usize) -> Result<Told, Error> {
    let mut endpoint = client(Config::new());
    endpoint.set_streaming(true);
    let mut messages: Vec<(MessageKind, Vec<u8>)> = Vec::new();
    let (mut open, mut pings) = (false, 0);
    for piece in wire.chunks(step) {
        assert_eq!(endpoint.receive(piece), piece.len());
        while let Some(event) = endpoint.poll_event()? {
            match event {
                Event::Chunk(Chunk { kind, bytes, start, end, .. }) => {
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
            Err(Error::Protocol(ProtocolError::InvalidUtf8)),
            "step {step}"
        );
    }
}

#[test]
fn streaming_takes_effect_with_the_next_message() {
    let mut endpoint = client(Config::new());
    let _ = endpoint.receive(b"\x02\x01a");
    assert!(endpoint.poll_event().unwrap().is_none());
    endpoint.set_streaming(true);
    let _ = endpoint.receive(b"\x80\x01b\x02\x01c");
    let Some(Event::Message(message)) = endpoint.poll_event().unwrap() else { panic!("whole") };
    assert_eq!(message.as_bytes(), b"ab");
    let Some((EventRef::Chunk(chunk), _)) = endpoint.poll_event_ref().unwrap() else {
        panic!("in pieces")
    };
    assert_eq!((chunk.bytes, chunk.start, chunk.end), (&b"c"[..], true, false));
    endpoint.set_streaming(false);
    let _ = endpoint.receive(b"\x80\x01d\x82\x01e");
    let Some(Event::Chunk(chunk)) = endpoint.poll_event().unwrap() else { panic!("in pieces") };
    assert_eq!((&chunk.bytes[..], chunk.start, chunk.end), (&b"d"[..], false, true));
    let Some(Event::Message(message)) = endpoint.poll_event().unwrap() else { panic!("whole") };
    assert_eq!(message.as_bytes(), b"e");
}

// RFC 6455 §5.4: control frames go between the fragments that are not queued yet.
#[test]
fn pongs_go_between_the_pieces_of_a_message_and_behind_the_fragments_of_a_whole_one() {
    const PING: &[u8] = b"\x89\x80\0\0\0\0";
    let output = |endpoint: &mut Endpoint| {
        let bytes: Vec<u8> = endpoint.output().slices().flatten().copied().collect();
        endpoint.output().advance(bytes.len());
        bytes
    };
    let mut server = Endpoint::server_after_handshake(Config::new().max_outgoing_frame(2), b"");
    server.send("aabb").unwrap();
    server.output().advance(4);
    assert_eq!(server.receive(PING), PING.len());
    assert!(matches!(server.poll_event(), Ok(Some(Event::Ping(_)))));
    assert_eq!(output(&mut server), b"\x80\x02bb\x8a\x00");

    server.send_fragment(MessageKind::Text, b"aa", false).unwrap();
    assert_eq!(server.receive(PING), PING.len());
    assert!(matches!(server.poll_event(), Ok(Some(Event::Ping(_)))));
    server.send_fragment(MessageKind::Text, b"bb", true).unwrap();
    assert_eq!(output(&mut server), b"\x01\x02aa\x8a\x00\x80\x02bb");
}

// RFC 6455 §5.4
#[test]
fn an_open_message_holds_up_others_of_either_kind() {
    let mut server = Endpoint::server_after_handshake(Config::new(), b"");
    server.send_fragment(MessageKind::Text, b"a", false).unwrap();
    for message in [Message::from("b"), Message::from([1])] {
        assert_eq!(server.send(message).unwrap_err().error, SendError::MessageOpen);
    }
    let fragment = server.send_fragment(MessageKind::Binary, b"b", true);
    assert_eq!(fragment, Err(SendError::MessageOpen));
    assert_eq!(
        SendError::MessageOpen.to_string(),
        "a fragmented message is open and has to be completed first (RFC 6455 §5.4)"
    );
}
