//! Engine.IO 4: sessions over HTTP long-polling and WebSockets, with upgrades from one to the other.

mod packet;
mod session;
mod websocket;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::any;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use tokio::time::Instant;
use ws_core::endpoint::Origins;

pub use packet::encode;
use session::Carrier;

use crate::lock;
pub use session::{OnMessage, Session};

/// Limits and time-outs. The defaults are those of the original server.
#[derive(Clone, Debug)]
pub struct Options {
    /// The time between two Pings.
    pub ping_interval: Duration,
    /// How long a client may take to answer a Ping, and to fetch the rest of a session that the server closes.
    pub ping_timeout: Duration,
    /// How long a client may take to connect to its first namespace.
    pub connect_timeout: Duration,
    /// The longest body of a POST request and the longest WebSocket message, in bytes.
    pub max_payload: usize,
    /// A client that leaves more than this unread, in bytes, is closed with the next message to it.
    pub max_queue: usize,
    /// Pages from these origins may connect, by either transport.
    pub origins: Origins,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(45),
            max_payload: 1_000_000,
            max_queue: 16 << 20,
            origins: Origins::Same,
        }
    }
}

/// Why a request is refused, in the words of the original server.
struct Refusal(StatusCode, u8, &'static str);

const UNKNOWN_TRANSPORT: Refusal = Refusal(StatusCode::BAD_REQUEST, 0, "Transport unknown");
const UNKNOWN_SID: Refusal = Refusal(StatusCode::BAD_REQUEST, 1, "Session ID unknown");
const BAD_METHOD: Refusal = Refusal(StatusCode::BAD_REQUEST, 2, "Bad handshake method");
const BAD_REQUEST: Refusal = Refusal(StatusCode::BAD_REQUEST, 3, "Bad request");
const TOO_LARGE: Refusal = Refusal(StatusCode::PAYLOAD_TOO_LARGE, 3, "Payload too large");
const FORBIDDEN: Refusal = Refusal(StatusCode::FORBIDDEN, 4, "Forbidden");
const UNSUPPORTED: Refusal = Refusal(StatusCode::BAD_REQUEST, 5, "Unsupported protocol version");

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "code": self.1, "message": self.2 }).to_string();
        (self.0, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

type OnSession = dyn Fn(Session) -> OnMessage + Send + Sync;

/// A server of sessions. A clone is another handle of the same server.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    options: Options,
    sessions: Mutex<HashMap<String, Session>>,
    on_session: Box<OnSession>,
}

impl Engine {
    /// Calls `on_session` for each new session. It returns the function that handles the messages of that session.
    pub fn new(
        options: Options,
        on_session: impl Fn(Session) -> OnMessage + Send + Sync + 'static,
    ) -> Self {
        let on_session = Box::new(on_session);
        Self(Arc::new(Inner { options, sessions: Mutex::default(), on_session }))
    }

    /// Returns the routes of the server, at `path`, such as `/engine.io/`.
    pub fn router(&self, path: &str) -> Router {
        Router::new().route(path, any(answer)).with_state(self.clone())
    }

    fn options(&self) -> &Options {
        &self.0.options
    }

    fn open(&self, carrier: Carrier) -> Session {
        let (options, id) = (self.options(), new_id());
        let session = Session::new(carrier, options.max_queue);
        let handshake = json!({
            "sid": id,
            "upgrades": if carrier == Carrier::Polling { vec!["websocket"] } else { vec![] },
            "pingInterval": options.ping_interval.as_millis() as u64,
            "pingTimeout": options.ping_timeout.as_millis() as u64,
            "maxPayload": options.max_payload,
        });
        session.send([format!("0{handshake}").into()]);
        session.listen((self.0.on_session)(session.clone()));
        lock(&self.0.sessions).insert(id.clone(), session.clone());
        let (engine, beating, start) = (self.clone(), session.clone(), Instant::now());
        tokio::spawn(async move {
            let options = engine.options();
            beating.heartbeat(start, options.ping_interval, options.ping_timeout).await;
            lock(&engine.0.sessions).remove(&id);
        });
        session
    }

    fn allows(&self, headers: &HeaderMap) -> bool {
        if headers.get_all(header::ORIGIN).iter().nth(1).is_some() {
            return false; // RFC 6454 §7.3 allows one: another reader of the request might see the other
        }
        let text = |name| headers.get(name).map(HeaderValue::to_str).transpose();
        match (text(header::ORIGIN), text(header::HOST)) {
            (Ok(origin), Ok(host)) => {
                self.options().origins.check(origin, host.unwrap_or_default()).is_ok()
            }
            _ => false,
        }
    }

    async fn dispatch(&self, request: Request) -> Result<Response, Refusal> {
        let transport = query(&request, "transport").unwrap_or_default();
        if !["polling", "websocket"].contains(&transport) {
            return Err(UNKNOWN_TRANSPORT);
        }
        if query(&request, "EIO") != Some("4") {
            return Err(UNSUPPORTED);
        }
        let session = match query(&request, "sid") {
            Some(sid) => Some(lock(&self.0.sessions).get(sid).cloned().ok_or(UNKNOWN_SID)?),
            None if request.method() != Method::GET => return Err(BAD_METHOD),
            None => None,
        };
        if transport == "websocket" {
            return self.websocket(request, session);
        }
        let session = session.unwrap_or_else(|| self.open(Carrier::Polling));
        match *request.method() {
            Method::GET => poll(&session).await,
            Method::POST => self.post(&session, request).await,
            _ => Err(BAD_REQUEST),
        }
    }

    async fn post(&self, session: &Session, request: Request) -> Result<Response, Refusal> {
        let claim = session.request(&Method::POST).ok_or(BAD_REQUEST)?;
        let body = tokio::select! {
            body = to_bytes(request.into_body(), self.options().max_payload) => body,
            () = session.closed() => return Err(BAD_REQUEST),
        };
        if receive(session, &body.map_err(|_| TOO_LARGE)?).await.is_none() {
            session.abort("parse error");
            return Err(BAD_REQUEST);
        }
        claim.finish();
        // Not as plain text, in which a browser that expects XML sees an error.
        Ok(([(header::CONTENT_TYPE, "text/html")], "ok").into_response())
    }
}

/// Returns 20 characters that nobody can guess, because whoever knows the id of a session can use it.
pub(crate) fn new_id() -> String {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Answers a request, with the headers that let a page of an allowed origin read the response.
async fn answer(State(engine): State<Engine>, request: Request) -> Response {
    if !engine.allows(request.headers()) {
        return FORBIDDEN.into_response();
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let origin = origin.map(|origin| (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin));
    let vary = origin.as_ref().map(|_| (header::VARY, HeaderValue::from_static("Origin")));
    let response = match *request.method() {
        Method::OPTIONS => preflight(request.headers()),
        _ => engine.dispatch(request).await.into_response(),
    };
    (AppendHeaders(origin.into_iter().chain(vary)), response).into_response()
}

fn preflight(asked: &HeaderMap) -> Response {
    let methods = [(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST")];
    let names = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let names = names.map(|names| (header::ACCESS_CONTROL_ALLOW_HEADERS, names));
    (StatusCode::NO_CONTENT, methods, AppendHeaders(names)).into_response()
}

fn query<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let pairs = request.uri().query()?.split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|pair| pair.0 == name).map(|pair| pair.1)
}

async fn poll(session: &Session) -> Result<Response, Refusal> {
    let claim = session.request(&Method::GET).ok_or(BAD_REQUEST)?;
    let body = session.poll().await;
    claim.finish();
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=UTF-8"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

/// Handles the packets in a body, if all of it is well-formed.
async fn receive(session: &Session, body: &[u8]) -> Option<()> {
    let packets = packet::decode_payload(std::str::from_utf8(body).ok()?)?;
    for (count, packet) in (1..).zip(packets) {
        session.receive(packet);
        if count % 100 == 0 {
            tokio::task::yield_now().await; // other clients have their turn
        }
    }
    Some(())
}
