//! One client, in all its namespaces.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;
use ws_core::Message;

use crate::engine::{OnMessage, Options, Session};
use crate::lock;
use crate::packet::{Body, Decoder, Malformed, Packet};
use crate::server::Server;
use crate::socket::{Socket, Sockets};

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
                if client.receive(message).is_err() {
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
        guarded(|| socket.receive(body))
    }

    fn connect(&mut self, name: &str, auth: &Value) -> Result<(), Malformed> {
        if lock(&self.sockets).get(name).is_some_and(Socket::is_connected) {
            return Err(Malformed);
        }
        let namespace = match guarded(|| self.server.admit(name, auth))? {
            Ok(namespace) => namespace,
            Err(why) => {
                let mut error = json!({ "message": why.message });
                if !why.data.is_null() {
                    error["data"] = why.data;
                }
                self.session.send(Body::ConnectError(error).encode(name));
                return Ok(());
            }
        };
        self.idle = None;
        let socket = Socket::new(&namespace, &self.session, &self.sockets);
        lock(&self.sockets).insert(name.to_owned(), socket.clone());
        socket.send(Body::Connect(Some(json!({ "sid": socket.id() }))));
        guarded(|| namespace.insert(&socket, auth))
    }
}

/// A handler that panics costs its own client the connection, and nobody else anything.
fn guarded<T>(handler: impl FnOnce() -> T) -> Result<T, Malformed> {
    catch_unwind(AssertUnwindSafe(handler)).map_err(|_| Malformed)
}
