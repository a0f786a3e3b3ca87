//! Our driver for tokio, on one thread.

use std::io;

use embed_tokio::WebSocket;
use tokio::net::TcpStream;
use ws_core::Instant;
use ws_core::endpoint::{Endpoint, Event, Next, Options};
use ws_core::handshake::AcceptResponse;

/// Echoes the messages that have already come, from where they were read, until 64 KiB wait to be written.
fn echo_ref(endpoint: &mut Endpoint) {
    let Endpoint { inbound, outbound, .. } = endpoint;
    while outbound.waiting() < 1 << 16 && inbound.has_message(outbound) {
        // The clock is asked only if there is nothing to report. A failure is returned by `event`.
        let next = inbound.next_ref(outbound, || Instant::from_millis(0));
        if let Next::Event(Event::Message(message)) = next {
            let _ = outbound.queue_ref(message); // it fails only when the connection is closing
        }
    }
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut ws = WebSocket::new(stream, Endpoint::server(Options::new()));
    while let Some(event) = ws.event().await? {
        match event {
            Event::Message(message) => {
                ws.queue(message).await?;
                echo_ref(&mut ws.endpoint);
            }
            Event::Request(_) => {
                ws.endpoint.outbound.accept(&AcceptResponse::new()).map_err(io::Error::other)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    loopback_servers::serve_on_tokio(|stream| async { drop(echo(stream).await) })
}
