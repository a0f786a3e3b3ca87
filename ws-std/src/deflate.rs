//! Compressed messages: permessage-deflate (RFC 7692).
//!
//! Compression is off until [`Connector::deflate`](crate::Connector::deflate) or
//! [`ListenerBuilder::deflate`](crate::ListenerBuilder::deflate) turns it on. It is used if both sides want it, and
//! [`WebSocket::deflate`](crate::WebSocket::deflate) returns what was agreed. From then on, every method that sends
//! compresses messages of at least [`Compression::least`] bytes, and every method that reads inflates them.
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
//! - **Memory of each connection.** With context takeover, the last window of plaintext of each direction is kept between
//!   messages: up to 4 KiB for each direction with a server's default of 12 bits, and up to 32 KiB with 15 bits. Without
//!   takeover nothing is kept, but then each message is compressed by itself, which saves less.
//! - **Memory of the pool.** An engine takes 137 to 380 KB to compress, and 48 KB to inflate. A [`Pool`] keeps at most
//!   one of each for each processor. All connections of a listener or of a connector share it. A connection
//!   has an engine to itself only while it inflates a message that arrives in several pieces.
//! - **Time.** Compression takes many times as long as everything else that is done to a message. Content that is already
//!   compressed, such as pictures, is better sent uncompressed:
//!   [`WebSocket::set_compression`](crate::WebSocket::set_compression) sets this for the messages that follow, and
//!   [`Writer::set_compression`](crate::Writer::set_compression) for those of one writer.
//!
//! A message that compression would not make shorter is sent uncompressed.
//!
//! # When not to use it
//!
//! The length of a compressed message shows how much its parts have in common with each other and, with context takeover,
//! with earlier messages. Suppose that an attacker sees the lengths, even of encrypted messages, and can have text of their
//! choice sent on the same connection. Then they can guess a secret piece by piece (RFC 7692 §8; the attacks CRIME and
//! BREACH). Do not compress secrets on such a connection. Leave compression off, or turn it off for the messages that
//! contain secrets **and** make sure that the other messages do not repeat them.
//!
//! # Limits
//!
//! [`Config::max_message`](crate::Config::max_message) counts inflated bytes, and a message fails with 1009 as soon as
//! it exceeds the limit. [`Compression::max_ratio`] limits how many times longer than its payload a message may become.
//!
//! # Broadcast
//!
//! A [`PreparedMessage`](crate::PreparedMessage), and so everything that a [`Hub`](crate::Hub) sends, is compressed once for all
//! connections that have the same window and no context takeover in the server's direction. With takeover it is compressed
//! for each connection, because it refers to what that connection has sent before. A server with many members should
//! therefore ask for [`DeflateConfig::server_no_context_takeover`]:
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
