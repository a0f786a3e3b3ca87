//! A driver of `Endpoint` for blocking TCP: what it takes to bring the core to a kind of stream.
//! `cargo run --release --example endpoint_echo -- [ADDR]`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use ws_core::handshake::{AcceptResponse, HttpResponse};
use ws_core::{Config, Endpoint, endpoint::Event};

fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut ws = Endpoint::server(Config::default());
    loop {
        let failed = loop {
            match ws.poll_event() {
                Ok(Some(Event::Request(_))) => {
                    ws.accept(&AcceptResponse::default()).map_err(io::Error::other)?
                }
                Ok(Some(Event::Http(_))) => ws
                    .respond(&HttpResponse { status: 426, headers: &[], body: b"" })
                    .map_err(io::Error::other)?,
                Ok(Some(Event::Message(message))) => ws.send(message).map_err(io::Error::other)?,
                Ok(Some(_)) => {}
                Ok(None) => break false,
                Err(_) => break true, // the Close frame or HTTP response is in the output
            }
        };
        while !ws.output().is_empty() {
            let written = stream.write(ws.output().slices().next().unwrap_or_default())?;
            ws.output().advance(written);
        }
        if failed || ws.is_closed() {
            return stream.shutdown(Shutdown::Write);
        }
        match stream.read(ws.read_buf())? {
            0 => ws.receive_eof(),
            count => ws.filled(count),
        }
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(address)?;
    println!("listening on ws://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || serve(stream));
    }
    Ok(())
}
