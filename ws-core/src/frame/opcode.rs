//! The opcode of a frame (RFC 6455 §5.2).
//!
//! A reserved opcode has no value, so an [`OpCode`] is always valid.

/// What a frame carries (RFC 6455 §5.2, §11.8).
///
/// The reserved opcodes 0x3–0x7 and 0xB–0xF have no value here. A frame that uses one of them is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// A further fragment of the open message.
    Continuation = 0x0,
    /// The first frame of a text message.
    Text = 0x1,
    /// The first frame of a binary message.
    Binary = 0x2,
    /// Starts or answers the closing handshake.
    Close = 0x8,
    /// Asks the peer for a Pong.
    Ping = 0x9,
    /// Answers a Ping, or is sent unasked as a heartbeat.
    Pong = 0xA,
}

impl OpCode {
    /// Returns the opcode with these four bits, or `None` if it is reserved.
    #[inline]
    pub(super) const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// Returns the four bits of this opcode on the wire.
    #[inline]
    pub(crate) const fn bits(self) -> u8 {
        self as u8
    }

    /// Returns whether this is Close, Ping or Pong (RFC 6455 §5.5).
    #[inline]
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }
}
