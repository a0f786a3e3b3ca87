//! A message that is encoded once and sent to many.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{Message, MessageKind};
use crate::frame::{FrameHeader, OpCode};

/// A message that is encoded once and sent to many.
///
/// Servers share its bytes; a client, which masks every frame with a key of its own, encodes anew.
///
/// ```
/// use ws_core::{Message, PreparedMessage};
///
/// let prepared = PreparedMessage::new(&Message::from("tick"));
/// assert_eq!(prepared.frame()[..], *b"\x81\x04tick");
/// assert_eq!(*prepared.message(), Message::from("tick"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PreparedMessage {
    frame: Bytes,
    message: Message,
}

impl PreparedMessage {
    /// Encodes `message` as one unmasked frame.
    pub fn new(message: &Message) -> Self {
        let opcode = match message.kind() {
            MessageKind::Text => OpCode::Text,
            MessageKind::Binary => OpCode::Binary,
        };
        let payload = message.as_bytes();
        let head = FrameHeader::new(opcode, payload.len() as u64).encode();
        let mut frame = Vec::with_capacity(head.len().saturating_add(payload.len()));
        frame.extend_from_slice(&head);
        frame.extend_from_slice(payload);
        let frame = Bytes::from(frame);
        let payload = frame.slice(head.len()..);
        let message = match message {
            // The payload lies in the frame; a `Text` of it is valid because it was one before.
            Message::Text(_) => {
                super::Text::try_from(payload).map_or_else(|_| message.clone(), Message::Text)
            }
            Message::Binary(_) => Message::Binary(payload),
        };
        Self { frame, message }
    }

    /// The unmasked frame, header and payload.
    pub const fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The message.
    pub const fn message(&self) -> &Message {
        &self.message
    }
}
