//! How a connection ends, and what bounds it: rules 14 to 18. Last, what no rule has a number for.

use ws_core::endpoint::{EndpointError, Options, Output};
use ws_core::handshake::ClientRequest;
use ws_core::{CloseCode, Config, Endpoint, Instant, ProtocolError::*, Role, SendError};

use super::*;

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
            Answer::Write(
                close_for(role, ws_core::ProtocolError::ReservedOpcode(3)),
                true,
                Some(5_000),
            ),
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
        assert_eq!(server.close_info(), info(CloseCode::NO_STATUS, "", true, false, Some(1005)));
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
        assert_eq!(endpoint.close_info(), info(CloseCode::ABNORMAL, "", false, false, None));

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

#[test]
fn rule_15_a_peer_that_breaks_the_protocol_after_our_close_frame_is_closed_with_1006() {
    for role in ROLES {
        let mut endpoint = open(role, Config::new());
        endpoint.outbound.start_close(CloseCode::NORMAL, "").unwrap();
        let close = Answer::Write(close_by(role, CloseCode::NORMAL), true, Some(5_000));
        assert_eq!(run(&mut endpoint, 0), [close, Answer::Wait(true, Some(5_000))]);
        receive(&mut endpoint, &[to(role, FIN | TEXT, b"one"), vec![0xff; 9]].concat());
        let expected = [
            Answer::Told(text("one")),
            Answer::Told(closed_by_us(1006, "")),
            Answer::Shutdown(Some(5_000)),
            Answer::Wait(true, Some(5_000)),
        ];
        assert_eq!(run(&mut endpoint, 1_000), expected);
        assert_eq!(run(&mut endpoint, 5_000), [Answer::Done]);
        let how = info(CloseCode::ABNORMAL, "", false, true, Some(1000));
        assert_eq!(endpoint.close_info(), how);
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
            assert_eq!(endpoint.close_info(), info(CloseCode::ABNORMAL, "", false, false, None));
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

// What is left of the time for closing, or that time from then on.
#[test]
fn rule_17_output_has_the_time_for_closing_once_the_stream_has_ended() {
    for is_closing in [false, true] {
        let mut server = open(Role::Server, Config::new().close_timeout(millis(5_000)));
        server.outbound.queue(vec![7; 10_000]).unwrap();
        if is_closing {
            server.outbound.start_close(CloseCode::NORMAL, "").unwrap();
        }
        let Answer::Write(_, true, until) = next(&mut server, 1_000) else { panic!("output") };
        assert_eq!(until, is_closing.then_some(6_000));
        server.inbound.receive_eof();
        let expected = if is_closing { 6_000 } else { 8_000 };
        let mut answer = next(&mut server, 3_000);
        if let Answer::Told(_) = answer {
            answer = next(&mut server, 3_000);
        }
        let Answer::Write(_, _, until) = answer else { panic!("{answer:?}") };
        assert_eq!(until, Some(expected));
    }
}

#[test]
fn the_time_for_closing_is_what_was_set() {
    for timeout in [None, millis(1), millis(5_000)] {
        let server = open(Role::Server, Config::new().close_timeout(timeout));
        assert_eq!(server.outbound.close_timeout(), timeout);
    }
}

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
