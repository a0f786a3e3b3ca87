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
    /// Those of the same client, until its session ends.
    sockets: Weak<Sockets>,
    connected: AtomicBool,
    handlers: Mutex<HashMap<String, Arc<OnEvent>>>,
    on_disconnect: Mutex<Option<Box<OnDisconnect>>>,
    acks: Mutex<Acks>,
}

/// Who waits for an acknowledgement, by its id.
#[derive(Default)]
struct Acks {
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<Args>>,
}

/// Whoever has asked for an acknowledgement, until the answer comes or nobody waits for it any more.
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

    /// Another for each namespace of a client, and for each connection.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    pub(crate) fn session(&self) -> &Session {
        &self.0.session
    }

    pub fn is_connected(&self) -> bool {
        self.0.connected.load(SeqCst)
    }

    /// `handler` is called with each `event` of this client, and replaces an earlier one. Events without a handler are ignored.
    pub fn on(&self, event: &str, handler: impl Fn(&Self, Args, Ack) + Send + Sync + 'static) {
        lock(&self.0.handlers).insert(event.to_owned(), Arc::new(handler));
    }

    /// `handler` is called once, with the reason, when this client is not in the namespace any more.
    pub fn on_disconnect(&self, handler: impl FnOnce(&Self, &str) + Send + 'static) {
        *lock(&self.0.on_disconnect) = Some(Box::new(handler));
    }

    /// Sends an event to this client.
    pub fn emit(&self, event: &str, args: impl Into<Args>) {
        self.send(Body::Event { name: event.to_owned(), args: args.into(), ack: None });
    }

    /// Sends an event at once. The future returns what the client acknowledges it with.
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

    /// Everybody else in the namespace.
    pub fn broadcast(&self) -> Broadcast {
        self.0.namespace.all().except(self.id())
    }

    /// Everybody else in a room.
    pub fn to(&self, room: &str) -> Broadcast {
        self.broadcast().to(room)
    }

    pub fn join(&self, room: &str) {
        self.0.namespace.change_rooms(self.id(), |rooms| rooms.insert(room.to_owned()));
    }

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
            // They may hold this socket.
            lock(&self.0.handlers).clear();
            let handler = lock(&self.0.on_disconnect).take();
            if let Some(handler) = handler {
                handler(self, reason);
            }
        }
    }
}

/// Acknowledges an event, if the client has asked for that.
pub struct Ack {
    socket: Socket,
    id: Option<u64>,
}

impl Ack {
    pub fn send(self, args: impl Into<Args>) {
        if let Some(id) = self.id {
            self.socket.send(Body::Ack { id, args: args.into() });
        }
    }
}
