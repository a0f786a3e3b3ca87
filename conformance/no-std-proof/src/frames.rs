//! Frames, masks, UTF-8 and connections, driven by the input.

use core::time::Duration;

use ws_core::connection::{Receiver, Sender};
use ws_core::frame::{CloseFrame, FrameHeader, mask};
use ws_core::message::SliceAssembler;
use ws_core::utf8::Utf8Validator;
use ws_core::{
    CloseCode, Config, Connection, DataFrame, Input, Instant, MessageKind, ProtocolError, Role,
    SendError, Step,
};

use crate::script::{Script, copy};
use crate::system::write;

/// The longest message that is kept whole.
const LONGEST: usize = 4096;

/// A server that sends each message back, whatever the pieces in which its bytes arrive.
pub(crate) fn echo(script: &mut Script<'_>) {
    let mut server = Connection::server(Config::new().max_message(LONGEST as u64));
    let mut storage = [0; LONGEST];
    let mut messages = SliceAssembler::new(&mut storage);
    let mut buffer = [0; 100];
    let mut output = [0; LONGEST + 14];
    loop {
        let len = script.0.len().min(buffer.len());
        let Some((piece, rest)) = script.0.split_at_checked(len) else { return };
        script.0 = rest;
        let mut input = Input::new(copy(piece, &mut buffer));
        loop {
            let len = match server.next(&mut input, || Instant::from_millis(0)) {
                Step::Data(chunk) => match messages.push(&chunk) {
                    Ok(Some((kind, message))) => {
                        server.sender.encode(DataFrame::new(kind), message, None, &mut output)
                    }
                    _ => Ok(0),
                },
                Step::Transmit => server.sender.transmit(&mut output, None),
                Step::Ping | Step::Pong | Step::Close | Step::Failed(_) => Ok(0),
                Step::Shutdown(_) => {
                    server.sender.shut_down();
                    Ok(0)
                }
                Step::Wait(_) if script.0.is_empty() => {
                    server.receiver.receive_eof();
                    Ok(0)
                }
                Step::Wait(_) => break,
                Step::Done => return,
            };
            write(output.get(..len.unwrap_or(0)).unwrap_or_default());
        }
    }
}

/// Calls in any order with any arguments.
pub(crate) fn calls(script: &mut Script<'_>) {
    let mut connection = Connection::with_compression(role(script), config(script), script.flag());
    let mut storage = [0; LONGEST];
    let mut messages = SliceAssembler::new(&mut storage);
    let mut utf8 = Utf8Validator::new();
    let mut buffer = [0; LONGEST];
    let mut output = [0; LONGEST];
    while let Some(what) = script.byte() {
        let room = script.number() as usize;
        let out = output.get_mut(..room).unwrap_or_default();
        match what % 21 {
            0 => receive(&mut connection, script, &mut buffer, &mut messages, out),
            1 => {
                let written =
                    connection.sender.encode(frame(script), script.bytes(), script.key(), out);
                put(written, out);
            }
            2 => {
                let range = script.number() as usize..script.number() as usize;
                let frame =
                    connection.sender.encode_in_place(frame(script), out, range, script.key());
                write(frame.ok().and_then(|frame| out.get(frame)).unwrap_or_default());
            }
            3 => {
                if let Ok(head) =
                    connection.sender.head(frame(script), script.number(), script.key())
                {
                    write(&head);
                }
            }
            4 => {
                let payload = copy(script.bytes(), &mut buffer);
                put(connection.sender.mask_payload(payload).map(|()| payload.len()), payload);
            }
            5 => put(connection.sender.payload_written(script.number()).map(|()| 0), &[]),
            6 => put(connection.sender.ping(script.bytes(), script.key(), out), out),
            7 => put(connection.sender.pong(script.bytes(), script.key(), out), out),
            8 => put(
                connection.sender.start_close(code(script), script.text(), script.key(), out),
                out,
            ),
            9 => put(connection.sender.transmit(out, script.key()), out),
            10 => connection.sender.shut_down(),
            11 => connection.sender.receive_reset(),
            12 => connection.receiver.receive_eof(),
            13 => connection.receiver.fail(&mut connection.sender, error(script)),
            14 => questions(&connection),
            15 => header(script),
            16 => masks(script, &mut buffer),
            17 => write(&[u8::from(utf8.push(script.bytes()).is_ok())]),
            18 => write(&[u8::from(utf8.finish().is_ok())]),
            19 => close_frames(script),
            _ => {
                let next =
                    Connection::with_compression(role(script), config(script), script.flag());
                let Connection { receiver, sender, .. } = core::mem::replace(&mut connection, next);
                halves(receiver, sender, script, &mut buffer, out);
            }
        }
    }
}

fn receive(
    connection: &mut Connection,
    script: &mut Script<'_>,
    buffer: &mut [u8],
    messages: &mut SliceAssembler<'_>,
    out: &mut [u8],
) {
    let now = instant(script);
    let mut input = Input::new(copy(script.bytes(), buffer));
    // As often as the script says: a driver may leave off anywhere.
    for _ in 0..script.byte().unwrap_or(0) {
        match connection.next(&mut input, || now) {
            Step::Data(chunk) => {
                if let Ok(Some((_, message))) = messages.push(&chunk) {
                    write(message);
                }
                let frame = chunk.frame();
                put(connection.sender.encode(frame, chunk.bytes, script.key(), out), out);
            }
            step => {
                other(step, &mut connection.sender, script, out);
                write(connection.receiver.control_payload());
            }
        }
    }
    write(&[input.consumed() as u8, input.remaining().len() as u8, u8::from(input.is_empty())]);
}

/// Does what it is told to, more or less.
fn other(step: Step<'_>, sender: &mut Sender, script: &mut Script<'_>, out: &mut [u8]) {
    match step {
        Step::Data(chunk) => write(chunk.bytes),
        Step::Transmit => put(sender.transmit(out, script.key()), out),
        Step::Failed(error) => write(&error.close_code().get().to_be_bytes()),
        Step::Shutdown(until) | Step::Wait(until) => {
            write(&[until.map_or(0, Instant::as_millis) as u8]);
        }
        Step::Ping => write(b"i"),
        Step::Pong => write(b"o"),
        Step::Close => write(b"c"),
        Step::Done => write(b"."),
    }
}

fn halves(
    mut receiver: Receiver,
    mut sender: Sender,
    script: &mut Script<'_>,
    buffer: &mut [u8],
    out: &mut [u8],
) {
    while let Some(what) = script.byte() {
        match what % 8 {
            0 => {
                let now = instant(script);
                let mut input = Input::new(copy(script.bytes(), buffer));
                let step = receiver.next(&mut sender, &mut input, || now);
                other(step, &mut sender, script, out);
            }
            1 => put(sender.transmit(out, script.key()), out),
            2 => put(sender.encode(frame(script), script.bytes(), script.key(), out), out),
            3 => put(sender.ping(script.bytes(), script.key(), out), out),
            4 => put(sender.start_close(code(script), script.text(), script.key(), out), out),
            5 => receiver.fail(&mut sender, error(script)),
            6 => receiver.receive_eof(),
            _ => sender.receive_reset(),
        }
        write(&[
            u8::from(sender.is_open()),
            u8::from(sender.is_clean()),
            receiver.payload_left() as u8,
        ]);
    }
}

fn questions(connection: &Connection) {
    let Connection { receiver, sender, .. } = connection;
    write(&[
        u8::from(sender.is_open()),
        u8::from(sender.is_clean()),
        u8::from(sender.closed_first()),
        receiver.payload_left() as u8,
    ]);
    write(receiver.control_payload());
    if let Some(frame) = receiver.close_frame() {
        write(&frame.code.get().to_be_bytes());
        write(frame.reason.as_bytes());
    }
}

fn header(script: &mut Script<'_>) {
    if let Ok(Some((header, len))) = FrameHeader::decode(script.bytes()) {
        write(&header.encode());
        write(&[len as u8]);
    }
}

fn masks(script: &mut Script<'_>, buffer: &mut [u8]) {
    let Some(key) = script.key() else { return };
    let payload = copy(script.bytes(), buffer);
    mask(payload, key);
    write(payload);
}

fn close_frames(script: &mut Script<'_>) {
    if let Ok(frame) = CloseFrame::decode(script.bytes()) {
        write(frame.reason.as_bytes());
        write(&[u8::from(frame.code.may_be_sent(role(script)))]);
    }
}

/// Writes what was encoded.
fn put(written: Result<usize, SendError>, out: &[u8]) {
    match written {
        Ok(len) => write(out.get(..len).unwrap_or_default()),
        Err(error) => write(&[u8::from(error == SendError::Closing)]),
    }
}

fn role(script: &mut Script<'_>) -> Role {
    if script.flag() { Role::Client } else { Role::Server }
}

fn config(script: &mut Script<'_>) -> Config {
    let mut time = || script.flag().then(|| Duration::from_millis(script.number()));
    Config::new()
        .ping_interval(time())
        .pong_timeout(time())
        .idle_timeout(time())
        .close_timeout(time())
        .max_frame(script.number())
        .max_message(script.number())
        .max_outgoing_frame(script.number())
}

fn frame(script: &mut Script<'_>) -> DataFrame {
    let kind = if script.flag() { MessageKind::Text } else { MessageKind::Binary };
    let frame = DataFrame::new(kind).compressed(script.flag());
    if script.flag() { frame.more() } else { frame }
}

fn code(script: &mut Script<'_>) -> Option<CloseCode> {
    let code = CloseCode::new(script.number() as u16);
    script.flag().then_some(code)
}

fn instant(script: &mut Script<'_>) -> Instant {
    let earlier = Instant::from_millis(script.number() as u32);
    let later = earlier.saturating_add(Duration::from_millis(script.number()));
    write(&[later.saturating_since(earlier).as_millis() as u8]);
    later
}

fn error(script: &mut Script<'_>) -> ProtocolError {
    match script.number() {
        0 => ProtocolError::InvalidUtf8,
        1 => ProtocolError::MessageTooLarge,
        other => ProtocolError::InvalidCloseCode(other as u16),
    }
}
