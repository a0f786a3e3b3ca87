//! One endpoint, its driver and its application.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use ws_core::endpoint::{EndpointError, Event, Inbound, Next, Outbound};
use ws_core::handshake::AcceptResponse;
use ws_core::{CloseCode, Config, Endpoint, Instant, Message, ProtocolError, Role};

use crate::faults::Faults;
use crate::wire::{Formatted, Wire};
use crate::world::{OPENING_TIMEOUT, Plan};
use crate::{CLOSE_TIMEOUT, IDLE_TIMEOUT, PING_INTERVAL, PONG_TIMEOUT};

/// How much the driver writes or reads at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    One,
    Half,
    All,
    /// The driver asks, and is cancelled before it does what the answer says.
    Nothing,
}

impl Amount {
    fn of(self, len: usize) -> usize {
        match self {
            Self::One => len.min(1),
            Self::Half => len.div_ceil(2),
            Self::All => len,
            Self::Nothing => 0,
        }
    }
}

/// By which calls a driver asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drive {
    Next,
    NextRef,
    /// The two halves, as after a split: the reader first.
    Halves,
}

/// The stream of one side while it is asked.
pub(crate) struct Stream<'w> {
    /// What the other side has written.
    pub(crate) from: &'w mut Wire,
    /// What this side has written.
    pub(crate) to: &'w mut Wire,
    pub(crate) now: Instant,
    pub(crate) faults: &'w mut Faults,
}

/// What a driver has done about an answer.
#[derive(Debug)]
enum Did {
    Told(Told),
    Failed(EndpointError),
    /// Bytes were moved, or an end was reported or confirmed.
    Moved,
    /// The stream has failed.
    Reset,
    /// Neither the stream nor the endpoint lets the driver go on before this time.
    Blocked(Option<Instant>),
    /// The driver was cancelled, or is a faulty one.
    Nothing,
    Done,
}

/// An event, owned or lent, as far as this model looks at it.
#[derive(Debug)]
enum Told {
    Request,
    Open,
    Message(Message),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The status of the response.
    Refused(u16),
    Closed,
    Other,
}

/// What came of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Moved,
    Blocked,
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) role: Role,
    pub(crate) endpoint: Endpoint,
    config: Config,
    drive: Drive,
    start: Instant,
    /// When the endpoint was last given bytes, except those of a flush, which does not look at them.
    heard: Instant,
    /// When the application has closed.
    closes: Option<Instant>,
    /// The latest time at which the driver has to ask again, as it was last told.
    pub(crate) until: Option<Instant>,
    pub(crate) log: Log,
    /// What was put into the output, in this order. With the number of bytes that were written it determines the output.
    queued: DefaultHasher,
}

/// What a side has done and seen.
#[derive(Debug, Default, Hash)]
pub(crate) struct Log {
    pub(crate) sent: Vec<Message>,
    pub(crate) pings: Vec<Vec<u8>>,
    pub(crate) delivered: Vec<Message>,
    pub(crate) pinged: Vec<Vec<u8>>,
    pub(crate) pongs: Vec<Vec<u8>>,
    pub(crate) open: bool,
    /// The last event was told.
    pub(crate) ended: bool,
    /// The peer's Close frame was delivered.
    pub(crate) closed: bool,
    /// The server has refused.
    pub(crate) refused: bool,
    pub(crate) failed: Option<EndpointError>,
    pub(crate) told_eof: bool,
    /// The stream has failed. The driver sees it when it uses the stream.
    pub(crate) reset: bool,
    pub(crate) told_reset: bool,
    /// An event is held back, because 64 KiB of output wait.
    pub(crate) holds: bool,
    /// The number of bytes.
    written: usize,
    shut_down: u8,
    pub(crate) done: bool,
}

impl Side {
    pub(crate) fn new(endpoint: Endpoint, role: Role, config: Config, plan: &Plan) -> Self {
        let log = Log { open: plan.open, ..Log::default() };
        let start = Instant::from_millis(plan.start);
        Self {
            role,
            endpoint,
            config,
            drive: plan.drive,
            start,
            heard: start,
            closes: None,
            until: None,
            log,
            queued: DefaultHasher::new(),
        }
    }

    /// Whether it closes a connection on which no messages are sent.
    pub(crate) fn has_idle_timeout(&self) -> bool {
        self.config != self.config.idle_timeout(None)
    }

    /// Whether it may have closed for this reason, so long ago. Messages can only have put that off.
    pub(crate) fn is_idle(&self, now: Instant, ago: Duration) -> bool {
        self.has_idle_timeout() && now.saturating_since(self.start) >= IDLE_TIMEOUT + ago
    }

    pub(crate) fn digest(&self, hasher: &mut DefaultHasher) {
        // All of the state but for the content of buffers, which follows from what was queued, written and read.
        write!(Formatted(hasher), "{:?}", self.endpoint).expect("a hasher takes all");
        (self.until.map(Instant::as_millis), self.queued.finish()).hash(hasher);
        self.log.hash(hasher);
    }

    pub(crate) fn out(&mut self) -> &mut Outbound {
        &mut self.endpoint.outbound
    }

    /// Uses the endpoint, and notes what came into its output.
    fn noting<T>(&mut self, kind: u8, f: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.out().waiting() + self.log.written;
        let result = f(self);
        let after = self.out().waiting() + self.log.written;
        if after > before {
            (kind, after - before).hash(&mut self.queued);
        }
        result
    }

    pub(crate) fn send(&mut self, message: Message) -> Result<(), String> {
        self.noting(0, |side| {
            let (before, open) = (side.out().waiting(), side.out().is_open());
            let result = side.out().queue(message.clone());
            let after = side.out().waiting();
            match result {
                Ok(()) if open && after > before => side.log.sent.push(message),
                Err(unsent) if unsent.message == message && after == before => {}
                result => return Err(format!("{:?} sends, {open}: {result:?}", side.role)),
            }
            Ok(())
        })
    }

    pub(crate) fn ping(&mut self) {
        self.noting(1, |side| {
            let payload = vec![b'p', side.log.pings.len() as u8];
            if side.out().ping(&payload).is_ok() {
                side.log.pings.push(payload);
            }
        });
    }

    pub(crate) fn close(&mut self, now: Instant) {
        self.noting(2, |side| {
            let _ = side.out().start_close(CloseCode::NORMAL, "bye");
            side.closes = side.closes.or(Some(now));
        });
    }

    /// Asks once for what is to be written, and does what the answer says.
    pub(crate) fn flush(&mut self, mut stream: Stream<'_>) -> Result<(), String> {
        self.noting(4, |side| {
            let (now, log) = (stream.faults.clock(stream.now), &mut side.log);
            let next = match side.drive {
                Drive::Halves => side.endpoint.outbound.next(|| now),
                _ => side.endpoint.next_write(|| now),
            };
            match act(next, told, Amount::All, log, &mut stream)? {
                Did::Told(_) | Did::Failed(_) => Err("an event of a flush".into()),
                // The time is that of the next deadline of a writer, and the end is told by `next`, after the events.
                Did::Blocked(_) | Did::Done => Ok(()),
                did => side.after(did, &mut stream).map(drop),
            }
        })
    }

    /// Asks once, and does what the answer says, by this much.
    pub(crate) fn step(&mut self, amount: Amount, mut stream: Stream<'_>) -> Result<Step, String> {
        let waiting = stream.from.len();
        let step = self.noting(3, |side| side.ask(amount, &mut stream));
        if stream.from.len() < waiting {
            self.heard = stream.now;
        }
        step
    }

    fn ask(&mut self, amount: Amount, stream: &mut Stream<'_>) -> Result<Step, String> {
        let now = stream.faults.clock(stream.now);
        let log = &mut self.log;
        log.holds = false;
        let did = match self.drive {
            Drive::Next => act(self.endpoint.next(|| now), told, amount, log, stream)?,
            Drive::NextRef => {
                let told = |(event, _): (_, &mut Outbound)| told(event);
                act(self.endpoint.next_ref(|| now), told, amount, log, stream)?
            }
            Drive::Halves => {
                let Endpoint { inbound, outbound, .. } = &mut self.endpoint;
                let did = act(inbound.next(outbound, || now), told, amount, log, stream)?;
                let reader = match did {
                    Did::Blocked(until) => until,
                    Did::Done | Did::Nothing => None,
                    did => return self.after(did, stream),
                };
                let is_done = matches!(did, Did::Done);
                match act(outbound.next(|| now), told, amount, log, stream)? {
                    Did::Blocked(writer) => Did::Blocked(earlier(now, reader, writer)),
                    // The reader is told so at the next step.
                    Did::Done if !is_done => Did::Blocked(reader),
                    did => did,
                }
            }
        };
        // A half that only writes never offers to read.
        self.log.holds &= self.drive != Drive::Halves;
        self.after(did, stream)
    }

    fn after(&mut self, did: Did, stream: &mut Stream<'_>) -> Result<Step, String> {
        let role = self.role;
        match did {
            Did::Told(told) => self.on(told, stream.now, stream.faults)?,
            Did::Failed(error) => self.on_failure(error, stream.now)?,
            Did::Moved => {}
            Did::Nothing => return Ok(Step::Nothing),
            Did::Reset if self.log.told_reset => {
                return Err(format!("{role:?} uses a stream that was reset"));
            }
            Did::Reset => {
                self.log.told_reset = true;
                self.out().receive_reset();
            }
            Did::Blocked(until) => {
                self.until = until.filter(|_| !stream.faults.forgets_deadlines());
                if until.is_some_and(|until| is_past(until, stream.now)) {
                    let (now, until) = (stream.now, self.until);
                    return Err(format!("{role:?} waits at {now:?} until {until:?}: it spins"));
                }
                return Ok(Step::Blocked);
            }
            Did::Done => self.drop_stream(stream)?,
        }
        Ok(Step::Moved)
    }

    /// What the application does.
    fn on(&mut self, told: Told, now: Instant, faults: &mut Faults) -> Result<(), String> {
        let (role, log) = (self.role, &mut self.log);
        if log.ended {
            return Err(format!("{role:?} is told {told:?} after its end"));
        }
        match told {
            Told::Request if role == Role::Server && !log.open => {
                let _ = self.out().accept(&AcceptResponse::new());
            }
            Told::Open if !log.open => log.open = true,
            Told::Message(message) if log.open => faults.deliver(message, &mut log.delivered),
            Told::Ping(payload) if log.open => log.pinged.push(payload),
            Told::Pong(payload) if log.open => log.pongs.push(payload),
            Told::Refused(408) if role == Role::Client => (log.refused, log.ended) = (true, true),
            Told::Closed if log.open => {
                log.ended = true;
                let info = self.endpoint.close_info().ok_or("closed, and nobody knows how")?;
                self.log.closed = info.code != CloseCode::ABNORMAL;
                let gives_up =
                    self.closes.is_some_and(|at| now.saturating_since(at) >= CLOSE_TIMEOUT)
                        || self.is_idle(now, CLOSE_TIMEOUT);
                let log = &self.log;
                if !(log.closed || log.told_eof || log.told_reset || gives_up) {
                    return Err(format!(
                        "{role:?} ends without a cause at {now:?}: {info:?}, closed at {:?}",
                        self.closes
                    ));
                }
                if faults.tells_after_end() {
                    return self.on(Told::Ping(Vec::new()), now, faults);
                }
            }
            told => return Err(format!("{role:?} is told {told:?} at the wrong time")),
        }
        Ok(())
    }

    /// Neither side breaks the protocol, so that only the stream can fail, and a deadline that has come.
    fn on_failure(&mut self, error: EndpointError, now: Instant) -> Result<(), String> {
        let has_keepalive = self.config != self.config.ping_interval(None);
        let log = &mut self.log;
        let has_cause = match error {
            EndpointError::HandshakeTimeout => {
                !log.open && now.saturating_since(self.start) >= OPENING_TIMEOUT
            }
            EndpointError::HandshakeEof => !log.open && (log.told_eof || log.told_reset),
            EndpointError::Protocol(ProtocolError::PongTimeout) => {
                log.open
                    && has_keepalive
                    && now.saturating_since(self.heard) >= PING_INTERVAL + PONG_TIMEOUT
            }
            _ => false,
        };
        if log.ended || !has_cause {
            return Err(format!("{:?} has failed: {error}", self.role));
        }
        (log.ended, log.failed) = (true, Some(error));
        Ok(())
    }

    fn drop_stream(&mut self, stream: &mut Stream<'_>) -> Result<(), String> {
        if !self.log.ended {
            return Err(format!("{:?} is done, and was told no end", self.role));
        }
        if !matches!(self.endpoint.next(|| stream.now), Next::Done) {
            return Err(format!("{:?} is done, but not for ever", self.role));
        }
        (self.log.done, self.until) = (true, None);
        (stream.to.ended, stream.from.gone) = (true, true);
        Ok(())
    }
}

/// Does what the answer says, over this stream.
fn act<E>(
    next: Next<'_, E>,
    told: impl FnOnce(E) -> Told,
    amount: Amount,
    log: &mut Log,
    stream: &mut Stream<'_>,
) -> Result<Did, String> {
    Ok(match next {
        Next::Event(event) => Did::Told(told(event)),
        Next::Failed(error) => Did::Failed(error),
        Next::Done => Did::Done,
        _ if amount == Amount::Nothing => Did::Nothing,
        Next::Write { .. } if log.reset || stream.to.gone => Did::Reset,
        Next::Write { mut output, read, until } => {
            log.holds = read.is_none() && !log.told_eof;
            let count = amount.of(output.len()).min(stream.to.room());
            if count == 0 {
                return self::read(read, until, amount, log, stream);
            }
            let mut bytes = output.slices().collect::<Vec<_>>().concat();
            bytes.truncate(count);
            output.advance(count);
            log.written += count;
            stream.faults.write(bytes, stream.to)?;
            Did::Moved
        }
        Next::Shutdown { side, until } => {
            let gives_up = until.is_some_and(|until| is_past(until, stream.now));
            let closes = stream.to.watch.close.is_some() && log.failed.is_none();
            if stream.to.watch.writer == Role::Client && closes && !log.told_eof && !gives_up {
                return Err("a client shuts down before its server (RFC 6455 §7.1.1)".into());
            }
            if stream.faults.ignores_shutdown() {
                return Ok(Did::Nothing);
            }
            side.shut_down();
            log.shut_down += 1;
            if log.shut_down > 1 {
                return Err("the stream is shut down twice".into());
            }
            stream.to.ended |= !stream.faults.forgets_shutdown();
            Did::Moved
        }
        Next::Wait { read, until } => self::read(read, until, amount, log, stream)?,
    })
}

fn read(
    inbound: Option<&mut Inbound>,
    until: Option<Instant>,
    amount: Amount,
    log: &mut Log,
    stream: &mut Stream<'_>,
) -> Result<Did, String> {
    let Some(inbound) = inbound else { return Ok(Did::Blocked(until)) };
    let most = amount.of(stream.from.len());
    if most > 0 {
        let count = inbound.receive(stream.from.peek(most));
        if count == 0 {
            return Err("the driver is asked to read, and there is no room".into());
        }
        stream.from.take(count);
        return Ok(Did::Moved);
    }
    if log.reset {
        return Ok(Did::Reset);
    }
    if stream.from.ended && !stream.faults.hides_eof() {
        log.told_eof = true;
        inbound.receive_eof();
        return Ok(Did::Moved);
    }
    Ok(Did::Blocked(until))
}

fn told<M: Into<Message>, B: AsRef<[u8]>>(event: Event<M, B>) -> Told {
    match event {
        Event::Request(_) => Told::Request,
        Event::Open { .. } => Told::Open,
        Event::Message(message) => Told::Message(message.into()),
        Event::Ping(payload) => Told::Ping(payload.as_ref().into()),
        Event::Pong(payload) => Told::Pong(payload.as_ref().into()),
        Event::Refused(response) => Told::Refused(response.status()),
        Event::Closed => Told::Closed,
        _ => Told::Other,
    }
}

pub(crate) fn is_past(until: Instant, now: Instant) -> bool {
    until.saturating_since(now).is_zero()
}

/// The earlier of two times.
pub(crate) fn earlier(now: Instant, a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min_by_key(|until| until.saturating_since(now))
}
