//! The opening handshake (RFC 6455 §4), on buffers of the caller.
//!
//! This module consists of pure functions and small values. It does no I/O, buffers nothing and allocates nothing. It
//! implements the syntax of HTTP/1.1 that the handshake uses (RFC 9110, RFC 9112) and the rules of RFC 6455. An
//! `Endpoint` does the whole handshake with it, and so can a driver without an allocator.
//!
//! # On a server
//!
//! 1. Push received bytes to a [`HeadReader`] until it returns the length of the head. The bytes after the head are the
//!    first frames. [`FirstBytes`] detects a client that does not speak HTTP earlier.
//! 2. Parse the head with [`RequestHead::parse`], and check it with [`upgrade`](RequestHead::upgrade). A plain HTTP
//!    request is not an error. Answer an error with [`HandshakeError::write_response`].
//! 3. Answer an [`Upgrade`] with an [`AcceptResponse`], and any other request with an [`HttpResponse`]. With the
//!    feature `deflate`, `Upgrade::deflate` chooses among the client's offers of permessage-deflate.
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
//! # On a client
//!
//! 1. Write a [`ClientRequest`] with a fresh [`ClientKey`].
//! 2. Push received bytes to a [`HeadReader`], and parse the head with [`ResponseHead::parse`]. Skip interim responses
//!    ([`ResponseHead::is_interim`]).
//! 3. If the status is 101, check the response with [`ResponseHead::accept`] and, with the feature `deflate`, with
//!    `ResponseHead::deflate`. The caller handles other statuses.
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
#[cfg(any(feature = "endpoint", feature = "proxy"))]
mod challenges;
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
#[cfg(any(feature = "endpoint", feature = "proxy"))]
pub(crate) use challenges::schemes as challenge_schemes;
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

/// The recommended limit on the size of a head: 16 KiB, including the start line and the empty line.
pub const DEFAULT_MAX_HEAD: usize = 16 * 1024;

/// The recommended limit on the number of fields in a head.
pub const DEFAULT_MAX_FIELDS: usize = 100;

/// The most subprotocols that one request may offer. A server answers more with 431.
///
/// A subprotocol must not be offered twice (RFC 6455 §4.1). The check uses no memory and compares every pair, so this
/// limit keeps the work small.
pub const MAX_SUBPROTOCOLS: usize = 64;
