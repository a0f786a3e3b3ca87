//! What connections share: the compressed forms of a prepared message, and the engines of a pool.

use core::num::NonZeroUsize;

use ws_core::deflate::Pool;
use ws_core::endpoint::{Compression, Event, Next, Output};
use ws_core::{Config, Endpoint, Message, MessageKind, PreparedMessage, Role};

use crate::common::ROLES;
use crate::driver::*;
use crate::ends::{AT, frames, plain};

/// Text that is longer than 4 KiB when it is compressed, so that its bytes are shared.
fn long_text() -> String {
    let mut state = 1_u32;
    let mut text = String::new();
    while text.len() < 20_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(&format!("{:x},", state >> 8));
    }
    text
}

/// Where the first shared segment of the output lies, and all of the output.
fn shared_at(endpoint: &mut Endpoint) -> (*const u8, Vec<u8>) {
    let mut batch = Output::default();
    endpoint.outbound.take_output(&mut batch);
    let longest = batch.slices().max_by_key(|slice| slice.len()).unwrap().as_ptr();
    let bytes = batch.slices().flatten().copied().collect();
    endpoint.outbound.written(batch.len());
    (longest, bytes)
}

#[test]
fn prepared_messages_are_compressed_once_where_connections_agree() {
    let pool = Pool::new();
    let text = long_text();
    let server = |bits, takeover| {
        agreed(Role::Server, Compression::new(&pool), params(bits, takeover), Config::new())
    };
    let prepared = PreparedMessage::new(&Message::from(&*text));
    let clone = prepared.clone();
    let sent = |server: &mut Endpoint, prepared: &PreparedMessage| {
        server.outbound.queue_prepared(prepared).unwrap();
        shared_at(server)
    };
    let (first, bytes) = sent(&mut server(12, false), &prepared);
    assert_eq!(bytes[0], 0xc1);
    let mut again = server(12, false);
    // Another connection, the same again, and a clone of the message.
    for prepared in [&prepared, &prepared, &clone] {
        assert_eq!(sent(&mut again, prepared), (first, bytes.clone()));
    }
    // Another window is another form, and one that is kept is the connection's own.
    let (other, of_other) = sent(&mut server(9, false), &prepared);
    assert_ne!(other, first);
    let mut keeping = server(12, true);
    let (own, of_own) = sent(&mut keeping, &prepared);
    assert_ne!(own, first);
    let (_, of_next) = sent(&mut keeping, &prepared);
    assert!(of_next[0] == 0xc1 && of_next != of_own);
    // Not compressed, they share the other form.
    let mut off = server(12, false);
    off.outbound.set_compression(false);
    let (raw, of_raw) = sent(&mut off, &prepared);
    assert_eq!((raw, &of_raw[..]), (prepared.frame().as_ptr(), &prepared.frame()[..]));
    off.outbound.set_compression(true);
    assert_eq!(sent(&mut off, &prepared), (first, bytes.clone()));
    let (none, _) = sent(&mut crate::ends::server(), &prepared);
    assert_eq!(none, prepared.frame().as_ptr());

    for (stream, bits, takeover) in [
        (bytes.clone(), 12, false),
        (of_other, 9, false),
        ([of_own, of_next].concat(), 12, true),
        ([bytes, of_raw].concat(), 12, false),
    ] {
        let mut log = Log::default();
        let mut client =
            agreed(Role::Client, Compression::new(&pool), params(bits, takeover), Config::new());
        feed(&mut client, &stream, &[Step::new(Way::Next, usize::MAX, false)], &mut log);
        assert!(
            log.told
                .iter()
                .all(|told| *told == Told::Message(MessageKind::Text, text.clone().into()))
        );
        assert_eq!(log.told.len(), frames(&stream).len());
    }
}

// RFC 7692 §6: the first frame alone is marked
#[test]
fn the_first_fragment_alone_is_marked() {
    let pool = Pool::new();
    let text = long_text();
    for role in ROLES {
        let config = Config::new().max_outgoing_frame(1000);
        let sender = || agreed(role, Compression::new(&pool), params(12, true), config);
        let check = |endpoint: &mut Endpoint, what: &str| {
            let sent = plain(&take(endpoint, false));
            assert!(sent.len() > 3, "{what}");
            let last = sent.len() - 1;
            for (at, (first, payload)) in sent.iter().enumerate() {
                let marked = if at == 0 { 0x41 } else { 0 } | if at == last { 0x80 } else { 0 };
                assert_eq!(*first, marked, "{role:?} {what} {at}");
                assert!(payload.len() <= 1000);
            }
        };
        let mut endpoint = sender();
        endpoint.outbound.queue(&*text).unwrap();
        check(&mut endpoint, "queue");
        endpoint.outbound.queue_ref(&*text).unwrap();
        check(&mut endpoint, "queue_ref");
        endpoint.outbound.queue_prepared(&PreparedMessage::new(&Message::from(&*text))).unwrap();
        check(&mut endpoint, "queue_prepared");
        for piece in text.as_bytes().chunks(7_000) {
            endpoint.outbound.queue_fragment(MessageKind::Text, piece, false).unwrap();
        }
        endpoint.outbound.queue_fragment(MessageKind::Text, b"", true).unwrap();
        check(&mut endpoint, "queue_fragment");
    }
}

// RFC 7692 §7.2.3.6: an empty message, and an empty last fragment
#[test]
fn empty_messages_and_fragments_are_whole_messages() {
    let pool = Pool::new();
    for role in ROLES {
        let peer = match role {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        };
        let compression = || Compression::new(&pool).least(0);
        let mut sender = agreed(role, compression(), params(12, true), Config::new());
        let out = &mut sender.outbound;
        out.queue_ref("").unwrap();
        out.queue(Message::from(Vec::new())).unwrap();
        out.queue_fragment(MessageKind::Text, b"", true).unwrap();
        out.queue_fragment(MessageKind::Binary, b"", false).unwrap();
        out.queue_fragment(MessageKind::Binary, b"", true).unwrap();
        out.queue_fragment(MessageKind::Text, b"ab", false).unwrap();
        out.queue_fragment(MessageKind::Text, b"", false).unwrap();
        out.queue_fragment(MessageKind::Text, b"c", false).unwrap();
        out.queue_fragment(MessageKind::Text, b"", true).unwrap();
        let stream = take(&mut sender, false);
        let firsts: Vec<u8> = plain(&stream).iter().map(|(first, _)| *first).collect();
        assert_eq!(firsts, [0x81, 0x82, 0x81, 0x42, 0x80, 0x41, 0, 0, 0x80]);
        for way in WAYS {
            for size in [1, usize::MAX] {
                for streaming in [false, true] {
                    let mut log = Log::default();
                    let mut receiver = agreed(peer, compression(), params(12, true), Config::new());
                    feed(&mut receiver, &stream, &[Step::new(way, size, streaming)], &mut log);
                    let told = [
                        ("", MessageKind::Text),
                        ("", MessageKind::Binary),
                        ("", MessageKind::Text),
                        ("", MessageKind::Binary),
                        ("abc", MessageKind::Text),
                    ];
                    let told = told.map(|(text, kind)| Told::Message(kind, text.into()));
                    assert_eq!(log.told, told, "{role:?} {way:?} {size} {streaming}");
                }
            }
        }
    }
}

/// Both ends of a connection, and the messages that went through it.
struct Link {
    server: Endpoint,
    client: Endpoint,
    sent: usize,
}

impl Link {
    fn new(pool: &Pool, number: usize) -> Self {
        let bits = 8 + (number % 8) as u8;
        let compression = || Compression::new(pool).level((number % 5) as u8 + 1);
        let params = params(bits, number % 3 != 0);
        Self {
            server: agreed(Role::Server, compression(), params, Config::new()),
            client: agreed(Role::Client, compression(), params, Config::new()),
            sent: 0,
        }
    }

    /// A message each way, which arrive in one piece, or in two with something else in between.
    fn exchange(&mut self, number: usize, between: &mut dyn FnMut()) {
        let text = format!("connection {number}, message {}: ", self.sent).repeat(20 + self.sent);
        self.sent += 1;
        let Self { server, client, .. } = self;
        for to_client in [true, false] {
            let (from, to) =
                if to_client { (&mut *server, &mut *client) } else { (&mut *client, &mut *server) };
            from.outbound.queue(&*text).unwrap();
            let wire = take(from, false);
            let mut log = Log::default();
            let step = Step::new(Way::NextRef, usize::MAX, number % 2 == 0);
            let (first, rest) = wire.split_at(wire.len() / 2);
            feed(to, first, &[step], &mut log);
            between();
            feed(to, rest, &[step], &mut log);
            assert_eq!(log.told, [Told::Message(MessageKind::Text, text.clone().into())]);
        }
    }
}

#[test]
fn many_connections_share_one_engine() {
    let pool = Pool::with_engines(NonZeroUsize::MIN);
    let mut links: Vec<_> = (0..16).map(|number| Link::new(&pool, number)).collect();
    let mut other = Link::new(&pool, 100);
    for _ in 0..6 {
        for (number, link) in links.iter_mut().enumerate() {
            link.exchange(number, &mut || other.exchange(100, &mut || {}));
        }
    }
}

#[test]
fn threads_share_a_pool() {
    for engines in [1, 3] {
        let pool = Pool::with_engines(NonZeroUsize::new(engines).unwrap());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let pool = &pool;
                scope.spawn(move || {
                    let mut links: Vec<_> =
                        (0..4).map(|number| Link::new(pool, thread * 4 + number)).collect();
                    for _ in 0..10 {
                        for (number, link) in links.iter_mut().enumerate() {
                            link.exchange(thread * 4 + number, &mut || {});
                        }
                    }
                });
            }
        });
    }
}

// What is shown goes to logs: neither the messages nor what is kept of them.
#[test]
fn debug_shows_no_plaintext() {
    let pool = Pool::new();
    for role in ROLES {
        let mut endpoint = usual(role, &pool);
        let secret = "hidden".repeat(20);
        endpoint.outbound.queue(&*secret).unwrap();
        let stream = frame(role, 0xc1, &compress(secret.as_bytes()));
        let mut log = Log::default();
        feed(&mut endpoint, &stream, &[Step::new(Way::Next, usize::MAX, false)], &mut log);
        assert_eq!(log.told, [Told::Message(MessageKind::Text, secret.clone().into())]);
        for form in [format!("{endpoint:?}"), format!("{endpoint:#?}")] {
            let numbers = form.replace([' ', '\n'], "");
            assert!(
                !form.contains("hidden") && !numbers.contains("104,105,100,100,101,110"),
                "{form}"
            );
        }
    }
}

// A fragment that is the whole message is treated as one that is queued whole
#[test]
fn a_fragment_that_is_a_whole_message_is_compressed_if_that_makes_it_shorter() {
    let pool = Pool::new();
    let params = params(12, true);
    let mut server = agreed(Role::Server, Compression::new(&pool), params, Config::new());
    server.outbound.queue_fragment(MessageKind::Binary, b"ab", true).unwrap();
    assert_eq!(take(&mut server, false), b"\x82\x02ab");
    server.outbound.queue_fragment(MessageKind::Binary, &[7; 100], true).unwrap();
    let frame = take(&mut server, false);
    assert!(frame[0] == 0xc2 && frame.len() < 20, "{frame:?}");
}

// Some peers check the text of each fragment, compressed or not.
#[test]
fn compressed_pieces_of_text_end_between_characters() {
    let pool = Pool::new();
    let text = "aκ€😀z😀€κ";
    for size in 1..6 {
        let compression = || Compression::new(&pool).least(0);
        let mut sender = agreed(Role::Server, compression(), params(15, true), Config::new());
        let mut receiver = agreed(Role::Client, compression(), params(15, true), Config::new());
        receiver.inbound.set_streaming(true);
        let mut told = Vec::new();
        let mut pieces = text.as_bytes().chunks(size).peekable();
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none();
            sender.outbound.queue_fragment(MessageKind::Text, piece, last).unwrap();
            // All of what a frame holds is told before the next one comes.
            let frame = take(&mut sender, false);
            assert_eq!(receiver.inbound.receive(&frame), frame.len());
            let mut inflated = Vec::new();
            while let Next::Event(Event::Chunk { bytes, .. }) = receiver.next(|| AT(0)) {
                inflated.extend(bytes);
            }
            told.push(String::from_utf8(inflated).expect("whole characters"));
        }
        assert_eq!(told.concat(), text);
    }
}
