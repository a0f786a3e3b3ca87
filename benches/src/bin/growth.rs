//! Measures how cost grows. It prints, as lines of JSON, the time per message over the life of a connection, the time per byte of
//! longer and longer messages, and the time per fragment of messages with more and more fragments of one byte.
//!
//! The input is at most 64 KiB that are read over and over, like the buffers of a kernel, so the size of a cache does not
//! matter. Each figure is the smallest of many repetitions.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ws_core::{Config, Connection as Client, DataFrame, MaskingKey, MessageKind, Role};
use ws_core_benches::kernel::{self, READ};
use ws_core_benches::{Connection, EndpointOwned, Engine, Wire, payloads, use_part};

/// The least duration of a repetition, because of the resolution of the clock.
const SHORTEST: Duration = Duration::from_micros(500);
/// The approximate duration of all repetitions of a step.
const ALL: Duration = Duration::from_millis(300);

fn main() {
    for (what, steps) in
        [("messages", messages()), ("bytes", lengths()), ("fragments", fragments())]
    {
        let limits = Config::new().max_frame(1 << 30).max_message(1 << 30);
        run(what, Connection::with_config(Role::Server, limits), &steps);
        run(what, EndpointOwned::with_config(Role::Server, limits), &steps);
        if what == "bytes" {
            steps.iter().for_each(fill);
        }
    }
}

/// An amount of work, in parts that are read several times, one after the other.
struct Step {
    count: u64,
    parts: Vec<(Bytes, u64)>,
}

fn run<E: Engine>(what: &str, mut engine: E, steps: &[Step]) {
    for step in steps {
        print(what, E::NAME, step.count, || {
            for (part, turns) in &step.parts {
                for _ in 0..*turns {
                    kernel::load(part, READ);
                    engine.decode(0, use_part);
                }
            }
        });
    }
}

/// The floor of an owned message: the same reads into new memory.
fn fill(step: &Step) {
    print("bytes", "Vec", step.count, || {
        let mut message = Vec::new();
        for (part, turns) in &step.parts {
            (0..*turns).for_each(|_| message.extend_from_slice(part));
        }
        black_box(message);
    });
}

fn print(what: &str, engine: &str, count: u64, mut round: impl FnMut()) {
    round();
    let (start, mut least) = (Instant::now(), f64::INFINITY);
    while start.elapsed() < ALL {
        let (start, mut rounds) = (Instant::now(), 0);
        while start.elapsed() < SHORTEST {
            round();
            rounds += 1;
        }
        least = least.min(start.elapsed().as_secs_f64() / f64::from(rounds));
    }
    let ns = least * 1e9 / count as f64;
    println!(r#"{{"what":"{what}","engine":"{engine}","count":{count},"ns":{ns}}}"#);
}

/// Measures messages of 16 bytes on one connection, up to a million of them.
fn messages() -> Vec<Step> {
    let step = |power| {
        let count = 10_u64.pow(power);
        let turns = count.div_ceil(1000);
        let payload = payloads::binary(16);
        let wire = Wire::with_messages(MessageKind::Binary, &[payload], (count / turns) as usize);
        Step { count, parts: vec![(wire.bytes(), turns)] }
    };
    (0..=6).map(step).collect()
}

/// Measures messages from 16 KiB to 256 MiB.
fn lengths() -> Vec<Step> {
    let step = |power| {
        let count = 1_u64 << power;
        let part = payloads::binary(READ.min(count as usize));
        let mut client = Client::client(Config::new());
        let key = Some(MaskingKey::new([0x37, 0xfa, 0x21, 0x3d]));
        let head = client.sender.head(DataFrame::BINARY, count, key).expect("it is open");
        let turns = count / part.len() as u64;
        Step { count, parts: vec![(Bytes::copy_from_slice(&head), 1), (part, turns)] }
    };
    [14, 16, 18, 20, 22, 24, 26, 28].map(step).into()
}

/// Measures one message with up to a million fragments of one byte.
fn fragments() -> Vec<Step> {
    let step = |power| {
        let mut client = Client::client(Config::new());
        let mut frames = |count: u64, last: DataFrame| {
            let mut bytes = Vec::new();
            for index in 1..=count {
                let frame = if index < count { DataFrame::BINARY.more() } else { last };
                let key = Some(MaskingKey::new((index as u32).to_le_bytes()));
                client.sender.encode_vec(frame, b"x", key, &mut bytes).expect("it is open");
            }
            Bytes::from(bytes)
        };
        let count = 10_u64.pow(power);
        let turns = count / 1000;
        let more = DataFrame::BINARY.more();
        // The last of a thousand turns ends the message.
        let parts = match turns {
            0 => vec![(frames(count, DataFrame::BINARY), 1)],
            1 => vec![(frames(1000, DataFrame::BINARY), 1)],
            _ => vec![
                (frames(1000, more), 1),
                (frames(1000, more), turns - 2),
                (frames(1000, DataFrame::BINARY), 1),
            ],
        };
        Step { count, parts }
    };
    (1..=6).map(step).collect()
}
