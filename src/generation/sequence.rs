//! One answer in the making.

use crate::error::{Error, Result};
use crate::generation::cancel::CancelHandle;
use crate::generation::plan::Plan;
use crate::generation::sampler::Token;
use crate::generation::stop::FinishReason;
use crate::generation::timings::Timings;
use crate::models::Autoregressive;
use crate::nn::cache::KvCache;

/// One answer in the making: a prompt, what has been generated after it, and the [`Plan`] by which it
/// goes on.
///
/// [`Stepper`](super::Stepper) computes sequences. A program with a loop of its own gives the logits of
/// its model to [`advance`](Self::advance). A clone goes on independently, with the same random numbers
/// and the same [`CancelHandle`].
#[derive(Debug, Clone)]
pub struct Sequence {
    /// The prompt and everything generated so far.
    pub(super) tokens: Vec<u32>,
    pub(super) answer: Vec<Token>,
    pub(super) plan: Plan,
    pub(super) finish: Option<FinishReason>,
    pub(super) failed: bool,
    pub(super) cancel: CancelHandle,
    pub(super) timings: Timings,
    /// How many of `tokens` are in a cache.
    pub(super) computed: usize,
    /// The row of the cache that they are in.
    pub(super) row: usize,
}

impl Sequence {
    /// Continues `prompt` by `plan`, which must have been made for this prompt.
    ///
    /// # Errors
    ///
    /// When the plan was made for a prompt of another length.
    pub fn new(prompt: &[u32], plan: Plan) -> Result<Self> {
        check(&plan, prompt.len())?;
        Ok(Self {
            tokens: prompt.to_vec(),
            answer: Vec::new(),
            plan,
            finish: None,
            failed: false,
            cancel: CancelHandle::default(),
            timings: Timings { prompt_tokens: prompt.len(), ..Timings::default() },
            computed: 0,
            row: 0,
        })
    }

    /// Ends with `handle` instead of one of its own.
    #[must_use]
    pub fn with_cancel_handle(mut self, handle: CancelHandle) -> Self {
        self.cancel = handle;
        self
    }

    /// The same sequence going on by another plan, which must have been made for its prompt.
    pub(super) fn with_plan(self, plan: Plan) -> Result<Self> {
        check(&plan, self.plan.prompt_tokens())?;
        Ok(Self { plan, ..self })
    }

    /// Makes use of what `cache`, whose one row holds the tokens `cached`, has in common with the prompt,
    /// and cuts off the rest. What depends on the length of the whole is not used
    /// ([`Autoregressive::reusable`]). The sequence must be new.
    ///
    /// # Errors
    ///
    /// When `cached` has fewer tokens than the cache.
    pub fn reuse(
        &mut self,
        model: &dyn Autoregressive,
        cache: &mut KvCache,
        cached: &[u32],
    ) -> Result<()> {
        let Some(cached) = cached.get(..cache.tokens()) else {
            return Err(Error::input(format!(
                "the cache holds {} tokens, but only {} are named",
                cache.tokens(),
                cached.len()
            )));
        };
        let prompt = self.tokens.len();
        let common = cached.iter().zip(&self.tokens).take_while(|(a, b)| a == b).count();
        // The last token is computed in any case: its logits are wanted.
        self.computed = model.reusable(cache, common.min(prompt - 1), prompt);
        if self.computed < cache.tokens() && cache.truncate(self.computed).is_err() {
            // A sliding window has let go of the past.
            cache.clear();
            self.computed = 0;
        }
        self.timings.cached_tokens = self.computed;
        self.timings.prompt_tokens = prompt - self.computed;
        Ok(())
    }

    /// Chooses the next token from `logits`, one for each item of the vocabulary, and adds it; then
    /// [`finish_reason`](Self::finish_reason) says whether it was the last.
    ///
    /// # Errors
    ///
    /// When the processed logits are no distribution ([`Plan::next`]), or the token cannot be decoded,
    /// which stop strings need. The sequence is over then.
    pub fn advance(&mut self, logits: &mut [f32]) -> Result<Token> {
        let token = self.choose(logits);
        self.failed = token.is_err();
        token
    }

    fn choose(&mut self, logits: &mut [f32]) -> Result<Token> {
        let token = self.plan.next(&self.tokens, logits)?;
        self.tokens.push(token.id);
        self.answer.push(token.clone());
        self.finish = self.plan.finished(&self.tokens)?;
        Ok(token)
    }

    /// What ends it before its next token, be it in the middle of a pass.
    pub(super) fn interruption(&self) -> Option<FinishReason> {
        if self.cancel.is_cancelled() {
            return Some(FinishReason::Cancelled);
        }
        self.plan.is_late().then_some(FinishReason::Time)
    }

    /// The prompt and everything generated so far.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The ids of what has been generated so far.
    #[must_use]
    pub fn generated(&self) -> &[u32] {
        self.tokens.get(self.plan.prompt_tokens()..).unwrap_or_default()
    }

    /// What has been generated so far, with log-probabilities.
    #[must_use]
    pub fn answer(&self) -> &[Token] {
        &self.answer
    }

    /// How it is continued.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Why it is over; `None` while it is not, and after an error.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finish
    }

    /// Whether no more tokens will come, be it after an error.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.failed || self.finish.is_some()
    }

    /// How long it has taken so far, which a [`Stepper`](super::Stepper) counts.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// What ends it from elsewhere.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }
}

fn check(plan: &Plan, prompt: usize) -> Result<()> {
    match plan.prompt_tokens() {
        made_for if made_for == prompt && prompt > 0 => Ok(()),
        made_for => Err(Error::input(format!(
            "the plan was made for a prompt of {made_for} tokens, and this one has {prompt}"
        ))),
    }
}
