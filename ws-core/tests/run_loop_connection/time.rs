//! The clock, what is due, and signs of life: rules 6 to 12.

use ws_core::{CloseCode, Connection, DataFrame, Input, Instant, ProtocolError, Role, Step};

use super::*;

// `ask`, by which all of these tests ask, checks it for each answer; here, what it is for.
#[test]
fn rule_06_the_clock_is_asked_at_most_once_and_only_when_nothing_is_left_to_tell() {
    let role = Role::Server;
    let mut connection = Connection::new(role, TIMED);
    let mut bytes = [to(role, FIN | TEXT, b"a"), to(role, FIN | PING, b"?")].concat();
    let mut input = Input::new(&mut bytes);
    let never = || -> Instant { panic!("something is left to tell") };
    assert!(matches!(connection.next(&mut input, never), Step::Data(_)));
    assert!(matches!(connection.next(&mut input, never), Step::Ping));
    assert!(matches!(connection.next(&mut input, never), Step::Transmit));
    transmit(&mut connection, role);
    let mut asked = 0;
    let step = connection.next(&mut input, || {
        asked += 1;
        at(77_000)
    });
    // And its first answer starts all time-outs.
    assert!(matches!(step, Step::Wait(Some(until)) if until == at(87_000)));
    assert_eq!(asked, 1);
    let mut bytes = [0xff];
    assert!(matches!(connection.next(&mut Input::new(&mut bytes), never), Step::Failed(_)));
}

// The driver comes at 0 and at 6 s. What happens in between may have happened at 6 s: no time-out is early.
#[test]
fn rule_07_what_happens_between_two_answers_counts_from_the_later_one() {
    for role in ROLES {
        // Bytes that came.
        let mut connection = started(role, TIMED);
        let mut bytes = to(role, FIN | TEXT, b"a");
        assert_eq!(step(&mut connection, role, &mut Input::new(&mut bytes), 0), Told(text("a")));
        assert_eq!(steps(&mut connection, role, b"", 6_000), [Wait(Some(16_000))]);
        // A data frame that was sent.
        let config = CONFIG.idle_timeout(seconds(20));
        let mut connection = started(role, config);
        connection.sender.encode(DataFrame::TEXT, b"a", key(role), &mut [0; 20]).unwrap();
        assert_eq!(steps(&mut connection, role, b"", 6_000), [Wait(Some(26_000))]);
        // A payload that goes on.
        connection.sender.head(DataFrame::BINARY, 9, key(role)).unwrap();
        assert_eq!(steps(&mut connection, role, b"", 7_000), [Wait(Some(27_000))]);
        connection.sender.mask_payload(&mut [0; 4]).unwrap();
        assert_eq!(steps(&mut connection, role, b"", 9_000), [Wait(Some(29_000))]);
        // A Close frame of this side.
        let mut connection = started(role, TIMED);
        close(&mut connection, role);
        assert_eq!(steps(&mut connection, role, b"", 6_000), [Wait(Some(14_000))]);
        // A fault that was found above, and the Close frame of the peer.
        let mut connection = started(role, TIMED);
        fail(&mut connection, ProtocolError::InvalidUtf8);
        let rest = steps(&mut connection, role, b"", 6_000);
        assert_eq!(rest.last(), Some(&Shutdown(Some(14_000))));
        let mut connection = started(role, TIMED);
        let mut bytes = to(role, FIN | CLOSE, b"");
        step(&mut connection, role, &mut Input::new(&mut bytes), 0);
        let rest = steps(&mut connection, role, b"", 6_000);
        assert_eq!(rest.last(), Some(&closed_rest(role, Some(14_000))));
        // The keepalive Ping counts from when it was sent.
        let mut connection = started(role, TIMED);
        assert!(matches!(idle(&mut connection, at(10_000)), Step::Transmit));
        let sent = [Send(by(role, FIN | PING, b"")), Wait(Some(16_500))];
        assert_eq!(steps(&mut connection, role, b"", 12_500), sent);
    }
}

// Two threads look at the clock, and the later one asks first; or the clock has wrapped.
#[test]
fn rule_08_time_does_not_go_back_by_less_than_a_minute() {
    let config = CONFIG.ping_interval(seconds(10));
    for role in ROLES {
        for back in [1, 1_000, 60_000] {
            let mut connection = started(role, config);
            let bytes = to(role, FIN | PONG, b"");
            let first = [Told(pong(b"")), Wait(Some(110_000))];
            assert_eq!(steps(&mut connection, role, &bytes, 100_000), first);
            // As if it were 100,000 still: for what is due, and for what has come.
            assert_eq!(steps(&mut connection, role, b"", 100_000 - back), [Wait(Some(110_000))]);
            let again = steps(&mut connection, role, &bytes, 100_000 - back);
            assert_eq!(again, [Told(pong(b"")), Wait(Some(110_000))]);
            close(&mut connection, role);
            assert_eq!(steps(&mut connection, role, b"", 100_000 - back), [Wait(Some(105_000))]);
            // A time-out that runs already goes on.
            let mut connection = started(role, config);
            steps(&mut connection, role, &bytes, 95_000);
            for now in [100_000, 100_000 - back] {
                assert_eq!(steps(&mut connection, role, b"", now), [Wait(Some(105_000))]);
            }
        }
        let mut connection = started(role, config);
        let bytes = to(role, FIN | PONG, b"");
        steps(&mut connection, role, &bytes, 100_000);
        let wrapped = 100_000 - 60_001;
        let again = steps(&mut connection, role, &bytes, wrapped);
        assert_eq!(again, [Told(pong(b"")), Wait(Some(wrapped + 10_000))]);
        // How long ago things were before that, nobody knows: all time-outs start again.
        let days = 10 * 24 * 60 * 60 * 1000;
        let mut connection = started(role, TIMED);
        steps(&mut connection, role, &bytes, days);
        assert_eq!(steps(&mut connection, role, b"", 3), [Wait(Some(10_003))]);
        let sent = [Send(by(role, FIN | PING, b"")), Wait(Some(14_003))];
        assert_eq!(steps(&mut connection, role, b"", 10_003), sent);
        let mut connection = started(role, CONFIG.idle_timeout(seconds(60)));
        steps(&mut connection, role, &to(role, FIN | TEXT, b"a"), days);
        assert_eq!(steps(&mut connection, role, b"", 3), [Wait(Some(60_003))]);
        let mut connection = started(role, CONFIG);
        close(&mut connection, role);
        assert_eq!(steps(&mut connection, role, b"", days), [Wait(Some(days + 5_000))]);
        assert_eq!(steps(&mut connection, role, b"", 3), [Wait(Some(5_003))]);
        assert_eq!(steps(&mut connection, role, b"", 5_003), [Shutdown(Some(5_003))]);
        // Over the end of the numbers time goes on.
        let mut connection = Connection::new(role, config);
        assert_eq!(steps(&mut connection, role, b"", u32::MAX), [Wait(Some(9_999))]);
        let sent = by(role, FIN | PING, b"");
        assert_eq!(steps(&mut connection, role, b"", 9_999), [Send(sent), Wait(Some(29_999))]);
    }
}

// At a deadline, or long after it, what was waited for lies in the input.
#[test]
fn rule_09_what_is_due_is_done_after_all_bytes_are_parsed() {
    for role in ROLES {
        for late in [0, 1, 100_000] {
            let mut connection = started(role, TIMED);
            steps(&mut connection, role, b"", 10_000);
            let now = 14_000 + late;
            let got = steps(&mut connection, role, &to(role, FIN | PONG, b""), now);
            let seen = Told(pong(b""));
            if late < 100_000 {
                assert_eq!(got, [seen, Wait(Some(now + 10_000))], "the Pong");
            } else {
                // No data has come for so long that the grace for that begins.
                assert_eq!(got, [seen, Wait(Some(now + 1_000))], "the Pong");
            }

            let config = CONFIG.idle_timeout(seconds(60));
            let mut connection = started(role, config);
            let now = 60_000 + late;
            let got = steps(&mut connection, role, &to(role, FIN | TEXT, b"a"), now);
            assert_eq!(got, [Told(text("a")), Wait(Some(now + 60_000))], "data");

            let mut connection = started(role, CONFIG);
            close(&mut connection, role);
            steps(&mut connection, role, b"", 0);
            let got = steps(&mut connection, role, &to(role, FIN | CLOSE, b""), 5_000 + late);
            assert_eq!(got, [Told(closed_by_us(1005, "")), Shutdown(Some(5_000 + late))], "Close");
            assert_eq!(steps(&mut connection, role, b"", 5_000 + late), [Done]);
            assert!(connection.sender.is_clean());
        }
    }
}

// Fault: after a Ping that could not be sent yet, a deadline for data that had passed as well was told as one to come.
#[test]
fn rule_09_all_deadlines_that_have_passed_are_acted_on_at_once() {
    for role in ROLES {
        let mut connection = started(role, TIMED);
        stick(&mut connection, role);
        // The payload that was begun is data, so that the time for the next starts here.
        assert_eq!(steps(&mut connection, role, b"", 0), [Wait(Some(10_000))]);
        // The Ping waits for the payload, and the deadline for data gets its grace.
        assert_eq!(steps(&mut connection, role, b"", 90_000), [Wait(Some(91_000))]);
        unstick(&mut connection);
    }
}

// An eighth of the time-out, at most a second, once, until something has come. A driver that comes in time
// needs none.
#[test]
fn rule_10_a_late_driver_gets_a_grace_once() {
    for role in ROLES {
        for (pong_timeout, grace) in [(4_u32, 500), (8, 1_000), (16, 1_000)] {
            let config =
                CONFIG.ping_interval(seconds(10)).pong_timeout(seconds(pong_timeout.into()));
            let deadline = 10_000 + pong_timeout * 1_000;
            let lost = |until| {
                let close = close_by(role, CloseCode::INTERNAL_ERROR);
                [Told(failed(ProtocolError::PongTimeout)), Send(close), Shutdown(Some(until))]
            };
            let pinged = || {
                let mut connection = started(role, config);
                let sent = [Send(by(role, FIN | PING, b"")), Wait(Some(deadline))];
                assert_eq!(steps(&mut connection, role, b"", 10_000), sent);
                connection
            };
            let mut connection = pinged();
            assert_eq!(steps(&mut connection, role, b"", deadline), lost(deadline));

            let mut connection = pinged();
            let late = deadline + 1;
            assert_eq!(steps(&mut connection, role, b"", late), [Wait(Some(late + grace))]);
            let last = late + grace - 1;
            assert_eq!(steps(&mut connection, role, b"", last), [Wait(Some(late + grace))]);
            assert_eq!(steps(&mut connection, role, b"", late + grace + 9), lost(late + grace + 9));

            // Something has come: the next time there is a grace again.
            let mut connection = pinged();
            assert_eq!(steps(&mut connection, role, b"", late), [Wait(Some(late + grace))]);
            let first = [to(role, FIN | TEXT, b"a")[0]];
            let next = late + 10_000;
            assert_eq!(steps(&mut connection, role, &first, late), [Wait(Some(next))]);
            let sent = by(role, FIN | PING, b"");
            let again = [Send(sent), Wait(Some(next + pong_timeout * 1_000))];
            assert_eq!(steps(&mut connection, role, b"", next), again);
            let late = next + pong_timeout * 1_000 + 77;
            assert_eq!(steps(&mut connection, role, b"", late), [Wait(Some(late + grace))]);
        }

        let mut connection = started(role, CONFIG.idle_timeout(seconds(4)));
        assert_eq!(steps(&mut connection, role, b"", 4_001), [Wait(Some(4_501))]);
        let sent = [Send(close_by(role, CloseCode::GOING_AWAY)), Wait(Some(9_502))];
        assert_eq!(steps(&mut connection, role, b"", 4_502), sent);
        // The deadline of closing stays as it is.
        assert_eq!(steps(&mut connection, role, b"", 9_503), [Shutdown(Some(9_503))]);

        // Data has come: the next time there is a grace again. Another frame allows none.
        for (frame, seen) in [(FIN | TEXT, text("a")), (FIN | PONG, pong(b"a"))] {
            let mut connection = started(role, CONFIG.idle_timeout(seconds(4)));
            assert_eq!(steps(&mut connection, role, b"", 4_001), [Wait(Some(4_501))]);
            let is_data = frame == FIN | TEXT;
            let next = if is_data { 8_001 } else { 4_501 };
            let got = steps(&mut connection, role, &to(role, frame, b"a"), 4_001);
            assert_eq!(got, [Told(seen), Wait(Some(next))]);
            let got = steps(&mut connection, role, b"", next + 1);
            let sent = Send(close_by(role, CloseCode::GOING_AWAY));
            let grace = [Wait(Some(next + 501))];
            let none = [sent, Wait(Some(next + 5_001))];
            assert_eq!(got, if is_data { &grace[..] } else { &none[..] });
        }
    }
}

// Whatever it is, as soon as it is parsed, complete or not.
#[test]
fn rule_12_parsed_bytes_are_a_sign_of_life() {
    for role in ROLES {
        let config = CONFIG.ping_interval(seconds(10)).pong_timeout(seconds(4));
        let frames = [
            to(role, FIN | TEXT, b"hello"),
            to(role, FIN | BINARY, &[0; 300]),
            to(role, TEXT, b""),
            to(role, FIN | PING, b"?"),
            to(role, FIN | PONG, b"!"),
        ];
        for frame in frames {
            let mut connection = started(role, config);
            let mut now = 10_000;
            steps(&mut connection, role, b"", now);
            for byte in &frame {
                // In time, but for the first byte only just.
                now += 3_999;
                let rest = steps(&mut connection, role, &[*byte], now);
                assert_eq!(rest.last(), Some(&Wait(Some(now + 10_000))), "{frame:02x?}");
                let sent = [Send(by(role, FIN | PING, b"")), Wait(Some(now + 14_000))];
                assert_eq!(steps(&mut connection, role, b"", now + 10_000), sent);
                now += 10_000;
            }
        }
        // No bytes are none.
        let mut connection = started(role, config);
        steps(&mut connection, role, b"", 10_000);
        for now in [11_000, 12_000, 13_999] {
            assert_eq!(steps(&mut connection, role, b"", now), [Wait(Some(14_000))]);
        }
        let rest = steps(&mut connection, role, b"", 14_000);
        assert_eq!(rest[0], Told(failed(ProtocolError::PongTimeout)));
    }
}
