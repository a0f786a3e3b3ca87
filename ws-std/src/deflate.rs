//! permessage-deflate (RFC 7692): how to turn it on, and what it costs.

pub use ws_core::deflate::{
    DeflateConfig, DeflateOptions, DeflateParams, Pool, UnlimitedClient, WindowBits,
};
pub use ws_core::endpoint::Compression;
