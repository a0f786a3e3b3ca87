//! What an application talks to: the server, its namespaces, and the sockets in them, of which each client has one per
//! namespace.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{mem, sync::Arc, sync::Mutex};

use axum::Router;
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::timeout};
use ws_core::Message;

use crate::engine::{self, OnMessage, Options, Session, new_id};
use crate::lock;
use crate::packet::{Args, Body, Decoder, Malformed, Packet};

/// A Socket.IO server. A clone is another handle of the same server.
#[derive(Clone, Default)]
pub struct Server(Arc<Mutex<HashMap<String, Namespace>>>);

impl Server {
    /// Returns a namespace, and creates it if there is none of this name. The main namespace, `/`, always exists.
    pub fn of(&self, name: &str) -> Namespace {
        let name = name.strip_prefix('/').unwrap_or(name).to_owned();
        let create = |name: &String| Namespace { name: name.clone(), shared: Arc::default() };
        lock(&self.0).entry(name).or_insert_with_key(create).clone()
    }

    /// Returns a namespace if the client may connect to it, or else the payload of the refusal.
    fn admit(&self, name: &str, auth: &Value) -> Result<Namespace, Value> {
        let other = || lock(&self.0).get(name).cloned();
        let namespace = if name.is_empty() { Some(self.of("/")) } else { other() };
        let namespace = namespace.ok_or_else(|| json!({ "message": "Invalid namespace" }))?;
        let authorize = lock(&namespace.shared.authorize).clone();
        authorize.map_or(Ok(()), |authorize| authorize(auth))?;
        Ok(namespace)
    }

    /// Returns the routes of the server, at `/socket.io/`.
    pub fn router(&self, options: Options) -> Router {
        let (server, limits) = (self.clone(), options.clone());
        let start = move |session| Client::start(server.clone(), session, &limits);
        engine::router("/socket.io/", options, start)
    }
}

type Authorize = dyn Fn(&Value) -> Result<(), Value> + Send + Sync;
type OnConnect = dyn Fn(&Socket, &Value) + Send + Sync;

/// A namespace. A clone is another handle of the same namespace.
#[derive(Clone)]
pub struct Namespace {
    /// Without the slash: the main namespace has none.
    name: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    authorize: Mutex<Option<Arc<Authorize>>>,
    on_connect: Mutex<Option<Arc<OnConnect>>>,
    members: Mutex<HashMap<String, Socket>>,
}

impl Namespace {
    /// Lets `check` decide who may connect. It is called with the payload that the client sends, an object, which is
    /// empty if the client sends none. Its error is an object, whose `message` the client's `connect_error` event has,
    /// and whose `data`, if it has any.
    pub fn authorize(&self, check: impl Fn(&Value) -> Result<(), Value> + Send + Sync + 'static) {
        *lock(&self.shared.authorize) = Some(Arc::new(check));
    }

    /// Calls `handler` with each client that has connected, and the payload that the client has sent. Like all
    /// handlers, it must not block: work that takes long belongs in a task that the handler spawns.
    pub fn on_connect(&self, handler: impl Fn(&Socket, &Value) + Send + Sync + 'static) {
        *lock(&self.shared.on_connect) = Some(Arc::new(handler));
    }

    /// Sends an event to everybody in this namespace.
    pub fn emit(&self, event: &str, args: impl Into<Args>) {
        self.all().emit(event, args);
    }

    /// Returns everybody in a room. The id of a socket is a room, too, in which that socket is.
    pub fn to(&self, room: &str) -> Broadcast {
        self.all().to(room)
    }

    fn all(&self) -> Broadcast {
        Broadcast { namespace: self.clone(), rooms: HashSet::new(), except: None }
    }
}

/// The receivers of an event: everybody in a namespace, or everybody in some of its rooms.
#[derive(Clone)]
#[must_use = "nothing is sent before `emit`"]
pub struct Broadcast {
    namespace: Namespace,
    rooms: HashSet<String>,
    except: Option<String>,
}

impl Broadcast {
    /// Adds the sockets in this room. A socket that is in several of the rooms gets the event once.
    pub fn to(mut self, room: &str) -> Self {
        self.rooms.insert(room.to_owned());
        self
    }

    /// Sends an event. It is encoded once, and everybody gets all events in the same order.
    pub fn emit(&self, event: &str, args: impl Into<Args>) {
        let body = Body::Event(event.to_owned(), args.into(), None);
        let messages = body.encode(&self.namespace.name);
        let any = self.rooms.is_empty();
        let is_meant = |state: &mut State| any || !state.rooms.is_disjoint(&self.rooms);
        for (id, socket) in lock(&self.namespace.shared.members).iter() {
            if self.except.as_ref() != Some(id) && socket.change(is_meant) == Some(true) {
                socket.0.session.send(messages.iter().cloned());
            }
        }
    }
}

/// A client's sockets, by the name of the namespace.
type Sockets = Arc<Mutex<HashMap<String, Socket>>>;

type OnEvent = dyn Fn(&Socket, Args, Ack) + Send + Sync;
type OnDisconnect = dyn FnOnce(&Socket, &str) + Send;

/// A client in a namespace. A clone is another handle of the same one.
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

struct Inner {
    id: String,
    namespace: Namespace,
    session: Session,
    /// The sockets of the same client. The list is empty when its session has ended.
    sockets: Sockets,
    /// Until the client leaves the namespace.
    state: Mutex<Option<State>>,
}

#[derive(Default)]
struct State {
    rooms: HashSet<String>,
    handlers: HashMap<String, Arc<OnEvent>>,
    on_disconnect: Option<Box<OnDisconnect>>,
    /// The id of the next acknowledgement that this server asks for, and those that it waits for.
    next_ack: u64,
    acks: HashMap<u64, oneshot::Sender<Args>>,
}

impl Socket {
    /// The id of this socket. A client has a different id in each namespace, and a new one each time it connects.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Changes the state, unless the client has left the namespace.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Option<T> {
        lock(&self.0.state).as_mut().map(change)
    }

    /// Whether the client is in the namespace.
    pub fn is_connected(&self) -> bool {
        lock(&self.0.state).is_some()
    }

    /// Calls `handler` with each `event` of this client. It replaces an earlier handler of that event. Events without a
    /// handler are ignored, and a handler that is set after the client has left the namespace is dropped.
    pub fn on(&self, event: &str, handler: impl Fn(&Self, Args, Ack) + Send + Sync + 'static) {
        self.change(|state| state.handlers.insert(event.to_owned(), Arc::new(handler)));
    }

    /// Calls `handler` once, with the reason, when this client has left the namespace. It replaces an earlier
    /// handler. A handler that is set later than that is dropped.
    pub fn on_disconnect(&self, handler: impl FnOnce(&Self, &str) + Send + 'static) {
        self.change(|state| state.on_disconnect.replace(Box::new(handler)));
    }

    /// Sends an event to this client.
    pub fn emit(&self, event: &str, args: impl Into<Args>) {
        self.send(Body::Event(event.to_owned(), args.into(), None));
    }

    /// Sends an event, and returns the receiver of the arguments of the client's acknowledgement. The receiver fails
    /// when the client leaves the namespace. It has no time limit: `tokio::time::timeout` sets one.
    pub fn emit_with_ack(&self, event: &str, args: impl Into<Args>) -> oneshot::Receiver<Args> {
        let (sender, receiver) = oneshot::channel();
        let id = self.change(|state| {
            state.acks.retain(|_, waiting| !waiting.is_closed()); // nobody waits for those any more
            state.acks.insert(state.next_ack, sender);
            state.next_ack += 1;
            state.next_ack - 1
        });
        self.send(Body::Event(event.to_owned(), args.into(), id));
        receiver
    }

    /// Returns everybody else in the namespace.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast { except: Some(self.0.id.clone()), ..self.0.namespace.all() }
    }

    /// Returns everybody else in a room.
    pub fn to(&self, room: &str) -> Broadcast {
        self.broadcast().to(room)
    }

    /// Adds this client to a room.
    pub fn join(&self, room: &str) {
        self.change(|state| state.rooms.insert(room.to_owned()));
    }

    /// Removes this client from a room.
    pub fn leave(&self, room: &str) {
        self.change(|state| state.rooms.remove(room));
    }

    /// Ends the connection to this namespace; the client stays in others.
    pub fn disconnect(&self) {
        self.send(Body::Disconnect);
        self.end("server namespace disconnect");
    }

    /// Disconnects the client from all its namespaces, and then closes its session. The client does not reconnect by
    /// itself, which it would do if it were only disconnected from some of them.
    pub fn close(&self) {
        let sockets = lock(&self.0.sockets).clone();
        for socket in sockets.values() {
            socket.disconnect();
        }
        self.0.session.close("server namespace disconnect");
    }

    fn send(&self, body: Body) {
        if self.is_connected() {
            self.0.session.send(body.encode(&self.0.namespace.name));
        }
    }

    fn receive(&self, body: Body) {
        match body {
            Body::Event(name, args, ack) => {
                let handler = self.change(|state| state.handlers.get(&name).cloned());
                if let Some(handler) = handler.flatten() {
                    handler(self, args, Ack { socket: self.clone(), id: ack });
                }
            }
            Body::Ack(id, args) => {
                if let Some(waiting) = self.change(|state| state.acks.remove(&id)).flatten() {
                    let _ = waiting.send(args); // whoever asked may have given up
                }
            }
            Body::Disconnect => self.end("client namespace disconnect"),
            Body::Connect(_) | Body::ConnectError(_) => {}
        }
    }

    fn end(&self, reason: &str) {
        let Some(state) = lock(&self.0.state).take() else { return };
        lock(&self.0.namespace.shared.members).remove(self.id());
        if let Some(on_disconnect) = state.on_disconnect {
            let _ = guarded(|| on_disconnect(self, reason)); // whoever ends this may be another client
        }
    }
}

/// Acknowledges an event. It does nothing if the client has not asked for an acknowledgement.
pub struct Ack {
    socket: Socket,
    id: Option<u64>,
}

impl Ack {
    /// Sends the acknowledgement with these arguments.
    pub fn send(self, args: impl Into<Args>) {
        if let Some(id) = self.id {
            self.socket.send(Body::Ack(id, args.into()));
        }
    }
}

/// One client, in all its namespaces.
struct Client {
    server: Server,
    session: Session,
    decoder: Decoder,
    /// The sockets that the server has disconnected stay here.
    sockets: Sockets,
    /// Until the client has connected to a namespace.
    idle: Option<oneshot::Sender<()>>,
}

impl Client {
    /// Returns the function that handles the messages of a session. It closes a client that breaks the protocol. A timer
    /// closes a client that has connected to no namespace in time.
    fn start(server: Server, session: Session, options: &Options) -> OnMessage {
        let (idle, connected) = oneshot::channel();
        let (late, connect_timeout) = (session.clone(), options.connect_timeout);
        tokio::spawn(async move {
            // The channel ends when the client has connected or gone.
            if timeout(connect_timeout, connected).await.is_err() {
                late.close("connect timeout");
            }
        });
        let decoder = Decoder::new(options.max_payload.saturating_mul(10));
        let sockets = Sockets::default();
        let mut client = Self { server, session, decoder, sockets, idle: Some(idle) };
        Box::new(move |message| match message {
            Ok(message) => {
                if guarded(|| client.receive(message)) != Some(Ok(())) {
                    client.session.close("parse error");
                }
            }
            Err(reason) => {
                // Handlers run while the map is not locked: they may close the client.
                let sockets = mem::take(&mut *lock(&client.sockets));
                for socket in sockets.values() {
                    socket.end(reason);
                }
            }
        })
    }

    fn receive(&mut self, message: Message) -> Result<(), Malformed> {
        let Some(Packet { namespace, body }) = self.decoder.feed(message)? else { return Ok(()) };
        let socket = lock(&self.sockets).get(&namespace).cloned();
        let is_connected = socket.as_ref().is_some_and(Socket::is_connected);
        match (body, socket) {
            (Body::Connect(auth), _) if !is_connected => self.connect(&namespace, auth),
            (Body::Connect(_), _) | (_, None) => return Err(Malformed),
            (_, Some(_)) if !is_connected => {} // the client sent this before it knew
            (body, Some(socket)) => {
                if body == Body::Disconnect {
                    lock(&self.sockets).remove(&namespace);
                }
                socket.receive(body);
            }
        }
        Ok(())
    }

    fn connect(&mut self, name: &str, auth: Option<Value>) {
        let auth = auth.unwrap_or_else(|| json!({}));
        let namespace = match self.server.admit(name, &auth) {
            Ok(namespace) => namespace,
            Err(why) => return self.session.send(Body::ConnectError(why).encode(name)),
        };
        self.idle = None;
        let id = new_id();
        let state = State { rooms: HashSet::from([id.clone()]), ..State::default() };
        let socket = Socket(Arc::new(Inner {
            id,
            namespace: namespace.clone(),
            session: self.session.clone(),
            sockets: self.sockets.clone(),
            state: Mutex::new(Some(state)),
        }));
        lock(&self.sockets).insert(name.to_owned(), socket.clone());
        socket.send(Body::Connect(Some(json!({ "sid": socket.id() }))));
        lock(&namespace.shared.members).insert(socket.id().to_owned(), socket.clone());
        let on_connect = lock(&namespace.shared.on_connect).clone();
        if let Some(on_connect) = on_connect {
            on_connect(&socket, &auth);
        }
    }
}

/// A handler that panics costs its own client the connection, and nobody else anything.
fn guarded<T>(handler: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(handler)).ok()
}
