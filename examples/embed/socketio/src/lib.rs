//! Socket.IO 5 over Engine.IO 4, on axum and the tokio driver of this repository.
//!
//! ```no_run
//! # async fn example() {
//! use embed_socketio::Server;
//! use embed_socketio::engine::Options;
//!
//! let io = Server::default();
//! let all = io.clone();
//! io.on_connect(move |socket, _auth| {
//!     socket.join("tea");
//!     let all = all.clone();
//!     socket.on("said", move |socket, args, ack| {
//!         all.emit("heard", args.clone()); // everybody
//!         socket.broadcast().emit("heard", args.clone()); // everybody else
//!         socket.to("tea").emit("heard", args); // everybody else in the room
//!         ack.send("done");
//!     });
//! });
//! let _router = io.router(Options::default());
//! # }
//! ```

mod client;
pub mod engine;
mod packet;
pub mod serve;
mod server;
mod socket;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use packet::Args;
pub use server::{Broadcast, Namespace, Refused, Server};
pub use socket::{Ack, NoAck, Socket};

/// A lock that stays usable when a handler has panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
