//! The body of a message that is not an upgrade: how long it is, and reading it (RFC 9112 §6, §7).

use super::error::HandshakeError;
use super::fields::{Field, FieldValues, Single, decimal};
use super::lists::ListElements;

/// The most bytes of chunk extensions and trailers in one body.
const MAX_OVERHEAD: u16 = 16 * 1024;

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BodyLength {
    /// There is no body.
    None,
    /// This many bytes follow the head.
    Length(u64),
    /// Chunks follow the head; the last one is empty.
    Chunked,
    /// The body ends with the connection.
    UntilClose,
}

/// Takes a body apart as it arrives, and owns none of its bytes.
///
/// ```
/// use ws_core::handshake::{BodyLength, BodyPart, BodyReader};
///
/// let mut reader = BodyReader::new(BodyLength::Chunked);
/// let mut rest: &[u8] = b"3\r\nno,\r\n4\r\nnot \r\n0\r\n\r\nnext";
/// let mut body = Vec::new();
/// loop {
///     let (consumed, part) = reader.feed(rest)?;
///     rest = &rest[consumed..];
///     match part {
///         BodyPart::Data(data) => body.extend_from_slice(data), // within a bound of yours
///         BodyPart::NeedMore => panic!("all is there"),
///         BodyPart::End => break,
///     }
/// }
/// assert_eq!((&body[..], rest), (&b"no,not "[..], &b"next"[..]));
/// # Ok::<(), ws_core::handshake::HandshakeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BodyReader {
    state: State,
    overhead: u16,
}

/// What [`BodyReader::feed`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPart<'b> {
    /// Bytes of the body, at least one. Feed what was not consumed.
    Data(&'b [u8]),
    /// All bytes were consumed and the body goes on.
    NeedMore,
    /// The body is complete; what was not consumed does not belong to it.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    /// In a chunk's size: its value and its digits so far.
    Size(u64, u8),
    /// After the size, in extensions that nobody reads.
    Extension(u64),
    SizeCr(u64),
    Chunk(u64),
    ChunkCr,
    ChunkLf,
    TrailerStart,
    Trailer,
    TrailerCr,
    LastCr,
    Done,
    Failed(HandshakeError),
}

impl BodyReader {
    /// Makes a reader for one body.
    pub const fn new(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::None | BodyLength::Length(0) => State::Done,
            BodyLength::Length(length) => State::Length(length),
            BodyLength::Chunked => State::Size(0, 0),
            BodyLength::UntilClose => State::UntilClose,
        };
        Self { state, overhead: 0 }
    }

    /// Takes bytes that were not consumed before, and says how many it consumed and what they were.
    ///
    /// Call it until it gives [`NeedMore`](BodyPart::NeedMore) or [`End`](BodyPart::End).
    ///
    /// # Errors
    ///
    /// [`InvalidChunk`](HandshakeError::InvalidChunk), and
    /// [`ChunkOverhead`](HandshakeError::ChunkOverhead) for more than 16 KiB of chunk extensions and
    /// trailers. Each further call gives the same error.
    pub fn feed<'b>(&mut self, bytes: &'b [u8]) -> Result<(usize, BodyPart<'b>), HandshakeError> {
        let mut rest = bytes;
        loop {
            match self.state {
                State::Done => return Ok((bytes.len().saturating_sub(rest.len()), BodyPart::End)),
                State::Failed(error) => return Err(error),
                _ if rest.is_empty() => return Ok((bytes.len(), BodyPart::NeedMore)),
                State::UntilClose => return Ok((bytes.len(), BodyPart::Data(rest))),
                State::Length(left) | State::Chunk(left) => {
                    let data = usize::try_from(left).ok().and_then(|left| rest.get(..left));
                    let data = data.unwrap_or(rest);
                    let left = left.saturating_sub(data.len() as u64);
                    self.state = match (self.state, left) {
                        (State::Length(_), 0) => State::Done,
                        (State::Length(_), left) => State::Length(left),
                        (_, 0) => State::ChunkCr,
                        (_, left) => State::Chunk(left),
                    };
                    let before = bytes.len().saturating_sub(rest.len());
                    return Ok((before.saturating_add(data.len()), BodyPart::Data(data)));
                }
                _ => {
                    let Some((&byte, tail)) = rest.split_first() else { continue };
                    rest = tail;
                    match self.step(byte) {
                        Ok(state) => self.state = state,
                        Err(error) => self.state = State::Failed(error),
                    }
                }
            }
        }
    }

    /// Says that the connection ended: an end for a body without a length, a fault for another.
    ///
    /// # Errors
    ///
    /// [`TruncatedBody`](HandshakeError::TruncatedBody) if the body is not complete.
    pub fn receive_eof(&mut self) -> Result<(), HandshakeError> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Failed(error) => Err(error),
            _ => {
                self.state = State::Failed(HandshakeError::TruncatedBody);
                Err(HandshakeError::TruncatedBody)
            }
        }
    }

    /// Whether the body is complete.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// One byte of what surrounds the chunks (RFC 9112 §7.1).
    fn step(&mut self, byte: u8) -> Result<State, HandshakeError> {
        Ok(match (self.state, byte) {
            (State::Size(size, digits), _) if byte.is_ascii_hexdigit() => {
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                // Sixteen digits are 64 bits.
                if digits >= 16 {
                    return Err(HandshakeError::InvalidChunk);
                }
                State::Size(size << 4 | u64::from(digit), digits.saturating_add(1))
            }
            (State::Size(_, 0), _) => return Err(HandshakeError::InvalidChunk),
            (State::Size(size, _) | State::Extension(size), b'\r') => State::SizeCr(size),
            (State::Size(size, _), b';' | b' ' | b'\t') => State::Extension(size),
            (State::SizeCr(0), b'\n') => State::TrailerStart,
            (State::SizeCr(size), b'\n') => State::Chunk(size),
            (State::ChunkCr, b'\r') => State::ChunkLf,
            (State::ChunkLf, b'\n') => State::Size(0, 0),
            (State::TrailerStart, b'\r') => State::LastCr,
            (State::LastCr, b'\n') => State::Done,
            (State::Trailer, b'\r') => State::TrailerCr,
            (State::TrailerCr, b'\n') => State::TrailerStart,
            (State::Extension(_) | State::TrailerStart | State::Trailer, byte)
                if !matches!(byte, b'\n' | 0) =>
            {
                if self.overhead >= MAX_OVERHEAD {
                    return Err(HandshakeError::ChunkOverhead);
                }
                self.overhead = self.overhead.saturating_add(1);
                match self.state {
                    State::Extension(size) => State::Extension(size),
                    _ => State::Trailer,
                }
            }
            _ => return Err(HandshakeError::InvalidChunk),
        })
    }
}

/// The one value of `Content-Length`, if there is one.
pub(super) fn content_length(field: Single<'_>) -> Result<Option<u64>, HandshakeError> {
    let Some(value) = field.first else { return Ok(None) };
    if field.repeated {
        return Err(HandshakeError::RepeatedContentLength);
    }
    decimal(value).map(Some).ok_or(HandshakeError::InvalidContentLength)
}

/// What `Content-Length` and `Transfer-Encoding` say; `default` if they say nothing.
pub(super) fn declared_length(
    fields: &[Field<'_>],
    minor_version: u8,
    default: BodyLength,
) -> Result<BodyLength, HandshakeError> {
    let length = content_length(Single::of(FieldValues::new(fields, "content-length")))?;
    let encodings = FieldValues::new(fields, "transfer-encoding");
    if encodings.clone().next().is_none() {
        return Ok(length.map_or(default, BodyLength::Length));
    }
    if length.is_some() {
        return Err(HandshakeError::ContentLengthAndTransferEncoding);
    }
    // HTTP/1.0 has no transfer codings (RFC 9112 §6.1).
    if minor_version == 0 {
        return Err(HandshakeError::InvalidTransferEncoding);
    }
    let mut chunked = 0_usize;
    let mut last_is_chunked = false;
    for coding in ListElements::new(encodings) {
        last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
        chunked = chunked.saturating_add(usize::from(last_is_chunked));
    }
    match (chunked, last_is_chunked, default) {
        (1, true, _) => Ok(BodyLength::Chunked),
        // Only a response may end with the connection (RFC 9112 §6.3).
        (0, _, BodyLength::UntilClose) => Ok(BodyLength::UntilClose),
        _ => Err(HandshakeError::InvalidTransferEncoding),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    /// Feeds a body in pieces of one size; gives the data, the bytes consumed and the end.
    fn read(
        length: BodyLength,
        bytes: &[u8],
        piece: usize,
    ) -> Result<(Vec<u8>, usize, bool), HandshakeError> {
        let mut reader = BodyReader::new(length);
        let (mut data, mut total) = (Vec::new(), 0);
        for mut rest in bytes.chunks(piece) {
            loop {
                let (consumed, part) = reader.feed(rest)?;
                total += consumed;
                rest = &rest[consumed..];
                match part {
                    BodyPart::Data(part) => data.extend_from_slice(part),
                    BodyPart::NeedMore => break,
                    BodyPart::End => return Ok((data, total, true)),
                }
            }
            assert!(rest.is_empty());
        }
        Ok((data, total, reader.is_done()))
    }

    // RFC 9112 §6.3, §7.1.
    #[test]
    fn bodies_end_where_they_say() {
        let chunked =
            b"5\r\nhello\r\n00A ; x=\"y\"\r\n, big world\r\n0\r\nTrailer: x\r\nB: y\r\n\r\nrest";
        for (length, bytes, data, total, done) in [
            (BodyLength::None, &b"rest"[..], &b""[..], 0, true),
            (BodyLength::Length(0), b"rest", b"", 0, true),
            (BodyLength::Length(4), b"bodyrest", b"body", 4, true),
            (BodyLength::Length(u64::MAX), b"body", b"body", 4, false),
            (BodyLength::UntilClose, b"body", b"body", 4, false),
            (BodyLength::Chunked, b"0\r\n\r\n", b"", 5, true),
            (BodyLength::Chunked, b"ffffffffffffffff\r\nx", b"x", 19, false),
            (BodyLength::Chunked, chunked, b"hello, big wor", 0, true),
        ] {
            for piece in 1..=bytes.len() {
                let outcome = read(length, bytes, piece);
                if bytes == chunked {
                    // "00A" is ten bytes: ", big worl", and then no CRLF comes.
                    assert_eq!(outcome, Err(HandshakeError::InvalidChunk));
                } else {
                    assert_eq!(outcome, Ok((data.to_vec(), total, done)), "{length:?} {piece}");
                }
            }
        }
        let chunked =
            b"5\r\nhello\r\n00B ; x=\"y\"\r\n, big world\r\n0\r\nTrailer: x\r\nB: y\r\n\r\nrest";
        for piece in 1..=chunked.len() {
            let expected = (b"hello, big world".to_vec(), chunked.len() - 4, true);
            assert_eq!(read(BodyLength::Chunked, chunked, piece), Ok(expected));
        }
    }

    // RFC 9112 §7.1.
    #[test]
    fn malformed_chunks_fail() {
        for bytes in [
            "\r\n",
            ";x\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1\n",
            "1\rx",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\rx",
            "10000000000000000\r\n",
            "0\r\n\n",
            "0\r\nA: b\n",
            "0\r\n\rx",
            "1;\0",
        ] {
            for piece in 1..=bytes.len() {
                let outcome = read(BodyLength::Chunked, bytes.as_bytes(), piece);
                assert_eq!(outcome, Err(HandshakeError::InvalidChunk), "{bytes:?}");
            }
        }
    }

    #[test]
    fn chunk_overhead_is_bounded() {
        for start in ["1;", "0\r\n"] {
            let mut reader = BodyReader::new(BodyLength::Chunked);
            assert_eq!(reader.feed(start.as_bytes()), Ok((start.len(), BodyPart::NeedMore)));
            let filler = [b'x'; MAX_OVERHEAD as usize];
            assert_eq!(reader.feed(&filler), Ok((filler.len(), BodyPart::NeedMore)));
            assert_eq!(reader.feed(b"x"), Err(HandshakeError::ChunkOverhead));
            assert_eq!(reader.feed(b"\r\n"), Err(HandshakeError::ChunkOverhead));
        }
    }

    // RFC 9112 §8.
    #[test]
    fn eof_ends_only_a_body_without_length() {
        assert_eq!(BodyReader::new(BodyLength::UntilClose).receive_eof(), Ok(()));
        assert_eq!(BodyReader::new(BodyLength::None).receive_eof(), Ok(()));
        for length in [BodyLength::Length(1), BodyLength::Chunked] {
            let mut reader = BodyReader::new(length);
            assert_eq!(reader.receive_eof(), Err(HandshakeError::TruncatedBody));
            assert_eq!(reader.feed(b"x"), Err(HandshakeError::TruncatedBody));
        }
    }
}
