//! Tokens, one at a time.

use std::iter::FusedIterator;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use candle_core::Tensor;

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::generation::cancel::{CancelHandle, Interrupt};
use crate::generation::config::GenerationConfig;
use crate::generation::plan::Plan;
use crate::generation::processors::LogitsProcessor;
use crate::generation::sampler::Token;
use crate::generation::stop::FinishReason;
use crate::generation::timings::Timings;
use crate::models::{CausalLm, LogitsAt};
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

/// Like [`generate`], but does not compute again what `cache` holds already: the longest beginning
/// that `cached`, the tokens in `cache`, and `prompt` have in common, unless its keys would be
/// others now ([`Autoregressive::reusable`](crate::models::Autoregressive::reusable)). The rest of the
/// cache is dropped. Both come from [`TokenStream::into_parts`] of the turn before.
///
/// # Errors
///
/// As [`generate`], and when `cached` has fewer tokens than the cache.
pub fn generate_from(
    model: &Arc<dyn CausalLm>,
    cache: KvCache,
    cached: &[u32],
    prompt: &[u32],
    config: &GenerationConfig,
) -> Result<TokenStream> {
    refuse_several(config)?;
    let plan = config.plan(prompt, model.limits(), None)?;
    TokenStream::new(model, cache, cached, prompt, plan)
}

/// The tokens of an answer, computed as they are asked for. An error ends it.
///
/// It owns what it needs, so it can be kept, returned and sent to another thread.
#[derive(Debug)]
pub struct TokenStream {
    model: Arc<dyn CausalLm>,
    cache: KvCache,
    plan: Plan,
    /// The prompt and everything generated so far.
    tokens: Vec<u32>,
    /// How many of `tokens` are in the cache.
    computed: usize,
    finish: Option<FinishReason>,
    failed: bool,
    cancel: CancelHandle,
    timings: Timings,
}

impl TokenStream {
    /// Continues `prompt` as `plan`, which must have been made for it, says. `cache` and `cached`
    /// are as in [`generate_from`].
    ///
    /// # Errors
    ///
    /// When the plan was made for a prompt of another length, or `cached` has fewer tokens than the
    /// cache.
    pub fn new(
        model: &Arc<dyn CausalLm>,
        mut cache: KvCache,
        cached: &[u32],
        prompt: &[u32],
        plan: Plan,
    ) -> Result<Self> {
        if plan.prompt_tokens() != prompt.len() || prompt.is_empty() {
            return Err(Error::input(format!(
                "the plan was made for a prompt of {} tokens, and this one has {}",
                plan.prompt_tokens(),
                prompt.len()
            )));
        }
        let Some(cached) = cached.get(..cache.tokens()) else {
            return Err(Error::input(format!(
                "the cache holds {} tokens, but only {} are named",
                cache.tokens(),
                cached.len()
            )));
        };
        let common = cached.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        // The last token is computed in any case: its logits are wanted.
        let mut computed = model.reusable(&cache, common.min(prompt.len() - 1), prompt.len());
        if computed < cache.tokens() && cache.truncate(computed).is_err() {
            // Some caches cannot go back (a sliding window has let go of the past).
            cache.clear();
            computed = 0;
        }
        cache.reserve(plan.slots());
        Ok(Self {
            model: Arc::clone(model),
            cache,
            plan,
            tokens: prompt.to_vec(),
            computed,
            finish: None,
            failed: false,
            cancel: CancelHandle::default(),
            timings: Timings {
                prompt_tokens: prompt.len() - computed,
                cached_tokens: computed,
                ..Timings::default()
            },
        })
    }

    /// Adds a processor of your own; see [`Plan::with_processor`].
    #[must_use]
    pub fn with_processor(mut self, processor: Box<dyn LogitsProcessor>) -> Self {
        self.plan = self.plan.with_processor(processor);
        self
    }

    /// Ends with `handle` instead of one of its own: for a handle that must be there before the stream
    /// is.
    #[must_use]
    pub fn with_cancel_handle(mut self, handle: CancelHandle) -> Self {
        self.cancel = handle;
        self
    }

    /// The prompt and everything generated so far.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// What has been generated so far.
    #[must_use]
    pub fn generated(&self) -> &[u32] {
        self.tokens.get(self.plan.prompt_tokens()..).unwrap_or_default()
    }

    /// Why the answer is over; `None` while it is not, and after an error.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finish
    }

    /// How long it has taken so far.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// What ends the answer from elsewhere.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// The cache and the prompt with everything generated so far, to go on with [`generate_from`].
    #[must_use]
    pub fn into_parts(self) -> (KvCache, Vec<u32>) {
        (self.cache, self.tokens)
    }

    /// As [`into_parts`](Self::into_parts), but leaves an empty stream.
    pub(crate) fn take_parts(&mut self) -> (KvCache, Vec<u32>) {
        self.failed = true;
        let empty = self.model.new_cache();
        (mem::replace(&mut self.cache, empty), mem::take(&mut self.tokens))
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Ends the stream as an error does.
    pub(super) fn end(&mut self) {
        self.failed = true;
    }

    /// What may end the answer while the model computes.
    fn interrupt(&self) -> Interrupt {
        Interrupt { cancel: self.cancel.clone(), deadline: self.plan.deadline() }
    }

    fn step(&mut self) -> Result<Token> {
        let batch = TokenBatch::single(&self.tokens[self.computed..])?;
        let (at, interrupt) = (LogitsAt::LastToken, self.interrupt());
        let checkpoint = || interrupt.check();
        let logits = self.model.forward_with(&batch, &mut self.cache, at, &checkpoint)?;
        self.computed = self.tokens.len();
        let token = self.plan.next(&self.tokens, &mut row_major(&logits)?)?;
        self.tokens.push(token.id);
        self.finish = self.plan.finished(&self.tokens)?;
        Ok(token)
    }
}

impl Iterator for TokenStream {
    type Item = Result<Token>;

    fn next(&mut self) -> Option<Result<Token>> {
        if self.failed || self.finish.is_some() {
            return None;
        }
        if self.cancel.is_cancelled() {
            self.finish = Some(FinishReason::Cancelled);
            return None;
        }
        let started = Instant::now();
        let token = self.step();
        self.timings.record(started.elapsed(), token.is_ok());
        if let Err(Error::Interrupted) = token {
            self.finish = self.interrupt().reason();
        }
        self.failed = token.is_err() && self.finish.is_none();
        token.map_or_else(|error| self.failed.then_some(Err(error)), |token| Some(Ok(token)))
    }
}

impl FusedIterator for TokenStream {}

/// An error when one stream is asked for several answers.
pub(super) fn refuse_several(config: &GenerationConfig) -> Result<()> {
    match config.sequences() {
        0 | 1 => Ok(()),
        count => Err(Error::option(
            "num_return_sequences",
            format!("{count} answers do not fit one stream; use `generate_batch`"),
        )),
    }
}

/// Copies logits of shape `(batch, vocab)` to the host, one row after the other.
pub(super) fn row_major(logits: &Tensor) -> Result<Vec<f32>> {
    Ok(logits.flatten_all()?.to_vec1()?)
}
