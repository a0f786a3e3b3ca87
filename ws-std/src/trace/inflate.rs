//! Inflates compressed messages for a trace.
//!
//! This module does not need to know what was agreed on: RSV1 marks a compressed message, and the largest window also
//! inflates messages of smaller windows, with or without context takeover.

use std::fmt;

use ws_core::MessageKind;
use ws_core::deflate::{Inflater, Limits, Need, Pool, WindowBits};
use ws_core::frame::{FrameHeader, MaskingKey, OpCode, mask};

use super::TRACED_PAYLOAD;

/// How much is unmasked and inflated at a time, in bytes: a multiple of the masking key's length.
const PIECE: usize = 4096;

/// The compressed messages of one direction.
pub(super) struct Inflating {
    pool: Pool,
    /// Present once a compressed message has been seen.
    inflater: Option<Inflater>,
    /// The compressed message that is being transmitted.
    open: Option<Inflated>,
    /// Whether something could not be inflated, in which case what follows cannot be inflated either.
    failed: bool,
    /// Whether the current data frame ends its message.
    fin: bool,
    /// How many bytes of its payload are still to come.
    left: u64,
    key: Option<MaskingKey>,
    /// The position of the next byte in the masking key.
    phase: usize,
}

/// A message: its kind, its length and its first bytes.
pub(super) struct Inflated {
    pub(super) kind: MessageKind,
    pub(super) len: u64,
    pub(super) start: Vec<u8>,
}

impl Inflating {
    pub(super) fn new(pool: &Pool) -> Self {
        Self {
            pool: pool.clone(),
            inflater: None,
            open: None,
            failed: false,
            fin: false,
            left: 0,
            key: None,
            phase: 0,
        }
    }

    /// Starts a frame. `payload` is the start of its payload, unmasked. Returns the message that ends with it.
    pub(super) fn frame(&mut self, header: &FrameHeader, payload: &[u8]) -> Option<Inflated> {
        let kind = match header.opcode {
            OpCode::Text => Some(MessageKind::Text),
            OpCode::Binary => Some(MessageKind::Binary),
            OpCode::Continuation => None,
            // A control frame, which may come between the fragments of a message.
            _ => return None,
        };
        if let Some(kind) = kind {
            // A message inside another one is a protocol error.
            self.failed |= self.open.is_some();
            let is_compressed = header.rsv1 && !self.failed;
            self.open = is_compressed.then(|| Inflated { kind, len: 0, start: Vec::new() });
        }
        (self.fin, self.left) = (header.fin, header.len);
        (self.key, self.phase) = (header.mask, payload.len() % 4);
        self.inflate(payload)
    }

    /// Adds more of the frame's payload, as transmitted. Returns the message that ends with it.
    pub(super) fn more(&mut self, wire: &[u8]) -> Option<Inflated> {
        self.open.as_ref()?;
        let mut ended = None;
        let mut room = Vec::with_capacity(PIECE.min(wire.len()).saturating_add(4));
        for piece in wire.chunks(PIECE) {
            // The key begins with the first byte that is masked.
            room.clear();
            room.resize(self.phase, 0);
            room.extend_from_slice(piece);
            if let Some(key) = self.key {
                mask(&mut room, key);
            }
            let start = self.phase;
            self.phase = room.len() % 4;
            ended = self.inflate(room.get(start..).unwrap_or_default());
        }
        ended
    }

    fn inflate(&mut self, payload: &[u8]) -> Option<Inflated> {
        self.left = self.left.saturating_sub(payload.len() as u64);
        let message = self.open.as_mut()?;
        let inflater = self.inflater.get_or_insert_with(|| {
            let limits = Limits::new().max_message(u64::MAX);
            Inflater::new(&self.pool, WindowBits::MAX, limits)
        });
        let end = self.fin && self.left == 0;
        let mut room = [0; PIECE];
        let mut rest = payload;
        loop {
            let Ok(done) = inflater.inflate(rest, end, &mut room) else {
                (self.open, self.inflater, self.failed) = (None, None, true);
                return None;
            };
            rest = rest.get(done.consumed..).unwrap_or_default();
            message.len = message.len.saturating_add(done.produced as u64);
            let shown = TRACED_PAYLOAD.saturating_sub(message.start.len()).min(done.produced);
            message.start.extend_from_slice(room.get(..shown).unwrap_or_default());
            match done.need {
                Need::Output => {}
                Need::Input => return None,
                Need::Nothing => return self.open.take(),
            }
        }
    }
}

/// Shows no content, because it may be secret.
impl fmt::Debug for Inflating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflating").field("left", &self.left).finish_non_exhaustive()
    }
}
