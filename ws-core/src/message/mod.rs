//! Whole messages, which are what a connection carries.
//!
//! [`SliceAssembler`] joins chunks in a slice of the caller. With the feature `bytes` there are also the owned `Message`,
//! the lent `MessageRef`, and `PreparedMessage`, which is encoded once for many receivers.

mod assembly;
#[cfg(feature = "bytes")]
mod owned;
#[cfg(feature = "bytes")]
mod prepared;
#[cfg(feature = "bytes")]
mod text;

pub use assembly::SliceAssembler;
#[cfg(feature = "bytes")]
pub use owned::{Message, MessageRef, NotText};
#[cfg(feature = "bytes")]
pub use prepared::PreparedMessage;
#[cfg(feature = "bytes")]
pub use text::Text;

/// The two kinds of message (RFC 6455 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}
