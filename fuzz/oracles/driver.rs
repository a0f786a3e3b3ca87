//! A driver that follows the run loop, a stream in memory, and an application whose calls the fuzzer chooses.

use std::collections::VecDeque;
use std::io;

use ws_core::endpoint::{CloseInfo, Endpoint, EndpointError, Event, Inbound, Next};
use ws_core::handshake::{AcceptResponse, OpenError};
use ws_core::{Instant, Message, MessageKind, SendError};

/// One direction of a stream.
pub(super) struct Pipe {
    bytes: VecDeque<u8>,
    /// How many bytes fit.
    capacity: usize,
    /// The writer has ended it.
    pub(super) ended: bool,
    /// The reader is gone, so that writing fails.
    pub(super) refused: bool,
    /// How many bytes were written in all.
    pub(super) written: usize,
}

impl Pipe {
    /// Returns a pipe with as much room as a byte of the input says: from one byte to more than endpoints hold back.
    pub(super) fn sized(room: u8) -> Self {
        Self::new(match room {
            0..=9 => 1 + 7 * usize::from(room),
            10..=250 => 64 * usize::from(room),
            _ => 200_000,
        })
    }

    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: VecDeque::new(), capacity, ended: false, refused: false, written: 0 }
    }

    /// Takes as many bytes as there is room for, but no more than `most`, and returns how many.
    pub(super) fn write(&mut self, bytes: &[u8], most: usize) -> usize {
        let room = self.capacity.saturating_sub(self.bytes.len()).min(most);
        let taken = bytes.len().min(room);
        if !self.refused {
            self.bytes.extend(&bytes[..taken]);
        }
        self.written += taken;
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn read(&mut self, room: &mut [u8], most: usize) -> usize {
        let len = room.len().min(most);
        io::Read::read(&mut self.bytes, &mut room[..len]).expect("it is memory")
    }

    /// Returns all that was written and not read.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes).into()
    }

    /// Loses what was written, as a reset does.
    pub(super) fn reset(&mut self) {
        self.bytes.clear();
        (self.ended, self.refused) = (true, true);
    }
}

/// What a turn has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Progress,
    /// Nothing can be done before this time, or before the stream can be read or written.
    Idle(Option<Instant>),
    Done,
}

/// How a connection has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Failed(EndpointError),
}

/// What was told, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Message(Message),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

/// An endpoint with its driver and its application.
pub(super) struct Side {
    pub(super) endpoint: Endpoint,
    lending: bool,
    /// Messages that the endpoint has accepted, and the one that is open.
    pub(super) sent: Vec<Message>,
    open: Option<(MessageKind, Vec<u8>)>,
    pub(super) pings: Vec<Vec<u8>>,
    pub(super) pongs: Vec<Vec<u8>>,
    pub(super) told: Vec<Told>,
    partial: Option<(MessageKind, Vec<u8>)>,
    pub(super) end: Option<End>,
    eof: bool,
    /// The stream has failed.
    reset: bool,
    /// The stream was dropped.
    pub(super) done: bool,
    /// What `Wait` said last.
    pub(super) until: Option<Instant>,
    serial: u32,
    /// How many bytes of messages may still be queued.
    budget: usize,
}

/// For each byte of room in the stream, this many bytes of messages are sent, so that a run has few steps.
const PER_ROOM: usize = 1000;
const MOST_SENT: usize = 250_000;

impl Side {
    /// `outgoing` is the stream that it writes to.
    pub(super) fn new(endpoint: Endpoint, lending: bool, outgoing: &Pipe) -> Self {
        Self {
            endpoint,
            lending,
            sent: Vec::new(),
            open: None,
            pings: Vec::new(),
            pongs: Vec::new(),
            told: Vec::new(),
            partial: None,
            end: None,
            eof: false,
            reset: false,
            done: false,
            until: None,
            serial: 0,
            budget: (PER_ROOM * outgoing.capacity).min(MOST_SENT),
        }
    }

    /// Does what the endpoint says, once. At most `most` bytes are written or read.
    pub(super) fn turn(
        &mut self,
        now: Instant,
        incoming: &mut Pipe,
        outgoing: &mut Pipe,
        most: usize,
        only_write: bool,
    ) -> Turn {
        if self.done {
            return Turn::Done;
        }
        if only_write {
            return match self.endpoint.next_write(|| now) {
                Next::Event(_) | Next::Failed(_) => panic!("next_write has no events"),
                Next::Write { mut output, read, .. } => {
                    let count = outgoing.write(output.chunk(), most);
                    output.advance(count);
                    let read = if count == 0 { read } else { None };
                    let count = count
                        + read.map_or(0, |inbound| {
                            let count = incoming.read(inbound.read_buf(), most);
                            inbound.filled(count);
                            count
                        });
                    if count > 0 { Turn::Progress } else { Turn::Idle(None) }
                }
                Next::Shutdown { .. } | Next::Wait { .. } | Next::Done => Turn::Idle(None),
            };
        }
        let told = if self.lending {
            map(self.endpoint.next_ref(|| now), |(event, _)| saw(event))
        } else {
            map(self.endpoint.next(|| now), saw)
        };
        match told {
            Next::Event(event) => {
                self.see(event);
                Turn::Progress
            }
            Next::Failed(error) => {
                self.finish(End::Failed(error));
                Turn::Progress
            }
            Next::Write { mut output, read, until } => {
                assert!(!output.is_empty(), "nothing to write");
                if outgoing.refused {
                    self.receive_reset();
                    return Turn::Progress;
                }
                let count = outgoing.write(output.chunk(), most);
                output.advance(count);
                if count > 0 {
                    return Turn::Progress;
                }
                // The stream takes nothing, so the driver reads instead.
                let eof = &mut self.eof;
                match read.and_then(|inbound| receive(inbound, incoming, most, eof)) {
                    Some(turn) => turn,
                    None => self.idle(now, until),
                }
            }
            Next::Wait { read, until } => {
                let eof = &mut self.eof;
                match read.and_then(|inbound| receive(inbound, incoming, most, eof)) {
                    Some(turn) => turn,
                    None => self.idle(now, until),
                }
            }
            Next::Shutdown { side, .. } => {
                outgoing.ended = true;
                side.shut_down();
                Turn::Progress
            }
            Next::Done => {
                self.leave(incoming, outgoing);
                Turn::Done
            }
        }
    }

    /// A deadline that has passed was acted on, or the driver would ask again and again.
    fn idle(&mut self, now: Instant, until: Option<Instant>) -> Turn {
        assert!(until.is_none_or(|until| !until.saturating_since(now).is_zero()), "it spins");
        self.until = until;
        Turn::Idle(until)
    }

    /// The stream has failed.
    pub(super) fn receive_reset(&mut self) {
        self.reset = true;
        self.endpoint.outbound.receive_reset();
    }

    /// Drops the stream.
    pub(super) fn leave(&mut self, incoming: &mut Pipe, outgoing: &mut Pipe) {
        self.done = true;
        outgoing.ended = true;
        incoming.refused = true;
    }

    fn finish(&mut self, end: End) {
        assert_eq!(self.end, None, "{end:?} after the end");
        self.end = Some(end);
    }

    fn see(&mut self, saw: Saw) {
        assert_eq!(self.end, None, "{saw:?} after the end");
        match saw {
            Saw::Request => {
                // A request that came before the stream has failed is told, but has no answer any more.
                let answer = self.endpoint.outbound.accept(&AcceptResponse::new());
                let expected = if self.reset { Err(OpenError::NoRequest) } else { Ok(()) };
                assert_eq!(answer, expected);
            }
            Saw::Open => {}
            Saw::Told(told) => self.told.push(told),
            Saw::Chunk { kind, bytes, start, end } => {
                assert_eq!(start, self.partial.is_none(), "where a message starts");
                let partial = self.partial.get_or_insert((kind, Vec::new()));
                assert_eq!(partial.0, kind);
                partial.1.extend(bytes);
                if end {
                    let (kind, bytes) = self.partial.take().expect("it is open");
                    self.told.push(Told::Message(message(kind, bytes)));
                }
            }
            Saw::Closed => {
                assert!(self.close_info().is_some());
                self.finish(End::Closed);
            }
        }
    }

    pub(super) fn close_info(&self) -> Option<CloseInfo> {
        self.endpoint.close_info()
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.told.iter().filter_map(|told| match told {
            Told::Message(message) => Some(message),
            _ => None,
        })
    }

    /// Returns bytes that differ from those of other calls.
    fn payload(&mut self, kind: MessageKind, len: usize) -> Vec<u8> {
        self.serial += 1;
        let text = format!("{}é", self.serial);
        let mut payload = text.repeat(len / text.len() + 1).into_bytes();
        payload.truncate(if kind == MessageKind::Text {
            text.len() * (len / text.len())
        } else {
            len
        });
        payload
    }

    /// Does what an application may do at any time. There are eight such calls.
    pub(super) fn call(&mut self, what: u8, arg: u8) {
        let many = usize::from(arg);
        let kind = if arg & 1 != 0 { MessageKind::Text } else { MessageKind::Binary };
        match what {
            0 => self.queue(MessageKind::Text, many),
            1 => self.queue(MessageKind::Binary, many),
            2 => self.queue(kind, many * 300),
            3 | 4 => self.fragment(kind, many >> 2, arg & 2 != 0),
            5 => self.ping(many),
            6 => self.pong(many),
            _ => {
                let code = [1000, 1001, 1005, 1010, 1015, 3000, 4999, 5000][many % 8];
                self.close(code, &"é".repeat(if code == 1005 { many >> 7 } else { many >> 3 }));
            }
        }
    }

    /// Returns a time right before the deadline, at it, or right after it.
    pub(super) fn near_deadline(&self, now: u32, arg: u8) -> u32 {
        let rest = self.until.map_or(0, |until| {
            until.saturating_since(Instant::from_millis(now)).as_millis() as u32
        });
        now + (rest + u32::from(arg % 3)).saturating_sub(1)
    }

    fn queue(&mut self, kind: MessageKind, len: usize) {
        let Some(budget) = self.budget.checked_sub(len) else { return };
        self.budget = budget;
        let payload = self.payload(kind, len);
        let message = message(kind, payload);
        match self.endpoint.outbound.queue(message.clone()) {
            Ok(()) => {
                assert!(self.open.is_none(), "a message inside another one");
                self.sent.push(message);
            }
            Err(unsent) => {
                assert_eq!(unsent.message, message);
                self.refused(unsent.error);
            }
        }
    }

    fn fragment(&mut self, kind: MessageKind, len: usize, last: bool) {
        let payload = self.payload(kind, len);
        match self.endpoint.outbound.queue_fragment(kind, &payload, last) {
            Ok(()) => {
                let open = self.open.get_or_insert((kind, Vec::new()));
                assert_eq!(open.0, kind, "one kind for all fragments");
                open.1.extend(payload);
                if last {
                    let (kind, bytes) = self.open.take().expect("it is open");
                    self.sent.push(message(kind, bytes));
                }
            }
            Err(error) => self.refused(error),
        }
    }

    /// Ends the message that is open.
    pub(super) fn end_fragments(&mut self) {
        if let Some((kind, _)) = self.open {
            self.fragment(kind, 0, true);
        }
    }

    fn ping(&mut self, len: usize) {
        let payload = self.payload(MessageKind::Binary, len);
        match self.endpoint.outbound.ping(&payload) {
            Ok(()) => self.pings.push(payload),
            Err(SendError::ControlTooLong) => assert!(len > 125),
            Err(error) => self.refused(error),
        }
    }

    fn pong(&mut self, len: usize) {
        let payload = self.payload(MessageKind::Binary, len);
        match self.endpoint.outbound.pong(&payload) {
            Ok(()) => self.pongs.push(payload),
            Err(SendError::ControlTooLong) => assert!(len > 125),
            Err(error) => self.refused(error),
        }
    }

    pub(super) fn close(&mut self, code: u16, reason: &str) {
        if let Err(error) = self.endpoint.outbound.start_close(code, reason) {
            assert!(!matches!(error, SendError::MessageOpen | SendError::Random), "{error}");
            let is_about_code = matches!(
                error,
                SendError::InvalidCloseCode(_)
                    | SendError::ReasonTooLong
                    | SendError::ReasonWithoutCode
            );
            assert!(is_about_code || !self.endpoint.outbound.is_open(), "{error}");
        }
    }

    /// A refusal has a reason.
    fn refused(&self, error: SendError) {
        match error {
            SendError::NotOpen | SendError::Closing => {
                assert!(!self.endpoint.outbound.is_open(), "{error}");
            }
            SendError::MessageOpen => assert!(self.open.is_some(), "{error}"),
            SendError::OutputFull => assert!(self.endpoint.outbound.waiting() > 0, "{error}"),
            error => panic!("{error}"),
        }
    }
}

/// Reads into the endpoint, or tells it once that the stream has ended. Returns `None` if there is nothing to read.
fn receive(
    inbound: &mut Inbound,
    incoming: &mut Pipe,
    most: usize,
    eof: &mut bool,
) -> Option<Turn> {
    let room = inbound.read_buf();
    assert!(!room.is_empty(), "nowhere to read to");
    let count = incoming.read(room, most);
    inbound.filled(count);
    if count == 0 && incoming.ended && !*eof {
        *eof = true;
        inbound.receive_eof();
        return Some(Turn::Progress);
    }
    (count > 0).then_some(Turn::Progress)
}

fn message(kind: MessageKind, bytes: Vec<u8>) -> Message {
    match kind {
        MessageKind::Text => Message::from(String::from_utf8(bytes).expect("UTF-8")),
        MessageKind::Binary => Message::from(bytes),
    }
}

/// An event, with what it lends copied.
#[derive(Debug)]
enum Saw {
    Request,
    Open,
    Told(Told),
    Chunk { kind: MessageKind, bytes: Vec<u8>, start: bool, end: bool },
    Closed,
}

fn saw<M: Into<Message>, B: AsRef<[u8]>>(event: Event<M, B>) -> Saw {
    match event {
        Event::Request(_) => Saw::Request,
        Event::Open { .. } => Saw::Open,
        Event::Message(message) => Saw::Told(Told::Message(message.into())),
        Event::Ping(payload) => Saw::Told(Told::Ping(payload.as_ref().to_vec())),
        Event::Pong(payload) => Saw::Told(Told::Pong(payload.as_ref().to_vec())),
        Event::Chunk { kind, bytes, start, end, .. } => {
            Saw::Chunk { kind, bytes: bytes.as_ref().to_vec(), start, end }
        }
        Event::Closed => Saw::Closed,
        _ => panic!("neither a request for a page nor a refusal"),
    }
}

fn map<E>(next: Next<'_, E>, saw: impl FnOnce(E) -> Saw) -> Next<'_, Saw> {
    match next {
        Next::Event(event) => Next::Event(saw(event)),
        Next::Failed(error) => Next::Failed(error),
        Next::Write { output, read, until } => Next::Write { output, read, until },
        Next::Shutdown { side, until } => Next::Shutdown { side, until },
        Next::Wait { read, until } => Next::Wait { read, until },
        Next::Done => Next::Done,
    }
}
