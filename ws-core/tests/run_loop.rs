//! The rules of the run loop, in the order of their numbers: what `next` answers, and when.
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use core::cell::Cell;
use std::time::Duration;

use common::*;
use ends::{Seen, *};
use ws_core::endpoint::{EndpointError, Event, Next, Options, Output};
use ws_core::handshake::{AcceptResponse, ClientRequest, HttpResponse};
use ws_core::{
    CloseCode, Config, Endpoint, Instant, MessageKind, ProtocolError::*, Role, SendError,
};

/// From so much waiting output on, no event is told.
const HOLD: usize = 64 * 1024;
/// The page that a request for one gets.
const ANSWER: HttpResponse<'_> = HttpResponse::new(200).body(b"hello");
/// The same as bytes.
const ANSWERED: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";

fn millis(millis: u64) -> Option<Duration> {
    Some(Duration::from_millis(millis))
}

/// A keepalive Ping after 100 ms, whose Pong may take 50 ms: an eighth of that is 6 ms.
fn keepalive() -> Config {
    Config::new().ping_interval(millis(100)).pong_timeout(millis(50))
}

/// An endpoint that has sent its keepalive Ping at 100 and awaits the Pong until 150.
#[track_caller]
fn pinged(role: Role, config: Config) -> Endpoint {
    let mut endpoint = open(role, config);
    assert_eq!(run(&mut endpoint, 0), [Answer::Wait(true, Some(100))]);
    let sent = Answer::Write(by(role, FIN | PING, b""), true, Some(150));
    assert_eq!(run(&mut endpoint, 100), [sent, Answer::Wait(true, Some(150))]);
    endpoint
}

/// An open server with so many bytes of output in all.
fn loaded(options: impl Into<Options>, len: usize) -> Endpoint {
    let mut server = open(Role::Server, options);
    server.outbound.queue(vec![7; len - 10]).unwrap();
    let left = len - server.outbound.waiting();
    if left > 0 {
        server.outbound.ping(&vec![7; left - 2]).unwrap();
    }
    assert_eq!(server.outbound.waiting(), len);
    server
}

fn receive(endpoint: &mut Endpoint, bytes: &[u8]) {
    assert_eq!(endpoint.inbound.receive(bytes), bytes.len());
}

/// A server that was asked for a page.
fn asked_for_a_page(options: impl Into<Options>) -> Endpoint {
    let mut server = Endpoint::server(options);
    receive(&mut server, PAGE.as_bytes());
    assert_eq!(seen(&mut server), [Seen::Http("GET".into(), "/page".into())]);
    server
}

/// A driver that sleeps for as long as it may, over a stream that takes nothing and gives nothing: what it
/// was told, with the times.
fn sleep(endpoint: &mut Endpoint, from: u32) -> Vec<(u32, Answer)> {
    let (mut now, mut all) = (from, Vec::new());
    for _ in 0..20 {
        let answer = next(endpoint, now);
        all.push((now, answer.clone()));
        let until = match answer {
            Answer::Told(_) => continue,
            Answer::Write(_, _, until) | Answer::Wait(_, until) | Answer::Shutdown(until) => until,
            Answer::Done => return all,
        };
        // The last try to shut down does not wait.
        if until == Some(now) && matches!(answer, Answer::Shutdown(_)) {
            continue;
        }
        let until = until.expect("a deadline");
        assert!(until > now, "it spins at {now}: {all:?}");
        now = until;
    }
    panic!("it does not end: {all:?}");
}

// ---------------------------------------------------------------------------------------- asking

#[test]
fn rule_01_events_are_told_once_and_all_else_until_it_is_done() {
    for role in ROLES {
        let mut endpoint = open(role, Config::new());
        let again = |endpoint: &mut Endpoint, expected: Answer| {
            for _ in 0..3 {
                assert_eq!(next(endpoint, 0), expected);
                assert_eq!(next_ref(endpoint, 0), expected);
            }
        };
        receive(&mut endpoint, &to(role, FIN | TEXT, b"one"));
        assert_eq!(next(&mut endpoint, 0), Answer::Told(text("one")));
        again(&mut endpoint, Answer::Wait(true, None));
        endpoint.outbound.queue("two").unwrap();
        let frame = by(role, FIN | TEXT, b"two");
        again(&mut endpoint, Answer::Write(frame.clone(), true, None));
        write(&mut endpoint, 0, 3);
        again(&mut endpoint, Answer::Write(frame[3..].to_vec(), true, None));
        write(&mut endpoint, 0, 100);
        again(&mut endpoint, Answer::Wait(true, None));
        receive(&mut endpoint, &[0xff; 2]);
        assert_eq!(next(&mut endpoint, 0), Answer::Told(failed(ReservedOpcode(15))));
        let close = close_by(role, CloseCode::PROTOCOL_ERROR);
        again(&mut endpoint, Answer::Write(close, true, Some(5_000)));
        write(&mut endpoint, 0, 100);
        again(&mut endpoint, Answer::Shutdown(Some(5_000)));
        endpoint.outbound.shut_down();
        again(&mut endpoint, Answer::Wait(true, Some(5_000)));
        endpoint.inbound.receive_eof();
        again(&mut endpoint, Answer::Done);
    }
}

#[test]
fn rule_02_what_is_parsed_comes_first_then_what_is_due_then_output_and_the_end() {
    // Parsed, written, shut down, done.
    let mut server = open(Role::Server, Config::new());
    server.outbound.queue("out").unwrap();
    let stream = [
        to(Role::Server, FIN | TEXT, b"one"),
        to(Role::Server, FIN | PING, b"p"),
        to(Role::Server, FIN | CLOSE, b""),
    ];
    receive(&mut server, &stream.concat());
    server.inbound.receive_eof();
    let output = [
        by(Role::Server, FIN | TEXT, b"out"),
        by(Role::Server, FIN | PONG, b"p"),
        by(Role::Server, FIN | CLOSE, b""),
    ];
    let expected = [
        Answer::Told(text("one")),
        Answer::Told(ping(b"p")),
        Answer::Told(closed(1005, "")),
        Answer::Write(output.concat(), false, Some(5_000)),
        Answer::Shutdown(Some(0)),
        Answer::Done,
    ];
    assert_eq!(run(&mut server, 0), expected);

    // What is due comes before the output, and what has come before that.
    let config = Config::new().idle_timeout(millis(100));
    let mut server = open(Role::Server, config);
    server.outbound.queue("out").unwrap();
    let out = by(Role::Server, FIN | TEXT, b"out");
    assert_eq!(next(&mut server, 0), Answer::Write(out.clone(), true, Some(100)));
    receive(&mut server, &to(Role::Server, FIN | PING, b"p"));
    let pong = by(Role::Server, FIN | PONG, b"p");
    let close = close_by(Role::Server, CloseCode::GOING_AWAY);
    let expected = [
        Answer::Told(ping(b"p")),
        Answer::Write([out, pong, close].concat(), true, Some(5_100)),
        Answer::Wait(true, Some(5_100)),
    ];
    assert_eq!(run(&mut server, 100), expected);

    let mut server = pinged(Role::Server, keepalive());
    server.outbound.queue("out").unwrap();
    let close = close_by(Role::Server, CloseCode::INTERNAL_ERROR);
    let expected = [
        Answer::Told(failed(PongTimeout)),
        Answer::Write([by(Role::Server, FIN | TEXT, b"out"), close].concat(), true, Some(5_150)),
        Answer::Shutdown(Some(150)),
        Answer::Done,
    ];
    assert_eq!(run(&mut server, 150), expected);
}

#[test]
fn rule_02_no_event_is_told_while_64_kib_of_output_wait() {
    let messages =
        [to(Role::Server, FIN | TEXT, b"one"), to(Role::Server, FIN | TEXT, b"two")].concat();
    for way in [next, next_ref] {
        // One byte less is no reason.
        let mut server = loaded(Config::new(), HOLD - 1);
        receive(&mut server, &messages);
        assert_eq!(way(&mut server, 0), Answer::Told(text("one")));
        assert_eq!(way(&mut server, 0), Answer::Told(text("two")));

        let mut server = loaded(Config::new(), HOLD);
        let output = |answer: Answer| match answer {
            Answer::Write(output, read, None) => (output.len(), read),
            other => panic!("{other:?}"),
        };
        // Bytes are read up to the next event, and no more while that is held back.
        assert_eq!(output(way(&mut server, 0)), (HOLD, true));
        receive(&mut server, &messages[..5]);
        assert_eq!(output(way(&mut server, 0)), (HOLD, true));
        receive(&mut server, &messages[5..]);
        assert_eq!(output(way(&mut server, 0)), (HOLD, false));
        assert_eq!(server.inbound.receive(b"x"), 0);
        assert!(server.inbound.read_buf().is_empty());
        write(&mut server, 0, 1);
        assert_eq!(way(&mut server, 0), Answer::Told(text("one")));
        assert_eq!(way(&mut server, 0), Answer::Told(text("two")));
        assert_eq!(output(way(&mut server, 0)), (HOLD - 1, true));
    }
}

#[test]
fn rule_02_what_the_driver_has_taken_counts_as_waiting_output() {
    let mut server = loaded(Config::new(), HOLD);
    let mut batch = Output::default();
    server.outbound.take_output(&mut batch);
    // All of the output is in flight.
    assert_eq!(next(&mut server, 0), Answer::Wait(true, None));
    receive(&mut server, &to(Role::Server, FIN | TEXT, b"one"));
    assert_eq!(next(&mut server, 0), Answer::Wait(false, None));
    server.outbound.queue("more").unwrap();
    let more = Answer::Write(by(Role::Server, FIN | TEXT, b"more"), false, None);
    assert_eq!(next(&mut server, 0), more);
    server.outbound.written(6);
    assert_eq!(next(&mut server, 0), more);
    server.outbound.written(1);
    assert_eq!(next(&mut server, 0), Answer::Told(text("one")));
    assert_eq!(
        next(&mut server, 0),
        Answer::Write(by(Role::Server, FIN | TEXT, b"more"), true, None)
    );
    server.outbound.written(HOLD - 7);
    assert_eq!(server.outbound.waiting(), 6);
}

// A long message is one event, and Pings on the way are answered.
#[test]
fn rule_02_one_message_at_most_is_parsed_ahead() {
    let mut server = loaded(Config::new(), HOLD);
    let fragment = to(Role::Server, CONT, &[7; 10_000]);
    receive(&mut server, &to(Role::Server, BINARY, b""));
    for _ in 0..100 {
        let mut rest = &fragment[..];
        while !rest.is_empty() {
            rest = &rest[server.inbound.receive(rest)..];
            assert!(matches!(next(&mut server, 0), Answer::Write(_, true, None)));
        }
    }
    receive(&mut server, &to(Role::Server, FIN | PING, b"p"));
    let Answer::Write(output, false, None) = next(&mut server, 0) else { panic!("held back") };
    let pong = by(Role::Server, FIN | PONG, b"p");
    assert_eq!(output.len(), HOLD + pong.len());
    assert!(output.ends_with(&pong));
    write(&mut server, 0, usize::MAX);
    assert_eq!(seen(&mut server), [ping(b"p")]);
    receive(&mut server, &to(Role::Server, FIN | CONT, b""));
    assert_eq!(seen(&mut server), [binary(&[7; 1_000_000])]);
}

// Two sides that both write before they read do not wait for each other.
#[test]
fn rule_02_two_sides_that_write_first_do_not_wait_for_each_other() {
    /// What a stream holds.
    const PIPE: usize = 20_000;
    let mut ends = [open(Role::Server, Config::new()), open(Role::Client, Config::new())];
    let mut pipes = [Vec::new(), Vec::new()];
    let mut told = [Vec::new(), Vec::new()];
    let message = vec![7; 300_000];
    for end in &mut ends {
        end.outbound.queue(&message[..]).unwrap();
    }
    for _ in 0..1_000 {
        for this in 0..2 {
            let that = 1 - this;
            let [server, client] = &mut pipes;
            let (incoming, outgoing) = if this == 0 { (server, client) } else { (client, server) };
            loop {
                match ends[this].next(|| AT(0)) {
                    Next::Event(event) => told[this].push(own(event)),
                    Next::Write { mut output, read, .. } => {
                        let room = PIPE - outgoing.len();
                        if room > 0 {
                            let count = output.chunk().len().min(room);
                            outgoing.extend_from_slice(&output.chunk()[..count]);
                            output.advance(count);
                            continue;
                        }
                        let Some(read) = read else { break };
                        let count = read.receive(incoming);
                        incoming.drain(..count);
                        if count == 0 {
                            break;
                        }
                    }
                    Next::Wait { read: Some(read), .. } => {
                        let count = read.receive(incoming);
                        incoming.drain(..count);
                        if count == 0 {
                            break;
                        }
                    }
                    other => panic!("{that}: {other:?}"),
                }
            }
        }
    }
    assert!(told.iter().all(|told| *told == [binary(&message)]));
    assert!(ends.iter().all(|end| end.outbound.waiting() == 0));
}

// It would stop a reader behind a writer that is stuck.
#[test]
fn rule_02_a_side_that_only_reads_holds_nothing_back() {
    let Endpoint { mut inbound, mut outbound, .. } = loaded(Config::new(), 2 * HOLD);
    let messages =
        [to(Role::Server, FIN | TEXT, b"one"), to(Role::Server, FIN | TEXT, b"two")].concat();
    assert_eq!(inbound.receive(&messages), messages.len());
    for told in [Answer::Told(text("one")), Answer::Told(text("two")), Answer::Wait(true, None)] {
        assert_eq!(next_inbound(&mut inbound, &mut outbound, 0), told);
    }
}

#[test]
fn rule_03_what_came_before_an_end_is_told_before_done_and_done_stays() {
    for reset in [true, false] {
        let mut server = loaded(Config::new(), 2 * HOLD);
        server.outbound.start_close(CloseCode::NORMAL, "").unwrap();
        let stream = [
            to(Role::Server, FIN | TEXT, b"one"),
            to(Role::Server, FIN | PING, b"p"),
            to(Role::Server, FIN | BINARY, b"two"),
        ];
        receive(&mut server, &stream.concat());
        server.inbound.receive_eof();
        // The output is in their way.
        assert!(matches!(next(&mut server, 0), Answer::Write(_, false, Some(5_000))));
        assert!(matches!(next(&mut server, 4_999), Answer::Write(_, false, Some(5_000))));
        let mut expected = vec![
            Answer::Told(text("one")),
            Answer::Told(ping(b"p")),
            Answer::Told(binary(b"two")),
            Answer::Told(closed_by_us(1006, "")),
        ];
        if reset {
            server.outbound.receive_reset();
        } else {
            expected.push(Answer::Shutdown(Some(5_000)));
        }
        expected.push(Answer::Done);
        assert_eq!(run(&mut server, 5_000), expected);

        // Whatever is done then.
        for at in [5_000, 1_000_000] {
            server.inbound.receive_eof();
            let _ = server.inbound.receive(&to(Role::Server, FIN | TEXT, b"late"));
            assert!(server.outbound.queue("late").is_err());
            server.outbound.shut_down();
            server.outbound.written(5);
            assert_eq!(next(&mut server, at), Answer::Done);
            assert_eq!(next_ref(&mut server, at), Answer::Done);
            assert_eq!(next_write(&mut server, at), Answer::Done);
            assert_eq!(next_outbound(&mut server.outbound, at), Answer::Done);
            let Endpoint { inbound, outbound, .. } = &mut server;
            assert_eq!(next_inbound(inbound, outbound, at), Answer::Done);
            server.outbound.receive_reset();
        }
    }
}

#[test]
fn rule_03_done_stays_when_a_request_was_not_answered() {
    let config = Config::new().close_timeout(millis(100));
    for reset in [true, false] {
        let mut server = asked_for_a_page(config);
        server.inbound.receive_eof();
        assert_eq!(next(&mut server, 0), Answer::Wait(false, Some(100)));
        let last = if reset {
            server.outbound.receive_reset();
            vec![Answer::Done]
        } else {
            vec![Answer::Shutdown(Some(100)), Answer::Done]
        };
        assert_eq!(run(&mut server, 100), last);
        // It is too late for an answer.
        assert!(server.outbound.respond(&ANSWER).is_err());
        assert_eq!(run(&mut server, 100), [Answer::Done]);
    }
}

#[test]
fn rule_04_no_bytes_are_asked_for_where_there_is_no_room_or_no_use() {
    // The stream has ended.
    let mut server = asked_for_a_page(Config::new());
    assert_eq!(next(&mut server, 0), Answer::Wait(true, None));
    server.inbound.receive_eof();
    assert_eq!(next(&mut server, 0), Answer::Wait(false, Some(5_000)));
    let mut server = open(Role::Server, Config::new());
    server.outbound.queue("out").unwrap();
    let mut batch = Output::default();
    server.outbound.take_output(&mut batch);
    server.inbound.receive_eof();
    let expected = [Answer::Told(closed(1006, "")), Answer::Wait(false, Some(5_000))];
    assert_eq!(run(&mut server, 0), expected);

    // A request with 64 KiB behind it is not answered.
    let mut server = Endpoint::server(Options::new());
    receive(&mut server, REQUEST.as_bytes());
    let request = Seen::Request("GET".into(), "/chat?room=1".into());
    assert_eq!(seen(&mut server), [request]);
    let pings = to(Role::Server, FIN | PING, b"").repeat(20_000);
    let mut taken = 0;
    while next(&mut server, 0) == Answer::Wait(true, None) {
        taken += server.inbound.receive(&pings[taken..][..1_000]);
    }
    assert!((HOLD..2 * HOLD).contains(&taken), "{taken}");
    assert_eq!(next(&mut server, 0), Answer::Wait(false, None));
    assert!(server.inbound.read_buf().is_empty());
    server.outbound.accept(&AcceptResponse::new()).unwrap();
    assert_eq!(next(&mut server, 0), Answer::Told(Seen::Open(None)));
    assert_eq!(seen(&mut server).len(), taken / 6);
    assert!(matches!(next(&mut server, 0), Answer::Write(_, true, None)));
    write(&mut server, 0, usize::MAX);
    server.inbound.receive_eof();
    let lost = [Answer::Told(closed(1006, "")), Answer::Shutdown(Some(0)), Answer::Done];
    assert_eq!(run(&mut server, 0), lost);

    // 64 KiB are in flight, and an event is held back: `rule_02_what_the_driver_has_taken`.
}

#[test]
fn rule_05_a_side_that_writes_is_told_no_event() {
    for role in ROLES {
        let mut endpoint = open(role, Config::new());
        endpoint.outbound.queue("out").unwrap();
        receive(&mut endpoint, &to(role, FIN | PING, b"p"));
        receive(&mut endpoint, &to(role, FIN | TEXT, b"one"));
        receive(&mut endpoint, &to(role, FIN | 0x3, b""));
        // What has come is parsed up to the next event.
        let out = [by(role, FIN | TEXT, b"out"), by(role, FIN | PONG, b"p")].concat();
        assert_eq!(next_write(&mut endpoint, 0), Answer::Write(out.clone(), false, None));
        assert_eq!(write(&mut endpoint, 0, usize::MAX), out.len());
        for _ in 0..3 {
            assert_eq!(next_write(&mut endpoint, 0), Answer::Wait(false, None), "it is flushed");
            assert_eq!(next_outbound(&mut endpoint.outbound, 0), Answer::Wait(false, None));
        }
        assert_eq!(next(&mut endpoint, 0), Answer::Told(ping(b"p")));
        assert_eq!(next(&mut endpoint, 0), Answer::Told(text("one")));
        // Nor of a failure, which is written all the same.
        let close = close_by(role, CloseCode::PROTOCOL_ERROR);
        assert_eq!(next_write(&mut endpoint, 0), Answer::Write(close.clone(), false, Some(5_000)));
        write(&mut endpoint, 0, usize::MAX);
        assert_eq!(next_write(&mut endpoint, 0), Answer::Shutdown(Some(5_000)));
        endpoint.outbound.shut_down();
        assert_eq!(next_write(&mut endpoint, 0), Answer::Wait(false, Some(5_000)));
        assert_eq!(next(&mut endpoint, 0), Answer::Told(failed(ReservedOpcode(3))));
        assert_eq!(next_write(&mut endpoint, 0), Answer::Wait(true, Some(5_000)));
        assert_eq!(next_write(&mut endpoint, 5_000), Answer::Done);
        assert_eq!(next(&mut endpoint, 5_000), Answer::Done);
    }

    // Done: what waited was dropped, though there is something to tell.
    let mut server = loaded(Config::new(), 2 * HOLD);
    receive(&mut server, &to(Role::Server, FIN | TEXT, b"one"));
    assert!(matches!(next_write(&mut server, 0), Answer::Write(_, false, None)));
    server.outbound.receive_reset();
    assert_eq!(next_write(&mut server, 0), Answer::Done);
    let told = [Answer::Told(text("one")), Answer::Told(closed(1006, "")), Answer::Done];
    assert_eq!(run(&mut server, 0), told);
}

// ------------------------------------------------------------------------------------------ time

#[test]
fn rule_06_the_clock_is_asked_at_most_once_and_only_when_nothing_is_left_to_tell() {
    let asked = Cell::new(0);
    let clock = |at: u32| {
        let asked = &asked;
        move || {
            asked.set(asked.get() + 1);
            AT(at)
        }
    };
    let config = Config::new().idle_timeout(millis(60_000)).ping_interval(millis(20_000));
    let mut server = open(Role::Server, config);
    receive(&mut server, &to(Role::Server, FIN | TEXT, b"one"));
    receive(&mut server, &to(Role::Server, FIN | PING, b""));
    receive(&mut server, &to(Role::Server, FIN | TEXT, b"two"));
    for _ in 0..3 {
        assert!(matches!(server.next(clock(0)), Next::Event(_)));
        assert_eq!(asked.take(), 0);
    }
    // The first answer starts all time-outs.
    let Next::Write { until, .. } = server.next(clock(1_000_000)) else { panic!("a Pong") };
    assert_eq!((until, asked.take()), (Some(AT(1_020_000)), 1));
    assert!(matches!(server.next_ref(clock(1_000_000)), Next::Write { .. }));
    assert_eq!(asked.take(), 1);
    let Next::Write { mut output, .. } = server.next_write(clock(1_000_000)) else { panic!() };
    output.advance(2);
    assert_eq!(asked.take(), 1);
    let Next::Wait { until, .. } = server.outbound.next(clock(1_000_000)) else { panic!() };
    assert_eq!((until, asked.take()), (Some(AT(1_020_000)), 1));
    let Endpoint { inbound, outbound, .. } = &mut server;
    assert!(matches!(inbound.next(outbound, clock(1_000_000)), Next::Wait { .. }));
    assert_eq!(asked.take(), 1);
    // With output in the way of an event, too.
    let mut server = loaded(config, HOLD);
    receive(&mut server, &to(Role::Server, FIN | TEXT, b"one"));
    assert!(matches!(server.next(clock(0)), Next::Write { .. }));
    assert_eq!(asked.take(), 1);

    // What is due is told at once.
    let mut server = pinged(Role::Server, keepalive());
    assert!(matches!(server.next(clock(150)), Next::Failed(_)));
    assert_eq!(asked.take(), 1);
    assert!(matches!(server.next(clock(150)), Next::Write { .. }));
    write(&mut server, 150, usize::MAX);
    assert!(matches!(server.next(clock(150)), Next::Shutdown { .. }));
    assert!(matches!(server.next(clock(150)), Next::Done));
    assert_eq!(asked.take(), 3);
    receive(&mut server, b"x");
    assert!(matches!(server.next(clock(150)), Next::Done));
    assert_eq!(asked.take(), 1);
}

#[test]
fn rule_06_the_first_answer_of_the_clock_starts_an_opening_handshake() {
    let mut server = Endpoint::server(Options::new());
    receive(&mut server, &REQUEST.as_bytes()[..50]);
    assert_eq!(next(&mut server, 3_600_000), Answer::Wait(true, Some(3_610_000)));
}

// Fault: fragments that were sent counted from the time that was told before them.
#[test]
fn rule_07_what_is_sent_and_received_counts_from_the_next_answer_of_the_clock() {
    let config = Config::new().idle_timeout(millis(1_000));
    for role in ROLES {
        let mut endpoint = open(role, config);
        assert_eq!(next(&mut endpoint, 0), Answer::Wait(true, Some(1_000)));
        // Every 100 ms for two seconds, and the clock is not asked.
        for _ in 0..20 {
            endpoint.outbound.queue_fragment(MessageKind::Binary, b"x", false).unwrap();
            take(&mut endpoint);
        }
        assert_eq!(next(&mut endpoint, 2_000), Answer::Wait(true, Some(3_000)));
        assert!(endpoint.outbound.is_open());
        for _ in 0..20 {
            receive(&mut endpoint, &to(role, FIN | TEXT, b"x"));
            assert!(endpoint.inbound.has_message(&mut endpoint.outbound));
            let Next::Event(Event::Message(_)) = endpoint.next(|| panic!("it is parsed")) else {
                panic!("a message")
            };
        }
        assert_eq!(next(&mut endpoint, 4_000), Answer::Wait(true, Some(5_000)));
        assert!(endpoint.outbound.is_open());
        // A Ping is no data.
        receive(&mut endpoint, &to(role, FIN | PONG, b""));
        assert_eq!(seen_at(&mut endpoint, 4_500), [pong(b"")]);
        assert_eq!(next(&mut endpoint, 4_500), Answer::Wait(true, Some(5_000)));
    }
}

// Fault: a request that was answered late was closed as idle at once.
#[test]
fn rule_07_a_request_that_was_answered_late_is_not_idle() {
    let config = Config::new().idle_timeout(millis(1_000));
    let mut server = Endpoint::server(Options::from(config));
    assert_eq!(next(&mut server, 0), Answer::Wait(true, Some(10_000)));
    receive(&mut server, REQUEST.as_bytes());
    let request = Seen::Request("GET".into(), "/chat?room=1".into());
    assert_eq!(run(&mut server, 0), [Answer::Told(request), Answer::Wait(true, None)]);
    // Two seconds of deliberation.
    server.outbound.accept(&AcceptResponse::new()).unwrap();
    let expected = [
        Answer::Told(Seen::Open(None)),
        Answer::Write(RESPONSE.into(), true, Some(3_000)),
        Answer::Wait(true, Some(3_000)),
    ];
    assert_eq!(run(&mut server, 2_000), expected);
    assert!(server.outbound.is_open());
    // A page has its time from the answer on, too.
    let mut server = asked_for_a_page(config);
    assert_eq!(next(&mut server, 0), Answer::Wait(true, None));
    server.outbound.respond(&ANSWER).unwrap();
    let expected = [
        Answer::Write(ANSWERED.into(), true, Some(105_000)),
        Answer::Shutdown(Some(105_000)),
        Answer::Wait(true, Some(105_000)),
    ];
    assert_eq!(run(&mut server, 100_000), expected);
}

#[test]
fn rule_07_an_ending_counts_from_the_next_answer_of_the_clock() {
    for role in ROLES {
        let wait = |until| Answer::Wait(true, Some(until));
        let mut endpoint = open(role, Config::new());
        assert_eq!(next(&mut endpoint, 0), Answer::Wait(true, None));
        endpoint.outbound.start_close(None, "").unwrap();
        let close = by(role, FIN | CLOSE, b"");
        let expected = [Answer::Write(close, true, Some(15_000)), wait(15_000)];
        assert_eq!(run(&mut endpoint, 10_000), expected);
        assert_eq!(next(&mut endpoint, 14_999), wait(15_000), "it is never early");
        // The end of the peer does not begin it anew.
        receive(&mut endpoint, &to(role, FIN | CLOSE, b""));
        assert_eq!(seen_at(&mut endpoint, 14_999), [closed_by_us(1005, "")]);
        endpoint.outbound.shut_down();
        assert_eq!(next(&mut endpoint, 14_999), wait(15_000));
    }
}

#[test]
fn rule_08_a_time_up_to_a_minute_before_the_latest_is_the_latest() {
    let config = Config::new().ping_interval(millis(1_000));
    let wait = |until| Answer::Wait(true, Some(until));
    let mut server = open(Role::Server, config);
    assert_eq!(next(&mut server, 100_000), wait(101_000));
    // The other thread looked at its clock before.
    for at in [99_999, 40_000] {
        receive(&mut server, &to(Role::Server, FIN | TEXT, b"x"));
        assert_eq!(seen_at(&mut server, at), [text("x")]);
        assert_eq!(next(&mut server, at), wait(101_000), "{at}");
    }
    assert_eq!(next(&mut server, 100_999), wait(101_000));
    // A clock that has wrapped.
    let mut server = open(Role::Server, config);
    assert_eq!(next(&mut server, 100_000), wait(101_000));
    receive(&mut server, &to(Role::Server, FIN | TEXT, b"x"));
    assert_eq!(seen_at(&mut server, 39_999), [text("x")]);
    assert_eq!(next(&mut server, 39_999), wait(40_999));
    let ping = Answer::Write(by(Role::Server, FIN | PING, b""), true, Some(60_999));
    assert_eq!(next(&mut server, 40_999), ping);
}

#[test]
fn rule_08_time_outs_run_on_where_the_clock_wraps() {
    let start = u32::MAX - 49;
    let mut server = open(Role::Server, keepalive());
    assert_eq!(next(&mut server, start), Answer::Wait(true, Some(50)));
    assert_eq!(next(&mut server, u32::MAX), Answer::Wait(true, Some(50)));
    // A thread that is behind it.
    assert_eq!(next(&mut server, 0), Answer::Wait(true, Some(50)));
    assert_eq!(next(&mut server, u32::MAX), Answer::Wait(true, Some(50)));
    assert_eq!(next(&mut server, 49), Answer::Wait(true, Some(50)));
    let ping = Answer::Write(by(Role::Server, FIN | PING, b""), true, Some(100));
    assert_eq!(run(&mut server, 50), [ping, Answer::Wait(true, Some(100))]);
    assert_eq!(next(&mut server, 100), Answer::Told(failed(PongTimeout)));
    // One that was away for half of its range and more.
    let mut server = open(Role::Server, Config::new());
    server.outbound.start_close(None, "").unwrap();
    assert!(matches!(next(&mut server, 0), Answer::Write(_, true, Some(5_000))));
    assert!(matches!(next(&mut server, 1 << 30), Answer::Told(_)));
}

// A driver that was held up reads what has come, and then looks at the clock.
#[test]
fn rule_09_what_is_due_is_done_after_what_has_come() {
    for at in [150, 1_000] {
        let mut client = pinged(Role::Client, keepalive());
        receive(&mut client, b"\x8a\x00\x82\x01x\x82");
        assert_eq!(seen_at(&mut client, at), [pong(b""), binary(b"x")]);
        assert_eq!(next(&mut client, at), Answer::Wait(true, Some(at + 100)));
        // The half of a header that is left is nothing new.
        let ping = by(Role::Client, FIN | PING, b"");
        let expected =
            [Answer::Write(ping, true, Some(at + 150)), Answer::Wait(true, Some(at + 150))];
        assert_eq!(run(&mut client, at + 100), expected);
        assert_eq!(next(&mut client, at + 150), Answer::Told(failed(PongTimeout)));
    }
    // A Ping does not make a connection any less idle, but it is answered.
    let mut client = open(Role::Client, Config::new().idle_timeout(millis(100)));
    assert_eq!(next(&mut client, 0), Answer::Wait(true, Some(100)));
    receive(&mut client, b"\x89\x00");
    assert_eq!(next(&mut client, 100), Answer::Told(ping(b"")));
    assert!(client.outbound.is_open());
    let both = [by(Role::Client, FIN | PONG, b""), close_by(Role::Client, CloseCode::GOING_AWAY)];
    assert_eq!(next(&mut client, 100), Answer::Write(both.concat(), true, Some(5_100)));

    // A request that is complete is not too late.
    let mut server = Endpoint::server(Options::new());
    assert_eq!(next(&mut server, 0), Answer::Wait(true, Some(10_000)));
    receive(&mut server, PAGE.as_bytes());
    let asked = Answer::Told(Seen::Http("GET".into(), "/page".into()));
    assert_eq!(run(&mut server, 60_000), [asked, Answer::Wait(true, None)]);
    let mut server = Endpoint::server(Options::new());
    assert_eq!(next(&mut server, 0), Answer::Wait(true, Some(10_000)));
    receive(&mut server, &PAGE.as_bytes()[..PAGE.len() - 1]);
    let late = Answer::Told(Seen::Failed(EndpointError::HandshakeTimeout));
    assert_eq!(next(&mut server, 10_000), late);
}

// Bytes that cannot be parsed do not keep a connection alive for ever.
#[test]
fn rule_09_with_an_event_held_back_there_is_one_grace() {
    let mut server = pinged(Role::Server, keepalive());
    server.outbound.queue(vec![7; 2 * HOLD]).unwrap();
    receive(&mut server, &to(Role::Server, FIN | TEXT, b"one"));
    receive(&mut server, &to(Role::Server, FIN | TEXT, b"two"));
    let told: Vec<_> = sleep(&mut server, 100)
        .into_iter()
        .map(|(at, answer)| match answer {
            Answer::Write(_, read, until) => (at, Answer::Write(vec![], read, until)),
            other => (at, other),
        })
        .collect();
    let waits = |until| Answer::Write(vec![], false, Some(until));
    let expected = [
        // The message that was parsed was a sign of life.
        (100, Answer::Write(vec![], false, Some(200))),
        (200, waits(250)),
        (250, waits(256)),
        (256, waits(5_256)),
        (5_256, Answer::Told(text("one"))),
        (5_256, Answer::Told(text("two"))),
        (5_256, Answer::Told(failed(PongTimeout))),
        (5_256, Answer::Shutdown(Some(5_256))),
        (5_256, Answer::Done),
    ];
    assert_eq!(told, expected);

    // The same for an idle connection, whose Close frame waits then.
    let mut server = open(Role::Server, Config::new().idle_timeout(millis(800)));
    assert_eq!(next(&mut server, 0), Answer::Wait(true, Some(800)));
    server.outbound.queue(vec![7; 2 * HOLD]).unwrap();
    receive(&mut server, &to(Role::Server, FIN | TEXT, b"one"));
    assert!(matches!(next(&mut server, 100), Answer::Write(_, false, Some(900))));
    assert!(matches!(next(&mut server, 900), Answer::Write(_, false, Some(1_000))));
    assert!(server.outbound.is_open());
    assert!(matches!(next(&mut server, 1_000), Answer::Write(_, false, Some(6_000))));
    assert!(!server.outbound.is_open());
}

#[test]
fn rule_10_a_driver_that_comes_late_gets_a_little_more_once() {
    for role in ROLES {
        let mut endpoint = pinged(role, keepalive());
        assert_eq!(next(&mut endpoint, 151), Answer::Wait(true, Some(157)));
        assert_eq!(next(&mut endpoint, 156), Answer::Wait(true, Some(157)));
        assert_eq!(next(&mut endpoint, 157), Answer::Told(failed(PongTimeout)));
        // However late it comes then.
        let mut endpoint = pinged(role, keepalive());
        assert_eq!(next(&mut endpoint, 1_000), Answer::Wait(true, Some(1_006)));
        assert_eq!(next(&mut endpoint, 2_000), Answer::Told(failed(PongTimeout)));
        // Until something has come.
        let mut endpoint = pinged(role, keepalive());
        assert_eq!(next(&mut endpoint, 1_000), Answer::Wait(true, Some(1_006)));
        receive(&mut endpoint, &to(role, FIN | PONG, b""));
        let told = [Answer::Told(pong(b"")), Answer::Wait(true, Some(1_105))];
        assert_eq!(run(&mut endpoint, 1_005), told);
        let ping = Answer::Write(by(role, FIN | PING, b""), true, Some(1_155));
        assert_eq!(run(&mut endpoint, 1_105), [ping, Answer::Wait(true, Some(1_155))]);
        assert_eq!(next(&mut endpoint, 1_156), Answer::Wait(true, Some(1_162)));

        // A second at most.
        let config = Config::new().ping_interval(millis(100)).pong_timeout(millis(60_000));
        let mut endpoint = open(role, config);
        assert_eq!(run(&mut endpoint, 0), [Answer::Wait(true, Some(100))]);
        assert_eq!(run(&mut endpoint, 100).last(), Some(&Answer::Wait(true, Some(60_100))));
        assert_eq!(next(&mut endpoint, 60_101), Answer::Wait(true, Some(61_101)));
        assert_eq!(next(&mut endpoint, 61_101), Answer::Told(failed(PongTimeout)));

        // The same for a connection that is idle.
        let config = Config::new().idle_timeout(millis(800));
        let mut endpoint = open(role, config);
        assert_eq!(next(&mut endpoint, 0), Answer::Wait(true, Some(800)));
        assert_eq!(next(&mut endpoint, 801), Answer::Wait(true, Some(901)));
        let close = close_by(role, CloseCode::GOING_AWAY);
        assert_eq!(next(&mut endpoint, 901), Answer::Write(close, true, Some(5_901)));
    }
}

#[test]
fn rule_10_deadlines_of_opening_and_closing_are_not_put_off() {
    for role in ROLES {
        let mut endpoint = open(role, Config::new());
        assert_eq!(next(&mut endpoint, 0), Answer::Wait(true, None));
        endpoint.outbound.start_close(None, "").unwrap();
        run(&mut endpoint, 0);
        let lost = Answer::Told(closed_by_us(1006, ""));
        let expected = [lost, Answer::Shutdown(Some(60_000)), Answer::Done];
        assert_eq!(run(&mut endpoint, 60_000), expected);
    }
    let mut server = Endpoint::server(Options::new());
    assert_eq!(next(&mut server, 0), Answer::Wait(true, Some(10_000)));
    let late = Answer::Told(Seen::Failed(EndpointError::HandshakeTimeout));
    assert_eq!(next(&mut server, 60_000), late);
}

// A Pong that nobody has read yet does not lose the peer.
#[test]
fn rule_11_a_side_that_only_writes_does_what_is_due_if_nothing_was_written() {
    for role in ROLES {
        for flush in [true, false] {
            let writer = |endpoint: &mut Endpoint, at| {
                let answer = if flush {
                    next_write(endpoint, at)
                } else {
                    next_outbound(&mut endpoint.outbound, at)
                };
                match answer {
                    Answer::Write(output, _, until) => (output.len(), until),
                    Answer::Wait(_, until) => (0, until),
                    other => panic!("{other:?}"),
                }
            };
            let mut endpoint = pinged(role, keepalive());
            endpoint.outbound.queue(vec![7; 10_000]).unwrap();
            let all = endpoint.outbound.waiting();
            assert_eq!(writer(&mut endpoint, 146), (all, Some(150)));
            write(&mut endpoint, 146, 1);
            // Something was written: what may have come is not known.
            assert_eq!(writer(&mut endpoint, 150), (all - 1, Some(150)));
            assert!(endpoint.outbound.is_open());
            // Nothing was: once, it gets the grace of a driver that has not read.
            assert_eq!(writer(&mut endpoint, 150), (all - 1, Some(156)));
            assert!(endpoint.outbound.is_open());
            let close = close_by(role, CloseCode::INTERNAL_ERROR).len();
            assert_eq!(writer(&mut endpoint, 156), (all - 1 + close, Some(5_156)));
            assert!(!endpoint.outbound.is_open());
            // The other side tells it.
            assert_eq!(next(&mut endpoint, 156), Answer::Told(failed(PongTimeout)));

            // A keepalive Ping is due in the same way.
            let mut endpoint = open(role, keepalive());
            assert_eq!(writer(&mut endpoint, 0), (0, Some(100)));
            let sent = by(role, FIN | PING, b"").len();
            assert_eq!(writer(&mut endpoint, 100), (sent, Some(150)));
        }
    }
}

#[test]
fn rule_11_a_side_that_only_writes_gives_up_a_peer_that_closes_and_takes_nothing() {
    for flush in [true, false] {
        let mut server = loaded(Config::new(), 10_000);
        server.outbound.start_close(None, "").unwrap();
        let writer = |endpoint: &mut Endpoint, at| match flush {
            true => next_write(endpoint, at),
            false => next_outbound(&mut endpoint.outbound, at),
        };
        assert!(matches!(writer(&mut server, 0), Answer::Write(_, _, Some(5_000))));
        assert!(matches!(writer(&mut server, 4_999), Answer::Write(_, _, Some(5_000))));
        assert_eq!(writer(&mut server, 5_000), Answer::Shutdown(Some(5_000)));
        assert_eq!(writer(&mut server, 5_000), Answer::Done);
        assert_eq!(seen_at(&mut server, 5_000), [closed_by_us(1006, "")]);
    }
}

// The connection is not open yet, and nobody but the flush looks at the time.
#[test]
fn rule_11_a_flush_does_not_outlast_the_opening_handshake() {
    let mut client =
        Endpoint::client(&ClientRequest::new("localhost", "/"), Options::new(), random()).unwrap();
    let Answer::Write(request, true, Some(10_000)) = next_write(&mut client, 0) else {
        panic!("a request")
    };
    let waits = |until| Answer::Write(request.clone(), true, Some(until));
    assert_eq!(next_write(&mut client, 9_999), waits(10_000));
    assert_eq!(next_write(&mut client, 10_000), waits(15_000));
    // What has happened is to be told first.
    assert_eq!(next_write(&mut client, 14_999), Answer::Write(request, false, Some(15_000)));
    assert_eq!(next_write(&mut client, 15_000), Answer::Shutdown(Some(15_000)));
    assert_eq!(next_write(&mut client, 15_000), Answer::Done);
    let late = Answer::Told(Seen::Failed(EndpointError::HandshakeTimeout));
    assert_eq!(run(&mut client, 15_000), [late, Answer::Done]);
}

// --------------------------------------------------------------------------------- signs of life

#[test]
fn rule_12_parsed_bytes_are_a_sign_of_life() {
    for role in ROLES {
        // A frame in pieces, too.
        let frame = to(role, FIN | BINARY, &[7; 100]);
        let mut endpoint = open(role, keepalive());
        assert_eq!(next(&mut endpoint, 0), Answer::Wait(true, Some(100)));
        for (at, byte) in (1..).zip(&frame) {
            receive(&mut endpoint, &[*byte]);
            let told = seen_at(&mut endpoint, at * 10);
            assert_eq!(told.len(), usize::from(at as usize == frame.len()));
            assert_eq!(next(&mut endpoint, at * 10), Answer::Wait(true, Some(at * 10 + 100)));
        }
    }
}

// An eighth of the shorter of the two time-outs, at most a second; a second if neither is set.
#[test]
fn rule_12_output_that_was_written_after_it_had_waited_is_a_sign_of_life() {
    let none = None;
    for (pong, close, share) in [
        (millis(800), millis(5_000), 100),
        (millis(5_000), millis(800), 100),
        (millis(800), none, 100),
        (none, millis(800), 100),
        (millis(60_000), millis(30_000), 1_000),
        (none, none, 1_000),
    ] {
        let config =
            Config::new().ping_interval(millis(20_000)).pong_timeout(pong).close_timeout(close);
        for taken_out in [false, true] {
            let until = |endpoint: &mut Endpoint, at: u32| match next(endpoint, at) {
                Answer::Write(_, true, until) | Answer::Wait(true, until) => until,
                other => panic!("{other:?}"),
            };
            let mut server = open(Role::Server, config);
            let mut batch = Output::default();
            server.outbound.queue(vec![7; 10_000]).unwrap();
            if taken_out {
                server.outbound.take_output(&mut batch);
            }
            let written = |server: &mut Endpoint, at: u32| match taken_out {
                true => server.outbound.written(10),
                false => assert_eq!(write(server, at, 10), 10),
            };
            assert_eq!(until(&mut server, 1_000), Some(21_000));
            written(&mut server, 1_000);
            let just_before = 1_000 + share - 1;
            assert_eq!(until(&mut server, just_before), Some(21_000), "the kernel takes it");
            written(&mut server, just_before);
            assert_eq!(until(&mut server, just_before + 1), Some(just_before + 1 + 20_000));
            // The rest is taken at once, and what follows is new.
            if taken_out {
                server.outbound.written(10_000);
            } else {
                take(&mut server);
            }
            assert_eq!(server.outbound.waiting(), 0);
            let at = just_before + 2;
            assert_eq!(until(&mut server, at), Some(at + 20_000));
            for at in at..at + 50 {
                server.outbound.queue("tick").unwrap();
                assert_eq!(write(&mut server, at, usize::MAX), 6);
                assert_eq!(until(&mut server, at), Some(just_before + 2 + 20_000));
            }
        }
    }
}

#[test]
fn rule_12_what_the_kernel_takes_is_no_sign_of_life() {
    for way in 0..3 {
        let mut client = pinged(Role::Client, keepalive());
        for at in 101..150 {
            client.outbound.queue("tick").unwrap();
            client.outbound.queue("tick").unwrap();
            match way {
                0 => {
                    write(&mut client, at, usize::MAX);
                }
                // In as many steps as the driver likes.
                1 => {
                    write(&mut client, at, 3);
                    write(&mut client, at, usize::MAX);
                }
                _ => {
                    let mut batch = Output::default();
                    client.outbound.take_output(&mut batch);
                    client.outbound.written(3);
                    client.outbound.written(batch.len() - 3);
                }
            }
            assert_eq!(next(&mut client, at), Answer::Wait(true, Some(150)));
        }
        assert_eq!(next(&mut client, 150), Answer::Told(failed(PongTimeout)), "{way}");
    }
}

// A write that would block is told as one of nothing by many a driver.
#[test]
fn rule_12_nothing_is_no_sign_of_life() {
    for taken_out in [false, true] {
        let mut server = pinged(Role::Server, keepalive());
        server.outbound.queue(vec![7; 10_000]).unwrap();
        let mut batch = Output::default();
        if taken_out {
            server.outbound.take_output(&mut batch);
        }
        for at in 101..150 {
            let answer = next(&mut server, at);
            let (Answer::Write(_, true, until) | Answer::Wait(true, until)) = answer else {
                panic!("{answer:?}")
            };
            assert_eq!(until, Some(150));
            if taken_out {
                server.outbound.written(0);
            } else {
                assert_eq!(write(&mut server, at, 0), 0);
            }
        }
        assert_eq!(next(&mut server, 150), Answer::Told(failed(PongTimeout)));
    }
}

// Who takes a long message bit by bit cannot answer a Ping that lies behind it.
#[test]
fn rule_13_a_peer_that_takes_a_large_message_slowly_is_alive() {
    for taken_out in [false, true] {
        let mut client = open(Role::Client, keepalive());
        assert_eq!(next(&mut client, 0), Answer::Wait(true, Some(100)));
        client.outbound.queue(vec![7; 1_000_000]).unwrap();
        let mut batch = Output::default();
        if taken_out {
            client.outbound.take_output(&mut batch);
        }
        for at in (0..1_980).step_by(20) {
            let answer = next(&mut client, at);
            assert!(matches!(answer, Answer::Write(..) | Answer::Wait(..)), "{at}: {answer:?}");
            if taken_out {
                client.outbound.written(10_000);
            } else {
                assert_eq!(write(&mut client, at, 10_000), 10_000);
            }
        }
        assert!(client.outbound.is_open());
        // From now on it takes nothing. The keepalive Ping waits behind the message.
        let mut now = 1_980;
        let lost = loop {
            match next(&mut client, now) {
                Answer::Told(told) => break told,
                Answer::Write(_, true, Some(until)) | Answer::Wait(true, Some(until)) => {
                    now = until
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(lost, failed(PongTimeout));
        assert_eq!(now, 1_980 + 100 + 50, "{taken_out}");
    }
}

// Fault: a driver that had output to write looked at no deadline.
#[test]
fn rule_13_a_peer_that_takes_nothing_is_lost_and_what_is_left_is_dropped() {
    for (close_timeout, later) in [(Some(5_000), 5_000), (None, 50)] {
        for role in ROLES {
            let config = keepalive().close_timeout(close_timeout.and_then(millis));
            let mut endpoint = pinged(role, config);
            endpoint.outbound.queue("out").unwrap();
            let out = by(role, FIN | TEXT, b"out");
            let both = [out.clone(), close_by(role, CloseCode::INTERNAL_ERROR)].concat();
            let until = 150 + later;
            let expected = [
                (120, Answer::Write(out, true, Some(150))),
                (150, Answer::Told(failed(PongTimeout))),
                (150, Answer::Write(both, true, Some(until))),
                (until, Answer::Shutdown(Some(until))),
                (until, Answer::Done),
            ];
            assert_eq!(sleep(&mut endpoint, 120), expected);
            assert_eq!(endpoint.outbound.waiting(), 0);
        }
    }
}

// What was sent before a Close frame has to be read before that can be answered.
#[test]
fn rule_13_a_peer_that_takes_what_was_sent_before_a_close_is_waited_for() {
    for taken_out in [false, true] {
        let mut client = open(Role::Client, Config::new());
        client.outbound.queue(vec![7; 10_000_000]).unwrap();
        client.outbound.start_close(None, "").unwrap();
        let mut batch = Output::default();
        if taken_out {
            client.outbound.take_output(&mut batch);
        }
        let until = |client: &mut Endpoint, at: u32| match next(client, at) {
            Answer::Write(_, true, until) | Answer::Wait(true, until) => until,
            other => panic!("{at}: {other:?}"),
        };
        assert_eq!(until(&mut client, 0), Some(5_000));
        for second in 1..=9 {
            if taken_out {
                client.outbound.written(1_000_000);
            } else {
                assert_eq!(write(&mut client, second * 1_000, 1_000_000), 1_000_000);
            }
            assert_eq!(until(&mut client, second * 1_000), Some(second * 1_000 + 5_000));
        }
        // And no longer than that.
        assert_eq!(until(&mut client, 13_999), Some(14_000));
        let lost = Answer::Told(closed_by_us(1006, ""));
        let expected = [lost, Answer::Shutdown(Some(14_000)), Answer::Done];
        assert_eq!(run(&mut client, 14_000), expected, "{taken_out}");
    }
}

#[test]
fn rule_13_a_page_goes_out_for_as_long_as_its_client_takes_it() {
    let mut server = asked_for_a_page(Config::new().close_timeout(millis(100)));
    server.outbound.respond(&ANSWER.body(&[b'x'; 100_000])).unwrap();
    assert!(matches!(next(&mut server, 0), Answer::Write(_, true, Some(100))));
    for at in (90..1_000).step_by(90) {
        assert_eq!(write(&mut server, at, 1_000), 1_000);
        let answer = next(&mut server, at);
        let Answer::Write(_, true, until) = answer else { panic!("{answer:?}") };
        assert_eq!(until, Some(at + 100));
    }
    assert_eq!(run(&mut server, 1_090), [Answer::Shutdown(Some(1_090)), Answer::Done]);
    assert_eq!(server.outbound.waiting(), 0);
}

// --------------------------------------------------------------------------------------- endings

#[test]
fn rule_14_who_ends_the_stream() {
    let wait = || Answer::Wait(true, Some(5_000));
    let shutdown = || Answer::Shutdown(Some(5_000));
    for role in ROLES {
        // Close frames went both ways: the server.
        let mut endpoint = open(role, Config::new());
        receive(&mut endpoint, &to(role, FIN | CLOSE, b""));
        let close = by(role, FIN | CLOSE, b"");
        let mut expected = vec![
            Answer::Told(closed(1005, "")),
            Answer::Write(close.clone(), true, Some(5_000)),
            wait(),
        ];
        if role == Role::Server {
            expected.insert(2, shutdown());
        }
        assert_eq!(run(&mut endpoint, 0), expected);
        // The stream has ended: the client.
        endpoint.inbound.receive_eof();
        let end: &[Answer] = match role {
            Role::Server => &[Answer::Done],
            Role::Client => &[Answer::Shutdown(Some(0)), Answer::Done],
        };
        assert_eq!(run(&mut endpoint, 0), end);
        // Not before both have said so.
        let mut endpoint = open(role, Config::new());
        endpoint.outbound.start_close(None, "").unwrap();
        let wrote = Answer::Write(close, true, Some(5_000));
        assert_eq!(run(&mut endpoint, 0), [wrote, wait()]);
        // After an error, both.
        let mut endpoint = open(role, Config::new());
        receive(&mut endpoint, &to(role, FIN | 0x3, b""));
        let expected = [
            Answer::Told(failed(ReservedOpcode(3))),
            Answer::Write(close_by(role, CloseCode::PROTOCOL_ERROR), true, Some(5_000)),
            shutdown(),
            wait(),
        ];
        assert_eq!(run(&mut endpoint, 0), expected);
    }
    // After a page, and a refusal.
    let mut server = asked_for_a_page(Config::new());
    server.outbound.respond(&ANSWER).unwrap();
    let wrote = Answer::Write(ANSWERED.into(), true, Some(5_000));
    assert_eq!(run(&mut server, 0), [wrote, shutdown(), wait()]);
    let mut server = Endpoint::server(Options::new());
    receive(&mut server, b"GET / HTTP/1.1\r\n\r\n");
    let refused = run(&mut server, 0);
    let [Answer::Told(Seen::Failed(_)), Answer::Write(_, true, Some(5_000)), rest @ ..] =
        &refused[..]
    else {
        panic!("{refused:?}")
    };
    assert_eq!(rest, [shutdown(), wait()]);
    let mut client = asking(&ClientRequest::new("localhost", "/"), Options::new());
    receive(&mut client, b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    let refused = Answer::Told(Seen::Refused(404, vec![]));
    assert_eq!(run(&mut client, 0), [refused, shutdown(), wait()]);
}

#[test]
fn rule_14_an_end_that_is_not_confirmed_is_told_one_last_time() {
    for eof in [true, false] {
        let mut server = open(Role::Server, Config::new());
        receive(&mut server, &to(Role::Server, FIN | CLOSE, b""));
        assert_eq!(seen(&mut server), [closed(1005, "")]);
        take(&mut server);
        for at in [0, 1, 4_999] {
            assert_eq!(next(&mut server, at), Answer::Shutdown(Some(5_000)));
            assert_eq!(next_write(&mut server, at), Answer::Shutdown(Some(5_000)));
            assert_eq!(next_outbound(&mut server.outbound, at), Answer::Shutdown(Some(5_000)));
        }
        let mut at = 4_999;
        if eof {
            server.inbound.receive_eof();
        } else {
            at = 5_000;
        }
        // Try, and do not wait.
        assert_eq!(next(&mut server, at), Answer::Shutdown(Some(at)));
        for _ in 0..3 {
            assert_eq!(next(&mut server, at), Answer::Done);
        }
        assert_eq!(server.close_info(), info(CloseCode::NO_STATUS, "", true, false));
    }
    // One that is confirmed is not.
    let mut server = open(Role::Server, Config::new());
    receive(&mut server, &to(Role::Server, FIN | CLOSE, b""));
    assert_eq!(run(&mut server, 0).last(), Some(&Answer::Wait(true, Some(5_000))));
    assert_eq!(run(&mut server, 5_000), [Answer::Done]);
}

// The stream must not be shut down or dropped before what is on its way is written.
#[test]
fn rule_14_what_is_in_flight_is_written_before_the_end() {
    for role in ROLES {
        let mut endpoint = open(role, Config::new());
        endpoint.outbound.queue(vec![7; 1_000]).unwrap();
        endpoint.outbound.start_close(None, "").unwrap();
        let mut batch = Output::default();
        endpoint.outbound.take_output(&mut batch);
        let len = batch.len();
        // What is taken a second time would not be in order.
        endpoint.outbound.take_output(&mut batch);
        assert_eq!((batch.len(), endpoint.outbound.waiting()), (len, len));
        receive(&mut endpoint, &to(role, FIN | CLOSE, b""));
        assert_eq!(seen(&mut endpoint), [closed_by_us(1005, "")]);
        assert_eq!(next(&mut endpoint, 0), Answer::Wait(true, Some(5_000)));
        endpoint.inbound.receive_eof();
        assert_eq!(next(&mut endpoint, 0), Answer::Wait(false, Some(5_000)));
        endpoint.outbound.written(len - 1);
        assert_eq!(next(&mut endpoint, 0), Answer::Wait(false, Some(5_000)));
        endpoint.outbound.written(1);
        assert_eq!(run(&mut endpoint, 0), [Answer::Shutdown(Some(0)), Answer::Done]);
    }
}

#[test]
fn rule_15_a_stream_that_ends_in_the_middle_is_closed_with_1006() {
    for role in ROLES {
        let mut endpoint = open(role, Config::new());
        endpoint.outbound.queue("out").unwrap();
        receive(&mut endpoint, &to(role, FIN | TEXT, b"one"));
        receive(&mut endpoint, &to(role, TEXT, b"half"));
        endpoint.inbound.receive_eof();
        let expected = [
            Answer::Told(text("one")),
            Answer::Told(closed(1006, "")),
            Answer::Write(by(role, FIN | TEXT, b"out"), false, Some(5_000)),
            Answer::Shutdown(Some(0)),
            Answer::Done,
        ];
        assert_eq!(run(&mut endpoint, 0), expected);
        assert_eq!(endpoint.close_info(), info(CloseCode::ABNORMAL, "", false, false));

        // What its peer does not take has a bound.
        let mut endpoint = open(role, Config::new());
        endpoint.outbound.queue("out").unwrap();
        endpoint.inbound.receive_eof();
        let expected = [
            (0, Answer::Told(closed(1006, ""))),
            (0, Answer::Write(by(role, FIN | TEXT, b"out"), false, Some(5_000))),
            (5_000, Answer::Shutdown(Some(5_000))),
            (5_000, Answer::Done),
        ];
        assert_eq!(sleep(&mut endpoint, 0), expected);
    }
}

// With all bounds of closing off, the time-out of a Pong is one for what is left, from the end on.
#[test]
fn rule_15_an_end_without_a_time_out_for_closing_has_a_bound() {
    for closing in [false, true] {
        let mut client = open(Role::Client, Config::new().close_timeout(None));
        client.outbound.queue(vec![7; 1_000]).unwrap();
        if closing {
            client.outbound.start_close(None, "").unwrap();
        }
        assert!(matches!(next(&mut client, 0), Answer::Write(_, true, None)));
        client.inbound.receive_eof();
        assert_eq!(seen_at(&mut client, 100_000).len(), 1);
        assert!(matches!(next(&mut client, 100_000), Answer::Write(_, false, Some(120_000))));
        assert!(matches!(next(&mut client, 119_999), Answer::Write(_, false, Some(120_000))));
        let last = [Answer::Shutdown(Some(120_000)), Answer::Done];
        assert_eq!(run(&mut client, 120_000), last, "{closing}");
    }
}

// RFC 9112 §9.6: half-closed by a client that waits for its answer.
#[test]
fn rule_15_a_client_that_has_half_closed_gets_its_page() {
    let mut server = asked_for_a_page(Config::new().close_timeout(millis(100)));
    assert_eq!(next(&mut server, 0), Answer::Wait(true, None), "the application takes its time");
    server.inbound.receive_eof();
    assert_eq!(next(&mut server, 1_000), Answer::Wait(false, Some(1_100)));
    assert_eq!(next(&mut server, 1_099), Answer::Wait(false, Some(1_100)));
    server.outbound.respond(&ANSWER).unwrap();
    let expected = [
        Answer::Write(ANSWERED.into(), false, Some(1_199)),
        Answer::Shutdown(Some(1_099)),
        Answer::Done,
    ];
    assert_eq!(run(&mut server, 1_099), expected);

    // For as long as it takes some of it.
    let mut server = asked_for_a_page(Config::new().close_timeout(millis(100)));
    server.inbound.receive_eof();
    server.outbound.respond(&ANSWER.body(&[b'x'; 100_000])).unwrap();
    assert!(matches!(next(&mut server, 0), Answer::Write(_, false, Some(100))));
    for at in (90..1_000).step_by(90) {
        assert_eq!(write(&mut server, at, 1_000), 1_000);
        let answer = next(&mut server, at);
        let Answer::Write(_, false, until) = answer else { panic!("{answer:?}") };
        assert_eq!(until, Some(at + 100));
    }
    assert_eq!(run(&mut server, 1_090), [Answer::Shutdown(Some(1_090)), Answer::Done]);
    assert_eq!(server.outbound.waiting(), 0);
}

#[test]
fn rule_15_an_upgrade_whose_client_is_gone_is_over() {
    let mut server = Endpoint::server(Config::new());
    receive(&mut server, REQUEST.as_bytes());
    server.inbound.receive_eof();
    let expected = [
        Answer::Told(Seen::Request("GET".into(), "/chat?room=1".into())),
        Answer::Told(Seen::Failed(EndpointError::HandshakeEof)),
        Answer::Shutdown(Some(0)),
        Answer::Done,
    ];
    assert_eq!(run(&mut server, 0), expected);
}

#[test]
fn rule_16_after_a_reset_what_came_is_told_and_nothing_is_written() {
    for role in ROLES {
        for at in [0, 1_000_000] {
            let mut endpoint = open(role, Config::new());
            endpoint.outbound.queue(vec![7; 100_000]).unwrap();
            assert!(matches!(next(&mut endpoint, 0), Answer::Write(..)));
            let stream = [
                to(role, FIN | TEXT, b"one"),
                to(role, FIN | PING, b"p"),
                to(role, FIN | BINARY, b"cut")[..4].to_vec(),
            ];
            receive(&mut endpoint, &stream.concat());
            endpoint.outbound.receive_reset();
            assert_eq!(endpoint.outbound.waiting(), 0);
            assert!(!endpoint.outbound.is_open());
            assert_eq!(endpoint.outbound.queue("late").unwrap_err().error, SendError::Closing);
            // A writer is told at once.
            assert_eq!(next_outbound(&mut endpoint.outbound, at), Answer::Done);
            assert_eq!(next_write(&mut endpoint, at), Answer::Done);
            let expected = [
                Answer::Told(text("one")),
                Answer::Told(ping(b"p")),
                Answer::Told(closed(1006, "")),
                Answer::Done,
            ];
            assert_eq!(run(&mut endpoint, at), expected);
            assert_eq!(endpoint.close_info(), info(CloseCode::ABNORMAL, "", false, false));
        }
        // Also when something was to be done about an end before.
        for at in [0, 4_999, 5_000, 60_000] {
            let mut endpoint = open(role, Config::new());
            receive(&mut endpoint, &to(role, FIN | 0x3, b""));
            assert_eq!(seen(&mut endpoint), [failed(ReservedOpcode(3))]);
            take(&mut endpoint);
            assert_eq!(next(&mut endpoint, 0), Answer::Shutdown(Some(5_000)));
            endpoint.outbound.receive_reset();
            assert_eq!(run(&mut endpoint, at), [Answer::Done]);
        }
    }
    // A peer that was lost.
    let mut server = pinged(Role::Server, keepalive());
    assert_eq!(next(&mut server, 150), Answer::Told(failed(PongTimeout)));
    server.outbound.receive_reset();
    assert_eq!(run(&mut server, 150), [Answer::Done]);
    // Before anything was opened, and when a request waits.
    let mut server = Endpoint::server(Options::new());
    server.outbound.receive_reset();
    let gone = Answer::Told(Seen::Failed(EndpointError::HandshakeEof));
    assert_eq!(run(&mut server, 0), [gone.clone(), Answer::Done]);
    let mut server = Endpoint::server(Options::new());
    receive(&mut server, REQUEST.as_bytes());
    server.outbound.receive_reset();
    let asked = Answer::Told(Seen::Request("GET".into(), "/chat?room=1".into()));
    assert_eq!(run(&mut server, 0), [asked, gone.clone(), Answer::Done]);
    let mut client =
        Endpoint::client(&ClientRequest::new("localhost", "/"), Options::new(), random()).unwrap();
    client.outbound.receive_reset();
    assert_eq!(run(&mut client, 0), [gone, Answer::Done]);
}

#[test]
fn rule_17_after_an_end_bytes_are_dropped_and_nothing_is_told() {
    for role in ROLES {
        for (end, told) in [
            (to(role, FIN | CLOSE, &close_body(4000, "x")), closed(4000, "x")),
            (to(role, FIN | TEXT, b"\xff"), failed(InvalidUtf8)),
        ] {
            for eof in [true, false] {
                let mut endpoint = open(role, Config::new());
                receive(&mut endpoint, &end);
                receive(&mut endpoint, &to(role, FIN | TEXT, b"late"));
                let answers = run(&mut endpoint, 0);
                assert_eq!(answers[0], Answer::Told(told.clone()));
                assert!(!answers[1..].iter().any(|answer| matches!(answer, Answer::Told(_))));
                let how = endpoint.close_info();
                // A Close frame after an error changes nothing any more.
                let late = [to(role, FIN | TEXT, b"late"), to(role, FIN | CLOSE, b"")];
                for _ in 0..10_000 {
                    receive(&mut endpoint, &late.concat());
                    assert_eq!(next(&mut endpoint, 4_999), Answer::Wait(true, Some(5_000)));
                }
                assert_eq!(endpoint.close_info(), how);
                if eof {
                    endpoint.inbound.receive_eof();
                }
                let last = run(&mut endpoint, if eof { 4_999 } else { 5_000 });
                assert_eq!(last.last(), Some(&Answer::Done));
                assert!(!last.iter().any(|answer| matches!(answer, Answer::Told(_))));
            }
        }
    }
}

// Memory is bounded by `max_output`.
#[test]
fn rule_18_without_keepalive_no_deadline_bounds_a_peer_that_takes_nothing() {
    let mut server = open(Role::Server, Options::new().max_output(100_000));
    server.outbound.queue(vec![7; 50_000]).unwrap();
    for at in [0, 1 << 20, 1 << 29, 1 << 30] {
        assert!(matches!(next(&mut server, at), Answer::Write(_, true, None)));
        assert!(matches!(next_write(&mut server, at), Answer::Write(_, true, None)));
        let _ = server.outbound.queue(vec![7; 40_000]);
        assert!(server.outbound.waiting() <= 100_000);
    }
    assert_eq!(server.outbound.queue(vec![7; 40_000]).unwrap_err().error, SendError::OutputFull);
    // It can be resumed.
    assert!(server.outbound.is_open());
    let waiting = server.outbound.waiting();
    assert_eq!(take(&mut server).len(), waiting);
    assert_eq!(next(&mut server, 1 << 30), Answer::Wait(true, None));
}

// ---------------------------------------------------------------------------------- beside the rules

#[test]
fn until_is_the_deadline_of_any_answer() {
    let until = |endpoint: &mut Endpoint, at| endpoint.next(|| AT(at)).until();
    let mut server = open(Role::Server, keepalive());
    receive(&mut server, &to(Role::Server, FIN | TEXT, b"x"));
    assert_eq!(until(&mut server, 0), None, "an event");
    assert_eq!(until(&mut server, 0), Some(AT(100)), "waiting");
    assert_eq!(until(&mut server, 100), Some(AT(150)), "a Ping to be written");
    assert_eq!(until(&mut server, 150), None, "a failure");
    assert_eq!(until(&mut server, 150), Some(AT(5_150)), "a Close frame to be written");
    take(&mut server);
    assert_eq!(until(&mut server, 200), Some(AT(200)), "the last try");
    assert_eq!(until(&mut server, 200), None, "done");
    let _: Option<Instant> = server.next(|| AT(200)).until();
}

// What is due is done: a driver that waits for the next time does not spin.
#[test]
fn a_time_that_was_told_is_not_told_again() {
    let mut client = asking(&ClientRequest::new("localhost", "/"), Options::new());
    receive(&mut client, b"HTTP/1.1 404 No\r\nContent-Length: 10\r\n\r\nabc");
    let expected = [
        (0, Answer::Wait(true, Some(10_000))),
        (10_000, Answer::Told(Seen::Refused(404, b"abc".to_vec()))),
        (10_000, Answer::Shutdown(Some(10_000))),
        (10_000, Answer::Done),
    ];
    assert_eq!(sleep(&mut client, 0), expected);
}

#[test]
fn the_failure_is_kept() {
    for by_ref in [true, false] {
        let mut client = client();
        receive(&mut client, b"\x81\x01x\xff\xff");
        assert_eq!(event(&mut client, by_ref), Some(text("x")));
        assert_eq!(client.inbound.failure(), None);
        assert_eq!(event(&mut client, by_ref), Some(failed(ReservedOpcode(15))));
        assert_eq!(event(&mut client, by_ref), None);
        assert_eq!(client.inbound.failure(), Some(ReservedOpcode(15).into()));
        // Of text that is found to be none where it is taken out, too.
        let mut client = ends::client();
        receive(&mut client, b"\x81\x01\xff");
        assert_eq!(event(&mut client, by_ref), Some(failed(InvalidUtf8)));
        assert_eq!(client.inbound.failure(), Some(InvalidUtf8.into()));
    }
    let mut server = Endpoint::server(Options::new());
    server.inbound.receive_eof();
    assert_eq!(seen(&mut server), [Seen::Failed(EndpointError::HandshakeEof)]);
    assert_eq!(server.inbound.failure(), Some(EndpointError::HandshakeEof));
}
