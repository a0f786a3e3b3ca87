//! Rust libraries that have permessage-deflate, as peers of the programs under test.
//!
//! `ws-conformance-peers yawc|sockudo` takes commands from standard input, one per line, and writes JSON lines, as the
//! peers in Python and Node do; see `lib/foreign_deflate.py`.

mod exchange;
mod sockudo;
mod yawc;

use std::error::Error;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::exchange::{Library, Settings, Socket, exchange, report};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("yawc") => commands::<yawc::Yawc>().await,
        Some("sockudo") => commands::<sockudo::Sockudo>().await,
        _ => Err("usage: ws-conformance-peers yawc|sockudo".into()),
    }
}

async fn commands<L: Library>() -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["connect", address, ref settings @ ..] => {
                report(connect::<L>(address, &Settings::parse(settings)?).await);
            }
            ["listen", ref settings @ ..] => listen::<L>(&Settings::parse(settings)?).await?,
            _ => return Err(format!("no such command: {line}").into()),
        }
    }
    Ok(())
}

async fn connect<L: Library>(address: &str, settings: &Settings) -> Result<()> {
    let mut socket =
        L::connect(stream(TcpStream::connect(address).await?)?, address, settings).await?;
    exchange(&mut socket, settings).await?;
    socket.close().await
}

/// Serves one client as the Autobahn Testsuite does, which has one case.
async fn listen<L: Library>(settings: &Settings) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{{\"port\":{}}}", listener.local_addr()?.port());
    let outcome = async {
        let mut outcome = Err("no case ran".into());
        loop {
            let (target, mut socket) =
                L::accept(stream(listener.accept().await?.0)?, settings).await?;
            match target.split('?').next() {
                Some("/getCaseCount") => socket.send(true, "1".into()).await?,
                Some("/runCase") => outcome = exchange(&mut socket, settings).await,
                _ => return socket.close().await.and(outcome),
            }
            socket.close().await?;
        }
    };
    report(outcome.await);
    Ok(())
}

fn stream(stream: TcpStream) -> Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}
