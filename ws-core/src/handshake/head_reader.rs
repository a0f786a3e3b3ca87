//! Finding the end of a head in bytes that arrive in pieces.

use super::error::HandshakeError;
use crate::SHORT_CUTS;

/// Which kind of head is read: it decides about empty lines before it and about the errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// A request, read by a server.
    Request,
    /// A response, read by a client.
    Response,
}

/// Finds the empty line that ends a head, looking at each byte once, and owns none of them.
///
/// Bare CR, bare LF and NUL are refused as soon as they are seen (RFC 9112 §2.2, RFC 9110 §5.5).
/// Empty lines before a request are skipped; they count toward the limit and toward the head. The
/// outcome is the same however the bytes are cut.
///
/// ```
/// use ws_core::handshake::{HeadKind, HeadReader};
///
/// let mut reader = HeadReader::new(HeadKind::Request, 1024);
/// assert_eq!(reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r"), Ok(None));
/// assert_eq!(reader.feed(b"\n\x81\x00"), Ok(Some(1))); // the rest is the first frame
/// assert_eq!(reader.head_len(), 27);
/// ```
#[derive(Clone, Debug)]
pub struct HeadReader {
    kind: HeadKind,
    state: State,
    start_line_ended: bool,
    seen: usize,
    max_bytes: usize,
}

/// What the last byte was. "Line" is a line that has at least one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but empty lines so far.
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
    /// Makes a reader for one head of at most `max_bytes` bytes, its empty line included.
    pub const fn new(kind: HeadKind, max_bytes: usize) -> Self {
        Self { kind, state: State::Lead, start_line_ended: false, seen: 0, max_bytes }
    }

    /// Takes bytes that were not fed before, and says how many of them belong to the head once it is
    /// complete: the rest belongs to what follows. `None` asks for more.
    ///
    /// # Errors
    ///
    /// [`BareCr`](HandshakeError::BareCr), [`BareLf`](HandshakeError::BareLf),
    /// [`Nul`](HandshakeError::Nul), and for a head that cannot fit:
    /// [`RequestLineTooLong`](HandshakeError::RequestLineTooLong) when not even the first line has
    /// ended, else [`HeadTooLarge`](HandshakeError::HeadTooLarge); for a response,
    /// [`ResponseHeadTooLarge`](HandshakeError::ResponseHeadTooLarge). Each further call gives the
    /// same error.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, HandshakeError> {
        match self.state {
            State::Complete => Ok(Some(0)),
            State::Failed(error) => Err(error),
            _ => self.scan(bytes).inspect_err(|error| self.state = State::Failed(*error)),
        }
    }

    /// The number of bytes of the head so far, empty lines before it included.
    pub const fn head_len(&self) -> usize {
        self.seen
    }

    fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, HandshakeError> {
        let room = self.max_bytes.saturating_sub(self.seen);
        let window = bytes.get(..room).unwrap_or(bytes);
        let mut rest = window;
        while self.state != State::Complete {
            if SHORT_CUTS && self.state == State::InLine {
                rest = skip_text(rest);
                // The usual end of a line in one step; `step` would come to the same in three.
                while let [b'\r', b'\n', 0x0e..=0xff, ..] = rest {
                    self.start_line_ended = true;
                    rest = skip_text(rest.get(2..).unwrap_or_default());
                }
            }
            let Some((&byte, tail)) = rest.split_first() else { break };
            self.state = self.step(byte)?;
            rest = tail;
        }
        let taken = window.len().saturating_sub(rest.len());
        self.seen = self.seen.saturating_add(taken);
        if self.state == State::Complete {
            return Ok(Some(taken));
        }
        // Without waiting for the byte too many: a head that fits would have ended.
        if self.seen >= self.max_bytes { Err(self.too_large()) } else { Ok(None) }
    }

    fn step(&mut self, byte: u8) -> Result<State, HandshakeError> {
        Ok(match (self.state, byte) {
            (State::InLine, b'\r') => State::LineCr,
            (State::LineCr, b'\n') => {
                self.start_line_ended = true;
                State::LineStart
            }
            (State::LineStart, b'\r') => State::EmptyLineCr,
            (State::EmptyLineCr, b'\n') => State::Complete,
            (State::Lead, b'\r') if self.kind == HeadKind::Request => State::LeadCr,
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
        match self.kind {
            HeadKind::Response => HandshakeError::ResponseHeadTooLarge,
            HeadKind::Request if self.start_line_ended => HandshakeError::HeadTooLarge,
            HeadKind::Request => HandshakeError::RequestLineTooLong,
        }
    }
}

/// Skips to the first byte that may be CR, LF or NUL: the first one below 0x0e.
fn skip_text(mut rest: &[u8]) -> &[u8] {
    const LOW: u64 = u64::from_ne_bytes([0x0e; 8]);
    const TOP: u64 = u64::from_ne_bytes([0x80; 8]);
    while SHORT_CUTS {
        let Some((word, tail)) = rest.split_first_chunk::<8>() else { break };
        // Eight bytes at once: the subtraction sets the top bit of each byte below 0x0e. A borrow may
        // set more of them, but only after the first, and the first is all that counts: in a
        // little-endian word it is the lowest.
        let word = u64::from_le_bytes(*word);
        let hits = word.wrapping_sub(LOW) & !word & TOP;
        if hits != 0 {
            let offset = (hits.trailing_zeros() / 8) as usize;
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
