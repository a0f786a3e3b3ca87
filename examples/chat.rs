//! A chat with names and rooms that shows who is there: `cargo run --release --example chat -- [ADDR]`.
//!
//! Every message is a named event, such as `{"event": "chat", "data": "Hello"}`:
//!
//! | event from a client | data | the server sends |
//! |---|---|---|
//! | `name` | a name | `named` to everybody |
//! | `chat` | a text | `chat` to everybody, including the sender |
//! | `typing` | whether the client is typing | `typing` to everybody else |
//! | `subscribe`, `unsubscribe` | a room | `subscribed`, `unsubscribed` to the sender |
//! | `publish` | `{"room", "text"}` | `publish` to everybody who has subscribed to the room |
//!
//! A client first gets `welcome` with its id and the people who are there, and later `joined` and `left`. It gets `error`
//! with a text if an event is not valid.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Mutex;

use serde_json::{Value, json};
use ws_examples::app::{self, App, ensure};
use ws_examples::events::{self, event, name, text};
use ws_examples::lock;
use ws_std::{Hub, Member, MemberId, WebSocket};

/// The longest text, in characters.
const MAX_TEXT: usize = 2000;
/// The number of rooms that one person may be in.
const MAX_ROOMS: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Chat {
    hub: Hub,
    /// The people who are there. A change is made and announced under one lock, so everybody sees the same changes in the
    /// same order. The lock is held while messages are queued, but never while they are written.
    people: Mutex<BTreeMap<MemberId, Person>>,
}

/// The id tells connections apart, but does not prove who somebody is, and anybody can take any name.
/// A chat that needs to know asks for a token or a cookie in the opening handshake.
#[derive(Debug)]
struct Person {
    name: String,
    rooms: BTreeSet<String>,
}

impl Chat {
    fn enter(&self, ws: WebSocket) -> ws_std::Result<Member> {
        let mut people = lock(&self.people);
        let member = self.hub.join(ws)?;
        let (id, name) = (member.id(), format!("Guest {}", member.id()));
        people.insert(id, Person { name: name.clone(), rooms: BTreeSet::new() });
        let list = people.iter().map(|(id, person)| who(*id, &person.name));
        let welcome = json!({ "id": id.to_string(), "people": list.collect::<Vec<_>>() });
        self.hub.send_to(id, event("welcome", welcome));
        self.hub.broadcast_except(id, event("joined", who(id, &name)));
        Ok(member)
    }

    fn leave(&self, id: MemberId) {
        let mut people = lock(&self.people);
        if let Some(person) = people.remove(&id) {
            self.hub.broadcast_except(id, event("left", who(id, &person.name)));
        }
    }

    /// Does what a client asks for. The error is shown to that client.
    fn handle(&self, id: MemberId, said: Option<&str>) -> Result<(), String> {
        let (asked, data) = events::parse(said);
        let mut people = lock(&self.people);
        let Some(person) = people.get_mut(&id) else { return Ok(()) };
        let mut from = who(id, &person.name);
        match asked.as_str() {
            "name" => {
                person.name = name(data.as_str())?;
                self.hub.broadcast(event("named", who(id, &person.name)));
            }
            "chat" => {
                from["text"] = text(data.as_str(), MAX_TEXT)?.into();
                self.hub.broadcast(event("chat", from));
            }
            "typing" => {
                from["typing"] = (data == true).into();
                self.hub.broadcast_except(id, event("typing", from));
            }
            "subscribe" => {
                let room = name(data.as_str())?;
                if person.rooms.len() >= MAX_ROOMS && !person.rooms.contains(&room) {
                    return Err("that is one room too many".into());
                }
                person.rooms.insert(room.clone());
                self.hub.send_to(id, event("subscribed", room));
            }
            "unsubscribe" => {
                let room = name(data.as_str())?;
                person.rooms.remove(&room);
                self.hub.send_to(id, event("unsubscribed", room));
            }
            "publish" => {
                let room = name(data["room"].as_str())?;
                from["text"] = text(data["text"].as_str(), MAX_TEXT)?.into();
                from["room"] = room.clone().into();
                let inside = |id| people.get(&id).is_some_and(|to| to.rooms.contains(&room));
                self.hub.broadcast_where(inside, event("publish", from));
            }
            _ => return Err("there is no such event".into()),
        }
        Ok(())
    }
}

fn who(id: MemberId, name: &str) -> Value {
    json!({ "id": id.to_string(), "name": name })
}

impl App for Chat {
    fn page(&self) -> &'static str {
        include_str!("pages/chat.html")
    }

    fn talk(&self, ws: WebSocket) -> ws_std::Result<()> {
        let mut member = self.enter(ws)?;
        let id = member.id();
        let result = app::listen(&mut member, |message| {
            if let Err(why) = self.handle(id, message.as_text()) {
                self.hub.send_to(id, event("error", why));
            }
        });
        self.leave(id);
        result
    }

    fn check(&self, url: &str) -> Result<(), Box<dyn Error>> {
        let mut ann = ws_std::connect(url)?;
        let id = events::expect(&mut ann, "welcome")?["id"].take();
        let mut bob = ws_std::connect(url)?;
        ensure(events::expect(&mut bob, "welcome")?["id"] != id, "each has an id of its own")?;
        events::expect(&mut ann, "joined")?;
        ann.send(event("chat", "<b>tea?</b>"))?;
        for ws in [&mut ann, &mut bob] {
            ensure(events::expect(ws, "chat")?["text"] == "<b>tea?</b>", "both get the text")?;
        }
        bob.close(None, "")?;
        events::expect(&mut ann, "left")?;
        Ok(ann.close(None, "").map(drop)?)
    }
}

#[allow(dead_code, reason = "the demo has its own")]
fn main() -> ExitCode {
    app::main("chat", Chat::default())
}
