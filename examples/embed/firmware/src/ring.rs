//! What the serial line's interrupt and the program hand to each other.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// How many bytes wait at most; a power of two.
const SIZE: usize = 256;

/// A queue of bytes between an interrupt, which puts, and the program, which takes.
///
/// Each side writes its own position alone, so that loads and stores suffice.
pub(crate) struct Ring {
    bytes: [AtomicU8; SIZE],
    put: AtomicUsize,
    taken: AtomicUsize,
}

impl Ring {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [const { AtomicU8::new(0) }; SIZE],
            put: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() == SIZE
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a byte to a ring that is not full.
    pub(crate) fn put(&self, byte: u8) {
        let at = self.put.load(Ordering::Relaxed);
        if let Some(slot) = self.bytes.get(at % SIZE) {
            slot.store(byte, Ordering::Relaxed);
        }
        self.put.store(at.wrapping_add(1), Ordering::Release);
    }

    /// Takes as many bytes as are there and have room; returns their number.
    pub(crate) fn take(&self, buffer: &mut [u8]) -> usize {
        let at = self.taken.load(Ordering::Relaxed);
        let count = self.len().min(buffer.len());
        for (offset, byte) in buffer.iter_mut().take(count).enumerate() {
            if let Some(slot) = self.bytes.get(at.wrapping_add(offset) % SIZE) {
                *byte = slot.load(Ordering::Relaxed);
            }
        }
        self.taken.store(at.wrapping_add(count), Ordering::Release);
        count
    }

    /// Drops all bytes that are there.
    pub(crate) fn clear(&self) {
        self.taken.store(self.put.load(Ordering::Acquire), Ordering::Release);
    }

    fn len(&self) -> usize {
        self.put.load(Ordering::Acquire).wrapping_sub(self.taken.load(Ordering::Acquire))
    }
}
