//! The server that `conformance/socketio` drives: `socketio-checks [ADDR]`. It does what the clients ask for by events.

use std::env;
use std::time::Duration;

use embed_socketio::engine::Options;
use embed_socketio::serve::{client_script, serve};
use embed_socketio::{Args, Namespace, Server, Socket};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;
use ws_core::endpoint::Origins;

fn commands(main: &Namespace, socket: &Socket) {
    let text =
        |args: &Args| args.values.first().and_then(Value::as_str).unwrap_or_default().to_owned();
    socket.on("echo", |socket, args, _| socket.emit("echo", args));
    socket.on("ack", |_, args, ack| ack.send(args));
    // Asks for acknowledgements itself, and says what came.
    socket.on("ask", |socket, args, _| {
        let count = args.values.first().and_then(Value::as_u64).unwrap_or_default();
        for number in 0..count {
            let socket = socket.clone();
            let answer = socket.emit_with_ack("question", [json!(number)]);
            tokio::spawn(async move {
                match timeout(Duration::from_secs(5), answer).await {
                    Ok(Ok(args)) => socket.emit("answered", args),
                    _ => socket.emit("unanswered", [json!(number)]),
                }
            });
        }
    });
    socket.on("count", |socket, args, _| {
        for number in 0..args.values.first().and_then(Value::as_u64).unwrap_or_default() {
            socket.emit("number", [json!(number)]);
        }
    });
    socket.on("join", move |socket, args, ack| {
        socket.join(&text(&args));
        ack.send([]);
    });
    socket.on("leave", move |socket, args, ack| {
        socket.leave(&text(&args));
        ack.send([]);
    });
    let all = main.clone();
    socket.on("room", move |_, args, _| all.to(&text(&args)).emit("room", args));
    socket.on("others in room", move |socket, args, _| socket.to(&text(&args)).emit("room", args));
    let all = main.clone();
    socket.on("all", move |_, args, _| all.emit("all", args));
    socket.on("others", |socket, args, _| socket.broadcast().emit("others", args));
    socket.on("panic", |_, _, _| panic!("as the client has asked"));
    socket.on("disconnect me", |socket, _, _| socket.disconnect());
    socket.on("close me", |socket, args, _| {
        for _ in 0..12 {
            socket.emit("last", args.clone());
        }
        socket.close();
    });
    // Everybody hears why somebody has gone.
    let all = main.clone();
    socket
        .on_disconnect(move |socket, reason| all.emit("gone", [json!(socket.id()), json!(reason)]));
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let io = Server::default();
    let main = io.of("/");
    let all = main.clone();
    main.on_connect(move |socket, _| commands(&all, socket));
    io.of("/named").on_connect(move |socket, auth| {
        socket.emit("auth", [auth.clone()]);
        commands(&main, socket);
    });
    let refused = || json!({ "message": "not authorized", "data": { "code": 42 } });
    let secret = io.of("/secret");
    secret.authorize(move |auth| if auth["token"] == "open" { Ok(()) } else { Err(refused()) });
    let options = Options {
        ping_interval: Duration::from_secs(2),
        ping_timeout: Duration::from_secs(3),
        max_payload: 4 << 20,
        origins: Origins::Any,
        ..Options::default()
    };
    let listener = TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = io.router(options).merge(client_script(None)?);
    serve(listener, app).await
}
