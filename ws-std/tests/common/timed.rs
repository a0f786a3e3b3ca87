//! A stream that has time-outs and nothing else that a transport can do.
#![allow(dead_code, unreachable_pub)]

use std::io::{self, Read, Write};
use std::time::Duration;

use ws_std::Transport;

/// A stream whose reads wait as long as a function makes of the time-out that is set.
#[derive(Debug)]
pub struct Timed<T> {
    pub stream: T,
    pub wait: fn(Option<Duration>) -> Option<Duration>,
}

impl<T> Timed<T> {
    /// Reads wait as long as they are told.
    pub fn new(stream: T) -> Self {
        Self { stream, wait: |timeout| timeout }
    }
}

impl<T: Transport> Read for Timed<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl<T: Transport> Write for Timed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: Transport> Transport for Timed<T> {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout((self.wait)(timeout))
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_write_timeout(timeout)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown_write()
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { stream: self.stream.try_clone()?, wait: self.wait })
    }
}
