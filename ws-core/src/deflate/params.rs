//! The agreed parameters of permessage-deflate.

use super::WindowBits;
use crate::Role;

/// The agreed parameters of permessage-deflate (RFC 7692 §7.1), as they are in the server's answer.
///
/// The handshake on slices returns them: `handshake::Upgrade::deflate` on a server, `handshake::ResponseHead::deflate`
/// on a client. For a connection whose handshake was done elsewhere, fill them in yourself:
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
/// The default has no parameters: both sides may use a window of 15 bits and take over their context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeflateParams {
    /// Whether the server begins each message with an empty window (RFC 7692 §7.1.1.1).
    pub server_no_context_takeover: bool,
    /// Whether the client begins each message with an empty window (RFC 7692 §7.1.1.2).
    pub client_no_context_takeover: bool,
    /// The largest window that the server uses; `None` means 15 bits (RFC 7692 §7.1.2.1).
    pub server_max_window_bits: Option<WindowBits>,
    /// The largest window that the client uses; `None` means 15 bits (RFC 7692 §7.1.2.2).
    pub client_max_window_bits: Option<WindowBits>,
}

impl DeflateParams {
    /// Returns the window of the messages that `sender` sends, which is how far back they may refer.
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

    /// Returns whether a message from `sender` may refer to earlier messages.
    #[must_use]
    pub const fn context_takeover(&self, sender: Role) -> bool {
        match sender {
            Role::Server => !self.server_no_context_takeover,
            Role::Client => !self.client_no_context_takeover,
        }
    }
}
