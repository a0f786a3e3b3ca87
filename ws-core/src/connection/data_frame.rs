//! Which data frame is to be sent.

use crate::MessageKind;

/// Which data frame is to be sent: its kind and its place in its message.
///
/// ```
/// use ws_core::DataFrame;
///
/// let whole = DataFrame::TEXT;
/// let first_of_several = DataFrame::TEXT.more();
/// # assert_ne!(whole, first_of_several);
/// ```
///
/// The fragments of a message all have its kind here; that all but the first go out as
/// continuation frames is seen to by the connection (RFC 6455 §5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DataFrame {
    pub(crate) kind: MessageKind,
    pub(crate) fin: bool,
    pub(crate) compressed: bool,
}

impl DataFrame {
    /// The last or only frame of a text message.
    ///
    /// That a message's frames together are UTF-8 is up to the caller (RFC 6455 §5.6).
    pub const TEXT: Self = Self::new(MessageKind::Text);
    /// The last or only frame of a binary message.
    pub const BINARY: Self = Self::new(MessageKind::Binary);

    /// The last or only frame of a message of this kind.
    #[inline]
    pub const fn new(kind: MessageKind) -> Self {
        Self { kind, fin: true, compressed: false }
    }

    /// The same, but more frames of the message follow.
    #[inline]
    #[must_use]
    pub const fn more(mut self) -> Self {
        self.fin = false;
        self
    }

    /// The same, marked as the first frame of a compressed message (RFC 7692 §6).
    #[inline]
    #[must_use]
    pub const fn compressed(mut self, compressed: bool) -> Self {
        self.compressed = compressed;
        self
    }
}
