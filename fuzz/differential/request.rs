//! The request of a client. The input is what a server receives.

use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response};
use ws_core::handshake::{
    DEFAULT_MAX_FIELDS, DEFAULT_MAX_HEAD, FieldSlots, HandshakeError, HeadReader, RequestHead,
    accept_key,
};

use crate::head::{self, Head, has_bare_lf, is_empty};

/// What a server does with a request.
type Fate<E> = head::Fate<Accepted, E>;

#[derive(Debug, PartialEq, Eq)]
struct Accepted {
    /// Where the head ends.
    end: usize,
    accept: String,
    path: String,
}

pub fn check(data: &[u8]) {
    head::check(data, ours, theirs, compare);
}

fn compare(data: &[u8], here: Fate<Option<HandshakeError>>, there: Fate<String>) {
    match (here, there) {
        (Fate::Incomplete, Fate::Incomplete) | (Fate::Refused(_), Fate::Refused(_)) => {}
        (Fate::Accepted(here), Fate::Accepted(there)) => assert_eq!(here, there),
        (Fate::Accepted(accepted), Fate::Refused(error)) => compare_plain(data, accepted, &error),
        (Fate::Refused(error), Fate::Accepted(Accepted { end, .. })) => {
            assert!(is_stricter(error, &data[..end]), "{error:?}");
        }
        (Fate::Refused(_), Fate::Incomplete) if is_empty(data) => {}
        (here, there) => panic!("{here:?} here, {there:?} there"),
    }
}

/// Compares again without the intended differences, because they refuse what we accept.
fn compare_plain(data: &[u8], accepted: Accepted, error: &str) {
    let (head, rest) = data.split_at(accepted.end);
    let key = Head::new(head).values("Sec-WebSocket-Key").concat();
    assert_eq!(accepted.accept, derive_accept_key(&key));

    let plain = [&without_differences(head)[..], rest].concat();
    match (ours(&plain), theirs(&plain)) {
        (Fate::Accepted(here), Fate::Accepted(there)) => {
            assert_eq!(here, there);
            let mut path = accepted.path.into_bytes();
            replace_invalid(&mut path);
            assert_eq!(path, there.path.as_bytes());
        }
        (here, there) => panic!("{error}. Without the differences {here:?} here, {there:?} there"),
    }
}

/// Returns the head of a request without what they refuse although the RFC allows it. All else stays as it is.
fn without_differences(head: &[u8]) -> Vec<u8> {
    let mut head = Head::new(head);
    let line = head.start_line();
    // A minor version that is higher than ours is compatible (RFC 9110 §2.5).
    if let [.., b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9', b'\r', b'\n'] = line
    {
        *minor = b'1';
    }
    // The target alone can have such bytes: `GET` and the version have none.
    replace_invalid(line);
    // `Upgrade` is a list (RFC 9110 §7.8), as is `Connection` (RFC 9110 §7.6.1). Lists may be in several fields
    // (RFC 9110 §5.3), have tabs around elements (§5.6.3), and have other elements of any bytes.
    head.reduce("Upgrade", "websocket", |list| !list.eq_ignore_ascii_case(b"websocket"));
    head.reduce("Connection", "Upgrade", |list| {
        list.iter().any(|byte| *byte == b'\t' || !byte.is_ascii())
    });
    // RFC 6455 erratum 3150: the pad bits of a key are not looked at.
    let mut key = head.values("Sec-WebSocket-Key").concat();
    if let Some(digit) = key.get_mut(21).filter(|digit| !b"AQgw".contains(digit)) {
        *digit = without_pad_bits(*digit);
        head.put("Sec-WebSocket-Key", &key);
    }
    head.into_bytes()
}

/// Replaces what RFC 3986 §2 would have encoded. Browsers send some such characters as they are (WHATWG URL,
/// percent-encode sets). A target is opaque to us, as long as it is visible ASCII.
fn replace_invalid(target: &mut [u8]) {
    for byte in target.iter_mut().filter(|byte| byte.is_ascii_graphic() && !is_uri(**byte)) {
        *byte = b'x';
    }
}

/// Returns the digit of base64 that has the same two high bits and four zeros (RFC 4648 §4).
fn without_pad_bits(digit: u8) -> u8 {
    match digit {
        b'A'..=b'P' => b'A',
        b'Q'..=b'Z' | b'a'..=b'f' => b'Q',
        b'g'..=b'v' => b'g',
        b'w'..=b'z' | b'0'..=b'9' | b'+' | b'/' => b'w',
        other => other,
    }
}

fn ours(data: &[u8]) -> Fate<Option<HandshakeError>> {
    let end = match HeadReader::request(DEFAULT_MAX_HEAD).push(data) {
        Ok(Some(end)) => end,
        Ok(None) => return Fate::Incomplete,
        Err(error) => return Fate::Refused(Some(error)),
    };
    let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
    let head = RequestHead::parse(&data[..end], &mut slots);
    match head.and_then(|head| head.upgrade()) {
        Ok(Some(upgrade)) => {
            let accept = accept_key(upgrade.key).expect("a key of 24 characters");
            let accept = core::str::from_utf8(&accept).expect("base64").to_string();
            Fate::Accepted(Accepted { end, accept, path: upgrade.path().to_string() })
        }
        Ok(None) => Fate::Refused(None),
        Err(error) => Fate::Refused(Some(error)),
    }
}

fn theirs(data: &[u8]) -> Fate<String> {
    match Request::try_parse(data) {
        Ok(None) => Fate::Incomplete,
        Err(error) => Fate::Refused(error.to_string()),
        Ok(Some((end, request))) => match create_response(&request) {
            Err(error) => Fate::Refused(error.to_string()),
            Ok(response) => {
                let accept = response.headers()["Sec-WebSocket-Accept"].to_str().expect("base64");
                let path = request.uri().path().to_string();
                Fate::Accepted(Accepted { end, accept: accept.to_string(), path })
            }
        },
    }
}

/// Whether we refuse a request that they accept for a rule of the RFC that they do not check.
fn is_stricter(error: Option<HandshakeError>, head: &[u8]) -> bool {
    let (_, request) = Request::try_parse(head).expect("a head").expect("all of it");
    let headers = request.headers();
    let values = |name: &str| -> Vec<Vec<u8>> {
        headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
    };
    let list = |name: &str| -> Vec<Vec<u8>> {
        let all = values(name).join(&b',');
        all.split(|byte| *byte == b',')
            .map(|element| element.trim_ascii().to_vec())
            .filter(|element| !element.is_empty())
            .collect()
    };
    let is_repeated = |name| values(name).len() > 1;
    let Some(error) = error else { return false };
    match error {
        // RFC 9112 §2.2: lines end with CRLF.
        HandshakeError::BareLf => has_bare_lf(head),
        HandshakeError::TooManyFields => headers.len() > DEFAULT_MAX_FIELDS,
        // RFC 6455 §4.2.1 item 2, RFC 9110 §7.2, RFC 9112 §3.2
        HandshakeError::MissingHost => values("host").is_empty(),
        HandshakeError::RepeatedHost => is_repeated("host"),
        HandshakeError::InvalidHost => values("host").iter().any(|host| !is_plain_host(host)),
        // RFC 9110 §7.6.1: commas are between the options, not spaces.
        HandshakeError::MissingConnectionUpgrade => {
            list("connection").iter().all(|option| !option.eq_ignore_ascii_case(b"upgrade"))
        }
        // RFC 9112 §3, RFC 3986 §2: a target has no other characters.
        HandshakeError::MalformedRequestLine => {
            let line = head.split(|byte| *byte == b'\r').find(|line| line.len() > 1);
            line.is_some_and(|line| {
                line.iter().any(|byte| !byte.is_ascii_graphic() && *byte != b' ')
            })
        }
        // RFC 4648 §3.2: padding is at the end.
        HandshakeError::InvalidKey => {
            let key = &values("sec-websocket-key")[0];
            let padding = key.iter().rev().take_while(|byte| **byte == b'=').count();
            key[..key.len() - padding].contains(&b'=')
        }
        // RFC 6455 §11.3.1, §11.3.5, RFC 6454 §7.3
        HandshakeError::RepeatedKey => is_repeated("sec-websocket-key"),
        HandshakeError::RepeatedVersion => is_repeated("sec-websocket-version"),
        HandshakeError::RepeatedOrigin => is_repeated("origin"),
        HandshakeError::InvalidOrigin => {
            values("origin")[0].iter().any(|byte| !byte.is_ascii_graphic() && *byte != b' ')
        }
        // RFC 6455 §4.2.1 item 1: a GET has no body. RFC 9112 §6.3 says how it would be framed.
        HandshakeError::RequestBody => {
            !values("transfer-encoding").is_empty()
                || values("content-length").iter().any(|value| value != b"0")
        }
        HandshakeError::InvalidContentLength => {
            !values("content-length")[0].iter().all(u8::is_ascii_digit)
                || values("content-length")[0].is_empty()
                || values("content-length")[0].len() > 18
        }
        HandshakeError::RepeatedContentLength => is_repeated("content-length"),
        HandshakeError::ContentLengthAndTransferEncoding => {
            !values("content-length").is_empty() && !values("transfer-encoding").is_empty()
        }
        // RFC 6455 §4.2.1 item 1, RFC 9112 §3.2
        HandshakeError::InvalidTarget => {
            let target = request.uri().to_string();
            !target.starts_with('/')
                || head.split(|byte| *byte == b'\n').next().is_some_and(|line| line.contains(&b'#'))
        }
        // RFC 6455 §4.1 item 10, §11.3.4: tokens that are all different
        HandshakeError::InvalidSubprotocol => {
            list("sec-websocket-protocol").is_empty()
                || list("sec-websocket-protocol").iter().any(|name| !name.iter().all(is_token))
        }
        HandshakeError::RepeatedSubprotocol => {
            let names = list("sec-websocket-protocol");
            names.iter().enumerate().any(|(index, name)| names[..index].contains(name))
        }
        HandshakeError::TooManySubprotocols => list("sec-websocket-protocol").len() > 64,
        // RFC 6455 §9.1; the target `extensions` has the grammar
        HandshakeError::InvalidExtensions => !values("sec-websocket-extensions").is_empty(),
        _ => false,
    }
}

/// RFC 3986 §2, with all that a path and a query may have
fn is_uri(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

/// A name or an IPv4 address with an optional port. More than these is allowed.
fn is_plain_host(host: &[u8]) -> bool {
    let (name, port) = match host.iter().position(|byte| *byte == b':') {
        Some(colon) => (&host[..colon], &host[colon + 1..]),
        None => (host, &b"80"[..]),
    };
    let port = core::str::from_utf8(port)
        .ok()
        .filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let port = port.and_then(|port| port.parse::<u16>().ok());
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    !name.is_empty() && name.iter().all(is_name) && port.is_some()
}

/// RFC 9110 §5.6.2
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}
