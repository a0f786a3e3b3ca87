//! Masks, against the loop of RFC 6455 §5.3. The input is a key, where the payload lies, how often it is repeated, the
//! sizes of two pieces less one, and the payload.

use ws_core::frame::mask;
use ws_core::{Config, Connection, DataFrame, Input, MaskingKey, Role, Step};

use super::START;

/// What lies around a payload and must stay as it is.
const GUARD: u8 = 0xa5;
/// The longest header of a frame.
const HEADROOM: usize = 14;

pub(crate) fn check(data: &[u8]) {
    let Some((&[k0, k1, k2, k3, align, times, first, second], payload)) = data.split_first_chunk()
    else {
        return;
    };
    let (key, align) = ([k0, k1, k2, k3], usize::from(align % 64));
    let plain = payload.repeat(1 + usize::from(times % 64));
    let masked: Vec<u8> = plain.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
    let sizes = [usize::from(first) + 1, usize::from(second) + 1];
    in_place(&plain, &masked, key, align);
    sent(&plain, &masked, key, align, sizes);
    received(&plain, &masked, key, align, sizes);
}

/// Returns the bytes at this place of a buffer, with guards around them.
fn placed(bytes: &[u8], align: usize) -> (Vec<u8>, core::ops::Range<usize>) {
    let start = HEADROOM + align;
    let mut buffer = vec![GUARD; start + bytes.len() + 64];
    buffer[start..start + bytes.len()].copy_from_slice(bytes);
    (buffer, start..start + bytes.len())
}

fn in_place(plain: &[u8], masked: &[u8], key: [u8; 4], align: usize) {
    let (mut buffer, place) = placed(plain, align);
    mask(&mut buffer[place.clone()], MaskingKey::new(key));
    assert!(&buffer[place.clone()] == masked, "in place");
    assert!(buffer[..place.start].iter().chain(&buffer[place.end..]).all(|byte| *byte == GUARD));
    mask(&mut buffer[place.clone()], MaskingKey::new(key));
    assert!(&buffer[place] == plain, "twice is not at all");
}

/// Every way to send a frame.
fn sent(plain: &[u8], masked: &[u8], key: [u8; 4], align: usize, sizes: [usize; 2]) {
    let key = Some(MaskingKey::new(key));
    let client = || Connection::client(Config::new()).sender;

    let mut whole = Vec::new();
    client().encode_vec(DataFrame::BINARY, plain, key, &mut whole).expect("a frame");
    assert!(whole.ends_with(masked), "appended");

    let mut room = vec![GUARD; align + whole.len() + 64];
    let len = client().encode(DataFrame::BINARY, plain, key, &mut room[align..]).expect("a frame");
    assert!(room[align..align + len] == whole, "into a slice");
    assert!(room[..align].iter().all(|byte| *byte == GUARD));

    let (mut buffer, place) = placed(plain, align);
    let frame = client().encode_in_place(DataFrame::BINARY, &mut buffer, place.clone(), key);
    let frame = frame.expect("a frame");
    assert_eq!(frame.end, place.end);
    assert!(buffer[frame.clone()] == whole, "where the payload lies");
    assert!(buffer[..frame.start].iter().chain(&buffer[frame.end..]).all(|byte| *byte == GUARD));

    let mut sender = client();
    sender.head(DataFrame::BINARY, plain.len() as u64, key).expect("a head");
    let (mut buffer, place) = placed(plain, align);
    let mut rest = &mut buffer[place.clone()];
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at_mut(rest.len().min(*sizes.next().expect("endless")));
        sender.mask_payload(piece).expect("less than the head has declared");
        rest = tail;
    }
    assert!(&buffer[place] == masked, "in pieces");
}

/// A frame that is received in pieces.
fn received(plain: &[u8], masked: &[u8], key: [u8; 4], align: usize, sizes: [usize; 2]) {
    let len = masked.len() as u64;
    let mut frame = vec![0x82];
    match len {
        0..126 => frame.push(0x80 | len as u8),
        126..65536 => {
            frame.push(0xfe);
            frame.extend((len as u16).to_be_bytes());
        }
        _ => {
            frame.push(0xff);
            frame.extend(len.to_be_bytes());
        }
    }
    frame.extend(key);
    frame.extend(masked);

    let mut server = Connection::new(Role::Server, Config::new());
    let (mut buffer, place) = placed(&frame, align);
    let mut rest = &mut buffer[place];
    let mut sizes = sizes.iter().cycle();
    let (mut message, mut ended) = (Vec::new(), false);
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at_mut(rest.len().min(*sizes.next().expect("endless")));
        let mut input = Input::new(piece);
        loop {
            match server.next(&mut input, || START) {
                Step::Data(chunk) => {
                    assert!(!ended, "after the end");
                    message.extend_from_slice(chunk.bytes);
                    ended = chunk.end;
                }
                Step::Wait(_) => break,
                other => panic!("{other:?} for a message"),
            }
        }
        rest = tail;
    }
    assert!(ended && message == plain, "received");
}
