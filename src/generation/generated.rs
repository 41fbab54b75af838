//! Whole answers.

use serde::{Deserialize, Serialize};

use crate::generation::outputs::StepOutput;
use crate::generation::sampler::Token;
use crate::generation::stop::FinishReason;
use crate::generation::timings::Timings;
use crate::models::EncoderTrace;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Generated {
    /// What was generated, without the prompt.
    pub tokens: Vec<Token>,
    /// Why it is over.
    pub finish_reason: FinishReason,
    /// How long it took. Answers that were generated together share the time.
    pub timings: Timings,
    /// With beams, what the answer was ranked by: the sum of its tokens' `logprob`, divided by their
    /// number to the power of `length_penalty` (`sequences_scores`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// With beams, for each token the beam of the prompt that it continued, counted from 0, the best
    /// first; else empty (`beam_indices`, which in transformers count through the batch).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beam_indices: Vec<usize>,
    /// With `token_healing`, the prompt as it was continued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healed_prompt: Option<Vec<u32>>,
    /// What the step of each token has computed, if it was asked for
    /// ([`OutputRequest`](super::OutputRequest)). No part of the JSON.
    #[serde(skip)]
    pub outputs: Vec<StepOutput>,
    /// What the encoder of an encoder-decoder has computed of the source, as far as the same options ask for
    /// it. Answers to one source share it. No part of the JSON.
    #[serde(skip)]
    pub encoder: EncoderTrace,
}

impl Generated {
    /// The ids of what was generated, without the prompt.
    #[must_use]
    pub fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }
}
