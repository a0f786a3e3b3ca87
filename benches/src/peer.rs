//! The peer beside which ours are measured.

use std::hint::black_box;
use std::io::{self, Read, Write};

use bytes::Bytes;
use tungstenite::protocol::{Role as PeerRole, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};
use ws_core::Role;

use crate::{Engine, Kernel, READ};

/// `tungstenite::WebSocket`, with messages written in batches of 64 KiB.
pub struct Tungstenite(WebSocket<Pipe>);

/// A wire that is read and a kernel that is written to.
struct Pipe {
    wire: Vec<u8>,
    at: usize,
    /// How much a read gives, if each of them is followed by one that would block.
    single: Option<usize>,
    blocked: bool,
    kernel: Kernel,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.wire[self.at..];
        if rest.is_empty() || std::mem::take(&mut self.blocked) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.blocked = self.single.is_some();
        let len = rest.len().min(buffer.len()).min(self.single.unwrap_or(READ));
        buffer[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        Ok(len)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.kernel.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tungstenite {
    /// Lets the wire be read again from its start.
    fn rewind(&mut self, wire: &[u8], single: Option<usize>) {
        let pipe = self.0.get_mut();
        if pipe.wire.len() != wire.len() {
            pipe.wire = wire.to_vec();
        }
        (pipe.at, pipe.single, pipe.blocked) = (0, single, false);
    }

    fn read(&mut self) -> Option<Message> {
        match self.0.read() {
            Ok(message) => Some(message),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Engine for Tungstenite {
    const NAME: &'static str = "tungstenite";

    fn new(role: Role) -> Self {
        let role = match role {
            Role::Server => PeerRole::Server,
            Role::Client => PeerRole::Client,
        };
        let config = WebSocketConfig::default().read_buffer_size(READ).write_buffer_size(READ);
        let pipe =
            Pipe { wire: Vec::new(), at: 0, single: None, blocked: false, kernel: Kernel::new() };
        Self(WebSocket::from_raw_socket(pipe, role, Some(config)))
    }

    fn decode(&mut self, wire: &[u8]) {
        self.rewind(wire, None);
        while let Some(message) = self.read() {
            drop(black_box(message));
        }
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        let message = Message::Binary(payload.clone());
        for _ in 0..count {
            self.0.write(black_box(&message).clone()).expect("it is open");
        }
        self.0.flush().expect("a kernel that takes all");
    }

    fn echo(&mut self, wire: &[u8], max: usize) {
        self.rewind(wire, Some(max));
        while self.0.get_ref().at < wire.len() {
            while let Some(message) = self.read() {
                self.0.write(message).expect("it is open");
            }
            self.0.flush().expect("a kernel that takes all");
        }
    }
}
