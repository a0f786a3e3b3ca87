//! Locks that ignore poisoning. What they guard is consistent between any two calls, so if a thread has panicked, the
//! others can go on.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

pub(crate) fn lock<R>(mutex: &Mutex<R>) -> MutexGuard<'_, R> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the lock, unless another thread holds it.
pub(crate) fn try_lock<R>(mutex: &Mutex<R>) -> Option<MutexGuard<'_, R>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
