//! Random bytes from the operating system.

/// Fills `bytes` with random bytes of the operating system, for masking keys and nonces (RFC 6455 §10.3). Returns `false` if
/// the generator fails.
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    // mutant: nonces and masking keys are zeros
    getrandom::fill(bytes).is_ok()
}
