//! Decodes a wire of masked binary messages over and over, to count instructions: see `callgrind`.
//!
//! Arguments: the engine's name, the payload's length in bytes, the number of rounds. It prints how
//! many messages a round has.

use ws_core::{MessageKind, Role};
use ws_core_benches::{
    Connection, EndpointLending, EndpointOwned, Engine, Memcpy, Tungstenite, wire,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engine, len, rounds] = &arguments[..] else { panic!("count ENGINE LENGTH ROUNDS") };
    let len = len.parse().expect("a length in bytes");
    let rounds = rounds.parse().expect("a number of rounds");
    let (wire, count) = wire(MessageKind::Binary, &vec![b'x'; len]);
    match &engine[..] {
        Memcpy::NAME => run::<Memcpy>(&wire, rounds),
        Connection::NAME => run::<Connection>(&wire, rounds),
        EndpointLending::NAME => run::<EndpointLending>(&wire, rounds),
        EndpointOwned::NAME => run::<EndpointOwned>(&wire, rounds),
        Tungstenite::NAME => run::<Tungstenite>(&wire, rounds),
        other => panic!("no engine is called {other}"),
    }
    println!("{count}");
}

fn run<E: Engine>(wire: &[u8], rounds: usize) {
    let mut engine = E::new(Role::Server);
    for _ in 0..rounds {
        engine.decode(wire);
    }
}
