//! Every pair of first bytes of a frame in every state, against a table that was written from RFC 6455 §5.1 to §5.5 and
//! RFC 7692 §6, and from nothing else.

mod common;

use common::*;
use ws_core::ProtocolError::{self, *};
use ws_core::{CloseCode, Config, Connection, MessageKind, Role};

const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;

/// An open message: its kind, whether it is compressed, and what has come of it.
type Open = Option<(MessageKind, bool, Vec<u8>)>;

/// What a frame comes into.
#[derive(Clone, Copy, Debug)]
struct Setting {
    role: Role,
    /// Whether permessage-deflate was agreed.
    agreed: bool,
    /// The message that is open, and whether its first frame said that it is compressed.
    open: Option<(MessageKind, bool)>,
}

fn settings(role: Role) -> impl Iterator<Item = Setting> {
    use MessageKind::{Binary, Text};
    let plain = [None, Some((Text, false)), Some((Binary, false))];
    let compressed = [Some((Text, true)), Some((Binary, true))];
    let without = plain.map(|open| Setting { role, agreed: false, open });
    let with = plain.into_iter().chain(compressed);
    without.into_iter().chain(with.map(move |open| Setting { role, agreed: true, open }))
}

/// The rules that a frame breaks by its first byte.
fn faults_of_the_first(Setting { agreed, open, .. }: Setting, first: u8) -> Vec<ProtocolError> {
    let (fin, opcode) = (first & FIN != 0, first & 0x0f);
    let mut faults = Vec::new();
    // §5.2: RSV1, RSV2 and RSV3 are 0 unless an extension gives them a meaning. RFC 7692 §6: RSV1 marks the first frame of
    // a message, and neither its other frames nor control frames.
    let starts = opcode == TEXT || opcode == BINARY;
    if first & (RSV2 | RSV3) != 0 || first & RSV1 != 0 && !(agreed && starts) {
        faults.push(ReservedBits);
    }
    // §5.2: %x3-7 and %xB-F are reserved.
    if matches!(opcode, 0x3..=0x7 | 0xb..=0xf) {
        faults.push(ReservedOpcode(opcode));
    }
    // §5.5: control frames have the most significant bit of the opcode, and are not fragmented.
    if opcode & 0x8 != 0 && !fin {
        faults.push(FragmentedControl);
    }
    // §5.4: the fragments of a message follow one another, and nothing but a message is continued.
    match opcode {
        CONT if open.is_none() => faults.push(UnexpectedContinuation),
        TEXT | BINARY if open.is_some() => faults.push(InterleavedMessage),
        _ => {}
    }
    faults
}

/// The rules that it breaks by its second byte.
fn faults_of_the_second(setting: Setting, first: u8, second: u8) -> Vec<ProtocolError> {
    let mut faults = Vec::new();
    // §5.1: a client masks all frames, a server none.
    match (setting.role, second & 0x80 != 0) {
        (Role::Server, false) => faults.push(UnmaskedFrame),
        (Role::Client, true) => faults.push(MaskedFrame),
        _ => {}
    }
    // §5.5: the payload of a control frame has 125 bytes at most.
    if first & 0x8 != 0 && second & 0x7f > 125 {
        faults.push(ControlTooLong);
    }
    faults
}

/// The payload that a frame without a fault is given: as long as its second byte says, or of the shortest length that
/// its form is for (§5.2). A Close frame of two bytes and more begins with a code (§5.5.1).
fn payload(first: u8, second: u8) -> Vec<u8> {
    let len = match second & 0x7f {
        126 => 126,
        127 => 65_536,
        len => usize::from(len),
    };
    let mut payload = vec![b'a'; len];
    if first & 0x0f == CLOSE && len >= 2 {
        payload[..2].copy_from_slice(&CloseCode::NORMAL.get().to_be_bytes());
    }
    payload
}

/// The frame before, which opens a message.
fn before(Setting { role, open, .. }: Setting) -> Vec<u8> {
    let Some((kind, compressed)) = open else { return Vec::new() };
    let opcode = if kind == MessageKind::Text { TEXT } else { BINARY };
    to(role, opcode | if compressed { RSV1 } else { 0 }, b"<")
}

fn message(kind: MessageKind, compressed: bool, bytes: &[u8]) -> Seen {
    match kind {
        _ if compressed => Seen::Compressed(bytes.into()),
        MessageKind::Text => text(core::str::from_utf8(bytes).unwrap()),
        MessageKind::Binary => binary(bytes),
    }
}

/// What the frame without a fault comes to, and the message that is open behind it.
fn taken(setting: Setting, first: u8, end: usize, payload: &[u8]) -> (Outcome, Open) {
    let Setting { role, open, .. } = setting;
    let opened = open.map(|(kind, compressed)| (kind, compressed, b"<".to_vec()));
    let told = |seen: Seen| Outcome::open(vec![seen.at(end)]);
    match (first & 0x0f, payload) {
        (CLOSE, []) => {
            let outcome = Outcome::open(vec![closed(1005, "").last()]);
            (outcome.sent(by(role, FIN | CLOSE, b"")).closed(), None)
        }
        (CLOSE, [_]) => (Outcome::failed(role, Vec::new(), CloseBodyTooShort), None),
        (CLOSE, [_, _, reason @ ..]) => {
            let reason = core::str::from_utf8(reason).unwrap();
            let outcome = Outcome::open(vec![closed(1000, reason).last()]);
            (outcome.sent(by(role, FIN | CLOSE, &payload[..2])).closed(), None)
        }
        (PING, _) => (told(ping(payload)).sent(by(role, FIN | PONG, payload)), opened),
        (PONG, _) => (told(pong(payload)), opened),
        (opcode, _) => {
            let kind = if opcode == TEXT { MessageKind::Text } else { MessageKind::Binary };
            let (kind, compressed, mut bytes) =
                opened.unwrap_or((kind, first & RSV1 != 0, Vec::new()));
            bytes.extend(payload);
            if first & FIN != 0 {
                (told(message(kind, compressed, &bytes)), None)
            } else {
                (Outcome::open(Vec::new()), Some((kind, compressed, bytes)))
            }
        }
    }
}

/// Checks what the frame without a fault has come to, and by another one behind it which message is open.
fn takes(mut driver: Driver, setting: Setting, frame: &[u8], payload: &[u8]) {
    let Setting { role, .. } = setting;
    let check = |driver: &Driver, expected: &Outcome| {
        let what = || format!("{setting:?} {:02x?}: {:?}", &frame[..2], driver.outcome);
        assert!(driver.outcome == *expected, "{:.300}", what());
    };
    let end = before(setting).len() + frame.len();
    let (mut expected, open) = taken(setting, frame[0], end, payload);
    check(&driver, &expected);
    if expected.state != State::Open {
        return;
    }
    let next = to(role, FIN | if open.is_some() { CONT } else { TEXT }, b">");
    driver.feed(&next);
    let (kind, compressed, mut bytes) = open.unwrap_or((MessageKind::Text, false, Vec::new()));
    bytes.push(b'>');
    expected.seen.push(message(kind, compressed, &bytes).at(end + next.len()));
    check(&driver, &expected);
}

/// A connection in this state.
fn driver(setting: Setting) -> Driver {
    let Setting { role, agreed, .. } = setting;
    let mut driver = Driver::of(Connection::with_compression(role, Config::new(), agreed), role);
    driver.feed(&before(setting));
    assert_eq!(driver.outcome, Outcome::open(Vec::new()), "{setting:?}");
    driver
}

/// Where several rules are broken, either may be told; it is told by the byte that shows it, and the rest is not read.
fn fails(driver: &Driver, setting: Setting, faults: &[ProtocolError], bytes: &[u8]) {
    let told = &driver.outcome;
    let mut expected = faults.iter().map(|fault| Outcome::failed(setting.role, Vec::new(), *fault));
    let what = || format!("{setting:?} {bytes:02x?}: {told:?}, not one of {faults:?}");
    assert!(expected.any(|expected| *told == expected), "{}", what());
}

fn every_pair(role: Role) {
    for setting in settings(role) {
        for first in 0..=u8::MAX {
            let of_the_first = faults_of_the_first(setting, first);
            for second in 0..=u8::MAX {
                let (mut by_byte, mut at_once) = (driver(setting), driver(setting));
                let of_the_second = faults_of_the_second(setting, first, second);
                let faults =
                    [&of_the_first, &of_the_second].into_iter().find(|all| !all.is_empty());
                if let Some(faults) = faults {
                    let told_at = if of_the_first.is_empty() { 2 } else { 1 };
                    let bytes = [first, second, 0, 0, 0, 0, 0, 0];
                    for end in [1, 2] {
                        by_byte.feed(&bytes[end - 1..end]);
                        if end < told_at {
                            assert_eq!(by_byte.outcome, Outcome::open(Vec::new()), "{bytes:02x?}");
                        } else {
                            fails(&by_byte, setting, faults, &bytes[..2]);
                        }
                    }
                    at_once.feed(&bytes);
                    fails(&at_once, setting, faults, &bytes[..2]);
                    continue;
                }
                let payload = payload(first, second);
                let frame = to(role, first, &payload);
                assert_eq!(frame[..2], [first, second]);
                at_once.feed(&frame);
                takes(at_once, setting, &frame, &payload);
                by_byte.feed(&[first]);
                assert_eq!(by_byte.outcome, Outcome::open(Vec::new()), "{setting:?} {first:02x}");
                by_byte.feed(&[second]);
                // An empty frame of a server is whole now.
                if frame.len() > 2 {
                    by_byte.feed(&frame[2..]);
                }
                takes(by_byte, setting, &frame, &payload);
            }
        }
    }
}

#[test]
fn every_first_two_bytes_are_judged_as_the_rfc_says_by_a_server() {
    every_pair(Role::Server);
}

#[test]
fn every_first_two_bytes_are_judged_as_the_rfc_says_by_a_client() {
    every_pair(Role::Client);
}
