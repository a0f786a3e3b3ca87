//! A stream whose calls fail as planned, and a conversation over it: with every kind of service and client, over any
//! settings, whichever call fails.
#![allow(dead_code, unreachable_pub)]

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ws_std::{
    CloseCode, CloseInfo, Config, Connector, Deadline, Error, ListenerBuilder, MemoryStream,
    Message, Stream, Transport, WebSocket,
};

use crate::common::*;

/// What a call does instead of what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The error of a read, a write or a flush that is to be called again.
    Again(io::ErrorKind),
    /// The error of any call.
    Error(io::ErrorKind),
    /// Reads and writes return 0, as if the stream had ended.
    Zero,
}

pub const AGAIN: [Fault; 3] = [
    Fault::Again(io::ErrorKind::Interrupted),
    Fault::Again(io::ErrorKind::WouldBlock),
    Fault::Again(io::ErrorKind::TimedOut),
];

pub const FATAL: [Fault; 5] = [
    Fault::Error(io::ErrorKind::ConnectionReset),
    Fault::Error(io::ErrorKind::BrokenPipe),
    Fault::Error(io::ErrorKind::UnexpectedEof),
    Fault::Error(io::ErrorKind::Other),
    Fault::Zero,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Never,
    /// At one call, counted from 0.
    At(usize),
    /// At every n-th call of each kind.
    Every(usize),
    /// The same after the opening handshake. A call that fails waits a little first, as if its time-out had passed.
    EveryOnceOpen(usize),
}

#[derive(Debug)]
pub struct Plan {
    fault: Fault,
    when: When,
    /// How many bytes a read or a write moves at most.
    most: usize,
    calls: AtomicUsize,
    /// The calls of each kind.
    each: [AtomicUsize; 4],
    hits: AtomicUsize,
    /// Whether the opening handshake is done.
    open: AtomicBool,
}

/// The kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Read,
    Write,
    Flush,
    Other,
}

impl Plan {
    pub fn new(fault: Fault, when: When, most: usize) -> Arc<Self> {
        let (calls, each, hits, open) = Default::default();
        Arc::new(Self { fault, when, most, calls, each, hits, open })
    }

    /// What becomes of a call, if it fails.
    fn fails(&self, kind: Call) -> Option<io::Result<usize>> {
        if kind == Call::Other && !matches!(self.fault, Fault::Error(_)) {
            return None;
        }
        let call = self.calls.fetch_add(1, SeqCst);
        let same = self.each[kind as usize].fetch_add(1, SeqCst);
        let hit = match self.when {
            When::Never => false,
            When::At(at) => call == at,
            When::Every(n) => same % n == n - 1,
            When::EveryOnceOpen(n) => same % n == n - 1 && self.open.load(SeqCst),
        };
        hit.then(|| {
            if matches!(self.when, When::EveryOnceOpen(_)) {
                thread::sleep(Duration::from_millis(1));
            }
            self.hits.fetch_add(1, SeqCst);
            match self.fault {
                Fault::Again(kind) | Fault::Error(kind) => Err(kind.into()),
                Fault::Zero => Ok(0),
            }
        })
    }

    fn call<R>(&self, call: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match self.fails(Call::Other) {
            Some(Err(error)) => Err(error),
            _ => call(),
        }
    }
}

#[derive(Debug)]
pub struct Faulty {
    stream: MemoryStream,
    plan: Arc<Plan>,
}

impl Read for Faulty {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.plan.most);
        self.plan.fails(Call::Read).unwrap_or_else(|| self.stream.read(&mut buffer[..most]))
    }
}

impl Write for Faulty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = bytes.len().min(self.plan.most);
        self.plan.fails(Call::Write).unwrap_or_else(|| self.stream.write(&bytes[..most]))
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.plan.fails(Call::Flush) {
            Some(Err(error)) => Err(error),
            _ => self.stream.flush(),
        }
    }
}

impl Transport for Faulty {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.plan.call(|| self.stream.set_read_timeout(timeout))
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.plan.call(|| self.stream.set_write_timeout(timeout))
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.plan.call(|| self.stream.set_nonblocking(nonblocking))
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.plan.call(|| self.stream.shutdown_write())
    }

    fn try_clone(&self) -> io::Result<Self> {
        self.plan
            .call(|| self.stream.try_clone())
            .map(|stream| Self { stream, plan: self.plan.clone() })
    }
}

type Ws = WebSocket<Stream<Faulty>>;
pub type Side = fn(Ws) -> Result<CloseInfo, Error>;

/// What the client sends, and has to get back.
fn messages() -> Vec<Message> {
    let long: Vec<u8> = (0..20_000_u32).map(|n| (n / 7) as u8).collect();
    vec!["hello".into(), long.into(), "".into(), "é".repeat(300).into()]
}

pub fn echoes(mut ws: Ws) -> Result<CloseInfo, Error> {
    while let Some(message) = ws.read()? {
        ws.send(message)?;
    }
    Ok(ws.close_info().unwrap())
}

pub fn lends(mut ws: Ws) -> Result<CloseInfo, Error> {
    while let Some((message, mut replier)) = ws.read_ref()? {
        replier.queue(message)?;
    }
    Ok(ws.close_info().unwrap())
}

pub fn polls(mut ws: Ws) -> Result<CloseInfo, Error> {
    loop {
        match (ws.try_read()?, ws.close_info()) {
            (Some(message), _) => ws.queue(message)?,
            (None, Some(how)) => return Ok(how),
            (None, None) => thread::sleep(Duration::from_micros(200)),
        }
    }
}

pub fn splits(ws: Ws) -> Result<CloseInfo, Error> {
    let (mut reader, writer) = ws.split()?;
    let (tell, told) = mpsc::channel::<Message>();
    let writing = thread::spawn(move || told.iter().try_for_each(|message| writer.send(message)));
    let result = loop {
        match reader.read() {
            Ok(Some(message)) => drop(tell.send(message)),
            Ok(None) => break Ok(reader.close_info().unwrap()),
            Err(error) => break Err(error),
        }
    };
    drop(tell);
    writing.join().unwrap().and(result)
}

pub fn streams(mut ws: Ws) -> Result<CloseInfo, Error> {
    while let Some(mut message) = ws.read_stream()? {
        let (mut bytes, kind) = (Vec::new(), message.kind());
        message.read_to_end(&mut bytes)?;
        drop(message);
        let mut message = ws.write_stream(kind);
        for piece in bytes.chunks(3001) {
            message.write_all(piece)?;
        }
        message.finish()?;
    }
    Ok(ws.close_info().unwrap())
}

/// How it ended before all was answered, which is not as if all had been.
fn broken_off(info: Option<CloseInfo>) -> CloseInfo {
    let info = info.unwrap();
    assert!(!(info.clean && info.code == CloseCode::NORMAL), "messages are missing: {info:?}");
    info
}

pub fn talks(mut ws: Ws) -> Result<CloseInfo, Error> {
    for message in messages() {
        ws.send(message.clone())?;
        ws.ping(b"beside")?;
        match ws.read()? {
            Some(answer) => assert!(answer == message, "wrong bytes"),
            None => return Ok(broken_off(ws.close_info())),
        }
    }
    ws.close(CloseCode::NORMAL, "done")
}

pub fn talks_in_halves(ws: Ws) -> Result<CloseInfo, Error> {
    let (mut reader, writer) = ws.split()?;
    let writing = thread::spawn(move || {
        messages().into_iter().try_for_each(|message| writer.send(message))?;
        Ok::<_, Error>(writer)
    });
    let mut wanted = messages().into_iter();
    for message in wanted.by_ref() {
        match reader.read()? {
            Some(answer) => assert!(answer == message, "wrong bytes"),
            None => return Ok(broken_off(reader.close_info())),
        }
    }
    writing.join().unwrap()?.start_close(CloseCode::NORMAL, "done")?;
    assert_eq!(reader.read()?, None, "more than was sent");
    Ok(reader.close_info().unwrap())
}

pub fn talks_in_pieces(mut ws: Ws) -> Result<CloseInfo, Error> {
    for message in messages() {
        let mut pieces = ws.write_stream(message.kind());
        for piece in message.as_bytes().chunks(3001) {
            pieces.write_all(piece)?;
        }
        pieces.finish()?;
        let Some(mut answer) = ws.read_stream()? else {
            return Ok(broken_off(ws.close_info()));
        };
        let mut bytes = Vec::new();
        assert_eq!(answer.kind(), message.kind());
        // What comes before an error has to be right, too.
        let result = answer.read_to_end(&mut bytes);
        assert!(message.as_bytes().starts_with(&bytes), "wrong bytes");
        result?;
        assert_eq!(bytes.len(), message.len());
    }
    ws.close(CloseCode::NORMAL, "done")
}

pub const SERVICES: [(&str, Side); 5] = [
    ("echoes", echoes),
    ("lends", lends),
    ("polls", polls),
    ("splits", splits),
    ("streams", streams),
];

pub const CLIENTS: [(&str, Side); 3] =
    [("talks", talks), ("talks in halves", talks_in_halves), ("talks in pieces", talks_in_pieces)];

/// How a conversation is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listener: ListenerBuilder,
    pub connector: Connector,
    pub url: &'static str,
}

impl Settings {
    pub fn new(listener: ListenerBuilder, connector: Connector, url: &'static str) -> Self {
        Self { listener, connector, url }
    }

    /// With short time-outs: if the write of one side has failed, both wait for the other until then.
    fn impatient(&self) -> Self {
        let (time, Self { listener, connector, url }) = (slow_millis(200), self.clone());
        let config = Config::new().close_timeout(Some(time));
        let listener = listener.handshake_timeout(Some(time)).config(config);
        Self { listener, connector: connector.handshake_timeout(Some(time)).config(config), url }
    }

    /// One conversation. Returns how it ended for the client and the server, and how often the stream failed.
    fn run(
        &self,
        name: &str,
        client: Side,
        service: Side,
        plan: Arc<Plan>,
        at_server: bool,
    ) -> Outcome {
        let Self { listener, connector, url } = self.clone();
        let (near, far) = MemoryStream::pair();
        let none = || Plan::new(Fault::Zero, When::Never, usize::MAX);
        let (near_plan, far_plan) =
            if at_server { (none(), plan.clone()) } else { (plan.clone(), none()) };
        let (near, far) = (
            Faulty { stream: near, plan: near_plan.clone() },
            Faulty { stream: far, plan: far_plan.clone() },
        );
        let server = ending(move || {
            let ws = listener.request_over(far)?.accept()?;
            far_plan.open.store(true, SeqCst);
            service(ws)
        });
        let client = ending(move || {
            let ws = connector.connect_over(url, near)?;
            near_plan.open.store(true, SeqCst);
            client(ws)
        });
        let wait = |side, ending: mpsc::Receiver<_>| match ending.recv_timeout(LONG) {
            Ok(how) => how,
            Err(error) => panic!("{name}: the {side} hangs or panics: {error}"),
        };
        let (client, server) = (wait("client", client), wait("server", server));
        Outcome { client, server, hits: plan.hits.load(SeqCst) }
    }
}

/// Runs one side, and sends how it ended.
fn ending<R: Send + 'static>(side: impl FnOnce() -> R + Send + 'static) -> mpsc::Receiver<R> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(side()));
    told
}

#[derive(Debug)]
struct Outcome {
    client: Result<CloseInfo, Error>,
    server: Result<CloseInfo, Error>,
    hits: usize,
}

impl Outcome {
    /// Fails unless everything was delivered and both sides have closed.
    fn assert_complete(&self, name: &str) {
        for (side, how) in [("client", &self.client), ("server", &self.server)] {
            let fine = how.as_ref().is_ok_and(|how| how.clean && how.code == CloseCode::NORMAL);
            assert!(fine, "{name}, {side}: {self:?}");
        }
    }
}

/// Each call that the faulty side makes fails once, in a conversation of its own: the calls are counted on until one
/// conversation ends before its turn comes. Returns how many there were.
pub fn fail_at_every_call(settings: &Settings, faults: &[Fault]) -> usize {
    let mut conversations = Vec::new();
    for (client_name, client) in CLIENTS {
        for (service_name, service) in SERVICES {
            for at_server in [false, true] {
                // Beside each of the other side's kinds, one is enough.
                if (at_server && client_name != "talks") || (!at_server && service_name != "echoes")
                {
                    continue;
                }
                let name = format!("{client_name}, {service_name}, at the server: {at_server}");
                conversations.push((name, client, service, at_server));
            }
        }
    }
    let mut count = 0;
    let impatient = settings.impatient();
    for (name, client, service, at_server) in conversations {
        for &fault in faults {
            for most in [usize::MAX, 3000] {
                for at in 0.. {
                    let name = format!("{name}, {fault:?} at {at}, at most {most} bytes");
                    let begun = Instant::now();
                    let plan = Plan::new(fault, When::At(at), most);
                    let again = matches!(fault, Fault::Again(_));
                    let settings = if again { settings } else { &impatient };
                    let outcome = settings.run(&name, client, service, plan, at_server);
                    assert!(begun.elapsed() < slow_millis(5000), "{name}: {outcome:?}");
                    count += 1;
                    // To the handshake of TLS, a time-out of the stream is the end of the time.
                    let faulty = if at_server { &outcome.server } else { &outcome.client };
                    let ended = matches!(faulty, Err(Error::Timeout(Deadline::Handshake)));
                    if outcome.hits == 0 || again && !(settings.url.starts_with("wss:") && ended) {
                        outcome.assert_complete(&name);
                    }
                    if outcome.hits == 0 {
                        break;
                    }
                    assert!(at < 10_000, "{name}: it does not come to an end");
                }
            }
        }
    }
    count
}

/// Every n-th call is to be called again, and reads and writes are short: everything still arrives.
pub fn again_and_again(settings: &Settings, faults: &[Fault]) {
    for at_server in [false, true] {
        let plan = Plan::new(Fault::Zero, When::Never, 1);
        settings
            .run("byte by byte", talks, echoes, plan, at_server)
            .assert_complete("byte by byte");
    }
    let is_tls = settings.url.starts_with("wss:");
    for &fault in faults {
        // During the handshake of TLS, a time-out of the stream counts as one of the handshake, so these faults begin after
        // it. A record takes several reads, and if two of them failed without having waited, the stream would count as
        // non-blocking.
        let is_interrupted = fault == Fault::Again(io::ErrorKind::Interrupted);
        let every = if is_tls && !is_interrupted { When::EveryOnceOpen } else { When::Every };
        for n in [2, 3, 7] {
            for most in [500, 4096] {
                for at_server in [false, true] {
                    for (client, service) in
                        [(talks as Side, echoes as Side), (talks_in_halves, splits)]
                    {
                        let name = format!("{fault:?} at every {n}, {most} bytes, {at_server}");
                        let plan = Plan::new(fault, every(n), most);
                        let outcome = settings.run(&name, client, service, plan, at_server);
                        outcome.assert_complete(&name);
                        assert_ne!(outcome.hits, 0, "{name}: nothing failed");
                    }
                }
            }
        }
    }
}
