//! Masks and the check of text come to what their definitions say (RFC 6455 §5.3, §8.1), a byte at a time, whichever
//! instructions they are done with: with the feature `simd` and without it.

mod common;
#[cfg(feature = "endpoint")]
mod ends;

use core::str::from_utf8;

use common::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use ws_core::frame::mask;
use ws_core::utf8::Utf8Validator;
use ws_core::{Config, Connection, DataFrame, MaskingKey, ProtocolError, Role};

/// RFC 6455 §5.3, word for word.
fn masked(payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect()
}

/// Bytes that look random: most often few, sometimes more than is handled at once.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![0..300_usize, 100..700_usize, 1_000..40_000_usize];
    (any::<u32>(), len).prop_map(|(mut state, len)| {
        let mut next = || {
            state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            (state >> 24) as u8
        };
        (0..len).map(|_| next()).collect()
    })
}

/// Text of several languages.
fn text() -> impl Strategy<Value = String> {
    let run = prop_oneof![
        "[ -~]{0,200}",
        "[\u{80}-\u{7ff}]{0,80}",
        "[\u{800}-\u{ffff}]{0,80}",
        "[\u{10000}-\u{10ffff}]{0,40}",
        ".{0,30}",
    ];
    vec(run, 0..10).prop_map(|runs| runs.concat())
}

/// Text, text that is cut anywhere, and text of which a few bytes are others.
fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
    let wrong: [&[u8]; 11] = [
        b"",
        b"\x00",
        b"\x80",
        b"\xc0\x80",
        b"\xc3",
        b"\xe0\x9f\xbf",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xff",
    ];
    let cut = (text(), any::<Index>(), any::<Index>()).prop_map(|(text, from, to)| {
        let bytes = &text.as_bytes()[from.index(text.len() + 1)..];
        bytes[..to.index(bytes.len() + 1)].to_vec()
    });
    let damaged = (text(), any::<Index>(), 0..4_usize, select(wrong.to_vec())).prop_map(
        |(text, at, lost, wrong)| {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len() + 1);
            let end = bytes.len().min(at + lost);
            bytes.splice(at..end, wrong.iter().copied());
            bytes
        },
    );
    prop_oneof![text().prop_map(String::into_bytes), cut, damaged]
}

/// Lengths of pieces, of which the last is repeated.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![vec(1..20_usize, 1..20), vec(1..500_usize, 1..10), vec(100..2_000_usize, 1..3)]
}

fn pieces<'b>(mut rest: &'b [u8], sizes: &[usize]) -> Vec<&'b [u8]> {
    let mut pieces = Vec::new();
    let mut sizes = sizes.iter();
    let mut size = usize::MAX;
    while !rest.is_empty() {
        size = *sizes.next().unwrap_or(&size);
        let (piece, tail) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

/// A message to `role`, in a fragment for each piece.
fn message(role: Role, opcode: u8, key: [u8; 4], payload: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut fragments = pieces(payload, sizes);
    if fragments.is_empty() {
        fragments.push(b"");
    }
    let last = fragments.len() - 1;
    let frame = |(i, fragment): (usize, &&[u8])| {
        let fin = if i == last { FIN } else { 0 };
        let opcode = if i == 0 { opcode } else { CONT };
        raw(fin | opcode, (role == Role::Server).then_some(key), fragment)
    };
    fragments.iter().enumerate().flat_map(frame).collect()
}

/// When a text is known not to be UTF-8, by how many of its bytes, and whether it is a whole text as it is.
fn as_the_standard_library_says(bytes: &[u8]) -> (Option<usize>, bool) {
    let hopeless =
        |len: &usize| from_utf8(&bytes[..*len]).is_err_and(|error| error.error_len().is_some());
    ((1..=bytes.len()).find(hopeless), from_utf8(bytes).is_ok())
}

fn as_a_validator_says(bytes: &[u8]) -> (Option<usize>, bool) {
    let mut validator = Utf8Validator::new();
    let failed = bytes.chunks(1).position(|byte| validator.push(byte).is_err());
    let mut whole = Utf8Validator::new();
    let (all, end) = (whole.push(bytes), whole.finish());
    assert_eq!(all.is_err(), failed.is_some(), "at once: {bytes:02x?}");
    // A text that has failed has ended.
    assert!(failed.is_some() || end == validator.finish(), "{bytes:02x?}");
    (failed.map(|at| at + 1), all.is_ok() && end.is_ok())
}

// RFC 3629: each byte, each two bytes, and each further byte where a character goes on behind them: every state of the
// validator, and every byte in it.
#[test]
fn every_byte_in_every_state_is_judged_as_the_standard_library_does() {
    fn judge(text: &mut Vec<u8>) {
        for byte in 0..=u8::MAX {
            text.push(byte);
            let expected = as_the_standard_library_says(text);
            assert_eq!(as_a_validator_says(text), expected, "{text:02x?}");
            let goes_on = expected == (None, false) && !(text.len() == 3 && text[0].is_ascii());
            if text.len() < 2 || text.len() < 4 && goes_on {
                judge(text);
            }
            text.pop();
        }
    }
    judge(&mut Vec::new());
}

proptest! {
    #[test]
    fn masks_are_as_defined(payload in noise(), key: [u8; 4], offset in 0..70_usize) {
        let (end, mut buffer) = (offset + payload.len(), vec![0x5a; offset + payload.len() + 70]);
        let around = buffer.clone();
        buffer[offset..end].copy_from_slice(&payload);
        mask(&mut buffer[offset..end], MaskingKey::new(key));
        prop_assert_eq!(&buffer[offset..end], masked(&payload, key));
        prop_assert_eq!(&buffer[..offset], &around[..offset]);
        prop_assert_eq!(&buffer[end..], &around[end..]);
    }

    #[test]
    fn a_client_masks_as_defined_however_it_sends(
        payload in noise(),
        key: [u8; 4],
        offset in 0..70_usize,
        sizes in sizes(),
    ) {
        let frame = raw(FIN | BINARY, Some(key), &payload);
        let key = Some(MaskingKey::new(key));
        let mut sender = Connection::client(Config::new()).sender;

        let mut out = vec![0; offset + frame.len() + 70];
        let len = sender.encode(DataFrame::BINARY, &payload, key, &mut out[offset..]).unwrap();
        prop_assert_eq!(&out[offset..offset + len], &frame);
        prop_assert_eq!(&out[offset + len..], [0; 70]);

        let head = sender.head(DataFrame::BINARY, payload.len() as u64, key).unwrap();
        let mut sent = head.to_vec();
        for piece in pieces(&payload, &sizes) {
            let from = sent.len();
            sent.extend(piece);
            sender.mask_payload(&mut sent[from..]).unwrap();
        }
        prop_assert_eq!(&sent, &frame);

        let mut buffer = [&vec![0; 14 + offset], &payload[..]].concat();
        let range = 14 + offset..buffer.len();
        let place = sender.encode_in_place(DataFrame::BINARY, &mut buffer, range, key).unwrap();
        prop_assert_eq!(&buffer[place], &frame);

        #[cfg(feature = "alloc")]
        {
            let mut out = vec![0; offset];
            sender.encode_vec(DataFrame::BINARY, &payload, key, &mut out).unwrap();
            prop_assert_eq!(&out[offset..], &frame);
        }
    }

    #[test]
    fn payloads_are_unmasked_as_defined_however_they_come(
        payload in noise(),
        key: [u8; 4],
        fragments in sizes(),
        sizes in sizes(),
    ) {
        for fragments in [&[usize::MAX], &fragments[..]] {
            let stream = message(Role::Server, BINARY, key, &payload, fragments);
            let expected = Outcome::open(vec![binary(&payload).at(stream.len())]);
            prop_assert_eq!(&in_pieces(Role::Server, Config::new(), &stream, &[]), &expected);
            prop_assert_eq!(&in_pieces(Role::Server, Config::new(), &stream, &sizes), &expected);
        }
    }

    // As soon as it cannot be UTF-8 any more, and not before.
    #[test]
    fn a_validator_says_what_the_standard_library_says(bytes in nearly_text(), sizes in sizes()) {
        let mut validator = Utf8Validator::new();
        let mut end = 0;
        for piece in pieces(&bytes, &sizes) {
            end += piece.len();
            let error = from_utf8(&bytes[..end]).err();
            let hopeless = error.is_some_and(|error| error.error_len().is_some());
            prop_assert_eq!(validator.push(piece).is_err(), hopeless);
            if hopeless {
                return Ok(());
            }
        }
        prop_assert_eq!(validator.finish().is_ok(), from_utf8(&bytes).is_ok());
    }

    #[test]
    fn a_connection_takes_the_text_that_the_standard_library_takes(
        role in select(ROLES.to_vec()),
        bytes in nearly_text(),
        key: [u8; 4],
        fragments in sizes(),
        sizes in sizes(),
    ) {
        for fragments in [&[usize::MAX], &fragments[..]] {
            let stream = message(role, TEXT, key, &bytes, fragments);
            let expected = match from_utf8(&bytes) {
                Ok(valid) => Outcome::open(vec![common::text(valid).at(stream.len())]),
                Err(_) => Outcome::failed(role, vec![], ProtocolError::InvalidUtf8),
            };
            prop_assert_eq!(&in_pieces(role, Config::new(), &stream, &[]), &expected);
            prop_assert_eq!(&in_pieces(role, Config::new(), &stream, &sizes), &expected);
        }
    }

    #[cfg(feature = "endpoint")]
    #[test]
    fn an_endpoint_takes_the_text_that_the_standard_library_takes(
        role in select(ROLES.to_vec()),
        bytes in nearly_text(),
        key: [u8; 4],
        fragments in sizes(),
        sizes in sizes(),
        by_ref: bool,
    ) {
        let expected: ends::Seen = match from_utf8(&bytes) {
            Ok(valid) => common::text(valid),
            Err(_) => failed(ProtocolError::InvalidUtf8),
        };
        for fragments in [&[usize::MAX], &fragments[..]] {
            let stream = message(role, TEXT, key, &bytes, fragments);
            for sizes in [&[usize::MAX], &sizes[..]] {
                let mut endpoint = ends::open(role, Config::new());
                let mut told = None;
                for mut piece in pieces(&stream, sizes) {
                    while told.is_none() && !piece.is_empty() {
                        // As much as there is room for.
                        let count = endpoint.inbound.receive(piece);
                        prop_assert_ne!(count, 0);
                        piece = &piece[count..];
                        told = ends::event(&mut endpoint, by_ref);
                    }
                }
                prop_assert_eq!(told.as_ref(), Some(&expected));
            }
        }
    }
}
