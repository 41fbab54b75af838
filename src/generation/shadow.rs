//! The rows that answers are guided away from, computed beside their own.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::generation::plan::Plan;
use crate::nn::cache::KvCache;

/// The row of a guided sequence that holds the negative prompt and the answer. It goes through the same
/// passes as the sequence's own row.
#[derive(Debug, Clone)]
pub(super) struct Shadow {
    negative_prompt: Arc<[u32]>,
    /// How many of its tokens are in the cache.
    computed: usize,
    /// The row of the cache that they are in.
    pub(super) row: usize,
}

impl Shadow {
    /// That of a sequence that goes on from `prompt` by this plan; `None` where nothing is guided, or a model
    /// that the processor was given is.
    pub(super) fn of(plan: &Plan, prompt: &[u32]) -> Option<Self> {
        let negative_prompt = plan.guidance()?.negative_prompt(prompt).into();
        Some(Self { negative_prompt, computed: 0, row: 0 })
    }

    /// Whether both begin alike.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.negative_prompt == other.negative_prompt
    }

    /// What is to be computed next, after `answer` has come.
    pub(super) fn pending(&self, answer: impl IntoIterator<Item = u32>) -> Vec<u32> {
        self.negative_prompt.iter().copied().chain(answer).skip(self.computed).collect()
    }

    /// How many of its tokens are in the cache.
    pub(super) fn computed(&self) -> usize {
        self.computed
    }

    /// Takes note that no more is computed than an answer of so many tokens.
    pub(super) fn go_back(&mut self, answer: usize) {
        self.computed = self.computed.min(self.negative_prompt.len() + answer);
    }

    /// Takes note that all is computed up to an answer of so many tokens.
    pub(super) fn note_computed(&mut self, answer: usize) {
        self.computed = self.negative_prompt.len() + answer;
    }
}

/// An error for a guided decoder that attends to a source: transformers has no guidance for these.
pub(super) fn refuse_sources(plan: &Plan, cache: &KvCache) -> Result<()> {
    match plan.guidance() {
        Some(_) if cache.source_ids(0).is_some() => Err(Error::option(
            "guidance_scale",
            "is for decoders alone: what an encoder-decoder would be guided away from is another source, \
             which there is no option for",
        )),
        _ => Ok(()),
    }
}
