//! Measures the bytes of 600 polls beside 600 pushes: `cargo run --release --example push_vs_poll -- [COUNT]`.
//!
//! The client's streams count what it really writes and reads, over loopback: HTTP and WebSocket, with the
//! opening and closing handshakes, as a browser speaks them. What TCP and IP add, 40 bytes and more for each packet,
//! is not in it, and neither are the packets that open and close the connection that each poll here has.

use std::error::Error;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use ws_examples::app::{self, App};
use ws_std::{CloseCode, Connector, HttpResponse, Incoming, Listener, Plain, WebSocket};

/// Longer than any step takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a browser says of itself in all requests, and in those of a page's `fetch`.
const BROWSER: &[(&str, &str)] = &[
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-US,en;q=0.9"),
];
const FETCH: &[(&str, &str)] = &[
    ("Connection", "keep-alive"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("sec-ch-ua", "\"Chromium\";v=\"141\", \"Not?A_Brand\";v=\"8\""),
    ("sec-ch-ua-mobile", "?0"),
    ("Accept", "*/*"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Dest", "empty"),
];

/// Bytes, seen from the client.
#[derive(Debug, Default)]
struct Bytes {
    up: AtomicU64,
    down: AtomicU64,
}

#[derive(Debug)]
struct Measured {
    count: u64,
    polls: Bytes,
    pushes: Bytes,
}

impl Bytes {
    fn both(&self) -> [u64; 2] {
        [self.up.load(Relaxed), self.down.load(Relaxed)]
    }

    fn total(&self) -> u64 {
        self.both().iter().sum()
    }
}

/// A stream that counts.
struct Counted<'b>(TcpStream, &'b Bytes);

impl<'b> Counted<'b> {
    fn connect(address: SocketAddr, bytes: &'b Bytes) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(stream, bytes))
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.down.fetch_add(count as u64, Relaxed);
        Ok(count)
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.0.write(bytes)?;
        self.1.up.fetch_add(count as u64, Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What is polled and pushed: an integer as the ticker's.
fn value(at: u64) -> String {
    (at % 1000).to_string()
}

/// Has both done, over a port of its own.
fn measure(count: u64) -> Result<Measured, Box<dyn Error>> {
    let listener = Listener::builder().bind("127.0.0.1:0")?;
    let (address, handle) = (listener.local_addr()?, listener.handle());
    let server = thread::spawn(move || {
        let mut polled = 0;
        for incoming in listener.map_while(Result::ok) {
            // The client sees that it has failed.
            let _ = answer(incoming, &mut polled, count);
        }
    });
    let measured = Measured { count, polls: Bytes::default(), pushes: Bytes::default() };
    let result = poll(address, &measured).and_then(|()| push(address, &measured));
    handle.shutdown(PATIENCE);
    server.join().map_err(|_| "the server has panicked")?;
    result.map(|()| measured)
}

/// The server: each GET is answered with the next value, and a WebSocket gets all of them.
fn answer(incoming: Incoming, polled: &mut u64, count: u64) -> ws_std::Result<()> {
    let request = incoming.request()?;
    if request.is_upgrade() {
        let mut ws = request.accept()?;
        (0..count).try_for_each(|at| ws.send(value(at)))?;
        return ws.read().map(drop);
    }
    let value = value(*polled);
    *polled += 1;
    let headers = &[("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")];
    request.http(&HttpResponse { status: 200, headers, body: value.as_bytes() })
}

fn poll(address: SocketAddr, measured: &Measured) -> Result<(), Box<dyn Error>> {
    let mut request = format!("GET /value HTTP/1.1\r\nHost: {address}\r\n");
    for (name, value) in FETCH.iter().chain(BROWSER) {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("Referer: http://{address}/\r\n\r\n");
    for at in 0..measured.count {
        let mut stream = Counted::connect(address, &measured.polls)?;
        stream.write_all(request.as_bytes())?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        if !response.starts_with("HTTP/1.1 200 ") || !response.ends_with(&format!("\r\n\r\n{}", value(at))) {
            return Err(format!("poll {at}: {response:?}").into());
        }
    }
    Ok(())
}

fn push(address: SocketAddr, measured: &Measured) -> Result<(), Box<dyn Error>> {
    let mut connector = Connector::builder()
        .origin(format!("http://{address}"))
        .header("Pragma", "no-cache")
        .header("Cache-Control", "no-cache");
    for (name, value) in BROWSER {
        connector = connector.header(*name, *value);
    }
    let stream = Plain(Counted::connect(address, &measured.pushes)?);
    let mut ws = connector.connect_over(&format!("ws://{address}/value"), stream)?;
    for at in 0..measured.count {
        match ws.read()? {
            Some(message) if message.as_text() == Some(&value(at)) => {}
            other => return Err(format!("push {at}: {other:?}").into()),
        }
    }
    Ok(ws.close(CloseCode::NORMAL, "").map(drop)?)
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, polls, pushes } = self;
        writeln!(f, "{:12}{:>10}{:>12}{:>10}{:>13}", "", "bytes up", "bytes down", "total", "per message")?;
        for (name, bytes) in [("polls", polls), ("pushes", pushes)] {
            let ([up, down], total) = (bytes.both(), bytes.total());
            let each = total as f64 / *count as f64;
            writeln!(f, "{:12}{up:>10}{down:>12}{total:>10}{each:>13.1}", format!("{count} {name}"))?;
        }
        let ratio = polls.total() as f64 / pushes.total() as f64;
        write!(f, "To poll takes {ratio:.0} times the bytes of the pushes, their handshakes included.")
    }
}

/// The measurement, made once, for the demo's page.
#[derive(Debug, Default)]
pub(crate) struct PushVsPoll {
    measured: OnceLock<Result<Measured, String>>,
}

impl App for PushVsPoll {
    fn page(&self) -> &'static str {
        include_str!("pages/push_vs_poll.html")
    }

    fn talk(&self, mut ws: WebSocket) -> ws_std::Result<()> {
        match self.measured.get_or_init(|| measure(600).map_err(|error| error.to_string())) {
            Ok(Measured { count, polls, pushes }) => {
                let (polls, pushes) = (polls.both(), pushes.both());
                ws.send(format!(r#"{{"count":{count},"polls":{polls:?},"pushes":{pushes:?}}}"#))?;
                while ws.read()?.is_some() {}
            }
            Err(error) => {
                eprintln!("push_vs_poll: {error}");
                ws.close(CloseCode::INTERNAL_ERROR, "the measurement has failed")?;
            }
        }
        Ok(())
    }

    fn check(&self, url: &str) -> Result<(), Box<dyn Error>> {
        let mut ws = ws_std::connect(url)?;
        let text = app::read_text(&mut ws, 3 * PATIENCE)?;
        let json: serde_json::Value = serde_json::from_str(&text)?;
        let total = |name: &str| Some(json[name][0].as_u64()? + json[name][1].as_u64()?);
        match (json["count"].as_u64(), total("polls"), total("pushes")) {
            (Some(600), Some(polls), Some(pushes)) if polls > 10 * pushes && pushes > 600 * 3 => {}
            _ => return Err(format!("this cannot be: {text}").into()),
        }
        Ok(ws.close(None, "").map(drop)?)
    }
}

#[allow(dead_code, reason = "the demo has its own")]
fn main() -> ExitCode {
    ws_examples::run("push_vs_poll", "usage: push_vs_poll [COUNT]", |mut args| {
        let count = args.next().map_or(Ok(600), |count| {
            let parsed = count.parse().ok().filter(|count| (1..=10_000).contains(count));
            parsed.ok_or_else(|| format!("{count:?}: not a number from 1 to 10000"))
        })?;
        println!("{}", measure(count)?);
        Ok(())
    })
}
