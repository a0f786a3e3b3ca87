//! What goes over a TLS stream, and when.

mod common;
#[path = "common/tls.rs"]
mod tls;

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use tls::*;
use ws_std::ws_core::Endpoint;
use ws_std::{
    CloseCode, Config, Deadline, Error, Hub, Message, Reader, TlsError, TlsStream, Transport,
    WebSocket, Writer, rustls,
};

/// A TCP stream that takes and gives at most so many bytes at once, and takes its time to read; it
/// counts its writes and keeps what was written.
#[derive(Debug)]
struct Watched {
    stream: TcpStream,
    most: usize,
    pause: Duration,
    writes: Arc<AtomicUsize>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Watched {
    fn new(stream: TcpStream, most: usize) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            most,
            pause: Duration::ZERO,
            writes: Arc::default(),
            written: Arc::default(),
        }
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.most);
        thread::sleep(self.pause);
        self.stream.read(&mut buffer[..most])
    }
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes.fetch_add(1, SeqCst);
        // Taken first: who has seen the bytes finds them here.
        let mut written = self.written.lock().unwrap();
        let count = self.stream.write(&bytes[..bytes.len().min(self.most)])?;
        written.extend(&bytes[..count]);
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write(slices.first().map_or(&[], |slice| slice))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Watched {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_write_timeout(timeout)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    fn try_clone(&self) -> io::Result<Self> {
        let stream = self.stream.try_clone()?;
        Ok(Self { stream, writes: self.writes.clone(), written: self.written.clone(), ..*self })
    }
}

/// A TCP stream that takes a few writes; from then on each waits out its time, and takes one byte.
#[derive(Debug)]
struct Grudging {
    stream: TcpStream,
    writes: Arc<AtomicUsize>,
    timeout: Arc<Mutex<Option<Duration>>>,
}

impl Grudging {
    fn new(stream: TcpStream) -> Self {
        Self { stream, writes: Arc::new(usize::MAX.into()), timeout: Arc::default() }
    }
}

impl Read for Grudging {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Grudging {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.writes.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            return self.stream.write(bytes);
        }
        let timeout = *self.timeout.lock().unwrap();
        thread::sleep(timeout.expect("a time-out"));
        self.stream.write(&bytes[..1])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Grudging {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        *self.timeout.lock().unwrap() = timeout;
        Ok(())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    fn try_clone(&self) -> io::Result<Self> {
        let stream = self.stream.try_clone()?;
        Ok(Self { stream, writes: self.writes.clone(), timeout: self.timeout.clone() })
    }
}

/// A server's stream over TLS on a stream of the test's, and its client.
fn accepted<T: Transport + Send + 'static>(
    wrap: impl FnOnce(TcpStream) -> T,
) -> (TlsStream<T>, RawTls) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = RawTls::client(listener.local_addr().unwrap());
    let near = wrap(accept(&listener).stream);
    let server = thread::spawn(move || {
        TlsStream::server(near, Arc::new(server_config("server")), Some(LONG)).unwrap()
    });
    client.handshake().unwrap();
    (finish(server), client)
}

/// A server's WebSocket on a stream that is watched once all handshakes are done, and its client.
fn watched(most: usize) -> (WebSocket<TlsStream<Watched>>, RawTls) {
    let (tls, client) = accepted(|tcp| Watched::new(tcp, most));
    tls.get_ref().writes.store(0, SeqCst);
    tls.get_ref().written.lock().unwrap().clear();
    (WebSocket::from_endpoint(Endpoint::server_after_handshake(Config::new(), b""), tls), client)
}

// More than rustls is willing to keep decrypted.
#[test]
fn data_along_with_the_end_of_the_handshake_is_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = RawTls::client(listener.local_addr().unwrap());
    let near = accept(&listener).stream;
    let server = thread::spawn(move || {
        TlsStream::server(near, Arc::new(server_config("server")), Some(LONG)).unwrap()
    });
    client.handshake_but_last().unwrap();
    let sent: Vec<u8> = (0..60_000_u32).map(|n| n as u8).collect();
    // In small records, which are decrypted as soon as they are there.
    let mut bytes = Vec::new();
    for piece in sent.chunks(1000) {
        client.tls.writer().write_all(piece).unwrap();
        bytes.extend(client.encrypted());
    }
    client.tcp.write_all(&bytes).unwrap();
    let mut server = finish(server);
    let mut came = vec![0; sent.len()];
    server.read_exact(&mut came).unwrap();
    assert!(came == sent);
    // The time-outs were those of the handshake.
    let tcp = server.get_ref();
    assert_eq!((tcp.read_timeout().unwrap(), tcp.write_timeout().unwrap()), (None, None));
}

/// A server's WebSocket on TCP, and its client.
fn open_tls() -> (WebSocket, RawTls) {
    let (address, server) = serve(listener(), |incoming| incoming.accept().unwrap());
    let mut client = RawTls::client(address);
    client.handshake().unwrap();
    client.write(REQUEST.as_bytes());
    assert_eq!(client.head(), RESPONSE);
    (finish(server), client)
}

/// A server's and a client's end of one connection.
fn pair() -> (WebSocket, WebSocket) {
    let (address, server) = serve(listener(), |incoming| incoming.accept().unwrap());
    let url = format!("wss://localhost:{}", address.port());
    (within(move || connector().connect(&url).unwrap()), finish(server))
}

#[test]
fn answers_to_a_batch_leave_with_one_write_and_in_one_record() {
    let (mut ws, mut client) = watched(usize::MAX);
    let (writes, written) = {
        let stream = ws.stream().get_ref();
        (stream.writes.clone(), stream.written.clone())
    };
    let server = thread::spawn(move || {
        while let Some(message) = ws.read().unwrap() {
            ws.queue(message).unwrap();
        }
    });
    client.write(&masked(TEXT, b"0123456789").repeat(100));
    for _ in 0..100 {
        client.expect(TEXT, b"0123456789");
    }
    assert_eq!(writes.load(SeqCst), 1);
    // The payloads, a head of two bytes each, and what TLS 1.3 adds to a record.
    assert_eq!(records(&written.lock().unwrap()), [(DATA, 1200 + 17)]);
    drop(client);
    finish(server);
}

#[test]
fn a_long_message_and_its_head_leave_with_one_write() {
    let (mut ws, mut client) = watched(usize::MAX);
    ws.send(vec![3; 50_000]).unwrap();
    assert_eq!(ws.stream().get_ref().writes.load(SeqCst), 1);
    let lens: Vec<_> = records(&ws.stream().get_ref().written.lock().unwrap());
    assert_eq!(
        lens.iter().map(|(_, len)| len - 17).collect::<Vec<_>>(),
        [16384, 16384, 16384, 852]
    );
    assert_eq!(client.exactly(50_004).unwrap()[4..], [3; 50_000]);
    // 64 KiB at a time.
    ws.stream().get_ref().writes.store(0, SeqCst);
    let reads = thread::spawn(move || client.exactly((1 << 20) + 10).unwrap());
    ws.send(vec![4; 1 << 20]).unwrap();
    assert_eq!(ws.stream().get_ref().writes.load(SeqCst), 17);
    assert!(finish(reads)[10..] == vec![4; 1 << 20]);
}

#[test]
fn a_stream_that_takes_and_gives_one_byte_at_a_time_is_as_good() {
    let (mut ws, mut client) = watched(1);
    let server = thread::spawn(move || {
        while let Some(message) = ws.read().unwrap() {
            ws.queue(message).unwrap();
        }
        ws.close_info().unwrap().clone()
    });
    client.write(&masked(BINARY, &[9; 40_000]));
    assert_eq!(client.exactly(40_004).unwrap()[4..], [9; 40_000]);
    client.write(&masked(CLOSE, &close(1000, "")));
    client.expect(CLOSE, &close(1000, ""));
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    drop(client);
    assert!(finish(server).clean);
}

/// A server with a writer that is blocked by a client that does not read, and the client.
fn blocked(write_timeout: Option<Duration>) -> (Reader, Writer, thread::JoinHandle<Error>, RawTls) {
    let (mut ws, client) = open_tls();
    // The buffers of TCP are full, and part of a message is left.
    ws.set_write_timeout(Some(Duration::from_millis(100)));
    while ws.send(vec![0; 1 << 20]).is_ok() {}
    ws.set_write_timeout(write_timeout);
    let (reader, writer) = ws.split().unwrap();
    let (tell, told) = mpsc::channel();
    let sender = writer.clone();
    let thread = thread::spawn(move || {
        tell.send(this_thread()).unwrap();
        loop {
            if let Err(error) = sender.send(vec![0; 1 << 20]) {
                return error;
            }
        }
    });
    until_asleep(told.recv_timeout(LONG).unwrap());
    (reader, writer, thread, client)
}

// Whoever reads only after having written waits for ever if the peer does the same.
#[test]
fn both_sides_send_64_mib_at_once() {
    const COUNT: usize = 16;
    const LEN: usize = 4 << 20;
    let (client, server) = pair();
    let ends = [client, server].map(|ws| {
        let (mut reader, writer) = ws.split().unwrap();
        let sender = thread::spawn(move || {
            (0..COUNT).for_each(|n| writer.send(vec![n as u8; LEN]).unwrap());
            writer
        });
        let reading = thread::spawn(move || {
            for n in 0..COUNT {
                let message = reader.read().unwrap().unwrap();
                assert!(message.as_bytes() == vec![n as u8; LEN], "message {n}");
            }
            reader
        });
        (sender, reading)
    });
    let ends = ends.map(|(sender, reading)| (finish(sender), finish(reading)));
    ends[0].0.start_close(CloseCode::NORMAL, "").unwrap();
    let [(_, mut client), (_, mut server)] = ends;
    let server = thread::spawn(move || server.read().unwrap());
    assert_eq!(client.read().unwrap(), None);
    assert_eq!(finish(server), None);
    assert!(client.close_info().unwrap().clean);
}

#[test]
fn many_writers_on_each_side_keep_their_order() {
    const THREADS: u8 = 6;
    const COUNT: u32 = 60;
    let len = |n: u32| if n % 10 == 0 { 200_000 } else { (n as usize * 37) % 5000 };
    let (client, server) = pair();
    let ends = [client, server].map(|ws| {
        let (mut reader, writer) = ws.split().unwrap();
        let senders: Vec<_> = (0..THREADS)
            .map(|id| {
                let writer = writer.clone();
                thread::spawn(move || {
                    for n in 0..COUNT {
                        let message = [&[id][..], &n.to_be_bytes(), &vec![id; len(n)]].concat();
                        writer.send(message).unwrap();
                        writer.ping(b"between").unwrap();
                    }
                })
            })
            .collect();
        let reading = thread::spawn(move || {
            let mut next = [0_u32; THREADS as usize];
            for _ in 0..u32::from(THREADS) * COUNT {
                let message = reader.read().unwrap().unwrap();
                let bytes = message.as_bytes();
                let (id, n) = (bytes[0], &mut next[usize::from(bytes[0])]);
                assert_eq!(bytes[1..5], n.to_be_bytes(), "thread {id}");
                assert!(bytes[5..] == vec![id; len(*n)], "a message is torn");
                *n += 1;
            }
            reader
        });
        (senders, reading)
    });
    // Both have read all before one of them goes.
    let readers = ends.map(|(senders, reading)| {
        senders.into_iter().for_each(finish);
        finish(reading)
    });
    drop(readers);
}

// RFC 8446 §4.6.3: the answer to a KeyUpdate is due before the next record, not at once.
#[test]
fn a_reader_takes_messages_under_new_keys_while_a_writer_is_blocked() {
    let (mut reader, writer, sender, mut client) = blocked(Some(LONG));
    for n in 0..10_u8 {
        client.tls.refresh_traffic_keys().unwrap();
        client.write(&masked(BINARY, &[n; 100]));
    }
    let mut reader = within(move || {
        for n in 0..10 {
            assert_eq!(reader.read().unwrap(), Some(Message::from(vec![n; 100])));
        }
        reader
    });
    // What the writer had encrypted before and what it encrypts after its own change of keys.
    let mut left = 0_u64;
    let peer = thread::spawn(move || {
        let mut messages = 0;
        loop {
            let head = client.exactly(2).unwrap();
            match head[0] {
                BINARY => {
                    let len = client.exactly(8).unwrap();
                    assert_eq!((head[1], len.as_slice()), (127, &(1_u64 << 20).to_be_bytes()[..]));
                    assert!(client.exactly(1 << 20).unwrap() == vec![0; 1 << 20]);
                    messages += 1;
                }
                CLOSE => return (messages, client.exactly(2).unwrap()),
                other => panic!("{other:x}"),
            }
            left += 1;
            if left == 20 {
                client.write(&masked(CLOSE, &close(1000, "")));
            }
        }
    });
    assert_eq!(within(move || reader.read().unwrap()), None);
    let error = finish(sender);
    assert!(matches!(error, Error::Send(_) | Error::Io(_)), "{error:?}");
    drop(writer);
    let (messages, code) = finish(peer);
    assert!(messages >= 20);
    assert_eq!(code, 1000_u16.to_be_bytes());
}

#[test]
fn dropping_the_reader_frees_a_blocked_writer() {
    let (reader, writer, sender, client) = blocked(None);
    let begun = Instant::now();
    within(move || drop(reader));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    finish(sender);
    assert!(!writer.is_open());
    drop(client);
}

#[test]
fn a_write_that_times_out_goes_on_later() {
    let (mut ws, mut client) = open_tls();
    ws.set_write_timeout(Some(Duration::from_millis(100)));
    // A message that is late has been taken nevertheless, and so is the one behind it.
    let (mut sent, mut late) = (0_u32, 0);
    while late < 4 {
        let mut message = vec![0; 100_000];
        message[..4].copy_from_slice(&sent.to_be_bytes());
        sent += 1;
        let begun = Instant::now();
        match ws.send(message) {
            Ok(()) => {}
            Err(Error::Timeout(Deadline::Write)) => late += 1,
            Err(error) => panic!("{error:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    let peer = thread::spawn(move || {
        for n in 0..sent {
            let frame = client.exactly(10 + 100_000).unwrap();
            assert_eq!(frame[10..14], n.to_be_bytes(), "message {n} of {sent}");
        }
        client.expect(TEXT, b"the last");
    });
    ws.set_write_timeout(Some(LONG));
    ws.send("the last").unwrap();
    finish(peer);
}

#[test]
fn a_read_that_times_out_goes_on_later() {
    let (mut ws, mut client) = open_tls();
    ws.set_read_timeout(Some(Duration::from_millis(100)));
    assert!(matches!(ws.read(), Err(Error::Timeout(Deadline::Read))));
    client.tls.writer().write_all(&masked(TEXT, b"in two parts")).unwrap();
    let bytes = client.encrypted();
    let (first, second) = bytes.split_at(10);
    client.tcp.write_all(first).unwrap();
    assert!(matches!(ws.read(), Err(Error::Timeout(Deadline::Read))));
    client.tcp.write_all(second).unwrap();
    assert_eq!(ws.read().unwrap(), Some(Message::from("in two parts")));
}

/// Pauses so short that no time-out of the stream passes: a record takes two seconds.
const PAUSE: Duration = Duration::from_micros(100);

#[test]
fn a_record_in_pieces_does_not_move_the_read_deadline() {
    let (server, mut client) = accepted(|tcp| Watched { pause: PAUSE, ..Watched::new(tcp, 1) });
    let endpoint = Endpoint::server_after_handshake(Config::new(), b"");
    let mut ws = WebSocket::from_endpoint(endpoint, server);
    client.write(&masked(BINARY, &[5; 16_000]));
    ws.set_read_timeout(Some(Duration::from_millis(50)));
    let begun = Instant::now();
    assert!(matches!(ws.read(), Err(Error::Timeout(Deadline::Read))));
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    ws.set_read_timeout(Some(LONG));
    assert_eq!(ws.read().unwrap(), Some(Message::from(vec![5; 16_000])));
}

#[test]
fn a_record_in_pieces_does_not_move_the_handshakes_deadline() {
    let (url, server) = play(|mut raw| {
        raw.write(&[&[HANDSHAKE, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc], &[0; 16_380][..]].concat());
        let _ = raw.read_to_the_end();
    });
    let tcp = TcpStream::connect(url.strip_prefix("ws://").unwrap()).unwrap();
    let slow = Watched { pause: PAUSE, ..Watched::new(tcp, 1) };
    let config = Arc::new(client_config(ALL));
    let timeout = Some(Duration::from_millis(50));
    let error = TlsStream::client(slow, "localhost", config, timeout).unwrap_err();
    assert!(matches!(error, Error::Timeout(Deadline::Handshake)), "{error:?}");
    finish(server);
}

// RFC 8446 §6.1: without close_notify an end may be a truncation, which the Close frame tells.
#[test]
fn an_end_before_close_is_abnormal_with_close_notify_and_without() {
    for notify in [false, true] {
        let (mut ws, mut client) = open_tls();
        client.write(&masked(TEXT, b"before"));
        if notify {
            client.tls.send_close_notify();
            client.flush();
        }
        client.tcp.shutdown(Shutdown::Write).unwrap();
        assert_eq!(ws.read().unwrap(), Some(Message::from("before")));
        let (last, how) = within(move || (ws.read().unwrap(), ws.close_info().unwrap().clone()));
        assert_eq!((last, how.code, how.clean), (None, CloseCode::ABNORMAL, false));
    }
}

#[test]
fn an_end_after_close_needs_no_close_notify() {
    for notify in [false, true] {
        let (mut ws, mut client) = open_tls();
        let peer = thread::spawn(move || {
            client.expect(CLOSE, &close(1000, ""));
            client.write(&masked(CLOSE, &close(1000, "")));
            if notify {
                client.tls.send_close_notify();
                client.flush();
            }
            client.tcp.shutdown(Shutdown::Write).unwrap();
            // This side says so, in any case.
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        });
        let how = within(move || ws.close(CloseCode::NORMAL, "").unwrap());
        assert_eq!((how.code, how.clean), (CloseCode::NORMAL, true));
        finish(peer);
    }
}

#[test]
fn nothing_is_taken_after_close_notify() {
    let (ws, mut client) = open_tls();
    let mut tls = ws.stream().try_clone().unwrap();
    tls.shutdown_write().unwrap();
    assert_eq!(tls.write(b"late").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_record_that_was_tampered_with_is_an_error_behind_what_came_before() {
    let (mut ws, mut client) = open_tls();
    client.tls.writer().write_all(&masked(TEXT, b"as it was")).unwrap();
    let mut bytes = client.encrypted();
    client.tls.writer().write_all(&masked(TEXT, b"not so")).unwrap();
    let mut bad = client.encrypted();
    *bad.last_mut().unwrap() ^= 1;
    bytes.extend(bad);
    client.tcp.write_all(&bytes).unwrap();
    assert_eq!(ws.read().unwrap(), Some(Message::from("as it was")));
    let error = within(move || ws.read().unwrap_err());
    assert!(
        matches!(error, Error::Tls(TlsError::Failed(rustls::Error::DecryptError))),
        "{error:?}"
    );
    let alert = client.read(&mut [0]).unwrap_err().downcast::<rustls::Error>().unwrap();
    assert_eq!(alert, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
}

// What is encrypted is no longer in the output of the endpoint, and has to leave nevertheless.
#[test]
fn what_a_writer_has_left_encrypted_goes_out_once_the_peer_reads() {
    let (mut ws, mut client) = open_tls();
    ws.set_write_timeout(Some(Duration::from_millis(100)));
    let (mut reader, writer) = ws.split().unwrap();
    let mut sent = 0_u64;
    let error = loop {
        sent += 1;
        if let Err(error) = writer.send(sent.to_be_bytes().repeat(1000)) {
            break error;
        }
    };
    assert!(matches!(error, Error::Timeout(Deadline::Write)), "{error:?}");
    let peer = thread::spawn(move || {
        for n in 1..=sent {
            let frame = client.exactly(4 + 8000).unwrap();
            assert!(frame[4..] == n.to_be_bytes().repeat(1000), "message {n} of {sent}");
        }
        client.write(&masked(CLOSE, &close(1000, "")));
        client.expect(CLOSE, &close(1000, ""));
    });
    // The reader tries again whenever it looks, with the same time-out.
    within(move || {
        loop {
            match reader.read() {
                Ok(None) => break,
                Err(Error::Timeout(Deadline::Write)) => {}
                result => panic!("{result:?}"),
            }
        }
    });
    finish(peer);
}

#[test]
fn at_most_128_kib_are_encrypted_for_a_stream_that_takes_nothing() {
    for piece in [1000, 10_000, 1 << 20] {
        let (mut tls, _client) = accepted(Grudging::new);
        tls.get_ref().writes.store(0, SeqCst);
        tls.set_write_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut taken = 0;
        while let Ok(count) = tls.write(&vec![7; piece]) {
            taken += count;
        }
        assert!((60_000..=128 * 1024).contains(&taken), "{piece}: {taken}");
    }
}

#[test]
fn the_write_time_out_bounds_a_shutdown_of_the_write_side() {
    let (mut tls, mut client) = accepted(Grudging::new);
    tls.get_ref().writes.store(0, SeqCst);
    tls.write_all(&[7; 10_000]).unwrap();
    tls.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let begun = Instant::now();
    tls.shutdown_write().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    // By FIN, after what there was time for.
    let mut came = Vec::new();
    client.tcp.read_to_end(&mut came).unwrap();
    assert!(came.len() < 1000, "{}", came.len());
}

// Its Close frame goes out, and then the peer takes nothing more.
#[test]
fn dropping_the_reader_is_bounded_although_close_notify_is_not_taken() {
    let (tls, _client) = accepted(Grudging::new);
    let writes = tls.get_ref().writes.clone();
    let endpoint = Endpoint::server_after_handshake(Config::new(), b"");
    let (reader, _writer) = WebSocket::from_endpoint(endpoint, tls).split().unwrap();
    writes.store(1, SeqCst);
    let begun = Instant::now();
    within(move || drop(reader));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn who_is_too_slow_is_gone_in_time() {
    let (tls, _client) = accepted(Grudging::new);
    let writes = tls.get_ref().writes.clone();
    let config = Config::new().close_timeout(Some(Duration::from_millis(300)));
    let ws = WebSocket::from_endpoint(Endpoint::server_after_handshake(config, b""), tls);
    let hub = Hub::new();
    let mut member = hub.join(ws).unwrap();
    writes.store(0, SeqCst);
    assert!(hub.send_to(member.id(), vec![7; 1 << 20]));
    assert!(!hub.send_to(member.id(), vec![7; 1 << 20]));
    let begun = Instant::now();
    within(move || while let Ok(Some(_)) = member.read() {});
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
