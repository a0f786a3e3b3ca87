//! Vector instructions beyond those that the compiler emits by itself (feature `simd`): AVX2 on x86-64, if the processor
//! has it, and NEON on AArch64, where it is always present.
//!
//! [`from_utf8`] exists for both. The mask functions use AVX2 only: on AArch64 the compiler turns the loop in
//! `frame/mask.rs` into NEON instructions by itself.
//!
//! Each function returns `None` or `false` if the processor has no such instructions, or if the input is too short for
//! them to pay off. The caller then uses the ordinary code, which has the same results. This file,
//! `message/text.rs` and `endpoint/assembly.rs` are the only ones of the crate with unsafe code.
#![allow(unsafe_code)]

use crate::ProtocolError;

#[cfg(target_arch = "x86_64")]
use avx2::is_utf8;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::{mask, mask_into};
#[cfg(target_arch = "aarch64")]
use neon::is_utf8;

/// How many bytes are compared at a time where ASCII is expected.
const BLOCK: usize = 64;

/// Returns `bytes` as text if they are UTF-8, an error if they are not, and `None` if they were not checked.
#[inline(always)]
pub(crate) fn from_utf8(bytes: &[u8]) -> Option<Result<&str, ProtocolError>> {
    let valid = is_short_ascii(bytes)? || is_utf8(bytes)?;
    // SAFETY: the bytes are ASCII, or `simdutf8` has checked them. To check them again with `core::str` would cost all
    // that is gained: 125 bytes of ASCII 17 → 9 ns, 1 KiB of Chinese 690 → 84 ns, 64 KiB of mixed text 226 → 5 µs.
    let text = valid.then(|| unsafe { core::str::from_utf8_unchecked(bytes) });
    Some(text.ok_or(ProtocolError::InvalidUtf8))
}

/// Returns whether the text is short and ASCII, or `None` if it is too short for a register.
#[inline(always)]
fn is_short_ascii(bytes: &[u8]) -> Option<bool> {
    // The last 16 bytes include what remains after the last whole block of 16.
    let mut all = *bytes.last_chunk::<16>()?;
    if bytes.len() >= 2 * BLOCK {
        return Some(false);
    }
    for block in bytes.chunks_exact(16) {
        all.iter_mut().zip(block).for_each(|(all, byte)| *all |= byte);
    }
    Some(is_ascii(&all))
}

#[inline(always)]
fn is_ascii<const N: usize>(block: &[u8; N]) -> bool {
    block.iter().fold(0, |all, byte| all | byte) < 0x80
}

/// Returns what follows the leading blocks of ASCII.
#[inline(always)]
fn after_ascii(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Some((block, tail)) = rest.split_first_chunk::<BLOCK>() {
        if !is_ascii(block) {
            return rest;
        }
        rest = tail;
    }
    // The last block overlaps bytes that were checked already, which is faster than checking the rest alone.
    if bytes.last_chunk::<BLOCK>().is_some_and(is_ascii) { &[] } else { rest }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    /// Returns whether all of it is UTF-8. NEON is always present, so this is never `None`.
    #[inline(never)]
    pub(super) fn is_utf8(bytes: &[u8]) -> Option<bool> {
        let rest = super::after_ascii(bytes);
        // SAFETY: this module is compiled only if the target has NEON. The gain is not measured, because the code has
        // run in an emulator only.
        let valid = || unsafe { simdutf8::basic::imp::aarch64::neon::validate_utf8(rest) }.is_ok();
        Some(rest.is_empty() || valid())
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::after_ascii;
    use crate::MaskingKey;
    use crate::frame::{mask_blocks, mask_blocks_into};

    /// From this many bytes on, masking with AVX2 saves more than the check and the call cost.
    const LEAST: usize = 256;

    /// From this many bytes on, it pays to store each register at an aligned address. A payload is not aligned, because it
    /// follows its header. 16 KiB 210 → 174 ns, 64 KiB 1,266 → 819 ns.
    const LONG: usize = 8 * 1024;

    cpufeatures::new!(processor, "avx2");

    /// Masks `payload` in place like [`mask`](crate::frame::mask()). Returns whether it did.
    #[inline(always)]
    pub(crate) fn mask(payload: &mut [u8], key: MaskingKey) -> bool {
        payload.len() >= LEAST && mask_long(payload, key)
    }

    #[inline(never)]
    fn mask_long(payload: &mut [u8], key: MaskingKey) -> bool {
        let has = processor::get();
        if has {
            // SAFETY: the processor has AVX2. 1 KiB 25 → 16 ns, 16 KiB 369 → 174 ns, 64 KiB 1,904 → 819 ns.
            unsafe { mask_by_avx2(payload, key) };
        }
        has
    }

    /// Copies `payload` to `out` and masks it on the way. Returns whether it did. Both slices have the same
    /// length.
    #[inline(always)]
    pub(crate) fn mask_into(payload: &[u8], out: &mut [u8], key: MaskingKey) -> bool {
        payload.len() >= LEAST && mask_long_into(payload, out, key)
    }

    #[inline(never)]
    fn mask_long_into(payload: &[u8], out: &mut [u8], key: MaskingKey) -> bool {
        let has = processor::get();
        if has {
            // SAFETY: the processor has AVX2. 1 KiB 27 → 19 ns, 16 KiB 437 → 258 ns, 64 KiB 2,535 → 1,545 ns.
            unsafe { mask_into_by_avx2(payload, out, key) };
        }
        has
    }

    /// Returns whether all of it is UTF-8, or `None` if the processor has no AVX2.
    #[inline(never)]
    pub(super) fn is_utf8(bytes: &[u8]) -> Option<bool> {
        processor::get().then(|| {
            // SAFETY: the processor has AVX2. 64 KiB of ASCII 1,461 → 948 ns.
            unsafe { is_utf8_by_avx2(bytes) }
        })
    }

    /// # Safety
    ///
    /// The processor must have AVX2.
    #[target_feature(enable = "avx2")]
    unsafe fn is_utf8_by_avx2(bytes: &[u8]) -> bool {
        let rest = after_ascii(bytes);
        // SAFETY: the caller guarantees that the processor has AVX2. 1 KiB of Chinese 690 → 84 ns.
        rest.is_empty() || unsafe { simdutf8::basic::imp::x86::avx2::validate_utf8(rest) }.is_ok()
    }

    /// # Safety
    ///
    /// The processor must have AVX2.
    #[target_feature(enable = "avx2")]
    unsafe fn mask_by_avx2(payload: &mut [u8], key: MaskingKey) {
        let (mut rest, mut key) = (payload, key);
        if rest.len() >= LONG {
            let unaligned = rest.as_ptr().align_offset(32).min(rest.len());
            let (head, tail) = rest.split_at_mut(unaligned);
            mask_blocks(head, key);
            (rest, key) = (tail, key.advance(unaligned));
        }
        mask_blocks(rest, key);
    }

    /// # Safety
    ///
    /// The processor must have AVX2.
    #[target_feature(enable = "avx2")]
    unsafe fn mask_into_by_avx2(payload: &[u8], out: &mut [u8], key: MaskingKey) {
        mask_blocks_into(payload, out, key);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn masks_are_those_of_the_ordinary_way() {
        let noise = |i: u32| (i.wrapping_mul(0x9e37_79b9) >> 24) as u8;
        let source: std::vec::Vec<u8> = (0..3000).map(noise).collect();
        let key = crate::MaskingKey::new([0x37, 0xfa, 0x21, 0x3d]);
        for start in 0..33 {
            for len in [1, 128, 255, 256, 257, 511, 1000, 1023, 2049, 2900] {
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

    #[test]
    fn a_byte_that_is_not_ascii_is_found_wherever_it_is() {
        for len in 16..400 {
            let mut bytes = std::vec![b'a'; len];
            assert_ne!(from_utf8(&bytes), Some(Err(ProtocolError::InvalidUtf8)), "{len}");
            for at in 0..len {
                bytes[at] = 0xff;
                assert!(!matches!(from_utf8(&bytes), Some(Ok(_))), "{len} {at}");
                bytes[at] = b'a';
            }
        }
    }

    // This tries every byte at every position of a text.
    #[test]
    fn text_is_what_the_standard_library_says() {
        let text = "a\u{7f}\u{80}ß\u{7ff}\u{800}言\u{d7ff}\u{e000}\u{ffff}\u{10000}🦀\u{10ffff}";
        let text = text.repeat(6);
        // NEON is always present, so this is the only way.
        assert!(cfg!(target_arch = "x86_64") || from_utf8(text.as_bytes()).is_some());
        for (at, _) in text.bytes().enumerate() {
            for byte in 0..=255 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = byte;
                if let Some(result) = from_utf8(&bytes) {
                    assert_eq!(result.ok(), core::str::from_utf8(&bytes).ok(), "{at} {byte}");
                }
            }
            let (start, end) = text.as_bytes().split_at(at);
            for cut in [start, end] {
                if let Some(result) = from_utf8(cut) {
                    assert_eq!(result.ok(), core::str::from_utf8(cut).ok(), "{at}");
                }
            }
        }
    }
}
