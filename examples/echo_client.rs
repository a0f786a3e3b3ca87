//! Sends messages and prints the replies: `cargo run --release --example echo_client -- URL [MESSAGE...]`.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::time::Duration;

use ws_examples::{Args, Deflate};
use ws_std::{CloseCode, Connector, Message, WebSocket};

const USAGE: &str = "usage: echo_client [--timeout SECONDS] [--fragment BYTES] [--deflate] [--deflate-window BITS] \
                     [--deflate-no-takeover] URL [MESSAGE...]\n\
                     Without a MESSAGE, each line of standard input is sent as one.";

fn main() -> ExitCode {
    ws_examples::run("echo_client", USAGE, talk)
}

fn talk(mut args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let mut timeout = Duration::from_secs(10);
    let mut fragment = None;
    let mut deflate = Deflate::default();
    let url = loop {
        match args.next() {
            Some(arg) if arg == "--timeout" => {
                timeout = Duration::from_secs(args.number(&arg)?.max(1))
            }
            Some(arg) if arg == "--fragment" => fragment = Some(args.number(&arg)?.max(1) as usize),
            Some(arg) if deflate.take(&arg, &mut args)? => {}
            Some(arg) if arg.starts_with('-') => return Err(args.unexpected(&arg)),
            Some(url) => break url,
            None => return Err(USAGE.into()),
        }
    };
    let mut ws = Connector::builder()
        .handshake_timeout(Some(timeout))
        .read_timeout(Some(timeout))
        .deflate(deflate.compression())
        .connect(&url)?;
    let messages: Vec<String> = args.collect();
    if messages.is_empty() {
        for line in io::stdin().lock().lines() {
            exchange(&mut ws, line?.into(), fragment)?;
        }
    } else {
        for message in messages {
            exchange(&mut ws, message.into(), fragment)?;
        }
    }
    ws.close(CloseCode::NORMAL, "")?;
    Ok(())
}

fn exchange(
    ws: &mut WebSocket,
    message: Message,
    fragment: Option<usize>,
) -> Result<(), Box<dyn std::error::Error>> {
    match fragment {
        Some(size) => ws_examples::send_in_fragments(ws, &message, size)?,
        None => ws.send(message)?,
    }
    let Some(reply) = ws.read()? else {
        let info = ws.close_info().unwrap_or_else(ws_std::CloseInfo::abnormal);
        return Err(format!("closed by the server: {} {:?}", info.code, info.reason).into());
    };
    let mut out = io::stdout().lock();
    match reply {
        Message::Text(text) => writeln!(out, "{text}")?,
        Message::Binary(bytes) => writeln!(out, "{} bytes", bytes.len())?,
    }
    Ok(out.flush()?)
}
