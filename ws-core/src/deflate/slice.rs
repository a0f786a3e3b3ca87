//! Inflating without an allocator.

use miniz_oxide::inflate::core::DecompressorOxide;

use super::limits::Limits;
use super::message::{Need, Progress, Run};
use super::miniz::{Place, Ring};
use super::window::WindowBits;
use crate::connection::Chunk;
use crate::utf8::Utf8Validator;
use crate::{MessageKind, ProtocolError};

/// The state of a decoder, which a [`SliceInflater`] borrows: about 11 KB.
#[derive(Clone)]
pub struct Decoder(DecompressorOxide);

impl Decoder {
    /// A decoder for any number of messages.
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

/// Inflates the messages of a connection in memory of the caller: no allocator is needed.
///
/// It takes the chunks of a [`Connection`](crate::Connection) that was made
/// [`with_compression`](crate::Connection::with_compression) and returns the message in pieces, which lie in the window.
/// Chunks of messages that are not compressed pass through as they are. Text is checked: all pieces of a
/// message together are UTF-8.
///
/// The window's length is what was agreed for the peer's messages, 256 to 32,768 bytes.
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
    /// Pieces of the latest chunk may be left.
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
    /// Whether the message ends here.
    pub end: bool,
}

/// The pieces of a message that a chunk of it stands for.
#[derive(Debug)]
pub struct Pieces<'i, 'w> {
    inflater: &'i mut SliceInflater<'w>,
    chunk: &'i Chunk<'i>,
    consumed: usize,
    done: bool,
}

impl<'w> SliceInflater<'w> {
    /// An inflater whose window is `window`, if that has the length of a window: a power of two from 256 to 32,768.
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

    /// Each message starts with an empty window: the peer's `no_context_takeover` was agreed.
    #[must_use]
    pub const fn no_context_takeover(mut self) -> Self {
        self.takeover = false;
        self
    }

    /// Adds a chunk. Ask for all of its pieces before the next one: a message of which pieces were left fails.
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

    /// Inflates up to the end of the window; returns where in it the bytes lie.
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

    /// Checks a piece of text, which lies in the window.
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

/// Shows no plaintext.
impl core::fmt::Debug for SliceInflater<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SliceInflater")
            .field("window", &self.window.len())
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

impl Pieces<'_, '_> {
    /// The next piece; `None` when all that the chunk stands for was returned.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidDeflate`], [`ProtocolError::InvalidUtf8`] and [`ProtocolError::MessageTooLarge`], after
    /// all bytes before the error (RFC 6455 §8.1 allows to fail early: text is checked piece by piece). Fail the
    /// connection with it ([`Receiver::fail`](crate::connection::Receiver::fail)).
    pub fn next_piece(&mut self) -> Result<Option<Piece<'_>>, ProtocolError> {
        let Chunk { kind, end, compressed, .. } = *self.chunk;
        if self.done {
            self.inflater.unfinished = false;
            return Ok(None);
        }
        if !compressed {
            self.done = true;
            return Ok(Some(Piece { bytes: self.chunk.bytes, kind, end }));
        }
        loop {
            let input = self.chunk.bytes.get(self.consumed..).unwrap_or_default();
            let (start, run) = self.inflater.run(input, end)?;
            self.consumed = self.consumed.saturating_add(run.consumed);
            self.done = run.need != Need::Output;
            let end = run.need == Need::Nothing;
            if kind == MessageKind::Text {
                self.inflater.check(start, run)?;
            }
            if run.produced != 0 || end {
                let bytes = self.inflater.window.get(start..start.saturating_add(run.produced));
                return Ok(Some(Piece { bytes: bytes.unwrap_or_default(), kind, end }));
            }
            if self.done {
                self.inflater.unfinished = false;
                return Ok(None);
            }
        }
    }
}
