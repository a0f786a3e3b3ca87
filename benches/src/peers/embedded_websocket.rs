//! embedded-websocket: it works from slice to slice. A message comes in pieces, as the reads cut its frame.
//!
//! It checks neither UTF-8 nor reserved bits nor whether a client masks. If a read cuts a header, the header is moved to
//! the front and completed by the next read.

use std::hint::black_box;

use bytes::Bytes;
use embedded_websocket::{
    Client, Error, WebSocket, WebSocketClient, WebSocketReceiveMessageType,
    WebSocketSendMessageType, WebSocketServer, WebSocketState, read_http_header,
};
use rand_core::RngCore;
use ws_core::Role;

use crate::batch::Batch;
use crate::kernel::{self, READ};
use crate::{Engine, Keys};

/// `embedded_websocket::WebSocket` under a driver with three buffers of 64 KiB.
pub struct EmbeddedWebsocket {
    socket: Side,
    from: Vec<u8>,
    to: Vec<u8>,
    batch: Batch,
}

enum Side {
    Server(WebSocketServer),
    Client(WebSocketClient<Keys>),
}

impl RngCore for Keys {
    fn next_u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.bytes())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) << 32 | u64::from(self.next_u32())
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        out.chunks_mut(4).for_each(|word| word.copy_from_slice(&self.bytes()[..word.len()]));
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

/// Parses everything that was read.
fn receive(
    server: &mut WebSocketServer,
    from: &mut [u8],
    to: &mut [u8],
    mut part: impl FnMut(&mut WebSocketServer, &[u8], bool),
) {
    let mut held = 0;
    loop {
        let len = kernel::read(&mut from[held..]);
        if len == 0 {
            break;
        }
        let (mut at, end) = (0, held + len);
        while at < end {
            match server.read(&from[at..end], to) {
                Ok(result) => {
                    at += result.len_from;
                    assert!(result.message_type != WebSocketReceiveMessageType::CloseMustReply);
                    part(server, &to[..result.len_to], result.end_of_message);
                }
                Err(Error::ReadFrameIncomplete) => break,
                Err(error) => panic!("{error}"),
            }
        }
        from.copy_within(at..end, 0);
        held = end - at;
    }
}

impl Engine for EmbeddedWebsocket {
    const NAME: &'static str = "embedded-websocket";
    const CHECKS_TEXT: bool = false;

    fn new(role: Role) -> Self {
        let socket = match role {
            Role::Server => {
                let mut server = WebSocketServer::new_server();
                server.state = WebSocketState::Open;
                Side::Server(server)
            }
            Role::Client => {
                let mut client = WebSocket::<Keys, Client>::new_client(Keys::new());
                client.state = WebSocketState::Open;
                Side::Client(client)
            }
        };
        Self { socket, from: vec![0; READ], to: vec![0; READ], batch: Batch::new() }
    }

    fn decode(&mut self, _messages: usize, mut part: impl FnMut(&[u8], bool)) {
        let Side::Server(server) = &mut self.socket else { panic!("clients are not measured") };
        receive(server, &mut self.from, &mut self.to, |_, bytes, end| part(bytes, end));
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        let kind = WebSocketSendMessageType::Binary;
        for _ in 0..count {
            let payload = black_box(payload);
            let room = self.batch.room(payload.len());
            let len = match &mut self.socket {
                Side::Server(server) => server.write(kind, true, payload, room),
                Side::Client(client) => client.write(kind, true, payload, room),
            };
            self.batch.add(len.expect("it is open"));
        }
        self.batch.flush();
    }

    fn echo(&mut self, _messages: usize, each: bool) {
        let Side::Server(server) = &mut self.socket else { panic!("clients are not measured") };
        let batch = &mut self.batch;
        receive(server, &mut self.from, &mut self.to, |server, bytes, end| {
            let room = batch.room(bytes.len());
            let len = server.write(WebSocketSendMessageType::Binary, end, bytes, room);
            batch.add(len.expect("it is open"));
            if each {
                batch.flush();
            }
        });
        batch.flush();
    }
}

pub(crate) fn handshake(buffer: &mut [u8; 4096]) {
    let len = kernel::read(buffer);
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut request = httparse::Request::new(&mut fields);
    assert!(request.parse(&buffer[..len]).is_ok_and(|status| status.is_complete()));
    let fields = request.headers.iter().map(|field| (field.name, field.value));
    let context = read_http_header(fields).expect("text").expect("a request for a WebSocket");
    let mut response = [0; 1024];
    let mut server = WebSocketServer::new_server();
    let len = server
        .server_accept(&context.sec_websocket_key, None, &mut response)
        .expect("it was not open");
    kernel::write(&response[..len]);
    black_box(server.state);
}
