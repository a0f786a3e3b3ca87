//! Compressing with engines of a pool.

use alloc::vec::Vec;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::engine::TAIL;
use super::history::History;
use super::pool::{Lease, Pool, Stamp};
use super::window::WindowBits;

/// How messages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeflateOptions {
    level: u8,
    mem_level: u8,
}

impl DeflateOptions {
    /// Level 1 and memory level 8.
    pub const fn new() -> Self {
        Self { level: 1, mem_level: 8 }
    }

    /// How hard to look for matches: 1 is fastest, 9 smallest, 0 compresses nothing. More than 9 is 9. Default 1.
    #[must_use]
    pub const fn level(mut self, level: u8) -> Self {
        self.level = if level > 9 { 9 } else { level };
        self
    }

    /// zlib's `memLevel`, 1 to 9: how much memory an engine has for the symbols of a block. What is beyond is
    /// taken as 1 or 9. Default 8.
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

/// What an engine is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    bits: WindowBits,
    options: DeflateOptions,
}

/// Compresses the messages of one direction of a connection with engines of a [`Pool`].
///
/// It holds the last bytes of plaintext, as many as the window has; with
/// [`no_context_takeover`](Self::no_context_takeover) it holds nothing between two messages.
#[derive(Debug)]
pub struct Deflater {
    pool: Pool,
    history: History,
    takeover: bool,
    options: DeflateOptions,
    stamp: Stamp,
}

/// An empty block without compression, of which the last four bytes were removed (RFC 7692 §7.2.3.6).
const EMPTY: u8 = 0x00;

/// Room for output that is added at a time while the length is not known.
const PIECE: usize = 4096;

/// The longest block without compression (RFC 1951 §3.2.4).
const STORED: usize = 65_535;

impl Deflater {
    /// Messages that an inflater with this window understands.
    pub fn new(pool: &Pool, bits: WindowBits, options: DeflateOptions) -> Self {
        let history = History::new(bits);
        Self { pool: pool.clone(), history, takeover: true, options, stamp: Stamp::NONE }
    }

    /// Each message starts with an empty window: `no_context_takeover` was agreed for this direction.
    #[must_use]
    pub const fn no_context_takeover(mut self) -> Self {
        self.takeover = false;
        self
    }

    /// Appends the payload of a compressed message to `output`. Returns `false`, and leaves the output as it was, if it would
    /// not be shorter than the message: the message is then sent uncompressed, and the next one does not refer to it.
    ///
    /// A message that is compressed in pieces has to be complete.
    pub fn compress(&mut self, message: &[u8], output: &mut Vec<u8>) -> bool {
        if message.is_empty() {
            return false;
        }
        let start = output.len();
        // One byte less than the message, and the four that are removed.
        let most = message.len().saturating_add(TAIL.len().saturating_sub(1));
        output.resize(start.saturating_add(most), 0);
        let Self { pool, history, takeover, options, stamp } = self;
        let mut lease = engine(pool, history, *options, *stamp, message.len());
        let room = output.get_mut(start..).unwrap_or_default();
        let done = flush(lease.engine(), message, room);
        let written = done.map_or(0, |(_, written)| written);
        output.truncate(start.saturating_add(written));
        // If the room was used up, there may be more.
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
            }
            *stamp = Stamp::NONE;
        }
        shorter
    }

    /// Appends the next piece of a compressed message's payload to `output`. All of the piece is in what was appended so
    /// far.
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
            drop(lease);
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
    let (mut lease, resumed) = pool.deflate().take(stamp, settings, make);
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

fn make(Settings { bits, options }: Settings) -> Deflate {
    Deflate::new_with_config(DeflateConfig {
        level: options.level.into(),
        // zlib-rs has no 8 bits. With 9 it refers back at most 250 bytes: a match may need 262 bytes after it.
        window_bits: i32::from(bits.bits().max(9)).wrapping_neg(),
        mem_level: options.mem_level.into(),
        ..DeflateConfig::default()
    })
}

/// Compresses and flushes; returns how much was read and written. It was all if there is room left.
fn flush(engine: &mut Deflate, input: &[u8], output: &mut [u8]) -> Option<(usize, usize)> {
    let before = (engine.total_in(), engine.total_out());
    engine.compress(input, output, DeflateFlush::SyncFlush).ok()?;
    // Both are bounded by the lengths of the slices.
    let read = engine.total_in().wrapping_sub(before.0) as usize;
    Some((read, engine.total_out().wrapping_sub(before.1) as usize))
}

/// Lets an engine write what nobody needs, so that another can use it: `reset` of zlib-rs 0.6.8 keeps a part of the state
/// of an engine whose output was not taken. Returns whether that is all.
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

/// As [`flush`], until all is written; returns whether it was.
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

/// Removes the four bytes from the end of what begins at `start` (RFC 7692 §7.2.1).
fn cut_tail(output: &mut Vec<u8>, start: usize) -> bool {
    let appended = output.get(start..).unwrap_or_default();
    let Some(rest) = appended.strip_suffix(&TAIL) else { return false };
    let len = start.saturating_add(rest.len());
    output.truncate(len);
    true
}

/// A piece as blocks without compression: for an engine that has failed.
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
