//! The kind of a data frame and its place in its message.

use crate::MessageKind;

/// The data frame to send: the kind of its message, and whether it is the message's last frame.
///
/// ```
/// use ws_core::DataFrame;
///
/// let whole = DataFrame::TEXT;
/// let first_of_several = DataFrame::TEXT.more();
/// # assert_ne!(whole, first_of_several);
/// ```
///
/// All fragments of a message have the kind of the message. The connection sends all but the first of them as
/// continuation frames (RFC 6455 §5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DataFrame {
    pub(crate) kind: MessageKind,
    pub(crate) fin: bool,
    pub(crate) compressed: bool,
}

impl DataFrame {
    /// The last or only frame of a text message.
    ///
    /// The caller must ensure that the payloads of the message's frames together are valid UTF-8 (RFC 6455 §5.6).
    pub const TEXT: Self = Self::new(MessageKind::Text);
    /// The last or only frame of a binary message.
    pub const BINARY: Self = Self::new(MessageKind::Binary);

    /// Returns the last or only frame of a message of this kind.
    #[inline]
    pub const fn new(kind: MessageKind) -> Self {
        Self { kind, fin: true, compressed: false }
    }

    /// Returns this frame as one that is followed by more frames of the same message.
    #[inline]
    #[must_use]
    pub const fn more(mut self) -> Self {
        self.fin = false;
        self
    }

    /// Returns this frame, marked as the first frame of a compressed message if `compressed` is true (RFC 7692 §6).
    #[inline]
    #[must_use]
    pub const fn compressed(mut self, compressed: bool) -> Self {
        self.compressed = compressed;
        self
    }
}
