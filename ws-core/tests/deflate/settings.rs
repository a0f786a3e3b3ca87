//! What is set is used, and nothing that is secret is shown.

use ws_core::deflate::{
    Decoder, DeflateOptions, Deflater, Inflater, Limits, Pool, SliceInflater, WindowBits,
};

use crate::rules::{compressed, noise, text};

fn payload(plain: &[u8], options: DeflateOptions) -> Vec<u8> {
    let mut payload = Vec::new();
    Deflater::new(&Pool::new(), WindowBits::MAX, options).compress_piece(plain, true, &mut payload);
    payload
}

#[test]
fn levels_are_used() {
    let plain = text(100_000);
    let at = |level| payload(&plain, DeflateOptions::new().level(level));
    assert!(at(0).len() > plain.len());
    assert!(at(1).len() > at(9).len() && at(9).len() < plain.len());
    assert!(at(1) == payload(&plain, DeflateOptions::new()));
    assert!([at(10), at(255)] == [at(9), at(9)]);
}

#[test]
fn memory_levels_are_used() {
    let plain = text(100_000);
    let at = |level| payload(&plain, DeflateOptions::new().level(6).mem_level(level));
    assert!(at(1) != at(9));
    assert!(at(8) == payload(&plain, DeflateOptions::new().level(6)));
    assert!([at(0), at(10), at(255)] == [at(1), at(9), at(9)]);
}

#[test]
fn a_message_is_compressed_if_that_is_two_bytes_shorter() {
    let mut differences = [0; 3];
    for len in 1..300 {
        for plain in [text(len), noise(len), [&noise(len / 2)[..], &noise(len - len / 2)].concat()]
        {
            let expected = compressed(&plain, 15, 1);
            let mut payload = b"before".to_vec();
            let mut deflater = Deflater::new(&Pool::new(), WindowBits::MAX, DeflateOptions::new());
            if deflater.compress(&plain, &mut payload) {
                assert!(expected.len() + 2 <= plain.len(), "{len}");
                assert_eq!(&payload[6..], expected);
            } else {
                assert!(expected.len() + 2 > plain.len(), "{len}");
                assert_eq!(payload, b"before");
            }
            if let Some(count) = differences.get_mut(plain.len().wrapping_sub(expected.len())) {
                *count += 1;
            }
        }
    }
    assert!(!differences.contains(&0), "{differences:?}");
}

#[test]
fn a_shared_engine_refers_back_half_a_window() {
    let pool = Pool::with_engines(1.try_into().unwrap());
    let bits = WindowBits::new(12).unwrap();
    let [mut ours, mut other] = [(); 2].map(|()| Deflater::new(&pool, bits, DeflateOptions::new()));
    let plain = noise(2000);
    ours.compress_piece(&plain, true, &mut Vec::new());
    other.compress_piece(b"other", true, &mut Vec::new());
    let mut payload = Vec::new();
    assert!(ours.compress(&plain[..100], &mut payload));
    assert!(payload.len() < 20, "{}", payload.len());
}

#[test]
fn debug_shows_no_plaintext() {
    let pool = Pool::with_engines(3.try_into().unwrap());
    assert_eq!(
        format!("{pool:?}"),
        "Pool(Shared { inflate: Shelf { most: 3, .. }, deflate: Shelf { most: 3, .. } })"
    );
    let mut deflater = Deflater::new(&pool, WindowBits::MAX, DeflateOptions::new());
    let mut payload = Vec::new();
    deflater.compress_piece(b"UUUUU", true, &mut payload);
    let mut inflater = Inflater::new(&pool, WindowBits::MAX, Limits::new());
    let (early, late) = payload.split_at(3);
    let mut output = [0; 10];
    assert_eq!(inflater.inflate(early, false, &mut output).unwrap().consumed, 3);
    assert!(format!("{inflater:?}").contains("engine: Some(Engine { .. })"), "{inflater:?}");
    inflater.inflate(late, true, &mut output).unwrap();
    for shown in [format!("{deflater:?}"), format!("{inflater:?}")] {
        assert!(shown.contains("history: History { bits: WindowBits(15), len: "), "{shown}");
        assert!(!shown.contains("85") && !shown.contains("UU"), "{shown}");
    }
}

#[test]
fn debug_shows_no_window() {
    let (mut window, mut decoder) = ([0x55; 256], Decoder::default());
    assert_eq!(format!("{decoder:?}"), "Decoder { .. }");
    let inflater = SliceInflater::new(&mut window, &mut decoder, Limits::new()).unwrap();
    let shown = format!("{inflater:?}");
    assert!(shown.starts_with("SliceInflater { window: 256, ") && !shown.contains("85"), "{shown}");
}

// To index a whole window before a short message takes longer than compressing it.
#[test]
fn a_shared_engine_refers_back_no_further() {
    let pool = Pool::with_engines(1.try_into().unwrap());
    let bits = WindowBits::new(12).unwrap();
    let [mut ours, mut other] = [(); 2].map(|()| Deflater::new(&pool, bits, DeflateOptions::new()));
    let plain = noise(3500);
    ours.compress_piece(&plain, true, &mut Vec::new());
    other.compress_piece(b"other", true, &mut Vec::new());
    assert!(!ours.compress(&plain[..100], &mut Vec::new()));
}

#[test]
fn the_pieces_of_a_message_are_compressed_with_one_engine() {
    let bits = WindowBits::new(12).unwrap();
    for takeover in [false, true] {
        let mut deflater = Deflater::new(&Pool::new(), bits, DeflateOptions::new());
        if !takeover {
            deflater = deflater.no_context_takeover();
        }
        let plain = noise(3500);
        for _ in 0..2 {
            deflater.compress_piece(&plain, false, &mut Vec::new());
            // An engine that was set up from the history would find half a window.
            let mut payload = Vec::new();
            deflater.compress_piece(&plain[..100], true, &mut payload);
            assert!(payload.len() < 20, "{takeover} {}", payload.len());
        }
    }
}
