//! Endpoints that share their buffers tell the same as endpoints that have their own.
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use common::*;
use ends::{Seen, *};
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

/// Passes as many bytes as are taken at once, echoes, and writes up to this much; gives how many bytes
/// were taken.
fn visit(
    endpoint: &mut Endpoint,
    bytes: &[u8],
    by_ref: bool,
    mut room: usize,
    log: &mut (Vec<Seen>, Vec<u8>),
) -> usize {
    let count = endpoint.inbound.receive(bytes);
    loop {
        let answer = if by_ref { next_ref(endpoint, 0) } else { next(endpoint, 0) };
        match answer {
            Answer::Told(event) => {
                match &event {
                    Seen::Text(text) => endpoint.outbound.queue(text).unwrap(),
                    Seen::Binary(bytes) => endpoint.outbound.queue(&bytes[..]).unwrap(),
                    _ => {}
                }
                log.0.push(event);
            }
            Answer::Write(output, ..) if room > 0 => {
                let count = write(endpoint, 0, room);
                log.1.extend_from_slice(&output[..count]);
                room -= count;
            }
            _ => return count,
        }
    }
}

proptest! {
    #[test]
    fn shared_buffers_change_nothing(
        streams in proptest::collection::vec((stream(), any::<bool>()), 1..4),
        sizes in proptest::collection::vec(1..70_000_usize, 1..20),
        // Not always all that waits.
        rooms in proptest::collection::vec(1_000..100_000_usize, 1..20),
    ) {
        let mut buffers = Buffers::new();
        let mut shared: Vec<_> = streams.iter().map(|_| (server(), 0, Default::default())).collect();
        let mut turn = 0;
        while shared.iter().zip(&streams).any(|((_, at, _), (bytes, _))| *at < bytes.len()) {
            for ((endpoint, at, log), (bytes, by_ref)) in shared.iter_mut().zip(&streams) {
                let (size, room) = (sizes[turn % sizes.len()], rooms[turn % rooms.len()]);
                let mut endpoint = endpoint.with_buffers(&mut buffers);
                let piece = &bytes[*at..(*at + size).min(bytes.len())];
                *at += visit(&mut endpoint, piece, *by_ref, room, log);
                turn += 1;
            }
        }
        for ((mut endpoint, _, mut log), (bytes, by_ref)) in shared.into_iter().zip(&streams) {
            let mut endpoint = endpoint.with_buffers(&mut buffers);
            visit(&mut endpoint, b"", *by_ref, usize::MAX, &mut log);
            let (mut alone, mut at, mut log_alone) = (server(), 0, Default::default());
            while at < bytes.len() {
                at += visit(&mut alone, &bytes[at..], *by_ref, usize::MAX, &mut log_alone);
            }
            prop_assert_eq!(log, log_alone);
            prop_assert_eq!(endpoint.close_info(), alone.close_info());
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
                rest = &rest[endpoint.inbound.receive(rest)..];
                kept.extend(seen(&mut endpoint));
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
fn a_message_that_was_found_stays() {
    let mut buffers = Buffers::new();
    let (mut first, mut second) = (server(), server());
    {
        let mut endpoint = first.with_buffers(&mut buffers);
        let _ = endpoint.inbound.receive(&to(Role::Server, FIN | TEXT, b"first"));
        let Endpoint { inbound, outbound, .. } = &mut *endpoint;
        assert!(inbound.has_message(outbound));
    }
    let heard =
        feed(&mut second.with_buffers(&mut buffers), &to(Role::Server, FIN | TEXT, b"other"));
    assert_eq!(heard, [text("other")]);
    assert_eq!(seen(&mut first.with_buffers(&mut buffers)), [text("first")]);
}

// Nothing of another connection's is parsed or written.
#[test]
fn buffers_without_a_fill_hold_nothing() {
    let mut buffers = Buffers::new();
    let (mut first, mut second) = (server(), server());
    let frame = to(Role::Server, FIN | TEXT, b"secret");
    {
        let mut endpoint = first.with_buffers(&mut buffers);
        endpoint.inbound.read_buf()[..frame.len()].copy_from_slice(&frame); // and nothing is told
    }
    let mut endpoint = second.with_buffers(&mut buffers);
    assert_eq!(seen(&mut endpoint), []);
    endpoint.outbound.queue(Message::from("mine")).unwrap();
    assert_eq!(take(&mut endpoint), by(Role::Server, FIN | TEXT, b"mine"));
    drop(endpoint);
    assert_eq!(seen(&mut first), []);
}

#[test]
fn debug_tells_how_much_there_is_and_not_what() {
    let mut endpoint = Endpoint::server_after_handshake(Config::default(), b"secret");
    endpoint.outbound.queue("secret").unwrap();
    endpoint.outbound.queue("secret".repeat(1000)).unwrap();
    let mut buffers = Buffers::new();
    let text = format!("{:?}", endpoint.with_buffers(&mut buffers));
    assert!(!text.contains("secret") && !text.contains("115, 101, 99"), "{text}");
    assert!(text.len() < 3000, "{} characters: {text}", text.len());
    assert!(text.contains("unread: 6") && text.contains("len: 6012"), "{text}");
}
