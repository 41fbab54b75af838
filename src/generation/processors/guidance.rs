//! Classifier-free guidance with a negative prompt.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{LogitsProcessor, checked, is_finite};
use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::generation::softmax::Softmax;
use crate::models::{Autoregressive, CausalLm, LogitsAt};
use crate::nn::cache::KvCache;

/// Classifier-free guidance: moves the log-probabilities away from those that the model has after another
/// prompt, the negative one (`UnbatchedClassifierFreeGuidanceLogitsProcessor`, arXiv 2306.17806):
/// `scale * (log p - log p_negative) + log p_negative`.
///
/// Made by the options, it is given the logits after the negative prompt, which are computed in the same
/// passes as those after the prompt. One with a model of its own costs a second forward pass each step, over a
/// cache of its own; clones share the keys and values so far.
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::Guidance;
/// use sconce::models::{AutoModel, CausalLm, LogitsAt};
/// use sconce::{LoadOptions, TokenBatch};
///
/// let model = AutoModel::open::<dyn CausalLm>("./tests/goldens/llama-gqa-tiny", &LoadOptions::default())?;
/// let mut guidance = Guidance::new(1.5, model.clone(), Some(&[3, 8]))?;
/// let prompt = TokenBatch::single(&[5, 17])?;
/// let logits = model.forward(&prompt, &mut model.new_cache(), LogitsAt::LastToken)?;
/// let mut logits: Vec<f32> = logits.get(0)?.to_vec1()?;
/// guidance.process(&[5, 17], &mut logits)?; // one pass of [3, 8]
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Guidance {
    scale: f32,
    negative_prompt: Option<Arc<[u32]>>,
    /// Tokens of the prompt, once it is known.
    prompt: Option<usize>,
    branch: Option<Branch>,
    /// The next logits after the negative prompt, if someone else computes them; in a draft several.
    given: VecDeque<Vec<f32>>,
}

/// What computes the answer after the negative prompt.
#[derive(Debug)]
struct Branch {
    model: Arc<dyn Autoregressive>,
    cache: KvCache,
}

impl Guidance {
    /// Guides `model`, the one whose logits are processed. Above 1 the answer keeps to its prompt more than the
    /// model would. Without a negative prompt the other prompt is the last token of the prompt, as in
    /// transformers.
    ///
    /// # Errors
    ///
    /// When `scale` is NaN or infinite, or the negative prompt is empty.
    pub fn new(
        scale: f64,
        model: Arc<dyn CausalLm>,
        negative_prompt: Option<&[u32]>,
    ) -> Result<Self> {
        let mut guidance = Self::unbound(scale, negative_prompt)?;
        let cache = model.new_cache();
        guidance.branch = Some(Branch { model, cache });
        Ok(guidance)
    }

    /// Guidance of a model that is not known yet: see [`bind`](Self::bind).
    pub(in crate::generation) fn unbound(
        scale: f64,
        negative_prompt: Option<&[u32]>,
    ) -> Result<Self> {
        checked("guidance_scale", scale, "a finite number", is_finite)?;
        if negative_prompt.is_some_and(<[u32]>::is_empty) {
            return Err(Error::option("negative_prompt_ids", "is empty; leave it unset"));
        }
        let negative_prompt = negative_prompt.map(Into::into);
        let scale = scale as f32;
        Ok(Self { scale, negative_prompt, prompt: None, branch: None, given: VecDeque::new() })
    }

    /// Guides `model`, if no other is guided yet. `cache` is one of the model's.
    pub(in crate::generation) fn bind(&mut self, model: &Arc<dyn Autoregressive>, cache: &KvCache) {
        let branch = || Branch { model: Arc::clone(model), cache: cache.emptied() };
        self.branch.get_or_insert_with(branch);
    }

    /// Whether it waits for logits that someone else computes.
    pub(in crate::generation) fn is_unbound(&self) -> bool {
        self.branch.is_none() && self.scale != 1.0
    }

    /// What stands in the place of this prompt.
    pub(in crate::generation) fn negative_prompt<'a>(&'a self, prompt: &'a [u32]) -> &'a [u32] {
        let last = prompt.len().saturating_sub(1);
        self.negative_prompt.as_deref().unwrap_or_else(|| &prompt[last..])
    }

    /// Gives it the next logits after the negative prompt and the answer so far, and those after each token of
    /// a draft. What is left of earlier ones was for tokens that did not come.
    pub(in crate::generation) fn give<'a>(&mut self, logits: impl Iterator<Item = &'a [f32]>) {
        self.given = logits.map(<[f32]>::to_vec).collect();
    }

    /// The logits after the negative prompt and the same answer.
    fn negative_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        if let Some(given) = self.given.pop_front() {
            return Ok(given);
        }
        let start = *self.prompt.get_or_insert(tokens.len());
        let (Some(branch), Some(answer)) = (&mut self.branch, tokens.get(start..)) else {
            return Err(Error::option(
                "guidance_scale",
                "the plan does not know the model that is guided; `Plan::with_model` says it",
            ));
        };
        let last = start.saturating_sub(1);
        let negative = self.negative_prompt.as_deref().unwrap_or_else(|| &tokens[last..start]);
        branch.logits(&[negative, answer].concat())
    }
}

impl Branch {
    /// Logits of the token after `tokens`, of which what the cache holds is not computed again.
    fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        let cached = self.cache.row_ids(0).unwrap_or_default();
        let common = cached.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        let common = common.min(tokens.len().saturating_sub(1));
        let kept = self.model.reusable(&self.cache, common, tokens.len());
        if kept < self.cache.tokens() {
            self.cache.truncate(kept)?;
        }
        let batch = TokenBatch::single(&tokens[kept..])?;
        let logits = self.model.forward(&batch, &mut self.cache, LogitsAt::LastToken)?;
        Ok(logits.flatten_all()?.to_vec1()?)
    }
}

/// The keys and values of a clone are computed again where the device has no memory for a copy.
impl Clone for Branch {
    fn clone(&self) -> Self {
        let cache = self.cache.fork().unwrap_or_else(|_| self.cache.emptied());
        Self { model: Arc::clone(&self.model), cache }
    }
}

impl LogitsProcessor for Guidance {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let negative = match self.scale == 1.0 {
            true => logits.to_vec(),
            false => self.negative_logits(tokens)?,
        };
        let (softmax, other) = (Softmax::of(logits), Softmax::of(&negative));
        for (logit, negative) in logits.iter_mut().zip(negative) {
            let (own, negative) =
                (softmax.log_probability(*logit), other.log_probability(negative));
            // What is impossible cannot be weighed; in transformers it becomes NaN.
            *logit = match own.is_finite() && negative.is_finite() {
                true => self.scale * (own - negative) + negative,
                false => own,
            };
        }
        Ok(())
    }
}
