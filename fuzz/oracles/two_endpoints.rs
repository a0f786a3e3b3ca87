//! Two endpoints that are joined in memory. The input is flags, the room in each direction, and pairs of bytes: what to do,
//! and how much.
//!
//! Bit 0 of the flags begins with the opening handshake, bit 1 compresses, bit 2 sends keepalive Pings, bit 3 cuts
//! messages into short frames, bit 4 lends messages on the server, bit 5 limits how long a connection may be idle, bit 6
//! limits the output, and bit 7 streams messages to the client.

use core::time::Duration;

use ws_core::endpoint::{Endpoint, EndpointError, Options};
use ws_core::handshake::ClientRequest;
use ws_core::{CloseCode, Config, Instant, ProtocolError};

use super::KEY;
use super::driver::{End, Pipe, Side, Told, Turn};
use super::endpoint::random;

/// While this much output waits, an endpoint holds its events back.
const HOLD: usize = 64 * 1024;

/// More calls than this are left out.
const MOST_CALLS: usize = 400;

pub(crate) fn check(data: &[u8]) {
    let Some((&[flags, there, back], calls)) = data.split_first_chunk() else { return };
    let mut pair = Pair::new(flags, [there, back]);
    for call in calls.chunks_exact(2).take(MOST_CALLS) {
        pair.call(call[0], call[1]);
    }
    pair.settle();
    pair.check();
}

fn options(flags: u8) -> Options {
    let flag = |bit: u8| flags >> bit & 1 != 0;
    let mut config = Config::new();
    if flag(2) {
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
    #[cfg(feature = "zlib-rs")]
    if flag(1) {
        use std::sync::LazyLock;

        use ws_core::deflate::{DeflateParams, Pool};
        use ws_core::endpoint::Compression;
        static POOL: LazyLock<Pool> = LazyLock::new(Pool::new);
        let compression = Compression::new(&POOL);
        options = options.deflate(match flag(0) {
            true => compression,
            false => compression.agreed(DeflateParams::default()),
        });
    }
    options
}

struct Pair {
    /// The client and the server.
    sides: [Side; 2],
    /// What each of them writes.
    pipes: [Pipe; 2],
    now: u32,
    /// The clock has moved, or the stream was disturbed.
    disturbed: bool,
    /// How many turns there were, for both.
    turns: usize,
    /// How often the clock was moved to a deadline at the end.
    waits: usize,
}

impl Pair {
    fn new(flags: u8, room: [u8; 2]) -> Self {
        let flag = |bit: u8| flags >> bit & 1 != 0;
        let (client, server) = if flag(0) {
            let request = ClientRequest::new("localhost", "/");
            let client = Endpoint::client(&request, options(flags), random(&KEY));
            (client.expect("a valid request"), Endpoint::server(options(flags)))
        } else {
            (
                Endpoint::client_after_handshake(options(flags), random(&KEY), &[]),
                Endpoint::server_after_handshake(options(flags), &[]),
            )
        };
        let pipes = room.map(Pipe::sized);
        let mut sides =
            [Side::new(client, false, &pipes[0]), Side::new(server, flag(4), &pipes[1])];
        sides[0].endpoint.inbound.set_streaming(flag(7));
        Self { sides, pipes, now: 0, disturbed: false, turns: 0, waits: 0 }
    }

    fn turn(&mut self, side: usize, most: usize, only_write: bool) -> Turn {
        self.turns += 1;
        let [first, second] = &mut self.pipes;
        let (incoming, outgoing) = if side == 0 { (second, first) } else { (first, second) };
        let now = Instant::from_millis(self.now);
        self.sides[side].turn(now, incoming, outgoing, most, only_write)
    }

    fn call(&mut self, what: u8, arg: u8) {
        let (number, many) = (usize::from(what & 1), usize::from(arg));
        let side = &mut self.sides[number];
        let is_there = !side.done;
        match what >> 1 & 15 {
            what @ 0..8 if is_there => side.call(what, arg),
            8..=11 => {
                for _ in 0..1 + many % 16 {
                    self.turn(number, 1 + (many >> 4) * 9, false);
                }
            }
            12 => {
                self.turn(number, 1 + many, true);
            }
            13 => {
                self.now += u32::from(arg) * 100;
                self.disturbed = true;
            }
            14 => {
                self.now = side.near_deadline(self.now, arg);
                self.disturbed = true;
            }
            15 => match arg {
                0..8 => {
                    self.pipes.iter_mut().for_each(Pipe::reset);
                    for side in self.sides.iter_mut().filter(|side| !side.done) {
                        side.receive_reset();
                        side.endpoint.inbound.receive_eof();
                    }
                    self.disturbed = true;
                }
                8..16 => {
                    let [first, second] = &mut self.pipes;
                    let pipes = if number == 0 { (second, first) } else { (first, second) };
                    side.leave(pipes.0, pipes.1);
                    self.disturbed = true;
                }
                _ => self.run(),
            },
            _ => {}
        }
    }

    /// Lets both run until neither can do anything.
    fn run(&mut self) {
        loop {
            let turns = [self.turn(0, usize::MAX, false), self.turn(1, usize::MAX, false)];
            // An event or a failure for each call, or bytes, or an end.
            let written: usize = self.pipes.iter().map(|pipe| pipe.written).sum();
            let told: usize = self.sides.iter().map(|side| side.told.len()).sum();
            let most = 40 * MOST_CALLS + 8 * (written + told);
            assert!(self.turns < most, "{} turns for {written} bytes", self.turns);
            if !turns.contains(&Turn::Progress) {
                return;
            }
        }
    }

    /// Closes the connection, and lets time pass until both sides have ended.
    fn settle(&mut self) {
        self.run();
        self.check_rest();
        for side in self.sides.iter_mut().filter(|side| !side.done) {
            side.end_fragments();
        }
        if !self.sides[0].done && self.sides[0].endpoint.outbound.is_open() {
            self.sides[0].close(1000, "bye");
        } else if !self.sides[1].done && self.sides[1].endpoint.outbound.is_open() {
            self.sides[1].close(1000, "bye");
        }
        loop {
            self.run();
            if self.sides.iter().all(|side| side.done) {
                return;
            }
            let now = Instant::from_millis(self.now);
            let waiting = self.sides.iter().filter(|side| !side.done);
            let until = waiting.filter_map(|side| Some(side.until?.saturating_since(now)));
            let rest = until.min().expect("a deadline, or both wait for ever");
            self.now += rest.as_millis() as u32;
            self.disturbed = true;
            self.waits += 1;
            assert!(self.waits < 50, "there is always another deadline");
        }
    }

    /// Between two sides that are open and wait, nothing is left to write or to read. The exception are two that each
    /// have `HOLD` to write, and hold back a message that they have received: they read no more, and a stream that is too
    /// small for what is left stands still (rules 2 and 18 of the run loop).
    fn check_rest(&self) {
        let is_open = |side: &Side| !side.done && side.endpoint.outbound.is_open();
        let waits = |side: &Side| side.endpoint.outbound.waiting();
        if self.sides.iter().all(is_open) && !self.sides.iter().all(|side| waits(side) >= HOLD) {
            assert!(self.pipes.iter().all(Pipe::is_empty), "a side waits, and does not read");
            assert!(
                self.sides.iter().all(|side| waits(side) == 0),
                "a side waits, and does not write"
            );
        }
    }

    fn check(&self) {
        let [client, server] = &self.sides;
        self.check_direction(client, server);
        self.check_direction(server, client);
        if !self.disturbed {
            for side in &self.sides {
                assert_eq!(side.end, Some(End::Closed), "nothing was in the way");
                let info = side.close_info().expect("how it was closed");
                assert!(info.clean && info.code != CloseCode::ABNORMAL, "{info:?}");
            }
        }
    }

    fn check_direction(&self, from: &Side, to: &Side) {
        // Nothing is lost on the way, changed, or delivered twice.
        let received: Vec<_> = to.messages().collect();
        let sent: Vec<_> = from.sent.iter().collect();
        assert!(sent.starts_with(&received), "{received:?} of {sent:?}");
        // What was sent before a Close frame is delivered before it.
        let info = to.close_info();
        let close_arrived = to.end == Some(End::Closed)
            && info.as_ref().is_some_and(|info| info.code != CloseCode::ABNORMAL);
        // A side whose peer has closed may drop the rest of a message that is cut.
        let first = from.close_info().is_some_and(|info| info.by_us) && !self.disturbed;
        if close_arrived && (first || !from.endpoint.outbound.has_dropped()) {
            assert_eq!(received.len(), sent.len(), "{info:?}, but messages are missing");
        }
        if let Some(End::Failed(error)) = &to.end {
            let is_late = matches!(
                error,
                EndpointError::Protocol(ProtocolError::PongTimeout)
                    | EndpointError::HandshakeTimeout
                    | EndpointError::HandshakeEof
            );
            assert!(is_late && self.disturbed, "{error} between two of us");
        }
        // Pings arrive in order, but for those of keepalive, which are empty. A Pong repeats a Ping or is unsolicited.
        let pings = to.told.iter().filter_map(|told| match told {
            Told::Ping(payload) if !payload.is_empty() => Some(payload),
            _ => None,
        });
        let sent = from.pings.iter().filter(|payload| !payload.is_empty());
        assert!(starts_with(sent, pings), "pings");
        let pongs = to.told.iter().filter_map(|told| match told {
            Told::Pong(payload) if !payload.is_empty() => Some(payload),
            _ => None,
        });
        for pong in pongs {
            assert!(from.pongs.contains(pong) || to.pings.contains(pong), "{pong:?}");
        }
    }
}

fn starts_with<'a>(
    mut whole: impl Iterator<Item = &'a Vec<u8>>,
    mut start: impl Iterator<Item = &'a Vec<u8>>,
) -> bool {
    start.all(|item| whole.next() == Some(item))
}
