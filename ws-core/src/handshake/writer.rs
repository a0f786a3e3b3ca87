//! Writing heads into a buffer of the caller, and checking the headers that the caller sets.
//!
//! A writer that runs out of room continues to count, so that the error can contain the length that is needed. Names
//! and values are checked before they are written, so a caller cannot insert CR or LF into a head. The writers of
//! requests and responses use this module.

use super::error::OpenError;
use super::lists::is_token;
use crate::frame::copy;

/// Copies what fits, and counts all bytes, so that the error of a failed write contains the length that is needed.
pub(crate) struct Writer<'o> {
    out: &'o mut [u8],
    length: usize,
}

impl<'o> Writer<'o> {
    pub(crate) fn new(out: &'o mut [u8]) -> Self {
        Self { out, length: 0 }
    }

    pub(crate) fn put(&mut self, text: &str) {
        self.put_bytes(text.as_bytes());
    }

    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        let end = self.length.saturating_add(bytes.len());
        if let Some(room) = self.out.get_mut(self.length..end) {
            copy(bytes, room);
        }
        self.length = end;
    }

    /// Writes a field. The caller must have checked the name and the value.
    pub(super) fn field(&mut self, name: &str, value: &str) {
        self.put(name);
        self.put(": ");
        self.put(value);
        self.put("\r\n");
    }

    pub(crate) fn decimal(&mut self, number: usize) {
        let mut digits = [b'0'; 20];
        let mut rest = number;
        let mut start = digits.len();
        for (position, digit) in digits.iter_mut().enumerate().rev() {
            // The remainder is below ten.
            *digit = b'0'.wrapping_add((rest % 10) as u8);
            start = position;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.put_bytes(digits.get(start..).unwrap_or_default());
    }

    pub(crate) fn finish(self) -> Result<usize, OpenError> {
        if self.length <= self.out.len() {
            Ok(self.length)
        } else {
            Err(OpenError::BufferTooSmall { needed: self.length })
        }
    }
}

/// Checks each header of the caller and passes it to `field`. `reserved` returns a name for the headers that a caller
/// cannot set.
pub(super) fn put_headers<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    mut field: impl FnMut(&str, &str),
    reserved: impl Fn(&str) -> Option<&'static str>,
) -> Result<(), OpenError> {
    for (name, value) in headers {
        if !is_token(name.as_bytes()) {
            return Err(OpenError::InvalidHeaderName);
        }
        check_value(value)?;
        if let Some(name) = reserved(name) {
            return Err(OpenError::ReservedHeader(name));
        }
        field(name, value);
    }
    Ok(())
}

/// Refuses control characters, such as CR, LF and NUL, but allows tabs (RFC 9110 §5.5).
pub(super) fn check_value(value: &str) -> Result<(), OpenError> {
    if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(OpenError::InvalidHeaderValue);
    }
    Ok(())
}

/// Returns the element of `names` that equals `name`. The case does not matter.
pub(super) fn one_of(name: &str, names: &[&'static str]) -> Option<&'static str> {
    names.iter().copied().find(|known| known.eq_ignore_ascii_case(name))
}

/// Returns `Sec-WebSocket-*` if the name begins with `Sec-WebSocket-`.
pub(super) fn websocket_field(name: &str) -> Option<&'static str> {
    let start = name.get(..14)?;
    start.eq_ignore_ascii_case("Sec-WebSocket-").then_some("Sec-WebSocket-*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writer_counts_past_the_end() {
        let mut out = [0; 20];
        for (number, text) in [(0, "0"), (7, "7"), (10, "10"), (65_535, "65535")] {
            let mut writer = Writer::new(&mut out);
            writer.decimal(number);
            let length = writer.finish().unwrap();
            assert_eq!(&out[..length], text.as_bytes());
        }
        let mut writer = Writer::new(&mut out);
        writer.decimal(usize::MAX);
        let needed = if usize::BITS == 64 { 20 } else { 10 };
        assert_eq!(writer.finish(), Ok(needed));
        let mut writer = Writer::new(&mut out[..3]);
        writer.put("ab");
        writer.put("cd");
        writer.put("e");
        assert_eq!(writer.finish(), Err(OpenError::BufferTooSmall { needed: 5 }));
    }
}
