//! Processors against (or for) saying the same again.

use std::sync::Arc;

use super::{LogitsProcessor, POSITIVE, checked, is_positive, rule_out};
use crate::error::{Error, Result};

/// Divides the positive and multiplies the negative logits of tokens seen before
/// (`RepetitionPenaltyLogitsProcessor`, and with a prompt `EncoderRepetitionPenaltyLogitsProcessor`).
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::RepetitionPenalty;
///
/// let mut logits = [4.0, -1.0, 3.0];
/// RepetitionPenalty::new(2.0)?.process(&[0, 1], &mut logits)?;
/// assert_eq!(logits, [2.0, -2.0, 3.0]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RepetitionPenalty {
    penalty: f32,
    /// The tokens that count instead of all so far.
    prompt: Option<Arc<[u32]>>,
    scores: Vec<f32>,
}

impl RepetitionPenalty {
    /// Above 1 makes tokens seen before less likely, below 1 likelier; above 0. (arXiv 1909.05858)
    ///
    /// # Errors
    ///
    /// When `penalty` is out of its range.
    pub fn new(penalty: f64) -> Result<Self> {
        checked("repetition_penalty", penalty, POSITIVE, is_positive)?;
        Ok(Self { penalty: penalty as f32, prompt: None, scores: Vec::new() })
    }

    /// Above 1 makes the tokens of `prompt` likelier, below 1 less likely; above 0.
    ///
    /// # Errors
    ///
    /// When `bonus` is out of its range.
    pub fn favouring(prompt: &[u32], bonus: f64) -> Result<Self> {
        checked("encoder_repetition_penalty", bonus, POSITIVE, is_positive)?;
        let penalty = (1.0 / bonus) as f32;
        Ok(Self { penalty, prompt: Some(prompt.into()), scores: Vec::new() })
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
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::NoRepeatNgram;
///
/// let mut logits = [1.0, 2.0, 3.0];
/// NoRepeatNgram::new(2)?.process(&[0, 1, 0], &mut logits)?;
/// assert_eq!(logits, [1.0, f32::NEG_INFINITY, 3.0]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct NoRepeatNgram {
    size: usize,
    /// The tokens that count instead of all so far.
    prompt: Option<Arc<[u32]>>,
}

impl NoRepeatNgram {
    /// No sequence of `size` tokens, at least 1, comes twice.
    ///
    /// # Errors
    ///
    /// When `size` is 0.
    pub fn new(size: usize) -> Result<Self> {
        Self::checked("no_repeat_ngram_size", size, None)
    }

    /// No sequence of `size` tokens, at least 1, of `prompt` comes again.
    ///
    /// # Errors
    ///
    /// When `size` is 0.
    pub fn of_prompt(size: usize, prompt: &[u32]) -> Result<Self> {
        Self::checked("encoder_no_repeat_ngram_size", size, Some(prompt.into()))
    }

    fn checked(option: &str, size: usize, prompt: Option<Arc<[u32]>>) -> Result<Self> {
        match size {
            0 => Err(Error::option(option, "is 0, but must be at least 1 token")),
            size => Ok(Self { size, prompt }),
        }
    }
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
