//! The handshake with a proxy, which opens a tunnel to the server: HTTP CONNECT (RFC 9110 §9.3.6) and SOCKS5 (RFC
//! 1928).
//!
//! If the proxy agrees, the stream becomes a tunnel to the server. TLS and the opening handshake then go through the
//! tunnel as they would over a direct connection. The proxy resolves the server's name. The stream to the proxy itself
//! is not encrypted, so anyone who can read it sees the server's name and the credentials for the proxy.
//!
//! [`ProxyHandshake`] implements both. It does no I/O, has no clock and needs no allocator. A driver calls
//! [`next`](ProxyHandshake::next) in a loop, and does what the result says:
//!
//! ```
//! use std::io::{self, Read, Write};
//! use ws_core::proxy::{ProxyHandshake, ProxyStep};
//!
//! /// Opens a tunnel over a stream that leads to the proxy.
//! fn open_tunnel(
//!     stream: &mut (impl Read + Write),
//!     mut proxy: ProxyHandshake<'_>,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut received = Vec::new();
//!     let mut out = [0; 1024];
//!     loop {
//!         match proxy.next(&received, &mut out)? {
//!             ProxyStep::Write(length) => stream.write_all(&out[..length])?,
//!             ProxyStep::Read(length) => {
//!                 // Reading no more than that avoids reading bytes of the tunnel.
//!                 match stream.take(length as u64).read_to_end(&mut received)? {
//!                     0 => proxy.receive_eof(),
//!                     _ => {}
//!                 }
//!             }
//!             ProxyStep::Open(_) => return Ok(()),
//!         }
//!     }
//! }
//!
//! # struct Stream(&'static [u8], Vec<u8>);
//! # impl Read for Stream {
//! #     fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> { self.0.read(buffer) }
//! # }
//! # impl Write for Stream {
//! #     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> { self.1.write(bytes) }
//! #     fn flush(&mut self) -> io::Result<()> { Ok(()) }
//! # }
//! # let mut stream = Stream(b"HTTP/1.1 200 OK\r\n\r\nthe tunnel", Vec::new());
//! open_tunnel(&mut stream, ProxyHandshake::http("example.com", 443, None)?)?;
//! # assert_eq!(stream.0, b"the tunnel");
//! # assert_eq!(stream.1, b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod http;
mod socks5;
mod target;

use core::fmt;

pub use error::{Excerpt, ProxyError};

use crate::handshake::OpenError;
use http::HttpConnect;
use socks5::Socks5;
use target::Target;

/// A client's handshake with a proxy.
///
/// `Debug` shows the server, but neither the user nor the password.
#[derive(Clone)]
pub struct ProxyHandshake<'a> {
    target: Target<'a>,
    credentials: Option<(&'a str, &'a str)>,
    protocol: Protocol,
    /// Whether no more bytes will come.
    ended: bool,
    outcome: Option<Result<usize, ProxyError>>,
}

/// The protocol that the proxy speaks, with the state of its handshake.
#[derive(Clone, Debug)]
enum Protocol {
    Http(HttpConnect),
    Socks5(Socks5),
}

/// What a driver has to do next, as returned by [`ProxyHandshake::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyStep {
    /// Write this many bytes from the start of the output to the proxy, all of them.
    Write(usize),
    /// Read from the proxy. At least this many bytes are missing. If you never read more than that, you do not read
    /// bytes of the tunnel. If you read more, [`Open`](Self::Open) contains where the tunnel begins.
    Read(usize),
    /// The tunnel is open. This many of the received bytes came from the proxy. The bytes after them, if any, came
    /// through the tunnel, and are the first bytes from the server.
    Open(usize),
}

impl<'a> ProxyHandshake<'a> {
    /// Returns a handshake that uses HTTP CONNECT (RFC 9110 §9.3.6).
    ///
    /// The tunnel leads to `host` and `port`. The host is a name, which the proxy resolves, or an IP address. An IPv6
    /// address may be in brackets. The credentials are a user and a password, and go to the proxy without encryption
    /// (`Basic`, RFC 7617).
    ///
    /// Interim responses are skipped. Any 2xx opens the tunnel; fields that describe a body are ignored. All heads
    /// together can have [`DEFAULT_MAX_HEAD`](crate::handshake::DEFAULT_MAX_HEAD) bytes, and each of them
    /// [`DEFAULT_MAX_FIELDS`](crate::handshake::DEFAULT_MAX_FIELDS) fields.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError::InvalidHost`] if `host` is not a host or is a name of more than 255 bytes, or if the port
    /// is 0. Returns [`OpenError::InvalidCredentials`] if the credentials contain a control character or the user
    /// contains a colon.
    pub fn http(
        host: &'a str,
        port: u16,
        credentials: Option<(&'a str, &'a str)>,
    ) -> Result<Self, OpenError> {
        http::check(credentials)?;
        Self::new(host, port, credentials, Protocol::Http(HttpConnect::new()))
    }

    /// Returns a handshake that uses SOCKS5 (RFC 1928).
    ///
    /// The tunnel leads to `host` and `port`. The host is a name, which the proxy resolves, or an IP address. An IPv6
    /// address may be in brackets. The credentials are a user and a password. They are sent only if the proxy asks for
    /// them (RFC 1929), and without encryption.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError::InvalidHost`] if `host` is not a host or is a name of more than 255 bytes, or if the port
    /// is 0. Returns [`OpenError::InvalidCredentials`] if the user or the password does not have 1 to 255 bytes.
    pub fn socks5(
        host: &'a str,
        port: u16,
        credentials: Option<(&'a str, &'a str)>,
    ) -> Result<Self, OpenError> {
        socks5::check(credentials)?;
        Self::new(host, port, credentials, Protocol::Socks5(Socks5::new()))
    }

    fn new(
        host: &'a str,
        port: u16,
        credentials: Option<(&'a str, &'a str)>,
        protocol: Protocol,
    ) -> Result<Self, OpenError> {
        let target = Target::parse(host, port).ok_or(OpenError::InvalidHost)?;
        Ok(Self { target, credentials, protocol, ended: false, outcome: None })
    }

    /// Returns what to do next.
    ///
    /// `received` contains all bytes from the proxy so far, from the first one on. The result does not depend on how
    /// they were cut. For HTTP it can grow to 32 KiB plus the bytes of one read, and for SOCKS5 to 266 bytes. The bytes
    /// to write are put into `out`. With a host and credentials of usual length, 1024 bytes are enough.
    ///
    /// # Errors
    ///
    /// Returns a [`ProxyError`] if the proxy refuses or its answer is not valid. Drop the stream then. Every further
    /// call returns the same error. The exception is [`OpenError::BufferTooSmall`]: call this again with a longer
    /// `out`.
    pub fn next(&mut self, received: &[u8], out: &mut [u8]) -> Result<ProxyStep, ProxyError> {
        if let Some(outcome) = self.outcome {
            return outcome.map(ProxyStep::Open);
        }
        let step = match &mut self.protocol {
            Protocol::Http(http) => {
                http.next(&self.target, self.credentials, received, self.ended, out)
            }
            Protocol::Socks5(socks5) => socks5.next(&self.target, self.credentials, received, out),
        };
        let step = match step {
            Ok(ProxyStep::Read(_)) if self.ended => Err(ProxyError::Eof),
            step => step,
        };
        match step {
            Ok(ProxyStep::Open(length)) => self.outcome = Some(Ok(length)),
            Ok(_) | Err(ProxyError::Open(_)) => {}
            Err(error) => self.outcome = Some(Err(error)),
        }
        step
    }

    /// Reports that no more bytes will come, because the proxy has ended the stream or the driver no longer waits for
    /// it.
    ///
    /// After this, [`next`](Self::next) returns an error instead of [`Read`](ProxyStep::Read). If the proxy has
    /// refused, the error is [`ProxyError::Refused`] with the part of the body that was received. Otherwise it is
    /// [`ProxyError::Eof`].
    pub fn receive_eof(&mut self) {
        self.ended = true;
    }
}

impl fmt::Debug for ProxyHandshake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyHandshake")
            .field("target", &self.target)
            .field("credentials", &self.credentials.is_some())
            .field("protocol", &self.protocol)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}
