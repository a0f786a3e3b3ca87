//! Messages and control frames between endpoints: RFC 6455 §5 and §6.
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use common::*;
use ends::{Seen, *};
use proptest::prelude::*;
use ws_core::endpoint::{Event, Next, Options, Output};
use ws_core::{
    CloseCode, Config, Endpoint, Message, MessageKind, PreparedMessage, Role, SendError,
};

#[derive(Clone, Debug)]
enum Act {
    Send(Message),
    SendRef(Message),
    Prepared(Message),
    Fragments(MessageKind, Vec<Vec<u8>>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        ".{0,40}".prop_map(|text| Message::from(text.as_str())),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Message::from),
        (0_usize..20_000, any::<u8>()).prop_map(|(len, byte)| Message::from(vec![byte; len])),
        (0_usize..5000).prop_map(|len| Message::from("κό".repeat(len))),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let small = || proptest::collection::vec(any::<u8>(), 0..125);
    prop_oneof![
        message().prop_map(Act::Send),
        message().prop_map(Act::SendRef),
        message().prop_map(Act::Prepared),
        proptest::collection::vec(small(), 1..5)
            .prop_map(|parts| Act::Fragments(MessageKind::Binary, parts)),
        (".{1,20}", 1_usize..5).prop_map(|(text, size)| Act::Fragments(
            MessageKind::Text,
            text.as_bytes().chunks(size).map(<[u8]>::to_vec).collect()
        )),
        small().prop_map(Act::Ping),
        small().prop_map(Act::Pong),
    ]
}

/// Does it, and says what the peer is to be told.
fn perform(endpoint: &mut Endpoint, act: &Act) -> Seen {
    let out = &mut endpoint.outbound;
    match act {
        Act::Send(message) => out.queue(message.clone()).unwrap(),
        Act::SendRef(message) => out.queue_ref(message).unwrap(),
        Act::Prepared(message) => out.queue_prepared(&PreparedMessage::new(message)).unwrap(),
        Act::Ping(payload) => out.ping(payload).unwrap(),
        Act::Pong(payload) => out.pong(payload).unwrap(),
        Act::Fragments(kind, parts) => {
            for (at, part) in parts.iter().enumerate() {
                out.queue_fragment(*kind, part, at + 1 == parts.len()).unwrap();
            }
        }
    }
    match act {
        Act::Send(message) | Act::SendRef(message) | Act::Prepared(message) => {
            own(Event::Message(message.clone()))
        }
        Act::Ping(payload) => ping(payload),
        Act::Pong(payload) => pong(payload),
        Act::Fragments(MessageKind::Binary, parts) => binary(&parts.concat()),
        Act::Fragments(MessageKind::Text, parts) => {
            text(core::str::from_utf8(&parts.concat()).unwrap())
        }
    }
}

/// Passes bytes in pieces; asks by either way.
fn pass(endpoint: &mut Endpoint, bytes: &[u8], sizes: &[usize], by_ref: bool) -> Vec<Seen> {
    let (mut all, mut rest) = (Vec::new(), bytes);
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = (*sizes.next().unwrap()).min(rest.len());
        rest = &rest[endpoint.inbound.receive(&rest[..size])..];
        while let Some(event) = event(endpoint, by_ref) {
            all.push(event);
        }
    }
    all
}

proptest! {
    // What one end sends is what the other is told, whole and in order, however the stream is cut.
    #[test]
    fn messages_arrive_as_they_were_sent(
        acts in proptest::collection::vec((act(), any::<bool>()), 1..12),
        sizes in proptest::collection::vec(1_usize..5000, 1..6),
        max_frame in prop_oneof![Just(u64::MAX), 1_u64..10_000],
    ) {
        let config = Config::new().max_outgoing_frame(max_frame);
        let mut ends = [open(Role::Server, config), open(Role::Client, config)];
        let mut expected = [Vec::new(), Vec::new()];
        for (act, by_server) in &acts {
            let (from, to) = if *by_server { (0, 1) } else { (1, 0) };
            let told = perform(&mut ends[from], act);
            let output = take(&mut ends[from]);
            if let Seen::Ping(payload) = &told {
                expected[from].push(pong(payload));
            }
            expected[to].push(told);
            for by_ref in [true, false] {
                // A twin of the receiver is asked by the other way.
                if by_ref {
                    let role = if *by_server { Role::Client } else { Role::Server };
                    let events = pass(&mut open(role, config), &output, &sizes, true);
                    prop_assert_eq!(&events[..], &expected[to][expected[to].len() - 1..]);
                } else {
                    let before = expected[to].len() - 1;
                    let events = pass(&mut ends[to], &output, &sizes, false);
                    prop_assert_eq!(&events[..], &expected[to][before..]);
                }
            }
            // The Pong goes back.
            let reply = take(&mut ends[to]);
            let events = pass(&mut ends[from], &reply, &sizes, true);
            if let Some(Seen::Ping(payload)) = expected[to].last() {
                prop_assert_eq!(&events[..], &[pong(payload)]);
            } else {
                prop_assert_eq!(&events[..], &[]);
            }
        }
    }

    // Both ways to ask tell the same, and send the same, whatever a peer sends.
    #[test]
    fn next_and_next_ref_agree(
        stream in proptest::collection::vec(
            prop_oneof![
                4 => (prop::sample::select(vec![CONT, TEXT, BINARY, PING, PONG]), any::<bool>(), "[aκ\u{10348}]{0,20}")
                    .prop_map(|(opcode, fin, text)| (opcode | if fin { FIN } else { 0 }, text.into_bytes())),
                1 => (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..130)),
            ],
            1..10,
        ),
        sizes in proptest::collection::vec(1_usize..40, 1..6),
        server in any::<bool>(),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let bytes: Vec<u8> = stream.iter().flat_map(|(first, payload)| to(role, *first, payload)).collect();
        let (mut own, mut lent, mut whole) = (open(role, Options::new()), open(role, Options::new()), open(role, Options::new()));
        let told = pass(&mut own, &bytes, &sizes, false);
        prop_assert_eq!(&pass(&mut lent, &bytes, &sizes, true), &told);
        prop_assert_eq!(&pass(&mut whole, &bytes, &[bytes.len()], true), &told);
        let output = take(&mut own);
        prop_assert_eq!(take(&mut lent), &output[..]);
        prop_assert_eq!(take(&mut whole), output);
        prop_assert_eq!(own.close_info(), lent.close_info());
    }
}

// RFC 6455 §5.4
#[test]
fn long_messages_go_out_in_fragments() {
    for role in ROLES {
        for (max, len) in [(4, 10), (4, 8), (1, 3), (0, 2), (5000, 12_000), (100, 0)] {
            let mut endpoint = open(role, Config::new().max_outgoing_frame(max));
            let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let max = (max as usize).max(1);
            let mut expected: Vec<(u8, Vec<u8>)> =
                payload.chunks(max).map(|part| (CONT, part.to_vec())).collect();
            if expected.is_empty() {
                expected.push((CONT, vec![]));
            }
            expected.first_mut().unwrap().0 = BINARY;
            expected.last_mut().unwrap().0 |= FIN;
            let message = Message::from(payload.clone());
            endpoint.outbound.queue(message.clone()).unwrap();
            assert_eq!(plain(&take(&mut endpoint)), expected, "{role:?} {max}");
            endpoint.outbound.queue_prepared(&PreparedMessage::new(&message)).unwrap();
            assert_eq!(plain(&take(&mut endpoint)), expected, "{role:?} {max}");
            endpoint.outbound.queue_fragment(MessageKind::Binary, &payload, true).unwrap();
            assert_eq!(plain(&take(&mut endpoint)), expected, "{role:?} {max}");
        }
    }
}

// RFC 6455 §5.4, §5.5: only control frames get between the fragments of a message
#[test]
fn send_fragment_keeps_a_message_open() {
    for role in ROLES {
        let mut endpoint = open(role, Options::new());
        let out = &mut endpoint.outbound;
        out.queue_fragment(MessageKind::Text, "κ".as_bytes().split_at(1).0, false).unwrap();
        let unsent = out.queue("other").unwrap_err();
        assert_eq!((unsent.message, unsent.error), ("other".into(), SendError::MessageOpen));
        let prepared = PreparedMessage::new(&Message::from(vec![0; 5000]));
        assert_eq!(out.queue_prepared(&prepared), Err(SendError::MessageOpen));
        assert_eq!(out.queue_fragment(MessageKind::Binary, b"", true), Err(SendError::MessageOpen));
        out.ping(b"p").unwrap();
        out.queue_fragment(MessageKind::Text, b"", false).unwrap();
        out.queue_fragment(MessageKind::Text, "κ".as_bytes().split_at(1).1, true).unwrap();
        out.queue("next").unwrap();
        let expected = [
            // The first half of the character is kept.
            (TEXT, vec![]),
            (FIN | PING, b"p".to_vec()),
            (CONT, vec![]),
            (FIN | CONT, vec![0xce, 0xba]),
            (FIN | TEXT, b"next".to_vec()),
        ];
        assert_eq!(plain(&take(&mut endpoint)), expected);
    }
}

// RFC 6455 §5.3, §10.3: CVE-2025-10148
#[test]
fn client_mask_key_fresh_per_frame() {
    let mut client = Endpoint::client_after_handshake(Options::new(), random(), b"");
    let prepared = PreparedMessage::new(&Message::from("same"));
    for round in 0..200 {
        match round % 4 {
            0 => client.outbound.queue("same").unwrap(),
            1 => client.outbound.queue_prepared(&prepared).unwrap(),
            2 => client.outbound.ping(b"same").unwrap(),
            _ => assert_eq!(feed(&mut client, &to(Role::Client, FIN | PING, b"same")).len(), 1),
        }
    }
    client.outbound.start_close(CloseCode::NORMAL, "same").unwrap();
    let sent = frames(&take(&mut client));
    assert_eq!(sent.len(), 201);
    assert!(sent[..200].iter().all(|(_, _, payload)| payload == b"same"));
    let mut keys: Vec<_> = sent.iter().map(|(_, key, _)| key.unwrap()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 201, "a key was used twice");
}

// RFC 6455 §5.3: the keys are the generator's bytes, each used once, and nothing else
#[test]
fn client_mask_keys_not_sequential() {
    let (sender, given) = std::sync::mpsc::channel();
    let mut inner = random();
    let random: Random = Box::new(move |bytes| {
        let filled = inner(bytes);
        sender.send(bytes.to_vec()).unwrap();
        filled
    });
    let mut client = Endpoint::client_after_handshake(Options::new(), random, b"");
    for _ in 0..150 {
        client.outbound.queue("x").unwrap();
    }
    let keys: Vec<u8> =
        frames(&take(&mut client)).iter().flat_map(|(_, key, _)| key.unwrap()).collect();
    let given: Vec<u8> = given.try_iter().flatten().collect();
    assert_eq!(keys, given[..keys.len()]);
    let steps: std::collections::HashSet<u32> = keys
        .chunks(4)
        .map(|key| u32::from_be_bytes(key.try_into().unwrap()))
        .collect::<Vec<_>>()
        .windows(2)
        .map(|pair| pair[1].wrapping_sub(pair[0]))
        .collect();
    assert!(steps.len() > 140, "{}", steps.len());
}

// A server's large payload is not copied, a prepared frame is the same for all.
#[test]
fn server_shares_large_payloads_uncopied() {
    let message = Message::from(vec![7; 100_000]);
    let prepared = PreparedMessage::new(&message);
    let (mut one, mut two) = (server(), server());
    for server in [&mut one, &mut two] {
        server.outbound.queue("before").unwrap();
        server.outbound.queue(message.clone()).unwrap();
        server.outbound.queue_prepared(&prepared).unwrap();
        server.outbound.queue("after").unwrap();
        let Next::Write { output, .. } = server.next(|| AT(0)) else { panic!("output") };
        let shared: Vec<_> =
            output.slices().filter(|part| part.len() >= 100_000).map(<[u8]>::as_ptr).collect();
        assert_eq!(shared, [message.as_bytes().as_ptr(), prepared.frame().as_ptr()]);
    }
    let (one, two) = (take(&mut one), take(&mut two));
    assert_eq!(one, two);
    let large = (FIN | BINARY, vec![7; 100_000]);
    let expected =
        [(FIN | TEXT, b"before".to_vec()), large.clone(), large, (FIN | TEXT, b"after".to_vec())];
    assert_eq!(plain(&one), expected);
}

// A slow reader: the rest of the output stays in order while more is added.
#[test]
fn partly_written_output_keeps_its_order() {
    for role in ROLES {
        for step in [1000, 9000, 25_000] {
            let mut endpoint = open(role, Options::new());
            let (mut sent, mut expected) = (Vec::new(), Vec::new());
            let mut write = |endpoint: &mut Endpoint, most: usize| {
                let Next::Write { mut output, .. } = endpoint.next(|| AT(0)) else { return };
                let all: Vec<u8> = output.slices().flatten().copied().take(most).collect();
                output.advance(all.len());
                sent.extend(all);
            };
            for round in 0..200_u8 {
                for len in [3000, 5000, 10, 4000] {
                    endpoint.outbound.queue(vec![round; len]).unwrap();
                    expected.push((FIN | BINARY, vec![round; len]));
                }
                write(&mut endpoint, step);
            }
            write(&mut endpoint, usize::MAX);
            assert_eq!(endpoint.outbound.waiting(), 0);
            assert!(plain(&sent) == expected, "{role:?} {step}");
        }
    }
}

#[test]
fn output_full_gives_the_message_back() {
    for role in ROLES {
        let mut endpoint = open(role, Options::new().max_output(1000));
        // When nothing waits, a single message may be longer.
        for message in [Message::from(vec![1; 2000]), Message::from(vec![1; 10_000])] {
            let out = &mut endpoint.outbound;
            out.queue(message.clone()).unwrap();
            let waiting = out.waiting();
            for refused in [Message::from("x"), message.clone()] {
                let unsent = out.queue(refused.clone()).unwrap_err();
                let full = (refused.clone(), SendError::OutputFull);
                assert_eq!((unsent.message, unsent.error), full);
                let prepared = PreparedMessage::new(&refused);
                assert_eq!(out.queue_prepared(&prepared), Err(SendError::OutputFull));
                assert_eq!(out.queue_ref(&refused), Err(SendError::OutputFull));
                let fragment = out.queue_fragment(MessageKind::Text, b"x", true);
                assert_eq!(fragment, Err(SendError::OutputFull));
                assert_eq!(out.ping(b""), Err(SendError::OutputFull));
            }
            assert_eq!(out.waiting(), waiting, "nothing was written");
            let expected = [(FIN | BINARY, message.into_bytes().to_vec())];
            assert_eq!(plain(&take(&mut endpoint)), expected);
        }
        let out = &mut endpoint.outbound;
        for _ in 0..10 {
            out.queue(vec![1; 80]).unwrap();
        }
        assert_eq!(out.queue(vec![1; 300]).unwrap_err().error, SendError::OutputFull);
        // A reply has room up to the limit, a Close frame always.
        assert_eq!(feed(&mut endpoint, &to(role, FIN | PING, b"p")).len(), 1);
        endpoint.outbound.start_close(CloseCode::GOING_AWAY, "").unwrap();
        let sent = plain(&take(&mut endpoint));
        assert_eq!(sent.len(), 12);
        assert_eq!(sent[10..], [(FIN | PONG, b"p".to_vec()), (FIN | CLOSE, vec![3, 233])]);
    }
}

// RFC 6455 §5.5.3, CVE-2026-11586: a flood of pings costs a bounded output
#[test]
fn ping_flood_is_bounded() {
    for role in ROLES {
        let mut endpoint = open(role, Options::new().max_output(10_000));
        for number in 0..100_000_u32 {
            let ping = to(role, FIN | PING, &number.to_be_bytes());
            assert_eq!(feed(&mut endpoint, &ping), [self::ping(&number.to_be_bytes())]);
            assert!(endpoint.outbound.waiting() < 10_000 + 131);
        }
        // Without output in between, the pongs up to the limit are there, in order.
        let all = plain(&take(&mut endpoint));
        let (last, pongs) = all.split_last().unwrap();
        assert!(pongs.len() >= 900, "{}", pongs.len());
        for (number, pong) in (0_u32..).zip(pongs) {
            assert_eq!(*pong, (FIN | PONG, number.to_be_bytes().to_vec()));
        }
        // Past it only the latest Ping is answered.
        assert_eq!(*last, (FIN | PONG, 99_999_u32.to_be_bytes().to_vec()));
        assert!(endpoint.outbound.is_open());
    }
}

// Autobahn 2.10
#[test]
fn ten_pings_are_answered_in_order() {
    for role in ROLES {
        for piece in [1, usize::MAX] {
            let mut endpoint = open(role, Options::new());
            let pings: Vec<u8> = (0..10).flat_map(|n| to(role, FIN | PING, &[n; 3])).collect();
            let told: Vec<_> = pings
                .chunks(piece.min(pings.len()))
                .flat_map(|piece| feed(&mut endpoint, piece))
                .collect();
            assert_eq!(told, (0..10).map(|n| ping(&[n; 3])).collect::<Vec<_>>());
            let pongs: Vec<_> = (0..10).map(|n| (FIN | PONG, vec![n; 3])).collect();
            assert_eq!(plain(&take(&mut endpoint)), pongs);
        }
    }
}

// What was lent may be answered while it is held.
#[test]
fn lent_messages_are_answered_on_the_spot() {
    for role in ROLES {
        let mut endpoint = open(role, Options::new());
        let large = vec![b'x'; 100_000];
        let stream =
            [to(role, FIN | TEXT, "κόσμε".as_bytes()), to(role, FIN | BINARY, &large)].concat();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            rest = &rest[endpoint.inbound.receive(rest)..];
            while let Next::Event((event, out)) = endpoint.next_ref(|| AT(0)) {
                let Event::Message(message) = event else { panic!("{event:?}") };
                out.queue_ref(message).unwrap();
            }
        }
        // The mask that they came with does not go back.
        let key = (role == Role::Client).then_some(KEY);
        let expected = [(FIN | TEXT, key, "κόσμε".as_bytes().to_vec()), (FIN | BINARY, key, large)];
        assert!(frames(&take(&mut endpoint)) == expected, "{role:?}");
    }
}

// Only what the stream has not taken is copied; the rest counts as output until it is told to be written.
#[test]
fn a_lent_message_is_written_at_once_with_what_waits() {
    for waiting in ["", "first"] {
        let payload: Vec<u8> = (0..300_u16).map(|at| at as u8).collect();
        let before = if waiting.is_empty() {
            Vec::new()
        } else {
            by(Role::Server, FIN | TEXT, waiting.as_bytes())
        };
        let wire = [before, by(Role::Server, FIN | BINARY, &payload)].concat();
        // The stream cannot take more than it was given.
        for taken in (0..=wire.len()).chain([usize::MAX]) {
            let mut endpoint = open(Role::Server, Options::new());
            if !waiting.is_empty() {
                endpoint.outbound.queue(waiting).unwrap();
            }
            let mut offered = Vec::new();
            let queued = endpoint.outbound.queue_and_write(&payload[..], |output, payload| {
                offered.extend(output.slices().chain([payload]).flatten());
                taken
            });
            assert_eq!((queued, &offered), (Ok(()), &wire));
            let taken = taken.min(wire.len());
            assert_eq!(endpoint.outbound.waiting(), wire.len());
            endpoint.outbound.written(taken);
            assert_eq!(endpoint.outbound.waiting(), wire.len() - taken);
            endpoint.outbound.queue("behind").unwrap();
            let behind = by(Role::Server, FIN | TEXT, b"behind");
            assert_eq!(take(&mut endpoint), [&wire[taken..], &behind].concat());
        }
    }
}

#[test]
fn what_has_to_be_copied_or_is_refused_is_not_written_at_once() {
    let never = |_: &_, _: &[u8]| panic!("it was offered");
    let mut client = open(Role::Client, Options::new());
    client.outbound.queue_and_write("masked", never).unwrap();
    assert_eq!(plain(&take(&mut client)), [(FIN | TEXT, b"masked".to_vec())]);

    let cut = Config::new().max_outgoing_frame(4);
    let mut server = open(Role::Server, Options::new().config(cut).max_output(100));
    server.outbound.queue_and_write("in two", never).unwrap();
    server.outbound.queue_and_write("last", never).unwrap();
    let fragments = [(TEXT, b"in t".to_vec()), (FIN | CONT, b"wo".to_vec())];
    let expected = [&fragments[..], &[(FIN | TEXT, b"last".to_vec())]].concat();
    assert_eq!(plain(&take(&mut server)), expected);

    server.outbound.queue("full").unwrap();
    let mut taken = Output::default();
    server.outbound.take_output(&mut taken);
    server.outbound.queue_and_write("next", never).unwrap();
    assert_eq!(plain(taken.chunk()), [(FIN | TEXT, b"full".to_vec())]);
    server.outbound.written(taken.len());
    assert_eq!(plain(&take(&mut server)), [(FIN | TEXT, b"next".to_vec())]);

    server.outbound.queue("full").unwrap();
    let refused = server.outbound.queue_and_write(&[0; 100][..], never);
    assert_eq!(refused, Err(SendError::OutputFull));
    server.outbound.start_close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(server.outbound.queue_and_write("late", never), Err(SendError::Closing));
}

// A message that was found is not lost by what comes before it is fetched.
#[test]
fn a_message_that_was_found_stays_until_it_is_told() {
    for role in ROLES {
        for by_ref in [false, true] {
            let mut endpoint = open(role, Options::new());
            let stream = [
                to(role, FIN | TEXT, b"one"),
                to(role, FIN | PING, b"p"),
                to(role, FIN | CLOSE, b""),
            ];
            assert_eq!(endpoint.inbound.receive(&stream[0]), stream[0].len());
            for _ in 0..3 {
                assert!(endpoint.inbound.has_message(&mut endpoint.outbound));
            }
            assert!(endpoint.inbound.read_buf().is_empty());
            endpoint.release_buffers();
            assert_eq!(event(&mut endpoint, by_ref), Some(text("one")));
            assert!(!endpoint.inbound.has_message(&mut endpoint.outbound));
            let rest = stream[1..].concat();
            assert_eq!(endpoint.inbound.receive(&rest), rest.len());
            endpoint.inbound.receive_eof();
            // What is no message stays as well.
            assert!(!endpoint.inbound.has_message(&mut endpoint.outbound));
            assert_eq!(event(&mut endpoint, by_ref), Some(ping(b"p")));
            assert!(!endpoint.inbound.has_message(&mut endpoint.outbound));
            assert_eq!(seen(&mut endpoint), [closed(1005, "")]);
        }
    }
}
