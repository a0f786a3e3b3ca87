//! Writing a server's answer (RFC 6455 §4.2.2, §4.4).
//!
//! The writers check names and values, and refuse the fields that the library writes itself. So they write one
//! well-formed response or return an error, whatever the caller sets. Endpoints use this module, and so can servers
//! with buffers of their own.

use super::accept::{accept_key, ascii, is_valid_key};
use super::error::{HandshakeError, OpenError};
use super::extensions::Extensions;
use super::lists::is_token;
use super::writer::{Writer, one_of, put_headers, websocket_field};

/// The fields that a caller cannot set with `headers` in any answer.
const RESERVED: &[&str] = &["Upgrade", "Connection", "Content-Length", "Transfer-Encoding"];

/// The head of a 101: the answer that opens a WebSocket (RFC 6455 §4.2.2).
///
/// `Debug` does not show the values of headers, because they may be secret.
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
    /// `None` if the caller has not set it.
    subprotocol: Option<Option<&'a str>>,
    pub(super) extensions: Option<&'a str>,
    pub(super) headers: &'a [(&'a str, &'a str)],
}

impl<'a> AcceptResponse<'a> {
    /// Returns an answer that accepts no subprotocol and no extension.
    pub const fn new() -> Self {
        Self { subprotocol: None, extensions: None, headers: &[] }
    }

    /// Sets the subprotocol, for example to the result of [`select_subprotocol`](super::select_subprotocol). The client
    /// must have offered it. With `None`, the answer accepts no subprotocol.
    pub fn subprotocol(mut self, subprotocol: impl Into<Option<&'a str>>) -> Self {
        self.subprotocol = Some(subprotocol.into());
        self
    }

    /// Sets the subprotocol unless [`subprotocol`](Self::subprotocol) was called. A server uses this if it chooses a
    /// subprotocol when the application does not.
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

    /// Returns the subprotocol that the answer accepts.
    pub(crate) fn chosen_subprotocol(&self) -> Option<&'a str> {
        self.subprotocol.flatten()
    }

    /// Sets the value of `Sec-WebSocket-Extensions`, for a caller that implements the extensions itself. The client
    /// must have offered each of them.
    pub fn extensions(mut self, extensions: impl Into<Option<&'a str>>) -> Self {
        self.extensions = extensions.into();
        self
    }

    /// Sets further headers, such as `Set-Cookie`, as names and values.
    pub const fn headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Self {
        self.headers = headers;
        self
    }

    /// Writes the head that answers a `Sec-WebSocket-Key`, and returns its length in bytes.
    ///
    /// This does not check whether the client offered what is accepted.
    ///
    /// # Errors
    ///
    /// Returns an [`OpenError`] if a value is not valid or `out` is too short. In the second case the error contains the
    /// length that is needed, so you can pass an empty slice to find out the length. After an error the content of `out`
    /// is unspecified.
    pub fn write(&self, key: &str, out: &mut [u8]) -> Result<usize, OpenError> {
        self.write_accept(&accept_of(key)?, out)
    }

    /// Does the same as [`write`](Self::write) with the result of [`accept_key`], so that a second attempt need not
    /// compute the hash again.
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

    /// Calls `field` with the name and value of each field that answers a `Sec-WebSocket-Key`.
    ///
    /// Use this if another HTTP server writes the response. Its status must be 101.
    ///
    /// This does not check whether the client offered what is accepted.
    ///
    /// # Errors
    ///
    /// Returns an [`OpenError`] if a value is not valid. Do not use the fields that `field` received before that.
    pub fn fields(&self, key: &str, mut field: impl FnMut(&str, &str)) -> Result<(), OpenError> {
        let accept = accept_of(key)?;
        field("Upgrade", "websocket");
        field("Connection", "Upgrade");
        field("Sec-WebSocket-Accept", ascii(&accept));
        self.put_more(field)
    }

    /// Passes on the optional fields.
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

/// A response that does not open a WebSocket, such as a refusal, a redirect or a page.
///
/// The connection always ends after the response. A 405 gets `Allow: GET` unless the caller sets `Allow`. A 426 gets
/// `Upgrade: websocket`, `Connection: Upgrade, close` and `Sec-WebSocket-Version: 13`.
///
/// `Debug` shows neither the values of headers nor the body, because they may be secret. It shows the length of the
/// body.
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
    /// Returns a response with a status code from 200 to 599 and an empty body.
    pub const fn new(status: u16) -> Self {
        Self { status, headers: &[], body: &[] }
    }

    /// Sets further headers, such as `Content-Type` or `Location`, as names and values.
    pub const fn headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Self {
        self.headers = headers;
        self
    }

    /// Sets the body.
    ///
    /// An endpoint sends the body itself. [`write_head`](Self::write_head) uses only its length: after calling it, send
    /// the body yourself, unless the method of the request is HEAD.
    pub const fn body(mut self, body: &'a [u8]) -> Self {
        self.body = body;
        self
    }

    /// Writes the head without the body, and returns its length in bytes.
    ///
    /// # Errors
    ///
    /// Returns an [`OpenError`] if a value is not valid or `out` is too short. In the second case the error contains the
    /// length that is needed, so you can pass an empty slice to find out the length. After an error the content of `out`
    /// is unspecified.
    pub fn write_head(&self, out: &mut [u8]) -> Result<usize, OpenError> {
        let mut writer = Writer::new(out);
        put_head(&mut writer, self.status, self.body.len(), |writer| {
            // The caller may set the fields of a [`HandshakeError`], but `put_head` writes those of a 426.
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

/// Returns a response with status 200 and an empty body.
impl Default for HttpResponse<'_> {
    fn default() -> Self {
        Self::new(200)
    }
}

impl HandshakeError {
    /// Writes the whole answer to a faulty request, head and body, and returns its length in bytes.
    ///
    /// The body is one line that describes the error. It never contains a byte from the peer. Close the connection
    /// after you have sent the answer.
    ///
    /// The answer to a HEAD request must not have a body. Answer it with an [`HttpResponse`] with this error's
    /// [`status`](Self::status) and [`fields`](Self::fields).
    ///
    /// # Errors
    ///
    /// Returns [`BufferTooSmall`](OpenError::BufferTooSmall) with the length that is needed, which is at most 512
    /// bytes. Returns [`InvalidStatus`](OpenError::InvalidStatus) if this error has no
    /// [`status`](HandshakeError::status).
    pub fn write_response(&self, out: &mut [u8]) -> Result<usize, OpenError> {
        self.write_answer(out, true)
    }

    /// Writes the answer to a HEAD request: the same as [`write_response`](Self::write_response), but without the body
    /// (RFC 9110 §9.3.2).
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
            // `put_head` writes those of a 426.
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

/// Returns the `Sec-WebSocket-Accept` for a key, which this checks first.
fn accept_of(key: &str) -> Result<[u8; 28], OpenError> {
    accept_key(key).filter(|_| is_valid_key(key)).ok_or(OpenError::InvalidKey)
}

/// Checks a value of `Sec-WebSocket-Extensions` that the caller has set. A valid value cannot contain CR or LF.
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
    // The space is required even without a reason (RFC 9112 §4).
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
    // RFC 9110 §8.6: a 204 must not have one, and in a 304 it would be the length of a page that is not sent.
    if !matches!(status, 204 | 304) {
        writer.put("Content-Length: ");
        writer.decimal(body_length);
        writer.put("\r\n");
    }
    put_more(writer)?;
    writer.put("\r\n");
    Ok(())
}

/// Returns the usual reason phrase (RFC 9110 §15, RFC 6585), or an empty one for other codes.
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

    // RFC 6455 §4.2.2-4, §9. An empty field is not valid either.
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
