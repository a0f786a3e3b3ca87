//! Named events in JSON, such as `{"event": "chat", "data": "Hello"}`, which pages and servers send each other.

use serde_json::{Value, json};

/// The longest name of a person or a room, in characters.
pub const MAX_NAME: usize = 32;

/// An event as a text.
pub fn event(name: &str, data: impl Into<Value>) -> String {
    json!({ "event": name, "data": data.into() }).to_string()
}

/// Returns the name and the data of an event: an empty name and `null` if the text is no event.
pub fn parse(text: Option<&str>) -> (String, Value) {
    let mut event: Value =
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let name = event["event"].as_str().unwrap_or_default().to_owned();
    let data = event.get_mut("data").map(Value::take).unwrap_or_default();
    (name, data)
}

/// Returns the name that a user has chosen, without the white space around it.
///
/// # Errors
///
/// The name is missing or too long, it shows nothing, or one of its characters breaks the line or changes the direction in
/// which others are read.
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

/// Whether a character shows nothing. Many names have joiners, but joiners alone are no name.
fn is_invisible(c: char) -> bool {
    let joins =
        matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    joins || matches!(c, '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}') // fillers
}

/// Returns a text that is neither blank nor longer than `max_chars` characters.
///
/// # Errors
///
/// The text is missing, blank or too long.
pub fn text(text: Option<&str>, max_chars: usize) -> Result<String, String> {
    text.filter(|text| !text.trim().is_empty() && text.chars().count() <= max_chars)
        .map(str::to_owned)
        .ok_or_else(|| format!("1 to {max_chars} characters are needed"))
}

/// Whether a character breaks a line without being a control character, or changes the direction in which others are read.
pub fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
