//! Locks that ignore poisoning. What they guard is consistent between any two calls, so if a thread has panicked, the
//! others can go on.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) fn lock<R>(mutex: &Mutex<R>) -> MutexGuard<'_, R> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state that the halves of a connection share, and the members of a hub, is behind these. `conformance/schedules` replaces
/// them, to try many orders in which the threads can go on.
pub(crate) mod shared {
    use std::sync::{PoisonError, TryLockError};

    #[cfg(shuttle)]
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, atomic};
    #[cfg(not(shuttle))]
    pub(crate) use std::{
        sync::{Condvar, Mutex, MutexGuard, atomic},
        thread,
    };

    #[cfg(shuttle)]
    pub(crate) mod thread {
        pub(crate) use shuttle::thread::*;

        /// No time passes here. Instead of sleeping, a thread lets the others run.
        pub(crate) fn sleep(_: std::time::Duration) {
            yield_now();
        }
    }

    pub(crate) fn lock<R>(mutex: &Mutex<R>) -> MutexGuard<'_, R> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until another thread notifies this one.
    pub(crate) fn wait<'m, R>(changed: &Condvar, guard: MutexGuard<'m, R>) -> MutexGuard<'m, R> {
        changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the lock, unless another thread holds it.
    pub(crate) fn try_lock<R>(mutex: &Mutex<R>) -> Option<MutexGuard<'_, R>> {
        match mutex.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
