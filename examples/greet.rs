//! A first server: it says `Hi there`, and repeats what you say.
//!
//! ```sh
//! cargo run --release --example greet -- [ADDR]
//! ```
//!
//! To start a program of your own, copy this file and the files in `pages` that it includes. The program depends on
//! `ws-std`, and on `ctrlc` to close all connections at Ctrl-C.

use std::error::Error;
use std::thread;
use std::time::Duration;

use ws_std::{HttpResponse, Incoming, Listener, WebSocket};

pub(crate) const PAGE: &str = include_str!("pages/greet.html");
const STYLE: &str = include_str!("pages/app.css");
const SCRIPT: &str = include_str!("pages/socket.js");

#[allow(dead_code, reason = "the demo has its own")]
fn main() -> Result<(), Box<dyn Error>> {
    let builder = Listener::builder();
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

    for incoming in listener {
        let incoming = incoming?;
        thread::spawn(move || {
            if let Err(error) = serve(incoming) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

/// Answers one request: the WebSocket, the page, or a file that the page includes.
fn serve(incoming: Incoming) -> ws_std::Result<()> {
    let request = incoming.request()?;
    let (kind, body) = match request.path() {
        "/ws" if request.is_upgrade() => return talk(request.accept()?),
        "/" => ("text/html; charset=utf-8", PAGE),
        "/app.css" => ("text/css", STYLE),
        "/socket.js" => ("text/javascript", SCRIPT),
        _ => return request.reject(404),
    };
    request.http(&HttpResponse::new(200).headers(&[("Content-Type", kind)]).body(body.as_bytes()))
}

/// Talks to one client until the connection is over.
pub(crate) fn talk(mut ws: WebSocket) -> ws_std::Result<()> {
    ws.send("Hi there")?;
    while let Some(message) = ws.read()? {
        ws.queue(format!("Received: {}", message.as_text().unwrap_or("(binary)")))?;
    }
    Ok(())
}
