//! Fuzzes what a peer sends to an `Endpoint`; `oracles::endpoint` has the rules.
#![no_main]

#[path = "../oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::endpoint::check(data));
