//! What a peer can make a socket allocate: live bytes ≤ payload + a constant. `conformance/work` counts the instructions.

#[path = "../../ws-core/tests/attacks/mod.rs"]
mod attacks;
#[cfg(feature = "deflate")]
#[path = "../../ws-core/tests/attacks/bomb.rs"]
mod bomb;
mod common;
#[path = "../../ws-core/tests/meter/mod.rs"]
mod meter;

use std::io::{self, Read, Write};
use std::time::Duration;

use attacks::{CONSTANT, FRAME, at_most, length};
use common::{BINARY, PING, frame};
use meter::Meter;
use ws_std::ws_core::endpoint::Options;
use ws_std::ws_core::handshake::HandshakeError;
use ws_std::ws_core::{Endpoint, Role};
use ws_std::{Config, Connector, Error, Listener, Transport, WebSocket};

const MIB: usize = 1 << 20;
const ROLES: [Role; 2] = [Role::Server, Role::Client];
/// A fragment that is not the last one.
const CONT: u8 = 0;
const END: u8 = 0x80;

/// A peer that has sent all of its bytes, which arrive in pieces. It accepts what is written, or nothing.
#[derive(Debug)]
struct Peer<'a> {
    bytes: &'a [u8],
    piece: usize,
    accepts: bool,
}

impl<'a> Peer<'a> {
    fn new(bytes: &'a [u8], piece: usize) -> Self {
        Self { bytes, piece, accepts: true }
    }
}

impl Read for Peer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.piece).min(self.bytes.len());
        let (now, rest) = self.bytes.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.bytes = rest;
        Ok(count)
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.accepts { Ok(bytes.len()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Peer<'_> {
    fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn try_clone(&self) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A frame as the peer of `role` sends it.
fn to(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, (role == Role::Server).then_some([0x37, 0xfa, 0x21, 0x3d]))
}

/// The head of a frame that declares 2^62 bytes, with a masking key of zeros.
fn declaring(role: Role, first: u8) -> Vec<u8> {
    let mask = if role == Role::Server { 0x80 } else { 0 };
    let mut head = vec![first, mask | 127];
    head.extend((1_u64 << 62).to_be_bytes());
    head.extend(if role == Role::Server { &[0; 4][..] } else { b"" });
    head
}

/// One message in so many fragments with this payload.
fn fragments(role: Role, first: u8, payload: &[u8], count: usize) -> Vec<u8> {
    [to(role, first, b""), to(role, CONT, payload).repeat(count), to(role, END, b"")].concat()
}

fn unlimited() -> Options {
    Config::new().max_frame(u64::MAX).max_message(u64::MAX).into()
}

fn socket<T: Transport>(role: Role, options: Options, stream: T) -> WebSocket<T> {
    let endpoint = match role {
        Role::Server => Endpoint::server_after_handshake(options, b""),
        Role::Client => {
            let random = Box::new(|bytes: &mut [u8]| {
                bytes.fill(7);
                true
            });
            Endpoint::client_after_handshake(options, random, b"")
        }
    };
    WebSocket::from_endpoint(endpoint, stream)
}

/// Reads to the end of the stream. Returns the number of messages and of their bytes, after a check that no more than `most`
/// was held at any time.
#[track_caller]
fn read(role: Role, options: Options, peer: Peer<'_>, most: usize) -> (usize, usize) {
    let meter = Meter::new();
    let mut ws = socket(role, options, peer);
    let (mut messages, mut total) = (0, 0);
    while let Some(message) = ws.read().unwrap() {
        messages += 1;
        total += message.len();
    }
    let peak = meter.peak();
    drop(ws);
    assert_eq!(meter.live(), 0, "{role:?}");
    at_most(most, peak, role);
    (messages, total)
}

#[test]
fn a_million_empty_fragments_cost_nothing() {
    for role in ROLES {
        let stream = fragments(role, 0x02, b"", length(1_000_000));
        assert_eq!(read(role, unlimited(), Peer::new(&stream, usize::MAX), CONSTANT), (1, 0));
    }
}

#[test]
fn a_million_one_byte_fragments_cost_their_payload() {
    let len = length(1_000_000);
    for role in ROLES {
        let stream = fragments(role, 0x02, b"x", len);
        let peer = Peer::new(&stream, usize::MAX);
        assert_eq!(read(role, unlimited(), peer, len + CONSTANT), (1, len));
    }
}

#[test]
fn one_byte_reads_of_a_large_frame_cost_its_payload() {
    let len = length(FRAME);
    for role in ROLES {
        let stream = to(role, BINARY, &vec![7; len]);
        let peer = Peer::new(&stream, 1);
        assert_eq!(read(role, Options::new(), peer, len + CONSTANT), (1, len));
    }
}

// Only what arrives of it counts: memory for it is at most tripled.
#[test]
fn a_declared_length_costs_what_arrives() {
    let len = length(100_000);
    for role in ROLES {
        let head = declaring(role, BINARY);
        assert_eq!(read(role, unlimited(), Peer::new(&head, usize::MAX), CONSTANT), (0, 0));
        let stream = [head, vec![7; len]].concat();
        let peer = Peer::new(&stream, usize::MAX);
        assert_eq!(read(role, unlimited(), peer, len + CONSTANT.max(2 * len)), (0, 0));
    }
}

// The peer reads nothing. Past the limit only the latest Ping is answered.
#[test]
fn pings_that_cannot_be_answered_cost_the_output_that_may_wait() {
    const OUTPUT: usize = 10_000;
    let count = length(100_000);
    for role in ROLES {
        let stream = to(role, PING, &[7; 125]).repeat(count);
        let meter = Meter::new();
        let peer = Peer { accepts: false, ..Peer::new(&stream, usize::MAX) };
        let mut ws = socket(role, Options::new().max_output(OUTPUT), peer);
        assert_eq!(ws.read().unwrap(), None);
        assert!(ws.stream().bytes.is_empty());
        at_most(OUTPUT + CONSTANT, meter.peak(), role);
    }
}

// The limit of what waits is 16 MiB here, and all of it can be Pongs. The memory of it grows in steps.
#[test]
fn pings_that_cannot_be_answered_cost_no_more_than_the_usual_limit() {
    for role in ROLES {
        let stream = to(role, PING, &[7; 125]).repeat(200_000);
        let meter = Meter::new();
        let peer = Peer { accepts: false, ..Peer::new(&stream, usize::MAX) };
        let mut ws = socket(role, Options::new(), peer);
        assert_eq!(ws.read().unwrap(), None);
        assert!(ws.stream().bytes.is_empty());
        at_most(16 * MIB * 5 / 4 + CONSTANT, meter.peak(), role);
    }
}

#[test]
fn a_head_in_one_byte_reads_costs_its_length() {
    let limit = length(16 * 1024);
    let most = limit + CONSTANT;
    let endless = |start: &str| format!("{start}X: {}", "y".repeat(limit)).into_bytes();
    let head = endless("GET / HTTP/1.1\r\nHost: a\r\n");
    let builder = Listener::builder().max_head(limit);
    let meter = Meter::new();
    let error = builder.request_over(Peer::new(&head, 1)).unwrap_err();
    let Error::Handshake(failure) = error else { panic!("{error:?}") };
    assert_eq!(failure.error, HandshakeError::HeadTooLarge);
    at_most(most, meter.peak(), Role::Server);

    let head = endless("HTTP/1.1 101 Switching Protocols\r\n");
    let connector = Connector::builder().max_head(limit);
    let meter = Meter::new();
    let error = connector.connect_over("ws://localhost/", Peer::new(&head, 1)).unwrap_err();
    let Error::Handshake(failure) = error else { panic!("{error:?}") };
    assert_eq!(failure.error, HandshakeError::ResponseHeadTooLarge);
    at_most(most, meter.peak(), Role::Client);
}

#[cfg(feature = "deflate")]
mod compressed {
    use ws_std::ProtocolError;
    use ws_std::deflate::{Compression, DeflateParams, Pool};

    use super::*;
    use crate::attacks::{CONSTANT_COMPRESSED, stored};
    use crate::bomb::bomb;

    /// RSV1
    const COMPRESSED: u8 = 0x40;

    /// The options of a connection that agreed on compression, with this limit for a message.
    fn agreed(max_message: usize) -> Options {
        let config = Config::new().max_frame(u64::MAX).max_message(max_message as u64);
        let compression = Compression::new(&Pool::new()).agreed(DeflateParams::default());
        Options::from(config).deflate(compression).max_output(10_000)
    }

    /// Reads to the end of the stream, as [`super::read`]. A message holds at most its limit and a constant.
    #[track_caller]
    fn read_inflated(role: Role, max_message: usize, peer: Peer<'_>) -> (usize, usize) {
        read(role, agreed(max_message), peer, max_message + CONSTANT_COMPRESSED)
    }

    #[test]
    fn a_million_empty_fragments_of_a_compressed_message_cost_nothing() {
        for role in ROLES {
            let first = to(role, 0x02 | COMPRESSED, &stored(b"x"));
            let rest = fragments(role, CONT, b"", length(1_000_000));
            let stream = [first, rest].concat();
            assert_eq!(read_inflated(role, 1, Peer::new(&stream, usize::MAX)), (1, 1));
        }
    }

    #[test]
    fn a_million_compressed_fragments_cost_their_message() {
        let len = length(MIB);
        for role in ROLES {
            let mut stream = to(role, 0x02 | COMPRESSED, b"");
            stored(&vec![7; len]).chunks(1).for_each(|byte| stream.extend(to(role, CONT, byte)));
            stream.extend(to(role, END, b""));
            assert_eq!(read_inflated(role, len, Peer::new(&stream, usize::MAX)), (1, len));
        }
    }

    #[test]
    fn one_byte_reads_of_a_compressed_frame_cost_its_message() {
        let len = length(FRAME);
        for role in ROLES {
            let stream = to(role, BINARY | COMPRESSED, &stored(&vec![7; len]));
            assert_eq!(read_inflated(role, len, Peer::new(&stream, 1)), (1, len));
        }
    }

    #[test]
    fn a_declared_length_of_a_compressed_frame_costs_what_arrives() {
        let len = length(100_000);
        for role in ROLES {
            let head = declaring(role, BINARY | COMPRESSED);
            assert_eq!(
                read(role, agreed(usize::MAX), Peer::new(&head, 1), CONSTANT_COMPRESSED),
                (0, 0)
            );
            let stream = [head, stored(&vec![7; len])].concat();
            let peer = Peer::new(&stream, usize::MAX);
            let most = 2 * len + CONSTANT_COMPRESSED;
            assert_eq!(read(role, agreed(usize::MAX), peer, most), (0, 0));
        }
    }

    #[test]
    fn pings_between_compressed_fragments_cost_the_output_that_may_wait() {
        let len = length(100_000);
        for role in ROLES {
            let ping = to(role, PING, b"here");
            let mut stream = to(role, 0x02 | COMPRESSED, b"");
            for byte in stored(&vec![7; len]).chunks(1) {
                stream.extend(to(role, CONT, byte));
                stream.extend(&ping);
            }
            stream.extend(to(role, END, b""));
            let peer = Peer { accepts: false, ..Peer::new(&stream, usize::MAX) };
            assert_eq!(read_inflated(role, len, peer), (1, len));
        }
    }

    // RFC 6455 §10.4: 1 GiB of zeros
    #[test]
    fn a_bomb_costs_its_limit() {
        let limit = length(FRAME);
        let payload = bomb(1024);
        for role in ROLES {
            let stream = to(role, BINARY | COMPRESSED, &payload);
            let meter = Meter::new();
            let mut ws = socket(role, agreed(limit), Peer::new(&stream, usize::MAX));
            let error = ws.read().unwrap_err();
            let expected = ProtocolError::MessageTooLarge;
            assert!(matches!(error, Error::Protocol(found) if found == expected), "{error:?}");
            let most = limit + CONSTANT_COMPRESSED;
            at_most(most, meter.peak(), role);
            // Inflating stops where the limit is exceeded.
            let read = stream.len() - ws.stream().bytes.len();
            assert!(read <= limit / 1000 + 256 * 1024, "{read}");
        }
    }
}
