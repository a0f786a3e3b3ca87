//! The opening handshake (RFC 6455 §4) on slices of the caller.
//!
//! Everything here is a pure function or a small value: nothing is buffered, nothing is allocated, and nothing is
//! read or written. Two things meet in it: the HTTP/1.1 syntax that the handshake inherits (RFC 9110, RFC 9112)
//! and the rules of RFC 6455 on top. An `Endpoint` calls all of it; so can a driver without an allocator.
//!
//! # A server's way through
//!
//! 1. Push arriving bytes to a [`HeadReader`] until it says where the head ends; bytes after it
//!    belong to the WebSocket stream. [`FirstBytes`] tells a client that does not speak HTTP before that.
//! 2. [`RequestHead::parse`] the head, then ask for its [`upgrade`](RequestHead::upgrade): a plain HTTP request is
//!    an ordinary outcome, and an error knows its own answer ([`HandshakeError::write_response`]).
//! 3. Answer an [`Upgrade`] with an [`AcceptResponse`], anything else with an [`HttpResponse`]. With the feature
//!    `deflate`, `Upgrade::deflate` chooses among the client's offers of permessage-deflate.
//!
//! ```
//! use ws_core::handshake::*;
//!
//! let received = b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
//!     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
//!     Sec-WebSocket-Version: 13\r\n\r\n\x81\x80\0\0\0\0";
//! let mut reader = HeadReader::request(DEFAULT_MAX_HEAD);
//! let length = reader.push(received)?.expect("the head is complete");
//! let (head, frames) = received.split_at(length);
//! assert_eq!(frames.len(), 6);
//!
//! let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
//! let request = RequestHead::parse(head, &mut slots)?;
//! let upgrade = request.upgrade()?.expect("a request for a WebSocket");
//! assert_eq!(upgrade.path(), "/chat");
//!
//! let mut out = [0; 256];
//! let written = AcceptResponse::new().write(upgrade.key, &mut out)?;
//! assert!(out[..written].starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A client's way through
//!
//! 1. Write a [`ClientRequest`] with a fresh [`ClientKey`].
//! 2. Push the response to a [`HeadReader`] and [`ResponseHead::parse`] the head; skip interim responses
//!    ([`ResponseHead::is_interim`]).
//! 3. With status 101, [`ResponseHead::accept`] checks every rule, and with the feature `deflate`,
//!    `ResponseHead::deflate` those of permessage-deflate. Other statuses are for the caller.
//!
//! ```
//! use ws_core::handshake::*;
//!
//! let key = ClientKey::from_nonce(*b"the sample nonce");
//! let received = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//!     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
//! let length = HeadReader::response(DEFAULT_MAX_HEAD).push(received)?.expect("the head is complete");
//! let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
//! let response = ResponseHead::parse(&received[..length], &mut slots)?;
//! let accepted = response.accept(&key, ["chat", "superchat"], None)?;
//! assert_eq!(accepted, Some("chat"));
//! # Ok::<(), HandshakeError>(())
//! ```

mod accept;
#[cfg(any(feature = "endpoint", feature = "proxy"))]
mod body;
mod client;
mod debug;
#[cfg(feature = "deflate")]
mod deflate;
mod error;
mod extensions;
mod fields;
mod first_bytes;
mod head_reader;
mod lists;
mod origin;
mod request;
mod response;
mod writer;

pub use accept::{ClientKey, accept_key};
#[cfg(feature = "proxy")]
pub(crate) use body::BodyLength;
#[cfg(any(feature = "endpoint", feature = "proxy"))]
pub(crate) use body::{BodyPart, BodyReader};
pub use client::{ClientRequest, ResponseHead};
#[cfg(feature = "endpoint")]
pub(crate) use debug::{Names, QuotedStart, QuotedUri, path};
#[cfg(feature = "deflate")]
pub use deflate::DeflateExtension;
pub use error::{HandshakeError, OpenError};
#[cfg(feature = "endpoint")]
pub(crate) use fields::EMPTY_FIELD;
pub use fields::FieldSlots;
pub use first_bytes::FirstBytes;
pub use head_reader::HeadReader;
#[cfg(feature = "proxy")]
pub(crate) use lists::TOKEN;
pub use lists::select_subprotocol;
#[cfg(feature = "endpoint")]
pub(crate) use origin::equal_origins;
#[cfg(feature = "proxy")]
pub(crate) use origin::{parse_ipv4, parse_ipv6, split_reg_name};
pub use origin::{same_host, same_origin};
pub use request::{RequestHead, Upgrade};
#[cfg(feature = "endpoint")]
pub(crate) use request::{split_query, split_target};
pub use response::{AcceptResponse, HttpResponse};
#[cfg(feature = "proxy")]
pub(crate) use writer::Writer;

/// The advised limit on the size of a head: 16 KiB, start line and empty line included.
pub const DEFAULT_MAX_HEAD: usize = 16 * 1024;

/// The advised limit on the number of fields in a head.
pub const DEFAULT_MAX_FIELDS: usize = 100;

/// The most subprotocols that one request may offer; more are answered with 431.
///
/// A subprotocol must not be offered twice (RFC 6455 §4.1), and without memory of its own the
/// check compares each with each: the limit keeps that work small.
pub const MAX_SUBPROTOCOLS: usize = 64;
