//! Compressed messages: MB/s of plaintext, ours beside the peers and the floor. `../deflate` runs this program and makes the tables.
//!
//! Without arguments it times every engine once, and prints an object of JSON for each row and engine, one per line. With `--test`
//! it only checks that the engines work correctly. With `--write FOLDER` it writes the messages and the frames to that folder, for
//! engines that are other programs.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ws_core_benches::deflate::{Deflate, Inflate, Visitor, Wire, check, each_engine, messages};

const ROWS: [(&str, usize); 3] = [("128 B", 128), ("1 KiB", 1024), ("16 KiB", 16 * 1024)];

/// The name of inflating what was compressed at level 6, the default of zlib. Such payloads usually have dynamic codes.
const AT_LEVEL_6: &str = "inflate-6";

/// How long an engine works before it is timed, how long it is timed, and the least duration of a sample.
const WARM_UP: Duration = Duration::from_millis(15);
const MEASUREMENT: Duration = Duration::from_millis(120);
const SAMPLE: Duration = Duration::from_millis(4);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--write") {
        return write(Path::new(arguments.get(at + 1).expect("a folder")));
    }
    let test = arguments.iter().any(|argument| argument == "--test");
    for (name, len) in ROWS {
        let messages = messages(len);
        let wires = [("inflate", 1), (AT_LEVEL_6, 6)]
            .map(|(what, level)| (what, Wire::pair(&messages, level)));
        each_engine(&mut Row { name, messages, wires, test });
    }
}

/// Messages of one length.
struct Row {
    name: &'static str,
    messages: Vec<Bytes>,
    /// What to inflate, and the name of that.
    wires: [(&'static str, [Wire; 2]); 2],
    test: bool,
}

impl Row {
    fn report(&self, what: &str, engine: &str, messages: usize, ratio: f64, round: impl FnMut()) {
        if self.test {
            return println!("{what} {}: {engine}: right", self.name);
        }
        let bytes = (messages * self.messages[0].len()) as f64;
        let rate = bytes / (least(round).as_secs_f64() * 1e6);
        println!(
            r#"{{"row": "{what} {}", "engine": "{engine}", "rate": {rate:.1}, "ratio": {ratio:.4}}}"#,
            self.name
        );
    }
}

impl Visitor for Row {
    fn deflate<E: Deflate>(&mut self) {
        let mut engine = E::new();
        let ratio = check::deflate(&mut engine, &self.messages);
        let count = E::CONNECTIONS * self.messages.len();
        self.report("deflate", E::NAME, count, ratio, || {
            engine.deflate(black_box(&self.messages), |payload, _| {
                black_box(payload);
            });
        });
    }

    fn inflate<E: Inflate>(&mut self) {
        for (what, wires) in &self.wires {
            let mut engine = E::new();
            check::inflate(&mut engine, wires, &self.messages);
            let [_, wire] = wires;
            let ratio = check::ratio(wire, &self.messages);
            self.report(what, E::NAME, wire.messages, ratio, || {
                engine.inflate(black_box(wire), |message| {
                    black_box(message);
                });
            });
        }
    }
}

/// Returns the time of a round: the smallest of many samples, because other load on the machine affects that one least.
fn least(mut round: impl FnMut()) -> Duration {
    let mut rounds = 0;
    let started = Instant::now();
    while started.elapsed() < WARM_UP {
        round();
        rounds += 1;
    }
    let each = started.elapsed() / rounds;
    let in_sample = SAMPLE.div_duration_f64(each).ceil() as u32;
    let started = Instant::now();
    let mut least = Duration::MAX;
    while started.elapsed() < MEASUREMENT {
        let started = Instant::now();
        (0..in_sample).for_each(|_| round());
        least = least.min(started.elapsed() / in_sample);
    }
    least
}

fn write(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    let put = |name: String, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("room");
    for (_, len) in ROWS {
        let messages = messages(len);
        let [first, again] = Wire::pair(&messages, 1);
        put(format!("{len}.messages"), &messages.concat());
        put(format!("{len}.first"), first.frames());
        put(format!("{len}.again"), again.frames());
    }
}
