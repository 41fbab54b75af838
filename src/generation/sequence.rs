//! One answer in the making.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::generation::cancel::CancelHandle;
use crate::generation::draft::{Draft, DraftModel, Drafting, PromptLookup};
use crate::generation::outputs::{RowPlace, StepOutput};
use crate::generation::pass::Passed;
use crate::generation::plan::Plan;
use crate::generation::sampler::Token;
use crate::generation::shadow::Shadow;
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
    pub(super) drafting: Option<Drafting>,
    /// What may come next.
    pub(super) draft: Draft,
    /// How many tokens of the draft are computed.
    pub(super) drafted: usize,
    /// What the step of each token has computed, if the plan asks for it.
    pub(super) outputs: Vec<StepOutput>,
    /// What a guided answer is guided away from.
    pub(super) shadow: Option<Shadow>,
}

impl Sequence {
    /// Continues `prompt` by `plan`, which must have been made for this prompt.
    ///
    /// # Errors
    ///
    /// When the plan was made for a prompt of another length.
    pub fn new(prompt: &[u32], plan: Plan) -> Result<Self> {
        check(&plan, prompt.len())?;
        let lookup = plan.lookup.filter(|_| plan.early_exit.is_none());
        let lookup = lookup.map(|(tokens, ngram)| PromptLookup::new(tokens, ngram));
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
            drafting: lookup.transpose()?.map(Drafting::from),
            draft: Draft::default(),
            drafted: 0,
            outputs: Vec::new(),
            shadow: None,
        })
    }

    /// Drafts tokens with a [`Drafter`](super::Drafter), so that one pass can confirm several: a
    /// [`DraftModel`](super::DraftModel), a [`PromptLookup`], one of your own, or a [`Drafting`] of it.
    /// It takes the place of what the options say.
    #[must_use]
    pub fn with_drafter(mut self, drafter: impl Into<Drafting>) -> Self {
        self.drafting = Some(drafter.into());
        self
    }

    /// Drafts with the first layers of `model`, if the options say so and it drafts by nothing else.
    pub(super) fn draft_by_early_exit(&mut self, model: &dyn Autoregressive) -> Result<()> {
        if let (Some((layers, options)), None) = (self.plan.early_exit, &self.drafting) {
            let drafter = DraftModel::of_first_layers(model, layers, options)?;
            self.drafting = Some(drafter.into());
        }
        Ok(())
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
        let wanted = self.plan.outputs;
        let own = wanted.logits.then(|| Arc::from(&*logits));
        let token = self.plan.next(&self.tokens, logits)?;
        if wanted.is_any() {
            let scores = wanted.scores.then(|| Arc::from(&*logits));
            self.outputs.push(StepOutput { logits: own, scores, ..StepOutput::default() });
        }
        self.accept(token.clone())?;
        Ok(token)
    }

    /// Adds what a pass has recorded to the steps that have come of it; `own` says where in its logits the
    /// row's are.
    pub(super) fn record(
        &mut self,
        passed: &Passed,
        place: RowPlace,
        own: Range<usize>,
    ) -> Result<()> {
        let wanted = self.plan.outputs;
        // The first step has read all that was not drafted, every other one a token of the draft.
        let first = place.new - self.drafted;
        let chosen = self.tokens.len() - place.before - first;
        let steps = chosen.min(self.outputs.len());
        let known = self.outputs.len() - steps;
        for (step, output) in self.outputs[known..].iter_mut().enumerate() {
            let read = if step == 0 { 0..first } else { first + step - 1..first + step };
            if let Some(trace) = &passed.trace {
                output.record(wanted, trace, place, read)?;
            }
            if let (true, Some(logits)) = (wanted.logits, &passed.own_logits) {
                let start = own.start + step * passed.vocab;
                output.logits = Some(Arc::from(&logits[start..start + passed.vocab]));
            }
        }
        Ok(())
    }

    /// Adds a token, which may be the last.
    pub(super) fn accept(&mut self, token: Token) -> Result<()> {
        self.tokens.push(token.id);
        self.answer.push(token);
        self.finish = self.plan.finished(&self.tokens)?;
        Ok(())
    }

    /// What is to be computed next: what is not computed yet, and the draft behind it.
    pub(super) fn pending(&self) -> Vec<u32> {
        let draft = &self.draft.tokens[..self.drafted];
        [&self.tokens[self.computed..], draft].concat()
    }

    /// Whether all but its last generated token is computed.
    pub(super) fn is_at_its_last(&self) -> bool {
        !self.answer.is_empty() && self.computed + 1 == self.tokens.len()
    }

    /// Chooses tokens from the logits after what is computed and after each token of the draft, as long
    /// as the draft is right. An error comes last.
    pub(super) fn advance_through<'a>(
        &mut self,
        logits: impl Iterator<Item = &'a mut [f32]>,
    ) -> Vec<Result<Token>> {
        let before = self.tokens.len();
        let mut chosen = Vec::with_capacity(1);
        for (number, logits) in logits.enumerate() {
            let token = self.advance(logits);
            let id = token.as_ref().ok().map(|token| token.id);
            chosen.push(token);
            if self.is_over() || self.draft.tokens.get(number).copied() != id {
                break;
            }
        }
        // Of what was chosen, the last is not computed; be it so in a draft, it is nobody's that way.
        self.computed = before + chosen.len().saturating_sub(1);
        if let Some(drafting) = &mut self.drafting {
            let ids = self.tokens[before..].iter();
            self.timings.drafted_tokens += self.drafted;
            self.timings.accepted_tokens += drafting.verified(&self.draft, self.drafted, ids);
        }
        chosen
    }

    /// Takes the last `count` generated tokens back, and what they ended.
    pub(super) fn take_back(&mut self, count: usize) {
        self.tokens.truncate(self.tokens.len() - count);
        self.answer.truncate(self.answer.len() - count);
        self.outputs.truncate(self.answer.len());
        self.timings.generated_tokens -= count;
        self.computed = self.computed.min(self.tokens.len());
        self.finish = None;
    }

    /// What ends it before its next token, be it in the middle of a pass.
    pub(super) fn interruption(&self) -> Option<FinishReason> {
        Self::interruption_of(&self.cancel, &self.plan)
    }

    /// The same, of one with this handle and this plan.
    pub(super) fn interruption_of(cancel: &CancelHandle, plan: &Plan) -> Option<FinishReason> {
        if cancel.is_cancelled() {
            return Some(FinishReason::Cancelled);
        }
        plan.is_late().then_some(FinishReason::Time)
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

    /// What the step of each generated token has computed: what the plan asks for
    /// ([`Plan::with_outputs`]), or nothing. Of a [`Stepper`](super::Stepper)'s sequences; a loop of your own
    /// knows hidden states and attentions itself.
    #[must_use]
    pub fn outputs(&self) -> &[StepOutput] {
        &self.outputs
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
