//! How messages are put together: what the open message is, where its bytes lie, and which of them are held.
//!
//! [`Inbound`](super::Inbound) pushes each piece of a payload here, in the order in which they were parsed, and
//! gets a [`Place`] when there is something to tell. A place stays valid until the next piece is pushed or
//! the buffer is read into; it is turned into a message that is lent or owned, which is also where the text of
//! a message in one piece is checked. Text in several pieces was checked by the receiving half, piece by piece, in the
//! order in which they lie in the buffer; nothing changes them there.

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
    Message(Whole),
    /// A piece, of which `start` and `end` tell whether the message starts and ends there.
    Chunk {
        kind: MessageKind,
        range: Range<usize>,
        start: bool,
        end: bool,
    },
}

/// A message as a place in the buffer.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) kind: MessageKind,
    pub(super) range: Range<usize>,
    /// Its text came in several pieces, which were checked as they came.
    pub(super) checked: bool,
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
        let goes_on = !start && self.buffer.has_message();
        let range = self.buffer.chunk(len, start, end)?;
        Some(Place::Message(Whole { kind, range, checked: goes_on }))
    }

    /// A message that was completed, lent.
    #[inline(always)]
    pub(super) fn lend(&self, whole: Whole) -> Result<MessageRef<'_>, ProtocolError> {
        let bytes = self.buffer.get(whole.range);
        Ok(match whole.kind {
            MessageKind::Binary => MessageRef::Binary(bytes),
            MessageKind::Text if whole.checked => MessageRef::Text(lend_checked(bytes)),
            MessageKind::Text => MessageRef::Text(utf8::check(bytes)?),
        })
    }

    /// A message that was completed, owned.
    #[inline]
    pub(super) fn own(&mut self, whole: Whole) -> Result<Message, ProtocolError> {
        let bytes = self.buffer.take(whole.range);
        Ok(match whole.kind {
            MessageKind::Binary => Message::Binary(bytes),
            MessageKind::Text if whole.checked => Message::Text(own_checked(bytes)),
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

/// The text of a message that was checked as its pieces came: a second pass over it is saved, which would cost
/// as much as all else that is done to it.
#[inline]
fn lend_checked(bytes: &[u8]) -> &str {
    debug_assert!(core::str::from_utf8(bytes).is_ok());
    // SAFETY: the receiving half has checked each piece, and the end of the last one, before it was pushed here.
    // In the buffer they lie one after the other as they were checked.
    #[allow(unsafe_code)]
    unsafe {
        core::str::from_utf8_unchecked(bytes)
    }
}

/// As [`lend_checked`].
#[inline]
fn own_checked(bytes: Bytes) -> Text {
    // SAFETY: as in `lend_checked`.
    #[allow(unsafe_code)]
    unsafe {
        Text::from_checked(bytes)
    }
}
