//! One client in one namespace.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::engine::{Session, new_id};
use crate::lock;
use crate::packet::{Args, Body};
use crate::server::{Broadcast, Namespace};

/// A client's sockets, by the name of the namespace.
pub(crate) type Sockets = Mutex<HashMap<String, Socket>>;

type OnEvent = dyn Fn(&Socket, Args, Ack) + Send + Sync;
type OnDisconnect = dyn FnOnce(&Socket, &str) + Send;

/// A client in a namespace. A clone is another handle of the same one.
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

struct Inner {
    id: String,
    namespace: Namespace,
    session: Session,
    /// The sockets of the same client, until its session ends.
    sockets: Weak<Sockets>,
    connected: AtomicBool,
    handlers: Mutex<HashMap<String, Arc<OnEvent>>>,
    on_disconnect: Mutex<Option<Box<OnDisconnect>>>,
    acks: Mutex<Acks>,
}

/// The acknowledgements that this server waits for, by their ids.
#[derive(Default)]
struct Acks {
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<Args>>,
}

/// Removes an acknowledgement from those that are waited for when its future is dropped.
struct Waiting(Socket, u64);

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.0.0.acks).waiting.remove(&self.1);
    }
}

/// The client has gone, or has not acknowledged in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAck;

impl Socket {
    pub(crate) fn new(namespace: Namespace, session: Session, sockets: Weak<Sockets>) -> Self {
        Self(Arc::new(Inner {
            id: new_id(),
            namespace,
            session,
            sockets,
            connected: AtomicBool::new(true),
            handlers: Mutex::default(),
            on_disconnect: Mutex::default(),
            acks: Mutex::default(),
        }))
    }

    /// The id of this socket. A client has a different id in each namespace, and a new one each time it connects.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    pub(crate) fn session(&self) -> &Session {
        &self.0.session
    }

    /// Whether the client is in the namespace.
    pub fn is_connected(&self) -> bool {
        self.0.connected.load(SeqCst)
    }

    /// Calls `handler` with each `event` of this client. It replaces an earlier handler of that event. Events without a
    /// handler are ignored, and a handler that is set after the client has left the namespace is dropped.
    pub fn on(&self, event: &str, handler: impl Fn(&Self, Args, Ack) + Send + Sync + 'static) {
        let mut handlers = lock(&self.0.handlers);
        if self.is_connected() {
            handlers.insert(event.to_owned(), Arc::new(handler));
        }
    }

    /// Calls `handler` once, with the reason, when this client has left the namespace. It replaces an earlier
    /// handler. A handler that is set later than that is dropped.
    pub fn on_disconnect(&self, handler: impl FnOnce(&Self, &str) + Send + 'static) {
        let mut on_disconnect = lock(&self.0.on_disconnect);
        if self.is_connected() {
            *on_disconnect = Some(Box::new(handler));
        }
    }

    /// Sends an event to this client.
    pub fn emit(&self, event: &str, args: impl Into<Args>) {
        self.send(Body::Event { name: event.to_owned(), args: args.into(), ack: None });
    }

    /// Sends an event at once. The future returns the arguments of the client's acknowledgement.
    ///
    /// # Errors
    ///
    /// The client has left the namespace, or has not acknowledged the event `within` this time.
    pub fn emit_with_ack<A: Into<Args>>(
        &self,
        event: &str,
        args: A,
        within: Duration,
    ) -> impl Future<Output = Result<Args, NoAck>> + use<A> {
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut acks = lock(&self.0.acks);
            acks.next += 1;
            let id = acks.next - 1;
            if self.is_connected() {
                acks.waiting.insert(id, sender);
            }
            id
        };
        self.send(Body::Event { name: event.to_owned(), args: args.into(), ack: Some(id) });
        let waiting = Waiting(self.clone(), id);
        async move {
            let answer = timeout(within, receiver).await;
            drop(waiting);
            answer.ok().and_then(Result::ok).ok_or(NoAck)
        }
    }

    /// Returns everybody else in the namespace.
    pub fn broadcast(&self) -> Broadcast {
        self.0.namespace.all().except(self.id())
    }

    /// Returns everybody else in a room.
    pub fn to(&self, room: &str) -> Broadcast {
        self.broadcast().to(room)
    }

    /// Adds this client to a room.
    pub fn join(&self, room: &str) {
        self.0.namespace.change_rooms(self.id(), |rooms| rooms.insert(room.to_owned()));
    }

    /// Removes this client from a room.
    pub fn leave(&self, room: &str) {
        self.0.namespace.change_rooms(self.id(), |rooms| rooms.remove(room));
    }

    /// Ends the connection to this namespace; the client stays in others.
    pub fn disconnect(&self) {
        self.send(Body::Disconnect);
        self.end("server namespace disconnect");
    }

    /// Disconnects the client from all its namespaces, and then closes its session. The client does not reconnect by
    /// itself, which it would do if it were only disconnected from some of them.
    pub fn close(&self) {
        let sockets = self.0.sockets.upgrade().map(|sockets| lock(&sockets).clone());
        for socket in sockets.unwrap_or_default().values() {
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
            Body::Event { name, args, ack } => {
                let handler = lock(&self.0.handlers).get(&name).cloned();
                if let Some(handler) = handler {
                    handler(self, args, Ack { socket: self.clone(), id: ack });
                }
            }
            Body::Ack { id, args } => {
                if let Some(waiting) = lock(&self.0.acks).waiting.remove(&id) {
                    let _ = waiting.send(args); // whoever asked may have given up
                }
            }
            _ => {}
        }
    }

    pub(crate) fn end(&self, reason: &str) {
        if self.0.connected.swap(false, SeqCst) {
            self.0.namespace.remove(self.id());
            lock(&self.0.acks).waiting.clear();
            // Handlers may hold this socket.
            lock(&self.0.handlers).clear();
            let handler = lock(&self.0.on_disconnect).take();
            if let Some(handler) = handler {
                handler(self, reason);
            }
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
            self.socket.send(Body::Ack { id, args: args.into() });
        }
    }
}
