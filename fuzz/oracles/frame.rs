//! `FrameHeader::decode`. The input is the start of a frame.

use ws_core::frame::{FrameHeader, MAX_HEADER_LEN};

pub(crate) fn check(data: &[u8]) {
    let outcome = FrameHeader::decode(data);
    if let Ok(Some((header, len))) = outcome {
        assert!((2..=MAX_HEADER_LEN).contains(&len));
        assert!(header.len >> 63 == 0);
        assert!(!header.opcode.is_control() || (header.fin && header.len <= 125));
        assert_eq!(header.encode()[..], data[..len], "decoded, then encoded: {header:?}");
        assert_eq!(FrameHeader::decode(&header.encode()), outcome, "encoded, then decoded");
    }

    // A prefix either needs more bytes or already has the final outcome, never another one.
    let most = data.len().min(MAX_HEADER_LEN + 1);
    let mut told = false;
    for end in 0..=most {
        let early = FrameHeader::decode(&data[..end]);
        assert!(early == outcome || (early == Ok(None) && !told), "{end} bytes: {early:?}");
        told |= early != Ok(None);
    }
    assert!(told || data.len() < MAX_HEADER_LEN, "{MAX_HEADER_LEN} bytes always suffice");
}
