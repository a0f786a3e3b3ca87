//! Appointments that several people book at once: `cargo run --release --example scheduler -- [ADDR]`.
//!
//! A page books and cancels over its WebSocket; without one, a request does:
//! `curl -X PUT http://127.0.0.1:9001/slots/9/Ann`, `curl -X DELETE http://127.0.0.1:9001/slots/9`.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use percent_encoding::percent_decode_str;
use serde_json::json;
use ws_examples::app::{self, App, ensure};
use ws_examples::events::{self, event};
use ws_std::{Hub, Member, WebSocket};

const HOURS: std::ops::RangeInclusive<u64> = 9..=16;

/// Whoever reaches the server may book and cancel, under any name. One that has to know who that is
/// wants a cookie or a token, in the opening handshake and with each `PUT` and `DELETE`.
#[derive(Debug)]
pub(crate) struct Scheduler {
    hub: Hub,
    /// Each hour and who has it. A change is made and told of under one lock, and so is the state that
    /// a page gets as it joins: nobody misses a change, and an older state never follows a later one.
    slots: Mutex<BTreeMap<u64, Option<String>>>,
}

/// An HTTP status, and a text for who asked.
type Answer = (u16, String);

impl Scheduler {
    pub(crate) fn new() -> Self {
        let free = HOURS.map(|hour| (hour, None)).collect();
        Self { hub: Hub::new(), slots: Mutex::new(free) }
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<u64, Option<String>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, ws: WebSocket) -> ws_std::Result<Member> {
        let slots = self.slots();
        let member = self.hub.join(ws)?;
        self.hub.send_to(member.id(), state(&slots));
        Ok(member)
    }

    fn book(&self, hour: u64, name: Option<&str>) -> Answer {
        let name = match events::name(name) {
            Ok(name) => name,
            Err(why) => return (400, format!("a name: {why}")),
        };
        let mut slots = self.slots();
        match slots.get_mut(&hour) {
            None => (404, "there is no such hour".into()),
            Some(Some(other)) => (409, format!("{hour}:00 is taken by {other}")),
            Some(free) => {
                *free = Some(name.clone());
                self.hub.broadcast(state(&slots));
                (200, format!("{hour}:00 is booked for {name}"))
            }
        }
    }

    /// Cancels what the page has shown, if that is told: it may be another's by now.
    fn cancel(&self, hour: u64, shown: Option<&str>) -> Answer {
        let mut slots = self.slots();
        match slots.get_mut(&hour) {
            None => (404, "there is no such hour".into()),
            Some(None) => (409, format!("{hour}:00 is free already")),
            Some(Some(other)) if shown.is_some_and(|shown| shown != other) => {
                (409, format!("{hour}:00 is booked for {other}"))
            }
            Some(slot) => {
                let name = slot.take().unwrap_or_default();
                self.hub.broadcast(state(&slots));
                (200, format!("{hour}:00 is no longer booked for {name}"))
            }
        }
    }

    fn handle(&self, text: Option<&str>) -> Answer {
        let (asked, data) = events::parse(text);
        match (asked.as_str(), data["hour"].as_u64()) {
            ("book", Some(hour)) => self.book(hour, data["name"].as_str()),
            ("cancel", Some(hour)) => self.cancel(hour, data["name"].as_str()),
            _ => (400, "an event is to book an hour for a name, or to cancel an hour".into()),
        }
    }
}

/// All of it, each time: it is small, and a client that knows the latest knows everything.
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
        while let Some(message) = member.read()? {
            let (status, text) = self.handle(message.as_text());
            let answer = event(if status == 200 { "done" } else { "error" }, text);
            self.hub.send_to(member.id(), answer);
            thread::sleep(app::PACE);
        }
        Ok(())
    }

    fn http(&self, method: &str, path: &str) -> Option<Answer> {
        let mut parts = path.strip_prefix("/slots/")?.split('/');
        let hour = parts.next()?.parse().ok()?;
        let (status, text) = match (method, parts.next(), parts.next()) {
            ("PUT", Some(name), None) => {
                self.book(hour, percent_decode_str(name).decode_utf8().ok().as_deref())
            }
            ("DELETE", None, None) => self.cancel(hour, None),
            _ => return None,
        };
        Some((status, text + "\n"))
    }

    fn check(&self, url: &str) -> Result<(), Box<dyn Error>> {
        let mut page = ws_std::connect(url)?;
        let at_nine =
            |page: &mut WebSocket| events::expect(page, "slots").map(|mut all| all[0].take());
        let (free, booked) =
            (json!({ "hour": 9, "name": null }), json!({ "hour": 9, "name": "Ann" }));
        ensure(at_nine(&mut page)? == free, "9:00 is free")?;
        let slot = format!("{}/slots/9", url.trim_end_matches("/ws"));
        ensure(app::http("PUT", &format!("{slot}/A%6En"))?.0 == 200, "PUT books")?;
        ensure(at_nine(&mut page)? == booked, "a page sees it")?;
        ensure(at_nine(&mut ws_std::connect(url)?)? == booked, "so does a later one")?;
        page.send(r#"{"event":"book","data":{"hour":9,"name":"Bob"}}"#)?;
        let error = events::expect(&mut page, "error")?;
        ensure(error == "9:00 is taken by Ann", "a conflict is refused")?;
        ensure(app::http("DELETE", &slot)?.0 == 200, "DELETE cancels")?;
        ensure(at_nine(&mut page)? == free, "9:00 is free again")?;
        Ok(page.close(None, "").map(drop)?)
    }
}

#[allow(dead_code, reason = "the demo has its own")]
fn main() -> ExitCode {
    ws_examples::run("scheduler", "usage: scheduler [ADDR] [--self-check]", |mut args| {
        while let Some(arg) = args.next() {
            args.common(arg)?;
        }
        app::run(&args, app::listener(), vec![("", Arc::new(Scheduler::new()))])
    })
}
