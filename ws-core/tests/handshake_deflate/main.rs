//! The negotiation of permessage-deflate (RFC 7692 §7.1), in both roles, over whole heads.
#![cfg(all(feature = "handshake", feature = "deflate"))]

mod agreement;
mod client;
mod server;

use ws_core::Role;
use ws_core::deflate::{DeflateConfig, DeflateParams, UnlimitedClient, WindowBits};
use ws_core::handshake::*;

const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n";
const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

fn bits(bits: u8) -> WindowBits {
    WindowBits::new(bits).unwrap()
}

/// Parameters in the order of their names in the RFC; zero bits stand for none.
fn params(server_no: bool, client_no: bool, server_bits: u8, client_bits: u8) -> DeflateParams {
    DeflateParams {
        server_no_context_takeover: server_no,
        client_no_context_takeover: client_no,
        server_max_window_bits: WindowBits::new(server_bits),
        client_max_window_bits: WindowBits::new(client_bits),
    }
}

/// A server with these settings, and without limits of its own otherwise.
const OPEN: DeflateConfig = DeflateConfig::new()
    .server_max_window_bits(WindowBits::MAX)
    .client_max_window_bits(WindowBits::MAX);

/// What a server answers to a request with these fields of extensions.
fn negotiate(
    config: &DeflateConfig,
    offers: &[&str],
) -> Result<Option<DeflateParams>, HandshakeError> {
    let fields = offers.iter().map(|value| format!("Sec-WebSocket-Extensions: {value}\r\n"));
    let head = format!("{REQUEST}{}\r\n", fields.collect::<String>());
    let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
    let upgrade = RequestHead::parse(head.as_bytes(), &mut slots)?.upgrade()?.unwrap();
    Ok(upgrade.deflate(config))
}

/// The same as the text of its answer. The answer is read back by [`check`], as that to a client that made this offer.
#[track_caller]
fn answer(config: &DeflateConfig, offers: &[&str]) -> Option<String> {
    let agreed = negotiate(config, offers).expect("well-formed offers")?;
    let answer = agreed.answer();
    let mut out = [0; 512];
    let response = AcceptResponse::new().extensions(answer.as_str());
    let length = response.write("dGhlIHNhbXBsZSBub25jZQ==", &mut out).unwrap();
    let written = format!("{RESPONSE}Sec-WebSocket-Extensions: {answer}\r\n\r\n");
    assert_eq!(out[..length], *written.as_bytes());
    assert_eq!(
        check(&offers.join(","), &[answer.as_str()]),
        Ok(Some(agreed)),
        "{offers:?}: {answer}"
    );
    Some(answer.to_string())
}

/// What a client makes of a response with these fields of extensions.
fn check(offer: &str, answers: &[&str]) -> Result<Option<DeflateParams>, HandshakeError> {
    let fields = answers.iter().map(|value| format!("Sec-WebSocket-Extensions: {value}\r\n"));
    let head = format!("{RESPONSE}{}\r\n", fields.collect::<String>());
    let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
    let response = ResponseHead::parse(head.as_bytes(), &mut slots)?;
    let key = ClientKey::from_nonce(*b"the sample nonce");
    response.accept(&key, [], Some(offer))?;
    response.deflate(Some(offer))
}

/// Parameters that are not valid: in an offer, the next one is tried; in an answer, the client fails.
const INVALID: [&str; 40] = [
    "x",
    "x=1",
    "Server_no_context_takeover",
    "server_no_context_takeover=1",
    "server_no_context_takeover=true",
    "client_no_context_takeover=\"1\"",
    "server_no_context_takeover; server_no_context_takeover",
    "client_no_context_takeover; client_no_context_takeover",
    "server_max_window_bits",
    "server_max_window_bits=9; server_max_window_bits=9",
    "server_max_window_bits=9; server_max_window_bits=10",
    "client_max_window_bits=9; client_max_window_bits=9",
    "client_max_window_bits=15; client_max_window_bits",
    "client_no_context_takeover; server_max_window_bits=10; x",
    "server_max_window_bits=0",
    "server_max_window_bits=7",
    "server_max_window_bits=16",
    "server_max_window_bits=08",
    "server_max_window_bits=010",
    "server_max_window_bits=+9",
    "server_max_window_bits=-9",
    "server_max_window_bits=9.0",
    "server_max_window_bits=0x9",
    "server_max_window_bits=1",
    "server_max_window_bits=80",
    "server_max_window_bits=150",
    "server_max_window_bits=265",
    "server_max_window_bits=4294967305",
    "server_max_window_bits=nine",
    "server_max_window_bits=\"7\"",
    "server_max_window_bits=\"08\"",
    "client_max_window_bits=7",
    "client_max_window_bits=16",
    "client_max_window_bits=08",
    "client_max_window_bits=+9",
    "client_max_window_bits=9.0",
    "client_max_window_bits=1e1",
    "client_max_window_bits=true",
    "client_max_window_bits=\"16\"",
    "client_max_window_bits=99999999999999999999",
];

// RFC 6455 §9.1: what breaks the grammar is not an offer to decline.
#[test]
fn server_refuses_offers_that_break_the_grammar() {
    for value in [
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; server_max_window_bits=\"1 0\"",
        "permessage-deflate; server_max_window_bits=10 11",
        "permessage-deflate;",
        "permessage-deflate server_max_window_bits=10",
    ] {
        for offers in [&[value][..], &["permessage-deflate", value]] {
            let outcome = negotiate(&OPEN, offers);
            assert_eq!(outcome, Err(HandshakeError::InvalidExtensions), "{offers:?}");
        }
        let outcome = check("permessage-deflate; client_max_window_bits", &[value]);
        assert_eq!(outcome, Err(HandshakeError::InvalidExtensions), "{value}");
    }
}

// RFC 7692 §7.1.2; RFC 6455 §9.1: a quoted value is the token in it.
#[test]
fn window_bits_are_8_to_15_with_or_without_quotes() {
    for number in 8..=15 {
        for value in [format!("{number}"), format!("\"{number}\""), format!("\"\\{number}\"")] {
            let offer = format!("permessage-deflate; server_max_window_bits={value}");
            let agreed = params(false, false, number, 0);
            assert_eq!(negotiate(&OPEN, &[&offer]), Ok(Some(agreed)), "{offer}");
            let answer = format!("permessage-deflate; client_max_window_bits={value}");
            let agreed = params(false, false, 0, number);
            let offer = "permessage-deflate; client_max_window_bits";
            assert_eq!(check(offer, &[&answer]), Ok(Some(agreed)), "{answer}");
        }
    }
}

#[test]
fn parameters_are_seen_by_sender() {
    let agreed = params(true, false, 9, 0);
    assert_eq!(agreed.window_bits(Role::Server), bits(9));
    assert_eq!(agreed.window_bits(Role::Client), WindowBits::MAX);
    assert!(!agreed.context_takeover(Role::Server) && agreed.context_takeover(Role::Client));
    let agreed = params(false, true, 0, 11);
    assert_eq!(agreed.window_bits(Role::Server), WindowBits::MAX);
    assert_eq!(agreed.window_bits(Role::Client), bits(11));
    assert!(agreed.context_takeover(Role::Server) && !agreed.context_takeover(Role::Client));
}
