//! Whatever the order in which a reader and the writers go on, what they put into the output is written, and in order.
//!
//! Shuttle chooses the orders; `conformance/schedules` builds the crate with it.

use std::io::{self, Read, Write};

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Arc;
use ws_core::endpoint::Endpoint;

use super::*;
use crate::schedules::{at_random, at_random_times, let_others_go_on, with_few_switches};

/// The thread that closes waits for fewer steps, even if it alone goes on.
const LONG: u32 = 4 * CLOSE_LOCK_WAIT;
/// Each thread puts this much into the output, one after the other.
const EACH: u8 = 2;

/// A stream that accepts at most three bytes at once.
#[derive(Clone, Debug)]
struct Pipe {
    written: Arc<Mutex<Vec<u8>>>,
    /// Whether it sometimes accepts nothing, and sometimes takes so long that a Close frame is left to the thread that writes.
    is_slow: bool,
}

impl Read for Pipe {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match thread_rng().gen_range(0..4) {
            0 if self.is_slow => return Err(io::ErrorKind::WouldBlock.into()),
            1 if self.is_slow => (0..LONG).for_each(|_| thread::yield_now()),
            _ => {}
        }
        let count = bytes.len().min(3);
        lock(&self.written).extend(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Pipe {
    fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }
}

/// So many threads send, and a reader answers Pings, and closes if `closes` is set. Only then the stream may be slow: nothing but a
/// Close frame is certain to be written to a stream that accepts nothing at the moment.
fn everything_is_written(writers: u8, closes: bool, is_slow: bool) {
    let Endpoint { outbound, .. } = Endpoint::server_after_handshake(ws_core::Config::new(), b"");
    let pipe = Pipe { written: Arc::new(Mutex::new(Vec::new())), is_slow };
    let shared = Arc::new(SharedWriter::new(outbound, Link::new(pipe.clone(), Instant::now())));
    let mut threads: Vec<_> = (0..writers)
        .map(|writer| {
            let shared = shared.clone();
            thread::spawn(move || {
                for n in 0..EACH {
                    let message = [writer, n];
                    let sent = shared.send(|| shared.queue(|out| out.queue_ref(&message[..])));
                    assert!(closes || sent.is_ok(), "{sent:?}");
                }
            })
        })
        .collect();
    let (reader, mut link) = (shared.clone(), Link::new(pipe.clone(), Instant::now()));
    threads.push(thread::spawn(move || {
        for n in 0..EACH {
            let_others_go_on();
            reader.outbound().pong(&[writers, n]).unwrap();
            Sending::try_write(&mut &*reader, &mut link).unwrap();
        }
        if closes {
            let_others_go_on();
            reader.outbound().start_close(ws_core::CloseCode::NORMAL, "").unwrap();
            reader.write_close().unwrap();
        }
    }));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(shared.outbound().waiting(), 0, "some of the output was left");
    let written = lock(&pipe.written).clone();
    let mut rest = &written[..];
    let mut next = vec![0; usize::from(writers) + 1];
    let mut is_closed = false;
    while let [first, len, tail @ ..] = rest {
        assert!(!is_closed, "{written:02x?}");
        let (payload, tail) = tail.split_at(usize::from(*len));
        match first {
            0x88 => is_closed = true,
            _ => {
                let [who, n] = payload else { panic!("{written:02x?}") };
                let next = &mut next[usize::from(*who)];
                assert_eq!(n, next, "{written:02x?}");
                *next += 1;
            }
        }
        rest = tail;
    }
    assert_eq!(is_closed, closes);
    // What is sent after the Close frame is refused.
    assert!(closes || next.iter().all(|next| *next == EACH), "{next:?}");
}

#[test]
fn one_writer_and_the_reader_leave_nothing() {
    // Few orders show that the holder of the stream has to look again.
    at_random_times(5, || everything_is_written(1, false, false));
}

#[test]
fn two_writers_and_the_reader_leave_nothing() {
    at_random(|| everything_is_written(2, false, false));
}

#[test]
fn two_writers_and_a_reader_that_closes_leave_nothing() {
    at_random(|| everything_is_written(2, true, false));
}

#[test]
fn orders_with_few_switches_leave_nothing() {
    with_few_switches(|| everything_is_written(2, true, false));
}

#[test]
fn a_close_frame_that_is_left_to_a_writer_is_written() {
    at_random(|| everything_is_written(1, true, true));
}
