//! A client's half: writing the request, checking the answer (RFC 6455 §4.1).

use super::accept::ClientKey;
use super::body::{BodyLength, declared_length};
use super::error::{HandshakeError, HeadError};
use super::extensions::Extensions;
use super::fields::{
    Field, FieldValues, Single, parse_fields, parse_http_version, split_start_line,
};
use super::lists::{ListElements, is_token};
use super::origin::Authority;
use super::request::parse_version;
use super::response::check_extensions;
use super::writer::{Writer, check_value, is_one_of, is_websocket_field, put_headers};

/// The request that asks for a WebSocket (RFC 6455 §4.1).
///
/// ```
/// use ws_core::handshake::{ClientKey, ClientRequest};
///
/// let request = ClientRequest { host: "example.com:8080", target: "/chat", ..Default::default() };
/// let key = ClientKey::from_nonce(*b"the sample nonce"); // random bytes, fresh each time
/// let mut out = [0; 256];
/// let length = request.write(&key, &mut out)?;
/// assert!(out[..length].starts_with(b"GET /chat HTTP/1.1\r\nHost: example.com:8080\r\n"));
/// # Ok::<(), ws_core::handshake::HeadError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientRequest<'a> {
    /// The value of `Host`: `host`, or `host:port` when the port is not the scheme's default; IPv6
    /// addresses in brackets.
    pub host: &'a str,
    /// The resource name: path and query, beginning with `/`; no fragment (RFC 6455 §3).
    pub target: &'a str,
    /// The value of `Origin`, which only browsers need to send.
    pub origin: Option<&'a str>,
    /// The subprotocols to offer, best first: tokens, none twice. Empty writes no field.
    pub subprotocols: &'a [&'a str],
    /// The value of `Sec-WebSocket-Extensions`. `None` writes no field.
    pub extensions: Option<&'a str>,
    /// Further headers, such as `Cookie` or `Authorization`.
    pub headers: &'a [(&'a str, &'a str)],
}

impl Default for ClientRequest<'_> {
    /// A request for `/` at `localhost` that offers nothing.
    fn default() -> Self {
        Self {
            host: "localhost",
            target: "/",
            origin: None,
            subprotocols: &[],
            extensions: None,
            headers: &[],
        }
    }
}

impl ClientRequest<'_> {
    /// Writes the request and gives its length in bytes.
    ///
    /// # Errors
    ///
    /// [`HeadError`], with the length needed if `out` is too short: an empty slice asks for it. After
    /// an error the content of `out` is unspecified.
    pub fn write(&self, key: &ClientKey, out: &mut [u8]) -> Result<usize, HeadError> {
        if !is_valid_target(self.target) {
            return Err(HeadError::InvalidTarget);
        }
        if !is_valid_host(self.host) {
            return Err(HeadError::InvalidHost);
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
            is_websocket_field(name)
                || is_one_of(
                    name,
                    &[
                        "host",
                        "upgrade",
                        "connection",
                        "origin",
                        "content-length",
                        "transfer-encoding",
                    ],
                )
        })?;
        writer.put("\r\n");
        writer.finish()
    }

    fn put_subprotocols(&self, writer: &mut Writer<'_>) -> Result<(), HeadError> {
        for (index, name) in self.subprotocols.iter().enumerate() {
            let earlier = self.subprotocols.get(..index).unwrap_or_default();
            if !is_token(name.as_bytes()) || earlier.contains(name) {
                return Err(HeadError::InvalidSubprotocol);
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

/// A response's head, taken apart; it borrows the head and the fields that the caller lent.
#[derive(Clone, Copy)]
pub struct ResponseHead<'f, 'h> {
    minor_version: u8,
    status: u16,
    reason: &'h [u8],
    fields: &'f [Field<'h>],
}

/// What server and client agreed upon.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Accepted<'f, 'h> {
    /// The subprotocol in use, one of those offered.
    pub subprotocol: Option<&'h str>,
    /// The extensions in use, each of an offered name. Their parameters are not checked.
    pub extensions: Extensions<'f, 'h>,
}

impl<'f, 'h> ResponseHead<'f, 'h> {
    /// Parses a head: the bytes up to and including its empty line, and nothing after them.
    ///
    /// `storage` bounds the number of fields.
    ///
    /// # Errors
    ///
    /// Syntax, [`TooManyFields`](HandshakeError::TooManyFields), and another version than HTTP/1.
    pub fn parse(head: &'h [u8], storage: &'f mut [Field<'h>]) -> Result<Self, HandshakeError> {
        let (line, section) = split_start_line(head)?;
        let (version, status, reason) =
            split_status_line(line).ok_or(HandshakeError::MalformedStatusLine)?;
        let fields = parse_fields(section, storage)?;
        match version {
            Ok(minor_version) => Ok(Self { minor_version, status, reason, fields }),
            Err(()) => Err(HandshakeError::UnsupportedResponseVersion),
        }
    }

    /// The status code, from 100 to 999.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase, possibly empty; it means nothing and need not be UTF-8.
    pub const fn reason(&self) -> &'h [u8] {
        self.reason
    }

    /// The minor version of HTTP/1.
    pub const fn minor_version(&self) -> u8 {
        self.minor_version
    }

    /// Whether another response follows this one: a 1xx other than 101 (RFC 9110 §15.2).
    pub const fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// All fields in order: names as sent, values without the white space around them.
    pub fn fields(&self) -> impl Iterator<Item = (&'h str, &'h [u8])> + Clone + use<'f, 'h> {
        self.fields.iter().map(|field| (field.name, field.value))
    }

    /// The first value of a field; the name is compared without regard to case.
    pub fn field(&self, name: &str) -> Option<&'h [u8]> {
        FieldValues::new(self.fields, name).next()
    }

    /// All values of a field in order; the name is compared without regard to case.
    pub fn field_values<'a>(&self, name: &'a str) -> FieldValues<'a, 'h>
    where
        'f: 'a,
    {
        FieldValues::new(self.fields, name)
    }

    /// The elements of a comma list over all fields of one name.
    pub fn list<'a>(&self, name: &'a str) -> ListElements<'a, 'h>
    where
        'f: 'a,
    {
        ListElements::new(self.field_values(name))
    }

    /// The versions that a server says it speaks, when it refuses ours (RFC 6455 §4.4).
    pub fn server_versions(&self) -> impl Iterator<Item = u8> + Clone + use<'f, 'h> {
        let values = FieldValues::new(self.fields, "sec-websocket-version");
        ListElements::new(values).filter_map(parse_version)
    }

    /// How long the body of this response is; a 1xx, 204 or 304 has none (RFC 9112 §6.3).
    ///
    /// # Errors
    ///
    /// A bad, repeated or contradictory length.
    pub fn body_length(&self) -> Result<BodyLength, HandshakeError> {
        match self.status {
            100..=199 | 204 | 304 => Ok(BodyLength::None),
            _ => declared_length(self.fields, self.minor_version, BodyLength::UntilClose),
        }
    }

    /// Checks a 101 by every rule of RFC 6455 §4.1 and gives what was agreed upon.
    ///
    /// `offered_subprotocols` and `offered_extensions` are what the request offered, the latter as
    /// the value of its field.
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
    ) -> Result<Accepted<'f, 'h>, HandshakeError> {
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
        if !self.list("connection").any(|token| token.eq_ignore_ascii_case(b"upgrade")) {
            return Err(HandshakeError::ResponseConnection);
        }
        let accept = self.single("sec-websocket-accept");
        match accept.first {
            None => return Err(HandshakeError::MissingAccept),
            Some(_) if accept.repeated => return Err(HandshakeError::RepeatedAccept),
            Some(value) if value == key.accept_key().as_str().as_bytes() => {}
            Some(_) => return Err(HandshakeError::WrongAccept),
        }
        if self.declares_body() {
            return Err(HandshakeError::ResponseBody);
        }
        Ok(Accepted {
            subprotocol: self.subprotocol(offered_subprotocols)?,
            extensions: self.extensions(offered_extensions)?,
        })
    }

    /// A 101 has no body: a length of zero says so superfluously, anything else is a fault.
    fn declares_body(&self) -> bool {
        let length = Single::of(self.field_values("content-length"));
        self.field("transfer-encoding").is_some()
            || length.repeated
            || length.first.is_some_and(|value| value != b"0")
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

    fn extensions(&self, offered: Option<&str>) -> Result<Extensions<'f, 'h>, HandshakeError> {
        let values = FieldValues::new(self.fields, "sec-websocket-extensions");
        let agreed = Extensions::new(values);
        if agreed.validate()? == 0 && self.field("sec-websocket-extensions").is_some() {
            return Err(HandshakeError::InvalidExtensions);
        }
        let offered = Extensions::from_value(offered.unwrap_or_default());
        for extension in agreed.clone() {
            if !offered.clone().any(|offer| offer.name() == extension.name()) {
                return Err(HandshakeError::UnofferedExtension);
            }
        }
        Ok(agreed)
    }

    fn single(&self, name: &str) -> Single<'h> {
        Single::of(FieldValues::new(self.fields, name))
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
