use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// A blocking stream that can carry a WebSocket, with deadlines.
///
/// It is implemented for [`TcpStream`] and, on Unix, for `UnixStream`. A stream that is only
/// [`Read`] and [`Write`] goes into [`Plain`].
pub trait Transport: Read + Write {
    /// Bounds how long a read may block; `None` means for ever. The duration is never zero.
    ///
    /// # Errors
    ///
    /// As of the stream; [`io::ErrorKind::Unsupported`] when it has no time-outs: it is used without.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Bounds how long a write may block; `None` means for ever. The duration is never zero.
    ///
    /// # Errors
    ///
    /// As [`set_read_timeout`](Self::set_read_timeout).
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Tells the peer that nothing more will be written.
    ///
    /// # Errors
    ///
    /// As of the stream.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// A second handle to the same stream, to read and write at the same time.
    ///
    /// # Errors
    ///
    /// As of the stream; [`io::ErrorKind::Unsupported`] when it cannot be used from two threads.
    fn try_clone(&self) -> io::Result<Self>
    where
        Self: Sized;
}

impl Transport for TcpStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        TcpStream::set_read_timeout(self, timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        TcpStream::set_write_timeout(self, timeout)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn try_clone(&self) -> io::Result<Self> {
        TcpStream::try_clone(self)
    }
}

#[cfg(unix)]
impl Transport for std::os::unix::net::UnixStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        std::os::unix::net::UnixStream::set_read_timeout(self, timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        std::os::unix::net::UnixStream::set_write_timeout(self, timeout)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn try_clone(&self) -> io::Result<Self> {
        std::os::unix::net::UnixStream::try_clone(self)
    }
}

/// A stream without deadlines: reads and writes may block for ever, and it cannot be split.
///
/// At the end of the connection the peer's end of the stream is not waited for, and the write side is
/// only flushed: drop the WebSocket to close the stream.
#[derive(Debug)]
pub struct Plain<S>(pub S);

impl<S: Read> Read for Plain<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<S: Write> Write for Plain<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<S: Read + Write> Transport for Plain<S> {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout.is_some() { Err(io::ErrorKind::Unsupported.into()) } else { Ok(()) }
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout.is_some() { Err(io::ErrorKind::Unsupported.into()) } else { Ok(()) }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn try_clone(&self) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
