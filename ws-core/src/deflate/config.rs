//! What a side offers and agrees to.

use super::WindowBits;

/// What a side offers or agrees to of permessage-deflate (RFC 7692 §7.1).
///
/// The parameters are named as in the RFC: `server_…` is about the messages that the server sends, `client_…` about
/// those of the client. Each setting is a limit of this side's own. The peer may restrict both directions further.
///
/// ```
/// use ws_core::deflate::{DeflateConfig, WindowBits};
///
/// // No window is kept between messages.
/// const SMALL: DeflateConfig = DeflateConfig::new()
///     .server_no_context_takeover(true)
///     .client_no_context_takeover(true);
/// // Both sides may use as much as the RFC allows: 32 KiB for each direction.
/// const LARGE: DeflateConfig = DeflateConfig::new()
///     .server_max_window_bits(WindowBits::MAX)
///     .client_max_window_bits(WindowBits::MAX);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeflateConfig {
    pub(crate) server_no_context_takeover: bool,
    pub(crate) client_no_context_takeover: bool,
    pub(crate) server_max_window_bits: Option<WindowBits>,
    pub(crate) client_max_window_bits: Option<WindowBits>,
    pub(crate) unlimited_client: UnlimitedClient,
}

impl DeflateConfig {
    /// The defaults: context takeover in both directions; windows of 12 bits on a server, which has many connections,
    /// and of 15 bits on a client.
    pub const fn new() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: None,
            client_max_window_bits: None,
            unlimited_client: UnlimitedClient::NoContextTakeover,
        }
    }

    /// Whether the server is to begin each message with an empty window. Default `false`.
    ///
    /// Then neither side keeps a window for the server's messages, and small ones compress less. A server says so
    /// in its answer. A client demands it: a server that does not agree has to decline, and the connection is
    /// then uncompressed (RFC 7692 §7.1.1.1).
    #[must_use]
    pub const fn server_no_context_takeover(mut self, reset: bool) -> Self {
        self.server_no_context_takeover = reset;
        self
    }

    /// Whether the client is to begin each message with an empty window. Default `false`.
    ///
    /// A server demands it of every client. A client does so whatever the server answers, and its offer says so
    /// (RFC 7692 §7.1.1.2).
    #[must_use]
    pub const fn client_no_context_takeover(mut self, reset: bool) -> Self {
        self.client_no_context_takeover = reset;
        self
    }

    /// The most that the server may use of a window. Default 12 bits on a server, 15 bits on a client.
    ///
    /// A server uses no more, or less if the client asks for less, and tells the client in its answer. With 15 bits a
    /// client asks for nothing. With fewer it demands that: a server that cannot limit its window declines,
    /// and the connection is then uncompressed (RFC 7692 §7.1.2.1).
    #[must_use]
    pub const fn server_max_window_bits(mut self, bits: WindowBits) -> Self {
        self.server_max_window_bits = Some(bits);
        self
    }

    /// The most that the client may use of a window. Default 12 bits on a server, 15 bits on a client.
    ///
    /// A client uses no more, whatever the server answers, and says so in its offer. A server demands it of the
    /// clients that can limit their window; [`unlimited_client`](Self::unlimited_client) decides about the others
    /// (RFC 7692 §7.1.2.2).
    ///
    /// A server that demands 8 bits meets clients that fail then: zlib cannot compress with a window of 8 bits, and
    /// programs that use it say in their offer that they can. With 9 bits and more there is no such difficulty.
    #[must_use]
    pub const fn client_max_window_bits(mut self, bits: WindowBits) -> Self {
        self.client_max_window_bits = Some(bits);
        self
    }

    /// What a server does about a client that cannot limit its window.
    /// Default [`UnlimitedClient::NoContextTakeover`]. It means nothing on a client, and nothing on a server whose
    /// [`client_max_window_bits`](Self::client_max_window_bits) are 15.
    #[must_use]
    pub const fn unlimited_client(mut self, answer: UnlimitedClient) -> Self {
        self.unlimited_client = answer;
        self
    }
}

/// What a server does about an offer without `client_max_window_bits`, if the server wants less than 15 bits.
///
/// Such a client may use a window of 15 bits, 32 KiB, and must not be told otherwise (RFC 7692 §7.1.2.2). Chromium and
/// most libraries offer the parameter. Firefox does not, nor do some clients written in Go and Java.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UnlimitedClient {
    /// The client is told to begin each message with an empty window.
    ///
    /// This is the default, because no client can then make the server keep more than its own limit between two
    /// messages: here, nothing. The price is that the client's short messages compress less; the server's
    /// own are not affected. Messages that are being received may still refer 32 KiB back within themselves.
    #[default]
    NoContextTakeover,
    /// The client keeps its window and its context: the best ratio, for 32 KiB of each such connection.
    KeepContext,
    /// The offer is declined: for a server without 32 KiB for a message that is being received.
    Decline,
}
