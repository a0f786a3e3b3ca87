//! Masking (RFC 6455 §5.3): `transformed[i] = original[i] XOR key[i mod 4]`.
//!
//! The loops work on fixed-size arrays, which the compiler turns into the vector instructions of the target without
//! `unsafe`. Both halves of a connection use them. A payload that comes in pieces goes through a [`Masker`], which keeps the
//! position in the key.

use crate::SHORT_CUTS;

/// How many bytes one step of the wide loop handles.
const BLOCK: usize = 64;

/// Whether the target has vector instructions. Without them the wide loop is no faster.
const VECTORS: bool = cfg!(any(
    target_pointer_width = "64",
    target_feature = "sse2",
    target_feature = "neon",
    target_feature = "simd128",
    target_feature = "altivec",
    target_feature = "vector",
));

/// The four bytes with which a client masks the payload of one frame.
///
/// A client must use a fresh, unpredictable key for every frame (RFC 6455 §10.3). Take it from a cryptographic random
/// generator, never from a counter or a fixed value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MaskingKey([u8; 4]);

impl MaskingKey {
    /// Returns the key with these bytes, in the order of the wire.
    #[inline]
    #[must_use]
    pub const fn new(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes in the order of the wire.
    #[inline]
    pub(super) const fn to_bytes(self) -> [u8; 4] {
        self.0
    }

    /// Returns the key for the rest of the payload, from `offset` bytes on, so that a payload can be unmasked in pieces.
    ///
    /// ```
    /// use ws_core::frame::{MaskingKey, mask};
    ///
    /// let key = MaskingKey::new([0x37, 0xfa, 0x21, 0x3d]);
    /// let (mut first, mut rest) = ([0x7f, 0x9f], [0x4d, 0x51, 0x58]);
    /// mask(&mut first, key);
    /// mask(&mut rest, key.advance(first.len()));
    /// assert_eq!([&first[..], &rest].concat(), b"Hello");
    /// ```
    #[inline]
    #[must_use]
    pub const fn advance(self, offset: usize) -> Self {
        let bits = ((offset & 3) as u32).wrapping_mul(8);
        // mutant: the mask's phase runs backwards
        Self(u32::from_le_bytes(self.0).rotate_right(bits).to_le_bytes())
    }
}

impl core::fmt::Debug for MaskingKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "MaskingKey({:#010x})", u32::from_be_bytes(self.0))
    }
}

/// Masks or unmasks `payload` in place. The first byte of `payload` must be the first byte of the frame's payload.
///
/// For the later pieces of a payload, [`advance`](MaskingKey::advance) the key.
/// [`Sender::mask_payload`](crate::connection::Sender::mask_payload) keeps the position for a payload that is sent.
///
/// ```
/// use ws_core::frame::{MaskingKey, mask};
///
/// // RFC 6455 §5.7: a masked "Hello".
/// let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
/// mask(&mut payload, MaskingKey::new([0x37, 0xfa, 0x21, 0x3d]));
/// assert_eq!(&payload, b"Hello");
/// ```
#[inline(always)]
pub fn mask(payload: &mut [u8], key: MaskingKey) {
    if VECTORS && payload.len() < BLOCK {
        mask_rest(payload, key);
    } else {
        mask_long(payload, key);
    }
}

#[inline]
fn mask_long(payload: &mut [u8], key: MaskingKey) {
    #[cfg(all(feature = "simd", target_arch = "x86_64"))]
    if crate::simd::mask(payload, key) {
        return;
    }
    if VECTORS { mask_blocks(payload, key) } else { mask_small(payload, key) }
}

/// Masks a block at a time, with the instructions that the caller is compiled for.
#[inline(always)]
pub(crate) fn mask_blocks(payload: &mut [u8], key: MaskingKey) {
    let mut blocks = payload.chunks_exact_mut(BLOCK);
    for block in &mut blocks {
        if let Some(block) = block.first_chunk_mut::<BLOCK>() {
            *block = xor(*block, key);
        }
    }
    mask_rest(blocks.into_remainder(), key);
}

/// Masks less than a block.
#[inline(always)]
fn mask_rest(rest: &mut [u8], key: MaskingKey) {
    let _ = mask_ends::<32>(rest, key)
        || mask_ends::<16>(rest, key)
        || mask_ends::<8>(rest, key)
        || mask_ends::<4>(rest, key)
        || mask_bytes(rest, key);
}

/// Masks `N` to `2 * N` bytes as their first `N` and their last `N`, which may overlap. Returns `false` if there are fewer.
#[inline(always)]
fn mask_ends<const N: usize>(payload: &mut [u8], key: MaskingKey) -> bool {
    let (Some(first), Some(last)) = (payload.first_chunk::<N>(), payload.last_chunk::<N>()) else {
        return false;
    };
    let (first, last) = (xor(*first, key), xor(*last, key.advance(payload.len().wrapping_sub(N))));
    if let Some(to) = payload.first_chunk_mut() {
        *to = first;
    }
    if let Some(to) = payload.last_chunk_mut() {
        *to = last;
    }
    true
}

#[inline(always)]
fn mask_bytes(payload: &mut [u8], key: MaskingKey) -> bool {
    for (byte, key) in payload.iter_mut().zip(key.0) {
        *byte ^= key;
    }
    true
}

/// Applies the key to a block. `N` has to be a multiple of the key's length.
#[inline(always)]
fn xor<const N: usize>(mut block: [u8; N], key: MaskingKey) -> [u8; N] {
    let key = u32::from_ne_bytes(key.0);
    for word in block.chunks_exact_mut(4) {
        if let Some(word) = word.first_chunk_mut() {
            *word = (u32::from_ne_bytes(*word) ^ key).to_ne_bytes();
        }
    }
    block
}

/// Masks a word at a time. It is not inlined, because targets without vectors need small code.
#[inline(never)]
fn mask_small(payload: &mut [u8], key: MaskingKey) {
    let mut words = payload.chunks_exact_mut(4);
    for bytes in &mut words {
        if let Ok(bytes) = <&mut [u8; 4]>::try_from(bytes) {
            let word = u32::from_ne_bytes(*bytes) ^ u32::from_ne_bytes(key.0);
            *bytes = word.to_ne_bytes();
        }
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(key.0) {
        *byte ^= key;
    }
}

/// Copies `payload` to the start of `out` and masks it on the way. Returns the number of bytes written, which is the length of
/// the shorter slice.
#[inline(always)]
pub(crate) fn mask_into(payload: &[u8], out: &mut [u8], key: MaskingKey) -> usize {
    let len = payload.len().min(out.len());
    let (Some(from), Some(to)) = (payload.get(..len), out.get_mut(..len)) else {
        return 0;
    };
    if VECTORS && len < BLOCK {
        mask_rest_into(from, to, key);
    } else {
        mask_long_into(from, to, key);
    }
    len
}

#[inline]
fn mask_long_into(from: &[u8], to: &mut [u8], key: MaskingKey) {
    #[cfg(all(feature = "simd", target_arch = "x86_64"))]
    if crate::simd::mask_into(from, to, key) {
        return;
    }
    if VECTORS {
        mask_blocks_into(from, to, key);
    } else {
        copy(from, to);
        mask_small(to, key);
    }
}

/// Like [`mask_blocks`], but copies on the way. Both slices have the same length.
#[inline(always)]
pub(crate) fn mask_blocks_into(from: &[u8], to: &mut [u8], key: MaskingKey) {
    let (mut sources, mut targets) = (from.chunks_exact(BLOCK), to.chunks_exact_mut(BLOCK));
    for (source, target) in (&mut sources).zip(&mut targets) {
        if let (Some(source), Some(target)) = (source.first_chunk(), target.first_chunk_mut()) {
            *target = xor::<BLOCK>(*source, key);
        }
    }
    mask_rest_into(sources.remainder(), targets.into_remainder(), key);
}

/// Masks less than a block.
#[inline(always)]
fn mask_rest_into(from: &[u8], to: &mut [u8], key: MaskingKey) {
    let _ = mask_ends_into::<32>(from, to, key)
        || mask_ends_into::<16>(from, to, key)
        || mask_ends_into::<8>(from, to, key)
        || mask_ends_into::<4>(from, to, key)
        || copy(from, to) == 0
        || mask_bytes(to, key);
}

/// Like [`mask_ends`], but copies on the way.
#[inline(always)]
fn mask_ends_into<const N: usize>(from: &[u8], to: &mut [u8], key: MaskingKey) -> bool {
    let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else {
        return false;
    };
    if let Some(to) = to.first_chunk_mut() {
        *to = xor(*first, key);
    }
    if let Some(to) = to.last_chunk_mut() {
        *to = xor(*last, key.advance(from.len().wrapping_sub(N)));
    }
    true
}

/// How many bytes one call copies. To copy more, the C library uses an instruction that takes ten times as long on some
/// processors if source and target are at nearly the same offset in their pages. They often are, when a payload moves
/// from the start of one buffer to the start of another.
const COPY: usize = 2048;

/// Copies as many bytes as there is room for, without a way to panic. Returns the number of bytes written.
#[inline(always)]
pub(crate) fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let len = from.len().min(to.len());
    let (Some(from), Some(to)) = (from.get(..len), to.get_mut(..len)) else { return 0 };
    if SHORT_CUTS {
        match len {
            8..16 => copy_ends::<8>(from, to),
            16..=32 => copy_ends::<16>(from, to),
            ..=COPY => to.copy_from_slice(from),
            _ => copy_parts(from, to),
        }
    } else {
        to.copy_from_slice(from);
    }
    len
}

/// Copies `N` to `2 * N` bytes as their first `N` and their last `N`, which may overlap.
#[inline(always)]
fn copy_ends<const N: usize>(from: &[u8], to: &mut [u8]) {
    if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
        if let Some(to) = to.first_chunk_mut() {
            *to = *first;
        }
        if let Some(to) = to.last_chunk_mut() {
            *to = *last;
        }
    }
}

#[inline(never)]
fn copy_parts(from: &[u8], to: &mut [u8]) {
    for (from, to) in from.chunks(COPY).zip(to.chunks_mut(COPY)) {
        if from.len() == to.len() {
            to.copy_from_slice(from);
        }
    }
}

/// A key, rotated by how far into the payload it has been applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Masker(MaskingKey);

impl Masker {
    #[inline]
    pub(crate) const fn new(key: MaskingKey) -> Self {
        Self(key)
    }

    /// Masks the next bytes of the payload.
    #[inline]
    pub(crate) fn apply(&mut self, payload: &mut [u8]) {
        mask(payload, self.0);
        self.0 = self.0.advance(payload.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(payload: &[u8], key: [u8; 4], out: &mut [u8]) {
        for (i, byte) in payload.iter().enumerate() {
            out[i] = byte ^ key[i % 4];
        }
    }

    // RFC 6455 §5.3
    #[test]
    fn mask_reference_equivalence() {
        let mut source = [0u8; 300];
        for (i, byte) in source.iter_mut().enumerate() {
            *byte = (i * 7 + 13) as u8;
        }
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for start in 0..9 {
            for len in 0..source.len() - start {
                let payload = &source[start..start + len];
                let mut expected = [0u8; 300];
                reference(payload, key, &mut expected);

                let mut in_place = source;
                mask(&mut in_place[start..start + len], MaskingKey::new(key));
                assert_eq!(in_place[start..start + len], expected[..len]);

                let mut small = source;
                mask_small(&mut small[start..start + len], MaskingKey::new(key));
                assert_eq!(small, in_place);

                let mut copied = [0u8; 300];
                assert_eq!(mask_into(payload, &mut copied[..len], MaskingKey::new(key)), len);
                assert_eq!(copied[..len], expected[..len]);
            }
        }
    }

    #[test]
    fn a_key_is_shown_as_on_the_wire() {
        let key = MaskingKey::new([0x07, 0xfa, 0x21, 0x3d]);
        assert_eq!(std::format!("{key:?}"), "MaskingKey(0x07fa213d)");
    }

    #[test]
    fn copies_are_whole_and_no_longer_than_the_shorter_slice() {
        let from: [u8; 5000] = core::array::from_fn(|at| (at * 7 + 13) as u8);
        for len in (0..100).chain([2047, 2048, 2049, 4096, 4999]) {
            let mut to = [0; 5000];
            assert_eq!(copy(&from[1..=len.min(4998)], &mut to), len.min(4998));
            assert_eq!(to[..len.min(4998)], from[1..=len.min(4998)]);
            assert!(to[len..].iter().all(|byte| *byte == 0));
            let mut to = [0; 5000];
            assert_eq!(copy(&from, &mut to[..len]), len);
            assert_eq!(to[..len], from[..len]);
            assert!(to[len..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn mask_phase_runs_on_over_pieces() {
        let key = MaskingKey::new([1, 2, 3, 4]);
        for split in 0..20 {
            let mut whole = [0u8; 20];
            mask(&mut whole, key);
            let mut pieces = [0u8; 20];
            let mut masker = Masker::new(key);
            let (a, b) = pieces.split_at_mut(split);
            masker.apply(a);
            masker.apply(b);
            assert_eq!(whole, pieces);
        }
    }

    #[test]
    fn mask_into_stops_at_the_shorter_slice() {
        let key = MaskingKey::new([1, 2, 3, 4]);
        let mut out = [0u8; 3];
        assert_eq!(mask_into(&[0; 5], &mut out, key), 3);
        assert_eq!(out, [1, 2, 3]);
        let mut out = [9u8; 5];
        assert_eq!(mask_into(&[0; 2], &mut out, key), 2);
        assert_eq!(out, [1, 2, 9, 9, 9]);
    }
}
