//! tungstenite: whole, owned messages. It reads and writes by itself, with buffers of 64 KiB.
//!
//! Its masking keys come from its own cryptographic generator.

use std::hint::black_box;

use bytes::Bytes;
use tungstenite::Message;
use tungstenite::protocol::{Role as PeerRole, WebSocket, WebSocketConfig};
use ws_core::Role;

use crate::Engine;
use crate::kernel::{READ, Socket};

/// `tungstenite::WebSocket`.
pub struct Tungstenite(WebSocket<Socket>);

fn config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(READ).write_buffer_size(READ)
}

impl Engine for Tungstenite {
    const NAME: &'static str = "tungstenite";

    fn new(role: Role) -> Self {
        let role = match role {
            Role::Server => PeerRole::Server,
            Role::Client => PeerRole::Client,
        };
        Self(WebSocket::from_raw_socket(Socket, role, Some(config())))
    }

    fn decode(&mut self, messages: usize, mut part: impl FnMut(&[u8], bool)) {
        for _ in 0..messages {
            match self.0.read().expect("a message") {
                Message::Binary(payload) => part(&payload, true),
                Message::Text(text) => part(text.as_bytes(), true),
                other => panic!("{other:?}"),
            }
        }
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        let message = Message::Binary(payload.clone());
        for _ in 0..count {
            self.0.write(black_box(&message).clone()).expect("it is open");
        }
        self.0.flush().expect("a kernel that takes all");
    }

    fn echo(&mut self, messages: usize, each: bool) {
        for _ in 0..messages {
            let message = self.0.read().expect("a message");
            self.0.write(message).expect("it is open");
            if each {
                self.0.flush().expect("a kernel that takes all");
            }
        }
        self.0.flush().expect("a kernel that takes all");
    }
}

pub(crate) fn handshake() {
    // These are the smallest buffers that make no difference. It allocates them for each connection.
    let config = config().read_buffer_size(4096).write_buffer_size(4096);
    let Ok(socket) = tungstenite::accept_with_config(Socket, Some(config)) else {
        panic!("a request for a WebSocket")
    };
    black_box(socket);
}
