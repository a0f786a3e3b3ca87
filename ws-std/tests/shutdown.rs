//! The end of a listener, and its limit.

mod common;
#[path = "common/slow.rs"]
mod slow;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::*;
use ws_std::{
    CloseCode, CloseInfo, Config, Error, HttpResponse, Hub, Incoming, Listener, ListenerBuilder,
    ListenerHandle, WebSocket,
};

struct Server {
    address: SocketAddr,
    handle: ListenerHandle,
    /// Ends when the iterator does.
    accepting: JoinHandle<()>,
    /// How each connection has ended.
    ends: Receiver<Result<CloseInfo, Error>>,
}

/// Serves each connection on a thread of its own.
fn start(
    builder: ListenerBuilder,
    serve: impl Fn(Incoming) -> Result<CloseInfo, Error> + Clone + Send + 'static,
) -> Server {
    let listener = builder.bind("127.0.0.1:0").unwrap();
    let (address, handle) = (listener.local_addr().unwrap(), listener.handle());
    let (tell, ends) = mpsc::channel();
    let accepting = thread::spawn(move || {
        for incoming in listener {
            let (serve, tell) = (serve.clone(), tell.clone());
            thread::spawn(move || tell.send(serve(incoming.unwrap())));
        }
    });
    Server { address, handle, accepting, ends }
}

fn echoing(incoming: Incoming) -> Result<CloseInfo, Error> {
    echo(&mut incoming.accept()?)
}

fn split(incoming: Incoming) -> Result<CloseInfo, Error> {
    let (mut reader, writer) = incoming.accept()?.split()?;
    while let Some(message) = reader.read()? {
        writer.send(message)?;
    }
    Ok(reader.close_info().unwrap().clone())
}

/// Waits until there are so many.
fn connections(handle: &ListenerHandle, count: usize) {
    let begun = Instant::now();
    while handle.connections() != count {
        assert!(begun.elapsed() < LONG, "{} of {count}", handle.connections());
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn everybody_is_told_and_answers() {
    for serve in [echoing, split] {
        let server = start(Listener::builder(), serve);
        let mut clients: Vec<_> = (0..20).map(|_| Raw::open(server.address)).collect();
        connections(&server.handle, 20);
        clients[0].write(&masked(TEXT, b"hello"));
        clients[0].expect(TEXT, b"hello");
        let begun = Instant::now();
        server.handle.shutdown(LONG);
        for raw in &mut clients {
            raw.expect(CLOSE, &close(1001, ""));
        }
        // What comes after the goodbye changes nothing, and the peer's answer is awaited.
        clients[1].write(&masked(TEXT, b"one more"));
        // For a while, nothing ends.
        thread::sleep(Duration::from_millis(50));
        assert!(!server.accepting.is_finished());
        for raw in &mut clients {
            raw.write(&masked(CLOSE, &close(1001, "")));
        }
        // By FIN, not by RST.
        clients.iter_mut().for_each(|raw| assert_eq!(raw.read_to_the_end().unwrap(), b""));
        finish(server.accepting);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(server.handle.connections(), 0);
        for _ in 0..20 {
            let info = server.ends.recv_timeout(LONG).unwrap().unwrap();
            assert!(info.clean && info.by_us && info.code == CloseCode::GOING_AWAY, "{info:?}");
        }
        // Nobody listens any more.
        assert!(std::net::TcpStream::connect(server.address).is_err());
    }
}

// What had come before is answered before.
#[test]
fn what_came_before_is_answered() {
    for by_ref in [true, false] {
        let (tell, reads) = mpsc::channel();
        let (go_on, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let server = start(Listener::builder(), move |incoming| {
            let mut ws = incoming.accept()?;
            if !by_ref {
                tell.send(()).unwrap();
                return echo(&mut ws);
            }
            while let Some((message, mut replier)) = ws.read_ref()? {
                let _ = tell.send(());
                // The shutdown comes in between.
                let _ = wait.lock().unwrap().recv_timeout(LONG);
                replier.queue(message)?;
            }
            Ok(ws.close_info().unwrap().clone())
        });
        let mut raw = Raw::open(server.address);
        connections(&server.handle, 1);
        // In one segment: when the first is read, all have come.
        raw.write(&[&b"one"[..], b"two", b"three"].map(|text| masked(TEXT, text)).concat());
        reads.recv_timeout(LONG).unwrap();
        server.handle.shutdown(LONG);
        drop(go_on);
        for text in [&b"one"[..], b"two", b"three"] {
            raw.expect(TEXT, text);
        }
        raw.expect(CLOSE, &close(1001, ""));
        raw.write(&[masked(TEXT, b"late"), masked(CLOSE, &close(1001, ""))].concat());
        assert_eq!(raw.read_to_the_end().unwrap(), b"");
        finish(server.accepting);
        assert!(server.ends.recv_timeout(LONG).unwrap().unwrap().clean);
    }
}

// The peer's last messages belong to whoever has started the closing handshake before the shutdown.
#[test]
fn what_came_after_an_own_close_is_read_during_a_shutdown() {
    let last = [masked(TEXT, b"last"), masked(CLOSE, &close(1000, ""))].concat();
    let len = last.len();
    let (came, has_come) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let (tell, read) = mpsc::channel();
    let server = start(Listener::builder(), move |incoming| {
        let mut ws = incoming.accept()?;
        ws.start_close(CloseCode::NORMAL, "")?;
        while ws.stream().get_ref().peek(&mut vec![0; len]).unwrap() < len {
            thread::yield_now();
        }
        came.send(()).unwrap();
        wait.lock().unwrap().recv_timeout(LONG).unwrap();
        while let Some(message) = ws.read()? {
            tell.send(message).unwrap();
        }
        Ok(ws.close_info().unwrap())
    });
    let mut raw = Raw::open(server.address);
    raw.expect(CLOSE, &close(1000, ""));
    raw.write(&last);
    has_come.recv_timeout(LONG).unwrap();
    server.handle.shutdown(LONG);
    go_on.send(()).unwrap();
    assert_eq!(read.recv_timeout(LONG).unwrap().as_text(), Some("last"));
    assert!(server.ends.recv_timeout(LONG).unwrap().unwrap().clean);
    finish(server.accepting);
}

// While the end of the stream wakes its reads, a write looks for what comes only as long as it asks.
#[test]
fn a_blocked_send_does_not_crawl_during_a_shutdown() {
    const LEN: usize = 4 << 20;
    let (listener, client) = slow::small(Listener::builder(), 32 * 1024);
    let handle = listener.handle();
    let (tell, told) = mpsc::channel();
    let server = thread::spawn(move || {
        let mut ws = listener.accept().unwrap().accept().unwrap();
        tell.send(()).unwrap();
        ws.send(vec![7; LEN])
    });
    let mut client = finish(client);
    told.recv_timeout(LONG).unwrap();
    client.exactly(10 + 100_000).unwrap();
    handle.shutdown(LONG);
    let begun = Instant::now();
    let mut left = LEN - 100_000;
    while left > 0 {
        // The stream is full now and then.
        thread::sleep(Duration::from_millis(20));
        let piece = left.min(64 * 1024);
        client.exactly(piece).unwrap();
        left -= piece;
    }
    finish(server).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn who_does_not_answer_is_cut() {
    for serve in [echoing, split] {
        let server = start(Listener::builder(), serve);
        let mut silent = Raw::open(server.address);
        // It does not read either, and the server's writes are stuck.
        let mut stuck = Raw::open(server.address);
        connections(&server.handle, 2);
        stuck.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let large = masked(BINARY, &vec![1; 1 << 20]);
        while std::io::Write::write_all(&mut stuck.stream, &large).is_ok() {}
        let begun = Instant::now();
        let patience = Duration::from_secs(2);
        server.handle.shutdown(patience);
        finish(server.accepting);
        let took = begun.elapsed();
        assert!(took >= patience && took < Duration::from_secs(10), "{took:?}");
        silent.expect(CLOSE, &close(1001, ""));
        let mut rest = Vec::new();
        let _ = silent.stream.read_to_end(&mut rest);
        assert_eq!(rest, b"");
        // Their threads end, too.
        for _ in 0..2 {
            let _ = server.ends.recv_timeout(LONG).unwrap();
        }
    }
}

#[test]
fn members_of_a_hub_are_told() {
    let hub = Hub::new();
    let ours = hub.clone();
    let server = start(Listener::builder(), move |incoming| {
        let mut member = ours.join(incoming.accept()?)?;
        while let Some(message) = member.read()? {
            ours.broadcast(message);
        }
        Ok(member.close_info().unwrap().clone())
    });
    let mut raw = Raw::open(server.address);
    connections(&server.handle, 1);
    raw.write(&masked(TEXT, b"hello"));
    raw.expect(TEXT, b"hello");
    server.handle.shutdown(LONG);
    raw.expect(CLOSE, &close(1001, ""));
    raw.write(&masked(CLOSE, &close(1001, "")));
    assert_eq!(raw.read_to_the_end().unwrap(), b"");
    finish(server.accepting);
    assert!(hub.is_empty() || server.ends.recv_timeout(LONG).unwrap().unwrap().clean);
}

#[test]
fn requests_and_strangers_do_not_hold_it_up() {
    let server = start(Listener::builder(), echoing);
    let mut half = Raw::connect(server.address);
    half.write(b"GET / HTTP/1.1\r\nHost: a\r\n");
    let mut silent = Raw::connect(server.address);
    connections(&server.handle, 2);
    server.handle.shutdown(LONG);
    finish(server.accepting);
    for raw in [&mut half, &mut silent] {
        let _ = raw.read_to_the_end();
    }
    // A second time changes nothing, and the shorter patience counts.
    server.handle.shutdown(Duration::ZERO);
}

#[test]
fn shutdown_before_accept_and_twice() {
    let listener = Listener::builder().bind("127.0.0.1:0").unwrap();
    let handle = listener.handle();
    handle.shutdown(LONG);
    handle.shutdown(Duration::ZERO);
    within(move || {
        assert!(matches!(listener.accept(), Err(Error::Shutdown)));
        assert_eq!(listener.count(), 0);
    });
}

#[test]
fn accept_after_its_end_and_on_several_threads() {
    let listener = Arc::new(Listener::builder().bind("127.0.0.1:0").unwrap());
    let accepting: Vec<_> = (0..3)
        .map(|_| {
            let listener = listener.clone();
            thread::spawn(move || listener.accept().map(drop))
        })
        .collect();
    // So that they wait, which nothing shows. It comes out the same if they come later.
    thread::sleep(Duration::from_millis(100));
    listener.handle().shutdown(Duration::ZERO);
    for thread in accepting {
        assert!(matches!(finish(thread), Err(Error::Shutdown)));
    }
    within(move || {
        for _ in 0..3 {
            assert!(matches!(listener.accept(), Err(Error::Shutdown)));
        }
    });
}

// A message that had begun is read to its end, and none that begins after the goodbye.
#[test]
fn streamed_messages() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = heard.clone();
    let (tell, begun) = mpsc::channel();
    let server = start(Listener::builder(), move |incoming| {
        let mut ws = incoming.accept()?;
        while let Some(mut message) = ws.read_stream()? {
            let _ = tell.send(());
            let mut text = String::new();
            message.read_to_string(&mut text)?;
            log.lock().unwrap().push(text);
        }
        Ok(ws.close_info().unwrap().clone())
    });
    let mut raw = Raw::open(server.address);
    connections(&server.handle, 1);
    raw.write(&masked(0x01, b"begun, "));
    begun.recv_timeout(LONG).unwrap();
    server.handle.shutdown(LONG);
    raw.expect(CLOSE, &close(1001, ""));
    let late = [masked(0x01, b"too "), masked(0x00, b"la"), masked(0x80, b"te")].concat();
    raw.write(&[masked(0x80, b"ended"), late, masked(TEXT, b"later")].concat());
    raw.write(&masked(CLOSE, &close(1001, "")));
    assert_eq!(raw.read_to_the_end().unwrap(), b"");
    finish(server.accepting);
    assert!(server.ends.recv_timeout(LONG).unwrap().unwrap().clean);
    assert_eq!(*heard.lock().unwrap(), ["begun, ended"]);
}

// The close time-out may be none: it is the patience of the shutdown that counts.
#[test]
fn without_a_close_timeout() {
    let config = Config::new().close_timeout(None);
    let server = start(Listener::builder().config(config), echoing);
    let mut raw = Raw::open(server.address);
    connections(&server.handle, 1);
    server.handle.shutdown(Duration::from_millis(300));
    finish(server.accepting);
    raw.expect(CLOSE, &close(1001, ""));
    let _ = server.ends.recv_timeout(LONG).unwrap();
}

#[test]
fn the_limit_is_told_by_503() {
    let serve = |incoming: Incoming| {
        let request = incoming.request()?;
        if !request.is_upgrade() {
            request.http(&HttpResponse::new(200).body(b"page"))?;
            return Ok(CloseInfo::abnormal());
        }
        echo(&mut request.accept()?)
    };
    let server = start(Listener::builder().max_connections(2), serve);
    let mut clients: Vec<_> = (0..2).map(|_| Raw::open(server.address)).collect();
    for request in [REQUEST, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut third = Raw::connect(server.address);
        third.write(request.as_bytes());
        assert!(third.head().starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        third.read_to_the_end().unwrap();
        drop(third);
        let end = server.ends.recv_timeout(LONG).unwrap();
        assert!(matches!(end, Err(Error::TooManyConnections)), "{end:?}");
    }
    assert_eq!(server.handle.connections(), 2);
    // Those that are there are not disturbed, and a place that is given up is free.
    let mut first = clients.remove(0);
    first.write(&masked(CLOSE, b""));
    first.expect(CLOSE, b"");
    drop(first);
    connections(&server.handle, 1);
    let mut next = Raw::open(server.address);
    next.write(&masked(TEXT, b"in"));
    next.expect(TEXT, b"in");
    clients[0].write(&masked(TEXT, b"still"));
    clients[0].expect(TEXT, b"still");
}

// Those who are told that it is full do not pile up.
#[test]
fn a_crowd_before_a_full_house_is_bounded() {
    let server = start(Listener::builder().max_connections(1), echoing);
    let mut first = Raw::open(server.address);
    // They say nothing, so that nothing can be answered.
    let crowd: Vec<_> = (0..100).map(|_| Raw::connect(server.address)).collect();
    let mut dropped = 0;
    let begun = Instant::now();
    while dropped < 30 {
        assert!(begun.elapsed() < LONG, "{dropped} were dropped");
        dropped = 0;
        for raw in &crowd {
            raw.stream.set_nonblocking(true).unwrap();
            dropped += usize::from(matches!((&raw.stream).read(&mut [0]), Ok(0)));
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.handle.connections(), 1);
    first.write(&masked(TEXT, b"still"));
    first.expect(TEXT, b"still");
}

// The thread that accepts may be busy with a connection, or the listener may be gone.
#[test]
fn the_patience_ends_without_a_thread_that_accepts() {
    for inline in [true, false] {
        let mut listener = Listener::builder().write_timeout(None).bind("127.0.0.1:0").unwrap();
        let (address, handle) = (listener.local_addr().unwrap(), listener.handle());
        let client = thread::spawn(move || Raw::open(address));
        let server = thread::spawn(move || {
            let flood = |mut ws: WebSocket| while ws.send(vec![0; 1 << 16]).is_ok() {};
            let ws = listener.next().unwrap().unwrap().accept().unwrap();
            if inline {
                flood(ws);
                assert!(listener.next().is_none());
            } else {
                drop(listener);
                flood(ws);
            }
        });
        // It does not read.
        let client = finish(client);
        connections(&handle, 1);
        until_blocked(&client.stream);
        let begun = Instant::now();
        handle.shutdown(Duration::from_millis(500));
        finish(server);
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(5), "{took:?}");
    }
}

// Sooner than the server can answer: there is always something to read.
#[test]
fn a_busy_peer_is_told_in_time() {
    for split in [false, true] {
        let server = start(Listener::builder(), move |incoming| {
            let slow = || thread::sleep(Duration::from_millis(2));
            let mut ws = incoming.accept()?;
            if !split {
                while let Some(message) = ws.read()? {
                    slow();
                    ws.queue(message)?;
                }
                return Ok(ws.close_info().unwrap().clone());
            }
            let (mut reader, writer) = ws.split()?;
            while let Some(message) = reader.read()? {
                slow();
                // What the goodbye has overtaken cannot be answered.
                let _ = writer.send(message);
            }
            Ok(reader.close_info().unwrap().clone())
        });
        let mut raw = Raw::open(server.address);
        let mut sending = raw.stream.try_clone().unwrap();
        let (stop, stopped) = mpsc::channel::<()>();
        let sender = thread::spawn(move || {
            while stopped.try_recv().is_err() {
                sending.write_all(&masked(TEXT, b"busy").repeat(10)).unwrap();
                thread::sleep(Duration::from_millis(5));
            }
        });
        raw.expect(TEXT, b"busy");
        let begun = Instant::now();
        let patience = Duration::from_secs(4);
        server.handle.shutdown(patience);
        let goodbye = loop {
            match raw.frame() {
                frame if frame.first == TEXT => {}
                frame => break frame,
            }
        };
        assert_eq!((goodbye.first, goodbye.payload), (CLOSE, close(1001, "")));
        let took = begun.elapsed();
        assert!(took < patience, "{took:?}");
        stop.send(()).unwrap();
        finish(sender);
        raw.write(&masked(CLOSE, &close(1001, "")));
        assert_eq!(raw.read_to_the_end().unwrap(), b"");
        finish(server.accepting);
        assert!(server.ends.recv_timeout(LONG).unwrap().unwrap().clean);
    }
}

// Else it hangs until all have ended.
#[test]
fn who_comes_meanwhile_is_refused() {
    let server = start(Listener::builder(), echoing);
    let mut raw = Raw::open(server.address);
    connections(&server.handle, 1);
    server.handle.shutdown(LONG);
    raw.expect(CLOSE, &close(1001, ""));
    let begun = Instant::now();
    // The thread that accepts is woken first.
    let error = loop {
        match TcpStream::connect(server.address) {
            Ok(_) => assert!(begun.elapsed() < LONG, "somebody listens"),
            Err(error) => break error,
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(!server.accepting.is_finished());
    raw.write(&masked(CLOSE, &close(1001, "")));
    assert_eq!(raw.read_to_the_end().unwrap(), b"");
    finish(server.accepting);
}

#[test]
fn who_comes_is_refused_though_nobody_accepts() {
    let listener = Listener::builder().bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.handle().shutdown(LONG);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert!(matches!(listener.accept(), Err(Error::Shutdown)));

    // A handle does not keep the socket of a listener that is gone.
    let listener = Listener::builder().bind("127.0.0.1:0").unwrap();
    let (address, handle) = (listener.local_addr().unwrap(), listener.handle());
    drop(listener);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(handle.connections(), 0);
}

// All that it will do has come already: it never reads again.
#[test]
fn a_reader_that_has_much_to_do_is_told_in_time() {
    for way in ["read", "read_ref", "split"] {
        let server = start(Listener::builder(), move |incoming| {
            let slow = || thread::sleep(Duration::from_millis(10));
            let mut ws = incoming.accept()?;
            match way {
                "read" => {
                    while let Some(message) = ws.read()? {
                        slow();
                        ws.queue(message)?;
                    }
                }
                "read_ref" => {
                    while let Some((message, mut replier)) = ws.read_ref()? {
                        slow();
                        replier.queue(message)?;
                    }
                }
                _ => {
                    let (mut reader, writer) = ws.split()?;
                    while let Some(message) = reader.read()? {
                        slow();
                        let _ = writer.send(message);
                    }
                    return Ok(reader.close_info().unwrap().clone());
                }
            }
            Ok(ws.close_info().unwrap().clone())
        });
        let mut raw = Raw::open(server.address);
        raw.write(&masked(TEXT, b"work").repeat(1000));
        raw.expect(TEXT, b"work");
        let begun = Instant::now();
        let patience = Duration::from_secs(2);
        server.handle.shutdown(patience);
        let goodbye = loop {
            match raw.frame() {
                frame if frame.first == TEXT => {}
                frame => break frame,
            }
        };
        assert_eq!((goodbye.first, goodbye.payload), (CLOSE, close(1001, "")), "{way}");
        let took = begun.elapsed();
        assert!(took >= patience / 4 && took < patience, "{way}: {took:?}");
        raw.write(&masked(CLOSE, &close(1001, "")));
        assert_eq!(raw.read_to_the_end().unwrap(), b"");
        finish(server.accepting);
    }
}

#[test]
fn shutdown_returns_at_once_though_the_backlog_is_full() {
    // The standard library's backlog has room for 128.
    let listener = Listener::builder().listen_on(TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    let mut backlog = Vec::new();
    while let Ok(tcp) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        backlog.push(tcp);
        assert!(backlog.len() < 500, "the backlog does not fill");
    }
    assert!(backlog.len() >= 100, "{} connections", backlog.len());
    let begun = Instant::now();
    listener.handle().shutdown(Duration::ZERO);
    // A connection that the backlog has no room for would wait for minutes.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(matches!(listener.accept(), Err(Error::Shutdown)));
    assert_eq!(listener.local_addr().unwrap(), address);
}

/// A client of a server that has small buffers, and what is left when that has shut down.
fn serve_with_small_buffers(service: fn(Incoming)) -> (ListenerHandle, Raw, JoinHandle<()>) {
    let (listener, client) = slow::small(Listener::builder(), slow::BUFFER);
    let handle = listener.handle();
    let server = slow::serve_one(listener, service);
    (handle, finish(client), server)
}

#[test]
fn a_shutdown_reaches_every_connection_soon() {
    for service in [slow::serve_reading, slow::serve_split, slow::serve_member] {
        for busy in [false, true] {
            let (handle, client, server) = serve_with_small_buffers(service);
            let mut sender = Raw::new(client.stream.try_clone().unwrap());
            let (stop, stopped) = mpsc::channel::<()>();
            let talking = thread::spawn(move || {
                while busy && stopped.try_recv().is_err() {
                    sender.write(&masked(TEXT, b"talk"));
                    thread::sleep(Duration::from_millis(1));
                }
            });
            // For a while, the connection is silent or busy.
            thread::sleep(Duration::from_millis(100));
            let begun = Instant::now();
            handle.shutdown(slow_millis(1000));
            let mut client = client;
            client.expect(CLOSE, &close(1001, ""));
            let told = begun.elapsed();
            // A busy peer is read for half of the time at first.
            assert!(told < slow_millis(if busy { 950 } else { 500 }), "{told:?}");
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
    for service in [slow::serve_writing, slow::serve_split_writing] {
        let (handle, client, server) = serve_with_small_buffers(service);
        until_blocked(&client.stream);
        let begun = Instant::now();
        handle.shutdown(slow_millis(1000));
        finish(server);
        let took = begun.elapsed();
        assert!(took < slow_millis(1700), "{took:?}");
    }
}
