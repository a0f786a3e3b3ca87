//! Endpoints that have agreed, and a driver that asks in every way there is.

use ws_core::deflate::{DeflateOptions, DeflateParams, Deflater, Pool, WindowBits};
use ws_core::endpoint::{
    Buffers, Compression, Endpoint, EndpointError, Event, Inbound, Next, Options, Output,
};
use ws_core::message::MessageRef;
use ws_core::{Config, Message, MessageKind, Role};

use crate::common::KEY;
use crate::ends::{AT, open};

/// What one side has told; a message in pieces is told at its end.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Closed(u16),
    Failed(EndpointError),
}

/// Of a long message, its length and its ends.
impl core::fmt::Debug for Told {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Message(kind, bytes) => {
                let first = &bytes[..bytes.len().min(8)];
                let last = &bytes[bytes.len().saturating_sub(8)..];
                write!(f, "{kind:?}({}: {first:02x?}..{last:02x?})", bytes.len())
            }
            Self::Ping(payload) => write!(f, "Ping({payload:02x?})"),
            Self::Closed(code) => write!(f, "Closed({code})"),
            Self::Failed(error) => write!(f, "Failed({error:?})"),
        }
    }
}

pub(crate) fn message(message: &Message) -> Told {
    Told::Message(message.kind(), message.as_bytes().to_vec())
}

pub(crate) fn bits(bits: u8) -> WindowBits {
    WindowBits::new(bits).unwrap()
}

/// Windows of so many bits in both directions, kept between messages or not.
pub(crate) fn params(bits: u8, takeover: bool) -> DeflateParams {
    DeflateParams {
        server_no_context_takeover: !takeover,
        client_no_context_takeover: !takeover,
        server_max_window_bits: WindowBits::new(bits),
        client_max_window_bits: WindowBits::new(bits),
    }
}

/// An open endpoint that has agreed to this.
pub(crate) fn agreed(
    role: Role,
    compression: Compression,
    params: DeflateParams,
    config: Config,
) -> Endpoint {
    open(role, Options::from(config).deflate(compression.agreed(params)))
}

/// The same with windows of 12 bits, which are kept.
pub(crate) fn usual(role: Role, pool: &Pool) -> Endpoint {
    agreed(role, Compression::new(pool), params(12, true), Config::new())
}

/// The payload of a compressed message, whatever its length comes to.
pub(crate) fn compress(plain: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    let mut deflater = Deflater::new(&Pool::new(), bits(15), DeflateOptions::new());
    deflater.compress_piece(plain, true, &mut output);
    output
}

/// How an endpoint is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Next,
    NextRef,
    /// By a flush first.
    Flush,
    /// Nothing but a flush: no event is told.
    FlushAlone,
    /// Each half by itself.
    Halves,
    HalvesRef,
    /// By whether there is a message.
    HasMessage,
}

pub(crate) const WAYS: [Way; 6] =
    [Way::Next, Way::NextRef, Way::Flush, Way::Halves, Way::HalvesRef, Way::HasMessage];

/// What an answer has come to.
#[derive(Debug, PartialEq, Eq)]
enum Effect {
    Progress,
    /// There is nothing to do but to write or to read, if that can be.
    Stop {
        readable: bool,
    },
    Done,
}

/// What an endpoint has told and written.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) told: Vec<Told>,
    pub(crate) written: Vec<u8>,
    /// A message that is told in pieces.
    pub(crate) open: Option<(MessageKind, Vec<u8>)>,
    pub(crate) done: bool,
}

impl Log {
    fn tell(&mut self, told: Told) {
        let ended = matches!(self.told.last(), Some(Told::Closed(_) | Told::Failed(_)));
        assert!(!ended, "{told:?} after {:?}", self.told.last());
        self.told.push(told);
    }

    fn piece(&mut self, kind: MessageKind, bytes: &[u8], start: bool, end: bool) {
        assert!(!matches!(self.told.last(), Some(Told::Closed(_) | Told::Failed(_))));
        assert_eq!(start, self.open.is_none(), "a message starts when none is open");
        let open = self.open.get_or_insert((kind, Vec::new()));
        assert_eq!(open.0, kind);
        open.1.extend_from_slice(bytes);
        if end {
            let (kind, bytes) = self.open.take().unwrap();
            assert!(kind != MessageKind::Text || core::str::from_utf8(&bytes).is_ok());
            self.tell(Told::Message(kind, bytes));
        }
    }

    fn own(&mut self, event: Event) {
        match event {
            Event::Message(message) => {
                assert!(self.open.is_none());
                self.tell(Told::Message(message.kind(), message.as_bytes().to_vec()));
            }
            Event::Chunk { kind, bytes, start, end, .. } => self.piece(kind, &bytes, start, end),
            Event::Ping(payload) => self.tell(Told::Ping(payload.to_vec())),
            Event::Closed => self.tell(Told::Closed(0)),
            other => panic!("{other:?}"),
        }
    }

    fn lent(&mut self, event: Event<MessageRef<'_>, &[u8]>) {
        match event {
            Event::Message(message) => self.own(Event::Message(message.into())),
            Event::Chunk { kind, bytes, start, end, .. } => self.piece(kind, bytes, start, end),
            Event::Ping(payload) => self.tell(Told::Ping(payload.to_vec())),
            Event::Closed => self.tell(Told::Closed(0)),
            other => panic!("{other:?}"),
        }
    }

    /// Does what an answer says; nothing is written while the stream is `blocked`.
    fn follow<E>(
        &mut self,
        next: Next<'_, E>,
        blocked: bool,
        tell: impl FnOnce(&mut Self, E),
    ) -> Effect {
        match next {
            Next::Event(event) => tell(self, event),
            Next::Failed(error) => self.tell(Told::Failed(error)),
            Next::Write { read, .. } if blocked => {
                return Effect::Stop { readable: read.is_some() };
            }
            Next::Write { mut output, .. } => {
                let count = output.chunk().len();
                self.written.extend_from_slice(output.chunk());
                output.advance(count);
            }
            Next::Shutdown { side, .. } => side.shut_down(),
            Next::Wait { read, .. } => {
                return Effect::Stop { readable: read.is_some() };
            }
            Next::Done => return Effect::Done,
        }
        Effect::Progress
    }

    /// Asks until there is nothing to do but to read; returns whether that can be.
    pub(crate) fn ask(&mut self, endpoint: &mut Endpoint, way: Way, blocked: bool) -> bool {
        for _ in 0..1_000_000 {
            let effect = self.ask_once(endpoint, way, blocked);
            if let Some(Told::Closed(code)) = self.told.last_mut() {
                *code = endpoint.close_info().unwrap().code.get();
            }
            match effect {
                Effect::Progress => {}
                Effect::Stop { readable } => return readable,
                Effect::Done => {
                    self.done = true;
                    return false;
                }
            }
        }
        panic!("it does not come to rest");
    }

    fn ask_once(&mut self, endpoint: &mut Endpoint, way: Way, blocked: bool) -> Effect {
        let now = || AT(0);
        match way {
            Way::Next => self.follow(endpoint.next(now), blocked, Self::own),
            Way::NextRef => {
                self.follow(endpoint.next_ref(now), blocked, |log, (event, _)| log.lent(event))
            }
            Way::Flush => match self.follow(endpoint.next_write(now), blocked, Self::own) {
                Effect::Progress => Effect::Progress,
                _ => self.follow(endpoint.next(now), blocked, Self::own),
            },
            Way::FlushAlone => self.follow(endpoint.next_write(now), blocked, Self::own),
            Way::HasMessage => {
                let Endpoint { inbound, outbound, .. } = &mut *endpoint;
                if inbound.has_message(outbound) {
                    let next = inbound.next_ref(outbound, now);
                    assert!(matches!(next, Next::Event(Event::Message(_))));
                    return self.follow(next, blocked, Self::lent);
                }
                self.follow(endpoint.next_ref(now), blocked, |log, (event, _)| log.lent(event))
            }
            Way::Halves | Way::HalvesRef => {
                let Endpoint { inbound, outbound, .. } = endpoint;
                let reads = if way == Way::Halves {
                    self.follow(inbound.next(outbound, now), blocked, Self::own)
                } else {
                    self.follow(inbound.next_ref(outbound, now), blocked, Self::lent)
                };
                if reads == Effect::Progress {
                    return reads;
                }
                match self.follow(outbound.next(now), blocked, Self::own) {
                    Effect::Progress => Effect::Progress,
                    Effect::Done if reads == Effect::Done => Effect::Done,
                    _ if reads == Effect::Done => Effect::Stop { readable: false },
                    _ => reads,
                }
            }
        }
    }
}

/// How a driver goes on: it asks, then reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) way: Way,
    /// How much is read at once.
    pub(crate) size: usize,
    /// Whether 64 KiB of output are in the way, and the stream takes nothing.
    pub(crate) blocked: bool,
    pub(crate) streaming: bool,
    /// Whether it is a visit with buffers that are shared.
    pub(crate) shared: bool,
    /// Whether buffers are released after it.
    pub(crate) releases: bool,
}

impl Step {
    pub(crate) fn new(way: Way, size: usize, streaming: bool) -> Self {
        Self { way, size, blocked: false, streaming, shared: false, releases: false }
    }
}

/// Passes a stream, step by step, over and over, until all is told.
pub(crate) fn feed(endpoint: &mut Endpoint, stream: &[u8], steps: &[Step], log: &mut Log) {
    let mut buffers = Buffers::new();
    let mut rest = stream;
    let mut last = [Step::new(Way::Next, 1, false)].into_iter();
    let mut idle = 0;
    let mut blocks = 0;
    for step in steps.iter().cycle() {
        let mut step = if rest.is_empty() && idle > steps.len() {
            let Some(step) = last.next() else { return };
            step
        } else {
            *step
        };
        // Events are told at last.
        if idle > steps.len() {
            (step.way, step.blocked) = (Way::Next, false);
        }
        // Not so often that it takes long.
        blocks += usize::from(step.blocked);
        step.blocked &= blocks < 20;
        step.size = step.size.max(stream.len() / 3_000);
        if step.blocked && endpoint.outbound.is_open() && endpoint.outbound.waiting() < 70_000 {
            // Not compressed: it is to be in the way.
            endpoint.outbound.set_compression(false);
            endpoint.outbound.queue_ref(&[7; 70_000][..]).unwrap();
            endpoint.outbound.set_compression(true);
        }
        let count = if step.shared {
            let mut ws = endpoint.with_buffers(&mut buffers);
            visit(&mut ws, step, rest, log)
        } else {
            visit(endpoint, step, rest, log)
        };
        rest = &rest[count..];
        if step.releases {
            endpoint.release_buffers();
        }
        idle = if count == 0 { idle + 1 } else { 0 };
        assert!(idle < 10 * steps.len() + 10, "{} bytes are left", rest.len());
    }
}

fn visit(endpoint: &mut Endpoint, step: Step, rest: &[u8], log: &mut Log) -> usize {
    endpoint.inbound.set_streaming(step.streaming);
    let readable = log.ask(endpoint, step.way, step.blocked);
    if !readable {
        return 0;
    }
    receive(&mut endpoint.inbound, &rest[..rest.len().min(step.size)])
}

fn receive(inbound: &mut Inbound, bytes: &[u8]) -> usize {
    let count = inbound.receive(bytes);
    assert!(bytes.is_empty() || count > 0, "there is room to read into");
    count
}

/// All that waits, in batches; if `pings`, a Ping is sent after every other batch, behind which the next fragment is cut.
pub(crate) fn take(endpoint: &mut Endpoint, pings: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for batches in 0.. {
        let mut batch = Output::default();
        endpoint.outbound.take_output(&mut batch);
        if batch.is_empty() {
            assert_eq!(endpoint.outbound.waiting(), 0);
            return bytes;
        }
        batch.slices().for_each(|segment| bytes.extend_from_slice(segment));
        endpoint.outbound.written(batch.len());
        if pings && batches % 2 == 0 && endpoint.outbound.waiting() > 0 {
            endpoint.outbound.ping(b"between").unwrap();
        }
    }
    bytes
}

/// A frame to `role`.
pub(crate) fn frame(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    crate::common::raw(first, (role == Role::Server).then_some(KEY), payload)
}

/// A message to `role` as this payload in frames of at most `size` bytes, the first of them marked as compressed.
pub(crate) fn fragments(role: Role, opcode: u8, payload: &[u8], size: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    let count = payload.len().div_ceil(size).max(1);
    for at in 0..count {
        let piece = &payload[at * size..payload.len().min((at + 1) * size)];
        let fin = if at + 1 == count { 0x80 } else { 0 };
        let first = if at == 0 { 0x40 | opcode } else { 0 };
        stream.extend(frame(role, fin | first, piece));
    }
    stream
}
