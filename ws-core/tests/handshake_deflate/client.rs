//! What a client offers, and which answers it takes.

use super::*;

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

// RFC 7692 §7.1.1.2, §7.1.2.2: what a client decides by itself holds. A server may ignore it, as those of Autobahn,
// npm ws and netty do: their answers have the window that they are set to.
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

// RFC 7692 §7.1; seen broken in undici: window bits outside 8 to 15.
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
fn an_offer_is_shown_as_it_is_sent() {
    let offer = DeflateConfig::new().offer();
    assert_eq!(offer.to_string(), "permessage-deflate; client_max_window_bits");
    let shown = r#"DeflateExtension("permessage-deflate; client_max_window_bits")"#;
    assert_eq!(format!("{offer:?}"), shown);
}
