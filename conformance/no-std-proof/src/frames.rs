//! Frames, masks, UTF-8 and connections, driven by the input.

use core::time::Duration;

use ws_core::connection::{Receiver, Sender};
use ws_core::frame::{CloseFrame, FrameHeader, mask};
use ws_core::message::SliceAssembler;
use ws_core::utf8::Utf8Validator;
use ws_core::{
    CloseCode, Config, Connection, DataFrame, Event, Input, Instant, MessageKind, ProtocolError,
    Role, SendError,
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
    while !script.0.is_empty() {
        let len = script.0.len().min(buffer.len());
        let Some((piece, rest)) = script.0.split_at_checked(len) else { return };
        script.0 = rest;
        let mut input = Input::new(copy(piece, &mut buffer));
        while let Ok(Some(event)) = server.receive(&mut input) {
            if let Event::Data(chunk) = event {
                if let Ok(Some((kind, message))) = messages.push(&chunk) {
                    let len = server.encode(DataFrame::new(kind), message, None, &mut output);
                    write(output.get(..len.unwrap_or(0)).unwrap_or_default());
                }
            }
            transmit(&mut server, &mut output);
        }
        transmit(&mut server, &mut output);
    }
}

fn transmit(server: &mut Connection, output: &mut [u8]) {
    while server.wants_transmit() {
        let len = server.poll_transmit(output, None).unwrap_or(0);
        write(output.get(..len).unwrap_or_default());
    }
}

/// Calls in any order with any arguments.
pub(crate) fn calls(script: &mut Script<'_>) {
    let mut connection = Connection::new(role(script), config(script));
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
                let written = connection.encode(frame(script), script.bytes(), script.key(), out);
                put(written, out);
            }
            2 => {
                let range = script.number() as usize..script.number() as usize;
                let frame = connection.encode_in_place(frame(script), out, range, script.key());
                write(frame.ok().and_then(|frame| out.get(frame)).unwrap_or_default());
            }
            3 => {
                if let Ok(head) = connection.head(frame(script), script.number(), script.key()) {
                    write(&head);
                }
            }
            4 => {
                let payload = copy(script.bytes(), &mut buffer);
                put(connection.mask_payload(payload).map(|()| payload.len()), payload);
            }
            5 => put(connection.payload_written(script.number()).map(|()| 0), &[]),
            6 => put(connection.ping(script.bytes(), script.key(), out), out),
            7 => put(connection.pong(script.bytes(), script.key(), out), out),
            8 => put(connection.close(code(script), script.text(), script.key(), out), out),
            9 => put(connection.poll_transmit(out, script.key()), out),
            10 => connection.opened(instant(script)),
            11 => connection.handle_timeout(instant(script)),
            12 => write(&[connection.receive_eof() as u8]),
            13 => connection.fail(error(script)),
            14 => questions(&connection),
            15 => header(script),
            16 => masks(script, &mut buffer),
            17 => write(&[u8::from(utf8.push(script.bytes()).is_ok())]),
            18 => write(&[u8::from(utf8.finish().is_ok())]),
            19 => close_frames(script),
            _ => {
                let old = core::mem::replace(
                    &mut connection,
                    Connection::new(role(script), config(script)),
                );
                let (receiver, sender) = old.split();
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
    let mut input = Input::new(copy(script.bytes(), buffer));
    loop {
        match connection.receive(&mut input) {
            Ok(Some(Event::Data(chunk))) => {
                if let Ok(Some((_, message))) = messages.push(&chunk) {
                    write(message);
                }
                put(connection.encode(chunk.frame(), chunk.bytes, script.key(), out), out);
            }
            Ok(Some(_)) => write(connection.control_payload()),
            Ok(None) => break,
            Err(error) => write(&error.close_code().get().to_be_bytes()),
        }
    }
    write(&[input.consumed() as u8, input.remaining().len() as u8, u8::from(input.is_empty())]);
}

fn halves(
    mut receiver: Receiver,
    mut sender: Sender,
    script: &mut Script<'_>,
    buffer: &mut [u8],
    out: &mut [u8],
) {
    while let Some(what) = script.byte() {
        match what % 9 {
            0 => {
                let mut input = Input::new(copy(script.bytes(), buffer));
                let result = receiver.receive(&mut input);
                sender.received(matches!(result, Ok(Some(Event::Data(_)))));
            }
            1 => {
                if let Some(reply) = receiver.take_reply() {
                    sender.reply(reply);
                }
            }
            2 => put(sender.poll_transmit(out, script.key()), out),
            3 => put(sender.encode(frame(script), script.bytes(), script.key(), out), out),
            4 => put(sender.ping(script.bytes(), script.key(), out), out),
            5 => put(sender.close(code(script), script.text(), script.key(), out), out),
            6 => receiver.fail(error(script)),
            7 => sender.handle_timeout(instant(script)),
            _ => {
                receiver.end();
                sender.end();
            }
        }
        write(&[
            sender.state() as u8,
            u8::from(receiver.error().is_some()),
            u8::from(sender.is_finished()),
        ]);
    }
}

fn questions(connection: &Connection) {
    write(&[
        connection.state() as u8,
        u8::from(connection.is_closed()),
        u8::from(connection.wants_transmit()),
        u8::from(connection.wants_shutdown()),
        u8::from(connection.is_finished()),
        u8::from(connection.is_lost()),
        u8::from(connection.closed_first()),
        connection.max_outgoing_frame() as u8,
        connection.poll_timeout().map_or(0, Instant::as_millis) as u8,
    ]);
    write(connection.control_payload());
    if let Some(frame) = connection.close_frame() {
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
        .compression(script.flag())
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
