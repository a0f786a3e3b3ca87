//! A driver of `ws_core::Endpoint` for tokio: any `AsyncRead + AsyncWrite`, client or server.

use std::{io, io::IoSlice, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use ws_core::endpoint::{self, Endpoint, Event};

/// A WebSocket on a stream. While output waits, nothing is read. Any of the futures may be dropped:
/// nothing that was read is lost, and what was not written follows with the next one.
pub struct WebSocket<S> {
    stream: S,
    endpoint: Endpoint,
    start: Instant,
    failed: Option<endpoint::Error>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    pub fn new(stream: S, mut endpoint: Endpoint) -> Self {
        endpoint.handle_timeout(ws_core::Instant::from_millis(0));
        Self { stream, endpoint, start: Instant::now(), failed: None }
    }

    /// For what does not wait, such as `accept` and `close`. Its output leaves as after `queue`.
    pub fn endpoint(&mut self) -> &mut Endpoint {
        self.endpoint.sides().1.set_now(ws_core::Instant::from_elapsed(self.start.elapsed()));
        &mut self.endpoint
    }

    /// The next event. `None`, or a failure, comes when the peer was told and the stream is over.
    pub async fn event(&mut self) -> io::Result<Option<Event>> {
        let mut ended = false; // and nothing more comes, even if a request is not answered
        loop {
            match self.endpoint.poll_event() {
                Ok(Some(event)) => return Ok(Some(event)),
                Err(error) => self.failed = Some(error),
                Ok(None) if ended || self.endpoint.is_finished() => {
                    let _ = self.wait(false).await; // it is this side's turn to end, too
                    return self.failed.take().map_or(Ok(None), |why| Err(io::Error::other(why)));
                }
                Ok(None) => ended = self.wait(true).await.is_err(), // a stream that is lost has ended
            }
        }
    }

    /// Sends a message: it is written when this returns.
    pub async fn send(&mut self, message: ws_core::Message) -> io::Result<()> {
        self.queue(message).await?;
        self.flush().await
    }

    /// Sends a message with the next `flush`, when `event` has to wait, or past 64 KiB: one write for many.
    pub async fn queue(&mut self, message: ws_core::Message) -> io::Result<()> {
        while self.endpoint.output().len() + message.len() > 1 << 16 && !self.wait(false).await? {}
        self.endpoint().send(message).map_err(io::Error::other)
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        while !self.wait(false).await? {}
        Ok(())
    }

    /// Writes all output, then reads once if asked to; `false` when a deadline came before.
    async fn wait(&mut self, read: bool) -> io::Result<bool> {
        let now = ws_core::Instant::from_elapsed(self.start.elapsed());
        let finished = self.endpoint.is_finished();
        let rest = if finished { Duration::ZERO } else { Duration::MAX };
        let left = self.endpoint.poll_timeout().map_or(rest, |until| until.saturating_since(now));
        let step = async {
            while !self.endpoint.output().is_empty() {
                let output = self.endpoint.output();
                let slices: Vec<_> = output.slices().take(16).map(IoSlice::new).collect();
                match self.stream.write_vectored(&slices).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    written => output.advance(written),
                }
            }
            self.stream.flush().await?;
            if self.endpoint.wants_shutdown() {
                let _ = self.stream.shutdown().await; // the peer may be gone
            }
            if read {
                match self.stream.read(self.endpoint.read_buf()).await? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => self.endpoint.filled(count),
                }
            }
            Ok(true)
        };
        let late = if finished { Err(io::ErrorKind::TimedOut.into()) } else { Ok(false) };
        let done = timeout(left, step).await.unwrap_or(late);
        if read || !matches!(done, Ok(true)) {
            self.endpoint.handle_timeout(ws_core::Instant::from_elapsed(self.start.elapsed()));
        }
        done.inspect_err(|_| self.endpoint.receive_eof())
    }
}
