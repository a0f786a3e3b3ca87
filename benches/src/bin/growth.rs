//! What more work costs: prints, as lines of JSON, the time per message over a connection's life, the time per byte of ever
//! longer messages, and the time per fragment of messages of ever more fragments of one byte.
//!
//! Each figure is the least of several repetitions.

use std::time::{Duration, Instant};

use bytes::Bytes;
use ws_core::{Config, Connection as Client, DataFrame, MaskingKey, MessageKind, Role};
use ws_core_benches::kernel::{self, READ};
use ws_core_benches::{Connection, EndpointOwned, Engine, Wire, payloads, use_part};

/// Figures from less time than this are too coarse.
const LEAST: Duration = Duration::from_millis(20);

fn main() {
    let limits = Config::new().max_frame(1 << 30).max_message(1 << 30);
    print("messages", Connection::with_config(Role::Server, limits), messages());
    print("messages", EndpointOwned::with_config(Role::Server, limits), messages());
    print("bytes", Connection::with_config(Role::Server, limits), lengths());
    print("bytes", EndpointOwned::with_config(Role::Server, limits), lengths());
    print("fragments", Connection::with_config(Role::Server, limits), fragments());
    print("fragments", EndpointOwned::with_config(Role::Server, limits), fragments());
}

/// So much of something, and the wire that has it, which is read so often.
struct Step {
    count: u64,
    wire: Bytes,
    messages: usize,
    turns: usize,
}

fn print<E: Engine>(what: &str, mut engine: E, steps: impl Iterator<Item = Step>) {
    for step in steps {
        let mut decode = || {
            for _ in 0..step.turns {
                kernel::load(&step.wire, READ);
                engine.decode(step.messages, use_part);
            }
        };
        decode();
        let least = (0..5).map(|_| per_round(&mut decode)).fold(f64::INFINITY, f64::min);
        let each = least / step.count as f64;
        println!(
            r#"{{"what":"{what}","engine":"{}","count":{},"ns":{each}}}"#,
            E::NAME,
            step.count
        );
    }
}

/// Nanoseconds for a round, of as many as take long enough.
fn per_round(round: &mut impl FnMut()) -> f64 {
    let (start, mut rounds) = (Instant::now(), 0);
    loop {
        round();
        rounds += 1;
        let elapsed = start.elapsed();
        if elapsed >= LEAST {
            return elapsed.as_secs_f64() * 1e9 / f64::from(rounds);
        }
    }
}

/// One connection's messages of 16 bytes, up to a million of them, a thousand on a wire.
fn messages() -> impl Iterator<Item = Step> {
    (0..=6).map(|power| {
        let count = 10_u64.pow(power);
        let turns = count.div_ceil(1000) as usize;
        let messages = count as usize / turns;
        let wire = Wire::with_messages(MessageKind::Binary, &[payloads::binary(16)], messages);
        Step { count, wire: wire.bytes(), messages, turns }
    })
}

/// Messages from 16 KiB to 256 MiB.
fn lengths() -> impl Iterator<Item = Step> {
    [14, 16, 18, 20, 22, 24, 26, 28].into_iter().map(|power| {
        let count = 1_u64 << power;
        let payload = payloads::binary(count as usize);
        let wire = Wire::with_messages(MessageKind::Binary, &[payload], 1);
        Step { count, wire: wire.bytes(), messages: 1, turns: 1 }
    })
}

/// One message in up to a million fragments of one byte.
fn fragments() -> impl Iterator<Item = Step> {
    (1..=6).map(|power| {
        let count = 10_u64.pow(power);
        let mut client = Client::client(Config::new());
        let mut wire = Vec::new();
        for index in 1..=count {
            let frame = if index < count { DataFrame::BINARY.more() } else { DataFrame::BINARY };
            let key = Some(MaskingKey::new((index as u32).to_le_bytes()));
            client.sender.encode_vec(frame, b"x", key, &mut wire).expect("it is open");
        }
        Step { count, wire: wire.into(), messages: 1, turns: 1 }
    })
}
