//! How a connection comes to its end: RFC 6455 §5.5.1 and §7.1.

mod common;

use common::*;
use ws_core::connection::{Ending, State};
use ws_core::{CloseCode, Config, Connection, DataFrame, Input, ProtocolError, Role, SendError};

const CONFIG: Config = Config::new();

fn closing(role: Role) -> Driver {
    let mut driver = Driver::new(role, CONFIG);
    let frame = close(&mut driver.connection, role, CloseCode::NORMAL, "bye").unwrap();
    assert_eq!(frame, by(role, FIN | CLOSE, b"\x03\xe8bye"));
    driver
}

fn close(
    connection: &mut Connection,
    role: Role,
    code: impl Into<Option<CloseCode>>,
    reason: &str,
) -> Result<Vec<u8>, SendError> {
    let mut out = [0; 131];
    let len = connection.close(code, reason, key(role), &mut out)?;
    Ok(out[..len].to_vec())
}

/// What a driver asks at the end: state, shut down the write side?, drop the socket?, this side first?
fn standing(connection: &Connection) -> (State, bool, bool, bool) {
    (
        connection.state(),
        connection.wants_shutdown(),
        connection.is_finished(),
        connection.closed_first(),
    )
}

/// Gives bytes to a connection without sending what it owes.
fn receive(connection: &mut Connection, mut bytes: Vec<u8>) -> Result<(), ProtocolError> {
    let mut input = Input::new(&mut bytes);
    while connection.receive(&mut input)?.is_some() {}
    assert!(input.is_empty());
    Ok(())
}

// RFC 6455 §5.5.1: one answer, with the code and without the reason; later frames change nothing
#[test]
fn close_is_echoed_once() {
    for role in ROLES {
        for (body, code) in
            [(close_body(1000, "a"), 1000), (close_body(4999, ""), 4999), (vec![], 1005)]
        {
            let mut bytes = to(role, FIN | CLOSE, &body);
            let answer = by(role, FIN | CLOSE, &body[..body.len().min(2)]);
            let seen = Seen::Close(code, if body.len() > 2 { "a".into() } else { String::new() });
            let expected = Outcome::open(vec![seen]).sent(answer).closed();
            assert_eq!(outcome(role, &bytes), expected);
            bytes.extend(to(role, FIN | CLOSE, &close_body(1001, "")));
            assert_eq!(outcome(role, &bytes), expected);
        }
    }
}

// RFC 6455 §5.5.1: between the frames of a message; only a payload that is under way goes first
#[test]
fn close_reply_immediate() {
    for role in ROLES {
        let mut connection = Connection::new(role, CONFIG);
        let head = connection.head(DataFrame::BINARY.more(), 3, key(role)).unwrap();
        assert_eq!(*head, by(role, BINARY, b"abc")[..head.len()]);
        receive(&mut connection, to(role, FIN | CLOSE, b"\x03\xe9")).unwrap();
        assert_eq!(standing(&connection), (State::Closing, false, false, false));
        assert!(!connection.wants_transmit());
        assert_eq!(connection.poll_transmit(&mut [0; 131], key(role)), Ok(0));
        connection.mask_payload(&mut [1, 2, 3]).unwrap();
        assert_eq!(drain(&mut connection, role), by(role, FIN | CLOSE, b"\x03\xe9"));
        assert_eq!(standing(&connection), (State::Closed, role == Role::Server, false, false));
    }
}

// RFC 6455 §5.5.1: no frame of any kind
#[test]
fn send_after_close_refused() {
    for role in ROLES {
        let mut driver = closing(role);
        let mut out = [0; 32];
        let connection = &mut driver.connection;
        let refused = Err(SendError::Closing);
        assert_eq!(connection.encode(DataFrame::TEXT, b"x", key(role), &mut out), refused);
        assert_eq!(
            connection.encode_in_place(DataFrame::TEXT, &mut out, 14..15, key(role)).err(),
            refused.err()
        );
        assert_eq!(connection.head(DataFrame::TEXT, 1, key(role)).err(), refused.err());
        assert_eq!(connection.ping(b"", key(role), &mut out), refused);
        assert_eq!(connection.pong(b"", key(role), &mut out), refused);
        assert_eq!(connection.close(None, "", key(role), &mut out), refused);
        assert_eq!(out, [0; 32]);
        // What the peer still sends arrives, and is not answered: Close was the last frame.
        let bytes = [to(role, FIN | PING, b"?"), to(role, FIN | TEXT, b"late")].concat();
        driver.feed(&bytes);
        let seen = vec![
            Seen::Ping(bytes.len() - to(role, FIN | TEXT, b"late").len(), b"?".to_vec()),
            Seen::Text(bytes.len(), b"late".to_vec()),
        ];
        let expected = Outcome { state: State::Closing, ..Outcome::open(seen) };
        assert_eq!(driver.outcome, expected);
    }
}

// RFC 6455 §5.5.1: a pong that waits is overtaken by a Close of the user's own
#[test]
fn close_is_the_last_frame() {
    for role in ROLES {
        let mut connection = Connection::new(role, CONFIG);
        receive(&mut connection, to(role, FIN | PING, b"?")).unwrap();
        close(&mut connection, role, CloseCode::NORMAL, "").unwrap();
        assert!(!connection.wants_transmit());
        assert_eq!(drain(&mut connection, role), b"");
    }
}

// RFC 6455 §5.5.1, §7.1.3, §7.1.4
#[test]
fn both_closes_means_closed() {
    for role in ROLES {
        let mut driver = closing(role);
        assert_eq!(standing(&driver.connection), (State::Closing, false, false, true));
        driver.feed(&to(role, FIN | CLOSE, b"\x03\xe8"));
        let expected = Outcome::open(vec![Seen::Close(1000, String::new())]).closed();
        assert_eq!(driver.outcome, expected);
        assert_eq!(
            standing(&driver.connection),
            (State::Closed, role == Role::Server, false, true)
        );
    }
}

// RFC 6455 §5.5.1, §7.1.1: the server ends TCP at once, the client waits for that
#[test]
fn server_closes_tcp_first() {
    for role in ROLES {
        let mut driver = Driver::new(role, CONFIG);
        driver.feed(&to(role, FIN | CLOSE, b"\x03\xe8"));
        assert_eq!(
            standing(&driver.connection),
            (State::Closed, role == Role::Server, false, false)
        );
        assert_eq!(driver.connection.receive_eof(), Ending::Clean);
        assert_eq!(standing(&driver.connection), (State::Closed, true, true, false));
    }
}

// RFC 6455 §5.5.1: Close frames cross: both are closed, and neither answers
#[test]
fn simultaneous_close() {
    let (mut server, mut client) = (closing(Role::Server), closing(Role::Client));
    server.feed(&by(Role::Client, FIN | CLOSE, b"\x03\xe8bye"));
    client.feed(&by(Role::Server, FIN | CLOSE, b"\x03\xe8bye"));
    let expected = Outcome::open(vec![Seen::Close(1000, "bye".into())]).closed();
    assert_eq!((server.outcome, client.outcome), (expected.clone(), expected));
    assert_eq!(standing(&server.connection), (State::Closed, true, false, true));
    assert_eq!(standing(&client.connection), (State::Closed, false, false, true));
}

// RFC 6455 §5.5.2: a Ping before the Close is answered, one after it is not
#[test]
fn no_pong_after_close_received() {
    for role in ROLES {
        let ping = to(role, FIN | PING, b"1");
        let mut bytes = [&ping[..], &to(role, FIN | CLOSE, b"")].concat();
        let answer = [by(role, FIN | PONG, b"1"), by(role, FIN | CLOSE, b"")].concat();
        let seen = vec![Seen::Ping(ping.len(), b"1".to_vec()), Seen::Close(1005, String::new())];
        let expected = Outcome::open(seen).sent(answer.clone()).closed();
        bytes.extend(to(role, FIN | PING, b"2"));
        assert_eq!(outcome(role, &bytes), expected);
        // The same when nothing is written until the end.
        let mut connection = Connection::new(role, CONFIG);
        receive(&mut connection, bytes).unwrap();
        assert_eq!(drain(&mut connection, role), answer);
    }
}

// RFC 6455 §7.1.1
#[test]
fn trailing_bytes_after_close_discarded() {
    for role in ROLES {
        let close = to(role, FIN | CLOSE, b"");
        let tails = [to(role, FIN | TEXT, b"data"), vec![0xff; 1000], close.clone(), vec![0]];
        for tail in tails {
            let bytes = [&close[..], &tail].concat();
            let expected = Outcome::open(vec![Seen::Close(1005, String::new())])
                .sent(by(role, FIN | CLOSE, b""))
                .closed();
            assert_eq!(outcome(role, &bytes), expected);
        }
    }
}

// RFC 6455 §7.1.3: as soon as one was sent or has come, also while the answer waits
#[test]
fn state_is_closing() {
    for role in ROLES {
        assert_eq!(closing(role).connection.state(), State::Closing);
        let mut connection = Connection::new(role, CONFIG);
        assert_eq!(standing(&connection), (State::Open, false, false, false));
        receive(&mut connection, to(role, FIN | CLOSE, b"")).unwrap();
        assert_eq!(standing(&connection), (State::Closing, false, false, false));
        drain(&mut connection, role);
        assert_eq!(connection.state(), State::Closed);
    }
}

// RFC 6455 §7.1.4: the answer is given once and stays
#[test]
fn clean_flag() {
    for role in ROLES {
        let mut clean = closing(role);
        clean.feed(&to(role, FIN | CLOSE, b""));
        let mut unanswered = Connection::new(role, CONFIG);
        receive(&mut unanswered, to(role, FIN | CLOSE, b"")).unwrap();
        let mut failed = Connection::new(role, CONFIG);
        receive(&mut failed, vec![0xff]).unwrap_err();
        let cases = [
            (clean.connection, Ending::Clean),
            (closing(role).connection, Ending::Abnormal),
            (unanswered, Ending::Abnormal),
            (failed, Ending::Abnormal),
            (Connection::new(role, CONFIG), Ending::Abnormal),
        ];
        for (mut connection, ending) in cases {
            assert_eq!(connection.receive_eof(), ending);
            drain(&mut connection, role);
            assert_eq!(connection.receive_eof(), ending);
            assert_eq!(connection.state(), State::Closed);
            assert!(connection.wants_shutdown() && connection.is_finished());
        }
    }
}

// RFC 6455 §7.1.5: 1005 for an empty body, 1006 for no Close frame; still known at the end
#[test]
fn reported_code_1005_1006() {
    for role in ROLES {
        for (body, code) in [(vec![], 1005), (close_body(3000, ""), 3000)] {
            let mut driver = Driver::new(role, CONFIG);
            driver.feed(&to(role, FIN | CLOSE, &body));
            for _ in 0..2 {
                assert_eq!(driver.connection.close_frame().unwrap().code.get(), code);
                assert_eq!(driver.connection.receive_eof(), Ending::Clean);
                // A fault that a layer above finds too late does not hide what the peer said.
                driver.connection.fail(ProtocolError::InvalidUtf8);
                assert_eq!(drain(&mut driver.connection, role), b"");
            }
        }
        let mut driver = Driver::new(role, CONFIG);
        assert_eq!(driver.connection.receive_eof(), Ending::Abnormal);
        assert_eq!(driver.connection.close_frame(), None);
    }
}

// RFC 6455 §7.1.6
#[test]
fn reported_reason() {
    for role in ROLES {
        for reason in ["", "gr\u{fc}n", &"r".repeat(123)] {
            let mut driver = Driver::new(role, CONFIG);
            driver.feed(&to(role, FIN | CLOSE, &close_body(1000, reason)));
            assert_eq!(driver.connection.close_frame().unwrap().reason, reason);
        }
    }
}

// RFC 6455 §7.1.7: one error, one Close frame with its code; then both roles end TCP
#[test]
fn fail_sends_close_with_code() {
    for role in ROLES {
        let mut driver = Driver::new(role, CONFIG.max_frame(3));
        driver.feed(&to(role, FIN | TEXT, b"abcd"));
        let expected = Outcome::failed(role, vec![], ProtocolError::FrameTooLarge);
        assert_eq!(driver.outcome, expected);
        assert_eq!(standing(&driver.connection), (State::Closed, true, false, true));
        assert_eq!(driver.connection.receive_eof(), Ending::Abnormal);
        assert_eq!(standing(&driver.connection), (State::Closed, true, true, true));

        let mut driver = Driver::new(role, CONFIG);
        driver.connection.fail(ProtocolError::MessageTooLarge);
        assert_eq!(standing(&driver.connection), (State::Closing, false, false, false));
        driver.connection.fail(ProtocolError::InvalidUtf8);
        let sent = drain(&mut driver.connection, role);
        assert_eq!(sent, close_by(role, CloseCode::MESSAGE_TOO_BIG));
        assert_eq!(standing(&driver.connection), (State::Closed, true, false, true));
    }
}

// RFC 6455 §7.1.7: the error is told once, and says which rule was broken
#[test]
fn fail_reports_error() {
    for role in ROLES {
        let mut connection = Connection::new(role, CONFIG);
        let error = receive(&mut connection, vec![0x83, 0x80]).unwrap_err();
        assert_eq!(error, ProtocolError::ReservedOpcode(3));
        assert_eq!(error.to_string(), "reserved opcode 0x3 (RFC 6455 §5.2)");
        assert_eq!(receive(&mut connection, vec![0x83, 0x80]), Ok(()));
    }
}

// RFC 6455 §7.1.7: not even a Close frame
#[test]
fn nothing_processed_after_fail() {
    for role in ROLES {
        let message = to(role, FIN | TEXT, b"ok");
        let bytes = [
            &message[..],
            &to(role, FIN | CONT, b""),
            &to(role, FIN | TEXT, b"no"),
            &to(role, FIN | PING, b"no"),
            &to(role, FIN | CLOSE, b"\x03\xe8"),
        ];
        let seen = vec![Seen::Text(message.len(), b"ok".to_vec())];
        let error = ProtocolError::UnexpectedContinuation;
        assert_eq!(outcome(role, &bytes.concat()), Outcome::failed(role, seen, error));

        let mut driver = Driver::new(role, CONFIG);
        driver.connection.fail(ProtocolError::InvalidUtf8);
        driver.feed(&bytes.concat());
        assert_eq!((driver.outcome.seen, driver.outcome.error), (vec![], None));
        assert_eq!(driver.connection.close_frame(), None);
    }
}

// RFC 6455 §7.1.7: after this side's Close there is no second one, and the end is reached
#[test]
fn an_error_after_our_close_ends_it() {
    for role in ROLES {
        let mut driver = closing(role);
        driver.feed(b"\xff\xff");
        assert_eq!(driver.outcome.error, Some(ProtocolError::ReservedOpcode(0xf)));
        assert_eq!(driver.outcome.output, b"");
        assert_eq!(standing(&driver.connection), (State::Closed, true, false, true));

        let mut late = closing(role).connection;
        late.fail(ProtocolError::InvalidUtf8);
        assert_eq!(drain(&mut late, role), b"");
        assert_eq!(standing(&late), (State::Closed, true, false, true));
    }
}

// RFC 6455 §5.5.1, §7.1.7: a fault found between the peer's Close and the answer: one Close frame
#[test]
fn fail_while_the_answer_waits() {
    for role in ROLES {
        let mut connection = Connection::new(role, CONFIG);
        receive(&mut connection, to(role, FIN | CLOSE, b"\x03\xe8")).unwrap();
        connection.fail(ProtocolError::InvalidUtf8);
        assert_eq!(connection.state(), State::Closing);
        assert_eq!(drain(&mut connection, role), close_by(role, CloseCode::NORMAL));
        assert_eq!(standing(&connection), (State::Closed, true, false, false));
        assert_eq!(connection.close_frame().unwrap().code, CloseCode::NORMAL);
        assert_eq!(connection.receive_eof(), Ending::Abnormal);
    }
}

// RFC 6455 §7.2.1: silence, data and control frames are no reason to close
#[test]
fn client_does_not_close_spontaneously() {
    let mut driver = Driver::new(Role::Client, CONFIG);
    driver.feed(&to(Role::Client, FIN | TEXT, b"a"));
    driver.feed(&to(Role::Client, FIN | PONG, b"a"));
    driver.connection.handle_timeout(ws_core::Instant::from_millis(1 << 30));
    assert_eq!(driver.connection.poll_timeout(), None);
    assert_eq!(drain(&mut driver.connection, Role::Client), b"");
    assert_eq!(standing(&driver.connection), (State::Open, false, false, false));
}

// RFC 6455 §7.2.1: at every point of a stream, the same calm answer however often it is asked
#[test]
fn transport_loss_is_1006() {
    for role in ROLES {
        let stream = [
            to(role, TEXT, b"abc"),
            to(role, FIN | PING, b"x"),
            to(role, FIN | CONT, &[b'a'; 200]),
        ];
        let stream = stream.concat();
        for at in 0..=stream.len() {
            let mut driver = Driver::new(role, CONFIG);
            driver.feed(&stream[..at]);
            for _ in 0..3 {
                assert_eq!(driver.connection.receive_eof(), Ending::Abnormal);
                assert_eq!(standing(&driver.connection), (State::Closed, true, true, false));
                assert_eq!(driver.connection.close_frame(), None);
                assert_eq!(driver.connection.poll_timeout(), None);
                assert_eq!(drain(&mut driver.connection, role), b"");
                let mut rest = stream[at..].to_vec();
                let mut input = Input::new(&mut rest);
                assert!(matches!(driver.connection.receive(&mut input), Ok(None)));
                assert!(input.is_empty());
            }
        }
    }
}

// RFC 6455 §7.1.1, §7.2.2: to drop the connection is enough, in any state
#[test]
fn abort_api() {
    // Nothing has to be undone: it holds no resource.
    assert!(!std::mem::needs_drop::<Connection>());
    for role in ROLES {
        let mut connection = Connection::new(role, CONFIG);
        connection.head(DataFrame::BINARY, 1 << 40, key(role)).unwrap();
        receive(&mut connection, to(role, FIN | PING, b"")).unwrap();
        assert_eq!(standing(&connection), (State::Open, false, false, false));
    }
}
