//! The output: bytes that have to be written to the stream.
//!
//! [`Outbound`] appends to it. A driver either borrows it as [`Pending`], which reports to the endpoint what was
//! written, or takes a batch of it with [`take_output`](super::Outbound::take_output).

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use bytes::{Buf, Bytes};

use super::{HOLD, Outbound};
use crate::frame::copy;

/// Payloads of at least this many bytes are shared instead of copied into the output.
pub(super) const SHARE: usize = 4096;
/// A larger buffer is freed when everything is written, unless at least a quarter of it was needed. This size holds the
/// output that stops further events, plus one more payload that is not shared.
const KEEP: usize = HOLD + 2 * SHARE;
/// A buffer larger than this is freed in any case. It has room for another message of 1 MiB.
const KEEP_LONG: usize = 1024 * 1024 + KEEP;
/// A list of shared payloads with a larger capacity is freed too.
const KEEP_SEGMENTS: usize = 256;

/// Bytes that have to be written to the stream, as a queue of segments.
///
/// It implements `bytes::Buf`. Write [`chunk`](Output::chunk), or everything that [`slices`](Output::slices) returns, then
/// [`advance`](Output::advance) by the number of bytes that were written. A driver that writes while the endpoint is in
/// use has an `Output` of its own, which [`Outbound::take_output`] fills.
#[derive(Default)]
pub struct Output {
    /// Headers, small payloads and masked payloads, one after the other, and room behind them, which was
    /// initialised when it was allocated.
    copied: Vec<u8>,
    /// Where the bytes in `copied` end.
    end: usize,
    /// How many bytes of `copied` are written.
    written: usize,
    /// Shared payloads, each with its position in `copied`.
    shared: VecDeque<(usize, Bytes)>,
    shared_len: usize,
}

impl Output {
    /// Returns the number of waiting bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.end.wrapping_sub(self.written).saturating_add(self.shared_len)
    }

    /// Returns whether the output is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.written == self.end && self.shared.is_empty()
    }

    /// Returns the first segment, which is empty only if the output is.
    #[inline]
    pub fn chunk(&self) -> &[u8] {
        self.slices().next().unwrap_or_default()
    }

    /// Returns all segments in order.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = self.written;
        let mut shared = self.shared.iter();
        let mut next = shared.next();
        core::iter::from_fn(move || {
            let end = next.map_or(self.end, |(place, _)| *place);
            if at < end {
                let segment = self.copied.get(at..end);
                at = end;
                return segment;
            }
            let (_, segment) = next?;
            next = shared.next();
            Some(segment)
        })
    }

    /// Removes and returns the first segment, for a stream that has to own what it writes. A shared payload is not
    /// copied.
    pub fn pop(&mut self) -> Option<Bytes> {
        let len = self.chunk().len();
        let segment = match self.shared.front() {
            Some((place, bytes)) if *place == self.written => bytes.clone(),
            _ => Bytes::copy_from_slice(self.chunk()),
        };
        self.advance(len);
        (len != 0).then_some(segment)
    }

    /// Removes `count` bytes from the front, or everything if there are fewer.
    pub fn advance(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let end = self.shared.front().map_or(self.end, |(place, _)| *place);
            let copied = end.saturating_sub(self.written);
            if copied > 0 {
                let step = copied.min(left);
                self.written = self.written.saturating_add(step);
                left = left.saturating_sub(step);
                continue;
            }
            let Some((_, bytes)) = self.shared.front_mut() else { break };
            let step = bytes.len().min(left);
            bytes.advance(step);
            left = left.saturating_sub(step);
            self.shared_len = self.shared_len.saturating_sub(step);
            if bytes.is_empty() {
                self.shared.pop_front();
            }
        }
        if self.is_empty() {
            self.reset();
        }
    }

    /// Makes room for at least `most` bytes, into which `write` writes. `write` returns the number of bytes that it has
    /// written.
    #[inline]
    pub(super) fn append_with(&mut self, most: usize, write: impl FnOnce(&mut [u8]) -> usize) {
        if self.copied.len().wrapping_sub(self.end) < most {
            self.make_room(most);
        }
        if let Some(room) = self.copied.get_mut(self.end..) {
            let room_len = room.len();
            self.end = self.end.wrapping_add(write(room).min(room_len));
        }
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.append_with(bytes.len(), |room| copy(bytes, room));
    }

    #[cold]
    fn make_room(&mut self, most: usize) {
        if self.written > KEEP && self.written > self.end / 2 {
            self.copied.copy_within(self.written..self.end, 0);
            self.move_places();
        }
        let end = self.end.saturating_add(most);
        if end > self.copied.len() {
            self.grow(end);
        }
    }

    fn grow(&mut self, least: usize) {
        let double = self.copied.len().saturating_mul(2);
        let len = least.max(if least <= KEEP { double.min(KEEP) } else { double });
        if self.end == 0 {
            self.copied = alloc::vec![0; len];
        } else {
            self.copied.reserve_exact(len.saturating_sub(self.copied.len()));
            self.copied.resize(len, 0);
        }
    }

    /// Adjusts the positions after the bytes that were written have been removed from `copied`.
    fn move_places(&mut self) {
        for (place, _) in &mut self.shared {
            *place = place.saturating_sub(self.written);
        }
        self.end = self.end.saturating_sub(self.written);
        self.written = 0;
    }

    pub(super) fn share(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.shared_len = self.shared_len.saturating_add(bytes.len());
            self.shared.push_back((self.end, bytes));
        }
    }

    fn reset(&mut self) {
        // An empty buffer says nothing about how much is needed.
        let needed = self.end == 0 || self.end >= self.copied.len() / 4;
        if self.copied.len() > if needed { KEEP_LONG } else { KEEP } {
            self.copied = Vec::new();
        }
        (self.end, self.written) = (0, 0);
        if self.shared.capacity() > KEEP_SEGMENTS {
            self.shared = VecDeque::new();
        }
    }

    /// Takes shared memory to work in, if it has none of its own.
    pub(super) fn lend(&mut self, shared: &mut Vec<u8>) {
        if self.is_empty() && self.copied.is_empty() {
            self.copied = core::mem::take(shared);
        }
    }

    /// Returns the shared memory. Output that is still waiting moves into memory of its own, no larger than necessary.
    pub(super) fn give_back(&mut self, shared: &mut Vec<u8>) {
        if self.is_empty() {
            self.shrink();
            self.reset();
            *shared = core::mem::take(&mut self.copied);
            self.shared = VecDeque::new();
            return;
        }
        let waiting = self.copied.get(self.written..self.end).unwrap_or_default();
        if self.copied.len() / 2 > waiting.len() {
            let waiting = waiting.to_vec();
            let copied = core::mem::replace(&mut self.copied, waiting);
            self.move_places();
            if (shared.len()..=KEEP).contains(&copied.len()) {
                *shared = copied;
            }
        }
    }

    /// Frees the memory of a long output.
    pub(super) fn shrink(&mut self) {
        if self.copied.len() > KEEP && self.is_empty() {
            self.copied = Vec::new();
        }
    }

    /// Like [`shrink`](Self::shrink), but only if the output that replaces it is short.
    pub(super) fn shrink_to(&mut self, instead: &Self) {
        if instead.end < self.copied.len() / 4 {
            self.shrink();
        }
    }

    /// Frees memory that holds nothing.
    pub(super) fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

/// Shows lengths only, because the content may be long, and secret.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Buf for Output {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        Output::chunk(self)
    }

    fn advance(&mut self, count: usize) {
        Output::advance(self, count);
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, to: &mut [std::io::IoSlice<'a>]) -> usize {
        let segments = self.slices();
        to.iter_mut().zip(segments).map(|(to, from)| *to = std::io::IoSlice::new(from)).count()
    }
}

/// The output of an endpoint, to be written to the stream: [`Next::Write`](super::Next::Write).
///
/// It dereferences to [`Output`], and implements `bytes::Buf`. Write some of it, then [`advance`](Self::advance) by the number of
/// bytes that the stream has accepted.
#[derive(Debug)]
pub struct Pending<'a>(pub(super) &'a mut Outbound);

impl Pending<'_> {
    /// Reports that the stream has accepted `count` more bytes.
    pub fn advance(&mut self, count: usize) {
        self.0.advance(count);
    }
}

impl Deref for Pending<'_> {
    type Target = Output;

    fn deref(&self) -> &Output {
        &self.0.output
    }
}

impl Buf for Pending<'_> {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        Output::chunk(self)
    }

    fn advance(&mut self, count: usize) {
        self.0.advance(count);
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, to: &mut [std::io::IoSlice<'a>]) -> usize {
        Output::chunks_vectored(self, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> (Output, Vec<u8>) {
        let mut output = Output::default();
        output.share(Bytes::from_static(b"first"));
        output.append(b"head");
        output.share(Bytes::from_static(b"payload"));
        output.share(Bytes::from_static(b"more"));
        output.share(Bytes::new());
        output.append(b"tail");
        (output, b"firstheadpayloadmoretail".to_vec())
    }

    #[test]
    fn output_keeps_its_order_whatever_is_written_at_once() {
        for step in 1..30 {
            let (mut output, expected) = filled();
            let mut got = Vec::new();
            while output.has_remaining() {
                assert_eq!(output.len(), expected.len() - got.len());
                assert_eq!(output.slices().map(<[u8]>::len).sum::<usize>(), output.len());
                let all: Vec<u8> = output.slices().flatten().copied().collect();
                let n = step.min(all.len());
                got.extend_from_slice(&all[..n]);
                output.advance(n);
            }
            assert_eq!(got, expected);
            assert!(output.is_empty());
        }
    }

    #[test]
    fn output_gives_its_segments_away() {
        let (mut output, expected) = filled();
        let payload = output.shared[1].1.as_ptr();
        let mut segments = Vec::new();
        while let Some(segment) = output.pop() {
            segments.push(segment);
        }
        assert_eq!(segments.concat(), expected);
        assert_eq!(segments.len(), 5);
        assert_eq!(segments[2].as_ptr(), payload, "not a copy");
        assert!(output.is_empty() && output.shared_len == 0);
    }

    #[cfg(feature = "std")]
    #[test]
    fn output_is_written_by_vectored_writes() {
        let (output, expected) = filled();
        for room in 0..8 {
            let mut slices = [std::io::IoSlice::new(&[]); 8];
            let count = output.chunks_vectored(&mut slices[..room]);
            assert_eq!(count, room.min(5));
            let got: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
            assert!(expected.starts_with(&got) && (room < 5 || got == expected));
        }
    }

    #[test]
    fn output_advances_past_its_end_without_harm() {
        let (mut output, _) = filled();
        output.advance(usize::MAX);
        assert!(output.is_empty());
        assert_eq!(output.chunk(), b"");
    }
}
