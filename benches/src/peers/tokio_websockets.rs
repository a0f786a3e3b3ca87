//! tokio-websockets: whole, owned messages through `Stream` and `Sink`.
//!
//! Its read buffer starts with 8 KiB, and its size cannot be chosen. It writes its queue with vectored writes, here from
//! 64 KiB on. Its masking keys come from `fastrand`.

use std::hint::black_box;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio_websockets::{ClientBuilder, Config, Limits, Message, ServerBuilder, WebSocketStream};
use ws_core::Role;

use super::ready;
use crate::Engine;
use crate::kernel::{READ, Socket};

/// `tokio_websockets::WebSocketStream`.
pub struct TokioWebsockets(WebSocketStream<Socket>);

impl TokioWebsockets {
    async fn next(&mut self) -> Message {
        self.0.next().await.expect("a message").expect("a message")
    }
}

impl Engine for TokioWebsockets {
    const NAME: &'static str = "tokio-websockets";

    fn new(role: Role) -> Self {
        let config = Config::default().flush_threshold(READ);
        let limits = Limits::default();
        Self(match role {
            Role::Server => ServerBuilder::new().config(config).limits(limits).serve(Socket),
            Role::Client => ClientBuilder::new().config(config).limits(limits).take_over(Socket),
        })
    }

    fn decode(&mut self, messages: usize, mut part: impl FnMut(&[u8], bool)) {
        ready(async {
            for _ in 0..messages {
                part(self.next().await.as_payload(), true);
            }
        });
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        let message = Message::binary(payload.clone());
        ready(async {
            for _ in 0..count {
                self.0.feed(black_box(&message).clone()).await.expect("it is open");
            }
            self.0.flush().await.expect("a kernel that takes all");
        });
    }

    fn echo(&mut self, messages: usize, each: bool) {
        ready(async {
            for _ in 0..messages {
                let message = self.next().await;
                self.0.feed(message).await.expect("it is open");
                if each {
                    self.0.flush().await.expect("a kernel that takes all");
                }
            }
            self.0.flush().await.expect("a kernel that takes all");
        });
    }
}

pub(crate) fn handshake() {
    let accepted = ready(ServerBuilder::new().accept(Socket)).expect("a request for a WebSocket");
    black_box(accepted);
}
