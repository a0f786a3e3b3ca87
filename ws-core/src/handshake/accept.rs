//! The keys of the opening handshake: `Sec-WebSocket-Key` and `Sec-WebSocket-Accept`.
//!
//! A client sends a [`ClientKey`], and a server answers it with [`accept_key`]. That function hashes the key exactly as
//! it was sent and never decodes it. The parser of requests checks whether a received key is valid.

use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::block_api::compress;

/// The first of the two blocks that are hashed: room for the key, the GUID that a server appends to it (RFC 6455 §1.3),
/// and the bit that ends a message (RFC 3174 §4).
// mutant: a GUID that is not the RFC's
const BLOCK: [u8; 64] = *b"------------------------258EAFA5-E914-47DA-95CA-C5AB0DC85B11\x80\0\0\0";

/// The length of the message in bits. The second block consists of zeros and, at its end, this number.
const BITS: u16 = 60 * 8;

/// A client's `Sec-WebSocket-Key`: 16 random bytes in base64, 24 characters (RFC 6455 §4.1).
///
/// `Debug` does not show the key.
///
/// ```
/// use ws_core::handshake::ClientKey;
///
/// // The nonce must be fresh and random for each connection.
/// let key = ClientKey::from_nonce(*b"the sample nonce");
/// assert_eq!(key.as_str(), "dGhlIHNhbXBsZSBub25jZQ==");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientKey([u8; 24]);

impl ClientKey {
    /// Encodes a nonce and returns the key. Its pad bits are zero (RFC 6455 erratum 3150).
    #[must_use]
    pub fn from_nonce(nonce: [u8; 16]) -> Self {
        let mut text = [b'='; 24];
        // 16 bytes always encode to 24 characters, so this cannot fail.
        let _ = STANDARD.encode_slice(nonce, &mut text);
        Self(text)
    }

    /// Returns the value of the field, which has 24 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        ascii(&self.0)
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKey(..)")
    }
}

/// Returns the `Sec-WebSocket-Accept` that answers a key: base64(SHA-1(key ‖ GUID)) (RFC 6455 §4.2.2).
///
/// The result is 28 ASCII characters. The key is hashed exactly as it was sent and is not decoded. The function returns
/// `None` if the key does not have 24 bytes, which every valid key has. [`AcceptResponse`](super::AcceptResponse) calls
/// this function itself.
///
/// ```
/// let accept = ws_core::handshake::accept_key("dGhlIHNhbXBsZSBub25jZQ==");
/// assert_eq!(accept.as_ref(), Some(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
/// ```
#[must_use]
pub fn accept_key(key: &str) -> Option<[u8; 28]> {
    let hash = hash(key.as_bytes().try_into().ok()?);
    let mut text = [b'='; 28];
    // 20 bytes always encode to 28 characters, so this cannot fail.
    let _ = STANDARD.encode_slice(hash, &mut text);
    Some(text)
}

/// Returns the SHA-1 of a key followed by the GUID.
fn hash(key: &[u8; 24]) -> [u8; 20] {
    // RFC 3174 §6.1.
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut blocks = [BLOCK, [0; 64]];
    let [first, last] = &mut blocks;
    if let (Some(start), Some(end)) = (first.first_chunk_mut(), last.last_chunk_mut()) {
        (*start, *end) = (*key, BITS.to_be_bytes());
    }
    compress(&mut state, &blocks);
    let mut hash = [0; 20];
    for (bytes, word) in hash.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&u32::to_be_bytes(word));
    }
    hash
}

/// Returns whether a key is 24 characters of base64 that decode to exactly 16 bytes (RFC 6455 §4.2.1).
///
/// Pad bits need not be zero, because those of the RFC's own sample were not before erratum 3150.
pub(super) fn is_valid_key(key: &str) -> bool {
    // 16 bytes encode to 22 characters (132 bits, of which the last four are padding) and two pad characters. Because
    // pad bits of any value are allowed, every such text decodes, and no other text does.
    match key.as_bytes().split_at_checked(22) {
        // There is no branch per byte, so the compiler can compare many bytes at once.
        Some((text, b"==")) => text.iter().fold(true, |valid, &byte| {
            valid & (byte.is_ascii_alphanumeric() | matches!(byte, b'+' | b'/'))
        }),
        _ => false,
    }
}

/// Returns base64 as text. Base64 is ASCII, so the fallback is never used.
pub(super) fn ascii(base64: &[u8]) -> &str {
    core::str::from_utf8(base64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

    // RFC 6455 §1.3 and §4.2.2. The further values come from Python's hashlib.
    #[test]
    fn accept_key_vectors() {
        for (key, accept) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="),
        ] {
            assert_eq!(accept_key(key).as_ref().map(|accept| ascii(accept)), Some(accept));
            assert_eq!(accept_key(&key[1..]), None);
            assert_eq!(accept_key(&[key, "="].concat()), None);
        }
    }

    // RFC 6455 §4.1 and erratum 3150.
    #[test]
    fn client_key_is_16_bytes_canonical_base64() {
        let nonce = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
        let key = ClientKey::from_nonce(nonce);
        assert_eq!(key.as_str(), "AQIDBAUGBwgJCgsMDQ4PEA==");
        for seed in 0..=255_u8 {
            let nonce = [seed; 16];
            let key = ClientKey::from_nonce(nonce);
            let mut decoded = [0; 18];
            // The strict engine refuses pad bits that are not zero.
            assert_eq!(STANDARD.decode_slice(key.as_str(), &mut decoded), Ok(16));
            assert_eq!(decoded[..16], nonce);
            assert!(is_valid_key(key.as_str()));
        }
    }

    // RFC 6455 §4.2.1: the short check agrees with a decoder that allows trailing bits.
    #[test]
    fn key_check_agrees_with_a_decoder() {
        let lenient = GeneralPurpose::new(
            &base64::alphabet::STANDARD,
            GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
        );
        let base = *b"AQIDBAUGBwgJCgsMDQ4PEC==";
        for position in 0..24 {
            for byte in 0..128 {
                let mut text = base;
                text[position] = byte;
                let text = core::str::from_utf8(&text).unwrap();
                let mut decoded = [0; 18];
                let expected = lenient.decode_slice(text, &mut decoded) == Ok(16);
                assert_eq!(is_valid_key(text), expected, "{text:?}");
            }
        }
        // The last character before the padding can have any pad bits. Padding of another length is refused.
        assert!(is_valid_key("AQIDBAUGBwgJCgsMDQ4PEC=="));
        assert!(!is_valid_key("AQIDBAUGBwgJCgsMDQ4PECAB"));
        for text in ["", "==", "AQIDBAUGBwgJCgsMDQ4PEA=", "AQIDBAUGBwgJCgsMDQ4PEA===", "é"] {
            assert!(!is_valid_key(text), "{text:?}");
        }
    }
}
