//! Small values: their defaults, their bounds, and what `Debug` shows of them.
#![cfg(feature = "endpoint")]

use std::time::Duration;

use bytes::{Buf, Bytes};
use ws_core::endpoint::{Endpoint, Next, Options, Output};
use ws_core::frame::MaskingKey;
use ws_core::handshake::{AcceptResponse, FieldSlots, FirstBytes};
use ws_core::{Config, Connection, Input, Instant, Message, PreparedMessage, Role, Step, Text};

const START: Instant = Instant::from_millis(0);

#[test]
fn debug_shows_keys_and_messages_but_no_first_bytes() {
    let key = MaskingKey::new([0x07, 0xfa, 0x21, 0x3d]);
    assert_eq!(format!("{key:?}"), "MaskingKey(0x07fa213d)");
    let prepared = PreparedMessage::new(&Message::from("tick"));
    assert_eq!(format!("{prepared:?}"), "PreparedMessage(Text(\"tick\"))");
    let first = format!("{:?}", FirstBytes::request());
    assert!(first.starts_with("FirstBytes { stage: ") && first.ends_with(", .. }"), "{first}");
}

#[test]
fn text_is_lent_as_a_string_and_becomes_bytes() {
    let text = Text::from_static("grün");
    assert_eq!(AsRef::<str>::as_ref(&text), "grün");
    assert_eq!(Bytes::from(text), "grün".as_bytes());
    assert!(Message::from("").is_empty() && !Message::from("a").is_empty());
}

#[test]
fn a_default_subprotocol_does_not_replace_one_that_was_chosen() {
    let answer = AcceptResponse::new;
    assert_eq!(answer().default_subprotocol("chat"), answer().subprotocol("chat"));
    let chosen = answer().subprotocol("b");
    assert_eq!(chosen.default_subprotocol("a"), answer().subprotocol("b"));
    assert_eq!(answer().subprotocol(None).default_subprotocol("a"), answer().subprotocol(None));
}

#[test]
fn defaults_are_what_new_returns() {
    assert_eq!(format!("{:?}", Options::default()), format!("{:?}", Options::new()));
    assert_eq!(
        format!("{:?}", FieldSlots::<8>::default()),
        format!("{:?}", FieldSlots::<8>::new())
    );
}

#[test]
fn a_point_in_time_is_made_of_what_has_elapsed() {
    let day = Duration::from_secs(24 * 60 * 60);
    assert_eq!(Instant::from_elapsed(Duration::from_micros(1_999)), Instant::from_millis(1));
    // Modulo 2^32: after 49 days and 17 hours it begins anew.
    assert_eq!(
        Instant::from_elapsed(50 * day).as_millis(),
        (50 * 86_400_000_u64 % (1 << 32)) as u32
    );
    assert_eq!(START.saturating_add(Duration::ZERO), START);
    assert_eq!(START.saturating_add(100 * day), START.saturating_add(24 * day));
}

#[test]
fn an_answer_says_until_when() {
    let idle = Duration::from_secs(5);
    let config = Config::new().idle_timeout(Some(idle)).close_timeout(Some(2 * idle));
    let mut server = Endpoint::server_after_handshake(config, b"");
    assert_eq!(server.outbound.close_timeout(), Some(2 * idle));
    let next = server.next(|| START);
    assert!(matches!(next, Next::Wait { .. }), "{next:?}");
    assert_eq!(next.until(), Some(START.saturating_add(idle)));
    // Whoever gets an event does not wait.
    assert_eq!(server.inbound.receive(b"\x81\x80\0\0\0\0"), 6);
    let next = server.next(|| START);
    assert!(matches!(next, Next::Event(_)), "{next:?}");
    assert_eq!(next.until(), None);
    let patient = Endpoint::server_after_handshake(Config::new().close_timeout(None), b"");
    assert_eq!(patient.outbound.close_timeout(), None);
}

// RFC 6455 §5.4: fragments may be forwarded as they come
#[test]
fn a_chunk_is_forwarded_as_a_fragment_of_its_message() {
    for compressed in [false, true] {
        let first = if compressed { 0x41 } else { 0x01 };
        let frames = [&[first, 2][..], b"He", &[0x80, 3], b"llo", &[0x82, 1], b"!"].concat();
        let mut client = Connection::with_compression(Role::Client, Config::new(), true);
        let mut buffer = frames.clone();
        let mut input = Input::new(&mut buffer);
        let mut server = Connection::with_compression(Role::Server, Config::new(), true);
        let mut forwarded: Vec<u8> = Vec::new();
        while let Step::Data(chunk) = client.next(&mut input, || START) {
            let mut out = [0; 16];
            let len = server.sender.encode(chunk.frame(), chunk.bytes, None, &mut out).unwrap();
            forwarded.extend(&out[..len]);
        }
        assert_eq!(forwarded, frames);
    }
}

#[test]
fn an_answer_may_be_longer_than_most() {
    let long = "y".repeat(100_000);
    let mut server = Endpoint::server(Options::new());
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    assert_eq!(server.inbound.receive(request), request.len());
    assert!(matches!(server.next(|| START), Next::Event(_)));
    server.outbound.accept(&AcceptResponse::new().headers(&[("X", &long)])).unwrap();
    let mut batch = Output::default();
    server.outbound.take_output(&mut batch);
    let head = batch.copy_to_bytes(batch.remaining());
    assert!(
        head.starts_with(b"HTTP/1.1 101 ")
            && head.ends_with(format!("X: {long}\r\n\r\n").as_bytes())
    );
}

#[test]
fn output_is_taken_as_a_buffer() {
    let written = |take: fn(&mut dyn Buf) -> Vec<u8>| {
        let mut server = Endpoint::server_after_handshake(Config::new(), b"");
        server.outbound.queue("tick").unwrap();
        server.outbound.queue(vec![7; 10_000]).unwrap();
        let Next::Write { mut output, .. } = server.next(|| START) else { panic!("output") };
        assert_eq!(output.remaining(), 6 + 4 + 10_000);
        let taken = take(&mut output);
        assert!(matches!(server.next(|| START), Next::Wait { .. }));
        taken
    };
    let expected = [&b"\x81\x04tick\x82\x7e\x27\x10"[..], &[7; 10_000]].concat();
    let mut server = Endpoint::server_after_handshake(Config::new(), b"");
    server.outbound.queue("tick").unwrap();
    let mut batch = Output::default();
    server.outbound.take_output(&mut batch);
    Buf::advance(&mut batch, 2);
    assert_eq!((batch.remaining(), Buf::chunk(&batch)), (4, &b"tick"[..]));
    let by_chunks = written(|output| {
        let mut bytes = Vec::new();
        while output.has_remaining() {
            bytes.extend(output.chunk());
            output.advance(output.chunk().len());
        }
        bytes
    });
    assert_eq!(by_chunks, expected);
    #[cfg(feature = "std")]
    {
        let by_slices = written(|output| {
            let mut slices = [std::io::IoSlice::new(&[]); 4];
            let count = output.chunks_vectored(&mut slices);
            let bytes = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect::<Vec<_>>();
            output.advance(bytes.len());
            bytes
        });
        assert_eq!(by_slices, expected);
    }
}

#[cfg(feature = "zlib-rs")]
#[test]
fn options_of_compression_are_clamped_and_have_defaults() {
    use ws_core::deflate::{DeflateConfig, DeflateOptions, Limits, Pool};
    use ws_core::endpoint::Compression;

    assert!(format!("{:?}", Pool::default()).starts_with("Pool"));
    let options = DeflateOptions::new;
    assert_eq!((DeflateOptions::default(), Limits::default()), (options(), Limits::new()));
    assert_eq!(options().level(10), options().level(9));
    assert_eq!(options().mem_level(0), options().mem_level(1));
    assert_eq!(options().mem_level(10), options().mem_level(9));
    let shown = format!("{:?}", Compression::default().level(3));
    assert!(shown.starts_with("Compression { ") && shown.contains("level: 3"), "{shown}");
    let offer = DeflateConfig::new().offer();
    assert_eq!(
        format!("{offer:?}"),
        "DeflateExtension(\"permessage-deflate; client_max_window_bits\")"
    );
}
