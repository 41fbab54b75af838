//! The best answers found so far.

use super::early_stopping::EarlyStopping;
use super::options::BeamOptions;
use crate::generation::stop::FinishReason;

/// The best answers that a beam search has found so far, the best first (`BeamHypotheses`).
#[derive(Debug)]
pub(super) struct Hypotheses {
    found: Vec<Hypothesis>,
    /// How many are kept.
    most: usize,
    /// The most tokens of an answer.
    longest: usize,
    length_penalty: f64,
    early_stopping: EarlyStopping,
}

/// An answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hypothesis {
    /// The sum of log-probabilities, with the length penalty.
    pub(super) score: f32,
    /// The place of its last token in the [`History`](super::history::History).
    pub(super) last: Option<usize>,
    pub(super) reason: FinishReason,
}

impl Hypotheses {
    pub(super) fn new(most: usize, longest: usize, options: &BeamOptions) -> Self {
        let BeamOptions { length_penalty, early_stopping, .. } = *options;
        Self { found: Vec::new(), most, longest, length_penalty, early_stopping }
    }

    /// Adds an answer of `tokens` tokens with the sum of log-probabilities `sum`; the worst goes where
    /// there are too many.
    pub(super) fn add(
        &mut self,
        sum: f32,
        tokens: usize,
        last: Option<usize>,
        reason: FinishReason,
    ) {
        let score = self.score(sum, tokens);
        let place = self.found.partition_point(|better| better.score >= score);
        self.found.insert(place, Hypothesis { score, last, reason });
        self.found.truncate(self.most);
    }

    /// Whether the search is over: there are enough answers, and a beam of `tokens` tokens whose sum is
    /// `best` is not expected to become better than the worst of them.
    pub(super) fn is_final(&self, best: f32, tokens: usize) -> bool {
        let Some(worst) = self.found.get(self.most - 1) else { return false };
        let length = match self.early_stopping {
            EarlyStopping::Always => return true,
            EarlyStopping::Never if self.length_penalty > 0.0 => self.longest,
            EarlyStopping::Never | EarlyStopping::Heuristic => tokens,
        };
        worst.score >= self.score(best, length)
    }

    /// The best first.
    pub(super) fn found(&self) -> &[Hypothesis] {
        &self.found
    }

    fn score(&self, sum: f32, tokens: usize) -> f32 {
        (f64::from(sum) / (tokens as f64).powf(self.length_penalty)) as f32
    }
}
