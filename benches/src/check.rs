//! What each engine has to do correctly before it is timed.

use bytes::Bytes;
use ws_core::{Config, Connection, Input, MessageKind, Role, Step};

use crate::kernel::capture;
use crate::{Engine, Wire, clock};

/// Checks that an engine decodes the messages of the wire.
pub fn decode<E: Engine>(engine: &mut E, wire: &Wire) {
    let (mut all, mut ends) = (Vec::new(), Vec::new());
    wire.load();
    engine.decode(wire.messages, |bytes, end| {
        all.extend_from_slice(bytes);
        ends.extend(end.then_some(all.len()));
    });
    if E::HAS_MESSAGES {
        let mut start = 0;
        let messages = ends.iter().map(|&end| &all[std::mem::replace(&mut start, end)..end]);
        assert!(messages.eq(wire.payloads()), "{} decodes other messages", E::NAME);
    }
}

/// Checks that an engine encodes the message as often as it should, for the other side.
pub fn encode<E: Engine>(engine: &mut E, role: Role, payload: &Bytes, count: usize) {
    let written = capture(|| engine.encode(payload, count));
    if E::HAS_MESSAGES {
        let messages = received(role, written);
        assert!(
            messages.iter().eq(std::iter::repeat_n(payload, count)),
            "{} encodes other messages",
            E::NAME
        );
    }
}

/// Checks that an engine sends back what has come.
pub fn echo<E: Engine>(engine: &mut E, wire: &Wire) {
    for each in [false, true] {
        if each {
            wire.load_each()
        } else {
            wire.load()
        }
        let written = capture(|| engine.echo(wire.messages, each));
        if E::HAS_MESSAGES {
            let messages = received(Role::Server, written);
            assert!(messages.iter().eq(wire.payloads()), "{} echoes other messages", E::NAME);
        }
    }
}

/// Returns the binary messages that an engine of this role has written.
fn received(role: Role, written: Bytes) -> Vec<Bytes> {
    let mut bytes = Vec::from(written);
    let mut input = Input::new(&mut bytes);
    let mut connection = match role {
        Role::Server => Connection::client(Config::new()),
        Role::Client => Connection::server(Config::new()),
    };
    let (mut messages, mut message) = (Vec::new(), Vec::new());
    loop {
        match connection.next(&mut input, clock) {
            Step::Data(chunk) => {
                assert_eq!(chunk.kind, MessageKind::Binary);
                message.extend_from_slice(chunk.bytes);
                if chunk.end {
                    messages.push(std::mem::take(&mut message).into());
                }
            }
            Step::Wait(_) => break,
            step => panic!("{step:?}"),
        }
    }
    assert!(message.is_empty(), "the last message has an end");
    messages
}
