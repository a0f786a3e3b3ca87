//! All applications on one port: `cargo run --release --example demo -- [ADDR] [--self-check]`.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ws_examples::app::{self, App, Apps};
use ws_std::{CloseCode, WebSocket};

#[path = "clock.rs"]
mod clock;
#[path = "greet.rs"]
mod greet;
#[path = "im.rs"]
mod im;
#[path = "push_vs_poll.rs"]
mod push_vs_poll;
#[path = "ticker.rs"]
mod ticker;

/// The page at the root, with a link to each of the others.
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
            Some(info) if info.code == CloseCode::NORMAL && info.clean => {}
            other => return Err(format!("not closed well: {other:?}").into()),
        }
        for path in &self.0 {
            if !self.page().contains(&format!("href=\"{}/\"", path.trim_start_matches('/'))) {
                return Err(format!("no link to {path}").into());
            }
        }
        Ok(())
    }
}

/// What `echo_server` does, beside the others.
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

fn apps() -> Result<Apps, Box<dyn Error>> {
    let every = Duration::from_secs(1);
    let mut apps: Apps = vec![
        ("/echo", Arc::new(Echo)),
        ("/greet", Arc::new(greet::Greet)),
        ("/clock", Arc::new(clock::Clock::new(every, Vec::new())?)),
        ("/ticker", Arc::new(ticker::Ticker::new(every)?)),
        ("/im", Arc::new(im::Im::default())),
        ("/push_vs_poll", Arc::new(push_vs_poll::PushVsPoll::default())),
    ];
    let paths = apps.iter().map(|(path, _)| *path).collect();
    apps.insert(0, ("", Arc::new(Index(paths))));
    Ok(apps)
}

fn main() -> ExitCode {
    ws_examples::run("demo", "usage: demo [ADDR] [--self-check]", |mut args| {
        while let Some(arg) = args.next() {
            args.common(arg)?;
        }
        app::run(&args, app::listener(), apps()?)
    })
}
