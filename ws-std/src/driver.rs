use std::time::Instant;

use ws_core::endpoint::{Endpoint, Event};

use crate::error::{Deadline, Error, Result};
use crate::link::{Link, Look, earlier};
use crate::transport::Transport;

/// An endpoint on a stream.
#[derive(Debug)]
pub(crate) struct Driver<T> {
    pub(crate) endpoint: Endpoint,
    pub(crate) link: Link<T>,
    /// The stream has been shut down or given up.
    pub(crate) finished: bool,
    /// In the middle of a streamed message that came too late.
    skipping: bool,
}

impl<T: Transport> Driver<T> {
    pub(crate) fn new(mut endpoint: Endpoint, link: Link<T>) -> Self {
        endpoint.handle_timeout(link.now());
        Self { endpoint, link, finished: false, skipping: false }
    }

    /// Writes all output.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.link.flush(self.endpoint.sides().1)
    }

    /// The next event other than a Ping or Pong, waiting for it until `deadline`; `None` when the
    /// connection is over. If it has failed, the peer is told.
    pub(crate) fn event(&mut self, deadline: Option<ws_core::Instant>) -> Result<Option<Event>> {
        self.next(deadline).map_err(|error| self.failed(error))
    }

    /// As [`event`](Self::event), but a failure is only told to the caller.
    pub(crate) fn next(&mut self, deadline: Option<ws_core::Instant>) -> Result<Option<Event>> {
        let mut late = false;
        loop {
            if self.link.is_overdue() {
                let (inbound, outbound) = self.endpoint.sides();
                self.link.leave(inbound, outbound);
            }
            match self.endpoint.poll_event()? {
                Some(Event::Ping(_) | Event::Pong(_)) => continue,
                Some(Event::Message(_)) if self.link.is_too_late(self.endpoint.sides().1) => {
                    continue;
                }
                Some(Event::Chunk(chunk))
                    if self.skipping
                        || chunk.start && self.link.is_too_late(self.endpoint.sides().1) =>
                {
                    self.skipping = !chunk.end;
                    continue;
                }
                Some(event) => return Ok(Some(event)),
                None => {}
            }
            if self.endpoint.is_closed() {
                return Ok(None);
            }
            late = self.wait(deadline, late)?;
        }
    }

    /// When all that came is parsed: writes all output and reads once. `late` and the result tell whether
    /// the deadline has passed; there may be an event nevertheless.
    pub(crate) fn wait(&mut self, deadline: Option<ws_core::Instant>, late: bool) -> Result<bool> {
        if late {
            return Err(Error::Timeout(Deadline::Read));
        }
        let (inbound, outbound) = self.endpoint.sides();
        self.link.leave(inbound, outbound);
        if let Err(error) = self.flush() {
            // A peer that is gone may have said something before.
            if !self.link.broken {
                return Err(error);
            }
        }
        let until = earlier(self.endpoint.poll_timeout(), deadline, self.link.now());
        let filled = self.link.fill(self.endpoint.sides().0, until)?;
        let now = self.link.now();
        let (inbound, outbound) = self.endpoint.sides();
        self.link.react(filled, now, inbound, outbound);
        Ok(deadline.is_some_and(|deadline| deadline.saturating_since(now).is_zero()))
    }

    /// Ends the stream if the connection has failed, so that the peer is told; gives the error back.
    pub(crate) fn failed(&mut self, error: Error) -> Error {
        if self.endpoint.is_closed() {
            self.finish();
        }
        error
    }

    /// Ends the stream: the output is written, the write side shut down when that is our part, and the
    /// peer's end awaited within the bounds of the closing handshake.
    pub(crate) fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let outbound = self.endpoint.sides().1;
        self.link.write_last(outbound);
        self.link.linger(None, |now| Look::at(now, outbound));
        self.endpoint.receive_eof();
    }

    /// Ends the stream at once: nobody has to be told.
    pub(crate) fn abandon(&mut self) {
        if !std::mem::replace(&mut self.finished, true) {
            let _ = self.link.shutdown_write();
        }
        self.endpoint.receive_eof();
    }

    /// Bounds everything that is written by a point in time, or no more.
    pub(crate) fn write_by(&mut self, by: Option<Instant>) {
        self.link.write_by = by;
    }
}
