//! The load client. It keeps a server busy, or opens connections, and reports what Linux says that the server has needed for
//! that. It prints one line, an object of JSON.
//!
//! `load busy|idle|handshake|broadcast --port N --pid N [--processor N] [--raw] [--connections N] [--in-flight N]
//! [--size BYTES] [--seconds S] [--count N] [--wait] [--deflate]`
//!
//! `busy` keeps `in-flight` messages in flight on each connection, for about `seconds`. `idle` leaves `connections`
//! open after one echo each. `handshake` opens and closes `count` connections. `broadcast` sends `count` messages, each of
//! which everybody receives. With `--deflate`, a connection is idle after a compressed message of about 1,500 bytes, which fills
//! its windows. With `--raw`, the server echoes bytes instead of messages. With `--wait`, the client prints `ready` when everything
//! is warm, and waits for a line.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::time::ClockId;
use nix::unistd::Pid;
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The request of a browser, 480 bytes.
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1:9001\r\nConnection: Upgrade\r\nPragma: no-cache\r\n\
    Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/99.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\nOrigin: http://127.0.0.1:9001\r\n\
    Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// How many handshakes are done at the same time.
const WAVE: usize = 50;
/// The number of parts in which a busy server is measured.
const PARTS: usize = 5;
/// A server that is silent for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    pid: i32,
    port: u16,
    raw: bool,
}

impl Server {
    /// Returns the CPU time of all its threads, including those that have ended.
    fn cpu(&self) -> Result<Duration> {
        Ok(ClockId::pid_cpu_clock_id(Pid::from_raw(self.pid))?.now()?.into())
    }

    /// Returns the same, once the server is idle.
    fn cpu_at_rest(&self) -> Result<Duration> {
        let mut last = self.cpu()?;
        loop {
            thread::sleep(Duration::from_millis(20));
            let now = self.cpu()?;
            if now - last < Duration::from_micros(100) {
                return Ok(now);
            }
            last = now;
        }
    }

    /// Returns the resident memory in bytes.
    fn resident(&self) -> Result<usize> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).ok_or("no Rss")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn open(&self) -> Result<TcpStream> {
        let mut stream = self.connect()?;
        if !self.raw {
            stream.write_all(REQUEST.as_bytes())?;
            self.read_answer(&mut stream)?;
        }
        Ok(stream)
    }

    /// Returns the answer to [`REQUEST`]. A raw server sends the request back.
    fn read_answer(&self, stream: &mut TcpStream) -> Result<()> {
        let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut buffer)? {
                0 => return Err("the server has closed the connection".into()),
                count => head.extend_from_slice(&buffer[..count]),
            }
        }
        let accepted = head.windows(ACCEPT.len()).any(|part| part == ACCEPT);
        if self.raw || accepted { Ok(()) } else { Err(String::from_utf8_lossy(&head).into()) }
    }
}

/// Returns a binary message, with or without a mask.
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

/// Different messages that are sent one after the other, over and over, and their echoes.
struct Cycle {
    sent: Vec<u8>,
    sent_len: usize,
    echo: Vec<u8>,
    echo_len: usize,
    header_len: usize,
}

impl Cycle {
    fn new(count: usize, size: usize, raw: bool) -> Self {
        let payloads = (0..count).map(|id| (0..size).map(|at| (id * 7 + at) as u8).collect());
        let payloads: Vec<Vec<u8>> = payloads.collect();
        let all = |mask| payloads.iter().flat_map(|payload| frame(payload, mask)).collect();
        let (sent, echo): (Vec<u8>, Vec<u8>) = (all(true), all(raw));
        let (sent_len, echo_len) = (sent.len() / count, echo.len() / count);
        Self { sent, sent_len, header_len: echo_len - size, echo, echo_len }
    }

    /// Returns whether these bytes belong to the echo from `at` on. Compares either all of them, or only the headers, which contain the
    /// lengths.
    fn is_echo(&self, at: usize, bytes: &[u8], all: bool) -> bool {
        let same = |from: usize, to: usize| {
            // No part of `bytes` goes past the end of the cycle, because no message does.
            let from_cycle = (at + from) % self.echo.len();
            self.echo.get(from_cycle..from_cycle + (to - from)) == Some(&bytes[from..to])
        };
        let mut from = 0;
        while from < bytes.len() {
            let in_message = (at + from) % self.echo_len;
            let end = (from + self.echo_len - in_message).min(bytes.len());
            let to = if all {
                end
            } else {
                (from + self.header_len.saturating_sub(in_message)).min(end)
            };
            if !same(from, to) {
                return false;
            }
            from = end;
        }
        true
    }
}

struct Connection {
    stream: TcpStream,
    /// The position in the cycle of the next byte to send, and of the next one to receive.
    sent_at: usize,
    echo_at: usize,
    /// The bytes to send now, the messages to send later, and the echoes still to come.
    unwritten: usize,
    unsent: usize,
    awaited: usize,
    /// When the messages were sent whose echoes are still to come.
    times: VecDeque<(Instant, usize)>,
    waits_to_write: bool,
}

struct Load {
    epoll: Epoll,
    connections: Vec<Connection>,
    cycle: Cycle,
    in_flight: usize,
    buffer: Vec<u8>,
    /// Nanoseconds, and how many messages took so long.
    latencies: Vec<(u64, usize)>,
}

impl Load {
    fn new(streams: Vec<TcpStream>, cycle: Cycle, in_flight: usize) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::empty())?;
        let mut connections = Vec::new();
        for (id, stream) in streams.into_iter().enumerate() {
            stream.set_nonblocking(true)?;
            epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, id as u64))?;
            connections.push(Connection {
                stream,
                sent_at: 0,
                echo_at: 0,
                unwritten: 0,
                unsent: 0,
                awaited: 0,
                times: VecDeque::new(),
                waits_to_write: false,
            });
        }
        let buffer = vec![0; 256 * 1024];
        Ok(Self { epoll, connections, cycle, in_flight, buffer, latencies: Vec::new() })
    }

    /// Sends this many messages on each connection and waits for their echoes.
    fn run(&mut self, messages: usize, check_all: bool) -> Result<()> {
        let mut busy = self.connections.len();
        for id in 0..self.connections.len() {
            let first = self.in_flight.min(messages);
            let connection = &mut self.connections[id];
            (connection.unsent, connection.awaited) = (messages - first, messages);
            self.send(id, first)?;
        }
        let mut events = [EpollEvent::empty(); 64];
        while busy > 0 {
            let count = match self.epoll.wait(&mut events, PATIENCE.as_millis() as u16) {
                Ok(0) => return Err("the server has not answered in time".into()),
                Ok(count) => count,
                Err(nix::Error::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in &events[..count] {
                let id = event.data() as usize;
                if event.events().contains(EpollFlags::EPOLLOUT) {
                    self.send(id, 0)?;
                }
                if event.events() != EpollFlags::EPOLLOUT && self.receive(id, check_all)? {
                    busy -= 1;
                }
            }
        }
        Ok(())
    }

    /// Sends this many more messages, as far as the stream takes them at once.
    fn send(&mut self, id: usize, messages: usize) -> Result<()> {
        let Self { connections, cycle, epoll, .. } = self;
        let connection = &mut connections[id];
        if messages > 0 {
            connection.unwritten += messages * cycle.sent_len;
            connection.times.push_back((Instant::now(), messages));
        }
        let mut blocked = false;
        while connection.unwritten > 0 && !blocked {
            let rest = &cycle.sent[connection.sent_at..];
            let part = &rest[..connection.unwritten.min(rest.len())];
            let count = match connection.stream.write(part) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error.into()),
            };
            blocked = count < part.len();
            connection.unwritten -= count;
            connection.sent_at = (connection.sent_at + count) % cycle.sent.len();
        }
        if blocked != connection.waits_to_write {
            connection.waits_to_write = blocked;
            let mut flags = EpollFlags::EPOLLIN;
            flags.set(EpollFlags::EPOLLOUT, blocked);
            epoll.modify(&connection.stream, &mut EpollEvent::new(flags, id as u64))?;
        }
        Ok(())
    }

    /// Reads once, and sends as many messages as have come back. Returns whether the connection is done.
    fn receive(&mut self, id: usize, check_all: bool) -> Result<bool> {
        let Self { connections, cycle, buffer, latencies, .. } = self;
        let connection = &mut connections[id];
        let count = match connection.stream.read(buffer) {
            Ok(0) => return Err("the server has closed a busy connection".into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if !cycle.is_echo(connection.echo_at, &buffer[..count], check_all) {
            return Err("the echo is another".into());
        }
        let echoes = (connection.echo_at % cycle.echo_len + count) / cycle.echo_len;
        connection.echo_at = (connection.echo_at + count) % cycle.echo.len();
        let now = Instant::now();
        let mut left = echoes;
        while left > 0 {
            let (sent, waiting) =
                connection.times.front_mut().ok_or("more echoes than messages")?;
            let taken = left.min(*waiting);
            latencies.push(((now - *sent).as_nanos() as u64, taken));
            left -= taken;
            *waiting -= taken;
            if *waiting == 0 {
                connection.times.pop_front();
            }
        }
        connection.awaited -= echoes;
        let done = connection.awaited == 0;
        let next = echoes.min(connection.unsent);
        connection.unsent -= next;
        if next > 0 {
            self.send(id, next)?;
        }
        Ok(done && echoes > 0)
    }
}

/// Returns the longest time of this part of all messages.
fn percentile(latencies: &mut [(u64, usize)], part: f64) -> u64 {
    latencies.sort_unstable();
    let all: usize = latencies.iter().map(|(_, count)| count).sum();
    let mut left = (all as f64 * part) as usize;
    for (time, count) in &*latencies {
        if *count > left {
            return *time;
        }
        left -= count;
    }
    0
}

struct Arguments(HashMap<String, String>);

impl Arguments {
    fn get<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T> {
        let Some(value) = self.0.get(name) else { return Ok(default) };
        value.parse().map_err(|_| format!("{name} {value}: not a number").into())
    }

    /// Says that everything is warm, and waits until it may continue.
    fn wait(&self) -> io::Result<()> {
        if self.0.contains_key("--wait") {
            println!("ready");
            io::stdin().read_line(&mut String::new())?;
        }
        Ok(())
    }
}

fn busy(server: &Server, arguments: &Arguments) -> Result<()> {
    let connections: usize = arguments.get("--connections", 8)?;
    let in_flight: usize = arguments.get("--in-flight", 64)?;
    let size = arguments.get("--size", 32)?;
    let seconds = Duration::from_secs_f64(arguments.get("--seconds", 0.25)?);
    let streams = (0..connections).map(|_| server.open()).collect::<Result<Vec<_>>>()?;
    let cycle = Cycle::new(in_flight.max(16), size, server.raw);
    let mut load = Load::new(streams, cycle, in_flight)?;
    // While the server warms up, every byte is checked. From then on, only the lengths are.
    let mut count = in_flight.max(16);
    let each = loop {
        let started = Instant::now();
        load.run(count, true)?;
        let elapsed = started.elapsed();
        if elapsed > seconds / 10 {
            break elapsed.div_f64(count as f64);
        }
        count *= 2;
    };
    let fixed = arguments.get("--count", 0)?;
    let fitting = (seconds.as_secs_f64() / each.as_secs_f64()) as usize;
    // Other load on the machine affects the smallest of several parts least.
    let parts = if fixed > 0 { 1 } else { (fitting / (4 * in_flight)).clamp(1, PARTS) };
    let count = if fixed > 0 { fixed } else { (fitting / parts).max(in_flight) };
    let all = (count * connections) as f64;
    arguments.wait()?;
    let mut cpu = f64::INFINITY;
    load.latencies.clear();
    for _ in 0..parts {
        let before = server.cpu()?;
        load.run(count, false)?;
        cpu = cpu.min((server.cpu()? - before).as_nanos() as f64 / all);
    }
    let [p50, p99] = [0.5, 0.99].map(|part| percentile(&mut load.latencies, part));
    let messages = count * connections * parts;
    println!(r#"{{"messages": {messages}, "cpu": {cpu}, "p50": {p50}, "p99": {p99}}}"#);
    Ok(())
}

/// Opens connections, with one echo on each.
fn open_used(server: &Server, count: usize, size: usize, deflate: bool) -> Result<Vec<TcpStream>> {
    let cycle = Cycle::new(1, size, server.raw);
    let text = text();
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = server.open()?;
        if deflate {
            echo_compressed(&mut stream, &text)?;
        } else {
            stream.write_all(&cycle.sent)?;
            let mut echo = vec![0; cycle.echo.len()];
            stream.read_exact(&mut echo)?;
            if echo != cycle.echo {
                return Err("the echo is another".into());
            }
        }
        streams.push(stream);
    }
    Ok(streams)
}

/// Returns a text that is longer than a window of 12 bits, and becomes much shorter when compressed.
fn text() -> String {
    (0..200).map(|id| format!(r#"{{"id":{id},"price":{}.25}},"#, id * 7919 % 1000)).collect()
}

/// Sends a compressed text, and receives its echo, which is compressed, too (RFC 7692).
fn echo_compressed(stream: &mut TcpStream, text: &str) -> Result<()> {
    const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
    let mut deflate = Deflate::new(1, false, 12);
    let mut payload = vec![0; text.len()];
    let compressed = deflate.compress(text.as_bytes(), &mut payload, DeflateFlush::SyncFlush);
    compressed.map_err(|error| format!("{error:?}"))?;
    payload.truncate(deflate.total_out() as usize - TAIL.len());
    let mut sent = frame(&payload, true);
    sent[0] = 0xc1;
    stream.write_all(&sent)?;

    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    if head[..2] != [0xc1, 126] {
        return Err("the echo is not compressed".into());
    }
    let mut echo = vec![0; u16::from_be_bytes([head[2], head[3]]).into()];
    stream.read_exact(&mut echo)?;
    echo.extend(TAIL);
    let (mut inflate, mut plain) = (Inflate::new(false, 12), vec![0; text.len() + 1]);
    let inflated = inflate.decompress(&echo, &mut plain, InflateFlush::SyncFlush);
    inflated.map_err(|error| format!("{error:?}"))?;
    if &plain[..inflate.total_out() as usize] != text.as_bytes() {
        return Err("the echo is another".into());
    }
    Ok(())
}

fn idle(server: &Server, arguments: &Arguments) -> Result<()> {
    let connections: usize = arguments.get("--connections", 1000)?;
    let (size, deflate) = (arguments.get("--size", 32)?, arguments.0.contains_key("--deflate"));
    // What the server needs once does not count as the cost of a connection.
    let first = open_used(server, 10, size, deflate)?;
    server.cpu_at_rest()?;
    let before = server.resident()?;
    let streams = open_used(server, connections, size, deflate)?;
    server.cpu_at_rest()?;
    let resident = server.resident()?.saturating_sub(before) as f64 / connections as f64;
    println!(r#"{{"resident": {resident}, "base": {before}}}"#);
    drop((first, streams));
    Ok(())
}

fn handshake(server: &Server, arguments: &Arguments) -> Result<()> {
    let count: usize = arguments.get("--count", 500)?;
    let wave = || {
        let mut streams = (0..WAVE).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
        streams.iter_mut().try_for_each(|stream| stream.write_all(REQUEST.as_bytes()))?;
        streams.iter_mut().try_for_each(|stream| server.read_answer(stream))
    };
    wave()?;
    let before = server.cpu_at_rest()?;
    let waves = count.div_ceil(WAVE);
    (0..waves).try_for_each(|_| wave())?;
    let cpu = (server.cpu_at_rest()? - before).as_nanos() as f64 / (waves * WAVE) as f64;
    println!(r#"{{"cpu": {cpu}}}"#);
    Ok(())
}

fn broadcast(server: &Server, arguments: &Arguments) -> Result<()> {
    let connections: usize = arguments.get("--connections", 1000)?;
    let count: usize = arguments.get("--count", 30)?;
    let cycle = Cycle::new(1, arguments.get("--size", 32)?, server.raw);
    let mut streams = (0..connections).map(|_| server.open()).collect::<Result<Vec<_>>>()?;
    // A raw server says nothing when it has accepted a connection.
    server.cpu_at_rest()?;
    let mut echo = vec![0; cycle.echo.len()];
    let mut send = || {
        let started = Instant::now();
        streams[0].write_all(&cycle.sent)?;
        for stream in &mut streams {
            stream.read_exact(&mut echo)?;
            if echo != cycle.echo {
                return Err("the message is another".into());
            }
        }
        Result::Ok(started.elapsed().as_nanos() as u64)
    };
    for _ in 0..3 {
        send()?;
    }
    let before = server.cpu_at_rest()?;
    let mut times = (0..count).map(|_| Ok((send()?, 1))).collect::<Result<Vec<_>>>()?;
    let cpu = (server.cpu_at_rest()? - before).as_nanos() as f64 / (count * connections) as f64;
    let [p50, p99] = [0.5, 0.99].map(|part| percentile(&mut times, part));
    println!(r#"{{"cpu": {cpu}, "p50": {p50}, "p99": {p99}}}"#);
    Ok(())
}

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let mode = words.next().ok_or("busy, idle, handshake or broadcast?")?;
    let mut arguments = Arguments(HashMap::new());
    while let Some(name) = words.next() {
        let flag = matches!(name.as_str(), "--raw" | "--wait" | "--deflate");
        let value = if flag { None } else { words.next() };
        arguments.0.insert(name, value.unwrap_or_default());
    }
    let server = Server {
        pid: arguments.get("--pid", 0)?,
        port: arguments.get("--port", 9001)?,
        raw: arguments.0.contains_key("--raw"),
    };
    if let Some(processor) = arguments.0.get("--processor") {
        let mut set = CpuSet::new();
        set.set(processor.parse()?)?;
        sched_setaffinity(Pid::from_raw(0), &set)?;
    }
    match mode.as_str() {
        "busy" => busy(&server, &arguments),
        "idle" => idle(&server, &arguments),
        "handshake" => handshake(&server, &arguments),
        "broadcast" => broadcast(&server, &arguments),
        _ => Err(format!("there is no mode {mode}").into()),
    }
}
