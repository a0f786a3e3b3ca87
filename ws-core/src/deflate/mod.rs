//! permessage-deflate (RFC 7692): compressed messages.

mod config;
mod params;

mod window;

pub use window::WindowBits;

pub use config::{DeflateConfig, UnlimitedClient};
pub use params::DeflateParams;
