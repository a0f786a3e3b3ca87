//! Connections whose peer takes what is written slowly, or not at all, and what applications do with them.
#![allow(dead_code, unreachable_pub)]

use std::io::Write;
use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use ws_std::{
    CloseCode, Config, Deadline, Error, Hub, Incoming, Listener, ListenerBuilder, Message,
    MessageKind, WebSocket,
};

use crate::common::*;

/// Small buffers, so that it shows soon who takes what.
pub const BUFFER: usize = 4096;
/// More than such buffers hold.
pub const LEN: usize = 100_000;

/// Buffers of a slow peer. Smaller ones would let TCP pause for longer than the peer.
pub const SLOW_BUFFER: usize = 64 * 1024;
/// A message that a slow peer takes in several times the keepalive's time-outs.
pub const SLOW_LEN: usize = 1_000_000;
/// What a slow peer takes at a time, and how long it waits then.
pub const PIECE: usize = 8000;
pub const PAUSE: Duration = slow_millis(20);

pub const PING_INTERVAL: Duration = slow_millis(300);
pub const PONG_TIMEOUT: Duration = slow_millis(1000);

/// Keepalive with the time-outs above.
pub fn keepalive(close_timeout: Duration) -> Config {
    Config::new()
        .ping_interval(Some(PING_INTERVAL))
        .pong_timeout(Some(PONG_TIMEOUT))
        .close_timeout(Some(close_timeout))
}

pub fn payload() -> Vec<u8> {
    (0..LEN).map(|n| (n / 7) as u8).collect()
}

pub fn slow_payload() -> Vec<u8> {
    (0..SLOW_LEN).map(|n| (n / 7) as u8).collect()
}

/// A listener whose connections have such buffers, and a client that has.
pub fn small(builder: ListenerBuilder, buffer: usize) -> (Listener, JoinHandle<Raw>) {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    set_socket_send_buffer_size(&tcp, buffer).unwrap();
    let address = tcp.local_addr().unwrap();
    let client = thread::spawn(move || {
        let mut raw = Raw::connect(address);
        set_socket_recv_buffer_size(&raw.stream, buffer).unwrap();
        raw.write(REQUEST.as_bytes());
        assert_eq!(raw.head(), RESPONSE);
        raw
    });
    (builder.listen_on(tcp), client)
}

/// A server's WebSocket and its client, both with small buffers.
pub fn small_pair(builder: ListenerBuilder) -> (WebSocket, Raw) {
    pair(builder, BUFFER)
}

/// A server's WebSocket and its client, both with such buffers.
pub fn pair(builder: ListenerBuilder, buffer: usize) -> (WebSocket, Raw) {
    let (listener, client) = small(builder, buffer);
    let ws = within(move || listener.accept().unwrap().accept().unwrap());
    (ws, finish(client))
}

pub fn thanks(message: Option<Message>) {
    assert_eq!(message.unwrap().as_text(), Some("thanks"));
}

// How applications send [`slow_payload`], wait for the peer's thanks, and close.

pub fn send(mut ws: WebSocket) {
    ws.send(slow_payload()).unwrap();
    thanks(ws.read().unwrap());
    assert!(ws.close(CloseCode::NORMAL, "").unwrap().clean);
}

/// The read writes what the time-out of `queue` has left.
pub fn queue_and_read(mut ws: WebSocket) {
    ws.set_write_timeout(Some(Duration::from_millis(50)));
    let error = ws.queue(slow_payload()).unwrap_err();
    assert!(matches!(error, Error::Timeout(Deadline::Write)), "{error}");
    thanks(ws.read().unwrap());
    assert!(ws.close(CloseCode::NORMAL, "").unwrap().clean);
}

pub fn stream(mut ws: WebSocket) {
    let mut message = ws.write_stream(MessageKind::Binary);
    for piece in slow_payload().chunks(100_000) {
        message.write_all(piece).unwrap();
    }
    message.finish().unwrap();
    thanks(ws.read().unwrap());
    assert!(ws.close(CloseCode::NORMAL, "").unwrap().clean);
}

pub fn split(ws: WebSocket) {
    let (mut reader, writer) = ws.split().unwrap();
    let writing = thread::spawn(move || writer.send(slow_payload()).map(|()| writer));
    thanks(reader.read().unwrap());
    finish(writing).unwrap().start_close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(reader.read().unwrap(), None);
    assert!(reader.close_info().unwrap().clean);
}

pub fn hub(ws: WebSocket) {
    let mut member = Hub::new().join(ws).unwrap();
    let id = member.id();
    assert!(member.hub().send_to(id, slow_payload()));
    thanks(member.read().unwrap());
    assert!(member.close(CloseCode::NORMAL, "").unwrap().clean);
}

// The same where the peer takes nothing: what ends the connection.

pub fn send_in_vain(mut ws: WebSocket) -> Error {
    ws.send(slow_payload()).unwrap_err();
    ws.read().unwrap_err()
}

pub fn queue_and_read_in_vain(mut ws: WebSocket) -> Error {
    ws.set_write_timeout(Some(Duration::from_millis(50)));
    ws.queue(slow_payload()).unwrap_err();
    ws.read().unwrap_err()
}

pub fn stream_in_vain(mut ws: WebSocket) -> Error {
    let mut message = ws.write_stream(MessageKind::Binary);
    message.write_all(&slow_payload()).unwrap_err();
    drop(message);
    ws.read().unwrap_err()
}

pub fn split_in_vain(ws: WebSocket) -> Error {
    let (mut reader, writer) = ws.split().unwrap();
    let writing = thread::spawn(move || writer.send(slow_payload()));
    let error = reader.read().unwrap_err();
    finish(writing).unwrap_err();
    error
}

pub fn hub_in_vain(ws: WebSocket) -> Error {
    let hub = Hub::new();
    let mut member = hub.join(ws).unwrap();
    assert!(hub.send_to(member.id(), slow_payload()));
    member.read().unwrap_err()
}

// How applications serve until the connection ends.

pub fn serve_reading(incoming: Incoming) {
    let mut ws = incoming.accept().unwrap();
    while let Ok(Some(_)) = ws.read() {}
}

pub fn serve_writing(incoming: Incoming) {
    let mut ws = incoming.accept().unwrap();
    while ws.send(slow_payload()).is_ok() {}
}

pub fn serve_split(incoming: Incoming) {
    let (mut reader, _writer) = incoming.accept().unwrap().split().unwrap();
    while let Ok(Some(_)) = reader.read() {}
}

pub fn serve_split_writing(incoming: Incoming) {
    let (mut reader, writer) = incoming.accept().unwrap().split().unwrap();
    let writing = thread::spawn(move || while writer.send(slow_payload()).is_ok() {});
    while let Ok(Some(_)) = reader.read() {}
    writing.join().unwrap();
}

pub fn serve_member(incoming: Incoming) {
    let mut member = Hub::new().join(incoming.accept().unwrap()).unwrap();
    while let Ok(Some(_)) = member.read() {}
}

/// Serves one connection; joined, the listener and the service have ended.
pub fn serve_one(mut listener: Listener, service: fn(Incoming)) -> JoinHandle<()> {
    thread::spawn(move || {
        let incoming = listener.next().unwrap().unwrap();
        let serving = thread::spawn(move || service(incoming));
        assert!(listener.next().is_none());
        serving.join().unwrap();
    })
}
