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
                let result = catch_unwind(AssertUnwindSafe(|| visit(plan, fault, &sequence, &mut seen)));
                let result = result.unwrap_or_else(|_| Err("panic".into()));
                match result {
                    Ok(None) => continue,
                    Ok(Some((is_new, reached))) => {
                        visited.sequences += 1;
                        visited.states += usize::from(is_new);
                        visited.reached |= reached;
                        if is_new && left > 0 {
                            next.push(sequence);
                        }
                    }
                    Err(what) => {
                        visited.found = Some((sequence, what));
                        return visited;
                    }
                }
            }
        }
        level = next;
    }
    visited
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
