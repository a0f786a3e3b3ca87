use ws_core::endpoint::Random;

/// Masking keys and nonces from the operating system's generator (RFC 6455 §10.3).
#[allow(clippy::panic)]
pub(crate) fn system() -> Random {
    Box::new(|bytes| {
        // Without randomness a client must not send: a foreseeable key defeats the mask.
        if let Err(error) = getrandom::fill(bytes) {
            panic!("the operating system gives no random bytes: {error}");
        }
    })
}

/// Whether the generator works, so that a connection without it fails before it begins.
pub(crate) fn check() -> std::io::Result<()> {
    getrandom::fill(&mut [0; 1]).map_err(|error| std::io::Error::other(error.to_string()))
}
