//! One direction of the stream, and a second opinion on what is written into it.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use ws_core::{Message, Role};

pub(crate) const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The bytes from one side to the other.
#[derive(Debug, Hash)]
pub(crate) struct Wire {
    pub(crate) capacity: usize,
    bytes: VecDeque<u8>,
    /// Nothing follows the bytes.
    pub(crate) ended: bool,
    /// Nothing more is accepted, and the other side does not see that.
    pub(crate) stalled: bool,
    /// The reader has dropped its stream.
    pub(crate) gone: bool,
    /// How many bytes the reader has taken.
    taken: usize,
    pub(crate) watch: Watch,
}

impl Wire {
    pub(crate) fn new(writer: Role, open: bool, capacity: usize) -> Self {
        Self {
            capacity,
            bytes: VecDeque::new(),
            ended: false,
            stalled: false,
            gone: false,
            taken: 0,
            watch: Watch::new(writer, open),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes are accepted at once. What follows the end is accepted and lost.
    pub(crate) fn room(&self) -> usize {
        match (self.stalled, self.ended) {
            (true, _) => 0,
            (false, true) => self.capacity,
            (false, false) => self.capacity.saturating_sub(self.bytes.len()),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.watch.see(bytes)?;
        if !self.ended {
            self.bytes.extend(bytes);
        }
        Ok(())
    }

    /// The next bytes. `taken` says how many of them the reader has taken.
    pub(crate) fn peek(&mut self, most: usize) -> &[u8] {
        let bytes = self.bytes.make_contiguous();
        &bytes[..bytes.len().min(most)]
    }

    pub(crate) fn take(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.taken += count;
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }
}

/// Reads what one side writes, by RFC 6455 alone: heads, whole frames and messages, and one Close frame at the end.
#[derive(Debug, Hash)]
pub(crate) struct Watch {
    pub(crate) writer: Role,
    /// Whether the frames have begun. Before them there is a head.
    open: bool,
    /// A response that opens no WebSocket was written.
    refused: bool,
    /// The head or the frame that is not complete yet.
    part: Vec<u8>,
    /// The opcode of the message that is not complete yet, and its payload.
    message: Option<(u8, Vec<u8>)>,
    pub(crate) messages: Vec<Message>,
    pub(crate) pings: Vec<Vec<u8>>,
    pub(crate) pongs: Vec<Vec<u8>>,
    /// The code of the Close frame; 1005 if it has none.
    pub(crate) close: Option<u16>,
}

impl Watch {
    fn new(writer: Role, open: bool) -> Self {
        Self {
            writer,
            open,
            refused: false,
            part: Vec::new(),
            message: None,
            messages: Vec::new(),
            pings: Vec::new(),
            pongs: Vec::new(),
            close: None,
        }
    }

    /// Whether the next byte begins a frame.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.open && self.part.is_empty()
    }

    fn see(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.close.is_some() && !bytes.is_empty() {
            return Err(format!("{:?} wrote {bytes:02x?} after its Close frame", self.writer));
        }
        if self.refused {
            return Ok(());
        }
        self.part.extend(bytes);
        while let Some(len) = self.complete() {
            let part: Vec<u8> = self.part.drain(..len).collect();
            if self.open {
                self.frame(&part)?
            } else {
                self.head(&part)
            }
            if self.refused {
                self.part.clear();
            }
        }
        if self.close.is_some() && !self.part.is_empty() {
            return Err(format!(
                "{:?} wrote {:02x?} after its Close frame",
                self.writer, self.part
            ));
        }
        Ok(())
    }

    /// The length of the head or frame, once all of it is there.
    fn complete(&self) -> Option<usize> {
        let part = &self.part;
        if !self.open {
            return Some(part.windows(4).position(|end| end == b"\r\n\r\n")? + 4);
        }
        frame_len(part)
    }

    fn head(&mut self, head: &[u8]) {
        self.refused = self.writer == Role::Server && !head.starts_with(b"HTTP/1.1 101 ");
        self.open = true;
    }

    fn frame(&mut self, frame: &[u8]) -> Result<(), String> {
        let (first, second) = (frame[0], frame[1]);
        let (fin, opcode) = (first & FIN != 0, first & 0x0f);
        if first & 0x70 != 0 || (second & 0x80 != 0) != (self.writer == Role::Client) {
            return Err(format!("{:?} wrote the frame {frame:02x?}", self.writer));
        }
        if self.close.is_some() {
            return Err(format!("{:?} wrote {frame:02x?} after its Close frame", self.writer));
        }
        let payload = payload(frame);
        match (opcode, &mut self.message) {
            (CLOSE, _) => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                self.close = Some(code);
            }
            (PING, _) => self.pings.push(payload),
            (PONG, _) => self.pongs.push(payload),
            (CONTINUATION, Some((_, message))) => message.extend(payload),
            (TEXT | BINARY, None) => self.message = Some((opcode, payload)),
            _ => return Err(format!("{:?} wrote opcode {opcode} out of order", self.writer)),
        }
        if fin && opcode < CLOSE {
            if let Some((opcode, payload)) = self.message.take() {
                self.messages.push(match opcode {
                    TEXT => String::from_utf8(payload).map_err(|error| error.to_string())?.into(),
                    _ => payload.into(),
                });
            }
        }
        Ok(())
    }
}

/// The length of the frame at the start of these bytes, if all of it is there.
pub(crate) fn frame_len(bytes: &[u8]) -> Option<usize> {
    let second = *bytes.get(1)?;
    let (len, head) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize, 10),
        len => (usize::from(len), 2),
    };
    let all = len.checked_add(head + if second & 0x80 == 0 { 0 } else { 4 })?;
    (bytes.len() >= all).then_some(all)
}

/// The payload of a whole frame, unmasked.
fn payload(frame: &[u8]) -> Vec<u8> {
    let head = match frame[1] & 0x7f {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let mut rest = &frame[head..];
    let mut key = [0; 4];
    if frame[1] & 0x80 != 0 {
        key.copy_from_slice(&rest[..4]);
        rest = &rest[4..];
    }
    rest.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
}

/// Hashes what is formatted.
pub(crate) struct Formatted<'h, H>(pub(crate) &'h mut H);

impl<H: Hasher> core::fmt::Write for Formatted<'_, H> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.hash(self.0);
        Ok(())
    }
}
