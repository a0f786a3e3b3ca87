//! The floor: only the copies that a kernel makes.

use std::hint::black_box;

use bytes::Bytes;
use ws_core::Role;

use crate::Engine;
use crate::kernel::{self, READ};

/// Reads and writes as many bytes as the messages have, and looks at none of them.
pub struct Memcpy(Vec<u8>);

impl Engine for Memcpy {
    const NAME: &'static str = "memcpy";
    const HAS_MESSAGES: bool = false;

    fn new(_role: Role) -> Self {
        Self(vec![0; READ])
    }

    fn decode(&mut self, _messages: usize, _part: impl FnMut(&[u8], bool)) {
        while kernel::read(&mut self.0) > 0 {
            black_box(&mut self.0);
        }
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        let mut left = payload.len() * count;
        while left > 0 {
            let len = left.min(READ);
            kernel::write(black_box(&self.0[..len]));
            left -= len;
        }
    }

    fn echo(&mut self, _messages: usize, _each: bool) {
        loop {
            let len = kernel::read(&mut self.0);
            if len == 0 {
                break;
            }
            kernel::write(black_box(&self.0[..len]));
        }
    }
}
