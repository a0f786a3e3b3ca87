//! Inflates short messages without an engine, if they are in the simplest form.
//!
//! This form is one block with the fixed codes of DEFLATE (RFC 1951 §3.2.6) and the empty block of a flush. Compressors give it to
//! most messages of up to about 128 bytes, and zlib-rs at level 1 to longer ones, too. For a short message, most of an engine's
//! time goes into calls: only a second call shows that a block has ended with the payload, and each call copies the output into the
//! engine's window. So such a message is inflated straight from the history.
//!
//! Every other message, including each that is invalid or too long, is left to an engine, which decides whether it is valid.

/// The longest payload that is tried, in bytes.
pub(super) const LONGEST: usize = 512;

/// The most room that a message may have, in bytes. For longer messages, an engine is faster.
pub(super) const ROOM: usize = 4096;

/// What a code stands for, if a literal or a length comes next (RFC 1951 §3.2.5).
#[derive(Clone, Copy)]
struct Code {
    /// The literal, or the least length of a match.
    base: u16,
    /// The length of the code in bits.
    len: u8,
    /// The number of extra bits of a length, 0 to 5, or one of the values below.
    kind: u8,
}

const LITERAL: u8 = 16;
const END_OF_BLOCK: u8 = 17;
const INVALID: u8 = 18;

/// The codes, by the next nine bits. A shorter code has several places.
#[allow(clippy::indexing_slicing, reason = "out of bounds, a constant does not compile")]
const CODES: [Code; 512] = {
    let mut codes = [Code { base: 0, len: 0, kind: INVALID }; 512];
    let mut at = 0;
    while at < codes.len() {
        // RFC 1951 §3.2.6. Codes begin with their upper bit.
        let bits = (at as u16).reverse_bits() >> 7;
        codes[at] = match bits {
            0..0x060 => length(bits >> 2, 7),
            0x060..0x180 => Code { base: (bits >> 1) - 0x30, len: 8, kind: LITERAL },
            0x180..0x190 => length((bits >> 1) - 0xc0 + 24, 8),
            _ => Code { base: bits - 0x190 + 144, len: 9, kind: LITERAL },
        };
        at += 1;
    }
    codes
};

/// Returns the code of the symbol 256 + `symbol`: the end of the block, or a length.
#[allow(clippy::arithmetic_side_effects, reason = "if it overflowed, no constant would compile")]
const fn length(symbol: u16, len: u8) -> Code {
    match symbol {
        0 => Code { base: 0, len, kind: END_OF_BLOCK },
        1..=8 => Code { base: symbol + 2, len, kind: 0 },
        9..=28 => {
            let extra = (symbol - 5) / 4;
            Code { base: 3 + ((4 + (symbol - 1) % 4) << extra), len, kind: extra as u8 }
        }
        29 => Code { base: 258, len, kind: 0 },
        _ => Code { base: 0, len, kind: INVALID },
    }
}

/// The least distance of a code and its number of extra bits, by the next five bits. A distance of zero is invalid.
#[allow(clippy::indexing_slicing, reason = "out of bounds, a constant does not compile")]
const DISTANCES: [(u16, u8); 32] = {
    let mut distances = [(0, 0); 32];
    let mut at = 0;
    while at < distances.len() {
        let code = (at as u16).reverse_bits() >> 11;
        distances[at] = match code {
            0..=3 => (code + 1, 0),
            4..=29 => {
                let extra = code / 2 - 1;
                (1 + ((2 + code % 2) << extra), extra as u8)
            }
            _ => (0, 0),
        };
        at += 1;
    }
    distances
};

/// The bits of a payload, with zeros behind it.
struct Bits<'p> {
    payload: &'p [u8],
    /// The position of the first byte of which not all bits count as held.
    at: usize,
    /// The next bits, from the lowest. Those beyond `count` are zero, or the right ones.
    hold: u64,
    count: u32,
}

impl Bits<'_> {
    /// Holds at least 56 bits.
    #[inline]
    fn fill(&mut self) {
        let rest = self.payload.get(self.at..).unwrap_or_default();
        let next = rest.first_chunk().copied().unwrap_or_else(|| {
            let mut padded = [0; 8];
            padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            padded
        });
        self.hold |= u64::from_le_bytes(next) << (self.count & 63);
        let bytes = 63_u32.wrapping_sub(self.count) >> 3;
        self.at = self.at.wrapping_add(bytes as usize);
        self.count = self.count.wrapping_add(bytes << 3);
    }

    /// Takes so many bits, at most 13 and no more than are held.
    #[inline]
    fn take(&mut self, bits: u8) -> usize {
        let taken = self.hold & (1_u64 << (bits & 63)).wrapping_sub(1);
        self.hold >>= bits & 63;
        self.count = self.count.wrapping_sub(bits.into());
        taken as usize
    }

    /// Returns how many bits of the payload are left, or `None` if more were taken than there are.
    fn left(&self) -> Option<usize> {
        let held = (self.count as usize).saturating_add(self.payload.len().saturating_mul(8));
        held.checked_sub(self.at.saturating_mul(8))
    }
}

/// Inflates the payload of a whole message into `output` and returns the length of the message. The message may refer to the
/// `history`, which comes in two parts.
///
/// Returns `None` if the payload is not one block with the fixed codes and an empty stored block without its last four
/// bytes, if the message leaves no room in `output`, or if it is invalid. In that case the contents of `output` are
/// unspecified; so are the bytes behind a message.
pub(super) fn inflate(payload: &[u8], history: [&[u8]; 2], output: &mut [u8]) -> Option<usize> {
    // A block with the fixed codes that is not final.
    if payload.first()? & 0b111 != 0b010 {
        return None;
    }
    let mut bits = Bits { payload, at: 0, hold: 0, count: 0 };
    bits.fill();
    bits.take(3);
    let mut at = 0_usize;
    loop {
        let code = CODES.get(bits.hold as usize & 511)?;
        bits.take(code.len);
        match code.kind {
            LITERAL => {
                *output.get_mut(at)? = code.base as u8;
                at = at.wrapping_add(1);
            }
            END_OF_BLOCK => break,
            INVALID => return None,
            extra => {
                let len = usize::from(code.base).wrapping_add(bits.take(extra));
                let (base, extra) = DISTANCES.get(bits.take(5))?;
                let distance = usize::from(*base).wrapping_add(bits.take(*extra));
                copy(history, output, at, distance, len)?;
                at = at.wrapping_add(len);
            }
        }
        // A length and a distance take at most 31 bits.
        if bits.count < 31 {
            bits.fill();
        }
    }
    // The empty block begins with three zeros and others up to the end of a byte.
    let left = bits.left()?;
    let empty = (3..=10).contains(&left) && bits.take(left as u8) == 0;
    (empty && at < output.len()).then_some(at)
}

/// With matches up to this length, which most are, one copy of this length is faster than one of the right length.
const WIDE: usize = 32;

/// Copies a match to `output[at..]`.
#[inline]
fn copy(
    history: [&[u8]; 2],
    output: &mut [u8],
    at: usize,
    distance: usize,
    len: usize,
) -> Option<()> {
    let Some(start) = at.checked_sub(distance) else {
        return copy_from_history(history, output, at, distance, len);
    };
    let (done, free) = output.split_at_mut_checked(at).unwrap_or_default();
    if copy_wide(done.get(start..).unwrap_or_default(), free, len) {
        return Some(());
    }
    repeat(output, start, at, len)
}

/// Copies a short match if there is room for more bytes than it has. Returns whether it did.
#[inline]
fn copy_wide(from: &[u8], to: &mut [u8], len: usize) -> bool {
    let (Some(from), Some(to)) = (from.first_chunk::<WIDE>(), to.first_chunk_mut()) else {
        return false;
    };
    if len <= WIDE {
        *to = *from;
    }
    len <= WIDE
}

/// Copies `len` bytes from `start` to `at`, again and again those between the two.
fn repeat(output: &mut [u8], start: usize, mut at: usize, mut len: usize) -> Option<()> {
    while len != 0 {
        let (done, free) = output.split_at_mut_checked(at).unwrap_or_default();
        let from = done.get(start..).unwrap_or_default();
        let from = from.get(..len).unwrap_or(from);
        if from.is_empty() {
            // The distance is zero.
            return None;
        }
        free.get_mut(..from.len())?.copy_from_slice(from);
        at = at.wrapping_add(from.len());
        len = len.wrapping_sub(from.len());
    }
    Some(())
}

/// Copies a match that begins in the history.
fn copy_from_history(
    [older, newer]: [&[u8]; 2],
    output: &mut [u8],
    mut at: usize,
    distance: usize,
    mut len: usize,
) -> Option<()> {
    let back = distance.saturating_sub(at);
    let (first, second) = match back.checked_sub(newer.len()) {
        None | Some(0) => (newer.get(newer.len().saturating_sub(back)..), &[][..]),
        // `None` if it begins before the history.
        Some(back) => (older.get(older.len().checked_sub(back)?..), newer),
    };
    let first = first.unwrap_or_default();
    if copy_wide(first, output.get_mut(at..).unwrap_or_default(), len) {
        return Some(());
    }
    for from in [first, second] {
        let from = from.get(..len).unwrap_or(from);
        output.get_mut(at..at.saturating_add(from.len()))?.copy_from_slice(from);
        at = at.wrapping_add(from.len());
        len = len.wrapping_sub(from.len());
    }
    // What is left begins at the start of the message.
    repeat(output, 0, at, len)
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    /// The least length of each code from 257 on (RFC 1951 §3.2.5).
    const LENGTHS: [usize; 29] = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115,
        131, 163, 195, 227, 258,
    ];
    /// The least distance of each code.
    const DISTANCES: [usize; 30] = [
        1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
        2049, 3073, 4097, 6145, 8193, 12_289, 16_385, 24_577,
    ];

    /// Returns the code of a value, and the extra bits and their number. `end` is behind the last value.
    fn coded(least: &[usize], end: usize, value: usize) -> (usize, usize, usize) {
        let code = least.partition_point(|least| *least <= value) - 1;
        let next = least.get(code + 1).copied().unwrap_or(end);
        let bits = (next - least[code]).next_power_of_two().ilog2();
        (code, value - least[code], bits as usize)
    }

    /// A payload bit by bit, and what it stands for.
    struct Message {
        bits: Vec<bool>,
        /// The history, and behind it the message.
        plain: Vec<u8>,
        start: usize,
    }

    impl Message {
        fn new(history: &[u8]) -> Self {
            let mut message =
                Self { bits: Vec::new(), plain: history.to_vec(), start: history.len() };
            message.number(0, 1);
            message.number(1, 2);
            message
        }

        /// A number begins with its lowest bit (RFC 1951 §3.1.1).
        fn number(&mut self, number: usize, len: usize) {
            self.bits.extend((0..len).map(|bit| number >> bit & 1 == 1));
        }

        /// A code begins with its highest bit.
        fn code(&mut self, code: usize, len: usize) {
            self.bits.extend((0..len).rev().map(|bit| code >> bit & 1 == 1));
        }

        /// RFC 1951 §3.2.6
        fn symbol(&mut self, symbol: usize) {
            match symbol {
                0..=143 => self.code(0b0011_0000 + symbol, 8),
                144..=255 => self.code(0b1_1001_0000 + symbol - 144, 9),
                256..=279 => self.code(symbol - 256, 7),
                _ => self.code(0b1100_0000 + symbol - 280, 8),
            }
        }

        fn literals(mut self, bytes: &[u8]) -> Self {
            bytes.iter().for_each(|byte| self.symbol((*byte).into()));
            self.plain.extend_from_slice(bytes);
            self
        }

        /// Refers to plaintext that is so far back. What was before the history counts as zeros.
        fn copy(mut self, distance: usize, len: usize) -> Self {
            let (code, rest, bits) = coded(&LENGTHS, 259, len);
            self.symbol(257 + code);
            self.number(rest, bits);
            let (code, rest, bits) = coded(&DISTANCES, 32_769, distance);
            self.code(code, 5);
            self.number(rest, bits);
            for _ in 0..len {
                let from = self.plain.len().checked_sub(distance);
                self.plain.push(from.map_or(0, |from| self.plain[from]));
            }
            self
        }

        /// The block ends, and the empty one begins.
        fn end(mut self) -> Self {
            self.symbol(256);
            self.number(0, 3);
            self
        }

        fn payload(&self) -> Vec<u8> {
            let byte =
                |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
            self.bits.chunks(8).map(byte).collect()
        }

        fn plain(&self) -> &[u8] {
            &self.plain[self.start..]
        }
    }

    fn history() -> Vec<u8> {
        let mut state = 1_u32;
        let next = |_| {
            state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            (state >> 24) as u8
        };
        (0..32 * 1024).map(next).collect()
    }

    fn inflated(payload: &[u8], history: [&[u8]; 2]) -> Option<Vec<u8>> {
        let mut output = vec![0; 4096];
        let len = inflate(payload, history, &mut output)?;
        output.truncate(len);
        Some(output)
    }

    #[track_caller]
    fn is_inflated(message: &Message, history: [&[u8]; 2]) {
        let plain = inflated(&message.payload(), history);
        assert!(plain.as_deref() == Some(message.plain()), "{plain:02x?}");
    }

    #[test]
    fn every_literal() {
        let all: Vec<u8> = (0..=255).collect();
        is_inflated(&Message::new(&[]).literals(&all).end(), [&[]; 2]);
        for byte in all {
            is_inflated(&Message::new(&[]).literals(&[byte]).end(), [&[]; 2]);
        }
    }

    #[test]
    fn every_length_at_every_kind_of_distance() {
        let history = history();
        let edges = DISTANCES.iter().flat_map(|least| [*least, least + 1, least.max(&2) - 1]);
        let distances: Vec<usize> = edges.chain([20, 29, 30, 31, 32_767, 32_768]).collect();
        for split in [0, 20, 32_740, history.len()] {
            let parts = history.split_at(split).into();
            for len in 3..=258 {
                for distance in &distances {
                    // From the history, from the message, and from both.
                    let message = Message::new(&history).copy(*distance, len).literals(b"abc");
                    is_inflated(&message.copy(*distance, len).literals(b"d").end(), parts);
                }
            }
        }
    }

    #[test]
    fn many_matches_of_the_most_bits() {
        let history = history();
        let matches = |message: Message, _| message.copy(32_000, 140);
        is_inflated(&(0..25).fold(Message::new(&history), matches).end(), [&history, &[]]);
    }

    #[test]
    fn a_distance_reaches_back_to_the_start_of_the_history() {
        let history = b"the history";
        for split in 0..=history.len() {
            let parts = history.split_at(split);
            for (distance, reaches) in [(14, true), (15, false), (16, false), (32_768, false)] {
                let message = Message::new(history).literals(b"abc").copy(distance, 5).end();
                let plain = inflated(&message.payload(), [parts.0, parts.1]);
                assert_eq!(plain, reaches.then(|| message.plain().to_vec()), "{split} {distance}");
            }
        }
        assert_eq!(inflated(&Message::new(&[]).copy(1, 3).end().payload(), [&[]; 2]), None);
    }

    // RFC 7692 §7.2.2: with the four bytes appended, the payload ends with an empty block, and no bit is left over
    #[test]
    fn a_message_ends_with_the_payload() {
        for literals in 0..24_u8 {
            // Those of 9 bits shift the end.
            let text: Vec<u8> = (0..literals).map(|i| b'a' + i + 0x80 * (i % 2)).collect();
            let message = Message::new(&[]).literals(&text).end();
            let payload = message.payload();
            is_inflated(&message, [&[]; 2]);
            for bit in message.bits.len() - 3..payload.len() * 8 {
                let mut changed = payload.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(inflated(&changed, [&[]; 2]), None, "bit {bit} of {payload:02x?}");
            }
            for end in 0..payload.len() {
                assert_eq!(inflated(&payload[..end], [&[]; 2]), None, "{end} of {payload:02x?}");
            }
            for more in [&[0][..], &[0, 0], &[0, 0, 0xff, 0xff], b"a"] {
                let payload = [&payload[..], more].concat();
                assert_eq!(inflated(&payload, [&[]; 2]), None, "{payload:02x?}");
            }
        }
    }

    #[test]
    fn other_blocks_and_invalid_symbols_are_left_to_the_engine() {
        let mut message = Message::new(&[]).literals(b"abc").end();
        let payload = message.payload();
        assert!(inflated(&payload, [&[]; 2]).is_some());
        for header in (0..8).filter(|header| *header != 0b010) {
            let payload = [&[payload[0] & !7 | header], &payload[1..]].concat();
            assert_eq!(inflated(&payload, [&[]; 2]), None, "{header:03b}");
        }
        for symbol in [286, 287] {
            message = Message::new(&[]).literals(b"abc");
            message.symbol(symbol);
            assert_eq!(inflated(&message.end().payload(), [&[]; 2]), None, "{symbol}");
        }
        for distance in [30, 31] {
            message = Message::new(&[]).literals(b"abc");
            message.symbol(257);
            message.code(distance, 5);
            assert_eq!(inflated(&message.end().payload(), [&[]; 2]), None, "{distance}");
        }
        assert_eq!(inflated(&[], [&[]; 2]), None);
    }

    #[test]
    fn a_message_needs_room_for_one_byte_more() {
        let history = history();
        let parts = [&history[..100], &history[100..]];
        for (distance, len) in [(1, 258), (31, 32), (40, 32), (40, 40), (32_700, 40), (10, 9)] {
            let message = Message::new(&history).literals(b"abc").copy(distance, len).end();
            let (payload, plain) = (message.payload(), message.plain());
            for room in 0..plain.len() + 50 {
                let mut output = vec![0; room];
                let len = inflate(&payload, parts, &mut output);
                assert_eq!(len, (room > plain.len()).then_some(plain.len()), "{distance} {room}");
                assert!(len.is_none_or(|len| output[..len] == *plain), "{distance} {room}");
            }
        }
    }
}
