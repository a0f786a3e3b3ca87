//! permessage-deflate of an endpoint: two endpoints that agree on it talk to each other.

#![cfg(all(feature = "endpoint", feature = "zlib-rs"))]

#[path = "../attacks/mod.rs"]
mod attacks;
#[path = "../attacks/bomb.rs"]
mod bomb;
#[path = "../common/mod.rs"]
mod common;
#[path = "../ends/mod.rs"]
mod ends;
#[path = "../meter/mod.rs"]
mod meter;

mod chunking;
mod driver;
mod failing;
mod memory;
mod sharing;

use ws_core::deflate::{DeflateConfig, DeflateParams, Pool, WindowBits};
use ws_core::endpoint::{Compression, Endpoint, Event, Next, Options};
use ws_core::handshake::{AcceptResponse, ClientRequest};
use ws_core::{Instant, Message};

/// What one side has told.
#[derive(Debug, PartialEq)]
enum Told {
    Message(Message),
    Other(String),
}

/// Two endpoints with nothing but memory between them.
struct Pair {
    client: Endpoint,
    server: Endpoint,
    /// All bytes that went each way.
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    told_by_server: Vec<Told>,
    told_by_client: Vec<Told>,
}

impl Pair {
    fn new(server: Options, client: Options) -> Self {
        let mut pair = Self::waiting(server, client);
        pair.run();
        pair
    }

    /// Before the opening handshake.
    fn waiting(server: Options, client: Options) -> Self {
        let random = |bytes: &mut [u8]| {
            bytes.fill(0x5a);
            true
        };
        let request = ClientRequest::new("example.com", "/");
        Self {
            client: Endpoint::client(&request, client, random).unwrap(),
            server: Endpoint::server(server),
            to_server: Vec::new(),
            to_client: Vec::new(),
            told_by_server: Vec::new(),
            told_by_client: Vec::new(),
        }
    }

    /// Until neither side has anything to say.
    fn run(&mut self) {
        let mut back = drive(&mut self.server, &mut self.told_by_server);
        loop {
            self.to_client.extend_from_slice(&back);
            let there = feed(&mut self.client, &back, &mut self.told_by_client);
            self.to_server.extend_from_slice(&there);
            back = feed(&mut self.server, &there, &mut self.told_by_server);
            if there.is_empty() && back.is_empty() {
                return;
            }
        }
    }
}

/// Does what an endpoint wants; returns what it has written.
fn drive(endpoint: &mut Endpoint, told: &mut Vec<Told>) -> Vec<u8> {
    let mut written = Vec::new();
    loop {
        match endpoint.next(|| Instant::from_millis(0)) {
            Next::Event(Event::Request(_)) => {
                endpoint.outbound.accept(&AcceptResponse::new()).unwrap();
            }
            Next::Event(Event::Message(message)) => told.push(Told::Message(message)),
            Next::Event(Event::Open { .. }) => {}
            Next::Event(event) => told.push(Told::Other(format!("{event:?}"))),
            Next::Failed(error) => told.push(Told::Other(format!("{error:?}"))),
            Next::Write { mut output, .. } => {
                let count = output.chunk().len();
                written.extend_from_slice(output.chunk());
                output.advance(count);
            }
            Next::Shutdown { side, .. } => side.shut_down(),
            Next::Wait { .. } | Next::Done => return written,
        }
    }
}

/// Lets an endpoint read; returns what it has written.
fn feed(endpoint: &mut Endpoint, bytes: &[u8], told: &mut Vec<Told>) -> Vec<u8> {
    let mut written = drive(endpoint, told);
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = endpoint.inbound.receive(rest);
        rest = &rest[count..];
        written.extend(drive(endpoint, told));
    }
    written
}

fn on(pool: &Pool) -> Options {
    Options::new().deflate(Compression::new(pool))
}

#[test]
fn both_sides_agree_and_messages_arrive_as_they_were_sent() {
    let pool = Pool::new();
    let mut pair = Pair::new(on(&pool), on(&pool));
    let agreed = DeflateParams {
        server_max_window_bits: WindowBits::new(12),
        client_max_window_bits: WindowBits::new(12),
        ..DeflateParams::default()
    };
    assert_eq!(pair.server.outbound.deflate(), Some(agreed));
    assert_eq!(pair.client.outbound.deflate(), Some(agreed));

    let long = "the same again, ".repeat(500);
    let before = pair.to_server.len();
    for _ in 0..3 {
        pair.client.outbound.queue(&*long).unwrap();
        pair.server.outbound.queue(long.clone().into_bytes()).unwrap();
        pair.run();
    }
    let bytes = pair.to_server.len() - before;
    assert!(bytes < 400, "{bytes} bytes for three messages of {}", long.len());
    assert_eq!(pair.told_by_server, [0; 3].map(|_| Told::Message(Message::from(&*long))));
    let binary = || Told::Message(Message::from(long.clone().into_bytes()));
    assert_eq!(pair.told_by_client, [0; 3].map(|_| binary()));
}

#[test]
fn without_an_option_nothing_is_offered_or_agreed_to() {
    let pool = Pool::new();
    for (server, client) in [(Options::new(), on(&pool)), (on(&pool), Options::new())] {
        let mut pair = Pair::new(server, client);
        assert_eq!(pair.server.outbound.deflate(), None);
        assert_eq!(pair.client.outbound.deflate(), None);
        let text = "a".repeat(1000);
        pair.client.outbound.queue(&*text).unwrap();
        pair.run();
        assert_eq!(pair.told_by_server, [Told::Message(Message::from(&*text))]);
        let response = String::from_utf8_lossy(&pair.to_client).into_owned();
        assert!(!response.contains("permessage-deflate"), "{response}");
    }
}

#[test]
fn agreed_windows_are_those_that_were_asked_for() {
    let pool = Pool::new();
    for bits in 8..=15 {
        let bits = WindowBits::new(bits).unwrap();
        let config = DeflateConfig::new().server_max_window_bits(bits).client_max_window_bits(bits);
        let own = || Options::new().deflate(Compression::new(&pool).negotiation(config));
        let mut pair = Pair::new(own(), own());
        let text: String = (0..3000).map(|i| format!("{} ", i * i % 977)).collect();
        for _ in 0..4 {
            pair.client.outbound.queue(&*text).unwrap();
            pair.server.outbound.queue(&*text).unwrap();
        }
        pair.run();
        assert_eq!(pair.told_by_server, [0; 4].map(|_| Told::Message(Message::from(&*text))));
        assert_eq!(pair.told_by_client, [0; 4].map(|_| Told::Message(Message::from(&*text))));
    }
}

// RFC 6455 §4.1: the connection is open when the response has come, whatever lies behind it
#[test]
fn compressed_messages_may_lie_right_behind_the_response() {
    let pool = Pool::new();
    let random = |bytes: &mut [u8]| {
        bytes.fill(0x5a);
        true
    };
    let text = "right behind, right behind, right behind, right behind, right behind";
    for size in [usize::MAX, 1, 7] {
        let mut client =
            Endpoint::client(&ClientRequest::new("example.com", "/"), on(&pool), random).unwrap();
        let mut told = Vec::new();
        let request = drive(&mut client, &mut told);
        let mut server = Endpoint::server(on(&pool));
        assert_eq!(server.inbound.receive(&request), request.len());
        let next = server.next(|| Instant::from_millis(0));
        assert!(matches!(next, Next::Event(Event::Request(_))), "{next:?}");
        // Before the server has told that it is open.
        server.outbound.accept(&AcceptResponse::new()).unwrap();
        for _ in 0..2 {
            server.outbound.queue(text).unwrap();
        }
        let answer = drive(&mut server, &mut told);
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(answer[head], 0xc1);
        let back: Vec<u8> =
            answer.chunks(size).flat_map(|piece| feed(&mut client, piece, &mut told)).collect();
        assert_eq!(back, b"");
        assert_eq!(told, [0; 2].map(|_| Told::Message(Message::from(text))), "{size}");
        client.outbound.queue(text).unwrap();
        let sent = drive(&mut client, &mut told);
        assert_eq!(sent[0], 0xc1);
        feed(&mut server, &sent, &mut told);
        assert_eq!(told.len(), 3);
    }
}

// It protects secrets: it must not be lost because it came early
#[test]
fn compression_can_be_turned_off_before_the_connection_is_open() {
    let pool = Pool::new();
    let mut pair = Pair::waiting(on(&pool), on(&pool));
    pair.client.outbound.set_compression(false);
    pair.server.outbound.set_compression(false);
    pair.run();
    for side in [&pair.server.outbound, &pair.client.outbound] {
        assert!(side.deflate().is_some() && !side.is_compressing());
    }
    let text = "a".repeat(500);
    pair.server.outbound.queue(&*text).unwrap();
    pair.run();
    assert!(pair.to_client.ends_with(text.as_bytes()));
    pair.server.outbound.set_compression(true);
    pair.server.outbound.queue(&*text).unwrap();
    pair.run();
    assert!(!pair.to_client.ends_with(text.as_bytes()));
}
