//! HTTP CONNECT (RFC 9110 §9.3.6), with Basic credentials (RFC 7617).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::ProxyStep;
use super::error::{Excerpt, ProxyError};
use super::target::{Host, Target};
use crate::handshake::{
    BodyLength, BodyPart, BodyReader, DEFAULT_MAX_FIELDS, DEFAULT_MAX_HEAD, FieldSlots, HeadReader,
    OpenError, ResponseHead, Writer, challenge_schemes,
};

/// The state of the handshake.
#[derive(Clone, Debug)]
pub(super) struct HttpConnect {
    state: State,
    /// Where the head begins that is being read.
    start: usize,
    /// How many of the received bytes were read.
    seen: usize,
}

#[derive(Clone, Debug)]
enum State {
    Request,
    Head(HeadReader),
    /// The body of a refusal is being read. The error shows its start.
    Body {
        status: u16,
        reason: Excerpt,
        reader: BodyReader,
        excerpt: Excerpt,
    },
}

/// Checks that the credentials can be sent (RFC 7617 §2).
pub(super) fn check(credentials: Option<(&str, &str)>) -> Result<(), OpenError> {
    let Some((user, password)) = credentials else { return Ok(()) };
    if user.contains(':') || user.chars().chain(password.chars()).any(char::is_control) {
        return Err(OpenError::InvalidCredentials);
    }
    Ok(())
}

impl HttpConnect {
    pub(super) const fn new() -> Self {
        Self { state: State::Request, start: 0, seen: 0 }
    }

    pub(super) fn next(
        &mut self,
        target: &Target<'_>,
        credentials: Option<(&str, &str)>,
        received: &[u8],
        ended: bool,
        out: &mut [u8],
    ) -> Result<ProxyStep, ProxyError> {
        loop {
            let new = received.get(self.seen..).unwrap_or_default();
            match &mut self.state {
                State::Request => {
                    let length = write_request(target, credentials, out)?;
                    self.state = State::Head(HeadReader::response(DEFAULT_MAX_HEAD));
                    return Ok(ProxyStep::Write(length));
                }
                State::Head(reader) => {
                    check_start(received.get(self.start..).unwrap_or_default())?;
                    let Some(length) = reader.push(new).map_err(ProxyError::Head)? else {
                        self.seen = received.len();
                        return Ok(ProxyStep::Read(reader.missing()));
                    };
                    let end = self.start.saturating_add(length);
                    let head = received.get(self.start..end).unwrap_or_default();
                    self.seen = end;
                    match answer(head)? {
                        Answer::Interim => {
                            self.start = end;
                            let left = DEFAULT_MAX_HEAD.saturating_sub(end);
                            self.state = State::Head(HeadReader::response(left));
                        }
                        Answer::Open => return Ok(ProxyStep::Open(end)),
                        Answer::Refused(status, reason, reader) => {
                            let excerpt = Excerpt::EMPTY;
                            self.state = State::Body { status, reason, reader, excerpt };
                        }
                    }
                }
                State::Body { status, reason, reader, excerpt } => {
                    let refused =
                        ProxyError::Refused { status: *status, reason: *reason, body: *excerpt };
                    match reader.feed(new) {
                        _ if excerpt.is_full() => return Err(refused),
                        Ok((count, BodyPart::Data(data))) => {
                            self.seen = self.seen.saturating_add(count);
                            excerpt.push(data);
                        }
                        Ok((count, BodyPart::NeedMore)) if !ended => {
                            self.seen = self.seen.saturating_add(count);
                            return Ok(ProxyStep::Read(1));
                        }
                        Ok(_) | Err(_) => return Err(refused),
                    }
                }
            }
        }
    }
}

fn write_request(
    target: &Target<'_>,
    credentials: Option<(&str, &str)>,
    out: &mut [u8],
) -> Result<usize, OpenError> {
    let mut writer = Writer::new(out);
    writer.put("CONNECT ");
    put_authority(&mut writer, target);
    writer.put(" HTTP/1.1\r\nHost: ");
    put_authority(&mut writer, target);
    writer.put("\r\n");
    if let Some((user, password)) = credentials {
        writer.put("Proxy-Authorization: Basic ");
        put_base64(&mut writer, user.bytes().chain([b':']).chain(password.bytes()));
        writer.put("\r\n");
    }
    writer.put("\r\n");
    writer.finish()
}

/// Writes the target of CONNECT, which always has a port (RFC 9112 §3.2.3).
fn put_authority(writer: &mut Writer<'_>, target: &Target<'_>) {
    match target.host {
        Host::Name(text) | Host::Ipv4(_, text) => writer.put(text),
        Host::Ipv6(_, text) => {
            writer.put("[");
            writer.put(text);
            writer.put("]");
        }
    }
    writer.put(":");
    writer.decimal(usize::from(target.port));
}

fn put_base64(writer: &mut Writer<'_>, mut bytes: impl Iterator<Item = u8>) {
    loop {
        let mut group = [0; 3];
        let mut count = 0_usize;
        for (to, byte) in group.iter_mut().zip(bytes.by_ref()) {
            *to = byte;
            count = count.saturating_add(1);
        }
        if count == 0 {
            return;
        }
        let mut text = [b'='; 4];
        // Up to three bytes always encode to four characters, so this cannot fail.
        let _ = STANDARD.encode_slice(group.get(..count).unwrap_or_default(), &mut text);
        writer.put_bytes(&text);
    }
}

/// Fails as soon as the first bytes show that the peer does not speak HTTP. Such a peer may wait for more bytes from us
/// before it ends a line.
fn check_start(head: &[u8]) -> Result<(), ProxyError> {
    const START: &[u8] = b"HTTP/";
    match head.iter().zip(START).position(|(byte, expected)| byte != expected) {
        None => Ok(()),
        Some(at) => {
            let mut start = Excerpt::EMPTY;
            start.push(head.get(..=at).unwrap_or_default());
            Err(ProxyError::NotHttp(start))
        }
    }
}

/// What the head of a response means.
enum Answer {
    /// Another head follows.
    Interim,
    Open,
    Refused(u16, Excerpt, BodyReader),
}

fn answer(head: &[u8]) -> Result<Answer, ProxyError> {
    let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
    let response = ResponseHead::parse(head, &mut slots).map_err(ProxyError::Head)?;
    match response.status() {
        _ if response.is_interim() => Ok(Answer::Interim),
        // The tunnel begins after the head. Fields that describe a body are ignored (RFC 9110 §9.3.6).
        200..=299 => Ok(Answer::Open),
        407 => Err(ProxyError::AuthenticationRequired { schemes: schemes(&response) }),
        status => {
            // If the length of the body is not valid, the error does not show the body.
            let length = response.body_length().unwrap_or(BodyLength::None);
            let mut reason = Excerpt::EMPTY;
            reason.push(response.reason());
            Ok(Answer::Refused(status, reason, BodyReader::new(length)))
        }
    }
}

/// Returns the schemes of all challenges, separated by commas.
fn schemes(response: &ResponseHead<'_, '_>) -> Excerpt {
    let mut schemes = Excerpt::EMPTY;
    let fields = response.fields();
    let challenges = fields.filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authenticate"));
    for scheme in challenges.flat_map(|(_, value)| challenge_schemes(value)) {
        if !schemes.as_bytes().is_empty() {
            schemes.push(b", ");
        }
        schemes.push(scheme.as_bytes());
    }
    schemes
}
