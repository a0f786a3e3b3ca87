//! Fuzzes the check of text; `oracles::utf8` has the rules.
#![no_main]

#[path = "../oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::utf8::check(data));
