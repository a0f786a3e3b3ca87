//! Vector instructions that the processor has beyond those that x86-64 promises (feature `simd`).
//!
//! Each function returns `None` or `false` where there are none, or where the input is too short to be worth the
//! question; the caller then goes the ordinary way, which gives the same results. This and
//! `message/text.rs` are the places of the crate with unsafe code.
#![allow(unsafe_code)]

use crate::{MaskingKey, ProtocolError};

/// From so many bytes on, the question and the call cost less than they save.
const LEAST: usize = 128;

cpufeatures::new!(avx2, "avx2");

/// Masks `payload` in place, as [`mask`](crate::frame::mask()); returns whether it did.
#[inline(always)]
pub(crate) fn mask(payload: &mut [u8], key: MaskingKey) -> bool {
    payload.len() >= LEAST && mask_long(payload, key)
}

#[inline(never)]
fn mask_long(payload: &mut [u8], key: MaskingKey) -> bool {
    if avx2::get() {
        // SAFETY: the processor has AVX2.
        unsafe { by_avx2::mask(payload, key) };
        return true;
    }
    false
}

/// Copies `payload` to the start of `out` and masks it on the way; returns whether it did. Both have the same length.
#[inline(always)]
pub(crate) fn mask_into(payload: &[u8], out: &mut [u8], key: MaskingKey) -> bool {
    payload.len() >= LEAST && mask_long_into(payload, out, key)
}

#[inline(never)]
fn mask_long_into(payload: &[u8], out: &mut [u8], key: MaskingKey) -> bool {
    if avx2::get() {
        // SAFETY: the processor has AVX2.
        unsafe { by_avx2::mask_into(payload, out, key) };
        return true;
    }
    false
}

/// `bytes` as text, if they are that; `None` when they were not looked at.
#[inline(always)]
pub(crate) fn from_utf8(bytes: &[u8]) -> Option<Result<&str, ProtocolError>> {
    let valid = if bytes.len() >= LEAST { is_utf8(bytes)? } else { return None };
    // SAFETY: the bytes are UTF-8.
    let text = valid.then(|| unsafe { core::str::from_utf8_unchecked(bytes) });
    Some(text.ok_or(ProtocolError::InvalidUtf8))
}

#[inline(never)]
fn is_utf8(bytes: &[u8]) -> Option<bool> {
    if avx2::get() {
        // SAFETY: the processor has AVX2.
        return Some(unsafe { simdutf8::basic::imp::x86::avx2::validate_utf8(bytes) }.is_ok());
    }
    None
}

mod by_avx2 {
    use crate::MaskingKey;
    use crate::frame::{mask_blocks, mask_blocks_into};

    /// # Safety
    ///
    /// The processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn mask(payload: &mut [u8], key: MaskingKey) {
        mask_blocks(payload, key);
    }

    /// # Safety
    ///
    /// The processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn mask_into(payload: &[u8], out: &mut [u8], key: MaskingKey) {
        mask_blocks_into(payload, out, key);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    /// Bytes that look random.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            (state >> 24) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn masks_are_those_of_the_ordinary_way() {
        let source = noise(3000);
        let key = MaskingKey::new([0x37, 0xfa, 0x21, 0x3d]);
        for start in 0..33 {
            for len in [LEAST, LEAST + 1, 255, 256, 257, 511, 1000, 1023, 2049, 2900] {
                let payload = &source[start..start + len];
                let mut expected = payload.to_vec();
                crate::frame::mask_blocks(&mut expected, key);
                let (mut masked, mut copied) = (source.clone(), source.clone());
                if mask(&mut masked[start..start + len], key) {
                    assert_eq!(masked[start..start + len], expected);
                    assert_eq!(masked[..start], source[..start]);
                    assert_eq!(masked[start + len..], source[start + len..]);
                }
                if mask_into(payload, &mut copied[start..start + len], key) {
                    assert_eq!(copied[start..start + len], expected);
                    assert_eq!(copied[start + len..], source[start + len..]);
                }
            }
        }
    }

    // Every place of a text, and every byte there.
    #[test]
    fn text_is_what_the_standard_library_says() {
        let text = "a\u{7f}\u{80}ß\u{7ff}\u{800}言\u{d7ff}\u{e000}\u{ffff}\u{10000}🦀\u{10ffff}";
        let text = text.repeat(6);
        for (at, _) in text.bytes().enumerate() {
            for byte in 0..=255 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = byte;
                if let Some(result) = from_utf8(&bytes) {
                    assert_eq!(result.ok(), core::str::from_utf8(&bytes).ok(), "{at} {byte}");
                }
            }
            let cut = &text.as_bytes()[at..];
            if let Some(result) = from_utf8(cut) {
                assert_eq!(result.ok(), core::str::from_utf8(cut).ok(), "{at}");
            }
        }
    }
}
