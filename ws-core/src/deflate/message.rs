//! The rules for a received compressed message, which are the same for all engines (RFC 7692 §7.2.2).

use super::engine::{Engine, Outcome, Step};
#[cfg(feature = "zlib-rs")]
use super::fixed;
use super::limits::Limits;
use crate::ProtocolError;

/// The limit of the ratio grows after this many compressed bytes. It must not depend on how the message is cut into
/// pieces, so it always grows at the same bytes of a message.
const RATIO_STEP: u64 = 1024;

/// How many bytes of the message a final block counts as, because the engine has to be given its window again after it.
const RESTART: u64 = 1024;
/// How many such bytes are allowed in any message, however short its limit is.
const FREE_RESTARTS: u64 = 64 * RESTART;

/// How far the current message is inflated.
#[derive(Debug)]
pub(super) struct Progress {
    compressed: u64,
    inflated: u64,
    /// Whether all output for the payload so far was written.
    drained: bool,
    /// Whether nothing has come since the start of the message or since a final block.
    fresh: bool,
    /// How many blocks were final. They cost work that shows in no byte of the message.
    restarts: u64,
    /// The error of the message, which is returned after the bytes before it.
    error: Option<ProtocolError>,
}

/// The result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) consumed: usize,
    pub(super) produced: usize,
    pub(super) need: Need,
}

/// What an inflater needs to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// More of the payload. Everything so far is inflated.
    Input,
    /// More room for output.
    Output,
    /// Nothing. The message is complete.
    Nothing,
}

impl Progress {
    pub(super) const fn new() -> Self {
        Self { compressed: 0, inflated: 0, drained: true, fresh: true, restarts: 0, error: None }
    }

    /// Returns whether a part of a message was inflated, but not its end.
    #[cfg(feature = "miniz_oxide")]
    pub(super) const fn is_open(&self) -> bool {
        self.compressed != 0 || self.error.is_some()
    }

    /// Makes every following call fail with `error`, unless there is an error already.
    #[cfg(feature = "miniz_oxide")]
    pub(super) fn fail(&mut self, error: ProtocolError) {
        self.error.get_or_insert(error);
    }

    /// Returns the error of the message, once all bytes before it were returned.
    #[cfg(feature = "zlib-rs")]
    pub(super) fn check(&self) -> Result<(), ProtocolError> {
        self.error.map_or(Ok(()), Err)
    }

    /// Inflates `input` until it is used up, the engine's output is full, or the message is complete. `end` says whether the
    /// message ends with `input`.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidDeflate`] or [`ProtocolError::MessageTooLarge`], once all bytes before the error were
    /// returned. Every later call returns the same error.
    pub(super) fn run(
        &mut self,
        engine: &mut impl Engine,
        limits: Limits,
        input: &[u8],
        end: bool,
    ) -> Result<Run, ProtocolError> {
        let mut run = Run { consumed: 0, produced: 0, need: Need::Output };
        while self.error.is_none() {
            let rest = input.get(run.consumed..).unwrap_or_default();
            if rest.is_empty() && self.drained {
                run.need = Need::Input;
                if end {
                    if self.fresh || engine.ends() {
                        *self = Self::new();
                        run.need = Need::Nothing;
                    } else {
                        self.error = Some(ProtocolError::InvalidDeflate);
                        break;
                    }
                }
                return Ok(run);
            }
            let (len, limit) = self.next_limit(limits, rest.len());
            let rest = rest.get(..len).unwrap_or_default();
            let room = usize::try_from(limit.saturating_sub(self.inflated)).unwrap_or(usize::MAX);
            let step = match room {
                0 => engine.probe(rest),
                _ => engine.step(rest, room),
            };
            self.account(step, rest);
            run.consumed = run.consumed.saturating_add(step.consumed);
            if room == 0 && step.produced != 0 {
                self.error = Some(ProtocolError::MessageTooLarge);
                break;
            }
            run.produced = run.produced.saturating_add(step.produced);
            match step.outcome {
                Outcome::Output if step.produced < room => return Ok(run),
                Outcome::Final => {
                    self.restarts = self.restarts.saturating_add(1);
                    let work = self.restarts.saturating_mul(RESTART);
                    if work > limit.max(FREE_RESTARTS) {
                        self.error = Some(ProtocolError::MessageTooLarge);
                        break;
                    }
                    engine.restart();
                }
                _ => {}
            }
        }
        match self.error {
            // The bytes before the error are returned first.
            Some(error) if run.produced == 0 => Err(error),
            _ => {
                run.need = Need::Output;
                Ok(run)
            }
        }
    }

    /// Returns how long a message may be whose payload has at most [`fixed::LONGEST`] bytes. Nothing of it may have been inflated yet.
    #[cfg(feature = "zlib-rs")]
    pub(super) fn room(&self, limits: Limits) -> usize {
        const { assert!(fixed::LONGEST as u64 <= RATIO_STEP, "the limit grows after a step") };
        let (_, limit) = self.next_limit(limits, 0);
        usize::try_from(limit).unwrap_or(usize::MAX)
    }

    /// Returns how many of the payload's next `len` bytes one step may decode, and how long the message may be by
    /// then.
    fn next_limit(&self, limits: Limits, len: usize) -> (usize, u64) {
        if limits.max_ratio == 0 {
            return (len, limits.max_message);
        }
        // Output that is not written yet belongs to the bytes before.
        let counted = self.compressed.saturating_sub(u64::from(!self.drained));
        let until = (counted / RATIO_STEP).saturating_add(1).saturating_mul(RATIO_STEP);
        let left = usize::try_from(until.saturating_sub(self.compressed)).unwrap_or(usize::MAX);
        let limit = until.saturating_mul(limits.max_ratio.into());
        (left.min(len), limit.min(limits.max_message))
    }

    fn account(&mut self, step: Step, input: &[u8]) {
        self.compressed = self.compressed.saturating_add(step.consumed as u64);
        self.inflated = self.inflated.saturating_add(step.produced as u64);
        self.drained = matches!(step.outcome, Outcome::Input | Outcome::Final);
        self.fresh = step.outcome == Outcome::Final || self.fresh && step.consumed == 0;
        let stuck = step.outcome == Outcome::Input && step.consumed == 0 && !input.is_empty();
        if step.outcome == Outcome::Invalid || stuck {
            self.error = Some(ProtocolError::InvalidDeflate);
        }
    }
}
