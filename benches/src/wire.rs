//! The input of a benchmark, called the wire. It is made before anything is timed or counted.

use std::sync::LazyLock;

use bytes::Bytes;
use ws_core::{Config, Connection, DataFrame, MessageKind};

use crate::Keys;
use crate::kernel::{self, READ};

/// The least bytes on a wire, so that most reads are full.
const LEAST: usize = 4 * READ;

/// Returns the most bytes of one read: `WS_BENCH_READ`, or 64 KiB.
static MOST: LazyLock<usize> = LazyLock::new(|| {
    std::env::var("WS_BENCH_READ").map_or(READ, |most| most.parse().expect("a number of bytes"))
});

/// Consecutive masked messages, as a client sends them.
pub struct Wire {
    bytes: Bytes,
    payloads: Vec<Bytes>,
    /// The number of messages.
    pub messages: usize,
}

impl Wire {
    /// Returns a wire of at least four full reads, with these payloads in turn, all of them equally often.
    pub fn new(kind: MessageKind, payloads: &[Bytes]) -> Self {
        let frames: usize = payloads.iter().map(|payload| payload.len() + 6).sum();
        let turns = (LEAST / frames).max(4usize.div_ceil(payloads.len()));
        Self::with_messages(kind, payloads, turns * payloads.len())
    }

    /// Returns a wire of this many messages, with these payloads in turn.
    pub fn with_messages(kind: MessageKind, payloads: &[Bytes], messages: usize) -> Self {
        let mut keys = Keys::new();
        let mut client = Connection::client(Config::new());
        let mut bytes = Vec::new();
        for payload in payloads.iter().cycle().take(messages) {
            client
                .sender
                .encode_vec(DataFrame::new(kind), payload, Some(keys.next()), &mut bytes)
                .expect("it is open");
        }
        Self { bytes: bytes.into(), payloads: payloads.to_vec(), messages }
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Returns the payloads in order.
    pub fn payloads(&self) -> impl Iterator<Item = &Bytes> {
        self.payloads.iter().cycle().take(self.messages)
    }

    /// Makes the bytes available to reads, 64 KiB at a time, or as many as the environment says.
    pub fn load(&self) {
        kernel::load(&self.bytes, *MOST);
    }

    /// Makes the bytes available to reads, one message at a time. All messages must have the same length.
    pub fn load_each(&self) {
        kernel::load(&self.bytes, READ.min(self.bytes.len() / self.messages));
    }
}
