//! The options of one call, with what the model's files say where the call says nothing.

use crate::error::{Error, Result};
use crate::generation::{GenerationConfig, LogitsProcessor, Plan, StoppingCriterion};
use crate::models::ModelLimits;
use crate::speech::whisper::config::WhisperConfig;
use crate::speech::whisper::options::{PromptCondition, WhisperOptions};
use crate::speech::whisper::timestamps::TimestampRules;
use crate::tokenizer::Tokenizer;

/// The options of one call, with what the model's files say where the call says nothing.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    generation: GenerationConfig,
    pub(super) temperatures: Vec<f64>,
    pub(super) compression_ratio_threshold: Option<f64>,
    pub(super) logprob_threshold: Option<f64>,
    pub(super) no_speech_threshold: Option<f64>,
    /// Whether windows follow what was said before them.
    pub(super) conditions: bool,
    /// Whether the first window follows a prompt as later ones follow what was said.
    pub(super) conditions_first: bool,
    pub(super) prompt: Option<Prompt>,
    pub(super) prev_sot: Option<u32>,
    pub(super) token_times: bool,
    pub(super) trims_words: bool,
    pub(super) batch_size: usize,
    pub(super) seed: u64,
    no_timestamps: Option<u32>,
    max_initial_timestamp_index: Option<usize>,
    processors: Vec<Box<dyn LogitsProcessor>>,
    criteria: Vec<Box<dyn StoppingCriterion>>,
}

/// A text that is said to precede.
#[derive(Debug, Clone)]
pub(super) struct Prompt {
    pub(super) ids: Vec<u32>,
    pub(super) condition: PromptCondition,
}

impl Settings {
    pub(super) fn new(config: &WhisperConfig, options: &WhisperOptions) -> Result<Self> {
        options.check()?;
        let generation = config.generation.clone().overlaid(&options.generation);
        let conditions =
            options.condition_on_prev_tokens.or(config.condition_on_prev_tokens).unwrap_or(false);
        let condition = options.prompt_condition_type.unwrap_or(PromptCondition::FirstSegment);
        if condition == PromptCondition::AllSegments && !conditions {
            let reason = "`all-segments` needs `condition_on_prev_tokens`";
            return Err(Error::option("prompt_condition_type", reason));
        }
        let prev_sot = config.prev_sot(&generation);
        let ids = options.prompt_ids.clone();
        let prompt = ids.map(|ids| Prompt { ids, condition });
        if prompt.as_ref().is_some_and(|prompt| prompt.ids.is_empty()) {
            return Err(Error::option("prompt_ids", "is empty: leave it out"));
        }
        let token_times = options.return_token_timestamps.unwrap_or(false);
        if token_times && config.alignment_heads.as_ref().is_none_or(Vec::is_empty) {
            return Err(Error::option(
                "return_token_timestamps",
                "tokens and words have no times with this model: its generation config has no \
                 `alignment_heads`, which say whose attention follows the recording",
            ));
        }
        let no_speech_threshold = options.no_speech_threshold.or(config.no_speech_threshold);
        if no_speech_threshold.is_some() && config.no_timestamps_token_id.is_none() {
            let reason = "the model's generation config has no `no_timestamps_token_id`, before which the \
                          token of silence is";
            return Err(Error::option("no_speech_threshold", reason));
        }
        Ok(Self {
            temperatures: options.temperature.clone().unwrap_or_else(|| vec![0.0]),
            compression_ratio_threshold: options
                .compression_ratio_threshold
                .or(config.compression_ratio_threshold),
            logprob_threshold: options.logprob_threshold.or(config.logprob_threshold),
            no_speech_threshold,
            conditions,
            conditions_first: options.condition_on_prev_tokens.unwrap_or(false),
            prompt,
            prev_sot,
            token_times,
            trims_words: options.trim_words.unwrap_or(false),
            batch_size: options.batch_size.unwrap_or(DEFAULT_BATCH),
            seed: generation.seed.unwrap_or_else(rand::random),
            no_timestamps: config.no_timestamps_token_id,
            max_initial_timestamp_index: config.max_initial_timestamp_index,
            processors: options.logits_processor.clone(),
            criteria: options.stopping_criteria.clone(),
            generation,
        })
    }

    /// How a window is written at a temperature, after a prompt.
    pub(super) fn plan(
        &self,
        prompt: &[u32],
        timestamps: bool,
        temperature: f64,
        limits: ModelLimits,
        tokenizer: &Tokenizer,
    ) -> Result<Plan> {
        let new = self.generation.max_new_tokens.unwrap_or(0);
        if prompt.len().saturating_add(new) > limits.context {
            let reason = format!(
                "{new} new tokens after {} of the prompt are more than the {} that the model writes",
                prompt.len(),
                limits.context
            );
            return Err(Error::option("max_new_tokens", reason));
        }
        let mut generation = self.generation.clone();
        let draws = temperature > 0.0;
        generation.do_sample = Some(draws);
        generation.temperature = draws.then_some(temperature);
        if draws {
            generation.num_beams = None;
        }
        let mut plan = generation.plan(prompt, limits, Some(tokenizer))?;
        if let Some(id) = self.no_timestamps.filter(|_| timestamps) {
            let eos = self.eos().first().copied().or(self.generation.bos_token_id).unwrap_or(id);
            let rules =
                TimestampRules::new(prompt.len(), id, eos, self.max_initial_timestamp_index);
            plan = plan.with_processor(Box::new(rules));
        }
        for processor in &self.processors {
            plan = plan.with_processor(processor.clone());
        }
        for criterion in &self.criteria {
            plan = plan.with_stopping_criterion(criterion.clone());
        }
        Ok(plan)
    }

    /// The prompt that what is said follows, as a part of its own, where it goes on like that.
    pub(super) fn said_before(&self, prev_sot_token_id: Option<u32>) -> Vec<Vec<u32>> {
        let prompt = self.prompt.as_ref();
        let prompt = prompt.filter(|prompt| prompt.condition == PromptCondition::FirstSegment);
        let without_start = |prompt: &Prompt| match prompt.ids.split_first() {
            Some((first, rest)) if Some(*first) == prev_sot_token_id => rest.to_vec(),
            _ => prompt.ids.clone(),
        };
        prompt.map(without_start).into_iter().collect()
    }

    /// What a window begins with that follows what was said: as much of its end as half of the decoder holds.
    pub(super) fn after(&self, said: &[Vec<u32>], context: usize) -> Vec<u32> {
        let begin = match &self.prompt {
            Some(prompt) if prompt.condition == PromptCondition::AllSegments => prompt.ids.clone(),
            _ => self.prev_sot.into_iter().collect(),
        };
        let is_timestamp = |id: u32| self.no_timestamps.is_some_and(|none| id > none);
        let said = said.iter().flat_map(|ids| match ids.as_slice() {
            // Of two timestamps at the end, the first.
            [_, .., before, _] if is_timestamp(*before) => &ids[..ids.len() - 1],
            all => all,
        });
        let said: Vec<u32> = said.copied().collect();
        let most = (context / 2).saturating_sub(1);
        [&begin, &said[said.len().saturating_sub(most)..]].concat()
    }

    /// The ids that end a window.
    pub(super) fn eos(&self) -> &[u32] {
        self.generation.eos_token_id.as_deref().unwrap_or_default()
    }

    /// The token that says that nobody speaks.
    pub(super) fn no_speech(&self) -> Option<u32> {
        self.no_timestamps.and_then(|id| id.checked_sub(1))
    }
}

/// Recordings that are read together unless the call says otherwise.
const DEFAULT_BATCH: usize = 8;
