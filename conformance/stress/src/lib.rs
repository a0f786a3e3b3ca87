//! What the attacks and the soak share: the server as a process of its own, what Linux says about a process, and peers that
//! are played byte by byte.

use peak_alloc::PeakAlloc;

pub mod honest;
pub mod peer;
pub mod process;
pub mod service;

/// Returns how many bytes this process has allocated and not freed, if its allocator is `PeakAlloc`.
pub fn live() -> u64 {
    PeakAlloc.current_usage() as u64
}

/// What a check returns: what it has measured, or what is wrong.
pub type Outcome = Result<String, String>;

/// A generator of numbers that are the same in each run (xorshift).
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.draw() >> 16) as usize % bound
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            (0..len.div_ceil(8)).flat_map(|_| self.draw().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }
}
