//! Writing a server's answer (RFC 6455 §4.2.2, §4.4).

use super::accept::{accept_key, is_valid_key};
use super::error::{HandshakeError, HeadError};
use super::extensions::{Extension, Extensions};
use super::lists::is_token;
use super::writer::{Writer, is_one_of, is_websocket_field, put_headers};

/// The head of a 101: the answer that opens a WebSocket (RFC 6455 §4.2.2).
///
/// ```
/// use ws_core::handshake::AcceptResponse;
///
/// let response = AcceptResponse { subprotocol: Some("chat"), ..AcceptResponse::default() };
/// let mut out = [0; 256];
/// let length = response.write("dGhlIHNhbXBsZSBub25jZQ==", &mut out)?;
/// assert_eq!(
///     &out[..length],
///     b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///       Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
/// );
/// # Ok::<(), ws_core::handshake::HeadError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct AcceptResponse<'a> {
    /// The subprotocol to speak: one that the client offered. `None` writes no field.
    pub subprotocol: Option<&'a str>,
    /// The value of `Sec-WebSocket-Extensions`. `None` writes no field.
    pub extensions: Option<&'a str>,
    /// Further headers, such as `Set-Cookie`.
    pub headers: &'a [(&'a str, &'a str)],
}

impl AcceptResponse<'_> {
    /// Writes the head that answers a key, and gives its length in bytes.
    ///
    /// Whether the client offered what is accepted is the matter of
    /// [`check_offered`](Self::check_offered).
    ///
    /// # Errors
    ///
    /// [`HeadError`], with the length needed if `out` is too short: an empty slice asks for it. After
    /// an error the content of `out` is unspecified.
    pub fn write(&self, key: &str, out: &mut [u8]) -> Result<usize, HeadError> {
        let mut writer = Writer::new(out);
        writer.put("HTTP/1.1 101 Switching Protocols\r\n");
        self.fields(key, |name, value| writer.field(name, value))?;
        writer.put("\r\n");
        writer.finish()
    }

    /// Passes on the fields that answer a key, name and value: for another HTTP server, which
    /// writes the status line itself. The status is 101. Whether the client offered what is accepted
    /// is the matter of [`check_offered`](Self::check_offered).
    ///
    /// # Errors
    ///
    /// [`HeadError`]. What was passed on before an error is of no use.
    pub fn fields(&self, key: &str, mut field: impl FnMut(&str, &str)) -> Result<(), HeadError> {
        if !is_valid_key(key) {
            return Err(HeadError::InvalidKey);
        }
        field("Upgrade", "websocket");
        field("Connection", "Upgrade");
        field("Sec-WebSocket-Accept", accept_key(key).as_str());
        if let Some(subprotocol) = self.subprotocol {
            if !is_token(subprotocol.as_bytes()) {
                return Err(HeadError::InvalidSubprotocol);
            }
            field("Sec-WebSocket-Protocol", subprotocol);
        }
        if let Some(extensions) = self.extensions {
            check_extensions(extensions)?;
            field("Sec-WebSocket-Extensions", extensions);
        }
        put_headers(self.headers.iter().copied(), field, |name| {
            is_websocket_field(name)
                || is_one_of(
                    name,
                    &["upgrade", "connection", "content-length", "transfer-encoding"],
                )
        })
    }

    /// Checks that the client offered the subprotocol and each extension by name (RFC 6455 §4.2.2).
    ///
    /// # Errors
    ///
    /// [`UnofferedSubprotocol`](HeadError::UnofferedSubprotocol),
    /// [`UnofferedExtension`](HeadError::UnofferedExtension), and
    /// [`InvalidExtension`](HeadError::InvalidExtension) for what breaks the grammar.
    pub fn check_offered<'o, 'h>(
        &self,
        subprotocols: impl IntoIterator<Item = &'o str>,
        extensions: impl Iterator<Item = Extension<'h>> + Clone,
    ) -> Result<(), HeadError> {
        if let Some(subprotocol) = self.subprotocol {
            if !subprotocols.into_iter().any(|offer| offer == subprotocol) {
                return Err(HeadError::UnofferedSubprotocol);
            }
        }
        if let Some(accepted) = self.extensions {
            check_extensions(accepted)?;
            let offered =
                |name: &str| extensions.clone().any(|offer: Extension<'_>| offer.name() == name);
            if !Extensions::from_value(accepted).all(|accepted| offered(accepted.name())) {
                return Err(HeadError::UnofferedExtension);
            }
        }
        Ok(())
    }
}

/// The head of an answer that opens no WebSocket: a refusal, a redirect or a page.
///
/// It always ends the connection. A 405 without an `Allow` of the caller's gets `Allow: GET`; a 426
/// gets `Upgrade: websocket`, `Connection: Upgrade, close` and `Sec-WebSocket-Version: 13`.
///
/// ```
/// use ws_core::handshake::HttpResponse;
///
/// let page = HttpResponse { status: 404, headers: &[], body: b"no such page\n" };
/// let mut out = [0; 128];
/// let length = page.write_head(&mut out)?;
/// assert_eq!(
///     &out[..length],
///     b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 13\r\n\r\n"
/// );
/// # Ok::<(), ws_core::handshake::HeadError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HttpResponse<'a> {
    /// The status code, from 200 to 599.
    pub status: u16,
    /// Further headers, such as `Content-Type` or `Location`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body. [`write_head`](Self::write_head) uses its length only: a caller of that sends it
    /// after the head, but not after a HEAD request. `Endpoint::respond` sends it by itself.
    pub body: &'a [u8],
}

impl HttpResponse<'_> {
    /// Writes the head, not the body, and gives its length in bytes.
    ///
    /// # Errors
    ///
    /// [`HeadError`], with the length needed if `out` is too short: an empty slice asks for it. After
    /// an error the content of `out` is unspecified.
    pub fn write_head(&self, out: &mut [u8]) -> Result<usize, HeadError> {
        let mut writer = Writer::new(out);
        put_head(&mut writer, self.status, self.body.len(), |writer| {
            // Those of a refusal may be passed on: a 426 has them from its status.
            let own = HandshakeError::UnsupportedVersion.fields();
            let is_own = |header: &(&str, &str)| self.status == 426 && own.contains(header);
            let headers = self.headers.iter().copied().filter(|header| !is_own(header));
            let put = |name: &str, value: &str| writer.field(name, value);
            put_headers(headers, put, |name| {
                is_one_of(
                    name,
                    &[
                        "upgrade",
                        "connection",
                        "content-length",
                        "transfer-encoding",
                        "sec-websocket-accept",
                    ],
                ) || (self.status == 426 && is_websocket_field(name))
            })?;
            let allows = self.headers.iter().any(|(name, _)| is_one_of(name, &["allow"]));
            if self.status == 405 && !allows {
                writer.field("Allow", "GET");
            }
            Ok(())
        })?;
        writer.finish()
    }
}

impl HandshakeError {
    /// Writes the whole answer to a faulty request, head and body, and gives its length in bytes.
    ///
    /// The body is one line that says what was wrong, and never a byte of the peer's. The connection
    /// is to be closed after it.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`](HeadError::BufferTooSmall) with the length needed, at most 512 bytes;
    /// [`InvalidStatus`](HeadError::InvalidStatus) for an error without a
    /// [`status`](HandshakeError::status).
    pub fn write_response(&self, out: &mut [u8]) -> Result<usize, HeadError> {
        self.write_answer(out, true)
    }

    /// As [`write_response`](Self::write_response), for a request with the method HEAD: the length of a body, and
    /// no body (RFC 9110 §9.3.2).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn write_response_head(&self, out: &mut [u8]) -> Result<usize, HeadError> {
        self.write_answer(out, false)
    }

    fn write_answer(&self, out: &mut [u8], with_body: bool) -> Result<usize, HeadError> {
        let status = self.status().ok_or(HeadError::InvalidStatus)?;
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

/// Checks a value of `Sec-WebSocket-Extensions` that the caller gave; it leaves no room for CR or LF.
pub(super) fn check_extensions(value: &str) -> Result<(), HeadError> {
    match Extensions::from_value(value).validate() {
        Ok(count) if count > 0 => Ok(()),
        _ => Err(HeadError::InvalidExtension),
    }
}

fn put_head(
    writer: &mut Writer<'_>,
    status: u16,
    body_length: usize,
    put_more: impl FnOnce(&mut Writer<'_>) -> Result<(), HeadError>,
) -> Result<(), HeadError> {
    if !matches!(status, 200..=599) {
        return Err(HeadError::InvalidStatus);
    }
    if body_length > 0 && matches!(status, 204 | 205 | 304) {
        return Err(HeadError::BodyNotAllowed);
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
