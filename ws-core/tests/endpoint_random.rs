//! A client whose generator of random bytes fails: RFC 6455 §10.3 leaves it nothing that it could send.
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use std::time::Duration;

use common::*;
use ends::{Seen, *};
use ws_core::endpoint::{EndpointError, Options};
use ws_core::{
    CloseCode, Config, Endpoint, Message, MessageKind, PreparedMessage, Role, SendError,
};

/// Keys that are made at once.
const BLOCK: usize = 64;

/// A generator that makes so many blocks of keys, and then none.
fn failing(blocks: usize) -> Random {
    let mut left = blocks;
    let mut key = constant(KEY);
    Box::new(move |bytes| {
        let more = left > 0;
        left = left.saturating_sub(1);
        more && key(bytes)
    })
}

/// An open client whose next key is the first that fails, with a Ping that waits to be written.
fn exhausted(options: impl Into<Options>) -> Endpoint {
    let mut client = Endpoint::client_after_handshake(options, failing(1), b"");
    for _ in 1..BLOCK {
        client.outbound.ping(b"").unwrap();
    }
    take(&mut client);
    client.outbound.ping(b"last").unwrap();
    client
}

/// It fails once, writes what was encoded, shuts down and waits for the end of the server.
#[track_caller]
fn fails(client: &mut Endpoint, at: u32) {
    let until = Some(at + 5_000);
    let expected = [
        Answer::Told(Seen::Failed(EndpointError::Random)),
        Answer::Write(by(Role::Client, FIN | PING, b"last"), true, until),
        Answer::Shutdown(until),
        Answer::Wait(true, until),
    ];
    assert_eq!(run(client, at), expected);
    assert_eq!(client.inbound.failure(), Some(EndpointError::Random));
    assert_eq!(client.close_info(), info(CloseCode::ABNORMAL, "", false, false, None));
    // Nothing follows, neither in nor out.
    assert!(!client.outbound.is_open());
    assert_eq!(client.outbound.queue("late").unwrap_err().error, SendError::Closing);
    assert_eq!(client.outbound.start_close(None, ""), Err(SendError::Closing));
    let late = [to(Role::Client, FIN | PING, b""), to(Role::Client, FIN | CLOSE, b"")];
    assert_eq!(feed_at(client, at, &late.concat()), []);
    assert_eq!(client.outbound.waiting(), 0);
    client.inbound.receive_eof();
    assert_eq!(run(client, at), [Answer::Done]);
}

#[test]
fn a_generator_that_fails_for_a_send_fails_the_connection() {
    let prepared = PreparedMessage::new(&Message::from("x"));
    for way in 0..7 {
        let mut client = exhausted(Config::new());
        let out = &mut client.outbound;
        match way {
            0 | 1 => {
                let message = Message::from(vec![7; [1, 10_000][way]]);
                let unsent = out.queue(message.clone()).unwrap_err();
                assert_eq!((unsent.message, unsent.error), (message, SendError::Random));
            }
            2 => assert_eq!(out.queue_ref("x"), Err(SendError::Random)),
            3 => assert_eq!(out.queue_prepared(&prepared), Err(SendError::Random)),
            4 => {
                let fragment = out.queue_fragment(MessageKind::Text, b"x", false);
                assert_eq!(fragment, Err(SendError::Random));
            }
            5 => assert_eq!(out.ping(b"x"), Err(SendError::Random)),
            _ => assert_eq!(out.pong(b"x"), Err(SendError::Random)),
        }
        assert!(!client.outbound.is_open());
        fails(&mut client, 10);
    }
    // The first key of all.
    let mut client = Endpoint::client_after_handshake(Config::new(), failing(0), b"");
    assert_eq!(client.outbound.queue_ref("x"), Err(SendError::Random));
    let expected = [
        Answer::Told(Seen::Failed(EndpointError::Random)),
        Answer::Shutdown(Some(5_000)),
        Answer::Wait(true, Some(5_000)),
    ];
    assert_eq!(run(&mut client, 0), expected);
}

// What came before is told before.
#[test]
fn a_generator_that_fails_for_a_pong_fails_the_connection() {
    let mut client = exhausted(Config::new());
    let stream = [
        to(Role::Client, FIN | TEXT, b"one"),
        to(Role::Client, FIN | PING, b"p"),
        to(Role::Client, FIN | TEXT, b"two"),
    ]
    .concat();
    assert_eq!(client.inbound.receive(&stream), stream.len());
    for told in [text("one"), ping(b"p"), text("two")] {
        assert_eq!(next(&mut client, 0), Answer::Told(told));
    }
    fails(&mut client, 0);
}

#[test]
fn a_generator_that_fails_for_a_close_fails_the_connection() {
    let mut client = exhausted(Config::new());
    assert_eq!(client.outbound.start_close(CloseCode::NORMAL, "bye"), Err(SendError::Random));
    fails(&mut client, 0);

    // The next fragment of a message takes the key that is missing, and has to be cut before the Close frame.
    let mut client = exhausted(Config::new().max_outgoing_frame(4));
    take(&mut client);
    client.outbound.queue("in pieces").unwrap();
    assert_eq!(client.outbound.start_close(CloseCode::NORMAL, "bye"), Err(SendError::Random));
    let until = Some(5_000);
    let expected = [
        Answer::Told(Seen::Failed(EndpointError::Random)),
        Answer::Shutdown(until),
        Answer::Wait(true, until),
    ];
    assert_eq!(run(&mut client, 0), expected);

    // The last two keys are those of the two fragments before the Close frame.
    let options = Config::new().max_outgoing_frame(4);
    let mut client = Endpoint::client_after_handshake(options, failing(1), b"");
    for _ in 2..BLOCK {
        client.outbound.ping(b"").unwrap();
    }
    client.outbound.queue("two of 4").unwrap();
    client.outbound.start_close(CloseCode::NORMAL, "bye").unwrap();
    take(&mut client);
    let expected = [
        Answer::Told(Seen::Failed(EndpointError::Random)),
        Answer::Shutdown(until),
        Answer::Wait(true, until),
    ];
    assert_eq!(run(&mut client, 0), expected);

    // For an error of the peer's, that is the error.
    let mut client = exhausted(Config::new());
    let _ = client.inbound.receive(&[0xff; 2]);
    let until = Some(5_000);
    let expected = [
        Answer::Told(failed(ws_core::ProtocolError::ReservedOpcode(15))),
        Answer::Write(by(Role::Client, FIN | PING, b"last"), true, until),
        Answer::Shutdown(until),
        Answer::Wait(true, until),
    ];
    assert_eq!(run(&mut client, 0), expected);
    assert_eq!(client.close_info(), info(CloseCode::ABNORMAL, "", false, false, None));

    // The peer's Close frame is an end that is told; that it has no answer is not clean.
    let mut client = exhausted(Config::new());
    let close = to(Role::Client, FIN | CLOSE, &close_body(1000, ""));
    let _ = client.inbound.receive(&close);
    let expected = [
        Answer::Told(closed(1000, "")),
        Answer::Write(by(Role::Client, FIN | PING, b"last"), true, until),
        Answer::Shutdown(until),
        Answer::Wait(true, until),
    ];
    assert_eq!(run(&mut client, 0), expected);
    assert_eq!(client.close_info(), info(CloseCode::NORMAL, "", false, false, None));
}

#[test]
fn a_generator_that_fails_for_what_is_due_fails_the_connection() {
    for idle in [true, false] {
        let config = Config::new();
        let due = Some(Duration::from_millis(100));
        let config = if idle { config.idle_timeout(due) } else { config.ping_interval(due) };
        let mut client = exhausted(config);
        let ping = by(Role::Client, FIN | PING, b"last");
        assert_eq!(next(&mut client, 0), Answer::Write(ping.clone(), true, Some(100)));
        assert_eq!(next(&mut client, 99), Answer::Write(ping, true, Some(100)));
        fails(&mut client, 100);
    }
}

// It is told before the stream is shut down, however much of the message was left.
#[test]
fn a_generator_that_fails_within_a_message_fails_the_connection() {
    for (max, held) in [(10, false), (2_000, false), (2_000, true)] {
        let config = Config::new().max_outgoing_frame(max);
        let mut client = Endpoint::client_after_handshake(config, failing(1), b"");
        client.outbound.queue(vec![7; 100 * max as usize]).unwrap();
        client.outbound.queue("behind").unwrap();
        let mut told = Vec::new();
        if held {
            // The output is in their way.
            told = vec![Answer::Told(text("one")), Answer::Told(text("two"))];
            let stream =
                [to(Role::Client, FIN | TEXT, b"one"), to(Role::Client, FIN | TEXT, b"two")]
                    .concat();
            let _ = client.inbound.receive(&stream);
        }
        let until = Some(5_000);
        let answers = run(&mut client, 0);
        let (wrote, rest) = answers.split_at(BLOCK);
        let part = vec![7; max as usize];
        for (at, answer) in wrote.iter().enumerate() {
            let first = if at == 0 { BINARY } else { CONT };
            assert_eq!(*answer, Answer::Write(by(Role::Client, first, &part), !held, None));
        }
        told.extend([
            Answer::Told(Seen::Failed(EndpointError::Random)),
            Answer::Shutdown(until),
            Answer::Wait(true, until),
        ]);
        assert_eq!(rest, told, "{max} {held}");
        assert_eq!(client.outbound.waiting(), 0);
    }
}

// A side that only writes shuts down; the other side tells why.
#[test]
fn a_generator_that_fails_is_told_by_the_side_that_reads() {
    let config = Config::new().max_outgoing_frame(10);
    let Endpoint { mut inbound, mut outbound, .. } =
        Endpoint::client_after_handshake(config, failing(0), b"");
    outbound.queue(vec![7; 100]).unwrap();
    assert_eq!(next_outbound(&mut outbound, 20), Answer::Shutdown(Some(5_020)));
    assert_eq!(outbound.waiting(), 0);
    outbound.shut_down();
    assert_eq!(next_outbound(&mut outbound, 20), Answer::Wait(false, Some(5_020)));
    let told = next_inbound(&mut inbound, &mut outbound, 20);
    assert_eq!(told, Answer::Told(Seen::Failed(EndpointError::Random)));
    assert_eq!(next_inbound(&mut inbound, &mut outbound, 20), Answer::Wait(true, Some(5_020)));
    assert_eq!(next_inbound(&mut inbound, &mut outbound, 5_020), Answer::Done);
    assert_eq!(next_outbound(&mut outbound, 5_020), Answer::Done);
}
