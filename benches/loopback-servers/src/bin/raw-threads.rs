//! The floor of blocking servers, without a WebSocket: it sends back what came. `raw-threads ADDR [broadcast]`; with
//! `broadcast` it sends it to everybody.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

/// As many bytes as ws-std reads at once.
const READ: usize = 64 * 1024;

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}

fn broadcast(stream: TcpStream, all: &Mutex<Vec<Arc<TcpStream>>>) -> io::Result<()> {
    let stream = Arc::new(stream);
    all.lock().unwrap().push(stream.clone());
    let mut buffer = vec![0; READ];
    loop {
        match (&*stream).read(&mut buffer)? {
            0 => return Ok(()),
            count => {
                for mut member in all.lock().unwrap().iter().map(|member| &**member) {
                    member.write_all(&buffer[..count])?;
                }
            }
        }
    }
}

fn main() -> io::Result<()> {
    match std::env::args().nth(2).as_deref() {
        Some("broadcast") => {
            let all = Arc::new(Mutex::new(Vec::new()));
            loopback_servers::serve_on_threads(move |stream| drop(broadcast(stream, &all)))
        }
        _ => loopback_servers::serve_on_threads(|stream| drop(echo(stream))),
    }
}
