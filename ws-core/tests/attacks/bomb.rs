//! A compressed message that is much longer than its payload.

use ws_core::deflate::{DeflateOptions, Deflater, Pool, WindowBits};

/// A payload that stands for so many MiB of zeros, and is about 1,030 times shorter.
pub(crate) fn bomb(mib: usize) -> Vec<u8> {
    let mut deflater = Deflater::new(&Pool::new(), WindowBits::MAX, DeflateOptions::new().level(9));
    let zeros = vec![0; 1 << 20];
    let mut payload = Vec::new();
    deflater.compress_piece(&zeros, false, &mut payload);
    // From the second on each MiB is compressed to the same.
    let mut next = Vec::new();
    deflater.compress_piece(&zeros, false, &mut next);
    for _ in 1..mib {
        payload.extend_from_slice(&next);
    }
    payload.push(0);
    payload
}
