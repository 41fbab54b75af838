//! Logits processors: what is done to logits before a token is chosen from them.

use std::fmt;

use crate::error::Result;

mod bias;
mod cutoff;
mod length;
mod repetition;
mod scale;
mod typical;

pub(super) use bias::{SequenceBias, Suppress};
pub(super) use cutoff::{Cutoff, TopK, TopP};
pub(super) use length::{ExponentialDecay, ForcedTokens, MinLength};
pub(super) use repetition::{NoRepeatNgram, RepetitionPenalty};
pub(super) use scale::{RemoveInvalid, Renormalize, Temperature};
pub(super) use typical::Typical;

/// Edits next-token logits in place.
///
/// Implement it for constraints of your own and add them with
/// [`Plan::with_processor`](super::Plan::with_processor) or
/// [`TokenStream::with_processor`](super::TokenStream::with_processor).
///
/// It may keep state of the answer; what is given to a pipeline is cloned for each.
pub trait LogitsProcessor: CloneProcessor + fmt::Debug + Send + Sync {
    /// Edits `logits`, one per vocabulary item; `-inf` rules an item out. `tokens` is the prompt
    /// and everything generated so far.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from its work, which ends the answer as an error.
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()>;
}

/// How a [`LogitsProcessor`] behind a pointer is cloned. All that are `Clone` have it.
pub trait CloneProcessor {
    /// A clone.
    fn boxed_clone(&self) -> Box<dyn LogitsProcessor>;
}

impl<T: LogitsProcessor + Clone + 'static> CloneProcessor for T {
    fn boxed_clone(&self) -> Box<dyn LogitsProcessor> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn LogitsProcessor> {
    fn clone(&self) -> Self {
        (**self).boxed_clone()
    }
}

/// Sets the logits of `ids` to `-inf`; ids outside the vocabulary are ignored.
fn rule_out(ids: &[u32], logits: &mut [f32]) {
    for &id in ids {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}
