//! The sending side of an endpoint: messages in, output out.
//!
//! Every message goes into the output through [`Outbound::put`]. After the checks it encodes the message, or puts it
//! into the [`Queue`] if it has to be cut into fragments. `queue_ref` has a fast path to the encoder.
//! [`Outbound::pump`] encodes the control frames that are owed whenever the output has room for them.

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

/// The room that any control frame needs: a header of 2 bytes, a key of 4 and the payload.
const CONTROL: usize = 6 + MAX_CONTROL_PAYLOAD;
/// How many bytes of masking keys are generated at once.
const KEYS: usize = 256;

/// Fills its argument with bytes from a cryptographic random generator. Returns whether it succeeded.
pub(super) type Random = Box<dyn FnMut(&mut [u8]) -> bool + Send>;

/// The sending side of an [`Endpoint`](crate::Endpoint): messages in, output out.
///
/// ```
/// use ws_core::{CloseCode, Config, Endpoint};
///
/// let mut ws = Endpoint::server_after_handshake(Config::new(), b"");
/// ws.outbound.queue("Hello")?;
/// ws.outbound.start_close(CloseCode::NORMAL, "bye")?;
/// assert_eq!(ws.outbound.waiting(), 14); // two frames with headers of 2 bytes
/// assert!(!ws.outbound.is_open());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Outbound {
    pub(super) sender: Sender,
    pub(super) output: Output,
    /// Messages that still have to be cut into fragments.
    queue: Option<Box<Queue>>,
    keys: Option<Box<Keys>>,
    /// How to use permessage-deflate, if it is allowed and until it is agreed on.
    #[cfg(feature = "zlib-rs")]
    pub(super) compression: Option<Box<Compression>>,
    /// The compression of messages, if permessage-deflate was agreed on.
    #[cfg(feature = "zlib-rs")]
    pub(super) deflating: Option<Box<Deflating>>,
    /// Whether messages that begin from now on are compressed, if permessage-deflate was agreed on.
    #[cfg(feature = "zlib-rs")]
    pub(super) compresses: bool,
    /// The incomplete character at the end of the text that is being sent piece by piece.
    pieces: TextPieces,
    max_output: usize,
    /// How many bytes of output the driver has taken and not written yet.
    in_flight: usize,
    pub(super) answer: Answer,
    random_failed: bool,
    opening_late: bool,
    dropped: bool,
    pub(super) flushed: Flushed,
}

/// Whether the last call of `next_write` found nothing to write, and the receiving side has not acted on deadlines since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    No,
    Yes,
    /// It did, and returned a time that had passed.
    Late,
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

/// The payload of a message for the output. A client masks its payloads, so it copies all of them.
pub(super) enum Source<'m> {
    Copied(&'m [u8]),
    /// A payload that a server shares.
    Shared(Bytes),
    /// A prepared frame of a server, whose header has `head` bytes.
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
            flushed: Flushed::No,
        }
    }

    /// Returns what to do next, for a driver that only writes. [`Next::Write`] and [`Next::Shutdown`] have their usual
    /// meaning. [`Next::Wait`] means that all output is written or taken, and [`Next::Done`] that the stream accepts no
    /// more. [`has_dropped`](Self::has_dropped) returns whether output was dropped instead of written.
    ///
    /// It calls `clock` once. It acts only on passed deadlines that do not depend on what the peer may have sent. If
    /// everything is written, the time of [`Next::Wait`] is that of the next Ping, or of the next deadline of the
    /// closing handshake.
    pub fn next(&mut self, clock: impl FnOnce() -> Instant) -> Next<'_> {
        self.look(clock(), Look::Writer);
        // With nothing to write, the receiving side handles the other deadlines of an open connection.
        let idle = self.waiting() == 0 && self.sender.is_open();
        let ping = self.sender.timers.next_ping();
        match self.rest(None) {
            Next::Wait { read, .. } if idle => Next::Wait { read, until: ping },
            next => next,
        }
    }

    /// Puts a text or binary message into the output. [`Next::Write`] then asks the driver to write it.
    ///
    /// # Errors
    ///
    /// An [`Unsent`] with the message and the reason: [`SendError::NotOpen`], [`SendError::Closing`],
    /// [`SendError::OutputFull`] (write some of the output, then try again), [`SendError::MessageOpen`] after
    /// [`queue_fragment`](Self::queue_fragment), or [`SendError::Random`].
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

    /// Puts a borrowed message into the output, as [`queue`](Self::queue) does. The payload is copied.
    ///
    /// # Errors
    ///
    /// The errors of [`queue`](Self::queue), without the message.
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

    /// Returns whether a message of `len` bytes is one short frame that can be encoded at once.
    #[inline]
    fn is_short(&self, len: usize) -> bool {
        #[cfg(feature = "zlib-rs")]
        if self.deflating.is_some() {
            return false;
        }
        self.queue.is_none() && self.sender.is_short(len)
    }

    /// Puts any message for which there is room into the output.
    #[inline(never)]
    fn queue_any(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), SendError> {
        self.check_message()?;
        #[cfg(feature = "zlib-rs")]
        if let Some(result) = self.put_compressed(kind, payload) {
            return result;
        }
        self.put(DataFrame::new(kind), Source::Copied(payload))
    }

    /// Puts a borrowed message into the output and lets the driver write it at once.
    ///
    /// `write` gets two arguments: the waiting output, which ends with the header of the message, and the payload that
    /// follows. It returns the number of bytes that the stream has accepted, counted from the front of the output. Only
    /// the rest is copied. The accepted bytes count as output until [`written`](Self::written) is called. `write` must
    /// not unwind, because that would leave the header of the message without its payload.
    ///
    /// `write` is not called if the payload is compressed or has to be copied. A payload is copied if it has to be
    /// masked or cut, or if it follows output that is waiting to be cut or that [`take_output`](Self::take_output) has
    /// taken and the stream has not accepted.
    ///
    /// # Errors
    ///
    /// The errors of [`queue`](Self::queue), without the message.
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

    /// Puts a message that was encoded before into the output. On a server, all receivers share its bytes. If it is
    /// compressed, connections with the same window and no context takeover share the compressed bytes. The first of
    /// these connections compresses the message, at its own level.
    ///
    /// # Errors
    ///
    /// The errors of [`queue`](Self::queue), without the message.
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

    /// Puts one piece of a message into the output, as a fragment (RFC 6455 §5.4). `last` completes the message.
    ///
    /// Text must be UTF-8 as a whole, but a piece may end inside a character. The fragments always end between
    /// characters, because some peers check each of them. Up to three bytes of a piece are therefore held back until
    /// the next one. A piece that only adds to these bytes sends nothing. Compressed text is cut at the same places.
    ///
    /// # Errors
    ///
    /// The errors of [`queue`](Self::queue), and [`SendError::MessageOpen`] if the message that is open is of the other
    /// kind.
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
        // The first fragment is sent even if it is empty, because it opens the message.
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

    /// Puts a Ping into the output, ahead of messages that still have to be cut into fragments (RFC 6455 §5.5.2).
    ///
    /// # Errors
    ///
    /// [`SendError::ControlTooLong`] if the payload has more than 125 bytes, or the errors of [`queue`](Self::queue).
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.check_room(payload.len())?;
        let key = self.key()?;
        self.control(|sender, out| sender.ping(payload, key, out))
    }

    /// Puts an unsolicited Pong into the output, ahead of messages that still have to be cut into fragments (RFC 6455
    /// §5.5.3). Pings are answered without it.
    ///
    /// # Errors
    ///
    /// The errors of [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.check_room(payload.len())?;
        let key = self.key()?;
        self.control(|sender, out| sender.pong(payload, key, out))
    }

    /// Starts the closing handshake (RFC 6455 §7.1.2). The Close frame follows all queued messages. If `code` is `None`
    /// or [`CloseCode::NO_STATUS`], the frame has an empty body, and the reason must be empty.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidCloseCode`], [`SendError::ReasonTooLong`], [`SendError::ReasonWithoutCode`],
    /// [`SendError::Closing`] if the closing handshake was started before, [`SendError::NotOpen`], or
    /// [`SendError::Random`].
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

    /// Moves all output into `batch` if `batch` is empty. It is meant for a driver that uses the endpoint while a write
    /// is in progress, because it writes in another task or because its stream takes ownership of the bytes.
    ///
    /// The batch counts as output until [`written`](Self::written) reports that the stream has accepted it. If the
    /// stream fails, call [`receive_reset`](Self::receive_reset). If [`Next::Done`] is returned while some of the batch
    /// is left, drop the rest.
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
    ///     let count = batch.chunk().len(); // yours: stream.write(batch.chunk())?
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

    /// Reports that the stream has accepted `count` more bytes of what [`take_output`](Self::take_output) has moved.
    /// Call it after each write, because a peer that takes its output slowly is alive.
    pub fn written(&mut self, count: usize) {
        let count = count.min(self.in_flight);
        self.in_flight = self.in_flight.saturating_sub(count);
        self.note_written(count);
    }

    /// As [`written`](Self::written), for output that was not taken.
    pub(super) fn advance(&mut self, count: usize) {
        let count = count.min(self.output.len());
        self.output.advance(count);
        self.note_written(count);
    }

    /// Records a write. A write of zero bytes is no sign of life.
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

    /// Reports that the stream has failed, by a reset or otherwise, so that nothing more can be read or written.
    ///
    /// The receiving side still returns the events that were received before. The output is dropped.
    pub fn receive_reset(&mut self) {
        self.sender.receive_reset();
        self.drop_output();
    }

    /// Returns whether queued output was dropped. This happens if the stream has failed, the connection no longer waits
    /// for the peer, the peer has closed before the end of a message, or the random generator has failed. If it is
    /// `false` after a flush, everything was written.
    #[must_use]
    pub fn has_dropped(&self) -> bool {
        self.dropped
    }

    /// Returns the number of bytes that are not written yet, including those that the driver has taken.
    #[inline]
    pub fn waiting(&self) -> usize {
        let waiting = self.output.len().saturating_add(self.in_flight);
        match &self.queue {
            Some(queue) => waiting.saturating_add(queue.len()),
            None => waiting,
        }
    }

    /// Returns [`Config::close_timeout`](crate::Config::close_timeout). If a reader cannot be woken when a writer
    /// starts the closing handshake, it has to call its `next` again within this time.
    #[must_use]
    pub fn close_timeout(&self) -> Option<Duration> {
        self.sender.timers.close_timeout()
    }

    /// Returns whether messages can be sent.
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

    /// Returns whether there is neither an end of the stream nor a failure to report.
    #[inline]
    pub(super) fn is_sound(&self) -> bool {
        !self.sender.ending.has_ended() && !self.random_failed
    }

    #[inline]
    fn check(&self, len: usize) -> Result<(), SendError> {
        self.check_room(len)?;
        self.check_message()
    }

    /// Returns an error if another message must not begin yet.
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

    /// Returns the kind of the message of which the application will send more pieces.
    #[inline]
    fn open_message(&self) -> Option<MessageKind> {
        match &self.queue {
            Some(queue) => queue.open,
            None => self.sender.open_message(),
        }
    }

    /// Puts a message, or a piece of one, into the output. It has been checked.
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

    /// Encodes a frame, copying its payload and masking it on the way.
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

    /// Encodes the control frames that are owed, as long as the output has room. A Close frame is always encoded. If
    /// the output was empty before, it then encodes the next fragment, so that a flood of Pings does not hold messages
    /// up.
    #[inline]
    pub(super) fn pump(&mut self) {
        if self.sender.wants_transmit() || self.queue.is_some() {
            self.pump_all("");
        }
    }

    /// As [`pump`](Self::pump), after the connection has failed. The Close frame has the reason of the failure, unless
    /// another Close frame was owed.
    #[cold]
    pub(super) fn pump_failure(&mut self, error: ProtocolError) {
        let owed = self.sender.ending.close() == CloseFrameState::Due(error.close_code());
        self.pump_all(if owed { error.reason() } else { "" });
    }

    #[cold]
    fn pump_all(&mut self, reason: &str) {
        let ending = &self.sender.ending;
        // No further fragment of a queued message is started (RFC 6455 §5.5.1).
        if ending.cuts_messages() || ending.drops_output() || self.random_failed {
            self.drop_queue();
        }
        let mut drained = self.output.is_empty();
        while !self.random_failed && (self.transmits(reason) || self.cuts(&mut drained)) {}
    }

    /// Encodes the next control frame that is owed, if it may be sent at this point. A Close frame gets this reason.
    fn transmits(&mut self, reason: &str) -> bool {
        let close = self.sender.next_close();
        // A Close frame follows the messages.
        let behind = self.queue.is_some();
        if !self.sender.wants_transmit() || behind && close.is_some() {
            return false;
        }
        let waiting = self.waiting();
        // If nothing is encoded, a control frame is sent even if a message longer than the limit is waiting, so that it
        // can go between the fragments of that message.
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

    /// If the output was `drained`, encodes the next fragment, or the Close frame that follows the queue.
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

    /// Takes the time of the driver's clock and acts on the deadline that has passed, which it returns.
    #[inline]
    pub(super) fn look(&mut self, now: Instant, look: Look) -> Option<Due> {
        // Encode first: what is encoded counts from now, and a failure is reported before the output.
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

    /// Returns what is left to do when there is nothing to report.
    pub(super) fn rest<'a, E>(
        &'a mut self,
        inbound: Option<&'a mut super::Inbound>,
    ) -> Next<'a, E> {
        // The time for what was encoded since the clock was read counts from that time.
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

    /// Drops the queue, so that no further fragment of a queued message is started.
    fn drop_queue(&mut self) {
        self.dropped |= self.queue.take().is_some_and(|queue| queue.has_messages());
    }

    fn drop_output(&mut self) {
        self.dropped |= self.waiting() != 0;
        self.queue = None;
        self.output.advance(usize::MAX);
        self.in_flight = 0;
    }

    /// Returns whether the deadline of the opening handshake has passed before its end.
    pub(super) fn is_opening_late(&self) -> bool {
        self.opening_late
    }

    pub(super) fn is_reset(&self) -> bool {
        self.sender.ending.stream() == StreamState::Reset
    }

    /// Returns whether the stream has failed, or the connection no longer waits for the peer.
    pub(super) fn is_given_up(&self) -> bool {
        self.sender.ending.drops_output()
    }
}

const fn frame(kind: MessageKind, last: bool) -> DataFrame {
    let frame = DataFrame::new(kind);
    if last { frame } else { frame.more() }
}
