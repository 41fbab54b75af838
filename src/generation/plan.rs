//! How one prompt is continued.

use std::time::Instant;

use crate::error::Result;
use crate::generation::processors::LogitsProcessor;
use crate::generation::sampler::{Sampler, Token, top_logprobs};
use crate::generation::softmax::Softmax;
use crate::generation::stop::{FinishReason, StopRules, StopStrings, StoppingCriterion};

/// How one prompt is continued: the logits processors in transformers' order, the sampler and the
/// stop rules. Made by [`GenerationConfig::plan`](super::GenerationConfig::plan); a plan serves one
/// answer. A clone goes on from the same state with the same random numbers.
#[derive(Debug, Clone)]
pub struct Plan {
    /// From the options, then the caller's own.
    pub(super) processors: Vec<Box<dyn LogitsProcessor>>,
    /// Temperature, top-k, top-p and what else narrows the distribution for sampling: run last.
    pub(super) filters: Vec<Box<dyn LogitsProcessor>>,
    pub(super) sampler: Sampler,
    pub(super) stop: StopRules,
    pub(super) top_logprobs: usize,
}

impl Plan {
    /// Adds a processor of your own: after those of the options so far, but before temperature and
    /// the filters of sampling, where transformers puts its `logits_processor` argument.
    #[must_use]
    pub fn with_processor(mut self, processor: Box<dyn LogitsProcessor>) -> Self {
        self.processors.push(processor);
        self
    }

    /// Adds a stopping criterion of your own: transformers' `stopping_criteria` argument.
    #[must_use]
    pub fn with_stopping_criterion(mut self, criterion: Box<dyn StoppingCriterion>) -> Self {
        self.stop.criteria.push(criterion);
        self
    }

    /// Draws with another seed, where it samples: for several answers to one prompt.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        if let Sampler::Multinomial(_) = self.sampler {
            self.sampler = Sampler::multinomial(seed);
        }
        self
    }

    /// Counts `max_time` from `start` instead of the making of the plan: for answers that belong to one
    /// call.
    #[must_use]
    pub fn counting_from(mut self, start: Instant) -> Self {
        self.stop.start = start;
        self
    }

    /// Applies all processors to `logits`, one for each item of the vocabulary. `tokens` is the
    /// prompt and everything generated so far.
    ///
    /// # Errors
    ///
    /// What a processor returns.
    pub fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let mut chain = self.processors.iter_mut().chain(&mut self.filters);
        chain.try_for_each(|processor| processor.process(tokens, logits))
    }

    /// Applies all processors to `logits` and chooses the next token. `tokens` is the prompt and
    /// everything generated so far.
    ///
    /// # Errors
    ///
    /// When the processed logits hold NaN or `+inf`, or are all `-inf`, and what a processor returns.
    pub fn next(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<Token> {
        let unchanged = self.processors.is_empty() && self.filters.is_empty();
        let own = (!unchanged).then(|| logits.to_vec());
        self.process(tokens, logits)?;
        let (index, softmax) = self.sampler.pick(logits)?;
        let (own, own_softmax) = match &own {
            Some(own) => (own.as_slice(), Softmax::of(own)),
            None => (&*logits, softmax),
        };
        Ok(Token {
            id: index as u32,
            logprob: softmax.log_probability(logits[index]),
            model_logprob: own_softmax.log_probability(own[index]),
            top_logprobs: top_logprobs(own, own_softmax, self.top_logprobs),
        })
    }

    /// Whether the last of `tokens` (prompt and answer) ends the answer, and why. Call it after
    /// each new token.
    ///
    /// # Errors
    ///
    /// When there are stop strings and the tokenizer cannot decode the token, and what a stopping
    /// criterion returns.
    pub fn finished(&mut self, tokens: &[u32]) -> Result<Option<FinishReason>> {
        self.stop.check(tokens)
    }

    /// The strings that end the answer.
    #[must_use]
    pub fn stop_strings(&self) -> &[String] {
        self.stop.strings.as_ref().map_or(&[], StopStrings::strings)
    }

    /// How many tokens to reserve in a cache: prompt and answer, up to a limit, because long
    /// answers usually end earlier.
    pub(super) fn slots(&self) -> usize {
        self.stop.length.min(self.stop.prompt + MOST_RESERVED)
    }

    /// Whether `max_time` is over.
    pub(super) fn is_late(&self) -> bool {
        self.stop.is_late()
    }

    /// The number of tokens in the prompt the plan was made for.
    pub(super) fn prompt_tokens(&self) -> usize {
        self.stop.prompt
    }
}

/// New tokens for which memory is reserved.
const MOST_RESERVED: usize = 512;
