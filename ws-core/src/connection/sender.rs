//! The sending half, which builds frames and enforces what may be sent when.
//!
//! It also owns the state that both halves update: the state of the connection ([`Ending`]) and its time-outs
//! ([`Timers`]). A Pong or Close frame that the receiving half owes the peer is kept here until [`Sender::transmit`]
//! encodes it between two data frames.

use core::fmt;
use core::ops::Range;

use super::data_frame::DataFrame;
use super::ending::{CloseFrameState, Ending, StreamState};
#[cfg(feature = "endpoint")]
use super::timers::Stage;
use super::timers::{Due, Timers};
use crate::frame::{
    FrameHead, FrameHeader, MAX_CONTROL_PAYLOAD, MAX_REASON_LEN, Masker, OpCode, copy, mask,
    mask_into, short_header, short_masked_header,
};
use crate::{CloseCode, Config, Instant, MaskingKey, MessageKind, Role, SHORT_CUTS, SendError};

/// The sending half of a [`Connection`](crate::Connection), which builds frames and enforces what may be sent when.
///
/// It encodes frames into the caller's buffers. The caller has to write them to the stream in the order in which they
/// were encoded.
///
/// ```
/// use ws_core::{CloseCode, Config, Connection, DataFrame, MaskingKey};
///
/// let mut client = Connection::client(Config::new());
/// let random = || Some(MaskingKey::new([0x37, 0xfa, 0x21, 0x3d])); // yours: unpredictable bytes
/// let mut out = [0; 64];
/// let mut len = client.sender.encode(DataFrame::TEXT, b"Hello", random(), &mut out)?;
/// assert_eq!(out[..len], *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"); // RFC 6455 §5.7
/// len += client.sender.start_close(CloseCode::NORMAL, "bye", random(), &mut out[len..])?;
/// assert!(len == 22 && !client.sender.is_open());
/// # Ok::<(), ws_core::SendError>(())
/// ```
pub struct Sender {
    pub(crate) ending: Ending,
    pub(crate) timers: Timers,
    compression: bool,
    max_outgoing_frame: u64,
    /// The kind of the message that is being sent in fragments.
    message: Option<MessageKind>,
    /// The masking state of the frame whose payload is being sent.
    masker: Masker,
    payload_left: u64,
    /// A message takes the fast path if its payload has fewer bytes than this. It is 0 if no message can begin.
    /// [`set_payload_left`](Self::set_payload_left) computes it after each change of the fields that it depends on,
    /// because it is needed for each message.
    short_below: u16,
    pong: [u8; MAX_CONTROL_PAYLOAD],
    pong_len: Option<u8>,
    ping_due: bool,
}

/// What the caller of [`Sender::look`] knows about received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// All received bytes have been parsed.
    Parsed,
    /// Some received bytes have not been parsed.
    #[cfg(feature = "endpoint")]
    Unparsed,
    /// The caller only writes, and does not know what has arrived.
    #[cfg(feature = "endpoint")]
    Writer,
}

impl Sender {
    pub(crate) const fn new(role: Role, config: Config, compression: bool) -> Self {
        Self {
            ending: Ending::new(role),
            timers: Timers::new(&config),
            compression,
            max_outgoing_frame: config.max_outgoing_frame,
            message: None,
            masker: Masker::new(MaskingKey::new([0; 4])),
            payload_left: 0,
            short_below: short_bound(config.max_outgoing_frame),
            pong: [0; MAX_CONTROL_PAYLOAD],
            pong_len: None,
            ping_due: false,
        }
    }

    /// A compression that uses RSV1 was negotiated.
    #[cfg(all(feature = "endpoint", feature = "zlib-rs"))]
    pub(crate) const fn set_compression(&mut self) {
        self.compression = true;
    }

    /// Returns the encoded header of a data frame with a payload of `len` bytes.
    ///
    /// The payload has to follow, and nothing else can be sent before it is complete. A client masks the payload with
    /// [`mask_payload`](Self::mask_payload). A server passes it to the same method, or reports its length with
    /// [`payload_written`](Self::payload_written). A client passes a fresh `key` for each frame, and a server passes
    /// `None`.
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
        Ok(self.start(frame, len, key).encode())
    }

    #[inline]
    fn check(&self, frame: DataFrame, len: u64, key: Option<MaskingKey>) -> Result<(), SendError> {
        self.check_key(key)?;
        self.check_open()?;
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

    /// Returns an error if data frames and Pings must not be sent in this state.
    #[inline]
    pub(crate) fn check_open(&self) -> Result<(), SendError> {
        if self.ending.is_open() { Ok(()) } else { Err(self.why_not_open()) }
    }

    #[cold]
    fn why_not_open(&self) -> SendError {
        #[cfg(feature = "endpoint")]
        if matches!(self.ending.stage(), Stage::Opening | Stage::Answering) {
            return SendError::NotOpen;
        }
        SendError::Closing
    }

    #[inline]
    fn check_key(&self, key: Option<MaskingKey>) -> Result<(), SendError> {
        match (self.ending.role(), key) {
            (Role::Client, None) => Err(SendError::MaskingKeyMissing),
            (Role::Server, Some(_)) => Err(SendError::MaskingKeyUnexpected),
            _ => Ok(()),
        }
    }

    /// Starts a frame that has been checked and returns its header. The payload has to follow.
    #[inline]
    fn start(&mut self, frame: DataFrame, len: u64, key: Option<MaskingKey>) -> FrameHeader {
        let opcode = match (self.message, frame.kind) {
            (Some(_), _) => OpCode::Continuation,
            (None, MessageKind::Text) => OpCode::Text,
            (None, MessageKind::Binary) => OpCode::Binary,
        };
        self.message = if frame.fin { None } else { Some(frame.kind) };
        self.set_payload_left(len);
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
    }

    /// Masks the next bytes of the frame's payload in place. The caller then has to write them to the stream.
    ///
    /// On a server the bytes stay unchanged.
    ///
    /// # Errors
    ///
    /// [`SendError::PayloadTooLong`] if the payload is longer than the length that [`head`](Self::head) was called
    /// with.
    #[inline]
    pub fn mask_payload(&mut self, payload: &mut [u8]) -> Result<(), SendError> {
        self.account(payload.len() as u64)?;
        if self.ending.role() == Role::Client {
            self.masker.apply(payload);
        }
        Ok(())
    }

    /// Records that `len` more bytes of the frame's payload have been written, or are certain to be.
    ///
    /// # Errors
    ///
    /// [`SendError::PayloadTooLong`], or [`SendError::PayloadUnmasked`] on a client, which has to pass its payload to
    /// [`mask_payload`](Self::mask_payload).
    #[inline]
    pub fn payload_written(&mut self, len: u64) -> Result<(), SendError> {
        if self.ending.role() == Role::Client {
            return Err(SendError::PayloadUnmasked);
        }
        self.account(len)
    }

    #[inline]
    fn set_payload_left(&mut self, left: u64) {
        self.payload_left = left;
        if SHORT_CUTS {
            self.short_below = self.short_bound();
        }
    }

    const fn short_bound(&self) -> u16 {
        let may_begin = self.payload_left == 0 && self.message.is_none();
        if may_begin { short_bound(self.max_outgoing_frame) } else { 0 }
    }

    #[inline]
    fn account(&mut self, len: u64) -> Result<(), SendError> {
        let left = self.payload_left.checked_sub(len).ok_or(SendError::PayloadTooLong)?;
        self.set_payload_left(left);
        if len > 0 {
            self.timers.sent_payload(self.ping_due);
        }
        Ok(())
    }

    /// Encodes a whole data frame into `out` and returns its length. It copies and masks the payload in one pass.
    ///
    /// # Errors
    ///
    /// The errors of [`head`](Self::head), and [`SendError::BufferTooSmall`] if the payload and its header, which has 2
    /// to 14 bytes, do not fit into `out`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline)]
    pub fn encode(
        &mut self,
        frame: DataFrame,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        // Most frames are short, so that case is tried first.
        let checked = SHORT_CUTS
            && self.ending.is_open()
            && (self.ending.role() == Role::Client) == key.is_some();
        match if checked { self.put_short(frame, payload, key, out) } else { None } {
            Some(len) => Ok(len),
            None => self.encode_any(frame, payload, key, out),
        }
    }

    #[cfg_attr(target_pointer_width = "64", inline(never))]
    #[cfg_attr(not(target_pointer_width = "64"), inline)]
    fn encode_any(
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
        Ok(self.put_any(frame, payload, key, out))
    }

    /// Whether an uncompressed message of `len` bytes takes the fast path.
    #[inline]
    pub(crate) const fn is_short(&self, len: usize) -> bool {
        debug_assert!(!SHORT_CUTS || self.short_below == self.short_bound());
        SHORT_CUTS && len < self.short_below as usize
    }

    /// Encodes a whole uncompressed message whose payload has fewer than 65,535 bytes. The caller has checked the state
    /// and the key. Returns `None` for any other frame, or if `out` is too small.
    #[inline(always)]
    fn put_short(
        &mut self,
        frame: DataFrame,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> Option<usize> {
        let len = payload.len();
        if !self.is_short(len) || !frame.fin || frame.compressed {
            return None;
        }
        let first = match frame.kind {
            MessageKind::Text => 0x81,
            MessageKind::Binary => 0x82,
        };
        // `short_below` is at most 65,535, so the length fits.
        let word_len = len as u16;
        // Two separate branches save asking three times whether there is a key.
        let len = match key {
            None => {
                let (word, header) = short_header(first, word_len);
                let (out, to) = place(word, header, len, out)?;
                copy(payload, to);
                out
            }
            Some(key) => {
                let (word, header) = short_masked_header(first, word_len, key);
                let (out, to) = place(word, header, len, out)?;
                mask_into(payload, to, key);
                out
            }
        };
        self.timers.sent_data();
        Some(len)
    }

    /// Encodes a whole data frame in place: it masks the payload in `buffer` and puts the header right before it.
    /// Returns the range of the frame.
    ///
    /// # Errors
    ///
    /// The errors of [`head`](Self::head), and:
    ///
    /// - [`SendError::NoHeadroom`] if fewer bytes precede the payload than the header needs; 14 bytes always suffice;
    /// - [`SendError::BufferTooSmall`] if the range does not lie in the buffer.
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
        copy(&self.start(frame, len as u64, key).encode(), head);
        self.set_payload_left(0);
        if let Some(key) = key {
            mask(payload, key);
        }
        Ok(start..end)
    }

    /// Encodes a whole data frame and appends it to `out`.
    ///
    /// # Errors
    ///
    /// The errors of [`head`](Self::head).
    #[cfg(feature = "alloc")]
    #[inline]
    pub fn encode_vec(
        &mut self,
        frame: DataFrame,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut alloc::vec::Vec<u8>,
    ) -> Result<(), SendError> {
        self.check(frame, payload.len() as u64, key)?;
        let from = out.len();
        let needed = header_len(payload.len(), key).saturating_add(payload.len());
        out.resize(from.saturating_add(needed), 0);
        let len = self.put(frame, payload, key, out.get_mut(from..).unwrap_or_default());
        out.truncate(from.saturating_add(len));
        Ok(())
    }

    /// Encodes a whole data frame that has been checked into an output that has room for it. Returns its length.
    #[cfg(feature = "alloc")]
    #[inline]
    pub(crate) fn put(
        &mut self,
        frame: DataFrame,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> usize {
        match self.put_short(frame, payload, key, out) {
            Some(len) => len,
            None => self.put_any(frame, payload, key, out),
        }
    }

    #[cfg_attr(target_pointer_width = "64", inline(never))]
    #[cfg_attr(not(target_pointer_width = "64"), inline)]
    fn put_any(
        &mut self,
        frame: DataFrame,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> usize {
        let header = self.start(frame, payload.len() as u64, key);
        self.set_payload_left(0);
        put(&header, payload, out)
    }

    /// Encodes a Ping into `out` and returns its length, which is at most 131 bytes (RFC 6455 §5.5.2).
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], [`SendError::PayloadPending`], [`SendError::ControlTooLong`],
    /// [`SendError::BufferTooSmall`], or an error about the key as for [`head`](Self::head).
    pub fn ping(
        &mut self,
        payload: &[u8],
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        self.user_control(OpCode::Ping, payload, key, out)
    }

    /// Encodes an unsolicited Pong into `out` and returns its length, which is at most 131 bytes (RFC 6455 §5.5.3).
    ///
    /// # Errors
    ///
    /// The errors of [`ping`](Self::ping).
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
        self.check_open()?;
        self.control(opcode, payload, key, out)
    }

    /// Encodes a Close frame into `out` and returns its length, which is at most 131 bytes (RFC 6455 §5.5.1). If `code`
    /// is `None` or [`CloseCode::NO_STATUS`], the body of the frame is empty, and the reason has to be empty too.
    ///
    /// The Close frame follows everything that was encoded before it, and nothing can be sent after it. A Pong that was
    /// still owed is dropped. Messages of the peer are received until its Close frame arrives.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`] if a Close frame was sent or is due, [`SendError::PayloadPending`],
    /// [`SendError::InvalidCloseCode`], [`SendError::ReasonTooLong`], [`SendError::ReasonWithoutCode`],
    /// [`SendError::BufferTooSmall`], or an error about the key.
    pub fn start_close(
        &mut self,
        code: impl Into<CloseCode>,
        reason: &str,
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        let code = code.into();
        self.check_close(code, reason)?;
        self.encode_close(code, reason, key, out)
    }

    /// Encodes a Close frame whose code and reason have been checked.
    pub(crate) fn encode_close(
        &mut self,
        code: CloseCode,
        reason: &str,
        key: Option<MaskingKey>,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        let mut body = [0; MAX_CONTROL_PAYLOAD];
        let mut len = 0;
        if code != CloseCode::NO_STATUS {
            for (slot, byte) in
                body.iter_mut().zip(code.get().to_be_bytes().iter().chain(reason.as_bytes()))
            {
                *slot = *byte;
            }
            len = reason.len().saturating_add(2);
        }
        let written = self.control(OpCode::Close, body.get(..len).unwrap_or_default(), key, out)?;
        self.close_frame_sent(code);
        Ok(written)
    }

    pub(crate) fn check_close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.check_open()?;
        match code {
            CloseCode::NO_STATUS if reason.is_empty() => Ok(()),
            CloseCode::NO_STATUS => Err(SendError::ReasonWithoutCode),
            _ if !code.may_be_sent(self.ending.role()) => {
                Err(SendError::InvalidCloseCode(code.get()))
            }
            _ if reason.len() > MAX_REASON_LEN => Err(SendError::ReasonTooLong),
            _ => Ok(()),
        }
    }

    fn close_frame_sent(&mut self, code: CloseCode) {
        self.ending.close_sent(code);
        self.pong_len = None;
        self.ping_due = false;
        self.timers.begin_closing();
    }

    /// Encodes a control frame, unless the payload of a data frame is incomplete.
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
        Ok(put(&header, payload, out))
    }

    /// Encodes the next control frame that is owed to the peer: a Pong, a keepalive Ping or a Close frame. Returns its
    /// length, or 0 if none is owed or the payload of a data frame is incomplete.
    ///
    /// Call it for [`Step::Transmit`](super::Step::Transmit). A client passes a fresh key each time. An output of 131
    /// bytes always suffices.
    ///
    /// # Errors
    ///
    /// [`SendError::BufferTooSmall`], [`SendError::MaskingKeyMissing`] or [`SendError::MaskingKeyUnexpected`]. The
    /// frame is still owed after an error.
    #[must_use = "the bytes have to be written to the stream"]
    pub fn transmit(
        &mut self,
        out: &mut [u8],
        key: Option<MaskingKey>,
    ) -> Result<usize, SendError> {
        if !self.wants_transmit() {
            return Ok(0);
        }
        let mut code = CloseCode::NO_STATUS;
        let body;
        let (opcode, payload): (_, &[u8]) = if let Some(len) = self.pong_len {
            (OpCode::Pong, self.pong.get(..usize::from(len)).unwrap_or_default())
        } else if self.ping_due {
            (OpCode::Ping, &[])
        } else {
            match self.ending.close() {
                CloseFrameState::Due(CloseCode::NO_STATUS) => (OpCode::Close, &[]),
                CloseFrameState::Due(due) => {
                    code = due;
                    body = due.get().to_be_bytes();
                    (OpCode::Close, &body)
                }
                _ => return Ok(0),
            }
        };
        let written = self.control(opcode, payload, key, out)?;
        match opcode {
            OpCode::Pong => self.pong_len = None,
            OpCode::Ping => {
                self.ping_due = false;
                self.timers.sent_ping();
            }
            _ => self.close_frame_sent(code),
        }
        Ok(written)
    }

    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(crate) fn wants_transmit(&self) -> bool {
        self.payload_left == 0
            && !self.ending.drops_output()
            && (self.pong_len.is_some()
                || self.ping_due
                || matches!(self.ending.close(), CloseFrameState::Due(_)))
    }

    /// Records that the driver has shut down the write side of the stream, or has tried to.
    pub fn shut_down(&mut self) {
        self.ending.shut_down();
    }

    /// Records that the stream has failed, by a reset or otherwise, so that nothing more can be written.
    ///
    /// What was received before the failure is still reported. Then [`Step::Done`](super::Step::Done) follows.
    pub fn receive_reset(&mut self) {
        self.ending.end(StreamState::Reset);
    }

    /// Returns whether data frames can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ending.is_open()
    }

    /// Returns whether the connection was closed cleanly (RFC 6455 §7.1.4): Close frames went both ways without an
    /// error, and ours was written before the stream failed.
    ///
    /// Our Close frame counts as written after the driver was asked to [wait](super::Step::Wait) or to
    /// [shut down](super::Step::Shutdown) and has then called [`Connection::next`](crate::Connection::next) again
    /// until nothing was left to parse.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.ending.is_clean()
    }

    /// Returns whether this side sent its Close frame before the peer's arrived.
    #[must_use]
    pub fn closed_first(&self) -> bool {
        self.ending.closed_first()
    }

    /// The peer's Ping has arrived. A Pong answers the latest one (RFC 6455 §5.5.3).
    pub(crate) fn pong_due(&mut self, payload: &[u8]) {
        if self.ending.sent_close().is_some() {
            return;
        }
        if let Some(slot) = self.pong.get_mut(..payload.len()) {
            copy(payload, slot);
            // mutant: a Pong without its payload
            self.pong_len = Some(payload.len() as u8);
        }
    }

    /// The peer's Close frame has arrived. It is answered unless we sent one before.
    pub(crate) fn peer_closed(&mut self, code: CloseCode) {
        self.ending.peer_closed();
        self.close_due(code);
    }

    /// The connection has failed (RFC 6455 §7.1.7).
    pub(crate) fn fail(&mut self, code: CloseCode) {
        self.ending.failed();
        self.close_due(code);
    }

    fn close_due(&mut self, code: CloseCode) {
        self.ending.close_due(code);
        self.ping_due = false;
        self.timers.begin_closing();
    }

    /// The stream has ended.
    pub(crate) fn end(&mut self) {
        if !self.ending.has_ended() {
            self.ending.end(StreamState::Ended);
            self.timers.begin_draining();
        }
    }

    /// Takes the time of the driver's clock and acts on the deadline that has passed, which it returns. `waiting` is
    /// whether there is output. The caller acts on the deadline of the opening handshake itself.
    pub(crate) fn look(&mut self, now: Instant, _waiting: bool, look: Look) -> Option<Due> {
        self.timers.answer(now);
        #[cfg(feature = "endpoint")]
        let stuck = self.timers.look_at_output(_waiting, || self.ending.is_open());
        self.timers.apply();
        let stage = self.ending.stage();
        #[cfg(feature = "endpoint")]
        if look == Look::Writer && !stuck && stage == Stage::Open {
            // The driver that reads handles the other deadlines, because the awaited frames may have arrived.
            self.ping_due |= self.timers.ping_is_due();
            return self.ping_due.then_some(Due::Ping);
        }
        let due = self.timers.due(stage, look != Look::Parsed);
        match due {
            Some(Due::Ping) => self.ping_due = true,
            Some(Due::Idle) => self.close_due(CloseCode::GOING_AWAY),
            Some(Due::Lost) => {
                self.fail(CloseCode::INTERNAL_ERROR);
                self.ending.end(StreamState::Lost);
            }
            Some(Due::GiveUp) => self.ending.end(StreamState::GivenUp),
            #[cfg(feature = "endpoint")]
            Some(Due::Opening) => {}
            None => return None,
        }
        self.timers.apply();
        due
    }

    /// Returns the next deadline.
    #[inline]
    pub(crate) fn until(&self) -> Option<Instant> {
        self.timers.next(self.ending.stage())
    }

    /// The longest payload of an outgoing data frame, in bytes.
    #[cfg(feature = "endpoint")]
    pub(crate) const fn max_outgoing_frame(&self) -> u64 {
        self.max_outgoing_frame
    }

    /// The kind of the message that is being sent in fragments.
    #[cfg(feature = "endpoint")]
    pub(crate) const fn open_message(&self) -> Option<MessageKind> {
        self.message
    }

    /// Returns the encoded header of a fragment. Its message was accepted before the connection began to close, and the
    /// caller writes the payload together with the header.
    #[cfg(feature = "endpoint")]
    pub(crate) fn fragment(
        &mut self,
        frame: DataFrame,
        len: u64,
        key: Option<MaskingKey>,
    ) -> FrameHead {
        let header = self.start(frame, len, key);
        self.set_payload_left(0);
        header.encode()
    }

    /// A Close frame will follow the queued messages.
    #[cfg(feature = "endpoint")]
    pub(crate) fn close_queued(&mut self) {
        self.ending.close_queued();
        self.timers.begin_closing();
    }

    /// Whether a Close frame is owed.
    #[cfg(feature = "endpoint")]
    pub(crate) const fn owes_close(&self) -> bool {
        matches!(self.ending.close(), CloseFrameState::Due(_))
    }

    /// The code of the Close frame that is owed, if it is the next frame to send.
    #[cfg(feature = "endpoint")]
    pub(crate) const fn next_close(&self) -> Option<CloseCode> {
        match self.ending.close() {
            CloseFrameState::Due(code) if self.pong_len.is_none() && !self.ping_due => Some(code),
            _ => None,
        }
    }
}

/// Shows the state, but neither payloads nor masking keys.
impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("ending", &self.ending)
            .field("timers", &self.timers)
            .field("message", &self.message)
            .field("payload_left", &self.payload_left)
            .field("owes_pong", &self.pong_len.is_some())
            .field("owes_ping", &self.ping_due)
            .finish_non_exhaustive()
    }
}

/// The value of [`Sender::short_below`] while a message can begin. The length has to fit into 16 bits, so that the
/// header fills a word.
const fn short_bound(max_outgoing_frame: u64) -> u16 {
    if !SHORT_CUTS {
        return 0;
    }
    let most =
        if max_outgoing_frame < u16::MAX as u64 { max_outgoing_frame as u16 } else { u16::MAX };
    most.saturating_add(1)
}

/// Returns the length of the header of a frame with `len` bytes of payload.
#[inline]
const fn header_len(len: usize, key: Option<MaskingKey>) -> usize {
    let base: usize = match len {
        0..126 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    if key.is_some() { base.saturating_add(4) } else { base }
}

/// Writes a header that fills a word into the output. Returns the frame's length, and the place of its payload.
#[inline(always)]
fn place(word: [u8; 8], header: usize, len: usize, out: &mut [u8]) -> Option<(usize, &mut [u8])> {
    let out = out.get_mut(..header.wrapping_add(len))?;
    *out.first_chunk_mut()? = word;
    Some((out.len(), out.get_mut(header..)?))
}

/// Writes a frame into an output that has room for it, and returns its length.
#[inline]
fn put(header: &FrameHeader, payload: &[u8], out: &mut [u8]) -> usize {
    let len = copy(&header.encode(), out);
    let rest = out.get_mut(len..).unwrap_or_default();
    let written = match header.mask {
        Some(key) => mask_into(payload, rest, key),
        None => copy(payload, rest),
    };
    len.saturating_add(written)
}

#[cfg(test)]
#[cfg(target_pointer_width = "64")]
mod tests {
    use super::*;
    use crate::Config;

    // The general path gives the same frames, so nothing else shows which way they are made.
    #[test]
    fn whole_messages_of_up_to_65_534_bytes_take_the_fast_path_if_their_frame_fills_a_word() {
        let key = Some(MaskingKey::new([0; 4]));
        let mut out = [0; 65_550];
        let mut short = |config, frame, len, key| {
            let mut sender = Sender::new(Role::Server, config, true);
            sender.put_short(frame, &[0; 65_535][..len], key, &mut out)
        };
        for frame in [MessageKind::Text, MessageKind::Binary].map(DataFrame::new) {
            for (len, header) in [(6, 2), (125, 2), (126, 4), (65_534, 4)] {
                assert_eq!(short(Config::new(), frame, len, None), Some(header + len));
                assert_eq!(short(Config::new(), frame, len, key), Some(header + 4 + len));
            }
            assert_eq!(short(Config::new(), frame, 2, key), Some(8));
            for (len, key) in [(5, None), (1, key), (65_535, None), (65_535, key)] {
                assert_eq!(short(Config::new(), frame, len, key), None);
            }
            let limited = Config::new().max_outgoing_frame(10);
            assert_eq!(short(limited, frame, 10, None), Some(12));
            assert_eq!(short(limited, frame, 11, None), None);
        }
    }
}
