//! Fuzzes the request of an opening handshake, with tungstenite as the second opinion;
//! `differential::request` has the rules.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| differential::request::check(data));
