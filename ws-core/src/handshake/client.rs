//! The client's side of the opening handshake: writing the request and checking the response (RFC 6455 §4.1).
//!
//! [`ClientRequest`] checks what the caller sets, so it never writes a request that a server has to refuse.
//! [`ResponseHead`] parses any well-formed response of HTTP/1, and its `accept` checks the rules of RFC 6455. Endpoints
//! use both, and so can clients with buffers of their own.

use super::accept::{ClientKey, accept_key};
use super::error::{HandshakeError, OpenError};
use super::extensions::Extensions;
use super::fields::{
    Field, FieldSlots, FieldValues, Single, pairs, parse_fields, parse_http_version,
    split_start_line,
};
use super::lists::{ListElements, is_token};
use super::origin::Authority;
use super::response::check_extensions;
use super::writer::{Writer, check_value, one_of, put_headers, websocket_field};

/// The fields that a caller cannot set with `headers`, in addition to those of the handshake.
const RESERVED: &[&str] =
    &["Host", "Upgrade", "Connection", "Origin", "Content-Length", "Transfer-Encoding"];

/// The request that asks for a WebSocket (RFC 6455 §4.1).
///
/// `Debug` does not show the query, the subprotocols or the values of headers, because they may be secret.
///
/// ```
/// use ws_core::handshake::{ClientKey, ClientRequest};
///
/// let request = ClientRequest::new("example.com:8080", "/chat").subprotocols(&["chat"]);
/// let key = ClientKey::from_nonce(*b"the sample nonce"); // random bytes, fresh each time
/// let mut out = [0; 256];
/// let length = request.write(&key, &mut out)?;
/// assert!(out[..length].starts_with(b"GET /chat HTTP/1.1\r\nHost: example.com:8080\r\n"));
/// # Ok::<(), ws_core::handshake::OpenError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub struct ClientRequest<'a> {
    pub(super) host: &'a str,
    pub(super) target: &'a str,
    pub(super) origin: Option<&'a str>,
    pub(crate) subprotocols: &'a [&'a str],
    pub(crate) extensions: Option<&'a str>,
    pub(super) headers: &'a [(&'a str, &'a str)],
}

impl<'a> ClientRequest<'a> {
    /// Returns a request that offers no subprotocol and no extension.
    ///
    /// `host` is the value of `Host`: `host`, or `host:port` when the port is not the scheme's default. IPv6 addresses
    /// are in brackets. `target` is the resource name: a path that begins with `/` and an optional query, without a
    /// fragment (RFC 6455 §3). [`write`](Self::write) checks both.
    pub const fn new(host: &'a str, target: &'a str) -> Self {
        Self { host, target, origin: None, subprotocols: &[], extensions: None, headers: &[] }
    }

    /// Sets the value of `Origin`. Only browsers have to send one.
    pub fn origin(mut self, origin: impl Into<Option<&'a str>>) -> Self {
        self.origin = origin.into();
        self
    }

    /// Sets the subprotocols to offer, in order of preference. Each must be a token, and none may occur twice. Without
    /// any, the request has no `Sec-WebSocket-Protocol`.
    pub const fn subprotocols(mut self, subprotocols: &'a [&'a str]) -> Self {
        self.subprotocols = subprotocols;
        self
    }

    /// Sets the value of `Sec-WebSocket-Extensions`, for a caller that implements the extensions itself.
    pub fn extensions(mut self, extensions: impl Into<Option<&'a str>>) -> Self {
        self.extensions = extensions.into();
        self
    }

    /// Sets further headers, such as `Cookie` or `Authorization`, as names and values.
    pub const fn headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Self {
        self.headers = headers;
        self
    }

    /// Writes the request and returns its length in bytes.
    ///
    /// # Errors
    ///
    /// Returns an [`OpenError`] if a value is not valid or `out` is too short. In the second case the error contains
    /// the length that is needed, so you can pass an empty slice to find out the length. After an error the content of
    /// `out` is unspecified.
    pub fn write(&self, key: &ClientKey, out: &mut [u8]) -> Result<usize, OpenError> {
        if !is_valid_target(self.target) {
            return Err(OpenError::InvalidTarget);
        }
        if !is_valid_host(self.host) {
            return Err(OpenError::InvalidHost);
        }
        let mut writer = Writer::new(out);
        writer.put("GET ");
        writer.put(self.target);
        writer.put(" HTTP/1.1\r\n");
        writer.field("Host", self.host);
        writer.put("Upgrade: websocket\r\nConnection: Upgrade\r\n");
        writer.field("Sec-WebSocket-Key", key.as_str());
        writer.put("Sec-WebSocket-Version: 13\r\n");
        if let Some(origin) = self.origin {
            check_value(origin)?;
            writer.field("Origin", origin);
        }
        self.put_subprotocols(&mut writer)?;
        if let Some(extensions) = self.extensions {
            check_extensions(extensions)?;
            writer.field("Sec-WebSocket-Extensions", extensions);
        }
        let put = |name: &str, value: &str| writer.field(name, value);
        put_headers(self.headers.iter().copied(), put, |name| {
            websocket_field(name).or_else(|| one_of(name, RESERVED))
        })?;
        writer.put("\r\n");
        writer.finish()
    }

    fn put_subprotocols(&self, writer: &mut Writer<'_>) -> Result<(), OpenError> {
        for (index, name) in self.subprotocols.iter().enumerate() {
            let earlier = self.subprotocols.get(..index).unwrap_or_default();
            if !is_token(name.as_bytes()) || earlier.contains(name) {
                return Err(OpenError::InvalidSubprotocol);
            }
            writer.put(if index == 0 { "Sec-WebSocket-Protocol: " } else { ", " });
            writer.put(name);
        }
        if !self.subprotocols.is_empty() {
            writer.put("\r\n");
        }
        Ok(())
    }
}

/// The parsed head of a response. It borrows the bytes of the head and the slots for its fields.
///
/// `Debug` shows only the names of the fields, because the values may be secret.
#[derive(Clone, Copy)]
pub struct ResponseHead<'f, 'h> {
    pub(super) minor_version: u8,
    pub(super) status: u16,
    #[cfg(any(feature = "endpoint", feature = "proxy"))]
    reason: &'h [u8],
    pub(super) fields: &'f [Field<'h>],
}

impl<'f, 'h> ResponseHead<'f, 'h> {
    /// Parses a head. `head` ends with the empty line of the head, and nothing follows it.
    ///
    /// The head can have as many fields as there are `slots`.
    ///
    /// # Errors
    ///
    /// Returns an error for wrong syntax, for more fields than slots
    /// ([`TooManyFields`](HandshakeError::TooManyFields)), and for another version than HTTP/1.
    pub fn parse<const N: usize>(
        head: &'h [u8],
        slots: &'f mut FieldSlots<'h, N>,
    ) -> Result<Self, HandshakeError> {
        Self::parse_in(head, &mut slots.0)
    }

    /// Does the same as [`parse`](Self::parse), with the slots in a slice.
    pub(crate) fn parse_in(
        head: &'h [u8],
        slots: &'f mut [Field<'h>],
    ) -> Result<Self, HandshakeError> {
        let (line, section) = split_start_line(head)?;
        let (version, status, _reason) =
            split_status_line(line).ok_or(HandshakeError::MalformedStatusLine)?;
        let fields = parse_fields(section, slots)?;
        match version {
            Ok(minor_version) => Ok(Self {
                minor_version,
                status,
                #[cfg(any(feature = "endpoint", feature = "proxy"))]
                reason: _reason,
                fields,
            }),
            Err(()) => Err(HandshakeError::UnsupportedResponseVersion),
        }
    }

    /// Returns the status code, from 100 to 999.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Returns the reason phrase. It can be empty, has no meaning, and need not be UTF-8.
    #[cfg(any(feature = "endpoint", feature = "proxy"))]
    pub(crate) const fn reason(&self) -> &'h [u8] {
        self.reason
    }

    /// Returns whether another response follows this one, because this is a 1xx other than 101 (RFC 9110 §15.2).
    #[must_use]
    pub const fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// Returns all fields in order, as names and values. Names are as they were sent; values have no white space around
    /// them.
    pub fn fields(&self) -> impl Iterator<Item = (&'h str, &'h [u8])> + Clone + use<'f, 'h> {
        pairs(self.fields)
    }

    /// Returns the first value of a field. The case of the name does not matter.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'h [u8]> {
        FieldValues::new(self.fields, name).next()
    }

    /// Checks a 101 by every rule of RFC 6455 §4.1, and returns the subprotocol that the server has chosen.
    ///
    /// Fields that describe a body, such as `Content-Length`, are ignored, because a 1xx ends at its empty line (RFC
    /// 9112 §6.3).
    ///
    /// `offered_subprotocols` are the subprotocols that the request offered, and `offered_extensions` is the value of
    /// its `Sec-WebSocket-Extensions`. The response may only name extensions that were offered. This method does not
    /// check their parameters. `deflate`, which needs the feature of that name, checks those of permessage-deflate.
    ///
    /// # Errors
    ///
    /// Returns [`NotSwitchingProtocols`](HandshakeError::NotSwitchingProtocols) if the status is not 101. Such a
    /// response is not faulty; it is an ordinary response of HTTP. Otherwise the error names the rule that the response
    /// breaks.
    pub fn accept<'o>(
        &self,
        key: &ClientKey,
        offered_subprotocols: impl IntoIterator<Item = &'o str>,
        offered_extensions: Option<&str>,
    ) -> Result<Option<&'h str>, HandshakeError> {
        if self.status != 101 {
            return Err(HandshakeError::NotSwitchingProtocols);
        }
        // HTTP/1.0 has neither 1xx nor Upgrade (RFC 9110 §15.2, §7.8).
        if self.minor_version == 0 {
            return Err(HandshakeError::UnsupportedResponseVersion);
        }
        let upgrade = self.single("upgrade");
        match upgrade.first {
            Some(value) if !upgrade.repeated && value.eq_ignore_ascii_case(b"websocket") => {}
            _ => return Err(HandshakeError::ResponseUpgrade),
        }
        let mut connection = ListElements::new(self.fields, "connection");
        if !connection.any(|token| token.eq_ignore_ascii_case(b"upgrade")) {
            return Err(HandshakeError::ResponseConnection);
        }
        let accept = self.single("sec-websocket-accept");
        match accept.first {
            None => return Err(HandshakeError::MissingAccept),
            Some(_) if accept.repeated => return Err(HandshakeError::RepeatedAccept),
            Some(value) if accept_key(key.as_str()).is_some_and(|accept| value == accept) => {}
            // mutant: any Sec-WebSocket-Accept will do
            Some(_) => return Err(HandshakeError::WrongAccept),
        }
        let subprotocol = self.subprotocol(offered_subprotocols)?;
        self.check_extensions(offered_extensions)?;
        Ok(subprotocol)
    }

    fn subprotocol<'o>(
        &self,
        offered: impl IntoIterator<Item = &'o str>,
    ) -> Result<Option<&'h str>, HandshakeError> {
        let chosen = self.single("sec-websocket-protocol");
        let Some(value) = chosen.first else { return Ok(None) };
        if chosen.repeated {
            return Err(HandshakeError::RepeatedResponseSubprotocol);
        }
        match core::str::from_utf8(value) {
            Ok(name) if offered.into_iter().any(|offer| offer == name) => Ok(Some(name)),
            _ => Err(HandshakeError::UnofferedSubprotocol),
        }
    }

    /// Returns the extensions that the server has agreed to.
    pub(super) fn extensions(&self) -> Extensions<'f, 'h> {
        Extensions::new(self.fields)
    }

    fn check_extensions(&self, offered: Option<&str>) -> Result<(), HandshakeError> {
        let agreed = self.extensions();
        if agreed.validate()? == 0 && self.field("sec-websocket-extensions").is_some() {
            return Err(HandshakeError::InvalidExtensions);
        }
        let offered = Extensions::from_value(offered.unwrap_or_default());
        let was_offered = |name| offered.clone().any(|offer| offer.name() == name);
        if !agreed.map(|extension| extension.name()).all(was_offered) {
            return Err(HandshakeError::UnofferedExtension);
        }
        Ok(())
    }

    fn single(&self, name: &str) -> Single<'h> {
        Single::of(self.fields, name)
    }
}

/// Splits a status line: `HTTP/d.d`, a space, three digits, and optionally a space and a reason (RFC 9112 §4).
fn split_status_line(line: &[u8]) -> Option<(Result<u8, ()>, u16, &[u8])> {
    let (version, rest) = line.split_at_checked(8)?;
    let version = parse_http_version(version)?;
    let (status, reason) = rest.split_at_checked(4)?;
    let status = match status {
        [b' ', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => {
            core::str::from_utf8(digits).ok()?.parse().ok()?
        }
        _ => return None,
    };
    let reason = match reason {
        [] => reason,
        [b' ', reason @ ..] => reason,
        _ => return None,
    };
    let is_text = reason.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
    (status >= 100 && is_text).then_some((version, status, reason))
}

/// Returns whether this is the path and query of a URI: printable ASCII that begins with `/`, without a space or `#`.
fn is_valid_target(target: &str) -> bool {
    target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// Returns whether this is a host and an optional port. A server accepts a colon without a port, but a client does not
/// send one.
fn is_valid_host(host: &str) -> bool {
    !host.ends_with(':') && Authority::parse(host).is_some()
}

#[cfg(all(test, feature = "endpoint"))]
mod tests {
    use super::*;

    // RFC 9112 §4: the reason is optional and need not be UTF-8.
    #[test]
    fn reasons_are_what_follows_the_status() {
        for (line, reason) in [
            (&b"HTTP/1.1 100 Continue"[..], &b"Continue"[..]),
            (b"HTTP/1.0 302 Found", b"Found"),
            (b"HTTP/1.1 401", b""),
            (b"HTTP/1.1 401 ", b""),
            (b"HTTP/1.1 999 x y", b"x y"),
            (b"HTTP/1.1 999 \xe9", b"\xe9"),
        ] {
            let head = [line, b"\r\n\r\n"].concat();
            let parsed = ResponseHead::parse_in(&head, &mut []).unwrap();
            assert_eq!(parsed.reason(), reason);
        }
    }
}
