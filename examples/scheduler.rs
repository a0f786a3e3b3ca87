//! Appointments that several people book at the same time: `cargo run --release --example scheduler -- [ADDR]`.
//!
//! A page books and cancels over its WebSocket. Without a page, use requests:
//! `curl -X PUT http://127.0.0.1:9001/slots/9/Ann`, `curl -X DELETE http://127.0.0.1:9001/slots/9`.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Mutex;

use percent_encoding::percent_decode_str;
use serde_json::json;
use ws_examples::app::{self, Answer, App, ensure};
use ws_examples::events::{self, event};
use ws_examples::lock;
use ws_std::{Hub, Member, WebSocket};

const HOURS: std::ops::RangeInclusive<u64> = 9..=16;

/// The scheduler. Anybody who reaches the server can book and cancel, under any name. A scheduler that has to know who
/// somebody is should ask for a cookie or a token, in the opening handshake and with each `PUT` and `DELETE`.
#[derive(Debug)]
pub(crate) struct Scheduler {
    hub: Hub,
    /// Each hour, and who has booked it. Changes are made and sent under one lock, and so is the state that a page
    /// receives when it joins. So nobody misses a change, and an older state never follows a later one.
    slots: Mutex<BTreeMap<u64, Option<String>>>,
}

/// The text of the answer. A refusal also has an HTTP status.
type Outcome = Result<String, (u16, String)>;

impl Scheduler {
    pub(crate) fn new() -> Self {
        let free = HOURS.map(|hour| (hour, None)).collect();
        Self { hub: Hub::new(), slots: Mutex::new(free) }
    }

    fn enter(&self, ws: WebSocket) -> ws_std::Result<Member> {
        let slots = lock(&self.slots);
        let member = self.hub.join(ws)?;
        self.hub.send_to(member.id(), state(&slots));
        Ok(member)
    }

    fn book(&self, hour: u64, name: Option<&str>) -> Outcome {
        let name = events::name(name).map_err(|why| (400, format!("a name: {why}")))?;
        let mut slots = lock(&self.slots);
        match slots.get_mut(&hour) {
            None => Err((404, "there is no such hour".into())),
            Some(Some(other)) => Err((409, format!("{hour}:00 is taken by {other}"))),
            Some(free) => {
                *free = Some(name.clone());
                self.hub.broadcast(state(&slots));
                Ok(format!("{hour}:00 is booked for {name}"))
            }
        }
    }

    /// Cancels an hour. `shown` is the name that the page shows. If another name has booked the hour by now, it is not
    /// cancelled.
    fn cancel(&self, hour: u64, shown: Option<&str>) -> Outcome {
        let mut slots = lock(&self.slots);
        match slots.get_mut(&hour) {
            None => Err((404, "there is no such hour".into())),
            Some(None) => Err((409, format!("{hour}:00 is free already"))),
            Some(Some(other)) if shown.is_some_and(|shown| shown != other) => {
                Err((409, format!("{hour}:00 is booked for {other}")))
            }
            Some(slot) => {
                let name = slot.take().unwrap_or_default();
                self.hub.broadcast(state(&slots));
                Ok(format!("{hour}:00 is no longer booked for {name}"))
            }
        }
    }

    fn handle(&self, text: Option<&str>) -> Outcome {
        let (asked, data) = events::parse(text);
        match (asked.as_str(), data["hour"].as_u64()) {
            ("book", Some(hour)) => self.book(hour, data["name"].as_str()),
            ("cancel", Some(hour)) => self.cancel(hour, data["name"].as_str()),
            _ => Err((400, "an event is to book an hour for a name, or to cancel an hour".into())),
        }
    }
}

/// Decodes a name in a path, in which `%` and two digits stand for a byte of UTF-8 (RFC 3986 §2.1).
fn decoded(name: &str) -> Outcome {
    let two_digits = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !name.split('%').skip(1).all(two_digits) {
        return Err((400, "a percent sign comes before two hexadecimal digits".into()));
    }
    let name = percent_decode_str(name).decode_utf8();
    name.map(Into::into).map_err(|_| (400, "a name is in UTF-8".into()))
}

/// Returns the whole state, which is small. So a client that knows the latest state knows everything.
fn state(slots: &BTreeMap<u64, Option<String>>) -> String {
    let list = slots.iter().map(|(hour, name)| json!({ "hour": hour, "name": name }));
    event("slots", list.collect::<Vec<_>>())
}

impl App for Scheduler {
    fn page(&self) -> &'static str {
        include_str!("pages/scheduler.html")
    }

    fn talk(&self, ws: WebSocket) -> ws_std::Result<()> {
        let mut member = self.enter(ws)?;
        let id = member.id();
        app::listen(&mut member, |message| {
            let answer = match self.handle(message.as_text()) {
                Ok(text) => event("done", text),
                Err((_, text)) => event("error", text),
            };
            self.hub.send_to(id, answer);
        })
    }

    fn http(&self, method: &str, path: &str) -> Option<Answer> {
        let parts: Vec<_> = path.strip_prefix("/slots/")?.split('/').collect();
        // Each hour has only one path: `09` is not valid.
        let hour = HOURS.into_iter().find(|hour| hour.to_string() == parts[0])?;
        let outcome = match (method, &parts[1..]) {
            ("DELETE", []) => self.cancel(hour, None),
            ("PUT", []) => Err((400, "a name is missing".into())),
            ("PUT", [name]) => decoded(name).and_then(|name| self.book(hour, Some(&name))),
            (_, []) => return Some(Answer::Only("DELETE")),
            (_, [_]) => return Some(Answer::Only("PUT")),
            _ => return None,
        };
        let (status, text) = outcome.map_or_else(|refused| refused, |text| (200, text));
        Some(Answer::Text(status, text + "\n"))
    }

    fn check(&self, url: &str) -> Result<(), Box<dyn Error>> {
        let mut page = ws_std::connect(url)?;
        let at_nine = |ws: &mut _| app::expect_event(ws, "slots").map(|all| all[0]["name"].clone());
        let [free, booked] = [json!(null), json!("Ann")];
        ensure(at_nine(&mut page)? == free, "9:00 is free")?;
        let slot = format!("{}/slots/9", url.trim_end_matches("/ws"));
        ensure(app::http("PUT", &format!("{slot}/A%6En"))?.0 == 200, "PUT books")?;
        ensure(at_nine(&mut page)? == booked, "a page sees it")?;
        ensure(at_nine(&mut ws_std::connect(url)?)? == booked, "so does a later one")?;
        ensure(app::http("DELETE", &slot)?.0 == 200, "DELETE cancels")?;
        ensure(at_nine(&mut page)? == free, "9:00 is free again")?;
        Ok(page.close(None, "").map(drop)?)
    }
}

#[allow(dead_code, reason = "the demo has its own")]
fn main() -> ExitCode {
    app::main("scheduler", Scheduler::new())
}
