//! Opens connections to an echo server, leaves them idle, keeps some of them busy, and reports what the
//! server has needed for that, as Linux tells it.
//!
//! `load PROGRAM [--raw] [--connections N] [--active N] [--in-flight N] [--size BYTES] [--messages N]
//! [--max-idle BYTES]` starts `PROGRAM 127.0.0.1:0`, which prints `listening on ws://ADDR`. With `--raw` it
//! echoes bytes, not messages. It fails when an idle connection takes more than `--max-idle`.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A program that is ended with this value.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(program: &str) -> Result<Self> {
        let mut child = Command::new(program).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().rsplit("//").next().ok_or("no address")?.parse()?;
        Ok(Self { child, address })
    }

    fn proc(&self, file: &str) -> Result<String> {
        Ok(std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))?)
    }

    /// Resident memory in bytes.
    fn resident(&self) -> Result<u64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line.ok_or("no VmRSS")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// Nanoseconds that the server has run for; it has one thread.
    fn ran(&self) -> Result<u64> {
        Ok(self.proc("schedstat")?.split(' ').next().ok_or("no schedstat")?.parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A binary message with a mask, or the same without.
fn frame(payload: &[u8], mask: bool) -> Vec<u8> {
    let bit = if mask { 0x80 } else { 0 };
    let mut frame = vec![0x82];
    match payload.len() {
        len @ 0..=125 => frame.push(bit | len as u8),
        len @ 126..=65535 => {
            frame.push(bit | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(bit | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    if mask {
        frame.extend(KEY);
    }
    let key = if mask { KEY } else { [0; 4] };
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

fn open(server: &Server, raw: bool) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_nodelay(true)?;
    if raw {
        return Ok(stream);
    }
    stream.write_all(REQUEST)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 512];
        let count = stream.read(&mut byte)?;
        if count == 0 {
            return Err("the server has closed the connection".into());
        }
        head.extend_from_slice(&byte[..count]);
    }
    let accepted = head.windows(ACCEPT.len()).any(|part| part == ACCEPT);
    if accepted { Ok(stream) } else { Err(String::from_utf8_lossy(&head).into()) }
}

/// Sends `sent` and waits for `expected`, byte for byte.
fn round_trip(stream: &mut TcpStream, sent: &[u8], expected: &[u8]) -> Result<()> {
    stream.write_all(sent)?;
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got)?;
    if got == expected { Ok(()) } else { Err("the echo is another".into()) }
}

struct Active {
    stream: mio::net::TcpStream,
    unwritten: Vec<u8>,
    /// Bytes of an echo that has come in part, echoes that are yet to come, messages yet to be sent.
    part: usize,
    awaited: usize,
    unsent: usize,
}

/// Keeps connections busy with so many messages each and `in_flight` of them on their way.
fn busy(
    streams: Vec<TcpStream>,
    (sent, echo_len): (&[u8], usize),
    messages: usize,
    in_flight: usize,
) -> Result<Vec<TcpStream>> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    let mut all = Vec::new();
    for (id, stream) in streams.into_iter().enumerate() {
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(id), interest)?;
        let first = in_flight.min(messages);
        let unsent = messages - first;
        let unwritten = sent.repeat(first);
        all.push(Active { stream, unwritten, part: 0, awaited: messages, unsent });
    }
    let mut left = all.len();
    let mut buffer = vec![0; 256 * 1024];
    while left > 0 {
        poll.poll(&mut events, Some(Duration::from_secs(30)))?;
        if events.is_empty() {
            return Err("the server has not answered for 30 seconds".into());
        }
        for event in &events {
            let active = &mut all[event.token().0];
            if active.awaited == 0 {
                continue;
            }
            loop {
                while !active.unwritten.is_empty() {
                    match active.stream.write(&active.unwritten) {
                        Ok(count) => drop(active.unwritten.drain(..count)),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error.into()),
                    }
                }
                let count = match active.stream.read(&mut buffer) {
                    Ok(0) => return Err("the server has closed a busy connection".into()),
                    Ok(count) => count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                };
                let echoes = (active.part + count) / echo_len;
                active.part = (active.part + count) % echo_len;
                active.awaited -= echoes;
                let next = echoes.min(active.unsent);
                active.unsent -= next;
                active.unwritten.extend(sent.repeat(next));
                if active.awaited == 0 {
                    left -= 1;
                    break;
                }
            }
        }
    }
    all.into_iter()
        .map(|active| {
            let stream = TcpStream::from(std::os::fd::OwnedFd::from(active.stream));
            stream.set_nonblocking(false)?;
            Ok(stream)
        })
        .collect()
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let program = args.next().ok_or("which program?")?;
    let mut options: HashMap<String, usize> = HashMap::new();
    let mut raw = false;
    while let Some(name) = args.next() {
        if name == "--raw" {
            raw = true;
        } else {
            let value = args.next().ok_or("an option without a value")?.parse()?;
            options.insert(name, value);
        }
    }
    let mut option = |name: &str, default: usize| options.remove(name).unwrap_or(default);
    let (connections, active) = (option("--connections", 10_000), option("--active", 1_000));
    let (in_flight, size) = (option("--in-flight", 1), option("--size", 32));
    let (messages, max_idle) = (option("--messages", 200), option("--max-idle", usize::MAX));
    if let Some(name) = options.keys().next() {
        return Err(format!("there is no option {name}").into());
    }

    let payload: Vec<u8> = (0..size).map(|at| at as u8).collect();
    let (sent, echo) = (frame(&payload, true), frame(&payload, false));
    let echo = if raw { sent.clone() } else { echo };

    let server = Server::start(&program)?;
    // What the server needs once is not the cost of a connection.
    round_trip(&mut open(&server, raw)?, &sent, &echo)?;
    let before = server.resident()?;
    let started = Instant::now();
    let mut streams = Vec::new();
    for _ in 0..connections {
        let mut stream = open(&server, raw)?;
        round_trip(&mut stream, &sent, &echo)?;
        streams.push(stream);
    }
    let each = server.resident()?.saturating_sub(before) / connections.max(1) as u64;
    println!(
        "{connections} idle connections, each after an echo: {each} bytes resident each ({:.1?} to open)",
        started.elapsed()
    );
    if each > max_idle as u64 {
        return Err(format!("more than {max_idle} bytes").into());
    }
    if active > 0 {
        let ran = server.ran()?;
        let started = Instant::now();
        let busy_ones = streams.split_off(streams.len() - active.min(streams.len()));
        let count = busy_ones.len() * messages;
        streams.extend(busy(busy_ones, (&sent, echo.len()), messages, in_flight)?);
        let each = (server.ran()? - ran) / count.max(1) as u64;
        println!(
            "{active} of them active, {in_flight} in flight, {size} bytes: {each} ns of CPU per message \
             ({count} messages in {:.1?})",
            started.elapsed()
        );
    }
    // All are still there.
    for stream in &mut streams {
        round_trip(stream, &sent, &echo)?;
    }
    println!("all {connections} connections still echo");
    Ok(())
}
