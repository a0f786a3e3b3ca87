//! The application: an echo server on io_uring, one thread for all connections.
//! `cargo run --release -p embed-io-uring -- [ADDR [HANDSHAKE_MS]]`.

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use compio::net::TcpListener;
use compio::runtime::{Runtime, spawn};
use ws_core::Config;
use ws_core::endpoint::Options;

mod driver;

async fn listen(address: &str, handshake: Duration) -> io::Result<()> {
    let config = Config::new().ping_interval(Some(Duration::from_secs(30)));
    // Room for the echo of a message of 16 MiB behind what already waits.
    let options = Options::from(config).max_output(20 << 20).handshake_timeout(Some(handshake));
    let listener = TcpListener::bind(address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })?;
    println!("listening on ws://{}", listener.local_addr()?);
    io::stdout().flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let options = options.clone();
        spawn(async move {
            let echo = driver::serve(stream, options, |out, message| out.queue(message));
            if let Err(error) = echo.await {
                eprintln!("{error}");
            }
        })
        .detach();
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let millis = match env::args().nth(2) {
        Some(text) => text.parse().map_err(|_| format!("not a number of milliseconds: {text}"))?,
        None => 10_000,
    };
    let runtime = Runtime::new().map_err(|error| {
        io::Error::new(error.kind(), format!("this system has no io_uring: {error}"))
    })?;
    Ok(runtime.block_on(listen(&address, Duration::from_millis(millis)))?)
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
