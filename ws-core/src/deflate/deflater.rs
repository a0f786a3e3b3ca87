//! Compressing with engines of a pool.

use alloc::vec::Vec;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::engine::TAIL;
use super::history::History;
use super::pool::{Pool, Stamp};
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
        Self { pool: pool.clone(), history, takeover: true, options, stamp: 0 }
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
        let start = output.len();
        let most = bound(message.len());
        output.resize(start.saturating_add(most), 0);
        let mut engine = self.engine();
        let room = output.get_mut(start..).unwrap_or_default();
        let written = flush(&mut engine, message, room).map_or(most, |(_, written)| written);
        let is_whole = written < most;
        output.truncate(start.saturating_add(written));
        let cut = is_whole && cut_tail(output, start);
        let shorter = cut && output.len().saturating_sub(start) < message.len();
        if is_whole {
            self.put(engine, shorter && self.takeover);
        } else {
            self.discard(engine);
        }
        if !shorter {
            output.truncate(start);
        } else if self.takeover {
            self.history.push(message);
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
        let mut engine = self.engine();
        let whole = flush_all(&mut engine, piece, output);
        let cut = whole && (!end || cut_tail(output, start));
        if !cut {
            output.truncate(start);
            store(piece, end, output);
        }
        if whole {
            self.put(engine, cut && (self.takeover || !end));
        } else {
            self.discard(engine);
        }
        self.history.push(piece);
        if end {
            self.end_message();
        }
    }

    fn end_message(&mut self) {
        if !self.takeover {
            self.history.clear();
            self.stamp = 0;
        }
    }

    const fn settings(&self) -> Settings {
        Settings { bits: self.history.bits(), options: self.options }
    }

    /// An engine that has compressed what the history holds.
    fn engine(&self) -> Deflate {
        let (mut engine, resumed) = self.pool.deflate().take(self.stamp, self.settings(), make);
        if !resumed {
            engine.reset();
            for part in self.history.parts() {
                // It fails in the middle of a block only.
                let _ = engine.set_dictionary(part);
            }
        }
        engine
    }

    fn put(&mut self, engine: Deflate, resumable: bool) {
        self.stamp = self.pool.deflate().put(engine, self.settings(), resumable);
    }

    /// For an engine that has output left. It must not be used again: its `reset` forgets how much is left, not where
    /// that begins, and so it has less and less room, and panics when there is none.
    fn discard(&mut self, engine: Deflate) {
        drop(engine);
        self.stamp = 0;
    }
}

/// More than a message of this length may become, by zlib's `deflateBound` and the five bytes of a flush.
const fn bound(len: usize) -> usize {
    len.saturating_add(len >> 3).saturating_add(len >> 6).saturating_add(16)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that no engine makes shorter.
    fn noise(len: usize, state: &mut u64) -> Vec<u8> {
        let mut next = || {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            (*state >> 32) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    // An engine of zlib-rs that is reset while it has output left keeps that output's place.
    #[test]
    fn any_number_of_messages_that_do_not_get_shorter_leave_the_engine_as_it_was() {
        let text = b"{\"id\": 1, \"name\": \"a\"}, {\"id\": 2, \"name\": \"b\"}".repeat(20);
        let mut state = 0x2545_f491_4f6c_dd1d;
        for mem_level in [1, 8] {
            for level in [0, 1, 6] {
                let options = DeflateOptions::new().level(level).mem_level(mem_level);
                let mut deflater =
                    Deflater::new(&Pool::new(), WindowBits::new(12).unwrap(), options);
                let mut output = Vec::new();
                for len in [1, 256, 20_000] {
                    for _ in 0..(80_000 / len).min(300) {
                        assert!(!deflater.compress(&noise(len, &mut state), &mut output));
                        assert_eq!(output, []);
                    }
                }
                assert_eq!(deflater.compress(&text, &mut output), level > 0);
                assert_eq!(output.is_empty(), level == 0);
            }
        }
    }

    #[test]
    fn bound_is_more_than_what_an_engine_writes() {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        for mem_level in [1, 8] {
            for level in [0, 1, 2, 6, 9] {
                let settings = Settings {
                    bits: WindowBits::new(9).unwrap(),
                    options: DeflateOptions::new().level(level).mem_level(mem_level),
                };
                let mut engine = make(settings);
                for len in [0, 1, 2, 10, 127, 128, 1000, 20_000] {
                    let mut message = noise(len, &mut state);
                    // Literals of nine bits in the fixed code, which is what level 1 has.
                    message.iter_mut().for_each(|byte| *byte |= 0x90);
                    engine.reset();
                    let mut output = alloc::vec![0; bound(len)];
                    let (read, written) = flush(&mut engine, &message, &mut output).unwrap();
                    assert!(
                        read == len && written < bound(len),
                        "{level} {mem_level} {len}: {written}"
                    );
                }
            }
        }
    }
}
