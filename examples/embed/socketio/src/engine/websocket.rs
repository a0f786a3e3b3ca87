//! A session on a WebSocket, from the start or after an upgrade. Each packet is a message.

use std::{io, sync::Arc, time::Duration};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use embed_hyper::{Asked, Opening, upgrade};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use ws_core::endpoint::Event;
use ws_core::{Config, Message};

use super::packet::{PROBE, PROBED, Packet, UPGRADE};
use super::session::Carrier;
use super::{BAD_REQUEST, Engine, Refusal, Session};

type WebSocket = embed_tokio::WebSocket<TokioIo<Upgraded>>;

/// How long a client may take to send the probe, and then the upgrade packet.
const UPGRADE_STEP: Duration = Duration::from_secs(10);

impl Engine {
    pub(super) fn websocket(
        self: Arc<Self>,
        mut request: Request,
        session: Option<Session>,
    ) -> Result<Response, Refusal> {
        match upgrade(&mut request, &self.options.origins, &[]) {
            Asked::WebSocket(response, opening) => {
                // An error of the stream has ended the session already, so nothing is left to do about it.
                tokio::spawn(async move { drop(self.run(opening, session).await) });
                Ok(response.into_response())
            }
            Asked::Refused(response) => Ok(response.into_response()),
            Asked::Plain => Err(BAD_REQUEST),
        }
    }

    async fn run(self: Arc<Self>, opening: Opening, polling: Option<Session>) -> io::Result<()> {
        let limit = self.options.max_payload as u64;
        let config = Config::new().max_frame(limit).max_message(limit);
        let mut ws = opening.open(config.into()).await?;
        let is_upgrade = polling.is_some();
        let session = polling.unwrap_or_else(|| self.open(Carrier::WebSocket));
        let carry = async {
            if !is_upgrade || change_to(&mut ws, &session).await {
                let reason = relay(&mut ws, &session).await.err();
                session.abort(reason.unwrap_or("transport close"));
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

/// Moves a session to a WebSocket, and returns whether that succeeded. The session stays where it is when the client
/// does not complete the upgrade in time, or has a WebSocket already.
async fn change_to(ws: &mut WebSocket, session: &Session) -> bool {
    let is_probed = session.is_polling()
        && timeout(UPGRADE_STEP, next(ws)).await == Ok(Ok(PROBE.into()))
        && session.switch(Carrier::Polling, Carrier::Upgrading);
    if !is_probed {
        return false;
    }
    // A poll that waits returns by now: the client sends the upgrade packet when it has paused polling.
    let is_complete = ws.queue(PROBED.into()).await.is_ok()
        && timeout(UPGRADE_STEP, next(ws)).await == Ok(Ok(UPGRADE.into()));
    let carrier = if is_complete { Carrier::WebSocket } else { Carrier::Polling };
    session.switch(Carrier::Upgrading, carrier) && is_complete
}

/// Carries packets both ways until the application closes the session, or else returns why that is over.
async fn relay(ws: &mut WebSocket, session: &Session) -> Result<(), &'static str> {
    loop {
        tokio::select! {
            message = next(ws) => {
                session.receive(Packet::decode(message?).ok_or("parse error")?);
            }
            packets = session.take(Carrier::WebSocket) => {
                if packets.is_empty() {
                    return Ok(());
                }
                for packet in packets {
                    ws.queue(packet).await.map_err(|_| "transport error")?;
                }
            }
        }
    }
}

/// The next message, or why there is none.
async fn next(ws: &mut WebSocket) -> Result<Message, &'static str> {
    loop {
        match ws.event().await {
            Ok(Some(Event::Message(message))) => return Ok(message),
            Ok(Some(Event::Closed) | None) => return Err("transport close"),
            Ok(Some(_)) => {}
            Err(_) => return Err("transport error"),
        }
    }
}
