//! The servers of the tutorials. Each function returns the page of the program.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use embed_socketio::Namespace;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

/// Sends the time to everybody, in milliseconds since 1970.
pub fn clock(io: &Namespace, every: Duration) -> &'static str {
    repeat(io, every, |io| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        io.emit("time", [json!(now.as_millis() as u64)]);
    });
    include_str!("../pages/clock.html")
}

/// Sends a number from 0 to 999 to everybody, and never the same number twice in a row.
pub fn ticker(io: &Namespace, every: Duration) -> &'static str {
    let (random, mut count, mut value) = (RandomState::new(), 0_u64, 0);
    repeat(io, every, move |io| {
        count += 1;
        value = (value + 1 + random.hash_one(count) % 999) % 1000;
        io.emit("stock price update", [json!(value)]);
    });
    include_str!("../pages/ticker.html")
}

fn repeat(io: &Namespace, every: Duration, mut tick: impl FnMut(&Namespace) + Send + 'static) {
    let io = io.clone();
    tokio::spawn(async move {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            tick(&io);
        }
    });
}

/// Sends messages to everybody, and who is typing to everybody else.
pub fn chat(io: &Namespace) -> &'static str {
    let all = io.clone();
    io.on_connect(move |socket, _| {
        println!("Made socket connection {}", socket.id());
        let all = all.clone();
        socket.on("chat", move |_, args, _| {
            let text = |key| args.values.first()?.get(key)?.as_str();
            if let (Some(handle), Some(message)) = (text("handle"), text("message")) {
                all.emit("chat", [json!({ "handle": handle, "message": message })]);
            }
        });
        socket.on("typing", |socket, args, _| {
            if let Some(handle) = args.values.first().and_then(Value::as_str) {
                socket.broadcast().emit("typing", [json!(handle)]);
            }
        });
    });
    include_str!("../pages/chat.html")
}

/// Sends a message to everybody but the one who wrote it.
pub fn im(io: &Namespace) -> &'static str {
    io.on_connect(|socket, _| {
        socket.on("message", |socket, args, _| {
            if let Some(text) = args.values.first().and_then(Value::as_str) {
                socket.broadcast().emit("message", [json!(text)]);
            }
        });
    });
    include_str!("../pages/im.html")
}
