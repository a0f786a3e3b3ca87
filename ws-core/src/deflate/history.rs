//! The plaintext that the next message of one direction may refer to.

use alloc::vec::Vec;

use super::window::WindowBits;

/// The last bytes of plaintext that went through one direction of a connection, at most a window of them. This is all
/// that has to be kept between two messages (RFC 7692 §7.2.3.2).
///
/// Its memory grows with the plaintext, up to the size of the window.
pub(super) struct History {
    /// The bytes; a ring once it is as long as the window.
    bytes: Vec<u8>,
    /// The position of the oldest byte.
    start: usize,
    bits: WindowBits,
}

/// The first allocation, in bytes.
const LEAST: usize = 64;

impl History {
    pub(super) const fn new(bits: WindowBits) -> Self {
        Self { bytes: Vec::new(), start: 0, bits }
    }

    pub(super) const fn bits(&self) -> WindowBits {
        self.bits
    }

    /// Appends plaintext.
    pub(super) fn push(&mut self, plain: &[u8]) {
        let size = self.bits.size();
        // Usually the window is full, and the bytes fit before its end.
        let end = self.start.saturating_add(plain.len());
        if self.bytes.len() == size {
            if let Some(oldest) = self.bytes.get_mut(self.start..end) {
                oldest.copy_from_slice(plain);
                self.start = end & size.wrapping_sub(1);
                return;
            }
        }
        if let Some(rest) = plain.len().checked_sub(size) {
            self.reserve(size);
            self.bytes.clear();
            self.bytes.extend_from_slice(plain.get(rest..).unwrap_or_default());
            self.start = 0;
            return;
        }
        let free = size.saturating_sub(self.bytes.len()).min(plain.len());
        let (grown, over) = plain.split_at_checked(free).unwrap_or_default();
        self.reserve(self.bytes.len().saturating_add(grown.len()));
        self.bytes.extend_from_slice(grown);
        let until_end = size.saturating_sub(self.start).min(over.len());
        let (before_end, after) = over.split_at_checked(until_end).unwrap_or_default();
        self.put(self.start, before_end);
        self.put(0, after);
        self.start = self.start.saturating_add(over.len()) & size.wrapping_sub(1);
    }

    /// Returns the bytes in order, in two parts.
    pub(super) fn parts(&self) -> [&[u8]; 2] {
        let (newer, older) = self.bytes.split_at_checked(self.start).unwrap_or_default();
        [older, newer]
    }

    /// The latest `most` bytes in their order, in two parts; all of them if there are fewer.
    pub(super) fn latest(&self, most: usize) -> [&[u8]; 2] {
        let [older, newer] = self.parts();
        let newer = newer.get(newer.len().saturating_sub(most)..).unwrap_or_default();
        let rest = most.saturating_sub(newer.len());
        [older.get(older.len().saturating_sub(rest)..).unwrap_or_default(), newer]
    }

    /// Forgets everything and frees the memory.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.bits);
    }

    /// Makes room for `len` bytes. The memory is at most twice as large as that, and at most as large as the window.
    fn reserve(&mut self, len: usize) {
        if len > self.bytes.capacity() {
            let capacity = len.next_power_of_two().max(LEAST).min(self.bits.size());
            self.bytes.reserve_exact(capacity.saturating_sub(self.bytes.len()));
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at.saturating_add(bytes.len())) {
            place.copy_from_slice(bytes);
        }
    }
}

/// Shows no plaintext, which may be secret.
impl core::fmt::Debug for History {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("History").field("bits", &self.bits).field("len", &self.bytes.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7692 §7.2.3.2: the window is the last bytes, whatever the pieces were
    #[test]
    fn history_is_the_last_bytes_in_order_and_no_larger_than_the_window() {
        for bits in 8..=15 {
            let bits = WindowBits::new(bits).unwrap();
            for step in [1, 3, 100, 255, 256, 257, 1000, bits.size() - 1, bits.size(), 70_000] {
                let mut history = History::new(bits);
                let mut all = Vec::new();
                while all.len() < 3 * bits.size() {
                    let piece: Vec<u8> = (0..step).map(|i| ((all.len() + i) % 251) as u8).collect();
                    history.push(&piece);
                    all.extend_from_slice(&piece);
                    let expected = &all[all.len().saturating_sub(bits.size())..];
                    if all.len() < 2000 || step > 1 {
                        assert_eq!(history.parts().concat(), expected, "{bits:?} {step}");
                        for most in [0, 1, 100, step, bits.size() / 2, bits.size() - 1, 40_000] {
                            let latest = &expected[expected.len().saturating_sub(most)..];
                            assert_eq!(history.latest(most).concat(), latest, "{bits:?} {step}");
                        }
                    }
                    assert!(history.bytes.capacity() <= bits.size());
                    assert!(history.bytes.capacity() <= (2 * all.len()).max(LEAST));
                }
                assert_eq!(history.bytes.capacity(), bits.size());
                history.clear();
                assert_eq!((history.parts().concat().len(), history.bytes.capacity()), (0, 0));
            }
        }
    }
}
