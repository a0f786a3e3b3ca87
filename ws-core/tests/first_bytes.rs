//! Peers that do not speak HTTP, told by their first bytes in both roles.
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use common::*;
use ends::{Seen, *};
use proptest::prelude::*;
use ws_core::Endpoint;
use ws_core::endpoint::{EndpointError, Options};
use ws_core::handshake::HandshakeError::{self, *};
use ws_core::handshake::{ClientRequest, FieldSlots, FirstBytes, RequestHead, ResponseHead};

/// Greetings of other protocols that a server may send to a client, and what the error shows of them.
const GREETINGS: &[(&[u8], &str)] = &[
    (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "SSH-2.0-OpenSSH_9.2p1 De"),
    (b"220 mail.example.com ESMTP Postfix\r\n", "220 mail.example.com ESM"),
    (b"220 ready\r\n", "220 ready"),
    (b"-ERR unknown command 'GET'\r\n", "-ERR unknown command 'GE"),
    (b"+OK POP3\r\n", "+OK POP3"),
    (b"* OK IMAP4\n", "* OK IMAP4"),
    (b"RFB 003.008\n", "RFB 003.008"),
    (b"ICY 200 OK\r\n", "ICY 200 OK"),
    (b"HTTQ/1.1 200 OK\r\n", "HTTQ/1.1 200 OK"),
    (b"HT\r\n", "HT"),
    (b"http/1.1 200 OK\r\n", "http/1.1 200 OK"),
    (b"\x1b[31mhello", "\\u{1b}"),
    (b"J\0\0\0\n8.0.36", "J\\0"),
    (b"\0\0\x12\x04\0", "\\0"),
    (b"\xff\xfd\x18", "\\xff"),
    (b"\x16\x02", "\\u{16}\\u{2}"),
    (b"<html><head><title>Moved", "<html><head><title>Moved"),
];

/// What clients of other protocols send to a server.
const REQUESTS: &[(&[u8], &str)] = &[
    (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2"),
    (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "SSH-2.0-OpenSSH_9.2p1 De"),
    (b"EHLO example.com\r\n", "EHLO example.com"),
    (b"*1\r\n$4\r\nPING\r\n", "*1"),
    (b"QUIT\r\n", "QUIT"),
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY TCP4 192.0.2.1 192"),
    (b"POST /\r\n", "POST /"),
    (b"POST / HTTP/1.\r\n", "POST / HTTP/1."),
    (b"POST / HTTP/1.x\r\n", "POST / HTTP/1.x"),
    (b"POST / HTTP/1.1 \r\n", "POST / HTTP/1.1 "),
    (b"POST /HTTP/1.1\r\n", "POST /HTTP/1.1"),
    (b"{\"type\":\"hello\"}\n", "{\\\"type\\\":\\\"hello\\\"}"),
    (b"{\"type\":\"hello\",\"to\":\"world\"}", "{\\\"type\\\":\\\"hello\\\",\\\"to\\\":\\\"wo"),
    (b"\r\n\r\n\0\r\nQUIT\n", "\\0"),
    (b"\0\0\0\x08\x04\xd2\x16\x2f", "\\0"),
    (b"\x10\x10\0\x04MQTT", "\\u{10}"),
    (b"GE\0", "GE\\0"),
    (b" GET / HTTP/1.1\r\n", " GET / HTTP/1.1"),
    (b"G\xc3\x89T / HTTP/1.1", "G\\xc3"),
    (b"\x17\0", "\\u{17}\\0"),
];

/// What may still become HTTP, whatever is wrong with it: it is read on.
const STATUS_LINES: &[&[u8]] =
    &[b"", b"H", b"HTTP", b"HTTP/", b"HTTP/1.1 200 OK\r\n", b"HTTP/2 200\r\n", b"HTTP/1.1 \0"];
const REQUEST_LINES: &[&[u8]] = &[
    b"",
    b"\r",
    b"\r\n\r\nG",
    b"GET",
    b"GET ",
    b"GET /\r\n",
    b"GET /chat HTTP/1.1\r\n",
    b"POST / HTTP/1.1\r\n",
    b"HEAD / HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.0\r\n",
    b"X HTTP/1.1 HTTP/9.9\r\n",
    b"A-METHOD-THAT-IS-LONGER-THAN-WHAT-IS-SHOWN",
    b"A-METHOD-THAT-IS-LONGER-THAN-WHAT-IS-SHOWN / HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// The one outcome at once, byte by byte, and at every split into two, with what is shown.
#[track_caller]
fn outcome(new: fn() -> FirstBytes, bytes: &[u8]) -> (Result<(), HandshakeError>, String) {
    let push = |pieces: &[&[u8]]| {
        let mut first = new();
        let outcome = pieces.iter().try_for_each(|piece| first.push(piece));
        assert_eq!(first.push(b""), outcome, "it stays");
        (outcome, first.to_string())
    };
    let at_once = push(&[bytes]);
    let each = push(&bytes.chunks(1).collect::<Vec<_>>());
    assert_eq!(each.0, at_once.0);
    for split in 0..=bytes.len() {
        let (left, right) = bytes.split_at(split);
        let cut = push(&[left, right]);
        assert_eq!(cut.0, at_once.0, "split at {split}");
        if at_once.0.is_err() {
            assert_eq!((&cut.1, &each.1), (&at_once.1, &at_once.1), "split at {split}");
        }
    }
    at_once
}

#[test]
fn a_client_tells_other_protocols_by_their_greeting() {
    for (greeting, shown) in GREETINGS {
        let expected = (Err(NotHttp), format!("\"{shown}\""));
        assert_eq!(outcome(FirstBytes::response, greeting), expected);
    }
    for line in STATUS_LINES {
        assert_eq!(outcome(FirstBytes::response, line).0, Ok(()), "{line:?}");
    }
}

/// What is shown of a request: what follows its first word may be secret.
fn first_word(line: &str) -> String {
    match line.split_once([' ', '?', ':']) {
        Some((word, _)) => format!("\"{word}\"…"),
        None => format!("\"{line}\""),
    }
}

#[test]
fn a_server_tells_other_protocols_by_their_first_line() {
    for (line, shown) in REQUESTS {
        assert_eq!(outcome(FirstBytes::request, line), (Err(NotHttp), first_word(shown)));
    }
    for line in REQUEST_LINES {
        assert_eq!(outcome(FirstBytes::request, line).0, Ok(()), "{line:?}");
    }
}

#[test]
fn what_may_be_secret_in_a_request_line_is_not_shown() {
    for (line, shown) in [
        (&b"OPTIONS rtsp://u:hidden@a/ RTSP/1.0\r\n"[..], "\"OPTIONS\"…"),
        (b"POST /?hidden\r\n", "\"POST\"…"),
        (b"PASS hidden\r\n", "\"PASS\"…"),
        (b"A:// b\r\n", "\"A\"…"),
        (b"what?hidden\r\n", "\"what\"…"),
    ] {
        assert_eq!(outcome(FirstBytes::request, line), (Err(NotHttp), shown.to_owned()));
    }
    let (_, shown) = outcome(FirstBytes::response, b"what? http://a\n");
    assert_eq!(shown, "\"what? http://a\"");
}

// RFC 8446 §5.1, of any version since SSL 3.0: handshake, alert, and the others.
#[test]
fn tls_records_are_told_by_two_bytes() {
    for record in [&b"\x16\x03\x01\x02\0\x01"[..], b"\x15\x03\x03\0\x02\x02\x46", b"\x16\x03"] {
        assert_eq!(outcome(FirstBytes::response, record).0, Err(TlsResponse));
        assert_eq!(outcome(FirstBytes::request, record).0, Err(TlsRequest));
    }
    assert_eq!(outcome(FirstBytes::request, b"\r\n\x16\x03").0, Err(TlsRequest));
    assert_eq!(TlsResponse.to_string(), "the peer speaks TLS: wss://?");
    assert_eq!((TlsResponse.status(), TlsRequest.status()), (None, None));
    assert_eq!(NotHttp.status(), Some(400));
}

#[test]
fn text_whose_line_has_not_ended_is_told_when_no_more_comes() {
    for (bytes, expected) in [
        (&b""[..], None),
        (b"HTT", None),
        (b"HTTP/1.1", None),
        (b"SSH", Some(NotHttp)),
        (b"HTTX", Some(NotHttp)),
        (b"\x16", Some(NotHttp)),
        (b"\x16\x03", Some(TlsResponse)),
    ] {
        let mut first = FirstBytes::response();
        let _ = first.push(bytes);
        assert_eq!(first.at_end(), expected, "{bytes:?}");
    }
    for (bytes, expected) in
        [(&b"GET"[..], None), (b"SSH-2.0", None), (b"{\"a\"", Some(NotHttp)), (b"\r\n", None)]
    {
        let mut first = FirstBytes::request();
        assert_eq!(first.push(bytes), Ok(()));
        assert_eq!(first.at_end(), expected, "{bytes:?}");
    }
}

/// What an endpoint has told, in pieces of this size, until it has failed, and its output.
fn told(mut endpoint: Endpoint, bytes: &[u8], piece: usize) -> (Endpoint, Vec<Seen>, Vec<u8>) {
    let mut all = Vec::new();
    for piece in bytes.chunks(piece) {
        all.extend(feed(&mut endpoint, piece));
    }
    let output = take(&mut endpoint);
    (endpoint, all, output)
}

fn client() -> Endpoint {
    asking(&ClientRequest::new("example.com", "/"), Options::new())
}

fn shown(endpoint: &Endpoint) -> String {
    endpoint.inbound.handshake_failure().expect("a failure").to_string()
}

// At once, not at the deadline: with what was seen, and the same however it is cut.
#[test]
fn endpoints_fail_at_the_first_bytes_of_another_protocol() {
    const TEXT: &str = "the peer does not speak HTTP (RFC 9112 §2.1)";
    for piece in [1, 2, 7, usize::MAX] {
        for (greeting, first) in GREETINGS {
            let (client, events, output) = told(client(), greeting, piece);
            assert_eq!(events, [failed(NotHttp)], "{first}");
            assert_eq!(shown(&client), format!("{TEXT}: it begins with \"{first}\""));
            assert_eq!(output, b"", "a client answers nothing");
        }
        for (line, first) in REQUESTS {
            let (server, events, output) = told(Endpoint::server(Options::new()), line, piece);
            assert_eq!(events, [failed(NotHttp)], "{first}");
            assert_eq!(shown(&server), format!("{TEXT}: it begins with {}", first_word(first)));
            assert!(output.starts_with(b"HTTP/1.1 400 Bad Request\r\n"), "{first}");
            assert!(
                output.ends_with(format!("\r\n\r\n{TEXT}\n").as_bytes()),
                "no byte of the peer's"
            );
        }
        let hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03";
        let (client, events, output) = told(client(), hello, piece);
        assert_eq!((events, &*output), (vec![failed(TlsResponse)], &b""[..]));
        assert_eq!(shown(&client), "the peer speaks TLS: wss://?");
        let (server, events, output) = told(Endpoint::server(Options::new()), hello, piece);
        assert_eq!((events, &*output), (vec![failed(TlsRequest)], &b""[..]));
        assert_eq!(shown(&server), "the client speaks TLS to a port without TLS (RFC 8446 §5.1)");
    }
}

// RFC 9113 §3.4: a client of HTTP/2 that takes for granted that the server speaks it, too.
#[test]
fn a_server_answers_the_preface_of_http2_with_505() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for piece in [1, 2, 7, usize::MAX] {
        let (_, events, output) = told(Endpoint::server(Options::new()), preface, piece);
        assert_eq!(events, [failed(UnsupportedHttpVersion)]);
        assert!(output.starts_with(b"HTTP/1.1 505 HTTP Version Not Supported\r\n"));
    }
}

#[test]
fn endpoints_tell_unfinished_text_at_the_end_and_at_the_deadline() {
    for (bytes, at_end, late) in [
        (&b"SSH-2.0"[..], failed(NotHttp), failed(NotHttp)),
        (b"\x15", failed(NotHttp), failed(NotHttp)),
        (
            b"HTT",
            Seen::Failed(EndpointError::HandshakeEof),
            Seen::Failed(EndpointError::HandshakeTimeout),
        ),
    ] {
        let mut ended = client();
        assert_eq!(feed(&mut ended, bytes), []);
        ended.inbound.receive_eof();
        assert_eq!(seen(&mut ended), [at_end]);
        let mut waiting = client();
        assert_eq!(feed(&mut waiting, bytes), []);
        assert_eq!(seen_at(&mut waiting, 9_999), []);
        assert_eq!(seen_at(&mut waiting, 10_000), [late]);
        assert_eq!(ended.inbound.handshake_failure().is_some(), bytes != b"HTT");
    }
}

// What comes before the first line, or behind an interim response, is judged as ever.
#[test]
fn first_bytes_do_not_hide_other_faults() {
    for (bytes, error) in [
        (&b"\n"[..], BareLf),
        (b"\r\r\n", BareCr),
        (b"GET /\n", BareLf),
        (b"GET /\0", Nul),
        (b"POST /\0", Nul),
        (b"POST /\n", BareLf),
        (b"GET /\r\n\r\n", MalformedRequestLine),
    ] {
        for piece in [1, usize::MAX] {
            let (_, events, _) = told(Endpoint::server(Options::new()), bytes, piece);
            assert_eq!(events, [failed(error)], "{bytes:?}");
        }
    }
    for (bytes, error) in [
        (&b"\r\nHTTP/1.1 101 x\r\n"[..], MalformedStatusLine),
        (b"\nHTTP/1.1", BareLf),
        (b"HTTP/x\r\n\r\n", MalformedStatusLine),
        (b"HTTP/1.1 100 x\r\n\r\nSSH-2.0\r\n", NotHttp),
    ] {
        for piece in [1, usize::MAX] {
            let (_, events, _) = told(client(), bytes, piece);
            assert_eq!(events, [failed(error)], "{bytes:?}");
        }
    }
    // The limit counts from the first byte.
    for (max, error) in [(4, RequestLineTooLong), (16, RequestLineTooLong), (17, NotHttp)] {
        for piece in [1, 5, usize::MAX] {
            let server = Endpoint::server(Options::new().max_head(max));
            let (_, events, _) = told(server, b"EHLO example.com\r\n", piece);
            assert_eq!(events, [failed(error)], "{max}");
        }
    }
}

proptest! {
    // RFC 9112 §3, §4: the parsers have the last word about what is HTTP.
    #[test]
    fn no_head_that_can_be_parsed_is_refused_by_its_first_bytes(
        request in "(\r\n){0,2}[A-Z!#-'*+.^_`|~-]{1,30} [!-~]{1,30} HTTP/[0-9][.][0-9]\r\n\r\n",
        response in "HTTP/[0-9][.][0-9] [1-9][0-9]{2}( [ -~\u{e9}]{0,20})?\r\n\r\n",
    ) {
        let parsed = RequestHead::parse(request.as_bytes(), &mut FieldSlots::<1>::new()).map(drop);
        prop_assert!(matches!(parsed, Ok(()) | Err(UnsupportedHttpVersion)), "{:?}", parsed);
        prop_assert_eq!(outcome(FirstBytes::request, request.as_bytes()).0, Ok(()));
        let parsed = ResponseHead::parse(response.as_bytes(), &mut FieldSlots::<1>::new()).map(drop);
        prop_assert!(matches!(parsed, Ok(()) | Err(UnsupportedResponseVersion)), "{:?}", parsed);
        prop_assert_eq!(outcome(FirstBytes::response, response.as_bytes()).0, Ok(()));
    }

    #[test]
    fn any_first_bytes_come_to_the_same_however_they_are_cut(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "[A-Z ]{0,6}[ -~\r\n]{0,40}".prop_map(String::into_bytes),
            "(\r\n)?(GET|POST|X) /?[ -~]{0,4}( HTTP/1.1)?[\r\n]{0,3}".prop_map(String::into_bytes),
            "(\r\n)?HT?T?P?/?[ -~]{0,4}[\r\n]{0,3}".prop_map(String::into_bytes),
        ],
        piece in 1..8_usize,
    ) {
        let _ = (outcome(FirstBytes::request, &bytes), outcome(FirstBytes::response, &bytes));
        for new in [client, || Endpoint::server(Options::new())] {
            let (whole, events, output) = told(new(), &bytes, usize::MAX);
            let (cut, again, same) = told(new(), &bytes, piece);
            prop_assert_eq!((events, output), (again, same));
            let shown = |endpoint: &Endpoint| {
                endpoint.inbound.handshake_failure().map(ToString::to_string)
            };
            prop_assert_eq!(shown(&whole), shown(&cut));
        }
    }
}
