//! Time-outs: keepalive (RFC 6455 §5.5.2), idle connections, and the end of TCP (RFC 6455 §7.1.1).

mod common;

use core::time::Duration;

use common::*;
use ws_core::connection::{Receiver, Sender};
use ws_core::{
    CloseCode, Config, Connection, DataFrame, Input, Instant, ProtocolError, Role, Step,
};

/// Origins of the driver's clock, from which each case runs: at zero, and over the wrap.
const ORIGINS: [u32; 4] = [0, u32::MAX - 1, u32::MAX - 40_000, i32::MAX as u32 - 5_000];

const fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

/// What is left to do when all is told and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Wait,
    Shutdown,
    Done,
}

/// A connection and the time, in milliseconds since it was asked first.
struct Clock {
    role: Role,
    connection: Connection,
    origin: u32,
    now: u32,
    rest: Rest,
    until: Option<u32>,
    /// The peer did not answer a Ping: how often that was told.
    lost: usize,
}

impl Clock {
    fn new(role: Role, config: Config, origin: u32) -> Self {
        let connection = Connection::new(role, config);
        let mut clock =
            Self { role, connection, origin, now: 0, rest: Rest::Wait, until: None, lost: 0 };
        assert_eq!(clock.pass(0), b"");
        clock
    }

    /// Tells the time and sends what is due then.
    fn pass(&mut self, millis: u32) -> Vec<u8> {
        self.now = millis;
        self.receive(vec![])
    }

    /// Receives at the time that was told last, and sends what is due.
    fn receive(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let now = Instant::from_millis(self.origin.wrapping_add(self.now));
        let mut input = Input::new(&mut bytes);
        let mut output = Vec::new();
        let (rest, until) = loop {
            match ask(&mut self.connection, &mut input, now) {
                Step::Data(_) | Step::Ping | Step::Pong | Step::Close => {}
                Step::Failed(ProtocolError::PongTimeout) => self.lost += 1,
                Step::Failed(error) => panic!("{error}"),
                Step::Transmit => output.extend(transmit(&mut self.connection, self.role)),
                Step::Wait(until) => break (Rest::Wait, until),
                Step::Shutdown(until) => break (Rest::Shutdown, until),
                Step::Done => break (Rest::Done, None),
            }
        };
        self.rest = rest;
        self.until = until.map(|at| at.as_millis().wrapping_sub(self.origin));
        output
    }

    /// The stream is not waited for any longer: it is to be shut down without waiting, and then to be dropped.
    #[track_caller]
    fn is_over(&mut self) {
        assert_eq!((self.rest, self.until), (Rest::Shutdown, Some(self.now)));
        for _ in 0..3 {
            assert_eq!(self.pass(self.now), b"");
            assert_eq!(self.rest, Rest::Done);
        }
    }

    #[track_caller]
    fn waits_until(&self, until: impl Into<Option<u32>>) {
        assert_eq!((self.rest, self.until), (Rest::Wait, until.into()));
    }

    /// The stream ends now. Returns whether the connection was closed cleanly.
    fn end(&mut self) -> bool {
        self.connection.receiver.receive_eof();
        self.pass(self.now);
        self.connection.sender.is_clean()
    }

    fn ping(&self) -> Vec<u8> {
        by(self.role, FIN | PING, b"")
    }
}

/// Runs a case for both roles and every origin.
fn each(config: Config, case: impl Fn(Clock)) {
    for role in ROLES {
        for origin in ORIGINS {
            case(Clock::new(role, config, origin));
        }
    }
}

#[test]
fn no_deadline_by_default() {
    each(Config::new(), |mut clock| {
        clock.waits_until(None);
        assert_eq!(clock.pass(i32::MAX as u32), b"");
        clock.waits_until(None);
        assert!(clock.connection.sender.is_open());
    });
}

// However late the clock is asked first: nothing is due by then.
#[test]
fn the_first_answer_of_the_clock_starts_all_time_outs() {
    for first in [0, 1, 1_000_000, u32::MAX - 5] {
        let config = Config::new().ping_interval(seconds(10)).idle_timeout(seconds(20));
        let mut connection = Connection::server(config);
        let step = idle(&mut connection, Instant::from_millis(first));
        let Step::Wait(Some(until)) = step else { panic!("{step:?}") };
        assert_eq!(until, Instant::from_millis(first.wrapping_add(10_000)));
        // What is sent, received or closed before that answer counts from it.
        let mut connection = Connection::server(Config::new());
        connection.sender.start_close(None, "", None, &mut [0; 6]).unwrap();
        let step = idle(&mut connection, Instant::from_millis(first));
        let Step::Wait(Some(until)) = step else { panic!("{step:?}") };
        assert_eq!(until, Instant::from_millis(first.wrapping_add(5_000)));
    }
}

// RFC 6455 §5.5.2: a Ping after the peer's silence; whatever it sends is a sign of life
#[test]
fn keepalive_ping() {
    each(Config::new().ping_interval(seconds(10)).pong_timeout(seconds(3)), |mut clock| {
        clock.waits_until(10_000);
        assert_eq!(clock.pass(9_999), b"");
        clock.waits_until(10_000);
        assert_eq!(clock.pass(10_000), clock.ping());
        clock.waits_until(13_000);
        assert_eq!(clock.pass(12_999), b"");
        clock.receive(to(clock.role, FIN | PONG, b""));
        clock.waits_until(22_999);
        assert_eq!(clock.pass(22_999), clock.ping());
        // Half a frame will do.
        assert_eq!(clock.pass(25_000), b"");
        clock.receive(to(clock.role, FIN | TEXT, b"abc")[..3].to_vec());
        clock.waits_until(35_000);
        assert_eq!(clock.pass(34_000), b"");
        assert!(clock.connection.sender.is_open());
    });
}

// RFC 6455 §5.5.2, §5.5.3: only the peer shows that it is there.
#[test]
fn sent_data_does_not_put_off_the_deadline_of_a_pong() {
    each(Config::new().ping_interval(seconds(10)).pong_timeout(seconds(3)), |mut clock| {
        assert_eq!(clock.pass(10_000), clock.ping());
        for now in [11_000, 12_999] {
            let key = key(clock.role);
            clock.connection.sender.encode(DataFrame::BINARY, b"a", key, &mut [0; 16]).unwrap();
            assert_eq!(clock.pass(now), b"");
            clock.waits_until(13_000);
        }
        clock.pass(13_000);
        assert_eq!(clock.lost, 1);
    });
}

// What is written of a payload is data, but a piece of no bytes is not.
#[test]
fn an_empty_piece_of_a_payload_puts_nothing_off() {
    each(Config::new().idle_timeout(seconds(10)), |mut clock| {
        clock.connection.sender.head(DataFrame::BINARY, 2, key(clock.role)).unwrap();
        assert_eq!(clock.pass(0), b"");
        clock.waits_until(10_000);
        for (piece, until) in [(&mut [][..], 10_000), (&mut [7], 16_000)] {
            clock.connection.sender.mask_payload(piece).unwrap();
            assert_eq!(clock.pass(6_000), b"");
            clock.waits_until(until);
        }
    });
}

// The deadline moves when it is asked for, not with every frame: an early wake-up does nothing.
#[test]
fn deadline_is_kept_lazily() {
    each(Config::new().ping_interval(seconds(10)), |mut clock| {
        for millis in (0..100_000).step_by(1000) {
            assert_eq!(clock.pass(millis), b"");
            clock.receive(to(clock.role, FIN | TEXT, b"a"));
            clock.waits_until(millis + 10_000);
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
        clock.connection.sender.head(DataFrame::BINARY, 2, key(clock.role)).unwrap();
        assert_eq!(clock.pass(10_000), b"");
        clock.connection.sender.mask_payload(&mut [0; 2]).unwrap();
        assert_eq!(clock.pass(10_000), clock.ping());
    });
}

// Silence after a Ping: the connection is lost, its Close frame can still go out, then TCP ends.
#[test]
fn pong_timeout() {
    each(Config::new().ping_interval(seconds(10)).pong_timeout(seconds(3)), |mut clock| {
        let role = clock.role;
        assert_eq!(clock.pass(10_500), clock.ping());
        clock.waits_until(13_500);
        assert_eq!(clock.pass(13_500), close_by(role, CloseCode::INTERNAL_ERROR));
        assert_eq!(clock.lost, 1);
        clock.is_over();
        // It is over, whatever comes.
        assert_eq!(clock.receive(to(role, FIN | CLOSE, b"")), b"");
        assert_eq!(clock.pass(60_000), b"");
        assert_eq!((clock.rest, clock.lost), (Rest::Done, 1));
        assert_eq!(clock.connection.receiver.close_frame(), None);
        assert!(!clock.end() && clock.connection.sender.closed_first());
        assert_eq!((clock.rest, clock.lost), (Rest::Done, 1));
    });
}

#[test]
fn silence_is_tolerated_without_a_pong_timeout() {
    each(Config::new().ping_interval(seconds(10)).pong_timeout(None), |mut clock| {
        assert_eq!(clock.pass(10_000), clock.ping());
        clock.waits_until(None);
        assert_eq!(clock.pass(900_000), b"");
        assert!(clock.connection.sender.is_open());
        clock.receive(to(clock.role, FIN | PONG, b""));
        clock.waits_until(910_000);
    });
}

// RFC 6455 §7.4.1: 1001; control frames are no activity, data in either direction is
#[test]
fn idle_close_1001() {
    each(Config::new().idle_timeout(seconds(60)), |mut clock| {
        let role = clock.role;
        clock.waits_until(60_000);
        assert_eq!(clock.pass(10_000), b"");
        assert_eq!(clock.receive(to(role, FIN | PING, b"")), by(role, FIN | PONG, b""));
        clock.waits_until(60_000);
        assert_eq!(clock.receive(to(role, TEXT, b"a")), b"");
        clock.waits_until(70_000);
        assert_eq!(clock.pass(20_000), b"");
        clock.connection.sender.head(DataFrame::BINARY, 2, key(role)).unwrap();
        assert_eq!(clock.pass(20_000), b"");
        clock.waits_until(80_000);
        // A payload that is written slowly is activity, too.
        assert_eq!(clock.pass(75_000), b"");
        clock.connection.sender.mask_payload(&mut [0; 2]).unwrap();
        assert_eq!(clock.pass(75_000), b"");
        clock.waits_until(135_000);
        assert_eq!(clock.pass(134_999), b"");
        assert!(clock.connection.sender.is_open());
        assert_eq!(clock.pass(135_000), close_by(role, CloseCode::GOING_AWAY));
        assert!(!clock.connection.sender.is_open());
        assert!(clock.connection.sender.closed_first());
        // The closing handshake has its own time.
        clock.waits_until(140_000);
        assert_eq!(clock.receive(to(role, FIN | CLOSE, b"\x03\xe9")), b"");
        assert_eq!(clock.rest, if role == Role::Server { Rest::Shutdown } else { Rest::Wait });
        assert!(clock.end());
        clock.is_over();
        assert_eq!(clock.lost, 0);
    });
}

// A Close that is due waits for the payload; the peer's own may come first. It goes out once.
#[test]
fn idle_close_waits_for_the_payload() {
    each(Config::new().idle_timeout(seconds(60)), |mut clock| {
        let role = clock.role;
        clock.connection.sender.head(DataFrame::BINARY, 2, key(role)).unwrap();
        assert_eq!(clock.pass(0), b"");
        assert_eq!(clock.pass(60_000), b"");
        assert!(!clock.connection.sender.is_open());
        assert_eq!(clock.receive(to(role, FIN | PING, b"?")), b"");
        assert_eq!(clock.receive(to(role, FIN | CLOSE, b"\x03\xe8")), b"");
        clock.connection.sender.mask_payload(&mut [0; 2]).unwrap();
        // The Ping came before any Close frame was sent or received (RFC 6455 §5.5.2).
        let expected = [by(role, FIN | PONG, b"?"), close_by(role, CloseCode::GOING_AWAY)].concat();
        assert_eq!(clock.pass(60_000), expected);
        assert_eq!(clock.rest, if role == Role::Server { Rest::Shutdown } else { Rest::Wait });
        assert!(!clock.connection.sender.closed_first());
        assert!(clock.end());
    });
}

// A keepalive Ping that waits for the end of a payload is not worth sending when the connection begins to close.
#[test]
fn keepalive_ends_with_the_closing_handshake() {
    each(Config::new().ping_interval(seconds(10)).pong_timeout(seconds(3)), |mut clock| {
        let role = clock.role;
        clock.connection.sender.head(DataFrame::BINARY, 2, key(role)).unwrap();
        assert_eq!(clock.pass(10_000), b"");
        assert_eq!(clock.receive(to(role, FIN | CLOSE, b"")), b"");
        clock.connection.sender.mask_payload(&mut [0; 2]).unwrap();
        assert_eq!(clock.pass(10_000), by(role, FIN | CLOSE, b""));
        assert_eq!(clock.until, Some(15_000));
        assert_eq!(clock.pass(14_999), b"");
        assert_eq!((clock.until, clock.lost), (Some(15_000), 0));
    });
}

// RFC 6455 §5.5.1: the peer does not answer the Close frame
#[test]
fn close_timeout() {
    each(Config::new().ping_interval(seconds(1)), |mut clock| {
        let role = clock.role;
        assert_eq!(clock.pass(500), b"");
        clock.connection.sender.start_close(None, "", key(role), &mut [0; 6]).unwrap();
        assert_eq!(clock.pass(500), b"");
        clock.waits_until(5_500);
        // What it sends instead does not put the end off.
        assert_eq!(clock.pass(5_000), b"");
        assert_eq!(clock.receive(to(role, FIN | TEXT, b"still here")), b"");
        clock.waits_until(5_500);
        assert_eq!(clock.pass(5_499), b"");
        clock.waits_until(5_500);
        assert_eq!(clock.pass(5_500), b"");
        clock.is_over();
        assert!(!clock.end());
        assert_eq!((clock.rest, clock.lost), (Rest::Done, 0));
    });
}

// The first Close frame of the two starts the time.
#[test]
fn close_timeout_counts_from_the_first_close() {
    each(Config::new(), |mut clock| {
        clock.connection.sender.start_close(None, "", key(clock.role), &mut [0; 6]).unwrap();
        assert_eq!(clock.pass(0), b"");
        assert_eq!(clock.pass(4_000), b"");
        assert_eq!(clock.receive(to(clock.role, FIN | CLOSE, b"")), b"");
        let Connection { receiver, sender, .. } = &mut clock.connection;
        receiver.fail(sender, ProtocolError::InvalidUtf8);
        assert_eq!(clock.pass(4_000), b"");
        assert_eq!(clock.until, Some(5_000));
    });
}

// RFC 6455 §7.1.1: a client waits for the server to end TCP, and not for ever; a server for the client
#[test]
fn client_waits_then_times_out() {
    each(Config::new().close_timeout(seconds(2)), |mut clock| {
        let role = clock.role;
        assert_eq!(clock.pass(1_000), b"");
        assert_eq!(clock.receive(to(role, FIN | CLOSE, b"")), by(role, FIN | CLOSE, b""));
        assert_eq!(clock.rest, if role == Role::Server { Rest::Shutdown } else { Rest::Wait });
        assert_eq!(clock.until, Some(3_000));
        assert_eq!(clock.pass(3_000), b"");
        clock.is_over();
        assert!(clock.end());
        assert_eq!(clock.rest, Rest::Done);
    });
}

// An answer that cannot be written: given up, and nothing is offered any more.
#[test]
fn close_timeout_while_the_output_is_stuck() {
    each(Config::new(), |mut clock| {
        let role = clock.role;
        clock.connection.sender.head(DataFrame::BINARY, 2, key(role)).unwrap();
        let bytes = [to(role, FIN | PING, b""), to(role, FIN | CLOSE, b"")].concat();
        assert_eq!(clock.receive(bytes), b"");
        clock.waits_until(5_000);
        assert_eq!(clock.pass(5_000), b"");
        assert_eq!(clock.rest, Rest::Shutdown);
        clock.connection.sender.mask_payload(&mut [0; 2]).unwrap();
        assert_eq!(drain(&mut clock.connection, role), b"");
        clock.is_over();
        assert!(!clock.end());
    });
}

#[test]
fn no_close_timeout_waits_for_ever() {
    each(Config::new().close_timeout(None).ping_interval(seconds(1)), |mut clock| {
        clock.connection.sender.start_close(None, "", key(clock.role), &mut [0; 6]).unwrap();
        for millis in [0, 60_000, i32::MAX as u32] {
            assert_eq!(clock.pass(millis), b"");
            clock.waits_until(None);
        }
    });
}

// The earlier of two deadlines, also over the wrap
#[test]
fn the_first_deadline_counts() {
    for (ping, idle) in [(10, 60), (60, 10)] {
        let config = Config::new().ping_interval(seconds(ping)).idle_timeout(seconds(idle));
        each(config, |mut clock| {
            clock.waits_until(10_000);
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
        assert!(clock.connection.sender.is_open());
        clock.waits_until(15_000);
    });
}

// 24 days are the longest, and are seen to be over by a driver that comes late; no time is no end.
#[test]
fn time_outs_are_capped() {
    const DAY: u32 = 24 * 60 * 60 * 1000;
    for long in [24 * 86_400, 400 * 86_400, u64::MAX] {
        each(Config::new().idle_timeout(seconds(long)), |mut clock| {
            clock.waits_until(24 * DAY);
            assert_eq!(clock.pass(24 * DAY - 1), b"");
            let late = 24 * DAY + DAY / 2;
            assert_eq!(clock.pass(late), b"", "it may have to read first");
            clock.waits_until(late + 1000);
            assert_eq!(clock.pass(late + 2000), close_by(clock.role, CloseCode::GOING_AWAY));
        });
    }
    each(Config::new().idle_timeout(Some(Duration::ZERO)), |clock| {
        clock.waits_until(1);
    });
}

// However late the driver looks, it is told to wait, or to do something. After more than 24.8 days a clock of
// 32 bits looks as if it had gone back, and all time-outs start again.
#[test]
fn a_deadline_that_has_passed_comes_to_something() {
    const DAY: u32 = 24 * 60 * 60 * 1000;
    for late in [19, 21, 24, 100, 400] {
        each(Config::new().idle_timeout(seconds(23 * 86_400)), |mut clock| {
            let now = 23 * DAY + late * 60 * 60 * 1000;
            let more = if now > i32::MAX as u32 { 23 * DAY } else { 1000 };
            for _ in 0..3 {
                assert_eq!(clock.pass(now), b"", "{late} hours late: it may have to read first");
                clock.waits_until(now.wrapping_add(more));
            }
            let expected = close_by(clock.role, CloseCode::GOING_AWAY);
            assert_eq!(clock.pass(now.wrapping_add(more)), expected);
        });
    }
}

// What lies in the stream may be data, too.
#[test]
fn data_that_waited_keeps_a_connection_from_being_idle() {
    each(Config::new().idle_timeout(seconds(8)), |mut clock| {
        assert_eq!(clock.pass(20_000), b"");
        clock.receive(to(clock.role, FIN | PING, b""));
        // A Ping is no data.
        clock.waits_until(21_000);
        clock.receive(to(clock.role, FIN | TEXT, b"a"));
        clock.waits_until(28_000);
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
        clock.connection.sender.head(DataFrame::BINARY, 2, None).unwrap();
        clock.connection.sender.payload_written(1).unwrap();
        assert_eq!(clock.pass(10_000), b"");
        assert_eq!(clock.pass(14_000), b"");
        assert_eq!(clock.lost, 0, "it is late");
        clock.connection.sender.payload_written(1).unwrap();
        assert_eq!(clock.pass(14_001), clock.ping());
        clock.waits_until(17_001);
        assert_eq!(clock.pass(17_002), b"");
        assert_eq!(clock.lost, 0, "it is late");
        clock.waits_until(17_377);
        assert_eq!(clock.pass(17_377), close_by(clock.role, CloseCode::INTERNAL_ERROR));
        assert_eq!(clock.lost, 1);
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
            clock.connection.sender.head(DataFrame::BINARY, 1_000, None).unwrap();
            if closing {
                clock.receive(to(clock.role, FIN | CLOSE, b""));
            }
            for second in 1..=60 {
                clock.connection.sender.payload_written(10).unwrap();
                assert_eq!(clock.pass(second * 1000), b"", "no frame inside another");
                assert_eq!((clock.rest, clock.lost), (Rest::Wait, 0));
            }
            // And no longer than that.
            clock.connection.sender.payload_written(10).unwrap();
            assert_eq!(clock.pass(60_000), b"");
            let more = if closing { 5_000 } else { 3_000 };
            clock.waits_until(60_000 + more);
            assert_eq!(clock.pass(60_000 + more), b"");
            clock.is_over();
            assert_eq!(clock.lost, usize::from(!closing));
        });
    }
}

// A driver that was held up: the Pong was there in time, whether it is read before the time is told or after.
#[test]
fn a_pong_that_waited_counts() {
    for told_first in [true, false] {
        each(Config::new().ping_interval(seconds(10)).pong_timeout(seconds(3)), |mut clock| {
            assert_eq!(clock.pass(10_000), clock.ping());
            if told_first {
                assert_eq!(clock.pass(20_000), b"");
                // An eighth more.
                clock.waits_until(20_375);
            } else {
                clock.now = 20_000;
            }
            assert_eq!(clock.receive(to(clock.role, FIN | PONG, b"")), b"");
            clock.waits_until(30_000);
            assert_eq!(clock.lost, 0);
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
            assert_eq!(clock.lost, 0);
            assert_eq!(clock.pass(again), close_by(clock.role, CloseCode::INTERNAL_ERROR));
            assert_eq!(clock.lost, 1);
        });
    }
}

/// One wake-up of a driver whose halves lie apart. Returns what it sends, whether the peer is lost, and until
/// when it waits.
fn wake_halves(
    receiver: &mut Receiver,
    sender: &mut Sender,
    role: Role,
    now: Instant,
    bytes: &mut [u8],
) -> (Vec<u8>, bool, Option<Instant>) {
    let mut input = Input::new(bytes);
    let (mut output, mut lost) = (Vec::new(), false);
    loop {
        match receiver.next(sender, &mut input, || now) {
            Step::Data(_) | Step::Ping | Step::Pong | Step::Close => {}
            Step::Failed(error) => lost = error == ProtocolError::PongTimeout,
            Step::Transmit => {
                let mut frame = [0; 131];
                let len = sender.transmit(&mut frame, key(role)).unwrap();
                output.extend_from_slice(&frame[..len]);
            }
            Step::Wait(until) | Step::Shutdown(until) => return (output, lost, until),
            Step::Done => return (output, lost, None),
        }
    }
}

#[test]
fn halves_that_lie_apart_keep_time_as_the_connection_does() {
    let config =
        Config::new().ping_interval(seconds(20)).pong_timeout(seconds(5)).idle_timeout(seconds(70));
    each(config, |mut clock| {
        let role = clock.role;
        let Connection { mut receiver, mut sender, .. } = Connection::new(role, config);
        let (pong, ping) = (to(role, FIN | PONG, b""), to(role, FIN | PING, b"x"));
        let text = to(role, FIN | TEXT, b"abc");
        for (millis, bytes, sent) in [
            (0, &[][..], vec![]),
            (20_000, &[], by(role, FIN | PING, b"")),
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
            let now = Instant::from_millis(clock.origin.wrapping_add(millis));
            let mut input = bytes.to_vec();
            let (output, lost, until) =
                wake_halves(&mut receiver, &mut sender, role, now, &mut input);
            assert_eq!((output, lost), (sent.clone(), millis == 129_000), "at {millis}");
            clock.now = millis;
            assert_eq!(clock.receive(bytes.to_vec()), sent, "at {millis}");
            let until = until.map(|at| at.as_millis().wrapping_sub(clock.origin));
            assert_eq!(until, clock.until, "at {millis}");
            assert_eq!(sender.is_open(), clock.connection.sender.is_open(), "at {millis}");
        }
        receiver.receive_eof();
        let (output, lost, until) =
            wake_halves(&mut receiver, &mut sender, role, Instant::from_millis(0), &mut []);
        assert_eq!((output, lost, until), (vec![], false, None));
    });
}
