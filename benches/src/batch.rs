//! Frames that wait to be written together, for engines that encode into a buffer of the caller.

use crate::kernel::{self, READ};

/// Room for the header of a frame.
pub const HEADER: usize = 14;

/// Up to 64 KiB of frames, or one longer frame.
pub struct Batch {
    buffer: Vec<u8>,
    len: usize,
}

impl Batch {
    pub fn new() -> Self {
        Self { buffer: vec![0; READ + HEADER], len: 0 }
    }

    /// Returns where to encode a frame with a payload of `len` bytes. If there is too little room, writes the waiting frames
    /// first.
    #[inline]
    pub fn room(&mut self, len: usize) -> &mut [u8] {
        if self.buffer.len() - self.len < len + HEADER {
            self.make_room(len + HEADER);
        }
        &mut self.buffer[self.len..]
    }

    #[cold]
    fn make_room(&mut self, len: usize) {
        self.flush();
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
    }

    /// Notes that this many bytes were encoded there.
    #[inline]
    pub fn add(&mut self, len: usize) {
        self.len += len;
    }

    /// Writes the waiting frames.
    pub fn flush(&mut self) {
        kernel::write(&self.buffer[..self.len]);
        self.len = 0;
    }
}
