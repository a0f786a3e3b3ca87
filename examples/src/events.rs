//! Named events in JSON, `{"event": "chat", "data": "Hello"}`, as pages and servers tell each other.

use std::error::Error;

use serde_json::{Value, json};
use ws_std::WebSocket;

use crate::app::{PATIENCE, read_text};

/// The longest name of a person or a room, in characters.
pub const MAX_NAME: usize = 32;

/// An event as a text.
pub fn event(name: &str, data: impl Into<Value>) -> String {
    json!({ "event": name, "data": data.into() }).to_string()
}

/// The name and the data of an event, empty and null where it is none.
pub fn parse(text: Option<&str>) -> (String, Value) {
    let mut event: Value =
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let name = event["event"].as_str().unwrap_or_default().to_owned();
    let data = event.get_mut("data").map(Value::take).unwrap_or_default();
    (name, data)
}

/// The name that a user has chosen, without white space around it.
///
/// # Errors
///
/// It is empty or too long, or has a line break or the like.
pub fn name(chosen: &str) -> Result<String, &'static str> {
    let name = chosen.trim();
    let fits = (1..=MAX_NAME).contains(&name.chars().count());
    let fits = fits && !name.contains(char::is_control);
    fits.then(|| name.to_owned()).ok_or("a name has 1 to 32 characters")
}

/// Waits for the next event, which has to be this one: its data; for checks.
///
/// # Errors
///
/// It is another one, or none comes.
pub fn expect(ws: &mut WebSocket, name: &str) -> Result<Value, Box<dyn Error>> {
    let text = read_text(ws, PATIENCE)?;
    match parse(Some(&text)) {
        (got, data) if got == name => Ok(data),
        _ => Err(format!("expected the event {name:?}, got {text}").into()),
    }
}
