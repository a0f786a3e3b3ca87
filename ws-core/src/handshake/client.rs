//! A client's half: writing the request, checking the response (RFC 6455 §4.1).
//!
//! [`ClientRequest`] writes nothing that a server would have to refuse, whatever the caller put into it.
//! [`ResponseHead`] is syntax: any response of HTTP/1 that is well-formed; its `accept` is where the rules of
//! RFC 6455 are. Endpoints call both, as do clients on slices of their own.

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

/// What a caller cannot set by `headers`, beside the fields of the handshake.
const RESERVED: &[&str] =
    &["Host", "Upgrade", "Connection", "Origin", "Content-Length", "Transfer-Encoding"];

/// The request that asks for a WebSocket (RFC 6455 §4.1).
///
/// `Debug` shows no query, no subprotocol and no value of a header: they may be secret.
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
    /// Makes a request that offers nothing.
    ///
    /// `host` is the value of `Host`: `host`, or `host:port` when the port is not the scheme's default; IPv6
    /// addresses stand in brackets. `target` is the resource name: path and query, beginning with `/`, and
    /// no fragment (RFC 6455 §3). [`write`](Self::write) checks both.
    pub const fn new(host: &'a str, target: &'a str) -> Self {
        Self { host, target, origin: None, subprotocols: &[], extensions: None, headers: &[] }
    }

    /// Sets the value of `Origin`, which only browsers need to send.
    pub fn origin(mut self, origin: impl Into<Option<&'a str>>) -> Self {
        self.origin = origin.into();
        self
    }

    /// Sets the subprotocols to offer, best first: tokens, none of them twice. With none, the request has no
    /// `Sec-WebSocket-Protocol`.
    pub const fn subprotocols(mut self, subprotocols: &'a [&'a str]) -> Self {
        self.subprotocols = subprotocols;
        self
    }

    /// Sets the value of `Sec-WebSocket-Extensions`, for a caller that speaks the extensions itself.
    pub fn extensions(mut self, extensions: impl Into<Option<&'a str>>) -> Self {
        self.extensions = extensions.into();
        self
    }

    /// Sets further headers, such as `Cookie` or `Authorization`, by name and value.
    pub const fn headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Self {
        self.headers = headers;
        self
    }

    /// Writes the request and returns its length in bytes.
    ///
    /// # Errors
    ///
    /// [`OpenError`]. If `out` is too short, the error says how many bytes are needed, so that an empty slice asks
    /// for the length. After an error the content of `out` is unspecified.
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

/// The head of a response, taken apart. It borrows the head's bytes and the slots that the caller lent.
///
/// `Debug` shows the names of the fields: values may be secret.
#[derive(Clone, Copy)]
pub struct ResponseHead<'f, 'h> {
    pub(super) minor_version: u8,
    pub(super) status: u16,
    #[cfg(any(feature = "endpoint", feature = "proxy"))]
    reason: &'h [u8],
    pub(super) fields: &'f [Field<'h>],
}

impl<'f, 'h> ResponseHead<'f, 'h> {
    /// Parses a head: the bytes up to and including its empty line, and nothing after them.
    ///
    /// The number of `slots` bounds the number of fields.
    ///
    /// # Errors
    ///
    /// Wrong syntax, [`TooManyFields`](HandshakeError::TooManyFields), or another version than HTTP/1.
    pub fn parse<const N: usize>(
        head: &'h [u8],
        slots: &'f mut FieldSlots<'h, N>,
    ) -> Result<Self, HandshakeError> {
        Self::parse_in(head, &mut slots.0)
    }

    /// As [`parse`](Self::parse), with as many slots as a slice has.
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

    /// The reason phrase, possibly empty; it means nothing and need not be UTF-8.
    #[cfg(any(feature = "endpoint", feature = "proxy"))]
    pub(crate) const fn reason(&self) -> &'h [u8] {
        self.reason
    }

    /// Returns whether another response follows this one: it is a 1xx other than 101 (RFC 9110 §15.2).
    #[must_use]
    pub const fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// Returns all fields in order: names as they were sent, values without the white space around them.
    pub fn fields(&self) -> impl Iterator<Item = (&'h str, &'h [u8])> + Clone + use<'f, 'h> {
        pairs(self.fields)
    }

    /// Returns the first value of a field; the name is compared without regard to case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'h [u8]> {
        FieldValues::new(self.fields, name).next()
    }

    /// Checks a 101 by every rule of RFC 6455 §4.1 and returns the subprotocol that the server has chosen.
    ///
    /// Fields that speak of a body, such as `Content-Length`, do not matter: a 1xx ends at its empty line
    /// (RFC 9112 §6.3).
    ///
    /// `offered_subprotocols` and `offered_extensions` are what the request offered, the latter as
    /// the value of its field. The response then has no extension of another name. Parameters are not checked here:
    /// those of permessage-deflate are by `deflate`, which needs the feature of that name.
    ///
    /// # Errors
    ///
    /// [`NotSwitchingProtocols`](HandshakeError::NotSwitchingProtocols) for another status, which is
    /// not a fault, but for HTTP to handle; otherwise the rule that is broken.
    pub fn accept<'o>(
        &self,
        key: &ClientKey,
        offered_subprotocols: impl IntoIterator<Item = &'o str>,
        offered_extensions: Option<&str>,
    ) -> Result<Option<&'h str>, HandshakeError> {
        if self.status != 101 {
            return Err(HandshakeError::NotSwitchingProtocols);
        }
        // HTTP/1.0 knows neither 1xx nor Upgrade (RFC 9110 §15.2, §7.8).
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

    /// The extensions of the answer.
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

/// `HTTP/d.d`, a space, three digits, and possibly a space and a reason (RFC 9112 §4).
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

/// Path and query of a URI: begins with `/`, printable ASCII without space and `#`.
fn is_valid_target(target: &str) -> bool {
    target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// A host and an optional port; unlike a server, a client does not write a colon without a port.
fn is_valid_host(host: &str) -> bool {
    !host.ends_with(':') && Authority::parse(host).is_some()
}

#[cfg(all(test, feature = "endpoint"))]
mod tests {
    use super::*;

    // RFC 9112 §4: the reason is optional, and need not be UTF-8.
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
