//! Comma-separated lists over repeated fields, and tokens (RFC 9110 §5.6).
//!
//! Nothing is copied: elements are slices of the head. The parsers of requests and responses use this module, and
//! applications call [`select_subprotocol`].

use super::fields::{Field, FieldValues};
use crate::SHORT_CUTS;

/// Iterates over the elements of a comma-separated list in all fields of one name, in order (RFC 9110 §5.6.1).
///
/// Elements have no white space around them, and empty ones are skipped. This does not parse quoted strings;
/// [`Extensions`](super::extensions::Extensions) does.
#[derive(Clone)]
pub(super) struct ListElements<'f, 'h> {
    values: FieldValues<'f, 'h>,
    rest: &'h [u8],
}

impl<'f, 'h> ListElements<'f, 'h> {
    pub(super) fn new(fields: &'f [Field<'h>], name: &'f str) -> Self {
        Self { values: FieldValues::new(fields, name), rest: &[] }
    }
}

impl<'h> Iterator for ListElements<'_, 'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        loop {
            while !self.rest.is_empty() {
                let element = take_element(&mut self.rest);
                if !element.is_empty() {
                    return Some(element);
                }
            }
            self.rest = self.values.next()?;
        }
    }
}

/// Returns the first of the server's subprotocols, in the server's order of preference, that the client offers.
///
/// The comparison is case-sensitive. Pass the result to
/// [`AcceptResponse::subprotocol`](super::AcceptResponse::subprotocol). If it is `None`, the response has no
/// `Sec-WebSocket-Protocol` (RFC 6455 §4.2.2).
///
/// ```
/// use ws_core::handshake::select_subprotocol;
///
/// let offered = ["chat", "superchat"];
/// assert_eq!(select_subprotocol(offered, &["superchat", "chat"]), Some("superchat"));
/// assert_eq!(select_subprotocol(offered, &["Chat"]), None);
/// ```
#[must_use]
pub fn select_subprotocol<'o, 's, I, S>(offered: I, supported: &'s [S]) -> Option<&'s str>
where
    I: IntoIterator<Item = &'o str>,
    I::IntoIter: Clone,
    S: AsRef<str>,
{
    let offered = offered.into_iter();
    supported.iter().map(AsRef::as_ref).find(|name| offered.clone().any(|offer| offer == *name))
}

/// Returns whether a text is a token: one or more of the characters that RFC 9110 §5.6.2 allows.
///
/// Field names, subprotocols and extension names are tokens.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && TOKEN.prefix(text) == text.len()
}

/// Returns whether a comma-separated list contains a token. The case of ASCII letters does not matter.
#[inline]
pub(super) fn contains_token(list: &[u8], token: &str) -> bool {
    // Most lists have only this element, and most clients write it as the RFC does.
    SHORT_CUTS && list == token.as_bytes() || has_element(list, token)
}

fn has_element(mut list: &[u8], token: &str) -> bool {
    while !list.is_empty() {
        if take_element(&mut list).eq_ignore_ascii_case(token.as_bytes()) {
            return true;
        }
    }
    false
}

/// A set of bytes as a lookup table. Names and values are checked byte by byte, and comparing with ranges would be
/// slower.
pub(crate) struct ByteSet([u8; 256 / PER_ENTRY]);

/// How many byte values share one entry of the table: one if there is enough memory, otherwise eight.
const PER_ENTRY: usize = if SHORT_CUTS { 1 } else { 8 };

#[allow(clippy::modulo_one, reason = "of eight where there is less memory")]
impl ByteSet {
    /// Returns the set of the ASCII letters, the ASCII digits, and `others`.
    #[allow(clippy::indexing_slicing, reason = "out of bounds, a constant does not compile")]
    pub(super) const fn alphanumeric_and(others: &[u8]) -> Self {
        let mut bits = [0; 256 / PER_ENTRY];
        let mut byte = 0_usize;
        while byte < 256 {
            let mut member = (byte as u8).is_ascii_alphanumeric();
            let mut rest = others;
            while let [other, tail @ ..] = rest {
                member |= *other == byte as u8;
                rest = tail;
            }
            bits[byte / PER_ENTRY] |= (member as u8) << (byte % PER_ENTRY);
            byte = byte.wrapping_add(1);
        }
        Self(bits)
    }

    #[inline]
    pub(super) fn has(&self, byte: u8) -> bool {
        let byte = usize::from(byte);
        self.0.get(byte / PER_ENTRY).is_some_and(|bits| bits >> (byte % PER_ENTRY) & 1 != 0)
    }

    /// Returns how many bytes at the start of the text are in the set.
    pub(crate) fn prefix(&self, text: &[u8]) -> usize {
        let mut rest = text;
        while SHORT_CUTS {
            // This takes one branch for every four bytes.
            let Some((bytes, tail)) = rest.split_first_chunk::<4>() else { break };
            if !all_bytes(bytes, |byte| self.has(byte)) {
                break;
            }
            rest = tail;
        }
        let last = rest.iter().take_while(|&&byte| self.has(byte)).count();
        text.len().saturating_sub(rest.len()).saturating_add(last)
    }
}

/// The characters of a token (RFC 9110 §5.6.2).
pub(super) static TOKEN: ByteSet = ByteSet::alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// Returns the text without the spaces and tabs around it (RFC 9110 §5.6.3).
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', tail @ ..] = text {
        text = tail;
    }
    while let [head @ .., b' ' | b'\t'] = text {
        text = head;
    }
    text
}

/// Splits a text before the first of some ASCII characters. Returns `None` if there is none.
pub(super) fn split_at_first<'t>(text: &'t str, of: &[u8]) -> Option<(&'t str, &'t str)> {
    text.split_at_checked(text.bytes().position(|byte| of.contains(&byte))?)
}

/// Removes the first element and the comma after it from the list, and returns the element.
fn take_element<'h>(list: &mut &'h [u8]) -> &'h [u8] {
    let comma = list.iter().position(|&byte| byte == b',').unwrap_or(list.len());
    let (element, tail) = list.split_at_checked(comma).unwrap_or((list, &[]));
    *list = tail.split_first().map_or(&[], |(_, tail)| tail);
    trim(element)
}

/// Returns whether all bytes pass the test. Most do, so if there is enough memory for it, this does not branch for each
/// byte.
pub(super) fn all_bytes(bytes: &[u8], test: impl Fn(u8) -> bool) -> bool {
    if SHORT_CUTS {
        bytes.iter().fold(true, |all, &byte| all & test(byte))
    } else {
        bytes.iter().all(|&byte| test(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9110 §5.6.2.
    #[test]
    fn http_field_name_token() {
        let allowed = b"!#$%&'*+-.^_`|~";
        for byte in 0..=255_u8 {
            let expected = byte.is_ascii_alphanumeric() || allowed.contains(&byte);
            assert_eq!(is_token(&[byte]), expected, "{byte:#04x}");
        }
        assert!(!is_token(b""));
    }

    // RFC 9110 §5.6.1.
    #[test]
    fn http_empty_list_elements() {
        assert!(contains_token(b",, \t,keep-alive , UPGRADE,", "upgrade"));
        assert!(!contains_token(b"", "upgrade"));
        assert!(!contains_token(b"upgrades, up, grade", "upgrade"));
        assert!(!contains_token(b"\"upgrade\"", "upgrade"));
    }
}
