//! A WebSocket echo server on one thread, for ten thousand connections and more: a loop over mio, one
//! pair of buffers for all, and no memory but its state for a connection that is idle.
//!
//! `cargo run --release -p embed-event-loop -- [ADDR [HANDSHAKE_MS]]`. What it leaves out: more threads, each with a
//! loop like this one.

mod driver;

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::time::{Duration, Instant};

use driver::{Connection, Visit};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use ws_core::Config;
use ws_core::endpoint::{Buffers, Options, Outbound};
use ws_core::message::MessageRef;

const LISTENER: usize = usize::MAX;
/// How long to wait with the next connection when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(50);
/// Output that is worth a write of its own.
const MUCH: usize = 64 * 1024;

struct Server {
    poll: Poll,
    listener: TcpListener,
    options: Options,
    /// Connections, each with the earliest time that `wakes` has for it.
    connections: Slab<(Connection, Option<Duration>)>,
    /// Who is to be visited, and when at the latest, counted from the start.
    wakes: BTreeSet<(Duration, usize)>,
    buffers: Buffers,
}

/// Queues the answer. When it makes much that waits, it is written from where it was read, and only the rest is copied.
fn echo(message: MessageRef<'_>, out: &mut Outbound, stream: &mut TcpStream) {
    // Both fail only when the connection is closing.
    if out.waiting() + message.len() < MUCH {
        let _ = out.queue_ref(message);
        return;
    }
    let mut written = 0;
    let _ = out.queue_and_write(message, |output, payload| {
        let slices: Vec<_> = output.slices().chain([payload]).map(IoSlice::new).collect();
        // An error comes again when the rest is written.
        written = stream.write_vectored(&slices).unwrap_or(0);
        written
    });
    out.written(written);
}

impl Server {
    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let start = Instant::now();
        loop {
            let wait = self.wakes.first().map(|(at, _)| at.saturating_sub(start.elapsed()));
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let now = start.elapsed();
            for event in &events {
                self.visit(event.token().0, now, event.is_read_closed());
            }
            let later = self.wakes.split_off(&(now + Duration::from_nanos(1), 0));
            for (_, id) in std::mem::replace(&mut self.wakes, later) {
                self.visit(id, now, false);
            }
        }
    }

    fn visit(&mut self, id: usize, now: Duration, ended: bool) {
        if id == LISTENER {
            return self.accept(now);
        }
        let Some((connection, wake)) = self.connections.get_mut(id) else { return };
        let time = ws_core::Instant::from_elapsed(now);
        let visit = connection.visit(time, ended, &mut self.buffers, &mut echo);
        let at = match visit {
            Ok(Visit::Wait(until)) => until.map(|until| now + until.saturating_since(time)),
            Ok(Visit::Again) => Some(now),
            Ok(Visit::Over) | Err(_) => {
                wake.map(|at| self.wakes.remove(&(at, id)));
                self.connections.remove(id);
                return;
            }
        };
        // A later time waits for the visit at the earlier one.
        *wake = wake.filter(|wake| *wake > now);
        if let Some(at) = at.filter(|at| wake.is_none_or(|wake| *at < wake)) {
            wake.replace(at).map(|old| self.wakes.remove(&(old, id)));
            self.wakes.insert((at, id));
        }
    }

    fn accept(&mut self, now: Duration) {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.wakes.insert((now + PAUSE, LISTENER));
                    return;
                }
            };
            let slot = self.connections.vacant_entry();
            let id = slot.key();
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registered = self.poll.registry().register(&mut stream, Token(id), interest);
            if registered.and_then(|()| stream.set_nodelay(true)).is_ok() {
                slot.insert((Connection::new(stream, &self.options), None));
                self.visit(id, now, false);
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let mut listener = TcpListener::bind(address.parse()?)?;
    println!("listening on ws://{}", listener.local_addr()?);
    io::stdout().flush()?;
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, Token(LISTENER), Interest::READABLE)?;
    // A peer that has vanished is found out by a Ping.
    let config = Config::new()
        .ping_interval(Some(Duration::from_secs(30)))
        .pong_timeout(Some(Duration::from_secs(20)));
    let millis = std::env::args().nth(2).unwrap_or_else(|| "10000".to_owned()).parse()?;
    let options =
        Options::new().config(config).handshake_timeout(Some(Duration::from_millis(millis)));
    let (connections, wakes, buffers) = (Slab::new(), BTreeSet::new(), Buffers::new());
    Server { poll, listener, options, connections, wakes, buffers }.run()?;
    Ok(())
}
