use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use super::event::Unsent;
use super::output::{Output, Progress, SHARE};
use crate::connection::{DataFrame, Reply, Sender, State};
use crate::handshake::{HandshakeError, HeadError};
use crate::message::MessageRef;
use crate::{
    CloseCode, Instant, MaskingKey, Message, MessageKind, PreparedMessage, Role, SendError,
};

/// Room for any control frame.
const CONTROL: usize = 131;
/// Bytes of masking keys that are made at once.
const KEYS: usize = 256;

/// Fills bytes from a cryptographic random generator.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// The sending side of an [`Endpoint`](crate::Endpoint): messages in, output out.
#[derive(Debug)]
pub struct Outbound {
    pub(super) sender: Sender,
    pub(super) output: Output,
    keys: Option<Box<Keys>>,
    phase: Phase,
    max_output: usize,
    pub(super) close_timeout: u32,
    pub(super) now: Instant,
    pong_timeout: u32,
    /// Since when nothing but the output that is left holds up the end.
    last_words: Option<Instant>,
    /// The stream has failed: nothing can be written.
    broken: bool,
    /// How many bytes of output the driver has taken and not written yet.
    in_flight: usize,
    /// The driver has told of progress since the last look.
    taken: bool,
    /// How far the output had got when the time was told last, if some of it was waiting.
    backlog: Option<Progress>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    /// Ended without a WebSocket, at this time: an HTTP response was the last.
    Over(Instant),
}

struct Keys {
    random: Random,
    block: [u8; KEYS],
    used: usize,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl Keys {
    fn next(&mut self) -> MaskingKey {
        if self.used >= KEYS {
            (self.random)(&mut self.block);
            self.used = 0;
        }
        let key = self.block.get(self.used..).and_then(|rest| rest.first_chunk::<4>());
        self.used = self.used.saturating_add(4);
        MaskingKey::new(key.copied().unwrap_or_default())
    }
}

impl Outbound {
    pub(super) fn new(sender: Sender, random: Option<Random>, options: &super::Options) -> Self {
        Self {
            sender,
            output: Output::default(),
            keys: random.map(|random| Box::new(Keys { random, block: [0; KEYS], used: KEYS })),
            phase: Phase::Opening,
            max_output: options.max_output,
            close_timeout: options.config.close_timeout,
            now: Instant::from_millis(0),
            pong_timeout: options.config.pong_timeout,
            last_words: None,
            broken: false,
            in_flight: 0,
            taken: false,
            backlog: None,
        }
    }

    fn role(&self) -> Role {
        if self.keys.is_some() { Role::Client } else { Role::Server }
    }

    #[inline]
    fn key(&mut self) -> Option<MaskingKey> {
        self.keys.as_mut().map(|keys| keys.next())
    }

    /// Sends a message, text or binary.
    ///
    /// # Errors
    ///
    /// The message back, with the reason: [`SendError::NotOpen`], [`SendError::Closing`],
    /// [`SendError::OutputFull`] (write some of the output, then try again), or
    /// [`SendError::MessageOpen`] after [`send_fragment`](Self::send_fragment).
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), Unsent> {
        let message = message.into();
        if self.role() == Role::Client || message.len().min(self.max_frame()) < SHARE {
            return self.send_ref(message.as_ref()).map_err(|error| Unsent { error, message });
        }
        if let Err(error) = self.check(message.len()) {
            return Err(Unsent { error, message });
        }
        let kind = message.kind();
        let mut payload = message.into_bytes();
        loop {
            let len = payload.len().min(self.max_frame());
            let fragment = payload.split_to(len);
            let frame = frame(kind, payload.is_empty());
            // What is checked above cannot fail any more.
            if let Ok(head) = self.sender.head(frame, fragment.len() as u64, None) {
                self.output.copied().extend_from_slice(&head);
                let _ = self.sender.payload_written(fragment.len() as u64);
                self.output.share(fragment);
            }
            if payload.is_empty() {
                return Ok(());
            }
        }
    }

    /// Sends a message that somebody else holds; its payload is copied into the output.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    #[inline]
    pub fn send_ref<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), SendError> {
        let message = message.into();
        let (kind, payload) = (message.kind(), message.as_bytes());
        self.check(payload.len())?;
        let max = self.max_frame();
        if payload.len() <= max {
            return self.frame(frame(kind, true), payload);
        }
        let mut fragments = payload.chunks(max).peekable();
        while let Some(fragment) = fragments.next() {
            self.frame(frame(kind, fragments.peek().is_none()), fragment)?;
        }
        Ok(())
    }

    /// Sends a message that was encoded before: a server shares its bytes with all other receivers.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); the caller still has the message.
    pub fn send_prepared(&mut self, prepared: &PreparedMessage) -> Result<(), SendError> {
        let (message, wire) = (prepared.message(), prepared.frame());
        if self.role() == Role::Client || message.len() > self.max_frame() {
            return self.send_ref(message.as_ref());
        }
        self.check(message.len())?;
        let len = message.len() as u64;
        self.sender.head(frame(message.kind(), true), len, None)?;
        self.sender.payload_written(len)?;
        if wire.len() < SHARE {
            self.output.copied().extend_from_slice(wire);
        } else {
            self.output.share(wire.clone());
        }
        Ok(())
    }

    /// Sends one fragment of a message that is made piece by piece; `last` completes it. Text may be
    /// cut inside a character, but must be UTF-8 as a whole.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::MessageOpen`] when the message that is open is of
    /// the other kind.
    pub fn send_fragment(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        last: bool,
    ) -> Result<(), SendError> {
        self.check_open(payload.len())?;
        let mut fragments = payload.chunks(self.max_frame()).peekable();
        if fragments.peek().is_none() {
            return self.frame(frame(kind, last), &[]);
        }
        while let Some(fragment) = fragments.next() {
            self.frame(frame(kind, last && fragments.peek().is_none()), fragment)?;
        }
        Ok(())
    }

    /// Sends a Ping.
    ///
    /// # Errors
    ///
    /// [`SendError::ControlTooLong`] over 125 bytes, or as [`send`](Self::send).
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.check_open(payload.len())?;
        let key = self.key();
        self.control(|sender, out| sender.ping(payload, key, out))
    }

    /// Sends a Pong that nobody asked for; Pings are answered without it.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.check_open(payload.len())?;
        let key = self.key();
        self.control(|sender, out| sender.pong(payload, key, out))
    }

    /// Starts the closing handshake; without a code, the reason must be empty.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidCloseCode`], [`SendError::ReasonTooLong`],
    /// [`SendError::ReasonWithoutCode`], [`SendError::Closing`] when it was started before,
    /// [`SendError::NotOpen`].
    pub fn close(
        &mut self,
        code: impl Into<Option<CloseCode>>,
        reason: &str,
    ) -> Result<(), SendError> {
        match self.phase {
            Phase::Opening => return Err(SendError::NotOpen),
            Phase::Over(_) => return Err(SendError::Closing),
            Phase::Open => {}
        }
        self.pump();
        let code = code.into();
        let key = self.key();
        self.control(|sender, out| sender.close(code, reason, key, out))
    }

    fn control(
        &mut self,
        encode: impl FnOnce(&mut Sender, &mut [u8]) -> Result<usize, SendError>,
    ) -> Result<(), SendError> {
        let mut frame = [0; CONTROL];
        let len = encode(&mut self.sender, &mut frame)?;
        self.output.copied().extend_from_slice(frame.get(..len).unwrap_or_default());
        Ok(())
    }

    #[inline]
    fn frame(&mut self, frame: DataFrame, payload: &[u8]) -> Result<(), SendError> {
        let key = self.key();
        self.sender.encode_vec(frame, payload, key, self.output.copied())
    }

    fn max_frame(&self) -> usize {
        usize::try_from(self.sender.max_outgoing_frame()).unwrap_or(usize::MAX)
    }

    #[inline]
    fn check(&self, len: usize) -> Result<(), SendError> {
        self.check_open(len)?;
        if self.sender.message_open() { Err(SendError::MessageOpen) } else { Ok(()) }
    }

    #[inline]
    fn check_open(&self, len: usize) -> Result<(), SendError> {
        match self.phase {
            Phase::Opening => return Err(SendError::NotOpen),
            Phase::Over(_) => return Err(SendError::Closing),
            Phase::Open => {}
        }
        if self.sender.state() != State::Open || self.broken {
            return Err(SendError::Closing);
        }
        let waiting = self.waiting();
        if waiting != 0 && waiting.saturating_add(len) > self.max_output {
            return Err(SendError::OutputFull);
        }
        Ok(())
    }

    /// The bytes to write to the stream, control frames included.
    pub fn output(&mut self) -> &mut Output {
        self.pump();
        if self.broken {
            self.drop_output();
        }
        &mut self.output
    }

    /// As [`Endpoint::take_output`](crate::Endpoint::take_output).
    pub fn take_output(&mut self, batch: &mut Output) {
        if batch.is_empty() {
            core::mem::swap(batch, self.output());
            self.in_flight = self.in_flight.saturating_add(batch.len());
        }
    }

    /// As [`Endpoint::written`](crate::Endpoint::written).
    pub fn written(&mut self, count: usize) {
        self.in_flight = self.in_flight.saturating_sub(count);
        // The kernel takes small messages for a peer that has vanished. Where some is left, the peer has read.
        self.taken = self.in_flight != 0;
    }

    /// How many bytes are not written yet.
    #[inline]
    fn waiting(&self) -> usize {
        self.output.len().saturating_add(self.in_flight)
    }

    fn drop_output(&mut self) {
        self.output.advance(usize::MAX);
        self.in_flight = 0;
    }

    /// Encodes pending control frames, as long as the output has room; a Close frame always has.
    #[inline]
    pub(super) fn pump(&mut self) {
        while self.sender.wants_transmit()
            && (self.waiting() == 0
                || self.waiting() < self.max_output
                || self.sender.state() != State::Open)
        {
            let key = self.key();
            if self.control(|sender, out| sender.poll_transmit(out, key)).is_err() {
                return;
            }
        }
    }

    #[inline]
    pub(super) fn reply(&mut self, reply: Reply) {
        self.sender.reply(reply);
        self.pump();
    }

    /// As [`Endpoint::is_open`](crate::Endpoint::is_open).
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open && self.sender.state() == State::Open && !self.broken
    }

    pub(super) fn open(&mut self) {
        self.phase = Phase::Open;
        self.sender.opened(self.now);
    }

    /// Ends without a WebSocket.
    pub(super) fn over(&mut self) {
        self.phase = Phase::Over(self.now);
    }

    /// Appends an HTTP head that `write` makes, given a slice that is long enough.
    pub(super) fn head(
        &mut self,
        write: impl Fn(&mut [u8]) -> Result<usize, HeadError>,
    ) -> Result<(), HeadError> {
        let needed = match write(&mut []) {
            Err(HeadError::BufferTooSmall { needed }) => needed,
            other => other?,
        };
        let out = self.output.copied();
        let from = out.len();
        out.resize(from.saturating_add(needed), 0);
        let written = write(out.get_mut(from..).unwrap_or_default());
        out.truncate(from.saturating_add(*written.as_ref().unwrap_or(&0)));
        written.map(drop)
    }

    pub(super) fn body(&mut self, body: &[u8]) {
        self.output.copied().extend_from_slice(body);
    }

    /// Answers a faulty request, with a body if one may come.
    pub(super) fn refuse(&mut self, error: HandshakeError, with_body: bool) {
        if self.role() == Role::Server && error.status().is_some() {
            let _ = match with_body {
                true => self.head(|out| error.write_response(out)),
                false => self.head(|out| error.write_response_head(out)),
            };
        }
        self.over();
    }

    /// As [`Endpoint::is_closed`](crate::Endpoint::is_closed).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Over(_)) || self.sender.state() == State::Closed
    }

    /// As [`Endpoint::wants_shutdown`](crate::Endpoint::wants_shutdown).
    #[must_use]
    pub fn wants_shutdown(&self) -> bool {
        (self.broken || self.waiting() == 0)
            && (matches!(self.phase, Phase::Over(_)) || self.sender.wants_shutdown())
    }

    /// [`Config::close_timeout`](crate::Config::close_timeout).
    #[must_use]
    pub fn close_timeout(&self) -> Option<Duration> {
        let millis = u64::from(self.close_timeout);
        (millis != 0).then(|| Duration::from_millis(millis))
    }

    /// As [`Endpoint::is_finished`](crate::Endpoint::is_finished).
    #[must_use]
    pub fn is_finished(&self) -> bool {
        // What is left to say is said, even to a peer that was silent for too long.
        self.sender.is_finished() && (self.broken || self.waiting() == 0)
    }

    /// How long the last words may take; zero means for ever.
    fn patience(&self) -> u32 {
        if self.close_timeout != 0 { self.close_timeout } else { self.pong_timeout }
    }

    /// As [`Endpoint::poll_timeout`](crate::Endpoint::poll_timeout), once the opening handshake is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.sender.is_finished() {
            let patience = if self.is_finished() { 0 } else { self.patience() };
            let since = self.last_words.unwrap_or(self.now);
            return (patience != 0).then(|| since.plus_millis(patience));
        }
        match self.phase {
            Phase::Over(since) if self.close_timeout != 0 => {
                Some(since.plus_millis(self.close_timeout))
            }
            Phase::Open => self.sender.poll_timeout(),
            _ => None,
        }
    }

    /// Tells the time of what is about to be sent, or of bytes that were read and wait to be parsed,
    /// and acts on nothing that is due yet: for a driver that was away for longer than a time-out.
    pub fn set_now(&mut self, now: Instant) {
        self.now = now;
        self.sender.set_now(now);
    }

    /// As [`Endpoint::handle_timeout`](crate::Endpoint::handle_timeout), once the opening handshake is
    /// over.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        let taking = self.is_taking();
        match self.phase {
            Phase::Over(_) if taking => self.phase = Phase::Over(now),
            Phase::Over(since) => {
                if self.close_timeout != 0 && since.plus_millis(self.close_timeout).has_come(now) {
                    self.sender.end();
                    self.drop_output();
                }
            }
            Phase::Open => {
                if taking {
                    self.sender.taken(now);
                }
                self.sender.handle_timeout(now);
                self.pump();
                if self.sender.is_given_up() {
                    self.drop_output();
                }
            }
            Phase::Opening => {}
        }
        if self.sender.is_finished() && self.waiting() != 0 {
            let since = *self.last_words.get_or_insert(now);
            if taking {
                self.last_words = Some(now);
            } else if self.patience() != 0 && since.plus_millis(self.patience()).has_come(now) {
                self.drop_output();
            }
        }
    }

    /// As [`Endpoint::receive_reset`](crate::Endpoint::receive_reset), for this side.
    pub fn receive_reset(&mut self) {
        self.broken = true;
        self.drop_output();
    }

    /// Whether the peer has taken some of what waits for it all the time since the last look: it is alive,
    /// even if a Pong of its cannot come before it has the rest.
    fn is_taking(&mut self) -> bool {
        let told = core::mem::take(&mut self.taken);
        let before = self.backlog;
        self.backlog = if self.waiting() == 0 { None } else { Some(self.output.progress()) };
        told || matches!((before, self.backlog), (Some(before), Some(now)) if now.follows(before))
    }
}

const fn frame(kind: MessageKind, last: bool) -> DataFrame {
    let frame = DataFrame::new(kind);
    if last { frame } else { frame.more() }
}
