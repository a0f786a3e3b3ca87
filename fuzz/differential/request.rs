//! The request of a client. The input is what a server receives.

use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response};
use ws_core::handshake::{
    DEFAULT_MAX_FIELDS, DEFAULT_MAX_HEAD, FieldSlots, HandshakeError, HeadReader, RequestHead,
    accept_key,
};

/// What a server does with a request.
#[derive(Debug)]
enum Fate<E> {
    Incomplete,
    Accepted {
        /// Where the head ends.
        end: usize,
        accept: Vec<u8>,
        path: String,
    },
    Refused(E),
}

pub fn check(data: &[u8]) {
    let data = &data[..data.len().min(DEFAULT_MAX_HEAD)];
    match (ours(data), theirs(data)) {
        (Fate::Incomplete, Fate::Incomplete) | (Fate::Refused(_), Fate::Refused(_)) => {}
        (
            Fate::Accepted { end, accept, path },
            Fate::Accepted { end: their_end, accept: their_accept, path: their_path },
        ) => {
            assert_eq!((end, accept, path), (their_end, their_accept, their_path));
        }
        // Both refuse, one of them before the head is complete.
        (Fate::Refused(_), Fate::Incomplete) | (Fate::Incomplete, Fate::Refused(_)) => {}
        (Fate::Accepted { .. }, Fate::Refused(error)) => {
            assert!(is_laxer(data), "{error}");
        }
        (Fate::Refused(error), Fate::Accepted { end, .. }) => {
            assert!(is_stricter(error, &data[..end]), "{error:?}");
        }
        (ours, theirs) => panic!("{ours:?} here, {theirs:?} there"),
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
            let accept = accept_key(upgrade.key).expect("a key of 24 characters").to_vec();
            Fate::Accepted { end, accept, path: upgrade.path().to_string() }
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
            Ok(response) => Fate::Accepted {
                end,
                accept: response.headers()["Sec-WebSocket-Accept"].as_bytes().to_vec(),
                path: request.uri().path().to_string(),
            },
        },
    }
}

/// Whether we accept a request that they refuse for a reason in which we follow the RFC.
fn is_laxer(data: &[u8]) -> bool {
    let Fate::Accepted { end, .. } = ours(data) else { return false };
    let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
    let head = RequestHead::parse(&data[..end], &mut slots).expect("accepted");
    let values = |name: &str| -> Vec<Vec<u8>> {
        let fields = head.fields().filter(|field| field.0.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.to_vec()).collect()
    };
    let key = values("sec-websocket-key").concat();
    let (upgrade, connection) = (values("upgrade"), values("connection"));
    // A minor version that is higher than ours is compatible (RFC 9110 §2.5).
    head.minor_version() > 1
        // `Upgrade` is a list (RFC 9110 §7.8), as is `Connection` (RFC 9110 §7.6.1). Lists may be in several fields
        // (RFC 9110 §5.3), have tabs around elements (§5.6.3), and have other elements of any bytes.
        || upgrade.len() > 1 || !upgrade[0].eq_ignore_ascii_case(b"websocket")
        || connection.len() > 1 || connection[0].iter().any(|byte| *byte == b'\t' || !byte.is_ascii())
        // RFC 6455 erratum 3150: the pad bits of a key are not looked at.
        || !b"AQgw".contains(&key[21])
        // Browsers send some characters as they are that RFC 3986 §2 would have encoded (WHATWG URL, percent-encode
        // sets). A target is opaque to us, as long as it is visible ASCII.
        || head.target().bytes().any(|byte| !is_uri(byte))
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
        HandshakeError::BareLf => head
            .iter()
            .enumerate()
            .any(|(at, byte)| *byte == b'\n' && (at == 0 || head[at - 1] != b'\r')),
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
