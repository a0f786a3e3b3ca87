//! The negotiation of permessage-deflate (RFC 7692 §7.1).
//!
//! A server accepts the first of the client's offers that it can satisfy. A client checks that the answer matches one
//! of its offers. Both sides use the same four parameters, but the values that they may send differ. The syntax was
//! checked earlier, together with that of the whole list.

use core::fmt;

use super::client::ResponseHead;
use super::error::HandshakeError;
use super::extensions::{Extension, Extensions, ParamValue};
use super::request::Upgrade;
use super::writer::Writer;
use crate::Role;
use crate::deflate::{DeflateConfig, DeflateParams, UnlimitedClient, WindowBits};

const NAME: &str = "permessage-deflate";

/// An offer of permessage-deflate or the answer to one, as the value of `Sec-WebSocket-Extensions`.
///
/// [`DeflateConfig::offer`] and [`DeflateParams::answer`] return it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DeflateExtension {
    text: [u8; Self::LONGEST.len()],
    length: usize,
}

impl DeflateExtension {
    const LONGEST: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
        server_max_window_bits=15; client_max_window_bits=15";

    /// Returns the text to pass to [`ClientRequest::extensions`](super::ClientRequest::extensions),
    /// [`AcceptResponse::extensions`](super::AcceptResponse::extensions) and [`ResponseHead::accept`].
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = self.text.get(..self.length).unwrap_or_default();
        core::str::from_utf8(text).unwrap_or_default()
    }

    fn new(params: &DeflateParams, bare_client_bits: Option<WindowBits>) -> Self {
        let mut text = [0; Self::LONGEST.len()];
        let mut writer = Writer::new(&mut text);
        writer.put(NAME);
        if params.server_no_context_takeover {
            writer.put("; server_no_context_takeover");
        }
        if params.client_no_context_takeover {
            writer.put("; client_no_context_takeover");
        }
        if let Some(bits) = params.server_max_window_bits {
            writer.put("; server_max_window_bits=");
            writer.decimal(bits.bits().into());
        }
        if let Some(bits) = params.client_max_window_bits {
            writer.put("; client_max_window_bits");
            if bare_client_bits != Some(bits) {
                writer.put("=");
                writer.decimal(bits.bits().into());
            }
        }
        // The longest text fits, so this cannot fail.
        let length = writer.finish().unwrap_or(0);
        Self { text, length }
    }
}

impl fmt::Display for DeflateExtension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for DeflateExtension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeflateExtension").field(&self.as_str()).finish()
    }
}

impl DeflateConfig {
    /// Returns the offer that a client sends.
    ///
    /// ```
    /// use ws_core::deflate::{DeflateConfig, WindowBits};
    ///
    /// let config = DeflateConfig::new();
    /// assert_eq!(config.offer().as_str(), "permessage-deflate; client_max_window_bits");
    ///
    /// let config = config.server_max_window_bits(WindowBits::new(10).ok_or("8 to 15")?);
    /// assert_eq!(
    ///     config.offer().as_str(),
    ///     "permessage-deflate; server_max_window_bits=10; client_max_window_bits"
    /// );
    /// # Ok::<(), &str>(())
    /// ```
    #[must_use]
    pub fn offer(&self) -> DeflateExtension {
        let offer = DeflateParams {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: self.server_max_window_bits.and_then(below_default),
            // The name is always sent, because this client can keep to every window that a server may ask for.
            client_max_window_bits: self.client_max_window_bits.or(BARE_IN_OFFER),
        };
        DeflateExtension::new(&offer, BARE_IN_OFFER)
    }

    /// Returns the parameters with which a server accepts an offer, or `None` if it declines the offer.
    fn agree(&self, offer: DeflateParams) -> Option<DeflateParams> {
        let own = self.server_max_window_bits.unwrap_or(SERVER_DEFAULT);
        let limit = self.client_max_window_bits.unwrap_or(SERVER_DEFAULT);
        let mut agreed = DeflateParams {
            server_no_context_takeover: self.server_no_context_takeover
                || offer.server_no_context_takeover,
            // If the client does not use its context, there is no reason to keep its window.
            client_no_context_takeover: self.client_no_context_takeover
                || offer.client_no_context_takeover,
            // An offer with a value, even 15, is accepted with a value that is not larger (RFC 7692 §7.1.2.1).
            server_max_window_bits: least(offer.server_max_window_bits, below_default(own)),
            client_max_window_bits: None,
        };
        match (offer.client_max_window_bits, self.unlimited_client) {
            (Some(hint), _) => agreed.client_max_window_bits = below_default(limit.min(hint)),
            (None, _) if limit == WindowBits::MAX => {}
            (None, UnlimitedClient::NoContextTakeover) => agreed.client_no_context_takeover = true,
            (None, UnlimitedClient::KeepContext) => {}
            (None, UnlimitedClient::Decline) => return None,
        }
        Some(agreed)
    }
}

impl DeflateParams {
    /// Returns the answer with which a server confirms what was agreed.
    #[must_use]
    pub fn answer(&self) -> DeflateExtension {
        DeflateExtension::new(self, BARE_IN_ANSWER)
    }
}

impl Upgrade<'_, '_> {
    /// Accepts the first of the client's offers of permessage-deflate that this server can satisfy, and returns the
    /// agreed parameters, which include the server's own limits.
    ///
    /// An offer is skipped if a parameter is unknown, is repeated or has an invalid value (RFC 7692 §7). `None` means
    /// that no offer was suitable. Messages are then not compressed, and the answer does not name the extension.
    ///
    /// ```
    /// use ws_core::deflate::DeflateConfig;
    /// use ws_core::handshake::*;
    ///
    /// let head = b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    ///     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    ///     Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    /// let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
    /// let upgrade = RequestHead::parse(head, &mut slots)?.upgrade()?.expect("a WebSocket is asked for");
    ///
    /// let agreed = upgrade.deflate(&DeflateConfig::new());
    /// let answer = agreed.map(|params| params.answer());
    /// let response = AcceptResponse::new().extensions(answer.as_ref().map(|answer| answer.as_str()));
    /// let mut out = [0; 512];
    /// let length = response.write(upgrade.key, &mut out)?;
    /// assert!(out[..length].ends_with(
    ///     b"permessage-deflate; server_max_window_bits=12; client_max_window_bits=12\r\n\r\n"
    /// ));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn deflate(&self, config: &DeflateConfig) -> Option<DeflateParams> {
        offers(self.extensions()).find_map(|offer| config.agree(offer))
    }
}

impl ResponseHead<'_, '_> {
    /// Returns the parameters of permessage-deflate that the server has agreed to, or `None` if messages are not
    /// compressed.
    ///
    /// Call this after [`accept`](Self::accept) has checked the response. Pass the same `offered_extensions`: the value
    /// that the request offered, such as [`DeflateConfig::offer`].
    ///
    /// Two limits in the offer concern only the client, so they hold even if the answer does not repeat them:
    /// `client_no_context_takeover`, and the value of `client_max_window_bits`, which a server may ignore (RFC 7692
    /// §7.1.2.2). The server may restrict both sides further than the client asked.
    ///
    /// ```
    /// use ws_core::Role;
    /// use ws_core::deflate::DeflateConfig;
    /// use ws_core::handshake::*;
    ///
    /// let offer = DeflateConfig::new().offer();
    /// let request = ClientRequest::new("example.com", "/").extensions(offer.as_str());
    /// # let _ = request;
    ///
    /// let key = ClientKey::from_nonce(*b"the sample nonce");
    /// let received = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    ///     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    ///     Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10\r\n\r\n";
    /// let mut slots = FieldSlots::<DEFAULT_MAX_FIELDS>::new();
    /// let response = ResponseHead::parse(received, &mut slots)?;
    /// response.accept(&key, [], Some(offer.as_str()))?;
    /// let agreed = response.deflate(Some(offer.as_str()))?.expect("the server compresses");
    /// assert_eq!(agreed.window_bits(Role::Client).bits(), 10);
    /// # Ok::<(), HandshakeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`RepeatedDeflate`](HandshakeError::RepeatedDeflate),
    /// [`InvalidDeflateParameter`](HandshakeError::InvalidDeflateParameter) or
    /// [`UnofferedDeflateParameter`](HandshakeError::UnofferedDeflateParameter). The client then has to fail the
    /// connection (RFC 7692 §7.1).
    pub fn deflate(
        &self,
        offered_extensions: Option<&str>,
    ) -> Result<Option<DeflateParams>, HandshakeError> {
        let mut answers = self.extensions().filter(is_deflate);
        let Some(answer) = answers.next() else { return Ok(None) };
        if answers.next().is_some() {
            return Err(HandshakeError::RepeatedDeflate);
        }
        let answer = read(answer, BARE_IN_ANSWER).ok_or(HandshakeError::InvalidDeflateParameter)?;
        let offered = Extensions::from_value(offered_extensions.unwrap_or_default());
        match offers(offered).find_map(|offer| accepted(offer, answer)) {
            None => Err(HandshakeError::UnofferedDeflateParameter),
            agreed => Ok(agreed),
        }
    }
}

/// Returns the parameters that the client uses, if the answer matches this offer.
fn accepted(offer: DeflateParams, answer: DeflateParams) -> Option<DeflateParams> {
    // The answer must contain what the client demanded (RFC 7692 §7.1.1.1, §7.1.2.1).
    let is_kept = (answer.server_no_context_takeover || !offer.server_no_context_takeover)
        && offer.server_max_window_bits.is_none_or(|most| answer.window_bits(Role::Server) <= most);
    // A server may limit the client's window only if the client has offered that (RFC 7692 §7.1.2.2).
    let is_possible =
        answer.client_max_window_bits.is_none() || offer.client_max_window_bits.is_some();
    (is_kept && is_possible).then(|| DeflateParams {
        client_no_context_takeover: answer.client_no_context_takeover
            || offer.client_no_context_takeover,
        client_max_window_bits: least(
            answer.client_max_window_bits,
            below_default(offer.window_bits(Role::Client)),
        ),
        ..answer
    })
}

/// The meaning of `client_max_window_bits` without a value in an offer: the client accepts any value.
const BARE_IN_OFFER: Option<WindowBits> = Some(WindowBits::MAX);
/// In an answer, `client_max_window_bits` must have a value (RFC 7692 §7.1.2.2).
const BARE_IN_ANSWER: Option<WindowBits> = None;

/// The windows that a server agrees to by default.
const SERVER_DEFAULT: WindowBits = match WindowBits::new(12) {
    Some(bits) => bits,
    None => WindowBits::MAX,
};

fn below_default(bits: WindowBits) -> Option<WindowBits> {
    Some(bits).filter(|&bits| bits < WindowBits::MAX)
}

fn least(a: Option<WindowBits>, b: Option<WindowBits>) -> Option<WindowBits> {
    a.into_iter().chain(b).min()
}

fn is_deflate(extension: &Extension<'_>) -> bool {
    extension.name() == NAME
}

/// Returns the valid offers in order.
fn offers<'h>(list: Extensions<'_, 'h>) -> impl Iterator<Item = DeflateParams> {
    list.filter(is_deflate).filter_map(|offer| read(offer, BARE_IN_OFFER))
}

/// Returns the parameters, or `None` if one is unknown, is repeated or has an invalid value (RFC 7692 §7.1).
fn read(extension: Extension<'_>, bare_client_bits: Option<WindowBits>) -> Option<DeflateParams> {
    let mut params = DeflateParams::default();
    for (name, value) in extension.params() {
        let is_repeated = match name {
            "server_no_context_takeover" if value.is_none() => {
                core::mem::replace(&mut params.server_no_context_takeover, true)
            }
            "client_no_context_takeover" if value.is_none() => {
                core::mem::replace(&mut params.client_no_context_takeover, true)
            }
            "server_max_window_bits" => {
                params.server_max_window_bits.replace(window_bits(value?)?).is_some()
            }
            "client_max_window_bits" => {
                let bits = value.map_or(bare_client_bits, window_bits)?;
                params.client_max_window_bits.replace(bits).is_some()
            }
            _ => return None,
        };
        if is_repeated {
            return None;
        }
    }
    Some(params)
}

/// Parses a decimal number from 8 to 15 without leading zeros (RFC 7692 §7.1.2). Quotes around it were removed before.
fn window_bits(value: ParamValue<'_>) -> Option<WindowBits> {
    let numbers = [
        (8, "8"),
        (9, "9"),
        (10, "10"),
        (11, "11"),
        (12, "12"),
        (13, "13"),
        (14, "14"),
        (15, "15"),
    ];
    let (bits, _) = numbers.into_iter().find(|(_, text)| value == **text)?;
    WindowBits::new(bits)
}
