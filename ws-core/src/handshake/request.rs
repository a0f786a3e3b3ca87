//! Parsing a client's request (RFC 6455 §4.2.1).
//!
//! A [`RequestHead`] is any well-formed request of HTTP/1. An [`Upgrade`] is a request that passed all checks of RFC
//! 6455. Only this module can create one, so its values need not be checked again. A server passes a whole head, which
//! it finds with a [`HeadReader`](super::HeadReader).

use super::MAX_SUBPROTOCOLS;
use super::accept::is_valid_key;
use super::error::HandshakeError;
use super::extensions::Extensions;
use super::fields::{
    Field, FieldSlots, FieldValues, Single, content_length, decimal, pairs, parse_fields,
    parse_http_version, put_fields, split_start_line,
};
use super::lists::{ListElements, all_bytes, contains_token, is_token, split_at_first};
use super::origin::{Authority, split_scheme};
use crate::SHORT_CUTS;

/// The parsed head of a request. It borrows the bytes of the head and the slots for its fields.
///
/// `Debug` shows only the path and the names of the fields, because the query and the values may be secret.
#[derive(Clone, Copy)]
pub struct RequestHead<'f, 'h> {
    pub(super) method: &'h str,
    pub(super) target: &'h str,
    pub(super) minor_version: u8,
    fields: &'f [Field<'h>],
}

/// A request for a WebSocket that obeys every rule of RFC 6455 §4.2.1.
///
/// [`RequestHead::upgrade`] returns it. `Debug` shows neither the key nor the query.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Upgrade<'f, 'h> {
    /// The `Sec-WebSocket-Key`, which [`AcceptResponse`](super::AcceptResponse) answers.
    pub key: &'h str,
    /// The host and optional port that the request is for. They are those of the target if that is an absolute URI, and
    /// otherwise those of `Host`.
    pub host: &'h str,
    /// The `Origin`. Browsers always send one, but other clients need not (RFC 6455 §4.2.1, §10.2).
    pub origin: Option<&'h str>,
    /// The part of the target after the authority: a path and a query. Both are optional.
    pub(crate) resource: &'h str,
    /// The fields from the first `Sec-WebSocket-Protocol` on.
    protocol: &'f [Field<'h>],
    /// The fields from the first `Sec-WebSocket-Extensions` on.
    #[cfg_attr(not(feature = "deflate"), expect(dead_code, reason = "only `deflate` reads them"))]
    extensions: &'f [Field<'h>],
}

impl<'f, 'h> RequestHead<'f, 'h> {
    /// Parses a head. `head` ends with the empty line of the head, and nothing follows it.
    ///
    /// Empty lines before the request line are skipped (RFC 9112 §2.2). The head can have as many fields as there are
    /// `slots`.
    ///
    /// # Errors
    ///
    /// Returns an error for wrong syntax (status 400) and for more fields than slots
    /// ([`TooManyFields`](HandshakeError::TooManyFields), 431). If the syntax is right but the version is not HTTP/1,
    /// the error is [`UnsupportedHttpVersion`](HandshakeError::UnsupportedHttpVersion) (505).
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
        let mut head = head;
        while let [b'\r', b'\n', tail @ ..] = head {
            head = tail;
        }
        let (line, section) = split_start_line(head)?;
        let (method, target, version) = split_request_line(line)?;
        let fields = parse_fields(section, slots)?;
        match version {
            Ok(minor_version) => Ok(Self { method, target, minor_version, fields }),
            Err(()) => Err(HandshakeError::UnsupportedHttpVersion),
        }
    }

    /// Returns the head of a request that another HTTP server has parsed.
    ///
    /// `minor_version` is 1 for HTTP/1.1. `fields` are all fields in order, and are written to the `slots`. Their
    /// values must not have white space around them, and repeated fields must not be joined. In this example they come
    /// from a map such as `http::HeaderMap`:
    ///
    /// ```
    /// use ws_core::handshake::{AcceptResponse, DEFAULT_MAX_FIELDS, FieldSlots, RequestHead};
    ///
    /// let map = [
    ///     ("host", &b"example.com"[..]),
    ///     ("upgrade", b"websocket"),
    ///     ("connection", b"Upgrade"),
    ///     ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    ///     ("sec-websocket-version", b"13"),
    /// ];
    /// let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
    /// let head = RequestHead::from_parts("GET", "/chat", 1, map, &mut slots)?;
    /// let upgrade = head.upgrade()?.expect("a request for a WebSocket");
    ///
    /// let mut answer = Vec::new();
    /// AcceptResponse::new().fields(upgrade.key, |name, value| {
    ///     answer.push((name.to_owned(), value.to_owned()));
    /// })?;
    /// assert_eq!(answer[2].0, "Sec-WebSocket-Accept");
    /// assert_eq!(answer[2].1, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`MalformedRequestLine`](HandshakeError::MalformedRequestLine) if the method is not a token, or if the
    /// target is empty or has characters that are not visible. Returns [`TooManyFields`](HandshakeError::TooManyFields)
    /// for more fields than slots. This does not check the fields themselves; [`upgrade`](Self::upgrade) does.
    pub fn from_parts<const N: usize>(
        method: &'h str,
        target: &'h str,
        minor_version: u8,
        fields: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        slots: &'f mut FieldSlots<'h, N>,
    ) -> Result<Self, HandshakeError> {
        if !is_token(method.as_bytes()) || !is_target(target.as_bytes()) {
            return Err(HandshakeError::MalformedRequestLine);
        }
        Ok(Self { method, target, minor_version, fields: put_fields(fields, &mut slots.0)? })
    }

    /// Returns the method, which is case-sensitive.
    #[must_use]
    pub const fn method(&self) -> &'h str {
        self.method
    }

    /// Returns the request target as it was sent.
    #[must_use]
    pub const fn target(&self) -> &'h str {
        self.target
    }

    /// Returns the minor version of HTTP: 1 for HTTP/1.1.
    #[must_use]
    pub const fn minor_version(&self) -> u8 {
        self.minor_version
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

    /// Checks a request for a WebSocket by every rule of RFC 6455 §4.2.1, and returns it.
    ///
    /// `None` means that this is a plain HTTP request: its `Upgrade` does not contain `websocket`, or its version is
    /// HTTP/1.0, for which a server ignores `Upgrade` (RFC 9110 §7.8). Answer it with an
    /// [`HttpResponse`](super::HttpResponse). A proxy that speaks HTTP/1.0 to its server sends such requests: see
    /// [`is_http10_upgrade`](Self::is_http10_upgrade).
    ///
    /// # Errors
    ///
    /// Returns the first rule that the request breaks, in this order: `Content-Length`, `Host`, `Upgrade`, method,
    /// `Connection`, version, key, body, target, `Origin`, subprotocols, extensions.
    pub fn upgrade(&self) -> Result<Option<Upgrade<'f, 'h>>, HandshakeError> {
        let found = Found::collect(self.fields);
        let length = content_length(found.content_length)?;
        if length.is_some() && found.transfer_encoding {
            return Err(HandshakeError::ContentLengthAndTransferEncoding);
        }
        let host = self.checked_host(found.host)?;
        let Some(host) = host.filter(|_| self.minor_version > 0) else {
            return Ok(None);
        };
        if !found.upgrade_websocket {
            return match (found.key.first, found.version.first) {
                (None, None) => Ok(None),
                _ => Err(HandshakeError::MissingUpgrade),
            };
        }
        if self.method != "GET" {
            return Err(HandshakeError::MethodNotAllowed);
        }
        if !found.connection_upgrade {
            return Err(HandshakeError::MissingConnectionUpgrade);
        }
        check_version(found.version)?;
        let key = check_key(found.key)?;
        if length.unwrap_or(0) > 0 || found.transfer_encoding {
            return Err(HandshakeError::RequestBody);
        }
        let (authority, resource) =
            split_target(self.target).ok_or(HandshakeError::InvalidTarget)?;
        let upgrade = Upgrade {
            key,
            // A host in the target takes precedence over the field (RFC 9112 §3.2.2).
            host: authority.unwrap_or(host),
            origin: check_origin(found.origin)?,
            resource,
            protocol: found.protocol,
            extensions: found.extensions,
        };
        if !found.protocol.is_empty() {
            check_subprotocols(upgrade.offers())?;
        }
        if !found.extensions.is_empty() && Extensions::new(found.extensions).validate()? == 0 {
            return Err(HandshakeError::InvalidExtensions);
        }
        Ok(Some(upgrade))
    }

    /// Returns whether the request has version HTTP/1.0 and its `Upgrade` contains `websocket`. Because of the version
    /// it is a plain request.
    ///
    /// The usual cause is a proxy that speaks HTTP/1.0 to the server. Configure it to use HTTP/1.1; in nginx, with
    /// `proxy_http_version 1.1`.
    #[must_use]
    pub fn is_http10_upgrade(&self) -> bool {
        self.minor_version == 0
            && FieldValues::new(self.fields, "Upgrade")
                .any(|value| contains_token(value, "websocket"))
    }

    /// Returns the host. Only a request of HTTP/1.0 may have none (RFC 9112 §3.2).
    fn checked_host(&self, host: Single<'h>) -> Result<Option<&'h str>, HandshakeError> {
        if host.repeated {
            return Err(HandshakeError::RepeatedHost);
        }
        match host.first {
            None if self.minor_version == 0 => Ok(None),
            None => Err(HandshakeError::MissingHost),
            Some(value) => match core::str::from_utf8(value) {
                Ok(host) if Authority::parse(host).is_some() => Ok(Some(host)),
                _ => Err(HandshakeError::InvalidHost),
            },
        }
    }
}

impl<'f, 'h> Upgrade<'f, 'h> {
    /// Returns the path that the request is for, which begins with `/`. The path and the query, with a `?` between
    /// them, are the resource name (RFC 6455 §3).
    #[must_use]
    pub fn path(&self) -> &'h str {
        split_query(self.resource).0
    }

    /// Returns the query without the `?` before it, if there is one.
    #[must_use]
    pub fn query(&self) -> Option<&'h str> {
        split_query(self.resource).1
    }

    /// Returns the offered subprotocols in the client's order of preference. Each is a token, and none occurs twice
    /// (RFC 6455 §11.3.4).
    pub fn subprotocols(&self) -> impl Iterator<Item = &'h str> + Clone + use<'f, 'h> {
        // The offers were checked to be tokens, which are ASCII.
        self.offers().map(|offer| core::str::from_utf8(offer).unwrap_or_default())
    }

    /// Returns the offered extensions. Their syntax was checked.
    #[cfg(feature = "deflate")]
    pub(super) fn extensions(&self) -> Extensions<'f, 'h> {
        Extensions::new(self.extensions)
    }

    fn offers(&self) -> ListElements<'f, 'h> {
        ListElements::new(self.protocol, "Sec-WebSocket-Protocol")
    }
}

/// The fields that [`RequestHead::upgrade`] checks, found in one pass.
#[derive(Default)]
struct Found<'f, 'h> {
    host: Single<'h>,
    origin: Single<'h>,
    content_length: Single<'h>,
    transfer_encoding: bool,
    upgrade_websocket: bool,
    connection_upgrade: bool,
    key: Single<'h>,
    version: Single<'h>,
    protocol: &'f [Field<'h>],
    extensions: &'f [Field<'h>],
}

impl<'f, 'h> Found<'f, 'h> {
    fn collect(fields: &'f [Field<'h>]) -> Self {
        let mut found = Self::default();
        let mut rest = fields;
        while let [field, tail @ ..] = rest {
            let (name, value) = (field.name, field.value);
            // Most clients write the names as the RFC does, and that comparison is fast.
            let is = |known: &str| SHORT_CUTS && name == known || name.eq_ignore_ascii_case(known);
            // Most fields of a browser's request are none of these, and comparing the length first shows that.
            match name.len() {
                4 if is("Host") => found.host.add(value),
                6 if is("Origin") => found.origin.add(value),
                7 if is("Upgrade") => found.upgrade_websocket |= contains_token(value, "websocket"),
                10 if is("Connection") => {
                    found.connection_upgrade |= contains_token(value, "Upgrade");
                }
                14 if is("Content-Length") => found.content_length.add(value),
                17 if is("Transfer-Encoding") => found.transfer_encoding = true,
                17 if is("Sec-WebSocket-Key") => found.key.add(value),
                21 if is("Sec-WebSocket-Version") => found.version.add(value),
                22 if found.protocol.is_empty() && is("Sec-WebSocket-Protocol") => {
                    found.protocol = rest
                }
                24 if found.extensions.is_empty() && is("Sec-WebSocket-Extensions") => {
                    found.extensions = rest;
                }
                _ => {}
            }
            rest = tail;
        }
        found
    }
}

/// Splits the line at the first and the last space. `httparse` is not used, because it refuses HTTP/1.2.
fn split_request_line(line: &[u8]) -> Result<(&str, &str, Result<u8, ()>), HandshakeError> {
    let split = || {
        let line = core::str::from_utf8(line).ok()?;
        let (rest, version) = line.split_at_checked(line.len().checked_sub(9)?)?;
        let version = parse_http_version(version.strip_prefix(' ')?.as_bytes())?;
        let (method, target) = split_at_first(rest, b" ")?;
        let target = target.get(1..)?;
        if !is_token(method.as_bytes()) || !is_target(target.as_bytes()) {
            return None;
        }
        Some((method, target, version))
    };
    split().ok_or(HandshakeError::MalformedRequestLine)
}

fn is_target(target: &[u8]) -> bool {
    !target.is_empty() && all_bytes(target, |byte| byte.is_ascii_graphic())
}

fn check_version(version: Single<'_>) -> Result<(), HandshakeError> {
    if version.repeated {
        return Err(HandshakeError::RepeatedVersion);
    }
    match version.first {
        None => Err(HandshakeError::MissingVersion),
        // mutant: version 8 is accepted
        Some(b"13") => Ok(()),
        Some(value) if parse_version(value).is_some() => Err(HandshakeError::UnsupportedVersion),
        Some(_) => Err(HandshakeError::MalformedVersion),
    }
}

/// Parses a number from 0 to 255 without leading zeros (RFC 6455 §4.3).
fn parse_version(value: &[u8]) -> Option<u8> {
    match value {
        [b'0', _, ..] => None,
        _ => u8::try_from(decimal(value)?).ok(),
    }
}

fn check_key(key: Single<'_>) -> Result<&str, HandshakeError> {
    if key.repeated {
        return Err(HandshakeError::RepeatedKey);
    }
    let value = key.first.ok_or(HandshakeError::MissingKey)?;
    match core::str::from_utf8(value) {
        Ok(key) if is_valid_key(key) => Ok(key),
        _ => Err(HandshakeError::InvalidKey),
    }
}

fn check_origin(origin: Single<'_>) -> Result<Option<&str>, HandshakeError> {
    if origin.repeated {
        return Err(HandshakeError::RepeatedOrigin);
    }
    let Some(value) = origin.first else { return Ok(None) };
    if !all_bytes(value, |byte| matches!(byte, b' '..=b'~')) {
        return Err(HandshakeError::InvalidOrigin);
    }
    core::str::from_utf8(value).map(Some).map_err(|_| HandshakeError::InvalidOrigin)
}

/// Splits a target into the authority, which only an absolute target has, and the rest (RFC 6455 §4.2.1, RFC 9112
/// §3.2). If the path is missing, it is `/`.
pub(crate) fn split_target(target: &str) -> Option<(Option<&str>, &str)> {
    if split_at_first(target, b"#").is_some() {
        return None;
    }
    if target.starts_with('/') {
        return Some((None, target));
    }
    let (scheme, rest) = split_scheme(target)?;
    if !["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let (authority, resource) = split_at_first(rest, b"/?").unwrap_or((rest, ""));
    Authority::parse(authority)?;
    Some((Some(authority), resource))
}

/// Splits a resource into a path and a query. If the path is missing, it is `/` (RFC 9112 §3.2.1, RFC 6455 §3).
pub(crate) fn split_query(resource: &str) -> (&str, Option<&str>) {
    let (path, query) = match resource.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (resource, None),
    };
    (if path.is_empty() { "/" } else { path }, query)
}

/// Checks that each element is a token and that none occurs twice (RFC 6455 §4.1, §4.3). Some clients send a list
/// without elements, which offers nothing.
fn check_subprotocols(offers: ListElements<'_, '_>) -> Result<(), HandshakeError> {
    for (index, offer) in offers.clone().enumerate() {
        if index >= MAX_SUBPROTOCOLS {
            return Err(HandshakeError::TooManySubprotocols);
        }
        if !is_token(offer) {
            return Err(HandshakeError::InvalidSubprotocol);
        }
        if offers.clone().take(index).any(|earlier| earlier == offer) {
            return Err(HandshakeError::RepeatedSubprotocol);
        }
    }
    Ok(())
}
