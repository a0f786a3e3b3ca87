//! The sending side of an endpoint: messages in, output out.
//!
//! There is one way for a message into the output, [`Outbound::put`]: once it is checked, it is encoded, or
//! put into the [`Queue`] when it has to be cut into fragments. `queue_ref` has a short way to what encodes it. Control frames that are owed are encoded by
//! [`Outbound::pump`] whenever the output has room for them.

use alloc::boxed::Box;
use alloc::string::ToString;
use core::fmt;
use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::Options;
use super::answer::Answer;
#[cfg(feature = "zlib-rs")]
use super::deflate::{Compression, Deflating};
use super::event::Unsent;
use super::next::Next;
use super::output::{Output, Pending, SHARE};
use super::queue::{Fragment, Payload, Queue};
use super::text_pieces::TextPieces;
use crate::connection::{CloseFrameState, DataFrame, Due, Look, Rest, Sender, StreamState};
use crate::frame::{MAX_CONTROL_PAYLOAD, MAX_HEADER_LEN, mask};
use crate::message::MessageRef;
use crate::{
    CloseCode, Instant, MaskingKey, Message, MessageKind, PreparedMessage, ProtocolError, Role,
    SendError,
};

/// Room for any control frame: a header of 2 bytes, a key of 4, the payload.
const CONTROL: usize = 6 + MAX_CONTROL_PAYLOAD;
/// Bytes of masking keys that are made at once.
const KEYS: usize = 256;

/// Fills bytes from a cryptographic random generator; returns whether it could.
pub(super) type Random = Box<dyn FnMut(&mut [u8]) -> bool + Send>;

/// The sending side of an [`Endpoint`](crate::Endpoint): messages in, output out.
#[derive(Debug)]
pub struct Outbound {
    pub(super) sender: Sender,
    pub(super) output: Output,
    /// Messages that are yet to be cut into fragments.
    queue: Option<Box<Queue>>,
    keys: Option<Box<Keys>>,
    /// How permessage-deflate is used, if it may be, until it is agreed on.
    #[cfg(feature = "zlib-rs")]
    pub(super) compression: Option<Box<Compression>>,
    /// If it was agreed on.
    #[cfg(feature = "zlib-rs")]
    pub(super) deflating: Option<Box<Deflating>>,
    /// Whether messages that begin from now on are compressed, if it was.
    #[cfg(feature = "zlib-rs")]
    pub(super) compresses: bool,
    /// What is left of the text that was put in piece by piece.
    pieces: TextPieces,
    max_output: usize,
    /// How many bytes of output the driver has taken and not written yet.
    in_flight: usize,
    pub(super) answer: Answer,
    random_failed: bool,
    opening_late: bool,
    dropped: bool,
    /// `next_write` found nothing to write when it was asked last, and no side that reads has asked since.
    pub(super) idle: bool,
}

struct Keys {
    random: Random,
    block: [u8; KEYS],
    used: usize,
}

impl Keys {
    #[inline]
    fn next(&mut self) -> Option<MaskingKey> {
        if self.used >= KEYS {
            if !(self.random)(&mut self.block) {
                return None;
            }
            self.used = 0;
        }
        let key = self.block.get(self.used..).and_then(|rest| rest.first_chunk::<4>());
        // mutant: one masking key for all frames
        self.used = self.used.saturating_add(4);
        key.map(|key| MaskingKey::new(*key))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// A message on its way into the output. A client masks its payload, so that it copies all of them.
pub(super) enum Source<'m> {
    Copied(&'m [u8]),
    /// Of a server.
    Shared(Bytes),
    /// Of a server: a frame, of which so many bytes are the header.
    Prepared {
        wire: &'m Bytes,
        head: usize,
    },
}

impl Source<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Copied(payload) => payload.len(),
            Self::Shared(payload) => payload.len(),
            Self::Prepared { wire, head } => wire.len().saturating_sub(*head),
        }
    }
}

impl Outbound {
    #[inline]
    pub(super) fn new(mut sender: Sender, random: Option<Random>, options: &Options) -> Self {
        sender.timers.set_opening_timeout(options.handshake_timeout);
        Self {
            sender,
            output: Output::default(),
            queue: None,
            keys: random.map(|random| Box::new(Keys { random, block: [0; KEYS], used: KEYS })),
            #[cfg(feature = "zlib-rs")]
            compression: options.compression.clone().map(Box::new),
            #[cfg(feature = "zlib-rs")]
            deflating: None,
            #[cfg(feature = "zlib-rs")]
            compresses: true,
            pieces: TextPieces::default(),
            max_output: options.max_output,
            in_flight: 0,
            answer: Answer::None,
            random_failed: false,
            opening_late: false,
            dropped: false,
            idle: false,
        }
    }

    /// What to do next, for a side that only writes: [`Next::Write`], [`Next::Shutdown`], [`Next::Wait`],
    /// which means that all is written or taken, and [`Next::Done`], which means that nobody takes it any more. Whether
    /// something was dropped instead of written, [`has_dropped`](Self::has_dropped) tells.
    ///
    /// `clock` is called once. Of what is due, this side does what does not depend on what may have come; while all is
    /// written, the time of its [`Next::Wait`] is that of the next Ping, or of the ending.
    pub fn next(&mut self, clock: impl FnOnce() -> Instant) -> Next<'_> {
        self.look(clock(), Look::Writer);
        // With nothing to write, an open connection's other deadlines are for the side that reads.
        let idle = self.waiting() == 0 && self.sender.is_open();
        let ping = self.sender.timers.next_ping();
        match self.rest(None) {
            Next::Wait { read, .. } if idle => Next::Wait { read, until: ping },
            next => next,
        }
    }

    /// Puts a message, text or binary, into the output. A driver writes it when it is told to.
    ///
    /// # Errors
    ///
    /// The message back, with the reason: [`SendError::NotOpen`], [`SendError::Closing`],
    /// [`SendError::OutputFull`] (write some of the output, then try again),
    /// [`SendError::MessageOpen`] after [`queue_fragment`](Self::queue_fragment), or [`SendError::Random`].
    pub fn queue(&mut self, message: impl Into<Message>) -> Result<(), Unsent> {
        let message = message.into();
        if message.len() < SHARE || self.role() == Role::Client {
            return self.queue_ref(&message).map_err(|error| Unsent { error, message });
        }
        let kind = message.kind();
        if let Err(error) = self.check(message.len()) {
            return Err(Unsent { error, message });
        }
        #[cfg(feature = "zlib-rs")]
        if let Some(result) = self.put_compressed(kind, message.as_bytes()) {
            return result.map_err(|error| Unsent { error, message });
        }
        let source = Source::Shared(message.clone().into_bytes());
        self.put(DataFrame::new(kind), source).map_err(|error| Unsent { error, message })
    }

    /// As [`queue`](Self::queue), for a message that somebody else holds: its payload is copied into the output.
    ///
    /// # Errors
    ///
    /// As [`queue`](Self::queue).
    #[inline]
    pub fn queue_ref<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), SendError> {
        let message = message.into();
        let (kind, payload) = (message.kind(), message.as_bytes());
        self.check_room(payload.len())?;
        if self.is_short(payload.len()) {
            return self.encode(DataFrame::new(kind), payload);
        }
        self.queue_any(kind, payload)
    }

    /// Whether a message of `len` bytes is one short frame that follows what waits.
    #[inline]
    fn is_short(&self, len: usize) -> bool {
        #[cfg(feature = "zlib-rs")]
        if self.deflating.is_some() {
            return false;
        }
        self.queue.is_none() && self.sender.is_short(len)
    }

    /// Puts a message for which there is room into the output, whatever it is.
    #[inline(never)]
    fn queue_any(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), SendError> {
        self.check_message()?;
        #[cfg(feature = "zlib-rs")]
        if let Some(result) = self.put_compressed(kind, payload) {
            return result;
        }
        self.put(DataFrame::new(kind), Source::Copied(payload))
    }

    /// As [`queue_ref`](Self::queue_ref), for a driver that writes at once. `write` gets the output that waits, with the head
    /// of the message at its end, and the payload that follows. It returns how many bytes of both the stream has taken, from
    /// the front, and only the rest is copied. What was taken counts as output until [`written`](Self::written) is told.
    /// `write` must not unwind: the head of the message would be left without its payload.
    ///
    /// It is not called for a payload that is compressed or has to be copied: to be masked, to be cut, or to follow what
    /// waits to be cut or was taken by [`take_output`](Self::take_output) and is not written yet.
    ///
    /// # Errors
    ///
    /// As [`queue`](Self::queue).
    pub fn queue_and_write<'m>(
        &mut self,
        message: impl Into<MessageRef<'m>>,
        write: impl FnOnce(&Output, &[u8]) -> usize,
    ) -> Result<(), SendError> {
        let message = message.into();
        let (kind, payload) = (message.kind(), message.as_bytes());
        self.check(payload.len())?;
        #[cfg(feature = "zlib-rs")]
        if let Some(result) = self.put_compressed(kind, payload) {
            return result;
        }
        let is_cut = payload.len() as u64 > self.sender.max_outgoing_frame();
        if is_cut || self.queue.is_some() || self.in_flight > 0 || self.role() == Role::Client {
            return self.put(frame(kind, true), Source::Copied(payload));
        }
        let head = self.sender.fragment(frame(kind, true), payload.len() as u64, None);
        self.output.append(&head);
        let before = self.output.len();
        let taken = write(&self.output, payload).min(before.saturating_add(payload.len()));
        self.output.advance(taken);
        self.output.append(payload.get(taken.saturating_sub(before)..).unwrap_or_default());
        self.in_flight = self.in_flight.saturating_add(taken);
        Ok(())
    }

    /// As [`queue`](Self::queue), for a message that was encoded before: a server shares its bytes with all
    /// other receivers. Compressed, it is shared by those with the same window and no context takeover: the first of
    /// them compresses it, at its level.
    ///
    /// # Errors
    ///
    /// As [`queue`](Self::queue); the caller still has the message.
    pub fn queue_prepared(&mut self, prepared: &PreparedMessage) -> Result<(), SendError> {
        let message = prepared.message();
        if self.role() == Role::Client {
            return self.queue_ref(message);
        }
        self.check(message.len())?;
        #[cfg(feature = "zlib-rs")]
        if let Some(result) = self.put_prepared(prepared) {
            return result;
        }
        let wire = prepared.frame();
        let head = wire.len().saturating_sub(message.len());
        self.put(DataFrame::new(message.kind()), Source::Prepared { wire, head })
    }

    /// Puts one piece of a message into the output, as a fragment; `last` completes the message.
    ///
    /// Text must be UTF-8 as a whole, but a piece may end inside a character. The fragments end between characters
    /// nevertheless, because some peers check each of them: up to three bytes of a piece are kept until the next one. A
    /// piece that only adds to these sends nothing. Compressed text is cut at the same places.
    ///
    /// # Errors
    ///
    /// As [`queue`](Self::queue), and [`SendError::MessageOpen`] when the message that is open is of
    /// the other kind.
    pub fn queue_fragment(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        last: bool,
    ) -> Result<(), SendError> {
        self.check_room(payload.len())?;
        let open = self.open_message();
        if open.is_some_and(|open| open != kind) {
            return Err(SendError::MessageOpen);
        }
        if kind == MessageKind::Binary {
            return self.put_piece(kind, payload, open.is_none(), last);
        }
        let mut pieces = self.pieces;
        let characters = pieces.push(payload, last);
        // The first fragment opens the message, if only for what is kept.
        if !characters.is_empty() || payload.is_empty() || open.is_none() || last {
            self.put_piece(kind, &characters, open.is_none(), last)?;
        }
        self.pieces = pieces;
        Ok(())
    }

    fn put_piece(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        #[cfg_attr(not(feature = "zlib-rs"), expect(unused_variables, reason = "of compression"))]
        start: bool,
        last: bool,
    ) -> Result<(), SendError> {
        #[cfg(feature = "zlib-rs")]
        if let Some(deflating) = &mut self.deflating {
            if let Some(compressed) = deflating.piece(payload, start, last) {
                return self.put_owned(frame(kind, last).compressed(start), compressed);
            }
        }
        self.put(frame(kind, last), Source::Copied(payload))
    }

    /// Puts a Ping into the output, ahead of messages that are yet to be cut into fragments.
    ///
    /// # Errors
    ///
    /// [`SendError::ControlTooLong`] over 125 bytes, or as [`queue`](Self::queue).
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.check_room(payload.len())?;
        let key = self.key()?;
        self.control(|sender, out| sender.ping(payload, key, out))
    }

    /// Puts a Pong that nobody asked for into the output, as [`ping`](Self::ping); Pings are answered without it.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.check_room(payload.len())?;
        let key = self.key()?;
        self.control(|sender, out| sender.pong(payload, key, out))
    }

    /// Starts the closing handshake. The Close frame follows all messages that were queued. With `None` or
    /// [`CloseCode::NO_STATUS`] as the code, it has an empty body, and the reason must be empty.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidCloseCode`], [`SendError::ReasonTooLong`],
    /// [`SendError::ReasonWithoutCode`], [`SendError::Closing`] when it was started before,
    /// [`SendError::NotOpen`], [`SendError::Random`].
    pub fn start_close(
        &mut self,
        code: impl Into<CloseCode>,
        reason: &str,
    ) -> Result<(), SendError> {
        let code = code.into();
        self.sender.check_close(code, reason)?;
        self.pump();
        if self.random_failed {
            return Err(SendError::Random);
        }
        if let Some(queue) = &mut self.queue {
            queue.close = Some((code, reason.to_string()));
            self.sender.close_queued();
            return Ok(());
        }
        let key = self.key()?;
        self.control(|sender, out| sender.encode_close(code, reason, key, out))
    }

    /// Moves all output into `batch`, if that is empty. This is for a driver that uses the endpoint while a write
    /// runs: one that writes in another task, or whose stream takes ownership of the bytes.
    ///
    /// It still counts as output until [`written`](Self::written) tells that the stream has taken it. When
    /// the stream has failed, tell [`receive_reset`](Self::receive_reset). When [`Next::Done`] comes while some
    /// is left, nobody waits for that any more.
    ///
    /// ```
    /// use ws_core::endpoint::{Endpoint, Output};
    /// use ws_core::Config;
    ///
    /// let mut ws = Endpoint::server_after_handshake(Config::default(), &[]);
    /// let mut batch = Output::default();
    /// ws.outbound.queue("Hello")?;
    /// ws.outbound.take_output(&mut batch);
    /// ws.outbound.queue("goes with the next batch")?;
    /// while !batch.is_empty() {
    ///     let count = batch.chunk().len(); // of what stream.write(batch.chunk()) has taken
    ///     batch.advance(count);
    ///     ws.outbound.written(count);
    /// }
    /// # Ok::<(), ws_core::endpoint::Unsent>(())
    /// ```
    pub fn take_output(&mut self, batch: &mut Output) {
        if batch.is_empty() {
            self.pump();
            core::mem::swap(batch, &mut self.output);
            self.output.shrink_to(batch);
            self.in_flight = self.in_flight.saturating_add(batch.len());
        }
    }

    /// Tells that the stream has taken `count` more bytes of what [`take_output`](Self::take_output) has
    /// moved. Tell it after each write, because a peer that takes its output slowly is alive.
    pub fn written(&mut self, count: usize) {
        let count = count.min(self.in_flight);
        self.in_flight = self.in_flight.saturating_sub(count);
        self.note_written(count);
    }

    /// As [`written`](Self::written), of output that was not taken.
    pub(super) fn advance(&mut self, count: usize) {
        let count = count.min(self.output.len());
        self.output.advance(count);
        self.note_written(count);
    }

    /// A write of nothing shows nothing.
    fn note_written(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let all = self.waiting() == 0;
        self.sender.timers.written(all);
        if all {
            self.sender.ending.all_written();
        }
    }

    /// Confirms that the driver has shut down the write side of the stream, or has tried to.
    pub fn shut_down(&mut self) {
        self.sender.shut_down();
    }

    /// Tells that the stream has failed, by a reset or otherwise: nothing more can be read or written.
    ///
    /// What came before is still told by the receiving side; output is dropped.
    pub fn receive_reset(&mut self) {
        self.sender.receive_reset();
        self.drop_output();
    }

    /// Whether output was dropped that had been queued: because the stream has failed, the peer was given up or
    /// has closed before the end of a message, or the random generator has failed. A flush that ends without it
    /// has written everything.
    #[must_use]
    pub fn has_dropped(&self) -> bool {
        self.dropped
    }

    /// How many bytes are not written yet, those included that the driver has taken.
    #[inline]
    pub fn waiting(&self) -> usize {
        let waiting = self.output.len().saturating_add(self.in_flight);
        match &self.queue {
            Some(queue) => waiting.saturating_add(queue.len()),
            None => waiting,
        }
    }

    /// [`Config::close_timeout`](crate::Config::close_timeout). A reader that cannot be woken when a writer
    /// starts the closing handshake looks again within this time.
    #[must_use]
    pub fn close_timeout(&self) -> Option<Duration> {
        self.sender.timers.close_timeout()
    }

    /// Whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.sender.is_open()
    }

    pub(super) fn role(&self) -> Role {
        self.sender.ending.role()
    }

    #[inline]
    fn key(&mut self) -> Result<Option<MaskingKey>, SendError> {
        let Some(keys) = &mut self.keys else { return Ok(None) };
        match keys.next() {
            Some(key) => Ok(Some(key)),
            None => {
                self.random_failed = true;
                self.drop_queue();
                self.over();
                Err(SendError::Random)
            }
        }
    }

    pub(super) fn random_failed(&self) -> bool {
        self.random_failed
    }

    /// Whether there is neither an end of the stream nor a failure to tell.
    #[inline]
    pub(super) fn is_sound(&self) -> bool {
        !self.sender.ending.has_ended() && !self.random_failed
    }

    #[inline]
    fn check(&self, len: usize) -> Result<(), SendError> {
        self.check_room(len)?;
        self.check_message()
    }

    /// Whether another message may begin.
    #[inline]
    fn check_message(&self) -> Result<(), SendError> {
        if self.open_message().is_some() { Err(SendError::MessageOpen) } else { Ok(()) }
    }

    #[inline]
    fn check_room(&self, len: usize) -> Result<(), SendError> {
        self.sender.check_open()?;
        let waiting = self.waiting();
        if waiting != 0 && waiting.saturating_add(len) > self.max_output {
            return Err(SendError::OutputFull);
        }
        Ok(())
    }

    /// The message of which the application has more pieces to come.
    #[inline]
    fn open_message(&self) -> Option<MessageKind> {
        match &self.queue {
            Some(queue) => queue.open,
            None => self.sender.open_message(),
        }
    }

    /// Puts a message that was checked, or a piece of one, into the output.
    pub(super) fn put(&mut self, frame: DataFrame, source: Source<'_>) -> Result<(), SendError> {
        let len = source.len() as u64;
        let fits = len <= self.sender.max_outgoing_frame();
        if self.queue.is_some() || !fits {
            self.enqueue(frame, source);
            return Ok(());
        }
        match source {
            Source::Copied(payload) => self.encode(frame, payload),
            Source::Shared(payload) => {
                self.share(frame, payload, None);
                Ok(())
            }
            Source::Prepared { wire, .. } => {
                // The head is in the prepared bytes.
                let _ = self.sender.fragment(frame, len, None);
                if wire.len() < SHARE {
                    self.output.append(wire);
                } else {
                    self.output.share(wire.clone());
                }
                Ok(())
            }
        }
    }

    /// Encodes a frame: its payload is copied, and masked on the way.
    #[inline]
    fn encode(&mut self, frame: DataFrame, payload: &[u8]) -> Result<(), SendError> {
        let key = self.key()?;
        let Self { sender, output, .. } = self;
        let room = MAX_HEADER_LEN.saturating_add(payload.len());
        output.append_with(room, |out| sender.put(frame, payload, key, out));
        Ok(())
    }

    /// Appends a frame whose payload is not copied.
    fn share(&mut self, frame: DataFrame, payload: Bytes, key: Option<MaskingKey>) {
        let head = self.sender.fragment(frame, payload.len() as u64, key);
        self.output.append(&head);
        self.output.share(payload);
    }

    #[cold]
    fn enqueue(&mut self, frame: DataFrame, source: Source<'_>) {
        let payload = match source {
            Source::Copied(payload) if self.role() == Role::Client => {
                Payload::Masked(BytesMut::from(payload))
            }
            Source::Copied(payload) => Payload::Shared(Bytes::copy_from_slice(payload)),
            Source::Shared(payload) => Payload::Shared(payload),
            Source::Prepared { wire, head } => Payload::Shared(wire.slice(head..)),
        };
        let open = self.sender.open_message();
        let queue = self.queue.get_or_insert_with(|| Box::new(Queue::new(open)));
        queue.push(frame, payload);
    }

    /// Encodes control frames that are owed, as long as the output has room, a Close frame always; then, if
    /// the output was empty before, the next fragment, so that no flood of Pings holds it up.
    #[inline]
    pub(super) fn pump(&mut self) {
        if self.sender.wants_transmit() || self.queue.is_some() {
            self.pump_all("");
        }
    }

    /// As [`pump`](Self::pump), after the connection has failed: the Close frame says why, unless another was owed.
    #[cold]
    pub(super) fn pump_failure(&mut self, error: ProtocolError) {
        let owed = self.sender.ending.close() == CloseFrameState::Due(error.close_code());
        self.pump_all(if owed { error.reason() } else { "" });
    }

    #[cold]
    fn pump_all(&mut self, reason: &str) {
        let ending = &self.sender.ending;
        // Of messages that wait, no further fragment is begun (RFC 6455 §5.5.1).
        if ending.cuts_messages() || ending.drops_output() || self.random_failed {
            self.drop_queue();
        }
        let mut drained = self.output.is_empty();
        while !self.random_failed && (self.transmits(reason) || self.cuts(&mut drained)) {}
    }

    /// Encodes the next control frame that is owed, if it may go out now. A Close frame has this reason.
    fn transmits(&mut self, reason: &str) -> bool {
        let close = self.sender.next_close();
        // A Close frame follows the messages.
        let behind = self.queue.is_some();
        if !self.sender.wants_transmit() || behind && close.is_some() {
            return false;
        }
        let waiting = self.waiting();
        // Between the fragments of a message that is longer than that, one goes out all the same.
        let encoded = self.output.len().saturating_add(self.in_flight);
        let full = encoded != 0 && waiting >= self.max_output;
        if full && (behind || !self.sender.owes_close()) {
            return false;
        }
        let Ok(key) = self.key() else { return false };
        self.control(|sender, out| match close {
            Some(code) => sender.encode_close(code, reason, key, out),
            None => sender.transmit(out, key),
        })
        .is_ok()
    }

    /// Encodes the next fragment, or the Close frame behind all, if the output was `drained`.
    fn cuts(&mut self, drained: &mut bool) -> bool {
        if !*drained {
            return false;
        }
        let max = usize::try_from(self.sender.max_outgoing_frame()).unwrap_or(usize::MAX);
        let Some(queue) = &mut self.queue else { return false };
        let Some(Fragment { frame, payload }) = queue.cut(max) else {
            let close = queue.close.take();
            self.queue = None;
            let Some((code, reason)) = close else { return true };
            let Ok(key) = self.key() else { return false };
            return self
                .control(|sender, out| sender.encode_close(code, &reason, key, out))
                .is_ok();
        };
        let Ok(key) = self.key() else { return false };
        let payload = match payload {
            Payload::Shared(payload) => payload,
            Payload::Masked(mut payload) => {
                if let Some(key) = key {
                    mask(&mut payload, key);
                }
                payload.freeze()
            }
        };
        self.share(frame, payload, key);
        *drained = false;
        true
    }

    fn control(
        &mut self,
        encode: impl FnOnce(&mut Sender, &mut [u8]) -> Result<usize, SendError>,
    ) -> Result<(), SendError> {
        let Self { sender, output, .. } = self;
        let mut result = Ok(());
        output.append_with(CONTROL, |out| {
            encode(sender, out).unwrap_or_else(|error| {
                result = Err(error);
                0
            })
        });
        result
    }

    /// Tells the time, and does what is due.
    #[inline]
    pub(super) fn look(&mut self, now: Instant, look: Look) -> Option<Due> {
        // What is encoded counts from now, and what fails is told before the output.
        self.pump();
        let waiting = self.waiting() != 0;
        let due = self.sender.look(now, waiting, look);
        if self.sender.ending.drops_output() {
            self.drop_output();
        }
        if due == Some(Due::Opening) {
            self.opening_late = true;
            self.over();
        }
        if due.is_some() {
            self.output.shrink();
            match due {
                Some(Due::Lost) => self.pump_failure(ProtocolError::PongTimeout),
                _ => self.pump(),
            }
        }
        due
    }

    /// What is left to do when there is nothing to tell.
    pub(super) fn rest<'a, E>(
        &'a mut self,
        inbound: Option<&'a mut super::Inbound>,
    ) -> Next<'a, E> {
        // What was encoded since the clock has answered counts from there.
        self.sender.timers.apply();
        let until = self.sender.until();
        if !self.output.is_empty() {
            let read = inbound.and_then(super::Inbound::reader);
            return Next::Write { output: Pending(self), read, until };
        }
        if self.in_flight > 0 {
            return Next::Wait { read: inbound.and_then(super::Inbound::reader), until };
        }
        self.sender.ending.all_written();
        match self.sender.ending.rest() {
            Rest::Shutdown => Next::Shutdown { side: self, until },
            Rest::LastShutdown => {
                let until = Some(self.sender.timers.now());
                Next::Shutdown { side: self, until }
            }
            Rest::Wait => Next::Wait { read: inbound.and_then(super::Inbound::reader), until },
            Rest::Done => Next::Done,
        }
    }

    /// Of messages that wait, no further fragment is begun.
    fn drop_queue(&mut self) {
        self.dropped |= self.queue.take().is_some_and(|queue| queue.has_messages());
    }

    fn drop_output(&mut self) {
        self.dropped |= self.waiting() != 0;
        self.queue = None;
        self.output.advance(usize::MAX);
        self.in_flight = 0;
    }

    /// Whether the time for the opening handshake has passed before its end.
    pub(super) fn is_opening_late(&self) -> bool {
        self.opening_late
    }

    pub(super) fn is_reset(&self) -> bool {
        self.sender.ending.stream() == StreamState::Reset
    }

    /// Whether the stream has failed, or is not waited for any longer.
    pub(super) fn is_given_up(&self) -> bool {
        self.sender.ending.drops_output()
    }
}

const fn frame(kind: MessageKind, last: bool) -> DataFrame {
    let frame = DataFrame::new(kind);
    if last { frame } else { frame.more() }
}
