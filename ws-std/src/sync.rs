//! Locks that a thread which panicked has left: what they guard is consistent between any two calls, so that the
//! others go on.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

pub(crate) fn lock<R>(mutex: &Mutex<R>) -> MutexGuard<'_, R> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lock, unless another thread has it.
pub(crate) fn try_lock<R>(mutex: &Mutex<R>) -> Option<MutexGuard<'_, R>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
