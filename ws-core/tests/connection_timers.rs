//! Time-outs: keepalive (RFC 6455 §5.5.2), idle connections, and the end of TCP (RFC 6455 §7.1.1).

mod common;

use core::time::Duration;

use common::*;
use ws_core::connection::{Ending, Receiver, Sender, State};
use ws_core::{CloseCode, Config, Connection, DataFrame, Event, Input, Instant, Role};

/// Origins of the driver's clock, from which each case runs: at zero, and over the wrap.
const ORIGINS: [u32; 4] = [0, u32::MAX - 1, u32::MAX - 40_000, i32::MAX as u32 - 5_000];

const fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

struct Clock {
    role: Role,
    connection: Connection,
    origin: u32,
}

impl Clock {
    fn at(&self, millis: u32) -> Instant {
        Instant::from_millis(self.origin.wrapping_add(millis))
    }

    /// The next deadline, in milliseconds since the connection was opened.
    fn next(&self) -> Option<u32> {
        self.connection.poll_timeout().map(|at| at.as_millis().wrapping_sub(self.origin))
    }

    /// Tells the time and sends what is due then.
    fn pass(&mut self, millis: u32) -> Vec<u8> {
        self.connection.handle_timeout(self.at(millis));
        drain(&mut self.connection, self.role)
    }

    fn receive(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let mut input = Input::new(&mut bytes);
        while self.connection.receive(&mut input).unwrap().is_some() {}
        drain(&mut self.connection, self.role)
    }

    fn ping(&self) -> Vec<u8> {
        by(self.role, FIN | PING, b"")
    }
}

/// Runs a case for both roles and every origin.
fn each(config: Config, case: impl Fn(Clock)) {
    for role in ROLES {
        for origin in ORIGINS {
            let mut connection = Connection::new(role, config);
            connection.opened(Instant::from_millis(origin));
            case(Clock { role, connection, origin });
        }
    }
}

#[test]
fn no_deadline_by_default() {
    each(Config::new(), |mut clock| {
        assert_eq!(clock.next(), None);
        assert_eq!(clock.pass(i32::MAX as u32), b"");
        assert_eq!((clock.next(), clock.connection.state()), (None, State::Open));
    });
}

// Without `opened` the clock's origin counts.
#[test]
fn an_unopened_connection_counts_from_the_origin() {
    let connection = Connection::server(Config::new().ping_interval(seconds(10)));
    assert_eq!(connection.poll_timeout(), Some(Instant::from_millis(10_000)));
}

// RFC 6455 §5.5.2: a Ping after the peer's silence; whatever it sends is a sign of life
#[test]
fn keepalive_ping() {
    each(Config::new().ping_interval(seconds(10)).pong_timeout(seconds(3)), |mut clock| {
        assert_eq!(clock.next(), Some(10_000));
        assert_eq!(clock.pass(9_999), b"");
        assert_eq!(clock.next(), Some(10_000));
        assert_eq!(clock.pass(10_000), clock.ping());
        assert_eq!(clock.next(), Some(13_000));
        assert_eq!(clock.pass(12_999), b"");
        clock.receive(to(clock.role, FIN | PONG, b""));
        assert_eq!(clock.next(), Some(22_999));
        assert_eq!(clock.pass(22_999), clock.ping());
        // Half a frame will do.
        assert_eq!(clock.pass(25_000), b"");
        clock.receive(to(clock.role, FIN | TEXT, b"abc")[..3].to_vec());
        assert_eq!(clock.next(), Some(35_000));
        assert_eq!(clock.pass(34_000), b"");
        assert_eq!(clock.connection.state(), State::Open);
    });
}

// The deadline moves when it is asked for, not with every frame: an early wake-up does nothing.
#[test]
fn deadline_is_kept_lazily() {
    each(Config::new().ping_interval(seconds(10)), |mut clock| {
        for millis in (0..100_000).step_by(1000) {
            assert_eq!(clock.pass(millis), b"");
            clock.receive(to(clock.role, FIN | TEXT, b"a"));
            assert_eq!(clock.next(), Some(millis + 10_000));
        }
        // Ten wake-ups at deadlines that have moved on meanwhile.
        for _ in 0..10 {
            assert_eq!(clock.pass(100_000), b"");
        }
        assert_eq!(clock.pass(109_000), clock.ping());
    });
}

// A Ping waits for the end of the payload that is under way.
#[test]
fn keepalive_ping_never_inside_a_frame() {
    each(Config::new().ping_interval(seconds(10)), |mut clock| {
        clock.connection.head(DataFrame::BINARY, 2, key(clock.role)).unwrap();
        assert_eq!(clock.pass(10_000), b"");
        clock.connection.mask_payload(&mut [0; 2]).unwrap();
        assert_eq!(drain(&mut clock.connection, clock.role), clock.ping());
    });
}

// Silence after a Ping: the connection is lost, its Close frame can still go out, then TCP ends.
#[test]
fn pong_timeout() {
    each(Config::new().ping_interval(seconds(10)).pong_timeout(seconds(3)), |mut clock| {
        assert_eq!(clock.pass(10_500), clock.ping());
        assert_eq!(clock.next(), Some(13_500));
        clock.connection.handle_timeout(clock.at(13_500));
        let connection = &mut clock.connection;
        assert!(connection.is_lost() && connection.is_finished() && connection.is_closed());
        assert!(!connection.wants_shutdown(), "the Close frame has not been written");
        assert_eq!(connection.poll_timeout(), None);
        let role = clock.role;
        assert_eq!(drain(connection, role), close_by(role, CloseCode::INTERNAL_ERROR));
        assert!(connection.wants_shutdown());
        // It is over, whatever comes.
        assert_eq!(clock.receive(to(role, FIN | CLOSE, b"")), b"");
        assert_eq!(clock.pass(60_000), b"");
        assert_eq!(clock.connection.close_frame(), None);
        assert_eq!(clock.connection.receive_eof(), Ending::Abnormal);
        assert!(clock.connection.is_lost());
    });
}

#[test]
fn silence_is_tolerated_without_a_pong_timeout() {
    each(Config::new().ping_interval(seconds(10)).pong_timeout(None), |mut clock| {
        assert_eq!(clock.pass(10_000), clock.ping());
        assert_eq!(clock.next(), None);
        assert_eq!(clock.pass(900_000), b"");
        assert_eq!(clock.connection.state(), State::Open);
        clock.receive(to(clock.role, FIN | PONG, b""));
        assert_eq!(clock.next(), Some(910_000));
    });
}

// RFC 6455 §7.4.1: 1001; control frames are no activity, data in either direction is
#[test]
fn idle_close_1001() {
    each(Config::new().idle_timeout(seconds(60)), |mut clock| {
        let role = clock.role;
        assert_eq!(clock.next(), Some(60_000));
        assert_eq!(clock.pass(10_000), b"");
        clock.receive(to(role, FIN | PING, b""));
        assert_eq!(clock.next(), Some(60_000));
        clock.receive(to(role, TEXT, b"a"));
        assert_eq!(clock.next(), Some(70_000));
        assert_eq!(clock.pass(20_000), b"");
        clock.connection.head(DataFrame::BINARY, 2, key(role)).unwrap();
        assert_eq!(clock.next(), Some(80_000));
        // A payload that is written slowly is activity, too.
        assert_eq!(clock.pass(75_000), b"");
        clock.connection.mask_payload(&mut [0; 2]).unwrap();
        assert_eq!(clock.next(), Some(135_000));
        assert_eq!(clock.pass(134_999), b"");
        assert_eq!(clock.connection.state(), State::Open);
        assert_eq!(clock.pass(135_000), close_by(role, CloseCode::GOING_AWAY));
        assert_eq!(clock.connection.state(), State::Closing);
        assert!(clock.connection.closed_first() && !clock.connection.is_lost());
        // The closing handshake has its own time.
        assert_eq!(clock.next(), Some(140_000));
        clock.receive(to(role, FIN | CLOSE, b"\x03\xe9"));
        assert_eq!(clock.connection.state(), State::Closed);
        assert_eq!(clock.connection.receive_eof(), Ending::Clean);
    });
}

// A Close that is due waits for the payload; the peer's own may come first. It goes out once.
#[test]
fn idle_close_waits_for_the_payload() {
    each(Config::new().idle_timeout(seconds(60)), |mut clock| {
        let role = clock.role;
        clock.connection.head(DataFrame::BINARY, 2, key(role)).unwrap();
        assert_eq!(clock.pass(60_000), b"");
        assert_eq!(clock.connection.state(), State::Closing);
        assert_eq!(clock.receive(to(role, FIN | PING, b"?")), b"");
        assert_eq!(clock.receive(to(role, FIN | CLOSE, b"\x03\xe8")), b"");
        clock.connection.mask_payload(&mut [0; 2]).unwrap();
        // The Ping came before any Close frame was sent or received (RFC 6455 §5.5.2).
        let expected = [by(role, FIN | PONG, b"?"), close_by(role, CloseCode::GOING_AWAY)].concat();
        assert_eq!(drain(&mut clock.connection, role), expected);
        assert_eq!(clock.connection.state(), State::Closed);
        assert!(!clock.connection.closed_first());
    });
}

// A keepalive Ping that is due when the connection begins to close is not worth sending.
#[test]
fn keepalive_ends_with_the_closing_handshake() {
    each(Config::new().ping_interval(seconds(10)).pong_timeout(seconds(3)), |mut clock| {
        let role = clock.role;
        clock.connection.handle_timeout(clock.at(10_000));
        let sent = clock.receive(to(role, FIN | CLOSE, b""));
        assert_eq!(sent, by(role, FIN | CLOSE, b""));
        assert_eq!(clock.next(), Some(15_000));
        assert_eq!(clock.pass(14_999), b"");
        assert!(!clock.connection.is_lost());
    });
}

// RFC 6455 §5.5.1: the peer does not answer the Close frame
#[test]
fn close_timeout() {
    each(Config::new().ping_interval(seconds(1)), |mut clock| {
        let role = clock.role;
        assert_eq!(clock.pass(500), b"");
        clock.connection.close(None, "", key(role), &mut [0; 6]).unwrap();
        assert_eq!(clock.next(), Some(5_500));
        // What it sends instead does not put the end off.
        assert_eq!(clock.pass(5_000), b"");
        clock.receive(to(role, FIN | TEXT, b"still here"));
        assert_eq!(clock.next(), Some(5_500));
        assert_eq!(clock.pass(5_499), b"");
        assert!(!clock.connection.is_finished());
        assert_eq!(clock.pass(5_500), b"");
        assert!(clock.connection.is_finished() && clock.connection.wants_shutdown());
        assert!(clock.connection.is_closed() && !clock.connection.is_lost());
        assert_eq!((clock.next(), clock.connection.receive_eof()), (None, Ending::Abnormal));
    });
}

// The first Close frame of the two starts the time.
#[test]
fn close_timeout_counts_from_the_first_close() {
    each(Config::new(), |mut clock| {
        clock.connection.close(None, "", key(clock.role), &mut [0; 6]).unwrap();
        assert_eq!(clock.pass(4_000), b"");
        clock.receive(to(clock.role, FIN | CLOSE, b""));
        clock.connection.fail(ws_core::ProtocolError::InvalidUtf8);
        assert_eq!(clock.next(), Some(5_000));
    });
}

// RFC 6455 §7.1.1: a client waits for the server to end TCP, and not for ever
#[test]
fn client_waits_then_times_out() {
    each(Config::new().close_timeout(seconds(2)), |mut clock| {
        let role = clock.role;
        assert_eq!(clock.pass(1_000), b"");
        assert_eq!(clock.receive(to(role, FIN | CLOSE, b"")), by(role, FIN | CLOSE, b""));
        assert_eq!(clock.connection.wants_shutdown(), role == Role::Server);
        assert_eq!(clock.next(), Some(3_000));
        assert_eq!(clock.pass(3_000), b"");
        assert!(clock.connection.is_finished() && clock.connection.wants_shutdown());
        assert_eq!(clock.connection.receive_eof(), Ending::Clean);
    });
}

// An answer that cannot be written: given up, and nothing is offered any more.
#[test]
fn close_timeout_while_the_output_is_stuck() {
    each(Config::new(), |mut clock| {
        let role = clock.role;
        clock.connection.head(DataFrame::BINARY, 2, key(role)).unwrap();
        assert_eq!(
            clock.receive([to(role, FIN | PING, b""), to(role, FIN | CLOSE, b"")].concat()),
            b""
        );
        assert_eq!(clock.next(), Some(5_000));
        assert_eq!(clock.pass(5_000), b"");
        assert!(clock.connection.is_finished() && clock.connection.wants_shutdown());
        clock.connection.mask_payload(&mut [0; 2]).unwrap();
        assert!(!clock.connection.wants_transmit());
        assert_eq!(drain(&mut clock.connection, role), b"");
        assert_eq!(clock.connection.receive_eof(), Ending::Abnormal);
    });
}

#[test]
fn no_close_timeout_waits_for_ever() {
    each(Config::new().close_timeout(None).ping_interval(seconds(1)), |mut clock| {
        clock.connection.close(None, "", key(clock.role), &mut [0; 6]).unwrap();
        assert_eq!(clock.next(), None);
        assert_eq!(clock.pass(i32::MAX as u32), b"");
        assert!(!clock.connection.is_finished());
    });
}

// The earlier of two deadlines, also over the wrap
#[test]
fn the_first_deadline_counts() {
    for (ping, idle) in [(10, 60), (60, 10)] {
        let config = Config::new().ping_interval(seconds(ping)).idle_timeout(seconds(idle));
        each(config, |mut clock| {
            assert_eq!(clock.next(), Some(10_000));
            let expected =
                if ping == 10 { clock.ping() } else { close_by(clock.role, CloseCode::GOING_AWAY) };
            assert_eq!(clock.pass(10_000), expected);
        });
    }
}

// A clock that runs backwards makes nothing due.
#[test]
fn time_that_runs_backwards_is_harmless() {
    let config = Config::new().ping_interval(seconds(10)).idle_timeout(seconds(10));
    each(config, |mut clock| {
        assert_eq!(clock.pass(5_000), b"");
        clock.receive(to(clock.role, FIN | TEXT, b""));
        assert_eq!(clock.pass(1_000), b"");
        assert_eq!(clock.connection.state(), State::Open);
        assert_eq!(clock.next(), Some(15_000));
    });
}

// 24 days are the longest, and are seen to be over by a driver that comes late; no time is no end.
#[test]
fn time_outs_are_capped() {
    const DAY: u32 = 24 * 60 * 60 * 1000;
    for long in [24 * 86_400, 400 * 86_400, u64::MAX] {
        each(Config::new().idle_timeout(seconds(long)), |mut clock| {
            assert_eq!(clock.next(), Some(24 * DAY));
            assert_eq!(clock.pass(24 * DAY - 1), b"");
            let late = 24 * DAY + DAY / 2;
            assert_eq!(clock.pass(late), b"", "it may have to read first");
            assert_eq!(clock.next(), Some(late + 1000));
            assert_eq!(clock.pass(late + 2000), close_by(clock.role, CloseCode::GOING_AWAY));
        });
    }
    each(Config::new().idle_timeout(Some(Duration::ZERO)), |clock| {
        assert_eq!(clock.next(), Some(1));
    });
}

// The deadline that is asked for and the one that is kept are the same, however late the driver looks.
#[test]
fn a_deadline_that_has_passed_comes_to_something() {
    const DAY: u32 = 24 * 60 * 60 * 1000;
    for late in [19, 21, 24, 100, 400] {
        each(Config::new().idle_timeout(seconds(23 * 86_400)), |mut clock| {
            let now = (23 * DAY).wrapping_add(late * 60 * 60 * 1000);
            for _ in 0..3 {
                clock.connection.handle_timeout(clock.at(now));
                let next = clock.connection.poll_timeout().unwrap();
                let wait = next.saturating_since(clock.at(now));
                assert!(!wait.is_zero(), "{late} hours late: a driver would not wait at all");
            }
        });
    }
}

// What lies in the stream may be data, too.
#[test]
fn data_that_waited_keeps_a_connection_from_being_idle() {
    each(Config::new().idle_timeout(seconds(8)), |mut clock| {
        assert_eq!(clock.pass(20_000), b"");
        clock.receive(to(clock.role, FIN | PING, b""));
        assert_eq!(clock.next(), Some(21_000), "a Ping is no data");
        clock.receive(to(clock.role, FIN | TEXT, b"a"));
        assert_eq!(clock.next(), Some(28_000));
        assert_eq!(clock.pass(28_000), close_by(clock.role, CloseCode::GOING_AWAY));
    });
}

// A Ping that had to wait for the end of a payload has a deadline of its own.
#[test]
fn a_ping_that_waited_has_its_deadline_and_its_grace() {
    let config = Config::new().ping_interval(seconds(10)).pong_timeout(seconds(3));
    each(config, |mut clock| {
        if clock.role == Role::Client {
            return;
        }
        clock.connection.head(DataFrame::BINARY, 2, None).unwrap();
        clock.connection.payload_written(1).unwrap();
        assert_eq!(clock.pass(10_000), b"");
        assert_eq!(clock.pass(14_000), b"");
        assert!(!clock.connection.is_lost(), "it is late");
        clock.connection.payload_written(1).unwrap();
        assert_eq!(clock.pass(14_001), clock.ping());
        assert_eq!(clock.next(), Some(17_001));
        assert_eq!(clock.pass(17_002), b"");
        assert!(!clock.connection.is_lost(), "it is late");
        assert_eq!(clock.next(), Some(17_377));
        clock.connection.handle_timeout(clock.at(17_377));
        assert!(clock.connection.is_lost());
    });
}

// A peer that takes a long payload is alive, though its Pong cannot be asked for before the frame ends, nor
// its Close answered.
#[test]
fn who_takes_a_long_payload_is_alive() {
    let config =
        Config::new().ping_interval(seconds(10)).pong_timeout(seconds(3)).close_timeout(seconds(5));
    for closing in [false, true] {
        each(config, |mut clock| {
            if clock.role == Role::Client {
                return; // a client's payload is counted as it is masked
            }
            clock.connection.head(DataFrame::BINARY, 1_000, None).unwrap();
            if closing {
                clock.receive(to(clock.role, FIN | CLOSE, b""));
            }
            for second in 1..=60 {
                clock.connection.payload_written(10).unwrap();
                assert_eq!(clock.pass(second * 1000), b"", "no frame inside another");
                assert!(!clock.connection.is_finished() && !clock.connection.wants_shutdown());
            }
            // And no longer than that.
            clock.connection.payload_written(10).unwrap();
            let more = if closing { 5_000 } else { 3_000 };
            assert_eq!(clock.pass(60_000 + more), b"");
            assert!(clock.connection.is_finished());
        });
    }
}

// A driver that was held up: the Pong was there in time, whether it is read before the time is told or after.
#[test]
fn a_pong_that_waited_counts() {
    for told_first in [true, false] {
        each(Config::new().ping_interval(seconds(10)).pong_timeout(seconds(3)), |mut clock| {
            assert_eq!(clock.pass(10_000), clock.ping());
            let late = clock.at(20_000);
            if told_first {
                clock.connection.handle_timeout(late);
                assert_eq!(clock.next(), Some(20_375), "an eighth more");
            } else {
                clock.connection.set_now(late);
            }
            clock.receive(to(clock.role, FIN | PONG, b""));
            clock.connection.handle_timeout(late);
            assert!(!clock.connection.is_lost());
            assert_eq!(clock.next(), Some(30_000));
        });
    }
}

#[test]
fn a_late_driver_puts_the_deadline_off_once() {
    for again in [20_375, 20_376, 40_000] {
        each(Config::new().ping_interval(seconds(10)).pong_timeout(seconds(3)), |mut clock| {
            assert_eq!(clock.pass(10_000), clock.ping());
            assert_eq!(clock.pass(20_000), b"");
            assert_eq!(clock.pass(20_374), b"");
            assert!(!clock.connection.is_lost());
            clock.connection.handle_timeout(clock.at(again));
            assert!(clock.connection.is_lost());
        });
    }
}

/// One wake-up of a driver of the two halves, as `Connection::split` prescribes it.
fn wake_halves(
    receiver: &mut Receiver,
    sender: &mut Sender,
    role: Role,
    now: Instant,
    bytes: &mut [u8],
) -> Vec<u8> {
    sender.set_now(now);
    let mut input = Input::new(bytes);
    loop {
        let before = input.consumed();
        let event = receiver.receive(&mut input);
        if input.consumed() != before {
            sender.received(matches!(event, Ok(Some(Event::Data(_)))));
        }
        if let Some(reply) = receiver.take_reply() {
            sender.reply(reply);
        }
        if !matches!(event, Ok(Some(_))) {
            break;
        }
    }
    sender.handle_timeout(now);
    if sender.is_finished() {
        receiver.end();
    }
    let mut output = Vec::new();
    while sender.wants_transmit() {
        let mut frame = [0; 131];
        let len = sender.poll_transmit(&mut frame, key(role)).unwrap();
        output.extend_from_slice(&frame[..len]);
    }
    output
}

#[test]
fn split_halves_keep_time_as_the_connection_does() {
    let config =
        Config::new().ping_interval(seconds(20)).pong_timeout(seconds(5)).idle_timeout(seconds(70));
    each(config, |mut clock| {
        let role = clock.role;
        let (mut receiver, mut sender) = Connection::new(role, config).split();
        sender.opened(clock.at(0));
        let (pong, ping) = (to(role, FIN | PONG, b""), to(role, FIN | PING, b"x"));
        let text = to(role, FIN | TEXT, b"abc");
        for (millis, bytes, sent) in [
            (20_000, &[][..], by(role, FIN | PING, b"")),
            (26_000, &pong, vec![]),
            (46_000, &[], by(role, FIN | PING, b"")),
            (50_000, &text[..3], vec![]),
            (69_000, &text[3..], vec![]),
            (80_000, &ping, by(role, FIN | PONG, b"x")),
            (100_000, &[], by(role, FIN | PING, b"")),
            (104_000, &pong, vec![]),
            (124_000, &[], by(role, FIN | PING, b"")),
            (129_000, &[], close_by(role, CloseCode::INTERNAL_ERROR)),
        ] {
            let now = clock.at(millis);
            let output = wake_halves(&mut receiver, &mut sender, role, now, &mut bytes.to_vec());
            assert_eq!(output, sent, "at {millis}");
            assert_eq!(sender.is_lost(), millis == 129_000, "at {millis}");
            clock.connection.set_now(now);
            let mut bytes = bytes.to_vec();
            let mut input = Input::new(&mut bytes);
            while clock.connection.receive(&mut input).unwrap().is_some() {}
            assert_eq!(clock.pass(millis), sent, "at {millis}");
            assert_eq!(sender.poll_timeout(), clock.connection.poll_timeout(), "at {millis}");
            assert_eq!(sender.state(), clock.connection.state(), "at {millis}");
        }
        receiver.end();
        sender.end();
        assert!(sender.is_finished());
    });
}
