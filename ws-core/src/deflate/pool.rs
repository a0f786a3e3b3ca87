//! The engines that connections share.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use zlib_rs::{Deflate, Inflate};

use super::deflater::Settings;

/// Engines that any number of connections share.
///
/// An engine costs 48 KB to inflate and 137 to 380 KB to compress. A connection holds one only while it
/// inflates a message that arrives in pieces; otherwise it takes one for the time of a call and puts it back. The
/// pool keeps the engines that were used last, each in the state in which its connection has left it. If that
/// connection is the next to use it, it goes on from there, which is faster (to inflate, with a window of 15 bits only); otherwise the engine is set up from the
/// other connection's history.
///
/// A clone is another handle of the same pool. An engine that is missing is made.
///
/// ```
/// use ws_core::deflate::{Deflater, DeflateOptions, Inflater, Limits, Need, Pool, WindowBits};
///
/// let pool = Pool::new();
/// let bits = WindowBits::new(12).ok_or("8 to 15")?;
/// let mut deflater = Deflater::new(&pool, bits, DeflateOptions::new());
/// let mut inflater = Inflater::new(&pool, bits, Limits::new());
///
/// let message = b"the same again and again and again and again";
/// let mut payload = Vec::new();
/// assert!(deflater.compress(message, &mut payload));
/// assert!(payload.len() < message.len());
///
/// let mut output = [0; 100];
/// let inflated = inflater.inflate(&payload, true, &mut output)?;
/// assert_eq!(inflated.need, Need::Nothing);
/// assert_eq!(&output[..inflated.produced], message);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inflate: Shelf<Inflate, ()>,
    deflate: Shelf<Deflate, Settings>,
}

/// Says in which state an engine was left. No two states have the same, and none is 0.
pub(super) type Stamp = u64;

/// The engines of one sort that are not in use, the one that was used last at the end.
pub(super) struct Shelf<E, S> {
    most: usize,
    kept: Mutex<Kept<E, S>>,
}

struct Kept<E, S> {
    engines: Vec<Idle<E, S>>,
    latest: Stamp,
}

struct Idle<E, S> {
    engine: Box<E>,
    settings: S,
    /// 0: in a state that no connection can go on from.
    stamp: Stamp,
}

impl Pool {
    /// A pool that keeps as many engines of each sort as there are processors.
    pub fn new() -> Self {
        Self::with_engines(available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// A pool that keeps up to this many engines to inflate, and as many to compress.
    pub fn with_engines(most: NonZeroUsize) -> Self {
        Self(Arc::new(Shared { inflate: Shelf::new(most), deflate: Shelf::new(most) }))
    }

    pub(super) fn inflate(&self) -> &Shelf<Inflate, ()> {
        &self.0.inflate
    }

    pub(super) fn deflate(&self) -> &Shelf<Deflate, Settings> {
        &self.0.deflate
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

impl<E, S: Copy + PartialEq> Shelf<E, S> {
    const fn new(most: NonZeroUsize) -> Self {
        let kept = Kept { engines: Vec::new(), latest: 0 };
        Self { most: most.get(), kept: Mutex::new(kept) }
    }

    /// A panic elsewhere leaves the list whole: it is never held while an engine works.
    fn lock(&self) -> MutexGuard<'_, Kept<E, S>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an engine out; also returns whether it is in the state of that stamp.
    pub(super) fn take(&self, stamp: Stamp, settings: S, make: fn(S) -> E) -> (Box<E>, bool) {
        {
            let mut kept = self.lock();
            let engines = &mut kept.engines;
            if stamp != 0 {
                if let Some(at) = engines.iter().rposition(|idle| idle.stamp == stamp) {
                    return (engines.remove(at).engine, true);
                }
            }
            // One that nobody misses; or the one that was not used for longest, if there are enough of them.
            let fits = |idle: &Idle<E, S>| idle.settings == settings;
            let at = engines.iter().position(|idle| idle.stamp == 0 && fits(idle));
            let full = engines.len() >= self.most;
            if let Some(at) = at.or_else(|| engines.iter().position(fits).filter(|_| full)) {
                return (engines.remove(at).engine, false);
            }
        }
        (Box::new(make(settings)), false)
    }

    /// Puts an engine back, in a state that a connection can go on from if `resumable`; returns its stamp.
    pub(super) fn put(&self, engine: Box<E>, settings: S, resumable: bool) -> Stamp {
        let mut kept = self.lock();
        let mut stamp = 0;
        if resumable {
            kept.latest = kept.latest.wrapping_add(1).max(1);
            stamp = kept.latest;
        }
        let idle = Idle { engine, settings, stamp };
        let surplus = (kept.engines.len() >= self.most).then(|| kept.engines.remove(0));
        kept.engines.push(idle);
        drop(kept);
        drop(surplus);
        stamp
    }
}

impl<E, S> core::fmt::Debug for Shelf<E, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shelf").field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Engines are numbers here, and their settings letters.
    fn shelf(most: usize) -> Shelf<u32, char> {
        Shelf::new(NonZeroUsize::new(most).unwrap())
    }

    fn made(settings: char) -> u32 {
        settings.into()
    }

    #[test]
    fn a_connection_goes_on_with_the_engine_that_it_has_left() {
        let shelf = shelf(2);
        let a = shelf.put(Box::new(1), 'x', true);
        let b = shelf.put(Box::new(2), 'x', true);
        assert_eq!(shelf.take(a, 'x', made), (Box::new(1), true));
        // The stamp stands for that state only.
        assert_ne!(shelf.put(Box::new(1), 'x', true), a);
        assert_eq!(shelf.take(b, 'x', made), (Box::new(2), true));
        assert!(!shelf.take(b, 'x', made).1);
    }

    #[test]
    fn an_engine_that_nobody_misses_is_taken_first_then_one_that_was_unused_for_longest() {
        let shelf = shelf(3);
        let first = shelf.put(Box::new(1), 'x', true);
        assert_eq!(shelf.put(Box::new(2), 'x', false), 0);
        let last = shelf.put(Box::new(3), 'x', true);
        assert_eq!(shelf.take(0, 'x', made), (Box::new(2), false));
        // There is room for another one, so nobody loses an engine.
        assert_eq!(shelf.take(0, 'x', made), (Box::new('x'.into()), false));
        shelf.put(Box::new(2), 'y', true);
        assert_eq!(shelf.take(0, 'x', made), (Box::new(1), false));
        assert_eq!(shelf.take(first, 'z', made), (Box::new('z'.into()), false));
        assert_eq!(shelf.take(last, 'x', made), (Box::new(3), true));
    }

    #[test]
    fn no_more_engines_are_kept_than_allowed() {
        let shelf = shelf(2);
        for engine in 0..5 {
            shelf.put(Box::new(engine), 'x', true);
        }
        assert_eq!(shelf.lock().engines.len(), 2);
        assert_eq!(*shelf.take(0, 'x', made).0, 3);
        assert_eq!(*shelf.take(5, 'x', made).0, 4);
    }

    #[test]
    fn a_panic_elsewhere_does_not_spread() {
        let shelf = shelf(1);
        shelf.put(Box::new(1), 'x', true);
        let panicked = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let _lock = shelf.lock();
                    panic!("on purpose")
                })
                .join()
                .is_err()
        });
        assert!(panicked && shelf.kept.is_poisoned());
        assert_eq!(shelf.take(1, 'x', made), (Box::new(1), true));
    }
}
