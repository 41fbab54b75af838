//! Processors against (or for) saying the same again.

use super::{LogitsProcessor, rule_out};
use crate::error::Result;

/// Divides the positive and multiplies the negative logits of tokens seen before
/// (`RepetitionPenaltyLogitsProcessor`, and with a prompt `EncoderRepetitionPenaltyLogitsProcessor`).
#[derive(Debug, Clone)]
pub(in crate::generation) struct RepetitionPenalty {
    penalty: f32,
    /// The tokens that count instead of all so far.
    prompt: Option<Vec<u32>>,
    scores: Vec<f32>,
}

impl RepetitionPenalty {
    pub(in crate::generation) fn new(penalty: f64) -> Self {
        Self { penalty: penalty as f32, prompt: None, scores: Vec::new() }
    }

    /// Favours the tokens of the prompt by `bonus`.
    pub(in crate::generation) fn favouring(prompt: &[u32], bonus: f64) -> Self {
        Self { prompt: Some(prompt.to_vec()), ..Self::new(1.0 / bonus) }
    }
}

impl LogitsProcessor for RepetitionPenalty {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let tokens = self.prompt.as_deref().unwrap_or(tokens);
        // All are read before any is written, so a token seen twice is not punished twice.
        self.scores.clear();
        self.scores.extend(tokens.iter().map(|&id| logits.get(id as usize).unwrap_or(&0.0)));
        for (&id, &score) in tokens.iter().zip(&self.scores) {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = if score < 0.0 { score * self.penalty } else { score / self.penalty };
            }
        }
        Ok(())
    }
}

/// Rules out what would complete a sequence of `size` tokens that came before
/// (`NoRepeatNGramLogitsProcessor`, and with a prompt `EncoderNoRepeatNGramLogitsProcessor`).
#[derive(Debug, Clone)]
pub(in crate::generation) struct NoRepeatNgram {
    /// At least 1.
    pub(in crate::generation) size: usize,
    /// The tokens that count instead of all so far.
    pub(in crate::generation) prompt: Option<Vec<u32>>,
}

impl LogitsProcessor for NoRepeatNgram {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let Some(start) = (tokens.len() + 1).checked_sub(self.size) else { return Ok(()) };
        let prefix = &tokens[start..];
        for ngram in self.prompt.as_deref().unwrap_or(tokens).windows(self.size) {
            if let Some((last, before)) = ngram.split_last()
                && before == prefix
            {
                rule_out(&[*last], logits);
            }
        }
        Ok(())
    }
}
