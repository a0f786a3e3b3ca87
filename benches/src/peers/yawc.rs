//! yawc: whole, owned messages through `Stream` and `Sink`, with buffers of 64 KiB and its UTF-8 check on.
//!
//! The caller provides the masking keys, with its `Frame::with_mask`.

use std::hint::black_box;

use bytes::Bytes;
use futures_util::SinkExt;
use ws_core::Role;
use yawc::{Frame, Options, Role as PeerRole};

use super::ready;
use crate::kernel::{READ, Socket};
use crate::{Engine, Keys};

/// The longest frame that it accepts, plus one byte.
const LONGEST: usize = (16 << 20) + 1;

/// `yawc::WebSocket`.
pub struct Yawc {
    socket: yawc::WebSocket<Socket>,
    keys: Option<Keys>,
}

impl Engine for Yawc {
    const NAME: &'static str = "yawc";

    fn new(role: Role) -> Self {
        let peer_role = match role {
            Role::Server => PeerRole::Server,
            Role::Client => PeerRole::Client,
        };
        let options = Options::default()
            .without_compression()
            .with_utf8()
            .with_limits(LONGEST, 2 * LONGEST)
            .with_read_buffer_capacity(READ)
            .with_write_buffer_capacity(READ)
            .with_backpressure_boundary(READ);
        let socket = yawc::WebSocket::from_stream(Socket, peer_role, options);
        let keys = (role == Role::Client).then(Keys::new);
        Self { socket: socket.expect("no extension was agreed on"), keys }
    }

    fn decode(&mut self, messages: usize, mut part: impl FnMut(&[u8], bool)) {
        ready(async {
            for _ in 0..messages {
                let frame = self.socket.next_frame().await.expect("a message");
                part(frame.payload(), true);
            }
        });
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        ready(async {
            for _ in 0..count {
                let mut frame = Frame::binary(black_box(payload).clone());
                frame.set_mask(self.keys.as_mut().map(Keys::bytes));
                self.socket.feed(frame).await.expect("it is open");
            }
            self.socket.flush().await.expect("a kernel that takes all");
        });
    }

    fn echo(&mut self, messages: usize, each: bool) {
        ready(async {
            for _ in 0..messages {
                let frame = self.socket.next_frame().await.expect("a message");
                self.socket.feed(frame).await.expect("it is open");
                if each {
                    self.socket.flush().await.expect("a kernel that takes all");
                }
            }
            self.socket.flush().await.expect("a kernel that takes all");
        });
    }
}
