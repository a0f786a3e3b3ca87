//! Frames built by hand, and a driver that turns what a connection says into one value.
#![allow(dead_code, reason = "each test file uses a part of it")]

use ws_core::connection::State;
use ws_core::{
    CloseCode, Config, Connection, Event, Input, MaskingKey, MessageKind, ProtocolError, Role,
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

/// A key for what a connection of this role sends.
pub(crate) fn key(role: Role) -> Option<MaskingKey> {
    (role == Role::Client).then_some(MaskingKey::new(KEY))
}

/// All that waits to be sent.
pub(crate) fn drain(connection: &mut Connection, role: Role) -> Vec<u8> {
    let mut output = Vec::new();
    let mut steps = 0;
    while connection.wants_transmit() {
        let mut frame = [0; 131];
        let len = connection.poll_transmit(&mut frame, key(role)).unwrap();
        assert_ne!(len, 0, "it wants to send and gives nothing");
        output.extend_from_slice(&frame[..len]);
        steps += 1;
        assert!(steps <= 3, "a pong, a ping and a Close frame at most");
    }
    assert_eq!(connection.poll_transmit(&mut [0; 131], key(role)), Ok(0));
    output
}

/// What was told, and how many bytes of the stream were consumed by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(usize, Vec<u8>),
    Binary(usize, Vec<u8>),
    Ping(usize, Vec<u8>),
    Pong(usize, Vec<u8>),
    /// The code and the reason; what follows is consumed with it.
    Close(u16, String),
}

/// All that a stream of bytes has come to, independent of how it was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) seen: Vec<Seen>,
    pub(crate) error: Option<ProtocolError>,
    pub(crate) output: Vec<u8>,
    pub(crate) state: State,
}

impl Outcome {
    /// An open connection that has seen this and has sent nothing.
    pub(crate) fn open(seen: Vec<Seen>) -> Self {
        Self { seen, error: None, output: Vec::new(), state: State::Open }
    }

    /// A connection that has seen this, then an error, and has sent its code.
    pub(crate) fn failed(role: Role, seen: Vec<Seen>, error: ProtocolError) -> Self {
        let output = close_by(role, error.close_code());
        Self { seen, error: Some(error), output, state: State::Closed }
    }

    /// A connection that has sent this for what it has seen.
    pub(crate) fn sent(mut self, output: Vec<u8>) -> Self {
        self.output = output;
        self
    }

    pub(crate) fn closed(mut self) -> Self {
        self.state = State::Closed;
        self
    }
}

/// Feeds a stream in pieces, the output drained after every event, and checks what holds for
/// every connection on the way.
pub(crate) struct Driver {
    pub(crate) connection: Connection,
    pub(crate) role: Role,
    pub(crate) outcome: Outcome,
    message: Option<(MessageKind, Vec<u8>)>,
    fed: usize,
}

impl Driver {
    pub(crate) fn new(role: Role, config: Config) -> Self {
        Self {
            connection: Connection::new(role, config),
            role,
            outcome: Outcome::open(Vec::new()),
            message: None,
            fed: 0,
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let mut input = Input::new(&mut bytes);
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps <= input.consumed() + input.remaining().len() + 2, "no progress");
            let ended = self.outcome.error.is_some()
                || matches!(self.outcome.seen.last(), Some(Seen::Close(..)));
            let event = self.connection.receive(&mut input);
            let at = self.fed + input.consumed();
            match event {
                Ok(None) => break,
                Ok(Some(event)) => {
                    assert!(!ended, "{event:?} after the end");
                    let close = matches!(event, Event::Close);
                    assert!(!close || input.is_empty(), "bytes left after Close");
                    self.see(at, event);
                }
                Err(error) => {
                    assert!(!ended, "{error} after the end");
                    assert!(input.is_empty(), "bytes left after {error}");
                    self.outcome.error = Some(error);
                }
            }
            let output = drain(&mut self.connection, self.role);
            self.outcome.output.extend(output);
        }
        assert!(input.is_empty(), "more bytes are wanted while some are left");
        self.fed += input.consumed();
        assert!(matches!(self.connection.receive(&mut Input::new(&mut [])), Ok(None)));
        self.outcome.state = self.connection.state();
        assert_eq!(self.connection.is_closed(), self.outcome.state == State::Closed);
    }

    fn see(&mut self, at: usize, event: Event<'_>) {
        let payload = self.connection.control_payload().to_vec();
        self.outcome.seen.push(match event {
            Event::Data(chunk) => {
                assert_eq!(chunk.start, self.message.is_none(), "start of a message");
                let (kind, message) = self.message.get_or_insert((chunk.kind, Vec::new()));
                assert_eq!(*kind, chunk.kind);
                message.extend_from_slice(chunk.bytes);
                if !chunk.end {
                    return;
                }
                match self.message.take() {
                    Some((MessageKind::Text, message)) => Seen::Text(at, message),
                    Some((MessageKind::Binary, message)) => Seen::Binary(at, message),
                    None => unreachable!(),
                }
            }
            Event::Ping => Seen::Ping(at, payload),
            Event::Pong => Seen::Pong(at, payload),
            Event::Close => {
                let frame = self.connection.close_frame().unwrap();
                Seen::Close(frame.code.get(), frame.reason.to_owned())
            }
            other => panic!("{other:?}"),
        });
    }
}

/// The outcome when the stream comes in pieces of these sizes, the last one repeated.
pub(crate) fn in_pieces(role: Role, config: Config, bytes: &[u8], sizes: &[usize]) -> Outcome {
    let mut driver = Driver::new(role, config);
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

#[track_caller]
pub(crate) fn outcome_with(role: Role, config: Config, bytes: &[u8]) -> Outcome {
    let whole = in_pieces(role, config, bytes, &[]);
    for size in [1, 2, 3, 7, 64] {
        let pieces = in_pieces(role, config, bytes, &[size]);
        assert_eq!(pieces, whole, "in pieces of {size}: {bytes:02x?}");
    }
    whole
}
