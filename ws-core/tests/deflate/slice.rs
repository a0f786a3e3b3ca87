//! What only `SliceInflater` has: text is checked, raw messages pass through, and a piece that was left is missed.

use ws_core::ProtocolError::{self, InvalidDeflate, InvalidUtf8};
use ws_core::deflate::{Decoder, Limits, SliceInflater};
use ws_core::{Config, Connection, Input, Instant, MessageKind, Role, Step};

use crate::engines::frame;
use crate::rules::{compressed, text};

type Told = Vec<(Vec<u8>, MessageKind, bool)>;

/// All pieces that these frames stand for, joined up to each end, and the error.
fn told(frames: &[u8], window: usize) -> (Told, Option<ProtocolError>) {
    let (mut window, mut decoder) = (vec![0; window], Decoder::new());
    let mut inflater = SliceInflater::new(&mut window, &mut decoder, Limits::new()).unwrap();
    let mut connection = Connection::with_compression(Role::Client, Config::new(), true);
    let mut frames = frames.to_vec();
    let mut input = Input::new(&mut frames);
    let mut told: Told = Vec::new();
    while let Step::Data(chunk) = connection.next(&mut input, || Instant::from_millis(0)) {
        let mut pieces = inflater.push(&chunk);
        loop {
            let piece = match pieces.next_piece() {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error) => return (told, Some(error)),
            };
            match told.last_mut() {
                Some((bytes, _, end @ false)) => {
                    bytes.extend_from_slice(piece.bytes);
                    *end = piece.end;
                }
                _ => told.push((piece.bytes.to_vec(), piece.kind, piece.end)),
            }
        }
    }
    (told, None)
}

/// A frame of text, compressed or not.
fn text_frame(start: bool, end: bool, payload: &[u8], compressed: bool) -> Vec<u8> {
    let mut frame = frame(start, end, payload);
    if start {
        frame[0] = frame[0] & 0x80 | if compressed { 0x41 } else { 0x01 };
    }
    frame
}

// RFC 6455 §8.1, RFC 7692 §6.2: the text that was inflated is UTF-8
#[test]
fn inflated_text_is_checked() {
    let long = "κόσμε ".repeat(500).into_bytes();
    let message = |plain: &[u8]| text_frame(true, true, &compressed(plain, 8, 6), true);
    for window in [256, 4096] {
        let expected = vec![(long.clone(), MessageKind::Text, true)];
        assert_eq!(told(&message(&long), window), (expected, None));
        // A byte that cannot be, and a character that is not complete.
        let wrong = [&long[..], b"\xff", &long].concat();
        let (pieces, error) = told(&message(&wrong), window);
        assert_eq!(error, Some(InvalidUtf8));
        assert!(pieces.iter().all(|(bytes, _, end)| long.starts_with(bytes) && !end));
        let cut = &long[..long.len() - 2];
        let (pieces, error) = told(&message(cut), window);
        assert_eq!(error, Some(InvalidUtf8), "{pieces:?}");
    }
}

#[test]
fn messages_that_are_not_compressed_pass_through() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
    let frames = [
        text_frame(true, true, &hello, true),
        text_frame(true, false, "fünf".as_bytes(), false),
        frame(false, true, b"!"),
        text_frame(true, true, b"", false),
        text_frame(true, true, &again, true),
    ];
    let expected = ["Hello", "fünf!", "", "Hello"]
        .map(|text| (text.as_bytes().to_vec(), MessageKind::Text, true));
    assert_eq!(told(&frames.concat(), 256), (expected.to_vec(), None));
}

// Nothing is left after the piece that ends the message.
#[test]
fn the_last_piece_may_be_the_last_that_is_asked_for() {
    let plain = text(1000);
    let frames = [
        text_frame(true, true, &compressed(&plain, 8, 6), true),
        text_frame(true, true, &plain, false),
        text_frame(true, true, b"", false),
        text_frame(true, true, &[0], true),
        text_frame(true, true, &compressed(&plain, 8, 6), true),
    ];
    let (mut window, mut decoder) = ([0; 256], Decoder::new());
    let limits = Limits::new();
    let mut inflater =
        SliceInflater::new(&mut window, &mut decoder, limits).unwrap().no_context_takeover();
    let mut connection = Connection::with_compression(Role::Client, Config::new(), true);
    let mut frames = frames.concat();
    let mut input = Input::new(&mut frames);
    let mut messages = vec![Vec::new()];
    while let Step::Data(chunk) = connection.next(&mut input, || Instant::from_millis(0)) {
        let mut pieces = inflater.push(&chunk);
        while let Some(piece) = pieces.next_piece().unwrap() {
            messages.last_mut().unwrap().extend_from_slice(piece.bytes);
            if piece.end {
                messages.push(Vec::new());
                break;
            }
        }
    }
    assert_eq!(messages, [&plain[..], &plain, b"", b"", &plain, b""]);
}

#[test]
fn a_message_whose_end_was_not_pushed_fails_when_the_next_begins() {
    let (mut window, mut decoder) = ([0; 256], Decoder::new());
    let mut inflater = SliceInflater::new(&mut window, &mut decoder, Limits::new()).unwrap();
    let mut connection = Connection::with_compression(Role::Client, Config::new(), true);
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let mut frames = [
        frame(true, false, &hello[..3]),
        frame(false, true, &hello[3..]),
        frame(true, true, &hello),
    ]
    .concat();
    let mut input = Input::new(&mut frames);
    let mut at = 0;
    let mut last = Ok(None);
    while let Step::Data(chunk) = connection.next(&mut input, || Instant::from_millis(0)) {
        if at != 1 {
            let mut pieces = inflater.push(&chunk);
            last = loop {
                match pieces.next_piece() {
                    Ok(Some(piece)) => assert!(!piece.end),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            }
            .map(Some);
        }
        at += 1;
    }
    assert_eq!((at, last), (3, Err(InvalidDeflate)));
}

#[test]
fn a_message_of_which_pieces_were_left_fails() {
    let (mut window, mut decoder) = ([0; 256], Decoder::new());
    let mut inflater = SliceInflater::new(&mut window, &mut decoder, Limits::new()).unwrap();
    let mut connection = Connection::with_compression(Role::Client, Config::new(), true);
    let payload = compressed(&text(1000), 8, 6);
    let mut frames = [frame(true, true, &payload), frame(true, true, &payload)].concat();
    let mut input = Input::new(&mut frames);
    let mut outcomes = Vec::new();
    while let Step::Data(chunk) = connection.next(&mut input, || Instant::from_millis(0)) {
        outcomes.push(inflater.push(&chunk).next_piece().map(|piece| piece.unwrap().bytes.len()));
    }
    assert_eq!(outcomes, [Ok(256), Err(InvalidDeflate)]);
}
