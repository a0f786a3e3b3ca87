//! Reading a client's request (RFC 6455 §4.2.1, RFC 9112).
#![cfg(feature = "handshake")]

use ws_core::handshake::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The fields of a good request, one per line.
const GOOD: [&str; 5] = [
    "Host: example.com",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

/// What a request comes to: `Ok(true)` is an upgrade, `Ok(false)` plain HTTP.
fn judge_bytes(bytes: &[u8]) -> Result<bool, HandshakeError> {
    let mut reader = HeadReader::request(DEFAULT_MAX_HEAD);
    assert_eq!(reader.push(bytes), Ok(Some(bytes.len())), "{:?}", bytes.escape_ascii().to_string());
    let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
    let request = RequestHead::parse(bytes, &mut slots)?;
    Ok(request.upgrade()?.is_some())
}

fn compose<S: AsRef<str>>(line: &str, fields: &[S]) -> String {
    let fields: String = fields.iter().map(|field| field.as_ref().to_owned() + "\r\n").collect();
    format!("{line}\r\n{fields}\r\n")
}

fn judge<S: AsRef<str>>(line: &str, fields: &[S]) -> Result<bool, HandshakeError> {
    judge_bytes(compose(line, fields).as_bytes())
}

/// A good request with the field of the given name replaced by these lines.
fn with(name: &str, lines: &[&str]) -> Vec<String> {
    let start = format!("{name}:");
    let others = GOOD.iter().filter(|field| !field.starts_with(&start));
    others.chain(lines).map(|field| field.to_string()).collect()
}

fn judge_with(name: &str, lines: &[&str]) -> Result<bool, HandshakeError> {
    judge("GET / HTTP/1.1", &with(name, lines))
}

fn judge_plus(lines: &[&str]) -> Result<bool, HandshakeError> {
    judge_with("", lines)
}

/// Runs a check on the upgrade of a good request with further lines.
fn upgrade_plus(lines: &[&str], check: impl FnOnce(Upgrade<'_, '_>)) {
    let text = compose("GET /chat?x=1 HTTP/1.1", &with("", lines));
    let mut slots = FieldSlots::<32>::new();
    let request = RequestHead::parse(text.as_bytes(), &mut slots).unwrap();
    check(request.upgrade().unwrap().unwrap());
}

// RFC 6455 §4.2.1.
#[test]
fn server_rejects_each_missing_header() {
    assert_eq!(judge_plus(&[]), Ok(true));
    for (name, error) in [
        ("Host", HandshakeError::MissingHost),
        ("Upgrade", HandshakeError::MissingUpgrade),
        ("Connection", HandshakeError::MissingConnectionUpgrade),
        ("Sec-WebSocket-Key", HandshakeError::MissingKey),
        ("Sec-WebSocket-Version", HandshakeError::MissingVersion),
    ] {
        assert_eq!(judge_with(name, &[]), Err(error));
        assert_eq!(error.status(), Some(400));
    }
}

// Seen broken in tokio-tungstenite #134: a plain request is an ordinary outcome.
#[test]
fn plain_http_is_an_ordinary_outcome() {
    for line in ["GET / HTTP/1.1", "HEAD /x HTTP/1.1", "OPTIONS * HTTP/1.1", "POST / HTTP/1.9"] {
        assert_eq!(judge(line, &["Host: a"]), Ok(false), "{line}");
    }
    assert_eq!(
        judge("GET / HTTP/1.1", &["Host: a", "Upgrade: h2c", "Connection: upgrade"]),
        Ok(false)
    );
    assert_eq!(judge("POST / HTTP/1.1", &["Host: a", "Content-Length: 3"]), Ok(false));
    let text =
        compose("POST /x HTTP/1.1", &["Host: a:1", "Transfer-Encoding: chunked", "A: \t b \t"]);
    let mut slots = FieldSlots::<3>::new();
    let request = RequestHead::parse(text.as_bytes(), &mut slots).unwrap();
    assert_eq!((request.method(), request.target()), ("POST", "/x"));
    assert_eq!((request.field("host"), request.field("origin")), (Some(&b"a:1"[..]), None));
    assert_eq!(request.field("a"), Some(&b"b"[..]));
    assert_eq!(request.fields().count(), 3);
}

// RFC 6455 §4.2.1-1, RFC 9112 §3.
#[test]
fn server_request_line_checks() {
    for line in [
        "GET / HTTP/1.2",
        "GET /a/b?c=d&e=%20 HTTP/1.1",
        "GET http://example.com HTTP/1.1",
        "GET http://example.com/x HTTP/1.1",
        "GET HTTPS://[::1]:443/x?y HTTP/1.1",
        "GET ws://example.com/x HTTP/1.1",
        "GET wss://example.com:1/ HTTP/1.1",
    ] {
        assert_eq!(judge(line, &GOOD), Ok(true), "{line}");
    }
    for line in [
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / x HTTP/1.1",
        "GET /",
        "GET",
        "GET / http/1.1",
        "GET / HTTP/11",
        "GET / HTTP/1.10",
        "GET / HTTP/1.",
        "GET / HTTP/x.1",
        "GET HTTP/1.1",
        "GET  HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /\u{e9}HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "/ HTTP/1.1",
        "GET / HTTP/1.1\u{b}",
        "x",
    ] {
        assert_eq!(judge(line, &GOOD), Err(HandshakeError::MalformedRequestLine), "{line}");
    }
    for target in [
        "*",
        "example.com:80",
        "x",
        "/a#b",
        "#",
        "http://example.com/#",
        "ftp://example.com/",
        "http:///x",
        "http://",
        "http://u@example.com/",
        "http://a b/",
        "://a/",
    ] {
        let expected = if target.contains(' ') {
            HandshakeError::MalformedRequestLine
        } else {
            HandshakeError::InvalidTarget
        };
        assert_eq!(judge(&format!("GET {target} HTTP/1.1"), &GOOD), Err(expected), "{target}");
        assert_eq!(expected.status(), Some(400));
    }
    for method in ["get", "POST", "HEAD", "CONNECT", "GETX"] {
        let outcome = judge(&format!("{method} / HTTP/1.1"), &GOOD);
        assert_eq!(outcome, Err(HandshakeError::MethodNotAllowed), "{method}");
    }
    assert_eq!(HandshakeError::MethodNotAllowed.status(), Some(405));
}

// RFC 3986 §3.3, §3.4 allows fewer characters. Browsers send some of the others.
#[test]
fn server_takes_any_visible_ascii_in_a_target() {
    let target: String = (b'!'..=b'~').filter(|byte| *byte != b'#').map(char::from).collect();
    for target in [format!("/{target}"), format!("/?{target}"), "/%zz%".to_owned()] {
        assert_eq!(judge(&format!("GET {target} HTTP/1.1"), &GOOD), Ok(true), "{target}");
    }
}

// RFC 9112 §3.2.2: a host in the target outranks the field. RFC 6455 §3: resource name.
#[test]
fn resource_name_and_host_of_absolute_targets() {
    for (target, host, path, query) in [
        ("/", "example.com", "/", None),
        ("/a?b", "example.com", "/a", Some("b")),
        ("/?", "example.com", "/", Some("")),
        ("http://other.org", "other.org", "/", None),
        ("http://other.org:81/a?b=/", "other.org:81", "/a", Some("b=/")),
        ("ws://other.org?x=1", "other.org", "/", Some("x=1")),
        ("http://other.org:81?", "other.org:81", "/", Some("")),
        ("http://other.org?a?b/", "other.org", "/", Some("a?b/")),
    ] {
        let text = compose(&format!("GET {target} HTTP/1.1"), &GOOD);
        let mut slots = FieldSlots::<5>::new();
        let request = RequestHead::parse(text.as_bytes(), &mut slots).unwrap();
        let upgrade = request.upgrade().unwrap().unwrap();
        assert_eq!((upgrade.host, upgrade.path(), upgrade.query()), (host, path, query));
    }
}

// RFC 9110 §15.6.6; §7.8: upgrades of HTTP/1.0 are ignored. httparse and HTTP/1.2.
#[test]
fn server_http_version_505() {
    for version in ["2.0", "0.9", "3.0", "9.9"] {
        let outcome = judge(&format!("GET / HTTP/{version}"), &GOOD);
        assert_eq!(outcome, Err(HandshakeError::UnsupportedHttpVersion), "{version}");
    }
    assert_eq!(judge::<&str>("PRI * HTTP/2.0", &[]), Err(HandshakeError::UnsupportedHttpVersion));
    assert_eq!(HandshakeError::UnsupportedHttpVersion.status(), Some(505));
    // Syntax comes first.
    assert_eq!(judge("GET / HTTP/2.0", &["a b"]), Err(HandshakeError::InvalidFieldName));
    assert_eq!(judge("GET / HTTP/1.0", &GOOD), Ok(false));
    assert_eq!(judge("POST / HTTP/1.0", &["Sec-WebSocket-Key: x"]), Ok(false));
    assert_eq!(judge::<&str>("GET / HTTP/1.0", &[]), Ok(false));
}

// RFC 9112 §3.2.
#[test]
fn server_host_exactly_one() {
    assert_eq!(judge_with("Host", &["host: [::1]:8080"]), Ok(true));
    assert_eq!(judge_with("Host", &["Host: a", "host: a"]), Err(HandshakeError::RepeatedHost));
    let values =
        ["", ":80", "a b", "a, b", "a/b", "a:b", "u@a", "a:99999", "[::1", "[v1.x]", "\u{e9}"];
    // RFC 4291 §2.2: eight groups, of which an IPv4 address has two
    let long = ["[1:2:3:4:5:6:7:8:9]", "[1:2:3:4:5:6:7:1.2.3.4]", "[1:2:3:4:5:6:7:8:1.2.3.4]"];
    for value in values.into_iter().chain(long) {
        let outcome = judge_with("Host", &[&format!("Host: {value}")]);
        assert_eq!(outcome, Err(HandshakeError::InvalidHost), "{value}");
    }
    // The same holds for plain requests; HTTP/1.0 needs none, but not two.
    assert_eq!(judge("GET / HTTP/1.1", &["A: b"]), Err(HandshakeError::MissingHost));
    assert_eq!(judge("GET / HTTP/1.1", &["Host: a b"]), Err(HandshakeError::InvalidHost));
    assert_eq!(judge("GET / HTTP/1.0", &["Host: a", "Host: b"]), Err(HandshakeError::RepeatedHost));
    for error in [HandshakeError::RepeatedHost, HandshakeError::InvalidHost] {
        assert_eq!(error.status(), Some(400));
    }
}

// RFC 6455 §4.2.1-3.
#[test]
fn server_upgrade_header_checks() {
    for lines in [
        &["Upgrade: WebSocket"][..],
        &["upgrade: h2c, WEBSOCKET"],
        &["Upgrade: h2c", "Upgrade: websocket"],
        &["Upgrade: ,websocket ,"],
    ] {
        assert_eq!(judge_with("Upgrade", lines), Ok(true), "{lines:?}");
    }
    for value in ["", "websockets", "websocket/13", "web socket", "\"websocket\"", "h2c"] {
        let outcome = judge_with("Upgrade", &[&format!("Upgrade: {value}")]);
        assert_eq!(outcome, Err(HandshakeError::MissingUpgrade), "{value}");
    }
    // Either WebSocket field says that an upgrade was meant.
    for name in ["Sec-WebSocket-Key", "Sec-WebSocket-Version"] {
        let fields = with("Upgrade", &[]);
        let fields: Vec<_> = fields.iter().filter(|field| !field.starts_with(name)).collect();
        assert_eq!(judge("GET / HTTP/1.1", &fields), Err(HandshakeError::MissingUpgrade));
    }
}

// RFC 6455 §4.2.1-4; seen broken in tungstenite: lists and repeated lines.
#[test]
fn server_connection_header_checks() {
    for lines in [
        &["Connection: upgrade"][..],
        &["Connection: keep-alive, Upgrade"],
        &["Connection: keep-alive", "CONNECTION: UPGRADE"],
        &["Connection: ,, upgrade\t,"],
    ] {
        assert_eq!(judge_with("Connection", lines), Ok(true), "{lines:?}");
    }
    for value in ["", "close", "upgraded", "keep-alive upgrade", "up, grade", "\"upgrade\""] {
        let outcome = judge_with("Connection", &[&format!("Connection: {value}")]);
        assert_eq!(outcome, Err(HandshakeError::MissingConnectionUpgrade), "{value}");
    }
}

// RFC 6455 §4.2.1-5, erratum 3150.
#[test]
fn server_key_checks() {
    for key in [KEY, "AQIDBAUGBwgJCgsMDQ4PEC==", "++++++++++++++++//////=="] {
        let line = format!("Sec-WebSocket-Key: \t{key} ");
        assert_eq!(judge_with("Sec-WebSocket-Key", &[&line]), Ok(true), "{key}");
    }
    for key in [
        "",
        "==",
        "x",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQaa",
        "dGhlIHNhbXBsZSBub25jZQA=",
        "dGhlIHNhbXBsZSBub25j Q==",
        "dGhlIHNhbXBsZSBub25jZ-==",
        "dGhlIHNhbXBsZSBub25jZQ==,",
        "dGhlIHNhbXBsZSBub25jZQ==dGhl",
        "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
        "d=hlIHNhbXBsZSBub25jZQ==",
        "d=hl=HNhbXBsZSBub25jZQ==",
        "\u{e9}GhlIHNhbXBsZSBub25jZQ",
    ] {
        let line = format!("Sec-WebSocket-Key: {key}");
        let outcome = judge_with("Sec-WebSocket-Key", &[&line]);
        assert_eq!(outcome, Err(HandshakeError::InvalidKey), "{key}");
    }
    assert_eq!(HandshakeError::InvalidKey.status(), Some(400));
}

// RFC 6455 §11.3.1.
#[test]
fn server_duplicate_key_rejected() {
    let line = format!("sec-websocket-key: {KEY}");
    assert_eq!(judge_plus(&[&line]), Err(HandshakeError::RepeatedKey));
    assert_eq!(HandshakeError::RepeatedKey.status(), Some(400));
}

// RFC 6455 §4.2.1-6, §4.3, §4.4; seen broken in ws: exact grammar.
#[test]
fn server_version_checks() {
    for value in ["0", "8", "12", "14", "255"] {
        let outcome =
            judge_with("Sec-WebSocket-Version", &[&format!("Sec-WebSocket-Version: {value}")]);
        assert_eq!(outcome, Err(HandshakeError::UnsupportedVersion), "{value}");
    }
    for value in [
        "", "013", "0xd", "+13", "-13", "13.0", "1 3", "13, 8", "13,", "256", "1000", "00", "a",
        "\u{663}",
    ] {
        let outcome =
            judge_with("Sec-WebSocket-Version", &[&format!("Sec-WebSocket-Version: {value}")]);
        assert_eq!(outcome, Err(HandshakeError::MalformedVersion), "{value}");
    }
    assert_eq!(HandshakeError::UnsupportedVersion.status(), Some(426));
    assert_eq!(HandshakeError::MalformedVersion.status(), Some(400));
}

// RFC 6455 §11.3.5.
#[test]
fn server_duplicate_version_rejected() {
    for value in ["13", "8"] {
        let outcome = judge_plus(&[&format!("sec-websocket-version: {value}")]);
        assert_eq!(outcome, Err(HandshakeError::RepeatedVersion));
    }
    assert_eq!(HandshakeError::RepeatedVersion.status(), Some(400));
}

// RFC 6455 §4.2.1-7, §10.2. What does not follow RFC 6454 §7 is taken, and is no origin that a server admits.
#[test]
fn server_origin_absent_is_none() {
    upgrade_plus(&[], |upgrade| assert_eq!(upgrade.origin, None));
    upgrade_plus(&["ORIGIN: null"], |upgrade| assert_eq!(upgrade.origin, Some("null")));
    upgrade_plus(&["Origin:"], |upgrade| assert_eq!(upgrade.origin, Some("")));
    upgrade_plus(&["Origin: no origin"], |upgrade| assert_eq!(upgrade.origin, Some("no origin")));
    let twice = ["Origin: http://a", "Origin: http://a"];
    assert_eq!(judge_plus(&twice), Err(HandshakeError::RepeatedOrigin));
    assert_eq!(judge_plus(&["Origin: http://\u{e9}"]), Err(HandshakeError::InvalidOrigin));
    assert_eq!(judge_plus(&["Origin: http://a\tb"]), Err(HandshakeError::InvalidOrigin));
}

// RFC 6455 §4.2.1-8 and -9, §11.3.2, §11.3.4.
#[test]
fn server_parses_lists_over_lines() {
    let lines = [
        "Sec-WebSocket-Protocol: chat, superchat",
        "Sec-WebSocket-Extensions: a; x=1, b",
        "X-Other: y",
        "sec-websocket-protocol:v2.x,,\tv1",
        "SEC-WEBSOCKET-EXTENSIONS: c;\"",
    ];
    upgrade_plus(&lines[..4], |upgrade| {
        let offers: Vec<_> = upgrade.subprotocols().collect();
        assert_eq!(offers, ["chat", "superchat", "v2.x", "v1"]);
        assert_eq!(select_subprotocol(upgrade.subprotocols(), &["v1", "chat"]), Some("v1"));
        assert_eq!(select_subprotocol(upgrade.subprotocols(), &["Chat"]), None);
        assert_eq!(select_subprotocol(upgrade.subprotocols(), &[] as &[&str]), None);
        assert_eq!((upgrade.key, upgrade.path(), upgrade.query()), (KEY, "/chat", Some("x=1")));
    });
    assert_eq!(judge_plus(&lines), Err(HandshakeError::InvalidExtensions));
    upgrade_plus(&[], |upgrade| assert_eq!(upgrade.subprotocols().count(), 0));
}

// RFC 9110 §5.6.1: empty elements are skipped. An empty list offers nothing, as libsoup sends it.
#[test]
fn server_takes_an_empty_subprotocol_list_for_none() {
    for lines in [
        &["Sec-WebSocket-Protocol:"][..],
        &["Sec-WebSocket-Protocol: \t"],
        &["Sec-WebSocket-Protocol: , ,,"],
        &["Sec-WebSocket-Protocol:", "Sec-WebSocket-Protocol: ,"],
    ] {
        upgrade_plus(lines, |upgrade| assert_eq!(upgrade.subprotocols().count(), 0));
    }
    let lines = ["Sec-WebSocket-Protocol: ,a,, b ,", "sec-websocket-protocol:"];
    upgrade_plus(&lines, |upgrade| {
        assert_eq!(upgrade.subprotocols().collect::<Vec<_>>(), ["a", "b"]);
    });
}

// RFC 6455 §9.1: only whole elements can be empty.
#[test]
fn server_skips_empty_extensions_but_no_trailing_semicolon() {
    for value in ["a", ",a", "a,,b;c ,", "a; b=1,\t,"] {
        assert_eq!(
            judge_plus(&[&format!("Sec-WebSocket-Extensions: {value}")]),
            Ok(true),
            "{value}"
        );
    }
    for value in ["a;", "a; , b", "a;;b", ";", "", ","] {
        let outcome = judge_plus(&[&format!("Sec-WebSocket-Extensions: {value}")]);
        assert_eq!(outcome, Err(HandshakeError::InvalidExtensions), "{value}");
    }
}

// The length of a name alone does not tell which one it is.
#[test]
fn server_fields_of_the_same_length_are_no_part_of_the_handshake() {
    for line in [
        "Fork: a b",
        "X-Orig: \u{e9}",
        "Expires: websocket",
        "Keep-Alive: Upgrade",
        "Content-Digest: x",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Proto: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Versiom: 13",
        "Sec-WebSocket-Version2: (",
        "Sec-WebSocket-Protocol-2: (",
    ] {
        assert_eq!(judge_plus(&[line]), Ok(true), "{line}");
        for (own, error) in [
            ("Host", HandshakeError::MissingHost),
            ("Upgrade", HandshakeError::MissingUpgrade),
            ("Connection", HandshakeError::MissingConnectionUpgrade),
            ("Sec-WebSocket-Key", HandshakeError::MissingKey),
            ("Sec-WebSocket-Version", HandshakeError::MissingVersion),
        ] {
            assert_eq!(judge_with(own, &[line]), Err(error), "{line} for {own}");
        }
    }
}

// RFC 9110 §7.8, RFC 9112 §2.3: what nginx sends without `proxy_http_version 1.1`.
#[test]
fn server_tells_an_upgrade_by_http10_from_other_plain_requests() {
    for (line, fields, expected) in [
        ("GET / HTTP/1.0", &GOOD[..], (0, true)),
        ("GET / HTTP/1.0", &["Host: a", "Upgrade: h2c", "upgrade: x, WebSocket"], (0, true)),
        ("GET / HTTP/1.0", &["Host: a", "Upgrade: h2c"], (0, false)),
        ("GET / HTTP/1.0", &["Host: a"], (0, false)),
        ("GET / HTTP/1.1", &GOOD, (1, false)),
    ] {
        let text = compose(line, fields);
        let mut slots = FieldSlots::<5>::new();
        let request = RequestHead::parse(text.as_bytes(), &mut slots).unwrap();
        assert_eq!((request.minor_version(), request.is_http10_upgrade()), expected, "{text}");
        assert_eq!(request.upgrade().unwrap().is_some(), line.ends_with("1.1"));
    }
}

// RFC 6455 §4.1, §4.3.
#[test]
fn server_subprotocol_offer_checks() {
    for value in ["a b", "a;b", "a/b", "\"a\"", "\u{e9}", "a, (b)", "a;", ";"] {
        let outcome = judge_plus(&[&format!("Sec-WebSocket-Protocol: {value}")]);
        assert_eq!(outcome, Err(HandshakeError::InvalidSubprotocol), "{value}");
    }
    let repeated = ["Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Protocol: a"];
    assert_eq!(judge_plus(&repeated), Err(HandshakeError::RepeatedSubprotocol));
    assert_eq!(judge_plus(&["Sec-WebSocket-Protocol: a, A"]), Ok(true));
    // The check for repetition compares each with each, and is bounded.
    let many = |count: usize| {
        let names: Vec<_> = (0..count).map(|index| index.to_string()).collect();
        judge_plus(&[&format!("Sec-WebSocket-Protocol: {}", names.join(","))])
    };
    assert_eq!(many(MAX_SUBPROTOCOLS), Ok(true));
    assert_eq!(many(MAX_SUBPROTOCOLS + 1), Err(HandshakeError::TooManySubprotocols));
    assert_eq!(HandshakeError::TooManySubprotocols.status(), Some(431));
}

// RFC 6455 §9.1.
#[test]
fn ext_header_bad_abnf_fails() {
    for value in ["", ",", "a;", "a b", "a;b=", "a;b=\"\"", "a;b=\"c d\"", "=", "a;b=\"c", "\u{e9}"]
    {
        let outcome = judge_plus(&[&format!("Sec-WebSocket-Extensions: {value}")]);
        assert_eq!(outcome, Err(HandshakeError::InvalidExtensions), "{value}");
    }
    let good =
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; x=\"1\\5\", y";
    assert_eq!(judge_plus(&[good]), Ok(true));
    assert_eq!(HandshakeError::InvalidExtensions.status(), Some(400));
}

// RFC 6455 §4.2.1-10.
#[test]
fn server_ignores_unknown_headers_any_order() {
    let mut fields: Vec<String> =
        with("", &["X-Unknown: \u{e9}", "Cookie: a=b; c=d", "Sec-WebSocket-X: y"]);
    for _ in 0..fields.len() {
        fields.rotate_left(1);
        assert_eq!(judge("GET / HTTP/1.1", &fields), Ok(true));
    }
    fields.reverse();
    assert_eq!(judge("GET / HTTP/1.1", &fields), Ok(true));
}

// RFC 9112 §2.2.
#[test]
fn http_ws_before_first_header() {
    for field in [" Host: a", "\tHost: a", " ", "\t"] {
        let fields = with("Host", &[]).into_iter();
        let fields: Vec<_> = [field.to_owned()].into_iter().chain(fields).collect();
        let outcome = judge("GET / HTTP/1.1", &fields);
        assert_eq!(outcome, Err(HandshakeError::InvalidFieldName), "{field:?}");
    }
}

// RFC 9112 §5.1.
#[test]
fn http_space_before_colon_400() {
    for field in ["X : y", "X\t: y", "Content-Length : 0"] {
        assert_eq!(judge_plus(&[field]), Err(HandshakeError::InvalidFieldName), "{field}");
    }
    assert_eq!(HandshakeError::InvalidFieldName.status(), Some(400));
}

// RFC 9112 §5.2.
#[test]
fn http_obs_fold_400() {
    for field in ["X: a\r\n b", "X: a\r\n\tb", "X:\r\n b", "X: a\r\n "] {
        assert_eq!(judge_plus(&[field]), Err(HandshakeError::InvalidFieldName), "{field:?}");
    }
}

// RFC 9110 §5.1, §5.6.2.
#[test]
fn http_field_name_token() {
    assert_eq!(judge_plus(&["!#$%&'*+-.^_`|~09azAZ: x"]), Ok(true));
    for field in [": x", "X", "X;y: z", "X(y): z", "\u{e9}: x", "X\u{1}: y", "\"X\": y", "X/Y: z"] {
        assert_eq!(judge_plus(&[field]), Err(HandshakeError::InvalidFieldName), "{field:?}");
    }
}

// RFC 9110 §5.5.
#[test]
fn http_bad_value_bytes() {
    for byte in 0..=255_u8 {
        if matches!(byte, b'\r' | b'\n' | 0) {
            continue; // The reader refuses them before the parser sees them.
        }
        let mut bytes = compose("GET / HTTP/1.1", &with("", &["X: a?b"])).into_bytes();
        let at = bytes.iter().position(|&byte| byte == b'?').unwrap();
        bytes[at] = byte;
        let expected = if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
            Ok(true)
        } else {
            Err(HandshakeError::InvalidFieldValue)
        };
        assert_eq!(judge_bytes(&bytes), expected, "{byte:#04x}");
    }
    assert_eq!(HandshakeError::InvalidFieldValue.status(), Some(400));
}

// Seen broken in httparse: the parser is strict without the reader, too.
#[test]
fn parser_is_strict_on_its_own() {
    let good = compose("GET / HTTP/1.1", &GOOD);
    let parse = |text: &str| {
        let mut slots = FieldSlots::<8>::new();
        RequestHead::parse(text.as_bytes(), &mut slots).map(|head| head.fields().count())
    };
    assert_eq!(parse(&good), Ok(5));
    for end in 0..good.len() {
        assert!(parse(&good[..end]).is_err(), "{end}");
    }
    assert_eq!(parse(&format!("{good}x")), Err(HandshakeError::IncompleteHead));
    assert_eq!(parse(&good.replace("\r\n", "\n")), Err(HandshakeError::BareLf));
    assert_eq!(
        parse(&good.replacen("websocket\r\n", "websocket\n", 1)),
        Err(HandshakeError::BareLf)
    );
    // However many there are.
    assert_eq!(parse(&good.replacen("\r\n", "\n", 2)), Err(HandshakeError::BareLf));
    assert_eq!(
        parse(&format!("\n{}", good.replacen("\r\n", "\n", 1))),
        Err(HandshakeError::BareLf)
    );
    assert_eq!(parse(&good.replacen("\r\n", "\r", 1)), Err(HandshakeError::BareCr));
    assert_eq!(
        parse(&good.replacen("websocket\r\n", "websocket\r", 1)),
        Err(HandshakeError::InvalidFieldValue)
    );
    assert_eq!(
        parse(&good.replacen("websocket", "web\0socket", 1)),
        Err(HandshakeError::InvalidFieldValue)
    );
}

// RFC 6585 §5.
#[test]
fn too_many_fields_431() {
    let text = compose("GET / HTTP/1.1", &GOOD);
    fn check<const ROOM: usize>(text: &str) {
        let mut slots = FieldSlots::<ROOM>::new();
        let outcome = RequestHead::parse(text.as_bytes(), &mut slots).map(|_| ());
        let expected = if ROOM < 5 { Err(HandshakeError::TooManyFields) } else { Ok(()) };
        assert_eq!(outcome, expected, "{ROOM}");
        // As of a head that another HTTP server has parsed.
        let fields = text.lines().skip(1).filter_map(|line| line.split_once(": "));
        let fields = fields.map(|(name, value)| (name, value.as_bytes()));
        let mut slots = FieldSlots::<ROOM>::new();
        let outcome = RequestHead::from_parts("GET", "/", 1, fields, &mut slots).map(|_| ());
        assert_eq!(outcome, expected, "{ROOM}");
    }
    check::<0>(&text);
    check::<1>(&text);
    check::<4>(&text);
    check::<5>(&text);
    check::<6>(&text);
    check::<100>(&text);
    assert_eq!(HandshakeError::TooManyFields.status(), Some(431));
}

// RFC 9112 §6.1, §6.3; request smuggling around the upgrade.
#[test]
fn server_request_body_refused() {
    assert_eq!(judge_plus(&["Content-Length: 0"]), Ok(true));
    for (lines, error) in [
        (&["Content-Length: 1"][..], HandshakeError::RequestBody),
        (&["Content-Length: 18446744073709551615"], HandshakeError::RequestBody),
        (&["Transfer-Encoding: chunked"], HandshakeError::RequestBody),
        (&["Transfer-Encoding: identity"], HandshakeError::RequestBody),
        (&["Transfer-Encoding:"], HandshakeError::RequestBody),
        (&["Content-Length: 18446744073709551616"], HandshakeError::InvalidContentLength),
        (&["Content-Length: 99999999999999999999"], HandshakeError::InvalidContentLength),
        (&["Content-Length:"], HandshakeError::InvalidContentLength),
        (&["Content-Length: +0"], HandshakeError::InvalidContentLength),
        (&["Content-Length: -1"], HandshakeError::InvalidContentLength),
        (&["Content-Length: 0x0"], HandshakeError::InvalidContentLength),
        (&["Content-Length: 0, 0"], HandshakeError::InvalidContentLength),
        (&["Content-Length: 0 0"], HandshakeError::InvalidContentLength),
        (&["Content-Length: 0", "Content-Length: 0"], HandshakeError::RepeatedContentLength),
        (&["Content-Length: 0", "content-length: 5"], HandshakeError::RepeatedContentLength),
        (
            &["Content-Length: 0", "Transfer-Encoding: chunked"],
            HandshakeError::ContentLengthAndTransferEncoding,
        ),
    ] {
        assert_eq!(judge_plus(lines), Err(error), "{lines:?}");
        assert_eq!(error.status(), Some(400));
        if error != HandshakeError::RequestBody {
            // These are faults of any request.
            let fields: Vec<_> = ["Host: a"].iter().chain(lines).collect();
            assert_eq!(judge("POST / HTTP/1.1", &fields), Err(error), "{lines:?}");
        }
    }
}

// A head that another HTTP server has parsed is judged as one that is parsed here.
#[test]
fn from_parts_judges_as_parse() {
    let more: [&[&str]; 9] = [
        &[],
        &["Host: second"],
        &["Sec-WebSocket-Version: 12"],
        &["Origin: http://example.com"],
        &["Origin: a", "Origin: b"],
        &["Content-Length: 3"],
        &["Sec-WebSocket-Protocol: chat, superchat"],
        &["Sec-WebSocket-Protocol: a a"],
        &["Sec-WebSocket-Extensions: ;"],
    ];
    for line in ["GET / HTTP/1.1", "POST / HTTP/1.1", "GET /a HTTP/1.0", "GET #x HTTP/1.1"] {
        for name in ["", "Host", "Upgrade", "Connection", "Sec-WebSocket-Key"] {
            for lines in more {
                let text = compose(line, &with(name, lines));
                let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
                let parsed = RequestHead::parse(text.as_bytes(), &mut slots).unwrap();
                let (method, target) = (parsed.method(), parsed.target());
                let minor = u8::from(line.ends_with('1'));
                let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
                let given =
                    RequestHead::from_parts(method, target, minor, parsed.fields(), &mut slots);
                let given = given.unwrap();
                assert_eq!(format!("{given:?}"), format!("{parsed:?}"), "{text}");
                assert!(given.fields().eq(parsed.fields()), "{text}");
                assert_eq!(
                    format!("{:?}", given.upgrade()),
                    format!("{:?}", parsed.upgrade()),
                    "{text}"
                );
            }
        }
    }
    for (method, target) in
        [("", "/"), ("G T", "/"), ("GET", ""), ("GET", "/a b"), ("GET", "/\r\n")]
    {
        let mut slots = FieldSlots::<0>::new();
        let head = RequestHead::from_parts(method, target, 1, [], &mut slots);
        assert_eq!(head.unwrap_err(), HandshakeError::MalformedRequestLine, "{method} {target}");
    }
}
