//! Fuzzes what a peer sends from its first byte on; `oracles::handshake` has the rules.
#![no_main]

#[path = "../oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::handshake::check(data));
