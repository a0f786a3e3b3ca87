//! What holds for every stream: the outcome does not depend on how it is cut (RFC 6455 §5.2), and
//! what one side sends is what the other receives (RFC 6455 §6).

mod common;

use common::*;
use proptest::collection::vec;
use proptest::prelude::*;
use ws_core::{
    CloseCode, Config, Connection, DataFrame, Input, Instant, MaskingKey, MessageKind, Role, Step,
};

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![vec(1usize..20, 1..40), vec(1usize..400, 1..10)]
}

/// A message: its kind and its fragments, cut anywhere.
fn message() -> impl Strategy<Value = (u8, Vec<Vec<u8>>)> {
    let text = prop_oneof![".{0,40}", "[\u{e9}\u{20ac}\u{1f600}]{0,60}"];
    let payload = prop_oneof![
        text.prop_map(|text| (TEXT, text.into_bytes())),
        vec(any::<u8>(), 0..400).prop_map(|bytes| (BINARY, bytes)),
    ];
    (payload, vec(any::<prop::sample::Index>(), 0..4)).prop_map(|((kind, bytes), cuts)| {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut fragments = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([bytes.len()]) {
            fragments.push(bytes[from..cut].to_vec());
            from = cut;
        }
        (kind, fragments)
    })
}

#[derive(Clone, Debug)]
enum Part {
    Message(u8, Vec<Vec<u8>>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        3 => message().prop_map(|(kind, fragments)| Part::Message(kind, fragments)),
        1 => vec(any::<u8>(), 0..=125).prop_map(Part::Ping),
        1 => vec(any::<u8>(), 0..=125).prop_map(Part::Pong),
    ]
}

/// A valid stream to `role`, every fragment of a message preceded by a Ping if `pings`, and what it
/// comes to.
fn stream(role: Role, parts: &[Part], pings: bool, close: Option<u16>) -> (Vec<u8>, Outcome) {
    let mut bytes = Vec::new();
    let mut expected = Outcome::open(vec![]);
    let add_ping = |bytes: &mut Vec<u8>, expected: &mut Outcome, payload: &[u8]| {
        bytes.extend(to(role, FIN | PING, payload));
        expected.seen.push(ping(payload).at(bytes.len()));
        expected.output.extend(by(role, FIN | PONG, payload));
    };
    for part in parts {
        match part {
            Part::Ping(payload) => add_ping(&mut bytes, &mut expected, payload),
            Part::Pong(payload) => {
                bytes.extend(to(role, FIN | PONG, payload));
                expected.seen.push(pong(payload).at(bytes.len()));
            }
            Part::Message(kind, fragments) => {
                for (i, fragment) in fragments.iter().enumerate() {
                    if pings {
                        add_ping(&mut bytes, &mut expected, b"between");
                    }
                    let fin = if i + 1 == fragments.len() { FIN } else { 0 };
                    let opcode = if i == 0 { *kind } else { CONT };
                    bytes.extend(to(role, fin | opcode, fragment));
                }
                let (at, message) = (bytes.len(), fragments.concat());
                expected.seen.push(message_of(*kind, message).at(at));
            }
        }
    }
    if let Some(code) = close {
        bytes.extend(to(role, FIN | CLOSE, &close_body(code, "end")));
        expected.seen.push(closed(code, "end").last());
        expected.output.extend(by(role, FIN | CLOSE, &close_body(code, "")));
        expected.state = State::Closed;
    }
    (bytes, expected)
}

fn message_of(kind: u8, bytes: Vec<u8>) -> Seen {
    if kind == TEXT { Seen::Text(String::from_utf8(bytes).unwrap()) } else { Seen::Binary(bytes) }
}

/// Frames that are nearly right: most headers are plausible, the rest is not.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        4 => prop::sample::select(vec![0x00u8, 0x80, 0x01, 0x81, 0x02, 0x82, 0x88, 0x89, 0x8a]),
        1 => any::<u8>(),
    ];
    let frame =
        (first, any::<bool>(), prop_oneof![6 => 0u8..8, 1 => 120u8..128], vec(any::<u8>(), 0..20))
            .prop_map(|(first, masked, len, rest)| {
                [vec![first, if masked { 0x80 } else { 0 } | len], rest].concat()
            });
    prop_oneof![vec(any::<u8>(), 0..200), vec(frame, 0..10).prop_map(|frames| frames.concat())]
}

proptest! {
    // RFC 6455 §5.2, §6.2
    #[test]
    fn valid_streams_arrive_however_they_are_cut(
        role in role(),
        parts in vec(part(), 0..8),
        pings: bool,
        close in prop::option::of(prop_oneof![Just(1000u16), 3000u16..5000]),
        sizes in sizes(),
    ) {
        let (bytes, expected) = stream(role, &parts, pings, close);
        prop_assert_eq!(&in_pieces(role, Config::new(), &bytes, &[]), &expected);
        prop_assert_eq!(&in_pieces(role, Config::new(), &bytes, &[1]), &expected);
        prop_assert_eq!(&in_pieces(role, Config::new(), &bytes, &sizes), &expected);
    }

    // RFC 6455 §7.1.7: also when one byte of a valid stream is another one, and a limit is near
    #[test]
    fn damaged_streams_fail_alike_however_they_are_cut(
        role in role(),
        parts in vec(part(), 1..6),
        at: prop::sample::Index,
        byte: u8,
        limit in 0u64..300,
        compression: bool,
        sizes in sizes(),
    ) {
        let (mut bytes, _) = stream(role, &parts, true, Some(1000));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let config = Config::new().max_message(limit);
        let run = |sizes: &[usize]| match compression {
            true => in_compressed_pieces(role, config, &bytes, sizes),
            false => in_pieces(role, config, &bytes, sizes),
        };
        let whole = run(&[]);
        prop_assert_eq!(&run(&[1]), &whole);
        prop_assert_eq!(&run(&sizes), &whole);
    }

    #[test]
    fn byte_soup_comes_to_the_same_however_it_is_cut(
        role in role(),
        bytes in soup(),
        limit in prop_oneof![Just(u64::MAX), 0u64..10],
        sizes in sizes(),
    ) {
        let config = Config::new().max_frame(limit);
        let whole = in_pieces(role, config, &bytes, &[]);
        prop_assert_eq!(&in_pieces(role, config, &bytes, &[1]), &whole);
        prop_assert_eq!(&in_pieces(role, config, &bytes, &sizes), &whole);
        if let Some((_, Seen::Failed(error))) = whole.seen.last() {
            let close = close_by(role, error.close_code());
            prop_assert!(whole.output.ends_with(&close));
            prop_assert_eq!(whole.state, State::Failed);
        }
    }

    // RFC 6455 §6.1: every way to build a frame says the same, and the peer reads what was meant
    #[test]
    fn roundtrip_any_message(
        role in role(),
        payload in prop_oneof![vec(any::<u8>(), 0..300), vec(any::<u8>(), 65530..65540)],
        mask: [u8; 4],
        headroom in 0usize..20,
        cut: prop::sample::Index,
    ) {
        let key = (role == Role::Client).then_some(MaskingKey::new(mask));
        let frame = DataFrame::BINARY;
        let mut connection = Connection::new(role, Config::new());

        let mut encoded = vec![0; payload.len() + 14];
        let len = connection.sender.encode(frame, &payload, key, &mut encoded).unwrap();
        encoded.truncate(len);

        let head = connection.sender.head(frame, payload.len() as u64, key).unwrap();
        let mut body = payload.clone();
        let (a, b) = body.split_at_mut(cut.index(payload.len() + 1));
        connection.sender.mask_payload(a).unwrap();
        connection.sender.mask_payload(b).unwrap();
        prop_assert_eq!(&[&head[..], &body].concat(), &encoded);

        let mut buffer = vec![0; headroom];
        buffer.extend(&payload);
        let range = headroom..buffer.len();
        let placed = connection.sender.encode_in_place(frame, &mut buffer, range, key);
        if headroom < head.len() {
            let needed = head.len();
            prop_assert_eq!(placed, Err(ws_core::SendError::NoHeadroom { needed }));
        } else {
            prop_assert_eq!(&buffer[placed.unwrap()], &encoded[..]);
        }

        #[cfg(feature = "alloc")]
        {
            let mut out = Vec::new();
            connection.sender.encode_vec(frame, &payload, key, &mut out).unwrap();
            prop_assert_eq!(&out, &encoded);
        }

        let peer = if role == Role::Client { Role::Server } else { Role::Client };
        let expected = Outcome::open(vec![binary(&payload).at(encoded.len())]);
        prop_assert_eq!(in_pieces(peer, Config::new(), &encoded, &[]), expected);
    }

    // RFC 6455 §5.4: cut by `max_outgoing_frame`, put together again
    #[test]
    fn two_connections_talk(
        script in vec((any::<bool>(), part()), 0..12),
        closes: [bool; 2],
        limit in 1u64..200,
        deliveries in vec((any::<bool>(), 1usize..200), 0..60),
    ) {
        talk(&script, closes, limit, &deliveries);
    }

    // Calls in any order, with any argument, on any state: no panic, no frame after Close.
    #[test]
    fn any_call_order_is_safe(
        role in role(),
        calls in vec((0u8..12, any::<u8>(), soup()), 0..40),
        end in prop::sample::select(vec![End::Eof, End::Reset, End::Time]),
    ) {
        any_order(role, &calls, end);
    }
}

/// Both sides run their part of the script, while bytes are delivered in pieces.
fn talk(script: &[(bool, Part)], closes: [bool; 2], limit: u64, deliveries: &[(bool, usize)]) {
    let config = Config::new().max_outgoing_frame(limit);
    let mut sides = ROLES.map(|role| Driver::new(role, config));
    let mut wires = [Vec::new(), Vec::new()];
    let mut meant = [Vec::new(), Vec::new()];
    let mut deliveries = deliveries.iter();
    for (server, part) in script {
        let from = usize::from(!server);
        let sent = send(&mut sides[from], part, limit);
        wires[from].extend(sent);
        if let Part::Message(kind, fragments) = part {
            meant[from].push(message_of(*kind, fragments.concat()));
        }
        if let Some((server, size)) = deliveries.next() {
            deliver(&mut sides, &mut wires, usize::from(!server), *size);
        }
    }
    for (from, side) in sides.iter_mut().enumerate() {
        let mut out = [0; 131];
        if closes[from] {
            // Refused when the peer was first.
            let sender = &mut side.connection.sender;
            if let Ok(len) = sender.start_close(CloseCode::NORMAL, "", key(side.role), &mut out) {
                wires[from].extend(&out[..len]);
            }
        }
    }
    for (server, size) in deliveries {
        deliver(&mut sides, &mut wires, usize::from(!server), *size);
    }
    while wires.iter().any(|wire| !wire.is_empty()) {
        deliver(&mut sides, &mut wires, 0, usize::MAX);
        deliver(&mut sides, &mut wires, 1, usize::MAX);
    }
    let closed = closes[0] || closes[1];
    for (side, meant) in sides.iter_mut().zip([&meant[1], &meant[0]]) {
        let seen = side.outcome.seen.iter().map(|(_, seen)| seen);
        assert!(!seen.clone().any(|seen| matches!(seen, Seen::Failed(_))));
        let messages = seen.filter(|seen| matches!(seen, Seen::Text(_) | Seen::Binary(_)));
        let messages: Vec<_> = messages.cloned().collect();
        assert_eq!(&messages, meant);
        let expected = if closed { State::Closed } else { State::Open };
        assert_eq!(state(&mut side.connection, side.role), expected);
        side.connection.receiver.receive_eof();
        assert_eq!(state(&mut side.connection, side.role), State::Ended);
        assert_eq!(state(&mut side.connection, side.role), State::Done);
        assert_eq!(side.connection.sender.is_clean(), closed);
    }
}

fn deliver(sides: &mut [Driver; 2], wires: &mut [Vec<u8>; 2], from: usize, size: usize) {
    let rest = wires[from].split_off(size.min(wires[from].len()));
    let piece = std::mem::replace(&mut wires[from], rest);
    let to = &mut sides[1 - from];
    let before = to.outcome.output.len();
    to.feed(&piece);
    wires[1 - from].extend(&to.outcome.output[before..]);
}

/// The frames of a part, a message in fragments of at most `limit` bytes.
fn send(side: &mut Driver, part: &Part, limit: u64) -> Vec<u8> {
    let mut out = vec![0; 1024];
    let key = key(side.role);
    let sender = &mut side.connection.sender;
    let mut sent = Vec::new();
    match part {
        Part::Ping(payload) => {
            let len = sender.ping(payload, key, &mut out).unwrap();
            sent.extend(&out[..len]);
        }
        Part::Pong(payload) => {
            let len = sender.pong(payload, key, &mut out).unwrap();
            sent.extend(&out[..len]);
        }
        Part::Message(kind, fragments) => {
            let kind = if *kind == TEXT { MessageKind::Text } else { MessageKind::Binary };
            let message = fragments.concat();
            let mut pieces = message.chunks(limit as usize).peekable();
            let mut piece = pieces.next().unwrap_or_default();
            loop {
                let last = pieces.peek().is_none();
                let frame = DataFrame::new(kind);
                let frame = if last { frame } else { frame.more() };
                let len = sender.encode(frame, piece, key, &mut out).unwrap();
                sent.extend(&out[..len]);
                let Some(next) = pieces.next() else { break };
                piece = next;
            }
        }
    }
    sent
}

/// A connection on which things are called, and what holds whatever they are.
struct Called {
    connection: Connection,
    role: Role,
    now: u32,
    /// When it wants to be asked again.
    until: Option<Instant>,
    closes: usize,
    failures: usize,
    /// The stream has ended or failed, as far as the connection was told.
    ended: bool,
    done: bool,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Eof,
    Reset,
    Time,
}

fn any_order(role: Role, calls: &[(u8, u8, Vec<u8>)], end: End) {
    let config = Config::new()
        .ping_interval(Some(core::time::Duration::from_millis(50)))
        .idle_timeout(Some(core::time::Duration::from_millis(200)));
    let connection = Connection::new(role, config);
    let mut called = Called {
        connection,
        role,
        now: 0,
        until: None,
        closes: 0,
        failures: 0,
        ended: false,
        done: false,
    };
    for (call, byte, bytes) in calls {
        called.call(*call, *byte, bytes);
    }
    // In any state, an end of the stream leads to the end; so does time alone, since there are time-outs.
    match end {
        End::Eof => called.connection.receiver.receive_eof(),
        End::Reset => called.connection.sender.receive_reset(),
        End::Time => {
            for _ in 0..10 {
                called.run(&[], usize::MAX);
                let Some(until) = called.until.filter(|_| !called.done) else { break };
                called.now = called.now.max(until.as_millis());
            }
        }
    }
    called.ended = true;
    called.run(&[], usize::MAX);
    assert!(called.done);
}

impl Called {
    fn call(&mut self, call: u8, byte: u8, bytes: &[u8]) {
        let key = key(self.role);
        let frame = if byte & 1 == 0 { DataFrame::TEXT } else { DataFrame::BINARY };
        let frame = if byte & 2 == 0 { frame } else { frame.more() };
        let mut out = [0; 600];
        let Connection { receiver, sender, .. } = &mut self.connection;
        let (open, clean) = (sender.is_open(), sender.is_clean());
        let sent = match call {
            0..=2 => return self.run(bytes, usize::MAX),
            3 => sender.encode(frame, bytes, key, &mut out).unwrap_or(0),
            4 => sender.head(frame, u64::from(byte), key).map_or(0, |head| {
                out[..head.len()].copy_from_slice(&head);
                head.len()
            }),
            5 => {
                let _ = sender.mask_payload(&mut out[..usize::from(byte)]);
                0
            }
            6 => sender.ping(bytes, key, &mut out).unwrap_or(0),
            7 => sender
                .start_close(CloseCode::new(u16::from(byte) * 16), "", key, &mut out)
                .unwrap_or(0),
            8 => sender.transmit(&mut out, key).unwrap(),
            9 => {
                self.now += u32::from(byte);
                // The driver is away after some steps.
                return self.run(bytes, usize::from(byte % 4));
            }
            10 if byte % 4 == 0 => {
                receiver.receive_eof();
                self.ended = true;
                0
            }
            10 if byte % 16 == 1 => {
                sender.receive_reset();
                self.ended = true;
                0
            }
            10 if byte % 4 == 2 => {
                sender.shut_down();
                0
            }
            11 if byte % 4 == 0 => {
                receiver.fail(sender, ws_core::ProtocolError::InvalidUtf8);
                0
            }
            _ => 0,
        };
        assert!(sent == 0 || open || call == 8, "sent though it was not open");
        assert_eq!(sender.is_clean(), clean, "clean before the driver asks");
        self.sent(&out[..sent]);
    }

    fn sent(&mut self, frame: &[u8]) {
        if let Some(first) = frame.first() {
            assert_eq!(self.closes, 0, "a frame after Close");
            assert!(!self.done, "a frame after the end");
            self.closes += usize::from(*first == FIN | CLOSE);
        }
    }

    /// Asks until there is nothing to do but to wait, or so many times.
    fn run(&mut self, bytes: &[u8], times: usize) {
        let mut bytes = bytes.to_vec();
        let mut input = Input::new(&mut bytes);
        // Each byte may tell something, and each thing told may owe a frame; some more at the end.
        let enough = input.remaining().len() * 2 + 8;
        for asked in 0..times {
            assert!(asked < enough, "it goes round in circles");
            let before = input.consumed();
            let (open, clean) =
                (self.connection.sender.is_open(), self.connection.sender.is_clean());
            let step = ask(&mut self.connection, &mut input, Instant::from_millis(self.now));
            assert!(!self.done || matches!(step, Step::Done), "{step:?} after the end");
            let told = matches!(step, Step::Data(_) | Step::Ping | Step::Pong | Step::Close);
            assert!(!told || self.failures == 0, "{step:?} after a failure");
            assert!(!told || input.consumed() > before, "{step:?} for nothing");
            match step {
                Step::Data(_) | Step::Ping | Step::Pong | Step::Close => {}
                Step::Failed(_) => self.failures += 1,
                Step::Transmit => {
                    let frame = transmit(&mut self.connection, self.role);
                    assert_ne!(frame, b"", "it is told to send, and gives nothing");
                    self.sent(&frame);
                }
                Step::Shutdown(_) => {
                    assert!(!self.connection.sender.is_open());
                    self.connection.sender.shut_down();
                }
                Step::Wait(until) => {
                    assert!(!self.ended, "nothing is waited for after the end");
                    self.until = until;
                    return;
                }
                Step::Done => {
                    self.done = true;
                    return;
                }
            }
            assert!(self.failures <= 1);
            assert!(!clean || self.connection.sender.is_clean(), "clean for good");
            assert!(open || !self.connection.sender.is_open(), "not open for good");
        }
    }
}
