//! Compares what both sides do with a head, and changes a head, so that an oracle can take an intended difference away and compare
//! again.

use ws_core::handshake::DEFAULT_MAX_HEAD;

/// What one side does with a head.
#[derive(Debug)]
pub enum Fate<A, E> {
    Incomplete,
    Accepted(A),
    Refused(E),
}

/// Compares what both sides do with the input. If only one of them refuses a head that is not complete, it compares what they
/// do with the same head when it is complete: one refuses at the byte that breaks a rule, and the other one waits for the
/// end of the head (RFC 9112 §2.2).
pub fn check<A, E, F>(
    data: &[u8],
    ours: impl Fn(&[u8]) -> Fate<A, E>,
    theirs: impl Fn(&[u8]) -> Fate<A, F>,
    compare: impl Fn(&[u8], Fate<A, E>, Fate<A, F>),
) {
    let data = &data[..data.len().min(MAX_INPUT)];
    match (ours(data), theirs(data)) {
        (Fate::Refused(_), Fate::Incomplete) | (Fate::Incomplete, Fate::Refused(_)) => {
            let whole = completed(data);
            compare(&whole, ours(&whole), theirs(&whole));
        }
        (ours, theirs) => compare(data, ours, theirs),
    }
}

/// Returns whether an LF has no CR before it. Lines end with CRLF (RFC 9112 §2.2).
pub fn has_bare_lf(head: &[u8]) -> bool {
    head.split_inclusive(|byte| *byte == b'\n')
        .any(|line| line.ends_with(b"\n") && !line.ends_with(b"\r\n"))
}

/// The longest input. There is room to complete a head of this length and to change it.
const MAX_INPUT: usize = DEFAULT_MAX_HEAD - 64;

/// What completes a head, wherever it was cut.
const END: &[u8] = b"\r\n\r\n";

/// Returns the head with an end.
fn completed(head: &[u8]) -> Vec<u8> {
    [head, END].concat()
}

/// Returns whether there is nothing but empty lines, which are no head even if one more follows.
pub fn is_empty(head: &[u8]) -> bool {
    head.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}

/// The lines of a complete head, with their ends. What is not changed stays as it was received.
pub struct Head(Vec<Vec<u8>>);

impl Head {
    pub fn new(head: &[u8]) -> Self {
        Self(head.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect())
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0.concat()
    }

    /// Returns the first line that is not empty.
    pub fn start_line(&mut self) -> &mut [u8] {
        self.0.iter_mut().find(|line| !is_empty(line)).expect("a start line")
    }

    /// Returns the values of all fields of this name.
    pub fn values(&self, name: &str) -> Vec<&[u8]> {
        self.0.iter().filter_map(|line| value(line, name)).collect()
    }

    /// Puts one field in the place of all fields of this name, or at the end if there is none.
    pub fn put(&mut self, name: &str, new: &[u8]) {
        let is_field = |line: &Vec<u8>| value(line, name).is_some();
        let place = self.0.iter().position(is_field).unwrap_or(self.0.len() - 1);
        self.0.retain(|line| !is_field(line));
        self.0.insert(place, [name.as_bytes(), b": ", new, b"\r\n"].concat());
    }

    /// Puts one field with this element in the place of a list that contains it, if the list is in several fields or
    /// `differs`.
    pub fn reduce(&mut self, name: &str, element: &str, differs: impl Fn(&[u8]) -> bool) {
        let list = self.values(name).join(&b',');
        let is_element = |part: &[u8]| part.trim_ascii().eq_ignore_ascii_case(element.as_bytes());
        if (self.values(name).len() > 1 || differs(&list))
            && list.split(|byte| *byte == b',').any(is_element)
        {
            self.put(name, element.as_bytes());
        }
    }
}

fn value<'l>(line: &'l [u8], name: &str) -> Option<&'l [u8]> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
}
