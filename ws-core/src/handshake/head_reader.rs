//! Finding the end of a head in bytes that arrive in pieces.
//!
//! The reader looks at each byte once and keeps none of them. A head is parsed as a whole, so the caller collects the
//! bytes in one buffer. The result does not depend on how the bytes are cut. Servers and clients use the reader before
//! they parse, so that a head that never ends is refused at a limit.

use super::error::HandshakeError;
use crate::SHORT_CUTS;

/// Finds the empty line that ends a head.
///
/// The reader looks at each byte once and keeps none of them. It refuses a bare CR, a bare LF or a NUL as soon as it
/// sees one (RFC 9112 §2.2, RFC 9110 §5.5). It accepts empty lines before a request and counts them as part of the
/// head. The result does not depend on how the bytes are cut.
///
/// ```
/// use ws_core::handshake::HeadReader;
///
/// let mut reader = HeadReader::request(1024);
/// assert_eq!(reader.push(b"GET / HTTP/1.1\r\nHost: a\r\n\r"), Ok(None));
/// // The head has 27 bytes, of which one is here. The rest is the first frame.
/// assert_eq!(reader.push(b"\n\x81\x00"), Ok(Some(27)));
/// ```
#[derive(Clone, Debug)]
pub struct HeadReader {
    /// Whether empty lines before the head are allowed, and which errors are returned.
    is_request: bool,
    state: State,
    /// How many lines have ended, without empty ones.
    lines: usize,
    seen: usize,
    max_bytes: usize,
}

/// The kind of the last byte. Here a "line" has at least one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Only empty lines so far.
    Lead,
    LeadCr,
    InLine,
    LineCr,
    LineStart,
    EmptyLineCr,
    Complete,
    Failed(HandshakeError),
}

impl HeadReader {
    /// Returns a reader for the head of one request.
    ///
    /// The head may have `max_bytes` bytes, the empty line included.
    #[must_use]
    pub const fn request(max_bytes: usize) -> Self {
        Self::new(true, max_bytes)
    }

    /// Returns a reader for the head of one response.
    ///
    /// The head may have `max_bytes` bytes, the empty line included.
    #[must_use]
    pub const fn response(max_bytes: usize) -> Self {
        Self::new(false, max_bytes)
    }

    const fn new(is_request: bool, max_bytes: usize) -> Self {
        Self { is_request, state: State::Lead, lines: 0, seen: 0, max_bytes }
    }

    /// Reads the next bytes, and returns the length of the whole head once it is complete.
    ///
    /// The length counts from the first byte of the first call and includes empty lines before a request. Later bytes
    /// do not belong to the head. `None` means that more bytes are needed. Once the head is complete, every further
    /// call returns the same length.
    ///
    /// # Errors
    ///
    /// Returns [`BareCr`](HandshakeError::BareCr), [`BareLf`](HandshakeError::BareLf) or [`Nul`](HandshakeError::Nul),
    /// or an error for a head that exceeds the limit. For a request, that is
    /// [`RequestLineTooLong`](HandshakeError::RequestLineTooLong) if the first line has not ended, and otherwise
    /// [`HeadTooLarge`](HandshakeError::HeadTooLarge). For a response, it is
    /// [`ResponseHeadTooLarge`](HandshakeError::ResponseHeadTooLarge). Empty lines before a response are a
    /// [`MalformedStatusLine`](HandshakeError::MalformedStatusLine). Every further call returns the same error.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<usize>, HandshakeError> {
        if let State::Failed(error) = self.state {
            return Err(error);
        }
        self.scan(bytes).inspect_err(|error| self.state = State::Failed(*error))?;
        Ok((self.state == State::Complete).then_some(self.seen))
    }

    /// Reads the bytes up to the end of the head. Does nothing if the head is complete.
    fn scan(&mut self, bytes: &[u8]) -> Result<(), HandshakeError> {
        let room = self.max_bytes.saturating_sub(self.seen);
        let window = bytes.get(..room).unwrap_or(bytes);
        let mut rest = window;
        while self.state != State::Complete {
            if SHORT_CUTS && self.state == State::InLine && rest.first() != Some(&b'\n') {
                rest = self.skip_blocks(rest);
                if self.state == State::InLine {
                    rest = skip_text(rest);
                }
            }
            let Some((&byte, tail)) = rest.split_first() else { break };
            self.state = self.step(byte)?;
            rest = tail;
        }
        let taken = window.len().saturating_sub(rest.len());
        self.seen = self.seen.saturating_add(taken);
        // There is no need to wait for the first byte over the limit: a head that fits would have ended.
        if self.state != State::Complete && self.seen >= self.max_bytes {
            return Err(self.too_large());
        }
        Ok(())
    }

    /// Skips blocks that consist only of text and ends of lines, with the same result as `step` for each byte. There is
    /// no branch for each line, because a processor cannot predict where lines end.
    fn skip_blocks<'b>(&mut self, text: &'b [u8]) -> &'b [u8] {
        let mut rest = text;
        let mut last = None;
        while let Some((block, tail)) = rest.split_first_chunk::<BLOCK>() {
            let followers = rest.get(1..).and_then(|rest| rest.first_chunk());
            let Some(lines) = followers.and_then(|followers| usual_lines(block, followers)) else {
                break;
            };
            self.lines = self.lines.wrapping_add(lines);
            last = block.last();
            rest = tail;
        }
        match last {
            Some(b'\r') => self.state = State::LineCr,
            Some(b'\n') => self.state = State::LineStart,
            _ => {}
        }
        rest
    }

    fn step(&mut self, byte: u8) -> Result<State, HandshakeError> {
        Ok(match (self.state, byte) {
            (State::InLine, b'\r') => State::LineCr,
            (State::LineCr, b'\n') => {
                self.lines = self.lines.wrapping_add(1);
                State::LineStart
            }
            (State::LineStart, b'\r') => State::EmptyLineCr,
            (State::EmptyLineCr, b'\n') => State::Complete,
            (State::Lead, b'\r') if self.is_request => State::LeadCr,
            (State::Lead, b'\r') => return Err(HandshakeError::MalformedStatusLine),
            (State::LeadCr, b'\n') => State::Lead,
            (State::LineCr | State::EmptyLineCr | State::LeadCr, _) => {
                return Err(HandshakeError::BareCr);
            }
            (_, b'\n') => return Err(HandshakeError::BareLf),
            (_, 0) => return Err(HandshakeError::Nul),
            _ => State::InLine,
        })
    }

    const fn too_large(&self) -> HandshakeError {
        match (self.is_request, self.lines) {
            (false, _) => HandshakeError::ResponseHeadTooLarge,
            (true, 0) => HandshakeError::RequestLineTooLong,
            (true, _) => HandshakeError::HeadTooLarge,
        }
    }

    /// Returns how many bytes are missing at least.
    #[cfg(feature = "proxy")]
    pub(crate) const fn missing(&self) -> usize {
        match self.state {
            State::Lead => 5,
            State::LeadCr => 6,
            State::InLine => 4,
            State::LineCr => 3,
            State::LineStart => 2,
            State::EmptyLineCr => 1,
            State::Complete | State::Failed(_) => 0,
        }
    }

    /// Returns the number of lines after the first, which is the most fields that the head can have.
    #[cfg(feature = "endpoint")]
    pub(crate) const fn max_fields(&self) -> usize {
        // The first line is not a field.
        self.lines.saturating_sub(1)
    }
}

/// How many bytes are checked together.
const BLOCK: usize = 64;

/// Returns how many lines end in a block. `followers` are the bytes that follow each byte of the block. Returns `None`
/// if the block contains a NUL, a CR or LF without the other, or an empty line.
fn usual_lines(block: &[u8; BLOCK], followers: &[u8; BLOCK]) -> Option<usize> {
    let (mut unusual, mut lines) = (false, 0_u8);
    for (&byte, &follower) in block.iter().zip(followers) {
        unusual |= (byte == b'\r') != (follower == b'\n');
        unusual |= (byte == b'\n') & (follower == b'\r');
        unusual |= byte == 0;
        lines = lines.wrapping_add(u8::from(byte == b'\n'));
    }
    (!unusual).then_some(usize::from(lines))
}

/// Skips to the first byte below 0x0e, which may be CR, LF or NUL.
fn skip_text(mut rest: &[u8]) -> &[u8] {
    const LOW: u64 = u64::from_ne_bytes([0x0e; 8]);
    const TOP: u64 = u64::from_ne_bytes([0x80; 8]);
    while SHORT_CUTS {
        let Some((word, tail)) = rest.split_first_chunk::<8>() else { break };
        // This checks eight bytes at once. The subtraction sets the top bit of each byte below 0x0e. A borrow may set
        // further top bits, but only after the first, and only the first matters. In a little-endian word the first
        // byte is the lowest.
        let word = u64::from_le_bytes(*word);
        let marked = word.wrapping_sub(LOW) & TOP;
        // In bytes that are not ASCII, the top bit may have been set before. Most words have no such bytes.
        if marked != 0 && marked & !word != 0 {
            let offset = ((marked & !word).trailing_zeros() / 8) as usize;
            return rest.get(offset..).unwrap_or_default();
        }
        rest = tail;
    }
    let offset = rest.iter().position(|&byte| byte < 0x0e).unwrap_or(rest.len());
    rest.get(offset..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::String;

    proptest! {
        // RFC 9112 §2.2. With one byte at a time, no block is skipped.
        #[test]
        fn blocks_come_to_the_same_as_their_bytes(
            lines in prop::collection::vec("[ -~\u{e9}\t]{0,90}(\r\n){1,2}", 0..6),
            fault in "[\r\n\0]?",
            place in 0..300_usize,
            max in prop_oneof![Just(1024_usize), 0..300_usize],
        ) {
            let mut head = String::from("x") + &lines.concat();
            if head.is_char_boundary(place) {
                head.insert_str(place, &fault);
            }
            let mut at_once = HeadReader::request(max);
            let outcome = at_once.push(head.as_bytes());
            let mut reader = HeadReader::request(max);
            let mut each = Ok(None);
            for byte in head.as_bytes() {
                each = reader.push(&[*byte]);
            }
            prop_assert_eq!(outcome, each);
            prop_assert_eq!(at_once.lines, reader.lines);
        }
    }

    #[cfg(feature = "proxy")]
    #[test]
    fn missing_bytes_are_those_of_the_shortest_rest() {
        for (start, missing) in [
            ("", 5),
            ("\r", 6),
            ("\r\n", 5),
            ("x", 4),
            ("x\r", 3),
            ("x\r\n", 2),
            ("x\r\ny", 4),
            ("x\r\n\r", 1),
            ("x\r\n\r\n", 0),
            ("\n", 0),
        ] {
            let mut reader = HeadReader::request(1024);
            let _ = reader.push(start.as_bytes());
            assert_eq!(reader.missing(), missing, "{start:?}");
        }
    }

    // A line that ends in the next block counts there.
    #[test]
    fn usual_lines_have_text_and_whole_ends() {
        let lines = |at: usize, bytes: &[u8]| {
            let mut text = [b'a'; BLOCK + 1];
            text[at..at + bytes.len()].copy_from_slice(bytes);
            usual_lines(text.first_chunk().unwrap(), text[1..].first_chunk().unwrap())
        };
        assert_eq!(lines(0, b""), Some(0));
        assert_eq!(lines(0, b"\n"), Some(1));
        assert_eq!(lines(BLOCK - 1, b"\r\n"), Some(0));
        assert_eq!(lines(BLOCK, b"\r"), Some(0));
        assert_eq!(lines(BLOCK, b"\0"), Some(0));
        assert_eq!(lines(9, b"\r\nb\r\n"), Some(2));
        for at in 1..BLOCK - 2 {
            assert_eq!(lines(at, b"\r\n"), Some(1), "{at}");
            for unusual in [&b"\r"[..], b"\n", b"\0", b"\r\r\n", b"\n\r", b"\r\n\r"] {
                assert_eq!(lines(at, unusual), None, "{at} {unusual:?}");
            }
        }
        for unusual in [&b"\ra"[..], b"\n\r", b"\0a"] {
            assert_eq!(lines(BLOCK - 1, unusual), None, "{unusual:?}");
        }
    }

    #[test]
    fn skip_text_stops_at_the_first_low_byte() {
        for length in 0..40 {
            for low in 0..length {
                for byte in [0, 9, 10, 13] {
                    let mut text = [0xff_u8; 40];
                    text[1..].iter_mut().step_by(3).for_each(|byte| *byte = 0x0e);
                    text[low] = byte;
                    assert_eq!(skip_text(&text[..length]), &text[low..length]);
                }
            }
            assert_eq!(skip_text(&[0x80; 40][..length]), b"");
        }
    }
}
