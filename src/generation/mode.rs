//! How answers are found.

use crate::fields::choices;
use crate::generation::config::GenerationConfig;
use crate::warning::warn;

choices! {
    /// How answers are found: transformers' `GenerationMode`.
    #[non_exhaustive]
    GenerationMode, "generation_mode" {
        /// The likeliest token, always.
        GreedySearch = "greedy_search",
        /// A token drawn from the distribution.
        Sample = "sample",
        /// Of the likeliest tokens the one that is least like what was said.
        ContrastiveSearch = "contrastive_search",
        /// The likeliest answers among those that the best few beginnings lead to.
        BeamSearch = "beam_search",
        /// Beam search whose candidates are drawn.
        BeamSample = "beam_sample",
        /// Beam search in groups that are made to differ.
        GroupBeamSearch = "group_beam_search",
        /// Beam search for answers that hold given words.
        ConstrainedBeamSearch = "constrained_beam_search",
    }
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
    /// Warns of options that have no effect beside others, once for a call.
    pub(crate) fn warn_of_what_has_no_effect(&self) {
        let kept = [
            self.output_scores,
            self.output_logits,
            self.output_hidden_states,
            self.output_attentions,
        ];
        if kept.contains(&Some(true)) && self.return_dict_in_generate != Some(true) {
            warn("`output_scores` and its like have no effect without `return_dict_in_generate`");
        }
        let lengths = [
            ("min_new_tokens", self.min_new_tokens, "max_new_tokens", self.max_new_tokens),
            ("min_length", self.min_length, "max_length", self.max_length),
        ];
        for (least, at_least, most, at_most) in lengths {
            if let (Some(at_least), Some(at_most)) = (at_least, at_most)
                && at_least > at_most
            {
                warn(&format!(
                    "`{least}` is {at_least}, more than `{most}`, {at_most}, where answers end"
                ));
            }
        }
        let beside_beams = [
            (self.prompt_lookup_num_tokens.is_some(), "prompt_lookup_num_tokens"),
            (self.assistant_early_exit.is_some(), "assistant_early_exit"),
            (self.dola_layers.is_some(), "dola_layers"),
        ];
        for (_, option) in
            beside_beams.iter().filter(|(is_set, _)| *is_set && self.mode().has_beams())
        {
            warn(&format!("`{option}` has no effect with beams"));
        }
    }

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
