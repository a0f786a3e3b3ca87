//! The peers with compression, at level 1 and with 12 bits. They are driven in the same way as without compression.

use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use sockudo_ws::DeflateWindowBits;
use sockudo_ws::deflate::DeflateConfig;
use sockudo_ws::protocol::CompressedProtocol;
use yawc::{CompressionLevel, Frame, Options, Role};

use super::{Deflate, Inflate, Wire};
use crate::kernel::{self, READ, Socket};
use crate::peers::ready;

/// The longest message that they accept, which is our default.
const LONGEST: usize = 16 << 20;

/// `sockudo_ws::protocol::CompressedProtocol` under a driver with two buffers.
pub struct Sockudo {
    protocol: CompressedProtocol,
    buffer: BytesMut,
    messages: Vec<sockudo_ws::Message>,
    out: BytesMut,
}

impl Sockudo {
    fn new() -> Self {
        let config = DeflateConfig {
            server_max_window_bits: DeflateWindowBits::Bits12,
            client_max_window_bits: DeflateWindowBits::Bits12,
            compression_level: 1,
            ..DeflateConfig::default()
        };
        Self {
            protocol: CompressedProtocol::server(LONGEST, LONGEST, config),
            buffer: BytesMut::with_capacity(READ),
            messages: Vec::new(),
            out: BytesMut::with_capacity(2 * READ),
        }
    }

    fn flush(&mut self) {
        kernel::write(&self.out);
        self.out.clear();
    }
}

impl Deflate for Sockudo {
    const NAME: &'static str = "sockudo-ws";

    fn new() -> Self {
        Sockudo::new()
    }

    fn deflate(&mut self, messages: &[Bytes], _sent: impl FnMut(&[u8], bool)) {
        for message in messages {
            let message = sockudo_ws::Message::Text(message.clone());
            self.protocol.encode_message(&message, &mut self.out).expect("it is open");
            if self.out.len() >= READ {
                self.flush();
            }
        }
        self.flush();
    }
}

impl Inflate for Sockudo {
    const NAME: &'static str = "sockudo-ws";

    fn new() -> Self {
        Sockudo::new()
    }

    fn inflate(&mut self, wire: &Wire, mut message: impl FnMut(&[u8])) {
        wire.load();
        while kernel::read_buf(&mut self.buffer) > 0 {
            self.protocol.process_into(&mut self.buffer, &mut self.messages).expect("messages");
            self.messages.drain(..).for_each(|text| message(text.as_bytes()));
        }
    }
}

/// `yawc::WebSocket`, through `Stream` and `Sink`.
pub struct Yawc(yawc::WebSocket<Socket>);

impl Yawc {
    fn new() -> Self {
        let options = Options::default()
            .with_compression_level(CompressionLevel::fast())
            .with_utf8()
            .with_limits(LONGEST + 1, 2 * LONGEST)
            .with_read_buffer_capacity(READ)
            .with_write_buffer_capacity(READ)
            .with_backpressure_boundary(READ);
        let agreed = "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12";
        let socket = yawc::WebSocket::from_stream_with_extensions(
            Socket,
            Role::Server,
            Some(agreed),
            options,
        );
        Self(socket.expect("compression is on"))
    }
}

impl Deflate for Yawc {
    const NAME: &'static str = "yawc";

    fn new() -> Self {
        Yawc::new()
    }

    fn deflate(&mut self, messages: &[Bytes], _sent: impl FnMut(&[u8], bool)) {
        ready(async {
            for message in messages {
                self.0.feed(Frame::text(message.clone())).await.expect("it is open");
            }
            self.0.flush().await.expect("a kernel that takes all");
        });
    }
}

impl Inflate for Yawc {
    const NAME: &'static str = "yawc";

    fn new() -> Self {
        Yawc::new()
    }

    fn inflate(&mut self, wire: &Wire, mut message: impl FnMut(&[u8])) {
        wire.load();
        ready(async {
            for _ in 0..wire.messages {
                let frame = self.0.next_frame().await.expect("a message");
                message(frame.payload());
            }
        });
    }
}
