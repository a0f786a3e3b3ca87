//! Random bytes of the operating system.

use ws_core::endpoint::{Random, RandomError};

/// Masking keys and nonces from the operating system's generator (RFC 6455 §10.3).
pub(crate) fn system() -> Random {
    Box::new(|bytes| getrandom::fill(bytes).map_err(|_| RandomError))
}
