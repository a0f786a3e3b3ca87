//! permessage-deflate (RFC 7692): compressed messages.
//!
//! It is off until [`Connector::deflate`](crate::Connector::deflate) or
//! [`ListenerBuilder::deflate`](crate::ListenerBuilder::deflate) turns it on, and it is used if both sides want it:
//! [`WebSocket::deflate`](crate::WebSocket::deflate) returns what was agreed. From then on all ways to send compress
//! messages of at least [`Compression::least`] bytes, and all ways to read return them as they were.
//!
//! ```no_run
//! use ws_std::Listener;
//! use ws_std::deflate::{Compression, DeflateConfig, WindowBits};
//!
//! // Windows of 1 KiB instead of 4 KiB.
//! let bits = WindowBits::new(10).ok_or("8 to 15")?;
//! let config = DeflateConfig::new().server_max_window_bits(bits).client_max_window_bits(bits);
//! let listener = Listener::builder()
//!     .deflate(Compression::default().negotiation(config))
//!     .bind("127.0.0.1:9001")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it costs
//!
//! - **Memory of each connection:** between two messages, the last window of plaintext of each direction with context
//!   takeover: up to 4 KiB for each direction if a server has the default of 12 bits, up to 32 KiB with 15 bits. Without
//!   takeover it is nothing, but each message is compressed by itself, which saves less.
//! - **Memory of the pool:** an engine to compress takes 137 to 380 KB, one to inflate 48 KB. A [`Pool`] keeps at most
//!   one of each for each processor, and all connections of a listener, or of a connector, share it. A connection
//!   has an engine to itself only while it inflates a message that comes in several pieces.
//! - **Time:** to compress takes many times as long as all the rest that is done to a message. Messages that are
//!   compressed already, such as pictures, are better sent as they are:
//!   [`set_compression`](crate::WebSocket::set_compression) decides about the messages that follow, of a
//!   [`Writer`](crate::Writer::set_compression) about those of this writer.
//!
//! A message is sent as it is where compression would not make it shorter.
//!
//! # When not to use it
//!
//! The length of a compressed message tells how much its parts have in common with each other and, with context takeover,
//! with earlier messages. Somebody who sees the lengths, even of encrypted messages, and has text of their choice
//! sent on the same connection can guess a secret piece by piece (RFC 7692 §8, the attacks CRIME and BREACH). Do not
//! compress secrets on such a connection: leave it off, or turn it off for the messages that hold them **and**
//! make sure that the others do not repeat them.
//!
//! # What a message may come to
//!
//! [`Config::max_message`](crate::Config::max_message) counts inflated bytes, and a message is refused with 1009 as soon as
//! it exceeds that. [`Compression::max_ratio`] limits how many times longer than its payload it may become.
//!
//! # Many receivers
//!
//! A [`PreparedMessage`](crate::PreparedMessage), and so what a [`Hub`](crate::Hub) sends, is compressed once for all
//! connections that have the same window and no context takeover in the server's direction. With takeover each
//! connection compresses it for itself, because each refers to what it has sent before. A server with many members asks for
//! that with [`DeflateConfig::server_no_context_takeover`]:
//!
//! ```
//! use ws_std::deflate::{Compression, DeflateConfig};
//!
//! let config = DeflateConfig::new().server_no_context_takeover(true);
//! let builder = ws_std::Listener::builder().deflate(Compression::default().negotiation(config));
//! # let _ = builder;
//! ```

pub use ws_core::deflate::{DeflateConfig, DeflateParams, Pool, UnlimitedClient, WindowBits};
pub use ws_core::endpoint::Compression;
