//! Peers that are played byte by byte. Every wait is bounded.
#![allow(dead_code, unreachable_pub)]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ws_std::ws_core::Endpoint;
use ws_std::{AcceptResponse, CloseInfo, Config, Incoming, ListenerBuilder, Transport, WebSocket};

/// More than anything here takes unless it hangs.
pub const LONG: Duration = slow_millis(60_000);

/// The core counts whole milliseconds, so a time-out that begins in the middle of one may end up to this much too early.
pub const RESOLUTION: Duration = Duration::from_millis(1);

/// How many times longer than usual the time-outs are that are tested beside work: a sanitiser makes the work slow.
pub const SLOWNESS: u32 = if cfg!(sanitised) { 5 } else { 1 };

/// So many milliseconds, times [`SLOWNESS`].
pub const fn slow_millis(millis: u64) -> Duration {
    Duration::from_millis(millis * SLOWNESS as u64)
}

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// Runs `work` on a thread of its own; fails when it hangs.
pub fn within<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    finish(thread::spawn(work))
}

/// Joins a thread; fails when it hangs.
pub fn finish<T: Send + 'static>(thread: JoinHandle<T>) -> T {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        let _ = done.send(thread.join());
    });
    match wait.recv_timeout(LONG).expect("the thread hangs") {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// A frame: the first byte as it is, the payload masked when there is a key.
pub fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mut frame = vec![first];
    let mask = if key.is_some() { 0x80 } else { 0 };
    match payload.len() {
        len @ 0..126 => frame.push(mask | len as u8),
        len @ 126..=0xffff => {
            frame.push(mask | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(mask | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    match key {
        None => frame.extend(payload),
        Some(key) => {
            frame.extend(key);
            frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
    }
    frame
}

/// A client's frame.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, Some([0x37, 0xfa, 0x21, 0x3d]))
}

/// The payload of a Close frame.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub first: u8,
    pub key: Option<[u8; 4]>,
    pub payload: Vec<u8>,
}

/// One end of a TCP connection in the hands of a test.
#[derive(Debug)]
pub struct Raw {
    pub stream: TcpStream,
}

impl Raw {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    pub fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).unwrap())
    }

    /// A client whose opening handshake is done.
    pub fn open(address: SocketAddr) -> Self {
        let mut raw = Self::connect(address);
        raw.write(REQUEST.as_bytes());
        assert_eq!(raw.head(), RESPONSE);
        raw
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Up to and including the empty line.
    pub fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.exactly(1).expect("a whole head"));
        }
        String::from_utf8(head).unwrap()
    }

    pub fn exactly(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub fn frame(&mut self) -> Frame {
        let head = self.exactly(2).expect("a frame");
        let len = match head[1] & 0x7f {
            126 => u16::from_be_bytes(self.exactly(2).unwrap().try_into().unwrap()).into(),
            127 => u64::from_be_bytes(self.exactly(8).unwrap().try_into().unwrap()) as usize,
            len => usize::from(len),
        };
        let key: Option<[u8; 4]> =
            (head[1] & 0x80 != 0).then(|| self.exactly(4).unwrap().try_into().unwrap());
        let mut payload = self.exactly(len).expect("a whole frame");
        if let Some(key) = key {
            payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        }
        Frame { first: head[0], key, payload }
    }

    /// The next frame, which a server has sent.
    #[track_caller]
    pub fn expect(&mut self, first: u8, payload: &[u8]) {
        let frame = self.frame();
        let len = frame.payload.len();
        assert_eq!((frame.first, frame.key, len), (first, None, payload.len()), "{frame:.0?}");
        assert!(frame.payload == payload);
    }

    /// All that still comes; an error unless it ends by FIN.
    pub fn read_to_the_end(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }

    pub fn shutdown(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection by RST: on Linux that is what becomes of unread bytes.
    pub fn reset(self) {
        self.stream.peek(&mut [0]).unwrap();
    }
}

pub const REQUEST: &str = "GET /chat?x=1 HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

pub const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The value of a header field in a head.
pub fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The right answer to a request.
pub fn answer(head: &str) -> String {
    let mut out = [0; 1024];
    let key = field(head, "Sec-WebSocket-Key").unwrap();
    let len = AcceptResponse::new().write(key, &mut out).unwrap();
    String::from_utf8(out[..len].to_vec()).unwrap()
}

/// A server's WebSocket and the client that it is open to.
pub fn open(builder: ListenerBuilder) -> (WebSocket, Raw) {
    let listener = builder.bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = thread::spawn(move || Raw::open(address));
    let ws = within(move || listener.accept().unwrap().accept().unwrap());
    (ws, finish(client))
}

/// Serves one connection by `handler`.
pub fn serve<T: Send + 'static>(
    builder: ListenerBuilder,
    handler: impl FnOnce(Incoming) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = builder.bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, thread::spawn(move || handler(listener.accept().unwrap())))
}

/// Echoes until the connection is over, as everybody's first loop does.
pub fn echo<T: Transport>(ws: &mut WebSocket<T>) -> ws_std::Result<CloseInfo> {
    while let Some(message) = ws.read()? {
        ws.queue(message)?;
    }
    Ok(ws.close_info().unwrap().clone())
}

/// Two connected TCP streams.
pub fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// A server over a stream whose handshake is done.
pub fn server<T: Transport>(stream: T) -> WebSocket<T> {
    WebSocket::from_endpoint(Endpoint::server_after_handshake(Config::new(), b""), stream)
}

/// Waits until nothing more arrives at a peer that does not read, so that whoever writes to it is blocked.
pub fn until_blocked(peer: &TcpStream) {
    const STILL: Duration = Duration::from_millis(100);
    let mut buffer = vec![0; 32 << 20];
    let (begun, mut arrived, mut since) = (Instant::now(), 0, Instant::now());
    while arrived == 0 || since.elapsed() < STILL {
        assert!(begun.elapsed() < LONG, "it goes on: {arrived} bytes");
        let now = peer.peek(&mut buffer).unwrap();
        if now != arrived {
            (arrived, since) = (now, Instant::now());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// By what [`until_asleep`] knows the thread that calls it: its folder in Linux' /proc.
pub fn this_thread() -> Option<PathBuf> {
    let folder = std::fs::read_link("/proc/thread-self").ok()?;
    Some(Path::new("/proc").join(folder))
}

/// Waits until a thread sleeps, as in a system call that blocks. Other systems than Linux do not show that: it waits for a while.
pub fn until_asleep(thread: Option<PathBuf>) {
    let Some(thread) = thread else { return std::thread::sleep(Duration::from_millis(500)) };
    let begun = Instant::now();
    // The state follows the name, which is in parentheses. There is none once the thread has ended.
    while let Ok(stat) = std::fs::read_to_string(thread.join("stat")) {
        if stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S')) {
            return;
        }
        assert!(begun.elapsed() < LONG, "it does not sleep: {stat}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Takes one connection, within bounds.
pub fn accept(listener: &TcpListener) -> Raw {
    listener.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Raw::new(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                assert!(begun.elapsed() < LONG, "nobody connects");
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A server for one connection, played by `script`; its URL.
pub fn play<T: Send + 'static>(
    script: impl FnOnce(Raw) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    (url, thread::spawn(move || script(accept(&listener))))
}
