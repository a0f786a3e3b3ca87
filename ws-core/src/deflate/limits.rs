//! The limits of inflated messages.

/// How long an inflated message may be.
///
/// A message that breaks a limit fails with
/// [`ProtocolError::MessageTooLarge`](crate::ProtocolError::MessageTooLarge) when it is inflated that far: the
/// memory and the work that it costs are bounded by the limits, not by what the peer has compressed.
///
/// ```
/// use ws_core::deflate::Limits;
///
/// const LIMITS: Limits = Limits::new().max_message(64 * 1024).max_ratio(Some(200));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    pub(super) max_message: u64,
    /// 0 is any.
    pub(super) max_ratio: u32,
}

impl Limits {
    /// 16 MiB, and any ratio.
    pub const fn new() -> Self {
        Self { max_message: 16 << 20, max_ratio: 0 }
    }

    /// The longest message, in inflated bytes, inclusive. Default 16 MiB.
    #[must_use]
    pub const fn max_message(mut self, bytes: u64) -> Self {
        self.max_message = bytes;
        self
    }

    /// How many times longer than its payload a message may become. Default any; DEFLATE reaches 1,032.
    ///
    /// Payloads count in whole KiB: with a ratio of 200, each KiB of the payload, also one that has only begun,
    /// allows 200 KiB of the message. 0 is any ratio, as `None` is.
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
