//! The interface between the rules of a message and a decoder of DEFLATE (RFC 1951).
//!
//! There are two decoders: `miniz` writes into a ring that the caller lends, and `zlib` into a slice of the output. Both
//! write everything that the input stands for before they ask for more of it. When the output is full, they look ahead
//! by at most one symbol. So the result does not depend on how input and output are cut.

/// A decoder of raw DEFLATE that works step by step.
pub(super) trait Engine {
    /// Decodes `input` into the output, and writes at most `room` bytes.
    fn step(&mut self, input: &[u8], room: usize) -> Step;

    /// Like [`step`](Self::step), with room for one byte that is thrown away. It shows whether there is more output.
    fn probe(&mut self, input: &[u8]) -> Step;

    /// Starts the next block after a final one. That block may still refer to what was decoded before.
    fn restart(&mut self);

    /// Decodes the four bytes that were removed from the end of the message (RFC 7692 §7.2.2). Returns whether a block ends
    /// exactly there without output. Otherwise the message was truncated.
    fn ends(&mut self) -> bool;
}

/// The result of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) consumed: usize,
    pub(super) produced: usize,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All of the input is decoded, and there is room left.
    Input,
    /// The room is used up, and there may be more output.
    Output,
    /// A final block (BFINAL) has ended.
    Final,
    /// The input is not DEFLATE, or it refers too far back.
    Invalid,
}

/// The four bytes that a sender removes from a message and a receiver appends (RFC 7692 §7.2.1, §7.2.2).
pub(super) const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
