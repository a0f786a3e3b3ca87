//! One connection in an event loop: non-blocking reads and writes around an endpoint.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;
use ws_core::Instant;
use ws_core::endpoint::{Buffers, Endpoint, EventRef, Options, Outbound};
use ws_core::handshake::{AcceptResponse, HttpResponse};
use ws_core::message::MessageRef;

const UPGRADE_REQUIRED: HttpResponse<'_> = HttpResponse::new(426);
const ROUNDS: usize = 16; // of a connection, before it is the others' turn
const MAX_OUTPUT: usize = 64 * 1024; // more is written before the next message is looked at

pub struct Connection {
    ws: Endpoint,
    stream: TcpStream,
    /// The peer has shut down its side, as far as the loop knows.
    ended: bool,
    shut: bool,
}

#[derive(PartialEq)]
pub enum Next {
    /// Visit it again when its stream has an event, and at this time at the latest.
    Wait(Option<Instant>),
    Again,
    Over,
}

impl Connection {
    pub fn new(stream: TcpStream, options: &Options) -> Self {
        Self { ws: Endpoint::server(options.clone()), stream, ended: false, shut: false }
    }

    /// Reads, parses, answers and writes as far as that goes without waiting.
    pub fn visit(
        &mut self,
        now: Instant,
        ended: bool,
        buffers: &mut Buffers,
        on_message: &mut impl FnMut(MessageRef<'_>, &mut Outbound),
    ) -> io::Result<Next> {
        self.ended |= ended;
        let ws = &mut *self.ws.with_buffers(buffers);
        ws.handle_timeout(now);
        let mut readable = true;
        for _ in 0..ROUNDS {
            let parsed = react(ws, on_message);
            while !ws.output().is_empty() {
                match self.stream.write(ws.output().chunk()) {
                    Ok(count) => ws.output().advance(count),
                    Err(error) if error.kind() == ErrorKind::WouldBlock && !ws.is_finished() => {
                        return Ok(Next::Wait(ws.poll_timeout()));
                    }
                    Err(error) => return Err(error),
                }
            }
            if ws.wants_shutdown() && !std::mem::replace(&mut self.shut, true) {
                let _ = self.stream.shutdown(Shutdown::Write); // the peer may be gone by now
            }
            if ws.is_finished() {
                return Ok(Next::Over);
            }
            if parsed {
                if !readable || !ws.wants_read() {
                    return Ok(Next::Wait(ws.poll_timeout()));
                }
                let buffer = ws.read_buf();
                let room = buffer.len();
                match self.stream.read(buffer) {
                    Ok(0) => ws.receive_eof(),
                    Ok(count) => {
                        // A read that leaves room has taken all; more is a new event.
                        readable = self.ended || count == room;
                        ws.filled(count);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => readable = false,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Next::Again)
    }
}

/// Answers what has come; gives whether that was all, as output may have to be written before.
fn react(ws: &mut Endpoint, on_message: &mut impl FnMut(MessageRef<'_>, &mut Outbound)) -> bool {
    while ws.output().len() < MAX_OUTPUT {
        match ws.poll_event_ref() {
            Ok(Some((Event::Message(message), out))) => on_message(message, out),
            Ok(Some((Event::Request(_), _))) => drop(ws.accept(&AcceptResponse::new())),
            Ok(Some((Event::Http(_), _))) => drop(ws.respond(&UPGRADE_REQUIRED)),
            Ok(Some(_)) | Err(_) => {} // what tells the peer of an error is in the output
            Ok(None) => return true,
        }
    }
    false
}
