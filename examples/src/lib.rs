//! What the examples share: command lines and the way a program ends.

use std::error::Error;
use std::process::ExitCode;

/// The arguments of a command line, first to last.
#[derive(Debug)]
pub struct Args {
    rest: std::vec::IntoIter<String>,
    usage: &'static str,
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
    match program(Args { rest: args.into_iter(), usage }) {
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
