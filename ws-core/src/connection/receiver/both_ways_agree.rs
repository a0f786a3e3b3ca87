//! The short way of receiving ([`Receiver::whole`]) and the long way decide alike for every
//! header.

use std::vec::Vec;

use super::*;
use crate::Connection;

/// What comes of bytes: chunks and control frames, the error, what is owed, and how far they were taken.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    seen: Vec<(Option<MessageKind>, bool, bool, Vec<u8>)>,
    error: Option<ProtocolError>,
    owed: Vec<u8>,
    left: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As a driver does it: the short way where it can be gone.
    Short,
    /// Never the short way.
    Long,
    /// Never the short way, because no frame is there as a whole.
    ByteByByte,
}

fn outcome(role: Role, open: bool, config: Config, bytes: &[u8], way: Way) -> Outcome {
    let Connection { mut receiver, mut sender } = Connection::new(role, config);
    if open {
        let mut start =
            if role == Role::Server { Vec::from([2, 0x80, 0, 0, 0, 0]) } else { Vec::from([2, 0]) };
        let mut input = Input::new(&mut start);
        assert!(receiver.find(&mut sender, &mut input).is_ok());
    }
    let mut outcome = Outcome { seen: Vec::new(), error: None, owed: Vec::new(), left: 0 };
    let mut bytes = Vec::from(bytes);
    let size = if way == Way::ByteByByte { 1 } else { bytes.len() };
    for piece in bytes.chunks_mut(size) {
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
        let Frame::Data(chunk) = frame else {
            let payload = Vec::from(receiver.control_payload());
            self.seen.push((None, true, true, payload));
            return;
        };
        assert!(!chunk.compressed);
        // Chunks of one message are put together.
        match self.seen.last_mut() {
            Some((kind, _, end, bytes)) if !chunk.start && !*end => {
                assert_eq!(*kind, Some(chunk.kind));
                *end = chunk.end;
                bytes.extend_from_slice(chunk.bytes);
            }
            _ => {
                let bytes = Vec::from(&*chunk.bytes);
                self.seen.push((Some(chunk.kind), chunk.start, chunk.end, bytes));
            }
        }
    }
}

/// A frame with these first two bytes, and another one behind it that shows what state it has left.
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

fn agree(role: Role, open: bool, config: Config, bytes: &[u8]) {
    let run = |way| outcome(role, open, config, bytes, way);
    let long = run(Way::Long);
    let what = || std::format!("{role:?}, open: {open}, {:02x?}", &bytes[..bytes.len().min(20)]);
    assert!(run(Way::Short) == long, "the short way, {}", what());
    // More of a message that turns out to be wrong may have been told.
    let mut single = run(Way::ByteByByte);
    if single.error.is_some() && single.seen.last().is_some_and(|(_, _, end, _)| !*end) {
        single.seen.pop();
    }
    assert!(single == long, "byte by byte, {}", what());
}

const ROLES: [Role; 2] = [Role::Server, Role::Client];

// Every pair of first bytes, which are all there is to a header but its length and its key. The limits
// lie among the short lengths.
#[test]
fn both_ways_agree() {
    let config = Config::new().max_frame(100).max_message(90);
    let text = [b'a'; 125];
    for role in ROLES {
        for open in [false, true] {
            for (first, second) in (0..=u16::MAX).map(|both| (both.to_be_bytes()[0], both as u8)) {
                let len = u64::from(second & 0x7f);
                let bytes = stream(role, first, second, len, &text);
                agree(role, open, config, &bytes);
            }
        }
    }
}

// Lengths of every form around every limit, of text and of binary, complete and not.
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
                        for first in [0x81, 0x82] {
                            let bytes = stream(role, first, mask | form, len, &text);
                            for cut in [0, 7, 8, 100] {
                                let there = bytes.len().saturating_sub(cut).max(1);
                                agree(role, false, config, &bytes[..there]);
                            }
                        }
                    }
                }
            }
        }
    }
}

// What is text, at each place of a short payload and at both ends of a long one.
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
                    for first in [0x81, 0x82] {
                        let form = if len > 125 { 126 } else { len as u8 };
                        let bytes = stream(role, first, mask | form, len as u64, &payload);
                        agree(role, false, Config::new(), &bytes);
                    }
                }
            }
        }
    }
}
