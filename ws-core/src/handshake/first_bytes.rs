//! Detecting a peer that does not speak HTTP from its first bytes.
//!
//! A head that never ends is refused at a limit or a deadline, and such an error does not show the cause. The first
//! bytes often do: they are the greeting of another protocol, a TLS record or binary data. Endpoints check them before
//! they read a head. Drivers with buffers of their own can do the same, or omit the check to save memory.

use core::fmt;

use super::debug::Quoted;
use super::error::HandshakeError;
use super::lists::TOKEN;

/// How many bytes are kept so that an error can show them.
const SHOWN: usize = 24;

/// The start of every status line (RFC 9112 §4).
const STATUS_LINE: &[u8; 5] = b"HTTP/";

/// Detects from the first bytes of a stream whether the peer speaks HTTP.
///
/// Push received bytes to this value before you push them to a [`HeadReader`](super::HeadReader). Text that cannot
/// become HTTP is an error at the end of its line or after 24 bytes, so that the error can show the text. A byte that
/// is not printable ASCII is an error at once. The result does not depend on how the bytes are cut.
///
/// `Display` shows the first 24 bytes in quotes, escaped. For a request it shows only the first word, and
/// nothing after a `?` or a `:`, because the rest can be secret.
///
/// ```
/// use ws_core::handshake::{FirstBytes, HandshakeError};
///
/// let mut first = FirstBytes::response();
/// assert_eq!(first.push(b"SSH-2"), Ok(()));
/// assert_eq!(first.push(b".0-OpenSSH_9.2\r\n"), Err(HandshakeError::NotHttp));
/// assert_eq!(first.to_string(), r#""SSH-2.0-OpenSSH_9.2""#);
///
/// let mut first = FirstBytes::request();
/// assert_eq!(first.push(b"\x16\x03\x01"), Err(HandshakeError::TlsRequest));
/// ```
#[derive(Clone)]
pub struct FirstBytes {
    is_request: bool,
    stage: Stage,
    kept: [u8; SHOWN],
    len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Only empty lines so far.
    Start,
    StartCr,
    /// After one byte with which a TLS record can begin.
    Tls,
    /// In a method, or in the start of a status line.
    Word,
    /// After a method. The number is how many bytes of ` HTTP/1.1` came last.
    Line(u8),
    /// This is not HTTP. The rest of the line is kept for the error.
    Other,
    /// It may be HTTP. The parser checks the rest.
    Http,
    Failed(HandshakeError),
}

impl FirstBytes {
    /// Returns a value for one connection of a server.
    #[must_use]
    pub const fn request() -> Self {
        Self { is_request: true, stage: Stage::Start, kept: [0; SHOWN], len: 0 }
    }

    /// Returns a value for one connection of a client.
    #[must_use]
    pub const fn response() -> Self {
        Self { is_request: false, stage: Stage::Start, kept: [0; SHOWN], len: 0 }
    }

    /// Checks the next bytes. Once it is clear that the peer speaks HTTP, this does nothing.
    ///
    /// # Errors
    ///
    /// Returns [`TlsRequest`](HandshakeError::TlsRequest) or [`TlsResponse`](HandshakeError::TlsResponse) for a TLS
    /// record, and [`NotHttp`](HandshakeError::NotHttp) for anything else that is not HTTP. Every further call returns
    /// the same error.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), HandshakeError> {
        let usual = match self.is_request {
            true => bytes.first_chunk() == Some(b"GET "),
            false => bytes.first_chunk() == Some(STATUS_LINE),
        };
        if usual && self.stage == Stage::Start {
            self.stage = Stage::Http;
        }
        let mut rest = bytes.iter();
        loop {
            match self.stage {
                Stage::Http => return Ok(()),
                Stage::Failed(error) => return Err(error),
                _ => match rest.next() {
                    Some(&byte) => self.stage = self.step(byte),
                    None => return Ok(()),
                },
            }
        }
    }

    /// Returns the error if no more bytes will come, because the stream has ended or a deadline has passed.
    ///
    /// `None` means that the bytes can be the start of HTTP, or that none were received.
    #[must_use]
    pub const fn at_end(&self) -> Option<HandshakeError> {
        match self.stage {
            Stage::Failed(error) => Some(error),
            Stage::Tls | Stage::Other => Some(HandshakeError::NotHttp),
            _ => None,
        }
    }

    fn step(&mut self, byte: u8) -> Stage {
        match (self.stage, byte) {
            (Stage::Start, b'\r') if self.is_request => Stage::StartCr,
            (Stage::StartCr, b'\n') => Stage::Start,
            // A `HeadReader` finds what is wrong with these.
            (Stage::Start, b'\r' | b'\n') | (Stage::StartCr, _) => Stage::Http,
            (Stage::Line(matched), _) => self.step_in_line(matched, byte),
            (_, b'\r' | b'\n') => Stage::Failed(HandshakeError::NotHttp),
            // The types of a TLS record, and then the major version (RFC 8446 §5.1).
            (Stage::Start, 0x14..=0x17) => {
                self.keep(byte);
                Stage::Tls
            }
            (Stage::Tls, 3) => Stage::Failed(match self.is_request {
                true => HandshakeError::TlsRequest,
                false => HandshakeError::TlsResponse,
            }),
            (stage, _) => {
                self.keep(byte);
                let is_binary = !matches!(byte, b' '..=b'~' | b'\t');
                match stage {
                    _ if is_binary || stage == Stage::Tls => Stage::Failed(HandshakeError::NotHttp),
                    Stage::Start | Stage::Word => self.step_in_word(byte),
                    _ => self.other(),
                }
            }
        }
    }

    /// Checks a byte of the first word. The byte is in `kept` already.
    fn step_in_word(&mut self, byte: u8) -> Stage {
        let word = self.as_bytes();
        match self.is_request {
            false if word == STATUS_LINE => Stage::Http,
            false if STATUS_LINE.starts_with(word) => Stage::Word,
            true if TOKEN.has(byte) => Stage::Word,
            // The parser finds what is wrong after the usual method.
            true if word == b"GET " => Stage::Http,
            true if byte == b' ' && self.len > 1 => Stage::Line(1),
            _ => self.other(),
        }
    }

    /// Checks a byte of a request line, which ends with the version.
    fn step_in_line(&mut self, matched: u8, byte: u8) -> Stage {
        if byte.is_ascii_control() {
            return match (matched, byte) {
                (9, _) => Stage::Http,
                (_, b'\r') => Stage::Failed(HandshakeError::NotHttp),
                // A `HeadReader` and the parser find what is wrong with other lines.
                _ => Stage::Http,
            };
        }
        self.keep(byte);
        let goes_on = match matched {
            1..=5 => STATUS_LINE.get(usize::from(matched.wrapping_sub(1))) == Some(&byte),
            6 | 8 => byte.is_ascii_digit(),
            7 => byte == b'.',
            _ => false,
        };
        match byte {
            b' ' => Stage::Line(1),
            _ if goes_on => Stage::Line(matched.wrapping_add(1)),
            _ => Stage::Line(0),
        }
    }

    fn other(&self) -> Stage {
        if self.len < SHOWN { Stage::Other } else { Stage::Failed(HandshakeError::NotHttp) }
    }

    fn keep(&mut self, byte: u8) {
        if let Some(slot) = self.kept.get_mut(self.len) {
            *slot = byte;
            self.len = self.len.saturating_add(1);
        }
    }

    /// Returns the first bytes, without the empty lines before them.
    fn as_bytes(&self) -> &[u8] {
        self.kept.get(..self.len).unwrap_or_default()
    }
}

/// `Debug` does not show the bytes, because those of a request can contain secrets.
impl fmt::Debug for FirstBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstBytes").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl fmt::Display for FirstBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.as_bytes();
        // What follows may be a password, as in `PASS`, or a query.
        let end =
            bytes.iter().position(|byte| self.is_request && matches!(byte, b' ' | b'?' | b':'));
        match end.and_then(|end| bytes.get(..end)) {
            Some(word) => write!(f, "{}…", Quoted(word)),
            None => Quoted(bytes).fmt(f),
        }
    }
}
