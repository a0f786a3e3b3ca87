//! What compressed connections hold: between messages the windows, within one no more than its limit and a constant.

use ws_core::deflate::{DeflateOptions, Deflater, Pool, WindowBits};
use ws_core::endpoint::{Buffers, Compression, EndpointError, Event, Next, Options};
use ws_core::{Config, Endpoint, Message, MessageKind, ProtocolError, Role};

use crate::attacks::{self, CONSTANT_COMPRESSED as CONSTANT, at_most, stored};
use crate::bomb::bomb;
use crate::common::{BINARY, CLOSE, CONT, FIN, PING, ROLES, TEXT, length};
use crate::driver::*;
use crate::ends::{AT, open};
use crate::meter::Meter;

const KIB: usize = 1024;
const MIB: usize = 1 << 20;

/// Text that compresses to about a third, never the same twice.
fn text(seed: usize, len: usize) -> String {
    let mut state = seed as u32 + 1;
    let mut text = String::new();
    while text.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(&format!("{{\"id\":{},\"name\":\"x\"}}", state >> 16));
    }
    text.truncate(len);
    text
}

/// Passes 100 messages each way, of 1 KiB and of 3 KiB in turn; they are dropped as they are told. The longer ones take an engine to
/// be inflated.
fn talk(endpoint: &mut Endpoint, peer: &mut Endpoint, buffers: Option<&mut Buffers>) {
    fn visit(endpoint: &mut Endpoint, wire: &[u8], text: &str) -> Vec<u8> {
        let mut rest = wire;
        endpoint.outbound.queue(text).unwrap();
        let mut sent = Vec::new();
        loop {
            match endpoint.next(|| AT(0)) {
                Next::Event(Event::Message(message)) => assert_eq!(message.len() % KIB, 0),
                Next::Write { mut output, .. } => {
                    sent.extend_from_slice(output.chunk());
                    let count = output.chunk().len();
                    output.advance(count);
                }
                Next::Wait { .. } if rest.is_empty() => return sent,
                Next::Wait { .. } => rest = &rest[endpoint.inbound.receive(rest)..],
                other => panic!("{other:?}"),
            }
        }
    }
    let mut none = Buffers::new();
    let shares = buffers.is_some();
    let buffers = buffers.unwrap_or(&mut none);
    let mut wire = Vec::new();
    for at in 0..100 {
        // The last one is long.
        let text = text(at, if at % 2 == 0 { KIB } else { 3 * KIB });
        wire = visit(peer, &wire, &text);
        assert!(text.len() == KIB || wire.len() > 600, "{}", wire.len());
        wire = if shares {
            visit(&mut endpoint.with_buffers(buffers), &wire, &text)
        } else {
            visit(endpoint, &wire, &text)
        };
    }
}

// The windows, and little more, whether buffers are released, are not, or are shared.
#[test]
fn an_idle_connection_holds_its_windows() {
    let pool = Pool::new();
    for role in ROLES {
        let peer_of = |role| match role {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        };
        for (bits, most) in [(12, 8 * KIB + 512), (11, 4 * KIB + 512), (9, 1331)] {
            let params = params(bits, true);
            let make = |role| agreed(role, Compression::new(&pool), params, Config::new());
            // The engines are made.
            talk(&mut make(role), &mut make(peer_of(role)), None);
            for (shared, releases) in [(false, false), (false, true), (true, false)] {
                let mut buffers = Buffers::new();
                let mut held = |compressed: bool| {
                    let (mut peer, mut endpoint) = if compressed {
                        (make(peer_of(role)), make(role))
                    } else {
                        (open(peer_of(role), Config::new()), open(role, Config::new()))
                    };
                    talk(&mut endpoint, &mut peer, shared.then_some(&mut buffers));
                    drop(peer);
                    drop(core::mem::take(&mut buffers));
                    if releases {
                        endpoint.release_buffers();
                    }
                    let before = Meter::new();
                    drop(endpoint);
                    before.freed()
                };
                let (with, without) = (held(true), held(false));
                let more = with.saturating_sub(without);
                println!("{role:?} {bits} bits, shared: {shared}, released: {releases}: {more} B");
                assert!(more <= most, "{role:?} {bits} {shared} {releases}: {more}, {with}");
            }
        }
    }
}

#[test]
fn short_messages_take_no_engine_to_inflate() {
    let compressed = |text: &str| {
        let mut deflater = Deflater::new(&Pool::new(), WindowBits::MAX, DeflateOptions::new());
        let mut payload = Vec::new();
        deflater.compress_piece(text.as_bytes(), true, &mut payload);
        payload
    };
    // A payload of nearly 512 bytes may stand for nearly 4 KiB.
    let longest = (1_400..)
        .map(|different| text(1, different) + &"a".repeat(4_000 - different))
        .find(|text| compressed(text).len() > 500);
    let texts = [1, 100, 1_023, 1_024, 1_400].map(|len| text(len, len));
    for role in ROLES {
        for text in texts.iter().chain(&longest) {
            let (payload, len) = (compressed(text), text.len());
            assert!(payload.len() <= 512, "{len}");
            let mut endpoint =
                agreed(role, Compression::new(&Pool::new()), params(15, true), Config::new());
            let frame = fragments(role, TEXT, &payload, usize::MAX);
            assert_eq!(endpoint.inbound.receive(&frame), frame.len());
            let meter = Meter::new();
            let Next::Event(Event::Message(Message::Text(told))) = endpoint.next(|| AT(0)) else {
                panic!("no message")
            };
            assert!(*told == *text && meter.peak() < 16 * KIB, "{len}: {}", meter.peak());
        }
    }
}

// RFC 6455 §10.4
#[test]
fn a_bomb_costs_its_limit_and_a_constant() {
    let bomb = bomb(1024);
    assert!(bomb.len() < 2 * MIB, "{}", bomb.len());
    let limit = attacks::length(MIB);
    let config = Config::new().max_message(limit as u64);
    for role in ROLES {
        for size in [usize::MAX >> 1, 1] {
            for streaming in [false, true] {
                let stream = fragments(
                    role,
                    BINARY,
                    &bomb[..if size == 1 { limit / 512 + 1_000 } else { bomb.len() }],
                    size,
                );
                let meter = Meter::new();
                let mut endpoint =
                    agreed(role, Compression::new(&Pool::new()), params(15, true), config);
                endpoint.inbound.set_streaming(streaming);
                let mut rest = &stream[..];
                let mut told = 0;
                let error = loop {
                    match endpoint.next(|| AT(0)) {
                        Next::Event(Event::Chunk { bytes, .. }) => told += bytes.len(),
                        Next::Failed(error) => break error,
                        Next::Wait { read: Some(inbound), .. } => {
                            let count = inbound.receive(&rest[..rest.len().min(64 * KIB)]);
                            rest = &rest[count..];
                        }
                        other => panic!("{other:?} {}", rest.len()),
                    }
                };
                assert_eq!(error, EndpointError::Protocol(ProtocolError::MessageTooLarge));
                assert_eq!(told, if streaming { limit } else { 0 });
                let most = if streaming { CONSTANT } else { limit + CONSTANT };
                at_most(most, meter.peak(), (role, size, streaming));
                // Then it holds little, and nothing is inflated.
                let end = stream.len();
                assert!(end - rest.len() <= limit / 100 + 256 * KIB);
            }
        }
    }
}

/// Receives a stream in pieces of this length. Returns how many messages there were, how many bytes of them, and how many Pings.
///
/// Memory for a message is doubled while it is inflated, but never beyond the limit. So the endpoint holds at most twice
/// `payload`, nor more than `max_message`, and a constant.
fn swallow(
    role: Role,
    max_message: usize,
    stream: &[u8],
    piece: usize,
    payload: usize,
) -> (usize, usize, usize) {
    let config = Config::new().max_frame(u64::MAX).max_message(max_message as u64);
    let meter = Meter::new();
    let compression = Compression::new(&Pool::new()).agreed(params(15, true));
    // No output is ever taken.
    let options = Options::from(config).deflate(compression).max_output(10_000);
    let mut endpoint = open(role, options);
    let (mut messages, mut total, mut pings) = (0, 0, 0);
    for mut rest in stream.chunks(piece) {
        while !rest.is_empty() {
            rest = &rest[endpoint.inbound.receive(rest)..];
            loop {
                match endpoint.next_ref(|| AT(0)) {
                    Next::Event((Event::Message(message), _)) => {
                        messages += 1;
                        total += message.as_bytes().len();
                    }
                    Next::Event((Event::Ping(_), _)) => pings += 1,
                    Next::Write { .. } | Next::Wait { .. } => break,
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    let most = (2 * payload).min(max_message) + CONSTANT;
    at_most(most, meter.peak(), role);
    (messages, total, pings)
}

// Each has a byte of the same compressed message.
#[test]
fn a_million_compressed_fragments_cost_their_message() {
    let len = attacks::length(MIB);
    for role in ROLES {
        let stream = fragments(role, BINARY, &stored(&vec![7; len]), 1);
        for limit in [len, usize::MAX] {
            assert_eq!(swallow(role, limit, &stream, 64 * KIB, len), (1, len, 0));
        }
    }
}

#[test]
fn a_million_empty_fragments_of_a_compressed_message_cost_nothing() {
    let count = attacks::length(1_000_000);
    for role in ROLES {
        let start = frame(role, 0x40 | BINARY, &stored(b"x"));
        let stream =
            [start, frame(role, CONT, b"").repeat(count), frame(role, FIN | CONT, b"")].concat();
        assert_eq!(swallow(role, usize::MAX, &stream, 64 * KIB, 1), (1, 1, 0));
    }
}

#[test]
fn one_byte_reads_of_a_compressed_frame_cost_its_message() {
    let len = attacks::length(attacks::FRAME);
    for role in ROLES {
        let stream = frame(role, FIN | 0x40 | BINARY, &stored(&vec![7; len]));
        assert_eq!(swallow(role, len, &stream, 1, len), (1, len, 0));
    }
}

// Only what arrives of it counts.
#[test]
fn a_declared_length_of_a_compressed_frame_costs_nothing() {
    let len = attacks::length(100_000);
    for role in ROLES {
        let declared = (1_u64 << 62).to_be_bytes();
        let mut stream = length(role, FIN | 0x40 | BINARY, 127, &declared);
        // A masking key of zeros
        stream.extend(if role == Role::Server { &[0; 4][..] } else { b"" });
        assert_eq!(swallow(role, usize::MAX, &stream, 1, 0), (0, 0, 0));
        stream.extend(stored(&vec![7; len]));
        assert_eq!(swallow(role, usize::MAX, &stream, 64 * KIB, len), (0, 0, 0));
    }
}

#[test]
fn pings_between_compressed_fragments_cost_the_output_that_may_wait() {
    let len = attacks::length(100_000);
    for role in ROLES {
        let payload = stored(&vec![7; len]);
        let ping = frame(role, FIN | PING, b"here");
        let mut stream = frame(role, 0x40 | BINARY, b"");
        for byte in payload.chunks(1) {
            stream.extend(frame(role, CONT, byte));
            stream.extend(&ping);
        }
        stream.extend(frame(role, FIN | CONT, b""));
        assert_eq!(swallow(role, usize::MAX, &stream, 64 * KIB, len), (1, len, payload.len()));
    }
}

// A message larger than the memory that it takes, out of one end and into the other.
#[test]
fn a_long_message_streams_through_little_memory() {
    // The memory is the same for any length; without optimisation it takes long.
    let total = attacks::length(if cfg!(debug_assertions) { 8 * MIB } else { 64 * MIB });
    for role in ROLES {
        let peer = match role {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        };
        let config = Config::new().max_message(u64::MAX);
        let meter = Meter::new();
        let pool = Pool::new();
        let mut sender = agreed(peer, Compression::new(&pool), params(12, true), config);
        let mut receiver = agreed(role, Compression::new(&pool), params(12, true), config);
        receiver.inbound.set_streaming(true);
        let piece = text(1, 64 * KIB);
        let (mut told, mut ended) = (0, false);
        for at in 0..total / piece.len() {
            let last = (at + 1) * piece.len() == total;
            sender.outbound.queue_fragment(MessageKind::Text, piece.as_bytes(), last).unwrap();
            let wire = take(&mut sender, false);
            let mut rest = &wire[..];
            loop {
                match receiver.next_ref(|| AT(0)) {
                    Next::Event((Event::Chunk { bytes, start, end, .. }, _)) => {
                        assert_eq!(start, told == 0);
                        assert!(!ended);
                        let expected = &piece.as_bytes()[told % piece.len()..];
                        let (until_end, next) = bytes.split_at(bytes.len().min(expected.len()));
                        assert!(expected.starts_with(until_end));
                        assert!(piece.as_bytes().starts_with(next));
                        told += bytes.len();
                        ended = end;
                    }
                    Next::Wait { .. } if rest.is_empty() => break,
                    Next::Wait { read: Some(inbound), .. } => rest = &rest[inbound.receive(rest)..],
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!((told, ended), (total, true));
        println!("{role:?}: {} B", meter.peak());
        assert!(meter.peak() <= 768 * KIB, "{role:?}: {}", meter.peak());
    }
}

// What waits is what `max_output` counts.
#[test]
fn compressed_output_holds_no_more_than_twice_what_it_counts() {
    let pool = Pool::new();
    for role in ROLES {
        for max_frame in [u64::MAX, 1000] {
            let config = Config::new().max_outgoing_frame(max_frame);
            let message = Message::from(
                vec![7; MIB]
                    .into_iter()
                    .enumerate()
                    .map(|(at, byte)| if at % 128 == 0 { ((at * 7919) >> 9) as u8 } else { byte })
                    .collect::<Vec<u8>>(),
            );
            let mut endpoint = agreed(role, Compression::new(&pool), params(12, true), config);
            endpoint.outbound.queue(message.clone()).unwrap();
            let first = endpoint.outbound.waiting();
            assert!((4 * KIB..MIB / 4).contains(&first), "{first}");
            let meter = Meter::new();
            for _ in 0..20 {
                endpoint.outbound.queue(message.clone()).unwrap();
            }
            let waiting = endpoint.outbound.waiting();
            assert!(
                meter.live() <= 2 * waiting + 16 * KIB,
                "{role:?} {max_frame}: {} for {waiting}",
                meter.live()
            );
        }
    }
}

// A piece that is kept does not keep the memory of a long message before it.
#[test]
fn kept_messages_and_pieces_hold_little_more_than_themselves() {
    let pool = Pool::new();
    for role in ROLES {
        let mut endpoint = agreed(role, Compression::new(&pool), params(15, false), Config::new());
        let long = frame(role, FIN | 0x40 | BINARY, &compress(&vec![7; MIB]));
        let next = frame(role, FIN | 0x40 | BINARY, &compress(&vec![8; 40_000]));
        for streaming in [false, true] {
            let stream = [&long[..], &next].concat();
            let mut rest = &stream[..];
            endpoint.inbound.set_streaming(false);
            let mut kept = Vec::new();
            let mut is_first = true;
            loop {
                // The first message is lent, and is not released before the next one.
                if is_first {
                    match endpoint.next_ref(|| AT(0)) {
                        Next::Event((Event::Message(message), _)) => {
                            assert_eq!(message.as_bytes().len(), MIB);
                            is_first = false;
                        }
                        Next::Wait { .. } => {}
                        other => panic!("{other:?}"),
                    }
                    if !is_first {
                        endpoint.inbound.set_streaming(streaming);
                        continue;
                    }
                } else {
                    match endpoint.next(|| AT(0)) {
                        Next::Event(Event::Message(message)) => kept.push(message.into_bytes()),
                        Next::Event(Event::Chunk { bytes, .. }) => kept.push(bytes),
                        Next::Wait { .. } if rest.is_empty() => break,
                        Next::Wait { .. } => {}
                        other => panic!("{other:?}"),
                    }
                }
                rest = &rest[endpoint.inbound.receive(rest)..];
            }
            assert_eq!(kept.iter().map(|bytes| bytes.len()).sum::<usize>(), 40_000);
            let meter = Meter::new();
            drop(kept);
            let freed = meter.freed();
            assert!(freed <= 2 * 40_000 + KIB, "{role:?} {streaming}: {freed}");
        }
    }
}

// Nothing will be put together any more: what is left is the window of what was sent.
#[test]
fn what_is_over_keeps_no_message() {
    let pool = Pool::new();
    for role in ROLES {
        for last in [frame(role, FIN | CLOSE, b""), frame(role, 0xff, b"")] {
            let make = || agreed(role, Compression::new(&pool), params(12, true), Config::new());
            let talk_to = |mut endpoint: Endpoint| {
                endpoint.outbound.queue(text(1, 20_000)).unwrap();
                let begun = frame(role, 0x40 | BINARY, &compress(text(2, 20_000).as_bytes()));
                let mut log = Log::default();
                let stream = [begun, last.clone()].concat();
                feed(&mut endpoint, &stream, &[Step::new(Way::Next, usize::MAX, false)], &mut log);
                endpoint.inbound.receive_eof();
                log.ask(&mut endpoint, Way::Next, false);
                assert!(log.done);
                endpoint.release_buffers();
                drop(log);
                endpoint
            };
            let meter = Meter::new();
            let fresh = make();
            let fixed = meter.live();
            drop(fresh);
            let endpoint = talk_to(make());
            let meter = Meter::new();
            drop(endpoint);
            assert!(meter.freed() <= fixed + 4 * KIB + 256, "{role:?}: {} {fixed}", meter.freed());
        }
    }
}
