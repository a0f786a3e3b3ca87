//! Our server and our client agree, whatever they are set to.

use proptest::prelude::*;

use super::*;

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

/// Elements of a list, some of them offers of permessage-deflate that are almost right.
fn any_text() -> impl Strategy<Value = String> {
    let names = "(server|client)_(no_context_takeover|max_window_bits)|x";
    let values = "(=(\"?[01]?[0-9]\"?|9[.]0))?";
    prop::string::string_regex(&format!("(permessage-deflate|x)( ?; ?({names}){values}){{0,3}}"))
        .unwrap()
        .prop_filter("the grammar", |text| negotiate(&OPEN, &[text]).is_ok())
}

/// RFC 7692 §7.1, without regard for the order and for what may be escaped.
fn is_valid(offer: &str) -> bool {
    let mut parts = offer.split(';').map(|part| part.trim().replace('"', ""));
    let name = parts.next();
    let mut params: Vec<_> = parts.collect();
    let numbers = 8..=15;
    let is_known = |param: &String| match param.split_once('=') {
        None => !["server_max_window_bits", "x"].contains(&&**param),
        Some(("server_max_window_bits" | "client_max_window_bits", value)) => {
            numbers.clone().any(|number| number.to_string() == value)
        }
        Some(_) => false,
    };
    let all_known = params.iter().all(is_known);
    let count = params.len();
    params.iter_mut().for_each(|param| param.truncate(param.find('=').unwrap_or(param.len())));
    params.sort();
    params.dedup();
    name.as_deref() == Some("permessage-deflate") && all_known && params.len() == count
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

    // Text of the right characters: the first valid offer is found by a plain reading of it, and no other.
    #[test]
    fn plain_reading_agrees(offers in prop::collection::vec(any_text(), 0..5)) {
        let first = offers.iter().find(|offer| is_valid(offer));
        let expected = first.map(|offer| negotiate(&OPEN, &[offer]).unwrap().expect("a valid offer"));
        prop_assert_eq!(negotiate(&OPEN, &offers.iter().map(String::as_str).collect::<Vec<_>>()), Ok(expected));
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
            // With several offers, the client may take the answer for that to another one, and restrict itself more.
            for role in [Role::Server, Role::Client] {
                prop_assert!(taken.window_bits(role) <= agreed.window_bits(role));
                prop_assert!(agreed.context_takeover(role) || !taken.context_takeover(role));
            }
        }
    }
}
