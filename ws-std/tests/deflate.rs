//! permessage-deflate (RFC 7692) between both ends, and with peers that misuse it.

mod common;
#[cfg(feature = "rustls")]
#[path = "common/tls.rs"]
mod tls;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use common::*;
use ws_std::deflate::{Compression, DeflateConfig, DeflateParams, Pool, WindowBits};
use ws_std::ws_core::deflate::Deflater;
use ws_std::ws_core::endpoint::{Endpoint, Options};
use ws_std::ws_core::frame::OpCode;
use ws_std::{
    Config, Connector, Direction, Error, Hub, Listener, ListenerBuilder, Message, MessageKind,
    PreparedMessage, ProtocolError, Trace, Traced, WebSocket,
};

const TEXT_RSV1: u8 = TEXT | 0x40;
const BINARY_RSV1: u8 = BINARY | 0x40;

fn bits(bits: u8) -> WindowBits {
    WindowBits::new(bits).unwrap()
}

/// Each message is compressed by itself.
fn no_takeover() -> Compression {
    let config =
        DeflateConfig::new().server_no_context_takeover(true).client_no_context_takeover(true);
    Compression::default().negotiation(config)
}

/// A text that compresses, and that tells which one it is.
fn text(number: usize) -> String {
    let line = |line| format!("{{\"line\":{line},\"hash\":{}}},", line * 7919 % 10_007);
    format!("{{\"number\":{number}}},") + &(0..30).map(line).collect::<String>()
}

fn connect(listener: &Listener, connector: &Connector) -> (WebSocket, WebSocket) {
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let connector = connector.clone();
    let client = thread::spawn(move || connector.connect(&url).unwrap());
    let server = listener.accept().unwrap().accept().unwrap();
    (finish(client), server)
}

fn pair(listener: ListenerBuilder, connector: &Connector) -> (WebSocket, WebSocket) {
    connect(&listener.bind("127.0.0.1:0").unwrap(), connector)
}

/// Data frames as they were sent: whether the first one of a compressed message, and how long.
type Sent = Arc<Mutex<Vec<(bool, u64)>>>;

fn hook(sent: &Sent) -> impl Fn(&Trace<'_>) + Send + Sync + 'static {
    let sent = sent.clone();
    move |trace| {
        if let (Direction::Sent, Traced::Frame(header, _)) = (trace.direction, trace.what) {
            if matches!(header.opcode, OpCode::Text | OpCode::Binary | OpCode::Continuation) {
                sent.lock().unwrap().push((header.rsv1, header.len));
            }
        }
    }
}

fn taken(sent: &Sent) -> Vec<(bool, u64)> {
    std::mem::take(&mut sent.lock().unwrap())
}

// RFC 7692 §5: it is used if both want it
#[test]
fn it_is_used_when_both_sides_want_it() {
    let wants = || Some(Compression::default());
    for (server, client) in [(None, None), (wants(), None), (None, wants()), (wants(), wants())] {
        let agreed = (server.is_some() && client.is_some()).then(|| DeflateParams {
            server_max_window_bits: Some(bits(12)),
            client_max_window_bits: Some(bits(12)),
            ..DeflateParams::default()
        });
        let (ours, theirs) = (Sent::default(), Sent::default());
        let listener = Listener::builder().deflate(server).trace(hook(&theirs));
        let connector = Connector::builder().deflate(client).trace(hook(&ours));
        let (mut client, mut server) = pair(listener, &connector);
        assert_eq!((client.deflate(), server.deflate()), (agreed, agreed));
        for number in 0..3 {
            client.send(text(number)).unwrap();
            assert_eq!(server.read().unwrap(), Some(Message::from(text(number))));
            server.send(text(number).into_bytes()).unwrap();
            assert_eq!(client.read().unwrap(), Some(Message::from(text(number).into_bytes())));
        }
        for sent in [taken(&ours), taken(&theirs)] {
            let lens = [0, 1, 2].map(|number| text(number).len() as u64);
            if agreed.is_some() {
                assert!(
                    sent.iter().zip(lens).all(|((rsv1, len), plain)| *rsv1 && *len < plain / 2)
                );
                // The second message refers to the first.
                assert!(sent[1].1 < sent[0].1 / 3, "{sent:?}");
            } else {
                assert_eq!(sent, lens.map(|len| (false, len)));
            }
        }
    }
}

#[test]
fn windows_and_takeover_are_those_that_were_asked_for() {
    let config =
        DeflateConfig::new().server_max_window_bits(bits(9)).client_max_window_bits(bits(10));
    let agreed = DeflateParams {
        server_max_window_bits: Some(bits(9)),
        client_max_window_bits: Some(bits(10)),
        ..DeflateParams::default()
    };
    let without = DeflateParams {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        ..agreed
    };
    let asks = Compression::default().negotiation(config);
    for (server, client, expected) in [
        (asks.clone(), Compression::default(), agreed),
        (Compression::default(), asks.clone(), agreed),
        (asks.clone(), no_takeover(), without),
        (no_takeover(), asks, without),
    ] {
        let listener = Listener::builder().deflate(server);
        let (mut client, mut server) = pair(listener, &Connector::builder().deflate(client));
        assert_eq!((client.deflate(), server.deflate()), (Some(expected), Some(expected)));
        for number in 0..20 {
            client.send(text(number)).unwrap();
            let message = server.read().unwrap().unwrap();
            assert_eq!(message.as_text(), Some(&*text(number)));
            server.send(message).unwrap();
            assert_eq!(client.read().unwrap().unwrap().as_text(), Some(&*text(number)));
        }
    }
}

// RFC 7692 §6: a message may be sent uncompressed at any time
#[test]
fn a_message_can_be_left_uncompressed() {
    let sent = Sent::default();
    let listener = Listener::builder().deflate(Compression::default()).trace(hook(&sent));
    let connector = Connector::builder().deflate(Compression::default());
    let (mut client, mut server) = pair(listener, &connector);
    let len = text(0).len() as u64;
    server.send(text(0)).unwrap();
    server.set_compression(false);
    server.send(text(0)).unwrap();
    server.queue_prepared(&PreparedMessage::new(&text(0).into())).unwrap();
    let mut message = server.write_stream(MessageKind::Text);
    message.write_all(text(0).as_bytes()).unwrap();
    message.finish().unwrap();
    server.set_compression(true);
    server.send(text(0)).unwrap();
    // Too short for it.
    server.send("short").unwrap();
    let sent_whole = taken(&sent);
    let compressed: Vec<_> = sent_whole.iter().map(|(rsv1, _)| *rsv1).collect();
    assert_eq!(compressed, [true, false, false, false, false, true, false]);
    assert_eq!(sent_whole[1..5], [(false, len), (false, len), (false, len), (false, 0)]);
    for _ in 0..5 {
        assert_eq!(client.read().unwrap().unwrap().as_text(), Some(&*text(0)));
    }
    assert_eq!(client.read().unwrap().unwrap().as_text(), Some("short"));

    // While a message is lent.
    client.send(text(1)).unwrap();
    let (message, mut replier) = server.read_ref().unwrap().unwrap();
    replier.set_compression(false);
    replier.send(message).unwrap();
    replier.set_compression(true);
    replier.send(message).unwrap();
    let sent = taken(&sent);
    assert_eq!((sent[0], sent[1].0), ((false, text(1).len() as u64), true));
    for _ in 0..2 {
        assert_eq!(client.read().unwrap().unwrap().as_text(), Some(&*text(1)));
    }
}

#[test]
fn each_writer_decides_about_its_own_messages() {
    let sent = Sent::default();
    let listener = Listener::builder().deflate(Compression::default()).trace(hook(&sent));
    let connector = Connector::builder().deflate(Compression::default());
    let (mut client, mut server) = pair(listener, &connector);
    server.set_compression(false);
    let (_reader, writer) = server.split().unwrap();
    let mut compressing = writer.clone();
    compressing.set_compression(true);
    let threads = [(writer, false), (compressing, true)].map(|(writer, compresses)| {
        thread::spawn(move || {
            for number in 0..200 {
                writer.send(text(2 * number + usize::from(compresses))).unwrap();
            }
        })
    });
    let mut numbers = [0, 0];
    for _ in 0..400 {
        let message = client.read().unwrap().unwrap();
        let which =
            (0..2).find(|which| message.as_text() == Some(&*text(2 * numbers[*which] + *which)));
        numbers[which.unwrap()] += 1;
    }
    threads.into_iter().for_each(finish);
    assert_eq!(numbers, [200, 200]);
    let sent = taken(&sent);
    assert_eq!(sent.iter().filter(|(rsv1, _)| *rsv1).count(), 200);
    assert!(sent.iter().all(|(rsv1, len)| *rsv1 == (*len < 500)));
}

// A compressor with another level would compress to something else.
#[test]
fn a_hub_compresses_once_for_connections_without_takeover() {
    let hub = Hub::new();
    let message: String = (0..99).map(|at| format!("{} {};", at * 7919 % 101, at * at)).collect();
    let listen = |compression: Compression| {
        let listener = Listener::builder().deflate(compression);
        listener.bind("127.0.0.1:0").unwrap()
    };
    let fast = listen(no_takeover().level(1));
    let small = listen(no_takeover().level(9));
    let takeover = listen(Compression::default());
    let raw = |listener: &Listener, extension: &str| {
        let mut raw = Raw::connect(listener.local_addr().unwrap());
        raw.write(request(extension).as_bytes());
        let mut ws = listener.accept().unwrap().accept().unwrap();
        assert_eq!(raw.head().contains("permessage-deflate"), ws.deflate().is_some());
        // What this connection alone would send.
        ws.send(&*message).unwrap();
        let own = raw.frame();
        (raw, own, hub.join(ws).unwrap())
    };
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let mut members = Vec::new();
    for _ in 0..5 {
        members.push(raw(&fast, offer));
        members.push(raw(&small, offer));
    }
    assert_ne!(members[0].1.payload, members[1].1.payload);
    let (mut plain, own, _plain) = raw(&fast, "");
    assert_eq!((own.first, own.payload), (TEXT, message.clone().into_bytes()));
    let (mut with_takeover, own, _with_takeover) = raw(&takeover, offer);

    assert_eq!(hub.broadcast(&*message), 12);
    let frames: Vec<_> = members.iter_mut().map(|(raw, ..)| raw.frame()).collect();
    assert!(frames.iter().all(|frame| *frame == frames[0]));
    assert!([&members[0].1, &members[1].1].contains(&&frames[0]));
    plain.expect(TEXT, message.as_bytes());
    // By itself, and with reference to what it had before.
    let frame = with_takeover.frame();
    assert_eq!((own.first, frame.first), (TEXT_RSV1, TEXT_RSV1));
    assert!(frame.payload.len() < own.payload.len() / 4, "{}", frame.payload.len());
}

#[test]
fn what_a_hub_sends_arrives_whatever_was_agreed() {
    let hub = Hub::new();
    let mut clients = Vec::new();
    let mut members = Vec::new();
    for compression in [None, Some(Compression::default()), Some(no_takeover())] {
        let listener = Listener::builder().deflate(compression).bind("127.0.0.1:0").unwrap();
        for client in [None, Some(Compression::default()), Some(no_takeover())] {
            let (client, server) = connect(&listener, &Connector::builder().deflate(client));
            clients.push(client);
            members.push(hub.join(server).unwrap());
        }
    }
    for number in 0..20 {
        hub.broadcast(text(number));
        hub.send_to(members[number % 9].id(), "short");
    }
    for (at, client) in clients.iter_mut().enumerate() {
        for number in 0..20 {
            assert_eq!(client.read().unwrap().unwrap().as_text(), Some(&*text(number)));
            if number % 9 == at {
                assert_eq!(client.read().unwrap().unwrap().as_text(), Some("short"));
            }
        }
    }
}

#[test]
fn many_connections_share_one_pool() {
    let pool = Pool::with_engines(std::num::NonZeroUsize::MIN);
    let listener =
        Listener::builder().deflate(Compression::new(&pool)).bind("127.0.0.1:0").unwrap();
    let connector = Connector::builder().deflate(Compression::new(&pool));
    let threads: Vec<_> = (0..8)
        .map(|at| {
            let (mut client, mut server) = connect(&listener, &connector);
            let echoes = thread::spawn(move || echo(&mut server));
            let talks = thread::spawn(move || {
                for number in 0..30 {
                    let text = text(30 * at + number);
                    client.send(&*text).unwrap();
                    assert_eq!(client.read().unwrap().unwrap().as_text(), Some(&*text));
                }
                client.close(None, "").unwrap();
            });
            (echoes, talks)
        })
        .collect();
    for (echoes, talks) in threads {
        finish(talks);
        finish(echoes).unwrap();
    }
}

// RFC 7692 §7.2.1: in any fragments
#[test]
fn messages_in_pieces_are_compressed() {
    let sent = Sent::default();
    let listener = Listener::builder().deflate(Compression::default());
    let connector = Connector::builder().deflate(Compression::default()).trace(hook(&sent));
    let (mut client, mut server) = pair(listener, &connector);
    for number in 0..3 {
        let mut message = client.write_stream(MessageKind::Text);
        for piece in text(number).as_bytes().chunks(100) {
            message.write_all(piece).unwrap();
        }
        message.finish().unwrap();
        let mut came = String::new();
        server.read_stream().unwrap().unwrap().read_to_string(&mut came).unwrap();
        assert_eq!(came, text(number));
        // To whoever wants it whole.
        client.send(text(number)).unwrap();
        assert_eq!(server.read().unwrap().unwrap().as_text(), Some(&*text(number)));
    }
    let sent = taken(&sent);
    assert_eq!(sent.iter().filter(|(rsv1, _)| *rsv1).count(), 6);
    let (len, plain) = (sent.iter().map(|(_, len)| len).sum::<u64>(), text(0).len() as u64);
    assert!(len < plain * 2, "{len}");
}

#[test]
fn the_rest_of_a_compressed_message_is_skipped() {
    let listener = Listener::builder().deflate(Compression::default());
    let connector = Connector::builder()
        .config(Config::new().max_outgoing_frame(100))
        .deflate(Compression::default());
    let (mut client, mut server) = pair(listener, &connector);
    let sender = thread::spawn(move || {
        client.send(vec![7; 1 << 20]).unwrap();
        client.send(text(1)).unwrap();
        client
    });
    let mut start = [0; 10];
    server.read_stream().unwrap().unwrap().read_exact(&mut start).unwrap();
    assert_eq!(start, [7; 10]);
    assert_eq!(server.read().unwrap().unwrap().as_text(), Some(&*text(1)));
    drop(finish(sender));
}

/// The same request with more fields.
fn request(fields: &str) -> String {
    let head = REQUEST.strip_suffix("\r\n").unwrap();
    format!("{head}{fields}\r\n")
}

/// A client byte by byte, which has agreed to compress, and its server's end.
fn raw(builder: ListenerBuilder) -> (Raw, thread::JoinHandle<(Error, WebSocket)>) {
    let (address, server): (SocketAddr, _) =
        serve(builder.deflate(Compression::default()), |incoming| {
            let mut ws = incoming.accept().unwrap();
            let error = loop {
                if let Err(error) = ws.read().map(Option::unwrap) {
                    break error;
                }
            };
            (error, ws)
        });
    let mut raw = Raw::connect(address);
    raw.write(request("Sec-WebSocket-Extensions: permessage-deflate\r\n").as_bytes());
    let head = raw.head();
    let agreed = field(&head, "Sec-WebSocket-Extensions");
    // It cannot say how large its window is, so that none of it is kept.
    let expected = "permessage-deflate; client_no_context_takeover; server_max_window_bits=12";
    assert_eq!(agreed, Some(expected));
    (raw, server)
}

// RFC 7692 §8: the limit counts what is inflated
#[test]
fn a_message_that_inflates_past_the_limit_is_closed_with_1009() {
    let mut bomb = Vec::new();
    let mut deflater =
        Deflater::new(&Pool::new(), bits(12), ws_core::deflate::DeflateOptions::new().level(9));
    assert!(deflater.compress(&[0; 200_000], &mut bomb));
    assert!(bomb.len() < 500, "{}", bomb.len());
    for limit in [199_999, 200_000] {
        let (mut raw, server) = raw(Listener::builder().config(Config::new().max_message(limit)));
        // In fragments of one byte, too.
        raw.write(&masked(0x42, &bomb[..1]));
        for byte in &bomb[1..bomb.len() - 1] {
            raw.write(&masked(0x00, &[*byte]));
        }
        raw.write(&masked(0x80, &bomb[bomb.len() - 1..]));
        // RSV1 on a Ping breaks the protocol.
        raw.write(&masked(PING | 0x40, b""));
        let (code, error) = match limit {
            200_000 => (1002, None),
            _ => (1009, Some(ProtocolError::MessageTooLarge)),
        };
        assert_eq!(raw.frame().payload[..2], u16::to_be_bytes(code));
        drop(raw);
        let (told, _ws) = finish(server);
        let Error::Protocol(told) = told else { panic!("{told}") };
        assert!(error.is_none_or(|error| error == told), "{told}");
    }
}

// RFC 7692 §7.2.2, RFC 6455 §7.4.1
#[test]
fn a_message_that_is_not_deflate_is_closed_with_1007() {
    // A block of the reserved type; text that is not UTF-8, as a block without compression.
    for (first, payload) in
        [(BINARY_RSV1, &b"\xff\xff"[..]), (TEXT_RSV1, b"\x00\x01\x00\xfe\xff\xff\x00")]
    {
        let (mut raw, server) = raw(Listener::builder());
        raw.write(&masked(first, payload));
        let frame = raw.frame();
        assert_eq!((frame.first, &frame.payload[..2]), (CLOSE, &u16::to_be_bytes(1007)[..]));
        drop(raw);
        let (error, mut ws) = finish(server);
        assert!(matches!(error, Error::Protocol(_)), "{error}");
        // It is told once.
        assert_eq!(ws.read().unwrap(), None);
    }
}

// RFC 7692 §6: not agreed, not understood
#[test]
fn a_compressed_message_that_was_not_agreed_is_closed_with_1002() {
    let (address, server) =
        serve(Listener::builder().deflate(Compression::default()), |incoming| {
            let mut ws = incoming.accept().unwrap();
            (ws.deflate(), ws.read().unwrap_err())
        });
    let mut raw = Raw::open(address);
    raw.write(&masked(TEXT_RSV1, b"\x00"));
    assert_eq!(raw.frame().payload[..2], u16::to_be_bytes(1002));
    drop(raw);
    let (agreed, error) = finish(server);
    assert_eq!(agreed, None);
    assert!(matches!(error, Error::Protocol(_)), "{error}");
}

// A server that agrees to what was not offered is not to be trusted (RFC 6455 §4.1).
#[test]
fn an_answer_to_no_offer_fails() {
    let (url, server) = play(|mut raw| {
        let request = raw.head();
        assert_eq!(field(&request, "Sec-WebSocket-Extensions"), None);
        let answer = answer(&request);
        let head = answer.strip_suffix("\r\n").unwrap();
        raw.write(format!("{head}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n").as_bytes());
    });
    let error = within(move || ws_std::connect(&url).unwrap_err());
    assert!(matches!(error, Error::Handshake(_)), "{error}");
    finish(server);
}

#[test]
fn a_handshake_that_was_done_elsewhere_can_have_agreed() {
    let params =
        DeflateParams { client_max_window_bits: Some(bits(9)), ..DeflateParams::default() };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    let options = || Options::new().deflate(Compression::default().agreed(params));
    let client = Endpoint::client_after_handshake(options(), |_| true, b"");
    let mut client = WebSocket::from_endpoint(client, near);
    let server = Endpoint::server_after_handshake(options(), b"");
    let mut server = WebSocket::from_endpoint(server, far);
    assert_eq!((client.deflate(), server.deflate()), (Some(params), Some(params)));
    for number in 0..5 {
        client.send(text(number)).unwrap();
        assert_eq!(server.read().unwrap().unwrap().as_text(), Some(&*text(number)));
    }
    let copied = io::copy(&mut text(9).as_bytes(), &mut server.write_stream(MessageKind::Binary));
    assert_eq!(copied.unwrap(), text(9).len() as u64);
}

#[test]
fn a_trace_shows_both_lengths_before_a_split_and_after_it() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = lines.clone();
    let listener = Listener::builder().deflate(Compression::default()).trace(move |trace| {
        if !matches!(trace.what, Traced::Head(_)) {
            log.lock().unwrap().push(trace.to_string());
        }
    });
    let connector = Connector::builder().deflate(Compression::default());
    let (mut client, mut server) = pair(listener, &connector);
    let exchange = |client: &mut WebSocket, number| {
        client.send(text(number)).unwrap();
        assert_eq!(client.read().unwrap().unwrap().as_text(), Some(&*text(number)));
    };
    let echoes = thread::spawn(move || {
        let message = server.read().unwrap().unwrap();
        server.send(message).unwrap();
        let (mut reader, writer) = server.split().unwrap();
        while let Some(message) = reader.read().unwrap() {
            writer.send(message).unwrap();
        }
    });
    (0..3).for_each(|number| exchange(&mut client, number));
    client.close(None, "").unwrap();
    finish(echoes);
    let lines = lines.lock().unwrap().clone();
    for (number, lines) in lines.chunks(4).take(3).enumerate() {
        let start = &text(number)[..64];
        let inflated = format!("inflated, {} bytes: {start:?}…", text(number).len());
        assert!(lines[0].starts_with("< text, RSV1, "), "{lines:?}");
        assert!(lines[2].starts_with("> text, RSV1, "), "{lines:?}");
        assert_eq!((&lines[1], &lines[3]), (&format!("< {inflated}"), &format!("> {inflated}")));
    }
    assert_eq!(lines[12..], ["< close, 0 bytes", "> close, 0 bytes"]);
}

#[cfg(feature = "rustls")]
#[test]
fn it_works_under_tls() {
    let builder = tls::listener().deflate(Compression::default());
    let (address, server) = serve(builder, |incoming| {
        let (mut reader, writer) = incoming.accept().unwrap().split().unwrap();
        while let Some(message) = reader.read().unwrap() {
            writer.send(message).unwrap();
        }
    });
    let connector = tls::connector().deflate(Compression::default());
    within(move || {
        let mut ws = connector.connect(&format!("wss://localhost:{}/", address.port())).unwrap();
        assert!(ws.deflate().is_some());
        for number in 0..10 {
            ws.send(text(number)).unwrap();
            assert_eq!(ws.read().unwrap().unwrap().as_text(), Some(&*text(number)));
        }
        ws.close(None, "").unwrap();
    });
    finish(server);
}
