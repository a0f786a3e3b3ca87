//! One session: its queue of packets for the client, the transport that carries them, and its heartbeat.

use std::{collections::HashSet, mem, sync::Arc, sync::Mutex};

use axum::http::Method;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use ws_core::Message;

use super::Options;
use super::packet::{CLOSE, NOOP, PING, Packet, encode_payload};
use crate::lock;

/// Why a session has ended, if its client has ended it or is gone.
const BY_CLIENT: &str = "transport close";

/// Which transport the packets to the client go by.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Carrier {
    #[default]
    Polling,
    /// A probe was answered: a poll returns at once, so that the client can pause polling.
    Upgrading,
    WebSocket,
}

#[derive(Default)]
struct State {
    queue: Vec<Message>,
    bytes: usize,
    carrier: Carrier,
    /// Why the session has ended, in the words of Socket.IO. The client may still fetch the queue.
    ended: Option<&'static str>,
    /// Nothing is left to fetch.
    closed: bool,
    /// The requests that are being answered: at most one of each method.
    requests: HashSet<Method>,
    /// When a Pong has to be there.
    pong_due: Option<Instant>,
}

impl State {
    fn take(&mut self) -> Vec<Message> {
        self.bytes = 0;
        mem::take(&mut self.queue)
    }

    fn close(&mut self, reason: &'static str) {
        self.ended.get_or_insert(reason);
        self.closed = true;
        self.take();
    }
}

struct Inner {
    max_queue: usize,
    state: watch::Sender<State>,
    /// Until the session ends.
    on_message: Mutex<Option<OnMessage>>,
}

/// Called with each message of a client, and at last with the reason why the session has ended. It must not block: the
/// next message is read when it has returned.
pub type OnMessage = Box<dyn FnMut(Result<Message, &'static str>) + Send>;

/// A client's session. A clone is another handle of the same session.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

impl Session {
    pub(super) fn new(carrier: Carrier, max_queue: usize) -> Self {
        let state = watch::Sender::new(State { carrier, ..State::default() });
        Self(Arc::new(Inner { max_queue, state, on_message: Mutex::default() }))
    }

    pub(super) fn listen(&self, on_message: OnMessage) {
        *lock(&self.0.on_message) = Some(on_message);
    }

    /// Sends packets, one directly behind the other. They are dropped when the session has ended. A client that
    /// has left more unread than the queue may hold is closed.
    pub fn send(&self, packets: impl IntoIterator<Item = Message>) {
        self.change(|state| {
            if state.ended.is_some() {
                return;
            }
            if state.bytes > self.0.max_queue {
                return state.close("transport error");
            }
            for packet in packets {
                state.bytes += packet.len() + size_of::<Message>();
                state.queue.push(packet);
            }
        });
    }

    /// Ends the session when the client has fetched everything that was sent before.
    pub fn close(&self, reason: &'static str) {
        self.change(|state| _ = state.ended.get_or_insert(reason));
    }

    /// Ends the session at once, and drops its queue.
    pub(super) fn abort(&self, reason: &'static str) {
        self.change(|state| state.close(reason));
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut result = None;
        self.0.state.send_modify(|state| result = Some(change(state)));
        result.expect("send_modify calls what it is passed")
    }

    async fn until(&self, condition: impl FnMut(&State) -> bool) {
        // It fails only when the sender is gone, which `self` holds.
        let _ = self.0.state.subscribe().wait_for(condition).await;
    }

    /// Waits until the session has ended and nothing is left to fetch.
    pub(super) async fn closed(&self) {
        self.until(|state| state.closed).await;
    }

    /// Sends a Ping at each interval until the session ends, and ends it when the Pong does not come in
    /// time. Tells the application of the end, and returns when nothing is left to fetch.
    pub(super) async fn heartbeat(&self, start: Instant, options: &Options) {
        let (interval, pong) = (options.ping_interval, options.ping_timeout);
        let mut due = start + interval;
        while timeout_at(due, self.until(|state| state.ended.is_some())).await.is_err() {
            self.change(|state| state.pong_due = Some(due + pong));
            self.send([PING.into()]);
            let answered = self.until(|state| state.pong_due.is_none() || state.ended.is_some());
            if timeout_at(due + pong, answered).await.is_err() {
                self.abort("ping timeout");
            }
            due = Instant::now() + interval;
        }
        let reason = self.0.state.borrow().ended.unwrap_or_default();
        if let Some(mut on_message) = lock(&self.0.on_message).take() {
            on_message(Err(reason));
        }
        let _ = timeout_at(Instant::now() + pong, self.closed()).await;
        self.abort(BY_CLIENT);
    }

    /// Handles a packet of the client.
    pub(super) fn receive(&self, packet: Packet) {
        match packet {
            Packet::Message(message) => {
                let mut on_message = lock(&self.0.on_message);
                let is_open = self.0.state.borrow().ended.is_none();
                if let Some(on_message) = on_message.as_mut().filter(|_| is_open) {
                    on_message(Ok(message));
                }
            }
            Packet::Pong => self.change(|state| state.pong_due = None),
            Packet::Close => self.abort(BY_CLIENT),
            Packet::Noop => {}
        }
    }

    /// Claims the one GET or POST request that a client may have at a time. `None` refuses it. A second one ends the
    /// session.
    pub(super) fn claim(&self, method: Method) -> Option<Claim<'_>> {
        let accepted = self.change(|state| {
            // Timers may be late by some milliseconds.
            if state.pong_due.is_some_and(|due| due <= Instant::now()) {
                state.close("ping timeout");
            }
            if state.closed || state.carrier == Carrier::WebSocket {
                return false;
            }
            let is_first = state.requests.insert(method.clone());
            if !is_first {
                state.close("transport error");
            }
            is_first
        });
        accepted.then(|| Claim { session: self, method })
    }

    /// Waits until the queue has packets for this carrier, and returns them. Returns none if the session has ended, or
    /// if another carrier takes over.
    pub(super) async fn take(&self, by: Carrier) -> Vec<Message> {
        self.until(|state| !state.queue.is_empty() || state.ended.is_some() || state.carrier != by)
            .await;
        // During the upgrade, polls still take packets.
        let is_mine = |state: &State| [by, Carrier::Upgrading].contains(&state.carrier);
        self.change(|state| if is_mine(state) { state.take() } else { Vec::new() })
    }

    /// The body of the response to a poll.
    pub(super) async fn poll(&self) -> String {
        let mut packets = self.take(Carrier::Polling).await;
        if packets.is_empty() {
            // The Close packet has a response of its own: the client drops packets that come together with it.
            packets.push(self.change(|state| {
                let is_mine = state.carrier != Carrier::WebSocket;
                let is_over = is_mine && state.ended.is_some() && state.queue.is_empty();
                state.closed |= is_over;
                // A client that has ended the session itself knows.
                let is_news = is_over && state.ended != Some(BY_CLIENT);
                if is_news { CLOSE.into() } else { NOOP.into() }
            }));
        }
        encode_payload(&packets)
    }

    pub(super) fn is_polling(&self) -> bool {
        self.0.state.borrow().carrier == Carrier::Polling
    }

    /// Changes the carrier to `to` if it is `from`, and returns whether it has.
    pub(super) fn switch(&self, from: Carrier, to: Carrier) -> bool {
        self.change(|state| {
            let fits = state.carrier == from && !state.closed;
            if fits {
                state.carrier = to;
            }
            fits
        })
    }
}

/// The claim of a request that is being answered. If it is dropped before that, the session ends, because the packets of
/// the request or of its response are lost.
pub(super) struct Claim<'a> {
    session: &'a Session,
    method: Method,
}

impl Claim<'_> {
    pub(super) fn finish(self) {
        self.session.change(|state| state.requests.remove(&self.method));
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.session.change(|state| {
            if state.requests.remove(&self.method) && state.carrier != Carrier::WebSocket {
                state.close(BY_CLIENT);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_pending_poll_gets_a_noop_when_the_client_closes() {
        let on_websocket = Session::new(Carrier::WebSocket, 1000);
        on_websocket.receive(Packet::Close);
        assert!(on_websocket.take(Carrier::WebSocket).await.is_empty());

        let polling = Session::new(Carrier::Polling, 1000);
        let claim = polling.claim(Method::GET).unwrap();
        let (body, ()) =
            tokio::join!(biased; polling.poll(), async { polling.receive(Packet::Close) });
        claim.finish();
        assert_eq!(body, NOOP);
        assert!(polling.claim(Method::GET).is_none());
    }

    #[tokio::test]
    async fn a_poll_that_waits_takes_nothing_from_a_websocket() {
        let session = Session::new(Carrier::Polling, 1000);
        let upgrade = async {
            assert!(session.switch(Carrier::Polling, Carrier::Upgrading));
            assert!(session.switch(Carrier::Upgrading, Carrier::WebSocket));
            session.send([Message::from("4hello")]);
            session.close("as the server wants");
        };
        let (body, ()) = tokio::join!(biased; session.poll(), upgrade);
        assert_eq!(body, NOOP);
        assert_eq!(session.take(Carrier::WebSocket).await, [Message::from("4hello")]);
        assert_eq!(session.poll().await, NOOP); // it says nothing of the end either
        assert!(!session.0.state.borrow().closed);
    }
}
