//! One client, in all its namespaces.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout_at};
use ws_core::Message;

use crate::engine::{Malformed, Session};
use crate::packet::{Body, Decoder, Packet};
use crate::server::{Refused, Server};
use crate::socket::Socket;

pub(crate) struct Client {
    server: Server,
    session: Session,
    decoder: Decoder,
    /// By the name of the namespace. Those that the server has disconnected stay.
    sockets: HashMap<String, Socket>,
    has_connected: bool,
}

impl Client {
    pub(crate) fn new(server: Server, session: Session, max_binary: usize) -> Self {
        let (decoder, sockets) = (Decoder::new(max_binary), HashMap::new());
        Self { server, session, decoder, sockets, has_connected: false }
    }

    /// Runs until the session is over. A client that breaks the protocol is closed, and so is one that has
    /// connected to no namespace in time.
    pub(crate) async fn run(mut self, mut incoming: Receiver<Message>, connect: Duration) {
        let deadline = Instant::now() + connect;
        loop {
            let message = if self.has_connected {
                incoming.recv().await
            } else {
                timeout_at(deadline, incoming.recv()).await.unwrap_or(None)
            };
            let Some(message) = message else { break };
            if self.receive(message).is_err() {
                self.session.close("parse error");
                break;
            }
        }
        self.session.close("connect timeout"); // unless it has ended by itself
        for socket in self.sockets.values() {
            let _ = guarded(|| socket.end(self.session.reason()));
        }
    }

    fn receive(&mut self, message: Message) -> Result<(), Malformed> {
        let Some(Packet { namespace, body }) = self.decoder.feed(message)? else { return Ok(()) };
        if let Body::Connect(auth) = body {
            return self.connect(&namespace, auth.unwrap_or_else(|| json!({})));
        }
        let socket = self.sockets.get(&namespace).ok_or(Malformed)?.clone();
        if !socket.is_connected() {
            return Ok(()); // the client had not heard of that yet
        }
        if body == Body::Disconnect {
            self.sockets.remove(&namespace);
            return guarded(|| socket.end("client namespace disconnect"));
        }
        guarded(|| socket.receive(body))
    }

    fn connect(&mut self, name: &str, auth: Value) -> Result<(), Malformed> {
        if self.sockets.get(name).is_some_and(Socket::is_connected) {
            return Err(Malformed);
        }
        let Some(namespace) = self.server.find(name) else {
            self.refuse(
                name,
                &Refused { message: "Invalid namespace".to_owned(), data: Value::Null },
            );
            return Ok(());
        };
        let mut allowed = Ok(());
        guarded(|| allowed = namespace.may_connect(&auth))?;
        if let Err(why) = allowed {
            self.refuse(name, &why);
            return Ok(());
        }
        self.has_connected = true;
        let socket = Socket::new(namespace.clone(), self.session.clone());
        self.sockets.insert(name.to_owned(), socket.clone());
        socket.send(Body::Connect(Some(json!({ "sid": socket.id() }))));
        namespace.insert(&socket);
        guarded(|| namespace.connected(&socket, &auth))
    }

    fn refuse(&self, namespace: &str, why: &Refused) {
        self.session.send(Body::ConnectError(why.payload()).encode(namespace));
    }
}

/// A handler that panics costs its own client the connection, and nobody else anything.
fn guarded(handler: impl FnOnce()) -> Result<(), Malformed> {
    catch_unwind(AssertUnwindSafe(handler)).map_err(|_| Malformed)
}
