//! What is told, in which order, and how often: rules 1 to 3.

use ws_core::{CloseCode, Connection, Input, ProtocolError, Step};

use super::*;

// What came is told once. The rest is told again until it is done, and being asked changes nothing.
#[test]
fn rule_01_events_are_told_once_and_the_rest_until_it_is_done() {
    for role in ROLES {
        let mut connection = started(role, CONFIG);
        let mut bytes = [to(role, FIN | TEXT, b"a"), to(role, FIN | PING, b"?")].concat();
        let mut input = Input::new(&mut bytes);
        assert_eq!(step(&mut connection, role, &mut input, 0), Told(text("a")));
        assert_eq!(step(&mut connection, role, &mut input, 0), Told(ping(b"?")));
        for _ in 0..3 {
            assert!(matches!(ask(&mut connection, &mut input, START), Step::Transmit));
        }
        assert_eq!(transmit(&mut connection, role), by(role, FIN | PONG, b"?"));
        for _ in 0..3 {
            assert_eq!(step(&mut connection, role, &mut input, 0), Wait(None));
        }
        let mut bytes = [0xff; 100];
        let mut input = Input::new(&mut bytes);
        let error = ProtocolError::ReservedOpcode(0xf);
        assert_eq!(step(&mut connection, role, &mut input, 0), Told(failed(error)));
        for _ in 0..3 {
            assert!(matches!(ask(&mut connection, &mut input, START), Step::Transmit));
        }
        transmit(&mut connection, role);
        for _ in 0..3 {
            assert_eq!(step(&mut connection, role, &mut input, 0), Shutdown(Some(5_000)));
        }
        connection.sender.shut_down();
        for _ in 0..3 {
            assert_eq!(step(&mut connection, role, &mut input, 0), Wait(Some(5_000)));
        }
        connection.receiver.receive_eof();
        for _ in 0..3 {
            assert_eq!(step(&mut connection, role, &mut input, 0), Done);
        }
    }
}

// Nothing makes a driver go round in circles: what is told twice at the same time is to wait, or to do what
// was not done yet.
#[test]
fn rule_01_an_answer_in_any_state_is_the_same_again() {
    for role in ROLES {
        for (name, mut connection) in states(role, TIMED) {
            let first = steps(&mut connection, role, b"", 0);
            let rest = first.last().unwrap().clone();
            for _ in 0..3 {
                let again = steps(&mut connection, role, b"", 0);
                assert_eq!(again.len(), 1, "{role:?}, {name}: {again:?}");
                assert_eq!(again[0], rest, "{role:?}, {name}, after {first:?}");
            }
        }
    }
}

// One frame is owed at a time: it goes out before the next is parsed, and Shutdown comes after all of them.
#[test]
fn rule_02_transmit_comes_before_what_is_parsed() {
    for role in ROLES {
        let mut connection = started(role, CONFIG);
        let bytes = [
            to(role, FIN | PING, b"1"),
            to(role, FIN | PING, b"2"),
            to(role, FIN | TEXT, b"a"),
            to(role, FIN | PONG, b"3"),
            to(role, FIN | CLOSE, b"\x03\xe8"),
        ];
        let expected = [
            Told(ping(b"1")),
            Send(by(role, FIN | PONG, b"1")),
            Told(ping(b"2")),
            Send(by(role, FIN | PONG, b"2")),
            Told(text("a")),
            Told(pong(b"3")),
            Told(closed(1000, "")),
            Send(by(role, FIN | CLOSE, b"\x03\xe8")),
            closed_rest(role, Some(5_000)),
        ];
        assert_eq!(steps(&mut connection, role, &bytes.concat(), 0), expected);

        // What is due comes after what is parsed.
        let mut connection = started(role, TIMED);
        let bytes = to(role, FIN | TEXT, b"a");
        let late = [Told(text("a")), Wait(Some(30_000))];
        assert_eq!(steps(&mut connection, role, &bytes, 20_000), late);
        let ping = [Send(by(role, FIN | PING, b"")), Wait(Some(34_000))];
        assert_eq!(steps(&mut connection, role, b"", 30_000), ping);
    }
}

// While a payload is under way nothing else can be sent: it is not asked for, and parsing goes on.
#[test]
fn rule_02_a_payload_under_way_does_not_hold_up_what_is_parsed() {
    for role in ROLES {
        let mut connection = started(role, CONFIG);
        stick(&mut connection, role);
        let bytes =
            [to(role, FIN | PING, b"1"), to(role, FIN | TEXT, b"a"), to(role, FIN | CLOSE, b"")];
        let seen = [Told(ping(b"1")), Told(text("a")), Told(closed(1005, "")), Wait(Some(5_000))];
        assert_eq!(steps(&mut connection, role, &bytes.concat(), 0), seen);
        unstick(&mut connection);
        let sent = [
            Send(by(role, FIN | PONG, b"1")),
            Send(by(role, FIN | CLOSE, b"")),
            closed_rest(role, Some(5_000)),
        ];
        assert_eq!(steps(&mut connection, role, b"", 0), sent);
    }
}

// The stream ends behind what came, even if that is told much later.
#[test]
fn rule_03_everything_that_came_before_an_end_is_told_before_done() {
    for role in ROLES {
        for stuck in [false, true] {
            let mut connection = started(role, CONFIG);
            if stuck {
                stick(&mut connection, role);
            }
            connection.receiver.receive_eof();
            let bytes = [
                to(role, FIN | TEXT, b"a"),
                to(role, FIN | PING, b"?"),
                to(role, FIN | CLOSE, b"\x03\xe8"),
            ];
            let mut expected = vec![
                Told(text("a")),
                Told(ping(b"?")),
                Send(by(role, FIN | PONG, b"?")),
                Told(closed(1000, "")),
                Send(close_by(role, CloseCode::NORMAL)),
                Shutdown(Some(7)),
            ];
            if stuck {
                expected.retain(|step| !matches!(step, Send(_)));
            }
            assert_eq!(steps(&mut connection, role, &bytes.concat(), 7), expected);
            assert_eq!(steps(&mut connection, role, b"", 7), [Done]);
            assert_eq!(connection.sender.is_clean(), !stuck);
        }
    }
}

// Whatever is called and whatever comes after Done: it is over.
#[test]
fn rule_03_done_stays() {
    for role in ROLES {
        for (name, mut connection) in states(role, TIMED) {
            connection.receiver.receive_eof();
            while *steps(&mut connection, role, b"", 0).last().unwrap() != Done {}
            let clean = connection.sender.is_clean();
            let frame = connection.receiver.close_frame().map(|frame| frame.code);
            let calls: [fn(&mut Connection); 6] = [
                |_| {},
                |connection| fail(connection, ProtocolError::InvalidUtf8),
                |connection| _ = connection.sender.mask_payload(&mut [0]),
                |connection| connection.sender.shut_down(),
                |connection| connection.receiver.receive_eof(),
                |connection| connection.sender.receive_reset(),
            ];
            for (what, call) in calls.into_iter().enumerate() {
                call(&mut connection);
                for bytes in [&b""[..], b"\xff", &to(role, FIN | PING, b"?"), &to(role, CLOSE, b"")]
                {
                    for now in [0, 8_000, 1 << 30] {
                        let rest = steps(&mut connection, role, bytes, now);
                        assert_eq!(rest, [Done], "{role:?}, {name}, then call {what}");
                    }
                }
            }
            assert!(!connection.sender.is_open());
            assert_eq!(connection.sender.is_clean(), clean);
            assert_eq!(connection.receiver.close_frame().map(|frame| frame.code), frame);
        }
    }
}
