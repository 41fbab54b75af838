//! From options to processors, sampler and stop rules.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::generation::config::GenerationConfig;
use crate::generation::draft::PromptLookup;
use crate::generation::plan::Plan;
use crate::generation::processors::{
    EpsilonCutoff, EtaCutoff, ExponentialDecay, ForcedTokens, LogitsProcessor, MinLength, MinP,
    NoRepeatNgram, RemoveInvalid, Renormalize, RepetitionPenalty, SequenceBias, Suppress,
    Temperature, TopK, TopP, Typical,
};
use crate::generation::sampler::{Greedy, Multinomial, Sampler};
use crate::generation::stop::{StopRules, StopStrings, refuse_empty};
use crate::models::ModelLimits;
use crate::tokenizer::Tokenizer;

impl GenerationConfig {
    /// Fills in transformers' defaults and rejects invalid values. Nothing else does either.
    /// `prompt` is what will be continued; `tokenizer` is needed for `stop_strings` only.
    ///
    /// Without `max_new_tokens` and `max_length`, 20 tokens are generated. The model's context ends
    /// every answer. Without sampling, the options of sampling are not checked.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] for an option out of range, in conflict with another or not
    /// supported, or [`Error::Malformed`] if the option comes from a file; [`Error::InvalidInput`]
    /// for a prompt that is empty or holds an id outside the vocabulary; [`Error::ContextOverflow`]
    /// for a prompt longer than the model's context.
    pub fn plan(
        &self,
        prompt: &[u32],
        limits: ModelLimits,
        tokenizer: Option<&Tokenizer>,
    ) -> Result<Plan> {
        self.plan_with_source(prompt, prompt, limits, tokenizer)
    }

    /// As [`plan`](Self::plan), for the decoder of an encoder-decoder: `prompt` is what the decoder begins
    /// with, and `source` are the ids that the encoder has read, which `encoder_repetition_penalty` and
    /// `encoder_no_repeat_ngram_size` are about.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn plan_with_source(
        &self,
        prompt: &[u32],
        source: &[u32],
        limits: ModelLimits,
        tokenizer: Option<&Tokenizer>,
    ) -> Result<Plan> {
        check_prompt(prompt, limits)?;
        self.checked(prompt, source, limits, tokenizer).map_err(|error| self.blame(error))
    }

    fn checked(
        &self,
        prompt: &[u32],
        source: &[u32],
        limits: ModelLimits,
        tokenizer: Option<&Tokenizer>,
    ) -> Result<Plan> {
        self.refuse_unsupported()?;
        let eos = self.eos();
        let length = self.length(prompt, limits)?;
        self.check_return_sequences()?;
        let beams = self.beams(limits)?;
        // Enough for beams to go on where all ends are likely.
        let least = if beams.is_some() { eos.len() + 1 } else { 1 };
        Ok(Plan {
            processors: self.processors(prompt, source, limits, length, &eos)?,
            filters: self.filters(least)?,
            sampler: self.sampler(),
            stop: StopRules {
                prompt: prompt.len(),
                length,
                eos,
                strings: self.stop_rules(prompt, tokenizer)?,
                criteria: Vec::new(),
                start: Instant::now(),
                time: self.time()?,
            },
            top_logprobs: self.top_logprobs.unwrap_or(0),
            lookup: self.lookup()?,
            mode: self.mode(),
            beams,
        })
    }

    /// Answers per prompt.
    pub(super) fn sequences(&self) -> usize {
        self.num_return_sequences.unwrap_or(1)
    }

    /// Sequences per prompt, each of which becomes an answer; with beams one, which becomes all.
    pub(crate) fn sequences_per_prompt(&self) -> usize {
        if self.mode().has_beams() { 1 } else { self.sequences().max(1) }
    }

    fn samples(&self) -> bool {
        self.do_sample.unwrap_or(false)
    }

    fn sampler(&self) -> Box<dyn Sampler> {
        match self.samples() {
            true => Box::new(Multinomial::seeded(self.seed.unwrap_or_else(rand::random))),
            false => Box::new(Greedy),
        }
    }

    /// The end-of-sequence ids without repetitions.
    fn eos(&self) -> Vec<u32> {
        let mut eos = self.eos_token_id.clone().unwrap_or_default();
        eos.sort_unstable();
        eos.dedup();
        eos
    }

    /// The most tokens, prompt included.
    fn length(&self, prompt: &[u32], limits: ModelLimits) -> Result<usize> {
        let length = match (self.max_new_tokens, self.max_length) {
            (Some(0), _) => return Err(Error::option("max_new_tokens", "must be greater than 0")),
            (Some(new), _) => prompt.len().saturating_add(new),
            (None, None) => prompt.len() + DEFAULT_NEW_TOKENS,
            (None, Some(length)) if length <= prompt.len() => {
                let reason = format!(
                    "the prompt alone has {} tokens, but no more than {length} are allowed; \
                     increase it or set `max_new_tokens`",
                    prompt.len()
                );
                return Err(Error::option("max_length", reason));
            }
            (None, Some(length)) => length,
        };
        // A prompt that fills the context leaves room for the one token that is never read.
        Ok(length.min(limits.context.max(prompt.len() + 1)))
    }

    /// The most tokens of a draft that is looked up, and of the n-gram that is looked for.
    fn lookup(&self) -> Result<Option<(usize, usize)>> {
        let Some(tokens) = self.prompt_lookup_num_tokens else { return Ok(None) };
        let ngram = self.max_matching_ngram_size.unwrap_or(DEFAULT_NGRAM);
        PromptLookup::new(tokens, ngram)?;
        Ok(Some((tokens, ngram)))
    }

    fn check_return_sequences(&self) -> Result<()> {
        match self.sequences() {
            1 => Ok(()),
            0 => Err(Error::option("num_return_sequences", "must be at least 1")),
            count if count > MOST_ANSWERS => Err(Error::option(
                "num_return_sequences",
                format!("is {count}; {MOST_ANSWERS} is the limit: ask again for more"),
            )),
            _ if self.samples() || self.mode().has_beams() => Ok(()),
            count => Err(Error::option(
                "num_return_sequences",
                format!("{count} answers would all be the same without `do_sample` or `num_beams`"),
            )),
        }
    }

    fn time(&self) -> Result<Option<Duration>> {
        let seconds = |seconds| {
            Duration::try_from_secs_f64(seconds).map_err(|error| {
                Error::option("max_time", format!("{seconds} is not a number of seconds: {error}"))
            })
        };
        self.max_time.filter(|&it| it != f64::INFINITY).map(seconds).transpose()
    }

    fn stop_rules(
        &self,
        prompt: &[u32],
        tokenizer: Option<&Tokenizer>,
    ) -> Result<Option<StopStrings>> {
        let strings = self.stop_strings.as_deref().unwrap_or_default();
        if strings.is_empty() {
            return Ok(None);
        }
        refuse_empty(strings)?;
        let tokenizer = tokenizer.ok_or_else(|| {
            Error::option("stop_strings", "they are found in text, which needs the tokenizer")
        })?;
        StopStrings::new(strings, tokenizer, prompt).map(Some)
    }

    /// Everything up to the caller's own processors, in the order of `_get_logits_processor`.
    fn processors(
        &self,
        prompt: &[u32],
        source: &[u32],
        limits: ModelLimits,
        length: usize,
        eos: &[u32],
    ) -> Result<Vec<Box<dyn LogitsProcessor>>> {
        let mut list = Vec::<Box<dyn LogitsProcessor>>::new();
        if let Some(biases) = non_empty(&self.sequence_bias) {
            check_sequences("sequence_bias", biases.iter().map(|(sequence, _)| sequence), limits)?;
            list.push(Box::new(SequenceBias::new(biases.iter().cloned())?));
        }
        if let Some(bonus) = self.encoder_repetition_penalty.filter(|&it| it != 1.0) {
            list.push(Box::new(RepetitionPenalty::favouring(source, bonus)?));
        }
        if let Some(penalty) = self.repetition_penalty.filter(|&it| it != 1.0) {
            list.push(Box::new(RepetitionPenalty::new(penalty)?));
        }
        if let Some(size) = self.no_repeat_ngram_size.filter(|&it| it > 0) {
            list.push(Box::new(NoRepeatNgram::new(size)?));
        }
        if let Some(size) = self.encoder_no_repeat_ngram_size.filter(|&it| it > 0) {
            list.push(Box::new(NoRepeatNgram::of_prompt(size, source)?));
        }
        if let Some(words) = non_empty(&self.bad_words_ids) {
            check_sequences("bad_words_ids", words, limits)?;
            list.push(Box::new(SequenceBias::bad_words(words.iter().cloned(), eos)?));
        }
        let shortest = match self.min_new_tokens {
            Some(new) => prompt.len().saturating_add(new),
            None => self.min_length.unwrap_or(0),
        };
        if shortest > 0 && !eos.is_empty() {
            list.push(Box::new(MinLength::new(shortest, eos)));
        }
        if let Some(bos) = self.forced_bos_token_id {
            check_sequences("forced_bos_token_id", [&vec![bos]], limits)?;
            list.push(Box::new(ForcedTokens::new(1, &[bos])));
        }
        if let Some(ids) = non_empty(&self.forced_eos_token_id) {
            check_sequences("forced_eos_token_id", [&ids.to_vec()], limits)?;
            list.push(Box::new(ForcedTokens::new(length - 1, ids)));
        }
        if self.remove_invalid_values.unwrap_or(false) {
            list.push(Box::new(RemoveInvalid));
        }
        if let Some((start, factor)) = self.exponential_decay_length_penalty {
            let start = prompt.len().saturating_add(start);
            list.push(Box::new(ExponentialDecay::new(start, factor, eos)?));
        }
        if let Some(ids) = non_empty(&self.suppress_tokens) {
            list.push(Box::new(Suppress::always(ids)));
        }
        if let Some(ids) = non_empty(&self.begin_suppress_tokens) {
            // A forced second token is not the first that is free.
            let forced = usize::from(prompt.len() == 1 && self.forced_bos_token_id.is_some());
            list.push(Box::new(Suppress::at(prompt.len() + forced, ids)));
        }
        Ok(list)
    }

    /// Everything after the caller's own processors, in the order of `_get_logits_processor`. At least
    /// `least` tokens are left.
    fn filters(&self, least: usize) -> Result<Vec<Box<dyn LogitsProcessor>>> {
        let mut list = Vec::<Box<dyn LogitsProcessor>>::new();
        if self.samples() {
            if let Some(temperature) = self.temperature.filter(|&it| it != 1.0) {
                list.push(Box::new(Temperature::new(temperature)?));
            }
            let k = self.top_k.unwrap_or(DEFAULT_TOP_K);
            let k = usize::try_from(k).map_err(|_| {
                Error::option(
                    "top_k",
                    format!("is {k}, but must be at least 1, or 0 for all tokens"),
                )
            })?;
            if k > 0 {
                list.push(Box::new(TopK::new(k)?.min_tokens_to_keep(least)));
            }
            if let Some(p) = self.top_p.filter(|&it| it != 1.0) {
                list.push(Box::new(TopP::new(p)?.min_tokens_to_keep(least)));
            }
            if let Some(p) = self.min_p.filter(|&it| it != 0.0) {
                list.push(Box::new(MinP::new(p)?.min_tokens_to_keep(least)));
            }
            if let Some(mass) = self.typical_p.filter(|&it| it != 1.0) {
                list.push(Box::new(Typical::new(mass)?.min_tokens_to_keep(least)));
            }
            if let Some(epsilon) = self.epsilon_cutoff.filter(|&it| it != 0.0) {
                list.push(Box::new(EpsilonCutoff::new(epsilon)?.min_tokens_to_keep(least)));
            }
            if let Some(epsilon) = self.eta_cutoff.filter(|&it| it != 0.0) {
                list.push(Box::new(EtaCutoff::new(epsilon)?.min_tokens_to_keep(least)));
            }
        }
        if self.renormalize_logits.unwrap_or(false) {
            list.push(Box::new(Renormalize));
        }
        Ok(list)
    }
}

fn check_prompt(prompt: &[u32], limits: ModelLimits) -> Result<()> {
    if prompt.is_empty() {
        return Err(Error::input("no tokens: the prompt is empty"));
    }
    if prompt.len() > limits.context {
        return Err(Error::ContextOverflow { tokens: prompt.len(), limit: limits.context });
    }
    match prompt.iter().position(|&id| id as usize >= limits.vocab) {
        None => Ok(()),
        Some(position) => Err(Error::input(format!(
            "id {} at position {position} of the prompt is outside the vocabulary of {}",
            prompt[position], limits.vocab
        ))),
    }
}

fn check_sequences<'a>(
    option: &str,
    sequences: impl IntoIterator<Item = &'a Vec<u32>>,
    limits: ModelLimits,
) -> Result<()> {
    match sequences.into_iter().flatten().find(|&&id| id as usize >= limits.vocab) {
        None => Ok(()),
        Some(id) => Err(Error::option(
            option,
            format!("id {id} is outside the vocabulary of {}", limits.vocab),
        )),
    }
}

fn non_empty<T>(list: &Option<Vec<T>>) -> Option<&[T]> {
    list.as_deref().filter(|list| !list.is_empty())
}

/// Transformers' default `max_length`, which counts new tokens when nothing else is set.
const DEFAULT_NEW_TOKENS: usize = 20;

/// Transformers' default `max_matching_ngram_size`.
const DEFAULT_NGRAM: usize = 2;

/// Answers to one prompt.
const MOST_ANSWERS: usize = 1024;

/// Transformers' default `top_k` when sampling.
const DEFAULT_TOP_K: i64 = 50;
