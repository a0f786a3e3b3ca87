//! permessage-deflate (RFC 7692): compressed messages.
//!
//! What is kept between two messages is the end of the plaintext, as much as the window has: a compressor and a
//! decompressor can be set up from that at any time. Connections therefore share engines, and a connection that is
//! idle holds its windows only.
//!
//! - `SliceInflater` (feature `miniz_oxide`) inflates in memory of the caller, without an allocator.
//! - `Inflater` and `Deflater` (feature `zlib-rs`) use the engines of a `Pool`.
//!
//! Without one of these features there is [`WindowBits`] only, for drivers that bring an engine of their own, such as that in
//! the ROM of some microcontrollers.
//!
//! # What is checked
//!
//! The outcome of a message never depends on how its payload and the output are cut, nor on whether an engine was shared.
//! The limits hold while a message is inflated. Blocks may be final: the next block goes on with the same window, in the
//! same message and in the next one. A message is complete when the four bytes that its sender has removed end a
//! block without content, and no bit is left over. So a truncated message is an error, and nothing of a message gets into the
//! next one. A message may also end with a final block, and an empty payload is an empty message.
//!
//! A distance that reaches back before all that was received is an error, and so is one that is longer than a
//! `SliceInflater`'s window. An `Inflater` also accepts a distance that is longer than the agreed window, as long as it
//! reaches no further than the message itself, from its last final block on, and before that as many bytes as the window
//! has. Such a message is inflated as its sender has meant it.
//!
//! # When not to compress
//!
//! If a message has both a secret and text that somebody else has chosen, its compressed length tells whether the two
//! resemble each other, and with many messages the secret can be found out (CRIME, BREACH). With context takeover that
//! also holds for secrets in earlier messages.

mod config;
mod params;
mod window;

#[cfg(feature = "zlib-rs")]
mod deflater;
#[cfg(any(feature = "miniz_oxide", feature = "zlib-rs"))]
mod engine;
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
