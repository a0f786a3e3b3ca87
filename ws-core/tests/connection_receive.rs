//! What a connection makes of the frames it receives: RFC 6455 §5 and §6.2.

mod common;

use common::*;
use ws_core::ProtocolError::{self, *};
use ws_core::{Config, Connection, DataFrame, Input, Role, Step};

/// For both roles: the frames, then this error, whatever follows.
#[track_caller]
fn fails(stream: impl Fn(Role) -> Vec<u8>, error: ProtocolError) {
    for role in ROLES {
        let mut bytes = stream(role);
        let expected = Outcome::failed(role, vec![], error);
        assert_eq!(outcome(role, &bytes), expected, "{role:?} {bytes:02x?}");
        bytes.extend(to(role, FIN | PING, b"late"));
        assert_eq!(outcome(role, &bytes), expected, "{role:?} {bytes:02x?}");
    }
}

// RFC 6455 §5.1: both directions, every opcode, empty frames too, from the second byte
#[test]
fn server_unmasked_frame_fails() {
    for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
        for payload in [&b""[..], b"\x03\xe8"] {
            let bytes = raw(FIN | opcode, None, payload);
            let expected = Outcome::failed(Role::Server, vec![], UnmaskedFrame);
            assert_eq!(outcome(Role::Server, &bytes), expected);
            assert_eq!(outcome(Role::Server, &bytes[..2]), expected);
        }
    }
    // A reply that keeps the MASK bit of the request is as wrong as one without it.
    let open = to(Role::Server, TEXT, b"a");
    let bytes = [open, raw(FIN | CONT, None, b"b")].concat();
    assert_eq!(outcome(Role::Server, &bytes), Outcome::failed(Role::Server, vec![], UnmaskedFrame));
}

// RFC 6455 §5.1
#[test]
fn client_masked_frame_fails() {
    for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
        for payload in [&b""[..], b"\x03\xe8"] {
            let bytes = raw(FIN | opcode, Some(KEY), payload);
            let expected = Outcome::failed(Role::Client, vec![], MaskedFrame);
            assert_eq!(outcome(Role::Client, &bytes), expected);
            assert_eq!(outcome(Role::Client, &bytes[..2]), expected);
        }
    }
}

// RFC 6455 §5.2: every opcode, every combination of bits, also between fragments
#[test]
fn rsv_nonzero_fails() {
    for rsv in 1..8 {
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            fails(|role| to(role, FIN | rsv << 4 | opcode, b""), ReservedBits);
        }
        for opcode in [CONT, FIN | CONT, FIN | CLOSE, FIN | PING, FIN | PONG] {
            fails(
                |role| [to(role, TEXT, b"a"), to(role, rsv << 4 | opcode, b"")].concat(),
                ReservedBits,
            );
        }
        // The first byte suffices.
        fails(|_| vec![FIN | rsv << 4 | TEXT], ReservedBits);
    }
}

// RFC 7692 §6: with compression RSV1 is for the first frame of a message, RSV2 and RSV3 for none
#[test]
fn pmd_rsv1_on_control_or_cont_fails() {
    let config = Config::new();
    for role in ROLES {
        for rsv in [0x40, 0x20, 0x10, 0x60] {
            for opcode in [CONT, FIN | CONT, FIN | CLOSE, FIN | PING, FIN | PONG] {
                let bytes = [to(role, 0x40 | TEXT, b"\xff"), to(role, rsv | opcode, b"")].concat();
                let expected = Outcome::failed(role, vec![], ReservedBits);
                assert_eq!(outcome_compressed(role, config, &bytes), expected);
            }
        }
        // What is compressed is not UTF-8 yet.
        let bytes = [to(role, 0x40 | TEXT, b"\xff"), to(role, FIN | CONT, b"\xfe")].concat();
        let expected = Outcome::open(vec![Seen::Compressed(b"\xff\xfe".into()).at(bytes.len())]);
        assert_eq!(outcome_compressed(role, config, &bytes), expected);
    }
}

// RFC 7692 §6.1: each message for itself; one that is not compressed is text again
#[test]
fn pmd_uncompressed_message_accepted() {
    let config = Config::new();
    for role in ROLES {
        let compressed = to(role, FIN | 0x40 | TEXT, b"\xff");
        let bytes = [&compressed[..], &to(role, FIN | TEXT, b"\xff")].concat();
        let seen = vec![Seen::Compressed(b"\xff".into()).at(compressed.len())];
        let expected = Outcome::failed(role, seen, InvalidUtf8);
        assert_eq!(outcome_compressed(role, config, &bytes), expected);

        let mut connection = Connection::with_compression(role, config, true);
        for (first, marked) in [(0x40 | TEXT, true), (FIN | CONT, true), (FIN | TEXT, false)] {
            let mut bytes = to(role, first, b"a");
            match ask(&mut connection, &mut Input::new(&mut bytes), START) {
                Step::Data(chunk) => assert_eq!(chunk.compressed, marked),
                other => panic!("{other:?}"),
            }
        }
    }
}

// RFC 6455 §5.2: from the first byte, whatever length would follow
#[test]
fn reserved_opcode_fails() {
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        for fin in [0, FIN] {
            fails(|_| vec![fin | opcode], ReservedOpcode(opcode));
            fails(|role| to(role, fin | opcode, b"x"), ReservedOpcode(opcode));
            let huge = (1u64 << 40).to_be_bytes();
            fails(|role| length(role, fin | opcode, 127, &huge), ReservedOpcode(opcode));
        }
    }
}

// RFC 6455 §5.2: 0–125 in 7 bits, 126–65535 in 16, more in 64
#[test]
fn nonminimal_length_fails() {
    for len in [0u16, 1, 124, 125] {
        fails(|role| length(role, FIN | BINARY, 126, &len.to_be_bytes()), NonMinimalLength);
    }
    for len in [0u64, 125, 126, 65534, 65535] {
        fails(|role| length(role, FIN | BINARY, 127, &len.to_be_bytes()), NonMinimalLength);
    }
}

// RFC 6455 §5.2: the most significant bit must be 0, and no sum with such a length overflows
#[test]
fn len64_msb_fails() {
    let high = (0..=14).map(|less| u64::MAX - less);
    for len in high.chain([1 << 63, (1 << 63) + 1, 1 << 63 | 1 << 40]) {
        fails(|role| length(role, FIN | BINARY, 127, &len.to_be_bytes()), LengthOverflow);
    }
    // The longest length that is valid meets the limit instead, or is taken when there is none.
    for len in [(1u64 << 63) - 1, (1 << 63) - 14, (1 << 32) + 1, 1 << 32] {
        let open = |role| to(role, BINARY, b"a");
        fails(|role| length(role, FIN | BINARY, 127, &len.to_be_bytes()), FrameTooLarge);
        for role in ROLES {
            let config = Config::new().max_frame(u64::MAX).max_message(u64::MAX);
            let start = length(role, FIN | CONT, 127, &len.to_be_bytes());
            let bytes = [open(role), start, vec![0; 4]].concat();
            assert_eq!(outcome_with(role, config, &bytes), Outcome::open(vec![]));
            let config = config.max_message((1 << 63) - 1);
            let result = outcome_with(role, config, &bytes);
            if len == (1 << 63) - 1 {
                assert_eq!(result, Outcome::failed(role, vec![], MessageTooLarge));
            } else {
                assert_eq!(result, Outcome::open(vec![]));
            }
        }
    }
}

// RFC 6455 §5.2
#[test]
fn length_big_endian() {
    for role in ROLES {
        for len in [0, 1, 125, 126, 127, 256, 258, 65535, 65536, 65537] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let bytes = to(role, FIN | BINARY, &payload);
            let whole = in_pieces(role, Config::new(), &bytes, &[]);
            assert_eq!(whole, Outcome::open(vec![binary(&payload).at(bytes.len())]), "{len}");
        }
    }
}

/// Every kind of event once, with header lengths of each form.
fn sample(role: Role) -> (Vec<u8>, Outcome) {
    let long: Vec<u8> = (0..300u32).map(|i| (i % 251) as u8).collect();
    let frames = [
        (TEXT, "gr\u{fc}".as_bytes()),
        (FIN | PING, b"between"),
        (FIN | CONT, b"n"),
        (FIN | BINARY, &long),
        (FIN | PONG, b""),
        (FIN | TEXT, b""),
        (FIN | CLOSE, b"\x0f\xa0bye"),
    ];
    let mut ends = Vec::new();
    let mut bytes = Vec::new();
    for (first, payload) in frames {
        bytes.extend(to(role, first, payload));
        ends.push(bytes.len());
    }
    let seen = vec![
        ping(b"between").at(ends[1]),
        text("gr\u{fc}n").at(ends[2]),
        binary(&long).at(ends[3]),
        pong(&[]).at(ends[4]),
        text("").at(ends[5]),
        closed(4000, "bye").last(),
    ];
    let output =
        [by(role, FIN | PONG, b"between"), by(role, FIN | CLOSE, &close_body(4000, ""))].concat();
    (bytes, Outcome::open(seen).sent(output).closed())
}

// RFC 6455 §5.2, §6.2: cut anywhere, in two or in three
#[test]
fn decode_every_split_point() {
    for role in ROLES {
        let (bytes, expected) = sample(role);
        assert_eq!(outcome(role, &bytes), expected);
        for a in 1..bytes.len() {
            assert_eq!(in_pieces(role, Config::new(), &bytes, &[a, bytes.len()]), expected, "{a}");
            for b in 1..16 {
                let pieces = in_pieces(role, Config::new(), &bytes, &[a, b, bytes.len()]);
                assert_eq!(pieces, expected, "{a} {b}");
            }
        }
    }
}

// RFC 6455 §5.3: the key restarts with each frame
#[test]
fn server_unmasks_payload() {
    let (a, b) = ([1, 2, 3, 4], [0xff, 0, 0x55, 0xaa]);
    let bytes = [raw(TEXT, Some(a), b"Hello"), raw(FIN | CONT, Some(b), b", world")].concat();
    let expected = Outcome::open(vec![text("Hello, world").at(bytes.len())]);
    assert_eq!(outcome(Role::Server, &bytes), expected);
    // RFC 6455 §5.7
    let bytes = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    let expected = Outcome::open(vec![text("Hello").at(11)]);
    assert_eq!(outcome(Role::Server, bytes), expected);
}

// RFC 6455 §5.5: no control frame is fragmented, shown by the first byte
#[test]
fn fragmented_control_fails() {
    for opcode in [CLOSE, PING, PONG] {
        fails(|role| to(role, opcode, b""), FragmentedControl);
        fails(|_| vec![opcode], FragmentedControl);
        fails(|role| [to(role, TEXT, b"a"), to(role, opcode, b"")].concat(), FragmentedControl);
    }
}

// RFC 6455 §5.5: shown by the first two bytes, of all three opcodes
#[test]
fn control_payload_over_125_fails() {
    for opcode in [CLOSE, PING, PONG] {
        for short in [126, 127] {
            fails(|role| length(role, FIN | opcode, short, &[]), ControlTooLong);
        }
        fails(|role| to(role, FIN | opcode, &[b'a'; 126]), ControlTooLong);
    }
}

// RFC 6455 §5.4, §5.5: between all fragments, and inside none
#[test]
fn control_between_fragments() {
    for role in ROLES {
        let ping = to(role, FIN | PING, b"?");
        let pong = to(role, FIN | PONG, b"!");
        let mut bytes = Vec::new();
        let mut seen = Vec::new();
        for (first, payload) in [(TEXT, "\u{e9}"), (CONT, ""), (CONT, "t"), (FIN | CONT, "\u{e9}")]
        {
            bytes.extend(to(role, first, payload.as_bytes()));
            if first != FIN | CONT {
                bytes.extend(&ping);
                seen.push(Seen::Ping(b"?".into()).at(bytes.len()));
                bytes.extend(&pong);
                seen.push(Seen::Pong(b"!".into()).at(bytes.len()));
            }
        }
        seen.push(text("\u{e9}t\u{e9}").at(bytes.len()));
        let expected = Outcome::open(seen).sent(by(role, FIN | PONG, b"?").repeat(3));
        assert_eq!(outcome(role, &bytes), expected);
    }
}

// RFC 6455 §5.4: in order, of the first one's type, of any size
#[test]
fn fragments_any_size() {
    for role in ROLES {
        for first in [TEXT, BINARY] {
            let mut bytes = to(role, first, b"");
            let mut message = String::new();
            for size in [0, 1, 0, 0, 125, 126, 3, 300, 0] {
                let fragment = String::from(char::from(b'a' + size as u8 % 26)).repeat(size);
                bytes.extend(to(role, CONT, fragment.as_bytes()));
                message += &fragment;
            }
            bytes.extend(to(role, FIN | CONT, b""));
            let seen = if first == TEXT { text(&message) } else { binary(message.as_bytes()) };
            assert_eq!(outcome(role, &bytes), Outcome::open(vec![seen.at(bytes.len())]));
        }
    }
}

// RFC 6455 §5.4: a continuation has no type of its own
#[test]
fn fragment_type_from_first() {
    for role in ROLES {
        let bytes = [to(role, BINARY, b"\xff"), to(role, FIN | CONT, b"\xff")].concat();
        let seen = vec![binary(b"\xff\xff").at(bytes.len())];
        assert_eq!(outcome(role, &bytes), Outcome::open(seen));
        // The second fragment of a text is text, too.
        let bytes = [to(role, TEXT, b"a"), to(role, FIN | CONT, b"\xff")].concat();
        assert_eq!(outcome(role, &bytes), Outcome::failed(role, vec![], InvalidUtf8));
    }
}

// RFC 6455 §5.6 with erratum 4672: data limits hold for it, not those of control frames
#[test]
fn continuation_is_data_opcode() {
    for role in ROLES {
        let bytes = [to(role, BINARY, b""), to(role, FIN | CONT, &[7; 126])].concat();
        let expected = Outcome::open(vec![binary(&[7; 126]).at(bytes.len())]);
        assert_eq!(outcome(role, &bytes), expected);
    }
}

// RFC 6455 §5.4
#[test]
fn fragments_in_order() {
    for role in ROLES {
        let frames = [(TEXT, "1"), (CONT, "2"), (CONT, "3"), (FIN | CONT, "4")];
        let bytes: Vec<u8> =
            frames.iter().flat_map(|(first, part)| to(role, *first, part.as_bytes())).collect();
        let expected = Outcome::open(vec![text("1234").at(bytes.len())]);
        assert_eq!(outcome(role, &bytes), expected);
    }
}

// RFC 6455 §5.4, §6.2: a frame after FIN belongs to another message, of another type perhaps
#[test]
fn two_messages_types_independent() {
    for role in ROLES {
        let first = [to(role, BINARY, b"\xff"), to(role, FIN | CONT, b"\xfe")].concat();
        let second = [to(role, TEXT, b"a"), to(role, FIN | CONT, b"b")].concat();
        let bytes = [&first[..], &second].concat();
        let expected =
            Outcome::open(vec![binary(b"\xff\xfe").at(first.len()), text("ab").at(bytes.len())]);
        assert_eq!(outcome(role, &bytes), expected);
    }
}

// RFC 6455 §5.4: of either type, with and without FIN, shown by the first byte
#[test]
fn interleaved_message_fails() {
    for open in [TEXT, BINARY] {
        for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
            fails(
                |role| [to(role, open, b"a"), to(role, first, b"b")].concat(),
                InterleavedMessage,
            );
            fails(|role| [to(role, open, b""), vec![first]].concat(), InterleavedMessage);
        }
    }
}

// RFC 6455 §5.4: at the start and after a message that has ended
#[test]
fn orphan_continuation_fails() {
    for first in [CONT, FIN | CONT] {
        fails(|role| to(role, first, b"a"), UnexpectedContinuation);
        fails(|_| vec![first], UnexpectedContinuation);
        for role in ROLES {
            let message = to(role, FIN | TEXT, b"a");
            let seen = vec![text("a").at(message.len())];
            let bytes = [message, to(role, first, b"b")].concat();
            let expected = Outcome::failed(role, seen, UnexpectedContinuation);
            assert_eq!(outcome(role, &bytes), expected);
        }
    }
}

// RFC 6455 §5.6, §8.1: the whole message counts; characters may be cut anywhere
#[test]
fn text_utf8_across_fragments() {
    let whole = "a\u{e9}\u{20ac}\u{1f600}\u{10ffff}\u{0}\u{feff}";
    for role in ROLES {
        for at in 0..=whole.len() {
            let (a, b) = whole.as_bytes().split_at(at);
            let bytes = [to(role, TEXT, a), to(role, FIN | PING, b"\xff"), to(role, FIN | CONT, b)]
                .concat();
            let first = bytes.len() - to(role, FIN | CONT, b).len();
            let seen = vec![ping(b"\xff").at(first), text(whole).at(bytes.len())];
            let expected = Outcome::open(seen).sent(by(role, FIN | PONG, b"\xff"));
            assert_eq!(outcome(role, &bytes), expected);
        }
    }
    for bad in [&b"\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x98", b"ok\xff", b"\xed\xa0\x80", b"\xc0\xaf"]
    {
        fails(|role| to(role, FIN | TEXT, bad), InvalidUtf8);
        fails(|role| [to(role, TEXT, bad), to(role, FIN | CONT, b"")].concat(), InvalidUtf8);
        fails(|role| [to(role, TEXT, bad), to(role, FIN | CONT, b"a")].concat(), InvalidUtf8);
    }
    assert_eq!(InvalidUtf8.close_code().get(), 1007);
}

// RFC 6455 §8.1: as soon as it is certain, in a frame that is not complete
#[test]
fn text_error_does_not_wait_for_the_end() {
    for role in ROLES {
        let mut frame = to(role, TEXT, &[b"abc\xf4\x90".as_slice(), &[b'x'; 60_000]].concat());
        let payload = frame.len() - 60_005;
        let certain = payload + 5;
        frame.truncate(certain - 1);
        assert_eq!(outcome(role, &frame), Outcome::open(vec![]));
        frame.push(if role == Role::Server { 0x90 ^ KEY[0] } else { 0x90 });
        assert_eq!(outcome(role, &frame), Outcome::failed(role, vec![], InvalidUtf8));
    }
}

// RFC 6455 §5.8: without negotiation nothing but the base protocol
#[test]
fn no_extension_without_negotiation() {
    fails(|role| to(role, FIN | 0x40 | TEXT, b"\xca\x04\x00"), ReservedBits);
}

// RFC 6455 §6.2: while a payload is incomplete, a call takes what is there and asks for more
#[test]
fn a_call_takes_what_is_there() {
    let mut server = Connection::server(Config::new());
    let mut bytes = to(Role::Server, FIN | PING, b"abc");
    let last = bytes.len() - 1;
    let (start, end) = bytes.split_at_mut(last);
    for piece in [start, end] {
        let len = piece.len();
        let mut input = Input::new(piece);
        let step = ask(&mut server, &mut input, START);
        assert!(if len == 1 {
            matches!(step, Step::Ping)
        } else {
            matches!(step, Step::Wait(None))
        });
        assert_eq!((input.consumed(), input.is_empty()), (len, true));
    }
    assert_eq!(server.receiver.control_payload(), b"abc");
}

// RFC 6455 §5.5.3: a Pong that waits is not mixed with the control frame that is being received, and of two
// Pings that came while nothing could be sent the latter is answered
#[test]
fn the_latest_ping_is_answered() {
    for role in ROLES {
        let mut connection = Connection::new(role, Config::new());
        let Connection { receiver, sender, .. } = &mut connection;
        sender.head(DataFrame::BINARY, 1, key(role)).unwrap();
        let mut pong = to(role, FIN | PONG, b"xyz");
        pong.pop();
        let mut bytes = [to(role, FIN | PING, b"abc"), pong].concat();
        let mut input = Input::new(&mut bytes);
        assert!(matches!(receiver.next(sender, &mut input, || START), Step::Ping));
        assert!(matches!(receiver.next(sender, &mut input, || START), Step::Wait(None)));
        sender.mask_payload(&mut [0]).unwrap();
        assert_eq!(drain(&mut connection, role), by(role, FIN | PONG, b"abc"));

        let mut connection = Connection::new(role, Config::new());
        let Connection { receiver, sender, .. } = &mut connection;
        sender.head(DataFrame::BINARY, 1, key(role)).unwrap();
        let mut bytes = [to(role, FIN | PING, b"abc"), to(role, FIN | PING, b"de")].concat();
        let mut input = Input::new(&mut bytes);
        assert!(matches!(receiver.next(sender, &mut input, || START), Step::Ping));
        assert!(matches!(receiver.next(sender, &mut input, || START), Step::Ping));
        assert!(matches!(receiver.next(sender, &mut input, || START), Step::Wait(None)));
        sender.mask_payload(&mut [0]).unwrap();
        assert_eq!(drain(&mut connection, role), by(role, FIN | PONG, b"de"));
    }
}

// RFC 7692 §6.1: a relay sets RSV1 on the first frame of a compressed message and on no other.
#[test]
fn chunks_are_forwarded_as_frames_of_their_message() {
    for role in ROLES {
        let stream = [
            to(role, FIN | TEXT, b"a"),
            to(role, BINARY, b"b"),
            to(role, FIN | CONT, b"c"),
            to(role, 0x40 | TEXT, b"d"),
            to(role, CONT, b"e"),
            to(role, FIN | CONT, b"f"),
        ];
        let mut connection = Connection::with_compression(role, Config::new(), true);
        let mut bytes = stream.concat();
        let mut input = Input::new(&mut bytes);
        let mut frames = Vec::new();
        while let Step::Data(chunk) = ask(&mut connection, &mut input, START) {
            frames.push(chunk.frame());
        }
        let (text, binary) = (DataFrame::TEXT, DataFrame::BINARY);
        let expected =
            [text, binary.more(), binary, text.compressed(true).more(), text.more(), text];
        assert_eq!(frames, expected);
    }
}

// RFC 6455 §5.4, RFC 7692 §6.1: also if the message that is open, and the frame that interrupts it, are compressed.
#[test]
fn compressed_message_inside_another_fails() {
    for role in ROLES {
        for first in [TEXT, 0x40 | TEXT, 0x40 | BINARY] {
            for second in [0x40 | TEXT, 0x40 | BINARY] {
                let mut connection = Connection::with_compression(role, Config::new(), true);
                let mut bytes = [to(role, first, b"a"), to(role, FIN | second, b"b")].concat();
                let mut input = Input::new(&mut bytes);
                assert!(matches!(ask(&mut connection, &mut input, START), Step::Data(_)));
                let step = ask(&mut connection, &mut input, START);
                assert!(matches!(step, Step::Failed(InterleavedMessage)), "{step:?}");
            }
        }
    }
}

// A relay forwards a frame while it arrives.
#[test]
fn payload_left_is_what_is_missing_of_the_frame() {
    for role in ROLES {
        let mut connection = Connection::new(role, Config::new());
        assert_eq!(connection.receiver.payload_left(), 0);
        for (frame, len) in [
            (to(role, FIN | BINARY, &[7; 300]), 300),
            (to(role, FIN | PING, b"hello"), 5),
            (to(role, BINARY, &[7; 70_000]), 70_000),
        ] {
            let header = frame.len() - len;
            let mut from = 0;
            for to in [1, header, header + 1, frame.len() - 1, frame.len()] {
                let mut bytes = frame[from..to].to_vec();
                let mut input = Input::new(&mut bytes);
                while !matches!(ask(&mut connection, &mut input, START), Step::Wait(_)) {
                    drain(&mut connection, role);
                }
                let left = if to < header { 0 } else { frame.len() - to };
                assert_eq!(connection.receiver.payload_left(), left as u64, "{to}");
                from = to;
            }
        }
    }
}

#[test]
fn debug_of_a_receiver_shows_no_payload() {
    for role in ROLES {
        let mut connection = Connection::new(role, Config::new());
        let mut bytes = to(role, FIN | TEXT, b"hidden, and more");
        let all = bytes.len();
        let mut input = Input::new(&mut bytes[..all - 4]);
        assert!(matches!(ask(&mut connection, &mut input, START), Step::Data(_)));
        let shown = format!("{:?}", connection.receiver);
        let start =
            format!("Receiver {{ role: {role:?}, state: Payload, left: 4, message: Some(Text), ");
        assert!(shown.starts_with(&start), "{shown}");
        assert!(!shown.contains("hidden") && !shown.contains("104, 105, 100"), "{shown}");
    }
}
