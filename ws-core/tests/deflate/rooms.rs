//! Tiny rooms for output: nothing is written outside of them, and no byte is lost (CVE-2026-29035).

use ws_core::ProtocolError::{self, MessageTooLarge};
use ws_core::deflate::{
    Decoder, DeflateOptions, Deflater, Inflater, Limits, Need, Pool, SliceInflater, WindowBits,
};
use ws_core::{Config, Connection, Input, Instant, Role, Step};

use crate::engines::frame;
use crate::rules::{compressed, noise, text};

const GUARD: [u8; 64] = [0xa5; 64];

/// Messages, and the payloads that stand for them: blocks of each kind, and matches of all lengths.
fn cases() -> Vec<(Vec<u8>, Vec<u8>)> {
    let plain =
        [Vec::new(), b"x".to_vec(), text(400), vec![7; 1000], noise(100), text(90).repeat(3)];
    let levels = [0, 1, 6, 9];
    let case = |plain: &Vec<u8>| levels.map(|level| (plain.clone(), compressed(plain, 9, level)));
    plain.iter().flat_map(case).collect()
}

/// Inflates a payload, that comes in pieces of this size, into these rooms in turn, which lie between guards.
fn inflate(
    pool: &Pool,
    limits: Limits,
    payload: &[u8],
    piece: usize,
    rooms: &[usize],
) -> (Vec<u8>, Result<(), ProtocolError>) {
    let mut inflater = Inflater::new(pool, WindowBits::new(9).unwrap(), limits);
    let mut rooms = rooms.iter().copied().cycle();
    let mut message = Vec::new();
    let (mut input, mut rest) = payload.split_at(piece.min(payload.len()));
    loop {
        let room = rooms.next().unwrap();
        let mut memory = [&GUARD[..], &vec![0; room], &GUARD].concat();
        let output = &mut memory[GUARD.len()..][..room];
        let inflated = match inflater.inflate(input, rest.is_empty(), output) {
            Ok(inflated) => inflated,
            Err(error) => return (message, Err(error)),
        };
        message.extend_from_slice(&output[..inflated.produced]);
        assert!(memory.starts_with(&GUARD) && memory.ends_with(&GUARD), "{room}");
        input = &input[inflated.consumed..];
        match inflated.need {
            Need::Output => {}
            Need::Input => (input, rest) = rest.split_at(piece.min(rest.len())),
            Need::Nothing => return (message, Ok(())),
        }
    }
}

#[test]
fn an_inflater_writes_into_its_room_and_not_beyond() {
    let pool = Pool::new();
    let sizes = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 257, 258, 259, 260];
    let constant = sizes.map(|room| vec![room]);
    let changing = [vec![0, 1], vec![1, 0, 0, 2, 3], vec![258, 1, 2], vec![3, 300, 0, 1, 17]];
    for (plain, payload) in cases() {
        for rooms in constant.iter().chain(&changing) {
            for piece in [1, 2, 3, usize::MAX] {
                let inflated = inflate(&pool, Limits::new(), &payload, piece, rooms);
                assert!(inflated == (plain.clone(), Ok(())), "{rooms:?} {piece} {payload:02x?}");
                // A limit ends it at the same byte.
                if let Some(limit) = plain.len().checked_sub(1) {
                    let limits = Limits::new().max_message(limit as u64);
                    let inflated = inflate(&pool, limits, &payload, piece, rooms);
                    let expected = (plain[..limit].to_vec(), Err(MessageTooLarge));
                    assert!(inflated == expected, "{rooms:?} {piece} {payload:02x?}");
                }
            }
        }
    }
}

// Its room is the window.
#[test]
fn an_inflater_in_a_slice_writes_into_it_and_not_beyond() {
    for (plain, payload) in cases() {
        for piece in [1, 2, 3, payload.len()] {
            let mut memory = [&GUARD[..], &[0; 512], &GUARD].concat();
            let mut decoder = Decoder::new();
            let window = &mut memory[GUARD.len()..][..512];
            let mut inflater = SliceInflater::new(window, &mut decoder, Limits::new()).unwrap();
            let mut connection = Connection::with_compression(Role::Client, Config::new(), true);
            let mut message = Vec::new();
            let count = payload.chunks(piece).len();
            for (at, part) in payload.chunks(piece).enumerate() {
                let mut frame = frame(at == 0, at + 1 == count, part);
                let mut input = Input::new(&mut frame);
                while let Step::Data(chunk) =
                    connection.next(&mut input, || Instant::from_millis(0))
                {
                    let mut pieces = inflater.push(&chunk);
                    while let Some(piece) = pieces.next_piece().unwrap() {
                        message.extend_from_slice(piece.bytes);
                    }
                }
            }
            assert!(message == plain, "{piece} {payload:02x?}");
            assert!(memory.starts_with(&GUARD) && memory.ends_with(&GUARD), "{piece}");
        }
    }
}

// A `Vec` with little room grows; what is in it stays.
#[test]
fn a_deflater_needs_no_room_in_advance() {
    let pool = Pool::new();
    let deflate = |plain: &[u8], level, piece: usize, mut output: Vec<u8>| {
        let options = DeflateOptions::new().level(level);
        let mut deflater = Deflater::new(&pool, WindowBits::new(9).unwrap(), options);
        for part in plain.chunks(piece) {
            deflater.compress_piece(part, false, &mut output);
        }
        deflater.compress_piece(&[], true, &mut output);
        output
    };
    for plain in [Vec::new(), b"x".to_vec(), text(700), vec![7; 3000], noise(300)] {
        for level in [0, 1, 6, 9] {
            for piece in [1, 100, 5000] {
                let roomy = deflate(&plain, level, piece, Vec::with_capacity(1 << 20));
                let inflated = inflate(&pool, Limits::new(), &roomy, usize::MAX, &[4096]);
                assert_eq!(inflated, (plain.clone(), Ok(())));
                for room in [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 31, 64, 100, 257] {
                    let mut output = Vec::with_capacity(3 + room);
                    output.extend(b"abc");
                    let output = deflate(&plain, level, piece, output);
                    assert!(output == [b"abc", &roomy[..]].concat(), "{level} {piece} {room}");
                }
            }
        }
    }
}
