//! Parsing `ws://` and `wss://` URLs (RFC 6455 §3), and the errors of URLs.

use std::fmt;

/// The parts of a WebSocket URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url<'u> {
    pub(crate) secure: bool,
    pub(crate) host: Host<'u>,
    pub(crate) port: u16,
    /// The value of the `Host` field.
    pub(crate) authority: String,
    /// The path and the query.
    pub(crate) resource_name: String,
}

/// The host of a URL. `Display` shows an IPv6 address with its zone and without brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host<'u> {
    /// A name or an address, without the brackets of an IPv6 address.
    pub(crate) name: &'u str,
    /// The zone of an IPv6 address, as a number or a name (RFC 6874). It only has a meaning on this machine, so it is
    /// never sent.
    pub(crate) zone: Option<&'u str>,
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.zone.map_or(Ok(()), |zone| write!(f, "%{zone}"))
    }
}

/// Why a WebSocket URL (RFC 6455 §3) or the URL of a proxy is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is neither `ws` nor `wss`.
    Scheme,
    /// The URL is `wss://`, which needs TLS. Use the feature `rustls`, or pass a TLS stream to
    /// [`Connector::connect_over_encrypted`](crate::Connector::connect_over_encrypted).
    Tls,
    /// `user:password@` has no meaning in a WebSocket URL. Send an `Authorization` header instead.
    UserInfo,
    /// The host is missing or has characters that are not allowed.
    Host,
    /// The zone of an IPv6 address is not valid, or the connection goes through a proxy, where the zones of this
    /// machine have no meaning. A zone is written as in `[fe80::1%25eth0]` (RFC 6874 §2), and consists of letters,
    /// digits and `-._~`.
    Zone,
    /// The port is not a number from 1 to 65535.
    Port,
    /// The URL has a fragment (`#…`), which is not allowed. Write a literal `#` as `%23`.
    Fragment,
    /// The path or query has a character that must be percent-encoded.
    Path,
    /// The scheme of a proxy's URL is not `http`, `socks5` or `socks5h`.
    ProxyScheme,
    /// The proxy's URL is not `[user:password@]host[:port]` after the scheme.
    Proxy,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the URL has to begin with ws:// or wss:// (RFC 6455 §3)",
            Self::Tls => {
                "wss:// needs TLS: the feature rustls, or a TLS stream in connect_over_encrypted"
            }
            Self::UserInfo => {
                "user:password@ is not part of a WebSocket URL; send an Authorization header"
            }
            Self::Host => "the URL's host is missing or not valid (non-ASCII names as xn--…)",
            Self::Zone => {
                "the zone of an IPv6 address is written as in [fe80::1%25eth0] (RFC 6874), \
                 and cannot be used through a proxy"
            }
            Self::Port => "the URL's port is not a number from 1 to 65535",
            Self::Fragment => "a WebSocket URL has no fragment; write # as %23 (RFC 6455 §3)",
            Self::Path => "the URL's path has a character that must be percent-encoded",
            Self::ProxyScheme => {
                "the proxy's URL has to begin with http://, socks5:// or socks5h://; \
                 TLS to the proxy itself is not supported"
            }
            Self::Proxy => {
                "the proxy's URL is not scheme://[user:password@]host[:port], \
                 with special characters of user and password percent-encoded"
            }
        })
    }
}

impl std::error::Error for UrlError {}

impl<'u> Url<'u> {
    pub(crate) fn parse(url: &'u str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        let secure = match scheme {
            _ if scheme.eq_ignore_ascii_case("ws") => false,
            _ if scheme.eq_ignore_ascii_case("wss") => true,
            _ => return Err(UrlError::Scheme),
        };
        // mutant: a fragment is sent to the server
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (authority, resource) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        if !resource.bytes().all(is_allowed) {
            return Err(UrlError::Path);
        }
        // mutant: wss has the port of ws
        let default = if secure { 443 } else { 80 };
        let (host, port) = split_port(authority, default)?;
        let name = host.name;
        let bracketed = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
        let authority = if port == default { bracketed } else { format!("{bracketed}:{port}") };
        let slash = if resource.starts_with('/') { "" } else { "/" };
        Ok(Self { secure, host, port, authority, resource_name: format!("{slash}{resource}") })
    }
}

/// Splits an authority into the host and the port. If there is no port, it is `default`.
pub(crate) fn split_port(authority: &str, default: u16) -> Result<(Host<'_>, u16), UrlError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(UrlError::Host)?;
            let (name, zone) = match host.split_once('%') {
                Some((name, zone)) => (name, Some(zone)),
                None => (host, None),
            };
            name.parse::<std::net::Ipv6Addr>().map_err(|_| UrlError::Host)?;
            let host = Host { name, zone: zone.map(zone_id).transpose()? };
            match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if port.is_empty() => (host, None),
                None => return Err(UrlError::Host),
            }
        }
        None => {
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            // A registered name (RFC 3986 §3.2.2), limited to the characters of host names and IPv4 addresses.
            let valid =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            if host.is_empty() || !host.bytes().all(valid) {
                return Err(UrlError::Host);
            }
            (Host { name: host, zone: None }, port)
        }
    };
    let port = match port {
        None | Some("") => default,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)?
        }
        Some(_) => return Err(UrlError::Port),
    };
    Ok((host, port))
}

/// Returns the zone from the text after a `%` (RFC 6874 §2). Names of interfaces do not contain characters that would
/// have to be percent-encoded.
fn zone_id(text: &str) -> Result<&str, UrlError> {
    let is_unreserved =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let zone = text.strip_prefix("25").filter(|zone| !zone.is_empty());
    zone.filter(|zone| zone.bytes().all(is_unreserved)).ok_or(UrlError::Zone)
}

/// Returns whether a byte is allowed in a path or query (RFC 3986 §3.3, §3.4). Brackets are accepted although the RFC
/// forbids them, because browsers and servers accept them, as in `?id[]=1`.
fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> (bool, String, u16, String, String) {
        let url = Url::parse(url).unwrap();
        (url.secure, url.host.to_string(), url.port, url.authority, url.resource_name)
    }

    fn parts(
        host: &str,
        port: u16,
        authority: &str,
        name: &str,
    ) -> (bool, String, u16, String, String) {
        (false, host.to_owned(), port, authority.to_owned(), name.to_owned())
    }

    // RFC 6455 §3
    #[test]
    fn uri_default_port_and_resource_name() {
        assert_eq!(parsed("ws://h"), parts("h", 80, "h", "/"));
        assert_eq!(parsed("WS://h:80/"), parts("h", 80, "h", "/"));
        assert_eq!(parsed("ws://h:/a/b"), parts("h", 80, "h", "/a/b"));
        assert_eq!(parsed("ws://h?q=1"), parts("h", 80, "h", "/?q=1"));
        assert_eq!(parsed("ws://h:9001/a?b=c"), parts("h", 9001, "h:9001", "/a?b=c"));
        assert_eq!(parsed("ws://[::1]:9001/"), parts("::1", 9001, "[::1]:9001", "/"));
        assert_eq!(parsed("ws://[::1]"), parts("::1", 80, "[::1]", "/"));
        assert_eq!(parsed("ws://1.2.3.4"), parts("1.2.3.4", 80, "1.2.3.4", "/"));
        let secure = Url::parse("wss://h/").unwrap();
        assert_eq!((secure.secure, secure.port, &*secure.authority), (true, 443, "h"));
    }

    // RFC 6874 §2, §3
    #[test]
    fn uri_zone_is_part_of_the_address_and_not_of_the_host_field() {
        assert_eq!(
            parsed("ws://[fe80::1%25eth0]:81/p"),
            parts("fe80::1%eth0", 81, "[fe80::1]:81", "/p")
        );
        assert_eq!(parsed("ws://[fe80::1%251]"), parts("fe80::1%1", 80, "[fe80::1]", "/"));
        let url = "ws://[fe80::1%25a-b.c_d~25]";
        assert_eq!(parsed(url), parts("fe80::1%a-b.c_d~25", 80, "[fe80::1]", "/"));
        for zone in ["", "%", "%2", "%25", "%eth0", "%25e th0", "%25%65", "%25a%25b", "%25a:b"] {
            let expected = if zone.is_empty() { None } else { Some(UrlError::Zone) };
            assert_eq!(Url::parse(&format!("ws://[fe80::1{zone}]/")).err(), expected, "{zone}");
        }
        assert_eq!(Url::parse("ws://[h%25eth0]/"), Err(UrlError::Host));
        assert_eq!(Url::parse("ws://1.2.3.4%25eth0/"), Err(UrlError::Host));
    }

    // RFC 6455 §3
    #[test]
    fn uri_fragment_rejected() {
        assert_eq!(Url::parse("ws://h/p#f"), Err(UrlError::Fragment));
        assert_eq!(Url::parse("ws://h#"), Err(UrlError::Fragment));
    }

    // RFC 6455 §3
    #[test]
    fn uri_percent23_kept() {
        assert_eq!(parsed("ws://h/a%23b").4, "/a%23b");
    }

    // RFC 6455 §3
    #[test]
    fn uri_non_ascii_refused_or_encoded() {
        assert_eq!(Url::parse("ws://exämple.com/"), Err(UrlError::Host));
        assert_eq!(Url::parse("ws://h/ä"), Err(UrlError::Path));
    }

    // RFC 3986 §3.3, §3.4, Appendix A
    #[test]
    fn uri_path_and_query_are_what_rfc_3986_allows() {
        let allowed = "/az09-._~%20!$&'()*+,;=:@//?a=b&c[]=/?:@!$&'()*+,;";
        // Brackets and this percent sign go beyond it.
        for allowed in [allowed, "/[%zz]"] {
            assert_eq!(parsed(&format!("ws://h{allowed}")).4, allowed);
        }
        for byte in (0..=b' ').chain(*b"\"<>\\^`{|}\x7f") {
            for part in ["a", "?a"] {
                let url = format!("ws://h/{part}{}", char::from(byte));
                assert_eq!(Url::parse(&url), Err(UrlError::Path), "{url:?}");
            }
        }
    }

    // RFC 6455 §4.1
    #[test]
    fn uri_invalid_components_fail() {
        for (url, error) in [
            ("", UrlError::Scheme),
            ("h", UrlError::Scheme),
            ("http://h", UrlError::Scheme),
            ("ws:/h", UrlError::Scheme),
            ("ws://", UrlError::Host),
            ("ws:///p", UrlError::Host),
            ("ws://:80", UrlError::Host),
            ("ws://a b/", UrlError::Host),
            ("ws://h\r\n/", UrlError::Host),
            ("ws://[::1", UrlError::Host),
            ("ws://[::1]x", UrlError::Host),
            ("ws://[zz]/", UrlError::Host),
            ("ws://[v1.x]/", UrlError::Host),
            ("ws://%41/", UrlError::Host),
            ("ws://a!b/", UrlError::Host),
            ("ws://h:0", UrlError::Port),
            ("ws://h:65536", UrlError::Port),
            ("ws://h:+80", UrlError::Port),
            ("ws://h:8x", UrlError::Port),
            ("ws://user:pass@h/", UrlError::UserInfo),
            ("ws://h/a b", UrlError::Path),
            ("ws://h/a\r\nX: y", UrlError::Path),
            ("ws://h/\0", UrlError::Path),
        ] {
            assert_eq!(Url::parse(url), Err(error), "{url:?}");
        }
    }
}
