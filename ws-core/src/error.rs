//! The errors of [`Connection`](crate::Connection), which an endpoint reports, too.

use core::fmt;

use crate::CloseCode;

/// How the peer broke the protocol or a limit, or that it did not answer a Ping in time.
///
/// The connection has then failed (RFC 6455 §7.1.7). A Close frame with [`close_code`](Self::close_code) is due, and
/// nothing that follows is processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit (RSV1, RSV2 or RSV3) is set, and no extension gives it a meaning (RFC 6455 §5.2).
    ReservedBits,
    /// The opcode is reserved: 0x3–0x7 or 0xB–0xF (RFC 6455 §5.2).
    ReservedOpcode(u8),
    /// A control frame is not final (RFC 6455 §5.5).
    FragmentedControl,
    /// A control frame has a payload of more than 125 bytes (RFC 6455 §5.5).
    ControlTooLong,
    /// A frame from a client is not masked (RFC 6455 §5.1).
    UnmaskedFrame,
    /// A frame from a server is masked (RFC 6455 §5.1).
    MaskedFrame,
    /// The length of a payload is not in its shortest form (RFC 6455 §5.2).
    NonMinimalLength,
    /// The length of a payload is 2^63 or more (RFC 6455 §5.2).
    LengthOverflow,
    /// A continuation frame came while no message was open (RFC 6455 §5.4).
    UnexpectedContinuation,
    /// A new message began while another one was open (RFC 6455 §5.4).
    InterleavedMessage,
    /// The body of a Close frame has only one byte (RFC 6455 §5.5.1).
    CloseBodyTooShort,
    /// A Close frame has a code that must not be sent (RFC 6455 §7.4).
    InvalidCloseCode(u16),
    /// The reason of a Close frame is not UTF-8 (RFC 6455 §5.5.1).
    InvalidCloseReason,
    /// A text message is not UTF-8 (RFC 6455 §8.1).
    InvalidUtf8,
    /// A compressed message is not valid DEFLATE, ends too early, or refers too far back (RFC 7692 §7.2.2).
    InvalidDeflate,
    /// A frame is longer than [`Config::max_frame`](crate::Config::max_frame).
    FrameTooLarge,
    /// A message is longer than [`Config::max_message`](crate::Config::max_message). For a compressed message, the
    /// inflated length counts. A compressed message can also be too long for its payload, because of the limit of the
    /// compression ratio.
    MessageTooLarge,
    /// No answer to a keepalive Ping came within [`Config::pong_timeout`](crate::Config::pong_timeout) (RFC 6455 §5.5.2).
    PongTimeout,
}

impl ProtocolError {
    /// Returns the code of the Close frame that reports this error to the peer (RFC 6455 §7.4.1).
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 | Self::InvalidDeflate | Self::InvalidCloseReason => {
                CloseCode::INVALID_PAYLOAD
            }
            Self::FrameTooLarge | Self::MessageTooLarge => CloseCode::MESSAGE_TOO_BIG,
            Self::PongTimeout => CloseCode::INTERNAL_ERROR,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// Returns the reason for the Close frame that reports this error to the peer. It is the text of `Display` without
    /// the section of the RFC, and without a number that the peer has sent. It is ASCII and shorter than 123 bytes.
    #[cfg(feature = "endpoint")]
    pub(crate) fn reason(self) -> &'static str {
        let text = self.text();
        text.split_once(" (RFC").map_or(text, |(reason, _)| reason)
    }

    const fn text(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved bit set without an extension (RFC 6455 §5.2)",
            Self::ReservedOpcode(_) => "reserved opcode (RFC 6455 §5.2)",
            Self::FragmentedControl => "fragmented control frame (RFC 6455 §5.5)",
            Self::ControlTooLong => "control frame of more than 125 bytes (RFC 6455 §5.5)",
            Self::UnmaskedFrame => "unmasked frame from a client (RFC 6455 §5.1)",
            Self::MaskedFrame => "masked frame from a server (RFC 6455 §5.1)",
            Self::NonMinimalLength => "length not in its shortest form (RFC 6455 §5.2)",
            Self::LengthOverflow => "length of 2^63 or more (RFC 6455 §5.2)",
            Self::UnexpectedContinuation => "continuation while no message is open (RFC 6455 §5.4)",
            Self::InterleavedMessage => "new message inside a fragmented one (RFC 6455 §5.4)",
            Self::CloseBodyTooShort => "close frame with a body of one byte (RFC 6455 §5.5.1)",
            Self::InvalidCloseCode(_) => "close code must not be sent (RFC 6455 §7.4)",
            Self::InvalidCloseReason => "close reason is not UTF-8 (RFC 6455 §5.5.1)",
            Self::InvalidUtf8 => "text is not UTF-8 (RFC 6455 §8.1)",
            Self::InvalidDeflate => "compressed data is invalid or incomplete (RFC 7692 §7.2.2)",
            Self::FrameTooLarge => "frame longer than the limit (RFC 6455 §10.4)",
            Self::MessageTooLarge => "message longer than the limit (RFC 6455 §10.4)",
            Self::PongTimeout => "the peer did not answer a ping in time",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedOpcode(opcode) => {
                write!(f, "reserved opcode {opcode:#x} (RFC 6455 §5.2)")
            }
            Self::InvalidCloseCode(code) => {
                write!(f, "close code {code} must not be sent (RFC 6455 §7.4)")
            }
            _ => f.write_str(self.text()),
        }
    }
}

impl core::error::Error for ProtocolError {}

/// Why something was not sent: the caller made a mistake, or the connection is closing.
///
/// Nothing was written. Except after [`Random`](Self::Random), the connection is in the same state as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendError {
    /// The opening handshake is not complete (RFC 6455 §4.1).
    NotOpen,
    /// A Close frame was sent or received, or the connection has ended (RFC 6455 §5.5.1).
    Closing,
    /// More output waits than the endpoint may hold, because the stream is slower than the sender.
    OutputFull,
    /// A fragmented message is open. Another message has to wait until it is complete, and its further fragments must
    /// be of the same kind, text or binary (RFC 6455 §5.4).
    MessageOpen,
    /// The payload of the previous frame is not complete.
    PayloadPending,
    /// There is more payload than the head of the frame declared.
    PayloadTooLong,
    /// The payload of a control frame is longer than 125 bytes (RFC 6455 §5.5).
    ControlTooLong,
    /// The close reason is longer than 123 bytes (RFC 6455 §5.5.1).
    ReasonTooLong,
    /// This role may not send this close code. Codes that may be sent are 1000–1003, 1007–1014 and 3000–4999; only a
    /// client may send 1010 (RFC 6455 §7.4).
    InvalidCloseCode(u16),
    /// There is a close reason without a code (RFC 6455 §5.5.1).
    ReasonWithoutCode,
    /// The frame is longer than [`Config::max_outgoing_frame`](crate::Config::max_outgoing_frame), or than 2^63 − 1 bytes.
    FrameTooLong,
    /// The output buffer is too small.
    BufferTooSmall {
        /// The size that suffices, in bytes.
        needed: usize,
    },
    /// There is too little room for the header in front of the payload.
    NoHeadroom {
        /// The headroom that suffices, in bytes.
        needed: usize,
    },
    /// A client's frame has no masking key; a client masks every frame (RFC 6455 §5.3).
    MaskingKeyMissing,
    /// A server's frame has a masking key; a server must not mask (RFC 6455 §5.1).
    MaskingKeyUnexpected,
    /// A client's payload was not masked (RFC 6455 §5.3).
    PayloadUnmasked,
    /// A frame is marked as compressed (RSV1), but compression was not negotiated (RFC 7692 §6), or the frame is not the
    /// first one of its message.
    CompressionNotNegotiated,
    /// The generator of masking keys has failed, so this client can send nothing more (RFC 6455 §10.3).
    Random,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOpen => "the opening handshake is not over (RFC 6455 §4.1)",
            Self::OutputFull => "too much output waits to be written",
            Self::Closing => "the connection is closing or closed (RFC 6455 §5.5.1)",
            Self::MessageOpen => {
                "a fragmented message is open and has to be completed first (RFC 6455 §5.4)"
            }
            Self::PayloadPending => "the payload of the previous frame is not complete",
            Self::PayloadTooLong => "more payload than the frame's head declared",
            Self::ControlTooLong => "a control payload is limited to 125 bytes (RFC 6455 §5.5)",
            Self::ReasonTooLong => "a close reason is limited to 123 bytes (RFC 6455 §5.5.1)",
            Self::InvalidCloseCode(code) => {
                return write!(
                    f,
                    "close code {code} may not be sent; 1000-1003, 1007-1014 (1010 by clients \
                     only) and 3000-4999 may (RFC 6455 §7.4)"
                );
            }
            Self::ReasonWithoutCode => "a close reason needs a code (RFC 6455 §5.5.1)",
            Self::FrameTooLong => "the frame is longer than max_outgoing_frame",
            Self::BufferTooSmall { needed } => {
                return write!(f, "the output has no room: {needed} bytes are needed");
            }
            Self::NoHeadroom { needed } => {
                return write!(
                    f,
                    "no room for the header: {needed} bytes are needed before the payload"
                );
            }
            Self::MaskingKeyMissing => "a client's frame needs a masking key (RFC 6455 §5.3)",
            Self::MaskingKeyUnexpected => "a server must not mask (RFC 6455 §5.1)",
            Self::PayloadUnmasked => "a client's payload has to be masked (RFC 6455 §5.3)",
            Self::CompressionNotNegotiated => {
                "compression was not negotiated, or this is not a first frame (RFC 7692 §6)"
            }
            Self::Random => "the generator of masking keys has failed",
        })
    }
}

impl core::error::Error for SendError {}
