//! The event loop without a WebSocket: what came goes back. It shows what the loop and the kernel take.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

const LISTENER: usize = usize::MAX;

struct Connection {
    stream: TcpStream,
    unwritten: Vec<u8>,
    ended: bool,
}

impl Connection {
    /// Gives whether the connection goes on.
    fn visit(&mut self, ended: bool, buffer: &mut [u8]) -> io::Result<bool> {
        self.ended |= ended;
        let mut readable = true;
        loop {
            while !self.unwritten.is_empty() {
                match self.stream.write(&self.unwritten) {
                    Ok(count) => drop(self.unwritten.drain(..count)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                    Err(error) => return Err(error),
                }
            }
            self.unwritten = Vec::new();
            if !readable {
                return Ok(true);
            }
            let count = match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            readable = self.ended || count == buffer.len();
            match self.stream.write(&buffer[..count]) {
                Ok(written) => self.unwritten.extend_from_slice(&buffer[written..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unwritten.extend_from_slice(&buffer[..count]);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let mut listener = TcpListener::bind(address.parse()?)?;
    println!("listening on ws://{}", listener.local_addr()?);
    io::stdout().flush()?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut listener, Token(LISTENER), Interest::READABLE)?;
    let (mut connections, mut buffer) = (Slab::new(), vec![0; 64 * 1024]);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let id = event.token().0;
            if id == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    let slot = connections.vacant_entry();
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(slot.key()), interest)?;
                    stream.set_nodelay(true)?;
                    slot.insert(Connection { stream, unwritten: Vec::new(), ended: false });
                }
            } else if let Some(connection) = connections.get_mut(id)
                && !connection.visit(event.is_read_closed(), &mut buffer).unwrap_or(false)
            {
                connections.remove(id);
            }
        }
    }
}
