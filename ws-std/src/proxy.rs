//! Proxies: parsing their URLs, choosing one from the environment, and opening a tunnel through one.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use ws_core::handshake::OpenError;
use ws_core::proxy::{ProxyError, ProxyHandshake, ProxyStep};

use crate::error::{Deadline, Error};
use crate::timed::{is_loss, is_timeout};
use crate::trace::{Direction, Tracer};
use crate::url::{Host, Url, UrlError, split_port};

/// Which proxy a connector uses.
#[derive(Clone, Debug)]
pub(crate) enum ProxyChoice {
    /// Always this one. An error in its URL is reported when the proxy is needed.
    Fixed(Result<Proxy, UrlError>),
    Environment(Environment),
}

impl ProxyChoice {
    /// Returns the proxy for a server, if there is one.
    pub(crate) fn find(&self, url: &Url<'_>) -> Result<Option<&Proxy>, UrlError> {
        match self {
            Self::Fixed(proxy) => proxy.as_ref().map(Some).map_err(|error| *error),
            Self::Environment(environment) => environment.find(url),
        }
    }
}

/// The parts of a proxy's URL.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    protocol: Protocol,
    /// The host as [`Host`] displays it, with the zone of an IPv6 address.
    host: String,
    pub(crate) port: u16,
    credentials: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Socks5,
}

/// `Debug` shows whether there are credentials, but not the credentials.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("protocol", &self.protocol)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("credentials", &self.credentials.is_some())
            .finish()
    }
}

impl Proxy {
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::ProxyScheme)?;
        let (protocol, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Protocol::Http, 80),
            // The proxy resolves names for both schemes. The library never does.
            "socks5" | "socks5h" => (Protocol::Socks5, 1080),
            _ => return Err(UrlError::ProxyScheme),
        };
        // The authority ends as in any URL (RFC 3986 §3.2). Only a slash may follow.
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, "" | "/") = rest.split_at(end) else { return Err(UrlError::Proxy) };
        let (user_info, host) = match authority.rsplit_once('@') {
            Some((user_info, host)) => (Some(user_info), host),
            None => (None, authority),
        };
        let (host, port) = split_port(host, default_port).map_err(|_| UrlError::Proxy)?;
        let credentials = match user_info {
            None => None,
            Some(user_info) => {
                let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
                let decoded = percent_decode(user).zip(percent_decode(password));
                Some(decoded.ok_or(UrlError::Proxy)?)
            }
        };
        Ok(Self { protocol, host: host.to_string(), port, credentials })
    }

    pub(crate) fn host(&self) -> Host<'_> {
        match self.host.split_once('%') {
            Some((name, zone)) => Host { name, zone: Some(zone) },
            None => Host { name: &self.host, zone: None },
        }
    }

    /// Returns the handshake that asks the proxy for a tunnel to a server.
    pub(crate) fn handshake<'a>(&'a self, url: &Url<'a>) -> crate::Result<ProxyHandshake<'a>> {
        if url.host.zone.is_some() {
            return Err(UrlError::Zone.into());
        }
        let credentials = self.credentials.as_ref();
        let credentials = credentials.map(|(user, password)| (user.as_str(), password.as_str()));
        Ok(match self.protocol {
            Protocol::Http => ProxyHandshake::http(url.host.name, url.port, credentials)?,
            Protocol::Socks5 => ProxyHandshake::socks5(url.host.name, url.port, credentials)?,
        })
    }
}

/// Decodes the percent-encoding of a part of a URL (RFC 3986 §2.1).
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let value = digit()? << 4 | digit()?;
                u8::try_from(value).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

/// Opens a tunnel over a stream to the proxy, without reading bytes that come through the tunnel. `left` returns the
/// time until the deadline.
pub(crate) fn open_tunnel(
    mut stream: &TcpStream,
    mut handshake: ProxyHandshake<'_>,
    tracer: Option<Box<Tracer>>,
    left: impl Fn() -> Option<Duration>,
) -> crate::Result<()> {
    let mut received = Vec::new();
    let mut out = vec![0; 1024];
    let mut is_late = false;
    let mut shown = Shown { tracer, is_http: false, received: 0 };
    loop {
        let step = handshake.next(&received, &mut out);
        if !matches!(step, Ok(ProxyStep::Read(_))) {
            shown.received(&received);
        }
        match step {
            Ok(ProxyStep::Write(length)) => {
                let request = out.get(..length).unwrap_or_default();
                let mut rest = request;
                while !rest.is_empty() {
                    let written = wait(&left, |left| {
                        stream.set_write_timeout(left)?;
                        stream.write(rest)
                    })?;
                    match written {
                        None => return Err(Error::Timeout(Deadline::Handshake)),
                        Some(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                        Some(written) => rest = rest.get(written..).unwrap_or_default(),
                    }
                }
                shown.sent(request);
            }
            Ok(ProxyStep::Read(length)) => {
                let before = received.len();
                received.resize(before.saturating_add(length), 0);
                let room = received.get_mut(before..).unwrap_or_default();
                let count = wait(&left, |left| {
                    stream.set_read_timeout(left)?;
                    match stream.read(room) {
                        Err(error) if is_loss(&error) => Ok(0),
                        result => result,
                    }
                })?;
                is_late = count.is_none();
                let count = count.unwrap_or(0);
                received.truncate(before.saturating_add(count));
                if count == 0 {
                    handshake.receive_eof();
                }
            }
            Ok(ProxyStep::Open(_)) => {
                stream.set_read_timeout(None)?;
                stream.set_write_timeout(None)?;
                return Ok(());
            }
            Err(ProxyError::Open(OpenError::BufferTooSmall { needed })) => out.resize(needed, 0),
            Err(ProxyError::Eof) if is_late => return Err(Error::Timeout(Deadline::Handshake)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Passes the handshake with a proxy to a trace.
struct Shown {
    tracer: Option<Box<Tracer>>,
    is_http: bool,
    /// How many of the received bytes were shown.
    received: usize,
}

impl Shown {
    /// Shows a request without its credentials.
    fn sent(&mut self, request: &[u8]) {
        let Some(tracer) = &mut self.tracer else { return };
        self.is_http = request.starts_with(b"CONNECT ");
        if !self.is_http {
            let is_password = request.first() == Some(&1);
            let shown = if is_password { request.get(..1).unwrap_or_default() } else { request };
            return tracer.socks5(Direction::Sent, shown);
        }
        // This side has written the request, so it is text.
        let head = String::from_utf8_lossy(request);
        let shown = match head.split_once("Authorization: Basic ") {
            Some((before, credentials)) => {
                let after = credentials.split_once("\r\n").map_or("", |(_, after)| after);
                format!("{before}Authorization: Basic ***\r\n{after}")
            }
            None => head.into_owned(),
        };
        tracer.sent(shown.as_bytes());
    }

    fn received(&mut self, all: &[u8]) {
        let Some(tracer) = &mut self.tracer else { return };
        let new = all.get(self.received..).unwrap_or_default();
        self.received = all.len();
        if self.is_http {
            tracer.received(new);
        } else if !new.is_empty() {
            tracer.socks5(Direction::Received, new);
        }
    }
}

/// Makes a call that waits at most until the deadline. Returns `None` if the deadline has passed. If a signal
/// interrupts the call, this makes it again.
fn wait(
    left: impl Fn() -> Option<Duration>,
    mut call: impl FnMut(Option<Duration>) -> io::Result<usize>,
) -> io::Result<Option<usize>> {
    loop {
        let left = left();
        // A stream does not accept a time-out of zero.
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(None);
        }
        match call(left) {
            Err(error) if is_timeout(&error) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(Some),
        }
    }
}

/// The proxies that the environment names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// For `ws://`.
    http: Option<Result<Proxy, UrlError>>,
    /// For `wss://`.
    https: Option<Result<Proxy, UrlError>>,
    /// For both schemes, if there is no other.
    all: Option<Result<Proxy, UrlError>>,
    /// The servers to which the client connects directly.
    no_proxy: String,
}

impl Environment {
    /// Reads variables with `variable`. Empty variables count as not set.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| variable(name));
            values.find(|value| !value.is_empty())
        };
        let proxy = |names: &[&str]| {
            let value = first(names)?;
            // A proxy without a scheme is an HTTP proxy, as in most programs.
            let is_url = value.contains("://");
            Some(Proxy::parse(&if is_url { value } else { format!("http://{value}") }))
        };
        Self {
            // This does not read HTTP_PROXY, which contains the field `Proxy` of the request in a CGI program. On
            // systems where the names of variables are not case-sensitive, `http_proxy` is the same variable.
            http: if variable("REQUEST_METHOD").is_none() { proxy(&["http_proxy"]) } else { None },
            https: proxy(&["https_proxy", "HTTPS_PROXY"]),
            all: proxy(&["all_proxy", "ALL_PROXY"]),
            no_proxy: first(&["no_proxy", "NO_PROXY"]).unwrap_or_default(),
        }
    }

    fn find(&self, url: &Url<'_>) -> Result<Option<&Proxy>, UrlError> {
        let own = if url.secure { &self.https } else { &self.http };
        match own.as_ref().or(self.all.as_ref()) {
            Some(_) if is_exempt(&self.no_proxy, url.host.name, url.port) => Ok(None),
            Some(proxy) => proxy.as_ref().map(Some).map_err(|error| *error),
            None => Ok(None),
        }
    }
}

/// Returns whether a `no_proxy` list contains a server.
fn is_exempt(list: &str, host: &str, port: u16) -> bool {
    let mut entries = list.split([',', ' ']).filter(|entry| !entry.is_empty());
    entries.any(|entry| match host.parse() {
        _ if entry == "*" => true,
        Ok(address) => is_of_address(entry, address, port),
        Err(_) => is_of_name(entry, host, port),
    })
}

/// Returns whether an entry is this address, with this port or without a port, or a network that contains it.
fn is_of_address(entry: &str, address: IpAddr, port: u16) -> bool {
    if let Some((network, bits)) = entry.split_once('/') {
        // The addresses may only differ after the prefix.
        return match (network.parse(), address, bits.parse()) {
            (Ok(IpAddr::V4(network)), IpAddr::V4(address), Ok(bits @ 0..=32_u32)) => {
                (u32::from(network) ^ u32::from(address)).leading_zeros() >= bits
            }
            (Ok(IpAddr::V6(network)), IpAddr::V6(address), Ok(bits @ 0..=128)) => {
                (u128::from(network) ^ u128::from(address)).leading_zeros() >= bits
            }
            _ => false,
        };
    }
    let is_address = |text: &str| text.parse() == Ok(address);
    is_address(entry)
        || split_port(entry, port).is_ok_and(|(host, of)| of == port && is_address(host.name))
}

/// Returns whether an entry is this name or a parent domain, with this port or without a port.
fn is_of_name(entry: &str, host: &str, port: u16) -> bool {
    let entry = entry.strip_prefix('*').unwrap_or(entry);
    let entry = entry.strip_prefix('.').unwrap_or(entry);
    let Ok((Host { name: domain, .. }, of)) = split_port(entry, port) else { return false };
    let sub = host.len().checked_sub(domain.len()).and_then(|at| host.split_at_checked(at));
    of == port
        && sub.is_some_and(|(sub, end)| {
            end.eq_ignore_ascii_case(domain) && (sub.is_empty() || sub.ends_with('.'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> (Protocol, String, u16, Option<(String, String)>) {
        let proxy = Proxy::parse(url).unwrap();
        (proxy.protocol, proxy.host().to_string(), proxy.port, proxy.credentials)
    }

    #[test]
    fn proxy_urls() {
        let parts = |protocol, host: &str, port| (protocol, host.to_owned(), port, None);
        assert_eq!(parsed("http://p"), parts(Protocol::Http, "p", 80));
        assert_eq!(parsed("HTTP://p:3128/"), parts(Protocol::Http, "p", 3128));
        assert_eq!(parsed("socks5://127.0.0.1"), parts(Protocol::Socks5, "127.0.0.1", 1080));
        assert_eq!(parsed("socks5h://[::1]:9050"), parts(Protocol::Socks5, "::1", 9050));
        let zone = parts(Protocol::Http, "fe80::1%eth0", 81);
        assert_eq!(parsed("http://[fe80::1%25eth0]:81"), zone);
        for (url, user, password) in [
            ("http://user:pass@p", "user", "pass"),
            ("socks5://us%40er:p%3aa%2Fss%25@p", "us@er", "p:a/ss%"),
            ("http://user:a:b@p", "user", "a:b"),
            ("http://user@p", "user", ""),
            ("http://:@p", "", ""),
            ("http://us%C3%A9r:p@ss@p", "usér", "p@ss"),
        ] {
            let expected = Some((user.to_owned(), password.to_owned()));
            assert_eq!(parsed(url).3, expected, "{url}");
            assert!(!format!("{:?}", Proxy::parse(url)).contains("pass"));
        }
    }

    #[test]
    fn proxy_urls_that_are_not_valid() {
        for url in ["", "p", "p:80", "https://p", "socks4://p", "socks://p", "ws://p", "http:/p"] {
            assert_eq!(Proxy::parse(url), Err(UrlError::ProxyScheme), "{url}");
        }
        for url in [
            "http://",
            "http:///",
            "http://:80",
            "http://proxy.example/@127.0.0.1:9",
            "http://p\u{fffd}:1",
            "http://p:0",
            "http://p:x",
            "http://p:65536",
            "http://p/path",
            "http://p//",
            "http://p?q",
            "http://p#f",
            "http://a b",
            "http://p\r\n",
            "http://user:pa%ss@p",
            "http://user:%ff@p",
            "http://user:%4@p",
            "http://[::1",
            "http://é",
        ] {
            assert_eq!(Proxy::parse(url), Err(UrlError::Proxy), "{url}");
        }
    }

    // An answer that is read after the deadline does not count, however fast the proxy is.
    #[test]
    fn no_answer_counts_that_is_read_behind_the_deadline() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut proxy = listener.accept().unwrap().0;
        proxy.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let handshake = ProxyHandshake::http("h", 80, None).unwrap();
        // The request and half of the answer.
        let calls = std::cell::Cell::new(4);
        let left = || {
            calls.set(calls.get() - 1);
            Some(Duration::from_secs(calls.get()))
        };
        let result = open_tunnel(&stream, handshake, None, left);
        assert!(matches!(result, Err(Error::Timeout(Deadline::Handshake))), "{result:?}");
    }

    /// Returns the host of the proxy that this environment names for a URL.
    fn chosen(variables: &[(&str, &str)], url: &str) -> Result<Option<String>, UrlError> {
        let environment = Environment::read(|name| {
            let variable = variables.iter().find(|(known, _)| *known == name);
            variable.map(|(_, value)| (*value).to_owned())
        });
        let proxy = environment.find(&Url::parse(url).unwrap())?;
        Ok(proxy.map(|proxy| format!("{}:{}", proxy.host, proxy.port)))
    }

    #[test]
    fn environment_names_a_proxy_for_each_scheme() {
        let all = [
            ("http_proxy", "http://a:1"),
            ("HTTP_PROXY", "http://never:1"),
            ("https_proxy", "b:2"),
            ("HTTPS_PROXY", "http://c:3"),
            ("ALL_PROXY", "socks5h://d"),
        ];
        let is = |variables, url, expected: Option<&str>| {
            assert_eq!(chosen(variables, url), Ok(expected.map(str::to_owned)), "{url}");
        };
        is(&all, "ws://h", Some("a:1"));
        is(&all, "wss://h", Some("b:2"));
        is(&all[3..], "wss://h", Some("c:3"));
        is(&all[1..], "ws://h", Some("d:1080"));
        is(&[("https_proxy", ""), ("HTTPS_PROXY", "c:3")], "wss://h", Some("c:3"));
        is(&all[1..2], "ws://h", None);
        // In a CGI program the variable may come from the request.
        let cgi = [all[0], ("REQUEST_METHOD", "GET")];
        is(&cgi, "ws://h", None);
        is(&[], "wss://h", None);
        // A URL that is not valid is an error only if the proxy is needed.
        let wrong = [("https_proxy", "https://p")];
        assert_eq!(chosen(&wrong, "wss://h"), Err(UrlError::ProxyScheme));
        is(&wrong, "ws://h", None);
        is(&[wrong[0], ("NO_PROXY", "h")], "wss://h", None);
    }

    #[test]
    fn environment_exempts_servers() {
        for (list, exempt, others) in [
            ("*", &["ws://a", "ws://127.0.0.1", "ws://[::1]"][..], &[][..]),
            (
                "a.b",
                &["ws://a.b", "ws://A.B:81", "ws://x.a.b"],
                &["ws://b", "ws://xa.b", "ws://a.b.c"],
            ),
            (".a.b", &["ws://a.b", "ws://x.a.b"], &["ws://xa.b"]),
            ("*.a.b,c", &["ws://x.a.b", "ws://c"], &["ws://d"]),
            (" c , d:81", &["ws://c", "ws://d:81"], &["ws://d", "ws://e"]),
            ("127.0.0.1", &["ws://127.0.0.1:9"], &["ws://127.0.0.2", "ws://a"]),
            ("127.0.0.1:81", &["ws://127.0.0.1:81"], &["ws://127.0.0.1"]),
            ("10.0.0.0/8", &["ws://10.255.0.1"], &["ws://11.0.0.0", "ws://[::1]", "ws://a"]),
            ("1.2.3.4/0", &["ws://10.255.0.1"], &["ws://[::1]"]),
            ("1.2.3.4/33", &[], &["ws://1.2.3.4"]),
            ("::1,fe80::/10", &["ws://[::1]", "ws://[febf::1]"], &["ws://[::2]", "ws://[fec0::]"]),
            ("[::1]:81", &["ws://[::1]:81"], &["ws://[::1]"]),
            ("", &[], &["ws://a", "ws://127.0.0.1"]),
            ("a:b,/,.,*.,0.0.0.1", &[], &["ws://a", "ws://b", "ws://1"]),
        ] {
            for (urls, expected) in [(exempt, None), (others, Some("p:1".to_owned()))] {
                for url in urls {
                    let variables = [("all_proxy", "p:1"), ("NO_PROXY", list)];
                    assert_eq!(chosen(&variables, url), Ok(expected.clone()), "{list:?} {url}");
                }
            }
        }
    }
}
