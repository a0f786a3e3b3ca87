//! permessage-deflate (RFC 7692): compressed messages.

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

#[cfg(feature = "zlib-rs")]
pub use deflater::{DeflateOptions, Deflater};
#[cfg(feature = "zlib-rs")]
pub use inflater::{Inflated, Inflater};
#[cfg(any(feature = "miniz_oxide", feature = "zlib-rs"))]
pub use limits::Limits;
#[cfg(any(feature = "miniz_oxide", feature = "zlib-rs"))]
pub use message::Need;
#[cfg(feature = "zlib-rs")]
pub use pool::Pool;
#[cfg(feature = "miniz_oxide")]
pub use slice::{Decoder, Piece, Pieces, SliceInflater};
pub use window::WindowBits;

pub use config::{DeflateConfig, UnlimitedClient};
pub use params::DeflateParams;
