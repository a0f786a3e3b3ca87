//! Fuzzes what a peer sends from its first byte on; `oracles::handshake` says what must hold.
#![no_main]

#[path = "../oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::handshake::check(data));
