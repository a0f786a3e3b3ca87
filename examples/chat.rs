//! A chat with names, rooms and a list of the people who are connected.
//!
//! ```sh
//! cargo run --release --example chat -- [ADDR]
//! ```
//!
//! To start a program of your own, copy this file, `events.rs` and the files in `pages` that it includes. The program
//! depends on `ws-std` and `serde_json`, and on `ctrlc` to close all connections at Ctrl-C.
//!
//! Every message is a named event, such as `{"event": "chat", "data": "Hello"}`:
//!
//! | event of a client | data | what the server does |
//! |---|---|---|
//! | `name` | a name | sends `named` to everybody |
//! | `chat` | a text | sends `chat` to everybody, the sender included |
//! | `typing` | `true` or `false` | sends `typing` to everybody else |
//! | `subscribe`, `unsubscribe` | a room | sends `subscribed` or `unsubscribed` to the sender |
//! | `publish` | `{"room", "text"}` | sends `publish` to those who have subscribed to the room |
//!
//! A new client receives `welcome` with its id and the people who are connected. Later it receives `joined` and `left`
//! when somebody comes or goes, and `error` with a text when the server cannot do what it asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use ws_std::{Config, HttpResponse, Hub, Incoming, Listener, Member, MemberId, Message, WebSocket};

#[allow(unreachable_pub, reason = "it is a part of the examples' library, too")]
mod events;
use events::{event, name, text};

pub(crate) const PAGE: &str = include_str!("pages/chat.html");
const STYLE: &str = include_str!("pages/app.css");
const SCRIPT: &str = include_str!("pages/socket.js");

/// The longest text, in characters.
const MAX_TEXT: usize = 2000;
/// How many rooms one person may be in.
const MAX_ROOMS: usize = 16;
/// How long the server waits between two messages of one client. Nobody types faster, and whatever a client sends beyond that
/// waits in its own TCP connection.
const PACE: Duration = Duration::from_millis(10);

#[allow(dead_code, reason = "the demo has its own")]
fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::new()
        .ping_interval(Some(Duration::from_secs(30))) // detects peers that are gone
        .max_message(64 * 1024);
    let builder = Listener::builder().config(config).max_connections(10_000);
    let listener = match std::env::args().nth(1) {
        Some(address) => builder.bind(&address)?,
        // Pages reach this machine only under these names. A request for another name is not from our page (DNS
        // rebinding).
        None => builder.hosts(["localhost", "127.0.0.1"]).bind("127.0.0.1:9001")?,
    };
    let address = listener.local_addr()?;
    println!("listening on ws://{address}");
    eprintln!("open http://{address}/ in a browser; Ctrl-C ends the server");

    // At Ctrl-C every page receives a Close frame with 1001, "going away", and the loop below ends.
    let handle = listener.handle();
    ctrlc::set_handler(move || {
        handle.shutdown(Duration::from_secs(5));
    })?;

    let chat = Arc::new(Chat::default());
    for incoming in listener {
        let (incoming, chat) = (incoming?, chat.clone());
        thread::spawn(move || {
            if let Err(error) = serve(incoming, &chat) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

/// Answers one request: the WebSocket, the page, or a file that the page includes.
fn serve(incoming: Incoming, chat: &Chat) -> ws_std::Result<()> {
    let request = incoming.request()?;
    let (kind, body) = match request.path() {
        "/ws" if request.is_upgrade() => return chat.talk(request.accept()?),
        "/" => ("text/html; charset=utf-8", PAGE),
        "/app.css" => ("text/css", STYLE),
        "/socket.js" => ("text/javascript", SCRIPT),
        _ => return request.reject(404),
    };
    request.http(&HttpResponse::new(200).headers(&[("Content-Type", kind)]).body(body.as_bytes()))
}

#[derive(Debug, Default)]
pub(crate) struct Chat {
    hub: Hub,
    /// The people who are connected. A change is made and announced under one lock, so everybody sees the same changes
    /// in the same order. The lock is held while messages are queued, but never while they are written.
    people: Mutex<BTreeMap<MemberId, Person>>,
}

/// A person in the chat. The id distinguishes connections but does not prove who somebody is, and anybody can take any
/// name. A chat that has to know this should ask for a token or a cookie in the opening handshake.
#[derive(Debug)]
struct Person {
    name: String,
    rooms: BTreeSet<String>,
}

impl Chat {
    /// Talks to one client until the connection is over.
    pub(crate) fn talk(&self, ws: WebSocket) -> ws_std::Result<()> {
        let mut member = self.enter(ws)?;
        let id = member.id();
        let result = self.listen(&mut member);
        self.leave(id);
        result
    }

    fn listen(&self, member: &mut Member) -> ws_std::Result<()> {
        while let Some(message) = member.read()? {
            if let Err(why) = self.handle(member.id(), &message) {
                member.send(event("error", why));
            }
            thread::sleep(PACE);
        }
        Ok(())
    }

    fn people(&self) -> MutexGuard<'_, BTreeMap<MemberId, Person>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, ws: WebSocket) -> ws_std::Result<Member> {
        let mut people = self.people();
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
        let mut people = self.people();
        if let Some(person) = people.remove(&id) {
            self.hub.broadcast_except(id, event("left", who(id, &person.name)));
        }
    }

    /// Does what a client asks for. The error is a text for its user.
    fn handle(&self, id: MemberId, message: &Message) -> Result<(), String> {
        let (asked, data) = events::parse(message.as_text());
        let mut people = self.people();
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
