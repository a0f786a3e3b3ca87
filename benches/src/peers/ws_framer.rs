//! ws-framer: whole messages, lent from the caller's buffer, which must hold the longest one.
//!
//! It does not check whether a client masks. After each message it moves the rest of its buffer to the front. With
//! 64 KiB of small messages that would happen thousands of times, so a read returns at most one message or 1 KiB.
//! It is built without a random generator, and then masks with zeroes, because its own generator would make a
//! system call for each frame.

use std::hint::black_box;

use bytes::Bytes;
use ws_core::Role;
use ws_framer::{WsFrame, WsRxFramer, WsTxFramer};

use crate::Engine;
use crate::batch::{Batch, HEADER};
use crate::kernel;

/// The longest message that is measured.
const LONGEST: usize = 1024 * 1024;
/// How many bytes a read returns if the messages are shorter.
const SHORT_READ: usize = 1024;

/// A receiving and a sending framer.
pub struct WsFramer {
    receiver: WsRxFramer<'static>,
    batch: Batch,
    masks: bool,
}

impl WsFramer {
    fn receive(&mut self, messages: usize, mut on: impl FnMut(&mut Batch, &[u8])) {
        let most = SHORT_READ.max(kernel::loaded() / messages);
        loop {
            while let Some(frame) = self.receiver.next_frame() {
                match frame.expect("a message") {
                    WsFrame::Text(text) => on(&mut self.batch, text.as_bytes()),
                    WsFrame::Binary(payload) => on(&mut self.batch, payload),
                    other => panic!("{other:?}"),
                }
            }
            let room = self.receiver.read_buf();
            let most = most.min(room.len());
            let len = kernel::read(&mut room[..most]);
            if len == 0 {
                break;
            }
            self.receiver.advance(len);
        }
    }
}

impl Engine for WsFramer {
    const NAME: &'static str = "ws-framer";

    fn new(role: Role) -> Self {
        let buffer = vec![0; LONGEST + HEADER].leak();
        let masks = role == Role::Client;
        Self { receiver: WsRxFramer::new(buffer), batch: Batch::new(), masks }
    }

    fn decode(&mut self, messages: usize, mut part: impl FnMut(&[u8], bool)) {
        self.receive(messages, |_, payload| part(payload, true));
    }

    fn encode(&mut self, payload: &Bytes, count: usize) {
        for _ in 0..count {
            send(&mut self.batch, self.masks, black_box(payload));
        }
        self.batch.flush();
    }

    fn echo(&mut self, messages: usize, each: bool) {
        let masks = self.masks;
        self.receive(messages, |batch, payload| {
            send(batch, masks, payload);
            if each {
                batch.flush();
            }
        });
        self.batch.flush();
    }
}

/// A framer that is made for one frame puts it behind those that wait.
#[inline]
fn send(batch: &mut Batch, masks: bool, payload: &[u8]) {
    let mut sender = WsTxFramer::new(masks, batch.room(payload.len()));
    let len = sender.binary(payload).expect("there is room").len();
    batch.add(len);
}
