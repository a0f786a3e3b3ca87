//! What compressed connections hold: their windows, whatever the peer sends.
#![cfg(all(feature = "miniz_oxide", feature = "zlib-rs"))]

#[path = "attacks/bomb.rs"]
mod bomb;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ws_core::deflate::{
    Decoder, DeflateOptions, Deflater, Inflater, Limits, Need, Pool, SliceInflater, WindowBits,
};
use ws_core::{Config, Connection, Input, Instant, ProtocolError, Role, Step};

struct Counting;

thread_local! {
    /// What is allocated, in bytes, and the most there was.
    static LIVE: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(bytes: isize) {
    let _ = LIVE.try_with(|live| {
        let (now, most) = live.get();
        live.set((now + bytes, most.max(now + bytes)));
    });
}

// SAFETY: every call is passed on to `System` as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: `pointer` came from `System.alloc` with this `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that was live in `case` beyond what was before, and what still is after it.
fn most_live<T>(case: impl FnOnce() -> T) -> (T, usize, usize) {
    let (before, _) = LIVE.get();
    LIVE.set((before, before));
    let result = case();
    let (after, most) = LIVE.get();
    (result, (most - before) as usize, (after - before) as usize)
}

/// Text that is not the same twice.
fn message(i: usize) -> Vec<u8> {
    (0..20)
        .flat_map(|k| format!("{{\"price\":{},\"id\":{k}}}", i * 7919 + k).into_bytes())
        .collect()
}

fn inflate(inflater: &mut Inflater, payload: &[u8]) {
    let mut output = [0; 5000];
    let inflated = inflater.inflate(payload, true, &mut output).unwrap();
    assert_eq!(inflated.need, Need::Nothing);
}

/// Inflates a message that arrives in two parts, which takes an engine.
fn inflate_in_two(inflater: &mut Inflater, payload: &[u8]) {
    let (first, rest) = payload.split_at(1);
    assert_eq!(inflater.inflate(first, false, &mut [0; 100]).unwrap().need, Need::Input);
    inflate(inflater, rest);
}

// RFC 7692 §7.2.3.2
#[test]
fn an_idle_connection_holds_its_windows_and_nothing_else() {
    for (bits, takeover, held) in [
        (8, true, 512),
        (9, true, 1024),
        (11, true, 4096),
        (12, true, 8192),
        (15, true, 65_536),
        (15, false, 0),
    ] {
        let bits = WindowBits::new(bits).unwrap();
        let pool = Pool::new();
        let mut payload = Vec::with_capacity(1000);
        let pair = || {
            let deflater = Deflater::new(&pool, bits, DeflateOptions::new());
            let inflater = Inflater::new(&pool, bits, Limits::new());
            if takeover {
                (deflater, inflater)
            } else {
                (deflater.no_context_takeover(), inflater.no_context_takeover())
            }
        };
        // The engines are the pool's.
        let mut other = pair();
        assert!(other.0.compress(&message(0), &mut payload));
        let ((), _, kept) = most_live(|| inflate_in_two(&mut other.1, &payload));
        assert!(kept > 40_000, "an engine, {kept}");

        let ((mut deflater, mut inflater), _, new) = most_live(pair);
        assert_eq!(new, 0, "a new connection");
        for i in 0..300 {
            payload.clear();
            assert!(deflater.compress(&message(i), &mut payload));
            // The last one takes an engine.
            if i % 2 == 0 {
                inflate(&mut inflater, &payload);
            } else {
                inflate_in_two(&mut inflater, &payload);
            }
        }
        let ((), _, freed) = most_live(|| drop((deflater, inflater)));
        assert_eq!(freed.wrapping_neg(), held, "{bits:?} {takeover}");
    }
    assert!(size_of::<Deflater>() <= 72, "{}", size_of::<Deflater>());
    assert!(size_of::<Inflater>() <= 136, "{}", size_of::<Inflater>());
}

#[test]
fn short_messages_take_no_engine_to_inflate() {
    for (bits, takeover) in [(8, true), (12, true), (15, true), (15, false)] {
        let bits = WindowBits::new(bits).unwrap();
        let (pool, compressing) = (Pool::new(), Pool::new());
        let mut deflater = Deflater::new(&compressing, bits, DeflateOptions::new());
        let mut inflater = Inflater::new(&pool, bits, Limits::new());
        if !takeover {
            deflater = deflater.no_context_takeover();
            inflater = inflater.no_context_takeover();
        }
        let window = if takeover { bits.size() } else { 0 };
        for i in 0..300 {
            let mut payload = Vec::new();
            assert!(deflater.compress(&message(i)[..300], &mut payload));
            let ((), most, _) = most_live(|| inflate(&mut inflater, &payload));
            assert!(most <= window, "{most} for message {i} with {bits:?}");
        }
        let mut payload = Vec::new();
        let long: Vec<u8> = (0..4_000_u32).flat_map(|i| (i * 7919).to_be_bytes()).collect();
        deflater.compress_piece(&long, true, &mut payload);
        let (_, most, _) = most_live(|| inflater.inflate(&payload, true, &mut [0; 1000]).unwrap());
        assert!(most > 40_000, "a long one takes an engine, {most}");
    }
}

/// The payload of a message of so many literals and matches of 258 bytes, in a block with the fixed codes (RFC 1951 §3.2.6).
fn fixed(literals: usize, matches: usize) -> Vec<u8> {
    // The block is not final, and its codes are fixed. A code begins with its highest bit.
    let mut bits = vec![false, true, false];
    let code = |code: u8| (0..8).rev().map(move |bit| code >> bit & 1 == 1);
    bits.extend((0..literals).flat_map(|_| code(0x30 + b'a')));
    // The code of the length and that of the distance, which is 1.
    bits.extend((0..matches).flat_map(|_| code(0b1100_0101).chain([false; 5])));
    // The end of the block is seven zeros, and the empty block begins with three.
    bits.resize(bits.len() + 10, false);
    bits.chunks(8).map(|byte| (0..byte.len()).map(|i| u8::from(byte[i]) << i).sum()).collect()
}

#[test]
fn a_payload_of_more_than_512_bytes_or_a_message_of_4_kib_takes_an_engine() {
    for (literals, matches, bytes, len, engine) in [
        (510, 0, 512, 510, false),
        (511, 0, 513, 511, true),
        (225, 15, 251, 4_095, false),
        (226, 15, 252, 4_096, true),
    ] {
        let mut inflater = Inflater::new(&Pool::new(), WindowBits::MIN, Limits::new());
        let payload = fixed(literals, matches);
        assert_eq!((payload.len(), literals + 258 * matches), (bytes, len));
        let ((), most, _) = most_live(|| inflate(&mut inflater, &payload));
        assert_eq!(most > 40_000, engine, "{most} for {bytes} bytes that stand for {len}");
    }
}

// RFC 6455 §10.4
#[test]
fn a_gibibyte_of_zeros_stops_at_the_limit_and_costs_an_engine() {
    const LIMIT: usize = 1 << 20;
    let payload = bomb::bomb(1024);
    assert!((1_000_000..1_200_000).contains(&payload.len()), "{}", payload.len());
    let limits = Limits::new().max_message(LIMIT as u64);
    for fragment in [1, payload.len()] {
        let mut output = vec![0; 4096];
        let mut message = Vec::with_capacity(LIMIT);
        let (inflated, most, _) = most_live(|| {
            let mut inflater = Inflater::new(&Pool::new(), WindowBits::MAX, limits);
            for input in payload.chunks(fragment) {
                let mut rest = input;
                loop {
                    match inflater.inflate(rest, false, &mut output) {
                        Err(error) => {
                            assert_eq!(error, ProtocolError::MessageTooLarge);
                            return message.len();
                        }
                        Ok(inflated) => {
                            message.extend_from_slice(&output[..inflated.produced]);
                            rest = &rest[inflated.consumed..];
                            if inflated.need == Need::Input {
                                break;
                            }
                        }
                    }
                }
            }
            0
        });
        assert_eq!(inflated, LIMIT);
        // One engine, and a window that grows.
        assert!(most < 110_000, "{most}");
    }
}

#[test]
fn a_message_of_a_gibibyte_passes_in_pieces_without_being_held() {
    let payload = bomb::bomb(1024);
    let limits = Limits::new().max_message(1 << 30);
    let mut output = vec![0; 1 << 16];
    let (inflated, most, _) = most_live(|| {
        let mut inflater = Inflater::new(&Pool::new(), WindowBits::MAX, limits);
        let (mut inflated, mut rest) = (0, &payload[..]);
        loop {
            let done = inflater.inflate(rest, true, &mut output).unwrap();
            rest = &rest[done.consumed..];
            inflated += done.produced;
            if done.need == Need::Nothing {
                return inflated;
            }
        }
    });
    assert_eq!(inflated, 1 << 30);
    assert!(most < 100_000, "{most}");
}

// The tier without an allocator
#[test]
fn an_inflater_in_a_slice_allocates_nothing() {
    // RFC 7692 §7.2.3.1, as a server sends it, and a message of dynamic codes.
    let plain = [message(1), message(2), message(3)].concat();
    let mut text = Vec::new();
    let mut deflater = Deflater::new(&Pool::new(), WindowBits::MIN, DeflateOptions::new().level(9));
    assert!(deflater.compress(&plain, &mut text) && text.len() > 125);
    let mut frames = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\xc1\x7e".to_vec();
    frames.extend_from_slice(&(text.len() as u16).to_be_bytes());
    frames.extend_from_slice(&text);
    let (inflated, most, _) = most_live(|| {
        let (mut window, mut decoder) = ([0; 256], Decoder::new());
        let mut inflater = SliceInflater::new(&mut window, &mut decoder, Limits::new()).unwrap();
        let mut connection = Connection::with_compression(Role::Client, Config::new(), true);
        let mut input = Input::new(&mut frames);
        let mut inflated = 0;
        while let Step::Data(chunk) = connection.next(&mut input, || Instant::from_millis(0)) {
            let mut pieces = inflater.push(&chunk);
            while let Some(piece) = pieces.next_piece().unwrap() {
                inflated += piece.bytes.len();
            }
        }
        inflated
    });
    assert_eq!((inflated, most), (5 + plain.len(), 0));
    assert!(size_of::<Decoder>() <= 11 << 10, "{}", size_of::<Decoder>());
    assert!(size_of::<SliceInflater<'_>>() <= 128, "{}", size_of::<SliceInflater<'_>>());
}

#[test]
fn the_length_of_a_slice_is_that_of_a_window() {
    let mut decoder = Decoder::new();
    for len in [0, 1, 128, 255, 257, 4095, 65_536] {
        let mut window = vec![0; len];
        assert!(SliceInflater::new(&mut window, &mut decoder, Limits::new()).is_none(), "{len}");
    }
    for bits in 8..=15 {
        let mut window = vec![0; 1 << bits];
        assert!(SliceInflater::new(&mut window, &mut decoder, Limits::new()).is_some(), "{bits}");
    }
}

#[test]
fn an_engine_whose_message_was_not_shorter_is_used_again() {
    let pool = Pool::new();
    let mut deflater = Deflater::new(&pool, WindowBits::MAX, DeflateOptions::new());
    let mut payload = Vec::with_capacity(1000);
    let noise: Vec<u8> =
        (0..200_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert!(!deflater.compress(&noise, &mut payload));
    let (compressed, most, _) = most_live(|| deflater.compress(&message(0), &mut payload));
    assert!(compressed && most < 10_000, "{most}");
}
