//! Fuzzes the header of a frame; `oracles::frame` has the rules.
#![no_main]

#[path = "../oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::frame::check(data));
