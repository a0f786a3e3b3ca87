//! The engine over `Connection`. It does what a driver without an allocator would do.

use bytes::Bytes;
use ws_core::{Config, DataFrame, Input, Role, Step};

use crate::batch::Batch;
use crate::kernel::{self, READ};
use crate::{Engine, Keys, clock};

/// Payloads of at least this many bytes are written without a copy.
const WRITEV: usize = 4096;
/// A client's payload that exceeds the batch is written in parts of this size, which fit the caches.
const PART: usize = 16 * 1024;

/// `ws_core::Connection` under a driver with two buffers of 64 KiB. Messages come in chunks.
pub struct Connection {
    connection: ws_core::Connection,
    buffer: Vec<u8>,
    batch: Batch,
    keys: Option<Keys>,
}

impl Connection {
    /// Returns an engine with these limits.
    pub fn with_config(role: Role, config: Config) -> Self {
        Self {
            connection: ws_core::Connection::new(role, config),
            buffer: vec![0; READ],
            batch: Batch::new(),
            keys: (role == Role::Client).then(Keys::new),
        }
    }

    #[inline(always)]
    fn send(&mut self, frame: DataFrame, payload: &[u8]) {
        let Self { connection, batch, keys, .. } = self;
        let len = match keys {
            None if payload.len() < WRITEV => {
                connection.sender.encode(frame, payload, None, batch.room(payload.len()))
            }
            Some(keys) if payload.len() <= READ => {
                let key = Some(keys.next());
                connection.sender.encode(frame, payload, key, batch.room(payload.len()))
            }
            _ => return self.send_long(frame, payload),
        };
        batch.add(len.expect("it is open"));
    }

    #[inline(never)]
    fn send_long(&mut self, frame: DataFrame, payload: &[u8]) {
        self.batch.flush();
        let key = self.keys.as_mut().map(Keys::next);
        let len = payload.len() as u64;
        let sender = &mut self.connection.sender;
        kernel::write(&sender.head(frame, len, key).expect("it is open"));
        if key.is_none() {
            kernel::write(payload);
            sender.payload_written(len).expect("as declared");
            return;
        }
        for part in payload.chunks(PART) {
            let room = &mut self.batch.room(part.len())[..part.len()];
            room.copy_from_slice(part);
            sender.mask_payload(room).expect("as declared");
            kernel::write(room);
        }
    }
}

impl Engine for Connection {
    const NAME: &'static str = "ws-core/connection";

    fn new(role: Role) -> Self {
        Self::with_config(role, Config::new())
    }

    fn decode(&mut self, _messages: usize, mut part: impl FnMut(&[u8], bool)) {
        loop {
            let len = kernel::read(&mut self.buffer);
            if len == 0 {
                break;
            }
            let mut input = Input::new(&mut self.buffer[..len]);
            loop {
                match self.connection.next(&mut input, clock) {
                    Step::Data(chunk) => part(chunk.bytes, chunk.end),
                    Step::Wait(_) => break,
                    step => panic!("{step:?}"),
                }
            }
        }
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        for _ in 0..count {
            self.send(DataFrame::BINARY, std::hint::black_box(payload));
        }
        self.batch.flush();
    }

    fn echo(&mut self, _messages: usize, _each: bool) {
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            let len = kernel::read(&mut buffer);
            if len == 0 {
                break;
            }
            let mut input = Input::new(&mut buffer[..len]);
            loop {
                match self.connection.next(&mut input, clock) {
                    Step::Data(chunk) => self.send(chunk.frame(), chunk.bytes),
                    Step::Wait(_) => break,
                    step => panic!("{step:?}"),
                }
            }
            self.batch.flush();
        }
        self.buffer = buffer;
    }
}
