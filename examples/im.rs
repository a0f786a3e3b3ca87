//! Instant messages that go to everybody except their writer: `cargo run --release --example im -- [ADDR]`.

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use ws_examples::app::{self, App};
use ws_std::{CloseCode, Hub, Message, WebSocket};

/// The longest message, in characters. The page has the same limit.
const MAX: usize = 1000;

#[derive(Debug, Default)]
pub(crate) struct Im {
    hub: Hub,
}

impl App for Im {
    fn page(&self) -> &'static str {
        include_str!("pages/im.html")
    }

    fn talk(&self, ws: WebSocket) -> ws_std::Result<()> {
        let mut member = self.hub.join(ws)?;
        // The id distinguishes connections in the log. It does not show who somebody is.
        let id = member.id();
        while let Some(message) = member.read()? {
            if let Err((code, reason)) = may_pass(&message) {
                return member.close(code, reason).map(drop);
            }
            // The text is escaped, so that a client cannot add lines to the log or control the terminal.
            eprintln!("{id}: {:?}", message.as_text().unwrap_or_default());
            self.hub.broadcast_except(id, message);
            thread::sleep(app::PACE);
        }
        Ok(())
    }

    fn check(&self, url: &str) -> Result<(), Box<dyn Error>> {
        let mut clients = [ws_std::connect(url)?, ws_std::connect(url)?, ws_std::connect(url)?];
        let begun = Instant::now();
        while self.hub.len() < clients.len() {
            if begun.elapsed() > Duration::from_secs(5) {
                return Err("they have not joined".into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        for (text, from) in [("from the first", 0), ("from the second", 1)] {
            clients[from].send(text)?;
            for (at, client) in clients.iter_mut().enumerate() {
                // If the first client received its own message, that would arrive before the second client's.
                if at != from {
                    app::expect(client, text)?;
                }
            }
        }
        clients.iter_mut().try_for_each(|client| Ok(client.close(None, "").map(drop)?))
    }
}

/// Returns an error for a message that is not passed on: one that is not text or is too long.
fn may_pass(message: &Message) -> Result<(), (CloseCode, &'static str)> {
    match message.as_text() {
        None => Err((CloseCode::UNSUPPORTED_DATA, "only text")),
        Some(text) if text.chars().count() > MAX => {
            Err((CloseCode::MESSAGE_TOO_BIG, "1000 characters at the most"))
        }
        Some(_) => Ok(()),
    }
}

#[allow(dead_code, reason = "the demo has its own")]
fn main() -> ExitCode {
    app::main("im", Im::default())
}
