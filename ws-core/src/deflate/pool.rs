//! The engines that connections share.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::thread::available_parallelism;

use zlib_rs::Deflate;

use super::deflater::{self, Settings};
use super::zlib::Decoder;

/// Engines that any number of connections share.
///
/// An engine takes 48 KB to inflate, and 137 to 380 KB to compress. A connection uses one only during a call, except in the
/// middle of a message that arrives in pieces, when it keeps the engine.
///
/// The pool keeps the engines that were used last, each in the state in which its connection left it. If the same
/// connection uses the engine next, the engine continues from there, which is faster. (For inflating, this needs a
/// window of 15 bits.) Otherwise the engine is set up from the history of the other connection. To inflate a
/// message of up to about 128 bytes, an engine is rarely needed.
///
/// A clone is another handle of the same pool. Nobody waits for an engine: if all of them are in use, a further one is
/// made, and dropped after the call.
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
    inflate: Shelf<Decoder, ()>,
    deflate: Shelf<Deflate, Settings>,
}

/// The most places for engines. A search looks at one after the other.
const MOST: usize = 1024;

/// Identifies the place in which an engine was left, and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    place: usize,
    /// A number that is unique among the states in one place. Zero means that no connection can continue from the state.
    count: u64,
}

impl Stamp {
    /// The stamp of no engine.
    pub(super) const NONE: Self = Self { place: 0, count: 0 };
}

/// The engines of one kind. Each has its own place, which stays locked while the engine is in use.
pub(super) struct Shelf<E, S> {
    places: Box<[Mutex<Place<E, S>>]>,
    make: fn(S) -> E,
    /// How often an engine was put back. The count is approximate, because two threads may count the same.
    time: AtomicU64,
}

struct Place<E, S> {
    kept: Option<Kept<E, S>>,
    /// How often an engine from which a connection can continue was left here.
    count: u64,
}

struct Kept<E, S> {
    engine: Box<E>,
    settings: S,
    /// The number in the engine's [`Stamp`].
    count: u64,
    /// The [`Shelf::time`] at which the engine was put back.
    time: u64,
}

/// An engine in use. Dropping the lease without [`put`](Self::put) leaves an engine from whose state no connection can continue.
pub(super) struct Lease<'s, E, S> {
    shelf: &'s Shelf<E, S>,
    held: Held<'s, E, S>,
    settings: S,
}

enum Held<'s, E, S> {
    /// The engine works in its place, which stays locked.
    Place(usize, MutexGuard<'s, Place<E, S>>),
    /// No place was free.
    Own(Box<E>),
}

impl Pool {
    /// Returns a pool that keeps as many engines of each kind as there are processors.
    pub fn new() -> Self {
        Self::with_engines(available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// Returns a pool that keeps at most this many engines to inflate, and as many to compress, including those in use. A
    /// number above 1,024 counts as 1,024.
    pub fn with_engines(most: NonZeroUsize) -> Self {
        Self(Arc::new(Shared {
            inflate: Shelf::new(most, |()| Decoder::new()),
            deflate: Shelf::new(most, deflater::make),
        }))
    }

    pub(super) fn inflate(&self) -> &Shelf<Decoder, ()> {
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
    fn new(most: NonZeroUsize, make: fn(S) -> E) -> Self {
        let place = || Mutex::new(Place { kept: None, count: 0 });
        Self {
            places: core::iter::repeat_with(place).take(most.get().min(MOST)).collect(),
            make,
            time: AtomicU64::new(0),
        }
    }

    /// Locks a place whose engine is not in use.
    #[inline]
    fn lock(&self, place: usize) -> Option<MutexGuard<'_, Place<E, S>>> {
        let mutex = self.places.get(place)?;
        match mutex.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(poisoned)) => {
                // Its engine has panicked.
                let mut guard = poisoned.into_inner();
                guard.kept = None;
                mutex.clear_poison();
                Some(guard)
            }
        }
    }

    /// Takes an engine. Also returns whether it is in the state of `stamp`.
    pub(super) fn take(&self, stamp: Stamp, settings: S) -> (Lease<'_, E, S>, bool) {
        if stamp != Stamp::NONE {
            if let Some(mut guard) = self.lock(stamp.place) {
                if let Some(kept) = guard.kept.as_mut().filter(|kept| kept.count == stamp.count) {
                    kept.count = 0;
                    let settings = kept.settings;
                    let held = Held::Place(stamp.place, guard);
                    return (Lease { shelf: self, held, settings }, true);
                }
            }
        }
        let held = match self.best(Some(settings)) {
            Some((place, mut guard)) => {
                match &mut guard.kept {
                    Some(kept) if kept.settings == settings => kept.count = 0,
                    kept => *kept = None,
                }
                Held::Place(place, guard)
            }
            None => Held::Own(Box::new((self.make)(settings))),
        };
        (Lease { shelf: self, held, settings }, false)
    }

    /// Returns a place for an engine with these settings, or `None` if engines from all places are in use. A place whose engine no
    /// connection can continue is preferred, then an empty one, then the one whose engine has not been used for longest.
    fn best(&self, settings: Option<S>) -> Option<(usize, MutexGuard<'_, Place<E, S>>)> {
        let mut best: Option<((u8, u64), usize, MutexGuard<'_, _>)> = None;
        for at in 0..self.places.len() {
            let Some(guard) = self.lock(at) else { continue };
            let rank = match &guard.kept {
                None => (1, 0),
                Some(Kept { settings: own, count, time, .. }) => {
                    match (settings == Some(*own), *count == 0) {
                        (true, true) => (0, 0),
                        (false, true) => (1, 1),
                        (true, false) => (2, *time),
                        (false, false) => (3, *time),
                    }
                }
            };
            if best.as_ref().is_none_or(|(least, ..)| rank < *least) {
                best = Some((rank, at, guard));
            }
            if rank == (0, 0) {
                break;
            }
        }
        best.map(|(_, at, guard)| (at, guard))
    }

    /// Returns a lease for an engine that was taken out by [`Lease::keep`], so that it can be put back.
    pub(super) fn with(&self, engine: Box<E>, settings: S) -> Lease<'_, E, S> {
        Lease { shelf: self, held: Held::Own(engine), settings }
    }
}

impl<'s, E, S: Copy + PartialEq> Lease<'s, E, S> {
    pub(super) fn engine(&mut self) -> &mut E {
        let Self { shelf, held, settings } = self;
        match held {
            Held::Place(_, guard) => {
                let new = || Kept {
                    engine: Box::new((shelf.make)(*settings)),
                    settings: *settings,
                    count: 0,
                    time: 0,
                };
                &mut guard.kept.get_or_insert_with(new).engine
            }
            Held::Own(engine) => engine,
        }
    }

    /// Puts the engine back and returns its stamp. `resumable` says whether a connection can continue from its state.
    pub(super) fn put(self, resumable: bool) -> Stamp {
        let Self { shelf, held, settings } = self;
        let (place, mut guard) = match held {
            Held::Place(place, guard) => (place, guard),
            Held::Own(engine) => {
                let Some((place, mut guard)) = shelf.best(None) else { return Stamp::NONE };
                guard.kept = Some(Kept { engine, settings, count: 0, time: 0 });
                (place, guard)
            }
        };
        let time = shelf.time.load(Relaxed).wrapping_add(1);
        shelf.time.store(time, Relaxed);
        let Place { kept: Some(kept), count } = &mut *guard else { return Stamp::NONE };
        kept.time = time;
        if !resumable {
            return Stamp::NONE;
        }
        *count = count.wrapping_add(1).max(1);
        kept.count = *count;
        Stamp { place, count: *count }
    }

    /// Takes the engine out, for a message that comes in pieces.
    pub(super) fn keep(self) -> Box<E> {
        let Self { shelf, held, settings } = self;
        let engine = match held {
            Held::Place(_, mut guard) => guard.kept.take().map(|kept| kept.engine),
            Held::Own(engine) => Some(engine),
        };
        engine.unwrap_or_else(|| Box::new((shelf.make)(settings)))
    }

    /// Drops the engine.
    pub(super) fn discard(self) {
        drop(self.keep());
    }
}

impl<E, S> core::fmt::Debug for Shelf<E, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shelf").field("most", &self.places.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// Here the engines are numbers, and their settings are letters.
    fn shelf(most: usize) -> Shelf<u32, char> {
        Shelf::new(NonZeroUsize::new(most).unwrap(), made)
    }

    fn made(settings: char) -> u32 {
        settings.into()
    }

    /// Takes an engine and drops it. Returns which one it was, and whether it was in that state.
    fn take(shelf: &Shelf<u32, char>, stamp: Stamp, settings: char) -> (u32, bool) {
        let (lease, resumed) = shelf.take(stamp, settings);
        (*lease.keep(), resumed)
    }

    fn put(shelf: &Shelf<u32, char>, engine: u32, settings: char, resumable: bool) -> Stamp {
        shelf.with(Box::new(engine), settings).put(resumable)
    }

    #[test]
    fn a_connection_goes_on_with_the_engine_that_it_has_left() {
        let shelf = shelf(2);
        let a = put(&shelf, 1, 'x', true);
        let b = put(&shelf, 2, 'x', true);
        let (lease, resumed) = shelf.take(a, 'x');
        assert!(resumed);
        // The stamp identifies only that state.
        let later = lease.put(true);
        assert_ne!(later, a);
        assert!(!take(&shelf, a, 'z').1);
        let later = put(&shelf, 1, 'x', true);
        assert_eq!(take(&shelf, later, 'x'), (1, true));
        assert!(!take(&shelf, later, 'x').1);
        assert!(!take(&shelf, b, 'x').1, "its place was taken by 'z'");
    }

    #[test]
    fn an_engine_that_nobody_misses_is_taken_first_then_one_that_was_unused_for_longest() {
        let shelf = shelf(3);
        let first = put(&shelf, 1, 'x', true);
        assert_eq!(put(&shelf, 2, 'x', false), Stamp::NONE);
        let last = put(&shelf, 3, 'x', true);
        assert_eq!(take(&shelf, Stamp::NONE, 'x'), (2, false));
        // There is room for another one, so nobody loses an engine.
        assert_eq!(take(&shelf, Stamp::NONE, 'x'), ('x'.into(), false));
        put(&shelf, 2, 'y', true);
        assert_eq!(take(&shelf, Stamp::NONE, 'x'), (1, false));
        assert_eq!(take(&shelf, first, 'z'), ('z'.into(), false));
        assert_eq!(take(&shelf, last, 'x'), (3, true));
    }

    #[test]
    fn no_more_engines_are_kept_than_allowed() {
        let shelf = shelf(2);
        let stamps: Vec<_> = (0..5).map(|engine| put(&shelf, engine, 'x', true)).collect();
        assert_eq!(take(&shelf, stamps[4], 'x'), (4, true));
        assert_eq!(take(&shelf, stamps[3], 'x'), (3, true));
        assert!(!take(&shelf, stamps[2], 'x').1);
    }

    #[test]
    fn the_number_of_places_is_bounded() {
        assert_eq!(shelf(usize::MAX).places.len(), MOST);
        assert_eq!(shelf(3).places.len(), 3);
    }

    #[test]
    fn nobody_waits_for_an_engine() {
        let shelf = shelf(1);
        let stamp = put(&shelf, 1, 'x', true);
        let (mut working, _) = shelf.take(stamp, 'x');
        *working.engine() = 5;
        let (other, resumed) = shelf.take(stamp, 'x');
        assert!(!resumed);
        assert_eq!(other.put(true), Stamp::NONE);
        let stamp = working.put(true);
        assert_eq!(take(&shelf, stamp, 'x'), (5, true));
    }

    #[test]
    fn an_engine_with_other_settings_is_replaced() {
        let shelf = shelf(1);
        put(&shelf, 1, 'x', false);
        assert_eq!(take(&shelf, Stamp::NONE, 'y'), ('y'.into(), false));
    }

    #[test]
    fn an_engine_that_was_discarded_is_not_used_again() {
        let shelf = shelf(1);
        let stamp = put(&shelf, 1, 'x', true);
        shelf.take(stamp, 'x').0.discard();
        assert_eq!(take(&shelf, Stamp::NONE, 'x'), ('x'.into(), false));
    }

    #[test]
    fn an_engine_that_has_panicked_is_not_used_again() {
        let shelf = shelf(1);
        let stamp = put(&shelf, 1, 'x', true);
        let panicked = std::thread::scope(|scope| {
            let work = || {
                let _lease = shelf.take(stamp, 'x');
                panic!("on purpose")
            };
            scope.spawn(work).join().is_err()
        });
        assert!(panicked && shelf.places[0].is_poisoned());
        assert_eq!(take(&shelf, stamp, 'x'), ('x'.into(), false));
        let stamp = put(&shelf, 2, 'x', true);
        assert_eq!(take(&shelf, stamp, 'x'), (2, true));
    }
}
