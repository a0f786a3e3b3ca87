//! Compressed messages (permessage-deflate, RFC 7692): engines that compress and inflate them.
//!
//! All engines compress the same messages and inflate the same payloads. Those that have a connection read and write frames
//! through [`kernel`](crate::kernel); the others take and return payloads.

pub mod check;
#[cfg(not(feature = "deflate-soketto"))]
mod connections;
#[cfg(not(feature = "deflate-soketto"))]
mod engines;
mod messages;
#[cfg(not(feature = "deflate-soketto"))]
mod peers;
#[cfg(feature = "deflate-soketto")]
mod soketto;

pub use messages::{Wire, messages};

use bytes::Bytes;
use ws_core::deflate::WindowBits;

/// The window for compressing, where it can be chosen: 12 bits.
const BITS: WindowBits = match WindowBits::new(12) {
    Some(bits) => bits,
    None => panic!("8 to 15"),
};

/// An engine that compresses messages as a server, at level 1.
pub trait Deflate {
    /// Its name in the reports.
    const NAME: &'static str;

    /// On how many connections in turn it compresses each message.
    const CONNECTIONS: usize = 1;

    /// Returns an engine that has compressed nothing.
    fn new() -> Self;

    /// Compresses all of these messages. It either writes frames, or passes the payloads of the first connection to `sent`, with
    /// whether they are compressed.
    fn deflate(&mut self, messages: &[Bytes], sent: impl FnMut(&[u8], bool));
}

/// An engine that inflates messages as a server.
pub trait Inflate {
    /// Its name in the reports.
    const NAME: &'static str;

    /// Returns an engine that has inflated nothing.
    fn new() -> Self;

    /// Inflates all messages of the wire, and passes each to `message`.
    fn inflate(&mut self, wire: &Wire, message: impl FnMut(&[u8]));
}

/// What to do with each engine.
pub trait Visitor {
    /// Does it with an engine that compresses.
    fn deflate<E: Deflate>(&mut self);

    /// Does it with an engine that inflates.
    fn inflate<E: Inflate>(&mut self);
}

/// Visits all engines in the order of the reports: the floor, ours, the peers.
#[cfg(not(feature = "deflate-soketto"))]
pub fn each_engine(visitor: &mut impl Visitor) {
    visitor.deflate::<engines::Direct>();
    visitor.deflate::<engines::HotDeflater>();
    visitor.deflate::<engines::SharedDeflaters>();
    visitor.deflate::<connections::Endpoint<12>>();
    visitor.deflate::<peers::Sockudo>();
    visitor.deflate::<peers::Yawc>();

    visitor.inflate::<engines::Direct>();
    visitor.inflate::<engines::Checked>();
    visitor.inflate::<engines::Inflater<15>>();
    visitor.inflate::<engines::Inflater<12>>();
    visitor.inflate::<connections::Endpoint<15>>();
    visitor.inflate::<connections::Endpoint<12>>();
    visitor.inflate::<peers::Sockudo>();
    visitor.inflate::<peers::Yawc>();
}

/// Visits soketto.
#[cfg(feature = "deflate-soketto")]
pub fn each_engine(visitor: &mut impl Visitor) {
    visitor.deflate::<soketto::Soketto>();
}
