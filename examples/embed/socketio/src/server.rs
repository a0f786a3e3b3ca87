//! What an application talks to: the server, its namespaces, and who gets an event.

use std::{collections::HashMap, sync::Arc, sync::Mutex};

use axum::Router;
use serde_json::{Value, json};

use crate::engine::{self, Options};
use crate::lock;
use crate::packet::{Args, Body};
use crate::socket::{Client, Socket};

/// A Socket.IO server. A clone is another handle of the same server.
#[derive(Clone, Default)]
pub struct Server(Arc<Mutex<HashMap<String, Namespace>>>);

impl Server {
    /// Returns a namespace, and creates it if there is none of this name. The main namespace, `/`, always exists.
    pub fn of(&self, name: &str) -> Namespace {
        let name = name.strip_prefix('/').unwrap_or(name).to_owned();
        lock(&self.0).entry(name).or_insert_with_key(|name| Namespace::new(name)).clone()
    }

    /// Returns a namespace if the client may connect to it, or else the payload of the refusal.
    pub(crate) fn admit(&self, name: &str, auth: &Value) -> Result<Namespace, Value> {
        let other = || lock(&self.0).get(name).cloned();
        let namespace = if name.is_empty() { Some(self.of("/")) } else { other() };
        let namespace = namespace.ok_or_else(|| json!({ "message": "Invalid namespace" }))?;
        let authorize = lock(&namespace.0.authorize).clone();
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
pub struct Namespace(Arc<Inner>);

#[derive(Default)]
struct Inner {
    name: String,
    authorize: Mutex<Option<Arc<Authorize>>>,
    on_connect: Mutex<Option<Arc<OnConnect>>>,
    members: Mutex<HashMap<String, Socket>>,
}

impl Namespace {
    fn new(name: &str) -> Self {
        Self(Arc::new(Inner { name: name.to_owned(), ..Inner::default() }))
    }

    /// The name without the slash: none for the main namespace.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Lets `check` decide who may connect. It is called with the payload that the client sends, an object, which is
    /// empty if the client sends none. Its error is an object, whose `message` the client's `connect_error` event has,
    /// and whose `data`, if it has any.
    pub fn authorize(&self, check: impl Fn(&Value) -> Result<(), Value> + Send + Sync + 'static) {
        *lock(&self.0.authorize) = Some(Arc::new(check));
    }

    /// Calls `handler` with each client that has connected, and the payload that the client has sent. Like all
    /// handlers, it must not block: work that takes long belongs in a task that the handler spawns.
    pub fn on_connect(&self, handler: impl Fn(&Socket, &Value) + Send + Sync + 'static) {
        *lock(&self.0.on_connect) = Some(Arc::new(handler));
    }

    /// Sends an event to everybody in this namespace.
    pub fn emit(&self, event: &str, args: impl Into<Args>) {
        self.except(None).emit(event, args);
    }

    /// Returns everybody in a room. The id of a socket is a room, too, in which that socket is.
    pub fn to(&self, room: &str) -> Broadcast {
        self.except(None).to(room)
    }

    pub(crate) fn except(&self, id: Option<&str>) -> Broadcast {
        let (namespace, except) = (self.clone(), id.map(str::to_owned));
        Broadcast { namespace, rooms: Vec::new(), except }
    }

    pub(crate) fn insert(&self, socket: &Socket, auth: &Value) {
        lock(&self.0.members).insert(socket.id().to_owned(), socket.clone());
        let on_connect = lock(&self.0.on_connect).clone();
        if let Some(on_connect) = on_connect {
            on_connect(socket, auth);
        }
    }

    pub(crate) fn remove(&self, id: &str) {
        lock(&self.0.members).remove(id);
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

    /// Sends an event. It is encoded once, and everybody gets all events in the same order.
    pub fn emit(&self, event: &str, args: impl Into<Args>) {
        let body = Body::Event(event.to_owned(), args.into(), None);
        let messages = body.encode(self.namespace.name());
        for (id, socket) in lock(&self.namespace.0.members).iter() {
            if self.except.as_ref() != Some(id) && socket.is_in(&self.rooms) {
                socket.session().send(messages.iter().cloned());
            }
        }
    }
}
