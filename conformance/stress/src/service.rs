//! The server that is attacked. Its path says which kind of service a connection gets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ws_std::deflate::{Compression, Pool};
use ws_std::{
    CloseCode, Config, Hub, Incoming, Listener, ListenerBuilder, ListenerHandle, Message, WebSocket,
};

/// How long an opening handshake may take.
pub const HANDSHAKE: Duration = Duration::from_secs(3);
/// After how long a silent peer gets a Ping, how long it may take to answer, and how long a write may take.
pub const PATIENCE: Duration = Duration::from_secs(2);
pub const CLOSING: Duration = Duration::from_secs(1);
/// How long a shutdown may take.
pub const SHUTDOWN: Duration = Duration::from_secs(3);
/// How long it may take until nothing is left of a server that was stopped.
const STOP: Duration = SHUTDOWN.saturating_add(Duration::from_secs(15));
/// The longest message.
pub const MAX_MESSAGE: u64 = 4 << 20;
/// How many engines the server's pool keeps of each kind.
pub const ENGINES: NonZeroUsize = NonZeroUsize::new(2).unwrap();
/// The panic of a handler that is meant to panic. Any other panic ends the server.
const ON_PURPOSE: &str = "on purpose";

/// The folder of certificates for tests.
pub const CERTIFICATES: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../ws-std/tests/certificates");

fn builder(tls: bool) -> ListenerBuilder {
    let config = Config::new()
        .max_message(MAX_MESSAGE)
        .max_frame(MAX_MESSAGE)
        .ping_interval(Some(PATIENCE))
        .pong_timeout(Some(PATIENCE))
        .close_timeout(Some(CLOSING));
    let builder = Listener::builder()
        .config(config)
        .deflate(Compression::new(&Pool::with_engines(ENGINES)))
        .handshake_timeout(Some(HANDSHAKE))
        .write_timeout(Some(PATIENCE));
    if !tls {
        return builder;
    }
    let read = |name: &str| std::fs::read(format!("{CERTIFICATES}/{name}")).expect("a certificate");
    builder.certificate(&read("server.pem"), &read("server.key")).expect("a valid certificate")
}

/// Does what the lines of the standard input say, until it ends or says `shutdown`:
///
/// - `start` makes the server, and prints its address;
/// - `live` prints how many bytes this process has allocated and not freed;
/// - `stop` shuts the server down, drops all that belongs to it, and prints how many bytes its engines and its settings
///   had.
///
/// `--tls` for TLS; `--std-backlog` for a listener with the backlog of the standard library.
pub fn serve(arguments: &[String]) {
    let ordinary = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&ON_PURPOSE) {
            ordinary(info);
            std::process::abort();
        }
    }));
    let mut server = None;
    for command in std::io::stdin().lines().map_while(Result::ok) {
        match command.as_str() {
            "start" => println!("{}", server.insert(Running::start(arguments)).address),
            "live" => println!("{}", crate::live()),
            "stop" => {
                let (engines, settings) = server.take().map_or((0, 0), Running::stop);
                println!("{engines} {settings}");
            }
            _ => break,
        }
    }
    if let Some(server) = server {
        server.stop();
    }
}

struct Running {
    address: SocketAddr,
    handle: ListenerHandle,
    serving: JoinHandle<()>,
    /// They hold the pool of engines, and the configuration of TLS with its sessions.
    settings: ListenerBuilder,
}

impl Running {
    fn start(arguments: &[String]) -> Self {
        let settings = builder(arguments.iter().any(|argument| argument == "--tls"));
        let listener = if arguments.iter().any(|argument| argument == "--std-backlog") {
            settings.clone().listen_on(TcpListener::bind("127.0.0.1:0").expect("a free port"))
        } else {
            settings.clone().bind("127.0.0.1:0").expect("a free port")
        };
        let address = listener.local_addr().expect("an address");
        let handle = listener.handle();
        let serving = thread::spawn(move || accept_all(listener));
        Self { address, handle, serving, settings }
    }

    /// Returns how many bytes the engines and the settings had.
    fn stop(self) -> (u64, u64) {
        let Self { handle, serving, settings, .. } = self;
        // When this returns, `_stopped` is dropped. If that takes too long, the thread ends the process.
        let (_stopped, is_stopped) = mpsc::channel::<()>();
        thread::spawn(move || {
            if is_stopped.recv_timeout(STOP) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("the server runs {STOP:?} after its shutdown");
                std::process::abort();
            }
        });
        handle.shutdown(SHUTDOWN);
        // A panic would have ended the process.
        let _ = serving.join();
        drop(handle);
        let with_both = crate::live();
        let settings = settings.deflate(None);
        let with_settings = crate::live();
        drop(settings);
        let engines = with_both.saturating_sub(with_settings);
        (engines, with_settings.saturating_sub(crate::live()))
    }
}

fn accept_all(listener: Listener) {
    let hub = Hub::with_limits(1024, 1 << 20);
    for incoming in listener {
        let Ok(incoming) = incoming else { continue };
        let hub = hub.clone();
        let _ =
            thread::Builder::new().stack_size(192 * 1024).spawn(move || handle_one(incoming, &hub));
    }
}

fn handle_one(incoming: Incoming, hub: &Hub) -> ws_std::Result<()> {
    let request = incoming.request()?;
    let path = request.path().to_owned();
    if path == "/panic-request" {
        std::panic::panic_any(ON_PURPOSE);
    }
    if !request.is_upgrade() {
        return request.reject(404);
    }
    let ws = request.accept()?;
    match path.as_str() {
        "/split" => split(ws),
        "/stream" => stream(ws),
        "/lend" => lend(ws),
        "/hub" => join(ws, hub),
        "/close" => close(ws),
        "/panic" => panics(ws),
        _ => echo(ws),
    }
}

fn echo(mut ws: WebSocket) -> ws_std::Result<()> {
    while let Some(message) = ws.read()? {
        ws.queue(message)?;
    }
    Ok(())
}

fn lend(mut ws: WebSocket) -> ws_std::Result<()> {
    while let Some((message, mut replier)) = ws.read_ref()? {
        replier.queue(message)?;
    }
    Ok(())
}

fn stream(mut ws: WebSocket) -> ws_std::Result<()> {
    while let Some(mut message) = ws.read_stream()? {
        let (mut bytes, kind) = (Vec::new(), message.kind());
        message.read_to_end(&mut bytes)?;
        drop(message);
        let mut message = ws.write_stream(kind);
        message.write_all(&bytes)?;
        message.finish()?;
    }
    Ok(())
}

fn split(ws: WebSocket) -> ws_std::Result<()> {
    let (mut reader, writer) = ws.split()?;
    let (tell, told) = std::sync::mpsc::sync_channel::<Message>(16);
    let writing = thread::Builder::new()
        .stack_size(192 * 1024)
        .spawn(move || told.iter().try_for_each(|message| writer.send(message)))?;
    let result = loop {
        match reader.read() {
            Ok(Some(message)) => {
                if tell.send(message).is_err() {
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    drop((tell, reader));
    let _ = writing.join();
    result
}

fn join(ws: WebSocket, hub: &Hub) -> ws_std::Result<()> {
    let mut member = hub.join(ws)?;
    while let Some(message) = member.read()? {
        // The number of members, or a message for all of them.
        if message.as_text() == Some("count") {
            member.send(hub.len().to_string());
        } else {
            hub.broadcast_except(member.id(), message);
        }
    }
    Ok(())
}

fn close(mut ws: WebSocket) -> ws_std::Result<()> {
    ws.close(CloseCode::NORMAL, "bye").map(drop)
}

fn panics(mut ws: WebSocket) -> ws_std::Result<()> {
    let _message = ws.read()?;
    std::panic::panic_any(ON_PURPOSE);
}

/// A client's TLS settings, which trust the tests' root.
pub fn trusting() -> Arc<ws_std::rustls::ClientConfig> {
    use ws_std::rustls::pki_types::{CertificateDer, pem::PemObject};
    let root = CertificateDer::from_pem_file(format!("{CERTIFICATES}/ca.pem")).expect("the root");
    let mut roots = ws_std::rustls::RootCertStore::empty();
    roots.add(root).expect("a valid root");
    let provider = Arc::new(ws_std::rustls::crypto::ring::default_provider());
    let config = ws_std::rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}
