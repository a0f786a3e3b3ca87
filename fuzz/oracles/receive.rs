//! `Connection::receive`: the input is a setup and what the peer sends once the connection is open.
//!
//! Flags: bit 0 makes it a client, bit 1 allows RSV1, bit 2 sets low limits.

use ws_core::connection::{Ending, State};
use ws_core::{Config, Connection, Event, Input, MessageKind, Role};

use super::model::{Model, Outcome, Places, Seen};
use super::{Setup, key, same_for_all_cuts};

const DEFAULT_LIMIT: u64 = 16 << 20;
const LOW_FRAME: u64 = 200;
const LOW_MESSAGE: u64 = 300;

pub(crate) fn check(data: &[u8]) {
    let Some(setup) = Setup::of(data) else { return };
    let low = setup.flag(2);
    let model = Model {
        role: setup.role(),
        compression: setup.flag(1),
        max_frame: if low { LOW_FRAME } else { DEFAULT_LIMIT },
        max_message: if low { LOW_MESSAGE } else { DEFAULT_LIMIT },
    };
    let config = Config::new()
        .compression(model.compression)
        .max_frame(model.max_frame)
        .max_message(model.max_message);
    let outcome = same_for_all_cuts(&setup, |pieces| run(setup.role(), config, pieces));
    assert_eq!(outcome, model.expect(setup.stream), "against the model");
    if let Some(error) = outcome.0.error {
        assert!(error.close_code().may_be_sent(setup.role()), "{error}");
    }
}

fn run(role: Role, config: Config, pieces: &[&[u8]]) -> (Outcome, Places) {
    let mut connection = Connection::new(role, config);
    let mut told = Told::default();
    for piece in pieces {
        let mut piece = piece.to_vec();
        told.feed(&mut connection, role, &mut piece);
        told.before += piece.len();
    }

    let ended = told.ended();
    let state = if ended { State::Closed } else { State::Open };
    assert_eq!(connection.state(), state);
    assert!(!ended || !connection.wants_transmit());
    let clean = ended && told.outcome.error.is_none();
    for _ in 0..2 {
        let ending = connection.receive_eof();
        assert_eq!(ending, if clean { Ending::Clean } else { Ending::Abnormal });
    }
    if ended {
        told.places.partial.clear();
    }
    (told.outcome, told.places)
}

/// What a connection has told so far.
#[derive(Default)]
struct Told {
    outcome: Outcome,
    places: Places,
    /// The kind of the message that is open, and whether it is compressed.
    message: Option<(MessageKind, bool)>,
    /// The bytes of the pieces before this one.
    before: usize,
}

impl Told {
    fn ended(&self) -> bool {
        self.outcome.error.is_some() || matches!(self.outcome.seen.last(), Some(Seen::Close(..)))
    }

    /// Feeds one piece; each step either ends or consumes something, and all is consumed.
    fn feed(&mut self, connection: &mut Connection, role: Role, piece: &mut [u8]) {
        let mut input = Input::new(piece);
        loop {
            let (before, ended) = (input.consumed(), self.ended());
            let event = connection.receive(&mut input);
            let consumed = input.consumed();
            match event {
                Ok(None) => break,
                Ok(Some(event)) => {
                    assert!(!ended, "{event:?} after the end");
                    assert!(consumed > before, "{event:?} for nothing");
                    let close = matches!(event, Event::Close);
                    assert!(!close || input.is_empty(), "bytes left after Close");
                    self.event(connection, event, consumed);
                }
                Err(error) => {
                    assert!(!ended, "{error} after the end");
                    assert!(consumed > before, "{error} for nothing");
                    assert!(input.is_empty(), "bytes left after {error}");
                    self.outcome.error = Some(error);
                }
            }
            let sent = drain(connection, role);
            assert!(!ended || sent.is_empty(), "sent after the end: {sent:02x?}");
            self.outcome.output.extend(sent);
        }
        assert!(input.is_empty(), "more bytes are wanted while some are left");
    }

    fn event(&mut self, connection: &Connection, event: Event<'_>, consumed: usize) {
        let seen = match event {
            Event::Data(chunk) => {
                assert_eq!(chunk.start, self.message.is_none(), "where a message starts");
                let told = (chunk.kind, chunk.compressed);
                assert_eq!(*self.message.get_or_insert(told), told, "one kind for all chunks");
                self.places.partial.extend_from_slice(chunk.bytes);
                if !chunk.end {
                    return;
                }
                self.message = None;
                let bytes = core::mem::take(&mut self.places.partial);
                Seen::Message { kind: told.0, compressed: told.1, bytes }
            }
            Event::Ping => Seen::Ping(connection.control_payload().to_vec()),
            Event::Pong => Seen::Pong(connection.control_payload().to_vec()),
            Event::Close => {
                let frame = connection.close_frame().expect("the frame of a Close event");
                Seen::Close(frame.code.get(), frame.reason.to_owned())
            }
            other => panic!("an event that this oracle does not know: {other:?}"),
        };
        if !matches!(seen, Seen::Close(..)) {
            self.places.ends.push(self.before + consumed);
        }
        self.outcome.seen.push(seen);
    }
}

/// All that waits to be sent: a Pong and a Close frame at most.
fn drain(connection: &mut Connection, role: Role) -> Vec<u8> {
    let mut output = Vec::new();
    let mut frames = 0;
    while connection.wants_transmit() {
        let mut frame = [0; 131];
        let len = connection.poll_transmit(&mut frame, key(role)).expect("room and a key");
        assert_ne!(len, 0, "it wants to send and gives nothing");
        output.extend_from_slice(&frame[..len]);
        frames += 1;
        assert!(frames <= 2, "a Pong and a Close frame at most");
    }
    assert_eq!(connection.poll_transmit(&mut [0; 131], key(role)), Ok(0));
    output
}
