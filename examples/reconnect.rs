//! A client that comes back: `cargo run --example reconnect -- [--base 5s] [--max 1m] URL`.
//!
//! It prints what becomes of its connection, one line each, and what it receives. Lines of standard input
//! are sent; while there is no connection they wait where they are. Ctrl-C closes.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::process::ExitCode;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ws_examples::{Args, lock, printable, say};
use ws_std::{CloseCode, Config, Connector, Reader, Writer};

const USAGE: &str = "usage: reconnect [--base 5s] [--max 1m] [--ping-interval 20s] URL";

/// The connection, for those who send and who close.
static LINK: Link = Link { state: Mutex::new(State::Down), changed: Condvar::new() };

struct Link {
    state: Mutex<State>,
    changed: Condvar,
}

enum State {
    Down,
    Up(Writer),
    /// Closed, and not to be opened again.
    Ending,
}

impl Link {
    fn set(&self, state: State) -> State {
        let before = std::mem::replace(&mut *lock(&self.state), state);
        self.changed.notify_all();
        before
    }

    /// Waits for the connection that there is, or for the next.
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
    // RFC 6455 §7.2.3: the first time after a random delay of up to five seconds.
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
    // A server that vanishes says nothing, and neither does the net: only pings find out.
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
                // A server that accepts and fails at once must not be asked more often for that.
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

/// Prints what comes, to the end; gives why that was.
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

/// Before the next attempt: random, up to a bound that is twice as high each time. From zero up, so that
/// clients that were lost together come back apart.
fn pause(base: Duration, max: Duration, attempts: u32) -> Duration {
    let bound = base.saturating_mul(2_u32.saturating_pow(attempts)).min(max);
    // The standard library seeds each hasher at random, which is all that a delay needs.
    let random = RandomState::new().hash_one(()) >> 32;
    bound.mul_f64(random as f64 / f64::from(u32::MAX))
}

/// Sends the lines of standard input. One that could not be sent is sent again on the next connection;
/// one that was sent as the connection died may be lost: only an answer of the peer tells.
fn send_lines() {
    for line in io::stdin().lines().map_while(Result::ok) {
        while LINK.writer().send(&*line).is_err() {
            // Until that is noticed.
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Closes with 1000; the main thread sees the end. Without a connection this is the end.
fn close() {
    match LINK.set(State::Ending) {
        State::Up(writer) => drop(writer.start_close(CloseCode::NORMAL, "")),
        State::Down => {
            let _ = say("closed, there was no connection");
            std::process::exit(0);
        }
        // The second time.
        State::Ending => std::process::exit(130),
    }
}
