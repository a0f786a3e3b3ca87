//! Calls of an endpoint in orders that no loop would make, and options at their extremes.
#![cfg(all(feature = "bytes", feature = "handshake"))]

use std::time::Duration;

use ws_core::endpoint::{Endpoint, Error, Event, Options};
use ws_core::handshake::HttpResponse;
use ws_core::{Config, Instant};

fn client(options: impl Into<Options>) -> Endpoint {
    Endpoint::client_after_handshake(options, Box::new(|bytes| bytes.fill(7)), &[])
}

/// An unmasked binary frame.
fn frame(len: usize) -> Vec<u8> {
    let mut frame = vec![0x82, 126];
    frame.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
    frame.extend((0..len).map(|at| at as u8));
    frame
}

fn lengths(endpoint: &mut Endpoint) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let Some(event) = endpoint.poll_event().unwrap() {
        let Event::Message(message) = event else { panic!("{event:?}") };
        lengths.push(message.len());
    }
    lengths
}

#[test]
fn an_offer_outlives_polls_and_nothing_read_into_it_is_lost() {
    for (first, second) in [(9096, 126), (8000, 300), (30_000, 5_000)] {
        let mut endpoint = client(Config::new());
        let wire = [frame(first), frame(second), frame(200)].concat();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            let taken = endpoint.receive(rest);
            rest = &rest[taken..];
        }
        let more = frame(130);
        let room = endpoint.read_buf();
        let count = room.len().min(more.len());
        room[..count].copy_from_slice(&more[..count]);
        assert_eq!(lengths(&mut endpoint), [first, second, 200]);
        endpoint.release_buffers();
        endpoint.filled(count);
        assert_eq!(endpoint.receive(&more[count..]), more.len() - count);
        assert_eq!(lengths(&mut endpoint), [130], "{first} {second}");
        endpoint.filled(1_000_000);
        assert_eq!(lengths(&mut endpoint), []);
    }
}

#[test]
fn an_output_limit_of_zero_still_lets_pongs_and_keepalive_out() {
    let config = Config::new().ping_interval(Some(Duration::from_secs(1)));
    let mut endpoint = client(Options::from(config).max_output(0));
    endpoint.receive(b"\x89\x01x\x89\x01y");
    while endpoint.poll_event().unwrap().is_some() {}
    // The first found the output empty, the second waits for its turn.
    assert_eq!(endpoint.output().len(), 7);
    endpoint.output().advance(7);
    assert_eq!(endpoint.output().len(), 7);
    endpoint.output().advance(7);
    endpoint.handle_timeout(Instant::from_millis(0));
    endpoint.handle_timeout(Instant::from_millis(1000));
    assert_eq!(endpoint.output().chunk()[0], 0x89);
}

#[test]
fn a_limit_on_fields_that_is_beyond_memory_costs_nothing() {
    let mut endpoint = Endpoint::server(Options::new().max_fields(usize::MAX));
    endpoint.receive(b"GET / HTTP/1.1\r\nHost: h\r\na:\r\nb:\r\n\r\n");
    let Some(Event::Http(request)) = endpoint.poll_event().unwrap() else { panic!("plain HTTP") };
    assert_eq!(request.fields().iter().count(), 3);
}

#[test]
fn time_begins_with_the_first_call_when_the_connection_was_opened_elsewhere() {
    let config = Config::new()
        .idle_timeout(Some(Duration::from_secs(60)))
        .ping_interval(Some(Duration::from_secs(20)));
    let mut endpoint = Endpoint::server_after_handshake(config, &[]);
    endpoint.handle_timeout(Instant::from_millis(3_600_000));
    assert!(endpoint.is_open());
    assert!(endpoint.output().is_empty());
    assert_eq!(endpoint.poll_timeout(), Some(Instant::from_millis(3_620_000)));
}

// RFC 9112 §9.6: half-closed by a client that waits for its answer
#[test]
fn a_page_is_still_answered_after_the_client_has_closed_its_side() {
    let mut endpoint = Endpoint::server(Config::new());
    endpoint.receive(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    endpoint.receive_eof();
    assert!(matches!(endpoint.poll_event(), Ok(Some(Event::Http(_)))));
    assert!(endpoint.poll_event().unwrap().is_none());
    endpoint.respond(&HttpResponse { status: 200, headers: &[], body: b"page" }).unwrap();
    assert!(endpoint.output().chunk().ends_with(b"\r\n\r\npage"));
    assert!(endpoint.is_closed());
}

#[test]
fn an_upgrade_whose_client_is_gone_is_over() {
    let mut endpoint = Endpoint::server(Config::new());
    endpoint.receive(
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    endpoint.receive_eof();
    assert!(matches!(endpoint.poll_event(), Ok(Some(Event::Request(_)))));
    assert_eq!(endpoint.poll_event().unwrap_err(), Error::HandshakeEof);
    assert!(endpoint.poll_event().unwrap().is_none());
    assert!(endpoint.is_finished());
}
