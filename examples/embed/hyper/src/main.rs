//! An echo server behind hyper's HTTP server: `cargo run --release -p embed-hyper -- [ADDR [HANDSHAKE_MS]]`.
//!
//! hyper reads the requests; a WebSocket begins where `Endpoint::server_after_handshake` takes over.
//! It leaves out HTTP/2, whose WebSockets (RFC 8441) ask in another way, and TLS.

use std::{env, io, time::Duration};

use embed_hyper::{Asked, Opening, upgrade};
use hyper::body::Incoming;
use hyper::{Request, Response, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use ws_core::Config;
use ws_core::endpoint::{Event, Origins};

async fn echo(opening: Opening) -> io::Result<()> {
    // A peer that has vanished is found out by a Ping.
    let config = Config::new().ping_interval(Some(Duration::from_secs(30)));
    let mut ws = opening.open(config.into()).await?;
    while let Some(event) = ws.event().await? {
        if let Event::Message(message) = event {
            ws.queue(message).await?;
        }
    }
    Ok(())
}

async fn answer(mut request: Request<Incoming>) -> io::Result<Response<String>> {
    Ok(match upgrade(&mut request, &Origins::Same, &["echo"]) {
        Asked::WebSocket(response, opening) => {
            tokio::spawn(async move {
                if let Err(error) = echo(opening).await {
                    eprintln!("{error}");
                }
            });
            response
        }
        Asked::Refused(response) => response,
        Asked::Plain => Response::new("a WebSocket would be echoed\n".to_owned()),
    })
}

async fn serve(stream: TcpStream, handshake: Duration) -> hyper::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(handshake);
    http.serve_connection(TokioIo::new(stream), service_fn(answer)).with_upgrades().await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let millis = env::args().nth(2).unwrap_or_else(|| "10000".to_owned());
    let millis = millis.parse().map_err(|_| format!("{millis}: not a number of milliseconds"))?;
    let listener = TcpListener::bind(&address).await.map_err(|why| format!("{address}: {why}"))?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    if let Err(error) = serve(stream, Duration::from_millis(millis)).await {
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
