//! `Endpoint` after the opening handshake: the same input as for `receive`, whole messages out.
//!
//! Flags: bit 0 makes it a client, bit 2 sets low limits, bit 3 has messages lent, bit 4 has the
//! first piece handed over with the handshake.

use ws_core::endpoint::{Endpoint, Error, Event, EventRef, Options, Random};
use ws_core::{CloseCode, Config, Message, MessageKind, Role};

use super::model::{Model, Outcome, Seen};
use super::{KEY, Setup, same_for_all_cuts};

const DEFAULT_LIMIT: u64 = 16 << 20;
const LOW_FRAME: u64 = 200;
const LOW_MESSAGE: u64 = 300;

pub(crate) fn check(data: &[u8]) {
    let Some(setup) = Setup::of(data) else { return };
    let low = setup.flag(2);
    let model = Model {
        role: setup.role(),
        compression: false,
        max_frame: if low { LOW_FRAME } else { DEFAULT_LIMIT },
        max_message: if low { LOW_MESSAGE } else { DEFAULT_LIMIT },
    };
    let outcome = same_for_all_cuts(&setup, |pieces| {
        let config = Config::new().max_frame(model.max_frame).max_message(model.max_message);
        run(&setup, config.into(), pieces)
    });
    assert_eq!(outcome, model.expect(setup.stream).0, "against the model");
}

fn run(setup: &Setup<'_>, options: Options, pieces: &[&[u8]]) -> Outcome {
    let (leftover, pieces) = match pieces.split_first() {
        Some((first, rest)) if setup.flag(4) => (*first, rest),
        _ => (&[][..], pieces),
    };
    let mut endpoint = match setup.role() {
        Role::Server => Endpoint::server_after_handshake(options, leftover),
        Role::Client => Endpoint::client_after_handshake(options, random(&KEY), leftover),
    };
    let mut outcome = Outcome::default();
    poll(&mut endpoint, setup.flag(3), &mut outcome);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let taken = endpoint.receive(rest);
            assert_ne!(taken, 0, "no room although all events were polled");
            rest = &rest[taken..];
            poll(&mut endpoint, setup.flag(3), &mut outcome);
        }
    }
    let closed = matches!(outcome.seen.last(), Some(Seen::Close(..)));
    let ended = closed || outcome.error.is_some();
    assert_eq!(endpoint.is_closed(), ended);
    assert_eq!(endpoint.close_info().is_some(), ended);
    outcome.output = take_output(&mut endpoint);

    // The end of the stream is told once, unless there was an end before.
    endpoint.receive_eof();
    match endpoint.poll_event().expect("the end of an open connection is no error") {
        Some(Event::Closed(info)) => {
            assert!(!ended);
            assert_eq!((info.code, info.clean), (CloseCode::ABNORMAL, false));
        }
        other => assert!(ended && other.is_none(), "{other:?} at the end of the stream"),
    }
    assert!(endpoint.poll_event().is_ok_and(|event| event.is_none()));
    assert!(endpoint.is_closed() && endpoint.is_finished());
    assert!(endpoint.output().is_empty(), "sent at the end of the stream");
    outcome
}

fn poll(endpoint: &mut Endpoint, lending: bool, outcome: &mut Outcome) {
    loop {
        let ended = outcome.error.is_some() || matches!(outcome.seen.last(), Some(Seen::Close(..)));
        let seen = if lending {
            endpoint.poll_event_ref().map(|event| event.map(|(event, _)| lent(event)))
        } else {
            endpoint.poll_event().map(|event| event.map(owned))
        };
        match seen {
            Ok(None) => return,
            Ok(Some(seen)) => {
                assert!(!ended, "{seen:?} after the end");
                outcome.seen.push(seen);
            }
            Err(error) => {
                assert!(!ended, "{error} after the end");
                let Error::Protocol(error) = error else { panic!("{error} without a clock") };
                outcome.error = Some(error);
            }
        }
    }
}

fn owned(event: Event) -> Seen {
    match event {
        Event::Message(message) => {
            let kind = match message {
                Message::Text(_) => MessageKind::Text,
                Message::Binary(_) => MessageKind::Binary,
            };
            Seen::Message { kind, compressed: false, bytes: message.as_bytes().to_vec() }
        }
        Event::Ping(payload) => Seen::Ping(payload.to_vec()),
        Event::Pong(payload) => Seen::Pong(payload.to_vec()),
        Event::Closed(info) => Seen::Close(info.code.get(), info.reason),
        other => panic!("{other:?} on an open connection"),
    }
}

fn lent(event: EventRef<'_>) -> Seen {
    match event {
        EventRef::Message(message) => Seen::Message {
            kind: message.kind(),
            compressed: false,
            bytes: message.as_bytes().to_vec(),
        },
        EventRef::Ping(payload) => Seen::Ping(payload.to_vec()),
        EventRef::Pong(payload) => Seen::Pong(payload.to_vec()),
        EventRef::Closed(info) => Seen::Close(info.code.get(), info.reason),
        other => panic!("{other:?} on an open connection"),
    }
}

/// Bytes that are not random: `pattern` over and over.
pub(super) fn random(pattern: &'static [u8]) -> Random {
    Box::new(|bytes| {
        for (byte, from) in bytes.iter_mut().zip(pattern.iter().cycle()) {
            *byte = *from;
        }
    })
}

/// All output, in the pieces in which it waits.
pub(super) fn take_output(endpoint: &mut Endpoint) -> Vec<u8> {
    let output = endpoint.output();
    let bytes: Vec<u8> = output.slices().flatten().copied().collect();
    assert_eq!(output.len(), bytes.len());
    output.advance(bytes.len());
    assert!(output.is_empty());
    bytes
}
