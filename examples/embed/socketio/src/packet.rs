//! Packets of Socket.IO 5: a line of text, then as many binary messages as it has attachments.

use std::ops::Deref;

use axum::body::Bytes;
use serde_json::Value;
use ws_core::Message;

use crate::engine;

/// A client has broken the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The most attachments of one packet.
const MAX_ATTACHMENTS: usize = 100;

/// Events that the sides fire themselves, and never send.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// The arguments of an event or an acknowledgement: JSON values, in which a placeholder stands for each
/// piece of binary data.
///
/// ```
/// use embed_socketio::Args;
/// use serde_json::json;
///
/// let mut args = Args::from([json!("photo")]);
/// let picture = args.attach(vec![1, 2, 3]);
/// args.push(json!({ "by": "Ann", "picture": picture }));
/// assert_eq!(args[0], "photo");
/// assert_eq!(args.binary(&args[1]["picture"]).unwrap()[..], [1, 2, 3]);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Args {
    values: Vec<Value>,
    attachments: Vec<Bytes>,
}

impl Args {
    /// Adds an argument.
    pub fn push(&mut self, value: impl Into<Value>) {
        self.values.push(value.into());
    }

    /// Adds binary data, and returns the placeholder that stands for it. The placeholder has no meaning in other
    /// `Args`.
    pub fn attach(&mut self, bytes: impl Into<Bytes>) -> Value {
        self.attachments.push(bytes.into());
        // Other implementations write the keys in this order.
        serde_json::json!({ "_placeholder": true, "num": self.attachments.len() - 1 })
    }

    /// Returns the binary data for which a value of these `Args` stands, if it is a placeholder.
    pub fn binary(&self, placeholder: &Value) -> Option<&Bytes> {
        let at = placeholder_of(placeholder)??;
        self.attachments.get(at)
    }
}

impl Deref for Args {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.values
    }
}

impl From<Vec<Value>> for Args {
    fn from(values: Vec<Value>) -> Self {
        Self { values, attachments: Vec::new() }
    }
}

impl<const N: usize> From<[Value; N]> for Args {
    fn from(values: [Value; N]) -> Self {
        Vec::from(values).into()
    }
}

impl From<Value> for Args {
    fn from(value: Value) -> Self {
        [value].into()
    }
}

impl From<&str> for Args {
    fn from(text: &str) -> Self {
        Value::from(text).into()
    }
}

impl From<()> for Args {
    fn from((): ()) -> Self {
        Self::default()
    }
}

/// Whether a value is a placeholder, and the number of the attachment that it names, if it has one.
fn placeholder_of(value: &Value) -> Option<Option<usize>> {
    let object =
        value.as_object().filter(|object| object.get("_placeholder") == Some(&true.into()))?;
    Some(object.get("num").and_then(Value::as_u64).and_then(|num| usize::try_from(num).ok()))
}

/// Whether each placeholder names one of `count` attachments.
fn all_attached(value: &Value, count: usize) -> bool {
    match (placeholder_of(value), value) {
        (Some(at), _) => at.is_some_and(|at| at < count),
        (None, Value::Array(values)) => values.iter().all(|value| all_attached(value, count)),
        (None, Value::Object(map)) => map.values().all(|value| all_attached(value, count)),
        _ => true,
    }
}

/// What a packet says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// With the payload of the client, or what the server says to it.
    Connect(Option<Value>),
    Disconnect,
    Event {
        name: String,
        args: Args,
        ack: Option<u64>,
    },
    Ack {
        id: u64,
        args: Args,
    },
    /// Only a server refuses.
    ConnectError(Value),
}

impl Body {
    /// The packet, in those of Engine.IO.
    pub(crate) fn encode(&self, namespace: &str) -> Vec<Message> {
        let (kind, id, data, args) = match self {
            Self::Connect(data) => (0, None, data.as_ref().map(Value::to_string), None),
            Self::Disconnect => (1, None, None, None),
            Self::Event { name, args, ack } => (2, *ack, Some(array(Some(name), args)), Some(args)),
            Self::Ack { id, args } => (3, Some(*id), Some(array(None, args)), Some(args)),
            Self::ConnectError(why) => (4, None, Some(why.to_string()), None),
        };
        let attachments = args.map_or(&[][..], |args| &args.attachments);
        let mut text = match attachments.len() {
            0 => kind.to_string(),
            count => format!("{}{count}-", kind + 3),
        };
        if namespace != "/" {
            text += namespace;
            text.push(',');
        }
        text += &id.map(|id| id.to_string()).unwrap_or_default();
        text += &data.unwrap_or_default();
        let binary = attachments.iter().map(|bytes| Message::Binary(bytes.clone()));
        std::iter::once(text.into()).chain(binary).map(engine::encode).collect()
    }
}

fn array(name: Option<&String>, args: &Args) -> String {
    let name = name.map(|name| Value::from(name.as_str()).to_string());
    let values = name.into_iter().chain(args.iter().map(Value::to_string));
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

/// A packet of a client, with its namespace.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packet {
    pub(crate) namespace: String,
    pub(crate) body: Body,
}

impl Packet {
    /// The packet in a text, and how many attachments follow.
    fn decode(text: &str) -> Option<(Self, usize)> {
        let (kind, rest) = text.split_at_checked(1)?;
        let (attachments, rest) = match kind {
            "5" | "6" => {
                let (count, rest) = split_digits(rest);
                (count.parse().ok().filter(|n| *n <= MAX_ATTACHMENTS)?, rest.strip_prefix('-')?)
            }
            _ => (0, rest),
        };
        let (namespace, rest) = match rest.starts_with('/') {
            true => rest.split_once(',').unwrap_or((rest, "")),
            false => ("/", rest),
        };
        let (id, data) = split_digits(rest);
        let id = if id.is_empty() { None } else { Some(id.parse().ok()?) };
        let data: Option<Value> = if data.is_empty() { None } else { Some(parse(data)?) };
        if matches!(kind, "5" | "6") && !all_attached(data.as_ref()?, attachments) {
            return None;
        }
        let body = match (kind, id, data) {
            ("0", None, data @ (None | Some(Value::Object(_)))) => Body::Connect(data),
            ("1", None, None) => Body::Disconnect,
            ("2" | "5", ack, Some(Value::Array(mut values))) if !values.is_empty() => {
                let name = match values.remove(0) {
                    Value::String(name) if !RESERVED.contains(&&*name) => name,
                    Value::Number(name) => name.to_string(),
                    _ => return None,
                };
                Body::Event { name, args: values.into(), ack }
            }
            ("3" | "6", Some(id), Some(Value::Array(values))) => {
                Body::Ack { id, args: values.into() }
            }
            _ => return None,
        };
        Some((Self { namespace: namespace.to_owned(), body }, attachments))
    }
}

/// JSON text may escape half a surrogate pair, as `JSON.stringify` does, but a Rust string cannot hold it: U+FFFD
/// replaces it.
fn parse(json: &str) -> Option<Value> {
    serde_json::from_str(json)
        .or_else(|_| serde_json::from_str(&without_lone_surrogates(json)))
        .ok()
}

fn without_lone_surrogates(json: &str) -> String {
    let surrogate = |text: Option<&str>| {
        let unit = u16::from_str_radix(text?.strip_prefix("\\u")?.get(..4)?, 16).ok()?;
        (0xD800..=0xDFFF).contains(&unit).then_some(unit)
    };
    let (mut text, mut rest) = (String::with_capacity(json.len()), json);
    while let Some(at) = rest.find('\\') {
        text += &rest[..at];
        let escape = &rest[at..];
        let (written, length) = match (surrogate(Some(escape)), surrogate(escape.get(6..))) {
            (Some(..0xDC00), Some(0xDC00..)) => (escape.get(..12), 12),
            (Some(_), _) => (Some("\\ufffd"), 6),
            (None, _) => (escape.get(..2), 2),
        };
        text += written.unwrap_or(escape);
        rest = escape.get(length..).unwrap_or_default();
    }
    text + rest
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Puts packets and their attachments together.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// Together, the attachments of a packet are at most as long, in bytes.
    max_binary: usize,
    /// A packet that waits for so many more attachments.
    waiting: Option<(Packet, usize)>,
}

impl Decoder {
    pub(crate) fn new(max_binary: usize) -> Self {
        Self { max_binary, waiting: None }
    }

    /// The packet that is complete with this message, if one is.
    pub(crate) fn feed(&mut self, message: Message) -> Result<Option<Packet>, Malformed> {
        let (packet, missing) = match (self.waiting.take(), &message) {
            (None, Message::Text(text)) => Packet::decode(text).ok_or(Malformed)?,
            (Some((mut packet, missing)), Message::Binary(bytes)) => {
                let attachments = packet.body.attachments().ok_or(Malformed)?;
                attachments.push(bytes.clone());
                if attachments.iter().map(Bytes::len).sum::<usize>() > self.max_binary {
                    return Err(Malformed);
                }
                (packet, missing - 1)
            }
            _ => return Err(Malformed),
        };
        if missing > 0 {
            self.waiting = Some((packet, missing));
            return Ok(None);
        }
        Ok(Some(packet))
    }
}

impl Body {
    fn attachments(&mut self) -> Option<&mut Vec<Bytes>> {
        match self {
            Self::Event { args, .. } | Self::Ack { args, .. } => Some(&mut args.attachments),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn feed_all(messages: &[Message]) -> Result<Option<Packet>, Malformed> {
        let mut decoder = Decoder::new(10);
        let (last, first) = messages.split_last().unwrap();
        for message in first {
            assert_eq!(decoder.feed(message.clone())?, None);
        }
        decoder.feed(last.clone())
    }

    /// Without the digit of Engine.IO.
    fn encode(body: &Body, namespace: &str) -> Vec<Message> {
        let bare = |message: Message| match message.as_text() {
            Some(text) => text.strip_prefix('4').unwrap().into(),
            None => message,
        };
        body.encode(namespace).into_iter().map(bare).collect()
    }

    #[test]
    fn packets_are_read_as_they_were_written() {
        let event = |args, ack| Body::Event { name: "foo".into(), args, ack };
        let mut binary = Args::from([json!(1)]);
        let data = binary.attach(vec![1, 2]);
        binary.push(json!({ "deep": [data] }));
        let placeholder = r#"{"_placeholder":true,"num":0}"#;
        for (namespace, body, text) in [
            ("/", Body::Connect(None), "0"),
            ("/admin", Body::Connect(Some(json!({ "token": 1 }))), r#"0/admin,{"token":1}"#),
            ("/admin", Body::Disconnect, "1/admin,"),
            ("/", event(().into(), None), r#"2["foo"]"#),
            ("/admin", event("€,".into(), Some(12)), r#"2/admin,12["foo","€,"]"#),
            ("/", Body::Ack { id: 0, args: ().into() }, "30[]"),
            (
                "/",
                event(binary.clone(), None),
                &format!(r#"51-["foo",1,{{"deep":[{placeholder}]}}]"#),
            ),
            (
                "/a",
                Body::Ack { id: 7, args: binary },
                &format!(r#"61-/a,7[1,{{"deep":[{placeholder}]}}]"#),
            ),
        ] {
            let messages = encode(&body, namespace);
            assert_eq!(messages[0], text);
            let packet = Packet { namespace: namespace.to_owned(), body };
            assert_eq!(feed_all(&messages), Ok(Some(packet)), "{text}");
        }
    }

    #[test]
    fn a_placeholder_in_a_text_event_is_only_an_object() {
        let text = r#"2["foo",{"_placeholder":true,"num":9}]"#;
        let Ok(Some(Packet { body: Body::Event { args, .. }, .. })) = feed_all(&[text.into()])
        else {
            panic!("no event");
        };
        assert_eq!(args.binary(&args[0]), None);
    }

    #[test]
    fn attachments_are_bounded_together() {
        let text = r#"52-["foo"]"#;
        let five = Message::from(vec![0; 5]);
        let six = Message::from(vec![0; 6]);
        assert!(feed_all(&[text.into(), five.clone(), five.clone()]).unwrap().is_some());
        assert_eq!(feed_all(&[text.into(), five, six]), Err(Malformed));
    }
}
