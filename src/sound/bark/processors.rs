//! Logits processors of Bark's first two stages.

use crate::error::Result;
use crate::generation::LogitsProcessor;

/// Semantic tokens alone, and their end.
#[derive(Debug, Clone)]
pub(super) struct SemanticOnly {
    pub(super) vocab: usize,
    pub(super) end: usize,
}

impl LogitsProcessor for SemanticOnly {
    fn process(&mut self, _: &[u32], logits: &mut [f32]) -> Result<()> {
        for (id, logit) in logits.iter_mut().enumerate().skip(self.vocab) {
            if id != self.end {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }
}

/// The end, where it is likelier than `min_eos_p`: `BarkEosPrioritizerLogitsProcessor` of the reference.
#[derive(Debug, Clone)]
pub(super) struct EosPrioritizer {
    pub(super) end: usize,
    pub(super) min_eos_p: f64,
}

impl LogitsProcessor for EosPrioritizer {
    fn process(&mut self, _: &[u32], logits: &mut [f32]) -> Result<()> {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let Some(&end) = logits.get(self.end).filter(|_| most.is_finite()) else { return Ok(()) };
        let sum: f64 = logits.iter().map(|&logit| f64::from((logit - most).exp())).sum();
        if f64::from((end - most).exp()) / sum > self.min_eos_p {
            for (id, logit) in logits.iter_mut().enumerate() {
                if id != self.end {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        Ok(())
    }
}

/// Codes of two codebooks by turns: `AlternatingCodebooksLogitsProcessor` of the reference.
#[derive(Debug, Clone)]
pub(super) struct Alternating {
    /// How many tokens came before the first code.
    pub(super) start: usize,
    /// The first codebook begins here.
    pub(super) semantic: usize,
    /// And has so many codes; what comes after them is the second's.
    pub(super) codes: usize,
}

impl LogitsProcessor for Alternating {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let middle = self.semantic + self.codes;
        let is_first = (tokens.len() - self.start.min(tokens.len())).is_multiple_of(2);
        let allowed = if is_first { self.semantic..middle } else { middle..usize::MAX };
        for (id, logit) in logits.iter_mut().enumerate() {
            if !allowed.contains(&id) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }
}
