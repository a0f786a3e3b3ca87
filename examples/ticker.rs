//! Shows the same changing number in all pages: `cargo run --release --example ticker -- [ADDR] --every 1000` (milliseconds).

use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ws_examples::app::{self, App};
use ws_std::{Hub, WebSocket};

#[derive(Debug)]
pub(crate) struct Ticker {
    hub: Hub,
    every: Duration,
}

impl Ticker {
    /// Starts to tick.
    pub(crate) fn new(every: Duration) -> Result<Self, Box<dyn Error>> {
        let hub = Hub::new();
        let all = hub.clone();
        let (random, mut count, mut value) = (RandomState::new(), 0_u64, 0);
        app::at_intervals(every, move || {
            // Always a different number: one of the other 999.
            count += 1;
            value = (value + 1 + random.hash_one(count) % 999) % 1000;
            all.broadcast(value.to_string());
        })?;
        Ok(Self { hub, every })
    }
}

impl App for Ticker {
    fn page(&self) -> &'static str {
        include_str!("pages/ticker.html")
    }

    fn talk(&self, ws: WebSocket) -> ws_std::Result<()> {
        let mut member = self.hub.join(ws)?;
        // The client's messages are ignored, but they must be read, and so must its Pings and Close frames.
        while member.read()?.is_some() {}
        Ok(())
    }

    fn check(&self, url: &str) -> Result<(), Box<dyn Error>> {
        let [first, second] = app::same_for_all(url, self.every)?;
        let values: (u16, u16) = (first.parse()?, second.parse()?);
        if values.0 == values.1 || values.0 > 999 || values.1 > 999 {
            return Err(format!("expected two numbers up to 999, got {values:?}").into());
        }
        Ok(())
    }
}

#[allow(dead_code, reason = "the demo has its own")]
fn main() -> ExitCode {
    let usage = "usage: ticker [ADDR] [--every MILLISECONDS] [--host HOST]... [--self-check]";
    ws_examples::run("ticker", usage, |mut args| {
        let mut every = 1000;
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--every" => every = args.number(&arg)?,
                _ => args.common(arg)?,
            }
        }
        let ticker = Ticker::new(Duration::from_millis(every))?;
        app::run(&args, app::listener(), vec![("", Arc::new(ticker))])
    })
}
