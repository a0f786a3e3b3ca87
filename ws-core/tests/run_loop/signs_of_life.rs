//! When a peer counts as alive: rules 12 and 13.

use ws_core::endpoint::Output;
use ws_core::{Config, Endpoint, ProtocolError::*, Role};

use super::*;

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

// How long the earlier output had waited does not count.
#[test]
fn rule_12_output_that_follows_once_all_was_written_is_new() {
    let config = Config::new().ping_interval(millis(20_000)).pong_timeout(millis(800));
    let mut server = open(Role::Server, config);
    server.outbound.queue(vec![7; 10_000]).unwrap();
    let until = |server: &mut Endpoint, at: u32| match next(server, at) {
        Answer::Write(_, true, until) => until,
        other => panic!("{other:?}"),
    };
    assert_eq!(until(&mut server, 1_000), Some(21_000));
    take(&mut server);
    server.outbound.queue(vec![7; 10_000]).unwrap();
    assert_eq!(until(&mut server, 1_010), Some(21_000));
    assert_eq!(write(&mut server, 1_109, 10), 10);
    assert_eq!(until(&mut server, 1_109), Some(21_000));
    assert_eq!(write(&mut server, 1_110, 10), 10);
    assert_eq!(until(&mut server, 1_110), Some(21_110));
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
            let both = [out.clone(), close_for(role, ws_core::ProtocolError::PongTimeout)].concat();
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

// A message that is taken slowly is no silence of ours, either.
#[test]
fn rule_12_a_connection_whose_output_is_taken_is_not_idle() {
    for role in ROLES {
        let mut endpoint = open(role, Config::new().idle_timeout(millis(10_000)));
        endpoint.outbound.queue(vec![7; 1_000_000]).unwrap();
        next(&mut endpoint, 0);
        for at in (5_000..100_000).step_by(5_000) {
            write(&mut endpoint, at, 10_000);
            assert!(matches!(next(&mut endpoint, at), Answer::Write(_, true, Some(_))));
            assert!(endpoint.outbound.is_open(), "{role:?} at {at}");
        }
        take(&mut endpoint);
        assert_eq!(next(&mut endpoint, 100_000), Answer::Wait(true, Some(110_000)));
        assert!(matches!(next(&mut endpoint, 110_000), Answer::Write(..)));
        assert!(!endpoint.outbound.is_open());
    }
}
