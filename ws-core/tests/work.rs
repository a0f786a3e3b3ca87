//! Work grows as what comes does, and no faster: as many questions, allocations and allocated bytes as there are frames or
//! bytes. `conformance/work` runs each test here at three lengths and compares the instructions that it takes.
#![cfg(feature = "endpoint")]

mod common;
mod ends;
mod meter;

use common::*;
use ends::*;
use meter::Meter;
use ws_core::endpoint::{Event, Next, Options};
use ws_core::handshake::{AcceptResponse, ClientRequest};
use ws_core::{Config, Endpoint, Message};

/// How much comes, which `conformance/work` sets.
fn length() -> usize {
    std::env::var("WORK_LENGTH").map_or(100_000, |text| text.parse().expect("a number"))
}

/// What has been done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    asked: usize,
    told: usize,
    bytes: usize,
}

/// Passes these bytes in pieces, and does what is answered but write.
fn pass(endpoint: &mut Endpoint, bytes: &[u8], piece: usize, done: &mut Done) {
    for mut piece in bytes.chunks(piece) {
        while !piece.is_empty() {
            let taken = endpoint.inbound.receive(piece);
            assert_ne!(taken, 0, "no progress");
            piece = &piece[taken..];
            loop {
                done.asked += 1;
                match endpoint.next_ref(|| AT(0)) {
                    Next::Event((event, _)) => {
                        done.told += 1;
                        done.bytes += match event {
                            Event::Message(message) => message.as_bytes().len(),
                            Event::Chunk { bytes, .. } | Event::Ping(bytes) => bytes.len(),
                            Event::Request(_) | Event::Open { .. } => 0,
                            other => panic!("{other:?}"),
                        };
                    }
                    Next::Write { .. } | Next::Wait { .. } => break,
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

/// The allocations double what there is: there are few, and all together have at most eight times the bytes.
#[track_caller]
fn few_allocations(meter: &Meter, bytes: usize) {
    let (calls, allocated) = (meter.calls(), meter.allocated());
    assert!(calls <= 64, "{calls} allocations");
    assert!(allocated <= 8 * bytes + 512 * 1024, "{allocated} bytes for {bytes}");
}

/// One message in so many fragments with this payload, and its end.
fn continuations(kind: u8, payload: &[u8], streaming: bool) {
    let length = length().next_multiple_of(1000);
    for role in ROLES {
        let (start, end) = (to(role, kind, b""), to(role, FIN | CONT, b""));
        let fragments = to(role, CONT, payload).repeat(1000);
        let meter = Meter::new();
        let mut endpoint = open(role, Config::new().max_message(u64::MAX));
        endpoint.inbound.set_streaming(streaming);
        let mut done = Done::default();
        pass(&mut endpoint, &start, usize::MAX, &mut done);
        for _ in 0..length / 1000 {
            pass(&mut endpoint, &fragments, usize::MAX, &mut done);
        }
        pass(&mut endpoint, &end, usize::MAX, &mut done);
        assert_eq!(done.bytes, length * payload.len());
        let (asked, told) = if streaming { (2 * length, length + 2) } else { (length / 100, 1) };
        assert!(done.asked <= asked + 100 && done.told <= told, "{role:?} {done:?}");
        few_allocations(&meter, done.bytes);
    }
}

// CVE-2026-65623
#[test]
fn one_byte_continuations() {
    continuations(BINARY, b"x", false);
}

#[test]
fn one_byte_continuations_of_text() {
    continuations(TEXT, b"x", false);
}

#[test]
fn empty_continuations() {
    continuations(TEXT, b"", false);
}

#[test]
fn one_byte_continuations_that_are_streamed() {
    continuations(TEXT, b"x", true);
}

// Each has a byte of the same compressed message.
#[cfg(feature = "zlib-rs")]
#[test]
fn one_byte_continuations_that_are_compressed() {
    use ws_core::deflate::{DeflateOptions, DeflateParams, Deflater, Pool, WindowBits};
    use ws_core::endpoint::Compression;
    let text: String = (0..length() / 2).map(|n| format!("{:x}", n * n % 65_521)).collect();
    let pool = Pool::new();
    let mut payload = Vec::new();
    Deflater::new(&pool, WindowBits::MAX, DeflateOptions::new()).compress_piece(
        text.as_bytes(),
        true,
        &mut payload,
    );
    for role in ROLES {
        let fragment = |byte: &u8| to(role, CONT, &[*byte]);
        let stream: Vec<u8> = payload.iter().flat_map(fragment).collect();
        let (start, end) = (to(role, 0x40 | TEXT, b""), to(role, FIN | CONT, b""));
        let mut done = Done::default();
        let compression = Compression::new(&pool).agreed(DeflateParams::default());
        let mut endpoint = open(role, Options::new().deflate(compression));
        let meter = Meter::new();
        for part in [start, stream, end] {
            pass(&mut endpoint, &part, 64 * 1024, &mut done);
        }
        assert_eq!((done.told, done.bytes), (1, text.len()));
        few_allocations(&meter, text.len());
    }
}

#[test]
fn a_frame_in_reads_of_one_byte() {
    for role in ROLES {
        for kind in [TEXT, BINARY] {
            let frame = to(role, FIN | kind, &vec![b'x'; length()]);
            let meter = Meter::new();
            let mut endpoint = open(role, Config::new().max_frame(u64::MAX).max_message(u64::MAX));
            let mut done = Done::default();
            pass(&mut endpoint, &frame, 1, &mut done);
            assert_eq!(done, Done { asked: frame.len() + 1, told: 1, bytes: length() });
            few_allocations(&meter, length());
        }
    }
}

// CVE-2023-43669: a head is not parsed again for each byte.
#[test]
fn a_head_in_reads_of_one_byte() {
    let field = format!("\r\nX: {}\r\n\r\n", "y".repeat(length()));
    let options = Options::new().max_head(usize::MAX);
    let request = REQUEST.replace("\r\n\r\n", &field);
    let mut server = Endpoint::server(options.clone());
    let mut done = Done::default();
    let meter = Meter::new();
    pass(&mut server, request.as_bytes(), 1, &mut done);
    assert_eq!(done, Done { asked: request.len() + 1, told: 1, bytes: 0 });
    few_allocations(&meter, request.len());
    server.outbound.accept(&AcceptResponse::new()).unwrap();
    let response = RESPONSE.replace("\r\n\r\n", &field);
    let mut client = asking(&ClientRequest::new("example.com", "/chat?room=1"), options);
    let mut done = Done::default();
    let meter = Meter::new();
    pass(&mut client, response.as_bytes(), 1, &mut done);
    assert_eq!(done, Done { asked: response.len() + 1, told: 1, bytes: 0 });
    few_allocations(&meter, response.len());
}

// CVE-2026-11586: Pongs that nobody takes.
#[test]
fn pings_whose_pongs_wait() {
    for role in ROLES {
        let ping = to(role, FIN | PING, b"x");
        let meter = Meter::new();
        let mut endpoint = open(role, Options::new().max_output(10_000));
        let mut done = Done::default();
        for _ in 0..length() {
            pass(&mut endpoint, &ping, usize::MAX, &mut done);
        }
        assert_eq!((done.told, done.bytes), (length(), length()));
        assert!(endpoint.outbound.waiting() < 10_000 + 131);
        few_allocations(&meter, 10_000);
    }
}

#[test]
fn output_that_is_taken_byte_by_byte() {
    let large = Message::from(vec![7; 5000]);
    for role in ROLES {
        let mut endpoint = open(role, Options::new().max_output(usize::MAX));
        let mut left = 0;
        while left < length() {
            endpoint.outbound.queue(large.clone()).unwrap();
            (0..10).for_each(|_| endpoint.outbound.queue("some text").unwrap());
            left = endpoint.outbound.waiting();
        }
        let meter = Meter::new();
        while write(&mut endpoint, 0, 1) == 1 {
            left -= 1;
        }
        assert_eq!(left, 0);
        assert_eq!(meter.calls(), 0, "{role:?}");
    }
}
