//! Whole messages without an allocator.

use super::MessageKind;
use crate::ProtocolError;
use crate::connection::Chunk;
use crate::frame::copy;

/// Joins the chunks of each message in a slice of the caller, so that there are whole messages without an allocator.
///
/// Set [`Config::max_message`](crate::Config::max_message) to the length of the slice. A longer message then
/// fails the connection as soon as its header has arrived.
///
/// ```
/// use ws_core::message::{MessageKind, SliceAssembler};
/// use ws_core::{Config, Connection, Input, Instant, Step};
///
/// let mut connection = Connection::client(Config::new().max_message(16));
/// let mut storage = [0; 16];
/// let mut messages = SliceAssembler::new(&mut storage);
///
/// // RFC 6455 §5.7: "Hello" in two fragments.
/// let mut received = *b"\x01\x03Hel\x80\x02lo";
/// let mut input = Input::new(&mut received);
/// let mut seen = Vec::new();
/// while let Step::Data(chunk) = connection.next(&mut input, || Instant::from_millis(0)) {
///     if let Some((kind, message)) = messages.push(&chunk)? {
///         seen.push((kind, message.to_vec()));
///     }
/// }
/// assert_eq!(seen, [(MessageKind::Text, b"Hello".to_vec())]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SliceAssembler<'b> {
    storage: &'b mut [u8],
    len: usize,
}

impl<'b> SliceAssembler<'b> {
    /// Returns an assembler for messages of up to `storage.len()` bytes.
    pub const fn new(storage: &'b mut [u8]) -> Self {
        Self { storage, len: 0 }
    }

    /// Adds a chunk. Returns the kind and the payload of the message when it is complete.
    ///
    /// The payload of a text message is UTF-8, because the connection has checked it.
    ///
    /// # Errors
    ///
    /// - [`ProtocolError::MessageTooLarge`] if the message does not fit;
    /// - [`ProtocolError::ReservedBits`] for a chunk of a compressed message, which has to be inflated first.
    ///
    /// The part that was kept is dropped, and each later chunk of the message returns an error, too. Fail the
    /// connection with the error: [`Receiver::fail`](crate::connection::Receiver::fail).
    pub fn push(
        &mut self,
        chunk: &Chunk<'_>,
    ) -> Result<Option<(MessageKind, &mut [u8])>, ProtocolError> {
        if chunk.start {
            self.len = 0;
        }
        if chunk.compressed {
            return Err(ProtocolError::ReservedBits);
        }
        let end = self.len.saturating_add(chunk.bytes.len());
        let Some(free) = self.storage.get_mut(self.len..end) else {
            // No chunk fits behind this length, so the rest of the message is refused, too.
            self.len = usize::MAX;
            return Err(ProtocolError::MessageTooLarge);
        };
        copy(chunk.bytes, free);
        self.len = end;
        if !chunk.end {
            return Ok(None);
        }
        self.len = 0;
        Ok(self.storage.get_mut(..end).map(|message| (chunk.kind, message)))
    }
}
