//! Endpoints that share their buffers tell the same as endpoints that have their own.
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use common::*;
use ends::*;
use proptest::prelude::*;
use ws_core::endpoint::Buffers;
use ws_core::{Config, Endpoint, Message, Role};

/// What a peer sends: frames that are right, and ends of all kinds.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..300)
            .prop_map(|payload| to(Role::Server, FIN | BINARY, &payload)),
        2 => (3_000..9_000_usize).prop_map(|len| to(Role::Server, FIN | BINARY, &vec![b'b'; len])),
        1 => (40_000..140_000_usize)
            .prop_map(|len| to(Role::Server, FIN | TEXT, &vec![b't'; len])),
        2 => (0..5_000_usize, 0..5_000_usize, "[a-z]{0,20}").prop_map(|(first, last, ping)| {
            [
                to(Role::Server, TEXT, &vec![b'f'; first]),
                to(Role::Server, FIN | PING, ping.as_bytes()),
                to(Role::Server, FIN | CONT, &vec![b'l'; last]),
            ]
            .concat()
        }),
    ];
    let end = prop_oneof![
        Just(Vec::new()),
        Just(to(Role::Server, FIN | CLOSE, &close_body(1000, "bye"))),
        Just(to(Role::Server, FIN | TEXT, b"\xff")),
        Just(vec![0xff, 0xff]),
    ];
    (proptest::collection::vec(frame, 0..8), end)
        .prop_map(|(frames, end)| [frames.concat(), end].concat())
}

/// Passes as many bytes as are taken at once, echoes; gives how many bytes were taken.
fn visit(
    endpoint: &mut Endpoint,
    bytes: &[u8],
    by_ref: bool,
    log: &mut (Vec<Told>, Vec<u8>),
) -> usize {
    let count = endpoint.receive(bytes);
    while let Some(event) = next(endpoint, by_ref) {
        if let Told::Message(message) = &event {
            endpoint.send(message.clone()).unwrap();
        }
        let over = ends(&event);
        log.0.push(event);
        if over {
            break;
        }
    }
    count
}

proptest! {
    #[test]
    fn shared_buffers_change_nothing(
        streams in proptest::collection::vec((stream(), any::<bool>()), 1..4),
        sizes in proptest::collection::vec(1..70_000_usize, 1..20),
        drained in proptest::collection::vec(0..100_000_usize, 1..20),
    ) {
        let mut buffers = Buffers::new();
        let mut shared: Vec<_> = streams.iter().map(|_| (server(), 0, Default::default())).collect();
        let mut turn = 0;
        while shared.iter().zip(&streams).any(|((_, at, _), (bytes, _))| *at < bytes.len()) {
            for ((endpoint, at, log), (bytes, by_ref)) in shared.iter_mut().zip(&streams) {
                let size = sizes[turn % sizes.len()];
                let mut endpoint = endpoint.with_buffers(&mut buffers);
                let piece = &bytes[*at..(*at + size).min(bytes.len())];
                *at += visit(&mut endpoint, piece, *by_ref, log);
                // Not always all that waits.
                let left = drained[turn % drained.len()];
                while log.1.len() < left && !endpoint.output().is_empty() {
                    let chunk = endpoint.output().chunk().to_vec();
                    endpoint.output().advance(chunk.len());
                    log.1.extend(chunk);
                }
                turn += 1;
            }
        }
        for ((mut endpoint, _, mut log), (bytes, by_ref)) in shared.into_iter().zip(&streams) {
            log.1.extend(take(&mut endpoint));
            let mut alone = (server(), 0, Default::default());
            while alone.1 < bytes.len() {
                alone.1 += visit(&mut alone.0, &bytes[alone.1..], *by_ref, &mut alone.2);
            }
            alone.2.1.extend(take(&mut alone.0));
            prop_assert_eq!(log, alone.2);
        }
    }
}

#[test]
fn messages_stay_when_the_buffers_go_on() {
    let mut buffers = Buffers::new();
    let mut first = server();
    let mut second = server();
    let mut kept = Vec::new();
    for (endpoint, fill) in [(&mut first, 1), (&mut second, 2)] {
        for len in [10, 5_000, 50_000, 65_500, 200_000] {
            let frame = to(Role::Server, FIN | BINARY, &vec![fill; len]);
            let mut rest = &frame[..];
            while !rest.is_empty() {
                let mut endpoint = endpoint.with_buffers(&mut buffers);
                rest = &rest[endpoint.receive(rest)..];
                kept.extend(told(&mut endpoint));
            }
        }
    }
    let lens = [10, 5_000, 50_000, 65_500, 200_000];
    let expected: Vec<_> =
        [1, 2].iter().flat_map(|fill| lens.map(|len| binary(&vec![*fill; len]))).collect();
    assert!(kept == expected);
}

// A driver may look for a message and take it at a later visit.
#[test]
fn a_message_that_was_peeked_at_stays() {
    let mut buffers = Buffers::new();
    let (mut first, mut second) = (server(), server());
    {
        let mut endpoint = first.with_buffers(&mut buffers);
        let _ = endpoint.receive(&to(Role::Server, FIN | TEXT, b"first"));
        let (inbound, outbound) = endpoint.sides();
        inbound.peek(outbound).unwrap();
    }
    let heard =
        feed(&mut second.with_buffers(&mut buffers), &to(Role::Server, FIN | TEXT, b"other"));
    assert_eq!(heard, [text("other")]);
    assert_eq!(told(&mut first.with_buffers(&mut buffers)), [text("first")]);
}

// Nothing of another connection's is parsed or written.
#[test]
fn buffers_without_a_fill_hold_nothing() {
    let mut buffers = Buffers::new();
    let (mut first, mut second) = (server(), server());
    let frame = to(Role::Server, FIN | TEXT, b"secret");
    {
        let mut endpoint = first.with_buffers(&mut buffers);
        endpoint.read_buf()[..frame.len()].copy_from_slice(&frame); // and nothing is told
    }
    let mut endpoint = second.with_buffers(&mut buffers);
    assert_eq!(told(&mut endpoint), []);
    endpoint.send(Message::from("mine")).unwrap();
    assert_eq!(take(&mut endpoint), by(Role::Server, FIN | TEXT, b"mine"));
    drop(endpoint);
    assert_eq!(told(&mut first), []);
}

#[test]
fn debug_tells_how_much_there_is_and_not_what() {
    let mut endpoint = Endpoint::server_after_handshake(Config::default(), b"secret");
    endpoint.send("secret").unwrap();
    endpoint.send("secret".repeat(1000)).unwrap();
    let mut buffers = Buffers::new();
    let text = format!("{:?}", endpoint.with_buffers(&mut buffers));
    assert!(!text.contains("secret") && !text.contains("115, 101, 99"), "{text}");
    assert!(text.len() < 3000, "{} characters: {text}", text.len());
    assert!(text.contains("unread: 6") && text.contains("len: 6012"), "{text}");
}
