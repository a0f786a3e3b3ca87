//! A second parser of `Sec-WebSocket-Extensions`, written from RFC 6455 §9.1 and the rules of RFC 2616 §2 that its ABNF
//! names: first it makes words of the text, then it reads the words.
//!
//! ```text
//! extension-list  = 1#extension
//! extension       = extension-token *( ";" extension-param )
//! extension-param = token [ "=" (token | quoted-string) ]
//! ```

use core::fmt;

/// An extension, as it was offered or accepted.
pub(crate) struct Extension {
    pub(crate) name: String,
    pub(crate) params: Vec<(String, Option<String>)>,
}

impl Extension {
    pub(crate) fn is_deflate(&self) -> bool {
        self.name == "permessage-deflate"
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (name, value) in &self.params {
            match value {
                Some(value) => write!(f, ";{name}={value}")?,
                None => write!(f, ";{name}")?,
            }
        }
        Ok(())
    }
}

enum Word {
    Token(String),
    Quoted(String),
    Separator(u8),
}

/// Returns the extensions of all fields, or `None` if one is malformed. Repeated fields are one list (RFC 6455 §9.1),
/// and empty elements are tolerated (RFC 9110 §5.6.1).
pub(crate) fn parse(values: &[&[u8]]) -> Option<Vec<Extension>> {
    let words = words(&values.join(&b','))?;
    words
        .split(|word| matches!(word, Word::Separator(b',')))
        .filter(|element| !element.is_empty())
        .map(extension)
        .collect()
}

fn words(text: &[u8]) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' => {}
            b',' | b';' | b'=' => words.push(Word::Separator(byte)),
            b'"' => {
                let mut quoted = String::new();
                loop {
                    match bytes.next()? {
                        b'"' => break,
                        b'\\' => quoted.push(bytes.next()?.into()),
                        byte => quoted.push(byte.into()),
                    }
                }
                // "the value after quoted-string unescaping MUST conform to the 'token' ABNF"
                if quoted.is_empty() || !quoted.bytes().all(is_token) || !quoted.is_ascii() {
                    return None;
                }
                words.push(Word::Quoted(quoted));
            }
            byte if is_token(byte) => {
                let mut token = String::from(char::from(byte));
                while let Some(byte) = bytes.next_if(|byte| is_token(*byte)) {
                    token.push(byte.into());
                }
                words.push(Word::Token(token));
            }
            _ => return None,
        }
    }
    Some(words)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte)
}

fn extension(words: &[Word]) -> Option<Extension> {
    let (Word::Token(name), mut rest) = words.split_first()? else { return None };
    let mut params = Vec::new();
    while let Some((Word::Separator(b';'), tail)) = rest.split_first() {
        let (Word::Token(name), tail) = tail.split_first()? else { return None };
        let (value, tail) = match tail {
            [Word::Separator(b'='), Word::Token(value) | Word::Quoted(value), tail @ ..] => {
                (Some(value.clone()), tail)
            }
            tail => (None, tail),
        };
        params.push((name.clone(), value));
        rest = tail;
    }
    rest.is_empty().then(|| Extension { name: name.clone(), params })
}
