//! All applications on one port: `cargo run --release --example demo -- [ADDR] [--self-check]`.

use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ws_examples::app::{self, App, Apps, ensure};
use ws_examples::events::event;
use ws_std::{CloseCode, WebSocket};

#[path = "chat.rs"]
mod chat;
#[path = "clock.rs"]
mod clock;
#[path = "greet.rs"]
mod greet;
#[path = "im.rs"]
mod im;
#[path = "push_vs_poll.rs"]
mod push_vs_poll;
#[path = "scheduler.rs"]
mod scheduler;
#[path = "ticker.rs"]
mod ticker;

/// The page at the root, which links to all others.
#[derive(Debug)]
struct Index(Vec<&'static str>);

impl App for Index {
    fn page(&self) -> &'static str {
        include_str!("pages/index.html")
    }

    fn talk(&self, mut ws: WebSocket) -> ws_std::Result<()> {
        ws.close(CloseCode::NORMAL, "each application has its own").map(drop)
    }

    fn check(&self, url: &str) -> Result<(), Box<dyn Error>> {
        let mut ws = ws_std::connect(url)?;
        ws.read()?;
        match ws.close_info() {
            Some(info) if info.clean && info.reason == "each application has its own" => {}
            other => return Err(format!("closed otherwise: {other:?}").into()),
        }
        for path in &self.0 {
            if !self.page().contains(&format!("href=\"{}/\"", path.trim_start_matches('/'))) {
                return Err(format!("no link to {path}").into());
            }
        }
        Ok(())
    }
}

/// The same as `echo_server`, beside the other applications.
#[derive(Debug)]
struct Echo;

impl App for Echo {
    fn page(&self) -> &'static str {
        include_str!("pages/echo.html")
    }

    fn talk(&self, mut ws: WebSocket) -> ws_std::Result<()> {
        while let Some((message, mut replier)) = ws.read_ref()? {
            replier.queue(message)?;
        }
        Ok(())
    }

    fn check(&self, url: &str) -> Result<(), Box<dyn Error>> {
        let mut ws = ws_std::connect(url)?;
        ws.send("echo me")?;
        app::expect(&mut ws, "echo me")?;
        Ok(ws.close(None, "").map(drop)?)
    }
}

/// The application of `greet.rs`.
#[derive(Debug)]
struct Greet;

impl App for Greet {
    fn page(&self) -> &'static str {
        greet::PAGE
    }

    fn talk(&self, ws: WebSocket) -> ws_std::Result<()> {
        greet::talk(ws)
    }

    fn check(&self, url: &str) -> Result<(), Box<dyn Error>> {
        let mut ws = ws_std::connect(url)?;
        app::expect(&mut ws, "Hi there")?;
        ws.send("a & b")?;
        app::expect(&mut ws, "Received: a & b")?;
        Ok(ws.close(None, "").map(drop)?)
    }
}

/// The application of `chat.rs`.
#[derive(Debug, Default)]
struct Chat(chat::Chat);

impl App for Chat {
    fn page(&self) -> &'static str {
        chat::PAGE
    }

    fn talk(&self, ws: WebSocket) -> ws_std::Result<()> {
        self.0.talk(ws)
    }

    fn check(&self, url: &str) -> Result<(), Box<dyn Error>> {
        let mut ann = ws_std::connect(url)?;
        let id = app::expect_event(&mut ann, "welcome")?["id"].take();
        let mut bob = ws_std::connect(url)?;
        let other = app::expect_event(&mut bob, "welcome")?["id"].take();
        ensure(other != id, "each has an id of its own")?;
        app::expect_event(&mut ann, "joined")?;
        ann.send(event("chat", "<b>tea?</b>"))?;
        for ws in [&mut ann, &mut bob] {
            let text = app::expect_event(ws, "chat")?["text"].take();
            ensure(text == "<b>tea?</b>", "both get the text")?;
        }
        bob.close(None, "")?;
        app::expect_event(&mut ann, "left")?;
        Ok(ann.close(None, "").map(drop)?)
    }
}

/// The figures of `push_vs_poll`, which are measured when the first client asks for them.
#[derive(Debug, Default)]
struct PushVsPoll(OnceLock<Result<[push_vs_poll::Bytes; 2], String>>);

impl App for PushVsPoll {
    fn page(&self) -> &'static str {
        include_str!("pages/push_vs_poll.html")
    }

    fn talk(&self, mut ws: WebSocket) -> ws_std::Result<()> {
        let measure = || push_vs_poll::measure(600).map_err(|error| error.to_string());
        match self.0.get_or_init(measure) {
            Ok([polls, pushes]) => {
                ws.send(format!(r#"{{"count":600,"polls":{polls:?},"pushes":{pushes:?}}}"#))?;
                while ws.read()?.is_some() {}
            }
            Err(error) => {
                eprintln!("push_vs_poll: {error}");
                ws.close(CloseCode::INTERNAL_ERROR, "the measurement has failed")?;
            }
        }
        Ok(())
    }

    fn check(&self, url: &str) -> Result<(), Box<dyn Error>> {
        let mut ws = ws_std::connect(url)?;
        let text = app::read_text(&mut ws, Duration::from_secs(30))?;
        let json: serde_json::Value = serde_json::from_str(&text)?;
        let total = |name: &str| Some(json[name][0].as_u64()? + json[name][1].as_u64()?);
        match (total("polls"), total("pushes")) {
            // A push has two bytes more than its text.
            (Some(polls), Some(pushes)) if pushes > 600 * 3 && polls > 10 * pushes => {}
            _ => return Err(format!("this cannot be: {text}").into()),
        }
        Ok(ws.close(None, "").map(drop)?)
    }
}

fn apps() -> Result<Apps, Box<dyn Error>> {
    let every = Duration::from_secs(1);
    let mut apps: Apps = vec![
        ("/echo", Arc::new(Echo)),
        ("/greet", Arc::new(Greet)),
        ("/clock", Arc::new(clock::Clock::new(every, Vec::new())?)),
        ("/ticker", Arc::new(ticker::Ticker::new(every)?)),
        ("/chat", Arc::new(Chat::default())),
        ("/im", Arc::new(im::Im::default())),
        ("/scheduler", Arc::new(scheduler::Scheduler::new())),
        ("/push_vs_poll", Arc::new(PushVsPoll::default())),
    ];
    let paths = apps.iter().map(|(path, _)| *path).collect();
    apps.insert(0, ("", Arc::new(Index(paths))));
    Ok(apps)
}

fn main() -> ExitCode {
    ws_examples::run("demo", "usage: demo [ADDR] [--host HOST]... [--self-check]", |mut args| {
        while let Some(arg) = args.next() {
            args.common(arg)?;
        }
        app::run(&args, app::listener(), apps()?)
    })
}
