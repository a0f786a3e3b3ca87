//! How endpoints end: errors, the closing handshake, lost streams, time-outs (RFC 6455 §7).
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use std::time::Duration;

use common::*;
use ends::{Seen, *};
use ws_core::endpoint::{CloseInfo, EndpointError};
use ws_core::handshake::{HandshakeError, OpenError};
use ws_core::{CloseCode, Config, Endpoint, MessageKind, ProtocolError::*, Role, SendError};

/// What `run` gives when this is written and an answer is awaited.
fn wrote(output: Vec<u8>, until: u32) -> Answer {
    Answer::Write(output, true, Some(until))
}

/// Nothing can be sent and nothing is told any more.
#[track_caller]
fn is_over(endpoint: &mut Endpoint, role: Role) {
    let out = &mut endpoint.outbound;
    assert!(!out.is_open());
    assert_eq!(out.queue("late").unwrap_err().error, SendError::Closing);
    assert_eq!(out.queue(vec![0; 10_000]).unwrap_err().error, SendError::Closing);
    assert_eq!(out.queue_fragment(MessageKind::Text, b"late", true), Err(SendError::Closing));
    assert_eq!(out.ping(b""), Err(SendError::Closing));
    assert_eq!(out.pong(b""), Err(SendError::Closing));
    assert_eq!(out.start_close(CloseCode::NORMAL, ""), Err(SendError::Closing));
    let late = [to(role, FIN | PING, b"late"), to(role, FIN | CLOSE, b""), vec![0xff; 100]];
    assert_eq!(feed(endpoint, &late.concat()), []);
    assert_eq!(endpoint.outbound.waiting(), 0);
}

// RFC 6455 §7.1.7: what precedes an error in one segment is told first; the code goes out; no more
#[test]
fn error_comes_after_what_precedes_it_and_sends_its_code() {
    for role in ROLES {
        let large = |len: u64| length(role, FIN | BINARY, 127, &len.to_be_bytes());
        let cases = [
            (to(role, FIN | 0x40 | TEXT, b""), ReservedBits, 1002),
            (to(role, FIN | 0x3, b""), ReservedOpcode(3), 1002),
            (to(role, FIN | 0xb, b""), ReservedOpcode(0xb), 1002),
            (to(role, PING, b""), FragmentedControl, 1002),
            (length(role, FIN | PING, 126, &[0, 126]), ControlTooLong, 1002),
            (length(role, FIN | BINARY, 126, &[0, 125]), NonMinimalLength, 1002),
            (large(1 << 63), LengthOverflow, 1002),
            (to(role, FIN | CONT, b"x"), UnexpectedContinuation, 1002),
            ([to(role, TEXT, b"a"), to(role, TEXT, b"b")].concat(), InterleavedMessage, 1002),
            (to(role, FIN | CLOSE, b"x"), CloseBodyTooShort, 1002),
            (to(role, FIN | CLOSE, &close_body(1005, "")), InvalidCloseCode(1005), 1002),
            (to(role, FIN | CLOSE, b"\x03\xe8\xff"), InvalidCloseReason, 1007),
            (to(role, FIN | TEXT, b"\xff"), InvalidUtf8, 1007),
            (large(16 * 1024 * 1024 + 1), FrameTooLarge, 1009),
            match role {
                Role::Server => (raw(FIN | TEXT, None, b"x"), UnmaskedFrame, 1002),
                Role::Client => (raw(FIN | TEXT, Some(KEY), b"x"), MaskedFrame, 1002),
            },
        ];
        for (bytes, error, code) in cases {
            let before = [to(role, FIN | TEXT, b"one"), to(role, FIN | BINARY, b"two")].concat();
            let after = [to(role, FIN | TEXT, b"three"), to(role, FIN | CLOSE, b"")].concat();
            let stream = [before, bytes, after].concat();
            for piece in [1, stream.len()] {
                let mut endpoint = open(role, Config::new());
                let mut events = Vec::new();
                for piece in stream.chunks(piece) {
                    events.extend(feed(&mut endpoint, piece));
                }
                let expected = [text("one"), binary(b"two"), failed(error)];
                assert_eq!(events, expected, "{role:?} {piece}");
                let ending = [
                    wrote(close_for(role, error), 5_000),
                    Answer::Shutdown(Some(5_000)),
                    Answer::Wait(true, Some(5_000)),
                ];
                assert_eq!(run(&mut endpoint, 0), ending, "{error}");
                assert_eq!(
                    endpoint.close_info(),
                    info(CloseCode::ABNORMAL, "", false, true, Some(code))
                );
                is_over(&mut endpoint, role);
                assert_eq!(next(&mut endpoint, 0), Answer::Wait(true, Some(5_000)));
                endpoint.inbound.receive_eof();
                assert_eq!(run(&mut endpoint, 0), [Answer::Done]);
            }
        }
    }
}

// RFC 6455 §8.1: in one chunk it is found when the message is made, across chunks as it comes
#[test]
fn invalid_utf8_fails_with_1007_however_it_is_cut_and_polled() {
    let ok = "κόσμε".as_bytes();
    for bad in [&b"\xff"[..], b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xce"] {
        let payload = [ok, bad].concat();
        for role in ROLES {
            let long = [&b"x".repeat(5000)[..], bad].concat();
            for stream in [
                to(role, FIN | TEXT, &payload),
                to(role, FIN | TEXT, &long),
                [to(role, TEXT, ok), to(role, FIN | CONT, bad)].concat(),
                [to(role, TEXT, &payload), to(role, FIN | CONT, b"x")].concat(),
            ] {
                for (piece, by_ref) in [(1, false), (3, true), (9000, false), (9000, true)] {
                    let mut endpoint = open(role, Config::new());
                    let mut events = Vec::new();
                    for mut piece in stream.chunks(piece) {
                        while !piece.is_empty() {
                            piece = &piece[endpoint.inbound.receive(piece)..];
                            while let Some(event) = event(&mut endpoint, by_ref) {
                                events.push(event);
                            }
                        }
                    }
                    assert_eq!(events, [failed(InvalidUtf8)], "{role:?} {bad:x?}");
                    assert_eq!(take(&mut endpoint), close_for(role, InvalidUtf8));
                    is_over(&mut endpoint, role);
                }
            }
        }
    }
}

// RFC 6455 §5.5.1, §7.1.4–§7.1.6: both ends, either beginning
#[test]
fn closing_handshake_is_clean_on_both_sides() {
    for role in ROLES {
        for (code, reason, seen) in [
            (Some(CloseCode::NORMAL), "bye", CloseCode::NORMAL),
            (Some(CloseCode::new(4999)), "", CloseCode::new(4999)),
            (None, "", CloseCode::NO_STATUS),
        ] {
            let (mut server, mut client) = (server(), client());
            let (ours, theirs) = match role {
                Role::Server => (&mut server, &mut client),
                Role::Client => (&mut client, &mut server),
            };
            ours.outbound.queue("last").unwrap();
            ours.outbound.start_close(code, reason).unwrap();
            assert!(!ours.outbound.is_open());
            assert_eq!(ours.outbound.queue("late").unwrap_err().error, SendError::Closing);
            assert_eq!(ours.outbound.start_close(code, reason), Err(SendError::Closing));
            // What the peer sends before its Close frame is received.
            theirs.outbound.queue("crossing").unwrap();
            let (by_us, by_them) = exchange(ours, theirs);
            // The reply echoes the code alone.
            assert_eq!(by_us, [text("crossing"), closed_by_us(seen.get(), "")]);
            assert_eq!(ours.close_info(), info(seen, "", true, true, Some(seen.get())));
            assert_eq!(by_them, [text("last"), closed(seen.get(), reason)]);
            assert_eq!(theirs.close_info(), info(seen, reason, true, false, Some(seen.get())));
            is_over(&mut server, Role::Server);
            is_over(&mut client, Role::Client);
            the_server_ends_the_stream_first(&mut server, &mut client);
        }
    }
}

// RFC 6455 §7.1.1
#[track_caller]
fn the_server_ends_the_stream_first(server: &mut Endpoint, client: &mut Endpoint) {
    let wait = Answer::Wait(true, Some(5_000));
    assert_eq!(run(server, 0), [Answer::Shutdown(Some(5_000)), wait.clone()]);
    assert_eq!(run(client, 0), [wait]);
    client.inbound.receive_eof();
    assert_eq!(run(client, 0), [Answer::Shutdown(Some(0)), Answer::Done]);
    server.inbound.receive_eof();
    assert_eq!(run(server, 0), [Answer::Done]);
}

#[test]
fn simultaneous_close_is_clean_on_both_sides() {
    let (mut server, mut client) = (server(), client());
    server.outbound.start_close(CloseCode::GOING_AWAY, "s").unwrap();
    client.outbound.start_close(CloseCode::NORMAL, "c").unwrap();
    let (by_server, by_client) = exchange(&mut server, &mut client);
    assert_eq!(by_server, [closed_by_us(1000, "c")]);
    assert_eq!(by_client, [closed_by_us(1001, "s")]);
    assert_eq!(server.close_info(), info(CloseCode::NORMAL, "c", true, true, Some(1001)));
    assert_eq!(client.close_info(), info(CloseCode::GOING_AWAY, "s", true, true, Some(1000)));
    is_over(&mut server, Role::Server);
    is_over(&mut client, Role::Client);
    the_server_ends_the_stream_first(&mut server, &mut client);
}

// RFC 6455 §5.5.1: a Close frame goes out after what was sent, before what comes later, and once
#[test]
fn no_data_after_close() {
    for role in ROLES {
        let mut endpoint = open(role, Config::new());
        endpoint.outbound.start_close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(feed(&mut endpoint, &to(role, FIN | PING, b"p")), [ping(b"p")]);
        assert_eq!(take(&mut endpoint), close_by(role, CloseCode::NORMAL), "no pong after it");
        let stream =
            [to(role, FIN | TEXT, b"m"), to(role, FIN | CLOSE, b""), to(role, FIN | TEXT, b"n")];
        assert_eq!(feed(&mut endpoint, &stream.concat()), [text("m"), closed_by_us(1005, "")]);
        assert_eq!(endpoint.close_info(), info(CloseCode::NO_STATUS, "", true, true, Some(1000)));
        is_over(&mut endpoint, role);

        // A message that is open is not finished any more.
        let mut endpoint = open(role, Config::new());
        endpoint.outbound.queue_fragment(MessageKind::Text, b"half", false).unwrap();
        take(&mut endpoint);
        assert_eq!(feed(&mut endpoint, &to(role, FIN | CLOSE, b"\x03\xe9")), [closed(1001, "")]);
        assert_eq!(take(&mut endpoint), close_by(role, CloseCode::GOING_AWAY));
        is_over(&mut endpoint, role);
    }
}

#[test]
fn close_that_is_not_valid_writes_nothing() {
    for role in ROLES {
        let mut endpoint = open(role, Config::new());
        for (code, reason, error) in [
            (None, "why", SendError::ReasonWithoutCode),
            (Some(CloseCode::NO_STATUS), "why", SendError::ReasonWithoutCode),
            (Some(CloseCode::new(1004)), "", SendError::InvalidCloseCode(1004)),
            (Some(CloseCode::ABNORMAL), "", SendError::InvalidCloseCode(1006)),
            (Some(CloseCode::new(999)), "", SendError::InvalidCloseCode(999)),
            (Some(CloseCode::NORMAL), &"x".repeat(124), SendError::ReasonTooLong),
        ] {
            assert_eq!(endpoint.outbound.start_close(code, reason), Err(error));
            assert!(endpoint.outbound.waiting() == 0 && endpoint.outbound.is_open());
        }
        assert_eq!(endpoint.outbound.ping(&[0; 126]), Err(SendError::ControlTooLong));
        assert_eq!(endpoint.outbound.waiting(), 0);
        let reason = "x".repeat(123);
        endpoint.outbound.start_close(CloseCode::NORMAL, &reason).unwrap();
        let frame = by(role, FIN | CLOSE, &close_body(1000, &reason));
        assert_eq!(take(&mut endpoint), frame);
    }
}

// tungstenite #372, CVE-2017-2670: the end of the stream is one calm outcome, in every state
#[test]
fn eof_is_told_once_in_every_state() {
    let lost = || Answer::Told(closed(1006, ""));
    let last = || [Answer::Shutdown(Some(0)), Answer::Done];
    // There is nothing to read any more while what is left is written.
    let wrote = |output| Answer::Write(output, false, Some(5_000));
    let how = |sent: Option<u16>| info(CloseCode::ABNORMAL, "", false, sent.is_some(), sent);
    for role in ROLES {
        let frame = to(role, FIN | TEXT, b"hello");
        for cut in 0..=frame.len() {
            let mut endpoint = open(role, Config::new());
            assert_eq!(endpoint.inbound.receive(&frame[..cut]), cut);
            endpoint.inbound.receive_eof();
            let mut expected = [&[lost()][..], &last()].concat();
            if cut == frame.len() {
                expected.insert(0, Answer::Told(text("hello")));
            }
            assert_eq!(run(&mut endpoint, 0), expected, "{role:?} {cut}");
            for _ in 0..3 {
                endpoint.inbound.receive_eof();
                assert_eq!(run(&mut endpoint, 0), [Answer::Done]);
            }
            assert_eq!(endpoint.close_info(), how(None));
            is_over(&mut endpoint, role);
        }
        // Inside a message.
        let mut endpoint = open(role, Config::new());
        assert_eq!(feed(&mut endpoint, &to(role, TEXT, b"half")), []);
        endpoint.inbound.receive_eof();
        assert_eq!(run(&mut endpoint, 0), [&[lost()][..], &last()].concat());
        assert_eq!(endpoint.close_info(), how(None));
        // With a Close frame of ours on the way: the peer may have ended its own side only.
        let mut endpoint = open(role, Config::new());
        endpoint.outbound.start_close(CloseCode::NORMAL, "").unwrap();
        endpoint.inbound.receive_eof();
        let close = wrote(close_by(role, CloseCode::NORMAL));
        assert_eq!(
            run(&mut endpoint, 0),
            [&[Answer::Told(closed_by_us(1006, "")), close][..], &last()].concat()
        );
        assert_eq!(endpoint.close_info(), how(Some(1000)));
        // After an error.
        let mut endpoint = open(role, Config::new());
        assert_eq!(endpoint.inbound.receive(&[0xff; 20]), 20);
        endpoint.inbound.receive_eof();
        let failed = Answer::Told(failed(ReservedOpcode(15)));
        let close = wrote(close_for(role, ReservedOpcode(15)));
        assert_eq!(run(&mut endpoint, 0), [&[failed, close][..], &last()].concat());
        assert_eq!(endpoint.close_info(), how(Some(1002)));
        // A Close frame and the end in one go: clean.
        let mut endpoint = open(role, Config::new());
        let close = to(role, FIN | CLOSE, &close_body(1000, ""));
        assert_eq!(endpoint.inbound.receive(&close), close.len());
        endpoint.inbound.receive_eof();
        let close = wrote(close_by(role, CloseCode::NORMAL));
        assert_eq!(
            run(&mut endpoint, 0),
            [&[Answer::Told(closed(1000, "")), close][..], &last()].concat()
        );
        assert_eq!(endpoint.close_info(), info(CloseCode::NORMAL, "", true, false, Some(1000)));
    }
}

// RFC 6455 §7.1.7 lets an endpoint fail the connection, which was closing already: the peer cannot be told why any more.
#[test]
fn what_breaks_the_protocol_after_our_close_frame_is_an_unclean_end() {
    for role in ROLES {
        let bad: [&[u8]; 5] = [
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"\xff\xff\xff\xff",
            &to(role, FIN | TEXT, b"\xff"),
            &to(role, FIN | BINARY, &[0; 200]),
            &to(role, FIN | CLOSE, b"\x03"),
        ];
        for bad in bad {
            for (piece, by_ref) in [(1, false), (9000, false), (9000, true)] {
                let mut endpoint = open(role, Config::new().max_message(100));
                endpoint.outbound.start_close(CloseCode::NORMAL, "bye").unwrap();
                take(&mut endpoint);
                let before = [to(role, FIN | TEXT, b"one"), to(role, FIN | PING, b"p")].concat();
                let stream = [&before, bad, &to(role, FIN | TEXT, b"late")].concat();
                let mut events = Vec::new();
                for mut piece in stream.chunks(piece) {
                    while !piece.is_empty() {
                        piece = &piece[endpoint.inbound.receive(piece)..];
                        events.extend(core::iter::from_fn(|| event(&mut endpoint, by_ref)));
                    }
                }
                let expected = [text("one"), ping(b"p"), closed_by_us(1006, "")];
                assert_eq!(events, expected, "{role:?} {bad:x?} {piece} {by_ref}");
                let how = info(CloseCode::ABNORMAL, "", false, true, Some(1000));
                assert_eq!(endpoint.close_info(), how);
                assert_eq!(endpoint.inbound.failure(), None);
                // Nobody is told, and either side ends the stream.
                let ending = [Answer::Shutdown(Some(5_000)), Answer::Wait(true, Some(5_000))];
                assert_eq!(run(&mut endpoint, 0), ending);
                endpoint.inbound.receive_eof();
                assert_eq!(run(&mut endpoint, 0), [Answer::Done]);
            }
        }
        // A Close frame that waits behind a message was not sent: the peer is told why.
        let mut endpoint = open(role, Config::new().max_outgoing_frame(1));
        endpoint.outbound.queue("abc").unwrap();
        endpoint.outbound.start_close(CloseCode::NORMAL, "").unwrap();
        let seen = feed(&mut endpoint, &to(role, FIN | 0x3, b""));
        assert_eq!(seen, [failed(ReservedOpcode(3))]);
        assert!(take(&mut endpoint).ends_with(&close_for(role, ReservedOpcode(3))));
        let how = info(CloseCode::ABNORMAL, "", false, true, Some(1002));
        assert_eq!(endpoint.close_info(), how);
    }
}

// RFC 6455 §7.1.5: the code is the peer's; what was sent is beside it
#[test]
fn close_info_tells_what_was_sent() {
    let mut endpoint = open(Role::Server, Config::new().max_message(3));
    assert_eq!(
        feed(&mut endpoint, &to(Role::Server, FIN | TEXT, b"1234")),
        [failed(MessageTooLarge)]
    );
    let close = by(Role::Server, FIN | CLOSE, b"\x03\xf1message longer than the limit");
    assert_eq!(take(&mut endpoint), close);
    let how = endpoint.close_info().unwrap();
    assert_eq!((how.code, how.sent), (CloseCode::ABNORMAL, Some(CloseCode::MESSAGE_TOO_BIG)));
    assert_eq!(how.to_string(), "no Close frame, 1009 was sent");

    let (mut a, mut b) = (server(), client());
    a.outbound.start_close(4000, "why").unwrap();
    b.outbound.start_close(None, "").unwrap();
    exchange(&mut a, &mut b);
    let (a, b) = (a.close_info().unwrap(), b.close_info().unwrap());
    assert_eq!((a.code, a.sent), (CloseCode::NO_STATUS, Some(CloseCode::new(4000))));
    assert_eq!((b.code, b.sent), (CloseCode::new(4000), Some(CloseCode::NO_STATUS)));
    assert_eq!((&*b.reason, &*b.to_string()), ("why", "4000 \"why\""));
    assert_eq!(CloseInfo::abnormal().to_string(), "no Close frame");
}

// RFC 6455 §5.5.1: within 123 bytes, and nothing of the peer's in it
#[test]
fn the_reason_for_an_error_is_short_and_in_words() {
    let errors = [
        ReservedBits,
        ReservedOpcode(15),
        FragmentedControl,
        ControlTooLong,
        UnmaskedFrame,
        MaskedFrame,
        NonMinimalLength,
        LengthOverflow,
        UnexpectedContinuation,
        InterleavedMessage,
        CloseBodyTooShort,
        InvalidCloseCode(999),
        InvalidCloseReason,
        InvalidUtf8,
        InvalidDeflate,
        FrameTooLarge,
        MessageTooLarge,
        PongTimeout,
    ];
    for error in errors {
        let reason = reason(error);
        assert!(reason.is_ascii() && (10..=60).contains(&reason.len()), "{reason}");
        assert!(!reason.contains("15") && !reason.contains("999"), "{reason}");
    }
}

#[test]
fn close_info_says_how_it_ended() {
    let mut server = server();
    assert_eq!(server.close_info(), None);
    feed(&mut server, &to(Role::Server, FIN | CLOSE, &close_body(3000, "κόσμε")));
    assert_eq!(server.close_info(), info(CloseCode::new(3000), "κόσμε", false, false, Some(3000)));
    take(&mut server);
    let expected = info(CloseCode::new(3000), "κόσμε", true, false, Some(3000));
    assert_eq!(server.close_info(), expected, "the answer is written");
    server.inbound.receive_eof();
    assert_eq!(seen(&mut server), []);
    assert_eq!(server.close_info(), expected, "the end of the stream changes nothing");
}

// RFC 6455 §7.1.4: a connection is not closed cleanly by a Close frame that nobody took.
#[test]
fn clean_is_what_both_have_said_and_the_stream_has_taken() {
    for role in ROLES {
        for by_us in [false, true] {
            let closing = || {
                let mut endpoint = open(role, Config::new());
                assert_eq!(next(&mut endpoint, 0), Answer::Wait(true, None));
                endpoint.outbound.queue(vec![7; 10_000]).unwrap();
                if by_us {
                    endpoint.outbound.start_close(CloseCode::NORMAL, "").unwrap();
                }
                assert_eq!(
                    feed(&mut endpoint, &to(role, FIN | CLOSE, b"\x03\xe8")),
                    [Seen::Closed { code: 1000, reason: String::new(), by_us }]
                );
                endpoint
            };
            let clean = |endpoint: &Endpoint| endpoint.close_info().unwrap().clean;
            // All but its last byte is written.
            let mut endpoint = closing();
            while let left @ 2.. = endpoint.outbound.waiting() {
                write(&mut endpoint, 0, left - 1);
            }
            assert!(!clean(&endpoint));
            assert_eq!(write(&mut endpoint, 0, 1), 1);
            assert_eq!(endpoint.close_info(), info(CloseCode::NORMAL, "", true, by_us, Some(1000)));
            // What comes after that changes nothing.
            endpoint.outbound.receive_reset();
            assert_eq!(run(&mut endpoint, 0), [Answer::Done]);
            assert!(clean(&endpoint));

            // The stream fails before, or the peer is not waited for any longer.
            for reset in [true, false] {
                let mut endpoint = closing();
                write(&mut endpoint, 0, 5_000);
                if reset {
                    endpoint.outbound.receive_reset();
                    assert_eq!(run(&mut endpoint, 0), [Answer::Done]);
                } else {
                    assert!(matches!(next(&mut endpoint, 0), Answer::Write(_, true, Some(5_000))));
                    let last = [Answer::Shutdown(Some(5_000)), Answer::Done];
                    assert_eq!(run(&mut endpoint, 5_000), last);
                }
                take(&mut endpoint);
                endpoint.outbound.written(100_000);
                assert_eq!(seen_at(&mut endpoint, 5_000), []);
                let expected = info(CloseCode::NORMAL, "", false, by_us, Some(1000));
                assert_eq!(endpoint.close_info(), expected, "for good");
            }

            // Output that the driver has taken is written when it says so.
            let mut endpoint = closing();
            let mut batch = ws_core::endpoint::Output::default();
            endpoint.outbound.take_output(&mut batch);
            assert!(!clean(&endpoint));
            endpoint.outbound.written(batch.len() - 1);
            assert!(!clean(&endpoint));
            endpoint.outbound.written(1);
            assert!(clean(&endpoint));
        }

        // Our Close frame alone is not enough, nor is an error behind it.
        for bytes in [vec![], to(role, FIN | 0x3, b"")] {
            let mut endpoint = open(role, Config::new());
            endpoint.outbound.start_close(CloseCode::NORMAL, "").unwrap();
            take(&mut endpoint);
            let _ = endpoint.inbound.receive(&bytes);
            endpoint.inbound.receive_eof();
            assert_eq!(seen(&mut endpoint).len(), 1);
            assert_eq!(
                endpoint.close_info(),
                info(CloseCode::ABNORMAL, "", false, true, Some(1000))
            );
        }
    }
}

// The peer is told before the stream is dropped.
#[test]
fn a_lost_peer_is_told_before_the_end() {
    let config = Config::new()
        .ping_interval(Some(Duration::from_millis(100)))
        .pong_timeout(Some(Duration::from_millis(50)))
        .close_timeout(Some(Duration::from_millis(30)));
    for role in ROLES {
        for written in [true, false] {
            let mut endpoint = open(role, config);
            assert_eq!(run(&mut endpoint, 0), [Answer::Wait(true, Some(100))]);
            let ping = Answer::Write(by(role, FIN | PING, b""), true, Some(150));
            assert_eq!(run(&mut endpoint, 100), [ping, Answer::Wait(true, Some(150))]);
            let lost = Answer::Told(failed(PongTimeout));
            let close = wrote(close_for(role, PongTimeout), 180);
            if written {
                let last = [Answer::Shutdown(Some(150)), Answer::Done];
                assert_eq!(run(&mut endpoint, 150), [&[lost, close][..], &last].concat());
            } else {
                // Nor does it take what is written.
                assert_eq!(next(&mut endpoint, 150), lost);
                assert_eq!(next(&mut endpoint, 150), close);
                assert_eq!(next(&mut endpoint, 179), close);
                let last = [Answer::Shutdown(Some(180)), Answer::Done];
                assert_eq!(run(&mut endpoint, 180), last);
                assert_eq!(endpoint.outbound.waiting(), 0);
            }
            assert_eq!(run(&mut endpoint, 180), [Answer::Done]);
        }
    }
}

#[test]
fn keepalive_ping_without_answer_is_a_pong_timeout() {
    let config = Config::new()
        .ping_interval(Some(Duration::from_millis(100)))
        .pong_timeout(Some(Duration::from_millis(50)));
    for role in ROLES {
        let ping = |until| wrote(by(role, FIN | PING, b""), until);
        let wait = |until| Answer::Wait(true, Some(until));
        let mut endpoint = open(role, config);
        assert_eq!(run(&mut endpoint, 0), [wait(100)]);
        assert_eq!(run(&mut endpoint, 99), [wait(100)]);
        assert_eq!(run(&mut endpoint, 100), [ping(150), wait(150)]);
        // Any byte is a sign of life.
        assert_eq!(run(&mut endpoint, 149), [wait(150)]);
        let told = feed_at(&mut endpoint, 149, &to(role, FIN | PONG, b""));
        assert_eq!(told, [pong(b"")]);
        assert_eq!(run(&mut endpoint, 149), [wait(249)]);
        assert_eq!(run(&mut endpoint, 249), [ping(299), wait(299)]);
        assert_eq!(run(&mut endpoint, 298), [wait(299)]);
        let expected = [
            Answer::Told(failed(PongTimeout)),
            wrote(close_for(role, PongTimeout), 5_299),
            Answer::Shutdown(Some(299)),
            Answer::Done,
        ];
        assert_eq!(run(&mut endpoint, 299), expected);
        assert_eq!(endpoint.close_info(), info(CloseCode::ABNORMAL, "", false, true, Some(1011)));
        is_over(&mut endpoint, role);
    }
}

#[test]
fn idle_connection_is_closed_with_1001() {
    let config = Config::new().idle_timeout(Some(Duration::from_millis(100)));
    for role in ROLES {
        let mut endpoint = open(role, config);
        assert_eq!(run(&mut endpoint, 0), [Answer::Wait(true, Some(100))]);
        endpoint.outbound.queue("busy").unwrap();
        let busy = wrote(by(role, FIN | TEXT, b"busy"), 160);
        assert_eq!(run(&mut endpoint, 60), [busy, Answer::Wait(true, Some(160))]);
        let close = wrote(close_by(role, CloseCode::GOING_AWAY), 5_160);
        assert_eq!(run(&mut endpoint, 160), [close, Answer::Wait(true, Some(5_160))]);
        assert!(!endpoint.outbound.is_open());
        let reply = feed_at(&mut endpoint, 160, &to(role, FIN | CLOSE, &close_body(1001, "")));
        assert_eq!(reply, [closed_by_us(1001, "")]);
        assert_eq!(endpoint.close_info(), info(CloseCode::GOING_AWAY, "", true, true, Some(1001)));
        is_over(&mut endpoint, role);
    }
}

// A peer that does not answer a Close frame, or does not end its stream, is given up.
#[test]
fn silent_peer_is_given_up_while_closing() {
    let last = |at| [Answer::Shutdown(Some(at)), Answer::Done];
    for role in ROLES {
        let wait = Answer::Wait(true, Some(6_000));
        let mut endpoint = open(role, Config::new());
        endpoint.outbound.start_close(CloseCode::NORMAL, "").unwrap();
        let close = wrote(close_by(role, CloseCode::NORMAL), 6_000);
        assert_eq!(run(&mut endpoint, 1_000), [close, wait.clone()]);
        assert_eq!(next(&mut endpoint, 5_999), wait);
        let expected = [&[Answer::Told(closed_by_us(1006, ""))][..], &last(6_000)].concat();
        assert_eq!(run(&mut endpoint, 6_000), expected);
        assert_eq!(endpoint.close_info(), info(CloseCode::ABNORMAL, "", false, true, Some(1000)));

        let mut endpoint = open(role, Config::new());
        let close = to(role, FIN | CLOSE, b"");
        assert_eq!(endpoint.inbound.receive(&close), close.len());
        let answer = wrote(by(role, FIN | CLOSE, b""), 6_000);
        let mut expected = vec![Answer::Told(closed(1005, "")), answer, wait.clone()];
        let end: &[Answer] = match role {
            Role::Server => {
                expected.insert(2, Answer::Shutdown(Some(6_000)));
                &[Answer::Done]
            }
            Role::Client => &last(6_000),
        };
        assert_eq!(run(&mut endpoint, 1_000), expected);
        assert_eq!(run(&mut endpoint, 5_999), [wait]);
        assert_eq!(run(&mut endpoint, 6_000), end);
        assert_eq!(endpoint.close_info(), info(CloseCode::NO_STATUS, "", true, false, Some(1005)));
    }
}

#[test]
fn close_info_in_a_log() {
    let mut server = server();
    let close = to(Role::Server, FIN | CLOSE, &close_body(1000, "bye \"\n"));
    assert_eq!(feed(&mut server, &close).len(), 1);
    assert_eq!(server.close_info().unwrap().to_string(), r#"1000 "bye \"\n""#);
    assert_eq!(CloseInfo::abnormal().to_string(), "no Close frame");
}

// RFC 6455 §7.1.1
#[test]
fn the_side_that_sends_hears_of_the_end_when_the_other_has_heard() {
    let close = to(Role::Server, FIN | CLOSE, b"");
    let Endpoint { mut inbound, mut outbound, .. } = server();
    assert_eq!(inbound.receive(&close), close.len());
    let told = next_inbound(&mut inbound, &mut outbound, 0);
    assert_eq!(told, Answer::Told(closed(1005, "")));
    let shutdown = Answer::Shutdown(Some(5_000));
    let written = Answer::Write(by(Role::Server, FIN | CLOSE, b""), false, Some(5_000));
    assert_eq!(next_outbound(&mut outbound, 0), written);
    outbound.take_output(&mut ws_core::endpoint::Output::default());
    outbound.written(2);
    assert_eq!(next_outbound(&mut outbound, 0), shutdown);
    inbound.receive_eof();
    assert_eq!(next_outbound(&mut outbound, 0), shutdown);
    outbound.shut_down();
    assert_eq!(next_outbound(&mut outbound, 0), Answer::Wait(false, Some(5_000)));
    assert_eq!(next_inbound(&mut inbound, &mut outbound, 0), Answer::Done);
    assert_eq!(next_outbound(&mut outbound, 0), Answer::Done);
}

#[test]
fn a_chain_of_causes_says_nothing_twice() {
    let unsent = Endpoint::server(Config::new()).outbound.queue("x").unwrap_err();
    let errors: [(&dyn core::error::Error, String); 8] = [
        (&EndpointError::Protocol(InvalidUtf8), InvalidUtf8.to_string()),
        (&EndpointError::Handshake(HandshakeError::BareLf), HandshakeError::BareLf.to_string()),
        (&EndpointError::from(PongTimeout), PongTimeout.to_string()),
        (&EndpointError::Random, OpenError::Random.to_string()),
        (&OpenError::InvalidStatus, OpenError::InvalidStatus.to_string()),
        (&OpenError::NoRequest, OpenError::NoRequest.to_string()),
        (&SendError::Random, SendError::Random.to_string()),
        (&unsent, SendError::NotOpen.to_string()),
    ];
    for (error, text) in errors {
        assert_eq!(error.to_string(), text);
        assert!(error.source().is_none(), "{error}");
    }
}

// RFC 6455 §7.1.7: what arrived before a reset is still read. If it breaks a rule, there is nobody to send a Close frame to
#[test]
fn an_error_found_after_a_reset_is_told_and_not_sent() {
    for role in ROLES {
        let cases = [
            (to(role, FIN | TEXT, b"\xff"), InvalidUtf8),
            (to(role, FIN | CONT, b""), UnexpectedContinuation),
        ];
        for (bad, error) in cases {
            let mut endpoint = open(role, Config::new());
            let stream = [to(role, FIN | TEXT, b"one"), bad].concat();
            assert_eq!(endpoint.inbound.receive(&stream), stream.len());
            endpoint.outbound.receive_reset();
            let told: Vec<_> = core::iter::from_fn(|| event(&mut endpoint, false)).collect();
            assert_eq!(told, [text("one"), failed(error)], "{role:?}");
            assert_eq!(run(&mut endpoint, 0), [Answer::Done]);
            assert_eq!(endpoint.close_info(), info(CloseCode::ABNORMAL, "", false, false, None));
            is_over(&mut endpoint, role);
        }
    }
}
