//! Messages like those of an application, and what they are on the wire.

use bytes::Bytes;
use ws_core::{Config, Connection, DataFrame, Role};
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::BITS;
use crate::Keys;
use crate::kernel::{self, READ};

/// How many different messages follow each other, so that none is compressed with itself as its history.
const DIFFERENT: usize = 64;

/// The least text on a wire, in bytes, so that most reads are full.
const LEAST: usize = 1 << 20;

/// The four bytes that a sender removes (RFC 7692 §7.2.1).
pub(super) const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Returns texts of `len` bytes each: the beginnings of JSON documents with the trades of a market.
pub fn messages(len: usize) -> Vec<Bytes> {
    let mut random = Random(0x9e37_79b9);
    let mut time = 1_764_372_000_000_u64;
    (0..DIFFERENT).map(|id| document(len, id, &mut random, &mut time)).collect()
}

fn document(len: usize, id: usize, random: &mut Random, time: &mut u64) -> Bytes {
    const SYMBOLS: [&str; 8] =
        ["BTC-EUR", "ETH-EUR", "SOL-EUR", "BTC-USD", "ETH-USD", "ADA-USD", "XRP-EUR", "DOT-USD"];
    let mut text = format!(r#"{{"type":"trades","sequence":{},"trades":["#, 48_210 + id);
    while text.len() < len {
        let symbol = random.below(SYMBOLS.len() as u32);
        let price = 10_u32.pow(symbol % 5) * 100 + random.below(2_000);
        let (size, side) = (random.below(100_000), ["buy", "sell"][random.below(2) as usize]);
        *time += u64::from(random.below(900));
        text += &format!(
            r#"{{"id":"{:08x}","symbol":"{}","price":{}.{:02},"size":0.{size:05},"side":"{side}","time":{time}}},"#,
            random.next(),
            SYMBOLS[symbol as usize],
            price / 100,
            price % 100,
        );
    }
    text.truncate(len);
    text.into()
}

/// A generator of random numbers, which are the same in every run.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn below(&mut self, end: u32) -> u32 {
        self.next() % end
    }
}

/// Compressed messages as a client sends them: as payloads, and as consecutive masked frames.
pub struct Wire {
    /// The payloads, each followed by the four bytes that are not sent.
    payloads: Vec<Bytes>,
    frames: Bytes,
    /// The number of messages.
    pub messages: usize,
}

impl Wire {
    /// Returns two wires: what to send first, and what can follow it and itself any number of times. Both have these messages in
    /// turn, compressed by zlib-rs at this level with 12 bits.
    ///
    /// The second begins with references to its own end, which is also the end of the first.
    pub fn pair(messages: &[Bytes], level: i32) -> [Self; 2] {
        let bytes: usize = messages.iter().map(Bytes::len).sum();
        assert!(bytes >= BITS.size(), "all messages together fill the window");
        let mut engine = deflate(level);
        let mut payloads = || {
            let payload = |message| {
                let mut payload = vec![0; room(message)];
                let len = compress(&mut engine, message, &mut payload);
                payload.truncate(len);
                payload.into()
            };
            messages.iter().map(payload).collect::<Vec<Bytes>>()
        };
        [1, LEAST.div_ceil(bytes)].map(|turns| Self::new(payloads(), turns))
    }

    fn new(payloads: Vec<Bytes>, turns: usize) -> Self {
        let mut keys = Keys::new();
        let mut client = Connection::with_compression(Role::Client, Config::new(), true);
        let mut frames = Vec::new();
        let messages = turns * payloads.len();
        for payload in payloads.iter().cycle().take(messages) {
            let payload = &payload[..payload.len() - TAIL.len()];
            let frame = DataFrame::TEXT.compressed(true);
            client
                .sender
                .encode_vec(frame, payload, Some(keys.next()), &mut frames)
                .expect("it is open");
        }
        Self { payloads, frames: frames.into(), messages }
    }

    /// Returns the payloads in order, each followed by the four bytes that are not sent.
    pub fn payloads_with_tail(&self) -> impl Iterator<Item = &Bytes> {
        self.payloads.iter().cycle().take(self.messages)
    }

    /// Returns the payloads in order.
    pub fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        self.payloads_with_tail().map(|payload| &payload[..payload.len() - TAIL.len()])
    }

    /// Returns the frames in order.
    pub fn frames(&self) -> &Bytes {
        &self.frames
    }

    /// Makes the frames available to reads, 64 KiB at a time.
    pub fn load(&self) {
        kernel::load(&self.frames, READ);
    }
}

/// Returns an engine of zlib-rs at this level, with 12 bits.
pub(super) fn deflate(level: i32) -> Deflate {
    Deflate::new_with_config(DeflateConfig {
        level,
        window_bits: -i32::from(BITS.bits()),
        ..DeflateConfig::default()
    })
}

/// Returns room for a compressed message.
pub(super) fn room(message: &Bytes) -> usize {
    2 * message.len() + 64
}

/// Compresses a message, including the four bytes at its end. Returns the length.
pub(super) fn compress(engine: &mut Deflate, message: &[u8], output: &mut [u8]) -> usize {
    let before = engine.total_out();
    engine.compress(message, output, DeflateFlush::SyncFlush).expect("a valid engine");
    let len = (engine.total_out() - before) as usize;
    assert!(len < output.len(), "there was room for all");
    len
}
