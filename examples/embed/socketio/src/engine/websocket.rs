//! A session on a WebSocket, from the start or after an upgrade. Each packet is a message.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use embed_hyper::{Asked, Opening, upgrade};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use ws_core::endpoint::Event;
use ws_core::{Config, Message};

use super::packet::{PROBED, Packet};
use super::session::Carrier;
use super::{BAD_REQUEST, Engine, Refusal, Session};

type WebSocket = embed_tokio::WebSocket<TokioIo<Upgraded>>;

impl Engine {
    pub(super) fn websocket(
        &self,
        mut request: Request,
        session: Option<Session>,
    ) -> Result<Response, Refusal> {
        let (response, opening) = match upgrade(&mut request, &self.options().origins, &[]) {
            Asked::WebSocket(response, opening) => (response, opening),
            Asked::Refused(response) => return Ok(response.into_response()),
            Asked::Plain => return Err(BAD_REQUEST),
        };
        let engine = self.clone();
        // An error of the stream has ended the session already, so nothing is left to do about it.
        tokio::spawn(async move { drop(engine.run(opening, session).await) });
        Ok(response.into_response())
    }

    async fn run(&self, opening: Opening, session: Option<Session>) -> std::io::Result<()> {
        let limit = self.options().max_payload as u64;
        let config = Config::new().max_frame(limit).max_message(limit);
        let mut ws = opening.open(config.into()).await?;
        let session = match session {
            None => self.open(Carrier::WebSocket),
            Some(session) if self.upgrade(&mut ws, &session).await => session,
            Some(_) => return close(ws).await,
        };
        tokio::select! {
            reason = relay(&mut ws, &session) => session.abort(reason),
            () = session.closed() => {}
        }
        close(ws).await
    }

    /// Moves a session to a WebSocket, and returns whether that succeeded. The session stays where it is when the
    /// client does not complete the upgrade in time, or has a WebSocket already.
    async fn upgrade(&self, ws: &mut WebSocket, session: &Session) -> bool {
        if !session.switch(Carrier::Polling, Carrier::Probed) {
            return false;
        }
        let upgraded = tokio::select! {
            upgraded = timeout(self.options().upgrade_timeout, probe(ws, session)) => upgraded,
            // A client that has paused polling gets the rest of a session that ends meanwhile.
            () = session.closed() => Ok(None),
        };
        let done = matches!(upgraded, Ok(Some(())));
        if !done {
            session.cancel_upgrade();
        }
        done
    }
}

/// The three packets of an upgrade. `None` when the client sends anything else, or has gone.
async fn probe(ws: &mut WebSocket, session: &Session) -> Option<()> {
    let Packet::Ping(text) = Packet::decode(message(ws).await?)? else { return None };
    if text != "probe" {
        return None;
    }
    // A poll that waits returns first: the client sends the upgrade packet when it has paused polling.
    session.switch(Carrier::Probed, Carrier::Upgrading).then_some(())?;
    ws.send(PROBED.into()).await.ok()?;
    let Packet::Upgrade = Packet::decode(message(ws).await?)? else { return None };
    session.switch(Carrier::Upgrading, Carrier::WebSocket).then_some(())
}

async fn message(ws: &mut WebSocket) -> Option<Message> {
    loop {
        if let Event::Message(message) = ws.event().await.ok()?? {
            return Some(message);
        }
    }
}

/// Carries packets both ways until either side ends that. Returns why the session is over.
async fn relay(ws: &mut WebSocket, session: &Session) -> &'static str {
    loop {
        tokio::select! {
            event = ws.event() => match event {
                Ok(Some(Event::Message(message))) => {
                    if Packet::decode(message).and_then(|packet| session.receive(packet)).is_none() {
                        return "parse error";
                    }
                }
                Ok(Some(Event::Closed) | None) => return "transport close",
                Ok(Some(_)) => {}
                Err(_) => return "transport error",
            },
            packets = session.take() => {
                if packets.is_empty() {
                    return "transport close"; // the application has closed the session
                }
                for packet in packets {
                    if ws.queue(packet).await.is_err() {
                        return "transport error";
                    }
                }
            }
        }
    }
}

/// Starts the closing handshake behind the queue, and waits until the connection has ended.
async fn close(mut ws: WebSocket) -> std::io::Result<()> {
    let _ = ws.endpoint.outbound.start_close(None, ""); // the client may have done so before
    while ws.event().await?.is_some() {}
    Ok(())
}
