//! What is told, in which order, and how often: rules 1 to 5.

use ws_core::endpoint::{EndpointError, Next, Options, Output};
use ws_core::handshake::{AcceptResponse, OpenError};
use ws_core::{CloseCode, Config, Endpoint, ProtocolError::*, Role};

use super::*;

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
        let close = close_for(role, ws_core::ProtocolError::ReservedOpcode(3));
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
    let close = close_for(Role::Server, ws_core::ProtocolError::PongTimeout);
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
        let close = close_for(role, ws_core::ProtocolError::ReservedOpcode(3));
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

// What the peer has said may drop output, so that the event that was in its way is told at once.
#[test]
fn rule_02_an_event_that_drops_the_output_is_not_held_back() {
    for by_ref in [false, true] {
        for (bytes, told) in [
            (to(Role::Server, FIN | CLOSE, b""), closed(1005, "")),
            (vec![0xff, 0xff], failed(ReservedOpcode(15))),
        ] {
            let config = Config::new().max_outgoing_frame(4096).close_timeout(None);
            let mut server = open(Role::Server, config);
            server.outbound.queue(vec![0; 2 * HOLD]).unwrap();
            assert!(matches!(next(&mut server, 0), Answer::Write(_, true, None)));
            receive(&mut server, &bytes);
            let answer = if by_ref { next_ref(&mut server, 0) } else { next(&mut server, 0) };
            assert_eq!(answer, Answer::Told(told));
            assert!(server.outbound.waiting() < HOLD);
        }
    }
    // So may the time.
    let mut server = pinged(Role::Server, keepalive().max_outgoing_frame(4096));
    server.outbound.queue(vec![0; 2 * HOLD]).unwrap();
    assert!(matches!(next(&mut server, 101), Answer::Write(_, true, Some(150))));
    assert_eq!(next(&mut server, 150), Answer::Told(failed(PongTimeout)));
}

// The writer's half may ask before the reader's.
#[test]
fn rule_03_what_came_is_told_whichever_half_asks_first() {
    let request = [REQUEST.as_bytes(), &to(Role::Server, FIN | TEXT, b"hello")].concat();
    for reset in [true, false] {
        let mut server = Endpoint::server(Config::new());
        receive(&mut server, &request);
        let asked = Seen::Request("GET".into(), "/chat?room=1".into());
        assert_eq!(next(&mut server, 0), Answer::Told(asked));
        server.outbound.accept(&AcceptResponse::new()).unwrap();
        if reset {
            server.outbound.receive_reset();
        } else {
            server.outbound.start_close(None, "").unwrap();
            next_outbound(&mut server.outbound, 0);
        }
        next_outbound(&mut server.outbound, 10_000);
        let Endpoint { inbound, outbound, .. } = &mut server;
        for expected in [Seen::Open(None), text("hello")] {
            assert_eq!(next_inbound(inbound, outbound, 10_000), Answer::Told(expected), "{reset}");
        }
        let last = next_inbound(inbound, outbound, 10_000);
        assert!(matches!(last, Answer::Told(Seen::Closed { code: 1006, .. })), "{last:?}");
        assert_eq!(next_inbound(inbound, outbound, 10_000), Answer::Done);
    }
    // The client is gone before its request is answered.
    let mut server = Endpoint::server(Config::new());
    receive(&mut server, REQUEST.as_bytes());
    assert!(matches!(next(&mut server, 0), Answer::Told(Seen::Request(..))));
    server.outbound.receive_reset();
    assert_eq!(next_outbound(&mut server.outbound, 0), Answer::Done);
    assert_eq!(server.outbound.accept(&AcceptResponse::new()), Err(OpenError::NoRequest));
    let gone = Seen::Failed(EndpointError::HandshakeEof);
    assert_eq!(next(&mut server, 0), Answer::Told(gone));
    assert_eq!(next(&mut server, 0), Answer::Done);
}
