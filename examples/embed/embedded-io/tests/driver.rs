//! The driver on a scripted stream, in simulated time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use embed_embedded_io::{Stream, serve};
use embedded_io_async::{ErrorType, Read, Write};
use futures_lite::future::block_on;
use ws_core::{Config, Connection, Input, Instant, Step};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const OPENING: Duration = Duration::from_secs(10);

thread_local! {
    static NOW: Cell<u32> = const { Cell::new(0) };
}

/// What arrives, and after how many milliseconds; nothing at all is the end of the stream.
struct Wire {
    input: VecDeque<(u32, Vec<u8>)>,
    output: Rc<RefCell<Vec<u8>>>,
    shut: Rc<Cell<bool>>,
}

impl ErrorType for Wire {
    type Error = Infallible;
}

impl Read for Wire {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        poll_fn(|_| match self.input.front_mut() {
            Some((at, bytes)) if *at <= NOW.get() => {
                let len = bytes.len().min(buffer.len());
                buffer[..len].copy_from_slice(&bytes[..len]);
                bytes.drain(..len);
                if bytes.is_empty() && len != 0 {
                    self.input.pop_front();
                }
                Poll::Ready(Ok(len))
            }
            _ => Poll::Pending,
        })
        .await
    }
}

impl Write for Wire {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        assert!(!self.shut.get(), "nothing is written after the end");
        let len = bytes.len().min(100);
        self.output.borrow_mut().extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Stream for Wire {
    fn shutdown_write(&mut self) {
        self.shut.set(true);
    }

    fn now() -> Instant {
        Instant::from_millis(NOW.get())
    }

    async fn within<F: Future>(limit: Duration, operation: F) -> Option<F::Output> {
        let mut operation = pin!(operation);
        let end = NOW.get() + u32::try_from(limit.as_millis()).expect("a limit");
        poll_fn(|context| {
            loop {
                match operation.as_mut().poll(context) {
                    Poll::Ready(output) => return Poll::Ready(Some(output)),
                    Poll::Pending if NOW.get() >= end => return Poll::Ready(None),
                    Poll::Pending => NOW.set(NOW.get() + 1),
                }
            }
        })
        .await
    }
}

/// Echoes what arrives, through a buffer of 512 bytes. Returns whether it was closed cleanly, the
/// output, and whether the write side was shut down.
fn run(config: Config, input: impl Into<VecDeque<(u32, Vec<u8>)>>) -> (bool, Vec<u8>, bool) {
    let (output, shut) = (Rc::default(), Rc::new(Cell::new(false)));
    let wire = Wire { input: input.into(), output: Rc::clone(&output), shut: Rc::clone(&shut) };
    let mut buffer = [0; 512];
    let echo =
        serve(wire, (config, OPENING), &mut buffer, |chunk| Some((chunk.frame(), chunk.bytes)));
    let Ok(clean) = block_on(echo);
    (clean, output.take(), shut.get())
}

/// A request with these bytes right behind it.
fn request(frames: &[u8]) -> Vec<u8> {
    [REQUEST.as_bytes(), b"\r\n", frames].concat()
}

/// What follows the head that opens the connection.
fn frames(output: &[u8]) -> &[u8] {
    assert!(output.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(output));
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    &output[end + 4..]
}

#[test]
fn frames_behind_the_request_are_answered_and_the_close_is_clean() {
    let input = request(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x88\x80\0\0\0\0");
    let (clean, output, shut) = run(Config::new(), [(0, input), (5, Vec::new())]);
    assert_eq!((clean, frames(&output), shut), (true, &b"\x81\x05Hello\x88\x00"[..], true));
}

#[test]
fn a_message_larger_than_the_buffer_passes_with_a_ping_inside() {
    let payload: Vec<u8> = (0..100_000_u32).map(|at| (at >> 3) as u8).collect();
    let mut input = request(b"\x02\xff\0\0\0\0\0\x01\x86\xa0\0\0\0\0");
    input.extend_from_slice(&payload);
    input.extend_from_slice(b"\x89\x81\0\0\0\0x\x80\x80\0\0\0\0");
    let (clean, output, _) = run(Config::new(), [(0, input), (5, Vec::new())]);
    assert!(!clean);

    let (mut client, mut echoed, mut ended, mut pongs) =
        (Connection::client(Config::new()), Vec::new(), false, 0);
    let mut received = frames(&output).to_vec();
    let mut input = Input::new(&mut received);
    loop {
        match client.next(&mut input, Wire::now) {
            Step::Data(chunk) => {
                echoed.extend_from_slice(chunk.bytes);
                ended = chunk.end;
            }
            Step::Pong => pongs += 1,
            Step::Wait(_) => break,
            step => panic!("nothing else was asked for: {step:?}"),
        }
    }
    assert!(echoed == payload && ended);
    assert_eq!(pongs, 1);
}

#[test]
fn a_silent_client_is_asked_and_then_given_up() {
    let config = Config::new()
        .ping_interval(Some(Duration::from_secs(20)))
        .pong_timeout(Some(Duration::from_secs(5)));
    // It answers the first Ping, and no other.
    let pong = b"\x8a\x80\0\0\0\0".to_vec();
    let (clean, output, shut) = run(config, [(100, request(b"")), (21_000, pong)]);
    assert!(!clean);
    assert!(frames(&output).starts_with(b"\x89\x00\x89\x00"), "{:02x?}", frames(&output));
    assert!(shut);
    assert_eq!(NOW.get(), 46_000);
}

#[test]
fn a_request_that_does_not_come_is_not_waited_for() {
    let half = REQUEST.as_bytes().to_vec();
    assert_eq!(run(Config::new(), [(1000, half)]), (false, Vec::new(), false));
    assert_eq!(NOW.get(), 10_000);
}

#[test]
fn a_request_from_elsewhere_is_refused() {
    let input = format!("{REQUEST}Origin: http://b\r\n\r\n").into_bytes();
    let (clean, output, shut) = run(Config::new(), [(0, input), (5, Vec::new())]);
    assert_eq!((clean, shut), (false, true));
    assert!(output.starts_with(b"HTTP/1.1 403 "), "{}", String::from_utf8_lossy(&output));
}

#[test]
fn a_request_larger_than_the_buffer_is_refused() {
    let input = format!("{REQUEST}X: {}\r\n\r\n", "x".repeat(1000)).into_bytes();
    let (clean, output, shut) = run(Config::new(), [(0, input), (5, Vec::new())]);
    assert_eq!((clean, shut), (false, true));
    assert!(output.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&output));
}

#[test]
fn an_error_is_told_and_the_end_of_the_stream_not_awaited_for_ever() {
    let input = request(b"\x81\x81\0\0\0\0x\x81\x05Hello");
    let (clean, output, shut) = run(Config::new(), [(0, input)]);
    assert_eq!(frames(&output), b"\x81\x01x\x88\x02\x03\xea");
    assert_eq!((clean, shut), (false, true));
    assert_eq!(NOW.get(), 5000);
}
