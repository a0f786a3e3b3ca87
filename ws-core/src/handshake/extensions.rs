//! `Sec-WebSocket-Extensions` (RFC 6455 §9.1).
//!
//! ```text
//! extension-list  = 1#extension
//! extension       = extension-token *( ";" extension-param )
//! extension-param = token [ "=" (token | quoted-string) ]
//! ```
//!
//! A quoted value must be a token after its escapes are removed. White space is allowed around each separator, as the
//! RFC's notation (RFC 2616 §2.1) implies.
//!
//! The parser is lazy and copies nothing. The parsers of requests and responses validate whole lists with it. The
//! writers validate the extensions that the caller sets.

use super::error::HandshakeError;
use super::fields::{Field, FieldValues};
use super::lists::TOKEN;

/// Iterates over the extensions in all fields of that name, in order.
///
/// If the list was not validated, the iteration ends before the first malformed extension.
#[derive(Clone)]
pub(super) struct Extensions<'f, 'h> {
    values: FieldValues<'f, 'h>,
    rest: Cursor<'h>,
}

impl<'f, 'h> Extensions<'f, 'h> {
    /// Returns the extensions of all fields of that name.
    pub(super) fn new(fields: &'f [Field<'h>]) -> Self {
        let values = FieldValues::new(fields, "Sec-WebSocket-Extensions");
        Self { values, rest: Cursor(&[]) }
    }

    /// Returns the extensions of one field value.
    pub(super) fn from_value(value: &'h str) -> Self {
        Self { values: FieldValues::new(&[], ""), rest: Cursor(value.as_bytes()) }
    }

    /// Checks the rest of the list, and returns the number of its extensions.
    pub(super) fn validate(&self) -> Result<usize, HandshakeError> {
        let mut list = self.clone();
        let mut count = 0_usize;
        while list.advance()?.is_some() {
            count = count.saturating_add(1);
        }
        Ok(count)
    }

    fn advance(&mut self) -> Result<Option<Extension<'h>>, HandshakeError> {
        loop {
            match self.rest.extension() {
                Ok(None) => match self.values.next() {
                    Some(value) => self.rest = Cursor(value),
                    None => return Ok(None),
                },
                Ok(found) => return Ok(found),
                Err(Malformed) => return Err(HandshakeError::InvalidExtensions),
            }
        }
    }
}

impl<'h> Iterator for Extensions<'_, 'h> {
    type Item = Extension<'h>;

    fn next(&mut self) -> Option<Extension<'h>> {
        self.advance().unwrap_or(None)
    }
}

/// One extension of a list. In a request it is an offer, and in a response it was accepted.
#[derive(Clone, Copy)]
pub(super) struct Extension<'h> {
    /// A token, hence ASCII.
    name: &'h [u8],
    params: Cursor<'h>,
}

impl<'h> Extension<'h> {
    /// Returns the name of the extension, which is case-sensitive.
    pub(super) fn name(&self) -> &'h str {
        ascii(self.name)
    }

    /// Returns the parameters in order, as names with optional values. Repeated ones are included.
    #[cfg_attr(
        not(any(test, feature = "deflate")),
        expect(dead_code, reason = "only the names count of extensions that the caller speaks")
    )]
    pub(super) fn params(
        &self,
    ) -> impl Iterator<Item = (&'h str, Option<ParamValue<'h>>)> + Clone + use<'h> {
        let mut params = self.params;
        core::iter::from_fn(move || {
            let (name, value) = params.param().unwrap_or(None)?;
            Some((ascii(name), value))
        })
    }
}

/// The value of a parameter: a token, with or without quotes around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParamValue<'h> {
    /// The characters of the token, and backslashes that escape them. A token itself cannot contain a backslash.
    raw: &'h [u8],
}

impl<'h> ParamValue<'h> {
    /// Returns the bytes of the value without escapes. There is at least one, and all are ASCII.
    fn bytes(&self) -> impl Iterator<Item = u8> + Clone + use<'h> {
        self.raw.iter().copied().filter(|&byte| byte != b'\\')
    }
}

impl PartialEq<str> for ParamValue<'_> {
    fn eq(&self, other: &str) -> bool {
        self.bytes().eq(other.bytes())
    }
}

struct Malformed;

/// The name of a parameter, which is a token, and its value.
type Param<'h> = (&'h [u8], Option<ParamValue<'h>>);

/// Returns bytes as text that were checked to be token characters. The check itself does not do this, because it takes
/// time.
fn ascii(token: &[u8]) -> &str {
    core::str::from_utf8(token).unwrap_or_default()
}

/// The unread text of a list.
#[derive(Clone, Copy)]
struct Cursor<'h>(&'h [u8]);

impl<'h> Cursor<'h> {
    /// Reads the next extension and the comma after it. Returns `None` at the end of the list.
    fn extension(&mut self) -> Result<Option<Extension<'h>>, Malformed> {
        // Empty elements are tolerated (RFC 9110 §5.6.1).
        self.skip_space();
        while self.eat(b',') {
            self.skip_space();
        }
        if self.0.is_empty() {
            return Ok(None);
        }
        let name = self.token()?;
        let params = *self;
        while self.param()?.is_some() {}
        let params = Cursor(params.before(*self));
        if self.0.is_empty() || self.eat(b',') {
            Ok(Some(Extension { name, params }))
        } else {
            Err(Malformed)
        }
    }

    /// Reads a semicolon, the parameter after it, and the white space around them.
    fn param(&mut self) -> Result<Option<Param<'h>>, Malformed> {
        self.skip_space();
        if !self.eat(b';') {
            return Ok(None);
        }
        self.skip_space();
        let name = self.token()?;
        self.skip_space();
        if !self.eat(b'=') {
            return Ok(Some((name, None)));
        }
        self.skip_space();
        let raw = if self.eat(b'"') { self.quoted()? } else { self.token()? };
        self.skip_space();
        Ok(Some((name, Some(ParamValue { raw }))))
    }

    fn token(&mut self) -> Result<&'h [u8], Malformed> {
        let (token, tail) = self.0.split_at_checked(TOKEN.prefix(self.0)).ok_or(Malformed)?;
        self.0 = tail;
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    /// Reads the rest of a quoted string and its closing quote. The content must be a token.
    fn quoted(&mut self) -> Result<&'h [u8], Malformed> {
        let start = *self;
        loop {
            match self.0 {
                [b'\\', byte, tail @ ..] | [byte, tail @ ..] if TOKEN.has(*byte) => {
                    self.0 = tail;
                }
                [b'"', ..] if self.0.len() < start.0.len() => break,
                _ => return Err(Malformed),
            }
        }
        let raw = start.before(*self);
        self.eat(b'"');
        Ok(raw)
    }

    fn skip_space(&mut self) {
        while let [b' ' | b'\t', tail @ ..] = self.0 {
            self.0 = tail;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.0 {
            [first, tail @ ..] if *first == byte => {
                self.0 = tail;
                true
            }
            _ => false,
        }
    }

    /// Returns the text between this cursor and a later one over the same text.
    fn before(self, later: Self) -> &'h [u8] {
        self.0.get(..self.0.len().saturating_sub(later.0.len())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::Field;
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    /// Returns the list as one canonical line: names, `;`, parameters, and `|` between extensions.
    fn read(value: &str) -> Result<String, HandshakeError> {
        let list = Extensions::from_value(value);
        let count = list.validate()?;
        let lines: Vec<String> = list
            .map(|extension| {
                let mut line = extension.name().to_string();
                for (name, value) in extension.params() {
                    line += ";";
                    line += name;
                    if let Some(value) = value {
                        line += "=";
                        line.extend(value.bytes().map(char::from));
                    }
                }
                line
            })
            .collect();
        assert_eq!(lines.len(), count);
        Ok(lines.join("|"))
    }

    // RFC 6455 §9.1.
    #[test]
    fn extension_lists_follow_the_grammar() {
        for (value, expected) in [
            ("a", "a"),
            ("a, b ,c", "a|b|c"),
            (",, a,,b,", "a|b"),
            ("a;p", "a;p"),
            ("a ; p ; q = 1 , b", "a;p;q=1|b"),
            ("a;p=\"x\";p=y", "a;p=x;p=y"),
            (
                "permessage-deflate; client_max_window_bits",
                "permessage-deflate;client_max_window_bits",
            ),
        ] {
            assert_eq!(read(value).as_deref(), Ok(expected), "{value:?}");
        }
        for value in [
            "a;",
            "a;;p",
            ";p",
            "a;p=",
            "a;=1",
            "a b",
            "a;p q",
            "a=1",
            "a;p=1 2",
            "a/b",
            "é",
            "a;p=é",
            "a;p=\"1",
            "a;p=1\"",
            "a;p==1",
            "\"a\"",
            "a;\"p\"=1",
        ] {
            assert_eq!(read(value), Err(HandshakeError::InvalidExtensions), "{value:?}");
        }
        // A valid list has at least one element, but the caller has to check that.
        assert_eq!(Extensions::from_value(" , ").validate(), Ok(0));
    }

    // RFC 6455 §9.1: after unescaping, a quoted value must be a token.
    #[test]
    fn ext_quoted_param_must_be_token() {
        assert_eq!(read("a;p=\"1\\0\"").as_deref(), Ok("a;p=10"));
        for value in [
            "a;p=\"\"",
            "a;p=\"1 0\"",
            "a;p=\"1,0\"",
            "a;p=\"\\\"\"",
            "a;p=\"\\\\\"",
            "a;p=\"1\\\"",
            "a;p=\"\\\"",
            "a;p=\"a;b\"",
        ] {
            assert_eq!(read(value), Err(HandshakeError::InvalidExtensions), "{value:?}");
        }
        let escaped = Extensions::from_value("a;p=\"1\\5\"").next().unwrap();
        let (_, value) = escaped.params().next().unwrap();
        let value = value.unwrap();
        assert!(value == *"15" && value != *"1\\5" && value != *"1");
        assert!(value.bytes().eq(*b"15"));
    }
    // RFC 6455 §11.3.2, erratum 3433.
    #[test]
    fn a_list_goes_on_over_repeated_fields() {
        let fields = [
            Field { name: "Sec-WebSocket-Extensions", value: b"a; x=1, b" },
            Field { name: "Other", value: b"x" },
            Field { name: "sec-websocket-extensions", value: b"c" },
        ];
        let list = Extensions::new(&fields);
        assert_eq!(list.validate(), Ok(3));
        assert!(list.map(|extension| extension.name()).eq(["a", "b", "c"]));
    }
}
