//! Writing a server's answer (RFC 6455 §4.2.2, §4.4).
#![cfg(feature = "handshake")]

use ws_core::handshake::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Every error that a server meets, so that a table cannot forget one.
const REQUEST_ERRORS: [HandshakeError; 36] = [
    HandshakeError::BareCr,
    HandshakeError::BareLf,
    HandshakeError::Nul,
    HandshakeError::IncompleteHead,
    HandshakeError::InvalidFieldName,
    HandshakeError::InvalidFieldValue,
    HandshakeError::TooManyFields,
    HandshakeError::InvalidContentLength,
    HandshakeError::RepeatedContentLength,
    HandshakeError::ContentLengthAndTransferEncoding,
    HandshakeError::InvalidExtensions,
    HandshakeError::RequestLineTooLong,
    HandshakeError::HeadTooLarge,
    HandshakeError::MalformedRequestLine,
    HandshakeError::UnsupportedHttpVersion,
    HandshakeError::MissingHost,
    HandshakeError::RepeatedHost,
    HandshakeError::InvalidHost,
    HandshakeError::RepeatedOrigin,
    HandshakeError::InvalidOrigin,
    HandshakeError::OriginNotAllowed,
    HandshakeError::MissingUpgrade,
    HandshakeError::MethodNotAllowed,
    HandshakeError::MissingConnectionUpgrade,
    HandshakeError::MissingVersion,
    HandshakeError::RepeatedVersion,
    HandshakeError::MalformedVersion,
    HandshakeError::UnsupportedVersion,
    HandshakeError::MissingKey,
    HandshakeError::RepeatedKey,
    HandshakeError::InvalidKey,
    HandshakeError::RequestBody,
    HandshakeError::InvalidTarget,
    HandshakeError::InvalidSubprotocol,
    HandshakeError::RepeatedSubprotocol,
    HandshakeError::TooManySubprotocols,
];

/// Writes with no room, with one byte too few, and with exactly enough.
fn written(
    mut write: impl FnMut(&mut [u8]) -> Result<usize, OpenError>,
) -> Result<String, OpenError> {
    let needed = match write(&mut []) {
        Err(OpenError::BufferTooSmall { needed }) => needed,
        Err(error) => return Err(error),
        Ok(length) => panic!("{length} bytes into an empty slice"),
    };
    let mut out = vec![0; needed];
    let short = write(&mut out[..needed - 1]);
    assert_eq!(short, Err(OpenError::BufferTooSmall { needed }));
    assert_eq!(write(&mut out), Ok(needed));
    let mut larger = vec![0; needed + 9];
    assert_eq!(write(&mut larger), Ok(needed));
    assert_eq!(larger[..needed], out);
    Ok(String::from_utf8(out).unwrap())
}

fn accept(response: AcceptResponse<'_>) -> Result<String, OpenError> {
    written(|out| response.write(KEY, out))
}

fn http(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Result<String, OpenError> {
    written(|out| HttpResponse::new(status).headers(headers).body(body).write_head(out))
}

fn refusal(error: HandshakeError) -> String {
    written(|out| error.write_response(out)).unwrap()
}

/// Reads an answer back with our own client's parser; gives status and the values of a field.
fn read_back(text: &str, name: &str) -> (u16, Vec<String>) {
    let end = text.find("\r\n\r\n").unwrap() + 4;
    let mut reader = HeadReader::response(DEFAULT_MAX_HEAD);
    assert_eq!(reader.push(text.as_bytes()), Ok(Some(end)));
    let mut slots = FieldSlots::<16>::new();
    let head = ResponseHead::parse(&text.as_bytes()[..end], &mut slots).unwrap();
    let fields = head.fields().filter(|(found, _)| found.eq_ignore_ascii_case(name));
    let values = fields.map(|(_, value)| String::from_utf8(value.to_vec()).unwrap());
    (head.status(), values.collect())
}

// RFC 6455 §4.2.2-5.
#[test]
fn server_101_bytes_exact() {
    assert_eq!(
        accept(AcceptResponse::new()).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    let full = AcceptResponse::new()
        .subprotocol("chat")
        .extensions("permessage-deflate; server_no_context_takeover")
        .headers(&[("Set-Cookie", "a=b"), ("Set-Cookie", "c=\u{e9}\t"), ("Server", "x")]);
    assert_eq!(
        accept(full).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\
         Set-Cookie: a=b\r\nSet-Cookie: c=\u{e9}\t\r\nServer: x\r\n\r\n"
    );
    for key in ["", "x", "dGhlIHNhbXBsZSBub25jZQ==\r\n"] {
        let outcome = AcceptResponse::new().write(key, &mut [0; 300]);
        assert_eq!(outcome, Err(OpenError::InvalidKey));
    }
}

// RFC 6455 §4.2.2-4: a value that is not a token, the empty one above all, is not legal.
#[test]
fn server_no_subprotocol_header_when_none() {
    assert!(!accept(AcceptResponse::new()).unwrap().contains("Protocol:"));
    for name in ["", "a b", "a, b", "a\r\nX: y", "\u{e9}"] {
        let response = AcceptResponse::new().subprotocol(name);
        assert_eq!(accept(response), Err(OpenError::InvalidSubprotocol), "{name:?}");
    }
}

// What the application chooses, even none, takes precedence over what the server would choose.
#[test]
fn server_default_subprotocol_when_not_chosen() {
    let line = "\r\nSec-WebSocket-Protocol: chat\r\n";
    let text = accept(AcceptResponse::new().default_subprotocol("chat")).unwrap();
    assert!(text.contains(line), "{text}");
    let text = accept(AcceptResponse::new().subprotocol("chat").default_subprotocol("x")).unwrap();
    assert!(text.contains(line), "{text}");
    let none = AcceptResponse::new().subprotocol(None).default_subprotocol("chat");
    assert_eq!(accept(none), accept(AcceptResponse::new()));
    let headers = AcceptResponse::new().headers(&[("X", "y")]).default_subprotocol(None);
    assert!(accept(headers).unwrap().ends_with("\r\nX: y\r\n\r\n"));
}

// RFC 6455 §4.2.2-4, §9: an empty field is not legal.
#[test]
fn server_writes_well_formed_extensions_only() {
    for accepted in ["", ",", "a;", "a\r\nX: y", "a;b=\"\r\n\"", "a\0"] {
        let response = AcceptResponse::new().extensions(accepted);
        assert_eq!(accept(response), Err(OpenError::InvalidExtension), "{accepted:?}");
    }
    assert!(!accept(AcceptResponse::new()).unwrap().contains("Extensions:"));
}

// caller strings × {CR, LF, NUL} → error.
#[test]
fn server_rejects_crlf_in_headers() {
    for bad in ["\r", "\n", "\0", "\u{1}", "\u{7f}", "\r\nX: y"] {
        let value = format!("a{bad}b");
        for (header, error) in [
            ((&*value, "x"), OpenError::InvalidHeaderName),
            (("X", &*value), OpenError::InvalidHeaderValue),
        ] {
            let headers = [("A", "b"), header];
            let response = AcceptResponse::new().headers(&headers);
            assert_eq!(accept(response), Err(error), "{bad:?}");
            assert_eq!(http(404, &headers, b""), Err(error), "{bad:?}");
        }
    }
    for name in ["", "a b", "a:", "\u{e9}", "(x)"] {
        assert_eq!(http(200, &[(name, "x")], b""), Err(OpenError::InvalidHeaderName));
    }
}

#[test]
fn own_headers_cannot_be_overridden() {
    for (name, told) in [
        ("connection", "Connection"),
        ("UPGRADE", "Upgrade"),
        ("Content-Length", "Content-Length"),
        ("transfer-encoding", "Transfer-Encoding"),
    ] {
        let headers = [(name, "x")];
        let response = AcceptResponse::new().headers(&headers);
        assert_eq!(accept(response), Err(OpenError::ReservedHeader(told)), "{name}");
        assert_eq!(http(200, &headers, b""), Err(OpenError::ReservedHeader(told)), "{name}");
    }
    let accepted = [("Sec-Websocket-Accept", "x")];
    let told = OpenError::ReservedHeader("Sec-WebSocket-Accept");
    assert_eq!(http(200, &accepted, b""), Err(told));
    let told = OpenError::ReservedHeader("Sec-WebSocket-*");
    assert_eq!(accept(AcceptResponse::new().headers(&accepted)), Err(told));
    for name in ["sec-websocket-protocol", "Sec-WebSocket-Extensions", "sec-websocket-x"] {
        let headers = [(name, "x")];
        let response = AcceptResponse::new().headers(&headers);
        assert_eq!(accept(response), Err(told), "{name}");
    }
    let version = [("sec-websocket-version", "8")];
    assert_eq!(http(426, &version, b""), Err(told));
}

// RFC 6455 §4.2.2-2: refusals are the application's to choose.
#[test]
fn server_hook_can_reject_401() {
    let text = http(401, &[("WWW-Authenticate", "Basic realm=\"x\"")], b"who are you\n").unwrap();
    assert_eq!(
        text,
        "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 12\r\n\
         WWW-Authenticate: Basic realm=\"x\"\r\n\r\n"
    );
}

// RFC 6455 §4.2.2-3.
#[test]
fn server_hook_can_redirect() {
    let text = http(302, &[("Location", "ws://example.com/")], b"").unwrap();
    assert_eq!(
        text,
        "HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\n\
         Location: ws://example.com/\r\n\r\n"
    );
}

// RFC 6455 §4.2.2-4.
#[test]
fn server_hook_can_404() {
    let text = http(404, &[], b"").unwrap();
    assert_eq!(text, "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

// RFC 9110 §15: 1xx are not final answers; §8.6 and §15.3.5: none of a length in a 204.
#[test]
fn statuses_of_plain_answers() {
    for status in (0..200).chain([600, 999, 1000, u16::MAX]) {
        assert_eq!(http(status, &[], b""), Err(OpenError::InvalidStatus), "{status}");
    }
    for status in 200..600 {
        let text = http(status, &[], b"").unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        let (read, length) = read_back(&text, "Content-Length");
        let expected = if matches!(status, 204 | 304) { vec![] } else { vec!["0".to_owned()] };
        assert_eq!((read, length), (status, expected));
    }
    for status in [204, 205, 304] {
        assert_eq!(http(status, &[], b"x"), Err(OpenError::BodyNotAllowed));
    }
    assert!(http(299, &[], b"").unwrap().starts_with("HTTP/1.1 299 \r\n"));
    let page = http(200, &[("Content-Type", "text/html")], &[b'x'; 70_000]).unwrap();
    assert_eq!(read_back(&page, "content-length"), (200, vec!["70000".to_owned()]));
}

// RFC 6455 §4.2.2-4, §10.2.
#[test]
fn server_origin_403() {
    assert!(!same_origin("http://evil.org", "example.com"));
    assert_eq!(
        refusal(HandshakeError::OriginNotAllowed),
        "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 45\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n\
         Origin is not allowed here (RFC 6455 §10.2)\n"
    );
}

// RFC 6455 §4.2.2-4, §4.4; seen broken in websockets 17.4.
#[test]
fn server_426_carries_version_13() {
    assert_eq!(
        refusal(HandshakeError::UnsupportedVersion),
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\
         Sec-WebSocket-Version: 13\r\nContent-Length: 49\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n\
         Sec-WebSocket-Version is not 13 (RFC 6455 §4.4)\n"
    );
    for error in REQUEST_ERRORS {
        let expected = matches!(
            error,
            HandshakeError::UnsupportedVersion
                | HandshakeError::MissingVersion
                | HandshakeError::RepeatedVersion
                | HandshakeError::MalformedVersion
        );
        let (_, versions) = read_back(&refusal(error), "sec-websocket-version");
        let expected = if expected { vec!["13".to_owned()] } else { vec![] };
        assert_eq!(versions, expected, "{error}");
    }
}

// RFC 9110 §15.5.22: of an application's own 426, too.
#[test]
fn server_426_upgrade_header() {
    for text in [refusal(HandshakeError::UnsupportedVersion), http(426, &[], b"").unwrap()] {
        assert_eq!(read_back(&text, "upgrade"), (426, vec!["websocket".to_owned()]));
        assert_eq!(read_back(&text, "connection").1, ["Upgrade, close"]);
        assert_eq!(read_back(&text, "sec-websocket-version").1, ["13"]);
    }
}

// RFC 9110 §15.5.6.
#[test]
fn server_405_allow_get() {
    let text = refusal(HandshakeError::MethodNotAllowed);
    assert_eq!(read_back(&text, "allow"), (405, vec!["GET".to_owned()]));
    let text = http(405, &[], b"").unwrap();
    assert_eq!(read_back(&text, "allow"), (405, vec!["GET".to_owned()]));
    let text = http(405, &[("allow", "GET, HEAD")], b"").unwrap();
    assert_eq!(read_back(&text, "allow"), (405, vec!["GET, HEAD".to_owned()]));
}

/// RFC 9110 §15, RFC 6585, RFC 7725: the final statuses that have a phrase.
const REASONS: [(u16, &str); 46] = [
    (200, "OK"),
    (201, "Created"),
    (202, "Accepted"),
    (203, "Non-Authoritative Information"),
    (204, "No Content"),
    (205, "Reset Content"),
    (206, "Partial Content"),
    (300, "Multiple Choices"),
    (301, "Moved Permanently"),
    (302, "Found"),
    (303, "See Other"),
    (304, "Not Modified"),
    (307, "Temporary Redirect"),
    (308, "Permanent Redirect"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (402, "Payment Required"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (406, "Not Acceptable"),
    (407, "Proxy Authentication Required"),
    (408, "Request Timeout"),
    (409, "Conflict"),
    (410, "Gone"),
    (411, "Length Required"),
    (412, "Precondition Failed"),
    (413, "Content Too Large"),
    (414, "URI Too Long"),
    (415, "Unsupported Media Type"),
    (416, "Range Not Satisfiable"),
    (417, "Expectation Failed"),
    (421, "Misdirected Request"),
    (422, "Unprocessable Content"),
    (426, "Upgrade Required"),
    (428, "Precondition Required"),
    (429, "Too Many Requests"),
    (431, "Request Header Fields Too Large"),
    (451, "Unavailable For Legal Reasons"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
    (505, "HTTP Version Not Supported"),
    (511, "Network Authentication Required"),
];

// RFC 9112 §4: the space stays where there is no phrase.
#[test]
fn every_status_has_its_reason_phrase() {
    for status in 200..600 {
        let phrase = match REASONS.iter().find(|(known, _)| *known == status) {
            Some((_, phrase)) => phrase,
            None => "",
        };
        let text = http(status, &[], b"").unwrap();
        assert_eq!(text.split_once("\r\n").unwrap().0, format!("HTTP/1.1 {status} {phrase}"));
    }
}

// RFC 9112 §9.6.
#[test]
fn server_error_response_well_formed() {
    for error in REQUEST_ERRORS {
        let text = refusal(error);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, format!("{error}\n"));
        assert!(error.to_string().contains("RFC "), "{error}");
        assert_eq!(head.matches("Connection: ").count(), 1, "{head}");
        let (status, length) = read_back(&text, "content-length");
        assert_eq!((Some(status), length), (error.status(), vec![body.len().to_string()]));
        let (_, connection) = read_back(&text, "connection");
        assert!(connection[0].ends_with("close"), "{connection:?}");
        assert_eq!(read_back(&text, "content-type").1, ["text/plain; charset=utf-8"]);
        assert!(text.len() <= 512);
    }
    // What only a client can find has no answer, nor has a client that speaks TLS.
    for error in [
        HandshakeError::WrongAccept,
        HandshakeError::MalformedStatusLine,
        HandshakeError::ResponseHeadTooLarge,
        HandshakeError::TlsResponse,
        HandshakeError::TlsRequest,
    ] {
        assert_eq!(error.status(), None);
        assert_eq!(error.write_response(&mut [0; 512]), Err(OpenError::InvalidStatus));
    }
}

// What another HTTP server is to write is what is written here.
#[test]
fn fields_are_those_of_the_written_head() {
    let response = AcceptResponse::new()
        .subprotocol("chat")
        .extensions("x; y=1")
        .headers(&[("Set-Cookie", "a=b"), ("X", "")]);
    let mut lines = String::from("HTTP/1.1 101 Switching Protocols\r\n");
    response.fields(KEY, |name, value| lines += &format!("{name}: {value}\r\n")).unwrap();
    assert_eq!(accept(response).unwrap(), lines + "\r\n");
    for wrong in [
        response.subprotocol("a b"),
        response.extensions(","),
        response.headers(&[("Upgrade", "h2c")]),
        response.headers(&[("X", "a\r\nB: c")]),
    ] {
        assert_eq!(wrong.fields(KEY, |_, _| {}), accept(wrong).map(drop));
        assert!(wrong.fields(KEY, |_, _| {}).is_err());
    }
    assert_eq!(response.fields("short", |_, _| {}), Err(OpenError::InvalidKey));
}

// The answer of another HTTP server, made by hand.
#[test]
fn a_refusal_by_its_status_and_fields() {
    for error in REQUEST_ERRORS {
        let text = http(error.status().unwrap(), error.fields(), b"").unwrap();
        for (name, value) in error.fields() {
            let (_, found) = read_back(&text, name);
            assert_eq!(found.len(), 1, "{error:?} {name}");
            assert!(found[0].starts_with(value), "{error:?} {name}");
        }
    }
    let reserved = Err(OpenError::ReservedHeader("Upgrade"));
    assert_eq!(http(426, &[("Upgrade", "h2c")], b""), reserved);
    assert_eq!(http(400, &[("Upgrade", "websocket")], b""), reserved);
}

#[test]
fn fields_of_a_refusal_are_in_its_head() {
    for error in REQUEST_ERRORS {
        let text = refusal(error);
        for (name, value) in error.fields() {
            let (_, found) = read_back(&text, name);
            assert!(found.iter().any(|found| found.starts_with(value)), "{error:?} {name}");
        }
        let upgrade = error.fields().iter().any(|(name, _)| *name == "Upgrade");
        assert_eq!(upgrade, error.status() == Some(426), "{error:?}");
    }
}

#[test]
fn a_response_is_a_200_unless_told_otherwise() {
    assert_eq!(HttpResponse::default(), HttpResponse::new(200));
}
