//! The engines that are measured: ours and those of peers. Each has the same input and the same output.
//!
//! Memory takes the place of a socket ([`kernel`]). [`Memcpy`] makes only the copies that a kernel makes, so it is
//! the floor. Each engine's output is [checked](check) before it is timed.

mod batch;
pub mod check;
mod connection;
#[cfg(feature = "deflate")]
pub mod deflate;
mod endpoint;
pub mod functions;
pub mod handshake;
pub mod kernel;
mod memcpy;
pub mod payloads;
pub mod peers;
mod wire;

pub use connection::Connection;
pub use endpoint::{EndpointLending, EndpointOwned};
pub use memcpy::Memcpy;
pub use wire::Wire;

use std::hint::black_box;

use bytes::Bytes;
use ws_core::{Instant, MaskingKey, Role};

/// One end of an open connection. It reads and writes through [`kernel`].
pub trait Engine {
    /// Its name in the reports.
    const NAME: &'static str;

    /// Whether it returns messages. A floor does not.
    const HAS_MESSAGES: bool = true;

    /// Whether it checks that text is UTF-8. If not, it cannot be compared with those that do.
    const CHECKS_TEXT: bool = true;

    /// Returns an engine of this role.
    fn new(role: Role) -> Self;

    /// Receives this many messages of what is loaded. `part` sees all their bytes, and whether a message ends with
    /// them.
    fn decode(&mut self, messages: usize, part: impl FnMut(&[u8], bool));

    /// Sends a binary message `count` times, and writes about 64 KiB at once.
    fn encode(&mut self, payload: &Bytes, count: usize);

    /// Sends back this many messages of what is loaded, and writes about 64 KiB at once. If `each` is set, writes after
    /// each message.
    fn echo(&mut self, messages: usize, each: bool);
}

/// Takes the place of an application that uses a part of a message.
#[inline]
pub fn use_part(bytes: &[u8], end: bool) {
    black_box(bytes);
    black_box(end);
}

/// What to do with each engine.
pub trait Visitor {
    /// Does it with this one.
    fn visit<E: Engine>(&mut self);
}

/// Visits all engines in the order of the reports: the floor, ours, the peers.
pub fn each_engine(visitor: &mut impl Visitor) {
    visitor.visit::<Memcpy>();
    visitor.visit::<Connection>();
    visitor.visit::<EndpointLending>();
    visitor.visit::<EndpointOwned>();
    visitor.visit::<peers::Tungstenite>();
    visitor.visit::<peers::TokioWebsockets>();
    visitor.visit::<peers::Fastwebsockets>();
    visitor.visit::<peers::EmbeddedWebsocket>();
    visitor.visit::<peers::WebsocketSansIo>();
    visitor.visit::<peers::WsFramer>();
    visitor.visit::<peers::WebSocket>();
    visitor.visit::<peers::Sockudo>();
    visitor.visit::<peers::Soketto>();
    visitor.visit::<peers::Yawc>();
}

/// Masking keys that cost almost nothing, for the engines that let the caller choose. A real client needs
/// unpredictable ones (RFC 6455 §10.3).
struct Keys(u32);

impl Keys {
    const fn new() -> Self {
        Self(1)
    }

    #[inline]
    fn bytes(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        self.0.to_ne_bytes()
    }

    #[inline]
    fn next(&mut self) -> MaskingKey {
        MaskingKey::new(self.bytes())
    }
}

/// Takes the place of a clock, whose own cost would be part of every figure.
fn clock() -> Instant {
    Instant::from_millis(0)
}
