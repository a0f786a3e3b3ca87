//! The one question of a driver, and its answer.

use super::{EndpointError, Event, Inbound, Outbound, Pending};
use crate::Instant;

/// What a driver has to do next.
///
/// A driver asks an [`Endpoint`](crate::Endpoint) in a loop and does what each answer says. It is right when
/// each arm of its `match` is right. An answer is given again until it is done or its reason has gone, except
/// for `Event` and `Failed`, which are given once.
///
/// It is exhaustive on purpose: a driver that leaves out an arm would loop for ever.
#[derive(Debug)]
#[must_use = "the driver has to do what it says"]
pub enum Next<'a, E = Event> {
    /// React to it.
    Event(E),
    /// The connection has failed. Go on asking, because the peer is told next.
    Failed(EndpointError),
    /// Write once, and [`advance`](Pending::advance) by what was written. If the stream takes nothing at the
    /// moment, or a write is in flight already, wait for either direction, and read into `read` if there is
    /// one.
    Write {
        /// What to write.
        output: Pending<'a>,
        /// Where to read to while the stream takes nothing.
        read: Option<&'a mut Inbound>,
        /// Ask again at this time at the latest.
        until: Option<Instant>,
    },
    /// Shut down the write side of the stream, then call [`shut_down`](Outbound::shut_down), whether that
    /// has worked or not.
    Shutdown {
        /// What to confirm it to.
        side: &'a mut Outbound,
        /// Ask again at this time at the latest. If it has come already, try without waiting.
        until: Option<Instant>,
    },
    /// Flush a stream that holds data back. Then read into `read` if there is one.
    Wait {
        /// Where to read to. Without it there is nothing to read, or no room: wait for a write that is in
        /// flight, for the application, or for the time.
        read: Option<&'a mut Inbound>,
        /// Ask again at this time at the latest.
        until: Option<Instant>,
    },
    /// Drop the stream.
    Done,
}

impl<E> Next<'_, E> {
    /// Until when the driver may take: the deadline of any answer.
    pub fn until(&self) -> Option<Instant> {
        match self {
            Self::Write { until, .. } | Self::Shutdown { until, .. } | Self::Wait { until, .. } => {
                *until
            }
            Self::Event(_) | Self::Failed(_) | Self::Done => None,
        }
    }
}
