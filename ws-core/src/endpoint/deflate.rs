//! permessage-deflate in an endpoint (RFC 7692): what is agreed, and how messages pass through the engines.
//!
//! [`Inflating`] belongs to the receiving side, and [`Deflating`] to the sending side. Between two messages each keeps
//! only the last window of plaintext of its direction.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use bytes::Bytes;

use super::assembly::{Piece, Place, Whole};
use super::outbound::{Outbound, Source};
use super::output::SHARE;
use crate::deflate::{
    DeflateConfig, DeflateOptions, DeflateParams, Deflater, Inflater, Limits, Need, Pool,
    WindowBits,
};
use crate::handshake::DeflateExtension;
use crate::utf8::Utf8Validator;
use crate::{DataFrame, MessageKind, PreparedMessage, ProtocolError, Role, SendError};

/// The default for the shortest message that is compressed, in bytes.
const LEAST: usize = 64;
/// The initial room for an inflated message, in bytes.
const FIRST: usize = 1024;
/// There is room for eight times a payload, up to this many bytes.
const FIRST_OF_SHORT: usize = 4 * 1024;
/// The longest piece of a streamed message that is inflated, in bytes.
const PIECE: usize = 16 * 1024;
/// Messages of at least this many bytes are handed over with their memory instead of being copied.
const HAND_OVER: usize = 4 * 1024;

/// How an endpoint uses permessage-deflate (RFC 7692), for [`Options::deflate`](super::Options::deflate).
///
/// A client offers it, and a server accepts such an offer. Once it is agreed on, each message of at least
/// [`least`](Self::least) bytes is compressed if that makes it shorter. A message that is sent piece by piece is always
/// compressed, because its length is not known at the start.
///
/// Compression costs time for each message, and memory for each connection: the windows, which are 4 KiB for each
/// direction with 12 bits. All connections share the engines of a [`Pool`].
///
/// Do not compress secrets together with text that an attacker can choose: the length of the result shows how much the
/// two have in common (RFC 7692 §8). Turn compression off for such messages with
/// [`Outbound::set_compression`](super::Outbound::set_compression).
///
/// ```
/// use ws_core::deflate::{DeflateConfig, Pool, WindowBits};
/// use ws_core::endpoint::{Compression, Options};
///
/// let bits = WindowBits::new(11).ok_or("8 to 15")?;
/// let compression = Compression::new(&Pool::new())
///     .negotiation(DeflateConfig::new().server_max_window_bits(bits))
///     .level(6)
///     .least(200);
/// let options = Options::new().deflate(compression);
/// # let _ = options;
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone)]
pub struct Compression {
    pool: Pool,
    pub(super) negotiation: DeflateConfig,
    options: DeflateOptions,
    least: usize,
    max_ratio: Option<u32>,
    /// What was agreed in a handshake that was done elsewhere.
    pub(super) agreed: Option<DeflateParams>,
}

impl Compression {
    /// Returns the defaults, with the engines of this pool: level 1, messages from 64 bytes on, and any ratio.
    ///
    /// Connections that are driven by the same threads should share a pool.
    pub fn new(pool: &Pool) -> Self {
        Self {
            pool: pool.clone(),
            negotiation: DeflateConfig::new(),
            options: DeflateOptions::new(),
            least: LEAST,
            max_ratio: None,
            agreed: None,
        }
    }

    /// Sets what is offered or accepted: the sizes of the windows, and whether they are kept between messages.
    #[must_use]
    pub fn negotiation(mut self, config: DeflateConfig) -> Self {
        self.negotiation = config;
        self
    }

    /// Sets how hard messages are compressed, as for [`DeflateOptions::level`]. Default: 1.
    #[must_use]
    pub fn level(mut self, level: u8) -> Self {
        self.options = self.options.level(level);
        self
    }

    /// Sets how much memory an engine uses to compress, as for [`DeflateOptions::mem_level`]. Default: 8.
    #[must_use]
    pub fn mem_level(mut self, mem_level: u8) -> Self {
        self.options = self.options.mem_level(mem_level);
        self
    }

    /// Sets the shortest message that is compressed, in bytes. Default: 64. A shorter one saves little, and costs the
    /// peer as much work as a longer one.
    #[must_use]
    pub fn least(mut self, bytes: usize) -> Self {
        self.least = bytes;
        self
    }

    /// Sets how many times longer than its payload a received message may become, as for [`Limits::max_ratio`].
    /// Default: `None`, any ratio. [`Config::max_message`](crate::Config::max_message) limits the message in any case.
    #[must_use]
    pub fn max_ratio(mut self, ratio: Option<u32>) -> Self {
        self.max_ratio = ratio;
        self
    }

    /// Sets what was agreed in an opening handshake that was done elsewhere, for
    /// [`Endpoint::server_after_handshake`](crate::Endpoint::server_after_handshake) and similar constructors. Without
    /// it, their messages are not compressed. An endpoint that does the handshake itself ignores it.
    #[must_use]
    pub fn agreed(mut self, params: DeflateParams) -> Self {
        self.agreed = Some(params);
        self
    }

    /// Returns what a client offers.
    pub(super) fn offer(&self) -> DeflateExtension {
        self.negotiation.offer()
    }

    pub(super) fn inflating(
        &self,
        role: Role,
        params: &DeflateParams,
        max_message: u64,
    ) -> Inflating {
        let peer = match role {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        };
        let limits = Limits::new().max_message(max_message).max_ratio(self.max_ratio);
        let inflater = Inflater::new(&self.pool, params.window_bits(peer), limits);
        let takeover = params.context_takeover(peer);
        Inflating {
            inflater: if takeover { inflater } else { inflater.no_context_takeover() },
            text: Utf8Validator::new(),
            plain: Vec::new(),
            end: 0,
            open: false,
            pending: None,
            most: most(max_message),
        }
    }

    pub(super) fn deflating(&self, role: Role, params: &DeflateParams) -> Deflating {
        let deflater = Deflater::new(&self.pool, params.window_bits(role), self.options);
        let takeover = params.context_takeover(role);
        Deflating {
            params: *params,
            shares: (!takeover).then_some(params.window_bits(role)),
            deflater: if takeover { deflater } else { deflater.no_context_takeover() },
            least: self.least,
            is_on: true,
            open: false,
        }
    }
}

/// Returns the defaults with a new pool, which the clones share.
impl Default for Compression {
    fn default() -> Self {
        Self::new(&Pool::new())
    }
}

impl fmt::Debug for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compression")
            .field("negotiation", &self.negotiation)
            .field("options", &self.options)
            .field("least", &self.least)
            .finish_non_exhaustive()
    }
}

/// Receives compressed messages.
pub(super) struct Inflating {
    inflater: Inflater,
    text: Utf8Validator,
    /// The inflated part of the open message, and room behind it, which was initialised when it was allocated.
    plain: Vec<u8>,
    end: usize,
    /// Whether a message has begun and not ended.
    open: bool,
    /// A part of a payload that is not completely inflated.
    pending: Option<Pending>,
    /// The room that the longest message needs, plus one byte, so that its end is detected.
    most: usize,
}

struct Pending {
    payload: Range<usize>,
    piece: Piece,
}

/// Returns the value of [`Inflating::most`].
fn most(max_message: u64) -> usize {
    usize::try_from(max_message).unwrap_or(usize::MAX).saturating_add(1)
}

impl Inflating {
    pub(super) fn set_max_message(&mut self, bytes: u64) {
        self.inflater.set_max_message(bytes);
        self.most = most(bytes);
    }

    /// Returns whether there is more to report before anything else is parsed.
    pub(super) const fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Inflates all of a part of a payload. Returns the message if it is complete.
    pub(super) fn push(
        &mut self,
        payload: &[u8],
        piece: Piece,
    ) -> Result<Option<Place>, ProtocolError> {
        if piece.start {
            self.end = 0;
        }
        let mut rest = payload;
        loop {
            if self.end == self.plain.len() {
                self.grow(payload.len());
            }
            let (consumed, need) = self.step(rest, piece)?;
            rest = rest.get(consumed..).unwrap_or_default();
            match need {
                Need::Output => {}
                Need::Input => return Ok(None),
                Need::Nothing => {
                    let range = 0..self.end;
                    let whole = Whole { kind: piece.kind, range, checked: true, inflated: true };
                    return Ok(Some(Place::Message(whole)));
                }
            }
        }
    }

    /// Makes room in proportion to what has arrived. For a short payload, that is usually enough for its whole message, which then
    /// needs no engine.
    fn grow(&mut self, payload: usize) {
        let whole = payload.saturating_mul(8).clamp(FIRST, FIRST_OF_SHORT);
        let more = self.end.max(payload.saturating_mul(2)).max(whole);
        let len = self.end.saturating_add(more).min(self.most).max(self.end.saturating_add(1));
        self.plain.reserve_exact(len.saturating_sub(self.plain.len()));
        self.plain.resize(len, 0);
    }

    /// Adds a part of a payload, at `range`, whose message is reported in pieces. [`next_piece`](Self::next_piece)
    /// inflates it.
    pub(super) fn push_pending(&mut self, range: Range<usize>, piece: Piece) {
        self.pending = Some(Pending { payload: range, piece });
    }

    /// Inflates the next piece of the pending payload. `payload` returns the bytes in a range.
    pub(super) fn next_piece<'b>(
        &mut self,
        payload: impl Fn(Range<usize>) -> &'b [u8],
    ) -> Result<Option<Place>, ProtocolError> {
        let Some(Pending { payload: range, mut piece }) = self.pending.take() else {
            return Ok(None);
        };
        self.plain.resize(PIECE, 0);
        self.end = 0;
        let (consumed, need) = self.step(payload(range.clone()), piece)?;
        let Piece { kind, start, .. } = piece;
        if need == Need::Output {
            piece.start = false;
            let payload = range.start.saturating_add(consumed)..range.end;
            self.pending = Some(Pending { payload, piece });
        }
        let end = need == Need::Nothing;
        // A part without output has nothing to report.
        let told = start || end || self.end > 0;
        let range = 0..self.end;
        Ok(told.then_some(Place::Chunk { kind, range, start, end, inflated: true }))
    }

    /// Inflates into the room behind the message so far, and checks its text.
    fn step(&mut self, payload: &[u8], piece: Piece) -> Result<(usize, Need), ProtocolError> {
        let room = self.plain.get_mut(self.end..).unwrap_or_default();
        let done = self.inflater.inflate(payload, piece.end, room)?;
        if piece.kind == MessageKind::Text {
            self.text.push(room.get(..done.produced).unwrap_or_default())?;
            if done.need == Need::Nothing {
                self.text.finish()?;
            }
        }
        self.end = self.end.saturating_add(done.produced);
        self.open = done.need != Need::Nothing;
        Ok((done.consumed, done.need))
    }

    pub(super) fn get(&self, range: Range<usize>) -> &[u8] {
        self.plain.get(range).unwrap_or_default()
    }

    /// Returns the inflated message as owned bytes. If it is long and fills at least half of the memory, it keeps that
    /// memory.
    pub(super) fn take(&mut self, range: Range<usize>) -> Bytes {
        let len = range.len();
        if len < HAND_OVER || len < self.plain.capacity() / 2 {
            return Bytes::copy_from_slice(self.get(range));
        }
        self.end = 0;
        let mut plain = core::mem::take(&mut self.plain);
        plain.truncate(len);
        Bytes::from(plain)
    }

    /// Frees the memory of a message that was reported.
    pub(super) fn release(&mut self) {
        if !self.open {
            (self.plain, self.end) = (Vec::new(), 0);
        }
    }
}

/// Shows lengths only, because the content may be long, and secret.
impl fmt::Debug for Inflating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflating").field("end", &self.end).finish_non_exhaustive()
    }
}

/// Compresses messages before they are sent.
#[derive(Debug)]
pub(super) struct Deflating {
    pub(super) params: DeflateParams,
    /// The window, if there is no context takeover. All such connections compress a message to the same bytes.
    shares: Option<WindowBits>,
    deflater: Deflater,
    least: usize,
    /// Whether messages that begin from now on are compressed.
    pub(super) is_on: bool,
    /// Whether the message that is being sent piece by piece is compressed.
    open: bool,
}

impl Deflating {
    /// Returns the window if a message of this length is compressed to the same bytes as on other connections.
    pub(super) fn shares(&self, len: usize) -> Option<WindowBits> {
        self.shares.filter(|_| self.is_on && len >= self.least)
    }

    /// Compresses a whole message if that makes it shorter.
    pub(super) fn message(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if !self.is_on || payload.len() < self.least {
            return None;
        }
        let mut compressed = Vec::new();
        self.deflater.compress(payload, &mut compressed).then_some(compressed)
    }

    /// Compresses a piece of a message if the message is compressed. The length of the message is not known then.
    pub(super) fn piece(&mut self, payload: &[u8], start: bool, end: bool) -> Option<Vec<u8>> {
        if start && end {
            return self.message(payload);
        }
        if start {
            self.open = self.is_on;
        }
        if !self.open {
            return None;
        }
        let mut compressed = Vec::new();
        self.deflater.compress_piece(payload, end, &mut compressed);
        Some(compressed)
    }
}

/// The part of the sending side that concerns compressed messages.
impl Outbound {
    /// Starts compression after a server has accepted the offer, on either side.
    pub(super) fn set_deflate(&mut self, params: &DeflateParams) {
        if let Some(compression) = &self.compression {
            let mut deflating = compression.deflating(self.role(), params);
            deflating.is_on = self.compresses;
            self.deflating = Some(Box::new(deflating));
            self.sender.set_compression();
        }
    }

    /// Returns what was agreed about permessage-deflate once the connection is open, or `None` if nothing was.
    #[must_use]
    pub fn deflate(&self) -> Option<DeflateParams> {
        self.deflating.as_ref().map(|deflating| deflating.params)
    }

    /// Sets whether messages that begin from now on are compressed, if permessage-deflate was agreed on. Default:
    /// `true`.
    ///
    /// Turn it off for a secret that is sent beside text that an attacker can choose, and for content that is
    /// compressed already. It can also be set before the connection is open.
    pub fn set_compression(&mut self, compress: bool) {
        self.compresses = compress;
        if let Some(deflating) = &mut self.deflating {
            deflating.is_on = compress;
        }
    }

    /// Returns whether messages that begin from now on are compressed. [`Compression::least`] still applies.
    #[must_use]
    pub fn is_compressing(&self) -> bool {
        self.deflating.as_ref().is_some_and(|deflating| deflating.is_on)
    }

    /// Compresses a message that was checked and puts it into the output. Returns `None` if it is to be sent
    /// uncompressed.
    #[inline]
    pub(super) fn put_compressed(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
    ) -> Option<Result<(), SendError>> {
        let compressed = self.deflating.as_mut()?.message(payload)?;
        Some(self.put_owned(DataFrame::new(kind).compressed(true), compressed))
    }

    /// Like [`put_compressed`](Self::put_compressed), for a message with many receivers. It is compressed once for all
    /// of them that have the same window and no context takeover.
    pub(super) fn put_prepared(
        &mut self,
        prepared: &PreparedMessage,
    ) -> Option<Result<(), SendError>> {
        let deflating = self.deflating.as_mut()?;
        let message = prepared.message();
        let frame = DataFrame::new(message.kind()).compressed(true);
        let Some(bits) = deflating.shares(message.len()) else {
            let compressed = deflating.message(message.as_bytes())?;
            return Some(self.put_owned(frame, compressed));
        };
        let (wire, head) = prepared.compressed(bits, |payload| deflating.message(payload))?;
        Some(self.put(frame, Source::Prepared { wire, head }))
    }

    pub(super) fn put_owned(
        &mut self,
        frame: DataFrame,
        payload: Vec<u8>,
    ) -> Result<(), SendError> {
        // The memory was allocated for the uncompressed message. Output may take at most twice the memory that it
        // counts.
        let roomy = payload.capacity() / 2 > payload.len();
        if payload.len() < SHARE || roomy || self.role() == Role::Client {
            self.put(frame, Source::Copied(&payload))
        } else {
            self.put(frame, Source::Shared(Bytes::from(payload)))
        }
    }
}
