//! Frames built by hand, and a driver that turns what a connection says into one value.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod seen;

use core::cell::Cell;
use core::fmt::{self, Display, Write};

pub(crate) use seen::*;
use ws_core::{
    CloseCode, Config, Connection, Input, Instant, MaskingKey, MessageKind, ProtocolError, Role,
    Step,
};

pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
pub(crate) const ROLES: [Role; 2] = [Role::Server, Role::Client];
pub(crate) const FIN: u8 = 0x80;
pub(crate) const CONT: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;
/// When all is seen that does not depend on the time.
pub(crate) const START: Instant = Instant::from_millis(0);

/// A frame with this first byte, masked or not.
pub(crate) fn raw(first: u8, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(mask_bit | len as u8),
        len @ 126..=65535 => {
            bytes.push(mask_bit | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(mask_bit | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(key.iter().flatten());
    let key = key.unwrap_or_default();
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// A frame as the peer of `role` sends it.
pub(crate) fn to(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    raw(first, (role == Role::Server).then_some(KEY), payload)
}

/// A frame as `role` itself sends it, with [`KEY`].
pub(crate) fn by(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    raw(first, (role == Role::Client).then_some(KEY), payload)
}

/// The start of a frame to `role` up to its length: the length is not followed by a masking key.
pub(crate) fn length(role: Role, first: u8, short: u8, extended: &[u8]) -> Vec<u8> {
    let mask_bit = if role == Role::Server { 0x80 } else { 0 };
    [&[first, mask_bit | short], extended].concat()
}

pub(crate) fn close_body(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// The Close frame that `role` sends with this code.
pub(crate) fn close_by(role: Role, code: CloseCode) -> Vec<u8> {
    by(role, FIN | CLOSE, &code.get().to_be_bytes())
}

/// The reason that an endpoint sends for an error: what it prints, without the section and the peer's numbers.
pub(crate) fn reason(error: ProtocolError) -> String {
    match error {
        ProtocolError::ReservedOpcode(_) => "reserved opcode".into(),
        ProtocolError::InvalidCloseCode(_) => "close code must not be sent".into(),
        error => error.to_string().split(" (RFC").next().unwrap().into(),
    }
}

/// The Close frame that an endpoint of `role` sends for an error.
pub(crate) fn close_for(role: Role, error: ProtocolError) -> Vec<u8> {
    by(role, FIN | CLOSE, &close_body(error.close_code().get(), &reason(error)))
}

/// A key for what a connection of this role sends.
pub(crate) fn key(role: Role) -> Option<MaskingKey> {
    (role == Role::Client).then_some(MaskingKey::new(KEY))
}

/// All that waits to be sent.
pub(crate) fn drain(connection: &mut Connection, role: Role) -> Vec<u8> {
    let mut output = Vec::new();
    for _ in 0..3 {
        output.extend(transmit(connection, role));
    }
    assert_eq!(transmit(connection, role), b"", "a Pong, a Ping and a Close frame at most");
    output
}

/// The next frame that waits to be sent.
pub(crate) fn transmit(connection: &mut Connection, role: Role) -> Vec<u8> {
    let mut frame = [0; 131];
    let len = connection.sender.transmit(&mut frame, key(role)).unwrap();
    frame[..len].to_vec()
}

/// Asks what to do next, at this time, and checks when the clock is asked: at most once, never when
/// something that came is told, and always before the driver is to wait or to end the stream.
pub(crate) fn ask<'i>(
    connection: &mut Connection,
    input: &mut Input<'i>,
    now: Instant,
) -> Step<'i> {
    let asked = Cell::new(0);
    let step = connection.next(input, || {
        asked.set(asked.get() + 1);
        now
    });
    match step {
        Step::Data(_) | Step::Ping | Step::Pong | Step::Close => assert_eq!(asked.get(), 0),
        Step::Failed(_) | Step::Transmit => assert!(asked.get() <= 1),
        Step::Shutdown(_) | Step::Wait(_) | Step::Done => {
            assert_eq!(asked.get(), 1);
            assert!(input.is_empty(), "{step:?} while bytes are left");
        }
    }
    step
}

/// What there is to do when no more bytes have come.
pub(crate) fn idle(connection: &mut Connection, now: Instant) -> Step<'static> {
    ask(connection, &mut Input::new(&mut []), now)
}

/// Where a connection stands when nothing is left to tell or to transmit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Messages go both ways.
    Open,
    /// The peer's part of the closing handshake is awaited, or the end of a payload.
    Closing,
    /// Close frames went both ways: a server shuts down, a client waits for that.
    Closed,
    /// The connection has failed and has said so: either side shuts down.
    Failed,
    /// This side has shut down after Close frames went both ways, and awaits the end of the stream.
    ShutDown,
    /// The stream has ended, or is given up: its write side is to be shut down without waiting for it.
    Ended,
    /// The stream can be dropped.
    Done,
}

/// Asks a connection where it stands.
#[track_caller]
pub(crate) fn state(connection: &mut Connection, role: Role) -> State {
    state_at(connection, role, START)
}

#[track_caller]
pub(crate) fn state_at(connection: &mut Connection, role: Role, now: Instant) -> State {
    let mut step = idle(connection, now);
    match step {
        Step::Shutdown(Some(until)) if until == now => return State::Ended,
        // All that was encoded is written before the next question.
        Step::Shutdown(_) | Step::Wait(_) => step = idle(connection, now),
        _ => {}
    }
    let (open, clean) = (connection.sender.is_open(), connection.sender.is_clean());
    match (step, role) {
        (Step::Wait(_), _) if open => {
            assert!(!clean && !connection.sender.closed_first());
            assert_eq!(connection.receiver.close_frame(), None);
            State::Open
        }
        (Step::Wait(_), Role::Client) | (Step::Shutdown(_), Role::Server) if clean => State::Closed,
        (Step::Wait(_), Role::Server) if clean => State::ShutDown,
        (Step::Wait(_), _) => State::Closing,
        (Step::Shutdown(_), _) => State::Failed,
        (Step::Done, _) => State::Done,
        (step, _) => panic!("{step:?} is left to do"),
    }
}

/// All that a stream of bytes has come to, independent of how it was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What was told, and how many bytes of the stream were consumed by then.
    pub(crate) seen: Vec<(usize, Seen)>,
    pub(crate) output: Vec<u8>,
    pub(crate) state: State,
}

impl Outcome {
    /// An open connection that has seen this and has sent nothing.
    pub(crate) fn open(seen: Vec<(usize, Seen)>) -> Self {
        Self { seen, output: Vec::new(), state: State::Open }
    }

    /// A connection that has seen this, then an error, and has sent its code.
    pub(crate) fn failed(role: Role, mut seen: Vec<(usize, Seen)>, error: ProtocolError) -> Self {
        let output = close_by(role, error.close_code());
        seen.push(failed(error).last());
        Self { seen, output, state: State::Failed }
    }

    /// A connection that has sent this for what it has seen.
    pub(crate) fn sent(mut self, output: Vec<u8>) -> Self {
        self.output = output;
        self
    }

    /// A connection that has seen the peer's Close frame last.
    pub(crate) fn closed(mut self) -> Self {
        self.state = State::Closed;
        self
    }
}

/// Feeds a stream in pieces, doing what it is told, and checks what holds for every connection on the way.
pub(crate) struct Driver {
    pub(crate) connection: Connection,
    pub(crate) role: Role,
    pub(crate) outcome: Outcome,
    message: Option<(MessageKind, bool, Vec<u8>)>,
    fed: usize,
}

impl Driver {
    pub(crate) fn new(role: Role, config: Config) -> Self {
        Self::of(Connection::new(role, config), role)
    }

    pub(crate) fn of(connection: Connection, role: Role) -> Self {
        let outcome = Outcome::open(Vec::new());
        Self { connection, role, outcome, message: None, fed: 0 }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let mut input = Input::new(&mut bytes);
        loop {
            let before = input.consumed();
            let ended = self.outcome.seen.last().is_some_and(|(_, seen)| seen.is_end());
            let step = ask(&mut self.connection, &mut input, START);
            let consumed = input.consumed();
            match step {
                Step::Wait(_) | Step::Shutdown(_) | Step::Done => break,
                Step::Transmit => {
                    assert_eq!(consumed, before, "what is owed goes first");
                    let frame = transmit(&mut self.connection, self.role);
                    assert_ne!(frame, b"", "it is told to send, and gives nothing");
                    self.outcome.output.extend(frame);
                }
                step => {
                    assert!(!ended, "{step:?} after the end");
                    assert_ne!(consumed, before, "{step:?} for nothing");
                    self.see(self.fed + consumed, step);
                    let ends = self.outcome.seen.last().is_some_and(|(_, seen)| seen.is_end());
                    assert!(!ends || input.is_empty(), "bytes are left after the end");
                }
            }
        }
        self.fed += input.consumed();
        self.outcome.state = state(&mut self.connection, self.role);
    }

    fn see(&mut self, at: usize, step: Step<'_>) {
        let receiver = &self.connection.receiver;
        let payload = receiver.control_payload();
        self.outcome.seen.push(match step {
            Step::Data(chunk) => {
                assert_eq!(chunk.start, self.message.is_none(), "start of a message");
                let (kind, compressed, message) =
                    self.message.get_or_insert((chunk.kind, chunk.compressed, Vec::new()));
                assert_eq!((*kind, *compressed), (chunk.kind, chunk.compressed));
                message.extend_from_slice(chunk.bytes);
                if !chunk.end {
                    return;
                }
                let Some((kind, compressed, message)) = self.message.take() else { return };
                match kind {
                    _ if compressed => Seen::Compressed(message).at(at),
                    MessageKind::Text => Seen::Text(String::from_utf8(message).unwrap()).at(at),
                    MessageKind::Binary => Seen::Binary(message).at(at),
                }
            }
            Step::Ping => ping(payload).at(at),
            Step::Pong => pong(payload).at(at),
            Step::Close => {
                let frame = receiver.close_frame().unwrap();
                let by_us = self.connection.sender.closed_first();
                Seen::Closed { code: frame.code.get(), reason: frame.reason.into(), by_us }.last()
            }
            Step::Failed(error) => failed(error).last(),
            other => panic!("{other:?} is nothing to see"),
        });
    }
}

/// The outcome when the stream comes in pieces of these sizes, the last one repeated.
pub(crate) fn in_pieces(role: Role, config: Config, bytes: &[u8], sizes: &[usize]) -> Outcome {
    in_pieces_of(Connection::new(role, config), role, bytes, sizes)
}

/// The same for a connection where a compression was negotiated.
pub(crate) fn in_compressed_pieces(
    role: Role,
    config: Config,
    bytes: &[u8],
    sizes: &[usize],
) -> Outcome {
    in_pieces_of(Connection::with_compression(role, config, true), role, bytes, sizes)
}

fn in_pieces_of(connection: Connection, role: Role, bytes: &[u8], sizes: &[usize]) -> Outcome {
    let mut driver = Driver::of(connection, role);
    let mut rest = bytes;
    let mut sizes = sizes.iter().copied();
    let mut size = bytes.len();
    while !rest.is_empty() {
        size = sizes.next().unwrap_or(size).clamp(1, rest.len());
        let (piece, tail) = rest.split_at(size);
        driver.feed(piece);
        rest = tail;
    }
    driver.outcome
}

/// The outcome of a stream with the default limits, the same for every way to cut it that is tried.
#[track_caller]
pub(crate) fn outcome(role: Role, bytes: &[u8]) -> Outcome {
    outcome_with(role, Config::new(), bytes)
}

/// A text that is written into so many bytes.
struct Room(usize);

impl Write for Room {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// What `Display` shows. Wherever the writer fails, that is an error.
#[track_caller]
pub(crate) fn shown(value: &dyn Display) -> String {
    let text = value.to_string();
    for room in 0..text.len() {
        assert_eq!(write!(Room(room), "{value}"), Err(fmt::Error), "{room} bytes of {text}");
    }
    text
}

#[track_caller]
pub(crate) fn outcome_with(role: Role, config: Config, bytes: &[u8]) -> Outcome {
    same_in_pieces(bytes, |sizes| in_pieces(role, config, bytes, sizes))
}

/// The same for a connection where a compression was negotiated.
#[track_caller]
pub(crate) fn outcome_compressed(role: Role, config: Config, bytes: &[u8]) -> Outcome {
    same_in_pieces(bytes, |sizes| in_compressed_pieces(role, config, bytes, sizes))
}

#[track_caller]
fn same_in_pieces(bytes: &[u8], run: impl Fn(&[usize]) -> Outcome) -> Outcome {
    let whole = run(&[]);
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(run(&[size]), whole, "in pieces of {size}: {bytes:02x?}");
    }
    whole
}
