//! The negotiation of permessage-deflate (RFC 7692 §7.1), in both roles, over whole heads.
#![cfg(all(feature = "handshake", feature = "deflate"))]

use proptest::prelude::*;
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

// RFC 7692 §7.1.3, §7.2.3: the offers of the RFC's examples.
#[test]
fn server_answers_the_examples_of_the_rfc() {
    let with_ten_bits = "permessage-deflate; client_max_window_bits; server_max_window_bits=10";
    for (offer, expected) in [
        ("permessage-deflate", "permessage-deflate"),
        (
            "permessage-deflate; client_max_window_bits; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10",
        ),
        (
            &*format!("{with_ten_bits}, permessage-deflate; client_max_window_bits"),
            "permessage-deflate; server_max_window_bits=10",
        ),
        (
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover",
        ),
    ] {
        assert_eq!(answer(&OPEN, &[offer]).as_deref(), Some(expected), "{offer}");
    }
}

// What programs send that people use, and what a server with the default settings answers.
#[test]
fn server_answers_offers_of_well_known_clients() {
    let small = "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12";
    let reset = "permessage-deflate; client_no_context_takeover; server_max_window_bits=12";
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
        server_max_window_bits=12";
    for (client, offer, expected) in [
        (
            "Chromium, Firefox, npm ws, undici, .NET, netty",
            "permessage-deflate; client_max_window_bits",
            Some(small),
        ),
        ("Safari, OkHttp, Java-WebSocket", "permessage-deflate", Some(reset)),
        ("Safari before iOS 15", "x-webkit-deflate-frame", None),
        // gorilla refuses an answer without both parameters.
        (
            "gorilla",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            Some(both),
        ),
        (
            "Python websockets",
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
            Some(small),
        ),
        (
            ".NET with 10 bits",
            "permessage-deflate; client_max_window_bits=10; server_max_window_bits=10",
            Some("permessage-deflate; server_max_window_bits=10; client_max_window_bits=10"),
        ),
        (
            "IXWebSocket",
            "permessage-deflate; server_max_window_bits=15; client_max_window_bits=15",
            Some(small),
        ),
        (
            "Autobahn 13.7",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits; server_max_window_bits=9, \
             permessage-deflate; server_no_context_takeover; client_max_window_bits, \
             permessage-deflate; client_max_window_bits",
            Some(
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=9; \
                 client_max_window_bits=12",
            ),
        ),
    ] {
        assert_eq!(answer(&DeflateConfig::new(), &[offer]).as_deref(), expected, "{client}");
    }
}

// RFC 7692 §5: the first offer that the server can keep to, over all fields in order.
#[test]
fn server_takes_the_first_offer_that_it_can_keep_to() {
    let expected = Some("permessage-deflate; server_max_window_bits=9");
    for offers in [
        &[
            "permessage-deflate; server_max_window_bits=9, permessage-deflate; server_max_window_bits=10",
        ][..],
        &["permessage-deflate; server_max_window_bits=9", "permessage-deflate"],
        &["x, y; server_max_window_bits=8", "z", "permessage-deflate;server_max_window_bits=9"],
        &["permessage-deflate; x, permessage-deflate; server_max_window_bits=9"],
        &[
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=9",
        ],
        &["PERMESSAGE-DEFLATE, permessage-deflate; server_max_window_bits = \"9\""],
    ] {
        assert_eq!(answer(&OPEN, offers).as_deref(), expected, "{offers:?}");
    }
    for offers in [
        &[][..],
        &["x"],
        &["permessage-deflat"],
        &["Permessage-Deflate"],
        &["x; permessage-deflate"],
    ] {
        assert_eq!(negotiate(&OPEN, offers), Ok(None), "{offers:?}");
    }
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

// RFC 7692 §7; PITFALLS: window bits outside 8 to 15.
#[test]
fn server_declines_an_offer_with_an_invalid_parameter_and_tries_the_next() {
    for invalid in INVALID {
        let offer = format!("permessage-deflate; {invalid}");
        assert_eq!(answer(&OPEN, &[&offer]), None, "{invalid}");
        let two = [&*offer, "permessage-deflate; server_max_window_bits=11"];
        let expected = Some("permessage-deflate; server_max_window_bits=11");
        assert_eq!(answer(&OPEN, &two).as_deref(), expected, "{invalid}");
        assert_eq!(answer(&OPEN, &[&two.join(", ")]).as_deref(), expected, "{invalid}");
    }
}

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

// RFC 7692 §7.1.2.1: the same value as in the offer or a smaller one; none where 15 was not asked for.
#[test]
fn server_uses_the_smaller_server_window() {
    for own in 8..=15 {
        let config = OPEN.server_max_window_bits(bits(own));
        let plain = params(false, false, if own == 15 { 0 } else { own }, 0);
        assert_eq!(negotiate(&config, &["permessage-deflate"]), Ok(Some(plain)));
        for asked in 8..=15 {
            let offer = format!("permessage-deflate; server_max_window_bits={asked}");
            let least = own.min(asked);
            let expected = format!("permessage-deflate; server_max_window_bits={least}");
            assert_eq!(answer(&config, &[&offer]), Some(expected), "{own} {asked}");
        }
    }
}

// RFC 7692 §7.1.2.2: only if it was offered, and not above a value in the offer.
#[test]
fn server_limits_the_window_of_clients_that_offer_it() {
    for limit in 8..=15 {
        let config = OPEN.client_max_window_bits(bits(limit));
        for hint in 8..=16 {
            let (offer, least) = match hint {
                16 => ("permessage-deflate; client_max_window_bits".to_owned(), limit),
                _ => {
                    (format!("permessage-deflate; client_max_window_bits={hint}"), limit.min(hint))
                }
            };
            let expected = match least {
                15 => "permessage-deflate".to_owned(),
                _ => format!("permessage-deflate; client_max_window_bits={least}"),
            };
            assert_eq!(answer(&config, &[&offer]), Some(expected), "{limit} {hint}");
        }
    }
}

// RFC 7692 §7.1.2.2: a client that does not offer the parameter keeps its 15 bits.
#[test]
fn server_has_a_policy_for_clients_that_cannot_limit_their_window() {
    let default = OPEN.client_max_window_bits(bits(12));
    let reset = "permessage-deflate; client_no_context_takeover";
    for (policy, expected) in [
        (UnlimitedClient::NoContextTakeover, Some(reset)),
        (UnlimitedClient::KeepContext, Some("permessage-deflate")),
        (UnlimitedClient::Decline, None),
    ] {
        let config = default.unlimited_client(policy);
        assert_eq!(answer(&config, &["permessage-deflate"]).as_deref(), expected);
        // The next offer may be one that can be kept to.
        let two = ["permessage-deflate", "permessage-deflate; client_max_window_bits"];
        let limited = Some("permessage-deflate; client_max_window_bits=12");
        assert_eq!(answer(&config, &two).as_deref(), expected.or(limited));
        assert_eq!(answer(&config, &[two[1]]).as_deref(), limited);
        // A server with a large window needs no policy.
        let config = OPEN.unlimited_client(policy);
        assert_eq!(answer(&config, &["permessage-deflate"]).as_deref(), Some("permessage-deflate"));
    }
    assert_eq!(answer(&default, &["permessage-deflate"]).as_deref(), Some(reset));
}

// RFC 7692 §7.1.1.
#[test]
fn server_answers_context_takeover_as_offered_or_as_set() {
    let names = ["; server_no_context_takeover", "; client_no_context_takeover"];
    for case in 0..16 {
        let [set_server, set_client, asks_server, asks_client] =
            [1, 2, 4, 8].map(|bit| case & bit != 0);
        let config =
            OPEN.server_no_context_takeover(set_server).client_no_context_takeover(set_client);
        let text = |server: bool, client: bool| {
            let server = if server { names[0] } else { "" };
            format!("permessage-deflate{server}{}", if client { names[1] } else { "" })
        };
        let expected = text(set_server || asks_server, set_client || asks_client);
        assert_eq!(answer(&config, &[&text(asks_server, asks_client)]), Some(expected), "{case}");
    }
}

// PITFALLS (netty #8702, Bun #38632, netty #4794): nobody is told 8 bits, or a default value, unless it was asked for.
#[test]
fn server_volunteers_neither_8_bits_nor_default_values() {
    for config in [DeflateConfig::new(), OPEN] {
        for offer in ["permessage-deflate", "permessage-deflate; client_max_window_bits"] {
            let text = answer(&config, &[offer]).unwrap();
            assert!(!text.contains("=8") && !text.contains("=15"), "{text}");
        }
    }
    let offer = "permessage-deflate; server_max_window_bits=8; client_max_window_bits=8";
    assert_eq!(answer(&DeflateConfig::new(), &[offer]).as_deref(), Some(offer));
}

// RFC 7692 §7.1: what a client asks for is in its offer, and default values are not.
#[test]
fn client_offers_what_it_is_set_to() {
    let config = DeflateConfig::new();
    for (config, expected) in [
        (config, "; client_max_window_bits"),
        (OPEN, "; client_max_window_bits"),
        (
            config.server_max_window_bits(bits(9)),
            "; server_max_window_bits=9; client_max_window_bits",
        ),
        (config.client_max_window_bits(bits(14)), "; client_max_window_bits=14"),
        (config.unlimited_client(UnlimitedClient::Decline), "; client_max_window_bits"),
        (
            config.server_no_context_takeover(true),
            "; server_no_context_takeover; client_max_window_bits",
        ),
        (
            config.client_no_context_takeover(true),
            "; client_no_context_takeover; client_max_window_bits",
        ),
        (
            config
                .server_no_context_takeover(true)
                .client_no_context_takeover(true)
                .server_max_window_bits(bits(14))
                .client_max_window_bits(bits(10)),
            "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=14; \
             client_max_window_bits=10",
        ),
    ] {
        let offer = config.offer();
        assert_eq!(offer.as_str(), format!("permessage-deflate{expected}"));
        let request = ClientRequest::new("example.com", "/chat").extensions(offer.as_str());
        let mut out = [0; 512];
        let length = request.write(&ClientKey::from_nonce(*b"the sample nonce"), &mut out).unwrap();
        let written = format!("{REQUEST}Sec-WebSocket-Extensions: {offer}\r\n\r\n");
        assert_eq!(out[..length], *written.as_bytes());
    }
}

// RFC 7692 §7.1: whatever restricts both sides further is for the server to say.
#[test]
fn client_accepts_answers_that_restrict_further() {
    let offer = "permessage-deflate; client_max_window_bits";
    for (answer, agreed) in [
        ("permessage-deflate", params(false, false, 0, 0)),
        ("permessage-deflate; server_no_context_takeover", params(true, false, 0, 0)),
        ("permessage-deflate; client_no_context_takeover", params(false, true, 0, 0)),
        ("permessage-deflate; server_max_window_bits=8", params(false, false, 8, 0)),
        ("permessage-deflate; client_max_window_bits=8", params(false, false, 0, 8)),
        // Default values say nothing, and are legal.
        (
            "permessage-deflate; client_max_window_bits=15; server_max_window_bits=15",
            params(false, false, 15, 15),
        ),
        (
            "permessage-deflate;client_max_window_bits=\"12\"; client_no_context_takeover; \
             server_max_window_bits = 9;server_no_context_takeover",
            params(true, true, 9, 12),
        ),
    ] {
        assert_eq!(check(offer, &[answer]), Ok(Some(agreed)), "{answer}");
    }
    assert_eq!(check(offer, &[]), Ok(None));
    let other = format!("x, {offer}");
    assert_eq!(check(&other, &["x"]), Ok(None));
    assert_eq!(check(&other, &["x; y", "permessage-deflate"]), Ok(Some(DeflateParams::default())));
}

// RFC 7692 §7.1.1.2, §7.1.2.2: what a client decides by itself holds, whether a server says so, too, or ignores it.
#[test]
fn client_keeps_to_its_own_limits() {
    let offer = "permessage-deflate; client_no_context_takeover; client_max_window_bits=10";
    for (answered, expected) in
        [("", 10), ("=8", 8), ("=9", 9), ("=10", 10), ("=11", 10), ("=15", 10)]
    {
        for takeover in ["", "; client_no_context_takeover"] {
            let parameter = if answered.is_empty() { "" } else { "; client_max_window_bits" };
            let answer = format!("permessage-deflate{takeover}{parameter}{answered}");
            let agreed = params(false, true, 0, expected);
            assert_eq!(check(offer, &[&answer]), Ok(Some(agreed)), "{answer}");
        }
    }
}

// RFC 7692 §7.1.1.1, §7.1.2.
#[test]
fn client_fails_on_an_answer_to_something_else() {
    for (offer, answer) in [
        ("; server_no_context_takeover", ""),
        ("; server_no_context_takeover", "; client_no_context_takeover; server_max_window_bits=8"),
        ("; server_max_window_bits=10", ""),
        ("; server_max_window_bits=10", "; server_no_context_takeover"),
        ("; server_max_window_bits=10", "; server_max_window_bits=11"),
        ("; server_max_window_bits=10", "; server_max_window_bits=15"),
        ("", "; client_max_window_bits=12"),
        ("", "; client_max_window_bits=15"),
        ("; server_max_window_bits=10", "; server_max_window_bits=10; client_max_window_bits=10"),
    ] {
        let offer = format!("permessage-deflate{offer}");
        let outcome = check(&offer, &[&format!("permessage-deflate{answer}")]);
        assert_eq!(outcome, Err(HandshakeError::UnofferedDeflateParameter), "{offer}: {answer}");
    }
    // It may answer another of several offers; the first that fits counts.
    let offers = "permessage-deflate; server_max_window_bits=10, \
        permessage-deflate; client_no_context_takeover; client_max_window_bits, permessage-deflate";
    for (answer, agreed) in [
        ("permessage-deflate; server_max_window_bits=9", params(false, false, 9, 0)),
        ("permessage-deflate; server_max_window_bits=11", params(false, true, 11, 0)),
        ("permessage-deflate", params(false, true, 0, 0)),
        ("permessage-deflate; client_max_window_bits=9", params(false, true, 0, 9)),
    ] {
        assert_eq!(check(offers, &[answer]), Ok(Some(agreed)), "{answer}");
    }
}

// RFC 7692 §7.1; PITFALLS: window bits outside 8 to 15 raise.
#[test]
fn client_fails_on_an_invalid_parameter() {
    let offer = "permessage-deflate; client_max_window_bits";
    // In an answer, the client's window has a value.
    let missing = ["client_max_window_bits", "client_no_context_takeover; client_max_window_bits"];
    for invalid in INVALID.into_iter().chain(missing) {
        let outcome = check(offer, &[&format!("permessage-deflate; {invalid}")]);
        assert_eq!(outcome, Err(HandshakeError::InvalidDeflateParameter), "{invalid}");
    }
}

// RFC 7692 §5, RFC 6455 §4.1.
#[test]
fn client_fails_on_a_second_answer_and_on_one_without_an_offer() {
    let offer = "permessage-deflate; server_max_window_bits=10, permessage-deflate";
    for answers in [
        &["permessage-deflate, permessage-deflate"][..],
        &["permessage-deflate", "permessage-deflate; server_max_window_bits=10"],
        &["permessage-deflate", "permessage-deflate; x"],
    ] {
        assert_eq!(check(offer, answers), Err(HandshakeError::RepeatedDeflate), "{answers:?}");
    }
    for offer in ["x", "x-webkit-deflate-frame", "permessage-deflate-x"] {
        let outcome = check(offer, &["permessage-deflate"]);
        assert_eq!(outcome, Err(HandshakeError::UnofferedExtension), "{offer}");
    }
    for error in [
        HandshakeError::RepeatedDeflate,
        HandshakeError::InvalidDeflateParameter,
        HandshakeError::UnofferedDeflateParameter,
    ] {
        assert_eq!(error.status(), None);
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

fn any_bits() -> impl Strategy<Value = Option<WindowBits>> {
    prop::option::of((8..=15_u8).prop_map(bits))
}

fn any_config() -> impl Strategy<Value = DeflateConfig> {
    let policy = prop::sample::select(vec![
        UnlimitedClient::NoContextTakeover,
        UnlimitedClient::KeepContext,
        UnlimitedClient::Decline,
    ]);
    (any::<bool>(), any::<bool>(), any_bits(), any_bits(), policy).prop_map(
        |(server, client, server_bits, client_bits, policy)| {
            let mut config = DeflateConfig::new()
                .server_no_context_takeover(server)
                .client_no_context_takeover(client)
                .unlimited_client(policy);
            if let Some(bits) = server_bits {
                config = config.server_max_window_bits(bits);
            }
            if let Some(bits) = client_bits {
                config = config.client_max_window_bits(bits);
            }
            config
        },
    )
}

/// One offer, as a rule a valid one.
fn any_offer() -> impl Strategy<Value = String> {
    let value = "(=(8|9|1[0-5]|\"1[0-5]\"))";
    let parameter = prop_oneof![
        8 => Just("server_no_context_takeover".to_owned()),
        8 => Just("client_no_context_takeover".to_owned()),
        8 => prop::string::string_regex(&format!("server_max_window_bits{value}")).unwrap(),
        8 => prop::string::string_regex(&format!("client_max_window_bits{value}?")).unwrap(),
        1 => prop::sample::select(&INVALID[..]).prop_map(str::to_owned),
    ];
    prop::collection::vec(parameter, 0..4).prop_map(|list| {
        list.iter().fold("permessage-deflate".to_owned(), |all, one| all + "; " + one)
    })
}

proptest! {
    // Our client takes every answer of our server, and both keep to the same.
    #[test]
    fn our_server_and_our_client_agree(server in any_config(), client in any_config()) {
        let offer = client.offer();
        let agreed = negotiate(&server, &[offer.as_str()]).unwrap().expect("a client that limits its window");
        let answer = agreed.answer();
        prop_assert_eq!(check(offer.as_str(), &[answer.as_str()]), Ok(Some(agreed)));
        prop_assert_eq!(answer.as_str().contains("=15"), false);
    }

    // Whatever is offered, a client that offers it takes the answer.
    #[test]
    fn answers_fit_whatever_was_offered(
        server in any_config(),
        offers in prop::collection::vec(any_offer(), 1..4),
    ) {
        let offers = offers.join(", ");
        if let Some(agreed) = negotiate(&server, &[&offers]).unwrap() {
            let taken = check(&offers, &[agreed.answer().as_str()]).unwrap().expect("an answer");
            // With several offers, the client may take the answer for that to an earlier one, and restrict itself more.
            for role in [Role::Server, Role::Client] {
                prop_assert!(taken.window_bits(role) <= agreed.window_bits(role));
                prop_assert!(agreed.context_takeover(role) || !taken.context_takeover(role));
            }
        }
    }
}
