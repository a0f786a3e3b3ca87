//! SHA-1 (RFC 3174) in the smallest form: the part of the crate `sha1` that the opening handshake
//! uses, for up to 512 MiB. That crate unrolls its rounds and takes 3.4 KB of flash on a Cortex-M4; this takes
//! a seventh of that.

#![no_std]
#![forbid(unsafe_code)]

/// What the crate `digest` calls this.
pub trait Digest {
    fn new() -> Self;
    fn update(&mut self, data: impl AsRef<[u8]>);
    fn finalize(self) -> [u8; 20];
}

/// A hash in the making.
pub struct Sha1 {
    state: [u32; 5],
    /// The block that is being filled, as words.
    words: [u32; 16],
    /// How many bytes were hashed.
    length: u32,
}

impl Digest for Sha1 {
    fn new() -> Self {
        let state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
        Self { state, words: [0; 16], length: 0 }
    }

    fn update(&mut self, data: impl AsRef<[u8]>) {
        data.as_ref().iter().for_each(|byte| self.push(*byte));
    }

    fn finalize(mut self) -> [u8; 20] {
        let bits = self.length.wrapping_mul(8);
        self.push(0x80);
        while self.length % 64 != 56 {
            self.push(0);
        }
        // Eight bytes of length in bits; its upper half is zero.
        for at in 0..8 {
            self.push(bits.checked_shr(56 - 8 * at).unwrap_or(0) as u8);
        }
        core::array::from_fn(|at| (self.state[at / 4] >> (24 - at % 4 * 8)) as u8)
    }
}

impl Sha1 {
    fn push(&mut self, byte: u8) {
        let word = &mut self.words[self.length as usize / 4 % 16];
        *word = *word << 8 | u32::from(byte);
        self.length = self.length.wrapping_add(1);
        if self.length % 64 == 0 {
            self.compress();
        }
    }

    fn compress(&mut self) {
        let [mut a, mut b, mut c, mut d, mut e] = self.state;
        for round in 0..80_usize {
            let w = &mut self.words;
            if round >= 16 {
                let word = w[(round + 13) % 16] ^ w[(round + 8) % 16] ^ w[(round + 2) % 16];
                w[round % 16] = (w[round % 16] ^ word).rotate_left(1);
            }
            let (f, k) = match round / 20 {
                0 => (d ^ (b & (c ^ d)), 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => ((b & c) | (d & (b | c)), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next.wrapping_add(w[round % 16]));
        }
        for (state, word) in self.state.iter_mut().zip([a, b, c, d, e]) {
            *state = state.wrapping_add(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 3174 §7.3, and the lengths at which the padding takes another block.
    #[test]
    fn hashes() {
        for (text, count, hash) in [
            ("", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("a", 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a"),
            ("a", 59, "dbc8b8f59ff85a2b1448ed873484b14bf0507246"),
            ("a", 60, "13d956033d9af449bfe2c4ef78c17c20469c4bf1"),
            ("a", 56, "c2db330f6083854c99d4b5bfb6e8f29f201be699"),
            ("a", 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d"),
            ("a", 1_000_000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
        ] {
            let mut sha1 = Sha1::new();
            (0..count).for_each(|_| sha1.update(text));
            let found = sha1.finalize().map(|byte| [hex(byte >> 4), hex(byte & 15)]);
            assert_eq!(found.as_flattened(), hash.as_bytes(), "{count} times {text:?}");
        }
    }

    fn hex(digit: u8) -> u8 {
        b"0123456789abcdef"[usize::from(digit)]
    }
}
