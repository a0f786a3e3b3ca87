//! A client and a server that are joined in memory, with a clock that the test moves: a pattern to copy.
//!
//! Hours of time-outs pass in no time, and each run is the same. A test of an application replaces `Side::on` by
//! what the application does with an event.
#![cfg(feature = "endpoint")]

use core::time::Duration;
use std::collections::VecDeque;

use ws_core::endpoint::{Endpoint, EndpointError, Event, Next, Options};
use ws_core::handshake::{AcceptResponse, ClientRequest};
use ws_core::{CloseCode, Config, Instant, Message, ProtocolError};

/// One side, and what it was told.
struct Side {
    endpoint: Endpoint,
    /// What the other side has written and this one has not read.
    incoming: VecDeque<u8>,
    /// The other side writes nothing more.
    eof: bool,
    /// This side writes nothing more.
    shut_down: bool,
    messages: Vec<Message>,
    pongs: usize,
    failed: Option<EndpointError>,
    done: bool,
}

impl Side {
    fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            incoming: VecDeque::new(),
            eof: false,
            shut_down: false,
            messages: Vec::new(),
            pongs: 0,
            failed: None,
            done: false,
        }
    }

    /// What the application does.
    fn on(&mut self, event: Event) {
        match event {
            Event::Request(_) => self.endpoint.outbound.accept(&AcceptResponse::new()).unwrap(),
            Event::Message(message) => self.messages.push(message),
            Event::Pong(_) => self.pongs += 1,
            _ => {}
        }
    }

    /// Does all there is to do at this time. Returns what was written, and until when to wait.
    fn run(&mut self, now: Instant) -> (Vec<u8>, Option<Instant>) {
        let mut written = Vec::new();
        loop {
            match self.endpoint.next(|| now) {
                Next::Event(event) => self.on(event),
                Next::Failed(error) => self.failed = Some(error),
                Next::Write { mut output, .. } => {
                    let chunk = output.chunk();
                    written.extend_from_slice(chunk);
                    let count = chunk.len();
                    output.advance(count);
                }
                Next::Shutdown { side, .. } => {
                    side.shut_down();
                    self.shut_down = true;
                }
                Next::Wait { read: Some(inbound), .. } if !self.incoming.is_empty() => {
                    let count = inbound.receive(self.incoming.make_contiguous());
                    self.incoming.drain(..count);
                }
                Next::Wait { read: Some(inbound), .. } if self.eof => {
                    self.eof = false;
                    inbound.receive_eof();
                }
                Next::Wait { until, .. } => return (written, until),
                Next::Done => {
                    self.done = true;
                    self.shut_down = true;
                    return (written, None);
                }
            }
        }
    }
}

/// Two sides, the clock, and what the wire does.
struct Pair {
    client: Side,
    server: Side,
    now: Instant,
    /// What is written from now on is lost.
    cut: bool,
}

impl Pair {
    fn new(client: Config, server: Config) -> Self {
        let request = ClientRequest::new("example.com", "/");
        let random = |bytes: &mut [u8]| {
            bytes.fill(7); // each run is the same; never so outside of a test
            true
        };
        let client = Endpoint::client(&request, Options::from(client), random).unwrap();
        let server = Endpoint::server(Options::from(server));
        let now = Instant::from_millis(0);
        Self { client: Side::new(client), server: Side::new(server), now, cut: false }
    }

    /// Lets both sides do all there is to do now; returns when one of them has something to do next.
    fn settle(&mut self) -> Option<Instant> {
        loop {
            let (sent, client) = self.client.run(self.now);
            let (answer, server) = self.server.run(self.now);
            if !self.cut {
                self.server.incoming.extend(&sent);
                self.client.incoming.extend(&answer);
                self.server.eof |= core::mem::take(&mut self.client.shut_down);
                self.client.eof |= core::mem::take(&mut self.server.shut_down);
            }
            let is_new = !self.server.incoming.is_empty()
                || !self.client.incoming.is_empty()
                || (self.server.eof && !self.server.done)
                || (self.client.eof && !self.client.done);
            if !is_new {
                let left = |until: &Instant| until.saturating_since(self.now);
                return client.into_iter().chain(server).min_by_key(left);
            }
        }
    }

    /// Lets this much time pass: the clock jumps from one deadline to the next.
    fn pass(&mut self, time: Duration) {
        let end = self.now.saturating_add(time);
        while let Some(next) = self.settle() {
            if next.saturating_since(self.now) > end.saturating_since(self.now) {
                break;
            }
            self.now = next;
        }
        self.now = end;
        self.settle();
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn messages_pass_without_time() {
    let mut pair = Pair::new(Config::new(), Config::new());
    pair.settle();
    pair.client.endpoint.outbound.queue("hello").unwrap();
    pair.settle();
    assert_eq!(pair.server.messages, [Message::from("hello")]);
    pair.server.endpoint.outbound.start_close(CloseCode::NORMAL, "bye").unwrap();
    pair.settle();
    assert!(pair.client.done && pair.server.done);
    let how = pair.client.endpoint.close_info().unwrap();
    assert_eq!((how.code, &*how.reason, how.clean), (CloseCode::NORMAL, "bye", true));
    assert_eq!(pair.now, Instant::from_millis(0));
}

#[test]
fn a_quiet_day_is_kept_alive_by_pings() {
    let keepalive = Config::new().ping_interval(Some(30 * SECOND)).pong_timeout(Some(10 * SECOND));
    let mut pair = Pair::new(Config::new(), keepalive);
    pair.pass(24 * 60 * 60 * SECOND);
    assert_eq!(pair.server.pongs, 24 * 60 * 2);
    assert!(pair.client.endpoint.outbound.is_open() && pair.server.endpoint.outbound.is_open());
}

#[test]
fn a_wire_that_is_cut_is_noticed_after_the_ping_and_its_time_out() {
    let keepalive = Config::new().ping_interval(Some(30 * SECOND)).pong_timeout(Some(10 * SECOND));
    let mut pair = Pair::new(Config::new(), keepalive);
    pair.settle();
    pair.cut = true;
    pair.pass(39 * SECOND);
    assert_eq!(pair.server.failed, None);
    // A driver that looks exactly at the deadline has a second more for a Pong that may wait in the stream.
    pair.pass(3 * SECOND);
    assert_eq!(pair.server.failed, Some(ProtocolError::PongTimeout.into()));
    let how = pair.server.endpoint.close_info().unwrap();
    assert_eq!((how.code, how.clean), (CloseCode::ABNORMAL, false));
}

#[test]
fn a_closing_handshake_that_is_not_answered_ends() {
    let mut pair = Pair::new(Config::new().close_timeout(Some(5 * SECOND)), Config::new());
    pair.settle();
    pair.cut = true;
    pair.client.endpoint.outbound.start_close(CloseCode::NORMAL, "").unwrap();
    pair.pass(4 * SECOND);
    assert!(!pair.client.done);
    pair.pass(2 * SECOND);
    assert!(pair.client.done);
    assert!(!pair.client.endpoint.close_info().unwrap().clean);
}
