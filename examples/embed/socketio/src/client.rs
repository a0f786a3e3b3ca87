//! One client, in all its namespaces.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use ws_core::Message;

use crate::engine::{OnMessage, Session};
use crate::lock;
use crate::packet::{Body, Decoder, Malformed, Packet};
use crate::server::{Namespace, Refused, Server};
use crate::socket::{Socket, Sockets};

pub(crate) struct Client {
    server: Server,
    session: Session,
    decoder: Decoder,
    /// The sockets that the server has disconnected stay here.
    sockets: Arc<Sockets>,
    has_connected: Arc<AtomicBool>,
}

impl Client {
    /// Returns the function that handles the messages of a session. It closes a client that breaks the protocol, and so
    /// does a timer if the client has connected to no namespace within `connect`.
    pub(crate) fn start(
        server: Server,
        session: Session,
        max_binary: usize,
        connect: Duration,
    ) -> OnMessage {
        let has_connected = Arc::new(AtomicBool::new(false));
        let (late, connected) = (session.clone(), has_connected.clone());
        tokio::spawn(async move {
            if timeout(connect, late.ended()).await.is_err() && !connected.load(SeqCst) {
                late.close("connect timeout");
            }
        });
        let (decoder, sockets) = (Decoder::new(max_binary), Arc::default());
        let mut client = Self { server, session, decoder, sockets, has_connected };
        Box::new(move |message| match message {
            Some(message) => {
                if client.receive(message).is_err() {
                    client.session.close("parse error");
                }
            }
            None => client.end(),
        })
    }

    fn end(&self) {
        // Handlers run while the map is not locked: they may close the client.
        let sockets = lock(&self.sockets).clone();
        for socket in sockets.values() {
            let _ = guarded(|| socket.end(self.session.reason()));
        }
    }

    fn receive(&mut self, message: Message) -> Result<(), Malformed> {
        let Some(Packet { namespace, body }) = self.decoder.feed(message)? else { return Ok(()) };
        if let Body::Connect(auth) = body {
            return self.connect(&namespace, auth.unwrap_or_else(|| json!({})));
        }
        let socket = lock(&self.sockets).get(&namespace).cloned().ok_or(Malformed)?;
        if !socket.is_connected() {
            return Ok(()); // the client sent this before it knew
        }
        if body == Body::Disconnect {
            lock(&self.sockets).remove(&namespace);
            return guarded(|| socket.end("client namespace disconnect"));
        }
        guarded(|| socket.receive(body))
    }

    fn connect(&mut self, name: &str, auth: Value) -> Result<(), Malformed> {
        if lock(&self.sockets).get(name).is_some_and(Socket::is_connected) {
            return Err(Malformed);
        }
        let unknown = Refused { message: "Invalid namespace".to_owned(), data: Value::Null };
        let namespace = self.server.find(name).ok_or(unknown);
        let check = |namespace: Namespace| namespace.may_connect(&auth).map(|()| namespace);
        let namespace = match guarded(|| namespace.and_then(check))? {
            Ok(namespace) => namespace,
            Err(why) => {
                self.session.send(Body::ConnectError(why.payload()).encode(name));
                return Ok(());
            }
        };
        self.has_connected.store(true, SeqCst);
        let sockets = Arc::downgrade(&self.sockets);
        let socket = Socket::new(namespace.clone(), self.session.clone(), sockets);
        lock(&self.sockets).insert(name.to_owned(), socket.clone());
        socket.send(Body::Connect(Some(json!({ "sid": socket.id() }))));
        namespace.insert(&socket);
        guarded(|| namespace.connected(&socket, &auth))
    }
}

/// A handler that panics costs its own client the connection, and nobody else anything.
fn guarded<T>(handler: impl FnOnce() -> T) -> Result<T, Malformed> {
    catch_unwind(AssertUnwindSafe(handler)).map_err(|_| Malformed)
}
