//! The handshake with a proxy, before the connection to the server: HTTP CONNECT (RFC 9110 §9.3.6) and SOCKS5
//! (RFC 1928).
//!
//! A proxy that agrees turns the stream into a tunnel to the server. TLS and the opening handshake then go through the
//! tunnel as they would go over a connection of one's own. The proxy resolves the server's name. The stream to the
//! proxy itself is not encrypted: whoever can read it sees the name of the server and the credentials for the proxy.
//!
//! [`ProxyHandshake`] is such a handshake. It reads no stream, knows no clock and needs no allocator. A driver asks
//! [`next`](ProxyHandshake::next) in a loop, and does what the answer says:
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
//!                 // No more than that, so that nothing is read that belongs to the tunnel.
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
/// `Debug` shows the server, and neither the user nor the password.
#[derive(Clone)]
pub struct ProxyHandshake<'a> {
    target: Target<'a>,
    credentials: Option<(&'a str, &'a str)>,
    protocol: Protocol,
    /// No more bytes will come.
    ended: bool,
    outcome: Option<Result<usize, ProxyError>>,
}

/// The protocol that the proxy speaks, and how far its handshake is.
#[derive(Clone, Debug)]
enum Protocol {
    Http(HttpConnect),
    Socks5(Socks5),
}

/// What the driver of a [`ProxyHandshake`] has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyStep {
    /// It writes the first so many bytes of its output to the proxy, all of them.
    Write(usize),
    /// It reads from the proxy. At least so many bytes are still missing. If it reads no more than that at a time, it
    /// never reads a byte of the tunnel. If it reads more, [`Open`](Self::Open) tells where the tunnel begins.
    Read(usize),
    /// The tunnel is open. This many of the received bytes came from the proxy; those behind them, if any, came through
    /// the tunnel, and are the first that the server has sent.
    Open(usize),
}

impl<'a> ProxyHandshake<'a> {
    /// Makes the handshake for HTTP CONNECT (RFC 9110 §9.3.6).
    ///
    /// The tunnel is to lead to `host` and `port`: a name, which the proxy resolves, or an IP address, with or without
    /// the brackets of IPv6. The credentials are a user and a password, which go to the proxy without encryption
    /// (`Basic`, RFC 7617). Interim responses are skipped. Any 2xx opens the tunnel, whatever its fields say of a body.
    /// The heads may have [`DEFAULT_MAX_HEAD`](crate::handshake::DEFAULT_MAX_HEAD) bytes together, and each of them
    /// [`DEFAULT_MAX_FIELDS`](crate::handshake::DEFAULT_MAX_FIELDS) fields.
    ///
    /// # Errors
    ///
    /// [`OpenError::InvalidHost`] for what is no host, a name of more than 255 bytes, or the port 0.
    /// [`OpenError::InvalidCredentials`] for a control character, or a colon in the user.
    pub fn http(
        host: &'a str,
        port: u16,
        credentials: Option<(&'a str, &'a str)>,
    ) -> Result<Self, OpenError> {
        http::check(credentials)?;
        Self::new(host, port, credentials, Protocol::Http(HttpConnect::new()))
    }

    /// Makes the handshake for SOCKS5 (RFC 1928).
    ///
    /// The tunnel is to lead to `host` and `port`: a name, which the proxy resolves, or an IP address, with or without
    /// the brackets of IPv6. With credentials, which are a user and a password, the proxy may ask for them
    /// (RFC 1929) or not. They go to the proxy without encryption.
    ///
    /// # Errors
    ///
    /// [`OpenError::InvalidHost`] for what is no host, a name of more than 255 bytes, or the port 0.
    /// [`OpenError::InvalidCredentials`] for a user or a password that does not have 1 to 255 bytes.
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
    /// `received` is all that has come from the proxy so far, from the first byte on. How it was cut changes nothing.
    /// For HTTP it grows to 32 KiB and the bytes of one read at most, for SOCKS5 to 266 bytes. `out` takes what is to be
    /// written: with a host and credentials of usual length, 1024 bytes suffice.
    ///
    /// # Errors
    ///
    /// [`ProxyError`]: the proxy has refused, or its answer is not valid. Drop the stream then. Each further call
    /// returns the same error, except for [`OpenError::BufferTooSmall`], after which a call with a longer `out` goes on.
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

    /// Tells that nothing more will come: the proxy has ended the stream, or the driver no longer waits for it.
    ///
    /// The next answer that would be [`Read`](ProxyStep::Read) is an error: [`ProxyError::Refused`] with as much of the
    /// body as has come, if the proxy has refused, otherwise [`ProxyError::Eof`].
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
