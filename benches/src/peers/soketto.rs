//! soketto: whole messages, appended to a `Vec` of the caller, over a `BufStream` of 64 KiB.
//!
//! It leaves the check of UTF-8 to its caller, and does not check whether a client masks. Its masking keys come
//! from a cryptographic generator.

use std::hint::black_box;

use bytes::Bytes;
use soketto::connection::{Builder, Mode};
use soketto::handshake::server::{Response, Server};
use soketto::{Receiver, Sender};
use tokio::io::BufStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use ws_core::Role;

use super::ready;
use crate::Engine;
use crate::kernel::{READ, Socket};

type Stream = Compat<BufStream<Socket>>;

/// The two halves of soketto.
pub struct Soketto {
    sender: Sender<Stream>,
    receiver: Receiver<Stream>,
    message: Vec<u8>,
}

impl Soketto {
    async fn next(&mut self) {
        self.message.clear();
        self.receiver.receive_data(&mut self.message).await.expect("a message");
    }
}

impl Engine for Soketto {
    const NAME: &'static str = "soketto";
    const CHECKS_TEXT: bool = false;

    fn new(role: Role) -> Self {
        let mode = match role {
            Role::Server => Mode::Server,
            Role::Client => Mode::Client,
        };
        let stream = BufStream::with_capacity(READ, READ, Socket).compat();
        let (sender, receiver) = Builder::new(stream, mode).finish();
        Self { sender, receiver, message: Vec::new() }
    }

    fn decode(&mut self, messages: usize, mut part: impl FnMut(&[u8], bool)) {
        ready(async {
            for _ in 0..messages {
                self.next().await;
                part(&self.message, true);
            }
        });
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        ready(async {
            for _ in 0..count {
                self.sender.send_binary(black_box(payload)).await.expect("it is open");
            }
            self.sender.flush().await.expect("a kernel that takes all");
        });
    }

    fn echo(&mut self, messages: usize, each: bool) {
        ready(async {
            for _ in 0..messages {
                self.next().await;
                self.sender.send_binary_mut(&mut self.message).await.expect("it is open");
                if each {
                    self.sender.flush().await.expect("a kernel that takes all");
                }
            }
            self.sender.flush().await.expect("a kernel that takes all");
        });
    }
}

pub(crate) fn handshake() {
    ready(async {
        let mut server = Server::new(Socket.compat());
        let key = server.receive_request().await.expect("a request for a WebSocket").key();
        let response = Response::Accept { key, protocol: None };
        server.send_response(&response).await.expect("a kernel that takes all");
        black_box(server);
    });
}
