//! Inflating without an allocator.

use miniz_oxide::inflate::core::DecompressorOxide;

use super::limits::Limits;
use super::message::{Need, Progress, Run};
use super::miniz::{Place, Ring};
use super::window::WindowBits;
use crate::connection::Chunk;
use crate::utf8::Utf8Validator;
use crate::{MessageKind, ProtocolError};

/// The state of a decoder, about 11 KB, which a [`SliceInflater`] borrows.
#[derive(Clone)]
pub struct Decoder(DecompressorOxide);

impl Decoder {
    /// Returns a decoder for any number of messages.
    pub fn new() -> Self {
        Self(DecompressorOxide::new())
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

/// Inflates the messages of a connection in memory of the caller, without an allocator.
///
/// It takes the chunks of a [`Connection`](crate::Connection) that was made
/// [`with_compression`](crate::Connection::with_compression), and returns each message in pieces, which lie in the window.
/// Chunks of uncompressed messages pass through unchanged. Text is checked to be UTF-8; a piece may end inside a
/// character.
///
/// The length of the window is the one that was agreed for the messages of the peer, 256 to 32,768 bytes.
///
/// ```
/// use ws_core::deflate::{Decoder, Limits, SliceInflater};
/// use ws_core::{Config, Connection, Input, Instant, Role, Step};
///
/// let mut connection = Connection::with_compression(Role::Client, Config::new(), true);
/// let (mut window, mut decoder) = ([0; 4096], Decoder::new());
/// let mut inflater = SliceInflater::new(&mut window, &mut decoder, Limits::new())
///     .ok_or("the length of a window")?;
///
/// // RFC 7692 §7.2.3.1: "Hello", compressed, in two fragments.
/// let mut received = *b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00";
/// let mut input = Input::new(&mut received);
/// let mut message = Vec::new();
/// while let Step::Data(chunk) = connection.next(&mut input, || Instant::from_millis(0)) {
///     let mut pieces = inflater.push(&chunk);
///     // An error fails the connection: `connection.receiver.fail(&mut connection.sender, error)`.
///     while let Some(piece) = pieces.next_piece()? {
///         message.extend_from_slice(piece.bytes);
///         if piece.end {
///             assert_eq!(message, b"Hello");
///             message.clear();
///         }
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SliceInflater<'w> {
    window: &'w mut [u8],
    decoder: &'w mut Decoder,
    place: Place,
    takeover: bool,
    limits: Limits,
    progress: Progress,
    text: Utf8Validator,
    /// Whether pieces of the latest chunk may be left.
    unfinished: bool,
}

/// A piece of a message, inflated if it was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece<'p> {
    /// The bytes. The last piece of a message can be empty.
    pub bytes: &'p [u8],
    /// The kind of the message.
    pub kind: MessageKind,
    /// Whether the message ends with this piece.
    pub end: bool,
}

/// The pieces of a message that one chunk stands for.
#[derive(Debug)]
pub struct Pieces<'i, 'w> {
    inflater: &'i mut SliceInflater<'w>,
    chunk: &'i Chunk<'i>,
    consumed: usize,
    done: bool,
}

impl<'w> SliceInflater<'w> {
    /// Returns an inflater with this window, or `None` if its length is not a power of two from 256 to 32,768 bytes.
    pub fn new(window: &'w mut [u8], decoder: &'w mut Decoder, limits: Limits) -> Option<Self> {
        let bits = u8::try_from(window.len().checked_ilog2()?).ok()?;
        if WindowBits::new(bits)?.size() != window.len() {
            return None;
        }
        Some(Self {
            window,
            decoder,
            place: Place::default(),
            takeover: true,
            limits,
            progress: Progress::new(),
            text: Utf8Validator::new(),
            unfinished: false,
        })
    }

    /// Begins each message with an empty window, because the peer agreed to `no_context_takeover`.
    #[must_use]
    pub const fn no_context_takeover(mut self) -> Self {
        self.takeover = false;
        self
    }

    /// Adds a chunk. Take all of its pieces before the next call: if some are left, the message fails. None is left after
    /// `None`, nor after the piece that ends the message.
    pub fn push<'i>(&'i mut self, chunk: &'i Chunk<'_>) -> Pieces<'i, 'w> {
        let starts = chunk.start && chunk.compressed;
        if self.unfinished || starts && self.progress.is_open() {
            // A part of the payload is missing.
            self.progress.fail(ProtocolError::InvalidDeflate);
        }
        if starts {
            self.decoder.0.init();
        }
        self.unfinished = true;
        Pieces { inflater: self, chunk, consumed: 0, done: false }
    }

    /// Inflates up to the end of the window. Returns where in the window the bytes lie.
    fn run(&mut self, input: &[u8], end: bool) -> Result<(usize, Run), ProtocolError> {
        self.place.wrap(self.window.len());
        let start = self.place.at;
        let mut ring =
            Ring { decoder: &mut self.decoder.0, bytes: self.window, place: &mut self.place };
        let run = self.progress.run(&mut ring, self.limits, input, end)?;
        if run.need == Need::Nothing && !self.takeover {
            self.place = Place::default();
        }
        Ok((start, run))
    }

    /// Checks a piece of text that lies in the window.
    fn check(&mut self, start: usize, run: Run) -> Result<(), ProtocolError> {
        let bytes = self.window.get(start..start.saturating_add(run.produced)).unwrap_or_default();
        let mut checked = self.text.push(bytes);
        if checked.is_ok() && run.need == Need::Nothing {
            checked = self.text.finish();
        }
        if let Err(error) = checked {
            self.progress.fail(error);
        }
        checked
    }
}

/// Shows no plaintext, which may be secret.
impl core::fmt::Debug for SliceInflater<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SliceInflater")
            .field("window", &self.window.len())
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

impl Pieces<'_, '_> {
    /// Returns the next piece, or `None` when all pieces of the chunk were returned.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidDeflate`], [`ProtocolError::InvalidUtf8`] or [`ProtocolError::MessageTooLarge`], after
    /// all bytes before the error. (RFC 6455 §8.1 allows this for text, which is checked piece by piece.) Fail the
    /// connection with the error: [`Receiver::fail`](crate::connection::Receiver::fail).
    pub fn next_piece(&mut self) -> Result<Option<Piece<'_>>, ProtocolError> {
        let Chunk { kind, end, compressed, .. } = *self.chunk;
        if self.done {
            return Ok(None);
        }
        if !compressed {
            self.finish();
            return Ok(Some(Piece { bytes: self.chunk.bytes, kind, end }));
        }
        loop {
            let input = self.chunk.bytes.get(self.consumed..).unwrap_or_default();
            let (start, run) = self.inflater.run(input, end)?;
            self.consumed = self.consumed.saturating_add(run.consumed);
            let end = run.need == Need::Nothing;
            if kind == MessageKind::Text {
                self.inflater.check(start, run)?;
            }
            if run.need != Need::Output {
                self.finish();
            }
            if run.produced != 0 || end {
                let bytes = self.inflater.window.get(start..start.saturating_add(run.produced));
                return Ok(Some(Piece { bytes: bytes.unwrap_or_default(), kind, end }));
            }
            if self.done {
                return Ok(None);
            }
        }
    }

    /// There are no more pieces of this chunk.
    const fn finish(&mut self) {
        self.done = true;
        self.inflater.unfinished = false;
    }
}
