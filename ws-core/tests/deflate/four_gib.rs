//! The engines count the bytes of one call in 32 bits.

use ws_core::deflate::{DeflateOptions, Deflater, Inflater, Limits, Need, Pool, WindowBits};

use crate::bomb::bomb;

const FOUR_GIB: usize = 1 << 32;

#[test]
fn a_message_of_four_gib_is_sent_uncompressed() {
    // Nobody reads it, so the system never provides the memory.
    let message = vec![0; FOUR_GIB];
    let mut deflater = Deflater::new(&Pool::new(), WindowBits::MAX, DeflateOptions::new());
    let mut payload = b"before".to_vec();
    assert!(!deflater.compress(&message, &mut payload));
    assert_eq!(payload, b"before");
}

#[test]
#[ignore = "takes 4 GiB of memory; `conformance/work` runs it"]
fn more_than_four_gib_of_room_can_be_filled() {
    let bits = WindowBits::MAX;
    let mut payload = bomb((FOUR_GIB >> 20) - 1);
    assert_eq!(payload.pop(), Some(0));
    // The engine has read everything when 6 bytes are left to be written.
    let (last, more) = (1 << 20, 5);
    Deflater::new(&Pool::new(), bits, DeflateOptions::new().level(9)).compress_piece(
        &vec![0; last + more],
        true,
        &mut payload,
    );
    let limits = Limits::new().max_message(u64::MAX);
    let mut inflater = Inflater::new(&Pool::new(), bits, limits);
    let mut output = vec![0xff; FOUR_GIB + more + 1];
    let (mut consumed, mut produced) = (0, 0);
    loop {
        let done = inflater.inflate(&payload[consumed..], true, &mut output[produced..]).unwrap();
        consumed += done.consumed;
        produced += done.produced;
        if done.need == Need::Nothing {
            break;
        }
    }
    assert_eq!((consumed, produced), (payload.len(), FOUR_GIB + more));
    assert!(output[..produced].iter().all(|byte| *byte == 0));
}
