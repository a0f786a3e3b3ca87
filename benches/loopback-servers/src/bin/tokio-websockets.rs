//! tokio-websockets on one thread. Each `next` writes what was fed, so everything that has come is taken first.

use std::io;

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_websockets::{Config, Error, ServerBuilder};

/// How many bytes are taken before they are answered, and written at once.
const BATCH: usize = 64 * 1024;

async fn echo(stream: TcpStream) -> Result<(), Error> {
    let config = Config::default().flush_threshold(BATCH);
    let (_, mut ws) = ServerBuilder::new().config(config).accept(stream).await?;
    let mut batch = Vec::new();
    while let Some(first) = ws.next().await {
        let mut next = Some(first);
        let mut bytes = 0;
        while let Some(message) = next {
            let message = message?;
            if message.is_binary() || message.is_text() {
                bytes += message.as_payload().len();
                batch.push(message);
            }
            next = if bytes < BATCH { ws.next().now_or_never().flatten() } else { None };
        }
        for message in batch.drain(..) {
            ws.feed(message).await?;
        }
        ws.flush().await?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    loopback_servers::serve_on_tokio(|stream| async { drop(echo(stream).await) })
}
