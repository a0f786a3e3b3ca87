//! When bytes are written, and streams other than TCP.

mod common;
#[path = "common/timed.rs"]
mod timed;

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use timed::Timed;
use ws_std::ws_core::Endpoint;
use ws_std::{
    CloseCode, Config, Connector, Deadline, Error, Message, Plain, PreparedMessage, SendError,
    Transport, WebSocket,
};

/// A TCP stream that counts system calls.
#[derive(Debug)]
struct Counted {
    stream: TcpStream,
    reads: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
    shutdowns: Arc<AtomicUsize>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, SeqCst);
        self.stream.read(buffer)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes.fetch_add(1, SeqCst);
        self.stream.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writes.fetch_add(1, SeqCst);
        self.stream.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Counted {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_write_timeout(timeout)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shutdowns.fetch_add(1, SeqCst);
        self.stream.shutdown_write()
    }

    fn try_clone(&self) -> io::Result<Self> {
        let Self { reads, writes, shutdowns, .. } = self;
        let (reads, writes, shutdowns) = (reads.clone(), writes.clone(), shutdowns.clone());
        Ok(Self { stream: self.stream.try_clone()?, reads, writes, shutdowns })
    }
}

/// A server on a stream that counts, its counters (reads, writes, shutdowns), and its client.
fn counted() -> (WebSocket<Counted>, [Arc<AtomicUsize>; 3], Raw) {
    let (near, far) = tcp();
    near.set_nodelay(true).unwrap();
    let counters = [Arc::default(), Arc::default(), Arc::default()];
    let [reads, writes, shutdowns] = counters.clone();
    let stream = Counted { stream: near, reads, writes, shutdowns };
    let endpoint = Endpoint::server_after_handshake(Config::new(), b"");
    (WebSocket::from_endpoint(endpoint, stream), counters, Raw::new(far))
}

#[test]
fn answers_to_a_batch_leave_with_one_write() {
    for by_ref in [false, true] {
        let (mut ws, [_, writes, _], mut client) = counted();
        let server = thread::spawn(move || {
            if by_ref {
                while let Some((message, mut replier)) = ws.read_ref().unwrap() {
                    replier.queue(message).unwrap();
                }
            } else {
                while let Some(message) = ws.read().unwrap() {
                    ws.queue(message).unwrap();
                }
            }
        });
        // In one segment, smaller than the read buffer.
        client.write(&masked(TEXT, b"0123456789").repeat(100));
        for _ in 0..100 {
            client.expect(TEXT, b"0123456789");
        }
        assert_eq!(writes.load(SeqCst), 1);
        drop(client);
        finish(server);
    }
}

#[test]
fn one_message_in_flight_takes_one_read_and_one_write() {
    let (mut ws, [reads, writes, _], mut client) = counted();
    let server = thread::spawn(move || {
        while let Some((message, mut replier)) = ws.read_ref().unwrap() {
            replier.queue(message).unwrap();
        }
    });
    for _ in 0..100 {
        client.write(&masked(BINARY, &[5; 100]));
        client.expect(BINARY, &[5; 100]);
    }
    drop(client);
    finish(server);
    // The last read is that of the end.
    assert_eq!((reads.load(SeqCst), writes.load(SeqCst)), (101, 100));
}

#[test]
fn send_writes_at_once_and_queue_when_much_has_gathered() {
    let (mut ws, [_, writes, _], mut client) = counted();
    ws.send("now").unwrap();
    assert_eq!(writes.load(SeqCst), 1);
    client.expect(TEXT, b"now");
    ws.queue("later").unwrap();
    assert_eq!(writes.load(SeqCst), 1);
    ws.send("with this").unwrap();
    assert_eq!(writes.load(SeqCst), 2);
    for _ in 0..64 {
        ws.queue(vec![1; 1000]).unwrap();
    }
    assert_eq!(writes.load(SeqCst), 2);
    ws.queue(vec![1; 2000]).unwrap();
    assert_eq!(writes.load(SeqCst), 3);
    ws.flush().unwrap();
    assert_eq!(writes.load(SeqCst), 3);
    ws.queue("before the end").unwrap();
    ws.start_close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(writes.load(SeqCst), 4);
    client.expect(TEXT, b"later");
    client.expect(TEXT, b"with this");
    for _ in 0..64 {
        client.expect(BINARY, &[1; 1000]);
    }
    client.expect(BINARY, &[1; 2000]);
    client.expect(TEXT, b"before the end");
    client.expect(CLOSE, &close(1000, ""));
}

#[test]
fn prepared_messages_are_queued_in_order_with_others() {
    let (mut ws, [_, writes, _], mut client) = counted();
    let (text, bytes) = (Message::from("prepared"), Message::from(vec![9; 1000]));
    let prepared = [&text, &bytes].map(PreparedMessage::new);
    ws.queue("before").unwrap();
    ws.queue_prepared(&prepared[0]).unwrap();
    ws.queue("after").unwrap();
    ws.queue_prepared(&prepared[1]).unwrap();
    ws.queue_prepared(&prepared[1]).unwrap();
    assert_eq!(writes.load(SeqCst), 0);
    ws.flush().unwrap();
    assert_eq!(writes.load(SeqCst), 1);
    for expected in ["before", "prepared", "after"] {
        client.expect(TEXT, expected.as_bytes());
    }
    client.expect(BINARY, &[9; 1000]);
    client.expect(BINARY, &[9; 1000]);
    // Much is written at once, as by `queue`.
    let long = PreparedMessage::new(&Message::from(vec![8; 70_000]));
    ws.queue_prepared(&long).unwrap();
    assert_eq!(writes.load(SeqCst), 2);
    client.expect(BINARY, &[8; 70_000]);
    ws.start_close(CloseCode::NORMAL, "").unwrap();
    let error = ws.queue_prepared(&prepared[0]).unwrap_err();
    assert!(matches!(error, Error::Send(SendError::Closing)), "{error:?}");
    client.expect(CLOSE, &close(1000, ""));
}

// RFC 6455 §5.3: a client's key is fresh for each frame.
#[test]
fn a_client_masks_a_prepared_message_anew_each_time() {
    let (url, server) = play(|mut raw| {
        let head = raw.head();
        raw.write(answer(&head).as_bytes());
        [raw.frame(), raw.frame()]
    });
    within(move || {
        let mut ws = Connector::builder().connect(&url).unwrap();
        let message = PreparedMessage::new(&Message::from("twice"));
        ws.queue_prepared(&message).unwrap();
        ws.queue_prepared(&message).unwrap();
        ws.flush().unwrap();
    });
    let [one, two] = finish(server);
    for frame in [&one, &two] {
        assert_eq!((frame.first, &*frame.payload), (TEXT, &b"twice"[..]));
    }
    assert!(one.key.is_some() && two.key.is_some() && one.key != two.key);
}

fn would_block<R>(result: ws_std::Result<R>) -> bool {
    matches!(result, Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock)
}

#[test]
fn a_stream_that_does_not_block_is_an_error_at_once_and_nothing_is_lost() {
    let (near, far) = tcp();
    near.set_nonblocking(true).unwrap();
    let mut far = Raw::new(far);
    within(move || {
        let mut ws = server(near);
        assert!(would_block(ws.read()));
        assert!(would_block(ws.read_ref().map(drop)));
        assert!(would_block(ws.read_stream().map(drop)));
        ws.set_read_timeout(Some(LONG));
        assert!(would_block(ws.read()));
        let frame = masked(TEXT, b"in two parts");
        let (one, two) = frame.split_at(7);
        far.write(one);
        let begun = Instant::now();
        while !matches!(ws.stream().peek(&mut [0; 7]), Ok(7)) {
            assert!(begun.elapsed() < LONG, "it does not come");
            thread::yield_now();
        }
        assert!(would_block(ws.read()));
        far.write(two);
        let begun = Instant::now();
        let message = loop {
            match ws.read() {
                Ok(message) => break message,
                error => assert!(would_block(error) && begun.elapsed() < LONG),
            }
        };
        assert_eq!(message, Some(Message::from("in two parts")));
        let (mut reader, _writer) = ws.split().unwrap();
        reader.set_read_timeout(None);
        assert!(would_block(reader.read()));
    });
    let (near, _far) = tcp();
    near.set_nonblocking(true).unwrap();
    within(move || assert!(would_block(server(Plain(near)).read())));
}

#[test]
fn a_read_that_wakes_up_early_waits_on() {
    let (near, far) = tcp();
    let mut far = Raw::new(far);
    within(move || {
        // Reads wake up long before their time.
        let short = |timeout: Option<Duration>| {
            Some(timeout.map_or(Duration::from_millis(20), |timeout| timeout / 4))
        };
        let mut ws = server(Timed { stream: near, wait: short });
        let timeout = Duration::from_millis(200);
        ws.set_read_timeout(Some(timeout));
        let begun = Instant::now();
        assert!(matches!(ws.read(), Err(Error::Timeout(Deadline::Read))));
        assert!(begun.elapsed() >= timeout);
        ws.set_read_timeout(None);
        let late = thread::spawn(move || {
            thread::sleep(timeout);
            far.write(&masked(TEXT, b"late"));
            far
        });
        assert_eq!(ws.read().unwrap(), Some(Message::from("late")));
        finish(late);
    });
}

#[test]
fn a_long_message_and_its_head_leave_with_one_write() {
    let (mut ws, [_, writes, _], mut client) = counted();
    ws.send(vec![3; 50_000]).unwrap();
    assert_eq!(writes.load(SeqCst), 1);
    client.expect(BINARY, &[3; 50_000]);
}

/// A stream in memory from which nothing comes. Each write takes so many bytes at most.
struct Narrow {
    most: usize,
    wrote: Arc<Mutex<Vec<u8>>>,
    writes: Arc<AtomicUsize>,
}

impl Read for Narrow {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writes.fetch_add(1, SeqCst);
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).take(self.most);
        let mut wrote = self.wrote.lock().unwrap();
        let before = wrote.len();
        wrote.extend(bytes);
        Ok(wrote.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn long_messages_that_are_lent_leave_whole_whatever_the_stream_takes() {
    let lens = [20_000, 20_000, 20_000, 20_000, 70_000, 100, 65_536, 1_000_000, 15_000, 60_000];
    let payload = |at: usize, len: usize| -> Vec<u8> { (0..len).map(|n| (n + at) as u8).collect() };
    let payloads: Vec<_> = (0..).zip(lens).map(|(at, len)| payload(at, len)).collect();
    let echoes: Vec<_> = payloads.iter().map(|payload| frame(BINARY, payload, None)).collect();
    // The fourth, fifth, seventh, eighth and tenth message are written with what waits before each.
    for (most, writes) in [(usize::MAX, Some(5)), (70_009, None), (9_999, None), (3, None)] {
        let came: Vec<u8> = payloads.iter().flat_map(|payload| masked(BINARY, payload)).collect();
        let (wrote, counter) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<AtomicUsize>::default());
        let stream = Narrow { most, wrote: wrote.clone(), writes: counter.clone() };
        let endpoint = Endpoint::server_after_handshake(Config::new(), &came);
        let mut ws = WebSocket::from_endpoint(endpoint, Plain(stream));
        while let Some((message, mut replier)) = ws.read_ref().unwrap() {
            replier.queue(message).unwrap();
        }
        assert_eq!(*wrote.lock().unwrap(), echoes.concat(), "{most}");
        if let Some(writes) = writes {
            assert_eq!(counter.load(SeqCst), writes);
        }
    }
}

/// Echoes a few messages from a client to a server over two streams, and closes.
fn talk<A, B>(client: A, server: B)
where
    A: Transport + Send + 'static,
    B: Transport + Send + 'static,
{
    let server = thread::spawn(move || {
        let mut server = server;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            server.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        server.write_all(answer(std::str::from_utf8(&head).unwrap()).as_bytes()).unwrap();
        let endpoint = Endpoint::server_after_handshake(Config::new(), b"");
        let mut ws = WebSocket::from_endpoint(endpoint, server);
        while let Some(message) = ws.read().unwrap() {
            ws.queue(message).unwrap();
        }
        ws.close_info().unwrap().clone()
    });
    let how = within(move || {
        let connector = Connector::builder().protocols(["unused"]);
        let mut ws = connector.connect_over_encrypted("wss://example.com/", client).unwrap();
        assert_eq!(ws.subprotocol(), None);
        for message in [Message::from("hello"), Message::from(vec![1; 100_000])] {
            ws.send(message.clone()).unwrap();
            assert_eq!(ws.read().unwrap(), Some(message));
        }
        ws.ping(b"ping").unwrap();
        ws.close(CloseCode::NORMAL, "bye").unwrap()
    });
    assert_eq!((how.code, how.clean, how.by_us), (CloseCode::NORMAL, true, true));
    let how = finish(server);
    assert_eq!(
        (how.code, &*how.reason, how.clean, how.by_us),
        (CloseCode::NORMAL, "bye", true, false)
    );
}

#[test]
fn a_websocket_runs_over_any_transport() {
    let (near, far) = tcp();
    talk(near, far);
}

#[cfg(unix)]
#[test]
fn a_websocket_runs_over_a_unix_stream_and_splits_there() {
    use std::os::unix::net::UnixStream;
    let (near, far) = UnixStream::pair().unwrap();
    talk(near, far);
    let (near, far) = UnixStream::pair().unwrap();
    let endpoint = Endpoint::server_after_handshake(Config::new(), b"");
    let (mut reader, writer) = WebSocket::from_endpoint(endpoint, near).split().unwrap();
    let mut far = far;
    far.write_all(&masked(TEXT, b"over here")).unwrap();
    assert_eq!(reader.read().unwrap(), Some(Message::from("over here")));
    writer.send("and back").unwrap();
    drop(reader);
    let mut rest = Vec::new();
    far.read_to_end(&mut rest).unwrap();
    assert_eq!(
        rest,
        [frame(TEXT, b"and back", None), frame(CLOSE, &close(1001, ""), None)].concat()
    );
}

#[test]
fn a_stream_without_time_outs_does_not_hang_at_the_end() {
    // Neither side can shut down or wait for the other.
    let (near, far) = tcp();
    talk(Plain(near), Plain(far));
}

#[test]
fn a_failed_stream_without_time_outs_does_not_hang() {
    let (near, far) = tcp();
    let endpoint = Endpoint::server_after_handshake(Config::new(), &masked(TEXT, b"\xff"));
    let mut ws = WebSocket::from_endpoint(endpoint, Plain(near));
    within(move || {
        assert!(ws.read().is_err());
        assert_eq!(ws.read().unwrap(), None);
        let error = ws.split().unwrap_err();
        assert!(
            matches!(error, ws_std::Error::Io(error) if error.kind() == io::ErrorKind::Unsupported)
        );
    });
    Raw::new(far).expect(CLOSE, &close(1007, "text is not UTF-8"));
}

#[test]
fn what_was_read_after_a_foreign_handshake_is_not_lost() {
    let (near, far) = tcp();
    let leftover = [masked(TEXT, b"early"), masked(BINARY, &[4; 200_000])].concat();
    let endpoint = Endpoint::server_after_handshake(Config::new(), &leftover);
    let mut ws = WebSocket::from_endpoint(endpoint, near);
    assert_eq!(ws.read().unwrap(), Some(Message::from("early")));
    assert_eq!(ws.read().unwrap(), Some(Message::from(vec![4; 200_000])));
    drop(far);
    assert_eq!(ws.read().unwrap(), None);
}

/// How an application ends a connection.
type Ending = fn(WebSocket<Counted>);

fn reads_to_the_end(mut ws: WebSocket<Counted>) {
    while let Ok(Some(_)) = ws.read() {}
}

fn closes(mut ws: WebSocket<Counted>) {
    let _ = ws.close(CloseCode::NORMAL, "");
}

fn splits_and_reads_to_the_end(ws: WebSocket<Counted>) {
    let (mut reader, _writer) = ws.split().unwrap();
    while let Ok(Some(_)) = reader.read() {}
}

fn splits_and_closes(ws: WebSocket<Counted>) {
    let (mut reader, writer) = ws.split().unwrap();
    let _ = writer.start_close(CloseCode::NORMAL, "");
    while let Ok(Some(_)) = reader.read() {}
}

fn splits_and_drops_the_reader(ws: WebSocket<Counted>) {
    let (reader, writer) = ws.split().unwrap();
    drop(reader);
    assert!(!writer.is_open());
}

#[test]
fn the_write_side_is_shut_down_once() {
    let endings: [Ending; 5] = [
        reads_to_the_end,
        closes,
        splits_and_reads_to_the_end,
        splits_and_closes,
        splits_and_drops_the_reader,
    ];
    let peers: [&[u8]; 3] = [&masked(CLOSE, &close(1000, "")), &[0xff, 0xff], b""];
    for (i, ending) in endings.into_iter().enumerate() {
        for (j, peer) in peers.into_iter().enumerate() {
            let (ws, [_, _, shutdowns], mut client) = counted();
            client.write(peer);
            client.stream.shutdown(Shutdown::Write).unwrap();
            within(move || ending(ws));
            assert_eq!(shutdowns.load(SeqCst), 1, "{i} {j}");
        }
    }
}
