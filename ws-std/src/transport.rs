//! Streams that can carry a WebSocket.
//!
//! The library reads and writes through [`Transport`] alone, with time-outs, so that one thread can wait
//! for both directions and for deadlines. [`Stream`] is the stream of [`connect`](crate::connect) and
//! [`Listener`](crate::Listener); [`Plain`] makes a transport of anything that reads and writes.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::WRITE_TIMEOUT;
use crate::tcp::Tcp;

/// A blocking stream that can carry a WebSocket, with deadlines.
///
/// It is implemented for [`Stream`], [`Tcp`], [`TcpStream`], [`MemoryStream`](crate::MemoryStream) and, on Unix,
/// `UnixStream`. A stream that is only
/// [`Read`] and [`Write`] goes into [`Plain`].
///
/// A stream has to block: [`Error::Io`](crate::Error::Io) of the kind
/// [`WouldBlock`](io::ErrorKind::WouldBlock) is what a read over one in non-blocking mode comes to when
/// nothing is there yet, and [`Error::Timeout`](crate::Error::Timeout) what a write comes to.
///
/// A write that times out has taken nothing, and the next one goes on where it was. A stream may hold back
/// what is written until it is flushed, as one of TLS does. When a flush times out, the stream keeps what it
/// holds back, and the next flush goes on with it.
///
/// An error of the kind [`Interrupted`](io::ErrorKind::Interrupted) asks for the same call again, once the
/// deadlines are looked at. From a write or a flush it also says that the peer has taken some of what the
/// stream holds back, which shows that the peer is alive. An error with the operating system's code, by which
/// a signal ends a system call, does not say that; a stream that makes errors of its own returns
/// [`WouldBlock`](io::ErrorKind::WouldBlock) in its place.
///
/// On Windows, use [`Tcp`] in place of a [`TcpStream`]: the system does not say how much of a write was sent
/// before the time-out passed. So a write over a [`TcpStream`] has 30 seconds there, whatever time-out is
/// asked for, and the connection fails when they have passed.
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

    /// Makes reads return at once, with an error of the kind [`WouldBlock`](io::ErrorKind::WouldBlock) when
    /// nothing is there, or lets them block again. [`WebSocket::try_read`](crate::WebSocket::try_read) uses it
    /// around a single read. By default it is not supported: such a read waits for a millisecond then.
    ///
    /// # Errors
    ///
    /// As of the stream; [`io::ErrorKind::Unsupported`] when it has no such mode.
    fn set_nonblocking(&self, _nonblocking: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

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
        // See above: there it is one write that times out, and the last.
        let timeout = timeout.map(|timeout| if cfg!(windows) { WRITE_TIMEOUT } else { timeout });
        TcpStream::set_write_timeout(self, timeout)
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        TcpStream::set_nonblocking(self, nonblocking)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn try_clone(&self) -> io::Result<Self> {
        TcpStream::try_clone(self)
    }
}

/// A stream as it is or, with the feature `rustls`, TLS over it.
///
/// [`connect`](crate::connect) and [`Listener`](crate::Listener) run a WebSocket over TCP. Over a stream of
/// the caller's, [`Connector::connect_over`](crate::Connector::connect_over) and
/// [`ListenerBuilder::request_over`](crate::ListenerBuilder::request_over) do. To have such a stream back without TLS, match
/// on what [`WebSocket::into_inner`](crate::WebSocket::into_inner) returns.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream<T = Tcp> {
    /// The stream alone.
    Plain(T),
    /// TLS over the stream.
    #[cfg(feature = "rustls")]
    Tls(crate::TlsStream<T>),
}

impl<T: Transport> Stream<T> {
    /// The stream itself, below TLS if there is TLS. Reading from it or writing to it breaks the connection.
    pub fn get_ref(&self) -> &T {
        match self {
            Self::Plain(stream) => stream,
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.get_ref(),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        Self::Plain(tcp.into())
    }
}

impl<T: Transport> Read for Stream<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl<T: Transport> Write for Stream<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write_vectored(slices),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.flush(),
        }
    }
}

impl<T: Transport> Transport for Stream<T> {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.set_read_timeout(timeout),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.set_read_timeout(timeout),
        }
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.set_write_timeout(timeout),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.set_write_timeout(timeout),
        }
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.set_nonblocking(nonblocking),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.set_nonblocking(nonblocking),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown_write(),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.shutdown_write(),
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Plain(stream) => stream.try_clone().map(Self::Plain),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.try_clone().map(Self::Tls),
        }
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

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        std::os::unix::net::UnixStream::set_nonblocking(self, nonblocking)
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
