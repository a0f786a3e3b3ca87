//! What a side offers or accepts of permessage-deflate.

use super::WindowBits;

/// What a side offers or accepts of permessage-deflate (RFC 7692 §7.1).
///
/// The names are those of the RFC: `server_…` concerns the messages that the server sends, and `client_…` those that the
/// client sends. Each setting is the limit of this side. The peer may restrict both directions further.
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
    /// Returns the defaults: context takeover in both directions, and windows of 12 bits on a server, which has many
    /// connections, and of 15 bits on a client.
    pub const fn new() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: None,
            client_max_window_bits: None,
            unlimited_client: UnlimitedClient::NoContextTakeover,
        }
    }

    /// Sets whether the server has to begin each message with an empty window. Default: `false`.
    ///
    /// If so, neither side keeps a window for the server's messages, and small messages compress less. A server announces
    /// this in its answer. A client demands it: a server that does not agree has to decline the extension, and the
    /// connection is then uncompressed (RFC 7692 §7.1.1.1).
    #[must_use]
    pub const fn server_no_context_takeover(mut self, reset: bool) -> Self {
        self.server_no_context_takeover = reset;
        self
    }

    /// Sets whether the client has to begin each message with an empty window. Default: `false`.
    ///
    /// A server demands this of every client. A client announces it in its offer, and does it whatever the server answers
    /// (RFC 7692 §7.1.1.2).
    #[must_use]
    pub const fn client_no_context_takeover(mut self, reset: bool) -> Self {
        self.client_no_context_takeover = reset;
        self
    }

    /// Sets the largest window that the server may use. Default: 12 bits on a server, 15 bits on a client.
    ///
    /// A server never uses more. It uses less if the client asks for less, and announces the window in its answer.
    ///
    /// A client whose setting is 15 bits asks for nothing. A client with fewer bits requires the server to use no more
    /// than that. A server that cannot limit its window then declines the extension, and the connection is uncompressed
    /// (RFC 7692 §7.1.2.1).
    #[must_use]
    pub const fn server_max_window_bits(mut self, bits: WindowBits) -> Self {
        self.server_max_window_bits = Some(bits);
        self
    }

    /// Sets the largest window that the client may use. Default: 12 bits on a server, 15 bits on a client.
    ///
    /// A client announces the limit in its offer, and keeps to it whatever the server answers. A server demands it of the
    /// clients that can limit their window; [`unlimited_client`](Self::unlimited_client) decides about the others
    /// (RFC 7692 §7.1.2.2).
    ///
    /// If a server demands 8 bits, some clients fail: zlib cannot compress with a window of 8 bits, but programs that use
    /// zlib offer it all the same. From 9 bits on there is no such problem.
    #[must_use]
    pub const fn client_max_window_bits(mut self, bits: WindowBits) -> Self {
        self.client_max_window_bits = Some(bits);
        self
    }

    /// Sets what a server does about a client that cannot limit its window.
    /// Default: [`UnlimitedClient::NoContextTakeover`].
    ///
    /// `unlimited_client` has no effect on a client, because only a server answers offers. It also has no effect on a
    /// server whose [`client_max_window_bits`](Self::client_max_window_bits) is 15, because every client stays within
    /// 15 bits anyway.
    #[must_use]
    pub const fn unlimited_client(mut self, answer: UnlimitedClient) -> Self {
        self.unlimited_client = answer;
        self
    }
}

/// What a server does about an offer without `client_max_window_bits`, if the server wants less than 15 bits.
///
/// Such a client may use a window of 15 bits (32 KiB), and must not be told to use less (RFC 7692 §7.1.2.2). Chromium and
/// most libraries offer the parameter. Firefox and some clients written in Go and Java do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UnlimitedClient {
    /// The client is told to begin each message with an empty window.
    ///
    /// This is the default, because then no client can make the server keep more than its own limit between two messages:
    /// here it keeps nothing. In return the client's short messages compress less; those of the server are not
    /// affected. A message that is being received may still refer 32 KiB back within itself.
    #[default]
    NoContextTakeover,
    /// The client keeps its window and its context. This has the best ratio, and costs 32 KiB for each such connection.
    KeepContext,
    /// The offer is declined. This is for a server that cannot spare 32 KiB for a message that is being received.
    Decline,
}
