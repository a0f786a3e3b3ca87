//! What an application talks to: the server, its namespaces, and who gets an event.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use serde_json::{Value, json};

use crate::client::Client;
use crate::engine::{Engine, Options};
use crate::lock;
use crate::packet::{Args, Body};
use crate::socket::Socket;

/// A Socket.IO server. A clone is another handle of the same server.
#[derive(Clone, Default)]
pub struct Server(Arc<Mutex<HashMap<String, Namespace>>>);

impl Server {
    /// Returns a namespace, and creates it if there is none of this name. The main namespace, `/`, always exists.
    pub fn of(&self, name: &str) -> Namespace {
        let name = format!("/{}", name.strip_prefix('/').unwrap_or(name));
        lock(&self.0).entry(name).or_insert_with_key(|name| Namespace::new(name)).clone()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Namespace> {
        if name == "/" { Some(self.of(name)) } else { lock(&self.0).get(name).cloned() }
    }

    /// Sets the handler of the main namespace, as [`Namespace::on_connect`] does.
    pub fn on_connect(&self, handler: impl Fn(&Socket, &Value) + Send + Sync + 'static) {
        self.of("/").on_connect(handler);
    }

    /// Sends an event to everybody in the main namespace.
    pub fn emit(&self, event: &str, args: impl Into<Args>) {
        self.of("/").emit(event, args);
    }

    /// Returns everybody in a room of the main namespace.
    pub fn to(&self, room: &str) -> Broadcast {
        self.of("/").to(room)
    }

    /// Returns the routes of the server, at `/socket.io/`.
    pub fn router(&self, options: Options) -> Router {
        let (server, connect) = (self.clone(), options.connect_timeout);
        let max_binary = options.max_payload.saturating_mul(10);
        let engine = Engine::new(options, move |session| {
            Client::start(server.clone(), session.clone(), max_binary, connect)
        });
        engine.router("/socket.io/")
    }
}

/// Why a client may not connect. The client's `connect_error` event has both fields.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The message of the client's error.
    pub message: String,
    /// The `data` of the client's error. If this is null, the error has none.
    pub data: Value,
}

impl Refused {
    pub(crate) fn payload(&self) -> Value {
        match &self.data {
            Value::Null => json!({ "message": self.message }),
            data => json!({ "message": self.message, "data": data }),
        }
    }
}

type Authorize = dyn Fn(&Value) -> Result<(), Refused> + Send + Sync;
type OnConnect = dyn Fn(&Socket, &Value) + Send + Sync;

/// A namespace. A clone is another handle of the same namespace.
#[derive(Clone)]
pub struct Namespace(Arc<Inner>);

struct Inner {
    name: String,
    authorize: Mutex<Arc<Authorize>>,
    on_connect: Mutex<Arc<OnConnect>>,
    members: Mutex<HashMap<String, Member>>,
}

struct Member {
    socket: Socket,
    rooms: HashSet<String>,
}

impl Namespace {
    fn new(name: &str) -> Self {
        Self(Arc::new(Inner {
            name: name.to_owned(),
            authorize: Mutex::new(Arc::new(|_| Ok(()))),
            on_connect: Mutex::new(Arc::new(|_, _| ())),
            members: Mutex::default(),
        }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Lets `check` decide who may connect. It is called with the payload that the client sends, an object, which is
    /// empty if the client sends none.
    pub fn authorize(&self, check: impl Fn(&Value) -> Result<(), Refused> + Send + Sync + 'static) {
        *lock(&self.0.authorize) = Arc::new(check);
    }

    /// Calls `handler` with each client that has connected, and the payload that the client has sent. Like all
    /// handlers, it must not block: work that takes long belongs in a task that the handler spawns.
    pub fn on_connect(&self, handler: impl Fn(&Socket, &Value) + Send + Sync + 'static) {
        *lock(&self.0.on_connect) = Arc::new(handler);
    }

    /// Sends an event to everybody in this namespace.
    pub fn emit(&self, event: &str, args: impl Into<Args>) {
        self.all().emit(event, args);
    }

    /// Returns everybody in a room. The id of a socket is a room, too, in which only that socket is.
    pub fn to(&self, room: &str) -> Broadcast {
        self.all().to(room)
    }

    pub(crate) fn all(&self) -> Broadcast {
        Broadcast { namespace: self.clone(), rooms: Vec::new(), except: None }
    }

    pub(crate) fn may_connect(&self, auth: &Value) -> Result<(), Refused> {
        let authorize = lock(&self.0.authorize).clone();
        authorize(auth)
    }

    pub(crate) fn connected(&self, socket: &Socket, auth: &Value) {
        let handler = lock(&self.0.on_connect).clone();
        handler(socket, auth);
    }

    pub(crate) fn insert(&self, socket: &Socket) {
        let member = Member { socket: socket.clone(), rooms: HashSet::new() };
        lock(&self.0.members).insert(socket.id().to_owned(), member);
    }

    pub(crate) fn remove(&self, id: &str) {
        lock(&self.0.members).remove(id);
    }

    /// Calls `change` with the rooms of a socket, if it is in this namespace.
    pub(crate) fn change_rooms(&self, id: &str, change: impl FnOnce(&mut HashSet<String>) -> bool) {
        if let Some(member) = lock(&self.0.members).get_mut(id) {
            change(&mut member.rooms);
        }
    }
}

/// The receivers of an event: everybody in a namespace, or everybody in some of its rooms.
#[derive(Clone)]
#[must_use = "nothing is sent before `emit`"]
pub struct Broadcast {
    namespace: Namespace,
    rooms: Vec<String>,
    except: Option<String>,
}

impl Broadcast {
    /// Adds the sockets in this room. A socket that is in several of the rooms gets the event once.
    pub fn to(mut self, room: &str) -> Self {
        self.rooms.push(room.to_owned());
        self
    }

    pub(crate) fn except(mut self, id: &str) -> Self {
        self.except = Some(id.to_owned());
        self
    }

    /// Sends an event. It is encoded once, and everybody gets all events in the same order.
    pub fn emit(&self, event: &str, args: impl Into<Args>) {
        let body = Body::Event { name: event.to_owned(), args: args.into(), ack: None };
        let messages = body.encode(self.namespace.name());
        for (id, member) in lock(&self.namespace.0.members).iter() {
            let inside = |room: &String| room == id || member.rooms.contains(room);
            let meant = self.rooms.is_empty() || self.rooms.iter().any(inside);
            if meant && self.except.as_ref() != Some(id) {
                member.socket.session().send(messages.iter().cloned());
            }
        }
    }
}
