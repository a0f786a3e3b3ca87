//! The code that the examples share: command lines, the exit status, [applications](app), and the [events] that
//! pages and servers send each other.

pub mod app;
mod compress;
#[path = "../events.rs"]
pub mod events;

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ws_std::ws_core::handshake::{same_host, same_origin};
use ws_std::{Message, WebSocket};

pub use compress::Deflate;

/// Sends a message in fragments of about `size` bytes, and then an empty one. Text is cut between characters.
///
/// # Errors
///
/// The same as for [`WebSocket::send`].
///
/// # Panics
///
/// Panics if `size` is zero.
pub fn send_in_fragments(ws: &mut WebSocket, message: &Message, size: usize) -> ws_std::Result<()> {
    let mut writer = ws.write_stream(message.kind());
    for piece in message.as_bytes().chunks(size) {
        writer.write_all(piece)?;
    }
    writer.finish()
}

/// The arguments of a command line, in order.
#[derive(Debug)]
pub struct Args {
    rest: std::vec::IntoIter<String>,
    usage: String,
    address: Option<String>,
    hosts: Vec<String>,
    self_check: bool,
}

impl Iterator for Args {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.rest.next()
    }
}

impl Args {
    /// Returns the value after an option.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no value.
    pub fn value(&mut self, option: &str) -> Result<String, Box<dyn Error>> {
        self.next().ok_or_else(|| format!("{option} needs a value; {}", self.usage).into())
    }

    /// Returns the number after an option.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no value, or if it is not a number.
    pub fn number(&mut self, option: &str) -> Result<u64, Box<dyn Error>> {
        let value = self.value(option)?;
        value.parse().map_err(|_| format!("{option} {value:?}: not a whole number").into())
    }

    /// Returns the duration after an option, such as `500ms`, `5s` or `1m`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no value, or if it is not a duration, is zero, or is too long.
    pub fn duration(&mut self, option: &str) -> Result<Duration, Box<dyn Error>> {
        let value = self.value(option)?;
        let unit = value.trim_start_matches(|c: char| c.is_ascii_digit());
        let millis = match unit {
            "ms" => Some(1),
            "s" => Some(1000),
            "m" => Some(60_000),
            _ => None,
        };
        let count = value.strip_suffix(unit).and_then(|digits| digits.parse().ok());
        millis
            .zip(count)
            .and_then(|(millis, count): (u64, u64)| millis.checked_mul(count))
            .filter(|millis| *millis > 0)
            .map(Duration::from_millis)
            .ok_or_else(|| format!("{option} {value:?}: not a time such as 500ms, 5s or 1m").into())
    }

    /// Returns the origin after an option, such as `https://example.com` (RFC 6454 §6.2).
    ///
    /// # Errors
    ///
    /// Returns an error if there is no value, or if browsers do not write an origin like this, so that it would never
    /// match.
    pub fn origin(&mut self, option: &str) -> Result<String, Box<dyn Error>> {
        let value = self.value(option)?;
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        match value.split_once("://") {
            // The scheme can be any, because it does not matter for checking the host and the port.
            Some((scheme, host))
                if scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                    && scheme.chars().all(is_scheme)
                    && same_origin(&format!("http://{host}"), host) =>
            {
                Ok(value)
            }
            _ => {
                Err(format!("{option} {value:?}: not an origin such as https://example.com").into())
            }
        }
    }

    /// Returns the host after an option, such as `example.com` or `127.0.0.1:9001`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no value, or if it is not a host, so that no request would ever match.
    pub fn host(&mut self, option: &str) -> Result<String, Box<dyn Error>> {
        let value = self.value(option)?;
        if same_host(&value, &value) {
            return Ok(value);
        }
        Err(format!("{option} {value:?}: not a host such as example.com or example.com:8080")
            .into())
    }

    /// Reads an argument that every application supports: its address, `--host` or `--self-check`.
    ///
    /// # Errors
    ///
    /// Returns an error for any other argument.
    pub fn common(&mut self, arg: String) -> Result<(), Box<dyn Error>> {
        match arg.as_str() {
            "--host" => {
                let host = self.host(&arg)?;
                self.hosts.push(host);
            }
            "--self-check" => self.self_check = true,
            _ if self.address.is_none() && !arg.starts_with('-') => self.address = Some(arg),
            _ => return Err(self.unexpected(&arg)),
        }
        Ok(())
    }

    /// Returns the address to listen on.
    pub fn address(&self) -> &str {
        self.address.as_deref().unwrap_or("127.0.0.1:9001")
    }

    /// Returns the hosts that `--host` names.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Returns whether `--self-check` was given.
    pub fn self_check(&self) -> bool {
        self.self_check
    }

    /// Returns the error for an unexpected argument.
    pub fn unexpected(&self, arg: &str) -> Box<dyn Error> {
        format!("unexpected argument {arg:?}; {}", self.usage).into()
    }
}

/// Runs a program. If it fails, this prints one line on standard error and returns exit status 1.
pub fn run(
    name: &str,
    usage: impl Into<String>,
    program: impl FnOnce(Args) -> Result<(), Box<dyn Error>>,
) -> ExitCode {
    let args: Vec<String> =
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let usage = usage.into();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        let _ = say(usage);
        return ExitCode::SUCCESS;
    }
    match program(Args {
        rest: args.into_iter(),
        usage,
        address: None,
        hosts: Vec::new(),
        self_check: false,
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Locks a mutex, even if a thread has panicked while it held the lock. No code here leaves the value half changed.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints a line on standard output.
///
/// # Errors
///
/// Returns an error if nobody reads standard output any more.
pub fn say(line: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Returns a peer's text for a terminal, on one line. Characters that control the terminal or change the direction of
/// the text are escaped.
pub fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if events::turns(c) => line.extend(c.escape_unicode()),
            c if c.is_control() => line.extend(c.escape_debug()),
            c => line.push(c),
        }
    }
    line
}

/// Compiles the programs in the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// Compiles the programs in the guide for embedders as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/EMBEDDING.md")]
pub struct Embedding;

/// Compiles the programs in the guide for users of tungstenite as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/FROM_TUNGSTENITE.md")]
pub struct FromTungstenite;

/// Compiles the recipes as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/RECIPES.md")]
pub struct Recipes;
