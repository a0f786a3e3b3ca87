//! What the examples share: command lines, the way a program ends, and [applications](app).

pub mod app;

use std::error::Error;
use std::process::ExitCode;

/// The arguments of a command line, first to last.
#[derive(Debug)]
pub struct Args {
    rest: std::vec::IntoIter<String>,
    usage: &'static str,
    address: Option<String>,
    self_check: bool,
}

impl Iterator for Args {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.rest.next()
    }
}

impl Args {
    /// The value that follows an option.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn value(&mut self, option: &str) -> Result<String, Box<dyn Error>> {
        self.next().ok_or_else(|| format!("{option} needs a value; {}", self.usage).into())
    }

    /// The number that follows an option.
    ///
    /// # Errors
    ///
    /// There is none, or it is not one.
    pub fn number(&mut self, option: &str) -> Result<u64, Box<dyn Error>> {
        let value = self.value(option)?;
        value.parse().map_err(|_| format!("{option} {value:?}: not a whole number").into())
    }

    /// Takes an argument that every server has: its address, or `--self-check`.
    ///
    /// # Errors
    ///
    /// It is neither.
    pub fn common(&mut self, arg: String) -> Result<(), Box<dyn Error>> {
        match arg.as_str() {
            "--self-check" => self.self_check = true,
            _ if self.address.is_none() && !arg.starts_with('-') => self.address = Some(arg),
            _ => return Err(self.unexpected(&arg)),
        }
        Ok(())
    }

    /// The address to listen on.
    pub fn address(&self) -> &str {
        self.address.as_deref().unwrap_or("127.0.0.1:9001")
    }

    /// Whether the program is to check itself.
    pub fn self_check(&self) -> bool {
        self.self_check
    }

    /// The complaint about an argument that makes no sense.
    pub fn unexpected(&self, arg: &str) -> Box<dyn Error> {
        format!("unexpected argument {arg:?}; {}", self.usage).into()
    }
}

/// Runs a program: a failure is one clear line on standard error and exit status 1.
pub fn run(
    name: &str,
    usage: &'static str,
    program: impl FnOnce(Args) -> Result<(), Box<dyn Error>>,
) -> ExitCode {
    let args: Vec<String> =
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        eprintln!("{usage}");
        return ExitCode::SUCCESS;
    }
    match program(Args { rest: args.into_iter(), usage, address: None, self_check: false }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The programs in the README are compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// As are those in the guide for embedders.
#[cfg(doctest)]
#[doc = include_str!("../../docs/EMBEDDING.md")]
pub struct Embedding;
