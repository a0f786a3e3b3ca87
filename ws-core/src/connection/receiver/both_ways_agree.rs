//! The fast path of receiving ([`Receiver::whole`]) and the general path accept and reject the same frames.

use std::vec::Vec;

use super::*;
use crate::Connection;

/// A chunk or a control frame, which has no kind.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    kind: Option<MessageKind>,
    compressed: bool,
    start: bool,
    end: bool,
    bytes: Vec<u8>,
}

/// The state in which bytes arrive.
#[derive(Clone, Copy, Debug)]
struct Setup {
    role: Role,
    /// Whether the open message is compressed, if a message is open.
    open: Option<bool>,
    /// Whether the handshake negotiated compression.
    compression: bool,
    config: Config,
}

/// The result of parsing bytes: chunks and control frames, the error, the frames that are owed, and the number of bytes
/// that the payload lacks.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    seen: Vec<Seen>,
    error: Option<ProtocolError>,
    owed: Vec<u8>,
    left: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As a driver does it: the fast path where it applies.
    Short,
    /// Never the fast path.
    Long,
    /// Never the fast path, because no frame is there as a whole.
    ByteByByte,
}

fn outcome(setup: Setup, bytes: &[u8], way: Way) -> Outcome {
    let Setup { role, open, compression, config } = setup;
    let Connection { mut receiver, mut sender } =
        Connection::with_compression(role, config, compression);
    if let Some(compressed) = open {
        let first = if compressed { 0x42 } else { 2 };
        let mut start = match role {
            Role::Server => Vec::from([first, 0x80, 0, 0, 0, 0]),
            Role::Client => Vec::from([first, 0]),
        };
        let mut input = Input::new(&mut start);
        assert!(receiver.find(&mut sender, &mut input).is_ok());
    }
    let mut outcome = Outcome { seen: Vec::new(), error: None, owed: Vec::new(), left: 0 };
    let mut bytes = Vec::from(bytes);
    // `receive` has a fast path for compressed messages, which cannot be taken when the first byte arrives alone.
    let first = usize::from(compression && way == Way::Long);
    let size = if way == Way::ByteByByte { 1 } else { bytes.len() };
    let (first, rest) = bytes.split_at_mut(first);
    for piece in first.chunks_mut(1).chain(rest.chunks_mut(size)) {
        let mut input = Input::new(piece);
        loop {
            let result = match way {
                Way::Short => receiver.find(&mut sender, &mut input),
                _ => receiver.receive(&mut sender, &mut input, TextCheck::Here),
            };
            let frame = match result {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(outcome.error.replace(error), None);
                    continue;
                }
            };
            outcome.see(&receiver, frame);
        }
        assert!(input.is_empty());
    }
    let mut owed = [0; 300];
    let key = (role == Role::Client).then_some(MaskingKey::new([0; 4]));
    loop {
        let len = sender.transmit(&mut owed, key).unwrap();
        outcome.owed.extend(&owed[..len]);
        if len == 0 {
            break;
        }
    }
    outcome.left = receiver.payload_left();
    outcome
}

impl Outcome {
    fn see(&mut self, receiver: &Receiver, frame: Frame<'_>) {
        let Frame::Data(Chunk { bytes, kind, start, end, compressed }) = frame else {
            let bytes = Vec::from(receiver.control_payload());
            self.seen.push(Seen { kind: None, compressed: false, start: true, end: true, bytes });
            return;
        };
        // Join the chunks of one message.
        match self.seen.last_mut() {
            Some(last) if !start && !last.end => {
                assert_eq!((last.kind, last.compressed), (Some(kind), compressed));
                last.end = end;
                last.bytes.extend_from_slice(bytes);
            }
            _ => {
                let bytes = Vec::from(&*bytes);
                self.seen.push(Seen { kind: Some(kind), compressed, start, end, bytes });
            }
        }
    }
}

/// Returns a frame with these first two bytes, and a Ping behind it that shows the state after the frame.
fn stream(role: Role, first: u8, second: u8, len: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from([first, second]);
    match second & 0x7f {
        126 => bytes.extend((len as u16).to_be_bytes()),
        127 => bytes.extend(len.to_be_bytes()),
        _ => {}
    }
    if second & 0x80 != 0 {
        bytes.extend([0; 4]);
    }
    bytes.extend(payload.iter().take(usize::try_from(len).unwrap_or(usize::MAX)));
    let ping = if role == Role::Server { &[0x89, 0x81, 0, 0, 0, 0, 7][..] } else { &[0x89, 1, 7] };
    bytes.extend(ping);
    bytes
}

fn agree(setup: Setup, bytes: &[u8]) {
    let run = |way| outcome(setup, bytes, way);
    let long = run(Way::Long);
    let what = || std::format!("{setup:?}, {:02x?}", &bytes[..bytes.len().min(20)]);
    assert!(run(Way::Short) == long, "the short way, {}", what());
    // Byte by byte, chunks of an invalid message may have been reported before the error.
    let mut single = run(Way::ByteByByte);
    if single.error.is_some() && single.seen.last().is_some_and(|last| !last.end) {
        single.seen.pop();
    }
    assert!(single == long, "byte by byte, {}", what());
}

const ROLES: [Role; 2] = [Role::Server, Role::Client];

// Every pair of first bytes. Apart from them, a header has only its length and its key. The limits are within the range
// of short lengths.
#[test]
fn both_ways_agree() {
    let config = Config::new().max_frame(100).max_message(90);
    let text = [b'a'; 125];
    for role in ROLES {
        let open = [
            (None, false),
            (Some(false), false),
            (None, true),
            (Some(false), true),
            (Some(true), true),
        ];
        for (open, compression) in open {
            let setup = Setup { role, open, compression, config };
            for (first, second) in (0..=u16::MAX).map(|both| (both.to_be_bytes()[0], both as u8)) {
                let len = u64::from(second & 0x7f);
                let bytes = stream(role, first, second, len, &text);
                agree(setup, &bytes);
            }
        }
    }
}

// Every form of length around every limit, for text and binary messages, complete and incomplete.
#[test]
fn both_ways_agree_about_lengths() {
    let hot = HOT as u64;
    let limits = [0, 1, 89, 125, 126, 127, 1000, hot - 1, hot, hot + 1, 65_535, 65_536];
    let text = [b'a'; HOT + 10];
    for role in ROLES {
        let mask = if role == Role::Server { 0x80 } else { 0 };
        for limit in limits {
            for config in [Config::new().max_frame(limit), Config::new().max_message(limit)] {
                for len in [limit.saturating_sub(1), limit, limit + 1] {
                    for form in [len.min(125) as u8, 126, 127] {
                        let len = if form < 126 { u64::from(form) } else { len };
                        for first in [0x81, 0x82, 0xc1, 0xc2] {
                            let compression = first & 0x40 != 0;
                            let setup = Setup { role, open: None, compression, config };
                            let bytes = stream(role, first, mask | form, len, &text);
                            for cut in [0, 7, 8, 100] {
                                let there = bytes.len().saturating_sub(cut).max(1);
                                agree(setup, &bytes[..there]);
                            }
                        }
                    }
                }
            }
        }
    }
}

// Valid and invalid UTF-8 at each place of a short payload and at both ends of a long one.
#[test]
fn both_ways_agree_about_text() {
    let bad =
        [&b"\xff"[..], b"\xc3", b"\xc3\xa9", b"\xe2\x82", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80"];
    for role in ROLES {
        let mask = if role == Role::Server { 0x80 } else { 0 };
        for (len, places) in
            [(20, (0..20).collect::<Vec<_>>()), (300, Vec::from([0, 296, 298, 299]))]
        {
            for place in places {
                for bad in bad {
                    let mut payload = Vec::from([b'a'; 300]);
                    let end = (place + bad.len()).min(len);
                    payload[place..end].copy_from_slice(&bad[..end - place]);
                    for first in [0x81, 0x82, 0xc1, 0xc2] {
                        let form = if len > 125 { 126 } else { len as u8 };
                        let bytes = stream(role, first, mask | form, len as u64, &payload);
                        let setup =
                            Setup { role, open: None, compression: true, config: Config::new() };
                        agree(setup, &bytes);
                    }
                }
            }
        }
    }
}

// RFC 7692 §6: the length of a compressed payload is bounded by the limit of a frame, not by that of a message, and it
// is not text yet.
#[test]
fn both_ways_take_a_compressed_message_as_it_is() {
    let payload = [0xff; HOT + 1];
    for role in ROLES {
        let mask = if role == Role::Server { 0x80 } else { 0 };
        for (first, kind) in [(0xc1, MessageKind::Text), (0xc2, MessageKind::Binary)] {
            for len in [0, 1, 125, 126, 1000, HOT - 1, HOT, HOT + 1] {
                for max_frame in [len, len.saturating_sub(1)] {
                    let config = Config::new().max_frame(max_frame as u64).max_message(0);
                    let setup = Setup { role, open: None, compression: true, config };
                    let form = if len < 126 { len as u8 } else { 126 };
                    let bytes = stream(role, first, mask | form, len as u64, &payload);
                    agree(setup, &bytes);
                    let Outcome { seen, error, .. } = outcome(setup, &bytes, Way::Short);
                    if len > max_frame {
                        assert_eq!((seen, error), (Vec::new(), Some(ProtocolError::FrameTooLarge)));
                        continue;
                    }
                    let bytes = Vec::from(&payload[..len]);
                    let message =
                        Seen { kind: Some(kind), compressed: true, start: true, end: true, bytes };
                    assert_eq!((&seen[0], error), (&message, None));
                }
            }
        }
    }
}
