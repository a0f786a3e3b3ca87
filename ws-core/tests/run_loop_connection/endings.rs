//! How a connection ends, and whether it was clean: rules 14 to 18.

use ws_core::{CloseCode, Input, ProtocolError, Role, SendError, Step};

use super::*;

#[test]
fn rule_14_who_shuts_down_and_when() {
    for role in ROLES {
        // Close frames went both ways.
        for first in [false, true] {
            let mut connection = started(role, CONFIG);
            if first {
                close(&mut connection, role);
                assert_eq!(steps(&mut connection, role, b"", 0), [Wait(Some(5_000))]);
            }
            let rest = steps(&mut connection, role, &to(role, FIN | CLOSE, b""), 0);
            assert_eq!(rest.last(), Some(&closed_rest(role, Some(5_000))));
            if role == Role::Server {
                connection.sender.shut_down();
                assert_eq!(steps(&mut connection, role, b"", 0), [Wait(Some(5_000))]);
                connection.receiver.receive_eof();
            } else {
                connection.receiver.receive_eof();
                assert_eq!(steps(&mut connection, role, b"", 9), [Shutdown(Some(9))]);
            }
            assert_eq!(steps(&mut connection, role, b"", 9), [Done]);
            assert!(connection.sender.is_clean());
        }
        // An error.
        let mut connection = started(role, CONFIG);
        let rest = steps(&mut connection, role, &[0xff], 0);
        assert_eq!(rest.last(), Some(&Shutdown(Some(5_000))));
        connection.sender.shut_down();
        assert_eq!(steps(&mut connection, role, b"", 0), [Wait(Some(5_000))]);
        assert_eq!(steps(&mut connection, role, b"", 5_000), [Done]);
    }
}

// Nobody confirms it, or only then: the end comes all the same.
#[test]
fn rule_14_an_unconfirmed_shutdown_is_told_once_more_before_done() {
    for role in ROLES {
        for confirm in [false, true] {
            for by_time in [false, true] {
                let mut connection = started(role, CONFIG);
                let rest = steps(&mut connection, role, &[0xff], 0);
                assert_eq!(rest.last(), Some(&Shutdown(Some(5_000))));
                let now = if by_time {
                    6_000
                } else {
                    connection.receiver.receive_eof();
                    100
                };
                assert_eq!(steps(&mut connection, role, b"", now), [Shutdown(Some(now))]);
                if confirm {
                    connection.sender.shut_down();
                }
                assert_eq!(steps(&mut connection, role, b"", now), [Done]);
            }
        }
        // A shutdown that was confirmed is not told again.
        let mut connection = started(role, CONFIG);
        steps(&mut connection, role, &[0xff], 0);
        connection.sender.shut_down();
        connection.receiver.receive_eof();
        assert_eq!(steps(&mut connection, role, b"", 0), [Done]);
    }
}

// There is no Close frame, which stands for 1006; what is owed is still sent.
#[test]
fn rule_15_a_stream_that_ends_in_the_middle() {
    for role in ROLES {
        for (name, mut connection) in states(role, CONFIG) {
            let frame = connection.receiver.close_frame().is_some();
            let open = connection.sender.is_open();
            connection.receiver.receive_eof();
            let mut rest = steps(&mut connection, role, b"", 3_000);
            while rest.last() != Some(&Done) {
                rest.extend(steps(&mut connection, role, b"", 3_000));
            }
            rest.retain(|step| !matches!(step, Send(_)));
            let confirmed = name.ends_with("and shut down");
            let expected = if confirmed { vec![Done] } else { vec![Shutdown(Some(3_000)), Done] };
            assert_eq!(rest, expected, "{role:?}, {name}");
            assert!(!connection.sender.is_open());
            assert_eq!(connection.receiver.close_frame().is_some(), frame, "{name}");
            assert!(!open || !connection.sender.is_clean(), "{name}");
        }
        let mut connection = started(role, CONFIG);
        connection.receiver.receive_eof();
        let rest = steps(&mut connection, role, &to(role, FIN | PING, b"?"), 0);
        let sent = Send(by(role, FIN | PONG, b"?"));
        assert_eq!(rest, [Told(ping(b"?")), sent, Shutdown(Some(0))]);
    }
}

// Whatever was owed or due, and whatever the time is.
#[test]
fn rule_16_after_a_reset_what_came_is_told_and_done_follows_without_shutdown() {
    for role in ROLES {
        for config in [CONFIG, TIMED, CONFIG.close_timeout(None)] {
            for now in [0, 4_999, 5_000, 8_000, 1 << 30] {
                for (name, mut connection) in states(role, config) {
                    let clean = connection.sender.is_clean();
                    connection.sender.receive_reset();
                    let sent = connection.sender.transmit(&mut [0; 131], key(role));
                    assert_eq!(sent, Ok(0), "{name}");
                    for later in [0, 1, 60_000] {
                        let rest = steps(&mut connection, role, b"", now + later);
                        assert_eq!(rest, [Done], "{role:?}, {name}, at {now} and {later}");
                    }
                    assert!(!connection.sender.is_open());
                    assert_eq!(connection.sender.is_clean(), clean, "{name}");
                }
            }
        }
        let mut connection = started(role, CONFIG);
        connection.sender.receive_reset();
        let bytes = [
            to(role, FIN | TEXT, b"a"),
            to(role, FIN | PING, b"?"),
            to(role, FIN | CLOSE, b"\x03\xe8"),
        ];
        let seen = [Told(text("a")), Told(ping(b"?")), Told(closed(1000, "")), Done];
        assert_eq!(steps(&mut connection, role, &bytes.concat(), 9_000), seen);
        assert!(!connection.sender.is_clean());
        let mut connection = started(role, CONFIG);
        connection.sender.receive_reset();
        let seen = [Told(failed(ProtocolError::ReservedOpcode(0xf))), Done];
        assert_eq!(steps(&mut connection, role, &[0xff, 0xff], 9_000), seen);
    }
}

#[test]
fn rule_17_after_the_end_bytes_are_dropped_until_the_stream_ends_or_the_time_is_over() {
    for role in ROLES {
        for failing in [false, true] {
            for end in ["end of the stream", "time"] {
                let mut connection = started(role, CONFIG);
                let last = if failing { vec![0xff] } else { to(role, FIN | CLOSE, b"") };
                let mut rest = steps(&mut connection, role, &last, 0).pop().unwrap();
                if rest == Shutdown(Some(5_000)) {
                    connection.sender.shut_down();
                    rest = Wait(Some(5_000));
                }
                let bytes = [
                    to(role, FIN | TEXT, b"late"),
                    to(role, FIN | PING, b""),
                    to(role, FIN | CLOSE, b""),
                    vec![0xff; 1000],
                ];
                for now in [0, 1_000, 4_999] {
                    let dropped = steps(&mut connection, role, &bytes.concat(), now);
                    assert_eq!((dropped.len(), &dropped[0]), (1, &rest));
                }
                let now = if end == "time" {
                    5_000
                } else {
                    connection.receiver.receive_eof();
                    4_999
                };
                let mut rest = steps(&mut connection, role, &bytes.concat(), now);
                if role == Role::Client && !failing {
                    assert_eq!(rest, [Shutdown(Some(now))]);
                    rest = steps(&mut connection, role, &bytes.concat(), now);
                }
                assert_eq!(rest, [Done]);
                assert_eq!(connection.receiver.close_frame().is_some(), !failing);
                assert_eq!(connection.sender.is_clean(), !failing);
            }
        }
    }
}

// From each state time alone leads to the end, if there are time-outs. What a driver is told to wait for, it
// does not wait for in vain: the next answer is another one.
#[test]
fn rule_17_time_leads_to_the_end_from_every_state() {
    for role in ROLES {
        for (name, mut connection) in states(role, TIMED) {
            let mut now = 0;
            let mut rests = Vec::new();
            loop {
                let rest = steps(&mut connection, role, b"", now).pop().unwrap();
                let again = rests.contains(&(now, rest.clone()));
                assert!(!again, "{role:?}, {name}: {rest:?} again after {rests:?}");
                rests.push((now, rest.clone()));
                match rest {
                    Done => break,
                    Wait(Some(until)) | Shutdown(Some(until)) => now = until,
                    other => panic!("{role:?}, {name}: {other:?} for ever"),
                }
            }
            // A Ping, its Pong, the closing handshake, and a shutdown without waiting, each at most once.
            assert!(rests.len() <= 5, "{role:?}, {name}: {rests:?}");
            assert!(now <= 10_000 + 4_000 + 8_000, "{role:?}, {name}: {rests:?}");
        }
    }
}

// Without time-outs nothing is ever due, and the end of the stream is still the end.
#[test]
fn rule_18_without_time_outs_nothing_has_a_deadline() {
    let config = CONFIG.close_timeout(None).pong_timeout(None);
    for role in ROLES {
        for (name, mut connection) in states(role, config) {
            for now in [0, 60_000, 1 << 30] {
                let rest = steps(&mut connection, role, b"", now).pop();
                assert!(matches!(rest, Some(Wait(None) | Shutdown(None))), "{name}: {rest:?}");
            }
            connection.receiver.receive_eof();
            let rest = steps(&mut connection, role, b"", 1 << 30).pop().unwrap();
            if rest != Done {
                assert_eq!(rest, Shutdown(Some(1 << 30)), "{name}");
                assert_eq!(steps(&mut connection, role, b"", 1 << 30), [Done], "{name}");
            }
        }
    }
}

// It is encoded when `transmit` gives it, and written when the driver asks again after it was told to write,
// which Shutdown and Wait do.
#[test]
fn clean_only_when_the_answer_is_written() {
    for role in ROLES {
        let frame = to(role, FIN | CLOSE, b"\x03\xe8");
        let mut connection = started(role, CONFIG);
        let mut bytes = frame.clone();
        let mut input = Input::new(&mut bytes);
        assert_eq!(step(&mut connection, role, &mut input, 0), Told(closed(1000, "")));
        assert!(!connection.sender.is_clean());
        assert!(matches!(ask(&mut connection, &mut input, START), Step::Transmit));
        assert!(!connection.sender.is_clean());
        assert_eq!(transmit(&mut connection, role), close_by(role, CloseCode::NORMAL));
        assert!(!connection.sender.is_clean());
        assert_eq!(step(&mut connection, role, &mut input, 0), closed_rest(role, Some(5_000)));
        assert!(!connection.sender.is_clean(), "it may not be written yet");
        let mut written = step(&mut connection, role, &mut input, 0);
        assert_eq!(written, closed_rest(role, Some(5_000)));
        assert!(connection.sender.is_clean());

        // This side was first, and was told to write before the peer's came.
        let mut connection = started(role, CONFIG);
        close(&mut connection, role);
        assert_eq!(steps(&mut connection, role, b"", 0), [Wait(Some(5_000))]);
        let mut bytes = frame.clone();
        let mut input = Input::new(&mut bytes);
        assert_eq!(step(&mut connection, role, &mut input, 0), Told(closed_by_us(1000, "")));
        assert!(!connection.sender.is_clean());
        written = step(&mut connection, role, &mut input, 0);
        assert_eq!(written, closed_rest(role, Some(5_000)));
        assert!(connection.sender.is_clean());
        // What happens then does not take it back.
        connection.sender.receive_reset();
        assert_eq!(steps(&mut connection, role, b"", 0), [Done]);
        assert!(connection.sender.is_clean());
    }
}

#[test]
fn never_clean_after_a_reset_before_the_answer_was_written() {
    for role in ROLES {
        let frame = to(role, FIN | CLOSE, b"");
        for steps_before in 0..=2 {
            let mut connection = started(role, CONFIG);
            let mut bytes = frame.clone();
            let mut input = Input::new(&mut bytes);
            // The Close frame is seen, the answer encoded, and the driver told to write it.
            for _ in 0..=steps_before {
                step(&mut connection, role, &mut input, 0);
            }
            connection.sender.receive_reset();
            for _ in 0..3 {
                assert_eq!(steps(&mut connection, role, b"", 0), [Done]);
                assert!(!connection.sender.is_clean());
            }
        }
        // This side's Close frame is encoded or even written, the stream fails, and the peer's was on its way.
        for is_written in [false, true] {
            let mut connection = started(role, CONFIG);
            close(&mut connection, role);
            if is_written {
                assert_eq!(steps(&mut connection, role, b"", 0), [Wait(Some(5_000))]);
                assert_eq!(steps(&mut connection, role, b"", 0), [Wait(Some(5_000))]);
            }
            connection.sender.receive_reset();
            let seen = [Told(closed_by_us(1005, "")), Done];
            assert_eq!(steps(&mut connection, role, &frame, 0), seen);
            assert!(!connection.sender.is_clean());
        }
    }
}

// 131 bytes always suffice. Into less, what does not fit is an error of the caller, and stays owed.
#[test]
fn a_frame_that_does_not_fit_stays_owed() {
    for role in ROLES {
        for len in [0, 1, 124, 125] {
            let payload = vec![7; len];
            let mut connection = started(role, CONFIG);
            let mut bytes = to(role, FIN | PING, &payload);
            step(&mut connection, role, &mut Input::new(&mut bytes), 0);
            let frame = by(role, FIN | PONG, &payload);
            let needed = frame.len();
            for room in 0..needed {
                let refused = connection.sender.transmit(&mut vec![0; room], key(role));
                assert_eq!(refused, Err(SendError::BufferTooSmall { needed }));
                assert!(matches!(idle(&mut connection, START), Step::Transmit));
            }
            let mut out = vec![0; needed];
            assert_eq!(connection.sender.transmit(&mut out, key(role)), Ok(needed));
            assert_eq!(out, frame);
            assert_eq!(steps(&mut connection, role, b"", 0), [Wait(None)]);
            assert!(needed <= 131);
        }
        // The same for a Ping and for a Close frame.
        for (now, frame) in
            [(10_000, by(role, FIN | PING, b"")), (60_000, close_by(role, CloseCode::GOING_AWAY))]
        {
            let ping = if now == 10_000 { seconds(10) } else { None };
            let mut connection = started(role, TIMED.ping_interval(ping));
            assert!(matches!(idle(&mut connection, at(now)), Step::Transmit));
            for room in 0..frame.len() {
                let refused = connection.sender.transmit(&mut vec![0; room], key(role));
                assert_eq!(refused, Err(SendError::BufferTooSmall { needed: frame.len() }));
                assert!(matches!(idle(&mut connection, at(now)), Step::Transmit));
            }
            assert_eq!(transmit(&mut connection, role), frame);
        }
    }
}
