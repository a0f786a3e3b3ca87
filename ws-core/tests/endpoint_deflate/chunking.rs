//! The same events whatever the settings, and however the bytes are cut, read and asked for.

use proptest::collection::vec;
use proptest::prelude::*;
use ws_core::deflate::{DeflateParams, Pool, WindowBits};
use ws_core::endpoint::{Compression, Output};
use ws_core::{Config, Endpoint, Message, MessageKind, PreparedMessage, Role};

use crate::common::ROLES;
use crate::driver::{Log, Step, Told, Way, agreed, feed, message, take};

/// What is in a message.
#[derive(Clone, Copy, Debug)]
enum Sort {
    Same,
    /// Short words in any order.
    Words,
    /// Characters of one to four bytes.
    Characters,
    /// What cannot be compressed, if it is binary.
    Noise,
}

#[derive(Clone, Debug)]
enum Act {
    Queue,
    QueueRef,
    /// By a driver that writes at once: so much of it, at most.
    AndWrite(usize),
    Prepared,
    /// Piece by piece, cut at these places.
    Pieces(Vec<u16>),
}

#[derive(Clone, Debug)]
struct Sent {
    act: Act,
    kind: MessageKind,
    sort: Sort,
    len: usize,
    seed: u32,
    /// Whether it may be compressed.
    compression: bool,
    /// Whether all is written before the next one, with a Ping wherever it can be.
    drain: bool,
}

impl Sent {
    fn message(&self) -> Message {
        let mut state = self.seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let mut bytes = Vec::new();
        while bytes.len() < self.len {
            match self.sort {
                Sort::Same => bytes.resize(self.len, b'a'),
                Sort::Words => bytes.extend_from_slice(
                    [&b"alpha "[..], b"beta ", b"gamma, ", b"42 ", b"{\"id\":"]
                        [next() as usize % 5],
                ),
                Sort::Characters => {
                    let characters = ['a', '\u{3ba}', '\u{20ac}', '\u{10348}', '\n'];
                    let mut buffer = [0; 4];
                    let character = characters[next() as usize % 5].encode_utf8(&mut buffer);
                    bytes.extend_from_slice(character.as_bytes());
                }
                Sort::Noise if self.kind == MessageKind::Text => {
                    bytes.push(b' ' + (next() >> 8) as u8 % 90);
                }
                Sort::Noise => bytes.push((next() >> 8) as u8),
            }
        }
        match self.kind {
            MessageKind::Text => Message::from(String::from_utf8(bytes).unwrap()),
            MessageKind::Binary => Message::from(bytes),
        }
    }

    fn send(&self, endpoint: &mut Endpoint, message: &Message, wire: &mut Vec<u8>) {
        endpoint.outbound.set_compression(self.compression);
        match &self.act {
            Act::Queue => endpoint.outbound.queue(message.clone()).unwrap(),
            Act::QueueRef => endpoint.outbound.queue_ref(message).unwrap(),
            Act::AndWrite(most) => {
                let write = |output: &Output, payload: &[u8]| {
                    let all: Vec<u8> = output.slices().flatten().chain(payload).copied().collect();
                    let count = all.len().min(*most);
                    wire.extend_from_slice(&all[..count]);
                    count
                };
                endpoint.outbound.queue_and_write(message, write).unwrap();
                endpoint.outbound.written(*most);
            }
            Act::Prepared => {
                endpoint.outbound.queue_prepared(&PreparedMessage::new(message)).unwrap();
            }
            Act::Pieces(places) => {
                let mut rest = message.as_bytes();
                for place in places {
                    let at = usize::from(*place) % (rest.len() + 1);
                    let (piece, tail) = rest.split_at(at);
                    rest = tail;
                    endpoint.outbound.queue_fragment(message.kind(), piece, false).unwrap();
                    // What is set in the middle holds from the next message on.
                    endpoint.outbound.set_compression(!self.compression);
                    if self.drain {
                        wire.extend(take(endpoint, true));
                        endpoint.outbound.ping(b"inside").unwrap();
                    }
                }
                endpoint.outbound.queue_fragment(message.kind(), rest, true).unwrap();
            }
        }
        if self.drain {
            wire.extend(take(endpoint, true));
        }
    }
}

fn kind() -> impl Strategy<Value = MessageKind> {
    prop::sample::select(vec![MessageKind::Text, MessageKind::Binary])
}

fn sent() -> impl Strategy<Value = Sent> {
    let act = prop_oneof![
        3 => Just(Act::Queue),
        2 => Just(Act::QueueRef),
        1 => prop_oneof![0..100_usize, Just(usize::MAX)].prop_map(Act::AndWrite),
        1 => Just(Act::Prepared),
        3 => vec(any::<u16>(), 0..5).prop_map(Act::Pieces),
    ];
    let sort = prop::sample::select(vec![
        Sort::Same,
        Sort::Words,
        Sort::Words,
        Sort::Characters,
        Sort::Noise,
    ]);
    let len = prop_oneof![1 => Just(0_usize), 4 => 1..300_usize, 3 => 0..6_000_usize, 1 => 0..100_000_usize];
    (act, kind(), sort, len, any::<u32>(), prop::bool::weighted(0.85), any::<bool>()).prop_map(
        |(act, kind, sort, len, seed, compression, drain)| Sent {
            act,
            kind,
            sort,
            len,
            seed,
            compression,
            drain,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let way = prop::sample::select(vec![
        Way::Next,
        Way::NextRef,
        Way::Flush,
        Way::FlushAlone,
        Way::Halves,
        Way::HalvesRef,
        Way::HasMessage,
    ]);
    let size = prop_oneof![1..20_usize, 1..2_000_usize, 1..100_000_usize];
    let seldom = || prop::bool::weighted(0.2);
    (way, size, seldom(), any::<bool>(), seldom(), seldom()).prop_map(
        |(way, size, blocked, streaming, shared, releases)| Step {
            way,
            size,
            blocked,
            streaming,
            shared,
            releases,
        },
    )
}

#[derive(Clone, Debug)]
struct Settings {
    params: DeflateParams,
    least: usize,
    level: u8,
    mem_level: u8,
    max_outgoing_frame: u64,
}

fn settings() -> impl Strategy<Value = Settings> {
    let window =
        || proptest::option::of((8..=15_u8).prop_map(|bits| WindowBits::new(bits).unwrap()));
    let params = (any::<bool>(), any::<bool>(), window(), window()).prop_map(
        |(server_no_context_takeover, client_no_context_takeover, server, client)| DeflateParams {
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits: server,
            client_max_window_bits: client,
        },
    );
    let least = prop_oneof![Just(0_usize), Just(64), 0..3_000_usize];
    let frame = prop_oneof![3 => Just(u64::MAX), 1 => 1..20_u64, 2 => 1..5_000_u64];
    (params, least, 0..=9_u8, 1..=9_u8, frame).prop_map(
        |(params, least, level, mem_level, max_outgoing_frame)| Settings {
            params,
            least,
            level,
            mem_level,
            max_outgoing_frame,
        },
    )
}

/// Sends all; returns what the peer is to be told, and the bytes.
fn send(endpoint: &mut Endpoint, all: &[Sent]) -> (Vec<Told>, Vec<u8>) {
    let mut wire = Vec::new();
    let mut messages = Vec::new();
    for sent in all {
        let whole = sent.message();
        sent.send(endpoint, &whole, &mut wire);
        messages.push(message(&whole));
    }
    wire.extend(take(endpoint, false));
    (messages, wire)
}

fn without_pings(told: &[Told]) -> Vec<Told> {
    told.iter().filter(|told| !matches!(told, Told::Ping(_))).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    // RFC 7692 §6, §7: the messages are the same, in their order, and Pings where they were sent
    #[test]
    fn what_is_told_does_not_depend_on_how_it_is_sent_cut_or_asked_for(
        role in prop::sample::select(ROLES.to_vec()),
        settings in settings(),
        all in vec(sent(), 1..12),
        steps in vec(step(), 1..12),
    ) {
        let peer = match role { Role::Server => Role::Client, Role::Client => Role::Server };
        let pool = Pool::new();
        let compression = || {
            let Settings { level, mem_level, least, .. } = settings;
            Compression::new(&pool).level(level).mem_level(mem_level).least(least)
        };
        // Not so many fragments that it takes long.
        let longest = all.iter().map(|sent| sent.len as u64).max().unwrap_or(0);
        let config = Config::new().max_outgoing_frame(settings.max_outgoing_frame.max(longest / 1000));
        let mut sender = agreed(peer, compression(), settings.params, config);
        let (messages, wire) = send(&mut sender, &all);

        // By the simplest driver.
        let mut plain = Log::default();
        let mut receiver = agreed(role, compression(), settings.params, Config::new());
        feed(&mut receiver, &wire, &[Step::new(Way::Next, usize::MAX, false)], &mut plain);
        prop_assert_eq!(without_pings(&plain.told), messages);

        let mut log = Log::default();
        let mut receiver = agreed(role, compression(), settings.params, Config::new());
        feed(&mut receiver, &wire, &steps, &mut log);
        prop_assert_eq!(&log.told, &plain.told);
        prop_assert!(log.open.is_none());

        // One byte at a time, if that does not take too long.
        if wire.len() < 3_000 {
            for streaming in [false, true] {
                let mut log = Log::default();
                let mut receiver = agreed(role, compression(), settings.params, Config::new());
                feed(&mut receiver, &wire, &[Step::new(Way::NextRef, 1, streaming)], &mut log);
                prop_assert_eq!(&log.told, &plain.told);
            }
        }
    }
}

// A message that comes whole is told whole, although the one before it was told in pieces.
#[test]
fn a_whole_message_follows_one_in_pieces() {
    let pool = Pool::new();
    for role in ROLES {
        let payload = crate::driver::compress(&[b'a'; 200]);
        let frame = crate::driver::frame(role, 0xc1, &payload);
        let mut endpoint = crate::driver::usual(role, &pool);
        let mut log = Log::default();
        for streaming in [true, false, true, false] {
            feed(&mut endpoint, &frame, &[Step::new(Way::Next, usize::MAX, streaming)], &mut log);
        }
        let message = Told::Message(MessageKind::Text, vec![b'a'; 200]);
        assert_eq!(log.told, vec![message; 4]);
    }
}
