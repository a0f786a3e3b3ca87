//! The code that the applications share: pages and WebSockets on one port, until Ctrl-C.

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

/// How long an application waits between two messages of one client, if each is sent to many. Nobody types faster, and
/// whatever a client sends beyond that waits in its own TCP connection.
pub const PACE: Duration = Duration::from_millis(10);

/// A page, and the WebSockets that it opens.
pub trait App: Send + Sync + 'static {
    /// Returns the page, in HTML. It opens its WebSocket at `ws`, relative to its own URL.
    fn page(&self) -> &'static str;

    /// Talks to one client, on a thread of its own, until the connection is over.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection fails.
    fn talk(&self, ws: WebSocket) -> ws_std::Result<()>;

    /// Answers another request below the page. `None` means 404. For a HEAD request, `method` is `GET`. Requests with
    /// other methods come from a page of the same origin, or not from a page.
    fn http(&self, _method: &str, _path: &str) -> Option<Answer> {
        None
    }

    /// Checks the application with a client that connects to this URL.
    ///
    /// # Errors
    ///
    /// Returns an error if the application does not do what it should.
    fn check(&self, url: &str) -> Result<(), Box<dyn Error>>;
}

/// The answer to a request.
#[derive(Debug)]
pub enum Answer {
    /// A status and a text.
    Text(u16, String),
    /// 405, because the path supports only these methods (RFC 9110 §15.5.6).
    Only(&'static str),
}

/// Applications and their paths. `""` is the root, and `"/chat"` has its page at `/chat/`.
pub type Apps = Vec<(&'static str, Arc<dyn App>)>;

/// Returns the settings that a server on the internet needs: it detects dead peers, and limits messages and
/// connections. Long messages are compressed, and a message to many clients is compressed only once.
pub fn listener() -> ListenerBuilder {
    let config = Config::new().ping_interval(Some(Duration::from_secs(30))).max_message(64 * 1024);
    let deflate = DeflateConfig::new().server_no_context_takeover(true);
    Listener::builder()
        .config(config)
        .deflate(Compression::default().negotiation(deflate))
        .max_connections(10_000)
}

/// Sets the hosts that a server on this address answers to: those that `--host` names and, on a loopback address, the
/// names of this machine. Otherwise a page of another site could reach the server under a name of that site (DNS
/// rebinding). On other addresses, without `--host`, the server answers to every host.
pub fn with_hosts(builder: ListenerBuilder, address: &str, named: &[String]) -> ListenerBuilder {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_local = host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback());
    let own = ["localhost", "127.0.0.1", "[::1]", host].into_iter().filter(|_| is_local);
    let hosts: Vec<&str> = own.chain(named.iter().map(String::as_str)).collect();
    if hosts.is_empty() { builder } else { builder.hosts(hosts) }
}

/// Runs a program with a single application that has no options of its own.
pub fn main(name: &str, app: impl App) -> ExitCode {
    crate::run(name, format!("usage: {name} [ADDR] [--host HOST]... [--self-check]"), |mut args| {
        while let Some(arg) = args.next() {
            args.common(arg)?;
        }
        run(&args, listener(), vec![("", Arc::new(app))])
    })
}

/// Serves applications until Ctrl-C, and then closes all connections. With `--self-check`, it checks the applications
/// instead.
///
/// # Errors
///
/// Returns an error if it is not possible to listen on the address, or if a check fails.
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

/// Calls a function for each client, on a thread of its own, until the listener is shut down. Errors of a client are
/// printed on standard error.
///
/// # Errors
///
/// Returns an error if the listener fails.
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

/// Closes the connections of a listener and ends its loop when Ctrl-C is pressed. The second Ctrl-C ends the program.
///
/// # Errors
///
/// Returns an error if the signal already has a handler.
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

/// Calls a function for each message of a member until the connection ends. It pauses for [`PACE`] between two
/// messages.
///
/// # Errors
///
/// Returns an error if the connection fails.
pub fn listen(member: &mut Member, mut take: impl FnMut(Message)) -> ws_std::Result<()> {
    while let Some(message) = member.read()? {
        take(message);
        thread::sleep(PACE);
    }
    Ok(())
}

/// Starts applications on a free port, and checks each of them.
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

/// Returns the text that plain HTTP finds at a path. This is for checks.
///
/// # Errors
///
/// Returns an error if there is no such text.
pub fn get(address: SocketAddr, path: &str) -> Result<String, Box<dyn Error>> {
    match http("GET", &format!("http://{address}{path}"))? {
        (200, body) => Ok(body),
        (status, _) => Err(format!("{path}: status {status}").into()),
    }
}

/// Sends a plain HTTP request without a body, and returns the status and the text of the answer. This is for checks.
///
/// # Errors
///
/// Returns an error if there is no answer.
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

/// Waits for a certain text. This is for checks.
///
/// # Errors
///
/// Returns an error if another message arrives, or none.
pub fn expect(ws: &mut WebSocket, text: &str) -> Result<(), Box<dyn Error>> {
    match read_text(ws, PATIENCE)? {
        got if got == text => Ok(()),
        got => Err(format!("expected {text:?}, got {got:?}").into()),
    }
}

/// Waits for the next event, which must have this name, and returns its data. This is for checks.
///
/// # Errors
///
/// Returns an error if another event arrives, or none.
pub fn expect_event(ws: &mut WebSocket, name: &str) -> Result<Value, Box<dyn Error>> {
    let text = read_text(ws, PATIENCE)?;
    match events::parse(Some(&text)) {
        (got, data) if got == name => Ok(data),
        _ => Err(format!("expected the event {name:?}, got {text}").into()),
    }
}

/// Waits for the next text, and returns it. This is for checks.
///
/// # Errors
///
/// Returns an error if no text arrives.
pub fn read_text(ws: &mut WebSocket, patience: Duration) -> Result<String, Box<dyn Error>> {
    ws.set_read_timeout(Some(patience));
    match ws.read()? {
        Some(message) => Ok(message.as_text().ok_or("a binary message")?.to_owned()),
        None => Err(format!("no more messages: {:?}", ws.close_info()).into()),
    }
}

/// Returns an error with the text `rule` if the rule does not hold. This is for checks.
///
/// # Errors
///
/// It does not.
pub fn ensure(holds: bool, rule: &str) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(format!("it does not hold that {rule}").into()) }
}

/// Calls a function at intervals, on a thread of its own, for as long as the program runs.
///
/// # Errors
///
/// Returns an error if the interval is zero or more than a day, or if the thread cannot be started.
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
            // The next call is due at an interval from when this one was due, so delays do not add up. Calls that are
            // missed while the system sleeps are skipped.
            next = (next + every).max(Instant::now());
            thread::sleep(next.saturating_duration_since(Instant::now()));
            call();
        }
    })?;
    Ok(())
}

/// Checks that all clients receive the same texts at intervals, even one that connects late. Returns two of the texts.
///
/// # Errors
///
/// Returns an error if they do not.
pub fn same_for_all(url: &str, every: Duration) -> Result<[String; 2], Box<dyn Error>> {
    let patience = every + PATIENCE;
    let mut early = ws_std::connect(url)?;
    read_text(&mut early, patience)?;
    let mut late = ws_std::connect(url)?;
    let last = [read_text(&mut late, patience)?, read_text(&mut late, patience)?];
    // The early client has received more texts.
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

/// Answers one request: the WebSocket of an application, its page, or another path that it has.
fn answer(incoming: Incoming, apps: &Apps) -> ws_std::Result<()> {
    let request = incoming.request()?;
    let of = |(path, _): &&(&'static str, Arc<dyn App>)| below(request.path(), path).is_some();
    // Every path is below the root, so the longest path that matches counts.
    let Some((path, app)) = apps.iter().filter(of).max_by_key(|(path, _)| path.len()) else {
        return request.reject(404);
    };
    let rest = below(request.path(), path).unwrap_or_default().to_owned();
    // The answer to a HEAD request is that to a GET request. The library does not send its body.
    let method = if request.method() == "HEAD" { "GET" } else { request.method() }.to_owned();
    match (method.as_str(), rest.as_str()) {
        // A request that is not an upgrade gets 426, and the log says why.
        ("GET", "/ws") => app.talk(request.accept()?),
        ("GET", "/") => send(request, 200, "text/html", app.page()),
        ("GET", "") => {
            // Relative links need the slash.
            let headers = &[("Location", &*format!("{path}/"))];
            request.http(&HttpResponse::new(308).headers(headers))
        }
        // A browser sends the origin of the page from which a request comes. A page of another origin must not change
        // anything here with the user's rights. Other programs send no Origin, and would have to authenticate in
        // another way. A page whose own name leads to this server has an Origin that agrees with its Host; it is
        // refused because of the host, see `with_hosts`.
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

/// Returns whether a request comes from a page of this server, or not from a page.
fn is_own_page(request: &PendingRequest) -> bool {
    let host = request.host().unwrap_or_default();
    Origins::Same.check(request.origin(), host).is_ok()
}

/// Returns the rest of a request's path after `path`, which is empty or begins with a slash.
fn below<'r>(requested: &'r str, path: &str) -> Option<&'r str> {
    requested.strip_prefix(path).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns the type and the text of a file that all pages include. Each page finds it relative to its own URL.
pub fn shared(path: &str) -> Option<(&'static str, &'static str)> {
    match path {
        "/app.css" => Some(("text/css", include_str!("../pages/app.css"))),
        "/socket.js" => Some(("text/javascript", include_str!("../pages/socket.js"))),
        _ => None,
    }
}

/// Answers that a path supports only these methods (RFC 9110 §15.5.6).
fn only(request: PendingRequest, methods: &str) -> ws_std::Result<()> {
    request.http(&HttpResponse::new(405).headers(&[("Allow", methods)]))
}

/// Answers with a text of this content type.
///
/// # Errors
///
/// Returns an error if the connection fails.
pub fn send(request: PendingRequest, status: u16, kind: &str, body: &str) -> ws_std::Result<()> {
    let headers = &[
        ("Content-Type", &*format!("{kind}; charset=utf-8")),
        ("Cache-Control", "no-cache"),
        ("X-Content-Type-Options", "nosniff"),
    ];
    request.http(&HttpResponse::new(status).headers(headers).body(body.as_bytes()))
}
