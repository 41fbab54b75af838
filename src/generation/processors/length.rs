//! Processors that depend on how many tokens there are.

use super::{LogitsProcessor, rule_out};
use crate::error::Result;

/// Rules the end out while there are fewer than `length` tokens (`MinLengthLogitsProcessor`,
/// `MinNewTokensLengthLogitsProcessor`).
#[derive(Debug, Clone)]
pub(in crate::generation) struct MinLength {
    pub(in crate::generation) length: usize,
    pub(in crate::generation) eos: Vec<u32>,
}

impl LogitsProcessor for MinLength {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        if tokens.len() < self.length {
            rule_out(&self.eos, logits);
        }
        Ok(())
    }
}

/// Leaves only `ids` when there are exactly `length` tokens (`ForcedBOSTokenLogitsProcessor`,
/// `ForcedEOSTokenLogitsProcessor`).
#[derive(Debug, Clone)]
pub(in crate::generation) struct ForcedTokens {
    pub(in crate::generation) length: usize,
    pub(in crate::generation) ids: Vec<u32>,
}

impl LogitsProcessor for ForcedTokens {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        if tokens.len() == self.length {
            logits.fill(f32::NEG_INFINITY);
            for &id in &self.ids {
                if let Some(logit) = logits.get_mut(id as usize) {
                    *logit = 0.0;
                }
            }
        }
        Ok(())
    }
}

/// Makes the end likelier with every token after `start` (`ExponentialDecayLengthPenalty`).
#[derive(Debug, Clone)]
pub(in crate::generation) struct ExponentialDecay {
    /// A number of tokens, prompt included.
    pub(in crate::generation) start: usize,
    pub(in crate::generation) factor: f64,
    /// Without repetitions.
    pub(in crate::generation) eos: Vec<u32>,
}

impl LogitsProcessor for ExponentialDecay {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        if tokens.len() > self.start {
            let growth = self.factor.powf((tokens.len() - self.start) as f64) - 1.0;
            // Far beyond any logit, and still finite after what may follow.
            let growth = growth.min(1e30) as f32;
            for &id in &self.eos {
                // What has been ruled out stays so; transformers makes it NaN.
                if let Some(logit) = logits.get_mut(id as usize).filter(|it| it.is_finite()) {
                    *logit += logit.abs() * growth;
                }
            }
        }
        Ok(())
    }
}
