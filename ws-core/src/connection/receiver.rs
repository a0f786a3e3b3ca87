//! The receiving half, which parses frames and enforces every rule about what a peer may send.
//!
//! A header is checked byte by byte as it arrives, so that the first error is the same whatever the chunking. What a
//! frame changes takes effect on the [`Sender`] at once: a Pong that is owed, the peer's Close frame, a failure.
//! [`Receiver::whole`] is a fast path for most messages, and the second place that has the rules of a header. Both
//! paths have to agree for every header, which `both_ways_agree` tests.

use core::fmt;

use super::ending::{Rest, StreamState};
use super::sender::Look;
use super::{Chunk, Input, Sender, Step};
use crate::frame::{
    CloseFrame, MAX_CONTROL_PAYLOAD, MAX_HEADER_LEN, Masker, OpCode, copy, extended_length,
    first_byte, mask, second_byte,
};
use crate::utf8::{self, Utf8Validator};
use crate::{Config, Instant, MaskingKey, MessageKind, ProtocolError, Role, SHORT_CUTS};

/// How many bytes are unmasked and then validated at a time, so that they are still in the cache for the validation.
const HOT: usize = 16 * 1024;

/// The receiving half of a [`Connection`](crate::Connection), which parses frames.
pub struct Receiver {
    role: Role,
    compression: bool,
    max_frame: u64,
    max_message: u64,
    state: ParseState,
    /// The first bytes of a header that did not arrive in one piece.
    spill: [u8; MAX_HEADER_LEN],
    spilled: u8,
    /// The masking state of the frame whose payload is being received.
    masker: Masker,
    left: u64,
    fin: bool,
    /// The opcode of the frame that is being received, if it is a control frame.
    control_opcode: Option<OpCode>,
    control: [u8; MAX_CONTROL_PAYLOAD],
    control_len: u8,
    /// The kind of the message whose last frame has not ended yet.
    message: Option<MessageKind>,
    message_len: u64,
    at_start: bool,
    compressed: bool,
    utf8: Utf8Validator,
    /// Whether the peer has ended its side of the stream.
    stream_ended: bool,
    /// A message takes the fast path if its payload has fewer bytes than this. It is 0 if no message can begin.
    /// [`note_short`](Self::note_short) computes it after each change of the fields that it depends on, because it is
    /// needed for each message.
    short_below: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ParseState {
    Header,
    Payload,
    /// The peer's Close frame has arrived, and `control` holds its payload.
    CloseReceived,
    Failed {
        close_received: bool,
    },
    /// The stream has ended without a Close frame or a failure.
    Over,
}

/// What one step of parsing has found.
#[derive(Debug)]
pub(crate) enum Frame<'i> {
    Data(Chunk<'i>),
    Ping,
    Pong,
    Close,
}

/// What is left to do when all received bytes are parsed.
enum Left {
    /// The peer did not answer a Ping.
    Failed,
    Transmit,
    Rest(Rest),
}

/// Who checks the UTF-8 of a message that lies in one chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextCheck {
    Here,
    /// The caller converts the chunk to a `str`, which checks it, and reports an error with [`Receiver::fail`].
    #[cfg(feature = "endpoint")]
    CallerForWholeMessages,
}

impl Receiver {
    pub(crate) const fn new(role: Role, config: Config, compression: bool) -> Self {
        Self {
            role,
            compression,
            max_frame: config.max_frame,
            max_message: config.max_message,
            state: ParseState::Header,
            spill: [0; MAX_HEADER_LEN],
            spilled: 0,
            masker: Masker::new(MaskingKey::new([0; 4])),
            left: 0,
            fin: false,
            control_opcode: None,
            control: [0; MAX_CONTROL_PAYLOAD],
            control_len: 0,
            message: None,
            message_len: 0,
            at_start: false,
            compressed: false,
            utf8: Utf8Validator::new(),
            stream_ended: false,
            short_below: short_bound(config.max_frame, config.max_message),
        }
    }

    /// A compression that uses RSV1 was negotiated.
    #[cfg(all(feature = "endpoint", feature = "zlib-rs"))]
    pub(crate) const fn set_compression(&mut self) {
        self.compression = true;
    }

    /// Changes the limit of a message, which takes effect with the next frame.
    #[cfg(feature = "endpoint")]
    pub(crate) fn set_max_message(&mut self, bytes: u64) {
        self.max_message = bytes;
        self.note_short();
    }

    #[cfg(all(feature = "endpoint", feature = "zlib-rs"))]
    pub(crate) const fn max_message(&self) -> u64 {
        self.max_message
    }

    /// Returns what the driver has to do next, as [`Connection::next`](crate::Connection::next) does for both halves.
    #[inline(always)]
    pub fn next<'i>(
        &mut self,
        sender: &mut Sender,
        input: &mut Input<'i>,
        clock: impl FnOnce() -> Instant,
    ) -> Step<'i> {
        if sender.wants_transmit() {
            return Step::Transmit;
        }
        match self.find(sender, input) {
            Ok(Some(Frame::Data(chunk))) => return Step::Data(chunk),
            Ok(Some(Frame::Ping)) => return Step::Ping,
            Ok(Some(Frame::Pong)) => return Step::Pong,
            Ok(Some(Frame::Close)) => return Step::Close,
            Ok(None) => {}
            Err(error) => return Step::Failed(error),
        }
        match self.rest(sender, clock()) {
            Left::Failed => Step::Failed(ProtocolError::PongTimeout),
            Left::Transmit => Step::Transmit,
            Left::Rest(Rest::Shutdown) => Step::Shutdown(sender.until()),
            Left::Rest(Rest::LastShutdown) => Step::Shutdown(Some(sender.timers.now())),
            Left::Rest(Rest::Wait) => Step::Wait(sender.until()),
            Left::Rest(Rest::Done) => Step::Done,
        }
    }

    /// Returns what to do when all received bytes are parsed.
    #[inline(never)]
    fn rest(&mut self, sender: &mut Sender, now: Instant) -> Left {
        sender.ending.asked();
        if self.stream_ended {
            sender.end();
        }
        sender.look(now, false, Look::Parsed);
        if self.is_lost(sender) {
            return Left::Failed;
        }
        if sender.wants_transmit() {
            return Left::Transmit;
        }
        let rest = sender.ending.rest();
        sender.ending.tell_to_write();
        if rest == Rest::Done {
            self.finish(sender);
        }
        Left::Rest(rest)
    }

    /// The connection is over, whatever the driver calls from now on.
    fn finish(&mut self, sender: &mut Sender) {
        if matches!(self.state, ParseState::Header | ParseState::Payload) {
            self.state = ParseState::Over;
            self.note_short();
        }
        sender.ending.end(StreamState::GivenUp);
    }

    /// Returns whether the peer has failed to answer a Ping in time and this has not been reported yet.
    pub(crate) fn is_lost(&mut self, sender: &Sender) -> bool {
        let lost = sender.ending.is_lost() && !matches!(self.state, ParseState::Failed { .. });
        if lost {
            self.set_failed();
        }
        lost
    }

    /// Parses up to the next thing to report, on the fast path if possible.
    #[inline(always)]
    fn find<'i>(
        &mut self,
        sender: &mut Sender,
        input: &mut Input<'i>,
    ) -> Result<Option<Frame<'i>>, ProtocolError> {
        match self.whole(input, TextCheck::Here) {
            Some(Ok(chunk)) => {
                sender.timers.received(true);
                Ok(Some(Frame::Data(chunk)))
            }
            Some(Err(error)) => Err(self.refuse(sender, input, error)),
            None if SHORT_CUTS && input.remaining().is_empty() => Ok(None),
            None => self.receive(sender, input, TextCheck::Here),
        }
    }

    /// Parses up to the next thing to report. `None` means that all bytes were consumed and more are needed. It is not
    /// inlined, so that the code of the fast path before it stays small.
    ///
    /// After a Close frame or an error, all bytes are consumed and nothing is reported (RFC 6455 §5.5.1, §7.1.7).
    #[inline(never)]
    pub(crate) fn receive<'i>(
        &mut self,
        sender: &mut Sender,
        input: &mut Input<'i>,
        check: TextCheck,
    ) -> Result<Option<Frame<'i>>, ProtocolError> {
        let before = input.consumed();
        let result = match self.whole_compressed(input) {
            Some(whole) => whole.map(|chunk| Some(Frame::Data(chunk))),
            None => self.step(sender, input, check),
        };
        self.note_short();
        if input.consumed() != before {
            sender.timers.received(matches!(result, Ok(Some(Frame::Data(_)))));
        }
        match result {
            Err(error) => Err(self.refuse(sender, input, error)),
            frame => frame,
        }
    }

    #[inline]
    fn step<'i>(
        &mut self,
        sender: &mut Sender,
        input: &mut Input<'i>,
        check: TextCheck,
    ) -> Result<Option<Frame<'i>>, ProtocolError> {
        match self.state {
            ParseState::Header => {
                if !self.header(input)? {
                    return Ok(None);
                }
            }
            ParseState::Payload => {}
            ParseState::CloseReceived | ParseState::Failed { .. } | ParseState::Over => {
                input.discard();
                return Ok(None);
            }
        }
        match self.control_opcode {
            None => self.data(input, check),
            Some(opcode) => self.control(sender, input, opcode),
        }
    }

    #[inline]
    fn note_short(&mut self) {
        if SHORT_CUTS {
            self.short_below = self.short_bound();
        }
    }

    fn short_bound(&self) -> u16 {
        let may_begin =
            self.state == ParseState::Header && self.spilled == 0 && self.message.is_none();
        if may_begin { short_bound(self.max_frame, self.max_message) } else { 0 }
    }

    #[cold]
    fn refuse(
        &mut self,
        sender: &mut Sender,
        input: &mut Input<'_>,
        error: ProtocolError,
    ) -> ProtocolError {
        self.fail(sender, error);
        input.discard();
        error
    }

    /// Parses what most messages are: one frame that has arrived as a whole and is short enough to stay in the cache.
    /// The parser's state does not change. Everything else, and a header that breaks a rule, is left to the general
    /// path.
    #[inline(always)]
    pub(crate) fn whole<'i>(
        &self,
        input: &mut Input<'i>,
        check: TextCheck,
    ) -> Option<Result<Chunk<'i>, ProtocolError>> {
        if !SHORT_CUTS {
            return None;
        }
        let kind = match input.remaining().first() {
            Some(0x81) => MessageKind::Text,
            Some(0x82) => MessageKind::Binary,
            _ => return None,
        };
        self.whole_of::<false>(kind, input, check)
    }

    /// As [`whole`](Self::whole), for a compressed message. It is a separate function, because it would slow down the
    /// fast path of other messages.
    #[inline]
    fn whole_compressed<'i>(
        &self,
        input: &mut Input<'i>,
    ) -> Option<Result<Chunk<'i>, ProtocolError>> {
        if !SHORT_CUTS || !self.compression {
            return None;
        }
        let kind = match input.remaining().first() {
            Some(0xc1) => MessageKind::Text,
            Some(0xc2) => MessageKind::Binary,
            _ => return None,
        };
        self.whole_of::<true>(kind, input, TextCheck::Here)
    }

    #[inline(always)]
    fn whole_of<'i, const COMPRESSED: bool>(
        &self,
        kind: MessageKind,
        input: &mut Input<'i>,
        check: TextCheck,
    ) -> Option<Result<Chunk<'i>, ProtocolError>> {
        let (&[_, second], rest) = input.remaining().split_first_chunk()?;
        let masked = self.role == Role::Server;
        if masked != (second & 0x80 != 0) {
            return None;
        }
        let (len, rest) = match second & 0x7f {
            127 => return None,
            126 => {
                let (len, rest) = rest.split_first_chunk()?;
                let len = u16::from_be_bytes(*len);
                if len < 126 {
                    return None;
                }
                (usize::from(len), rest)
            }
            len => (usize::from(len), rest),
        };
        let (key, rest) = if masked { rest.split_first_chunk()? } else { (&[0; 4], rest) };
        debug_assert_eq!(self.short_below, self.short_bound());
        let bound = if COMPRESSED && self.short_below != 0 {
            // The size of a compressed message is counted while it is inflated.
            short_bound(self.max_frame, u64::MAX)
        } else {
            self.short_below
        };
        if len > rest.len() || len >= usize::from(bound) {
            return None;
        }
        let key = MaskingKey::new(*key);
        let header = input.remaining().len().wrapping_sub(rest.len());
        let bytes = input.take_after(header, len)?;
        if masked {
            mask(bytes, key);
        }
        if kind == MessageKind::Text && check == TextCheck::Here && !COMPRESSED {
            if let Err(error) = utf8::check(bytes) {
                return Some(Err(error));
            }
        }
        Some(Ok(Chunk { bytes, kind, start: true, end: true, compressed: COMPRESSED }))
    }

    /// Parses a header. Returns `false` if more bytes are needed and all were consumed.
    #[inline(never)]
    fn header(&mut self, input: &mut Input<'_>) -> Result<bool, ProtocolError> {
        loop {
            // The header may be complete in the input.
            let whole = SHORT_CUTS && self.spilled == 0;
            let spill = self.spill;
            let bytes = if whole {
                input.remaining()
            } else {
                spill.get(..usize::from(self.spilled)).unwrap_or_default()
            };
            if let Some(len) = self.parse(bytes)? {
                if whole {
                    input.take(len);
                }
                self.spilled = 0;
                return Ok(true);
            }
            // If it is not, it is parsed byte by byte.
            if !self.spill(input) {
                return Ok(false);
            }
        }
    }

    /// Stores one more byte of a header. Returns `false` if there is none.
    #[cold]
    fn spill(&mut self, input: &mut Input<'_>) -> bool {
        let [byte] = input.take(1) else { return false };
        let Some(slot) = self.spill.get_mut(usize::from(self.spilled)) else { return false };
        *slot = *byte;
        self.spilled = self.spilled.saturating_add(1);
        true
    }

    /// Checks the bytes of a header that have arrived, in their order, so that the error is the same whatever the
    /// chunking. A complete header starts its frame, and its length is returned.
    #[inline]
    fn parse(&mut self, bytes: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        let opcode = first_byte(first)?;
        let fin = first & 0x80 != 0;
        let rsv1 = first & 0x40 != 0;
        if first & 0x70 != 0 {
            let compressed = rsv1
                && self.compression
                && matches!(opcode, OpCode::Text | OpCode::Binary)
                && first & 0x30 == 0;
            if !compressed {
                return Err(ProtocolError::ReservedBits);
            }
        }
        match (opcode, self.message) {
            (OpCode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (OpCode::Text | OpCode::Binary, Some(_)) => {
                return Err(ProtocolError::InterleavedMessage);
            }
            _ => {}
        }
        let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
        let masked = second & 0x80 != 0;
        match self.role {
            // mutant: a server takes frames without mask
            Role::Server if !masked => return Err(ProtocolError::UnmaskedFrame),
            Role::Client if masked => return Err(ProtocolError::MaskedFrame),
            _ => {}
        }
        second_byte(opcode, second)?;
        let Some((len, rest)) = extended_length(second, rest)? else { return Ok(None) };
        let mut message_len = 0;
        if !opcode.is_control() {
            if len > self.max_frame {
                return Err(ProtocolError::FrameTooLarge);
            }
            let before = if opcode == OpCode::Continuation { self.message_len } else { 0 };
            // Both are below 2^63. The size of a compressed message is counted while it is inflated.
            message_len = before.saturating_add(len);
            let compressed = rsv1 || opcode == OpCode::Continuation && self.compressed;
            // mutant: the limit of a message counts one frame only
            if message_len > self.max_message && !compressed {
                return Err(ProtocolError::MessageTooLarge);
            }
        }
        let (key, rest) = if masked {
            let Some((key, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
            (*key, rest)
        } else {
            ([0; 4], rest)
        };

        self.masker = Masker::new(MaskingKey::new(key));
        self.left = len;
        self.state = ParseState::Payload;
        match opcode {
            OpCode::Continuation => {
                self.fin = fin;
                self.message_len = message_len;
                self.control_opcode = None;
            }
            OpCode::Text | OpCode::Binary => {
                self.fin = fin;
                self.message_len = message_len;
                self.control_opcode = None;
                self.compressed = rsv1;
                self.at_start = true;
                self.message = Some(if opcode == OpCode::Text {
                    MessageKind::Text
                } else {
                    MessageKind::Binary
                });
            }
            OpCode::Close | OpCode::Ping | OpCode::Pong => {
                self.control_opcode = Some(opcode);
                self.control_len = 0;
            }
        }
        Ok(Some(bytes.len().saturating_sub(rest.len())))
    }

    #[inline]
    fn data<'i>(
        &mut self,
        input: &mut Input<'i>,
        check: TextCheck,
    ) -> Result<Option<Frame<'i>>, ProtocolError> {
        let there = input.remaining().len();
        let len = usize::try_from(self.left).map_or(there, |left| left.min(there));
        if len == 0 && self.left != 0 {
            return Ok(None);
        }
        let bytes = input.take(len);
        self.left = self.left.saturating_sub(len as u64);
        let frame_ends = self.left == 0;
        let end = frame_ends && self.fin;
        let start = core::mem::take(&mut self.at_start);
        // A message is always open while a data frame is.
        let kind = self.message.unwrap_or(MessageKind::Binary);

        let text = kind == MessageKind::Text && !self.compressed;
        let here = text && (check == TextCheck::Here || !start || !end);
        if self.role == Role::Server || here {
            if SHORT_CUTS {
                for block in bytes.chunks_mut(HOT) {
                    self.payload(block, here)?;
                }
            } else {
                self.payload(bytes, here)?;
            }
            if here && end {
                self.utf8.finish()?;
            }
        }
        if frame_ends {
            self.state = ParseState::Header;
            if end {
                self.message = None;
            }
        }
        Ok(Some(Frame::Data(Chunk { bytes, kind, start, end, compressed: self.compressed })))
    }

    #[inline]
    fn payload(&mut self, bytes: &mut [u8], text: bool) -> Result<(), ProtocolError> {
        if self.role == Role::Server {
            self.masker.apply(bytes);
        }
        if text { self.utf8.push(bytes) } else { Ok(()) }
    }

    fn control<'i>(
        &mut self,
        sender: &mut Sender,
        input: &mut Input<'i>,
        opcode: OpCode,
    ) -> Result<Option<Frame<'i>>, ProtocolError> {
        let there = input.remaining().len();
        let len = usize::try_from(self.left).map_or(there, |left| left.min(there));
        let bytes = input.take(len);
        let from = usize::from(self.control_len);
        let Some(slot) = self.control.get_mut(from..from.saturating_add(len)) else {
            return Err(ProtocolError::ControlTooLong);
        };
        copy(bytes, slot);
        if self.role == Role::Server {
            self.masker.apply(slot);
        }
        self.control_len = self.control_len.saturating_add(len as u8);
        self.left = self.left.saturating_sub(len as u64);
        if self.left != 0 {
            return Ok(None);
        }
        self.state = ParseState::Header;
        match opcode {
            OpCode::Ping => {
                sender.pong_due(self.control_payload());
                Ok(Some(Frame::Ping))
            }
            OpCode::Close => {
                let frame = CloseFrame::decode(self.control_payload())?;
                sender.peer_closed(frame.code);
                self.state = ParseState::CloseReceived;
                input.discard();
                Ok(Some(Frame::Close))
            }
            _ => Ok(Some(Frame::Pong)),
        }
    }

    /// Fails the connection with `error`, which a layer above has found (RFC 6455 §7.1.7).
    ///
    /// The connection ends as it does after an error of its own, except that no [`Step::Failed`] follows, because the
    /// caller knows the error. The call has no effect if the connection has failed before.
    pub fn fail(&mut self, sender: &mut Sender, error: ProtocolError) {
        if self.set_failed() {
            sender.fail(error.close_code());
        }
    }

    fn set_failed(&mut self) -> bool {
        if matches!(self.state, ParseState::Failed { .. }) {
            return false;
        }
        let close_received = self.state == ParseState::CloseReceived;
        self.state = ParseState::Failed { close_received };
        self.note_short();
        true
    }

    /// Records that the peer has ended its side of the stream, or that the stream was lost. What was received before is
    /// still reported.
    pub fn receive_eof(&mut self) {
        self.stream_ended = true;
    }

    /// Returns the payload of the Ping, Pong or Close frame that was reported last. It is valid until the next call of
    /// [`next`](Self::next).
    #[inline]
    pub fn control_payload(&self) -> &[u8] {
        self.control.get(..usize::from(self.control_len)).unwrap_or_default()
    }

    /// Returns the Close frame of the peer, if it has arrived.
    pub fn close_frame(&self) -> Option<CloseFrame<'_>> {
        match self.state {
            ParseState::CloseReceived | ParseState::Failed { close_received: true } => {
                CloseFrame::decode(self.control_payload()).ok()
            }
            _ => None,
        }
    }

    /// Returns the number of bytes that are missing from the payload of the frame that is being received. An echo or a
    /// relay needs it to forward frames while they arrive.
    #[must_use]
    pub fn payload_left(&self) -> u64 {
        if self.state == ParseState::Payload { self.left } else { 0 }
    }
}

/// The value of [`Receiver::short_below`] while a message can begin. Payloads of up to [`HOT`] bytes stay in the cache.
const fn short_bound(max_frame: u64, max_message: u64) -> u16 {
    if !SHORT_CUTS {
        return 0;
    }
    let most = if max_frame < max_message { max_frame } else { max_message };
    let most = if most < HOT as u64 { most } else { HOT as u64 };
    (most as u16).saturating_add(1)
}

/// Shows the state, but neither payloads nor masking keys.
impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("role", &self.role)
            .field("state", &self.state)
            .field("left", &self.left)
            .field("message", &self.message)
            .field("message_len", &self.message_len)
            .field("stream_ended", &self.stream_ended)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod both_ways_agree;

#[cfg(test)]
#[cfg(target_pointer_width = "64")]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// A frame to this role, whose payload and key are zeros.
    fn frame(to: Role, first: u8, len: u16) -> Vec<u8> {
        let (mask, key) = if to == Role::Server { (0x80, 4) } else { (0, 0) };
        let mut frame = Vec::from([first]);
        match len {
            0..126 => frame.push(mask | len as u8),
            _ => {
                frame.push(mask | 126);
                frame.extend(len.to_be_bytes());
            }
        }
        frame.resize(frame.len() + key + usize::from(len), 0);
        frame
    }

    /// How long the message in a frame is that takes the fast path.
    fn short(receiver: &Receiver, first: u8, len: u16) -> Option<usize> {
        let mut frame = frame(receiver.role, first, len);
        let mut input = Input::new(&mut frame);
        let chunk = match first & 0x40 {
            0 => receiver.whole(&mut input, TextCheck::Here),
            _ => receiver.whole_compressed(&mut input),
        };
        chunk.map(|chunk| chunk.unwrap().bytes.len())
    }

    // The general path gives the same messages, so nothing else shows which way they come.
    #[test]
    fn whole_messages_of_up_to_16_kib_take_the_fast_path() {
        for role in [Role::Client, Role::Server] {
            let receiver = Receiver::new(role, Config::new(), true);
            for first in [0x81, 0x82, 0xc1, 0xc2] {
                for len in [0, 1, 125, 126, 16_384] {
                    assert_eq!(
                        short(&receiver, first, len),
                        Some(len.into()),
                        "{role:?} {first:02x} {len}"
                    );
                }
                assert_eq!(short(&receiver, first, 16_385), None, "{role:?} {first:02x}");
                let limited = Receiver::new(role, Config::new().max_frame(10), true);
                assert_eq!(short(&limited, first, 10), Some(10), "{first:02x}");
                assert_eq!(short(&limited, first, 11), None, "{first:02x}");
                let limited = Receiver::new(role, Config::new().max_message(10), true);
                assert_eq!(short(&limited, first, 10), Some(10), "{first:02x}");
                // The limit is that of the plaintext.
                let compressed = first & 0x40 != 0;
                assert_eq!(short(&limited, first, 11), compressed.then_some(11), "{first:02x}");
            }
            for other in [0x01, 0x80, 0x89, 0xc0, 0xc9] {
                assert_eq!(short(&receiver, other, 1), None, "{other:02x}");
            }
            let plain = Receiver::new(role, Config::new(), false);
            assert_eq!(short(&plain, 0xc1, 1), None);
        }
    }
}
