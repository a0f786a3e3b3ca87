//! Fuzzes the payloads of compressed messages; `oracles::deflate` has the rules.
#![no_main]

#[path = "../oracles/deflate.rs"]
#[allow(dead_code, reason = "each fuzz target uses a part of it")]
mod deflate;

libfuzzer_sys::fuzz_target!(|data: &[u8]| deflate::inflate_any(data));
