//! Messages that are read and written piece by piece.

mod common;

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use common::{finish, open};
use ws_std::ws_core::SendError;
use ws_std::ws_core::endpoint::{Endpoint, Options};
use ws_std::{
    CloseCode, Config, Connector, Deadline, Error, Listener, Message, MessageKind, WebSocket,
};

fn pair(config: Config) -> (WebSocket, WebSocket) {
    let listener = Listener::builder().config(config).bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || listener.accept().unwrap().accept().unwrap());
    let client = Connector::builder().config(config).connect(&url).unwrap();
    (client, server.join().unwrap())
}

fn pattern(at: usize) -> u8 {
    (at * 31 + at / 251) as u8
}

// RFC 6455 §5.4: a message need not be buffered
#[test]
fn a_message_larger_than_any_buffer_streams_through() {
    const LEN: usize = 24 << 20;
    let (mut client, mut server) = pair(Config::new().max_message(LEN as u64));
    let writer = thread::spawn(move || {
        let mut message = client.write_stream(MessageKind::Binary);
        let mut at = 0;
        while at < LEN {
            let piece: Vec<u8> = (at..LEN.min(at + 40_000)).map(pattern).collect();
            message.write_all(&piece).unwrap();
            at += piece.len();
        }
        message.finish().unwrap();
        client.send("done").unwrap();
        client.close(CloseCode::NORMAL, "").unwrap()
    });
    let mut message = server.read_stream().unwrap().unwrap();
    assert_eq!(message.kind(), MessageKind::Binary);
    let mut at = 0;
    let mut buffer = vec![0; 10_007];
    loop {
        let count = message.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        assert!(buffer[..count].iter().enumerate().all(|(i, byte)| *byte == pattern(at + i)));
        at += count;
    }
    assert_eq!(at, LEN);
    assert_eq!(server.read().unwrap(), Some(Message::from("done")));
    assert_eq!(server.read().unwrap(), None);
    assert!(writer.join().unwrap().clean);
}

#[test]
fn the_rest_of_a_dropped_message_is_skipped() {
    let (mut client, mut server) = pair(Config::new().max_outgoing_frame(1000));
    let sender = thread::spawn(move || {
        client.send(vec![7; 500_000]).unwrap();
        client.send("next").unwrap();
        client.send("last").unwrap();
        client
    });
    let mut start = [0; 10];
    server.read_stream().unwrap().unwrap().read_exact(&mut start).unwrap();
    assert_eq!(start, [7; 10]);
    assert_eq!(server.read().unwrap(), Some(Message::from("next")));
    let mut text = String::new();
    server.read_stream().unwrap().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "last");
    drop(sender.join().unwrap());
    assert!(server.read_stream().unwrap().is_none());
}

// However much comes, it is not what is waited for.
#[test]
fn the_read_time_out_is_kept_while_a_dropped_message_is_skipped() {
    const LIMIT: Duration = Duration::from_secs(4);
    let (mut client, mut server) = pair(Config::new());
    let sender = thread::spawn(move || {
        let mut message = client.write_stream(MessageKind::Binary);
        let begun = Instant::now();
        while begun.elapsed() < LIMIT && message.write_all(&[7; 1000]).is_ok() {
            if message.flush().is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
    });
    let mut start = [0; 10];
    server.read_stream().unwrap().unwrap().read_exact(&mut start).unwrap();
    server.set_read_timeout(Some(Duration::from_millis(200)));
    let begun = Instant::now();
    let error = server.read().unwrap_err();
    assert!(matches!(error, Error::Timeout(Deadline::Read)), "{error}");
    assert!(begun.elapsed() < LIMIT / 2, "{:?}", begun.elapsed());
    drop(server);
    sender.join().unwrap();
}

// Smaller limits than the crate's own are kept by writing, as in other ways to send.
#[test]
fn a_message_in_pieces_goes_out_whatever_the_output_holds() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    let options = Options::from(Config::new()).max_output(32 * 1024);
    let mut server = WebSocket::from_endpoint(Endpoint::server_after_handshake(options, b""), near);
    let reads = thread::spawn(move || {
        let client = Endpoint::client_after_handshake(Config::new(), |_| true, b"");
        let mut client = WebSocket::from_endpoint(client, far);
        [(); 2].map(|()| client.read().unwrap().unwrap().len())
    });
    let mut message = server.write_stream(MessageKind::Binary);
    let copied = io::copy(&mut io::repeat(7).take(100_000), &mut message).unwrap();
    assert_eq!(copied, 100_000);
    message.finish().unwrap();
    let mut message = server.write_stream(MessageKind::Binary);
    message.write_all(&[7; 36_000]).unwrap();
    message.finish().unwrap();
    assert_eq!(reads.join().unwrap(), [100_000, 36_000]);
}

#[test]
fn an_unfinished_message_stays_open_and_blocks_all_but_close() {
    let (mut client, mut server) = pair(Config::new());
    let mut message = client.write_stream(MessageKind::Text);
    message.write_all("caf".as_bytes()).unwrap();
    message.write_all(&"é".as_bytes()[..1]).unwrap();
    let error = message.write_all(b"x").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    message.write_all(&"é".as_bytes()[1..]).unwrap();
    let Err(Error::Send(error)) = client.send("other") else { panic!("sent into a message") };
    assert_eq!(error, SendError::MessageOpen);
    let mut message = client.write_stream(MessageKind::Text);
    message.write_all(b"!").unwrap_err();
    let Err(Error::Send(error)) = message.finish() else { panic!("finished another message") };
    assert_eq!(error, SendError::MessageOpen);
    client.start_close(CloseCode::GOING_AWAY, "").unwrap();
    assert_eq!(server.read().unwrap(), None);
    assert_eq!(server.close_info().unwrap().code, CloseCode::GOING_AWAY);
}

#[test]
fn a_message_that_a_time_out_has_cut_streams_as_a_whole() {
    let (mut client, mut server) = pair(Config::new());
    let mut message = client.write_stream(MessageKind::Binary);
    message.write_all(b"He").unwrap();
    message.flush().unwrap();
    server.set_read_timeout(Some(std::time::Duration::from_millis(50)));
    assert!(matches!(server.read(), Err(Error::Timeout(_))));
    server.set_read_timeout(None);
    message.write_all(b"llo").unwrap();
    message.finish().unwrap();
    client.send("two").unwrap();
    for expected in ["Hello", "two"] {
        let mut whole = String::new();
        server.read_stream().unwrap().unwrap().read_to_string(&mut whole).unwrap();
        assert_eq!(whole, expected);
    }
}

#[test]
fn a_message_cut_off_by_the_peer_is_an_unexpected_eof() {
    let (mut client, mut server) = pair(Config::new());
    let mut message = client.write_stream(MessageKind::Binary);
    message.write_all(b"half").unwrap();
    message.flush().unwrap();
    drop(client);
    let mut message = server.read_stream().unwrap().unwrap();
    let error = message.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(server.close_info().unwrap().code, CloseCode::ABNORMAL);
}

/// Sends what a peer that does not read cannot take.
fn fill(ws: &mut WebSocket) -> usize {
    let mut count = 0;
    let mut late = 0;
    // Some is queued still when the first write times out.
    while late < 6 {
        late += usize::from(ws.send(vec![7; 64 * 1024]).is_err());
        count += 1;
    }
    count
}

// There is no writer to try again with.
#[test]
fn a_message_that_is_finished_late_is_whole() {
    let (mut client, mut server) = pair(Config::new().max_message(1 << 30));
    client.set_write_timeout(Some(Duration::from_millis(100)));
    let mut message = client.write_stream(MessageKind::Binary);
    let mut len = 0;
    // The system may find more room after one time-out: it has none when two follow each other.
    let mut late = 0;
    while late < 2 {
        match message.write(&[7; 64 * 1024]) {
            Ok(count) => {
                len += count;
                late = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                late += 1;
            }
        }
    }
    let error = message.finish().unwrap_err();
    assert!(matches!(error, Error::Timeout(Deadline::Write)), "{error}");
    let reader = thread::spawn(move || {
        let mut message = server.read_stream().unwrap().unwrap();
        let got = io::copy(&mut message, &mut io::sink()).unwrap();
        (got, server.read().unwrap())
    });
    client.set_write_timeout(None);
    client.send("next").unwrap();
    assert_eq!(reader.join().unwrap(), (len as u64, Some(Message::from("next"))));
}

#[test]
fn a_first_write_that_times_out_opens_no_message() {
    let (mut client, mut server) = pair(Config::new());
    client.set_write_timeout(Some(Duration::from_millis(100)));
    let before = fill(&mut client);
    let error = client.write_stream(MessageKind::Text).write(b"x").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let reader = thread::spawn(move || {
        for _ in 0..before {
            assert_eq!(server.read().unwrap().unwrap().len(), 64 * 1024);
        }
        (server.read().unwrap(), server.read().unwrap())
    });
    client.set_write_timeout(None);
    client.flush().unwrap();
    let mut message = client.write_stream(MessageKind::Text);
    message.write_all(b"second").unwrap();
    message.finish().unwrap();
    client.send("third").unwrap();
    let expected = (Some(Message::from("second")), Some(Message::from("third")));
    assert_eq!(reader.join().unwrap(), expected);
}

// RFC 6455 §5.6 allows other cuts, but some peers check each fragment
#[test]
fn text_is_written_between_characters_however_the_pieces_are_cut() {
    let text = "aκ€😀z😀€κ";
    for size in [1, 2, 3, 5, 100] {
        let (mut server, client) = open(Listener::builder());
        let reading = thread::spawn(move || {
            let mut client = client;
            let (mut frames, mut last) = (Vec::new(), false);
            while !last {
                let frame = client.frame();
                last = frame.first & 0x80 != 0;
                frames.push(String::from_utf8(frame.payload).expect("whole characters"));
            }
            frames.concat()
        });
        let mut message = server.write_stream(MessageKind::Text);
        for piece in text.as_bytes().chunks(size) {
            assert_eq!(message.write(piece).unwrap(), piece.len());
            assert_eq!(message.write(b"").unwrap(), 0);
        }
        message.finish().unwrap();
        assert_eq!(finish(reading), text);
    }
    // The end of a message inside a character stays an error, after which the message is open.
    let (mut server, _client) = open(Listener::builder());
    let mut message = server.write_stream(MessageKind::Text);
    message.write_all(b"a\xf0\x9f").unwrap();
    let Err(Error::Io(error)) = message.finish() else { panic!("it was finished") };
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(matches!(server.send("x"), Err(Error::Send(SendError::MessageOpen))));
}
