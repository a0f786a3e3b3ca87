//! The two functions that touch every byte, ours beside those of others.

use std::slice::from_ref;

use ws_core::MaskingKey;
use ws_core::utf8::Utf8Validator;

/// Unmasks a payload in place.
pub type Mask = fn(&mut [u8], [u8; 4]);

/// Each way to mask, with its name.
pub const MASKS: [(&str, Mask); 6] = [
    ("ws-core/functions", |payload, key| ws_core::frame::mask(payload, MaskingKey::new(key))),
    (BYTES, |payload, key| {
        for (index, byte) in payload.iter_mut().enumerate() {
            *byte ^= std::hint::black_box(key[index % 4]);
        }
    }),
    ("fastwebsockets", fastwebsockets::unmask),
    ("websocket-sans-io", |payload, key| websocket_sans_io::apply_mask(key, payload, 0)),
    ("sockudo-ws", sockudo_ws::mask::apply_mask),
    ("yawc", yawc::mask::apply_mask),
];

/// Returns whether bytes are UTF-8.
pub type Utf8 = fn(&[u8]) -> bool;

/// Each way to check, with its name.
pub const UTF8: [(&str, Utf8); 4] = [
    ("ws-core/functions", |bytes| {
        let mut validator = Utf8Validator::new();
        validator.push(bytes).is_ok() && validator.finish().is_ok()
    }),
    (BYTES, |bytes| {
        let mut validator = Utf8Validator::new();
        bytes.iter().all(|byte| validator.push(from_ref(byte)).is_ok())
            && validator.finish().is_ok()
    }),
    ("core::str", |bytes| core::str::from_utf8(bytes).is_ok()),
    ("simdutf8", |bytes| simdutf8::basic::from_utf8(bytes).is_ok()),
];

/// Masks byte by byte, without vector instructions.
const BYTES: &str = "bytewise";

/// Checks that masking once follows the RFC, and masking twice changes nothing (RFC 6455 §5.3).
pub fn check_mask(name: &str, mask: Mask) {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    for len in (0..300).chain([1000, 4099, 70_000]) {
        let mut payload = vec![0x55; len];
        mask(&mut payload, key);
        let right = payload.iter().enumerate().all(|(at, byte)| byte ^ key[at % 4] == 0x55);
        assert!(right, "{name} masks otherwise");
    }
}

/// Checks that errors in the middle and at the end are found.
pub fn check_utf8(name: &str, check: Utf8) {
    for text in ["", "a", "言語による通信規約の検査は速くなければならない。", &"aß言🦀".repeat(99)]
    {
        assert!(check(text.as_bytes()), "{name} refuses text");
        let mut bytes = [text.as_bytes(), "言".as_bytes()].concat();
        bytes.pop();
        assert!(!check(&bytes), "{name} takes a cut character");
        bytes[text.len() / 2] = 0xff;
        assert!(!check(&bytes), "{name} takes what is no text");
    }
}
