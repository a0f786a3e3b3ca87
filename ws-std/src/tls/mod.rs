//! TLS, by rustls: the feature `rustls`.

mod config;
mod error;
mod stream;

pub use error::TlsError;
pub use stream::TlsStream;

pub(crate) use config::{default_client, server_from_pem};
pub(crate) use error::from_io;
