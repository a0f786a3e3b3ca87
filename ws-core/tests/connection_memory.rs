//! A connection holds nothing but its own bytes: no allocation, whatever a peer sends.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{BINARY, CONT, FIN, PING, ROLES, START, TEXT, ask, key, length, to};
use ws_core::message::SliceAssembler;
use ws_core::{CloseCode, Config, Connection, DataFrame, Input, Instant, Role, Step};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to `System` as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System.alloc` with this `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `case` and checks that this thread has not allocated in it.
#[track_caller]
fn without_allocation<T>(case: impl FnOnce() -> T) -> T {
    let before = ALLOCATIONS.get();
    let result = case();
    assert_eq!(ALLOCATIONS.get() - before, 0, "allocations");
    result
}

/// What came of some bytes, counted.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    role: Role,
    chunks: usize,
    messages: usize,
    payload: usize,
    controls: usize,
    /// Bytes of control frames.
    sent: usize,
}

impl Counts {
    const fn new(role: Role) -> Self {
        Self { role, chunks: 0, messages: 0, payload: 0, controls: 0, sent: 0 }
    }

    /// The length of the Pong or Ping with the longest payload.
    fn longest(role: Role) -> usize {
        if role == Role::Server { 127 } else { 131 }
    }
}

/// Receives `bytes` in place. What is owed is encoded into `out`, or stays owed while a payload is under way.
fn receive(connection: &mut Connection, bytes: &mut [u8], out: &mut [u8], counts: &mut Counts) {
    let mut input = Input::new(bytes);
    loop {
        match connection.next(&mut input, || START) {
            Step::Data(chunk) => {
                counts.chunks += 1;
                counts.messages += usize::from(chunk.end);
                counts.payload += chunk.bytes.len();
            }
            Step::Ping | Step::Pong | Step::Close => counts.controls += 1,
            Step::Transmit => {
                counts.sent += connection.sender.transmit(out, key(counts.role)).unwrap();
            }
            Step::Shutdown(_) | Step::Wait(_) | Step::Done => return,
            Step::Failed(error) => panic!("{error}"),
        }
    }
}

#[test]
fn the_count_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![0u8; 100]));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

#[test]
fn connection_is_small() {
    assert!(size_of::<Connection>() <= 416, "{} bytes", size_of::<Connection>());
}

#[test]
fn messages_need_no_allocation() {
    for role in ROLES {
        let text = to(role, FIN | TEXT, "gr\u{fc}n".as_bytes());
        let long = to(role, FIN | BINARY, &[7; 70_000]);
        let ping = to(role, FIN | PING, &[1; 125]);
        let close = to(role, FIN | 0x8, b"\x03\xe8bye");
        let stream = [text, long, ping].concat();
        let mut buffer = stream.clone();
        let mut close = close;
        without_allocation(|| {
            let mut connection = Connection::new(role, Config::new());
            let mut counts = Counts::new(role);
            let mut out = [0; 131];
            for _ in 0..10 {
                buffer.copy_from_slice(&stream);
                receive(&mut connection, &mut buffer, &mut out, &mut counts);
                let sender = &mut connection.sender;
                sender.encode(DataFrame::TEXT, b"answer", key(role), &mut out).unwrap();
                sender.head(DataFrame::BINARY, 6, key(role)).unwrap();
                sender.mask_payload(&mut [0; 6]).unwrap();
                sender.ping(b"", key(role), &mut out).unwrap();
                let step = ask(&mut connection, &mut Input::new(&mut []), Instant::from_millis(1));
                assert!(matches!(step, Step::Wait(None)));
            }
            let sent = 10 * Counts::longest(role);
            let expected =
                Counts { role, chunks: 20, messages: 20, payload: 700_050, controls: 10, sent };
            assert_eq!(counts, expected);
            connection.sender.start_close(CloseCode::NORMAL, "bye", key(role), &mut out).unwrap();
            receive(&mut connection, &mut close, &mut out, &mut counts);
            assert_eq!(connection.receiver.close_frame().unwrap().reason, "bye");
            connection.receiver.receive_eof();
            assert!(matches!(
                connection.next(&mut Input::new(&mut []), || START),
                Step::Shutdown(_)
            ));
            assert!(matches!(connection.next(&mut Input::new(&mut []), || START), Step::Done));
        });
    }
}

// A length is a promise of the peer, nothing is set aside for it.
#[test]
fn a_declared_length_costs_nothing() {
    for role in ROLES {
        for len in [1u64 << 20, 1 << 40, 1 << 62, (1 << 63) - 1] {
            let mut bytes = length(role, FIN | BINARY, 127, &len.to_be_bytes());
            bytes.extend([0; 14]);
            without_allocation(|| {
                let config = Config::new().max_frame(u64::MAX).max_message(u64::MAX);
                let mut connection = Connection::new(role, config);
                let mut counts = Counts::new(role);
                receive(&mut connection, &mut bytes, &mut [], &mut counts);
                let payload = if role == Role::Server { 10 } else { 14 };
                assert_eq!(counts, Counts { chunks: 1, payload, ..Counts::new(role) });
            });
        }
    }
}

// 10^6 empty and 10^6 one-byte continuations of one message, then its end
#[test]
fn fragment_floods_cost_nothing() {
    const FLOOD: usize = 1_000_000;
    for role in ROLES {
        for payload in [&b""[..], b"x"] {
            let start = to(role, TEXT, b"");
            let fragment = to(role, CONT, payload);
            let end = to(role, FIN | CONT, b"");
            let (mut start, mut buffer, mut end) = (start, fragment.clone(), end);
            let mut storage = vec![0; FLOOD];
            without_allocation(|| {
                let mut connection = Connection::new(role, Config::new());
                let mut messages = SliceAssembler::new(&mut storage);
                let mut counts = Counts::new(role);
                receive(&mut connection, &mut start, &mut [], &mut counts);
                for _ in 0..FLOOD {
                    buffer.copy_from_slice(&fragment);
                    let mut input = Input::new(&mut buffer);
                    let Step::Data(chunk) = ask(&mut connection, &mut input, START) else {
                        panic!("a chunk for each frame");
                    };
                    assert_eq!(messages.push(&chunk), Ok(None));
                }
                let mut input = Input::new(&mut end);
                let Step::Data(chunk) = ask(&mut connection, &mut input, START) else {
                    panic!("the message ends");
                };
                let (_, message) = messages.push(&chunk).unwrap().unwrap();
                assert_eq!(message.len(), FLOOD * payload.len());
            });
        }
    }
}

// 1 MiB in reads of one byte, header and all
#[test]
fn one_byte_reads_cost_nothing() {
    for role in ROLES {
        let mut bytes = to(role, FIN | BINARY, &vec![9; 1 << 20]);
        without_allocation(|| {
            let mut connection = Connection::new(role, Config::new());
            let mut counts = Counts::new(role);
            for byte in bytes.chunks_mut(1) {
                receive(&mut connection, byte, &mut [], &mut counts);
            }
            let expected =
                Counts { chunks: 1 << 20, messages: 1, payload: 1 << 20, ..Counts::new(role) };
            assert_eq!(counts, expected);
        });
    }
}

// 10^5 pings, nothing written because a payload is under way: one slot
#[test]
fn ping_floods_cost_nothing() {
    for role in ROLES {
        let ping = to(role, FIN | PING, &[3; 125]);
        let mut buffer = ping.clone();
        without_allocation(|| {
            let mut connection = Connection::new(role, Config::new());
            connection.sender.head(DataFrame::BINARY, 1, key(role)).unwrap();
            let mut counts = Counts::new(role);
            for _ in 0..100_000 {
                buffer.copy_from_slice(&ping);
                receive(&mut connection, &mut buffer, &mut [], &mut counts);
            }
            assert_eq!(counts, Counts { controls: 100_000, ..Counts::new(role) });
            let mut out = [0; 131];
            assert_eq!(connection.sender.transmit(&mut out, key(role)), Ok(0));
            connection.sender.mask_payload(&mut [0]).unwrap();
            let longest = Counts::longest(role);
            assert_eq!(connection.sender.transmit(&mut out, key(role)), Ok(longest));
            assert_eq!(connection.sender.transmit(&mut out, key(role)), Ok(0));
        });
    }
}
