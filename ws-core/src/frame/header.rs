//! The header of a frame on the wire (RFC 6455 §5.2).
//!
//! Decoding checks what the header shows by itself, and nothing that depends on the connection. Encoding accepts any header.
//! The receiving half of a connection decodes byte by byte, with the same functions as [`FrameHeader::decode`], so both
//! report an error at the first byte that shows it.

use super::{MaskingKey, OpCode};
use crate::ProtocolError;

/// The longest frame header: 2 bytes, a 64-bit length and a masking key.
pub const MAX_HEADER_LEN: usize = 14;

/// The longest payload of a control frame, in bytes (RFC 6455 §5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// The header of one frame (RFC 6455 §5.2).
///
/// [`decode`](Self::decode) checks what the header shows by itself: the opcode, the form of the
/// length, and that a control frame is short and final. [`Connection`](crate::Connection) checks whether the RSV bits,
/// the mask and the opcode are allowed at this point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameHeader {
    /// FIN: this is the last frame of its message.
    pub fin: bool,
    /// RSV1: set on the first frame of a compressed message (RFC 7692 §6).
    pub rsv1: bool,
    /// RSV2: no supported extension uses it.
    pub rsv2: bool,
    /// RSV3: no supported extension uses it.
    pub rsv3: bool,
    /// What the frame carries.
    pub opcode: OpCode,
    /// The masking key. Frames of a client have one, frames of a server do not.
    pub mask: Option<MaskingKey>,
    /// The length of the payload in bytes, below 2^63.
    pub len: u64,
}

impl FrameHeader {
    /// Returns the header of an unmasked, final frame without RSV bits.
    #[inline]
    #[must_use]
    pub const fn new(opcode: OpCode, len: u64) -> Self {
        Self { fin: true, rsv1: false, rsv2: false, rsv3: false, opcode, mask: None, len }
    }

    /// Decodes a header at the start of `bytes`. Returns it with its length in bytes, or `None` if `bytes` ends before the
    /// header does.
    ///
    /// # Errors
    ///
    /// - [`ProtocolError::ReservedOpcode`];
    /// - [`ProtocolError::FragmentedControl`] and [`ProtocolError::ControlTooLong`];
    /// - [`ProtocolError::NonMinimalLength`] and [`ProtocolError::LengthOverflow`].
    ///
    /// An error is reported at the first byte that shows it, even if the header is not complete.
    ///
    /// ```
    /// use ws_core::frame::{FrameHeader, OpCode};
    ///
    /// // RFC 6455 §5.7: an unmasked text frame "Hello".
    /// let (header, len) = FrameHeader::decode(b"\x81\x05Hello")?.unwrap();
    /// assert_eq!((header, len), (FrameHeader::new(OpCode::Text, 5), 2));
    /// assert_eq!(FrameHeader::decode(b"\x81")?, None);
    /// # Ok::<(), ws_core::ProtocolError>(())
    /// ```
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        let opcode = first_byte(first)?;
        let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
        let masked = second_byte(opcode, second)?;
        let Some((len, rest)) = extended_length(second, rest)? else { return Ok(None) };
        let (mask, rest) = if masked {
            let Some((key, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
            (Some(MaskingKey::new(*key)), rest)
        } else {
            (None, rest)
        };
        let header = Self {
            fin: first & 0x80 != 0,
            rsv1: first & 0x40 != 0,
            rsv2: first & 0x20 != 0,
            rsv3: first & 0x10 != 0,
            opcode,
            mask,
            len,
        };
        Ok(Some((header, bytes.len().saturating_sub(rest.len()))))
    }

    /// Returns the encoded header, with the length of the payload in its shortest form.
    ///
    /// Any header is encoded. The caller has to make sure that a control frame is short and final. The most significant bit
    /// of the length is dropped. [`Connection`](crate::Connection) sends only headers that follow the rules.
    #[inline]
    #[must_use]
    pub fn encode(&self) -> FrameHead {
        let first = u8::from(self.fin) << 7
            | u8::from(self.rsv1) << 6
            | u8::from(self.rsv2) << 5
            | u8::from(self.rsv3) << 4
            | self.opcode.bits();
        let masked = u8::from(self.mask.is_some()) << 7;
        let key = self.mask.map_or([0; 4], MaskingKey::to_bytes);
        let [k0, k1, k2, k3] = key;
        let key_len: u8 = if self.mask.is_some() { 4 } else { 0 };
        let bytes: [u8; MAX_HEADER_LEN];
        let len = if self.len < 126 {
            let short = masked | self.len as u8;
            bytes = [first, short, k0, k1, k2, k3, 0, 0, 0, 0, 0, 0, 0, 0];
            2
        } else if let Ok(len) = u16::try_from(self.len) {
            let [a, b] = len.to_be_bytes();
            bytes = [first, masked | 126, a, b, k0, k1, k2, k3, 0, 0, 0, 0, 0, 0];
            4
        } else {
            let [a, b, c, d, e, f, g, h] = (self.len & (u64::MAX >> 1)).to_be_bytes();
            bytes = [first, masked | 127, a, b, c, d, e, f, g, h, k0, k1, k2, k3];
            10
        };
        FrameHead { bytes, len: key_len.saturating_add(len) }
    }
}

/// The 2 to 14 encoded bytes of a frame header, which are sent before the payload.
///
/// It dereferences to a slice.
#[derive(Clone, Copy, Debug)]
pub struct FrameHead {
    bytes: [u8; MAX_HEADER_LEN],
    len: u8,
}

impl core::ops::Deref for FrameHead {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }
}

/// Returns the header of a frame with this first byte and a payload shorter than 64 KiB, and the length of the header. It
/// is computed in one word; the bytes behind the header are zero.
#[inline(always)]
pub(crate) fn short_header(first: u8, len: u16) -> ([u8; 8], usize) {
    let (word, header) = short_word(first, 0, len);
    (word.to_le_bytes(), header)
}

/// Like [`short_header`], for a frame that is masked with `key`.
#[inline(always)]
pub(crate) fn short_masked_header(first: u8, len: u16, key: MaskingKey) -> ([u8; 8], usize) {
    let (word, header) = short_word(first, 1 << 15, len);
    let key = u64::from(u32::from_le_bytes(key.to_bytes()));
    let word = word | key << if header == 2 { 16 } else { 32 };
    (word.to_le_bytes(), header.wrapping_add(4))
}

#[inline(always)]
fn short_word(first: u8, masked: u64, len: u16) -> (u64, usize) {
    let first = u64::from(first) | masked;
    if len < 126 {
        (first | u64::from(len) << 8, 2)
    } else {
        (first | 126 << 8 | u64::from(len.swap_bytes()) << 16, 4)
    }
}

/// Returns the opcode in the first byte of a frame.
#[inline]
pub(crate) fn first_byte(first: u8) -> Result<OpCode, ProtocolError> {
    let bits = first & 0x0f;
    let opcode = OpCode::from_bits(bits).ok_or(ProtocolError::ReservedOpcode(bits))?;
    if opcode.is_control() && first & 0x80 == 0 {
        return Err(ProtocolError::FragmentedControl);
    }
    Ok(opcode)
}

/// Returns whether the second byte of a frame says that it is masked.
#[inline]
pub(crate) fn second_byte(opcode: OpCode, second: u8) -> Result<bool, ProtocolError> {
    if opcode.is_control() && second & 0x7f > 125 {
        return Err(ProtocolError::ControlTooLong);
    }
    Ok(second & 0x80 != 0)
}

/// Returns the length of the payload, and what follows it in `rest`, which are the bytes after the second one.
#[inline]
pub(crate) fn extended_length(
    second: u8,
    rest: &[u8],
) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    match second & 0x7f {
        126 => {
            let Some((bytes, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
            let len = u16::from_be_bytes(*bytes);
            // mutant: 125 bytes in a 16-bit length
            if len < 126 {
                return Err(ProtocolError::NonMinimalLength);
            }
            Ok(Some((u64::from(len), rest)))
        }
        127 => {
            let Some((bytes, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
            let len = u64::from_be_bytes(*bytes);
            if len >> 63 != 0 {
                return Err(ProtocolError::LengthOverflow);
            }
            if len <= 0xffff {
                return Err(ProtocolError::NonMinimalLength);
            }
            Ok(Some((len, rest)))
        }
        short => Ok(Some((u64::from(short), rest))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6455 §5.2: the shortest form, big-endian, at each boundary
    #[test]
    fn sent_length_minimal() {
        let cases: [(u64, &[u8]); 7] = [
            (0, &[0x82, 0]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65535, &[0x82, 126, 0xff, 0xff]),
            (65536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            (1 << 40, &[0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0]),
            ((1 << 63) - 1, &[0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ];
        for (len, bytes) in cases {
            let header = FrameHeader::new(OpCode::Binary, len);
            assert_eq!(header.encode()[..], *bytes);
            assert_eq!(FrameHeader::decode(bytes), Ok(Some((header, bytes.len()))));
            for end in 0..bytes.len() {
                assert_eq!(FrameHeader::decode(&bytes[..end]), Ok(None));
            }
        }
    }

    // RFC 6455 §5.2: one meaning for every header, whatever its flags
    #[test]
    fn header_round_trip() {
        for first in 0..=u8::MAX {
            let Ok(opcode) = first_byte(first) else { continue };
            for len in [0, 1, 125, 126, 65535, 65536, u64::MAX >> 1] {
                for mask in [None, Some(MaskingKey::new([1, 2, 3, 4]))] {
                    if opcode.is_control() && len > 125 {
                        continue;
                    }
                    let header = FrameHeader {
                        fin: first & 0x80 != 0,
                        rsv1: first & 0x40 != 0,
                        rsv2: first & 0x20 != 0,
                        rsv3: first & 0x10 != 0,
                        opcode,
                        mask,
                        len,
                    };
                    let head = header.encode();
                    assert_eq!(FrameHeader::decode(&head), Ok(Some((header, head.len()))));
                }
            }
        }
    }

    #[test]
    fn header_errors_come_from_the_first_bytes_that_show_them() {
        use ProtocolError::*;
        let cases: [(&[u8], ProtocolError); 11] = [
            (&[0x83], ReservedOpcode(3)),
            (&[0x8b], ReservedOpcode(0xb)),
            (&[0x09], FragmentedControl),
            (&[0x08], FragmentedControl),
            (&[0x89, 126], ControlTooLong),
            (&[0x88, 127], ControlTooLong),
            (&[0x8a, 0xfe], ControlTooLong),
            (&[0x82, 126, 0, 125], NonMinimalLength),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], NonMinimalLength),
            (&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], LengthOverflow),
            (&[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], LengthOverflow),
        ];
        for (bytes, error) in cases {
            assert_eq!(FrameHeader::decode(bytes), Err(error), "{bytes:02x?}");
            for end in 0..bytes.len() - 1 {
                assert_eq!(FrameHeader::decode(&bytes[..end]), Ok(None), "{bytes:02x?}");
            }
        }
    }
}
