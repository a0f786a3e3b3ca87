//! Pings that are sent, Pongs that come, and Pongs that nobody asked for.

mod common;

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use ws_std::ws_core::Endpoint;
use ws_std::{Config, Error, Hub, MemoryStream, SendError, WebSocket, pair};

#[test]
fn a_pong_brings_back_the_payload_of_the_ping() {
    let (mut client, mut server) = within(|| pair().unwrap());
    let (seen, pongs) = mpsc::channel();
    let start = Instant::now();
    client.on_pong(move |payload| {
        let sent = Duration::from_micros(u64::from_be_bytes(payload.try_into().unwrap()));
        seen.send(start.elapsed().checked_sub(sent)).unwrap();
    });
    for _ in 0..2 {
        client.ping(&(start.elapsed().as_micros() as u64).to_be_bytes()).unwrap();
        server.send("no Pong").unwrap();
        assert_eq!(server.try_read().unwrap(), None);
        assert_eq!(client.read().unwrap(), Some("no Pong".into()));
        assert_eq!(client.try_read().unwrap(), None);
        let round_trip = pongs.try_recv().unwrap().expect("it came after it was sent");
        assert!(round_trip < LONG);
        assert!(pongs.try_recv().is_err());
    }
}

// RFC 6455 §5.5.3
#[test]
fn an_unsolicited_pong_is_seen_and_not_answered() {
    let (mut client, mut server) = within(|| pair().unwrap());
    let (seen, pongs) = mpsc::channel();
    server.on_pong(move |payload| seen.send(payload.to_vec()).unwrap());
    client.pong(b"alive").unwrap();
    client.pong(b"").unwrap();
    client.send("last").unwrap();
    assert_eq!(server.read().unwrap(), Some("last".into()));
    assert_eq!(pongs.try_iter().collect::<Vec<_>>(), [&b"alive"[..], b""]);
    assert_eq!(client.try_read().unwrap(), None);
    let error = client.pong(&[0; 126]).unwrap_err();
    assert!(matches!(error, Error::Send(SendError::ControlTooLong)), "{error}");
}

// RFC 6455 §5.5.2, §5.5.3
#[test]
fn pings_and_pongs_go_out_as_frames_of_their_kind() {
    let (mut peer, near) = MemoryStream::pair();
    let endpoint = Endpoint::server_after_handshake(Config::new(), b"");
    let mut ws = WebSocket::from_endpoint(endpoint, near);
    ws.ping(b"1").unwrap();
    ws.pong(b"2").unwrap();
    let (_reader, writer) = ws.split().unwrap();
    writer.ping(b"3").unwrap();
    writer.pong(b"4").unwrap();
    let expected = [(PING, b"1"), (PONG, b"2"), (PING, b"3"), (PONG, b"4")]
        .map(|(first, payload)| frame(first, payload, None))
        .concat();
    let mut came = vec![0; expected.len()];
    peer.read_exact(&mut came).unwrap();
    assert_eq!(came, expected);
}

#[test]
fn after_a_split_the_reader_calls_the_hook() {
    let (mut client, mut server) = within(|| pair().unwrap());
    let echo = thread::spawn(move || server.read().unwrap());
    let (seen, pongs) = mpsc::channel();
    client.on_pong(move |payload| seen.send(payload.to_vec()).unwrap());
    let (mut reader, writer) = client.split().unwrap();
    let reading = thread::spawn(move || reader.read().map(drop));
    writer.ping(b"token").unwrap();
    assert_eq!(pongs.recv_timeout(LONG).unwrap(), b"token");
    writer.send("done").unwrap();
    assert_eq!(finish(echo), Some("done".into()));
    finish(reading).unwrap();
}

// A keepalive Ping is answered as any other.
#[test]
fn the_pong_of_a_keepalive_ping_is_seen_and_empty() {
    let (mut peer, near) = MemoryStream::pair();
    let config = Config::new().ping_interval(Some(Duration::from_millis(5)));
    let mut ws = WebSocket::from_endpoint(Endpoint::server_after_handshake(config, b""), near);
    let (seen, pongs) = mpsc::channel();
    ws.on_pong(move |payload| seen.send(payload.to_vec()).unwrap());
    let server = thread::spawn(move || ws.read().unwrap());
    let mut ping = [0; 2];
    peer.read_exact(&mut ping).unwrap();
    assert_eq!(ping, [PING, 0]);
    peer.write_all(&masked(PONG, b"")).unwrap();
    assert_eq!(pongs.recv_timeout(LONG).unwrap(), b"");
    drop(peer);
    assert_eq!(finish(server), None);
}

#[test]
fn a_reader_and_a_member_see_pongs_and_a_member_pings() {
    let payloads = || {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let hook = seen.clone();
        (seen, move |payload: &[u8]| hook.lock().unwrap().push(payload.to_vec()))
    };
    let (mut client, server) = pair().unwrap();
    let (mut reader, writer) = server.split().unwrap();
    let (seen, hook) = payloads();
    reader.on_pong(hook);
    writer.ping(b"from a writer").unwrap();
    writer.send("go on").unwrap();
    assert_eq!(client.read().unwrap(), Some("go on".into()));
    client.send("read").unwrap();
    assert_eq!(reader.read().unwrap(), Some("read".into()));
    assert_eq!(*seen.lock().unwrap(), [b"from a writer"]);
    drop((client, reader, writer));

    let (mut client, server) = pair().unwrap();
    let mut member = Hub::new().join(server).unwrap();
    let (seen, hook) = payloads();
    member.on_pong(hook);
    let (seen_by_client, hook) = payloads();
    client.on_pong(hook);
    member.ping(b"from a member").unwrap();
    member.pong(b"a sign of life").unwrap();
    member.send("go on");
    assert_eq!(client.read().unwrap(), Some("go on".into()));
    client.send("read").unwrap();
    assert_eq!(member.read().unwrap(), Some("read".into()));
    assert_eq!(*seen.lock().unwrap(), [b"from a member"]);
    assert_eq!(*seen_by_client.lock().unwrap(), [b"a sign of life"]);
}
