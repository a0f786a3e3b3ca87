//! Received bytes, and the pieces of messages in them.

use crate::MessageKind;
use crate::connection::DataFrame;

/// Bytes that were read from the stream, and the number of them that the connection has consumed.
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
    /// Returns an input of which no byte has been consumed.
    #[inline]
    pub const fn new(bytes: &'i mut [u8]) -> Self {
        Self { rest: bytes, consumed: 0 }
    }

    /// Returns the number of bytes that have been consumed.
    #[inline]
    pub const fn consumed(&self) -> usize {
        self.consumed
    }

    /// Returns the bytes that have not been consumed.
    #[inline]
    pub const fn remaining(&self) -> &[u8] {
        self.rest
    }

    /// Returns whether all bytes have been consumed.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Consumes and returns the next `len` bytes, or returns none if there are fewer.
    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> &'i mut [u8] {
        let rest = core::mem::take(&mut self.rest);
        let (taken, rest) = rest.split_at_mut_checked(len).unwrap_or_default();
        self.rest = rest;
        self.consumed = self.consumed.wrapping_add(taken.len());
        taken
    }

    /// Skips `before` bytes, then consumes and returns the next `len` bytes, all of which have to be there.
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

/// A piece of a message, unmasked in the buffer that the driver has read into.
///
/// A frame that arrives in several reads is returned as several chunks. An empty frame is returned as one empty chunk.
/// A chunk of text can end inside a character. The connection checks the UTF-8 of the whole message, and fails at the
/// first byte that makes the text invalid.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chunk<'i> {
    /// The payload.
    pub bytes: &'i mut [u8],
    /// The kind of the message.
    pub kind: MessageKind,
    /// Whether this is the first chunk of the message.
    pub start: bool,
    /// Whether this is the last chunk of the message.
    pub end: bool,
    /// Whether the message is compressed; see [`Connection::with_compression`](crate::Connection::with_compression).
    pub compressed: bool,
}

impl Chunk<'_> {
    /// Returns the data frame with which to forward this chunk: a fragment of a message of the same kind.
    #[inline]
    pub const fn frame(&self) -> DataFrame {
        let frame = DataFrame::new(self.kind).compressed(self.compressed && self.start);
        if self.end { frame } else { frame.more() }
    }
}
