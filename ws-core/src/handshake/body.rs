//! The body of a response that does not open a WebSocket: its length, and a reader for it (RFC 9112 §6, §7).
//!
//! An endpoint reads the response that refuses its request with this module. The reader keeps no bytes. It removes the
//! framing from the bytes that it is fed, and its result does not depend on how the bytes are cut. It limits chunk
//! extensions and trailers; the caller limits the data.

use super::client::ResponseHead;
use super::error::HandshakeError;
use super::fields::{Single, content_length};
use super::lists::ListElements;

/// The most bytes of chunk extensions and trailers in one body.
const MAX_OVERHEAD: u16 = 16 * 1024;

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// There is no body.
    None,
    /// This many bytes follow the head.
    Length(u64),
    /// Chunks follow the head; the last one is empty.
    Chunked,
    /// The body ends with the connection.
    UntilClose,
}

/// What is wrong with a body. An endpoint does not report this error; it returns the part of the body that it received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The `Content-Length` is malformed or repeated, or there is a `Transfer-Encoding` too.
    Length(HandshakeError),
    /// The `Transfer-Encoding` does not delimit the body (RFC 9112 §6.1).
    TransferEncoding,
    /// A chunk is malformed (RFC 9112 §7.1).
    Chunk,
    /// There are more than 16 KiB of chunk extensions and trailers (RFC 9112 §7.1.1, §7.1.2).
    Overhead,
}

/// Decodes a body as it arrives, without keeping any of its bytes.
#[derive(Clone, Debug)]
pub(crate) struct BodyReader {
    state: State,
    overhead: u16,
}

/// What [`BodyReader::feed`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyPart<'b> {
    /// At least one byte of the body. Feed the bytes that were not consumed again.
    Data(&'b [u8]),
    /// All bytes were consumed, and the body is not complete.
    NeedMore,
    /// The body is complete. Bytes that were not consumed do not belong to it.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    /// In the size of a chunk: the value and the number of digits so far.
    Size(u64, u8),
    /// In the extensions after the size, which are ignored.
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
    Failed(BodyError),
}

impl BodyReader {
    /// Returns a reader for one body.
    pub(crate) const fn new(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::None | BodyLength::Length(0) => State::Done,
            BodyLength::Length(length) => State::Length(length),
            BodyLength::Chunked => State::Size(0, 0),
            BodyLength::UntilClose => State::UntilClose,
        };
        Self { state, overhead: 0 }
    }

    /// Reads bytes that were not consumed before, and returns how many it consumed and what they were.
    ///
    /// Call it until it returns [`NeedMore`](BodyPart::NeedMore), [`End`](BodyPart::End) or an error. After an error,
    /// every further call returns the same error.
    pub(crate) fn feed<'b>(&mut self, bytes: &'b [u8]) -> Result<(usize, BodyPart<'b>), BodyError> {
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

    /// Reads one byte of the framing around the chunks (RFC 9112 §7.1).
    fn step(&mut self, byte: u8) -> Result<State, BodyError> {
        Ok(match (self.state, byte) {
            (State::Size(size, digits), _) if byte.is_ascii_hexdigit() => {
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                // Sixteen digits are 64 bits, the most that fit.
                if digits >= 16 {
                    return Err(BodyError::Chunk);
                }
                State::Size(size << 4 | u64::from(digit), digits.saturating_add(1))
            }
            (State::Size(_, 0), _) => return Err(BodyError::Chunk),
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
                    return Err(BodyError::Overhead);
                }
                self.overhead = self.overhead.saturating_add(1);
                match self.state {
                    State::Extension(size) => State::Extension(size),
                    _ => State::Trailer,
                }
            }
            _ => return Err(BodyError::Chunk),
        })
    }
}

impl ResponseHead<'_, '_> {
    /// Returns how the end of this response's body is found. A 1xx, 204 or 304 has no body (RFC 9112 §6.3).
    pub(crate) fn body_length(&self) -> Result<BodyLength, BodyError> {
        if matches!(self.status, 100..=199 | 204 | 304) {
            return Ok(BodyLength::None);
        }
        let length = content_length(Single::of(self.fields, "content-length"));
        let length = length.map_err(BodyError::Length)?;
        if self.field("transfer-encoding").is_none() {
            return Ok(length.map_or(BodyLength::UntilClose, BodyLength::Length));
        }
        if length.is_some() {
            return Err(BodyError::Length(HandshakeError::ContentLengthAndTransferEncoding));
        }
        // HTTP/1.0 has no transfer codings (RFC 9112 §6.1).
        if self.minor_version == 0 {
            return Err(BodyError::TransferEncoding);
        }
        let mut chunked = 0_usize;
        let mut last_is_chunked = false;
        for coding in ListElements::new(self.fields, "transfer-encoding") {
            last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            chunked = chunked.saturating_add(usize::from(last_is_chunked));
        }
        match (chunked, last_is_chunked) {
            (1, true) => Ok(BodyLength::Chunked),
            (0, _) => Ok(BodyLength::UntilClose),
            _ => Err(BodyError::TransferEncoding),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::EMPTY_FIELD;
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    /// Feeds a body in pieces of one size, and returns the data, the number of consumed bytes and the end.
    fn read(
        length: BodyLength,
        bytes: &[u8],
        piece: usize,
    ) -> Result<(Vec<u8>, usize, bool), BodyError> {
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
        let done = matches!(reader.feed(b""), Ok((0, BodyPart::End)));
        Ok((data, total, done))
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
                    // "00A" means ten bytes, which are ", big worl". No CRLF follows them.
                    assert_eq!(outcome, Err(BodyError::Chunk));
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
                assert_eq!(outcome, Err(BodyError::Chunk), "{bytes:?}");
            }
        }
    }

    #[test]
    fn chunk_overhead_is_bounded() {
        for start in ["1;", "0\r\n"] {
            let mut reader = BodyReader::new(BodyLength::Chunked);
            assert_eq!(reader.feed(start.as_bytes()), Ok((start.len(), BodyPart::NeedMore)));
            let filler = [b'x'; 16 * 1024];
            assert_eq!(reader.feed(&filler), Ok((filler.len(), BodyPart::NeedMore)));
            assert_eq!(reader.feed(b"x"), Err(BodyError::Overhead));
            assert_eq!(reader.feed(b"\r\n"), Err(BodyError::Overhead));
        }
    }

    // RFC 9112 §6.1, §6.3.
    #[test]
    fn client_body_lengths() {
        let length = |line: &str, fields: &[&str]| {
            let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
            let text = format!("HTTP/{line}\r\n{fields}\r\n");
            let mut slots = [EMPTY_FIELD; 4];
            ResponseHead::parse_in(text.as_bytes(), &mut slots).unwrap().body_length()
        };
        assert_eq!(length("1.1 200 OK", &[]), Ok(BodyLength::UntilClose));
        assert_eq!(length("1.1 400 x", &["content-length: 007"]), Ok(BodyLength::Length(7)));
        assert_eq!(length("1.1 400 x", &["Transfer-Encoding: Chunked"]), Ok(BodyLength::Chunked));
        let codings = ["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"];
        assert_eq!(length("1.1 400 x", &codings), Ok(BodyLength::Chunked));
        assert_eq!(length("1.1 400 x", &codings[..1]), Ok(BodyLength::UntilClose));
        for line in ["1.1 101 x", "1.1 100 x", "1.1 204 x", "1.1 304 x"] {
            assert_eq!(length(line, &["Content-Length: 5"]), Ok(BodyLength::None), "{line}");
        }
        for (line, fields, error) in [
            (
                "1.1 200 x",
                &["Content-Length: x"][..],
                BodyError::Length(HandshakeError::InvalidContentLength),
            ),
            (
                "1.1 200 x",
                &["Content-Length: 5, 5"],
                BodyError::Length(HandshakeError::InvalidContentLength),
            ),
            (
                "1.1 200 x",
                &["Content-Length: 5", "Content-Length: 5"],
                BodyError::Length(HandshakeError::RepeatedContentLength),
            ),
            (
                "1.1 200 x",
                &["Content-Length: 5", "Transfer-Encoding: chunked"],
                BodyError::Length(HandshakeError::ContentLengthAndTransferEncoding),
            ),
            ("1.1 200 x", &["Transfer-Encoding: chunked, gzip"], BodyError::TransferEncoding),
            ("1.1 200 x", &["Transfer-Encoding: chunked, chunked"], BodyError::TransferEncoding),
            ("1.0 200 x", &["Transfer-Encoding: chunked"], BodyError::TransferEncoding),
        ] {
            assert_eq!(length(line, fields), Err(error), "{fields:?}");
        }
    }

    proptest! {
        // RFC 9112 §7.1: the data is what was sent, however it is chunked and however the bytes are cut.
        #[test]
        fn chunks_are_put_together_however_they_are_cut(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            piece in 1..50_usize,
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend(format!("{:x}\r\n", chunk.len()).bytes());
                wire.extend(chunk);
                wire.extend(b"\r\n");
            }
            wire.extend(b"0\r\n\r\n");
            let end = wire.len();
            wire.extend(b"next");
            let expected = Ok((chunks.concat(), end, true));
            prop_assert_eq!(read(BodyLength::Chunked, &wire, piece), expected);
        }

        // The result for any bytes does not depend on how they are cut, and no part is empty.
        #[test]
        fn any_body_reads_the_same_however_it_is_cut(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                "([0-9a-f]{1,3}(;[a-z]{0,3})?\r\n|[a-z]{0,9}\r\n|0\r\n\r\n){0,6}".prop_map(String::into_bytes),
            ],
            length in prop_oneof![
                Just(BodyLength::Chunked),
                Just(BodyLength::UntilClose),
                (0..80_u64).prop_map(BodyLength::Length),
            ],
            piece in 1..60_usize,
        ) {
            let at_once = read(length, &bytes, usize::MAX);
            prop_assert_eq!(read(length, &bytes, piece), at_once.clone());
            if let Ok((data, total, _)) = at_once {
                prop_assert!(data.len() <= total && total <= bytes.len());
            }
        }
    }
}
