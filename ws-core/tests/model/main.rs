//! A model check: a client and a server, joined by two bounded wires, through every sequence of actions up to a depth.
//!
//! The actions are those of the applications (messages, Pings, closing), of the drivers (one step with one byte, half of
//! the bytes or all of them; a step that is cancelled; all steps that are possible), of the stream (its end, a stall, a
//! reset) and of the clock. After each of them, and until both sides have ended, this holds:
//!
//! - Both sides end, once their drivers run and the clock goes on. A clean close needs no time.
//! - Each side writes at most one Close frame, and nothing after it. Nothing is told after the end.
//! - What was sent is delivered in order and once; all of it, if the Close frame behind it was delivered.
//! - A Ping is answered, or the connection ends.
//! - No connection ends without a cause: what the applications or the stream have done, or a deadline that has come. Once both
//!   drivers run, and nothing is in the way, only `idle_timeout` ends it, and cleanly.
//! - They never both wait for ever, unless the connection is open and idle, or the stream accepts nothing and there is
//!   no keepalive.
//! - A driver never spins: each answer lets it move bytes or wait for a time that is still to come.
//!
//! `cargo test` does a short search. `conformance/model` does the long one.
#![cfg(feature = "endpoint")]

mod faults;
mod search;
mod side;
mod wire;
mod world;

use core::time::Duration;

use faults::Fault;
use search::{Visited, search, wander};
use side::Drive;
use world::{Action, Plan, REACHED, World};
use ws_core::Config;

/// The time-outs of those that have them; of `idle_timeout` it is the shortest.
const PING_INTERVAL: Duration = Duration::from_millis(100);
const PONG_TIMEOUT: Duration = Duration::from_millis(40);
const IDLE_TIMEOUT: Duration = Duration::from_millis(80);
const CLOSE_TIMEOUT: Duration = Duration::from_millis(50);
const LONG_IDLE_TIMEOUT: Option<Duration> = Some(Duration::from_millis(300));

/// The connections that are searched.
fn plans() -> Vec<Plan> {
    let plain = Config::new().close_timeout(Some(CLOSE_TIMEOUT));
    let fragments = plain.max_outgoing_frame(40);
    let alive = plain.ping_interval(Some(PING_INTERVAL)).pong_timeout(Some(PONG_TIMEOUT));
    let patient = alive.close_timeout(None);
    let idle = plain.idle_timeout(LONG_IDLE_TIMEOUT);
    let plan =
        |name, config, drive| Plan { name, config, drive, open: true, start: 0, capacity: 48 };
    vec![
        Plan { open: false, ..plan("opening, keepalive", [alive, alive], Drive::Next) },
        Plan {
            start: u32::MAX - 20,
            ..plan("open, no keepalive", [plain, fragments], Drive::Next)
        },
        plan("open, keepalive by both", [alive, alive.max_outgoing_frame(40)], Drive::NextRef),
        plan("open, idle_timeout of both", [idle, idle.max_outgoing_frame(40)], Drive::Next),
        plan(
            "open, keepalive and idle_timeout of both",
            [alive.idle_timeout(LONG_IDLE_TIMEOUT), alive.idle_timeout(Some(IDLE_TIMEOUT))],
            Drive::Next,
        ),
        // Only one side at a time: without a time-out on either side, both would wait for ever once the closing handshake
        // cannot get through.
        plan("open, server without close_timeout", [patient, alive], Drive::Next),
        plan("open, client without close_timeout", [alive, patient], Drive::NextRef),
        plan("open, halves", [alive, idle.max_outgoing_frame(40)], Drive::Halves),
        // Events are held back while 64 KiB of output wait.
        Plan { capacity: 30_000, ..plan("open, long messages", [alive, plain], Drive::Next) },
        Plan { capacity: 30_000, ..plan("halves, long messages", [plain, plain], Drive::Halves) },
    ]
}

/// What all searches have visited.
#[derive(Default)]
struct Total {
    sequences: usize,
    states: usize,
    reached: u32,
}

impl Total {
    #[track_caller]
    fn add(&mut self, plan: &Plan, how: &str, visited: Visited) {
        let Visited { sequences, states, reached, found } = visited;
        let name = plan.name;
        if let Some((sequence, what)) = found {
            panic!("{name}: {sequence:?}\n{what}");
        }
        println!("{name}, {how}: {sequences} sequences, {states} states");
        self.sequences += sequences;
        self.states += states;
        self.reached |= reached;
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Searches all plans, and does so many sequences at random. Fails if anything was not reached.
fn search_all(depth: usize, random: usize) -> Total {
    let mut total = Total::default();
    for plan in plans() {
        // Long messages take long.
        let is_long = plan.capacity > 48;
        let (depth, random) = if is_long { (depth - 1, random / 20) } else { (depth, random) };
        total.add(&plan, &format!("up to {depth} actions"), search(&plan, None, depth));
        for length in [12, 40] {
            let how = format!("{length} actions at random");
            total.add(&plan, &how, wander(&plan, None, length, random));
        }
    }
    println!("{} sequences, {} states", total.sequences, total.states);
    for (index, what) in REACHED.iter().enumerate() {
        let by = (total.reached >> (2 * index) & 3) as usize;
        println!("{what}: {}", ["nobody", "the server", "the client", "both"][by]);
    }
    assert_eq!(total.reached, (1 << (2 * REACHED.len())) - 1, "not everything was reached");
    total
}

#[test]
fn every_short_sequence_keeps_the_rules() {
    let total = search_all(3, 200);
    assert!(total.sequences > 20_000);
}

#[test]
#[ignore = "takes minutes; conformance/model runs it"]
fn every_long_sequence_keeps_the_rules() {
    let total = search_all(number("MODEL_DEPTH", 5), number("MODEL_RANDOM", 50_000));
    assert!(total.sequences >= 1_000_000);
}

// What next() holds back is one event, and two halves hold back none.
#[test]
fn rule_02_two_sides_with_more_output_wait_for_each_other_unless_they_are_halves() {
    for plan in plans().into_iter().filter(|plan| plan.capacity > 48) {
        let mut world = World::new(&plan, None).unwrap();
        for side in [0, 1] {
            for action in [Action::Text(side), Action::Binary(side), Action::Binary(side)] {
                assert_eq!(world.apply(action), Ok(true));
            }
        }
        world.complete(0).unwrap();
        let waited = world.reached >> (2 * (REACHED.len() - 1)) & 3;
        assert_eq!(waited, if plan.drive == Drive::Halves { 0 } else { 3 }, "{}", plan.name);
    }
}

#[test]
fn every_fault_is_found() {
    for (fault, rule) in Fault::ALL {
        let (sequence, what) = plans()
            .iter()
            .filter_map(|plan| search(plan, Some(fault), 2).found)
            .find(|(_, what)| what.contains(rule))
            .unwrap_or_else(|| panic!("{fault:?} is not found"));
        println!("{fault:?}: {sequence:?}: {:.100}", what);
    }
}
