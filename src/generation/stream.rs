//! Tokens, one at a time.

use std::iter::FusedIterator;
use std::mem;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::generation::cancel::CancelHandle;
use crate::generation::config::GenerationConfig;
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
    let mut sequence = Sequence::new(prompt, config.plan(prompt, model.limits(), None)?)?;
    sequence.reuse(&**model, &mut cache, cached)?;
    TokenStream::new(model.clone(), cache, sequence)
}

/// The tokens of an answer, computed as they are asked for: a [`Stepper`] with one sequence. An error
/// ends it.
///
/// The stream owns what it needs, so it can be stored, returned and sent to another thread.
#[derive(Debug)]
pub struct TokenStream(Stepper);

impl TokenStream {
    /// Computes `sequence`. `cache` is new, or holds what is computed of it already
    /// ([`Sequence::reuse`]).
    ///
    /// # Errors
    ///
    /// When the cache holds other rows than the sequence says.
    pub fn new(model: Arc<dyn Autoregressive>, cache: KvCache, sequence: Sequence) -> Result<Self> {
        Stepper::new(model, cache, vec![sequence]).map(Self)
    }

    /// Adds a processor of your own; see [`Plan::with_processor`](super::Plan::with_processor).
    #[must_use]
    pub fn with_processor(mut self, processor: Box<dyn LogitsProcessor>) -> Self {
        self.sequence_mut().plan.processors.push(processor);
        self
    }

    /// Uses `handle` instead of a handle of its own: for a handle that must exist before the
    /// stream.
    #[must_use]
    pub fn with_cancel_handle(mut self, handle: CancelHandle) -> Self {
        self.sequence_mut().cancel = handle;
        self
    }

    /// The answer in the making.
    #[must_use]
    pub fn sequence(&self) -> &Sequence {
        &self.0.sequences()[0]
    }

    /// The prompt and everything generated so far.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        self.sequence().tokens()
    }

    /// What has been generated so far.
    #[must_use]
    pub fn generated(&self) -> &[u32] {
        self.sequence().generated()
    }

    /// Why the answer has ended; `None` while it is running, and after an error.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.sequence().finish_reason()
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
    pub fn into_parts(self) -> (KvCache, Vec<u32>) {
        let tokens = self.tokens().to_vec();
        (self.0.cache, tokens)
    }

    /// Ends the stream and takes its cache, in whose place another is left.
    pub(crate) fn replace_cache(&mut self, empty: KvCache) -> KvCache {
        self.end();
        mem::replace(&mut self.0.cache, empty)
    }

    /// Ends the stream as an error does.
    pub(super) fn end(&mut self) {
        self.sequence_mut().failed = true;
    }

    fn sequence_mut(&mut self) -> &mut Sequence {
        &mut self.0.sequences[0]
    }
}

impl Iterator for TokenStream {
    type Item = Result<Token>;

    fn next(&mut self) -> Option<Result<Token>> {
        match self.0.step().map(|events| events.into_iter().next()) {
            Ok(Some(Event::Token { token, .. })) => Some(Ok(token)),
            Ok(Some(Event::Failed { error, .. })) => Some(Err(error)),
            Ok(Some(Event::Finished { .. }) | None) => None,
            Err(error) => {
                self.end();
                Some(Err(error))
            }
        }
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
