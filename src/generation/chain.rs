//! From options to processors, sampler and stop rules.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::generation::config::GenerationConfig;
use crate::generation::draft::{DraftOptions, PromptLookup};
use crate::generation::mode::Contrastive;
use crate::generation::plan::Plan;
use crate::generation::processors::{
    Dry, DynamicTemperature, EpsilonCutoff, EtaCutoff, ExponentialDecay, ForcedTokens,
    FrequencyPresencePenalty, Guidance, LogitsProcessor, MinLength, MinP, NoRepeatNgram,
    RemoveInvalid, Renormalize, RepetitionPenalty, SequenceBias, Suppress, Temperature, TopH, TopK,
    TopNSigma, TopP, Typical, Xtc,
};
use crate::generation::sampler::{Greedy, Mirostat, Multinomial, Sampler};
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
        let eos = self.eos();
        let length = self.length(prompt, limits)?;
        self.check_return_sequences()?;
        let beams = self.beams(limits)?;
        if beams.is_some() && self.samples() && self.mirostat.unwrap_or(0) != 0 {
            return Err(Error::option("mirostat", "does not go with `num_beams`"));
        }
        // Enough for beams to go on where all ends are likely.
        let least = if beams.is_some() { eos.len() + 1 } else { 1 };
        let seed = self.seed.unwrap_or_else(rand::random);
        Ok(Plan {
            processors: self.processors(prompt, source, limits, length, &eos, tokenizer)?,
            filters: self.filters(prompt, limits, least, seed)?,
            sampler: self.sampler(seed)?,
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
            early_exit: self.early_exit()?,
            mode: self.mode(),
            // As in transformers, beams are searched without contrasts.
            dola: self.dola_layers.clone().filter(|_| beams.is_none()),
            beams,
            contrastive: self.contrastive()?,
            outputs: self.outputs(),
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

    fn sampler(&self, seed: u64) -> Result<Box<dyn Sampler>> {
        if !self.samples() {
            return Ok(Box::new(Greedy));
        }
        Ok(match self.mirostat.unwrap_or(0) {
            0 => Box::new(Multinomial::seeded(seed)),
            2 => {
                let tau = self.mirostat_tau.unwrap_or(DEFAULT_TAU);
                let eta = self.mirostat_eta.unwrap_or(DEFAULT_ETA);
                Box::new(Mirostat::new(tau, eta, seed)?)
            }
            version => {
                let reason = format!("is {version}, but must be 2, or 0 for none");
                return Err(Error::option("mirostat", reason));
            }
        })
    }

    /// The end-of-sequence ids without repetitions.
    fn eos(&self) -> Vec<u32> {
        let mut eos = self.eos_token_id.clone().unwrap_or_default();
        eos.sort_unstable();
        eos.dedup();
        eos
    }

    /// The negative prompt, where it has an effect.
    fn guiding_prompt(&self) -> Option<&[u32]> {
        let ids = self.negative_prompt_ids.as_deref()?;
        self.guidance_scale.filter(|&scale| scale != 1.0).map(|_| ids)
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
        // The answer follows the negative prompt, too.
        let surplus = self.guiding_prompt().map_or(0, |ids| ids.len().saturating_sub(prompt.len()));
        let context = limits.context.saturating_sub(surplus);
        // A prompt that fills the context leaves room for the one token that is never read.
        Ok(length.min(context.max(prompt.len() + 1)))
    }

    /// Contrastive search, where `penalty_alpha` asks for it.
    pub(super) fn contrastive(&self) -> Result<Option<Contrastive>> {
        let alpha = self.penalty_alpha.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&alpha) {
            return Err(Error::option(
                "penalty_alpha",
                format!("is {alpha}, but must be in [0, 1]"),
            ));
        }
        let candidates = usize::try_from(self.top_k.unwrap_or(DEFAULT_TOP_K)).unwrap_or(0);
        if alpha == 0.0 || candidates < 2 {
            return Ok(None);
        }
        let conflict = [
            (self.samples(), "do_sample"),
            (self.dola_layers.is_some(), "dola_layers"),
            (self.prompt_lookup_num_tokens.is_some(), "prompt_lookup_num_tokens"),
            (self.assistant_early_exit.is_some(), "assistant_early_exit"),
            (self.mode().has_beams(), "num_beams"),
        ];
        if let Some((_, option)) = conflict.iter().find(|(is_set, _)| *is_set) {
            return Err(Error::option("penalty_alpha", format!("does not go with `{option}`")));
        }
        if candidates > MOST_CANDIDATES {
            let reason =
                format!("is {candidates}; with `penalty_alpha` {MOST_CANDIDATES} is the limit");
            return Err(Error::option("top_k", reason));
        }
        Ok(Some(Contrastive { penalty_alpha: alpha, candidates }))
    }

    /// The most tokens of a draft that is looked up, and of the n-gram that is looked for.
    fn lookup(&self) -> Result<Option<(usize, usize)>> {
        let Some(tokens) = self.prompt_lookup_num_tokens else { return Ok(None) };
        let ngram = self.max_matching_ngram_size.unwrap_or(DEFAULT_NGRAM);
        PromptLookup::new(tokens, ngram)?;
        Ok(Some((tokens, ngram)))
    }

    /// How many of the model's first layers draft.
    fn early_exit(&self) -> Result<Option<(usize, DraftOptions)>> {
        let early = |layers| match layers {
            0 => Err(Error::option("assistant_early_exit", "must be at least 1")),
            layers => Ok((layers, DraftOptions::of(self)?)),
        };
        self.assistant_early_exit.map(early).transpose()
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
        tokenizer: Option<&Tokenizer>,
    ) -> Result<Vec<Box<dyn LogitsProcessor>>> {
        let mut list = Vec::<Box<dyn LogitsProcessor>>::new();
        let negative_prompt = self.negative_prompt_ids.as_deref();
        check_sequences("negative_prompt_ids", self.negative_prompt_ids.as_ref(), limits)?;
        if let Some(ids) = self.guiding_prompt().filter(|ids| ids.len() > limits.context) {
            let (tokens, limit) = (ids.len(), limits.context);
            let reason = format!("{tokens} tokens do not fit the model's context of {limit}");
            return Err(Error::option("negative_prompt_ids", reason));
        }
        match self.guidance_scale {
            None if negative_prompt.is_some() => {
                let reason = "has no effect without `guidance_scale`";
                return Err(Error::option("negative_prompt_ids", reason));
            }
            None | Some(1.0) => {}
            Some(scale) => list.push(Box::new(Guidance::unbound(scale, negative_prompt)?)),
        }
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
        let frequency = self.frequency_penalty.unwrap_or(0.0);
        let presence = self.presence_penalty.unwrap_or(0.0);
        if frequency != 0.0 || presence != 0.0 {
            let penalty = FrequencyPresencePenalty::new(frequency, presence, prompt.len())?;
            list.push(Box::new(penalty));
        }
        if let Some(multiplier) = self.dry_multiplier.filter(|&it| it != 0.0) {
            list.push(Box::new(self.dry(multiplier, tokenizer)?));
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

    fn dry(&self, multiplier: f64, tokenizer: Option<&Tokenizer>) -> Result<Dry> {
        let base = self.dry_base.unwrap_or(DEFAULT_DRY_BASE);
        let dry = Dry::new(multiplier, base, self.dry_allowed_length.unwrap_or(2))?;
        let dry = match self.dry_penalty_last_n {
            None => dry,
            Some(-1) => dry.penalty_last_n(usize::MAX),
            Some(last) => dry.penalty_last_n(usize::try_from(last).map_err(|_| {
                let reason = format!("is {last}, but must be at least 0, or -1 for all tokens");
                Error::option("dry_penalty_last_n", reason)
            })?),
        };
        match (self.dry_sequence_breakers.as_deref(), tokenizer) {
            (Some([]), _) => Ok(dry),
            (Some(texts), Some(tokenizer)) => dry.with_sequence_breakers(texts, tokenizer),
            (None, Some(tokenizer)) => dry.with_sequence_breakers(&DEFAULT_BREAKERS, tokenizer),
            (_, None) => Err(Error::option(
                "dry_sequence_breakers",
                "they are found in text, which needs the tokenizer; an empty list does without",
            )),
        }
    }

    /// Everything after the caller's own processors, in the order of `_get_logits_processor`. At least
    /// `least` tokens are left.
    fn filters(
        &self,
        prompt: &[u32],
        limits: ModelLimits,
        least: usize,
        seed: u64,
    ) -> Result<Vec<Box<dyn LogitsProcessor>>> {
        let mut list = Vec::<Box<dyn LogitsProcessor>>::new();
        if self.samples() {
            let temperature = self.temperature.unwrap_or(1.0);
            if let Some(range) = self.dynatemp_range.filter(|&it| it != 0.0) {
                let exponent = self.dynatemp_exponent.unwrap_or(1.0);
                list.push(Box::new(DynamicTemperature::new(temperature, range, exponent)?));
            } else if temperature != 1.0 {
                list.push(Box::new(Temperature::new(temperature)?));
            }
        }
        // As in llama.cpp, Mirostat draws from the whole distribution.
        if self.samples() && self.mirostat.unwrap_or(0) == 0 {
            if let Some(n) = self.top_n_sigma.filter(|&it| it != 0.0 && it != -1.0) {
                list.push(Box::new(TopNSigma::new(n)?));
            }
            if let Some(h) = self.top_h {
                list.push(Box::new(TopH::new(h)?));
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
            if let Some(probability) = self.xtc_probability.filter(|&it| it != 0.0) {
                let threshold = self.xtc_threshold.unwrap_or(DEFAULT_XTC_THRESHOLD);
                let xtc = Xtc::new(probability, threshold, seed)?;
                list.push(Box::new(xtc.min_tokens_to_keep(least)));
            }
        }
        if let Some(watermarking) = &self.watermarking_config {
            list.push(watermarking.processor(limits.vocab, prompt.len())?);
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

/// Candidates of contrastive search, which are rows of one forward pass.
const MOST_CANDIDATES: usize = 256;

/// Transformers' default `max_matching_ngram_size`.
const DEFAULT_NGRAM: usize = 2;

/// Answers to one prompt.
const MOST_ANSWERS: usize = 1024;

/// Transformers' default `top_k` when sampling.
const DEFAULT_TOP_K: i64 = 50;

// Those of llama.cpp.
const DEFAULT_TAU: f64 = 5.0;
const DEFAULT_ETA: f64 = 0.1;
const DEFAULT_DRY_BASE: f64 = 1.75;
const DEFAULT_BREAKERS: [&str; 4] = ["\n", ":", "\"", "*"];
const DEFAULT_XTC_THRESHOLD: f64 = 0.1;
