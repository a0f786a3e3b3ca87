//! Limits and time-outs of a connection.

use core::time::Duration;

use crate::time::millis;

/// Limits and time-outs of one connection.
///
/// Every limit has a default, so that what a peer can make this side hold or wait for is bounded
/// from the start (RFC 6455 §10.4).
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
    /// The defaults: 16 MiB for a frame and for a message, 5 seconds for the closing handshake, no
    /// keepalive, no idle time-out, no fragmentation of what is sent.
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

    /// The longest payload of one received frame, in bytes, inclusive. Default 16 MiB.
    ///
    /// A longer frame fails the connection with 1009 as soon as its header is there. Of a compressed message, this is about the
    /// compressed bytes, which can be a few more than the message has.
    #[must_use]
    pub const fn max_frame(mut self, bytes: u64) -> Self {
        self.max_frame = bytes;
        self
    }

    /// The longest received message, all its fragments together, in bytes, inclusive. Default 16 MiB.
    ///
    /// The frame that would exceed it fails the connection with 1009 as soon as its header is there. A compressed message
    /// counts as it is inflated, and fails when it gets longer: by an `Endpoint`, or whoever inflates.
    #[must_use]
    pub const fn max_message(mut self, bytes: u64) -> Self {
        self.max_message = bytes;
        self
    }

    /// The longest payload of one data frame that is sent, in bytes; zero means one byte. Default no limit.
    ///
    /// An `Endpoint` sends a longer message in fragments (RFC 6455 §5.4). It cuts them while its output
    /// drains, so that Pongs and Pings go between them. Text is cut between characters, if the limit is at
    /// least four.
    ///
    /// A [`Connection`](crate::Connection) makes no fragments. It refuses a longer payload with
    /// [`SendError::FrameTooLong`](crate::SendError::FrameTooLong); the caller cuts the message, marks all
    /// frames but the last with [`DataFrame::more`](crate::DataFrame::more), and transmits what is
    /// pending between them.
    #[must_use]
    pub const fn max_outgoing_frame(mut self, bytes: u64) -> Self {
        self.max_outgoing_frame = match bytes {
            0 => 1,
            _ if bytes > u64::MAX >> 1 => u64::MAX >> 1,
            _ => bytes,
        };
        self
    }

    /// After how long a silence of the peer a Ping is sent. Default `None`: never.
    ///
    /// There is one Ping for each silence: the next follows when the peer was heard. Set
    /// [`pong_timeout`](Self::pong_timeout) to end a connection whose peer does not answer.
    ///
    /// Time-outs have a resolution of a millisecond and a maximum of 24 days.
    #[must_use]
    pub const fn ping_interval(mut self, interval: Option<Duration>) -> Self {
        self.ping_interval = millis(interval);
        self
    }

    /// How long after such a Ping the peer may stay silent before the connection counts as lost.
    /// Default 20 seconds; `None` means that its silence is tolerated.
    ///
    /// A driver that comes late has an eighth more, at most a second, to read a Pong that may wait in the stream:
    /// a process that was stopped does not take its peers for dead.
    #[must_use]
    pub const fn pong_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.pong_timeout = millis(timeout);
        self
    }

    /// After how long without a data frame in either direction the connection is closed with 1001.
    /// Default `None`: never. A driver that comes late has as much more as for
    /// [`pong_timeout`](Self::pong_timeout).
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = millis(timeout);
        self
    }

    /// How long the closing handshake and the peer's end of TCP may take, counted from the first
    /// Close frame, or from when the peer last took some of what was sent before it. Default 5 seconds; `None` means for ever.
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
