//! A session on a WebSocket, from the start or after an upgrade. Each packet is a message.

use std::io;
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use embed_hyper::{Asked, Opening, upgrade};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use ws_core::Config;
use ws_core::endpoint::Event;

use super::packet::{PROBE, PROBED, Packet, UPGRADE};
use super::session::Carrier;
use super::{BAD_REQUEST, Engine, Refusal, Session};

type WebSocket = embed_tokio::WebSocket<TokioIo<Upgraded>>;

/// How long a client may take to send the probe, and then the upgrade packet.
const UPGRADE_STEP: Duration = Duration::from_secs(10);

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

    async fn run(&self, opening: Opening, polling: Option<Session>) -> io::Result<()> {
        let limit = self.options().max_payload as u64;
        let config = Config::new().max_frame(limit).max_message(limit);
        let mut ws = opening.open(config.into()).await?;
        let is_upgrade = polling.is_some();
        let session = polling.unwrap_or_else(|| self.open(Carrier::WebSocket));
        let carry = async {
            if !is_upgrade || change_to(&mut ws, &session).await {
                session.abort(relay(&mut ws, &session).await);
            }
        };
        tokio::select! {
            () = carry => {}
            () = session.closed() => {}
        }
        let _ = ws.endpoint.outbound.start_close(None, ""); // the client may have done so before
        while ws.event().await?.is_some() {}
        Ok(())
    }
}

/// Moves a session to a WebSocket, and returns whether that succeeded. The session stays where it is when the client does
/// not complete the upgrade in time, or has a WebSocket already.
async fn change_to(ws: &mut WebSocket, session: &Session) -> bool {
    let is_probed = session.is_carried_by(Carrier::Polling) && receives(ws, PROBE).await;
    // A poll that waits returns first: the client sends the upgrade packet when it has paused polling.
    if !is_probed || !session.switch(Carrier::Polling, Carrier::Upgrading) {
        return false;
    }
    let is_complete = ws.queue(PROBED.into()).await.is_ok() && receives(ws, UPGRADE).await;
    let carrier = if is_complete { Carrier::WebSocket } else { Carrier::Polling };
    session.switch(Carrier::Upgrading, carrier) && is_complete
}

/// Whether the next packet comes in time, and is this one.
async fn receives(ws: &mut WebSocket, packet: &str) -> bool {
    let is_next = async {
        loop {
            match ws.event().await {
                Ok(Some(Event::Message(message))) => return message == *packet,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return false,
            }
        }
    };
    timeout(UPGRADE_STEP, is_next).await.unwrap_or(false)
}

/// Carries packets both ways until either side ends that. Returns why the session is over.
async fn relay(ws: &mut WebSocket, session: &Session) -> &'static str {
    loop {
        tokio::select! {
            event = ws.event() => match event {
                Ok(Some(Event::Message(message))) => match Packet::decode(message) {
                    Some(packet) => session.receive(packet),
                    None => return "parse error",
                },
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
