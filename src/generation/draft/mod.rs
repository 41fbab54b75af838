//! Drafting: tokens that are guessed, so that one forward pass can confirm several.

mod lookup;
mod model;
mod options;
mod pace;
mod translate;

use std::fmt;
use std::time::Instant;

use crate::error::Result;
use crate::generation::plan::Plan;
use crate::models::Checkpoint;
use pace::Acceptance;

pub use lookup::PromptLookup;
pub use model::DraftModel;
pub(super) use options::DraftOptions;
pub(super) use pace::{Costs, Offer, lengths};

/// Guesses how an answer goes on (`CandidateGenerator`).
///
/// A step computes the guess together with the token before it. The sequence's own plan then chooses
/// token after token, and the guess is used as far as it is what the plan chooses. So a drafter never
/// changes an answer, only how many passes it takes.
///
/// It may keep state of the answer; what is given to a pipeline or a batch is cloned for each answer.
pub trait Drafter: CloneDrafter + fmt::Debug + Send + Sync {
    /// At most `most` tokens that may come after `tokens`, the prompt and everything generated so far,
    /// which goes on by `plan`; none where there is nothing to guess by.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from its work, which ends the answer as an error.
    fn draft(&mut self, tokens: &[u32], plan: &Plan, most: usize) -> Result<Draft>;

    /// As [`draft`](Self::draft), but calls `checkpoint` now and then, if it takes long: its error ends the
    /// answer, so that a draft can be given up when the answer is cancelled.
    ///
    /// # Errors
    ///
    /// As there, and what `checkpoint` returns.
    fn draft_with(
        &mut self,
        tokens: &[u32],
        plan: &Plan,
        most: usize,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Draft> {
        let _ = checkpoint;
        self.draft(tokens, plan, most)
    }

    /// Told, after each draft that was computed, how many of its `drafted` tokens were `accepted`.
    fn verified(&mut self, drafted: usize, accepted: usize) {
        let _ = (drafted, accepted);
    }
}

/// How a [`Drafter`] behind a pointer is cloned. All that are `Clone` have it.
pub trait CloneDrafter {
    /// A clone.
    fn boxed_clone(&self) -> Box<dyn Drafter>;
}

impl<T: Drafter + Clone + 'static> CloneDrafter for T {
    fn boxed_clone(&self) -> Box<dyn Drafter> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Drafter> {
    fn clone(&self) -> Self {
        (**self).boxed_clone()
    }
}

/// A guess.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// The tokens, in their order.
    pub tokens: Vec<u32>,
    /// What kind of guess it is, from 0 to 7. How often guesses come true is measured for each kind:
    /// [`PromptLookup`] gives the length of the n-gram that it has found.
    pub kind: usize,
}

/// A [`Drafter`], and how much of what it drafts is computed.
///
/// By default this follows what is measured: how often drafts of the kind come true, what a pass of
/// more tokens costs, and what drafting costs. Where drafts do not pay, none are computed, until they
/// would have come true for a while. A drafter that takes time is then asked now and then.
#[derive(Debug, Clone)]
pub struct Drafting {
    drafter: Box<dyn Drafter>,
    length: DraftLength,
    acceptance: Acceptance,
}

/// How much of a draft is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DraftLength {
    /// As much as pays by what is measured.
    Measured,
    /// All of it.
    Whole,
}

impl Drafting {
    /// Drafts as far as it pays.
    #[must_use]
    pub fn new(drafter: Box<dyn Drafter>) -> Self {
        Self { drafter, length: DraftLength::Measured, acceptance: Acceptance::default() }
    }

    /// Computes drafts as long as the drafter makes them, whether that pays or not.
    #[must_use]
    pub fn whole(self) -> Self {
        Self { length: DraftLength::Whole, ..self }
    }

    /// A draft of at most `most` tokens, maybe none; beside `rows` that are computed anyway.
    pub(super) fn draft(
        &mut self,
        tokens: &[u32],
        plan: &Plan,
        most: usize,
        (costs, rows): (&Costs, usize),
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Draft> {
        let asked = match self.length {
            DraftLength::Whole => most,
            DraftLength::Measured => self.acceptance.asks(most, costs, rows),
        };
        if asked == 0 {
            return Ok(Draft::default());
        }
        let started = Instant::now();
        let mut draft = self.drafter.draft_with(tokens, plan, asked, checkpoint)?;
        self.acceptance.record_cost(started.elapsed().as_secs_f64(), draft.tokens.len());
        draft.tokens.truncate(asked);
        Ok(draft)
    }

    /// What a draft is worth.
    pub(super) fn offer(&self, draft: &Draft) -> Offer {
        let most = draft.tokens.len();
        match self.length {
            DraftLength::Whole => Offer { rate: 1.0, least: most, most },
            DraftLength::Measured => {
                Offer { rate: self.acceptance.rate(draft.kind), least: 0, most }
            }
        }
    }

    /// Learns what was chosen in the place of a draft, of which `computed` tokens were computed, and
    /// returns how many of these were accepted. What was not computed is compared, too: so drafts that
    /// cost nothing show by themselves when they pay again.
    pub(super) fn verified<'a>(
        &mut self,
        draft: &Draft,
        computed: usize,
        chosen: impl Iterator<Item = &'a u32>,
    ) -> usize {
        let mut accepted = 0;
        for (number, (guess, id)) in draft.tokens.iter().zip(chosen).enumerate() {
            self.acceptance.record(draft.kind, guess == id);
            accepted += usize::from(guess == id && number < computed);
        }
        if computed > 0 {
            self.drafter.verified(computed, accepted);
        }
        accepted
    }
}

impl<D: Drafter + 'static> From<D> for Drafting {
    fn from(drafter: D) -> Self {
        Self::new(Box::new(drafter))
    }
}
