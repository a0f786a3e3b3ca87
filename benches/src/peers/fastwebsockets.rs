//! fastwebsockets: whole, owned messages from its `FragmentCollectorRead`, and frames to its `WebSocketWrite`.
//!
//! Its read buffer starts with 8 KiB, and its size cannot be chosen. A `BufWriter` of 64 KiB collects its output. The caller
//! provides the masking keys, with its `Frame::new`.

use std::convert::Infallible;
use std::future::{Ready, ready as now};
use std::hint::black_box;

use bytes::Bytes;
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, Role as PeerRole, WebSocketWrite,
    after_handshake_split,
};
use tokio::io::BufWriter;
use ws_core::Role;

use super::ready;
use crate::kernel::{READ, Socket};
use crate::{Engine, Keys};

/// The two halves that `fastwebsockets::after_handshake_split` makes.
pub struct Fastwebsockets {
    reader: FragmentCollectorRead<Socket>,
    writer: WebSocketWrite<BufWriter<Socket>>,
    keys: Option<Keys>,
    scratch: Vec<u8>,
}

async fn next(reader: &mut FragmentCollectorRead<Socket>) -> Frame<'static> {
    let mut answer = |_: Frame<'_>| -> Ready<Result<(), Infallible>> { now(Ok(())) };
    reader.read_frame(&mut answer).await.expect("a message")
}

impl Engine for Fastwebsockets {
    const NAME: &'static str = "fastwebsockets";

    fn new(role: Role) -> Self {
        let peer_role = match role {
            Role::Server => PeerRole::Server,
            Role::Client => PeerRole::Client,
        };
        let writer = BufWriter::with_capacity(READ, Socket);
        let (reader, writer) = after_handshake_split(Socket, writer, peer_role);
        let keys = (role == Role::Client).then(Keys::new);
        Self { reader: FragmentCollectorRead::new(reader), writer, keys, scratch: Vec::new() }
    }

    fn decode(&mut self, messages: usize, mut part: impl FnMut(&[u8], bool)) {
        ready(async {
            for _ in 0..messages {
                part(&next(&mut self.reader).await.payload, true);
            }
        });
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        ready(async {
            for _ in 0..count {
                let payload = black_box(payload);
                let key = self.keys.as_mut().map(Keys::bytes);
                // It masks in place. A copy in a buffer that is kept is cheaper than the copy that it would make.
                let payload = match key {
                    None => Payload::Borrowed(payload),
                    Some(_) => {
                        self.scratch.clear();
                        self.scratch.extend_from_slice(payload);
                        Payload::BorrowedMut(&mut self.scratch)
                    }
                };
                let frame = Frame::new(true, OpCode::Binary, key, payload);
                self.writer.write_frame(frame).await.expect("it is open");
            }
            self.writer.flush().await.expect("a kernel that takes all");
        });
    }

    fn echo(&mut self, messages: usize, each: bool) {
        ready(async {
            for _ in 0..messages {
                let frame = next(&mut self.reader).await;
                self.writer.write_frame(frame).await.expect("it is open");
                if each {
                    self.writer.flush().await.expect("a kernel that takes all");
                }
            }
            self.writer.flush().await.expect("a kernel that takes all");
        });
    }
}
