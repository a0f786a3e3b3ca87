//! The table of cases, run through every layer that receives, however the stream is cut.
#![cfg(feature = "endpoint")]

#[path = "cases/mod.rs"]
mod cases;
mod common;

use cases::{Case, Summary};
use common::*;
use ws_core::endpoint::{EndpointError, Event, Next};
use ws_core::message::MessageRef;
use ws_core::{Connection, Endpoint, Input, MessageKind, Role, Step};

/// The frames that were sent, each unmasked; clients mask with [`KEY`].
fn sent(role: Role, mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let len = usize::from(second & 0x7f);
        assert!(len <= 125, "only control frames are sent");
        assert_eq!(second & 0x80 != 0, role == Role::Client);
        let rest = if role == Role::Client { rest.strip_prefix(&KEY).unwrap() } else { rest };
        let key = if role == Role::Client { KEY } else { [0; 4] };
        let payload: Vec<u8> =
            rest[..len].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        frames.push(raw(*first, None, &payload));
        bytes = &rest[len..];
    }
    frames
}

fn message(kind: MessageKind, payload: Vec<u8>) -> Seen {
    match kind {
        MessageKind::Text => Seen::Text(String::from_utf8(payload).unwrap()),
        MessageKind::Binary => Seen::Binary(payload),
    }
}

/// The state machine with messages put together in a `Vec`; what is owed is sent when that is told.
fn by_connection(case: &Case, sizes: &mut dyn FnMut() -> usize) -> Summary {
    let mut connection = Connection::new(case.role, case.config);
    let mut payload = Vec::new();
    let (mut seen, mut output) = (Vec::new(), Vec::new());
    let mut rest = &case.bytes[..];
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(sizes().clamp(1, rest.len()));
        rest = tail;
        let mut piece = piece.to_vec();
        let mut input = Input::new(&mut piece);
        loop {
            let step = ask(&mut connection, &mut input, START);
            let receiver = &connection.receiver;
            match step {
                Step::Wait(_) | Step::Shutdown(_) | Step::Done => break,
                Step::Transmit => output.extend(transmit(&mut connection, case.role)),
                Step::Data(chunk) => {
                    payload.extend_from_slice(chunk.bytes);
                    if chunk.end {
                        seen.push(message(chunk.kind, core::mem::take(&mut payload)));
                    }
                }
                Step::Ping => seen.push(ping(receiver.control_payload())),
                Step::Pong => seen.push(pong(receiver.control_payload())),
                Step::Close => {
                    let frame = receiver.close_frame().unwrap();
                    seen.push(closed(frame.code.get(), frame.reason));
                }
                Step::Failed(error) => seen.push(failed(error)),
            }
        }
        assert!(input.is_empty(), "{}", case.name);
    }
    let state = state(&mut connection, case.role);
    Summary { seen, sent: sent(case.role, &output), state }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Owned,
    Lent,
    /// Owned, with reads into the endpoint's own buffer, and buffers let go of after each.
    Direct,
}

/// What is told of an answer, if something is.
fn told<E>(next: Next<'_, E>, seen: impl Fn(E) -> Seen, output: &mut Vec<u8>) -> Option<Seen> {
    match next {
        Next::Event(event) => return Some(seen(event)),
        Next::Failed(EndpointError::Protocol(error)) => return Some(failed(error)),
        Next::Failed(other) => panic!("{other}"),
        Next::Write { output: mut pending, .. } => {
            output.extend(pending.slices().flatten());
            let count = pending.len();
            pending.advance(count);
            assert!(pending.is_empty());
        }
        Next::Shutdown { .. } | Next::Wait { .. } | Next::Done => {}
    }
    None
}

fn owned(event: Event) -> Seen {
    match event {
        Event::Message(owned) => message(owned.kind(), owned.as_bytes().to_vec()),
        Event::Ping(payload) => ping(&payload),
        Event::Pong(payload) => pong(&payload),
        // Only that it came; `close` knows more.
        Event::Closed => closed(0, ""),
        other => panic!("{other:?}"),
    }
}

fn lent(event: Event<MessageRef<'_>, &[u8]>) -> Seen {
    match event {
        Event::Message(lent) => message(lent.kind(), lent.as_bytes().to_vec()),
        Event::Ping(payload) => ping(payload),
        Event::Pong(payload) => pong(payload),
        Event::Closed => closed(0, ""),
        other => panic!("{other:?}"),
    }
}

fn close(endpoint: &Endpoint) -> Seen {
    let info = endpoint.close_info().unwrap();
    Seen::Closed { code: info.code.get(), reason: info.reason, by_us: info.by_us }
}

/// What is left to do, as for a connection.
fn endpoint_state(endpoint: &mut Endpoint, role: Role) -> State {
    let clean = endpoint.close_info().is_some_and(|info| info.clean);
    let open = endpoint.outbound.is_open();
    match (endpoint.next(|| START), role) {
        (Next::Wait { read: Some(_), .. }, _) if open && !clean => State::Open,
        (Next::Shutdown { .. }, Role::Server) if clean => State::Closed,
        (Next::Wait { read: Some(_), .. }, Role::Client) if clean => State::Closed,
        (Next::Shutdown { .. }, _) if !clean => State::Failed,
        (next, _) => panic!("{next:?}, open: {open}, clean: {clean}"),
    }
}

fn by_endpoint(case: &Case, way: Way, sizes: &mut dyn FnMut() -> usize) -> Summary {
    let mut endpoint = match case.role {
        Role::Server => Endpoint::server_after_handshake(case.config, b""),
        Role::Client => {
            let random = |bytes: &mut [u8]| {
                bytes.iter_mut().zip(KEY.iter().cycle()).for_each(|(byte, key)| *byte = *key);
                true
            };
            Endpoint::client_after_handshake(case.config, random, b"")
        }
    };
    let (mut seen, mut output) = (Vec::new(), Vec::new());
    let mut rest = &case.bytes[..];
    while !rest.is_empty() {
        let most = sizes().clamp(1, rest.len());
        let count = if way == Way::Direct {
            let free = endpoint.inbound.read_buf();
            let count = most.min(free.len());
            free[..count].copy_from_slice(&rest[..count]);
            endpoint.inbound.filled(count);
            count
        } else {
            endpoint.inbound.receive(&rest[..most])
        };
        assert_ne!(count, 0, "no progress");
        rest = &rest[count..];
        loop {
            let before = output.len();
            let event = if way == Way::Lent {
                told(endpoint.next_ref(|| START), |(event, _)| lent(event), &mut output)
            } else {
                told(endpoint.next(|| START), owned, &mut output)
            };
            match event {
                Some(Seen::Closed { .. }) => seen.push(close(&endpoint)),
                Some(event) => seen.push(event),
                None if output.len() == before => break,
                None => {}
            }
        }
        if way == Way::Direct {
            endpoint.release_buffers();
        }
    }
    let state = endpoint_state(&mut endpoint, case.role);
    Summary { seen, sent: sent(case.role, &output), state }
}

/// Runs a case with a fresh sequence of sizes for each layer.
fn check<S: FnMut() -> usize>(case: &Case, sizes: impl Fn() -> S, cut: &str) {
    let name = || format!("{:?}: {} ({cut})", case.role, case.name);
    assert_eq!(by_connection(case, &mut sizes()), case.expected, "connection, {}", name());
    let mut expected = case.expected.clone();
    if let (Some(Seen::Failed(error)), Some(close)) =
        (expected.seen.last(), expected.sent.last_mut())
    {
        // An endpoint says why, too.
        *close = close_for(Role::Server, *error);
    }
    for way in [Way::Owned, Way::Lent, Way::Direct] {
        let result = by_endpoint(case, way, &mut sizes());
        assert_eq!(result, expected, "endpoint, {way:?}, {}", name());
    }
}

/// Sizes without a pattern, small ones more often.
fn random_sizes(seed: u64) -> impl FnMut() -> usize {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bits = (state >> 32) as usize;
        1 + (bits >> 8) % (1 << (1 + bits % 12))
    }
}

#[test]
fn every_layer_says_the_same_at_once() {
    let cases = cases::all();
    assert!(cases.len() > 1000, "{}", cases.len());
    for case in cases {
        check(&case, || || usize::MAX, "at once");
    }
}

#[test]
fn every_layer_says_the_same_byte_by_byte() {
    for case in cases::all() {
        check(&case, || || 1, "byte by byte");
    }
}

#[test]
fn every_layer_says_the_same_in_random_pieces() {
    for case in cases::all() {
        for seed in 0..4 {
            check(&case, || random_sizes(seed), &format!("seed {seed}"));
        }
    }
}

#[test]
fn every_layer_says_the_same_at_every_cut() {
    for case in cases::all().iter().filter(|case| case.bytes.len() <= 60) {
        for at in 1..case.bytes.len() {
            let sizes = || {
                let mut first = Some(at);
                move || first.take().unwrap_or(usize::MAX)
            };
            check(case, sizes, &format!("cut at {at}"));
        }
    }
}
