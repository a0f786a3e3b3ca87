//! The smallest use of `ws-core`: an echo server on plain slices, without an allocator.
//!
//! `echo` takes the bytes that were read and returns how many have to be written. Where they come from and go to is up to
//! the caller. Here the bytes of a client are in an array.

use ws_core::handshake::{
    AcceptResponse, DEFAULT_MAX_HEAD, FieldSlots, HandshakeError, HeadReader, RequestHead,
};
use ws_core::{Config, Connection, Input, Instant, SendError, Step};

/// Answers the head of a request. Returns the length of the answer.
fn accept(head: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
    let mut slots = FieldSlots::<16>::new();
    let Some(upgrade) = RequestHead::parse(head, &mut slots)?.upgrade()? else {
        return Err(HandshakeError::MissingUpgrade);
    };
    let written = AcceptResponse::new().write(upgrade.key, out);
    Ok(written.expect("256 bytes suffice for an answer without extra headers"))
}

/// Echoes the messages in `received`. Returns the length of the output, and what to do next.
fn echo<'i>(
    ws: &mut Connection,
    received: &'i mut [u8],
    out: &mut [u8],
) -> Result<(usize, Step<'i>), SendError> {
    let mut len = 0;
    let mut input = Input::new(received);
    loop {
        // In your program, this asks a clock.
        match ws.next(&mut input, || Instant::from_millis(0)) {
            Step::Data(chunk) => {
                len += ws.sender.encode(chunk.frame(), chunk.bytes, None, &mut out[len..])?;
            }
            // A Pong, or a Close frame, which answers the peer's or reports an error.
            Step::Transmit => len += ws.sender.transmit(&mut out[len..], None)?,
            Step::Ping | Step::Pong | Step::Close | Step::Failed(_) => {}
            step @ (Step::Wait(_) | Step::Shutdown(_) | Step::Done) => return Ok((len, step)),
        }
    }
}

fn main() {
    let mut received = *b"GET / HTTP/1.1\r\nHost: device\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n\
        \x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x88\x80\0\0\0\0";
    let mut out = [0; 512];

    let mut reader = HeadReader::request(DEFAULT_MAX_HEAD);
    let end = reader.push(&received).expect("a valid head").expect("a complete head");
    let (head, frames) = received.split_at_mut(end);
    let len = accept(head, &mut out).expect("a valid request");
    print!("{}", String::from_utf8_lossy(&out[..len]));

    let mut ws = Connection::server(Config::new().max_message(256));
    let (len, step) = echo(&mut ws, frames, &mut out).expect("room for the output");
    println!("frames: {:02x?}", &out[..len]);
    assert_eq!(out[..len], *b"\x81\x05Hello\x88\x00");
    // In your program, write this to the stream. The server then ends the stream first.
    assert!(matches!(step, Step::Shutdown(_)));
}
