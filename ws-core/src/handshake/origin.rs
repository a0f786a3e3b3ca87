//! Hosts and origins (RFC 9110 §7.2, RFC 6454).

use super::lists::is_token_byte;
use core::net::Ipv6Addr;

/// Whether an `Origin` names the same host and port as a `Host` field.
///
/// A port that is left out is the default of the origin's scheme (80 for http, 443 for https), on
/// both sides: a server behind a proxy cannot know the scheme that the browser used. Letters are
/// compared without regard to case, IPv6 addresses by value. `null`, schemes other than http and
/// https, and malformed values are never the same (RFC 6455 §10.2).
///
/// ```
/// use ws_core::handshake::same_origin;
///
/// assert!(same_origin("https://Example.com", "example.com:443"));
/// assert!(!same_origin("https://example.com.evil.org", "example.com"));
/// assert!(!same_origin("null", "example.com"));
/// ```
pub fn same_origin(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = if scheme.eq_ignore_ascii_case("http") {
        80
    } else if scheme.eq_ignore_ascii_case("https") {
        443
    } else {
        return false;
    };
    match (Authority::parse(authority), Authority::parse(host)) {
        (Some(left), Some(right)) => {
            left.host.same(&right.host)
                && left.port.unwrap_or(default_port) == right.port.unwrap_or(default_port)
        }
        _ => false,
    }
}

/// A host and an optional port: what `Host` holds (RFC 9110 §7.2), without user information.
#[derive(Clone, Copy, Debug)]
pub(super) struct Authority<'a> {
    pub(super) host: HostName<'a>,
    pub(super) port: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum HostName<'a> {
    /// A name or an IPv4 address.
    Name(&'a str),
    Ipv6(Ipv6Addr),
}

impl<'a> Authority<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(literal) => {
                let (address, port) = literal.split_once(']')?;
                (HostName::Ipv6(address.parse().ok()?), port)
            }
            None => {
                let (name, port) = text.split_at_checked(text.find(':').unwrap_or(text.len()))?;
                if !is_reg_name(name.as_bytes()) {
                    return None;
                }
                (HostName::Name(name), port)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return None,
            // The grammar allows a colon without a port (RFC 3986 §3.2.3).
            Some("") => None,
            // `parse` alone would allow a sign.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            Some(_) => return None,
        };
        Some(Self { host, port })
    }
}

impl HostName<'_> {
    fn same(&self, other: &HostName<'_>) -> bool {
        match (self, other) {
            (HostName::Name(left), HostName::Name(right)) => left.eq_ignore_ascii_case(right),
            (HostName::Ipv6(left), HostName::Ipv6(right)) => left == right,
            _ => false,
        }
    }
}

/// One or more unreserved characters, sub-delimiters and percent-encoded bytes (RFC 3986 §3.2.2).
fn is_reg_name(mut name: &[u8]) -> bool {
    if name.is_empty() {
        return false;
    }
    // Without a branch per byte: names of hosts are made of these.
    if name.iter().fold(true, |usual, &byte| {
        usual & (byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'.' | b'_'))
    }) {
        return true;
    }
    loop {
        name = match name {
            [] => return true,
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                tail
            }
            // These characters of a token may not stand in a name unencoded.
            [b'%' | b'#' | b'^' | b'`' | b'|', ..] => return false,
            [byte, tail @ ..] if is_token_byte(*byte) => tail,
            // And these of a name may not stand in a token.
            [b'(' | b')' | b',' | b';' | b'=', tail @ ..] => tail,
            _ => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6455 §10.2, RFC 6454 §5.
    #[test]
    fn same_origin_compares_host_and_port() {
        for (origin, host) in [
            ("http://example.com", "example.com"),
            ("http://example.com", "EXAMPLE.com:80"),
            ("http://example.com:80", "example.com"),
            ("HTTPS://example.com", "example.com"),
            ("https://example.com:443", "example.com:443"),
            ("https://example.com", "example.com:443"),
            ("http://localhost:8080", "localhost:8080"),
            ("http://[::1]:9001", "[0:0:0:0:0:0:0:1]:9001"),
            ("http://[2001:DB8::1]", "[2001:db8::1]"),
            ("http://127.0.0.1", "127.0.0.1:80"),
        ] {
            assert!(same_origin(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("null", "null"),
            ("", ""),
            ("http://", ""),
            ("example.com", "example.com"),
            ("http://example.com", "example.org"),
            ("http://example.com", "example.com.evil.org"),
            ("http://example.com.evil.org", "example.com"),
            ("http://evil-example.com", "example.com"),
            ("https://example.com", "example.com:80"),
            ("http://example.com:8080", "example.com"),
            ("http://example.com/", "example.com"),
            ("http://example.com#", "example.com"),
            ("http://example.com http://evil.org", "example.com"),
            ("http://user@example.com", "example.com"),
            ("http://evil.org@example.com", "example.com"),
            ("chrome-extension://example.com", "example.com"),
            ("file://", "example.com"),
            ("http://[::1]", "::1"),
            ("http://[::1]", "[::2]"),
            ("http://example.com:+80", "example.com"),
            ("http://example.com:65616", "example.com"),
        ] {
            assert!(!same_origin(origin, host), "{origin} {host}");
        }
    }

    // RFC 9110 §7.2, RFC 3986 §3.2.
    #[test]
    fn host_values() {
        for (host, port) in [
            ("example.com", None),
            ("example.com:", None),
            ("a:0", Some(0)),
            ("a:65535", Some(65535)),
            ("x_y-z.example:00080", Some(80)),
            ("%41.example", None),
            ("[::ffff:1.2.3.4]:1", Some(1)),
        ] {
            assert_eq!(Authority::parse(host).map(|host| host.port), Some(port), "{host}");
        }
        for host in [
            "",
            ":80",
            "a b",
            "a,b c",
            "a:65536",
            "a:8x",
            "a:80:80",
            "::1",
            "[::1",
            "[]",
            "[::1]x",
            "[::1]:x",
            "[v1.x]",
            "[fe80::1%25eth0]",
            "a/b",
            "u@a",
            "a?b",
            "a#b",
            "%4",
            "%4g",
            "é",
            "a\\b",
            "a\"b",
            "<a>",
        ] {
            assert!(Authority::parse(host).is_none(), "{host}");
        }
    }
}
