//! Processes messages of one length over and over, so that `callgrind` can count instructions.
//!
//! The arguments are: what to do (`decode`, `encode-server`, `encode-client`, `echo`, or `echo-single`, with one message per
//! read and per write), the name of the engine, the length of the payload in bytes, and the number of rounds. It prints the number
//! of messages in a round. With the first argument alone, it prints the names of the engines that can do this.
//!
//! With `handshake`, a message is a request of 480 bytes, and there are other engines.

use bytes::Bytes;
use ws_core::{MessageKind, Role};
use ws_core_benches::kernel::{self, READ};
use ws_core_benches::{Engine, Visitor, Wire, each_engine, handshake, payloads, use_part};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (work, engine, len, rounds) = match &arguments[..] {
        [work] if work == "handshake" => {
            return handshake::ALL.iter().for_each(|(name, _)| println!("{name}"));
        }
        [_] => return each_engine(&mut Names),
        [work, engine, len, rounds] => (work, engine, len, rounds),
        _ => panic!("count WORK ENGINE LENGTH ROUNDS"),
    };
    let len = len.parse().expect("a length in bytes");
    let rounds = rounds.parse().expect("a number of rounds");
    if work == "handshake" {
        return handshakes(engine, len, rounds);
    }
    let payload = payloads::binary(len);
    let wire = Wire::new(MessageKind::Binary, std::slice::from_ref(&payload));
    let mut count = Count { work, engine, payload, wire, rounds, found: false };
    each_engine(&mut count);
    assert!(count.found, "no engine is called {engine}");
    println!("{}", count.wire.messages);
}

/// A round is one handshake.
fn handshakes(engine: &str, len: usize, rounds: usize) {
    let request = handshake::request();
    assert_eq!(len, request.len(), "there is one request");
    let known = handshake::ALL.iter().find(|(name, _)| *name == engine);
    let (_, handshake) = known.unwrap_or_else(|| panic!("no engine is called {engine}"));
    let mut buffer = [0; 4096];
    for _ in 0..rounds {
        kernel::load(&request, READ);
        handshake(&mut buffer);
    }
    println!("1");
}

struct Names;

impl Visitor for Names {
    fn visit<E: Engine>(&mut self) {
        println!("{}", E::NAME);
    }
}

struct Count<'a> {
    work: &'a str,
    engine: &'a str,
    payload: Bytes,
    wire: Wire,
    rounds: usize,
    found: bool,
}

impl Visitor for Count<'_> {
    fn visit<E: Engine>(&mut self) {
        if E::NAME != self.engine {
            return;
        }
        self.found = true;
        let Self { payload, wire, .. } = &*self;
        let role = if self.work == "encode-client" { Role::Client } else { Role::Server };
        let mut engine = E::new(role);
        for _ in 0..self.rounds {
            match self.work {
                "decode" => {
                    wire.load();
                    engine.decode(wire.messages, use_part);
                }
                "encode-server" | "encode-client" => engine.encode(payload, wire.messages),
                "echo" => {
                    wire.load();
                    engine.echo(wire.messages, false);
                }
                "echo-single" => {
                    wire.load_each();
                    engine.echo(wire.messages, true);
                }
                other => panic!("there is nothing to do that is called {other}"),
            }
        }
    }
}
