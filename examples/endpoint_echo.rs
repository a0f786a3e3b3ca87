//! A driver of `Endpoint` for blocking TCP: what it takes to bring the core to a kind of stream.
//! `cargo run --release --example endpoint_echo -- [ADDR]`.
//!
//! `docs/EMBEDDING.md` explains each step. For a blocking server take `ws-std`, which also waits without
//! waking up in between.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use ws_core::endpoint::Event;
use ws_core::handshake::{AcceptResponse, HttpResponse};
use ws_core::{CloseCode, Config, Endpoint};

/// Ctrl-C was pressed: connections say goodbye.
static STOPPING: AtomicBool = AtomicBool::new(false);
/// How many connections there are.
static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
/// How often a silent connection looks at the time.
const LOOK: Duration = Duration::from_millis(200);

fn serve(mut stream: TcpStream) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut ws = Endpoint::server(Config::default());
    stream.set_read_timeout(Some(LOOK))?;
    loop {
        ws.handle_timeout(ws_core::Instant::from_elapsed(start.elapsed()));
        if STOPPING.load(SeqCst) {
            let _ = ws.close(CloseCode::GOING_AWAY, ""); // it may be closing already
        }
        loop {
            match ws.poll_event() {
                Ok(Some(Event::Request(_))) => ws.accept(&AcceptResponse::new())?,
                Ok(Some(Event::Http(_))) => {
                    ws.respond(&HttpResponse::new(426))?;
                }
                Ok(Some(Event::Message(message))) if ws.is_open() => ws.send(message)?,
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
        if ws.is_finished() {
            return Ok(());
        }
        if !ws.wants_read() {
            thread::sleep(LOOK);
            continue;
        }
        match stream.read(ws.read_buf()) {
            Ok(0) => ws.receive_eof(),
            Ok(count) => ws.filled(count),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Gives the connections five seconds to close, and ends the program.
fn stop() {
    STOPPING.store(true, SeqCst);
    let begun = Instant::now();
    while CONNECTIONS.load(SeqCst) > 0 && begun.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(10));
    }
    std::process::exit(0);
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(address)?;
    ctrlc::set_handler(stop)?;
    println!("listening on ws://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        CONNECTIONS.fetch_add(1, SeqCst);
        thread::spawn(move || {
            if let Err(error) = serve(stream) {
                eprintln!("{error}");
            }
            CONNECTIONS.fetch_sub(1, SeqCst);
        });
    }
    Ok(())
}
