//! Endpoints driven by hand, and what they say as values that can be compared.
#![allow(dead_code, reason = "each test file uses a part of it")]

use ws_core::endpoint::{
    CloseInfo, EndpointError, Event, Inbound, Next, Options, Outbound, Output,
};
use ws_core::handshake::ClientRequest;
use ws_core::message::MessageRef;
use ws_core::{CloseCode, Endpoint, Instant, Message, Role};

use crate::common::{KEY, closed};

/// RFC 6455 §1.3: the sample key.
pub(crate) const KEY_FIELD: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const REQUEST: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: example.com\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";
/// The answer to it.
pub(crate) const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// A request for a page.
pub(crate) const PAGE: &str = "GET /page HTTP/1.1\r\nHost: a\r\n\r\n";

/// A generator of random bytes.
pub(crate) type Random = Box<dyn FnMut(&mut [u8]) -> bool + Send>;

pub(crate) const AT: fn(u32) -> Instant = Instant::from_millis;

/// What an endpoint has told.
pub(crate) type Seen = crate::common::Seen<EndpointError>;

/// An answer of `next`, without what it lends. Times are in milliseconds.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Told(Seen),
    /// All output, whether bytes can be read, and the deadline.
    Write(Vec<u8>, bool, Option<u32>),
    /// The deadline.
    Shutdown(Option<u32>),
    /// Whether bytes can be read, and the deadline.
    Wait(bool, Option<u32>),
    Done,
}

/// Of long output, its length and its ends.
impl core::fmt::Debug for Answer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Told(seen) => write!(f, "Told({:.200})", format!("{seen:?}")),
            Self::Write(output, read, until) => {
                let first = &output[..output.len().min(20)];
                let last = &output[output.len().saturating_sub(20)..];
                let len = output.len();
                write!(f, "Write({len}: {first:02x?}..{last:02x?}, {read}, {until:?})")
            }
            Self::Shutdown(until) => write!(f, "Shutdown({until:?})"),
            Self::Wait(read, until) => write!(f, "Wait({read}, {until:?})"),
            Self::Done => f.write_str("Done"),
        }
    }
}

/// What `close_info` gives is compared with this.
pub(crate) fn info(
    code: CloseCode,
    reason: &str,
    clean: bool,
    by_us: bool,
    sent: Option<u16>,
) -> Option<CloseInfo> {
    let mut info = CloseInfo::abnormal();
    (info.code, info.reason, info.clean, info.by_us) = (code, reason.to_owned(), clean, by_us);
    info.sent = sent.map(CloseCode::new);
    Some(info)
}

pub(crate) fn own(event: Event) -> Seen {
    match event {
        Event::Request(request) => Seen::Request(request.method().into(), request.target().into()),
        Event::Http(request) => Seen::Http(request.method().into(), request.target().into()),
        Event::Open { subprotocol, .. } => Seen::Open(subprotocol),
        Event::Refused(response) => Seen::Refused(response.status(), response.body().to_vec()),
        Event::Message(Message::Text(text)) => Seen::Text(text.to_string()),
        Event::Message(Message::Binary(bytes)) => Seen::Binary(bytes.to_vec()),
        Event::Ping(payload) => Seen::Ping(payload.to_vec()),
        Event::Pong(payload) => Seen::Pong(payload.to_vec()),
        Event::Closed => closed(0, ""), // `ask` looks how
        other => panic!("{other:?}"),
    }
}

pub(crate) fn lent(event: Event<MessageRef<'_>, &[u8]>) -> Seen {
    match event {
        Event::Request(request) => own(Event::Request(request)),
        Event::Http(request) => own(Event::Http(request)),
        Event::Open { subprotocol, .. } => Seen::Open(subprotocol),
        Event::Refused(response) => own(Event::Refused(response)),
        Event::Message(message) => own(Event::Message(message.into())),
        Event::Ping(payload) => Seen::Ping(payload.to_vec()),
        Event::Pong(payload) => Seen::Pong(payload.to_vec()),
        Event::Closed => own(Event::Closed),
        other => panic!("{other:?}"),
    }
}

/// The answer as a value; nothing is done about it.
pub(crate) fn answer<E>(next: Next<'_, E>, seen: impl FnOnce(E) -> Seen) -> Answer {
    let millis = |until: Option<Instant>| until.map(Instant::as_millis);
    match next {
        Next::Event(event) => Answer::Told(seen(event)),
        Next::Failed(error) => Answer::Told(Seen::Failed(error)),
        Next::Write { output, read, until } => {
            let bytes = output.slices().collect::<Vec<_>>().concat();
            assert_eq!((bytes.len(), bytes.is_empty()), (output.len(), false));
            Answer::Write(bytes, is_room(read), millis(until))
        }
        Next::Shutdown { until, .. } => Answer::Shutdown(millis(until)),
        Next::Wait { read, until } => Answer::Wait(is_room(read), millis(until)),
        Next::Done => Answer::Done,
    }
}

/// Whoever is told to read has room for it.
fn is_room(read: Option<&mut Inbound>) -> bool {
    let room = read.map(|inbound| !inbound.read_buf().is_empty());
    assert_ne!(room, Some(false), "nothing to read into");
    room.is_some()
}

/// How the connection was closed, when that has been told.
fn closed_how(answer: Answer, info: Option<CloseInfo>) -> Answer {
    if !matches!(answer, Answer::Told(Seen::Closed { .. })) {
        return answer;
    }
    let CloseInfo { code, reason, by_us, .. } = info.expect("it was closed");
    Answer::Told(Seen::Closed { code: code.get(), reason, by_us })
}

/// Asks once, at this time.
pub(crate) fn next(endpoint: &mut Endpoint, at: u32) -> Answer {
    let answer = answer(endpoint.next(|| AT(at)), own);
    closed_how(answer, endpoint.close_info())
}

/// As [`next`], but messages are lent.
pub(crate) fn next_ref(endpoint: &mut Endpoint, at: u32) -> Answer {
    let answer = answer(endpoint.next_ref(|| AT(at)), |(event, _)| lent(event));
    closed_how(answer, endpoint.close_info())
}

/// As [`next`], for a flush.
pub(crate) fn next_write(endpoint: &mut Endpoint, at: u32) -> Answer {
    answer(endpoint.next_write(|| AT(at)), own)
}

/// As [`next`], of the receiving side alone.
pub(crate) fn next_inbound(inbound: &mut Inbound, outbound: &mut Outbound, at: u32) -> Answer {
    let answer = answer(inbound.next(outbound, || AT(at)), own);
    closed_how(answer, inbound.close_info(outbound))
}

/// As [`next`], of the sending side alone.
pub(crate) fn next_outbound(outbound: &mut Outbound, at: u32) -> Answer {
    answer(outbound.next(|| AT(at)), own)
}

/// The next event, by either way to ask, if there is one.
pub(crate) fn event_at(endpoint: &mut Endpoint, by_ref: bool, at: u32) -> Option<Seen> {
    let answer = if by_ref { next_ref(endpoint, at) } else { next(endpoint, at) };
    if let Answer::Told(seen) = answer { Some(seen) } else { None }
}

/// The same, in a test that is not about time.
pub(crate) fn event(endpoint: &mut Endpoint, by_ref: bool) -> Option<Seen> {
    event_at(endpoint, by_ref, 0)
}

/// All that it has to tell at this time; nothing follows an end.
pub(crate) fn seen_at(endpoint: &mut Endpoint, at: u32) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Some(event) = event_at(endpoint, false, at) {
        assert!(!all.last().is_some_and(Seen::is_end), "{event:?} after {all:?}");
        all.push(event);
    }
    assert_eq!(event_at(endpoint, true, at), None);
    all
}

/// The same, in a test that is not about time.
pub(crate) fn seen(endpoint: &mut Endpoint) -> Vec<Seen> {
    seen_at(endpoint, 0)
}

/// Passes all bytes; gives all that is told on the way.
pub(crate) fn feed_at(endpoint: &mut Endpoint, at: u32, bytes: &[u8]) -> Vec<Seen> {
    let mut all = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = endpoint.inbound.receive(rest);
        assert_ne!(count, 0, "no progress");
        rest = &rest[count..];
        all.extend(seen_at(endpoint, at));
    }
    all
}

/// The same, in a test that is not about time.
pub(crate) fn feed(endpoint: &mut Endpoint, bytes: &[u8]) -> Vec<Seen> {
    feed_at(endpoint, 0, bytes)
}

/// All that waits to be written; the stream has taken it. No clock is asked.
pub(crate) fn take(endpoint: &mut Endpoint) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let mut batch = Output::default();
        endpoint.outbound.take_output(&mut batch);
        if batch.is_empty() {
            assert_eq!(endpoint.outbound.waiting(), 0);
            return bytes;
        }
        batch.slices().for_each(|segment| bytes.extend_from_slice(segment));
        endpoint.outbound.written(batch.len());
    }
}

pub(crate) fn take_str(endpoint: &mut Endpoint) -> String {
    String::from_utf8(take(endpoint)).unwrap()
}

/// The stream takes at most this much, if there is output; gives how much it has taken.
pub(crate) fn write(endpoint: &mut Endpoint, at: u32, most: usize) -> usize {
    let Next::Write { mut output, .. } = endpoint.next_write(|| AT(at)) else { return 0 };
    let count = output.len().min(most);
    output.advance(count);
    count
}

/// A driver that follows the answers at this time, over a stream that takes all: what it was told, until
/// it had to wait or was done.
pub(crate) fn run(endpoint: &mut Endpoint, at: u32) -> Vec<Answer> {
    let mut answers = Vec::new();
    for _ in 0..1_000_000 {
        let answer = next(endpoint, at);
        match &answer {
            Answer::Told(_) => {}
            Answer::Write(output, ..) => {
                let Next::Write { output: mut pending, .. } = endpoint.next(|| AT(at)) else {
                    panic!("it is told again until it is done")
                };
                pending.advance(output.len());
            }
            Answer::Shutdown(_) => endpoint.outbound.shut_down(),
            Answer::Wait(..) | Answer::Done => {
                answers.push(answer);
                return answers;
            }
        }
        answers.push(answer);
    }
    panic!("it does not come to rest");
}

/// The frames in a stream: first byte, masking key, payload.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, Option<[u8; 4]>, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (len, rest) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            len => (usize::from(len), rest),
        };
        let key = (second & 0x80 != 0).then(|| <[u8; 4]>::try_from(&rest[..4]).unwrap());
        let rest = if key.is_some() { &rest[4..] } else { rest };
        let mut payload = rest[..len].to_vec();
        for (byte, key) in payload.iter_mut().zip(key.iter().flatten().cycle()) {
            *byte ^= key;
        }
        frames.push((*first, key, payload));
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty(), "half a frame");
    frames
}

/// First bytes and payloads alone.
pub(crate) fn plain(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    frames(bytes).into_iter().map(|(first, _, payload)| (first, payload)).collect()
}

/// The RFC's sample nonce, then bytes without a pattern.
pub(crate) fn random() -> Random {
    let mut state = 0_u64;
    let mut first = true;
    Box::new(move |bytes| {
        if core::mem::take(&mut first) && bytes.len() == 16 {
            bytes.copy_from_slice(b"the sample nonce");
            return true;
        }
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 40) as u8;
        }
        true
    })
}

/// The same key for each frame, so that what is sent can be compared with what `by` makes.
pub(crate) fn constant(key: [u8; 4]) -> Random {
    Box::new(move |bytes| {
        bytes.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte = *key);
        true
    })
}

/// An open server.
pub(crate) fn server() -> Endpoint {
    open(Role::Server, Options::new())
}

/// An open client.
pub(crate) fn client() -> Endpoint {
    open(Role::Client, Options::new())
}

/// An open endpoint; a client's keys are those of [`by`](crate::common::by).
pub(crate) fn open(role: Role, options: impl Into<Options>) -> Endpoint {
    match role {
        Role::Server => Endpoint::server_after_handshake(options, b""),
        Role::Client => Endpoint::client_after_handshake(options, constant(KEY), b""),
    }
}

/// A client that has sent its request, which has the sample key.
pub(crate) fn asking(request: &ClientRequest<'_>, options: impl Into<Options>) -> Endpoint {
    let mut client = Endpoint::client(request, options, random()).unwrap();
    let sent = take_str(&mut client);
    assert!(sent.contains(KEY_FIELD), "{sent}");
    client
}

/// Both ends of an open connection: what one writes is passed to the other, until both are silent.
pub(crate) fn exchange(a: &mut Endpoint, b: &mut Endpoint) -> (Vec<Seen>, Vec<Seen>) {
    let (mut by_a, mut by_b) = (seen(a), seen(b));
    for _ in 0..10 {
        let (to_b, to_a) = (take(a), take(b));
        if to_a.is_empty() && to_b.is_empty() {
            return (by_a, by_b);
        }
        by_a.extend(feed(a, &to_a));
        by_b.extend(feed(b, &to_b));
    }
    panic!("they do not come to rest");
}
