//! Packets of Engine.IO 4: a digit for the kind, then the data. Binary data has no digit.
//!
//! A WebSocket message is one packet. With long-polling, the body of a request or response is a payload: packets
//! between separators, binary data in base64 behind a `b`.

use axum::body::Bytes;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ws_core::Message;

pub(super) const CLOSE: &str = "1";
pub(super) const PING: &str = "2";
pub(super) const PROBE: &str = "2probe";
pub(super) const PROBED: &str = "3probe";
pub(super) const UPGRADE: &str = "5";
pub(super) const NOOP: &str = "6";
const SEPARATOR: &str = "\x1e";

/// What a client may send in a session. The probe and the upgrade packet come before a WebSocket has one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Close,
    Pong,
    Message(Message),
    Noop,
}

impl Packet {
    /// The packet in a WebSocket message.
    pub(super) fn decode(message: Message) -> Option<Self> {
        let Some(text) = message.as_text() else { return Some(Self::Message(message)) };
        let (kind, data) = text.split_at_checked(1)?;
        Some(match kind {
            "1" => Self::Close,
            "3" => Self::Pong,
            "4" => Self::Message(data.into()),
            "6" => Self::Noop,
            _ => return None,
        })
    }
}

/// Returns the packet that carries a message of the application.
pub fn encode(message: Message) -> Message {
    message.as_text().map(|text| format!("4{text}").into()).unwrap_or(message)
}

pub(super) fn encode_payload(packets: &[Message]) -> String {
    let encode = |packet: &Message| match packet {
        Message::Text(text) => text.to_string(),
        Message::Binary(bytes) => format!("b{}", STANDARD.encode(bytes)),
    };
    packets.iter().map(encode).collect::<Vec<_>>().join(SEPARATOR)
}

/// The packets in a payload, if all of it is well-formed.
pub(super) fn decode_payload(payload: &[u8]) -> Option<Vec<Packet>> {
    let decode = |packet: &str| match packet.strip_prefix('b') {
        Some(base64) => Some(Packet::Message(Bytes::from(STANDARD.decode(base64).ok()?).into())),
        None => Packet::decode(packet.into()),
    };
    std::str::from_utf8(payload).ok()?.split(SEPARATOR).map(decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_of_text_and_binary_packets() {
        let packets = [encode("hello".into()), PING.into(), encode(vec![1, 2, 3, 4].into())];
        assert_eq!(encode_payload(&packets), "4hello\x1e2\x1ebAQIDBA==");
        let expected =
            [Packet::Message("€".into()), Packet::Pong, Packet::Message(vec![1, 2, 3, 4].into())];
        assert_eq!(decode_payload("4€\x1e3\x1ebAQIDBA==".as_bytes()).unwrap(), expected);
    }

    #[test]
    fn malformed_payloads_are_refused_whole() {
        for payload in [
            "",
            "abc",
            "4a\x1e",
            "\x1e4a",
            "4a\x1e\x1e4b",
            "7",
            "é",
            "b!",
            "bAQIDBA",
            "0{}",
            "2probe",
            "5",
        ] {
            assert_eq!(decode_payload(payload.as_bytes()), None, "{payload:?}");
        }
    }
}
