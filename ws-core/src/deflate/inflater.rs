//! Inflating with the engines of a pool, or, if a message is short, usually without one.

use alloc::boxed::Box;

use super::fixed;
use super::history::History;
use super::limits::Limits;
use super::message::{Need, Progress};
use super::pool::{Pool, Stamp};
use super::window::WindowBits;
use super::zlib::{Call, Decoder};
use crate::ProtocolError;

/// Inflates the messages of one direction of a connection with engines of a [`Pool`].
///
/// Between two messages it keeps the last window of plaintext, or nothing after
/// [`no_context_takeover`](Self::no_context_takeover). In the middle of a message it also keeps the engine. The example of
/// [`Pool`] shows how to use it.
#[derive(Debug)]
pub struct Inflater {
    pool: Pool,
    history: History,
    takeover: bool,
    limits: Limits,
    progress: Progress,
    /// The engine of the message that is being inflated.
    engine: Option<Engine>,
    stamp: Stamp,
    /// How many bytes of plaintext the engine of `stamp` does not know, because they were inflated without it. It counts up to
    /// [`u16::MAX`], which is more than a window.
    missed: u16,
}

/// An engine that was taken out of the pool.
struct Engine(Box<Decoder>);

/// The result of [`Inflater::inflate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inflated {
    /// How many bytes of the input were used.
    pub consumed: usize,
    /// How many bytes at the start of the output belong to the message. Those behind them may have been overwritten.
    pub produced: usize,
    /// What is needed to continue.
    pub need: Need,
}

impl Inflater {
    /// Returns an inflater for messages that were compressed with a window of `bits`.
    pub fn new(pool: &Pool, bits: WindowBits, limits: Limits) -> Self {
        Self {
            pool: pool.clone(),
            history: History::new(bits),
            takeover: true,
            limits,
            progress: Progress::new(),
            engine: None,
            stamp: Stamp::NONE,
            missed: 0,
        }
    }

    /// Begins each message with an empty window, because the peer agreed to `no_context_takeover`.
    #[must_use]
    pub const fn no_context_takeover(mut self) -> Self {
        self.takeover = false;
        self
    }

    /// Sets the longest message from the next call on.
    #[cfg(feature = "endpoint")]
    pub(crate) const fn set_max_message(&mut self, bytes: u64) {
        self.limits = self.limits.max_message(bytes);
    }

    /// Inflates a part of a message's payload into `output`. `end` says whether the payload ends with this part.
    ///
    /// While the result needs output, call this again with the rest of the input, which may be empty, and the same `end`. The
    /// message is complete when the result needs nothing; that takes at least one byte of room beyond the message, or another call. Text
    /// is not checked to be UTF-8.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidDeflate`] or [`ProtocolError::MessageTooLarge`], after all bytes before the error were
    /// written. Every later call returns the same error. The connection has to be failed.
    pub fn inflate(
        &mut self,
        input: &[u8],
        end: bool,
        output: &mut [u8],
    ) -> Result<Inflated, ProtocolError> {
        self.progress.check()?;
        let Self { pool, history, takeover, limits, progress, engine, stamp, missed } = self;
        if engine.is_none() && input.is_empty() {
            // An engine would have nothing to do.
            let need = if end { Need::Nothing } else { Need::Input };
            return Ok(Inflated { consumed: 0, produced: 0, need });
        }
        let shelf = pool.inflate();
        let mut lease = match engine.take() {
            Some(Engine(engine)) => shelf.with(engine, ()),
            None => {
                if end && input.len() <= fixed::LONGEST {
                    let room = progress.room(*limits).min(output.len()).min(fixed::ROOM);
                    let room = output.get_mut(..room).unwrap_or_default();
                    if let Some(produced) = fixed::inflate(input, history.parts(), room) {
                        if *takeover {
                            history.push(room.get(..produced).unwrap_or_default());
                            let produced = produced.try_into().unwrap_or(u16::MAX);
                            *missed = missed.saturating_add(produced);
                        }
                        let consumed = input.len();
                        return Ok(Inflated { consumed, produced, need: Need::Nothing });
                    }
                }
                let (mut lease, resumed) = shelf.take(*stamp, ());
                if resumed {
                    lease.engine().append(history.latest((*missed).into()));
                } else {
                    lease.engine().rebuild(history);
                }
                *missed = 0;
                lease
            }
        };
        let mut call = Call {
            engine: lease.engine(),
            history,
            output,
            written: 0,
            remembered: 0,
            over: false,
        };
        let run = match progress.run(&mut call, *limits, input, end) {
            Ok(run) => run,
            Err(error) => {
                lease.put(false);
                return Err(error);
            }
        };
        let complete = run.need == Need::Nothing;
        if *takeover || !complete {
            call.remember();
        }
        let over = call.over;
        if complete {
            // The engine's window always has 15 bits. If fewer were agreed, it would reach further back than the history.
            let resumable = *takeover && !over && history.bits() == WindowBits::MAX;
            *stamp = lease.put(resumable);
            if !*takeover {
                history.clear();
            }
        } else {
            *engine = Some(Engine(lease.keep()));
        }
        Ok(Inflated { consumed: run.consumed, produced: run.produced, need: run.need })
    }
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
