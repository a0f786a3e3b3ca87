//! The field section of a head (RFC 9112 §5), parsed by `httparse`.

use super::error::HandshakeError;
use crate::SHORT_CUTS;

/// One field of a head: a name and a value without the white space around it.
///
/// The caller lends an array of these, and so chooses how many fields a head may have.
pub type Field<'h> = httparse::Header<'h>;

/// What an array of [`Field`] is filled with before it is lent.
pub const EMPTY_FIELD: Field<'static> = httparse::EMPTY_HEADER;

/// The values of all fields of one name, in order; the name is compared without regard to case.
#[derive(Clone)]
pub struct FieldValues<'a, 'h> {
    fields: core::slice::Iter<'a, Field<'h>>,
    name: &'a str,
}

impl<'a, 'h> FieldValues<'a, 'h> {
    pub(super) fn new(fields: &'a [Field<'h>], name: &'a str) -> Self {
        Self { fields: fields.iter(), name }
    }

    pub(super) const fn name(&self) -> &'a str {
        self.name
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

/// A field that may come once: its first value, and whether another came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Single<'h> {
    pub(super) first: Option<&'h [u8]>,
    pub(super) repeated: bool,
}

impl<'h> Single<'h> {
    pub(super) fn add(&mut self, value: &'h [u8]) {
        match self.first {
            None => self.first = Some(value),
            Some(_) => self.repeated = true,
        }
    }

    pub(super) fn of(values: FieldValues<'_, 'h>) -> Self {
        let mut single = Self::default();
        values.for_each(|value| single.add(value));
        single
    }
}

/// Splits a head into its first line and the rest, which begins with the first field.
///
/// Checks what `httparse` does not: it takes a bare LF as the end of a line.
pub(super) fn split_start_line(head: &[u8]) -> Result<(&[u8], &[u8]), HandshakeError> {
    // Branch-free, so that the compiler can compare many bytes at once.
    let followers = head.get(1..).unwrap_or_default();
    let bare = head
        .iter()
        .zip(followers)
        .fold(head.first() == Some(&b'\n'), |bare, (a, b)| bare | ((*b == b'\n') & (*a != b'\r')));
    if bare {
        return Err(HandshakeError::BareLf);
    }
    let end = head.iter().position(|&byte| byte == b'\r').ok_or(HandshakeError::IncompleteHead)?;
    match head.split_at_checked(end) {
        Some((line, [b'\r', b'\n', rest @ ..])) => Ok((line, rest)),
        Some((_, [b'\r'])) | None => Err(HandshakeError::IncompleteHead),
        Some(_) => Err(HandshakeError::BareCr),
    }
}

/// Parses the fields and the empty line, which must be all that is there.
pub(super) fn parse_fields<'f, 'h>(
    section: &'h [u8],
    storage: &'f mut [Field<'h>],
) -> Result<&'f [Field<'h>], HandshakeError> {
    match httparse::parse_headers(section, storage) {
        Ok(httparse::Status::Complete((length, fields))) if length == section.len() => Ok(fields),
        Ok(_) => Err(HandshakeError::IncompleteHead),
        Err(httparse::Error::TooManyHeaders) => Err(HandshakeError::TooManyFields),
        Err(httparse::Error::HeaderValue) => Err(HandshakeError::InvalidFieldValue),
        Err(_) => Err(HandshakeError::InvalidFieldName),
    }
}

/// One or more decimal digits; `None` also for a number above 64 bits.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = (*byte as char).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The minor version of an `HTTP/d.d` text: `Ok(None)` for another major version than 1.
pub(super) fn parse_http_version(text: &[u8]) -> Option<Result<u8, ()>> {
    match text.strip_prefix(b"HTTP/")? {
        [major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] => {
            Some(if *major == b'1' { Ok(minor.wrapping_sub(b'0')) } else { Err(()) })
        }
        _ => None,
    }
}
