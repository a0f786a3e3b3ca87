//! Random bytes of the operating system.

/// Masking keys and nonces from the operating system's generator (RFC 6455 §10.3). Returns whether it has not
/// failed.
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    // mutant: nonces and masking keys are zeros
    getrandom::fill(bytes).is_ok()
}
