//! Mixed clients talk to a server and to one with TLS for a while, and a third of them is hostile. Every byte of the
//! others is checked.
//!
//! `soak [--seconds N]` prints messages, bytes and faults, and the memory, descriptors and threads of the clients and
//! the servers:
//!
//! - at the start, before the servers and the settings of the clients are made;
//! - in the middle, and idle after the last client, when no connection is left and the servers still run;
//! - at the end, when the servers and all that belongs to them were dropped.
//!
//! The exit status is 1 if a byte was wrong or lost, or if something has leaked.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use ws_std::deflate::{Compression, Pool};
use ws_std::rustls::ClientConfig;
use ws_std::{CloseCode, Connector, Error, Message, MessageKind, WebSocket};
use ws_stress::peer::{BINARY, CLOSE, Exit, PING, Peer, TEXT, frame, request};
use ws_stress::process::{Sample, Server, Usage, usage};
use ws_stress::service::{self, ENGINES};
use ws_stress::{Numbers, live};

/// How many clients talk at once, and how many of them are hostile.
const HONEST: usize = 8;
const HOSTILE: usize = 4;
/// How many sessions a server of rustls keeps at most, by default.
const SESSIONS: usize = 256;
/// How long the server may take until nothing is left of the clients.
const SETTLE: Duration = Duration::from_secs(15);
/// In a run of so many seconds, the first half brings the allocator to what it keeps.
const LONG_RUN: u64 = 300;
/// What a process may have allocated at the end of a long run and not in its middle, in KiB.
const GROWN_KIB: u64 = 128;

/// What the clients, the server and the one with TLS may have allocated when they are idle and not at the start, in
/// KiB: engines, the settings of TLS, and its sessions.
const KEPT_KIB: [u64; 3] = [64, 640, 768];
/// What each of them may have allocated at the end and not at the start, in bytes. The standard output of a server
/// allocates a buffer of 1 KiB at its first line.
const LEFT: u64 = 2048;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    faults: AtomicU64,
    /// Those of the faults that were inside a session of TLS.
    tls_faults: AtomicU64,
    wrong: AtomicU64,
    said: Mutex<Vec<String>>,
}

impl Counts {
    fn note_wrong(&self, what: String) {
        self.wrong.fetch_add(1, Relaxed);
        let mut said = self.said.lock().expect("a lock");
        if said.len() < 10 {
            said.push(what);
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "serve") {
        service::serve(&arguments);
        return ExitCode::SUCCESS;
    }
    let seconds = match arguments.as_slice() {
        [] => 30,
        [option, value] if option == "--seconds" => value.parse().expect("a number of seconds"),
        _ => panic!("usage: soak [--seconds N]"),
    };
    match soak(seconds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            println!("FAIL soak: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn soak(seconds: u64) -> Result<(), String> {
    let mut servers = [Server::start(&[], None), Server::start(&["--tls"], None)];
    let start = [(usage_of_clients()?, live()), servers[0].before, servers[1].before];
    let counts = Counts::default();
    let clients = Clients::new(&servers);
    clients.talk(0, Duration::from_secs(seconds) / 2, &counts);
    let middle = sample(&mut servers)?;
    clients.talk(1, Duration::from_secs(seconds) / 2, &counts);
    let idle = sample(&mut servers)?;
    drop(clients);
    let kept = [servers[0].stop()?, servers[1].stop()?];
    let end = sample(&mut servers)?;

    let count = |count: &AtomicU64| count.load(Relaxed);
    println!(
        "{seconds} s: {} connections, {} messages, {} MB, {} faults ({} of them inside TLS), \
         {} wrong or lost",
        count(&counts.connections),
        count(&counts.messages),
        count(&counts.bytes) / 1_000_000,
        count(&counts.faults),
        count(&counts.tls_faults),
        count(&counts.wrong),
    );
    for fault in counts.said.lock().expect("a lock").iter() {
        println!("    {fault}");
    }
    let states = [("start", start), ("middle", middle), ("idle", idle), ("end", end)];
    for (at, process) in ["clients", "server", "server with TLS"].iter().enumerate() {
        let told = states.map(|(name, all)| told(name, all[at])).join("; ");
        println!("{process}: {told}; at most {} KiB resident", end[at].0.peak_kib);
    }
    let [plain, secure] = kept;
    println!(
        "kept while they run: {} KiB by the server in up to {ENGINES} engines to compress and \
         {ENGINES} to inflate; {} KiB by the server with TLS in as many, and {} KiB in its TLS \
         settings and up to {SESSIONS} sessions",
        plain.engines / 1024,
        secure.engines / 1024,
        secure.settings / 1024,
    );
    let [plain, secure] = kept.map(|kept| kept.took.as_secs_f64());
    println!("the servers ended {plain:.2} s and {secure:.2} s after their shutdown");

    if count(&counts.wrong) > 0 {
        return Err("something was wrong or lost".to_owned());
    }
    if [&counts.messages, &counts.faults, &counts.tls_faults].iter().any(|it| count(it) == 0) {
        return Err("nothing happened".to_owned());
    }
    for server in &mut servers {
        let (status, _) = server.shut_down(SETTLE)?;
        if !status.success() {
            return Err(format!("a server ended with {status}"));
        }
    }
    for at in 0..3 {
        let [(start, live_at_start), (middle, live_in_middle), (idle, live_idle), (end, live)] =
            [start[at], middle[at], idle[at], end[at]];
        if end.descriptors > start.descriptors || end.threads > start.threads {
            return Err("descriptors or threads have leaked".to_owned());
        }
        let has_grown = seconds >= LONG_RUN && live_idle > live_in_middle + GROWN_KIB * 1024;
        if live > live_at_start + LEFT
            || live_idle > live_at_start + KEPT_KIB[at] * 1024
            || has_grown
        {
            return Err("memory has leaked".to_owned());
        }
        // What is resident and not allocated is kept by the allocator, in no fixed way. It must not grow with the time.
        let middle = middle.resident_kib;
        let more = if seconds >= LONG_RUN { middle / 10 + 1024 } else { middle / 2 + 8 * 1024 };
        if idle.resident_kib.max(end.resident_kib) > middle + more {
            return Err("the allocator keeps more and more memory".to_owned());
        }
    }
    println!("ok soak: nothing wrong, lost or leaked");
    Ok(())
}

/// Waits until nothing is left of connections. Returns what the clients and the servers have then.
fn sample(servers: &mut [Server; 2]) -> Result<[Sample; 3], String> {
    let [server, secure] = servers;
    server.settle(SETTLE)?;
    secure.settle(SETTLE)?;
    Ok([(usage_of_clients()?, live()), server.sample()?, secure.sample()?])
}

/// What the clients share.
struct Clients {
    connector: Connector,
    urls: [String; 2],
    /// Where the hostile ones connect.
    targets: [Target; HOSTILE],
}

impl Clients {
    fn new(servers: &[Server; 2]) -> Self {
        let [plain, secure] = [servers[0].address, servers[1].address];
        let tls = service::trusting();
        Self {
            connector: Connector::builder().tls(tls.clone()),
            urls: [format!("ws://{plain}"), format!("wss://localhost:{}", secure.port())],
            targets: [
                Target::Plain(plain),
                Target::Plain(plain),
                Target::Tls(secure, tls),
                Target::NotTls(secure),
            ],
        }
    }

    /// Lets all of them talk for this time.
    fn talk(&self, part: usize, time: Duration, counts: &Counts) {
        let until = Instant::now() + time;
        thread::scope(|scope| {
            for n in 0..HONEST {
                let mut numbers = Numbers::new((part * 100 + n + 1) as u64);
                scope.spawn(move || {
                    while Instant::now() < until {
                        let result =
                            converse(&self.connector, &self.urls, &mut numbers, counts, until);
                        if let Err(error) = result {
                            counts.note_wrong(error);
                        }
                    }
                });
            }
            for (n, target) in self.targets.iter().enumerate() {
                let mut numbers = Numbers::new((part * 100 + n + 51) as u64);
                scope.spawn(move || {
                    while Instant::now() < until {
                        if let Err(error) = attack(target, &mut numbers) {
                            counts.note_wrong(format!("hostile to {target}: {error}"));
                            continue;
                        }
                        counts.faults.fetch_add(1, Relaxed);
                        if matches!(target, Target::Tls(..)) {
                            counts.tls_faults.fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        });
    }
}

/// Where a hostile client connects, and how.
enum Target {
    Plain(SocketAddr),
    /// It attacks inside a session of TLS.
    Tls(SocketAddr, Arc<ClientConfig>),
    /// The server expects TLS, and gets something else.
    NotTls(SocketAddr),
}

impl Target {
    fn connect(&self) -> Result<Peer, String> {
        match self {
            Self::Plain(address) | Self::NotTls(address) => Peer::connect(*address),
            Self::Tls(address, config) => Peer::connect_tls(*address, config.clone()),
        }
        .map_err(|error| format!("no connection: {error}"))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "the server",
            Self::Tls(..) => "the server with TLS, inside TLS",
            Self::NotTls(_) => "the server with TLS, without TLS",
        })
    }
}

/// Reads the usage of this process once its other threads have ended, which are joined a little earlier.
fn usage_of_clients() -> Result<Usage, String> {
    let begun = Instant::now();
    loop {
        let own = usage(std::process::id()).ok_or("no usage of this process")?;
        if own.threads == 1 || begun.elapsed() > SETTLE {
            return Ok(own);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn told(name: &str, (usage, live): Sample) -> String {
    let Usage { resident_kib, threads, descriptors, .. } = usage;
    format!(
        "{name} {:.1} KiB allocated, {resident_kib} KiB resident, {threads} threads, \
         {descriptors} descriptors",
        live as f64 / 1024.0
    )
}

/// A length: mostly short, around the edges of the lengths of a header, now and then long.
fn length(numbers: &mut Numbers) -> usize {
    match numbers.below(100) {
        0..60 => numbers.below(126),
        60..75 => 120 + numbers.below(12),
        75..90 => numbers.below(5000),
        90..96 => 65_530 + numbers.below(12),
        96..99 => numbers.below(300_000),
        _ => numbers.below(3 << 20),
    }
}

fn message(numbers: &mut Numbers) -> Message {
    let len = length(numbers);
    let bytes = numbers.bytes(len);
    if numbers.below(2) == 0 {
        return bytes.into();
    }
    // Text with characters of one to four bytes.
    let alphabet = ['a', 'é', '\u{4e2d}', '\u{1f600}'];
    bytes
        .iter()
        .map(|byte| alphabet[usize::from(byte % 4)])
        .take(len / 3)
        .collect::<String>()
        .into()
}

/// One connection of an honest client, in one of the ways of the library.
fn converse(
    connector: &Connector,
    urls: &[String; 2],
    numbers: &mut Numbers,
    counts: &Counts,
    until: Instant,
) -> Result<(), String> {
    let path = ["/", "/split", "/stream", "/lend"][numbers.below(4)];
    let url = format!("{}{path}", urls[usize::from(numbers.below(4) == 0)]);
    let mut connector = connector.clone();
    if numbers.below(3) == 0 {
        connector = connector.deflate(Compression::new(&Pool::new()));
    }
    let way = numbers.below(4);
    let told = |error: Error| format!("{url}, way {way}: {error}");
    let mut ws = connector.connect(&url).map_err(told)?;
    ws.set_read_timeout(Some(Duration::from_secs(20)));
    counts.connections.fetch_add(1, Relaxed);
    let all: Vec<Message> = (0..1 + numbers.below(60)).map(|_| message(numbers)).collect();
    let check = |wanted: &Message, got: Option<Message>| match got {
        Some(got) if got == *wanted => {
            counts.messages.fetch_add(2, Relaxed);
            counts.bytes.fetch_add(2 * wanted.len() as u64, Relaxed);
            Ok(())
        }
        Some(got) => Err(format!("{url}, way {way}: {} bytes became {}", wanted.len(), got.len())),
        None => Err(format!("{url}, way {way}: the connection ended too early")),
    };
    match way {
        0 => {
            for wanted in &all {
                ws.send(wanted.clone()).map_err(told)?;
                if numbers.below(8) == 0 {
                    ws.ping(b"beside").map_err(told)?;
                }
                check(wanted, ws.read().map_err(told)?)?;
                if Instant::now() > until {
                    break;
                }
            }
        }
        1 => {
            // Several in flight, which fit the buffers between the two.
            for some in all.chunks(4) {
                for wanted in some {
                    ws.queue(wanted.clone()).map_err(told)?;
                }
                for wanted in some {
                    check(wanted, ws.read().map_err(told)?)?;
                }
            }
        }
        2 => return halves(ws, all, &check).map_err(|error| format!("{url}, halves: {error}")),
        _ => {
            for wanted in &all {
                let answer = pieces(&mut ws, wanted).map_err(|error| format!("{url}: {error}"))?;
                check(wanted, Some(answer))?;
            }
        }
    }
    let how = ws.close(CloseCode::NORMAL, "").map_err(told)?;
    if how.clean { Ok(()) } else { Err(format!("{url}, way {way}: not closed cleanly: {how}")) }
}

/// Checks what came for what was wanted.
type Check<'c> = dyn Fn(&Message, Option<Message>) -> Result<(), String> + 'c;

fn halves(ws: WebSocket, all: Vec<Message>, check: &Check<'_>) -> Result<(), String> {
    let (mut reader, writer) = ws.split().map_err(|error| error.to_string())?;
    let (tell, told) = mpsc::channel();
    for message in &all {
        let _ = tell.send(message.clone());
    }
    drop(tell);
    let writing = thread::spawn(move || {
        told.iter().try_for_each(|message| writer.send(message)).map(|()| writer)
    });
    for wanted in &all {
        check(wanted, reader.read().map_err(|error| error.to_string())?)?;
    }
    let writer = writing.join().map_err(|_| "a panic")?.map_err(|error| error.to_string())?;
    writer.start_close(CloseCode::NORMAL, "").map_err(|error| error.to_string())?;
    match reader.read().map_err(|error| error.to_string())? {
        None if reader.close_info().is_some_and(|how| how.clean) => Ok(()),
        end => Err(format!("not closed cleanly: {:?}", end.map(|message| message.len()))),
    }
}

fn pieces(ws: &mut WebSocket, wanted: &Message) -> io::Result<Message> {
    let mut message = ws.write_stream(wanted.kind());
    for piece in wanted.as_bytes().chunks(10_007) {
        message.write_all(piece)?;
    }
    message.finish()?;
    let Some(mut answer) = ws.read_stream()? else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let (mut bytes, kind) = (Vec::new(), answer.kind());
    answer.read_to_end(&mut bytes)?;
    match kind {
        MessageKind::Binary => Ok(bytes.into()),
        MessageKind::Text => String::from_utf8(bytes).map(Message::from).map_err(io::Error::other),
    }
}

/// One connection of a hostile client.
fn attack(target: &Target, numbers: &mut Numbers) -> Result<(), String> {
    let how = [Exit::Fin, Exit::Reset, Exit::HalfClose][numbers.below(3)];
    let path = ["/", "/split", "/stream", "/lend", "/panic"][numbers.below(5)];
    let mut peer = target.connect()?;
    match numbers.below(4) {
        0 => {
            let head = request(path);
            let _ = peer.write(&head[..numbers.below(head.len())]);
            return leave(peer, how);
        }
        1 => {
            let len = 1 + numbers.below(5000);
            let _ = peer.write(&numbers.bytes(len));
            return leave(peer, how);
        }
        _ => match (peer.upgrade(path), target) {
            (Ok(()), Target::NotTls(_)) => return Err("it talks without TLS".to_owned()),
            (Ok(()), _) => {}
            (Err(error), Target::NotTls(_)) if has_ended(&error) => return Ok(()),
            (Err(error), _) => return Err(format!("no opening handshake: {error}")),
        },
    }
    if path == "/panic" {
        let _ = peer.write(&frame(TEXT, b"hello"));
        return expect_close(&mut peer, 1011);
    }
    let long = numbers.bytes(70_000);
    // What breaks a rule, and the code that it is answered with.
    let (bytes, code) = match numbers.below(10) {
        0 => (vec![0x81, 0x05, b'h', b'e', b'l', b'l', b'o'], 1002),
        1 => (frame(0xc1, b"hello"), 1002),
        2 => (frame(0x83, b"hello"), 1002),
        3 => (frame(TEXT, &[0xc3, 0x28]), 1007),
        4 => (frame(0x80, b"hello"), 1002),
        5 => (frame(PING, &[7; 126]), 1002),
        6 => (frame(CLOSE, &[3]), 1002),
        7 => ([&[BINARY, 0xff][..], &(service::MAX_MESSAGE + 1).to_be_bytes()].concat(), 1009),
        8 => ([frame(0x01, b"half"), frame(TEXT, b"another")].concat(), 1002),
        _ => {
            let bytes = frame(BINARY, &long);
            let _ = peer.write(&bytes[..numbers.below(bytes.len())]);
            return leave(peer, how);
        }
    };
    // In pieces.
    for piece in bytes.chunks(1 + numbers.below(bytes.len())) {
        peer.write(piece).map_err(|error| error.to_string())?;
    }
    expect_close(&mut peer, code)
}

/// Whether the error is that the peer has ended the connection.
fn has_ended(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

fn expect_close(peer: &mut Peer, code: u16) -> Result<(), String> {
    match peer.close_code() {
        Ok(got) if got == code => Ok(()),
        Ok(got) => Err(format!("Close with {got}, not with {code}")),
        Err(error) => Err(format!("no Close with {code}: {error}")),
    }
}

fn leave(peer: Peer, how: Exit) -> Result<(), String> {
    match peer.exit(how) {
        None => Ok(()),
        Some(mut peer) => peer.wait_for_end(SETTLE),
    }
}
