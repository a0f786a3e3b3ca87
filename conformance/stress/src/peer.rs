//! Peers that are played byte by byte.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ws_std::TlsStream;
use ws_std::rustls::ClientConfig;

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;

/// The longest that anything here waits for.
pub const LONG: Duration = Duration::from_secs(20);

/// A client's request for a path.
pub fn request(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// A client's frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// One end of a TCP connection.
#[derive(Debug)]
pub struct Peer {
    pub tcp: TcpStream,
    /// The session of TLS over the same connection, if there is one.
    tls: Option<TlsStream>,
    /// A moment before it connected.
    since: Instant,
}

/// How a peer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Fin,
    Reset,
    HalfClose,
}

impl Peer {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let since = Instant::now();
        let tcp = TcpStream::connect_timeout(&address, LONG)?;
        tcp.set_read_timeout(Some(LONG))?;
        tcp.set_write_timeout(Some(LONG))?;
        tcp.set_nodelay(true)?;
        Ok(Self { tcp, tls: None, since })
    }

    /// A peer that does the handshake of TLS, and then speaks inside the session.
    pub fn connect_tls(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        let mut peer = Self::connect(address)?;
        let tls = TlsStream::client(peer.tcp.try_clone()?, "localhost", config, Some(LONG))?;
        // The handshake has replaced the time-outs.
        peer.tcp.set_read_timeout(Some(LONG))?;
        peer.tcp.set_write_timeout(Some(LONG))?;
        peer.tls = Some(tls);
        Ok(peer)
    }

    pub fn open(address: SocketAddr, path: &str) -> io::Result<Self> {
        let mut peer = Self::connect(address)?;
        peer.upgrade(path)?;
        Ok(peer)
    }

    /// Does the opening handshake.
    pub fn upgrade(&mut self, path: &str) -> io::Result<()> {
        self.write(&request(path))?;
        let head = self.head()?;
        if head.starts_with("HTTP/1.1 101 ") { Ok(()) } else { Err(io::Error::other(head)) }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return self.tcp.write_all(bytes) };
        tls.write_all(bytes)?;
        // An interrupted flush has written a part.
        loop {
            match tls.flush() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.read_exact(bytes),
            None => self.tcp.read_exact(bytes),
        }
    }

    pub fn head(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            self.read(&mut byte)?;
            head.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&head).into_owned())
    }

    /// The next frame: its first byte and its payload.
    pub fn frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.read(&mut head)?;
        let len = match head[1] {
            126 => {
                let mut len = [0; 2];
                self.read(&mut len)?;
                u64::from(u16::from_be_bytes(len))
            }
            127 => {
                let mut len = [0; 8];
                self.read(&mut len)?;
                u64::from_be_bytes(len)
            }
            len => u64::from(len),
        };
        if len > 64 << 20 || head[1] & 0x80 != 0 {
            return Err(io::Error::other("not a server's frame"));
        }
        let mut payload = vec![0; len as usize];
        self.read(&mut payload)?;
        Ok((head[0], payload))
    }

    /// Reads frames until a Close frame. Returns its code.
    pub fn close_code(&mut self) -> io::Result<u16> {
        loop {
            let (first, payload) = self.frame()?;
            if first == CLOSE {
                return Ok(payload
                    .get(..2)
                    .map_or(1005, |code| u16::from_be_bytes([code[0], code[1]])));
            }
        }
    }

    /// Fails if the server has sent something, or ended the connection, less than `least` after it began.
    pub fn is_kept_for(&self, least: Duration) -> Result<(), String> {
        self.tcp.set_nonblocking(true).map_err(|error| error.to_string())?;
        // What a server sends would be a refusal.
        let open = matches!(self.tcp.peek(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.tcp.set_nonblocking(false).map_err(|error| error.to_string())?;
        let after = self.age();
        if open || after >= least { Ok(()) } else { Err(format!("ended after {after:?} already")) }
    }

    /// How long ago it began to connect.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Waits until the server has ended the connection, by whatever means; drops what arrives.
    pub fn wait_for_end(&mut self, most: Duration) -> Result<(), String> {
        let begun = Instant::now();
        let mut buffer = [0; 4096];
        loop {
            let left = most.saturating_sub(begun.elapsed()).max(Duration::from_millis(1));
            let _ = self.tcp.set_read_timeout(Some(left));
            match self.tcp.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) if begun.elapsed() < most => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) => return Err(format!("still open after {most:?}")),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    return Err(format!("still open after {most:?}"));
                }
                Err(_) => return Ok(()),
            }
        }
    }

    /// Leaves. After half a close, the peer has to be kept until the server ends the connection.
    pub fn exit(self, how: Exit) -> Option<Self> {
        match how {
            Exit::Fin => None,
            Exit::Reset => {
                let _ = rustix::net::sockopt::set_socket_linger(&self.tcp, Some(Duration::ZERO));
                None
            }
            Exit::HalfClose => {
                let _ = self.tcp.shutdown(Shutdown::Write);
                Some(self)
            }
        }
    }
}

/// Runs `count` peers at once, `threads` at a time; fails with the first that does.
pub fn crowd(
    count: usize,
    threads: usize,
    play: impl Fn(usize) -> Result<(), String> + Sync,
) -> Result<(), String> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if n >= count {
                            return Ok(());
                        }
                        play(n).map_err(|error| format!("peer {n}: {error}"))?;
                    }
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a panic")?)
    })
}
