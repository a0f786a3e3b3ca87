//! Calls of an endpoint in orders that no loop would make, and options at their extremes.
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use std::time::Duration;

use common::*;
use ends::*;
use ws_core::endpoint::{Event, Next, Options, Output};
use ws_core::{CloseCode, Config, Endpoint, Role, SendError};

/// The lengths of all messages; nothing is offered to be read into on the way.
fn lengths(endpoint: &mut Endpoint) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let Next::Event(event) = endpoint.next(|| AT(0)) {
        let Event::Message(message) = event else { panic!("{event:?}") };
        lengths.push(message.len());
    }
    lengths
}

#[test]
fn an_offer_outlives_questions_and_nothing_read_into_it_is_lost() {
    let frame = |len: usize| {
        let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
        to(Role::Client, FIN | BINARY, &payload)
    };
    for (first, second) in [(9096, 126), (8000, 300), (30_000, 5_000)] {
        let mut endpoint = client();
        let wire = [frame(first), frame(second), frame(200)].concat();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            let taken = endpoint.inbound.receive(rest);
            rest = &rest[taken..];
        }
        let more = frame(130);
        let room = endpoint.inbound.read_buf();
        let count = room.len().min(more.len());
        room[..count].copy_from_slice(&more[..count]);
        assert_eq!(lengths(&mut endpoint), [first, second, 200]);
        endpoint.release_buffers();
        endpoint.inbound.filled(count);
        let left = more.len() - count;
        assert_eq!(endpoint.inbound.receive(&more[count..]), left);
        assert_eq!(lengths(&mut endpoint), [130], "{first} {second}");
        endpoint.inbound.filled(1_000_000);
        assert_eq!(lengths(&mut endpoint), []);
    }
}

#[test]
fn an_output_limit_of_zero_still_lets_pongs_and_keepalive_out() {
    let config = Config::new().ping_interval(Some(Duration::from_secs(1)));
    let mut client = open(Role::Client, Options::from(config).max_output(0));
    let pings = [to(Role::Client, FIN | PING, b"x"), to(Role::Client, FIN | PING, b"y")];
    assert_eq!(feed(&mut client, &pings.concat()), [ping(b"x"), ping(b"y")]);
    // The first found the output empty, the second waits for its turn.
    let sent = |payload: &[u8], first, until| {
        Answer::Write(by(Role::Client, FIN | first, payload), true, Some(until))
    };
    let wait = |until| Answer::Wait(true, Some(until));
    let expected = [sent(b"x", PONG, 1_000), sent(b"y", PONG, 1_000), wait(1_000)];
    assert_eq!(run(&mut client, 0), expected);
    assert_eq!(run(&mut client, 1_000), [sent(b"", PING, 21_000), wait(21_000)]);
}

#[test]
fn a_limit_on_fields_that_is_beyond_memory_costs_nothing() {
    let mut server = Endpoint::server(Options::new().max_fields(usize::MAX));
    let _ = server.inbound.receive(b"GET / HTTP/1.1\r\nHost: h\r\na:\r\nb:\r\n\r\n");
    let Next::Event(Event::Http(request)) = server.next(|| AT(0)) else { panic!("plain HTTP") };
    assert_eq!(request.fields().count(), 3);
}

#[test]
fn pongs_are_bounded_by_all_that_waits() {
    let mut server = open(Role::Server, Options::new().max_output(1_000));
    server.outbound.queue(vec![7; 1_000]).unwrap();
    let mut batch = Output::default();
    server.outbound.take_output(&mut batch);
    for number in 0..100 {
        let told = feed(&mut server, &to(Role::Server, FIN | PING, &[number]));
        assert_eq!(told, [ping(&[number])]);
    }
    assert_eq!(server.outbound.waiting(), batch.len(), "the latest waits");
    server.outbound.written(batch.len());
    assert_eq!(take(&mut server), by(Role::Server, FIN | PONG, &[99]));
}

#[test]
fn output_that_was_taken_counts_towards_the_limit() {
    let mut server = open(Role::Server, Options::new().max_output(1_000));
    server.outbound.queue(vec![7; 900]).unwrap();
    let mut batch = Output::default();
    server.outbound.take_output(&mut batch);
    let refused = server.outbound.queue(vec![7; 900]).unwrap_err();
    assert_eq!(refused.error, SendError::OutputFull);
    server.outbound.written(batch.len());
    server.outbound.queue(vec![7; 900]).unwrap();
    server.outbound.receive_reset();
    // What a driver still tells of its batch is of no interest.
    server.outbound.written(batch.len());
    assert!(!server.outbound.is_open());
    assert_eq!(run(&mut server, 0), [Answer::Told(closed(1006, "")), Answer::Done]);
}

// It needs little room, and nothing comes after it.
#[test]
fn a_close_frame_goes_into_a_full_output() {
    for role in ROLES {
        for (received, code) in [
            (to(role, FIN | CLOSE, &close_body(1000, "")), CloseCode::NORMAL),
            (to(role, FIN | TEXT, b"\xff"), CloseCode::INVALID_PAYLOAD),
        ] {
            let mut endpoint = open(role, Options::new().max_output(100));
            endpoint.outbound.queue(vec![7; 200]).unwrap();
            assert_eq!(seen(&mut endpoint), []);
            let before = endpoint.outbound.waiting();
            assert_eq!(endpoint.inbound.receive(&received), received.len());
            let Answer::Told(_) = next(&mut endpoint, 0) else { panic!("an end") };
            let Answer::Write(output, ..) = next(&mut endpoint, 0) else { panic!("output") };
            let close = plain(&output[before..]);
            assert_eq!(close.len(), 1);
            assert_eq!(
                (close[0].0, &close[0].1[..2]),
                (FIN | CLOSE, &code.get().to_be_bytes()[..])
            );
        }
    }
}
