//! Our `Endpoint` with compression.

use bytes::Bytes;
use ws_core::deflate::{DeflateParams, Pool, WindowBits};
use ws_core::endpoint::{Compression, Event, Next, Options};
use ws_core::message::MessageRef;

use super::{BITS, Deflate, Inflate, Wire};
use crate::clock;
use crate::endpoint::{flush, read};
use crate::kernel::READ;

/// `ws_core::Endpoint` with its own pool and lent messages. The client's window has this many bits.
pub struct Endpoint<const CLIENT: u8>(ws_core::Endpoint);

const fn name(client: u8) -> &'static str {
    if client == 15 { "ws-core/endpoint" } else { "ws-core/endpoint-12-bits" }
}

impl<const CLIENT: u8> Endpoint<CLIENT> {
    fn new() -> Self {
        let agreed = DeflateParams {
            server_max_window_bits: Some(BITS),
            client_max_window_bits: WindowBits::new(CLIENT),
            ..DeflateParams::default()
        };
        let options = Options::new().deflate(Compression::new(&Pool::new()).agreed(agreed));
        Self(ws_core::Endpoint::server_after_handshake(options, &[]))
    }
}

impl<const CLIENT: u8> Deflate for Endpoint<CLIENT> {
    const NAME: &'static str = "ws-core/endpoint";

    fn new() -> Self {
        Endpoint::new()
    }

    fn deflate(&mut self, messages: &[Bytes], _sent: impl FnMut(&[u8], bool)) {
        for message in messages {
            let text = str::from_utf8(message).expect("text");
            self.0.outbound.queue_ref(MessageRef::Text(text)).expect("it is open");
            if self.0.outbound.waiting() >= READ {
                flush(&mut self.0);
            }
        }
        flush(&mut self.0);
    }
}

impl<const CLIENT: u8> Inflate for Endpoint<CLIENT> {
    const NAME: &'static str = name(CLIENT);

    fn new() -> Self {
        Endpoint::new()
    }

    fn inflate(&mut self, wire: &Wire, mut message: impl FnMut(&[u8])) {
        wire.load();
        loop {
            match self.0.next_ref(clock) {
                Next::Event((Event::Message(text), _)) => message(text.as_bytes()),
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
