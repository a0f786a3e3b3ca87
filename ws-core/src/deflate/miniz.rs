//! The engine without an allocator: the core of `miniz_oxide`, which decodes into a ring in memory of the caller.
//!
//! The ring is the window. A distance that is longer than the ring is an error, and so is one that reaches back before the
//! first byte. Until the ring has been filled once, it is used as a plain slice, for which the engine checks the latter.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY,
    TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress_with_limit};

use super::engine::{Engine, Outcome, Step, TAIL};

/// The engine with its ring, whose length is a power of two.
pub(super) struct Ring<'a> {
    pub(super) decoder: &'a mut DecompressorOxide,
    pub(super) bytes: &'a mut [u8],
    pub(super) place: &'a mut Place,
}

/// The position of the next byte in a ring.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) at: usize,
    /// Whether messages may refer to all bytes of the ring, instead of only those before `at`.
    pub(super) full: bool,
}

impl Place {
    /// At the end of a ring of `len` bytes, goes back to its start.
    pub(super) const fn wrap(&mut self, len: usize) {
        if self.at == len {
            *self = Self { at: 0, full: true };
        }
    }
}

impl Ring<'_> {
    fn decode(
        &mut self,
        input: &[u8],
        place: Place,
        room: usize,
        flags: u32,
    ) -> (TINFLStatus, usize, usize) {
        let wrapping = if place.full { 0 } else { TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF };
        let flags = flags | wrapping | TINFL_FLAG_HAS_MORE_INPUT;
        decompress_with_limit(self.decoder, input, self.bytes, place.at, room, flags)
    }

    /// Returns a place for one byte that is thrown away.
    const fn spare(&self) -> Place {
        let mut place = *self.place;
        place.wrap(self.bytes.len());
        place
    }
}

impl Engine for Ring<'_> {
    fn step(&mut self, input: &[u8], room: usize) -> Step {
        if self.place.at == self.bytes.len() {
            return Step { consumed: 0, produced: 0, outcome: Outcome::Output };
        }
        let (status, consumed, produced) = self.decode(input, *self.place, room, 0);
        self.place.at = self.place.at.saturating_add(produced);
        Step { consumed, produced, outcome: outcome(status) }
    }

    fn probe(&mut self, input: &[u8]) -> Step {
        let (status, consumed, produced) = self.decode(input, self.spare(), 1, 0);
        Step { consumed, produced, outcome: outcome(status) }
    }

    fn restart(&mut self) {
        self.decoder.init();
    }

    fn ends(&mut self) -> bool {
        let place = self.spare();
        match self.decode(&TAIL, place, 1, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY) {
            (TINFLStatus::BlockBoundary, 4, 0) => {
                // Leftover bits would belong to the next message.
                self.decoder.block_boundary_state().is_some_and(|state| state.num_bits == 0)
            }
            (TINFLStatus::Done, 4, 0) => true,
            _ => false,
        }
    }
}

const fn outcome(status: TINFLStatus) -> Outcome {
    match status {
        TINFLStatus::NeedsMoreInput => Outcome::Input,
        TINFLStatus::HasMoreOutput => Outcome::Output,
        TINFLStatus::Done => Outcome::Final,
        _ => Outcome::Invalid,
    }
}
