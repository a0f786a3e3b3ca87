//! Programs of Socket.IO tutorials, whose pages use the client from npm:
//!
//! ```text
//! cargo run --release -p embed-socketio -- clock|ticker|chat|im [ADDR] [--every MS] [--sockets ADDR] [--client FILE]
//! cargo run --release -p embed-socketio -- --conformance [ADDR]
//! ```

mod apps;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::{env, error::Error, time::Duration};

use axum::{http::header, response::Html, routing::get};
use embed_socketio::Server;
use embed_socketio::engine::{self, Options, encode};
use embed_socketio::serve::{client_script, serve};
use tokio::{net::TcpListener, time::sleep};
use ws_core::endpoint::Origins;

const USAGE: &str = "usage: embed-socketio clock|ticker|chat|im [ADDR] [--every MILLISECONDS] [--sockets ADDR] \
                     [--client FILE], or embed-socketio --conformance [ADDR]";

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

// One thread is enough for a demonstration, and it handles requests in the order in which they arrive.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let mut args: Vec<String> = env::args().skip(1).collect();
    let every = option(&mut args, "--every").map(|millis| millis.parse::<NonZeroU64>());
    let every = every.transpose().map_err(|_| "--every needs a number of milliseconds")?;
    let sockets = option(&mut args, "--sockets").unwrap_or("127.0.0.1:3001".to_owned());
    let client = option(&mut args, "--client");
    let (app, address) = match args.as_slice() {
        [app] => (app.as_str(), "127.0.0.1:3000"),
        [app, address] => (app.as_str(), address.as_str()),
        _ => return Err(USAGE.into()),
    };
    let io = Server::default();
    let main = io.of("/");
    let every = |default| Duration::from_millis(every.map_or(default, NonZeroU64::get));
    let page = match app {
        "clock" => apps::clock(&main, every(5000)),
        "ticker" => apps::ticker(&main, every(1000)),
        "chat" => apps::chat(&main),
        "im" => apps::im(&main),
        "--conformance" => return conformance(address).await,
        _ => return Err(USAGE.into()),
    };
    let mut page = page.to_owned();
    let script = client_script(client.as_deref())?;
    let (listener, address) = listen(address).await?;
    let mut options = Options { max_payload: 100_000, ..Options::default() };
    println!("listening on http://{address}");
    if app == "clock" {
        // Another port is another origin, so the server has to allow the origin of the page.
        let origins = [address.to_string(), format!("localhost:{}", address.port())];
        options.origins = Origins::List(origins.map(|name| format!("http://{name}")).to_vec());
        let (sockets, address) = listen(&sockets).await?;
        println!("sockets on http://{address}");
        page = page.replace("http://127.0.0.1:3001", &format!("http://{address}"));
        tokio::spawn(serve(sockets, io.router(options.clone()).merge(script.clone())));
    }
    let css = ([(header::CONTENT_TYPE, "text/css")], include_str!("../../../pages/app.css"));
    let pages = script.route("/", get(Html(page))).route("/app.css", get(css));
    serve(listener, pages.merge(io.router(options))).await
}

/// Takes an option and its value out of the arguments.
fn option(args: &mut Vec<String>, name: &str) -> Option<String> {
    let at = args.windows(2).position(|pair| pair[0] == name)?;
    args.drain(at..at + 2).next_back()
}

async fn listen(address: &str) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.map_err(|why| format!("{address}: {why}"))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
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
                late.emit("auth", [auth]);
            });
            socket.on("message", |socket, args, _| socket.emit("message-back", args));
            socket.on("message-with-ack", |_, args, ack| ack.send(args));
        });
    }
    let app = echo.merge(io.router(options));
    let (listener, address) = listen(address).await?;
    // `localhost` may be either address, and not every machine has IPv6.
    if let Ok((second, _)) = listen(&format!("[::1]:{}", address.port())).await {
        tokio::spawn(serve(second, app.clone()));
    }
    println!("listening on http://{address}");
    serve(listener, app).await
}
