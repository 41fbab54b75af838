//! Many prompts at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::generation::cancel::CancelHandle;
use crate::generation::config::GenerationConfig;
use crate::generation::sampler::Token;
use crate::generation::sequence::Sequence;
use crate::generation::stepper::{Event, Stepper};
use crate::generation::stop::FinishReason;
use crate::generation::timings::Timings;
use crate::models::CausalLm;
use crate::tokenizer::Tokenizer;

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
}

impl Generated {
    /// The ids of what was generated, without the prompt.
    #[must_use]
    pub fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }
}

/// Continues all `prompts` together, with one forward pass per step. Rows that have ended leave the
/// batch. At most 256 answers are generated at a time.
///
/// Returns `num_return_sequences` answers per prompt, those of the first prompt first. Each answer
/// is what it would be alone: padding is never attended to, and answer `n` has a seed of its own,
/// `seed + n`. `max_time` is that of all of them together. `tokenizer` is needed for `stop_strings`
/// only.
///
/// # Errors
///
/// What [`GenerationConfig::plan`] refuses for any of the prompts, and what the model refuses.
pub fn generate_batch(
    model: &Arc<dyn CausalLm>,
    tokenizer: Option<&Tokenizer>,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
) -> Result<Vec<Generated>> {
    generate_batch_until(model, tokenizer, prompts, config, &CancelHandle::default())
}

/// As [`generate_batch`], but `cancel` ends all answers.
///
/// # Errors
///
/// As there.
pub fn generate_batch_until(
    model: &Arc<dyn CausalLm>,
    tokenizer: Option<&Tokenizer>,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
    cancel: &CancelHandle,
) -> Result<Vec<Generated>> {
    let started = Instant::now();
    let seed = config.seed.unwrap_or_else(rand::random);
    let each = config.sequences().max(1);
    let sequences = (0..prompts.len().saturating_mul(each)).map(|answer| {
        let prompt = &prompts[answer / each];
        let plan = config.plan(prompt, model.limits(), tokenizer)?;
        let plan = plan.with_seed(seed.wrapping_add(answer as u64)).counting_from(started);
        Ok(Sequence::new(prompt, plan)?.with_cancel_handle(cancel.clone()))
    });
    complete(model, sequences)?.into_iter().collect()
}

/// The answers that sequences become, in their order, computed together as far as that is wise. One that
/// fails by itself gives an error in its place.
pub(crate) fn complete(
    model: &Arc<dyn CausalLm>,
    sequences: impl IntoIterator<Item = Result<Sequence>>,
) -> Result<Vec<Result<Generated>>> {
    let mut sequences = sequences.into_iter();
    let mut answers = Vec::new();
    loop {
        let together = sequences.by_ref().take(MOST_ROWS).collect::<Result<Vec<_>>>()?;
        if together.is_empty() {
            return Ok(answers);
        }
        let mut stepper = Stepper::new(model.clone(), model.new_cache(), together)?;
        if !answers.is_empty() {
            // What comes after the time is over is not begun.
            stepper.end(Sequence::interruption);
        }
        let mut errors = BTreeMap::new();
        let sequences = stepper.run(|event| {
            if let Event::Failed { sequence, error } = event {
                errors.insert(sequence, error);
            }
        })?;
        answers.extend(sequences.into_iter().enumerate().map(|(place, sequence)| {
            let error = || errors.remove(&place).unwrap_or(Error::Interrupted);
            let finish_reason = sequence.finish_reason().ok_or_else(error)?;
            let timings = sequence.timings();
            Ok(Generated { tokens: sequence.answer, finish_reason, timings })
        }));
    }
}

/// The most rows of one forward pass, however many answers are asked for.
const MOST_ROWS: usize = 256;
