//! A WebSocket server as a WebAssembly module: bytes in, events out; messages in, bytes out. The host has
//! the socket and the clock. `host.mjs` is its counterpart in JavaScript.
//!
//! The host and the module share the module's memory: addresses hold until the next call, and memory that
//! the host is to fill is asked for. A connection is named by a number; one that does not exist
//! takes nothing and tells nothing.
#![warn(missing_docs)]

use std::cell::RefCell;
use std::str;

use ws_core::endpoint::{Endpoint, Event};
use ws_core::handshake::{AcceptResponse, HttpResponse};
use ws_core::{CloseCode, Config, Instant, Message, MessageKind};

/// What `ws_poll` tells; the numbers are those of `host.mjs`.
#[repr(i32)]
enum Told {
    Nothing = 0,
    Request = 1,
    Http = 2,
    Open = 3,
    Text = 4,
    Binary = 5,
    Ping = 6,
    Pong = 7,
    Closed = 8,
    Error = 9,
    Other = 10,
}

/// One connection, and the two buffers by which payloads cross the border.
struct Connection {
    endpoint: Endpoint,
    /// From the host: a payload or reason to be sent.
    outgoing: Vec<u8>,
    /// To the host: what the last event was about.
    event: Vec<u8>,
    /// The code of the last `Closed`; 0 without one.
    code: u16,
}

thread_local! {
    static CONNECTIONS: RefCell<Vec<Option<Connection>>> = const { RefCell::new(Vec::new()) };
}

// SAFETY, of every `no_mangle`: nothing else that is linked into the module has a name with `ws_`.

/// A connection whose request is still to come; `now` in milliseconds since an origin of the host's.
#[unsafe(no_mangle)]
pub extern "C" fn ws_server(now: u32, max_message: u32) -> u32 {
    let config = Config::new().max_frame(max_message.into()).max_message(max_message.into());
    let mut endpoint = Endpoint::server(config);
    endpoint.handle_timeout(Instant::from_millis(now));
    let connection = Connection { endpoint, outgoing: Vec::new(), event: Vec::new(), code: 0 };
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
    with(id, |connection| connection.endpoint.read_buf().len())
}

/// Where received bytes go.
#[unsafe(no_mangle)]
pub extern "C" fn ws_input(id: u32) -> usize {
    with(id, |connection| connection.endpoint.read_buf().as_mut_ptr().addr())
}

/// Tells that `count` bytes were put at `ws_input`.
#[unsafe(no_mangle)]
pub extern "C" fn ws_received(id: u32, count: usize) {
    with(id, |connection| connection.endpoint.filled(count));
}

/// Tells that the peer has ended the stream.
#[unsafe(no_mangle)]
pub extern "C" fn ws_received_end(id: u32) {
    with(id, |connection| connection.endpoint.receive_eof());
}

/// The next event. Its payload, target, reason or text is at `ws_event`, its code is `ws_event_code`.
#[unsafe(no_mangle)]
pub extern "C" fn ws_poll(id: u32) -> i32 {
    with(id, |connection| connection.poll() as i32)
}

/// Where the last event's bytes are.
#[unsafe(no_mangle)]
pub extern "C" fn ws_event(id: u32) -> usize {
    with(id, |connection| connection.event.as_ptr().addr())
}

/// How many they are.
#[unsafe(no_mangle)]
pub extern "C" fn ws_event_len(id: u32) -> usize {
    with(id, |connection| connection.event.len())
}

/// The close code of the last event.
#[unsafe(no_mangle)]
pub extern "C" fn ws_event_code(id: u32) -> u32 {
    with(id, |connection| connection.code.into())
}

/// Answers a request with 101; 0 when there was none.
#[unsafe(no_mangle)]
pub extern "C" fn ws_accept(id: u32) -> u32 {
    with(id, |connection| connection.endpoint.accept(&AcceptResponse::new()).is_ok().into())
}

/// Answers a request with an HTTP response whose body is at `ws_outgoing`; 0 when that cannot be.
#[unsafe(no_mangle)]
pub extern "C" fn ws_respond(id: u32, status: u32) -> u32 {
    with(id, |connection| {
        let status = u16::try_from(status).unwrap_or(0);
        let response = HttpResponse::new(status).body(&connection.outgoing);
        connection.endpoint.respond(&response).is_ok().into()
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
        Ok(text) => connection.endpoint.send(text).is_ok().into(),
        Err(_) => 0,
    })
}

/// Sends what is at `ws_outgoing` as a binary message; 0 when nothing can be sent.
#[unsafe(no_mangle)]
pub extern "C" fn ws_send_binary(id: u32) -> u32 {
    with(id, |connection| {
        let message = Message::from(core::mem::take(&mut connection.outgoing));
        connection.endpoint.send(message).is_ok().into()
    })
}

/// Sends a Ping with what is at `ws_outgoing`; 0 when that cannot be.
#[unsafe(no_mangle)]
pub extern "C" fn ws_ping(id: u32) -> u32 {
    with(id, |connection| connection.endpoint.ping(&connection.outgoing).is_ok().into())
}

/// Starts the closing handshake, with the reason at `ws_outgoing`; 0 when that cannot be.
#[unsafe(no_mangle)]
pub extern "C" fn ws_close(id: u32, code: u32) -> u32 {
    with(id, |connection| match (u16::try_from(code), str::from_utf8(&connection.outgoing)) {
        (Ok(code), Ok(reason)) => {
            connection.endpoint.close(CloseCode::new(code), reason).is_ok().into()
        }
        _ => 0,
    })
}

/// How many bytes at `ws_output` are to be written to the stream; there may be more after them.
#[unsafe(no_mangle)]
pub extern "C" fn ws_output_len(id: u32) -> usize {
    with(id, |connection| connection.endpoint.output().chunk().len())
}

/// Where they are.
#[unsafe(no_mangle)]
pub extern "C" fn ws_output(id: u32) -> usize {
    with(id, |connection| connection.endpoint.output().chunk().as_ptr().addr())
}

/// Tells that `count` bytes were written.
#[unsafe(no_mangle)]
pub extern "C" fn ws_written(id: u32, count: usize) {
    with(id, |connection| connection.endpoint.output().advance(count));
}

/// When `ws_handle_timeout` is due, on the host's clock; -1 when nothing is waited for.
#[unsafe(no_mangle)]
pub extern "C" fn ws_poll_timeout(id: u32) -> f64 {
    let due = with(id, |connection| connection.endpoint.poll_timeout());
    due.map_or(-1.0, |due| due.as_millis().into())
}

/// Tells the time.
#[unsafe(no_mangle)]
pub extern "C" fn ws_handle_timeout(id: u32, now: u32) {
    with(id, |connection| connection.endpoint.handle_timeout(Instant::from_millis(now)));
}

/// Whether the stream's write side is to be shut down.
#[unsafe(no_mangle)]
pub extern "C" fn ws_wants_shutdown(id: u32) -> u32 {
    with(id, |connection| connection.endpoint.wants_shutdown().into())
}

/// Whether the stream can be dropped.
#[unsafe(no_mangle)]
pub extern "C" fn ws_is_finished(id: u32) -> u32 {
    with(id, |connection| connection.endpoint.is_finished().into())
}

impl Connection {
    fn poll(&mut self) -> Told {
        let (told, payload) = match self.endpoint.poll_event() {
            Ok(None) => (Told::Nothing, Vec::new()),
            Ok(Some(Event::Request(request))) => (Told::Request, request.target().into()),
            Ok(Some(Event::Http(request))) => (Told::Http, request.target().into()),
            Ok(Some(Event::Open(_))) => (Told::Open, Vec::new()),
            Ok(Some(Event::Message(message))) => {
                let text = message.kind() == MessageKind::Text;
                (if text { Told::Text } else { Told::Binary }, message.into_bytes().into())
            }
            Ok(Some(Event::Ping(payload))) => (Told::Ping, payload.into()),
            Ok(Some(Event::Pong(payload))) => (Told::Pong, payload.into()),
            Ok(Some(Event::Closed(info))) => {
                self.code = info.code.get();
                (Told::Closed, info.reason.into())
            }
            Ok(Some(_)) => (Told::Other, Vec::new()),
            Err(error) => (Told::Error, error.to_string().into()),
        };
        self.event = payload;
        told
    }
}

fn with<T: Default>(id: u32, operation: impl FnOnce(&mut Connection) -> T) -> T {
    CONNECTIONS.with_borrow_mut(|all| match all.get_mut(id as usize) {
        Some(Some(connection)) => operation(connection),
        _ => T::default(),
    })
}
