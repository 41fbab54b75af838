//! How far a beam has come with its constraints.

use std::sync::Arc;

use super::constraint::{Advance, Constraint};

/// How far a beam has come with the constraints of its prompt (`ConstraintListState`). Constraints are
/// met one after the other, in any order: a token counts for one of them only.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    /// As they are at their beginning.
    all: Arc<[Box<dyn Constraint>]>,
    /// Those that have not begun.
    pending: Vec<usize>,
    begun: Option<(usize, Box<dyn Constraint>)>,
    met: usize,
}

impl Progress {
    /// After `tokens`, the prompt's among them, as in transformers.
    pub(super) fn after(tokens: &[u32], all: Arc<[Box<dyn Constraint>]>) -> Self {
        let mut progress = Self { pending: (0..all.len()).collect(), all, begun: None, met: 0 };
        tokens.iter().for_each(|&id| progress.add(id));
        progress
    }

    /// Takes note of the next token. One that breaks off a constraint does not begin another.
    pub(super) fn add(&mut self, id: u32) {
        let (number, mut constraint) = match self.begun.take() {
            Some(begun) => begun,
            None => {
                let begins = |&number: &usize| self.all[number].advance().contains(&id);
                let Some(place) = self.pending.iter().position(begins) else { return };
                let number = self.pending.remove(place);
                (number, self.all[number].clone())
            }
        };
        match constraint.update(id) {
            Advance::Step => self.begun = Some((number, constraint)),
            Advance::Met => self.met += 1,
            Advance::Lost => self.pending.push(number),
        }
    }

    /// Whether all are met.
    pub(super) fn is_complete(&self) -> bool {
        self.met == self.all.len()
    }

    /// The ids that would be a step: towards the one that has begun, else towards any.
    pub(super) fn advance(&self) -> Vec<u32> {
        match &self.begun {
            Some((_, constraint)) => constraint.advance(),
            None => self.pending.iter().flat_map(|&number| self.all[number].advance()).collect(),
        }
    }

    /// The steps made, where each constraint that is met counts as many as the longest has.
    pub(super) fn bank(&self) -> usize {
        let longest = self.all.iter().map(|constraint| constraint.length()).max().unwrap_or(0);
        let begun = self.begun.as_ref();
        let steps = begun.map_or(0, |(_, begun)| longest.saturating_sub(begun.remaining()));
        self.met.saturating_mul(longest).saturating_add(steps)
    }
}
