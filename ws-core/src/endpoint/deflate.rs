//! permessage-deflate of an endpoint (RFC 7692): what is agreed, and the messages on their way through the engines.
//!
//! [`Inflating`] belongs to the receiving side and [`Deflating`] to the sending side. Between two messages each holds the
//! last plaintext of its direction, at most a window of it, and nothing else.

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

/// Messages shorter than this, in bytes, are sent as they are.
const LEAST: usize = 64;
/// The first room for an inflated message, and the most that one piece of a streamed message takes, in bytes.
const FIRST: usize = 1024;
const PIECE: usize = 16 * 1024;
/// Messages from this size on are handed over with their memory instead of being copied.
const HAND_OVER: usize = 4 * 1024;

/// How an endpoint uses permessage-deflate (RFC 7692), for [`Options::deflate`](super::Options::deflate).
///
/// A server agrees to it when a client offers it; a client offers it. Once it is agreed on, each message of at least
/// [`least`](Self::least) bytes is compressed if that makes it shorter. One that is made piece by piece is compressed in
/// any case, because its length is not known when it begins.
///
/// It costs time for each message, and memory for each connection: the windows, 4 KiB for each direction at 12 bits. The
/// engines are shared by all connections of a [`Pool`]. Do not compress secrets together with text that an attacker can
/// choose: the length of the result tells how much they have in common (RFC 7692 §8). For such messages, see
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
    /// What was agreed in a handshake elsewhere.
    pub(super) agreed: Option<DeflateParams>,
}

impl Compression {
    /// The defaults, with the engines of this pool: level 1, messages from 64 bytes on, any ratio.
    ///
    /// Connections that are driven by the same threads share a pool.
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

    /// What is offered or agreed to: the windows, and whether they last from one message to the next.
    #[must_use]
    pub fn negotiation(mut self, config: DeflateConfig) -> Self {
        self.negotiation = config;
        self
    }

    /// How hard messages are compressed, as [`DeflateOptions::level`]. Default 1.
    #[must_use]
    pub fn level(mut self, level: u8) -> Self {
        self.options = self.options.level(level);
        self
    }

    /// How much memory an engine has for that, as [`DeflateOptions::mem_level`]. Default 8.
    #[must_use]
    pub fn mem_level(mut self, mem_level: u8) -> Self {
        self.options = self.options.mem_level(mem_level);
        self
    }

    /// The shortest message that is compressed, in bytes. Default 64: a shorter one saves little, and costs the peer
    /// as much as a longer one.
    #[must_use]
    pub fn least(mut self, bytes: usize) -> Self {
        self.least = bytes;
        self
    }

    /// How many times longer than its payload a received message may become, as
    /// [`Limits::max_ratio`]. Default any: [`Config::max_message`](crate::Config::max_message) bounds what a message may come to.
    #[must_use]
    pub fn max_ratio(mut self, ratio: Option<u32>) -> Self {
        self.max_ratio = ratio;
        self
    }

    /// What was agreed in an opening handshake that was done elsewhere, for
    /// [`Endpoint::server_after_handshake`](crate::Endpoint::server_after_handshake) and its like. Without it, their
    /// messages are not compressed. An endpoint that does the handshake itself does not look at it.
    #[must_use]
    pub fn agreed(mut self, params: DeflateParams) -> Self {
        self.agreed = Some(params);
        self
    }

    /// What a client offers.
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

/// The defaults, with a pool of its own: its clones share that.
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

/// Received messages that were compressed.
pub(super) struct Inflating {
    inflater: Inflater,
    text: Utf8Validator,
    /// What the open message has come to, and room behind it that was initialised when it was allocated.
    plain: Vec<u8>,
    end: usize,
    /// A message has begun, and not ended.
    open: bool,
    /// A part of a payload that is not inflated to its end.
    pending: Option<Pending>,
    /// The room that the longest message needs: with a byte more, so that its end is seen.
    most: usize,
}

struct Pending {
    payload: Range<usize>,
    piece: Piece,
}

/// See [`Inflating::most`].
fn most(max_message: u64) -> usize {
    usize::try_from(max_message).unwrap_or(usize::MAX).saturating_add(1)
}

impl Inflating {
    pub(super) fn set_max_message(&mut self, bytes: u64) {
        self.inflater.set_max_message(bytes);
        self.most = most(bytes);
    }

    /// Whether there is more to tell before anything else is parsed.
    pub(super) const fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Adds a part of a payload, all of it; returns the message that it completes.
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

    /// Makes room in proportion to what has come.
    fn grow(&mut self, payload: usize) {
        let more = self.end.max(payload.saturating_mul(2)).max(FIRST);
        let len = self.end.saturating_add(more).min(self.most).max(self.end.saturating_add(1));
        self.plain.reserve_exact(len.saturating_sub(self.plain.len()));
        self.plain.resize(len, 0);
    }

    /// Adds a part of a payload that is told in pieces, and lies at `range`: [`next_piece`](Self::next_piece) inflates it.
    pub(super) fn push_pending(&mut self, range: Range<usize>, piece: Piece) {
        self.pending = Some(Pending { payload: range, piece });
    }

    /// Inflates the next piece of what is pending; `payload` are the bytes at a place.
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
        // There is nothing to tell of a part that came to nothing.
        let told = start || end || self.end > 0;
        let range = 0..self.end;
        Ok(told.then_some(Place::Chunk { kind, range, start, end, inflated: true }))
    }

    /// Inflates into the room behind what there is, and checks the text of it.
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

    /// Takes what was inflated as bytes of its own: with its memory, if it is long and fills at least half of it.
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

    /// Lets go of the memory of a message that was told.
    pub(super) fn release(&mut self) {
        if !self.open {
            (self.plain, self.end) = (Vec::new(), 0);
        }
    }
}

/// How much there is, not what: it may be long, and secret.
impl fmt::Debug for Inflating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflating").field("end", &self.end).finish_non_exhaustive()
    }
}

/// Messages that are compressed when they are sent.
#[derive(Debug)]
pub(super) struct Deflating {
    pub(super) params: DeflateParams,
    /// Without context takeover, all connections with the same window compress a message to the same.
    shares: Option<WindowBits>,
    deflater: Deflater,
    least: usize,
    /// Whether messages that begin from now on are compressed.
    pub(super) is_on: bool,
    /// Whether the message that is made piece by piece is compressed.
    open: bool,
}

impl Deflating {
    /// The window, if a message of this length is compressed, and to the same as on other connections.
    pub(super) fn shares(&self, len: usize) -> Option<WindowBits> {
        self.shares.filter(|_| self.is_on && len >= self.least)
    }

    /// Compresses a whole message, if that makes it shorter.
    pub(super) fn message(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if !self.is_on || payload.len() < self.least {
            return None;
        }
        let mut compressed = Vec::new();
        self.deflater.compress(payload, &mut compressed).then_some(compressed)
    }

    /// Compresses a piece of a message, if that is compressed: how long it becomes is not known then.
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

/// What a sending side has for compressed messages.
impl Outbound {
    /// A server agrees to the client's request, or a client's was agreed to.
    pub(super) fn set_deflate(&mut self, params: &DeflateParams) {
        if let Some(compression) = &self.compression {
            let mut deflating = compression.deflating(self.role(), params);
            deflating.is_on = self.compresses;
            self.deflating = Some(Box::new(deflating));
            self.sender.set_compression();
        }
    }

    /// What was agreed about permessage-deflate, once the connection is open; `None` without it.
    #[must_use]
    pub fn deflate(&self) -> Option<DeflateParams> {
        self.deflating.as_ref().map(|deflating| deflating.params)
    }

    /// Whether messages that begin from now on are compressed, if permessage-deflate was agreed on. Default `true`.
    ///
    /// For a secret that stands beside text that an attacker can choose, and for what is compressed already. It can be
    /// set before the connection is open, too.
    pub fn set_compression(&mut self, compress: bool) {
        self.compresses = compress;
        if let Some(deflating) = &mut self.deflating {
            deflating.is_on = compress;
        }
    }

    /// Whether messages that begin from now on are compressed, as [`Compression`] says which.
    #[must_use]
    pub fn is_compressing(&self) -> bool {
        self.deflating.as_ref().is_some_and(|deflating| deflating.is_on)
    }

    /// Puts a message that was checked into the output, compressed; `None` if it is to be sent as it is.
    #[inline]
    pub(super) fn put_compressed(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
    ) -> Option<Result<(), SendError>> {
        let compressed = self.deflating.as_mut()?.message(payload)?;
        Some(self.put_owned(DataFrame::new(kind).compressed(true), compressed))
    }

    /// As [`put_compressed`](Self::put_compressed), of a message that many receive: where they agree, it is compressed
    /// once.
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
        // It has room for the message: what waits holds at most twice what it counts.
        let roomy = payload.capacity() / 2 > payload.len();
        if payload.len() < SHARE || roomy || self.role() == Role::Client {
            self.put(frame, Source::Copied(&payload))
        } else {
            self.put(frame, Source::Shared(Bytes::from(payload)))
        }
    }
}
