//! One session: its queue of packets for the client, the transport that carries them, and its heartbeat.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::time::{Duration, Instant, timeout_at};
use ws_core::Message;

use super::packet::{self, CLOSE, NOOP, PING, Packet};
use crate::lock;

/// Which transport the packets to the client go by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    Polling,
    /// A WebSocket was asked for; polling goes on until its probe comes.
    Probed,
    /// The probe was answered: a poll returns at once, so that the client can pause polling.
    Upgrading,
    WebSocket,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The application has closed the session. The client may still fetch the queue.
    Closing,
    Closed,
}

struct State {
    queue: VecDeque<Message>,
    bytes: usize,
    carrier: Carrier,
    phase: Phase,
    /// Why the session has ended, in the words of Socket.IO.
    reason: &'static str,
    polling: bool,
    posting: bool,
    /// When a Pong has to be there.
    pong_due: Option<Instant>,
}

struct Inner {
    id: String,
    max_queue: usize,
    state: watch::Sender<State>,
    /// Until the session ends.
    on_message: Mutex<Option<OnMessage>>,
}

/// Called with each message of a client, and with `None` when the session has ended. It must not block: the next
/// message is read when it has returned.
pub type OnMessage = Box<dyn FnMut(Option<Message>) + Send>;

/// A client's session. A clone is another handle of the same session.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

impl Session {
    pub(super) fn new(id: String, carrier: Carrier, max_queue: usize) -> Self {
        let state = watch::Sender::new(State {
            queue: VecDeque::new(),
            bytes: 0,
            carrier,
            phase: Phase::Open,
            reason: "",
            polling: false,
            posting: false,
            pong_due: None,
        });
        Self(Arc::new(Inner { id, max_queue, state, on_message: Mutex::default() }))
    }

    pub(super) fn listen(&self, on_message: OnMessage) {
        *lock(&self.0.on_message) = Some(on_message);
    }

    /// The id that the client sends with each request.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Sends packets, one directly behind the other. They are dropped when the session has ended. A client that
    /// has left more unread than the queue may hold is closed.
    pub fn send(&self, packets: impl IntoIterator<Item = Message>) {
        self.change(|state| {
            for packet in packets {
                if state.phase != Phase::Open {
                    return;
                }
                if state.bytes > self.0.max_queue {
                    return state.close("transport error");
                }
                state.bytes += packet.len() + size_of::<Message>();
                state.queue.push_back(packet);
            }
        });
    }

    /// Ends the session when the client has fetched everything that was sent before.
    pub fn close(&self, reason: &'static str) {
        self.change(|state| {
            if state.phase == Phase::Open {
                state.end(Phase::Closing, reason);
            }
        });
    }

    /// Ends the session at once, and drops its queue.
    pub(super) fn abort(&self, reason: &'static str) {
        self.change(|state| state.close(reason));
    }

    /// Returns why the session has ended. The text is empty while the session is open.
    pub fn reason(&self) -> &'static str {
        self.0.state.borrow().reason
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

    /// Waits until the application or the client has ended the session.
    pub(crate) async fn ended(&self) {
        self.until(|state| state.phase != Phase::Open).await;
    }

    /// Waits until the session has ended and nothing is left to fetch.
    pub(super) async fn closed(&self) {
        self.until(|state| state.phase == Phase::Closed).await;
    }

    /// Sends a Ping at each interval until the session ends, and ends it when the Pong does not come in
    /// time. Tells the application of the end, and returns when nothing is left to fetch.
    pub(super) async fn heartbeat(&self, start: Instant, interval: Duration, pong: Duration) {
        let mut due = start + interval;
        while timeout_at(due, self.ended()).await.is_err() {
            self.change(|state| state.pong_due = Some(due + pong));
            self.send([PING.into()]);
            let answered =
                self.until(|state| state.pong_due.is_none() || state.phase != Phase::Open);
            if timeout_at(due + pong, answered).await.is_err() {
                self.abort("ping timeout");
            }
            due = Instant::now() + interval;
        }
        if let Some(mut on_message) = lock(&self.0.on_message).take() {
            on_message(None);
        }
        let _ = timeout_at(Instant::now() + pong, self.closed()).await;
        self.abort("transport close");
    }

    /// Handles a packet of the client. Returns `None` if a client may not send this packet here.
    pub(super) fn receive(&self, packet: Packet) -> Option<()> {
        match packet {
            Packet::Message(message) => {
                let mut on_message = lock(&self.0.on_message);
                let is_open = self.0.state.borrow().phase == Phase::Open;
                if let Some(on_message) = on_message.as_mut().filter(|_| is_open) {
                    on_message(Some(message));
                }
            }
            Packet::Pong => self.change(|state| state.pong_due = None),
            // The client knows that the session has ended, so its pending poll ends with a Noop.
            Packet::Close => self.change(|state| {
                state.close("transport close");
                if state.polling {
                    state.queue.push_back(NOOP.into());
                }
            }),
            Packet::Noop => {}
            Packet::Ping(_) | Packet::Upgrade => return None,
        }
        Some(())
    }

    /// Waits until the queue has packets, and returns them as the body of the response to a poll. `None` refuses the
    /// poll. A second poll at the same time ends the session, and so does a poll that the client cancels.
    pub(super) async fn poll(&self) -> Option<String> {
        let request = self.request(|state| &mut state.polling)?;
        self.until(|state| {
            !state.queue.is_empty()
                || state.phase != Phase::Open
                || matches!(state.carrier, Carrier::Upgrading | Carrier::WebSocket)
        })
        .await;
        let packets = request.done(|state| {
            if state.carrier == Carrier::WebSocket {
                return vec![NOOP.into()]; // the WebSocket carries the queue
            }
            let mut packets = state.take();
            if packets.is_empty() {
                // The Close packet has a response of its own: the client drops the packets that it gets together with
                // one.
                packets.push(if state.phase == Phase::Open { NOOP } else { CLOSE }.into());
                if state.phase == Phase::Closing {
                    state.phase = Phase::Closed;
                }
            }
            packets
        });
        Some(packet::encode_payload(&packets))
    }

    /// Claims the one POST request that a client may have, as `poll` does the GET request.
    pub(super) fn start_post(&self) -> Option<Request<'_>> {
        self.request(|state| &mut state.posting)
    }

    fn request(&self, slot: fn(&mut State) -> &mut bool) -> Option<Request<'_>> {
        let first = self.change(|state| {
            // Timers may be late by some milliseconds.
            if state.pong_due.is_some_and(|due| due <= Instant::now()) {
                state.close("ping timeout");
            }
            if state.carrier == Carrier::WebSocket || state.phase == Phase::Closed {
                return false;
            }
            let first = !mem::replace(slot(state), true);
            if !first {
                state.close("transport error");
            }
            first
        });
        first.then_some(Request { session: self, slot, done: false })
    }

    /// Waits until the queue has packets for the WebSocket, and returns them. Returns none if the session has ended.
    pub(super) async fn take(&self) -> Vec<Message> {
        self.until(|state| !state.queue.is_empty() || state.phase != Phase::Open).await;
        self.change(State::take)
    }

    /// Changes the carrier to `to` if it is `from`, and returns whether it has.
    pub(super) fn switch(&self, from: Carrier, to: Carrier) -> bool {
        self.change(|state| {
            let fits = state.carrier == from && state.phase != Phase::Closed;
            if fits {
                state.carrier = to;
            }
            fits
        })
    }

    /// Goes back to polling after an upgrade that has failed.
    pub(super) fn cancel_upgrade(&self) {
        self.change(|state| {
            if matches!(state.carrier, Carrier::Probed | Carrier::Upgrading) {
                state.carrier = Carrier::Polling;
            }
        });
    }
}

impl State {
    fn take(&mut self) -> Vec<Message> {
        self.bytes = 0;
        mem::take(&mut self.queue).into()
    }

    fn end(&mut self, phase: Phase, reason: &'static str) {
        self.phase = phase;
        if self.reason.is_empty() {
            self.reason = reason;
        }
    }

    fn close(&mut self, reason: &'static str) {
        if self.phase != Phase::Closed {
            self.end(Phase::Closed, reason);
            self.take();
        }
    }
}

/// A request that is being answered. If it is dropped before that, the session ends, because the packets of the request
/// or of its response are lost.
pub(super) struct Request<'a> {
    session: &'a Session,
    slot: fn(&mut State) -> &mut bool,
    done: bool,
}

impl Request<'_> {
    pub(super) fn finish(self) {
        self.done(|_| ());
    }

    fn done<T>(mut self, last: impl FnOnce(&mut State) -> T) -> T {
        self.done = true;
        self.session.change(|state| {
            *(self.slot)(state) = false;
            last(state)
        })
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.session.change(|state| {
            if !self.done && state.carrier != Carrier::WebSocket {
                state.close("transport close");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_pending_poll_gets_a_noop_when_the_client_closes() {
        let on_websocket = Session::new("a".to_owned(), Carrier::WebSocket, 1000);
        on_websocket.receive(Packet::Close).unwrap();
        assert!(on_websocket.take().await.is_empty());

        let polling = Session::new("b".to_owned(), Carrier::Polling, 1000);
        let close = async { polling.receive(Packet::Close) };
        let (body, closed) = tokio::join!(biased; polling.poll(), close);
        assert_eq!((body.as_deref(), closed), (Some(NOOP), Some(())));
        assert_eq!(polling.poll().await, None);
    }
}
