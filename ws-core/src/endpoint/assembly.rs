//! How messages are put together: what the open message is, where its bytes lie, and which of them are held.
//!
//! [`Inbound`](super::Inbound) pushes each piece of a payload here, in the order in which they were parsed, and
//! gets a [`Place`] when there is something to tell. A place stays valid until the next piece is pushed or
//! the buffer is read into; it is turned into a message that is lent or owned, which is also where the text of
//! a message in one piece is checked. Text in several pieces was checked by the receiving half, piece by piece, in the
//! order in which they lie in the buffer; nothing changes them there.

#[cfg(feature = "zlib-rs")]
use alloc::boxed::Box;
use core::ops::Range;

use bytes::Bytes;

#[cfg(feature = "zlib-rs")]
use super::deflate::Inflating;

use super::read_buffer::ReadBuffer;
use crate::message::{MessageRef, Text};
use crate::{Message, MessageKind, ProtocolError, utf8};

#[derive(Debug)]
pub(super) struct Assembly {
    /// Bytes that are not parsed, and those of the open message.
    pub(super) buffer: ReadBuffer,
    /// If permessage-deflate was agreed on.
    #[cfg(feature = "zlib-rs")]
    pub(super) inflating: Option<Box<Inflating>>,
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
    /// It is a piece of a compressed message.
    pub(super) compressed: bool,
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
        inflated: bool,
    },
}

/// A message as a place in the buffer.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) kind: MessageKind,
    pub(super) range: Range<usize>,
    /// Its text was checked as it came: it came in several pieces, or was inflated.
    pub(super) checked: bool,
    /// It was compressed, and lies where it was inflated to.
    pub(super) inflated: bool,
}

impl Assembly {
    pub(super) const fn new() -> Self {
        Self {
            buffer: ReadBuffer::new(),
            #[cfg(feature = "zlib-rs")]
            inflating: None,
            streaming: false,
            in_pieces: false,
        }
    }

    /// Adds a piece; returns what it completes.
    #[inline]
    pub(super) fn push(&mut self, piece: Piece) -> Result<Option<Place>, ProtocolError> {
        let Piece { len, kind, start, end, compressed } = piece;
        if start {
            self.in_pieces = self.streaming;
        }
        #[cfg(feature = "zlib-rs")]
        if compressed {
            return self.inflate(piece);
        }
        if self.in_pieces {
            let range = self.buffer.last(len);
            return Ok(Some(Place::Chunk { kind, range, start, end, inflated: compressed }));
        }
        let checked = !start && self.buffer.has_message();
        let range = self.buffer.chunk(len, start, end);
        Ok(range.map(|range| Place::Message(Whole { kind, range, checked, inflated: compressed })))
    }

    /// Adds a piece of a compressed message.
    #[cfg(feature = "zlib-rs")]
    #[inline(never)]
    pub(super) fn inflate(&mut self, piece: Piece) -> Result<Option<Place>, ProtocolError> {
        let Self { buffer, inflating, in_pieces, .. } = self;
        // It is there whenever RSV1 is allowed.
        let Some(inflating) = inflating else { return Err(ProtocolError::ReservedBits) };
        let range = buffer.last(piece.len);
        if *in_pieces {
            inflating.push_pending(range, piece);
            return inflating.next_piece(|range| buffer.get(range));
        }
        inflating.push(buffer.get(range), piece)
    }

    /// Drops all that is there: nothing will be put together any more.
    pub(super) fn discard(&mut self) {
        self.buffer.discard();
        #[cfg(feature = "zlib-rs")]
        {
            self.inflating = None;
        }
    }

    /// Whether there is more to tell of a compressed piece, before anything else is parsed.
    #[inline]
    pub(super) fn is_pending(&self) -> bool {
        #[cfg(feature = "zlib-rs")]
        return self.inflating.as_ref().is_some_and(|inflating| inflating.is_pending());
        #[cfg(not(feature = "zlib-rs"))]
        false
    }

    /// Inflates what [is pending](Self::is_pending).
    #[cfg(feature = "zlib-rs")]
    pub(super) fn next_piece(&mut self) -> Result<Option<Place>, ProtocolError> {
        let Self { buffer, inflating, .. } = self;
        let Some(inflating) = inflating else { return Ok(None) };
        inflating.next_piece(|range| buffer.get(range))
    }

    /// Lets go of the memory of an inflated message that was told.
    pub(super) fn release_inflated(&mut self) {
        #[cfg(feature = "zlib-rs")]
        if let Some(inflating) = &mut self.inflating {
            inflating.release();
        }
    }

    #[inline]
    fn get(&self, range: Range<usize>, _inflated: bool) -> &[u8] {
        #[cfg(feature = "zlib-rs")]
        if _inflated {
            return self.inflating.as_ref().map_or(&[], |inflating| inflating.get(range));
        }
        self.buffer.get(range)
    }

    fn take(&mut self, range: Range<usize>, _inflated: bool) -> Bytes {
        #[cfg(feature = "zlib-rs")]
        if _inflated {
            let inflating = self.inflating.as_mut();
            return inflating.map_or_else(Bytes::new, |inflating| inflating.take(range));
        }
        self.buffer.take(range)
    }

    /// A message that was completed, lent.
    #[inline(always)]
    pub(super) fn lend(&self, whole: Whole) -> Result<MessageRef<'_>, ProtocolError> {
        let bytes = self.get(whole.range, whole.inflated);
        Ok(match whole.kind {
            MessageKind::Binary => MessageRef::Binary(bytes),
            MessageKind::Text if whole.checked => MessageRef::Text(lend_checked(bytes)),
            MessageKind::Text => MessageRef::Text(utf8::check(bytes)?),
        })
    }

    /// A message that was completed, owned.
    #[inline]
    pub(super) fn own(&mut self, whole: Whole) -> Result<Message, ProtocolError> {
        let bytes = self.take(whole.range, whole.inflated);
        Ok(match whole.kind {
            MessageKind::Binary => Message::Binary(bytes),
            MessageKind::Text if whole.checked => Message::Text(own_checked(bytes)),
            MessageKind::Text => Message::Text(Text::try_from(bytes)?),
        })
    }

    /// A piece of a message, lent.
    pub(super) fn lend_piece(&self, range: Range<usize>, inflated: bool) -> &[u8] {
        self.get(range, inflated)
    }

    /// A piece of a message, owned.
    pub(super) fn own_piece(&mut self, range: Range<usize>, inflated: bool) -> Bytes {
        self.take(range, inflated)
    }
}

/// The text of a message that was checked as its pieces came: a second pass over it is saved, which would cost
/// as much as all else that is done to it.
#[inline]
fn lend_checked(bytes: &[u8]) -> &str {
    debug_assert!(core::str::from_utf8(bytes).is_ok());
    // SAFETY: the receiving half has checked each piece, and the end of the last one, before it was pushed here, or
    // `Inflating` has, of a message that was compressed. They lie one after the other as they were checked.
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
