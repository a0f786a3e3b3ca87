//! The engine with std: `zlib-rs`, which decodes into the caller's output and keeps a window of its own.
//!
//! The engine's window always has 15 bits. It does not enforce a smaller one, and returns to 15 bits when it is reset. So a
//! distance is accepted if it is at most 32 KiB, and not longer than the history and the output of the message together.
//! With a history of 15 bits this is the same whether the engine was set up from the history or has decoded the
//! messages itself.

use zlib_rs::{Inflate, InflateError, InflateFlush, Status};

use super::engine::{Engine, Outcome, Step, TAIL};
use super::history::History;

/// The longest payload that is copied, so that one call of the engine can decode it with the bytes that follow it.
pub(super) const SHORT: usize = 512;

/// With this many bytes behind those that it decodes, an engine stays in its fastest loop up to the end of a block.
const PAD: usize = 16;

/// An inflate engine, with room for a short payload and the bytes that are appended to it.
pub(super) struct Decoder {
    inflate: Inflate,
    padded: [u8; SHORT + TAIL.len() + PAD],
}

impl Decoder {
    /// Returns an engine in its initial state.
    pub(super) fn new() -> Self {
        Self { inflate: Inflate::new(false, 15), padded: [0; SHORT + TAIL.len() + PAD] }
    }

    /// Puts the engine into the state after it has decoded the history.
    pub(super) fn rebuild(&mut self, history: &History) {
        self.inflate.reset(false);
        for part in history.parts() {
            // It fails only for streams with a header.
            let _ = self.inflate.set_dictionary(part);
        }
    }

    /// Decodes the payload of a whole message together with the bytes that were removed, and returns the length of the message.
    ///
    /// Returns `None` if the payload is longer than [`SHORT`], or the message is not a usual one, which has one block and an empty one
    /// after it, or it leaves no room in `output`. Then the engine has to be rebuilt.
    pub(super) fn short(&mut self, payload: &[u8], output: &mut [u8]) -> Option<usize> {
        let Self { inflate, padded } = self;
        let len = payload.len();
        let (start, after) = padded.split_at_mut_checked(len)?;
        let after = after.first_chunk_mut::<{ TAIL.len() + PAD }>()?;
        start.copy_from_slice(payload);
        *after = [0; TAIL.len() + PAD];
        after.first_chunk_mut().map(|tail| *tail = TAIL)?;
        let end = len.checked_add(TAIL.len())?;
        let given = padded.get(..end.checked_add(PAD)?)?;
        // With `Block` the engine stops at the end of a block.
        let (consumed, produced, result) = decompress(inflate, given, output, InflateFlush::Block);
        let rest = len.checked_sub(consumed).filter(|rest| *rest <= 1)?;
        if result != Ok(Status::Ok) || produced == output.len() {
            return None;
        }
        // One byte more, so that it shows whether the engine stops before it.
        let last = padded.get(consumed..=end)?;
        let ended = decompress(inflate, last, &mut [0], InflateFlush::Block);
        if ended != (rest.checked_add(TAIL.len())?, 0, Ok(Status::Ok)) {
            return None;
        }
        // A block without content has begun in the last 47 bits or fewer, and has ended with the last byte. A fixed block has only
        // 10 bits and would have ended earlier, and a dynamic one has more than 47. So it was a stored block, and no bit is
        // left over. It has begun in bits that are zero here, so it is not final.
        let zero = payload.ends_with(&[0, 0]) || rest == 0 && payload.ends_with(&[0]);
        (zero || block_end(inflate) == Some(End::Open)).then_some(produced)
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
        let step = step(&mut self.engine.inflate, input, free);
        self.written = self.written.saturating_add(step.produced);
        step
    }

    fn probe(&mut self, input: &[u8]) -> Step {
        step(&mut self.engine.inflate, input, &mut [0])
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
        let end = decompress(
            &mut self.engine.inflate,
            &[a, b, c, d, 0],
            &mut nothing,
            InflateFlush::Block,
        );
        if end != (4, 0, Ok(Status::Ok)) {
            return false;
        }
        let end = block_end(&mut self.engine.inflate);
        self.over = end == Some(End::Final);
        end.is_some()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::deflate::{DeflateOptions, Deflater, Pool, WindowBits};

    fn short(payload: &[u8], room: usize) -> Option<usize> {
        Decoder::new().short(payload, &mut vec![0; room])
    }

    #[test]
    fn usual_messages_take_the_short_way() {
        let mut last_bytes = [false; 2];
        for len in 1..700_usize {
            let plain: Vec<u8> = (0..len).map(|i| b"etaoin shr"[i * i % 251 % 10]).collect();
            let mut payload = Vec::new();
            Deflater::new(&Pool::new(), WindowBits::MAX, DeflateOptions::new().level(6))
                .compress_piece(&plain, true, &mut payload);
            assert_eq!(short(&payload, len + 1), Some(len), "{len}");
            assert_eq!(short(&payload, len), None, "no room is left");
            last_bytes[usize::from(payload.ends_with(&[0]))] = true;
        }
        assert_eq!(last_bytes, [true; 2]);
    }

    #[test]
    fn final_blocks_do_not_take_the_short_way() {
        // "Hello" with an empty block behind it that is final, or is a final one by itself.
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07];
        for last in [&[0x04][..], &[0x00, 0x01]] {
            assert_eq!(short(&[&hello[..], last].concat(), 10), None, "{last:02x?}");
        }
        assert_eq!(short(&[&hello[..], &[0x00]].concat(), 10), Some(5));
    }
}
