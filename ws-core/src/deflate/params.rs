//! What both sides keep to once permessage-deflate is agreed on.

use super::WindowBits;
use crate::Role;

/// The parameters of permessage-deflate that a connection keeps to (RFC 7692 §7.1), as the server's answer
/// has them.
///
/// The negotiation on slices returns them (`handshake::Upgrade::deflate` on a server, `handshake::ResponseHead::deflate`
/// on a client). For a connection whose handshake was done elsewhere, make them by hand:
///
/// ```
/// use ws_core::Role;
/// use ws_core::deflate::{DeflateParams, WindowBits};
///
/// // Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10
/// let agreed = DeflateParams {
///     server_max_window_bits: WindowBits::new(10),
///     ..DeflateParams::default()
/// };
/// assert_eq!(agreed.window_bits(Role::Server).size(), 1024);
/// assert_eq!(agreed.window_bits(Role::Client), WindowBits::MAX);
/// assert!(agreed.context_takeover(Role::Server));
/// ```
///
/// The default has no parameter: both sides may use 15 bits and take over their context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeflateParams {
    /// The server begins each message with an empty window (RFC 7692 §7.1.1.1).
    pub server_no_context_takeover: bool,
    /// The client begins each message with an empty window (RFC 7692 §7.1.1.2).
    pub client_no_context_takeover: bool,
    /// The most that the server uses of a window; `None` means 15 bits (RFC 7692 §7.1.2.1).
    pub server_max_window_bits: Option<WindowBits>,
    /// The most that the client uses of a window; `None` means 15 bits (RFC 7692 §7.1.2.2).
    pub client_max_window_bits: Option<WindowBits>,
}

impl DeflateParams {
    /// Returns the window for the messages that `sender` sends: how far back they may refer.
    #[must_use]
    pub const fn window_bits(&self, sender: Role) -> WindowBits {
        let bits = match sender {
            Role::Server => self.server_max_window_bits,
            Role::Client => self.client_max_window_bits,
        };
        match bits {
            Some(bits) => bits,
            None => WindowBits::MAX,
        }
    }

    /// Returns whether a message that `sender` sends may refer to earlier ones.
    #[must_use]
    pub const fn context_takeover(&self, sender: Role) -> bool {
        match sender {
            Role::Server => !self.server_no_context_takeover,
            Role::Client => !self.client_no_context_takeover,
        }
    }
}
