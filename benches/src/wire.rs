//! What lies on a wire, made once before anything is timed or counted.

use std::sync::LazyLock;

use bytes::Bytes;
use ws_core::{Config, Connection, DataFrame, MessageKind};

use crate::Keys;
use crate::kernel::{self, READ};

/// At least this much lies on a wire, so that most reads are full.
const LEAST: usize = 4 * READ;

/// The most that one read of it gives, in bytes: `WS_BENCH_READ`, or 64 KiB.
static MOST: LazyLock<usize> = LazyLock::new(|| {
    std::env::var("WS_BENCH_READ").map_or(READ, |most| most.parse().expect("a number of bytes"))
});

/// Masked messages as a client sends them, one after the other.
pub struct Wire {
    bytes: Bytes,
    payloads: Vec<Bytes>,
    /// How many messages there are.
    pub messages: usize,
}

impl Wire {
    /// A wire of four full reads or more, of these payloads in turn, all of them equally often.
    pub fn new(kind: MessageKind, payloads: &[Bytes]) -> Self {
        let frames: usize = payloads.iter().map(|payload| payload.len() + 6).sum();
        let turns = (LEAST / frames).max(4usize.div_ceil(payloads.len()));
        Self::with_messages(kind, payloads, turns * payloads.len())
    }

    /// A wire of this many messages, of these payloads in turn.
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

    /// What lies on it.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The payloads in their order.
    pub fn payloads(&self) -> impl Iterator<Item = &Bytes> {
        self.payloads.iter().cycle().take(self.messages)
    }

    /// Lets it be read, 64 KiB at a time, or as many bytes as the environment says.
    pub fn load(&self) {
        kernel::load(&self.bytes, *MOST);
    }

    /// Lets it be read, one message at a time, if all have the same length.
    pub fn load_each(&self) {
        kernel::load(&self.bytes, READ.min(self.bytes.len() / self.messages));
    }
}
