//! The engine over `Connection`: what a driver without an allocator would do.

use std::hint::black_box;

use bytes::Bytes;
use ws_core::{Config, DataFrame, Input, MaskingKey, Role, Step};

use crate::{Engine, Kernel, READ, clock};

/// Payloads from this size on are written from where they lie.
const WRITEV: usize = 4096;
/// Room for the header of a frame.
const HEADER: usize = 14;

/// `ws_core::Connection` under a driver with two buffers of 64 KiB: messages come in chunks.
pub struct Connection {
    connection: ws_core::Connection,
    kernel: Kernel,
    buffer: Vec<u8>,
    out: Vec<u8>,
    out_len: usize,
    keys: Option<Keys>,
}

/// A fresh key for each frame, at next to no cost.
struct Keys(u32);

impl Keys {
    #[inline]
    fn next(&mut self) -> MaskingKey {
        self.0 = self.0.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        MaskingKey::new(self.0.to_ne_bytes())
    }
}

impl Connection {
    #[inline]
    fn send(&mut self, frame: DataFrame, payload: &[u8]) {
        let key = self.keys.as_mut().map(Keys::next);
        if payload.len() >= WRITEV && key.is_none() {
            self.flush();
            let len = payload.len() as u64;
            let head = self.connection.sender.head(frame, len, key).expect("it is open");
            self.kernel.write(&head);
            self.kernel.write(payload);
            self.connection.sender.payload_written(len).expect("as declared");
            return;
        }
        if self.out.len() - self.out_len < payload.len() + HEADER {
            self.flush();
        }
        let out = &mut self.out[self.out_len..];
        self.out_len +=
            self.connection.sender.encode(frame, payload, key, out).expect("it is open");
    }

    fn flush(&mut self) {
        self.kernel.write(&self.out[..self.out_len]);
        self.out_len = 0;
    }
}

impl Engine for Connection {
    const NAME: &'static str = "ws-core/connection";

    fn new(role: Role) -> Self {
        Self {
            connection: ws_core::Connection::new(role, Config::new()),
            kernel: Kernel::new(),
            buffer: vec![0; READ],
            out: vec![0; READ + HEADER],
            out_len: 0,
            keys: (role == Role::Client).then_some(Keys(1)),
        }
    }

    fn decode(&mut self, wire: &[u8]) {
        for read in wire.chunks(READ) {
            let buffer = &mut self.buffer[..read.len()];
            buffer.copy_from_slice(read);
            let mut input = Input::new(buffer);
            loop {
                match self.connection.next(&mut input, clock) {
                    Step::Wait(_) => break,
                    Step::Failed(error) => panic!("{error}"),
                    step => drop(black_box(step)),
                }
            }
        }
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        for _ in 0..count {
            self.send(DataFrame::BINARY, black_box(payload));
        }
        self.flush();
    }

    fn echo(&mut self, wire: &[u8], max: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for read in wire.chunks(max) {
            let buffer = &mut buffer[..read.len()];
            buffer.copy_from_slice(read);
            let mut input = Input::new(buffer);
            loop {
                match self.connection.next(&mut input, clock) {
                    Step::Data(chunk) => self.send(chunk.frame(), chunk.bytes),
                    Step::Wait(_) => break,
                    step => panic!("{step:?}"),
                }
            }
            self.flush();
        }
        self.buffer = buffer;
    }
}
