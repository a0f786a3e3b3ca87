// The README's examples need every feature.
#![cfg_attr(any(not(doctest), all(feature = "deflate", feature = "rustls")), doc = include_str!("../README.md"))]
//!
//! # Where to look
//!
//! - Servers: [`listen`], [`Listener`], [`Incoming`], [`PendingRequest`], [`ListenerHandle`], and [`Hub`] for broadcast.
//! - Clients: [`connect`] and [`Connector`].
//! - Open connections: [`WebSocket`], its halves [`Reader`] and [`Writer`], and [`Message`].
//! - Settings and outcomes: [`Config`], [`Error`], [`CloseCode`] and [`CloseInfo`].
//! - Streams: [`Transport`], [`Plain`] for streams without time-outs, and [`pair`] for tests.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
// A peer's bytes must not be able to stop the program.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

mod batch;
mod client;
mod close;
#[cfg(feature = "deflate")]
pub mod deflate;
mod dial;
mod driver;
mod error;
mod going_away;
mod link;
mod memory;
mod proxy;
mod random;
mod registry;
#[cfg(all(test, shuttle))]
mod schedules;
mod sending;
mod server;
mod shared_writer;
mod socket;
mod split;
mod stream;
mod sync;
mod tcp;
mod timed;
#[cfg(feature = "rustls")]
mod tls;
mod transport;
mod url;
mod write;

// These two are not needed to drive an endpoint over a stream.
mod hub;
mod trace;

pub use client::{Connector, connect};
pub use error::{Deadline, Error, Result};
pub use hub::{Hub, Member, MemberId};
pub use memory::{MemoryStream, pair};
#[cfg(feature = "rustls")]
pub use rustls;
pub use server::{Incoming, Listener, ListenerBuilder, ListenerHandle, PendingRequest, listen};
pub use socket::{Replier, WebSocket};
pub use split::{MAX_WAITING, Reader, Writer};
pub use stream::{MessageReader, MessageWriter};
pub use tcp::Tcp;
#[cfg(feature = "rustls")]
pub use tls::{TlsError, TlsStream};
pub use trace::{Direction, TRACED_PAYLOAD, Trace, Traced};
pub use transport::{Plain, Stream, Transport};
pub use url::UrlError;
pub use ws_core;
pub use ws_core::endpoint::{CloseInfo, HandshakeFailure, Origins, Request, Response};
pub use ws_core::handshake::{AcceptResponse, HandshakeError, HttpResponse, OpenError};
pub use ws_core::message::MessageRef;
pub use ws_core::proxy::ProxyError;
pub use ws_core::{
    CloseCode, Config, Message, MessageKind, PreparedMessage, ProtocolError, SendError, Text,
};

/// The default time limit of a write.
const WRITE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
