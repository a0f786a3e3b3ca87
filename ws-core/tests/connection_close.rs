//! How a connection comes to its end: RFC 6455 §5.5.1 and §7.1.

mod common;

use common::*;
use ws_core::{
    CloseCode, Config, Connection, DataFrame, Input, Instant, ProtocolError, Role, SendError, Step,
};

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
    code: impl Into<CloseCode>,
    reason: &str,
) -> Result<Vec<u8>, SendError> {
    let mut out = [0; 131];
    let len = connection.sender.start_close(code, reason, key(role), &mut out)?;
    Ok(out[..len].to_vec())
}

fn fail(connection: &mut Connection, error: ProtocolError) {
    connection.receiver.fail(&mut connection.sender, error);
}

/// Where it stands, and whether this side closed first.
#[track_caller]
fn standing(connection: &mut Connection, role: Role) -> (State, bool) {
    (state(connection, role), connection.sender.closed_first())
}

/// The stream ends: shut down once more, drop it, and nothing else from then on. Returns whether it was clean.
#[track_caller]
fn end(connection: &mut Connection, role: Role) -> bool {
    connection.receiver.receive_eof();
    assert_eq!(state(connection, role), State::Ended);
    for _ in 0..3 {
        assert_eq!(state(connection, role), State::Done);
        assert_eq!(drain(connection, role), b"");
    }
    connection.sender.is_clean()
}

/// Gives bytes to a connection; what it owes cannot be sent, because a payload is under way.
fn receive(connection: &mut Connection, mut bytes: Vec<u8>) -> Result<(), ProtocolError> {
    let mut input = Input::new(&mut bytes);
    loop {
        match ask(connection, &mut input, START) {
            Step::Wait(_) => break,
            Step::Failed(error) => return Err(error),
            Step::Data(_) | Step::Ping | Step::Pong | Step::Close => {}
            step => panic!("{step:?}"),
        }
    }
    assert!(input.is_empty());
    Ok(())
}

/// A connection that is in the middle of a payload of one byte, so that no frame can be sent.
fn stuck(role: Role) -> Connection {
    let mut connection = Connection::new(role, CONFIG);
    connection.sender.head(DataFrame::BINARY, 1, key(role)).unwrap();
    connection
}

fn unstick(connection: &mut Connection) {
    connection.sender.mask_payload(&mut [0]).unwrap();
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
            let seen = closed(code, if body.len() > 2 { "a" } else { "" });
            let expected = Outcome::open(vec![seen.last()]).sent(answer).closed();
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
        let head = connection.sender.head(DataFrame::BINARY.more(), 3, key(role)).unwrap();
        assert_eq!(*head, by(role, BINARY, b"abc")[..head.len()]);
        receive(&mut connection, to(role, FIN | CLOSE, b"\x03\xe9")).unwrap();
        assert_eq!(standing(&mut connection, role), (State::Closing, false));
        assert_eq!(connection.sender.transmit(&mut [0; 131], key(role)), Ok(0));
        connection.sender.mask_payload(&mut [1, 2, 3]).unwrap();
        assert!(matches!(idle(&mut connection, START), Step::Transmit));
        assert_eq!(drain(&mut connection, role), by(role, FIN | CLOSE, b"\x03\xe9"));
        assert_eq!(standing(&mut connection, role), (State::Closed, false));
    }
}

// RFC 6455 §5.5.1: no frame of any kind
#[test]
fn send_after_close_refused() {
    for role in ROLES {
        let mut driver = closing(role);
        let mut out = [0; 32];
        let sender = &mut driver.connection.sender;
        let refused = Err(SendError::Closing);
        assert_eq!(sender.encode(DataFrame::TEXT, b"x", key(role), &mut out), refused);
        #[cfg(feature = "alloc")]
        {
            let mut out = vec![1];
            let result = sender.encode_vec(DataFrame::TEXT, b"x", key(role), &mut out);
            assert_eq!((result, &out[..]), (Err(SendError::Closing), &[1][..]));
        }
        assert_eq!(
            sender.encode_in_place(DataFrame::TEXT, &mut out, 14..15, key(role)).err(),
            refused.err()
        );
        assert_eq!(sender.head(DataFrame::TEXT, 1, key(role)).err(), refused.err());
        assert_eq!(sender.ping(b"", key(role), &mut out), refused);
        assert_eq!(sender.pong(b"", key(role), &mut out), refused);
        assert_eq!(sender.start_close(None, "", key(role), &mut out), refused);
        assert_eq!(out, [0; 32]);
        // What the peer still sends arrives, and is not answered: Close was the last frame.
        let bytes = [to(role, FIN | PING, b"?"), to(role, FIN | TEXT, b"late")].concat();
        driver.feed(&bytes);
        let seen = vec![
            ping(b"?").at(bytes.len() - to(role, FIN | TEXT, b"late").len()),
            text("late").at(bytes.len()),
        ];
        let expected = Outcome { state: State::Closing, ..Outcome::open(seen) };
        assert_eq!(driver.outcome, expected);
    }
}

// RFC 6455 §5.5.1: a pong that waits is overtaken by a Close of the user's own
#[test]
fn close_is_the_last_frame() {
    for role in ROLES {
        let mut connection = stuck(role);
        receive(&mut connection, to(role, FIN | PING, b"?")).unwrap();
        unstick(&mut connection);
        close(&mut connection, role, CloseCode::NORMAL, "").unwrap();
        assert_eq!(drain(&mut connection, role), b"");
        assert_eq!(standing(&mut connection, role), (State::Closing, true));
    }
}

// RFC 6455 §5.5.1, §7.1.3, §7.1.4
#[test]
fn both_closes_means_closed() {
    for role in ROLES {
        let mut driver = closing(role);
        assert_eq!(standing(&mut driver.connection, role), (State::Closing, true));
        driver.feed(&to(role, FIN | CLOSE, b"\x03\xe8"));
        let expected = Outcome::open(vec![closed_by_us(1000, "").last()]).closed();
        assert_eq!(driver.outcome, expected);
        assert_eq!(standing(&mut driver.connection, role), (State::Closed, true));
    }
}

// RFC 6455 §5.5.1, §7.1.1: the server ends TCP at once, the client waits for that
#[test]
fn server_closes_tcp_first() {
    for role in ROLES {
        let mut driver = Driver::new(role, CONFIG);
        driver.feed(&to(role, FIN | CLOSE, b"\x03\xe8"));
        let connection = &mut driver.connection;
        let step = idle(connection, START);
        match role {
            Role::Server => assert!(matches!(step, Step::Shutdown(Some(_)))),
            Role::Client => assert!(matches!(step, Step::Wait(Some(_)))),
        }
        assert_eq!(standing(connection, role), (State::Closed, false));
        assert!(end(connection, role));
        assert!(!connection.sender.closed_first());
    }
}

// RFC 6455 §5.5.1: Close frames cross: both are closed, and neither answers
#[test]
fn simultaneous_close() {
    let (mut server, mut client) = (closing(Role::Server), closing(Role::Client));
    server.feed(&by(Role::Client, FIN | CLOSE, b"\x03\xe8bye"));
    client.feed(&by(Role::Server, FIN | CLOSE, b"\x03\xe8bye"));
    let expected = Outcome::open(vec![closed_by_us(1000, "bye").last()]).closed();
    assert_eq!((server.outcome, client.outcome), (expected.clone(), expected));
    assert_eq!(standing(&mut server.connection, Role::Server), (State::Closed, true));
    assert_eq!(standing(&mut client.connection, Role::Client), (State::Closed, true));
}

// RFC 6455 §5.5.2: a Ping before the Close is answered, one after it is not
#[test]
fn no_pong_after_close_received() {
    for role in ROLES {
        let first = to(role, FIN | PING, b"1");
        let mut bytes = [&first[..], &to(role, FIN | CLOSE, b"")].concat();
        let answer = [by(role, FIN | PONG, b"1"), by(role, FIN | CLOSE, b"")].concat();
        let seen = vec![ping(b"1").at(first.len()), closed(1005, "").last()];
        let expected = Outcome::open(seen).sent(answer.clone()).closed();
        bytes.extend(to(role, FIN | PING, b"2"));
        assert_eq!(outcome(role, &bytes), expected);
        // The same when nothing is written until the end.
        let mut connection = stuck(role);
        receive(&mut connection, bytes).unwrap();
        unstick(&mut connection);
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
            let expected = Outcome::open(vec![closed(1005, "").last()])
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
        assert_eq!(state(&mut closing(role).connection, role), State::Closing);
        let mut connection = stuck(role);
        assert_eq!(standing(&mut connection, role), (State::Open, false));
        assert!(connection.sender.is_open());
        receive(&mut connection, to(role, FIN | CLOSE, b"")).unwrap();
        assert!(!connection.sender.is_open());
        assert_eq!(standing(&mut connection, role), (State::Closing, false));
        unstick(&mut connection);
        drain(&mut connection, role);
        assert_eq!(state(&mut connection, role), State::Closed);
    }
}

// RFC 6455 §7.1.4: the answer stays from when the peer's Close frame has come and this side's is written, or
// the stream has ended before
#[test]
fn clean_flag() {
    for role in ROLES {
        let mut clean = closing(role);
        clean.feed(&to(role, FIN | CLOSE, b""));
        let mut answered = Driver::new(role, CONFIG);
        answered.feed(&to(role, FIN | CLOSE, b""));
        let mut unanswered = stuck(role);
        receive(&mut unanswered, to(role, FIN | CLOSE, b"")).unwrap();
        let mut failed = Driver::new(role, CONFIG);
        failed.feed(&[0xff]);
        let cases = [
            (clean.connection, true),
            (answered.connection, true),
            (closing(role).connection, false),
            (unanswered, false),
            (failed.connection, false),
            (Connection::new(role, CONFIG), false),
        ];
        for (mut connection, clean) in cases {
            assert_eq!(end(&mut connection, role), clean);
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
            let connection = &mut driver.connection;
            for at_end in [false, true] {
                assert_eq!(connection.receiver.close_frame().unwrap().code.get(), code);
                assert!(connection.sender.is_clean());
                if at_end {
                    assert!(end(connection, role));
                }
                // A fault that a layer above finds too late does not hide what the peer said.
                fail(connection, ProtocolError::InvalidUtf8);
                assert_eq!(drain(connection, role), b"");
            }
            assert_eq!(connection.receiver.close_frame().unwrap().code.get(), code);
            assert_eq!(standing(connection, role), (State::Done, false));
        }
        let mut driver = Driver::new(role, CONFIG);
        assert!(!end(&mut driver.connection, role));
        assert_eq!(driver.connection.receiver.close_frame(), None);
    }
}

// RFC 6455 §7.1.6
#[test]
fn reported_reason() {
    for role in ROLES {
        for reason in ["", "gr\u{fc}n", &"r".repeat(123)] {
            let mut driver = Driver::new(role, CONFIG);
            driver.feed(&to(role, FIN | CLOSE, &close_body(1000, reason)));
            assert_eq!(driver.connection.receiver.close_frame().unwrap().reason, reason);
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
        assert_eq!(standing(&mut driver.connection, role), (State::Failed, true));
        assert!(!end(&mut driver.connection, role));
        assert!(driver.connection.sender.closed_first());

        let mut connection = stuck(role);
        fail(&mut connection, ProtocolError::MessageTooLarge);
        assert_eq!(standing(&mut connection, role), (State::Closing, false));
        fail(&mut connection, ProtocolError::InvalidUtf8);
        unstick(&mut connection);
        let sent = drain(&mut connection, role);
        assert_eq!(sent, close_by(role, CloseCode::MESSAGE_TOO_BIG));
        assert_eq!(standing(&mut connection, role), (State::Failed, true));
    }
}

// RFC 6455 §7.1.7: the error is told once, and says which rule was broken
#[test]
fn fail_reports_error() {
    for role in ROLES {
        let mut connection = stuck(role);
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
        let seen = vec![text("ok").at(message.len())];
        let error = ProtocolError::UnexpectedContinuation;
        assert_eq!(outcome(role, &bytes.concat()), Outcome::failed(role, seen, error));

        let mut driver = Driver::new(role, CONFIG);
        fail(&mut driver.connection, ProtocolError::InvalidUtf8);
        driver.feed(&bytes.concat());
        let output = close_by(role, CloseCode::INVALID_PAYLOAD);
        let expected = Outcome { state: State::Failed, ..Outcome::open(vec![]).sent(output) };
        assert_eq!(driver.outcome, expected);
        assert_eq!(driver.connection.receiver.close_frame(), None);
    }
}

// RFC 6455 §7.1.7: after this side's Close there is no second one, and the end is reached
#[test]
fn an_error_after_our_close_ends_it() {
    for role in ROLES {
        let mut driver = closing(role);
        driver.feed(b"\xff\xff");
        let expected = Outcome::failed(role, vec![], ProtocolError::ReservedOpcode(0xf));
        assert_eq!(driver.outcome, expected.sent(vec![]));
        assert_eq!(standing(&mut driver.connection, role), (State::Failed, true));

        let mut late = closing(role).connection;
        fail(&mut late, ProtocolError::InvalidUtf8);
        assert_eq!(drain(&mut late, role), b"");
        assert_eq!(standing(&mut late, role), (State::Failed, true));
    }
}

// RFC 6455 §5.5.1, §7.1.7: a fault found between the peer's Close and the answer: one Close frame
#[test]
fn fail_while_the_answer_waits() {
    for role in ROLES {
        let mut connection = stuck(role);
        receive(&mut connection, to(role, FIN | CLOSE, b"\x03\xe8")).unwrap();
        fail(&mut connection, ProtocolError::InvalidUtf8);
        assert_eq!(state(&mut connection, role), State::Closing);
        unstick(&mut connection);
        assert_eq!(drain(&mut connection, role), close_by(role, CloseCode::NORMAL));
        assert_eq!(standing(&mut connection, role), (State::Failed, false));
        assert_eq!(connection.receiver.close_frame().unwrap().code, CloseCode::NORMAL);
        assert!(!end(&mut connection, role));
    }
}

// RFC 6455 §7.2.1: silence, data and control frames are no reason to close
#[test]
fn client_does_not_close_spontaneously() {
    let role = Role::Client;
    let mut driver = Driver::new(role, CONFIG);
    driver.feed(&to(role, FIN | TEXT, b"a"));
    driver.feed(&to(role, FIN | PONG, b"a"));
    let step = idle(&mut driver.connection, Instant::from_millis(1 << 30));
    assert!(matches!(step, Step::Wait(None)));
    assert_eq!(drain(&mut driver.connection, role), b"");
    assert_eq!(standing(&mut driver.connection, role), (State::Open, false));
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
            let connection = &mut driver.connection;
            assert!(!end(connection, role));
            for _ in 0..3 {
                assert_eq!(standing(connection, role), (State::Done, false));
                assert_eq!(connection.receiver.close_frame(), None);
                let mut rest = stream[at..].to_vec();
                let mut input = Input::new(&mut rest);
                assert!(matches!(ask(connection, &mut input, START), Step::Done));
                assert!(input.is_empty());
                connection.receiver.receive_eof();
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
        connection.sender.head(DataFrame::BINARY, 1 << 40, key(role)).unwrap();
        receive(&mut connection, to(role, FIN | PING, b"")).unwrap();
        assert_eq!(standing(&mut connection, role), (State::Open, false));
    }
}
