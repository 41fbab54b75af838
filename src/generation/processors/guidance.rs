//! Classifier-free guidance with a negative prompt.

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
/// Each step costs a second forward pass, over a cache of its own. Clones share the keys and values so far.
#[derive(Debug, Clone)]
pub struct Guidance {
    scale: f32,
    negative_prompt: Option<Arc<[u32]>>,
    /// Tokens of the prompt, once it is known.
    prompt: Option<usize>,
    branch: Option<Branch>,
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
        Ok(Self { scale: scale as f32, negative_prompt, prompt: None, branch: None })
    }

    /// Guides `model`, if no other is guided yet. `cache` is one of the model's.
    pub(in crate::generation) fn bind(&mut self, model: &Arc<dyn Autoregressive>, cache: &KvCache) {
        let branch = || Branch { model: Arc::clone(model), cache: cache.emptied() };
        self.branch.get_or_insert_with(branch);
    }

    /// The logits after the negative prompt and the same answer.
    fn negative_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        let start = *self.prompt.get_or_insert(tokens.len());
        let (Some(branch), Some(answer)) = (&mut self.branch, tokens.get(start..)) else {
            return Err(Error::option(
                "guidance_scale",
                "the plan does not know the model that is guided; `Plan::with_model` says it",
            ));
        };
        let last = start.checked_sub(1).and_then(|last| tokens.get(last..start));
        let negative = self.negative_prompt.as_deref().or(last).unwrap_or_default();
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
