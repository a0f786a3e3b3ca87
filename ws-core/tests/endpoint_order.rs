//! Calls of an endpoint in orders that no loop would make, and options at their extremes.
#![cfg(feature = "endpoint")]

use std::time::Duration;

use ws_core::endpoint::{Endpoint, Error, Event, Options, Output};
use ws_core::handshake::{ClientRequest, HttpResponse};
use ws_core::{Config, Instant, SendError};

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
    let _ = endpoint.receive(b"\x89\x01x\x89\x01y");
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
    let _ = endpoint.receive(b"GET / HTTP/1.1\r\nHost: h\r\na:\r\nb:\r\n\r\n");
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
    let _ = endpoint.receive(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    endpoint.receive_eof();
    assert!(matches!(endpoint.poll_event(), Ok(Some(Event::Http(_)))));
    assert!(endpoint.poll_event().unwrap().is_none());
    endpoint.respond(&HttpResponse::new(200).body(b"page")).unwrap();
    assert!(endpoint.output().chunk().ends_with(b"\r\n\r\npage"));
    assert!(endpoint.is_closed());
}

#[test]
fn an_upgrade_whose_client_is_gone_is_over() {
    let mut endpoint = Endpoint::server(Config::new());
    let _ = endpoint.receive(
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    endpoint.receive_eof();
    assert!(matches!(endpoint.poll_event(), Ok(Some(Event::Request(_)))));
    assert_eq!(endpoint.poll_event().unwrap_err(), Error::HandshakeEof);
    assert!(endpoint.poll_event().unwrap().is_none());
    assert!(endpoint.is_finished());
}

const AT: fn(u32) -> Instant = Instant::from_millis;

/// A client that has sent its keepalive Ping and waits for the Pong until 150.
fn pinged() -> Endpoint {
    let config = Config::new()
        .ping_interval(Some(Duration::from_millis(100)))
        .pong_timeout(Some(Duration::from_millis(50)));
    let mut endpoint = client(config);
    endpoint.handle_timeout(AT(0));
    endpoint.handle_timeout(AT(100));
    let ping = endpoint.output().len();
    assert_eq!(ping, 6);
    endpoint.output().advance(ping);
    assert_eq!(endpoint.poll_timeout(), Some(AT(150)));
    endpoint
}

// A driver that was held up reads the Pong and tells the time in the order that it likes.
#[test]
fn a_pong_among_the_bytes_that_came_counts_whenever_the_time_is_told() {
    for time_first in [true, false] {
        let mut endpoint = pinged();
        if time_first {
            endpoint.handle_timeout(AT(1_000));
        }
        let _ = endpoint.receive(b"\x8a\x00\x82\x01x\x82");
        if !time_first {
            endpoint.handle_timeout(AT(1_000));
        }
        assert!(matches!(endpoint.poll_event(), Ok(Some(Event::Pong(_)))));
        assert!(matches!(endpoint.poll_event(), Ok(Some(Event::Message(_)))));
        assert_eq!(endpoint.poll_event().unwrap().map(drop), None);
        assert_eq!(endpoint.poll_timeout(), Some(AT(1_100)));
        // What is due is not forgotten: the half of a header that is left is nothing new.
        endpoint.handle_timeout(AT(1_100));
        assert_eq!(endpoint.output().len(), 6);
        endpoint.output().advance(6);
        endpoint.handle_timeout(AT(1_150));
        assert_eq!(endpoint.poll_event().unwrap_err(), Error::PongTimeout);
    }
}

#[test]
fn what_is_due_happens_after_the_bytes_that_came() {
    let config = Config::new().idle_timeout(Some(Duration::from_millis(100)));
    let mut endpoint = client(config);
    endpoint.handle_timeout(AT(0));
    let _ = endpoint.receive(b"\x89\x00");
    endpoint.handle_timeout(AT(100));
    assert!(matches!(endpoint.poll_event(), Ok(Some(Event::Ping(_)))));
    assert!(endpoint.is_open());
    assert!(endpoint.poll_event().unwrap().is_none());
    assert!(!endpoint.is_open(), "idle, but for a Ping");

    // A request that is complete is not too late.
    let mut server = Endpoint::server(Options::new());
    server.handle_timeout(AT(0));
    let _ = server.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    server.handle_timeout(AT(60_000));
    assert!(matches!(server.poll_event(), Ok(Some(Event::Http(_)))));
    let mut server = Endpoint::server(Options::new());
    server.handle_timeout(AT(0));
    let _ = server.receive(b"GET / HTTP/1.1\r\nHost: a\r\n");
    server.handle_timeout(AT(60_000));
    assert_eq!(server.poll_event().unwrap_err(), Error::HandshakeTimeout);
}

// Unparsed bytes do not keep a connection alive for ever.
#[test]
fn a_driver_that_does_not_parse_is_not_waited_for() {
    let mut endpoint = pinged();
    let _ = endpoint.receive(b"\x82\x01x");
    endpoint.handle_timeout(AT(150));
    assert!(endpoint.is_open());
    endpoint.handle_timeout(AT(200));
    assert!(endpoint.is_open(), "it comes late: a little more");
    endpoint.handle_timeout(AT(206));
    endpoint.handle_timeout(AT(207));
    assert!(endpoint.is_closed());
}

// A plain request whose client has half-closed can still be answered, for as long as a closing
// handshake may take. A driver has nothing to read meanwhile.
#[test]
fn a_request_that_nobody_answers_comes_to_an_end() {
    let asked = || {
        let options = Config::new().close_timeout(Some(Duration::from_millis(100)));
        let mut server = Endpoint::server(options);
        server.handle_timeout(AT(0));
        let _ = server.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(matches!(server.poll_event(), Ok(Some(Event::Http(_)))));
        assert!(server.wants_read());
        assert_eq!(server.poll_timeout(), None, "the application may take its time");
        server.receive_eof();
        assert!(server.poll_event().unwrap().is_none());
        assert!(!server.wants_read() && !server.is_finished());
        server.handle_timeout(AT(1000));
        assert_eq!(server.poll_timeout(), Some(AT(1100)));
        server.handle_timeout(AT(1099));
        assert!(!server.is_finished());
        server
    };
    let mut server = asked();
    server.handle_timeout(AT(1100));
    assert!(server.is_finished() && server.is_closed() && server.poll_event().unwrap().is_none());
    let page = HttpResponse::new(200).body(b"page");
    assert!(server.respond(&page).is_err() && server.output().is_empty());

    let mut server = asked();
    server.respond(&page).unwrap();
    assert!(server.output().chunk().ends_with(b"page"));
    server.output().advance(usize::MAX);
    assert!(server.wants_shutdown());
}

#[test]
fn wants_read_when_there_is_room_to_read_into() {
    let mut server = Endpoint::server(Options::new());
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let _ = server.receive(request);
    assert!(matches!(server.poll_event(), Ok(Some(Event::Request(_)))));
    // Frames wait until the request is answered, and there is an end to them.
    let pings = [0x89, 0x80, 0, 0, 0, 0].repeat(100_000);
    let mut taken = 0;
    while server.wants_read() {
        assert!(!server.read_buf().is_empty());
        taken += server.receive(&pings[taken..][..1000]);
    }
    assert!((64 * 1024..256 * 1024).contains(&taken), "{taken}");
    assert!(server.read_buf().is_empty());
    server.accept(&Default::default()).unwrap();
    while server.poll_event().unwrap().is_some() {}
    assert!(server.wants_read());
    server.receive_eof();
    assert!(!server.wants_read());
}

#[test]
fn the_failure_is_kept() {
    let mut endpoint = client(Config::new());
    assert_eq!(endpoint.failure(), None);
    let _ = endpoint.receive(b"\x81\x01x\xff\xff");
    assert!(matches!(endpoint.poll_event(), Ok(Some(Event::Message(_)))));
    assert_eq!(endpoint.failure(), None);
    let error = endpoint.poll_event().unwrap_err();
    assert!(endpoint.poll_event().unwrap().is_none());
    assert_eq!(endpoint.failure(), Some(error));
    // Of text that is found to be none where it is taken out, too.
    for by_ref in [true, false] {
        let mut endpoint = client(Config::new());
        let _ = endpoint.receive(b"\x81\x01\xff");
        let failed = if by_ref {
            endpoint.poll_event_ref().is_err()
        } else {
            endpoint.poll_event().is_err()
        };
        assert!(failed && endpoint.failure().is_some(), "{by_ref}");
    }
    let mut server = Endpoint::server(Options::new());
    server.receive_eof();
    assert_eq!(server.poll_event().unwrap_err(), Error::HandshakeEof);
    assert_eq!(server.failure(), Some(Error::HandshakeEof));
}

// Who takes a long message bit by bit cannot answer a Ping that lies behind it.
#[test]
fn who_takes_what_waits_is_alive() {
    for (step, alive) in [(10_000, true), (0, false)] {
        let config = Config::new()
            .ping_interval(Some(Duration::from_millis(100)))
            .pong_timeout(Some(Duration::from_millis(50)));
        let mut endpoint = client(config);
        endpoint.handle_timeout(AT(0));
        endpoint.send(vec![7; 1_000_000]).unwrap();
        for at in (0..2_000).step_by(20) {
            endpoint.handle_timeout(AT(at));
            endpoint.output().advance(step);
        }
        assert_eq!(endpoint.is_open(), alive);
        // From now on it takes nothing.
        (2_000..2_200).step_by(20).for_each(|at| endpoint.handle_timeout(AT(at)));
        assert!(endpoint.is_closed());
    }
    // The kernel takes small messages for a peer that has vanished: that is no sign of life.
    let mut endpoint = pinged();
    for at in 100..=150 {
        endpoint.send("tick").unwrap();
        endpoint.handle_timeout(AT(at));
        endpoint.output().advance(usize::MAX);
    }
    assert!(endpoint.is_closed());
}

// Nor does what it has not taken keep a driver that writes before it looks.
#[test]
fn who_is_given_up_gets_nothing_more() {
    let config = Config::new().close_timeout(Some(Duration::from_millis(100)));
    let mut endpoint = client(config);
    endpoint.handle_timeout(AT(0));
    endpoint.send(vec![7; 1_000_000]).unwrap();
    endpoint.close(None, "").unwrap();
    endpoint.handle_timeout(AT(99));
    assert!(!endpoint.is_finished() && endpoint.output().len() > 1_000_000);
    endpoint.handle_timeout(AT(100));
    assert!(endpoint.is_finished() && endpoint.output().is_empty());

    // A page goes out for as long as its client takes it.
    let page = HttpResponse::new(200).body(&[b'x'; 100_000]);
    let mut server = Endpoint::server(config);
    server.handle_timeout(AT(0));
    let _ = server.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(matches!(server.poll_event(), Ok(Some(Event::Http(_)))));
    server.respond(&page).unwrap();
    assert!(server.poll_event().unwrap().is_none());
    for at in (10..1_000).step_by(90) {
        server.handle_timeout(AT(at));
        server.output().advance(1_000);
    }
    assert!(!server.is_finished() && server.output().len() > 50_000);
    server.handle_timeout(AT(1_000));
    server.handle_timeout(AT(1_100));
    assert!(server.is_finished() && server.output().is_empty());
}

/// Waits for a lost peer: its Close frame is in the output.
fn lost(close_timeout: Option<Duration>) -> Endpoint {
    let config = Config::new()
        .ping_interval(Some(Duration::from_millis(100)))
        .pong_timeout(Some(Duration::from_millis(50)))
        .close_timeout(close_timeout);
    let mut endpoint = client(config);
    for at in [0, 100] {
        endpoint.handle_timeout(AT(at));
        endpoint.output().advance(usize::MAX);
    }
    endpoint.handle_timeout(AT(150));
    assert_eq!(endpoint.poll_event().unwrap_err(), Error::PongTimeout);
    assert!(!endpoint.is_finished());
    endpoint
}

#[test]
fn nothing_is_read_from_who_is_lost_and_was_told() {
    let mut endpoint = lost(Some(Duration::from_millis(500)));
    endpoint.output().advance(usize::MAX);
    assert!(endpoint.is_finished() && !endpoint.wants_read());
    assert_eq!(endpoint.poll_timeout(), None);
}

#[test]
fn who_is_lost_and_takes_nothing_has_a_bound() {
    for (close_timeout, until) in [(Some(Duration::from_millis(500)), 650), (None, 200)] {
        let mut endpoint = lost(close_timeout);
        assert_eq!(endpoint.poll_timeout(), Some(AT(until)));
        endpoint.handle_timeout(AT(until - 1));
        assert!(!endpoint.is_finished());
        endpoint.handle_timeout(AT(until));
        assert!(endpoint.is_finished() && endpoint.output().is_empty());
    }
}

// An answer that comes after the peer's end is written before it is finished, within a bound.
#[test]
fn a_page_for_who_has_half_closed_is_written() {
    let mut server = Endpoint::server(Options::new());
    server.handle_timeout(AT(0));
    let _ = server.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(matches!(server.poll_event(), Ok(Some(Event::Http(_)))));
    server.receive_eof();
    assert!(server.poll_event().unwrap().is_none());
    let page = HttpResponse::new(200).body(&[b'x'; 10_000]);
    server.respond(&page).unwrap();
    assert!(server.poll_event().unwrap().is_none());
    assert!(!server.is_finished() && !server.wants_read());
    assert_eq!(server.poll_timeout(), Some(AT(5_000)));
    server.output().advance(5_000);
    server.handle_timeout(AT(4_000));
    server.output().advance(1_000);
    server.handle_timeout(AT(4_900));
    // For as long as it takes some.
    server.handle_timeout(AT(9_000));
    assert!(!server.is_finished());
    server.output().advance(usize::MAX);
    assert!(server.is_finished() && server.wants_shutdown());
}

#[test]
fn a_stream_that_has_failed_is_over_when_all_is_told() {
    let mut endpoint = lost(None);
    endpoint.receive_reset();
    let _ = endpoint.poll_event();
    assert!(endpoint.is_finished() && endpoint.output().is_empty());

    let mut endpoint = client(Config::new());
    endpoint.send(vec![1; 100]).unwrap();
    let _ = endpoint.receive(b"\x81\x02hi\x89\x01x\x82\x05cut");
    endpoint.receive_reset();
    assert!(endpoint.output().is_empty() && !endpoint.wants_read() && !endpoint.is_finished());
    assert!(matches!(endpoint.poll_event(), Ok(Some(Event::Message(_)))));
    assert!(endpoint.send(vec![1]).is_err());
    assert!(matches!(endpoint.poll_event(), Ok(Some(Event::Ping(_)))));
    let Ok(Some(Event::Closed(info))) = endpoint.poll_event() else { panic!("not closed") };
    assert!(!info.clean);
    assert!(endpoint.poll_event().unwrap().is_none());
    assert!(endpoint.is_finished() && endpoint.output().is_empty());
    // Before anything was opened, too.
    let mut server = Endpoint::server(Options::new());
    server.receive_reset();
    assert_eq!(server.poll_event().unwrap_err(), Error::HandshakeEof);
    assert!(server.is_finished());
}

// What is due is done: a driver that waits for the next time does not spin.
#[test]
fn a_time_that_was_told_is_not_asked_for_again() {
    let request = ClientRequest::new("a", "/");
    let random = Box::new(|bytes: &mut [u8]| bytes.fill(7));
    let mut client = Endpoint::client(&request, Config::new(), random).unwrap();
    client.handle_timeout(AT(0));
    let _ = client.receive(b"HTTP/1.1 404 No\r\nContent-Length: 10\r\n\r\nabc");
    assert!(client.poll_event().unwrap().is_none());
    let until = client.poll_timeout().unwrap();
    client.handle_timeout(until);
    assert_ne!(client.poll_timeout(), Some(until));
    assert!(matches!(client.poll_event(), Ok(Some(Event::Refused(_)))));
}

// What was sent before a Close frame has to be read before that can be answered.
#[test]
fn who_takes_what_was_sent_before_a_close_is_waited_for() {
    for taken_out in [false, true] {
        let mut endpoint = client(Config::new().close_timeout(Some(Duration::from_secs(5))));
        endpoint.handle_timeout(AT(0));
        endpoint.send(vec![7; 10_000_000]).unwrap();
        endpoint.close(None, "").unwrap();
        let mut own = Output::default();
        if taken_out {
            endpoint.take_output(&mut own);
        }
        for second in 1..10 {
            endpoint.handle_timeout(AT(second * 1000));
            assert!(!endpoint.is_finished(), "{second}");
            if taken_out {
                own.advance(1_000_000);
                endpoint.written(1_000_000);
            } else {
                endpoint.output().advance(1_000_000);
            }
        }
        // And no longer than that.
        for second in [10, 14, 15] {
            endpoint.handle_timeout(AT(second * 1000));
        }
        assert!(endpoint.is_finished(), "{taken_out}");
    }
}

#[test]
fn who_takes_what_the_driver_has_taken_out_is_alive() {
    for told in [true, false] {
        let config = Config::new()
            .ping_interval(Some(Duration::from_millis(100)))
            .pong_timeout(Some(Duration::from_millis(50)));
        let mut endpoint = client(config);
        endpoint.handle_timeout(AT(0));
        endpoint.send(vec![7; 1_000_000]).unwrap();
        endpoint.take_output(&mut Output::default());
        for at in (20..1_000).step_by(20) {
            if told {
                endpoint.written(10_000);
            }
            endpoint.handle_timeout(AT(at));
        }
        assert_eq!(endpoint.is_open(), told);
    }
}

// The kernel takes small batches for a peer that has vanished, in as many steps as the driver likes.
#[test]
fn a_batch_that_is_written_whole_is_no_sign_of_life() {
    let mut endpoint = pinged();
    for at in 101..=150 {
        endpoint.send("tick").unwrap();
        endpoint.send("tick").unwrap();
        let mut batch = Output::default();
        endpoint.take_output(&mut batch);
        endpoint.written(3);
        endpoint.written(batch.len() - 3);
        endpoint.handle_timeout(AT(at));
    }
    assert!(endpoint.is_closed());
}

#[test]
fn pongs_are_bounded_by_all_that_waits() {
    let mut endpoint = Endpoint::server_after_handshake(Options::new().max_output(1_000), &[]);
    endpoint.send(vec![7; 1_000]).unwrap();
    let mut batch = Output::default();
    endpoint.take_output(&mut batch);
    for _ in 0..100 {
        let _ = endpoint.receive(b"\x89\x80aaaa");
        assert!(matches!(endpoint.poll_event(), Ok(Some(Event::Ping(_)))));
    }
    assert!(endpoint.output().is_empty(), "the latest waits");
    endpoint.written(batch.len());
    assert_eq!(endpoint.output().len(), 2);
}

// What is on its way is still to be written: the stream must not be shut down or dropped before.
#[test]
fn what_the_driver_has_taken_out_still_waits() {
    let mut endpoint = client(Config::new());
    endpoint.handle_timeout(AT(0));
    endpoint.send(vec![7; 1_000]).unwrap();
    endpoint.close(None, "").unwrap();
    let mut batch = Output::default();
    endpoint.take_output(&mut batch);
    let len = batch.len();
    assert!(endpoint.output().is_empty() && len > 1_000);
    // What is taken a second time would not be in order.
    endpoint.take_output(&mut batch);
    assert_eq!(batch.len(), len);
    let _ = endpoint.receive(b"\x88\x00");
    while endpoint.poll_event().unwrap().is_some() {}
    endpoint.receive_eof();
    while endpoint.poll_event().unwrap().is_some() {}
    assert!(!endpoint.wants_shutdown() && !endpoint.is_finished());
    assert!(endpoint.poll_timeout().is_some(), "not for ever");
    endpoint.written(len - 1);
    assert!(!endpoint.is_finished());
    endpoint.written(1);
    assert!(endpoint.wants_shutdown() && endpoint.is_finished());

    // It counts towards the limit, and a reset ends it.
    let mut endpoint = Endpoint::server_after_handshake(Options::new().max_output(1_000), &[]);
    endpoint.send(vec![7; 900]).unwrap();
    let mut batch = Output::default();
    endpoint.take_output(&mut batch);
    let refused = endpoint.send(vec![7; 900]).unwrap_err();
    assert_eq!(refused.error, SendError::OutputFull);
    endpoint.written(batch.len());
    endpoint.send(vec![7; 900]).unwrap();
    endpoint.receive_reset();
    assert!(!endpoint.is_open());
    assert!(matches!(endpoint.poll_event(), Ok(Some(Event::Closed(_)))));
    assert!(endpoint.is_finished());
}

// A peer that ends its side and reads nothing, with all bounds of closing off.
#[test]
fn an_end_without_a_close_timeout_has_a_bound() {
    let mut endpoint = client(Config::new().close_timeout(None));
    endpoint.handle_timeout(AT(0));
    endpoint.send(vec![7; 1_000]).unwrap();
    endpoint.receive_eof();
    while endpoint.poll_event().unwrap().is_some() {}
    endpoint.handle_timeout(AT(1_000));
    assert!(!endpoint.is_finished());
    // The pong time-out.
    assert_eq!(endpoint.poll_timeout(), Some(AT(21_000)));
    endpoint.handle_timeout(AT(21_000));
    assert!(endpoint.is_finished());
}
