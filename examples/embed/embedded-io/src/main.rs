//! The application: an echo over TCP, on a host, with the driver that a board would use.
//! `cargo run -p embed-embedded-io -- [ADDR [HANDSHAKE_MS]]`.

use std::env;
use std::error::Error;
use std::future::Future;
use std::io::{self, ErrorKind, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use embed_embedded_io::{Stream, serve};
use embedded_io_adapters::futures_03::FromFutures;
use embedded_io_async::{ErrorType, Read, Write};
use futures_lite::future::{block_on, or};
use ws_core::Config;

/// The time for a peer to take what it is sent.
const WRITE: Duration = Duration::from_secs(10);

struct Socket(FromFutures<Async<TcpStream>>);

impl ErrorType for Socket {
    type Error = io::Error;
}

impl Read for Socket {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).await
    }
}

impl Write for Socket {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::within(WRITE, self.0.write(bytes)).await.unwrap_or(Err(ErrorKind::TimedOut.into()))
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }
}

impl Stream for Socket {
    fn shutdown_write(&mut self) {
        let _ = self.0.inner().get_ref().shutdown(Shutdown::Write); // the peer may be gone by now
    }

    fn now() -> ws_core::Instant {
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        ws_core::Instant::from_elapsed(ORIGIN.elapsed())
    }

    async fn within<F: Future>(limit: Duration, operation: F) -> Option<F::Output> {
        let timer = async {
            Timer::after(limit).await;
            None
        };
        or(async { Some(operation.await) }, timer).await
    }
}

async fn echo(stream: TcpStream, handshake: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = Socket(FromFutures::new(Async::new(stream)?));
    let config = Config::new().ping_interval(Some(Duration::from_secs(30)));
    // Small on purpose: messages up to 16 MiB pass through it.
    let mut buffer = [0; 2048];
    serve(stream, (config, handshake), &mut buffer, |chunk| Some((chunk.frame(), chunk.bytes)))
        .await?;
    Ok(())
}

fn run() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let millis = match env::args().nth(2) {
        Some(text) => text.parse().map_err(|_| format!("not a number of milliseconds: {text}"))?,
        None => 10_000,
    };
    let handshake = Duration::from_millis(millis);
    let listener = TcpListener::bind(&address).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })?;
    println!("listening on ws://{}", listener.local_addr()?);
    io::stdout().flush()?;
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || {
            if let Err(error) = block_on(echo(stream, handshake)) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
