//! Fuzzes offers and answers of extensions; `oracles::extensions` has the rules.
#![no_main]

#[path = "../oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::extensions::check(data));
