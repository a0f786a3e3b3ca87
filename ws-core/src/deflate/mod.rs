//! Compressed messages: permessage-deflate (RFC 7692).
//!
//! Between two messages only the end of the plaintext has to be kept, as much as fits the window. A compressor or
//! decompressor can be set up from it at any time. So connections share engines, and an idle connection
//! holds only its windows.
//!
//! - `SliceInflater` (feature `miniz_oxide`) inflates in memory of the caller, without an allocator.
//! - `Inflater` and `Deflater` (feature `zlib-rs`) use the engines of a `Pool`. Most messages of up to about 128 bytes are
//!   inflated without one.
//!
//! Without one of these features, the module has only the negotiated values, such as [`WindowBits`]. They are for drivers that
//! have an engine of their own, for example in the ROM of some microcontrollers.
//!
//! # What is checked
//!
//! - The result never depends on how the payload and the output are cut, nor on whether an engine was shared.
//! - The limits apply while a message is being inflated.
//! - Blocks may be final. The next block continues with the same window, in the same message or in the next one.
//! - A message is complete if the four bytes that its sender removed, once they are appended again, end a block without
//!   content, and no bit is left over. So a truncated message is an error, and no part of a message gets into the next
//!   one.
//! - A message may also end with a final block. An empty payload is an empty message.
//! - A distance that reaches back before everything that was received is an error. So is one that is longer than the
//!   window of a `SliceInflater`.
//! - An `Inflater` also accepts a distance that is longer than the agreed window, as long as it reaches no further back than
//!   the message itself (since its last final block) and one window before it. Such a message is inflated as its
//!   sender meant it.
//!
//! # When not to compress
//!
//! Suppose that a message contains both a secret and text that an attacker has chosen. Its compressed length then
//! shows how much the two have in common, and with many messages the secret can be found out (CRIME, BREACH; RFC 7692 §8). With
//! context takeover this is also true for secrets in earlier messages.

mod config;
mod params;
mod window;

#[cfg(feature = "zlib-rs")]
mod deflater;
#[cfg(any(feature = "miniz_oxide", feature = "zlib-rs"))]
mod engine;
#[cfg(feature = "zlib-rs")]
mod fixed;
#[cfg(feature = "zlib-rs")]
mod history;
#[cfg(feature = "zlib-rs")]
mod inflater;
#[cfg(any(feature = "miniz_oxide", feature = "zlib-rs"))]
mod limits;
#[cfg(any(feature = "miniz_oxide", feature = "zlib-rs"))]
mod message;
#[cfg(feature = "miniz_oxide")]
mod miniz;
#[cfg(feature = "zlib-rs")]
mod pool;
#[cfg(feature = "miniz_oxide")]
mod slice;
#[cfg(feature = "zlib-rs")]
mod zlib;

pub use config::{DeflateConfig, UnlimitedClient};
#[cfg(feature = "zlib-rs")]
pub use deflater::{DeflateOptions, Deflater};
#[cfg(feature = "zlib-rs")]
pub use inflater::{Inflated, Inflater};
#[cfg(any(feature = "miniz_oxide", feature = "zlib-rs"))]
pub use limits::Limits;
#[cfg(any(feature = "miniz_oxide", feature = "zlib-rs"))]
pub use message::Need;
pub use params::DeflateParams;
#[cfg(feature = "zlib-rs")]
pub use pool::Pool;
#[cfg(feature = "miniz_oxide")]
pub use slice::{Decoder, Piece, Pieces, SliceInflater};
pub use window::WindowBits;
