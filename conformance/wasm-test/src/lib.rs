//! A WebSocket server as a WebAssembly module: bytes in, events out; messages in, bytes out. The host has
//! the socket and the clock; it asks `ws_next` in a loop and does what that says. `host.mjs` is its counterpart
//! in JavaScript.
//!
//! The host and the module share the module's memory: addresses hold until the next call, and memory that
//! the host is to fill is asked for. A connection is named by a number; one that does not exist
//! takes nothing and tells nothing.
#![warn(missing_docs)]

use std::cell::RefCell;
use std::str;

use ws_core::endpoint::{Endpoint, Event, Next, Output};
use ws_core::handshake::{AcceptResponse, HttpResponse};
use ws_core::{CloseCode, Config, Instant, Message, MessageKind};

/// What `ws_next` answers; the numbers are those of `host.mjs`.
#[repr(i32)]
enum Answer {
    Wait = 0,
    Request = 1,
    Http = 2,
    Open = 3,
    Text = 4,
    Binary = 5,
    Ping = 6,
    Pong = 7,
    Closed = 8,
    Failed = 9,
    Write = 10,
    Shutdown = 11,
    Done = 12,
    Other = 13,
}

/// One connection, and the two buffers by which payloads cross the border.
struct Connection {
    endpoint: Endpoint,
    /// From the host: a payload or reason to be sent.
    outgoing: Vec<u8>,
    /// To the host: what the last answer was about.
    told: Vec<u8>,
    /// Until when that answer holds.
    until: Option<Instant>,
    /// The code of the last `Closed`; 0 without one.
    code: u16,
}

thread_local! {
    static CONNECTIONS: RefCell<Vec<Option<Connection>>> = const { RefCell::new(Vec::new()) };
}

// SAFETY, of every `no_mangle`: nothing else that is linked into the module has a name with `ws_`.

/// A connection whose request is still to come.
#[unsafe(no_mangle)]
pub extern "C" fn ws_server(max_message: u32) -> u32 {
    let config = Config::new().max_frame(max_message.into()).max_message(max_message.into());
    let endpoint = Endpoint::server(config);
    let (outgoing, told) = (Vec::new(), Vec::new());
    let connection = Connection { endpoint, outgoing, told, until: None, code: 0 };
    CONNECTIONS.with_borrow_mut(|all| {
        let free = all.iter().position(Option::is_none).unwrap_or_else(|| {
            all.push(None);
            all.len() - 1
        });
        all[free] = Some(connection);
        free as u32
    })
}

/// Lets go of a connection.
#[unsafe(no_mangle)]
pub extern "C" fn ws_drop(id: u32) {
    CONNECTIONS.with_borrow_mut(|all| {
        if let Some(connection) = all.get_mut(id as usize) {
            *connection = None;
        }
    });
}

/// How many bytes may be put at `ws_input`.
#[unsafe(no_mangle)]
pub extern "C" fn ws_input_len(id: u32) -> usize {
    with(id, |connection| connection.endpoint.inbound.read_buf().len())
}

/// Where received bytes go.
#[unsafe(no_mangle)]
pub extern "C" fn ws_input(id: u32) -> usize {
    with(id, |connection| connection.endpoint.inbound.read_buf().as_mut_ptr().addr())
}

/// Tells that `count` bytes were put at `ws_input`.
#[unsafe(no_mangle)]
pub extern "C" fn ws_received(id: u32, count: usize) {
    with(id, |connection| connection.endpoint.inbound.filled(count));
}

/// Tells that the peer has ended the stream.
#[unsafe(no_mangle)]
pub extern "C" fn ws_received_end(id: u32) {
    with(id, |connection| connection.endpoint.inbound.receive_eof());
}

/// Tells that the stream has failed.
#[unsafe(no_mangle)]
pub extern "C" fn ws_received_reset(id: u32) {
    with(id, |connection| connection.endpoint.outbound.receive_reset());
}

/// What to do next; `now` in milliseconds since an origin of the host's. An event's payload, target or reason,
/// the text of an error, or what is to be written, is at `ws_told`; the code of a close is `ws_code`.
#[unsafe(no_mangle)]
pub extern "C" fn ws_next(id: u32, now: u32) -> i32 {
    with(id, |connection| connection.next(Instant::from_millis(now)) as i32)
}

/// When to ask again at the latest, on the host's clock; -1 when that need not be.
#[unsafe(no_mangle)]
pub extern "C" fn ws_until(id: u32) -> f64 {
    with(id, |connection| connection.until).map_or(-1.0, |until| until.as_millis().into())
}

/// Where the bytes of the last answer are.
#[unsafe(no_mangle)]
pub extern "C" fn ws_told(id: u32) -> usize {
    with(id, |connection| connection.told.as_ptr().addr())
}

/// How many they are.
#[unsafe(no_mangle)]
pub extern "C" fn ws_told_len(id: u32) -> usize {
    with(id, |connection| connection.told.len())
}

/// The close code of the last answer.
#[unsafe(no_mangle)]
pub extern "C" fn ws_code(id: u32) -> u32 {
    with(id, |connection| connection.code.into())
}

/// Answers a request with 101; 0 when there was none.
#[unsafe(no_mangle)]
pub extern "C" fn ws_accept(id: u32) -> u32 {
    with(id, |connection| {
        connection.endpoint.outbound.accept(&AcceptResponse::new()).is_ok().into()
    })
}

/// Answers a request with an HTTP response whose body is at `ws_outgoing`; 0 when that cannot be.
#[unsafe(no_mangle)]
pub extern "C" fn ws_respond(id: u32, status: u32) -> u32 {
    with(id, |connection| {
        let status = u16::try_from(status).unwrap_or(0);
        let response = HttpResponse::new(status).body(&connection.outgoing);
        connection.endpoint.outbound.respond(&response).is_ok().into()
    })
}

/// Where `len` bytes go that are to be sent.
#[unsafe(no_mangle)]
pub extern "C" fn ws_outgoing(id: u32, len: usize) -> usize {
    with(id, |connection| {
        connection.outgoing.clear();
        connection.outgoing.resize(len, 0);
        connection.outgoing.as_mut_ptr().addr()
    })
}

/// Sends what is at `ws_outgoing` as a text message; 0 when it is not UTF-8, or nothing can be sent.
#[unsafe(no_mangle)]
pub extern "C" fn ws_send_text(id: u32) -> u32 {
    with(id, |connection| match str::from_utf8(&connection.outgoing) {
        Ok(text) => connection.endpoint.outbound.queue(text).is_ok().into(),
        Err(_) => 0,
    })
}

/// Sends what is at `ws_outgoing` as a binary message; 0 when nothing can be sent.
#[unsafe(no_mangle)]
pub extern "C" fn ws_send_binary(id: u32) -> u32 {
    with(id, |connection| {
        let message = Message::from(core::mem::take(&mut connection.outgoing));
        connection.endpoint.outbound.queue(message).is_ok().into()
    })
}

/// Sends a Ping with what is at `ws_outgoing`; 0 when that cannot be.
#[unsafe(no_mangle)]
pub extern "C" fn ws_ping(id: u32) -> u32 {
    with(id, |connection| connection.endpoint.outbound.ping(&connection.outgoing).is_ok().into())
}

/// Starts the closing handshake, with the reason at `ws_outgoing`; 0 when that cannot be.
#[unsafe(no_mangle)]
pub extern "C" fn ws_close(id: u32, code: u32) -> u32 {
    with(id, |connection| match (u16::try_from(code), str::from_utf8(&connection.outgoing)) {
        (Ok(code), Ok(reason)) => {
            connection.endpoint.outbound.start_close(CloseCode::new(code), reason).is_ok().into()
        }
        _ => 0,
    })
}

/// Tells that the stream has taken `count` bytes of what was to be written.
#[unsafe(no_mangle)]
pub extern "C" fn ws_written(id: u32, count: usize) {
    with(id, |connection| connection.endpoint.outbound.written(count));
}

/// Confirms that the stream's write side is shut down.
#[unsafe(no_mangle)]
pub extern "C" fn ws_shut_down(id: u32) {
    with(id, |connection| connection.endpoint.outbound.shut_down());
}

impl Connection {
    fn next(&mut self, now: Instant) -> Answer {
        let next = self.endpoint.next(|| now);
        self.until = next.until();
        let (answer, told) = match next {
            Next::Event(Event::Request(request)) => (Answer::Request, request.target().into()),
            Next::Event(Event::Http(request)) => (Answer::Http, request.target().into()),
            Next::Event(Event::Open { .. }) => (Answer::Open, Vec::new()),
            Next::Event(Event::Message(message)) => {
                let text = message.kind() == MessageKind::Text;
                (if text { Answer::Text } else { Answer::Binary }, message.into_bytes().into())
            }
            Next::Event(Event::Ping(payload)) => (Answer::Ping, payload.into()),
            Next::Event(Event::Pong(payload)) => (Answer::Pong, payload.into()),
            Next::Event(Event::Closed) => {
                let info = self.endpoint.close_info();
                self.code = info.as_ref().map_or(0, |info| info.code.get());
                (Answer::Closed, info.map(|info| info.reason.into()).unwrap_or_default())
            }
            Next::Event(_) => (Answer::Other, Vec::new()),
            Next::Failed(error) => (Answer::Failed, error.to_string().into()),
            Next::Write { .. } => {
                // It is in flight from here on.
                let mut output = Output::default();
                self.endpoint.outbound.take_output(&mut output);
                (Answer::Write, output.slices().flatten().copied().collect())
            }
            Next::Shutdown { .. } => (Answer::Shutdown, Vec::new()),
            Next::Wait { .. } => (Answer::Wait, Vec::new()),
            Next::Done => (Answer::Done, Vec::new()),
        };
        self.told = told;
        answer
    }
}

fn with<T: Default>(id: u32, operation: impl FnOnce(&mut Connection) -> T) -> T {
    CONNECTIONS.with_borrow_mut(|all| match all.get_mut(id as usize) {
        Some(Some(connection)) => operation(connection),
        _ => T::default(),
    })
}
