//! Named events in JSON, `{"event": "chat", "data": "Hello"}`, as pages and servers tell each other.

use std::error::Error;

use serde_json::{Value, json};
use ws_std::WebSocket;

use crate::app::{PATIENCE, read_text};
use crate::turns;

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
/// It is missing or too long, cannot be seen, or has a character that breaks the line or turns the order of
/// others around.
pub fn name(chosen: Option<&str>) -> Result<String, String> {
    let name = text(chosen.map(str::trim), MAX_NAME)?;
    if name.contains(|c: char| c.is_control() || turns(c)) {
        return Err("a name is one line, in its natural order".into());
    }
    if name.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        return Err("a name can be seen".into());
    }
    Ok(name)
}

/// Whether a character shows nothing: joiners are in many names, and are none by themselves.
fn is_invisible(c: char) -> bool {
    let joins =
        matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    joins || matches!(c, '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}') // fillers
}

/// A text of limited length.
///
/// # Errors
///
/// It is missing, blank or too long.
pub fn text(text: Option<&str>, max_chars: usize) -> Result<String, String> {
    text.filter(|text| !text.trim().is_empty() && text.chars().count() <= max_chars)
        .map(str::to_owned)
        .ok_or_else(|| format!("1 to {max_chars} characters are needed"))
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
