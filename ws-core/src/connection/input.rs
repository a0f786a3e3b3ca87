//! Bytes that were read, and pieces of messages that lie among them.

use crate::MessageKind;
use crate::connection::DataFrame;

/// Bytes that were read from the stream and how many of them are used up.
///
/// ```
/// let mut buffer = [0; 1024];
/// let read = 0; // socket.read(&mut buffer)
/// let input = ws_core::Input::new(&mut buffer[..read]);
/// assert_eq!(input.consumed(), 0);
/// ```
#[derive(Debug)]
pub struct Input<'i> {
    rest: &'i mut [u8],
    consumed: usize,
}

impl<'i> Input<'i> {
    /// All of `bytes`, unread.
    #[inline]
    pub const fn new(bytes: &'i mut [u8]) -> Self {
        Self { rest: bytes, consumed: 0 }
    }

    /// How many bytes are used up.
    #[inline]
    pub const fn consumed(&self) -> usize {
        self.consumed
    }

    /// The bytes that are not used up.
    #[inline]
    pub const fn remaining(&self) -> &[u8] {
        self.rest
    }

    /// Whether all bytes are used up.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes up to `len` bytes.
    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> &'i mut [u8] {
        let rest = core::mem::take(&mut self.rest);
        let (taken, rest) = rest.split_at_mut_checked(len).unwrap_or_default();
        self.rest = rest;
        self.consumed = self.consumed.wrapping_add(taken.len());
        taken
    }

    /// Takes `len` bytes after `before` others, all of which are there.
    #[inline(always)]
    pub(crate) fn take_after(&mut self, before: usize, len: usize) -> Option<&'i mut [u8]> {
        let (_, rest) = core::mem::take(&mut self.rest).split_at_mut_checked(before)?;
        let (taken, rest) = rest.split_at_mut_checked(len)?;
        self.rest = rest;
        self.consumed = self.consumed.wrapping_add(before).wrapping_add(len);
        Some(taken)
    }

    pub(crate) fn discard(&mut self) {
        let len = self.rest.len();
        self.take(len);
    }
}

/// A piece of a message, unmasked, in the buffer that the driver has read into.
///
/// A frame that arrives in several reads gives several chunks; an empty frame gives one empty chunk.
/// The text of a chunk can end inside a character: the whole message is UTF-8, and the error comes
/// as early as it is certain.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chunk<'i> {
    /// The payload.
    pub bytes: &'i mut [u8],
    /// The kind of the message.
    pub kind: MessageKind,
    /// Whether the message starts here.
    pub start: bool,
    /// Whether the message ends here.
    pub end: bool,
    /// Whether the message is compressed: see [`Connection::with_compression`](crate::Connection::with_compression).
    pub compressed: bool,
}

impl Chunk<'_> {
    /// The frame with which this chunk is sent on, as a fragment of a message of the same kind.
    #[inline]
    pub const fn frame(&self) -> DataFrame {
        let frame = DataFrame::new(self.kind).compressed(self.compressed && self.start);
        if self.end { frame } else { frame.more() }
    }
}
