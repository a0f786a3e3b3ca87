//! What the rules of a message need of a decoder of DEFLATE (RFC 1951).
//!
//! There are two: `miniz` decodes into a ring that the caller lends, and `zlib` into a
//! slice of the output. Both write everything that the input stands for before they ask for more of it, and
//! look no further than one symbol past a full output, so that outcomes do not depend on how either is cut.

/// Decodes raw DEFLATE, step by step.
pub(super) trait Engine {
    /// Decodes `input` into the output, at most `room` bytes of it.
    fn step(&mut self, input: &[u8], room: usize) -> Step;

    /// As [`step`](Self::step), if `input` is the payload of a whole message: an engine may have a shorter way for that.
    fn whole(&mut self, input: &[u8], room: usize) -> Step {
        self.step(input, room)
    }

    /// As [`step`](Self::step) with room for one byte that nobody sees: whether there is more to come.
    fn probe(&mut self, input: &[u8]) -> Step;

    /// Starts with the next block after a final one. What was decoded before it stays in reach.
    fn restart(&mut self);

    /// Decodes the four bytes that were removed from the message's end (RFC 7692 §7.2.2). Returns whether a block ends
    /// exactly there and nothing was decoded; anything else is a message that was cut short.
    fn ends(&mut self) -> bool;
}

/// What one step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) consumed: usize,
    pub(super) produced: usize,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All of the input is decoded, and there is room left; or, from [`Engine::whole`], a block has ended before that.
    Input,
    /// The room is used up; there may be more to write.
    Output,
    /// A final block has ended (BFINAL).
    Final,
    /// The message is complete: what was removed from its end is decoded, too.
    #[cfg(feature = "zlib-rs")]
    Complete,
    /// This is not DEFLATE, or it reaches back too far.
    Invalid,
}

/// The four bytes that a sender removes and a receiver appends (RFC 7692 §7.2.1, §7.2.2).
pub(super) const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
