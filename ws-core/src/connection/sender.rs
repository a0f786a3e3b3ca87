use core::ops::Range;

use super::data_frame::DataFrame;
use super::ending::{Close, End};
use super::receiver::{Reply, ReplyKind};
use super::timers::Timers;
use crate::frame::{
    FrameHead, FrameHeader, MAX_CONTROL_PAYLOAD, MAX_REASON_LEN, Masker, OpCode, copy, mask,
    mask_into,
};
use crate::{CloseCode, Config, MaskingKey, MessageKind, Role, SendError};

/// The sending half of a [`Connection`](crate::Connection): it builds frames and keeps the rules
/// about what may be sent when.
#[derive(Debug)]
pub struct Sender {
    pub(super) role: Role,
    compression: bool,
    max_outgoing_frame: u64,
    /// The message of which more fragments are to come.
    message: Option<MessageKind>,
    /// The frame whose payload is not complete.
    masker: Masker,
    payload_left: u64,
    pong: [u8; MAX_CONTROL_PAYLOAD],
    pong_len: Option<u8>,
    pub(super) ping_due: bool,
    pub(super) close: Close,
    /// The peer's Close frame has come.
    pub(super) peer_closed: bool,
    /// The peer has broken the protocol, or is lost.
    pub(super) failed: bool,
    pub(super) closed_first: bool,
    pub(super) end: End,
    pub(super) timers: Timers,
}

impl Sender {
    pub(crate) const fn new(role: Role, config: Config) -> Self {
        Self {
            role,
            compression: config.compression,
            max_outgoing_frame: config.max_outgoing_frame,
            message: None,
            masker: Masker::new(MaskingKey::new([0; 4])),
            payload_left: 0,
            pong: [0; MAX_CONTROL_PAYLOAD],
            pong_len: None,
            ping_due: false,
            close: Close::No,
            peer_closed: false,
            failed: false,
            closed_first: false,
            end: End::No,
            timers: Timers::new(&config),
        }
    }

    /// The head of a data frame with a payload of `len` bytes.
    ///
    /// The payload is then due: it passes through [`mask_payload`](Self::mask_payload) on a client
    /// and is accounted for by that or by [`payload_written`](Self::payload_written) on a server. Until
    /// then nothing else may be sent. A client takes a fresh `key` for each frame, a server none.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], [`SendError::MessageOpen`], [`SendError::PayloadPending`],
    /// [`SendError::FrameTooLong`], [`SendError::MaskingKeyMissing`],
    /// [`SendError::MaskingKeyUnexpected`] or [`SendError::CompressionNotNegotiated`].
    #[inline]
    pub fn head(
        &mut self,
        frame: DataFrame,
        len: u64,
        key: Option<MaskingKey>,
    ) -> Result<FrameHead, SendError> {
        self.check(frame, len, key)?;
        Ok(self.start(frame, len, key))
    }

    #[inline]
    fn check(&self, frame: DataFrame, len: u64, key: Option<MaskingKey>) -> Result<(), SendError> {
        self.check_key(key)?;
        if self.close != Close::No || self.peer_closed || self.end != End::No {
            return Err(SendError::Closing);
        }
        if self.payload_left != 0 {
            return Err(SendError::PayloadPending);
        }
        if self.message.is_some_and(|kind| kind != frame.kind) {
            return Err(SendError::MessageOpen);
        }
        if frame.compressed && (!self.compression || self.message.is_some()) {
            return Err(SendError::CompressionNotNegotiated);
        }
        if len > self.max_outgoing_frame {
            return Err(SendError::FrameTooLong);
        }
        Ok(())
    }

    #[inline]
    fn check_key(&self, key: Option<MaskingKey>) -> Result<(), SendError> {
        match (self.role, key) {
            (Role::Client, None) => Err(SendError::MaskingKeyMissing),
            (Role::Server, Some(_)) => Err(SendError::MaskingKeyUnexpected),
            _ => Ok(()),
        }
    }

    /// The head of a frame that was checked; its payload is due.
    #[inline]
    fn start(&mut self, frame: DataFrame, len: u64, key: Option<MaskingKey>) -> FrameHead {
        let opcode = match (self.message, frame.kind) {
            (Some(_), _) => OpCode::Continuation,
            (None, MessageKind::Text) => OpCode::Text,
            (None, MessageKind::Binary) => OpCode::Binary,
        };
        self.message = if frame.fin { None } else { Some(frame.kind) };
        self.payload_left = len;
        self.masker = Masker::new(key.unwrap_or(MaskingKey::new([0; 4])));
        self.timers.sent_data();
        FrameHeader {
            fin: frame.fin,
            rsv1: frame.compressed,
            rsv2: false,
            rsv3: false,
            opcode,
            mask: key,
            len,
        }
        .encode()
    }

    /// Masks the next bytes of the frame's payload in place, which then are to be written.
    ///
    /// On a server it leaves them as they are.
    ///
    /// # Errors
    ///
    /// [`SendError::PayloadTooLong`]: more than [`head`](Self::head) was told.
    #[inline]
    pub fn mask_payload(&mut self, payload: &mut [u8]) -> Result<(), SendError> {
        self.account(payload.len() as u64)?;
        if self.role == Role::Client {
            self.masker.apply(payload);
        }
        Ok(())
    }

    /// Tells that `len` more bytes of the frame's payload are written, or certain to be.
    ///
    /// # Errors
    ///
    /// [`SendError::PayloadTooLong`], or [`SendError::PayloadUnmasked`] on a client, whose payload has
    /// to pass through [`mask_payload`](Self::mask_payload).
    #[inline]
    pub fn payload_written(&mut self, len: u64) -> Result<(), SendError> {
        if self.role == Role::Client {
            return Err(SendError::PayloadUnmasked);
        }
        self.account(len)
    }

    #[inline]
    fn account(&mut self, len: u64) -> Result<(), SendError> {
        self.payload_left = self.payload_left.checked_sub(len).ok_or(SendError::PayloadTooLong)?;
        if len > 0 {
            self.timers.sent_payload(self.ping_due);
        }
        Ok(())
    }

    /// Encodes a whole data frame into `out`, copying and masking in one pass; returns its length.
    ///
    /// # Errors
    ///
    /// As [`head`](Self::head), and [`SendError::BufferTooSmall`]: the payload and a header of 2 to
    /// 14 bytes have to fit.
    #[inline]
    pub fn encode(
        &mut self,
        frame: DataFrame,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        self.check(frame, payload.len() as u64, key)?;
        let needed = header_len(payload.len(), key).saturating_add(payload.len());
        if out.len() < needed {
            return Err(SendError::BufferTooSmall { needed });
        }
        let head = self.start(frame, payload.len() as u64, key);
        self.payload_left = 0;
        Ok(put(&head, payload, key, out))
    }

    /// Makes a frame of the payload where it lies in `buffer`: it is masked in place and the header is
    /// put right before it. Returns where the frame lies.
    ///
    /// # Errors
    ///
    /// As [`head`](Self::head); [`SendError::NoHeadroom`] when fewer bytes precede the payload than the
    /// header takes (14 always suffice); [`SendError::BufferTooSmall`] when the range does not lie in the
    /// buffer.
    #[inline]
    pub fn encode_in_place(
        &mut self,
        frame: DataFrame,
        buffer: &mut [u8],
        payload: Range<usize>,
        key: Option<MaskingKey>,
    ) -> Result<Range<usize>, SendError> {
        let Some(len) = payload.end.checked_sub(payload.start) else {
            return Err(SendError::BufferTooSmall { needed: payload.start });
        };
        self.check(frame, len as u64, key)?;
        let needed = header_len(len, key);
        let start = payload.start.checked_sub(needed).ok_or(SendError::NoHeadroom { needed })?;
        let end = payload.start.saturating_add(len);
        let Some((head, payload)) =
            buffer.get_mut(start..end).and_then(|frame| frame.split_at_mut_checked(needed))
        else {
            return Err(SendError::BufferTooSmall { needed: end });
        };
        copy(&self.start(frame, len as u64, key), head);
        self.payload_left = 0;
        if let Some(key) = key {
            mask(payload, key);
        }
        Ok(start..end)
    }

    /// Appends a whole data frame to `out`, copying and masking in one pass.
    ///
    /// # Errors
    ///
    /// As [`head`](Self::head).
    #[cfg(feature = "alloc")]
    #[inline]
    pub fn encode_vec(
        &mut self,
        frame: DataFrame,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut alloc::vec::Vec<u8>,
    ) -> Result<(), SendError> {
        let head = self.head(frame, payload.len() as u64, key)?;
        self.payload_left = 0;
        out.reserve(head.len().saturating_add(payload.len()));
        out.extend_from_slice(&head);
        let from = out.len();
        out.extend_from_slice(payload);
        if let (Some(key), Some(payload)) = (key, out.get_mut(from..)) {
            mask(payload, key);
        }
        Ok(())
    }

    /// Encodes a Ping into `out`; returns its length, at most 131 bytes.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], [`SendError::PayloadPending`], [`SendError::ControlTooLong`],
    /// [`SendError::BufferTooSmall`], or an error about the key as in [`head`](Self::head).
    pub fn ping(
        &mut self,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        self.user_control(OpCode::Ping, payload, key, out)
    }

    /// Encodes an unsolicited Pong into `out`; returns its length (RFC 6455 §5.5.3).
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    pub fn pong(
        &mut self,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        self.user_control(OpCode::Pong, payload, key, out)
    }

    fn user_control(
        &mut self,
        opcode: OpCode,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        if self.close != Close::No || self.peer_closed || self.end != End::No {
            return Err(SendError::Closing);
        }
        self.control(opcode, payload, key, out)
    }

    /// Encodes a Close frame into `out`, at most 131 bytes; returns its length.
    ///
    /// It goes out after all that was encoded before, and nothing goes out after it; a pong that is
    /// still pending is dropped. The peer's messages are received until its Close frame comes.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`] when a Close frame was sent or is due, [`SendError::PayloadPending`],
    /// [`SendError::InvalidCloseCode`], [`SendError::ReasonTooLong`],
    /// [`SendError::ReasonWithoutCode`], [`SendError::BufferTooSmall`], or an error about the key.
    pub fn close(
        &mut self,
        code: impl Into<Option<CloseCode>>,
        reason: &str,
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        let code = code.into();
        self.check_close(code, reason)?;
        let mut body = [0; MAX_CONTROL_PAYLOAD];
        let mut len = 0;
        if let Some(code) = code {
            for (slot, byte) in
                body.iter_mut().zip(code.get().to_be_bytes().iter().chain(reason.as_bytes()))
            {
                *slot = *byte;
            }
            len = reason.len().saturating_add(2);
        }
        let written = self.control(OpCode::Close, body.get(..len).unwrap_or_default(), key, out)?;
        self.close_frame_sent();
        Ok(written)
    }

    fn check_close(&self, code: Option<CloseCode>, reason: &str) -> Result<(), SendError> {
        if self.close != Close::No || self.peer_closed || self.end != End::No {
            return Err(SendError::Closing);
        }
        match code {
            None if !reason.is_empty() => Err(SendError::ReasonWithoutCode),
            Some(code) if !code.may_be_sent(self.role) => {
                Err(SendError::InvalidCloseCode(code.get()))
            }
            _ if reason.len() > MAX_REASON_LEN => Err(SendError::ReasonTooLong),
            _ => Ok(()),
        }
    }

    fn close_frame_sent(&mut self) {
        self.close = Close::Sent;
        self.closed_first = !self.peer_closed;
        self.pong_len = None;
        self.ping_due = false;
        self.timers.closing();
    }

    /// Encodes a control frame, between data frames.
    fn control(
        &self,
        opcode: OpCode,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        self.check_key(key)?;
        if self.payload_left != 0 {
            return Err(SendError::PayloadPending);
        }
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(SendError::ControlTooLong);
        }
        let needed = header_len(payload.len(), key).saturating_add(payload.len());
        if out.len() < needed {
            return Err(SendError::BufferTooSmall { needed });
        }
        let mut header = FrameHeader::new(opcode, payload.len() as u64);
        header.mask = key;
        Ok(put(&header.encode(), payload, key, out))
    }

    /// Takes over what the receiving half owes the peer.
    pub fn reply(&mut self, reply: Reply) {
        match reply.0 {
            ReplyKind::Pong { payload, len } => {
                if self.close != Close::Sent {
                    self.pong = payload;
                    self.pong_len = Some(len);
                }
            }
            ReplyKind::Close(code) => {
                self.peer_closed = true;
                self.close_due(code);
            }
            ReplyKind::Fail(code) => {
                self.failed = true;
                self.close_due(code);
            }
        }
    }

    pub(super) fn close_due(&mut self, code: CloseCode) {
        if self.close == Close::No && self.end == End::No {
            self.close = Close::Due(code);
            self.ping_due = false;
        }
        self.timers.closing();
    }

    /// As [`Connection::wants_transmit`](crate::Connection::wants_transmit).
    #[inline]
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        self.payload_left == 0
            && self.end != End::GivenUp
            && (self.pong_len.is_some() || self.ping_due || matches!(self.close, Close::Due(_)))
    }

    /// As [`Connection::poll_transmit`](crate::Connection::poll_transmit).
    ///
    /// # Errors
    ///
    /// [`SendError::BufferTooSmall`] or an error about the key; the frame stays pending.
    #[must_use = "the bytes have to be written to the stream"]
    pub fn poll_transmit(
        &mut self,
        out: &mut [u8],
        key: Option<MaskingKey>,
    ) -> Result<usize, SendError> {
        if !self.wants_transmit() {
            return Ok(0);
        }
        let code;
        let (opcode, payload): (_, &[u8]) = if let Some(len) = self.pong_len {
            (OpCode::Pong, self.pong.get(..usize::from(len)).unwrap_or_default())
        } else if self.ping_due {
            (OpCode::Ping, &[])
        } else {
            match self.close {
                Close::Due(CloseCode::NO_STATUS) => (OpCode::Close, &[]),
                Close::Due(due) => {
                    code = due.get().to_be_bytes();
                    (OpCode::Close, &code)
                }
                Close::No | Close::Sent => return Ok(0),
            }
        };
        let written = self.control(opcode, payload, key, out)?;
        match opcode {
            OpCode::Pong => self.pong_len = None,
            OpCode::Ping => {
                self.ping_due = false;
                self.timers.sent_ping();
            }
            _ => self.close_frame_sent(),
        }
        Ok(written)
    }

    pub(crate) fn close_sent(&self) -> bool {
        self.close == Close::Sent
    }

    /// Whether a message is open of which more fragments are to come.
    #[cfg(feature = "endpoint")]
    pub(crate) fn message_open(&self) -> bool {
        self.message.is_some()
    }

    /// As [`Connection::max_outgoing_frame`](crate::Connection::max_outgoing_frame).
    #[must_use]
    pub fn max_outgoing_frame(&self) -> u64 {
        self.max_outgoing_frame
    }
}

/// The length of the header of a frame with `len` bytes of payload.
#[inline]
const fn header_len(len: usize, key: Option<MaskingKey>) -> usize {
    let base: usize = match len {
        0..126 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    if key.is_some() { base.saturating_add(4) } else { base }
}

/// Writes a frame into an output that has room for it.
#[inline]
fn put(head: &FrameHead, payload: &[u8], key: Option<MaskingKey>, out: &mut [u8]) -> usize {
    let Some((target, rest)) = out.split_at_mut_checked(head.len()) else { return 0 };
    copy(head, target);
    let written = match key {
        Some(key) => mask_into(payload, rest, key),
        None => copy(payload, rest),
    };
    head.len().saturating_add(written)
}
