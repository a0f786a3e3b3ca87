//! Engine.IO 4: sessions over HTTP long-polling and WebSockets, with upgrades from one to the other.

mod packet;
mod session;
mod websocket;

use std::{collections::HashMap, sync::Arc, sync::Mutex, time::Duration};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::{Router, routing::any};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use tokio::time::Instant;
use ws_core::endpoint::Origins;

use crate::lock;
pub use packet::encode;
use session::Carrier;
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
    /// A client for which more than this waits, in bytes, is closed with the next message to it. What is being written
    /// to it does not count.
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

struct Engine {
    options: Options,
    sessions: Mutex<HashMap<String, Session>>,
    on_session: Box<dyn Fn(Session) -> OnMessage + Send + Sync>,
}

/// Returns the routes of a server of sessions, at a `path` such as `/engine.io/`. For each new session, `on_session`
/// returns the function that handles its messages.
pub fn router(
    path: &str,
    options: Options,
    on_session: impl Fn(Session) -> OnMessage + Send + Sync + 'static,
) -> Router {
    let on_session = Box::new(on_session);
    let engine = Engine { options, sessions: Mutex::default(), on_session };
    Router::new().route(path, any(answer)).with_state(Arc::new(engine))
}

/// Answers a request, with the headers that let a page of an allowed origin read the response.
async fn answer(State(engine): State<Arc<Engine>>, request: Request) -> Response {
    if !engine.allows(request.headers()) {
        return FORBIDDEN.into_response();
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = match *request.method() {
        Method::OPTIONS => preflight(request.headers()),
        _ => engine.dispatch(request).await.into_response(),
    };
    if let Some(origin) = origin {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
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

impl Engine {
    fn allows(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let origin = origins.next().map(|origin| String::from_utf8_lossy(origin.as_bytes()));
        let allowed = self.options.origins.check(origin.as_deref(), host.unwrap_or_default());
        // RFC 6454 §7.3 allows one: another reader of the request might see another one.
        allowed.is_ok() && origins.next().is_none()
    }

    async fn dispatch(self: Arc<Self>, request: Request) -> Result<Response, Refusal> {
        let transport = query(&request, "transport").unwrap_or_default();
        if !["polling", "websocket"].contains(&transport) {
            return Err(UNKNOWN_TRANSPORT);
        }
        if query(&request, "EIO") != Some("4") {
            return Err(UNSUPPORTED);
        }
        let session = match query(&request, "sid") {
            Some(sid) => Some(lock(&self.sessions).get(sid).cloned().ok_or(UNKNOWN_SID)?),
            None if request.method() != Method::GET => return Err(BAD_METHOD),
            None => None,
        };
        match (transport, request.method(), session) {
            ("websocket", _, session) => self.websocket(request, session),
            (_, &Method::GET, session) => {
                poll(&session.unwrap_or_else(|| self.open(Carrier::Polling))).await
            }
            (_, &Method::POST, Some(session)) => self.post(&session, request.into_body()).await,
            _ => Err(BAD_REQUEST),
        }
    }

    async fn post(&self, session: &Session, body: Body) -> Result<Response, Refusal> {
        let claim = session.claim(Method::POST).ok_or(BAD_REQUEST)?;
        let body = tokio::select! {
            body = to_bytes(body, self.options.max_payload) => body.map_err(|_| TOO_LARGE)?,
            () = session.closed() => return Err(BAD_REQUEST),
        };
        let Some(packets) = packet::decode_payload(&body) else {
            session.abort("parse error");
            return Err(BAD_REQUEST);
        };
        for (count, packet) in (1..).zip(packets) {
            session.receive(packet);
            if count % 100 == 0 {
                tokio::task::yield_now().await; // other clients have their turn
            }
        }
        claim.finish();
        // Not as plain text, in which a browser that expects XML sees an error.
        Ok(([(header::CONTENT_TYPE, "text/html")], "ok").into_response())
    }

    fn open(self: &Arc<Self>, carrier: Carrier) -> Session {
        let id = new_id();
        let handshake = json!({
            "sid": id,
            "upgrades": if carrier == Carrier::Polling { vec!["websocket"] } else { vec![] },
            "pingInterval": self.options.ping_interval.as_millis() as u64,
            "pingTimeout": self.options.ping_timeout.as_millis() as u64,
            "maxPayload": self.options.max_payload,
        });
        let session = Session::new(carrier, self.options.max_queue);
        session.send([format!("0{handshake}").into()]);
        session.listen((self.on_session)(session.clone()));
        lock(&self.sessions).insert(id.clone(), session.clone());
        let (engine, beating, start) = (self.clone(), session.clone(), Instant::now());
        tokio::spawn(async move {
            beating.heartbeat(start, &engine.options).await;
            lock(&engine.sessions).remove(&id);
        });
        session
    }
}

async fn poll(session: &Session) -> Result<Response, Refusal> {
    let claim = session.claim(Method::GET).ok_or(BAD_REQUEST)?;
    let body = session.poll().await;
    claim.finish();
    let content_type = (header::CONTENT_TYPE, "text/plain; charset=UTF-8");
    Ok(([content_type, (header::CACHE_CONTROL, "no-store")], body).into_response())
}

/// Returns 20 characters that nobody can guess, because whoever knows the id of a session can use it.
pub(crate) fn new_id() -> String {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    URL_SAFE_NO_PAD.encode(bytes)
}
