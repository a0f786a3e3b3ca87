//! The engines over `Endpoint`, with messages that are lent and owned.

use std::hint::black_box;

use bytes::Bytes;
use ws_core::endpoint::{Endpoint, Event, Inbound, Next, Options, Pending};
use ws_core::message::MessageRef;
use ws_core::{Message, Role};

use crate::{Engine, Kernel, READ, cheap_random, clock};

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
            Role::Client => Endpoint::client_after_handshake(options, cheap_random(), &[]),
        };
        Self { endpoint, kernel: Kernel::new() }
    }

    fn flush(&mut self) {
        while let Next::Write { output, .. } = self.endpoint.next_write(clock) {
            write(&mut self.kernel, output);
        }
    }
}

/// Writes all of the output.
fn write(kernel: &mut Kernel, mut output: Pending<'_>) {
    for slice in output.slices() {
        kernel.write(slice);
    }
    let len = output.len();
    output.advance(len);
}

/// Reads the next part of the wire, at most `max` bytes; returns what is left.
fn read<'w>(inbound: &mut Inbound, wire: &'w [u8], max: usize) -> &'w [u8] {
    let room = inbound.read_buf();
    let (read, rest) = wire.split_at(wire.len().min(room.len()).min(max));
    room[..read.len()].copy_from_slice(read);
    inbound.filled(read.len());
    rest
}

impl Engine for EndpointLending {
    const NAME: &'static str = "ws-core/endpoint-lending";

    fn new(role: Role) -> Self {
        Self(Driver::new(role))
    }

    fn decode(&mut self, wire: &[u8]) {
        let mut rest = wire;
        loop {
            match self.0.endpoint.next_ref(clock) {
                Next::Event((event, _)) => drop(black_box(event)),
                Next::Wait { read: Some(inbound), .. } if !rest.is_empty() => {
                    rest = read(inbound, rest, READ);
                }
                Next::Wait { .. } => break,
                next => panic!("{next:?}"),
            }
        }
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        for _ in 0..count {
            let message = MessageRef::Binary(black_box(payload));
            self.0.endpoint.outbound.queue_ref(message).expect("it is open");
            if self.0.endpoint.outbound.waiting() >= READ {
                self.0.flush();
            }
        }
        self.0.flush();
    }

    fn echo(&mut self, wire: &[u8], max: usize) {
        let Driver { endpoint, kernel } = &mut self.0;
        let mut rest = wire;
        loop {
            match endpoint.next_ref(clock) {
                Next::Event((Event::Message(message), out)) => {
                    out.queue_ref(message).expect("it is open");
                }
                Next::Write { output, .. } => write(kernel, output),
                Next::Wait { read: Some(inbound), .. } if !rest.is_empty() => {
                    rest = read(inbound, rest, max);
                }
                Next::Wait { .. } => break,
                next => panic!("{next:?}"),
            }
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
        loop {
            match self.0.endpoint.next(clock) {
                Next::Event(event) => drop(black_box(event)),
                Next::Wait { read: Some(inbound), .. } if !rest.is_empty() => {
                    rest = read(inbound, rest, READ);
                }
                Next::Wait { .. } => break,
                next => panic!("{next:?}"),
            }
        }
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        let message = Message::Binary(payload.clone());
        for _ in 0..count {
            self.0.endpoint.outbound.queue(black_box(&message).clone()).expect("it is open");
            if self.0.endpoint.outbound.waiting() >= READ {
                self.0.flush();
            }
        }
        self.0.flush();
    }

    fn echo(&mut self, wire: &[u8], max: usize) {
        let Driver { endpoint, kernel } = &mut self.0;
        let mut rest = wire;
        loop {
            match endpoint.next(clock) {
                Next::Event(Event::Message(message)) => {
                    endpoint.outbound.queue(message).expect("it is open");
                }
                Next::Write { output, .. } => write(kernel, output),
                Next::Wait { read: Some(inbound), .. } if !rest.is_empty() => {
                    rest = read(inbound, rest, max);
                }
                Next::Wait { .. } => break,
                next => panic!("{next:?}"),
            }
        }
    }
}
