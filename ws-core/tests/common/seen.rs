//! What a connection has told, as values that can be compared: one vocabulary for both levels.
#![allow(dead_code, reason = "each test file uses a part of it")]

use ws_core::ProtocolError;

/// What was told, whole messages only. `E` is the error of the level: an endpoint has more of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen<E = ProtocolError> {
    /// Method and target of a request for a WebSocket.
    Request(String, String),
    /// Method and target of another request.
    Http(String, String),
    /// The subprotocol.
    Open(Option<String>),
    /// Status and body of the response that refuses.
    Refused(u16, Vec<u8>),
    Text(String),
    Binary(Vec<u8>),
    /// A message of either kind that is still to be inflated.
    Compressed(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed {
        /// 1005 when the Close frame had none, 1006 when there was no Close frame.
        code: u16,
        reason: String,
        /// This side's Close frame was sent first.
        by_us: bool,
    },
    Failed(E),
}

impl<E> Seen<E> {
    /// Whether nothing may be told after it.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::Failed(_) | Self::Refused(..))
    }

    /// Told when this many bytes of the stream were consumed.
    pub(crate) fn at(self, consumed: usize) -> (usize, Self) {
        (consumed, self)
    }

    /// Told with all that follows in the same piece, of which there may be any number of bytes.
    pub(crate) fn last(self) -> (usize, Self) {
        assert!(self.is_end());
        (usize::MAX, self)
    }
}

pub(crate) fn text<E>(text: &str) -> Seen<E> {
    Seen::Text(text.into())
}

pub(crate) fn binary<E>(bytes: &[u8]) -> Seen<E> {
    Seen::Binary(bytes.into())
}

pub(crate) fn ping<E>(payload: &[u8]) -> Seen<E> {
    Seen::Ping(payload.into())
}

pub(crate) fn pong<E>(payload: &[u8]) -> Seen<E> {
    Seen::Pong(payload.into())
}

/// The peer was the first to close.
pub(crate) fn closed<E>(code: u16, reason: &str) -> Seen<E> {
    Seen::Closed { code, reason: reason.into(), by_us: false }
}

/// This side was the first to close.
pub(crate) fn closed_by_us<E>(code: u16, reason: &str) -> Seen<E> {
    Seen::Closed { code, reason: reason.into(), by_us: true }
}

pub(crate) fn failed<E>(error: impl Into<E>) -> Seen<E> {
    Seen::Failed(error.into())
}
