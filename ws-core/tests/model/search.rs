//! Every sequence of actions up to a depth, the short ones first. An endpoint cannot be copied, so each sequence is done
//! from the start. What leads to a state that was seen before is not followed again.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::faults::Fault;
use crate::world::{Action, Plan, World};

/// What a search has visited.
#[derive(Debug, Default)]
pub(crate) struct Visited {
    /// Different sequences of actions.
    pub(crate) sequences: usize,
    /// Different states. From each of them both sides have come to their ends.
    pub(crate) states: usize,
    /// The bits of [`REACHED`](crate::world::REACHED).
    pub(crate) reached: u32,
    /// The first sequence that breaks a rule, and which rule.
    pub(crate) found: Option<(Vec<Action>, String)>,
}

/// Does all sequences of up to `depth` actions, until one breaks a rule.
pub(crate) fn search(plan: &Plan, fault: Option<Fault>, depth: usize) -> Visited {
    let actions = Action::all();
    let mut visited = Visited::default();
    let mut seen = HashMap::new();
    let mut level = vec![Vec::new()];
    for left in (0..depth).rev() {
        let mut next = Vec::new();
        for sequence in &level {
            for action in &actions {
                let sequence: Vec<Action> = sequence.iter().chain([action]).copied().collect();
                let is_new = visited.visit(plan, fault, &sequence, &mut seen);
                if visited.found.is_some() {
                    return visited;
                }
                if is_new && left > 0 {
                    next.push(sequence);
                }
            }
        }
        level = next;
    }
    visited
}

/// Does so many sequences of this length, of actions at random, until one breaks a rule. What ends a connection is rare.
pub(crate) fn wander(plan: &Plan, fault: Option<Fault>, length: usize, count: usize) -> Visited {
    let actions = Action::all();
    let mut visited = Visited::default();
    let mut seen = HashMap::new();
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    while visited.sequences < count && visited.found.is_none() {
        let mut sequence = Vec::new();
        while sequence.len() < length {
            let action = actions[random(actions.len())];
            if !action.ends() || random(10) == 0 {
                sequence.push(action);
            }
        }
        visited.visit(plan, fault, &sequence, &mut seen);
    }
    visited
}

impl Visited {
    /// Does this sequence. Returns whether it came to a new state.
    fn visit(
        &mut self,
        plan: &Plan,
        fault: Option<Fault>,
        sequence: &[Action],
        seen: &mut HashMap<u64, u64>,
    ) -> bool {
        let result = catch_unwind(AssertUnwindSafe(|| visit(plan, fault, sequence, seen)));
        match result.unwrap_or_else(|_| Err("panic".into())) {
            Ok(None) => false,
            Ok(Some((is_new, reached))) => {
                self.sequences += 1;
                self.states += usize::from(is_new);
                self.reached |= reached;
                is_new
            }
            Err(what) => {
                self.found = Some((sequence.into(), what));
                false
            }
        }
    }
}

/// Does this sequence. From a new state it lets both sides end. Returns nothing if the last action cannot be done, and
/// otherwise whether the state is new, and what was reached.
fn visit(
    plan: &Plan,
    fault: Option<Fault>,
    sequence: &[Action],
    seen: &mut HashMap<u64, u64>,
) -> Result<Option<(bool, u32)>, String> {
    let mut world = World::new(plan, fault)?;
    let mut done = true;
    for action in sequence {
        done = world.apply(*action)?;
    }
    if !done {
        return Ok(None);
    }
    let digest = world.digest();
    world.complete(digest)?;
    let end = world.outcome();
    let before = seen.insert(digest, end);
    // Otherwise the digest leaves out something that matters, and the search stops too early.
    if before.is_some_and(|before| before != end) {
        return Err("the same state has come to another end".to_string());
    }
    let is_new = before.is_none();
    Ok(Some((is_new, world.reached)))
}
