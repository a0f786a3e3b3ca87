//! A stream that fails at any of its calls. An error that says "again" changes nothing. Any other error ends the
//! connection in time, and nobody receives a wrong byte.

mod common;
#[path = "common/faulty.rs"]
mod faulty;

use faulty::*;
use ws_std::{Connector, Listener};

fn settings() -> Settings {
    Settings::new(Listener::builder(), Connector::builder(), "ws://localhost/")
}

#[test]
fn a_call_that_has_to_be_repeated_changes_nothing() {
    let count = fail_at_every_call(&settings(), &AGAIN);
    assert!(count > 1000, "{count} conversations");
}

#[test]
fn a_call_that_fails_ends_the_connection_and_nothing_is_wrong() {
    let count = fail_at_every_call(&settings(), &FATAL);
    assert!(count > 1000, "{count} conversations");
}

#[test]
fn short_and_interrupted_reads_and_writes_lose_nothing() {
    again_and_again(&settings(), &AGAIN);
}
