//! A second implementation of what RFC 6455 says about a stream of frames, in the simplest way: it has the whole
//! stream at hand, allocates freely, and uses nothing of `Connection`.

use ws_core::{ProtocolError, Role};

use super::KEY;
use super::seen::*;

/// The outcome of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) seen: Vec<Seen>,
    /// Everything that is sent if each reply is written before the next frame is parsed.
    pub(crate) output: Vec<u8>,
}

impl Outcome {
    /// Returns whether the connection was closed or has failed.
    pub(crate) fn ended(&self) -> bool {
        self.seen.last().is_some_and(Seen::is_end)
    }
}

/// What a receiver also reports if it works chunk by chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    /// How many bytes were consumed when each message, Ping and Pong was reported.
    pub(crate) ends: Vec<usize>,
    /// The part of an incomplete message that has arrived, if the connection is open.
    pub(crate) partial: Vec<u8>,
}

pub(crate) struct Model {
    pub(crate) role: Role,
    pub(crate) compression: bool,
    pub(crate) max_frame: u64,
    pub(crate) max_message: u64,
}

/// The open message.
struct Open {
    text: bool,
    compressed: bool,
    bytes: Vec<u8>,
    /// So many of the bytes are whole characters.
    characters: usize,
    /// The length that the headers have declared so far.
    declared: u64,
}

struct Header {
    fin: bool,
    rsv1: bool,
    opcode: u8,
    key: [u8; 4],
    len: u64,
    header_len: usize,
}

impl Model {
    pub(crate) fn expect(&self, stream: &[u8]) -> (Outcome, Places) {
        let mut outcome = Outcome::default();
        let mut places = Places::default();
        let mut open = None;
        let mut at = 0;
        loop {
            match self.frame(&stream[at..], &mut open) {
                Ok(None) => {
                    places.partial = open.map(|open| open.bytes).unwrap_or_default();
                    break;
                }
                Ok(Some((len, seen))) => {
                    at += len;
                    let Some(seen) = seen else { continue };
                    if let Seen::Ping(payload) = &seen {
                        outcome.output.extend(sent_by(self.role, 0x8a, payload));
                    }
                    let close = match &seen {
                        Seen::Closed { code: 1005, .. } => Some(sent_by(self.role, 0x88, &[])),
                        Seen::Closed { code, .. } => {
                            Some(sent_by(self.role, 0x88, &code.to_be_bytes()))
                        }
                        _ => None,
                    };
                    outcome.seen.push(seen);
                    if let Some(close) = close {
                        outcome.output.extend(close);
                        break;
                    }
                    places.ends.push(at);
                }
                Err(error) => {
                    let code = error.close_code().get();
                    outcome.output.extend(sent_by(self.role, 0x88, &code.to_be_bytes()));
                    outcome.seen.push(failed(error));
                    break;
                }
            }
        }
        (outcome, places)
    }

    /// As [`expect`](Self::expect), for an endpoint, whose Close frame has the reason of the failure.
    pub(crate) fn expect_reasons(&self, stream: &[u8]) -> Outcome {
        let mut outcome = self.expect(stream).0;
        if let Some(Seen::Failed(error)) = outcome.seen.last() {
            let bare = sent_by(self.role, 0x88, &error.close_code().get().to_be_bytes());
            outcome.output.truncate(outcome.output.len() - bare.len());
            outcome.output.extend(close_for(self.role, *error));
        }
        outcome
    }

    /// Returns the length of the next frame and what is reported at its end, or `None` if the frame is incomplete.
    fn frame(
        &self,
        bytes: &[u8],
        open: &mut Option<Open>,
    ) -> Result<Option<(usize, Option<Seen>)>, ProtocolError> {
        let Some(header) = self.header(bytes, open.as_ref())? else { return Ok(None) };
        let there = &bytes[header.header_len..];
        let complete = header.len <= there.len() as u64;
        let payload = if complete { &there[..header.len as usize] } else { there };
        let payload: Vec<u8> =
            payload.iter().zip(header.key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        let len = header.header_len + payload.len();
        if header.opcode >= 8 {
            if !complete {
                return Ok(None);
            }
            return Ok(Some((len, Some(control(&header, payload)?))));
        }

        let message = open.get_or_insert(Open {
            text: header.opcode == 1,
            compressed: header.rsv1,
            bytes: Vec::new(),
            characters: 0,
            declared: 0,
        });
        message.declared += header.len;
        message.bytes.extend(payload);
        let end = complete && header.fin;
        if message.text && !message.compressed {
            // RFC 6455 §8.1: a sequence that later bytes could complete is no error yet.
            let unchecked = &message.bytes[message.characters..];
            message.characters += match core::str::from_utf8(unchecked) {
                Ok(text) => text.len(),
                Err(error) if end || error.error_len().is_some() => {
                    return Err(ProtocolError::InvalidUtf8);
                }
                Err(error) => error.valid_up_to(),
            };
        }
        if !complete {
            return Ok(None);
        }
        let seen = if end { open.take() } else { None }.map(|message| match message.bytes {
            bytes if message.compressed => Seen::Compressed(bytes),
            bytes if message.text => Seen::Text(String::from_utf8(bytes).expect("it was checked")),
            bytes => Seen::Binary(bytes),
        });
        Ok(Some((len, seen)))
    }

    /// Returns the header, after checking its rules byte by byte (RFC 6455 §5.1, §5.2, §5.4, §5.5, §10.4).
    fn header(&self, bytes: &[u8], open: Option<&Open>) -> Result<Option<Header>, ProtocolError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        if !matches!(opcode, 0..=2 | 8..=10) {
            return Err(ProtocolError::ReservedOpcode(opcode));
        }
        if opcode >= 8 && !fin {
            return Err(ProtocolError::FragmentedControl);
        }
        let rsv1 = first & 0x70 == 0x40 && self.compression && matches!(opcode, 1 | 2);
        if first & 0x70 != 0 && !rsv1 {
            return Err(ProtocolError::ReservedBits);
        }
        if opcode == 0 && open.is_none() {
            return Err(ProtocolError::UnexpectedContinuation);
        }
        if matches!(opcode, 1 | 2) && open.is_some() {
            return Err(ProtocolError::InterleavedMessage);
        }

        let Some(&second) = bytes.get(1) else { return Ok(None) };
        match (self.role, second & 0x80 != 0) {
            (Role::Server, false) => return Err(ProtocolError::UnmaskedFrame),
            (Role::Client, true) => return Err(ProtocolError::MaskedFrame),
            _ => {}
        }
        if opcode >= 8 && second & 0x7f > 125 {
            return Err(ProtocolError::ControlTooLong);
        }

        let (extended, least) = match second & 0x7f {
            126 => (2, 126),
            127 => (8, 65536),
            _ => (0, 0),
        };
        let Some(length) = bytes.get(2..2 + extended) else { return Ok(None) };
        let mut len = if extended == 0 { u64::from(second & 0x7f) } else { 0 };
        for &byte in length {
            len = len << 8 | u64::from(byte);
        }
        if len >> 63 != 0 {
            return Err(ProtocolError::LengthOverflow);
        }
        if len < least {
            return Err(ProtocolError::NonMinimalLength);
        }
        if opcode < 8 {
            if len > self.max_frame {
                return Err(ProtocolError::FrameTooLarge);
            }
            // The length of a compressed message is known only after it has been inflated.
            let compressed = rsv1 || open.is_some_and(|open| open.compressed);
            let before = open.map_or(0, |open| open.declared);
            if !compressed && before + len > self.max_message {
                return Err(ProtocolError::MessageTooLarge);
            }
        }

        let key_at = 2 + extended;
        let key_len = if self.role == Role::Server { 4 } else { 0 };
        let Some(key_bytes) = bytes.get(key_at..key_at + key_len) else { return Ok(None) };
        let mut key = [0; 4];
        key[..key_len].copy_from_slice(key_bytes);
        Ok(Some(Header { fin, rsv1, opcode, key, len, header_len: key_at + key_len }))
    }
}

/// Returns what a control frame contains (RFC 6455 §5.5.1, §7.4).
fn control(header: &Header, payload: Vec<u8>) -> Result<Seen, ProtocolError> {
    Ok(match (header.opcode, &payload[..]) {
        (9, _) => Seen::Ping(payload),
        (10, _) => Seen::Pong(payload),
        (_, []) => closed(1005, ""),
        (_, [_]) => return Err(ProtocolError::CloseBodyTooShort),
        (_, [high, low, reason @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(ProtocolError::InvalidCloseCode(code));
            }
            match core::str::from_utf8(reason) {
                Ok(reason) => closed(code, reason),
                Err(_) => return Err(ProtocolError::InvalidCloseReason),
            }
        }
    })
}

/// Returns the Close frame that an endpoint sends for an error. It has the code, and the text of the error without the
/// section and the peer's numbers.
pub(crate) fn close_for(role: Role, error: ProtocolError) -> Vec<u8> {
    let text = error.to_string();
    let reason = match error {
        ProtocolError::ReservedOpcode(_) => "reserved opcode",
        ProtocolError::InvalidCloseCode(_) => "close code must not be sent",
        _ => text.split(" (RFC").next().unwrap_or_default(),
    };
    let code = error.close_code().get().to_be_bytes();
    sent_by(role, 0x88, &[&code, reason.as_bytes()].concat())
}

/// Returns a short frame as `role` sends it.
pub(crate) fn sent_by(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, payload.len() as u8];
    if role == Role::Client {
        frame[1] |= 0x80;
        frame.extend(KEY);
        frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    } else {
        frame.extend(payload);
    }
    frame
}
