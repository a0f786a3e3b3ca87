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
        self.endpoint.set_now(self.now());
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
                Err(_) => {} // `failure` tells it when the peer was told
            }
        }
        let _ = timeout(Duration::ZERO, self.wait(false)).await; // this side ends, too, but waits no more
        self.endpoint.failure().map_or(Ok(None), |error| Err(io::Error::other(error)))
    }

    /// Sends a message: it is written when this returns.
    pub async fn send(&mut self, message: ws_core::Message) -> io::Result<()> {
        self.queue(message).await?;
        self.flush().await
    }

    /// Sends a message with the next `flush`, when `event` has to wait, or past 64 KiB: one write for many.
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
        let left = self.endpoint.poll_timeout().map(|until| until.saturating_since(self.now()));
        let step = async {
            while !self.endpoint.output().is_empty() {
                self.stream.write_all_buf(self.endpoint.output()).await?;
            }
            self.stream.flush().await?;
            if self.endpoint.wants_shutdown() {
                let _ = self.stream.shutdown().await; // the peer may be gone
            }
            if read && !self.endpoint.wants_read() {
                pending::<()>().await; // until a deadline, or an answer
            } else if read {
                match self.stream.read(self.endpoint.read_buf()).await? {
                    0 => self.endpoint.receive_eof(),
                    count => self.endpoint.filled(count),
                }
            }
            Ok(true)
        };
        let done = timeout(left.unwrap_or(Duration::MAX), step).await.unwrap_or(Ok(false));
        if read || matches!(done, Ok(false)) {
            self.endpoint.handle_timeout(self.now());
        }
        done.inspect_err(|_| self.endpoint.receive_eof()) // a stream that is lost has ended
    }

    fn now(&self) -> ws_core::Instant {
        ws_core::Instant::from_elapsed(self.start.elapsed())
    }
}
