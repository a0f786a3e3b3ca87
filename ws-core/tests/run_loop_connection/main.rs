//! The rules of the run loop, as they hold without an allocator. Each test has the number of its rule.

#[path = "../common/mod.rs"]
mod common;

mod asking;
mod endings;
mod time;

use core::time::Duration;

use common::*;
use ws_core::{
    CloseCode, Config, Connection, DataFrame, Input, Instant, ProtocolError, Role, Step,
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
enum Answer {
    Told(Seen),
    /// A frame is encoded.
    Send(Vec<u8>),
    /// Until when, in milliseconds.
    Shutdown(Option<u32>),
    Wait(Option<u32>),
    Done,
}

use Answer::{Done, Send, Shutdown, Told, Wait};

/// Asks once, and does it except for a shutdown.
fn step(connection: &mut Connection, role: Role, input: &mut Input<'_>, now: u32) -> Answer {
    let millis = |until: Option<Instant>| until.map(Instant::as_millis);
    let step = ask(connection, input, at(now));
    let receiver = &connection.receiver;
    Told(match step {
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
fn steps(connection: &mut Connection, role: Role, bytes: &[u8], now: u32) -> Vec<Answer> {
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
fn closed_rest(role: Role, until: Option<u32>) -> Answer {
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
