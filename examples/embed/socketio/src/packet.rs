//! Packets of Socket.IO 5: a line of text, then as many binary messages as it has attachments.

use std::{iter, mem};

use axum::body::Bytes;
use serde_json::{Value, json};
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
/// args.values.push(json!({ "by": "Ann", "picture": picture }));
/// assert_eq!(args.binary(&args.values[1]["picture"]).unwrap()[..], [1, 2, 3]);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Args {
    /// The arguments themselves.
    pub values: Vec<Value>,
    attachments: Vec<Bytes>,
}

impl Args {
    /// Adds binary data, and returns the placeholder that stands for it. The placeholder has no meaning in other
    /// `Args`.
    pub fn attach(&mut self, bytes: impl Into<Bytes>) -> Value {
        self.attachments.push(bytes.into());
        // Other implementations write the keys in this order.
        json!({ "_placeholder": true, "num": self.attachments.len() - 1 })
    }

    /// Returns the binary data for which a value of these `Args` stands, if it is a placeholder.
    pub fn binary(&self, placeholder: &Value) -> Option<&Bytes> {
        self.attachments.get(attachment(placeholder)?)
    }
}

impl<T: Into<Vec<Value>>> From<T> for Args {
    fn from(values: T) -> Self {
        Self { values: values.into(), attachments: Vec::new() }
    }
}

/// The number of the attachment that a placeholder stands for: one that no packet has, if the placeholder has none.
fn attachment(placeholder: &Value) -> Option<usize> {
    let num = placeholder["num"].as_u64().and_then(|num| usize::try_from(num).ok());
    (placeholder["_placeholder"] == true).then_some(num.unwrap_or(usize::MAX))
}

/// Whether each placeholder in a value stands for one of `count` attachments.
fn all_attached(value: &Value, count: usize) -> bool {
    attachment(value).is_none_or(|num| num < count)
        && match value {
            Value::Array(values) => values.iter().all(|value| all_attached(value, count)),
            Value::Object(map) => map.values().all(|value| all_attached(value, count)),
            _ => true,
        }
}

/// What a packet says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// With the payload of the client, or what the server says to it.
    Connect(Option<Value>),
    Disconnect,
    /// With its name, and the id of the acknowledgement that it asks for.
    Event(String, Args, Option<u64>),
    Ack(u64, Args),
    /// Only a server refuses.
    ConnectError(Value),
}

impl Body {
    /// The packet, in those of Engine.IO.
    pub(crate) fn encode(self, namespace: &str) -> Vec<Message> {
        let (kind, id, data, attachments) = match self {
            Self::Connect(data) => (0, None, data, Vec::new()),
            Self::Disconnect => (1, None, None, Vec::new()),
            Self::Event(name, mut args, ack) => {
                args.values.insert(0, name.into());
                (2, ack, Some(args.values.into()), args.attachments)
            }
            Self::Ack(id, args) => (3, Some(id), Some(args.values.into()), args.attachments),
            Self::ConnectError(why) => (4, None, Some(why), Vec::new()),
        };
        let mut text = match attachments.len() {
            0 => kind.to_string(),
            count => format!("{}{count}-", kind + 3),
        };
        if !namespace.is_empty() {
            text += &format!("/{namespace},");
        }
        text += &id.map(|id| id.to_string()).unwrap_or_default();
        text += &data.map(|data| data.to_string()).unwrap_or_default();
        let attachments = attachments.into_iter().map(Message::from);
        iter::once(text.into()).chain(attachments).map(engine::encode).collect()
    }
}

/// A packet of a client, with the name of its namespace.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packet {
    pub(crate) namespace: String,
    pub(crate) body: Body,
}

impl Packet {
    /// The packet in a text, and how many attachments follow.
    fn decode(text: &str) -> Option<(Self, usize)> {
        let (kind, rest) = text.split_at_checked(1)?;
        let is_binary = matches!(kind, "5" | "6");
        let (count, rest) = if is_binary { rest.split_once('-')? } else { ("0", rest) };
        let (Some(count), "") = number(count)? else { return None };
        let count = usize::try_from(count).ok().filter(|count| *count <= MAX_ATTACHMENTS)?;
        let (namespace, rest) = match rest.strip_prefix('/') {
            Some(named) => named.split_once(',').unwrap_or((named, "")),
            None => ("", rest),
        };
        let (id, data) = number(rest)?;
        let data = if data.is_empty() { None } else { Some(parse(data)?) };
        if is_binary && !all_attached(data.as_ref()?, count) {
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
                Body::Event(name, values.into(), ack)
            }
            ("3" | "6", Some(id), Some(Value::Array(values))) => Body::Ack(id, values.into()),
            _ => return None,
        };
        Some((Self { namespace: namespace.to_owned(), body }, count))
    }
}

/// The number at the beginning of a text, if it has one, and the rest. `None` if the number is too large.
fn number(text: &str) -> Option<(Option<u64>, &str)> {
    let (digits, rest) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let number = if digits.is_empty() { None } else { Some(digits.parse().ok()?) };
    Some((number, rest))
}

/// JSON text may escape half a surrogate pair, as `JSON.stringify` does, but a Rust string cannot hold it: U+FFFD
/// replaces it.
fn parse(json: &str) -> Option<Value> {
    let replaced = |_| serde_json::from_str(&without_lone_surrogates(json));
    serde_json::from_str(json).or_else(replaced).ok()
}

fn without_lone_surrogates(json: &str) -> String {
    let json = json.replace(r"\\", r"\u005c"); // so that each `\u` begins an escape
    let mut parts = json.split(r"\u");
    let mut units: Vec<u16> = parts.next().unwrap_or_default().encode_utf16().collect();
    for part in parts {
        match part.get(..4).and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
            Some(surrogate @ 0xD800..=0xDFFF) => {
                units.push(surrogate);
                units.extend(part[4..].encode_utf16());
            }
            _ => units.extend(format!("\\u{part}").encode_utf16()),
        }
    }
    String::from_utf16_lossy(&units)
}

/// Puts packets and their attachments together.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// Together, the attachments of a packet are at most as long, in bytes.
    max_binary: usize,
    /// A packet that waits for so many attachments.
    waiting: Option<(Packet, usize)>,
    attachments: Vec<Bytes>,
}

impl Decoder {
    pub(crate) fn new(max_binary: usize) -> Self {
        Self { max_binary, waiting: None, attachments: Vec::new() }
    }

    /// The packet that is complete with this message, if one is.
    pub(crate) fn feed(&mut self, message: Message) -> Result<Option<Packet>, Malformed> {
        let (mut packet, count) = match (self.waiting.take(), message) {
            (None, Message::Text(text)) => Packet::decode(&text).ok_or(Malformed)?,
            (Some(waiting), Message::Binary(bytes)) => {
                self.attachments.push(bytes);
                waiting
            }
            _ => return Err(Malformed),
        };
        if self.attachments.iter().map(Bytes::len).sum::<usize>() > self.max_binary {
            return Err(Malformed);
        }
        if self.attachments.len() < count {
            self.waiting = Some((packet, count));
            return Ok(None);
        }
        if let Body::Event(_, args, _) | Body::Ack(_, args) = &mut packet.body {
            args.attachments = mem::take(&mut self.attachments);
        }
        Ok(Some(packet))
    }
}

#[cfg(test)]
mod tests {
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
    fn encode(body: Body, namespace: &str) -> Vec<Message> {
        let bare = |message: Message| match message.as_text() {
            Some(text) => text.strip_prefix('4').unwrap().into(),
            None => message,
        };
        body.encode(namespace).into_iter().map(bare).collect()
    }

    #[test]
    fn packets_are_read_as_they_were_written() {
        let event = |args, ack| Body::Event("foo".into(), args, ack);
        let mut binary = Args::from([json!(1)]);
        let data = binary.attach(vec![1, 2]);
        binary.values.push(json!({ "deep": [data] }));
        let placeholder = r#"{"_placeholder":true,"num":0}"#;
        for (namespace, body, text) in [
            ("", Body::Connect(None), "0"),
            ("admin", Body::Connect(Some(json!({ "token": 1 }))), r#"0/admin,{"token":1}"#),
            ("admin", Body::Disconnect, "1/admin,"),
            ("", event([].into(), None), r#"2["foo"]"#),
            ("admin", event([json!("€,")].into(), Some(12)), r#"2/admin,12["foo","€,"]"#),
            ("", Body::Ack(0, [].into()), "30[]"),
            (
                "",
                event(binary.clone(), None),
                &format!(r#"51-["foo",1,{{"deep":[{placeholder}]}}]"#),
            ),
            ("a", Body::Ack(7, binary), &format!(r#"61-/a,7[1,{{"deep":[{placeholder}]}}]"#)),
        ] {
            let messages = encode(body.clone(), namespace);
            assert_eq!(messages[0], text);
            let packet = Packet { namespace: namespace.to_owned(), body };
            assert_eq!(feed_all(&messages), Ok(Some(packet)), "{text}");
        }
    }

    #[test]
    fn a_placeholder_in_a_text_event_is_only_an_object() {
        let text = r#"2["foo",{"_placeholder":true,"num":9}]"#;
        let Ok(Some(Packet { body: Body::Event(_, args, _), .. })) = feed_all(&[text.into()])
        else {
            panic!("no event");
        };
        assert_eq!(args.binary(&args.values[0]), None);
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
