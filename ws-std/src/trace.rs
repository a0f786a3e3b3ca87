//! Tracing: a hook that is called for each head and each frame of a connection.
//!
//! The tracer follows the bytes of both directions outside the endpoint, so that it shows what was on the stream,
//! faults included. For each direction it keeps at most one head, or one frame with the first [`TRACED_PAYLOAD`] bytes
//! of its payload.
//!
//! Nothing else depends on it: [`Timed`](crate::timed::Timed) passes the bytes to the tracer, if there is one.

#[cfg(feature = "deflate")]
mod inflate;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
#[cfg(feature = "deflate")]
use std::sync::Mutex;
use std::thread;

#[cfg(feature = "deflate")]
use ws_core::deflate::Pool;
use ws_core::frame::{CloseFrame, FrameHeader, MAX_HEADER_LEN, OpCode, mask};
use ws_core::{MessageKind, ProtocolError};

#[cfg(feature = "deflate")]
use crate::sync::lock;

/// How much of a payload a trace shows, in bytes.
pub const TRACED_PAYLOAD: usize = 1024;

/// How much of bytes that are not a valid frame a trace shows, in bytes.
const FAULT: usize = 64;
/// The first bytes of an HTTP response.
const HTTP: &[u8] = b"HTTP/";

/// The longest head that is traced, in bytes. After a longer one, nothing more of that direction is traced.
const MAX_HEAD: usize = 64 * 1024;

/// Something that was sent or received on a connection. `Display` shows one line for each line of a head, and one line
/// for a frame.
///
/// A compressed message is shown twice: first its frames as they were transmitted, then its inflated content.
///
/// Heads can contain secrets, such as cookies. While a thread panics, even if it was the hook that panicked, it does
/// not call the hook.
///
/// ```no_run
/// let mut ws = ws_std::Connector::builder()
///     .trace(|trace| eprintln!("{trace}"))
///     .connect("ws://127.0.0.1:9001/")?;
/// ws.send("hello")?;
/// // > GET / HTTP/1.1
/// // > Host: 127.0.0.1:9001
/// // …
/// // < HTTP/1.1 101 Switching Protocols
/// // …
/// // > text, 5 bytes: "hello"
/// # Ok::<(), ws_std::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Trace<'a> {
    /// The other end, if it has an address.
    pub peer: Option<SocketAddr>,
    /// The direction in which it went.
    pub direction: Direction,
    /// What was sent or received.
    pub what: Traced<'a>,
}

/// The direction in which something went, seen from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the peer.
    Sent,
    /// From the peer.
    Received,
}

/// What a [`Trace`] shows.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Traced<'a> {
    /// The head of a request or response, up to and including its empty line.
    Head(&'a [u8]),
    /// A message of the handshake with a SOCKS5 proxy (RFC 1928). Of the message with the user and the password, only
    /// the first byte is shown, which is the version of that exchange (RFC 1929).
    Socks5(&'a [u8]),
    /// A frame: its header, and the first [`TRACED_PAYLOAD`] bytes of its payload, unmasked.
    Frame(FrameHeader, &'a [u8]),
    /// The inflated content of a compressed message, after its last frame: its kind, its length, and the first
    /// [`TRACED_PAYLOAD`] bytes. Inflating for the trace costs time, and up to 32 KiB of memory for each direction.
    Inflated(MessageKind, u64, &'a [u8]),
    /// Bytes that are not a valid frame: the error, and up to 64 of them, as far as they have arrived. Nothing more of
    /// that direction is traced.
    Fault(ProtocolError, &'a [u8]),
}

impl fmt::Display for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = match self.direction {
            Direction::Sent => '>',
            Direction::Received => '<',
        };
        match self.what {
            Traced::Head(head) => {
                let head = String::from_utf8_lossy(head);
                for (at, line) in head.trim_end().lines().enumerate() {
                    let start = if at == 0 { "" } else { "\n" };
                    write!(f, "{start}{arrow} {}", line.escape_debug())?;
                }
                Ok(())
            }
            Traced::Socks5([1]) => write!(f, "{arrow} SOCKS5, user and password"),
            Traced::Socks5(message) => {
                write!(f, "{arrow} SOCKS5, ")?;
                let len = message.len() as u64;
                fmt_len(len, f)?;
                fmt_payload(true, len, message, f)
            }
            Traced::Frame(header, payload) => {
                write!(f, "{arrow} ")?;
                fmt_frame(&header, payload, f)
            }
            Traced::Inflated(kind, len, payload) => {
                write!(f, "{arrow} inflated, ")?;
                fmt_len(len, f)?;
                fmt_payload(kind == MessageKind::Binary, len, payload, f)
            }
            Traced::Fault(_, bytes) if bytes.starts_with(HTTP) => {
                let who = match self.direction {
                    Direction::Sent => "this side",
                    Direction::Received => "the peer",
                };
                write!(f, "{arrow} no frame: {who} sent HTTP: \"{}\"", bytes.escape_ascii())
            }
            Traced::Fault(error, bytes) => {
                write!(f, "{arrow} no frame: {error}: \"{}\"", bytes.escape_ascii())
            }
        }
    }
}

fn fmt_frame(header: &FrameHeader, payload: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = match header.opcode {
        OpCode::Continuation => "continuation",
        OpCode::Text => "text",
        OpCode::Binary => "binary",
        OpCode::Close => "close",
        OpCode::Ping => "ping",
        OpCode::Pong => "pong",
    };
    f.write_str(name)?;
    if !header.fin {
        f.write_str(", to be continued")?;
    }
    for (set, name) in [(header.rsv1, "RSV1"), (header.rsv2, "RSV2"), (header.rsv3, "RSV3")] {
        if set {
            write!(f, ", {name}")?;
        }
    }
    f.write_str(", ")?;
    fmt_len(header.len, f)?;
    match (header.opcode, CloseFrame::decode(payload)) {
        (OpCode::Close, Ok(frame)) if !payload.is_empty() => {
            write!(f, ": {} {:?}", frame.code.get(), frame.reason)
        }
        (opcode, _) => fmt_payload(opcode == OpCode::Binary, header.len, payload, f),
    }
}

fn fmt_len(len: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{len} byte{}", if len == 1 { "" } else { "s" })
}

/// Shows text as text, and everything else in hexadecimal.
fn fmt_payload(
    is_binary: bool,
    len: u64,
    payload: &[u8],
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    const SHOWN: usize = 64;
    if payload.is_empty() {
        return Ok(());
    }
    let shown = payload.get(..SHOWN).unwrap_or(payload);
    let more = if shown.len() as u64 == len { "" } else { "…" };
    // A character may be cut at the end.
    let text = match std::str::from_utf8(shown) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => {
            shown.get(..error.valid_up_to()).and_then(|text| std::str::from_utf8(text).ok())
        }
        Err(_) => None,
    };
    match text.filter(|_| !is_binary) {
        Some(text) => write!(f, ": {text:?}{more}"),
        None => {
            f.write_str(": ")?;
            shown.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            f.write_str(more)
        }
    }
}

/// The application's hook.
#[derive(Clone)]
pub(crate) struct Hook {
    call: Arc<dyn Fn(&Trace<'_>) + Send + Sync>,
    /// A pool for the trace alone, so that tracing does not affect the engines of the connections.
    #[cfg(feature = "deflate")]
    pool: Pool,
}

impl Hook {
    pub(crate) fn new(hook: impl Fn(&Trace<'_>) + Send + Sync + 'static) -> Self {
        Self {
            call: Arc::new(hook),
            #[cfg(feature = "deflate")]
            pool: Pool::new(),
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook(..)")
    }
}

/// Follows both directions of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Tracer {
    hook: Hook,
    peer: Option<SocketAddr>,
    sent: Side,
    received: Side,
}

#[derive(Clone)]
struct Side {
    direction: Direction,
    syntax: Syntax,
    /// The bytes of an incomplete head or frame.
    held: Vec<u8>,
    /// How many bytes of a payload still follow and are not shown.
    skip: u64,
    /// Shared by the tracers of both halves of a split connection, of which only one sees this direction.
    #[cfg(feature = "deflate")]
    inflating: Arc<Mutex<inflate::Inflating>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    Head,
    Frames,
    /// Not traced.
    Other,
}

impl Tracer {
    /// Returns a tracer that starts with the opening handshake, if there is a hook.
    pub(crate) fn boxed(hook: Option<&Hook>, peer: Option<SocketAddr>) -> Option<Box<Self>> {
        let hook = hook?.clone();
        let side = |direction| Side {
            direction,
            syntax: Syntax::Head,
            held: Vec::new(),
            skip: 0,
            #[cfg(feature = "deflate")]
            inflating: Arc::new(Mutex::new(inflate::Inflating::new(&hook.pool))),
        };
        let (sent, received) = (side(Direction::Sent), side(Direction::Received));
        Some(Box::new(Self { hook, peer, sent, received }))
    }

    /// Traces a message of the handshake with a SOCKS5 proxy.
    pub(crate) fn socks5(&self, direction: Direction, message: &[u8]) {
        let side = match direction {
            Direction::Sent => &self.sent,
            Direction::Received => &self.received,
        };
        side.tell(Traced::Socks5(message), &self.hook, self.peer);
    }

    pub(crate) fn sent(&mut self, bytes: &[u8]) {
        self.sent.feed(bytes, &self.hook, self.peer);
    }

    pub(crate) fn received(&mut self, bytes: &[u8]) {
        self.received.feed(bytes, &self.hook, self.peer);
    }
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side")
            .field("direction", &self.direction)
            .field("syntax", &self.syntax)
            .field("held", &self.held.len())
            .field("skip", &self.skip)
            .finish()
    }
}

impl Side {
    fn feed(&mut self, bytes: &[u8], hook: &Hook, peer: Option<SocketAddr>) {
        let mut rest = bytes;
        while !rest.is_empty() && self.syntax != Syntax::Other {
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(rest.len());
            self.skip = self.skip.saturating_sub(skipped as u64);
            #[cfg(feature = "deflate")]
            if skipped > 0 {
                let ended = lock(&self.inflating).more(rest.get(..skipped).unwrap_or_default());
                self.tell_inflated(ended, hook, peer);
            }
            rest = rest.get(skipped..).unwrap_or_default();
            rest = match self.syntax {
                Syntax::Head => self.head(rest, hook, peer),
                _ => self.frame(rest, hook, peer),
            };
        }
    }

    /// Consumes bytes of a head. Returns those that follow it.
    fn head<'b>(&mut self, bytes: &'b [u8], hook: &Hook, peer: Option<SocketAddr>) -> &'b [u8] {
        // The empty line may have begun in earlier bytes.
        let before = self.held.len();
        self.held.extend_from_slice(bytes);
        let from = before.saturating_sub(3);
        let end = self.held.get(from..).and_then(|tail| {
            let at = tail.windows(4).position(|four| four == b"\r\n\r\n")?;
            at.checked_add(from)?.checked_add(4)
        });
        let Some(end) = end else {
            if self.held.len() > MAX_HEAD {
                self.syntax = Syntax::Other;
                self.held = Vec::new();
            }
            return &[];
        };
        self.held.truncate(end);
        let head = std::mem::take(&mut self.held);
        self.tell(Traced::Head(&head), hook, peer);
        self.syntax = after(&head);
        end.checked_sub(before).and_then(|taken| bytes.get(taken..)).unwrap_or_default()
    }

    /// Consumes bytes of a frame. Returns those that follow the part that is shown.
    fn frame<'b>(&mut self, bytes: &'b [u8], hook: &Hook, peer: Option<SocketAddr>) -> &'b [u8] {
        let before = self.held.len();
        let most = TRACED_PAYLOAD.saturating_add(MAX_HEADER_LEN);
        let room = most.saturating_sub(before);
        self.held.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let (header, start) = match FrameHeader::decode(&self.held) {
            Ok(Some(found)) => found,
            Ok(None) => return &[],
            // A few bytes more show whether it is HTTP.
            Err(_) if HTTP.starts_with(&self.held) && self.held != HTTP => return &[],
            Err(error) => {
                self.syntax = Syntax::Other;
                let held = std::mem::take(&mut self.held);
                let first = held.get(..FAULT).unwrap_or(&held);
                self.tell(Traced::Fault(error, first), hook, peer);
                return &[];
            }
        };
        let shown = usize::try_from(header.len).unwrap_or(usize::MAX).min(TRACED_PAYLOAD);
        let end = start.saturating_add(shown);
        let Some(payload) = self.held.get_mut(start..end) else { return &[] };
        if let Some(key) = header.mask {
            mask(payload, key);
        }
        self.held.truncate(end);
        let held = std::mem::take(&mut self.held);
        let payload = held.get(start..).unwrap_or_default();
        self.tell(Traced::Frame(header, payload), hook, peer);
        #[cfg(feature = "deflate")]
        {
            let ended = lock(&self.inflating).frame(&header, payload);
            self.tell_inflated(ended, hook, peer);
        }
        self.skip = header.len.saturating_sub(shown as u64);
        end.checked_sub(before).and_then(|taken| bytes.get(taken..)).unwrap_or_default()
    }

    #[cfg(feature = "deflate")]
    fn tell_inflated(
        &self,
        message: Option<inflate::Inflated>,
        hook: &Hook,
        peer: Option<SocketAddr>,
    ) {
        if let Some(inflate::Inflated { kind, len, start }) = message {
            self.tell(Traced::Inflated(kind, len, &start), hook, peer);
        }
    }

    fn tell(&self, what: Traced<'_>, hook: &Hook, peer: Option<SocketAddr>) {
        // A half that is dropped during a panic still writes. A second panic would end the process.
        if thread::panicking() {
            return;
        }
        (hook.call)(&Trace { peer, direction: self.direction, what });
    }
}

/// Returns what follows a head: frames after a request for a WebSocket and after a 101, and another head after an
/// interim response.
fn after(head: &[u8]) -> Syntax {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let status = text.strip_prefix("http/1.1 ").and_then(|rest| rest.get(..3));
    let asks =
        || text.lines().any(|line| line.starts_with("upgrade:") && line.contains("websocket"));
    match status {
        Some("101") => Syntax::Frames,
        Some(status) if status.starts_with('1') => Syntax::Head,
        None if asks() => Syntax::Frames,
        _ => Syntax::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    #[cfg(feature = "deflate")]
    use ws_core::deflate::WindowBits;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n\r\n";

    /// Returns the lines of the trace for these bytes, cut into pieces of this size.
    fn told(bytes: &[u8], size: usize) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = lines.clone();
        let hook = Hook::new(move |trace| log.lock().unwrap().push(trace.to_string()));
        let mut tracer = Tracer::boxed(Some(&hook), None).unwrap();
        bytes.chunks(size).for_each(|piece| tracer.received(piece));
        drop((tracer, hook));
        Arc::into_inner(lines).unwrap().into_inner().unwrap()
    }

    #[test]
    fn a_trace_is_the_same_however_bytes_are_cut() {
        let long = "x".repeat(3000);
        let cases: [(&[u8], Vec<String>); 7] = [
            (b"\x81\x05Hello", vec!["< text, 5 bytes: \"Hello\"".into()]),
            // RFC 6455 §5.7: masked, fragmented, a Ping.
            (
                b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x01\x03Hel\x80\x02lo\x89\x01p",
                vec![
                    "< text, 5 bytes: \"Hello\"".into(),
                    "< text, to be continued, 3 bytes: \"Hel\"".into(),
                    "< continuation, 2 bytes: \"lo\"".into(),
                    "< ping, 1 byte: \"p\"".into(),
                ],
            ),
            (
                b"\x88\x05\x03\xe8bye\x88\x00\x8a\x00",
                vec![
                    "< close, 5 bytes: 1000 \"bye\"".into(),
                    "< close, 0 bytes".into(),
                    "< pong, 0 bytes".into(),
                ],
            ),
            (
                b"\xc2\x03\x00\x7f\xff\x82\x00",
                vec!["< binary, RSV1, 3 bytes: 007fff".into(), "< binary, 0 bytes".into()],
            ),
            (b"\x81\x03\xff\x1b[", vec!["< text, 3 bytes: ff1b5b".into()]),
            // A peer must not be able to send control characters to a terminal.
            (b"\x81\x04\x1b[2J", vec!["< text, 4 bytes: \"\\u{1b}[2J\"".into()]),
            (
                &[b"\x81\x7e\x0b\xb8", long.as_bytes(), b"\x81\x01y"].concat(),
                vec![
                    format!("< text, 3000 bytes: \"{}\"…", "x".repeat(64)),
                    "< text, 1 byte: \"y\"".into(),
                ],
            ),
        ];
        let head: Vec<_> = vec!["< GET / HTTP/1.1\n< Host: a\n< Upgrade: WebSocket".to_owned()];
        for (frames, lines) in cases {
            let bytes = [REQUEST, frames].concat();
            let expected = [&head[..], &lines].concat();
            for size in [1, 2, 3, 7, 100, 5000] {
                assert_eq!(told(&bytes, size), expected, "{size}");
            }
        }
    }

    #[test]
    fn a_fault_is_told_with_its_first_bytes() {
        let fault = ProtocolError::ReservedOpcode(3);
        let long = "y".repeat(61);
        let cases = [
            (&b"\x83\x00\x1b["[..], format!("{fault}: \"\\x83"), "\\x00\\x1b[\"".to_owned()),
            // A single "H" is a fragmented control frame. A little later it turns out to be HTTP.
            (
                b"HTTP/1.1 400 Bad Request\r\n\r\n",
                "the peer sent HTTP: \"HTTP/".into(),
                "1.1 400 Bad Request\\r\\n\\r\\n\"".into(),
            ),
            (
                &[b"\x83\x00\"", long.as_bytes(), b"more"].concat(),
                format!("{fault}: \"\\x83"),
                format!("\\x00\\\"{long}\""),
            ),
        ];
        for (bytes, start, rest) in cases {
            let bytes = [REQUEST, b"\x81\x02ok", bytes].concat();
            for size in [1, 2, 3, 7, 100, 5000] {
                let told = told(&bytes, size);
                assert_eq!((told.len(), &*told[1]), (3, "< text, 2 bytes: \"ok\""), "{told:?}");
                // The trace shows what has arrived by then.
                let line = told[2].strip_prefix("< no frame: ").unwrap();
                let shown = line.strip_prefix(&start).and_then(|shown| shown.strip_suffix('"'));
                assert!(shown.is_some_and(|shown| rest.starts_with(shown)), "{line}");
                assert!(size < 5000 || shown == rest.strip_suffix('"'), "{line}");
            }
        }
    }

    // RFC 7692 §7.2.3
    #[cfg(feature = "deflate")]
    #[test]
    fn a_compressed_message_is_told_as_it_was() {
        use ws_core::deflate::{DeflateOptions, Deflater};

        let text: String =
            (0..2000_u32).map(|at| (at.wrapping_mul(at) % 997).to_string()).collect();
        let mut payload = Vec::new();
        let mut deflater = Deflater::new(&Pool::new(), WindowBits::MAX, DeflateOptions::new());
        assert!(deflater.compress(text.as_bytes(), &mut payload));
        assert!(payload.len() > 2 * TRACED_PAYLOAD);
        let hex: String = payload[..64].iter().map(|byte| format!("{byte:02x}")).collect();
        let long = [format!("text, RSV1, {} bytes: {hex}…", payload.len()), {
            format!("inflated, {} bytes: {:?}…", text.len(), &text[..64])
        }];
        let mut frame = vec![0xc1, 0xfe];
        frame.extend((payload.len() as u16).to_be_bytes());
        frame.extend(b"\x37\xfa\x21\x3d");
        mask(&mut payload, ws_core::frame::MaskingKey::new(*b"\x37\xfa\x21\x3d"));
        frame.extend(payload);
        let hello = "inflated, 5 bytes: \"Hello\"";
        let cases: [(&[u8], &[&str]); 5] = [
            // The second one refers to the first, with a Ping between its fragments.
            (
                b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\x41\x02\xf2\x00\x89\x01p\x80\x03\x11\x00\x00",
                &[
                    "text, RSV1, 7 bytes: f248cdc9c90700",
                    hello,
                    "text, to be continued, RSV1, 2 bytes: f200",
                    "ping, 1 byte: \"p\"",
                    "continuation, 3 bytes: \"\\u{11}\\0\\0\"",
                    hello,
                ],
            ),
            (b"\xc2\x01\x00", &["binary, RSV1, 1 byte: 00", "inflated, 0 bytes"]),
            // After an invalid message, nothing can be inflated.
            (
                b"\xc2\x01\xff\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00",
                &["binary, RSV1, 1 byte: ff", "text, RSV1, 7 bytes: f248cdc9c90700"],
            ),
            (b"\x82\x01\x00", &["binary, 1 byte: 00"]),
            (&frame, &[&long[0], &long[1]]),
        ];
        for (frames, lines) in cases {
            let bytes = [REQUEST, frames].concat();
            for size in [1, 2, 3, 7, 100, 5000] {
                let told: Vec<_> =
                    told(&bytes, size).drain(1..).map(|line| line[2..].to_owned()).collect();
                assert_eq!(told, lines, "{size}");
            }
        }
    }

    #[test]
    fn what_is_no_websocket_is_not_followed() {
        let page = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\x81\x02ab";
        assert_eq!(told(page, 3), ["< HTTP/1.1 200 OK\n< Content-Length: 4"]);
        let interim = b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 101 Yes\r\n\r\n\x8a\x00";
        let lines = ["< HTTP/1.1 103 Early", "< HTTP/1.1 101 Yes", "< pong, 0 bytes"];
        assert_eq!(told(interim, 4), lines);
        let plain = b"GET / HTTP/1.1\r\n\r\n\x81\x02ab";
        assert_eq!(told(plain, 1), ["< GET / HTTP/1.1"]);
        assert_eq!(told(&vec![b'x'; 200_000], 1000), [""; 0]);
    }
}
