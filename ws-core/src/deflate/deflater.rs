//! Compressing with the engines of a pool.

use alloc::vec::Vec;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::engine::TAIL;
use super::history::History;
use super::pool::{Lease, Pool, Stamp};
use super::window::WindowBits;

/// How hard messages are compressed, and with how much memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeflateOptions {
    level: u8,
    mem_level: u8,
}

impl DeflateOptions {
    /// Returns the defaults: level 1 and memory level 8.
    pub const fn new() -> Self {
        Self { level: 1, mem_level: 8 }
    }

    /// Sets the level: 0 compresses nothing, 1 is the fastest, 9 compresses most. A value above 9 counts as 9. Default: 1.
    #[must_use]
    pub const fn level(mut self, level: u8) -> Self {
        self.level = if level > 9 { 9 } else { level };
        self
    }

    /// Sets zlib's `memLevel`, which is how much memory an engine uses for the symbols of a block: 1 to 9. Values outside
    /// this range are clamped to it. Default: 8.
    #[must_use]
    pub const fn mem_level(mut self, mem_level: u8) -> Self {
        self.mem_level = match mem_level {
            0 => 1,
            1..=9 => mem_level,
            _ => 9,
        };
        self
    }
}

impl Default for DeflateOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The settings that an engine was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    bits: WindowBits,
    options: DeflateOptions,
}

/// Compresses the messages of one direction of a connection with engines of a [`Pool`].
///
/// Between two messages it keeps the last window of plaintext, or nothing after
/// [`no_context_takeover`](Self::no_context_takeover). The example of [`Pool`] shows how to use it.
#[derive(Debug)]
pub struct Deflater {
    pool: Pool,
    history: History,
    takeover: bool,
    options: DeflateOptions,
    stamp: Stamp,
}

/// The first byte of an empty stored block, whose other four bytes are removed (RFC 7692 §7.2.3.6).
const EMPTY: u8 = 0x00;

/// How much room for output is added at a time while the compressed length is not known, in bytes.
const PIECE: usize = 4096;

/// The longest stored block, in bytes (RFC 1951 §3.2.4).
const STORED: usize = 65_535;

impl Deflater {
    /// Returns a deflater for messages that are inflated with a window of `bits`.
    pub fn new(pool: &Pool, bits: WindowBits, options: DeflateOptions) -> Self {
        let history = History::new(bits);
        Self { pool: pool.clone(), history, takeover: true, options, stamp: Stamp::NONE }
    }

    /// Begins each message with an empty window, because `no_context_takeover` was agreed for this direction.
    #[must_use]
    pub const fn no_context_takeover(mut self) -> Self {
        self.takeover = false;
        self
    }

    /// Compresses a whole message and appends its payload to `output`.
    ///
    /// Returns `false`, and leaves `output` unchanged, if the payload would not be at least two bytes shorter than the message, or
    /// if the message is 4 GiB or longer, which is more than the engine takes at once. In this case the message has to be sent
    /// uncompressed, and the next one will not refer to it.
    ///
    /// Do not call this before a message that is compressed in pieces is complete.
    pub fn compress(&mut self, message: &[u8], output: &mut Vec<u8>) -> bool {
        if message.is_empty() || u32::try_from(message.len()).is_err() {
            return false;
        }
        let start = output.len();
        // One byte less than the message, and the four that are removed again.
        let most = message.len().saturating_add(TAIL.len().saturating_sub(1));
        output.resize(start.saturating_add(most), 0);
        let Self { pool, history, takeover, options, stamp } = self;
        let mut lease = engine(pool, history, *options, *stamp, message.len());
        let room = output.get_mut(start..).unwrap_or_default();
        let done = flush(lease.engine(), message, room);
        let written = done.map_or(0, |(_, written)| written);
        output.truncate(start.saturating_add(written));
        // If all of the room was used, there may be more output.
        let shorter = written < most && cut_tail(output, start);
        if shorter {
            *stamp = lease.put(*takeover);
            if *takeover {
                history.push(message);
            }
        } else {
            output.truncate(start);
            let rest = done.and_then(|(read, _)| message.get(read..));
            if rest.is_some_and(|rest| drain(lease.engine(), rest)) {
                lease.put(false);
            } else {
                lease.discard();
            }
            *stamp = Stamp::NONE;
        }
        shorter
    }

    /// Compresses the next piece of a message and appends it to `output`; `end` says whether it is the last one. The output
    /// is flushed, so that a receiver can inflate the whole piece from it.
    pub fn compress_piece(&mut self, piece: &[u8], end: bool, output: &mut Vec<u8>) {
        if piece.is_empty() {
            if end {
                output.push(EMPTY);
                self.end_message();
            }
            return;
        }
        let start = output.len();
        let mut lease = engine(&self.pool, &self.history, self.options, self.stamp, piece.len());
        let done = flush_all(lease.engine(), piece, output) && (!end || cut_tail(output, start));
        if done {
            self.stamp = lease.put(self.takeover || !end);
        } else {
            lease.discard();
            self.stamp = Stamp::NONE;
            output.truncate(start);
            store(piece, end, output);
        }
        self.history.push(piece);
        if end {
            self.end_message();
        }
    }

    fn end_message(&mut self) {
        if !self.takeover {
            self.history.clear();
            self.stamp = Stamp::NONE;
        }
    }
}

/// How much of the history a shared engine is given before it compresses a message of `len` bytes.
///
/// The engine has to index each byte of it, which takes about as long as compressing a byte. With half a window before a
/// short message it is a third faster than with all of it, and the output is 0.5 to 2 % longer (`benches/deflate`).
const fn dictionary(bits: WindowBits, len: usize) -> usize {
    let half = bits.size() / 2;
    let twice = len.saturating_mul(2);
    if twice > half { twice } else { half }
}

/// An engine that can refer to the latest bytes of the history.
fn engine<'p>(
    pool: &'p Pool,
    history: &History,
    options: DeflateOptions,
    stamp: Stamp,
    len: usize,
) -> Lease<'p, Deflate, Settings> {
    let settings = Settings { bits: history.bits(), options };
    let (mut lease, resumed) = pool.deflate().take(stamp, settings);
    if !resumed {
        let engine = lease.engine();
        engine.reset();
        for part in history.latest(dictionary(history.bits(), len)) {
            // It fails in the middle of a block only.
            let _ = engine.set_dictionary(part);
        }
    }
    lease
}

pub(super) fn make(Settings { bits, options }: Settings) -> Deflate {
    Deflate::new_with_config(DeflateConfig {
        level: options.level.into(),
        // zlib-rs has no 8 bits. With 9 bits it refers back at most 250 bytes, because a match may need 262 bytes after it.
        window_bits: i32::from(bits.bits().max(9)).wrapping_neg(),
        mem_level: options.mem_level.into(),
        ..DeflateConfig::default()
    })
}

/// Compresses and flushes. Returns how much was read and written. If there is room left, that was everything.
fn flush(engine: &mut Deflate, input: &[u8], output: &mut [u8]) -> Option<(usize, usize)> {
    let before = (engine.total_in(), engine.total_out());
    engine.compress(input, output, DeflateFlush::SyncFlush).ok()?;
    // Both are bounded by the lengths of the slices.
    let read = engine.total_in().wrapping_sub(before.0) as usize;
    Some((read, engine.total_out().wrapping_sub(before.1) as usize))
}

/// Makes an engine write output that nobody needs, so that another connection can use it: `reset` of zlib-rs 0.6.8 keeps a part
/// of the state of an engine whose output was not taken. Returns whether everything was written.
fn drain(engine: &mut Deflate, input: &[u8]) -> bool {
    let mut rest = input;
    let mut nowhere = [0; 512];
    while let Some((read, written)) = flush(engine, rest, &mut nowhere) {
        rest = rest.get(read..).unwrap_or_default();
        if written < nowhere.len() {
            return rest.is_empty();
        }
    }
    false
}

/// Like [`flush`], but goes on until everything is written. Returns whether it was.
fn flush_all(engine: &mut Deflate, input: &[u8], output: &mut Vec<u8>) -> bool {
    let mut rest = input;
    loop {
        let start = output.len();
        let more = rest.len().max(PIECE);
        output.resize(start.saturating_add(more), 0);
        let room = output.get_mut(start..).unwrap_or_default();
        let Some((read, written)) = flush(engine, rest, room) else { return false };
        output.truncate(start.saturating_add(written));
        rest = rest.get(read..).unwrap_or_default();
        if written < more {
            return rest.is_empty();
        }
    }
}

/// Removes the last four bytes of the payload that begins at `start` (RFC 7692 §7.2.1).
fn cut_tail(output: &mut Vec<u8>, start: usize) -> bool {
    let appended = output.get(start..).unwrap_or_default();
    let Some(rest) = appended.strip_suffix(&TAIL) else { return false };
    let len = start.saturating_add(rest.len());
    output.truncate(len);
    true
}

/// Appends a piece as stored blocks. This is for an engine that has failed.
fn store(piece: &[u8], end: bool, output: &mut Vec<u8>) {
    for block in piece.chunks(STORED) {
        let len = block.len() as u16;
        output.push(EMPTY);
        output.extend_from_slice(&len.to_le_bytes());
        output.extend_from_slice(&(!len).to_le_bytes());
        output.extend_from_slice(block);
    }
    if end {
        output.push(EMPTY);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::{Inflater, Limits, Need};
    use super::*;

    #[test]
    fn stored_blocks_are_a_message() {
        let piece: Vec<u8> = (0..2 * STORED + 5).map(|i| (i % 251) as u8).collect();
        let mut payload = Vec::new();
        store(&piece, false, &mut payload);
        store(b"end", true, &mut payload);
        let mut inflater = Inflater::new(&Pool::new(), WindowBits::MAX, Limits::new());
        let mut output = vec![0; piece.len() + 10];
        let done = inflater.inflate(&payload, true, &mut output).unwrap();
        assert_eq!((done.consumed, done.need), (payload.len(), Need::Nothing));
        assert_eq!(output[..done.produced], [&piece[..], b"end"].concat());
    }
}
