//! Compresses or inflates messages of one length over and over, so that `callgrind` can count instructions.
//!
//! The arguments are: what to do (`deflate` or `inflate`), the name of the engine, the length of the messages in bytes, and the number
//! of rounds. It prints the number of messages in a round. With the first argument alone, it prints the names of the engines.

use std::hint::black_box;

use bytes::Bytes;
use ws_core_benches::deflate::{Deflate, Inflate, Visitor, Wire, each_engine, messages};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (work, engine, len, rounds) = match &arguments[..] {
        [work] => return each_engine(&mut Names { work }),
        [work, engine, len, rounds] => (work, engine, len, rounds),
        _ => panic!("count_deflate WORK ENGINE LENGTH ROUNDS"),
    };
    let messages = messages(len.parse().expect("a length in bytes"));
    let wires = Wire::pair(&messages, 1);
    let rounds = rounds.parse().expect("a number of rounds");
    let mut count = Count { work, engine, messages, wires, rounds, found: None };
    each_engine(&mut count);
    println!("{}", count.found.expect("an engine that is called so"));
}

struct Names<'a> {
    work: &'a str,
}

impl Visitor for Names<'_> {
    fn deflate<E: Deflate>(&mut self) {
        if self.work == "deflate" {
            println!("{}", E::NAME);
        }
    }

    fn inflate<E: Inflate>(&mut self) {
        if self.work == "inflate" {
            println!("{}", E::NAME);
        }
    }
}

struct Count<'a> {
    work: &'a str,
    engine: &'a str,
    messages: Vec<Bytes>,
    wires: [Wire; 2],
    rounds: usize,
    /// The number of messages in a round.
    found: Option<usize>,
}

impl Visitor for Count<'_> {
    fn deflate<E: Deflate>(&mut self) {
        if (self.work, self.engine) != ("deflate", E::NAME) {
            return;
        }
        self.found = Some(E::CONNECTIONS * self.messages.len());
        let mut engine = E::new();
        for _ in 0..self.rounds {
            engine.deflate(&self.messages, |payload, _| {
                black_box(payload);
            });
        }
    }

    fn inflate<E: Inflate>(&mut self) {
        if (self.work, self.engine) != ("inflate", E::NAME) {
            return;
        }
        let [first, again] = &self.wires;
        self.found = Some(again.messages);
        let mut engine = E::new();
        let mut inflate = |wire| {
            engine.inflate(wire, |message| {
                black_box(message);
            });
        };
        inflate(first);
        (0..self.rounds).for_each(|_| inflate(again));
    }
}
