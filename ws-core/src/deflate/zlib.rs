//! The engine with std: `zlib-rs`, which decodes into the caller's output and keeps a window of its own.
//!
//! The engine's window always has 15 bits. It does not enforce a smaller one, and returns to 15 bits when it is reset. So a
//! distance is accepted if it is at most 32 KiB, and not longer than the history and the output of the message together.
//! With a history of 15 bits this is the same whether the engine was set up from the history or has decoded the
//! messages itself.

use zlib_rs::{Inflate, InflateError, InflateFlush, Status};

use super::engine::{Engine, Outcome, Step, TAIL};
use super::history::History;

/// An inflate engine.
pub(super) struct Decoder(Inflate);

impl Decoder {
    /// Returns an engine in its initial state.
    pub(super) fn new() -> Self {
        Self(Inflate::new(false, 15))
    }

    /// Puts the engine into the state after it has decoded the history.
    pub(super) fn rebuild(&mut self, history: &History) {
        self.0.reset(false);
        self.append(history.parts());
    }

    /// Appends plaintext that the engine has not decoded. It has to be between two messages.
    pub(super) fn append(&mut self, plain: [&[u8]; 2]) {
        for part in plain {
            // It fails only for streams with a header.
            let _ = self.0.set_dictionary(part);
        }
    }
}

/// One call of [`Inflater::inflate`](super::Inflater::inflate): the engine, its output, and the history.
pub(super) struct Call<'a> {
    pub(super) engine: &'a mut Decoder,
    pub(super) history: &'a mut History,
    pub(super) output: &'a mut [u8],
    /// How much of the output is written.
    pub(super) written: usize,
    /// How much of the written output is in the history.
    pub(super) remembered: usize,
    /// Whether the last block was final, so that the engine has to be rebuilt.
    pub(super) over: bool,
}

impl Call<'_> {
    /// Adds the written output to the history.
    pub(super) fn remember(&mut self) {
        self.history.push(self.output.get(self.remembered..self.written).unwrap_or_default());
        self.remembered = self.written;
    }
}

/// What comes after the end of a block.
#[derive(PartialEq, Eq)]
enum End {
    /// The block was the final one.
    Final,
    /// Another block may follow.
    Open,
}

/// Returns what comes after the block that has just ended, or `None` if bits are left over. Nothing may have come after the
/// block.
fn block_end(engine: &mut Inflate) -> Option<End> {
    let [a, b, c, d] = TAIL;
    // This is an empty block. Leftover bits are the upper bits of 0xff, so they would begin a final block or an invalid
    // one.
    let empty = [0, a, b, c, d];
    match decompress(engine, &empty, &mut [0], InflateFlush::NoFlush) {
        (0, 0, Ok(Status::StreamEnd)) => Some(End::Final),
        (5, 0, Ok(Status::Ok)) => Some(End::Open),
        _ => None,
    }
}

/// Calls the engine once. Returns how much it read and wrote, and its result.
fn decompress(
    engine: &mut Inflate,
    input: &[u8],
    output: &mut [u8],
    flush: InflateFlush,
) -> (usize, usize, Result<Status, InflateError>) {
    let before = (engine.total_in(), engine.total_out());
    let result = engine.decompress(input, output, flush);
    // Both are bounded by the lengths of the slices.
    let read = engine.total_in().wrapping_sub(before.0) as usize;
    let written = engine.total_out().wrapping_sub(before.1) as usize;
    (read, written, result)
}

fn step(engine: &mut Inflate, input: &[u8], output: &mut [u8]) -> Step {
    let (consumed, produced, result) = decompress(engine, input, output, InflateFlush::NoFlush);
    let outcome = match result {
        Ok(Status::StreamEnd) => Outcome::Final,
        Ok(Status::Ok | Status::BufError) if produced == output.len() => Outcome::Output,
        Ok(Status::Ok | Status::BufError) => Outcome::Input,
        Err(_) => Outcome::Invalid,
    };
    Step { consumed, produced, outcome }
}

impl Engine for Call<'_> {
    fn step(&mut self, input: &[u8], room: usize) -> Step {
        let free = self.output.get_mut(self.written..).unwrap_or_default();
        // The engine writes no more at once.
        let room = room.min(free.len()).min(u32::MAX as usize);
        let free = free.get_mut(..room).unwrap_or_default();
        if free.is_empty() {
            return Step { consumed: 0, produced: 0, outcome: Outcome::Output };
        }
        let step = step(&mut self.engine.0, input, free);
        self.written = self.written.saturating_add(step.produced);
        step
    }

    fn probe(&mut self, input: &[u8]) -> Step {
        step(&mut self.engine.0, input, &mut [0])
    }

    fn restart(&mut self) {
        self.remember();
        self.engine.rebuild(self.history);
        self.over = false;
    }

    fn ends(&mut self) -> bool {
        let [a, b, c, d] = TAIL;
        let mut nothing = [0];
        // With `Block` the engine stops at the end of a block, before the byte that follows.
        let end =
            decompress(&mut self.engine.0, &[a, b, c, d, 0], &mut nothing, InflateFlush::Block);
        if end != (4, 0, Ok(Status::Ok)) {
            return false;
        }
        let end = block_end(&mut self.engine.0);
        self.over = end == Some(End::Final);
        end.is_some()
    }
}
