//! The end of the stream: `read` returns when the Close frames have gone both ways, and what follows waits for the peer.

mod common;

use std::io::Read;
use std::net::{Shutdown, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use ws_std::{
    CloseCode, Config, Connector, Hub, Listener, ListenerBuilder, Transport, WebSocket, pair,
};

/// Longer than any test waits for what does not depend on it.
const LONG: Duration = Duration::from_secs(60);
/// What is to come at once has come by then, on a busy machine, too.
const SOON: Duration = Duration::from_secs(10);

fn patient() -> ListenerBuilder {
    Listener::builder().config(Config::new().close_timeout(Some(LONG)))
}

/// Reads to the end, by each way to read. Returns how long that took.
fn reads_to_the_end<T: Transport>(mut ws: WebSocket<T>, way: usize) -> (WebSocket<T>, Duration) {
    let begun = Instant::now();
    match way {
        0 => assert_eq!(ws.read().unwrap(), None),
        1 => assert!(ws.read_ref().unwrap().is_none()),
        _ => assert!(ws.read_stream().unwrap().is_none()),
    }
    (ws, begun.elapsed())
}

// RFC 6455 §7.1.1: the server closes TCP first
#[test]
fn a_server_reads_none_before_the_client_ends_the_stream() {
    for way in 0..3 {
        let (ws, mut client) = open(patient());
        client.write(&masked(CLOSE, &close(1000, "bye")));
        let (ws, took) = reads_to_the_end(ws, way);
        assert!(took < SOON, "{took:?}");
        let how = ws.close_info().unwrap();
        assert!(how.clean && how.sent == Some(CloseCode::NORMAL), "{how:?}");
        // The Close frame and the end of the server's side are there already.
        client.expect(CLOSE, &close(1000, ""));
        assert_eq!(client.read_to_the_end().unwrap(), b"");
        // What still comes does not destroy that, and the drop waits for the client.
        client.write(&[0; 100_000]);
        let dropping = thread::spawn(move || drop(ws));
        client.write(&[0; 100_000]);
        assert!(!dropping.is_finished());
        drop(client);
        finish(dropping);
    }
}

#[test]
fn the_next_call_waits_for_the_end_of_the_stream() {
    for way in 0..3 {
        let (ws, mut client) = open(patient());
        client.write(&masked(CLOSE, b""));
        let (mut ws, _) = reads_to_the_end(ws, way);
        client.expect(CLOSE, b"");
        let waiting = thread::spawn(move || {
            let begun = Instant::now();
            if way == 0 {
                assert!(ws.close(None, "").unwrap().clean);
            } else {
                assert_eq!(ws.read().unwrap(), None);
            }
            // By now nothing is left to wait for.
            let waited = begun.elapsed();
            assert_eq!(ws.read().unwrap(), None);
            drop(ws);
            waited
        });
        assert_eq!(client.read_to_the_end().unwrap(), b"");
        // For a while, nothing ends.
        thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished());
        drop(client);
        assert!(finish(waiting) < SOON);
    }
}

// RFC 6455 §7.1.1: a client waits for the server
#[test]
fn a_client_reads_none_before_the_server_ends_the_stream() {
    for way in 0..3 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let mut server = accept(&listener);
            let head = server.head();
            server.write(answer(&head).as_bytes());
            server.write(&frame(CLOSE, &close(1001, "going"), None));
            assert_eq!(server.frame().payload, close(1001, ""));
            server
        });
        let builder = Connector::builder().config(Config::new().close_timeout(Some(LONG)));
        let ws = builder.connect(&url).unwrap();
        let (ws, took) = reads_to_the_end(ws, way);
        assert!(took < SOON, "{took:?}");
        assert!(ws.close_info().unwrap().clean);
        let server = finish(server);
        let dropping = thread::spawn(move || drop(ws));
        // The client does not end its side before the server does.
        thread::sleep(Duration::from_millis(50));
        assert!(!dropping.is_finished());
        drop(server);
        finish(dropping);
    }
}

#[test]
fn a_drop_waits_for_no_longer_than_the_close_timeout() {
    let timeout = Duration::from_millis(200);
    let builder = Listener::builder().config(Config::new().close_timeout(Some(timeout)));
    let (ws, mut client) = open(builder);
    client.write(&masked(CLOSE, b""));
    let begun = Instant::now();
    let (ws, _) = reads_to_the_end(ws, 0);
    drop(ws);
    let took = begun.elapsed();
    assert!(took + RESOLUTION >= timeout && took < SOON, "{took:?}");
}

// The peer goes on taking output, which puts off the end of a read, but not that of a drop.
#[test]
fn a_drop_does_not_wait_for_a_peer_that_takes_output_slowly() {
    let timeout = Duration::from_millis(300);
    let config = Config::new().close_timeout(Some(timeout));
    let builder = || Listener::builder().config(config).write_timeout(Some(timeout / 10));
    let ended = |client: &mut Raw, mut try_read: Box<dyn FnMut() -> bool + '_>| {
        client.write(&masked(CLOSE, b""));
        while !try_read() {
            thread::yield_now();
        }
        let mut stream = client.stream.try_clone().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 40_000];
            while matches!(stream.read(&mut buffer), Ok(1..)) {
                thread::sleep(timeout / 10);
            }
        })
    };
    let (mut ws, mut client) = open(builder());
    assert!(ws.send(vec![0; 12 << 20]).is_err());
    let peer = ended(&mut client, Box::new(|| ws.try_read().is_ok() && ws.close_info().is_some()));
    let begun = Instant::now();
    drop(ws);
    assert!(begun.elapsed() < 4 * timeout, "{:?}", begun.elapsed());
    client.stream.shutdown(Shutdown::Both).unwrap();
    peer.join().unwrap();

    let (mut ws, mut client) = open(builder());
    assert!(ws.send(vec![0; 12 << 20]).is_err());
    let (mut reader, writer) = ws.split().unwrap();
    let peer =
        ended(&mut client, Box::new(|| reader.try_read().is_ok() && reader.close_info().is_some()));
    let begun = Instant::now();
    drop(reader);
    assert!(begun.elapsed() < 4 * timeout, "{:?}", begun.elapsed());
    client.stream.shutdown(Shutdown::Both).unwrap();
    peer.join().unwrap();
    drop(writer);
}

#[test]
fn a_failure_is_told_before_the_peer_ends_the_stream() {
    let (mut ws, mut client) = open(patient());
    client.write(&[&frame(TEXT, b"not masked", None)[..], &[0; 100_000]].concat());
    let begun = Instant::now();
    assert!(ws.read().is_err());
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let how = ws.close_info().unwrap();
    assert_eq!((how.code, how.sent), (CloseCode::ABNORMAL, Some(CloseCode::PROTOCOL_ERROR)));
    let dropping = thread::spawn(move || drop(ws));
    // The Close frame is not destroyed by bytes that nobody has read.
    client.expect(CLOSE, &close(1002, "unmasked frame from a client"));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    assert!(!dropping.is_finished());
    drop(client);
    finish(dropping);
}

#[test]
fn a_reader_and_a_member_return_before_the_peer_ends_the_stream() {
    for hub in [false, true] {
        let (ws, mut client) = open(patient());
        let server = thread::spawn(move || {
            let begun = Instant::now();
            let took = |()| begun.elapsed();
            if hub {
                let mut member = Hub::new().join(ws).unwrap();
                assert_eq!(member.read().unwrap(), None);
                (took(()), thread::spawn(move || drop(member)))
            } else {
                let (mut reader, _) = ws.split().unwrap();
                assert_eq!(reader.read().unwrap(), None);
                (took(()), thread::spawn(move || drop(reader)))
            }
        });
        client.write(&masked(CLOSE, &close(1000, "")));
        let (took, dropping) = finish(server);
        assert!(took < SOON, "{took:?}");
        client.expect(CLOSE, &close(1000, ""));
        assert_eq!(client.read_to_the_end().unwrap(), b"");
        assert!(!dropping.is_finished());
        drop(client);
        finish(dropping);
    }
}

// An open connection is dropped at once, and so is one whose stream was taken out.
#[test]
fn what_is_not_over_is_dropped_at_once() {
    within(|| {
        let (client, mut server) = pair().unwrap();
        let begun = Instant::now();
        drop(client);
        assert_eq!(server.read().unwrap(), None);
        assert_eq!(server.close_info().unwrap().code, CloseCode::ABNORMAL);
        drop(server);

        let (mut client, mut server) = pair().unwrap();
        client.start_close(1000, "").unwrap();
        assert_eq!(server.read().unwrap(), None);
        drop(server.into_inner());
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        assert_eq!(client.read().unwrap(), None);
    });
}

// RFC 6455 §7.1.7
#[test]
fn what_breaks_the_protocol_after_our_close_frame_is_no_error() {
    let (mut ws, mut client) = open(Listener::builder());
    ws.start_close(1000, "bye").unwrap();
    client.expect(CLOSE, &close(1000, "bye"));
    client.write(&[&masked(TEXT, b"in order")[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"].concat());
    assert_eq!(ws.read().unwrap(), Some("in order".into()));
    assert_eq!(ws.read().unwrap(), None);
    let how = ws.close_info().unwrap();
    assert_eq!((how.code, how.clean, how.by_us), (CloseCode::ABNORMAL, false, true));
    assert_eq!(how.to_string(), "no Close frame, 1000 was sent");
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    drop(client);

    // The last message is not text: it is found by any way to read.
    for way in 0..2 {
        let (mut ws, mut client) = open(Listener::builder());
        ws.start_close(1000, "").unwrap();
        client.write(&masked(TEXT, b"\xff"));
        let (ws, _) = reads_to_the_end(ws, way);
        assert_eq!(ws.close_info().unwrap().sent, Some(CloseCode::NORMAL));
        drop(client);
    }
}

#[test]
fn a_code_is_a_constant_a_number_or_nothing() {
    within(|| {
        let codes: [fn(&mut WebSocket<_>) -> ws_std::Result<()>; 4] = [
            |ws| ws.start_close(CloseCode::NORMAL, "constant"),
            |ws| ws.start_close(4000, "number"),
            |ws| ws.start_close(None, ""),
            |ws| ws.start_close(Some(CloseCode::new(3000)), ""),
        ];
        for (start, (code, reason)) in
            codes.into_iter().zip([(1000, "constant"), (4000, "number"), (1005, ""), (3000, "")])
        {
            let (mut client, mut server) = pair().unwrap();
            start(&mut client).unwrap();
            assert_eq!(server.read().unwrap(), None);
            let how = server.close_info().unwrap();
            assert_eq!((how.code.get(), &*how.reason), (code, reason));
            assert_eq!(client.read().unwrap(), None);
            let sent = client.close_info().unwrap().sent;
            assert_eq!(sent, Some(CloseCode::new(code)));
            drop(client);
        }
        let (mut client, _server) = pair().unwrap();
        let error = client.start_close(999, "").unwrap_err().to_string();
        assert!(error.starts_with("close code 999 may not be sent; 1000-1003"), "{error}");
    });
}
