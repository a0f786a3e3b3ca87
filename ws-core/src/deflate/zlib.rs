//! The engine with std: `zlib-rs`, which decodes into the caller's output and keeps a window of its own.
//!
//! The engine's window always has 15 bits. It does not enforce a smaller one, and returns to 15 bits when it is reset. So a
//! distance is accepted if it is at most 32 KiB, and not longer than the history and the output of the message together.
//! With a history of 15 bits this is the same whether the engine was set up from the history or has decoded the
//! messages itself.

use zlib_rs::{Inflate, InflateError, InflateFlush, Status};

use super::engine::{Engine, Outcome, Step, TAIL};
use super::history::History;

/// An inflate engine, with room for a short payload and the bytes that are appended to it.
pub(super) struct Decoder {
    inflate: Inflate,
    padded: [u8; SHORT + TAIL.len() + PAD],
}

/// Returns an inflate engine in its initial state.
pub(super) fn new_engine() -> Decoder {
    Decoder { inflate: Inflate::new(false, 15), padded: [0; SHORT + TAIL.len() + PAD] }
}

/// Puts the engine into the state after it has decoded the history.
pub(super) fn rebuild(engine: &mut Decoder, history: &History) {
    engine.inflate.reset(false);
    for part in history.parts() {
        // It fails only for streams with a header.
        let _ = engine.inflate.set_dictionary(part);
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

/// The longest payload that is copied, so that one call of the engine can decode it with the bytes that follow it.
const SHORT: usize = 512;

/// With this many bytes behind those that it decodes, an engine stays in its fastest loop up to the end of a block.
const PAD: usize = 16;

impl Call<'_> {
    /// Decodes the payload of a whole message together with the bytes that were removed. Returns `None` if the message is not a
    /// usual one, which has one block and an empty one after it.
    fn short(&mut self, input: &[u8], room: usize) -> Option<Step> {
        let Decoder { inflate, padded } = &mut *self.engine;
        let len = input.len();
        let (payload, after) = padded.split_at_mut_checked(len)?;
        payload.copy_from_slice(input);
        let after = after.first_chunk_mut::<{ TAIL.len() + PAD }>()?;
        *after = [0; TAIL.len() + PAD];
        after.first_chunk_mut().map(|tail| *tail = TAIL)?;
        let end = len.checked_add(TAIL.len())?;
        let free = self.output.get_mut(self.written..)?;
        let free = free.get_mut(..room.min(free.len()))?;
        let given = padded.get(..end.checked_add(PAD)?)?;
        // With `Block` the engine stops at the end of a block.
        let (consumed, produced, result) = decompress(inflate, given, free, InflateFlush::Block);
        let rest = len.checked_sub(consumed).filter(|_| result == Ok(Status::Ok))?;
        let full = produced == free.len();
        let step = |outcome| Step { consumed, produced, outcome };
        if full || rest > 1 {
            self.written = self.written.saturating_add(produced);
            return Some(step(if full { Outcome::Output } else { Outcome::Input }));
        }
        let last = padded.get(consumed..=end)?;
        let ended = decompress(inflate, last, &mut [0], InflateFlush::Block);
        if ended != (rest.checked_add(TAIL.len())?, 0, Ok(Status::Ok)) {
            return None;
        }
        // A block without content has begun in the last 47 bits or fewer, and has ended with the last byte. A fixed block has only
        // 10 bits and would have ended earlier, and a dynamic one has more than 47. So it was a stored block, and no bit is
        // left over. It has begun in bits that are zero here, so it is not final.
        let zero = padded.get(..len)?.ends_with(&[0, 0]) || rest == 0 && input.ends_with(&[0]);
        if !zero && !self.is_at_end() {
            return None;
        }
        self.written = self.written.saturating_add(produced);
        Some(Step { consumed: len, produced, outcome: Outcome::Complete })
    }

    /// Returns whether no bit is left over at the end of a block, and notes whether the block was final. Nothing may have
    /// come after the block.
    fn is_at_end(&mut self) -> bool {
        let [a, b, c, d] = TAIL;
        // This is an empty block. Leftover bits are the upper bits of 0xff, so they would begin a final block or an invalid
        // one.
        let empty = [0, a, b, c, d];
        let next = decompress(&mut self.engine.inflate, &empty, &mut [0], InflateFlush::NoFlush);
        self.over = next == (0, 0, Ok(Status::StreamEnd));
        self.over || next == (empty.len(), 0, Ok(Status::Ok))
    }

    /// Adds the written output to the history.
    pub(super) fn remember(&mut self) {
        self.history.push(self.output.get(self.remembered..self.written).unwrap_or_default());
        self.remembered = self.written;
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
        let room = room.min(free.len());
        let free = free.get_mut(..room).unwrap_or_default();
        if free.is_empty() {
            return Step { consumed: 0, produced: 0, outcome: Outcome::Output };
        }
        let step = step(&mut self.engine.inflate, input, free);
        self.written = self.written.saturating_add(step.produced);
        step
    }

    fn whole(&mut self, input: &[u8], room: usize) -> Step {
        if input.len() <= SHORT && self.written < self.output.len() {
            if let Some(step) = self.short(input, room) {
                return step;
            }
            // The history contains nothing of this message.
            rebuild(self.engine, self.history);
        }
        self.step(input, room)
    }

    fn probe(&mut self, input: &[u8]) -> Step {
        step(&mut self.engine.inflate, input, &mut [0])
    }

    fn restart(&mut self) {
        self.remember();
        rebuild(self.engine, self.history);
        self.over = false;
    }

    fn ends(&mut self) -> bool {
        let [a, b, c, d] = TAIL;
        let mut nothing = [0];
        // With `Block` the engine stops at the end of a block, before the byte that follows.
        let end = decompress(
            &mut self.engine.inflate,
            &[a, b, c, d, 0],
            &mut nothing,
            InflateFlush::Block,
        );
        if end != (4, 0, Ok(Status::Ok)) {
            return false;
        }
        self.is_at_end()
    }
}
