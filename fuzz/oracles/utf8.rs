//! `Utf8Validator`, against the standard library. The input is a number of ASCII letters, so that short inputs reach the
//! code for long pieces, and the bytes that follow them.

use core::str::from_utf8;

use ws_core::utf8::Utf8Validator;

/// Up to this length, all ways to cut the text once are tried, and up to the other, all ways to cut it twice.
const CUT_ONCE: usize = 512;
const CUT_TWICE: usize = 24;

pub(crate) fn check(data: &[u8]) {
    let Some((&letters, bytes)) = data.split_first() else { return };
    let text = [&vec![b'x'; letters.into()][..], bytes].concat();
    let expected = expect(&text);

    check_pieces(&expected, [&text[..]]);
    check_pieces(&expected, text.chunks(1));
    check_pieces(&expected, text.chunks(67));
    let most = text.len().min(CUT_ONCE);
    // Cuts lie in the bytes of the fuzzer, or around its start.
    for first in usize::from(letters).saturating_sub(4).min(most)..=most {
        let (a, rest) = text.split_at(first);
        check_pieces(&expected, [a, rest]);
        if bytes.len() <= CUT_TWICE {
            for second in 0..=rest.len() {
                let (b, c) = rest.split_at(second);
                check_pieces(&expected, [a, b, &[], c]);
            }
        }
    }
}

/// Returns the number of bytes at which it is known that the text is invalid, and whether it is complete.
fn expect(text: &[u8]) -> (Option<usize>, bool) {
    match from_utf8(text) {
        Ok(_) => (None, true),
        Err(error) if error.error_len().is_none() => (None, false),
        Err(error) => {
            // The first byte that cannot go on: the shortest prefix of which no continuation is valid.
            let start = error.valid_up_to();
            let invalid = |len: &usize| {
                from_utf8(&text[start..start + len]).is_err_and(|error| error.error_len().is_some())
            };
            let len = (1..=4).find(invalid).expect("a character has up to four bytes");
            (Some(start + len), false)
        }
    }
}

/// A piece is refused if and only if it has the byte that shows that the text is invalid. The validator is then ready
/// for another text.
fn check_pieces<'a>(
    (invalid_at, complete): &(Option<usize>, bool),
    pieces: impl IntoIterator<Item = &'a [u8]>,
) {
    let mut validator = Utf8Validator::new();
    let mut before = 0;
    for piece in pieces {
        before += piece.len();
        let wrong = invalid_at.is_some_and(|at| at <= before);
        assert_eq!(validator.push(piece).is_err(), wrong, "after {before} bytes");
        if wrong {
            break;
        }
    }
    if invalid_at.is_none() {
        assert_eq!(validator.finish().is_ok(), *complete, "at the end");
    }
    assert!(validator.push("é".as_bytes()).is_ok() && validator.finish().is_ok(), "a new text");
}
