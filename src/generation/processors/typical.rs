//! Locally typical sampling.

use super::LogitsProcessor;
use super::cutoff::{leading, ranked};
use crate::error::Result;
use crate::generation::softmax::Softmax;

/// Keeps the tokens whose information is closest to the entropy, until they reach probability
/// `mass` (`TypicalLogitsWarper`, arXiv 2202.00666).
#[derive(Debug, Clone)]
pub(in crate::generation) struct Typical {
    pub(in crate::generation) mass: f32,
}

impl LogitsProcessor for Typical {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let softmax = Softmax::of(logits);
        let entropy = softmax.entropy(logits);
        let surprise = |logit| (-softmax.log_probability(logit) - entropy).abs();
        let mut ranked = ranked(logits, surprise);
        let weight = |index: u32| softmax.weight(logits[index as usize]);
        let kept = leading(&mut ranked, weight, 0.0, softmax.total(), |mass| mass < self.mass);
        // The one that reaches the mass is kept too, with all that tie with it.
        if let Some(&(most, _)) = ranked.get(kept) {
            for logit in logits {
                if surprise(*logit) > most {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        Ok(())
    }
}
