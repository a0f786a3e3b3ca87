//! Nanoseconds per message, per handshake or per call: ours beside the peers and the floor, in one run.

use std::cell::{Cell, LazyCell};
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};
use ws_core::{MessageKind, Role};
use ws_core_benches::kernel::{self, READ};
use ws_core_benches::{
    Engine, Visitor, Wire, check, each_engine, functions, handshake, payloads, use_part,
};

type Group<'c> = BenchmarkGroup<'c, WallTime>;

const B16: (&str, usize) = ("16 B", 16);
const B125: (&str, usize) = ("125 B", 125);
const KIB1: (&str, usize) = ("1 KiB", 1024);
const KIB16: (&str, usize) = ("16 KiB", 16 * 1024);
const KIB64: (&str, usize) = ("64 KiB", 64 * 1024);
const MIB1: (&str, usize) = ("1 MiB", 1024 * 1024);

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
        .configure_from_args();
    frames(&mut criterion);
    handshakes(&mut criterion);
    masks(&mut criterion);
    texts(&mut criterion);
    criterion.final_summary();
}

fn frames(criterion: &mut Criterion) {
    for (name, len) in [B16, B125, KIB1, KIB16, KIB64, MIB1] {
        let wire = || Wire::new(MessageKind::Binary, &[payloads::binary(len)]);
        row(criterion, format!("decode {name}"), Role::Server, &Decode(LazyCell::new(&wire)));
    }
    for (name, text) in text_rows() {
        let wire = || Wire::new(MessageKind::Text, &text());
        row(criterion, format!("text {name}"), Role::Server, &Text(Decode(LazyCell::new(&wire))));
    }
    for (role_name, role) in [("server", Role::Server), ("client", Role::Client)] {
        for (name, len) in [B16, B125, KIB1, KIB64, MIB1] {
            let payloads = payloads::at_page_offsets(&payloads::binary(len));
            let work =
                Encode { role, payloads, turn: Cell::new(0), count: (4 * READ / len).max(4) };
            row(criterion, format!("encode_{role_name} {name}"), role, &work);
        }
    }
    for (name, len) in [B16, KIB1, KIB64] {
        let wire = || Wire::new(MessageKind::Binary, &[payloads::binary(len)]);
        row(criterion, format!("echo {name}"), Role::Server, &Echo(LazyCell::new(&wire)));
    }
}

/// The texts of a row, which are made when they are needed.
type Texts = Box<dyn Fn() -> Vec<Bytes>>;

fn text_rows() -> Vec<(String, Texts)> {
    let mut rows: Vec<(String, Texts)> = Vec::new();
    for (name, len) in [B125, KIB1, KIB64] {
        rows.push((format!("ASCII {name}"), Box::new(move || vec![payloads::ascii(len)])));
    }
    rows.push(("CJK 1 KiB".into(), Box::new(|| vec![payloads::cjk(1024)])));
    for (name, len) in [KIB1, KIB64] {
        rows.push((format!("mixed {name}"), Box::new(move || payloads::mixed(len))));
    }
    rows
}

/// What every engine does in a row.
trait Work {
    /// Whether the messages are text.
    const TEXT: bool = false;

    /// The number of messages.
    fn messages(&self) -> usize;

    /// Stops the program if the engine does it wrongly.
    fn check<E: Engine>(&self, engine: &mut E);

    /// Is called when a sample begins.
    fn begin(&self) {}

    fn run<E: Engine>(&self, engine: &mut E);
}

type LazyWire<'a> = LazyCell<Wire, &'a dyn Fn() -> Wire>;

struct Decode<'a>(LazyWire<'a>);
struct Text<'a>(Decode<'a>);
struct Encode {
    role: Role,
    /// The same payload at different places. Each sample uses another one.
    payloads: Vec<Bytes>,
    turn: Cell<usize>,
    count: usize,
}
struct Echo<'a>(LazyWire<'a>);

impl Work for Decode<'_> {
    fn messages(&self) -> usize {
        self.0.messages
    }

    fn check<E: Engine>(&self, engine: &mut E) {
        check::decode(engine, &self.0);
    }

    fn run<E: Engine>(&self, engine: &mut E) {
        self.0.load();
        engine.decode(self.0.messages, use_part);
    }
}

impl Work for Text<'_> {
    const TEXT: bool = true;

    fn messages(&self) -> usize {
        self.0.messages()
    }

    fn check<E: Engine>(&self, engine: &mut E) {
        self.0.check(engine);
    }

    fn run<E: Engine>(&self, engine: &mut E) {
        self.0.run(engine);
    }
}

impl Work for Encode {
    fn messages(&self) -> usize {
        self.count
    }

    fn check<E: Engine>(&self, engine: &mut E) {
        check::encode(engine, self.role, &self.payloads[0], self.count);
    }

    fn begin(&self) {
        self.turn.set((self.turn.get() + 1) % self.payloads.len());
    }

    fn run<E: Engine>(&self, engine: &mut E) {
        engine.encode(&self.payloads[self.turn.get()], self.count);
    }
}

impl Work for Echo<'_> {
    fn messages(&self) -> usize {
        self.0.messages
    }

    fn check<E: Engine>(&self, engine: &mut E) {
        check::echo(engine, &self.0);
    }

    fn run<E: Engine>(&self, engine: &mut E) {
        self.0.load();
        engine.echo(self.0.messages, false);
    }
}

fn row(criterion: &mut Criterion, name: String, role: Role, work: &impl Work) {
    let group = criterion.benchmark_group(name);
    each_engine(&mut Row { group, role, work });
}

struct Row<'a, W> {
    group: Group<'a>,
    role: Role,
    work: &'a W,
}

impl<W: Work> Visitor for Row<'_, W> {
    fn visit<E: Engine>(&mut self) {
        if W::TEXT && !E::CHECKS_TEXT {
            return;
        }
        let (role, work) = (self.role, self.work);
        let mut engine = None;
        self.group.bench_function(BenchmarkId::from_parameter(E::NAME), |bencher| {
            let engine = engine.get_or_insert_with(|| {
                let mut engine = E::new(role);
                work.check(&mut engine);
                engine
            });
            let count = work.messages() as u64;
            bencher.iter_custom(|messages| {
                work.begin();
                time(messages, count, || work.run(engine))
            });
        });
    }
}

/// Returns the time of `messages`, where a round has `count` of them. For criterion an iteration is one message, so its times
/// are per message.
fn time(messages: u64, count: u64, mut round: impl FnMut()) -> Duration {
    let rounds = messages.div_ceil(count);
    let start = Instant::now();
    for _ in 0..rounds {
        round();
    }
    start.elapsed().mul_f64(messages as f64 / (rounds * count) as f64)
}

fn handshakes(criterion: &mut Criterion) {
    let request = handshake::request();
    let mut buffer = [0; 4096];
    let mut group = criterion.benchmark_group("handshake 480 B");
    for (name, handshake) in handshake::ALL {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            handshake::check(name, handshake);
            bencher.iter(|| {
                kernel::load(&request, READ);
                handshake(black_box(&mut buffer));
            });
        });
    }
}

fn masks(criterion: &mut Criterion) {
    for (size, len) in [B16, B125, KIB1, KIB64] {
        let mut payload = Vec::from(payloads::binary(len));
        let mut group = criterion.benchmark_group(format!("mask {size}"));
        for (name, mask) in functions::MASKS {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                functions::check_mask(name, mask);
                let key = [0x37, 0xfa, 0x21, 0x3d];
                bencher.iter(|| mask(black_box(&mut payload), black_box(key)));
            });
        }
    }
}

fn texts(criterion: &mut Criterion) {
    for (name, text) in text_rows() {
        let texts = LazyCell::new(&text);
        let mut group = criterion.benchmark_group(format!("utf8 {name}"));
        for (name, check) in functions::UTF8 {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                functions::check_utf8(name, check);
                let texts: &[Bytes] = &texts;
                bencher.iter_custom(|calls| {
                    time(calls, texts.len() as u64, || {
                        for text in texts {
                            black_box(check(black_box(text)));
                        }
                    })
                });
            });
        }
    }
}
