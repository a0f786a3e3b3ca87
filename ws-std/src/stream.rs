//! Messages that need not fit in memory.

use std::io::{self, Read, Write};

use ws_core::endpoint::Event;
use ws_core::utf8::Utf8Validator;
use ws_core::{MessageKind, SendError};

use crate::error::Result;
use crate::sending::make_room;
use crate::socket::{FLUSH_THRESHOLD, WebSocket};
use crate::transport::{Stream, Transport};

/// A message that is read as it arrives. [`WebSocket::read_stream`] returns it.
///
/// Reading it ends where the message ends. If it is dropped before, the rest of the message is skipped.
#[derive(Debug)]
#[must_use = "the message is skipped when this is dropped"]
pub struct MessageReader<'w, T: Transport = Stream> {
    ws: &'w mut WebSocket<T>,
    kind: MessageKind,
    chunk: bytes::Bytes,
    ended: bool,
}

/// A message that is written piece by piece. [`WebSocket::write_stream`] returns it.
///
/// Each write becomes a fragment, so write large pieces or use a [`io::BufWriter`]. Text is cut between characters,
/// because some peers check each fragment. If a write ends inside a character, up to three bytes are held back until
/// the next write. Call [`finish`](Self::finish): without it the message stays open for good, and the only thing left
/// to do is to close the connection.
#[derive(Debug)]
#[must_use = "the message stays open unless it is finished"]
pub struct MessageWriter<'w, T: Transport = Stream> {
    ws: &'w mut WebSocket<T>,
    kind: MessageKind,
    utf8: Utf8Validator,
    /// Whether another message was left open.
    blocked: bool,
}

impl<T: Transport> WebSocket<T> {
    /// Waits for the next message, which is then read as it arrives. Returns `None` when the connection is over.
    ///
    /// The message need not fit in memory, but [`Config::max_message`](crate::Config::max_message) still limits its
    /// length.
    ///
    /// ```no_run
    /// # fn save(mut ws: ws_std::WebSocket) -> Result<(), Box<dyn std::error::Error>> {
    /// while let Some(mut message) = ws.read_stream()? {
    ///     std::io::copy(&mut message, &mut std::fs::File::create("upload")?)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The same as for [`read`](Self::read).
    pub fn read_stream(&mut self) -> Result<Option<MessageReader<'_, T>>> {
        self.driver.endpoint.inbound.set_streaming(true);
        let deadline = self.driver.link.deadline();
        loop {
            match self.driver.event(deadline) {
                Ok(Some(Event::Chunk { kind, bytes, start: true, end, .. })) => {
                    // The rest of the message is skipped unless the `MessageReader` asks for it.
                    self.driver.state.skipping = !end;
                    self.driver.endpoint.inbound.set_streaming(false);
                    return Ok(Some(MessageReader { ws: self, kind, chunk: bytes, ended: end }));
                }
                // The message had begun before streaming was turned on.
                Ok(Some(Event::Message(message))) => {
                    self.driver.endpoint.inbound.set_streaming(false);
                    return Ok(Some(MessageReader {
                        ws: self,
                        kind: message.kind(),
                        chunk: message.into_bytes(),
                        ended: true,
                    }));
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.driver.endpoint.inbound.set_streaming(false);
                    return Err(error);
                }
            }
        }
    }

    /// Begins a message that is written piece by piece. Nothing is sent before the first write.
    ///
    /// ```no_run
    /// # fn upload(mut ws: ws_std::WebSocket) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut message = ws.write_stream(ws_std::MessageKind::Binary);
    /// std::io::copy(&mut std::fs::File::open("upload")?, &mut message)?;
    /// message.finish()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_stream(&mut self, kind: MessageKind) -> MessageWriter<'_, T> {
        let blocked = self.unfinished;
        MessageWriter { ws: self, kind, utf8: Utf8Validator::new(), blocked }
    }
}

impl<T: Transport> MessageReader<'_, T> {
    /// The kind of the message. Text is UTF-8 as a whole.
    pub fn kind(&self) -> MessageKind {
        self.kind
    }
}

impl<T: Transport> Read for MessageReader<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            if self.ended || buffer.is_empty() {
                return Ok(0);
            }
            let driver = &mut self.ws.driver;
            let deadline = driver.link.deadline();
            driver.state.skipping = false;
            let event = driver.event(deadline);
            driver.state.skipping = true;
            match event.map_err(io::Error::from)? {
                Some(Event::Chunk { bytes, end, .. }) => {
                    driver.state.skipping = !end;
                    self.ended = end;
                    self.chunk = bytes;
                }
                Some(_) => {}
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = buffer.len().min(self.chunk.len());
        let piece = self.chunk.split_to(count);
        if let Some(target) = buffer.get_mut(..count) {
            target.copy_from_slice(&piece);
        }
        Ok(count)
    }
}

impl<T: Transport> MessageWriter<'_, T> {
    /// Completes the message. When this returns, the message has been written to the stream.
    ///
    /// # Errors
    ///
    /// The same as for [`WebSocket::send`]. After a time-out the message is complete, and the next write sends the rest
    /// of it. After [`SendError::OutputFull`] it is not complete, and stays open. If text ends inside a character, the
    /// error is [`Error::Io`](crate::Error::Io) of the kind [`io::ErrorKind::InvalidData`].
    pub fn finish(mut self) -> Result<()> {
        if self.kind == MessageKind::Text && self.utf8.finish().is_err() {
            return Err(io::Error::from(io::ErrorKind::InvalidData).into());
        }
        self.fragment(&[], true)?;
        self.ws.flush()
    }

    fn fragment(&mut self, bytes: &[u8], last: bool) -> Result<()> {
        if self.blocked {
            return Err(SendError::MessageOpen.into());
        }
        let driver = &mut self.ws.driver;
        // The last fragment is queued before the flush: if `finish` times out, the caller has no writer to try again
        // with.
        if !last && driver.endpoint.outbound.waiting() >= FLUSH_THRESHOLD {
            driver.flush()?;
        }
        loop {
            match driver.endpoint.outbound.queue_fragment(self.kind, bytes, last) {
                Ok(()) => break,
                Err(SendError::OutputFull) if !last => driver.flush()?,
                // If the flush times out, this returns `OutputFull`: a time-out would mean that the message is
                // complete.
                Err(error) => make_room(error, || driver.flush())?,
            }
        }
        self.ws.unfinished = !last;
        Ok(())
    }
}

impl<T: Transport> Write for MessageWriter<'_, T> {
    /// Queues a fragment. A write may end inside a character. Returns [`io::ErrorKind::InvalidData`] for text that is
    /// not UTF-8. After a time-out nothing was accepted, so write the same bytes again.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = bytes.get(..FLUSH_THRESHOLD).unwrap_or(bytes);
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.kind == MessageKind::Text {
            let mut utf8 = self.utf8;
            utf8.push(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            self.fragment(bytes, false).map_err(io::Error::from)?;
            self.utf8 = utf8;
        } else {
            self.fragment(bytes, false).map_err(io::Error::from)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.ws.flush().map_err(io::Error::from)
    }
}
