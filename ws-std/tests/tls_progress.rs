//! Peers that take what is written over TLS slowly, or not at all.

mod common;
#[path = "common/slow.rs"]
mod slow;
#[path = "common/tls.rs"]
mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::*;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use slow::*;
use tls::{connector, listener};
use ws_std::{
    CloseCode, CloseInfo, Config, Deadline, Error, Incoming, Listener, ListenerBuilder, WebSocket,
};

/// How many milliseconds a relay waits before each piece from the server: none at first.
#[derive(Clone, Default)]
struct Pace {
    millis: Arc<AtomicU64>,
    /// The relay's stream to the server.
    server: Arc<OnceLock<TcpStream>>,
}

impl Pace {
    const SLOW: u64 = PAUSE.as_millis() as u64;
    const STOPPED: u64 = u64::MAX;

    fn set(&self, millis: u64) {
        self.millis.store(millis, SeqCst);
    }

    fn wait(&self) {
        loop {
            match self.millis.load(SeqCst) {
                Self::STOPPED => thread::sleep(Duration::from_millis(5)),
                millis => return thread::sleep(Duration::from_millis(millis)),
            }
        }
    }

    /// Waits until the server cannot write any more, while the relay is stopped.
    fn until_blocked(&self) {
        until_blocked(self.server.get().expect("somebody is connected"));
    }
}

/// Copies until one side ends, and ends the other.
fn relay(mut from: TcpStream, mut to: TcpStream, before: impl Fn() + Send + 'static) {
    thread::spawn(move || {
        let mut buffer = [0; PIECE];
        loop {
            before();
            match from.read(&mut buffer) {
                Ok(count @ 1..) if to.write_all(&buffer[..count]).is_ok() => {}
                _ => break,
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}

/// A way to a server whose bytes take their time.
fn slow_way(server: SocketAddr) -> (String, Pace) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
    let pace = Pace::default();
    let waits = pace.clone();
    thread::spawn(move || {
        let client = accept(&listener).stream;
        let server = Raw::connect(server).stream;
        set_socket_recv_buffer_size(&server, SLOW_BUFFER).unwrap();
        client.set_read_timeout(None).unwrap();
        server.set_read_timeout(None).unwrap();
        waits.server.set(server.try_clone().unwrap()).unwrap();
        relay(client.try_clone().unwrap(), server.try_clone().unwrap(), || {});
        relay(server, client, move || waits.wait());
    });
    (url, pace)
}

/// A listener whose connections have small buffers, and a slow way to it.
fn slow_listener(builder: ListenerBuilder) -> (Listener, String, Pace) {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    set_socket_send_buffer_size(&tcp, SLOW_BUFFER).unwrap();
    let (url, pace) = slow_way(tcp.local_addr().unwrap());
    (builder.listen_on(tcp), url, pace)
}

/// A server's and a client's end, and the pace of what the server writes.
fn pair(builder: ListenerBuilder) -> (WebSocket, WebSocket, Pace) {
    let (listener, url, pace) = slow_listener(builder);
    let client = thread::spawn(move || connector().connect(&url).unwrap());
    let server = within(move || listener.accept().unwrap().accept().unwrap());
    (server, finish(client), pace)
}

fn builder() -> ListenerBuilder {
    listener().config(keepalive(slow_millis(1000)))
}

/// Reads one message, says thanks, and waits for the end.
fn grateful(mut client: WebSocket) -> JoinHandle<CloseInfo> {
    thread::spawn(move || {
        assert!(client.read().unwrap().unwrap().as_bytes() == slow_payload());
        client.send("thanks").unwrap();
        assert_eq!(client.read().unwrap(), None);
        client.close_info().unwrap()
    })
}

fn with_slow_peer(serve: impl FnOnce(WebSocket) + Send + 'static) {
    let (server, client, pace) = pair(builder());
    pace.set(Pace::SLOW);
    let client = grateful(client);
    let begun = Instant::now();
    within(move || serve(server));
    let took = begun.elapsed();
    assert!(took > PING_INTERVAL + PONG_TIMEOUT, "it was not slow: {took:?}");
    assert!(finish(client).clean);
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
fn keepalive_waits_for_a_slow_peer_of_a_streamed_message() {
    with_slow_peer(stream);
}

#[test]
fn keepalive_waits_for_a_slow_peer_of_a_writer() {
    with_slow_peer(split);
}

#[test]
fn keepalive_waits_for_a_slow_peer_of_a_hub() {
    with_slow_peer(hub);
}

fn lost(serve: impl FnOnce(WebSocket) -> Error + Send + 'static) {
    // The interval before the Ping begins with the opening handshake.
    let begun = Instant::now();
    let (server, _client, pace) = pair(builder());
    pace.set(Pace::STOPPED);
    let error = within(move || serve(server));
    let took = begun.elapsed();
    assert!(matches!(error, Error::Timeout(Deadline::Pong)), "{error:?}");
    let least = PING_INTERVAL + PONG_TIMEOUT;
    assert!(took + RESOLUTION >= least && took < 6 * PONG_TIMEOUT, "{took:?}");
    pace.set(0);
}

#[test]
fn a_peer_that_takes_nothing_is_lost_to_send() {
    lost(send_in_vain);
}

#[test]
fn a_peer_that_takes_nothing_is_lost_to_a_writer() {
    lost(split_in_vain);
}

#[test]
fn the_write_time_out_bounds_a_send_as_a_whole_and_is_resumed() {
    let timeout = slow_millis(1000);
    let (mut server, client, pace) = pair(listener().write_timeout(Some(timeout)));
    pace.set(10 * Pace::SLOW);
    let client = grateful(client);
    within(move || {
        for attempt in 0..2 {
            let begun = Instant::now();
            let result = if attempt == 0 { server.send(slow_payload()) } else { server.flush() };
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Timeout(Deadline::Write)), "{error}");
            let took = begun.elapsed();
            assert!(took >= timeout && took < 2 * timeout, "{took:?}");
        }
        pace.set(0);
        thanks(server.read().unwrap());
        assert!(server.close(CloseCode::NORMAL, "").unwrap().clean);
    });
    assert!(finish(client).clean);
}

// Our Close frame is encrypted, and lies where the stream keeps what the peer does not take.
#[test]
fn a_closing_is_not_clean_when_our_close_frame_was_only_encrypted() {
    let config = Config::new().close_timeout(Some(Duration::from_millis(300)));
    let builder = listener().config(config).write_timeout(Some(Duration::from_millis(50)));
    let (mut server, mut client, pace) = pair(builder);
    pace.set(Pace::STOPPED);
    server.send(slow_payload()).unwrap_err();
    client.start_close(CloseCode::NORMAL, "bye").unwrap();
    let info = within(move || {
        assert_eq!(server.read().unwrap(), None);
        server.close_info().unwrap()
    });
    assert_eq!((info.code, &info.reason[..]), (CloseCode::NORMAL, "bye"));
    assert!(!info.clean && !info.by_us, "{info:?}");
    pace.set(0);
}

#[test]
fn close_does_not_wait_for_a_writer_that_is_blocked() {
    let close_timeout = slow_millis(1000);
    let config = Config::new().close_timeout(Some(close_timeout));
    let (server, _client, pace) = pair(listener().config(config).write_timeout(None));
    pace.set(Pace::STOPPED);
    let (mut reader, writer) = server.split().unwrap();
    let blocked = writer.clone();
    let message = slow_payload();
    let writing = thread::spawn(move || blocked.send(message).unwrap_err());
    pace.until_blocked();
    let reading = thread::spawn(move || (reader.read(), reader.close_info()));
    let begun = Instant::now();
    within(move || writer.start_close(CloseCode::NORMAL, "")).unwrap();
    assert!(begun.elapsed() < close_timeout / 2, "{:?}", begun.elapsed());
    let (last, info) = finish(reading);
    assert_eq!(last.unwrap(), None);
    assert!(!info.unwrap().clean);
    let error = finish(writing);
    assert!(matches!(error, Error::Io(_)), "{error:?}");
    let ended = begun.elapsed();
    assert!(ended + RESOLUTION >= close_timeout && ended < 2 * close_timeout, "{ended:?}");
    pace.set(0);
}

#[test]
fn a_shutdown_reaches_connections_over_tls_soon() {
    for (service, blocked) in
        [(serve_reading as fn(Incoming), false), (serve_split, false), (serve_writing, true)]
    {
        let (listener, url, pace) = slow_listener(listener());
        let handle = listener.handle();
        let server = serve_one(listener, service);
        let mut client = within(move || connector().connect(&url).unwrap());
        if blocked {
            pace.set(Pace::STOPPED);
        }
        let client = thread::spawn(move || {
            while let Ok(Some(_)) = client.read() {}
            client.close_info()
        });
        if blocked {
            pace.until_blocked();
        } else {
            // Nothing shows that the service waits. It comes out the same if it comes later.
            thread::sleep(Duration::from_millis(200));
        }
        let begun = Instant::now();
        handle.shutdown(slow_millis(1000));
        finish(server);
        let took = begun.elapsed();
        assert!(took < slow_millis(if blocked { 1700 } else { 500 }), "{took:?}");
        pace.set(0);
        let info = finish(client).unwrap();
        assert_eq!(info.code == CloseCode::GOING_AWAY, !blocked, "{info:?}");
    }
}

// Over TLS, too, a request is waited for no longer.
#[test]
fn a_shutdown_reaches_a_handshake_of_tls_soon() {
    let listener = listener().handshake_timeout(Some(LONG)).bind("127.0.0.1:0").unwrap();
    let (address, handle) = (listener.local_addr().unwrap(), listener.handle());
    let _silent = Raw::connect(address);
    let mut half = Raw::connect(address);
    half.write(&tls::hello()[..50]);
    let waiting = [(); 2].map(|()| listener.accept().unwrap());
    // One is waited for already, the other not yet.
    let [before, after] = waiting;
    let before = thread::spawn(move || before.request().unwrap_err());
    // Nothing shows that it waits. It comes out the same if it comes later.
    thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    handle.shutdown(LONG);
    let after = thread::spawn(move || after.request().unwrap_err());
    finish(before);
    finish(after);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
