//! Fuzzes two endpoints that are joined in memory; `oracles::two_endpoints` has the rules.
#![no_main]

#[path = "../oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::two_endpoints::check(data));
