//! An echo server with a page to try it: `cargo run --release --example echo_server -- [ADDR]`.

use std::process::ExitCode;
use std::thread;

use ws_examples::{Args, Deflate, app};
use ws_std::{Config, Incoming, Listener, ListenerBuilder, Origins, Result};

const USAGE: &str = "usage: echo_server [ADDR] [--max-message BYTES] [--max-frame BYTES] \
                     [--origin ORIGIN]... [--host HOST]... [--protocol NAME]... [--tls CHAIN.pem KEY.pem] \
                     [--fragment BYTES] [--deflate] [--deflate-window BITS] [--deflate-no-takeover]";
const PAGE: &str = include_str!("pages/echo.html");

fn main() -> ExitCode {
    ws_examples::run("echo_server", USAGE, serve)
}

fn serve(mut args: Args) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::new();
    let mut origins = Vec::new();
    let mut hosts = Vec::new();
    let mut protocols = Vec::new();
    let mut address = None;
    let mut tls = None;
    let mut fragment = None;
    let mut deflate = Deflate::default();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--max-message" => config = config.max_message(args.number(&arg)?),
            "--max-frame" => config = config.max_frame(args.number(&arg)?),
            "--origin" => origins.push(args.origin(&arg)?),
            "--host" => hosts.push(args.host(&arg)?),
            "--protocol" => protocols.push(args.value(&arg)?),
            "--tls" => tls = Some((args.value(&arg)?, args.value(&arg)?)),
            "--fragment" => fragment = Some(args.number(&arg)?.max(1) as usize),
            _ if deflate.take(&arg, &mut args)? => {}
            _ if address.is_none() && !arg.starts_with('-') => address = Some(arg),
            _ => return Err(args.unexpected(&arg)),
        }
    }
    let address = address.unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let mut builder = Listener::builder()
        .config(config)
        .deflate(deflate.compression())
        .origins(if origins.is_empty() { Origins::Same } else { Origins::List(origins) })
        .protocols(protocols);
    let scheme = if tls.is_some() { "wss" } else { "ws" };
    if let Some((chain, key)) = tls {
        builder = with_tls(builder, &chain, &key)?;
    }
    let builder = app::with_hosts(builder, &address, &hosts);
    let listener = builder.bind(&address).map_err(|error| format!("{address}: {error}"))?;
    println!("listening on {scheme}://{}", listener.local_addr()?);
    app::close_at_ctrl_c(&listener)?;
    for incoming in listener {
        let incoming = incoming?;
        let client = incoming.peer_addr();
        let spawned = thread::Builder::new().spawn(move || match echo(incoming, fragment) {
            Ok(how) => eprintln!("{client}: {how}"),
            Err(error) => eprintln!("{client}: {error}"),
        });
        if let Err(error) = spawned {
            eprintln!("{client}: no thread for it: {error}");
        }
    }
    Ok(())
}

#[cfg(feature = "rustls")]
fn with_tls(
    builder: ListenerBuilder,
    chain: &str,
    key: &str,
) -> std::result::Result<ListenerBuilder, Box<dyn std::error::Error>> {
    let read = |path| std::fs::read(path).map_err(|error| format!("{path}: {error}"));
    Ok(builder.certificate(&read(chain)?, &read(key)?)?)
}

#[cfg(not(feature = "rustls"))]
fn with_tls(
    _: ListenerBuilder,
    _: &str,
    _: &str,
) -> std::result::Result<ListenerBuilder, Box<dyn std::error::Error>> {
    Err("--tls needs a build with --features rustls".into())
}

/// Serves one connection: the page and the files that it needs, or an echo of every message until the client closes.
/// The replies are sent in fragments of about this many bytes, or whole.
fn echo(incoming: Incoming, fragment: Option<usize>) -> Result<String> {
    let request = incoming.request()?;
    // An upgrade by HTTP/1.0 gets 426, and the log says why.
    if !request.is_upgrade() && !request.is_http10_upgrade() {
        let target = request.target().to_owned();
        let (status, (kind, text)) = match (request.path(), app::shared(request.path())) {
            ("/", _) => (200, ("text/html", PAGE)),
            (_, Some(file)) => (200, file),
            (_, None) => (404, ("text/plain", "There is nothing here.\n")),
        };
        app::send(request, status, kind, text)?;
        return Ok(format!("{status} for {}", target.escape_debug()));
    }
    let mut ws = request.accept()?;
    if let Some(size) = fragment {
        while let Some(message) = ws.read()? {
            ws_examples::send_in_fragments(&mut ws, &message, size)?;
        }
    } else {
        while let Some((message, mut replier)) = ws.read_ref()? {
            replier.queue(message)?;
        }
    }
    Ok(match ws.close_info() {
        Some(info) if info.clean => format!("closed, {info}"),
        _ => "lost".to_owned(),
    })
}
