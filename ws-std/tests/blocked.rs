//! A write that waits for the peer keeps nobody from reading or from closing, and has one time-out.

mod common;
#[path = "common/slow.rs"]
mod slow;

use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::*;
use slow::*;
use ws_std::{
    CloseCode, Config, Deadline, Direction, Error, Listener, Message, Reader, Traced, Writer,
};

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
    until_blocked(&client.stream);
    (reader, writer, writing, client)
}

#[test]
fn close_does_not_wait_for_a_writer_that_is_blocked() {
    let close_timeout = slow_millis(1000);
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
    assert!(ended + RESOLUTION >= close_timeout && ended < 2 * close_timeout, "{ended:?}");
}

/// A peer that takes a little now and then, until it is told to take the rest.
fn reluctant(mut raw: Raw, all: usize) -> (mpsc::Sender<()>, JoinHandle<(Vec<u8>, Raw)>) {
    let (tell, told) = mpsc::channel();
    let peer = thread::spawn(move || {
        let mut bytes = Vec::new();
        while told.try_recv().is_err() {
            bytes.extend(raw.exactly(500).unwrap());
            thread::sleep(slow_millis(50));
        }
        bytes.extend(raw.exactly(all - bytes.len()).unwrap());
        (bytes, raw)
    });
    (tell, peer)
}

const WRITE_TIMEOUT: Duration = slow_millis(1000);

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
    let timeout = slow_millis(2000);
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
                thread::sleep(slow_millis(30));
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

/// What one has added to the output behind the message of another.
#[derive(Clone, Copy, Debug)]
enum Behind {
    Message,
    Pong,
    /// The rest of the message is dropped.
    MessageAndClose,
}

// Whose message has gone out does not wait for the messages of others.
#[test]
fn a_send_ends_when_its_own_message_is_written() {
    let cases = [Behind::Message, Behind::Pong, Behind::MessageAndClose].map(|behind| {
        thread::spawn(move || {
            let timeout = slow_millis(4000);
            let config = Config::new().max_outgoing_frame(SLOW_LEN as u64);
            let (tell, received) = mpsc::channel();
            let builder = Listener::builder().config(config).write_timeout(Some(timeout));
            let builder = builder.trace(move |trace| {
                if matches!(
                    (trace.direction, &trace.what),
                    (Direction::Received, Traced::Frame(..))
                ) {
                    let _ = tell.send(());
                }
            });
            let (ws, mut client) = pair(builder, SLOW_BUFFER);
            let (mut reader, writer) = ws.split().unwrap();
            let reading = thread::spawn(move || while let Ok(Some(_)) = reader.read() {});
            let second = writer.clone();
            let first = thread::spawn(move || (writer.send(slow_payload()), Instant::now()));
            let begun = Instant::now();
            until_blocked(&client.stream);
            let second = match behind {
                Behind::Pong => {
                    client.write(&masked(PING, b"ping"));
                    received.recv_timeout(LONG).unwrap();
                    None
                }
                _ => Some(thread::spawn(move || second.send(vec![7; 3 * SLOW_LEN]))),
            };
            if second.is_some() {
                // Nothing shows that the second waits for its turn. It comes out the same if it comes later.
                thread::sleep(Duration::from_millis(200));
            }
            if let Behind::MessageAndClose = behind {
                client.write(&masked(CLOSE, &close(1000, "")));
                received.recv_timeout(LONG).unwrap();
            }
            client.expect(BINARY, &slow_payload());
            // It takes nothing more until the first has ended.
            let (result, ended) = finish(first);
            result.unwrap_or_else(|error| panic!("{behind:?}: {error}"));
            let took = ended.duration_since(begun);
            assert!(took < timeout, "{behind:?}: {took:?}");
            let mut rest = Vec::new();
            match behind {
                Behind::Message => (0..3).for_each(|_| rest.push(client.frame().payload.len())),
                Behind::Pong => client.expect(PONG, b"ping"),
                // A fragment may have left before.
                Behind::MessageAndClose => while client.frame().first != CLOSE {},
            }
            match (behind, second.map(finish)) {
                (Behind::Message, result) => {
                    result.unwrap().unwrap();
                    assert_eq!(rest, [SLOW_LEN; 3]);
                }
                (_, None) => {}
                (_, Some(result)) => assert!(matches!(result, Err(Error::Send(_))), "{result:?}"),
            }
            drop(client);
            finish(reading);
        })
    });
    cases.into_iter().for_each(finish);
}

// The reader has found the stream taken, and comes back to it.
#[test]
fn what_a_writer_has_left_goes_out_soon_once_the_peer_reads() {
    let builder = Listener::builder().write_timeout(Some(Duration::from_millis(600)));
    let (ws, mut client) = pair(builder, SLOW_BUFFER);
    let (mut reader, writer) = ws.split().unwrap();
    let sending =
        thread::spawn(move || writer.send(slow_payload()).map_err(|error| (error, writer)));
    until_blocked(&client.stream);
    let reading = thread::spawn(move || reader.read());
    let (error, _writer) = finish(sending).unwrap_err();
    assert!(matches!(error, Error::Timeout(Deadline::Write)), "{error}");
    let begun = Instant::now();
    client.expect(BINARY, &slow_payload());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(client);
    finish(reading).unwrap();
}

#[test]
fn a_queued_close_leaves_with_the_next_flush() {
    let (ws, mut client) = small_pair(Listener::builder());
    let (mut reader, writer) = ws.split().unwrap();
    writer.queue_close(CloseCode::NORMAL, "bye").unwrap();
    let error = writer.queue_close(CloseCode::NORMAL, "again").unwrap_err();
    assert!(matches!(error, Error::Send(ws_std::SendError::Closing)), "{error}");
    client.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    client.stream.peek(&mut [0]).unwrap_err();
    client.stream.set_read_timeout(Some(LONG)).unwrap();
    writer.flush().unwrap();
    client.expect(CLOSE, &close(1000, "bye"));
    let reading = thread::spawn(move || reader.read());
    client.write(&masked(CLOSE, &close(1000, "")));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    drop(client);
    assert_eq!(finish(reading).unwrap(), None);
}

/// A peer that takes a little now and then, until the first is dropped or the connection ends.
fn takes_a_little(mut client: Raw) -> (mpsc::Sender<()>, JoinHandle<()>) {
    let (go_on, told) = mpsc::channel();
    let peer = thread::spawn(move || {
        while told.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
            if client.exactly(PIECE).is_err() {
                break;
            }
            thread::sleep(PAUSE);
        }
    });
    (go_on, peer)
}

// However much of what waits the peer has taken.
#[test]
fn a_connection_ends_within_the_time_that_is_set() {
    let closing = Duration::from_millis(500);
    let config = Config::new().close_timeout(Some(closing));
    let (ws, client) = pair(Listener::builder().config(config), SLOW_BUFFER);
    let (mut reader, writer) = ws.split().unwrap();
    let sender = writer.clone();
    let sending = thread::spawn(move || sender.send(vec![7; 4 * SLOW_LEN]));
    let (go_on, peer) = takes_a_little(client);
    // The peer is slow for a while.
    thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    writer.end_within(closing);
    writer.queue_close(CloseCode::NORMAL, "").unwrap();
    within(move || while let Ok(Some(_)) = reader.read() {});
    assert!(finish(sending).is_err());
    let took = begun.elapsed();
    assert!(took + RESOLUTION >= closing && took < Duration::from_secs(4), "{took:?}");
    drop(go_on);
    finish(peer);
}

// No thread is in a send any more: the reader writes what a time-out has left, for as long as that may take.
#[test]
fn a_connection_ends_within_the_time_that_is_set_whoever_writes() {
    let time = Duration::from_millis(500);
    let config = Config::new().close_timeout(Some(time));
    let builder =
        Listener::builder().config(config).write_timeout(Some(Duration::from_millis(100)));
    let (ws, client) = pair(builder, SLOW_BUFFER);
    let (mut reader, writer) = ws.split().unwrap();
    let error = writer.send(vec![7; 4 * SLOW_LEN]).unwrap_err();
    assert!(matches!(error, Error::Timeout(Deadline::Write)), "{error}");
    let (go_on, peer) = takes_a_little(client);
    // The peer is slow for a while.
    thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    writer.end_within(time);
    writer.queue_close(CloseCode::NORMAL, "").unwrap();
    within(move || while let Ok(Some(_)) = reader.read() {});
    let took = begun.elapsed();
    assert!(took + RESOLUTION >= time && took < Duration::from_secs(4), "{took:?}");
    drop(go_on);
    finish(peer);
}
