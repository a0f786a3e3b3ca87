//! A connection holds nothing but its own bytes: no allocation, whatever a peer sends.

mod attacks;
#[cfg(all(feature = "miniz_oxide", feature = "zlib-rs"))]
#[path = "attacks/bomb.rs"]
mod bomb;
mod common;
mod meter;

use attacks::{FRAME, length};
use common::{BINARY, CONT, FIN, PING, ROLES, START, TEXT, ask, key, to};
use meter::Meter;
use ws_core::message::SliceAssembler;
use ws_core::{CloseCode, Config, Connection, DataFrame, Input, Instant, Role, Step};

/// Runs `case` and checks that this thread has not allocated in it.
#[track_caller]
fn without_allocation<T>(case: impl FnOnce() -> T) -> T {
    let meter = Meter::new();
    let result = case();
    assert_eq!(meter.calls(), 0, "allocations");
    result
}

/// What came of some bytes, counted.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    role: Role,
    chunks: usize,
    messages: usize,
    payload: usize,
    controls: usize,
    /// Bytes of control frames.
    sent: usize,
}

impl Counts {
    const fn new(role: Role) -> Self {
        Self { role, chunks: 0, messages: 0, payload: 0, controls: 0, sent: 0 }
    }

    /// The length of the Pong or Ping with the longest payload.
    fn longest(role: Role) -> usize {
        if role == Role::Server { 127 } else { 131 }
    }
}

/// Receives `bytes` in place. What is owed is encoded into `out`, or stays owed while a payload is under way.
fn receive(connection: &mut Connection, bytes: &mut [u8], out: &mut [u8], counts: &mut Counts) {
    let mut input = Input::new(bytes);
    loop {
        match connection.next(&mut input, || START) {
            Step::Data(chunk) => {
                counts.chunks += 1;
                counts.messages += usize::from(chunk.end);
                counts.payload += chunk.bytes.len();
            }
            Step::Ping | Step::Pong | Step::Close => counts.controls += 1,
            Step::Transmit => {
                counts.sent += connection.sender.transmit(out, key(counts.role)).unwrap();
            }
            Step::Shutdown(_) | Step::Wait(_) | Step::Done => return,
            Step::Failed(error) => panic!("{error}"),
        }
    }
}

#[test]
fn the_count_counts() {
    let meter = Meter::new();
    drop(std::hint::black_box(vec![0u8; 100]));
    assert_eq!(meter.calls(), 1);
}

#[test]
fn connection_is_small() {
    assert!(size_of::<Connection>() <= 416, "{} bytes", size_of::<Connection>());
}

#[test]
fn messages_need_no_allocation() {
    for role in ROLES {
        let text = to(role, FIN | TEXT, "gr\u{fc}n".as_bytes());
        let long = to(role, FIN | BINARY, &[7; 70_000]);
        let ping = to(role, FIN | PING, &[1; 125]);
        let close = to(role, FIN | 0x8, b"\x03\xe8bye");
        let stream = [text, long, ping].concat();
        let mut buffer = stream.clone();
        let mut close = close;
        without_allocation(|| {
            let mut connection = Connection::new(role, Config::new());
            let mut counts = Counts::new(role);
            let mut out = [0; 131];
            for _ in 0..10 {
                buffer.copy_from_slice(&stream);
                receive(&mut connection, &mut buffer, &mut out, &mut counts);
                let sender = &mut connection.sender;
                sender.encode(DataFrame::TEXT, b"answer", key(role), &mut out).unwrap();
                sender.head(DataFrame::BINARY, 6, key(role)).unwrap();
                sender.mask_payload(&mut [0; 6]).unwrap();
                sender.ping(b"", key(role), &mut out).unwrap();
                let step = ask(&mut connection, &mut Input::new(&mut []), Instant::from_millis(1));
                assert!(matches!(step, Step::Wait(None)));
            }
            let sent = 10 * Counts::longest(role);
            let expected =
                Counts { role, chunks: 20, messages: 20, payload: 700_050, controls: 10, sent };
            assert_eq!(counts, expected);
            connection.sender.start_close(CloseCode::NORMAL, "bye", key(role), &mut out).unwrap();
            receive(&mut connection, &mut close, &mut out, &mut counts);
            assert_eq!(connection.receiver.close_frame().unwrap().reason, "bye");
            connection.receiver.receive_eof();
            assert!(matches!(
                connection.next(&mut Input::new(&mut []), || START),
                Step::Shutdown(_)
            ));
            assert!(matches!(connection.next(&mut Input::new(&mut []), || START), Step::Done));
        });
    }
}

// A length is a promise of the peer, nothing is set aside for it.
#[test]
fn a_declared_length_costs_nothing() {
    for role in ROLES {
        for len in [1u64 << 20, 1 << 40, 1 << 62, (1 << 63) - 1] {
            let mut bytes = common::length(role, FIN | BINARY, 127, &len.to_be_bytes());
            bytes.extend([0; 14]);
            without_allocation(|| {
                let config = Config::new().max_frame(u64::MAX).max_message(u64::MAX);
                let mut connection = Connection::new(role, config);
                let mut counts = Counts::new(role);
                receive(&mut connection, &mut bytes, &mut [], &mut counts);
                let payload = if role == Role::Server { 10 } else { 14 };
                assert_eq!(counts, Counts { chunks: 1, payload, ..Counts::new(role) });
            });
        }
    }
}

/// So many continuations of one message, and its end.
fn fragments(payload: &[u8]) {
    let count = length(1_000_000);
    for role in ROLES {
        let start = to(role, TEXT, b"");
        let fragment = to(role, CONT, payload);
        let end = to(role, FIN | CONT, b"");
        let (mut start, mut buffer, mut end) = (start, fragment.clone(), end);
        let mut storage = vec![0; count];
        without_allocation(|| {
            let mut connection = Connection::new(role, Config::new().max_message(u64::MAX));
            let mut messages = SliceAssembler::new(&mut storage);
            let mut counts = Counts::new(role);
            receive(&mut connection, &mut start, &mut [], &mut counts);
            for _ in 0..count {
                buffer.copy_from_slice(&fragment);
                let mut input = Input::new(&mut buffer);
                let Step::Data(chunk) = ask(&mut connection, &mut input, START) else {
                    panic!("a chunk for each frame");
                };
                assert_eq!(messages.push(&chunk), Ok(None));
            }
            let mut input = Input::new(&mut end);
            let Step::Data(chunk) = ask(&mut connection, &mut input, START) else {
                panic!("the message ends");
            };
            let (_, message) = messages.push(&chunk).unwrap().unwrap();
            assert_eq!(message.len(), count * payload.len());
        });
    }
}

#[test]
fn a_million_empty_fragments_cost_nothing() {
    fragments(b"");
}

#[test]
fn a_million_one_byte_fragments_cost_nothing() {
    fragments(b"x");
}

// Header and all
#[test]
fn one_byte_reads_cost_nothing() {
    let len = length(FRAME);
    for role in ROLES {
        let mut bytes = to(role, FIN | BINARY, &vec![9; len]);
        without_allocation(|| {
            let mut connection = Connection::new(role, Config::new());
            let mut counts = Counts::new(role);
            for byte in bytes.chunks_mut(1) {
                receive(&mut connection, byte, &mut [], &mut counts);
            }
            let expected = Counts { chunks: len, messages: 1, payload: len, ..Counts::new(role) };
            assert_eq!(counts, expected);
        });
    }
}

// 10^5 pings, nothing written because a payload is under way: one slot
#[test]
fn ping_floods_cost_nothing() {
    let count = length(100_000);
    for role in ROLES {
        let ping = to(role, FIN | PING, &[3; 125]);
        let mut buffer = ping.clone();
        without_allocation(|| {
            let mut connection = Connection::new(role, Config::new());
            connection.sender.head(DataFrame::BINARY, 1, key(role)).unwrap();
            let mut counts = Counts::new(role);
            for _ in 0..count {
                buffer.copy_from_slice(&ping);
                receive(&mut connection, &mut buffer, &mut [], &mut counts);
            }
            assert_eq!(counts, Counts { controls: count, ..Counts::new(role) });
            let mut out = [0; 131];
            assert_eq!(connection.sender.transmit(&mut out, key(role)), Ok(0));
            connection.sender.mask_payload(&mut [0]).unwrap();
            let longest = Counts::longest(role);
            assert_eq!(connection.sender.transmit(&mut out, key(role)), Ok(longest));
            assert_eq!(connection.sender.transmit(&mut out, key(role)), Ok(0));
        });
    }
}

// The caller's buffer is all that a head takes, and it is searched once for each byte.
#[cfg(feature = "handshake")]
#[test]
fn a_head_in_one_byte_reads_costs_nothing() {
    use ws_core::handshake::{FieldSlots, HandshakeError, HeadReader, RequestHead, ResponseHead};
    let len = length(16_000);
    let field = "y".repeat(len);
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {field}\r\n\r\n").into_bytes();
    let response = format!("HTTP/1.1 404 Not Found\r\nX: {field}\r\n\r\n").into_bytes();
    without_allocation(|| {
        for (mut reader, head) in [
            (HeadReader::request(usize::MAX), &request),
            (HeadReader::response(usize::MAX), &response),
        ] {
            let (last, before) = head.split_last().unwrap();
            before.chunks(1).for_each(|byte| assert_eq!(reader.push(byte), Ok(None)));
            assert_eq!(reader.push(&[*last]), Ok(Some(head.len())));
        }
        let mut slots = FieldSlots::<4>::new();
        let head = RequestHead::parse(&request, &mut slots).unwrap();
        assert_eq!(head.field("X").unwrap().len(), len);
        let mut slots = FieldSlots::<4>::new();
        let head = ResponseHead::parse(&response, &mut slots).unwrap();
        assert_eq!((head.status(), head.field("X").unwrap().len()), (404, len));

        let mut reader = HeadReader::request(len);
        let outcome = request.chunks(1).find_map(|byte| reader.push(byte).err());
        assert_eq!(outcome, Some(HandshakeError::HeadTooLarge));
    });
}

#[cfg(feature = "miniz_oxide")]
mod compressed {
    use ws_core::ProtocolError;
    use ws_core::deflate::{Decoder, Limits, SliceInflater};

    use super::*;
    use crate::attacks::stored;

    /// Receives bytes in pieces of this length and inflates them in slices. Returns how many messages and how many bytes of
    /// them there were, and the number of Pings, or the error.
    fn inflate(
        role: Role,
        limits: Limits,
        bytes: &mut [u8],
        piece: usize,
    ) -> Result<(usize, usize, usize), (usize, ProtocolError)> {
        let mut window = vec![0; 32_768];
        let mut decoder = Box::new(Decoder::new());
        without_allocation(|| {
            let mut inflater = SliceInflater::new(&mut window, &mut decoder, limits).unwrap();
            let config = Config::new().max_frame(u64::MAX).max_message(u64::MAX);
            let mut connection = Connection::with_compression(role, config, true);
            // A payload is under way, so that no Pong can be sent.
            connection.sender.head(DataFrame::BINARY, 1, key(role)).unwrap();
            let (mut messages, mut total, mut pings) = (0, 0, 0);
            for piece in bytes.chunks_mut(piece) {
                let mut input = Input::new(piece);
                loop {
                    match connection.next(&mut input, || START) {
                        Step::Data(chunk) => {
                            let mut pieces = inflater.push(&chunk);
                            while let Some(piece) =
                                pieces.next_piece().map_err(|error| (total, error))?
                            {
                                total += piece.bytes.len();
                                messages += usize::from(piece.end);
                            }
                        }
                        Step::Ping => pings += 1,
                        Step::Wait(_) => break,
                        other => panic!("{other:?}"),
                    }
                }
            }
            Ok((messages, total, pings))
        })
    }

    fn fragments(role: Role, payload: &[u8], between: &[u8]) -> Vec<u8> {
        let mut stream = to(role, 0x40 | BINARY, b"");
        for byte in payload.chunks(1) {
            stream.extend(to(role, CONT, byte));
            stream.extend(between);
        }
        stream.extend(to(role, FIN | CONT, b""));
        stream
    }

    #[test]
    fn a_million_compressed_fragments_cost_nothing() {
        let len = length(1_000_000);
        for role in ROLES {
            let mut stream = fragments(role, &stored(&vec![7; len]), b"");
            assert_eq!(inflate(role, Limits::new(), &mut stream, 1 << 16), Ok((1, len, 0)));
        }
    }

    #[test]
    fn a_million_empty_compressed_fragments_cost_nothing() {
        for role in ROLES {
            let mut stream = to(role, 0x40 | BINARY, &stored(b"x"));
            stream.extend(to(role, CONT, b"").repeat(length(1_000_000)));
            stream.extend(to(role, FIN | CONT, b""));
            assert_eq!(inflate(role, Limits::new(), &mut stream, 1 << 16), Ok((1, 1, 0)));
        }
    }

    #[test]
    fn one_byte_reads_of_a_compressed_frame_cost_nothing() {
        let len = length(FRAME);
        for role in ROLES {
            let mut stream = to(role, FIN | 0x40 | BINARY, &stored(&vec![7; len]));
            assert_eq!(inflate(role, Limits::new(), &mut stream, 1), Ok((1, len, 0)));
        }
    }

    #[test]
    fn a_declared_length_of_a_compressed_frame_costs_nothing() {
        let len = length(100_000);
        for role in ROLES {
            let declared = (1_u64 << 62).to_be_bytes();
            let mut stream = common::length(role, FIN | 0x40 | BINARY, 127, &declared);
            // A masking key of zeros
            stream.extend(if role == Role::Server { &[0; 4][..] } else { b"" });
            stream.extend(stored(&vec![7; len]));
            assert_eq!(inflate(role, Limits::new(), &mut stream, 1 << 16), Ok((0, len, 0)));
        }
    }

    #[test]
    fn pings_between_compressed_fragments_cost_nothing() {
        let len = length(100_000);
        for role in ROLES {
            let payload = stored(&vec![7; len]);
            let mut stream = fragments(role, &payload, &to(role, FIN | PING, b"here"));
            let outcome = inflate(role, Limits::new(), &mut stream, 1 << 16);
            assert_eq!(outcome, Ok((1, len, payload.len())));
        }
    }

    // RFC 6455 §10.4: it stops at the limit, in a slice that does not grow.
    #[cfg(feature = "zlib-rs")]
    #[test]
    fn a_bomb_costs_an_inflater_in_a_slice_nothing() {
        let limit = length(FRAME);
        for role in ROLES {
            let mut stream = to(role, FIN | 0x40 | BINARY, &bomb::bomb(1024));
            let limits = Limits::new().max_message(limit as u64);
            let (inflated, error) = inflate(role, limits, &mut stream, 1 << 16).unwrap_err();
            assert_eq!(error, ProtocolError::MessageTooLarge);
            assert!((limit - 32_768..=limit).contains(&inflated), "{inflated}");
        }
    }
}
