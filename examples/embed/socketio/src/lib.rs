#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod engine;
mod packet;
pub mod serve;
mod server;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use packet::Args;
pub use server::{Ack, Broadcast, Namespace, Server, Socket};

/// A lock that stays usable when a handler has panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
