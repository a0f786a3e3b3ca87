//! Fuzzes the response of an opening handshake, with tungstenite as the second opinion;
//! `differential::response` has the rules.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| differential::response::check(data));
