//! The field section of a head (RFC 9112 §5): parsing it with `httparse`, and finding fields in it.
//!
//! Only this module uses `httparse`, and none of its types are public. A head borrows the slots that its fields were
//! written to, and the number of slots limits the number of fields. The parsers of requests and responses use this
//! module.

use core::fmt;

use super::error::HandshakeError;
use crate::SHORT_CUTS;

/// One field of a head: its name, and its value without the white space around it.
pub(crate) type Field<'h> = httparse::Header<'h>;

/// The initial value of the elements of an array of [`Field`].
pub(crate) const EMPTY_FIELD: Field<'static> = httparse::EMPTY_HEADER;

/// Room for the fields of one head, which [`RequestHead`](super::RequestHead) and
/// [`ResponseHead`](super::ResponseHead) borrow.
///
/// A head with more than `N` fields is refused. One slot takes the memory of four `usize`.
pub struct FieldSlots<'h, const N: usize>(pub(super) [Field<'h>; N]);

impl<const N: usize> FieldSlots<'_, N> {
    /// Returns empty slots.
    #[must_use]
    pub const fn new() -> Self {
        Self([EMPTY_FIELD; N])
    }
}

impl<const N: usize> Default for FieldSlots<'_, N> {
    fn default() -> Self {
        Self::new()
    }
}

/// `Debug` does not show the fields, because they may contain secrets.
impl<const N: usize> fmt::Debug for FieldSlots<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldSlots({N})")
    }
}

/// Iterates over the values of all fields of one name, in order. The case of the name does not matter.
#[derive(Clone)]
pub(super) struct FieldValues<'f, 'h> {
    fields: core::slice::Iter<'f, Field<'h>>,
    name: &'f str,
}

impl<'f, 'h> FieldValues<'f, 'h> {
    pub(super) fn new(fields: &'f [Field<'h>], name: &'f str) -> Self {
        Self { fields: fields.iter(), name }
    }
}

impl<'h> Iterator for FieldValues<'_, 'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let name = self.name;
        let is = |field: &&Field<'h>| {
            field.name.len() == name.len()
                && (SHORT_CUTS && field.name == name || field.name.eq_ignore_ascii_case(name))
        };
        self.fields.find(is).map(|field| field.value)
    }
}

/// Returns all fields in order, as names and values.
pub(super) fn pairs<'f, 'h>(
    fields: &'f [Field<'h>],
) -> impl Iterator<Item = (&'h str, &'h [u8])> + Clone + use<'f, 'h> {
    fields.iter().map(|field| (field.name, field.value))
}

/// Writes fields to the slots that another HTTP server has parsed.
pub(super) fn put_fields<'f, 'h>(
    fields: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    slots: &'f mut [Field<'h>],
) -> Result<&'f [Field<'h>], HandshakeError> {
    let mut count = 0_usize;
    for (name, value) in fields {
        *slots.get_mut(count).ok_or(HandshakeError::TooManyFields)? = Field { name, value };
        count = count.saturating_add(1);
    }
    Ok(slots.get(..count).unwrap_or_default())
}

/// A field that is allowed once: its first value, and whether it is repeated.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Single<'h> {
    pub(super) first: Option<&'h [u8]>,
    pub(super) repeated: bool,
}

impl<'h> Single<'h> {
    pub(super) fn of(fields: &[Field<'h>], name: &str) -> Self {
        let mut single = Self::default();
        FieldValues::new(fields, name).for_each(|value| single.add(value));
        single
    }

    pub(super) fn add(&mut self, value: &'h [u8]) {
        match self.first {
            None => self.first = Some(value),
            Some(_) => self.repeated = true,
        }
    }
}

/// Splits a head into its first line and the rest, which begins with the first field.
///
/// This refuses a bare LF, which `httparse` would accept as the end of a line.
pub(super) fn split_start_line(head: &[u8]) -> Result<(&[u8], &[u8]), HandshakeError> {
    // There is no branch per byte, so the compiler can compare many bytes at once.
    let followers = head.get(1..).unwrap_or_default();
    let bare = head
        .iter()
        .zip(followers)
        .fold(head.first() == Some(&b'\n'), |bare, (a, b)| bare | ((*b == b'\n') & (*a != b'\r')));
    if bare {
        return Err(HandshakeError::BareLf);
    }
    let end = head.iter().take_while(|byte| **byte != b'\r').count();
    match head.split_at_checked(end) {
        Some((line, [b'\r', b'\n', rest @ ..])) => Ok((line, rest)),
        Some((_, [] | [b'\r'])) | None => Err(HandshakeError::IncompleteHead),
        Some(_) => Err(HandshakeError::BareCr),
    }
}

/// Parses the fields and the empty line. Nothing may follow them.
pub(super) fn parse_fields<'f, 'h>(
    section: &'h [u8],
    slots: &'f mut [Field<'h>],
) -> Result<&'f [Field<'h>], HandshakeError> {
    match httparse::parse_headers(section, slots) {
        Ok(httparse::Status::Complete((length, fields))) if length == section.len() => Ok(fields),
        Ok(_) => Err(HandshakeError::IncompleteHead),
        Err(httparse::Error::TooManyHeaders) => Err(HandshakeError::TooManyFields),
        Err(httparse::Error::HeaderValue) => Err(HandshakeError::InvalidFieldValue),
        Err(_) => Err(HandshakeError::InvalidFieldName),
    }
}

/// Returns the value of `Content-Length`, if there is one.
pub(super) fn content_length(field: Single<'_>) -> Result<Option<u64>, HandshakeError> {
    let Some(value) = field.first else { return Ok(None) };
    if field.repeated {
        return Err(HandshakeError::RepeatedContentLength);
    }
    decimal(value).map(Some).ok_or(HandshakeError::InvalidContentLength)
}

/// Parses one or more decimal digits. Returns `None` for other text and for a number that does not fit in 64 bits.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = (*byte as char).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Returns the minor version of a text such as `HTTP/1.1`, or `Some(Err(()))` if the major version is not 1.
pub(super) fn parse_http_version(text: &[u8]) -> Option<Result<u8, ()>> {
    match text.strip_prefix(b"HTTP/")? {
        [major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] => {
            Some(if *major == b'1' { Ok(minor.wrapping_sub(b'0')) } else { Err(()) })
        }
        _ => None,
    }
}
