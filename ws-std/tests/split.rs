//! Both halves at the same time.

mod common;

use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use ws_std::ws_core::SendError;
use ws_std::{
    CloseCode, CloseInfo, Config, Deadline, Error, Listener, MAX_WAITING, Message, PreparedMessage,
    Reader, WebSocket, Writer, connect,
};

/// A server's and a client's end of one connection.
fn pair() -> (WebSocket, WebSocket) {
    let (address, server) = serve(Listener::builder(), |incoming| incoming.accept().unwrap());
    (within(move || connect(&format!("ws://{address}")).unwrap()), finish(server))
}

/// A server with a writer that is blocked by a client that does not read, and the client.
fn blocked(write_timeout: Option<Duration>) -> (Reader, Writer, thread::JoinHandle<Error>, Raw) {
    let (mut ws, client) = open(Listener::builder());
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

/// Sends numbered messages from many threads, some of them large.
fn send_all(writer: &Writer, threads: u8, count: u32) -> Vec<thread::JoinHandle<()>> {
    (0..threads)
        .map(|id| {
            let writer = writer.clone();
            thread::spawn(move || {
                for n in 0..count {
                    let len = if n % 10 == 0 { 300_000 } else { (n as usize * 37) % 5000 };
                    let mut message = vec![id; 5 + len];
                    message[1..5].copy_from_slice(&n.to_be_bytes());
                    writer.send(message).unwrap();
                }
            })
        })
        .collect()
}

/// Reads what [`send_all`] sends: each thread's messages in order, none torn.
fn read_all(reader: &mut Reader, threads: u8, count: u32) {
    let mut next = vec![0; usize::from(threads)];
    for _ in 0..u32::from(threads) * count {
        let Message::Binary(bytes) = reader.read().unwrap().unwrap() else { panic!("text") };
        let (id, n) = (bytes[0], u32::from_be_bytes(bytes[1..5].try_into().unwrap()));
        assert_eq!(n, next[usize::from(id)], "thread {id}");
        next[usize::from(id)] += 1;
        let len = if n % 10 == 0 { 300_000 } else { (n as usize * 37) % 5000 };
        assert!(bytes[5..] == vec![id; len], "a message is torn");
    }
}

#[test]
fn eight_writers_on_each_side_keep_their_order_in_full_duplex() {
    let (client, server) = pair();
    let ends = [client, server].map(|ws| {
        let (mut reader, writer) = ws.split().unwrap();
        let senders = send_all(&writer, 8, 100);
        let reading = thread::spawn(move || {
            read_all(&mut reader, 8, 100);
            reader
        });
        (reading, senders, writer)
    });
    let mut readers = Vec::new();
    for (reading, senders, writer) in ends {
        readers.push((finish(reading), writer));
        senders.into_iter().for_each(finish);
    }
    let (mut server_reader, _) = readers.pop().unwrap();
    let (mut client_reader, client_writer) = readers.pop().unwrap();
    client_writer.start_close(CloseCode::NORMAL, "done").unwrap();
    assert!(!client_writer.is_open());
    let server = thread::spawn(move || (server_reader.read().unwrap(), server_reader.close_info()));
    assert_eq!(client_reader.read().unwrap(), None);
    let (last, how) = finish(server);
    assert_eq!((last, how.unwrap().reason), (None, "done".to_owned()));
}

#[test]
fn load_from_all_sides_does_not_deadlock() {
    for round in 0..20_u32 {
        let (client, server) = pair();
        let (mut client_reader, client_writer) = client.split().unwrap();
        let (mut server_reader, server_writer) = server.split().unwrap();
        let mut threads = Vec::new();
        for writer in [&client_writer, &server_writer] {
            for id in 0..4_u32 {
                let writer = writer.clone();
                threads.push(thread::spawn(move || {
                    for n in 0.. {
                        let result = match (n + id) % 4 {
                            0 => writer.ping(b"load"),
                            1 => writer.send_batch((0..20).map(|n| vec![n; 3000])),
                            2 => writer.send(vec![0; 100_000]),
                            _ => writer.send("small"),
                        };
                        if result.is_err() {
                            return;
                        }
                    }
                }));
            }
        }
        // To answer from the thread that reads would be a deadlock of the application's making.
        threads.push(thread::spawn(move || while let Ok(Some(_)) = server_reader.read() {}));
        let (done, wait) = mpsc::channel();
        threads.push(thread::spawn(move || {
            for _ in 0..50 {
                client_reader.read().unwrap().unwrap();
            }
            if round % 2 == 0 {
                client_writer.start_close(CloseCode::NORMAL, "").unwrap();
                while let Ok(Some(_)) = client_reader.read() {}
            }
            drop(client_reader);
            done.send(()).unwrap();
        }));
        wait.recv_timeout(LONG).expect("a deadlock");
        threads.into_iter().for_each(finish);
    }
}

#[test]
fn reader_does_not_wait_behind_a_blocked_writer_and_its_pong_follows() {
    let (mut reader, _writer, blocked, mut client) = blocked(Some(LONG));
    let (tell, told) = mpsc::channel();
    let reading = thread::spawn(move || {
        while let Ok(Some(message)) = reader.read() {
            tell.send(message).unwrap();
        }
    });
    for n in 0..10_u8 {
        client.write(&[masked(PING, &[n]), masked(BINARY, &[n])].concat());
        assert_eq!(told.recv_timeout(LONG).unwrap(), Message::from(vec![n]));
    }
    // Once the client reads, all pongs come between the messages of the writer.
    let mut pongs = Vec::new();
    while pongs.len() < 10 {
        let frame = client.frame();
        match frame.first {
            PONG => pongs.extend(frame.payload),
            first => assert_eq!((first, frame.payload.len()), (BINARY, 1 << 20)),
        }
    }
    assert_eq!(pongs, (0..10).collect::<Vec<u8>>());
    drop(client);
    finish(reading);
    finish(blocked);
}

#[test]
fn too_many_waiting_senders_get_busy_and_nothing_is_sent_for_them() {
    let (reader, writer, blocked, client) = blocked(Some(LONG));
    let (tell, told) = mpsc::channel();
    let waiting: Vec<_> = (0..MAX_WAITING + 5)
        .map(|_| {
            let (writer, tell) = (writer.clone(), tell.clone());
            thread::spawn(move || {
                let result = writer.send("wait");
                if let Err(Error::Busy) = result {
                    tell.send(()).unwrap();
                }
            })
        })
        .collect();
    // One place is the blocked writer's.
    for _ in 0..6 {
        told.recv_timeout(LONG).unwrap();
    }
    assert!(matches!(writer.ping(b""), Err(Error::Busy)));
    drop(client);
    drop(reader);
    waiting.into_iter().for_each(finish);
    assert!(told.try_recv().is_err());
    assert!(matches!(finish(blocked), Error::Io(_)));
}

#[test]
fn waiting_senders_time_out_together() {
    let timeout = Duration::from_secs(2);
    let (_reader, writer, blocked, _client) = blocked(Some(timeout));
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let writer = writer.clone();
            thread::spawn(move || writer.send("wait"))
        })
        .collect();
    let begun = Instant::now();
    assert!(matches!(finish(blocked), Error::Timeout(Deadline::Write)));
    for thread in waiting {
        let result = finish(thread);
        assert!(matches!(result, Err(Error::Timeout(Deadline::Write))), "{result:?}");
    }
    assert!(begun.elapsed() < 10 * timeout, "one after the other: {:?}", begun.elapsed());
}

#[test]
fn a_batch_arrives_whole_and_in_order() {
    let (client, server) = pair();
    let (_reader, writer) = client.split().unwrap();
    let sending = thread::spawn(move || {
        writer.send_batch((0..1000_u32).map(|n| n.to_be_bytes().repeat(10_000))).unwrap();
        writer.send_batch(Vec::<Message>::new()).unwrap();
    });
    let mut server = server;
    within(move || {
        for n in 0..1000_u32 {
            let message = server.read().unwrap().unwrap();
            assert!(message.as_bytes() == n.to_be_bytes().repeat(10_000), "{n}");
        }
    });
    finish(sending);
}

#[test]
fn a_prepared_message_reaches_a_hundred_connections() {
    let listener = ws_std::listen("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let long = PreparedMessage::new(&"news ".repeat(10_000).into());
    let short = PreparedMessage::new(&vec![1, 2, 3].into());
    let mut ends = Vec::new();
    for _ in 0..100 {
        let url = url.clone();
        let client = thread::spawn(move || connect(&url).unwrap());
        let server = listener.accept().unwrap().accept().unwrap();
        ends.push((finish(client), server.split().unwrap()));
    }
    for (_, (_, writer)) in &ends {
        writer.send_prepared(&long).unwrap();
        writer.send_prepared(&short).unwrap();
    }
    for (mut client, halves) in ends {
        assert_eq!(client.read().unwrap(), Some(Message::from("news ".repeat(10_000))));
        assert_eq!(client.read().unwrap(), Some(Message::from(vec![1, 2, 3])));
        drop(client);
        drop(halves);
    }
}

#[test]
fn dropping_the_reader_closes_with_1001_in_order() {
    let (ws, mut client) = open(Listener::builder());
    let (reader, writer) = ws.split().unwrap();
    writer.send("before").unwrap();
    // The client is still sending: it must get FIN, not RST.
    client.write(&masked(BINARY, &vec![0; 2 << 20])[..1 << 20]);
    let dropping = thread::spawn(move || drop(reader));
    client.expect(TEXT, b"before");
    client.expect(CLOSE, &close(1001, ""));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    drop(client);
    finish(dropping);
    assert!(!writer.is_open());
    assert!(matches!(writer.send("after"), Err(Error::Send(SendError::Closing))));
    assert!(matches!(writer.start_close(None, ""), Err(Error::Send(SendError::Closing))));
}

#[test]
fn dropping_the_reader_wakes_a_blocked_writer_in_bounded_time() {
    let (reader, _writer, blocked, client) = blocked(None);
    let begun = Instant::now();
    finish(thread::spawn(move || drop(reader)));
    let error = finish(blocked);
    assert!(matches!(error, Error::Io(_)), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    drop(client);
}

#[test]
fn a_close_frame_ends_the_connection_although_a_writer_is_blocked() {
    let (mut reader, _writer, blocked, mut client) = blocked(None);
    client.write(&masked(CLOSE, &close(1000, "enough")));
    let (last, how) = within(move || (reader.read().unwrap(), reader.close_info()));
    assert_eq!((last, how.unwrap().reason), (None, "enough".to_owned()));
    let error = finish(blocked);
    assert!(matches!(error, Error::Io(_) | Error::Send(SendError::Closing)), "{error:?}");
}

#[test]
fn writers_fail_when_the_peer_vanishes() {
    let (ws, client) = open(Listener::builder());
    let (mut reader, writer) = ws.split().unwrap();
    drop(client);
    within(move || {
        while writer.send("into the void").is_ok() {}
        assert_eq!(reader.read().unwrap(), None);
        assert_eq!(reader.close_info(), Some(CloseInfo::abnormal()));
        assert_eq!(reader.read().unwrap(), None);
        assert!(matches!(writer.send("x"), Err(Error::Send(SendError::Closing))));
    });
}

#[test]
fn a_bad_frame_is_answered_by_the_reader() {
    let (ws, mut client) = open(Listener::builder());
    let (mut reader, writer) = ws.split().unwrap();
    let reading = thread::spawn(move || (reader.read(), reader.read(), reader.read()));
    client.write(&[&masked(TEXT, b"good")[..], &[0xff; 100_000]].concat());
    client.expect(CLOSE, &close(1002, "reserved opcode"));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    drop(client);
    let (good, bad, end) = finish(reading);
    assert_eq!(good.unwrap(), Some(Message::from("good")));
    assert!(matches!(bad, Err(Error::Protocol(_))), "{bad:?}");
    assert_eq!(end.unwrap(), None);
    assert!(!writer.is_open());
}

#[test]
fn time_outs_are_kept_by_the_reader() {
    let config = Config::new()
        .ping_interval(Some(Duration::from_millis(100)))
        .pong_timeout(Some(Duration::from_millis(800)));
    let (ws, mut client) = open(Listener::builder().config(config));
    let (mut reader, _writer) = ws.split().unwrap();
    reader.set_read_timeout(Some(Duration::from_millis(50)));
    assert!(matches!(reader.read(), Err(Error::Timeout(Deadline::Read))));
    client.write(&masked(TEXT, b"hello")[..4]);
    assert!(matches!(reader.read(), Err(Error::Timeout(Deadline::Read))));
    client.write(&masked(TEXT, b"hello")[4..]);
    reader.set_read_timeout(None);
    let reading = thread::spawn(move || (reader.read(), reader.read()));
    client.expect(PING, b"");
    while client.stream.write_all(b"").is_ok() {
        let frame = client.frame();
        if frame.first == CLOSE {
            assert_eq!(frame.payload, close(1011, "the peer did not answer a ping in time"));
            break;
        }
        assert_eq!(frame.first, PING);
    }
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    let (hello, lost) = finish(reading);
    assert_eq!(hello.unwrap(), Some(Message::from("hello")));
    assert!(matches!(lost, Err(Error::Timeout(Deadline::Pong))), "{lost:?}");
}

// A Ping lies behind what is being written, and so does its answer: a peer that reads is alive.
#[test]
fn a_slow_reader_of_a_long_message_is_not_given_up() {
    const LEN: usize = 64 << 20;
    let config = Config::new()
        .ping_interval(Some(Duration::from_millis(500)))
        .pong_timeout(Some(Duration::from_millis(1500)));
    let (ws, mut client) = open(Listener::builder().config(config));
    let (mut reader, writer) = ws.split().unwrap();
    let reading = thread::spawn(move || reader.read());
    let writing = thread::spawn(move || writer.send(vec![7; LEN]));
    // 16 MiB a second: what the kernel holds at the end is through within the time of a Pong.
    let mut head = client.exactly(2).unwrap();
    while head == [PING, 0] {
        // The writer has begun late.
        client.write(&masked(PONG, b""));
        head = client.exactly(2).unwrap();
    }
    assert_eq!(
        (head, client.exactly(8).unwrap()),
        (vec![BINARY, 127], (LEN as u64).to_be_bytes().to_vec())
    );
    let mut got = 0;
    while got < LEN {
        got += client.exactly((1 << 20).min(LEN - got)).expect("it goes on").len();
        thread::sleep(Duration::from_millis(60));
    }
    finish(writing).unwrap();
    // The Pings that waited are answered now.
    assert_eq!(client.frame().first, PING);
    client.write(&masked(PONG, b""));
    client.write(&masked(TEXT, b"thanks"));
    assert_eq!(finish(reading).unwrap().unwrap().as_text(), Some("thanks"));
}

// The reader leaves its Pong to one who is about to write, even if that one then does not.
#[test]
fn a_pong_does_not_wait_for_a_writer_that_fails() {
    let (ws, mut client) = open(Listener::builder());
    let (mut reader, writer) = ws.split().unwrap();
    let reading = thread::spawn(move || reader.read());
    let (stop, stopped) = mpsc::channel::<()>();
    let failing = thread::spawn(move || {
        while stopped.try_recv().is_err() {
            let error = writer.ping(&[0; 126]).unwrap_err();
            assert!(matches!(error, Error::Send(SendError::ControlTooLong)), "{error}");
        }
    });
    for _ in 0..500 {
        let begun = Instant::now();
        client.write(&masked(PING, b"there?"));
        client.expect(PONG, b"there?");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    stop.send(()).unwrap();
    finish(failing);
    drop(client);
    assert_eq!(finish(reading).unwrap(), None);
}

// The last words of a connection whose peer is gone have as long as the closing handshake.
#[test]
fn a_blocked_writer_does_not_prolong_the_pong_timeout() {
    let config = Config::new()
        .ping_interval(Some(Duration::from_millis(200)))
        .pong_timeout(Some(Duration::from_millis(300)))
        .close_timeout(Some(Duration::from_millis(300)));
    let (ws, _client) = open(Listener::builder().config(config));
    let (mut reader, writer) = ws.split().unwrap();
    let writing = thread::spawn(move || while writer.send(vec![0; 1 << 20]).is_ok() {});
    let begun = Instant::now();
    let reading = thread::spawn(move || reader.read());
    let lost = finish(reading);
    assert!(matches!(lost, Err(Error::Timeout(Deadline::Pong))), "{lost:?}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    finish(writing);
}
