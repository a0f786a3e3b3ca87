//! Puts messages together. This module knows which message is open, where its bytes lie, and which of them have to be
//! kept.
//!
//! [`Inbound`](super::Inbound) pushes each piece of a payload as soon as it is parsed, and gets a [`Place`] back if
//! there is something to report. A place is valid until the next piece is pushed or the buffer is read into. It is then
//! turned into a message that is lent or owned. The text of a message in one piece is checked at that point. The
//! receiving half has checked text in several pieces piece by piece, and nothing changes it in the buffer afterwards.

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
    /// The bytes that are not parsed yet, and those of the open message.
    pub(super) buffer: ReadBuffer,
    /// Present if permessage-deflate was agreed on.
    #[cfg(feature = "zlib-rs")]
    pub(super) inflating: Option<Box<Inflating>>,
    /// Whether messages that begin from now on are reported in pieces.
    pub(super) streaming: bool,
    /// Whether the open message is reported in pieces.
    in_pieces: bool,
}

/// A piece of a message's payload that has just been parsed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) len: usize,
    pub(super) kind: MessageKind,
    pub(super) start: bool,
    pub(super) end: bool,
    /// Whether it is a piece of a compressed message.
    pub(super) compressed: bool,
}

/// Something to report, as a place in the buffer.
#[derive(Debug)]
pub(super) enum Place {
    Message(Whole),
    /// A piece of a message. `start` and `end` say whether the message starts and ends with it.
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
    /// Whether the text was checked as it arrived, because it arrived in several pieces or was inflated.
    pub(super) checked: bool,
    /// Whether it was compressed, and lies in the memory that it was inflated to.
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

    /// Adds a piece. Returns the place of what is complete.
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
        // It is present whenever RSV1 is allowed.
        let Some(inflating) = inflating else { return Err(ProtocolError::ReservedBits) };
        let range = buffer.last(piece.len);
        if *in_pieces {
            inflating.push_pending(range, piece);
            return inflating.next_piece(|range| buffer.get(range));
        }
        inflating.push(buffer.get(range), piece)
    }

    /// Drops everything. Nothing will be put together any more.
    pub(super) fn discard(&mut self) {
        self.buffer.discard();
        #[cfg(feature = "zlib-rs")]
        {
            self.inflating = None;
        }
    }

    /// Returns whether there is more to report of a compressed piece before anything else is parsed.
    #[inline]
    pub(super) fn is_pending(&self) -> bool {
        #[cfg(feature = "zlib-rs")]
        return self.inflating.as_ref().is_some_and(|inflating| inflating.is_pending());
        #[cfg(not(feature = "zlib-rs"))]
        false
    }

    /// Inflates the next part of what [is pending](Self::is_pending).
    #[cfg(feature = "zlib-rs")]
    pub(super) fn next_piece(&mut self) -> Result<Option<Place>, ProtocolError> {
        let Self { buffer, inflating, .. } = self;
        let Some(inflating) = inflating else { return Ok(None) };
        inflating.next_piece(|range| buffer.get(range))
    }

    /// Frees the memory of an inflated message that was reported.
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

    /// Lends a complete message.
    #[inline(always)]
    pub(super) fn lend(&self, whole: Whole) -> Result<MessageRef<'_>, ProtocolError> {
        let bytes = self.get(whole.range, whole.inflated);
        Ok(match whole.kind {
            MessageKind::Binary => MessageRef::Binary(bytes),
            MessageKind::Text if whole.checked => MessageRef::Text(lend_checked(bytes)),
            MessageKind::Text => MessageRef::Text(utf8::check(bytes)?),
        })
    }

    /// Returns a complete message as an owned one.
    #[inline]
    pub(super) fn own(&mut self, whole: Whole) -> Result<Message, ProtocolError> {
        let bytes = self.take(whole.range, whole.inflated);
        Ok(match whole.kind {
            MessageKind::Binary => Message::Binary(bytes),
            MessageKind::Text if whole.checked => Message::Text(own_checked(bytes)),
            MessageKind::Text => Message::Text(Text::try_from(bytes)?),
        })
    }

    /// Lends a piece of a message.
    pub(super) fn lend_piece(&self, range: Range<usize>, inflated: bool) -> &[u8] {
        self.get(range, inflated)
    }

    /// Returns a piece of a message as owned bytes.
    pub(super) fn own_piece(&mut self, range: Range<usize>, inflated: bool) -> Bytes {
        self.take(range, inflated)
    }
}

/// Returns the text of a message that was checked as its pieces arrived. A second check would cost as much as all other
/// work on the message.
#[inline]
fn lend_checked(bytes: &[u8]) -> &str {
    debug_assert!(core::str::from_utf8(bytes).is_ok());
    // SAFETY: the receiving half has checked each piece, and the end of the last one, before it was pushed here. For a
    // compressed message, `Inflating` has done so. The pieces lie one after the other, as they were checked.
    #[allow(unsafe_code)]
    unsafe {
        core::str::from_utf8_unchecked(bytes)
    }
}

/// Like [`lend_checked`], but owned.
#[inline]
fn own_checked(bytes: Bytes) -> Text {
    // SAFETY: as in `lend_checked`.
    #[allow(unsafe_code)]
    unsafe {
        Text::from_checked(bytes)
    }
}
