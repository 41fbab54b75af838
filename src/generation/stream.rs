//! Tokens, one at a time.

use std::collections::VecDeque;
use std::iter::FusedIterator;
use std::mem;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::generation::cancel::CancelHandle;
use crate::generation::config::GenerationConfig;
use crate::generation::draft::Drafting;
use crate::generation::healing::healed;
use crate::generation::processors::LogitsProcessor;
use crate::generation::sampler::Token;
use crate::generation::sequence::Sequence;
use crate::generation::stepper::{Event, Stepper};
use crate::generation::stop::FinishReason;
use crate::generation::timings::Timings;
use crate::models::{Autoregressive, CausalLm};
use crate::nn::cache::KvCache;

/// Continues `prompt`, one token for each step of the iterator.
///
/// # Errors
///
/// What [`GenerationConfig::plan`] refuses; `stop_strings`, which need a tokenizer and so
/// [`generate_text`](super::generate_text); several `num_return_sequences`, which need
/// [`generate_batch`](super::generate_batch).
pub fn generate(
    model: &Arc<dyn CausalLm>,
    prompt: &[u32],
    config: &GenerationConfig,
) -> Result<TokenStream> {
    generate_from(model, model.new_cache(), &[], prompt, config)
}

/// As [`generate`], but reuses what `cache` already holds: the longest common beginning of `prompt`
/// and `cached`, the tokens in `cache`, unless its keys would be different now
/// ([`Autoregressive::reusable`]). The rest of the cache is dropped. [`TokenStream::into_parts`] of
/// the previous turn returns both.
///
/// # Errors
///
/// As [`generate`], and when `cached` has fewer tokens than the cache.
pub fn generate_from(
    model: &Arc<dyn CausalLm>,
    mut cache: KvCache,
    cached: &[u32],
    prompt: &[u32],
    config: &GenerationConfig,
) -> Result<TokenStream> {
    refuse_several(config)?;
    healed(model, None, prompt, config)?;
    config.warn_of_what_has_no_effect();
    let mut sequence = Sequence::new(prompt, config.plan(prompt, model.limits(), None)?)?;
    sequence.reuse(&**model, &mut cache, cached)?;
    TokenStream::new(model.clone(), cache, sequence)
}

/// The tokens of an answer, computed as they are asked for: a [`Stepper`] with one sequence. An error
/// ends it.
///
/// The stream owns what it needs, so it can be stored, returned and sent to another thread.
#[derive(Debug)]
pub struct TokenStream {
    stepper: Stepper,
    /// What the last step has brought and nobody has asked for yet.
    ahead: VecDeque<Result<Token>>,
}

impl TokenStream {
    /// Computes `sequence`. `cache` is new, or holds what is computed of it already
    /// ([`Sequence::reuse`]).
    ///
    /// # Errors
    ///
    /// When the cache holds other rows than the sequence says.
    pub fn new(model: Arc<dyn Autoregressive>, cache: KvCache, sequence: Sequence) -> Result<Self> {
        let stepper = Stepper::new(model, cache, vec![sequence])?;
        Ok(Self { stepper, ahead: VecDeque::new() })
    }

    /// Adds a processor of your own; see [`Plan::with_processor`](super::Plan::with_processor).
    #[must_use]
    pub fn with_processor(mut self, processor: Box<dyn LogitsProcessor>) -> Self {
        self.sequence_mut().plan.processors.push(processor);
        self
    }

    /// Drafts tokens, so that one pass can confirm several; see [`Sequence::with_drafter`]. The tokens
    /// stay the same and still come one by one.
    #[must_use]
    pub fn with_drafter(mut self, drafter: impl Into<Drafting>) -> Self {
        self.sequence_mut().drafting = Some(drafter.into());
        self
    }

    /// Uses `handle` instead of a handle of its own: for a handle that must exist before the
    /// stream.
    #[must_use]
    pub fn with_cancel_handle(mut self, handle: CancelHandle) -> Self {
        self.sequence_mut().cancel = handle;
        self
    }

    /// The answer in the making. With a drafter it may be some tokens ahead of the stream.
    #[must_use]
    pub fn sequence(&self) -> &Sequence {
        &self.stepper.sequences()[0]
    }

    /// The prompt and everything generated so far.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        let tokens = self.sequence().tokens();
        &tokens[..tokens.len() - self.tokens_ahead()]
    }

    /// What has been generated so far.
    #[must_use]
    pub fn generated(&self) -> &[u32] {
        let generated = self.sequence().generated();
        &generated[..generated.len() - self.tokens_ahead()]
    }

    /// Why the answer has ended; `None` while it is running, and after an error.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.sequence().finish_reason().filter(|_| self.ahead.is_empty())
    }

    /// How long the answer has taken so far.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.sequence().timings()
    }

    /// A handle that cancels the answer from any thread.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.sequence().cancel_handle()
    }

    /// The cache and the prompt with everything generated so far, to go on with [`generate_from`].
    #[must_use]
    pub fn into_parts(mut self) -> (KvCache, Vec<u32>) {
        self.forget_ahead();
        self.stepper.keep_row_of(0);
        let tokens = self.tokens().to_vec();
        (self.stepper.cache, tokens)
    }

    /// Ends the stream and takes its cache, in whose place another is left.
    pub(crate) fn replace_cache(&mut self, empty: KvCache) -> KvCache {
        self.end();
        self.stepper.keep_row_of(0);
        mem::replace(&mut self.stepper.cache, empty)
    }

    /// Ends the stream as an error does.
    pub(super) fn end(&mut self) {
        self.forget_ahead();
        self.sequence_mut().failed = true;
    }

    fn sequence_mut(&mut self) -> &mut Sequence {
        &mut self.stepper.sequences[0]
    }

    fn tokens_ahead(&self) -> usize {
        self.ahead.iter().filter(|token| token.is_ok()).count()
    }

    /// Takes back what nobody has asked for.
    fn forget_ahead(&mut self) {
        if !self.ahead.is_empty() {
            self.stepper.take_back(0, self.tokens_ahead());
            self.ahead.clear();
        }
    }
}

impl Iterator for TokenStream {
    type Item = Result<Token>;

    fn next(&mut self) -> Option<Result<Token>> {
        if !self.ahead.is_empty() && self.sequence().cancel.is_cancelled() {
            self.forget_ahead();
        }
        if self.ahead.is_empty() {
            match self.stepper.step() {
                Ok(events) => {
                    self.ahead.extend(events.into_iter().filter_map(|event| match event {
                        Event::Token { token, .. } => Some(Ok(token)),
                        Event::Failed { error, .. } => Some(Err(error)),
                        Event::Finished { .. } => None,
                    }))
                }
                Err(error) => {
                    self.end();
                    return Some(Err(error));
                }
            }
        }
        self.ahead.pop_front()
    }
}

impl FusedIterator for TokenStream {}

/// An error when one stream is asked for several answers, or for beams.
pub(super) fn refuse_several(config: &GenerationConfig) -> Result<()> {
    if config.mode().has_beams() {
        let reason = "beams cannot be streamed, as the best answer is known at the end only; use `generate_batch`, or set it to 1";
        return Err(Error::option("num_beams", reason));
    }
    if config.contrastive()?.is_some() {
        let reason = "contrastive search computes several rows for an answer; use `generate_batch`";
        return Err(Error::option("penalty_alpha", reason));
    }
    match config.sequences() {
        0 | 1 => Ok(()),
        count => Err(Error::option(
            "num_return_sequences",
            format!("{count} answers do not fit one stream; use `generate_batch`"),
        )),
    }
}
