//! Two drivers that talk to each other, or one and a peer of bytes, on tokio's paused clock.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use embed_tokio::WebSocket;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio::time::{Instant, sleep, timeout};
use ws_core::endpoint::{Endpoint, Event, Options};
use ws_core::handshake::{AcceptResponse, ClientRequest, HttpResponse};
use ws_core::{CloseCode, Config, Message};

const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn server(stream: DuplexStream, config: Config) -> WebSocket<DuplexStream> {
    WebSocket::new(stream, Endpoint::server_after_handshake(config, &[]))
}

fn client(stream: DuplexStream) -> WebSocket<DuplexStream> {
    WebSocket::new(stream, Endpoint::client_after_handshake(Config::new(), fixed, &[]))
}

/// Keys that are no secret.
fn fixed(bytes: &mut [u8]) -> bool {
    bytes.fill(0x5a);
    true
}

/// Echoes until the connection is over; gives what has failed.
async fn echo(mut ws: WebSocket<DuplexStream>) -> Option<String> {
    loop {
        match ws.event().await {
            Ok(Some(Event::Request(_))) => {
                ws.endpoint.outbound.accept(&AcceptResponse::new()).unwrap()
            }
            Ok(Some(Event::Message(message))) => ws.queue(message).await.unwrap(),
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => return Some(error.to_string()),
        }
    }
}

async fn message(ws: &mut WebSocket<DuplexStream>) -> Message {
    loop {
        match ws.event().await.unwrap().expect("the connection is open") {
            Event::Message(message) => return message,
            _ => continue,
        }
    }
}

/// Polls a future once, and drops it.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn client_and_server_talk_and_close_cleanly() {
    let (near, far) = duplex(1000);
    let server = tokio::spawn(echo(WebSocket::new(far, Endpoint::server(Config::new()))));
    let request = ClientRequest::new("a", "/");
    let endpoint = Endpoint::client(&request, Config::new(), fixed).unwrap();
    let mut ws = WebSocket::new(near, endpoint);
    assert!(matches!(ws.event().await.unwrap(), Some(Event::Open { .. })));
    let large = Message::from(vec![7; 100_000]);
    for sent in [Message::from("hello"), Message::from(""), large] {
        // Both sides write more than the stream holds, so that the reply overtakes nothing.
        ws.send(sent.clone()).await.unwrap();
        assert_eq!(message(&mut ws).await, sent);
    }
    ws.endpoint.outbound.start_close(CloseCode::NORMAL, "bye").unwrap();
    assert!(matches!(ws.event().await.unwrap(), Some(Event::Closed)));
    assert!(ws.event().await.unwrap().is_none());
    let info = ws.endpoint.close_info().unwrap();
    assert!(info.clean && info.by_us && info.code == CloseCode::NORMAL, "{info:?}");
    // Each shuts down its side: nobody waits for a deadline, though this one is not dropped yet.
    let start = Instant::now();
    assert_eq!(server.await.unwrap(), None);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn event_is_cancel_safe_at_every_await() {
    // One byte at a time, so that each future is dropped wherever it can wait.
    let (near, far) = duplex(1);
    let (mut near, mut far) = (server(near, Config::new()), client(far));
    let sent: Vec<Message> = (0..40).map(|n| Message::from("é".repeat(n * 3))).collect();
    let expected = sent.clone();
    let sender = tokio::spawn(async move {
        for message in sent {
            far.send(message).await.unwrap();
        }
        far
    });
    let mut received = Vec::new();
    let mut dropped = 0;
    while received.len() < expected.len() {
        match poll_once(near.event()) {
            Poll::Ready(event) => match event.unwrap() {
                Some(Event::Message(message)) => received.push(message),
                other => panic!("{other:?}"),
            },
            Poll::Pending => {
                dropped += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    assert_eq!(received, expected);
    assert!(dropped > 1000, "{dropped} futures were dropped");
    sender.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn send_is_cancel_safe_at_every_await() {
    let (near, far) = duplex(1);
    let (mut near, mut far) = (server(near, Config::new()), client(far));
    let sent: Vec<Message> = (0..40).map(|n| Message::from("é".repeat(n * 3))).collect();
    let expected = sent.clone();
    let receiver = tokio::spawn(async move {
        let mut received = Vec::new();
        while received.len() < 40 {
            received.push(message(&mut far).await);
        }
        (received, far)
    });
    for message in sent {
        // Dropped: what is not written follows with the next one.
        assert!(poll_once(near.send(message)).is_pending());
        tokio::task::yield_now().await;
    }
    while poll_once(near.flush()).is_pending() {
        tokio::task::yield_now().await;
    }
    assert_eq!(receiver.await.unwrap().0, expected);
}

#[tokio::test(start_paused = true)]
async fn an_application_sends_while_it_reads() {
    let (near, far) = duplex(64);
    let (mut near, mut far) = (server(near, Config::new()), client(far));
    let (push, mut pushed) = tokio::sync::mpsc::channel::<Message>(1);
    let pusher = tokio::spawn(async move {
        loop {
            tokio::select! {
                event = near.event() => match event.unwrap() {
                    Some(Event::Message(message)) => near.queue(message).await.unwrap(),
                    Some(_) => {}
                    None => break,
                },
                Some(message) = pushed.recv() => near.send(message).await.unwrap(),
            }
        }
    });
    for n in 0..20 {
        push.send(Message::from(format!("pushed {n}"))).await.unwrap();
        assert_eq!(message(&mut far).await.as_text(), Some(&*format!("pushed {n}")));
        far.send(Message::from("asked")).await.unwrap();
        assert_eq!(message(&mut far).await.as_text(), Some("asked"));
    }
    far.endpoint.outbound.start_close(None, "").unwrap();
    while far.event().await.unwrap().is_some() {}
    pusher.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_came_at_once_is_answered_with_one_write() {
    let (near, mut far) = duplex(64 * 1024);
    tokio::spawn(echo(server(near, Config::new())));
    far.write_all(&b"\x81\x81\0\0\0\0a".repeat(1000)).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    let mut answers = vec![0; 64 * 1024];
    assert_eq!(far.read(&mut answers).await.unwrap(), 3000);
    assert_eq!(answers[..3000], b"\x81\x01a".repeat(1000));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_holds_the_sender_up() {
    let (near, far) = duplex(1000);
    let mut ws = server(near, Config::new());
    let blocked = async {
        loop {
            ws.queue(Message::from(vec![0; 10_000])).await.unwrap();
        }
    };
    assert!(timeout(Duration::from_secs(3600), blocked).await.is_err());
    assert!(ws.endpoint.outbound.waiting() <= 64 * 1024);
    drop(far);
    assert!(ws.flush().await.is_err());
    assert!(matches!(ws.event().await.unwrap(), Some(Event::Closed)));
    assert!(ws.event().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_dropped_at_the_handshake_deadline() {
    let (near, mut far) = duplex(1000);
    let options = Options::new().handshake_timeout(Some(Duration::from_secs(3)));
    let server = tokio::spawn(echo(WebSocket::new(near, Endpoint::server(options))));
    let start = Instant::now();
    // A byte now and then does not move the deadline.
    let dribble = async {
        for byte in REQUEST {
            far.write_all(&[*byte]).await.unwrap();
            sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(timeout(Duration::from_millis(2990), dribble).await.is_err());
    assert_eq!(far.read(&mut [0; 100]).await.unwrap(), 0);
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    drop(far);
    assert_eq!(server.await.unwrap().unwrap(), "the opening handshake took too long");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_ping_is_told_and_lost() {
    let (near, mut far) = duplex(1000);
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let config = Config::new().ping_interval(seconds(10)).pong_timeout(seconds(5));
    let start = Instant::now();
    let server = tokio::spawn(echo(server(near, config)));
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(15));
    assert_eq!(&got[..2], b"\x89\x00", "a ping");
    let close = b"\x88\x28\x03\xf3the peer did not answer a ping in time";
    assert_eq!(&got[2..], close, "Close with 1011: {got:x?}");
    assert_eq!(server.await.unwrap().unwrap(), "the peer did not answer a ping in time");
}

#[tokio::test(start_paused = true)]
async fn a_lost_peer_is_not_waited_for() {
    let (near, _far) = duplex(1000);
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let config = Config::new().ping_interval(seconds(10)).pong_timeout(seconds(5));
    let start = Instant::now();
    let error = timeout(Duration::from_secs(3600), echo(server(near, config.close_timeout(None))));
    assert_eq!(error.await.unwrap().unwrap(), "the peer did not answer a ping in time");
    assert_eq!(start.elapsed(), Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn a_lost_peer_whose_stream_fails_is_over_at_once() {
    let ((input, _silent), (output, gone)) = (duplex(10), duplex(10));
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let config = Config::new().ping_interval(seconds(10)).pong_timeout(seconds(5));
    let stream = tokio::io::join(input, output);
    let mut ws = WebSocket::new(stream, Endpoint::server_after_handshake(config, &[]));
    let start = Instant::now();
    let (event, ()) = tokio::join!(ws.event(), async {
        sleep(Duration::from_secs(12)).await;
        drop(gone); // with the Ping; the Close frame cannot be written
    });
    assert_eq!(event.unwrap_err().to_string(), "the peer did not answer a ping in time");
    assert_eq!(start.elapsed(), Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn a_pong_in_time_counts_however_late_it_is_read() {
    let (near, mut far) = duplex(1000);
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let config = Config::new().ping_interval(seconds(10)).pong_timeout(seconds(5));
    let mut ws = server(near, config);
    assert!(timeout(Duration::from_secs(11), ws.event()).await.is_err());
    far.write_all(b"\x8a\x80\0\0\0\0").await.unwrap();
    sleep(Duration::from_secs(3600)).await; // the application is busy with something else
    ws.send(Message::from("x")).await.unwrap();
    assert!(matches!(ws.event().await.unwrap(), Some(Event::Pong(_))));
    assert!(ws.endpoint.outbound.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_not_answered_ends_at_its_deadline() {
    let (near, mut far) = duplex(1000);
    let mut ws = server(near, Config::new());
    ws.endpoint.outbound.start_close(CloseCode::NORMAL, "").unwrap();
    let start = Instant::now();
    // A peer that goes on talking does not move the deadline.
    let talker = tokio::spawn(async move {
        while far.write_all(b"\x81\x81\0\0\0\0a").await.is_ok() {
            tokio::task::yield_now().await;
            sleep(Duration::from_millis(1)).await;
        }
    });
    while ws.event().await.unwrap().is_some() {}
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    drop(ws);
    talker.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_broken_rule_is_told_to_the_peer_before_the_application() {
    let (near, mut far) = duplex(1000);
    let server = tokio::spawn(echo(server(near, Config::new())));
    far.write_all(b"\x81\x81\0\0\0\0a\xff\x80\0\0\0\0").await.unwrap();
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert_eq!(&got[..3], b"\x81\x01a", "what preceded it is answered");
    assert_eq!((got[3], &got[5..7]), (0x88, &b"\x03\xea"[..]), "Close with 1002: {got:x?}");
    drop(far);
    assert!(server.await.unwrap().unwrap().contains("RFC 6455"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_answers_is_over_when_its_client_is_gone() {
    let (near, mut far) = duplex(1000);
    let mut ws = WebSocket::new(near, Endpoint::server(Config::new()));
    far.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(matches!(ws.event().await.unwrap(), Some(Event::Http(_))));
    drop(far);
    let start = Instant::now();
    assert!(ws.event().await.unwrap().is_none());
    assert_eq!(start.elapsed(), Duration::from_secs(5), "the time to answer it");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_ended_its_side_is_answered_later() {
    let (near, mut far) = duplex(1000);
    let mut ws = WebSocket::new(near, Endpoint::server(Config::new()));
    far.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    far.shutdown().await.unwrap();
    assert!(matches!(ws.event().await.unwrap(), Some(Event::Http(_))));
    assert!(timeout(Duration::from_secs(3), ws.event()).await.is_err(), "it waits for the answer");
    let page = HttpResponse::new(200).body(b"page");
    ws.endpoint.outbound.respond(&page).unwrap();
    assert!(ws.event().await.unwrap().is_none());
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert!(got.starts_with(b"HTTP/1.1 200 ") && got.ends_with(b"\r\n\r\npage"), "{got:x?}");
}

#[tokio::test(start_paused = true)]
async fn what_comes_behind_a_request_waits_for_its_answer() {
    let (near, mut far) = duplex(200_000);
    let mut ws = WebSocket::new(near, Endpoint::server(Config::new()));
    far.write_all(REQUEST).await.unwrap();
    far.write_all(&b"\x82\x85\0\0\0\0hello".repeat(15_000)).await.unwrap();
    assert!(matches!(ws.event().await.unwrap(), Some(Event::Request(_))));
    assert!(timeout(Duration::from_secs(3600), ws.event()).await.is_err());
    ws.endpoint.outbound.accept(&AcceptResponse::new()).unwrap();
    assert!(matches!(ws.event().await.unwrap(), Some(Event::Open { .. })));
    for _ in 0..15_000 {
        assert_eq!(message(&mut ws).await.as_bytes(), b"hello");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_again() {
    let (near, mut far) = duplex(1000);
    let mut ws = server(near, Config::new());
    far.write_all(b"\xff\x80\0\0\0\0").await.unwrap();
    drop(far);
    let first = ws.event().await.unwrap_err().to_string();
    assert!(first.contains("RFC 6455"), "{first}");
    assert_eq!(ws.event().await.unwrap_err().to_string(), first);
    assert_eq!(ws.flush().await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_has_ended_its_side_gets_the_rest() {
    let (near, mut far) = duplex(16);
    tokio::spawn(echo(WebSocket::new(near, Endpoint::server(Config::new()))));
    far.write_all(REQUEST).await.unwrap();
    far.write_all(b"\x81\x81\0\0\0\0a\x88\x82\0\0\0\0\x03\xe8").await.unwrap();
    far.shutdown().await.unwrap();
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert!(got.ends_with(b"\r\n\r\n\x81\x01a\x88\x02\x03\xe8"), "{}", got.escape_ascii());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_does_not_move_the_deadline_of_closing() {
    let (near, far) = duplex(1000);
    let mut ws = server(near, Config::new());
    ws.queue(Message::from(vec![0; 10_000])).await.unwrap();
    ws.endpoint.outbound.start_close(CloseCode::NORMAL, "").unwrap();
    let start = Instant::now();
    let rest = async { while ws.event().await.unwrap().is_some() {} };
    timeout(Duration::from_secs(3600), rest).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    let again = timeout(Duration::from_secs(3600), ws.flush()).await.unwrap();
    assert!(again.is_err(), "the message was not written");
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn the_keepalive_counts_from_the_last_bytes_that_came() {
    let (near, mut far) = duplex(1000);
    let config = Config::new().ping_interval(Some(Duration::from_secs(10)));
    tokio::spawn(echo(server(near, config)));
    let start = Instant::now();
    sleep(Duration::from_secs(9)).await;
    far.write_all(b"\x8a\x80\0\0\0\0").await.unwrap();
    let mut ping = [0; 2];
    far.read_exact(&mut ping).await.unwrap();
    assert_eq!((start.elapsed(), ping), (Duration::from_secs(19), [0x89, 0]));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_idle_from_the_last_message_that_was_sent() {
    let (near, mut far) = duplex(1000);
    let config = Config::new().idle_timeout(Some(Duration::from_secs(10)));
    let mut ws = server(near, config);
    let start = Instant::now();
    assert!(timeout(Duration::from_secs(9), ws.event()).await.is_err());
    ws.send(Message::from("x")).await.unwrap();
    tokio::spawn(echo(ws));
    let mut frames = [0; 7];
    far.read_exact(&mut frames).await.unwrap();
    assert_eq!(&frames, b"\x81\x01x\x88\x02\x03\xe9", "the message, and Close with 1001");
    assert_eq!(start.elapsed(), Duration::from_secs(19));
}

#[tokio::test(start_paused = true)]
async fn a_pong_that_found_no_room_follows_at_once() {
    let (near, mut far) = duplex(1000);
    let options = Options::new().max_output(10);
    tokio::spawn(echo(WebSocket::new(near, Endpoint::server_after_handshake(options, &[]))));
    far.write_all(b"\x81\x94\0\0\0\0aaaaaaaaaaaaaaaaaaaa\x89\x81\0\0\0\0b").await.unwrap();
    let mut got = [0; 25];
    timeout(Duration::from_secs(1), far.read_exact(&mut got)).await.unwrap().unwrap();
    assert_eq!(&got, b"\x81\x14aaaaaaaaaaaaaaaaaaaa\x8a\x01b");
}

/// As TLS over a connection whose peer takes nothing: it takes what is written, and cannot flush it.
struct HoldsBack(usize);

impl AsyncRead for HoldsBack {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for HoldsBack {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0 += 1;
        assert!(self.0 < 100, "it spins");
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_a_stream_holds_back_keeps_the_deadlines() {
    let second = Some(Duration::from_secs(1));
    let config = Config::new().ping_interval(second).pong_timeout(second);
    let mut ws = WebSocket::new(HoldsBack(0), Endpoint::server_after_handshake(config, &[]));
    let sent = timeout(Duration::from_secs(60), ws.send("x".into())).await;
    assert_eq!(sent.expect("in time").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_flush_fails_when_all_is_over() {
    let (near, mut far) = duplex(1000);
    let mut ws = server(near, Config::new());
    far.write_all(b"\x88\x82\0\0\0\0\x03\xe8").await.unwrap();
    far.shutdown().await.unwrap();
    while ws.event().await.unwrap().is_some() {}
    assert_eq!(ws.flush().await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}
