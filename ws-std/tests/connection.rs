//! The open connection: faults, floods, time-outs and closing, against clients played byte by byte.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use ws_std::ws_core::{ProtocolError, SendError};
use ws_std::{CloseCode, CloseInfo, Config, Deadline, Error, Listener, Message, MessageRef};

/// An echo server until its end, and a client.
fn echoing() -> (thread::JoinHandle<ws_std::Result<CloseInfo>>, Raw) {
    let (mut ws, client) = open(Listener::builder());
    (thread::spawn(move || echo(&mut ws)), client)
}

fn info(code: CloseCode, reason: &str, clean: bool, by_us: bool, sent: Option<u16>) -> CloseInfo {
    let mut info = CloseInfo::abnormal();
    (info.code, info.reason, info.clean, info.by_us) = (code, reason.into(), clean, by_us);
    info.sent = sent.map(CloseCode::new);
    info
}

// RFC 6455 §7.1.7
#[test]
fn a_bad_frame_is_answered_after_the_messages_before_it() {
    let (server, mut client) = echoing();
    let good = [masked(TEXT, b"one"), masked(BINARY, b"two")].concat();
    client.write(&[&good, &frame(TEXT, b"not masked", None)[..], &[0; 100_000]].concat());
    client.expect(TEXT, b"one");
    client.expect(BINARY, b"two");
    client.expect(CLOSE, &close(1002, "unmasked frame from a client"));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    drop(client);
    assert!(matches!(finish(server), Err(Error::Protocol(_))));
}

#[test]
fn invalid_utf8_fails_by_either_way_of_reading() {
    for by_ref in [false, true] {
        let (mut ws, mut client) = open(Listener::builder());
        let server = thread::spawn(move || {
            let mut read = || -> ws_std::Result<bool> {
                Ok(if by_ref { ws.read_ref()?.is_some() } else { ws.read()?.is_some() })
            };
            let error = read().unwrap_err();
            // From then on it is over.
            assert!(!read().unwrap() && !read().unwrap());
            assert!(matches!(ws.send("x"), Err(Error::Send(SendError::Closing))));
            (error, ws.close(None, "").unwrap())
        });
        // The client is still sending.
        client.write(&[masked(TEXT, b"\xff"), vec![0; 3 << 20]].concat());
        client.expect(CLOSE, &close(1007, "text is not UTF-8"));
        assert_eq!(client.read_to_the_end().unwrap(), b"");
        drop(client);
        let (error, how) = finish(server);
        assert!(matches!(error, Error::Protocol(ProtocolError::InvalidUtf8)), "{error:?}");
        assert_eq!(how, info(CloseCode::ABNORMAL, "", false, true, Some(1007)));
    }
}

#[test]
fn a_message_over_the_limit_gets_1009_while_the_client_still_sends() {
    let (server, mut client) = echoing();
    client.write(&masked(BINARY, &vec![1; (16 << 20) + 1]));
    client.expect(CLOSE, &close(1009, "frame longer than the limit"));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    drop(client);
    assert!(matches!(finish(server), Err(Error::Protocol(_))));
}

#[test]
fn a_ping_behind_a_long_message_is_answered() {
    let (server, mut client) = echoing();
    let payload = vec![7; 16 << 20];
    let bytes = [masked(BINARY, &payload), masked(PING, b"still there?")].concat();
    let mut writing = Raw::new(client.stream.try_clone().unwrap());
    let writer = thread::spawn(move || writing.write(&bytes));
    // The pong may overtake the echo, which finds the output empty or not.
    let (first, second) = (client.frame(), client.frame());
    finish(writer);
    let (echo, pong) = if first.first == PONG { (second, first) } else { (first, second) };
    assert!(echo.first == BINARY && echo.payload == payload);
    assert_eq!((pong.first, &pong.payload[..]), (PONG, &b"still there?"[..]));
    drop(client);
    assert_eq!(finish(server).unwrap(), CloseInfo::abnormal());
}

// Pongs that nobody takes wait within their limit, and do not keep what comes from being read.
#[test]
fn a_client_that_floods_pings_and_does_not_read_is_read_from() {
    let (mut ws, mut client) = open(Listener::builder());
    let server = thread::spawn(move || ws.read());
    let flood = masked(PING, &[b'x'; 125]).repeat(1000);
    // More than the limit, 16 MiB, and what the system holds.
    for _ in 0..200 {
        client.write(&flood);
    }
    client.write(&masked(TEXT, b"at last"));
    assert_eq!(finish(server).unwrap(), Some(Message::from("at last")));
}

#[test]
fn pings_are_answered_while_a_read_waits() {
    let (server, mut client) = echoing();
    for round in 0..10_u8 {
        client.write(&masked(PING, &[round]));
        client.expect(PONG, &[round]);
    }
    client.write(&masked(CLOSE, b""));
    client.expect(CLOSE, b"");
    drop(client);
    assert_eq!(finish(server).unwrap(), info(CloseCode::NO_STATUS, "", true, false, Some(1005)));
}

#[test]
fn a_half_closed_client_still_gets_its_answers() {
    let (server, mut client) = echoing();
    client.write(&masked(TEXT, b"last words"));
    client.shutdown();
    client.expect(TEXT, b"last words");
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    assert_eq!(finish(server).unwrap(), CloseInfo::abnormal());
}

#[test]
fn a_reset_connection_ends_calmly_with_1006() {
    let (mut ws, mut client) = open(Listener::builder());
    client.write(&masked(TEXT, b"said before"));
    ws.send("never read").unwrap();
    client.reset();
    within(move || {
        assert_eq!(ws.read().unwrap(), Some(Message::from("said before")));
        assert_eq!(ws.read().unwrap(), None);
        assert_eq!(ws.close_info(), Some(CloseInfo::abnormal()));
        assert_eq!(ws.read().unwrap(), None);
        assert!(!ws.is_open());
        assert!(matches!(ws.send("x"), Err(Error::Send(SendError::Closing))));
        assert_eq!(ws.close(CloseCode::NORMAL, "").unwrap(), CloseInfo::abnormal());
    });
}

#[test]
fn what_a_lost_client_has_said_is_read_after_a_failed_write() {
    let (mut ws, mut client) = open(Listener::builder());
    client.write(&[masked(TEXT, b"one"), masked(TEXT, b"two")].concat());
    ws.send("never read").unwrap();
    client.reset();
    within(move || {
        while ws.send("into the void").is_ok() {}
        assert_eq!(ws.read().unwrap(), Some(Message::from("one")));
        assert_eq!(ws.read().unwrap(), Some(Message::from("two")));
        assert_eq!(ws.read().unwrap(), None);
    });
}

// RFC 6455 §7.1.1, §7.1.2
#[test]
fn server_that_starts_to_close_reads_the_rest_and_closes_tcp_first() {
    let (mut ws, mut client) = open(Listener::builder());
    let server = thread::spawn(move || {
        ws.queue("queued").unwrap();
        ws.start_close(CloseCode::new(4000), "enough").unwrap();
        assert!(!ws.is_open());
        assert!(matches!(ws.send("x"), Err(Error::Send(SendError::Closing))));
        let again = ws.start_close(CloseCode::NORMAL, "");
        assert!(matches!(again, Err(Error::Send(SendError::Closing))));
        let mut rest = Vec::new();
        while let Some(message) = ws.read().unwrap() {
            rest.push(message);
        }
        assert_eq!(ws.close(None, "").unwrap(), ws.close_info().unwrap());
        (rest, ws.close_info().unwrap().clone())
    });
    client.expect(TEXT, b"queued");
    client.expect(CLOSE, &close(4000, "enough"));
    client.write(&[masked(TEXT, b"but"), masked(CLOSE, &close(4000, "enough"))].concat());
    // The server closes although the client does not.
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    drop(client);
    let (rest, how) = finish(server);
    assert_eq!(rest, [Message::from("but")]);
    assert_eq!(how, info(CloseCode::new(4000), "enough", true, true, Some(4000)));
}

#[test]
fn close_tells_code_reason_and_who_began_on_both_sides() {
    let (address, server) = serve(Listener::builder(), |incoming| {
        let mut ws = incoming.accept().unwrap();
        echo(&mut ws).unwrap()
    });
    let (ours, theirs) = within(move || {
        let mut ws = ws_std::connect(&format!("ws://{address}")).unwrap();
        ws.send("hello").unwrap();
        assert_eq!(ws.read().unwrap(), Some(Message::from("hello")));
        let ours = ws.close(CloseCode::GOING_AWAY, "moving on").unwrap();
        (ours, finish(server))
    });
    assert_eq!(theirs, info(CloseCode::GOING_AWAY, "moving on", true, false, Some(1001)));
    assert_eq!(ours, info(CloseCode::GOING_AWAY, "", true, true, Some(1001)));
}

#[test]
fn close_refuses_what_may_not_be_sent_and_stays_open() {
    let (mut ws, mut client) = open(Listener::builder());
    for (code, reason) in [
        (Some(CloseCode::ABNORMAL), String::new()),
        (None, "reason without code".to_owned()),
        (Some(CloseCode::NORMAL), "x".repeat(124)),
    ] {
        assert!(matches!(ws.close(code, &reason), Err(Error::Send(_))));
        assert!(ws.is_open());
    }
    assert!(matches!(ws.ping(&[0; 126]), Err(Error::Send(SendError::ControlTooLong))));
    ws.send("open").unwrap();
    client.expect(TEXT, b"open");
}

#[test]
fn close_is_bounded_for_a_client_that_neither_reads_nor_answers() {
    let config = Config::new().close_timeout(Some(Duration::from_millis(300)));
    for stuck in [false, true] {
        let (mut ws, client) = open(Listener::builder().config(config).write_timeout(None));
        let begun = Instant::now();
        let result = within(move || {
            if stuck {
                ws.set_write_timeout(Some(Duration::from_millis(50)));
                while ws.send(vec![0; 1 << 20]).is_ok() {}
                ws.set_write_timeout(None);
            }
            ws.close(CloseCode::NORMAL, "")
        });
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        assert_eq!(result.unwrap(), info(CloseCode::ABNORMAL, "", false, true, Some(1000)));
        drop(client);
    }
}

#[test]
fn a_read_time_out_can_be_read_on_after() {
    let (mut ws, mut client) = open(Listener::builder());
    let timeout = Duration::from_millis(100);
    ws.set_read_timeout(Some(timeout));
    let bytes = masked(TEXT, b"in two parts");
    client.write(&bytes[..7]);
    let begun = Instant::now();
    assert!(matches!(ws.read(), Err(Error::Timeout(Deadline::Read))));
    assert!(begun.elapsed() >= timeout);
    assert!(matches!(ws.read_ref(), Err(Error::Timeout(Deadline::Read))));
    client.write(&bytes[7..]);
    ws.set_read_timeout(None);
    assert_eq!(ws.read().unwrap(), Some(Message::from("in two parts")));
    // Zero looks at what is there; the longest time is as good as for ever.
    ws.set_read_timeout(Some(Duration::ZERO));
    assert!(matches!(ws.read(), Err(Error::Timeout(Deadline::Read))));
    ws.set_read_timeout(Some(Duration::MAX));
    ws.set_write_timeout(Some(Duration::MAX));
    client.write(&masked(TEXT, b"more"));
    assert_eq!(ws.read().unwrap(), Some(Message::from("more")));
    ws.set_write_timeout(Some(Duration::ZERO));
    ws.send("fits").unwrap();
    client.expect(TEXT, b"fits");
}

#[test]
fn a_read_time_out_passes_although_pings_keep_coming() {
    let (mut ws, client) = open(Listener::builder().read_timeout(Some(Duration::from_millis(200))));
    let mut pings = Raw::new(client.stream.try_clone().unwrap());
    let flood = thread::spawn(move || while pings.stream.write_all(&masked(PING, b"")).is_ok() {});
    let mut pongs = Raw::new(client.stream.try_clone().unwrap());
    let drain =
        thread::spawn(move || while pongs.stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {});
    for _ in 0..3 {
        let (back, result) = within(move || {
            let result = ws.read();
            (ws, result)
        });
        ws = back;
        assert!(matches!(result, Err(Error::Timeout(Deadline::Read))), "{result:?}");
    }
    drop((ws, client));
    finish(flood);
    finish(drain);
}

#[test]
fn a_write_time_out_resumes_exactly_where_it_was() {
    let (mut ws, mut client) = open(Listener::builder());
    ws.set_write_timeout(Some(Duration::from_millis(100)));
    let mut sent = 0_u32;
    let message = |n: u32| n.to_be_bytes().repeat(100_000);
    // Each that is timed out is taken nevertheless; one that is not is refused as such.
    loop {
        match ws.send(message(sent)) {
            Ok(()) | Err(Error::Timeout(Deadline::Write)) => sent += 1,
            Err(Error::Send(SendError::OutputFull)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let reader = thread::spawn(move || {
        for n in 0..sent {
            client.expect(BINARY, &n.to_be_bytes().repeat(100_000));
        }
        client.expect(TEXT, b"after");
    });
    while let Err(Error::Timeout(Deadline::Write)) = ws.flush() {}
    ws.send("after").unwrap();
    finish(reader);
    assert!(sent > 10, "{sent}");
}

#[test]
fn keepalive_pings_an_idle_client_and_gives_up_a_silent_one() {
    let config = Config::new()
        .ping_interval(Some(Duration::from_millis(100)))
        .pong_timeout(Some(Duration::from_millis(1000)));
    let (mut ws, mut client) = open(Listener::builder().config(config));
    let server = thread::spawn(move || (ws.read(), ws.read(), ws.close_info()));
    for _ in 0..3 {
        client.expect(PING, b"");
        client.write(&masked(PONG, b""));
    }
    client.expect(PING, b"");
    client.expect(CLOSE, &close(1011, "the peer did not answer a ping in time"));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    let (first, second, how) = finish(server);
    assert!(matches!(first, Err(Error::Timeout(Deadline::Pong))), "{first:?}");
    assert_eq!(second.unwrap(), None);
    assert_eq!(how, Some(info(CloseCode::ABNORMAL, "", false, true, Some(1011))));
}

#[test]
fn a_pong_that_came_while_the_application_was_busy_counts() {
    let timeout = Duration::from_millis(200);
    let config = Config::new().ping_interval(Some(timeout)).pong_timeout(Some(timeout));
    let (mut ws, mut client) = open(Listener::builder().config(config));
    ws.set_read_timeout(Some(timeout * 3 / 2));
    let mut ws = within(move || {
        assert!(matches!(ws.read(), Err(Error::Timeout(Deadline::Read))));
        ws
    });
    client.expect(PING, b"");
    client.write(&[masked(PONG, b""), masked(TEXT, b"here")].concat());
    // The application is away for longer than the time-out of the Ping.
    thread::sleep(3 * timeout);
    ws.set_read_timeout(None);
    assert_eq!(within(move || ws.read()).unwrap(), Some(Message::from("here")));
}

#[test]
fn an_idle_connection_is_closed_with_1001_and_a_busy_one_is_not() {
    let timeout = Duration::from_millis(600);
    let config = Config::new().idle_timeout(Some(timeout));
    let (mut ws, mut client) = open(Listener::builder().config(config));
    let server = thread::spawn(move || {
        ws.read().unwrap();
        // What is sent after long work keeps the connection, too.
        thread::sleep(2 * timeout);
        ws.queue("done").unwrap();
        (ws.read(), ws.close_info())
    });
    client.write(&masked(TEXT, b"work"));
    client.expect(TEXT, b"done");
    let begun = Instant::now();
    client.expect(CLOSE, &close(1001, ""));
    assert!(begun.elapsed() > timeout / 3, "{:?}", begun.elapsed());
    client.write(&masked(CLOSE, &close(1001, "")));
    drop(client);
    let (last, how) = finish(server);
    assert_eq!(last.unwrap(), None);
    assert_eq!(how, Some(info(CloseCode::GOING_AWAY, "", true, true, Some(1001))));
}

#[test]
fn a_lent_message_is_answered_and_the_closing_begun_by_its_replier() {
    let (mut ws, mut client) = open(Listener::builder());
    let server = thread::spawn(move || {
        while let Some((message, mut replier)) = ws.read_ref().unwrap() {
            match message {
                MessageRef::Text("send") => replier.send("sent").unwrap(),
                MessageRef::Text("end") => replier.start_close(CloseCode::NORMAL, "").unwrap(),
                message => replier.queue(message).unwrap(),
            }
        }
        ws.close_info().unwrap().clone()
    });
    let long = vec![9; 200_000];
    client.write(&[masked(BINARY, b"\0"), masked(BINARY, &long), masked(TEXT, b"send")].concat());
    client.expect(BINARY, b"\0");
    client.expect(BINARY, &long);
    client.expect(TEXT, b"sent");
    client.write(&masked(TEXT, b"end"));
    client.expect(CLOSE, &close(1000, ""));
    client.write(&masked(CLOSE, &close(1000, "")));
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    drop(client);
    assert_eq!(finish(server), info(CloseCode::NORMAL, "", true, true, Some(1000)));
}

#[test]
fn nothing_is_read_after_the_end_of_a_dropped_connection() {
    let (ws, mut client) = open(Listener::builder());
    drop(ws);
    assert_eq!(client.read_to_the_end().unwrap(), b"");
    client.stream.set_nonblocking(true).unwrap();
    assert_ne!(client.stream.read(&mut [0]).map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
}

// What cannot be written at the end has as long as the closing handshake.
#[test]
fn last_words_take_no_longer_than_the_close_timeout() {
    let config = Config::new().close_timeout(Some(Duration::from_millis(300)));
    let (mut ws, mut client) = open(Listener::builder().config(config));
    client.write(&[masked(TEXT, b"good"), frame(TEXT, b"not masked", None)].concat());
    within(move || {
        assert_eq!(ws.read().unwrap(), Some(Message::from("good")));
        // The client does not read.
        ws.set_write_timeout(Some(Duration::from_millis(100)));
        while ws.send(vec![0; 1 << 20]).is_ok() {}
        ws.set_write_timeout(Some(LONG));
        let begun = Instant::now();
        assert!(matches!(ws.read(), Err(Error::Protocol(_))));
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    });
}
