//! What a connection sends: RFC 6455 §5.1–5.6 and §6.1.

mod common;

use common::*;
use ws_core::frame::OpCode;
use ws_core::{
    CloseCode, Config, Connection, DataFrame, Input, MaskingKey, MessageKind, Role, SendError, Step,
};

const KINDS: [(DataFrame, u8); 2] = [(DataFrame::TEXT, TEXT), (DataFrame::BINARY, BINARY)];
const LENGTHS: [usize; 11] = [0, 1, 5, 124, 125, 126, 127, 65534, 65535, 65536, 70000];

fn connections() -> [(Role, Connection); 2] {
    ROLES.map(|role| (role, Connection::new(role, Config::new())))
}

/// The frame that `encode` makes.
fn encode(connection: &mut Connection, role: Role, frame: DataFrame, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; payload.len() + 14];
    let len = connection.sender.encode(frame, payload, key(role), &mut out).unwrap();
    out.truncate(len);
    out
}

/// Gives `frame` to the connection, which takes it without an error and owes what it owes.
fn receive(connection: &mut Connection, mut frame: Vec<u8>) {
    let mut input = Input::new(&mut frame);
    while !input.is_empty() {
        let step = ask(connection, &mut input, START);
        assert!(matches!(step, Step::Data(_) | Step::Ping | Step::Pong | Step::Close), "{step:?}");
    }
}

// RFC 6455 §5.1, §5.3, §6.1: data, control and empty frames, by every way there is to build one
#[test]
fn client_every_frame_masked() {
    let mut client = Connection::client(Config::new());
    let mut out = [0; 300];
    for payload in [&b""[..], b"a", &[7; 126]] {
        let frame = encode(&mut client, Role::Client, DataFrame::BINARY, payload);
        assert_eq!(frame, raw(FIN | BINARY, Some(KEY), payload));
        let head =
            client.sender.head(DataFrame::BINARY, payload.len() as u64, key(Role::Client)).unwrap();
        let mut masked = payload.to_vec();
        client.sender.mask_payload(&mut masked).unwrap();
        assert_eq!([&head[..], &masked].concat(), frame);
    }
    for payload in [&b""[..], b"abc", &[7; 125]] {
        let len = client.sender.ping(payload, key(Role::Client), &mut out).unwrap();
        assert_eq!(out[..len], raw(FIN | PING, Some(KEY), payload));
        let len = client.sender.pong(payload, key(Role::Client), &mut out).unwrap();
        assert_eq!(out[..len], raw(FIN | PONG, Some(KEY), payload));
        receive(&mut client, to(Role::Client, FIN | PING, payload));
        assert_eq!(drain(&mut client, Role::Client), raw(FIN | PONG, Some(KEY), payload));
    }
    let len = client.sender.start_close(None, "", key(Role::Client), &mut out).unwrap();
    assert_eq!(out[..len], raw(FIN | CLOSE, Some(KEY), b""));
}

// RFC 6455 §5.3: there is no key that a client falls back to, and a frame without one is not sent
#[test]
fn client_mask_key_fresh_per_frame() {
    let mut client = Connection::client(Config::new());
    let mut out = [0; 64];
    let missing = SendError::MaskingKeyMissing;
    assert_eq!(client.sender.encode(DataFrame::TEXT, b"a", None, &mut out), Err(missing));
    // Frames of eight bytes and more are encoded on another path.
    assert_eq!(client.sender.encode(DataFrame::TEXT, b"abcdefgh", None, &mut out), Err(missing));
    assert_eq!(client.sender.head(DataFrame::TEXT, 1, None).err(), Some(missing));
    assert_eq!(
        client.sender.encode_in_place(DataFrame::TEXT, &mut out, 14..15, None),
        Err(missing)
    );
    assert_eq!(client.sender.ping(b"", None, &mut out), Err(missing));
    assert_eq!(client.sender.pong(b"", None, &mut out), Err(missing));
    assert_eq!(client.sender.start_close(None, "", None, &mut out), Err(missing));
    receive(&mut client, to(Role::Client, FIN | PING, b"x"));
    assert_eq!(client.sender.transmit(&mut out, None), Err(missing));
    assert_eq!(out, [0; 64]);
    assert_eq!(drain(&mut client, Role::Client), raw(FIN | PONG, Some(KEY), b"x"));
    for fresh in [[1, 2, 3, 4], [9, 8, 7, 6]] {
        let len = client
            .sender
            .encode(DataFrame::TEXT, b"abcde", Some(MaskingKey::new(fresh)), &mut out)
            .unwrap();
        assert_eq!(out[..len], raw(FIN | TEXT, Some(fresh), b"abcde"));
    }
}

// RFC 6455 §5.1
#[test]
fn server_never_masks() {
    let mut server = Connection::server(Config::new());
    let mut out = [0; 64];
    let some = Some(MaskingKey::new(KEY));
    let unexpected = SendError::MaskingKeyUnexpected;
    assert_eq!(server.sender.encode(DataFrame::TEXT, b"a", some, &mut out), Err(unexpected));
    let outcome = server.sender.encode(DataFrame::TEXT, b"abcdefgh", some, &mut out);
    assert_eq!(outcome, Err(unexpected));
    assert_eq!(server.sender.head(DataFrame::TEXT, 1, some).err(), Some(unexpected));
    assert_eq!(
        server.sender.encode_in_place(DataFrame::TEXT, &mut out, 14..15, some),
        Err(unexpected)
    );
    assert_eq!(server.sender.ping(b"", some, &mut out), Err(unexpected));
    assert_eq!(server.sender.pong(b"", some, &mut out), Err(unexpected));
    assert_eq!(server.sender.start_close(None, "", some, &mut out), Err(unexpected));
    // The reply to a masked Ping carries nothing of its mask.
    receive(&mut server, to(Role::Server, FIN | PING, b"x"));
    assert_eq!(server.sender.transmit(&mut out, some), Err(unexpected));
    assert_eq!(out, [0; 64]);
    assert_eq!(drain(&mut server, Role::Server), raw(FIN | PONG, None, b"x"));
    assert_eq!(
        encode(&mut server, Role::Server, DataFrame::TEXT, b"a"),
        raw(FIN | TEXT, None, b"a")
    );
    // Payload that passes through the masking call stays as it is.
    let mut payload = *b"plain";
    assert_eq!(&*server.sender.head(DataFrame::TEXT, 5, None).unwrap(), b"\x81\x05");
    server.sender.mask_payload(&mut payload).unwrap();
    assert_eq!(&payload, b"plain");
}

// RFC 6455 §5.2, §6.1: the shortest length, FIN, no RSV bit, the opcode of the kind; all ways agree
#[test]
fn sent_length_minimal() {
    for (role, mut connection) in connections() {
        for len in LENGTHS {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            for (frame, opcode) in KINDS {
                let expected = by(role, FIN | opcode, &payload);
                assert_eq!(encode(&mut connection, role, frame, &payload), expected);

                let mut buffer = vec![0xee; 20 + len + 5];
                buffer[20..20 + len].copy_from_slice(&payload);
                let range = connection
                    .sender
                    .encode_in_place(frame, &mut buffer, 20..20 + len, key(role))
                    .unwrap();
                assert_eq!(buffer[range.clone()], expected);
                assert!(buffer[..range.start].iter().all(|byte| *byte == 0xee));
                assert_eq!(buffer[range.end..], [0xee; 5]);

                let head = connection.sender.head(frame, len as u64, key(role)).unwrap();
                let mut body = payload.clone();
                connection.sender.mask_payload(&mut body).unwrap();
                assert_eq!([&head[..], &body].concat(), expected);

                #[cfg(feature = "alloc")]
                {
                    let mut out = b"before".to_vec();
                    connection.sender.encode_vec(frame, &payload, key(role), &mut out).unwrap();
                    assert_eq!(out, [b"before", &expected[..]].concat());
                }
            }
        }
    }
}

// RFC 6455 §5.2
#[test]
fn sent_rsv_zero() {
    for (role, mut connection) in connections() {
        for (frame, opcode) in KINDS {
            for (frame, first) in
                [(frame.more(), opcode), (frame.more(), CONT), (frame, FIN | CONT)]
            {
                assert_eq!(encode(&mut connection, role, frame, b"x"), by(role, first, b"x"));
            }
            let refused = connection.sender.head(frame.compressed(true), 1, key(role)).err();
            assert_eq!(refused, Some(SendError::CompressionNotNegotiated));
        }
        // RFC 7692 §6.1: the first frame of a message only
        let mut connection = Connection::with_compression(role, Config::new(), true);
        let first = DataFrame::TEXT.compressed(true).more();
        assert_eq!(encode(&mut connection, role, first, b"x"), by(role, 0x40 | TEXT, b"x"));
        let refused = connection.sender.head(first, 1, key(role)).err();
        assert_eq!(refused, Some(SendError::CompressionNotNegotiated));
        let last = encode(&mut connection, role, DataFrame::TEXT, b"x");
        assert_eq!(last, by(role, FIN | CONT, b"x"));
    }
}

// RFC 6455 §5.4: the kind, continuations, FIN on the last; one message at a time
#[test]
fn sent_fragment_sequence() {
    for (role, mut connection) in connections() {
        for (frame, opcode) in KINDS {
            let other = if opcode == TEXT { DataFrame::BINARY } else { DataFrame::TEXT };
            let mut out = [0; 32];
            let mut sent = encode(&mut connection, role, frame.more(), b"a");
            for other in [other, other.more()] {
                let refused = connection.sender.encode(other, b"b", key(role), &mut out);
                assert_eq!(refused, Err(SendError::MessageOpen));
            }
            // Control frames go between fragments.
            let len = connection.sender.ping(b"?", key(role), &mut out).unwrap();
            sent.extend(&out[..len]);
            sent.extend(encode(&mut connection, role, frame.more(), b""));
            sent.extend(encode(&mut connection, role, frame, b"c"));
            sent.extend(encode(&mut connection, role, other, b"d"));
            let expected = [
                by(role, opcode, b"a"),
                by(role, FIN | PING, b"?"),
                by(role, CONT, b""),
                by(role, FIN | CONT, b"c"),
                by(role, FIN | (TEXT + BINARY - opcode), b"d"),
            ];
            assert_eq!(sent, expected.concat());
        }
    }
}

// RFC 6455 §6.1
#[test]
fn sent_opcode_matches_type() {
    for (role, mut connection) in connections() {
        for (kind, opcode) in
            [(MessageKind::Text, OpCode::Text), (MessageKind::Binary, OpCode::Binary)]
        {
            let frame = encode(&mut connection, role, DataFrame::new(kind), b"x");
            assert_eq!(frame[0], FIN | opcode as u8);
        }
    }
}

// RFC 6455 §6.1
#[test]
fn sent_fin_on_last() {
    for (role, mut connection) in connections() {
        for (frame, fin) in [(DataFrame::TEXT.more(), 0), (DataFrame::TEXT, FIN)] {
            assert_eq!(encode(&mut connection, role, frame, b"x")[0] & FIN, fin);
        }
    }
}

// RFC 6455 §5.2: a payload below 2^63, and within the limit for what is sent
#[test]
fn sent_length_is_limited() {
    for (role, mut connection) in connections() {
        for len in [1 << 63, u64::MAX] {
            let refused = connection.sender.head(DataFrame::BINARY, len, key(role)).err();
            assert_eq!(refused, Some(SendError::FrameTooLong));
        }
        let head = connection.sender.head(DataFrame::BINARY, (1 << 63) - 1, key(role)).unwrap();
        assert_eq!(head[1] & 0x7f, 127);
        assert_eq!(head[2..10], [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);

        let mut connection = Connection::new(role, Config::new().max_outgoing_frame(3));
        assert_eq!(
            encode(&mut connection, role, DataFrame::TEXT, b"abc"),
            by(role, FIN | TEXT, b"abc")
        );
        let refused = connection.sender.encode(DataFrame::TEXT, b"abcd", key(role), &mut [0; 32]);
        assert_eq!(refused, Err(SendError::FrameTooLong));
    }
}

// RFC 6455 §5.5
#[test]
fn send_control_over_125_refused() {
    for (role, mut connection) in connections() {
        let mut out = [0; 300];
        let payload = [7; 126];
        assert_eq!(
            connection.sender.ping(&payload, key(role), &mut out),
            Err(SendError::ControlTooLong)
        );
        assert_eq!(
            connection.sender.pong(&payload, key(role), &mut out),
            Err(SendError::ControlTooLong)
        );
        let len = connection.sender.ping(&payload[1..], key(role), &mut out).unwrap();
        assert_eq!(out[..len], by(role, FIN | PING, &payload[1..]));
    }
}

// RFC 6455 §6.1: a head arms its payload, which is sent whole, in pieces of any size
#[test]
fn partial_write_resumes_exactly() {
    for (role, mut connection) in connections() {
        receive(&mut connection, to(role, FIN | PING, b"p"));
        let payload: Vec<u8> = (0..100).collect();
        let mut sent = connection.sender.head(DataFrame::BINARY, 100, key(role)).unwrap().to_vec();
        let mut out = [0; 131];
        for piece in payload.chunks(7) {
            let pending = Err(SendError::PayloadPending);
            assert!(!matches!(idle(&mut connection, START), Step::Transmit));
            assert_eq!(connection.sender.transmit(&mut out, key(role)), Ok(0));
            assert_eq!(
                connection.sender.encode(DataFrame::TEXT, b"", key(role), &mut out),
                pending
            );
            assert_eq!(connection.sender.ping(b"", key(role), &mut out), pending);
            assert_eq!(connection.sender.start_close(None, "", key(role), &mut out), pending);
            let mut piece = piece.to_vec();
            connection.sender.mask_payload(&mut piece).unwrap();
            sent.extend(piece);
        }
        assert_eq!(connection.sender.mask_payload(&mut [0]), Err(SendError::PayloadTooLong));
        // The pong has waited, and stays until there is room for it.
        let needed = by(role, FIN | PONG, b"p").len();
        assert!(matches!(idle(&mut connection, START), Step::Transmit));
        for room in 0..needed {
            let refused = connection.sender.transmit(&mut out[..room], key(role));
            assert_eq!(refused, Err(SendError::BufferTooSmall { needed }));
        }
        sent.extend(drain(&mut connection, role));
        assert_eq!(sent, [by(role, FIN | BINARY, &payload), by(role, FIN | PONG, b"p")].concat());
    }
}

#[test]
fn payload_is_accounted_for() {
    let mut server = Connection::server(Config::new());
    assert_eq!(server.sender.payload_written(1), Err(SendError::PayloadTooLong));
    server.sender.head(DataFrame::BINARY, 10, None).unwrap();
    server.sender.payload_written(4).unwrap();
    server.sender.mask_payload(&mut [0; 5]).unwrap();
    assert_eq!(server.sender.payload_written(u64::MAX), Err(SendError::PayloadTooLong));
    assert_eq!(
        server.sender.head(DataFrame::BINARY, 0, None).err(),
        Some(SendError::PayloadPending)
    );
    server.sender.payload_written(1).unwrap();
    server.sender.head(DataFrame::BINARY, 0, None).unwrap();

    // RFC 6455 §5.3: a client's payload does not get past the mask.
    let mut client = Connection::client(Config::new());
    client.sender.head(DataFrame::BINARY, 1, key(Role::Client)).unwrap();
    assert_eq!(client.sender.payload_written(1), Err(SendError::PayloadUnmasked));
}

// A refused call changes nothing: the same call succeeds later, and the output is untouched.
#[test]
fn a_refused_send_leaves_no_trace() {
    for (role, mut connection) in connections() {
        for len in [0, 5, 126, 65536] {
            let payload = vec![b'x'; len];
            let expected = by(role, FIN | TEXT, &payload);
            let needed = expected.len();
            let mut out = vec![0; needed];
            for room in [0, 1, 2, needed - 1] {
                let refused = connection.sender.encode(
                    DataFrame::TEXT,
                    &payload,
                    key(role),
                    &mut out[..room.min(needed - 1)],
                );
                assert_eq!(refused, Err(SendError::BufferTooSmall { needed }));
            }
            assert!(out.iter().all(|byte| *byte == 0));
            let headroom = needed - len;
            let mut buffer = vec![0; needed];
            let at = headroom - 1;
            let refused = connection.sender.encode_in_place(
                DataFrame::TEXT,
                &mut buffer,
                at..at + len,
                key(role),
            );
            assert_eq!(refused, Err(SendError::NoHeadroom { needed: headroom }));
            let past = headroom + 1..headroom + 1 + len;
            let refused = connection.sender.encode_in_place(
                DataFrame::TEXT,
                &mut buffer,
                past.clone(),
                key(role),
            );
            if past.end > needed {
                assert_eq!(refused, Err(SendError::BufferTooSmall { needed: past.end }));
            }
            assert!(buffer.iter().all(|byte| *byte == 0));
            assert_eq!(encode(&mut connection, role, DataFrame::TEXT, &payload), expected);
        }
        let far = usize::MAX - 1..usize::MAX;
        let refused =
            connection.sender.encode_in_place(DataFrame::TEXT, &mut [0; 20], far, key(role));
        assert_eq!(refused, Err(SendError::BufferTooSmall { needed: usize::MAX }));
    }
}

// RFC 6455 §5.5.2, §5.5.3: every length, the same bytes
#[test]
fn pong_echoes_payload_0_to_125() {
    for role in ROLES {
        for len in 0..=125u8 {
            let payload: Vec<u8> = (0..len).map(|i| i ^ 0xa5).collect();
            let bytes = to(role, FIN | PING, &payload);
            let expected = Outcome::open(vec![ping(&payload).at(bytes.len())]).sent(by(
                role,
                FIN | PONG,
                &payload,
            ));
            assert_eq!(outcome(role, &bytes), expected);
        }
    }
}

// RFC 6455 §5.5.2: as soon as practical, each one when the driver writes
#[test]
fn ping_answered() {
    for role in ROLES {
        let bytes: Vec<u8> = (0..10).flat_map(|i| to(role, FIN | PING, &[i])).collect();
        let answers: Vec<u8> = (0..10).flat_map(|i| by(role, FIN | PONG, &[i])).collect();
        assert_eq!(outcome(role, &bytes).output, answers);
    }
}

// RFC 6455 §5.5.2: between the frames of a message that is being sent
#[test]
fn pong_before_queued_data() {
    for (role, mut connection) in connections() {
        let mut sent = encode(&mut connection, role, DataFrame::TEXT.more(), b"a");
        receive(&mut connection, to(role, FIN | PING, b"now"));
        assert!(matches!(idle(&mut connection, START), Step::Transmit));
        sent.extend(drain(&mut connection, role));
        sent.extend(encode(&mut connection, role, DataFrame::TEXT, b"b"));
        let expected =
            [by(role, TEXT, b"a"), by(role, FIN | PONG, b"now"), by(role, FIN | CONT, b"b")];
        assert_eq!(sent, expected.concat());
    }
}

// RFC 6455 §5.5.3: of many that wait only the latest; a pong of the user's own does not replace it
#[test]
fn pong_queue_bounded() {
    for (role, mut connection) in connections() {
        // Nothing can be sent while a payload is under way.
        connection.sender.head(DataFrame::BINARY, 1, key(role)).unwrap();
        for i in 0..100_000u32 {
            receive(&mut connection, to(role, FIN | PING, &i.to_be_bytes()));
        }
        connection.sender.mask_payload(&mut [0]).unwrap();
        let mut out = [0; 131];
        let len = connection.sender.pong(b"mine", key(role), &mut out).unwrap();
        assert_eq!(out[..len], by(role, FIN | PONG, b"mine"));
        let last = by(role, FIN | PONG, &99_999u32.to_be_bytes());
        assert_eq!(drain(&mut connection, role), last);
    }
}

// RFC 6455 §5.5.3: no answer
#[test]
fn unsolicited_pong_ignored() {
    for role in ROLES {
        let bytes = to(role, FIN | PONG, b"beat");
        let expected = Outcome::open(vec![pong(b"beat").at(bytes.len())]);
        assert_eq!(outcome(role, &bytes), expected);
    }
}

// RFC 6455 §6.1, §5.1: open until a Close frame is sent, is due or has come, or the stream has ended
#[test]
fn send_allowed_only_when_open() {
    for role in ROLES {
        let refused = |connection: &mut Connection| {
            let closing = Err(SendError::Closing);
            let mut out = [0; 64];
            assert_eq!(
                connection.sender.head(DataFrame::TEXT, 0, key(role)).err(),
                Some(SendError::Closing)
            );
            assert_eq!(
                connection.sender.encode(DataFrame::TEXT, b"", key(role), &mut out),
                closing
            );
            assert_eq!(connection.sender.ping(b"", key(role), &mut out), closing);
            assert_eq!(connection.sender.pong(b"", key(role), &mut out), closing);
            assert_eq!(
                connection.sender.start_close(CloseCode::NORMAL, "", key(role), &mut out),
                closing
            );
            assert_eq!(out, [0; 64]);
        };
        let mut closed = Connection::new(role, Config::new());
        closed.sender.start_close(None, "", key(role), &mut [0; 6]).unwrap();
        refused(&mut closed);

        let mut asked = Connection::new(role, Config::new());
        receive(&mut asked, to(role, FIN | CLOSE, b""));
        refused(&mut asked);
        drain(&mut asked, role);
        refused(&mut asked);

        let mut failed = Connection::new(role, Config::new());
        failed.receiver.fail(&mut failed.sender, ws_core::ProtocolError::InvalidUtf8);
        refused(&mut failed);

        let mut ended = Connection::new(role, Config::new());
        ended.receiver.receive_eof();
        assert_eq!(state(&mut ended, role), State::Ended);
        refused(&mut ended);

        let mut reset = Connection::new(role, Config::new());
        reset.sender.receive_reset();
        refused(&mut reset);
    }
}

// RFC 6455 §6.1: the state may change between the frames of a message
#[test]
fn send_in_wrong_state_is_error() {
    for (role, mut connection) in connections() {
        encode(&mut connection, role, DataFrame::TEXT.more(), b"a");
        receive(&mut connection, to(role, FIN | CLOSE, b""));
        let refused = connection.sender.encode(DataFrame::TEXT, b"b", key(role), &mut [0; 32]);
        assert_eq!(refused, Err(SendError::Closing));
        assert_eq!(drain(&mut connection, role), by(role, FIN | CLOSE, b""));
    }
}

#[test]
fn a_range_that_runs_backwards_is_no_payload() {
    let mut server = Connection::server(Config::new());
    #[allow(clippy::reversed_empty_ranges, reason = "that is the point")]
    let refused = server.sender.encode_in_place(DataFrame::TEXT, &mut [0; 30], 20..15, None);
    assert_eq!(refused, Err(SendError::BufferTooSmall { needed: 20 }));
    assert_eq!(server.sender.encode(DataFrame::TEXT, b"a", None, &mut [0; 30]), Ok(3));
}
