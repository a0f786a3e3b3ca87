//! One client, and its sockets: one in each namespace that it has connected to.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{mem, sync::Arc, sync::Mutex};

use serde_json::{Value, json};
use tokio::{sync::oneshot, time::timeout};
use ws_core::Message;

use crate::engine::{OnMessage, Options, Session, new_id};
use crate::lock;
use crate::packet::{Args, Body, Decoder, Malformed, Packet};
use crate::server::{Broadcast, Namespace, Server};

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

    pub(crate) fn session(&self) -> &Session {
        &self.0.session
    }

    /// Changes the state, unless the client has left the namespace.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Option<T> {
        lock(&self.0.state).as_mut().map(change)
    }

    /// Whether the client is in the namespace.
    pub fn is_connected(&self) -> bool {
        lock(&self.0.state).is_some()
    }

    /// Whether this is in one of the rooms, or there are none.
    pub(crate) fn is_in(&self, rooms: &[String]) -> bool {
        let is_inside = |state: &mut State| rooms.iter().any(|room| state.rooms.contains(room));
        rooms.is_empty() || self.change(is_inside) == Some(true)
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

    /// Sends an event, and returns the receiver of the arguments of the client's acknowledgement. It fails when the client
    /// leaves the namespace. It may wait for ever without a time-out, such as tokio's.
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
        self.0.namespace.except(Some(self.id()))
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

    pub(crate) fn send(&self, body: Body) {
        if self.is_connected() {
            self.0.session.send(body.encode(self.0.namespace.name()));
        }
    }

    pub(crate) fn receive(&self, body: Body) {
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

    pub(crate) fn end(&self, reason: &str) {
        let Some(state) = lock(&self.0.state).take() else { return };
        self.0.namespace.remove(self.id());
        if let Some(on_disconnect) = state.on_disconnect {
            on_disconnect(self, reason);
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
pub(crate) struct Client {
    server: Server,
    session: Session,
    decoder: Decoder,
    /// The sockets that the server has disconnected stay here.
    sockets: Sockets,
    /// Until the client has connected to a namespace.
    idle: Option<oneshot::Sender<()>>,
}

impl Client {
    /// Returns the function that handles the messages of a session. It closes a client that breaks the protocol, and so
    /// does a timer if the client has connected to no namespace in time.
    pub(crate) fn start(server: Server, session: Session, options: &Options) -> OnMessage {
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
                    let _ = guarded(|| socket.end(reason));
                }
            }
        })
    }

    fn receive(&mut self, message: Message) -> Result<(), Malformed> {
        let Some(Packet { namespace, body }) = self.decoder.feed(message)? else { return Ok(()) };
        if let Body::Connect(auth) = body {
            return self.connect(&namespace, &auth.unwrap_or_else(|| json!({})));
        }
        let socket = lock(&self.sockets).get(&namespace).cloned().ok_or(Malformed)?;
        if !socket.is_connected() {
            return Ok(()); // the client sent this before it knew
        }
        if body == Body::Disconnect {
            lock(&self.sockets).remove(&namespace);
        }
        socket.receive(body);
        Ok(())
    }

    fn connect(&mut self, name: &str, auth: &Value) -> Result<(), Malformed> {
        if lock(&self.sockets).get(name).is_some_and(Socket::is_connected) {
            return Err(Malformed);
        }
        let namespace = match self.server.admit(name, auth) {
            Ok(namespace) => namespace,
            Err(why) => {
                self.session.send(Body::ConnectError(why).encode(name));
                return Ok(());
            }
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
        namespace.insert(&socket, auth);
        Ok(())
    }
}

/// A handler that panics costs its own client the connection, and nobody else anything.
fn guarded<T>(handler: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(handler)).ok()
}
