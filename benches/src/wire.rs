//! What lies on a wire, made once before anything is timed or counted.

use ws_core::{Config, Connection, DataFrame, MaskingKey, MessageKind};

/// The most that one read gives, in bytes.
pub const READ: usize = 64 * 1024;

/// At least this much lies on a wire, so that most reads are full.
const WIRE: usize = 4 * READ;

/// Masked messages as a client sends them, one after the other, and how many there are.
pub fn wire(kind: MessageKind, payload: &[u8]) -> (Vec<u8>, usize) {
    let mut client = Connection::client(Config::new());
    let count = (WIRE / (payload.len() + 6)).max(4);
    let mut wire = Vec::new();
    for index in 0..count as u32 {
        let key = MaskingKey::new((index.wrapping_mul(0x9e37_79b9) | 1).to_be_bytes());
        client
            .sender
            .encode_vec(DataFrame::new(kind), payload, Some(key), &mut wire)
            .expect("it is open");
    }
    (wire, count)
}

/// What takes written bytes: it copies them, over and over to the same place.
pub struct Kernel(Vec<u8>);

impl Kernel {
    /// A kernel with a buffer of [`READ`] bytes.
    pub fn new() -> Self {
        Self(vec![0; READ])
    }

    /// Copies the bytes.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(READ) {
            let buffer = &mut self.0[..part.len()];
            buffer.copy_from_slice(part);
            std::hint::black_box(buffer);
        }
    }
}

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}
