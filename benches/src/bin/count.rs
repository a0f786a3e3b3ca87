//! Decodes or echoes a wire of masked binary messages over and over, to count instructions: see `callgrind`.
//!
//! Arguments: what to do (`decode`, `echo`, or `echo-single`: one message per read and per write), the engine's
//! name, the payload's length in bytes, the number of rounds. It prints how many messages a round has.

use ws_core::{MessageKind, Role};
use ws_core_benches::{
    Connection, EndpointLending, EndpointOwned, Engine, Memcpy, READ, Tungstenite, wire,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, engine, len, rounds] = &arguments[..] else {
        panic!("count decode|echo|echo-single ENGINE LENGTH ROUNDS")
    };
    let len = len.parse().expect("a length in bytes");
    let rounds = rounds.parse().expect("a number of rounds");
    let (wire, count) = wire(MessageKind::Binary, &vec![b'x'; len]);
    let max = match &work[..] {
        "decode" => None,
        "echo" => Some(READ),
        "echo-single" => Some(READ.min(wire.len() / count)),
        other => panic!("there is nothing to do that is called {other}"),
    };
    match &engine[..] {
        Memcpy::NAME => run::<Memcpy>(&wire, max, rounds),
        Connection::NAME => run::<Connection>(&wire, max, rounds),
        EndpointLending::NAME => run::<EndpointLending>(&wire, max, rounds),
        EndpointOwned::NAME => run::<EndpointOwned>(&wire, max, rounds),
        Tungstenite::NAME => run::<Tungstenite>(&wire, max, rounds),
        other => panic!("no engine is called {other}"),
    }
    println!("{count}");
}

fn run<E: Engine>(wire: &[u8], max: Option<usize>, rounds: usize) {
    let mut engine = E::new(Role::Server);
    for _ in 0..rounds {
        match max {
            None => engine.decode(wire),
            Some(max) => engine.echo(wire, max),
        }
    }
}
