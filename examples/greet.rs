//! Says `Hi there` to everybody and repeats what they say: `cargo run --release --example greet -- [ADDR]`.

use std::error::Error;
use std::process::ExitCode;

use ws_examples::app::{self, App};
use ws_std::WebSocket;

#[derive(Debug)]
pub(crate) struct Greet;

impl App for Greet {
    fn page(&self) -> &'static str {
        include_str!("pages/greet.html")
    }

    fn talk(&self, mut ws: WebSocket) -> ws_std::Result<()> {
        ws.send("Hi there")?;
        while let Some(message) = ws.read()? {
            ws.queue(format!("Received: {}", message.as_text().unwrap_or("(binary)")))?;
        }
        Ok(())
    }

    fn check(&self, url: &str) -> Result<(), Box<dyn Error>> {
        let mut ws = ws_std::connect(url)?;
        app::expect(&mut ws, "Hi there")?;
        ws.send("a & b")?;
        app::expect(&mut ws, "Received: a & b")?;
        Ok(ws.close(None, "").map(drop)?)
    }
}

#[allow(dead_code, reason = "the demo has its own")]
fn main() -> ExitCode {
    app::main("greet", Greet)
}
