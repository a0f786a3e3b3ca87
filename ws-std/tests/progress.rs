//! Peers that take what is written slowly, or not at all: who waits for them, and how long.

mod common;

use std::io::{self, Read, Write};
use std::net::TcpListener;
#[cfg(unix)]
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::*;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use ws_std::ws_core::{Endpoint, SendError};
use ws_std::{
    CloseCode, Config, Deadline, Error, Hub, Incoming, Listener, ListenerBuilder, Message,
    MessageKind, Reader, Tcp, Transport, WebSocket, Writer,
};

/// Small buffers, so that it shows soon who takes what.
const BUFFER: usize = 4096;
/// More than such buffers hold.
const LEN: usize = 100_000;

/// Buffers of a slow peer. Smaller ones would let TCP pause for longer than the peer.
const SLOW_BUFFER: usize = 64 * 1024;
/// A message that a slow peer takes in several times the keepalive's time-outs.
const SLOW_LEN: usize = 1_000_000;
/// What a slow peer takes at a time, and how long it waits then.
const PIECE: usize = 8000;
const PAUSE: Duration = Duration::from_millis(20);

const PING_INTERVAL: Duration = Duration::from_millis(300);
const PONG_TIMEOUT: Duration = Duration::from_secs(1);

/// A server's builder with keepalive.
fn keepalive() -> ListenerBuilder {
    let config = Config::new()
        .ping_interval(Some(PING_INTERVAL))
        .pong_timeout(Some(PONG_TIMEOUT))
        .close_timeout(Some(Duration::from_millis(300)));
    Listener::builder().config(config)
}

/// A listener whose connections have such buffers, and a client that has.
fn small(builder: ListenerBuilder, buffer: usize) -> (Listener, JoinHandle<Raw>) {
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

/// A server's WebSocket and its client, both with such buffers.
fn pair(builder: ListenerBuilder, buffer: usize) -> (WebSocket, Raw) {
    let (listener, client) = small(builder, buffer);
    let ws = within(move || listener.accept().unwrap().accept().unwrap());
    (ws, finish(client))
}

/// A server's WebSocket and its client, both with small buffers.
fn small_pair(builder: ListenerBuilder) -> (WebSocket, Raw) {
    pair(builder, BUFFER)
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
    let (ws, client) = pair(keepalive(), SLOW_BUFFER);
    let peer = thread::spawn(move || slow_peer(client));
    let begun = Instant::now();
    within(move || serve(ws));
    assert!(finish(peer) == slow_payload());
    let took = begun.elapsed();
    assert!(took > PING_INTERVAL + PONG_TIMEOUT, "it was not slow: {took:?}");
}

fn payload() -> Vec<u8> {
    (0..LEN).map(|n| (n / 7) as u8).collect()
}

fn slow_payload() -> Vec<u8> {
    (0..SLOW_LEN).map(|n| (n / 7) as u8).collect()
}

fn thanks(message: Option<Message>) {
    assert_eq!(message.unwrap().as_text(), Some("thanks"));
}

#[test]
fn keepalive_waits_for_a_slow_peer_of_send() {
    with_slow_peer(|mut ws| {
        ws.send(slow_payload()).unwrap();
        thanks(ws.read().unwrap());
        assert!(ws.close(CloseCode::NORMAL, "").unwrap().clean);
    });
}

// The read writes what the time-out of `queue` has left.
#[test]
fn keepalive_waits_for_a_slow_peer_of_queue_and_read() {
    with_slow_peer(|mut ws| {
        ws.set_write_timeout(Some(Duration::from_millis(50)));
        let error = ws.queue(slow_payload()).unwrap_err();
        assert!(matches!(error, Error::Timeout(Deadline::Write)), "{error}");
        thanks(ws.read().unwrap());
        assert!(ws.close(CloseCode::NORMAL, "").unwrap().clean);
    });
}

#[test]
fn keepalive_waits_for_a_slow_peer_of_a_replier() {
    let (mut ws, mut client) = pair(keepalive(), SLOW_BUFFER);
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

#[test]
fn keepalive_waits_for_a_slow_peer_of_a_writer() {
    with_slow_peer(|ws| {
        let (mut reader, writer) = ws.split().unwrap();
        let writing = thread::spawn(move || writer.send(slow_payload()));
        thanks(reader.read().unwrap());
        finish(writing).unwrap();
    });
}

#[test]
fn keepalive_waits_for_a_slow_peer_of_a_hub() {
    with_slow_peer(|ws| {
        let hub = Hub::new();
        let mut member = hub.join(ws).unwrap();
        assert!(hub.send_to(member.id(), slow_payload()));
        thanks(member.read().unwrap());
    });
}

#[test]
fn keepalive_waits_for_a_slow_peer_of_a_streamed_message() {
    with_slow_peer(|mut ws| {
        let mut message = ws.write_stream(MessageKind::Binary);
        for piece in slow_payload().chunks(100_000) {
            message.write_all(piece).unwrap();
        }
        message.finish().unwrap();
        thanks(ws.read().unwrap());
        assert!(ws.close(CloseCode::NORMAL, "").unwrap().clean);
    });
}

/// The other way: the peer takes nothing, and is lost when its Pong does not come.
fn lost(serve: impl FnOnce(WebSocket) -> Error + Send + 'static) {
    let (ws, _silent) = small_pair(keepalive());
    let begun = Instant::now();
    let error = within(move || serve(ws));
    let took = begun.elapsed();
    assert!(matches!(error, Error::Timeout(Deadline::Pong)), "{error:?}");
    assert!(took >= PONG_TIMEOUT && took < 6 * PONG_TIMEOUT, "{took:?}");
}

#[test]
fn a_peer_that_takes_nothing_is_lost_to_send() {
    lost(|mut ws| {
        ws.send(payload()).unwrap_err();
        ws.read().unwrap_err()
    });
}

#[test]
fn a_peer_that_takes_nothing_is_lost_to_queue_and_read() {
    lost(|mut ws| {
        ws.set_write_timeout(Some(Duration::from_millis(50)));
        ws.queue(payload()).unwrap_err();
        ws.read().unwrap_err()
    });
}

#[test]
fn a_peer_that_takes_nothing_is_lost_to_a_replier() {
    let (mut ws, mut client) = small_pair(keepalive());
    client.write(&masked(TEXT, b"please"));
    let error = within(move || {
        let (_, mut replier) = ws.read_ref().unwrap().unwrap();
        replier.send(&payload()[..]).unwrap_err();
        ws.read().unwrap_err()
    });
    assert!(matches!(error, Error::Timeout(Deadline::Pong)), "{error:?}");
}

#[test]
fn a_peer_that_takes_nothing_is_lost_to_a_writer() {
    lost(|ws| {
        let (mut reader, writer) = ws.split().unwrap();
        let writing = thread::spawn(move || writer.send(payload()));
        let error = reader.read().unwrap_err();
        finish(writing).unwrap_err();
        error
    });
}

#[test]
fn a_peer_that_takes_nothing_is_lost_to_a_streamed_message() {
    lost(|mut ws| {
        let mut message = ws.write_stream(MessageKind::Binary);
        message.write_all(&payload()).unwrap_err();
        drop(message);
        ws.read().unwrap_err()
    });
}

#[test]
fn a_peer_that_takes_nothing_is_lost_to_a_hub() {
    lost(|ws| {
        let hub = Hub::new();
        let mut member = hub.join(ws).unwrap();
        assert!(hub.send_to(member.id(), payload()));
        member.read().unwrap_err()
    });
}

// Neither side reads before it has written, and neither has to.
#[test]
fn two_peers_that_both_write_first_do_not_wait_for_each_other() {
    const LEN: usize = 8 << 20;
    let (address, server) = serve(Listener::builder(), |incoming| incoming.accept().unwrap());
    let client = within(move || ws_std::connect(&format!("ws://{address}")).unwrap());
    let begun = Instant::now();
    let sides = [client, finish(server)].map(|mut ws| {
        thread::spawn(move || {
            ws.send(vec![7; LEN]).unwrap();
            assert_eq!(ws.read().unwrap().unwrap().len(), LEN);
            ws.start_close(CloseCode::NORMAL, "").map(|()| ws.read()).ok();
        })
    });
    sides.into_iter().for_each(finish);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

// What is owed to a peer that does not read keeps nobody from reading.
#[test]
fn a_read_does_not_wait_for_a_peer_that_does_not_read() {
    let (mut ws, mut client) = small_pair(Listener::builder());
    ws.set_write_timeout(Some(Duration::from_millis(100)));
    let error = ws.send(payload()).unwrap_err();
    assert!(matches!(error, Error::Timeout(Deadline::Write)), "{error}");
    for n in 0..50_u8 {
        client.write(&[masked(PING, &[n; 100]), masked(BINARY, &[n])].concat());
        let begun = Instant::now();
        ws = within(move || {
            assert_eq!(ws.read().unwrap(), Some(Message::from(vec![n])));
            ws
        });
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    // Once it reads, it gets everything once: the message, and the pongs.
    let peer = thread::spawn(move || {
        client.expect(BINARY, &payload());
        let pongs: Vec<_> = (0..50).map(|_| client.frame()).collect();
        client.write(&masked(TEXT, b"thanks"));
        (pongs, client)
    });
    thanks(within(move || ws.read().unwrap()));
    for (n, pong) in finish(peer).0.iter().enumerate() {
        assert_eq!((pong.first, &pong.payload[..]), (PONG, &[n as u8; 100][..]));
    }
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
    let config = Config::new()
        .ping_interval(Some(PING_INTERVAL))
        .pong_timeout(Some(PONG_TIMEOUT))
        .close_timeout(Some(PING_INTERVAL));
    let endpoint = Endpoint::server_after_handshake(config, b"");
    let mut ws = WebSocket::from_endpoint(endpoint, Signalled(accept(&listener).stream));
    ws.set_write_timeout(Some(Duration::from_millis(200)));
    let begun = Instant::now();
    let (written, lost) = within(move || (ws.send("hello").unwrap_err(), ws.read().unwrap_err()));
    assert!(matches!(written, Error::Timeout(Deadline::Write)), "{written}");
    assert!(matches!(lost, Error::Timeout(Deadline::Pong)), "{lost}");
    assert!(begun.elapsed() < 4 * PONG_TIMEOUT, "{:?}", begun.elapsed());
}

/// A server whose writer is blocked by a client that reads nothing, and when the Close began.
fn blocked(close_timeout: Duration) -> (Reader, Writer, JoinHandle<Error>, Raw) {
    let config = Config::new().close_timeout(Some(close_timeout));
    let (ws, client) = small_pair(Listener::builder().config(config).write_timeout(None));
    let (reader, writer) = ws.split().unwrap();
    let blocked = writer.clone();
    let (tell, told) = mpsc::channel();
    let message = payload();
    let writing = thread::spawn(move || {
        tell.send(()).unwrap();
        blocked.send(message).unwrap_err()
    });
    told.recv_timeout(LONG).unwrap();
    // Whoever comes now finds the stream taken.
    thread::sleep(Duration::from_millis(200));
    (reader, writer, writing, client)
}

#[test]
fn close_does_not_wait_for_a_writer_that_is_blocked() {
    let close_timeout = Duration::from_secs(1);
    let (mut reader, writer, writing, _client) = blocked(close_timeout);
    let reading = thread::spawn(move || (reader.read(), reader.close_info()));
    let begun = Instant::now();
    within(move || writer.start_close(CloseCode::NORMAL, "").map(|()| writer)).unwrap();
    let closed = begun.elapsed();
    assert!(closed < close_timeout / 2, "{closed:?}");
    let (last, info) = finish(reading);
    assert_eq!(last.unwrap(), None);
    assert!(!info.unwrap().clean);
    let error = finish(writing);
    assert!(matches!(error, Error::Io(_)), "{error:?}");
    let ended = begun.elapsed();
    assert!(ended >= close_timeout && ended < 2 * close_timeout, "{ended:?}");
}

#[test]
fn closing_from_several_threads_is_one_closing_handshake() {
    let (ws, mut client) = small_pair(Listener::builder());
    let (mut reader, writer) = ws.split().unwrap();
    let closing: Vec<_> = (0..8)
        .map(|_| {
            let writer = writer.clone();
            thread::spawn(move || writer.start_close(CloseCode::NORMAL, "bye"))
        })
        .collect();
    let results: Vec<_> = closing.into_iter().map(finish).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for result in results.iter().filter_map(|result| result.as_ref().err()) {
        assert!(matches!(result, Error::Send(SendError::Closing)), "{result:?}");
    }
    let reading = thread::spawn(move || {
        assert_eq!(reader.read().unwrap(), None);
        assert_eq!(reader.read().unwrap(), None);
        reader.close_info().unwrap()
    });
    client.expect(CLOSE, &close(1000, "bye"));
    client.write(&masked(CLOSE, &close(1000, "bye")));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    drop(client);
    let info = finish(reading);
    assert!(info.clean && info.by_us, "{info:?}");
}

/// A peer that takes a little now and then, until it is told to take the rest.
fn reluctant(mut raw: Raw, all: usize) -> (mpsc::Sender<()>, JoinHandle<(Vec<u8>, Raw)>) {
    let (tell, told) = mpsc::channel();
    let peer = thread::spawn(move || {
        let mut bytes = Vec::new();
        while told.try_recv().is_err() {
            bytes.extend(raw.exactly(500).unwrap());
            thread::sleep(Duration::from_millis(50));
        }
        bytes.extend(raw.exactly(all - bytes.len()).unwrap());
        (bytes, raw)
    });
    (tell, peer)
}

const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

fn is_in_time(begun: Instant) {
    let took = begun.elapsed();
    assert!(took >= WRITE_TIMEOUT && took < WRITE_TIMEOUT * 2, "{took:?}");
}

#[test]
fn the_write_time_out_bounds_a_send_as_a_whole_and_is_resumed() {
    let (mut ws, client) = small_pair(Listener::builder().write_timeout(Some(WRITE_TIMEOUT)));
    let expected = [frame(BINARY, &payload(), None), frame(TEXT, b"more", None)].concat();
    let (go_on, peer) = reluctant(client, expected.len());
    within(move || {
        for attempt in 0..2 {
            let begun = Instant::now();
            let result = if attempt == 0 { ws.send(payload()) } else { ws.flush() };
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Timeout(Deadline::Write)), "{error}");
            is_in_time(begun);
        }
        go_on.send(()).unwrap();
        ws.set_write_timeout(Some(LONG));
        ws.send("more").unwrap();
    });
    assert!(finish(peer).0 == expected);
}

#[test]
fn the_write_time_out_bounds_a_writer_as_a_whole_and_is_resumed() {
    let (ws, client) = small_pair(Listener::builder().write_timeout(Some(WRITE_TIMEOUT)));
    let (_reader, writer) = ws.split().unwrap();
    let expected = [frame(BINARY, &payload(), None), frame(TEXT, b"more", None)].concat();
    let (go_on, peer) = reluctant(client, expected.len());
    within(move || {
        let begun = Instant::now();
        let error = writer.send(payload()).unwrap_err();
        assert!(matches!(error, Error::Timeout(Deadline::Write)), "{error}");
        is_in_time(begun);
        go_on.send(()).unwrap();
        while writer.send_batch(Vec::<Message>::new()).is_err() {}
        writer.send("more").unwrap();
    });
    assert!(finish(peer).0 == expected);
}

// While one writes for all, each has the write time-out for what waited when it came.
#[test]
fn what_others_add_does_not_count_for_the_write_time_out() {
    let timeout = Duration::from_secs(2);
    let (ws, mut client) = small_pair(Listener::builder().write_timeout(Some(timeout)));
    let (_reader, writer) = ws.split().unwrap();
    // It takes each message in a fraction of the time-out, and all together in several times of it.
    const COUNT: usize = 8;
    const SIZE: usize = 10_000;
    let peer = thread::spawn(move || {
        for _ in 0..COUNT {
            let mut len = 4 + SIZE;
            while len > 0 {
                let piece = len.min(SIZE / 8);
                client.exactly(piece).unwrap();
                len -= piece;
                thread::sleep(Duration::from_millis(30));
            }
        }
        client
    });
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let writer = writer.clone();
            thread::spawn(move || {
                (0..COUNT / 2).try_for_each(|_| writer.send(vec![0; SIZE])).unwrap();
            })
        })
        .collect();
    senders.into_iter().for_each(finish);
    finish(peer);
}

#[test]
fn an_ordinary_closing_is_clean_on_both_sides_whoever_begins() {
    for server_begins in [false, true] {
        let (address, server) = serve(Listener::builder(), move |incoming| {
            let mut ws = incoming.accept().unwrap();
            if server_begins {
                return ws.close(CloseCode::NORMAL, "done").unwrap();
            }
            assert_eq!(ws.read().unwrap(), None);
            ws.close_info().unwrap()
        });
        let client = within(move || {
            let mut ws = ws_std::connect(&format!("ws://{address}")).unwrap();
            if !server_begins {
                return ws.close(CloseCode::NORMAL, "done").unwrap();
            }
            assert_eq!(ws.read().unwrap(), None);
            ws.close_info().unwrap()
        });
        let server = finish(server);
        assert!(server.clean && client.clean, "{server:?} {client:?}");
        assert_eq!((server.by_us, client.by_us), (server_begins, !server_begins));
        assert_eq!((server.code, client.code), (CloseCode::NORMAL, CloseCode::NORMAL));
    }
}

// The peer's Close frame has come, and ours cannot be written behind what the peer does not take.
#[test]
fn a_closing_is_not_clean_when_our_close_frame_could_not_be_written() {
    let config = Config::new().close_timeout(Some(Duration::from_millis(300)));
    let builder = Listener::builder().config(config).write_timeout(Some(PAUSE));
    for split in [false, true] {
        let (mut ws, mut client) = small_pair(builder.clone());
        ws.send(payload()).unwrap_err();
        client.write(&masked(CLOSE, &close(1000, "bye")));
        let begun = Instant::now();
        let info = within(move || {
            if split {
                let (mut reader, _writer) = ws.split().unwrap();
                assert_eq!(reader.read().unwrap(), None);
                return reader.close_info().unwrap();
            }
            assert_eq!(ws.read().unwrap(), None);
            ws.close_info().unwrap()
        });
        assert_eq!((info.code, &info.reason[..]), (CloseCode::NORMAL, "bye"));
        assert!(!info.clean && !info.by_us, "{info:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}

// By RST, which destroys what is on the way.
#[test]
fn a_closing_is_not_clean_after_a_reset() {
    for closes in [false, true] {
        let (mut ws, mut client) = small_pair(Listener::builder());
        ws.send("unread").unwrap();
        if closes {
            ws.start_close(CloseCode::NORMAL, "").unwrap();
        }
        client.stream.peek(&mut [0]).unwrap();
        client.write(b"");
        client.reset();
        let info = within(move || {
            while ws.read().unwrap().is_some() {}
            ws.close_info().unwrap()
        });
        assert_eq!((info.code, info.clean, info.by_us), (CloseCode::ABNORMAL, false, closes));
    }
}

/// How a connection is served in the test of the shutdown.
type Service = fn(Incoming);

fn idle(incoming: Incoming) {
    let mut ws = incoming.accept().unwrap();
    while let Ok(Some(_)) = ws.read() {}
}

fn writes(incoming: Incoming) {
    let mut ws = incoming.accept().unwrap();
    while ws.send(payload()).is_ok() {}
}

fn split(incoming: Incoming) {
    let (mut reader, _writer) = incoming.accept().unwrap().split().unwrap();
    while let Ok(Some(_)) = reader.read() {}
}

fn split_and_writes(incoming: Incoming) {
    let (mut reader, writer) = incoming.accept().unwrap().split().unwrap();
    let writing = thread::spawn(move || while writer.send(payload()).is_ok() {});
    while let Ok(Some(_)) = reader.read() {}
    writing.join().unwrap();
}

fn member(incoming: Incoming) {
    let mut member = Hub::new().join(incoming.accept().unwrap()).unwrap();
    while let Ok(Some(_)) = member.read() {}
}

/// Serves one client; returns where, and what the shutdown ends.
fn start(service: Service) -> (ws_std::ListenerHandle, Raw, JoinHandle<()>) {
    let (mut listener, client) = small(Listener::builder(), BUFFER);
    let handle = listener.handle();
    let server = thread::spawn(move || {
        let incoming = listener.next().unwrap().unwrap();
        let serving = thread::spawn(move || service(incoming));
        assert!(listener.next().is_none());
        serving.join().unwrap();
    });
    (handle, finish(client), server)
}

#[test]
fn a_shutdown_reaches_every_connection_soon() {
    for service in [idle, split, member] {
        for busy in [false, true] {
            let (handle, client, server) = start(service);
            let mut sender = Raw::new(client.stream.try_clone().unwrap());
            let (stop, stopped) = mpsc::channel::<()>();
            let talking = thread::spawn(move || {
                while busy && stopped.try_recv().is_err() {
                    sender.write(&masked(TEXT, b"talk"));
                    thread::sleep(Duration::from_millis(1));
                }
            });
            thread::sleep(Duration::from_millis(100));
            let begun = Instant::now();
            handle.shutdown(Duration::from_millis(1000));
            let mut client = client;
            client.expect(CLOSE, &close(1001, ""));
            let told = begun.elapsed();
            // A busy peer is read for half of the time at first.
            assert!(told < Duration::from_millis(if busy { 950 } else { 500 }), "{told:?}");
            stop.send(()).ok();
            finish(talking);
            client.write(&masked(CLOSE, &close(1001, "")));
            assert_eq!(client.read_to_the_end().unwrap(), b"");
            drop(client);
            finish(server);
        }
    }
}

#[test]
fn a_shutdown_ends_connections_whose_writes_are_blocked() {
    for service in [writes, split_and_writes] {
        let (handle, _client, server) = start(service);
        thread::sleep(Duration::from_millis(200));
        let begun = Instant::now();
        handle.shutdown(Duration::from_secs(1));
        finish(server);
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(1700), "{took:?}");
    }
}
