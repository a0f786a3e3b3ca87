//! One connection in an event loop: non-blocking reads and writes around an endpoint.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;
use ws_core::Instant;
use ws_core::endpoint::{Buffers, Endpoint, Event, Next, Options, Outbound};
use ws_core::handshake::{AcceptResponse, HttpResponse};
use ws_core::message::MessageRef;

const UPGRADE_REQUIRED: HttpResponse<'_> = HttpResponse::new(426);
const ROUNDS: usize = 16; // reads of a connection, before it is the others' turn

pub struct Connection {
    ws: Endpoint,
    stream: TcpStream,
    /// The peer has shut down its side, as far as the loop knows.
    ended: bool,
}

#[derive(PartialEq)]
pub enum Visit {
    /// Visit it again when its stream has an event, and at this time at the latest.
    Wait(Option<Instant>),
    Again,
    Over,
}

impl Connection {
    pub fn new(stream: TcpStream, options: &Options) -> Self {
        Self { ws: Endpoint::server(options.clone()), stream, ended: false }
    }

    /// Reads, parses, answers and writes as far as that goes without waiting.
    pub fn visit(
        &mut self,
        now: Instant,
        ended: bool,
        buffers: &mut Buffers,
        on_message: &mut impl FnMut(MessageRef<'_>, &mut Outbound, &mut TcpStream),
    ) -> io::Result<Visit> {
        self.ended |= ended;
        let ws = &mut *self.ws.with_buffers(buffers);
        let (mut readable, mut writable, mut rounds) = (true, true, 0..ROUNDS);
        loop {
            let (read, until) = match ws.next_ref(|| now) {
                Next::Event((event, out)) => {
                    match event {
                        Event::Message(message) => on_message(message, out, &mut self.stream),
                        Event::Request(_) => drop(out.accept(&AcceptResponse::new())),
                        Event::Http(_) => drop(out.respond(&UPGRADE_REQUIRED)),
                        _ => {}
                    }
                    continue;
                }
                Next::Failed(_) => continue, // the peer is told next
                Next::Write { mut output, read, until } => {
                    match writable.then(|| self.stream.write(output.chunk())) {
                        Some(Ok(count)) => {
                            output.advance(count);
                            continue;
                        }
                        Some(Err(error)) if error.kind() != ErrorKind::WouldBlock => {
                            return Err(error);
                        }
                        _ => writable = false,
                    }
                    (read, until)
                }
                Next::Shutdown { side, .. } => {
                    let _ = self.stream.shutdown(Shutdown::Write); // the peer may be gone by now
                    side.shut_down();
                    continue;
                }
                Next::Wait { read, until } => (read, until),
                Next::Done => return Ok(Visit::Over),
            };
            let Some(inbound) = read.filter(|_| readable) else { return Ok(Visit::Wait(until)) };
            if rounds.next().is_none() {
                return Ok(Visit::Again);
            }
            let buffer = inbound.read_buf();
            let room = buffer.len();
            match self.stream.read(buffer) {
                Ok(0) => inbound.receive_eof(),
                Ok(count) => {
                    // A read that leaves room has taken all; more is a new event.
                    readable = self.ended || count == room;
                    inbound.filled(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => readable = false,
                Err(error) => return Err(error),
            }
        }
    }
}
