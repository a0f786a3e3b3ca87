//! Two drivers that talk to each other through a stream of one byte, without an executor.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_io::block_on;
use embed_smol::WebSocket;
use futures_lite::future::zip;
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite};
use ws_core::endpoint::{Endpoint, Event, Options};
use ws_core::{CloseCode, Config, Message};

struct Stream(piper::Reader, piper::Writer);

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.1).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.1).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.1).poll_close(context)
    }
}

/// Keys that are no secret.
fn fixed(bytes: &mut [u8]) -> bool {
    bytes.fill(0x5a);
    true
}

fn streams(capacity: usize) -> (Stream, Stream) {
    let ((near_in, far_out), (far_in, near_out)) = (piper::pipe(capacity), piper::pipe(capacity));
    (Stream(near_in, near_out), Stream(far_in, far_out))
}

fn pair(capacity: usize) -> (WebSocket<Stream>, WebSocket<Stream>) {
    let (near, far) = streams(capacity);
    (
        WebSocket::new(near, Endpoint::server_after_handshake(Config::new(), &[])),
        WebSocket::new(far, Endpoint::client_after_handshake(Config::new(), fixed, &[])),
    )
}

fn messages() -> Vec<Message> {
    (0..40).map(|n| Message::from("é".repeat(n * 3))).collect()
}

async fn message(ws: &mut WebSocket<Stream>) -> Message {
    loop {
        match ws.event().await.unwrap().expect("the connection is open") {
            Event::Message(message) => return message,
            _ => continue,
        }
    }
}

/// Runs what `make` gives to its end, dropping it and making it anew wherever it waits; says how often.
async fn restarted<T>(mut make: impl FnMut(&mut Context<'_>) -> Poll<T>) -> (T, usize) {
    let mut dropped = 0;
    let result = poll_fn(|context| {
        let poll = make(&mut Context::from_waker(Waker::noop()));
        if poll.is_pending() {
            dropped += 1;
            context.waker().wake_by_ref();
        }
        poll
    });
    (result.await, dropped)
}

#[test]
fn event_is_cancel_safe_at_every_await() {
    let (mut near, mut far) = pair(1);
    let sending = async {
        for message in messages() {
            far.send(message).await.unwrap();
        }
    };
    let receiving = async {
        let mut dropped = 0;
        for expected in messages() {
            let (event, times) = restarted(|context| pin!(near.event()).poll(context)).await;
            assert!(matches!(event.unwrap(), Some(Event::Message(got)) if got == expected));
            dropped += times;
        }
        assert!(dropped > 1000, "{dropped} futures were dropped");
    };
    block_on(zip(sending, receiving));
}

#[test]
fn send_is_cancel_safe_at_every_await() {
    let (mut near, mut far) = pair(1);
    let sending = async {
        for message in messages() {
            // Dropped: what is not written follows with the next one.
            let poll = pin!(near.send(message)).poll(&mut Context::from_waker(Waker::noop()));
            assert!(poll.is_pending());
        }
        restarted(|context| pin!(near.flush()).poll(context)).await.0.unwrap();
    };
    let receiving = async {
        for expected in messages() {
            assert_eq!(message(&mut far).await, expected);
        }
    };
    block_on(zip(sending, receiving));
}

#[test]
fn both_sides_end_cleanly() {
    let (mut near, mut far) = pair(1000);
    let echo = async {
        while let Some(event) = near.event().await.unwrap() {
            if let Event::Message(message) = event {
                near.queue(message).await.unwrap();
            }
        }
    };
    let ask = async {
        far.send(Message::from(vec![7; 900])).await.unwrap();
        assert_eq!(message(&mut far).await.as_bytes(), [7; 900]);
        far.endpoint.outbound.start_close(CloseCode::NORMAL, "").unwrap();
        while far.event().await.unwrap().is_some() {}
        assert!(far.endpoint.close_info().is_some_and(|info| info.clean && info.by_us));
    };
    let start = Instant::now();
    block_on(zip(echo, ask));
    // Each has shut down its side: nobody has waited for a deadline.
    assert!(start.elapsed() < Duration::from_secs(2));
    assert!(near.endpoint.close_info().is_some_and(|info| info.clean && !info.by_us));
}

#[test]
fn a_silent_client_is_dropped_at_the_handshake_deadline() {
    let (near, mut far) = streams(1000);
    let options = Options::new().handshake_timeout(Some(Duration::from_millis(300)));
    let start = Instant::now();
    let mut ws = WebSocket::new(near, Endpoint::server(options));
    let client = async {
        assert_eq!(far.read(&mut [0; 10]).await.unwrap(), 0);
        assert!(start.elapsed() >= Duration::from_millis(300));
        assert!(start.elapsed() < Duration::from_secs(2));
        drop(far);
    };
    let (event, ()) = block_on(zip(ws.event(), client));
    assert_eq!(event.unwrap_err().to_string(), "the opening handshake took too long");
}
