//! sockudo-ws: whole, owned messages through its `Protocol`, which reads and writes `BytesMut`.
//!
//! Its masking keys come from `fastrand`.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
use sockudo_ws::protocol::Protocol;
use sockudo_ws::{Message, Role as PeerRole};
use ws_core::Role;

use crate::Engine;
use crate::kernel::{self, READ};

/// The longest frame and message that it accepts, which is our default.
const LONGEST: usize = 16 << 20;

/// `sockudo_ws::protocol::Protocol` under a driver with two buffers.
pub struct Sockudo {
    protocol: Protocol,
    buffer: BytesMut,
    messages: Vec<Message>,
    out: BytesMut,
}

impl Sockudo {
    /// Reads once and parses that. Returns whether there was anything.
    fn receive(&mut self) -> bool {
        let len = kernel::read_buf(&mut self.buffer);
        self.protocol.process_into(&mut self.buffer, &mut self.messages).expect("messages");
        len > 0
    }

    fn send(&mut self, message: &Message) {
        self.protocol.encode_message(message, &mut self.out).expect("it is open");
        if self.out.len() >= READ {
            self.flush();
        }
    }

    fn flush(&mut self) {
        kernel::write(&self.out);
        self.out.clear();
    }
}

impl Engine for Sockudo {
    const NAME: &'static str = "sockudo-ws";

    fn new(role: Role) -> Self {
        let role = match role {
            Role::Server => PeerRole::Server,
            Role::Client => PeerRole::Client,
        };
        Self {
            protocol: Protocol::new(role, LONGEST, LONGEST),
            buffer: BytesMut::with_capacity(READ),
            messages: Vec::new(),
            out: BytesMut::with_capacity(2 * READ),
        }
    }

    fn decode(&mut self, _messages: usize, mut part: impl FnMut(&[u8], bool)) {
        while self.receive() {
            self.messages.drain(..).for_each(|message| part(message.as_bytes(), true));
        }
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        let message = Message::Binary(payload.clone());
        for _ in 0..count {
            self.send(black_box(&message));
        }
        self.flush();
    }

    fn echo(&mut self, _messages: usize, each: bool) {
        while self.receive() {
            let mut messages = std::mem::take(&mut self.messages);
            for message in messages.drain(..) {
                self.send(&message);
                if each {
                    self.flush();
                }
            }
            self.messages = messages;
        }
        self.flush();
    }
}

pub(crate) fn handshake(buffer: &mut [u8; 4096]) {
    let len = kernel::read(buffer);
    let (request, _) = parse_request(&buffer[..len]).expect("valid").expect("complete");
    kernel::write(&build_response(&generate_accept_key(request.key), None, None));
    black_box(request);
}
