//! Sends the server's time to all pages at once: `cargo run --release --example clock -- [ADDR] --every 5s`.
//!
//! `--origin` admits a page from another origin. To try it, serve copies of `clock.html`, `socket.js` and `app.css` of
//! `examples/pages` there, and open the page with `?server=ws://127.0.0.1:9001/ws`.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ws_examples::app::{self, Answer, App};
use ws_std::{Hub, Origins, WebSocket};

const USAGE: &str =
    "usage: clock [ADDR] [--every 5s] [--origin ORIGIN]... [--host HOST]... [--self-check]";

#[derive(Debug)]
pub(crate) struct Clock {
    hub: Hub,
    every: Duration,
    origins: Vec<String>,
}

impl Clock {
    /// Starts to tick. The page lists these origins as further ones that are admitted.
    pub(crate) fn new(every: Duration, origins: Vec<String>) -> Result<Self, Box<dyn Error>> {
        let hub = Hub::new();
        let all = hub.clone();
        app::at_intervals(every, move || {
            let now = humantime::format_rfc3339_millis(SystemTime::now());
            all.broadcast(now.to_string());
        })?;
        Ok(Self { hub, every, origins })
    }
}

impl App for Clock {
    fn page(&self) -> &'static str {
        include_str!("pages/clock.html")
    }

    fn talk(&self, ws: WebSocket) -> ws_std::Result<()> {
        // From here on, the client receives the broadcasts. Its messages are ignored, but they must be read, and so
        // must its Pings and Close frames.
        let mut member = self.hub.join(ws)?;
        while member.read()?.is_some() {}
        Ok(())
    }

    fn http(&self, method: &str, path: &str) -> Option<Answer> {
        match (method, path) {
            ("GET", "/origins") => Some(Answer::Text(200, self.origins.join("\n"))),
            (_, "/origins") => Some(Answer::Only("GET, HEAD")),
            _ => None,
        }
    }

    fn check(&self, url: &str) -> Result<(), Box<dyn Error>> {
        let [first, second] = app::same_for_all(url, self.every)?;
        let first = humantime::parse_rfc3339(&first)?;
        let second = humantime::parse_rfc3339(&second)?;
        let age = SystemTime::now().duration_since(second)?;
        if first >= second || age > Duration::from_secs(10) {
            return Err(format!("{first:?}, then {second:?}, {age:?} ago").into());
        }
        Ok(())
    }
}

#[allow(dead_code, reason = "the demo has its own")]
fn main() -> ExitCode {
    ws_examples::run("clock", USAGE, |mut args| {
        let (mut every, mut origins) = (Duration::from_secs(1), Vec::new());
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--every" => every = args.duration(&arg)?,
                "--origin" => origins.push(args.origin(&arg)?),
                _ => args.common(arg)?,
            }
        }
        let clock = Clock::new(every, origins.clone())?;
        let names = origins.iter().map(|origin| format!(", {origin}")).collect::<String>();
        eprintln!("pages are let in from this server{names}");
        let listener = app::listener().origins(Origins::List(origins));
        app::run(&args, listener, vec![("", Arc::new(clock))])
    })
}
