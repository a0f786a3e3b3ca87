//! Fuzzes an endpoint as a sequence of calls; `oracles::endpoint_calls` has the rules.
#![no_main]

#[path = "../oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::endpoint_calls::check(data));
