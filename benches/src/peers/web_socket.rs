//! web-socket: single, owned frames over a `BufStream` of 64 KiB.
//!
//! It does not join fragments, and does not check UTF-8. Its masking keys come from a cryptographic generator.

use std::hint::black_box;

use bytes::Bytes;
use tokio::io::BufStream;
use web_socket::Event;
use ws_core::Role;

use super::ready;
use crate::Engine;
use crate::kernel::{READ, Socket};

/// `web_socket::WebSocket`.
pub struct WebSocket(web_socket::WebSocket<BufStream<Socket>>);

impl WebSocket {
    async fn next(&mut self) -> Box<[u8]> {
        match self.0.recv().await.expect("a message") {
            Event::Data { data, .. } => data,
            other => panic!("{other:?}"),
        }
    }
}

impl Engine for WebSocket {
    const NAME: &'static str = "web-socket";
    const CHECKS_TEXT: bool = false;

    fn new(role: Role) -> Self {
        let stream = BufStream::with_capacity(READ, READ, Socket);
        Self(match role {
            Role::Server => web_socket::WebSocket::server(stream),
            Role::Client => web_socket::WebSocket::client(stream),
        })
    }

    fn decode(&mut self, messages: usize, mut part: impl FnMut(&[u8], bool)) {
        ready(async {
            for _ in 0..messages {
                part(&self.next().await, true);
            }
        });
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        ready(async {
            for _ in 0..count {
                self.0.send(&black_box(payload)[..]).await.expect("it is open");
            }
            self.0.flash().await.expect("a kernel that takes all");
        });
    }

    fn echo(&mut self, messages: usize, each: bool) {
        ready(async {
            for _ in 0..messages {
                let message = self.next().await;
                self.0.send(&message[..]).await.expect("it is open");
                if each {
                    self.0.flash().await.expect("a kernel that takes all");
                }
            }
            self.0.flash().await.expect("a kernel that takes all");
        });
    }
}
