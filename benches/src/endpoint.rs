use std::hint::black_box;

use bytes::Bytes;
use ws_core::endpoint::{Endpoint, Event, EventRef, Options};
use ws_core::message::MessageRef;
use ws_core::{Message, Role};

use crate::{Engine, Kernel, READ, cheap_random};

/// `ws_core::Endpoint` with messages that are lent from its buffer.
pub struct EndpointLending(Driver);

/// `ws_core::Endpoint` with owned messages.
pub struct EndpointOwned(Driver);

struct Driver {
    endpoint: Endpoint,
    kernel: Kernel,
}

impl Driver {
    fn new(role: Role) -> Self {
        let options = Options::new();
        let endpoint = match role {
            Role::Server => Endpoint::server_after_handshake(options, &[]),
            Role::Client => {
                Endpoint::client_after_handshake(options, Box::new(cheap_random()), &[])
            }
        };
        Self { endpoint, kernel: Kernel::new() }
    }

    /// Reads the next part of the wire, at most 64 KiB; gives what is left.
    fn read<'w>(&mut self, wire: &'w [u8]) -> &'w [u8] {
        let room = self.endpoint.read_buf();
        let (read, rest) = wire.split_at(wire.len().min(room.len()).min(READ));
        room[..read.len()].copy_from_slice(read);
        self.endpoint.filled(read.len());
        rest
    }

    fn flush(&mut self) {
        let output = self.endpoint.output();
        for slice in output.slices() {
            self.kernel.write(slice);
        }
        output.advance(output.len());
    }
}

impl Engine for EndpointLending {
    const NAME: &'static str = "ws-core/endpoint-lending";

    fn new(role: Role) -> Self {
        Self(Driver::new(role))
    }

    fn decode(&mut self, wire: &[u8]) {
        let mut rest = wire;
        while !rest.is_empty() {
            rest = self.0.read(rest);
            while let Some((event, _)) = self.0.endpoint.poll_event_ref().expect("valid frames") {
                black_box(event);
            }
        }
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        for _ in 0..count {
            let message = MessageRef::Binary(black_box(payload));
            self.0.endpoint.sides().1.send_ref(message).expect("it is open");
            if self.0.endpoint.output().len() >= READ {
                self.0.flush();
            }
        }
        self.0.flush();
    }

    fn echo(&mut self, wire: &[u8]) {
        let mut rest = wire;
        while !rest.is_empty() {
            rest = self.0.read(rest);
            while let Some((event, out)) = self.0.endpoint.poll_event_ref().expect("valid frames") {
                if let EventRef::Message(message) = event {
                    out.send_ref(message).expect("it is open");
                }
            }
            self.0.flush();
        }
    }
}

impl Engine for EndpointOwned {
    const NAME: &'static str = "ws-core/endpoint-owned";

    fn new(role: Role) -> Self {
        Self(Driver::new(role))
    }

    fn decode(&mut self, wire: &[u8]) {
        let mut rest = wire;
        while !rest.is_empty() {
            rest = self.0.read(rest);
            while let Some(event) = self.0.endpoint.poll_event().expect("valid frames") {
                drop(black_box(event));
            }
        }
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        let message = Message::Binary(payload.clone());
        for _ in 0..count {
            self.0.endpoint.send(black_box(&message).clone()).expect("it is open");
            if self.0.endpoint.output().len() >= READ {
                self.0.flush();
            }
        }
        self.0.flush();
    }

    fn echo(&mut self, wire: &[u8]) {
        let mut rest = wire;
        while !rest.is_empty() {
            rest = self.0.read(rest);
            while let Some(event) = self.0.endpoint.poll_event().expect("valid frames") {
                if let Event::Message(message) = event {
                    self.0.endpoint.send(message).expect("it is open");
                }
            }
            self.0.flush();
        }
    }
}
