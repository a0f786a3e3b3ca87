//! SOCKS5 (RFC 1928), with authentication by user and password (RFC 1929).

use super::ProxyStep;
use super::error::ProxyError;
use super::target::{Host, Target};
use crate::handshake::{OpenError, Writer};

const VERSION: u8 = 5;
/// The version of the authentication by user and password.
const PASSWORD_VERSION: u8 = 1;
const NO_AUTHENTICATION: u8 = 0;
const USERNAME_PASSWORD: u8 = 2;
const NO_ACCEPTABLE_METHODS: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const DOMAIN: u8 = 3;
const IPV6: u8 = 4;

/// The state of the handshake.
#[derive(Clone, Debug)]
pub(super) struct Socks5 {
    state: State,
    /// Where the answer begins that is being read.
    start: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Methods,
    Method,
    Password,
    PasswordStatus,
    Request,
    Reply,
}

/// Checks that the credentials can be sent (RFC 1929 §2).
pub(super) fn check(credentials: Option<(&str, &str)>) -> Result<(), OpenError> {
    let fits = |text: &str| (1..=255).contains(&text.len());
    match credentials {
        Some((user, password)) if !fits(user) || !fits(password) => {
            Err(OpenError::InvalidCredentials)
        }
        _ => Ok(()),
    }
}

impl Socks5 {
    pub(super) const fn new() -> Self {
        Self { state: State::Methods, start: 0 }
    }

    pub(super) fn next(
        &mut self,
        target: &Target<'_>,
        credentials: Option<(&str, &str)>,
        received: &[u8],
        out: &mut [u8],
    ) -> Result<ProxyStep, ProxyError> {
        loop {
            let answer = received.get(self.start..).unwrap_or_default();
            match self.state {
                State::Methods => {
                    let methods: &[u8] = match credentials {
                        None => &[NO_AUTHENTICATION],
                        Some(_) => &[NO_AUTHENTICATION, USERNAME_PASSWORD],
                    };
                    return self.write(out, State::Method, |writer| {
                        writer.put_bytes(&[VERSION]);
                        put_with_length(writer, methods);
                    });
                }
                State::Method => match answer {
                    [] => return Ok(ProxyStep::Read(2)),
                    [VERSION] => return Ok(ProxyStep::Read(1)),
                    [VERSION, method, ..] => {
                        let state = match (*method, credentials) {
                            (NO_AUTHENTICATION, _) => State::Request,
                            (USERNAME_PASSWORD, Some(_)) => State::Password,
                            (NO_ACCEPTABLE_METHODS, _) => {
                                return Err(ProxyError::NoAcceptableMethod);
                            }
                            (method, _) => return Err(ProxyError::UnofferedMethod(method)),
                        };
                        self.read(2, state);
                    }
                    [version, ..] => return Err(ProxyError::NotSocks5(*version)),
                },
                State::Password => {
                    let (user, password) = credentials.unwrap_or_default();
                    return self.write(out, State::PasswordStatus, |writer| {
                        writer.put_bytes(&[PASSWORD_VERSION]);
                        put_with_length(writer, user.as_bytes());
                        put_with_length(writer, password.as_bytes());
                    });
                }
                State::PasswordStatus => match answer {
                    [] => return Ok(ProxyStep::Read(2)),
                    [PASSWORD_VERSION] => return Ok(ProxyStep::Read(1)),
                    [PASSWORD_VERSION, 0, ..] => self.read(2, State::Request),
                    [PASSWORD_VERSION, ..] => return Err(ProxyError::CredentialsRefused),
                    _ => return Err(ProxyError::MalformedReply),
                },
                State::Request => {
                    return self.write(out, State::Reply, |writer| put_request(writer, target));
                }
                State::Reply => {
                    let length = reply_length(answer)?;
                    return Ok(match length.checked_sub(answer.len()) {
                        Some(missing @ 1..) => ProxyStep::Read(missing),
                        _ => ProxyStep::Open(self.start.saturating_add(length)),
                    });
                }
            }
        }
    }

    /// Writes a message and changes to `state`, unless `out` is too small.
    fn write(
        &mut self,
        out: &mut [u8],
        state: State,
        put: impl FnOnce(&mut Writer<'_>),
    ) -> Result<ProxyStep, ProxyError> {
        let mut writer = Writer::new(out);
        put(&mut writer);
        let length = writer.finish()?;
        self.state = state;
        Ok(ProxyStep::Write(length))
    }

    fn read(&mut self, count: usize, state: State) {
        self.start = self.start.saturating_add(count);
        self.state = state;
    }
}

/// Writes up to 255 bytes after their number.
fn put_with_length(writer: &mut Writer<'_>, bytes: &[u8]) {
    writer.put_bytes(&[bytes.len() as u8]);
    writer.put_bytes(bytes);
}

/// Writes a CONNECT request (RFC 1928 §4).
fn put_request(writer: &mut Writer<'_>, target: &Target<'_>) {
    writer.put_bytes(&[VERSION, CONNECT, 0]);
    match target.host {
        Host::Name(name) => {
            writer.put_bytes(&[DOMAIN]);
            put_with_length(writer, name.as_bytes());
        }
        Host::Ipv4(address, _) => {
            writer.put_bytes(&[IPV4]);
            writer.put_bytes(&address.to_be_bytes());
        }
        Host::Ipv6(groups, _) => {
            writer.put_bytes(&[IPV6]);
            groups.iter().for_each(|group| writer.put_bytes(&group.to_be_bytes()));
        }
    }
    writer.put_bytes(&target.port.to_be_bytes());
}

/// Returns the length of a reply, or the least length that is possible if too few bytes were received (RFC 1928 §6).
fn reply_length(reply: &[u8]) -> Result<usize, ProxyError> {
    // The version, the reply code, a reserved byte and the type of the address, and the two bytes of the port at the
    // end.
    const AROUND: usize = 6;
    match reply {
        [version, ..] if *version != VERSION => Err(ProxyError::NotSocks5(*version)),
        [_, code, ..] if *code != 0 => Err(ProxyError::Socks5Refused(*code)),
        [_, _, 1..=255, ..] => Err(ProxyError::MalformedReply),
        [_, _, _, IPV4, ..] => Ok(AROUND + 4),
        [_, _, _, IPV6, ..] => Ok(AROUND + 16),
        [_, _, _, DOMAIN, length, ..] => Ok(usize::from(*length).saturating_add(AROUND + 1)),
        // The shortest reply has an empty domain.
        [] | [_] | [_, _] | [_, _, _] | [_, _, _, DOMAIN] => Ok(AROUND + 1),
        _ => Err(ProxyError::MalformedReply),
    }
}
