//! A WebSocket on the command line: `cargo run --release --example ws -- connect URL`, or `… serve ADDR`.
//!
//! `connect` sends the lines of standard input and prints what it receives, one message per line. At the end of
//! the input it closes the connection and prints what still arrives; with `--stay` it keeps the connection open. The exit status is 0 if
//! the connection was closed with 1000, 1001 or no code, and 1 otherwise.
//! `wss://` needs a build with `--features rustls`. `--proxy` connects through an HTTP or SOCKS5 proxy.
//!
//! `serve` prints the messages of clients. With `--echo` it sends each message back, and with `--broadcast` it sends it
//! to the others. Without `--echo` it also sends the lines of standard input to all clients.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use ws_examples::{Args, Deflate, app, printable, say};
use ws_std::{
    CloseCode, CloseInfo, Config, Connector, Hub, Incoming, Message, Origins, Trace, UrlError,
    Writer,
};

const USAGE: &str = "usage: ws connect URL [--header 'NAME: VALUE']... [--proxy URL] [--binary] [--stay] [OPTION]..., \
                     or ws serve ADDR [--echo | --broadcast] [--host HOST]... [OPTION]...; options: --protocol NAME, \
                     --origin ORIGIN, --ping-interval 10s, --max-message BYTES, --trace, --deflate, \
                     --deflate-window BITS, --deflate-no-takeover";

fn main() -> ExitCode {
    ws_examples::run("ws", USAGE, |mut args| match args.next().as_deref() {
        Some("connect") => connect(args),
        Some("serve") => serve(args),
        Some(other) => Err(args.unexpected(other)),
        None => Err(USAGE.into()),
    })
}

/// The options of both commands.
struct Options {
    config: Config,
    protocols: Vec<String>,
    origins: Vec<String>,
    trace: bool,
    deflate: Deflate,
}

impl Options {
    fn new() -> Self {
        // Pings detect a peer that is gone, and keep proxies from ending a silent connection.
        let config = Config::new().ping_interval(Some(Duration::from_secs(30)));
        Self {
            config,
            protocols: Vec::new(),
            origins: Vec::new(),
            trace: false,
            deflate: Deflate::default(),
        }
    }

    fn take(&mut self, arg: &str, args: &mut Args) -> Result<bool, Box<dyn Error>> {
        match arg {
            "--protocol" => self.protocols.push(args.value(arg)?),
            "--origin" => self.origins.push(args.value(arg)?),
            "--ping-interval" => {
                self.config = self.config.ping_interval(Some(args.duration(arg)?));
            }
            "--max-message" => {
                let bytes = args.number(arg)?;
                self.config = self.config.max_message(bytes).max_frame(bytes);
            }
            "--trace" => self.trace = true,
            _ => return self.deflate.take(arg, args),
        }
        Ok(true)
    }
}

fn connect(mut args: Args) -> Result<(), Box<dyn Error>> {
    let mut options = Options::new();
    let (mut url, mut binary, mut stay) = (None, false, false);
    let mut connector = Connector::builder();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--header" => {
                let field = args.value(&arg)?;
                let (name, value) =
                    field.split_once(':').ok_or_else(|| format!("{field:?}: not NAME: VALUE"))?;
                connector = connector.header(name.trim(), value.trim());
            }
            "--proxy" => connector = connector.proxy(&args.value(&arg)?),
            "--binary" => binary = true,
            "--stay" => stay = true,
            _ if options.take(&arg, &mut args)? => {}
            _ if url.is_none() && !arg.starts_with('-') => url = Some(arg),
            _ => return Err(args.unexpected(&arg)),
        }
    }
    let url = url.ok_or(USAGE)?;
    connector = connector
        .config(options.config)
        .protocols(options.protocols)
        .deflate(options.deflate.compression());
    if let Some(origin) = options.origins.pop() {
        connector = connector.origin(origin);
    }
    if options.trace {
        connector = connector.trace(|trace| log(format!("{trace}\n")));
    }
    let ws = connector.connect(&url).map_err(|error| match error {
        ws_std::Error::Url(UrlError::Tls) => "wss:// needs a build with --features rustls".into(),
        error => error.to_string(),
    })?;
    let open = ws.subprotocol().map_or("open".into(), |name| format!("open, subprotocol {name}"));
    let (mut reader, writer) = ws.split()?;
    let fault = Arc::new(OnceLock::new());
    let (closer, told) = (writer.clone(), fault.clone());
    ctrlc::set_handler(move || drop(closer.start_close(CloseCode::NORMAL, "")))?;
    eprintln!("{open}");
    thread::spawn(move || {
        let result = send_lines(&writer, binary);
        if !stay || result.is_err() {
            let _ = result.map_err(|error| told.set(error));
            let _ = writer.start_close(CloseCode::NORMAL, "");
        }
    });
    while let Some(message) = reader.read()? {
        say(shown(&message))?;
    }
    match (fault.get(), reader.close_info()) {
        (Some(fault), _) => Err(fault.as_str().into()),
        (None, Some(info)) if is_fine(&info) => Ok(()),
        (None, info) => Err(format!("the connection ended: {}", ending(info)).into()),
    }
}

/// Sends the lines of standard input, until the input or the connection ends.
fn send_lines(writer: &Writer, binary: bool) -> Result<(), String> {
    for line in io::stdin().lines() {
        let line = line.map_err(|error| format!("standard input: {error}"))?;
        let message: Message = if binary { bytes(&line)?.into() } else { line.into() };
        if writer.send(message).is_err() {
            // The reader reports why.
            break;
        }
    }
    Ok(())
}

/// Returns the bytes that a line contains in hexadecimal.
fn bytes(line: &str) -> Result<Vec<u8>, String> {
    let digits = line.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16));
    let digits: Option<Vec<u32>> = digits.collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0);
    let digits = digits.ok_or_else(|| format!("{line:?}: not bytes in hexadecimal"))?;
    Ok(digits.chunks_exact(2).map(|two| (two[0] << 4 | two[1]) as u8).collect())
}

/// What the server does with the messages of clients, in addition to printing them.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Print,
    Echo,
    Broadcast,
}

fn serve(mut args: Args) -> Result<(), Box<dyn Error>> {
    let mut options = Options::new();
    let (mut address, mut mode, mut hosts) = (None, Mode::Print, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--echo" if mode == Mode::Print => mode = Mode::Echo,
            "--broadcast" if mode == Mode::Print => mode = Mode::Broadcast,
            "--origin" => options.origins.push(args.origin(&arg)?),
            "--host" => hosts.push(args.host(&arg)?),
            _ if options.take(&arg, &mut args)? => {}
            _ if address.is_none() && !arg.starts_with('-') => address = Some(arg),
            _ => return Err(args.unexpected(&arg)),
        }
    }
    let mut builder = app::listener()
        .config(options.config)
        .protocols(options.protocols)
        .deflate(options.deflate.compression());
    if !options.origins.is_empty() {
        builder = builder.origins(Origins::List(options.origins));
    }
    if options.trace {
        builder = builder.trace(trace);
    }
    let address = address.ok_or(USAGE)?;
    let listener = app::with_hosts(builder, &address, &hosts)
        .bind(&address)
        .map_err(|error| format!("{address}: {error}"))?;
    app::close_at_ctrl_c(&listener)?;
    say(format_args!("listening on ws://{}", listener.local_addr()?))?;

    let hub = Hub::new();
    if mode != Mode::Echo {
        let hub = hub.clone();
        thread::spawn(move || {
            for line in io::stdin().lines().map_while(Result::ok) {
                hub.broadcast(line);
            }
        });
    }
    app::for_each_client(listener, move |incoming| talk(incoming, mode, &hub))
}

fn talk(incoming: Incoming, mode: Mode, hub: &Hub) -> ws_std::Result<()> {
    let peer = incoming.peer_addr();
    let print = |message: &Message| say(format_args!("{peer}: {}", shown(message)));
    let mut ws = incoming.accept()?;
    eprintln!("{peer}: open");
    if mode == Mode::Echo {
        // This does not use the hub, so a client that sends without reading has to wait instead of being dropped.
        while let Some(message) = ws.read()? {
            print(&message)?;
            ws.queue(message)?;
        }
        eprintln!("{peer}: {}", ending(ws.close_info()));
        return Ok(());
    }
    let mut member = hub.join(ws)?;
    while let Some(message) = member.read()? {
        print(&message)?;
        if mode == Mode::Broadcast {
            hub.broadcast_except(member.id(), message);
        }
    }
    eprintln!("{peer}: {}", ending(member.close_info()));
    Ok(())
}

/// Prints heads and frames. Each line begins with the peer.
fn trace(trace: &Trace<'_>) {
    let peer = trace.peer.map(|peer| peer.to_string()).unwrap_or_default();
    log(trace.to_string().lines().map(|line| format!("{peer} {line}\n")).collect());
}

/// Writes the text with one call, because other threads write, too.
fn log(text: String) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Returns a message as one line, without characters that control the terminal.
fn shown(message: &Message) -> String {
    if let Some(text) = message.as_text() {
        return printable(text);
    }
    let mut line = "binary: ".to_owned();
    for byte in message.as_bytes() {
        line.push_str(&format!("{byte:02x}"));
    }
    line
}

fn is_fine(info: &CloseInfo) -> bool {
    let fine = [CloseCode::NORMAL, CloseCode::GOING_AWAY, CloseCode::NO_STATUS];
    fine.contains(&info.code)
}

fn ending(info: Option<CloseInfo>) -> String {
    match info {
        Some(info) if info.code != CloseCode::ABNORMAL => format!("closed, {info}"),
        Some(info) if info.sent.is_some() => format!("lost, {info}"),
        _ => "lost without a Close frame".into(),
    }
}
