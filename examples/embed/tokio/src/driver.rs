//! A driver of `ws_core::Endpoint` for tokio: any `AsyncRead + AsyncWrite`, client or server.

use std::{future::pending, io, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use ws_core::endpoint::{Endpoint, Event};

/// A WebSocket on a stream. While output waits, nothing is read. Any of the futures may be dropped:
/// nothing that was read is lost, and what was not written follows with the next one.
pub struct WebSocket<S> {
    stream: S,
    endpoint: Endpoint,
    start: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    pub fn new(stream: S, mut endpoint: Endpoint) -> Self {
        endpoint.handle_timeout(ws_core::Instant::from_millis(0));
        Self { stream, endpoint, start: Instant::now() }
    }

    /// For what does not wait, such as `accept` and `close`. Its output leaves as after `queue`.
    pub fn endpoint(&mut self) -> &mut Endpoint {
        self.endpoint.set_now(ws_core::Instant::from_elapsed(self.start.elapsed()));
        &mut self.endpoint
    }

    /// The next event. `None`, or a failure, comes when the peer was told and the stream is over.
    pub async fn event(&mut self) -> io::Result<Option<Event>> {
        let mut lost = false;
        loop {
            match self.endpoint.poll_event() {
                Ok(Some(event)) => return Ok(Some(event)),
                Ok(None) if lost || self.endpoint.is_finished() => break,
                Ok(None) => lost = self.wait(true).await.is_err(),
                Err(_) => {} // it is told when the peer was
            }
        }
        let _ = timeout(Duration::ZERO, self.wait(false)).await; // this side ends, too
        self.endpoint.failure().map_or(Ok(None), |error| Err(io::Error::other(error)))
    }

    /// Sends a message: it is written when this returns.
    pub async fn send(&mut self, message: ws_core::Message) -> io::Result<()> {
        self.queue(message).await?;
        self.flush().await
    }

    /// Sends a message with the next `flush`, when `event` waits, or past 64 KiB: one write for many.
    pub async fn queue(&mut self, message: ws_core::Message) -> io::Result<()> {
        if self.endpoint.output().len() + message.len() > 1 << 16 {
            self.flush().await?;
        }
        self.endpoint().send(message).map_err(io::Error::other)
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        while !self.endpoint.is_finished() {
            if self.wait(false).await? {
                return Ok(());
            }
        }
        Err(io::ErrorKind::BrokenPipe.into()) // what waited may have been dropped
    }

    /// Writes all output, then reads once if asked to; `false` when a deadline came before.
    async fn wait(&mut self, read: bool) -> io::Result<bool> {
        let now = ws_core::Instant::from_elapsed(self.start.elapsed());
        let left = self.endpoint.poll_timeout().map(|until| until.saturating_since(now));
        let step = async {
            while !self.endpoint.output().is_empty() {
                self.stream.write_all_buf(self.endpoint.output()).await?;
            }
            self.stream.flush().await?;
            if self.endpoint.wants_shutdown() {
                let _ = self.stream.shutdown().await; // the peer may be gone
            }
            if read && !self.endpoint.is_finished() {
                match self.stream.read(self.endpoint.read_buf()).await? {
                    0 if self.endpoint.wants_read() => self.endpoint.receive_eof(),
                    0 => pending().await, // for a deadline, or an answer
                    count => self.endpoint.filled(count),
                }
            }
            Ok(true)
        };
        let done = timeout(left.unwrap_or(Duration::MAX), step).await.unwrap_or(Ok(false));
        if read || matches!(done, Ok(false)) {
            self.endpoint.handle_timeout(ws_core::Instant::from_elapsed(self.start.elapsed()));
        }
        done.inspect_err(|_| self.endpoint.receive_eof()) // a stream that is lost has ended
    }
}
