//! The handshake with a proxy: HTTP CONNECT (RFC 9110 §9.3.6) and SOCKS5 (RFC 1928, RFC 1929).
#![cfg(feature = "proxy")]

mod common;

use common::shown;
use proptest::prelude::*;
use ws_core::handshake::{DEFAULT_MAX_FIELDS, DEFAULT_MAX_HEAD, HandshakeError, OpenError};
use ws_core::proxy::{ProxyError, ProxyHandshake, ProxyStep};

type Credentials<'a> = Option<(&'a str, &'a str)>;
type New = for<'a> fn(&'a str, u16, Credentials<'a>) -> Result<ProxyHandshake<'a>, OpenError>;

const HTTP: New = |host, port, credentials| ProxyHandshake::http(host, port, credentials);
const SOCKS5: New = |host, port, credentials| ProxyHandshake::socks5(host, port, credentials);
const USER: Credentials<'static> = Some(("user", "pass"));

/// What was written, and how the handshake ended.
type Outcome = (Vec<u8>, Result<usize, ProxyError>);

/// Plays a proxy that says this in these pieces and then ends the stream. What is asked for is checked, too.
fn play<'b>(mut proxy: ProxyHandshake<'_>, pieces: impl IntoIterator<Item = &'b [u8]>) -> Outcome {
    let (mut written, mut received) = (Vec::new(), Vec::new());
    let mut pieces = pieces.into_iter();
    let mut ended = false;
    let mut out = [0; 2048];
    loop {
        let result = proxy.next(&received, &mut out);
        match result {
            Ok(ProxyStep::Write(length)) => written.extend_from_slice(&out[..length]),
            Ok(ProxyStep::Read(missing)) => {
                assert!(missing > 0 && !ended);
                match pieces.next() {
                    Some(piece) => received.extend_from_slice(piece),
                    None => {
                        proxy.receive_eof();
                        ended = true;
                    }
                }
            }
            Ok(ProxyStep::Open(length)) => {
                assert_eq!(proxy.next(&received, &mut []), result);
                return (written, Ok(length));
            }
            Err(error) => {
                assert_eq!(proxy.next(b"HTTP/1.1 200 OK\r\n\r\n", &mut []), result);
                return (written, Err(error));
            }
        }
    }
}

/// The answer, read as [`ProxyStep::Read`] asks; returns what was left of it.
fn play_exactly<'b>(mut proxy: ProxyHandshake<'_>, mut answer: &'b [u8]) -> &'b [u8] {
    let mut received = Vec::new();
    let mut out = [0; 2048];
    loop {
        match proxy.next(&received, &mut out) {
            Ok(ProxyStep::Write(_)) => {}
            Ok(ProxyStep::Read(missing)) => {
                let (piece, rest) = answer.split_at(missing.min(answer.len()));
                received.extend_from_slice(piece);
                answer = rest;
                if piece.is_empty() {
                    proxy.receive_eof();
                }
            }
            Ok(ProxyStep::Open(length)) => {
                assert_eq!(length, received.len(), "no byte of the tunnel was asked for");
                return answer;
            }
            Err(_) => return answer,
        }
    }
}

/// The one outcome: at once, byte by byte, and at every split into two.
#[track_caller]
fn outcome(
    new: New,
    host: &str,
    port: u16,
    credentials: Credentials<'_>,
    answer: &[u8],
) -> Outcome {
    let proxy = new(host, port, credentials).unwrap();
    let at_once = play(proxy.clone(), [answer]);
    assert_eq!(play(proxy.clone(), answer.chunks(1)), at_once);
    for split in 0..=answer.len() {
        let (left, right) = answer.split_at(split);
        let pieces = [left, right].into_iter().filter(|piece| !piece.is_empty());
        assert_eq!(play(proxy.clone(), pieces), at_once, "split at {split}");
    }
    let left = play_exactly(proxy, answer);
    if let Ok(length) = at_once.1 {
        assert_eq!(left, &answer[length..]);
    }
    at_once
}

fn connect(answer: &[u8]) -> Result<usize, ProxyError> {
    outcome(HTTP, "example.com", 443, None, answer).1
}

fn socks(answer: &[u8]) -> Result<usize, ProxyError> {
    outcome(SOCKS5, "example.com", 443, None, answer).1
}

/// The status and the start of the body.
fn refusal(answer: &[u8]) -> (u16, Vec<u8>) {
    match connect(answer) {
        Err(ProxyError::Refused { status, body, .. }) => (status, body.as_bytes().to_vec()),
        other => panic!("{other:?}"),
    }
}

// RFC 9110 §9.3.6, RFC 9112 §3.2.3: host and port, always both.
#[test]
fn connect_request_names_host_and_port() {
    for (host, port, authority) in [
        ("example.com", 443, "example.com:443"),
        ("example.com", 80, "example.com:80"),
        ("xn--bcher-kva.example", 65535, "xn--bcher-kva.example:65535"),
        ("127.0.0.1", 1, "127.0.0.1:1"),
        ("::1", 9001, "[::1]:9001"),
        ("[2001:DB8::1]", 443, "[2001:DB8::1]:443"),
    ] {
        let (written, result) = outcome(HTTP, host, port, None, b"HTTP/1.1 200 OK\r\n\r\n");
        let expected = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        assert_eq!(String::from_utf8(written).unwrap(), expected);
        assert_eq!(result, Ok(19));
    }
}

// RFC 7617 §2, with its examples.
#[test]
fn basic_credentials() {
    for (user, password, text) in [
        ("Aladdin", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("test", "123\u{a3}", "dGVzdDoxMjPCow=="),
        ("", "", "Og=="),
        ("a", "", "YTo="),
        ("a", "b", "YTpi"),
        ("a", ":b", "YTo6Yg=="),
    ] {
        let (written, _) = outcome(HTTP, "h", 1, Some((user, password)), b"");
        let expected = format!(
            "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nProxy-Authorization: Basic {text}\r\n\r\n"
        );
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }
}

// Nothing that a caller passes ends a line or a field.
#[test]
fn invalid_hosts_and_credentials_are_refused() {
    let long = "a".repeat(256);
    for host in [
        "",
        " ",
        "a b",
        "a\r\nX: y",
        "a\n",
        "a\0",
        "a:80",
        "u@a",
        "a/b",
        "a?b",
        "a#b",
        "é",
        "[::1",
        "::1]",
        "[]",
        "[a]",
        "[127.0.0.1]",
        "fe80::1%eth0",
        "[::1]:80",
        &long,
    ] {
        for new in [HTTP, SOCKS5] {
            assert_eq!(new(host, 80, None).err(), Some(OpenError::InvalidHost), "{host:?}");
        }
    }
    for new in [HTTP, SOCKS5] {
        assert_eq!(new("example.com", 0, None).err(), Some(OpenError::InvalidHost));
        assert!(new(&long[1..], 80, None).is_ok());
    }
    for credentials in [
        ("us:er", "pass"),
        ("us\r\ner", "pass"),
        ("user", "pa\nss"),
        ("user", "pa\0ss"),
        ("user", "pa\u{7f}ss"),
        ("us\u{85}er", "pass"),
        ("us\ter", "pass"),
    ] {
        let error = HTTP("h", 80, Some(credentials)).err();
        assert_eq!(error, Some(OpenError::InvalidCredentials), "{credentials:?}");
    }
    // RFC 1929 §2: 1 to 255 bytes, any of them.
    for credentials in [("", "pass"), ("user", ""), (&long, "pass"), ("user", &long)] {
        let error = SOCKS5("h", 80, Some(credentials)).err();
        assert_eq!(error, Some(OpenError::InvalidCredentials), "{credentials:?}");
    }
    assert!(SOCKS5("h", 80, Some((&long[1..], "a:\r\n"))).is_ok());
}

// RFC 9110 §9.3.6: any 2xx, and no field of it delimits a body.
#[test]
fn any_2xx_opens_the_tunnel_behind_its_head() {
    for head in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nVia: 1.1 a\r\n\r\n",
        "HTTP/1.1 299 x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\nContent-Length: 7\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        for tunnel in
            ["", "\x16\x03\x01", "\r\n", "5\r\nhello\r\n0\r\n\r\n", "HTTP/1.1 500 x\r\n\r\n"]
        {
            let answer = [head, tunnel].concat();
            assert_eq!(connect(answer.as_bytes()), Ok(head.len()), "{answer:?}");
        }
    }
}

// RFC 9110 §15.5.8, §11.7.1.
#[test]
fn status_407_tells_the_schemes() {
    for (fields, expected) in [
        ("Proxy-Authenticate: Basic realm=\"a\"\r\n", "Basic"),
        ("proxy-authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n", "Negotiate, NTLM"),
        ("Proxy-Authenticate: Digest a=\"b, c\", Basic realm=\"a\"\r\n", "Digest, Basic"),
        (
            "Proxy-Authenticate: Digest a=\"\\\", x\", b=c , e = f,Negotiate\r\n",
            "Digest, Negotiate",
        ),
        // The string is one backslash.
        ("Proxy-Authenticate: Digest a=\"\\\\\", Basic\r\n", "Digest, Basic"),
        ("Proxy-Authenticate: ,, NTLM TlRM==, \"Basic\", Basic, a=\"b, Bearer\r\n", "NTLM, Basic"),
        ("Proxy-Authenticate: \r\nWWW-Authenticate: Basic\r\nContent-Length: 9\r\n", ""),
        ("", ""),
    ] {
        for credentials in [None, USER] {
            let answer = format!("HTTP/1.1 407 Auth\r\n{fields}\r\nsomething");
            let (_, result) = outcome(HTTP, "h", 1, credentials, answer.as_bytes());
            let Err(ProxyError::AuthenticationRequired { schemes }) = result else {
                panic!("{result:?}");
            };
            assert_eq!(schemes.as_bytes(), expected.as_bytes());
            let text = shown(&result.unwrap_err());
            assert!(text.contains("407") && text.contains(expected), "{text}");
        }
    }
}

#[test]
fn another_status_tells_the_start_of_the_body() {
    assert_eq!(
        refusal(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno: and more"),
        (403, b"no: ".to_vec())
    );
    assert_eq!(refusal(b"HTTP/1.0 502 Bad\r\n\r\nuntil the end"), (502, b"until the end".to_vec()));
    assert_eq!(refusal(b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\nx"), (503, Vec::new()));
    assert_eq!(
        refusal(b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x\r\ncde\r\n0\r\n\r\nx"),
        (500, b"abcde".to_vec())
    );
    // A body whose end cannot be told, and one that is cut short.
    assert_eq!(
        refusal(b"HTTP/1.1 500 x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1"),
        (500, Vec::new())
    );
    assert_eq!(refusal(b"HTTP/1.1 404 x\r\nContent-Length: 99\r\n\r\nab"), (404, b"ab".to_vec()));
    assert_eq!(
        refusal(b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab?"),
        (500, b"ab".to_vec())
    );
    // Nobody asked to switch protocols (RFC 9110 §15.2.2).
    assert_eq!(refusal(b"HTTP/1.1 101 x\r\nUpgrade: y\r\n\r\n"), (101, Vec::new()));
    assert_eq!(
        refusal(b"HTTP/1.1 300 x\r\nLocation: y\r\nContent-Length: 0\r\n\r\n"),
        (300, Vec::new())
    );
    let long = [&b"HTTP/1.1 500 x\r\n\r\n"[..], &[b'a'; 300]].concat();
    assert_eq!(refusal(&long), (500, vec![b'a'; 56]));
}

#[test]
fn what_the_proxy_says_is_shown_escaped() {
    let error = connect(b"HTTP/1.1 403 \r\nContent-Length: 0\r\n\r\n").unwrap_err();
    assert_eq!(shown(&error), "the proxy refused: status 403");
    let answer = b"HTTP/1.1 403 N\xfcl\r\nContent-Length: 12\r\n\r\n\x1b[31m\r\n\"\xff\0ab";
    let error = connect(answer).unwrap_err();
    let text = r#"\x1b[31m\r\n\"\xff\x00ab"#;
    assert_eq!(shown(&error), format!("the proxy refused: status 403 N\\xfcl, {text}"));
    assert_eq!(
        format!("{error:?}"),
        format!("Refused {{ status: 403, reason: \"N\\xfcl\", body: \"{text}\" }}")
    );
}

#[test]
fn an_answer_that_is_not_http_fails() {
    use HandshakeError::*;
    for (answer, error) in [
        (&b"HTTP/2.0 200 OK\r\n\r\n"[..], UnsupportedResponseVersion),
        (b"HTTP/1.1 2000 OK\r\n\r\n", MalformedStatusLine),
        (b"HTTP/1.1 200 OK\n\n", BareLf),
        (b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n", InvalidFieldName),
        (b"HTTP/1.1 200 OK\r\na: \0\r\n\r\n", Nul),
        (b"HTTP/1.1 407 x\r\nProxy-Authenticate: \x1b[31m\r\n\r\n", InvalidFieldValue),
        (b"HTTP/\r\n\r\n", MalformedStatusLine),
    ] {
        assert_eq!(connect(answer), Err(ProxyError::Head(error)), "{answer:?}");
    }
    for answer in ["", "HTTP/1.1 200 OK\r\n\r", "HTTP/1.1 100 x\r\n\r\n", "HTTP/1.1 407 x\r\n"] {
        assert_eq!(connect(answer.as_bytes()), Err(ProxyError::Eof), "{answer:?}");
    }
}

// Without waiting for the end of a line, which may never come.
#[test]
fn a_peer_that_does_not_speak_http_is_told_from_its_first_bytes() {
    for (answer, start, hint) in [
        (&b"\x05\xff"[..], "\\x05", "; is it a SOCKS proxy?"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "\\x15", "; it speaks TLS, which is not supported"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "S", ""),
        (b"HTTX", "HTTX", ""),
        (b"\r\n\r\n", "\\r", ""),
        (b"HTTP/1.1 100 x\r\n\r\n\0", "\\x00", ""),
    ] {
        let error = connect(answer).unwrap_err();
        assert!(matches!(error, ProxyError::NotHttp(_)), "{error:?}");
        let text = format!("the proxy does not speak HTTP: its answer begins with {start}{hint}");
        assert!(error.to_string().starts_with(&text), "{error}");
    }
    for (byte, hint) in [(b'H', "; is it an HTTP proxy?"), (21, "; it speaks TLS"), (4, "")] {
        let error = ProxyError::NotSocks5(byte);
        assert_eq!(socks(&[byte]), Err(error));
        assert!(error.to_string().contains(&format!("{byte:#04x}{hint}")), "{error}");
    }
}

// The limits are those of any head; interim responses count, too.
#[test]
fn heads_are_bounded() {
    let too_large = Err(ProxyError::Head(HandshakeError::ResponseHeadTooLarge));
    let play = |answer: &str| {
        let proxy = HTTP("h", 1, None).unwrap();
        let at_once = play(proxy.clone(), [answer.as_bytes()]);
        assert_eq!(play(proxy, answer.as_bytes().chunks(1000)), at_once);
        at_once.1
    };
    let head = |length: usize| format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(length - 17));
    assert_eq!(play(&head(DEFAULT_MAX_HEAD)), Ok(DEFAULT_MAX_HEAD));
    assert_eq!(play(&head(DEFAULT_MAX_HEAD + 1)), too_large);
    let interim = "HTTP/1.1 100 x\r\n\r\n";
    let left = DEFAULT_MAX_HEAD - interim.len();
    assert_eq!(play(&(interim.to_owned() + &head(left))), Ok(DEFAULT_MAX_HEAD));
    assert_eq!(play(&(interim.to_owned() + &head(left + 1))), too_large);
    assert_eq!(play(&interim.repeat(2000)), too_large);
    let fields = |count| format!("HTTP/1.1 200 x\r\n{}\r\n", "a: b\r\n".repeat(count));
    assert!(play(&fields(DEFAULT_MAX_FIELDS)).is_ok());
    let too_many = Err(ProxyError::Head(HandshakeError::TooManyFields));
    assert_eq!(play(&fields(DEFAULT_MAX_FIELDS + 1)), too_many);
}

#[test]
fn a_short_output_tells_the_length_and_can_be_tried_again() {
    for new in [HTTP, SOCKS5] {
        let mut proxy = new("example.com", 443, USER).unwrap();
        let error = proxy.next(b"", &mut []).unwrap_err();
        let ProxyError::Open(OpenError::BufferTooSmall { needed }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(proxy.next(b"", &mut vec![0; needed - 1]), Err(error));
        assert_eq!(proxy.next(b"", &mut vec![0; needed]), Ok(ProxyStep::Write(needed)));
        assert!(matches!(proxy.next(b"", &mut []), Ok(ProxyStep::Read(_))));
    }
}

// RFC 1928 §3, §4: version, methods; version, CONNECT, a reserved byte, the address and the port.
#[test]
fn socks5_request_names_the_server() {
    let answer = b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x12\x34";
    for (host, address) in [
        ("example.com", &b"\x03\x0bexample.com"[..]),
        ("127.0.0.1", b"\x01\x7f\0\0\x01"),
        ("127.1", b"\x03\x05127.1"),
        ("::1", b"\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"),
        ("[2001:db8::ff00:1]", b"\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\xff\0\0\x01"),
    ] {
        let (written, result) = outcome(SOCKS5, host, 0x1234, None, answer);
        let expected = [b"\x05\x01\x00\x05\x01\x00", address, b"\x12\x34"].concat();
        assert_eq!(written, expected, "{host}");
        assert_eq!(result, Ok(12));
    }
    let longest = "a".repeat(255);
    let (written, _) = outcome(SOCKS5, &longest, 80, None, answer);
    assert_eq!(
        written,
        [b"\x05\x01\x00\x05\x01\x00\x03\xff", longest.as_bytes(), b"\0\x50"].concat()
    );
}

// RFC 1928 §3, RFC 1929 §2.
#[test]
fn socks5_sends_user_and_password_when_asked_for() {
    let request = b"\x05\x01\x00\x01\x7f\0\0\x01\0\x50";
    let reply = b"\x05\0\0\x01\0\0\0\0\0\0";
    let asked = [&b"\x05\x02\x01\x00"[..], reply].concat();
    let (written, result) = outcome(SOCKS5, "127.0.0.1", 80, USER, &asked);
    assert_eq!(written, [&b"\x05\x02\x00\x02\x01\x04user\x04pass"[..], request].concat());
    assert_eq!(result, Ok(14));
    let not_asked = [&b"\x05\x00"[..], reply].concat();
    let (written, result) = outcome(SOCKS5, "127.0.0.1", 80, USER, &not_asked);
    assert_eq!(written, [&b"\x05\x02\x00\x02"[..], request].concat());
    assert_eq!(result, Ok(12));
    for (answer, error) in [
        (&b"\x05\x02\x01\x01"[..], ProxyError::CredentialsRefused),
        (b"\x05\x02\x01\xff", ProxyError::CredentialsRefused),
        (b"\x05\x02\x05\x00", ProxyError::MalformedReply),
        (b"\x05\x02\x00\x00", ProxyError::MalformedReply),
        (b"\x05\x02", ProxyError::Eof),
        (b"\x05\x02\x01", ProxyError::Eof),
        (b"\x05\x01", ProxyError::UnofferedMethod(1)),
    ] {
        assert_eq!(outcome(SOCKS5, "a", 1, USER, answer).1, Err(error), "{answer:?}");
    }
}

// RFC 1928 §3.
#[test]
fn socks5_method_must_be_one_that_was_offered() {
    for (answer, error) in [
        (&b"\x05\xff"[..], ProxyError::NoAcceptableMethod),
        (b"\x05\x01", ProxyError::UnofferedMethod(1)),
        // Without credentials, they are not offered.
        (b"\x05\x02", ProxyError::UnofferedMethod(2)),
        (b"\x04\x00", ProxyError::NotSocks5(4)),
        (b"\x00\x5a\0\0\0\0\0\0", ProxyError::NotSocks5(0)),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ProxyError::NotSocks5(b'H')),
        (b"", ProxyError::Eof),
        (b"\x05", ProxyError::Eof),
        (b"\x05\x00", ProxyError::Eof),
    ] {
        assert_eq!(socks(answer), Err(error), "{answer:?}");
    }
}

// RFC 1928 §6: the address of a reply may be of any type; what follows belongs to the tunnel.
#[test]
fn socks5_reply_ends_where_its_address_says() {
    let long = [&b"\x03\xff"[..], &[b'a'; 255]].concat();
    for address in [
        &b"\x01\x7f\0\0\x01"[..],
        b"\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01",
        b"\x03\x00",
        b"\x03\x01a",
        &long,
    ] {
        let reply = [b"\x05\x00\x05\x00\x00", address, b"\x12\x34"].concat();
        for tunnel in [&b""[..], b"\x05", b"\x16\x03\x01\0\0"] {
            let answer = [&reply, tunnel].concat();
            assert_eq!(socks(&answer), Ok(reply.len()), "{answer:?}");
        }
        assert_eq!(socks(&reply[..reply.len() - 1]), Err(ProxyError::Eof));
    }
}

#[test]
fn socks5_refusals_are_told_in_words() {
    for (code, words) in [
        (1, "general failure"),
        (2, "not allowed"),
        (3, "network is unreachable"),
        (4, "host is unreachable"),
        (5, "connection was refused"),
        (6, "TTL expired"),
        (7, "CONNECT"),
        (8, "type of address"),
        (9, "unknown code 9"),
        (255, "unknown code 255"),
    ] {
        // Some say no more than that.
        for rest in [&b""[..], b"\x00", b"\x00\x01\0\0\0\0\0\0", b"\x01\x07"] {
            let answer = [&[5, 0, 5, code], rest].concat();
            let error = socks(&answer).unwrap_err();
            assert_eq!(error, ProxyError::Socks5Refused(code));
            assert!(error.to_string().contains(words), "{error}");
        }
    }
    for (answer, error) in [
        (&b"\x05\x00\x05\x00\x01\x01\0\0\0\0\0\0"[..], ProxyError::MalformedReply),
        (b"\x05\x00\x05\x00\x00\x00\0\0\0\0\0\0", ProxyError::MalformedReply),
        (b"\x05\x00\x05\x00\x00\x02\0\0\0\0\0\0", ProxyError::MalformedReply),
        (b"\x05\x00\x01\x00\x00\x01\0\0\0\0\0\0", ProxyError::NotSocks5(1)),
        (b"\x05\x00\x05\x00\x00\x03", ProxyError::Eof),
    ] {
        assert_eq!(socks(answer), Err(error), "{answer:?}");
    }
}

#[test]
fn credentials_are_never_shown() {
    let credentials = Some(("hidden-user", "hidden-password"));
    for new in [HTTP, SOCKS5] {
        for answer in [&b""[..], b"\x05\x02\x01\x01", b"HTTP/1.1 407 x\r\n\r\n"] {
            let mut proxy = new("example.com", 443, credentials).unwrap();
            let mut out = [0; 512];
            loop {
                for shown in [format!("{proxy:?}"), format!("{proxy:#?}")] {
                    assert!(!shown.contains("hidden") && !shown.contains("aGlkZGVu"), "{shown}");
                    assert!(shown.contains("example.com"), "{shown}");
                }
                match proxy.next(answer, &mut out) {
                    Ok(ProxyStep::Write(_)) => {}
                    Ok(_) => break,
                    Err(error) => {
                        assert!(!format!("{error} {error:?}").contains("hidden"));
                        break;
                    }
                }
            }
        }
    }
}

/// Something like an answer.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let http = (
        prop_oneof![Just(""), Just("HTTP/1.1 100 x\r\n\r\n"), Just("HTTP/1.1 101 x\r\n\r\n")],
        prop_oneof![Just("200"), Just("407"), Just("403"), Just("2x"), Just("999")],
        prop::sample::select(vec![
            "",
            "Content-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\n",
            "a b\r\n",
            "a: b\n",
            "Proxy-Authenticate: Basic\r\nProxy-Authenticate: Digest\r\n",
        ]),
        prop::collection::vec(any::<u8>(), 0..120),
    )
        .prop_map(|(before, status, fields, body)| {
            let head = format!("{before}HTTP/1.1 {status} x\r\n{fields}\r\n");
            [head.into_bytes(), body].concat()
        });
    let byte = || prop_oneof![4 => 0..6_u8, 1 => any::<u8>()];
    let socks = prop::collection::vec(byte(), 0..40);
    let reply =
        prop::collection::vec(byte(), 0..30).prop_map(|rest| [vec![5, 0, 5, 0, 0], rest].concat());
    prop_oneof![http, socks, reply, prop::collection::vec(any::<u8>(), 0..40)]
}

proptest! {
    #[test]
    fn outcome_does_not_depend_on_how_the_answer_is_cut(
        answer in answers(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        with_credentials: bool,
    ) {
        let credentials = USER.filter(|_| with_credentials);
        for new in [HTTP, SOCKS5] {
            let (_, result) = outcome(new, "example.com", 80, credentials, &answer);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(answer.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut start = 0;
            for cut in cuts.into_iter().chain([answer.len()]) {
                pieces.push(&answer[start..cut]);
                start = cut;
            }
            let proxy = new("example.com", 80, credentials).unwrap();
            prop_assert_eq!(play(proxy, pieces).1, result);
        }
    }

    #[test]
    fn written_heads_have_the_lines_they_should_have(host: String, user: String, password: String) {
        let Ok(proxy) = HTTP(&host, 80, Some((&user, &password))) else { return Ok(()) };
        let written = String::from_utf8(play(proxy, []).0).unwrap();
        prop_assert_eq!(written.matches("\r\n").count(), 4);
        prop_assert!(written.lines().all(|line| !line.chars().any(char::is_control)));
    }
}
