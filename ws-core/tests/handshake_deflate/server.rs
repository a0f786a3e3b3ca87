//! What a server agrees to.

use super::*;

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
            "Chromium, Firefox, npm ws, undici, .NET",
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
            "permessage-deflate; client_no_context_takeover; client_max_window_bits; \
             server_no_context_takeover; server_max_window_bits=9, \
             permessage-deflate; client_no_context_takeover; client_max_window_bits; \
             server_no_context_takeover, \
             permessage-deflate; client_no_context_takeover; client_max_window_bits",
            Some(
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=9; client_max_window_bits=12",
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

// RFC 7692 §7; seen broken in undici: window bits outside 8 to 15.
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

// Seen broken: netty #8702, Bun #38632 and .NET fail when they are told 8 bits, netty #4794 when told 15.
// Nobody is told either without having asked for it.
#[test]
fn server_volunteers_neither_8_bits_nor_15() {
    for config in [DeflateConfig::new(), OPEN] {
        for offer in ["permessage-deflate", "permessage-deflate; client_max_window_bits"] {
            let text = answer(&config, &[offer]).unwrap();
            assert!(!text.contains("=8") && !text.contains("=15"), "{text}");
        }
    }
    let offer = "permessage-deflate; server_max_window_bits=8; client_max_window_bits=8";
    assert_eq!(answer(&DeflateConfig::new(), &[offer]).as_deref(), Some(offer));
}
