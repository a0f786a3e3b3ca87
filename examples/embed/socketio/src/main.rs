//! Programs of Socket.IO tutorials, whose pages use the client from npm:
//!
//! ```text
//! cargo run --release -p embed-socketio -- clock|ticker|chat|im [ADDR] [--every MS] [--sockets ADDR] [--client FILE]
//! cargo run --release -p embed-socketio -- --conformance [ADDR]
//! ```

mod apps;

use std::error::Error;
use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, process};

use axum::Router;
use axum::http::header;
use axum::response::Html;
use axum::routing::get;
use embed_socketio::Server;
use embed_socketio::engine::{self, Options, encode};
use embed_socketio::serve::{client_script, serve};
use tokio::net::TcpListener;
use tokio::time::sleep;
use ws_core::endpoint::Origins;

const USAGE: &str = "usage: embed-socketio clock|ticker|chat|im [ADDR] [--every MILLISECONDS] [--sockets ADDR] [--client FILE]
       embed-socketio --conformance [ADDR]";

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

struct Arguments {
    app: String,
    address: String,
    every: Option<Duration>,
    /// The clock's own address for sockets.
    sockets: String,
    client: Option<PathBuf>,
}

fn arguments() -> Option<Arguments> {
    let mut args = env::args().skip(1);
    let app = args.next()?;
    let (address, sockets) = ("127.0.0.1:3000".to_owned(), "127.0.0.1:3001".to_owned());
    let mut parsed = Arguments { app, address, every: None, sockets, client: None };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--every" => {
                let millis: NonZeroU64 = args.next()?.parse().ok()?;
                parsed.every = Some(Duration::from_millis(millis.get()));
            }
            "--sockets" => parsed.sockets = args.next()?,
            "--client" => parsed.client = Some(args.next()?.into()),
            _ if arg.starts_with('-') => return None,
            _ => parsed.address = arg,
        }
    }
    Some(parsed)
}

async fn listen(address: &str) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.map_err(|why| format!("{address}: {why}"))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn exit(status: i32, why: impl Display) -> ! {
    eprintln!("{why}");
    process::exit(status)
}

// One thread is enough for a demonstration, and it handles requests in the order in which they arrive.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args = arguments().unwrap_or_else(|| exit(2, USAGE));
    let result = match args.app.as_str() {
        "--conformance" => conformance(&args.address).await,
        _ => tutorial(args).await,
    };
    if let Err(error) = result {
        exit(1, error);
    }
}

async fn tutorial(args: Arguments) -> Result {
    let io = Server::default();
    let millis = |default| args.every.unwrap_or(Duration::from_millis(default));
    let mut page = match args.app.as_str() {
        "clock" => apps::clock(&io, millis(5000)),
        "ticker" => apps::ticker(&io, millis(1000)),
        "chat" => apps::chat(&io),
        "im" => apps::im(&io),
        _ => exit(2, USAGE),
    }
    .to_owned();
    let script = client_script(args.client)?;
    let (listener, address) = listen(&args.address).await?;
    println!("listening on http://{address}");
    let mut options = Options { max_payload: 100_000, ..Options::default() };
    let mut second = None;
    if args.app == "clock" {
        // Another port is another origin, so the server has to allow the origin of the page.
        let names = [address.to_string(), format!("localhost:{}", address.port())];
        options.origins = Origins::List(names.map(|name| format!("http://{name}")).to_vec());
        let (listener, address) = listen(&args.sockets).await?;
        page = page.replace("http://127.0.0.1:3001", &format!("http://{address}"));
        println!("sockets on http://{address}");
        second = Some(listener);
    }
    let css = ([(header::CONTENT_TYPE, "text/css")], include_str!("../../../pages/app.css"));
    let app = io.router(options).merge(script);
    let app = app.route("/", get(Html(page))).route("/app.css", get(css));
    serve_both(listener, second, app).await
}

/// Serves what the public test suites of both protocols expect, at every loopback address.
async fn conformance(address: &str) -> Result {
    let options = Options {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_millis(1500),
        origins: Origins::Any,
        ..Options::default()
    };
    let echo = engine::router("/engine.io/", options.clone(), |session| {
        Box::new(move |message| session.send(message.map(encode)))
    });
    let io = Server::default();
    for namespace in [io.of("/"), io.of("/custom")] {
        namespace.on_connect(|socket, auth| {
            let (late, auth) = (socket.clone(), auth.clone());
            tokio::spawn(async move {
                sleep(Duration::from_millis(20)).await;
                late.emit("auth", auth);
            });
            socket.on("message", |socket, args, _| socket.emit("message-back", args));
            socket.on("message-with-ack", |_, args, ack| ack.send(args));
        });
    }
    let app = echo.merge(io.router(options));
    let (listener, address) = listen(address).await?;
    // `localhost` may be either address, and not every machine has IPv6.
    let second = listen(&format!("[::1]:{}", address.port())).await.ok();
    println!("listening on http://{address}");
    serve_both(listener, second.map(|(listener, _)| listener), app).await
}

async fn serve_both(first: TcpListener, second: Option<TcpListener>, app: Router) -> Result {
    if let Some(second) = second {
        tokio::spawn(serve(second, app.clone()));
    }
    Ok(serve(first, app).await?)
}
