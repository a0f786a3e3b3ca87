//! A driver of `Endpoint` for streams that take buffers by value, as io_uring does: compio's.

use std::future::{Future, poll_fn};
use std::{error::Error, mem, pin::pin, task::Poll, time::Duration, time::Instant};

use compio::io::{AsyncRead, AsyncWrite};
use compio::{BufResult, buf::IoVectoredBuf, net::TcpStream, time::timeout};
use ws_core::endpoint::{Endpoint, Event, Next, Options, Outbound, Output, Unsent};
use ws_core::handshake::{AcceptResponse, HttpResponse};

/// Output on its way through the kernel, without a copy. One call takes at most 1,024 segments.
struct Segments(Output);

impl IoVectoredBuf for Segments {
    fn iter_slice(&self) -> impl Iterator<Item = &[u8]> {
        self.0.slices().take(1024)
    }
}

/// Serves one client until its stream ends. A read is always in flight, and a write beside it.
pub async fn serve(
    stream: TcpStream,
    options: Options,
    mut on_message: impl FnMut(&mut Outbound, ws_core::Message) -> Result<(), Unsent>,
) -> Result<(), Box<dyn Error>> {
    const PAGE: HttpResponse<'_> = HttpResponse::new(426);
    let start = Instant::now();
    let now = || ws_core::Instant::from_elapsed(start.elapsed());
    let mut ws = Endpoint::server(options);
    // Both go on when a deadline comes: to cancel a read could lose what it has read.
    let mut reading = pin!(read(&stream, Vec::with_capacity(64 * 1024)));
    let mut writing = pin!(None);
    let mut received = Vec::with_capacity(64 * 1024);
    loop {
        let (mut read_to, until) = match ws.next(now) {
            Next::Event(event) => {
                match event {
                    Event::Request(_) => ws.outbound.accept(&AcceptResponse::new())?,
                    Event::Http(_) => ws.outbound.respond(&PAGE)?,
                    Event::Message(message) => on_message(&mut ws.outbound, message)?,
                    _ => {}
                }
                continue;
            }
            Next::Failed(_) => continue, // the peer is told next
            Next::Write { .. } if writing.is_none() => {
                let mut output = Output::default();
                ws.outbound.take_output(&mut output);
                writing.set(Some(write(&stream, Segments(output))));
                continue;
            }
            Next::Write { read, until, .. } | Next::Wait { read, until } => (read, until),
            Next::Shutdown { side, .. } => {
                let _ = (&stream).shutdown().await; // the peer may be gone by now
                side.shut_down();
                continue;
            }
            Next::Done => return ws.inbound.failure().map_or(Ok(()), |error| Err(error.into())),
        };
        if let (Some(inbound), false) = (&mut read_to, received.is_empty()) {
            received.drain(..inbound.receive(&received));
            continue;
        }
        let step = poll_fn(|context| {
            if let Some(Poll::Ready(done)) = writing.as_mut().as_pin_mut().map(|f| f.poll(context))
            {
                return Poll::Ready((Some(done), None));
            }
            let Some(_) = &read_to else { return Poll::Pending };
            reading.as_mut().poll(context).map(|done| (None, Some(done)))
        });
        let left = until.map_or(Duration::from_secs(3600), |until| until.saturating_since(now()));
        let (written, read_from) = timeout(left, step).await.unwrap_or_default();
        if let Some(BufResult(count, bytes)) = read_from {
            if count? == 0 {
                ws.inbound.receive_eof();
            }
            reading.set(read(&stream, mem::replace(&mut received, bytes)));
        }
        if let Some(BufResult(count, mut segments)) = written {
            let count = count?;
            ws.outbound.written(count);
            segments.0.advance(count);
            let more = !segments.0.is_empty();
            writing.set(more.then(|| write(&stream, segments)));
        }
    }
}

async fn read(mut stream: &TcpStream, buffer: Vec<u8>) -> BufResult<usize, Vec<u8>> {
    stream.read(buffer).await
}

async fn write(mut stream: &TcpStream, segments: Segments) -> BufResult<usize, Segments> {
    stream.write_vectored(segments).await
}
