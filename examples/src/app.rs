//! What the applications share: pages and WebSockets on one port, until Ctrl-C.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::{Args, events};
use serde_json::Value;
use ws_std::deflate::{Compression, DeflateConfig};
use ws_std::{
    Config, HttpResponse, Incoming, Listener, ListenerBuilder, Member, Message, Origins,
    PendingRequest, WebSocket,
};

/// How long connections have to close when the program ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How long an application waits between two messages of a client, where each goes to many. Nobody
/// types faster, and what somebody floods us with waits in their own TCP.
pub const PACE: Duration = Duration::from_millis(10);

/// A page, and the WebSockets that it opens.
pub trait App: Send + Sync + 'static {
    /// The page, in HTML. It finds its WebSocket at `ws`, relative to itself.
    fn page(&self) -> &'static str;

    /// Talks to one client, on a thread of its own, until the connection is over.
    ///
    /// # Errors
    ///
    /// As of the connection.
    fn talk(&self, ws: WebSocket) -> ws_std::Result<()>;

    /// Answers another request below the page; `None` is a 404. A HEAD is asked as a GET. What is not a GET
    /// comes from a page of the same origin, or from no page at all.
    fn http(&self, _method: &str, _path: &str) -> Option<Answer> {
        None
    }

    /// Talks to itself as a client would, at this URL.
    ///
    /// # Errors
    ///
    /// It does not do what it should.
    fn check(&self, url: &str) -> Result<(), Box<dyn Error>>;
}

/// What answers a request.
#[derive(Debug)]
pub enum Answer {
    /// A status and a text.
    Text(u16, String),
    /// 405: the path has these methods alone (RFC 9110 §15.5.6).
    Only(&'static str),
}

/// Applications and their paths: `""` is the root, `"/chat"` has its page at `/chat/`.
pub type Apps = Vec<(&'static str, Arc<dyn App>)>;

/// The settings that a server on the open net needs: dead peers are found out, messages and connections
/// are limited. Long messages are compressed, those to many once for all.
pub fn listener() -> ListenerBuilder {
    let config = Config::new().ping_interval(Some(Duration::from_secs(30))).max_message(64 * 1024);
    let deflate = DeflateConfig::new().server_no_context_takeover(true);
    Listener::builder()
        .config(config)
        .deflate(Compression::default().negotiation(deflate))
        .max_connections(10_000)
}

/// Sets the hosts that a server answers to which listens on this address: those that `--host` names and, on a loopback
/// address, the names of this machine. Otherwise a page of another site could reach it under a name of that site (DNS
/// rebinding). On another address, without `--host`, it answers to every host.
pub fn with_hosts(builder: ListenerBuilder, address: &str, named: &[String]) -> ListenerBuilder {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_local = host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback());
    let own = ["localhost", "127.0.0.1", "[::1]", host].into_iter().filter(|_| is_local);
    let hosts: Vec<&str> = own.chain(named.iter().map(String::as_str)).collect();
    if hosts.is_empty() { builder } else { builder.hosts(hosts) }
}

/// A program that is one application, without options of its own.
pub fn main(name: &str, app: impl App) -> ExitCode {
    crate::run(name, format!("usage: {name} [ADDR] [--host HOST]... [--self-check]"), |mut args| {
        while let Some(arg) = args.next() {
            args.common(arg)?;
        }
        run(&args, listener(), vec![("", Arc::new(app))])
    })
}

/// Serves applications until Ctrl-C, when all connections are closed; or has them check themselves.
///
/// # Errors
///
/// The address cannot be listened on, or a check has failed.
pub fn run(args: &Args, builder: ListenerBuilder, apps: Apps) -> Result<(), Box<dyn Error>> {
    let address = if args.self_check() { "127.0.0.1:0" } else { args.address() };
    let builder = with_hosts(builder, address, args.hosts());
    if args.self_check() {
        return self_check(builder.bind(address)?, apps);
    }
    let listener = builder.bind(address).map_err(|error| format!("{address}: {error}"))?;
    let address = listener.local_addr()?;
    close_at_ctrl_c(&listener)?;
    println!("listening on ws://{address}");
    eprintln!("open http://{address}/ in a browser; Ctrl-C ends the server");
    let apps = Arc::new(apps);
    for_each_client(listener, move |incoming| answer(incoming, &apps))
}

/// Calls something for each client, on a thread of its own, until the listener is shut down. What goes
/// wrong is of one client, and is told on standard error.
///
/// # Errors
///
/// The listener has failed.
pub fn for_each_client(
    listener: Listener,
    talk: impl Fn(Incoming) -> ws_std::Result<()> + Send + Sync + 'static,
) -> Result<(), Box<dyn Error>> {
    let talk = Arc::new(talk);
    for incoming in listener {
        let (incoming, talk) = (incoming?, talk.clone());
        let client = incoming.peer_addr();
        let talk = move || {
            if let Err(error) = talk(incoming) {
                eprintln!("{client}: {error}");
            }
        };
        if let Err(error) = thread::Builder::new().spawn(talk) {
            eprintln!("{client}: no thread for it: {error}");
        }
    }
    Ok(())
}

/// At Ctrl-C, closes the connections of a listener and ends its loop; the second time, the program.
///
/// # Errors
///
/// The signal has a handler already.
pub fn close_at_ctrl_c(listener: &Listener) -> Result<(), Box<dyn Error>> {
    let handle = listener.handle();
    let mut before = false;
    ctrlc::set_handler(move || {
        if std::mem::replace(&mut before, true) {
            std::process::exit(130);
        }
        handle.shutdown(PATIENCE);
    })?;
    Ok(())
}

/// Calls something for each message of a member, no faster than anybody types, to the end.
///
/// # Errors
///
/// As of the connection.
pub fn listen(member: &mut Member, mut take: impl FnMut(Message)) -> ws_std::Result<()> {
    while let Some(message) = member.read()? {
        take(message);
        thread::sleep(PACE);
    }
    Ok(())
}

/// Starts applications on a free port, and has each check itself.
fn self_check(listener: Listener, apps: Apps) -> Result<(), Box<dyn Error>> {
    let (address, handle) = (listener.local_addr()?, listener.handle());
    let apps = Arc::new(apps);
    let served = apps.clone();
    let server = thread::spawn(move || {
        for incoming in listener.map_while(Result::ok) {
            let apps = served.clone();
            thread::spawn(move || answer(incoming, &apps));
        }
    });
    for (path, app) in apps.iter() {
        let name = if path.is_empty() { "/" } else { path };
        get(address, &format!("{path}/"))
            .and_then(|page| if page == app.page() { Ok(()) } else { Err("another page".into()) })
            .and_then(|()| app.check(&format!("ws://{address}{path}/ws")))
            .map_err(|error| format!("{name}: {error}"))?;
        println!("{name} is well");
    }
    handle.shutdown(PATIENCE);
    server.join().map_err(|_| io::Error::other("the server has panicked"))?;
    Ok(())
}

/// What plain HTTP finds at a path; for checks.
///
/// # Errors
///
/// There is nothing.
pub fn get(address: SocketAddr, path: &str) -> Result<String, Box<dyn Error>> {
    match http("GET", &format!("http://{address}{path}"))? {
        (200, body) => Ok(body),
        (status, _) => Err(format!("{path}: status {status}").into()),
    }
}

/// Asks by plain HTTP, without a body: the status and text of the answer; for checks.
///
/// # Errors
///
/// There is no answer.
pub fn http(method: &str, url: &str) -> Result<(u16, String), Box<dyn Error>> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "{method} /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or("not an HTTP response")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or("a response without a status")?, body.to_owned()))
}

/// Waits for a text; for checks.
///
/// # Errors
///
/// Another message comes, or none.
pub fn expect(ws: &mut WebSocket, text: &str) -> Result<(), Box<dyn Error>> {
    match read_text(ws, PATIENCE)? {
        got if got == text => Ok(()),
        got => Err(format!("expected {text:?}, got {got:?}").into()),
    }
}

/// Waits for the next event, which has to have this name, and returns its data; for checks.
///
/// # Errors
///
/// Another event comes, or none.
pub fn expect_event(ws: &mut WebSocket, name: &str) -> Result<Value, Box<dyn Error>> {
    let text = read_text(ws, PATIENCE)?;
    match events::parse(Some(&text)) {
        (got, data) if got == name => Ok(data),
        _ => Err(format!("expected the event {name:?}, got {text}").into()),
    }
}

/// Waits for the next text; for checks.
///
/// # Errors
///
/// There is none.
pub fn read_text(ws: &mut WebSocket, patience: Duration) -> Result<String, Box<dyn Error>> {
    ws.set_read_timeout(Some(patience));
    match ws.read()? {
        Some(message) => Ok(message.as_text().ok_or("a binary message")?.to_owned()),
        None => Err(format!("no more messages: {:?}", ws.close_info()).into()),
    }
}

/// For checks: fails with `rule` where it does not hold.
///
/// # Errors
///
/// It does not.
pub fn ensure(holds: bool, rule: &str) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(format!("it does not hold that {rule}").into()) }
}

/// Calls something at intervals, on a thread of its own, for as long as the program runs.
///
/// # Errors
///
/// The interval is zero or more than a day, or the system has no thread.
pub fn at_intervals(
    every: Duration,
    mut call: impl FnMut() + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    if every.is_zero() || every > DAY {
        return Err(format!("an interval of {every:?}: it is 1 ms to a day").into());
    }
    thread::Builder::new().spawn(move || {
        let mut next = Instant::now();
        loop {
            // From when it was due, so that nothing adds up; after a pause of the system nothing is made up for.
            next = (next + every).max(Instant::now());
            thread::sleep(next.saturating_duration_since(Instant::now()));
            call();
        }
    })?;
    Ok(())
}

/// Checks that all clients, one that comes late included, get the same texts at intervals; gives two.
///
/// # Errors
///
/// They do not.
pub fn same_for_all(url: &str, every: Duration) -> Result<[String; 2], Box<dyn Error>> {
    let patience = every + PATIENCE;
    let mut early = ws_std::connect(url)?;
    read_text(&mut early, patience)?;
    let mut late = ws_std::connect(url)?;
    let last = [read_text(&mut late, patience)?, read_text(&mut late, patience)?];
    // The other has got more by then.
    let (mut all, begun) = (Vec::new(), Instant::now());
    while !all.ends_with(&last) {
        if begun.elapsed() > patience {
            return Err(format!("one client got {last:?}, the other {all:?}").into());
        }
        all.push(read_text(&mut early, patience)?);
    }
    early.close(None, "")?;
    late.close(None, "")?;
    Ok(last)
}

/// Answers one request: the WebSocket of an application, its page, or what else it has.
fn answer(incoming: Incoming, apps: &Apps) -> ws_std::Result<()> {
    let request = incoming.request()?;
    let of = |(path, _): &&(&'static str, Arc<dyn App>)| below(request.path(), path).is_some();
    // The root is below every path: the longest one counts.
    let Some((path, app)) = apps.iter().filter(of).max_by_key(|(path, _)| path.len()) else {
        return request.reject(404);
    };
    let rest = below(request.path(), path).unwrap_or_default().to_owned();
    // To a HEAD the answer is that to a GET; its body is left out where it is sent.
    let method = if request.method() == "HEAD" { "GET" } else { request.method() }.to_owned();
    match (method.as_str(), rest.as_str()) {
        // What is no upgrade gets 426, and the log says why.
        ("GET", "/ws") => app.talk(request.accept()?),
        ("GET", "/") => send(request, 200, "text/html", app.page()),
        ("GET", "") => {
            // Relative links need the slash.
            let headers = &[("Location", &*format!("{path}/"))];
            request.http(&HttpResponse::new(308).headers(headers))
        }
        // A browser tells which page a request comes from: one elsewhere cannot change anything here
        // with the user's rights. Other programs send no Origin, and need other proof. A page whose own name was
        // made to point here, so that its Host and its Origin agree, is refused for its host: see `with_hosts`.
        (method, _) if method != "GET" && !is_own_page(&request) => {
            send(request, 403, "text/plain", "Not from a page of another origin.\n")
        }
        (_, "" | "/" | "/ws") => only(request, "GET, HEAD"),
        (method, rest) => match (method, shared(rest)) {
            ("GET", Some((kind, text))) => send(request, 200, kind, text),
            (_, Some(_)) => only(request, "GET, HEAD"),
            (_, None) => match app.http(method, rest) {
                Some(Answer::Text(status, text)) => send(request, status, "text/plain", &text),
                Some(Answer::Only(methods)) => only(request, methods),
                None => send(request, 404, "text/plain", "There is nothing here.\n"),
            },
        },
    }
}

/// Whether a request is from a page of this server, or not from a page at all.
fn is_own_page(request: &PendingRequest) -> bool {
    let host = request.host().unwrap_or_default();
    Origins::Same.check(request.origin(), host).is_ok()
}

/// What follows `path` in a request's path: nothing, or what begins with a slash.
fn below<'r>(requested: &'r str, path: &str) -> Option<&'r str> {
    requested.strip_prefix(path).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What all pages take in, beside each of them: its type and its text.
pub fn shared(path: &str) -> Option<(&'static str, &'static str)> {
    match path {
        "/app.css" => Some(("text/css", include_str!("../pages/app.css"))),
        "/socket.js" => Some(("text/javascript", include_str!("../pages/socket.js"))),
        _ => None,
    }
}

/// Answers that a path has other methods (RFC 9110 §15.5.6).
fn only(request: PendingRequest, methods: &str) -> ws_std::Result<()> {
    request.http(&HttpResponse::new(405).headers(&[("Allow", methods)]))
}

/// Answers with a text of a type.
///
/// # Errors
///
/// As of the connection.
pub fn send(request: PendingRequest, status: u16, kind: &str, body: &str) -> ws_std::Result<()> {
    let headers = &[
        ("Content-Type", &*format!("{kind}; charset=utf-8")),
        ("Cache-Control", "no-cache"),
        ("X-Content-Type-Options", "nosniff"),
    ];
    request.http(&HttpResponse::new(status).headers(headers).body(body.as_bytes()))
}
