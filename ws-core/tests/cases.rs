//! The table of cases, run through every layer that receives, however the stream is cut.
#![cfg(feature = "endpoint")]

#[path = "cases/mod.rs"]
mod cases;
mod common;

use cases::{Case, Heard, Result};
use common::*;
use ws_core::endpoint::{Error, Event, EventRef};
use ws_core::message::VecAssembler;
use ws_core::{Connection, Endpoint, Input, MessageKind, Role};

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

fn message(kind: MessageKind, payload: Vec<u8>) -> Heard {
    match kind {
        MessageKind::Text => Heard::Text(String::from_utf8(payload).unwrap()),
        MessageKind::Binary => Heard::Binary(payload),
    }
}

/// The state machine with messages put together in a `Vec`; the output drained after every event.
fn by_connection(case: &Case, sizes: &mut dyn FnMut() -> usize) -> Result {
    let mut connection = Connection::new(case.role, case.config);
    let mut messages = VecAssembler::new();
    let (mut heard, mut error, mut output) = (Vec::new(), None, Vec::new());
    let mut rest = &case.bytes[..];
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(sizes().clamp(1, rest.len()));
        rest = tail;
        let mut piece = piece.to_vec();
        let mut input = Input::new(&mut piece);
        loop {
            match connection.receive(&mut input) {
                Ok(None) => break,
                Err(found) => assert_eq!(error.replace(found), None, "{}", case.name),
                Ok(Some(ws_core::Event::Data(chunk))) => {
                    let done = messages.push(&chunk);
                    heard.extend(done.map(|(kind, payload)| message(kind, payload)));
                }
                Ok(Some(ws_core::Event::Ping)) => {
                    heard.push(Heard::Ping(connection.control_payload().to_vec()));
                }
                Ok(Some(ws_core::Event::Pong)) => {
                    heard.push(Heard::Pong(connection.control_payload().to_vec()));
                }
                Ok(Some(ws_core::Event::Close)) => {
                    let frame = connection.close_frame().unwrap();
                    heard.push(Heard::Close(frame.code.get(), frame.reason.into()));
                }
                Ok(Some(other)) => panic!("{other:?}"),
            }
            output.extend(drain(&mut connection, case.role));
        }
        assert!(input.is_empty(), "{}", case.name);
    }
    let closed = connection.is_closed();
    Result { heard, error, sent: sent(case.role, &output), closed }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Owned,
    Lent,
    /// Owned, with reads into the endpoint's own buffer, and buffers let go of after each.
    Direct,
}

fn poll(endpoint: &mut Endpoint, way: Way) -> std::result::Result<Option<Heard>, Error> {
    if way == Way::Lent {
        return Ok(endpoint.poll_event_ref()?.map(|(event, _)| match event {
            EventRef::Message(lent) => message(lent.kind(), lent.as_bytes().to_vec()),
            EventRef::Ping(payload) => Heard::Ping(payload.into()),
            EventRef::Pong(payload) => Heard::Pong(payload.into()),
            EventRef::Closed(info) => Heard::Close(info.code.get(), info.reason),
            other => panic!("{other:?}"),
        }));
    }
    Ok(endpoint.poll_event()?.map(|event| match event {
        Event::Message(owned) => message(owned.kind(), owned.as_bytes().to_vec()),
        Event::Ping(payload) => Heard::Ping(payload.into()),
        Event::Pong(payload) => Heard::Pong(payload.into()),
        Event::Closed(info) => Heard::Close(info.code.get(), info.reason),
        other => panic!("{other:?}"),
    }))
}

fn by_endpoint(case: &Case, way: Way, sizes: &mut dyn FnMut() -> usize) -> Result {
    let mut endpoint = match case.role {
        Role::Server => Endpoint::server_after_handshake(case.config, b""),
        Role::Client => {
            let random = Box::new(|bytes: &mut [u8]| {
                bytes.iter_mut().zip(KEY.iter().cycle()).for_each(|(byte, key)| *byte = *key);
            });
            Endpoint::client_after_handshake(case.config, random, b"")
        }
    };
    let (mut heard, mut error, mut output) = (Vec::new(), None, Vec::new());
    let mut rest = &case.bytes[..];
    while !rest.is_empty() {
        let most = sizes().clamp(1, rest.len());
        let count = if way == Way::Direct {
            let free = endpoint.read_buf();
            let count = most.min(free.len());
            free[..count].copy_from_slice(&rest[..count]);
            endpoint.filled(count);
            count
        } else {
            endpoint.receive(&rest[..most])
        };
        assert_ne!(count, 0, "no progress");
        rest = &rest[count..];
        loop {
            match poll(&mut endpoint, way) {
                Ok(None) => break,
                Ok(Some(event)) => heard.push(event),
                Err(Error::Protocol(found)) => {
                    assert_eq!(error.replace(found), None, "{}", case.name);
                }
                Err(other) => panic!("{other:?}"),
            }
            let waiting = core::mem::take(endpoint.output());
            output.extend(waiting.slices().flatten());
        }
        if way == Way::Direct {
            endpoint.release_buffers();
        }
    }
    let closed = endpoint.is_closed();
    Result { heard, error, sent: sent(case.role, &output), closed }
}

/// Runs a case with a fresh sequence of sizes for each layer.
fn check<S: FnMut() -> usize>(case: &Case, sizes: impl Fn() -> S, cut: &str) {
    let name = || format!("{:?}: {} ({cut})", case.role, case.name);
    assert_eq!(by_connection(case, &mut sizes()), case.expected, "connection, {}", name());
    for way in [Way::Owned, Way::Lent, Way::Direct] {
        let result = by_endpoint(case, way, &mut sizes());
        assert_eq!(result, case.expected, "endpoint, {way:?}, {}", name());
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
