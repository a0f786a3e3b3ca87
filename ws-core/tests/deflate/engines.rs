//! Both inflaters behind one face, so that they pass the same tests.

use ws_core::deflate::{Decoder, Inflater, Limits, Need, Pool, SliceInflater, WindowBits};
use ws_core::{Config, Connection, Input, Instant, MessageKind, ProtocolError, Role, Step};

pub(crate) const ENGINES: [Engine; 2] = [Engine::Slice, Engine::Pool];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// `SliceInflater`, which takes the chunks of a connection.
    Slice,
    /// `Inflater`.
    Pool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) bits: WindowBits,
    pub(crate) takeover: bool,
    pub(crate) limits: Limits,
    /// The room for output that is offered at a time to an `Inflater`.
    pub(crate) room: usize,
}

impl Setup {
    pub(crate) fn new(bits: u8) -> Self {
        let bits = WindowBits::new(bits).unwrap();
        Self { bits, takeover: true, limits: Limits::new(), room: 1000 }
    }
}

/// What a message has come to: the bytes before the error, if any, and the error.
pub(crate) type Outcome = (Vec<u8>, Result<(), ProtocolError>);

/// The messages that these fragments of payloads stand for, up to the first error.
pub(crate) fn inflate<P: AsRef<[u8]>>(
    engine: Engine,
    setup: Setup,
    messages: &[Vec<P>],
) -> Vec<Outcome> {
    match engine {
        Engine::Slice => in_slice(setup, messages),
        Engine::Pool => in_pool(&Pool::new(), setup, messages),
    }
}

/// One message in one piece.
pub(crate) fn whole(engine: Engine, setup: Setup, payload: &[u8]) -> Outcome {
    let mut outcomes = inflate(engine, setup, &[vec![payload]]);
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

fn in_slice<P: AsRef<[u8]>>(setup: Setup, messages: &[Vec<P>]) -> Vec<Outcome> {
    let mut window = vec![0; setup.bits.size()];
    let mut decoder = Decoder::new();
    let mut inflater = SliceInflater::new(&mut window, &mut decoder, setup.limits).unwrap();
    if !setup.takeover {
        inflater = inflater.no_context_takeover();
    }
    let config = Config::new().max_frame(u64::MAX).max_message(u64::MAX);
    let mut connection = Connection::with_compression(Role::Client, config, true);
    let mut outcomes = Vec::new();
    for fragments in messages {
        let mut message = Vec::new();
        let mut ended = false;
        for (i, fragment) in fragments.iter().enumerate() {
            let mut frame = frame(i == 0, i + 1 == fragments.len(), fragment.as_ref());
            let mut input = Input::new(&mut frame);
            while let Step::Data(chunk) = connection.next(&mut input, || Instant::from_millis(0)) {
                let mut pieces = inflater.push(&chunk);
                loop {
                    match pieces.next_piece() {
                        Ok(None) => break,
                        Ok(Some(piece)) => {
                            assert!(!ended, "nothing follows the end");
                            assert!(!piece.bytes.is_empty() || piece.end, "a piece of nothing");
                            assert_eq!(piece.kind, MessageKind::Binary);
                            message.extend_from_slice(piece.bytes);
                            ended = piece.end;
                        }
                        Err(error) => {
                            assert_eq!(pieces.next_piece(), Err(error), "it stays");
                            assert_eq!(inflater.push(&chunk).next_piece(), Err(error));
                            outcomes.push((message, Err(error)));
                            return outcomes;
                        }
                    }
                }
            }
        }
        assert!(ended);
        outcomes.push((message, Ok(())));
    }
    outcomes
}

pub(crate) fn in_pool<P: AsRef<[u8]>>(
    pool: &Pool,
    setup: Setup,
    messages: &[Vec<P>],
) -> Vec<Outcome> {
    let mut inflater = Inflater::new(pool, setup.bits, setup.limits);
    if !setup.takeover {
        inflater = inflater.no_context_takeover();
    }
    let mut outcomes = Vec::new();
    for fragments in messages {
        let outcome = next_message(&mut inflater, setup.room, fragments);
        let failed = outcome.1.is_err();
        outcomes.push(outcome);
        if failed {
            break;
        }
    }
    outcomes
}

/// The next message of an inflater.
pub(crate) fn next_message<P: AsRef<[u8]>>(
    inflater: &mut Inflater,
    room: usize,
    fragments: &[P],
) -> Outcome {
    let mut output = vec![0; room];
    let mut message = Vec::new();
    for (i, fragment) in fragments.iter().enumerate() {
        let end = i + 1 == fragments.len();
        let mut input = fragment.as_ref();
        loop {
            let inflated = match inflater.inflate(input, end, &mut output) {
                Ok(inflated) => inflated,
                Err(error) => {
                    assert_eq!(inflater.inflate(&[0], true, &mut output), Err(error), "it stays");
                    return (message, Err(error));
                }
            };
            message.extend_from_slice(&output[..inflated.produced]);
            input = &input[inflated.consumed..];
            match inflated.need {
                Need::Output => {
                    assert!(inflated.consumed + inflated.produced > 0, "a turn for nothing");
                }
                Need::Input => {
                    assert!(input.is_empty() && !end);
                    break;
                }
                Need::Nothing => {
                    assert!(input.is_empty() && end);
                    return (message, Ok(()));
                }
            }
        }
    }
    panic!("the end was told");
}

/// A frame of a compressed binary message from a server.
pub(crate) fn frame(start: bool, end: bool, payload: &[u8]) -> Vec<u8> {
    let first = if start { 0x42 } else { 0 } | if end { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(len as u8),
        len @ 126..65_536 => {
            frame.push(126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}
