//! A WebSocket server on `embedded-io-async`: no std, no allocator, one buffer of the caller's.
#![no_std]

use core::{future::Future, ops::Range, time::Duration};

use embedded_io_async::{Read, Write};
use ws_core::connection::{Chunk, Connection, DataFrame, Input, Step};
use ws_core::handshake::*;
use ws_core::{Config, Instant};

/// A stream and a clock. `read` loses nothing when it is cancelled; `write` and `flush` do not wait for
/// ever, but fail. On embassy: `TcpSocket`, its `close`, `embassy_time::Instant::now`, `with_timeout`.
pub trait Stream: Read + Write {
    fn shutdown_write(&mut self);
    fn now() -> Instant;
    fn within<F: Future>(limit: Duration, operation: F) -> impl Future<Output = Option<F::Output>>;
}

/// Serves one client, from its request to its end. `opening` is the time that the request has, `buffer`
/// the room for it. Messages come in pieces as they arrive, whatever their length; `reply` says what
/// is sent for a piece. Returns whether the connection was closed cleanly.
pub async fn serve<S: Stream>(
    mut stream: S,
    (config, opening): (Config, Duration),
    buffer: &mut [u8],
    mut reply: impl for<'c> FnMut(Chunk<'c>) -> Option<(DataFrame, &'c [u8])>,
) -> Result<bool, S::Error> {
    let opened = S::within(opening, open(&mut stream, buffer)).await.transpose()?.flatten();
    let Some(unread) = opened else { return Ok(false) };
    let (mut ws, mut input) = (Connection::server(config), Input::new(&mut buffer[unread]));
    loop {
        match ws.next(&mut input, S::now) {
            Step::Data(chunk) => {
                let Some((frame, payload)) = reply(chunk) else { continue };
                let len = payload.len() as u64;
                let Ok(head) = ws.sender.head(frame, len, None) else { continue }; // it is closing
                stream.write_all(&head).await?;
                stream.write_all(payload).await?;
                let _ = ws.sender.payload_written(len);
            }
            Step::Ping | Step::Pong | Step::Close => {}
            Step::Failed(_) => {} // the client is told next
            Step::Transmit => {
                let mut out = [0; 131];
                let len = ws.sender.transmit(&mut out, None).unwrap_or(0);
                stream.write_all(&out[..len]).await?;
            }
            Step::Shutdown(_) => {
                stream.flush().await?;
                stream.shutdown_write();
                ws.sender.shut_down();
            }
            Step::Wait(until) => {
                stream.flush().await?;
                let wait = until.map(|until| until.saturating_since(S::now()));
                let wait = wait.unwrap_or(Duration::from_secs(3600));
                let read = S::within(wait, stream.read(buffer)).await.transpose()?;
                if read == Some(0) {
                    ws.receiver.receive_eof();
                }
                input = Input::new(&mut buffer[..read.unwrap_or(0)]);
            }
            Step::Done => return Ok(ws.sender.is_clean()),
        }
    }
}

/// Answers a request; tells where the bytes are that follow it, or `None` when it was refused.
async fn open<S: Stream>(stream: &mut S, buf: &mut [u8]) -> Result<Option<Range<usize>>, S::Error> {
    let mut reader = HeadReader::request(buf.len());
    let (mut fed, mut filled) = (0, stream.read(buf).await?);
    while fed < filled && reader.push(&buf[fed..filled]) == Ok(None) {
        fed = filled;
        filled += stream.read(&mut buf[filled..]).await?;
    }
    let mut out = [0; 512];
    let head = reader.push(&[]); // its length, or the error
    let answer = answer(head, buf, &mut out);
    let len = answer.or_else(|error| error.write_response(&mut out)).unwrap_or(0);
    stream.write_all(&out[..len]).await?;
    stream.flush().await?;
    if answer.is_err() {
        stream.shutdown_write();
        while stream.read(buf).await? != 0 {} // to close at once could take the answer along
    }
    Ok(answer.and(head).ok().flatten().map(|len| len..filled))
}

type Head = Result<Option<usize>, HandshakeError>;
fn answer(head: Head, buf: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
    let len = head?.ok_or(HandshakeError::IncompleteHead)?;
    let mut slots = FieldSlots::<32>::new();
    let Some(asked) = RequestHead::parse(&buf[..len], &mut slots)?.upgrade()? else {
        return Err(HandshakeError::MissingUpgrade);
    };
    match asked.origin {
        Some(origin) if !same_origin(origin, asked.host) => Err(HandshakeError::OriginNotAllowed),
        _ => Ok(AcceptResponse::new().write(asked.key, out).unwrap_or(0)),
    }
}
