//! Processors that depend on how many tokens there are.

use super::{LogitsProcessor, checked, rule_out};
use crate::error::{Error, Result};

/// Rules the end out while there are fewer than `length` tokens (`MinLengthLogitsProcessor`,
/// `MinNewTokensLengthLogitsProcessor`).
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::MinLength;
///
/// let mut logits = [9.0, 1.0];
/// MinLength::new(3, &[0]).process(&[5, 6], &mut logits)?;
/// assert_eq!(logits, [f32::NEG_INFINITY, 1.0]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MinLength {
    length: usize,
    eos: Vec<u32>,
}

impl MinLength {
    /// No id of `eos` before there are `length` tokens, prompt included.
    #[must_use]
    pub fn new(length: usize, eos: &[u32]) -> Self {
        Self { length, eos: eos.to_vec() }
    }
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
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::ForcedTokens;
///
/// let mut logits = [1.0, 2.0, 3.0];
/// ForcedTokens::new(2, &[1]).process(&[5, 6], &mut logits)?;
/// assert_eq!(logits, [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ForcedTokens {
    length: usize,
    ids: Vec<u32>,
}

impl ForcedTokens {
    /// One of `ids` when there are exactly `length` tokens, prompt included.
    #[must_use]
    pub fn new(length: usize, ids: &[u32]) -> Self {
        Self { length, ids: ids.to_vec() }
    }
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
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::ExponentialDecay;
///
/// let mut logits = [1.0, 2.0];
/// ExponentialDecay::new(1, 2.0, &[0])?.process(&[5, 6, 7], &mut logits)?;
/// assert_eq!(logits, [4.0, 2.0]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ExponentialDecay {
    start: usize,
    factor: f64,
    eos: Vec<u32>,
}

impl ExponentialDecay {
    /// Adds `|logit| (factor^n - 1)` to the logits of `eos` when there are `n` tokens more than `start`, prompt
    /// included.
    ///
    /// # Errors
    ///
    /// When `factor` is negative or not finite, or there is no id in `eos`.
    pub fn new(start: usize, factor: f64, eos: &[u32]) -> Result<Self> {
        let option = "exponential_decay_length_penalty";
        let rule = "a finite factor that is not negative";
        checked(option, factor, rule, |it| it.is_finite() && it >= 0.0)?;
        if eos.is_empty() {
            return Err(Error::option(option, "there is no `eos_token_id` to make likelier"));
        }
        let mut eos = eos.to_vec();
        eos.sort_unstable();
        eos.dedup();
        Ok(Self { start, factor, eos })
    }
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
                    // A number that `remove_invalid_values` has made of it grows beyond what there is.
                    *logit = (*logit + logit.abs() * growth).min(f32::MAX);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_grows_to_the_largest_number_and_no_further() -> Result<()> {
        let mut decay = ExponentialDecay::new(0, 1e9, &[1, 2])?;
        let mut logits = [f32::MAX, f32::MIN, f32::NEG_INFINITY, -1.0];
        decay.process(&[5; 40], &mut logits)?;
        assert_eq!(logits, [f32::MAX, f32::MAX, f32::NEG_INFINITY, -1.0]);
        Ok(())
    }
}
