//! A message that is encoded once and sent to many.

#[cfg(feature = "zlib-rs")]
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
#[cfg(feature = "zlib-rs")]
use std::sync::OnceLock;

use bytes::Bytes;

use super::{Message, MessageKind};
#[cfg(feature = "zlib-rs")]
use crate::deflate::WindowBits;
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
#[derive(Clone)]
pub struct PreparedMessage {
    frame: Bytes,
    message: Message,
    /// The frame of the compressed message for each window, once a connection has asked for it; `None` if that would
    /// not be shorter.
    #[cfg(feature = "zlib-rs")]
    compressed: Arc<[OnceLock<Option<Compressed>>; 8]>,
}

/// A frame, and how many bytes of it are the header.
#[cfg(feature = "zlib-rs")]
type Compressed = (Bytes, usize);

impl PreparedMessage {
    /// Encodes `message` as one unmasked frame.
    pub fn new(message: &Message) -> Self {
        let (frame, head) = encode(message.kind(), message.as_bytes(), false);
        let payload = frame.slice(head..);
        let message = match message {
            // The payload lies in the frame; a `Text` of it is valid because it was one before.
            Message::Text(_) => {
                super::Text::try_from(payload).map_or_else(|_| message.clone(), Message::Text)
            }
            Message::Binary(_) => Message::Binary(payload),
        };
        Self {
            frame,
            message,
            #[cfg(feature = "zlib-rs")]
            compressed: Arc::default(),
        }
    }

    /// The frame of the message as `compress` makes it for this window, and the length of its header; `None` if it
    /// returns none.
    #[cfg(feature = "zlib-rs")]
    pub(crate) fn compressed(
        &self,
        bits: WindowBits,
        compress: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Option<(&Bytes, usize)> {
        let place = usize::from(bits.bits().saturating_sub(8));
        let compressed = self.compressed.get(place)?.get_or_init(|| {
            let payload = compress(self.message.as_bytes())?;
            Some(encode(self.message.kind(), &payload, true))
        });
        compressed.as_ref().map(|(frame, head)| (frame, *head))
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

/// An unmasked frame, and the length of its header.
fn encode(kind: MessageKind, payload: &[u8], compressed: bool) -> (Bytes, usize) {
    let opcode = match kind {
        MessageKind::Text => OpCode::Text,
        MessageKind::Binary => OpCode::Binary,
    };
    let mut header = FrameHeader::new(opcode, payload.len() as u64);
    header.rsv1 = compressed;
    let head = header.encode();
    let mut frame = Vec::with_capacity(head.len().saturating_add(payload.len()));
    frame.extend_from_slice(&head);
    frame.extend_from_slice(payload);
    (Bytes::from(frame), head.len())
}

impl PartialEq for PreparedMessage {
    fn eq(&self, other: &Self) -> bool {
        self.message == other.message
    }
}

impl Eq for PreparedMessage {}

impl fmt::Debug for PreparedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PreparedMessage").field(&self.message).finish()
    }
}
