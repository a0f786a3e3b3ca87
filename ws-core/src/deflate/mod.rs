//! permessage-deflate (RFC 7692): compressed messages.

mod window;

pub use window::WindowBits;
