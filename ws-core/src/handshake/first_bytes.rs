//! Telling from its first bytes that a peer does not speak HTTP.
//!
//! A head that never ends is refused at a limit or a deadline, which says nothing about the cause. The first bytes do:
//! they are the greeting of another protocol, a TLS record or binary data. Endpoints call this before they read a head,
//! as can drivers on slices of their own; one that has no memory for it goes without.

use core::fmt;

use super::debug::Quoted;
use super::error::HandshakeError;
use super::lists::TOKEN;

/// How many bytes are kept to be shown.
const SHOWN: usize = 24;

/// What a status line begins with (RFC 9112 §4).
const STATUS_LINE: &[u8; 5] = b"HTTP/";

/// Tells from the first bytes of a stream whether its peer speaks HTTP.
///
/// Push what arrives to this before a [`HeadReader`](super::HeadReader) gets it. Text that cannot become HTTP is an
/// error at the end of its line, or after 24 bytes, so that the error can show what it is; a byte that is not printable
/// ASCII decides at once. The outcome does not depend on how the bytes are cut. `Display` shows the first 24 bytes in
/// quotes, escaped; of a request, neither a query nor what follows `://`, because those can be secret.
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
    /// Nothing but empty lines so far.
    Start,
    StartCr,
    /// One byte that a TLS record can begin with.
    Tls,
    /// In a method, or in what a status line begins with.
    Word,
    /// Behind a method, and how many bytes of ` HTTP/1.1` came last.
    Line(u8),
    /// This is no HTTP; the rest of the line shows what it is.
    Other,
    /// It may be HTTP: the rest is for those who parse.
    Http,
    Failed(HandshakeError),
}

impl FirstBytes {
    /// Returns the value that a server uses for one connection.
    #[must_use]
    pub const fn request() -> Self {
        Self { is_request: true, stage: Stage::Start, kept: [0; SHOWN], len: 0 }
    }

    /// Returns the value that a client uses for one connection.
    #[must_use]
    pub const fn response() -> Self {
        Self { is_request: false, stage: Stage::Start, kept: [0; SHOWN], len: 0 }
    }

    /// Takes the next bytes. Once the peer is known to speak HTTP, this does nothing.
    ///
    /// # Errors
    ///
    /// [`TlsRequest`](HandshakeError::TlsRequest) or [`TlsResponse`](HandshakeError::TlsResponse) for a TLS record,
    /// [`NotHttp`](HandshakeError::NotHttp) for anything else that is not HTTP. Each further call returns the same
    /// error.
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

    /// Returns what is wrong if no more bytes come, because the stream has ended or a deadline has passed.
    ///
    /// `None` means that the bytes may be the start of HTTP, or that none have come.
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
            // What is wrong with these is for a `HeadReader` to say.
            (Stage::Start, b'\r' | b'\n') | (Stage::StartCr, _) => Stage::Http,
            (Stage::Line(matched), _) => self.step_in_line(matched, byte),
            (_, b'\r' | b'\n') => Stage::Failed(HandshakeError::NotHttp),
            // The types of a record, and the major version of TLS (RFC 8446 §5.1).
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

    /// A byte of the first word, which was kept.
    fn step_in_word(&mut self, byte: u8) -> Stage {
        let word = self.as_bytes();
        match self.is_request {
            false if word == STATUS_LINE => Stage::Http,
            false if STATUS_LINE.starts_with(word) => Stage::Word,
            true if TOKEN.has(byte) => Stage::Word,
            // What is wrong behind the usual method is for the parser to say.
            true if word == b"GET " => Stage::Http,
            true if byte == b' ' && self.len > 1 => Stage::Line(1),
            _ => self.other(),
        }
    }

    /// A byte of a request line, which ends with the version.
    fn step_in_line(&mut self, matched: u8, byte: u8) -> Stage {
        if byte.is_ascii_control() {
            return match (matched, byte) {
                (9, _) => Stage::Http,
                (_, b'\r') => Stage::Failed(HandshakeError::NotHttp),
                // What is wrong with others is for a `HeadReader` and for the parser to say.
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

    /// The first bytes, without empty lines before them.
    fn as_bytes(&self) -> &[u8] {
        self.kept.get(..self.len).unwrap_or_default()
    }
}

/// This does not show the bytes: those of a request can hold secrets.
impl fmt::Debug for FirstBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstBytes").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl fmt::Display for FirstBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.as_bytes();
        let is_secret = |at: &usize| {
            let rest = bytes.get(*at..).unwrap_or_default();
            self.is_request && (rest.starts_with(b"?") || rest.starts_with(b"://"))
        };
        match (0..bytes.len()).find(is_secret) {
            Some(at) => write!(f, "{}…", Quoted(bytes.get(..at).unwrap_or_default())),
            None => Quoted(bytes).fmt(f),
        }
    }
}
