//! websocket-sans-io: frames only, which it unmasks in place. It checks nothing: neither UTF-8 nor reserved bits,
//! opcodes, lengths, masks or the order of fragments.

use std::hint::black_box;

use bytes::Bytes;
use websocket_sans_io::{
    FrameInfo, Opcode, WebsocketFrameDecoder, WebsocketFrameEncoder, WebsocketFrameEvent,
};
use ws_core::Role;

use crate::batch::Batch;
use crate::kernel::{self, READ};
use crate::{Engine, Keys};

/// Unmasked payloads of at least this many bytes are written without a copy.
const WRITEV: usize = 4096;

/// A decoder and an encoder under a driver with two buffers of 64 KiB.
pub struct WebsocketSansIo {
    decoder: WebsocketFrameDecoder,
    buffer: Vec<u8>,
    sender: FrameSender,
}

struct FrameSender {
    encoder: WebsocketFrameEncoder,
    batch: Batch,
    keys: Option<Keys>,
}

impl FrameSender {
    #[inline]
    fn head(&mut self, opcode: Opcode, fin: bool, payload_length: u64) -> usize {
        let mask = self.keys.as_mut().map(Keys::bytes);
        let info = FrameInfo { opcode, payload_length, mask, fin, reserved: 0 };
        let head = self.encoder.start_frame(&info);
        self.batch.room(head.len())[..head.len()].copy_from_slice(&head);
        self.batch.add(head.len());
        head.len()
    }

    #[inline]
    fn payload(&mut self, payload: &[u8]) {
        if payload.len() >= WRITEV && self.keys.is_none() {
            self.batch.flush();
            kernel::write(payload);
            return;
        }
        for part in payload.chunks(READ) {
            let room = &mut self.batch.room(part.len())[..part.len()];
            room.copy_from_slice(part);
            self.encoder.transform_frame_payload(room);
            self.batch.add(part.len());
        }
    }
}

impl WebsocketSansIo {
    fn receive(&mut self, mut on: impl FnMut(&mut FrameSender, WebsocketFrameEvent, &[u8])) {
        loop {
            let len = kernel::read(&mut self.buffer);
            if len == 0 {
                break;
            }
            let mut rest = &mut self.buffer[..len];
            loop {
                let Ok(result) = self.decoder.add_data(rest);
                let (bytes, tail) = rest.split_at_mut(result.consumed_bytes);
                match result.event {
                    Some(event) => on(&mut self.sender, event, bytes),
                    None if bytes.is_empty() => break,
                    None => {}
                }
                rest = tail;
            }
        }
    }
}

impl Engine for WebsocketSansIo {
    const NAME: &'static str = "websocket-sans-io";
    const CHECKS_TEXT: bool = false;

    fn new(role: Role) -> Self {
        let keys = (role == Role::Client).then(Keys::new);
        let sender =
            FrameSender { encoder: WebsocketFrameEncoder::new(), batch: Batch::new(), keys };
        Self { decoder: WebsocketFrameDecoder::new(), buffer: vec![0; READ], sender }
    }

    fn decode(&mut self, _messages: usize, mut part: impl FnMut(&[u8], bool)) {
        self.receive(|_, event, bytes| match event {
            WebsocketFrameEvent::Start { .. } => {}
            WebsocketFrameEvent::PayloadChunk { .. } => part(bytes, false),
            WebsocketFrameEvent::End { frame_info, .. } => part(&[], frame_info.fin),
        });
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        for _ in 0..count {
            let payload = black_box(payload);
            self.sender.head(Opcode::Binary, true, payload.len() as u64);
            self.sender.payload(payload);
        }
        self.sender.batch.flush();
    }

    fn echo(&mut self, _messages: usize, each: bool) {
        self.receive(|sender, event, bytes| match event {
            WebsocketFrameEvent::Start { frame_info, .. } => {
                sender.head(frame_info.opcode, frame_info.fin, frame_info.payload_length);
            }
            WebsocketFrameEvent::PayloadChunk { .. } => sender.payload(bytes),
            WebsocketFrameEvent::End { .. } if each => sender.batch.flush(),
            WebsocketFrameEvent::End { .. } => {}
        });
        self.sender.batch.flush();
    }
}
