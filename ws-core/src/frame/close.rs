//! Close codes and the payload of a Close frame (RFC 6455 §5.5.1, §7.4).
//!
//! Any number can be a [`CloseCode`], because an application is also told codes that never appear on the wire (1005,
//! 1006). Its methods say which codes may be sent or received. The receiving half of a connection decodes payloads with
//! this module, and the sending half checks what it sends.

use crate::ProtocolError;

/// The longest close reason, in bytes: the longest control payload without the two bytes of the code.
pub const MAX_REASON_LEN: usize = 123;

/// Why a connection was closed (RFC 6455 §7.4 and the IANA registry).
///
/// Any `u16` is a value; [`may_be_sent`](Self::may_be_sent) returns which of them the protocol allows in a Close frame.
/// Whatever asks for a code takes `impl Into<CloseCode>`: a constant, a number such as `4000`, or `None` for a Close
/// frame without a code.
///
/// ```
/// use ws_core::{CloseCode, Role};
///
/// assert_eq!(CloseCode::NORMAL.get(), 1000);
/// assert_eq!(CloseCode::from(4000), CloseCode::new(4000));
/// assert_eq!(CloseCode::from(None), CloseCode::NO_STATUS);
/// assert!(CloseCode::GOING_AWAY.may_be_sent(Role::Server));
/// assert!(!CloseCode::ABNORMAL.may_be_sent(Role::Server));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the endpoint is going away, such as a server that shuts down or a browser that leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: the endpoint cannot accept this type of data.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005: the Close frame has no code (RFC 6455 §7.1.5). It is never on the wire. If you close with it, a Close
    /// frame with an empty body is sent.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the connection ended without a Close frame. This code is only reported, never sent.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: the data does not fit its type, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a message violates the policy of the endpoint.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message is too big to process.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: the client needs an extension that the server did not accept. Only a client sends it.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: an unexpected condition prevents the endpoint from going on.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service is restarting (IANA).
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the peer should try again later (IANA).
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway received an invalid response from its upstream server (IANA).
    pub const BAD_GATEWAY: Self = Self(1014);
    /// 1015: the TLS handshake failed. This code is only reported, never sent.
    pub const TLS_HANDSHAKE: Self = Self(1015);

    /// Returns the code with this number.
    #[inline]
    #[must_use]
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// Returns the number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Returns whether an endpoint of this role may send this code.
    ///
    /// The codes that may be sent are 1000–1003, 1007–1014 and 3000–4999 (RFC 6455 §7.4.1, §7.4.2, IANA). Only a client
    /// may send 1010.
    #[must_use]
    pub const fn may_be_sent(self, role: crate::Role) -> bool {
        self.may_be_received()
            && !(self.0 == Self::MANDATORY_EXTENSION.0 && matches!(role, crate::Role::Server))
    }

    /// Returns whether a Close frame with this code is valid when it comes from a peer.
    const fn may_be_received(self) -> bool {
        // mutant: close codes 1004 to 1006 are accepted
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

/// `None` stands for a Close frame without a code: [`CloseCode::NO_STATUS`].
impl From<Option<CloseCode>> for CloseCode {
    fn from(code: Option<CloseCode>) -> Self {
        code.unwrap_or(Self::NO_STATUS)
    }
}

impl core::fmt::Display for CloseCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl core::fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

/// The content of a Close frame (RFC 6455 §5.5.1).
///
/// The reason is meant for debugging and must not be shown to an end user (RFC 6455 §5.5.1).
///
/// ```
/// use ws_core::{CloseCode, CloseFrame};
///
/// let frame = CloseFrame::decode(b"\x03\xe8bye")?;
/// assert_eq!(frame, CloseFrame { code: CloseCode::NORMAL, reason: "bye" });
/// assert_eq!(CloseFrame::decode(b"")?.code, CloseCode::NO_STATUS);
/// # Ok::<(), ws_core::ProtocolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseFrame<'a> {
    /// The code, or [`CloseCode::NO_STATUS`] if the body was empty.
    pub code: CloseCode,
    /// The reason, which is empty if there was none.
    pub reason: &'a str,
}

impl<'a> CloseFrame<'a> {
    /// Decodes the payload of a Close frame.
    ///
    /// # Errors
    ///
    /// - [`ProtocolError::CloseBodyTooShort`] for a body of one byte;
    /// - [`ProtocolError::InvalidCloseCode`] for a code that must not be sent;
    /// - [`ProtocolError::InvalidCloseReason`] for a reason that is not UTF-8.
    pub fn decode(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        if payload.is_empty() {
            return Ok(Self { code: CloseCode::NO_STATUS, reason: "" });
        }
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            return Err(ProtocolError::CloseBodyTooShort);
        };
        let code = CloseCode(u16::from_be_bytes(*code));
        if !code.may_be_received() {
            return Err(ProtocolError::InvalidCloseCode(code.0));
        }
        match core::str::from_utf8(reason) {
            Ok(reason) => Ok(Self { code, reason }),
            Err(_) => Err(ProtocolError::InvalidCloseReason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    // RFC 6455 §7.4.1, §7.4.2 and the IANA registry
    #[test]
    fn close_code_table() {
        for code in 0..=u16::MAX {
            let valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014]
                .contains(&code)
                || (3000..5000).contains(&code);
            let code = CloseCode::new(code);
            assert_eq!(code.may_be_received(), valid, "{code}");
            assert_eq!(code.may_be_sent(Role::Client), valid, "{code}");
            assert_eq!(
                code.may_be_sent(Role::Server),
                valid && code != CloseCode::MANDATORY_EXTENSION,
                "{code}"
            );
        }
    }

    #[test]
    fn close_payload_cases() {
        let decode = CloseFrame::decode;
        assert_eq!(decode(b""), Ok(CloseFrame { code: CloseCode::NO_STATUS, reason: "" }));
        assert_eq!(decode(b"\x03"), Err(ProtocolError::CloseBodyTooShort));
        assert_eq!(
            decode(b"\x03\xe8bye"),
            Ok(CloseFrame { code: CloseCode::NORMAL, reason: "bye" })
        );
        assert_eq!(decode(b"\x03\xed"), Err(ProtocolError::InvalidCloseCode(1005)));
        assert_eq!(decode(b"\x03\xe8\xff"), Err(ProtocolError::InvalidCloseReason));
    }
}
