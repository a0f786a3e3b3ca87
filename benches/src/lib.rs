//! The engines that are measured: ours and a peer's, each with the same bytes in and out.
//!
//! A socket is stood in for by memory: a read copies at most 64 KiB of the wire into the engine's
//! buffer, a write copies what it is given into a scratch buffer, as a kernel does. [`Memcpy`] does
//! only that: it is the floor.

mod connection;
mod endpoint;
mod peer;
mod wire;

pub use connection::Connection;
pub use endpoint::{EndpointLending, EndpointOwned};
pub use peer::Tungstenite;
pub use wire::{Kernel, READ, wire};

use ws_core::{Instant, Role};

/// One end of a connection that is open.
pub trait Engine {
    /// Its name in the reports.
    const NAME: &'static str;

    /// An engine of this role.
    fn new(role: Role) -> Self;

    /// Takes the whole wire, read by read, to its last message.
    fn decode(&mut self, wire: &[u8]);

    /// Sends a binary message `count` times and writes all of it.
    fn encode(&mut self, payload: &bytes::Bytes, count: usize);

    /// Sends back each message of the wire, of which a read gives at most `max` bytes, up to 64 KiB; what has
    /// piled up is written before the next read.
    fn echo(&mut self, wire: &[u8], max: usize);
}

/// The copies that a kernel makes, and nothing else.
pub struct Memcpy {
    kernel: Kernel,
    buffer: Vec<u8>,
}

impl Engine for Memcpy {
    const NAME: &'static str = "memcpy";

    fn new(_role: Role) -> Self {
        Self { kernel: Kernel::new(), buffer: vec![0; READ] }
    }

    fn decode(&mut self, wire: &[u8]) {
        for read in wire.chunks(READ) {
            let buffer = &mut self.buffer[..read.len()];
            buffer.copy_from_slice(read);
            std::hint::black_box(buffer);
        }
    }

    fn encode(&mut self, payload: &bytes::Bytes, count: usize) {
        let mut left = payload.len() * count;
        while left > 0 {
            let len = left.min(READ);
            self.kernel.write(std::hint::black_box(&self.buffer[..len]));
            left -= len;
        }
    }

    fn echo(&mut self, wire: &[u8], max: usize) {
        for read in wire.chunks(max) {
            let buffer = &mut self.buffer[..read.len()];
            buffer.copy_from_slice(read);
            self.kernel.write(std::hint::black_box(buffer));
        }
    }
}

/// Keys for a client's frames; a real client takes unforeseeable ones (RFC 6455 §10.3).
fn cheap_random() -> impl FnMut(&mut [u8]) -> bool + Send {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move |bytes| {
        for word in bytes.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_ne_bytes()[..word.len()]);
        }
        true
    }
}

/// Stands in for a clock, whose own cost would be part of every figure.
fn clock() -> Instant {
    Instant::from_millis(0)
}
