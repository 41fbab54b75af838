//! The options of drafts by a model.

use crate::error::{Error, Result};
use crate::generation::config::{AssistantSchedule, GenerationConfig};

/// How a model drafts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::generation) struct DraftOptions {
    /// The most tokens of a draft.
    pub(super) most: usize,
    pub(super) schedule: AssistantSchedule,
    /// A draft ends with a token that is less probable.
    pub(super) confidence: f64,
}

impl DraftOptions {
    /// `num_assistant_tokens`, `num_assistant_tokens_schedule` and `assistant_confidence_threshold`.
    pub(in crate::generation) fn of(config: &GenerationConfig) -> Result<Self> {
        let most = config.num_assistant_tokens.unwrap_or(NUM_ASSISTANT_TOKENS);
        let confidence = config.assistant_confidence_threshold.unwrap_or(CONFIDENCE);
        if most == 0 {
            return Err(Error::option("num_assistant_tokens", "must be at least 1"));
        }
        if !(0.0..=1.0).contains(&confidence) {
            let reason = format!("is {confidence}, but must be in [0, 1]");
            return Err(Error::option("assistant_confidence_threshold", reason));
        }
        let schedule = config.num_assistant_tokens_schedule.unwrap_or(AssistantSchedule::Constant);
        Ok(Self { most, schedule, confidence })
    }
}

/// Transformers' defaults.
const NUM_ASSISTANT_TOKENS: usize = 20;
const CONFIDENCE: f64 = 0.4;
