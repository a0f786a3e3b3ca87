//! Fuzzes what a peer sends to a `Connection`; `oracles::receive` has the rules.
#![no_main]

#[path = "../oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::receive::check(data));
