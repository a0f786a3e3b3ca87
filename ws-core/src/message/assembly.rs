use super::MessageKind;
use crate::connection::Chunk;
use crate::frame::copy;

/// The slice has no room for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl core::fmt::Display for Full {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the message does not fit into the buffer")
    }
}

impl core::error::Error for Full {}

/// Joins the chunks of each message in a slice of the caller: whole messages without an allocator.
///
/// Set [`Config::max_message`](crate::Config::max_message) to the length of the slice, and
/// the peer gets a Close frame with 1009 instead of [`Full`] coming up here.
///
/// ```
/// use ws_core::message::{MessageKind, SliceAssembler};
/// use ws_core::{Config, Connection, Event, Input};
///
/// let mut connection = Connection::client(Config::new().max_message(16));
/// let mut storage = [0; 16];
/// let mut messages = SliceAssembler::new(&mut storage);
///
/// // RFC 6455 §5.7: "Hello" in two fragments.
/// let mut received = *b"\x01\x03Hel\x80\x02lo";
/// let mut input = Input::new(&mut received);
/// while let Some(event) = connection.receive(&mut input)? {
///     if let Event::Data(chunk) = event {
///         if let Some((kind, message)) = messages.push(&chunk)? {
///             assert_eq!((kind, &*message), (MessageKind::Text, &b"Hello"[..]));
///         }
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SliceAssembler<'b> {
    storage: &'b mut [u8],
    len: usize,
}

impl<'b> SliceAssembler<'b> {
    /// Messages of up to `storage.len()` bytes.
    pub const fn new(storage: &'b mut [u8]) -> Self {
        Self { storage, len: 0 }
    }

    /// Adds a chunk; returns the message when it is complete.
    ///
    /// # Errors
    ///
    /// The message does not fit, also for each later chunk of it. What was kept of it is dropped; close
    /// the connection with [`ProtocolError::MessageTooLarge`](crate::ProtocolError::MessageTooLarge).
    pub fn push(&mut self, chunk: &Chunk<'_>) -> Result<Option<(MessageKind, &mut [u8])>, Full> {
        if chunk.start {
            self.len = 0;
        }
        let end = self.len.saturating_add(chunk.bytes.len());
        let Some(free) = self.storage.get_mut(self.len..end) else {
            // No slice has room there: the rest of the message is refused, too.
            self.len = usize::MAX;
            return Err(Full);
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

/// Joins the chunks of each message in a `Vec`.
///
/// It grows with what has arrived, never with what a peer declares; the limit is
/// [`Config::max_message`](crate::Config::max_message).
#[cfg(feature = "alloc")]
#[derive(Debug, Default)]
pub struct VecAssembler {
    message: alloc::vec::Vec<u8>,
}

#[cfg(feature = "alloc")]
impl VecAssembler {
    /// An assembler that holds nothing yet.
    pub const fn new() -> Self {
        Self { message: alloc::vec::Vec::new() }
    }

    /// Adds a chunk; returns the message when it is complete.
    pub fn push(&mut self, chunk: &Chunk<'_>) -> Option<(MessageKind, alloc::vec::Vec<u8>)> {
        if chunk.start {
            self.message.clear();
        }
        self.message.extend_from_slice(chunk.bytes);
        chunk.end.then(|| (chunk.kind, core::mem::take(&mut self.message)))
    }
}
