//! How endpoints end: errors, the closing handshake, lost streams, time-outs (RFC 6455 §7).
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use std::time::Duration;

use common::*;
use ends::*;
use ws_core::endpoint::{CloseInfo, Error, Event, OpenError};
use ws_core::handshake::{HandshakeError, HeadError};
use ws_core::{
    CloseCode, Config, Endpoint, Instant, MessageKind, ProtocolError::*, Role, SendError,
};

/// The code in the last frame of the output, which is a Close frame; nothing but `before` precedes it.
#[track_caller]
fn close_sent(endpoint: &mut Endpoint, role: Role, before: &[u8]) -> Option<u16> {
    let output = take(endpoint);
    let rest = output.strip_prefix(before).expect("the frames before");
    let masked = role == Role::Client;
    let header = if masked { 6 } else { 2 };
    assert_eq!(rest[0], FIN | CLOSE);
    assert_eq!(rest[1] & 0x80 != 0, masked);
    assert_eq!(usize::from(rest[1] & 0x7f), rest.len() - header, "one Close frame is the last");
    let key: [u8; 4] = if masked { rest[2..6].try_into().unwrap() } else { [0; 4] };
    match rest[header..] {
        [] => None,
        [a, b, ..] => Some(u16::from_be_bytes([a ^ key[0], b ^ key[1]])),
        _ => panic!("a body of one byte"),
    }
}

/// Nothing can be sent and nothing is told any more.
#[track_caller]
fn is_over(endpoint: &mut Endpoint, role: Role) {
    assert!(endpoint.is_closed() && !endpoint.is_open());
    assert_eq!(endpoint.send("late").unwrap_err().error, SendError::Closing);
    assert_eq!(endpoint.send(vec![0; 10_000]).unwrap_err().error, SendError::Closing);
    let out = endpoint.sides().1;
    assert_eq!(out.send_fragment(MessageKind::Text, b"late", true), Err(SendError::Closing));
    assert_eq!(out.ping(b""), Err(SendError::Closing));
    assert_eq!(out.pong(b""), Err(SendError::Closing));
    assert_eq!(out.close(CloseCode::NORMAL, ""), Err(SendError::Closing));
    let late = [to(role, FIN | PING, b"late"), to(role, FIN | CLOSE, b""), vec![0xff; 100]];
    assert_eq!(feed(endpoint, &late.concat()), []);
    assert!(endpoint.output().is_empty());
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
                let expected = [text("one"), binary(b"two"), Told::Failed(Error::Protocol(error))];
                assert_eq!(events, expected, "{role:?} {piece}");
                assert!(!endpoint.wants_shutdown(), "the Close frame is not written yet");
                assert_eq!(close_sent(&mut endpoint, role, b""), Some(code), "{error}");
                assert!(endpoint.wants_shutdown());
                let info = endpoint.close_info().unwrap();
                assert_eq!((info.code, info.clean), (CloseCode::ABNORMAL, false));
                is_over(&mut endpoint, role);
                assert!(!endpoint.is_finished());
                endpoint.receive_eof();
                assert_eq!(told(&mut endpoint), []);
                assert!(endpoint.is_finished());
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
                            piece = &piece[endpoint.receive(piece)..];
                            while let Some(event) = next(&mut endpoint, by_ref) {
                                events.push(event);
                            }
                        }
                    }
                    assert_eq!(events, [Told::Failed(InvalidUtf8.into())], "{role:?} {bad:x?}");
                    assert_eq!(close_sent(&mut endpoint, role, b""), Some(1007));
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
            ours.send("last").unwrap();
            ours.close(code, reason).unwrap();
            assert!(!ours.is_open() && !ours.is_closed() && !ours.wants_shutdown());
            assert_eq!(ours.send("late").unwrap_err().error, SendError::Closing);
            assert_eq!(ours.close(code, reason), Err(SendError::Closing));
            // What the peer sends before its Close frame is received.
            theirs.send("crossing").unwrap();
            let (by_us, by_them) = exchange(ours, theirs);
            // The reply echoes the code alone.
            assert_eq!(by_us, [text("crossing"), closed(seen, "", true, true)]);
            assert_eq!(by_them, [text("last"), closed(seen, reason, true, false)]);
            is_over(&mut server, Role::Server);
            is_over(&mut client, Role::Client);
            // RFC 6455 §7.1.1: the server ends the stream first.
            assert!(server.wants_shutdown() && !client.wants_shutdown());
            client.receive_eof();
            assert_eq!(told(&mut client), []);
            assert!(client.wants_shutdown() && client.is_finished());
            assert!(!server.is_finished());
            server.receive_eof();
            assert_eq!(told(&mut server), []);
            assert!(server.is_finished());
        }
    }
}

#[test]
fn simultaneous_close_is_clean_on_both_sides() {
    let (mut server, mut client) = (server(), client());
    server.close(CloseCode::GOING_AWAY, "s").unwrap();
    client.close(CloseCode::NORMAL, "c").unwrap();
    let (by_server, by_client) = exchange(&mut server, &mut client);
    assert_eq!(by_server, [closed(CloseCode::NORMAL, "c", true, true)]);
    assert_eq!(by_client, [closed(CloseCode::GOING_AWAY, "s", true, true)]);
    assert!(server.wants_shutdown() && !client.wants_shutdown());
    is_over(&mut server, Role::Server);
    is_over(&mut client, Role::Client);
}

// RFC 6455 §5.5.1: a Close frame goes out after what was sent, before what comes later, and once
#[test]
fn no_data_after_close() {
    for role in ROLES {
        let mut endpoint = open(role, Config::new());
        endpoint.close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(feed(&mut endpoint, &to(role, FIN | PING, b"p")), [Told::Ping(b"p".to_vec())]);
        assert_eq!(close_sent(&mut endpoint, role, b""), Some(1000), "no pong after it");
        let stream =
            [to(role, FIN | TEXT, b"m"), to(role, FIN | CLOSE, b""), to(role, FIN | TEXT, b"n")];
        let expected = [text("m"), closed(CloseCode::NO_STATUS, "", true, true)];
        assert_eq!(feed(&mut endpoint, &stream.concat()), expected);
        is_over(&mut endpoint, role);

        // A message that is open is not finished any more.
        let mut endpoint = open(role, Config::new());
        endpoint.sides().1.send_fragment(MessageKind::Text, b"half", false).unwrap();
        take(&mut endpoint);
        assert_eq!(feed(&mut endpoint, &to(role, FIN | CLOSE, b"\x03\xe9")).len(), 1);
        assert_eq!(close_sent(&mut endpoint, role, b""), Some(1001));
        is_over(&mut endpoint, role);
    }
}

#[test]
fn close_that_is_not_valid_writes_nothing() {
    for role in ROLES {
        let mut endpoint = open(role, Config::new());
        for (code, reason, error) in [
            (None, "why", SendError::ReasonWithoutCode),
            (Some(CloseCode::NO_STATUS), "", SendError::InvalidCloseCode(1005)),
            (Some(CloseCode::ABNORMAL), "", SendError::InvalidCloseCode(1006)),
            (Some(CloseCode::new(999)), "", SendError::InvalidCloseCode(999)),
            (Some(CloseCode::NORMAL), &"x".repeat(124), SendError::ReasonTooLong),
        ] {
            assert_eq!(endpoint.close(code, reason), Err(error));
            assert!(endpoint.output().is_empty() && endpoint.is_open());
        }
        assert_eq!(endpoint.ping(&[0; 126]), Err(SendError::ControlTooLong));
        assert!(endpoint.output().is_empty());
        endpoint.close(CloseCode::NORMAL, &"x".repeat(123)).unwrap();
        assert_eq!(close_sent(&mut endpoint, role, b""), Some(1000));
    }
}

// tungstenite #372, CVE-2017-2670: the end of the stream is one calm outcome, in every state
#[test]
fn eof_is_told_once_in_every_state() {
    let lost = |by_us| closed(CloseCode::ABNORMAL, "", false, by_us);
    for role in ROLES {
        let frame = to(role, FIN | TEXT, b"hello");
        for cut in 0..=frame.len() {
            let mut endpoint = open(role, Config::new());
            let _ = endpoint.receive(&frame[..cut]);
            endpoint.receive_eof();
            let mut expected = vec![lost(false)];
            if cut == frame.len() {
                expected.insert(0, text("hello"));
            }
            assert_eq!(told(&mut endpoint), expected, "{role:?} {cut}");
            for _ in 0..3 {
                endpoint.receive_eof();
                assert_eq!(told(&mut endpoint), []);
            }
            assert!(endpoint.is_finished() && endpoint.wants_shutdown());
            assert_eq!(endpoint.close_info().map(|info| info.code), Some(CloseCode::ABNORMAL));
            is_over(&mut endpoint, role);
        }
        // Inside a message, with a Close frame of ours on the way, and after an error.
        let mut endpoint = open(role, Config::new());
        assert_eq!(feed(&mut endpoint, &to(role, TEXT, b"half")), []);
        endpoint.receive_eof();
        assert_eq!(told(&mut endpoint), [lost(false)]);
        let mut endpoint = open(role, Config::new());
        endpoint.close(CloseCode::NORMAL, "").unwrap();
        endpoint.receive_eof();
        assert_eq!(told(&mut endpoint), [lost(true)]);
        // The peer may have ended its own side only.
        assert!(!endpoint.is_finished());
        assert_eq!(close_sent(&mut endpoint, role, b""), Some(1000));
        assert!(endpoint.is_finished());
        let mut endpoint = open(role, Config::new());
        let _ = endpoint.receive(&[0xff; 20]);
        endpoint.receive_eof();
        assert_eq!(told(&mut endpoint), [Told::Failed(ReservedOpcode(15).into())]);
        assert_eq!(close_sent(&mut endpoint, role, b""), Some(1002));
        assert_eq!(told(&mut endpoint), []);
        assert!(endpoint.is_finished() && endpoint.wants_shutdown());
        // A Close frame and the end in one go: clean.
        let mut endpoint = open(role, Config::new());
        let _ = endpoint.receive(&to(role, FIN | CLOSE, &close_body(1000, "")));
        endpoint.receive_eof();
        assert_eq!(told(&mut endpoint), [closed(CloseCode::NORMAL, "", true, false)]);
        assert!(!endpoint.is_finished());
        assert_eq!(close_sent(&mut endpoint, role, b""), Some(1000));
        assert!(endpoint.is_finished());
    }
}

#[test]
fn close_info_says_how_it_ended() {
    let mut server = server();
    assert_eq!(server.close_info(), None);
    feed(&mut server, &to(Role::Server, FIN | CLOSE, &close_body(3000, "κόσμε")));
    let mut expected = CloseInfo::abnormal();
    assert_eq!(expected.code, CloseCode::ABNORMAL);
    (expected.code, expected.reason, expected.clean) = (CloseCode::new(3000), "κόσμε".into(), true);
    assert_eq!(server.close_info(), Some(&expected));
    server.receive_eof();
    assert_eq!(told(&mut server), []);
    assert_eq!(server.close_info(), Some(&expected), "the end of the stream changes nothing");
}

const AT: fn(u32) -> Instant = Instant::from_millis;

// A loop that runs until it is finished, whatever the order of its steps, has written the Close frame.
#[test]
fn a_lost_peer_is_told_before_the_end() {
    let config = Config::new()
        .ping_interval(Some(Duration::from_millis(100)))
        .pong_timeout(Some(Duration::from_millis(50)))
        .close_timeout(Some(Duration::from_millis(30)));
    for role in ROLES {
        for written in [true, false] {
            let mut endpoint = open(role, config);
            endpoint.handle_timeout(AT(0));
            endpoint.handle_timeout(AT(100));
            take(&mut endpoint);
            endpoint.handle_timeout(AT(150));
            assert!(!endpoint.is_finished() && endpoint.is_closed());
            assert_eq!(endpoint.poll_timeout(), Some(AT(180)));
            assert_eq!(told(&mut endpoint), [Told::Failed(Error::PongTimeout)]);
            endpoint.handle_timeout(AT(179));
            assert!(!endpoint.is_finished());
            if written {
                assert_eq!(close_sent(&mut endpoint, role, b""), Some(1011));
            } else {
                // Nor does it take what is written.
                endpoint.handle_timeout(AT(180));
                assert!(endpoint.output().is_empty());
            }
            assert!(endpoint.is_finished() && endpoint.wants_shutdown());
            assert_eq!(endpoint.poll_timeout(), None);
        }
    }
}

#[test]
fn keepalive_ping_without_answer_is_a_pong_timeout() {
    let config = Config::new()
        .ping_interval(Some(Duration::from_millis(100)))
        .pong_timeout(Some(Duration::from_millis(50)));
    for role in ROLES {
        let mut endpoint = open(role, config);
        endpoint.handle_timeout(AT(0));
        assert_eq!(endpoint.poll_timeout(), Some(AT(100)));
        endpoint.handle_timeout(AT(100));
        assert_eq!(take(&mut endpoint)[0], FIN | PING);
        assert_eq!(endpoint.poll_timeout(), Some(AT(150)));
        // Any byte is a sign of life.
        endpoint.handle_timeout(AT(149));
        assert_eq!(feed(&mut endpoint, &to(role, FIN | PONG, b"")), [Told::Pong(vec![])]);
        assert_eq!(endpoint.poll_timeout(), Some(AT(249)));
        endpoint.handle_timeout(AT(249));
        assert_eq!(take(&mut endpoint)[0], FIN | PING);
        endpoint.handle_timeout(AT(298));
        assert_eq!(told(&mut endpoint), []);
        endpoint.handle_timeout(AT(299));
        assert_eq!(told(&mut endpoint), [Told::Failed(Error::PongTimeout)]);
        assert_eq!(close_sent(&mut endpoint, role, b""), Some(1011));
        assert!(endpoint.is_finished() && endpoint.wants_shutdown());
        assert_eq!(endpoint.poll_timeout(), None);
        let info = endpoint.close_info().unwrap();
        assert_eq!((info.code, info.clean), (CloseCode::ABNORMAL, false));
        is_over(&mut endpoint, role);
    }
}

#[test]
fn idle_connection_is_closed_with_1001() {
    let config = Config::new().idle_timeout(Some(Duration::from_millis(100)));
    for role in ROLES {
        let mut endpoint = open(role, config);
        endpoint.handle_timeout(AT(60));
        endpoint.send("busy").unwrap();
        let sent = take(&mut endpoint);
        assert!(!sent.is_empty());
        assert_eq!(endpoint.poll_timeout(), Some(AT(160)));
        endpoint.handle_timeout(AT(160));
        assert_eq!(close_sent(&mut endpoint, role, b""), Some(1001));
        assert!(!endpoint.is_open() && !endpoint.is_closed());
        let reply = feed(&mut endpoint, &to(role, FIN | CLOSE, &close_body(1001, "")));
        assert_eq!(reply, [closed(CloseCode::GOING_AWAY, "", true, true)]);
        is_over(&mut endpoint, role);
    }
}

// A peer that does not answer a Close frame, or does not end its stream, is given up.
#[test]
fn silent_peer_is_given_up_while_closing() {
    for role in ROLES {
        let mut endpoint = open(role, Config::new());
        endpoint.handle_timeout(AT(1000));
        endpoint.close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(endpoint.poll_timeout(), Some(AT(6000)));
        take(&mut endpoint);
        endpoint.handle_timeout(AT(5999));
        assert_eq!(told(&mut endpoint), []);
        endpoint.handle_timeout(AT(6000));
        assert_eq!(told(&mut endpoint), [closed(CloseCode::ABNORMAL, "", false, true)]);
        assert!(endpoint.is_finished() && endpoint.is_closed() && endpoint.wants_shutdown());
        assert_eq!(endpoint.poll_timeout(), None);

        let mut endpoint = open(role, Config::new());
        endpoint.handle_timeout(AT(1000));
        assert_eq!(feed(&mut endpoint, &to(role, FIN | CLOSE, b"")).len(), 1);
        take(&mut endpoint);
        assert!(!endpoint.is_finished());
        endpoint.handle_timeout(AT(6000));
        assert_eq!(told(&mut endpoint), []);
        assert!(endpoint.is_finished());
        assert!(endpoint.close_info().unwrap().clean);
    }
}

#[test]
fn close_info_in_a_log() {
    let mut server = server();
    let close = to(Role::Server, FIN | CLOSE, &close_body(1000, "bye \"\n"));
    assert_eq!(feed(&mut server, &close).len(), 1);
    assert_eq!(server.close_info().unwrap().to_string(), r#"1000 "bye \"\n""#);
    let abnormal = ws_core::endpoint::CloseInfo::abnormal();
    assert_eq!(abnormal.to_string(), "no Close frame");
}

// RFC 6455 §7.1.1
#[test]
fn the_side_that_sends_hears_of_the_end_with_the_next_poll() {
    let server = || Endpoint::server_after_handshake(Config::new(), b"");
    let close = to(Role::Server, FIN | CLOSE, b"");
    let mut whole = server();
    assert_eq!(whole.receive(&close), close.len());
    assert!(matches!(told(&mut whole)[..], [Told::Closed(_)]));
    take(&mut whole);
    whole.receive_eof();
    assert!(whole.is_finished());

    let (mut inbound, mut outbound) = server().into_sides();
    assert_eq!(inbound.receive(&close), close.len());
    assert!(matches!(inbound.poll_event(&mut outbound), Ok(Some(Event::Closed(_)))));
    outbound.output().advance(usize::MAX);
    inbound.receive_eof();
    assert!(!outbound.is_finished());
    assert!(matches!(inbound.poll_event(&mut outbound), Ok(None)));
    assert!(outbound.is_finished());
}

#[test]
fn a_chain_of_causes_says_nothing_twice() {
    let unsent = Endpoint::server(Config::new()).send("x").unwrap_err();
    let errors: [&dyn core::error::Error; 5] = [
        &Error::Protocol(InvalidUtf8),
        &Error::Handshake(HandshakeError::BareLf),
        &Error::PongTimeout,
        &OpenError::Head(HeadError::InvalidStatus),
        &unsent,
    ];
    let texts = [
        InvalidUtf8.to_string(),
        HandshakeError::BareLf.to_string(),
        Error::PongTimeout.to_string(),
        HeadError::InvalidStatus.to_string(),
        SendError::NotOpen.to_string(),
    ];
    for (error, text) in errors.into_iter().zip(texts) {
        assert_eq!(error.to_string(), text);
        assert!(error.source().is_none(), "{error}");
    }
}
