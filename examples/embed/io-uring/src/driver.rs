//! A driver of `Endpoint` for streams that take buffers by value, as io_uring does: compio's.

use std::pin::{Pin, pin};
use std::{error::Error, io, mem, time::Instant};

use compio::io::{AsyncRead, AsyncWrite};
use compio::{BufResult, buf::IoVectoredBuf, net::TcpStream, time::timeout};
use ws_core::endpoint::{Endpoint, Event, Options, Output, Unsent};
use ws_core::handshake::{AcceptResponse, HttpResponse};

/// Output on its way through the kernel, without a copy. One call takes at most 1,024 segments.
struct Segments(Output);

impl IoVectoredBuf for Segments {
    fn iter_slice(&self) -> impl Iterator<Item = &[u8]> {
        self.0.slices().take(1024)
    }
}

/// Serves one client until its stream ends. While output waits to be written, one read waits with it.
pub async fn serve(
    stream: TcpStream,
    options: Options,
    mut on_message: impl FnMut(&mut Endpoint, ws_core::Message) -> Result<(), Unsent>,
) -> Result<(), Box<dyn Error>> {
    const PAGE: HttpResponse<'_> = HttpResponse::new(426);
    let (origin, mut ws) = (Instant::now(), Endpoint::server(options));
    // The next read is in flight also when a deadline comes: to cancel it could lose what it has read.
    let mut reading = pin!(read(&stream, Vec::with_capacity(64 * 1024)));
    let (mut received, mut outcome) = (Vec::with_capacity(64 * 1024), Ok(()));
    loop {
        let taken = ws.receive(&received);
        received.drain(..taken);
        ws.handle_timeout(now(origin));
        while let Some(event) = ws.poll_event().transpose() {
            match event {
                Ok(Event::Request(_)) => ws.accept(&AcceptResponse::new())?,
                Ok(Event::Http(_)) => ws.respond(&PAGE)?,
                Ok(Event::Message(message)) => on_message(&mut ws, message)?,
                Ok(_) => {}
                Err(error) => outcome = Err(error.into()), // the peer is told in the output
            }
        }
        if !received.is_empty() {
            continue;
        }
        write(&stream, &mut ws, origin).await?;
        if ws.wants_shutdown() {
            let _ = (&stream).shutdown().await; // the peer may be gone by now
        }
        if ws.is_finished() {
            return outcome;
        }
        if let Some(BufResult(result, bytes)) = wait(&ws, origin, reading.as_mut()).await {
            if result? == 0 {
                ws.receive_eof();
            }
            reading.set(read(&stream, mem::replace(&mut received, bytes)));
        }
    }
}

async fn read(mut stream: &TcpStream, buffer: Vec<u8>) -> BufResult<usize, Vec<u8>> {
    stream.read(buffer).await
}

async fn write(mut stream: &TcpStream, ws: &mut Endpoint, origin: Instant) -> io::Result<()> {
    let mut segments = Segments(Output::default());
    ws.take_output(&mut segments.0);
    while !segments.0.is_empty() {
        let mut writing = pin!(stream.write_vectored(segments));
        let BufResult(written, rest) = loop {
            if let Some(written) = wait(ws, origin, writing.as_mut()).await {
                break written;
            }
            ws.handle_timeout(now(origin));
            if ws.is_finished() {
                return Ok(());
            }
        };
        segments = rest;
        let count = written?;
        segments.0.advance(count);
        ws.written(count);
        ws.take_output(&mut segments.0); // what a deadline has added
    }
    Ok(())
}

/// Waits for an operation, or for the next deadline: then it goes on.
async fn wait<F: Future>(ws: &Endpoint, origin: Instant, f: Pin<&mut F>) -> Option<F::Output> {
    match ws.poll_timeout() {
        Some(at) => timeout(at.saturating_since(now(origin)), f).await.ok(),
        None => Some(f.await),
    }
}

fn now(origin: Instant) -> ws_core::Instant {
    ws_core::Instant::from_elapsed(origin.elapsed())
}
