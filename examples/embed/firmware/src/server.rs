//! The server: one client at a time, from its request to its last frame.

use core::time::Duration;

use ws_core::handshake::{
    FieldSlots, HandshakeError, HeadReader, RequestHead, accept_key, same_origin,
};
use ws_core::{Config, Connection, DataFrame, Input, Instant, Step};

use crate::{Line, NoCarrier, millis};

/// The memory for a client's bytes: first for the head of its request (those of browsers have about 600
/// bytes), then for what is read and what is sent.
pub const BUFFER: usize = 1024;
/// The most that is read at once.
const INPUT: usize = 256;
/// The room for the header of a frame that is sent.
const HEADROOM: usize = 4;
/// The most fields of a head; browsers send about 16.
const MAX_FIELDS: usize = 24;
/// How long a client may take for its request, in milliseconds.
const REQUEST_TIME: u32 = 10_000;
/// The longest control frame: 125 bytes of payload behind two of header.
const MAX_CONTROL_FRAME: usize = 127;

/// A lost client holds up all others: it is noticed within 15 seconds.
const CONFIG: Config = Config::new()
    .max_frame(1 << 20)
    .max_message(1 << 20)
    .ping_interval(Some(Duration::from_secs(10)))
    .pong_timeout(Some(Duration::from_secs(5)));

/// Serves the client that is there, to its end. `buffer` is all the memory for its bytes.
pub fn serve(line: &mut Line, buffer: &mut [u8; BUFFER]) {
    if let Ok(Some(received)) = open(line, buffer) {
        let (input, output) = buffer.split_at_mut(INPUT);
        // An end without Close is nothing to report to anybody.
        let _ = echo(line, input, received, output);
    }
    line.hang_up();
}

/// The opening handshake. If it opens a WebSocket, the bytes that followed the request are moved to
/// the start of the buffer, and their number is returned: no more than one read has brought.
#[inline(never)]
fn open(line: &mut Line, buffer: &mut [u8; BUFFER]) -> Result<Option<usize>, NoCarrier> {
    let start = millis();
    let mut reader = HeadReader::request(BUFFER);
    let mut filled = 0;
    while millis().wrapping_sub(start) < REQUEST_TIME {
        let Some(room) = buffer.get_mut(filled..) else { break };
        let limit = room.len().min(INPUT);
        let Some(room) = room.get_mut(..limit) else { break };
        let count = line.read(room)?;
        let head = reader.push(room.get(..count).unwrap_or_default());
        filled += count;
        let mut len = 0;
        let answer = match head {
            Ok(None) => continue,
            Ok(Some(end)) => {
                len = end;
                answer(line, buffer.get(..len).unwrap_or_default())
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok(true) => {
                let count = filled - len;
                // As `copy_within`, without a way to panic.
                for to in 0..count {
                    let byte = buffer.get(len + to).copied();
                    if let (Some(slot), Some(byte)) = (buffer.get_mut(to), byte) {
                        *slot = byte;
                    }
                }
                return Ok(Some(count));
            }
            Ok(false) => {}
            Err(error) => refuse(line, error.status().unwrap_or(400)),
        }
        break;
    }
    Ok(None)
}

/// Answers a request; `true` when that has opened a WebSocket.
fn answer(line: &mut Line, head: &[u8]) -> Result<bool, HandshakeError> {
    let mut slots = FieldSlots::<MAX_FIELDS>::new();
    let request = RequestHead::parse(head, &mut slots)?;
    let Some(upgrade) = request.upgrade()? else {
        plain(line, &request);
        return Ok(false);
    };
    if upgrade.origin.is_some_and(|origin| !same_origin(origin, upgrade.host)) {
        return Err(HandshakeError::OriginNotAllowed);
    }
    let accept = accept_key(upgrade.key).ok_or(HandshakeError::InvalidKey)?;
    upgrade_head(line, 101);
    line.write(b"\r\nSec-WebSocket-Accept: ");
    line.write(&accept);
    line.write(b"\r\n\r\n");
    Ok(true)
}

/// Answers a request that asks for no WebSocket.
#[cfg(not(feature = "page"))]
fn plain(line: &mut Line, _: &RequestHead<'_, '_>) {
    refuse(line, 426);
}

/// Answers a request that asks for no WebSocket: with a page that asks for one.
#[cfg(feature = "page")]
fn plain(line: &mut Line, request: &RequestHead<'_, '_>) {
    if request.target() != "/" {
        return refuse(line, 404);
    }
    // The end of the connection is the end of the page.
    line.write(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html; charset=utf-8\r\n\r\n",
    );
    if request.method() == "GET" {
        line.write(include_bytes!("../page.html"));
    }
}

/// Answers with a status and without a body. What belongs to 405 and 426 alone may stand in all others.
fn refuse(line: &mut Line, status: u16) {
    upgrade_head(line, status);
    line.write(b", close\r\nSec-WebSocket-Version: 13\r\nAllow: GET\r\n\r\n");
}

/// What the answers with and without a WebSocket begin with, as far as the options of `Connection`.
fn upgrade_head(line: &mut Line, status: u16) {
    let digit = |place: u16| b'0' + (status / place % 10) as u8;
    line.write(b"HTTP/1.1 ");
    line.write(&[digit(100), digit(10), digit(1)]);
    line.write(b" \r\nUpgrade: websocket\r\nConnection: Upgrade");
}

/// Sends each message back until the connection is closed: as one frame if it fits into `output`, else
/// in fragments as it arrives.
#[inline(never)]
fn echo(
    line: &mut Line,
    input: &mut [u8],
    mut received: usize,
    output: &mut [u8],
) -> Result<(), NoCarrier> {
    let mut connection = Connection::server(CONFIG);
    // Where the payload ends that waits in `output`.
    let mut end = HEADROOM;
    loop {
        let mut bytes = Input::new(input.get_mut(..received).unwrap_or_default());
        loop {
            match connection.next(&mut bytes, now) {
                Step::Data(chunk) => {
                    let frame = DataFrame::new(chunk.kind);
                    for byte in chunk.bytes.iter() {
                        if end == output.len() {
                            send(line, &mut connection, frame.more(), output, &mut end);
                        }
                        if let Some(slot) = output.get_mut(end) {
                            *slot = *byte;
                        }
                        end += 1;
                    }
                    if chunk.end {
                        send(line, &mut connection, frame, output, &mut end);
                    }
                }
                Step::Ping | Step::Pong | Step::Close | Step::Failed(_) => {}
                Step::Transmit => transmit(line, &mut connection),
                Step::Wait(_) => break,
                // The caller hangs up, which ends both sides of the line.
                Step::Shutdown(_) | Step::Done => return Ok(()),
            }
        }
        received = line.read(input)?;
    }
}

/// Sends the payload that lies in `output` behind the room for a header.
fn send(
    line: &mut Line,
    connection: &mut Connection,
    frame: DataFrame,
    output: &mut [u8],
    end: &mut usize,
) {
    // After a Close frame nothing may be sent, and nothing is.
    if let Ok(frame) = connection.sender.encode_in_place(frame, output, HEADROOM..*end, None) {
        line.write(output.get(frame).unwrap_or_default());
    }
    *end = HEADROOM;
}

fn transmit(line: &mut Line, connection: &mut Connection) {
    let mut out = [0; MAX_CONTROL_FRAME];
    if let Ok(written) = connection.sender.transmit(&mut out, None) {
        line.write(out.get(..written).unwrap_or_default());
    }
}

fn now() -> Instant {
    Instant::from_millis(millis())
}
