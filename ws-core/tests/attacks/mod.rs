//! What the tests of memory send, how much of it, and the constants that they hold the memory to. `SECURITY.md` has them in a table.
#![allow(dead_code, reason = "each test file uses a part of it")]

/// What an endpoint or a socket holds at most beside the payload, at any time, in bytes.
pub(crate) const CONSTANT: usize = 256 * 1024;
/// The same with permessage-deflate, whose engines are added.
pub(crate) const CONSTANT_COMPRESSED: usize = 512 * 1024;

/// Checks the most that was live at any time, and prints it for `--nocapture`.
#[track_caller]
pub(crate) fn at_most(most: usize, peak: usize, what: impl core::fmt::Debug) {
    println!("{what:?}: {peak} bytes of at most {most}");
    assert!(peak <= most, "{what:?}: {peak} bytes of at most {most}");
}

/// The length of a frame that arrives byte by byte. Without optimisation 16 MiB take long; `conformance/work` runs these tests with it.
pub(crate) const FRAME: usize = if cfg!(debug_assertions) { 1 << 20 } else { 16 << 20 };

/// The length of an attack, unless `conformance/work` asks for another one.
pub(crate) fn length(usual: usize) -> usize {
    std::env::var("WORK_LENGTH").map_or(usual, |text| text.parse().expect("a number"))
}

/// The payload of a compressed message in blocks that are not compressed (RFC 1951 §3.2.4), so that it is longer than the message.
pub(crate) fn stored(plain: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for block in plain.chunks(65_535) {
        let len = block.len() as u16;
        payload.push(0);
        payload.extend(len.to_le_bytes());
        payload.extend((!len).to_le_bytes());
        payload.extend(block);
    }
    // RFC 7692 §7.2.1: an empty block follows, without its last four bytes.
    payload.push(0);
    payload
}
