//! Broken rules, put in on purpose: a wrapper around an endpoint that breaks one of them has to be found.

use std::time::Duration;

use ws_core::{Config, Instant, Message};

use crate::wire::{CLOSE, FIN, PONG, Wire, frame_len};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// One Pong is not written.
    DropsPong,
    /// One message is not delivered.
    LosesMessage,
    /// One message is delivered twice.
    DuplicatesMessage,
    /// One byte of a frame is not written.
    LosesByte,
    /// The Close frame is written twice.
    ClosesTwice,
    /// A Ping follows the Close frame.
    PingsAfterClose,
    /// The Close frame is not written.
    DropsClose,
    /// The driver confirms a shutdown, and does not shut down.
    ForgetsShutdown,
    /// The driver does nothing when it is asked to shut down.
    IgnoresShutdown,
    /// The driver does not report the end of the stream.
    HidesEof,
    /// The driver always passes the time at which it started.
    IgnoresDeadlines,
    /// The driver waits for the stream only, however long that takes.
    ForgetsDeadlines,
    /// Each side answers one keepalive Ping, and no other.
    AnswersOnce,
    /// A Ping is told after the last event.
    TellsAfterEnd,
    /// Pongs, messages and the closing handshake are not awaited for as long as they should be.
    HurriesPong,
    HurriesIdle,
    HurriesClose,
}

impl Fault {
    /// All of them, and what the broken rule says.
    pub(crate) const ALL: [(Self, &str); 17] = [
        (Self::DropsPong, "rests"),
        (Self::LosesMessage, "rests"),
        (Self::DuplicatesMessage, "is told, was written and was sent"),
        (Self::LosesByte, "has failed"),
        (Self::ClosesTwice, "after its Close frame"),
        (Self::PingsAfterClose, "after its Close frame"),
        (Self::DropsClose, "a clean close needs time"),
        (Self::ForgetsShutdown, "a clean close needs time"),
        (Self::IgnoresShutdown, "spins"),
        (Self::HidesEof, "a clean close needs time"),
        (Self::IgnoresDeadlines, "it spins"),
        (Self::ForgetsDeadlines, "they wait for ever"),
        (Self::AnswersOnce, "it ends without a cause"),
        (Self::TellsAfterEnd, "after its end"),
        (Self::HurriesPong, "has failed: the peer did not answer a ping"),
        (Self::HurriesIdle, "goes away without a cause"),
        (Self::HurriesClose, "ends without a cause"),
    ];
}

/// The fault of both drivers, if they have one.
#[derive(Debug)]
pub(crate) struct Faults {
    fault: Option<Fault>,
    start: Instant,
    /// A fault of one message or frame has happened.
    spent: bool,
}

impl Faults {
    pub(crate) const fn new(fault: Option<Fault>, start: Instant) -> Self {
        Self { fault, start, spent: false }
    }

    /// The time-outs of the endpoints, which may be faulty.
    pub(crate) fn hurry(fault: Option<Fault>, config: Config) -> Config {
        let soon = Some(Duration::from_millis(10));
        match fault {
            Some(Fault::HurriesPong) => config.pong_timeout(soon),
            Some(Fault::HurriesIdle) if config != config.idle_timeout(None) => {
                config.idle_timeout(soon)
            }
            Some(Fault::HurriesClose) => config.close_timeout(soon),
            _ => config,
        }
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.spent
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Whether this fault happens now. It does so once.
    fn once(&mut self, fault: Fault) -> bool {
        let now = self.is(fault) && !self.spent;
        self.spent |= now;
        now
    }

    pub(crate) fn clock(&self, now: Instant) -> Instant {
        if self.is(Fault::IgnoresDeadlines) { self.start } else { now }
    }

    pub(crate) fn ignores_shutdown(&self) -> bool {
        self.is(Fault::IgnoresShutdown)
    }

    pub(crate) fn forgets_shutdown(&self) -> bool {
        self.is(Fault::ForgetsShutdown)
    }

    pub(crate) fn hides_eof(&self) -> bool {
        self.is(Fault::HidesEof)
    }

    pub(crate) fn forgets_deadlines(&self) -> bool {
        self.is(Fault::ForgetsDeadlines)
    }

    pub(crate) fn tells_after_end(&mut self) -> bool {
        self.once(Fault::TellsAfterEnd)
    }

    pub(crate) fn deliver(&mut self, message: Message, to: &mut Vec<Message>) {
        if self.once(Fault::LosesMessage) {
            return;
        }
        if self.once(Fault::DuplicatesMessage) {
            to.push(message.clone());
        }
        to.push(message);
    }

    pub(crate) fn write(&mut self, mut bytes: Vec<u8>, to: &mut Wire) -> Result<(), String> {
        if self.fault.is_some() && to.watch.is_between_frames() {
            let (first, len) = (bytes[0], frame_len(&bytes));
            let is_next_empty = bytes.get(1).is_some_and(|len| len & 0x7f == 0)
                && to.watch.pongs.iter().any(Vec::is_empty);
            match len {
                Some(len) if first == FIN | PONG && self.once(Fault::DropsPong) => {
                    bytes.drain(..len);
                }
                Some(len)
                    if first == FIN | PONG && is_next_empty && self.is(Fault::AnswersOnce) =>
                {
                    bytes.drain(..len);
                }
                Some(len) if first == FIN | CLOSE && self.once(Fault::ClosesTwice) => {
                    bytes.extend_from_within(..len);
                }
                Some(len) if first == FIN | CLOSE && self.once(Fault::DropsClose) => {
                    bytes.drain(..len);
                }
                Some(_) if first == FIN | CLOSE && self.once(Fault::PingsAfterClose) => {
                    bytes.extend([0x89, 0]);
                }
                Some(len) if len > 2 && self.once(Fault::LosesByte) => {
                    bytes.remove(len - 1);
                }
                _ => {}
            }
        }
        to.write(&bytes)
    }
}
