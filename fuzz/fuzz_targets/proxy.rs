//! Fuzzes what a proxy says to a client; `oracles::proxy` says what must hold.
#![no_main]

#[path = "../oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::proxy::check(data));
