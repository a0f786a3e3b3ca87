//! What each engine has to do correctly before it is timed.

use bytes::Bytes;
use ws_core::{Config, Connection, Input, Role, Step};
use zlib_rs::{Inflate as Engine, InflateFlush};

use super::messages::TAIL;
use super::{Deflate, Inflate, Wire};
use crate::clock;
use crate::kernel::capture;

/// A payload, and whether it is compressed.
type Payload = (Vec<u8>, bool);

/// Checks that what is compressed inflates to the messages, even after earlier ones. Returns the length of the payloads
/// divided by that of the messages.
pub fn deflate<E: Deflate>(engine: &mut E, messages: &[Bytes]) -> f64 {
    let mut inflate = Engine::new(false, 15);
    let mut len = 0;
    for _ in 0..2 {
        let mut payloads = Vec::new();
        let written = capture(|| {
            engine.deflate(messages, |payload, compressed| {
                payloads.push((payload.to_vec(), compressed));
            });
        });
        payloads.extend(received(written));
        len = payloads.iter().map(|(payload, _)| payload.len()).sum();
        let plain = payloads.into_iter().map(|payload| inflated(&mut inflate, payload));
        assert!(
            plain.eq(messages.iter().map(|message| &**message)),
            "{} compresses other messages",
            E::NAME
        );
    }
    len as f64 / messages.iter().map(Bytes::len).sum::<usize>() as f64
}

/// Checks that what is inflated are the messages.
pub fn inflate<E: Inflate>(engine: &mut E, wires: &[Wire; 2], messages: &[Bytes]) {
    let [first, again] = wires;
    for wire in [first, again, again] {
        let mut all = Vec::new();
        engine.inflate(wire, |message| all.push(message.to_vec()));
        let expected = messages.iter().cycle().take(wire.messages);
        assert!(all.iter().eq(expected), "{} inflates to other messages", E::NAME);
    }
}

/// Returns the length of a wire's payloads divided by that of the messages.
pub fn ratio(wire: &Wire, messages: &[Bytes]) -> f64 {
    let payloads: usize = wire.payloads().map(<[u8]>::len).sum();
    let plain: usize = messages.iter().cycle().take(wire.messages).map(Bytes::len).sum();
    payloads as f64 / plain as f64
}

fn inflated(engine: &mut Engine, (mut payload, compressed): Payload) -> Vec<u8> {
    if !compressed {
        return payload;
    }
    payload.extend_from_slice(&TAIL);
    let mut output = vec![0; 64 * 1024];
    let before = engine.total_out();
    engine.decompress(&payload, &mut output, InflateFlush::SyncFlush).expect("valid");
    output.truncate((engine.total_out() - before) as usize);
    output
}

/// Returns the payloads that a server has written.
fn received(written: Bytes) -> Vec<Payload> {
    let mut bytes = Vec::from(written);
    let mut input = Input::new(&mut bytes);
    let mut connection = Connection::with_compression(Role::Client, Config::new(), true);
    let (mut payloads, mut payload) = (Vec::new(), Vec::new());
    loop {
        match connection.next(&mut input, clock) {
            Step::Data(chunk) => {
                payload.extend_from_slice(chunk.bytes);
                if chunk.end {
                    payloads.push((std::mem::take(&mut payload), chunk.compressed));
                }
            }
            Step::Wait(_) => return payloads,
            step => panic!("{step:?}"),
        }
    }
}
