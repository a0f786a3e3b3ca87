//! What holds for an endpoint whatever its peer, its application, its stream and its clock do.
#![cfg(feature = "endpoint")]

mod common;
mod ends;

use std::time::Duration;

use common::*;
use ends::{Seen, *};
use proptest::prelude::*;
use ws_core::endpoint::{Event, Inbound, Next, Options, Output};
use ws_core::handshake::{AcceptResponse, HttpResponse};
use ws_core::message::MessageRef;
use ws_core::{CloseCode, Config, Endpoint, Instant, MessageKind, Role};

/// A piece of what a peer sends; most are frames that are right.
#[derive(Clone, Debug)]
enum Piece {
    Frame(u8, Vec<u8>),
    /// A long frame.
    Long(u8, usize),
    Raw(Vec<u8>),
}

impl Piece {
    fn bytes(&self, role: Role) -> Vec<u8> {
        match self {
            Self::Frame(first, payload) => to(role, *first, payload),
            Self::Long(first, len) => to(role, *first, &vec![b'x'; *len]),
            Self::Raw(bytes) => bytes.clone(),
        }
    }
}

fn piece() -> impl Strategy<Value = Piece> {
    let text = || "[aκ\u{10348}]{0,20}".prop_map(String::into_bytes);
    prop_oneof![
        12 => (prop::sample::select(vec![TEXT, BINARY, PING, PONG]), text())
            .prop_map(|(opcode, payload)| Piece::Frame(FIN | opcode, payload)),
        4 => (prop::sample::select(vec![FIN | TEXT, FIN | BINARY]), 0..80_000_usize)
            .prop_map(|(first, len)| Piece::Long(first, len)),
        2 => (prop::sample::select(vec![TEXT, BINARY, CONT, FIN | CONT]), text())
            .prop_map(|(first, payload)| Piece::Frame(first, payload)),
        1 => Just(Piece::Frame(FIN | CLOSE, close_body(1000, "bye"))),
        1 => Just(Piece::Frame(FIN | TEXT, b"\xff".to_vec())),
        1 => proptest::collection::vec(any::<u8>(), 1..20).prop_map(Piece::Raw),
    ]
}

fn role() -> impl Strategy<Value = Role> {
    prop::sample::select(ROLES.to_vec())
}

/// How an endpoint is asked.
#[derive(Clone, Copy, Debug)]
enum Way {
    Next,
    NextRef,
    /// By flushes, and for events when all is written.
    Flush,
    /// Each half by itself.
    Halves,
}

fn way() -> impl Strategy<Value = Way> {
    prop::sample::select(vec![Way::Next, Way::NextRef, Way::Flush, Way::Halves])
}

/// What happens to an endpoint.
#[derive(Clone, Debug)]
enum Act {
    /// Its peer sends this.
    Peer(Piece),
    /// Its stream can take so much more.
    Room(usize),
    /// Time goes on; now and then it seems to go back.
    Clock(i32),
    Send(usize),
    Fragment(usize, bool),
    Ping,
    Close,
    /// Its driver goes on with batches of output.
    Batch,
    Streaming(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => piece().prop_map(Act::Peer),
        4 => prop_oneof![1..200_usize, 1..100_000_usize].prop_map(Act::Room),
        3 => prop_oneof![0..100, 0..10_000, 0..100_000, -1_000..0_i32, -60_000..0_i32]
            .prop_map(Act::Clock),
        4 => prop_oneof![0..100_usize, 0..90_000_usize].prop_map(Act::Send),
        1 => (0..2_000_usize, any::<bool>()).prop_map(|(len, last)| Act::Fragment(len, last)),
        1 => Just(Act::Ping),
        1 => Just(Act::Batch),
        1 => Just(Act::Close),
        1 => any::<bool>().prop_map(Act::Streaming),
    ]
}

/// How it comes to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer ends its side, and takes all.
    Eof,
    Reset,
    /// The application closes, and the peer does nothing any more.
    Close,
}

fn config() -> impl Strategy<Value = Config> {
    let some = || proptest::option::of((1..5_000_u64).prop_map(Duration::from_millis));
    let max = prop_oneof![Just(u64::MAX), 1..5_000_u64];
    (max, some(), some(), some(), 1..5_000_u64).prop_map(|(max, ping, pong, idle, close)| {
        Config::new()
            .max_outgoing_frame(max)
            .ping_interval(ping)
            .pong_timeout(pong)
            .idle_timeout(idle)
            .close_timeout(Some(Duration::from_millis(close)))
    })
}

/// What an answer has come to.
enum Effect {
    Event(Seen),
    /// A piece of a message, and whether it ends there.
    Piece(MessageKind, Vec<u8>, bool),
    Progress,
    /// Nothing can be done before this time, or before something happens.
    Blocked(Option<Instant>),
    Done,
}

fn told(event: Event) -> Effect {
    match event {
        Event::Chunk { kind, bytes, end, .. } => Effect::Piece(kind, bytes.to_vec(), end),
        other => Effect::Event(own(other)),
    }
}

fn told_ref(event: Event<MessageRef<'_>, &[u8]>) -> Effect {
    match event {
        Event::Chunk { kind, bytes, end, .. } => Effect::Piece(kind, bytes.to_vec(), end),
        other => Effect::Event(lent(other)),
    }
}

/// A stream that takes and gives as much as it likes.
#[derive(Default)]
struct Stream {
    now: u32,
    /// What the peer has sent and nobody has read.
    incoming: Vec<u8>,
    /// The peer sends nothing more; that is known when all is read.
    ended: bool,
    /// How much it takes before it blocks.
    room: usize,
    /// Output that is in flight.
    batch: Output,
    /// Whether it can be shut down without waiting.
    confirms: bool,
    read: Vec<u8>,
    written: Vec<u8>,
}

impl Stream {
    /// Does what a driver is told.
    fn follow<E>(&mut self, next: Next<'_, E>, told: impl FnOnce(E) -> Effect) -> Effect {
        match next {
            Next::Event(event) => told(event),
            Next::Failed(error) => Effect::Event(Seen::Failed(error)),
            Next::Write { mut output, read, until } => {
                if !self.batch.is_empty() {
                    return self.read(read, until);
                }
                // Once, and not all.
                let count = output.chunk().len().min(self.room);
                if count == 0 {
                    return self.read(read, until);
                }
                self.written.extend_from_slice(&output.chunk()[..count]);
                output.advance(count);
                self.room -= count;
                Effect::Progress
            }
            Next::Shutdown { side, .. } if self.confirms => {
                side.shut_down();
                Effect::Progress
            }
            // The last try is not repeated.
            Next::Shutdown { until: Some(until), .. } if until == AT(self.now) => Effect::Progress,
            Next::Shutdown { until, .. } => Effect::Blocked(until),
            Next::Wait { read, until } => self.read(read, until),
            Next::Done => Effect::Done,
        }
    }

    fn read(&mut self, read: Option<&mut Inbound>, until: Option<Instant>) -> Effect {
        let Some(inbound) = read else { return Effect::Blocked(until) };
        let count = inbound.receive(&self.incoming);
        self.read.extend(self.incoming.drain(..count));
        if count == 0 && self.ended {
            assert!(self.incoming.is_empty(), "there is room to read into");
            inbound.receive_eof();
            return Effect::Progress;
        }
        if count > 0 { Effect::Progress } else { Effect::Blocked(until) }
    }

    /// Writes what is in flight; gives how much that was.
    fn write_batch(&mut self) -> usize {
        let mut written = 0;
        while !self.batch.is_empty() && self.room > 0 {
            let count = self.batch.chunk().len().min(self.room);
            self.written.extend_from_slice(&self.batch.chunk()[..count]);
            self.batch.advance(count);
            self.room -= count;
            written += count;
        }
        written
    }
}

/// An endpoint and the driver that follows its answers.
struct Model {
    endpoint: Endpoint,
    role: Role,
    way: Way,
    stream: Stream,
    /// Whether a request is accepted; otherwise it gets a page.
    accepts: bool,
    told: Vec<Seen>,
    /// How much was read when the end was told.
    read_at_end: Option<usize>,
    /// Of a message that is told in pieces.
    pieces: Vec<u8>,
    /// Whole messages that were sent, and what there is of another.
    sent: Vec<Vec<u8>>,
    sending: Vec<u8>,
    done: bool,
}

impl Model {
    fn new(endpoint: Endpoint, role: Role, way: Way, confirms: bool) -> Self {
        Self {
            endpoint,
            role,
            way,
            stream: Stream { confirms, ..Stream::default() },
            accepts: true,
            told: Vec::new(),
            read_at_end: None,
            pieces: Vec::new(),
            sent: Vec::new(),
            sending: Vec::new(),
            done: false,
        }
    }

    /// Does all that can be done at this time; gives the time until which the driver waits then.
    fn settle(&mut self) -> Option<Instant> {
        let mut spins = 0;
        for _ in 0..100_000 {
            let written = self.stream.write_batch();
            self.endpoint.outbound.written(written);
            let until = match self.step() {
                Effect::Blocked(until) => until,
                Effect::Done => {
                    self.done = true;
                    return None;
                }
                _ => continue,
            };
            // A sleep until a time that has come is none.
            let now = AT(self.stream.now);
            if until.is_none_or(|until| until != now && now.saturating_since(until).is_zero()) {
                return until;
            }
            spins += 1;
            assert!(spins < 5, "it spins until {until:?} at {now:?}");
        }
        panic!("it does not come to rest");
    }

    fn step(&mut self) -> Effect {
        let Self { endpoint, stream, .. } = self;
        let now = AT(stream.now);
        let did = match self.way {
            Way::Next => stream.follow(endpoint.next(|| now), told),
            Way::NextRef => stream.follow(endpoint.next_ref(|| now), |(event, _)| told_ref(event)),
            Way::Flush => match stream.follow(endpoint.next_write(|| now), told) {
                Effect::Progress => Effect::Progress,
                _ => stream.follow(endpoint.next(|| now), told),
            },
            Way::Halves => {
                let Endpoint { inbound, outbound, .. } = endpoint;
                let reads = stream.follow(inbound.next(outbound, || now), told);
                let writes = match reads {
                    Effect::Blocked(_) | Effect::Done => stream.follow(outbound.next(|| now), told),
                    _ => Effect::Progress,
                };
                match (reads, writes) {
                    (reads @ (Effect::Event(_) | Effect::Piece(..)), _) => reads,
                    (Effect::Blocked(a), Effect::Blocked(b)) => Effect::Blocked(earlier(a, b, now)),
                    // Whoever is done waits for the other.
                    (Effect::Done, other) | (other, Effect::Done) => other,
                    _ => Effect::Progress,
                }
            }
        };
        match did {
            Effect::Event(event) => {
                self.tell(event);
                Effect::Progress
            }
            Effect::Piece(kind, bytes, end) => {
                self.pieces.extend(bytes);
                if end {
                    let whole = core::mem::take(&mut self.pieces);
                    self.tell(match kind {
                        MessageKind::Text => text(core::str::from_utf8(&whole).unwrap()),
                        MessageKind::Binary => binary(&whole),
                    });
                }
                Effect::Progress
            }
            other => other,
        }
    }

    fn tell(&mut self, event: Seen) {
        assert!(!self.told.last().is_some_and(Seen::is_end), "{event:?} after an end");
        assert!(!self.done, "{event:?} after it was done");
        if let Seen::Request(..) = event {
            if self.accepts {
                self.endpoint.outbound.accept(&AcceptResponse::new()).unwrap();
            } else {
                let page = HttpResponse::new(404).body(b"no");
                self.endpoint.outbound.respond(&page).unwrap();
            }
        }
        let event = match event {
            Seen::Closed { .. } => {
                let info = self.endpoint.close_info().unwrap();
                closed(info.code.get(), &info.reason)
            }
            other => other,
        };
        if event.is_end() {
            self.read_at_end = Some(self.stream.read.len());
        }
        self.told.push(event);
    }

    fn act(&mut self, act: &Act) {
        let out = &mut self.endpoint.outbound;
        match act {
            Act::Peer(piece) => self.stream.incoming.extend(piece.bytes(self.role)),
            Act::Room(room) => self.stream.room += room,
            Act::Clock(millis) => {
                self.stream.now = self.stream.now.wrapping_add_signed(*millis);
            }
            Act::Send(len) => {
                let message = vec![b'm'; *len];
                if out.queue(&message[..]).is_ok() {
                    self.sent.push(message);
                }
            }
            Act::Fragment(len, last) => {
                let part = vec![b'f'; *len];
                if out.queue_fragment(MessageKind::Binary, &part, *last).is_ok() {
                    self.sending.extend(part);
                    if *last {
                        self.sent.push(core::mem::take(&mut self.sending));
                    }
                }
            }
            Act::Ping => {
                let _ = out.ping(b"ping");
            }
            Act::Close => {
                let _ = out.start_close(CloseCode::NORMAL, "");
            }
            Act::Batch => out.take_output(&mut self.stream.batch),
            Act::Streaming(streaming) => self.endpoint.inbound.set_streaming(*streaming),
        }
    }

    /// Comes to an end; the driver wakes up so much too late each time.
    fn finish(&mut self, end: End, late: u32) {
        match end {
            End::Eof => {
                self.stream.ended = true;
                self.stream.room = usize::MAX;
            }
            End::Reset => {
                self.endpoint.outbound.receive_reset();
                self.stream.batch = Output::default();
                self.stream.room = 0;
            }
            End::Close => self.stream.room = 0,
        }
        for _ in 0..100 {
            if end == End::Close && self.endpoint.outbound.is_open() {
                self.endpoint.outbound.start_close(CloseCode::NORMAL, "").unwrap();
            }
            let until = self.settle();
            if end == End::Close && self.endpoint.outbound.is_open() {
                continue;
            }
            if self.done {
                return;
            }
            let until = until.unwrap_or_else(|| panic!("it waits for ever: {:?}", self.told));
            self.stream.now = until.as_millis().wrapping_add(late);
        }
        panic!("it does not end");
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>, now: Instant) -> Option<Instant> {
    let (Some(a), Some(b)) = (a, b) else { return a.or(b) };
    Some(if a.saturating_since(now) < b.saturating_since(now) { a } else { b })
}

/// What these bytes come to, in one go, without an end and without a time.
fn reference(mut endpoint: Endpoint, accepts: bool, bytes: &[u8]) -> Vec<Seen> {
    let (mut all, mut rest) = (Vec::new(), bytes);
    loop {
        let count = endpoint.inbound.receive(rest);
        rest = &rest[count..];
        loop {
            match event(&mut endpoint, false) {
                Some(Seen::Closed { code, reason, .. }) => all.push(closed(code, &reason)),
                Some(other) => {
                    if matches!(other, Seen::Request(..)) && accepts {
                        endpoint.outbound.accept(&AcceptResponse::new()).unwrap();
                    } else if matches!(other, Seen::Request(..)) {
                        let page = HttpResponse::new(404).body(b"no");
                        endpoint.outbound.respond(&page).unwrap();
                    }
                    all.push(other);
                }
                None if take(&mut endpoint).is_empty() => break,
                None => {}
            }
        }
        if rest.is_empty() {
            return all;
        }
    }
}

proptest! {
    // A driver that follows the answers never spins, loses no event, is told nothing after an end, and
    // comes to the end of whatever happens.
    #[test]
    fn a_driver_that_follows_the_answers_comes_to_the_end(
        role in role(),
        // A server's opening handshake: none, and otherwise whether it is accepted.
        opening in proptest::option::weighted(0.3, any::<bool>()),
        config in config(),
        way in way(),
        acts in proptest::collection::vec(act(), 0..40),
        end in prop::sample::select(vec![End::Eof, End::Reset, End::Close]),
        late in prop::sample::select(vec![0, 1, 500, 10_000]),
        confirms in any::<bool>(),
    ) {
        let role = if opening.is_some() { Role::Server } else { role };
        let options = Options::from(config).max_output(300_000);
        let make = |options: &Options| match opening {
            Some(_) => Endpoint::server(options.clone()),
            None => open(role, options.clone()),
        };
        let mut model = Model::new(make(&options), role, way, confirms);
        if let Some(accepts) = opening {
            model.accepts = accepts;
            model.stream.incoming.extend_from_slice(REQUEST.as_bytes());
        }
        for act in &acts {
            model.act(act);
            if !model.done {
                model.settle();
            }
        }
        let was_open = model.endpoint.outbound.is_open();
        if !model.done {
            model.finish(end, late);
        }
        // Done stays.
        prop_assert_eq!(next(&mut model.endpoint, model.stream.now), Answer::Done);

        // What was read is told, all of it.
        let Model { endpoint, stream, told, read_at_end, accepts, sent, .. } = model;
        let ends = told.last().is_some_and(Seen::is_end);
        let answered = matches!(told.last(), Some(Seen::Request(..)));
        prop_assert!(ends || answered && !accepts, "{:?}", told);
        let read = &stream.read[..read_at_end.unwrap_or(stream.read.len())];
        let mut expected = reference(make(&options), accepts, read);
        if !expected.last().is_some_and(Seen::is_end) && ends {
            expected.extend(told.last().cloned());
        }
        // After our own Close frame, what breaks the protocol is an unclean end.
        let by_us = endpoint.close_info().and_then(|info| info.sent);
        let was_closing = [Some(CloseCode::NORMAL), Some(CloseCode::GOING_AWAY)].contains(&by_us);
        let ended = told.last() == Some(&closed(1006, ""));
        if was_closing && ended && matches!(expected.last(), Some(Seen::Failed(_))) {
            expected.pop();
            expected.push(closed(1006, ""));
        }
        prop_assert!(told == expected, "{:?}", (told, expected));
        prop_assert_eq!(endpoint.outbound.waiting(), 0);

        // What was written is what was sent, in order, up to the end.
        let head = if opening.is_some() {
            stream.written.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4)
        } else {
            Some(0)
        };
        if let Some(head) = head.filter(|_| accepts) {
            let mut peer = open(if role == Role::Server { Role::Client } else { Role::Server }, Options::new());
            let heard = feed(&mut peer, &stream.written[head..]);
            prop_assert!(!heard.iter().any(|seen| matches!(seen, Seen::Failed(_))), "{:?}", heard);
            let messages: Vec<_> = heard
                .into_iter()
                .filter_map(|seen| match seen {
                    Seen::Binary(bytes) => Some(bytes),
                    _ => None,
                })
                .collect();
            prop_assert!(sent.starts_with(&messages));
            if was_open && end == End::Eof && told.last() == Some(&closed(1006, "")) {
                prop_assert!(messages == sent, "all of it");
            }
        }
    }

    // The same is told, written and kept, however the stream is cut, however it is asked for, and however
    // much output waits meanwhile.
    #[test]
    fn the_same_is_told_however_the_stream_is_cut(
        role in role(),
        pieces in proptest::collection::vec(piece(), 1..12),
        opening in any::<bool>(),
        sizes in proptest::collection::vec(prop_oneof![1..20_usize, 1..30_000_usize], 1..8),
        rooms in proptest::collection::vec(prop_oneof![0..20_usize, 0..30_000_usize], 1..8),
        way in way(),
        load in prop_oneof![Just(0_usize), 0..200_000_usize],
    ) {
        let role = if opening { Role::Server } else { role };
        let mut bytes = if opening { REQUEST.as_bytes().to_vec() } else { Vec::new() };
        bytes.extend(pieces.iter().flat_map(|piece| piece.bytes(role)));
        let outcome = |way, sizes: &[usize], rooms: &[usize], load: usize| {
            let endpoint = match opening {
                true => Endpoint::server(Options::new()),
                false => open(role, Options::new()),
            };
            let mut model = Model::new(endpoint, role, way, true);
            if load > 0 {
                model.act(&Act::Send(load));
            }
            let mut rest = &bytes[..];
            for turn in 0.. {
                let size = sizes[turn % sizes.len()].min(rest.len());
                model.stream.incoming.extend_from_slice(&rest[..size]);
                rest = &rest[size..];
                model.stream.room += rooms[turn % rooms.len()];
                model.settle();
                if rest.is_empty() {
                    break;
                }
            }
            let sent = if opening { 0 } else { model.sent.len() };
            model.finish(End::Eof, 0);
            let written = if sent > 0 { plain_without(&model.stream.written, load) } else { model.stream.written };
            (model.told, written, model.endpoint.close_info())
        };
        let whole = outcome(Way::Next, &[usize::MAX], &[usize::MAX], 0);
        let cut = outcome(way, &sizes, &rooms, load);
        prop_assert!(cut == whole, "{:?} {:?}", cut.0, whole.0);
    }
}

/// The frames in these bytes but for the first, which is the message of this length.
fn plain_without(bytes: &[u8], len: usize) -> Vec<u8> {
    let (first, _, payload) = &frames(bytes)[0];
    assert_eq!((*first, payload.len()), (FIN | BINARY, len));
    let header = match len {
        0..126 => 2,
        126..65_536 => 4,
        _ => 10,
    };
    let key = if bytes[1] & 0x80 != 0 { 4 } else { 0 };
    bytes[header + key + len..].to_vec()
}
