//! Nanoseconds per message: ours beside a peer and the floor, in one run.

use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use ws_core::{MessageKind, Role};
use ws_core_benches::{
    Connection, EndpointLending, EndpointOwned, Engine, Memcpy, READ, Tungstenite, wire,
};

type Group<'c> = BenchmarkGroup<'c, WallTime>;

const KIB: usize = 1024;
const DECODE: [(&str, usize); 6] = [
    ("16 B", 16),
    ("125 B", 125),
    ("1 KiB", KIB),
    ("16 KiB", 16 * KIB),
    ("64 KiB", 64 * KIB),
    ("1 MiB", KIB * KIB),
];
const ENCODE: [(&str, usize); 4] =
    [("16 B", 16), ("125 B", 125), ("1 KiB", KIB), ("64 KiB", 64 * KIB)];
const ECHO: [(&str, usize); 3] = [("16 B", 16), ("1 KiB", KIB), ("64 KiB", 64 * KIB)];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
        .configure_from_args();
    decode(&mut criterion);
    encode(&mut criterion);
    echo(&mut criterion);
    criterion.final_summary();
}

fn binary(len: usize) -> Bytes {
    (0..len).map(|index| index as u8).collect()
}

fn ascii(len: usize) -> Bytes {
    b"The quick brown fox jumps over the lazy dog. ".iter().copied().cycle().take(len).collect()
}

fn cjk(len: usize) -> Bytes {
    let text = "言語による通信規約の検査は速くなければならない。";
    let text: String = text.chars().cycle().take(len / 3).collect();
    text.into()
}

fn decode(criterion: &mut Criterion) {
    let mut rows: Vec<(String, MessageKind, Bytes)> = Vec::new();
    for (name, len) in DECODE {
        rows.push((format!("decode binary {name}"), MessageKind::Binary, binary(len)));
    }
    rows.push(("decode ASCII 1 KiB".into(), MessageKind::Text, ascii(KIB)));
    rows.push(("decode CJK 1 KiB".into(), MessageKind::Text, cjk(KIB)));
    for (name, kind, payload) in rows {
        let (wire, count) = wire(kind, &payload);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(payload.len() as u64));
        each(&mut group, Role::Server, count, &Decode(&wire));
        group.finish();
    }
}

fn encode(criterion: &mut Criterion) {
    for (role_name, role) in [("server", Role::Server), ("client", Role::Client)] {
        for (name, len) in ENCODE {
            let payload = binary(len);
            let count = (256 * KIB / len).max(4);
            let mut group = criterion.benchmark_group(format!("encode {role_name} {name}"));
            group.throughput(Throughput::Bytes(len as u64));
            each(&mut group, role, count, &Encode(&payload, count));
            group.finish();
        }
    }
}

fn echo(criterion: &mut Criterion) {
    for (name, len) in ECHO {
        let (wire, count) = wire(MessageKind::Binary, &binary(len));
        let mut group = criterion.benchmark_group(format!("echo {name}"));
        group.throughput(Throughput::Bytes(len as u64));
        each(&mut group, Role::Server, count, &Echo(&wire));
        group.finish();
    }
}

/// What every engine does in a group.
trait Work {
    fn run(&self, engine: &mut impl Engine);
}

struct Decode<'a>(&'a [u8]);
struct Encode<'a>(&'a Bytes, usize);
struct Echo<'a>(&'a [u8]);

impl Work for Decode<'_> {
    fn run(&self, engine: &mut impl Engine) {
        engine.decode(self.0);
    }
}

impl Work for Encode<'_> {
    fn run(&self, engine: &mut impl Engine) {
        engine.encode(self.0, self.1);
    }
}

impl Work for Echo<'_> {
    fn run(&self, engine: &mut impl Engine) {
        engine.echo(self.0, READ);
    }
}

fn each(group: &mut Group<'_>, role: Role, count: usize, work: &impl Work) {
    one::<Memcpy>(group, role, count, work);
    one::<Connection>(group, role, count, work);
    one::<EndpointLending>(group, role, count, work);
    one::<EndpointOwned>(group, role, count, work);
    one::<Tungstenite>(group, role, count, work);
}

/// One iteration, for criterion, is one message: so its times are per message.
fn one<E: Engine>(group: &mut Group<'_>, role: Role, count: usize, work: &impl Work) {
    let mut engine = E::new(role);
    group.bench_function(BenchmarkId::from_parameter(E::NAME), |bencher| {
        bencher.iter_custom(|messages| {
            let count = count as u64;
            let rounds = messages.div_ceil(count);
            let start = Instant::now();
            for _ in 0..rounds {
                work.run(&mut engine);
            }
            start.elapsed().mul_f64(messages as f64 / (rounds * count) as f64)
        });
    });
}
