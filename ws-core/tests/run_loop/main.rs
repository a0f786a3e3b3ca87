//! The rules of the run loop, in the order of their numbers: what `next` answers, and when.
#![cfg(feature = "endpoint")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../ends/mod.rs"]
mod ends;

mod asking;
mod endings;
mod signs_of_life;
mod time;

use std::time::Duration;

use common::*;
use ends::{Seen, *};
use ws_core::endpoint::Options;
use ws_core::handshake::HttpResponse;
use ws_core::{Config, Endpoint, Role};

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
