//! The content of the messages.

use bytes::Bytes;

/// Returns bytes that are not text.
pub fn binary(len: usize) -> Bytes {
    (0..len).map(|index| index as u8).collect()
}

/// Returns the same payload at four offsets in a page.
///
/// On some processors a long `memcpy` is many times slower if source and target are at nearly the same offset in their
/// pages. Where an engine's buffers are is a matter of chance, but for at least three of the four offsets this does not
/// happen.
pub fn at_page_offsets(payload: &Bytes) -> Vec<Bytes> {
    const PAGE: usize = 4096;
    let place = |offset: usize| {
        let mut bytes = vec![0; payload.len() + 2 * PAGE];
        let start = bytes.as_ptr().addr().next_multiple_of(PAGE) - bytes.as_ptr().addr() + offset;
        bytes[start..start + payload.len()].copy_from_slice(payload);
        Bytes::from(bytes).slice(start..start + payload.len())
    };
    [512, 1536, 2560, 3584].map(place).to_vec()
}

/// Returns English text.
pub fn ascii(len: usize) -> Bytes {
    b"The quick brown fox jumps over the lazy dog. ".iter().copied().cycle().take(len).collect()
}

/// Returns Chinese text, with three bytes for each character.
pub fn cjk(len: usize) -> Bytes {
    let text = "言語による通信規約の検査は速くなければならない。";
    text.chars().cycle().take(len / 3).collect::<String>().into()
}

/// The number of different texts. A branch predictor would learn a single repeated message.
const DIFFERENT: u32 = 64;

/// Returns texts of about `len` bytes each. Their characters have one to four bytes, in a different order in each text.
pub fn mixed(len: usize) -> Vec<Bytes> {
    (1..=DIFFERENT).map(|seed| mixed_text(seed.wrapping_mul(0x9e37_79b9), len).into()).collect()
}

fn mixed_text(seed: u32, len: usize) -> String {
    let mut state = seed;
    let mut text = String::with_capacity(len);
    loop {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let (first, count) = match state % 4 {
            0 => (0x20, 0x5f),
            1 => (0xa0, 0x700),
            2 => (0x3040, 0x5000),
            _ => (0x1_f300, 0x300),
        };
        let character = char::from_u32(first + (state >> 8) % count).expect("no surrogate");
        if text.len() + character.len_utf8() > len {
            return text;
        }
        text.push(character);
    }
}
