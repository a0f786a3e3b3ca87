#![doc = include_str!("../README.md")]
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
// AArch64 with the other byte order is rare, and never tested; without floating point it has no NEON.
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

/// Whether short cuts for the usual case are taken that the general code does not need: on targets that have
/// memory for them.
const SHORT_CUTS: bool = cfg!(target_pointer_width = "64");
