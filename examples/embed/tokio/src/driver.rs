//! A driver of `ws_core::Endpoint` for tokio: any `AsyncRead + AsyncWrite`, client or server.

use std::future::{Future, poll_fn};
use std::io::{Error, ErrorKind, Result};
use std::{mem::take, pin::pin, task::Poll, task::ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use ws_core::endpoint::{Endpoint, Event, Next};

/// A WebSocket on a stream. Any of the futures may be dropped: nothing that was read is lost, and what was
/// not written follows with the next one.
pub struct WebSocket<S> {
    /// For what does not wait, such as `accept` and `close`. Its output leaves as after `queue`.
    pub endpoint: Endpoint,
    stream: S,
    start: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    pub fn new(stream: S, endpoint: Endpoint) -> Self {
        Self { endpoint, stream, start: Instant::now() }
    }

    /// The next event. `None`, or a failure, comes when the peer was told and the stream is over.
    pub async fn event(&mut self) -> Result<Option<Event>> {
        loop {
            let done = match self.endpoint.next(|| now(self.start)) {
                Next::Event(event) => return Ok(Some(event)),
                Next::Failed(_) => continue, // it is returned when the peer was told
                Next::Done => break,
                next => Self::step(next, &mut self.stream, self.start, &mut false).await,
            };
            done.map_or_else(|_| self.endpoint.outbound.receive_reset(), drop);
        }
        self.endpoint.inbound.failure().map_or(Ok(None), |error| Err(Error::other(error)))
    }

    /// Sends a message: it is written when this returns.
    pub async fn send(&mut self, message: ws_core::Message) -> Result<()> {
        self.queue(message).await?;
        self.flush().await
    }

    /// Sends a message with the next `flush`, when `event` waits, or past 64 KiB: one write for many.
    pub async fn queue(&mut self, message: ws_core::Message) -> Result<()> {
        if self.endpoint.outbound.waiting() + message.len() > 1 << 16 {
            self.flush().await?;
        }
        self.endpoint.outbound.queue(message).map_err(Error::other)
    }

    pub async fn flush(&mut self) -> Result<()> {
        let mut flushing = true;
        while flushing {
            let done = match self.endpoint.next_write(|| now(self.start)) {
                Next::Done => Err(ErrorKind::BrokenPipe.into()),
                next => Self::step(next, &mut self.stream, self.start, &mut flushing).await,
            };
            done.inspect_err(|_| self.endpoint.outbound.receive_reset())?;
        }
        (!self.endpoint.outbound.has_dropped()).then_some(()).ok_or(ErrorKind::BrokenPipe.into())
    }

    /// Does what `next` says, until its deadline at the latest. A flush, once done, clears `flush`.
    async fn step(next: Next<'_>, stream: &mut S, start: Instant, flush: &mut bool) -> Result<()> {
        let (left, mut next) = (next.until().map(|until| until.saturating_since(now(start))), next);
        let step = poll_fn(|context| {
            let read = match &mut next {
                Next::Write { output, read, .. } => {
                    match pin!(stream.write_buf(output)).poll(context) {
                        Poll::Ready(Ok(0)) => Err(ErrorKind::WriteZero)?,
                        Poll::Pending => read, // meanwhile
                        done => return done.map_ok(drop),
                    }
                }
                Next::Wait { read, .. } => match pin!(stream.flush()).poll(context)? {
                    Poll::Ready(()) if take(flush) => return Poll::Ready(Ok(())),
                    _ => read,
                },
                Next::Shutdown { side, .. } => {
                    let ended = pin!(stream.shutdown()).poll(context); // the peer may be gone
                    return ended.map(|_| side.shut_down()).map(Ok);
                }
                Next::Event(_) | Next::Failed(_) | Next::Done => return Poll::Ready(Ok(())),
            };
            let Some(inbound) = read else { return Poll::Pending };
            match ready!(pin!(stream.read(inbound.read_buf())).poll(context))? {
                0 => inbound.receive_eof(),
                count => inbound.filled(count),
            }
            Poll::Ready(Ok(()))
        });
        let Some(left) = left else { return step.await };
        timeout(left, step).await.unwrap_or(Ok(()))
    }
}

fn now(start: Instant) -> ws_core::Instant {
    ws_core::Instant::from_elapsed(start.elapsed())
}
