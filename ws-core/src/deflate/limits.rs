//! The limits of inflated messages.

/// How long an inflated message may be.
///
/// A message that exceeds a limit fails with
/// [`ProtocolError::MessageTooLarge`](crate::ProtocolError::MessageTooLarge) as soon as it is inflated that far. So the limits,
/// not the peer's compression, bound its memory and work.
///
/// A peer may end its compressed data in the middle of a message and begin again (RFC 7692 §7.2.3.4), which takes as much work as
/// about 1 KiB of text. A message that does so more than 64 times, and more often than once for each KiB that it may be long, is
/// too large, too.
///
/// ```
/// use ws_core::deflate::Limits;
///
/// const LIMITS: Limits = Limits::new().max_message(64 * 1024).max_ratio(Some(200));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    pub(super) max_message: u64,
    /// Zero means any ratio.
    pub(super) max_ratio: u32,
}

impl Limits {
    /// Returns the defaults: messages of at most 16 MiB, with any ratio.
    pub const fn new() -> Self {
        Self { max_message: 16 << 20, max_ratio: 0 }
    }

    /// Sets the longest message, in inflated bytes, inclusive. Default: 16 MiB.
    #[must_use]
    pub const fn max_message(mut self, bytes: u64) -> Self {
        self.max_message = bytes;
        self
    }

    /// Sets how many times longer than its payload a message may become. Default: `None`, any ratio. DEFLATE reaches 1,032.
    ///
    /// Payloads count in whole KiB: with a ratio of 200, each KiB of the payload, even if it has only begun, allows 200 KiB of
    /// the message. Zero means any ratio, like `None`.
    #[must_use]
    pub const fn max_ratio(mut self, ratio: Option<u32>) -> Self {
        self.max_ratio = match ratio {
            Some(ratio) => ratio,
            None => 0,
        };
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}
