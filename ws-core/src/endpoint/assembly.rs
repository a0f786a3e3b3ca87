//! How messages are put together: what the open message is, where its bytes lie, and which of them are held.
//!
//! [`Inbound`](super::Inbound) pushes each piece of a payload here, in the order in which they were parsed, and
//! gets a [`Place`] when there is something to tell. A place stays valid until the next piece is pushed or
//! the buffer is read into; it is turned into a message that is lent or owned, which is also where the text of
//! a message in one piece is checked.

use core::ops::Range;

use bytes::Bytes;

use super::event::MessageChunk;
use super::read_buffer::ReadBuffer;
use crate::message::{MessageRef, Text};
use crate::utf8::{self, InvalidUtf8};
use crate::{Message, MessageKind};

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
    Chunk(MessageChunk<Range<usize>>),
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
            let bytes = self.buffer.last(len);
            return Some(Place::Chunk(MessageChunk { kind, bytes, start, end }));
        }
        self.buffer.chunk(len, start, end).map(|range| Place::Message(kind, range))
    }

    /// A message that was completed, lent.
    #[inline]
    pub(super) fn lend(
        &self,
        kind: MessageKind,
        range: Range<usize>,
    ) -> Result<MessageRef<'_>, InvalidUtf8> {
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
    ) -> Result<Message, InvalidUtf8> {
        let bytes = self.buffer.take(range);
        Ok(match kind {
            MessageKind::Binary => Message::Binary(bytes),
            MessageKind::Text => Message::Text(Text::try_from(bytes)?),
        })
    }

    /// A piece of a message, lent.
    pub(super) fn lend_chunk(&self, chunk: MessageChunk<Range<usize>>) -> MessageChunk<&[u8]> {
        let MessageChunk { kind, bytes, start, end } = chunk;
        MessageChunk { kind, bytes: self.buffer.get(bytes), start, end }
    }

    /// A piece of a message, owned.
    pub(super) fn own_chunk(&mut self, chunk: MessageChunk<Range<usize>>) -> MessageChunk<Bytes> {
        let MessageChunk { kind, bytes, start, end } = chunk;
        MessageChunk { kind, bytes: self.buffer.take(bytes), start, end }
    }
}
