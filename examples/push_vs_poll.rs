//! Measures the bytes of 600 polls and of 600 pushes: `cargo run --release --example push_vs_poll -- [COUNT]`.
//!
//! The client's streams count what they really write and read, over loopback: HTTP and WebSocket as a browser
//! sends them, with the opening and closing handshakes. Two things are not included: the headers of TCP and IP, which are
//! at least 40 bytes for each packet, and the packets that open and close a connection. Each poll here has a connection of its own.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use ws_std::{CloseCode, Connector, HttpResponse, Incoming, Listener, Plain};

/// A time-out that is longer than any step takes.
const PATIENCE: Duration = Duration::from_secs(10);
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                     Chrome/141.0.0.0 Safari/537.36";
/// The fields that a browser sends for a `fetch` of a page, after Host, User-Agent and Referer.
const FETCH: &str = "Connection: keep-alive\r\nsec-ch-ua-platform: \"Linux\"\r\n\
    sec-ch-ua: \"Chromium\";v=\"141\", \"Not?A_Brand\";v=\"8\"\r\nsec-ch-ua-mobile: ?0\r\n\
    Accept: */*\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n";

/// Bytes up and down, as the client sees them.
pub(crate) type Bytes = [u64; 2];

/// A stream that counts its bytes.
struct Counted(TcpStream, Bytes);

impl Counted {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(stream, [0; 2]))
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).inspect(|count| self.1[1] += *count as u64)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).inspect(|count| self.1[0] += *count as u64)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Returns the value that is polled and pushed, a number like the ticker's.
fn value(at: u64) -> String {
    (at % 1000).to_string()
}

/// Measures the bytes of polls and of pushes, with a server that runs only for this.
pub(crate) fn measure(count: u64) -> Result<[Bytes; 2], Box<dyn Error>> {
    let listener = Listener::builder().hosts(["127.0.0.1"]).bind("127.0.0.1:0")?;
    let (address, handle) = (listener.local_addr()?, listener.handle());
    let server = thread::spawn(move || {
        let mut polled = 0;
        for incoming in listener.map_while(Result::ok) {
            // If it fails, the client sees it.
            let _ = answer(incoming, &mut polled, count);
        }
    });
    let polls = (0..count).try_fold([0; 2], |sum, at| {
        let [up, down] = poll(address, &value(at))?;
        Ok([sum[0] + up, sum[1] + down])
    });
    let result = polls.and_then(|polls| Ok([polls, push(address, count)?]));
    handle.shutdown(PATIENCE);
    server.join().map_err(|_| "the server has panicked")?;
    result
}

/// The server. It answers each GET with the next value, and sends all values over a WebSocket.
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
    request.http(&HttpResponse::new(200).headers(headers).body(value.as_bytes()))
}

fn poll(address: SocketAddr, expected: &str) -> Result<Bytes, Box<dyn Error>> {
    let mut stream = Counted::connect(address)?;
    let own = format!("Host: {address}\r\nUser-Agent: {AGENT}\r\nReferer: http://{address}/\r\n");
    stream.write_all(format!("GET /value HTTP/1.1\r\n{own}{FETCH}").as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    match response.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") && body == expected => Ok(stream.1),
        _ => Err(format!("expected {expected}, got {response:?}").into()),
    }
}

fn push(address: SocketAddr, count: u64) -> Result<Bytes, Box<dyn Error>> {
    let mut ws = Connector::builder()
        .origin(format!("http://{address}"))
        .header("Pragma", "no-cache")
        .header("Cache-Control", "no-cache")
        .header("User-Agent", AGENT)
        .header("Accept-Encoding", "gzip, deflate, br, zstd")
        .header("Accept-Language", "en-US,en;q=0.9")
        .connect_over(&format!("ws://{address}/value"), Plain(Counted::connect(address)?))?;
    for at in 0..count {
        match ws.read()? {
            Some(message) if message.as_text() == Some(&value(at)) => {}
            other => return Err(format!("expected {}, got {other:?}", value(at)).into()),
        }
    }
    ws.close(CloseCode::NORMAL, "")?;
    Ok(ws.stream().get_ref().0.1)
}

fn print(count: u64, measured: [Bytes; 2]) {
    println!("{:13}{:>10}{:>12}{:>14}", "", "bytes up", "bytes down", "per message");
    for (name, [up, down]) in ["polls", "pushes"].into_iter().zip(measured) {
        let each = (up + down) as f64 / count as f64;
        println!("{:13}{up:>10}{down:>12}{each:>14.1}", format!("{count} {name}"));
    }
    let [polls, pushes] = measured.map(|[up, down]| (up + down) as f64);
    println!("Polling takes {:.0} times the bytes.", polls / pushes);
}

#[allow(dead_code, reason = "the demo has its own")]
fn main() -> ExitCode {
    ws_examples::run("push_vs_poll", "usage: push_vs_poll [COUNT]", |mut args| {
        let count = args.next().unwrap_or_else(|| "600".to_owned());
        if let Some(more) = args.next() {
            return Err(args.unexpected(&more));
        }
        match count.parse() {
            Ok(count @ 1..=10_000) => measure(count).map(|measured| print(count, measured)),
            _ => Err(format!("{count:?}: not a number from 1 to 10000").into()),
        }
    })
}
