//! An echo as a route of axum, beside a page: `cargo run --release -p embed-axum -- [ADDR [HANDSHAKE_MS]]`.
//!
//! The handler takes the whole request and needs no more than hyper's helper does; the state is shared with
//! the page, which tells how many WebSockets are open. `axum::serve` would do as well, but its requests
//! have no deadline. It leaves out HTTP/2, whose WebSockets (RFC 8441) ask in another way.

use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering::Relaxed};
use std::{env, io, time::Duration};

use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse, Response};
use axum::{Router, routing::get};
use embed_hyper::{Asked, Opening, upgrade};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use ws_core::Config;
use ws_core::endpoint::{Event, Origins};

/// How many WebSockets are open.
type Count = Arc<AtomicUsize>;

async fn page(State(count): State<Count>) -> Html<String> {
    Html(format!("<title>echo</title><p>{} WebSockets are open</p>\n", count.load(Relaxed)))
}

async fn ws(State(count): State<Count>, mut request: Request) -> Response {
    match upgrade(&mut request, &Origins::Same, &["echo"]) {
        Asked::WebSocket(response, opening) => {
            tokio::spawn(async move {
                count.fetch_add(1, Relaxed);
                if let Err(error) = echo(opening).await {
                    eprintln!("{error}");
                }
                count.fetch_sub(1, Relaxed);
            });
            response.into_response()
        }
        Asked::Refused(response) => response.into_response(),
        Asked::Plain => page(State(count)).await.into_response(),
    }
}

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

async fn serve(stream: TcpStream, app: Router, handshake: Duration) -> hyper::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(handshake);
    let service = TowerToHyperService::new(app);
    http.serve_connection(TokioIo::new(stream), service).with_upgrades().await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let millis = env::args().nth(2).unwrap_or_else(|| "10000".to_owned());
    let millis = millis.parse().map_err(|_| format!("{millis}: not a number of milliseconds"))?;
    let listener = TcpListener::bind(&address).await.map_err(|why| format!("{address}: {why}"))?;
    println!("listening on ws://{}", listener.local_addr()?);
    let app = Router::new().route("/", get(ws)).route("/page", get(page));
    let app = app.with_state(Count::default());
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let app = app.clone();
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    if let Err(error) = serve(stream, app, Duration::from_millis(millis)).await {
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
