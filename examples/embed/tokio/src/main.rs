//! An echo server on tokio: `cargo run --release -p embed-tokio -- [ADDR [HANDSHAKE_MS]]`.

use std::{env, io, time::Duration};

use embed_tokio::WebSocket;
use tokio::net::{TcpListener, TcpStream};
use ws_core::endpoint::{Endpoint, Event, Next, Options};
use ws_core::handshake::{AcceptResponse, HttpResponse, select_subprotocol};
use ws_core::{Config, Instant};

/// Echoes messages that have come already from where they were read, until 64 KiB wait to be written.
fn echo_ref(endpoint: &mut Endpoint) {
    let Endpoint { inbound, outbound, .. } = endpoint;
    while outbound.waiting() < 1 << 16 && inbound.has_message(outbound) {
        // The clock is for when there is nothing to tell. A failure is returned by `event`.
        let next = inbound.next_ref(outbound, || Instant::from_millis(0));
        if let Next::Event(Event::Message(message)) = next {
            let _ = outbound.queue_ref(message); // it fails only when the connection is closing
        }
    }
}

async fn serve(stream: TcpStream, options: Options) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut ws = WebSocket::new(stream, Endpoint::server(options));
    while let Some(event) = ws.event().await? {
        match event {
            Event::Request(request) => {
                let subprotocol = select_subprotocol(request.subprotocols(), &["echo"]);
                let response = AcceptResponse::new().subprotocol(subprotocol);
                ws.endpoint.outbound.accept(&response).map_err(io::Error::other)?;
            }
            Event::Http(_) => {
                let response = HttpResponse::new(426).body(b"WebSocket only\n");
                ws.endpoint.outbound.respond(&response).map_err(io::Error::other)?;
            }
            Event::Message(message) => {
                ws.queue(message).await?;
                echo_ref(&mut ws.endpoint);
            }
            _ => {}
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let millis = env::args().nth(2).unwrap_or_else(|| "10000".to_owned());
    let millis = millis.parse().map_err(|_| format!("{millis}: not a number of milliseconds"))?;
    // A peer that has vanished is found out by a Ping.
    let config = Config::new().ping_interval(Some(Duration::from_secs(30)));
    let options =
        Options::new().config(config).handshake_timeout(Some(Duration::from_millis(millis)));
    let listener = TcpListener::bind(&address).await.map_err(|why| format!("{address}: {why}"))?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let options = options.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, options).await {
                        eprintln!("{peer}: {error}");
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors: connections that end give some back.
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
