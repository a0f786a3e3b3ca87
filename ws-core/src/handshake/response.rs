//! Writing a server's answer (RFC 6455 §4.2.2, §4.4).
//!
//! Whatever the caller puts into an answer, what is written is one well-formed response or nothing: names and values
//! are checked, and the fields that the library writes itself cannot be given. Endpoints call this, as do
//! servers on slices of their own.

use super::accept::{accept_key, ascii, is_valid_key};
use super::error::{HandshakeError, OpenError};
use super::extensions::Extensions;
use super::lists::is_token;
use super::writer::{Writer, one_of, put_headers, websocket_field};

/// What a caller cannot set by `headers`, whatever the answer is.
const RESERVED: &[&str] = &["Upgrade", "Connection", "Content-Length", "Transfer-Encoding"];

/// The head of a 101: the answer that opens a WebSocket (RFC 6455 §4.2.2).
///
/// `Debug` shows no value of a header: they may be secret.
///
/// ```
/// use ws_core::handshake::AcceptResponse;
///
/// let response = AcceptResponse::new().subprotocol("chat");
/// let mut out = [0; 256];
/// let length = response.write("dGhlIHNhbXBsZSBub25jZQ==", &mut out)?;
/// assert_eq!(
///     &out[..length],
///     b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///       Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
/// );
/// # Ok::<(), ws_core::handshake::OpenError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct AcceptResponse<'a> {
    /// `None` where the caller has not chosen.
    subprotocol: Option<Option<&'a str>>,
    pub(super) extensions: Option<&'a str>,
    pub(super) headers: &'a [(&'a str, &'a str)],
}

impl<'a> AcceptResponse<'a> {
    /// Makes an answer that accepts no subprotocol and no extension.
    pub const fn new() -> Self {
        Self { subprotocol: None, extensions: None, headers: &[] }
    }

    /// Sets the subprotocol to speak, which must be one that the client offered: the result of
    /// [`select_subprotocol`](super::select_subprotocol), for example. `None` accepts none.
    pub fn subprotocol(mut self, subprotocol: impl Into<Option<&'a str>>) -> Self {
        self.subprotocol = Some(subprotocol.into());
        self
    }

    /// Sets the subprotocol unless [`subprotocol`](Self::subprotocol) has set it: for a server that
    /// chooses one when the application does not.
    ///
    /// ```
    /// use ws_core::handshake::AcceptResponse;
    ///
    /// let answer = AcceptResponse::new().default_subprotocol("chat");
    /// assert_eq!(answer, AcceptResponse::new().subprotocol("chat"));
    /// let answer = AcceptResponse::new().subprotocol(None).default_subprotocol("chat");
    /// assert_eq!(answer, AcceptResponse::new().subprotocol(None));
    /// ```
    pub fn default_subprotocol(mut self, subprotocol: impl Into<Option<&'a str>>) -> Self {
        self.subprotocol.get_or_insert(subprotocol.into());
        self
    }

    /// The subprotocol that the answer accepts.
    pub(crate) fn chosen_subprotocol(&self) -> Option<&'a str> {
        self.subprotocol.flatten()
    }

    /// Sets the value of `Sec-WebSocket-Extensions`, for a caller that speaks the extensions itself. Each must be
    /// one that the client offered.
    pub fn extensions(mut self, extensions: impl Into<Option<&'a str>>) -> Self {
        self.extensions = extensions.into();
        self
    }

    /// Sets further headers, such as `Set-Cookie`, by name and value.
    pub const fn headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Self {
        self.headers = headers;
        self
    }

    /// Writes the head that answers a key, and returns its length in bytes.
    ///
    /// This does not check whether the client offered what is accepted.
    ///
    /// # Errors
    ///
    /// [`OpenError`]. If `out` is too short, the error says how many bytes are needed, so that an empty slice asks
    /// for the length. After an error the content of `out` is unspecified.
    pub fn write(&self, key: &str, out: &mut [u8]) -> Result<usize, OpenError> {
        self.write_accept(&accept_of(key)?, out)
    }

    /// As [`write`](Self::write), given what [`accept_key`] returned: to write a second time costs no hash.
    pub(crate) fn write_accept(
        &self,
        accept: &[u8; 28],
        out: &mut [u8],
    ) -> Result<usize, OpenError> {
        let mut writer = Writer::new(out);
        writer.put(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: ",
        );
        writer.put_bytes(accept);
        writer.put("\r\n");
        self.put_more(|name, value| writer.field(name, value))?;
        writer.put("\r\n");
        writer.finish()
    }

    /// Passes on the fields that answer a key, name and value: for another HTTP server, which
    /// writes the status line itself. The status is 101.
    ///
    /// This does not check whether the client offered what is accepted.
    ///
    /// # Errors
    ///
    /// [`OpenError`]. What was passed on before an error is of no use.
    pub fn fields(&self, key: &str, mut field: impl FnMut(&str, &str)) -> Result<(), OpenError> {
        let accept = accept_of(key)?;
        field("Upgrade", "websocket");
        field("Connection", "Upgrade");
        field("Sec-WebSocket-Accept", ascii(&accept));
        self.put_more(field)
    }

    /// The fields that not every answer has.
    fn put_more(&self, mut field: impl FnMut(&str, &str)) -> Result<(), OpenError> {
        if let Some(subprotocol) = self.chosen_subprotocol() {
            if !is_token(subprotocol.as_bytes()) {
                return Err(OpenError::InvalidSubprotocol);
            }
            field("Sec-WebSocket-Protocol", subprotocol);
        }
        if let Some(extensions) = self.extensions {
            check_extensions(extensions)?;
            field("Sec-WebSocket-Extensions", extensions);
        }
        put_headers(self.headers.iter().copied(), field, |name| {
            websocket_field(name).or_else(|| one_of(name, RESERVED))
        })
    }

    /// Checks that the client offered the subprotocol and each extension by name (RFC 6455 §4.2.2).
    #[cfg(feature = "endpoint")]
    pub(crate) fn check_offered<'o>(
        &self,
        subprotocols: impl IntoIterator<Item = &'o str>,
        extensions: &str,
    ) -> Result<(), OpenError> {
        if let Some(subprotocol) = self.chosen_subprotocol() {
            if !subprotocols.into_iter().any(|offer| offer == subprotocol) {
                return Err(OpenError::UnofferedSubprotocol);
            }
        }
        if let Some(accepted) = self.extensions {
            check_extensions(accepted)?;
            let offers = Extensions::from_value(extensions);
            let was_offered = |name| offers.clone().any(|offer| offer.name() == name);
            if !Extensions::from_value(accepted).map(|accepted| accepted.name()).all(was_offered) {
                return Err(OpenError::UnofferedExtension);
            }
        }
        Ok(())
    }
}

/// The head of an answer that opens no WebSocket: a refusal, a redirect or a page.
///
/// The answer always ends the connection. A 405 without an `Allow` of the caller's gets `Allow: GET`; a 426
/// gets `Upgrade: websocket`, `Connection: Upgrade, close` and `Sec-WebSocket-Version: 13`.
///
/// `Debug` shows no value of a header, and of the body its length: they may be secret.
///
/// ```
/// use ws_core::handshake::HttpResponse;
///
/// const PAGE: HttpResponse<'_> = HttpResponse::new(404).body(b"no such page\n");
/// let mut out = [0; 128];
/// let length = PAGE.write_head(&mut out)?;
/// assert_eq!(
///     &out[..length],
///     b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 13\r\n\r\n"
/// );
/// # Ok::<(), ws_core::handshake::OpenError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub struct HttpResponse<'a> {
    pub(crate) status: u16,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

impl<'a> HttpResponse<'a> {
    /// Makes a response with a status code, which is to be from 200 to 599, and with an empty body.
    pub const fn new(status: u16) -> Self {
        Self { status, headers: &[], body: &[] }
    }

    /// Sets further headers, such as `Content-Type` or `Location`, by name and value.
    pub const fn headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Self {
        self.headers = headers;
        self
    }

    /// Sets the body.
    ///
    /// [`write_head`](Self::write_head) needs its length only: whoever calls that sends the body after the
    /// head, but not after a HEAD request. An endpoint sends it by itself.
    pub const fn body(mut self, body: &'a [u8]) -> Self {
        self.body = body;
        self
    }

    /// Writes the head, not the body, and returns its length in bytes.
    ///
    /// # Errors
    ///
    /// [`OpenError`]. If `out` is too short, the error says how many bytes are needed, so that an empty slice asks
    /// for the length. After an error the content of `out` is unspecified.
    pub fn write_head(&self, out: &mut [u8]) -> Result<usize, OpenError> {
        let mut writer = Writer::new(out);
        put_head(&mut writer, self.status, self.body.len(), |writer| {
            // Those of a refusal may be passed on: a 426 has them from its status.
            let own = HandshakeError::UnsupportedVersion.fields();
            let is_own = |header: &(&str, &str)| self.status == 426 && own.contains(header);
            let headers = self.headers.iter().copied().filter(|header| !is_own(header));
            let put = |name: &str, value: &str| writer.field(name, value);
            put_headers(headers, put, |name| {
                one_of(name, RESERVED)
                    .or_else(|| one_of(name, &["Sec-WebSocket-Accept"]))
                    .or_else(|| websocket_field(name).filter(|_| self.status == 426))
            })?;
            let allows = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Allow"));
            if self.status == 405 && !allows {
                writer.field("Allow", "GET");
            }
            Ok(())
        })?;
        writer.finish()
    }
}

/// 200 with an empty body.
impl Default for HttpResponse<'_> {
    fn default() -> Self {
        Self::new(200)
    }
}

impl HandshakeError {
    /// Writes the whole answer to a faulty request, head and body, and returns its length in bytes.
    ///
    /// The body is one line that says what was wrong, and never shows a byte of the peer's. The connection
    /// is to be closed after it. To a HEAD request, which gets no body, an [`HttpResponse`] with this error's
    /// [`status`](Self::status) and [`fields`](Self::fields) is the answer.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`](OpenError::BufferTooSmall) with the length needed, at most 512 bytes;
    /// [`InvalidStatus`](OpenError::InvalidStatus) for an error without a
    /// [`status`](HandshakeError::status).
    pub fn write_response(&self, out: &mut [u8]) -> Result<usize, OpenError> {
        self.write_answer(out, true)
    }

    /// As [`write_response`](Self::write_response), for a request with the method HEAD: the length of a body, and
    /// no body (RFC 9110 §9.3.2).
    #[cfg(feature = "endpoint")]
    pub(crate) fn write_response_head(&self, out: &mut [u8]) -> Result<usize, OpenError> {
        self.write_answer(out, false)
    }

    fn write_answer(&self, out: &mut [u8], with_body: bool) -> Result<usize, OpenError> {
        let status = self.status().ok_or(OpenError::InvalidStatus)?;
        let text = self.text();
        let mut writer = Writer::new(out);
        put_head(&mut writer, status, text.len().saturating_add(1), |writer| {
            writer.field("Content-Type", "text/plain; charset=utf-8");
            // A 426 has them from its status.
            if status != 426 {
                self.fields().iter().for_each(|(name, value)| writer.field(name, value));
            }
            Ok(())
        })?;
        if with_body {
            writer.put(text);
            writer.put("\n");
        }
        writer.finish()
    }
}

/// The `Sec-WebSocket-Accept` for a key that the caller gave.
fn accept_of(key: &str) -> Result<[u8; 28], OpenError> {
    accept_key(key).filter(|_| is_valid_key(key)).ok_or(OpenError::InvalidKey)
}

/// Checks a value of `Sec-WebSocket-Extensions` that the caller gave; it leaves no room for CR or LF.
pub(super) fn check_extensions(value: &str) -> Result<(), OpenError> {
    match Extensions::from_value(value).validate() {
        Ok(count) if count > 0 => Ok(()),
        _ => Err(OpenError::InvalidExtension),
    }
}

fn put_head(
    writer: &mut Writer<'_>,
    status: u16,
    body_length: usize,
    put_more: impl FnOnce(&mut Writer<'_>) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    if !matches!(status, 200..=599) {
        return Err(OpenError::InvalidStatus);
    }
    if body_length > 0 && matches!(status, 204 | 205 | 304) {
        return Err(OpenError::BodyNotAllowed);
    }
    writer.put("HTTP/1.1 ");
    writer.decimal(usize::from(status));
    // The space stays where there is no reason (RFC 9112 §4).
    writer.put(" ");
    writer.put(reason_phrase(status));
    writer.put("\r\n");
    if status == 426 {
        // RFC 9110 §15.5.22, RFC 6455 §4.4.
        writer.field("Upgrade", "websocket");
        writer.field("Connection", "Upgrade, close");
        writer.field("Sec-WebSocket-Version", "13");
    } else {
        writer.field("Connection", "close");
    }
    // RFC 9110 §8.6: none in a 204; in a 304 it would be that of a page that is not sent.
    if !matches!(status, 204 | 304) {
        writer.put("Content-Length: ");
        writer.decimal(body_length);
        writer.put("\r\n");
    }
    put_more(writer)?;
    writer.put("\r\n");
    Ok(())
}

/// The usual reason (RFC 9110 §15, RFC 6585); empty for a code without one.
const fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(all(test, feature = "endpoint"))]
mod tests {
    use super::*;

    // RFC 6455 §4.2.2-4.
    #[test]
    fn server_subprotocol_from_offer_only() {
        let response = AcceptResponse::new().subprotocol("chat");
        assert_eq!(response.check_offered(["v2", "chat"], ""), Ok(()));
        for offered in [&["Chat", "chat2"][..], &[]] {
            let outcome = response.check_offered(offered.iter().copied(), "");
            assert_eq!(outcome, Err(OpenError::UnofferedSubprotocol));
        }
        assert_eq!(AcceptResponse::new().check_offered([], ""), Ok(()));
    }

    // RFC 6455 §4.2.2-4, §9.1.
    #[test]
    fn server_extensions_from_offer_only() {
        for accepted in ["a", "b; y", "b, a; z=\"1\""] {
            let response = AcceptResponse::new().extensions(accepted);
            assert_eq!(response.check_offered([], "a; x=1, b, a"), Ok(()), "{accepted}");
        }
    }

    // RFC 6455 §4.2.2-4, §9: nor is an empty field legal.
    #[test]
    fn server_no_unoffered_extension() {
        for accepted in ["c", "a, c", "A", "x"] {
            let response = AcceptResponse::new().extensions(accepted);
            let outcome = response.check_offered([], "a; x=1, b");
            assert_eq!(outcome, Err(OpenError::UnofferedExtension), "{accepted}");
        }
        for accepted in ["", ",", "a;", "a\r\nX: y", "a;b=\"\r\n\"", "a\0"] {
            let response = AcceptResponse::new().extensions(accepted);
            let outcome = response.check_offered([], "a; x=1, b");
            assert_eq!(outcome, Err(OpenError::InvalidExtension), "{accepted:?}");
        }
    }
}
