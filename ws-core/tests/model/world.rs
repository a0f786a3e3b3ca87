//! Two sides, two wires and a clock, and what must hold of them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use ws_core::endpoint::{EndpointError, Options};
use ws_core::handshake::ClientRequest;
use ws_core::{CloseCode, Config, Endpoint, Instant, Message, Role};

use crate::faults::{Fault, Faults};
use crate::side::{Amount, Drive, Side, Step, Stream, earlier};
use crate::wire::Wire;

/// The longest opening handshake.
pub(crate) const OPENING_TIMEOUT: Duration = Duration::from_millis(200);
/// Some time after all deadlines.
const LATE: Duration = Duration::from_secs(10);
/// How many steps without a byte, an event or an end a driver may make before it counts as spinning.
const IDLE_STEPS: usize = 4;
/// How many deadlines may pass until both sides have ended.
const DEADLINES: usize = 40;
/// Nobody may be asked so often at one time.
const STEPS: usize = 10_000;

/// What one side, the stream or the clock does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A short message.
    Text(usize),
    /// A message that is longer than the wire.
    Binary(usize),
    Ping(usize),
    Close(usize),
    /// What this side has written is the last that arrives.
    Eof(usize),
    /// What this side writes is not accepted any more.
    Stall(usize),
    /// The driver asks once.
    Step(usize, Amount),
    /// The driver asks once for what is to be written.
    Flush(usize),
    /// The driver asks until it has to wait.
    Run(usize),
    /// The stream fails for both.
    Reset,
    /// The time is that of the next deadline that was told.
    Tick,
    /// All deadlines have passed.
    Late,
}

impl Action {
    /// All of them. The side is 0 for the server and 1 for the client.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Reset, Self::Tick, Self::Late];
        for side in [0, 1] {
            let of_side = [
                Self::Text(side),
                Self::Binary(side),
                Self::Ping(side),
                Self::Close(side),
                Self::Eof(side),
                Self::Stall(side),
                Self::Step(side, Amount::One),
                Self::Step(side, Amount::Half),
                Self::Step(side, Amount::All),
                Self::Step(side, Amount::Nothing),
                Self::Flush(side),
                Self::Run(side),
            ];
            all.extend(of_side);
        }
        all
    }

    /// Whether a connection ends by this.
    pub(crate) const fn ends(self) -> bool {
        use Action::{Close, Eof, Late, Reset, Stall};
        matches!(self, Close(_) | Eof(_) | Late | Reset | Stall(_))
    }

    const fn side(self) -> Option<usize> {
        match self {
            Self::Text(side)
            | Self::Binary(side)
            | Self::Ping(side)
            | Self::Close(side)
            | Self::Eof(side)
            | Self::Stall(side)
            | Self::Step(side, _)
            | Self::Flush(side)
            | Self::Run(side) => Some(side),
            Self::Reset | Self::Tick | Self::Late => None,
        }
    }
}

/// How a connection begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// Of the server and of the client.
    pub(crate) config: [Config; 2],
    pub(crate) drive: Drive,
    /// Whether the opening handshake is over.
    pub(crate) open: bool,
    pub(crate) start: u32,
    /// How many bytes are on their way at most, in each direction.
    pub(crate) capacity: usize,
}

/// What the searches have to reach on both sides: bit 2n for the server, bit 2n + 1 for the client.
pub(crate) const REACHED: [&str; 12] = [
    "the deadline of the opening handshake",
    "the deadline of a keepalive Ping",
    "the deadline of a Pong",
    "the deadline of idle_timeout",
    "the deadline of the closing handshake",
    "the deadline of output that a peer that has ended does not take",
    "the same deadline without close_timeout, after pong_timeout",
    "64 KiB of output, which hold events back",
    "a clean close that this side began",
    "a clean close that both sides began",
    "a reset of the stream",
    "64 KiB of output on both sides, which take nothing from each other",
];

pub(crate) struct World {
    sides: [Side; 2],
    /// By the side that reads.
    wires: [Wire; 2],
    now: Instant,
    faults: Faults,
    /// The bits of [`REACHED`].
    pub(crate) reached: u32,
}

impl World {
    pub(crate) fn new(plan: &Plan, fault: Option<Fault>) -> Result<Self, String> {
        let now = Instant::from_millis(plan.start);
        let options = plan.config.map(|config| {
            let config = Faults::hurry(fault, config);
            Options::from(config)
                .handshake_timeout(Some(OPENING_TIMEOUT))
                .max_output(10 * plan.capacity)
        });
        let [server, client] = options;
        let random = |bytes: &mut [u8]| {
            bytes.fill(0x5a);
            true
        };
        let ends = if plan.open {
            let server = Endpoint::server_after_handshake(server, b"");
            [server, Endpoint::client_after_handshake(client, random, b"")]
        } else {
            let request = ClientRequest::new("a", "/");
            let client =
                Endpoint::client(&request, client, random).map_err(|error| error.to_string())?;
            [Endpoint::server(server), client]
        };
        let [server, client] = ends;
        let mut world = Self {
            sides: [
                Side::new(server, Role::Server, plan.config[0], plan),
                Side::new(client, Role::Client, plan.config[1], plan),
            ],
            wires: [Role::Client, Role::Server]
                .map(|role| Wire::new(role, plan.open, plan.capacity)),
            now,
            faults: Faults::new(fault, now),
            reached: 0,
        };
        if plan.open {
            world.settle()?;
        }
        Ok(world)
    }

    /// All of the state from which the future follows.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.sides.iter().for_each(|side| side.digest(&mut hasher));
        (&self.wires, self.now.as_millis(), self.faults.is_spent()).hash(&mut hasher);
        hasher.finish()
    }

    /// What both sides have done and seen, and when.
    pub(crate) fn outcome(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.sides.iter().for_each(|side| side.log.hash(&mut hasher));
        (&self.wires, self.now.as_millis()).hash(&mut hasher);
        hasher.finish()
    }

    /// Does this, if it can be done.
    pub(crate) fn apply(&mut self, action: Action) -> Result<bool, String> {
        if action.side().is_some_and(|side| self.sides[side].log.done) {
            return Ok(false);
        }
        match action {
            Action::Text(side) => {
                let text = format!("\u{20ac}{}", self.sides[side].log.sent.len());
                self.sides[side].send(text.into())?;
            }
            Action::Binary(side) => {
                let (count, len) = (self.sides[side].log.sent.len(), 3 * self.wires[side].capacity);
                self.sides[side].send(Message::from(vec![count as u8; len]))?;
            }
            Action::Ping(side) => self.sides[side].ping(),
            Action::Close(side) => self.sides[side].close(self.now),
            Action::Eof(side) if self.wires[1 - side].ended => return Ok(false),
            Action::Eof(side) => self.wires[1 - side].ended = true,
            Action::Stall(side) if self.wires[1 - side].stalled => return Ok(false),
            Action::Stall(side) => self.wires[1 - side].stalled = true,
            Action::Step(side, amount) => {
                self.step(side, amount)?;
            }
            Action::Flush(side) => {
                self.with(side, |side, stream| side.flush(stream))?;
            }
            Action::Run(side) => {
                self.run(side)?;
            }
            Action::Reset => return Ok(self.reset()),
            Action::Tick => return Ok(self.tick()),
            Action::Late => self.now = self.now.saturating_add(LATE),
        }
        self.check()?;
        Ok(true)
    }

    fn reset(&mut self) -> bool {
        let can =
            self.sides.iter().all(|side| !(side.log.reset || side.log.told_reset || side.log.done));
        if can {
            self.sides.iter_mut().for_each(|side| side.log.reset = true);
            self.wires.iter_mut().for_each(Wire::clear);
        }
        can
    }

    /// Lets the time come until which a driver waits.
    fn tick(&mut self) -> bool {
        let [server, client] = &self.sides;
        match earlier(self.now, server.until, client.until) {
            Some(until) if until.saturating_since(self.now) > Duration::ZERO => self.now = until,
            _ => return false,
        }
        true
    }

    fn step(&mut self, index: usize, amount: Amount) -> Result<Step, String> {
        self.with(index, |side, stream| side.step(amount, stream))
    }

    fn with<T>(
        &mut self,
        index: usize,
        f: impl FnOnce(&mut Side, Stream<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        let Self { sides: [server, client], wires: [to_server, to_client], now, faults, .. } = self;
        let (side, other, from, to) = match index {
            0 => (server, client, to_server, to_client),
            _ => (client, server, to_client, to_server),
        };
        let result = f(side, Stream { from, to, now: *now, faults })?;
        if side.log.done && from.len() > 0 {
            // As TCP does when a stream is dropped with bytes that nobody has read.
            other.log.reset |= !other.log.done && !other.log.told_reset;
            from.clear();
            to.clear();
        }
        self.note(index);
        Ok(result)
    }

    /// Lets a driver do what it can do at this time. Returns whether that was anything.
    fn run(&mut self, index: usize) -> Result<bool, String> {
        let mut idle = 0;
        for count in 0..STEPS {
            if self.sides[index].log.done {
                return Ok(count > 0);
            }
            match self.step(index, Amount::All)? {
                Step::Blocked => return Ok(count > 0),
                Step::Moved => idle = 0,
                Step::Nothing => idle += 1,
            }
            if idle > IDLE_STEPS {
                break;
            }
        }
        Err(format!("{:?} spins", self.sides[index].role))
    }

    /// Lets both drivers do what they can do at this time.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            let moved = [self.run(0)?, self.run(1)?];
            if moved == [false, false] {
                return self.check();
            }
        }
        Err("the sides do not come to rest".into())
    }

    /// From here on both drivers run, and the clock goes on. Both sides have to end.
    pub(crate) fn complete(&mut self, choice: u64) -> Result<(), String> {
        let mut quiet = 0;
        let mut prompt = false;
        // Both were open, with nothing in the way, and nothing left to do.
        let mut rested = false;
        for _ in 0..DEADLINES {
            self.settle()?;
            let is_open = self.sides.iter_mut().all(|side| side.out().is_open());
            if rested && !prompt && !is_open && !self.sides.iter().any(Side::has_idle_timeout) {
                return Err(format!("it ends without a cause: {}", self.state()));
            }
            if self.sides.iter().all(|side| side.log.done) {
                return self.check_end(prompt, rested);
            }
            if rested && !is_open {
                return Err(format!("a clean close needs time: {}", self.state()));
            }
            let is_sound = self.sides.iter().all(|side| !side.log.reset)
                && self.wires.iter().all(|wire| !wire.stalled && !wire.ended);
            // Both have 64 KiB of output, and one more message than the other can hold back.
            let both_hold = self.sides.iter().all(|side| side.log.holds);
            if both_hold {
                self.reach(11, 0);
                self.reach(11, 1);
            }
            if is_sound && is_open && !both_hold {
                self.check_rest()?;
                rested = true;
                // Keepalive and idle_timeout may have their turn first.
                let rests = if choice & 2 == 0 { 0 } else { 3 };
                if quiet >= rests || self.sides.iter().all(|side| side.until.is_none()) {
                    self.sides[(choice & 1) as usize].close(self.now);
                    prompt = true;
                    continue;
                }
                quiet += 1;
            }
            if self.tick() {
                continue;
            }
            // Without keepalive, a peer that takes nothing is waited for until the application closes.
            let mut waits = false;
            for index in [0, 1] {
                let is_stalled = self.wires.iter().any(|wire| wire.stalled);
                let side = &mut self.sides[index];
                if (is_stalled || both_hold) && !side.log.done && side.out().is_open() {
                    side.close(self.now);
                    waits = true;
                }
            }
            if !waits {
                return Err(format!("they wait for ever: {}", self.state()));
            }
        }
        Err(format!("they do not end: {}", self.state()))
    }

    fn state(&self) -> String {
        let of = |index: usize| {
            let Side { role, log, until, endpoint, .. } = &self.sides[index];
            let (waiting, incoming) = (endpoint.outbound.waiting(), self.wires[index].len());
            format!(
                "{role:?}: {} sent, {} delivered, Pings {:?}, Pongs {:?}, open {}, ended {}, reset {}, done {}, \
                 holds {}, {waiting} waiting, {incoming} incoming, until {until:?}",
                log.sent.len(),
                log.delivered.len(),
                log.pings,
                log.pongs,
                log.open,
                log.ended,
                log.told_reset,
                log.done,
                log.holds,
            )
        };
        format!("at {:?}\n{}\n{}", self.now, of(0), of(1))
    }

    /// What holds at any time.
    fn check(&mut self) -> Result<(), String> {
        let goes_away = |wire: &Wire| wire.watch.close == Some(CloseCode::GOING_AWAY.get());
        let is_idle = |side: &Side| side.is_idle(self.now, Duration::ZERO);
        if self.wires.iter().any(goes_away) && !self.sides.iter().any(is_idle) {
            return Err("a side goes away without a cause".into());
        }
        for index in [0, 1] {
            let dropped = self.sides[1 - index].out().has_dropped();
            let (side, peer, wire) =
                (&self.sides[index], &self.sides[1 - index].log, &self.wires[index]);
            let (role, log, watch) = (side.role, &side.log, &wire.watch);
            if !watch.messages.starts_with(&log.delivered)
                || !peer.sent.starts_with(&watch.messages)
            {
                let texts = format!("{:?}, {:?}, {:?}", log.delivered, watch.messages, peer.sent);
                return Err(format!("{role:?} is told, was written and was sent {texts:.300}"));
            }
            // A Pong answers its Ping, and may leave out earlier ones (RFC 6455 §5.5.3).
            if !is_subsequence(&watch.pongs, &self.wires[1 - index].watch.pings) {
                return Err(format!("Pongs to {role:?} without a Ping: {:?}", watch.pongs));
            }
            if !watch.pongs.starts_with(&log.pongs) || !watch.pings.starts_with(&log.pinged) {
                return Err(format!("{role:?} is told {:?} and {:?}", log.pongs, log.pinged));
            }
            if log.closed {
                let all =
                    log.delivered == watch.messages && (dropped || log.delivered == peer.sent);
                if !all || log.pongs != watch.pongs || log.pinged != watch.pings {
                    return Err(format!("{role:?} was not told all before the Close frame"));
                }
            }
            let is_clean = side.endpoint.close_info().is_some_and(|info| info.clean);
            let is_parted = watch.close.is_some() && self.wires[1 - index].watch.close.is_some();
            // A flush may have parsed the Close frame, which is told later.
            if is_clean && !(is_parted && (log.closed || !log.done)) {
                return Err(format!("{role:?} is clean without two Close frames"));
            }
        }
        Ok(())
    }

    /// Nothing is left to do while both sides are open.
    fn check_rest(&mut self) -> Result<(), String> {
        for index in [0, 1] {
            let waiting = self.sides[index].out().waiting();
            let (side, peer, wire) =
                (&self.sides[index], &self.sides[1 - index].log, &self.wires[index]);
            let is_silent = waiting == 0 && wire.len() == 0 && side.log.open;
            let is_told = side.log.delivered == peer.sent;
            // A Pong to a later Ping may stand for those before it.
            let is_answered = side.log.pongs.last() == self.wires[1 - index].watch.pings.last();
            if !(is_silent && is_told && is_answered) {
                let role = side.role;
                return Err(format!(
                    "{role:?} rests: {is_silent} {is_told} {is_answered}: {}",
                    self.state()
                ));
            }
        }
        Ok(())
    }

    /// Both sides have ended. `prompt` is whether one of them has closed after they had rested.
    fn check_end(&mut self, prompt: bool, rested: bool) -> Result<(), String> {
        self.check()?;
        let infos = [0, 1].map(|index| self.sides[index].endpoint.close_info());
        let [Some(server), Some(client)] = &infos else {
            return if rested { Err("nobody knows how it was closed".into()) } else { Ok(()) };
        };
        if rested && !(server.clean && client.clean && !(prompt && server.by_us == client.by_us)) {
            return Err(format!("not clean: {server:?}, {client:?}"));
        }
        if server.clean && client.clean {
            let codes = (server.sent == Some(client.code), client.sent == Some(server.code));
            match (server.by_us, client.by_us) {
                (true, true) => {
                    self.reach(9, 0);
                    self.reach(9, 1);
                }
                (true, false) => self.reach(8, 0),
                (false, true) => self.reach(8, 1),
                (false, false) => return Err("neither has closed first".into()),
            }
            if codes != (true, true) {
                return Err(format!("the codes differ: {server:?}, {client:?}"));
            }
        }
        Ok(())
    }

    fn reach(&mut self, what: usize, index: usize) {
        self.reached |= 1 << (2 * what + index);
    }

    /// Notes which deadlines a side has reached.
    fn note(&mut self, index: usize) {
        let side = &mut self.sides[index];
        let is_patient = side.out().close_timeout().is_none();
        let (dropped, info) = (side.out().has_dropped(), side.endpoint.close_info());
        let (log, watch) = (&side.log, &self.wires[1 - index].watch);
        let sent = info.as_ref().is_some_and(|info| info.sent.is_some());
        let began = info.is_some_and(|info| info.by_us);
        let drained =
            log.done && log.told_eof && !log.told_reset && dropped && log.failed.is_none();
        let reached = [
            log.failed == Some(EndpointError::HandshakeTimeout),
            watch.pings.iter().any(Vec::is_empty),
            log.failed.is_some_and(|error| matches!(error, EndpointError::Protocol(_))),
            watch.close == Some(CloseCode::GOING_AWAY.get()) && began,
            log.done
                && sent
                && log.open
                && !log.told_eof
                && !log.told_reset
                && log.failed.is_none(),
            drained && !is_patient,
            drained && is_patient,
            log.holds,
        ];
        for (what, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
            self.reach(what, index);
        }
        if self.sides[index].log.told_reset {
            self.reach(10, index);
        }
    }
}

/// Whether the parts are among all, in this order.
fn is_subsequence(parts: &[Vec<u8>], all: &[Vec<u8>]) -> bool {
    let mut all = all.iter();
    parts.iter().all(|part| all.any(|other| other == part))
}
