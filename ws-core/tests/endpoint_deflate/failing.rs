//! Messages that cannot be inflated, are not text or too long, and connections that end in the middle of one.

use ws_core::deflate::{Pool, WindowBits};
use ws_core::endpoint::{Compression, EndpointError};
use ws_core::{Config, Endpoint, MessageKind, ProtocolError, Role};

use crate::common::{BINARY, CLOSE, CONT, FIN, PING, ROLES, TEXT, close_body, reason};
use crate::driver::*;
use crate::ends::{AT, plain};

const RSV1: u8 = 0x40;
/// A message of three bytes that are 257 bytes back.
const FAR: [u8; 4] = [0x02, 0x06, 0x00, 0x00];

/// What a stream comes to: what is told, without a message that stays incomplete, and what is sent.
type Outcome = (Vec<Told>, Vec<(u8, Vec<u8>)>);

/// Feeds a stream; after a failure, checks that nothing more is told, that bytes are still read, and that it ends.
fn run(mut endpoint: Endpoint, stream: &[u8], way: Way, size: usize, streaming: bool) -> Outcome {
    let mut log = Log::default();
    let step = Step::new(way, size, streaming);
    feed(&mut endpoint, stream, &[step], &mut log);
    let outcome = (log.told.clone(), plain(&log.written));
    if matches!(log.told.last(), Some(Told::Failed(_))) {
        let sent = log.written.len();
        let more = [stream, stream, &[0; 200_000]].concat();
        feed(&mut endpoint, &more, &[Step::new(way, usize::MAX, streaming)], &mut log);
        assert_eq!((&log.told, log.written.len()), (&outcome.0, sent));
        assert!(!endpoint.outbound.is_open() && !log.done);
        endpoint.inbound.receive_eof();
        log.ask(&mut endpoint, way, false);
        assert!(log.done, "{way:?}");
    }
    outcome
}

/// The outcome, the same for every way to cut it and to ask for it.
#[track_caller]
fn same(role: Role, endpoint: impl Fn() -> Endpoint, stream: &[u8]) -> Outcome {
    let expected = run(endpoint(), stream, Way::Next, usize::MAX, false);
    for way in WAYS {
        for size in [usize::MAX, 1, 2, 7, 100] {
            for streaming in [false, true] {
                let outcome = run(endpoint(), stream, way, size, streaming);
                assert_eq!(outcome, expected, "{role:?} {way:?} by {size}, in pieces: {streaming}");
            }
        }
    }
    expected
}

/// What the Close frame for an error says.
fn body_for(error: ProtocolError) -> Vec<u8> {
    close_body(error.close_code().get(), &reason(error))
}

/// After a Ping and a message, this stream fails with this error, whose code is sent.
#[track_caller]
fn fails(role: Role, config: Config, bad: &[u8], error: ProtocolError) {
    let pool = Pool::new();
    let good = [frame(role, FIN | PING, b"p"), frame(role, FIN | RSV1 | TEXT, &compress(b"good"))];
    let after = [frame(role, FIN | PING, b"q"), frame(role, FIN | TEXT, b"after")];
    let stream = [&good.concat(), bad, &after.concat()].concat();
    let endpoint = || agreed(role, Compression::new(&pool), params(15, true), config);
    let (told, sent) = same(role, endpoint, &stream);
    let [Told::Ping(ping), Told::Message(MessageKind::Text, text), .., last] = &told[..] else {
        panic!("{error:?}: {told:?}")
    };
    assert_eq!((&ping[..], &text[..]), (&b"p"[..], &b"good"[..]));
    assert_eq!(*last, Told::Failed(EndpointError::Protocol(error)));
    assert_eq!(sent, [(0x8a, b"p".to_vec()), (0x88, body_for(error))], "{error:?}");
}

// RFC 7692 §7.2.2, RFC 6455 §7.4.1: 1007
#[test]
fn payloads_that_are_no_deflate_fail() {
    let stored_with_a_wrong_length = b"\x00\x05\x00\x00\x00hello";
    for role in ROLES {
        let whole = compress(b"a message that is cut short, short, short");
        let cut = &whole[..whole.len() - 1];
        let more = [&whole[..], &[0xff, 0xff]].concat();
        for payload in [&b"\x06"[..], b"\x07\x00", stored_with_a_wrong_length, &FAR, cut, &more] {
            for size in [usize::MAX >> 1, 1, 3] {
                let bad = fragments(role, TEXT, payload, size);
                fails(role, Config::new(), &bad, ProtocolError::InvalidDeflate);
            }
        }
    }
}

// RFC 7692 §7.2.3.2: what was received is all that may be referred to.
#[test]
fn references_reach_as_far_as_messages_were_received() {
    let pool = Pool::new();
    for role in ROLES {
        let message = |len| frame(role, FIN | RSV1 | BINARY, &compress(&vec![7; len]));
        let far = frame(role, FIN | RSV1 | BINARY, &FAR);
        fails(
            role,
            Config::new(),
            &[message(252), far.clone()].concat(),
            ProtocolError::InvalidDeflate,
        );
        let endpoint = || agreed(role, Compression::new(&pool), params(9, true), Config::new());
        let told = [257, 3].map(|len| Told::Message(MessageKind::Binary, vec![7; len]));
        assert_eq!(same(role, endpoint, &[message(257), far].concat()), (told.into(), vec![]));
    }
}

// RFC 6455 §8.1: text is checked after it was inflated, and as soon as it is certain
#[test]
fn inflated_text_that_is_not_utf_8_fails_before_the_message_ends() {
    for role in ROLES {
        for text in [&b"abc\xff"[..], b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"] {
            let mut long = b"a long text ".repeat(30);
            long.extend_from_slice(text);
            for text in [text, &long] {
                let payload = compress(text);
                for size in [usize::MAX >> 1, 1, 5] {
                    let bad = fragments(role, TEXT, &payload, size);
                    fails(role, Config::new(), &bad, ProtocolError::InvalidUtf8);
                }
                // The message does not end: all there is of it is a flushed block.
                let open = [&payload[..], &[0, 0, 0xff, 0xff]].concat();
                let bad = frame(role, RSV1 | TEXT, &open);
                fails(role, Config::new(), &bad, ProtocolError::InvalidUtf8);
            }
        }
        // A character that is not complete is no error before the end.
        let cut = compress(b"abc\xe2\x82");
        fails(role, Config::new(), &fragments(role, TEXT, &cut, 2), ProtocolError::InvalidUtf8);
        let open = [&cut[..], &[0, 0, 0xff, 0xff]].concat();
        let pool = Pool::new();
        let stream = frame(role, RSV1 | TEXT, &open);
        let endpoint = || agreed(role, Compression::new(&pool), params(15, true), Config::new());
        assert_eq!(same(role, endpoint, &stream), (vec![], vec![]));
    }
}

// RFC 6455 §10.4: the limit holds while a message is inflated
#[test]
fn bombs_stop_at_the_limit() {
    let config = Config::new().max_message(10_000);
    let bomb = compress(&vec![0; 1 << 20]);
    for role in ROLES {
        for (opcode, size) in [(TEXT, usize::MAX >> 1), (BINARY, 1), (BINARY, 100)] {
            let bad = fragments(role, opcode, &bomb, size);
            fails(role, config, &bad, ProtocolError::MessageTooLarge);
        }
        // One byte more than the limit, and exactly it.
        let bad = frame(role, FIN | RSV1 | BINARY, &compress(&[0; 10_001]));
        fails(role, config, &bad, ProtocolError::MessageTooLarge);
        let pool = Pool::new();
        let stream = frame(role, FIN | RSV1 | BINARY, &compress(&[0; 10_000]));
        let endpoint = || agreed(role, Compression::new(&pool), params(15, true), config);
        let told = vec![Told::Message(MessageKind::Binary, vec![0; 10_000])];
        assert_eq!(same(role, endpoint, &stream), (told, vec![]));
        // What comes over the wire is bounded by the limit of a frame.
        let noise: Vec<u8> = (0..300_u32).map(|i| ((i * i * 7919) >> 5) as u8).collect();
        let bad = frame(role, FIN | RSV1 | BINARY, &compress(&noise));
        fails(role, Config::new().max_frame(100), &bad, ProtocolError::FrameTooLarge);
        // The length of what is compressed is not held against the limit of a message.
        let padded = [&[0, 0, 0, 0xff, 0xff].repeat(50)[..], &compress(b"short")].concat();
        let stream = fragments(role, BINARY, &padded, 100);
        let config = Config::new().max_message(5);
        let endpoint = || agreed(role, Compression::new(&pool), params(15, true), config);
        let told = vec![Told::Message(MessageKind::Binary, b"short".to_vec())];
        assert_eq!(same(role, endpoint, &stream), (told, vec![]));
    }
}

#[test]
fn a_ratio_is_a_limit_too() {
    let pool = Pool::new();
    for role in ROLES {
        let config = Config::new();
        let compression = || Compression::new(&pool).max_ratio(Some(10));
        let endpoint = || agreed(role, compression(), params(15, true), config);
        let stream = frame(role, FIN | RSV1 | BINARY, &compress(&[0; 10_241]));
        let error = ProtocolError::MessageTooLarge;
        let told = vec![Told::Failed(EndpointError::Protocol(error))];
        let sent = vec![(0x88, b"\x03\xf1message longer than the limit".to_vec())];
        assert_eq!(same(role, endpoint, &stream), (told, sent));
        let stream = frame(role, FIN | RSV1 | BINARY, &compress(&[0; 10_240]));
        let told = vec![Told::Message(MessageKind::Binary, vec![0; 10_240])];
        assert_eq!(same(role, endpoint, &stream), (told, vec![]));
    }
}

// RFC 7692 §6.1, RFC 6455 §5.2: 1002
#[test]
fn rsv1_where_it_means_nothing_fails() {
    let payload = compress(b"message");
    for role in ROLES {
        for bad in [
            frame(role, FIN | RSV1 | PING, b""),
            frame(role, FIN | RSV1 | CLOSE, b""),
            frame(role, FIN | 0x60 | TEXT, &payload),
            frame(role, FIN | 0x50 | TEXT, &payload),
            [frame(role, RSV1 | TEXT, &payload[..3]), frame(role, FIN | RSV1, &payload[3..])]
                .concat(),
            [frame(role, TEXT, b"plain"), frame(role, FIN | RSV1 | CONT, &payload)].concat(),
        ] {
            fails(role, Config::new(), &bad, ProtocolError::ReservedBits);
        }
        // Without an agreement.
        let stream = frame(role, FIN | RSV1 | TEXT, &payload);
        let endpoint = || crate::ends::open(role, Config::new());
        let told = vec![Told::Failed(EndpointError::Protocol(ProtocolError::ReservedBits))];
        let sent = vec![(0x88, body_for(ProtocolError::ReservedBits))];
        assert_eq!(same(role, endpoint, &stream), (told, sent));
    }
}

// RFC 6455 §5.4, §5.5: control frames between the fragments of a compressed message; a Close frame ends it
#[test]
fn control_frames_come_between_compressed_fragments() {
    let pool = Pool::new();
    let text = "between, between, between";
    let payload = compress(text.as_bytes());
    for role in ROLES {
        let mut stream = Vec::new();
        let (mut told, mut sent) = (Vec::new(), Vec::new());
        for (at, byte) in payload.iter().enumerate() {
            let fin = if at + 1 == payload.len() { FIN } else { 0 };
            stream.extend(frame(role, fin | if at == 0 { RSV1 | TEXT } else { 0 }, &[*byte]));
            if fin == 0 {
                stream.extend(frame(role, FIN | PING, &[at as u8]));
                told.push(Told::Ping(vec![at as u8]));
                sent.push((0x8a, vec![at as u8]));
            }
        }
        told.push(Told::Message(MessageKind::Text, text.into()));
        // The next message is begun, and the peer closes.
        stream.extend(frame(role, RSV1 | TEXT, &payload[..4]));
        stream.extend(frame(role, FIN | CLOSE, &close_body(1001, "")));
        told.push(Told::Closed(1001));
        sent.push((0x88, 1001_u16.to_be_bytes().to_vec()));
        let endpoint = || agreed(role, Compression::new(&pool), params(15, true), Config::new());
        // What is sent last waits until all is told: not all Pongs are, if the bytes come together.
        let (all, by_one) =
            (Step::new(Way::Next, usize::MAX, false), Step::new(Way::Next, 1, false));
        for step in [all, by_one] {
            let mut log = Log::default();
            let mut endpoint = endpoint();
            feed(&mut endpoint, &stream, &[step], &mut log);
            assert_eq!(
                (&log.told, plain(&log.written)),
                (&told, sent.clone()),
                "{role:?} {step:?}"
            );
        }
        assert_eq!(same(role, endpoint, &stream), (told, sent));
    }
}

#[test]
fn an_end_in_the_middle_of_a_compressed_message_is_abnormal() {
    let pool = Pool::new();
    let payload = compress(&[7; 1000]);
    for role in ROLES {
        let whole = frame(role, FIN | RSV1 | BINARY, &payload);
        let begun = [whole.clone(), whole[..whole.len() - 1].to_vec()].concat();
        let fragment = [whole.clone(), frame(role, RSV1 | BINARY, &payload[..3])].concat();
        for stream in [begun, fragment] {
            for way in WAYS {
                for streaming in [false, true] {
                    for reset in [false, true] {
                        let mut endpoint = usual(role, &pool);
                        let mut log = Log::default();
                        endpoint.inbound.set_streaming(streaming);
                        assert_eq!(endpoint.inbound.receive(&stream), stream.len());
                        if reset {
                            endpoint.outbound.receive_reset();
                        } else {
                            endpoint.inbound.receive_eof();
                        }
                        log.ask(&mut endpoint, way, false);
                        let message = Told::Message(MessageKind::Binary, vec![7; 1000]);
                        assert_eq!(log.told, [message, Told::Closed(1006)]);
                        assert!(log.done);
                        assert!(matches!(endpoint.next(|| AT(0)), ws_core::endpoint::Next::Done));
                    }
                }
            }
        }
    }
}

// A window that is not kept is not there for the next message; one that is kept is, and messages that are not
// compressed do not count (RFC 7692 §7.1.1.1, §7.2.3.2).
#[test]
fn what_a_message_may_refer_to_is_what_was_agreed() {
    use ws_core::deflate::{DeflateOptions, Deflater};
    let pool = Pool::new();
    let text = "once upon a time there was a window";
    let bits = WindowBits::new(9).unwrap();
    for role in ROLES {
        let mut deflater = Deflater::new(&pool, bits, DeflateOptions::new());
        let mut stream = Vec::new();
        for between in ["", "plain", "and longer than the window is ".repeat(40).as_str()] {
            let mut payload = Vec::new();
            deflater.compress_piece(text.as_bytes(), true, &mut payload);
            stream.extend(frame(role, FIN | RSV1 | TEXT, &payload));
            stream.extend(frame(role, FIN | TEXT, between.as_bytes()));
        }
        let endpoint = |takeover| {
            let pool = pool.clone();
            move || agreed(role, Compression::new(&pool), params(9, takeover), Config::new())
        };
        let (told, _) = same(role, endpoint(true), &stream);
        assert_eq!(told.len(), 6);
        for at in [0, 2, 4] {
            assert_eq!(told[at], Told::Message(MessageKind::Text, text.into()));
        }
        let (told, _) = same(role, endpoint(false), &stream);
        let failed = Told::Failed(EndpointError::Protocol(ProtocolError::InvalidDeflate));
        assert_eq!(told[2..], [failed]);
    }
}

// Fragments of one byte, and empty ones.
#[test]
fn a_message_in_very_many_fragments_is_whole() {
    let pool = Pool::new();
    let text = "one byte after the other, ".repeat(400);
    // Each piece is flushed: there are more bytes than the text has.
    let pieces: Vec<_> = text.as_bytes().chunks(10).collect();
    for role in ROLES {
        let peer = match role {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        };
        let mut sender = usual(peer, &pool);
        for (at, piece) in pieces.iter().enumerate() {
            let last = at + 1 == pieces.len();
            sender.outbound.queue_fragment(MessageKind::Text, piece, last).unwrap();
            if !last {
                sender.outbound.queue_fragment(MessageKind::Text, b"", false).unwrap();
            }
        }
        let wire = take(&mut sender, false);
        let payload: Vec<u8> = plain(&wire).into_iter().flat_map(|(_, payload)| payload).collect();
        let stream = fragments(role, TEXT, &payload, 1);
        for (stream, streaming) in
            [(&wire, false), (&wire, true), (&stream, false), (&stream, true)]
        {
            let mut log = Log::default();
            let mut receiver = usual(role, &pool);
            feed(&mut receiver, stream, &[Step::new(Way::Next, 1000, streaming)], &mut log);
            assert_eq!(log.told, [Told::Message(MessageKind::Text, text.clone().into())]);
        }
    }
}

#[test]
fn a_limit_that_changes_holds_for_what_is_inflated_from_then_on() {
    let pool = Pool::new();
    let long = vec![7; 50_000];
    for role in ROLES {
        let payload = compress(&long);
        let message = frame(role, FIN | RSV1 | BINARY, &payload);
        let too_large = || Told::Failed(EndpointError::Protocol(ProtocolError::MessageTooLarge));
        let told = |endpoint: &mut Endpoint, stream: &[u8]| {
            let mut log = Log::default();
            feed(endpoint, stream, &[Step::new(Way::Next, usize::MAX, false)], &mut log);
            log.told
        };
        let compression = Compression::new(&pool);
        let config = Config::new().max_message(10);
        let mut endpoint = agreed(role, compression.clone(), params(15, false), config);
        endpoint.inbound.set_max_message(50_000);
        let expected = [Told::Message(MessageKind::Binary, long.clone())];
        assert_eq!(told(&mut endpoint, &message), expected);
        assert_eq!(told(&mut endpoint, &message), expected);
        endpoint.inbound.set_max_message(49_999);
        assert_eq!(told(&mut endpoint, &message), [too_large()]);

        // In the middle of a message that is too long already.
        let mut endpoint = agreed(role, compression, params(15, false), Config::new());
        let (half, rest) = payload.split_at(payload.len() / 2);
        assert_eq!(told(&mut endpoint, &frame(role, RSV1 | BINARY, half)), []);
        endpoint.inbound.set_max_message(1);
        assert_eq!(told(&mut endpoint, &frame(role, FIN | CONT, rest)), [too_large()]);
    }
}
