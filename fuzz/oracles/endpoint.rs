//! `Endpoint` after the opening handshake: the same input as for `receive`, whole messages out.
//!
//! Flags: bit 0 makes it a client, bit 2 sets low limits, bit 3 has messages lent, bit 4 has the
//! first piece handed over with the handshake.

use ws_core::endpoint::{Endpoint, EndpointError, Event, Next, Options, Pending};
use ws_core::message::MessageRef;
use ws_core::{CloseCode, Config, Message, Role};

use super::model::{Model, Outcome};
use super::seen::*;
use super::{KEY, START, Setup, same_for_all_cuts};

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
    run_on(&mut endpoint, setup.flag(3), &mut outcome);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let taken = endpoint.inbound.receive(rest);
            assert_ne!(taken, 0, "no room although all events were told");
            rest = &rest[taken..];
            run_on(&mut endpoint, setup.flag(3), &mut outcome);
        }
    }
    let ended = outcome.ended();
    let failed = matches!(outcome.seen.last(), Some(Seen::Failed(_)));
    assert_eq!(endpoint.outbound.is_open(), !ended);
    assert_eq!(endpoint.close_info().is_some(), ended);

    // The end of the stream is told, unless there was an end before; then it is shut down, and it is over.
    endpoint.inbound.receive_eof();
    if !ended {
        assert!(matches!(endpoint.next(|| START), Next::Event(Event::Closed)));
        assert_eq!(endpoint.close_info().map(|info| info.code), Some(CloseCode::ABNORMAL));
    }
    assert!(matches!(endpoint.next(|| START), Next::Shutdown { until: Some(START), .. }));
    for _ in 0..3 {
        assert!(matches!(endpoint.next(|| START), Next::Done));
    }
    assert!(!endpoint.outbound.is_open());
    assert_eq!(endpoint.close_info().map(|info| info.clean), Some(ended && !failed));
    outcome
}

/// Does what the endpoint says until it waits or wants to end the stream.
fn run_on(endpoint: &mut Endpoint, lending: bool, outcome: &mut Outcome) {
    loop {
        let ended = outcome.ended();
        let seen = if lending {
            answer(endpoint.next_ref(|| START), |(event, _)| lent(event), &mut outcome.output)
        } else {
            answer(endpoint.next(|| START), owned, &mut outcome.output)
        };
        match seen {
            Answer::Nothing => return,
            Answer::Written => {}
            Answer::Seen(seen) => {
                assert!(!ended, "{seen:?} after the end");
                outcome.seen.push(seen);
            }
            Answer::Closed => {
                let info = endpoint.close_info().expect("how it was closed");
                assert!(!ended && !info.by_us && !info.clean, "{info:?}");
                outcome.seen.push(closed(info.code.get(), &info.reason));
            }
        }
    }
}

/// What an answer tells.
enum Answer {
    Nothing,
    Written,
    Seen(Seen),
    Closed,
}

fn answer<E>(next: Next<'_, E>, event: impl Fn(E) -> Answer, output: &mut Vec<u8>) -> Answer {
    match next {
        Next::Event(told) => event(told),
        Next::Failed(EndpointError::Protocol(error)) => Answer::Seen(failed(error)),
        Next::Failed(other) => panic!("{other} without a reason"),
        Next::Write { output: pending, .. } => {
            write(pending, output);
            Answer::Written
        }
        Next::Wait { read, .. } => {
            assert!(read.is_some(), "nowhere to read to");
            Answer::Nothing
        }
        Next::Shutdown { .. } | Next::Done => Answer::Nothing,
    }
}

fn owned(event: Event) -> Answer {
    Answer::Seen(match event {
        Event::Message(Message::Text(message)) => text(&message),
        Event::Message(Message::Binary(message)) => binary(&message),
        Event::Ping(payload) => ping(&payload),
        Event::Pong(payload) => pong(&payload),
        Event::Closed => return Answer::Closed,
        other => panic!("{other:?} on an open connection"),
    })
}

fn lent(event: Event<MessageRef<'_>, &[u8]>) -> Answer {
    Answer::Seen(match event {
        Event::Message(MessageRef::Text(message)) => text(message),
        Event::Message(MessageRef::Binary(message)) => binary(message),
        Event::Ping(payload) => ping(payload),
        Event::Pong(payload) => pong(payload),
        Event::Closed => return Answer::Closed,
        other => panic!("{other:?} on an open connection"),
    })
}

/// Bytes that are not random: `pattern` over and over.
pub(super) fn random(pattern: &'static [u8]) -> impl FnMut(&mut [u8]) -> bool + Send + 'static {
    |bytes| {
        for (byte, from) in bytes.iter_mut().zip(pattern.iter().cycle()) {
            *byte = *from;
        }
        true
    }
}

/// Writes all output, in the pieces in which it waits.
pub(super) fn write(mut pending: Pending<'_>, output: &mut Vec<u8>) {
    let bytes: Vec<u8> = pending.slices().flatten().copied().collect();
    assert_eq!(pending.len(), bytes.len());
    assert_ne!(bytes.len(), 0, "nothing to write");
    pending.advance(bytes.len());
    assert!(pending.is_empty());
    output.extend(bytes);
}
