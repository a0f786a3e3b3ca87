//! Programs of Socket.IO tutorials, whose pages use the client from npm:
//!
//! ```text
//! cargo run --release -p embed-socketio -- clock|ticker|chat|im [ADDR] [--every MS] [--sockets ADDR] [--client FILE]
//! cargo run --release -p embed-socketio -- --conformance [ADDR]
//! ```

mod apps;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, net::SocketAddr};

use axum::Router;
use axum::http::header;
use axum::response::Html;
use axum::routing::get;
use embed_socketio::Server;
use embed_socketio::engine::{Engine, Options, encode};
use embed_socketio::serve::{client_script, serve};
use tokio::net::TcpListener;
use ws_core::endpoint::Origins;

const APPS: [&str; 5] = ["clock", "ticker", "chat", "im", "--conformance"];

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: embed-socketio clock|ticker|chat|im [ADDR] [--every MILLISECONDS] [--sockets ADDR] [--client FILE]
       embed-socketio --conformance [ADDR]";

struct Arguments {
    app: String,
    address: String,
    every: Option<Duration>,
    /// The clock's own address for sockets.
    sockets: String,
    client: Option<PathBuf>,
}

fn arguments() -> Result<Arguments> {
    let mut args = env::args().skip(1);
    let app = args.next().filter(|app| APPS.contains(&&**app)).ok_or(USAGE)?;
    let (address, sockets) = ("127.0.0.1:3000".to_owned(), "127.0.0.1:3001".to_owned());
    let mut parsed = Arguments { app, address, every: None, sockets, client: None };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n{USAGE}"));
        match arg.as_str() {
            "--every" => {
                let millis = value()?.parse().ok().filter(|millis| *millis > 0);
                let millis = millis.ok_or("--every needs a number of milliseconds")?;
                parsed.every = Some(Duration::from_millis(millis));
            }
            "--sockets" => parsed.sockets = value()?,
            "--client" => parsed.client = Some(value()?.into()),
            _ if arg.starts_with('-') => return Err(USAGE.into()),
            _ => parsed.address = arg,
        }
    }
    Ok(parsed)
}

async fn listen(address: &str) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.map_err(|why| format!("{address}: {why}"))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn page(html: String) -> Router {
    let css = include_str!("../../../pages/app.css");
    let css = ([(header::CONTENT_TYPE, "text/css")], css);
    Router::new().route("/", get(Html(html))).route("/app.css", get(css))
}

// One thread is enough for a demonstration, and it handles requests in the order in which they arrive.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (error, status) = match arguments() {
        Err(error) => (error, 2),
        Ok(args) => match run(args).await {
            Err(error) => (error, 1),
            Ok(()) => return ExitCode::SUCCESS,
        },
    };
    eprintln!("{error}");
    status.into()
}

async fn run(args: Arguments) -> Result {
    if args.app == "--conformance" {
        return conformance(&args.address).await;
    }
    let io = Server::default();
    let millis = |default| args.every.unwrap_or(Duration::from_millis(default));
    let html = match args.app.as_str() {
        "clock" => include_str!("../pages/clock.html"),
        "ticker" => include_str!("../pages/ticker.html"),
        "chat" => include_str!("../pages/chat.html"),
        _ => include_str!("../pages/im.html"),
    };
    match args.app.as_str() {
        "clock" => apps::clock(&io, millis(5000)),
        "ticker" => apps::ticker(&io, millis(1000)),
        "chat" => apps::chat(&io),
        _ => apps::im(&io),
    }
    let script = client_script(args.client.as_deref())?;
    let (listener, address) = listen(&args.address).await?;
    let mut options = Options { max_payload: 100_000, ..Options::default() };
    if args.app != "clock" {
        println!("listening on http://{address}");
        let app = io.router(options).merge(script).merge(page(html.to_owned()));
        return Ok(serve(listener, app).await?);
    }
    // Another port is another origin, so the socket server has to allow the origin of the page.
    let (sockets, theirs) = listen(&args.sockets).await?;
    let names = [address.to_string(), format!("localhost:{}", address.port())];
    options.origins = Origins::List(names.map(|name| format!("http://{name}")).to_vec());
    let html = html.replace("http://127.0.0.1:3001", &format!("http://{theirs}"));
    println!("listening on http://{address}\nsockets on http://{theirs}");
    let (page, sockets) =
        tokio::join!(serve(listener, page(html)), serve(sockets, io.router(options).merge(script)));
    Ok(page.and(sockets)?)
}

/// Serves what the public test suites of both protocols expect, at every loopback address.
async fn conformance(address: &str) -> Result {
    let options = Options {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_millis(1500),
        max_payload: 1_000_000,
        origins: Origins::Any,
        ..Options::default()
    };
    let echo = Engine::new(options.clone(), |session| {
        let session = session.clone();
        Box::new(move |message| session.send(message.map(encode)))
    });
    let io = Server::default();
    for namespace in [io.of("/"), io.of("/custom")] {
        namespace.on_connect(|socket, auth| {
            let (late, auth) = (socket.clone(), auth.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                late.emit("auth", auth);
            });
            socket.on("message", |socket, args, _| socket.emit("message-back", args));
            socket.on("message-with-ack", |_, args, ack| ack.send(args));
        });
    }
    let app = echo.router("/engine.io/").merge(io.router(options));
    let (listener, address) = listen(address).await?;
    // `localhost` may be either address, and not every machine has IPv6.
    if let Ok((second, _)) = listen(&format!("[::1]:{}", address.port())).await {
        tokio::spawn(serve(second, app.clone()));
    }
    println!("listening on http://{address}");
    Ok(serve(listener, app).await?)
}
