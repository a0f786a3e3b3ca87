//! A client that reconnects: `cargo run --example reconnect -- [--base 5s] [--max 1m] URL`.
//!
//! It prints each change of its connection, one per line, and what it receives. It sends the lines of standard input;
//! while there is no connection, it does not read them. Ctrl-C closes the connection.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::process::ExitCode;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ws_examples::{Args, lock, printable, say};
use ws_std::{CloseCode, Config, Connector, Reader, Writer};

const USAGE: &str = "usage: reconnect [--base 5s] [--max 1m] [--ping-interval 20s] URL";

/// The connection, for the threads that send and close.
static LINK: Link = Link { state: Mutex::new(State::Down), changed: Condvar::new() };

struct Link {
    state: Mutex<State>,
    changed: Condvar,
}

enum State {
    Down,
    Up(Writer),
    /// The connection is closed and will not be opened again.
    Ending,
}

impl Link {
    fn set(&self, state: State) -> State {
        let before = std::mem::replace(&mut *lock(&self.state), state);
        self.changed.notify_all();
        before
    }

    /// Returns the writer of the current connection, or waits for the next one.
    fn writer(&self) -> Writer {
        let mut state = lock(&self.state);
        loop {
            if let State::Up(writer) = &*state {
                return writer.clone();
            }
            state = self.changed.wait(state).expect("no panic while it is locked");
        }
    }
}

fn main() -> ExitCode {
    ws_examples::run("reconnect", USAGE, program)
}

fn program(mut args: Args) -> Result<(), Box<dyn std::error::Error>> {
    // RFC 6455 §7.2.3: the first attempt follows a random delay of up to five seconds.
    let (mut base, mut max) = (Duration::from_secs(5), Duration::from_secs(60));
    let mut ping_interval = Duration::from_secs(20);
    let mut url = None;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--base" => base = args.duration(&arg)?,
            "--max" => max = args.duration(&arg)?,
            "--ping-interval" => ping_interval = args.duration(&arg)?,
            _ if url.is_none() && !arg.starts_with('-') => url = Some(arg),
            _ => return Err(args.unexpected(&arg)),
        }
    }
    let url = url.ok_or(USAGE)?;
    // If the server or the network is gone, nothing arrives. Only Pings detect that.
    let config = Config::new().ping_interval(Some(ping_interval)).pong_timeout(Some(ping_interval));
    let connector = Connector::builder().config(config);
    thread::spawn(send_lines);
    ctrlc::set_handler(close)?;

    let mut attempts = 0;
    loop {
        say(format_args!("connecting to {url}"))?;
        match connector.connect(&url) {
            Ok(ws) => {
                let (mut reader, writer) = ws.split()?;
                say("open")?;
                let since = Instant::now();
                LINK.set(State::Up(writer));
                let lost = receive(&mut reader);
                let by_us = matches!(LINK.set(State::Down), State::Ending);
                let code = reader.close_info().map(|info| info.code);
                if by_us || code == Some(CloseCode::NORMAL) {
                    return Ok(say(format_args!("closed, {lost}"))?);
                }
                say(format_args!("lost, {lost}"))?;
                // The delay starts again only after a connection has lasted, so that a server that accepts and then
                // fails at once is not asked more often.
                if since.elapsed() > max {
                    attempts = 0;
                }
            }
            Err(error) if error.is_transient() => say(format_args!("failed, {error}"))?,
            Err(error) => return Err(error.into()),
        }
        let pause = pause(base, max, attempts);
        attempts += 1;
        say(format_args!("retrying in {} ms", pause.as_millis()))?;
        thread::sleep(pause);
    }
}

/// Prints what arrives until the connection ends, and returns why it ended.
fn receive(reader: &mut Reader) -> String {
    loop {
        match reader.read() {
            Ok(Some(message)) => {
                let text = message.as_text().map_or("(binary)".into(), printable);
                let _ = say(format_args!("received, {text}"));
            }
            Ok(None) => {
                return reader.close_info().map_or_else(String::new, |info| info.to_string());
            }
            Err(error) => return error.to_string(),
        }
    }
}

/// Returns the pause before the next attempt. It is random, from zero to a maximum that doubles each time, so clients
/// that were disconnected together do not come back together.
fn pause(base: Duration, max: Duration, attempts: u32) -> Duration {
    let bound = base.saturating_mul(2_u32.saturating_pow(attempts)).min(max);
    // The standard library seeds each hasher at random, which is random enough for a delay.
    let random = RandomState::new().hash_one(()) >> 32;
    bound.mul_f64(random as f64 / f64::from(u32::MAX))
}

/// Sends the lines of standard input. If a line could not be sent, it is sent again on the next connection. If
/// the connection is lost just after a line was sent, the line may be lost, too: only an answer from the peer could show it.
fn send_lines() {
    for line in io::stdin().lines().map_while(Result::ok) {
        while LINK.writer().send(&*line).is_err() {
            // Wait until the loss is noticed.
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Closes with 1000, and the main thread sees the end. If there is no connection, the program ends.
fn close() {
    match LINK.set(State::Ending) {
        State::Up(writer) => drop(writer.start_close(CloseCode::NORMAL, "")),
        State::Down => {
            let _ = say("closed, there was no connection");
            std::process::exit(0);
        }
        // Ctrl-C was pressed a second time.
        State::Ending => std::process::exit(130),
    }
}
