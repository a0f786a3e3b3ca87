//! The engines over `Endpoint`, with lent and with owned messages.

use std::hint::black_box;

use bytes::Bytes;
use ws_core::endpoint::{Endpoint, Event, Inbound, Next, Options, Outbound, Pending};
use ws_core::message::MessageRef;
use ws_core::{Config, Message, Role};

use crate::kernel::{self, READ};
use crate::{Engine, Keys, clock};

/// `ws_core::Endpoint` with messages that are lent from its buffer.
pub struct EndpointLending(Endpoint);

/// `ws_core::Endpoint` with owned messages.
pub struct EndpointOwned(Endpoint);

impl EndpointOwned {
    /// Returns an engine with these limits.
    pub fn with_config(role: Role, config: Config) -> Self {
        Self(open(role, config))
    }
}

fn open(role: Role, config: Config) -> Endpoint {
    let options = Options::new().config(config);
    match role {
        Role::Server => Endpoint::server_after_handshake(options, &[]),
        Role::Client => {
            let mut keys = Keys::new();
            let random = move |bytes: &mut [u8]| {
                for word in bytes.chunks_mut(4) {
                    word.copy_from_slice(&keys.bytes()[..word.len()]);
                }
                true
            };
            Endpoint::client_after_handshake(options, random, &[])
        }
    }
}

pub(crate) fn flush(endpoint: &mut Endpoint) {
    while let Next::Write { output, .. } = endpoint.next_write(clock) {
        write(output);
    }
}

/// Writes all of the output.
pub(crate) fn write(mut output: Pending<'_>) {
    for slice in output.slices() {
        kernel::write(slice);
    }
    let len = output.len();
    output.advance(len);
}

/// Payloads of at least this many bytes are written without a copy, as in `ws-std`.
const WRITTEN_AT_ONCE: usize = 16 * 1024;

/// Queues a lent message. A long one is written at once, together with the output that waits.
fn queue(out: &mut Outbound, message: MessageRef<'_>) {
    if message.len() < WRITTEN_AT_ONCE {
        return out.queue_ref(message).expect("it is open");
    }
    let mut written = 0;
    let queued = out.queue_and_write(message, |output, payload| {
        output.slices().chain([payload]).for_each(kernel::write);
        written = output.len() + payload.len();
        written
    });
    queued.expect("it is open");
    out.written(written);
}

/// Reads once. Returns whether there was anything.
pub(crate) fn read(inbound: &mut Inbound) -> bool {
    let len = kernel::read(inbound.read_buf());
    inbound.filled(len);
    len > 0
}

impl Engine for EndpointLending {
    const NAME: &'static str = "ws-core/endpoint-lending";

    fn new(role: Role) -> Self {
        Self(open(role, Config::new()))
    }

    fn decode(&mut self, _messages: usize, mut part: impl FnMut(&[u8], bool)) {
        loop {
            match self.0.next_ref(clock) {
                Next::Event((Event::Message(message), _)) => part(message.as_bytes(), true),
                Next::Wait { read: Some(inbound), .. } => {
                    if !read(inbound) {
                        break;
                    }
                }
                next => panic!("{next:?}"),
            }
        }
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        for _ in 0..count {
            queue(&mut self.0.outbound, MessageRef::Binary(black_box(payload)));
            if self.0.outbound.waiting() >= READ {
                flush(&mut self.0);
            }
        }
        flush(&mut self.0);
    }

    fn echo(&mut self, _messages: usize, _each: bool) {
        loop {
            match self.0.next_ref(clock) {
                Next::Event((Event::Message(message), out)) => queue(out, message),
                Next::Write { output, .. } => write(output),
                Next::Wait { read: Some(inbound), .. } => {
                    if !read(inbound) {
                        break;
                    }
                }
                next => panic!("{next:?}"),
            }
        }
    }
}

impl Engine for EndpointOwned {
    const NAME: &'static str = "ws-core/endpoint-owned";

    fn new(role: Role) -> Self {
        Self(open(role, Config::new()))
    }

    fn decode(&mut self, _messages: usize, mut part: impl FnMut(&[u8], bool)) {
        loop {
            match self.0.next(clock) {
                Next::Event(Event::Message(message)) => part(message.as_bytes(), true),
                Next::Wait { read: Some(inbound), .. } => {
                    if !read(inbound) {
                        break;
                    }
                }
                next => panic!("{next:?}"),
            }
        }
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        let message = Message::Binary(payload.clone());
        for _ in 0..count {
            self.0.outbound.queue(black_box(&message).clone()).expect("it is open");
            if self.0.outbound.waiting() >= READ {
                flush(&mut self.0);
            }
        }
        flush(&mut self.0);
    }

    fn echo(&mut self, _messages: usize, _each: bool) {
        loop {
            match self.0.next(clock) {
                Next::Event(Event::Message(message)) => {
                    self.0.outbound.queue(message).expect("it is open");
                }
                Next::Write { output, .. } => write(output),
                Next::Wait { read: Some(inbound), .. } => {
                    if !read(inbound) {
                        break;
                    }
                }
                next => panic!("{next:?}"),
            }
        }
    }
}
