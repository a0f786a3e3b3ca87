//! Limits on what is received: RFC 6455 §10.4.

mod common;

use common::*;
use ws_core::ProtocolError::{FrameTooLarge, MessageTooLarge, ReservedBits};
use ws_core::message::{MessageKind, SliceAssembler};
use ws_core::{Config, Connection, DataFrame, Input, Role, SendError, Step};

const MIB_16: u64 = 16 << 20;

/// The header of a frame to `role` with this payload length, and nothing else.
fn header(role: Role, first: u8, len: u64) -> Vec<u8> {
    let mut bytes = match len {
        0..=125 => length(role, first, len as u8, &[]),
        126..=65535 => length(role, first, 126, &(len as u16).to_be_bytes()),
        _ => length(role, first, 127, &len.to_be_bytes()),
    };
    if role == Role::Server {
        bytes.extend(KEY);
    }
    bytes
}

// RFC 6455 §10.4: frame and message each, inclusive, from the header, for any size of limit
#[test]
fn limits_frame_and_message() {
    for role in ROLES {
        for limit in [0, 1, 5, 125, 126, 65535, 65536, 1 << 40] {
            let frame = Config::new().max_frame(limit).max_message(u64::MAX);
            let message = Config::new().max_frame(u64::MAX).max_message(limit);
            for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
                let fits = header(role, first, limit);
                let seen = match (limit, first) {
                    (0, 0x81) => vec![text("").at(fits.len())],
                    (0, 0x82) => vec![binary(b"").at(fits.len())],
                    _ => vec![],
                };
                assert_eq!(outcome_with(role, frame, &fits), Outcome::open(seen.clone()));
                assert_eq!(outcome_with(role, message, &fits), Outcome::open(seen));
                // The masking key is not waited for.
                let key_len = if role == Role::Server { 4 } else { 0 };
                let mut long = header(role, first, limit + 1);
                long.truncate(long.len() - key_len);
                let expected = Outcome::failed(role, vec![], FrameTooLarge);
                assert_eq!(outcome_with(role, frame, &long), expected);
                let expected = Outcome::failed(role, vec![], MessageTooLarge);
                assert_eq!(outcome_with(role, message, &long), expected);
            }
        }
    }
}

// RFC 6455 §10.4: the fragments of a message together, and each message from the start
#[test]
fn limit_counts_all_fragments() {
    let config = Config::new().max_message(10);
    for role in ROLES {
        let fits = [to(role, TEXT, b"12345"), to(role, CONT, b"678"), to(role, FIN | CONT, b"90")];
        let fits = fits.concat();
        let twice = [&fits[..], &fits].concat();
        let seen = vec![text("1234567890").at(fits.len()), text("1234567890").at(twice.len())];
        assert_eq!(outcome_with(role, config, &twice), Outcome::open(seen));

        let start =
            [to(role, TEXT, b"12345"), to(role, CONT, b""), to(role, CONT, b"67890")].concat();
        let long = to(role, FIN | PING, &[0; 125]);
        let over = [&start[..], &long, &header(role, CONT, 1)].concat();
        let seen = vec![ping(&[0; 125]).at(start.len() + long.len())];
        let output =
            [by(role, FIN | PONG, &[0; 125]), close_by(role, MessageTooLarge.close_code())];
        let expected = Outcome::failed(role, seen, MessageTooLarge).sent(output.concat());
        assert_eq!(outcome_with(role, config, &over), expected);
    }
}

// RFC 6455 §5.5: control frames are no messages
#[test]
fn limits_leave_control_frames_alone() {
    let config = Config::new().max_frame(0).max_message(0);
    for role in ROLES {
        let bytes = to(role, FIN | PING, &[1; 125]);
        let expected = Outcome::open(vec![ping(&[1; 125]).at(bytes.len())]).sent(by(
            role,
            FIN | PONG,
            &[1; 125],
        ));
        assert_eq!(outcome_with(role, config, &bytes), expected);
    }
}

// RFC 6455 §10.4: a length is compared as 64 bits, before it becomes an address
#[test]
fn limits_usize_32bit() {
    for role in ROLES {
        for len in [(1 << 32) - 1, 1 << 32, (1 << 32) + 1, (1 << 32) + 125, (1 << 62) + 5] {
            let bytes = header(role, FIN | BINARY, len);
            let expected = Outcome::failed(role, vec![], FrameTooLarge);
            assert_eq!(outcome(role, &bytes), expected);

            let config = Config::new().max_frame(u64::MAX);
            let expected = Outcome::failed(role, vec![], MessageTooLarge);
            assert_eq!(outcome_with(role, config, &bytes), expected);

            // Where it is allowed, the payload comes in chunks and goes on.
            let mut driver = Driver::new(role, config.max_message(u64::MAX));
            driver.feed(&bytes);
            driver.feed(&[0; 1000]);
            assert_eq!(driver.outcome, Outcome::open(vec![]));
            let mut more = [0; 130];
            let mut input = Input::new(&mut more);
            let Step::Data(chunk) = ask(&mut driver.connection, &mut input, START) else {
                panic!("the payload goes on");
            };
            assert_eq!((chunk.bytes.len(), chunk.start, chunk.end), (130, false, false));
        }
        // A head for such a length is made, too.
        let mut connection = Connection::new(role, Config::new());
        let head = connection.sender.head(DataFrame::BINARY, (1 << 32) + 1, key(role)).unwrap();
        assert_eq!(*head, header(other(role), FIN | BINARY, (1 << 32) + 1));
        for _ in 0..2 {
            connection.sender.mask_payload(&mut [0; 125]).unwrap();
        }
        let pending = connection.sender.head(DataFrame::BINARY, 0, key(role)).err();
        assert_eq!(pending, Some(ws_core::SendError::PayloadPending));
    }
}

fn other(role: Role) -> Role {
    if role == Role::Server { Role::Client } else { Role::Server }
}

// RFC 6455 §10.4
#[test]
fn defaults_are_bounded() {
    assert_eq!(Config::new(), Config::default());
    for role in ROLES {
        let fits = header(role, FIN | BINARY, MIB_16);
        assert_eq!(outcome(role, &fits), Outcome::open(vec![]));
        let long = header(role, FIN | BINARY, MIB_16 + 1);
        assert_eq!(outcome(role, &long), Outcome::failed(role, vec![], FrameTooLarge));
        let two = [to(role, BINARY, b"a"), header(role, CONT, MIB_16)].concat();
        assert_eq!(outcome(role, &two), Outcome::failed(role, vec![], MessageTooLarge));
    }
}

// RFC 7692 §6: what is inflated counts, which the layer above does; the frame is still bounded
#[test]
fn limits_of_compressed_messages() {
    let config = Config::new().max_message(3).max_frame(5);
    for role in ROLES {
        let bytes = [to(role, 0x40 | TEXT, b"12345"), to(role, FIN | CONT, b"6")].concat();
        let expected = Outcome::open(vec![Seen::Compressed(b"123456".into()).at(bytes.len())]);
        assert_eq!(outcome_compressed(role, config, &bytes), expected);
        let bytes = header(role, 0x40 | TEXT, 6);
        let expected = Outcome::failed(role, vec![], FrameTooLarge);
        assert_eq!(outcome_compressed(role, config, &bytes), expected);
        let bytes = header(role, TEXT, 4);
        let expected = Outcome::failed(role, vec![], MessageTooLarge);
        assert_eq!(outcome_compressed(role, config, &bytes), expected);
    }
}

// A message that is too long for the slice is refused to its end; the next one is whole again.
#[test]
fn slice_assembler_refuses_what_does_not_fit() {
    let mut connection = Connection::client(Config::new());
    let mut storage = [0; 4];
    let mut messages = SliceAssembler::new(&mut storage);
    let frames = [
        (BINARY, "abc", None),
        (CONT, "de", None),
        (CONT, "", None),
        (FIN | CONT, "f", None),
        (TEXT, "", Some(None)),
        (CONT, "abcd", Some(None)),
        (FIN | CONT, "", Some(Some("abcd"))),
        (FIN | TEXT, "", Some(Some(""))),
    ];
    for (i, (first, part, expected)) in frames.into_iter().enumerate() {
        let mut bytes = to(Role::Client, first, part.as_bytes());
        let mut input = Input::new(&mut bytes);
        let Step::Data(chunk) = ask(&mut connection, &mut input, START) else { panic!() };
        let expected = if i == 0 { Some(None) } else { expected };
        let result = messages.push(&chunk).ok();
        let expected =
            expected.map(|message| message.map(|text: &str| (MessageKind::Text, text.as_bytes())));
        assert_eq!(result.map(|m| m.map(|(kind, bytes)| (kind, &*bytes))), expected, "{i}");
    }
}

// What is compressed is no message yet, nor is the rest of it; the next one is.
#[test]
fn slice_assembler_refuses_what_is_compressed() {
    let mut connection = Connection::with_compression(Role::Client, Config::new(), true);
    let mut storage = [0; 4];
    let mut messages = SliceAssembler::new(&mut storage);
    for (first, expected) in [
        (0x40 | TEXT, Err(ReservedBits)),
        (CONT, Err(ReservedBits)),
        (FIN | CONT, Err(ReservedBits)),
        (FIN | TEXT, Ok(Some((MessageKind::Text, b"a".to_vec())))),
    ] {
        let mut bytes = to(Role::Client, first, b"a");
        let mut input = Input::new(&mut bytes);
        let Step::Data(chunk) = ask(&mut connection, &mut input, START) else { panic!() };
        let result = messages.push(&chunk);
        assert_eq!(result.map(|m| m.map(|(kind, bytes)| (kind, bytes.to_vec()))), expected);
    }
}

// RFC 6455 §5.4: the caller makes the fragments, and control frames go between them.
#[test]
fn connection_refuses_frames_over_the_outgoing_limit() {
    for role in ROLES {
        let mut connection = Connection::new(role, Config::new().max_outgoing_frame(4));
        let mut out = [0; 64];
        let refused = connection.sender.encode(DataFrame::TEXT, b"hello", key(role), &mut out);
        assert_eq!(refused, Err(SendError::FrameTooLong));
        let len =
            connection.sender.encode(DataFrame::TEXT.more(), b"hell", key(role), &mut out).unwrap();
        assert_eq!(out[..len], by(role, TEXT, b"hell"));
        let mut ping = to(role, FIN | PING, b"x");
        assert!(matches!(ask(&mut connection, &mut Input::new(&mut ping), START), Step::Ping));
        assert_eq!(drain(&mut connection, role), by(role, FIN | PONG, b"x"));
        let len = connection.sender.encode(DataFrame::TEXT, b"o", key(role), &mut out).unwrap();
        assert_eq!(out[..len], by(role, FIN | CONT, b"o"));
    }
}
