//! What a driver has to do next.

use super::{EndpointError, Event, Inbound, Outbound, Pending};
use crate::Instant;

/// What a driver has to do next.
///
/// A driver calls [`Endpoint::next`](crate::Endpoint::next) in a loop, and does what each returned value says. It is
/// correct if each arm of its `match` is correct. `Event` and `Failed` are returned once. Every other value is returned
/// again until the driver has done it, or until there is no more reason for it.
///
/// The enum is exhaustive on purpose: a driver that ignored a new variant would loop for ever.
///
/// ```
/// use std::io::{self, Read, Write};
/// use ws_core::Endpoint;
/// use ws_core::endpoint::Next;
///
/// /// Does one step of a driver for a blocking stream. Returns whether the connection goes on.
/// ///
/// /// A full driver also sets time-outs on the stream, which follow from `until`.
/// fn step(
///     ws: &mut Endpoint,
///     stream: &mut (impl Read + Write),
///     now: impl FnOnce() -> ws_core::Instant,
/// ) -> io::Result<bool> {
///     match ws.next(now) {
///         Next::Event(event) => println!("{event:?}"),
///         Next::Failed(error) => eprintln!("{error}"),
///         Next::Write { mut output, .. } => {
///             let count = stream.write(output.chunk())?;
///             output.advance(count);
///         }
///         Next::Shutdown { side, .. } => side.shut_down(), // TCP: shut the write side down first
///         Next::Wait { read: Some(inbound), .. } => match stream.read(inbound.read_buf())? {
///             0 => inbound.receive_eof(),
///             count => inbound.filled(count),
///         },
///         Next::Wait { read: None, .. } => {} // a full driver waits until the time
///         Next::Done => return Ok(false),
///     }
///     Ok(true)
/// }
/// ```
#[derive(Debug)]
#[must_use = "the driver has to do what it says"]
pub enum Next<'a, E = Event> {
    /// React to the event.
    Event(E),
    /// The connection has failed. Call again, because the next steps report the failure to the peer.
    Failed(EndpointError),
    /// Write once, and [`advance`](Pending::advance) by the number of bytes that the stream has accepted. If the stream
    /// accepts nothing at the moment, or another write is in progress, wait until the stream can be written or read,
    /// and read into `read` if it is present.
    Write {
        /// What to write.
        output: Pending<'a>,
        /// Where to read to while the stream accepts nothing.
        read: Option<&'a mut Inbound>,
        /// The time at which to call again at the latest.
        until: Option<Instant>,
    },
    /// Shut down the write side of the stream. Then call [`shut_down`](Outbound::shut_down), whether or not that has
    /// worked.
    Shutdown {
        /// The side on which to confirm the shutdown.
        side: &'a mut Outbound,
        /// The time at which to call again at the latest. If it has already passed, try to shut down without waiting.
        until: Option<Instant>,
    },
    /// Flush a stream that holds data back. Then read into `read` if that is present, or wait.
    Wait {
        /// Where to read to. If it is absent, there is nothing to read or no room. Wait for a write in progress, for
        /// the application, or until the time.
        read: Option<&'a mut Inbound>,
        /// The time at which to call again at the latest.
        until: Option<Instant>,
    },
    /// Drop the stream.
    Done,
}

impl<E> Next<'_, E> {
    /// Returns the time at which to call again at the latest, from any variant.
    pub fn until(&self) -> Option<Instant> {
        match self {
            Self::Write { until, .. } | Self::Shutdown { until, .. } | Self::Wait { until, .. } => {
                *until
            }
            Self::Event(_) | Self::Failed(_) | Self::Done => None,
        }
    }
}
