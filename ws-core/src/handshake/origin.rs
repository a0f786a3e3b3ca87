//! Hosts and origins (RFC 9110 §7.2, RFC 6454).
//!
//! A malformed value is not equal to anything, so a mistake can only lead to a refusal. IPv6 addresses are compared by
//! value, and the case of names does not matter. The parser of requests checks hosts with this module. Servers call
//! [`same_origin`] directly, and endpoints compare with their list of origins.

use super::fields::decimal;
use super::lists::{ByteSet, split_at_first};
use crate::SHORT_CUTS;

/// Returns whether an `Origin` names the same host and port as a `Host` field.
///
/// If either value has no port, it has the default port of the origin's scheme (80 for http, 443 for https), because a
/// server behind a proxy cannot know the scheme that the browser used. The case of letters does not matter, and IPv6
/// addresses are compared by value. The result is `false` for `null`, for schemes other than http and https, and for
/// malformed values (RFC 6455 §10.2).
///
/// ```
/// use ws_core::handshake::same_origin;
///
/// assert!(same_origin("https://Example.com", "example.com:443"));
/// assert!(!same_origin("https://example.com.evil.org", "example.com"));
/// assert!(!same_origin("null", "example.com"));
/// ```
#[must_use]
pub fn same_origin(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = split_scheme(origin) else { return false };
    default_port(scheme).is_some_and(|port| same_authority(authority, host, port))
}

/// Returns whether a `Host` field matches an entry of a list of hosts, such as `localhost`, `127.0.0.1:9001` or
/// `[::1]`.
///
/// An entry without a port matches every port. A `Host` without a port matches an entry with port 80 or 443. The case
/// of letters does not matter, and IPv6 addresses are compared by value. Malformed values never match.
///
/// A server that compares the host of each request with a list is protected against DNS rebinding. In this attack, a
/// page of another site reaches the server under a name of that site, so its Origin and Host agree.
///
/// ```
/// use ws_core::handshake::same_host;
///
/// assert!(same_host("localhost", "LOCALHOST:9001"));
/// assert!(same_host("example.com:443", "example.com"));
/// assert!(!same_host("localhost:9001", "localhost:9002"));
/// assert!(!same_host("localhost", "localhost.evil.example"));
/// ```
#[must_use]
pub fn same_host(listed: &str, host: &str) -> bool {
    let (Some(listed), Some(host)) = (Authority::parse(listed), Authority::parse(host)) else {
        return false;
    };
    listed.host.same(&host.host)
        && match (listed.port, host.port) {
            (None, _) => true,
            (Some(listed), Some(port)) => listed == port,
            (Some(listed), None) => matches!(listed, 80 | 443),
        }
}

/// Returns whether two origins are the same (RFC 6454 §5). The case of scheme and host does not matter, and an origin
/// without a port has the default port of the scheme. Origins of other schemes than http and https are compared as
/// text.
#[cfg(feature = "endpoint")]
pub(crate) fn equal_origins(left: &str, right: &str) -> bool {
    if left.eq_ignore_ascii_case(right) {
        return true;
    }
    match (split_scheme(left), split_scheme(right)) {
        (Some((scheme, left)), Some((other, right))) if scheme.eq_ignore_ascii_case(other) => {
            default_port(scheme).is_some_and(|port| same_authority(left, right, port))
        }
        _ => false,
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    if scheme.eq_ignore_ascii_case("http") {
        Some(80)
    } else if scheme.eq_ignore_ascii_case("https") {
        Some(443)
    } else {
        None
    }
}

fn same_authority(left: &str, right: &str, default_port: u16) -> bool {
    if SHORT_CUTS && left == right {
        return Authority::parse(left).is_some();
    }
    match (Authority::parse(left), Authority::parse(right)) {
        (Some(left), Some(right)) => {
            left.host.same(&right.host)
                && left.port.unwrap_or(default_port) == right.port.unwrap_or(default_port)
        }
        _ => false,
    }
}

/// Returns the text before and after `://`.
pub(super) fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = split_at_first(text, b":")?;
    Some((scheme, rest.strip_prefix("://")?))
}

/// A host and an optional port, as in `Host` (RFC 9110 §7.2), without user information.
#[derive(Clone, Copy, Debug)]
pub(super) struct Authority<'a> {
    pub(super) host: HostName<'a>,
    pub(super) port: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum HostName<'a> {
    /// A name or an IPv4 address.
    Name(&'a str),
    Ipv6([u16; 8]),
}

impl<'a> Authority<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(literal) => {
                let (address, port) = split_at_first(literal, b"]")?;
                (HostName::Ipv6(parse_ipv6(address.as_bytes())?), port.get(1..)?)
            }
            None => {
                let (name, port) = split_reg_name(text)?;
                (HostName::Name(name), port)
            }
        };
        let port = match port.as_bytes() {
            // The grammar allows a colon without a port (RFC 3986 §3.2.3).
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(u16::try_from(decimal(digits)?).ok()?),
            _ => return None,
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

/// Splits a text after a name: one or more unreserved characters, sub-delimiters and percent-encoded bytes (RFC 3986
/// §3.2.2).
pub(crate) fn split_reg_name(text: &str) -> Option<(&str, &str)> {
    static REG_NAME: ByteSet = ByteSet::alphanumeric_and(b"-._~!$&'()*+,;=");
    let mut rest = text.as_bytes();
    loop {
        rest = rest.get(REG_NAME.prefix(rest)..)?;
        match rest {
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = tail;
            }
            _ => break,
        }
    }
    let length = text.len().checked_sub(rest.len()).filter(|length| *length > 0)?;
    text.split_at_checked(length)
}

/// Parses an IPv6 address in any of its forms (RFC 4291 §2.2), without a zone, and returns its groups.
pub(crate) fn parse_ipv6(text: &[u8]) -> Option<[u16; 8]> {
    let mut groups = [0; 8];
    let mut count = 0_usize;
    // How many groups are before the `::`.
    let mut gap = None;
    let mut rest = text;
    if let [b':', b':', tail @ ..] = rest {
        gap = Some(0);
        rest = tail;
    }
    while !rest.is_empty() {
        let length = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (digits, tail) = rest.split_at_checked(length)?;
        if tail.first() == Some(&b'.') {
            let address = parse_ipv4(rest)?;
            *groups.get_mut(count)? = (address >> 16) as u16;
            *groups.get_mut(count.saturating_add(1))? = address as u16;
            count = count.saturating_add(2);
            break;
        }
        if !matches!(length, 1..=4) {
            return None;
        }
        *groups.get_mut(count)? = digits.iter().fold(0, |group, byte| {
            let digit = if byte.is_ascii_digit() { *byte } else { byte.wrapping_add(9) };
            group << 4 | u16::from(digit & 0xf)
        });
        count = count.saturating_add(1);
        rest = match tail {
            [] => tail,
            [b':', b':', tail @ ..] if gap.is_none() => {
                gap = Some(count);
                tail
            }
            [b':', tail @ ..] if !tail.is_empty() => tail,
            _ => return None,
        };
    }
    match gap {
        None if count == 8 => Some(groups),
        // The gap has at least one group. The groups after it move to the end.
        Some(gap) if count < 8 => {
            let mut to = groups.len();
            while count > gap {
                count = count.saturating_sub(1);
                to = to.saturating_sub(1);
                let group = core::mem::take(groups.get_mut(count)?);
                *groups.get_mut(to)? = group;
            }
            Some(groups)
        }
        _ => None,
    }
}

/// Parses an IPv4 address: four numbers up to 255, without leading zeros.
pub(crate) fn parse_ipv4(text: &[u8]) -> Option<u32> {
    let mut address = 0_u32;
    let mut count = 0_u8;
    for digits in text.split(|byte| *byte == b'.') {
        if matches!(digits, [b'0', _, ..]) || count == 4 {
            return None;
        }
        address = address << 8 | u32::from(u8::try_from(decimal(digits)?).ok()?);
        count = count.saturating_add(1);
    }
    if count == 4 { Some(address) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv6Addr;
    use proptest::prelude::*;
    use std::string::ToString;

    proptest! {
        // RFC 4291 §2.2: `core`'s parser accepts the same texts.
        #[test]
        fn ipv6_addresses(
            text in prop_oneof![
                "[0-9a-fA-F:.]{0,12}",
                "([0-9a-fA-F]{0,5}:{1,2}){0,8}[0-9a-fA-F]{0,4}",
                "([0-9a-f]{0,4}:{1,2}){0,7}[0-9]{1,3}([.][0-9]{1,3}){3,4}",
                any::<[u16; 8]>().prop_map(|groups| Ipv6Addr::from(groups).to_string()),
                any::<(u16, [u8; 4])>().prop_map(|(group, [a, b, c, d])| {
                    std::format!("::{group:x}:{a}.{b}.{c}.{d}")
                }),
            ]
        ) {
            let expected = text.parse::<Ipv6Addr>().ok().map(|address| address.segments());
            prop_assert_eq!(parse_ipv6(text.as_bytes()), expected, "{}", text);
        }
    }

    // RFC 3986 §3.2.2: a number of an IPv4 address has no leading zeros.
    #[test]
    fn ipv4_addresses() {
        assert_eq!(parse_ipv4(b"0.10.200.255"), Some(0x000a_c8ff));
        for text in
            ["01.2.3.4", "1.2.3.00", "1.2.3.256", "1.2.3", "1.2.3.4.5", "1.2.3.4.", "1..3.4"]
        {
            assert_eq!(parse_ipv4(text.as_bytes()), None, "{text}");
        }
    }

    // RFC 4291 §2.2: `::` stands for one or more groups.
    #[test]
    fn ipv6_gap_has_at_least_one_group() {
        for text in ["1:2:3:4::5:6:7:8", "::1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8::"] {
            assert_eq!(parse_ipv6(text.as_bytes()), None, "{text}");
        }
        for text in ["1:2:3:4:5:6:7:8:", ":1:2:3:4:5:6:7:8", "1::2:", ":1::2", "1::2::3", ":"] {
            assert_eq!(parse_ipv6(text.as_bytes()), None, "{text}");
        }
        for (text, groups) in [
            ("1:2:3:4::6:7:8", [1, 2, 3, 4, 0, 6, 7, 8]),
            ("::2:3:4:5:6:7:8", [0, 2, 3, 4, 5, 6, 7, 8]),
            ("1:2:3:4:5:6:7::", [1, 2, 3, 4, 5, 6, 7, 0]),
        ] {
            assert_eq!(parse_ipv6(text.as_bytes()), Some(groups), "{text}");
        }
    }

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

    // RFC 9110 §7.2, §4.2.3.
    #[test]
    fn same_host_compares_host_and_port() {
        for (listed, host) in [
            ("localhost", "localhost"),
            ("localhost", "LocalHost:9001"),
            ("LOCALHOST:9001", "localhost:9001"),
            ("127.0.0.1", "127.0.0.1:1"),
            ("[::1]", "[0:0:0:0:0:0:0:1]:9001"),
            ("[::1]:9001", "[::1]:9001"),
            ("example.com:80", "example.com"),
            ("example.com:443", "example.com"),
            ("example.com", "example.com:"),
        ] {
            assert!(same_host(listed, host), "{listed} {host}");
        }
        for (listed, host) in [
            ("localhost:9001", "localhost:9002"),
            ("localhost:9001", "localhost"),
            ("localhost", "localhost.evil.example"),
            ("localhost", "evil.localhost"),
            ("localhost", "127.0.0.1"),
            ("::1", "[::1]"),
            ("[::1]", "[::2]"),
            ("http://localhost", "localhost"),
            ("*", "localhost"),
            ("localhost", "user@localhost"),
            ("", ""),
        ] {
            assert!(!same_host(listed, host), "{listed} {host}");
        }
    }

    // RFC 6454 §5.
    #[cfg(feature = "endpoint")]
    #[test]
    fn equal_origins_compare_scheme_host_and_port() {
        for (left, right) in [
            ("https://example.com", "https://example.com"),
            ("https://example.com:443", "https://example.com"),
            ("HTTPS://Example.com", "https://example.COM:443"),
            ("http://example.com:80", "http://example.com"),
            ("http://[::1]:80", "http://[0:0:0:0:0:0:0:1]"),
            ("https://localhost:8443", "https://localhost:8443"),
            ("null", "null"),
            ("chrome-extension://abc", "chrome-extension://abc"),
        ] {
            assert!(equal_origins(left, right), "{left} {right}");
            assert!(equal_origins(right, left), "{right} {left}");
        }
        for (left, right) in [
            ("https://example.com", "http://example.com"),
            ("https://example.com:443", "http://example.com:443"),
            ("https://example.com:80", "https://example.com"),
            ("http://example.com:443", "http://example.com"),
            ("https://example.com/", "https://example.com"),
            ("https://example.com", "https://example.com.evil.org"),
            ("https://example.com", "https://user@example.com"),
            ("example.com", "https://example.com"),
            ("file://:80", "file://"),
            ("null", ""),
        ] {
            assert!(!equal_origins(left, right), "{left} {right}");
            assert!(!equal_origins(right, left), "{right} {left}");
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
