//! Streams that can carry a WebSocket.
//!
//! The library reads and writes only through [`Transport`]. Its time-outs let one thread wait for both directions and for
//! deadlines. [`Stream`] is the stream of [`connect`](crate::connect) and [`Listener`](crate::Listener), and [`Plain`]
//! makes a transport of anything that reads and writes.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::WRITE_TIMEOUT;
use crate::tcp::Tcp;

/// A blocking stream with deadlines, which can carry a WebSocket.
///
/// [`Stream`], [`Tcp`], [`TcpStream`], [`MemoryStream`](crate::MemoryStream) and, on Unix, `UnixStream` implement it. For a
/// stream that implements only [`Read`] and [`Write`], use [`Plain`].
///
/// # Rules for an implementation
///
/// - **It blocks.** If a stream is in non-blocking mode, a read without data returns
///   [`Error::Io`](crate::Error::Io) of the kind [`WouldBlock`](io::ErrorKind::WouldBlock), and a write that
///   cannot proceed returns [`Error::Timeout`](crate::Error::Timeout).
/// - **A time-out loses nothing.** A write that times out has taken nothing, and the next write passes the same bytes
///   again. A stream may hold written bytes back until it is flushed, as a TLS stream does. If a flush times out, the stream
///   keeps these bytes, and the next flush continues.
/// - **[`Interrupted`](io::ErrorKind::Interrupted) means: call again** after a look at the deadlines. From a write or a
///   flush it also says that the peer has taken some of the bytes that were held back, which shows that the peer is
///   alive. This does not apply to an error with a code of the operating system, which comes from a signal. If the peer
///   has taken nothing, a stream that makes its own errors returns [`WouldBlock`](io::ErrorKind::WouldBlock).
///
/// # Windows
///
/// On Windows, use [`Tcp`] instead of [`TcpStream`]. The system does not say how much of a write was sent before its time-out
/// passed. So a write over a [`TcpStream`] has 30 seconds there, whatever time-out is set, and when they have passed
/// the connection fails.
///
/// # Example
///
/// A stream that counts the bytes that it receives:
///
/// ```
/// use std::io::{self, Read, Write};
/// use std::net::TcpStream;
/// use std::time::Duration;
/// use ws_std::Transport;
///
/// struct Counted {
///     stream: TcpStream,
///     received: usize,
/// }
///
/// impl Read for Counted {
///     fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
///         let count = self.stream.read(buffer)?;
///         self.received += count;
///         Ok(count)
///     }
/// }
///
/// impl Write for Counted {
///     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
///         self.stream.write(bytes)
///     }
///
///     fn flush(&mut self) -> io::Result<()> {
///         self.stream.flush()
///     }
/// }
///
/// impl Transport for Counted {
///     fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
///         self.stream.set_read_timeout(timeout)
///     }
///
///     fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
///         self.stream.set_write_timeout(timeout)
///     }
///
///     fn shutdown_write(&mut self) -> io::Result<()> {
///         self.stream.shutdown(std::net::Shutdown::Write)
///     }
///
///     fn try_clone(&self) -> io::Result<Self> {
///         Err(io::ErrorKind::Unsupported.into()) // this stream cannot be split
///     }
/// }
/// ```
pub trait Transport: Read + Write {
    /// Sets how long a read may block. `None` means no limit. The duration is never zero.
    ///
    /// # Errors
    ///
    /// The error of the stream. A stream without time-outs returns [`io::ErrorKind::Unsupported`], and is used without them.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Sets how long a write may block. `None` means no limit. The duration is never zero.
    ///
    /// # Errors
    ///
    /// The same as for [`set_read_timeout`](Self::set_read_timeout).
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Turns non-blocking mode on or off. In this mode a read without data returns an error of the kind
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) at once.
    ///
    /// [`WebSocket::try_read`](crate::WebSocket::try_read) turns it on for a single read, write or shutdown, and then off
    /// again. If the stream does not support it, which is the default, that call waits for a millisecond. If the handles
    /// of a split connection share the mode, a write of another thread may meanwhile return
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), and is tried again.
    ///
    /// # Errors
    ///
    /// The error of the stream. A stream without this mode returns [`io::ErrorKind::Unsupported`].
    fn set_nonblocking(&self, _nonblocking: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Shuts down the write side, which tells the peer that nothing more will be written.
    ///
    /// # Errors
    ///
    /// The error of the stream.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// Returns a second handle to the same stream, so that it can be read and written at the same time.
    ///
    /// # Errors
    ///
    /// The error of the stream. A stream that cannot be used from two threads returns [`io::ErrorKind::Unsupported`].
    fn try_clone(&self) -> io::Result<Self>
    where
        Self: Sized;
}

impl Transport for TcpStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        TcpStream::set_read_timeout(self, timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        // See above: on Windows, only one write can time out, and then the connection has failed.
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

/// A stream as it is, or TLS over it (with the feature `rustls`).
///
/// [`connect`](crate::connect) and [`Listener`](crate::Listener) run a WebSocket over a `Stream` of TCP.
/// [`Connector::connect_over`](crate::Connector::connect_over) and
/// [`ListenerBuilder::request_over`](crate::ListenerBuilder::request_over) run one over any stream. To get such a stream
/// back without TLS, match on what [`WebSocket::into_inner`](crate::WebSocket::into_inner) returns.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream<T = Tcp> {
    /// The stream without TLS.
    Plain(T),
    /// TLS over the stream.
    #[cfg(feature = "rustls")]
    Tls(crate::TlsStream<T>),
}

impl<T: Transport> Stream<T> {
    /// Returns the underlying stream, below TLS if there is TLS. Reading from it or writing to it breaks the connection.
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

/// A stream without deadlines. Its reads and writes may block for ever, and it cannot be split.
///
/// At the end of the connection, the write side is only flushed, and nobody waits for the peer to end the stream. Drop the
/// WebSocket to close it.
///
/// ```
/// use std::io::{Read, Write};
/// use ws_std::{Connector, Plain};
///
/// fn greet(stream: impl Read + Write) -> ws_std::Result<()> {
///     let mut ws = Connector::builder().connect_over("ws://example.com/", Plain(stream))?;
///     ws.send("hello")
/// }
/// ```
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
