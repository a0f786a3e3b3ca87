//! What a peer sends on an open connection. The input is flags and the stream.
//!
//! Bit 0 of the flags makes it a client, and bit 2 sets low limits.

use std::io::{self, Read, Write};

use tungstenite::protocol::{Role as TheirRole, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message as TheirMessage};
use ws_core::endpoint::{Endpoint, EndpointError, Event, Next};
use ws_core::{Config, Instant, Message, ProtocolError, Role};

const LIMITS: Limits = Limits { frame: 4096, message: 6000 };
const LOW_LIMITS: Limits = Limits { frame: 200, message: 300 };

#[derive(Clone, Copy)]
struct Limits {
    frame: usize,
    message: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

/// How a connection is at the end of the stream.
#[derive(Debug, PartialEq, Eq)]
enum Fate<E> {
    Open,
    Closed(u16, String),
    Failed(E),
}

pub fn check(data: &[u8]) {
    let Some((&flags, stream)) = data.split_first() else { return };
    let role = if flags & 1 != 0 { Role::Client } else { Role::Server };
    let limits = if flags & 4 != 0 { LOW_LIMITS } else { LIMITS };
    let mut stream = stream.to_vec();
    loop {
        let (seen, fate) = ours(role, limits, &stream);
        // RFC 6455 §5.2: "the minimal number of bytes MUST be used to encode the length". They do not check it. With
        // the length in its shortest form, both have to agree again.
        if let Fate::Failed(ProtocolError::NonMinimalLength | ProtocolError::ControlTooLong) = fate
            && let Some(shorter) = shortened(&stream)
        {
            let (their_seen, _) = theirs(role, limits, &stream);
            assert!(their_seen.starts_with(&seen), "{their_seen:?} instead of {seen:?}");
            stream = shorter;
            continue;
        }
        return compare(role, limits, &stream, (seen, fate));
    }
}

fn compare(role: Role, limits: Limits, stream: &[u8], ours: (Vec<Seen>, Fate<ProtocolError>)) {
    let (seen, fate) = ours;
    let (mut their_seen, mut their_fate) = theirs(role, limits, stream);
    // We fail at the byte that breaks a rule (RFC 6455 §5.2, §8.1), and they at the end of its frame.
    if matches!((&fate, &their_fate), (Fate::Failed(_), Fate::Open)) {
        (their_seen, their_fate) = theirs(role, limits, &completed(stream));
    }
    assert_eq!(seen, their_seen, "{fate:?}, {their_fate:?}");
    match (&fate, &their_fate) {
        (Fate::Open, Fate::Open) | (Fate::Failed(_), Fate::Failed(_)) => {}
        (Fate::Closed(..), Fate::Closed(..)) if fate_of(&fate) == fate_of(&their_fate) => {}
        // A code that must not be sent (RFC 6455 §7.4) is a failure with 1002 here. They report such a Close frame and
        // answer it with 1002.
        (Fate::Failed(ProtocolError::InvalidCloseCode(_)), Fate::Closed(1002, reason))
            if reason == "Protocol violation" => {}
        // IANA has registered 1014, which they do not know.
        (Fate::Closed(1014, _), Fate::Closed(1002, reason)) if reason == "Protocol violation" => {}
        _ => panic!("{fate:?} here, {their_fate:?} there"),
    }
}

fn fate_of<E>(fate: &Fate<E>) -> Option<(u16, &str)> {
    match fate {
        Fate::Closed(code, reason) => Some((*code, reason)),
        _ => None,
    }
}

fn ours(role: Role, limits: Limits, stream: &[u8]) -> (Vec<Seen>, Fate<ProtocolError>) {
    let config = Config::new().max_frame(limits.frame as u64).max_message(limits.message as u64);
    let mut endpoint = match role {
        Role::Server => Endpoint::server_after_handshake(config, &[]),
        Role::Client => Endpoint::client_after_handshake(
            config,
            |bytes| {
                bytes.fill(7);
                true
            },
            &[],
        ),
    };
    let mut seen = Vec::new();
    let mut rest = stream;
    loop {
        match endpoint.next(|| Instant::from_millis(0)) {
            Next::Event(Event::Message(Message::Text(text))) => {
                seen.push(Seen::Text(text.to_string()));
            }
            Next::Event(Event::Message(Message::Binary(bytes))) => {
                seen.push(Seen::Binary(bytes.to_vec()));
            }
            Next::Event(Event::Ping(payload)) => seen.push(Seen::Ping(payload.to_vec())),
            Next::Event(Event::Pong(payload)) => seen.push(Seen::Pong(payload.to_vec())),
            Next::Event(Event::Closed) => {
                let info = endpoint.close_info().expect("how it was closed");
                return (seen, Fate::Closed(info.code.get(), info.reason));
            }
            Next::Failed(EndpointError::Protocol(error)) => return (seen, Fate::Failed(error)),
            Next::Write { mut output, .. } => {
                let len = output.len();
                output.advance(len);
            }
            Next::Wait { .. } if rest.is_empty() => return (seen, Fate::Open),
            Next::Wait { read: Some(inbound), .. } => {
                let taken = inbound.receive(rest);
                rest = &rest[taken..];
            }
            other => panic!("{other:?} on an open connection"),
        }
    }
}

/// What is read is the stream, and what is written is dropped.
struct Stream<'a>(&'a [u8]);

impl Read for Stream<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(room)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(role: Role, limits: Limits, stream: &[u8]) -> (Vec<Seen>, Fate<String>) {
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .max_frame_size(Some(limits.frame))
        .max_message_size(Some(limits.message));
    let role = match role {
        Role::Server => TheirRole::Server,
        Role::Client => TheirRole::Client,
    };
    let mut socket = WebSocket::from_raw_socket(Stream(stream), role, Some(config));
    let mut seen = Vec::new();
    loop {
        seen.push(match socket.read() {
            Ok(TheirMessage::Text(text)) => Seen::Text(text.to_string()),
            Ok(TheirMessage::Binary(bytes)) => Seen::Binary(bytes.to_vec()),
            Ok(TheirMessage::Ping(payload)) => Seen::Ping(payload.to_vec()),
            Ok(TheirMessage::Pong(payload)) => Seen::Pong(payload.to_vec()),
            Ok(TheirMessage::Close(frame)) => {
                let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                    (frame.code.into(), frame.reason.to_string())
                });
                return (seen, Fate::Closed(code, reason));
            }
            Ok(TheirMessage::Frame(frame)) => panic!("{frame}"),
            Err(Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => return (seen, Fate::Open),
            Err(error @ (Error::Protocol(_) | Error::Capacity(_) | Error::Utf8(_))) => {
                return (seen, Fate::Failed(error.to_string()));
            }
            Err(error) => panic!("{error}"),
        });
    }
}

/// The place of a frame: its start, the length of its extended length, that of its header, and that of its payload.
#[derive(Clone, Copy)]
struct Frame {
    start: usize,
    extended: usize,
    header: usize,
    payload: u64,
}

/// Returns the complete frames of a stream, and what is incomplete at its end.
fn frames(stream: &[u8]) -> (Vec<Frame>, usize) {
    let mut frames = Vec::new();
    let mut start = 0;
    while let [_, second, rest @ ..] = &stream[start..] {
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let header = 2 + extended + if second & 0x80 != 0 { 4 } else { 0 };
        let Some(length) = rest.get(..extended) else { break };
        let payload = match extended {
            0 => u64::from(second & 0x7f),
            _ => length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        frames.push(Frame { start, extended, header, payload });
        match usize::try_from(payload).ok().and_then(|len| len.checked_add(start + header)) {
            Some(end) if end <= stream.len() => start = end,
            _ => break,
        }
    }
    (frames, start)
}

/// Returns the stream with the first length that we refuse in its shortest form, unless it already has that.
fn shortened(stream: &[u8]) -> Option<Vec<u8>> {
    let is_long = |frame: &Frame| match frame.extended {
        2 => frame.payload < 126,
        8 => frame.payload < 65536,
        _ => false,
    };
    let is_control = |frame: &Frame| stream[frame.start] & 8 != 0;
    let refused = |frame: &&Frame| is_long(frame) || is_control(frame) && frame.extended > 0;
    let (frames, _) = frames(stream);
    let frame = frames.iter().find(refused).filter(|frame| is_long(frame))?;
    let (before, rest) = stream.split_at(frame.start);
    let mut shorter = [before, &rest[..1]].concat();
    let masked = rest[1] & 0x80;
    if frame.payload < 126 {
        shorter.push(masked | frame.payload as u8);
    } else {
        shorter.push(masked | 126);
        shorter.extend((frame.payload as u16).to_be_bytes());
    }
    shorter.extend(&rest[2 + frame.extended..]);
    Some(shorter)
}

/// Returns the stream with its last frame completed, unless that is longer than all limits.
fn completed(stream: &[u8]) -> Vec<u8> {
    let mut stream = stream.to_vec();
    let (_, start) = frames(&stream);
    // The longest header is 14 bytes. A missing part of a length is as large as can be.
    let mut end = start;
    while stream.len() < start + 14 && !has_header(&stream[start..]) {
        stream.push(0xff);
    }
    if let Some(frame) = frames(&stream).0.iter().find(|frame| frame.start == start) {
        let payload = usize::try_from(frame.payload).unwrap_or(usize::MAX);
        end = start + frame.header + payload.min(LIMITS.frame);
    }
    stream.resize(stream.len().max(end), 0);
    stream
}

fn has_header(bytes: &[u8]) -> bool {
    frames(bytes).0.first().is_some_and(|frame| frame.header <= bytes.len())
}
