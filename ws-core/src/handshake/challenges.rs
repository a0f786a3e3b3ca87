//! The schemes of an authentication challenge (RFC 9110 §11.6.1).

use super::lists::TOKEN;

/// Returns the scheme of each challenge in a field such as `WWW-Authenticate`: a token that begins a list element and has
/// no `=` after it. Parameters are not returned.
pub(crate) fn schemes(mut list: &[u8]) -> impl Iterator<Item = &str> {
    core::iter::from_fn(move || {
        while !list.is_empty() {
            let (element, rest) = split_element(list);
            list = rest;
            let element = element.trim_ascii_start();
            let (token, parameters) =
                element.split_at_checked(TOKEN.prefix(element)).unwrap_or_default();
            if !token.is_empty() && !parameters.trim_ascii_start().starts_with(b"=") {
                // A token is ASCII.
                return core::str::from_utf8(token).ok();
            }
        }
        None
    })
}

/// Splits a list at its first comma that is not in a quoted string (RFC 9110 §5.6.1, §5.6.4).
fn split_element(list: &[u8]) -> (&[u8], &[u8]) {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let comma = list.iter().position(|&byte| {
        let was_escaped = core::mem::take(&mut is_escaped);
        match byte {
            b'"' if !was_escaped => is_quoted = !is_quoted,
            b'\\' if !was_escaped => is_escaped = is_quoted,
            _ => {}
        }
        byte == b',' && !is_quoted
    });
    let (element, tail) = list.split_at_checked(comma.unwrap_or(list.len())).unwrap_or_default();
    (element, tail.get(1..).unwrap_or_default())
}
