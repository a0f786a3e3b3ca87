//! Vector instructions that the processor has beyond those that the target promises (feature `simd`).
//!
//! Each function returns `None` or `false` where there are none, or where the input is too short to be worth the
//! question; the caller then goes the ordinary way, which gives the same results. This and
//! `message/text.rs` are the places of the crate with unsafe code.
#![allow(unsafe_code)]

use crate::{MaskingKey, ProtocolError};

/// From so many bytes on, the question and the call cost less than they save.
const LEAST: usize = 128;

#[cfg(target_arch = "x86_64")]
cpufeatures::new!(avx2, "avx2");

/// Masks `payload` in place, as [`mask`](crate::frame::mask()); returns whether it did.
#[inline(always)]
pub(crate) fn mask(payload: &mut [u8], key: MaskingKey) -> bool {
    payload.len() >= LEAST && mask_long(payload, key)
}

#[inline(never)]
fn mask_long(payload: &mut [u8], key: MaskingKey) -> bool {
    #[cfg(target_arch = "x86_64")]
    if avx2::get() {
        // SAFETY: the processor has AVX2.
        unsafe { x86_64::mask(payload, key) };
        return true;
    }
    let _ = (payload, key);
    false
}

/// Copies `payload` to the start of `out` and masks it on the way; returns whether it did. Both have the same length.
#[inline(always)]
pub(crate) fn mask_into(payload: &[u8], out: &mut [u8], key: MaskingKey) -> bool {
    payload.len() >= LEAST && mask_long_into(payload, out, key)
}

#[inline(never)]
fn mask_long_into(payload: &[u8], out: &mut [u8], key: MaskingKey) -> bool {
    #[cfg(target_arch = "x86_64")]
    if avx2::get() {
        // SAFETY: the processor has AVX2.
        unsafe { x86_64::mask_into(payload, out, key) };
        return true;
    }
    let _ = (payload, out, key);
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
    #[cfg(target_arch = "x86_64")]
    if avx2::get() {
        // SAFETY: the processor has AVX2.
        return Some(unsafe { simdutf8::basic::imp::x86::avx2::validate_utf8(bytes) }.is_ok());
    }
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    // SAFETY: the target has NEON.
    return Some(unsafe { simdutf8::basic::imp::aarch64::neon::validate_utf8(bytes) }.is_ok());
    #[cfg(not(all(target_arch = "aarch64", target_feature = "neon")))]
    {
        let _ = bytes;
        None
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
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
