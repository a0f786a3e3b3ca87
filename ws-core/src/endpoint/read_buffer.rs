//! The read buffer, in which messages are also put together.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use bytes::Bytes;

use crate::frame::MAX_HEADER_LEN;

/// The size of a fresh buffer; it grows to [`MAX_READ`] while reads fill it.
const MIN_READ: usize = 4 * 1024;
/// The most that is read at once, unless a single frame is longer: a frame with 64 KiB of payload and its header,
/// so that it need not be moved for the sake of its last bytes.
const MAX_READ: usize = 64 * 1024 + MAX_HEADER_LEN;
/// The most that is kept after a message that was longer than [`MAX_READ`], for the next one: a message of 1 MiB
/// behind others. What needs less than a quarter of it, or silence up to a keepalive Ping or its Pong, lets it go.
const KEEP_LONG: usize = 1024 * 1024 + MAX_READ;
/// Payloads from this size on are handed over with their buffer instead of being copied.
const HAND_OVER: usize = 4 * 1024;

/// Bytes in order: the message that is being put together, a gap where headers were, bytes that are
/// not parsed yet, free space. All of it is initialised once per allocation.
///
/// A message of one frame lies in one piece as it came; the payloads of further fragments
/// are moved up to the ones before.
pub(super) struct ReadBuffer {
    data: Vec<u8>,
    message: Option<Range<usize>>,
    start: usize,
    end: usize,
    read_size: usize,
    offered: usize,
    /// The memory is shared with other connections and goes back to them.
    lent: bool,
}

impl ReadBuffer {
    pub(super) const fn new() -> Self {
        Self {
            data: Vec::new(),
            message: None,
            start: 0,
            end: 0,
            read_size: MIN_READ,
            offered: 0,
            lent: false,
        }
    }

    /// The bytes that are not parsed yet.
    #[inline]
    pub(super) fn unread(&mut self) -> &mut [u8] {
        self.data.get_mut(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn unread_len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Marks bytes as parsed.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Drops all that is there: nothing will be put together any more.
    pub(super) fn discard(&mut self) {
        self.message = None;
        self.start = self.end;
    }

    /// Where the last `len` bytes that were parsed lie.
    #[inline]
    pub(super) fn last(&self, len: usize) -> Range<usize> {
        self.start.saturating_sub(len)..self.start
    }

    /// Adds the chunk that ends where parsing has got to; returns the message that it completes.
    #[inline]
    pub(super) fn chunk(&mut self, len: usize, start: bool, end: bool) -> Option<Range<usize>> {
        let chunk = self.start.saturating_sub(len)..self.start;
        let message = match (&self.message, start) {
            (Some(before), false) => {
                let to = before.end;
                if to != chunk.start {
                    self.data.copy_within(chunk, to);
                }
                before.start..to.saturating_add(len)
            }
            _ => chunk,
        };
        if end {
            self.message = None;
            Some(message)
        } else {
            self.message = Some(message);
            None
        }
    }

    /// Whether a message is being put together.
    #[inline]
    pub(super) fn has_message(&self) -> bool {
        self.message.is_some()
    }

    /// The bytes of a message that was completed.
    #[inline]
    pub(super) fn get(&self, message: Range<usize>) -> &[u8] {
        self.data.get(message).unwrap_or_default()
    }

    /// Takes a complete message as bytes of its own. A large one that fills at least half of the buffer keeps
    /// the buffer instead of being copied, so that it keeps at most twice its size alive.
    pub(super) fn take(&mut self, message: Range<usize>) -> Bytes {
        let len = message.len();
        let worth = len >= HAND_OVER && self.data.len() / 2 <= len;
        // Bytes may have been read into the space that is on offer.
        if !worth || self.offered != 0 || message.end > self.data.len() {
            return Bytes::copy_from_slice(self.get(message));
        }
        let data = core::mem::take(&mut self.data);
        if let Some(unread) = data.get(self.start..self.end) {
            self.data = alloc::vec![0; unread.len().max(self.read_size)];
            if let Some(to) = self.data.get_mut(..unread.len()) {
                to.copy_from_slice(unread);
            }
        }
        self.end = self.end.saturating_sub(self.start);
        self.start = 0;
        Bytes::from(data).slice(message)
    }

    /// Free space to read into, when the frame in hand lacks `payload_left` more bytes.
    ///
    /// A long frame is read exactly to its end, so that its message can be handed over.
    pub(super) fn spare(&mut self, payload_left: u64) -> &mut [u8] {
        self.forget_parsed();
        let left = usize::try_from(payload_left).unwrap_or(usize::MAX);
        let half = self.read_size / 2;
        let long = left >= half;
        // What is long is not moved for the sake of the few bytes that it lacks.
        let least = if left > 0 && self.held() >= half { left.min(half) } else { half };
        if self.data.len().saturating_sub(self.end) < least {
            self.compact();
        }
        if self.data.len().saturating_sub(self.end) < least {
            // In proportion to what has arrived, whatever is declared.
            let more = self.end.max(self.read_size);
            let more = match long {
                true if left / 2 <= more => left,
                true => more,
                false => self.read_size.max(self.end / 4),
            };
            let len = self.end.saturating_add(more);
            self.data.reserve_exact(len.saturating_sub(self.data.len()));
            self.data.resize(len, 0);
        }
        let free = self.data.get_mut(self.end..).unwrap_or_default();
        self.offered = free.len().min(if long { left } else { MAX_READ });
        free.get_mut(..self.offered).unwrap_or_default()
    }

    /// Tells that `count` bytes were read into the free space.
    pub(super) fn filled(&mut self, count: usize) {
        if count >= self.offered && self.offered >= self.read_size / 2 && self.read_size < MAX_READ
        {
            self.read_size = self.read_size.saturating_mul(2).min(MAX_READ);
        }
        self.end = self.end.saturating_add(count.min(self.offered)).min(self.data.len());
        self.offered = 0;
    }

    /// Takes the offer of free space back.
    pub(super) fn withdraw(&mut self) {
        self.offered = 0;
    }

    /// Starts over when nothing is held; a buffer that is larger than was needed since is let go then.
    fn forget_parsed(&mut self) {
        if self.message.is_none() && self.start == self.end {
            // Nothing has come since it was asked last: that says nothing about what is needed.
            let needed = self.end == 0 || self.end >= self.data.len() / 4;
            let keep = if needed { KEEP_LONG } else { MAX_READ };
            (self.start, self.end) = (0, 0);
            if self.data.len() > keep || self.data.len() < self.read_size {
                self.data = alloc::vec![0; self.read_size];
            }
        }
    }

    /// Lets go of memory that was needed for a long message.
    pub(super) fn shrink(&mut self) {
        if self.data.len() > MAX_READ {
            self.release();
        }
    }

    /// Moves what is held to the front.
    fn compact(&mut self) {
        let mut front = 0;
        if let Some(message) = self.message.take() {
            front = message.len();
            if message.start != 0 {
                self.data.copy_within(message, 0);
            }
            self.message = Some(0..front);
        }
        if self.start != front {
            self.data.copy_within(self.start..self.end, front);
            self.end = front.saturating_add(self.unread_len());
            self.start = front;
        }
    }

    /// Takes shared memory to work in, with what is held; unless that is worth memory of its own.
    pub(super) fn lend(&mut self, shared: &mut Vec<u8>) {
        if self.lent || self.offered != 0 || self.held() > HAND_OVER {
            return;
        }
        if shared.len() < MAX_READ {
            *shared = alloc::vec![0; MAX_READ];
        }
        self.move_to(core::mem::take(shared));
        self.lent = true;
    }

    /// Gives shared memory back; what is held goes on in memory of its own, in no more than it needs
    /// unless it is long.
    pub(super) fn give_back(&mut self, shared: &mut Vec<u8>) {
        let lent = core::mem::take(&mut self.lent);
        // Bytes may have been read into the space that is on offer.
        if !lent && self.offered != 0 {
            return;
        }
        self.offered = 0;
        let held = self.held();
        if lent && self.data.len() == MAX_READ {
            *shared = self.move_to(alloc::vec![0; held]);
        } else if held <= HAND_OVER && self.data.len() != held {
            // Made for a long message that has been told, or in place of one that was handed over.
            self.move_to(alloc::vec![0; held]);
        }
    }

    /// Goes on in other memory, which is large enough for what is held.
    fn move_to(&mut self, mut data: Vec<u8>) -> Vec<u8> {
        self.compact();
        if let Some(to) = data.get_mut(..self.end) {
            to.copy_from_slice(self.data.get(..self.end).unwrap_or_default());
        }
        core::mem::replace(&mut self.data, data)
    }

    /// How many bytes must not be lost.
    fn held(&self) -> usize {
        self.message.as_ref().map_or(0, Range::len).saturating_add(self.unread_len())
    }

    /// Whether more may be buffered before what is there is parsed.
    pub(super) fn has_room(&self) -> bool {
        self.unread_len() < MAX_READ
    }

    /// Lets go of memory that holds nothing.
    pub(super) fn release(&mut self) {
        if self.message.is_none() && self.start == self.end && self.offered == 0 {
            *self = Self { read_size: self.read_size, ..Self::new() };
        }
    }
}

/// How much there is, not what: it may be long, and secret.
impl fmt::Debug for ReadBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadBuffer")
            .field("size", &self.data.len())
            .field("unread", &self.unread_len())
            .field("message", &self.message)
            .field("lent", &self.lent)
            .finish_non_exhaustive()
    }
}
