//! Fuzzes what a peer sends to a `Connection`; `oracles::receive` says what must hold.
#![no_main]

#[path = "../oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::receive::check(data));
