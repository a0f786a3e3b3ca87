//! An echo server that drives `Endpoint` over blocking TCP, and shows what a driver for a kind of stream has to do:
//! `cargo run --release --example endpoint_echo -- [ADDR]`.
//!
//! `docs/EMBEDDING.md` explains each answer. For a real blocking server use `ws-std`, which also waits without
//! waking up in between.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use ws_core::endpoint::{Event, Inbound, Next, Options};
use ws_core::handshake::{AcceptResponse, HttpResponse};
use ws_core::{CloseCode, Endpoint};

/// Set when Ctrl-C is pressed. Each connection then starts the closing handshake.
static STOPPING: AtomicBool = AtomicBool::new(false);
/// The number of connections.
static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
/// How often a waiting connection checks whether it has to stop, and looks at the time.
const LOOK: Duration = Duration::from_millis(200);

fn serve(mut stream: TcpStream) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut options = Options::new();
    if stream.local_addr()?.ip().is_loopback() {
        // A page of any other name that leads here is not ours (DNS rebinding).
        options = options.hosts(["localhost", "127.0.0.1", "[::1]"]);
    }
    let mut ws = Endpoint::server(options);
    stream.set_read_timeout(Some(LOOK))?;
    stream.set_write_timeout(Some(LOOK))?;
    loop {
        if STOPPING.load(SeqCst) {
            let _ = ws.outbound.start_close(CloseCode::GOING_AWAY, ""); // it may be closing already
        }
        match ws.next(|| ws_core::Instant::from_elapsed(start.elapsed())) {
            Next::Event(Event::Request(_)) => ws.outbound.accept(&AcceptResponse::new())?,
            Next::Event(Event::Http(_)) => {
                ws.outbound.respond(&HttpResponse::new(426))?;
            }
            Next::Event(Event::Message(message)) => {
                if ws.outbound.is_open() {
                    ws.outbound.queue(message)?;
                }
            }
            Next::Event(_) => {}
            Next::Failed(error) => eprintln!("{error}"), // the client is told next
            Next::Write { mut output, read, .. } => match stream.write(output.chunk()) {
                Ok(written) => output.advance(written),
                Err(error) if is_timeout(&error) => receive(&mut stream, read)?,
                Err(error) => return Err(error.into()),
            },
            Next::Shutdown { side, .. } => {
                let _ = stream.shutdown(Shutdown::Write); // the client may be gone by now
                side.shut_down();
            }
            Next::Wait { read, .. } => receive(&mut stream, read)?,
            Next::Done => return Ok(()),
        }
    }
}

/// Reads once if there is room for it, and waits for at most [`LOOK`].
fn receive(stream: &mut TcpStream, to: Option<&mut Inbound>) -> io::Result<()> {
    let Some(inbound) = to else {
        thread::sleep(LOOK);
        return Ok(());
    };
    match stream.read(inbound.read_buf()) {
        Ok(0) => inbound.receive_eof(),
        Ok(count) => inbound.filled(count),
        Err(error) if is_timeout(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Gives the connections five seconds to close, and then ends the program.
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
