//! `Sec-WebSocket-Extensions`, against a second parser and the rules of RFC 7692 §7.1. The input is three bytes, which are
//! the configuration, and lines: what a client offers, then the fields of a server's answer.
//!
//! Of the first byte, bits 0 and 1 are the two `no_context_takeover` of the configuration, bits 2 and 3 what a server
//! does about a client that cannot limit its window, and bit 4 whether the client offers what is in the input rather
//! than its own offer. The other two bytes are the windows of server and client: 8 to 15 bits, or the default.

use ws_core::Role;
use ws_core::deflate::{DeflateConfig, DeflateParams, UnlimitedClient, WindowBits};
use ws_core::handshake::{
    AcceptResponse, ClientKey, ClientRequest, FieldSlots, HandshakeError, OpenError, RequestHead,
    ResponseHead,
};

use super::extension_list::{Extension, parse};

const NONCE: &[u8; 16] = b"the sample nonce";
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MAX_FIELDS: usize = 12;

pub(crate) fn check(data: &[u8]) {
    let Some((&[flags, server, client], lines)) = data.split_first_chunk() else { return };
    // These are what the head of a message cannot have in a value; the target `handshake` has them.
    if lines.iter().any(|&byte| byte < b' ' && byte != b'\t' && byte != b'\n' || byte == 0x7f) {
        return;
    }
    let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').take(8).collect();
    let settings = Settings::new(flags, server, client);

    let (offer, answer) = lines.split_first().expect("at least one line");
    check_written(offer);
    check_server(&settings, &[offer]);
    check_server(&settings, &lines);
    let own = settings.config().offer();
    check_client(own.as_str(), answer);
    let offer = core::str::from_utf8(offer).ok().filter(|offer| {
        flags & 0x10 != 0 && parse(&[offer.as_bytes()]).is_some_and(|list| !list.is_empty())
    });
    if let Some(offer) = offer {
        check_client(offer, answer);
    }
}

/// The configuration of a side.
struct Settings {
    own: Params,
    unlimited: UnlimitedClient,
}

impl Settings {
    fn new(flags: u8, server: u8, client: u8) -> Self {
        let bits = |bits: u8| (8..=15).contains(&bits).then_some(bits);
        Self {
            own: Params {
                server_reset: flags & 1 != 0,
                client_reset: flags & 2 != 0,
                server_bits: bits(server),
                client_bits: bits(client),
            },
            unlimited: match flags >> 2 & 3 {
                0 => UnlimitedClient::KeepContext,
                1 => UnlimitedClient::Decline,
                _ => UnlimitedClient::NoContextTakeover,
            },
        }
    }

    fn config(&self) -> DeflateConfig {
        let mut config = DeflateConfig::new()
            .server_no_context_takeover(self.own.server_reset)
            .client_no_context_takeover(self.own.client_reset)
            .unlimited_client(self.unlimited);
        if let Some(bits) = self.own.server_bits.and_then(WindowBits::new) {
            config = config.server_max_window_bits(bits);
        }
        if let Some(bits) = self.own.client_bits.and_then(WindowBits::new) {
            config = config.client_max_window_bits(bits);
        }
        config
    }

    /// Whether this server wants less than a client uses that cannot limit its window.
    fn wants_less(&self) -> bool {
        self.own.client_bits != Some(15)
    }
}

/// What a caller may set as extensions is what the grammar allows, on both sides.
fn check_written(value: &[u8]) {
    let Ok(value) = core::str::from_utf8(value) else { return };
    let valid = parse(&[value.as_bytes()]).is_some_and(|list| !list.is_empty());
    let mut out = vec![0; 1000 + value.len()];
    let request = ClientRequest::new("localhost", "/").extensions(value);
    let written = request.write(&ClientKey::from_nonce(*NONCE), &mut out);
    assert_eq!(written.err(), (!valid).then_some(OpenError::InvalidExtension), "{value:?}");
    let written = AcceptResponse::new().extensions(value).write(KEY, &mut out);
    assert_eq!(written.err(), (!valid).then_some(OpenError::InvalidExtension), "{value:?}");
}

/// Returns a head: its first lines, and a field for each of the values.
fn head(start: &str, values: &[&[u8]]) -> Vec<u8> {
    let mut head = start.as_bytes().to_vec();
    for value in values {
        head.extend(b"Sec-WebSocket-Extensions: ");
        head.extend(*value);
        head.extend(b"\r\n");
    }
    head.extend(b"\r\n");
    head
}

/// A server refuses what the grammar does not allow. It takes the first offer that it can satisfy, and the client
/// understands its answer.
fn check_server(settings: &Settings, values: &[&[u8]]) {
    let list = parse(values).filter(|list| !list.is_empty());
    let start = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
    );
    let head = head(&start, values);
    let mut slots = FieldSlots::<{ MAX_FIELDS + 4 }>::new();
    let request = RequestHead::parse(&head, &mut slots).expect("a head");
    let upgrade = request.upgrade();
    let Some(list) = list else {
        assert_eq!(upgrade.err(), Some(HandshakeError::InvalidExtensions));
        return;
    };
    let upgrade = upgrade.expect("a valid list").expect("a request for a WebSocket");
    let agreed = upgrade.deflate(&settings.config());

    let offers: Vec<Params> = list.iter().filter_map(|offer| read(offer, Some(15))).collect();
    let declines = |offer: &Params| {
        let declines = settings.unlimited == UnlimitedClient::Decline && settings.wants_less();
        declines && offer.client_bits.is_none()
    };
    let Some(offer) = offers.iter().find(|offer| !declines(offer)) else {
        assert_eq!(agreed, None, "no offer is suitable");
        return;
    };
    let params = agreed.expect("the first suitable offer");
    check_agreed(settings, offer, &Params::of(&params));

    // The client of this request accepts the answer, and both mean the same.
    let answer = params.answer();
    let offered = list.iter().map(Extension::to_string).collect::<Vec<_>>().join(",");
    let client = client_side(&offered, &[answer.as_str().as_bytes()]).expect("an answer to this");
    let client = client.expect("it compresses");
    assert_eq!(client.server_max_window_bits, params.server_max_window_bits);
    assert!(client.window_bits(Role::Client) <= params.window_bits(Role::Client));
    assert_eq!(client.server_no_context_takeover, params.server_no_context_takeover);
    assert!(client.client_no_context_takeover || !params.client_no_context_takeover);
}

/// RFC 7692 §7.1.1 and §7.1.2: the answer has what was demanded and no more than was offered.
fn check_agreed(settings: &Settings, offer: &Params, agreed: &Params) {
    let own = &settings.own;
    assert_eq!(agreed.server_reset, offer.server_reset || own.server_reset);
    let unlimited = offer.client_bits.is_none()
        && settings.wants_less()
        && settings.unlimited == UnlimitedClient::NoContextTakeover;
    assert_eq!(agreed.client_reset, offer.client_reset || own.client_reset || unlimited);
    let most = |bits: Option<u8>| bits.unwrap_or(15);
    let server = most(offer.server_bits).min(own.server_bits.unwrap_or(12));
    assert_eq!(most(agreed.server_bits), server, "the largest that both allow");
    assert!(offer.server_bits.is_none() || agreed.server_bits.is_some(), "§7.1.2.1");
    match offer.client_bits {
        Some(hint) => {
            assert_eq!(most(agreed.client_bits), hint.min(own.client_bits.unwrap_or(12)));
        }
        None => assert_eq!(agreed.client_bits, None, "§7.1.2.2"),
    }
}

/// A client accepts an answer if and only if one of its offers allows it.
fn check_client(offered: &str, values: &[&[u8]]) {
    let told = client_side(offered, values);
    let answers = match parse(values) {
        Some(answers) if values.is_empty() || !answers.is_empty() => answers,
        _ => return assert_eq!(told, Err(HandshakeError::InvalidExtensions)),
    };
    let offers = parse(&[offered.as_bytes()]).expect("a valid offer");
    if answers.iter().any(|answer| offers.iter().all(|offer| offer.name != answer.name)) {
        return assert_eq!(told, Err(HandshakeError::UnofferedExtension));
    }
    let answers: Vec<_> = answers.iter().filter(|answer| answer.is_deflate()).collect();
    let answer = match answers[..] {
        [] => return assert_eq!(told, Ok(None)),
        [answer] => answer,
        _ => return assert_eq!(told, Err(HandshakeError::RepeatedDeflate)),
    };
    let Some(answer) = read(answer, None) else {
        return assert_eq!(told, Err(HandshakeError::InvalidDeflateParameter));
    };
    let kept = |offer: &Params| {
        (answer.server_reset || !offer.server_reset)
            && offer.server_bits.is_none_or(|most| answer.server_bits.unwrap_or(15) <= most)
            && (answer.client_bits.is_none() || offer.client_bits.is_some())
    };
    let offer = offers.iter().filter_map(|offer| read(offer, Some(15))).find(kept);
    let Some(offer) = offer else {
        return assert_eq!(told, Err(HandshakeError::UnofferedDeflateParameter));
    };
    let params = Params::of(&told.expect("an answer to an offer").expect("it compresses"));
    assert_eq!(
        (params.server_reset, params.server_bits),
        (answer.server_reset, answer.server_bits)
    );
    assert_eq!(params.client_reset, answer.client_reset || offer.client_reset);
    let own = offer.client_bits.unwrap_or(15);
    assert_eq!(params.client_bits.unwrap_or(15), answer.client_bits.unwrap_or(15).min(own));
}

fn client_side(offered: &str, values: &[&[u8]]) -> Result<Option<DeflateParams>, HandshakeError> {
    let start = format!(
        "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n"
    );
    let head = head(&start, values);
    let mut slots = FieldSlots::<MAX_FIELDS>::new();
    let response = ResponseHead::parse(&head, &mut slots).expect("a head");
    let key = ClientKey::from_nonce(*NONCE);
    assert_eq!(response.accept(&key, [], Some(offered))?, None);
    response.deflate(Some(offered))
}

/// The parameters of permessage-deflate, as they were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Params {
    server_reset: bool,
    client_reset: bool,
    server_bits: Option<u8>,
    client_bits: Option<u8>,
}

impl Params {
    fn of(params: &DeflateParams) -> Self {
        Self {
            server_reset: params.server_no_context_takeover,
            client_reset: params.client_no_context_takeover,
            server_bits: params.server_max_window_bits.map(WindowBits::bits),
            client_bits: params.client_max_window_bits.map(WindowBits::bits),
        }
    }
}

/// RFC 7692 §7.1: each parameter once, and with a value that it can have. `bare` is what `client_max_window_bits` means
/// without a value, which only an offer may have.
fn read(extension: &Extension, bare: Option<u8>) -> Option<Params> {
    if !extension.is_deflate() {
        return None;
    }
    let mut params = Params::default();
    for (index, (name, value)) in extension.params.iter().enumerate() {
        if extension.params[..index].iter().any(|(other, _)| other == name) {
            return None;
        }
        let bits = || {
            let value = value.as_deref()?;
            (8..=15).find(|bits: &u8| bits.to_string() == value)
        };
        match (name.as_str(), value) {
            ("server_no_context_takeover", None) => params.server_reset = true,
            ("client_no_context_takeover", None) => params.client_reset = true,
            ("server_max_window_bits", Some(_)) => params.server_bits = Some(bits()?),
            ("client_max_window_bits", Some(_)) => params.client_bits = Some(bits()?),
            ("client_max_window_bits", None) => params.client_bits = Some(bare?),
            _ => return None,
        }
    }
    Some(params)
}
