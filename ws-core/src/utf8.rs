//! Incremental UTF-8 validation (RFC 6455 §8.1, RFC 3629).
//!
//! The receiving half of a connection uses it to check text as its pieces arrive. On targets with enough memory the
//! standard library does most of the work, and only a character that is cut is checked byte by byte. After an error
//! or the end of a text the validator is in its initial state, so a connection needs only one.

use crate::{ProtocolError, SHORT_CUTS};

/// Checks text that arrives in pieces, and fails at the first byte that cannot be part of it.
///
/// For a character that is not complete yet, it knows which bytes may follow.
///
/// ```
/// use ws_core::utf8::Utf8Validator;
///
/// let mut text = Utf8Validator::new();
/// assert!(text.push(b"caf\xc3").is_ok()); // the last character goes on
/// assert!(text.push(b"\xa9").is_ok());
/// assert!(text.finish().is_ok());
///
/// // U+D800 cannot be: known at its second byte.
/// assert!(text.push(b"\xed").is_ok());
/// assert!(text.push(b"\xa0").is_err());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8Validator {
    /// How many bytes the incomplete character still needs.
    needed: u8,
    /// The least and the greatest value that the next of these bytes may have.
    low: u8,
    high: u8,
}

/// Checks text that lies in one piece.
#[inline]
pub(crate) fn check(bytes: &[u8]) -> Result<&str, ProtocolError> {
    #[cfg(all(
        feature = "simd",
        any(
            target_arch = "x86_64",
            all(target_arch = "aarch64", target_endian = "little", target_feature = "neon")
        )
    ))]
    if let Some(result) = crate::simd::from_utf8(bytes) {
        return result;
    }
    core::str::from_utf8(bytes).map_err(|_| ProtocolError::InvalidUtf8)
}

/// Splits off a character at the end that is not complete.
#[inline]
fn split_cut(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut lead = bytes.len();
    for least in [0xc0, 0xe0, 0xf0] {
        lead = lead.wrapping_sub(1);
        match bytes.get(lead) {
            Some(0x80..=0xbf) => {}
            Some(byte) if *byte >= least => {
                return bytes.split_at_checked(lead).unwrap_or((bytes, &[]));
            }
            _ => break,
        }
    }
    (bytes, &[])
}

impl Utf8Validator {
    /// Returns a validator at the start of a text.
    pub const fn new() -> Self {
        Self { needed: 0, low: 0, high: 0 }
    }

    /// Checks the next bytes of the text.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidUtf8`] if the text is not UTF-8, whatever may follow. The validator is then at the start of a
    /// new text.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        let rest = if SHORT_CUTS { self.skip(bytes)? } else { bytes };
        for byte in rest {
            self.take(*byte)?;
        }
        Ok(())
    }

    /// Ends the text. The validator is then at the start of a new one.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidUtf8`] if the text ends inside a character.
    #[inline]
    pub fn finish(&mut self) -> Result<(), ProtocolError> {
        let complete = self.needed == 0;
        *self = Self::new();
        if complete { Ok(()) } else { Err(ProtocolError::InvalidUtf8) }
    }

    /// Checks as much as possible with the standard library, which is faster. Returns the rest: the start of an incomplete
    /// character.
    #[inline]
    fn skip<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], ProtocolError> {
        let mut rest = bytes;
        while self.needed != 0 {
            let Some((byte, tail)) = rest.split_first() else { return Ok(rest) };
            self.take(*byte)?;
            rest = tail;
        }
        let (whole, cut) = split_cut(rest);
        check(whole)?;
        Ok(cut)
    }

    /// Checks one byte (RFC 3629 §4).
    fn take(&mut self, byte: u8) -> Result<(), ProtocolError> {
        if self.needed != 0 {
            if byte < self.low || byte > self.high {
                *self = Self::new();
                return Err(ProtocolError::InvalidUtf8);
            }
            *self = Self { needed: self.needed.wrapping_sub(1), low: 0x80, high: 0xbf };
            return Ok(());
        }
        let needed = match byte {
            0..=0x7f => return Ok(()),
            0xc2..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf4 => 3,
            _ => return Err(ProtocolError::InvalidUtf8),
        };
        // This excludes overlong forms, surrogates, and values above U+10FFFF.
        let low = match byte {
            0xe0 => 0xa0,
            0xf0 => 0x90,
            _ => 0x80,
        };
        let high = match byte {
            0xed => 0x9f,
            0xf4 => 0x8f,
            _ => 0xbf,
        };
        *self = Self { needed, low, high };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(pieces: &[&[u8]]) -> bool {
        let mut validator = Utf8Validator::new();
        pieces.iter().all(|piece| validator.push(piece).is_ok()) && validator.finish().is_ok()
    }

    /// Returns the position of the byte that shows that the text is invalid.
    fn fails_at(bytes: &[u8]) -> Option<usize> {
        let mut validator = Utf8Validator::new();
        bytes.iter().position(|byte| validator.push(&[*byte]).is_err())
    }

    // These pieces are long enough for the code for long ones.
    #[test]
    fn long_pieces_are_judged_as_a_whole_is() {
        let text = "aß言🦀\u{7ff}\u{ffff}\u{10ffff}".repeat(20);
        let bytes = text.as_bytes();
        for split in 0..bytes.len() {
            let (a, b) = bytes.split_at(split);
            assert!(validate(&[a, b]), "{split}");
        }
        for at in (0..bytes.len()).step_by(5) {
            for byte in [b'a', 0x80, 0xc1, 0xc3, 0xe0, 0xed, 0xf4, 0xff] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = byte;
                let expected = core::str::from_utf8(&bytes).is_ok();
                for split in (0..bytes.len()).step_by(7) {
                    let (a, b) = bytes.split_at(split);
                    assert_eq!(validate(&[a, b]), expected, "{at} {byte} {split}");
                }
            }
        }
    }

    // RFC 3629: every sequence of up to two bytes, and longer ones of bytes at the edges of ranges, as core::str says
    #[test]
    fn utf8_exhaustive_vs_core_str() {
        let check = |bytes: &[u8]| {
            let expected = core::str::from_utf8(bytes).is_ok();
            assert_eq!(validate(&[bytes]), expected, "{bytes:02x?}");
            for split in 1..bytes.len() {
                let (a, b) = bytes.split_at(split);
                assert_eq!(validate(&[a, b]), expected, "{a:02x?} {b:02x?}");
            }
        };
        for a in 0..=255u8 {
            check(&[a]);
            for b in 0..=255u8 {
                check(&[a, b]);
            }
        }
        // This steps through the bytes and includes every boundary of the table (80, 8f, 90, 9f, a0, bf, c0).
        let edges = [
            0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0,
            0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xff,
        ];
        for a in edges {
            for b in edges {
                for c in edges {
                    check(&[a, b, c]);
                    for d in edges {
                        check(&[a, b, c, d]);
                    }
                }
            }
        }
    }

    // RFC 3629 §4: targets with little memory check every byte of a text in this way.
    #[test]
    fn utf8_byte_by_byte_vs_core_str() {
        let valid = |bytes: &[u8]| {
            let mut validator = Utf8Validator::new();
            bytes.iter().all(|byte| validator.take(*byte).is_ok()) && validator.finish().is_ok()
        };
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                for tail in [&b""[..], b"\x80", b"\xbf", b"\x80\x80", b"\xbf\xbf", b"\xbfz"] {
                    let bytes = [&[a, b], tail].concat();
                    let expected = core::str::from_utf8(&bytes).is_ok();
                    assert_eq!(valid(&bytes), expected, "{bytes:02x?}");
                }
            }
        }
    }

    // RFC 6455 §8.1: as soon as it cannot be UTF-8 any more
    #[test]
    fn utf8_table_invalid() {
        let cases: [(&[u8], usize); 12] = [
            (b"\x80", 0),
            (b"\xc0\x80", 0),
            (b"\xc1\xbf", 0),
            (b"\xe0\x80\x80", 1),
            (b"\xe0\x9f\xbf", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xed\xbf\xbf", 1),
            (b"\xf0\x80\x80\x80", 1),
            (b"\xf0\x8f\xbf\xbf", 1),
            (b"\xf4\x90\x80\x80", 1),
            (b"\xf5\x80\x80\x80", 0),
            (b"ok\xce\xba\xff", 4),
        ];
        for (bytes, at) in cases {
            assert!(!validate(&[bytes]), "{bytes:02x?}");
            assert_eq!(fails_at(bytes), Some(at), "{bytes:02x?}");
        }
        for truncated in [&b"\xc2"[..], b"\xe2\x82", b"\xf0\x9f\x98"] {
            assert_eq!(fails_at(truncated), None);
            assert!(!validate(&[truncated]), "{truncated:02x?}");
        }
    }

    // RFC 3629: NUL, BOM, noncharacters and the last code point are text
    #[test]
    fn utf8_table_valid() {
        for text in
            ["", "\0", "\u{feff}", "\u{ffff}", "\u{fdd0}", "\u{d7ff}", "\u{10ffff}", "κόσμε"]
        {
            assert!(validate(&[text.as_bytes()]), "{text:?}");
            let mut validator = Utf8Validator::new();
            for byte in text.as_bytes() {
                assert_eq!(validator.push(&[*byte]), Ok(()));
            }
            assert_eq!(validator.finish(), Ok(()));
        }
    }

    #[test]
    fn a_failed_text_leaves_nothing_behind() {
        let mut validator = Utf8Validator::new();
        assert_eq!(validator.push(b"\xf0\x9f"), Ok(()));
        assert_eq!(validator.push(b"x"), Err(ProtocolError::InvalidUtf8));
        assert_eq!(validator.push(b"fine"), Ok(()));
        assert_eq!(validator.finish(), Ok(()));
    }
}
