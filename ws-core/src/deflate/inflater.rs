//! Inflating with engines of a pool.

use alloc::boxed::Box;

use super::history::History;
use super::limits::Limits;
use super::message::{Need, Progress};
use super::pool::{Pool, Stamp};
use super::window::WindowBits;
use super::zlib::{Call, Decoder, new_engine, rebuild};
use crate::ProtocolError;

/// Inflates the messages of one direction of a connection with engines of a [`Pool`].
///
/// Between two messages it holds the last bytes of plaintext, as many as the window has; with
/// [`no_context_takeover`](Self::no_context_takeover) it holds nothing. In the middle of a message it also holds the engine.
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
}

/// An engine that is taken out of the pool.
struct Engine(Box<Decoder>);

/// What [`Inflater::inflate`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inflated {
    /// How many bytes of the input are used up.
    pub consumed: usize,
    /// How many bytes of the output are written.
    pub produced: usize,
    /// What it takes to go on.
    pub need: Need,
}

impl Inflater {
    /// An inflater for messages that were compressed with this window.
    pub fn new(pool: &Pool, bits: WindowBits, limits: Limits) -> Self {
        Self {
            pool: pool.clone(),
            history: History::new(bits),
            takeover: true,
            limits,
            progress: Progress::new(),
            engine: None,
            stamp: Stamp::NONE,
        }
    }

    /// Each message starts with an empty window: the peer's `no_context_takeover` was agreed.
    #[must_use]
    pub const fn no_context_takeover(mut self) -> Self {
        self.takeover = false;
        self
    }

    /// From the next call on, messages may be this long.
    #[cfg(feature = "endpoint")]
    pub(crate) const fn set_max_message(&mut self, bytes: u64) {
        self.limits = self.limits.max_message(bytes);
    }

    /// Inflates a part of a message's payload into `output`; `end` says that the payload ends with it.
    ///
    /// Call it again with the rest of the input, which may be empty, while it needs output: the message is complete
    /// when it needs nothing. That takes at least one byte of room beyond the message, or another call. The text of a message
    /// is not checked to be UTF-8.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidDeflate`] and [`ProtocolError::MessageTooLarge`], after all bytes before the error were
    /// written; also for each later call. The connection has to be failed.
    pub fn inflate(
        &mut self,
        input: &[u8],
        end: bool,
        output: &mut [u8],
    ) -> Result<Inflated, ProtocolError> {
        self.progress.check()?;
        if self.engine.is_none() && input.is_empty() && !end {
            // There is nothing that an engine would have to remember.
            return Ok(Inflated { consumed: 0, produced: 0, need: Need::Input });
        }
        let Self { pool, history, takeover, limits, progress, engine, stamp } = self;
        let shelf = pool.inflate();
        let mut lease = match engine.take() {
            Some(Engine(engine)) => shelf.with(engine, ()),
            None => {
                let (mut lease, resumed) = shelf.take(*stamp, (), |()| new_engine());
                if !resumed {
                    rebuild(lease.engine(), history);
                }
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
            // The engine's window has 15 bits: with fewer it would reach further than the history.
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
