//! The parts of a request's target, decoded when the application asks for them.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::Request;
use crate::handshake::{HandshakeError, split_query};

impl Request {
    /// The path of the target as it was sent, which is not decoded: it begins with `/`, unless the request is for
    /// no path, such as `OPTIONS *`.
    pub fn path(&self) -> &str {
        split_query(self.resource_name()).0
    }

    /// The query of the target as it was sent, without the `?` before it.
    pub fn query(&self) -> Option<&str> {
        split_query(self.resource_name()).1
    }

    /// The segments of the path, decoded: `/a%20b/c` has `a b` and `c`. The root has one segment, which is empty.
    ///
    /// A segment can hold any character, a slash (`%2F`) and a NUL included, and `..` is not resolved: do not use one as
    /// the name of a file.
    ///
    /// # Errors
    ///
    /// [`InvalidEncoding`](HandshakeError::InvalidEncoding), whose status is 400, if there is a `%` that two hexadecimal
    /// digits do not follow, or if what is decoded is not UTF-8.
    pub fn path_segments(&self) -> Result<Vec<Cow<'_, str>>, HandshakeError> {
        let path = self.path();
        path.strip_prefix('/').unwrap_or(path).split('/').map(|text| decode(text, false)).collect()
    }

    /// The names and values of the query, decoded as HTML forms encode them: `&` between two of them, `+` for a space. A
    /// name without `=` has an empty value. They come in order, repeated ones included.
    ///
    /// ```
    /// # use ws_core::endpoint::Request;
    /// # use ws_core::handshake::HandshakeError;
    /// fn room(request: &Request) -> Result<Option<String>, HandshakeError> {
    ///     let pairs = request.query_pairs()?;
    ///     Ok(pairs.into_iter().find(|(name, _)| name == "room").map(|(_, room)| room.into_owned()))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`path_segments`](Self::path_segments).
    #[expect(clippy::type_complexity, reason = "a pair has no better name")]
    pub fn query_pairs(&self) -> Result<Vec<(Cow<'_, str>, Cow<'_, str>)>, HandshakeError> {
        let pairs = self.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name, true)?, decode(value, true)?))
            })
            .collect()
    }
}

/// Decodes percent-encoding (RFC 3986 §2.1) and, in a form, the `+` that stands for a space.
fn decode(text: &str, form: bool) -> Result<Cow<'_, str>, HandshakeError> {
    if !text.contains(['%', '+']) {
        return Ok(text.into());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => break,
            [b'%', tail @ ..] => {
                let (digits, tail) =
                    tail.split_at_checked(2).ok_or(HandshakeError::InvalidEncoding)?;
                let digit = |&byte: &u8| (byte as char).to_digit(16);
                decoded.push(
                    match digits {
                        [high, low] => digit(high).zip(digit(low)),
                        _ => None,
                    }
                    .map(|(high, low)| (high << 4 | low) as u8)
                    .ok_or(HandshakeError::InvalidEncoding)?,
                );
                tail
            }
            [b'+', tail @ ..] if form => {
                decoded.push(b' ');
                tail
            }
            [byte, tail @ ..] => {
                decoded.push(*byte);
                tail
            }
        };
    }
    let text = String::from_utf8(decoded).map_err(|_| HandshakeError::InvalidEncoding)?;
    Ok(text.into())
}
