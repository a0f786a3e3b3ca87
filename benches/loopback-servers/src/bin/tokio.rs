//! Our driver for tokio, on one thread.

use std::io;

use embed_tokio::WebSocket;
use tokio::net::TcpStream;
use ws_core::endpoint::{Endpoint, Event, Options};
use ws_core::handshake::AcceptResponse;

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut ws = WebSocket::new(stream, Endpoint::server(Options::new()));
    while let Some(event) = ws.event().await? {
        match event {
            Event::Message(message) => ws.queue(message).await?,
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
