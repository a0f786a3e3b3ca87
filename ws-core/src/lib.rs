// The README's example needs `Endpoint`.
#![cfg_attr(any(not(doctest), feature = "endpoint"), doc = include_str!("../README.md"))]
//!
//! # Where to look
//!
#![cfg_attr(
    feature = "endpoint",
    doc = "- Whole connections: [`Endpoint`], and [`endpoint::Next`], which says what to do."
)]
//! - Connections without an allocator: [`Connection`] and [`Step`], which says what to do.
//! - Settings and errors: [`Config`], [`ProtocolError`], [`SendError`] and [`CloseCode`].
#![no_std]
#![cfg_attr(not(any(feature = "bytes", feature = "simd")), forbid(unsafe_code))]
#![cfg_attr(any(feature = "bytes", feature = "simd"), deny(unsafe_code))]
#![cfg_attr(docsrs, feature(doc_cfg))]
// A peer's bytes must not be able to stop the program.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects
    )
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod config;
pub mod connection;
#[cfg(feature = "deflate")]
pub mod deflate;
mod error;
pub mod frame;
#[cfg(feature = "handshake")]
pub mod handshake;
pub mod message;
#[cfg(feature = "proxy")]
pub mod proxy;
mod role;
// Big-endian AArch64 is rare and never tested. Without floating point, AArch64 has no NEON.
#[cfg(all(
    feature = "simd",
    any(
        target_arch = "x86_64",
        all(target_arch = "aarch64", target_endian = "little", target_feature = "neon")
    )
))]
mod simd;
mod time;
pub mod utf8;

#[cfg(feature = "endpoint")]
pub mod endpoint;

pub use config::Config;
pub use connection::{Connection, DataFrame, Input, Step};
#[cfg(feature = "endpoint")]
pub use endpoint::Endpoint;
pub use error::{ProtocolError, SendError};
pub use frame::{CloseCode, CloseFrame, MaskingKey};
pub use message::MessageKind;
#[cfg(feature = "bytes")]
pub use message::{Message, PreparedMessage, Text};
pub use role::Role;
pub use time::Instant;

/// Whether the fast paths for common cases are compiled in. They only save time, and small targets have no memory for them.
const SHORT_CUTS: bool = cfg!(target_pointer_width = "64");
