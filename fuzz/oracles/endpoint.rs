//! `Endpoint` after the opening handshake. The input is the same as for `receive`.
//!
//! Bit 0 of the flags makes it a client, bit 2 sets low limits, bit 3 lends messages, and bit 4 passes the first piece
//! together with the handshake. Bit 1 agrees on permessage-deflate. The windows are then kept between messages unless
//! bit 5 is set, and bit 6 makes them small. There is no model for compressed messages. Instead, the outcome has to be
//! the same if messages are reported in pieces.

#[cfg(feature = "zlib-rs")]
use std::sync::LazyLock;

#[cfg(feature = "zlib-rs")]
use ws_core::deflate::{DeflateParams, Pool, WindowBits};
#[cfg(feature = "zlib-rs")]
use ws_core::endpoint::Compression;
use ws_core::endpoint::{Endpoint, EndpointError, Event, Next, Options, Pending};
use ws_core::message::MessageRef;
use ws_core::{CloseCode, Config, Message, MessageKind, Role};

#[cfg(feature = "zlib-rs")]
use super::model::close_for;
use super::model::{Model, Outcome};
use super::seen::*;
use super::{KEY, START, Setup, same_for_all_cuts};

const DEFAULT_LIMIT: u64 = 16 << 20;
const LOW_FRAME: u64 = 200;
const LOW_MESSAGE: u64 = 300;

/// The longest inflated message, so that a decompression bomb does not slow the fuzzer down.
#[cfg(feature = "zlib-rs")]
const INFLATED: u64 = 64 << 10;

pub(crate) fn check(data: &[u8]) {
    let Some(setup) = Setup::of(data) else { return };
    #[cfg(feature = "zlib-rs")]
    if setup.flag(1) {
        return check_compressed(&setup);
    }
    let low = setup.flag(2);
    let model = Model {
        role: setup.role(),
        compression: false,
        max_frame: if low { LOW_FRAME } else { DEFAULT_LIMIT },
        max_message: if low { LOW_MESSAGE } else { DEFAULT_LIMIT },
    };
    let outcome = same_for_all_cuts(&setup, |pieces| {
        let config = Config::new().max_frame(model.max_frame).max_message(model.max_message);
        run(&setup, config.into(), false, pieces)
    });
    assert_eq!(outcome, model.expect_reasons(setup.stream), "against the model");
}

#[cfg(feature = "zlib-rs")]
fn check_compressed(setup: &Setup<'_>) {
    static POOL: LazyLock<Pool> = LazyLock::new(Pool::new);
    let bits = WindowBits::new(if setup.flag(6) { 8 } else { 15 });
    let params = DeflateParams {
        server_no_context_takeover: setup.flag(5),
        client_no_context_takeover: setup.flag(5),
        server_max_window_bits: bits,
        client_max_window_bits: bits,
    };
    let config = match setup.flag(2) {
        true => Config::new().max_frame(LOW_FRAME).max_message(LOW_MESSAGE),
        false => Config::new().max_message(INFLATED),
    };
    let compression = Compression::new(&POOL).agreed(params);
    let options = || Options::from(config).deflate(compression.clone());
    let outcome = same_for_all_cuts(setup, |pieces| run(setup, options(), false, pieces));
    let streamed = same_for_all_cuts(setup, |pieces| run(setup, options(), true, pieces));
    assert_eq!(streamed, outcome, "in pieces");
    if let Some(Seen::Failed(error)) = outcome.seen.last() {
        assert!(outcome.output.ends_with(&close_for(setup.role(), *error)), "{error:?}");
    }
}

fn run(setup: &Setup<'_>, options: Options, streaming: bool, pieces: &[&[u8]]) -> Outcome {
    let (leftover, pieces) = match pieces.split_first() {
        Some((first, rest)) if setup.flag(4) => (*first, rest),
        _ => (&[][..], pieces),
    };
    let mut endpoint = match setup.role() {
        Role::Server => Endpoint::server_after_handshake(options, leftover),
        Role::Client => Endpoint::client_after_handshake(options, random(&KEY), leftover),
    };
    endpoint.inbound.set_streaming(streaming);
    let mut outcome = Outcome::default();
    let mut open = Open::default();
    run_on(&mut endpoint, leftover.len(), setup.flag(3), &mut outcome, &mut open);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let taken = endpoint.inbound.receive(rest);
            assert_ne!(taken, 0, "no room although all events were reported");
            rest = &rest[taken..];
            run_on(&mut endpoint, taken, setup.flag(3), &mut outcome, &mut open);
        }
    }
    let ended = outcome.ended();
    let failed = matches!(outcome.seen.last(), Some(Seen::Failed(_)));
    assert_eq!(endpoint.outbound.is_open(), !ended);
    assert_eq!(endpoint.close_info().is_some(), ended);

    // The end of the stream is reported, unless the connection has ended before. Then the stream is shut down, and the
    // connection is over.
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

/// Does what the endpoint says until it waits or wants to end the stream. It has just received this many bytes.
fn run_on(
    endpoint: &mut Endpoint,
    received: usize,
    lending: bool,
    outcome: &mut Outcome,
    open: &mut Open,
) {
    let mut turns = Turns::after(received);
    loop {
        turns.take();
        let ended = outcome.ended();
        let seen = if lending {
            answer(endpoint.next_ref(|| START), |(event, _)| lent(event), &mut outcome.output)
        } else {
            answer(endpoint.next(|| START), owned, &mut outcome.output)
        };
        match seen {
            Answer::Nothing => return,
            Answer::Written => {}
            Answer::Piece { kind, bytes, start, end } => {
                assert!(!ended, "a piece after the end");
                assert_eq!(start, open.kind.is_none(), "a message starts when none is open");
                assert_eq!(*open.kind.get_or_insert(kind), kind);
                open.bytes.extend(bytes);
                if end {
                    let Open { bytes, .. } = core::mem::take(open);
                    outcome.seen.push(match kind {
                        MessageKind::Text => text(core::str::from_utf8(&bytes).expect("text")),
                        MessageKind::Binary => binary(&bytes),
                    });
                }
            }
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

/// A message that is reported in pieces.
#[derive(Default)]
struct Open {
    kind: Option<MessageKind>,
    bytes: Vec<u8>,
}

/// The payload of an answer.
enum Answer {
    Nothing,
    Written,
    Piece { kind: MessageKind, bytes: Vec<u8>, start: bool, end: bool },
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
        Event::Chunk { kind, bytes, start, end, .. } => {
            return Answer::Piece { kind, bytes: bytes.to_vec(), start, end };
        }
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
        Event::Chunk { kind, bytes, start, end, .. } => {
            return Answer::Piece { kind, bytes: bytes.to_vec(), start, end };
        }
        other => panic!("{other:?} on an open connection"),
    })
}

/// The turns that an endpoint may still take until it waits or wants to end the stream.
///
/// Each byte that it has received allows one. A frame has at least two bytes, and causes at most an event and an answer.
/// A full piece of an inflated message has 16 KiB, which no single byte inflates to. Three more turns are for the last
/// byte: after that of a request, a server reports the request, reports that the connection is open, writes, and waits.
pub(super) struct Turns(usize);

impl Turns {
    pub(super) fn after(received: usize) -> Self {
        Self(received + 3)
    }

    pub(super) fn take(&mut self) {
        self.0 = self.0.checked_sub(1).expect("the endpoint spins");
    }
}

/// Returns a generator that fills in `pattern` over and over, instead of random bytes.
pub(super) fn random(pattern: &'static [u8]) -> impl FnMut(&mut [u8]) -> bool + Send + 'static {
    |bytes| {
        for (byte, from) in bytes.iter_mut().zip(pattern.iter().cycle()) {
            *byte = *from;
        }
        true
    }
}

/// Writes all output, segment by segment.
pub(super) fn write(mut pending: Pending<'_>, output: &mut Vec<u8>) {
    let bytes: Vec<u8> = pending.slices().flatten().copied().collect();
    assert_eq!(pending.len(), bytes.len());
    assert_ne!(bytes.len(), 0, "nothing to write");
    pending.advance(bytes.len());
    assert!(pending.is_empty());
    output.extend(bytes);
}
