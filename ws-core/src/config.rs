//! Limits and time-outs of a connection.

use core::time::Duration;

use crate::time::millis;

/// Limits and time-outs of one connection.
///
/// Every limit has a default, so a peer cannot make this side hold an unbounded amount of memory (RFC 6455 §10.4). A
/// server should also set [`ping_interval`](Self::ping_interval) or [`idle_timeout`](Self::idle_timeout): without them
/// an open connection may stay silent for ever.
///
/// ```
/// use core::time::Duration;
/// use ws_core::Config;
///
/// const CONFIG: Config = Config::new()
///     .max_message(64 * 1024)
///     .ping_interval(Some(Duration::from_secs(20)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    pub(crate) max_frame: u64,
    pub(crate) max_message: u64,
    pub(crate) max_outgoing_frame: u64,
    pub(crate) ping_interval: u32,
    pub(crate) pong_timeout: u32,
    pub(crate) idle_timeout: u32,
    pub(crate) close_timeout: u32,
}

impl Config {
    /// Returns the defaults: at most 16 MiB for a frame and for a message, and 5 seconds for the closing handshake. There
    /// is no keepalive and no idle time-out, and messages are sent unfragmented.
    pub const fn new() -> Self {
        Self {
            max_frame: 16 << 20,
            max_message: 16 << 20,
            max_outgoing_frame: u64::MAX >> 1,
            ping_interval: 0,
            pong_timeout: millis(Some(Duration::from_secs(20))),
            idle_timeout: 0,
            close_timeout: millis(Some(Duration::from_secs(5))),
        }
    }

    /// Sets the longest payload of one received frame, in bytes, inclusive. Default: 16 MiB.
    ///
    /// A longer frame fails the connection with 1009 as soon as its header has arrived. In a compressed message the limit
    /// counts compressed bytes, of which there can be a few more than the message has.
    #[must_use]
    pub const fn max_frame(mut self, bytes: u64) -> Self {
        self.max_frame = bytes;
        self
    }

    /// Sets the longest received message, in bytes of all its fragments together, inclusive. Default: 16 MiB.
    ///
    /// The frame that would exceed the limit fails the connection with 1009 as soon as its header has arrived. For a compressed
    /// message the inflated bytes count: the `Endpoint`, or whoever else inflates it, fails the connection when the
    /// message becomes too long.
    #[must_use]
    pub const fn max_message(mut self, bytes: u64) -> Self {
        self.max_message = bytes;
        self
    }

    /// Sets the longest payload of one data frame that is sent, in bytes. Zero counts as one byte. Default: no limit.
    ///
    /// An `Endpoint` sends a longer message in fragments (RFC 6455 §5.4). It cuts each fragment when the output before it has
    /// been written, so that Pings and Pongs can be sent between the fragments. If the limit is at least four
    /// bytes, text is cut between characters.
    ///
    /// A [`Connection`](crate::Connection) does not fragment. It refuses a longer payload with
    /// [`SendError::FrameTooLong`](crate::SendError::FrameTooLong). The caller then cuts the message, marks all
    /// frames but the last with [`DataFrame::more`](crate::DataFrame::more), and transmits pending control frames
    /// between them.
    #[must_use]
    pub const fn max_outgoing_frame(mut self, bytes: u64) -> Self {
        self.max_outgoing_frame = match bytes {
            0 => 1,
            _ if bytes > u64::MAX >> 1 => u64::MAX >> 1,
            _ => bytes,
        };
        self
    }

    /// Sets how long the peer may be silent before a Ping is sent. Default: `None`, no Ping is ever sent.
    ///
    /// One Ping is sent for each silence: there is no further one until the peer has been heard again.
    /// [`pong_timeout`](Self::pong_timeout) decides what happens if the peer does not answer.
    ///
    /// All time-outs have a resolution of one millisecond and a maximum of 24 days.
    #[must_use]
    pub const fn ping_interval(mut self, interval: Option<Duration>) -> Self {
        self.ping_interval = millis(interval);
        self
    }

    /// Sets how long the peer may stay silent after such a Ping before the connection counts as lost. Default: 20 seconds.
    /// With `None`, the silence is tolerated.
    ///
    /// If the driver asks only after the deadline, the deadline is extended once, by an eighth of the time-out and at most a
    /// second, so that the driver can read a Pong that may already wait in the stream. So a process that was
    /// stopped for a while does not take its peers for dead.
    #[must_use]
    pub const fn pong_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.pong_timeout = millis(timeout);
        self
    }

    /// Sets how long the connection may go without a data frame in either direction before it is closed with 1001.
    /// Default: `None`, no limit.
    ///
    /// If the driver asks only after the deadline, it is extended as for [`pong_timeout`](Self::pong_timeout).
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = millis(timeout);
        self
    }

    /// Sets how long the closing handshake and the end of the peer's stream may take together. Default: 5 seconds. `None` means
    /// no limit.
    ///
    /// The time counts from the first Close frame, or from the last time the peer took some of the output before it.
    #[must_use]
    pub const fn close_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.close_timeout = millis(timeout);
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
