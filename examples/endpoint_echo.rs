//! A driver of `Endpoint` for blocking TCP: what it takes to bring the core to a kind of stream.
//! `cargo run --release --example endpoint_echo -- [ADDR]`.
//!
//! It has no deadlines, and no goodbye at Ctrl-C: `echo_server` has both. A driver that needs deadlines
//! calls `handle_timeout` once per wake-up and waits until `poll_timeout` at the most, as `ws-std` does.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use ws_core::endpoint::Event;
use ws_core::handshake::{AcceptResponse, HttpResponse};
use ws_core::{Config, Endpoint};

fn serve(mut stream: TcpStream) -> Result<(), Box<dyn Error>> {
    let mut ws = Endpoint::server(Config::default());
    while !ws.is_finished() {
        loop {
            match ws.poll_event() {
                Ok(Some(Event::Request(_))) => ws.accept(&AcceptResponse::default())?,
                Ok(Some(Event::Http(_))) => {
                    ws.respond(&HttpResponse { status: 426, headers: &[], body: b"" })?;
                }
                Ok(Some(Event::Message(message))) => ws.send(message)?,
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => eprintln!("{error}"), // what tells the client is in the output
            }
        }
        while !ws.output().is_empty() {
            let written = stream.write(ws.output().chunk())?;
            ws.output().advance(written);
        }
        if ws.wants_shutdown() {
            let _ = stream.shutdown(Shutdown::Write); // the client may be gone by now
        }
        match stream.read(ws.read_buf())? {
            0 => ws.receive_eof(),
            count => ws.filled(count),
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(address)?;
    println!("listening on ws://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        std::thread::spawn(move || {
            if let Err(error) = serve(stream) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}
