//! TLS on a blocking stream, for one thread or for two.
//!
//! The handles to a stream share one rustls connection, behind a mutex that is held to encrypt or to
//! decrypt, but never during a system call. Encrypted records are put into a queue, whose lock is held while it is
//! written, so records leave in the order in which they were encrypted. A reader does not wait for that
//! lock. If it owes the peer an alert, it leaves the alert to the thread that holds the lock, which looks again after it has
//! released the lock. The answer to a KeyUpdate needs no reader: rustls puts it before the next record.
//!
//! A thread that needs several of the locks takes them in the order of [`TlsState`]'s fields.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, Connection, InvalidMessage, ServerConfig, ServerConnection,
};

use super::TlsError;
use super::error::into_io;
use crate::error::{Deadline, Error, Result};
use crate::sync::shared::{lock, try_lock};
use crate::timed::{MIN_WAIT, is_loss, is_timeout};
use crate::transport::Transport;
use crate::url::UrlError;

/// How many bytes are encrypted at once. If more than this wait, they are written first.
const MAX_ENCRYPTED: usize = 64 * 1024;
/// How many bytes are read at once: a little more than the largest record.
const MAX_READ: usize = 20 * 1024;
/// The size up to which an empty queue keeps its memory.
const KEPT_ROOM: usize = 20 * 1024;

/// A stream under TLS whose handshake is done.
///
/// Written data is sent when it is flushed, or when 64 KiB have gathered. If the time-out of a write or flush
/// passes, the stream keeps the data, and the next call continues with it. If the stream ends without the peer's
/// `close_notify`, a read fails with [`io::ErrorKind::UnexpectedEof`]. A WebSocket ignores that once it has received the
/// peer's Close frame.
///
/// ```no_run
/// use std::{net::TcpStream, sync::Arc, time::Duration};
/// use ws_std::{Connector, TlsStream, rustls};
///
/// fn connect(config: Arc<rustls::ClientConfig>) -> ws_std::Result<()> {
///     let tcp = TcpStream::connect("example.com:443")?;
///     let tls = TlsStream::client(tcp, "example.com", config, Some(Duration::from_secs(10)))?;
///     let mut ws = Connector::builder().connect_over_encrypted("wss://example.com/", tls)?;
///     ws.send("hello")
/// }
/// ```
#[derive(Debug)]
pub struct TlsStream<T = TcpStream> {
    stream: T,
    /// The time-out that was last set for this handle.
    write_timeout: Mutex<Option<Duration>>,
    shared: Arc<TlsState>,
}

#[derive(Debug)]
struct TlsState {
    incoming: Mutex<Ciphertext>,
    outgoing: Mutex<Outgoing>,
    connection: Mutex<Connection>,
}

/// Bytes that were read and not yet decrypted. The lock is held while reading, so there is one reader at a time.
#[derive(Debug)]
struct Ciphertext {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

/// Bytes that were encrypted and not yet written.
#[derive(Debug, Default)]
struct Outgoing {
    queue: Vec<u8>,
    written: usize,
    /// Whether `close_notify` is in the queue or was written.
    closed: bool,
}

impl<T: Transport> TlsStream<T> {
    /// Does the handshake of a client. `host` is the name or the IP address of the server, for which its certificate has to be
    /// valid.
    ///
    /// # Errors
    ///
    /// - [`Error::Tls`] with the cause;
    /// - [`Error::Url`] if `host` is not valid;
    /// - [`Error::Timeout`] after `timeout`;
    /// - [`Error::HandshakeEof`] if the stream ends, and [`Error::Io`] if it fails.
    pub fn client(
        stream: T,
        host: &str,
        config: Arc<ClientConfig>,
        timeout: Option<Duration>,
    ) -> Result<Self> {
        let name = ServerName::try_from(host).map_err(|_| UrlError::Host)?.to_owned();
        let connection = ClientConnection::new(config, name)?;
        Self::handshake(stream, connection.into(), timeout)
    }

    /// Does the handshake of a server.
    ///
    /// # Errors
    ///
    /// The same as for [`client`](Self::client).
    pub fn server(stream: T, config: Arc<ServerConfig>, timeout: Option<Duration>) -> Result<Self> {
        let connection = ServerConnection::new(config)?;
        Self::handshake(stream, connection.into(), timeout)
    }

    /// Returns the underlying stream. Reading from it or writing to it breaks the connection.
    pub fn get_ref(&self) -> &T {
        &self.stream
    }

    /// Calls `f` with the TLS connection, to look at what was agreed in the handshake, such as the peer's certificates or the
    /// name that a client asked for. Reads and writes wait until `f` returns.
    pub fn with_connection<R>(&self, f: impl FnOnce(&Connection) -> R) -> R {
        f(&self.shared.connection())
    }

    fn new(stream: T, shared: Arc<TlsState>) -> Self {
        Self { stream, write_timeout: Mutex::default(), shared }
    }

    fn handshake(stream: T, mut connection: Connection, timeout: Option<Duration>) -> Result<Self> {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        connection.set_buffer_limit(Some(MAX_ENCRYPTED));
        let shared = TlsState {
            incoming: Mutex::new(Ciphertext::new()),
            outgoing: Mutex::default(),
            connection: Mutex::new(connection),
        };
        let mut tls = Self::new(stream, Arc::new(shared));
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Error::Timeout(Deadline::Handshake));
            }
            match tls.handshake_step(left.map(|left| left.max(MIN_WAIT))) {
                Ok(true) => return Ok(tls),
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => {
                    return Err(Error::Timeout(Deadline::Handshake));
                }
                Err(error) if is_loss(&error) => return Err(Error::HandshakeEof),
                Err(error) => return Err(name_cause(error.into())),
            }
        }
    }

    /// Writes what is queued. Then reads once, unless the handshake is complete, which it returns.
    fn handshake_step(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        self.set_timeouts(timeout)?;
        self.flush()?;
        if !self.shared.connection().is_handshaking() {
            self.set_timeouts(None)?;
            return Ok(true);
        }
        let result = {
            let mut incoming = self.shared.incoming();
            if incoming.read(&mut self.stream)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // What follows the handshake is decrypted later.
            let mut connection = self.shared.connection();
            let mut result = Ok(());
            while result.is_ok() && connection.is_handshaking() && !incoming.is_empty() {
                result = incoming.feed(&mut connection);
            }
            result
        };
        if result.is_err() {
            self.tell();
        }
        result.map(|()| false)
    }

    fn set_timeouts(&self, timeout: Option<Duration>) -> io::Result<()> {
        for result in
            [self.stream.set_write_timeout(timeout), self.stream.set_read_timeout(timeout)]
        {
            match result {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Writes an alert that the reader owes, unless another thread is about to.
    fn tell(&mut self) {
        if let Some(outgoing) = self.shared.try_outgoing() {
            let _ = write_all(&mut self.stream, &self.shared, outgoing);
        }
    }
}

impl<T: Transport> Read for TlsStream<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let result = read(&mut self.stream, &self.shared, buffer);
        if self.shared.connection().wants_write() {
            self.tell();
        }
        result
    }
}

impl<T: Transport> Write for TlsStream<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// Encrypts the slices as one sequence of bytes. A record can contain parts of several slices.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut outgoing = self.shared.outgoing();
        if outgoing.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if outgoing.left().len() >= MAX_ENCRYPTED {
            outgoing.write(&mut self.stream)?;
        }
        let mut connection = self.shared.connection();
        let taken = connection.writer().write_vectored(slices)?;
        outgoing.take_from(&mut connection)?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all(&mut self.stream, &self.shared, self.shared.outgoing())?;
        self.stream.flush()
    }
}

impl<T: Transport> Transport for TlsStream<T> {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        *lock(&self.write_timeout) = timeout;
        self.stream.set_write_timeout(timeout)
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.stream.set_nonblocking(nonblocking)
    }

    /// Sends the encrypted data and `close_notify`, as far as the underlying stream takes them within the write
    /// time-out, and shuts down its write side.
    ///
    /// While another thread is blocked in a write, nothing can be sent. That write fails, as it would without
    /// TLS.
    fn shutdown_write(&mut self) -> io::Result<()> {
        let timeout = *lock(&self.write_timeout);
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        while let Some(mut outgoing) = self.shared.try_outgoing() {
            outgoing.closed = true;
            self.shared.connection().send_close_notify();
            let result = write_all(&mut self.stream, &self.shared, outgoing);
            let partly = result.is_err_and(|error| error.kind() == io::ErrorKind::Interrupted);
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if !partly || left.is_some_and(|left| left.is_zero()) {
                break;
            }
            self.stream.set_write_timeout(left)?;
        }
        self.stream.shutdown_write()
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::new(self.stream.try_clone()?, self.shared.clone()))
    }
}

impl TlsState {
    fn incoming(&self) -> MutexGuard<'_, Ciphertext> {
        lock(&self.incoming)
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        lock(&self.outgoing)
    }

    fn try_outgoing(&self) -> Option<MutexGuard<'_, Outgoing>> {
        try_lock(&self.outgoing)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        lock(&self.connection)
    }
}

/// Decrypts data that was read before or, if there is none, reads once. If that read brings only a part of a record,
/// the error [`Interrupted`](io::ErrorKind::Interrupted) asks the caller to look at the time and to call again.
fn read(stream: &mut impl Read, shared: &TlsState, buffer: &mut [u8]) -> io::Result<usize> {
    let mut incoming = shared.incoming();
    if let Some(count) = incoming.decrypt(&mut shared.connection(), buffer)? {
        return Ok(count);
    }
    if incoming.read(stream)? == 0 {
        shared.connection().read_tls(&mut io::empty())?;
    }
    let decrypted = incoming.decrypt(&mut shared.connection(), buffer)?;
    decrypted.ok_or_else(|| io::ErrorKind::Interrupted.into())
}

/// Writes the queue. If a reader found the lock taken, what it left is written, too.
fn write_all<'s>(
    stream: &mut impl Write,
    shared: &'s TlsState,
    mut outgoing: MutexGuard<'s, Outgoing>,
) -> io::Result<()> {
    loop {
        outgoing.take_from(&mut shared.connection())?;
        outgoing.write(stream)?;
        drop(outgoing);
        if !shared.connection().wants_write() {
            return Ok(());
        }
        outgoing = match shared.try_outgoing() {
            Some(outgoing) => outgoing,
            None => return Ok(()),
        };
    }
}

impl Ciphertext {
    fn new() -> Self {
        Self { buffer: vec![0; MAX_READ].into(), start: 0, end: 0 }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Reads once. Everything that was read before must have been decrypted.
    fn read(&mut self, stream: &mut impl Read) -> io::Result<usize> {
        (self.start, self.end) = (0, 0);
        self.end = stream.read(&mut self.buffer)?;
        Ok(self.end)
    }

    /// Passes some of the bytes to the connection.
    fn feed(&mut self, connection: &mut Connection) -> io::Result<()> {
        let mut bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
        let count = connection.read_tls(&mut bytes)?;
        self.start = self.start.saturating_add(count);
        connection.process_new_packets().map_err(into_io)?;
        Ok(())
    }

    /// Decrypts as much as there is room for. Returns `None` if more has to be read.
    fn decrypt(
        &mut self,
        connection: &mut Connection,
        buffer: &mut [u8],
    ) -> io::Result<Option<usize>> {
        let mut filled = 0_usize;
        // The error is returned after the data before it. The next call fails with it again.
        let mut fault = None;
        loop {
            let free = buffer.get_mut(filled..).unwrap_or_default();
            let error = match connection.reader().read(free) {
                // The peer has ended the stream, or there is no room left.
                Ok(0) => return Ok(Some(filled)),
                Ok(count) => {
                    filled = filled.saturating_add(count);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => fault,
                Err(error) => Some(error),
            };
            match error {
                None if !self.is_empty() => fault = self.feed(connection).err(),
                _ if filled > 0 => return Ok(Some(filled)),
                Some(error) => return Err(error),
                None => {
                    connection.process_new_packets().map_err(into_io)?;
                    return Ok(None);
                }
            }
        }
    }
}

impl Outgoing {
    fn left(&self) -> &[u8] {
        self.queue.get(self.written..).unwrap_or_default()
    }

    /// Queues what the connection has encrypted.
    fn take_from(&mut self, connection: &mut Connection) -> io::Result<()> {
        while connection.wants_write() {
            connection.write_tls(&mut self.queue)?;
        }
        Ok(())
    }

    /// Writes the queue. If the stream takes only a part of it, the error [`Interrupted`](io::ErrorKind::Interrupted) asks the
    /// caller to look at the time and to call again.
    fn write(&mut self, stream: &mut impl Write) -> io::Result<()> {
        while !self.left().is_empty() {
            match stream.write(self.left()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.written = self.written.saturating_add(count);
                    if !self.left().is_empty() {
                        self.forget_written();
                        return Err(io::ErrorKind::Interrupted.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.queue.clear();
        self.queue.shrink_to(KEPT_ROOM);
        self.written = 0;
        Ok(())
    }

    /// Removes written bytes once there are more of them than of the others. So a queue that is never empty does not
    /// grow, and each byte is moved at most once.
    fn forget_written(&mut self) {
        if self.written > self.left().len() {
            self.queue.drain(..self.written);
            self.written = 0;
        }
    }
}

/// Replaces the error of a failed handshake if its cause is that the peer does not speak TLS.
fn name_cause(error: Error) -> Error {
    match error {
        Error::Tls(TlsError::Failed(rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType,
        ))) => TlsError::NotTls.into(),
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_long_queue_is_given_back() {
        let mut outgoing = Outgoing { queue: vec![0; 100_000], ..Outgoing::default() };
        let mut written = Vec::new();
        outgoing.write(&mut written).unwrap();
        assert_eq!((written.len(), outgoing.left().len()), (100_000, 0));
        assert!(outgoing.queue.capacity() <= KEPT_ROOM);
    }

    /// Takes a little at a time.
    struct Slow;

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len().min(1000))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_queue_that_is_never_empty_does_not_grow() {
        let mut outgoing = Outgoing::default();
        for _ in 0..2000 {
            if outgoing.left().len() >= MAX_ENCRYPTED {
                let error = outgoing.write(&mut Slow).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::Interrupted);
            } else {
                outgoing.queue.extend_from_slice(&[0; MAX_ENCRYPTED]);
            }
            assert!(
                outgoing.queue.capacity() <= 8 * MAX_ENCRYPTED,
                "{}",
                outgoing.queue.capacity()
            );
        }
    }
}
