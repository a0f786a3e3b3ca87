//! A driver of `ws_core::Endpoint` for streams of futures-io, client or server, on any executor.

use async_io::Timer;
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt, future};
use std::{io, io::IoSlice, time::Duration, time::Instant};
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
        let _ = self.wait(false).or(future::ready(Ok(None))).await; // this side ends, too
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
            if self.wait(false).await?.is_none() {
                return Ok(());
            }
        }
        Err(io::ErrorKind::BrokenPipe.into()) // what waited may have been dropped
    }

    /// Writes all output, then reads once if asked to; gives a deadline that came before.
    async fn wait(&mut self, read: bool) -> io::Result<Option<Instant>> {
        let now = ws_core::Instant::from_elapsed(self.start.elapsed());
        let left = self.endpoint.poll_timeout().map(|until| until.saturating_since(now));
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
                let _ = self.stream.close().await; // the peer may be gone
            }
            if read && !self.endpoint.is_finished() {
                match self.stream.read(self.endpoint.read_buf()).await? {
                    0 if self.endpoint.wants_read() => self.endpoint.receive_eof(),
                    0 => future::pending().await, // for a deadline, or an answer
                    count => self.endpoint.filled(count),
                }
            }
            Ok(None)
        };
        let late = async { Ok(Some(Timer::after(left.unwrap_or(Duration::MAX)).await)) };
        let done = step.or(late).await;
        if read || matches!(done, Ok(Some(_))) {
            self.endpoint.handle_timeout(ws_core::Instant::from_elapsed(self.start.elapsed()));
        }
        done.inspect_err(|_| self.endpoint.receive_eof()) // a stream that is lost has ended
    }
}
