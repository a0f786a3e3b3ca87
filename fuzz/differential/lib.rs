//! Oracles with tungstenite as the second opinion. They are a crate of their own, so that the crates of the library do not
//! depend on tungstenite. `cargo test --lib` replays their corpora.
//!
//! Each intended difference is an exception of its own with its section of the RFC, and `../README.md` lists them all.

pub mod frames;
mod head;
pub mod request;
pub mod response;

#[cfg(test)]
mod replay;
