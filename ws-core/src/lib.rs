//! placeholder
#![no_std]
#[cfg(feature = "handshake")]
pub mod handshake;
