//! Fuzzes frames, with tungstenite as the second opinion;
//! `differential::frames` has the rules.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| differential::frames::check(data));
