//! `Connection::next`. The input is a setup and what the peer sends once the connection is open.
//!
//! Bit 0 of the flags makes it a client, bit 1 allows RSV1, and bit 2 sets low limits.

use ws_core::{Config, Connection, Input, MessageKind, Role, Step};

use super::model::{Model, Outcome, Places};
use super::seen::*;
use super::{START, Setup, key, same_for_all_cuts};

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
    let config = Config::new().max_frame(model.max_frame).max_message(model.max_message);
    let outcome = same_for_all_cuts(&setup, |pieces| {
        run(Connection::with_compression(model.role, config, model.compression), model.role, pieces)
    });
    assert_eq!(outcome, model.expect(setup.stream), "against the model");
    if let Some(Seen::Failed(error)) = outcome.0.seen.last() {
        assert!(error.close_code().may_be_sent(model.role), "{error}");
    }
}

fn run(mut connection: Connection, role: Role, pieces: &[&[u8]]) -> (Outcome, Places) {
    let mut told = Record::default();
    for piece in pieces {
        let mut piece = piece.to_vec();
        told.feed(&mut connection, role, &mut piece);
        told.before += piece.len();
    }

    // Then the stream ends, whatever was before.
    let ended = told.outcome.ended();
    let failed = matches!(told.outcome.seen.last(), Some(Seen::Failed(_)));
    assert_eq!(connection.sender.is_open(), !ended);
    connection.receiver.receive_eof();
    let mut idle = || connection.next(&mut Input::new(&mut []), || START);
    assert!(matches!(idle(), Step::Shutdown(Some(START))), "shut down without waiting");
    for _ in 0..3 {
        assert!(matches!(idle(), Step::Done), "then it is over");
    }
    assert!(!connection.sender.is_open());
    assert_eq!(connection.sender.is_clean(), ended && !failed);
    if ended {
        told.places.partial.clear();
    }
    (told.outcome, told.places)
}

/// What a connection has reported so far.
#[derive(Default)]
struct Record {
    outcome: Outcome,
    places: Places,
    /// The kind of the open message, and whether it is compressed.
    message: Option<(MessageKind, bool)>,
    /// The number of bytes in the pieces before this one.
    before: usize,
}

impl Record {
    /// Feeds one piece. Each step either ends the connection or consumes something, and everything is consumed.
    fn feed(&mut self, connection: &mut Connection, role: Role, piece: &mut [u8]) {
        let mut input = Input::new(piece);
        loop {
            let (before, ended) = (input.consumed(), self.outcome.ended());
            let step = connection.next(&mut input, || START);
            let consumed = input.consumed();
            match step {
                Step::Wait(_) => {
                    assert!(!ended || role == Role::Client, "it is the server who shuts down");
                    break;
                }
                Step::Shutdown(_) => {
                    assert!(ended, "nothing has ended it");
                    break;
                }
                Step::Done => panic!("the stream has not ended"),
                Step::Transmit => {
                    assert_eq!(consumed, before, "what is owed goes first");
                    self.outcome.output.extend(transmit(connection, role));
                }
                step => {
                    assert!(!ended, "{step:?} after the end");
                    assert!(consumed > before, "{step:?} for nothing");
                    self.see(connection, step, consumed);
                    assert!(!self.outcome.ended() || input.is_empty(), "bytes left after the end");
                }
            }
        }
        assert!(input.is_empty(), "more bytes are wanted while some are left");
    }

    fn see(&mut self, connection: &Connection, step: Step<'_>, consumed: usize) {
        let receiver = &connection.receiver;
        let seen = match step {
            Step::Data(chunk) => {
                assert_eq!(chunk.start, self.message.is_none(), "where a message starts");
                let told = (chunk.kind, chunk.compressed);
                assert_eq!(*self.message.get_or_insert(told), told, "one kind for all chunks");
                self.places.partial.extend_from_slice(chunk.bytes);
                if !chunk.end {
                    return;
                }
                self.message = None;
                let bytes = core::mem::take(&mut self.places.partial);
                match told {
                    (_, true) => Seen::Compressed(bytes),
                    (MessageKind::Text, _) => {
                        Seen::Text(String::from_utf8(bytes).expect("text that is UTF-8"))
                    }
                    (MessageKind::Binary, _) => Seen::Binary(bytes),
                }
            }
            Step::Ping => ping(receiver.control_payload()),
            Step::Pong => pong(receiver.control_payload()),
            Step::Close => {
                let frame = receiver.close_frame().expect("the frame of a Close event");
                closed(frame.code.get(), frame.reason)
            }
            Step::Failed(error) => failed(error),
            other => panic!("{other:?} is nothing to see"),
        };
        if !seen.is_end() {
            self.places.ends.push(self.before + consumed);
        }
        self.outcome.seen.push(seen);
    }
}

/// Returns the frame that has to be sent.
fn transmit(connection: &mut Connection, role: Role) -> Vec<u8> {
    let mut frame = [0; 131];
    let len = connection.sender.transmit(&mut frame, key(role)).expect("room and a key");
    assert_ne!(len, 0, "it asked to transmit, but encoded nothing");
    frame[..len].to_vec()
}
