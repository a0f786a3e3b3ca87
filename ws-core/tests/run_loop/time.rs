//! The clock and what is due: rules 6 to 11.

use core::cell::Cell;

use ws_core::endpoint::{EndpointError, Event, Next, Options};
use ws_core::handshake::{AcceptResponse, ClientRequest};
use ws_core::{CloseCode, Config, Endpoint, MessageKind, ProtocolError::*, Role};

use super::*;

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

// Fault: a driver that came after both deadlines, to a peer that took nothing, was told a time that had passed.
#[test]
fn rule_09_all_deadlines_that_have_passed_are_acted_on_at_once() {
    let config = keepalive().idle_timeout(millis(800));
    for role in ROLES {
        let ping = by(role, FIN | PING, b"");
        let close = close_by(role, CloseCode::GOING_AWAY);
        let mut endpoint = open(role, config);
        assert_eq!(next(&mut endpoint, 0), Answer::Wait(true, Some(100)));
        // Data is put off, and the Pong is awaited.
        let asked = Answer::Write(ping.clone(), true, Some(1_050));
        assert_eq!(next(&mut endpoint, 1_000), asked);
        assert_eq!(next(&mut endpoint, 1_000), asked);

        // A connection that is closed as idle needs no Ping.
        let mut endpoint = open(role, config);
        assert_eq!(next(&mut endpoint, 0), Answer::Wait(true, Some(100)));
        receive(&mut endpoint, &to(role, FIN | PONG, b""));
        assert_eq!(seen_at(&mut endpoint, 750), [pong(b"")]);
        assert_eq!(next(&mut endpoint, 750), Answer::Wait(true, Some(800)));
        assert_eq!(next(&mut endpoint, 801), Answer::Wait(true, Some(850)));
        assert_eq!(next(&mut endpoint, 901), Answer::Write(close.clone(), true, Some(5_901)));

        // The same if both are due at the same time.
        let mut endpoint = open(role, keepalive().idle_timeout(millis(100)));
        assert_eq!(next(&mut endpoint, 0), Answer::Wait(true, Some(100)));
        assert_eq!(next(&mut endpoint, 100), Answer::Write(close, true, Some(5_100)));
    }
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
            let close = close_for(role, ws_core::ProtocolError::PongTimeout).len();
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

// What is due is for the side that reads; until then, nobody is told of a time that has passed.
#[test]
fn rule_11_a_side_that_only_writes_does_not_spin_when_all_is_written() {
    for flush in [true, false] {
        for (config, due) in
            [(Config::new().idle_timeout(millis(1_000)), 1_000), (keepalive(), 150)]
        {
            let mut server = open(Role::Server, config);
            run(&mut server, 0);
            if due == 150 {
                run(&mut server, 100);
            }
            let mut passed = 0;
            let mut ask = |server: &mut Endpoint, at: u32| {
                let answer = if flush {
                    next_write(server, at)
                } else {
                    next_outbound(&mut server.outbound, at)
                };
                if let Answer::Wait(_, Some(until)) = answer {
                    passed += usize::from(until <= at);
                }
                answer
            };
            for at in due + 500..due + 600 {
                ask(&mut server, at);
            }
            // A flush that is asked again does what is due, after the grace.
            assert!(passed <= usize::from(flush), "{passed} of {flush}, {due}");
            // Whoever reads does it, too.
            let told = [next(&mut server, due + 5_000), next(&mut server, due + 10_000)];
            assert!(!told.iter().all(|told| matches!(told, Answer::Wait(..))), "{told:?}");
        }
    }
}

// A flush may wait for a stream that holds back what it was given: a peer that takes nothing is found all the same.
#[test]
fn rule_13_a_flush_of_a_stream_that_holds_output_back_finds_a_peer_that_is_gone() {
    let mut server = pinged(Role::Server, keepalive());
    for at in [150, 156, 163, 170] {
        if let Answer::Write(..) = next_write(&mut server, at) {
            assert_eq!(next(&mut server, at), Answer::Told(failed(PongTimeout)));
            return;
        }
    }
    panic!("it is not found");
}

// Such a driver waits with `poll`, for example. It reads when there is something, and when its time has come.
#[test]
fn rule_13_a_flush_that_reads_when_its_time_has_come_finds_a_peer_that_is_gone() {
    for config in [Config::new().idle_timeout(millis(1_000)), keepalive()] {
        let mut endpoint = open(Role::Server, config);
        let (mut now, mut calls) = (0, 0);
        loop {
            calls += 1;
            assert!(calls < 10, "{config:?}");
            match endpoint.next_write(|| AT(now)) {
                Next::Write { mut output, .. } if output.chunk()[0] != FIN | CLOSE => {
                    let all = output.chunk().len();
                    output.advance(all);
                }
                Next::Write { .. } => break,
                Next::Wait { read: Some(inbound), until: Some(until) } => {
                    assert!(!inbound.read_buf().is_empty());
                    now =
                        now.max(u32::try_from(until.saturating_since(AT(0)).as_millis()).unwrap());
                }
                other => panic!("{config:?} at {now}: {other:?}"),
            }
        }
        assert!(now < 1_200, "{config:?}: {now}");
    }
}

// Fault: a driver that reads only when there is something was told again and again of a time that had passed. It is told once,
// also if it asked shortly before.
#[test]
fn rule_11_a_flush_by_a_driver_that_does_not_read_is_told_once_that_its_time_has_passed() {
    for (config, due) in [(Config::new().idle_timeout(millis(1_000)), 1_000), (keepalive(), 150)] {
        for before in [&[][..], &[due - 40, due - 20, due - 1]] {
            let mut endpoint = open(Role::Server, config);
            run(&mut endpoint, 0);
            run(&mut endpoint, 100);
            let mut until = |at| {
                let flushed = endpoint.next_write(|| AT(at));
                let Next::Wait { read: Some(_), until } = flushed else {
                    panic!("{at}: {flushed:?}")
                };
                until
            };
            for at in before.iter().copied().chain([due]) {
                assert_eq!(until(at), Some(AT(due)), "{config:?} at {at}");
            }
            for at in due..due + 100 {
                assert_eq!(until(at), None, "{config:?} at {at}");
            }
            assert!(endpoint.outbound.is_open());
        }
    }
}

// Fault: with the buffer, it was forgotten that the driver had tried to read.
#[test]
fn rule_13_a_flush_by_a_driver_with_a_buffer_of_its_own_finds_a_peer_that_is_gone() {
    let mut server = pinged(Role::Server, keepalive());
    for at in [140, 150, 156, 163, 170] {
        match server.next_write(|| AT(at)) {
            Next::Wait { read: Some(inbound), .. } => assert_eq!(inbound.receive(&[]), 0),
            Next::Write { .. } => {
                assert_eq!(next(&mut server, at), Answer::Told(failed(PongTimeout)));
                return;
            }
            other => panic!("{at}: {other:?}"),
        }
        server.release_buffers();
    }
    panic!("it is not found");
}

// Fault: the second of two flushes in a row counted as one whose stream holds output back. The Pong may lie in the stream.
#[test]
fn rule_11_a_driver_that_flushes_often_and_does_not_read_loses_no_peer() {
    for role in ROLES {
        let mut endpoint = pinged(role, keepalive());
        for at in [150, 156, 170, 1_000, 10_000] {
            endpoint.outbound.queue("x").unwrap();
            assert_eq!(write(&mut endpoint, at, usize::MAX), by(role, FIN | TEXT, b"x").len());
            for _ in 0..3 {
                let flushed = endpoint.next_write(|| AT(at));
                assert!(matches!(flushed, Next::Wait { read: Some(_), .. }), "{at}: {flushed:?}");
            }
        }
        receive(&mut endpoint, &to(role, FIN | PONG, b""));
        assert_eq!(seen_at(&mut endpoint, 10_000), [pong(b"")]);
        assert!(endpoint.outbound.is_open());
    }
}
