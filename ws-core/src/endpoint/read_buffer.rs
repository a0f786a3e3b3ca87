//! The read buffer, in which messages are also put together.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use bytes::Bytes;

use crate::frame::MAX_HEADER_LEN;

/// The size of a new buffer. It grows to [`MAX_READ`] while reads fill it.
const MIN_READ: usize = 4 * 1024;
/// The most that is read at once, unless a single frame is longer. A frame with 64 KiB of payload and its header fits,
/// so that it need not be moved to make room for its last bytes.
const MAX_READ: usize = 64 * 1024 + MAX_HEADER_LEN;
/// The size up to which the buffer of a message longer than [`MAX_READ`] is kept for the next one. It has room for a
/// message of 1 MiB behind others. It is freed when less than a quarter of it is needed, or when the peer is silent
/// until a keepalive Ping or its Pong is due.
const KEEP_LONG: usize = 1024 * 1024 + MAX_READ;
/// Payloads of at least this many bytes are handed over with their buffer instead of being copied.
const HAND_OVER: usize = 4 * 1024;
/// Reads into an empty buffer begin at least this many bytes after the start of a page. Large allocations begin 16
/// bytes after it, and the memory that the kernel copies from begins right there. On some processors such a copy takes
/// ten times as long.
const MARGIN: usize = 64;
const PAGE: usize = 4096;

/// The memory holds, in this order: the room in front (see [`front`]), the message that is being put together, a gap
/// where headers were, bytes that are not parsed yet, and free space. All of it is initialised once per allocation.
///
/// A message of one frame lies in one piece, as it arrived. The payloads of further frames are moved up behind the
/// earlier ones.
pub(super) struct ReadBuffer {
    data: Vec<u8>,
    message: Option<Range<usize>>,
    start: usize,
    end: usize,
    read_size: usize,
    offered: usize,
    /// Whether space was offered since this was last asked.
    was_offered: bool,
    /// Whether the memory is shared with other connections, and has to be returned.
    lent: bool,
    /// The memory that was last handed over with a message. It is used again after the last owner of that message has
    /// dropped it.
    handed_over: Option<Box<Bytes>>,
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
            was_offered: false,
            lent: false,
            handed_over: None,
        }
    }

    /// Returns the bytes that are not parsed yet.
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

    /// Drops everything. Nothing will be put together any more.
    pub(super) fn discard(&mut self) {
        self.message = None;
        self.start = self.end;
    }

    /// Returns where the last `len` parsed bytes lie.
    #[inline]
    pub(super) fn last(&self, len: usize) -> Range<usize> {
        self.start.saturating_sub(len)..self.start
    }

    /// Adds the chunk whose last byte was just parsed. Returns the message if it is complete.
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

    /// Returns whether a message is being put together.
    #[inline]
    pub(super) fn has_message(&self) -> bool {
        self.message.is_some()
    }

    /// Returns the bytes of a complete message.
    #[inline]
    pub(super) fn get(&self, message: Range<usize>) -> &[u8] {
        self.data.get(message).unwrap_or_default()
    }

    /// Returns a complete message as owned bytes. A large message that fills at least half of the buffer takes the
    /// buffer along instead of being copied, so it keeps at most twice its size alive.
    #[inline]
    pub(super) fn take(&mut self, message: Range<usize>) -> Bytes {
        if message.len() < HAND_OVER {
            return Bytes::copy_from_slice(self.get(message));
        }
        self.take_long(message)
    }

    #[inline(never)]
    fn take_long(&mut self, message: Range<usize>) -> Bytes {
        let worth = self.data.len() / 2 <= with_margin(message.len());
        // Bytes may have been read into the space that was offered.
        if !worth || self.offered != 0 || message.end > self.data.len() {
            return Bytes::copy_from_slice(self.get(message));
        }
        let len = self.unread_len().max(self.read_size);
        let next = match self.handed_over.take() {
            // That memory is used again, and need not be zeroed.
            Some(before) if before.is_unique() && before.len() == with_margin(len) => {
                (*before).into()
            }
            _ => memory(len),
        };
        let data = Bytes::from(self.move_to(next));
        if data.len() <= with_margin(MAX_READ) {
            self.handed_over = Some(Box::new(data.clone()));
        }
        data.slice(message)
    }

    /// Returns free space to read into. `payload_left` is the number of bytes that the current frame still needs.
    ///
    /// A long frame is read exactly to its end, so that its message can be handed over.
    pub(super) fn spare(&mut self, payload_left: u64) -> &mut [u8] {
        self.was_offered = true;
        self.forget_parsed();
        let left = usize::try_from(payload_left).unwrap_or(usize::MAX);
        let half = self.read_size / 2;
        let long = left >= half;
        // A long message is not moved to make room for its last few bytes.
        let least = if left > 0 && self.held() >= half { left.min(half) } else { half };
        if self.data.len().saturating_sub(self.end) < least {
            self.compact();
        }
        if self.data.len().saturating_sub(self.end) < least {
            // This is in proportion to what has arrived, not to what the peer declares.
            let more = self.end.max(self.read_size);
            let more = match long {
                true if left / 2 <= more => left,
                true => more,
                false => self.read_size.max(self.end / 4),
            };
            // The content keeps its place in the buffer. Next time there is as much room behind the front.
            let len = with_margin(self.end.saturating_add(more));
            self.data.reserve_exact(len.saturating_sub(self.data.len()));
            self.data.resize(len, 0);
        }
        let free = self.data.get_mut(self.end..).unwrap_or_default();
        self.offered = free.len().min(if long { left } else { MAX_READ });
        free.get_mut(..self.offered).unwrap_or_default()
    }

    /// Reports that `count` bytes were read into the free space.
    pub(super) fn filled(&mut self, count: usize) {
        if count >= self.offered && self.offered >= self.read_size / 2 && self.read_size < MAX_READ
        {
            self.read_size = self.read_size.saturating_mul(2).min(MAX_READ);
        }
        self.end = self.end.saturating_add(count.min(self.offered)).min(self.data.len());
        self.offered = 0;
    }

    /// Returns whether free space was offered since this was last asked.
    pub(super) fn was_offered(&mut self) -> bool {
        core::mem::take(&mut self.was_offered)
    }

    /// Withdraws the free space that was offered.
    pub(super) fn withdraw(&mut self) {
        self.offered = 0;
    }

    /// Starts at the front again if nothing is held. A buffer that is larger than recently needed is freed.
    fn forget_parsed(&mut self) {
        if self.message.is_none() && self.start == self.end {
            // If nothing has arrived since the last time, `end` says nothing about how much is needed.
            let needed = self.end == front(&self.data) || self.end >= self.data.len() / 4;
            let keep = with_margin(if needed { KEEP_LONG } else { MAX_READ });
            if self.data.len() > keep || self.data.len() < with_margin(self.read_size) {
                self.data = memory(self.read_size);
            }
            self.start = front(&self.data);
            self.end = self.start;
        }
    }

    /// Frees the memory of a long message.
    pub(super) fn shrink(&mut self) {
        self.handed_over = None;
        if self.data.len() > with_margin(MAX_READ) {
            self.release();
        }
    }

    /// Moves the content to the front.
    fn compact(&mut self) {
        // In memory that has grown, the content may lie before the front.
        let first = self.message.as_ref().map_or(self.start, |message| message.start);
        let mut to = front(&self.data).min(first);
        if let Some(message) = self.message.take() {
            let moved = to..to.saturating_add(message.len());
            if message.start != to {
                self.data.copy_within(message, to);
            }
            to = moved.end;
            self.message = Some(moved);
        }
        if self.start != to {
            self.data.copy_within(self.start..self.end, to);
            self.end = to.saturating_add(self.unread_len());
            self.start = to;
        }
    }

    /// Takes shared memory to work in and moves the content there, unless the content is long enough for memory of its
    /// own.
    pub(super) fn lend(&mut self, shared: &mut Vec<u8>) {
        if self.lent || self.offered != 0 || self.held() > HAND_OVER {
            return;
        }
        if shared.len() < with_margin(MAX_READ) {
            *shared = memory(MAX_READ);
        }
        self.move_to(core::mem::take(shared));
        self.lent = true;
    }

    /// Returns the shared memory. The content moves into memory of its own, no larger than necessary unless it is
    /// long.
    pub(super) fn give_back(&mut self, shared: &mut Vec<u8>) {
        let lent = core::mem::take(&mut self.lent);
        self.handed_over = None;
        // Bytes may have been read into the space that was offered.
        if !lent && self.offered != 0 {
            return;
        }
        self.offered = 0;
        let held = self.held();
        if lent && self.data.len() == with_margin(MAX_READ) {
            *shared = self.move_to(memory(held));
        } else if held <= HAND_OVER && self.data.len() != with_margin(held) {
            // The memory was made for a long message that was reported, or in place of one that was handed over.
            self.move_to(memory(held));
        }
    }

    /// Moves the content to other memory, which has to be large enough. Returns the old memory.
    fn move_to(&mut self, data: Vec<u8>) -> Vec<u8> {
        let old = core::mem::replace(&mut self.data, data);
        let mut at = front(&self.data);
        let mut put = |from: Range<usize>| {
            let to = at..at.saturating_add(from.len());
            at = to.end;
            if let (Some(from), Some(to)) = (old.get(from), self.data.get_mut(to.clone())) {
                to.copy_from_slice(from);
            }
            to
        };
        self.message = self.message.take().map(&mut put);
        Range { start: self.start, end: self.end } = put(self.start..self.end);
        old
    }

    /// Returns how many bytes must not be lost.
    fn held(&self) -> usize {
        self.message.as_ref().map_or(0, Range::len).saturating_add(self.unread_len())
    }

    /// Returns whether more may be read before the content is parsed.
    pub(super) fn has_room(&self) -> bool {
        self.unread_len() < MAX_READ
    }

    /// Frees memory that holds nothing.
    pub(super) fn release(&mut self) {
        self.handed_over = None;
        if self.message.is_none() && self.start == self.end && self.offered == 0 {
            let Self { read_size, was_offered, .. } = *self;
            *self = Self { read_size, was_offered, ..Self::new() };
        }
    }
}

/// Returns the size of memory for `len` bytes. The rest of a frame that is kept between two visits needs no margin.
const fn with_margin(len: usize) -> usize {
    if len < MIN_READ { len } else { len.saturating_add(MARGIN) }
}

/// Allocates memory for `len` bytes behind its [`front`].
fn memory(len: usize) -> Vec<u8> {
    alloc::vec![0; with_margin(len)]
}

/// Returns where reads into empty memory begin.
fn front(memory: &[u8]) -> usize {
    if memory.len() < MIN_READ {
        return 0;
    }
    MARGIN.saturating_sub(memory.as_ptr().addr() % PAGE)
}

/// Shows lengths only, because the content may be long, and secret.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `count` bytes into an empty buffer. Returns how far from the start of a page they begin.
    fn read(buffer: &mut ReadBuffer, count: usize) -> usize {
        let free = buffer.spare(0);
        free[..count].fill(7);
        let offset = free.as_ptr().addr() % PAGE;
        buffer.filled(count);
        offset
    }

    #[test]
    fn reads_into_empty_memory_begin_behind_the_start_of_a_page() {
        let mut buffer = ReadBuffer::new();
        let mut others = Vec::new();
        for _ in 0..8 {
            // The buffer grows to its largest size and is then handed over, so each round has other memory.
            let room = buffer.spare(0).len();
            assert!(read(&mut buffer, room) >= MARGIN);
            buffer.consume(room);
            let message = buffer.last(room);
            others.push(buffer.take(message));
            assert!(others.iter().flatten().all(|byte| *byte == 7));
        }
        assert_eq!(buffer.read_size, MAX_READ);
        buffer.release();
        assert!(read(&mut buffer, 1) >= MARGIN);
    }

    #[test]
    fn memory_is_gone_on_in_when_nobody_has_its_message_any_more() {
        let mut buffer = ReadBuffer::new();
        // Returns a message that is as long as the memory, and its address.
        let message = |buffer: &mut ReadBuffer| {
            let room = buffer.spare(0).len();
            read(buffer, room);
            buffer.consume(room);
            let message = buffer.last(room);
            let message = buffer.take(message);
            let place = message.as_ptr();
            (message, place)
        };
        while buffer.read_size < MAX_READ {
            message(&mut buffer);
        }
        let places = [(); 6].map(|()| message(&mut buffer).1);
        assert_eq!(places[4], places[2], "one is read into, the other was handed over");
        assert_eq!(places[5], places[3]);
        // While somebody has a message, its memory is not used.
        let (held, place) = message(&mut buffer);
        let others = [(); 3].map(|()| message(&mut buffer).1);
        assert!(!others.contains(&place));
        assert!(held.iter().all(|byte| *byte == 7));
        let (last, _) = message(&mut buffer);
        assert!(!last.is_unique());
        buffer.shrink();
        assert!(last.is_unique());
        let (last, _) = message(&mut buffer);
        assert!(!last.is_unique());
        buffer.release();
        assert!(last.is_unique() && buffer.data.is_empty());
    }

    #[test]
    fn shared_memory_begins_behind_the_start_of_a_page_and_what_is_held_moves_along() {
        let mut shared = Vec::new();
        let mut buffer = ReadBuffer::new();
        buffer.lend(&mut shared);
        assert!(read(&mut buffer, 10) >= MARGIN);
        // The first five bytes of a message follow a header of two bytes, and three bytes are not parsed yet.
        buffer.unread()[2..].copy_from_slice(b"begunabc");
        buffer.consume(7);
        assert_eq!(buffer.chunk(5, true, false), None);
        buffer.give_back(&mut shared);
        assert_eq!((buffer.data.len(), shared.len()), (8, with_margin(MAX_READ)));
        assert_eq!(buffer.data, b"begunabc");
        assert_eq!(buffer.unread(), b"abc");

        buffer.lend(&mut shared);
        assert!(shared.is_empty());
        assert_eq!(buffer.unread(), b"abc");
        buffer.consume(3);
        let message = buffer.chunk(2, false, true).unwrap();
        assert_eq!(buffer.get(message), b"begunbc");
        assert!(read(&mut buffer, 1) >= MARGIN);
        buffer.consume(1);
        buffer.give_back(&mut shared);
        assert_eq!((buffer.data.len(), shared.len()), (0, with_margin(MAX_READ)));
    }
}
