//! The rules of the run loop, as they hold without an allocator. Each test has the number of its rule.

mod common;

use core::time::Duration;

use common::*;
use ws_core::{
    CloseCode, Config, Connection, DataFrame, Input, Instant, ProtocolError, Role, SendError, Step,
};

const CONFIG: Config = Config::new();

/// All time-outs, each different: 10 s and 4 s for a Ping and its Pong, 60 s and 8 s for data and closing.
const TIMED: Config = Config::new()
    .ping_interval(seconds(10))
    .pong_timeout(seconds(4))
    .idle_timeout(seconds(60))
    .close_timeout(seconds(8));

const fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

const fn at(millis: u32) -> Instant {
    Instant::from_millis(millis)
}

/// What a connection has a driver do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Do {
    See(Seen),
    /// A frame is encoded.
    Send(Vec<u8>),
    /// Until when, in milliseconds.
    Shutdown(Option<u32>),
    Wait(Option<u32>),
    Done,
}

use Do::{Done, See, Send, Shutdown, Wait};

/// Asks once, and does it except for a shutdown.
fn step(connection: &mut Connection, role: Role, input: &mut Input<'_>, now: u32) -> Do {
    let millis = |until: Option<Instant>| until.map(Instant::as_millis);
    let step = ask(connection, input, at(now));
    let receiver = &connection.receiver;
    See(match step {
        Step::Data(chunk) => match chunk.kind {
            ws_core::MessageKind::Text => text(core::str::from_utf8(chunk.bytes).unwrap()),
            ws_core::MessageKind::Binary => binary(chunk.bytes),
        },
        Step::Ping => ping(receiver.control_payload()),
        Step::Pong => pong(receiver.control_payload()),
        Step::Close => {
            let frame = receiver.close_frame().unwrap();
            let by_us = connection.sender.closed_first();
            Seen::Closed { code: frame.code.get(), reason: frame.reason.into(), by_us }
        }
        Step::Failed(error) => failed(error),
        Step::Transmit => return Send(transmit(connection, role)),
        Step::Shutdown(until) => return Shutdown(millis(until)),
        Step::Wait(until) => return Wait(millis(until)),
        Step::Done => return Done,
    })
}

/// All there is to do until the stream is to be waited for, or to be shut down, or it is over.
#[track_caller]
fn steps(connection: &mut Connection, role: Role, bytes: &[u8], now: u32) -> Vec<Do> {
    let mut bytes = bytes.to_vec();
    let mut input = Input::new(&mut bytes);
    let mut all = Vec::new();
    loop {
        all.push(step(connection, role, &mut input, now));
        assert!(all.len() < 50, "it goes round in circles: {all:?}");
        if matches!(all.last(), Some(Shutdown(_) | Wait(_) | Done)) {
            assert!(input.is_empty());
            return all;
        }
    }
}

/// A fresh connection whose time-outs count from 0.
fn started(role: Role, config: Config) -> Connection {
    let mut connection = Connection::new(role, config);
    assert!(matches!(steps(&mut connection, role, b"", 0)[..], [Wait(_)]));
    connection
}

/// Begins a payload of one byte, so that no frame can be sent.
fn stick(connection: &mut Connection, role: Role) {
    connection.sender.head(DataFrame::BINARY, 1, key(role)).unwrap();
}

fn unstick(connection: &mut Connection) {
    connection.sender.mask_payload(&mut [0]).unwrap();
}

fn close(connection: &mut Connection, role: Role) {
    connection.sender.start_close(CloseCode::NORMAL, "", key(role), &mut [0; 8]).unwrap();
}

fn fail(connection: &mut Connection, error: ProtocolError) {
    connection.receiver.fail(&mut connection.sender, error);
}

/// What a side does when Close frames went both ways: a server shuts down, a client waits for that.
fn closed_rest(role: Role, until: Option<u32>) -> Do {
    if role == Role::Server { Shutdown(until) } else { Wait(until) }
}

/// A connection in each state that it can be in, with a name. All was told and sent, at the time 0, as far as
/// the state allows.
fn states(role: Role, config: Config) -> Vec<(&'static str, Connection)> {
    let text = to(role, FIN | TEXT, b"hello");
    let close_frame = to(role, FIN | CLOSE, b"\x03\xe8");
    let ping = to(role, FIN | PING, b"?");
    let mut states: Vec<(&'static str, Connection)> = Vec::new();
    let mut add = |name, make: &dyn Fn(&mut Connection)| {
        let mut connection = started(role, config);
        make(&mut connection);
        states.push((name, connection));
    };
    let feed = |connection: &mut Connection, bytes: &[u8]| {
        steps(connection, role, bytes, 0);
    };
    add("never asked", &|connection| *connection = Connection::new(role, config));
    add("open", &|_| {});
    add("inside a header", &|connection| feed(connection, &text[..1]));
    add("inside a payload", &|connection| feed(connection, &text[..text.len() - 1]));
    add("inside a message", &|connection| feed(connection, &to(role, TEXT, b"hel")));
    add("inside a Close frame", &|connection| {
        feed(connection, &close_frame[..close_frame.len() - 1]);
    });
    add("a Pong is owed", &|connection| {
        let mut bytes = ping.clone();
        step(connection, role, &mut Input::new(&mut bytes), 0);
    });
    add("a payload is under way", &|connection| stick(connection, role));
    add("a Pong waits for the end of a payload", &|connection| {
        stick(connection, role);
        feed(connection, &ping);
    });
    add("this side has closed", &|connection| {
        close(connection, role);
        feed(connection, b"");
    });
    add("this side has just closed", &|connection| close(connection, role));
    add("an answer to a Close frame is owed", &|connection| {
        let mut bytes = close_frame.clone();
        step(connection, role, &mut Input::new(&mut bytes), 0);
    });
    add("an answer to a Close frame waits for the end of a payload", &|connection| {
        stick(connection, role);
        feed(connection, &close_frame);
    });
    add("closed", &|connection| feed(connection, &close_frame));
    add("closed by this side first", &|connection| {
        close(connection, role);
        feed(connection, &close_frame);
    });
    add("closed and shut down", &|connection| {
        feed(connection, &close_frame);
        connection.sender.shut_down();
    });
    add("a failure is to be told to the peer", &|connection| {
        step(connection, role, &mut Input::new(&mut [0xff]), 0);
    });
    add("a failure waits for the end of a payload", &|connection| {
        stick(connection, role);
        feed(connection, &[0xff]);
    });
    add("failed", &|connection| feed(connection, &[0xff]));
    add("failed and shut down", &|connection| {
        feed(connection, &[0xff]);
        connection.sender.shut_down();
    });
    add("failed after this side has closed", &|connection| {
        close(connection, role);
        feed(connection, &[0xff]);
    });
    add("failed after the peer has closed", &|connection| {
        feed(connection, &close_frame);
        fail(connection, ProtocolError::InvalidUtf8);
    });
    add("found to be wrong by a layer above", &|connection| {
        fail(connection, ProtocolError::InvalidUtf8);
    });
    states
}

// What came is told once. The rest is told again until it is done, and being asked changes nothing.
#[test]
fn rule_01_events_are_told_once_and_the_rest_until_it_is_done() {
    for role in ROLES {
        let mut connection = started(role, CONFIG);
        let mut bytes = [to(role, FIN | TEXT, b"a"), to(role, FIN | PING, b"?")].concat();
        let mut input = Input::new(&mut bytes);
        assert_eq!(step(&mut connection, role, &mut input, 0), See(text("a")));
        assert_eq!(step(&mut connection, role, &mut input, 0), See(ping(b"?")));
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
        assert_eq!(step(&mut connection, role, &mut input, 0), See(failed(error)));
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
            See(ping(b"1")),
            Send(by(role, FIN | PONG, b"1")),
            See(ping(b"2")),
            Send(by(role, FIN | PONG, b"2")),
            See(text("a")),
            See(pong(b"3")),
            See(closed(1000, "")),
            Send(by(role, FIN | CLOSE, b"\x03\xe8")),
            closed_rest(role, Some(5_000)),
        ];
        assert_eq!(steps(&mut connection, role, &bytes.concat(), 0), expected);

        // What is due comes after what is parsed.
        let mut connection = started(role, TIMED);
        let bytes = to(role, FIN | TEXT, b"a");
        let late = [See(text("a")), Wait(Some(30_000))];
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
        let seen = [See(ping(b"1")), See(text("a")), See(closed(1005, "")), Wait(Some(5_000))];
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
                See(text("a")),
                See(ping(b"?")),
                Send(by(role, FIN | PONG, b"?")),
                See(closed(1000, "")),
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
        assert_eq!(step(&mut connection, role, &mut Input::new(&mut bytes), 0), See(text("a")));
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
            let first = [See(pong(b"")), Wait(Some(110_000))];
            assert_eq!(steps(&mut connection, role, &bytes, 100_000), first);
            // As if it were 100,000 still: for what is due, and for what has come.
            assert_eq!(steps(&mut connection, role, b"", 100_000 - back), [Wait(Some(110_000))]);
            let again = steps(&mut connection, role, &bytes, 100_000 - back);
            assert_eq!(again, [See(pong(b"")), Wait(Some(110_000))]);
            close(&mut connection, role);
            assert_eq!(steps(&mut connection, role, b"", 100_000 - back), [Wait(Some(105_000))]);
        }
        let mut connection = started(role, config);
        let bytes = to(role, FIN | PONG, b"");
        steps(&mut connection, role, &bytes, 100_000);
        let wrapped = 100_000 - 60_001;
        let again = steps(&mut connection, role, &bytes, wrapped);
        assert_eq!(again, [See(pong(b"")), Wait(Some(wrapped + 10_000))]);
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
            let seen = See(pong(b""));
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
            assert_eq!(got, [See(text("a")), Wait(Some(now + 60_000))], "data");

            let mut connection = started(role, CONFIG);
            close(&mut connection, role);
            steps(&mut connection, role, b"", 0);
            let got = steps(&mut connection, role, &to(role, FIN | CLOSE, b""), 5_000 + late);
            assert_eq!(got, [See(closed_by_us(1005, "")), Shutdown(Some(5_000 + late))], "Close");
            assert_eq!(steps(&mut connection, role, b"", 5_000 + late), [Done]);
            assert!(connection.sender.is_clean());
        }
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
                [See(failed(ProtocolError::PongTimeout)), Send(close), Shutdown(Some(until))]
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
        assert_eq!(rest[0], See(failed(ProtocolError::PongTimeout)));
    }
}

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
        assert_eq!(rest, [See(ping(b"?")), sent, Shutdown(Some(0))]);
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
        let seen = [See(text("a")), See(ping(b"?")), See(closed(1000, "")), Done];
        assert_eq!(steps(&mut connection, role, &bytes.concat(), 9_000), seen);
        assert!(!connection.sender.is_clean());
        let mut connection = started(role, CONFIG);
        connection.sender.receive_reset();
        let seen = [See(failed(ProtocolError::ReservedOpcode(0xf))), Done];
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
        assert_eq!(step(&mut connection, role, &mut input, 0), See(closed(1000, "")));
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
        assert_eq!(step(&mut connection, role, &mut input, 0), See(closed_by_us(1000, "")));
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
        // This side's Close frame is encoded, the stream fails, and the peer's was on its way.
        let mut connection = started(role, CONFIG);
        close(&mut connection, role);
        connection.sender.receive_reset();
        let seen = [See(closed_by_us(1005, "")), Done];
        assert_eq!(steps(&mut connection, role, &frame, 0), seen);
        assert!(!connection.sender.is_clean());
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
