//! Finding the end of a head (RFC 9112 §2).
#![cfg(feature = "handshake")]

use proptest::prelude::*;
use ws_core::handshake::{
    ClientKey, DEFAULT_MAX_HEAD, FieldSlots, HandshakeError, HeadReader, RequestHead, ResponseHead,
};

const LIMIT: usize = 16 * 1024;

/// Where the head ends in the whole of the bytes, or the error.
type Outcome = Result<Option<usize>, HandshakeError>;

/// A reader of requests or of responses, made with its limit.
type NewReader = fn(usize) -> HeadReader;

fn push_pieces<'b>(
    new_reader: NewReader,
    limit: usize,
    pieces: impl IntoIterator<Item = &'b [u8]>,
) -> Outcome {
    let mut reader = new_reader(limit);
    let mut total = 0;
    for piece in pieces {
        match reader.push(piece) {
            Ok(None) => total += piece.len(),
            Ok(Some(len)) => {
                assert!((total + 1..=total + piece.len()).contains(&len));
                assert_eq!(reader.push(b"next"), Ok(Some(len)));
                return Ok(Some(len));
            }
            Err(error) => {
                assert_eq!(reader.push(b"\r\n\r\n"), Err(error));
                return Err(error);
            }
        }
    }
    Ok(None)
}

/// The one outcome at once, byte by byte, and at every split into two.
fn outcome_with(new_reader: NewReader, limit: usize, bytes: &[u8]) -> Outcome {
    let at_once = push_pieces(new_reader, limit, [bytes]);
    assert_eq!(push_pieces(new_reader, limit, bytes.chunks(1)), at_once);
    for split in 0..=bytes.len() {
        let (left, right) = bytes.split_at(split);
        assert_eq!(push_pieces(new_reader, limit, [left, right]), at_once, "split at {split}");
    }
    at_once
}

fn request(bytes: &[u8]) -> Outcome {
    outcome_with(HeadReader::request, LIMIT, bytes)
}

#[test]
fn head_ends_with_an_empty_line() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX:\ty\r\n\r\n";
    assert_eq!(request(head), Ok(Some(head.len())));
    for end in 0..head.len() {
        assert_eq!(request(&head[..end]), Ok(None));
    }
    assert_eq!(request(b"x\r\n\r\n\r\n\r\n"), Ok(Some(5)));
}

// RFC 6455 §4.2.2, §5.1: what follows the head belongs to the WebSocket stream.
#[test]
fn server_pipelined_frames_after_request() {
    let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    let end = bytes.len();
    bytes.extend_from_slice(b"\x81\x82\0\0\0\0\n\n");
    assert_eq!(request(&bytes), Ok(Some(end)));
}

// RFC 9112 §2.2.
#[test]
fn http_bare_cr_rejected() {
    for bytes in [
        &b"GET /\rx"[..],
        b"GET / HTTP/1.1\r\r\n",
        b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n\rx",
        b"\r\r\n",
        b"\r\n\rGET",
        b"a\r\0",
    ] {
        assert_eq!(request(bytes), Err(HandshakeError::BareCr), "{bytes:?}");
    }
    assert_eq!(HandshakeError::BareCr.status(), Some(400));
}

// RFC 9112 §2.2: a line may be taken to end with LF alone; this reader does not.
#[test]
fn http_bare_lf_rejected() {
    for bytes in [
        &b"\n"[..],
        b"\r\n\n",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\n\n",
        b"GET / HTTP/1.1\r\n\n",
        b"GET / HTTP/1.1\r\nA: b\n\r\n",
        b"GET / HTTP/1.1\r\nA: a long value that takes more than one word\n",
        b"GET / HTTP/1.1\r\nA: b\r\n\n\x81\x80",
        // Enough of the usual lines follow that they are read at once.
        b"GET / HTTP/1.1\nHost: example.com\r\nA: a long value that takes more than one block\r\n\r\n",
    ] {
        assert_eq!(request(bytes), Err(HandshakeError::BareLf), "{bytes:?}");
    }
    assert_eq!(HandshakeError::BareLf.status(), Some(400));
}

// RFC 9110 §5.5; a TLS greeting on a plain port is refused early, too.
#[test]
fn nul_rejected_as_soon_as_seen() {
    for bytes in [&b"\0"[..], b"GET /\0", b"GET / HTTP/1.1\r\nA: b\0", b"\x16\x03\x01\x02\0\x01"] {
        assert_eq!(request(bytes), Err(HandshakeError::Nul), "{bytes:?}");
    }
}

// RFC 9112 §2.2: a server skips empty lines before the request line.
#[test]
fn http_leading_crlf_ignored() {
    let bytes = b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    assert_eq!(request(bytes), Ok(Some(bytes.len() - 4)));
    let mut slots = FieldSlots::<4>::new();
    let head = RequestHead::parse(&bytes[..bytes.len() - 4], &mut slots).unwrap();
    assert_eq!((head.method(), head.target(), head.field("host")), ("GET", "/", Some(&b"a"[..])));
    // They count toward the limit, so that they cannot go on for ever.
    let empty = b"\r\n".repeat(8);
    let outcome = outcome_with(HeadReader::request, 16, &empty);
    assert_eq!(outcome, Err(HandshakeError::RequestLineTooLong));
    // A server has no reason to send them.
    let outcome = outcome_with(HeadReader::response, LIMIT, b"\r\nHTTP/1.1 101 \r\n\r\n");
    assert_eq!(outcome, Err(HandshakeError::MalformedStatusLine));
}

// RFC 9112 §3 and RFC 6585 §5; limits from the first byte too many, not later.
#[test]
fn http_limits_414_431() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let limit = |limit| outcome_with(HeadReader::request, limit, head);
    assert_eq!(limit(head.len()), Ok(Some(head.len())));
    for short in 16..head.len() {
        assert_eq!(limit(short), Err(HandshakeError::HeadTooLarge), "{short}");
    }
    for short in 0..16 {
        assert_eq!(limit(short), Err(HandshakeError::RequestLineTooLong), "{short}");
    }
    assert_eq!(HandshakeError::HeadTooLarge.status(), Some(431));
    assert_eq!(HandshakeError::RequestLineTooLong.status(), Some(414));
    for short in 0..head.len() {
        let outcome = outcome_with(HeadReader::response, short, head);
        assert_eq!(outcome, Err(HandshakeError::ResponseHeadTooLarge));
    }
    // The fault that comes first wins.
    let outcome = outcome_with(HeadReader::request, 4, b"abc\n");
    assert_eq!(outcome, Err(HandshakeError::BareLf));
    let outcome = outcome_with(HeadReader::request, 3, b"abc\n");
    assert_eq!(outcome, Err(HandshakeError::RequestLineTooLong));
}

// The limit that the documentation recommends.
#[test]
fn recommended_limit_is_16_kib() {
    let head = |length: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4))
    };
    let push = |head: String| HeadReader::request(DEFAULT_MAX_HEAD).push(head.as_bytes());
    assert_eq!(push(head(16_384)), Ok(Some(16_384)));
    assert_eq!(push(head(16_385)), Err(HandshakeError::HeadTooLarge));
}

// Each byte is handed over once, however many calls it takes. That none is parsed again, tests/work.rs shows with conformance/work.
#[test]
fn head_is_read_once_however_chunked() {
    let mut head = b"GET / HTTP/1.1\r\n".to_vec();
    while head.len() < LIMIT - 40 {
        head.extend_from_slice(b"Filler: xxxxxxxxxxxxxxxx\r\n");
    }
    head.extend_from_slice(b"\r\n");
    for piece in [1, 2, 3, 7, 8, 9, 64, 1000, head.len()] {
        let mut reader = HeadReader::request(LIMIT);
        let mut handed_over = 0;
        let mut end = None;
        for piece in head.chunks(piece) {
            handed_over += piece.len();
            end = reader.push(piece).unwrap();
        }
        assert_eq!(handed_over, head.len());
        assert_eq!(end, Some(head.len()));
    }
}

/// The rules of RFC 9112 §2.2 word by word, over all bytes at once.
fn reference(bytes: &[u8], limit: usize) -> Outcome {
    let mut started = false;
    let mut line_ended = false;
    let mut line_length = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if index >= limit {
            break;
        }
        let after_cr = index > 0 && bytes[index - 1] == b'\r';
        match byte {
            b'\n' if after_cr && started && line_length == 0 => return Ok(Some(index + 1)),
            b'\n' if after_cr => {
                line_ended |= started;
                line_length = 0;
            }
            _ if after_cr => return Err(HandshakeError::BareCr),
            b'\n' => return Err(HandshakeError::BareLf),
            0 => return Err(HandshakeError::Nul),
            b'\r' => {}
            _ => {
                started = true;
                line_length += 1;
            }
        }
    }
    match (bytes.len() >= limit, line_ended) {
        (false, _) => Ok(None),
        (true, true) => Err(HandshakeError::HeadTooLarge),
        (true, false) => Err(HandshakeError::RequestLineTooLong),
    }
}

/// Bytes that are mostly heads, with the troublesome ones at every turn.
fn head_like() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => Just(b"\r\n".to_vec()),
        2 => Just(b"Host: example.com\r\n".to_vec()),
        2 => Just(b"GET / HTTP/1.1\r\n".to_vec()),
        4 => "[ -~]{0,20}".prop_map(String::into_bytes),
        1 => prop::sample::select(&b"\r\n\0\t\x0e\x0d\x80\xff"[..]).prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

fn parse_any<'h, const N: usize>(
    bytes: &'h [u8],
    first: &mut FieldSlots<'h, N>,
    second: &mut FieldSlots<'h, N>,
) {
    if let Ok(request) = RequestHead::parse(bytes, first) {
        assert!(request.fields().count() <= N);
        let _ = request.upgrade().map(|upgrade| upgrade.map(|found| found.subprotocols().count()));
    }
    if let Ok(response) = ResponseHead::parse(bytes, second) {
        assert!(response.fields().count() <= N);
        let _ = response.accept(&ClientKey::from_nonce([0; 16]), ["a"], Some("a"));
    }
}

proptest! {
    #[test]
    fn head_reader_agrees_with_the_reference_however_chunked(
        bytes in prop_oneof![3 => head_like(), 1 => prop::collection::vec(any::<u8>(), 0..100)],
        cuts in prop::collection::vec(0..200_usize, 0..8),
        limit in prop_oneof![Just(LIMIT), 1..120_usize],
    ) {
        let expected = reference(&bytes, limit);
        prop_assert_eq!(push_pieces(HeadReader::request, limit, [&bytes[..]]), expected);
        prop_assert_eq!(push_pieces(HeadReader::request, limit, bytes.chunks(1)), expected);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
        prop_assert_eq!(push_pieces(HeadReader::request, limit, pieces), expected);
    }

    // RFC 6455 §10.1, §10.7: any bytes are handled.
    #[test]
    fn parsing_any_bytes_never_panics(
        bytes in prop_oneof![head_like(), prop::collection::vec(any::<u8>(), 0..200)],
    ) {
        parse_any(&bytes, &mut FieldSlots::<0>::new(), &mut FieldSlots::<0>::new());
        parse_any(&bytes, &mut FieldSlots::<1>::new(), &mut FieldSlots::<1>::new());
        parse_any(&bytes, &mut FieldSlots::<16>::new(), &mut FieldSlots::<16>::new());
    }

    // What the reader finds complete, and nothing else, is a head to the parser.
    #[test]
    fn parser_and_reader_agree_about_line_ends(bytes in head_like()) {
        let mut slots = FieldSlots::<32>::new();
        if RequestHead::parse(&bytes, &mut slots).is_ok() {
            let found = push_pieces(HeadReader::request, LIMIT, [&bytes[..]]);
            prop_assert_eq!(found, Ok(Some(bytes.len())));
        }
    }
}
