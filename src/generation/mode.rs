//! How answers are found.

use crate::generation::config::GenerationConfig;

/// How answers are found: transformers' `GenerationMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GenerationMode {
    /// The likeliest token, always.
    GreedySearch,
    /// A token drawn from the distribution.
    Sample,
    /// Of the likeliest tokens the one that is least like what was said.
    ContrastiveSearch,
    /// The likeliest answers among those that the best few beginnings lead to.
    BeamSearch,
    /// Beam search whose candidates are drawn.
    BeamSample,
    /// Beam search in groups that are made to differ.
    GroupBeamSearch,
    /// Beam search for answers that hold given words.
    ConstrainedBeamSearch,
}

impl GenerationMode {
    /// Whether several beginnings of one answer are followed at once.
    #[must_use]
    pub fn has_beams(self) -> bool {
        matches!(
            self,
            Self::BeamSearch
                | Self::BeamSample
                | Self::GroupBeamSearch
                | Self::ConstrainedBeamSearch
        )
    }
}

/// The options of contrastive search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Contrastive {
    /// How much likeness to what was said counts against a token, from 0 to 1.
    pub(super) penalty_alpha: f64,
    /// Tokens that are tried at each step, at least 2.
    pub(super) candidates: usize,
}

impl GenerationConfig {
    /// How these options find answers (`get_generation_mode`). Whether they contradict each other is
    /// for [`plan`](Self::plan) to say.
    #[must_use]
    pub fn mode(&self) -> GenerationMode {
        let samples = self.do_sample.unwrap_or(false);
        let contrasts = self.penalty_alpha.is_some_and(|alpha| alpha > 0.0)
            && self.top_k.is_none_or(|candidates| candidates > 1);
        let is_constrained = self.force_words_ids.as_ref().is_some_and(|words| !words.is_empty());
        match self.num_beams.unwrap_or(1) {
            _ if is_constrained => GenerationMode::ConstrainedBeamSearch,
            0 | 1 if samples => GenerationMode::Sample,
            0 | 1 if contrasts => GenerationMode::ContrastiveSearch,
            0 | 1 => GenerationMode::GreedySearch,
            _ if self.num_beam_groups.unwrap_or(1) > 1 => GenerationMode::GroupBeamSearch,
            _ if samples => GenerationMode::BeamSample,
            _ => GenerationMode::BeamSearch,
        }
    }
}
