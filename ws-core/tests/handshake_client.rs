//! A client's half of the opening handshake (RFC 6455 §4.1).
#![cfg(feature = "handshake")]

use ws_core::handshake::*;

fn key() -> ClientKey {
    ClientKey::from_nonce(*b"the sample nonce")
}

fn written(request: ClientRequest<'_>) -> Result<String, OpenError> {
    let needed = match request.write(&key(), &mut []) {
        Err(OpenError::BufferTooSmall { needed }) => needed,
        other => return Err(other.unwrap_err()),
    };
    let mut out = vec![0; needed];
    assert_eq!(
        request.write(&key(), &mut out[..needed - 1]),
        Err(OpenError::BufferTooSmall { needed })
    );
    assert_eq!(request.write(&key(), &mut out), Ok(needed));
    Ok(String::from_utf8(out).unwrap())
}

/// Writes a request, and has our own server judge it: it asks for what the request says.
fn written_and_judged(request: ClientRequest<'_>) -> Result<String, OpenError> {
    judged(request, |upgrade| {
        assert_eq!((upgrade.host, upgrade.path(), upgrade.query()), ("example.com", "/chat", None))
    })
}

fn judged(
    request: ClientRequest<'_>,
    check: impl FnOnce(Upgrade<'_, '_>),
) -> Result<String, OpenError> {
    let text = written(request)?;
    let mut slots = FieldSlots::<32>::new();
    let head = RequestHead::parse(text.as_bytes(), &mut slots).unwrap();
    let upgrade = head.upgrade().unwrap().unwrap();
    assert_eq!(upgrade.key, key().as_str());
    check(upgrade);
    Ok(text)
}

const EXAMPLE: ClientRequest<'_> = ClientRequest::new("example.com", "/chat");

// RFC 6455 §4.1-2, and the whole of the head.
#[test]
fn client_request_line_exact() {
    assert_eq!(
        written_and_judged(EXAMPLE).unwrap(),
        "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
}

// RFC 6455 §4.1-5.
#[test]
fn client_sends_upgrade() {
    assert_eq!(written(EXAMPLE).unwrap().matches("\r\nUpgrade: websocket\r\n").count(), 1);
}

// RFC 6455 §4.1-6.
#[test]
fn client_sends_connection_upgrade() {
    assert_eq!(written(EXAMPLE).unwrap().matches("\r\nConnection: Upgrade\r\n").count(), 1);
}

// RFC 6455 §4.1-9.
#[test]
fn client_sends_version_13() {
    assert_eq!(written(EXAMPLE).unwrap().matches("\r\nSec-WebSocket-Version: 13\r\n").count(), 1);
}

// RFC 6455 §4.1-1; caller strings × {CR, LF, NUL} → error.
#[test]
fn client_rejects_crlf_in_every_field() {
    for bad in ["\r", "\n", "\0", "\r\nX: y", "\r\n\r\n"] {
        let value = format!("/a{bad}b");
        let text = &*value;
        let refused = |request: ClientRequest<'_>, error| {
            assert_eq!(written(request), Err(error), "{bad:?}");
        };
        refused(ClientRequest::new("example.com", text), OpenError::InvalidTarget);
        refused(ClientRequest::new(text, "/chat"), OpenError::InvalidHost);
        refused(EXAMPLE.origin(text), OpenError::InvalidHeaderValue);
        refused(EXAMPLE.subprotocols(&[text]), OpenError::InvalidSubprotocol);
        refused(EXAMPLE.extensions(text), OpenError::InvalidExtension);
        refused(EXAMPLE.headers(&[(text, "x")]), OpenError::InvalidHeaderName);
        refused(EXAMPLE.headers(&[("X", text)]), OpenError::InvalidHeaderValue);
    }
}

// RFC 6455 §3, §4.1-3.
#[test]
fn client_request_target() {
    for target in ["/", "/a/b?c=d&e", "/%20", "//x", "/?", "/|^`{}?[]\"<>\\%zz"] {
        let request = ClientRequest::new("example.com", target);
        let text = judged(request, |upgrade| {
            let query = upgrade.query().map(|query| format!("?{query}")).unwrap_or_default();
            assert_eq!(format!("{}{query}", upgrade.path()), target);
        })
        .unwrap();
        assert!(text.starts_with(&format!("GET {target} HTTP/1.1\r\n")));
    }
    for target in ["", "chat", "?x", "*", "/a b", "/a#b", "/\u{e9}", "/\t", "/\u{7f}", "http://a/"]
    {
        let outcome = written(ClientRequest::new("example.com", target));
        assert_eq!(outcome, Err(OpenError::InvalidTarget), "{target:?}");
    }
}

// RFC 6455 §4.1-4.
#[test]
fn client_host_header_ports_ipv6() {
    for host in ["a", "example.com:8080", "127.0.0.1:1", "[::1]", "[2001:db8::1]:65535"] {
        let request = ClientRequest::new(host, "/chat");
        let text = judged(request, |upgrade| assert_eq!(upgrade.host, host)).unwrap();
        assert!(text.contains(&format!("\r\nHost: {host}\r\n")));
    }
    for host in
        ["", ":80", "a:", "a:65536", "a:x", "::1", "[::1", "[::1]:", "a b", "a/b", "u@a", "\u{e9}"]
    {
        let outcome = written(ClientRequest::new(host, "/chat"));
        assert_eq!(outcome, Err(OpenError::InvalidHost), "{host}");
    }
}

// RFC 6455 §4.1-8.
#[test]
fn client_origin_only_when_set() {
    let text = judged(EXAMPLE, |upgrade| assert_eq!(upgrade.origin, None)).unwrap();
    assert!(!text.contains("Origin"));
    let origin = "http://example.com";
    let check = |upgrade: Upgrade<'_, '_>| assert_eq!(upgrade.origin, Some(origin));
    let text = judged(EXAMPLE.origin(origin), check).unwrap();
    assert_eq!(written(EXAMPLE.origin(Some(origin))).unwrap(), text);
    assert_eq!(written(EXAMPLE.origin(None)), written(EXAMPLE));
    assert_eq!(text.matches("\r\nOrigin: http://example.com\r\n").count(), 1);
}

// RFC 6455 §4.1-10.
#[test]
fn client_subprotocol_validation() {
    let names = ["v2.x", "chat", "CHAT"];
    let check = |upgrade: Upgrade<'_, '_>| assert!(upgrade.subprotocols().eq(names));
    let text = judged(EXAMPLE.subprotocols(&names), check).unwrap();
    assert!(text.contains("\r\nSec-WebSocket-Protocol: v2.x, chat, CHAT\r\n"));
    for names in
        [&[""][..], &["a b"], &["a,b"], &["a", "b", "a"], &["a;"], &["\u{e9}"], &["\u{7f}"]]
    {
        let outcome = written(EXAMPLE.subprotocols(names));
        assert_eq!(outcome, Err(OpenError::InvalidSubprotocol), "{names:?}");
    }
}

// RFC 6455 §4.1-11, §9.1.
#[test]
fn client_extension_offer_syntax() {
    assert!(!written(EXAMPLE).unwrap().contains("Extensions"));
    let offer = "permessage-deflate; client_max_window_bits, permessage-deflate";
    let text = written_and_judged(EXAMPLE.extensions(offer)).unwrap();
    assert!(text.contains(&format!("\r\nSec-WebSocket-Extensions: {offer}\r\n")));
    for offer in ["", ",", "a;", "a b", "a;b=\"\"", "a;b=\"c d\""] {
        let outcome = written(EXAMPLE.extensions(offer));
        assert_eq!(outcome, Err(OpenError::InvalidExtension), "{offer}");
    }
}

// RFC 6455 §4.1-12.
#[test]
fn client_extra_headers_cannot_override() {
    let headers = [("Cookie", "a=b"), ("Authorization", "Basic \u{e9}"), ("X", "")];
    let text = written_and_judged(EXAMPLE.headers(&headers)).unwrap();
    assert!(text.ends_with("\r\nCookie: a=b\r\nAuthorization: Basic \u{e9}\r\nX: \r\n\r\n"));
    for (name, told) in [
        ("Host", "Host"),
        ("HOST", "Host"),
        ("upgrade", "Upgrade"),
        ("Connection", "Connection"),
        ("Origin", "Origin"),
        ("Content-Length", "Content-Length"),
        ("Transfer-Encoding", "Transfer-Encoding"),
        ("sec-websocket-key", "Sec-WebSocket-*"),
        ("Sec-WebSocket-Version", "Sec-WebSocket-*"),
        ("Sec-WebSocket-Protocol", "Sec-WebSocket-*"),
        ("SEC-WEBSOCKET-EXTENSIONS", "Sec-WebSocket-*"),
        ("Sec-WebSocket-Accept", "Sec-WebSocket-*"),
    ] {
        let error = written(EXAMPLE.headers(&[(name, "x")])).unwrap_err();
        assert_eq!(error, OpenError::ReservedHeader(told), "{name}");
        let text = format!("header {told} is written by the library itself (RFC 6455 §4)");
        assert_eq!(error.to_string(), text);
    }
}

const GOOD: [&str; 3] = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
];

/// A good response with the field of the given name replaced by these lines.
fn with(name: &str, lines: &[&str]) -> String {
    let start = format!("{name}:");
    let others = GOOD.iter().filter(|field| !field.starts_with(&start));
    let fields: String = others.chain(lines).map(|field| format!("{field}\r\n")).collect();
    format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n")
}

/// The subprotocol and the values of the fields of extensions, or the error.
type Agreed = Result<(Option<String>, Vec<String>), HandshakeError>;

fn check_offering(response: &str, subprotocols: &[&str], extensions: Option<&str>) -> Agreed {
    let mut reader = HeadReader::response(DEFAULT_MAX_HEAD);
    assert_eq!(reader.push(response.as_bytes())?, Some(response.len()));
    let mut slots = FieldSlots::<16>::new();
    let head = ResponseHead::parse(response.as_bytes(), &mut slots)?;
    let accepted = head.accept(&key(), subprotocols.iter().copied(), extensions)?;
    let extensions = values(&head, "sec-websocket-extensions");
    Ok((accepted.map(str::to_owned), extensions))
}

/// All values of a field in order.
fn values(head: &ResponseHead<'_, '_>, name: &str) -> Vec<String> {
    let fields = head.fields().filter(|(found, _)| found.eq_ignore_ascii_case(name));
    fields.map(|(_, value)| String::from_utf8(value.to_vec()).unwrap()).collect()
}

fn check(response: &str) -> Agreed {
    check_offering(response, &[], None)
}

const NOTHING: Agreed = Ok((None, Vec::new()));

// RFC 6455 §4.1-2r.
#[test]
fn client_upgrade_header_checks() {
    assert_eq!(check(&with("", &[])), NOTHING);
    assert_eq!(check(&with("Upgrade", &["uPGRADE: \tWebSocket "])), NOTHING);
    for lines in [
        &[][..],
        &["Upgrade:"],
        &["Upgrade: h2c"],
        &["Upgrade: websocket, h2c"],
        &["Upgrade: websocket/13"],
        &["Upgrade: websocket", "Upgrade: websocket"],
        &["Upgrade: websocket,"],
    ] {
        let outcome = check(&with("Upgrade", lines));
        assert_eq!(outcome, Err(HandshakeError::ResponseUpgrade), "{lines:?}");
    }
}

// RFC 6455 §4.1-3r; seen broken in tungstenite: lists and repeated lines.
#[test]
fn client_connection_header_checks() {
    for lines in [
        &["Connection: upgrade"][..],
        &["connection: keep-alive, UPGRADE"],
        &["Connection: keep-alive", "Connection: Upgrade"],
        &["Connection: ,upgrade,"],
    ] {
        assert_eq!(check(&with("Connection", lines)), NOTHING, "{lines:?}");
    }
    for lines in [&[][..], &["Connection:"], &["Connection: close"], &["Connection: upgraded"]] {
        let outcome = check(&with("Connection", lines));
        assert_eq!(outcome, Err(HandshakeError::ResponseConnection), "{lines:?}");
    }
}

// RFC 6455 §4.1-4r.
#[test]
fn client_accept_checks() {
    let spaced = "sec-websocket-accept:\t s3pPLMBiTxaQ9kYGzzhZRbK+xOo= \t";
    assert_eq!(check(&with("Sec-WebSocket-Accept", &[spaced])), NOTHING);
    let missing = check(&with("Sec-WebSocket-Accept", &[]));
    assert_eq!(missing, Err(HandshakeError::MissingAccept));
    for value in [
        "",
        "x",
        "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo",
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo==",
        "HSmrc0sMlYUkAGmm5OPpG2HaGWk=",
        "\"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\"",
        "dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        let line = format!("Sec-WebSocket-Accept: {value}");
        let outcome = check(&with("Sec-WebSocket-Accept", &[&line]));
        assert_eq!(outcome, Err(HandshakeError::WrongAccept), "{value}");
    }
}

// RFC 6455 §11.3.3.
#[test]
fn client_duplicate_accept_rejected() {
    assert_eq!(check(&with("", &[GOOD[2]])), Err(HandshakeError::RepeatedAccept));
}

// RFC 6455 §4.1-5r; seen broken in tungstenite 0.30.
#[test]
fn client_unoffered_extension_fails() {
    let line = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover";
    let response = with("", &[line]);
    let value = "permessage-deflate; server_no_context_takeover";
    let agreed = Ok((None, vec![value.to_owned()]));
    for offer in ["permessage-deflate", "x-y, permessage-deflate; a, permessage-deflate"] {
        assert_eq!(check_offering(&response, &[], Some(offer)), agreed, "{offer}");
    }
    for offer in [None, Some("x-y"), Some("Permessage-Deflate"), Some("x; permessage-deflate")] {
        let outcome = check_offering(&response, &[], offer);
        assert_eq!(outcome, Err(HandshakeError::UnofferedExtension), "{offer:?}");
    }
    for value in ["", ",", "permessage-deflate;", "permessage-deflate; x=\"\"", "a b"] {
        let response = with("", &[&format!("Sec-WebSocket-Extensions: {value}")]);
        let outcome = check_offering(&response, &[], Some("permessage-deflate"));
        assert_eq!(outcome, Err(HandshakeError::InvalidExtensions), "{value}");
    }
}

// RFC 6455 §11.3.2, erratum 3433.
#[test]
fn client_accepts_split_extension_header() {
    let lines = ["Sec-WebSocket-Extensions: a; x", "sec-websocket-extensions: b"];
    let outcome = check_offering(&with("", &lines), &[], Some("b, a"));
    assert_eq!(outcome, Ok((None, vec!["a; x".to_owned(), "b".to_owned()])));
    let outcome = check_offering(&with("", &lines), &[], Some("a"));
    assert_eq!(outcome, Err(HandshakeError::UnofferedExtension));
}

// RFC 6455 §4.1-6r.
#[test]
fn client_unoffered_subprotocol_fails() {
    let response = with("", &["Sec-WebSocket-Protocol: chat"]);
    let agreed = Ok((Some("chat".to_owned()), vec![]));
    assert_eq!(check_offering(&response, &["v2", "chat"], None), agreed);
    for offered in [&[][..], &["Chat"], &["chat2"], &["cha"]] {
        let outcome = check_offering(&response, offered, None);
        assert_eq!(outcome, Err(HandshakeError::UnofferedSubprotocol), "{offered:?}");
    }
    for value in ["", "chat, v2", "chat,", "\"chat\"", "\u{e9}"] {
        let response = with("", &[&format!("Sec-WebSocket-Protocol: {value}")]);
        let outcome = check_offering(&response, &["chat", "v2"], None);
        assert_eq!(outcome, Err(HandshakeError::UnofferedSubprotocol), "{value}");
    }
    // No choice at all is an answer.
    assert_eq!(check_offering(&with("", &[]), &["chat"], Some("a")), NOTHING);
}

// RFC 6455 §11.3.4.
#[test]
fn client_duplicate_protocol_rejected() {
    let lines = ["Sec-WebSocket-Protocol: chat", "sec-websocket-protocol: chat"];
    let outcome = check_offering(&with("", &lines), &["chat"], None);
    assert_eq!(outcome, Err(HandshakeError::RepeatedResponseSubprotocol));
}

// RFC 9112 §4, §5; RFC 9110 §15.2.
#[test]
fn client_malformed_response_fails() {
    let rest = with("", &[]).split_once("\r\n").unwrap().1.to_owned();
    for line in ["HTTP/1.1 101", "HTTP/1.1 101 ", "HTTP/1.9 101 \u{e9}\tWeb Socket"] {
        assert_eq!(check(&format!("{line}\r\n{rest}")), NOTHING, "{line}");
    }
    for line in [
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1  101 x",
        "HTTP/1.1 1010 x",
        "HTTP/1.1 10 x",
        "HTTP/1.1 1x1 x",
        "HTTP/1.1 +01 x",
        "HTTP/1.1 099 x",
        "http/1.1 101 x",
        "HTTP/1.10 101 x",
        "HTTP/11 101 x",
        " HTTP/1.1 101 x",
        "HTTP/1.1 101x",
        "HTTP/1.1\t101 x",
        "HTTP/1.1 101 \u{1}",
        "HTTP/1.1 101 \u{7f}",
        "101 Switching Protocols",
        "ICY 200 OK",
    ] {
        let outcome = check(&format!("{line}\r\n{rest}"));
        assert_eq!(outcome, Err(HandshakeError::MalformedStatusLine), "{line:?}");
    }
    for version in ["1.0", "2.0", "0.9"] {
        let outcome = check(&format!("HTTP/{version} 101 x\r\n{rest}"));
        assert_eq!(outcome, Err(HandshakeError::UnsupportedResponseVersion), "{version}");
    }
    for (field, error) in [
        ("X : y", HandshakeError::InvalidFieldName),
        (" X: y", HandshakeError::InvalidFieldName),
        ("X: a\r\n b", HandshakeError::InvalidFieldName),
        ("X: \u{1}", HandshakeError::InvalidFieldValue),
        ("X: a\nY: b", HandshakeError::BareLf),
        ("X: a\rY: b", HandshakeError::BareCr),
        ("X: \0", HandshakeError::Nul),
    ] {
        assert_eq!(check(&with("", &[field])), Err(error), "{field:?}");
    }
    let many: String = "X: y\r\n".repeat(14);
    let outcome = check(&with("", &[many.trim_end()]));
    assert_eq!(outcome, Err(HandshakeError::TooManyFields));
}

// RFC 9112 §2.3
#[test]
fn heads_know_their_minor_version() {
    for minor in 0..=9 {
        let text = format!("HTTP/1.{minor} 200 OK\r\n\r\n");
        let mut slots = FieldSlots::<1>::new();
        let head = ResponseHead::parse(text.as_bytes(), &mut slots).unwrap();
        let expected =
            format!("ResponseHead {{ minor_version: {minor}, status: 200, fields: [] }}");
        assert_eq!(format!("{head:?}"), expected);
        let text = format!("GET / HTTP/1.{minor}\r\n\r\n");
        let mut slots = FieldSlots::<1>::new();
        let head = RequestHead::parse(text.as_bytes(), &mut slots).unwrap();
        assert_eq!(head.minor_version(), minor);
    }
    // An upgrade needs 1.1 at least (RFC 9110 §7.8).
    for (minor, expected) in
        [(0, Err(HandshakeError::UnsupportedResponseVersion)), (1, NOTHING), (2, NOTHING)]
    {
        let text = with("", &[]).replace("HTTP/1.1", &format!("HTTP/1.{minor}"));
        assert_eq!(check(&text), expected);
    }
}

// RFC 9112 §6.3: a 1xx ends at its empty line.
#[test]
fn client_ignores_the_framing_of_a_101() {
    for fields in [
        &["Content-Length: 0"][..],
        &["Content-Length: 17"],
        &["Content-Length: x"],
        &["Content-Length: 1", "Content-Length: 2"],
        &["Transfer-Encoding: chunked"],
        &["Transfer-Encoding: gzip", "Content-Length: 5", "Trailer: x"],
    ] {
        assert_eq!(check(&with("", fields)), NOTHING, "{fields:?}");
    }
}

// RFC 6455 §4.1-1r: other statuses are HTTP's, with everything for the caller to see.
#[test]
fn client_non_101_statuses() {
    for (line, status, interim) in [
        ("HTTP/1.1 100 Continue", 100, true),
        ("HTTP/1.1 103 Early Hints", 103, true),
        ("HTTP/1.1 200 OK", 200, false),
        ("HTTP/1.0 302 Found", 302, false),
        ("HTTP/1.1 401", 401, false),
        ("HTTP/1.1 999 x y", 999, false),
    ] {
        let text = format!("{line}\r\nLocation: /x\r\n\r\n");
        let mut slots = FieldSlots::<4>::new();
        let head = ResponseHead::parse(text.as_bytes(), &mut slots).unwrap();
        assert_eq!((head.status(), head.is_interim()), (status, interim));
        assert_eq!(head.field("location"), Some(&b"/x"[..]));
        assert_eq!(head.fields().collect::<Vec<_>>(), [("Location", &b"/x"[..])]);
        let outcome = head.accept(&key(), [], None).map(|_| ());
        assert_eq!(outcome, Err(HandshakeError::NotSwitchingProtocols));
    }
    // All the fields of an upgrade do not make one.
    let text = with("", &[]).replace("101 Switching Protocols", "200 OK");
    assert_eq!(check(&text), Err(HandshakeError::NotSwitchingProtocols));
}

// RFC 6455 §4.1: what was agreed upon, cookies included.
#[test]
fn client_open_state_exposes_negotiation() {
    let lines = [
        "Sec-WebSocket-Protocol: chat",
        "Set-Cookie: a=b",
        "Set-Cookie: c=d",
        "Sec-WebSocket-Extensions: x; y=\"1\"",
    ];
    let text = with("", &lines);
    let mut slots = FieldSlots::<16>::new();
    let head = ResponseHead::parse(text.as_bytes(), &mut slots).unwrap();
    let accepted = head.accept(&key(), ["chat"], Some("x; y")).unwrap();
    assert_eq!(accepted, Some("chat"));
    assert_eq!(head.field("sec-websocket-extensions"), Some(&b"x; y=\"1\""[..]));
    assert_eq!(values(&head, "set-cookie"), ["a=b", "c=d"]);
}

// RFC 6455 §4.2.2, §5.1.
#[test]
fn client_pipelined_frames_after_101() {
    let head = with("", &[]);
    let mut bytes = head.clone().into_bytes();
    bytes.extend_from_slice(b"\x81\x02\r\n\r\n");
    for split in 0..bytes.len() {
        let mut reader = HeadReader::response(DEFAULT_MAX_HEAD);
        let (left, right) = bytes.split_at(split);
        let end = match reader.push(left).unwrap() {
            Some(end) => end,
            None => reader.push(right).unwrap().unwrap(),
        };
        assert_eq!(end, head.len(), "split at {split}");
    }
}

// RFC 6455 §4.4.
#[test]
fn client_exposes_server_versions() {
    let text = "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13, 8\r\n\
        sec-websocket-version: 7,,x,013,256\r\nContent-Length: 0\r\n\r\n";
    let mut slots = FieldSlots::<4>::new();
    let head = ResponseHead::parse(text.as_bytes(), &mut slots).unwrap();
    assert_eq!(head.field("sec-websocket-version"), Some(&b"13, 8"[..]));
    assert_eq!(values(&head, "sec-websocket-version"), ["13, 8", "7,,x,013,256"]);
}
