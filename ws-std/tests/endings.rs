//! Every kind of service and every kind of peer that goes away, or does not: each connection ends in time.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use ws_std::ws_core::Endpoint;
use ws_std::{
    CloseCode, Config, Deadline, Direction, Error, Hub, Incoming, Listener, Message, Plain,
    WebSocket,
};

/// A message that no buffers of the system take.
const LARGE: usize = 12 << 20;

fn config() -> Config {
    Config::new()
        .ping_interval(Some(Duration::from_millis(300)))
        .pong_timeout(Some(Duration::from_millis(400)))
        .close_timeout(Some(Duration::from_millis(300)))
        .idle_timeout(Some(Duration::from_millis(2000)))
}

/// Answers by messages that are as large as the first byte of a text says.
fn answer_to(message: &Message) -> Message {
    if message.as_bytes().first() == Some(&b'L') { vec![0; LARGE].into() } else { message.clone() }
}

type Service = fn(Incoming) -> Result<(), Error>;

fn answers(incoming: Incoming) -> Result<(), Error> {
    let mut ws = incoming.accept()?;
    while let Some(message) = ws.read()? {
        ws.send(answer_to(&message))?;
    }
    Ok(())
}

fn queues(incoming: Incoming) -> Result<(), Error> {
    let mut ws = incoming.accept()?;
    while let Some((message, mut replier)) = ws.read_ref()? {
        let message = Message::from(message);
        replier.queue(&answer_to(&message))?;
    }
    Ok(())
}

fn splits(incoming: Incoming) -> Result<(), Error> {
    let (mut reader, writer) = incoming.accept()?.split()?;
    let (tell, told) = mpsc::channel::<Message>();
    let writing =
        thread::spawn(move || told.iter().try_for_each(|message| writer.send(answer_to(&message))));
    let result = loop {
        match reader.read() {
            Ok(Some(message)) => drop(tell.send(message)),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    drop(tell);
    let _ = writing.join().unwrap();
    result
}

fn drops_its_reader(incoming: Incoming) -> Result<(), Error> {
    let (mut reader, writer) = incoming.accept()?.split()?;
    let first = reader.read();
    let writing = thread::spawn(move || {
        if let Ok(Some(message)) = first {
            while writer.send(answer_to(&message)).is_ok() {}
        }
    });
    // So long, it writes.
    thread::sleep(slow_millis(100));
    drop(reader);
    writing.join().unwrap();
    Ok(())
}

fn hub(incoming: Incoming) -> Result<(), Error> {
    let mut member = Hub::with_limits(8, 1 << 30).join(incoming.accept()?)?;
    while let Some(message) = member.read()? {
        member.hub().send_to(member.id(), answer_to(&message));
    }
    Ok(())
}

fn drops_its_member(incoming: Incoming) -> Result<(), Error> {
    let mut member = Hub::with_limits(8, 1 << 30).join(incoming.accept()?)?;
    if let Some(message) = member.read()? {
        member.hub().send_to(member.id(), answer_to(&message));
        // So long, the hub writes.
        thread::sleep(slow_millis(100));
    }
    Ok(())
}

fn closes(incoming: Incoming) -> Result<(), Error> {
    let mut ws = incoming.accept()?;
    if let Some(message) = ws.read()? {
        ws.set_write_timeout(Some(Duration::from_millis(100)));
        let _ = ws.send(answer_to(&message));
    }
    ws.close(CloseCode::NORMAL, "")?;
    ws.close(CloseCode::NORMAL, "")?;
    assert_eq!(ws.read()?, None);
    Ok(())
}

fn streams(incoming: Incoming) -> Result<(), Error> {
    let mut ws = incoming.accept()?;
    while let Some(mut message) = ws.read_stream()? {
        let mut bytes = Vec::new();
        message.read_to_end(&mut bytes)?;
        drop(message);
        let mut message = ws.write_stream(ws_std::MessageKind::Binary);
        message.write_all(answer_to(&Message::from(bytes)).as_bytes())?;
        message.finish()?;
    }
    Ok(())
}

/// What a peer does after it has asked for an answer; it holds its stream, or lets go of it.
type Peer = fn(Raw) -> Option<Raw>;

fn nothing(raw: Raw) -> Option<Raw> {
    Some(raw)
}

fn half_closes(raw: Raw) -> Option<Raw> {
    // The service may have ended already.
    let _ = raw.stream.shutdown(Shutdown::Write);
    Some(raw)
}

fn half_closes_in_a_frame(mut raw: Raw) -> Option<Raw> {
    raw.write(&masked(BINARY, &[0; 100])[..50]);
    half_closes(raw)
}

fn closes_and_reads_nothing(mut raw: Raw) -> Option<Raw> {
    raw.write(&masked(CLOSE, &close(1000, "")));
    Some(raw)
}

fn closes_and_half_closes(raw: Raw) -> Option<Raw> {
    half_closes(closes_and_reads_nothing(raw)?)
}

fn breaks_the_protocol(mut raw: Raw) -> Option<Raw> {
    let _ = raw.stream.write_all(&[0xff; 100_000]);
    Some(raw)
}

fn shuts_down_its_read_side(raw: Raw) -> Option<Raw> {
    let _ = raw.stream.shutdown(Shutdown::Read);
    Some(raw)
}

/// By RST, if it has not read all.
fn vanishes(_: Raw) -> Option<Raw> {
    None
}

fn vanishes_in_a_frame(mut raw: Raw) -> Option<Raw> {
    raw.write(&masked(BINARY, &[0; 100])[..50]);
    None
}

fn floods_by_pings(mut raw: Raw) -> Option<Raw> {
    raw.stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let flood = masked(PING, &[0; 125]).repeat(100);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) && raw.stream.write_all(&flood).is_ok() {}
    half_closes(raw)
}

/// Serves one peer, and returns how long that takes once the peer has done its part.
fn ends(name: &str, service: Service, peer: Peer, ask: &str) -> Duration {
    let listener = Listener::builder()
        .config(config())
        .write_timeout(Some(Duration::from_millis(1500)))
        .bind("127.0.0.1:0")
        .unwrap();
    let address = listener.local_addr().unwrap();
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        let incoming = listener.accept().unwrap();
        let result = service(incoming);
        let _ = done.send(result);
    });
    let mut raw = Raw::open(address);
    raw.write(&masked(TEXT, ask.as_bytes()));
    // Some services have answered by then, and others are blocked. Every peer has to do.
    thread::sleep(slow_millis(100));
    let _raw = peer(raw);
    let begun = Instant::now();
    match wait.recv_timeout(Duration::from_secs(20)) {
        Ok(_) => begun.elapsed(),
        Err(error) => panic!("{name}, does not end: {error}"),
    }
}

#[test]
fn every_connection_ends_in_time() {
    let services: [(&str, Service); 8] = [
        ("answers", answers),
        ("queues", queues),
        ("splits", splits),
        ("drops its reader", drops_its_reader),
        ("hub", hub),
        ("drops its member", drops_its_member),
        ("closes", closes),
        ("streams", streams),
    ];
    let peers: [(&str, Peer); 10] = [
        ("nothing", nothing),
        ("half-closes", half_closes),
        ("half-closes in a frame", half_closes_in_a_frame),
        ("closes and reads nothing", closes_and_reads_nothing),
        ("closes and half-closes", closes_and_half_closes),
        ("breaks the protocol", breaks_the_protocol),
        ("shuts down its read side", shuts_down_its_read_side),
        ("vanishes", vanishes),
        ("vanishes in a frame", vanishes_in_a_frame),
        ("floods by pings", floods_by_pings),
    ];
    let mut cases = Vec::new();
    for (service_name, service) in services {
        for (peer_name, peer) in peers {
            for ask in ["small", "Large"] {
                let name = format!("{service_name} for one that {peer_name}, asked for {ask}");
                cases.push(move || (ends(&name, service, peer, ask), name));
            }
        }
    }
    while !cases.is_empty() {
        let some = cases.split_off(cases.len().saturating_sub(40));
        let running: Vec<_> = some.into_iter().map(thread::spawn).collect();
        for (took, name) in running.into_iter().map(finish) {
            // The time-out of a write, a Pong, the closing handshake or data; and the machine's.
            assert!(took < Duration::from_secs(8), "{name}, took {took:?}");
        }
    }
}

/// A server whose hook for traces panics at the first frame in one direction, and its client.
fn panicking(direction: Direction) -> (WebSocket, Raw) {
    let armed = AtomicBool::new(true);
    let builder = Listener::builder().trace(move |trace| {
        let is_frame = matches!(trace.what, ws_std::Traced::Frame(..));
        if is_frame && trace.direction == direction && armed.swap(false, SeqCst) {
            panic!("the hook");
        }
    });
    open(builder)
}

// What the hook was called for is lost: nothing is written twice, and nothing behind it is read as a frame.
#[test]
fn a_panic_of_the_trace_hook_ends_the_connection() {
    let (mut ws, client) = panicking(Direction::Sent);
    let mut client = client;
    assert!(catch_unwind(AssertUnwindSafe(|| ws.send("once"))).is_err());
    let error = ws.send("twice").unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error}");
    drop(ws);
    client.expect(TEXT, b"once");
    assert_eq!(client.read_to_the_end().unwrap(), b"");

    let (mut ws, mut client) = panicking(Direction::Received);
    client.write(&masked(TEXT, b"lost"));
    assert!(catch_unwind(AssertUnwindSafe(|| ws.read())).is_err());
    client.write(&masked(TEXT, b"late"));
    let ws = within(move || {
        assert_eq!(ws.read().unwrap(), None);
        ws
    });
    assert!(!ws.close_info().unwrap().clean);

    let (ws, client) = panicking(Direction::Sent);
    let (mut reader, writer) = ws.split().unwrap();
    let second = writer.clone();
    assert!(thread::spawn(move || writer.send("once")).join().is_err());
    assert!(matches!(second.send("twice").unwrap_err(), Error::Io(_)));
    let mut client = client;
    client.expect(TEXT, b"once");
    drop(client);
    within(move || assert_eq!(reader.read().unwrap(), None));
}

// A stream in non-blocking mode is not supported; it must not keep a processor busy, nor lose anything.
#[test]
fn a_stream_that_does_not_block_times_out_and_is_resumed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Raw::connect(listener.local_addr().unwrap());
    let stream = accept(&listener).stream;
    stream.set_nonblocking(true).unwrap();
    let endpoint = Endpoint::server_after_handshake(Config::new(), b"");
    let mut ws = WebSocket::from_endpoint(endpoint, stream);
    ws.set_write_timeout(Some(Duration::from_millis(300)));
    let payload: Vec<u8> = (0..LARGE).map(|n| (n / 7) as u8).collect();
    let expected = payload.clone();
    let (mut ws, first) = within(move || {
        let first = ws.send(payload).unwrap_err();
        (ws, first)
    });
    assert!(matches!(first, Error::Timeout(Deadline::Write)), "{first}");
    let peer = thread::spawn(move || {
        let mut client = client;
        client.expect(BINARY, &expected);
    });
    within(move || while ws.flush().is_err() {});
    finish(peer);
}

// A stream without time-outs is not split, and what blocks on it blocks.
#[test]
fn a_plain_stream_is_closed_by_both_sides() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Raw::connect(listener.local_addr().unwrap());
    let endpoint = Endpoint::server_after_handshake(config(), b"");
    let mut ws = WebSocket::from_endpoint(endpoint, Plain(accept(&listener).stream));
    let server = thread::spawn(move || {
        while let Some(message) = ws.read().unwrap() {
            ws.send(message).unwrap();
        }
        ws.close_info().unwrap()
    });
    client.write(&[masked(TEXT, b"plain"), masked(CLOSE, &close(1000, ""))].concat());
    client.expect(TEXT, b"plain");
    client.expect(CLOSE, &close(1000, ""));
    assert!(finish(server).clean);
}

// Connections that never ask for anything hold a place each, and no more; those that do are served.
#[test]
fn a_flood_of_silent_strangers_does_not_keep_others_out() {
    const STRANGERS: usize = 200;
    let listener = Listener::builder()
        .handshake_timeout(Some(Duration::from_secs(1)))
        .bind("127.0.0.1:0")
        .unwrap();
    let (address, handle) = (listener.local_addr().unwrap(), listener.handle());
    let server = thread::spawn(move || {
        let mut served = Vec::new();
        for incoming in listener {
            let service = move || match incoming.unwrap().accept() {
                Ok(mut ws) => echo(&mut ws).map(drop),
                Err(error) => Err(error),
            };
            served.push(
                thread::Builder::new().stack_size(256 * 1024).spawn(service).expect("a thread"),
            );
        }
        served.into_iter().map(finish).filter(Result::is_ok).count()
    });
    let strangers: Vec<_> = (0..STRANGERS)
        .map(|n| {
            let mut raw = Raw::connect(address);
            raw.write(&REQUEST.as_bytes()[..n % 50]);
            raw
        })
        .collect();
    let mut guest = Raw::open(address);
    guest.write(&masked(TEXT, b"hello"));
    guest.expect(TEXT, b"hello");
    // They are let go of when their time is over.
    let begun = Instant::now();
    while handle.connections() > 1 {
        assert!(begun.elapsed() < Duration::from_secs(5), "{} left", handle.connections());
        thread::sleep(Duration::from_millis(20));
    }
    guest.write(&masked(CLOSE, &close(1000, "")));
    guest.expect(CLOSE, &close(1000, ""));
    drop((guest, strangers));
    handle.shutdown(Duration::from_secs(1));
    assert_eq!(finish(server), 1);
}

#[test]
fn a_shutdown_under_load_ends_in_time() {
    const CLIENTS: usize = 24;
    let listener = Listener::builder().config(config()).bind("127.0.0.1:0").unwrap();
    let (address, handle) = (listener.local_addr().unwrap(), listener.handle());
    let server = thread::spawn(move || {
        let services: [Service; 4] = [answers, queues, splits, hub];
        let mut served = Vec::new();
        for (n, incoming) in listener.enumerate() {
            let service = services[n % services.len()];
            served.push(thread::spawn(move || service(incoming.unwrap())));
        }
        served.into_iter().for_each(|service| drop(finish(service)));
    });
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let stop = stop.clone();
            let mut raw = Raw::open(address);
            thread::spawn(move || {
                raw.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                raw.stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
                let mut buffer = vec![0; 100_000];
                while !stop.load(SeqCst) {
                    // One in three does not read.
                    let talk = masked(BINARY, &vec![n as u8; 5000]);
                    let _ = raw.stream.write_all(&talk);
                    if n % 3 != 0 {
                        let _ = raw.stream.read(&mut buffer);
                    }
                }
            })
        })
        .collect();
    // So long, they talk.
    thread::sleep(slow_millis(500));
    let begun = Instant::now();
    handle.shutdown(Duration::from_secs(2));
    finish(server);
    let took = begun.elapsed();
    stop.store(true, SeqCst);
    clients.into_iter().for_each(finish);
    // The patience, and the machine's.
    assert!(took < Duration::from_secs(8), "{took:?}");
}
