//! Text that is sent in pieces: the fragments end between characters, wherever the pieces do.
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use common::*;
use ends::*;
use ws_core::endpoint::Options;
use ws_core::{Config, MessageKind, Role};

const SAMPLE: &str = "aκ€😀\0z😀€κ";

/// What is sent for these pieces: first bytes and payloads.
fn sent(role: Role, pieces: &[&[u8]]) -> Vec<(u8, Vec<u8>)> {
    let mut endpoint = open(role, Options::new());
    for (at, piece) in pieces.iter().enumerate() {
        let last = at + 1 == pieces.len();
        endpoint.outbound.queue_fragment(MessageKind::Text, piece, last).unwrap();
    }
    assert!(endpoint.outbound.queue("next").is_ok());
    let mut frames = plain(&take(&mut endpoint));
    assert_eq!(frames.pop(), Some((FIN | TEXT, b"next".to_vec())));
    frames
}

/// Checks that the frames are one message of whole characters.
fn check(frames: &[(u8, Vec<u8>)], text: &str) {
    let ((last, _), others) = frames.split_last().unwrap();
    assert_eq!(*last & FIN, FIN);
    assert!(others.iter().all(|(first, _)| first & FIN == 0));
    assert_eq!(frames[0].0 & 0xf, TEXT);
    assert!(frames[1..].iter().all(|(first, _)| first & 0xf == CONT));
    let parts: Vec<_> =
        frames.iter().map(|(_, part)| core::str::from_utf8(part).unwrap()).collect();
    assert_eq!(parts.concat(), text);
}

// RFC 6455 §5.6 allows other cuts, but some peers check each fragment
#[test]
fn fragments_end_between_characters_however_text_is_cut() {
    for role in ROLES {
        let bytes = SAMPLE.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                check(&sent(role, &pieces), SAMPLE);
            }
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        check(&sent(role, &single), SAMPLE);
        // Every way to cut one character, empty pieces between.
        for mask in 0..8 {
            let mut pieces = vec![Vec::new()];
            for (at, byte) in "😀".bytes().enumerate() {
                pieces.last_mut().unwrap().push(byte);
                if mask >> at & 1 != 0 {
                    pieces.extend([vec![], vec![]]);
                }
            }
            let pieces: Vec<_> = pieces.iter().map(|piece| &piece[..]).collect();
            check(&sent(role, &pieces), "😀");
        }
    }
}

#[test]
fn a_piece_is_sent_at_once_but_for_the_character_at_its_end() {
    let parts = |pieces: &[&[u8]]| sent(Role::Server, pieces);
    assert_eq!(
        parts(&[b"ab\xf0", b"\x9f\x98", b"", b"\x80c", b""]),
        [
            (TEXT, b"ab".to_vec()),
            // The second piece adds to what is kept and sends nothing.
            (CONT, vec![]),
            (CONT, "😀c".into()),
            (FIN | CONT, vec![]),
        ]
    );
    // The message is open from its first byte on.
    assert_eq!(parts(&[b"\xe2", b"\x82", b"\xac"]), [(TEXT, vec![]), (FIN | CONT, "€".into())]);
    // What ends inside a character, and what is not UTF-8, is left to the caller.
    assert_eq!(parts(&[b"a\xe2\x82"]), [(FIN | TEXT, b"a\xe2\x82".to_vec())]);
    let not_text = [(TEXT, b"\xff\x80\x80\x80".to_vec()), (FIN | CONT, b"\x80".to_vec())];
    assert_eq!(parts(&[b"\xff\x80\x80\x80", b"\x80"]), not_text);
}

#[test]
fn binary_pieces_are_sent_as_they_are() {
    let mut endpoint = open(Role::Server, Options::new());
    for piece in [&b"\xf0"[..], b"\x9f\x98", b"\x80"] {
        endpoint.outbound.queue_fragment(MessageKind::Binary, piece, piece == b"\x80").unwrap();
    }
    let expected = [(BINARY, vec![0xf0]), (CONT, vec![0x9f, 0x98]), (FIN | CONT, vec![0x80])];
    assert_eq!(plain(&take(&mut endpoint)), expected);
}

#[test]
fn pieces_that_are_cut_again_end_between_characters() {
    for max in 4..9 {
        for piece in 1..12 {
            let text = SAMPLE.repeat(3);
            let mut endpoint = open(Role::Client, Config::new().max_outgoing_frame(max));
            let mut pieces = text.as_bytes().chunks(piece).peekable();
            while let Some(piece) = pieces.next() {
                let last = pieces.peek().is_none();
                endpoint.outbound.queue_fragment(MessageKind::Text, piece, last).unwrap();
            }
            let frames = plain(&take(&mut endpoint));
            assert!(frames.iter().all(|(_, part)| part.len() as u64 <= max));
            check(&frames, &text);
        }
    }
}
