//! As `faults`, with TLS over the stream that fails.

mod common;
#[path = "common/faulty.rs"]
mod faulty;
#[path = "common/tls.rs"]
mod tls;

use faulty::*;

fn settings() -> Settings {
    Settings::new(tls::listener(), tls::connector(), "wss://localhost/")
}

#[test]
fn a_call_that_has_to_be_repeated_changes_nothing_under_tls() {
    let count = fail_at_every_call(&settings(), &AGAIN);
    assert!(count > 1000, "{count} conversations");
}

#[test]
fn a_call_that_fails_ends_the_connection_and_nothing_is_wrong_under_tls() {
    let count = fail_at_every_call(&settings(), &FATAL);
    assert!(count > 1000, "{count} conversations");
}

#[test]
fn short_and_interrupted_reads_and_writes_lose_nothing_under_tls() {
    again_and_again(&settings(), &AGAIN);
}
