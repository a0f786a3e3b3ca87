//! How messages are put together: what the open message is, where its bytes lie, and which of them are held.
//!
//! [`Inbound`](super::Inbound) pushes each piece of a payload here, in the order in which they were parsed, and
//! gets a [`Place`] when there is something to tell. A place stays valid until the next piece is pushed or
//! the buffer is read into; it is turned into a message that is lent or owned, which is also where the text of
//! a message in one piece is checked.

use core::ops::Range;

use bytes::Bytes;

use super::read_buffer::ReadBuffer;
use crate::message::{MessageRef, Text};
use crate::{Message, MessageKind, ProtocolError, utf8};

#[derive(Debug)]
pub(super) struct Assembly {
    /// Bytes that are not parsed, and those of the open message.
    pub(super) buffer: ReadBuffer,
    /// Whether messages that begin from now on are told in pieces.
    pub(super) streaming: bool,
    /// Whether the open message is told in pieces.
    in_pieces: bool,
}

/// A piece of a message's payload that was parsed just now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) len: usize,
    pub(super) kind: MessageKind,
    pub(super) start: bool,
    pub(super) end: bool,
}

/// Something to tell, as a place in the buffer.
#[derive(Debug)]
pub(super) enum Place {
    Message(MessageKind, Range<usize>),
    /// A piece, of which `start` and `end` tell whether the message starts and ends there.
    Chunk {
        kind: MessageKind,
        range: Range<usize>,
        start: bool,
        end: bool,
    },
}

impl Assembly {
    pub(super) const fn new() -> Self {
        Self { buffer: ReadBuffer::new(), streaming: false, in_pieces: false }
    }

    /// Adds a piece; returns what it completes.
    #[inline]
    pub(super) fn push(&mut self, piece: Piece) -> Option<Place> {
        let Piece { len, kind, start, end } = piece;
        if start {
            self.in_pieces = self.streaming;
        }
        if self.in_pieces {
            return Some(Place::Chunk { kind, range: self.buffer.last(len), start, end });
        }
        self.buffer.chunk(len, start, end).map(|range| Place::Message(kind, range))
    }

    /// A message that was completed, lent.
    #[inline]
    pub(super) fn lend(
        &self,
        kind: MessageKind,
        range: Range<usize>,
    ) -> Result<MessageRef<'_>, ProtocolError> {
        let bytes = self.buffer.get(range);
        Ok(match kind {
            MessageKind::Binary => MessageRef::Binary(bytes),
            MessageKind::Text => MessageRef::Text(utf8::check(bytes)?),
        })
    }

    /// A message that was completed, owned.
    #[inline]
    pub(super) fn own(
        &mut self,
        kind: MessageKind,
        range: Range<usize>,
    ) -> Result<Message, ProtocolError> {
        let bytes = self.buffer.take(range);
        Ok(match kind {
            MessageKind::Binary => Message::Binary(bytes),
            MessageKind::Text => Message::Text(Text::try_from(bytes)?),
        })
    }

    /// A piece of a message, lent.
    pub(super) fn lend_piece(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range)
    }

    /// A piece of a message, owned.
    pub(super) fn own_piece(&mut self, range: Range<usize>) -> Bytes {
        self.buffer.take(range)
    }
}
