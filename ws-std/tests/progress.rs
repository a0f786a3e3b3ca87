//! What counts as a sign of life of a peer that takes what is written slowly, or not at all, and what it costs
//! to wait for it.

mod common;
#[path = "common/slow.rs"]
mod slow;

use std::io::{self, Read, Write};
use std::net::TcpListener;
#[cfg(unix)]
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use slow::*;
use ws_std::ws_core::Endpoint;
use ws_std::{
    CloseCode, Config, Deadline, Error, Listener, ListenerBuilder, Tcp, Transport, WebSocket,
};

fn builder() -> ListenerBuilder {
    Listener::builder().config(keepalive(Duration::from_millis(300)))
}

/// Takes so many bytes, slowly and steadily.
fn take_slowly(raw: &mut Raw, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        bytes.extend(raw.exactly(PIECE.min(len - bytes.len())).expect("it goes on"));
        thread::sleep(PAUSE);
    }
    bytes
}

/// Takes the next frame of a server, slowly and steadily: its first byte and its payload.
fn take_frame(raw: &mut Raw) -> (u8, Vec<u8>) {
    let head = raw.exactly(2).expect("a frame");
    let len = match head[1] {
        126 => u16::from_be_bytes(raw.exactly(2).unwrap().try_into().unwrap()).into(),
        127 => u64::from_be_bytes(raw.exactly(8).unwrap().try_into().unwrap()) as usize,
        len => usize::from(len),
    };
    (head[0], take_slowly(raw, len))
}

/// A peer that takes one message slowly, says thanks, and answers until the connection is closed.
fn slow_peer(mut raw: Raw) -> Vec<u8> {
    let mut message = Vec::new();
    loop {
        match take_frame(&mut raw) {
            (PING, payload) => raw.write(&masked(PONG, &payload)),
            (CLOSE, payload) => {
                raw.write(&masked(CLOSE, &payload));
                return message;
            }
            (first, payload) => {
                message.extend(payload);
                if first & 0x80 != 0 {
                    raw.write(&masked(TEXT, b"thanks"));
                }
            }
        }
    }
}

/// Serves one connection that has keepalive and a slow peer.
fn with_slow_peer(serve: impl FnOnce(WebSocket) + Send + 'static) {
    let (ws, client) = pair(builder(), SLOW_BUFFER);
    let peer = thread::spawn(move || slow_peer(client));
    let begun = Instant::now();
    within(move || serve(ws));
    assert!(finish(peer) == slow_payload());
    let took = begun.elapsed();
    assert!(took > PING_INTERVAL + PONG_TIMEOUT, "it was not slow: {took:?}");
}

#[test]
fn keepalive_waits_for_a_slow_peer_of_send() {
    with_slow_peer(send);
}

#[test]
fn keepalive_waits_for_a_slow_peer_of_queue_and_read() {
    with_slow_peer(queue_and_read);
}

#[test]
fn keepalive_waits_for_a_slow_peer_of_a_writer() {
    with_slow_peer(split);
}

#[test]
fn keepalive_waits_for_a_slow_peer_of_a_hub() {
    with_slow_peer(hub);
}

#[test]
fn keepalive_waits_for_a_slow_peer_of_a_streamed_message() {
    with_slow_peer(stream);
}

#[test]
fn keepalive_waits_for_a_slow_peer_of_a_replier() {
    let (mut ws, mut client) = pair(builder(), SLOW_BUFFER);
    client.write(&masked(TEXT, b"please"));
    let peer = thread::spawn(move || slow_peer(client));
    within(move || {
        let (_, mut replier) = ws.read_ref().unwrap().unwrap();
        replier.send(&slow_payload()[..]).unwrap();
        thanks(ws.read().unwrap());
        assert!(ws.close(CloseCode::NORMAL, "").unwrap().clean);
    });
    assert!(finish(peer) == slow_payload());
}

/// The other way: the peer takes nothing, and is lost when its Pong does not come.
fn lost(serve: impl FnOnce(WebSocket) -> Error + Send + 'static) {
    // The interval before the Ping begins with the opening handshake.
    let begun = Instant::now();
    let (ws, _silent) = small_pair(builder());
    let error = within(move || serve(ws));
    let took = begun.elapsed();
    assert!(matches!(error, Error::Timeout(Deadline::Pong)), "{error:?}");
    let least = PING_INTERVAL + PONG_TIMEOUT;
    assert!(took + RESOLUTION >= least && took < 6 * PONG_TIMEOUT, "{took:?}");
}

#[test]
fn a_peer_that_takes_nothing_is_lost_to_send() {
    lost(send_in_vain);
}

#[test]
fn a_peer_that_takes_nothing_is_lost_to_queue_and_read() {
    lost(queue_and_read_in_vain);
}

#[test]
fn a_peer_that_takes_nothing_is_lost_to_a_writer() {
    lost(split_in_vain);
}

#[test]
fn a_peer_that_takes_nothing_is_lost_to_a_streamed_message() {
    lost(stream_in_vain);
}

#[test]
fn a_peer_that_takes_nothing_is_lost_to_a_hub() {
    lost(hub_in_vain);
}

#[test]
fn a_peer_that_takes_nothing_is_lost_to_a_replier() {
    let (mut ws, mut client) = small_pair(builder());
    client.write(&masked(TEXT, b"please"));
    let error = within(move || {
        let (_, mut replier) = ws.read_ref().unwrap().unwrap();
        replier.send(&payload()[..]).unwrap_err();
        ws.read().unwrap_err()
    });
    assert!(matches!(error, Error::Timeout(Deadline::Pong)), "{error:?}");
}

/// A stream that counts how often it is used.
#[derive(Debug)]
struct Counted(Tcp, Arc<AtomicUsize>);

impl Counted {
    fn stream(&mut self) -> &mut Tcp {
        self.1.fetch_add(1, SeqCst);
        &mut self.0
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream().read(buffer)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Counted {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.1.fetch_add(1, SeqCst);
        Transport::set_read_timeout(&self.0, timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.1.fetch_add(1, SeqCst);
        Transport::set_write_timeout(&self.0, timeout)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream().shutdown_write()
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(Transport::try_clone(&self.0)?, self.1.clone()))
    }
}

/// A server's WebSocket that counts its calls, and a client that reads nothing.
fn counted() -> (WebSocket<Counted>, Arc<AtomicUsize>, Raw) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    set_socket_send_buffer_size(&listener, BUFFER).unwrap();
    let client = Raw::connect(listener.local_addr().unwrap());
    set_socket_recv_buffer_size(&client.stream, BUFFER).unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let stream = Counted(accept(&listener).stream.into(), calls.clone());
    let endpoint = Endpoint::server_after_handshake(Config::new(), b"");
    (WebSocket::from_endpoint(endpoint, stream), calls, client)
}

#[test]
fn a_connection_on_which_nothing_moves_keeps_no_processor_busy() {
    const TIME: Duration = Duration::from_secs(1);
    // At most every 50 ms a few calls, and some more at first.
    const MOST: usize = 200;
    let (mut ws, calls, _client) = counted();
    ws.set_write_timeout(Some(TIME));
    let (mut ws, error) = within(move || {
        let error = ws.send(payload()).unwrap_err();
        (ws, error)
    });
    assert!(matches!(error, Error::Timeout(Deadline::Write)), "{error}");
    let sending = calls.swap(0, SeqCst);
    assert!(sending < MOST, "{sending} calls to send");

    ws.set_read_timeout(Some(TIME));
    let (mut ws, error) = within(move || {
        let error = ws.read().unwrap_err();
        (ws, error)
    });
    assert!(matches!(error, Error::Timeout(Deadline::Read)), "{error}");
    let reading = calls.swap(0, SeqCst);
    assert!(reading < MOST, "{reading} calls to read");

    ws.set_read_timeout(None);
    ws.set_write_timeout(Some(TIME));
    let (mut reader, writer) = ws.split().unwrap();
    reader.set_read_timeout(Some(TIME));
    let writing = thread::spawn(move || (writer.send("more"), writer));
    let error = within(move || (reader.read().unwrap_err(), reader)).0;
    assert!(matches!(error, Error::Timeout(Deadline::Read)), "{error}");
    let (_, _writer) = finish(writing);
    let split = calls.swap(0, SeqCst);
    assert!(split < MOST, "{split} calls to do both");
}

/// A stream each of whose writes is ended by a signal before the peer has taken anything.
#[cfg(unix)]
struct Signalled(TcpStream);

#[cfg(unix)]
impl Read for Signalled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

#[cfg(unix)]
impl Write for Signalled {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        const EINTR: i32 = 4;
        Err(io::Error::from_raw_os_error(EINTR))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(unix)]
impl Transport for Signalled {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        Transport::set_read_timeout(&self.0, timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        Transport::set_write_timeout(&self.0, timeout)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.shutdown_write()
    }

    fn try_clone(&self) -> io::Result<Self> {
        Transport::try_clone(&self.0).map(Self)
    }
}

#[cfg(unix)]
#[test]
fn a_signal_during_a_write_is_no_sign_of_life() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = Raw::connect(listener.local_addr().unwrap());
    let endpoint = Endpoint::server_after_handshake(keepalive(PING_INTERVAL), b"");
    let mut ws = WebSocket::from_endpoint(endpoint, Signalled(accept(&listener).stream));
    ws.set_write_timeout(Some(Duration::from_millis(200)));
    let begun = Instant::now();
    let (written, lost) = within(move || (ws.send("hello").unwrap_err(), ws.read().unwrap_err()));
    assert!(matches!(written, Error::Timeout(Deadline::Write)), "{written}");
    assert!(matches!(lost, Error::Timeout(Deadline::Pong)), "{lost}");
    assert!(begun.elapsed() < 4 * PONG_TIMEOUT, "{:?}", begun.elapsed());
}
