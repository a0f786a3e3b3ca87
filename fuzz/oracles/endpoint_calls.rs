//! An endpoint, as a sequence of calls. The input is flags, the room in the outgoing direction, and pairs of bytes: what to
//! do, and how much. The bytes that a peer sends follow their pair.
//!
//! Bit 0 of the flags makes it a client, bit 1 sends keepalive Pings, bit 2 sets low limits, bit 3 cuts messages into short
//! frames, bit 4 lends messages, bit 5 limits how long the connection may be idle, bit 6 limits the output, and bit 7
//! streams messages.

use core::time::Duration;

use ws_core::endpoint::{Endpoint, EndpointError, Options};
use ws_core::frame::{FrameHeader, OpCode};
use ws_core::{Config, Instant, Message, ProtocolError, Role};

use super::KEY;
use super::driver::{End, Pipe, Side, Told, Turn};
use super::endpoint::random;
use super::model::Model;
use super::seen::Seen;

/// More calls than this are left out.
const MOST_CALLS: usize = 400;

pub(crate) fn check(data: &[u8]) {
    let Some((&[flags, room], mut calls)) = data.split_first_chunk() else { return };
    let mut run = Run::new(flags, room);
    for _ in 0..MOST_CALLS {
        let Some((&[what, arg], rest)) = calls.split_first_chunk() else { break };
        calls = rest;
        if matches!(what & 15, 8 | 9) {
            let (bytes, rest) = calls.split_at(calls.len().min(arg.into()));
            calls = rest;
            run.arrive(bytes);
        } else {
            run.call(what & 15, arg);
        }
    }
    run.settle();
    run.check();
}

struct Run {
    side: Side,
    model: Model,
    incoming: Pipe,
    outgoing: Pipe,
    /// All that has arrived, and all that was sent.
    received: Vec<u8>,
    sent: Vec<u8>,
    now: u32,
    /// The clock has moved, the stream has failed, or the stream has ended early.
    disturbed: bool,
    reset: bool,
    turns: usize,
}

impl Run {
    fn new(flags: u8, room: u8) -> Self {
        let flag = |bit: u8| flags >> bit & 1 != 0;
        let role = if flag(0) { Role::Client } else { Role::Server };
        let (max_frame, max_message) = if flag(2) { (200, 300) } else { (16 << 20, 16 << 20) };
        let mut config = Config::new().max_frame(max_frame).max_message(max_message);
        if flag(1) {
            config = config.ping_interval(Some(Duration::from_secs(10)));
        }
        if flag(3) {
            config = config.max_outgoing_frame(20);
        }
        if flag(5) {
            config = config.idle_timeout(Some(Duration::from_secs(40)));
        }
        let mut options = Options::from(config);
        if flag(6) {
            options = options.max_output(2000);
        }
        let endpoint = match role {
            Role::Server => Endpoint::server_after_handshake(options, &[]),
            Role::Client => Endpoint::client_after_handshake(options, random(&KEY), &[]),
        };
        let outgoing = Pipe::sized(room);
        let mut side = Side::new(endpoint, flag(4), &outgoing);
        side.endpoint.inbound.set_streaming(flag(7));
        Self {
            side,
            model: Model { role, compression: false, max_frame, max_message },
            incoming: Pipe::new(usize::MAX),
            outgoing,
            received: Vec::new(),
            sent: Vec::new(),
            now: 0,
            disturbed: false,
            reset: false,
            turns: 0,
        }
    }

    fn arrive(&mut self, bytes: &[u8]) {
        if !self.incoming.ended && !self.incoming.refused {
            self.incoming.write(bytes, usize::MAX);
            self.received.extend(bytes);
        }
    }

    fn turn(&mut self, most: usize, only_write: bool) -> Turn {
        self.turns += 1;
        let now = Instant::from_millis(self.now);
        self.side.turn(now, &mut self.incoming, &mut self.outgoing, most, only_write)
    }

    fn call(&mut self, what: u8, arg: u8) {
        let many = usize::from(arg);
        if self.side.done {
            return;
        }
        match what {
            0..8 => self.side.call(what, arg),
            10 | 11 => {
                for _ in 0..1 + many % 16 {
                    self.turn(1 + (many >> 4) * 9, false);
                }
                self.sent.extend(self.outgoing.take());
            }
            12 => {
                self.turn(1 + many, true);
            }
            13 => {
                self.now += u32::from(arg) * 100;
                self.disturbed = true;
            }
            14 => {
                self.now = self.side.near_deadline(self.now, arg);
                self.disturbed = true;
            }
            _ => match arg {
                0..8 => {
                    self.incoming.ended = true;
                    self.outgoing.refused = true;
                    self.side.receive_reset();
                    (self.disturbed, self.reset) = (true, true);
                }
                8..16 => {
                    self.incoming.ended = true;
                    self.disturbed = true;
                }
                _ => self.run(),
            },
        }
    }

    /// Lets it run until it waits for the peer or the clock.
    fn run(&mut self) {
        loop {
            let turn = self.turn(usize::MAX, false);
            let bytes = self.received.len() + self.outgoing.written;
            let most = 40 * MOST_CALLS + 8 * (bytes + self.side.told.len());
            assert!(self.turns < most, "{} turns for {bytes} bytes", self.turns);
            let taken = self.outgoing.take();
            let is_over = turn != Turn::Progress && taken.is_empty();
            self.sent.extend(taken);
            if is_over {
                return;
            }
        }
    }

    /// Ends the stream, and lets time pass until the connection has ended.
    fn settle(&mut self) {
        self.run();
        self.incoming.ended = true;
        self.run();
        for _ in 0..50 {
            if self.side.done {
                return;
            }
            self.disturbed = true;
            let until = self.side.until.expect("the stream has ended, and it waits for ever");
            self.now = until.as_millis();
            self.run();
        }
        panic!("there is always another deadline");
    }

    fn check(&self) {
        self.check_told();
        self.check_sent();
    }

    /// What was told is what the model tells.
    fn check_told(&self) {
        let (expected, _) = self.model.expect(&self.received);
        let mut whole: Vec<Told> = Vec::new();
        let mut end = End::Closed;
        let mut how = (1006, String::new());
        for seen in expected.seen {
            match seen {
                Seen::Text(text) => whole.push(Told::Message(Message::from(text))),
                Seen::Binary(bytes) => whole.push(Told::Message(Message::from(bytes))),
                Seen::Ping(payload) => whole.push(Told::Ping(payload)),
                Seen::Pong(payload) => whole.push(Told::Pong(payload)),
                Seen::Closed { code, reason, .. } => how = (code, reason),
                Seen::Failed(error) => end = End::Failed(EndpointError::Protocol(error)),
                other => panic!("{other:?} on an open connection"),
            }
        }
        let told = &self.side.told;
        assert!(whole.starts_with(told), "{told:?} instead of {whole:?}");
        let by_us = self.side.close_info().is_some_and(|info| info.by_us);
        if !self.disturbed && !by_us {
            assert_eq!((told, self.side.end.as_ref()), (&whole, Some(&end)));
            if end == End::Closed {
                let info = self.side.close_info().expect("how it was closed");
                assert_eq!((info.code.get(), info.reason), how);
            }
        } else if let Some(End::Failed(error)) = &self.side.end {
            let is_late = *error == EndpointError::Protocol(ProtocolError::PongTimeout);
            assert!(is_late || End::Failed(*error) == end, "{error}");
        }
    }

    /// What was sent is what a peer understands: frames of what the application has sent, Pongs, and one Close frame at
    /// the end.
    fn check_sent(&self) {
        let role = if self.model.role == Role::Server { Role::Client } else { Role::Server };
        let peer = Model { role, compression: false, max_frame: 1 << 40, max_message: 1 << 40 };
        let (sent, _) = peer.expect(&self.sent);
        let (received, _) = self.model.expect(&self.received);
        // Output is dropped if the stream has failed, the peer has broken the protocol or closed first, or takes nothing.
        let by_us = self.side.close_info().is_some_and(|info| info.by_us);
        let failed = matches!(self.side.end, Some(End::Failed(_)));
        let may_drop = self.disturbed || !by_us || failed;
        let dropped = may_drop && (self.reset || self.side.endpoint.outbound.has_dropped());
        let mut messages = self.side.sent.iter();
        for seen in &sent.seen {
            match seen {
                Seen::Text(text) => assert_eq!(Some(&Message::from(text)), messages.next()),
                Seen::Binary(bytes) => {
                    assert_eq!(Some(&Message::from(bytes.clone())), messages.next());
                }
                Seen::Ping(payload) => {
                    assert!(payload.is_empty() || self.side.pings.contains(payload), "{payload:?}");
                }
                Seen::Pong(payload) => {
                    let is_answer = received.seen.contains(&Seen::Ping(payload.clone()));
                    assert!(is_answer || self.side.pongs.contains(payload), "{payload:?}");
                }
                Seen::Closed { .. } => {}
                other => panic!("{other:?} was sent"),
            }
        }
        assert!(dropped || messages.next().is_none(), "a message was not sent");

        let mut rest = &self.sent[..];
        while !rest.is_empty() {
            let header = FrameHeader::decode(rest).expect("frames");
            let whole = header.and_then(|(header, len)| {
                Some((header.opcode, rest.get(len + header.len as usize..)?))
            });
            let Some((opcode, tail)) = whole else {
                assert!(dropped, "half a frame was sent");
                break;
            };
            rest = tail;
            assert!(opcode != OpCode::Close || rest.is_empty(), "sent after Close");
        }
    }
}
