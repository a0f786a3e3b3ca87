//! Output that was taken from an endpoint to be written, and how much of it may be reported as written.
//!
//! A stream may hold written bytes back, as TLS does. So bytes count as output until the flush that follows them
//! has succeeded. Sometimes the stream only says that the peer has taken some of the bytes that it holds back. Then one byte is
//! reported early, as a sign of life. The last byte is never reported early: when everything is reported, everything
//! is written.

use std::io::IoSlice;
use std::mem;

use ws_core::endpoint::Output;

/// The largest number of slices in one write.
pub(crate) const SLICES: usize = 16;

/// Output on its way from the endpoint to the peer.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) output: Output,
    /// How many bytes at the end of the output were written and not yet flushed.
    unflushed: usize,
    /// How many bytes were reported before it was known which ones the peer took.
    told_early: usize,
}

impl Batch {
    /// Returns whether nothing is left to be written. Some bytes may still have to be flushed.
    pub(crate) fn is_empty(&self) -> bool {
        self.output.is_empty()
    }

    /// Returns whether everything is written and flushed.
    pub(crate) fn is_done(&self) -> bool {
        self.output.is_empty() && self.unflushed == 0
    }

    /// Returns how many bytes were taken from the endpoint and not yet reported as written.
    pub(crate) fn in_flight(&self) -> usize {
        self.len().saturating_sub(self.told_early)
    }

    fn len(&self) -> usize {
        self.output.len().saturating_add(self.unflushed)
    }

    /// Fills in the first slices that are to be written. Returns their number and their length in bytes.
    pub(crate) fn slices<'b>(&'b self, slices: &mut [IoSlice<'b>; SLICES]) -> (usize, usize) {
        let mut count = 0_usize;
        let mut len = 0_usize;
        for (slot, slice) in slices.iter_mut().zip(self.output.slices()) {
            *slot = IoSlice::new(slice);
            count = count.saturating_add(1);
            len = len.saturating_add(slice.len());
        }
        (count, len)
    }

    /// Notes that the stream has taken some bytes. Returns how many can be reported; the last ones wait for a flush.
    pub(crate) fn written(&mut self, count: usize) -> usize {
        self.output.advance(count);
        if self.output.is_empty() {
            self.unflushed = self.unflushed.saturating_add(count);
            return 0;
        }
        self.not_told(count)
    }

    /// Notes that the stream holds nothing back. Returns how many bytes can be reported.
    pub(crate) fn flushed(&mut self) -> usize {
        let count = mem::take(&mut self.unflushed);
        self.not_told(count)
    }

    /// Notes that the peer has taken some of the bytes that the stream holds back. Returns how many can be reported.
    pub(crate) fn progress(&mut self) -> usize {
        let told = self.told_early.saturating_add(1);
        if told < self.len() {
            self.told_early = told;
            return 1;
        }
        0
    }

    fn not_told(&mut self, count: usize) -> usize {
        let early = self.told_early.min(count);
        self.told_early = self.told_early.saturating_sub(early);
        count.saturating_sub(early)
    }
}

#[cfg(test)]
mod tests {
    use ws_core::Config;
    use ws_core::endpoint::Endpoint;

    use super::*;

    /// Returns a batch with one frame of 102 bytes, and its endpoint.
    fn batch() -> (Batch, Endpoint) {
        let mut endpoint = Endpoint::server_after_handshake(Config::new(), b"");
        let mut batch = Batch::default();
        endpoint.outbound.queue(vec![7; 100]).unwrap();
        endpoint.outbound.take_output(&mut batch.output);
        assert_eq!((batch.in_flight(), batch.is_empty()), (102, false));
        (batch, endpoint)
    }

    #[test]
    fn the_end_of_a_batch_is_reported_once_it_is_flushed() {
        let (mut batch, _endpoint) = batch();
        assert_eq!(batch.written(50), 50);
        assert_eq!(batch.written(52), 0);
        assert_eq!((batch.is_empty(), batch.is_done(), batch.in_flight()), (true, false, 52));
        assert_eq!(batch.flushed(), 52);
        assert_eq!((batch.is_done(), batch.in_flight()), (true, 0));
    }

    #[test]
    fn progress_is_reported_byte_by_byte_but_for_the_last() {
        let (mut batch, _endpoint) = batch();
        assert_eq!(batch.written(99), 99);
        assert_eq!(batch.written(3), 0);
        assert_eq!([(); 4].map(|()| batch.progress()), [1, 1, 0, 0]);
        assert_eq!(batch.in_flight(), 1);
        assert_eq!(batch.flushed(), 1);
        assert!(batch.is_done());
    }
}
